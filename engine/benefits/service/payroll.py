"""Payrolls: what is due to all pensioners of a product in a month is counted, approved as one, and made payable.

Each instalment is due once for ever. A payroll that was stopped goes on where it stood, by ranges of members.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.benefits.errors import PayrollDecided, PayrollDiffers, PayrollOpen, PayrollTooEarly, UnknownPayroll
from engine.benefits.queries import payroll as queries
from engine.benefits.queries.payroll import PayrollRow, Posting, Route, Totals, Wanted
from engine.benefits.rules import PayersRule, PayoutRouteRule
from engine.benefits.rules.schedules import ScheduleTerms, factor, keys_at
from engine.benefits.service.living import stop_pensions
from engine.kernel.clock import business_date
from engine.kernel.ids import house_member
from engine.kernel.months import months_after
from engine.kernel.rules import Dates
from engine.kernel.series import Figures, SeriesValueMissing
from engine.kernel.tables import TableValueMissing
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind
from engine.runtime.database import Database, retry_transaction
from engine.runtime.ranges import beside_each_other
from engine.tenancy import service as tenancy
from engine.tenancy.service import Tenant


@dataclass(frozen=True, slots=True)
class Payroll:
    """A payroll, what it comes to, and what became of its payments: how many and smallest units, by fate."""

    row: PayrollRow
    totals: Totals
    fates: dict[str, tuple[int, int]]


async def propose_payroll(
    db: Database,
    tenant: Tenant,
    product: str,
    month: date,
    *,
    actor: str,
    progress: Callable[[int], None] = lambda _: None,
) -> Payroll:
    """Count what falls due to a product's pensioners by the end of a month, and what is paid of it; nothing moves yet.

    What earlier months left is in it: instalments of who proved late to be alive, what pots and pools lacked and owe, and
    what was payable but not paid, or came back. Pensions for which an index or a table says nothing yet wait, and are named; the
    others do not. A payroll that was stopped while it counted goes on.

    Args:
        db: the database.
        tenant: the scheme.
        product: whose pensioners.
        month: any day of the month.
        actor: who proposes it, and so may not approve it.
        progress: is told after each range that one more is counted.

    Raises:
        UnknownProduct: the scheme has no such product.
        PayrollTooEarly: the month has not begun.
        PayrollOpen: another payroll of the product is not done yet.
    """
    tenant.product(product)
    await stop_pensions(db, tenant, product)
    month = month.replace(day=1)
    until = months_after(month, 1)
    async with db.unit_of_work(tenant.tenant_id) as session:
        await queries.hold_product(session, product)
        run = await queries.open_run(session, product)
        if run is not None and (run.state, run.month, run.maker) != ("counting", month, actor):
            raise PayrollOpen(payroll=str(run.run_no))
        if run is None:
            today = business_date(await ledger.scheme_now(session), tenant.time_zone)
            if month > today:
                raise PayrollTooEarly(day=month.isoformat())
            run = await _begin(session, tenant, product, month, today, actor)
        figures = await tenancy.figures_for(session, tenant)
        ranges = await queries.ranges_left(session, run.run_no, posting=False)
    routes = _routes(tenant, run, figures)

    async def count(number: int) -> None:
        await _count_range(db, tenant, run, number, until, figures, routes)
        progress(1)

    if run.pools:  # what a range takes of a pool, the next ones do not find
        for number in ranges:
            await count(number)
    else:
        await beside_each_other(db, ranges, count)
    return await _propose(db, tenant, run, actor)


async def _begin(
    session: AsyncSession, tenant: Tenant, product: str, month: date, today: date, actor: str
) -> PayrollRow:
    found = tenant.rule(PayersRule, product=product, dates=Dates(on=today))
    money = tenant.asset.symbol
    pools = [Account("pension-pool", money, product, party=role) for role in (found.rule.then if found else ())]
    if found is not None and found.rule.last == "claimed":
        pools.append(Account("guarantee-receivable", money, product, party=found.rule.then[-1]))
    codes = await ledger.account_codes(session, set(pools))
    return await queries.begin_run(
        session,
        product=product,
        month=month,
        counted_on=today,
        maker=actor,
        pools=[codes[one] for one in pools],
        owes=found is not None and found.rule.last == "owed",
        rules=[found.ref] if found else [],
    )


async def _count_range(
    db: Database, tenant: Tenant, run: PayrollRow, number: int, until: date, figures: Figures, routes: list[Route]
) -> None:
    async def once() -> None:
        async with db.unit_of_work(tenant.tenant_id) as session:
            members = await queries.hold_range(session, run.run_no, number, posting=False)
            if members is None:
                return
            wanted = await queries.select_live(session, run, members, until)
            terms = await queries.terms_of(session, sorted({one.decision for one in wanted}))
            rates: list[tuple[Wanted, int, int]] = []
            missing: dict[tuple[int, date, str], tuple[str, str, str]] = {}
            for one in wanted:
                said, chosen = terms[one.decision]
                try:
                    rates.append((one, *_factor(tenant, said, one, figures)))
                except (SeriesValueMissing, TableValueMissing) as error:
                    keys = msgspec.json.encode(one.keys).decode()
                    what = " ".join(str(value) for value in error.details.values())
                    missing.setdefault((one.decision, one.started_on, keys), (chosen, error.code, what))
            waits = await queries.count_waiting(session, missing) if missing else []
            await queries.count_dues(session, run, members, until, rates)
            await queries.count_payments(session, run, members, number, routes, waits)

    await retry_transaction(once)


def _factor(tenant: Tenant, terms: ScheduleTerms, one: Wanted, figures: Figures) -> tuple[int, int]:
    found = factor(
        terms, one.started_on, one.first_due_on, one.due_on, keys_at(terms, one.keys, one.years), figures, tenant.pack.tables
    )  # fmt: skip
    return found.numerator, found.denominator


def _routes(tenant: Tenant, run: PayrollRow, figures: Figures) -> list[Route]:
    """Return the rails by which the product pays; without rules, whichever account was named first."""
    found = tenant.rules(PayoutRouteRule, product=run.product, dates=Dates(on=run.counted_on))
    if not found:
        return [Route(rule="", rail="", rank=1, least=1, step=1, account="any")]

    def minor(rule: PayoutRouteRule, name: str) -> int | None:
        figure = getattr(rule, name)
        return None if figure is None else figures.amount(figure, run.counted_on).units

    return [
        Route(
            rule=one.ref,
            rail=one.rule.rail,
            rank=one.rule.rank,
            least=minor(one.rule, "least_payable") or 1,
            step=minor(one.rule, "step") or 1,
            account=one.rule.account,
            since=minor(one.rule, "from_amount"),
            below=minor(one.rule, "below_amount"),
            documents=one.rule.exception_documents,
        )
        for one in found
    ]


async def _propose(db: Database, tenant: Tenant, run: PayrollRow, actor: str) -> Payroll:
    async with db.unit_of_work(tenant.tenant_id) as session:
        held = await queries.find_run(session, run.run_no, hold=True)
        assert held is not None, run
        if held.state == "counting" and not await queries.ranges_left(session, run.run_no, posting=False):
            totals, digests = await queries.totals_of(session, run.run_no)
            digest = _digest(held, totals, digests)
            event = await _note(
                session, tenant, EventKind.PAYROLL_PROPOSED, held, actor, {**_told(totals), "digest": digest}
            )
            await queries.propose_run(session, run.run_no, digest=digest, event_id=event)
        return await find_payroll(session, run.run_no)


async def approve_payroll(db: Database, tenant: Tenant, run_no: int, *, digest: str, actor: str) -> Payroll:
    """Approve all of a payroll, as a second person who has read what `digest` is of; `carry_on_payrolls` does it then.

    Raises:
        UnknownPayroll, PayrollDecided: there is none, or it is not waiting for approval.
        PayrollDiffers: `digest` is not that of what was counted.
        SamePerson: `actor` proposed it.
    """
    return await _decide(db, tenant, run_no, digest, actor, "approved", EventKind.PAYROLL_APPROVED)


async def reject_payroll(db: Database, tenant: Tenant, run_no: int, *, digest: str, actor: str) -> Payroll:
    """Refuse a payroll, as a second person: the next counts everything anew; raises as `approve_payroll` does."""
    return await _decide(db, tenant, run_no, digest, actor, "rejected", EventKind.PAYROLL_REJECTED)


async def _decide(
    db: Database, tenant: Tenant, run_no: int, digest: str, actor: str, state: str, kind: EventKind
) -> Payroll:
    async with db.unit_of_work(tenant.tenant_id) as session:
        run = await queries.find_run(session, run_no, hold=True)
        if run is None:
            raise UnknownPayroll
        if run.state != "proposed":
            raise PayrollDecided(state=run.state)
        checked_by_other(maker=run.maker, checker=actor)
        if digest != run.digest:
            raise PayrollDiffers
        event = await _note(session, tenant, kind, run, actor, {"digest": digest})
        await queries.decide_run(session, run_no, state=state, checker=actor, event_id=event)
        return await find_payroll(session, run_no)


async def post_payroll(
    db: Database, tenant: Tenant, run_no: int, *, progress: Callable[[int], None] = lambda _: None
) -> int:
    """Make payable what an approved payroll counted, range by range; return how many instalments that were now.

    Out of the member's pot Dr cash / Cr payable, out of a pool Dr pension-pool / Cr payable, claimed from a guarantor
    Dr guarantee-receivable / Cr payable, and of it Dr payable / Cr tax-withheld. A survivor's instalment is due to the heirs, and
    what is set off of it against what was overpaid is Cr overpayment-receivable. May be stopped and run again, and run twice at once.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        run = await queries.find_run(session, run_no)
        if run is None or run.state != "approved":
            return 0
        ranges = await queries.ranges_left(session, run_no, posting=True)
    done = 0

    async def post(number: int) -> None:
        nonlocal done

        async def once() -> int:
            async with db.unit_of_work(tenant.tenant_id) as session:
                members = await queries.hold_range(session, run.run_no, number, posting=True)
                if members is None:
                    return 0
                tax, receivable = (
                    Account(kind, tenant.asset.symbol, run.product)
                    for kind in ("tax-withheld", "overpayment-receivable")
                )
                codes = await ledger.account_codes(session, {tax, receivable})
                posting = Posting(
                    day=business_date(await ledger.scheme_now(session), tenant.time_zone),
                    actor=await ledger.actor_id(session, run.checker),
                    pack=tenant.pack_id,
                    decision=await ledger.decision_id(session, tenancy.trace(run.product, run.rules)),
                    tax=codes[tax],
                    receivable=codes[receivable],
                    facts=_facts(run),
                )
                return await queries.post_range(session, run, members, number, posting)

        posted = await retry_transaction(once)
        done += posted
        progress(1)

    await beside_each_other(db, ranges, post)
    return done


