"""A death that is taken back: its claims are closed, what was not paid is the member's again, what was paid is owed back."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.queries import claiming as claims
from engine.benefits.queries import estates as queries
from engine.benefits.queries import lending as lending_queries
from engine.benefits.queries.claiming import ClaimRow
from engine.benefits.queries.estates import Inheritance
from engine.benefits.rules.estates import Split
from engine.benefits.service import keeping, lending
from engine.benefits.service.inheriting import as_parts, by_place, less, post
from engine.enrolment import service as enrolment
from engine.funds import service as funds
from engine.funds.rules import FundsRule
from engine.identity import service as identity
from engine.kernel.clock import business_date
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Account, EventKind
from engine.tenancy.service import Tenant

Move = tuple[int, Account, Account]
OWED_BACK = "heirs"
"""The party of the receivable of what heirs were paid of a member who lives; `inheritances` say who owes how much."""


async def close_claim(session: AsyncSession, tenant: Tenant, claim_id: int, *, actor: str) -> bool:
    """Close the claim of a death that is taken back, once; return whether it could be.

    A claim that is not approved moves nothing. Of one that was shared out, all that is not paid goes back to where it came from:
    to the member's cash, with tax and what was forfeited, or to what was payable to them. What heirs were paid is the
    member's again too, and the scheme's receivable from those heirs: Dr overpayment-receivable / Cr member cash, in an event of its own. Units are
    not bought back: where the product is in funds, what was not paid goes into the next dealing, and the rest once it is
    recovered. While units are sold, or a payout is on its way, the claim waits.
    """
    row = await claims.find_claim(session, claim_id, hold=True)
    if (
        row is None
        or row.estate is None
        or row.closed_event
        or row.state not in ("open", "decided", "continued", "payable")
    ):
        return False
    if await enrolment.known_death(session, row.member_id) is not None:
        return False
    given = await queries.inheritances_of(session, row.member_id, row.claim_id)
    if any(one.in_transit for one in given.values()):
        return False
    back = _back_moves(tenant, row, list(given.values())) if row.state == "payable" else []
    owed = [move for move in back if move[1] == _receivable(tenant, row)]
    moves = [move for move in back if move[1] != _receivable(tenant, row)]
    body = {"was": row.state, "paid": str(sum(one.paid for one in given.values()))}
    event = await post(
        session, tenant, row, EventKind.DEATH_CLAIM_CLOSED, moves, actor=actor, body=body, once=("closed", "")
    )
    again, reinstated = await lending.reinstate(session, row.member_id, row.payable_event)
    if again:
        await post(session, tenant, row, EventKind.LOAN_REINSTATED, again, actor=actor, body={}, once=("loans", ""))
        for loan in reinstated:
            await lending_queries.save_loan(session, loan)
    if owed:
        await post(
            session, tenant, row, EventKind.DEATH_CLAIM_CLOSED, owed, actor=actor, body=body, once=("owed-back", "")
        )
    kept = await keeping.give_kept_back(session, tenant, row, actor)
    for one in given.values():
        await queries.save_inheritance(session, row.member_id, row.claim_id, _owed_back(one))
    state = row.state if row.state == "payable" else "withdrawn"
    await claims.save_claim(session, replace(row, state=state, closed_event=event))
    await _invest(session, tenant, row, event)
    if kept:
        await _invest(session, tenant, row, kept)
    return True


async def take_home(session: AsyncSession, tenant: Tenant, claim_id: int, *, actor: str) -> bool:
    """Let what came home of an heir's payout, after the claim was closed, make up for what they owe; return whether any did."""
    row = await claims.find_claim(session, claim_id, hold=True)
    if row is None or not row.closed_event:
        return False
    given = await queries.inheritances_of(session, row.member_id, row.claim_id)
    home = [one for one in given.values() if one.overpaid > one.paid]
    for one in home:
        moves = [
            (minor, _account(tenant, row, "heirs", place), _receivable(tenant, row))
            for place, minor in less(one.parts, one.paid_parts).items()
        ]
        body = {"heir": str(one.heir_no), "amount": str(one.overpaid - one.paid)}
        await post(
            session, tenant, row, EventKind.DEATH_CLAIM_CLOSED, moves, actor=actor, body=body,
            once=("taken-home", f"/{one.heir_no}/{one.paid}"),
        )  # fmt: skip
        await queries.save_inheritance(session, row.member_id, row.claim_id, _owed_back(one))
    return bool(home)


def _owed_back(given: Inheritance) -> Inheritance:
    """Return an inheritance of a member who lives: what was paid of it, all of it owed back."""
    return replace(moved_anew(given, {}), overpaid=given.paid)


