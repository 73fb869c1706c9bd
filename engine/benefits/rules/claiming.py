"""What a claim is granted: which money of a member it takes, by the rule it names, and the tax on it. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import Literal

import msgspec
from msgspec import Struct

from engine.benefits.errors import (
    AboveLoanCeiling,
    AnnuityFirst,
    GuaranteeNotOffered,
    LenderNeeded,
    LoanRunning,
    MoreThanAccessible,
    NoBenefitAge,
    NoSuchRule,
    NotCovered,
    NothingAtOnce,
    NothingToTransfer,
    PensionNotOffered,
    SavingsFrozen,
    SavingsPledged,
)
from engine.benefits.rules.access import AccessCase, AccessRule, accessible, withdraw
from engine.benefits.rules.ages import BenefitAgeRule, BenefitStart, benefit_start, check_benefit_age
from engine.benefits.rules.clocks import TimeLimitRule
from engine.benefits.rules.consuming import Consumed, Holding, consume, reachable, remaining
from engine.benefits.rules.cover import CoverCase, CoverRule, WaitingPeriodRule, check_waited, cover_on, months_waited
from engine.benefits.rules.exits import EarlyExitRule, OriginMoney, exit_rule, leave
from engine.benefits.rules.history import Paid, SchemeYear
from engine.benefits.rules.loans import LoanCase, LoanRule, check_loan, loan_ceiling
from engine.benefits.rules.pensions import PensionRule
from engine.benefits.rules.premiums import UNINSURED, Insurance
from engine.benefits.rules.promises import ConditionalEntitlementRule, Promised, promised
from engine.benefits.rules.retirement import RetirementOptionRule, plan_retirement
from engine.benefits.rules.schedules import SchedulePlan, plan_schedule
from engine.benefits.rules.survivors import GuaranteePeriodRule
from engine.benefits.rules.taxes import ExitTaxRule, Tranche, attribute, withhold
from engine.benefits.rules.topping import guarantee_for, least_of, movements_of, topped
from engine.benefits.rules.transfers import TransferOutRule, transfer_of
from engine.benefits.rules.vesting import Leaving, as_vested
from engine.contributions.rules import VestingRule
from engine.funds.rules import GuaranteeCase, GuaranteeRule, Movement, guaranteed_minor
from engine.kernel.amounts import Amount, Asset
from engine.kernel.errors import EngineError
from engine.kernel.months import whole_months
from engine.kernel.rules import Dates, Rule
from engine.kernel.series import Figures
from engine.kernel.tables import LookupTable
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.packs import Pack

ClaimKind = Literal["access", "retirement", "exit", "loan", "cover", "transfer"]


class ClaimState(StrEnum):
    """How far a claim has come, as it is stored."""

    OPEN = "open"
    """Documents are missing."""
    DECIDED = "decided"
    """The rules granted it; it waits for another person."""
    SELLING = "selling"
    PAYABLE = "payable"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    PLEDGED = "pledged"
    """The savings stay, and secure a loan of somebody else; `loans` say what is owed."""
    ASKED = "asked"
    """Whoever pays the sum of a cover is asked for it."""
    CONTINUED = "continued"
    """After a death the spouse pays in on: nothing is paid."""


RETIREMENT = "retirement"
"""The ground of a benefit at its age, and the occasion of what is guaranteed then."""
STATE_MATCH = "state-match"
LOAN: ClaimKind = "loan"
COVER: ClaimKind = "cover"
TRANSFER: ClaimKind = "transfer"
"""A claim by which savings go to another scheme; the ground, too, on which such a claim is taxed."""
INSURER = "insurer"
"""The origin of what a cover pays."""
WITHDRAWAL = "withdrawal"
"""The ground on which what is taken before retirement is taxed."""
_UNITS = Asset("", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimTerms:
    """The rules in force for a member's claim."""

    access: Sequence[InForce[AccessRule]] = ()
    age: InForce[BenefitAgeRule] | None = None
    options: Sequence[InForce[RetirementOptionRule]] = ()
    exits: Sequence[InForce[EarlyExitRule]] = ()
    taxes: Sequence[InForce[ExitTaxRule]] = ()
    limits: Sequence[InForce[TimeLimitRule]] = ()
    loans: Sequence[InForce[LoanRule]] = ()
    guarantees: Sequence[InForce[GuaranteeRule]] = ()
    covers: Sequence[InForce[CoverRule]] = ()
    pensions: Sequence[InForce[PensionRule]] = ()
    guarantee: InForce[GuaranteePeriodRule] | None = None
    waits: Sequence[InForce[WaitingPeriodRule]] = ()
    transfer: InForce[TransferOutRule] | None = None
    promises: Sequence[InForce[ConditionalEntitlementRule]] = ()
    vesting: Sequence[InForce[VestingRule]] = ()
    tables: Mapping[str, LookupTable] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a member claims: `rule` is the access rule, retirement option or loan; an exit has its rule by the ground.

    `minor` is None for as much as the rule gives. `lump_bp` is None for the largest lump sum. A loan is paid back in
    `instalments`, as many as the rule allows if None; `lender` and its yearly rate `lender_percent` are of a pledge. Of a
    cover the ground is the peril, which `happened_on` a day. A transfer is asked for by the member, or `by_scheme`, the other one.
    """

    kind: ClaimKind
    rule: str = ""
    ground: str = ""
    purpose: str = ""
    documents: frozenset[str] = frozenset()
    minor: int | None = None
    lump_bp: int | None = None
    years: int | None = None
    is_pre_tax: bool = False
    instalments: int | None = None
    lender: str = ""
    lender_percent: str = ""
    happened_on: date | None = None
    by_scheme: bool = False


@dataclass(frozen=True, slots=True)
class RunningLoan:
    """A loan or pledge of a member that is not ended, by its rule: smallest units still owed, and what of it is pledged.

    `is_frozen` says that no money may be taken until it is paid.
    """

    rule: str
    owed_minor: int
    pledged: tuple[Holding, ...] = ()
    is_frozen: bool = False


@dataclass(frozen=True, slots=True)
class PaidIn:
    """A contribution of smallest units to a pot, and whether it was taken back; negative, money of a funder given back."""

    on: date
    pot: str
    origin: str
    minor: int
    is_reversed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimant:
    """A member who claims: what is free to be claimed, what they paid in, and earlier claims that were granted.

    `withdrawn` are the day and amount of earlier claims by each rule; `taken` the day, pot, origin and amount of all of them;
    `returned` are the pots of each and how much of it were contributions. `loans` are those that run; what they pledge is
    not among `holdings`. `keys` are what tables of guarantees may be kept by: the slab that was undertaken. Who
    `holds_units` is paid what these bring. `class_code` is the class on the day that a cover is claimed of,
    and `insurance` what premiums insure them. `settled` are the rules whose promises became money or lapsed before.
    """

    on: date
    joined_on: date
    born_on: date | None = None
    sex: str = ""
    slab: str = ""
    holdings: tuple[Holding, ...] = ()
    paid: tuple[PaidIn, ...] = ()
    withdrawn: Mapping[str, tuple[tuple[date, int], ...]] = field(default_factory=dict)
    taken: tuple[tuple[date, str, str, int], ...] = ()
    returned: tuple[tuple[frozenset[str], int], ...] = ()
    loans: tuple[RunningLoan, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    holds_units: bool = False
    class_code: str = ""
    insurance: Insurance = UNINSURED
    settled: frozenset[str] = frozenset()

    @property
    def contributed(self) -> dict[str, int]:
        """Return what was paid in by origin, less what was taken back, smallest units."""
        found: dict[str, int] = {}
        for one in self.paid:
            if not one.is_reversed:
                found[one.origin] = found.get(one.origin, 0) + one.minor
        return found

    def returned_from(self, pots: Collection[str]) -> int:
        """Return how many contributions to some pots earlier claims have returned."""
        return sum(minor for of, minor in self.returned if of & set(pots))

    @property
    def first_paid_on(self) -> date:
        """Return the day of the first contribution, today where there was none."""
        return min((one.on for one in self.paid), default=self.on)


class Guaranteeing(Struct, frozen=True, kw_only=True):
    """The least that a claim pays, smallest units, who adds what lacks, and whether what is above is theirs."""

    least: int
    by: str
    takes_excess: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What a claim takes, smallest units: `parts` become payable, `forfeited` leave the member for a role.

    `top_up` is what a role adds, to the first part. `pooled` goes to the pool that pays the `schedule`, which is what is paid
    later, or buys an annuity from the role `insurer`; `not_before` is the first day on which the choice may be approved. `guarantee` is what a guarantee says, where one does.
    Of what goes to another scheme `charge_minor` is for the role `charge_to`. `promised` becomes the member's by this choice
    before the rest is taken, and counts as held.
    """

    rule: str
    parts: tuple[Holding, ...]
    rules: tuple[str, ...]
    forfeited: tuple[Holding, ...] = ()
    forfeited_to: str = ""
    top_up_minor: int = 0
    topped_up_by: str = ""
    pooled: tuple[Holding, ...] = ()
    insurer: str = ""
    schedule: SchedulePlan | None = None
    not_before: date | None = None
    guarantee: Guaranteeing | None = None
    charge_minor: int = 0
    charge_to: str = ""
    promised: tuple[Promised, ...] = ()

    @property
    def minor(self) -> int:
        """Return what becomes payable before tax."""
        return sum(one.minor for one in self.parts) + self.top_up_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class Taxed:
    """The tax on a claim, smallest units, and how much of the claim were contributions."""

    tax_minor: int
    returned_minor: int
    rules: tuple[str, ...]


