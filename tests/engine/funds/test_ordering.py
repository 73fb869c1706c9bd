"""Orders leave for fund managers: each in one file, once, whatever stops where."""

import asyncio
import signal
import sys
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from engine.funds import service as funds
from engine.kernel.files import NamedFile
from engine.kernel.fund_orders import OrderSide
from engine.kernel.transport import Unreachable
from engine.runtime.exchanges import queries as exchange_queries
from integrations.banking.file_drops.folder import FolderDrop
from integrations.fund_managers.csv_files.layouts import PLAIN
from integrations.fund_managers.csv_files.wire import read_orders
from tests.engine.funds.conftest import ROOT, Scheme
from tests.engine.funds.test_dealing import PRICES, savers
from tests.engine.funds.test_selling import invested, sell
from tests.factories.trading import FUND, SPEAKING, Trading, trading_of
from tests.integrations.fund_managers.test_dealing_files import Validate, schema_valid

__all__ = ["schema_valid"]


class Stopped(BaseException):
    """The process ends here."""


@pytest.fixture(params=list(SPEAKING))
def trading(request: pytest.FixtureRequest, scheme: Scheme, tmp_path: Path) -> Trading:
    return trading_of(scheme, tmp_path, request.param)


@pytest.fixture
def small(scheme: Scheme, tmp_path: Path) -> Trading:
    return trading_of(scheme, tmp_path, "csv-files")


async def test_orders_leave_in_one_file_a_side_and_once(trading: Trading) -> None:
    scheme = trading.scheme
    seller, _ = await invested(scheme, [50000, 70000])
    await trading.send()  # the first day's order
    assert len(trading.site.got()) == 1
    await sell(scheme, seller)
    (buyer,) = await scheme.members(["first"])
    (event,) = await scheme.receive([(buyer, {"retirement": 60000}, "later")])
    await scheme.allocate([(buyer, event)])
    await scheme.deal("2023-04-05")

    assert await trading.send() == 2
    assert await trading.send() == 0
    assert [(state, orders) for _, state, orders, _ in await trading.files()] == [("accepted", 1)] * 3
    assert trading.manager.take_orders() == 3
    assert (trading.manager.refused_files, trading.manager.out_of_sequence) == ([], [])
    assert trading.manager.account == "OMNIBUS-7"
    taken = {(one.side, one.fund_code): one for one in trading.manager.books.taken.values()}
    units = (await scheme.rows("select units from sale_orders"))[0][0]
    assert taken[OrderSide.REDEEM, FUND].units == Decimal(units) / 10**4
    amounts = [one.amount.units for one in trading.manager.books.taken.values() if one.amount is not None]
    assert sorted(amounts) == [60000, 120000]
    assert {one["manager"] for one in await trading.events(173)} == {"pfm-one"}
    assert len(await trading.events(174)) == 3


async def test_what_leaves_is_what_is_kept_with_its_reference_before_it_leaves(small: Trading) -> None:
    """The exchange has the bytes and our reference while nothing lies in the manager's place."""
    await savers(small.scheme, ["first"], [50000])
    await small.scheme.deal("2023-04-03")
    desk = small.desk()
    await funds.file_orders(small.scheme.db, small.scheme.tenant, desk)

    assert list(small.site.from_us.iterdir()) == []
    ((reference, state, sent_at),) = await small.scheme.rows("select reference, state, sent_at from exchanges")
    assert (state, sent_at) == ("requested", None)
    assert await small.scheme.rows("select reference, state from order_files") == [(reference, "requested")]
    await desk.exchanges.work(small.scheme.tenant.tenant_id)
    (file,) = small.site.got()
    assert await small.scheme.rows("select name, sha256 from order_files") == [(file.name, file.sha256)]
    _, (order,) = read_orders(file.raw, PLAIN)
    assert order.reference == (await small.scheme.rows("select reference from orders where amount = 50000"))[0][0]
    kinds = await small.scheme.rows("select kind from exchange_messages order by message_no")
    assert kinds == [("sent",), ("received",)]


