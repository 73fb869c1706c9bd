"""Putting a member's units up for sale, withdrawing them before the cut-off, and telling how far a sale has come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from sqlalchemy.ext.asyncio import AsyncSession

from engine.funds.errors import NoDealingRule, NotEnoughUnits, SaleOrdered, UnknownFund, UnknownSale
from engine.funds.queries import dealings as dealing_queries
from engine.funds.queries import sales as queries
from engine.funds.queries.sales import UnsettledSale
from engine.funds.rules import DealingRule, dealing_day
from engine.kernel.clock import business_date
from engine.kernel.ids import claim_digest, house_member
from engine.kernel.prices import value_of
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Outcome, Transfer
from engine.tenancy.service import Tenant, trace

SWITCH = "switch"
"""The party of accounts in which what a switch sells is kept apart."""


@dataclass(frozen=True, slots=True)
class Units:
    """Units of one pot, origin and fund, in the fund's smallest units; None stands for all that are held."""

    pot: str
    origin: str
    fund: str
    units: int | None = None


@dataclass(frozen=True, slots=True)
class Sale:
    """Units of a member that were put up for sale: the event, and how many of which account."""

    member_id: int
    event_id: int
    parts: tuple[Units, ...]


class SaleState(StrEnum):
    """How far a sale has come; derived, never stored. Of a sale of several funds the slowest counts."""

    WAITING = "waiting"
    """It is in an open dealing and may be withdrawn."""
    ORDERED = "ordered"
    PRICED = "priced"
    """What it brought is payable to the member, and due from the manager."""
    SETTLED = "settled"
    """The manager's money has come."""


@dataclass(frozen=True, slots=True)
class SaleProgress:
    """How far a sale has come, and what its priced parts brought by (pot, origin), in smallest units of money."""

    state: SaleState
    proceeds: Mapping[tuple[str, str], int]
    priced_on: date | None


async def sell(
    session: AsyncSession,
    tenant: Tenant,
    member_id: int,
    product: str,
    wanted: Sequence[Units],
    *,
    day: date,
    actor: str,
    reference: str,
    party: str = "",
) -> Sale:
    """Put units of a member into the product's open dealing, in the caller's transaction.

    The units leave what the member holds at once, so that no one can sell or move them twice. At the cut-off they
    are ordered; sold at the first accepted price after it, they become payable to the member: floor(units × price)
    for each part, in smallest units of money. What rounding leaves of the order goes where the dealing rule says.

    Args:
        session: of the application's or the jobs role; the dealing stays open until it ends.
        tenant: whose scheme.
        member_id: whose units.
        product: of which product.
        wanted: what to sell; accounts that hold nothing are left out where all is wanted. Each account once.
        day: the business day of the event; the clock alone says which dealing takes it.
        actor: who sells.
        reference: the caller's own name for this sale. A second call with it sells nothing and returns the first's.
        party: what it brings goes to the `payable` account of this party; to the member's own if empty.

    Raises:
        NotEnoughUnits: fewer units are held than wanted, or none at all.
        UnknownFund: the scheme never dealt in a fund.
        NoDealingRule: no rule says when the product's dealing closes.
    """
    assert wanted, reference
    claim = claim_digest(tenant.tenant_id, "sale", reference)
    numbers = await queries.fund_numbers(session, sorted({one.fund for one in wanted}))
    for one in wanted:
        if one.fund not in numbers:
            raise UnknownFund(fund=one.fund)
    accounts = [(one, *_accounts(product, one, party)) for one in wanted]
    codes = await ledger.account_codes(session, {account for _, *pair in accounts for account in pair})
    held = await ledger.hold_balances(session, member_id, [codes[units] for _, units, _ in accounts])
    # Asked once nobody else can sell these units: a first call that ran beside this one has ended.
    earlier = await queries.claimed_sale(session, claim)
    if earlier is not None:
        return await _sale_of(session, member_id, earlier)
    parts = [
        (replace(one, units=held.get(codes[units], 0) if one.units is None else one.units), units, selling)
        for one, units, selling in accounts
    ]
    parts = [part for part in parts if part[0].units]
    if not parts:
        raise NotEnoughUnits(fund=wanted[0].fund)
    now = await ledger.scheme_now(session)
    into = await open_for_sale(session, tenant, product, day)
    rows = [(one.units or 0, codes[selling], numbers[one.fund]) for one, _, selling in parts]
    (posted,) = await ledger.post(
        session,
        [
            Entry(
                member_id=member_id,
                kind=EventKind.UNITS_PUT_UP,
                business_date=day,
                actor=await ledger.actor_id(session, actor),
                pack=tenant.pack_id,
                decision=await ledger.decision_id(session, trace(product, [into.rule])),
                body={
                    "product": product,
                    "parts": [
                        {"pot": one.pot, "origin": one.origin, "fund": one.fund, "units": str(one.units)}
                        for one, _, _ in parts
                    ],
                },
                claims=(claim,),
                transfers=[Transfer(one.units or 0, codes[units], codes[selling]) for one, units, selling in parts],
            )
        ],
        recorded_at=now,
    )
    if posted.outcome == Outcome.CLAIMED:
        return await _sale_of(session, member_id, posted.event_id)
    if posted.outcome == Outcome.OVERDRAWN:
        raise NotEnoughUnits(fund=next(one.fund for one, units, _ in parts if codes[units] == posted.code))
    await queries.add_sales(
        session, rows, member_id=member_id, event_id=posted.event_id, dealing_id=into.dealing_id, asked_on=into.asked_on
    )
    return Sale(member_id, posted.event_id, tuple(one for one, _, _ in parts))


