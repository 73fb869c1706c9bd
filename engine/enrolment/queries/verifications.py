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


async def verified_kinds(session: AsyncSession, member_id: int) -> set[str]:
    """Return the kinds of a member's documents that an authority has confirmed."""
    return set(await confirmed(session, member_id))


async def confirmed(session: AsyncSession, member_id: int) -> dict[str, tuple[str, date | None]]:
    """Return by which authority each kind of a member's documents was confirmed last, as of when.

    What was confirmed of a change that did not come to pass is left out.
    """
    connection = await driver(session)
    cursor = await connection.execute(
        """select distinct on (document_kind) document_kind, source, as_of from verifications v
            where member_id = %s and state = 'verified'
              and not exists (select from number_changes c where c.tenant_id = v.tenant_id and c.change_id = v.reference
                                 and c.state <> 'applied')
            order by document_kind, as_of desc nulls last, reference""",
        (member_id,),
    )
    return {row[0]: (row[1], row[2]) for row in await cursor.fetchall()}


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


async def store_answer(
    session: AsyncSession,
    row: VerificationRow,
    *,
    state: VerificationState,
    event_id: int | None,
    decided_at: datetime | None,
    score_bp: int | None,
    why: str,
    code: str,
    kinds: Sequence[str],
    as_of: date | None,
    document: bytes | None,
) -> None:
    """Store what came of a question; `decided_at` is None where a person must look."""
    connection = await driver(session)
    await connection.execute(
        """update verifications set state = %s, event_id = %s, decided_at = %s, score_bp = %s, why = %s, code = %s, kinds = %s,
                                    as_of = %s, document = %s where member_id = %s and reference = %s""",
        (
            state.value, event_id, decided_at, score_bp, why, code, list(kinds), as_of, document,
            row.member_id, row.reference,
        ),
    )  # fmt: skip


async def raise_levels(session: AsyncSession, member_id: int, levels: Sequence[tuple[str, str]]) -> None:
    """Set the level of a member's (product, level)."""
    connection = await driver(session)
    await connection.execute(
        """update memberships s set level = w.level from unnest(%b::text[], %b::text[]) w(product, level)
            where s.member_id = %s and s.product = w.product""",
        ([product for product, _ in levels], [level for _, level in levels], member_id),
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
