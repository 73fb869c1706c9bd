"""Units that members sell, against PostgreSQL: amounts by fractions, cut-offs, races and stops."""

import asyncio
from collections.abc import Sequence
from datetime import date
from fractions import Fraction
from math import floor
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import ProgrammingError

from engine.funds import service as funds
from engine.funds.errors import NoDealingRule, NotEnoughUnits, SaleOrdered, UnknownFund, UnknownSale
from engine.funds.queries import sales as queries
from engine.funds.service import SaleState, Units
from engine.runtime.database import Role
from tests.engine.funds.conftest import PRODUCT, UNMATCHED, Scheme
from tests.engine.funds.test_dealing import PRICES, Stopped, next_day, savers

FUND = "SM001009"
ALL = (Units("retirement", "own", FUND),)
SOLD_AT = {**PRICES, FUND: "33.0071"}


def worth(units: int, price: str) -> int:
    """What the smallest units of the first fund are worth in paise, by fractions."""
    value: Fraction = Fraction(units, 10**4) * Fraction(price) * 100
    return floor(value)


async def invested(scheme: Scheme, amounts: list[int], tag: str = "a") -> list[int]:
    """Members who hold units since 5 April 2023, ten in the morning of that day."""
    members = await savers(scheme, ["first"] * len(amounts), amounts, tag)
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.price("2023-04-05", PRICES)
    await scheme.deal("2023-04-05")
    return members


async def sell(
    scheme: Scheme, member: int, wanted: Sequence[Units] = ALL, reference: str = "", day: str = "2023-04-05"
) -> funds.Sale:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await funds.sell(
            session,
            scheme.tenant,
            member,
            PRODUCT,
            wanted,
            day=date.fromisoformat(day),
            actor="staff:2",
            reference=reference or f"claim-{member}",
        )


async def withdraw(scheme: Scheme, sale: funds.Sale) -> None:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id, role=Role.JOBS) as session:
        await funds.withdraw_sale(
            session, scheme.tenant, sale.member_id, sale.event_id, day=date(2023, 4, 5), actor="staff:2"
        )


async def progress(scheme: Scheme, sale: funds.Sale) -> funds.SaleProgress | None:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await funds.sale_progress(session, scheme.tenant, sale.member_id, sale.event_id)


async def held(scheme: Scheme, member: int) -> dict[str, int]:
    """A member's balances by kind of account."""
    found = await scheme.rows(
        """select c.kind, sum(b.credits - b.debits)::bigint from balances b join chart c on c.code = b.code
            where b.member_id = :m group by 1 having sum(b.credits - b.debits) <> 0""",
        m=member,
    )
    return dict(found)


async def controls(scheme: Scheme, kind: str) -> int:
    """What the control accounts of a kind hold, debits less credits."""
    ((found,),) = await scheme.rows(
        """select coalesce(sum(case when t.debit = c.code then t.amount else -t.amount end), 0)::bigint
             from chart c join transfers t on c.code in (t.debit, t.credit)
             join assets a on a.asset_id = c.code / 4096 and a.kind = 'money' where c.kind = :kind""",
        kind=kind,
    )
    return int(found)


async def test_units_are_sold_at_the_first_price_after_the_cut_off(scheme: Scheme) -> None:
    members = await invested(scheme, [50001, 70003, 90007])
    units = [(await scheme.units(member))[FUND] for member in members]
    some = units[1] // 3
    sales = [
        await sell(scheme, members[0]),
        await sell(scheme, members[1], [Units("retirement", "own", FUND, some)]),
    ]
    assert sales[0].parts == (Units("retirement", "own", FUND, units[0]),)
    assert await held(scheme, members[0]) == {"selling": units[0]}
    assert await held(scheme, members[1]) == {"units": units[1] - some, "selling": some}
    found = await progress(scheme, sales[0])
    assert found == funds.SaleProgress(SaleState.WAITING, {}, None)

    report = await scheme.deal("2023-04-05")
    (order,) = report.sales
    assert (len(report.closed), order.waiting, order.units) == (1, "no-price", f"{(units[0] + some) / 10**4:.4f}")
    assert order.reference == f"{scheme.tenant.code}-{report.closed[0]}S-{FUND}"
    assert (await progress(scheme, sales[0])) == funds.SaleProgress(SaleState.ORDERED, {}, None)
    assert not await scheme.broken(but=UNMATCHED)

    await scheme.clock("2023-04-06T04:30:00")
    await scheme.price("2023-04-06", SOLD_AT)
    (order,) = (await scheme.deal("2023-04-06")).sales
    brought = [worth(units[0], "33.0071"), worth(some, "33.0071")]
    whole = worth(units[0] + some, "33.0071")
    assert (order.waiting, order.price_on, order.members) == ("", date(2023, 4, 6), 2)
    assert (order.amount, order.confirmed) == (f"{sum(brought) / 100:.2f}", f"{whole / 100:.2f}")
    assert order.residue == f"{(whole - sum(brought)) / 100:.2f}"
    assert await held(scheme, members[0]) == {"payable": brought[0]}
    assert await held(scheme, members[1]) == {"units": units[1] - some, "payable": brought[1]}
    assert await held(scheme, members[2]) == {"units": units[2]}
    assert await controls(scheme, "proceeds-due") == whole
    assert await progress(scheme, sales[1]) == funds.SaleProgress(
        SaleState.PRICED, {("retirement", "own"): brought[1]}, date(2023, 4, 6)
    )
    assert not await scheme.broken(but=UNMATCHED)
    assert await scheme.rows("select distinct state from dealings") == [("priced",)]
    assert await scheme.deal("2023-04-06") == funds.DealingReport(date(2023, 4, 6), (), (), ())


