"""Money that becomes a member's only by a later choice, shown apart from the balance. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from engine.benefits.errors import NoSuchRule
from engine.benefits.rules.parameters import Origin, share_of
from engine.benefits.rules.retirement import RetirementOptionRule
from engine.funds.rules import FundsRule, Given, in_major
from engine.kernel.rounding import Rounding
from engine.kernel.rules import AppliesBy, Rule
from engine.kernel.series import Figure, Figures
from engine.tenancy.errors import PackProblem
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.manifest import Code
from engine.tenancy.rules.packs import Pack
from engine.tenancy.rules.proving import ScenarioContext


class ConditionalEntitlementRule(Rule, tag="conditional-entitlement", frozen=True, kw_only=True):
    """Money that becomes a member's only by a later choice, shown apart from the balance until then.

    Schemes whose state match is paid at retirement to those who turn their savings into a pension need it. `share_bp` of
    what was contributed of `origins`, at most `most`, is promised by `payer`. It becomes the member's, in the `pot` and as
    money of the origin `becomes`, once a claim by the retirement option `choice` is payable; a claim by another option, an
    exit, a transfer to another scheme and a death let it lapse. Products in funds may have none.
    """

    many: ClassVar[bool] = True
    may_apply_by: ClassVar[tuple[AppliesBy, ...]] = ("event", "joining")
    choice: Code
    origins: Annotated[tuple[Origin, ...], Meta(min_length=1)]
    share_bp: Annotated[int, Meta(ge=1, le=100_000, description="basis points from 1 to 100000")]
    most: Figure | None = None
    payer: Code
    pot: Code
    becomes: Origin = "state-match"
    rounding: Rounding


class Promised(Struct, frozen=True, kw_only=True):
    """What a rule promises a member, smallest units (> 0): by which choice it becomes theirs, where, and who pays it."""

    rule: str
    ref: str
    choice: str
    payer: str
    pot: str
    origin: str
    minor: int


@dataclass(frozen=True, slots=True)
class ConditionalEntitlement:
    """What is promised and not the member's yet, and what has become theirs."""

    conditional_minor: int
    granted_minor: int
    payer: str
    reason: Literal["", "awaits-choice", "other-choice"]
    rules: tuple[str, ...]


def conditional_entitlement(
    found: InForce[ConditionalEntitlementRule],
    contributed: Mapping[str, int],
    figures: Figures,
    *,
    on: date,
    choice: str = "",
) -> ConditionalEntitlement:
    """Return a promise as it stands, given contributions by origin and the choice made, if any."""
    rule = found.rule
    base = sum(contributed.get(one, 0) for one in rule.origins)
    promised = share_of(base, rule.share_bp, rule.rounding)
    if rule.most is not None:
        promised = min(promised, figures.amount(rule.most, on).units)
    if not choice:
        return ConditionalEntitlement(promised, 0, rule.payer, "awaits-choice", (found.ref,))
    if choice == rule.choice:
        return ConditionalEntitlement(0, promised, rule.payer, "", (found.ref,))
    return ConditionalEntitlement(0, 0, rule.payer, "other-choice", (found.ref,))


def promised(
    rules: Sequence[InForce[ConditionalEntitlementRule]],
    contributed: Mapping[str, int],
    figures: Figures,
    *,
    on: date,
    settled: frozenset[str] = frozenset(),
) -> tuple[Promised, ...]:
    """Return what is promised to a member who has not chosen yet, given contributions by origin, smallest units.

    Rules that are `settled`, by their ids, became money or lapsed before. Raises SeriesValueMissing as a rule's most is.
    """
    found = []
    for one in rules:
        rule = one.rule
        minor = conditional_entitlement(one, contributed, figures, on=on).conditional_minor
        if minor > 0 and rule.id not in settled:
            found.append(
                Promised(
                    rule=rule.id,
                    ref=one.ref,
                    choice=rule.choice,
                    payer=rule.payer,
                    pot=rule.pot,
                    origin=rule.becomes,
                    minor=minor,
                )
            )
    return tuple(found)


def promise_problems(pack: Pack) -> list[PackProblem]:
    """Return where promises of a pack name a choice, a pot, an origin or a payer that is none, or are of a product in funds."""
    problems = []
    for product, book in pack.books.items():
        rules = [one.rule for one in book.versions()]
        options = {one.id for one in rules if isinstance(one, RetirementOptionRule)}
        pots = {one.code for one in pack.product(product).pots}
        allowed: Mapping[str, tuple[set[str], str]] = {
            "choice": (options, "is no retirement option of the product"),
            "pot": (pots, "is no pot of the product"),
            "becomes": ({*pack.product(product).origins}, "is no origin of money of the product"),
            "payer": ({*pack.manifest.roles}, "is none of the pack's roles"),
        }
        for version in book.versions():
            rule = version.rule
            if not isinstance(rule, ConditionalEntitlementRule):
                continue
            file = f"{product}/rules/{version.page or version.effective_from.isoformat()}.toml"
            for key, (names, reason) in allowed.items():
                value = getattr(rule, key)
                if value not in names:
                    known = ", ".join(sorted(names)) or "none"
                    problems.append(PackProblem(file, f"{rule.id}.{key}", f"{value} {reason}: {known}"))
            if any(isinstance(one, FundsRule) for one in rules):
                reason = "the product is in funds, and a promise becomes cash: leave the promise out, or the funds"
                problems.append(PackProblem(file, f"{rule.id}.pot", reason))
    return problems


def run_conditional_entitlement(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of a promise: given its id as `entitlement`, what was `contributed` by origin, and a `choice`.

    Returns `conditional`, `granted`, `payer` and `reason`.

    Raises:
        NoSuchRule: there is no such promise.
    """
    given, asset = Given.of(context), context.asset
    wanted = given.text("entitlement")
    found = next((one for one in context.rules(ConditionalEntitlementRule) if one.rule.id == wanted), None)
    if found is None:
        raise NoSuchRule(rule=wanted)
    contributed = given.amounts("contributed")
    if found.rule.most is not None:
        promised = share_of(
            sum(contributed.get(one, 0) for one in found.rule.origins), found.rule.share_bp, found.rule.rounding
        )
        context.compare(found, "most", promised, context.figures.amount(found.rule.most, context.on).units)
    stands = conditional_entitlement(
        found, contributed, context.figures, on=context.on, choice=given.text("choice", "")
    )
    return {
        "conditional": in_major(stands.conditional_minor, asset),
        "granted": in_major(stands.granted_minor, asset),
        "payer": stands.payer,
        "reason": stands.reason,
    }