async def test_only_orders_of_the_managers_funds_and_since_the_day_leave(small: Trading) -> None:
    scheme = small.scheme
    await savers(scheme, ["first", "second"], [50000, 60000])
    await scheme.deal("2023-04-03")
    await small.send()
    (file,) = small.site.got()
    assert [one.fund_code for one in read_orders(file.raw, PLAIN)[1]] == [FUND]

    later = trading_of(scheme, small.site.root / "later", "csv-files")
    assert await later.send() == 0  # the order left by the other place already


async def test_two_workers_at_once_make_one_file(small: Trading) -> None:
    await savers(small.scheme, ["first"], [50000])
    await small.scheme.deal("2023-04-03")
    made = await asyncio.gather(*(small.send() for _ in range(6)))

    assert sum(made) == 1
    await asyncio.sleep(0.4)
    await small.send()
    assert len(small.site.got()) == 1
    assert await small.scheme.rows("select count(*)::int from order_sendings") == [(1,)]


class Dying(FolderDrop):
    """A folder whose process ends at a point."""

    point = ""

    async def stage(self, file: NamedFile) -> None:
        if self.point == "before-staging":
            raise Stopped
        await super().stage(file)
        if self.point == "staged":
            raise Stopped

    async def hand_over(self, file: NamedFile) -> bool:
        if self.point == "sent":
            raise Stopped
        found = await super().hand_over(file)
        if self.point == "handed-over":
            raise Stopped
        return found


