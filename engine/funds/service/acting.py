"""Splits of funds and the income that they pay: proposed by one person, decided by another, booked by ranges of members."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from functools import partial

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.funds.errors import (
    ActionChanged,
    ActionDecided,
    ActionOpen,
    DayNotReached,
    FirstPriceMissing,
    HistoricPricing,
    NoDealingRule,
    NoDistributionRule,
    NotAsStated,
    NoUnits,
    OrdersInProgress,
    PricedSince,
    PricesUndecided,
    ReferenceTaken,
    SplitSince,
    StatedTooFine,
    UnknownAction,
    UnknownFund,
)
from engine.funds.queries import acting as queries
from engine.funds.queries import dealings as dealing_queries
from engine.funds.queries import prices as price_queries
from engine.funds.queries.acting import IN_CASH, IN_UNITS, SPLIT, ActionLine, FundAction, NewAction
from engine.funds.rules import (
    ActionTerms,
    DealingRule,
    FundsRule,
    IncomeDistributionRule,
    Ratio,
    UnitPricingRule,
    price_of,
    residue_after_split,
)
from engine.funds.service.pricing import approve_price
from engine.kernel.clock import business_date
from engine.kernel.ids import house_member
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Transfer
from engine.runtime.database import Database, Role, retry_transaction
from engine.runtime.jobs import promise
from engine.tenancy.service import Tenant

_ACTOR = "system:fund-actions"
Progress = Callable[[int], None]


async def propose_split(
    db: Database, tenant: Tenant, fund: str, on: date, *, new: int, old: int, actor: str
) -> FundAction:
    """Say that from a day on there are `new` units of a fund for each `old`; nothing is booked yet.

    From now on prices of that day and later wait for a second person, so that no order takes one before the units are split.

    Args:
        db: of the scheme.
        tenant: whose fund it is.
        fund: its code.
        on: the first day whose price is of the new units; may be to come.
        new: 1 to 1,000,000.
        old: 1 to 1,000,000.
        actor: who says so, and so may not approve.

    Raises:
        UnknownFund: the scheme never dealt in it.
        ActionOpen: another split or distribution of the fund is not finished.
        PricedSince: a price of the day or later was accepted.
        HistoricPricing: a product deals in the fund at prices of before its cut-off.
        NoDealingRule: no product deals in it on that day.
    """
    ratio = Ratio(new, old)

    async def once() -> int:
        async with db.unit_of_work(tenant.tenant_id) as session:
            fund_id, _ = await _fund(session, fund)
            if await queries.is_priced_from(session, fund_id, on):
                raise PricedSince(fund=fund, day=on.isoformat())
            rules = _dealt_by(tenant, fund, on)
            terms = ActionTerms(
                said={"new": str(new), "old": str(old)}, residue_to=min(rules.values())[1], rules=tuple(sorted(rules))
            )
            maker = await ledger.actor_id(session, actor)
            new_action = NewAction(SPLIT, fund_id, "", on, ratio, 0, "", terms, maker)
            number = await queries.add_action(session, new_action)
            return await _propose(session, tenant, number, "", 0, actor)

    return await _read(db, tenant, await retry_transaction(once))


async def propose_distribution(
    db: Database,
    tenant: Tenant,
    fund: str,
    product: str,
    on: date,
    *,
    per_unit: str,
    price: str,
    stated: str,
    reference: str,
    actor: str,
) -> FundAction:
    """Say what income a fund pays on the units of a day, and count what each account of a product gets; nothing is booked yet.

    Args:
        db: of the scheme.
        tenant: whose fund it is.
        fund: its code.
        product: whose members' units.
        on: the record day, which is over.
        per_unit: the income of one unit, in major units of money, as a decimal string of at most eight decimals.
        price: where it is paid in units, the price at which the manager reinvests; else "".
        stated: what the manager states that it issues or pays for the product, units or money in major units, as a decimal string.
        reference: where it is paid in cash, what the manager's payment will bear; else "".
        actor: who says so, and so may not approve.

    Raises:
        UnknownFund: the product never dealt in it.
        NoDistributionRule, NoDealingRule: no rule says what members get, or who owns what rounding leaves.
        PriceNotUsable: `per_unit` or `price` is no price.
        DayNotReached: the record day is not over.
        ActionOpen: another split or distribution of the fund is not finished.
        SplitSince: the units were split since.
        OrdersInProgress: orders can take a price of up to the day.
        NoUnits: nobody had units.
        StatedTooFine: it has more decimals than units of the fund or the scheme's money.
        ReferenceTaken: another payment is expected by that reference.
        NotAsStated: what the manager states is not what the income is on the units of the books.
    """
    dates = Dates(on=on)
    found = tenant.rule(IncomeDistributionRule, product=product, dates=dates)
    dealt = tenant.rule(DealingRule, product=product, dates=dates)
    if found is None:
        raise NoDistributionRule(product=product, day=on.isoformat())
    if dealt is None:
        raise NoDealingRule(product=product, day=on.isoformat())
    in_units = found.rule.paid_as == "units"

    async def once() -> int:
        async with db.unit_of_work(tenant.tenant_id) as session:
            fund_id, unit_scale = await _fund(session, fund)
            today = business_date(await ledger.scheme_now(session), tenant.pack.time_zone)
            if on >= today:
                raise DayNotReached(field="on", day=on.isoformat(), today=today.isoformat())
            if any(one.on > on for one in (await queries.splits(session, [fund_id])).get(fund_id, ())):
                raise SplitSince(fund=fund, day=on.isoformat())
            await _no_order_takes(session, fund, fund_id, until=on)
            scale = unit_scale if in_units else tenant.asset.scale
            exact = Decimal(stated).scaleb(scale)
            if exact != int(exact):
                raise StatedTooFine(field="stated", most=scale)
            if not in_units and await queries.is_taken(session, reference):
                raise ReferenceTaken(reference=reference)
            per = price_of(per_unit)
            ratio = (
                Ratio.paid_in_units(per, price_of(price))
                if in_units
                else Ratio.paid_in_cash(per, amount_scale=tenant.asset.scale, unit_scale=unit_scale)
            )
            said = {"per_unit": per_unit} | ({"price": price} if in_units else {})
            terms = ActionTerms(said=said, residue_to=dealt.rule.residue_to, rules=(dealt.ref, found.ref))
            kind, bears = (IN_UNITS, "") if in_units else (IN_CASH, reference)
            maker = await ledger.actor_id(session, actor)
            new = NewAction(kind, fund_id, product, on, ratio, int(exact), bears, terms, maker)
            number = await queries.add_action(session, new)
            laid = await queries.lay_out_income(
                session, number, on, ratio, await _paid_into(session, tenant, fund, product, in_units=in_units)
            )
            if not laid.had:
                raise NoUnits(fund=fund, day=on.isoformat())
            most = ratio.of(laid.had + sum((await queries.residues(session, fund, until=on)).values()))
            if not laid.got <= exact <= most:
                least, whole = (f"{Decimal(one).scaleb(-scale):f}" for one in (laid.got, most))
                raise NotAsStated(stated=stated, least=least, most=whole, day=on.isoformat())
            return await _propose(session, tenant, number, laid.digest, laid.members, actor)

    return await _read(db, tenant, await retry_transaction(once))


async def approve_action(
    db: Database,
    tenant: Tenant,
    number: int,
    digest: str,
    *,
    price: str = "",
    actor: str,
    progress: Progress = lambda _: None,
) -> FundAction:
    """Let a split or distribution be booked, as a second person who has seen what `digest` is of; one that stopped goes on.

    A split is approved together with the first `price` of the new units, in major units of money, which waits until then: it
    counts from the moment that all units are split, so that nothing is worth more or less by the split.

    Range by range, each in a transaction of its own: of a split every account's units and those that wait to be sold,
    Dr units-issued / Cr units, or the sides exchanged where there are fewer; of income Dr units-issued / Cr units, or, once
    the manager's money has come, Dr income-due / Cr cash. Then what rounding left, / Cr residue.

    Raises:
        UnknownAction, ActionDecided: there is none, or it is decided already.
        ActionChanged: `digest` is not of what was proposed.
        SamePerson: `actor` proposed it, or imported the price.
        DayNotReached: the day of a split has not come.
        FirstPriceMissing: no price of the day of a split waits, or not `price`.
        OrdersInProgress, PricesUndecided: orders can take a price of before a split, or such a price waits to be decided on.
    """

    async def once() -> None:
        async with db.unit_of_work(tenant.tenant_id) as session:
            await price_queries.hold_prices(session)
            one = await _found(session, number, hold=True)
            if one.state not in ("proposed", "approved"):
                raise ActionDecided(state=one.state)
            if one.digest != digest:
                raise ActionChanged
            checked_by_other(maker=one.maker, checker=actor)
            if one.state == "approved":
                return
            members = one.members
            if one.kind == SPLIT:
                today = business_date(await ledger.scheme_now(session), tenant.pack.time_zone)
                if one.on > today:
                    raise DayNotReached(field="on", day=one.on.isoformat(), today=today.isoformat())
                if await queries.is_held_before(session, one.fund_id, one.on):
                    raise PricesUndecided(fund=one.fund, day=one.on.isoformat())
                await _no_order_takes(session, one.fund, one.fund_id, until=one.on)
                first = await price_queries.undecided_price(session, one.fund, one.on)
                if (
                    first is None
                    or first.state != "held"
                    or not price
                    or price_of(price).decimal() != first.price.decimal()
                ):
                    raise FirstPriceMissing(fund=one.fund, day=one.on.isoformat())
                checked_by_other(maker=first.maker, checker=actor)
                members = await queries.lay_out_split(session, number, one.fund)
            event = await _note(session, tenant, EventKind.FUND_ACTION_APPROVED, one, actor, members=members)
            checker = await ledger.actor_id(session, actor)
            await queries.decide(session, number, state="approved", checker=checker, event_id=event)
            await promise(session, "funds.carry_on_actions", tenant_id=tenant.tenant_id)

    await retry_transaction(once)
    return await _carry_on(db, tenant, number, actor, progress)


async def reject_action(session: AsyncSession, tenant: Tenant, number: int, digest: str, *, actor: str) -> FundAction:
    """Refuse a split or distribution, as a second person. Raises as `approve_action` does."""
    one = await _found(session, number, hold=True)
    if one.state != "proposed":
        raise ActionDecided(state=one.state)
    if one.digest != digest:
        raise ActionChanged
    checked_by_other(maker=one.maker, checker=actor)
    event = await _note(session, tenant, EventKind.FUND_ACTION_REJECTED, one, actor)
    checker = await ledger.actor_id(session, actor)
    await queries.decide(session, number, state="rejected", checker=checker, event_id=event)
    return await _found(session, number)


async def carry_on_actions(db: Database, tenant: Tenant) -> int:
    """Book what is left of approved splits and distributions; return how many are done by it. May be stopped, and run twice at once."""
    async with db.unit_of_work(tenant.tenant_id) as session:
        numbers = await queries.actions_to_book(session)
    states = [(await _carry_on(db, tenant, number, _ACTOR, lambda _: None)).state for number in numbers]
    return states.count("done")


async def find_action(session: AsyncSession, number: int) -> FundAction:
    """Return a split or distribution; UnknownAction if there is none of that number."""
    return await _found(session, number)


async def list_actions(session: AsyncSession, *, most: int = 100) -> list[FundAction]:
    """Return the newest splits and distributions, the newest first."""
    return await queries.list_actions(session, most=most)


async def action_lines(
    session: AsyncSession, number: int, *, after: tuple[int, int] = (0, 0), most: int
) -> list[tuple[int, ActionLine]]:
    """Return what accounts had and got, by member and account code, beyond (member_id, code)."""
    return await queries.lines_of(session, number, after=after, most=most)


async def _fund(session: AsyncSession, fund: str) -> tuple[int, int]:
    """Return (fund_id, unit_scale), once nobody else writes or takes prices; nothing of the fund is open then."""
    await price_queries.hold_prices(session)
    found = await queries.find_fund(session, fund)
    if found is None:
        raise UnknownFund(fund=fund)
    other = await queries.open_action(session, found[0])
    if other is not None:
        raise ActionOpen(number=other, fund=fund)
    return found


def _dealt_by(tenant: Tenant, fund: str, on: date) -> dict[str, tuple[str, str]]:
    """Return the dealing rules of the products that deal in a fund, each with its product and its owner of residue."""
    dates, found = Dates(on=on, joined_on=on), {}
    for product in (one.code for one in tenant.pack.products):
        funds = tenant.rule(FundsRule, product=product, dates=dates)
        dealing = tenant.rule(DealingRule, product=product, dates=dates)
        if funds is None or dealing is None or fund not in {one.code for one in funds.rule.funds}:
            continue
        pricing = tenant.rule(UnitPricingRule, product=product, dates=dates)
        if pricing is not None and pricing.rule.pricing == "historic":
            raise HistoricPricing(product=product)
        found[dealing.ref] = (product, dealing.rule.residue_to)
    if not found:
        raise NoDealingRule(product=fund, day=on.isoformat())
    return found


async def _no_order_takes(session: AsyncSession, fund: str, fund_id: int, *, until: date) -> None:
    """Refuse where an order of the fund is being booked, or can take a price of up to the day."""
    for dealing, taken in await queries.orders_in_progress(session, fund_id):
        offered = (await dealing_queries.offered_price(session, dealing, fund_id, until=until)).price_on
        if taken is not None or offered is not None:
            raise OrdersInProgress(fund=fund, day=(taken or offered or until).isoformat())


async def _paid_into(
    session: AsyncSession, tenant: Tenant, fund: str, product: str, *, in_units: bool
) -> list[tuple[int, int]]:
    """Return the codes of a product's units of a fund, each with the code that is paid for them."""
    chart = await ledger.accounts_by_code(session)
    held = {
        code: one
        for code, one in chart.items()
        if one.kind in ("units", "selling") and one.fund == fund and one.product == product
    }
    paid = {
        code: Account("units", fund, product, one.pot, one.origin, fund)
        if in_units
        else Account("cash", tenant.asset.symbol, product, one.pot, one.origin)
        for code, one in held.items()
    }
    codes = await ledger.account_codes(session, set(paid.values()))
    return [(code, codes[account]) for code, account in sorted(paid.items())]


