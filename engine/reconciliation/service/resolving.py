"""Putting breaks right: proposed by one person, carried out once another has confirmed exactly that.

A line is matched with the receipts it shows, or booked for a cause that the pack names; what the two differ by is booked
for a cause as well. All of it are new entries: no line, receipt or transfer changes. A break may also be held for
somebody until a day. Of several proposals for one break the first that is confirmed counts.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.kernel.clock import business_date
from engine.kernel.ids import house_member
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Transfer
from engine.reconciliation.errors import (
    BreakResolved,
    HoldUntil,
    NotMatchable,
    ProposalDecided,
    ProposalDiffers,
    UnknownBreak,
    UnknownCause,
    UnknownProposal,
)
from engine.reconciliation.queries import breaks as queries
from engine.reconciliation.queries import matching
from engine.reconciliation.queries.breaks import ProposalRow, WaitingLine
from engine.reconciliation.queries.matching import OpenLine, ReceiptFound
from engine.reconciliation.queries.statements import hold_account
from engine.reconciliation.rules import Counterpart, Named, check_sides, difference_booked
from engine.reconciliation.service.booking import book_matches
from engine.reconciliation.service.telling import fixed
from engine.runtime.database import Database, Role, retry_transaction
from engine.tenancy.rules.manifest import LineCause
from engine.tenancy.service import Tenant

LONGEST_HOLD = timedelta(days=366)
Number = Annotated[int, Meta(ge=1, le=2**53)]


class LineName(Struct, frozen=True, forbid_unknown_fields=True):
    """A line of a statement, as the list of breaks names it."""

    statement: Number
    line: Annotated[int, Meta(ge=0, le=2**31 - 1)]


class Matching(Struct, frozen=True, forbid_unknown_fields=True, tag_field="action", tag="match", kw_only=True):
    """The line shows these receipts; or it shows one, together with the other `lines`. A difference is booked for `cause`."""

    receipts: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[1-9]\d{0,18}$")], ...], Meta(min_length=1, max_length=1000)
    ]
    lines: Annotated[tuple[LineName, ...], Meta(max_length=100)] = ()
    cause: Annotated[str, Meta(max_length=40)] = ""


class Booking(Struct, frozen=True, forbid_unknown_fields=True, tag_field="action", tag="book"):
    """The whole line is booked for a cause of the pack: a charge, interest, money that is to be given back."""

    cause: Annotated[str, Meta(min_length=1, max_length=40)]


class Holding(Struct, frozen=True, forbid_unknown_fields=True, tag_field="action", tag="hold"):
    """Nothing moves: until the end of a day somebody else has the turn."""

    waits_for: Counterpart
    until: date


Action = Matching | Booking | Holding


class Proposal(Struct, frozen=True, kw_only=True):
    """What somebody would do about a break, and what became of it: proposed, rejected or confirmed.

    `difference` is what is booked to `party` for the cause (negative: out of the account), in major units. `digest`
    stands for all of it, and is sent back to confirm it. `event` carried it out.
    """

    proposal: int
    statement: int
    line: int
    action: str
    receipts: tuple[str, ...]
    lines: tuple[LineName, ...]
    cause: str
    party: str
    difference: str
    waits_for: str
    until: date | None
    state: str
    digest: str
    proposed_by: str
    decided_by: str | None
    event: str | None


async def propose_resolution(
    session: AsyncSession, tenant: Tenant, statement: int, line: int, action: Action, *, actor: str
) -> Proposal:
    """Propose what to do about a break; nothing moves until another person has confirmed it.

    Raises:
        UnknownBreak: there is no such break, or one of the other lines is none; a withdrawn receipt can only be held.
        UnknownCause: the pack names no such cause.
        ManyToMany, NotMatchable, CauseNeeded, CauseDiffers, AboveLimit: it could not be carried out.
        HoldUntil: the day has passed, or is too far away.
    """
    now = await ledger.scheme_now(session)
    row = new_proposal(statement, line, actor=actor, now=now)
    if isinstance(action, Holding):
        today = business_date(now, tenant.time_zone)
        if not today <= action.until <= today + LONGEST_HOLD:
            raise HoldUntil(field="until")
        if not await queries.is_break(session, statement, line):
            raise UnknownBreak
        row = replace(row, waits_for=action.waits_for, until=action.until)
    else:
        cause = _cause(tenant, action.cause)
        if isinstance(action, Matching):
            others = dict.fromkeys((one.statement, one.line) for one in action.lines)
            others.pop((statement, line), None)
            receipts = tuple(dict.fromkeys(int(one) for one in action.receipts))
            row = replace(row, action="match", receipts=receipts, lines=tuple(others))
        else:
            row = replace(row, action="book")
        row = replace(row, cause=action.cause, party=cause.party if cause else "")
        sides = await _sides(session, row)
        row = replace(row, difference=difference_booked(sides.total, sides.received, cause))
    maker = await ledger.actor_id(session, actor)
    return _told(await keep_proposal(session, tenant, row, maker), tenant)


def new_proposal(statement: int, line: int, *, actor: str, now: datetime) -> ProposalRow:
    """Return a proposal for a line that says nothing yet."""
    return ProposalRow(
        proposal_id=0,
        statement_id=statement,
        line_no=line,
        action="hold",
        cause="",
        party="",
        difference=0,
        receipts=(),
        lines=(),
        waits_for="",
        until=None,
        state="proposed",
        proposed_by=actor,
        proposed_at=now,
        decided_by=None,
        decided_at=None,
        resolved_event=0,
    )


async def keep_proposal(session: AsyncSession, tenant: Tenant, row: ProposalRow, maker: int) -> ProposalRow:
    """Keep a proposal, and say so in the log."""
    row = replace(row, proposal_id=await queries.add_proposal(session, row, by=maker))
    await _post(session, tenant, EventKind.BREAK_PROPOSED, row, maker)
    return row


async def list_proposals(session: AsyncSession, tenant: Tenant, statement: int, line: int) -> list[Proposal]:
    """Return what was proposed for a line and what became of it, the first first: the history of the break."""
    return [_told(row, tenant) for row in await queries.list_proposals(session, statement, line)]


async def reject_proposal(session: AsyncSession, tenant: Tenant, proposal: int, *, actor: str) -> Proposal:
    """Refuse a proposal, as a second person.

    Raises:
        UnknownProposal: nobody made it.
        ProposalDecided: it is decided already.
        SamePerson: `actor` made it.
    """
    row = await _proposed(session, proposal, actor)
    checker = await ledger.actor_id(session, actor)
    now = await ledger.scheme_now(session)
    await queries.decide(session, row.proposal_id, state="rejected", by=checker, at=now)
    row = replace(row, state="rejected", decided_by=actor)
    await _post(session, tenant, EventKind.BREAK_REJECTED, row, checker)
    return _told(row, tenant)


async def confirm_proposal(db: Database, tenant: Tenant, proposal: int, *, digest: str, actor: str) -> Proposal:
    """Carry a proposal out, as a second person: match, book, or hold.

    Raises:
        UnknownProposal, ProposalDecided, SamePerson: as for `reject_proposal`.
        ProposalDiffers: `digest` is not that of the proposal.
        BreakResolved: one of its lines waits no more, or one of its receipts is shown by another line.
    """

    async def once() -> Proposal:
        async with db.unit_of_work(tenant.tenant_id, role=Role.JOBS) as session:
            row = await _proposed(session, proposal, actor)
            if digest != _digest(row):
                raise ProposalDiffers
            checker = await ledger.actor_id(session, actor)
            now = await ledger.scheme_now(session)
            transfers = await _carry_out(session, tenant, row, actor) if row.action != "hold" else []
            row = replace(row, state="confirmed", decided_by=actor)
            event = await _post(session, tenant, EventKind.BREAK_RESOLVED, row, checker, transfers)
            if row.action != "hold":
                await _settle(session, row, event)
            elif not await queries.is_break(session, row.statement_id, row.line_no):
                raise BreakResolved
            await queries.decide(session, row.proposal_id, state="confirmed", by=checker, at=now, resolved_event=event)
            return _told(replace(row, resolved_event=event), tenant)

    return await retry_transaction(once)


@dataclass(frozen=True, slots=True)
class _Sides:
    """The lines of a proposal, the break's own first, and its receipts, each as if it stood beside that line."""

    lines: tuple[WaitingLine, ...]
    receipts: tuple[OpenLine, ...]

    @property
    def total(self) -> int:
        return sum(line.amount for line in self.lines)

    @property
    def received(self) -> int:
        return sum(one.received or 0 for one in self.receipts)


