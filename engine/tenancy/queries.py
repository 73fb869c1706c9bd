"""The tenancy's SQL: the tenants there are, their clocks, and the stored versions of their packs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.kernel.rules import Confidence
from engine.kernel.series import SeriesPoint
from engine.ledger.rules import EventKind
from engine.runtime.arrays import JSONs
from engine.runtime.database import driver
from engine.tenancy.rules.decided import Determination, RunDecided, ZeroResult


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
    """Add decisions that are no events in one statement; return the number of each, in their order.

    What was decided of a member before, on that day, alike in all, is the same decision and keeps its number.
    """
    connection = await driver(session)
    cursor = await connection.execute(
        """with base as materialized (select next_batch_id() as id),
           wanted as materialized (
             select d.*, case when d.member_id = 0 then d.o else min(d.o) over (
                      partition by d.member_id, d.decided_on, d.trace, d.kind, d.product, d.code, d.inputs, d.outcome) end as first
               from unnest(%(member)b::bigint[], %(day)b::date[], %(trace)b::int[], %(kind)b::text[], %(product)b::text[],
                           %(code)b::text[], %(inputs)b::jsonb[], %(outcome)b::jsonb[])
                    with ordinality d(member_id, decided_on, trace, kind, product, code, inputs, outcome, o)),
           known as (
             select w.o, min(x.decision_id) as id from wanted w
               join determinations x on x.member_id = w.member_id and x.tenant_id = %(t)s and x.decided_on = w.decided_on
                and x.pack = %(pack)s and x.decision = w.trace and x.kind = w.kind and x.product = w.product
                and x.code = w.code and x.inputs = w.inputs and x.outcome = w.outcome
              where w.member_id <> 0 and w.o = w.first group by w.o),
           added as (
             insert into determinations (member_id, decision_id, recorded_at, tenant_id, decided_on, pack, decision, kind,
                                         product, code, inputs, outcome)
             select w.member_id, base.id + w.o - 1, %(at)s, %(t)s, w.decided_on, %(pack)s, w.trace, w.kind, w.product, w.code,
                    w.inputs, w.outcome
               from base, wanted w where w.o = w.first and not exists (select from known k where k.o = w.o))
           select coalesce(k.id, base.id + w.first - 1)
             from base, wanted w left join known k on k.o = w.first order by w.o""",
        {
            "at": recorded_at,
            "t": session.info["tenant_id"],
            "pack": pack,
            "member": [one.member_id for one in decided],
            "day": [one.decided_on for one in decided],
            "trace": list(traces),
            "kind": [one.kind for one in decided],
            "product": [one.product for one in decided],
            "code": [one.code for one in decided],
            "inputs": JSONs([msgspec.json.encode(one.inputs) for one in decided]),
            "outcome": JSONs([msgspec.json.encode(one.outcome) for one in decided]),
        },
    )
    return [row[0] for row in await cursor.fetchall()]


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


async def rules_behind(session: AsyncSession, decision_ids: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """Return the rules that made decisions that are no events, by their number; one statement, however many."""
    rows = await session.execute(
        text("""select d.decision_id, t.trace -> 'rules' as rules from determinations d join decisions t on t.tenant_id = d.tenant_id and t.decision_id = d.decision
                 where d.tenant_id = :t and d.decision_id = any(:ids)"""),
        {"t": session.info["tenant_id"], "ids": list(decision_ids)},
    )
    return {row.decision_id: tuple(row.rules or ()) for row in rows}


async def add_run_decision(
    session: AsyncSession, run: RunDecided, *, recorded_at: datetime, pack: int, trace: int
) -> int:
    """Put a run over members on record as a decision; return its number."""
    number = await session.scalar(
        text("""insert into run_decisions (decision_id, recorded_at, tenant_id, run_no, decided_on, pack, decision, kind, product, inputs)
                values (next_batch_id(), :at, :t, :run, :on, :pack, :trace, :kind, :product, cast(:inputs as jsonb))
                returning decision_id"""),
        {
            "at": recorded_at, "t": session.info["tenant_id"], "run": run.run_no, "on": run.decided_on, "pack": pack, "trace": trace,
            "kind": run.kind, "product": run.product, "inputs": msgspec.json.encode(run.inputs).decode(),
        },
    )  # fmt: skip
    assert number is not None
    return int(number)


async def run_decision(session: AsyncSession, decision_id: int) -> DeterminationRow | None:
    """Return a run's decision, or None."""
    row = (
        await session.execute(
            text("""select 0 as member_id, d.kind, d.product, d.decided_on, '' as code, d.inputs, cast('{}' as jsonb) as outcome, d.pack,
                           d.decision as trace, p.sha256
                      from run_decisions d join packs p on p.tenant_id = d.tenant_id and p.pack_id = d.pack
                     where d.tenant_id = :t and d.decision_id = :id"""),
            {"t": session.info["tenant_id"], "id": decision_id},
        )
    ).first()
    return None if row is None else DeterminationRow(*row)


