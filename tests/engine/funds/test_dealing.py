"""A dealing day against PostgreSQL: amounts by fractions, cut-offs, stops and races."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime
from fractions import Fraction
from math import floor
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.funds import service as funds
from engine.funds.errors import DayNotReached
from engine.funds.queries import dealings as queries
from engine.funds.rules import Conversion, Pricing
from engine.kernel.prices import Price, units_for
from engine.runtime.database import Role
from tests.engine.funds.conftest import BOOK, PRODUCT, UNMATCHED, Scheme, book_of

PRICES = {"SM001009": "32.6034", "SM002009": "31.0274", "SM003003": "9.87"}
SCALES = {"SM001009": 4, "SM002009": 4, "SM003003": 3}


def bought(amount: int, fund: str, price: str) -> int:
    """The smallest units that paise buy, by fractions."""
    units: Fraction = Fraction(amount, 100) / Fraction(price) * 10 ** SCALES[fund]
    return floor(units)


async def savers(scheme: Scheme, groups: list[str], amounts: list[int], tag: str = "a") -> list[int]:
    members = await scheme.members(groups)
    events = await scheme.receive(
        [
            (member, {"retirement": amount}, f"{tag}{i}")
            for i, (member, amount) in enumerate(zip(members, amounts, strict=True))
        ]
    )
    await scheme.allocate(list(zip(members, events, strict=True)))
    return members


async def test_a_day_from_cash_to_units(scheme: Scheme) -> None:
    first, second, mixed = await savers(scheme, ["first", "second", "mixed"], [50000, 10001, 100_00])
    report = await scheme.deal("2023-04-03")
    assert [(order.fund, order.amount, order.waiting) for order in report.orders] == [
        ("SM001009", "533.33", "no-price"),
        ("SM002009", "133.34", "no-price"),
        ("SM003003", "33.34", "no-price"),
    ]
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.price("2023-04-05", PRICES)
    report = await scheme.deal("2023-04-05")

    assert not report.closed
    assert {order.fund: (order.price_on, order.price, order.members) for order in report.orders} == {
        "SM001009": (date(2023, 4, 5), "32.6034", 2),
        "SM002009": (date(2023, 4, 5), "31.0274", 2),
        "SM003003": (date(2023, 4, 5), "9.87", 1),
    }
    # 100.00 by 33.33, 33.33 and 33.34 %: the first fund takes what rounding leaves, here nothing.
    assert await scheme.units(first) == {"SM001009": bought(50000, "SM001009", "32.6034")}
    assert await scheme.units(second) == {"SM002009": bought(10001, "SM002009", "31.0274")}
    assert await scheme.units(mixed) == {
        "SM001009": bought(3333, "SM001009", "32.6034"),
        "SM002009": bought(3333, "SM002009", "31.0274"),
        "SM003003": bought(3334, "SM003003", "9.87"),
    }
    residues = {order.fund: order.residue for order in report.orders}
    whole = bought(53333, "SM001009", "32.6034")
    parts = bought(50000, "SM001009", "32.6034") + bought(3333, "SM001009", "32.6034")
    assert residues["SM001009"] == f"{(whole - parts) / 10**4:.4f}"
    assert all(order.days_without_price == (date(2023, 4, 4),) or order.price_on for order in report.orders)
    assert not await scheme.broken(but=UNMATCHED)
    assert await scheme.deal("2023-04-05") == funds.DealingReport(date(2023, 4, 5), (), (), ())


async def test_the_odd_paisa_goes_to_the_first_fund(scheme: Scheme) -> None:
    (member,) = await savers(scheme, ["mixed"], [101])
    rows = await scheme.rows(
        "select f.code, a.amount from allocations a join funds f using (tenant_id, fund_id) where member_id = :m order by 1",
        m=member,
    )
    assert rows == [("SM001009", 35), ("SM002009", 33), ("SM003003", 33)]


async def test_days_without_a_price_are_listed_without_holidays(scheme: Scheme) -> None:
    await savers(scheme, ["first"], [50000])
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-10T04:30:00")
    await scheme.price("2023-04-10", PRICES)
    (order,) = (await scheme.deal("2023-04-10")).orders
    # 4 April 2023 was Mahavir Jayanti, 7 April Good Friday, 8 and 9 a weekend.
    assert order.days_without_price == (date(2023, 4, 5), date(2023, 4, 6))


async def test_a_price_of_the_cut_off_day_or_of_tomorrow_is_not_taken(scheme: Scheme) -> None:
    await savers(scheme, ["first"], [50000])
    await scheme.price("2023-04-03", PRICES)
    await scheme.price("2023-04-05", PRICES)
    (order,) = (await scheme.deal("2023-04-03")).orders
    assert order.waiting == "no-price"
    await scheme.clock("2023-04-04T04:30:00")
    (order,) = (await scheme.deal("2023-04-04")).orders
    assert order.waiting == "no-price"
    with pytest.raises(DayNotReached):
        await scheme.deal("2023-04-05")


async def test_the_first_price_after_the_cut_off_counts_even_if_others_came(scheme: Scheme) -> None:
    await savers(scheme, ["first"], [50000])
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-07T04:30:00")
    for day, price in (("2023-04-06", "33.1"), ("2023-04-05", "33.0"), ("2023-04-07", "33.2")):
        await scheme.price(day, {"SM001009": price})
    (order,) = (await scheme.deal("2023-04-07")).orders
    assert (order.price_on, order.price) == (date(2023, 4, 5), "33.0")


async def test_an_order_waits_while_an_earlier_price_is_held(scheme: Scheme) -> None:
    await savers(scheme, ["first"], [50000])
    await scheme.price("2023-04-03", PRICES)
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-06T04:30:00")
    await scheme.price("2023-04-05", {"SM001009": "40.0000"})
    await scheme.price("2023-04-06", {"SM001009": "32.7"})
    (order,) = (await scheme.deal("2023-04-06")).orders
    assert order.waiting == "price-held"
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await funds.reject_price(session, scheme.tenant, "SM001009", date(2023, 4, 5), "staff:9")
    (order,) = (await scheme.deal("2023-04-06")).orders
    assert (order.waiting, order.price_on) == ("", date(2023, 4, 6))


async def test_cash_after_the_cut_off_goes_to_the_next_dealing(scheme: Scheme) -> None:
    members = await scheme.members(["first", "first"])
    events = await scheme.receive([(member, {"retirement": 50000}, f"r{i}") for i, member in enumerate(members)])
    await scheme.allocate([(members[0], events[0])])
    await scheme.clock("2023-04-03T09:31:00")  # 15:01 in India
    await scheme.allocate([(members[1], events[1])])
    report = await scheme.deal("2023-04-03")
    assert [order.amount for order in report.orders] == ["500.00"]
    rows = await scheme.rows(
        "select a.member_id, d.state, d.cut_off_on, d.opened_on from allocations a join dealings d using (tenant_id, dealing_id) order by d.dealing_id"
    )
    assert rows == [
        (members[0], "closed", date(2023, 4, 3), date(2023, 4, 3)),
        (members[1], "open", None, date(2023, 4, 4)),
    ]
    again = await scheme.deal("2023-04-03")
    assert not again.closed
    assert [(one.reason, one.opened_on) for one in again.not_closed] == [("later-cash", date(2023, 4, 4))]


async def test_cash_of_a_day_that_was_dealt_waits_for_the_next(scheme: Scheme) -> None:
    await savers(scheme, ["first"], [50000])
    await scheme.deal("2023-04-03")
    await savers(scheme, ["first"], [70000], tag="b")
    report = await scheme.deal("2023-04-03")
    assert not report.closed
    assert [one.reason for one in report.not_closed] == ["cut-off-before"]
    await scheme.clock("2023-04-04T04:30:00")
    assert len((await scheme.deal("2023-04-04")).closed) == 1


async def test_a_confirmation_below_the_members_units_prices_nobody(scheme: Scheme) -> None:
    members = await savers(scheme, ["first"] * 3, [50001, 50001, 50001])
    await scheme.deal("2023-04-03")
    due = 3 * bought(50001, "SM001009", "32.6034")
    await scheme.rows("update orders set units_confirmed = :u returning 1", u=due - 1)
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.price("2023-04-05", PRICES)
    (order,) = (await scheme.deal("2023-04-05")).orders
    assert (order.waiting, order.price_on, order.members) == ("confirmed-too-few", None, 0)
    assert await scheme.units(members[0]) == {}
    await scheme.rows("update orders set units_confirmed = :u returning 1", u=due + 2)
    (order,) = (await scheme.deal("2023-04-05")).orders
    assert (order.waiting, order.residue) == ("", "0.0002")
    assert not await scheme.broken(but=UNMATCHED)


async def test_units_too_small_to_count_write_no_row(scheme: Scheme) -> None:
    small, large = await savers(scheme, ["first", "first"], [1, 1_000_000])
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.price("2023-04-05", {"SM001009": "1000000.01"})
    (order,) = (await scheme.deal("2023-04-05")).orders
    assert (order.members, order.waiting) == (2, "")
    assert await scheme.units(small) == {}
    assert await scheme.units(large) == {"SM001009": bought(1_000_000, "SM001009", "1000000.01")}
    assert not await scheme.broken(but=UNMATCHED)


async def test_pots_origins_and_channels_stay_apart(scheme: Scheme) -> None:
    (member,) = await scheme.members(["first"])
    (own,) = await scheme.receive([(member, {"retirement": 30001, "access": 20002}, "x1")])
    (gift,) = await scheme.receive([(member, {"retirement": 777}, "x2")], channel="aggregator", origin="gift")
    await scheme.allocate([(member, own)])
    await scheme.allocate([(member, gift)], channel="aggregator")
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.price("2023-04-05", PRICES)
    await scheme.deal("2023-04-05")
    rows = await scheme.rows(
        """select c.pot, c.origin, b.credits - b.debits from balances b join chart c on c.code = b.code
            where b.member_id = :m and c.kind = 'units' order by 1, 2""",
        m=member,
    )
    assert rows == [
        ("access", "own", bought(20002, "SM001009", "32.6034")),
        ("retirement", "gift", bought(777, "SM001009", "32.6034")),
        ("retirement", "own", bought(30001, "SM001009", "32.6034")),
    ]
    assert not await scheme.broken(but=UNMATCHED)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    amounts=st.lists(st.integers(1, 10**12), min_size=1, max_size=8),
    digits=st.integers(1, 10**9),
    scale=st.integers(0, 8),
)
async def test_the_database_rounds_as_fractions_do(scheme: Scheme, amounts: list[int], digits: int, scale: int) -> None:
    for unit_scale in (0, 4, 8):
        conversion = Conversion.at(Price(digits, scale), amount_scale=2, unit_scale=unit_scale)
        exact = [floor(Fraction(a, 100) * 10**scale / digits * 10**unit_scale) for a in amounts]
        assert exact == [
            units_for(a, amount_scale=2, price=Price(digits, scale), unit_scale=unit_scale) for a in amounts
        ]
        if max(exact) < 2**63:
            rows = await scheme.rows(
                "select floor_units(a, :m, :d) from unnest(cast(:amounts as bigint[])) with ordinality u(a, o) order by o",
                m=conversion.multiplier,
                d=conversion.divisor,
                amounts=amounts,
            )
            assert [row[0] for row in rows] == exact


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    payments=st.lists(
        st.tuples(st.sampled_from(["first", "second", "mixed"]), st.integers(1, 10**9)), min_size=1, max_size=12
    ),
    prices=st.tuples(st.integers(1000, 10**7), st.integers(1000, 10**7), st.integers(1000, 10**7)),
)
async def test_nothing_is_lost_whatever_is_paid(
    scheme: Scheme, payments: list[tuple[str, int]], prices: tuple[int, int, int]
) -> None:
    day = await next_day(scheme)
    members = await savers(scheme, [g for g, _ in payments], [a for _, a in payments], tag=f"{day}-")
    await scheme.deal(day.isoformat())
    following = await next_day(scheme)
    quoted = {fund: f"{p // 10**4}.{p % 10**4:04d}" for fund, p in zip(SCALES, prices, strict=True)}
    report = await scheme.price(following.isoformat(), quoted, note=str(day))
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        for held in report.held:
            await funds.approve_price(session, scheme.tenant, held.fund, following, "staff:9")
    done = await scheme.deal(following.isoformat())
    assert all(not order.waiting for order in done.orders)
    for member, (group, amount) in zip(members, payments, strict=True):
        shares = {"first": [10000, 0, 0], "second": [0, 10000, 0], "mixed": [3333, 3333, 3334]}[group]
        parts = [amount * share // 10000 for share in shares]
        parts[shares.index(max(shares)) if group != "mixed" else 0] += amount - sum(parts)
        expected = {f: bought(p, f, quoted[f]) for f, p in zip(SCALES, parts, strict=True)}
        assert await scheme.units(member) == {f: u for f, u in expected.items() if u}
    assert not await scheme.broken(but=UNMATCHED)


async def next_day(scheme: Scheme) -> date:
    (row,) = await scheme.rows(
        "update tenants set clock_at = clock_at + interval '1 day' where tenant_id = :t returning clock_at",
        t=scheme.tenant.tenant_id,
    )
    found: date = row[0].date()
    return found


async def books(scheme: Scheme) -> list[Any]:
    """What a run leaves, without the ids that differ from run to run."""
    found = await scheme.rows(
        """select rank() over (order by b.member_id), c.kind, c.fund, b.debits, b.credits from balances b join chart c on c.code = b.code
            order by b.member_id, c.kind, c.fund"""
    )
    found += await scheme.rows("select range_no, members, amount, units, event_id <> 0 from allotments order by 1")
    return found + await scheme.rows("select state, residue_units, units_due from orders")


class Stopped(Exception):
    """The process died here."""


@pytest.mark.parametrize("step", ["after-close", "first-range", "second-range", "before-residue"])
async def test_a_run_that_stops_anywhere_goes_on(scheme: Scheme, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    monkeypatch.setattr(queries, "MOST_MEMBERS_IN_RANGE", 7)
    await savers(scheme, ["first"] * 20, [1000 + 7 * i for i in range(20)])
    await scheme.price("2023-04-03", PRICES)
    allot_range = queries.allot_range
    calls = 0

    async def dies_in_range(*args: Any, **named: Any) -> int:
        nonlocal calls
        calls += 1
        event = await allot_range(*args, **named)
        if (step, calls) in (("first-range", 1), ("second-range", 2)):
            raise Stopped
        return event

    async def dies(*_args: Any, **_named: Any) -> Any:
        raise Stopped

    with monkeypatch.context() as patch:
        if step == "after-close":
            patch.setattr(queries, "placed_orders", dies)
        elif step == "before-residue":
            patch.setattr(queries, "finish_order", dies)
        else:
            patch.setattr(queries, "allot_range", dies_in_range)
        if step == "after-close":
            with pytest.raises(Stopped):
                await scheme.deal("2023-04-03", sessions=1)
        else:
            await scheme.deal("2023-04-03")
            await scheme.clock("2023-04-05T04:30:00")
            await scheme.price("2023-04-05", PRICES)
            with pytest.raises(Stopped):
                await scheme.deal("2023-04-05", sessions=1)
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.price("2023-04-05", PRICES)
    await scheme.deal("2023-04-05")
    rows = await scheme.rows("select members, event_id <> 0 from allotments order by range_no")
    assert rows == [(7, True), (7, True), (6, True)]
    expected = sorted(bought(1000 + 7 * i, "SM001009", "32.6034") for i in range(20))
    held = await scheme.rows(
        "select b.credits from balances b join chart c on c.code = b.code where c.kind = 'units' order by 1"
    )
    assert [row[0] for row in held] == expected
    assert not await scheme.broken(but=UNMATCHED)
    assert not (await scheme.deal("2023-04-05")).orders


async def test_two_runs_at_once_do_the_work_once(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "MOST_MEMBERS_IN_RANGE", 5)
    members = await savers(scheme, ["first", "second", "mixed"] * 10, [1000 + 13 * i for i in range(30)])
    closes = await asyncio.gather(scheme.deal("2023-04-03"), scheme.deal("2023-04-03"))
    assert sorted(len(one.closed) for one in closes) == [0, 1]
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.price("2023-04-05", PRICES)
    await asyncio.gather(*(scheme.deal("2023-04-05") for _ in range(3)))
    assert await scheme.units(members[0]) == {"SM001009": bought(1000, "SM001009", "32.6034")}
    assert not await scheme.broken(but=UNMATCHED)
    assert await scheme.rows("select distinct state from orders") == [("priced",)]
    assert await scheme.rows("select distinct state from dealings") == [("priced",)]


async def test_cash_that_races_with_the_cut_off_is_in_one_dealing(scheme: Scheme) -> None:
    members = await scheme.members(["first"] * 40)
    events = await scheme.receive([(member, {"retirement": 100 + i}, f"r{i}") for i, member in enumerate(members)])
    receipts = list(zip(members, events, strict=True))
    await scheme.allocate(receipts[:1])

    async def trickle() -> None:
        for one in receipts[1:]:
            await scheme.allocate([one])

    await asyncio.gather(trickle(), scheme.deal("2023-04-03"))
    await scheme.clock("2023-04-04T04:30:00")
    await scheme.deal("2023-04-04")
    (row,) = await scheme.rows("select sum(amount)::bigint, count(*) from allocations")
    assert row == (sum(100 + i for i in range(40)), 40)
    (ordered,) = await scheme.rows("select sum(amount)::bigint from orders")
    assert ordered[0] == row[0]
    assert not await scheme.broken(but=UNMATCHED)


async def test_a_closing_dealing_holds_allocation_off(scheme: Scheme) -> None:
    members = await scheme.members(["first"] * 2)
    events = await scheme.receive([(member, {"retirement": 100}, f"r{i}") for i, member in enumerate(members)])
    await scheme.allocate([(members[0], events[0])])
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id, role=Role.JOBS) as session:
        (dealing,) = await queries.hold_open_dealings(session)
        late = asyncio.create_task(scheme.allocate([(members[1], events[1])]))
        await asyncio.sleep(0.2)
        assert not late.done()
        cut_off_at = datetime(2023, 4, 3, 9, 31, tzinfo=UTC)
        await queries.close_dealing(
            session, dealing, date(2023, 4, 3), event_id=1, pricing=Pricing(), cut_off_at=cut_off_at
        )
    await late
    rows = await scheme.rows("select member_id, dealing_id from allocations order by dealing_id")
    assert rows == [(members[0], dealing.dealing_id), (members[1], rows[1][1])]
    assert rows[1][1] != dealing.dealing_id


async def test_the_database_refuses_to_change_what_was_dealt(scheme: Scheme) -> None:
    (member,) = await savers(scheme, ["first"], [50000])
    (event,) = await scheme.rows("select event_id from allocations")
    tenant_id = scheme.tenant.tenant_id
    async with scheme.db.unit_of_work(tenant_id, role=Role.JOBS) as session:
        assert await funds.release(session, [(member, event[0])]) == 50000
    await scheme.allocate([(member, event[0])])
    await scheme.deal("2023-04-03")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="closed"):
        async with scheme.db.unit_of_work(tenant_id, role=Role.JOBS) as session:
            await funds.release(session, [(member, event[0])])
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
        async with scheme.db.unit_of_work(tenant_id) as session:
            await funds.release(session, [(member, event[0])])


async def test_a_receipt_is_allocated_once(scheme: Scheme) -> None:
    (member,) = await savers(scheme, ["first"], [50000])
    (event,) = await scheme.rows("select event_id from allocations")
    with pytest.raises(psycopg.errors.UniqueViolation):
        await scheme.allocate([(member, event[0])])


async def test_a_receipts_state_is_derived(scheme: Scheme) -> None:
    (member,) = await scheme.members(["mixed"])
    (event,) = await scheme.receive([(member, {"retirement": 50000}, "r")])

    async def state() -> str | None:
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            return await funds.allocation_state(session, member, event)

    assert await state() is None
    await scheme.allocate([(member, event)])
    assert await state() == "allocated"
    await scheme.deal("2023-04-03")
    assert await state() == "ordered"
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.price("2023-04-05", {"SM001009": "32.6034", "SM002009": "31"})
    await scheme.deal("2023-04-05")
    assert await state() == "ordered"
    await scheme.price("2023-04-05", {"SM003003": "9.87"})
    await scheme.deal("2023-04-05")
    assert await state() == "priced"


async def test_members_without_a_chosen_fund_wait(scheme: Scheme) -> None:
    known, unknown = await scheme.members(["first", "nobody"])
    events = await scheme.receive([(known, {"retirement": 100}, "k"), (unknown, {"retirement": 200}, "u")])
    done = await scheme.allocate([(known, events[0]), (unknown, events[1])])
    assert (done.amount, done.without_choice) == (100, ((unknown, events[1]),))
    assert done.rules == ("fund-choice@2010-04-01", "funds@2010-04-01")


async def test_a_choice_of_a_fund_that_is_not_dealt_in_waits_and_fails_no_neighbour(scheme: Scheme) -> None:
    book = book_of(BOOK.replace("second = { SM002009 = 10000 }", "second = { SM009999 = 10000 }"))
    scheme.tenant = replace(scheme.tenant, pack=replace(scheme.tenant.pack, books={PRODUCT: book}))
    first, second = await scheme.members(["first", "second"])
    events = await scheme.receive([(first, {"retirement": 100}, "k"), (second, {"retirement": 200}, "u")])
    done = await scheme.allocate([(first, events[0]), (second, events[1])])
    assert (done.amount, done.without_choice) == (100, ((second, events[1]),))


async def test_many_members_are_allotted_in_three_ranges(scheme: Scheme) -> None:
    n = 25_003
    members = await scheme.members(["first"] * n)
    events = await scheme.receive([(m, {"retirement": 5000 + i}, f"r{i}") for i, m in enumerate(members)])
    for i in range(0, n, 10_000):
        await scheme.allocate(list(zip(members, events, strict=True))[i : i + 10_000])
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.price("2023-04-05", PRICES)
    seen: list[int] = []
    (order,) = (await scheme.deal("2023-04-05", progress=seen.append)).orders
    assert order.members == n
    assert sorted(seen) == [5_003, 10_000, 10_000]
    (row,) = await scheme.rows(
        "select sum(b.credits)::bigint from balances b join chart c on c.code = b.code where c.kind = 'units'"
    )
    assert row[0] == sum(bought(5000 + i, "SM001009", "32.6034") for i in range(n))
    assert not await scheme.broken(but=UNMATCHED)
