"""SQL of what authorities say of members."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncCursor
from sqlalchemy.ext.asyncio import AsyncSession

from engine.enrolment.rules import VerificationState
from engine.ledger.rules import Law
from engine.runtime.database import driver

_COLUMNS = "reference, member_id, document_kind, source, state, score_bp, why, code, kinds, as_of, asked_by, asked_at, document"


@dataclass(frozen=True, slots=True)
class VerificationRow:
    """A question to an authority about a member, and what came of it. `document` is sealed under the member's key."""

    reference: UUID
    member_id: int
    document_kind: str
    source: str
    state: VerificationState
    score_bp: int | None
    why: str
    code: str
    kinds: tuple[str, ...]
    as_of: date | None
    asked_by: str
    asked_at: datetime
    document: bytes | None


async def open_verification(
    session: AsyncSession, reference: UUID, member_id: int, document_kind: str, source: str, asked_by: str
) -> bool:
    """Write a question unless one about that document is open; return whether it is new."""
    connection = await driver(session)
    cursor = await connection.execute(
        """insert into verifications (reference, member_id, tenant_id, document_kind, source, asked_by)
           values (%s, %s, %s, %s, %s, %s)
           on conflict (member_id, document_kind, source) where state in ('asked', 'doubtful') do nothing returning true""",
        (reference, member_id, session.info["tenant_id"], document_kind, source, asked_by),
    )
    return await cursor.fetchone() is not None


async def open_question(session: AsyncSession, member_id: int, document_kind: str, source: str) -> VerificationRow:
    """Return the question about a document that is open."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"""select {_COLUMNS} from verifications where member_id = %s and document_kind = %s and source = %s
             and state in ('asked', 'doubtful')""".encode(),
        (member_id, document_kind, source),
    )
    found = await _first(cursor)
    assert found is not None
    return found


async def find_verification(session: AsyncSession, reference: UUID, *, lock: bool = False) -> VerificationRow | None:
    """Return the question of that reference, locked until the transaction ends if `lock`."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"""select {_COLUMNS} from verifications where tenant_id = %s and reference = %s
            {"for update" if lock else ""}""".encode(),
        (session.info["tenant_id"], reference),
    )
    return await _first(cursor)


async def lock_batch(session: AsyncSession, batch_no: int, references: Sequence[UUID]) -> list[VerificationRow]:
    """Return those questions that a file asks, locked until the transaction ends; what it did not ask is left out."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"""select {_COLUMNS} from verifications where tenant_id = %s and batch_no = %s and reference = any(%b::uuid[])
             order by member_id, reference for update""".encode(),
        (session.info["tenant_id"], batch_no, list(references)),
    )
    return [_row(row) for row in await cursor.fetchall()]


async def add_sign_in(session: AsyncSession, digest: UUID, member_id: int, minutes: int, document: bytes) -> None:
    """Keep a sign-in that has begun, for so many minutes."""
    connection = await driver(session)
    await connection.execute(
        """insert into sign_ins (digest, member_id, tenant_id, expires_at, document)
           values (%s, %s, %s, clock_timestamp() + make_interval(mins => %s), %s)""",
        (digest, member_id, session.info["tenant_id"], minutes, document),
    )


async def use_sign_in(session: AsyncSession, digest: UUID) -> int | None:
    """Use a sign-in up, and return whose it is; None where there is none, or it was used, or has expired."""
    connection = await driver(session)
    cursor = await connection.execute(
        """update sign_ins set used_at = clock_timestamp()
            where tenant_id = %s and digest = %s and used_at is null and expires_at > clock_timestamp() returning member_id""",
        (session.info["tenant_id"], digest),
    )
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


async def sign_in_document(session: AsyncSession, member_id: int, digest: UUID) -> bytes:
    """Return what is sealed of a sign-in."""
    connection = await driver(session)
    cursor = await connection.execute(
        "select document from sign_ins where member_id = %s and digest = %s", (member_id, digest)
    )
    row = await cursor.fetchone()
    assert row is not None, digest
    return bytes(row[0])


async def doubtful(session: AsyncSession, most: int) -> list[VerificationRow]:
    """Return what people must look at, the oldest first."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"""select {_COLUMNS} from verifications where tenant_id = %s and state = 'doubtful'
             order by asked_at, reference limit %s""".encode(),
        (session.info["tenant_id"], most),
    )
    return [_row(row) for row in await cursor.fetchall()]


async def confirmed(session: AsyncSession, member_ids: Sequence[int]) -> dict[int, dict[str, tuple[str, date | None]]]:
    """Return by which authority each kind of those members' documents was confirmed last, as of when.

    What was confirmed of a change that did not come to pass is left out.
    """
    connection = await driver(session)
    cursor = await connection.execute(
        """select distinct on (v.member_id, v.document_kind) v.member_id, v.document_kind, v.source, v.as_of
             from unnest(%b::bigint[]) w(member_id) join verifications v on v.member_id = w.member_id
            where v.state = 'verified'
              and not exists (select from number_changes c where c.tenant_id = v.tenant_id and c.change_id = v.reference
                                 and c.state <> 'applied')
            order by v.member_id, v.document_kind, v.as_of desc nulls last, v.reference""",
        (list(member_ids),),
    )
    found: dict[int, dict[str, tuple[str, date | None]]] = {}
    for member_id, kind, source, as_of in await cursor.fetchall():
        found.setdefault(member_id, {})[kind] = (source, as_of)
    return found


async def never_asked(session: AsyncSession, product: str, source: str, after: int, most: int) -> list[int]:
    """Return active members of a product whom an authority was never asked about, by their ids from `after` on."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select m.member_id from members m
            where m.tenant_id = %s and m.product = %s and m.status = 'active' and m.member_id > %s
              and not exists (select from verifications v where v.member_id = m.member_id and v.source = %s)
            order by m.member_id limit %s""",
        (session.info["tenant_id"], product, after, source, most),
    )
    return [row[0] for row in await cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of a question; `is_final` is False where a person must look."""

    row: VerificationRow
    state: VerificationState
    event_id: int
    is_final: bool
    score_bp: int | None
    why: str
    code: str
    kinds: Sequence[str]
    as_of: date | None
    document: bytes | None


