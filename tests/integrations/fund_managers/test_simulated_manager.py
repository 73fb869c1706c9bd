"""Our adapters and the simulated manager, through every kind of file drop, on good days and bad."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from engine.funds.ports import DealingManager
from engine.kernel.amounts import Amount, Asset
from engine.kernel.file_drops import Conventions, FileDrop, take_in
from engine.kernel.files import FileRefused, NamedFile, Succession, succession
from engine.kernel.fund_orders import OrderConfirmation, OrderFile, PooledOrder, confirmation_break
from engine.kernel.price_files import PriceFile
from integrations.banking.file_drops.folder import FolderDrop
from integrations.banking.file_drops.http import HttpDrop
from integrations.banking.file_drops.simulator import DropSite, serving_http
from integrations.fund_managers.csv_files.adapter import CsvManager
from integrations.fund_managers.csv_files.layouts import PLAIN, ManagerLayout
from integrations.fund_managers.iso_20022.adapter import Iso20022Manager
from integrations.fund_managers.simulation.manager import SimulatedManager
from integrations.fund_managers.simulation.server import manager_app
from tests.contracts.banking.test_file_drops import TOKEN, WAYS, HttpxTransport, Keys, ssh_keys
from tests.contracts.fund_managers.test_dealing_managers import FILE, ISIN, ORDERS, OWN

__all__ = ["ssh_keys"]
KES = Asset.currency("KES")
DAY = FILE.dealing_on
PRICES = {ISIN: Decimal("103.4217"), OWN: Decimal("32.6034")}


@pytest.fixture
def site(tmp_path: Path) -> DropSite:
    return DropSite(tmp_path / "manager")


@dataclass
class Desk:
    """Our side: the orders it placed, the files it took, and what it made of them."""

    adapter: DealingManager
    drop: FileDrop
    placed: dict[str, tuple[PooledOrder, date]] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    stands: list[OrderConfirmation] = field(default_factory=list)
    breaks: list[tuple[str, str]] = field(default_factory=list)
    prices: list[PriceFile] = field(default_factory=list)
    held: dict[str, Decimal] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    sequence: int | None = None
    successions: list[Succession] = field(default_factory=list)

    async def place(self, file: OrderFile) -> None:
        for order in file.orders:
            self.placed[order.reference] = (order, file.dealing_on)
        for made in self.adapter.write_orders(file):
            await self.drop.deliver(made)

    async def take(self) -> None:
        async def is_known(sha256: str) -> bool:
            return sha256 in self.known

        async def keep(file: NamedFile) -> None:
            self.known.add(file.sha256)
            try:
                self._read(file)
            except FileRefused as refused:
                self.refused.append(refused.reason)

        await take_in(self.drop, is_known=is_known, keep=keep)

    def _read(self, file: NamedFile) -> None:
        if file.name.startswith("prices"):
            self.prices.append(self.adapter.read(file.raw, file.name, None))
        elif file.name.startswith("holdings"):
            self.held = {one.fund_code: one.units for one in self.adapter.read_holdings(file.raw, file.name).holdings}
        else:
            read = self.adapter.read_confirmations(file.raw, file.name)
            if read.sequence is not None:
                self.successions.append(succession(self.sequence, read.sequence.number))
                self.sequence = max(read.sequence.number, self.sequence or 0)
            for one in read.confirmations:
                self._confirm(one)

    def _confirm(self, one: OrderConfirmation) -> None:
        order, dealing_on = self.placed.get(one.reference, (None, one.traded_on))
        broken = confirmation_break(order, one, dealing_on=dealing_on, unit_scale=4)
        if broken is None and one.reference not in {done.reference for done in self.stands}:
            self.stands.append(one)
        elif broken is not None:
            self.breaks.append((one.reference, broken))


SPEAKING: dict[str, tuple[DealingManager, ManagerLayout | None]] = {
    "ISO 20022": (Iso20022Manager("PFM001"), None),
    "CSV": (CsvManager("PFM001"), PLAIN),
}


@pytest.fixture(params=list(SPEAKING.values()), ids=list(SPEAKING))
def pair(request: pytest.FixtureRequest, site: DropSite) -> tuple[SimulatedManager, Desk]:
    adapter, layout = request.param
    manager = SimulatedManager(site=site, currency=KES, layout=layout)
    return manager, Desk(adapter, FolderDrop(site.for_us, site.from_us, site.taken))


async def deal(manager: SimulatedManager, desk: Desk, number: int = 0) -> None:
    """Place the day's orders, let the manager deal, and take in what comes of it."""
    orders = tuple(replace(order, reference=f"{order.reference}-{number}") for order in ORDERS)
    day = DAY + timedelta(number)
    file = replace(
        FILE, orders=orders, dealing_on=day, sequence=FILE.sequence + number, message_ref=f"DEALING-{number}"
    )
    await desk.place(file)
    manager.take_orders()
    manager.deal(day, PRICES)
    await desk.take()


