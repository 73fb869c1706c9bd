"""SQL of identity: set-based throughout, however many members a statement is about.

Look-ups are written as one probe of a unique index a member (LATERAL with LIMIT), which the planner cannot turn round: on
tables just loaded and not yet analysed it would, and a thousand members out of a million then took half a minute.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from engine.identity.rules import MemberRef, MemberStatus
from engine.ledger.rules import Law
from engine.runtime.arrays import UUIDs
from engine.runtime.database import driver

_PURPOSES = {"member-number": 1, "national-id": 2}


@dataclass(frozen=True, slots=True)
class SealedMember:
    """A member's rows, with what is personal encrypted."""

    member_id: int
    enrolled_event: int
    product: str
    joined_on: date
    group_code: str
    wrapped_dek: bytes
    version: int
    document: bytes


async def reserve(session: AsyncSession, purpose: str, wanted: Sequence[tuple[UUID, int]]) -> list[tuple[UUID, int]]:
    """Write (digest, member_id) where the digest is free; return those written, in order, of one digest the first.

    Waits for whoever is writing the same digest; digests are written in order, so that two batches never deadlock.
    """
    connection = await driver(session)
    cursor = await connection.execute(
        """insert into person_indexes (digest, member_id, tenant_id, purpose)
           select w.digest, w.member_id, %s, %s from unnest(%s::uuid[], %s::bigint[]) with ordinality w(digest, member_id, o)
            order by w.digest, w.o on conflict (digest, purpose) do nothing returning digest, member_id""",
        (session.info["tenant_id"], _PURPOSES[purpose], [one for one, _ in wanted], [member for _, member in wanted]),
    )
    return [(row[0], row[1]) for row in await cursor.fetchall()]


async def release(session: AsyncSession, member_ids: Sequence[int]) -> None:
    """Free everything that those members could be found by."""
    connection = await driver(session)
    await connection.execute("delete from person_indexes where member_id = any(%s)", (list(member_ids),))


async def give_up(session: AsyncSession, digests: Sequence[UUID]) -> None:
    """Let nobody be known by the documents of those digests."""
    connection = await driver(session)
    await connection.execute(
        "delete from person_indexes where digest = any(%b::uuid[]) and purpose = 2", (list(digests),)
    )


async def insert_members(session: AsyncSession, members: Sequence[SealedMember]) -> None:
    """Write the members, their wrapped keys and their documents in one statement."""
    connection = await driver(session)
    await connection.execute(
        """with taken as materialized (
             select * from unnest(%b::bigint[], %b::bigint[], %s::text[], %b::date[], %s::text[], %b::bytea[], %b::smallint[], %b::bytea[])
               w(member_id, enrolled_event, product, joined_on, group_code, wrapped_dek, version, document)),
           keyed as (insert into member_keys (member_id, tenant_id, wrapped_dek)
                     select member_id, %b::int, wrapped_dek from taken),
           kept as (insert into vault (member_id, tenant_id, version, document)
                    select member_id, %b::int, version, document from taken)
           insert into members (member_id, enrolled_event, tenant_id, joined_on, product, group_code)
           select member_id, enrolled_event, %b::int, joined_on, product, group_code from taken""",
        (
            [one.member_id for one in members],
            [one.enrolled_event for one in members],
            [one.product for one in members],
            [one.joined_on for one in members],
            [one.group_code for one in members],
            [one.wrapped_dek for one in members],
            [one.version for one in members],
            [one.document for one in members],
            *[session.info["tenant_id"]] * 3,
        ),
    )


async def members_by_digest(session: AsyncSession, digests: Sequence[UUID]) -> dict[UUID, MemberRef]:
    """Return the members whose number has one of those digests."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select i.digest, m.member_id, m.product, m.joined_on, m.group_code, m.status
             from unnest(%b) w(digest)
            cross join lateral (
              select digest, member_id from person_indexes where digest = w.digest and purpose = 1 limit 1) i
            cross join lateral (
              select member_id, product, joined_on, group_code, status from members
               where member_id = i.member_id limit 1) m""",
        (UUIDs(digests),),
    )
    return {row[0]: _member(row[1:]) for row in await cursor.fetchall()}


