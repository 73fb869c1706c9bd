"""How far managers say orders are, and orders that two people ask back: only in time, only what was not dealt, never with an effect on members."""

import asyncio
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.access.errors import SamePerson
from engine.funds import errors
from engine.funds import service as funds
from engine.funds.api import SentOrderController
from engine.kernel.fund_orders import OrderStatus
from integrations.fund_managers.simulation import iso_messages
from tests.engine.funds.conftest import UNMATCHED, Scheme
from tests.engine.funds.test_confirming import DAY, PRICE, books
from tests.engine.funds.test_dealing import savers
from tests.engine.funds.test_selling import invested, sell
from tests.factories.routes import routes
from tests.factories.trading import FUND, Trading, trading_of


@pytest.fixture
def iso(scheme: Scheme, tmp_path: Path) -> Trading:
    return trading_of(scheme, tmp_path, "iso-20022")


async def sent(trading: Trading) -> list[tuple[str, str]]:
    async with trading.scheme.db.unit_of_work(trading.scheme.tenant.tenant_id) as session:
        found = await funds.list_sent_orders(session, trading.scheme.tenant)
    return [(one.state, one.code) for one in found]


async def name_of(trading: Trading) -> str:
    ((name,),) = await trading.scheme.rows("select reference from order_sendings where not is_released")
    return str(name)


async def propose(trading: Trading, name: str = "", *, actor: str = "staff:1", reason: Any = "wrong-details") -> Any:
    async with trading.scheme.db.unit_of_work(trading.scheme.tenant.tenant_id) as session:
        return await funds.propose_cancellation(
            session, trading.scheme.tenant, trading.desk(), name or await name_of(trading), reason=reason, actor=actor
        )


async def approve(trading: Trading, one: funds.Cancellation, *, actor: str = "staff:2", digest: str = "") -> Any:
    async with trading.scheme.db.unit_of_work(trading.scheme.tenant.tenant_id) as session:
        return await funds.approve_cancellation(
            session, trading.scheme.tenant, trading.desk(), one.cancellation, digest=digest or one.digest, actor=actor
        )


async def reject(trading: Trading, one: funds.Cancellation, *, actor: str = "staff:2") -> Any:
    async with trading.scheme.db.unit_of_work(trading.scheme.tenant.tenant_id) as session:
        return await funds.reject_cancellation(session, one.cancellation, digest=one.digest, actor=actor)


async def cancellations(trading: Trading) -> list[str]:
    async with trading.scheme.db.unit_of_work(trading.scheme.tenant.tenant_id) as session:
        return [one.state for one in await funds.list_cancellations(session)]


async def ordered(trading: Trading) -> None:
    """An order of 3 April that was sent on its day, ten hours before its manager's last hour."""
    await savers(trading.scheme, ["first"], [500_00])
    await trading.scheme.deal("2023-04-03")
    await trading.send()


async def test_what_the_manager_says_of_an_order_is_its_state(iso: Trading) -> None:
    iso.manager.acknowledges = True
    await savers(iso.scheme, ["first"], [500_00])
    await iso.scheme.deal("2023-04-03")
    await funds.file_orders(iso.scheme.db, iso.scheme.tenant, desk := iso.desk())
    assert await sent(iso) == [("to-leave", "")]
    await desk.exchanges.work(iso.scheme.tenant.tenant_id)
    assert await sent(iso) == [("sent", "")]
    iso.manager.take_orders()
    assert await iso.take() == 1
    assert await sent(iso) == [("accepted", "PACK")]
    assert [one["orders"] for one in await iso.events(359)] == [1]
    await iso.scheme.clock("2023-04-05T04:30:00")
    iso.manager_deals(DAY, PRICE)
    await iso.take()
    await iso.scheme.deal(DAY)
    await funds.judge_confirmations(iso.scheme.db, iso.scheme.tenant)
    assert await sent(iso) == [("confirmed", "PACK")]
    assert not await iso.scheme.broken(but=UNMATCHED)


