"""Fees: what falls due on a day is counted for every member at once, approved by a second person, and taken by ranges."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from itertools import chain

import msgspec
from msgspec import structs
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.benefits.errors import (
    FeeKeyMissing,
    FeeRunChanged,
    FeeRunDecided,
    FeeRunOpen,
    FeeTooSoon,
    NoFeeDue,
    NoPriceYet,
    UnknownFeeRun,
)
from engine.benefits.queries import charging as queries
from engine.benefits.queries import claiming as claiming_queries
from engine.benefits.queries import counting_fees, taking_fees
from engine.benefits.queries.charging import (
    FeeCodes,
    FeePosting,
    FeeRun,
    MemberFee,
    NewRun,
    SellingCodes,
    UnitPrices,
)
from engine.benefits.rules.charging import SERVED, FeeTerms, fee_terms, period_of
from engine.benefits.rules.fees import FeeCapRule, FeeRule
from engine.funds import service as funds
from engine.funds.rules import Conversion, FundsRule
from engine.kernel.clock import business_date
from engine.kernel.ids import house_member
from engine.kernel.prices import Price
from engine.kernel.rules import Dates
from engine.kernel.series import Figures
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind
from engine.runtime.database import Database, retry_transaction
from engine.runtime.ranges import beside_each_other
from engine.tenancy.rules.books import OnDates
from engine.tenancy.rules.decided import RunDecided
from engine.tenancy.rules.packs import Pack
from engine.tenancy.service import Tenant, figures_for, record_run

_ACTOR = "system:fees"
Progress = Callable[[int], None]


async def propose_fees(
    db: Database,
    tenant: Tenant,
    product: str,
    on: date,
    *,
    actor: str,
    leaving: int = 0,
    keys: Mapping[str, str] | None = None,
    progress: Progress = lambda _: None,
) -> FeeRun:
    """Count what every member of a product is due by the fees whose period ends on a day, less what was charged for it before.

    Periods are the scheme year's, its quarters and months, and days; fees of joining, of payments and of withdrawals are
    charged by the month. A run that stopped goes on. Nothing is booked before a second person has approved it; where nothing
    is due the run is empty. Run again for the same day it finds who joined or paid with an earlier date.

    Args:
        db: of the scheme.
        tenant: whose scheme.
        product: of which product.
        on: the last day of what is charged.
        actor: who proposes.
        leaving: a member who leaves on `on`, and alone is charged, by the days of each period; else 0.
        keys: which rows of the pack's tables caps stand in ("agency": who keeps the accounts).
        progress: told how many members a range had.

    Raises:
        UnknownProduct, NoFeeDue: there is no such product, or nothing whose period ends then.
        FeeTooSoon: the day is not over.
        FeeRunOpen: another run of the product waits for a second person, or has not ended.
        NoPriceYet: there are units of a fund that had no price by then.
        FeeKeyMissing, SeriesValueMissing, TableValueMissing: a cap or a figure cannot be known.
    """
    year = tenant.product(product).scheme_year(on)
    async with db.unit_of_work(tenant.tenant_id) as session:
        await queries.hold_product(session, product)
        run = await queries.open_run(session, product)
        if run is None:
            figures = await figures_for(session, tenant)
            terms = _terms(tenant.pack, product, on, year, figures, keys or {}, leaving=bool(leaving))
            if not terms:
                raise NoFeeDue(product=product, day=on.isoformat())
            due = on if leaving else on + timedelta(days=1)
            if business_date(await ledger.scheme_now(session), tenant.time_zone) < due:
                raise FeeTooSoon(day=due.isoformat())
            # A run that cannot be counted is not begun: it would bar all others.
            await _prices(session, tenant.pack, product, on)
            maker = await ledger.actor_id(session, actor)
            new = NewRun(product, on, year[0], terms, maker, member_id=leaving, left_on=on if leaving else None)
            run = await _found(session, await queries.begin_run(session, new))
            await record_run(
                session,
                tenant,
                RunDecided(
                    kind="fee", run_no=run.run_no, product=product, decided_on=on, rules=run.rules, inputs=_facts(run)
                ),
            )
        elif run.state != "counting" or (run.charged_on, run.member_id, run.corrects) != (on, leaving, 0):
            raise FeeRunOpen(run=run.run_no)
    return await _count(db, tenant, run, actor, progress)


async def foreseen_fees(
    session: AsyncSession,
    pack: Pack,
    product: str,
    members: tuple[int, int],
    *,
    on: date,
    figures: Figures,
    keys: Mapping[str, str],
) -> dict[int, dict[str, int]]:
    """Return what the fees of a pack come to for a range of members, with tax, in smallest units by fee; nothing is booked.

    Each is counted for the period that the day lies in, as if what is there then stayed until its end: on a period's last day
    that is what a run proposes. What was charged for the period before is taken off.

    Raises:
        NoPriceYet: there are units of a fund without a price.
        FeeKeyMissing, SeriesValueMissing, TableValueMissing: a cap or a figure cannot be known.
    """
    year = pack.product(product).scheme_year(on)
    terms = _terms(pack, product, on, year, figures, keys, leaving=True)
    if not terms:
        return {}
    prices = await _prices(session, pack, product, on)
    found: dict[int, dict[str, int]] = {}
    for member, fee, minor in await counting_fees.foreseen_fees(session, product, terms, members, on, year[0], prices):
        found.setdefault(member, {})[fee] = minor
    return found


async def runs_to_charge_again(session: AsyncSession, tenant: Tenant) -> list[FeeRun]:
    """Return the runs that the rules, figures and prices in force would have charged otherwise, the oldest first.

    Fees by what members have would be, where a price that they were counted at was corrected since. A run from before keys were kept with it is told by the names of its rules alone, where its caps stand in a table by keys.
    """
    figures = await figures_for(session, tenant)
    mispriced = await queries.runs_mispriced(session)
    found = []
    for run in await queries.standing_runs(session):
        if run.run_no in mispriced and any(one.needs_assets for one in run.terms):
            found.append(run)
            continue
        year = tenant.product(run.product).scheme_year(run.charged_on)
        try:
            now = _terms(tenant.pack, run.product, run.charged_on, year, figures, run.keys, leaving=False)
            if [structs.replace(one, rules=()) for one in now] != [structs.replace(one, rules=()) for one in run.terms]:
                found.append(run)
        except FeeKeyMissing:
            book = OnDates(
                tenant.book(run.product),
                Dates(on=run.charged_on, joined_on=run.charged_on, scheme_year_from=year[0]),
            )
            if not set(run.rules) <= {one.ref for kind in (FeeRule, FeeCapRule) for one in book.rules(kind)}:
                found.append(run)
    return found


async def propose_refund(
    db: Database,
    tenant: Tenant,
    run_no: int,
    *,
    reason: str,
    actor: str,
    member_id: int = 0,
    progress: Progress = lambda _: None,
) -> FeeRun:
    """Propose to give back what a run charged a member, or every member: each once, by entries that reverse the run's.

    It waits for a second person as any run. Who has left the product, or has paid by another run what this one left owing, is
    left out; what is given back may be charged again.

    Raises:
        UnknownFeeRun, FeeRunDecided: there is none, or it charged nothing yet, or gave back itself.
        FeeRunOpen: another run of the product has not ended.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        wrong = await _found(session, run_no)
        if wrong.state != "done" or wrong.corrects:
            raise FeeRunDecided(state="refund" if wrong.corrects else wrong.state)
        await queries.hold_product(session, wrong.product)
        run = await queries.open_run(session, wrong.product)
        if run is None:
            new = NewRun(
                product=wrong.product,
                charged_on=business_date(await ledger.scheme_now(session), tenant.time_zone),
                year_from=wrong.year_from,
                terms=wrong.terms,
                maker=await ledger.actor_id(session, actor),
                member_id=member_id,
                corrects=run_no,
                reason=reason,
            )
            run = await _found(session, await queries.begin_run(session, new))
        elif run.state != "counting" or (run.corrects, run.member_id) != (run_no, member_id):
            raise FeeRunOpen(run=run.run_no)
    return await _count(db, tenant, run, actor, progress)