async def members_by_person(session: AsyncSession, digests: Sequence[UUID]) -> dict[UUID, int]:
    """Return the members who are known by a document with one of those digests."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select i.digest, i.member_id from unnest(%b) w(digest)
            cross join lateral (
              select digest, member_id from person_indexes where digest = w.digest and purpose = 2 limit 1) i""",
        (UUIDs(digests),),
    )
    return {row[0]: row[1] for row in await cursor.fetchall()}


async def members_by_id(session: AsyncSession, member_ids: Sequence[int]) -> dict[int, MemberRef]:
    """Return those of the members whom the tenant has."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select m.member_id, m.product, m.joined_on, m.group_code, m.status
             from unnest(%b::bigint[]) w(member_id)
            cross join lateral (
              select member_id, product, joined_on, group_code, status from members
               where member_id = w.member_id limit 1) m""",
        (list(member_ids),),
    )
    return {row[0]: _member(row) for row in await cursor.fetchall()}


async def hold_members(session: AsyncSession, member_ids: Sequence[int]) -> None:
    """Lock the members' rows, in their order, against everybody who does the same; who refers to them does not wait."""
    connection = await driver(session)
    await connection.execute(
        "select from members where member_id = any(%b::bigint[]) order by member_id for no key update",
        (sorted(set(member_ids)),),
    )


async def sealed_documents(session: AsyncSession, member_ids: Sequence[int]) -> list[tuple[int, bytes, int, bytes]]:
    """Return (member_id, wrapped key, version, ciphertext) of those members who were not erased."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select k.member_id, k.wrapped_dek, v.version, v.document
             from unnest(%b::bigint[]) w(member_id)
            cross join lateral (
              select member_id, wrapped_dek from member_keys where member_id = w.member_id limit 1) k
            cross join lateral (
              select version, document from vault where member_id = w.member_id limit 1) v
            where v.document is not null""",
        (list(member_ids),),
        binary=True,
    )
    return [(row[0], row[1], row[2], row[3]) for row in await cursor.fetchall()]


async def replace_document(session: AsyncSession, member_id: int, version: int, document: bytes) -> None:
    """Put another document in the place of a member's."""
    connection = await driver(session)
    await connection.execute(
        "update vault set version = %s, document = %s, is_dialled = false where member_id = %s and document is not null",
        (version, document, member_id),
    )


async def members_by_telephone(session: AsyncSession, digests: Sequence[UUID]) -> list[tuple[UUID, int]]:
    """Return (digest, member_id) of who has a telephone of one of those digests."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select t.digest, t.member_id from unnest(%b) w(digest)
            cross join lateral (select digest, member_id from telephones where digest = w.digest order by member_id limit 20) t""",
        (UUIDs(digests),),
    )
    return [(row[0], row[1]) for row in await cursor.fetchall()]


async def not_dialled(session: AsyncSession, *, most: int) -> list[int]:
    """Return members whose telephones are not indexed as their documents say."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select member_id from vault where tenant_id = %s and not is_dialled and document is not null
            order by member_id limit %s""",
        (session.info["tenant_id"], most),
    )
    return [row[0] for row in await cursor.fetchall()]


async def hold_documents(session: AsyncSession, member_ids: Sequence[int]) -> None:
    """Let members' documents stay as they are until the transaction ends."""
    connection = await driver(session)
    await connection.execute(
        "select from vault where member_id = any(%b::bigint[]) order by member_id for update", (list(member_ids),)
    )


async def replace_telephones(session: AsyncSession, members: Sequence[int], rows: Sequence[tuple[UUID, int]]) -> None:
    """Let members be found by (digest, member_id) of their telephones, and by no others."""
    connection = await driver(session)
    await connection.execute("delete from telephones where member_id = any(%b::bigint[])", (list(members),))
    await connection.execute(
        """insert into telephones (digest, member_id, tenant_id)
           select distinct digest, member_id, %s::int from unnest(%b, %b::bigint[]) w(digest, member_id)""",
        (session.info["tenant_id"], UUIDs([one for one, _ in rows]), [member for _, member in rows]),
    )
    await connection.execute("update vault set is_dialled = true where member_id = any(%b::bigint[])", (list(members),))


