"""Use cases of reconciliation: take in a statement, match its lines to receipts, tell how far a receipt has come."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from engine.funds import service as funds
from engine.funds.rules import ReconciledReceipt
from engine.kernel.amounts import Amount, Asset
from engine.kernel.clock import business_date
from engine.kernel.ids import claim_digest, house_member
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.reconciliation import queries
from engine.reconciliation.errors import UnknownAccount, UnknownReceipt, UnreadableStatement
from engine.reconciliation.queries import OpenLine, WaitingReceipt
from engine.reconciliation.rules import (
    BadRow,
    BreakReason,
    ReceiptState,
    StatementLine,
    break_reason,
    read_statement,
)
from engine.runtime.database import Database, Role, retry_transaction
from engine.runtime.logging import get_logger
from engine.runtime.sealing import seal
from engine.runtime.secrets import KeyStore
from engine.tenancy.service import Tenant

CHUNK = 20_000
MOST_NAMED = 50
SUSPENDED, NO_FUND_CHOICE = "suspended", "no-fund-choice"
_log = get_logger(__name__)
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Break:
    """A line that is no receipt's, and why. `received` is what the receipt of its reference says; major units."""

    statement: int
    row: int
    account: str
    value_date: date
    amount: str
    reason: str
    received: str | None = None


@dataclass(frozen=True, slots=True)
class MatchReport:
    """What a run of matching did, in lines and receipts; sums in major units of money."""

    matched: int = 0
    matched_total: str = "0"
    allocated_total: str = "0"
    waiting: int = 0
    unmatched: int = 0


@dataclass(frozen=True, slots=True)
class StatementReport:
    """What became of a statement. `first_imported_at` is there if the same bytes came before.

    `line_count`, `total` and `matched` are of what came now. `unmatched` counts all lines that are no receipt's after matching; `breaks` names the first of them.
    """

    file: str
    sha256: str
    account: str
    line_count: int
    total: str
    matched: int
    unmatched: int
    breaks: tuple[Break, ...]
    first_imported_at: datetime | None = None

    def lines(self) -> list[str]:
        """Return the report in sentences, for the command line."""
        if self.first_imported_at is not None:
            head = (
                f"{self.file}: the same bytes first came at {self.first_imported_at:%Y-%m-%d %H:%M} UTC; "
                f"{self.unmatched} lines wait"
            )
        else:
            head = f"{self.file}: {self.line_count} lines, {self.total}: {self.matched} matched, {self.unmatched} wait"
        return [
            head,
            *(
                f"  row {one.row}, {one.value_date}, {one.amount}: {one.reason}"
                + (f" (the receipt says {one.received})" if one.received is not None else "")
                for one in self.breaks
            ),
        ]


