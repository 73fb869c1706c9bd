"""A dealing day: the cut-off closes the dealing, orders take prices, units are sold and allotted. It can stop and go on."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncSession

from engine.funds.errors import DayNotReached, NoDealingRule
from engine.funds.queries import confirming
from engine.funds.queries import dealings as queries
from engine.funds.queries import prices as price_queries
from engine.funds.queries import sales as sale_queries
from engine.funds.queries.dealings import AllotmentCodes, Offer, OpenDealing, Order, Range
from engine.funds.queries.sales import SaleCodes, SaleOrder
from engine.funds.rules import Conversion, DealingRule, Pricing, UnitPricingRule, cut_off_instant
from engine.kernel.clock import business_date
from engine.kernel.fund_orders import OrderSide
from engine.kernel.ids import house_member
from engine.kernel.prices import Price, units_for, value_of
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Transfer
from engine.runtime.database import Database, Role, retry_transaction
from engine.runtime.jobs import promise
from engine.runtime.logging import get_logger
from engine.tenancy.service import Tenant, trace

SESSIONS = 2
NO_PRICE, PRICE_HELD, KNOWN_TOO_EARLY = "no-price", "price-held", "price-known-before-cut-off"
CONFIRMED_TOO_FEW, IN_PROGRESS = "confirmed-too-few", "in-progress"
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OrderReport:
    """An order that was not finished before this run. Amount, price and units in major units, as decimal strings.

    `taken_from` says what of the amount leaves which collection account; the bank is told `reference` with it.
    `waiting` says why it is not priced now: "no-price", "price-known-before-cut-off", "price-held", "confirmed-too-few",
    "in-progress"; "" if it is.
    `days_without_price` are business days after its cut-off that its fund published no price for.
    """

    dealing: int
    product: str
    fund: str
    reference: str
    cut_off_on: date
    amount: str
    taken_from: Mapping[str, str]
    waiting: str
    price_on: date | None = None
    price: str | None = None
    members: int = 0
    units: str | None = None
    residue: str | None = None
    days_without_price: tuple[date, ...] = ()


@dataclass(frozen=True, slots=True)
class SaleReport:
    """An order that sells units and was not finished before this run. Fields as of `OrderReport`, money and units changed.

    `amount` is what the members get, `residue` what the manager pays beyond it. `confirmed` is what is to come in by
    `reference`.
    """

    dealing: int
    product: str
    fund: str
    reference: str
    cut_off_on: date
    units: str
    waiting: str
    price_on: date | None = None
    price: str | None = None
    members: int = 0
    amount: str | None = None
    residue: str | None = None
    confirmed: str | None = None


@dataclass(frozen=True, slots=True)
class WaitingCash:
    """An open dealing that was not closed: "later-cash" came after the day, "cut-off-before": the day was dealt already."""

    product: str
    opened_on: date
    reason: str


@dataclass(frozen=True, slots=True)
class DealingReport:
    """What a run of a dealing day did, and what still waits. Orders that were finished before are not in it."""

    day: date
    closed: tuple[int, ...]
    orders: tuple[OrderReport, ...]
    not_closed: tuple[WaitingCash, ...]
    sales: tuple[SaleReport, ...] = ()

    def lines(self) -> list[str]:
        """Return the report in sentences, for the command line."""
        found = [f"{self.day}: {len(self.closed)} dealings closed, {len(self.orders)} orders to price"]
        for sale in self.sales:
            head = (
                f"  dealing {sale.dealing}, {sale.fund}, {sale.units} units sold at the cut-off of {sale.cut_off_on}: "
            )
            found.append(
                f"{head}waits ({sale.waiting})"
                if sale.waiting
                else f"{head}{sale.amount} for {sale.members} members at {sale.price} of {sale.price_on}, residue {sale.residue}"
            )
        for order in self.orders:
            head = f"  dealing {order.dealing}, {order.fund}, {order.amount} of the cut-off of {order.cut_off_on}: "
            if order.waiting:
                found.append(f"{head}waits ({order.waiting})")
            else:
                found.append(
                    f"{head}{order.units} units for {order.members} members at {order.price} of {order.price_on}, "
                    f"residue {order.residue}"
                )
            if order.days_without_price:
                found.append(f"    no price on {', '.join(day.isoformat() for day in order.days_without_price)}")
        found.extend(f"  {one.product}: cash since {one.opened_on} waits ({one.reason})" for one in self.not_closed)
        return found


async def run_dealing(
    db: Database,
    tenant: Tenant,
    day: date,
    actor: str,
    *,
    sessions: int = SESSIONS,
    progress: Callable[[int], None] = lambda _members: None,
) -> DealingReport:
    """Close the dealings of `day`, then sell and allot every order for which a price has come.

    The cut-off takes what was reconciled or put up for sale up to `day`; what came later goes on to the next dealing.
    Units are sold before others are bought. Each order takes the
    accepted price of its fund that the pricing rule of its cut-off's day says, dated up to `day` and, priced forward, come
    after the cut-off; it waits while one that would come before it waits for a second person. Running it again for the day does nothing new; it may be stopped anywhere, and run twice at once.

    Args:
        db: the database; every step is a transaction of its own.
        tenant: whose dealing it is.
        day: the day; not after the scheme's today.
        actor: who runs it.
        sessions: how many ranges are allotted at a time; >= 1.
        progress: told the members of each range that was allotted.

    Raises:
        DayNotReached: the day has not come.
    """
    await _check_day(db, tenant, day)
    closed, not_closed = await _close(db, tenant, day, actor)
    sales, orders = await price_orders(db, tenant, day, actor, sessions=sessions, progress=progress)
    return DealingReport(day, closed, orders, not_closed, sales)


async def price_orders(
    db: Database,
    tenant: Tenant,
    day: date,
    actor: str,
    *,
    sessions: int = SESSIONS,
    progress: Callable[[int], None] = lambda _members: None,
) -> tuple[tuple[SaleReport, ...], tuple[OrderReport, ...]]:
    """Sell, then allot, every placed order that can take a price dated up to `day`. As `run_dealing`, without closing."""
    await _check_day(db, tenant, day)
    run = _Run(db, tenant, day, actor, sessions, progress)
    async with db.unit_of_work(tenant.tenant_id) as session:
        selling = await sale_queries.placed_orders(session)
        placed = await queries.placed_orders(session)
    sold = tuple([await _Selling(run, order).run() for order in selling])
    return sold, tuple([await _Allotment(run, order).run() for order in placed])


async def _check_day(db: Database, tenant: Tenant, day: date) -> None:
    async with db.unit_of_work(tenant.tenant_id) as session:
        today = business_date(await ledger.scheme_now(session), tenant.pack.time_zone)
    if day > today:
        raise DayNotReached(field="date", day=day.isoformat(), today=today.isoformat())


async def _close(
    db: Database, tenant: Tenant, day: date, actor: str
) -> tuple[tuple[int, ...], tuple[WaitingCash, ...]]:
    async def once() -> tuple[tuple[int, ...], tuple[WaitingCash, ...]]:
        closed, waiting = [], []
        async with db.unit_of_work(tenant.tenant_id, role=Role.JOBS) as session:
            for dealing in await queries.hold_open_dealings(session):
                if dealing.opened_on > day:
                    waiting.append(WaitingCash(dealing.product, dealing.opened_on, "later-cash"))
                elif await queries.is_cut_off(session, dealing.product, day):
                    waiting.append(WaitingCash(dealing.product, dealing.opened_on, "cut-off-before"))
                else:
                    cash = await queries.gathered(session, dealing.dealing_id, day)
                    units = await sale_queries.put_up(session, dealing.dealing_id, day)
                    if cash or units:
                        await _place_orders(session, tenant, dealing, day, cash, units, actor)
                        closed.append(dealing.dealing_id)
        return tuple(closed), tuple(waiting)

    return await retry_transaction(once)


async def _place_orders(
    session: AsyncSession,
    tenant: Tenant,
    dealing: OpenDealing,
    day: date,
    cash: Mapping[tuple[int, str], Mapping[int, int]],
    units: Mapping[tuple[int, str], int],
    actor: str,
) -> None:
    money = tenant.asset
    dealt_by = _dealt_by(tenant, dealing.product, day)
    transit = {fund: Account("orders-in-transit", money.symbol, dealing.product, fund=fund) for _, fund in cash}
    codes = await ledger.account_codes(session, transit.values())
    actor_id = await ledger.actor_id(session, actor)
    decision = await ledger.decision_id(session, trace(dealing.product, dealt_by.rules))

    def entry(kind: EventKind, body: Mapping[str, object], transfers: Sequence[Transfer] = ()) -> Entry:
        facts = {"dealing": dealing.dealing_id, "product": dealing.product, "cut_off_on": day.isoformat()}
        return Entry(
            member_id=house_member(tenant.tenant_id),
            kind=kind,
            business_date=day,
            actor=actor_id,
            pack=tenant.pack_id,
            decision=decision,
            body={**facts, **body},
            transfers=transfers,
        )

    amounts = {fund: sum(parts.values()) for (_, fund), parts in cash.items()}
    references = {fund: f"{tenant.code}-{dealing.dealing_id}-{fund}" for fund in amounts}
    # A dealing's number is all digits, so no fund's code makes one of these out of one of those.
    sale_references = {fund: f"{tenant.code}-{dealing.dealing_id}S-{fund}" for _, fund in units}
    first, *placed = await ledger.post(
        session,
        [
            entry(
                EventKind.DEALING_CLOSED,
                {"amount": str(sum(amounts.values())), "orders": len(cash), "sales": len(units)},
            ),
            *(
                entry(
                    EventKind.SALE_ORDERED,
                    {"fund": fund, "units": str(count), "reference": sale_references[fund]},
                )
                for (_, fund), count in units.items()
            ),
            *(
                entry(
                    EventKind.ORDER_PLACED,
                    {"fund": fund, "amount": str(amounts[fund]), "reference": references[fund]},
                    [Transfer(part, codes[transit[fund]], collected) for collected, part in sorted(parts.items())],
                )
                for (_, fund), parts in cash.items()
            ),
        ],
    )
    await queries.close_dealing(
        session, dealing, day, event_id=first.event_id, pricing=dealt_by.pricing, cut_off_at=dealt_by.cut_off_at
    )
    selling, buying = placed[: len(units)], placed[len(units) :]
    if units:
        await sale_queries.add_orders(
            session,
            dealing.dealing_id,
            [
                (fund_id, count, sale_references[fund], fate.event_id)
                for ((fund_id, fund), count), fate in zip(units.items(), selling, strict=True)
            ],
        )
    if cash:
        await queries.add_orders(
            session,
            dealing.dealing_id,
            [
                (fund_id, amounts[fund], references[fund], fate.event_id)
                for (fund_id, fund), fate in zip(cash, buying, strict=True)
            ],
        )


@dataclass(frozen=True, slots=True)
class _DealtBy:
    """The rules by which a product's dealing of a day goes."""

    residue_to: str
    pricing: Pricing
    cut_off_at: datetime
    rules: tuple[str, ...]


