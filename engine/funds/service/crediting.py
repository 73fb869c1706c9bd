"""Declared interest: what a scheme year's money earned is credited to every member at once, by ranges that can be resumed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from msgspec import structs
from sqlalchemy.ext.asyncio import AsyncSession

from engine.funds.errors import LaterYearCredited, NoDeclaredReturn
from engine.funds.queries import interest as queries
from engine.funds.queries.interest import Came, Posting, Run
from engine.funds.rules import DeclaredReturnRule
from engine.funds.rules.crediting import YearTerms, weighed, year_terms
from engine.funds.service import pooling
from engine.kernel.amounts import Amount
from engine.kernel.clock import business_date
from engine.kernel.ids import house_member
from engine.kernel.series import Figures
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind
from engine.runtime.database import Database, retry_transaction
from engine.tenancy.rules.assuming import Assumption
from engine.tenancy.rules.books import InForce, Stretch
from engine.tenancy.rules.decided import RunDecided
from engine.tenancy.rules.packs import Pack
from engine.tenancy.service import Tenant, figures_for, record_run, trace


@dataclass(frozen=True, slots=True)
class InterestReport:
    """What a run over a scheme year did. Amounts in major units, as decimal text.

    `waiting`: nothing was done, since the year (or its first posting period) has not ended or its rate is not declared.
    `bases` are what accounts earn by, each with its rates; an account earns by the best of them. `uncovered` is what
    accounts owe back and have no money for: it stands in the books as a receivable. `assumptions` are what its rule assumes.
    """

    product: str
    year_from: date
    waiting: bool
    credited_on: date | None = None
    is_final: bool = False
    bases: tuple[str, ...] = ()
    members: int = 0
    credited: str = ""
    recovered: str = ""
    uncovered: str = ""
    assumptions: tuple[Assumption, ...] = ()

    def lines(self) -> list[str]:
        """Return the report in sentences, for the command line."""
        head = f"{self.product}, year from {self.year_from}: "
        if self.waiting:
            return [f"{head}waits"]
        kind = "final" if self.is_final else "provisional"
        sums = f"credited {self.credited}, taken back {self.recovered}, owed back {self.uncovered}"
        told = f"{head}{kind} ({'; '.join(self.bases)}) for {self.credited_on}: {sums}; {self.members} members changed"
        return [told, *(f"assumed: {one.assumed}" for one in self.assumptions)]


async def credit_interest(
    db: Database,
    tenant: Tenant,
    product: str,
    on: date,
    actor: str,
    *,
    again: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> InterestReport:
    """Credit what the scheme year that `on` lies in earned, less what it was credited before; a run that stopped goes on.

    Interest enters the account whose money earned it: Dr interest-reserve / Cr cash, for the day that the rule names.
    What had been too much is taken back as far as there is money, and owed for the rest. Where the rule goes by joining, each
    cohort has a run of its own. Figures are those accepted by
    two people. Run again it changes nothing, unless a rate was declared or payments were booked back into the year. Where a later
    year was credited already it is done `again` only by who credits those years again, too.

    Raises:
        NoDeclaredReturn: no rule of the product says how returns are declared.
        LaterYearCredited: a later year was credited; its opening balance would change.
        ReturnNotDeclared, SeriesValueMissing: a rate is not known, and the rule gives none in its place.
        PoolIncomeMissing, PoolIncomeShort: the pool's income of a declared year is not told, or pays less than the year credits,
            and nobody tops it up; nothing is credited.
    """
    year = tenant.pack.product(product).scheme_year(on)
    cohorts = tenant.book(product).in_force_by_joining(DeclaredReturnRule, year)
    if not cohorts:
        raise NoDeclaredReturn(product=product, day=year[0].isoformat())
    done = []
    for stretch, found in cohorts:
        while (run := await _open_or_begun(db, tenant, product, year, found, stretch, again=again)) is not None:
            came = await _go_on(db, tenant, run, actor, progress)
            if _is_of(run, year, stretch):
                done.append((run, came))
                break
    return _report(tenant, product, year[0], done)


async def _open_or_begun(
    db: Database,
    tenant: Tenant,
    product: str,
    year: tuple[date, date],
    found: InForce[DeclaredReturnRule],
    stretch: Stretch,
    *,
    again: bool,
) -> Run | None:
    """Return the product's run that has not ended, whosever it is, or one begun for a cohort; None while its year waits."""
    async with db.unit_of_work(tenant.tenant_id) as session:
        await queries.hold_product(session, product)
        run = await queries.open_run(session, product)
        if run is not None:
            return run
        later = await queries.later_run(session, product, year[0])
        if later is not None and not again:
            raise LaterYearCredited(year=later.isoformat())
        today = business_date(await ledger.scheme_now(session), tenant.time_zone)
        terms = year_terms(found.rule, year, await figures_for(session, tenant), today=today)
        if terms is None:
            return None
        own = structs.replace(
            terms[0], rule=found.ref, joined_from=stretch.joined_from, joined_until=stretch.joined_until
        )
        run = await queries.begin_run(session, product, year, own, terms[1], is_final=terms[2])
        await pooling.check_covered(session, tenant, run, weighed(own))
        await record_run(
            session,
            tenant,
            RunDecided(
                kind="interest",
                run_no=run.run_no,
                product=product,
                decided_on=run.credited_on,
                rules=[found.ref],
                inputs=_facts(run),
            ),
        )
        return run