async def zeros_of(session: AsyncSession, member_id: int, decision_id: int = 0) -> list[ZeroResult]:
    """Return what runs, or one of them, gave a member nothing by, the newest first."""
    rows = await session.execute(
        text("""select z.decision_id, d.kind, d.run_no, d.product, d.decided_on, z.subject, z.reason, z.basis
                  from zero_results z join run_decisions d on d.tenant_id = z.tenant_id and d.decision_id = z.decision_id
                 where z.member_id in (select record_id from records_of(:m)) and (:id = 0 or z.decision_id = :id) order by z.decision_id desc, z.subject"""),
        {"m": member_id, "id": decision_id},
    )
    return [ZeroResult(*row) for row in rows]


async def zeros_by_reason(session: AsyncSession, decision_id: int) -> list[tuple[str, int]]:
    """Return how many results of a run came to nothing, by reason."""
    rows = await session.execute(
        text(
            """select reason, count(*)::int from zero_results where tenant_id = :t and decision_id = :id group by 1 order by 1"""
        ),
        {"t": session.info["tenant_id"], "id": decision_id},
    )
    return [(row[0], row[1]) for row in rows]


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


@dataclass(frozen=True, slots=True)
class StoredPoint:
    """A point of a reference series that came after the pack, who proposed it, and what became of it."""

    point_id: int
    series: str
    effective_from: date
    published_on: date
    value: Decimal
    source: str
    confidence: Confidence
    state: str
    proposed_by: str

    def point(self) -> SeriesPoint:
        """Return it as a point of its series."""
        return SeriesPoint(self.effective_from, self.published_on, self.value, self.source, self.confidence)


_POINTS = """select p.point_id, p.series, p.effective_from, p.published_on, trim_scale(p.value), p.source, p.confidence, p.state, a.name
               from series_points p join actors a on a.tenant_id = p.tenant_id and a.actor_id = p.proposed_by
              where p.tenant_id = :t"""


async def hold_series(session: AsyncSession) -> None:
    """Let no other transaction of the tenant propose or decide figures until this one ends."""
    await session.execute(text("select pg_advisory_xact_lock(7005, :t)"), {"t": session.info["tenant_id"]})


async def series_points(session: AsyncSession, series: str | None) -> list[StoredPoint]:
    """Return the points of one series, or of all, in the order they were proposed."""
    rows = await session.execute(
        text(f"{_POINTS} and (cast(:series as text) is null or p.series = :series) order by p.point_id"),
        {"t": session.info["tenant_id"], "series": series},
    )
    return [StoredPoint(*row) for row in rows]


async def add_series_points(
    session: AsyncSession, series: str, points: Sequence[SeriesPoint], *, proposed_by: int, proposed_at: datetime
) -> list[int]:
    """Add proposed points in one statement; return their numbers."""
    connection = await driver(session)
    cursor = await connection.execute(
        """insert into series_points (value, proposed_at, tenant_id, proposed_by, effective_from, published_on, series, source, confidence)
           select p.value, %s, %s, %s, p.effective_from, p.published_on, %s, p.source, p.confidence
             from unnest(%b::numeric[], %b::date[], %b::date[], %b::text[], %b::text[]) p(value, effective_from, published_on, source, confidence)
           returning point_id""",
        (
            proposed_at,
            session.info["tenant_id"],
            proposed_by,
            series,
            [one.value for one in points],
            [one.effective_from for one in points],
            [one.published_on for one in points],
            [one.source for one in points],
            [one.confidence for one in points],
        ),
    )
    return sorted(row[0] for row in await cursor.fetchall())