def _dealt_by(tenant: Tenant, product: str, day: date) -> _DealtBy:
    found = tenant.rule(DealingRule, product=product, dates=Dates(on=day))
    if found is None:
        raise NoDealingRule(product=product, day=day.isoformat())
    priced = tenant.rule(UnitPricingRule, product=product, dates=Dates(on=day))
    return _DealtBy(
        residue_to=found.rule.residue_to,
        pricing=Pricing.of(None if priced is None else priced.rule),
        cut_off_at=cut_off_instant(day, tenant.pack.time_zone, found.rule.cut_off),
        rules=(found.ref,) if priced is None else (found.ref, priced.ref),
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """A run over the placed orders: of whose, up to which day, by whom, how many ranges at a time."""

    db: Database
    tenant: Tenant
    day: date
    actor: str
    sessions: int
    progress: Callable[[int], None]

    def __post_init__(self) -> None:
        assert self.sessions >= 1, self.sessions

    async def over(self, ranges: Sequence[Range], once: Callable[[Range], Awaitable[int]]) -> None:
        """Do each range that is not done, `sessions` at a time; `once` returns its event, or 0 if another did it."""
        left = iter([one for one in ranges if not one.is_done])

        async def work(numbers: Iterator[Range]) -> None:
            for one in numbers:
                if await retry_transaction(lambda one=one: once(one)):  # type: ignore[misc]
                    self.progress(one.members)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.sessions):
                    group.create_task(work(left))
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None  # one failure stops the others, and tells the story

    async def offer(self, session: AsyncSession, order: Order | SaleOrder) -> Offer:
        return await queries.offered_price(session, order.dealing_id, order.fund_id, until=self.day)

    async def stated(
        self, session: AsyncSession, order: Order | SaleOrder, side: OrderSide, offer: Offer
    ) -> tuple[Decimal, int] | None:
        """Return the units and the money that the order's manager said it dealt at the price on offer, if it did."""
        assert offer.price_on is not None, offer
        assert offer.price is not None, offer
        return await confirming.stated(
            session, side, order.dealing_id, order.fund_id, price_on=offer.price_on, price=offer.price.decimal()
        )

    def body(self, order: Order | SaleOrder, **facts: object) -> dict[str, object]:
        assert order.price is not None, order
        assert order.price_on is not None, order
        return {
            "dealing": order.dealing_id,
            "product": order.product,
            "fund": order.fund,
            "price": _fixed(order.price.digits, order.price.scale),
            "price_on": order.price_on.isoformat(),
            **facts,
        }


