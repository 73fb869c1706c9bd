"""SQL of the exchanges. Every statement that changes one names the lease it is changed under."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from engine.kernel.outcomes import ExchangeState, RequestState
from engine.runtime.database import driver
from engine.runtime.exchanges.rules import Purpose


@dataclass(frozen=True, slots=True)
class Row:
    """An exchange, its documents sealed."""

    exchange_id: int
    reference: UUID
    counterparty: str
    operation: str
    state: ExchangeState
    outcome: RequestState
    is_sent: bool
    calls: int
    lease: int
    question: bytes
    answer: bytes | None


@dataclass(frozen=True, slots=True)
class Address:
    """What an address is for. `question` is what the counterparty called the enquiry it was made for."""

    exchange_id: int | None
    purpose: Purpose
    counterparty: str
    operation: str
    question: str
    is_answered: bool


@dataclass(frozen=True, slots=True)
class StoredCallback:
    """A callback that was not read yet, its document sealed."""

    callback_id: int
    digest: UUID
    address: UUID
    counterparty: str
    document: bytes


_COLUMNS = """exchange_id, reference, counterparty, operation, state, outcome, sent_at is not null, calls, lease, question, answer"""


def _row(values: Sequence[Any]) -> Row:
    exchange_id, reference, counterparty, operation, state, outcome, *rest = values
    return Row(exchange_id, reference, counterparty, operation, ExchangeState(state), RequestState(outcome), *rest)


async def insert_exchange(
    session: AsyncSession, reference: UUID, counterparty: str, operation: str, question: bytes
) -> int | None:
    """Keep what is to be asked, due now; None if something is asked under that reference already."""
    connection = await driver(session)
    cursor = await connection.execute(
        """insert into exchanges (tenant_id, reference, counterparty, operation, question, due_at)
           values (%s, %s, %s, %s, %s, clock_timestamp())
           on conflict (tenant_id, reference) do nothing returning exchange_id""",
        (session.info["tenant_id"], reference, counterparty, operation, question),
    )
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


async def insert_exchanges(
    session: AsyncSession, counterparty: str, operation: str, asked: Sequence[tuple[UUID, bytes, datetime]]
) -> None:
    """Keep many (reference, question, when due) in one statement; none of the references may be known."""
    connection = await driver(session)
    await connection.execute(
        """insert into exchanges (tenant_id, counterparty, operation, reference, question, due_at)
           select %s, %s, %s, * from unnest(%s::uuid[], %s::bytea[], %s::timestamptz[])""",
        (
            session.info["tenant_id"],
            counterparty,
            operation,
            [one[0] for one in asked],
            [one[1] for one in asked],
            [one[2] for one in asked],
        ),
    )


async def lease_due(session: AsyncSession, counterparty: str, count: int, seconds: float) -> list[Row]:
    """Take up to `count` exchanges that are due and that nobody has, for `seconds`, those longest due first."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"""update exchanges set lease = lease + 1, calls = calls + 1, is_woken = false,
                   leased_until = clock_timestamp() + make_interval(secs => %(seconds)s)
             where tenant_id = %(tenant)s and exchange_id in (
                   select exchange_id from exchanges
                    where tenant_id = %(tenant)s and counterparty = %(counterparty)s and due_at <= clock_timestamp()
                      and (leased_until is null or leased_until < clock_timestamp())
                    order by due_at limit %(count)s for update skip locked)
            returning {_COLUMNS}""",
        {"tenant": session.info["tenant_id"], "counterparty": counterparty, "count": count, "seconds": seconds},
    )
    return [_row(values) for values in await cursor.fetchall()]


async def mark_sent(session: AsyncSession, exchange_id: int, lease: int) -> bool:
    """Note that the request goes out now; False if another has the lease, and then it must not."""
    connection = await driver(session)
    cursor = await connection.execute(
        """update exchanges set sent_at = coalesce(sent_at, clock_timestamp())
            where tenant_id = %s and exchange_id = %s and lease = %s and settled_at is null""",
        (session.info["tenant_id"], exchange_id, lease),
    )
    return cursor.rowcount == 1


async def insert_message(
    session: AsyncSession, exchange_id: int, call_no: int, message_no: int, kind: str, document: bytes
) -> None:
    """Keep a message, sealed."""
    connection = await driver(session)
    await connection.execute(
        """insert into exchange_messages (tenant_id, exchange_id, call_no, message_no, kind, document)
           values (%s, %s, %s, %s, %s, %s)""",
        (session.info["tenant_id"], exchange_id, call_no, message_no, kind, document),
    )


async def select_messages(session: AsyncSession, exchange_id: int) -> list[tuple[int, int, str, datetime, bytes]]:
    """Return (call, number in it, kind, when, sealed document) of every message, in order."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select call_no, message_no, kind, recorded_at, document from exchange_messages
            where tenant_id = %s and exchange_id = %s order by call_no, message_no""",
        (session.info["tenant_id"], exchange_id),
    )
    return list(await cursor.fetchall())


async def lock_exchange(session: AsyncSession, exchange_id: int) -> Row:
    """Return the exchange, locked until the end of the transaction."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"select {_COLUMNS} from exchanges where tenant_id = %s and exchange_id = %s for update",
        (session.info["tenant_id"], exchange_id),
    )
    values = await cursor.fetchone()
    assert values is not None, exchange_id
    return _row(values)


