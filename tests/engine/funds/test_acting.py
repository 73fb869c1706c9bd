"""Splits of funds and the income that they pay: what every account gets, orders on their way, prices, stops, races, second persons."""

import asyncio
import dataclasses
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.access.errors import SamePerson
from engine.funds import service as funds
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
    PriceNotUsable,
    PricesUndecided,
    ReferenceTaken,
    SplitSince,
    StatedTooFine,
    UnknownAction,
    UnknownFund,
)
from engine.funds.queries import acting as queries
from engine.funds.rules import Fund, Ratio, is_doubtful, residue_after_split
from engine.funds.service import acting
from engine.funds.service.selling import Proceeds, Units
from engine.kernel.prices import Price
from engine.runtime.database import Role
from engine.tenancy.errors import UnknownProduct
from tests.engine.funds.conftest import BOOK, PRODUCT, UNMATCHED, Scheme, book_of
from tests.engine.funds.test_correcting import holders, ruled
from tests.engine.funds.test_correcting import propose as propose_correction
from tests.engine.funds.test_dealing import bought, savers
from tests.engine.funds.test_switching import statement_of
from tests.engine.funds.test_unit_pricing import priced

FUND = "SM001009"
DAY = date(2023, 4, 6)
INCOME = """
[[rule]]
kind = "income-distribution"
id = "income"
paid_as = "{paid_as}"
source = "test"
confidence = "high"
"""


def paying(scheme: Scheme, paid_as: str) -> Scheme:
    """The scheme with a rule of income in its book."""
    pack = dataclasses.replace(scheme.tenant.pack, books={PRODUCT: book_of(BOOK + INCOME.format(paid_as=paid_as))})
    scheme.tenant = dataclasses.replace(scheme.tenant, pack=pack)
    return scheme


async def split(scheme: Scheme, new: int, old: int, *, on: date = DAY, price: str = "1") -> funds.FundAction:
    """Two people split units; the first price of the new ones waits for it."""
    one = await funds.propose_split(scheme.db, scheme.tenant, FUND, on, new=new, old=old, actor="staff:1")
    await scheme.price(on.isoformat(), {FUND: price})
    return await approve(scheme, one, price)


async def approve(scheme: Scheme, one: funds.FundAction, price: str = "") -> funds.FundAction:
    return await funds.approve_action(scheme.db, scheme.tenant, one.number, one.digest, price=price, actor="staff:2")


async def put_up(scheme: Scheme, member: int, units: int, reference: str) -> funds.Sale:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await funds.sell(
            session, scheme.tenant, member, PRODUCT, [Units("retirement", "own", FUND, units)], day=DAY, actor="staff:1", reference=reference
        )  # fmt: skip


async def residue(scheme: Scheme) -> int:
    ((units,),) = await scheme.rows(
        """select coalesce(sum(case when t.credit = c.code then t.amount else -t.amount end), 0)::bigint from chart c
             join assets a on a.asset_id = c.code / 4096 and a.kind = 'units'
             join transfers t on c.code in (t.debit, t.credit) where c.kind = 'residue' and c.fund = :f""",
        f=FUND,
    )
    return int(units)


async def cash(scheme: Scheme, member: int) -> int:
    ((minor,),) = await scheme.rows(
        """select coalesce(sum(b.credits - b.debits), 0)::bigint from balances b join chart c on c.code = b.code
            where b.member_id = :m and c.kind = 'cash'""",
        m=member,
    )
    return int(minor)