async def test_a_day_sells_before_it_buys_at_one_price(scheme: Scheme) -> None:
    seller, buyer = (await invested(scheme, [50000]))[0], (await scheme.members(["first"]))[0]
    await sell(scheme, seller)
    (event,) = await scheme.receive([(buyer, {"retirement": 60000}, "later")])
    await scheme.allocate([(buyer, event)])
    assert len((await scheme.deal("2023-04-05")).closed) == 1
    await scheme.clock("2023-04-06T04:30:00")
    await scheme.price("2023-04-06", SOLD_AT)
    report = await scheme.deal("2023-04-06")
    assert [(one.price, one.waiting) for one in report.sales] == [("33.0071", "")]
    assert [(one.price, one.waiting) for one in report.orders] == [("33.0071", "")]
    kinds = await scheme.rows("select kind from events where kind in (41, 42, 45, 46) order by event_id offset 3")
    assert [kind for (kind,) in kinds] == [45, 41, 46, 46, 42, 42]
    assert not await scheme.broken(but=UNMATCHED)


async def test_what_is_not_held_cannot_be_sold(scheme: Scheme) -> None:
    (member,) = await invested(scheme, [50000])
    units = (await scheme.units(member))[FUND]
    for wanted, refusal in (
        ([Units("retirement", "own", FUND, units + 1)], NotEnoughUnits),
        ([Units("access", "own", FUND)], NotEnoughUnits),
        ([Units("retirement", "own", "SM009999")], UnknownFund),
    ):
        with pytest.raises(refusal):
            await sell(scheme, member, wanted)
    with pytest.raises(NoDealingRule):
        await sell(scheme, member, day="2009-01-01")
    assert await held(scheme, member) == {"units": units}
    assert await scheme.rows("select 1 from sales") == []


async def test_a_reference_sells_once(scheme: Scheme) -> None:
    (member,) = await invested(scheme, [50000])
    first, second = await asyncio.gather(*(again(scheme, member) for _ in range(2)))
    third = await sell(scheme, member)
    assert first == second == third
    assert len(await scheme.rows("select 1 from sales")) == 1


async def again(scheme: Scheme, member: int, wanted: Sequence[Units] = ALL, reference: str = "") -> funds.Sale:
    """Sell as a caller does, whose transaction runs again where the database asks for it."""
    while True:
        try:
            return await sell(scheme, member, wanted, reference)
        except (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected):
            continue


async def test_two_sales_of_the_same_units_sell_them_once(scheme: Scheme) -> None:
    (member,) = await invested(scheme, [50000])
    units = (await scheme.units(member))[FUND]
    most = [Units("retirement", "own", FUND, units - 1)]
    fates = await asyncio.gather(*(again(scheme, member, most, f"claim-{i}") for i in range(4)), return_exceptions=True)
    assert sorted(type(fate).__name__ for fate in fates) == ["NotEnoughUnits"] * 3 + ["Sale"]
    assert await held(scheme, member) == {"units": 1, "selling": units - 1}
    assert not await scheme.broken(but=UNMATCHED)


