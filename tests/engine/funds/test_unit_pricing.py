"""Which day's price a dealing takes, as the rule of its cut-off's day says: the pure rule, and the books by it."""

import dataclasses
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from engine.funds import service as funds
from engine.funds.queries import dealings as queries
from engine.funds.rules import PricedBy, Pricing, pricing_day
from tests.engine.funds.conftest import BOOK, PRODUCT, UNMATCHED, Scheme, book_of
from tests.engine.funds.test_dealing import bought, savers

PRICED = """
[[rule]]
kind = "unit-pricing"
id = "unit-pricing"
pricing = "{by}"
lag = {lag}
bought = "down"
sold = "up"
source = "test"
confidence = "high"
"""
DAY = date(2023, 4, 3)
DAYS = st.integers(-6, 8).map(lambda n: DAY + timedelta(days=n))


def priced(scheme: Scheme, by: str, lag: int) -> Scheme:
    """The scheme with a pricing rule in its book."""
    pack = dataclasses.replace(
        scheme.tenant.pack, books={PRODUCT: book_of(BOOK + PRICED.format(by=by, lag=lag), "2010-04-01")}
    )
    scheme.tenant = dataclasses.replace(scheme.tenant, pack=pack)
    return scheme


@pytest.mark.parametrize(
    ("by", "lag", "expected"),
    [
        ("forward", 0, date(2023, 4, 3)),
        ("forward", 1, date(2023, 4, 5)),
        ("next", 0, date(2023, 4, 5)),
        ("next", 1, date(2023, 4, 6)),
        ("historic", 0, date(2023, 3, 31)),
        ("historic", 1, date(2023, 3, 30)),
    ],
)
async def test_an_order_takes_the_price_that_its_rule_says(scheme: Scheme, by: str, lag: int, expected: date) -> None:
    priced(scheme, by, lag)
    days = {
        "2023-03-30": "30.1",
        "2023-03-31": "30.2",
        "2023-04-03": "30.3",
        "2023-04-05": "30.4",
        "2023-04-06": "30.5",
    }
    (member,) = await savers(scheme, ["first"], [50000])
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-07T04:30:00")
    for day, price in days.items():
        await scheme.price(day, {"SM001009": price})
    await scheme.deal("2023-04-07")

    ((price_on, by_kept),) = await scheme.rows(
        "select o.price_on, d.priced_by from orders o join dealings d using (tenant_id, dealing_id)"
    )
    assert (price_on, by_kept) == (expected, by)
    assert await scheme.units(member) == {"SM001009": bought(50000, "SM001009", days[expected.isoformat()])}
    assert await scheme.deal("2023-04-07") == funds.DealingReport(date(2023, 4, 7), (), (), ())
    assert not await scheme.broken(but=UNMATCHED)


async def test_forward_pricing_takes_no_price_that_was_known_before_the_cut_off(scheme: Scheme) -> None:
    """Who knows the price of the day cannot still deal at it, nor at one of a later day that came too soon."""
    priced(scheme, "forward", 0)
    (member,) = await savers(scheme, ["first"], [50000])
    await scheme.clock("2023-04-03T09:30:59")
    await scheme.price("2023-04-03", {"SM001009": "30.3"})
    await scheme.price("2023-04-04", {"SM001009": "30.4"})
    (waits,) = (await scheme.deal("2023-04-03")).orders
    await scheme.clock("2023-04-05T09:00:00")
    (waits_still,) = (await scheme.deal("2023-04-05")).orders
    await scheme.price("2023-04-05", {"SM001009": "30.5"})
    (taken,) = (await scheme.deal("2023-04-05")).orders

    assert (waits.waiting, waits_still.waiting) == ("price-known-before-cut-off", "price-known-before-cut-off")
    assert (taken.price_on, taken.price) == (date(2023, 4, 5), "30.5")
    assert await scheme.units(member) == {"SM001009": bought(50000, "SM001009", "30.5")}
    assert not await scheme.broken(but=UNMATCHED)


async def test_a_price_struck_after_the_cut_off_of_its_day_is_taken_however_late_it_is_replayed(scheme: Scheme) -> None:
    """The minute of the cut-off still takes orders; the next is the first whose price counts, and months later counts too."""
    priced(scheme, "forward", 0)
    await savers(scheme, ["first"], [50000])
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-03T09:31:00")
    await scheme.price("2023-04-03", {"SM001009": "30.3"})
    (at_once,) = (await scheme.deal("2023-04-03")).orders
    await savers(scheme, ["second"], [50000], "b")
    await scheme.clock("2023-04-05T12:00:00")
    await scheme.deal("2023-04-05")
    await scheme.clock("2023-11-01T04:30:00")
    for day in ("2023-04-04", "2023-04-05", "2023-04-06"):
        await scheme.price(day, {"SM002009": f"4{day[-1]}"})
    (replayed,) = (await scheme.deal("2023-11-01")).orders

    assert (at_once.price_on, replayed.price_on) == (date(2023, 4, 3), date(2023, 4, 5))
    assert not await scheme.broken(but=UNMATCHED)