def _back_moves(tenant: Tenant, row: ClaimRow, given: Sequence[Inheritance]) -> list[Move]:
    """Return all that goes back of a claim: from heirs, trust, whoever was paid, tax, and whoever got what was forfeited."""
    assert row.facts is not None, row
    sources: dict[tuple[str, str], list[tuple[int, Account]]] = {}
    for one in given:
        ready = one.released_parts if one.is_trust else one.parts
        trust = less(one.parts, one.released_parts) if one.is_trust else {}
        for kind, left in (("heirs", less(ready, one.paid_parts)), ("minors-trust", trust)):
            for place, minor in left.items():
                sources.setdefault(place, []).append((minor, _account(tenant, row, kind, place)))
    for place, minor in by_place([part for one in given for part in one.paid_parts]).items():
        sources.setdefault(place, []).append((minor, _receivable(tenant, row)))
    sinks = _sinks(tenant, row, given)
    moves: list[Move] = []
    for place, found in sorted(sources.items()):
        moves.extend(_flow(found, sinks.get(place, []), _account(tenant, row, "cash", place)))
    taxed, added = row.tax, row.top_up
    withheld = Account("tax-withheld", tenant.asset.symbol, row.product)
    forfeited = Account("forfeitures", tenant.asset.symbol, row.product, party=row.facts.forfeited_to)
    for part in row.parts:
        cash = _account(tenant, row, "cash", (part.pot, part.origin))
        if part.is_forfeited:
            moves.append((part.minor, forfeited, cash))
        else:
            here = min(taxed, part.minor + added)
            moves.append((here, withheld, cash))
            taxed, added = taxed - here, 0
    return [move for move in moves if move[0]]


def _sinks(
    tenant: Tenant, row: ClaimRow, given: Sequence[Inheritance]
) -> Mapping[tuple[str, str], list[tuple[int, Account]]]:
    """Return what of the money is not the member's cash: what had been payable, a trust's interest, what somebody added."""
    assert row.estate is not None, row
    assert row.facts is not None, row
    money = tenant.asset.symbol
    found: dict[tuple[str, str], list[tuple[int, Account]]] = {}
    for one in row.estate.waiting:
        place = (one.pot, one.origin)
        found.setdefault(place, []).append((one.minor, _account(tenant, row, "payable", place)))
    for each in given:
        if each.earned:
            found.setdefault(min(by_place(each.parts)), []).append(
                (each.earned, Account("interest-reserve", money, row.product))
            )
    if row.top_up:
        first = next(part for part in row.parts if not part.is_forfeited)
        added = Account("guarantee-receivable", money, row.product, party=row.facts.topped_up_by)
        pool, pooled = Account("pension-pool", money, row.product, party=row.facts.pool_role), row.facts.from_pool
        sinks = found.setdefault((first.pot, first.origin), [])
        sinks.extend(one for one in ((pooled, pool), (row.top_up - pooled, added)) if one[0])
    return found


def _flow(sources: Sequence[tuple[int, Account]], sinks: Sequence[tuple[int, Account]], rest: Account) -> list[Move]:
    """Return the moves that fill sinks in their order as far as sources last, and give the rest to one account."""
    moves: list[Move] = []
    open_sinks = list(sinks)
    for minor, source in sources:
        left = minor
        while left:
            wanted, sink = open_sinks[0] if open_sinks else (left, rest)
            here = min(left, wanted)
            moves.append((here, source, sink))
            left -= here
            if open_sinks:
                open_sinks[0:1] = [(wanted - here, sink)] if wanted > here else []
    return moves


async def _invest(session: AsyncSession, tenant: Tenant, row: ClaimRow, event: int) -> None:
    """Put what went back to the member's cash into the open dealing, where the product is in funds and its units were sold."""
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    members = await identity.members_by_id(session, [row.member_id])
    if row.state != "payable" or not row.sale_event or row.member_id not in members:
        return
    joined_on = members[row.member_id].joined_on
    if tenant.rule(FundsRule, product=row.product, dates=Dates(on=today, joined_on=joined_on)) is None:
        return
    collected = await queries.collected_by_sale(session, row.member_id, row.sale_event)
    if collected is not None:
        await funds.allocate(session, tenant, [funds.ReconciledReceipt(row.member_id, event, collected)])


def _account(tenant: Tenant, row: ClaimRow, kind: str, place: tuple[str, str]) -> Account:
    return Account(kind, tenant.asset.symbol, row.product, *place)


def _receivable(tenant: Tenant, row: ClaimRow) -> Account:
    return Account("overpayment-receivable", tenant.asset.symbol, row.product, party=OWED_BACK)


def moved_anew(given: Inheritance, due: Split) -> Inheritance:
    """Return an inheritance that is what was paid of it and what is due to its heir by new shares."""
    parts = as_parts(by_place((*given.paid_parts, *as_parts(due))))
    return replace(
        given,
        amount=sum(part.amount for part in parts),
        parts=parts,
        released=given.paid if given.is_trust else 0,
        released_parts=given.paid_parts if given.is_trust else (),
    )