async def store_answers(session: AsyncSession, answers: Sequence[Answered], now: datetime) -> None:
    """Store what came of questions, in one statement."""
    connection = await driver(session)
    await connection.execute(
        """update verifications v
              set state = w.state, event_id = w.event_id, decided_at = case when w.is_final then %s::timestamptz end,
                  score_bp = w.score_bp, why = w.why, code = w.code, kinds = string_to_array(w.kinds, ' '), as_of = w.as_of,
                  document = w.document
             from unnest(%b::bigint[], %b::uuid[], %b::text[], %b::bigint[], %b::bool[], %b::smallint[], %b::text[], %b::text[],
                         %b::text[], %b::date[], %b::bytea[])
                  w(member_id, reference, state, event_id, is_final, score_bp, why, code, kinds, as_of, document)
            where v.member_id = w.member_id and v.reference = w.reference""",
        (
            now,
            [one.row.member_id for one in answers],
            [one.row.reference for one in answers],
            [one.state.value for one in answers],
            [one.event_id for one in answers],
            [one.is_final for one in answers],
            [one.score_bp for one in answers],
            [one.why for one in answers],
            [one.code for one in answers],
            [" ".join(one.kinds) for one in answers],
            [one.as_of for one in answers],
            [one.document for one in answers],
        ),
    )


async def raise_levels(session: AsyncSession, levels: Sequence[tuple[int, str, str]]) -> None:
    """Set levels of (member_id, product, level), in one statement."""
    connection = await driver(session)
    await connection.execute(
        """update memberships s set level = w.level
             from unnest(%b::bigint[], %b::text[], %b::text[]) w(member_id, product, level)
            where s.member_id = w.member_id and s.product = w.product""",
        ([one for one, _, _ in levels], [product for _, product, _ in levels], [level for _, _, level in levels]),
    )


async def _first(cursor: AsyncCursor[Any]) -> VerificationRow | None:
    row = await cursor.fetchone()
    return None if row is None else _row(row)


def _row(row: Sequence[Any]) -> VerificationRow:
    reference, member_id, document_kind, source, state, score_bp, why, code, kinds, *rest = row
    return VerificationRow(
        reference, member_id, document_kind, source, VerificationState(state), score_bp, why, code, tuple(kinds), *rest
    )


LAWS: tuple[Law, ...] = (
    Law(
        "answers-are-in-the-books",
        "what an authority said of a member, and what a person decided, is an event of that member",
        """select v.reference::text, 'an event of that state'::text, coalesce(e.body ->> 'state', 'none')
             from verifications v
             left join events e on e.member_id = v.member_id and e.event_id = v.event_id and e.kind in (110, 111, 112)
            where v.state <> 'asked' and (e.body ->> 'state') is distinct from v.state""",
    ),
)