async def import_statement(
    db: Database, tenant: Tenant, keys: KeyStore, raw: bytes, name: str, account: str, actor: str
) -> StatementReport:
    """Take in a statement of a collection account whole, sealed, and match its lines to receipts.

    The same bytes twice change nothing and say when they first came; lines still open are tried again.

    Args:
        db: the database; the statement is one transaction, matching follows in others.
        tenant: whose account it is.
        keys: seal the file.
        raw: the file's bytes, as `rules.read_statement` reads them.
        name: the file's name.
        account: the collection channel whose account it is.
        actor: who imports.

    Raises:
        UnknownAccount: the scheme has no such channel.
        UnreadableStatement: a row cannot be read; nothing of the file is kept. Names the first, and up to 50 in details.
    """
    channels = [channel.code for channel in tenant.pack.channels]
    if account not in channels:
        raise UnknownAccount(field="account", account=account, allowed=", ".join(sorted(channels)))
    sha256 = hashlib.sha256(raw).hexdigest()
    asset = tenant.asset
    document: bytes | None = None

    async def once() -> tuple[int, datetime | None, int, int]:
        nonlocal document
        async with db.unit_of_work(tenant.tenant_id) as session:
            earlier = await queries.find_statement(session, sha256)
            if earlier is not None:
                return earlier[0], earlier[1], 0, 0
            now = await ledger.scheme_now(session)
            today = business_date(now, tenant.pack.time_zone)
            count, total, first_on, last_on = _examine(raw, asset, today, name)
            document = document or seal(keys, tenant.tenant_id, "statements", sha256, raw)
            number = await queries.add_statement(
                session,
                account=account,
                name=name,
                sha256=sha256,
                document=document,
                imported_at=now,
                actor=await ledger.actor_id(session, actor),
                lines=count,
                total=total,
                first_on=first_on,
                last_on=last_on,
            )
            if number is None:
                found = await queries.find_statement(session, sha256)
                assert found is not None, sha256
                return found[0], found[1], 0, 0
            scope = f"provider:{account}"
            for chunk in _chunks(_lines(raw, asset, today), CHUNK):
                await queries.add_lines(
                    session,
                    number,
                    [
                        (line.row, line.amount, claim_digest(tenant.tenant_id, scope, line.reference), line.value_date)
                        for line in chunk
                    ],
                )
            return number, None, count, total

    number, first_imported_at, count, total = await retry_transaction(once)
    await match_statements(db, tenant, actor=actor)
    async with db.unit_of_work(tenant.tenant_id) as session:
        unmatched = await queries.count_open_lines(session, number)
        breaks = await queries.open_lines(session, most=MOST_NAMED, statement_id=number)
    return StatementReport(
        file=name,
        sha256=sha256,
        account=account,
        line_count=count,
        total=_fixed(total, asset),
        matched=max(count - unmatched, 0),
        unmatched=unmatched,
        breaks=tuple(_break(line, asset) for line in breaks),
        first_imported_at=first_imported_at,
    )


def _examine(raw: bytes, asset: Asset, today: date, name: str) -> tuple[int, int, date | None, date | None]:
    """Return count, sum and first and last day of a statement's lines, or refuse it for all its bad rows."""
    count = total = 0
    first_on = last_on = None
    bad: list[BadRow] = []
    for row in read_statement(raw, asset, today=today):
        if isinstance(row, BadRow):
            bad.append(row)
            if len(bad) == MOST_NAMED:
                break
            continue
        count, total = count + 1, total + row.amount
        first_on = row.value_date if first_on is None else min(first_on, row.value_date)
        last_on = row.value_date if last_on is None else max(last_on, row.value_date)
    if bad:
        raise UnreadableStatement(
            file=name,
            row=bad[0].row,
            field=bad[0].field,
            reason=bad[0].reason,
            problems=[{"row": one.row, "field": one.field, "reason": one.reason} for one in bad],
        )
    return count, total, first_on, last_on


def _lines(raw: bytes, asset: Asset, today: date) -> Iterator[StatementLine]:
    for row in read_statement(raw, asset, today=today):
        assert isinstance(row, StatementLine), row
        yield row


def _chunks(items: Iterator[_Item], size: int) -> Iterator[list[_Item]]:
    while chunk := list(islice(items, size)):
        yield chunk


