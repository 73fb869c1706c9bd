"""How often a pensioner proves to be alive, and up to which day a pension is due after a death. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Literal

from msgspec import Meta

from engine.benefits.errors import LifeProofNotTaken, NoSuchRule
from engine.benefits.rules.parameters import Days
from engine.funds.rules import Given
from engine.kernel.months import months_after
from engine.kernel.rules import Rule
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.manifest import Code
from engine.tenancy.rules.proving import ScenarioContext


class ProofOfLifeRule(Rule, tag="proof-of-life", frozen=True, kw_only=True):
    """How often whoever gets a pension proves to be alive, by whose word, and when a pension ends after a death.

    A proof holds for `every_months` from the day the pensioner was seen; `grace_days` later payments are held back, and
    nothing is lost: what fell due meanwhile is paid once they are seen. `sources` are whose word is taken, such as a
    register's or an agent's. After a death the last payment is that due on its day, or by the end of its month.
    """

    every_months: Annotated[int, Meta(ge=1, le=120, description="a number of months from 1 to 120")]
    grace_days: Days
    sources: Annotated[tuple[Code, ...], Meta(min_length=1)]
    after_death: Literal["day-of-death", "month-of-death"]


@dataclass(frozen=True, slots=True)
class LifeProven:
    """By when the next proof is due, and the last day on which a pensioner is paid without it."""

    due_on: date
    until: date


def life_proven(rule: ProofOfLifeRule, seen_on: date) -> LifeProven:
    """Return how far a proof carries whose pensioner was seen on a day."""
    due_on = months_after(seen_on, rule.every_months)
    return LifeProven(due_on, due_on + timedelta(days=rule.grace_days))


def check_life_proof(found: InForce[ProofOfLifeRule], seen_on: date, source: str, on: date) -> None:
    """Check that a proof may be taken.

    Raises:
        LifeProofNotTaken: its source is not one of the rule's, or its day has not come.
    """
    if source not in found.rule.sources or seen_on > on:
        raise LifeProofNotTaken(sources=", ".join(found.rule.sources))


def ends_on(rule: ProofOfLifeRule | None, died_on: date) -> date:
    """Return the first day on which nothing is due after a death; without a rule the day after it."""
    if rule is None or rule.after_death == "day-of-death":
        return died_on + timedelta(days=1)
    return months_after(died_on.replace(day=1), 1)


def run_proof_of_life(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of a proof: given the day one was `seen_on` by a `source`, or `died_on`.

    Returns `due_on` and the last day `paid_until`, or `ends_on`.

    Raises:
        NoSuchRule: nobody has to prove to be alive.
        LifeProofNotTaken: see there.
    """
    given, found = Given.of(context), context.rule(ProofOfLifeRule)
    if found is None:
        raise NoSuchRule(rule="proof-of-life")
    if given.has("died_on"):
        return {"ends_on": ends_on(found.rule, given.day("died_on")).isoformat()}
    check_life_proof(found, given.day("seen_on"), given.text("source"), context.on)
    proven = life_proven(found.rule, given.day("seen_on"))
    return {"due_on": proven.due_on.isoformat(), "paid_until": proven.until.isoformat()}
