"""Loans as claims book them: what is lent, what a pledge holds back, what leaving sets off."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.errors import NoSuchRule
from engine.benefits.queries import lending as queries
from engine.benefits.queries.claiming import ClaimRow
from engine.benefits.queries.lending import LoanRow
from engine.benefits.rules import Holding
from engine.benefits.rules.claiming import COVER, INSURER, LOAN, TRANSFER, RunningLoan
from engine.benefits.rules.loans import LoanCase, LoanRule, loan_schedule
from engine.kernel.amounts import Asset
from engine.kernel.clock import business_date
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Account
from engine.tenancy.rules.books import InForce
from engine.tenancy.service import Tenant

Move = tuple[int, Account, Account]
UNITS = Asset("", 0)


def rule_of(tenant: Tenant, row: LoanRow) -> InForce[LoanRule]:
    """Return the version of the rule by which a loan was given; NoSuchRule if the pack has dropped it."""
    dates = Dates(on=row.began_on, joined_on=row.joined_on)
    for found in tenant.rules(LoanRule, product=row.product, dates=dates):
        if found.rule.id == row.rule:
            return found
    raise NoSuchRule(rule=row.rule)


async def loans_of(
    session: AsyncSession, member_id: int, products: Sequence[str], claims: Sequence[ClaimRow]
) -> tuple[RunningLoan, ...]:
    """Return a member's loans that run, and those that wait for a second person; `claims` are all they were granted."""
    by_claim = {one.claim_id: one for one in claims}
    running = [
        RunningLoan(
            one.rule, one.owed, _parts(by_claim.get(one.loan_id)) if one.lender else (), is_frozen=one.state == "frozen"
        )
        for one in await queries.running_loans(session, member_id, products)
    ]
    waiting = [
        RunningLoan(one.rule, one.amount, _parts(one) if one.request.lender else ())
        for one in claims
        if one.kind == LOAN and (one.state == "decided" or (one.state == "selling" and not one.request.lender))
    ]
    return (*running, *waiting)


def _parts(claim: ClaimRow | None) -> tuple[Holding, ...]:
    return () if claim is None else tuple(Holding(one.pot, one.origin, one.minor) for one in claim.parts)


def lent(tenant: Tenant, product: str, pot: str, origin: str) -> Account:
    """Return the member's account of what they owe their own pot."""
    return Account("lent", tenant.asset.symbol, product, pot, origin)


def member_loans(tenant: Tenant, product: str) -> Account:
    """Return the asset account of all loans from savings of a product."""
    return Account("member-loans", tenant.asset.symbol, product)


async def lent_balances(session: AsyncSession, member_id: int, product: str) -> dict[Account, int]:
    """Return what a member owes their pots, without zeros; nobody else can move it until the session ends."""
    chart = await ledger.accounts_by_code(session)
    codes = [code for code, one in chart.items() if one.kind == "lent" and one.product == product]
    held = await ledger.hold_balances(session, member_id, codes) if codes else {}
    return {chart[code]: minor for code, minor in sorted(held.items()) if minor}


async def moves_of(session: AsyncSession, tenant: Tenant, row: ClaimRow) -> list[Move]:
    """Return what a claim that becomes payable moves of loans and covers.

    A cover: Dr guarantee-receivable, whoever pays / Cr member payable. A loan: Dr member-loans / Cr member lent. A pledge that is set off: Dr member payable / Cr due-to-party, the lender. Leaving,
    retiring or dying sets off what is owed, which was paid out already: Dr member lent / Cr member-loans.
    """
    product = row.product
    if row.kind == LOAN and not row.request.lender:
        return [
            (one.minor, member_loans(tenant, product), lent(tenant, product, one.pot, one.origin)) for one in row.parts
        ]
    if row.kind == LOAN:
        loan = await queries.find_loan(session, row.claim_id)
        assert loan is not None, row
        return _to_lender(tenant, row, loan.owed)
    if row.kind == COVER:
        assert row.facts is not None, row
        owed_by = Account("guarantee-receivable", tenant.asset.symbol, product, party=row.facts.topped_up_by)
        pot = tenant.product(product).pots[0].code
        return [(row.top_up, owed_by, Account("payable", tenant.asset.symbol, product, pot, INSURER))]
    if row.kind in ("access", TRANSFER):
        return []
    await queries.running_loans(session, row.member_id, [product], hold=True)  # before money, as repayments hold them
    owed = await lent_balances(session, row.member_id, product)
    return [(minor, account, member_loans(tenant, product)) for account, minor in owed.items()]


def _to_lender(tenant: Tenant, row: ClaimRow, owed: int) -> list[Move]:
    """Return what a lender gets of what a pledge brought, no more than is owed; the rest is payable to the member."""
    lender = Account("due-to-party", tenant.asset.symbol, party=row.request.lender)
    moves: list[Move] = []
    for one in row.parts:
        here = min(one.minor, owed)
        moves.append((here, Account("payable", tenant.asset.symbol, row.product, one.pot, one.origin), lender))
        owed -= here
    return moves


async def booked(session: AsyncSession, tenant: Tenant, row: ClaimRow, event_id: int) -> None:
    """Note what `moves_of` moved by an event: a loan begins, or those that run are ended by a claim of all that is there."""
    if row.kind == LOAN:
        if not row.request.lender:
            await begin(session, tenant, row, event_id)
        return
    if row.kind in ("access", COVER, TRANSFER):
        return
    for one in await queries.running_loans(session, row.member_id, [row.product], hold=True):
        if not one.lender:
            await queries.save_loan(session, replace(one, state="set-off", ended_event=event_id))


async def begin(session: AsyncSession, tenant: Tenant, row: ClaimRow, event_id: int) -> None:
    """Begin a loan, or a pledge, of what its claim takes: its schedule counts from today."""
    assert row.facts is not None, row
    if not row.amount:
        return
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    dates = Dates(on=row.facts.on, joined_on=row.facts.joined_on)
    found = next(one for one in tenant.rules(LoanRule, product=row.product, dates=dates) if one.rule.id == row.rule)
    count = row.request.instalments or found.rule.most_instalments
    case = LoanCase(on=today, joined_on=row.facts.joined_on, holdings=(), lender_percent=row.request.percent or None)
    loan = LoanRow(
        member_id=row.member_id,
        loan_id=row.claim_id,
        product=row.product,
        rule=row.rule,
        form=found.rule.form,
        state="running",
        principal=row.amount,
        owed=row.amount,
        percent=found.rule.percent or row.request.percent,
        lender=row.request.lender,
        instalments=count,
        began_on=today,
        joined_on=row.facts.joined_on,
        began_event=event_id,
    )
    await queries.add_loan(
        session,
        loan,
        loan_schedule(found, row.amount, count, case),
        default_months=found.rule.default_after_months,
    )


async def reinstate(session: AsyncSession, member_id: int, event_id: int) -> tuple[list[Move], list[LoanRow]]:
    """Return what gives back loans that a death's claim set off by an event, and those loans as they stand then."""
    ended = [one for one in await queries.ended_by(session, member_id, event_id) if not one.lender]
    if not ended:
        return [], []
    chart = await ledger.accounts_by_code(session)
    moved = (await ledger.transfers_of(session, [(member_id, event_id)]))[event_id]
    moves = [(minor, chart[credit], chart[debit]) for minor, debit, credit in moved if chart[debit].kind == "lent"]
    return moves, [replace(one, state="running", ended_event=0) for one in ended]