async def match_statements(db: Database, tenant: Tenant, *, actor: str = "system:matching") -> MatchReport:
    """Match every open line to its receipt, one to one, and allocate the money of those that match.

    A line is a receipt's if that receipt claimed the line's provider reference and booked exactly the line's amount into
    the line's account. Lines that match nothing stay open for the next run. A matched receipt in suspense is allocated
    by the run after its resolution. Runs in transactions of at most 20,000 lines; may be stopped and run again.
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
    _log.info("statements matched", tenant=tenant.code, count=matched)
    return MatchReport(
        matched=matched,
        matched_total=_fixed(matched_total, tenant.asset),
        allocated_total=_fixed(allocated, tenant.asset),
        waiting=waiting,
        unmatched=unmatched,
    )


@dataclass(frozen=True, slots=True)
class _Matched:
    lines: int
    total: int
    allocated: int
    unmatched: int
    last: tuple[int, int] | None


async def _match_chunk(session: AsyncSession, tenant: Tenant, after: tuple[int, int], actor: str) -> _Matched:
    await queries.hold_matching(session)
    lines = await queries.open_lines(session, after=after, most=CHUNK)
    last = (lines[-1].statement_id, lines[-1].line_no) if len(lines) == CHUNK else None
    good: dict[tuple[int, int], OpenLine] = {}
    for line in lines:
        if _reason(line) is None:
            assert line.member_id is not None, line
            assert line.event_id is not None, line
            good.setdefault((line.member_id, line.event_id), line)
    if not good:
        return _Matched(0, 0, 0, len(lines), last)
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
    return _Matched(
        len(good), sum(line.amount for line in good.values()), allocated.amount, len(lines) - len(good), last
    )


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
    for line in lines:
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
    for chunk in _chunks(iter(zip(sorted(counts), entries, strict=True)), 4096):
        fates = await ledger.post(session, [entry for _, entry in chunk], recorded_at=now)
        found.update({statement: fate.event_id for (statement, _), fate in zip(chunk, fates, strict=True)})
    return found


async def _allocate_ready(
    session: AsyncSession, tenant: Tenant, after: tuple[int, int]
) -> tuple[int, int, tuple[int, int] | None]:
    """Allocate waiting receipts that can be now; return the sum, how many still wait, and where to go on."""
    await queries.hold_matching(session)
    ready = await queries.ready_receipts(session, after=after, most=CHUNK)
    last = (ready[-1].member_id, ready[-1].event_id) if len(ready) == CHUNK else None
    allocated = await funds.allocate(session, tenant, [one.receipt for one in ready])
    left = set(allocated.without_choice)
    done = [(one.member_id, one.event_id) for one in ready if (one.receipt.member_id, one.receipt.event_id) not in left]
    if done:
        await queries.remove_unallocated(session, done)
    return allocated.amount, len(left), last


def _reason(line: OpenLine) -> BreakReason | None:
    return break_reason(received=line.received, amount=line.amount, is_matched=line.is_matched)


def _break(line: OpenLine, asset: Asset) -> Break:
    return Break(
        statement=line.statement_id,
        row=line.line_no,
        account=line.account,
        value_date=line.value_date,
        amount=_fixed(line.amount, asset),
        reason=_reason(line) or "new",
        received=None if line.received is None else _fixed(line.received, asset),
    )


async def list_breaks(
    session: AsyncSession, tenant: Tenant, *, after: tuple[int, int] = (0, 0), most: int = 100
) -> list[Break]:
    """Return lines that are no receipt's, after (statement, row), with the reason as it is now."""
    lines = await queries.open_lines(session, after=after, most=most)
    return [_break(line, tenant.asset) for line in lines]


async def list_waiting(session: AsyncSession, *, most: int = 100) -> list[WaitingReceipt]:
    """Return reconciled receipts whose cash is in no dealing yet, the oldest first; amounts in smallest units."""
    return await queries.list_unallocated(session, most=most)


async def receipt_state(session: AsyncSession, member_id: int, event_id: int) -> ReceiptState:
    """Return how far a receipt has come: received, suspended, matched, allocated, ordered, priced, or reversed.

    A receipt in suspense belongs to the house; after its resolution either of its events may be asked for.

    Raises:
        UnknownReceipt: there is no such receipt.
    """
    facts = await queries.receipt_facts(session, member_id, event_id)
    if facts is None:
        raise UnknownReceipt
    if facts.is_reversed:
        return ReceiptState.REVERSED
    owner, event = facts.resolved_member or member_id, facts.resolved_event or event_id
    allocation = await funds.allocation_state(session, owner, event)
    if allocation is not None:
        return ReceiptState(allocation.value)
    if facts.kind == EventKind.CONTRIBUTION_SUSPENDED and facts.resolved_event is None:
        return ReceiptState.SUSPENDED
    return ReceiptState.MATCHED if facts.is_matched else ReceiptState.RECEIVED


def _fixed(smallest: int, asset: Asset) -> str:
    return f"{Amount(smallest, asset).decimal():.{asset.scale}f}"
