"""Fees of all members at once, against PostgreSQL; the rules of one member are the oracle."""

import asyncio
import dataclasses
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from engine.access.errors import SamePerson
from engine.app import KINDS
from engine.benefits import service
from engine.benefits.api.charging import shown
from engine.benefits.errors import (
    FeeKeyMissing,
    FeeRunChanged,
    FeeRunDecided,
    FeeRunOpen,
    FeeTooSoon,
    NoFeeDue,
    UnknownFeeRun,
)
from engine.benefits.queries.charging import FeeRun
from engine.benefits.queries.charging_laws import FEE_LAWS
from engine.benefits.rules import FeeCapRule, FeeCase, FeeRule, Holding, fees_due, take_fees
from engine.benefits.rules.charging import period_of
from engine.funds.rules.interest import Movement
from engine.kernel.rules import Dates
from engine.kernel.series import Figures
from engine.ledger import queries as ledger_queries
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Transfer
from engine.reports.service.telling import Teller
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.errors import UnknownDecision
from engine.tenancy.rules.books import decode_book
from engine.tenancy.service import Tenant, explain_decision, load_pack, zero_results
from tests.engine.funds.conftest import Scheme
from tests.engine.funds.test_crediting import move

ROOT = Path(__file__).parents[3]
PRODUCT = "nps-lite"
YEAR = (date(2023, 4, 1), date(2024, 4, 1))
END = date(2024, 3, 31)
COMMON = 'source = "test"\nconfidence = "high"\n'
LAWS = (*ledger_queries.LAWS, *FEE_LAWS)
OWN_FIRST = (
    '{ pots = ["retirement", "savings"], pots_by = "in-order", origins = ["own", "employer"], origins_by = "in-order" }'
)


def fee(name: str, *lines: str, order: str = OWN_FIRST, **over: str) -> str:
    """A rule of a fee in TOML: a year's, out of cash, unless it is said otherwise."""
    known = {
        "charged": '"year"', "payee": '"operator"', "part_period": '"whole"', "taken_from": '"cash"', "rank": "1",
        "when_short": '"take-what-is-there"', "rounding": '"half-up"',
    } | over  # fmt: skip
    if known["taken_from"] != '"billed"':
        known = {"may_empty": "true", "order": order} | known
    return "\n".join(
        ["[[rule]]", 'kind = "fee"', f'id = "{name}"', COMMON, *(f"{k} = {v}" for k, v in known.items()), *lines, ""]
    )


def cap(name: str, fees: Sequence[str], most: str, *, per: str = "scheme-year", vat: bool = False) -> str:
    return "\n".join(
        [
            "[[rule]]", 'kind = "fee-cap"', f'id = "{name}"', COMMON, f"fees = {list(fees)!r}".replace("'", '"'),
            f'per = "{per}"', f'most = "{most}"', f"includes_vat = {str(vat).lower()}", "",
        ]
    )  # fmt: skip


def with_rules(scheme: Scheme, *rules: str) -> Scheme:
    """The scheme with these rules and no others: no funds, so that money stays where it is paid in."""
    book, problems = decode_book(PRODUCT, {f"{PRODUCT}/rules/2010-04-01.toml": "\n".join(rules).encode()}, KINDS)
    assert not problems, problems
    pack = dataclasses.replace(scheme.tenant.pack, books={PRODUCT: book}, tables={})
    return dataclasses.replace(scheme, tenant=dataclasses.replace(scheme.tenant, pack=pack))


@pytest_asyncio.fixture
async def scheme(db: Database, tenant_id: int, tmp_path: Path) -> Scheme:
    """A scheme on 2 April 2024, its years from April on."""
    pack = load_pack(ROOT / "tenants/in-nps-lite", KINDS)
    async with db.unit_of_work(tenant_id) as session:
        code = await session.scalar(text("select code from tenants where tenant_id = :t"), {"t": tenant_id})
        pack_id = await ledger.pack_id(session, pack.sha256, {})
    made = Scheme(db, Tenant(tenant_id, code, pack, pack_id), FileKeyStore(tmp_path / "keys.toml"))
    await made.clock("2024-04-02T12:00:00")
    return made


async def pay_in(
    scheme: Scheme, member: int, minor: int, on: date = YEAR[0], *, pot: str = "retirement", origin: str = "own"
) -> None:
    """Book a payment into one pot, of one origin."""
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        bank, cash = Account("collections", "INR", party="upi"), Account("cash", "INR", PRODUCT, pot, origin)
        codes = await ledger.account_codes(session, {bank, cash})
        await ledger.post(
            session,
            [
                Entry(
                    member_id=member, kind=EventKind.STATUS_RECORDED, business_date=on,
                    actor=await ledger.actor_id(session, "partner:1"), transfers=[Transfer(minor, codes[bank], codes[cash])],
                )
            ],
        )  # fmt: skip


async def propose(scheme: Scheme, on: date = END, **options: Any) -> FeeRun:
    return await service.propose_fees(scheme.db, scheme.tenant, PRODUCT, on, actor="staff:1", **options)


