"""Taking in the members of a scheme that was kept elsewhere: by the rules of the day each of them joined there."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.enrolment import queries
from engine.enrolment.errors import AlreadyMember, NumberTaken
from engine.enrolment.rules import Accepted, Application
from engine.enrolment.service.joining import CHUNK, Item, decided, take_in
from engine.enrolment.service.memberships import memberships_of
from engine.identity import service as identity
from engine.identity.rules import MemberStatus
from engine.kernel.clock import business_date
from engine.kernel.errors import EngineError
from engine.kernel.ids import claim_digest
from engine.kernel.series import Figures
from engine.ledger import service as ledger
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant


@dataclass(frozen=True, slots=True)
class Legacy:
    """A member of the old scheme: the pseudonym they get here, their old number, when they joined, and what is known of them.

    `further_numbers` are those by which the old scheme found them too.
    """

    member_id: int
    old_number: str
    joined_on: date
    application: Application
    further_numbers: tuple[str, ...] = ()


async def check_legacy(
    tenant: Tenant, figures: Figures, members: Sequence[Legacy], *, texts: Collection[tuple[str, str]] = ()
) -> list[Accepted | EngineError]:
    """Return of each whether the rules of the day they joined take them in, in their order.

    `texts` are (consent, version) of the old scheme's texts that are let stand here; who agreed to one agreed to that, and it stays so.
    """
    return await asyncio.to_thread(lambda: [_decided(tenant, figures, one, texts) for one in members])


def _decided(
    tenant: Tenant, figures: Figures, one: Legacy, texts: Collection[tuple[str, str]]
) -> Accepted | EngineError:
    given = one.application.consents
    known = {place: text.version for place, text in tenant.pack.consents.items()}
    languages = dict(sorted(known, reverse=True))
    asked = []
    for said in given:
        language = (
            said.language if (said.consent, said.language) in known else languages.get(said.consent, said.language)
        )
        stands = (said.consent, said.version) in texts and (said.consent, language) in known
        asked.append(
            msgspec.structs.replace(said, language=language, version=known[said.consent, language]) if stands else said
        )
    application = msgspec.structs.replace(one.application, consents=tuple(asked))
    found = decided(tenant.pack, application, one.joined_on, figures)
    return found if isinstance(found, EngineError) else replace(found, consents=given)


async def known_legacy(
    session: AsyncSession, keys: FileKeyStore, members: Sequence[tuple[Legacy, Accepted]], *, actor: str
) -> dict[int, tuple[int, str]]:
    """Return who of the old scheme's members is one here already in the same product, by a document: (member here, "").

    Where they cannot be credited as such, the field that speaks against it stands beside: another birth date, or a membership that ended.
    """
    wanted = {(found.terms.product, number): one for one, found in members for number in found.numbers}
    here = {
        wanted[key].member_id: member
        for key, member in (await identity.members_by_person(session, keys, wanted)).items()
    }
    if not here:
        return {}
    refs = await identity.members_by_id(session, sorted(set(here.values())))
    places = await memberships_of(session, sorted(set(here.values())))
    people = await identity.read_people(
        session, keys, sorted(set(here.values())), actor=actor, reason="scheme-taken-over"
    )
    answer = {}
    for one, found in members:
        if one.member_id not in here:
            continue
        member = here[one.member_id]
        is_in = any(place.product == found.terms.product for place in places.get(member, ()))
        field = ""
        if member not in refs or refs[member].status != MemberStatus.ACTIVE or not is_in:
            field = "document_number"
        elif people[member].person.born_on != found.person.born_on:
            field = "born_on"
        answer[one.member_id] = (member, field)
    return answer


async def credit_known(session: AsyncSession, keys: FileKeyStore, members: Sequence[tuple[int, Legacy]]) -> None:
    """Let members of a scheme that is taken over who are members here already be found by their old numbers too, and count as having joined then.

    Args:
        session: the transaction that credits them.
        keys: where the scheme's keys are.
        members: (member here, what the old scheme says of them).

    Raises:
        NumberTaken: an old number leads to somebody else here by now.
    """
    for n in range(max((1 + len(one.further_numbers) for _, one in members), default=0)):
        numbers = {
            member: (one.old_number, *one.further_numbers)[n]
            for member, one in members
            if n <= len(one.further_numbers)
        }
        await identity.reserve_earlier_numbers(session, keys, numbers)
        found = await identity.members_by_number(session, keys, numbers.values())
        if any(found[number].member_id != member for member, number in numbers.items()):
            raise NumberTaken
    await queries.antedate_many(session, [(member, one.application.product, one.joined_on) for member, one in members])


def _numbers_at(members: Sequence[tuple[Legacy, Accepted]], free: Collection[int], n: int) -> Mapping[int, str]:
    return {
        one.member_id: one.further_numbers[n]
        for one, _ in members
        if one.member_id in free and n < len(one.further_numbers)
    }


async def reserve_legacy(
    session: AsyncSession, keys: FileKeyStore, members: Sequence[tuple[Legacy, Accepted]]
) -> tuple[dict[int, UUID], dict[int, str]]:
    """Keep the persons and old numbers for their members, until they are taken in or given back by `identity.release`.

    Returns:
        The index of each old number kept, by member; and of those refused the field that is another's already.
    """
    free = await identity.reserve_persons(
        session,
        keys,
        [(one.member_id, found.terms.product, (*found.numbers, *found.earlier)) for one, found in members],
    )
    indexes = await identity.reserve_earlier_numbers(
        session, keys, {one.member_id: one.old_number for one, _ in members if one.member_id in free}
    )
    taken = {
        one.member_id: "old_number" for one, _ in members if one.member_id in free and one.member_id not in indexes
    }
    for n in range(max((len(one.further_numbers) for one, _ in members), default=0)):
        wanted = _numbers_at(members, indexes.keys(), n)
        kept = await identity.reserve_earlier_numbers(session, keys, wanted)
        taken |= dict.fromkeys(wanted.keys() - kept.keys(), "earlier_numbers")
    indexes = {member_id: index for member_id, index in indexes.items() if member_id not in taken}
    await identity.release(session, sorted(taken))
    taken |= {one.member_id: "document_number" for one, _ in members if one.member_id not in free}
    return indexes, taken


async def admit_legacy(
    session: AsyncSession, tenant: Tenant, keys: FileKeyStore, members: Sequence[tuple[Legacy, Accepted]], *, actor: str
) -> None:
    """Enrol members whose persons and numbers `reserve_legacy` kept; at most CHUNK.

    Raises:
        AlreadyMember: one of them was taken in before.
        psycopg.errors.SerializationFailure, DeadlockDetected: the whole transaction must run again.
    """
    assert len(members) <= CHUNK, len(members)
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    items = [
        Item(
            index,
            claim_digest(tenant.tenant_id, "legacy", str(one.member_id)),
            0,
            one.member_id,
            accepted,
            one.joined_on,
            (one.old_number, *one.further_numbers),
        )
        for index, (one, accepted) in enumerate(members)
    ]
    taken = await take_in(session, tenant, keys, items, today, actor)
    for item in items:
        if item.index not in taken:
            raise AlreadyMember(product=item.checked.terms.product)
