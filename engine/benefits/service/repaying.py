"""Loans that run: payments that pay them back, what is overdue, and what lenders say of pledges."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.benefits.errors import LoanDecided, LoanDiffers, UnknownLoan
from engine.benefits.queries import claiming as claims
from engine.benefits.queries import estates as estate_queries
from engine.benefits.queries import lending as queries
from engine.benefits.queries.lending import LoanRow
from engine.benefits.rules.loans import (
    Instalment,
    LoanMovement,
    LoanStanding,
    Repayment,
    default_action,
    loan_standing,
    share_repayment,
)
from engine.benefits.service import claiming, estates, lending
from engine.contributions import service as contributions
from engine.contributions.errors import AlreadyResolved
from engine.enrolment import service as enrolment
from engine.funds.rules import FundsRule
from engine.kernel.amounts import Amount
from engine.kernel.clock import business_date
from engine.kernel.errors import Invalid
from engine.kernel.ids import claim_digest
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Outcome, Transfer
from engine.runtime import quarantine
from engine.runtime.database import Database, retry_transaction
from engine.runtime.key_file import FileKeyStore
from engine.tenancy import service as tenancy
from engine.tenancy.service import Tenant

MOST = 1_000
FUND = "fund"
"""The party that interest on loans is due to where a product is in funds, and has no reserve of its own."""

_ACTOR = "system:loans"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """A loan, what of it falls due when, and how it stands today; of a pledge only the lender knows how it stands."""

    row: LoanRow
    schedule: tuple[Instalment, ...]
    standing: LoanStanding | None


async def list_loans(session: AsyncSession, *, state: str = "", after: int = 0, most: int = 100) -> list[LoanRow]:
    """Return loans and pledges after loan `after`, the oldest first."""
    return await queries.list_loans(session, state=state, after=after, most=most)


async def find_loan(session: AsyncSession, tenant: Tenant, loan_id: int) -> Loan:
    """Return a loan; UnknownLoan if there is none."""
    row = await _found(session, loan_id)
    schedule = await queries.schedule_of(session, row)
    if row.lender or row.ended_event:
        return Loan(row=row, schedule=tuple(schedule), standing=None)
    paid = await queries.paid_of(session, row)
    today = await _today(session, tenant)
    standing = loan_standing(lending.rule_of(tenant, row), schedule, paid, today)
    return Loan(row=row, schedule=tuple(schedule), standing=standing)


async def repay(session: AsyncSession, tenant: Tenant, loan_id: int, receipt: int, *, actor: str) -> LoanRow:
    """Let a payment in suspense pay a loan back, once: principal and interest as the loan's rule shares it.

    It counts from the day it was received. Principal goes back to the pots and origins it came from, interest to the
    same, or to the fund. What is above all that is owed is payable to the member.

    Raises:
        UnknownLoan: there is none.
        LoanDecided: it has ended, or is a lender's.
        UnknownSuspense, AlreadyResolved: no such payment waits.
    """
    held = await contributions.hold_in_suspense(session, receipt)
    row = await _found(session, loan_id, hold=True)
    if row.lender or row.ended_event:
        raise LoanDecided(state=row.state)
    found = lending.rule_of(tenant, row)
    schedule = await queries.schedule_of(session, row)
    paid = await queries.paid_of(session, row)
    stands = loan_standing(found, schedule, paid, held.received_on)
    shared = share_repayment(
        found, held.amount, interest_minor=stands.interest_minor, principal_minor=stands.principal_minor
    )
    moves = await _repayment_moves(session, tenant, row, held.channel, shared)
    event_id = await _post(
        session,
        tenant,
        EventKind.LOAN_REPAID,
        row,
        actor,
        {
            "amount": str(held.amount),
            "channel": held.channel,
            "resolves": str(receipt),
            "principal": str(shared.principal_minor),
            "interest": str(shared.interest_minor),
            "over": str(shared.left_minor),
        },
        moves,
        rules=shared.rules,
        once=("resolve", str(receipt)),
    )
    now = LoanMovement(held.received_on, shared.principal_minor, shared.interest_minor)
    await queries.add_repayment(session, row, event_id, receipt, now, shared.left_minor)
    after = loan_standing(found, schedule, [*paid, now], max(held.received_on, await _today(session, tenant)))
    row = replace(row, owed=row.owed - shared.principal_minor)
    if not after.principal_minor and not after.interest_minor:
        row = replace(row, state="repaid", ended_event=event_id)
    elif after.unpaid_since is None:
        row = replace(row, state="running")
    await queries.save_loan(session, row)
    await contributions.end_in_suspense(session, tenant, receipt, event_id=event_id, member_id=row.member_id)
    return row


async def take_repayments(db: Database, keys: FileKeyStore, tenant: Tenant) -> int:
    """Give held payments that name a loan to it; return how many. One that names no running loan stays where it is.

    Each in a transaction of its own; may be stopped and run again, and run twice at once.
    """
    waiting: list[tuple[int, int]] = []
    while True:
        async with db.unit_of_work(tenant.tenant_id) as session:
            after = waiting[-1][0] if waiting else 0
            page = await contributions.payments_to_loans(session, keys, tenant, after=after, most=MOST)
        waiting += page
        if len(page) < MOST:
            break
    named = dict(waiting)

    async def give(receipt: int) -> bool:
        async def once() -> bool:
            async with db.unit_of_work(tenant.tenant_id) as session:
                await repay(session, tenant, named[receipt], receipt, actor=_ACTOR)
                return True

        try:
            return await retry_transaction(once)
        except (UnknownLoan, LoanDecided, AlreadyResolved):
            return False

    subjects = [(-tenant.tenant_id, receipt) for receipt in named]
    return await quarantine.each(
        db, tenant.tenant_id, subjects, give, task="benefits.take_repayments", owner="claims-officer"
    )


async def follow_loans(db: Database, tenant: Tenant) -> int:
    """Do with loans from savings that are overdue for long enough what their rule says; return with how many.

    Set off: Dr member lent / Cr member-loans, and the loan has ended. Frozen: nothing may be taken until all that was due is
    paid. Else it is noted. Each in a transaction of its own; may be stopped and run again, and run twice at once.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        late = await queries.late_loans(session, await _today(session, tenant), most=MOST)

    async def default(loan_id: int) -> bool:
        async def once() -> bool:
            async with db.unit_of_work(tenant.tenant_id) as session:
                return await _default(session, tenant, loan_id)

        return await retry_transaction(once)

    return await quarantine.each(
        db, tenant.tenant_id, late, default, task="benefits.follow_loans", owner="claims-officer"
    )