async def approve(scheme: Scheme, run: FeeRun, **options: Any) -> FeeRun:
    return await service.approve_fees(scheme.db, scheme.tenant, run.run_no, run.digest, actor="staff:2", **options)


async def charge(scheme: Scheme, on: date = END, **options: Any) -> FeeRun:
    """Propose and approve a run."""
    run = await propose(scheme, on, **options)
    return await approve(scheme, run) if run.state == "proposed" else run


async def holds(scheme: Scheme, member: int) -> dict[tuple[str, str], int]:
    """A member's money by pot and origin."""
    found = await scheme.rows(
        """select c.pot, c.origin, b.credits - b.debits from balances b join chart c on c.code = b.code
            where b.member_id = :m and c.kind = 'cash' and b.credits > b.debits""",
        m=member,
    )
    return {(pot, origin): minor for pot, origin, minor in found}


async def control(scheme: Scheme, kind: str, party: str = "") -> int:
    """What a control account has on its credit side more than on its debit side."""
    ((found,),) = await scheme.rows(
        """select coalesce(sum(case when t.credit = c.code then t.amount else -t.amount end), 0)::bigint
             from chart c join transfers t on c.code in (t.debit, t.credit) where c.kind = :k and (:p = '' or c.party = :p)""",
        k=kind,
        p=party,
    )
    return int(found)


async def broken(scheme: Scheme) -> list[Any]:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await ledger.check(session, LAWS)


async def test_a_year_is_proposed_by_one_approved_by_another_and_taken_once(scheme: Scheme) -> None:
    scheme = with_rules(scheme, fee("annual", 'amount = "100.00"', 'vat = "18"'))
    members = await scheme.members(["first"] * 3)
    for member, minor in zip(members, [50_000, 9_000, 0], strict=True):
        if minor:
            await pay_in(scheme, member, minor)

    run = await propose(scheme)
    assert (run.state, run.members, run.net, run.vat) == ("proposed", 3, 30_000, 5_400)
    assert [(one.fee, one.payee, one.members) for one in run.by_fee] == [("annual", "operator", 3)]
    assert await control(scheme, "fees-payable") == 0
    with pytest.raises(SamePerson):
        await service.approve_fees(scheme.db, scheme.tenant, run.run_no, run.digest, actor="staff:1")
    with pytest.raises(FeeRunChanged):
        await service.approve_fees(scheme.db, scheme.tenant, run.run_no, "0" * 64, actor="staff:2")
    with pytest.raises(FeeRunOpen):
        await propose(scheme)

    done = await approve(scheme, run)
    # Of 90.00 that are there, 76.27 are the fee and 13.73 the tax of 18 % in it.
    assert [await holds(scheme, one) for one in members] == [{("retirement", "own"): 38_200}, {}, {}]
    assert (await control(scheme, "fees-payable", "operator"), await control(scheme, "vat-payable")) == (17_627, 3_173)
    assert (done.state, done.taken, done.owed, done.waived, done.checker) == ("done", 20_800, 0, 14_600, "staff:2")
    with pytest.raises(FeeRunDecided):
        await approve(scheme, run)
    again = await charge(scheme)
    assert (again.state, again.members) == ("empty", 0)
    kinds = await scheme.rows("select kind, business_date from events where kind between 185 and 189 order by event_id")
    assert kinds == [(185, date(2024, 4, 2)), (186, date(2024, 4, 2)), (188, END)]
    assert not await broken(scheme)


async def test_whom_a_fee_takes_nothing_of_is_on_record_with_the_reason(scheme: Scheme) -> None:
    """The run's decision counts them; of each it says which fee, on what, and why; it is explained in words."""
    rules = (
        fee("annual", 'percent = "1"', 'percent_of = "assets"', 'waived_up_to = "10.00"'),
        fee("paper", 'amount = "5.00"', "waived_months = 12", rank="2"),
        cap("most", ["annual"], "3.00"),
    )
    scheme = with_rules(scheme, *rules)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        stored = {"code": scheme.tenant.code, "files": {f"{PRODUCT}/rules/2010-04-01.toml": "\n".join(rules)}}
        pack_id = await ledger.pack_id(session, "f" * 64, stored)
    scheme = dataclasses.replace(scheme, tenant=dataclasses.replace(scheme.tenant, pack_id=pack_id))
    (rich,) = await scheme.members(["first"])
    (poor,) = await scheme.members(["first"], joined_on=date(2023, 6, 1))
    await pay_in(scheme, rich, 50_000)
    await pay_in(scheme, poor, 900)
    first = await charge(scheme)
    await charge(scheme)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        of_rich, of_poor = [await zero_results(session, one) for one in (rich, poor)]
        run = await explain_decision(session, of_poor[-1].decision_id)
        told = await explain_decision(session, of_poor[-1].decision_id, member_id=poor)
        with pytest.raises(UnknownDecision):
            await explain_decision(session, of_poor[-1].decision_id, member_id=rich)

    assert (first.net, first.members) == (300 + 500, 1)
    assert [(one.run_no, one.subject, one.reason, one.basis) for one in of_rich] == [
        (2, "annual", "charged-before", 49_200), (2, "paper", "charged-before", 49_200),
    ]  # fmt: skip
    assert {(one.run_no, one.subject, one.reason, one.basis) for one in of_poor} == {
        (number, *why) for number in (1, 2) for why in (("annual", "small-balance", 900), ("paper", "new-member", 900))
    }
    assert run.outcome == {"nothing.new-member": 1, "nothing.small-balance": 1}
    assert run.refs == ("annual@2010-04-01", "most@2010-04-01", "paper@2010-04-01")
    assert (run.inputs["run"], run.inputs["on"]) == (1, "2024-03-31")
    assert told.outcome == {"amount": "0", "reason.annual": "small-balance", "reason.paper": "new-member"}
    sentences = Teller.of(scheme.tenant, "en", PRODUCT).decision(told)
    assert "Result – Reason – annual: no fee is taken from so small a balance." in sentences
    assert "Given – Counted on – annual: ₹9.00." in sentences