def _why_waiting(offer: Offer) -> str:
    """Return why an order cannot take a price of the offer, "" if it can."""
    if offer.held_on is not None:
        return PRICE_HELD
    if offer.price_on is not None:
        return ""
    return KNOWN_TOO_EARLY if offer.is_known_early else NO_PRICE


@dataclass(frozen=True, slots=True)
class _Plan:
    """An order that has taken its price, and what allotting it needs."""

    order: Order
    price: Price
    price_on: date
    conversion: Conversion
    codes: AllotmentCodes
    actor: int
    decision: int
    ranges: Sequence[Range]


class _Allotment:
    """The way of one order from its price to its members' units, each step a transaction that can be done again."""

    def __init__(self, run: _Run, order: Order) -> None:
        self._run, self._order = run, order
        self._db, self._tenant, self._day, self._actor = run.db, run.tenant, run.day, run.actor
        self._money = run.tenant.asset

    async def run(self) -> OrderReport:
        """Go as far as prices allow; return how far that is."""
        waiting = await retry_transaction(self._take_price)
        if waiting:
            return await self._report(waiting)
        plan = await retry_transaction(self._plan)
        await self._run.over(plan.ranges, lambda one: self._allot(plan, one))
        done = await retry_transaction(lambda: self._finish(plan))
        _log.info("order allotted" if done else "order in progress", tenant=self._tenant.code, count=len(plan.ranges))
        return await self._report("" if done else IN_PROGRESS)

    async def _take_price(self) -> str:
        """Fix the order's price and lay out its ranges; return why not, if it must wait."""
        async with self._db.unit_of_work(self._tenant.tenant_id) as session:
            await price_queries.hold_prices(session)
            order = await queries.hold_order(session, self._order)
            if order.price is not None:
                return ""
            offer = await self._run.offer(session, order)
            if offer.price_on is None or offer.price is None or _why_waiting(offer):
                return _why_waiting(offer)
            conversion = self._conversion(offer.price)
            due = await queries.units_due(session, order, conversion)
            confirmed = order.units_confirmed
            if confirmed is None:
                said = await self._run.stated(session, order, OrderSide.SUBSCRIBE, offer)
                units = 0 if said is None else int(said[0].scaleb(order.unit_scale))
                # A manager that has not said what it did confirms by the price it publishes.
                confirmed = (
                    units
                    if units >= max(due, 1)
                    else units_for(
                        order.amount,
                        amount_scale=self._money.scale,
                        price=offer.price,
                        unit_scale=order.unit_scale,
                    )
                )
            if due > confirmed:
                return CONFIRMED_TOO_FEW
            amount, due = await queries.plan_ranges(session, order, conversion)
            assert amount == order.amount, (order.reference, amount, order.amount)
            await queries.take_price(
                session, order, price_on=offer.price_on, price=offer.price, confirmed=confirmed, due=due
            )
            return ""

    async def _plan(self) -> _Plan:
        async with self._db.unit_of_work(self._tenant.tenant_id) as session:
            order = await queries.hold_order(session, self._order)
            assert order.price is not None, order
            assert order.price_on is not None, order
            cash = await queries.cash_codes(session, order)
            chart = await ledger.accounts_by_code(session)
            held = [
                Account("units", order.fund, own.product, own.pot, own.origin, order.fund)
                for own in (chart[code] for code in cash)
            ]
            transit = Account("orders-in-transit", self._money.symbol, order.product, fund=order.fund)
            issued = Account("units-issued", order.fund, fund=order.fund)
            codes = await ledger.account_codes(session, {transit, issued, *held})
            rules = _dealt_by(self._tenant, order.product, order.cut_off_on).rules
            return _Plan(
                order=order,
                price=order.price,
                price_on=order.price_on,
                conversion=self._conversion(order.price),
                codes=AllotmentCodes(codes[transit], codes[issued], cash, [codes[account] for account in held]),
                actor=await ledger.actor_id(session, self._actor),
                decision=await ledger.decision_id(session, trace(order.product, rules)),
                ranges=await queries.ranges(session, order),
            )

    def _conversion(self, price: Price) -> Conversion:
        return Conversion.at(price, amount_scale=self._money.scale, unit_scale=self._order.unit_scale)

    async def _allot(self, plan: _Plan, one: Range) -> int:
        facts = {"range": one.number, "members": one.members, "amount": str(one.amount), "units": str(one.units)}
        async with self._db.unit_of_work(self._tenant.tenant_id) as session:
            return await queries.allot_range(
                session,
                plan.order,
                one.number,
                conversion=plan.conversion,
                codes=plan.codes,
                business_date=plan.price_on,
                actor=plan.actor,
                pack=self._tenant.pack_id,
                decision=plan.decision,
                body=self._run.body(plan.order, **facts),
            )

    async def _finish(self, plan: _Plan) -> bool:
        """Book the residue and mark the order priced, once all ranges are done; return whether they are."""
        async with self._db.unit_of_work(self._tenant.tenant_id) as session:
            order = await queries.hold_order(session, plan.order)
            if order.state == "priced":
                return True
            done = await queries.ranges(session, order)
            if not all(one.is_done for one in done):
                return False
            assert order.units_confirmed is not None, order
            allotted = sum(one.units for one in done)
            assert allotted == order.units_due, (order.reference, allotted, order.units_due)
            residue = order.units_confirmed - allotted
            dealt_by = _dealt_by(self._tenant, order.product, order.cut_off_on)
            issued = Account("units-issued", order.fund, fund=order.fund)
            owed = Account("residue", order.fund, fund=order.fund, party=dealt_by.residue_to)
            codes = await ledger.account_codes(session, {issued, owed})
            (posted,) = await ledger.post(
                session,
                [
                    Entry(
                        member_id=house_member(self._tenant.tenant_id),
                        kind=EventKind.UNITS_ALLOTTED,
                        business_date=plan.price_on,
                        actor=plan.actor,
                        pack=self._tenant.pack_id,
                        decision=await ledger.decision_id(session, trace(plan.order.product, dealt_by.rules)),
                        body=self._run.body(
                            plan.order,
                            amount=str(order.amount),
                            confirmed=str(order.units_confirmed),
                            units=str(allotted),
                            residue=str(residue),
                            residue_to=dealt_by.residue_to,
                        ),
                        transfers=[Transfer(residue, codes[issued], codes[owed])] if residue else (),
                    )
                ],
            )
            await queries.finish_order(session, order, event_id=posted.event_id, residue=residue)
            await queries.finish_dealing(session, order.dealing_id)
            await promise(session, "contributions.carry_on_reversals", tenant_id=self._tenant.tenant_id)
            await promise(session, "funds.judge_confirmations", tenant_id=self._tenant.tenant_id)
            return True

    async def _report(self, waiting: str) -> OrderReport:
        async with self._db.unit_of_work(self._tenant.tenant_id) as session:
            order = await queries.hold_order(session, self._order)
            done = [one for one in await queries.ranges(session, order) if one.is_done]
            taken_from = await queries.taken_from(session, order)
            after = order.cut_off_on - timedelta(days=int(order.priced_by == "forward"))
            until = order.price_on - timedelta(days=1) if order.price_on else self._day
            priced = await price_queries.priced_days(session, order.fund_id, after=after, until=until)
        calendar = self._tenant.pack.business_calendar
        missing = [day for day in calendar.between(after, until) if day not in priced and order.priced_by != "historic"]
        allotted = sum(one.units for one in done)
        residue = None if order.state != "priced" or order.units_confirmed is None else order.units_confirmed - allotted
        return OrderReport(
            dealing=order.dealing_id,
            product=order.product,
            fund=order.fund,
            reference=order.reference,
            cut_off_on=order.cut_off_on,
            amount=_fixed(order.amount, self._money.scale),
            taken_from={account: _fixed(part, self._money.scale) for account, part in taken_from.items()},
            waiting=waiting,
            price_on=order.price_on,
            price=None if order.price is None else _fixed(order.price.digits, order.price.scale),
            members=sum(one.members for one in done),
            units=_fixed(allotted, order.unit_scale) if done else None,
            residue=None if residue is None else _fixed(residue, order.unit_scale),
            days_without_price=tuple(missing),
        )


