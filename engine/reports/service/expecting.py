"""What a statement says of the time to come: the projection of its member, with all that it assumes, on no record."""

from dataclasses import dataclass, replace
from datetime import date

from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.errors import NoBenefitAge, NoProjection
from engine.benefits.rules import Illustration, PensionRule, ProjectionRule, Prospect, benefit_begins, illustrate
from engine.identity import service as identity
from engine.identity.rules import MemberRef, Person
from engine.kernel.series import SeriesValueMissing
from engine.kernel.tables import TableValueMissing
from engine.reports import queries
from engine.reports.service.projecting import Saving, match_until, rules_of, usual_saving
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.packs import Pack
from engine.tenancy.service import Tenant, figures_for

MOST_CHOICES = 12
"""A table of pensions with more rows than this is too long to be told whole beside a statement."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What each payment of a promised pension comes to, by what the member chose of its table: nothing, where it has no keys."""

    choice: tuple[str, ...]
    amount: int
    amount_today: int


@dataclass(frozen=True, slots=True)
class Expectation:
    """A member's outlooks until their benefit begins, and what the scheme promises every `every_months`."""

    benefit_on: date
    saving: Saving
    match: tuple[int, ...]
    rule: ProjectionRule
    illustrations: tuple[Illustration, ...]
    promises: tuple[Promise, ...]
    every_months: int


async def expectation(
    session: AsyncSession, tenant: Tenant, member: MemberRef, person: Person | None, *, on: date
) -> Expectation | None:
    """Return what a member may expect if they go on as they do, as it was on a day.

    None where the scheme says nothing of it, where the benefit has begun, and for who was erased. Unlike
    `project_member` it is put on no record: it stands beside a statement, which can be derived again.

    Args:
        session: the tenant's.
        tenant: the scheme.
        member: as they stand in the product.
        person: who they are, from the vault.
        on: the day of the statement.
    """
    facts = await queries.member_facts(session, on=on, members=[member.member_id], product=member.product)
    if not facts or person is None:
        return None
    saving = usual_saving(facts[0], on)
    prospect = Prospect(
        on=on,
        born_on=person.born_on,
        sex=person.sex,
        counted_from=member.joined_on,
        balance=sum(minor for _, _, minor in facts[0].holdings),
        contribution=saving.amount,
        times_a_year=saving.times_a_year,
        keys={},
    )
    pack, figures = tenant.pack, await figures_for(session, tenant)
    try:
        found, age, pension = rules_of(pack, facts[0], prospect)
        begins = benefit_begins(age, prospect)
        match = match_until(pack, facts[0], prospect, figures, begins)
        prospect = replace(prospect, match=match)
        chosen = [
            (choice, illustrate(found, age, pension, replace(prospect, keys=choice), figures, pack.tables))
            for choice in _choices(pack, pension)
        ]
        told = chosen[0][1] if chosen else illustrate(found, age, None, prospect, figures, pack.tables)
    except (NoProjection, NoBenefitAge, TableValueMissing, SeriesValueMissing):
        return None
    if told.benefit_on <= on:
        return None
    return Expectation(
        benefit_on=told.benefit_on,
        saving=saving,
        match=match,
        rule=found.rule,
        illustrations=told.projection.illustrations,
        promises=tuple(
            Promise(tuple(choice.values()), one.promised.amount, one.promised.amount_today)
            for choice, one in chosen
            if one.promised is not None
        ),
        every_months=1 if pension is None else pension.rule.every_months,
    )


async def expectation_of(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, member: MemberRef, *, on: date, actor: str
) -> Expectation | None:
    """Return the same for a member whose birth date is read from the vault, which notes that `actor` read it."""
    people = await identity.read_people(session, keys, [member.member_id], actor=actor, reason="projection")
    document = people.get(member.member_id)
    return await expectation(session, tenant, member, document.person if document else None, on=on)


def _choices(pack: Pack, pension: InForce[PensionRule] | None) -> list[dict[str, str]]:
    """Return what may be chosen of a promised pension, each by the keys of its table; [{}] where nothing is."""
    if pension is None:
        return []
    if pension.rule.table is None:
        return [{}]
    table = pack.tables[pension.rule.table]
    if len(table.rows) > MOST_CHOICES:
        return []
    return [dict(zip(table.keys, values, strict=True)) for values in table.rows]
