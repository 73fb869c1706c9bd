"""What is done where a published price was wrong: whom it touches, what is put right, and who bears the rest. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from engine.funds.errors import NoCorrectionRule
from engine.funds.rules.dealing import WHOLE_BP, FundsRule, in_units, price_of
from engine.funds.rules.examples import Given, in_major
from engine.kernel.amounts import Amount, Asset
from engine.kernel.prices import Price, units_for, value_of
from engine.kernel.rounding import rounded
from engine.kernel.rules import BY_EVENT, AppliesBy, Rule
from engine.kernel.series import Money
from engine.tenancy.rules.proving import ScenarioContext

Bearer = Literal["fund", "party"]


class WrongPriceRule(Rule, tag="wrong-price", frozen=True, kw_only=True):
    """What follows from a published price that was wrong (R1).

    Every scheme in funds needs it. An error of less than `material_bp` basis points of the right price is recorded and
    reported, and nothing more; CSSF circular 24/856 sets 50 for bond and mixed funds, 100 for shares, 20 for the money
    market. From there on everybody is put where the right price would have put them. Who bought too few units gets the
    rest, who sold for too little the rest of the money: out of the fund, which had it too long, or out of the pocket of
    the party at fault, as `made_whole_by` says. Who got too much gives it back in units, as far as they still hold them;
    what they no longer hold they are asked for from `pursued_from` on, each account for itself (never, where that is left
    out), and below it the party at fault pays. Who is at fault is said with each correction: it is a fact, not a rule.
    """

    may_apply_by: ClassVar[tuple[AppliesBy, ...]] = BY_EVENT
    material_bp: Annotated[int, Meta(ge=1, le=WHOLE_BP, description="basis points of the right price, from 1 to 10000")]
    made_whole_by: Bearer
    pursued_from: Money | None = None


class CorrectionTerms(Struct, frozen=True, kw_only=True):
    """By what a correction goes: the rule's figures in smallest units of money, and the rules."""

    material_bp: int
    made_whole_by: Bearer
    pursued_from: int | None
    rules: tuple[str, ...]

    @classmethod
    def strictest(cls, rules: Mapping[str, WrongPriceRule], money: Asset) -> "CorrectionTerms":
        """Return the terms of a fund that several products deal in: for each figure the one that is best for members.

        Args:
            rules: by their references; at least one.
            money: the scheme's.

        """
        limits = [
            None if one.pursued_from is None else Amount.parse(one.pursued_from, money).units for one in rules.values()
        ]
        return cls(
            material_bp=min(one.material_bp for one in rules.values()),
            made_whole_by="party" if any(one.made_whole_by == "party" for one in rules.values()) else "fund",
            pursued_from=None if None in limits else max(one for one in limits if one is not None),
            rules=tuple(sorted(rules)),
        )


def error_bp(wrong: Price, right: Price) -> int:
    """Return how far a wrong price is from the right one, in whole basis points of the right one, rounded down."""
    exact = abs(Fraction(wrong.decimal()) - Fraction(right.decimal())) * WHOLE_BP / Fraction(right.decimal())
    return rounded(exact, "down")


def is_material(wrong: Price, right: Price, material_bp: int) -> bool:
    """Return whether an error is as large as the rule's figure, or larger."""
    difference = abs(Fraction(wrong.decimal()) - Fraction(right.decimal()))
    return difference * WHOLE_BP >= material_bp * Fraction(right.decimal())


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """One account that a wrong price touched, in smallest units.

    `bought` is what its money would have bought at the right price, less what it bought; `sold` what its units would have
    brought, less what they brought; `held` the units that it holds now.
    """

    bought: int
    sold: int
    held: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PutRight:
    """What is done on an account: units `issued` to it and `taken` from it, money `paid` into it.

    `owed` is what the member is asked for, `borne` what the party at fault pays in their place; `made_whole` what it pays
    for those who lost, where the rule says so. In smallest units.
    """

    issued: int
    taken: int
    paid: int
    owed: int
    borne: int
    made_whole: int