async def decide_series_point(
    session: AsyncSession, point_id: int, *, state: str, decided_by: int, decided_at: datetime
) -> StoredPoint:
    """Set what became of a proposed point."""
    parameters = {"t": session.info["tenant_id"], "id": point_id, "state": state, "by": decided_by, "at": decided_at}
    await session.execute(
        text("""update series_points set state = :state, decided_by = :by, decided_at = :at
                 where tenant_id = :t and point_id = :id and state = 'proposed'"""),
        parameters,
    )
    row = (await session.execute(text(f"{_POINTS} and p.point_id = :id"), parameters)).one()
    return StoredPoint(*row)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A pack version put forward: its number in the books, its hash, from when, by whom, and what became of it."""

    proposal_id: int
    pack: int
    sha256: str
    in_force_from: date
    state: str
    proposed_by: str


_PROPOSALS = """select p.proposal_id, p.pack, p.sha256, p.in_force_from, p.state, a.name
                  from pack_proposals p join actors a on a.tenant_id = p.tenant_id and a.actor_id = p.proposed_by
                 where p.tenant_id = :t"""


async def proposals(session: AsyncSession, *, hold: bool = False) -> list[Proposal]:
    """Return the versions put forward, oldest first; with `hold`, nobody else decides on one until the session ends."""
    if hold:
        await session.execute(text("select pg_advisory_xact_lock(7006, :t)"), {"t": session.info["tenant_id"]})
    rows = await session.execute(text(f"{_PROPOSALS} order by p.proposal_id"), {"t": session.info["tenant_id"]})
    return [Proposal(*row) for row in rows]


async def add_proposal(
    session: AsyncSession, *, pack: int, sha256: str, in_force_from: date, proposed_by: int, proposed_at: datetime
) -> Proposal:
    """Put a stored pack version forward."""
    number = await session.scalar(
        text("""insert into pack_proposals (proposed_at, tenant_id, pack, proposed_by, in_force_from, sha256)
                values (:at, :t, :pack, :by, :day, :sha) returning proposal_id"""),
        {
            "at": proposed_at,
            "t": session.info["tenant_id"],
            "pack": pack,
            "by": proposed_by,
            "day": in_force_from,
            "sha": sha256,
        },
    )
    return next(one for one in await proposals(session) if one.proposal_id == number)


async def decide_proposal(
    session: AsyncSession, proposal_id: int, *, state: str, decided_by: int, decided_at: datetime
) -> Proposal:
    """Set what became of a version put forward."""
    await session.execute(
        text("""update pack_proposals set state = :state, decided_by = :by, decided_at = :at
                 where tenant_id = :t and proposal_id = :id and state = 'proposed'"""),
        {"t": session.info["tenant_id"], "id": proposal_id, "state": state, "by": decided_by, "at": decided_at},
    )
    return next(one for one in await proposals(session) if one.proposal_id == proposal_id)


async def approved_version(session: AsyncSession, on: date) -> int | None:
    """Return the number of the approved pack version in force on a business date, or None where none was approved."""
    found: int | None = await session.scalar(
        text("""select pack from pack_proposals where tenant_id = :t and state = 'approved' and in_force_from <= :day
                 order by in_force_from desc, decided_at desc, proposal_id desc limit 1"""),
        {"t": session.info["tenant_id"], "day": on},
    )
    return found


async def last_activated(session: AsyncSession) -> int | None:
    """Return the number of the pack version that was last put on record without a proposal, or None."""
    found: int | None = await session.scalar(
        text("""select pack from events where member_id = -cast(:t as bigint) and kind = :kind and not body ? 'in_force_from'
                 order by event_id desc limit 1"""),
        {"t": session.info["tenant_id"], "kind": int(EventKind.PACK_ACTIVATED)},
    )
    return found
