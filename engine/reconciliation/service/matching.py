"""Matching statements' lines to receipts, and allocating the money of those that match."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from engine.funds import service as funds
from engine.funds.service import UnsettledSale
from engine.kernel.ids import claim_digest
from engine.reconciliation.queries import matching as queries
from engine.reconciliation.queries.matching import OtherLine
from engine.reconciliation.service.booking import book_picked
from engine.reconciliation.service.grouping import GroupMatched, apply_rule, match_by_rules
from engine.reconciliation.service.telling import fixed
from engine.runtime.database import Database, Role, put_role_down, retry_transaction
from engine.runtime.jobs import promise
from engine.runtime.logging import get_logger
from engine.tenancy.service import Tenant

CHUNK = 50_000
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class MatchReport:
    """What a run of matching did, in lines and receipts; sums in major units.

    `grouped` are lines that rules of the pack matched by the many, `proposed` what they left for a person to confirm.
    `orders` are lines that paid an order or took a payment back, `proceeds` lines by which the money of sold units came.
    """

    matched: int = 0
    grouped: int = 0
    proposed: int = 0
    orders: int = 0
    proceeds: int = 0
    matched_total: str = "0"
    allocated_total: str = "0"
    waiting: int = 0
    unmatched: int = 0

    def lines(self) -> list[str]:
        """Return the report in sentences, for the command line."""
        return [
            f"{self.matched} lines matched one receipt each, {self.matched_total}; {self.grouped} by rules, {self.proposed} proposed",
            f"{self.orders} paid orders or took payments back, {self.proceeds} brought money of sold units, {self.unmatched} wait",
        ]


@dataclass(frozen=True, slots=True)
class TrialReport:
    """What a run of matching would do: lines that are one receipt's, their sum in major units, and what rules would join."""

    matched: int
    matched_total: str
    groups: tuple[GroupMatched, ...]

    def lines(self) -> list[str]:
        """Return the report in sentences, for the command line."""
        return [
            f"{self.matched} lines would match one receipt each, {self.matched_total}",
            *(
                f"{one.account}: {one.rule} would {one.fate} {', '.join(f'{a}/{b}' for a, b in one.lines)} "
                f"with {len(one.receipts)} receipts, difference {one.difference}"
                for one in self.groups
            ),
        ]


async def match_statements(db: Database, tenant: Tenant, *, actor: str = "system:matching") -> MatchReport:
    """Match every open line to its receipt, then by the channel's rules the many, and allocate the money of those that match.

    A line is a receipt's if that receipt claimed the line's provider reference and booked exactly the line's amount into
    the line's account. Lines that match nothing stay open for the next run. A matched receipt in suspense is allocated
    by the run after its resolution. Runs in transactions of at most 50,000 lines; may be stopped and run again.
    """
    matched = matched_total = allocated = waiting = unmatched = 0
    after = (0, 0)
    while True:

        async def once(after: tuple[int, int] = after) -> "_Matched":
            async with db.unit_of_work(tenant.tenant_id, role=Role.JOBS) as session:
                return await _match_chunk(session, tenant, after, actor)

        done = await retry_transaction(once)
        matched, matched_total = matched + done.lines, matched_total + done.total
        allocated, unmatched = allocated + done.allocated, unmatched + done.unmatched
        if done.last is None:
            break
        after = done.last
    orders = await retry_transaction(lambda: _match_orders(db, tenant))
    proceeds = await retry_transaction(lambda: _match_proceeds(db, tenant, actor))
    await funds.carry_on_switches(db, tenant)  # also what an earlier run settled and was stopped before
    grouped = await match_by_rules(db, tenant, actor=actor)
    allocated += grouped.allocated
    after = (-(2**63), 0)
    while True:

        async def again(after: tuple[int, int] = after) -> tuple[int, int, tuple[int, int] | None]:
            async with db.unit_of_work(tenant.tenant_id, role=Role.JOBS) as session:
                return await _allocate_ready(session, tenant, after)

        amount, left, last = await retry_transaction(again)
        allocated, waiting = allocated + amount, waiting + left
        if last is None:
            break
        after = last
    _log.info("statements matched", tenant=tenant.code, count=matched + grouped.lines + orders + proceeds)
    return MatchReport(
        matched=matched,
        grouped=grouped.lines,
        proposed=grouped.proposed,
        orders=orders,
        proceeds=proceeds,
        matched_total=fixed(matched_total, tenant.asset),
        allocated_total=fixed(allocated, tenant.asset),
        waiting=waiting,
        unmatched=unmatched - grouped.lines - proceeds,
    )


async def hold_lines(session: AsyncSession) -> None:
    """Wait until no other transaction matches lines of the tenant; keep others waiting. Needs the jobs role."""
    await queries.hold_matching(session)


async def settle_payout_lines(session: AsyncSession, rows: Sequence[tuple[int, int, int]]) -> None:
    """Take (statement, line) as what the event of a payout booked: they wait no more. Needs the jobs role, lines held."""
    await queries.settle_lines(session, rows, how="payout")


class _TakenBack(Exception):
    """What was done is not kept."""