async def record_reading(session: AsyncSession, *, actor: str, reason: str, member_ids: Sequence[int]) -> None:
    """Note who read the personal data of whom, and what for."""
    connection = await driver(session)
    await connection.execute(
        "insert into vault_reads (tenant_id, actor, reason, member_ids) values (%s, %s, %s, %s)",
        (session.info["tenant_id"], actor, reason, list(member_ids)),
    )


async def is_awaited(session: AsyncSession, member_id: int) -> bool:
    """Return whether money is on its way to or from a member: a payout or transfer not at an end, a request not answered yet."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select exists (select from payouts where tenant_id = %(t)s and member_id = %(m)s
                             and state not in ('refused', 'succeeded', 'failed', 'returned'))
               or exists (select from collections c join exchanges e on e.tenant_id = c.tenant_id and e.reference = c.reference
                           where c.tenant_id = %(t)s and c.member_id = %(m)s and e.settled_at is null)
               or exists (select from collections c join collected p on p.tenant_id = c.tenant_id and p.reference = c.reference
                           where c.tenant_id = %(t)s and c.member_id = %(m)s and p.state = 'waiting')
               or exists (select from transfers_out where member_id = %(m)s and state = 'open')
               or exists (select from transfers_in where member_id = %(m)s and state in ('staged', 'approved'))""",
        {"t": session.info["tenant_id"], "m": member_id},
    )
    ((found,),) = await cursor.fetchall()
    return bool(found)


async def came_with(session: AsyncSession, digest: UUID) -> int:
    """Return the merged record whose number has that digest; 0 where the number is of a record that stands, or nobody's."""
    connection = await driver(session)
    cursor = await connection.execute(
        "select came_with from person_indexes where digest = %s and purpose = 1 limit 1", (digest,)
    )
    row = await cursor.fetchone()
    return row[0] if row else 0


async def merged_into(session: AsyncSession, member_id: int) -> list[int]:
    """Return the records that were merged into a member's, by number."""
    connection = await driver(session)
    cursor = await connection.execute(
        "select member_id from merged_records where into_id = %s order by member_id", (member_id,)
    )
    return [row[0] for row in await cursor.fetchall()]


async def merge(
    session: AsyncSession, *, goes: int, stays: int, merge_no: int, event_id: int, into_event: int, on: date
) -> None:
    """Let all by which a record is found lead to the one that stays, and note whose it is now; it signs in nowhere any more."""
    connection = await driver(session)
    for statement in (
        "update members set status = 'merged' where member_id = %(goes)s",
        "update person_indexes set member_id = %(stays)s, came_with = case when came_with = 0 then member_id else came_with end where member_id = %(goes)s",
        """update members s set joined_on = least(s.joined_on, g.joined_on) from members g
            where s.member_id = %(stays)s and g.member_id = %(goes)s and g.product = s.product""",
        "update merged_records set into_id = %(stays)s, into_event = %(into)s where into_id = %(goes)s",
        """insert into merged_records (member_id, into_id, event_id, tenant_id, merge_no, into_event, merged_on)
           values (%(goes)s, %(stays)s, %(event)s, %(t)s, %(no)s, %(into)s, %(on)s)""",
        """with was as (delete from held_numbers where member_id = %(goes)s returning *)
           insert into held_numbers (member_id, event_id, digest, tenant_id, from_on, to_on, as_of, document_kind, verified_by)
           select %(stays)s, event_id, digest, tenant_id, from_on, to_on, as_of, document_kind, verified_by from was""",
        "delete from name_tokens where member_id = %(goes)s",
        "delete from named_members where member_id = %(goes)s",
        "delete from ussd_pins where member_id = %(goes)s",
        """update ussd_requests set closed_at = clock_timestamp(), closed_by = 'merging', document = null
            where member_id = %(goes)s and closed_at is null""",
    ):
        await connection.execute(
            statement,
            {
                "goes": goes, "stays": stays, "no": merge_no, "event": event_id, "into": into_event, "on": on,
                "t": session.info["tenant_id"],
            },
        )  # fmt: skip


