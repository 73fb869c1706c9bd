"""SQL of files that stand for an authority's word: those that members hand over, and those that go to an agency without an API."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from engine.runtime.database import driver


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A file of questions, and how many of them wait for an answer."""

    batch_no: int
    name: str
    sha256: str
    made_by: str
    made_at: datetime
    questions: int
    waiting: int


async def find_offline(session: AsyncSession, digest: UUID) -> tuple[int, UUID] | None:
    """Return (member_id, reference) of the verification that was made of a file; None where none was."""
    connection = await driver(session)
    cursor = await connection.execute(
        "select member_id, reference from offline_documents where tenant_id = %s and digest = %s",
        (session.info["tenant_id"], digest),
    )
    row = await cursor.fetchone()
    return None if row is None else (row[0], row[1])


async def keep_offline(session: AsyncSession, digest: UUID, member_id: int, reference: UUID, document: bytes) -> bool:
    """Keep a file that a member handed over; return False where it was before. Waits for whoever is keeping it this moment."""
    connection = await driver(session)
    cursor = await connection.execute(
        """insert into offline_documents (digest, member_id, reference, tenant_id, document) values (%s, %s, %s, %s, %s)
           on conflict (tenant_id, digest) do nothing returning true""",
        (digest, member_id, reference, session.info["tenant_id"], document),
    )
    return await cursor.fetchone() is not None


async def hold_batches(session: AsyncSession) -> int:
    """Let no other file of questions be made until the transaction ends; return the number of the next."""
    connection = await driver(session)
    tenant_id: int = session.info["tenant_id"]
    await connection.execute("select pg_advisory_xact_lock(hashtextextended('verification-batches', %s))", (tenant_id,))
    cursor = await connection.execute(
        "select coalesce(max(batch_no), 0) + 1 from verification_batches where tenant_id = %s", (tenant_id,)
    )
    ((number,),) = await cursor.fetchall()
    return int(number)


async def unverified(session: AsyncSession, product: str, source: str, after: int, most: int) -> list[int]:
    """Return active members of a product of whom an authority has said nothing that counts, and is not asked, by their ids."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select m.member_id from members m
            where m.tenant_id = %s and m.product = %s and m.status = 'active' and m.member_id > %s
              and not exists (select from verifications v where v.member_id = m.member_id and v.source = %s
                                 and v.state not in ('refused', 'not-proven'))
            order by m.member_id limit %s""",
        (session.info["tenant_id"], product, after, source, most),
    )
    return [row[0] for row in await cursor.fetchall()]


async def open_questions(
    session: AsyncSession, asked: Sequence[tuple[UUID, int, str]], source: str, asked_by: str, batch_no: int
) -> set[UUID]:
    """Write questions of (reference, member_id, document kind) of a file unless one of theirs is open; return those written."""
    connection = await driver(session)
    cursor = await connection.execute(
        """insert into verifications (reference, member_id, tenant_id, document_kind, source, asked_by, batch_no)
           select reference, member_id, %s, kind, %s, %s, %s
             from unnest(%b::uuid[], %b::bigint[], %b::text[]) w(reference, member_id, kind) order by member_id, kind
           on conflict (member_id, document_kind, source) where state in ('asked', 'doubtful') do nothing returning reference""",
        (
            session.info["tenant_id"],
            source,
            asked_by,
            batch_no,
            [one for one, _, _ in asked],
            [member_id for _, member_id, _ in asked],
            [kind for _, _, kind in asked],
        ),
    )
    return {row[0] for row in await cursor.fetchall()}


async def add_batch(
    session: AsyncSession, batch_no: int, *, name: str, sha256: str, made_by: str, questions: int
) -> None:
    """Write that a file of questions was made."""
    connection = await driver(session)
    await connection.execute(
        """insert into verification_batches (tenant_id, batch_no, name, sha256, made_by, questions)
           values (%s, %s, %s, %s, %s, %s)""",
        (session.info["tenant_id"], batch_no, name, sha256, made_by, questions),
    )


async def list_batches(session: AsyncSession) -> list[BatchRow]:
    """Return the files of questions, the last first."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select b.batch_no, b.name, b.sha256, b.made_by, b.made_at, b.questions, w.waiting
             from verification_batches b
            cross join lateral (select count(*) as waiting from verifications v
                                 where v.tenant_id = b.tenant_id and v.batch_no = b.batch_no and v.state = 'asked') w
            where b.tenant_id = %s order by b.batch_no desc""",
        (session.info["tenant_id"],),
    )
    return [BatchRow(*row) for row in await cursor.fetchall()]


async def questions_of(session: AsyncSession, batch_no: int) -> list[tuple[UUID, int, str]]:
    """Return (reference, member_id, document kind) of what a file asks, by reference."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select reference, member_id, document_kind from verifications where tenant_id = %s and batch_no = %s
            order by reference""",
        (session.info["tenant_id"], batch_no),
    )
    return [(row[0], row[1], row[2]) for row in await cursor.fetchall()]
