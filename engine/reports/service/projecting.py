"""What a member may expect at retirement: what the books hold, what they pay, under the scheme's own assumptions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.errors import NoProjection
from engine.benefits.rules import (
    BenefitAgeRule,
    Frequency,
    Illustrated,
    PensionRule,
    ProjectionRule,
    Prospect,
    benefit_begins,
    illustrate,
)
from engine.contributions.rules import MOST_UNITS, MatchFacts, MatchRule, decide_match
from engine.identity import service as identity
from engine.identity.rules import MemberRef
from engine.kernel.amounts import Amount, Asset, NotWholeUnits
from engine.kernel.months import anniversary, months_after
from engine.kernel.rules import Dates
from engine.kernel.series import Figures
from engine.reports import queries
from engine.reports.errors import ChoiceMalformed, ContributionMalformed, UnknownFrequency, UnknownMember
from engine.reports.queries import MemberFacts
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.decided import Determination
from engine.tenancy.rules.explaining import RuleUsed, rules_used
from engine.tenancy.rules.packs import Pack
from engine.tenancy.service import Tenant, figures_for, record


@dataclass(frozen=True, slots=True)
class Saving:
    """What a member goes on paying: `amount` smallest units, `times_a_year`."""

    amount: int
    times_a_year: Frequency


@dataclass(frozen=True, slots=True)
class Projected:
    """A member's projection, what it began with, and the number under which it is on record."""

    illustrated: Illustrated
    saving: Saving
    match: tuple[int, ...]
    assumptions: tuple[RuleUsed, ...]
    decision: int


def saving_of(contribution: str | None, times_a_year: int | None, asset: Asset) -> Saving | None:
    """Return what a member says they will pay, `contribution` in major units; None where they say nothing.

    Raises:
        ContributionMalformed, UnknownFrequency: it is no such amount, or nobody pays so often.
    """
    often: Mapping[int, Frequency] = {365: 365, 52: 52, 12: 12, 4: 4, 2: 2, 1: 1}
    times = often.get(12 if times_a_year is None else times_a_year)
    if times is None or (contribution is None and times_a_year is not None):
        raise UnknownFrequency(field="times_a_year", allowed=", ".join(map(str, often)))
    if contribution is None:
        return None
    try:
        amount = Amount.parse(contribution, asset).units
    except NotWholeUnits:
        amount = -1
    if not 0 <= amount <= MOST_UNITS:
        raise ContributionMalformed(field="contribution", currency=asset.symbol, decimals=asset.scale)
    return Saving(amount, times)


def choices_of(choices: Sequence[str]) -> dict[str, str]:
    """Return choices written as "slab:3000" by name.

    Raises:
        ChoiceMalformed: one is not written so.
    """
    pairs = [one.partition(":") for one in choices]
    if not all(name and value for name, _, value in pairs):
        raise ChoiceMalformed(field="choice")
    return {name: value for name, _, value in pairs}


async def project_member(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    member: MemberRef,
    *,
    on: date,
    actor: str,
    saving: Saving | None = None,
    choices: Mapping[str, str] | None = None,
) -> Projected:
    """Return what a member may expect if they go on as they do, and put it on record.

    Args:
        session: the tenant's.
        keys: open the member's birth date.
        tenant: the scheme.
        member: as they stand in the product.
        on: the day of the projection.
        actor: who asks.
        saving: what they will pay; as they paid over the last twelve months, by the month, where it is left out.
        choices: the keys of a promised pension's table, such as the slab they chose.

    Raises:
        UnknownMember: they had not joined by that day, or were erased.
        NoProjection: the product says nothing of what to expect.
        ChoiceMalformed: the choices are not those that the promised pension asks for.
        NoBenefitAge, TableValueMissing, SeriesValueMissing: the rules have nothing for this member.
    """
    facts = await queries.member_facts(session, on=on, members=[member.member_id], product=member.product)
    people = await identity.read_people(session, keys, [member.member_id], actor=actor, reason="projection")
    if not facts or member.member_id not in people:
        raise UnknownMember
    person = people[member.member_id].person
    going_on = saving or usual_saving(facts[0], on)
    figures = await figures_for(session, tenant)
    illustrated, match = project(
        tenant.pack,
        facts[0],
        Prospect(
            on=on,
            born_on=person.born_on,
            sex=person.sex,
            counted_from=member.joined_on,
            balance=sum(minor for _, _, minor in facts[0].holdings),
            contribution=going_on.amount,
            times_a_year=going_on.times_a_year,
            keys=choices or {},
        ),
        figures,
    )
    told = Determination(
        kind="projection",
        product=member.product,
        decided_on=on,
        rules=illustrated.rules,
        member_id=member.member_id,
        inputs={"contribution": str(going_on.amount), "times_a_year": going_on.times_a_year, **(choices or {})},
        outcome={
            "benefit_on": illustrated.benefit_on.isoformat(),
            **{one.outlook.name: str(one.pot_today) for one in illustrated.projection.illustrations},
        },
    )
    (decision,) = await record(session, tenant, [told])
    used = rules_used({"product": member.product, "rules": illustrated.rules}, tenant.pack.files)
    return Projected(illustrated, going_on, match, tuple(one for one in used if one), decision)


