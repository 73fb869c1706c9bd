"""SQL of the numbers of identity documents that members hold and held, and of changes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from engine.enrolment.rules.identifiers import OPEN_CHANGES, Held, NumberAct, NumberChangeState
from engine.ledger.rules import Law
from engine.runtime.arrays import UUIDs
from engine.runtime.database import driver

_COLUMNS = """change_id, member_id, other_member, state, act, document_kind, from_on, finding, reason, maker, finder, digest,
              asked_at, document"""


@dataclass(frozen=True, slots=True)
class NumberChangeRow:
    """A change of a member's number; `document` is the number, sealed under the member's key."""

    change_id: UUID
    member_id: int
    other_member: int
    state: NumberChangeState
    act: NumberAct
    document_kind: str
    from_on: date
    finding: str
    reason: str
    maker: str
    finder: str
    digest: str
    asked_at: datetime
    document: bytes | None


@dataclass(frozen=True, slots=True)
class HeldRow:
    """That a member held a number, and who verified it, as of when."""

    member_id: int
    digest: UUID
    document_kind: str
    from_on: date
    to_on: date | None
    verified_by: str
    as_of: date | None


async def periods(session: AsyncSession, digests: Sequence[UUID]) -> dict[UUID, list[Held]]:
    """Return when the numbers of those digests were held, as far as that ever changed; one statement, however many."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select h.digest, h.member_id, h.from_on, h.to_on from unnest(%b) w(digest)
            cross join lateral (select digest, member_id, from_on, to_on from held_numbers
                                 where tenant_id = %s and digest = w.digest) h""",
        (UUIDs(digests), session.info["tenant_id"]),
    )
    found: dict[UUID, list[Held]] = {}
    for digest, member_id, from_on, to_on in await cursor.fetchall():
        found.setdefault(digest, []).append(Held(member_id, from_on, to_on))
    return found


async def held_by(session: AsyncSession, member_id: int) -> list[HeldRow]:
    """Return what a member held, as far as that ever changed, the earliest first."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select member_id, digest, document_kind, from_on, to_on, verified_by, as_of from held_numbers
            where member_id = %s order by from_on, to_on, digest""",
        (member_id,),
    )
    return [HeldRow(*row) for row in await cursor.fetchall()]


async def begin(session: AsyncSession, rows: Sequence[HeldRow], event_id: int) -> None:
    """Write that members hold numbers, or held them, by one event."""
    connection = await driver(session)
    await connection.execute(
        """insert into held_numbers (member_id, digest, event_id, tenant_id, document_kind, from_on, to_on, verified_by, as_of)
           select member_id, digest, %s, %s, document_kind, from_on, to_on, verified_by, as_of
             from unnest(%b::bigint[], %b::uuid[], %b::text[], %b::date[], %b::date[], %b::text[], %b::date[])
                  w(member_id, digest, document_kind, from_on, to_on, verified_by, as_of)""",
        (
            event_id,
            session.info["tenant_id"],
            [row.member_id for row in rows],
            [row.digest for row in rows],
            [row.document_kind for row in rows],
            [row.from_on for row in rows],
            [row.to_on for row in rows],
            [row.verified_by for row in rows],
            [row.as_of for row in rows],
        ),
    )


async def end(session: AsyncSession, member_id: int, digests: Sequence[UUID], to_on: date) -> set[UUID]:
    """End what a member holds of those digests; return those that had a row."""
    connection = await driver(session)
    cursor = await connection.execute(
        """update held_numbers set to_on = %s where member_id = %s and digest = any(%b::uuid[]) and to_on is null
           returning digest""",
        (to_on, member_id, list(digests)),
    )
    return {row[0] for row in await cursor.fetchall()}


async def add_change(session: AsyncSession, row: NumberChangeRow, event_id: int) -> bool:
    """Write a change unless another of the member's documents of the kind is open; return whether it was written."""
    connection = await driver(session)
    cursor = await connection.execute(
        """insert into number_changes (change_id, member_id, other_member, event_id, tenant_id, state, act, document_kind, from_on,
                                       reason, maker, digest, document)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
           on conflict (member_id, document_kind) where state in ('proposed', 'contested', 'found') do nothing returning true""",
        (
            row.change_id, row.member_id, row.other_member, event_id, session.info["tenant_id"], row.state.value,
            row.act.value, row.document_kind, row.from_on, row.reason, row.maker, row.digest, row.document,
        ),
    )  # fmt: skip
    return await cursor.fetchone() is not None