@dataclass(frozen=True, slots=True)
class OpenForSale:
    """The open dealing that takes units put up now, the day they count for, and the rule that says so."""

    dealing_id: int
    asked_on: date
    rule: str


async def open_for_sale(session: AsyncSession, tenant: Tenant, product: str, day: date) -> OpenForSale:
    """Return the product's open dealing, which stays open until the session ends.

    Raises:
        NoDealingRule: no rule says when the product's dealing closes.
    """
    rule = tenant.rule(DealingRule, product=product, dates=Dates(on=day))
    if rule is None:
        raise NoDealingRule(product=product, day=day.isoformat())
    asked_on = dealing_day(await ledger.scheme_now(session), tenant.pack.time_zone, rule.rule.cut_off)
    return OpenForSale(await dealing_queries.open_dealing(session, product, asked_on), asked_on, rule.ref)


async def put_up_gathered(session: AsyncSession, into: OpenForSale, event_id: int) -> None:
    """Put units of many members into an open dealing by one event, whose writing is the caller's.

    They stand in the transaction's table `units_put_up`, as `engine.funds.queries.sales` wants it, and are sold as those of
    `sell`; whose `selling` account has a party gets what they bring in the `payable` account of that party.
    """
    await queries.put_up_gathered(session, event_id=event_id, dealing_id=into.dealing_id, asked_on=into.asked_on)


async def fund_numbers(session: AsyncSession, funds: Sequence[str]) -> Mapping[str, int]:
    """Return the number of each fund by its code; funds that were never dealt in are left out."""
    return await queries.fund_numbers(session, funds)


async def held_of(session: AsyncSession, member_id: int, product: str, wanted: Sequence[Units]) -> tuple[Units, ...]:
    """Return what of the wanted units the member holds; nobody else can move them until the session ends."""
    accounts = [(one, _accounts(product, one)[0]) for one in wanted]
    codes = await ledger.account_codes(session, [account for _, account in accounts])
    held = await ledger.hold_balances(session, member_id, list(codes.values()))
    found = []
    for one, account in accounts:
        units = held.get(codes[account], 0)
        found.append(replace(one, units=units if one.units is None else min(one.units, units)))
    return tuple(found)


async def withdraw_sale(
    session: AsyncSession, tenant: Tenant, member_id: int, event_id: int, *, day: date, actor: str
) -> None:
    """Give back units that were put up, before the cut-off; needs the jobs role.

    Raises:
        UnknownSale: the member has no such sale, or it was withdrawn before.
        SaleOrdered: its dealing is closed.
    """
    state = await queries.hold_dealing_of(session, member_id, event_id)
    if state is None:
        raise UnknownSale
    if state != "open":
        raise SaleOrdered
    removed = await queries.remove_sale(session, member_id, event_id)
    if not removed:
        raise UnknownSale
    chart = await ledger.accounts_by_code(session)
    own = {code: replace(chart[code], kind="units", party="") for _, code in removed}
    codes = await ledger.account_codes(session, own.values())
    await ledger.post(
        session,
        [
            Entry(
                member_id=member_id,
                kind=EventKind.SALE_WITHDRAWN,
                business_date=day,
                actor=await ledger.actor_id(session, actor),
                pack=tenant.pack_id,
                body={"sale": str(event_id)},
                transfers=[Transfer(units, code, codes[own[code]]) for units, code in removed],
            )
        ],
    )