def usual_saving(facts: MemberFacts, on: date) -> Saving:
    """Return what a member pays by the month: their own payments of the last twelve months ÷ 12, rounded down.

    Who joined less than twelve months ago is taken by the months begun since.
    """
    since = max(months_after(on, -12), facts.joined_on)
    months = max(1, min(12, (on.year - since.year) * 12 + on.month - since.month + (on.day >= since.day)))
    paid = sum(minor for day, minor in facts.paid if since <= day <= on)
    return Saving(max(paid, 0) // months, 12)


def project(
    pack: Pack, facts: MemberFacts, prospect: Prospect, figures: Figures
) -> tuple[Illustrated, tuple[int, ...]]:
    """Return a member's projection, and what others add in each of its years by the rules that are known today.

    Raises:
        NoProjection: the product says nothing of what to expect, or from when.
        ChoiceMalformed: the choices are not the keys of the promised pension's table; else as `illustrate`.
    """
    found, age, pension = rules_of(pack, facts, prospect)
    wanted = pack.tables[pension.rule.table].keys if pension is not None and pension.rule.table is not None else ()
    if prospect.keys.keys() != set(wanted):
        raise ChoiceMalformed(field="choice", allowed=", ".join(wanted) or "none")
    match = match_until(pack, facts, prospect, figures, benefit_begins(age, prospect))
    return illustrate(found, age, pension, replace(prospect, match=match), figures, pack.tables), match


def rules_of(
    pack: Pack, facts: MemberFacts, prospect: Prospect
) -> tuple[InForce[ProjectionRule], InForce[BenefitAgeRule], InForce[PensionRule] | None]:
    """Return the rules of a member's projection: what is assumed, from which age, and the pension promised, if any.

    Raises:
        NoProjection: the product says nothing of what to expect, or from when.
    """
    book = pack.books[facts.product]
    year_from, _ = pack.product(facts.product).scheme_year(prospect.on)
    dates = Dates(
        on=prospect.on,
        joined_on=facts.joined_on,
        born_on=prospect.born_on,
        tranche_on=prospect.on,
        scheme_year_from=year_from,
        benefit_from=prospect.on,
    )
    found, age = book.in_force(ProjectionRule, dates), book.in_force(BenefitAgeRule, dates)
    if found is None or age is None:
        raise NoProjection
    return found, age, next((o for o in book.all_in_force(PensionRule, dates) if o.rule.id == found.rule.pension), None)


def match_until(pack: Pack, facts: MemberFacts, prospect: Prospect, figures: Figures, begins: date) -> tuple[int, ...]:
    """Return what each whole year until the benefit earns, from its contributions alone, in figures known today."""
    product, book = pack.product(facts.product), pack.books[facts.product]
    saved = Amount(prospect.contribution * prospect.times_a_year, pack.asset)
    matched_years, amounts = 0, list[int]()
    for year in range(1, 200):
        ends_on = anniversary(prospect.on, year)
        if ends_on > begins:
            break
        year_from, _ = product.scheme_year(ends_on)
        dates = Dates(on=ends_on, joined_on=facts.joined_on, scheme_year_from=year_from, born_on=prospect.born_on)
        rule = book.in_force(MatchRule, dates)
        earned = 0
        if rule is not None:
            given = MatchFacts(
                member_class=facts.member_class or "any",
                joined_on=facts.joined_on,
                saved_gross=saved,
                saved_net=saved,
                matched_years=matched_years,
            )
            decided = decide_match(rule.rule, given, figures, prospect.on)
            earned = 0 if decided.is_conditional else decided.amount.units
        matched_years += earned > 0
        amounts.append(earned)
    while amounts and not amounts[-1]:
        amounts.pop()
    return tuple(amounts)