async def test_a_run_says_what_its_rules_assume(scheme: Scheme) -> None:
    rule = fee("annual", 'amount = "5.00"', 'assumption = "by the operator alone"').replace('"high"', '"low"')
    scheme = with_rules(scheme, rule, fee("paper", 'amount = "1.00"', rank="2"))
    await scheme.members(["first"])

    told = shown(await propose(scheme), scheme.tenant)
    assert [(one.rule, one.assumed) for one in told.assumptions] == [("annual@2010-04-01", "by the operator alone")]


async def test_a_rejected_run_takes_nothing_and_is_charged_anew(scheme: Scheme) -> None:
    scheme = with_rules(scheme, fee("annual", 'amount = "100.00"'))
    (member,) = await scheme.members(["first"])
    await pay_in(scheme, member, 50_000)
    run = await propose(scheme)

    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        with pytest.raises(SamePerson):
            await service.reject_fees(session, scheme.tenant, run.run_no, run.digest, actor="staff:1")
        rejected = await service.reject_fees(session, scheme.tenant, run.run_no, run.digest, actor="staff:2")

    assert rejected.state == "rejected"
    with pytest.raises(FeeRunDecided):
        await approve(scheme, run)
    assert (await charge(scheme)).taken == 10_000
    assert not await broken(scheme)


async def test_days_that_are_not_over_and_days_without_a_fee_are_refused(scheme: Scheme) -> None:
    scheme = with_rules(scheme, fee("annual", 'amount = "100.00"'))
    with pytest.raises(FeeTooSoon):
        await propose(scheme, date(2025, 3, 31))
    with pytest.raises(NoFeeDue):
        await propose(scheme, date(2024, 3, 30))
    with pytest.raises(UnknownFeeRun):
        await service.approve_fees(scheme.db, scheme.tenant, 99, "0" * 64, actor="staff:2")


# -- every member as by the rules of one

PERCENTS = st.sampled_from(["0.5", "1", "2.25", "18", "0.01"])
AMOUNTS = st.integers(1, 30_000).map(lambda minor: f"{minor / 100:.2f}")
POTS, ORIGINS = ("retirement", "savings"), ("own", "employer", "state-match")


@st.composite
def fee_rules(draw: st.DrawFn, number: int) -> str:
    """Draw a fee of any shape that a run serves."""
    charged = draw(st.sampled_from(["year", "quarter", "month", "day", "opening", "contribution"]))
    lines = []
    if charged == "contribution":
        lines += [f'percent = "{draw(PERCENTS)}"', 'percent_of = "transaction"']
    else:
        shape = draw(st.sampled_from(["amount", "assets", "each-day", "whole", "slices"]))
        if shape == "amount" or (shape == "each-day" and charged == "opening"):
            lines.append(f'amount = "{draw(AMOUNTS)}"')
        elif shape in ("assets", "each-day"):
            lines += [f'percent = "{draw(PERCENTS)}"', 'percent_of = "assets"']
            if shape == "each-day":
                lines.append('assets_on = "each-day"')
        else:
            starts = sorted(draw(st.sets(st.integers(0, 100_000), min_size=1, max_size=3)))
            bands = [
                f'{{ from_balance = "{start / 100:.2f}", percent = "{draw(PERCENTS)}" }}'
                if shape == "slices" or draw(st.booleans())
                else f'{{ from_balance = "{start / 100:.2f}", amount = "{draw(AMOUNTS)}" }}'
                for start in starts
            ]
            lines += [f"bands = [{', '.join(bands)}]", f'banding = "{shape}"']
    for name in ("least", "most", "waived_up_to"):
        if draw(st.integers(0, 3)) == 0:
            lines.append(f'{name} = "{draw(AMOUNTS)}"')
    if draw(st.booleans()):
        lines.append(f'vat = "{draw(PERCENTS)}"')
    if draw(st.integers(0, 3)) == 0:
        lines.append(f"waived_months = {draw(st.integers(1, 12))}")
    pots = draw(st.permutations(POTS))[: draw(st.integers(1, 2))]
    origins = draw(st.permutations(ORIGINS))[: draw(st.integers(1, 3))]
    by = st.sampled_from(["in-order", "pro-rata"])
    order = (
        f'{{ pots = {list(pots)!r}, pots_by = "{draw(by)}", origins = {list(origins)!r}, origins_by = "{draw(by)}" }}'
    ).replace("'", '"')
    return fee(
        f"fee{number}",
        *lines,
        order=order,
        charged=f'"{charged}"',
        part_period=f'"{draw(st.sampled_from(["whole", "days", "nothing"]))}"',
        taken_from=draw(st.sampled_from(['"cash"', '"cash"', '"cash"', '"billed"'])),
        rank=str(10 * draw(st.integers(1, 3)) + number),
        may_empty=draw(st.sampled_from(["true", "false"])),
        when_short=f'"{draw(st.sampled_from(["take-what-is-there", "waive", "owe"]))}"',
        rounding=f'"{draw(st.sampled_from(["down", "up", "half-up", "half-even", "nearest-down"]))}"',
    )


