"""What proves a fact where the usual paper is not to be had. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from engine.benefits.errors import NoSuchRule, NotProven
from engine.benefits.rules.parameters import Count, Months
from engine.funds.rules import Given
from engine.kernel.months import months_after
from engine.kernel.rules import Rule
from engine.kernel.series import Figure, Figures
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.manifest import Code
from engine.tenancy.rules.proving import ScenarioContext


class ProofSet(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Documents that together prove a fact, each issued within `within_months`, for claims of `most` at most."""

    documents: Annotated[tuple[Code, ...], Meta(min_length=1)]
    within_months: Months | None = None
    most: Figure | None = None
    approvals: Count = 1


class ProofRule(Rule, tag="proof", frozen=True, kw_only=True):
    """What proves a fact, in order of preference; the first set that is complete is taken (W13).

    Claims after a death ask for the facts "death", "spouse", "survivors" (heirs by law), "payee" and "minor".

    Haba Haba needs it (a medical certificate for invalidity; a letter of the chief or of a community authority), and
    whoever pays on a death where no certificate is issued. `approvals` of a set are how many people must accept it.
    """

    many: ClassVar[bool] = True
    one_for: ClassVar[tuple[str, ...]] = ("fact",)
    fact: Code
    alternatives: Annotated[tuple[ProofSet, ...], Meta(min_length=1)]


@dataclass(frozen=True, slots=True)
class Proof:
    """Which alternative (from 1) proves the fact, by which documents, and how many people must accept it."""

    alternative: int
    documents: tuple[str, ...]
    approvals: int
    rules: tuple[str, ...]


def proof_of(
    found: InForce[ProofRule],
    presented: Sequence[tuple[str, date]],
    claim_minor: int,
    figures: Figures,
    on: date,
) -> Proof:
    """Return what proves a fact for a claim of smallest units.

    Args:
        found: the rule.
        presented: the documents there are, by kind and day of issue.
        claim_minor: how much is claimed; 0 where no money is.
        figures: what the rule's amounts are worth.
        on: the day of the claim.

    Raises:
        NotProven: none of the alternatives is complete, recent enough and good for so much.

    """
    for number, one in enumerate(found.rule.alternatives, 1):
        if one.most is not None and claim_minor > figures.amount(one.most, on).units:
            continue
        fresh = {
            kind
            for kind, issued_on in presented
            if issued_on <= on and (one.within_months is None or on <= months_after(issued_on, one.within_months))
        }
        if set(one.documents) <= fresh:
            return Proof(number, one.documents, one.approvals, (found.ref,))
    wanted = " / ".join(" + ".join(one.documents) for one in found.rule.alternatives)
    raise NotProven(fact=found.rule.fact, wanted=wanted)


def run_proof(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of a proof: given the `fact`, `documents = [{ kind, issued_on }]` and the `claim`.

    Returns `alternative`, `documents` and `approvals`.

    Raises:
        NoSuchRule: no rule says what proves the fact.
        NotProven: see there.
    """
    given = Given.of(context)
    found = next((one for one in context.rules(ProofRule) if one.rule.fact == given.text("fact")), None)
    if found is None:
        raise NoSuchRule(rule=given.text("fact"))
    presented = [(one.text("kind"), one.day("issued_on")) for one in given.rows("documents")]
    claim = given.minor("claim", 0)
    for number, one in enumerate(found.rule.alternatives, 1):
        key = f"alternatives[{number}]"
        if one.most is not None:
            context.compare(found, f"{key}.most", claim, context.figures.amount(one.most, context.on).units)
        for kind, issued_on in presented:
            if one.within_months is not None and kind in one.documents:
                last = months_after(issued_on, one.within_months)
                context.compare(found, f"{key}.within_months", context.on.toordinal(), last.toordinal())
    proof = proof_of(found, presented, claim, context.figures, context.on)
    return {
        "alternative": str(proof.alternative),
        "documents": ", ".join(proof.documents),
        "approvals": str(proof.approvals),
    }