def missing_documents(terms: ClaimTerms, asked: Asked) -> tuple[str, ...]:
    """Return the documents that the purpose or the option of a claim still lacks; until they are there it is not complete."""
    if asked.kind == TRANSFER and terms.transfer is not None:
        rule = terms.transfer.rule
        wanted = rule.scheme_documents if asked.by_scheme else rule.documents
        return tuple(one for one in wanted if one not in asked.documents)
    for option in terms.options:
        if asked.kind == "retirement" and option.rule.id == asked.rule:
            return tuple(one for one in option.rule.documents if one not in asked.documents)
    for found in terms.access:
        if asked.kind == "access" and found.rule.id == asked.rule:
            for purpose in found.rule.purposes:
                if purpose.code == asked.purpose:
                    return tuple(one for one in purpose.documents if one not in asked.documents)
    return ()


def rules_named(terms: ClaimTerms, asked: Asked) -> tuple[str, ...]:
    """Return the versions of the rules that a claim is decided by, whatever they say."""
    if asked.kind == "exit":
        exits = [one for one in terms.exits if one.rule.ground == asked.ground]
        return (*(one.ref for one in exits), *_waits_of(terms, *(one.rule.id for one in exits)))
    if asked.kind == COVER:
        return tuple(one.ref for one in terms.covers if one.rule.id == asked.rule)
    if asked.kind == LOAN:
        return tuple(one.ref for one in terms.loans if one.rule.id == asked.rule)
    if asked.kind == TRANSFER:
        return () if terms.transfer is None else (terms.transfer.ref,)
    waits = _waits_of(terms, asked.rule)
    if asked.kind == "access":
        return (*(one.ref for one in terms.access if one.rule.id == asked.rule), *waits)
    options = tuple(one.ref for one in terms.options if one.rule.id == asked.rule)
    return (*(() if terms.age is None else (terms.age.ref,)), *options, *waits)