async def find_change(session: AsyncSession, change_id: UUID, *, lock: bool = False) -> NumberChangeRow | None:
    """Return the change of that reference, locked until the transaction ends if `lock`."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"""select {_COLUMNS} from number_changes where tenant_id = %s and change_id = %s
            {"for update" if lock else ""}""".encode(),
        (session.info["tenant_id"], change_id),
    )
    row = await cursor.fetchone()
    return None if row is None else _row(row)


async def open_changes(session: AsyncSession, most: int) -> list[NumberChangeRow]:
    """Return the changes that wait for people, the oldest first."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"""select {_COLUMNS} from number_changes where tenant_id = %s and state = any(%s)
             order by asked_at, change_id limit %s""".encode(),
        (session.info["tenant_id"], [one.value for one in OPEN_CHANGES], most),
    )
    return [_row(row) for row in await cursor.fetchall()]


async def store_contested(session: AsyncSession, change_id: UUID, other_member: int, digest: str) -> None:
    """Store that somebody else is known by the number, so that what was found so far counts no more."""
    connection = await driver(session)
    await connection.execute(
        """update number_changes set state = 'contested', other_member = %s, digest = %s, finding = '', finder = ''
            where tenant_id = %s and change_id = %s""",
        (other_member, digest, session.info["tenant_id"], change_id),
    )


async def store_finding(
    session: AsyncSession, change_id: UUID, *, finding: str, finder: str, reason: str, digest: str
) -> None:
    """Store what a person found of a number that two members are known by."""
    connection = await driver(session)
    await connection.execute(
        """update number_changes set state = 'found', finding = %s, finder = %s, reason = %s, digest = %s
            where tenant_id = %s and change_id = %s""",
        (finding, finder, reason, digest, session.info["tenant_id"], change_id),
    )


async def store_decided(
    session: AsyncSession, change_id: UUID, state: NumberChangeState, *, event_id: int, checker: str, now: datetime
) -> None:
    """Store what became of a change."""
    connection = await driver(session)
    await connection.execute(
        """update number_changes set state = %s, decided_event = %s, checker = %s, decided_at = %s
            where tenant_id = %s and change_id = %s""",
        (state.value, event_id, checker, now, session.info["tenant_id"], change_id),
    )


def _row(row: Sequence[Any]) -> NumberChangeRow:
    change_id, member_id, other_member, state, act, *rest = row
    return NumberChangeRow(change_id, member_id, other_member, NumberChangeState(state), NumberAct(act), *rest)


LAWS: tuple[Law, ...] = (
    Law(
        "a-number-has-one-holder",
        "a document's number is held by one member at a time, and whoever holds it is known by it",
        """select format('member %s', to_hex(h.member_id)), 'nobody beside',
                  format('member %s from %s', to_hex(o.member_id), greatest(h.from_on, o.from_on))
             from held_numbers h join held_numbers o on o.tenant_id = h.tenant_id and o.digest = h.digest
              and (o.member_id, o.event_id) > (h.member_id, h.event_id)
            where daterange(h.from_on, h.to_on) && daterange(o.from_on, o.to_on)
           union all
           select format('member %s', to_hex(h.member_id)), 'known by the number',
                  coalesce(format('member %s', to_hex(i.member_id)), 'nobody')
             from held_numbers h left join person_indexes i on i.digest = h.digest and i.purpose = 2
            where h.to_on is null and i.member_id is distinct from h.member_id""",
    ),
    Law(
        "number-changes-are-in-the-books",
        "what became of a change of a document's number is an event of that member",
        """select c.change_id::text, 'an event of ' || c.state, coalesce(e.kind::text, 'none')
             from number_changes c left join events e on e.member_id = c.member_id and e.event_id = c.decided_event
            where c.decided_event <> 0
              and e.kind is distinct from case c.state when 'applied' then case c.act when 'ended' then 322 else 321 end
                                                       when 'same-person' then 323 else 324 end
           union all
           select c.change_id::text, 'an event of proposing', coalesce(e.kind::text, 'none')
             from number_changes c left join events e on e.member_id = c.member_id and e.event_id = c.event_id
            where e.kind is distinct from 319""",
    ),
)
