"""Decisions on record: those that are events, and those that are none; every one can be explained as it was made."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncSession

from engine.kernel.errors import EngineError, Refused
from engine.ledger import service as ledger
from engine.ledger.rules import EventKind
from engine.runtime.database import Database
from engine.tenancy import queries
from engine.tenancy.errors import UnknownDecision
from engine.tenancy.rules.decided import DecisionExplained, Determination, RunDecided, ZeroResult
from engine.tenancy.rules.explaining import names_of, refs_of, rules_used
from engine.tenancy.service.tenants import Tenant, stored_files

_INNER = frozenset({"ref"})
"""What stands in events' bodies for machines alone: keyed digests of references."""


async def record(session: AsyncSession, tenant: Tenant, decided: Sequence[Determination]) -> list[int]:
    """Put decisions that are no events on record; return the number of each, in their order.

    A member who is told the same again on a day, for the same reasons, is told the number it has: so a request that was
    refused is answered alike however often it is sent.
    """
    if not decided:
        return []
    traces = {(one.product, tuple(one.rules)) for one in decided}
    numbers = {key: await ledger.decision_id(session, trace(*key)) for key in sorted(traces)}
    now = await ledger.scheme_now(session)
    return await queries.add_determinations(
        session,
        decided,
        recorded_at=now,
        pack=tenant.pack_id,
        traces=[numbers[one.product, tuple(one.rules)] for one in decided],
    )


def tell_refusal(refusal: EngineError, tenant: Tenant, number: int, told: Determination) -> None:
    """Add to a refusal the number it is on record by, and what its rules assume where their sources do not settle it."""
    assumed = [one.assumed for one in tenant.assumptions(told.product, told.rules)]
    refusal.details = {
        **refusal.details,
        "decision": str(number),
        **({"assumptions": assumed} if assumed else {}),
    }


@asynccontextmanager
async def refusals_kept(
    db: Database, tenant: Tenant, asked: Callable[[AsyncSession], Awaitable[Determination | None]]
) -> AsyncIterator[None]:
    """Put a refusal of what is done inside on record, in a transaction of its own: what was refused is undone.

    Args:
        db: of the scheme.
        tenant: the scheme.
        asked: tells what was asked and by which rules; None if there is nothing to tell, such as of an unknown member.

    """
    try:
        yield
    except Refused as refusal:
        async with db.unit_of_work(tenant.tenant_id) as session:
            told = await asked(session)
            if told is not None:
                told = replace(told, code=refusal.code, outcome=refusal.details)
                (number,) = await record(session, tenant, [told])
                tell_refusal(refusal, tenant, number, told)
        raise


async def record_run(session: AsyncSession, tenant: Tenant, run: RunDecided) -> int:
    """Put a run over members on record, before it decides; return the number it can be explained by."""
    return await queries.add_run_decision(
        session,
        run,
        recorded_at=await ledger.scheme_now(session),
        pack=tenant.pack_id,
        trace=await ledger.decision_id(session, trace(run.product, run.rules)),
    )


async def zero_results(session: AsyncSession, member_id: int) -> list[ZeroResult]:
    """Return what runs gave a member nothing by, the newest first."""
    return await queries.zeros_of(session, member_id)


def trace(product: str, rules: Sequence[str]) -> dict[str, object]:
    """Return the trace of a decision by rules of one product's book."""
    return {"product": product, "rules": list(rules)}


async def rules_behind(session: AsyncSession, decision_ids: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """Return the rules that made decisions that are no events, by their number: what a claim's, say, rests on."""
    return await queries.rules_behind(session, decision_ids)


async def explain_decision(session: AsyncSession, decision_id: int, *, member_id: int = 0) -> DecisionExplained:
    """Return a decision with the rules that made it, in the words of the pack version that was in force.

    Args:
        session: the tenant's.
        decision_id: a receipt, another event's number, or the number that a refusal, an answer or a run bore.
        member_id: of a run: whom it gave nothing, and why; 0 for the run itself.

    Raises:
        UnknownDecision: the tenant has made none of that number, or a run of it gave the member something, or did not ask.
        PackNotStored: the pack version it names is not stored.

    """
    found = await queries.determination(session, decision_id)
    is_event = found is None
    if found is None:
        found = await _of_run(session, decision_id, member_id)
        is_event = found is None
    if found is None:
        found = await _of_event(session, decision_id)
    if found is None:
        raise UnknownDecision
    traced = await queries.decision_trace(session, found.trace)
    files = await stored_files(session, found.pack) if found.pack else {}
    facts = {name: value for name, value in traced.items() if name not in ("rules", "product")}
    inputs = {**facts, **found.inputs}
    product = found.product or str(traced.get("product", ""))
    return DecisionExplained(
        decision_id=decision_id,
        member_id=found.member_id,
        kind=found.kind,
        product=product,
        decided_on=found.decided_on,
        code=found.code,
        inputs=inputs,
        outcome=found.outcome,
        refs=refs_of(traced),
        used=rules_used(traced, files),
        names=names_of(files, product),
        is_event=is_event,
        pack=found.sha256,
    )


async def _of_run(session: AsyncSession, decision_id: int, member_id: int) -> queries.DeterminationRow | None:
    run = await queries.run_decision(session, decision_id)
    if run is None:
        return None
    if not member_id:
        counted = await queries.zeros_by_reason(session, decision_id)
        return replace(run, outcome={f"nothing.{reason}": count for reason, count in counted})
    zeros = await queries.zeros_of(session, member_id, decision_id)
    if not zeros:
        raise UnknownDecision
    of = {f".{one.subject}" if one.subject else "": one for one in zeros}
    return replace(
        run,
        member_id=member_id,
        inputs={**run.inputs, **{f"counted_on{name}": str(one.basis) for name, one in of.items()}},
        outcome={"amount": "0", **{f"reason{name}": one.reason for name, one in of.items()}},
    )


async def _of_event(session: AsyncSession, event_id: int) -> queries.DeterminationRow | None:
    events = await ledger.stored_events(session, [(0, event_id)])
    event = events.get(event_id)
    if event is None:
        return None
    numbers = await queries.event_numbers(session, event.member_id, event_id)
    return queries.DeterminationRow(
        member_id=event.member_id,
        kind=EventKind(event.kind).label,
        product=str(event.body.get("product", "")),
        decided_on=event.business_date,
        code="",
        inputs={name: value for name, value in event.body.items() if name not in _INNER},
        outcome={},
        pack=numbers.pack,
        trace=numbers.decision,
        sha256=numbers.sha256,
    )