def _waits_of(terms: ClaimTerms, *benefits: str) -> tuple[str, ...]:
    return tuple(one.ref for one in terms.waits if {*one.rule.benefits} & {*benefits})


def claim_terms(pack: Pack, product: str, claimant: Claimant) -> ClaimTerms:
    """Return the rules of a pack by which a member claims on a day; those of a pension by the day on which it begins."""
    year_from, _ = pack.product(product).scheme_year(claimant.on)
    dates = Dates(
        on=claimant.on,
        joined_on=claimant.joined_on,
        born_on=claimant.born_on,
        tranche_on=claimant.on,
        scheme_year_from=year_from,
        benefit_from=claimant.on,
    )
    book = pack.books[product]
    age = book.in_force(BenefitAgeRule, dates)
    begins = dates
    if age is not None and claimant.born_on is not None:
        with suppress(NoBenefitAge):
            begins = replace(dates, benefit_from=begins_on(age, claimant).day)
    return ClaimTerms(
        pensions=book.all_in_force(PensionRule, begins),
        guarantee=book.in_force(GuaranteePeriodRule, begins),
        tables=pack.tables,
        access=book.all_in_force(AccessRule, dates),
        age=age,
        options=book.all_in_force(RetirementOptionRule, begins),
        exits=book.all_in_force(EarlyExitRule, dates),
        taxes=book.all_in_force(ExitTaxRule, dates),
        limits=book.all_in_force(TimeLimitRule, dates),
        waits=book.all_in_force(WaitingPeriodRule, dates),
        loans=book.all_in_force(LoanRule, dates),
        guarantees=book.all_in_force(GuaranteeRule, begins),
        transfer=book.in_force(TransferOutRule, dates),
        promises=book.all_in_force(ConditionalEntitlementRule, dates),
        vesting=book.all_in_force(VestingRule, dates),
    )


def promised_to(terms: ClaimTerms, member: Claimant, figures: Figures) -> tuple[Promised, ...]:
    """Return what is promised to a member who has not made the choice it waits for; SeriesValueMissing as a rule's most is."""
    return promised(terms.promises, member.contributed, figures, on=member.on, settled=member.settled)


def _chosen(terms: ClaimTerms, asked: Asked, member: Claimant, figures: Figures) -> tuple[Promised, ...]:
    if asked.kind != "retirement":
        return ()
    return tuple(one for one in promised_to(terms, member, figures) if one.choice == asked.rule)