async def test_an_order_is_asked_back_by_two_and_leaves_again_by_another_name(iso: Trading) -> None:
    await ordered(iso)
    before = await books(iso.scheme)
    first = await name_of(iso)
    one = await propose(iso)
    with pytest.raises(errors.CancellationDecided):
        await propose(iso, actor="staff:3")
    with pytest.raises(SamePerson):
        await approve(iso, one, actor="staff:1")
    with pytest.raises(errors.CancellationDiffers):
        await approve(iso, one, digest="0" * 64)
    decided = await asyncio.gather(*(approve(iso, one) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in decided].count(funds.Cancellation) == 1
    assert [type(each) for each in decided].count(errors.CancellationDecided) == 2
    assert await sent(iso) == [("cancelling", "")]

    staged = await asyncio.gather(*(iso.send() for _ in range(4)))
    assert sum(staged) == 1
    await asyncio.sleep(0.4)
    await iso.send()
    assert [file.name[:8] for file in iso.site.got()] == ["setr.010", "setr.011"]
    iso.manager.take_orders()
    assert await iso.take() == 1
    assert await cancellations(iso) == ["cancelled"]
    assert await sent(iso) == [("released", "CANO")]
    assert await books(iso.scheme) == before, "members' money stays in the order"
    assert not await iso.scheme.broken(but=UNMATCHED)

    assert await iso.send() == 1
    second = await name_of(iso)
    assert second == f"{first}-2"
    iso.manager.take_orders()
    await iso.scheme.clock("2023-04-05T04:30:00")
    iso.manager_deals(DAY, PRICE)
    await iso.take()
    await iso.scheme.deal(DAY)
    await funds.judge_confirmations(iso.scheme.db, iso.scheme.tenant)
    assert await sent(iso) == [("confirmed", ""), ("released", "CANO")]
    assert [one["cancellation"] for kind in (360, 361) for one in await iso.events(kind)] == [1, 1]
    assert not await iso.scheme.broken(but=UNMATCHED)


async def test_units_that_are_sold_are_asked_back_too(iso: Trading) -> None:
    seller, _ = await invested(iso.scheme, [50000, 70000])
    await iso.send()
    await sell(iso.scheme, seller)
    await iso.scheme.deal("2023-04-05")
    await iso.send()
    ((name,),) = await iso.scheme.rows("select reference from order_sendings where side = 'redeem'")
    await approve(iso, await propose(iso, name))
    await iso.send()
    iso.manager.take_orders()
    await iso.take()
    assert await cancellations(iso) == ["cancelled"]
    assert "setr.005" in {file.name[:8] for file in iso.site.got()}
    assert not await iso.scheme.broken(but=UNMATCHED)


async def test_an_order_that_the_manager_dealt_in_stays(iso: Trading) -> None:
    await ordered(iso)
    await approve(iso, await propose(iso))
    await iso.scheme.clock("2023-04-05T04:30:00")
    iso.manager.take_orders()
    iso.manager.deal(date(2023, 4, 5), {FUND: Decimal(PRICE)})
    await iso.send()
    iso.manager.take_orders()
    await iso.take()
    assert await cancellations(iso) == ["refused"]
    await iso.scheme.deal(DAY)
    await funds.judge_confirmations(iso.scheme.db, iso.scheme.tenant)
    assert await sent(iso) == [("confirmed", "DONE")]
    with pytest.raises(errors.OrderDone):
        await propose(iso)
    assert len(await iso.events(362)) == 1
    assert not await iso.scheme.broken(but=UNMATCHED)


async def test_an_order_that_the_manager_refused_waits_for_two_people_and_no_message_leaves(iso: Trading) -> None:
    iso.manager.refuses = {FUND: "ICAG"}
    await ordered(iso)
    iso.manager.take_orders()
    await iso.take()
    assert await sent(iso) == [("rejected", "ICAG")]
    assert await iso.send() == 0, "it does not leave again by itself"
    await iso.scheme.clock("2023-04-04T04:30:00")  # the manager has nothing to cancel: no hour counts
    await approve(iso, await propose(iso, reason="refused-by-manager"))
    assert await cancellations(iso) == ["cancelled"]
    assert await iso.send() == 1
    assert [file.name[:8] for file in iso.site.got()] == ["setr.010", "setr.010"]
    assert not await iso.scheme.broken(but=UNMATCHED)


async def test_what_is_rejected_by_the_second_person_leaves_the_order_where_it_is(iso: Trading) -> None:
    await ordered(iso)
    one = await propose(iso)
    with pytest.raises(SamePerson):
        await reject(iso, one, actor="staff:1")
    await reject(iso, one)
    assert await cancellations(iso) == ["rejected"]
    assert await iso.send() == 0
    assert (await propose(iso, actor="staff:3")).cancellation == 2


async def test_only_in_time_and_only_where_the_manager_takes_it(iso: Trading) -> None:
    await ordered(iso)
    one = await propose(iso)
    await iso.scheme.clock("2023-04-03T14:30:59")  # 20:00 in India, to the end of the minute
    await approve(iso, one)

    later = trading_of(iso.scheme, iso.site.root / "later", "iso-20022")
    await iso.scheme.clock("2023-04-03T14:31:00")
    with pytest.raises(errors.CancelTooLate, match="20:00"):
        await propose(later)
    for table, speaks in (({"cancels_until": ""}, "iso-20022"), ({}, "csv-files")):
        other = trading_of(iso.scheme, iso.site.root / speaks, speaks)
        other.joined = replace(other.joined, table=msgspec.structs.replace(other.joined.table, **table))
        with pytest.raises(errors.NoCancelling):
            await propose(other)
    with pytest.raises(errors.UnknownSentOrder):
        await propose(iso, "never-sent")
    with pytest.raises(errors.UnknownCancellation):
        await approve(iso, msgspec.structs.replace(one, cancellation=9))


async def test_a_status_of_no_order_of_ours_and_the_same_file_again_change_nothing(iso: Trading) -> None:
    await ordered(iso)
    raw = iso_messages.write_statuses("S", date(2023, 4, 3), {"NEVER-SENT": (OrderStatus.CANCELLED, "CANO")})
    for _ in range(2):
        assert await funds.take_statuses(iso.scheme.db, iso.scheme.tenant, iso.joined, raw, "s.xml") == ""
    assert await sent(iso) == [("sent", "")]
    assert await iso.scheme.rows("select reference, status from order_statuses") == [("NEVER-SENT", "cancelled")]
    assert len(await iso.events(359)) == 1
    refusal = await funds.take_statuses(iso.scheme.db, iso.scheme.tenant, iso.joined, raw[:90], "half.xml")
    assert "half.xml" in refusal
    assert not await iso.scheme.broken(but=UNMATCHED)


async def test_an_order_is_asked_back_over_http(iso: Trading) -> None:
    await ordered(iso)
    path, second = "/v1/order-cancellations", {"X-Actor": "staff:2"}
    async with routes(iso.scheme.tenant, iso.scheme.db, SentOrderController, order_desk=iso.desk()) as client:
        (order,) = (await client.get("/v1/sent-orders")).json()
        assert (order["state"], order["amount"], order["side"]) == ("sent", "500.00", "subscribe")
        wanted = {"order": order["reference"], "reason": "wrong-details"}
        made = (await client.post(path, json=wanted)).json()
        seen = {"digest": made["digest"]}
        twice = await client.post(path, json=wanted)
        assert (twice.status_code, twice.json()["code"]) == (409, "funds.cancellation-decided")
        assert (await client.post(path, json=wanted | {"order": "none"})).status_code == 404
        assert (await client.post(path, json=wanted | {"reason": "why not"})).status_code in (400, 422)
        own = await client.post(f"{path}/1/approve", json=seen)
        assert (own.status_code, own.json()["code"]) == (403, "access.same-person")
        left = await client.post(f"{path}/1/reject", json=seen, headers=second)
        assert (left.status_code, left.json()["state"]) == (200, "rejected")
        made = (await client.post(path, json=wanted)).json()
        await iso.scheme.clock("2023-04-04T04:30:00")
        late = await client.post(f"{path}/2/approve", json={"digest": made["digest"]}, headers=second)
        assert (late.status_code, late.json()["code"]) == (409, "funds.cancel-too-late")
        assert [one["state"] for one in (await client.get(path)).json()] == ["proposed", "rejected"]