async def approve_fees(
    db: Database, tenant: Tenant, run_no: int, digest: str, *, actor: str, progress: Progress = lambda _: None
) -> FeeRun:
    """Let a run be taken, as a second person who has seen what `digest` is of; a run that stopped while it was taken goes on.

    Each member pays out of the pots and origins that the fee names, by the fees' ranks, never below zero. What there is no
    money for is waived or owed as the fee says: Dr cash / Cr fees-payable and vat-payable, or Dr fees-receivable. Where money
    is in funds, as many units as are worth the fees at the last price are put up for the open dealing, and the fees are taken
    from what they bring (`carry_on_fees`); what is over pays the next ones.

    Raises:
        UnknownFeeRun, FeeRunDecided, FeeRunChanged: there is none, it is done or rejected, or its lines are others.
        SamePerson: `actor` proposed it.
        NoDealingRule, NoPriceYet: units cannot be sold.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        run = await _found(session, run_no, hold=True)
        if run.state not in ("proposed", "approved"):
            raise FeeRunDecided(state=run.state)
        if run.digest != digest:
            raise FeeRunChanged
        checked_by_other(maker=run.maker, checker=actor)
        if run.state == "proposed":
            event = await _note(session, tenant, EventKind.FEES_APPROVED, run, actor)
            checker = await ledger.actor_id(session, actor)
            await queries.decide_run(session, run_no, state="approved", checker=checker, event_id=event)
    return await _carry_on(db, tenant, run, actor, progress)


async def carry_on_fees(db: Database, tenant: Tenant) -> int:
    """Take the fees of runs whose units are sold by now; return how many runs are done by it.

    May be stopped and run again, and run twice at once.
    """
    done = 0
    async with db.unit_of_work(tenant.tenant_id) as session:
        runs = [await _found(session, number) for number in await queries.selling_runs(session)]
    for run in runs:
        done += (await _carry_on(db, tenant, run, _ACTOR, lambda _: None)).state == "done"
    return done


async def reject_fees(session: AsyncSession, tenant: Tenant, run_no: int, digest: str, *, actor: str) -> FeeRun:
    """Give a proposed run up, as a second person. Raises as `approve_fees` does."""
    run = await _found(session, run_no, hold=True)
    if run.state != "proposed":
        raise FeeRunDecided(state=run.state)
    if run.digest != digest:
        raise FeeRunChanged
    checked_by_other(maker=run.maker, checker=actor)
    event = await _note(session, tenant, EventKind.FEES_REJECTED, run, actor)
    checker = await ledger.actor_id(session, actor)
    await queries.decide_run(session, run_no, state="rejected", checker=checker, event_id=event)
    return await _found(session, run_no)


async def find_fee_run(session: AsyncSession, run_no: int) -> FeeRun:
    """Return a run.

    Raises:
        UnknownFeeRun: there is none of that number.
    """
    return await _found(session, run_no)


async def list_fee_runs(session: AsyncSession, *, most: int = 100) -> list[FeeRun]:
    """Return the newest runs, newest first."""
    return await queries.list_runs(session, most=most)


async def fees_at_price(session: AsyncSession, fund: str, price_on: date) -> list[int]:
    """Return the runs that depend on a fund's price of a day: fees by what members have, charged while it was the last.

    Where that price was wrong, a recount finds them once it is corrected: each is given back, and charged again by the right one.
    """
    runs = await queries.runs_priced(session, fund, price_on)
    return [run.run_no for run in runs if any(one.needs_assets for one in run.terms)]


async def fees_of(session: AsyncSession, member_id: int) -> list[MemberFee]:
    """Return what every fee ever took of a member or gave back, newest first, in smallest units."""
    return await queries.member_fees(session, member_id)


def _terms(
    pack: Pack,
    product: str,
    on: date,
    year: tuple[date, date],
    figures: Figures,
    keys: Mapping[str, str],
    *,
    leaving: bool,
) -> tuple[FeeTerms, ...]:
    """Return the fees whose period ends on a day, or that a member who leaves then is charged; those of the lowest rank first.

    Where fees or caps go by joining, a fee has terms for each stretch of joining days that is charged alike.
    """
    # Where money is invested, cash is on its way into a fund.
    source = "units" if pack.books[product].in_force(FundsRule, Dates(on=on)) else "cash"
    terms: dict[str, list[FeeTerms]] = {}
    for stretch in pack.books[product].joining_stretches((FeeRule, FeeCapRule)):
        asked = OnDates(pack.books[product], Dates(on=on, joined_on=stretch.joined_by(on), scheme_year_from=year[0]))
        caps = asked.rules(FeeCapRule)
        for found in asked.rules(FeeRule):
            rule = found.rule
            if rule.charged not in SERVED or rule.when_short == "refuse" or rule.taken_from not in (source, "billed"):
                continue
            period = period_of(rule.charged, year, on)
            if not leaving and period[1] != on + timedelta(days=1):
                continue
            new = structs.replace(
                fee_terms(found, caps, period, on, figures, tables=pack.tables, keys=keys),
                joined_from=stretch.joined_from,
                joined_until=stretch.joined_until,
            )
            own = terms.setdefault(rule.id, [])
            if own and _goes_on(own[-1], new):
                own[-1] = structs.replace(own[-1], joined_until=new.joined_until)
            else:
                own.append(new)
    return tuple(sorted(chain.from_iterable(terms.values()), key=lambda one: (one.rank, one.fee)))


def _goes_on(one: FeeTerms, later: FeeTerms) -> bool:
    """Return whether terms are those of the members who joined just before, too."""
    return (
        one.joined_until is not None
        and later.joined_from == one.joined_until + timedelta(days=1)
        and structs.replace(later, joined_from=one.joined_from, joined_until=one.joined_until) == one
    )


async def _found(session: AsyncSession, run_no: int, *, hold: bool = False) -> FeeRun:
    run = await queries.find_run(session, run_no, hold=hold)
    if run is None:
        raise UnknownFeeRun
    return run


async def _count(db: Database, tenant: Tenant, run: FeeRun, actor: str, progress: Progress) -> FeeRun:
    async def count(number: int) -> None:
        progress(await retry_transaction(partial(once, number)))

    async def once(number: int) -> int:
        async with db.unit_of_work(tenant.tenant_id) as session:
            members = await queries.hold_range(session, run.run_no, number, "planned")
            if members is None:
                return 0
            prices = await _prices(session, tenant.pack, run.product, run.charged_on)
            return await counting_fees.count_range(session, run, number, members, prices)

    async with db.unit_of_work(tenant.tenant_id) as session:
        ranges = await queries.ranges_in(session, run.run_no, "planned")
    await beside_each_other(db, ranges, count)
    async with db.unit_of_work(tenant.tenant_id) as session:
        found = await _found(session, run.run_no, hold=True)
        if found.state != "counting":
            return found
        await queries.finish_counting(session, run.run_no, _digest_of(found))
        found = await _found(session, run.run_no)
        event = await _note(session, tenant, EventKind.FEES_PROPOSED, found, actor) if found.by_fee else 0
        await queries.propose_run(session, run.run_no, event)
        return await _found(session, run.run_no)


async def _carry_on(db: Database, tenant: Tenant, run: FeeRun, actor: str, progress: Progress) -> FeeRun:
    """Do what can be done of an approved run: put units up, take ranges that wait for nothing, and finish it."""
    sells = _sells(run)

    async def take(number: int) -> None:
        progress(await retry_transaction(partial(_take, db, tenant, run, number, actor)))

    async with db.unit_of_work(tenant.tenant_id) as session:
        ranges = await queries.ranges_in(session, run.run_no, "counted")
    if sells:
        for number in ranges:
            await retry_transaction(partial(_put_up, db, tenant, run, number, actor))
        async with db.unit_of_work(tenant.tenant_id) as session:
            ranges = await queries.sold_ranges(session, run.run_no)
    await beside_each_other(db, ranges, take)
    async with db.unit_of_work(tenant.tenant_id) as session:
        await queries.finish_run(session, run.run_no)
        return await _found(session, run.run_no)


def _sells(run: FeeRun) -> bool:
    """Return whether units are sold for a run before it is taken."""
    return not run.corrects and any(one.taken_from == "units" for one in run.terms)


async def _put_up(db: Database, tenant: Tenant, run: FeeRun, number: int, actor: str) -> None:
    async with db.unit_of_work(tenant.tenant_id) as session:
        members = await queries.hold_range(session, run.run_no, number, "counted")
        if members is None:
            return
        today = business_date(await ledger.scheme_now(session), tenant.time_zone)
        into = await funds.open_for_sale(session, tenant, run.product, today)
        prices = await _prices(session, tenant.pack, run.product, today)
        assert prices is not None, run
        chart = await ledger.accounts_by_code(session)
        own = {code: one for code, one in chart.items() if one.kind == "units" and one.product == run.product}
        selling = {code: replace(one, kind="selling", party=queries.FEES) for code, one in own.items()}
        codes = await ledger.account_codes(session, selling.values())
        numbers = await funds.fund_numbers(session, sorted({one.fund for one in own.values()}))
        both = SellingCodes(list(own), [codes[selling[code]] for code in own], numbers)
        posting, event = None, 0
        if await taking_fees.put_up_range(session, run, members, prices, both):
            event = await queries.next_event(session)
            await funds.put_up_gathered(session, into, event)
            rules = sorted({*run.rules, into.rule})
            posting = replace(
                await _posting(session, tenant, run, actor),
                day=today,
                decision=await ledger.decision_id(session, {"rules": rules}),
            )
        await taking_fees.note_put_up(session, run, number, posting, event)


async def _prices(session: AsyncSession, pack: Pack, product: str, on: date) -> UnitPrices | None:
    """Return what units of a product in funds are worth on a day, None of another product.

    Raises:
        NoPriceYet: there are units of a fund without a price.
    """
    if pack.books[product].in_force(FundsRule, Dates(on=on)) is None:
        return None
    chart = await ledger.accounts_by_code(session)
    held = sorted({one.fund for one in chart.values() if one.kind == "units" and one.product == product})
    prices = await claiming_queries.last_prices(session, held, on)
    for fund in held:
        if fund not in prices:
            raise NoPriceYet(fund=fund)
    return UnitPrices(
        held,
        [
            Conversion.selling_at(
                Price(prices[fund].digits, prices[fund].scale),
                amount_scale=pack.asset.scale,
                unit_scale=prices[fund].unit_scale,
            )
            for fund in held
        ],
    )


async def _take(db: Database, tenant: Tenant, run: FeeRun, number: int, actor: str) -> int:
    async with db.unit_of_work(tenant.tenant_id) as session:
        members = await queries.hold_range(session, run.run_no, number, "selling" if _sells(run) else "counted")
        if members is None:
            return 0
        posting = await _posting(session, tenant, run, actor)
        return await taking_fees.take_range(session, run, number, members, posting)


async def _posting(session: AsyncSession, tenant: Tenant, run: FeeRun, actor: str) -> FeePosting:
    money = tenant.asset.symbol
    payable = {one.payee: Account("fees-payable", money, run.product, party=one.payee) for one in run.terms}
    owed, vat = Account("fees-receivable", money, run.product), Account("vat-payable", money, run.product)
    codes = await ledger.account_codes(session, {*payable.values(), owed, vat})
    return FeePosting(
        day=run.charged_on,
        actor=await ledger.actor_id(session, actor),
        pack=tenant.pack_id,
        decision=await ledger.decision_id(session, {"rules": run.rules}),
        codes=FeeCodes(codes[owed], {payee: codes[account] for payee, account in payable.items()}, codes[vat]),
        facts=_facts(run),
    )


def _facts(run: FeeRun) -> dict[str, object]:
    facts: dict[str, object] = {"run": run.run_no, "product": run.product, "on": run.charged_on.isoformat()}
    return facts | ({"corrects": run.corrects, "reason": run.reason} if run.corrects else {})


def _digest_of(run: FeeRun) -> str:
    """Return what a run is apart from its lines, as text that its digest begins with."""
    facts = [*_facts(run).items(), ("member", f"{run.member_id:x}"), ("terms", msgspec.to_builtins(run.terms))]
    return msgspec.json.encode(facts).decode() + "\n"


async def _note(session: AsyncSession, tenant: Tenant, kind: EventKind, run: FeeRun, actor: str) -> int:
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    (posted,) = await ledger.post(
        session,
        [
            Entry(
                member_id=house_member(tenant.tenant_id),
                kind=kind,
                business_date=today,
                actor=await ledger.actor_id(session, actor),
                pack=tenant.pack_id,
                decision=await ledger.decision_id(session, {"rules": run.rules}),
                body={
                    **_facts(run), "digest": run.digest, "members": run.members, "fees": [one.fee for one in run.by_fee],
                    "net": str(run.net), "vat": str(run.vat), "arrears": str(run.arrears),
                },
            )
        ],
    )  # fmt: skip
    return posted.event_id