async def test_a_sale_is_withdrawn_before_the_cut_off_only(scheme: Scheme) -> None:
    first, second = await invested(scheme, [50000, 60000])
    units = (await scheme.units(first))[FUND]
    sale, kept = await sell(scheme, first), await sell(scheme, second)
    await withdraw(scheme, sale)
    assert await held(scheme, first) == {"units": units}
    assert await progress(scheme, sale) is None
    with pytest.raises(UnknownSale):
        await withdraw(scheme, sale)
    assert not await scheme.broken(but=UNMATCHED)
    again_ = await sell(scheme, first, reference="another")
    await scheme.deal("2023-04-05")
    for one in (again_, kept):
        with pytest.raises(SaleOrdered):
            await withdraw(scheme, one)
    with pytest.raises(ProgrammingError, match="sales is refused: the dealing is closed"):
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id, role=Role.JOBS) as session:
            await queries.remove_sale(session, first, again_.event_id)
    assert not await scheme.broken(but=UNMATCHED)


async def test_a_sale_after_the_cut_off_waits_for_the_next_dealing(scheme: Scheme) -> None:
    first, second = await invested(scheme, [50000, 60000])
    await sell(scheme, first)
    await scheme.clock("2023-04-05T09:31:00")  # 15:01 in India
    late = await sell(scheme, second)
    (order,) = (await scheme.deal("2023-04-05")).sales
    assert order.units == f"{(await held(scheme, first))['selling'] / 10**4:.4f}"
    assert await progress(scheme, late) == funds.SaleProgress(SaleState.WAITING, {}, None)
    rows = await scheme.rows(
        "select s.member_id, d.state, d.opened_on from sales s join dealings d using (tenant_id, dealing_id) order by d.dealing_id"
    )
    assert rows == [(first, "closed", date(2023, 4, 5)), (second, "open", date(2023, 4, 6))]
    assert not await scheme.broken(but=UNMATCHED)


async def test_a_sale_that_races_with_the_cut_off_is_in_one_dealing(scheme: Scheme) -> None:
    members = await invested(scheme, [50000 + i for i in range(24)])
    await sell(scheme, members[0])

    async def trickle() -> None:
        for one in members[1:]:
            await again(scheme, one)

    await asyncio.gather(trickle(), scheme.deal("2023-04-05"))
    await scheme.clock("2023-04-06T04:30:00")
    await scheme.deal("2023-04-06")
    ((put_up,),) = await scheme.rows("select sum(units)::bigint from sales")
    assert await scheme.rows("select sum(units)::bigint from sale_orders") == [(put_up,)]
    assert not await scheme.broken(but=UNMATCHED)


async def test_a_missing_or_held_price_waits_and_a_confirmation_may_be_too_low(scheme: Scheme) -> None:
    (member,) = await invested(scheme, [50000])
    units = (await scheme.units(member))[FUND]
    sale = await sell(scheme, member)
    await scheme.deal("2023-04-05")
    await scheme.clock("2023-04-10T04:30:00")
    await scheme.price("2023-04-06", {FUND: "45"})
    await scheme.price("2023-04-10", {FUND: "33"})
    (order,) = (await scheme.deal("2023-04-10")).sales
    assert order.waiting == "price-held"
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await funds.approve_price(session, scheme.tenant, FUND, date(2023, 4, 6), "staff:9")
    await scheme.rows("update sale_orders set amount_confirmed = :a returning 1", a=worth(units, "45") - 1)
    (order,) = (await scheme.deal("2023-04-10")).sales
    assert (order.waiting, order.members) == ("confirmed-too-few", 0)
    await scheme.rows("update sale_orders set amount_confirmed = :a returning 1", a=worth(units, "45") + 7)
    (order,) = (await scheme.deal("2023-04-10")).sales
    assert (order.waiting, order.price, order.residue) == ("", "45", "0.07")
    assert (await progress(scheme, sale)) == funds.SaleProgress(
        SaleState.PRICED, {("retirement", "own"): worth(units, "45")}, date(2023, 4, 6)
    )
    report = await scheme.price("2023-04-05", {"SM002009": "31.0274"})
    assert not report.held, "of a fund that nobody sold no price is late"
    assert not await scheme.broken(but=UNMATCHED)


async def test_units_worth_nothing_are_sold_for_nothing(scheme: Scheme) -> None:
    (member,) = await invested(scheme, [50000])
    sale = await sell(scheme, member, [Units("retirement", "own", FUND, 1)])
    await scheme.deal("2023-04-05")
    await scheme.clock("2023-04-06T04:30:00")
    await scheme.price("2023-04-06", SOLD_AT)
    await scheme.deal("2023-04-06")
    assert await progress(scheme, sale) == funds.SaleProgress(
        SaleState.SETTLED, {("retirement", "own"): 0}, date(2023, 4, 6)
    )
    assert not await scheme.broken(but=UNMATCHED)


