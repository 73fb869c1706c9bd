"""How well a member is known, and what may be paid at that level; proof of belonging to a group. Pure."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from engine.enrolment.errors import GroupProofMissing, GroupProofNotAccepted, LevelNotReached
from engine.enrolment.rules.parameters import Code, Days, listed
from engine.kernel.rules import AppliesBy, Rule
from engine.kernel.series import Figure, Figures
from engine.tenancy.rules.books import InForce

MoneyOutcome = Literal["refuse", "suspense"]
"""What becomes of money that a rule does not let in: sent back at once, or kept apart until somebody decides."""


class KycLevel(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A level: who shows `least` of `documents` through one of `channels` (none named: any) has it, and its limits."""

    level: Code
    documents: Annotated[tuple[Code, ...], Meta(min_length=1)]
    least: Annotated[int, Meta(ge=1, le=10)] = 1
    channels: tuple[Code, ...] = ()
    most_payment: Figure | None = None
    most_in_year: Figure | None = None
    most_balance: Figure | None = None


class KycTiersRule(Rule, tag="kyc-tiers", frozen=True, kw_only=True):
    """How well a member must be known for how much money (E6): levels, the lowest first, each with its limits.

    Nigeria (three tiers of the central bank), Ghana and wallets everywhere need it. A member has the highest level whose
    documents they show. Limits are included, of one payment, of a scheme year's payments and of the balance after the
    payment; what exceeds one is refused or kept in suspense, as `over` says.
    """

    may_apply_by: ClassVar[tuple[AppliesBy, ...]] = ("event", "joining")
    levels: Annotated[tuple[KycLevel, ...], Meta(min_length=1)]
    over: MoneyOutcome

    def __post_init__(self) -> None:
        """Check that every level is there once and can be reached."""
        names = [one.level for one in self.levels]
        if len(set(names)) < len(names):
            raise ValueError("levels holds a level twice")
        if any(one.least > len(one.documents) for one in self.levels):
            raise ValueError("least is at most the number of documents")


class GroupProofRule(Rule, tag="group-proof", frozen=True, kw_only=True):
    """What proves that a person belongs to a group (E7): a union's letter, a registered business.

    Nigeria (evidence of an association, a union or a business), NPS-Lite and Zambia's associations need it. Where it is
    `required` it is shown on joining, or within `within_days` after it.
    """

    proofs: Annotated[tuple[Code, ...], Meta(min_length=1)]
    required: bool
    within_days: Days = 0


@dataclass(frozen=True, slots=True)
class LevelVerdict:
    """What becomes of a payment at a level: taken, or the outcome for what exceeds `limit`."""

    outcome: Literal["taken", "refuse", "suspense"]
    limit: Literal["", "most_payment", "most_in_year", "most_balance"]
    rules: tuple[str, ...]


def level_of(found: InForce[KycTiersRule] | None, documents: Collection[str], channel: str) -> str:
    """Return the highest level that those kinds of documents reach through a channel; "" where the product has none.

    Raises:
        LevelNotReached: they reach not even the lowest.
    """
    if found is None:
        return ""
    reached = [
        one.level
        for one in found.rule.levels
        if len(set(one.documents) & set(documents)) >= one.least and (not one.channels or channel in one.channels)
    ]
    if not reached:
        raise LevelNotReached(
            field="documents", allowed=listed({one for level in found.rule.levels for one in level.documents})
        )
    return reached[-1]


def limits_of(rule: KycTiersRule, level: str) -> KycLevel | None:
    """Return a level by its name; None where the rule has no such level any more."""
    return next((one for one in rule.levels if one.level == level), None)


def check_level(
    found: InForce[KycTiersRule], level: str, *, paid: int, in_year: int, balance: int, figures: Figures, on: date
) -> LevelVerdict:
    """Return what becomes of a payment by a member of a level; one of an unknown level has the lowest.

    Args:
        found: the rule.
        level: the member's.
        paid: the payment, smallest units.
        in_year: what was paid in the scheme year before it, smallest units.
        balance: the balance before it, smallest units.
        figures: what the limits are worth.
        on: the day of the payment.

    """
    limits = limits_of(found.rule, level) or found.rule.levels[0]
    if _exceeds(paid, limits.most_payment, figures, on):
        return LevelVerdict(found.rule.over, "most_payment", (found.ref,))
    if _exceeds(paid + in_year, limits.most_in_year, figures, on):
        return LevelVerdict(found.rule.over, "most_in_year", (found.ref,))
    if _exceeds(paid + balance, limits.most_balance, figures, on):
        return LevelVerdict(found.rule.over, "most_balance", (found.ref,))
    return LevelVerdict("taken", "", (found.ref,))


def _exceeds(units: int, most: Figure | None, figures: Figures, on: date) -> bool:
    return most is not None and units > figures.amount(most, on).units


def group_proof_due(found: InForce[GroupProofRule] | None, proof: str, on: date) -> date | None:
    """Return the last day on which the proof of a group may still be shown; None where nothing is outstanding.

    Args:
        found: the rule; None asks for nothing.
        proof: what the person shows; "" for nothing.
        on: the day of joining.

    Raises:
        GroupProofMissing, GroupProofNotAccepted: see there.
    """
    if found is None:
        return None
    rule = found.rule
    if proof and proof not in rule.proofs:
        raise GroupProofNotAccepted(field="group_proof", allowed=listed(rule.proofs))
    if proof or not rule.required:
        return None
    if not rule.within_days:
        raise GroupProofMissing(field="group_proof", allowed=listed(rule.proofs))
    return on + timedelta(days=rule.within_days)