async def _propose(session: AsyncSession, tenant: Tenant, number: int, lines: str, members: int, actor: str) -> int:
    one = await _found(session, number)
    event = await _note(session, tenant, EventKind.FUND_ACTION_PROPOSED, one, actor, members=members)
    await queries.propose(session, number, members=members, digest=_digest(one, lines), event_id=event)
    return number


async def _read(db: Database, tenant: Tenant, number: int) -> FundAction:
    async with db.unit_of_work(tenant.tenant_id) as session:
        return await _found(session, number)


async def _carry_on(db: Database, tenant: Tenant, number: int, actor: str, progress: Progress) -> FundAction:
    async with db.unit_of_work(tenant.tenant_id) as session:
        one = await _found(session, number)
        left = await queries.ranges_left(session, number)
    if one.state != "approved" or (one.kind == IN_CASH and not one.settled_event):
        return one
    for range_no in left:
        progress(await retry_transaction(partial(_book, db, tenant, one, range_no, actor)))

    async def finish() -> FundAction:
        async with db.unit_of_work(tenant.tenant_id) as session:
            await price_queries.hold_prices(session)
            found = await _found(session, number, hold=True)
            if found.state == "approved" and not await queries.ranges_left(session, number):
                await _finish(session, tenant, found, actor)
            return await _found(session, number)

    return await retry_transaction(finish)