async def test_orders_are_placed_priced_confirmed_and_held(pair: tuple[SimulatedManager, Desk]) -> None:
    manager, desk = pair
    await deal(manager, desk)

    assert len(desk.stands) == 3
    assert {one.fund_code: one.price for one in desk.prices[0].prices} == PRICES
    assert desk.held == manager.books.holdings
    assert (desk.breaks, desk.refused, manager.refused_files) == ([], [], [])


@pytest_asyncio.fixture(params=WAYS.values(), ids=WAYS)
async def any_drop(request: pytest.FixtureRequest, site: DropSite, ssh_keys: Keys) -> AsyncIterator[FileDrop]:
    async with request.param(site, ssh_keys, Conventions()) as made:
        yield made


async def test_it_makes_no_difference_how_the_files_go(site: DropSite, any_drop: FileDrop) -> None:
    manager = SimulatedManager(site=site, currency=KES, layout=PLAIN)
    desk = Desk(CsvManager("PFM001"), any_drop)
    await deal(manager, desk)

    assert len(desk.stands) == 3


async def test_the_same_orders_sent_again_are_dealt_once(pair: tuple[SimulatedManager, Desk]) -> None:
    manager, desk = pair
    await desk.place(FILE)
    manager.take_orders()
    for made in desk.adapter.write_orders(FILE):
        await desk.drop.deliver(NamedFile(f"again-{made.name}", made.raw))
    assert manager.take_orders() == 0
    manager.deal(DAY, PRICES)
    await desk.take()

    assert len(manager.books.taken) == len(desk.stands) == 3


async def test_a_manager_notices_a_missing_order_file(site: DropSite) -> None:
    manager = SimulatedManager(site=site, currency=KES, layout=PLAIN)
    desk = Desk(CsvManager("PFM001"), FolderDrop(site.for_us, site.from_us, site.taken))
    for sequence in (12, 14):
        await desk.place(replace(FILE, sequence=sequence, orders=(replace(ORDERS[0], reference=f"O-{sequence}"),)))
    manager.take_orders()

    assert [found for _, found in manager.out_of_sequence] == [Succession.GAP]


# Bad days: the first file of a day is the prices', the second the confirmations'


async def bad_day(pair: tuple[SimulatedManager, Desk], *hows: str) -> Desk:
    """Live a day on which files go wrong as `hows` says, one after another, and a good one after it."""
    manager, desk = pair
    for how in hows:
        manager.sender.misbehave(how)
    await deal(manager, desk)
    assert sum(manager.sender.counts.values()) == len(hows)
    await deal(manager, desk, 1)
    return desk


@pytest.mark.parametrize("how", ["late", "twice", "reordered"])
async def test_files_late_twice_or_out_of_order_end_in_the_same_state(
    pair: tuple[SimulatedManager, Desk], how: str
) -> None:
    desk = await bad_day(pair, how, how)

    assert len(desk.stands) == 6
    assert len({one.deal_ref for one in desk.stands}) == 6
    assert len(desk.prices) == 2
    assert desk.breaks == []


async def test_a_confirmation_for_an_order_never_sent_is_a_break(pair: tuple[SimulatedManager, Desk]) -> None:
    manager, desk = pair
    await deal(manager, desk)
    manager.sender.misbehave("late")  # the next day's prices
    manager.sender.misbehave("never-sent")
    await deal(manager, desk, 1)

    assert desk.breaks == [("NEVER-SENT", "no-such-order")]
    assert len(desk.stands) == 6