async def find_exchange(session: AsyncSession, reference: UUID) -> Row | None:
    """Return the exchange of our reference."""
    connection = await driver(session)
    cursor = await connection.execute(
        f"select {_COLUMNS} from exchanges where tenant_id = %s and reference = %s",
        (session.info["tenant_id"], reference),
    )
    values = await cursor.fetchone()
    return None if values is None else _row(values)


async def known_references(session: AsyncSession, references: Sequence[UUID]) -> set[UUID]:
    """Return those of our references under which something is asked already."""
    connection = await driver(session)
    cursor = await connection.execute(
        "select reference from exchanges where tenant_id = %s and reference = any (%s)",
        (session.info["tenant_id"], list(references)),
    )
    return {row[0] for row in await cursor.fetchall()}


async def store_standing(
    session: AsyncSession,
    row: Row,
    *,
    state: ExchangeState,
    outcome: RequestState,
    reason: str,
    code: str,
    answer: bytes,
    provider_digest: UUID | None,
    is_sent: bool,
    wait_seconds: float | None,
) -> None:
    """Store what is known, and give the lease back; `wait_seconds` None: nothing is to be done any more.

    A callback that came meanwhile keeps it due now. The row is locked by the caller.
    """
    connection = await driver(session)
    await connection.execute(
        """update exchanges
              set state = %(state)s, outcome = %(outcome)s, reason = %(reason)s, code = %(code)s, answer = %(answer)s,
                  provider_digest = %(provider)s, leased_until = null,
                  sent_at = case when %(sent)s then coalesce(sent_at, clock_timestamp()) end,
                  settled_at = case when %(final)s then clock_timestamp() end,
                  due_at = case when %(wait)s::float8 is null then null
                                when is_woken then clock_timestamp()
                                else clock_timestamp() + make_interval(secs => %(wait)s::float8) end
            where tenant_id = %(tenant)s and exchange_id = %(id)s""",
        {
            "tenant": session.info["tenant_id"],
            "id": row.exchange_id,
            "state": state,
            "outcome": outcome,
            "reason": reason,
            "code": code,
            "answer": answer,
            "provider": provider_digest,
            "sent": is_sent,
            "final": outcome.is_final,
            "wait": wait_seconds,
        },
    )


async def wake(session: AsyncSession, exchange_id: int, answer: bytes | None) -> None:
    """Make the exchange due now, also where it is being worked on; with `answer`, store that."""
    connection = await driver(session)
    await connection.execute(
        """update exchanges set is_woken = true, due_at = clock_timestamp(), answer = coalesce(%s, answer)
            where tenant_id = %s and exchange_id = %s and settled_at is null and due_at is not null""",
        (answer, session.info["tenant_id"], exchange_id),
    )


# -- addresses and callbacks


async def insert_address(
    session: AsyncSession, digest: UUID, exchange_id: int | None, purpose: Purpose, counterparty: str, operation: str
) -> None:
    """Keep an address by its digest; one that is kept stays as it is."""
    connection = await driver(session)
    await connection.execute(
        """insert into exchange_addresses (tenant_id, digest, exchange_id, purpose, counterparty, operation)
           values (%s, %s, %s, %s, %s, %s) on conflict do nothing""",
        (session.info["tenant_id"], digest, exchange_id, purpose, counterparty, operation),
    )


async def name_question(session: AsyncSession, digest: UUID, question: str) -> None:
    """Note what the counterparty calls the enquiry that an address was made for."""
    connection = await driver(session)
    await connection.execute(
        "update exchange_addresses set question = %s where tenant_id = %s and digest = %s",
        (question, session.info["tenant_id"], digest),
    )


