"""What every manager that orders are sent to keeps, whatever the format: one suite over all adapters."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.funds.ports import DealingManager, FundManager
from engine.kernel.amounts import Amount, Asset
from engine.kernel.files import REASONS, FileRefused
from engine.kernel.fund_orders import OrderConfirmation, OrderFile, OrderSide, PooledOrder, confirmation_break
from engine.kernel.price_files import REASONS as PRICE_REASONS
from engine.kernel.price_files import PriceFileRefused, PublishedPrice
from integrations.fund_managers.cra_files.adapter import CraFiles
from integrations.fund_managers.csv_files.adapter import CsvManager
from integrations.fund_managers.csv_files.layouts import PLAIN, layout_of
from integrations.fund_managers.csv_files.wire import read_orders as read_csv_orders
from integrations.fund_managers.iso_20022.adapter import Iso20022Manager
from integrations.fund_managers.simulation import csv_messages, iso_messages
from integrations.fund_managers.simulation.books import Books, FundPrice

DAY = date(2026, 3, 27)
KES = Asset.currency("KES")
ISIN, OWN = "IE00B4L5Y983", "SM001009"
MANAGER = "PFM001"
ORDERS = (
    PooledOrder(reference="ORD-1", side=OrderSide.SUBSCRIBE, fund_code=ISIN, amount=Amount(125_000_050, KES)),
    PooledOrder(reference="ORD-2", side=OrderSide.SUBSCRIBE, fund_code=OWN, amount=Amount(5_000_000, KES)),
    PooledOrder(reference="ORD-3", side=OrderSide.REDEEM, fund_code=OWN, units=Decimal("100.2500")),
)
FILE = OrderFile(
    message_ref="DEALING-2026-03-27",
    sequence=12,
    created_at=datetime(2026, 3, 27, 12, tzinfo=UTC),
    sender="AKIBA",
    account="OMNIBUS-7",
    dealing_on=DAY,
    orders=ORDERS,
)
PRICES = {
    ISIN: FundPrice(fund_code=ISIN, name="World shares", day=DAY, price=Decimal("103.4217")),
    OWN: FundPrice(fund_code=OWN, name="Bonds", day=DAY, price=Decimal("32.6034")),
}
SEMICOLONS = layout_of(
    {
        "name": "semicolons",
        "source": "invented",
        "delimiter": ";",
        "decimal_mark": ",",
        "day_format": "%d/%m/%Y",
        "header_mark": "HDR",
        "record_mark": "REC",
        "trailer_mark": "TRL",
        "subscribe": "BUY",
        "redeem": "SELL",
        "header": ["sender", "kind", "day", "sequence"],
        "files": {
            "orders": {
                "word": "ORD",
                "columns": ["fund", "order_ref", "side", "currency", "amount", "units"],
                "total_of": "amount",
            },
            "executions": {
                "word": "EXE",
                "columns": [
                    "deal_ref",
                    "order_ref",
                    "fund",
                    "side",
                    "-",
                    "price",
                    "units",
                    "currency",
                    "amount",
                    "traded_on",
                ],
                "total_of": "amount",
            },
            "prices": {"word": "NAV", "columns": ["fund", "price_on", "price"], "total_of": "price"},
            "holdings": {"word": "POS", "columns": ["account", "fund", "units"], "total_of": "units"},
        },
    }
)


@dataclass(frozen=True)
class Pair:
    """A manager's adapter, and how the manager on the other side reads and writes."""

    adapter: DealingManager
    read_orders: Callable[[bytes], Sequence[PooledOrder]]
    confirm: Callable[[Sequence[OrderConfirmation]], Sequence[bytes]]
    price: Callable[[Sequence[FundPrice]], bytes]
    hold: Callable[[Mapping[str, Decimal]], bytes]
    untold: frozenset[str] = frozenset()


def iso(namespace: str) -> Pair:
    def confirm(deals: Sequence[OrderConfirmation]) -> Sequence[bytes]:
        by_side = [(side, [one for one in deals if one.side is side]) for side in OrderSide]
        return [
            iso_messages.write_confirmations(side, "OMNIBUS-7", some, f"C-{side}") for side, some in by_side if some
        ]

    return Pair(
        adapter=Iso20022Manager(MANAGER),
        read_orders=lambda raw: iso_messages.read_orders(raw)[1],
        confirm=confirm,
        price=lambda prices: iso_messages.write_prices(prices, KES, "P-1", namespace=namespace),
        hold=partial(iso_messages.write_holdings, "OMNIBUS-7", DAY),
    )


