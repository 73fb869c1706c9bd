"""What a payment brings for others than its member: parts for other payees, and what is taken before the split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy.ext.asyncio import AsyncSession

from engine.contributions.queries import passing as queries
from engine.contributions.queries.passing import DeductionAsked
from engine.contributions.rules import Deducted, DeductionRule, PayeesRule, deduct, share_among_payees
from engine.contributions.service.rules_of import products_with, rule_of, rules_of
from engine.identity.rules import MemberRef
from engine.kernel.amounts import Amount
from engine.kernel.errors import EngineError
from engine.kernel.series import Figures
from engine.ledger.rules import Account
from engine.tenancy.service import Tenant


@dataclass(frozen=True, slots=True)
class Shared:
    """How one payment is shared: what of it is the member's contribution, and what each other payee gets."""

    contribution: Amount
    others: tuple[tuple[str, Amount], ...] = ()
    rules: tuple[str, ...] = ()

    @property
    def facts(self) -> Mapping[str, object]:
        """Return what the event of the payment says of it; amounts in smallest units."""
        if not self.others:
            return {}
        return {
            "others": str(sum(part.units for _, part in self.others)),
            **{f"payees.{code}": str(part.units) for code, part in self.others},
        }


@dataclass(frozen=True, slots=True)
class Deducting:
    """A contribution of a member, as they stand in its product, on a day, before anything is taken from it."""

    member: MemberRef
    on: date
    amount: Amount


@dataclass(frozen=True, slots=True)
class Taken:
    """What is taken from a contribution and what is left to be split, or why it is refused, and by which rules."""

    answer: tuple[tuple[Deducted, ...], Amount] | EngineError
    rules: tuple[str, ...]

    @property
    def parts(self) -> tuple[tuple[str, Amount], ...]:
        """Return what each party gets."""
        return () if isinstance(self.answer, EngineError) else tuple((one.party, one.amount) for one in self.answer[0])

    @property
    def facts(self) -> Mapping[str, object]:
        """Return what the event of the contribution says of it; amounts in smallest units, by the rule's id."""
        if isinstance(self.answer, EngineError) or not self.answer[0]:
            return {}
        return {f"deducted.{_id(one)}": str(one.amount.units) for one in self.answer[0]}


def passed_account(asset: str, product: str, party: str) -> Account:
    """Return where money lies that payments to a product brought for somebody else, until it is passed on to them."""
    return Account("passed-on", asset, product=product, party=party)


def share_payment(
    tenant: Tenant, figures: Figures, member: MemberRef, channel: str, on: date, amount: Amount
) -> Shared:
    """Return how a payment to a member by a channel is shared among payees; it is the contribution whole without a rule.

    Raises:
        SeriesValueMissing: an amount of the rule is a multiple of a series without a value then.
    """
    rule = rule_of(tenant, PayeesRule, product=member.product, on=on, joined_on=member.joined_on)
    if rule is None or (rule.rule.channels and channel not in rule.rule.channels):
        return Shared(amount)
    ours = {payee.code for payee in rule.rule.payees if payee.product == member.product}
    shares = share_among_payees(amount, rule.rule, figures, on)
    contribution = Amount(sum(part.units for code, part in shares.items() if code in ours), amount.asset)
    others = tuple((code, part) for code, part in shares.items() if code not in ours and part.units)
    return Shared(contribution, others, (rule.ref,))


def deducting_products(tenant: Tenant) -> frozenset[str]:
    """Return the products in which something is ever taken from contributions before they are split."""
    return products_with(tenant, DeductionRule)


async def deduct_from(
    session: AsyncSession, tenant: Tenant, figures: Figures, deducting: Sequence[Deducting]
) -> list[Taken | None]:
    """Return what is taken from each contribution, in their order; None where its product has no such rule.

    What is due once a calendar month or scheme year is not taken again in it; those before count in those after. Nothing
    is read unless something is due so.
    """
    rules = [
        rules_of(tenant, DeductionRule, product=one.member.product, on=one.on, joined_on=one.member.joined_on)
        for one in deducting
    ]
    asked = sorted(
        {
            _asked(tenant, one, rule.rule)
            for one, many in zip(deducting, rules, strict=True)
            for rule in many
            if rule.rule.once_per != "payment"
        },
        key=lambda one: (one.member_id, one.product, one.rule, one.since),
    )
    taken = dict(zip(asked, await queries.was_deducted(session, asked), strict=True))
    found: list[Taken | None] = []
    for one, many in zip(deducting, rules, strict=True):
        if not many:
            found.append(None)
            continue
        stretches = {rule.rule.id: _asked(tenant, one, rule.rule) for rule in many}
        before = {code: taken.get(stretch, False) for code, stretch in stretches.items()}
        refs = tuple(rule.ref for rule in many)
        try:
            parts, left = deduct(one.amount, [(rule.ref, rule.rule) for rule in many], figures, one.on, taken=before)
        except EngineError as refusal:
            found.append(Taken(refusal, refs))
        else:
            taken |= {stretches[_id(part)]: True for part in parts}
            found.append(Taken((parts, left), refs))
    return found


def _id(part: Deducted) -> str:
    return part.rule.partition("@")[0]


def _asked(tenant: Tenant, one: Deducting, rule: DeductionRule) -> DeductionAsked:
    """Return the month or scheme year that a contribution lies in, as it is asked whether the rule took something in it."""
    product = one.member.product
    if rule.once_per == "scheme-year":
        since, until = tenant.product(product).scheme_year(one.on)
    else:
        since = one.on.replace(day=1)
        until = date(since.year + since.month // 12, since.month % 12 + 1, 1)
    return DeductionAsked(one.member.member_id, product, rule.id, since, until)
