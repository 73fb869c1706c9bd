"""Importing price files and deciding on held prices, against PostgreSQL."""

import asyncio
from datetime import date

import pytest

from engine.access.errors import SamePerson
from engine.funds import service as funds
from engine.funds.errors import PriceDecided, UnitScaleChanged, UnknownPrice
from engine.funds.queries import prices as queries
from engine.funds.rules import Fund
from integrations.fund_managers.cra_files.adapter import CraFiles
from tests.engine.funds.conftest import ADAPTER, Scheme

DAY = date(2023, 4, 3)


async def stored(scheme: Scheme) -> list[tuple[object, ...]]:
    return await scheme.rows(
        "select f.code, price_on, digits, scale, state from prices join funds f using (tenant_id, fund_id) order by 2, 1, file_id"
    )


async def test_prices_of_our_funds_are_accepted_and_others_are_not_ours(scheme: Scheme) -> None:
    report = await scheme.price("2023-04-03", {"SM001009": "31.2524", "SM003003": "31.3146", "SM008001": "12.5"})
    assert report.accepted == {"SM001009": "31.2524", "SM003003": "31.3146"}
    assert (report.not_ours, report.unchanged, report.held, report.refused) == (1, 0, (), ())
    assert await stored(scheme) == [
        ("SM001009", DAY, 312524, 4, "accepted"),
        ("SM003003", DAY, 313146, 4, "accepted"),
    ]
    kinds = await scheme.rows("select kind, body ->> 'fund' from events order by event_id")
    assert kinds == [(30, None), (31, "SM001009"), (31, "SM003003")]
    assert not await scheme.broken()


async def test_the_same_bytes_twice_say_when_they_first_came(scheme: Scheme) -> None:
    first = await scheme.price("2023-04-03", {"SM001009": "31.2524"})
    await scheme.clock("2023-04-04T04:30:00")
    again = await scheme.price("2023-04-03", {"SM001009": "31.2524"})
    assert (again.state, again.received_at) == ("known", first.received_at)
    assert "first came at 2023-04-03 04:30" in again.lines()[0]
    assert len(await scheme.rows("select 1 from events")) == 2


async def test_a_file_refused_whole_is_kept_and_changes_nothing(scheme: Scheme) -> None:
    async def send(day: date | None) -> funds.PriceImport:
        return await funds.import_prices(
            scheme.db, scheme.tenant, ADAPTER, b"SM001009,31.2524", "prices.csv", day, "staff:1"
        )

    refused = await send(None)
    assert refused.is_refused
    assert [(bad.field, bad.reason) for bad in refused.refused] == [("date", "no-day-in-name")]
    rows = await scheme.rows("select state, day, convert_from(raw, 'UTF8'), refused -> 0 ->> 'reason' from price_files")
    assert rows == [("refused", None, "SM001009,31.2524", "no-day-in-name")]
    assert not await stored(scheme)
    assert not await scheme.rows("select 1 from events")
    # The same bytes with the day they are of are a new try.
    assert (await send(DAY)).accepted == {"SM001009": "31.2524"}
    assert await scheme.rows("select state, day from price_files") == [("imported", DAY)]


async def test_another_price_for_a_day_that_has_one_is_refused_by_row(scheme: Scheme) -> None:
    await scheme.price("2023-04-03", {"SM001009": "31.2524"})
    report = await scheme.price("2023-04-03", {"SM001009": "31.2525", "SM002009": "31.0"}, note="second")
    assert [(bad.row, bad.field, bad.reason, bad.text) for bad in report.refused] == [
        (1, "price", "another-price", "31.2524")
    ]
    assert report.accepted == {"SM002009": "31.0"}
    same = await scheme.price("2023-04-03", {"SM001009": "31.25240"}, note="third")
    assert (same.unchanged, same.accepted, same.refused) == (1, {}, ())