async def _default(session: AsyncSession, tenant: Tenant, loan_id: int) -> bool:
    row = await _found(session, loan_id, hold=True)
    if row.lender or row.state != "running":
        return False
    found, today = lending.rule_of(tenant, row), await _today(session, tenant)
    schedule, paid = await queries.schedule_of(session, row), await queries.paid_of(session, row)
    stands = loan_standing(found, schedule, paid, today)
    action = "" if stands.unpaid_since is None else default_action(found, stands.unpaid_since, today)
    if not action or stands.unpaid_since is None:
        return False
    body = {"unpaid_since": stands.unpaid_since.isoformat(), "owed": str(row.owed)}
    once = ("loan-default", f"{row.loan_id}:{stands.unpaid_since}")
    if action == "set-off":
        owed = await lending.lent_balances(session, row.member_id, row.product)
        asset = lending.member_loans(tenant, row.product)
        moves = [(minor, one, asset) for one, minor in _shared(row.owed, owed).items()]
        event_id = await _post(
            session, tenant, EventKind.LOAN_SET_OFF, row, _ACTOR, body, moves, rules=(found.ref,), once=once
        )
        await queries.save_loan(session, replace(row, state="set-off", ended_event=event_id))
        return True
    await _post(session, tenant, EventKind.LOAN_DEFAULTED, row, _ACTOR, body, [], rules=(found.ref,), once=once)
    await queries.save_loan(session, replace(row, state="frozen" if action == "freeze" else "in-default"))
    return True