async def _sides(session: AsyncSession, row: ProposalRow) -> _Sides:
    keys = [(row.statement_id, row.line_no), *row.lines]
    waiting = await queries.waiting_lines(session, keys)
    if len(waiting) < len(keys):
        raise UnknownBreak
    first = waiting[keys[0]]
    if any(line.account != first.account for line in waiting.values()):
        raise UnknownBreak
    known = await matching.receipts_in(session, first.account, row.receipts)
    check_sides(
        [Named(event, found[3] or 0, found[5]) for event, found in known.items()],
        row.receipts,
        [waiting[key].amount for key in keys],
    )
    receipts = tuple(receipt_beside(first, event, known[event]) for event in row.receipts)
    return _Sides(tuple(waiting[key] for key in keys), receipts)


def receipt_beside(line: WaitingLine, event_id: int, known: ReceiptFound) -> OpenLine:
    """Return a receipt as if it stood beside a line: what matching books."""
    member, is_suspended, collected, received, is_reversed, is_matched = known
    return OpenLine(
        statement_id=line.statement_id,
        line_no=line.line_no,
        row=line.line_no,
        code="",
        account=line.account,
        value_date=line.value_date,
        amount=line.amount,
        member_id=member,
        event_id=event_id,
        is_suspended=is_suspended,
        is_reversed=is_reversed,
        is_matched=is_matched,
        is_withdrawn=False,
        collected=collected,
        received=received,
    )