@dataclasses.dataclass
class Life:
    """A member of the property: when they joined, and what they paid in."""

    joined_on: date
    payments: list[tuple[date, str, str, int]]

    def before(self, day: date) -> int:
        """Return what they had before a day."""
        return sum(minor for on, *_, minor in self.payments if on < day)


def by_rules(
    scheme: Scheme, life: Life
) -> tuple[dict[str, tuple[int, int]], dict[str, tuple[int, int]], dict[tuple[str, str], int]]:
    """What one member is due by fee, what is taken and owed, and what is left, by the rules of one member."""
    book, figures = scheme.tenant.pack.books[PRODUCT], Figures(scheme.tenant.asset)
    caps = book.all_in_force(FeeCapRule, Dates(on=END))
    found = sorted(book.all_in_force(FeeRule, Dates(on=END)), key=lambda one: (one.rule.rank, one.rule.id))
    net: dict[str, int] = {}
    vat: dict[str, int] = {}
    dues = []
    for one in found:
        since, until = period_of(one.rule.charged, YEAR, END)
        assert until == YEAR[1]
        days = [since + timedelta(days=number) for number in range((until - since).days)]
        case = FeeCase(
            on=END, joined_on=life.joined_on, assets_minor=life.before(until), charged_in_year=dict(net), vat_in_year=dict(vat),
            asset_days=sum(life.before(day + timedelta(days=1)) for day in days),
        )  # fmt: skip
        cases = [case]
        if one.rule.charged == "contribution":
            paid = [minor for on, *_, minor in life.payments if since <= on < until]
            cases = [dataclasses.replace(case, transaction_minor=minor) for minor in paid]
        elif one.rule.charged == "opening":
            cases = [case] if since <= life.joined_on < until else []
        else:
            cases = [dataclasses.replace(case, period_from=since, period_until=until)]
        if cases:
            due = fees_due(one, cases, figures, caps=caps)
            net[one.rule.id], vat[one.rule.id] = due.minor - due.vat_minor, due.vat_minor
            if due.minor:
                dues.append(due)
    holdings: dict[tuple[str, str], int] = {}
    for _, pot, origin, minor in life.payments:
        holdings[pot, origin] = holdings.get((pot, origin), 0) + minor
    taken, _ = take_fees(dues, [Holding(pot, origin, minor) for (pot, origin), minor in holdings.items()])
    for fate in taken:
        for part in fate.parts:
            holdings[part.pot, part.origin] -= part.minor
    lines = {one.found.rule.id: (one.minor - one.vat_minor, one.vat_minor) for one in dues}
    charged = {one.due.found.rule.id: (one.minor, one.owed_minor) for one in taken}
    return lines, charged, {key: minor for key, minor in holdings.items() if minor}


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_all_members_at_once_are_charged_what_each_is_by_the_rules(scheme: Scheme, data: st.DataObject) -> None:
    """Every shape of fee, caps with tax and without, short pots in every order; to the smallest unit."""
    count = data.draw(st.integers(1, 4))
    rules = [data.draw(fee_rules(number)) for number in range(count)]
    for number in range(data.draw(st.integers(0, 2))):
        names = data.draw(st.sets(st.sampled_from([f"fee{one}" for one in range(count)]), min_size=1))
        per = data.draw(st.sampled_from(["charge", "scheme-year"]))
        rules.append(cap(f"cap{number}", sorted(names), data.draw(AMOUNTS), per=per, vat=data.draw(st.booleans())))
    changed = with_rules(scheme, *rules)
    await scheme.rows("update memberships set moved_to = 'gone' where moved_to = '' returning 1")
    lives: dict[int, Life] = {}
    for _ in range(data.draw(st.integers(1, 3))):
        joined = YEAR[0] + timedelta(days=data.draw(st.sampled_from([-400, 0, 200, 300, 340, 360, 365])))
        (member,) = await changed.members(["first"], joined)
        payments = data.draw(
            st.lists(
                st.tuples(
                    st.dates(joined, END),
                    st.sampled_from(POTS), st.sampled_from(ORIGINS), st.integers(1, 200_000),
                ),
                max_size=5,
            )
        )  # fmt: skip
        lives[member] = Life(joined, payments)
        for on, pot, origin, minor in payments:
            await pay_in(changed, member, minor, on, pot=pot, origin=origin)

    run = await charge(changed)

    expected = {member: by_rules(changed, life) for member, life in lives.items()}
    lines: dict[int, dict[str, Any]] = {member: {} for member in lives}
    charged: dict[int, dict[str, Any]] = {member: {} for member in lives}
    for member, name, net, vat in await changed.rows(
        "select member_id, fee, net, vat from fee_lines where run_no = :r", r=run.run_no
    ):
        lines[member][name] = (net, vat)
    for member, name, taken, owed in await changed.rows(
        "select member_id, fee, taken, owed from fee_charges where run_no = :r", r=run.run_no
    ):
        charged[member][name] = (taken, owed)
    assert lines == {member: one[0] for member, one in expected.items()}
    assert charged == {member: one[1] for member, one in expected.items()}
    assert {member: await holds(changed, member) for member in lives} == {
        member: one[2] for member, one in expected.items()
    }
    assert not await broken(changed)


