"""Handing members over by ranges, and closing a round once nobody is left; may be stopped anywhere and go on.

What is on its way finishes under the old book: who has an order, a claim, a payout or the like waits, and the round with them.
"""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from engine.enrolment import service as enrolment
from engine.ledger import service as ledger
from engine.ledger.rules import Account, EventKind, Transfer
from engine.mergers import queries
from engine.mergers.errors import UnusableTerms
from engine.mergers.queries import Merger, Round
from engine.mergers.service.filing import write_files
from engine.mergers.service.proposing import entry, note, today
from engine.mergers.service.ways import opened_ways
from engine.runtime.database import Database, retry_transaction
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant, Tenants

MOST = 1_000
"""Members handed over by one transaction."""


@dataclass(frozen=True, slots=True)
class _Range:
    """What became of a range: how many went, how many wait, and the last member looked at."""

    went: int
    waited: int
    last: int


async def carry_on(db: Database, keys: FileKeyStore, tenants: Tenants, tenant: Tenant, *, actor: str) -> int:
    """Hand over whoever is ready, close the round once nobody is left, and make its files; return how many members went.

    Each range is one transaction, each file another. Run again, or twice at once, nothing happens twice.

    Raises:
        UnknownTenant, UnusableTerms: the other scheme is not served here, or counts other money; then nobody is handed over.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        merger = await queries.standing(session)
        if merger is None or merger.state != "approved" or await today(session, tenant) < merger.effective_on:
            return 0
        unfinished = [one for one in await queries.rounds(session, merger.merger_no) if one.state in ("open", "closed")]
    if not unfinished:
        return 0
    into = tenants.by_code(merger.terms.into_scheme)
    if into.asset != tenant.asset:
        raise UnusableTerms(reason=f"{into.code} counts {into.asset.symbol} and not {tenant.asset.symbol}")
    done = 0
    for one in unfinished:
        if one.state == "open":
            done += await _hand_over(db, tenant, merger, one.round_no, actor)
        await write_files(db, keys, tenant, into, merger, one.round_no, actor=actor)
    return done


async def _hand_over(db: Database, tenant: Tenant, merger: Merger, round_no: int, actor: str) -> int:
    went, waited, after = 0, 0, 0
    while True:

        async def range_of(after: int = after) -> _Range | None:
            async with db.unit_of_work(tenant.tenant_id) as session:
                one = await queries.find_round(session, merger.merger_no, round_no, hold=True)
                if one is None or one.state != "open":
                    return None
                return await _range(session, tenant, merger, one, after, actor)

        found = await retry_transaction(range_of)
        if found is None:
            break
        went, waited, after = went + found.went, waited + found.waited, found.last
    if waited == 0:
        await retry_transaction(lambda: _close(db, tenant, merger, round_no, actor))
    return went


async def _range(
    session: AsyncSession, tenant: Tenant, merger: Merger, one: Round, after: int, actor: str
) -> _Range | None:
    members = await queries.going(session, after=after, most=MOST)
    if not members:
        return None
    await queries.hold_money(session, members)
    ways = await opened_ways(session, tenant, merger.terms)
    # Asked once the money is held: whatever ran beside this has ended.
    waiting = await queries.obstacles(session, ways, members)
    waiting |= await enrolment.suspended(session, members)
    ready = [member for member in members if member not in waiting]
    if ready:
        facts = {"merger": merger.merger_no, "round": one.round_no, "into": merger.terms.into_scheme}
        said = await entry(session, tenant, EventKind.MEMBERS_HANDED_OVER, facts, actor)
        await queries.hand_over_range(session, one, ways, ready, said)
        await enrolment.leave_scheme(session, ready)
    return _Range(len(ready), len(members) - len(ready), members[-1])


async def _close(db: Database, tenant: Tenant, merger: Merger, round_no: int, actor: str) -> None:
    """Close a round in which nobody is left: Dr handed-over / Cr units-issued of each fund; its money is owed to the other scheme."""
    async with db.unit_of_work(tenant.tenant_id) as session:
        one = await queries.find_round(session, merger.merger_no, round_no, hold=True)
        if one is None or one.state != "open" or await queries.going(session, after=0, most=1):
            return
        moves = []
        for symbol, amount in (await queries.handed_by_asset(session, merger.merger_no, round_no)).items():
            is_money = symbol == tenant.asset.symbol
            other = (
                Account("due-to-party", symbol, party=merger.terms.owed_to)
                if is_money
                else Account("units-issued", symbol, fund=symbol)
            )
            moves.append((amount, Account("handed-over", symbol), other))
        codes = await ledger.account_codes(session, {account for _, *pair in moves for account in pair})
        members = await queries.count_of_round(session, merger.merger_no, round_no)
        event = await note(
            session,
            tenant,
            EventKind.HAND_OVER_CLOSED,
            {"merger": merger.merger_no, "round": round_no, "members": members},
            actor,
            transfers=[Transfer(amount, codes[debit], codes[credit]) for amount, debit, credit in moves],
        )
        on = await today(session, tenant)
        await queries.close_round(session, merger.merger_no, round_no, members=members, on=on, event_id=event)