async def test_a_fund_of_another_manager_is_refused_by_row(scheme: Scheme) -> None:
    raw = CraFiles().write(ADAPTER.read(b"SM001009,31.2", "x", DAY).prices, DAY).replace(b"PFM001", b"PFM002")
    report = await funds.import_prices(scheme.db, scheme.tenant, CraFiles(), raw, "f.csv", DAY, "staff:1")
    assert [(bad.field, bad.reason) for bad in report.refused] == [("manager_code", "another-manager")]
    assert not await stored(scheme)


async def test_the_recordkeepers_own_file_is_read(scheme: Scheme) -> None:
    raw = CraFiles().write(ADAPTER.read(b"SM001009,31.2524\nSM002009,31.0274", "x", DAY).prices, DAY)
    report = await funds.import_prices(scheme.db, scheme.tenant, CraFiles(), raw, "2023-04-03.csv", DAY, "staff:1")
    assert report.accepted == {"SM001009": "31.2524", "SM002009": "31.0274"}


async def test_a_price_that_moved_waits_for_a_second_person(scheme: Scheme) -> None:
    await scheme.price("2023-04-03", {"SM001009": "100"})
    report = await scheme.price("2023-04-04", {"SM001009": "105.0001"})
    assert [(one.fund, one.price, one.last, one.held_for) for one in report.held] == [
        ("SM001009", "105.0001", "100", "moved")
    ]
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        with pytest.raises(SamePerson):
            await funds.approve_price(session, scheme.tenant, "SM001009", date(2023, 4, 4), "staff:1")
        approved = await funds.approve_price(session, scheme.tenant, "SM001009", date(2023, 4, 4), "staff:2")
        assert approved.state == "accepted"
        with pytest.raises(PriceDecided) as refusal:
            await funds.approve_price(session, scheme.tenant, "SM001009", date(2023, 4, 4), "staff:3")
        assert refusal.value.details["state"] == "accepted"
        with pytest.raises(UnknownPrice):
            await funds.approve_price(session, scheme.tenant, "SM001009", date(2023, 4, 5), "staff:2")
    assert (await stored(scheme))[-1][-1] == "accepted"
    # From here on the approved price is the last one.
    assert (await scheme.price("2023-04-05", {"SM001009": "110"})).accepted == {"SM001009": "110"}


async def test_a_rejected_price_makes_room_for_the_right_one(scheme: Scheme) -> None:
    await scheme.price("2023-04-03", {"SM001009": "100"})
    await scheme.price("2023-04-04", {"SM001009": "10.01"})
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await funds.reject_price(session, scheme.tenant, "SM001009", date(2023, 4, 4), "staff:2")
    assert (await scheme.price("2023-04-04", {"SM001009": "100.1"})).accepted == {"SM001009": "100.1"}
    assert [row[-1] for row in await stored(scheme)] == ["accepted", "rejected", "accepted"]
    kinds = await scheme.rows("select kind from events where kind in (32, 33, 34)")
    assert kinds == [(32,), (34,)]


async def test_a_price_that_comes_after_its_order_waits(scheme: Scheme) -> None:
    (member,) = await scheme.members(["first"])
    (event,) = await scheme.receive([(member, {"retirement": 50000}, "r")])
    await scheme.allocate([(member, event)])
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-06T04:30:00")
    await scheme.price("2023-04-06", {"SM001009": "31.3"})
    await scheme.deal("2023-04-06")
    report = await scheme.price("2023-04-05", {"SM001009": "31.2"})
    assert [one.held_for for one in report.held] == ["late"]
    assert (await scheme.price("2023-04-03", {"SM001009": "31.1"})).accepted


async def test_two_imports_of_one_file_at_once_import_it_once(scheme: Scheme) -> None:
    reports = await asyncio.gather(*(scheme.price("2023-04-03", {"SM001009": "31.2"}) for _ in range(4)))
    assert sorted(report.state for report in reports) == ["imported", "known", "known", "known"]


async def test_a_funds_unit_scale_never_changes(scheme: Scheme) -> None:
    await scheme.price("2023-04-03", {"SM001009": "31.2"})
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        with pytest.raises(UnitScaleChanged):
            await queries.intern_funds(session, [Fund(code="SM001009", name="x", manager="m", unit_scale=6)])