async def test_a_price_known_too_early_breaks_the_law_where_it_was_taken(scheme: Scheme) -> None:
    priced(scheme, "forward", 0)
    await savers(scheme, ["first"], [50000])
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-04T04:30:00")
    await scheme.price("2023-04-03", {"SM001009": "30.3"})
    await scheme.deal("2023-04-04")
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await session.execute(text("update dealings set cut_off_at = cut_off_at + interval '1 day'"))

    assert {one.law for one in await scheme.broken(but=UNMATCHED)} == {"orders-take-a-published-price"}


async def test_a_dealing_keeps_the_pricing_of_its_cut_off(scheme: Scheme) -> None:
    """The rule changes while an order waits: the order goes by what was in force when it was placed."""
    before = scheme.tenant
    await savers(scheme, ["first"], [50000])
    await scheme.deal("2023-04-03")
    priced(scheme, "forward", 0)
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.price("2023-04-03", {"SM001009": "30.3"})
    await scheme.price("2023-04-05", {"SM001009": "30.4"})
    (order,) = (await scheme.deal("2023-04-05")).orders

    assert order.price_on == date(2023, 4, 5)
    assert before is not scheme.tenant
    assert not await scheme.broken(but=UNMATCHED)


async def test_a_late_price_of_the_dealing_day_waits_for_a_second_person(scheme: Scheme) -> None:
    priced(scheme, "forward", 0)
    await savers(scheme, ["first"], [50000])
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.price("2023-04-05", {"SM001009": "30.4"})
    (order,) = (await scheme.deal("2023-04-05")).orders
    late = await scheme.price("2023-04-03", {"SM001009": "30.3"})
    before = await scheme.price("2023-03-31", {"SM001009": "30.2"})

    assert order.price_on == date(2023, 4, 5)
    assert [(one.fund, one.held_for) for one in late.held] == [("SM001009", "late")]
    assert before.accepted == {"SM001009": "30.2"}


async def test_an_order_with_a_lag_waits_while_a_price_before_it_is_held(scheme: Scheme) -> None:
    priced(scheme, "next", 1)
    await scheme.price("2023-04-03", {"SM001009": "30"})
    await savers(scheme, ["first"], [50000])
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-08T04:30:00")
    for day, price in (("2023-04-05", "30"), ("2023-04-06", "40"), ("2023-04-07", "30.5")):
        await scheme.price(day, {"SM001009": price})
    (held,) = (await scheme.deal("2023-04-08")).orders
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await funds.approve_price(session, scheme.tenant, "SM001009", date(2023, 4, 6), "staff:9")
    (taken,) = (await scheme.deal("2023-04-08")).orders

    assert held.waiting == "price-held"
    assert (taken.price_on, taken.price) == (date(2023, 4, 6), "40")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    by=st.sampled_from(["forward", "next", "historic"]),
    lag=st.integers(0, 3),
    days=st.dictionaries(DAYS, st.integers(-2, 2), max_size=8),
)
async def test_the_books_and_the_rule_find_the_same_day(
    scheme: Scheme, by: PricedBy, lag: int, days: dict[date, int]
) -> None:
    """`days` are those priced, each with the minutes after the cut-off at which its price came."""
    cut_off_at = datetime(2023, 4, 3, 9, 31, tzinfo=UTC)
    known = {day: cut_off_at + timedelta(minutes=minutes) for day, minutes in days.items()}
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await session.execute(text("savepoint before"))
        await session.execute(
            text("insert into funds (tenant_id, fund_id, code, unit_scale) values (:t, 9, 'FUND', 2)"),
            {"t": scheme.tenant.tenant_id},
        )
        dealing = await session.scalar(
            text("""insert into dealings (tenant_id, product, opened_on, cut_off_on, state, priced_by, price_lag, cut_off_at)
                    values (:t, 'p', :day, :day, 'closed', :by, :lag, :at) returning dealing_id"""),
            {"t": scheme.tenant.tenant_id, "day": DAY, "by": by, "lag": lag, "at": cut_off_at},
        )
        for number, day in enumerate(sorted(days)):
            await session.execute(
                text("""with file as (insert into price_files (tenant_id, name, sha256, raw, state, day, received_at)
                          values (:t, 'f', :sha, '', 'imported', :day, :at) returning file_id)
                        insert into prices (tenant_id, fund_id, price_on, file_id, digits, scale, state, event_id, maker)
                        select :t, 9, :day, file_id, 100, 2, 'accepted', 0, 1 from file"""),
                {"t": scheme.tenant.tenant_id, "day": day, "sha": f"{number:064x}", "at": known[day]},
            )
        assert dealing is not None
        offer = await queries.offered_price(session, dealing, 9, until=date(2023, 5, 1))
        await session.execute(text("rollback to before"))

    pricing = Pricing(by, lag)
    usable = [day for day, at in known.items() if not pricing.is_known_too_early(at, cut_off_at)]
    assert offer.price_on == pricing_day(DAY, usable, pricing)