async def test_a_confirmation_of_a_wrong_amount_is_a_break_until_it_is_corrected(
    pair: tuple[SimulatedManager, Desk],
) -> None:
    manager, desk = pair
    manager.sender.misbehave("late")
    manager.sender.misbehave("corrected")
    await deal(manager, desk)
    assert [broken for _, broken in desk.breaks] == ["another-amount"]
    stood = len(desk.stands)
    await deal(manager, desk, 1)

    assert len(desk.stands) == 6
    assert stood < 3


async def test_half_a_file_is_refused_and_the_whole_one_taken(pair: tuple[SimulatedManager, Desk]) -> None:
    manager, desk = pair
    manager.sender.misbehave("late")
    manager.sender.misbehave("half-a-file")
    await deal(manager, desk)
    assert len(desk.refused) == 1
    await deal(manager, desk, 1)

    assert len(desk.stands) == 6


async def test_a_file_that_never_comes_is_a_gap_in_the_numbers(site: DropSite) -> None:
    manager = SimulatedManager(site=site, currency=KES, layout=PLAIN)
    desk = Desk(CsvManager("PFM001"), FolderDrop(site.for_us, site.from_us, site.taken))
    await deal(manager, desk)
    manager.sender.misbehave("late")
    manager.sender.misbehave("dropped")
    await deal(manager, desk, 1)
    await deal(manager, desk, 2)

    assert desk.successions == [Succession.NEXT, Succession.GAP]
    assert len(desk.stands) == 6


async def test_a_corrected_price_says_that_it_is_one(pair: tuple[SimulatedManager, Desk]) -> None:
    manager, desk = pair
    await deal(manager, desk)
    manager.correct(DAY, {OWN: Decimal("32.6035")})
    await desk.take()
    first, second = desk.prices

    assert (first.is_correction, second.is_correction) == (False, True)
    assert [one.price for one in second.prices] == [Decimal("32.6035")]


async def test_every_misbehaviour_ten_times_and_no_unit_is_lost(pair: tuple[SimulatedManager, Desk]) -> None:
    manager, desk = pair
    hows = ["late", "twice", "reordered", "half-a-file", "corrected", "never-sent"] * 10
    for how in hows:
        manager.sender.misbehave(how)
    day = 0
    while manager.sender.planned:
        await deal(manager, desk, day)
        day += 1
    for more in (day, day + 1):
        await deal(manager, desk, more)

    assert sorted(manager.sender.counts.values()) == [10] * 6
    assert len(desk.stands) == len(manager.books.taken)
    units: dict[str, Decimal] = {}
    for one in desk.stands:
        sign = 1 if one.side == "subscribe" else -1
        units[one.fund_code] = units.get(one.fund_code, Decimal(0)) + sign * one.units
    assert units == manager.books.holdings == desk.held
    assert {broken for _, broken in desk.breaks} <= {
        "no-such-order",
        "another-amount",
        "units-not-price",
        "another-number-of-units",
    }


# Over HTTP, as a partner's sandbox has it


async def test_the_manager_is_steered_over_http(site: DropSite) -> None:
    manager = SimulatedManager(site=site, currency=KES, layout=PLAIN)
    async with serving_http(manager_app(manager, TOKEN)) as url, httpx.AsyncClient(base_url=url) as client:
        drop = HttpDrop(HttpxTransport(client), url, {"Authorization": f"Bearer {TOKEN}"})
        desk = Desk(CsvManager("PFM001"), drop)
        order = replace(ORDERS[1], amount=Amount(3_260_340, KES))
        await desk.place(replace(FILE, orders=(order,)))
        assert (await client.post("/simulator/take-orders")).json() == {"orders": 1}
        priced = {"day": DAY.isoformat(), "prices": {OWN: "32.6034"}}
        assert (await client.post("/simulator/deal", json=priced)).json() == {"deals": 1}
        assert (await client.post("/simulator/correct", json=priced)).is_success
        assert (await client.post("/simulator/deal", json={"day": "never"})).status_code == 422
        assert (await client.post("/simulator/misbehave", json={"how": "late", "times": 2})).is_success
        assert (await client.get("/simulator/books")).json() == {OWN: "1000.0000"}
        assert (await client.get("/simulator/counts")).json() == {}
        await desk.take()

    assert [one.units for one in desk.stands] == [Decimal(1000)]