async def report_lender(
    session: AsyncSession, tenant: Tenant, loan_id: int, *, owed: int, unpaid_since: date | None, actor: str
) -> LoanRow:
    """Bring what a lender says of a pledge: what is owed still, and since when an instalment is unpaid. It waits for another person.

    Raises:
        UnknownLoan, LoanDecided: there is no such pledge, or it has ended.
        Invalid: more is owed than was lent, or a day has not come.
    """
    row = await _found(session, loan_id, hold=True)
    if not row.lender or row.ended_event:
        raise LoanDecided(state=row.state)
    if not 0 <= owed <= row.principal:
        raise Invalid(field="owed", reason="at most what was lent")
    if unpaid_since is not None and unpaid_since > await _today(session, tenant):
        raise Invalid(field="unpaid_since", reason="a day that has come")
    body = {"owed": str(owed), "unpaid_since": "" if unpaid_since is None else unpaid_since.isoformat()}
    event_id = await _post(session, tenant, EventKind.LENDER_REPORTED, row, actor, body, [])
    said = {"loan": row.loan_id, "event": event_id, **body}
    digest = hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()
    row = replace(row, said_owed=owed, said_unpaid_since=unpaid_since, said_by=actor, digest=digest)
    await queries.save_loan(session, row, said_by=await ledger.actor_id(session, actor))
    return row


async def confirm_report(
    db: Database, keys: FileKeyStore, tenant: Tenant, loan_id: int, *, digest: str, actor: str
) -> LoanRow:
    """Let a lender's word count, as a second person: a pledge ends that secures nothing, and holds back no more than is owed.

    What is overdue for long enough is dealt with by the rule; after the member's death it is set off whatever the rule
    says: Dr member cash / Cr payable / Cr due-to-party, the lender. Units are sold for it.

    Raises:
        UnknownLoan, LoanDecided: there is none, or no word of a lender waits.
        LoanDiffers: `digest` is not that of the word.
        SamePerson: `actor` brought it.
        NoPriceYet, NoDealingRule: units cannot be valued or sold now.
    """

    async def once() -> LoanRow:
        async with db.unit_of_work(tenant.tenant_id) as session:
            row = await _said(session, loan_id, digest, actor)
            assert row.said_owed is not None, row
            body = {"owed": str(row.said_owed)}
            event_id = await _post(session, tenant, EventKind.LENDER_CONFIRMED, row, actor, body, [])
            claim = await claiming.hold_claim(session, loan_id, {"pledged"})
            since = row.said_unpaid_since
            row = replace(
                row, owed=row.said_owed, said_owed=None, said_unpaid_since=None, said_by="", digest="", state="running"
            )
            found, today = lending.rule_of(tenant, row), await _today(session, tenant)
            is_dead = bool(await enrolment.suspended(session, [row.member_id]))
            action = "" if since is None else default_action(found, since, today)
            leaves = bool(row.owed) and (is_dead or action == "set-off")
            if not row.owed:
                row = replace(row, state="released", ended_event=event_id)
                await claims.save_claim(session, replace(claim, closed_event=event_id))
            else:
                await claiming.take_pledged(session, keys, tenant, claim, row.owed, actor=actor, leaves=leaves)
            if leaves:
                row = replace(row, state="set-off", ended_event=event_id)
            elif action:
                row = replace(row, state="frozen" if action == "freeze" else "in-default")
                assert since is not None, row
                told = {"unpaid_since": since.isoformat(), "owed": str(row.owed)}
                await _post(session, tenant, EventKind.LOAN_DEFAULTED, row, actor, told, [], rules=(found.ref,))
            await queries.save_loan(session, row)
            if is_dead and row.ended_event:
                await _heirs_wait_no_more(session, keys, tenant, row, actor)
            return row

    return await retry_transaction(once)


async def reject_report(session: AsyncSession, tenant: Tenant, loan_id: int, *, digest: str, actor: str) -> LoanRow:
    """Refuse what a lender was said to say, as a second person; raises as `confirm_report` does."""
    row = await _said(session, loan_id, digest, actor)
    await _post(session, tenant, EventKind.LENDER_REJECTED, row, actor, {"owed": str(row.said_owed)}, [])
    row = replace(row, said_owed=None, said_unpaid_since=None, said_by="", digest="")
    await queries.save_loan(session, row)
    return row


async def _said(session: AsyncSession, loan_id: int, digest: str, actor: str) -> LoanRow:
    row = await _found(session, loan_id, hold=True)
    if row.said_owed is None or row.ended_event:
        raise LoanDecided(state=row.state)
    if digest != row.digest:
        raise LoanDiffers
    checked_by_other(maker=row.said_by, checker=actor)
    return row