async def answer_question(session: AsyncSession, digest: UUID) -> None:
    """Note that an enquiry was answered: it is answered once."""
    connection = await driver(session)
    await connection.execute(
        "update exchange_addresses set answered_at = clock_timestamp() where tenant_id = %s and digest = %s",
        (session.info["tenant_id"], digest),
    )


async def find_address(session: AsyncSession, digest: UUID) -> Address | None:
    """Return what an address is for, locked, or None if it is none of ours."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select exchange_id, purpose, counterparty, operation, question, answered_at is not null
             from exchange_addresses where tenant_id = %s and digest = %s for update""",
        (session.info["tenant_id"], digest),
    )
    values = await cursor.fetchone()
    if values is None:
        return None
    exchange_id, purpose, *rest = values
    return Address(exchange_id, Purpose(purpose), *rest)


async def insert_callback(
    session: AsyncSession, digest: UUID, address: UUID, counterparty: str, document: bytes
) -> bool:
    """Keep a callback to an address of ours as it came; the same again is not kept twice. False if nothing was kept."""
    connection = await driver(session)
    cursor = await connection.execute(
        """insert into callbacks (tenant_id, digest, address, counterparty, document)
           select %(tenant)s, %(digest)s, %(address)s, %(counterparty)s, %(document)s
            where exists (select from exchange_addresses
                           where tenant_id = %(tenant)s and digest = %(address)s and counterparty = %(counterparty)s)
           on conflict (tenant_id, digest) do nothing""",
        {
            "tenant": session.info["tenant_id"],
            "digest": digest,
            "address": address,
            "counterparty": counterparty,
            "document": document,
        },
    )
    return cursor.rowcount == 1


async def lock_unread(session: AsyncSession, counterparties: Sequence[str]) -> StoredCallback | None:
    """Return the oldest callback that nobody has read or reads, locked until the end of the transaction.

    An answer to an enquiry that is being put waits until it is known what the counterparty calls that enquiry.
    """
    connection = await driver(session)
    cursor = await connection.execute(
        """select callback_id, digest, address, counterparty, document from callbacks c
            where tenant_id = %s and read_at is null and counterparty = any (%s)
              and not exists (select from exchange_addresses a join exchanges e using (tenant_id, exchange_id)
                               where a.tenant_id = c.tenant_id and a.digest = c.address and a.purpose = 'enquiry'
                                 and a.question = '' and e.leased_until > clock_timestamp())
            order by callback_id limit 1 for update of c skip locked""",
        (session.info["tenant_id"], list(counterparties)),
    )
    values = await cursor.fetchone()
    return None if values is None else StoredCallback(*values)


async def mark_read(session: AsyncSession, callback_id: int, verdict: str, exchange_id: int | None) -> None:
    """Note what was made of a callback."""
    connection = await driver(session)
    await connection.execute(
        """update callbacks set read_at = clock_timestamp(), verdict = %s, exchange_id = %s
            where tenant_id = %s and callback_id = %s""",
        (verdict, exchange_id, session.info["tenant_id"], callback_id),
    )


# -- access tokens


async def find_token(session: AsyncSession, digest: UUID) -> bytes | None:
    """Return the sealed token in force, if there is one."""
    connection = await driver(session)
    cursor = await connection.execute(
        "select document from access_tokens where tenant_id = %s and digest = %s and expires_at > clock_timestamp()",
        (session.info["tenant_id"], digest),
    )
    values = await cursor.fetchone()
    return None if values is None else bytes(values[0])


async def lock_token(session: AsyncSession, digest: UUID) -> None:
    """Let nobody else fetch or discard this token until the end of the transaction."""
    connection = await driver(session)
    key = int.from_bytes(digest.bytes[:8], "big", signed=True)
    await connection.execute("select pg_advisory_xact_lock(%s)", (key,))


async def store_token(session: AsyncSession, digest: UUID, document: bytes, seconds: float) -> None:
    """Keep a token, sealed, for `seconds`."""
    connection = await driver(session)
    await connection.execute(
        """insert into access_tokens (tenant_id, digest, document, expires_at)
           values (%(tenant)s, %(digest)s, %(document)s, clock_timestamp() + make_interval(secs => %(seconds)s))
           on conflict (tenant_id, digest) do update set document = excluded.document, expires_at = excluded.expires_at""",
        {"tenant": session.info["tenant_id"], "digest": digest, "document": document, "seconds": seconds},
    )


async def expire_token(session: AsyncSession, digest: UUID) -> None:
    """Let a token no longer be used."""
    connection = await driver(session)
    await connection.execute(
        "update access_tokens set expires_at = clock_timestamp() where tenant_id = %s and digest = %s",
        (session.info["tenant_id"], digest),
    )