def put_right(one: Touched, terms: CorrectionTerms, right: Price, *, money_scale: int, unit_scale: int) -> PutRight:
    """Return what is done on an account.

    Units bought too many are taken as far as they are held. Then units are taken for money that was paid too much: as many
    as that buys at the right price, rounded down, so that nobody is left with less than they should have. What is not
    covered by then is worth its units at the right price, rounded up, and the rest of the money.
    """

    def value(units: int) -> int:
        return value_of(units, amount_scale=money_scale, price=right, unit_scale=unit_scale)

    def cost(units: int) -> int:
        exact = Fraction(right.decimal()) * units * Fraction(10) ** (money_scale - unit_scale)
        return rounded(exact, "up")

    issued, surplus = max(one.bought, 0), max(-one.bought, 0)
    taken = min(surplus, one.held)
    paid, excess = max(one.sold, 0), max(-one.sold, 0)
    buys = units_for(excess, amount_scale=money_scale, price=right, unit_scale=unit_scale)
    for_money = min(one.held + issued - taken, buys)
    gone = cost(surplus - taken) + excess - value(for_money)
    is_asked = terms.pursued_from is not None and gone >= terms.pursued_from
    return PutRight(
        issued=issued,
        taken=taken + for_money,
        paid=paid,
        owed=gone if is_asked else 0,
        borne=0 if is_asked else gone,
        made_whole=cost(issued) + paid if terms.made_whole_by == "party" else 0,
    )


def run_wrong_price(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of a wrong price of one `fund`.

    Given the `wrong` price and the `right` one, what the account `bought` for in major units of money and the units it
    `sold` at the wrong price, and the units it `held` when it was put right, returns `material`; and where it is,
    the units `issued` and `taken`, and the money `paid`, `owed` and `borne` by the party at fault, in major units.

    Raises:
        NoCorrectionRule: the product has no such rule, or deals in no fund.
        UnknownFund, PriceNotUsable: see there.
    """
    given = Given.of(context)
    found, funds = context.rule(WrongPriceRule), context.rule(FundsRule)
    if found is None or funds is None:
        raise NoCorrectionRule(product=context.product.code, day=context.on.isoformat())
    fund, money = funds.rule.fund(given.text("fund")), context.asset
    wrong, right = price_of(given.text("wrong")), price_of(given.text("right"))
    context.compare(found, "material_bp", error_bp(wrong, right), found.rule.material_bp)
    terms = CorrectionTerms.strictest({found.ref: found.rule}, money)
    if not is_material(wrong, right, terms.material_bp):
        return {"material": "false"}
    bought, sold = given.minor("bought", 0), _units(given.text("sold", "0"), fund.unit_scale)

    def buys(price: Price) -> int:
        return units_for(bought, amount_scale=money.scale, price=price, unit_scale=fund.unit_scale)

    def brings(price: Price) -> int:
        return value_of(sold, amount_scale=money.scale, price=price, unit_scale=fund.unit_scale)

    done = put_right(
        Touched(
            bought=buys(right) - buys(wrong),
            sold=brings(right) - brings(wrong),
            held=_units(given.text("held", "0"), fund.unit_scale),
        ),
        terms,
        right,
        money_scale=money.scale,
        unit_scale=fund.unit_scale,
    )
    if terms.pursued_from is not None:
        context.compare(found, "pursued_from", done.owed + done.borne, terms.pursued_from)
    return {
        "material": "true",
        "issued": in_units(done.issued, fund.unit_scale),
        "taken": in_units(done.taken, fund.unit_scale),
        "paid": in_major(done.paid, money),
        "owed": in_major(done.owed, money),
        "borne": in_major(done.borne + done.made_whole, money),
    }


def _units(text: str, scale: int) -> int:
    return rounded(Fraction(text) * 10**scale, "down")