@dataclass(frozen=True, slots=True)
class _SalePlan:
    """An order that sells and has taken its price, and what selling it needs."""

    order: SaleOrder
    price_on: date
    conversion: Conversion
    codes: SaleCodes
    actor: int
    decision: int
    ranges: Sequence[Range]


class _Selling:
    """The way of one order from its price to what is payable to its members, step by step as an allotment."""

    def __init__(self, run: _Run, order: SaleOrder) -> None:
        self._run, self._order = run, order
        self._db, self._tenant = run.db, run.tenant
        self._money = run.tenant.asset

    async def run(self) -> SaleReport:
        """Go as far as prices allow; return how far that is."""
        waiting = await retry_transaction(self._take_price)
        if waiting:
            return await self._report(waiting)
        plan = await retry_transaction(self._plan)
        await self._run.over(plan.ranges, lambda one: self._sell(plan, one))
        done = await retry_transaction(lambda: self._finish(plan))
        _log.info("units sold" if done else "sale in progress", tenant=self._tenant.code, count=len(plan.ranges))
        return await self._report("" if done else IN_PROGRESS)

    async def _take_price(self) -> str:
        """Fix the order's price and lay out its ranges; return why not, if it must wait."""
        async with self._db.unit_of_work(self._tenant.tenant_id) as session:
            await price_queries.hold_prices(session)
            order = await sale_queries.hold_order(session, self._order)
            if order.price is not None:
                return ""
            offer = await self._run.offer(session, order)
            if offer.price_on is None or offer.price is None or _why_waiting(offer):
                return _why_waiting(offer)
            conversion = self._conversion(offer.price)
            least = await sale_queries.amount_due(session, order, conversion)
            confirmed = order.amount_confirmed
            if confirmed is None:
                said = await self._run.stated(session, order, OrderSide.REDEEM, offer)
                amount = 0 if said is None else said[1]
                # A manager that has not said what it did pays by the price it publishes.
                confirmed = (
                    amount
                    if amount >= max(least, 1)
                    else value_of(
                        order.units, amount_scale=self._money.scale, price=offer.price, unit_scale=order.unit_scale
                    )
                )
            if least > confirmed:
                return CONFIRMED_TOO_FEW
            due, units = await sale_queries.plan_ranges(session, order, conversion)
            assert units == order.units, (order.reference, units, order.units)
            await sale_queries.take_price(
                session, order, price_on=offer.price_on, price=offer.price, confirmed=confirmed, due=due
            )
            return ""

    def _conversion(self, price: Price) -> Conversion:
        return Conversion.selling_at(price, amount_scale=self._money.scale, unit_scale=self._order.unit_scale)

    async def _plan(self) -> _SalePlan:
        async with self._db.unit_of_work(self._tenant.tenant_id) as session:
            order = await sale_queries.hold_order(session, self._order)
            assert order.price is not None, order
            assert order.price_on is not None, order
            selling = await sale_queries.selling_codes(session, order)
            chart = await ledger.accounts_by_code(session)
            payable = [
                Account("payable", self._money.symbol, own.product, own.pot, own.origin, party=own.party)
                for own in (chart[code] for code in selling)
            ]
            due = Account("proceeds-due", self._money.symbol, order.product, fund=order.fund)
            issued = Account("units-issued", order.fund, fund=order.fund)
            codes = await ledger.account_codes(session, {due, issued, *payable})
            rules = _dealt_by(self._tenant, order.product, order.cut_off_on).rules
            return _SalePlan(
                order=order,
                price_on=order.price_on,
                conversion=self._conversion(order.price),
                codes=SaleCodes(codes[due], codes[issued], selling, [codes[account] for account in payable]),
                actor=await ledger.actor_id(session, self._run.actor),
                decision=await ledger.decision_id(session, trace(order.product, rules)),
                ranges=await sale_queries.ranges(session, order),
            )

    async def _sell(self, plan: _SalePlan, one: Range) -> int:
        facts = {"range": one.number, "members": one.members, "units": str(one.units), "amount": str(one.amount)}
        async with self._db.unit_of_work(self._tenant.tenant_id) as session:
            return await sale_queries.sell_range(
                session,
                plan.order,
                one.number,
                conversion=plan.conversion,
                codes=plan.codes,
                business_date=plan.price_on,
                actor=plan.actor,
                pack=self._tenant.pack_id,
                decision=plan.decision,
                body=self._run.body(plan.order, **facts),
            )

    async def _finish(self, plan: _SalePlan) -> bool:
        """Book the residue and mark the order priced, once all ranges are done; return whether they are."""
        async with self._db.unit_of_work(self._tenant.tenant_id) as session:
            order = await sale_queries.hold_order(session, plan.order)
            if order.state == "priced":
                return True
            done = await sale_queries.ranges(session, order)
            if not all(one.is_done for one in done):
                return False
            assert order.amount_confirmed is not None, order
            sold = sum(one.amount for one in done)
            assert sold == order.amount_due, (order.reference, sold, order.amount_due)
            residue = order.amount_confirmed - sold
            dealt_by = _dealt_by(self._tenant, order.product, order.cut_off_on)
            owed = Account("residue", self._money.symbol, fund=order.fund, party=dealt_by.residue_to)
            codes = await ledger.account_codes(session, {owed})
            facts = {
                "units": str(order.units),
                "confirmed": str(order.amount_confirmed),
                "amount": str(sold),
                "residue": str(residue),
                "residue_to": dealt_by.residue_to,
            }
            (posted,) = await ledger.post(
                session,
                [
                    Entry(
                        member_id=house_member(self._tenant.tenant_id),
                        kind=EventKind.UNITS_SOLD,
                        business_date=plan.price_on,
                        actor=plan.actor,
                        pack=self._tenant.pack_id,
                        decision=plan.decision,
                        body=self._run.body(order, **facts),
                        transfers=[Transfer(residue, plan.codes.due, codes[owed])] if residue else (),
                    )
                ],
            )
            await sale_queries.finish_order(session, order, event_id=posted.event_id, residue=residue)
            await queries.finish_dealing(session, order.dealing_id)
            await promise(session, "contributions.carry_on_reversals", tenant_id=self._tenant.tenant_id)
            await promise(session, "funds.judge_confirmations", tenant_id=self._tenant.tenant_id)
            return True

    async def _report(self, waiting: str) -> SaleReport:
        async with self._db.unit_of_work(self._tenant.tenant_id) as session:
            order = await sale_queries.hold_order(session, self._order)
            done = [one for one in await sale_queries.ranges(session, order) if one.is_done]
        amount, scale = sum(one.amount for one in done), self._money.scale
        confirmed = order.amount_confirmed if order.state == "priced" else None
        return SaleReport(
            dealing=order.dealing_id,
            product=order.product,
            fund=order.fund,
            reference=order.reference,
            cut_off_on=order.cut_off_on,
            units=_fixed(order.units, order.unit_scale),
            waiting=waiting,
            price_on=order.price_on,
            price=None if order.price is None else _fixed(order.price.digits, order.price.scale),
            members=sum(one.members for one in done),
            amount=_fixed(amount, scale) if done else None,
            residue=None if confirmed is None else _fixed(confirmed - amount, scale),
            confirmed=None if confirmed is None else _fixed(confirmed, scale),
        )


def _fixed(smallest: int, scale: int) -> str:
    return f"{Decimal(smallest).scaleb(-scale):.{scale}f}"