async def hand_over(session: AsyncSession, member_ids: Sequence[int]) -> None:
    """Note active members as gone to another scheme."""
    connection = await driver(session)
    await connection.execute(
        "update members set status = 'handed-over' where member_id = any(%b::bigint[]) and status = 'active'",
        (list(member_ids),),
    )


async def erase(session: AsyncSession, member_id: int) -> bool:
    """Destroy a member's key, document and indexes, and what is sealed of them elsewhere (by triggers on `members`).

    Returns:
        Whether there was someone to erase.
    """
    connection = await driver(session)
    cursor = await connection.execute(
        """with gone as (update members set status = 'erased' where member_id = %(m)s and status <> 'erased' returning member_id),
           unlocked as (delete from member_keys k using gone where k.member_id = gone.member_id),
           unfound as (delete from person_indexes i using gone where i.member_id = gone.member_id),
           undialled as (delete from ussd_pins p using gone where p.member_id = gone.member_id),
           unspoken as (update ussd_sessions s set document = null from gone, ussd_pins p
                         where p.member_id = gone.member_id and s.tenant_id = p.tenant_id and s.phone = p.phone
                           and not exists (select from ussd_pins o where o.tenant_id = p.tenant_id and o.phone = p.phone
                                              and o.member_id <> p.member_id)),
           uncalled as (delete from telephones n using gone where n.member_id = gone.member_id),
           unmarked as (delete from payment_marks p using gone where p.member_id = gone.member_id
                           or p.member_id = -p.tenant_id and p.event_id in (
                             select r.event_id from suspense_resolutions r where r.member_id = gone.member_id)),
           unasked as (update ussd_requests r set closed_at = clock_timestamp(), closed_by = 'erasure', document = null
                         from gone where r.member_id = gone.member_id and r.closed_at is null),
           emptied as (update vault v set document = null from gone where v.member_id = gone.member_id)
           select count(*) from gone""",
        {"m": member_id},
    )
    row = await cursor.fetchone()
    assert row is not None
    return bool(row[0])


async def unnamed(session: AsyncSession, most: int) -> list[int]:
    """Return active members who are not in the index of names yet."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select member_id from members
            where tenant_id = %s and status = 'active' and member_id not in (select member_id from named_members) limit %s""",
        (session.info["tenant_id"], most),
    )
    return [row[0] for row in await cursor.fetchall()]


async def add_names(session: AsyncSession, member_ids: Sequence[int], tokens: Sequence[tuple[UUID, int]]) -> None:
    """Put members who are not erased into the index of names, by (token, member_id)."""
    connection = await driver(session)
    await connection.execute(
        """with kept as materialized (
             select m.member_id from members m where m.member_id = any(%b::bigint[]) and m.status = 'active'
              order by m.member_id for share),
           marked as (insert into named_members (member_id, tenant_id) select member_id, %s from kept on conflict do nothing)
           insert into name_tokens (token, member_id, tenant_id)
           select w.token, w.member_id, %s from unnest(%b::uuid[], %b::bigint[]) w(token, member_id)
             join kept on kept.member_id = w.member_id order by w.token on conflict do nothing""",
        (
            list(member_ids),
            session.info["tenant_id"],
            session.info["tenant_id"],
            [token for token, _ in tokens],
            [member_id for _, member_id in tokens],
        ),
    )


async def members_by_token(session: AsyncSession, tokens: Sequence[UUID], most: int) -> list[int]:
    """Return members who have some of the tokens, those with most of them first."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select t.member_id from unnest(%b) w(token)
            cross join lateral (select member_id from name_tokens where tenant_id = %s and token = w.token) t
            group by t.member_id order by count(*) desc, t.member_id limit %s""",
        (UUIDs(tokens), session.info["tenant_id"], most),
    )
    return [row[0] for row in await cursor.fetchall()]