async def _carry_out(session: AsyncSession, tenant: Tenant, row: ProposalRow, actor: str) -> list[Transfer]:
    """Match the receipts; return what is to be booked for the cause. The accounts and matching are held until the end."""
    await _hold(session, row)
    try:
        sides = await _sides(session, row)
    except (UnknownBreak, NotMatchable) as gone:
        raise BreakResolved from gone
    if sides.total - sides.received != row.difference:
        raise BreakResolved
    if sides.receipts:
        good = {(one.member_id or 0, one.event_id or 0): one for one in sides.receipts}
        await book_matches(session, tenant, good, actor)
    if row.difference == 0:
        return []
    symbol = tenant.asset.symbol
    account = Account("collections", symbol, party=sides.lines[0].account)
    party = Account("due-to-party", symbol, party=row.party)
    codes = await ledger.account_codes(session, [account, party])
    debit, credit = (account, party) if row.difference > 0 else (party, account)
    return [Transfer(abs(row.difference), codes[debit], codes[credit])]


async def _hold(session: AsyncSession, row: ProposalRow) -> None:
    waiting = await queries.waiting_lines(session, [(row.statement_id, row.line_no)])
    for line in waiting.values():
        await hold_account(session, line.account)
    await matching.hold_matching(session)


async def _settle(session: AsyncSession, row: ProposalRow, event: int) -> None:
    if row.action == "book":
        await matching.settle_lines(session, [(row.statement_id, row.line_no, event)], how="cause")
    elif row.lines:
        (receipt,) = row.receipts
        await matching.settle_lines(session, [(*line, receipt) for line in row.lines], how="part")


async def _proposed(session: AsyncSession, proposal: int, actor: str) -> ProposalRow:
    row = await queries.hold_proposal(session, proposal)
    if row is None:
        raise UnknownProposal
    if row.state != "proposed":
        raise ProposalDecided(state=row.state)
    checked_by_other(maker=row.proposed_by, checker=actor)
    return row


def _cause(tenant: Tenant, code: str) -> LineCause | None:
    if not code:
        return None
    causes = {one.code: one for one in tenant.pack.line_causes}
    if code not in causes:
        raise UnknownCause(field="cause", cause=code, allowed=", ".join(sorted(causes)) or "–")
    return causes[code]


def _digest(row: ProposalRow) -> str:
    said = {
        "proposal": row.proposal_id,
        "line": [row.statement_id, row.line_no],
        "action": row.action,
        "cause": row.cause,
        "party": row.party,
        "difference": row.difference,
        "receipts": row.receipts,
        "lines": row.lines,
        "waits_for": row.waits_for,
        "until": row.until,
    }
    return hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()


async def _post(
    session: AsyncSession,
    tenant: Tenant,
    kind: EventKind,
    row: ProposalRow,
    actor: int,
    transfers: Sequence[Transfer] = (),
) -> int:
    body: dict[str, object] = {
        "proposal": row.proposal_id,
        "statement": row.statement_id,
        "line": row.line_no,
        "action": row.action,
    }
    if row.receipts:
        body["receipts"] = [str(one) for one in row.receipts]
    if row.cause:
        body |= {"cause": row.cause, "party": row.party, "difference": str(row.difference)}
    if row.until is not None:
        body |= {"waits_for": row.waits_for, "until": row.until.isoformat()}
    (fate,) = await ledger.post(
        session,
        [
            Entry(
                member_id=house_member(tenant.tenant_id),
                kind=kind,
                business_date=business_date(await ledger.scheme_now(session), tenant.time_zone),
                actor=actor,
                pack=tenant.pack_id,
                body=body,
                transfers=transfers,
            )
        ],
    )
    return fate.event_id


def _told(row: ProposalRow, tenant: Tenant) -> Proposal:
    return Proposal(
        proposal=row.proposal_id,
        statement=row.statement_id,
        line=row.line_no,
        action=row.action,
        receipts=tuple(str(one) for one in row.receipts),
        lines=tuple(LineName(*one) for one in row.lines),
        cause=row.cause,
        party=row.party,
        difference=fixed(row.difference, tenant.asset),
        waits_for=row.waits_for,
        until=row.until,
        state=row.state,
        digest=_digest(row),
        proposed_by=row.proposed_by,
        decided_by=row.decided_by,
        event=str(row.resolved_event) if row.resolved_event else None,
    )
