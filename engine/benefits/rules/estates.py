"""What a dead member's account gives to whom: on which ground, by what proof, in which shares, to the last unit. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from engine.benefits.errors import NoSuchRule, NotProven
from engine.benefits.rules.claiming import (
    Asked,
    Claimant,
    ClaimTerms,
    Granted,
    as_guaranteed,
    decide_claim,
    vested_only,
)
from engine.benefits.rules.consuming import Holding
from engine.benefits.rules.corpus import CorpusRule, corpus_due
from engine.benefits.rules.history import SchemeYear
from engine.benefits.rules.minors import MinorTrustRule
from engine.benefits.rules.parameters import share_of
from engine.benefits.rules.proofs import ProofRule, proof_of
from engine.benefits.rules.survivors import SpouseRule, spouse_entitlement
from engine.kernel.amounts import Amount, Asset
from engine.kernel.months import anniversary
from engine.kernel.series import Figures
from engine.kernel.tables import LookupTable
from engine.tenancy.rules.books import InForce

Basis = Literal["spouse", "nominees", "heirs", "fund", "state"]
Choice = Literal["", "exit", "contribute-on"]
Split = Mapping[tuple[str, str], int]
"""Smallest units by (pot, origin)."""

DEATH = "death"
"""The ground of exits and taxes on a death, and the fact that proves it."""
SURVIVORS, SPOUSE, PAYEE, MINOR = "survivors", "spouse", "payee", "minor"
"""Facts of `proof` rules: who the heirs are where nobody was named, who was married, who a payee is, a grown-up or a child."""
USUAL_PROOFS: Mapping[str, tuple[str, ...]] = {
    DEATH: ("death-certificate",),
    SURVIVORS: ("succession-certificate",),
    SPOUSE: ("marriage-certificate",),
    PAYEE: ("identity",),
    MINOR: ("birth-certificate", "guardian-identity"),
}
"""What proves a fact where no rule says: the papers that every register and court issues."""
NO_SPOUSE, SPOUSE_CHOICE, HEIRS = "no-spouse-declaration", "spouse-choice", "heirs"
"""What a claim lacks that is no proof: that there is no spouse, what the spouse chose, who the heirs are."""
MAJORITY = 18
"""The age at which a child's money is theirs where no rule says: Convention on the Rights of the Child, article 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeathTerms:
    """The rules in force on a member's death."""

    corpora: Sequence[InForce[CorpusRule]] = ()
    spouse: InForce[SpouseRule] | None = None
    proofs: Sequence[InForce[ProofRule]] = ()
    trust: InForce[MinorTrustRule] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heir:
    """Somebody who may inherit: named by the member or by law, with a share in basis points; `is_out` died before, or renounced."""

    heir_no: int
    named_as: Literal["nominee", "heir"]
    share_bp: int
    is_spouse: bool = False
    is_out: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeathCase:
    """A death as it is known: when, whether a register says so, who may inherit, and which documents are there.

    `minor` is what the account gives, smallest units; `has_begun` says that the member had a benefit that is paid over time. A `corpus` by a table is
    unknown where no pension is on record, due, or given already: what comes later is paid as it is.
    """

    on: date
    died_on: date
    born_on: date | None
    is_registered: bool
    has_begun: bool = False
    corpus: Literal["unknown", "due", "given"] = "unknown"
    minor: int = 0
    choice: Choice = ""
    documents: frozenset[str] = frozenset()
    heirs: tuple[Heir, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitled:
    """Who inherits, and what is still missing before it can be decided.

    `weights` are by heir's number; empty where the money goes to the fund or the state. The account `goes_on` where the
    spouse pays in until a day, or, as heir `survivor`, has `pension_bp` basis points of the member's pension.
    """

    basis: Basis
    weights: Mapping[int, int]
    missing: tuple[str, ...]
    rules: tuple[str, ...]
    corpus: InForce[CorpusRule] | None = None
    goes_on: bool = False
    until: date | None = None
    pension_bp: int = 0
    survivor: int = 0


def entitled(terms: DeathTerms, case: DeathCase, figures: Figures) -> Entitled:
    """Return who inherits a member's account, by the pack's rules.

    A living spouse comes first where a rule of `spouse-continuation` lets them leave with the account, or go on paying in;
    once a pension began, its part is theirs, and the account goes on.
    Else the `corpus` rule says: nominees share by what the member gave them; the share of one who died before, or who
    renounces, goes to the others in proportion; without any of them, `without_nominee` says who. Heirs by law share as
    the proof of who they are says.

    Raises:
        NoSuchRule: no rule says where the money goes after this death, or the amount is a table's.
    """
    living = [one for one in case.heirs if not one.is_out]
    spouse = next((one for one in living if one.is_spouse), None)
    missing = list(_missing_death(terms, case, figures))
    if terms.spouse is not None:
        if spouse is not None and case.has_begun:
            return _pension_of(terms, terms.spouse, spouse, case, figures, missing)
        if spouse is not None:
            return _of_spouse(terms, terms.spouse, spouse, case, figures, missing)
        if not any(one.is_spouse for one in case.heirs) and NO_SPOUSE not in case.documents:
            missing.append(NO_SPOUSE)
    corpus = _corpus(terms, case)
    rule = corpus.rule
    nominees = [one for one in living if one.named_as == "nominee"]
    basis: Basis = rule.to
    if basis == "nominees" and not nominees:
        basis = rule.without_nominee
    sharing = nominees if basis == "nominees" else [one for one in living if one.named_as == "heir"]
    if basis in ("fund", "state"):
        sharing = []
    rules: tuple[str, ...] = (corpus.ref,)
    if basis == "heirs":
        proof, proven_by = _proof(terms, SURVIVORS, case, figures)
        missing.extend(proof)
        rules += proven_by
    if basis in ("nominees", "heirs") and not sharing:
        missing.append(HEIRS)
    return Entitled(
        basis=basis,
        weights={one.heir_no: one.share_bp for one in sharing},
        missing=tuple(missing),
        rules=rules,
        corpus=corpus,
    )


def _of_spouse(
    terms: DeathTerms, found: InForce[SpouseRule], spouse: Heir, case: DeathCase, figures: Figures, missing: list[str]
) -> Entitled:
    proof, proven_by = _proof(terms, SPOUSE, case, figures) if spouse.named_as == "heir" else ((), ())
    missing.extend(proof)
    may = spouse_entitlement(found, born_on=case.born_on or case.died_on, died_on=case.died_on, pension_minor=None)
    choice = case.choice or (may.choices[0] if len(may.choices) == 1 else "")
    if choice not in may.choices:
        missing.append(SPOUSE_CHOICE)
    goes_on = choice == "contribute-on" and choice in may.choices
    return Entitled(
        basis="spouse",
        weights={} if goes_on else {spouse.heir_no: 1},
        missing=tuple(missing),
        rules=(*may.rules, *proven_by),
        goes_on=goes_on,
        until=may.contributes_until if goes_on else None,
    )


def _pension_of(
    terms: DeathTerms, found: InForce[SpouseRule], spouse: Heir, case: DeathCase, figures: Figures, missing: list[str]
) -> Entitled:
    proof, proven_by = _proof(terms, SPOUSE, case, figures) if spouse.named_as == "heir" else ((), ())
    return Entitled(
        basis="spouse",
        weights={},
        missing=(*missing, *proof),
        rules=(found.ref, *proven_by),
        goes_on=True,
        pension_bp=found.rule.pension_bp,
        survivor=spouse.heir_no,
    )


def _corpus(terms: DeathTerms, case: DeathCase) -> InForce[CorpusRule]:
    spouse_died = any(one.is_spouse and one.is_out for one in case.heirs)
    wanted: tuple[str, ...] = ("member-before-benefit",)
    if case.has_begun:
        wanted = ("member-and-spouse", "member") if spouse_died else ("member",)
    for after in wanted:
        for found in terms.corpora:
            rule = found.rule
            is_payable = rule.table is None or (case.corpus != "unknown" and rule.above_table == "same")
            if rule.after == after and is_payable:
                return found
    raise NoSuchRule(rule=f"corpus ({wanted[0]})")


def _missing_death(terms: DeathTerms, case: DeathCase, figures: Figures) -> tuple[str, ...]:
    """Return what proves the death and is not there; a register's word is enough where no rule asks for papers."""
    is_ruled = any(one.rule.fact == DEATH for one in terms.proofs)
    return () if case.is_registered and not is_ruled else _proof(terms, DEATH, case, figures)[0]


def _proof(terms: DeathTerms, fact: str, case: DeathCase, figures: Figures) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what lacks for the proof of a fact, and the rules that say so."""
    found = next((one for one in terms.proofs if one.rule.fact == fact), None)
    if found is None:
        return tuple(one for one in USUAL_PROOFS[fact] if one not in case.documents), ()
    try:
        # The day of issue is not told: a paper counts as issued on the day it was brought.
        proof = proof_of(found, [(one, case.on) for one in sorted(case.documents)], case.minor, figures, case.on)
    except NotProven as error:
        return (str(error.details["wanted"]),), (found.ref,)
    return (), proof.rules


def payee_lacks(terms: DeathTerms, documents: frozenset[str], minor: int, figures: Figures, on: date, *, is_minor: bool) -> tuple[str, ...]:  # fmt: skip
    """Return the documents that an heir still has to bring before `minor` smallest units are paid to them."""
    case = DeathCase(on=on, died_on=on, born_on=None, is_registered=True, minor=minor, documents=documents)
    return _proof(terms, MINOR if is_minor else PAYEE, case, figures)[0]


def majority_of(trust: InForce[MinorTrustRule] | None, born_on: date) -> date:
    """Return the day from which all of a child's money is theirs."""
    if trust is None:
        return anniversary(born_on, MAJORITY)
    return anniversary(born_on, trust.rule.releases[-1].at_age, trust.rule.leap_day)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pensioned:
    """A pension that has ended: the keys of its table, the reserve that the pool of a `role` was given; smallest units.

    The corpus is booked at a `place`, the first pot and origin that the pension was paid from.
    """

    keys: Mapping[str, str]
    reserve: int
    role: str
    place: tuple[str, str]


def with_corpus(
    found: Entitled, granted: Granted, pension: Pensioned, tables: Mapping[str, LookupTable], asset: Asset
) -> Granted:
    """Return what leaves a dead pensioner's account with what it lacks of the corpus, which the pool gives, or who tops it up.

    Raises:
        TableValueMissing: the table has no such row.
    """
    if found.corpus is None or found.corpus.rule.table is None or found.basis in ("fund", "state"):
        return granted
    rule = found.corpus.rule
    due = corpus_due(rule, granted.minor + pension.reserve, keys=pension.keys, tables=tables, asset=asset)
    return replace(
        granted,
        parts=granted.parts or (Holding(*pension.place, 0),),
        top_up_minor=due - granted.minor,
        topped_up_by=rule.tops_up or "",
    )


def estate_of(
    found: Entitled, terms: ClaimTerms, member: Claimant, figures: Figures, year_of: SchemeYear, asset: Asset
) -> Granted:
    """Return what leaves a dead member's account: all of it, or what an `early-exit` rule on the ground of death says.

    What goes to the fund or the state is forfeited to it. An account that holds nothing gives nothing.

    Raises:
        EngineError: what `decide_claim` refuses of an exit.
    """
    held = tuple(one for one in member.holdings if one.minor)
    if held and found.basis not in ("fund", "state") and any(one.rule.ground == DEATH for one in terms.exits):
        # No loan stands in the way of heirs: savings that are pledged are waited for before this.
        free = replace(member, loans=())
        return decide_claim(terms, Asked(kind="exit", ground=DEATH), free, figures, year_of, asset)
    rule = found.corpus.rule.id if found.corpus is not None else found.rules[0].partition("@")[0]
    if found.basis in ("fund", "state"):
        return Granted(rule=rule, parts=(), rules=(), forfeited=held, forfeited_to=found.basis)
    left = vested_only(terms, Granted(rule=rule, parts=held, rules=()), member, DEATH)
    return as_guaranteed(terms, left, member, figures, [DEATH])


def kept_of(owing: int, shared: int, keeps_bp: int) -> int:
    """Return what of heirs' money is kept for what is owed back, smallest units: a part of all that they share, rounded down."""
    return min(owing, share_of(shared, keeps_bp, "down"))


def share_parts(parts: Split, weights: Mapping[int, int]) -> dict[int, dict[tuple[str, str], int]]:
    """Divide money by heirs, nothing lost: each heir's whole share by largest remainders, of each pot and origin alike.

    Args:
        parts: smallest units (>= 0) by pot and origin.
        weights: of each heir, by number; not all 0.

    Each heir has the whole number of smallest units that `Amount.share_out` gives of the sum. Each cell is first rounded
    down in proportion; what is left over fills the heirs' shares in the order of pots, origins and heirs.

    """
    heirs, places = sorted(weights), sorted(parts)
    total = sum(weights.values())
    whole = sum(parts.values())
    shares = Amount(whole, Asset("", 0)).share_out([weights[one] for one in heirs])
    cells = {(heir, place): parts[place] * weights[heir] // total for heir in heirs for place in places}
    lacks = {heir: share.units - sum(cells[heir, place] for place in places) for heir, share in zip(heirs, shares, strict=True)}  # fmt: skip
    for place in places:
        left = parts[place] - sum(cells[heir, place] for heir in heirs)
        for heir in heirs:
            more = min(left, lacks[heir])
            cells[heir, place] += more
            lacks[heir] -= more
            left -= more
    return {heir: {place: cells[heir, place] for place in places if cells[heir, place]} for heir in heirs}


def shared_anew(whole: int, paid: Mapping[int, int], weights: Mapping[int, int]) -> dict[int, int]:
    """Return what each heir still gets of `whole` smallest units once shares are others, after some were paid.

    What was paid in good faith stays paid: it counts towards the share of whoever got it. What is left goes to those who
    have less than their share, in proportion to what they lack, nothing lost.
    """
    asset = Asset("", 0)
    heirs = sorted(weights)
    shares = Amount(whole, asset).share_out([weights[one] for one in heirs])
    lacks = [max(share.units - paid.get(heir, 0), 0) for heir, share in zip(heirs, shares, strict=True)]
    left = Amount(whole - sum(paid.values()), asset)
    if not left.units:
        return {}
    return {heir: part.units for heir, part in zip(heirs, left.share_out(lacks), strict=True) if part.units}


def as_holdings(parts: Split) -> tuple[Holding, ...]:
    """Return money by pot and origin in their order."""
    return tuple(Holding(pot, origin, minor) for (pot, origin), minor in sorted(parts.items()) if minor)