async def sale_progress(session: AsyncSession, tenant: Tenant, member_id: int, event_id: int) -> SaleProgress | None:
    """Return how far a sale has come; None if the member has no such sale, or withdrew it."""
    parts = await queries.sale_parts(session, member_id, event_id)
    if not parts:
        return None
    proceeds: dict[tuple[str, str], int] = {}
    for part in parts:
        if part.is_sold:
            assert part.price is not None, part
            worth = value_of(part.units, amount_scale=tenant.asset.scale, price=part.price, unit_scale=part.unit_scale)
            proceeds[part.pot, part.origin] = proceeds.get((part.pot, part.origin), 0) + worth
    if not all(part.is_ordered for part in parts):
        state = SaleState.WAITING
    elif not all(part.is_sold for part in parts):
        state = SaleState.ORDERED
    else:
        state = SaleState.SETTLED if all(part.is_settled for part in parts) else SaleState.PRICED
    priced_on = [part.price_on for part in parts if part.is_sold and part.price_on is not None]
    return SaleProgress(state, proceeds, max(priced_on) if len(priced_on) == len(parts) else None)


@dataclass(frozen=True, slots=True)
class Proceeds:
    """Money of an order that sold units, come into the collection account of a channel on a day."""

    order: UnsettledSale
    channel: str
    value_date: date


async def unsettled_sales(session: AsyncSession) -> list[UnsettledSale]:
    """Return the orders whose units are sold and whose money has not come, the oldest first."""
    return await queries.unsettled_orders(session)


async def settle_sales(session: AsyncSession, tenant: Tenant, come: Sequence[Proceeds], *, actor: str) -> list[int]:
    """Book the money of orders and of income that has come, each whole and once; return the events. It is booked as of the day it came.

    Members get their income by `carry_on_actions`.
    """
    money = tenant.asset.symbol
    pairs = [
        (
            Account("collections", money, party=one.channel),
            Account(
                "income-due" if one.order.action else "proceeds-due", money, one.order.product, fund=one.order.fund
            ),
        )
        for one in come
    ]
    codes = await ledger.account_codes(session, {account for pair in pairs for account in pair})
    actor_id = await ledger.actor_id(session, actor)
    now = await ledger.scheme_now(session)
    today = business_date(now, tenant.pack.time_zone)
    posted = await ledger.post(
        session,
        [
            Entry(
                member_id=house_member(tenant.tenant_id),
                kind=EventKind.PROCEEDS_RECEIVED,
                business_date=min(one.value_date, today),
                actor=actor_id,
                pack=tenant.pack_id,
                body={
                    **({"action": one.order.action} if one.order.action else {"dealing": one.order.dealing_id}),
                    "product": one.order.product,
                    "fund": one.order.fund,
                    "reference": one.order.reference,
                    "channel": one.channel,
                    "amount": str(one.order.amount),
                },
                claims=(claim_digest(tenant.tenant_id, "proceeds", one.order.reference),),
                transfers=[Transfer(one.order.amount, codes[collected], codes[due])],
            )
            for one, (collected, due) in zip(come, pairs, strict=True)
        ],
        recorded_at=now,
    )
    assert all(fate.outcome == Outcome.POSTED for fate in posted), "an order's money was booked before"
    events = [fate.event_id for fate in posted]
    await queries.settle_orders(
        session,
        [(one.order.dealing_id, one.order.fund_id, event) for one, event in zip(come, events, strict=True)],
    )
    income = [(one.order.action, event) for one, event in zip(come, events, strict=True) if one.order.action]
    if income:
        await queries.settle_income(session, income)
    return events


def _accounts(product: str, one: Units, party: str = "") -> tuple[Account, Account]:
    return (
        Account("units", one.fund, product, one.pot, one.origin, one.fund),
        Account("selling", one.fund, product, one.pot, one.origin, one.fund, party),
    )


async def _sale_of(session: AsyncSession, member_id: int, event_id: int) -> Sale:
    event = (await ledger.stored_events(session, [(member_id, event_id)]))[event_id]
    assert event.member_id == member_id, "a reference names one member's sale"
    parts = event.body["parts"]
    assert isinstance(parts, list), event
    return Sale(
        member_id,
        event_id,
        tuple(Units(one["pot"], one["origin"], one["fund"], int(one["units"])) for one in parts),
    )