def plain(layout: object, untold: frozenset[str] = frozenset()) -> Pair:
    assert isinstance(layout, type(PLAIN))
    header = csv_messages.header_of(layout, "MGR", 7, DAY)
    return Pair(
        adapter=CsvManager(MANAGER, layout),
        read_orders=lambda raw: read_csv_orders(raw, layout)[1],
        confirm=lambda deals: [csv_messages.write_executions(layout, header, deals)],
        price=partial(csv_messages.write_prices, layout, header),
        hold=partial(csv_messages.write_holdings, layout, header, "OMNIBUS-7"),
        untold=untold,
    )


PAIRS = {
    "ISO 20022": iso(iso_messages.REDA_ISO),
    "ISO 20022, prices in SWIFT's namespace": iso(iso_messages.REDA_SWIFT),
    "plain CSV": plain(PLAIN),
    "a manager's own CSV": plain(SEMICOLONS, frozenset({"settles_on", "fees", "is_partial"})),
}
any_pair = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)


def deals() -> list[OrderConfirmation]:
    return Books(currency=KES).deal({order.reference: order for order in ORDERS}, PRICES)


def read_all(pair: Pair, files: Sequence[bytes]) -> list[OrderConfirmation]:
    return [one for raw in files for one in pair.adapter.read_confirmations(raw, "c").confirmations]


def test_every_adapter_reads_prices() -> None:
    readers: list[FundManager] = [CraFiles(), *(pair.adapter for pair in PAIRS.values())]

    assert all(callable(reader.read) for reader in readers)


@any_pair
def test_the_manager_reads_the_orders_that_were_placed(pair: Pair) -> None:
    files = pair.adapter.write_orders(FILE)
    read = [order for file in files for order in pair.read_orders(file.raw)]

    assert sorted(read, key=lambda order: order.reference) == list(ORDERS)
    assert len({file.name for file in files}) == len(files)


@any_pair
def test_the_same_orders_make_the_same_files(pair: Pair) -> None:
    assert pair.adapter.write_orders(FILE) == pair.adapter.write_orders(FILE)