def _is_of(run: Run, year: tuple[date, date], stretch: Stretch) -> bool:
    return (run.year_from, run.terms.joined_from, run.terms.joined_until) == (
        year[0],
        stretch.joined_from,
        stretch.joined_until,
    )


async def _go_on(db: Database, tenant: Tenant, run: Run, actor: str, progress: Callable[[int], None]) -> Came:
    async with db.unit_of_work(tenant.tenant_id) as session:
        ranges = await queries.open_ranges(session, run.run_no)
    for number in ranges:
        came = await _credit_range(db, tenant, run, number, actor)
        progress(came.members)
    return await _finish(db, tenant, run, actor)


async def _credit_range(db: Database, tenant: Tenant, run: Run, number: int, actor: str) -> Came:
    weights = weighed(run.terms)

    async def once() -> Came:
        async with db.unit_of_work(tenant.tenant_id) as session:
            members = await queries.hold_range(session, run.run_no, number)
            if members is None:
                return Came()
            await queries.count_interest(session, run, members, weights)
            reserve = Account("interest-reserve", tenant.asset.symbol, run.product)
            owed = Account("overpayment-receivable", tenant.asset.symbol, run.product)
            codes = await ledger.account_codes(session, {reserve, owed})
            posting = Posting(
                day=run.credited_on,
                actor=await ledger.actor_id(session, actor),
                pack=tenant.pack_id,
                decision=await ledger.decision_id(
                    session, trace(run.product, [run.terms.rule] if run.terms.rule else [])
                ),
                reserve=codes[reserve],
                owed=codes[owed],
                facts=_facts(run),
            )
            if run.terms.pool is None:
                return await queries.book_interest(session, run, number, posting)
            # Others' payments may have come into the year since it was counted; nobody else books of the reserve meanwhile.
            await queries.hold_product(session, run.product)
            came = await queries.book_interest(session, run, number, posting)
            await pooling.check_covered(session, tenant, run, None)
            return came

    return await retry_transaction(once)


async def years_to_credit_again(session: AsyncSession, tenant: Tenant) -> list[tuple[str, date]]:
    """Return (product, first day) of credited years that earn otherwise by the rules and figures in force, and of all after them."""
    figures = await figures_for(session, tenant)
    credited: dict[str, dict[date, list[YearTerms]]] = {}
    for product, year_from, terms in await queries.credited_terms(session):
        credited.setdefault(product, {}).setdefault(year_from, []).append(terms)
    found: list[tuple[str, date]] = []
    for product, years in sorted(credited.items()):
        first = next(
            (day for day, runs in sorted(years.items()) if _differs(tenant, product, day, runs, figures)), None
        )
        found.extend((product, day) for day in sorted(years) if first is not None and day >= first)
    return found


def _differs(tenant: Tenant, product: str, year_from: date, runs: Sequence[YearTerms], figures: Figures) -> bool:
    """Return whether some cohort of a year would earn by other terms than its last run's, for the periods that it credited."""
    year = tenant.product(product).scheme_year(year_from)
    stood = {(one.joined_from, one.joined_until): one for one in runs}
    for stretch, found in tenant.book(product).in_force_by_joining(DeclaredReturnRule, year):
        last = stood.get((stretch.joined_from, stretch.joined_until))
        if last is None:
            return True
        now = year_terms(found.rule, year, figures, today=last.ends[-1])
        if (
            now is not None
            and structs.replace(
                now[0], rule=last.rule, joined_from=last.joined_from, joined_until=last.joined_until, pool=last.pool
            )
            != last
        ):
            return True
    return False


