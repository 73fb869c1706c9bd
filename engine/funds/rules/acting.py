"""What a fund does with all of its units at once: it splits them, or it pays income on them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from engine.funds.errors import NoDistributionRule, PriceNotUsable
from engine.funds.rules.dealing import LARGEST_BIGINT, Conversion, FundsRule, in_units, price_of
from engine.funds.rules.examples import Given, in_major
from engine.kernel.prices import MAX_PRICE_SCALE, Price
from engine.kernel.rounding import rounded
from engine.kernel.rules import BY_EVENT, AppliesBy, Rule
from engine.tenancy.rules.proving import ScenarioContext

PaidAs = Literal["units", "cash"]
SplitSide = Annotated[int, Meta(ge=1, le=1_000_000)]


class IncomeDistributionRule(Rule, tag="income-distribution", frozen=True, kw_only=True):
    """What members get where a fund pays its income out instead of keeping it in its price.

    Every account is paid on the units that it had at the end of the record day, those that wait to be sold among them:
    `paid_as` more units of the fund, at the price at which the manager reinvests, or cash once the manager's money
    has come. Each account's part is rounded down; what that leaves goes to the `dealing` rule's owner of residue.
    """

    may_apply_by: ClassVar[tuple[AppliesBy, ...]] = BY_EVENT
    paid_as: PaidAs


class ActionTerms(Struct, frozen=True, kw_only=True):
    """In words what the two numbers of an action were made of, and the rules and the owner of residue that it goes by."""

    said: Mapping[str, str]
    residue_to: str
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ratio:
    """What an account gets of its units: floor(units × `multiplier` ÷ `divisor`), both positive and below 2^63."""

    multiplier: int
    divisor: int

    def of(self, units: int) -> int:
        """Return the part of smallest `units` (>= 0), rounded down."""
        return units * self.multiplier // self.divisor

    @classmethod
    def paid_in_units(cls, per_unit: Price, price: Price) -> "Ratio":
        """Return the units that income of `per_unit` buys for each unit at `price`.

        Raises:
            PriceNotUsable: the two numbers have too many digits.
        """
        exact = Fraction(per_unit.decimal()) / Fraction(price.decimal())
        if max(exact.numerator, exact.denominator) > LARGEST_BIGINT:
            raise PriceNotUsable(field="price", most=MAX_PRICE_SCALE)
        return cls(exact.numerator, exact.denominator)

    @classmethod
    def paid_in_cash(cls, per_unit: Price, *, amount_scale: int, unit_scale: int) -> "Ratio":
        """Return the smallest units of money that income of `per_unit` is for each smallest unit."""
        found = Conversion.selling_at(per_unit, amount_scale=amount_scale, unit_scale=unit_scale)
        return cls(found.multiplier, found.divisor)


def residue_after_split(
    residues: Mapping[str, int], ratio: Ratio, *, before: int, after: int, rest_to: str
) -> dict[str, int]:
    """Return what each owner of residue has after a split.

    The fund has floor(all units × ratio) then; each owner's units are rounded down as a member's are, and what rounding
    left of all accounts is `rest_to`'s.

    Args:
        residues: smallest units by owner, before.
        ratio: of the split.
        before: the members' units before.
        after: the sum of what they have, each rounded down.
        rest_to: who gets what rounding left.

    """
    own = {party: ratio.of(units) for party, units in residues.items()}
    whole = ratio.of(before + sum(residues.values()))
    # Units that wait to be sold never round to nothing, so members may have a quantum more than the whole.
    rest = max(whole - after - sum(own.values()), 0)
    return own | {rest_to: own.get(rest_to, 0) + rest}


def run_income(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of income that a `fund` pays.

    Given the `units` that an account had, the income `per_unit` in major units of money and, where the rule pays in units,
    the `price` of reinvesting, returns `paid_as` and what the account gets: `units`, or `cash` in major units.

    Raises:
        NoDistributionRule: the product has no such rule, or deals in no fund.
        UnknownFund, PriceNotUsable: see there.
    """
    given = Given.of(context)
    found, funds = context.rule(IncomeDistributionRule), context.rule(FundsRule)
    if found is None or funds is None:
        raise NoDistributionRule(product=context.product.code, day=context.on.isoformat())
    fund, per_unit = funds.rule.fund(given.text("fund")), price_of(given.text("per_unit"))
    held = rounded(Fraction(Decimal(given.text("units"))) * 10**fund.unit_scale, "down")
    if found.rule.paid_as == "units":
        got = Ratio.paid_in_units(per_unit, price_of(given.text("price"))).of(held)
        return {"paid_as": "units", "units": in_units(got, fund.unit_scale)}
    ratio = Ratio.paid_in_cash(per_unit, amount_scale=context.asset.scale, unit_scale=fund.unit_scale)
    return {"paid_as": "cash", "cash": in_major(ratio.of(held), context.asset)}
