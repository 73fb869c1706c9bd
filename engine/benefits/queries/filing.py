"""SQL of the files that ask banks for payouts, and of what banks say of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.queries.paying import PayoutRow, select_payouts
from engine.runtime.database import driver


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file that was made, sealed."""

    file_id: int
    message_ref: str
    rail: str
    execute_on: date
    payouts: int
    total: int
    sha256: str
    document: bytes


async def hold_files(session: AsyncSession) -> None:
    """Wait until no other transaction makes a file of payouts, or reads a report of one."""
    await session.execute(text("select pg_advisory_xact_lock(7204, :t)"), {"t": session.info["tenant_id"]})


async def unfiled(session: AsyncSession, rail: str, *, most: int) -> list[PayoutRow]:
    """Return approved payouts of a bank that are in no file, locked, the oldest first."""
    return await select_payouts(
        session,
        """p.rail = %(rail)s and p.state = 'approved' and p.file_id is null
           order by p.made_at, p.payout_id limit %(most)s for update of p""",
        {"rail": rail, "most": most},
    )


async def filed(session: AsyncSession, file_id: int) -> list[PayoutRow]:
    """Return the payouts of a file, locked."""
    return await select_payouts(session, "p.file_id = %(file)s order by p.payout_id for update of p", {"file": file_id})


async def next_number(session: AsyncSession) -> int:
    """Return the number of the tenant's next file; files are held."""
    value = await session.scalar(
        text("select coalesce(max(file_id), 0) + 1 from payout_files where tenant_id = :t"),
        {"t": session.info["tenant_id"]},
    )
    return int(value)


async def add_file(
    session: AsyncSession,
    file_id: int,
    *,
    total: int,
    payouts: Sequence[UUID],
    execute_on: date,
    rail: str,
    message_ref: str,
    sha256: str,
    maker: str,
    document: bytes,
) -> None:
    """Keep a file; its payouts are sent by it."""
    connection = await driver(session)
    tenant = session.info["tenant_id"]
    await connection.execute(
        """insert into payout_files (tenant_id, file_id, total, payouts, execute_on, rail, message_ref, sha256, maker, document)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (tenant, file_id, total, len(payouts), execute_on, rail, message_ref, sha256, maker, document),
    )
    await connection.execute(
        "update payouts set state = 'sent', file_id = %s where tenant_id = %s and payout_id = any(%s)",
        (file_id, tenant, list(payouts)),
    )


async def find_file(session: AsyncSession, message_ref: str) -> FileRow | None:
    """Return a file by its reference."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select file_id, message_ref, rail, execute_on, payouts, total, sha256, document from payout_files
            where tenant_id = %s and message_ref = %s""",
        (session.info["tenant_id"], message_ref),
    )
    row = await cursor.fetchone()
    return None if row is None else FileRow(*row)


async def unsent_files(session: AsyncSession, rail: str, since: date) -> list[str]:
    """Return the references of a bank's files made on or after a day that are not staged to leave, the oldest first."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select message_ref from payout_files where tenant_id = %(tenant)s and rail = %(rail)s and made_at >= %(since)s
              and message_ref not in (select about from outgoing_files
                                       where tenant_id = %(tenant)s and kind = 'payouts' and state <> 'rejected')
            order by file_id""",
        {"tenant": session.info["tenant_id"], "rail": rail, "since": since},
    )
    return [row[0] for row in await cursor.fetchall()]


async def add_report(session: AsyncSession, file_id: int, *, sha256: str, name: str, document: bytes) -> bool:
    """Keep a report; False if the same bytes came before."""
    connection = await driver(session)
    cursor = await connection.execute(
        """insert into payout_reports (tenant_id, file_id, sha256, name, document) values (%s, %s, %s, %s, %s)
           on conflict (tenant_id, sha256) do nothing""",
        (session.info["tenant_id"], file_id, sha256, name, document),
    )
    return cursor.rowcount == 1