async def test_what_is_owed_whole_waits_for_enough_money(scheme: Scheme) -> None:
    scheme = with_rules(scheme, fee("monthly", 'amount = "30.00"', 'vat = "10"', charged='"month"', when_short='"owe"'))
    (member,) = await scheme.members(["first"])
    await pay_in(scheme, member, 4_000)
    january = await charge(scheme, date(2024, 1, 31))
    assert (january.taken, await holds(scheme, member)) == (3_300, {("retirement", "own"): 700})

    february = await charge(scheme, date(2024, 2, 29))
    assert (february.taken, february.owed, await holds(scheme, member)) == (0, 3_300, {("retirement", "own"): 700})
    assert (await control(scheme, "fees-receivable"), await control(scheme, "fees-payable")) == (-3_300, 6_000)

    await pay_in(scheme, member, 10_000, date(2024, 3, 1))
    march = await charge(scheme, date(2024, 3, 31))
    assert (march.net, march.arrears, march.taken, march.owed) == (3_000, 3_300, 6_600, 0)
    assert await control(scheme, "fees-receivable") == 0
    assert (await control(scheme, "fees-payable"), await control(scheme, "vat-payable")) == (9_000, 900)
    assert await holds(scheme, member) == {("retirement", "own"): 4_100}
    assert not await broken(scheme)


async def test_the_lower_rank_goes_first_and_the_state_s_money_is_not_touched(scheme: Scheme) -> None:
    scheme = with_rules(
        scheme,
        fee("b-annual", 'amount = "20.00"', rank="1"),
        fee("a-monthly", 'amount = "20.00"', charged='"month"', rank="2", payee='"scheme"'),
    )
    (member,) = await scheme.members(["first"])
    await pay_in(scheme, member, 2_500)
    await pay_in(scheme, member, 90_000, origin="state-match")

    run = await charge(scheme)

    assert (await control(scheme, "fees-payable", "operator"), await control(scheme, "fees-payable", "scheme")) == (
        2_000,
        500,
    )
    assert await holds(scheme, member) == {("retirement", "state-match"): 90_000}
    assert (run.taken, run.waived) == (2_500, 1_500)
    assert not await broken(scheme)


async def test_who_leaves_is_charged_by_days_and_not_again_for_the_whole_year(scheme: Scheme) -> None:
    scheme = with_rules(scheme, fee("annual", 'amount = "366.00"', part_period='"days"'))
    (member, other) = await scheme.members(["first"] * 2)
    for one in (member, other):
        await pay_in(scheme, one, 100_000)

    # From 1 April to 9 April: nine days of a year of 366.
    gone = await charge(scheme, date(2023, 4, 10), leaving=member)
    assert (gone.taken, gone.members, gone.left_on) == (900, 1, date(2023, 4, 10))
    whole = await charge(scheme)
    assert (whole.taken, whole.members) == (36_600, 1)
    assert await holds(scheme, member) == {("retirement", "own"): 99_100}
    assert not await broken(scheme)


async def test_a_payment_booked_back_is_charged_by_the_next_run_of_its_month(scheme: Scheme) -> None:
    scheme = with_rules(
        scheme, fee("collection", 'percent = "2"', 'percent_of = "transaction"', charged='"contribution"')
    )
    (member,) = await scheme.members(["first"])
    await pay_in(scheme, member, 10_000, date(2024, 3, 5))
    assert (await charge(scheme)).taken == 200
    await pay_in(scheme, member, 5_000, date(2024, 3, 6))
    assert (await charge(scheme)).taken == 100
    assert (await charge(scheme)).state == "empty"


async def test_a_cap_holds_over_the_year_with_the_tax(scheme: Scheme) -> None:
    scheme = with_rules(
        scheme,
        fee("monthly", 'amount = "10.00"', 'vat = "18"', charged='"month"', payee='"scheme"'),
        cap("all-in", ["monthly"], "25.00", vat=True),
    )
    (member,) = await scheme.members(["first"])
    await pay_in(scheme, member, 100_000)

    # Of the last 1.40 the most whole fee that stays below it with 18 % on it is 1.18.
    taken = [(await charge(scheme, date(2024, month, day))).taken for month, day in ((1, 31), (2, 29), (3, 31))]

    assert taken == [1_180, 1_180, 139]
    assert not await broken(scheme)