async def test_pots_and_origins_stay_apart(scheme: Scheme) -> None:
    (member,) = await scheme.members(["first"])
    (own,) = await scheme.receive([(member, {"retirement": 30001, "access": 20002}, "x1")])
    (gift,) = await scheme.receive([(member, {"retirement": 777}, "x2")], origin="gift")
    await scheme.allocate([(member, own), (member, gift)])
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.price("2023-04-05", PRICES)
    await scheme.deal("2023-04-05")
    wanted = [
        Units(pot, origin, FUND) for pot, origin in (("retirement", "own"), ("retirement", "gift"), ("access", "own"))
    ]
    sale = await sell(scheme, member, wanted)
    await scheme.deal("2023-04-05")
    await scheme.clock("2023-04-06T04:30:00")
    await scheme.price("2023-04-06", SOLD_AT)
    await scheme.deal("2023-04-06")
    found = await progress(scheme, sale)
    assert found is not None
    assert found.proceeds == {(one.pot, one.origin): worth(one.units or 0, "33.0071") for one in sale.parts}
    rows = await scheme.rows(
        """select c.pot, c.origin, b.credits - b.debits from balances b join chart c on c.code = b.code
            where b.member_id = :m and c.kind = 'payable'""",
        m=member,
    )
    assert {(pot, origin): amount for pot, origin, amount in rows} == found.proceeds
    assert not await scheme.broken(but=UNMATCHED)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(st.integers(1, 10_000), min_size=1, max_size=8),
    price=st.integers(1000, 10**7),
)
async def test_nothing_is_lost_whatever_is_sold(scheme: Scheme, parts: list[int], price: int) -> None:
    day = await next_day(scheme)
    members = await savers(scheme, ["first"] * len(parts), [100_000 + part for part in parts], tag=f"{day}-")
    await scheme.deal(day.isoformat())
    bought_on = await next_day(scheme)
    await approved(scheme, bought_on, "32.6034")
    await scheme.deal(bought_on.isoformat())
    for member, part in zip(members, parts, strict=True):
        await sell(scheme, member, [Units("retirement", "own", FUND, part)], day=bought_on.isoformat())
    sold_on = await next_day(scheme)
    await scheme.deal(sold_on.isoformat())
    priced_on = await next_day(scheme)
    quoted = f"{price // 10**4}.{price % 10**4:04d}"
    await approved(scheme, priced_on, quoted)
    (order,) = (await scheme.deal(priced_on.isoformat())).sales
    assert not order.waiting
    for member, part in zip(members, parts, strict=True):
        assert (await held(scheme, member)).get("payable", 0) == worth(part, quoted)
    assert not await scheme.broken(but=UNMATCHED)


async def approved(scheme: Scheme, day: date, price: str) -> None:
    report = await scheme.price(day.isoformat(), {FUND: price}, note=str(day))
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        for one in report.held:
            await funds.approve_price(session, scheme.tenant, one.fund, day, "staff:9")


@pytest.mark.parametrize("step", ["after-price", "first-range", "second-range", "before-residue"])
async def test_a_sale_that_stops_anywhere_goes_on(scheme: Scheme, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    monkeypatch.setattr(queries, "MOST_MEMBERS_IN_RANGE", 7)
    members = await invested(scheme, [100_000 + 7 * i for i in range(20)])
    units = [(await scheme.units(member))[FUND] for member in members]
    for member in members:
        await sell(scheme, member)
    await scheme.deal("2023-04-05")
    await scheme.clock("2023-04-06T04:30:00")
    await scheme.price("2023-04-06", SOLD_AT)
    sell_range = queries.sell_range
    calls = 0

    async def dies_in_range(*args: Any, **named: Any) -> int:
        nonlocal calls
        calls += 1
        event = await sell_range(*args, **named)
        if (step, calls) in (("first-range", 1), ("second-range", 2)):
            raise Stopped
        return event

    async def dies(*_args: Any, **_named: Any) -> Any:
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(
            queries,
            {"after-price": "selling_codes", "before-residue": "finish_order"}.get(step, ""),
            dies,
            raising=False,
        )
        patch.setattr(queries, "sell_range", dies_in_range)
        with pytest.raises(Stopped):
            await scheme.deal("2023-04-06", sessions=1)
    await asyncio.gather(*(scheme.deal("2023-04-06") for _ in range(3)))
    rows = await scheme.rows("select members, event_id <> 0 from sale_ranges order by range_no")
    assert rows == [(7, True), (7, True), (6, True)]
    for member, count in zip(members, units, strict=True):
        assert await held(scheme, member) == {"payable": worth(count, "33.0071")}
    assert await scheme.rows("select state from sale_orders") == [("priced",)]
    assert not await scheme.broken(but=UNMATCHED)
