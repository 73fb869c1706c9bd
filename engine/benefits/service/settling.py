"""Statements show payouts gone, or come back: only they end the transit of what was sent."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.queries import paying as queries
from engine.benefits.queries.paying import Seen
from engine.benefits.rules.paying import PayoutState
from engine.benefits.service.homing import back_in_suspense
from engine.benefits.service.paying import entry_of, into_transit, opened, transit_of, turned
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Outcome, Transfer
from engine.reconciliation import service as reconciliation
from engine.runtime.database import Database, Role, retry_transaction
from engine.runtime.key_file import FileKeyStore
from engine.runtime.logging import get_logger
from engine.tenancy.service import Tenant

CHUNK = 4_000
RETURNED = "returned"

_ACTOR = "system:payouts"
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What statements showed of payouts: how many are gone, and how many came back."""

    settled: int = 0
    returned: int = 0


async def settle_payouts(db: Database, keys: FileKeyStore, tenant: Tenant) -> Settlement:
    """Book what statements show of payouts: gone first, come back afterwards. May be stopped and run again.

    A line is a payout's if it bears our reference or the counterparty's transaction id, in the account that pays, and is of
    exactly its amount; every other line stays for people.
    """
    counts = [await _every(db, keys, tenant, is_return=is_return) for is_return in (False, True)]
    if any(counts):
        _log.info("payouts were seen on statements", tenant=tenant.code, count=sum(counts))
    return Settlement(*counts)


async def _every(db: Database, keys: FileKeyStore, tenant: Tenant, *, is_return: bool) -> int:
    async def chunk() -> int:
        async with db.unit_of_work(tenant.tenant_id, role=Role.JOBS) as session:
            await reconciliation.hold_lines(session)
            find = queries.seen_returned if is_return else queries.seen_gone
            seen = await find(session, most=CHUNK)
            if seen:
                await _book(session, keys, tenant, seen, is_return=is_return)
            return len(seen)

    total = 0
    while count := await retry_transaction(chunk):
        total += count
    return total


async def _book(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, seen: Sequence[Seen], *, is_return: bool
) -> None:
    entries = [await _entry(session, keys, tenant, one, is_return=is_return) for one in seen]
    fates = await ledger.post(session, entries)
    assert all(fate.outcome is Outcome.POSTED for fate in fates), fates
    events = [fate.event_id for fate in fates]
    steps = [(one.payout.payout_id, event) for one, event in zip(seen, events, strict=True)]
    if is_return:
        await queries.come_home(session, steps, state=PayoutState.RETURNED, reason=RETURNED)
        await back_in_suspense(session, keys, tenant, [one.payout for one in seen], events)
    else:
        await queries.settle(session, steps)
    await reconciliation.settle_payout_lines(
        session, [(one.statement_id, one.line_no, event) for one, event in zip(seen, events, strict=True)]
    )


async def _entry(session: AsyncSession, keys: FileKeyStore, tenant: Tenant, one: Seen, *, is_return: bool) -> Entry:
    """Return Dr in transit / Cr collections; for what came back that with its sides exchanged, and home, in one event."""
    row = one.payout
    payload = opened(keys, tenant, row).payload
    kind = EventKind.PAYOUT_RETURNED if is_return else EventKind.PAYOUT_SETTLED
    entry = await entry_of(
        session, tenant, kind, payload, actor=_ACTOR, rules=row.rules, claim="home" if is_return else "settled"
    )
    collected = Account("collections", tenant.asset.symbol, party=row.account)
    transit = transit_of(tenant, row.rail)
    codes = await ledger.account_codes(session, {collected, transit})
    gone = (Transfer(row.amount, codes[transit], codes[collected]),)
    transfers = (*turned(gone), *turned(await into_transit(session, tenant, payload))) if is_return else gone
    return msgspec.structs.replace(entry, transfers=transfers, business_date=min(one.value_date, entry.business_date))
