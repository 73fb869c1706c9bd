"""SQL of access. Every statement runs in the tenant of its session."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True, slots=True)
class StoredPartner:
    """A partner as stored."""

    partner_id: int
    code: str
    name: str
    client_id: str
    secret_hash: str
    scopes: tuple[str, ...]
    status: str


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session of a member of staff, with who they are."""

    staff_id: int
    created_at: datetime
    last_seen_at: datetime
    roles: tuple[str, ...]


async def insert_partner(
    session: AsyncSession, *, code: str, name: str, client_id: str, secret_hash: str, scopes: list[str]
) -> int | None:
    """Add a partner; return its number, or None if the code is taken."""
    number = await session.scalar(
        text("""insert into partners (tenant_id, code, name, client_id, secret_hash, scopes)
                values (:t, :code, :name, :client_id, :secret_hash, :scopes)
                on conflict (tenant_id, code) do nothing returning partner_id"""),
        {
            "t": session.info["tenant_id"],
            "code": code,
            "name": name,
            "client_id": client_id,
            "secret_hash": secret_hash,
            "scopes": scopes,
        },
    )
    return None if number is None else int(number)


async def partner_by_client_id(session: AsyncSession, client_id: str) -> StoredPartner | None:
    """Return the partner with that client id, or None."""
    row = (
        await session.execute(
            text("""select partner_id, code, name, client_id, secret_hash, scopes, status
                      from partners where client_id = :client_id"""),
            {"client_id": client_id},
        )
    ).first()
    if row is None:
        return None
    return StoredPartner(
        partner_id=row.partner_id,
        code=row.code,
        name=row.name,
        client_id=row.client_id,
        secret_hash=row.secret_hash,
        scopes=tuple(row.scopes),
        status=row.status,
    )


async def partner_codes(session: AsyncSession) -> list[tuple[int, str, str]]:
    """Return (partner_id, code, status) of each partner of the tenant, by code."""
    rows = await session.execute(text("select partner_id, code, status from partners order by code"))
    return [(row.partner_id, row.code, row.status) for row in rows]


async def change_partner(
    session: AsyncSession, code: str, *, status: str | None = None, secret_hash: str | None = None
) -> bool:
    """Set what is given of a partner; return whether there is one of that code."""
    found = await session.scalar(
        text("""update partners set status = coalesce(:status, status), secret_hash = coalesce(:secret_hash, secret_hash)
                 where code = :code returning partner_id"""),
        {"code": code, "status": status, "secret_hash": secret_hash},
    )
    return found is not None


async def find_or_add_staff(session: AsyncSession, *, label: str, roles: list[str]) -> tuple[int, bool]:
    """Return the number of the member of staff with that label, added with `roles` if new, and whether they are new."""
    added = await session.scalar(
        text("""insert into staff (tenant_id, label, roles) values (:t, :label, :roles)
                on conflict (tenant_id, label) do nothing returning staff_id"""),
        {"t": session.info["tenant_id"], "label": label, "roles": roles},
    )
    if added is not None:
        return int(added), True
    found = await session.scalar(text("select staff_id from staff where label = :label"), {"label": label})
    return int(found), False


async def insert_link(session: AsyncSession, *, staff_id: int, digest: bytes, expires_at: datetime) -> None:
    """Add a one-time link; those the person had before, and old ones, end."""
    await session.execute(
        text("delete from staff_links where staff_id = :staff or expires_at < :expires - interval '30 days'"),
        {"staff": staff_id, "expires": expires_at},
    )
    await session.execute(
        text(
            "insert into staff_links (tenant_id, staff_id, digest, expires_at) values (:t, :staff, :digest, :expires)"
        ),
        {"t": session.info["tenant_id"], "staff": staff_id, "digest": digest, "expires": expires_at},
    )


async def is_link_good(session: AsyncSession, digest: bytes, *, now: datetime) -> bool:
    """Return whether the link would still let its holder in. Changes nothing."""
    return bool(
        await session.scalar(
            text("""select exists (select from staff_links l join staff s using (tenant_id, staff_id)
                      where l.digest = :digest and l.used_at is null and l.expires_at > :now and s.status = 'active')"""),
            {"digest": digest, "now": now},
        )
    )


async def use_link(session: AsyncSession, digest: bytes, *, now: datetime) -> int | None:
    """Use the link up, once whoever else tries at the same time; return whose it is, or None if it is no good."""
    staff_id = await session.scalar(
        text("""update staff_links l set used_at = :now from staff s
                 where l.digest = :digest and l.used_at is null and l.expires_at > :now
                   and s.tenant_id = l.tenant_id and s.staff_id = l.staff_id and s.status = 'active'
                returning l.staff_id"""),
        {"digest": digest, "now": now},
    )
    return None if staff_id is None else int(staff_id)


async def insert_session(session: AsyncSession, *, staff_id: int, digest: bytes, now: datetime) -> None:
    """Begin a session; those that ended long ago are forgotten."""
    await session.execute(text("delete from staff_sessions where created_at < :now - interval '30 days'"), {"now": now})
    await session.execute(
        text("""insert into staff_sessions (tenant_id, staff_id, digest, created_at, last_seen_at)
                values (:t, :staff, :digest, :now, :now)"""),
        {"t": session.info["tenant_id"], "staff": staff_id, "digest": digest, "now": now},
    )


async def session_by_digest(session: AsyncSession, digest: bytes) -> StoredSession | None:
    """Return the session, unless it was ended or its holder is suspended."""
    row = (
        await session.execute(
            text("""select e.staff_id, e.created_at, e.last_seen_at, s.roles
                      from staff_sessions e join staff s using (tenant_id, staff_id)
                     where e.digest = :digest and e.ended_at is null and s.status = 'active'"""),
            {"digest": digest},
        )
    ).first()
    return None if row is None else StoredSession(row.staff_id, row.created_at, row.last_seen_at, tuple(row.roles))


async def touch_session(session: AsyncSession, digest: bytes, *, now: datetime) -> None:
    """Note that the session was used."""
    await session.execute(
        text("update staff_sessions set last_seen_at = greatest(last_seen_at, :now) where digest = :digest"),
        {"digest": digest, "now": now},
    )


async def end_session(session: AsyncSession, digest: bytes, *, now: datetime) -> None:
    """End one session."""
    await session.execute(
        text("update staff_sessions set ended_at = :now where digest = :digest and ended_at is null"),
        {"digest": digest, "now": now},
    )


async def suspend_staff(session: AsyncSession, label: str, *, now: datetime) -> bool:
    """Suspend the member of staff with that label and end every session and link; return whether there is one."""
    staff_id = await session.scalar(
        text("update staff set status = 'suspended' where label = :label returning staff_id"), {"label": label}
    )
    if staff_id is None:
        return False
    await session.execute(text("delete from staff_links where staff_id = :staff"), {"staff": staff_id})
    await session.execute(
        text("update staff_sessions set ended_at = :now where staff_id = :staff and ended_at is null"),
        {"staff": staff_id, "now": now},
    )
    return True