async def try_matching(db: Database, tenant: Tenant, *, actor: str = "system:matching") -> TrialReport:
    """Return what a run of matching would do with lines of money in, by doing it in one transaction that is taken back."""
    matched = total = 0
    groups: list[GroupMatched] = []

    async def once() -> TrialReport:
        nonlocal matched, total
        matched = total = 0
        groups.clear()
        async with db.unit_of_work(tenant.tenant_id, role=Role.JOBS) as session:
            after: tuple[int, int] | None = (0, 0)
            while after is not None:
                done = await _match_chunk(session, tenant, after, actor)
                matched, total, after = matched + done.lines, total + done.total, done.last
            for channel in tenant.pack.channels:
                for rule in channel.matching:
                    groups.extend((await apply_rule(session, tenant, channel, rule, actor)).groups)
            raise _TakenBack

    try:
        return await retry_transaction(once)
    except _TakenBack:
        return TrialReport(matched, fixed(total, tenant.asset), tuple(groups))


async def _match_orders(db: Database, tenant: Tenant) -> int:
    """Settle money that went out by the reference and of the amount of an order, or of a payment taken back; count the lines."""
    async with db.unit_of_work(tenant.tenant_id, role=Role.JOBS) as session:
        await queries.hold_matching(session)
        lines = await queries.open_money_out(session, most=CHUNK)
        if not lines:
            return 0
        parts = {
            (claim_digest(tenant.tenant_id, f"provider:{one.account}", one.reference), one.amount): one.event_id
            for one in await queries.unpaid_orders(session, among=sorted({line.account for line in lines}))
        }
        settled = []
        for line in lines:
            found = next((key for digest in line.digests if (key := (digest, -line.amount)) in parts), None)
            if found is not None:
                settled.append((line.statement_id, line.line_no, parts.pop(found)))
        await queries.settle_lines(session, settled, how="order")
        paid = {(statement, number) for statement, number, _ in settled}
        back = await _reversals_among(
            session, [line for line in lines if (line.statement_id, line.line_no) not in paid]
        )
        await queries.settle_lines(session, back, how="reversal")
        return len(settled) + len(back)


async def _reversals_among(session: AsyncSession, lines: Sequence[OtherLine]) -> list[tuple[int, int, int]]:
    """Return (statement, line, event) of lines that bear the reference of a payment that was taken back, and its amount."""
    found = await queries.unshown_reversals(session, [digest for line in lines for digest in line.digests])
    left = {(digest, one.account, one.amount): one.event_id for digest, one in found}
    shown: dict[int, tuple[int, int, int]] = {}
    for line in lines:
        for digest in line.digests:
            event = left.get((digest, line.account, -line.amount))
            if event is not None:
                shown.setdefault(event, (line.statement_id, line.line_no, event))
    return list(shown.values())


async def _match_proceeds(db: Database, tenant: Tenant, actor: str) -> int:
    """Book money of sold units that came in by an order's reference and of its amount; return how many lines."""
    async with db.unit_of_work(tenant.tenant_id, role=Role.JOBS) as session:
        await queries.hold_matching(session)
        due = await funds.unsettled_sales(session)
        if not due:
            return 0
        wanted = {
            (account, claim_digest(tenant.tenant_id, f"provider:{account}", one.reference)): one
            for account in await queries.collection_accounts(session)
            for one in due
        }
        found: dict[tuple[int, int], tuple[OtherLine, UnsettledSale]] = {}
        for line in await queries.open_money_in(session, [digest for _, digest in wanted]):
            for digest in line.digests:
                order = wanted.get((line.account, digest))
                if order is not None and order.amount == line.amount:
                    found.setdefault((order.dealing_id or -order.action, order.fund_id), (line, order))
        if not found:
            return 0
        events = await funds.settle_sales(
            session,
            tenant,
            [funds.Proceeds(order, line.account, line.value_date) for line, order in found.values()],
            actor=actor,
        )
        settled = [
            (line.statement_id, line.line_no, event) for (line, _), event in zip(found.values(), events, strict=True)
        ]
        await queries.settle_lines(session, settled, how="proceeds")
        if any(order.action for _, order in found.values()):
            await put_role_down(session)  # taken to settle lines; what is promised is the application's
            await promise(session, "funds.carry_on_actions", tenant_id=tenant.tenant_id)
        return len(settled)


@dataclass(frozen=True, slots=True)
class _Matched:
    lines: int
    total: int
    allocated: int
    unmatched: int
    last: tuple[int, int] | None


async def _match_chunk(session: AsyncSession, tenant: Tenant, after: tuple[int, int], actor: str) -> _Matched:
    await queries.hold_matching(session)
    tried, picked, last = await queries.pick_lines(session, after=after, most=CHUNK)
    if not picked:
        return _Matched(0, 0, 0, tried, last)
    booked = await book_picked(session, tenant, actor)
    return _Matched(picked, booked.total, booked.allocated, tried - picked, last)


async def _allocate_ready(
    session: AsyncSession, tenant: Tenant, after: tuple[int, int]
) -> tuple[int, int, tuple[int, int] | None]:
    """Allocate waiting receipts that can be now; return the sum, how many still wait, and where to go on."""
    await queries.hold_matching(session)
    ready = await queries.ready_receipts(session, after=after, most=CHUNK)
    last = (ready[-1].member_id, ready[-1].event_id) if len(ready) == CHUNK else None
    earned = [one.earned for one in ready if one.earned is not None]
    allocated = await funds.allocate(session, tenant, [*(one.receipt for one in ready), *earned])
    left = set(allocated.without_choice)
    done = [(one.member_id, one.event_id) for one in ready if (one.receipt.member_id, one.receipt.event_id) not in left]
    if done:
        await queries.remove_unallocated(session, done)
    return allocated.amount, len(ready) - len(done), last