def _with(member: Claimant, given: Sequence[Promised]) -> Claimant:
    """Return a member who has what was promised besides what they held."""
    held = {(one.pot, one.origin): one.minor for one in member.holdings}
    for one in given:
        held[one.pot, one.origin] = held.get((one.pot, one.origin), 0) + one.minor
    return replace(member, holdings=tuple(Holding(*place, minor) for place, minor in sorted(held.items())))


def begins_on(age: InForce[BenefitAgeRule], claimant: Claimant, ground: str = "") -> BenefitStart:
    """Return when a member's benefit begins; NoBenefitAge as `benefit_start`, or where their birth date is not known."""
    if claimant.born_on is None:
        raise NoBenefitAge
    return benefit_start(
        age,
        born_on=claimant.born_on,
        sex=claimant.sex,
        counted_from=claimant.joined_on if age.rule.counted_from == "joining" else claimant.first_paid_on,
        on=claimant.on,
        ground=ground,
    )


def access_case(rule: AccessRule, asked: Asked, member: Claimant) -> AccessCase:
    """Return a member's case by an access rule: the contributions are those to the pots and of the origins it takes."""
    return AccessCase(
        on=member.on,
        joined_on=member.joined_on,
        born_on=member.born_on,
        holdings=member.holdings,
        paid=tuple(
            Paid(one.on, one.minor, one.is_reversed)
            for one in member.paid
            if one.pot in rule.order.pots and one.origin in rule.order.origins
        ),
        withdrawn=member.withdrawn.get(rule.id, ()),
        purpose=asked.purpose,
        documents=asked.documents,
        ground=asked.ground,
    )


def decide_claim(
    terms: ClaimTerms, asked: Asked, member: Claimant, figures: Figures, year_of: SchemeYear, asset: Asset
) -> Granted:
    """Return what a claim takes.

    A retirement option pays its lump sum; the rest stays for its later payments, by a schedule. What was promised to whoever
    chooses it is held by then. An exit takes the whole account: what is
    paid, and what is forfeited.

    Raises:
        SavingsFrozen: a loan is in default, and the rule freezes the savings.
        SavingsPledged: who leaves or retires has savings pledged to a lender.
        LoanRunning: savings are to go to another scheme, and a loan is not paid back.
        NoSuchRule: the scheme has no rule by which this is claimed.
        NothingAtOnce: the option pays no lump sum.
        AnnuityFirst: part of what a leaver gets must buy an annuity.
        StillWaiting: a waiting period is not over; what the state paid in does not count.
        EngineError: what `transfer_of`, `withdraw`, `check_loan`, `plan_retirement`, `benefit_start` and `leave` refuse.
    """
    if asked.kind == COVER:
        return _covered(terms, asked, member, figures, year_of)
    if any(one.is_frozen for one in member.loans):
        raise SavingsFrozen
    if asked.kind == LOAN:
        return _loan(terms, asked, member, figures, asset)
    if asked.kind != "access" and any(one.pledged for one in member.loans):
        raise SavingsPledged
    given = _chosen(terms, asked, member, figures)
    if given:
        member = _with(member, given)
    if asked.kind == TRANSFER:
        granted = _transfer(terms, member, figures)
    elif asked.kind == "access":
        granted = _access(terms, asked, member, figures, year_of, asset)
    elif asked.kind == "retirement":
        granted = _retirement(terms, asked, member, figures)
        granted = as_guaranteed(terms, granted, member, figures, [asked.ground or "retirement"])
    else:
        left = vested_only(terms, _exit(terms, asked, member, figures), member, asked.ground)
        if not left.minor:
            raise NothingAtOnce(option=left.rule)
        granted = as_guaranteed(terms, left, member, figures, [asked.ground, "exit"])
    paid = tuple(Paid(one.on, one.minor, one.is_reversed) for one in member.paid if one.origin != STATE_MATCH)
    for found in terms.waits:
        if granted.rule in found.rule.benefits:
            waited = months_waited(found, paid, joined_on=member.joined_on, on=member.on, figures=figures)
            check_waited(found, waited)
    rules = (*granted.rules, *_waits_of(terms, granted.rule), *(one.ref for one in given))
    return replace(granted, rules=rules, promised=given)


