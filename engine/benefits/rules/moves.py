"""What a member keeps who moves from one product to another, by their own will or the law's. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Annotated, ClassVar, Literal, get_args

from msgspec import Meta

from engine.benefits.errors import CannotMove, ConsentNeeded
from engine.funds.rules import Given, in_major
from engine.kernel.rules import Rule
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.manifest import Code
from engine.tenancy.rules.proving import ScenarioContext

Kept = Literal["joining-date", "first-contribution", "last-withdrawal", "cost-basis", "nominees", "consents"]
KEPT: tuple[Kept, ...] = get_args(Kept)


class ProductMoveRule(Rule, tag="product-move", frozen=True, kw_only=True):
    """A way from another product into this one (T3).

    Nigeria needs it (the Micro Pension Plan and voluntary contributions became the Personal Pension Plan in September
    2025) and NPS-Lite (its members moved to APY). `act`: the member switches, two accounts merge, or the law re-designates
    the product, which needs nobody's consent. `keeps` are the facts that move along; others begin anew on the day of the
    move. Where the member has both products, dates are the earlier or the later of the two, or this product's
    (`both_dates`), and nominees and consents are this product's or the moved ones (`both_choices`). `pots` say which pot
    each old one becomes; every pot with money must be there. Money moves `moves_as` units of the same fund, or units are
    sold and what they bring is invested anew. An `undertaking` to pay ends with the product left, or is carried into this
    one where its rules take it and the member has none here. Nominees and consents are the person's in the engine, one and the same in
    every product: a rule that leaves them behind is refused when somebody moves.
    """

    many: ClassVar[bool] = True
    one_for: ClassVar[tuple[str, ...]] = ("from_product",)
    from_product: Code
    act: Literal["switch", "merge", "re-designation"]
    keeps: tuple[Kept, ...]
    pots: Annotated[Mapping[Code, Code], Meta(min_length=1)]
    moves_as: Literal["units", "money"]
    both_dates: Literal["earlier", "later", "this-products"]
    both_choices: Literal["this-products", "moved"]
    needs_consent: bool
    undertaking: Literal["ends", "carried"] = "ends"

    def __post_init__(self) -> None:
        """Check that a re-designation asks nobody, and each fact stands once."""
        if self.act == "re-designation" and self.needs_consent:
            raise ValueError("a re-designation is the law's: needs_consent = false")
        if len(set(self.keeps)) < len(self.keeps):
            raise ValueError("keeps holds a fact twice")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a product knows of a member. Money and its cost are smallest units by pot; choices are versions' names."""

    joined_on: date
    first_paid_on: date | None = None
    last_withdrawn_on: date | None = None
    money: Mapping[str, int]
    cost: Mapping[str, int]
    nominees: str = ""
    consents: tuple[str, ...] = ()


def move_member(
    found: InForce[ProductMoveRule], old: Standing, new: Standing | None, *, on: date, has_consent: bool
) -> Standing:
    """Return a member's standing in the product they moved into; all money of the old one is in it.

    Args:
        found: the rule.
        old: the standing in the product left.
        new: that in the product moved into, None where the member is not in it yet.
        on: the day of the move.
        has_consent: whether the member agreed.

    Raises:
        ConsentNeeded: the member has to agree.
        CannotMove: a pot with money has no place in the new product.

    """
    rule = found.rule
    if rule.needs_consent and not has_consent:
        raise ConsentNeeded
    homeless = sorted(pot for pot, minor in old.money.items() if minor and pot not in rule.pots)
    if homeless:
        raise CannotMove(pots=", ".join(homeless))
    money = _moved(rule, old.money)
    moved = Standing(
        joined_on=old.joined_on if "joining-date" in rule.keeps else on,
        first_paid_on=old.first_paid_on if "first-contribution" in rule.keeps else on,
        last_withdrawn_on=old.last_withdrawn_on if "last-withdrawal" in rule.keeps else None,
        money=money,
        cost=_moved(rule, old.cost) if "cost-basis" in rule.keeps else money,
        nominees=old.nominees if "nominees" in rule.keeps else "",
        consents=old.consents if "consents" in rule.keeps else (),
    )
    return moved if new is None else _merged(rule, moved, new)


def _moved(rule: ProductMoveRule, amounts: Mapping[str, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for pot, minor in amounts.items():
        if minor:
            found[rule.pots[pot]] = found.get(rule.pots[pot], 0) + minor
    return found


def _merged(rule: ProductMoveRule, moved: Standing, new: Standing) -> Standing:
    def date_of(mine: date | None, theirs: date | None) -> date | None:
        if rule.both_dates == "this-products" or theirs is None:
            return mine
        if mine is None:
            return theirs
        return min(mine, theirs) if rule.both_dates == "earlier" else max(mine, theirs)

    def sums(mine: Mapping[str, int], theirs: Mapping[str, int]) -> dict[str, int]:
        return {pot: mine.get(pot, 0) + theirs.get(pot, 0) for pot in sorted({*mine, *theirs})}

    takes_moved = rule.both_choices == "moved"
    return replace(
        new,
        joined_on=date_of(new.joined_on, moved.joined_on) or new.joined_on,
        first_paid_on=date_of(new.first_paid_on, moved.first_paid_on),
        last_withdrawn_on=date_of(new.last_withdrawn_on, moved.last_withdrawn_on),
        money=sums(new.money, moved.money),
        cost=sums(new.cost, moved.cost),
        nominees=(moved.nominees if takes_moved else new.nominees) or new.nominees or moved.nominees,
        consents=(moved.consents if takes_moved else new.consents) or new.consents or moved.consents,
    )


def run_product_move(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of a move into its product.

    Given `from_product`, the standing `old = { … }` (and `new` where the member has both) with `joined_on`, `first_paid_on`,
    `last_withdrawn_on`, `money` and `cost` by pot, `nominees` and `consents`, and `consent`, returns them as they are after.

    Raises:
        CannotMove: there is no way from that product, or a pot has no place here.
        ConsentNeeded: see there.
    """
    given, asset = Given.of(context), context.asset
    product = given.text("from_product")
    found = next((one for one in context.rules(ProductMoveRule) if one.rule.from_product == product), None)
    if found is None:
        raise CannotMove(pots=product)
    new = _standing(given, "new", context.on) if given.has("new") else None
    after = move_member(
        found, _standing(given, "old", context.on), new, on=context.on, has_consent=given.flag("consent")
    )
    return {
        "joined_on": after.joined_on.isoformat(),
        "first_paid_on": "" if after.first_paid_on is None else after.first_paid_on.isoformat(),
        "last_withdrawn_on": "" if after.last_withdrawn_on is None else after.last_withdrawn_on.isoformat(),
        "nominees": after.nominees,
        "consents": ", ".join(after.consents),
        **{f"money.{pot}": in_major(minor, asset) for pot, minor in after.money.items()},
        **{f"cost.{pot}": in_major(minor, asset) for pot, minor in after.cost.items()},
    }


def _standing(given: Given, name: str, on: date) -> Standing:
    one = given.inner(name)
    return Standing(
        joined_on=one.day("joined_on", on),
        first_paid_on=one.maybe_day("first_paid_on"),
        last_withdrawn_on=one.maybe_day("last_withdrawn_on"),
        money=one.amounts("money"),
        cost=one.amounts("cost"),
        nominees=one.text("nominees", ""),
        consents=one.texts("consents"),
    )
