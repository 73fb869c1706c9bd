"""The tenancy's SQL: the tenants there are, their clocks, and the stored versions of their packs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True, slots=True)
class TenantRow:
    """A tenant as it stands in the database."""

    tenant_id: int
    code: str


async def tenants(session: AsyncSession) -> list[TenantRow]:
    """Return every tenant, in the order they were created; needs no tenant of the session."""
    rows = await session.execute(text("select tenant_id, code from tenants order by tenant_id"))
    return [TenantRow(row.tenant_id, row.code) for row in rows]


async def add_tenant(session: AsyncSession, code: str) -> int | None:
    """Add a tenant and return its number, or None if the code is taken."""
    number: int | None = await session.scalar(
        text("insert into tenants (code) values (:code) on conflict (code) do nothing returning tenant_id"),
        {"code": code},
    )
    return number


async def become_tenant(session: AsyncSession, tenant_id: int) -> None:
    """Let a session that was opened for no tenant go on, in the same transaction, as the tenant it has just added."""
    assert session.info["tenant_id"] is None, session.info
    await session.execute(text("select set_config('app.tenant', :t, true)"), {"t": str(tenant_id)})
    session.info["tenant_id"] = tenant_id


async def money_symbol(session: AsyncSession) -> str | None:
    """Return the currency the tenant's books are kept in."""
    symbol: str | None = await session.scalar(
        text("select symbol from assets where tenant_id = :t and asset_id = 1"), {"t": session.info["tenant_id"]}
    )
    return symbol


async def lock_clock(session: AsyncSession) -> datetime | None:
    """Return what an operator set the tenant's clock to, None where time is the database's; holds it until the end."""
    clock_at: datetime | None = await session.scalar(
        text("select clock_at from tenants where tenant_id = :t for no key update"), {"t": session.info["tenant_id"]}
    )
    return clock_at


async def set_clock(session: AsyncSession, to: datetime) -> None:
    """Set the tenant's clock."""
    await session.execute(
        text("update tenants set clock_at = :to where tenant_id = :t"), {"to": to, "t": session.info["tenant_id"]}
    )


async def has_members_events(session: AsyncSession) -> bool:
    """Return whether any event of the tenant belongs to a member; the house's number is negative."""
    found = await session.scalar(
        text("select exists (select from events where member_id > 0 and tenant_id = :t)"),
        {"t": session.info["tenant_id"]},
    )
    return bool(found)


async def stored_pack_body(session: AsyncSession, pack_id: int) -> Mapping[str, object] | None:
    """Return what was stored of a pack version, or None if there is none of that number."""
    body: Mapping[str, object] | None = await session.scalar(
        text("select body from packs where tenant_id = :t and pack_id = :pack"),
        {"t": session.info["tenant_id"], "pack": pack_id},
    )
    return body


async def decision_trace(session: AsyncSession, decision_id: int) -> Mapping[str, object]:
    """Return the trace of a decision; empty where an event was decided by no rule."""
    trace: Mapping[str, object] | None = await session.scalar(
        text("select trace from decisions where tenant_id = :t and decision_id = :decision"),
        {"t": session.info["tenant_id"], "decision": decision_id},
    )
    return trace or {}
