"""Schedules: what one pensioner is due by the rule, by figures worked out here; and all at once by SQL what each is by the rule."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.benefits import errors
from engine.benefits.queries import schedules as queries
from engine.benefits.rules import (
    ConsumptionOrder,
    GuaranteePeriodRule,
    Holding,
    InstalmentTerms,
    PayersRule,
    PensionDue,
    PensionRule,
    ProofOfLifeRule,
    RetirementOptionRule,
    SchedulePlan,
    ScheduleTerms,
    check_life_proof,
    ends_on,
    life_proven,
    pension_dues,
    plan_retirement,
    plan_schedule,
    share_among_payers,
)
from engine.benefits.rules.consuming import consume, remaining
from engine.benefits.rules.schedules import Standing
from engine.benefits.service import approve_payroll, post_payroll, propose_payroll
from engine.kernel.ids import claim_digest
from engine.kernel.months import months_after
from engine.kernel.rules import Dates
from engine.kernel.series import Figures, Series, SeriesPoint
from engine.kernel.tables import LookupTable
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Transfer
from engine.runtime.database import Database
from engine.tenancy.rules.books import InForce
from engine.tenancy.service import figures_for
from tests.engine.benefits.books import figures_in, held, rule_of, rules_of
from tests.factories.claims import CHECKER, MAKER, Claims, open_scheme

START = date(2023, 1, 31)
OPTIONS = """
[[rule]]
kind = "retirement-option"
id = "drawn-down"
grounds = ["retirement"]
order = { pots = ["p"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }
least_lump_bp = 0
most_lump_bp = 0
lump_rounding = "down"
rest = "programmed-withdrawal"

[[rule]]
kind = "retirement-option"
id = "for-life"
grounds = ["retirement"]
order = { pots = ["p"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }
least_lump_bp = 0
most_lump_bp = 0
lump_rounding = "down"
rest = "fixed-pension"
"""
PENSIONS = """
[[rule]]
kind = "pension"
id = "yearly"
form = "programmed-withdrawal"
table = "factors"
column = "factor"
every_months = 3
due = "in-advance"
pay_day = "day-of-start"
rounding = "down"

[[rule]]
kind = "pension"
id = "fixed"
form = "fixed"
amount = "100.00"
every_months = 1
due = "in-arrears"
pay_day = "last-of-month"
indexed_by = "prices"
rounding = "half-up"
"""
FACTORS = LookupTable(
    "factors",
    ("age", "sex"),
    {(str(age), sex): {"factor": f"{25 - (age - 50) / 2:g}"} for age in range(50, 100) for sex in ("female", "male")},
)
TABLES = {"factors": FACTORS}


def index(*points: tuple[str, str]) -> Series:
    return Series(
        "prices",
        "index",
        tuple(SeriesPoint(date.fromisoformat(on), date(2000, 1, 1), Decimal(value), "test") for on, value in points),
    )


def plan_of(option: str, balance: int, figures: Figures, **others: Any) -> SchedulePlan:
    found = rules_of(RetirementOptionRule, OPTIONS)[option]
    choice = plan_retirement(found, balance, figures, on=START, ground="retirement", lump_bp=0)
    pensions = list(rules_of(PensionRule, others.pop("pensions", PENSIONS)).values())
    made = plan_schedule(
        found, choice, pensions, others.get("guarantee"), TABLES, on=START, born_on=date(1962, 6, 15), sex="female"
    )
    assert made is not None
    return made


def test_a_drawdown_is_reckoned_anew_each_year_by_the_age_reached() -> None:
    """At 60 a twentieth of 40,000.00 a year, 500.00 a quarter; at 61 the 38,000.00 left, and 760.00 earned, by 19.5: 496.92."""
    figures = figures_in("INR")
    plan = plan_of("drawn-down", 40_000_00, figures)
    assert plan.keys == {"age": "60", "sex": "female"}
    assert [plan.due_on(number) for number in (1, 2, 3)] == [START, date(2023, 4, 30), date(2023, 7, 31)]
    year = pension_dues(
        plan,
        Standing(),
        held(("p", "own", 40_000_00)),
        lambda n: plan.factor(n, figures, TABLES),
        until=date(2024, 1, 1),
    )
    assert [(one.due, one.reckoned, one.short) for one in year] == [(500_00, 40_000_00, 0)] * 4
    later = pension_dues(
        plan,
        Standing(number=4, reckoned=40_000_00),
        held(("p", "own", 38_760_00)),
        lambda n: plan.factor(n, figures, TABLES),
        until=date(2024, 5, 1),
    )
    assert [(one.number, one.due, one.reckoned) for one in later] == [(5, 496_92, 38_760_00), (6, 496_92, 38_760_00)]


def test_a_fixed_pension_follows_its_index_and_stops_on_a_day() -> None:
    """100.00 a month at its end; the index is 100 at the start and 104 from 1 March: 104.00."""
    figures = figures_in("INR", prices=index(("2023-01-01", "100"), ("2023-03-01", "104")))
    plan = plan_of("for-life", 0, figures)

    def due(until: date, stops_on: date | None = None) -> list[tuple[date, int, int]]:
        found = pension_dues(
            plan,
            Standing(),
            held(("p", "own", 150_00)),
            lambda n: plan.factor(n, figures, TABLES),
            until=until,
            stops_on=stops_on,
        )
        return [(one.due_on, one.due, one.short) for one in found]

    whole = [(date(2023, 2, 28), 100_00, 0), (date(2023, 3, 31), 104_00, 54_00), (date(2023, 4, 30), 104_00, 104_00)]
    assert due(date(2023, 5, 1)) == whole
    assert due(date(2023, 5, 1), date(2023, 4, 30)) == whole[:2]
    owed = pension_dues(
        plan,
        Standing(number=3, owed=158_00),
        held(("p", "own", 500_00)),
        lambda n: plan.factor(n, figures, TABLES),
        until=date(2023, 6, 1),
    )
    assert [(one.due, one.arrears, one.short) for one in owed] == [(104_00, 158_00, 0)]
    assert plan.amount_of(2, figures, TABLES) == 104_00
    assert plan.amount_of(2, figures_in("INR"), TABLES) is None
    assert plan_of("drawn-down", 40_000_00, figures).amount_of(1, figures, TABLES) is None


def test_what_the_payroll_cannot_pay_by_is_refused_with_the_claim() -> None:
    figures = figures_in("INR")
    capped = PENSIONS.replace('rounding = "half-up"', 'rounding = "half-up"\nmost = "50.00"\nabove_most = "stays"')
    with pytest.raises(errors.PensionNotOffered):
        plan_of("for-life", 0, figures, pensions=capped)


def test_a_guarantee_period_is_kept_with_the_schedule() -> None:
    rule = rule_of(
        GuaranteePeriodRule,
        '[[rule]]\nkind = "guarantee-period"\nid = "ten-years"\nyears = 10\nleap_day = "1-march"\npayee = "nominees"\nshare_bp = 10000\nrounding = "down"\n',
    )
    assert plan_of("for-life", 0, figures_in("INR"), guarantee=rule).guaranteed_until == date(2033, 1, 31)


def test_a_proof_of_life_carries_for_its_months_and_days_of_grace() -> None:
    found = rule_of(
        ProofOfLifeRule,
        '[[rule]]\nkind = "proof-of-life"\nid = "life"\nevery_months = 12\ngrace_days = 30\nsources = ["agent", "register"]\nafter_death = "month-of-death"\n',
    )
    proven = life_proven(found.rule, date(2024, 2, 29))
    assert (proven.due_on, proven.until) == (date(2025, 2, 28), date(2025, 3, 30))
    check_life_proof(found, START, "agent", START)
    for source, seen_on in (("neighbour", START), ("agent", date(2023, 2, 1))):
        with pytest.raises(errors.LifeProofNotTaken):
            check_life_proof(found, seen_on, source, START)
    assert ends_on(found.rule, date(2023, 12, 5)) == date(2024, 1, 1)
    assert ends_on(None, date(2023, 12, 5)) == date(2023, 12, 6)


# -- all at once


@dataclass
class Case:
    """A schedule, what its pensioner holds, and how far it has come by the rule of one."""

    member_id: int
    claim_id: int
    plan: SchedulePlan
    holdings: tuple[Holding, ...]
    standing: Standing = field(default_factory=Standing)


def drawn_terms(data: st.DataObject) -> ScheduleTerms:
    ways: st.SearchStrategy[Any] = st.sampled_from(["in-order", "pro-rata"])
    origins: list[Any] = data.draw(st.permutations(["own", "state-match", "gift"]))
    order = ConsumptionOrder(
        pots=tuple(data.draw(st.permutations(["pension", "other"]))),
        pots_by=data.draw(ways),
        origins=tuple(origins[: data.draw(st.integers(1, 3))]),
        origins_by=data.draw(ways),
    )
    every: Any = data.draw(st.sampled_from([1, 2, 3, 6, 12]))
    rounding: Any = data.draw(st.sampled_from(["down", "up", "half-up", "half-even", "nearest-down"]))
    form: Any = data.draw(st.sampled_from(["fixed", "unpaid-over-left", "drawdown", "pension"]))
    if form in ("fixed", "unpaid-over-left"):
        terms = InstalmentTerms(
            least_years=1, most_years=20, every_months=every, amount=form, unpaid_earns=True, rounding=rounding,
            indexed_by="prices" if form == "fixed" and data.draw(st.booleans()) else None,
            index_lag_months=data.draw(st.integers(0, 3)), first_due=data.draw(st.sampled_from(["at-once", "after-one-period"])),
        )  # fmt: skip
        return ScheduleTerms(form=form, order=order, instalments=terms)
    said: dict[str, Any] = (
        {"form": "programmed-withdrawal", "table": "factors", "column": "factor"}
        if form == "drawdown"
        else {
            "form": "fixed",
            "amount": data.draw(st.integers(1, 10**6).map(lambda minor: f"{minor // 100}.{minor % 100:02d}")),
        }
    )
    pension = PensionRule(
        id="drawn", source="test", confidence="high", every_months=every, rounding=rounding, index_lag_months=data.draw(st.integers(0, 3)),
        due=data.draw(st.sampled_from(["in-advance", "in-arrears"])), indexed_by="prices" if data.draw(st.booleans()) else None,
        pay_day=data.draw(st.sampled_from(["day-of-start", "first-of-month", "last-of-month"])), **said,
    )  # fmt: skip
    return ScheduleTerms(form=form, order=order, pension=pension)


def drawn_plan(data: st.DataObject, terms: ScheduleTerms) -> SchedulePlan:
    rule = terms.instalments or terms.pension
    assert rule is not None
    late = (
        terms.pension.due == "in-arrears"
        if terms.pension
        else terms.instalments and terms.instalments.first_due != "at-once"
    )
    taxed = data.draw(st.integers(0, 10**7))
    return SchedulePlan(
        terms=terms,
        rules=("drawn@2019-02-15",),
        started_on=data.draw(st.dates(date(2034, 9, 1), date(2036, 1, 31))),
        lead_months=rule.every_months if late else 0,
        every_months=rule.every_months,
        instalments=data.draw(st.integers(1, 24)) if terms.instalments else 0,
        amount=data.draw(st.integers(0, 10**6)) if terms.form == "fixed" else 0,
        rest=0,
        keys={"age": str(data.draw(st.integers(50, 80))), "sex": "female"} if terms.form == "drawdown" else {},
        tax=data.draw(st.integers(0, taxed)),
        taxed=taxed,
    )


@pytest.fixture
async def scheme(db: Database, tenant_id: int, tmp_path: Path) -> Claims:
    """PM-SYM with an index and factors: the fund and the state pay once a pot is empty, and owe what they lack."""
    opened = await open_scheme(db, tenant_id, tmp_path, "in-pm-sym", "2036-02-20T08:00:00")
    prices = index(
        *(
            (f"{year}-{month:02d}-01", str(90 + (year * 37 + month * 11) % 50))
            for year in (2034, 2035, 2036)
            for month in range(1, 13)
        )
    )
    pack = replace(
        opened.tenant.pack,
        tables={**opened.tenant.pack.tables, **TABLES},
        series={**opened.tenant.pack.series, "prices": prices},
    )
    opened.tenant = replace(opened.tenant, pack=pack)
    return opened


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_all_pensioners_at_once_are_due_what_each_is_by_the_rule(scheme: Claims, data: st.DataObject) -> None:
    """Two payrolls one after the other, every form and order, pools that run dry in between; to the smallest unit."""
    terms = [drawn_terms(data) for _ in range(data.draw(st.integers(1, 3)))]
    plans = [drawn_plan(data, data.draw(st.sampled_from(terms))) for _ in range(data.draw(st.integers(1, 8)))]
    pots = [data.draw(st.lists(st.integers(0, 10**6), min_size=6, max_size=6)) for _ in plans]
    given_to_pools = [data.draw(st.lists(st.integers(0, 10**6), min_size=2, max_size=2)) for _ in range(2)]
    await scheme.run("update pension_schedules set is_running = false where tenant_id = :t")
    await scheme.run(
        "update payroll_runs set state = 'rejected', checker = 'staff:9', decided_event = 1 where tenant_id = :t and state = 'proposed'"
    )
    places = [(pot, origin) for pot in ("pension", "other") for origin in ("own", "state-match", "gift")]
    cases = [
        await begun(scheme, plan, held(*((*place, minor) for place, minor in zip(places, amounts, strict=True))))
        for plan, amounts in zip(plans, pots, strict=True)
    ]
    cases.sort(key=lambda one: (one.member_id, one.claim_id))
    for month, more in zip((date(2036, 1, 1), date(2036, 2, 1)), given_to_pools, strict=True):
        pools = await filled(scheme, more)
        run = await propose_payroll(scheme.db, scheme.tenant, scheme.product, month, actor=MAKER)
        expected = await by_the_rule(scheme, cases, months_after(month, 1), pools)
        assert await counted(scheme, run.row.run_no) == expected
        said = {"digest": run.row.digest, "actor": CHECKER}
        await approve_payroll(scheme.db, scheme.tenant, run.row.run_no, **said)
        assert await post_payroll(scheme.db, scheme.tenant, run.row.run_no) == len(expected)
        await scheme.run(
            "update payroll_runs set state = 'done' where tenant_id = :t and run_no = :run", run=run.row.run_no
        )
        await scheme.run("update payroll_payments set state = 'dropped' where tenant_id = :t and state = 'waiting'")
    assert not await scheme.broken()


async def begun(scheme: Claims, plan: SchedulePlan, holdings: tuple[Holding, ...]) -> Case:
    member_id, claim_id = secrets.randbits(60) + 1, secrets.randbits(60) + 1
    money, product, order = scheme.tenant.asset.symbol, scheme.product, plan.terms.order
    bank = Account("collections", money, party=scheme.channel)
    places = [(pot, origin) for pot in order.pots for origin in order.origins]
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        held_in = {one: Account("cash", money, product, one.pot, one.origin) for one in holdings}
        cash = [Account("cash", money, product, *place) for place in places]
        payable = [Account("payable", money, product, *place) for place in places]
        codes = await ledger.account_codes(session, {bank, *held_in.values(), *cash, *payable})
        entry = Entry(
            member_id=member_id,
            kind=EventKind.CONTRIBUTION_RECEIVED,
            business_date=date(2034, 1, 1),
            actor=await ledger.actor_id(session, "partner:1"),
            claims=(claim_digest(scheme.tenant.tenant_id, f"provider:{scheme.channel}", str(claim_id)),),
            transfers=[
                Transfer(one.minor, codes[bank], codes[account]) for one, account in held_in.items() if one.minor
            ],
        )
        (fate,) = await ledger.post(session, [entry])
        trace: dict[str, Any] = {"product": product, "rules": list(plan.rules), "terms": queries.stored(plan.terms)}
        await queries.add_schedule(
            session, member_id=member_id, claim_id=claim_id, product=product, plan=plan,
            decision=await ledger.decision_id(session, trace), event_id=fate.event_id,
            cash=[codes[one] for one in cash], payable=[codes[one] for one in payable], life_until=None,
        )  # fmt: skip
    return Case(member_id, claim_id, plan, holdings)


async def filled(scheme: Claims, minor: Sequence[int]) -> list[int]:
    """Put money into the pools; return what each has."""
    money, product = scheme.tenant.asset.symbol, scheme.product
    pools = [Account("pension-pool", money, product, party=role) for role in ("scheme", "state")]
    bank = Account("collections", money, party=scheme.channel)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        codes = await ledger.account_codes(session, {bank, *pools})
        more = [(codes[pool], one) for pool, one in zip(pools, minor, strict=True)]
        entry = Entry(
            member_id=-scheme.tenant.tenant_id,
            kind=EventKind.STATEMENT_MATCHED,
            business_date=date(2034, 1, 1),
            actor=await ledger.actor_id(session, "staff:9"),
            transfers=[Transfer(one, codes[bank], code) for code, one in more if one],
        )
        await ledger.post(session, [entry])
    found = []
    for code, _ in more:
        rows = await scheme.rows(
            "select coalesce(sum(case when credit = :c then amount else -amount end), 0)::bigint from transfers where :c in (debit, credit)",
            c=code,
        )
        found.append(rows[0][0])
    return found


async def by_the_rule(scheme: Claims, cases: list[Case], until: date, pools: list[int]) -> list[tuple[Any, ...]]:
    """Return what each pensioner is due, one after the other, by the rules of one; the cases have come so far then."""
    payers = scheme.tenant.rule(PayersRule, product=scheme.product, dates=Dates(on=date(2036, 2, 20)))
    assert payers is not None
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        figures = await figures_for(session, scheme.tenant)
    left, found = dict(zip(payers.rule.then, pools, strict=True)), []
    for case in cases:
        plan = case.plan

        def times(number: int, plan: SchedulePlan = plan) -> Fraction:
            return plan.factor(number, figures, scheme.tenant.pack.tables)

        owed = 0
        for one in pension_dues(plan, case.standing, case.holdings, times, until=until):
            row, lacking = told(case, one, payers, left)
            found.append(row)
            owed += lacking
            taken = consume(one.due + one.arrears, case.holdings, plan.terms.order)
            case.holdings = remaining(case.holdings, taken)
            case.standing = Standing(number=one.number, reckoned=one.reckoned, owed=owed)
    return found


def told(case: Case, one: PensionDue, payers: InForce[PayersRule], left: dict[str, int]) -> tuple[tuple[Any, ...], int]:
    """Return an instalment as the payroll notes it, and what it lacks; takes from the pools what they pay."""
    order = case.plan.terms.order
    own = sum(part.minor for part in one.taken)
    shared = share_among_payers(payers, one.due + one.arrears, own, left)
    by = dict(shared.parts)
    pooled = [by.get(role, 0) for role in payers.rule.then]
    for role in payers.rule.then:
        left[role] -= by.get(role, 0)
    taken = {(part.pot, part.origin): part.minor for part in one.taken}
    gross = [taken.get((pot, origin), 0) for pot in order.pots for origin in order.origins]
    cells = list(gross)
    gross[0] += sum(pooled)
    tax = sum(gross) * case.plan.tax // case.plan.taxed if case.plan.taxed else 0
    net, rest = [], tax
    for minor in gross:
        net.append(minor - min(minor, rest))
        rest -= min(minor, rest)
    row = (
        case.member_id, one.number, one.due_on, one.due, one.arrears, cells, pooled, shared.owed_minor, tax, net, one.reckoned,
    )  # fmt: skip
    return row, shared.owed_minor


async def counted(scheme: Claims, run_no: int) -> list[tuple[Any, ...]]:
    return await scheme.rows(
        """select member_id, number, due_on, due, arrears, taken, pooled, lacking, tax, net, reckoned from pension_instalments
            where run_no = :run order by member_id, claim_id, number""",
        run=run_no,
    )