def _source(tenant: Tenant, one: FundAction) -> Account:
    if one.kind == IN_CASH:
        return Account("income-due", tenant.asset.symbol, one.product, fund=one.fund)
    return Account("units-issued", one.fund, fund=one.fund)


async def _book(db: Database, tenant: Tenant, one: FundAction, range_no: int, actor: str) -> int:
    async with db.unit_of_work(tenant.tenant_id, role=Role.JOBS) as session:
        members = await queries.hold_range(session, one.number, range_no)
        if members is None:
            return 0
        source = _source(tenant, one)
        codes = await ledger.account_codes(session, [source])
        event, count, change = await queries.book_range(session, one, range_no, members, codes[source])
        if event:
            facts = {"range": range_no, "members": count, "change": str(change)}
            entry = await _entry(session, tenant, EventKind.FUND_ACTION_POSTED, one, actor, facts)
            await ledger.write_gathered_event(session, event, entry)
        return count


async def _finish(session: AsyncSession, tenant: Tenant, one: FundAction, actor: str) -> None:
    source, asset = _source(tenant, one), tenant.asset.symbol if one.kind == IN_CASH else one.fund
    if one.kind == SPLIT:
        before = await queries.residues(session, one.fund)
        after = residue_after_split(before, one.ratio, before=one.had, after=one.got, rest_to=one.terms.residue_to)
        changes = {party: units - before.get(party, 0) for party, units in after.items()}
    else:
        changes = {one.terms.residue_to: one.stated - one.got}
    owners = {party: Account("residue", asset, fund=one.fund, party=party) for party in changes}
    codes = await ledger.account_codes(session, {source, *owners.values()})
    transfers = [
        Transfer(
            abs(change),
            *((codes[source], codes[owners[party]]) if change > 0 else (codes[owners[party]], codes[source])),
        )
        for party, change in sorted(changes.items())
        if change
    ]
    facts = {"had": str(one.had), "got": str(one.got), "residue": str(sum(changes.values()))}
    entry = await _entry(session, tenant, EventKind.FUND_ACTION_FINISHED, one, actor, facts)
    (posted,) = await ledger.post(session, [msgspec.structs.replace(entry, transfers=transfers)])
    await queries.finish(session, one.number, residue=sum(changes.values()), event_id=posted.event_id)
    if one.kind == SPLIT:
        await approve_price(session, tenant, one.fund, one.on, one.checker)


