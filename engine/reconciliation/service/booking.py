"""Recording that lines show receipts: one event a statement, the matches, and the receipts' money for the open dealing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from engine.funds import service as funds
from engine.kernel.clock import business_date
from engine.kernel.ids import house_member
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.reconciliation.queries import matching as queries
from engine.reconciliation.queries.matching import OpenLine, PickedOf
from engine.tenancy.service import Tenant

_Item = TypeVar("_Item")


def chunks(items: Iterator[_Item], size: int) -> Iterator[list[_Item]]:
    """Yield lists of `size` items, the last one of what is left."""
    while chunk := list(islice(items, size)):
        yield chunk


async def book_matches(
    session: AsyncSession, tenant: Tenant, good: Mapping[tuple[int, int], OpenLine], actor: str
) -> int:
    """Match receipts, as (member, event), to their lines and allocate their money; return the sum. Needs the jobs role."""
    await queries.lay_out_picked(session, good)
    return (await book_picked(session, tenant, actor)).allocated


@dataclass(frozen=True, slots=True)
class Booked:
    """What was booked of lines that show receipts: their sum, and what of it went into dealings, in smallest units."""

    total: int
    allocated: int


async def book_picked(session: AsyncSession, tenant: Tenant, actor: str) -> Booked:
    """Match the receipts of `picked_lines` to their lines and allocate their money. Needs the jobs role."""
    await funds.stage_nothing(session)
    picked = await queries.stage_picked(session)
    allocated = await funds.allocate_staged(session, tenant)
    events = await _post_matches(session, tenant, picked, allocated.rules, actor)
    await queries.match_picked(session, events, allocated.without_choice)
    return Booked(sum(one.amount for one in picked), allocated.amount)


async def _post_matches(
    session: AsyncSession, tenant: Tenant, picked: Sequence[PickedOf], rules: Sequence[str], actor: str
) -> dict[int, int]:
    """Record the matches of each statement as one event; return the events by statement."""
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
                "account": one.account,
                "sha256": one.sha256,
                "lines": one.lines,
                "amount": str(one.amount),
            },
        )
        for one in picked
    ]
    found: dict[int, int] = {}
    for chunk in chunks(iter(zip(picked, entries, strict=True)), 4096):
        fates = await ledger.post(session, [entry for _, entry in chunk], recorded_at=now)
        found.update({one.statement_id: fate.event_id for (one, _), fate in zip(chunk, fates, strict=True)})
    return found