@pytest.mark.parametrize("moved", [False, True])
async def test_two_products_may_name_a_fee_alike(scheme: Scheme, *, moved: bool) -> None:
    """Who is in both pays both; who moved from one into the other has paid this year's."""
    rules = [fee("annual", 'amount = "100.00"'), cap("all-in", ["annual"], "150.00")]
    scheme = with_rules(scheme, *rules)
    book, problems = decode_book("micro", {"micro/rules/2010-04-01.toml": "\n".join(rules).encode()}, KINDS)
    assert not problems, problems
    pack = scheme.tenant.pack
    both = (*pack.manifest.products, structs.replace(pack.manifest.products[0], code="micro"))
    pack = dataclasses.replace(
        pack, manifest=structs.replace(pack.manifest, products=both), books={**pack.books, "micro": book}
    )
    scheme = dataclasses.replace(scheme, tenant=dataclasses.replace(scheme.tenant, pack=pack))
    (member,) = await scheme.members(["first"])
    await pay_in(scheme, member, 50_000)
    assert (await charge(scheme)).taken == 10_000
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await session.execute(
            text("""insert into memberships (member_id, since_event, tenant_id, joined_on, from_on, product, group_code)
                    select member_id, 0, tenant_id, joined_on, from_on, 'micro', group_code from memberships where member_id = :m"""),
            {"m": member},
        )
        if moved:
            await session.execute(
                text("update memberships set moved_to = 'micro' where member_id = :m and product = :p"),
                {"m": member, "p": PRODUCT},
            )
        bank, cash = Account("collections", "INR", party="upi"), Account("cash", "INR", "micro", "retirement", "own")
        codes = await ledger.account_codes(session, {bank, cash})
        entry = Entry(
            member_id=member, kind=EventKind.STATUS_RECORDED, business_date=YEAR[0],
            actor=await ledger.actor_id(session, "partner:1"), transfers=[Transfer(50_000, codes[bank], codes[cash])],
        )  # fmt: skip
        await ledger.post(session, [entry])

    run = await service.propose_fees(scheme.db, scheme.tenant, "micro", END, actor="staff:1")

    assert (run.state, run.net) == (("empty", 0) if moved else ("proposed", 10_000))
    if not moved:
        assert (await approve(scheme, run)).taken == 10_000
    assert not await broken(scheme)


async def test_a_cap_of_a_table_asks_which_row(scheme: Scheme) -> None:
    rule = cap("agency", ["annual"], "1.00", per="charge").replace(
        'most = "1.00"', 'table = "recordkeeping"\ncolumn = "annual"'
    )
    changed = with_rules(scheme, fee("annual", 'amount = "20.00"'), rule)
    apy = load_pack(ROOT / "tenants/in-apy", KINDS)
    pack = dataclasses.replace(changed.tenant.pack, tables=apy.tables)
    changed = dataclasses.replace(changed, tenant=dataclasses.replace(changed.tenant, pack=pack))
    (member,) = await scheme.members(["first"])
    await pay_in(scheme, member, 100_000)

    with pytest.raises(FeeKeyMissing):
        await propose(changed)
    assert (await charge(changed, keys={"agency": "kfintech"})).taken == 1_440


# -- giving back


async def refund(scheme: Scheme, run: FeeRun, member: int = 0) -> FeeRun:
    return await service.propose_refund(
        scheme.db, scheme.tenant, run.run_no, reason="wrong-rate", actor="staff:1", member_id=member
    )


async def test_a_fee_wrongly_taken_is_given_back_once_where_it_came_from(scheme: Scheme) -> None:
    scheme = with_rules(
        scheme,
        fee(
            "annual",
            'amount = "60.00"',
            'vat = "18"',
            order=OWN_FIRST.replace('pots_by = "in-order"', 'pots_by = "pro-rata"'),
        ),
        fee("billed", 'amount = "5.00"', taken_from='"billed"', when_short='"owe"', payee='"scheme"', rank="2"),
    )
    members = await scheme.members(["first"] * 3)
    for member in members:
        await pay_in(scheme, member, 5_000)
        await pay_in(scheme, member, 3_000, pot="savings", origin="employer")
    before = [await holds(scheme, one) for one in members]
    run = await charge(scheme)
    assert [await holds(scheme, one) for one in members] != before

    one = await refund(scheme, run, members[0])
    assert (one.state, one.members, one.net, one.vat, one.corrects) == ("proposed", 1, -6_500, -1_080, run.run_no)
    with pytest.raises(SamePerson):
        await service.approve_fees(scheme.db, scheme.tenant, one.run_no, one.digest, actor="staff:1")
    done = await approve(scheme, one)
    assert (done.taken, done.owed) == (-7_080, -500)
    assert await holds(scheme, members[0]) == before[0]
    with pytest.raises(FeeRunDecided):
        await refund(scheme, done)

    rest = await refund(scheme, run)
    assert rest.members == 2
    await approve(scheme, rest)
    assert [await holds(scheme, one) for one in members] == before
    assert [await control(scheme, kind) for kind in ("fees-payable", "vat-payable", "fees-receivable")] == [0, 0, 0]
    assert (await refund(scheme, run)).state == "empty"
    assert not await broken(scheme)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        assert sum(one.taken for one in await service.fees_of(session, members[0])) == 0
    # What was given back may be charged anew.
    assert (await charge(scheme)).members == 3