async def _heirs_wait_no_more(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, row: LoanRow, actor: str
) -> None:
    waiting = await estate_queries.death_claim_under_way(session, row.member_id, row.product)
    if waiting is not None:
        claim = await claiming.hold_claim(session, waiting, None)
        if claim.state == "open":
            await estates.consider(session, keys, tenant, claim, actor)


async def _repayment_moves(
    session: AsyncSession, tenant: Tenant, row: LoanRow, channel: str, shared: Repayment
) -> list[lending.Move]:
    money, product = tenant.asset.symbol, row.product
    suspense, loans = Account("suspense", money, party=channel), lending.member_loans(tenant, product)
    owed = await lending.lent_balances(session, row.member_id, product)
    back = _shared(shared.principal_minor, owed)
    moves: list[lending.Move] = []
    for account, minor in back.items():
        cash = Account("cash", money, product, account.pot, account.origin)
        moves += [(minor, suspense, cash), (minor, account, loans)]
    claim = await claiming.find_claim(session, row.loan_id)
    places = {Account("cash", money, product, one.pot, one.origin): one.minor for one in claim.parts}
    if shared.interest_to == "member":
        moves += [(minor, suspense, cash) for cash, minor in _shared(shared.interest_minor, places).items()]
    else:
        moves.append((shared.interest_minor, suspense, _fund(tenant, row)))
    first = next(iter(places))
    moves.append((shared.left_minor, suspense, replace(first, kind="payable")))
    return moves


def _fund(tenant: Tenant, row: LoanRow) -> Account:
    """Return where interest goes that is not the member's: the pool's reserve, or what is due to the fund."""
    money, dates = tenant.asset.symbol, Dates(on=row.began_on, joined_on=row.joined_on)
    if tenant.rule(FundsRule, product=row.product, dates=dates) is None:
        return Account("interest-reserve", money, row.product)
    return Account("due-to-party", money, party=FUND)


def _shared(minor: int, held: Mapping[Account, int]) -> dict[Account, int]:
    """Return what each account gives of `minor`, in proportion to what it holds; nothing lost, zeros left out."""
    if not minor:
        return {}
    accounts = sorted(held, key=lambda one: (one.pot, one.origin))
    shares = Amount(minor, lending.UNITS).share_out([held[one] for one in accounts])
    return {one: share.units for one, share in zip(accounts, shares, strict=True) if share.units}


async def _found(session: AsyncSession, loan_id: int, *, hold: bool = False) -> LoanRow:
    row = await queries.find_loan(session, loan_id, hold=hold)
    if row is None:
        raise UnknownLoan
    return row


async def _today(session: AsyncSession, tenant: Tenant) -> date:
    return business_date(await ledger.scheme_now(session), tenant.time_zone)


async def _post(
    session: AsyncSession,
    tenant: Tenant,
    kind: EventKind,
    row: LoanRow,
    actor: str,
    body: Mapping[str, object],
    moves: Sequence[lending.Move],
    *,
    rules: Sequence[str] = (),
    once: tuple[str, str] | None = None,
) -> int:
    """Post one event of a loan; AlreadyResolved where `once` happened before."""
    moves = [move for move in moves if move[0]]
    codes = await ledger.account_codes(session, {one for _, *pair in moves for one in pair})
    (fate,) = await ledger.post(
        session,
        [
            Entry(
                member_id=row.member_id,
                kind=kind,
                business_date=await _today(session, tenant),
                actor=await ledger.actor_id(session, actor),
                pack=tenant.pack_id,
                decision=await ledger.decision_id(session, tenancy.trace(row.product, rules)) if rules else 0,
                body={"loan": str(row.loan_id), "product": row.product, **body},
                claims=() if once is None else (claim_digest(tenant.tenant_id, *once),),
                transfers=[Transfer(minor, codes[debit], codes[credit]) for minor, debit, credit in moves],
            )
        ],
    )
    assert fate.outcome is not Outcome.OVERDRAWN, "what is owed was held"
    if fate.outcome is not Outcome.POSTED:
        raise AlreadyResolved
    return fate.event_id
