"""The tenancy's SQL: the tenants there are, their clocks, and the stored versions of their packs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.runtime.arrays import JSONs
from engine.runtime.database import driver
from engine.tenancy.rules.decided import Determination


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


@dataclass(frozen=True, slots=True)
class DeterminationRow:
    """A decision as it stands on record: `trace` and `pack` are numbers, `sha256` names the pack version."""

    member_id: int
    kind: str
    product: str
    decided_on: date
    code: str
    inputs: Mapping[str, object]
    outcome: Mapping[str, object]
    pack: int
    trace: int
    sha256: str


@dataclass(frozen=True, slots=True)
class EventNumbers:
    """Which pack version and which trace an event names; `sha256` is "" where it names no pack."""

    pack: int
    decision: int
    sha256: str


async def add_determinations(
    session: AsyncSession,
    decided: Sequence[Determination],
    *,
    recorded_at: datetime,
    pack: int,
    traces: Sequence[int],
) -> list[int]:
    """Add decisions that are no events in one statement; return the number of each, in their order."""
    connection = await driver(session)
    cursor = await connection.execute(
        """with base as materialized (select next_batch_id() as id)
           insert into determinations (member_id, decision_id, recorded_at, tenant_id, decided_on, pack, decision, kind,
                                       product, code, inputs, outcome)
           select d.member_id, base.id + d.o - 1, %s, %s, d.decided_on, %s, d.trace, d.kind, d.product, d.code, d.inputs, d.outcome
             from base, unnest(%b::bigint[], %b::date[], %b::int[], %b::text[], %b::text[], %b::text[], %b::jsonb[], %b::jsonb[])
                  with ordinality d(member_id, decided_on, trace, kind, product, code, inputs, outcome, o)
           returning decision_id""",
        (
            recorded_at,
            session.info["tenant_id"],
            pack,
            [one.member_id for one in decided],
            [one.decided_on for one in decided],
            list(traces),
            [one.kind for one in decided],
            [one.product for one in decided],
            [one.code for one in decided],
            JSONs([msgspec.json.encode(one.inputs) for one in decided]),
            JSONs([msgspec.json.encode(one.outcome) for one in decided]),
        ),
    )
    return sorted(row[0] for row in await cursor.fetchall())


async def determination(session: AsyncSession, decision_id: int) -> DeterminationRow | None:
    """Return a decision that is no event, or None."""
    row = (
        await session.execute(
            text("""select d.member_id, d.kind, d.product, d.decided_on, d.code, d.inputs, d.outcome, d.pack,
                           d.decision as trace, p.sha256
                      from determinations d join packs p on p.tenant_id = d.tenant_id and p.pack_id = d.pack
                     where d.tenant_id = :t and d.decision_id = :id"""),
            {"t": session.info["tenant_id"], "id": decision_id},
        )
    ).first()
    return None if row is None else DeterminationRow(*row)


async def event_numbers(session: AsyncSession, member_id: int, event_id: int) -> EventNumbers:
    """Return what an event says of the rules that decided it."""
    row = (
        await session.execute(
            text("""select e.pack, e.decision, coalesce(p.sha256, '') from events e
                      left join packs p on p.tenant_id = e.tenant_id and p.pack_id = e.pack
                     where e.member_id = :m and e.event_id = :e"""),
            {"m": member_id, "e": event_id},
        )
    ).one()
    return EventNumbers(*row)