async def test_what_another_run_has_collected_since_is_not_given_back(scheme: Scheme) -> None:
    scheme = with_rules(scheme, fee("monthly", 'amount = "30.00"', charged='"month"', when_short='"owe"'))
    (member,) = await scheme.members(["first"])
    owing = await charge(scheme, date(2024, 1, 31))
    await pay_in(scheme, member, 10_000, date(2024, 2, 1))
    await charge(scheme, date(2024, 2, 29))

    assert (await refund(scheme, owing)).state == "empty"


# -- stopped, and two at once


async def test_a_run_that_was_stopped_goes_on_and_two_at_once_charge_once(
    scheme: Scheme, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = with_rules(scheme, fee("annual", 'amount = "100.00"', 'vat = "18"'))
    members = sorted(await scheme.members(["first"] * 7))
    for member in members:
        await pay_in(scheme, member, 50_000)
    monkeypatch.setattr("engine.benefits.queries.charging.MOST_MEMBERS", 2)

    def stopping() -> Any:
        seen: list[int] = []

        def stop(count: int) -> None:
            seen.append(count)
            if len(seen) == 2:
                raise RuntimeError("stopped")

        return stop

    with pytest.raises(RuntimeError, match="stopped"):
        await propose(scheme, progress=stopping())
    # A fee that changes meanwhile is none of the run's business.
    later = with_rules(scheme, fee("annual", 'amount = "1.00"'))
    runs = await asyncio.gather(*(propose(later) for _ in range(3)), return_exceptions=True)
    found = [one for one in runs if isinstance(one, FeeRun)]
    assert found
    assert all(isinstance(one, FeeRun | FeeRunOpen) for one in runs)
    run = found[0]
    assert (run.state, run.members, run.net) == ("proposed", 7, 70_000)

    with pytest.raises(RuntimeError, match="stopped"):
        await approve(scheme, run, progress=stopping())
    held = [(await holds(scheme, one))["retirement", "own"] for one in members]
    assert 3 <= held.count(38_200) <= 6, "two ranges of four, or a third that was under way beside the second"
    await asyncio.gather(*(approve(later, run) for _ in range(3)), return_exceptions=True)

    assert {(await holds(scheme, one))["retirement", "own"] for one in members} == {38_200}
    ((state, taken),) = await scheme.rows("select state, taken from fee_runs where run_no = :r", r=run.run_no)
    assert (state, taken) == ("done", 7 * 11_800)
    assert not await broken(scheme)


async def test_money_that_goes_out_beside_a_run_never_makes_a_balance_negative(scheme: Scheme) -> None:
    scheme = with_rules(scheme, fee("annual", 'amount = "100.00"'))
    members = await scheme.members(["first"] * 5)
    for member in members:
        await pay_in(scheme, member, 12_000)
    run = await propose(scheme)

    async def withdraw(member: int) -> bool:
        try:
            await move(scheme, member, [Movement(END, -11_000)])
        except AssertionError:
            return False
        return True

    taking = asyncio.create_task(approve(scheme, run))
    gone = await asyncio.gather(*(withdraw(one) for one in members))
    done = await taking

    left = [sum((await holds(scheme, one)).values()) for one in members]
    assert all(minor in ((0,) if was_first else (2_000,)) for minor, was_first in zip(left, gone, strict=True))
    assert done.taken == sum(12_000 - minor - (11_000 if was else 0) for minor, was in zip(left, gone, strict=True))
    assert not await broken(scheme)


async def test_lines_and_charges_are_never_changed(scheme: Scheme) -> None:
    scheme = with_rules(scheme, fee("annual", 'amount = "100.00"'))
    (member,) = await scheme.members(["first"])
    await pay_in(scheme, member, 50_000)
    await charge(scheme)

    for table in ("fee_lines", "fee_charges"):
        with pytest.raises(ProgrammingError):
            await scheme.rows(f"update {table} set net = 1 returning 1")


DAMAGE = {
    "fees-taken-are-their-charges": "update fee_charges set taken = taken + 1, owed = owed - 1 where taken > 0 and tenant_id = {t}",
    "fees-are-booked-to-their-payees": "update fee_charges set net = net + 1, vat = vat - 1 where tenant_id = {t}",
    "fees-are-what-was-approved": "update fee_charges set net = net + 100, taken = taken + 100 where tenant_id = {t}",
    "fees-keep-their-caps": "update fee_runs set terms = jsonb_set(terms, '{{0,year_caps,0,most}}', '7') where tenant_id = {t}",
    "fee-runs-are-their-ranges": "update fee_ranges set taken = taken + 1 where tenant_id = {t}",
}


@pytest.mark.parametrize("law", [law.name for law in FEE_LAWS])
async def test_damage_is_named(scheme: Scheme, superuser_url: str, database_urls: tuple[str, str], law: str) -> None:
    scheme = with_rules(
        scheme, fee("annual", 'amount = "50.00"', 'vat = "18"'), cap("all-in", ["annual"], "60.00", vat=True)
    )
    for member in await scheme.members(["first"] * 2):
        await pay_in(scheme, member, 50_000)
    await charge(scheme)
    (sql,) = [one.sql for one in FEE_LAWS if one.name == law]
    app, database = (str(psycopg.conninfo.conninfo_to_dict(database_urls[0])[key]) for key in ("user", "dbname"))
    with psycopg.connect(superuser_url, dbname=database) as connection:
        connection.execute("select set_config('app.tenant', %s, true)", (str(scheme.tenant.tenant_id),))

        def found() -> Sequence[Any]:
            connection.execute(f"set local role {app}")
            rows = connection.execute(sql).fetchall()
            connection.execute("reset role")
            return rows

        assert found() == []
        connection.execute("set local session_replication_role = replica")
        assert connection.execute(DAMAGE[law].format(t=scheme.tenant.tenant_id)).rowcount
        assert found()
        connection.rollback()


def test_every_law_has_its_damage() -> None:
    assert DAMAGE.keys() == {law.name for law in FEE_LAWS}


def by_joining(scheme: Scheme, first: str, later: str, since: str = "2023-06-01") -> Scheme:
    files = {f"{PRODUCT}/rules/2010-04-01.toml": first.encode(), f"{PRODUCT}/rules/{since}.toml": later.encode()}
    book, problems = decode_book(PRODUCT, files, KINDS)
    assert not problems, problems
    pack = dataclasses.replace(scheme.tenant.pack, books={PRODUCT: book}, tables={})
    return dataclasses.replace(scheme, tenant=dataclasses.replace(scheme.tenant, pack=pack))


async def test_who_joined_before_keeps_the_fee_its_payee_and_its_cap(scheme: Scheme) -> None:
    old = fee("annual", 'amount = "100.00"', 'vat = "10"') + fee("other", 'amount = "5.00"', rank="2")
    new = fee("annual", 'amount = "30.00"', 'applies_by = "joining"', payee='"keeper"', taken_from='"billed"') + (
        cap("least", ["other"], "2.00").replace('kind = "fee-cap"', 'kind = "fee-cap"\napplies_by = "joining"')
    )
    scheme = by_joining(scheme, old, new)
    (before,) = await scheme.members(["first"], date(2023, 5, 31))
    (after,) = await scheme.members(["first"], date(2023, 6, 1))
    for member in (before, after):
        await pay_in(scheme, member, 50_000, date(2023, 6, 2))
    run = await propose(scheme)
    assert [(one.fee, one.payee, one.members, one.net, one.vat) for one in run.by_fee] == [
        ("annual", "keeper, operator", 2, 13_000, 1_000),
        ("other", "operator", 2, 700, 0),
    ]
    done = await approve(scheme, run)
    assert [sum((await holds(scheme, one)).values()) for one in (before, after)] == [38_500, 49_800]
    assert (done.taken, done.owed) == (11_700, 3_000)
    assert (await control(scheme, "fees-payable", "operator"), await control(scheme, "fees-payable", "keeper")) == (
        10_700,
        3_000,
    )
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        told = {one: await service.fees_of(session, one) for one in (before, after)}
    assert {one: {(fee.fee, fee.payee, fee.net) for fee in fees} for one, fees in told.items()} == {
        before: {("annual", "operator", 10_000), ("other", "operator", 500)},
        after: {("annual", "keeper", 3_000), ("other", "operator", 200)},
    }
    assert (await charge(scheme)).state == "empty"
    assert not await broken(scheme)

    refund = await service.propose_refund(scheme.db, scheme.tenant, run.run_no, reason="wrong", actor="staff:1")
    await approve(scheme, refund)
    assert (await control(scheme, "fees-payable", "operator"), await control(scheme, "fees-payable", "keeper")) == (
        0,
        0,
    )
    assert not await broken(scheme)


async def test_a_fee_that_ends_by_joining_is_charged_to_who_had_it(scheme: Scheme) -> None:
    end = '[[repeal]]\nid = "annual"\napplies_by = "joining"\nsource = "test"\n'
    scheme = by_joining(scheme, fee("annual", 'amount = "100.00"'), end)
    (before,) = await scheme.members(["first"], date(2023, 5, 31))
    await scheme.members(["first"], date(2023, 6, 1))
    run = await propose(scheme)
    assert (run.members, run.net) == (1, 10_000)
    assert [(one.joined_from, one.joined_until) for one in run.terms] == [(None, date(2023, 5, 31))]
    assert await scheme.rows("select member_id from fee_lines where run_no = :n", n=run.run_no) == [(before,)]
