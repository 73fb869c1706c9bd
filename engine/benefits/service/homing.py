"""Money of payouts that comes home: refused by whoever was to pay it, or sent back by the payee's bank or wallet."""

from collections.abc import Sequence

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.queries import paying as queries
from engine.benefits.queries.paying import PayoutRow
from engine.benefits.rules.paying import PayoutState
from engine.benefits.service.paying import entry_of, into_transit, opened, turned
from engine.contributions import service as contributions
from engine.ledger import service as ledger
from engine.ledger.rules import EventKind, Outcome
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant


async def bring_home(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, rows: Sequence[PayoutRow], *, reason: str, actor: str
) -> None:
    """Give back what locked payouts, all in transit, took: the sides of their approval exchanged, once for each."""
    entries = []
    for row in rows:
        assert row.approved_event, row.payout_id
        assert not row.settled_event, row.payout_id
        assert not row.home_event, row.payout_id
        payload = opened(keys, tenant, row).payload
        entry = await entry_of(
            session, tenant, EventKind.PAYOUT_FAILED, payload, actor=actor, rules=row.rules, claim="home"
        )
        body = {**entry.body, "reason": reason}
        transfers = turned(await into_transit(session, tenant, payload))
        entries.append(msgspec.structs.replace(entry, body=body, transfers=transfers))
    fates = await ledger.post(session, entries)
    assert all(fate.outcome is Outcome.POSTED for fate in fates), fates
    await back_in_suspense(session, keys, tenant, rows, [fate.event_id for fate in fates])
    events = [(row.payout_id, fate.event_id) for row, fate in zip(rows, fates, strict=True)]
    await queries.come_home(session, events, state=PayoutState.FAILED, reason=reason)


async def back_in_suspense(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, rows: Sequence[PayoutRow], events: Sequence[int]
) -> None:
    """Note which suspended payments lie in suspense again, by the events that brought them home."""
    for row, event in zip(rows, events, strict=True):
        suspended = None if row.product else opened(keys, tenant, row).payload.suspended
        if suspended is not None:
            await contributions.end_refund(session, suspended, event)