def _member(row: Sequence[Any]) -> MemberRef:
    member_id, product, joined_on, group_code, status = row
    return MemberRef(member_id, product, joined_on, group_code, MemberStatus(status))


LAWS: tuple[Law, ...] = (
    Law(
        "members-were-enrolled",
        "every member was enrolled by an event of the books, and every such event enrolled a member",
        """
        select format('member %s', to_hex(coalesce(m.member_id, e.member_id))), coalesce(e.event_id::text, 'an enrolment'),
               coalesce(m.enrolled_event::text, 'none')
          from members m full join (select member_id, event_id from events where kind = 1) e on e.member_id = m.member_id
         where m.enrolled_event is distinct from e.event_id
        """,
    ),
    Law(
        "members-can-be-known",
        "every member who was not erased has a key and a document, and one whose record stands a number",
        """
        select format('member %s', to_hex(m.member_id)), 'key, document, number',
               concat_ws(', ', case when k.member_id is not null then 'key' end,
                               case when v.document is not null then 'document' end,
                               case when i.member_id is not null then 'number' end)
          from members m left join member_keys k on k.member_id = m.member_id left join vault v on v.member_id = m.member_id
          left join person_indexes i on i.member_id = m.member_id and i.purpose = 1
         where m.status <> 'erased' and (k.member_id is null or v.document is null or (i.member_id is null and m.status <> 'merged'))
        """,
    ),
    Law(
        "who-was-merged-is-one",
        "a record that was merged is noted as that of one that stands, or was erased with it, and nothing leads to it any more",
        """
        select format('member %s', to_hex(coalesce(g.member_id, m.member_id))), 'merged into one that stands',
               format('%s, into %s', coalesce(m.status, 'nobody'), coalesce(s.status, 'nobody'))
          from (select * from members where status = 'merged') m full join merged_records g using (member_id)
          left join members s on s.member_id = g.into_id left join members o on o.member_id = g.member_id
         where (m.member_id is null and o.status is distinct from 'erased') or g.member_id is null
            or s.status is null or s.status = 'merged' or (s.status = 'erased') <> (o.status = 'erased')
        union all
        select format('member %s', to_hex(g.member_id)), 'no index', 'an index'
          from merged_records g where exists (select from person_indexes i where i.member_id = g.member_id)
        """,
    ),
    Law(
        "the-erased-are-gone",
        "of a member whose erasure is in the books nothing is left by which to know them",
        """
        select format('member %s', to_hex(e.member_id)), 'nothing',
               concat_ws(', ', m.status, case when k.member_id is not null then 'key' end,
                               case when v.document is not null then 'document' end,
                               case when i.member_id is not null then 'index' end)
          from events e left join members m on m.member_id = e.member_id left join member_keys k on k.member_id = e.member_id
          left join vault v on v.member_id = e.member_id left join person_indexes i on i.member_id = e.member_id
         where e.kind = 4
           and (m.status is distinct from 'erased' or k.member_id is not null or v.document is not null or i.member_id is not null)
        """,
    ),
    Law(
        "of-the-erased-nothing-opens",
        "of a member who was erased no document is left that is sealed under another key than theirs",
        """
        select format('member %s', to_hex(m.member_id)), 'no document', w.found
          from members m
         cross join lateral (
           select 'a request for a payment' as found from collections where member_id = m.member_id and document <> ''
           union all select 'a payout' from payouts p where p.tenant_id = m.tenant_id and p.member_id = m.member_id
             and p.document <> '' and not (p.source like 'pension:%' and p.settled_event <> 0)
           union all select 'a payee' from pension_schedules where member_id = m.member_id and payee is not null
           union all select 'a notice of their death' from death_notices where member_id = m.member_id and document <> ''
           union all select 'a file' from offline_documents where member_id = m.member_id and document is not null
           union all select 'a number' from number_changes where member_id = m.member_id and document is not null
           union all select 'a sound of their name' from name_tokens where member_id = m.member_id) w
         where m.status = 'erased'
        """,
    ),
)