def vested_only(terms: ClaimTerms, granted: Granted, member: Claimant, ground: str) -> Granted:
    """Return what is granted to who leaves on a ground, without what has not vested, which is forfeited with its income.

    Raises:
        NoExit: as `as_vested`.
    """
    contributed: dict[str, int] = {}
    for one in member.paid:
        contributed[one.origin] = contributed.get(one.origin, 0) + (0 if one.is_reversed else one.minor)
    for _, _, origin, minor in member.taken:
        contributed[origin] = contributed.get(origin, 0) - minor
    case = Leaving(
        ground=ground,
        months=whole_months(member.joined_on, member.on),
        age=None if member.born_on is None else whole_months(member.born_on, member.on) // 12,
        contributed=contributed,
        holds_units=member.holds_units,
    )
    found = as_vested(terms.vesting, granted.parts, granted.forfeited, granted.forfeited_to, case)
    return replace(
        granted,
        parts=found.parts,
        forfeited=found.forfeited,
        forfeited_to=found.forfeited_to,
        rules=(*granted.rules, *found.rules),
    )


def as_guaranteed(
    terms: ClaimTerms, granted: Granted, member: Claimant, figures: Figures, occasions: Sequence[str]
) -> Granted:
    """Return what is granted, raised to what is guaranteed on an occasion, where it takes all that its pots hold.

    The guarantee is of those pots, and of the money that is paid: contributions of origins that are forfeited do not count. What units bring is
    raised once they are sold (`raised_to`).

    Raises:
        GuaranteeNotOffered: it would add to what is paid over time, or to what another role adds, or its key is not known.
    """
    found = guarantee_for(terms.guarantees, occasions)
    if found is None or not granted.parts or granted.pooled:  # what goes to a pool has its least there
        return granted
    pots = {one.pot for one in (*granted.parts, *granted.forfeited)}
    lost = {one.origin for one in granted.forfeited} - {one.origin for one in granted.parts}
    paid = [
        Movement(one.on, one.minor)
        for one in member.paid
        if not one.is_reversed and one.pot in pots and one.origin not in lost
    ]
    taken = [Movement(on, -minor) for on, pot, origin, minor in member.taken if pot in pots and origin not in lost]
    case = GuaranteeCase(on=member.on, contributions=movements_of(paid, taken), keys=member.keys)
    least = least_of(found, case, figures, terms.tables)
    whole = sum(one.minor for one in member.holdings if one.pot in pots)
    if sum(one.minor for one in (*granted.parts, *granted.forfeited)) != whole or granted.schedule is not None:
        if whole < least:
            raise GuaranteeNotOffered(guarantee=found.rule.id)
        return granted
    excess = found.rule.excess == "guarantor"
    said = Guaranteeing(least=least, by=found.rule.tops_up, takes_excess=excess)
    if member.holds_units:
        return replace(granted, rules=(*granted.rules, found.ref), guarantee=said)
    raised = topped(granted.parts, least - granted.top_up_minor, to_guarantor=excess)
    if (raised.top_up_minor and granted.topped_up_by not in ("", found.rule.tops_up)) or (
        raised.excess and granted.forfeited_to not in ("", found.rule.tops_up)
    ):
        raise GuaranteeNotOffered(guarantee=found.rule.id)
    return replace(
        granted,
        parts=raised.paid,
        forfeited=(*granted.forfeited, *raised.excess),
        forfeited_to=found.rule.tops_up if raised.excess else granted.forfeited_to,
        top_up_minor=granted.top_up_minor + raised.top_up_minor,
        topped_up_by=granted.topped_up_by or found.rule.tops_up,
        rules=(*granted.rules, found.ref),
        guarantee=said,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Available:
    """One way to take money, smallest units; None where it is not open, with the refusal's code and details.

    `purposes` are those it is open for, each with the documents that it needs. `schedule` is what it pays later.
    """

    kind: ClaimKind
    rule: Rule
    ground: str
    minor: int | None
    reason: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    purposes: Mapping[str, list[str]] = field(default_factory=dict)
    schedule: SchedulePlan | None = None


def available(
    terms: ClaimTerms, member: Claimant, figures: Figures, year_of: SchemeYear, asset: Asset
) -> tuple[Available, ...]:
    """Return every way to take money, with what it gives on its own ground, for its first purpose, all documents brought."""
    found = [
        _tried(terms, asked, rule, member, figures, year_of, asset, purposes) for asked, rule, purposes in ways(terms)
    ]
    return tuple(one for one in found if one is not None)


def ways(terms: ClaimTerms) -> Iterator[tuple[Asked, Rule, Mapping[str, list[str]]]]:
    """Yield what may be claimed, by which rule, and the purposes it is open for with the documents that each needs."""
    for access in terms.access:
        purposes = {one.code: list(one.documents) for one in access.rule.purposes}
        asked = Asked(
            kind="access",
            rule=access.rule.id,
            ground=access.rule.ground or "",
            purpose=next(iter(purposes), ""),
            documents=frozenset(next(iter(purposes.values()), ())),
        )
        yield asked, access.rule, purposes
    for option in terms.options:
        for ground in option.rule.grounds:
            asked = Asked(
                kind="retirement", rule=option.rule.id, ground=ground, documents=frozenset(option.rule.documents)
            )
            yield asked, option.rule, {}
    for early in terms.exits:
        yield Asked(kind="exit", ground=early.rule.ground), early.rule, {}
    for loan in terms.loans:
        # Of a pledge the lender's rate is not known yet: what it gives at no interest is the most.
        yield Asked(kind=LOAN, rule=loan.rule.id, lender="lender", lender_percent="0"), loan.rule, {}


def _tried(
    terms: ClaimTerms,
    asked: Asked,
    rule: Rule,
    member: Claimant,
    figures: Figures,
    year_of: SchemeYear,
    asset: Asset,
    purposes: Mapping[str, list[str]],
) -> Available | None:
    """Return what a way gives; None if another rule of the same ground decides today."""
    minor, reason, details, schedule = None, "", {}, None
    try:
        granted = decide_claim(terms, asked, member, figures, year_of, asset)
        if asked.kind == "exit" and granted.rule != rule.id:
            return None
        minor, schedule = granted.minor, granted.schedule
    except EngineError as error:
        reason, details = error.code, {name: str(value) for name, value in error.details.items()}
    return Available(
        kind=asked.kind, rule=rule, ground=asked.ground, minor=minor, reason=reason, details=details, purposes=purposes,
        schedule=schedule,
    )  # fmt: skip


def tax_of(
    terms: ClaimTerms,
    ground: str,
    minor: int,
    tranches: Sequence[Tranche],
    figures: Figures,
    *,
    on: date,
    joined_on: date,
) -> Taxed:
    """Return the tax on what is taken (at most what the tranches hold) on a ground; none where no rule names the ground."""
    if minor == 0:
        return Taxed(tax_minor=0, returned_minor=0, rules=())
    found = [one for one in terms.taxes if ground in one.rule.on_grounds]
    if not found:
        taken = attribute("proportional", minor, tranches)
        return Taxed(tax_minor=0, returned_minor=sum(contribution for _, contribution, _ in taken), rules=())
    withheld = [withhold(one, minor, tranches, figures, on=on, joined_on=joined_on) for one in found]
    return Taxed(
        tax_minor=min(sum(one.tax_minor for one in withheld), minor),
        returned_minor=sum(part.contribution_minor for part in withheld[0].parts),
        rules=tuple(ref for one in withheld for ref in one.rules),
    )


def tax_on(
    terms: ClaimTerms, asked: Asked, granted: Granted, member: Claimant, figures: Figures, *, is_pre_tax: bool
) -> Taxed:
    """Return the tax on what is paid of a claim at once."""
    tranches = tranches_of(member, pots_of(granted), held_for(granted, member), is_pre_tax=is_pre_tax)
    ground = ground_taxed(asked.kind, asked.ground)
    return tax_of(terms, ground, granted.minor, tranches, figures, on=member.on, joined_on=member.joined_on)


def ground_taxed(kind: str, ground: str) -> str:
    """Return the ground on which a claim is taxed."""
    if kind in (LOAN, COVER, TRANSFER):
        return kind
    return WITHDRAWAL if kind == "access" else ground or RETIREMENT


def pots_of(granted: Granted) -> list[str]:
    """Return the pots whose tranches a claim is taxed by: those it takes from now or later."""
    return sorted(granted.schedule.terms.order.pots if granted.schedule else {one.pot for one in granted.parts})


def held_for(granted: Granted, member: Claimant) -> int:
    """Return what is held in those pots, with what a role adds and what was promised, smallest units."""
    pots = pots_of(granted)
    held = sum(one.minor for one in member.holdings if one.pot in pots)
    return held + granted.top_up_minor + sum(one.minor for one in granted.promised if one.pot in pots)


def tranches_of(member: Claimant, pots: Sequence[str], minor_held: int, *, is_pre_tax: bool) -> tuple[Tranche, ...]:
    """Return the tranches of money held in some pots: the contributions to them, and income.

    Earlier claims returned contributions of all tranches in proportion. What is held beyond contributions is income, what
    is lacking a loss; either is shared by what was contributed, nothing lost.
    """
    paid = [one for one in member.paid if one.pot in pots and one.minor > 0 and not one.is_reversed]
    weights = [one.minor for one in paid]
    if not paid:
        return (Tranche(member.on, 0, minor_held, is_pre_tax),)
    left = min(max(sum(weights) - member.returned_from(pots), 0), minor_held)
    contributions = [one.units for one in Amount(left, _UNITS).share_out(weights)]
    incomes = [one.units for one in Amount(minor_held - left, _UNITS).share_out(weights)]
    return tuple(
        Tranche(one.on, contribution, income, is_pre_tax)
        for one, contribution, income in zip(paid, contributions, incomes, strict=True)
    )


def _access(
    terms: ClaimTerms, asked: Asked, member: Claimant, figures: Figures, year_of: SchemeYear, asset: Asset
) -> Granted:
    found = next((one for one in terms.access if one.rule.id == asked.rule), None)
    if found is None:
        raise NoSuchRule(rule=asked.rule)
    case = access_case(found.rule, asked, member)
    most = accessible(found, case, figures, year_of)
    minor = most.minor if asked.minor is None else asked.minor
    if minor == 0:
        raise MoreThanAccessible(most=f"{Amount(0, asset).decimal():.{asset.scale}f}", reason=most.reason or "limit")
    return _granted(found.rule.id, withdraw(found, minor, case, figures, year_of), (found.ref,))


def _loan(terms: ClaimTerms, asked: Asked, member: Claimant, figures: Figures, asset: Asset) -> Granted:
    found = next((one for one in terms.loans if one.rule.id == asked.rule), None)
    if found is None:
        raise NoSuchRule(rule=asked.rule)
    if found.rule.form == "pledge" and not (asked.lender and (asked.lender_percent or found.rule.percent)):
        raise LenderNeeded
    running = [one for one in member.loans if one.rule == found.rule.id]
    case = LoanCase(
        on=member.on,
        joined_on=member.joined_on,
        holdings=(*member.holdings, *(part for one in member.loans for part in one.pledged)),
        lender_percent=asked.lender_percent or None,
        running=len(member.loans),
        owed_minor=sum(one.owed_minor for one in running),
    )
    most = min(loan_ceiling(found, case, figures), reachable(member.holdings, found.rule.base))
    minor = most if asked.minor is None else asked.minor
    check_loan(found, minor, asked.instalments or found.rule.most_instalments, case, figures)
    if not 0 < minor <= most:
        raise AboveLoanCeiling(most=f"{Amount(most, asset).decimal():.{asset.scale}f}")
    return _granted(found.rule.id, consume(minor, member.holdings, found.rule.base), (found.ref,))


def _transfer(terms: ClaimTerms, member: Claimant, figures: Figures) -> Granted:
    found = terms.transfer
    if found is None:
        raise NothingToTransfer
    if member.loans:
        raise LoanRunning
    goes, charge = transfer_of(
        found,
        member.holdings,
        figures,
        on=member.on,
        joined_on=member.joined_on,
        last_on=max((day for day, _ in member.withdrawn.get(found.rule.id, ())), default=None),
    )
    return Granted(
        rule=found.rule.id,
        parts=goes,
        rules=(found.ref,),
        charge_minor=charge,
        charge_to=found.rule.payee or "",
    )


def _covered(terms: ClaimTerms, asked: Asked, member: Claimant, figures: Figures, year_of: SchemeYear) -> Granted:
    """Return what a cover pays: whether there was one is decided by the day of the event, whenever it is claimed."""
    found = next((one for one in terms.covers if one.rule.id == asked.rule), None)
    if found is None:
        raise NoSuchRule(rule=asked.rule)
    if asked.happened_on is None or asked.happened_on > member.on:
        raise NotCovered(reason="day")
    if asked.ground not in found.rule.sums:
        raise NotCovered(reason="peril")
    own = tuple(Paid(one.on, one.minor, one.is_reversed) for one in member.paid if one.origin == "own")
    cover = cover_on(found, CoverCase(asked.happened_on, own, year_of, member.class_code, member.insurance), figures)
    if not cover.is_covered:
        raise NotCovered(reason=cover.reason)
    return Granted(
        rule=found.rule.id,
        parts=(),
        rules=cover.rules,
        top_up_minor=cover.sums_minor[asked.ground],
        topped_up_by=cover.payer,
    )


def _retirement(terms: ClaimTerms, asked: Asked, member: Claimant, figures: Figures) -> Granted:
    if terms.age is None or member.born_on is None:
        raise NoBenefitAge
    ground = asked.ground or RETIREMENT
    check_benefit_age(begins_on(terms.age, member, ground), member.on)
    found = next((one for one in terms.options if one.rule.id == asked.rule), None)
    if found is None:
        raise NoSuchRule(rule=asked.rule)
    instalments = found.rule.instalments
    plan = plan_retirement(
        found,
        reachable(member.holdings, found.rule.order),
        figures,
        on=member.on,
        ground=ground,
        lump_bp=found.rule.most_lump_bp if asked.lump_bp is None else asked.lump_bp,
        years=asked.years or (instalments.least_years if instalments else 0),
    )
    schedule = plan_schedule(
        found,
        plan,
        terms.pensions,
        terms.guarantee,
        terms.tables,
        on=member.on,
        born_on=member.born_on,
        sex=member.sex,
        slab=member.slab,
    )
    insurer = found.rule.insurer if plan.rest_minor else None
    if plan.lump_minor == 0 and schedule is None and insurer is None:
        raise NothingAtOnce(option=asked.rule)
    lump = consume(plan.lump_minor, member.holdings, found.rule.order)
    pooled: tuple[Holding, ...] = ()
    floors: tuple[str, ...] = ()
    if schedule is not None and schedule.reserve is not None:
        schedule, floors = _with_floor(terms, schedule, found.rule.id, figures)
    if insurer is not None or (schedule is not None and schedule.reserve is not None):
        pooled = consume(plan.rest_minor, remaining(member.holdings, lump), found.rule.order).parts
    cools = found.rule.cooling_off_days
    return Granted(
        rule=found.rule.id,
        parts=lump.parts,
        rules=(terms.age.ref, *(schedule.rules if schedule else (found.ref,)), *floors),
        pooled=pooled,
        insurer=insurer or "",
        schedule=schedule,
        not_before=None if cools is None else member.on + timedelta(days=cools),
    )


def _with_floor(
    terms: ClaimTerms, schedule: SchedulePlan, option: str, figures: Figures
) -> tuple[SchedulePlan, tuple[str, ...]]:
    """Return a pension with the least that its pool is to get, and the rule that says so.

    Raises:
        PensionNotOffered: the guarantee is of contributions, or the guarantor has what is above it.
    """
    assert schedule.reserve is not None, schedule
    found = next((one for one in terms.guarantees if RETIREMENT in one.rule.occasions), None)
    if found is None:
        return schedule.reserved(schedule.reserve.minor, figures, terms.tables), ()
    if found.rule.at_least not in ("amount", "table") or found.rule.excess != "member":
        raise PensionNotOffered(option=option)
    case = GuaranteeCase(on=schedule.started_on, keys=schedule.keys)
    least = guaranteed_minor(found.rule, case, figures, terms.tables)
    reserve = msgspec.structs.replace(schedule.reserve, least=least, tops_up=found.rule.tops_up)
    schedule = msgspec.structs.replace(schedule, reserve=reserve)
    return schedule.reserved(reserve.minor, figures, terms.tables), (found.ref,)


def _exit(terms: ClaimTerms, asked: Asked, member: Claimant, figures: Figures) -> Granted:
    found = exit_rule(
        terms.exits,
        ground=asked.ground,
        joined_on=member.joined_on,
        first_paid_on=member.first_paid_on,
        on=member.on,
    )
    origins = sorted({one.origin for one in member.holdings} | {one.origin for one in member.paid})
    left = leave(found, [_origin_money(member, origin) for origin in origins], member.on, figures)
    if left.annuity_minor:
        raise AnnuityFirst
    if left.paid_minor == 0:
        raise NothingAtOnce(option=found.rule.id)
    paying = [one for one in member.holdings if one.origin in found.rule.pays and one.minor]
    held = sum(one.minor for one in paying)
    kept = left.paid_minor - left.top_up_minor
    shares = [one.units for one in Amount(kept, _UNITS).share_out([one.minor for one in paying])] if held else []
    parts = tuple(Holding(one.pot, one.origin, share) for one, share in zip(paying, shares, strict=True) if share)
    lost = [
        Holding(one.pot, one.origin, one.minor - share)
        for one, share in zip(paying, shares, strict=True)
        if one.minor > share
    ] + [one for one in member.holdings if one.origin not in found.rule.pays and one.minor]
    return Granted(
        rule=found.rule.id,
        parts=parts,
        rules=(found.ref,),
        forfeited=tuple(lost),
        forfeited_to=left.forfeited_to if lost else "",
        top_up_minor=left.top_up_minor,
        topped_up_by=left.topped_up_by,
    )


def _origin_money(member: Claimant, origin: str) -> OriginMoney:
    came = [Movement(one.on, one.minor) for one in member.paid if one.origin == origin and not one.is_reversed]
    went = [Movement(on, -minor) for on, _, source, minor in member.taken if source == origin]
    held = sum(one.minor for one in member.holdings if one.origin == origin)
    return OriginMoney(origin, (*came, *went), held)


def _granted(rule: str, consumed: Consumed, rules: tuple[str, ...]) -> Granted:
    return Granted(rule=rule, parts=consumed.parts, rules=rules)
