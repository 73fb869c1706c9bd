"""Payments in another currency: what they count for, at which rate of which day."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from engine.contributions.errors import AmountNotWhole
from engine.contributions.rules import ForeignMoneyRule, PaidAs, Payment, converted, rate_day
from engine.contributions.service.rules_of import rules_of
from engine.identity.rules import MemberRef
from engine.kernel.amounts import Amount, Asset, NotWholeUnits
from engine.kernel.series import Figures
from engine.tenancy.rules.books import InForce
from engine.tenancy.service import Tenant


@dataclass(frozen=True, slots=True)
class Converted:
    """A payment in foreign money: what was paid and what it counts for, the rate and its day, and by which product's rule."""

    paid: Amount
    amount: Amount
    rate: Decimal
    rate_on: date
    product: str
    rule: str

    @property
    def facts(self) -> Mapping[str, object]:
        """Return what the event of the payment says of it; what was paid in the currency's major units, with its code."""
        paid = f"{self.paid.decimal():.{self.paid.asset.scale}f} {self.paid.asset.symbol}"
        return {"paid": paid, "rate": f"{self.rate:f}", "rate_on": self.rate_on.isoformat()}


def paid_as(facts: Mapping[str, object]) -> PaidAs | None:
    """Return how a payment was made, out of what its event says; None where it was made in the scheme's money."""
    if "rate" not in facts:
        return None
    amount, _, currency = str(facts["paid"]).partition(" ")
    return PaidAs(amount, currency, str(facts["rate"]), date.fromisoformat(str(facts["rate_on"])))


def convert_payment(
    tenant: Tenant, figures: Figures, payment: Payment, member: MemberRef | None, today: date
) -> Converted | None:
    """Return what a payment in another currency counts for; None where it is in the scheme's, or no rule takes it.

    The rule is that of the member's product. While nobody knows the member it is that of the product the payment names, or
    of the first that has one.

    Raises:
        AmountNotWhole: the amount has more digits than its currency.
        SeriesValueMissing: there is no approved rate for the day.
    """
    if payment.currency == tenant.asset.symbol:
        return None
    value_on = payment.paid_on or today
    found = _rule(tenant, payment, member, value_on)
    if found is None:
        return None
    product, rule = found
    foreign = Asset.currency(payment.currency)
    try:
        paid = Amount.parse(payment.amount, foreign)
    except NotWholeUnits as error:
        raise AmountNotWhole(field="amount", scale=foreign.scale) from error
    amount = converted(rule.rule, paid, tenant.asset, value_on=value_on, received_on=today, figures=figures)
    day = rate_day(rule.rule, value_on, today)
    return Converted(paid, amount, figures.value(rule.rule.series, day), day, product, rule.ref)


def _rule(
    tenant: Tenant, payment: Payment, member: MemberRef | None, on: date
) -> tuple[str, InForce[ForeignMoneyRule]] | None:
    if member is not None:
        asked = [(member.product, member.joined_on)]
    else:
        asked = [(one.code, on) for one in tenant.pack.products if payment.product in ("", one.code)]
    for product, joined_on in asked:
        for rule in rules_of(tenant, ForeignMoneyRule, product=product, on=on, joined_on=joined_on):
            if rule.rule.currency == payment.currency:
                return product, rule
    return None
