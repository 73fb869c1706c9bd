"""SQL of the menu on telephones: sessions, PINs, requests for people, a member's last payments."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from engine.channels.ussd.rules import Payment
from engine.ledger.rules import EventKind
from engine.runtime.database import driver

_PAYMENTS = (
    EventKind.CONTRIBUTION_RECEIVED,
    EventKind.SUSPENSE_RESOLVED,
    EventKind.CONTRIBUTION_REVERSED,
)


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session as it is taken up, locked; `document` is None where it begins now."""

    steps: int
    document: bytes | None


@dataclass(frozen=True, slots=True)
class PinRow:
    """A member's PIN on a telephone, locked by the transaction that reads it."""

    hash: str
    wrong: int
    is_locked: bool


@dataclass(frozen=True, slots=True)
class RequestRow:
    """What somebody asked for; `member_id` is 0 for somebody unknown."""

    request_id: UUID
    asked_at: datetime
    member_id: int
    phone: UUID
    kind: str
    document: bytes


async def take_session(session: AsyncSession, session_id: UUID, phone: UUID) -> SessionRow | None:
    """Return the session, begun if it is new, held until the transaction ends; None if it is another telephone's."""
    connection = await driver(session)
    cursor = await connection.execute(
        """insert into ussd_sessions (tenant_id, session_id, phone) values (%s, %s, %s)
           on conflict (tenant_id, session_id) do update set steps = ussd_sessions.steps + 1
            where ussd_sessions.phone = excluded.phone
           returning steps, document""",
        (session.info["tenant_id"], session_id, phone),
    )
    row = await cursor.fetchone()
    return None if row is None else SessionRow(*row)


async def keep_session(
    session: AsyncSession, session_id: UUID, *, state: str, screen: str, language: str, document: bytes
) -> None:
    """Keep where a session stands."""
    connection = await driver(session)
    await connection.execute(
        """update ussd_sessions set state = %s, screen = %s, language = %s, document = %s,
                  expires_at = clock_timestamp() + interval '5 minutes'
            where tenant_id = %s and session_id = %s""",
        (state, screen, language, document, session.info["tenant_id"], session_id),
    )


async def take_over(session: AsyncSession, session_id: UUID, phone: UUID) -> tuple[UUID, bytes] | None:
    """Return the telephone's last session that was cut off within five minutes, which goes on in this one."""
    connection = await driver(session)
    cursor = await connection.execute(
        """update ussd_sessions s set state = 'resumed'
             from (select session_id from ussd_sessions
                    where tenant_id = %(t)s and phone = %(phone)s and session_id <> %(s)s and state = 'open'
                      and expires_at > clock_timestamp() and document is not null
                    order by expires_at desc limit 1 for update skip locked) w
            where s.tenant_id = %(t)s and s.session_id = w.session_id returning s.session_id, s.document""",
        {"t": session.info["tenant_id"], "phone": phone, "s": session_id},
    )
    row = await cursor.fetchone()
    return None if row is None else (row[0], row[1])


async def steps_lately(session: AsyncSession, phone: UUID) -> int:
    """Return how many screens the telephone asked for in sessions begun within the last minute."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select coalesce(sum(steps), 0)::int from ussd_sessions
            where tenant_id = %s and phone = %s and begun_at > clock_timestamp() - interval '1 minute'""",
        (session.info["tenant_id"], phone),
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def forget_old(session: AsyncSession) -> None:
    """Delete sessions that ended more than a day ago, some at a time: no gateway asks for their screens again."""
    connection = await driver(session)
    await connection.execute(
        """delete from ussd_sessions where ctid = any(array(
             select ctid from ussd_sessions where tenant_id = %s and expires_at < clock_timestamp() - interval '1 day'
              order by expires_at limit 20 for update skip locked))""",
        (session.info["tenant_id"],),
    )


async def note_end(session: AsyncSession, session_id: UUID, cost: Decimal | None, currency: str) -> None:
    """Keep what the gateway says a session cost."""
    connection = await driver(session)
    await connection.execute(
        "update ussd_sessions set cost = %s, currency = %s where tenant_id = %s and session_id = %s",
        (cost, currency, session.info["tenant_id"], session_id),
    )


async def holders(session: AsyncSession, phone: UUID) -> list[int]:
    """Return the members who have a PIN on the telephone and were not erased."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select p.member_id from ussd_pins p join members m using (member_id)
            where p.tenant_id = %s and p.phone = %s and m.status = 'active' order by p.set_at, p.member_id limit 9""",
        (session.info["tenant_id"], phone),
    )
    return [row[0] for row in await cursor.fetchall()]