async def find_payroll(session: AsyncSession, run_no: int) -> Payroll:
    """Return a payroll; UnknownPayroll if there is none."""
    run = await queries.find_run(session, run_no)
    if run is None:
        raise UnknownPayroll
    totals, _ = await queries.totals_of(session, run_no)
    return Payroll(run, totals, await queries.fates(session, run_no))


async def list_payrolls(session: AsyncSession, *, after: int = 0, most: int = 100) -> list[Payroll]:
    """Return payrolls after number `after`, the oldest first, without what became of their payments."""
    rows = await queries.list_runs(session, after=after, most=most)
    return [Payroll(row, (await queries.totals_of(session, row.run_no))[0], {}) for row in rows]


def _digest(run: PayrollRow, totals: Totals, digests: list[str]) -> str:
    said = {
        "run": run.run_no,
        "product": run.product,
        "month": run.month.isoformat(),
        "counted_on": run.counted_on.isoformat(),
        "ranges": digests,
        **_told(totals),
    }
    return hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()


def _told(totals: Totals) -> dict[str, object]:
    return {
        "pensions": totals.pensions,
        "payments": totals.payments,
        "suspended": totals.suspended,
        "waiting": [list(one) for one in totals.waits],
        **{
            name: str(getattr(totals, name)) for name in ("due", "taken", "pooled", "lacking", "taxed", "recovered", "paying", "owed")
        },
    }  # fmt: skip


def _facts(run: PayrollRow) -> dict[str, object]:
    return {"payroll": str(run.run_no), "product": run.product, "month": run.month.isoformat()}


async def _note(
    session: AsyncSession, tenant: Tenant, kind: EventKind, run: PayrollRow, actor: str, body: dict[str, object]
) -> int:
    (fate,) = await ledger.post(
        session,
        [
            Entry(
                member_id=house_member(tenant.tenant_id),
                kind=kind,
                business_date=business_date(await ledger.scheme_now(session), tenant.time_zone),
                actor=await ledger.actor_id(session, actor),
                pack=tenant.pack_id,
                decision=await ledger.decision_id(session, tenancy.trace(run.product, run.rules)),
                body={**_facts(run), **body},
            )
        ],
    )
    return fate.event_id