@pytest.mark.parametrize(("new", "old"), [(10, 1), (3, 2), (1, 7), (1, 1000)])
async def test_every_account_has_its_part_and_what_rounding_leaves_is_the_owners(
    scheme: Scheme, new: int, old: int
) -> None:
    members = await holders(scheme, [50001, 33333, 1])
    before = [(await scheme.units(one))[FUND] for one in members]
    left = await residue(scheme)
    await scheme.clock("2023-04-06T04:30:00")
    done = await split(scheme, new, old)

    after = [units * new // old for units in before]
    assert [(await scheme.units(one))[FUND] for one in members] == after
    assert (done.state, done.members, done.had, done.got) == ("done", 3, sum(before), sum(after))
    assert await residue(scheme) == (sum(before) + left) * new // old - sum(after)
    assert not await scheme.broken(but=UNMATCHED)


async def test_orders_on_their_way_are_split_and_take_the_new_price(scheme: Scheme) -> None:
    """One sale is ordered, one waits for its cut-off, one is withdrawn afterwards; a purchase is ordered as money."""
    ordered, waiting, withdrawn = await holders(scheme, [50000, 50000, 50000])
    await put_up(scheme, ordered, 100_001, "ordered")
    (buyer,) = await savers(scheme, ["first"], [40000], tag="b")
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.deal("2023-04-05")
    await scheme.clock("2023-04-06T04:30:00")
    await put_up(scheme, waiting, 200_001, "waiting")
    back = await put_up(scheme, withdrawn, 300_001, "withdrawn")
    await split(scheme, 5, 2, price="4")
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id, role=Role.JOBS) as session:
        await funds.withdraw_sale(session, scheme.tenant, withdrawn, back.event_id, day=DAY, actor="staff:1")
    report = await scheme.deal("2023-04-06")
    await scheme.clock("2023-04-07T04:30:00")
    await scheme.price("2023-04-07", {FUND: "4.1"})
    later = await scheme.deal("2023-04-07")

    (sold,) = [one for one in report.sales if not one.waiting]
    (took,) = [one for one in report.orders if not one.waiting]
    assert (sold.units, sold.price, sold.amount) == (
        "25.0002",
        "4",
        f"{floor(Fraction(250_002, 10**4) * 400) / 100:.2f}",
    )
    assert (took.price, await scheme.units(buyer)) == ("4", {FUND: bought(40000, FUND, "4")})
    assert [one.units for one in later.sales] == ["50.0002"]
    assert await scheme.units(ordered) == {FUND: 399_999 * 5 // 2}
    assert await scheme.units(waiting) == {FUND: 299_999 * 5 // 2}
    assert await scheme.units(withdrawn) == {FUND: 199_999 * 5 // 2 + 300_001 * 5 // 2}
    assert not await scheme.broken(but=UNMATCHED)


async def test_the_first_price_of_the_new_units_is_approved_with_the_split(scheme: Scheme) -> None:
    """Until then nobody takes it, and what members have is worth the same before and after."""
    (member,) = await holders(scheme, [50000])
    await savers(scheme, ["first"], [40000], tag="b")
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.deal("2023-04-05")
    await scheme.clock("2023-04-06T04:30:00")
    one = await funds.propose_split(scheme.db, scheme.tenant, FUND, DAY, new=4, old=1, actor="staff:1")
    with pytest.raises(FirstPriceMissing):
        await approve(scheme, one, "2.5")
    held = await scheme.price("2023-04-06", {FUND: "2.5"}, actor="staff:2")
    (waits,) = (await scheme.deal("2023-04-06")).orders
    before = await statement_of(scheme, member, as_of=DAY)
    for price, error in (("2.6", FirstPriceMissing), ("", FirstPriceMissing), ("2.5", SamePerson)):
        with pytest.raises(error):
            await approve(scheme, one, price)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        with pytest.raises(ActionOpen):
            await funds.approve_price(session, scheme.tenant, FUND, DAY, "staff:9")
    await funds.approve_action(scheme.db, scheme.tenant, one.number, one.digest, price="2.5", actor="staff:3")
    early = await scheme.price("2023-04-05", {FUND: "10"})
    after = await statement_of(scheme, member, as_of=DAY)
    (taken,) = (await scheme.deal("2023-04-06")).orders
    await scheme.clock("2023-04-07T04:30:00")
    moved = await scheme.price("2023-04-07", {FUND: "10"})

    assert [(row.fund, row.held_for) for row in held.held] == [(FUND, "moved")]
    assert (waits.waiting, taken.price) == ("price-held", "2.5")
    assert [row.reason for row in early.refused] == ["before-split"]
    assert [row.held_for for row in moved.held] == ["moved"]
    assert after.totals == before.totals
    assert [one.units for one in after.holdings] == [4 * bought(50000, FUND, "10")]
    assert not await scheme.broken(but=UNMATCHED)


async def test_after_a_split_a_price_is_held_against_what_the_last_one_is_now(scheme: Scheme) -> None:
    await holders(scheme, [50000])
    await scheme.clock("2023-04-07T04:30:00")
    await split(scheme, 4, 1, price="2.5")
    as_expected = await scheme.price("2023-04-07", {FUND: "2.6"})
    moved = (
        is_doubtful(Price(26, 1), Price(10, 0), 500, Fraction(4)),
        is_doubtful(Price(10, 0), Price(10, 0), 500, Fraction(4)),
    )

    assert as_expected.accepted == {FUND: "2.6"}
    assert moved == (False, True)


async def test_a_late_cut_off_takes_no_price_of_before_the_split(scheme: Scheme) -> None:
    priced(scheme, "forward", 0)
    (member,) = await savers(scheme, ["first"], [50000])
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-06T04:30:00")
    await scheme.price("2023-04-03", {FUND: "10"})
    await scheme.price("2023-04-05", {FUND: "10"})
    await scheme.deal("2023-04-06")
    await split(scheme, 2, 1, price="5")
    await scheme.clock("2023-04-05T04:30:00")
    await savers(scheme, ["first"], [40000], tag="b")
    await scheme.clock("2023-04-06T14:30:00")
    (waits,) = (await scheme.deal("2023-04-05")).orders
    (taken,) = (await scheme.deal("2023-04-06")).orders

    assert (waits.waiting, taken.price_on) == ("no-price", DAY)
    assert await scheme.units(member) == {FUND: 2 * bought(50000, FUND, "10")}
    assert not await scheme.broken(but=UNMATCHED)


async def test_what_is_refused_of_a_split_changes_nothing(scheme: Scheme) -> None:
    (member,) = await holders(scheme, [50000])
    before = await scheme.units(member)

    async def proposed(fund: str = FUND, on: date = DAY) -> funds.FundAction:
        return await funds.propose_split(scheme.db, scheme.tenant, fund, on, new=2, old=1, actor="staff:1")

    with pytest.raises(UnknownFund):
        await proposed("NOFUND")
    with pytest.raises(PricedSince):
        await proposed(on=date(2023, 4, 4))
    priced(scheme, "historic", 0)
    with pytest.raises(HistoricPricing):
        await proposed()
    priced(scheme, "next", 0)
    one = await proposed()
    with pytest.raises(ActionOpen):
        await proposed()

    async def approved(actor: str = "staff:2", digest: str = one.digest, number: int = one.number) -> funds.FundAction:
        return await funds.approve_action(scheme.db, scheme.tenant, number, digest, price="5", actor=actor)

    with pytest.raises(DayNotReached):
        await approved()
    await scheme.clock("2023-04-06T04:30:00")
    for error, changed in (
        (SamePerson, {"actor": "staff:1"}),
        (ActionChanged, {"digest": "0" * 64}),
        (UnknownAction, {"number": 99}),
    ):
        with pytest.raises(error):
            await approved(**changed)
    await scheme.price("2023-04-05", {FUND: "20"})
    with pytest.raises(PricesUndecided):
        await approved()
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await funds.reject_price(session, scheme.tenant, FUND, date(2023, 4, 5), "staff:9")
    await savers(scheme, ["first"], [40000], tag="b")
    await scheme.clock("2023-04-07T04:30:00")
    assert await scheme.units(member) == before
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        rejected = await funds.reject_action(session, scheme.tenant, one.number, one.digest, actor="staff:2")
    with pytest.raises(ActionDecided):
        await approved()
    assert rejected.state == "rejected"
    assert await scheme.units(member) == before
    assert not await scheme.broken(but=UNMATCHED)


async def test_an_order_that_can_be_priced_before_the_split_is_priced_first(scheme: Scheme) -> None:
    await holders(scheme, [50000])
    await savers(scheme, ["first"], [40000], tag="b")
    await scheme.deal("2023-04-04")
    await scheme.clock("2023-04-06T04:30:00")
    await scheme.price("2023-04-05", {FUND: "10"})
    one = await funds.propose_split(scheme.db, scheme.tenant, FUND, DAY, new=2, old=1, actor="staff:1")
    await scheme.price("2023-04-06", {FUND: "5"})
    with pytest.raises(OrdersInProgress):
        await approve(scheme, one, "5")
    await scheme.deal("2023-04-05")
    await funds.price_orders(scheme.db, scheme.tenant, date(2023, 4, 5), "staff:2")
    done = await approve(scheme, one, "5")
    with pytest.raises(SplitSince):
        await propose_correction(ruled(scheme), "11")

    assert done.state == "done"
    assert not await scheme.broken(but=UNMATCHED)


async def test_a_split_that_stops_or_runs_twice_at_once_splits_once(
    scheme: Scheme, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranges of two members; the second is lost on its way; a sale is put up on either side of it; then two at once."""
    monkeypatch.setattr(queries, "MOST_MEMBERS_IN_RANGE", 2)
    members = sorted(await holders(scheme, [50000, 40000, 30000, 20000, 10000]))
    before = {one: (await scheme.units(one))[FUND] for one in members}
    await scheme.clock("2023-04-06T04:30:00")
    one = await funds.propose_split(scheme.db, scheme.tenant, FUND, DAY, new=3, old=7, actor="staff:1")
    await scheme.price("2023-04-06", {FUND: "23"})
    book, done = queries.book_range, 0

    async def stops(*args: Any) -> Any:
        nonlocal done
        done += 1
        found = await book(*args)
        if done == 2:
            raise RuntimeError("power cut")
        return found

    with monkeypatch.context() as patched:
        patched.setattr(queries, "book_range", stops)
        with pytest.raises(RuntimeError):
            await approve(scheme, one, "23")
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        with pytest.raises(ActionOpen):
            await funds.reject_price(session, scheme.tenant, FUND, DAY, "staff:9")
    assert {key for key in before if (await scheme.units(key))[FUND] != before[key]} == set(members[:2])
    assert not await scheme.broken(but=UNMATCHED)
    await put_up(scheme, members[0], 10_000, "after")
    await put_up(scheme, members[4], 10_000, "before")
    await asyncio.gather(*(funds.carry_on_actions(scheme.db, scheme.tenant) for _ in range(2)))

    expected = {key: units * 3 // 7 for key, units in before.items()}
    expected[members[0]] -= 10_000
    expected[members[4]] = (before[members[4]] - 10_000) * 3 // 7
    assert {key: (await scheme.units(key))[FUND] for key in members} == expected
    assert await scheme.rows("select units from sales order by member_id") == [(10_000,), (10_000 * 3 // 7,)]
    assert await funds.carry_on_actions(scheme.db, scheme.tenant) == 0
    assert not await scheme.broken(but=UNMATCHED)


async def test_income_in_units_is_on_what_was_held_on_the_day(scheme: Scheme) -> None:
    """One sells afterwards, one has units up for sale on the day, one bought after it."""
    paying(scheme, "units")
    stays, sells = await holders(scheme, [50000, 33333])
    await put_up(scheme, sells, 100_000, "up")
    await savers(scheme, ["first"], [40000], tag="b")
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.deal("2023-04-05")
    await scheme.clock("2023-04-06T04:30:00")
    await scheme.price("2023-04-06", {FUND: "10"})
    await scheme.deal("2023-04-06")
    held = [bought(amount, FUND, "10") for amount in (50000, 33333)]
    due = [floor(Fraction(units) * Fraction("0.36") / Fraction("9.63")) for units in held]
    one = await distribute(scheme, sum(due) + 1, price="9.63", per_unit="0.36")
    done = await approve(scheme, one)

    assert (done.state, done.got, done.residue) == ("done", sum(due), 1)
    assert await scheme.units(stays) == {FUND: held[0] + due[0]}
    assert await scheme.units(sells) == {FUND: held[1] + due[1] - 100_000}
    assert not await scheme.broken(but=UNMATCHED)


async def distribute(
    scheme: Scheme, stated: int, *, price: str = "", per_unit: str = "0.37", **changed: Any
) -> funds.FundAction:
    """Propose income; `stated` in smallest units of the fund where it is paid in units, else in paise."""
    said = {"reference": "INC-1", "actor": "staff:1"} | changed
    exact = Decimal(stated).scaleb(-4 if price else -2)
    return await funds.propose_distribution(
        scheme.db, scheme.tenant, said.pop("fund", FUND), said.pop("product", PRODUCT), said.pop("on", date(2023, 4, 5)),
        per_unit=per_unit, price=price, stated=f"{exact:f}", **said,
    )  # fmt: skip


async def earn(scheme: Scheme) -> None:
    """Income in cash, on the units of 1 April 2024, that two people stand for and whose money has come; nothing is booked yet."""
    paying(scheme, "cash")
    await scheme.clock("2024-04-02T04:30:00")
    ((had,),) = await scheme.rows(
        """select sum(case when t.credit = c.code then t.amount else -t.amount end)::bigint from chart c
             join transfers t on t.member_id > 0 and c.code in (t.debit, t.credit) where c.kind in ('units', 'selling') and c.fund = :f""",
        f=FUND,
    )
    one = await distribute(scheme, int(had) * 37 // 10**4, on=date(2024, 4, 1))
    await approve(scheme, one)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        come = [Proceeds(due, "upi", DAY) for due in await funds.unsettled_sales(session) if due.action]
        await funds.settle_sales(session, scheme.tenant, come, actor="system:1")


async def test_income_in_cash_is_paid_once_its_money_is_there(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    paying(scheme, "cash")
    amounts = [50000, 33333, 12345]
    members = await holders(scheme, amounts)
    await scheme.clock("2023-04-06T04:30:00")
    due = [floor(Fraction(bought(amount, FUND, "10"), 10**4) * Fraction("0.37") * 100) for amount in amounts]
    monkeypatch.setattr(queries, "MOST_MEMBERS_IN_RANGE", 1)
    one = await distribute(scheme, sum(due) + 1)
    waits = await approve(scheme, one)
    assert (waits.state, [await cash(scheme, one) for one in members]) == ("approved", [0, 0, 0])
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        (unsettled,) = await funds.unsettled_sales(session)
        assert (unsettled.amount, unsettled.reference) == (sum(due) + 1, "INC-1")
        await funds.settle_sales(session, scheme.tenant, [Proceeds(unsettled, "upi", DAY)], actor="system:1")
    await asyncio.gather(*(funds.carry_on_actions(scheme.db, scheme.tenant) for _ in range(2)))

    assert [await cash(scheme, one) for one in members] == due
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        done = await funds.find_action(session, one.number)
        assert await funds.unsettled_sales(session) == []
    assert (done.state, done.got, done.residue) == ("done", sum(due), 1)
    assert not await scheme.broken(but=UNMATCHED | {"proceeds-come-once"})


async def test_what_is_refused_of_income_changes_nothing(scheme: Scheme) -> None:
    member, seller = await holders(scheme, [50000, 50000])
    await put_up(scheme, seller, 500_000, "all")
    await scheme.deal("2023-04-04")
    ((number,),) = await scheme.rows("select dealing_id from sale_orders")
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.price("2023-04-05", {FUND: "10"})
    await scheme.deal("2023-04-05")
    await scheme.clock("2023-04-06T04:30:00")
    with pytest.raises(NoDistributionRule):
        await distribute(scheme, 1850)
    paying(scheme, "cash")
    refused: Sequence[tuple[type[Exception], int, dict[str, Any]]] = (
        (UnknownFund, 1850, {"fund": "NOFUND"}),
        (DayNotReached, 1850, {"on": DAY}),
        (NoUnits, 0, {"on": date(2023, 4, 3)}),
        (PriceNotUsable, 1850, {"per_unit": "0"}),
        (NotAsStated, 1849, {}),
        (NotAsStated, 1851, {}),
        (UnknownProduct, 1850, {"product": "nothing"}),
        (ReferenceTaken, 1850, {"reference": f"{scheme.tenant.code}-{number}S-{FUND}"}),
    )
    for error, stated, changed in refused:
        with pytest.raises(error):
            await distribute(scheme, stated, **changed)
    with pytest.raises(StatedTooFine):
        await funds.propose_distribution(
            scheme.db, scheme.tenant, FUND, PRODUCT, date(2023, 4, 5),
            per_unit="0.37", price="", stated="18.505", reference="INC-1", actor="staff:1",
        )  # fmt: skip
    one = await distribute(scheme, 1850)
    with pytest.raises(ActionOpen):
        await distribute(scheme, 1850)
    with pytest.raises(SamePerson):
        await funds.approve_action(scheme.db, scheme.tenant, one.number, one.digest, actor="staff:1")
    await scheme.clock("2023-04-07T04:30:00")
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await funds.reject_action(session, scheme.tenant, one.number, one.digest, actor="staff:2")
    await split(scheme, 2, 1)
    with pytest.raises(SplitSince):
        await distribute(scheme, 1850)

    assert await cash(scheme, member) == 0
    assert not await scheme.broken(but=UNMATCHED)


async def test_income_that_stops_pays_once(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    paying(scheme, "units")
    monkeypatch.setattr(queries, "MOST_MEMBERS_IN_RANGE", 1)
    amounts = [50000, 40000, 30000]
    members = await holders(scheme, amounts)
    await scheme.clock("2023-04-06T04:30:00")
    due = [bought(amount, FUND, "10") // 10 for amount in amounts]
    one = await distribute(scheme, sum(due), price="10", per_unit="1")
    finish, done = acting._finish, 0  # the step that is lost, after every range

    async def stops(*args: Any) -> None:
        nonlocal done
        done += 1
        await finish(*args)
        if done == 1:
            raise RuntimeError("power cut")

    monkeypatch.setattr(acting, "_finish", stops)
    with pytest.raises(RuntimeError):
        await approve(scheme, one)
    assert not await scheme.broken(but=UNMATCHED)
    assert await funds.carry_on_actions(scheme.db, scheme.tenant) == 1

    assert [(await scheme.units(member))[FUND] for member in members] == [
        bought(amount, FUND, "10") + units for amount, units in zip(amounts, due, strict=True)
    ]
    assert not await scheme.broken(but=UNMATCHED)


async def test_nobody_deals_in_it_on_the_day(scheme: Scheme) -> None:
    await scheme.price("2008-04-05", {FUND: "10"})
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await funds.open_funds(session, [Fund(code=FUND, name="First", manager="PFM001", unit_scale=4)])
    with pytest.raises(NoDealingRule):
        await funds.propose_split(scheme.db, scheme.tenant, FUND, date(2009, 1, 1), new=2, old=1, actor="staff:1")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    members=st.lists(st.integers(0, 10**12), min_size=1, max_size=8),
    residues=st.dictionaries(st.sampled_from(["scheme", "operator", "trust"]), st.integers(0, 10**6), max_size=3),
    new=st.integers(1, 10**6),
    old=st.integers(1, 10**6),
)
def test_a_split_makes_no_units_and_loses_none(
    members: list[int], residues: dict[str, int], new: int, old: int
) -> None:
    """All accounts together have what the fund has, and no owner less than a member would have."""
    ratio = Ratio(new, old)
    after = [ratio.of(one) for one in members]
    left = residue_after_split(residues, ratio, before=sum(members), after=sum(after), rest_to="scheme")

    assert sum(after) + sum(left.values()) == (sum(members) + sum(residues.values())) * new // old
    assert all(left[party] >= units * new // old for party, units in residues.items())
    assert 0 <= left["scheme"] - ratio.of(residues.get("scheme", 0)) < len(members) + len(residues)
    assert all(abs(Fraction(one * new, old) - units) < 1 for one, units in zip(members, after, strict=True))