@pytest.mark.parametrize("taken_at_once", [False, True], ids=["lies-there", "taken-at-once"])
@pytest.mark.parametrize("point", ["filed", "before-staging", "staged", "sent", "handed-over", "storing"])
async def test_a_crash_anywhere_leaves_each_order_once(
    small: Trading, point: str, taken_at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the manager has taken the file away before we knew that it was there."""
    await savers(small.scheme, ["first"], [50000])
    await small.scheme.deal("2023-04-03")
    site = small.site
    dying = Dying(site.for_us, site.from_us, site.taken)
    dying.point = point
    desk = small.desk(dying)
    await funds.file_orders(small.scheme.db, small.scheme.tenant, desk)
    if point != "filed":
        if point == "storing":

            async def stop(*_: object, **__: object) -> None:
                raise Stopped

            monkeypatch.setattr(exchange_queries, "store_standing", stop)
        await desk.exchanges.work(small.scheme.tenant.tenant_id)
        monkeypatch.undo()
    seen = site.got()
    if taken_at_once:
        for file in seen:
            (site.from_us / file.name).unlink()
    assert (await small.files())[0][1] in {"requested", "unknown"}

    await asyncio.sleep(0.35)  # until the lease of who died is over
    for _ in range(3):
        await small.send()
        await asyncio.sleep(0.06)
    seen_after = site.got()
    ever = {one.name: one for one in (*seen, *seen_after)}
    assert len(ever) == 1
    assert bool(seen_after) is not (taken_at_once and bool(seen))
    assert [state for _, state, _, _ in await small.files()] == ["accepted"]
    assert [path.name for path in site.from_us.iterdir()] == [one.name for one in seen_after]
    assert len(await small.events(174)) == 1
    assert await small.scheme.broken(but=frozenset({"only-reconciled-cash-is-dealt"})) == []


@pytest.mark.parametrize("point", ["filed", "before-staging", "staged", "sent", "handed-over"])
async def test_a_process_killed_anywhere_leaves_each_order_once(
    small: Trading, database_urls: tuple[str, str], tmp_path: Path, point: str
) -> None:
    """The same with a process that is killed, and a manager that takes away at once what it sees."""
    scheme = small.scheme
    await savers(scheme, ["first"], [50000])
    await scheme.deal("2023-04-03")
    program = [sys.executable, "-m", "tests.engine.funds.mortal_orders"]
    words = [database_urls[0], str(scheme.tenant.tenant_id), str(tmp_path), point]
    killed = await asyncio.create_subprocess_exec(*program, *words, cwd=ROOT)
    assert await killed.wait() == -signal.SIGKILL

    taken = small.manager.take_orders()
    for file in small.site.got():
        (small.site.from_us / file.name).unlink()
    await asyncio.sleep(0.35)
    for _ in range(3):
        await small.send()
        await asyncio.sleep(0.06)
    assert taken + small.manager.take_orders() == 1
    assert bool(taken) is not bool(small.site.got())
    assert [(state, orders) for _, state, orders, _ in await small.files()] == [("accepted", 1)]
    assert len(await small.events(173)) == len(await small.events(174)) == 1


async def test_a_place_that_is_not_there_is_tried_again(small: Trading) -> None:
    await savers(small.scheme, ["first"], [50000])
    await small.scheme.deal("2023-04-03")
    away = small.site.from_us.rename(small.site.root / "away")
    await small.send()
    assert [state for _, state, _, _ in await small.files()] == ["requested"]
    with pytest.raises(Unreachable):
        await small.drop.stage(NamedFile("orders.csv", b"x"))

    away.rename(small.site.from_us)
    await asyncio.sleep(0.06)
    await small.send()
    assert [state for _, state, _, _ in await small.files()] == ["accepted"]
    assert len(small.site.got()) == 1


async def test_a_file_whose_name_is_taken_is_rejected_and_its_orders_leave_in_another(small: Trading) -> None:
    await savers(small.scheme, ["first"], [50000])
    await small.scheme.deal("2023-04-03")
    foreign = small.site.from_us / "orders-000001-20230403.csv"
    foreign.write_bytes(b"somebody's")
    assert await small.send() == 1
    assert [state for _, state, _, _ in await small.files()] == ["rejected"]
    assert len(await small.events(175)) == 1

    assert await small.send() == 1
    assert [state for _, state, _, _ in await small.files()] == ["accepted", "rejected"]
    assert foreign.read_bytes() == b"somebody's"
    assert len(small.site.got()) == 2
    assert await small.scheme.rows("select is_released from order_sendings order by file_id") == [(True,), (False,)]


async def test_a_priced_order_that_was_never_sent_still_leaves(small: Trading) -> None:
    await savers(small.scheme, ["first"], [50000])
    await small.scheme.deal("2023-04-03")
    await small.scheme.clock("2023-04-05T04:30:00")
    await small.scheme.price("2023-04-05", PRICES)
    await small.scheme.deal("2023-04-05")

    assert await small.send() == 1
    assert (await small.scheme.rows("select cut_off_on from order_files")) == [(date(2023, 4, 3),)]


async def test_a_long_reference_is_cut_to_what_messages_take_and_is_known_again(small: Trading) -> None:
    scheme = small.scheme
    scheme.tenant = replace(scheme.tenant, code="a-scheme-with-a-name-of-forty-letters-xx")
    await savers(scheme, ["first"], [50000])
    await scheme.deal("2023-04-03")
    await small.send()
    small.manager.take_orders()
    ((own,),) = await scheme.rows("select reference from orders")
    (sent,) = small.manager.books.taken
    assert (len(own) > 35, len(sent)) == (True, 35)
    assert await scheme.rows("select reference from order_sendings") == [(sent,)]

    await scheme.clock("2023-04-05T04:30:00")
    small.manager_deals("2023-04-05", PRICES[FUND])
    await small.take()
    assert [one.state for one in await small.listed()] == ["waiting"]


@pytest.mark.artefact("ISO 20022 funds")
async def test_what_leaves_as_a_message_is_valid_by_its_schema(
    scheme: Scheme, tmp_path: Path, schema_valid: Validate
) -> None:
    trading = trading_of(scheme, tmp_path, "iso-20022")
    (seller,) = await invested(scheme, [50000])
    await sell(scheme, seller)
    await scheme.deal("2023-04-05")
    await trading.send()
    files = trading.site.got()
    assert sorted(one.name[:8] for one in files) == ["setr.004", "setr.010"]
    for file in files:
        schema_valid(file.raw)