@any_pair
@pytest.mark.parametrize(("orders", "said"), [((), "one order at least"), ((ORDERS[0], ORDERS[0]), "one reference")])
def test_refuses_to_place_what_is_no_order(pair: Pair, orders: tuple[PooledOrder, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        pair.adapter.write_orders(replace(FILE, orders=orders))


@any_pair
def test_reads_what_the_manager_confirms(pair: Pair) -> None:
    found = read_all(pair, pair.confirm(deals()))
    told = {one.reference: replace(one, row=0) for one in found}
    expected = {one.reference: one for one in deals()}
    for name in pair.untold:
        blank = {"settles_on": None, "fees": 0, "is_partial": False}[name]
        expected = {key: replace(one, **{name: blank}) for key, one in expected.items()}  # type: ignore[arg-type]

    assert told == expected
    assert all(one.row > 1 for one in found)


@any_pair
def test_what_was_confirmed_is_what_was_ordered(pair: Pair) -> None:
    ordered = {order.reference: order for order in ORDERS}
    found = read_all(pair, pair.confirm(deals()))

    assert [confirmation_break(ordered[one.reference], one, dealing_on=DAY, unit_scale=4) for one in found] == [
        None
    ] * 3


@any_pair
def test_reads_the_prices_of_the_day(pair: Pair) -> None:
    file = pair.adapter.read(pair.price(list(PRICES.values())), "p", None)

    assert file.day == DAY
    assert {one.fund_code: one.price for one in file.prices} == {code: one.price for code, one in PRICES.items()}
    assert {one.manager_code for one in file.prices} == {MANAGER}
    assert not file.refused


@any_pair
def test_a_file_of_another_day_has_no_price_of_this_one(pair: Pair) -> None:
    with pytest.raises(PriceFileRefused) as raised:
        pair.adapter.read(pair.price(list(PRICES.values())), "p", date(2026, 3, 28))
    assert raised.value.reason == "no-row-of-the-day"


@any_pair
def test_two_prices_of_one_fund_refuse_the_file(pair: Pair) -> None:
    other = replace(PRICES[OWN], price=Decimal("32.6035"))
    with pytest.raises(PriceFileRefused) as raised:
        pair.adapter.read(pair.price([PRICES[OWN], other]), "p", None)
    assert raised.value.reason == "two-prices"
    assert [one.price for one in pair.adapter.read(pair.price([PRICES[OWN]] * 2), "p", None).prices] == [
        PRICES[OWN].price
    ]


@any_pair
@pytest.mark.parametrize(
    ("price", "reason"),
    [("-1", "price-not-positive"), ("0.00", "price-not-positive"), ("1.123456789", "too-many-decimals")],
)
def test_a_price_that_is_none_is_a_refused_row(pair: Pair, price: str, reason: str) -> None:
    file = pair.adapter.read(pair.price([PRICES[ISIN], replace(PRICES[OWN], price=Decimal(price))]), "p", None)

    assert [one.fund_code for one in file.prices] == [ISIN]
    assert [(one.reason, one.text) for one in file.refused] == [(reason, OWN)]
    assert file.refused[0].sentence


@any_pair
def test_reads_what_is_held(pair: Pair) -> None:
    file = pair.adapter.read_holdings(pair.hold({ISIN: Decimal("12.5000"), OWN: Decimal(7)}), "h")

    assert (file.account, file.day) == ("OMNIBUS-7", DAY)
    assert {one.fund_code: one.units for one in file.holdings} == {ISIN: Decimal("12.5"), OWN: Decimal(7)}


@any_pair
def test_half_a_file_is_refused(pair: Pair) -> None:
    for raw in pair.confirm(deals()):
        for cut in (len(raw) // 3, len(raw) // 2, len(raw) * 9 // 10):
            with pytest.raises(FileRefused) as raised:
                pair.adapter.read_confirmations(raw[:cut], "c")
            assert raised.value.reason in REASONS
    raw = pair.price(list(PRICES.values()))
    with pytest.raises(PriceFileRefused) as refused:
        pair.adapter.read(raw[: len(raw) // 2], "p", None)
    assert refused.value.reason in PRICE_REASONS
    raw = pair.hold({ISIN: Decimal(1), OWN: Decimal(2)})
    with pytest.raises(FileRefused):
        pair.adapter.read_holdings(raw[: len(raw) // 2], "h")


@any_pair
def test_one_kind_of_file_is_never_read_as_another(pair: Pair) -> None:
    prices, [confirmation, *_] = pair.price(list(PRICES.values())), pair.confirm(deals())
    with pytest.raises(FileRefused):
        pair.adapter.read_confirmations(prices, "c")
    with pytest.raises(FileRefused):
        pair.adapter.read_holdings(confirmation, "h")
    with pytest.raises(PriceFileRefused):
        pair.adapter.read(confirmation, "p", None)


@any_pair
def test_one_deal_stands_once_in_a_file(pair: Pair) -> None:
    [first, *_] = deals()
    [raw] = pair.confirm([first, first])
    with pytest.raises(FileRefused) as raised:
        pair.adapter.read_confirmations(raw, "c")
    assert raised.value.reason == "repeated"


@any_pair
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_and_never_fails_otherwise(pair: Pair, data: st.DataObject) -> None:
    for raw, read in (
        (pair.confirm(deals())[0], pair.adapter.read_confirmations),
        (pair.hold({ISIN: Decimal(1), OWN: Decimal(2)}), pair.adapter.read_holdings),
        (pair.price(list(PRICES.values())), lambda bad, name: pair.adapter.read(bad, name, None)),
    ):
        bad = bytearray(raw)
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, len(bad) - 1))
            bad[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        with suppress(FileRefused, PriceFileRefused):
            read(bytes(bad), "f")


@any_pair
@settings(deadline=None, max_examples=40)
@given(
    amount=st.integers(1, 10**13),
    price=st.decimals(Decimal("0.0001"), Decimal(9999), places=4),
    units=st.decimals(Decimal("0.0001"), Decimal(10**7), places=4),
)
def test_whatever_is_ordered_is_confirmed_as_ordered(pair: Pair, amount: int, price: Decimal, units: Decimal) -> None:
    bought = replace(ORDERS[0], amount=Amount(amount, KES))
    sold = replace(ORDERS[2], units=units)
    prices = {code: replace(one, price=price) for code, one in PRICES.items()}
    made = [one for one in Books(currency=KES).deal({"a": bought, "b": sold}, prices) if one.units]
    ordered = {bought.reference: bought, sold.reference: sold}
    found = read_all(pair, pair.confirm(made))

    assert [confirmation_break(ordered[one.reference], one, dealing_on=DAY, unit_scale=4) for one in found] == [
        None
    ] * len(made)
    file = pair.adapter.read(pair.price([prices[OWN]]), "p", None)
    assert [(type(one), one.price) for one in file.prices] == [(PublishedPrice, price)]
