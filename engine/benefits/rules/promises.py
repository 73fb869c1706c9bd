"""Money that becomes a member's only by a later choice, shown apart from the balance. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from engine.benefits.errors import NoSuchRule
from engine.benefits.rules.parameters import Origin, share_of
from engine.funds.rules import Given, in_major
from engine.kernel.rounding import Rounding
from engine.kernel.rules import Rule
from engine.kernel.series import Figure, Figures
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.manifest import Code
from engine.tenancy.rules.proving import ScenarioContext


class ConditionalEntitlementRule(Rule, tag="conditional-entitlement", frozen=True, kw_only=True):
    """Money that becomes a member's only by a later choice, shown apart from the balance until then.

    Schemes whose state match is paid at retirement to those who turn their savings into a pension need it. `share_bp` of
    what was contributed of `origins`, at most `most`, is promised by `payer`; it becomes the member's when they make
    `choice`, and lapses when they make another.
    """

    many: ClassVar[bool] = True
    is_carried_out: ClassVar[bool] = False
    choice: Code
    origins: Annotated[tuple[Origin, ...], Meta(min_length=1)]
    share_bp: Annotated[int, Meta(ge=1, le=100_000, description="basis points from 1 to 100000")]
    most: Figure | None = None
    payer: Code
    rounding: Rounding


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