async def _found(session: AsyncSession, number: int, *, hold: bool = False) -> FundAction:
    one = await queries.find_action(session, number, hold=hold)
    if one is None:
        raise UnknownAction
    return one


def _digest(one: FundAction, lines: str) -> str:
    said = [
        one.number, one.kind, one.fund, one.product, one.on.isoformat(), one.ratio.multiplier, one.ratio.divisor, one.stated, one.reference,
        msgspec.to_builtins(one.terms), lines,
    ]  # fmt: skip
    return hashlib.sha256(msgspec.json.encode(said)).hexdigest()


async def _note(
    session: AsyncSession, tenant: Tenant, kind: EventKind, one: FundAction, actor: str, **facts: object
) -> int:
    (posted,) = await ledger.post(session, [await _entry(session, tenant, kind, one, actor, facts)])
    return posted.event_id


async def _entry(
    session: AsyncSession, tenant: Tenant, kind: EventKind, one: FundAction, actor: str, facts: Mapping[str, object]
) -> Entry:
    today = business_date(await ledger.scheme_now(session), tenant.pack.time_zone)
    moves_units_of_day = one.kind == SPLIT and kind in (EventKind.FUND_ACTION_POSTED, EventKind.FUND_ACTION_FINISHED)
    return Entry(
        member_id=house_member(tenant.tenant_id),
        kind=kind,
        business_date=one.on if moves_units_of_day else today,
        actor=await ledger.actor_id(session, actor),
        pack=tenant.pack_id,
        decision=await ledger.decision_id(session, {"rules": list(one.terms.rules)}),
        body={
            "action": one.number,
            "kind": one.kind,
            "fund": one.fund,
            "of_day": one.on.isoformat(),
            **({"product": one.product} if one.product else {}),
            **one.terms.said,
            **({"stated": str(one.stated)} if one.stated else {}),
            **facts,
        },
    )