async def foreseen_interest(
    session: AsyncSession, pack: Pack, product: str, members: tuple[int, int], *, on: date, figures: Figures
) -> dict[int, int]:
    """Return what the scheme year that a day lies in earns a range of members by a pack's rules, in all; nothing is booked.

    As if the year had ended with what has moved by now. Smallest units.

    Raises:
        ReturnNotDeclared, SeriesValueMissing: a rate is not known, and the rule gives none in its place.
    """
    year = pack.product(product).scheme_year(on)
    found: dict[int, int] = {}
    for stretch, rule in pack.books[product].in_force_by_joining(DeclaredReturnRule, year):
        terms = year_terms(rule.rule, year, figures, today=year[1])
        if terms is None:
            continue
        own = structs.replace(terms[0], joined_from=stretch.joined_from, joined_until=stretch.joined_until)
        run = Run(0, product, *year, terms[1], terms[2], own)
        found |= dict(await queries.foreseen_interest(session, run, members, weighed(own)))
    return found


async def _finish(db: Database, tenant: Tenant, run: Run, actor: str) -> Came:
    async with db.unit_of_work(tenant.tenant_id) as session:
        await queries.hold_product(session, run.product)
        came = await queries.came_to(session, run.run_no)
        open_run = await queries.open_run(session, run.product)
        if open_run is not None and open_run.run_no == run.run_no:
            paid = await pooling.pay_for_run(session, tenant, run, came.credited - came.recovered - came.uncovered)
            (posted,) = await ledger.post(
                session,
                [
                    Entry(
                        member_id=house_member(tenant.tenant_id),
                        kind=EventKind.INTEREST_DECLARED,
                        business_date=run.credited_on,
                        actor=await ledger.actor_id(session, actor),
                        pack=tenant.pack_id,
                        decision=await ledger.decision_id(session, trace(run.product, [run.terms.rule] if run.terms.rule else [])),
                        body={
                            **_facts(run), "members": came.members, "credited": str(came.credited),
                            "recovered": str(came.recovered), "uncovered": str(came.uncovered),
                            **({"distributed": str(paid.distributed), "topped_up": str(paid.settled.topped_up),
                                "reserved": str(paid.settled.reserved)} if run.terms.pool and run.is_final else {}),
                        },
                        transfers=paid.transfers,
                    )
                ],
            )  # fmt: skip
            await queries.finish_run(
                session,
                run.run_no,
                posted.event_id,
                distributed=paid.distributed,
                topped_up=paid.settled.topped_up,
                reserved=paid.settled.reserved,
            )

    return came


def _report(tenant: Tenant, product: str, year_from: date, done: Sequence[tuple[Run, Came]]) -> InterestReport:
    """Return what the runs over a year's cohorts came to together."""
    if not done:
        return InterestReport(product, year_from, waiting=True)

    def major(minor: int) -> str:
        return f"{Amount(minor, tenant.asset).decimal():f}"

    return InterestReport(
        product=product,
        year_from=year_from,
        waiting=False,
        credited_on=max(run.credited_on for run, _ in done),
        is_final=all(run.is_final for run, _ in done),
        bases=tuple(dict.fromkeys(basis for run, _ in done for basis in _basis(run))),
        members=sum(came.members for _, came in done),
        credited=major(sum(came.credited for _, came in done)),
        recovered=major(sum(came.recovered for _, came in done)),
        uncovered=major(sum(came.uncovered for _, came in done)),
        assumptions=tenant.assumptions(product, [run.terms.rule for run, _ in done if run.terms.rule]),
    )


def _basis(run: Run) -> list[str]:
    return [one.told() for one in run.terms.rates]


def _facts(run: Run) -> dict[str, object]:
    return {
        "product": run.product,
        "year_from": run.year_from.isoformat(),
        "run": run.run_no,
        "final": str(run.is_final).lower(),
        "bases": _basis(run),
    }
