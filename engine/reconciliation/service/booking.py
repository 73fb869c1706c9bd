"""Recording that lines show receipts: one event a statement, the matches, and the receipts' money for the open dealing."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from engine.funds import service as funds
from engine.funds.rules import ReconciledReceipt
from engine.kernel.clock import business_date
from engine.kernel.ids import house_member
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.reconciliation.queries import matching as queries
from engine.reconciliation.queries.matching import OpenLine
from engine.tenancy.service import Tenant

SUSPENDED, NO_FUND_CHOICE = "suspended", "no-fund-choice"
_Item = TypeVar("_Item")


def chunks(items: Iterator[_Item], size: int) -> Iterator[list[_Item]]:
    """Yield lists of `size` items, the last one of what is left."""
    while chunk := list(islice(items, size)):
        yield chunk


async def book_matches(
    session: AsyncSession, tenant: Tenant, good: Mapping[tuple[int, int], OpenLine], actor: str
) -> int:
    """Match receipts, as (member, event), to their lines and allocate their money; return the sum. Needs the jobs role."""
    receipts = {key: _receipt(key, line) for key, line in good.items()}
    members = [key for key, line in good.items() if not line.is_suspended and not line.is_reversed]
    allocated = await funds.allocate(session, tenant, [receipts[key] for key in members])
    events = await _post_matches(session, tenant, list(good.values()), allocated.rules, actor)
    await queries.add_matches(
        session, [(*key, line.statement_id, line.line_no, events[line.statement_id]) for key, line in good.items()]
    )
    waiting = [(key, SUSPENDED) for key, line in good.items() if line.is_suspended and not line.is_reversed]
    waiting += [(key, NO_FUND_CHOICE) for key in allocated.without_choice]
    if waiting:
        await queries.add_unallocated(session, [(*key, receipts[key].collected, reason) for key, reason in waiting])
    return allocated.amount


def _receipt(key: tuple[int, int], line: OpenLine) -> ReconciledReceipt:
    assert line.collected is not None, line
    return ReconciledReceipt(*key, line.collected)


async def _post_matches(
    session: AsyncSession, tenant: Tenant, lines: Sequence[OpenLine], rules: Sequence[str], actor: str
) -> dict[int, int]:
    """Record the matches of each statement as one event; return the events by statement."""
    counts: Counter[int] = Counter()
    totals: Counter[int] = Counter()
    accounts: dict[int, str] = {}
    for line in {(line.statement_id, line.line_no): line for line in lines}.values():
        counts[line.statement_id] += 1
        totals[line.statement_id] += line.amount
        accounts[line.statement_id] = line.account
    hashes = await queries.statement_hashes(session, sorted(counts))
    now = await ledger.scheme_now(session)
    actor_id = await ledger.actor_id(session, actor)
    decision = await ledger.decision_id(session, {"rules": list(rules)})
    entries = [
        Entry(
            member_id=house_member(tenant.tenant_id),
            kind=EventKind.STATEMENT_MATCHED,
            business_date=business_date(now, tenant.pack.time_zone),
            actor=actor_id,
            pack=tenant.pack_id,
            decision=decision,
            body={
                "account": accounts[statement],
                "sha256": hashes[statement],
                "lines": counts[statement],
                "amount": str(totals[statement]),
            },
        )
        for statement in sorted(counts)
    ]
    found: dict[int, int] = {}
    for chunk in chunks(iter(zip(sorted(counts), entries, strict=True)), 4096):
        fates = await ledger.post(session, [entry for _, entry in chunk], recorded_at=now)
        found.update({statement: fate.event_id for (statement, _), fate in zip(chunk, fates, strict=True)})
    return found