async def lock_pin(session: AsyncSession, phone: UUID, member_id: int) -> PinRow | None:
    """Return a PIN, held until the transaction ends; None if there is none."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select hash, wrong, locked_at is not null from ussd_pins
            where tenant_id = %s and phone = %s and member_id = %s for update""",
        (session.info["tenant_id"], phone, member_id),
    )
    row = await cursor.fetchone()
    return None if row is None else PinRow(*row)


async def count_pin(session: AsyncSession, phone: UUID, member_id: int, *, wrong: int, is_locked: bool) -> None:
    """Keep how many times in a row a PIN was wrong, and whether it is locked now."""
    connection = await driver(session)
    await connection.execute(
        """update ussd_pins set wrong = %s, locked_at = case when %s then clock_timestamp() end
            where tenant_id = %s and phone = %s and member_id = %s""",
        (wrong, is_locked, session.info["tenant_id"], phone, member_id),
    )


async def add_pin(session: AsyncSession, phone: UUID, member_id: int, pin_hash: str) -> bool:
    """Keep a member's PIN on a telephone; False if they have one there."""
    connection = await driver(session)
    cursor = await connection.execute(
        """insert into ussd_pins (tenant_id, phone, member_id, hash) values (%s, %s, %s, %s)
           on conflict do nothing returning member_id""",
        (session.info["tenant_id"], phone, member_id, pin_hash),
    )
    return await cursor.fetchone() is not None


async def remove_pin(session: AsyncSession, phone: UUID, member_id: int) -> None:
    """Forget a PIN: the member chooses another by their identity number."""
    connection = await driver(session)
    await connection.execute(
        "delete from ussd_pins where tenant_id = %s and phone = %s and member_id = %s",
        (session.info["tenant_id"], phone, member_id),
    )


async def add_request(session: AsyncSession, phone: UUID, member_id: int, kind: str, document: bytes) -> UUID | None:
    """Keep what somebody asks for, and return its id; None where the same is open already, which then says what is new."""
    connection = await driver(session)
    cursor = await connection.execute(
        """insert into ussd_requests (tenant_id, request_id, phone, member_id, kind, document) values (%s, %s, %s, %s, %s, %s)
           on conflict (tenant_id, phone, member_id, kind) where closed_at is null do update set document = excluded.document
           returning request_id, xmax = 0""",
        (session.info["tenant_id"], uuid4(), phone, member_id, kind, document),
    )
    row = await cursor.fetchone()
    assert row is not None
    return row[0] if row[1] else None


async def open_requests(session: AsyncSession, *, most: int) -> list[RequestRow]:
    """Return what is left to do, the oldest first."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select request_id, asked_at, member_id, phone, kind, document from ussd_requests
            where tenant_id = %s and closed_at is null order by asked_at, request_id limit %s""",
        (session.info["tenant_id"], most),
    )
    return [RequestRow(*row) for row in await cursor.fetchall()]


async def lock_request(session: AsyncSession, request_id: UUID) -> RequestRow | None:
    """Return an open request, held until the transaction ends."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select request_id, asked_at, member_id, phone, kind, document from ussd_requests
            where tenant_id = %s and request_id = %s and closed_at is null for update""",
        (session.info["tenant_id"], request_id),
    )
    row = await cursor.fetchone()
    return None if row is None else RequestRow(*row)


async def close_request(session: AsyncSession, request_id: UUID, actor: str) -> None:
    """Note that a request was done, and forget what it said."""
    connection = await driver(session)
    await connection.execute(
        """update ussd_requests set closed_at = clock_timestamp(), closed_by = %s, document = null
            where tenant_id = %s and request_id = %s""",
        (actor, session.info["tenant_id"], request_id),
    )


async def last_payments(session: AsyncSession, member_id: int, most: int) -> Sequence[Payment]:
    """Return a member's last payments, the newest first; what was taken back is negative."""
    connection = await driver(session)
    cursor = await connection.execute(
        """select e.business_date, sum(case when t.credit & 2048 <> 0 then t.amount else 0 end
                                     - case when t.debit & 2048 <> 0 then t.amount else 0 end)::bigint
             from (select event_id, business_date from events where member_id = %s and kind = any(%s)
                    order by event_id desc limit %s) e
             join transfers t on t.member_id = %s and t.event_id = e.event_id
             join chart c on c.tenant_id = t.tenant_id and c.code = case when t.credit & 2048 <> 0 then t.credit else t.debit end
                         and c.kind = 'cash'
            group by e.event_id, e.business_date order by e.event_id desc""",
        (member_id, [int(kind) for kind in _PAYMENTS], most, member_id),
    )
    return [Payment(*row) for row in await cursor.fetchall()]
