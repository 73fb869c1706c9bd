"""What the formats of fund dealing have of their own, checked against the standard's schemas where they are at hand."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from lxml import etree

from engine.kernel.amounts import Amount, Asset
from engine.kernel.files import FileRefused, Sequence, Succession, succession
from engine.kernel.fund_orders import (
    CONFIRMATION_BREAKS,
    CancellationFile,
    OrderSide,
    OrderStatus,
    PooledOrder,
    confirmation_break,
)
from engine.kernel.price_files import PriceFileRefused
from integrations.fund_managers.csv_files.adapter import CsvManager
from integrations.fund_managers.csv_files.layouts import PLAIN, layout_of
from integrations.fund_managers.iso_20022.adapter import Iso20022Manager
from integrations.fund_managers.simulation import csv_messages, iso_messages
from integrations.fund_managers.simulation.books import Books
from tests.conformance.places import document as specification
from tests.contracts.fund_managers.test_dealing_managers import DAY, FILE, ISIN, KES, ORDERS, OWN, PRICES, deals

ISO = Iso20022Manager("PFM001")
CSV = CsvManager("PFM001")
Validate = Callable[[bytes], None]


@pytest.fixture(scope="session")
def schema_valid() -> Validate:
    """A check of a message against the schema of its namespace, from the folder of specifications."""

    def check(raw: bytes) -> None:
        message = etree.fromstring(raw)
        name = (etree.QName(message).namespace or "").rsplit(":", 1)[-1]
        etree.XMLSchema(etree.parse(str(specification(f"iso20022/{name}.xsd")))).assertValid(message)

    return check


# Schemas


@pytest.mark.artefact("ISO 20022 funds")
def test_our_orders_are_valid(schema_valid: Validate) -> None:
    files = ISO.write_orders(FILE)

    assert [file.name[:8] for file in files] == ["setr.010", "setr.004"]
    for file in files:
        schema_valid(file.raw)


ASKED_BACK = CancellationFile(
    message_ref="OC7-1",
    created_at=datetime(2026, 4, 1, 9, tzinfo=UTC),
    side=OrderSide.SUBSCRIBE,
    reference="xx-scheme-12-SM1",
)
SAID = {
    "A-1": (OrderStatus.ACCEPTED, ""),
    "A-2": (OrderStatus.CANCELLED, "CANO"),
    "A-3": (OrderStatus.REJECTED, "ORRF"),
}


@pytest.mark.artefact("ISO 20022 funds")
def test_our_requests_to_cancel_and_the_simulated_managers_statuses_are_valid(schema_valid: Validate) -> None:
    schema_valid(ISO.write_cancellation(ASKED_BACK).raw)
    schema_valid(iso_messages.write_statuses("S-1", DAY, SAID))


def test_a_request_to_cancel_is_of_its_side_and_the_manager_reads_which_order() -> None:
    for side, message in ((OrderSide.SUBSCRIBE, "setr.011"), (OrderSide.REDEEM, "setr.005")):
        made = ISO.write_cancellation(replace(ASKED_BACK, side=side))
        assert made.name.startswith(message)
        assert message.encode() in made.raw
        assert iso_messages.read_cancellations(made.raw) == [ASKED_BACK.reference]
        assert ISO.write_cancellation(replace(ASKED_BACK, side=side)) == made


def test_statuses_are_read_as_they_were_said() -> None:
    read = ISO.read_statuses(iso_messages.write_statuses("S-1", DAY, SAID), "s.xml")
    assert [(one.reference, one.status, one.code) for one in read.orders] == [
        ("A-1", OrderStatus.ACCEPTED, "PACK"),
        ("A-2", OrderStatus.CANCELLED, "CANO"),
        ("A-3", OrderStatus.REJECTED, "ORRF"),
    ]
    assert read.message_ref == "S-1"


@pytest.mark.parametrize(
    ("report", "status", "code"),
    [
        (b"<OrdrSts><Sts>IACO</Sts></OrdrSts>", OrderStatus.OTHER, "IACO"),
        (b"<OrdrSts><Canc/></OrdrSts>", OrderStatus.CANCELLED, ""),
        (b"<OrdrSts><Sspd><NoSpcfdRsn>NORE</NoSpcfdRsn></Sspd></OrdrSts>", OrderStatus.SUSPENDED, "NORE"),
        (
            b"<OrdrSts><InRpr><RsnDtls><Rsn><Cd>COMA</Cd></Rsn></RsnDtls></InRpr></OrdrSts>",
            OrderStatus.IN_REPAIR,
            "COMA",
        ),
    ],
)
def test_a_report_of_a_whole_message_is_of_every_order_in_it(
    schema_valid: Validate, report: bytes, status: OrderStatus, code: str
) -> None:
    orders = b"<OrdrDtlsRpt>%s</OrdrDtlsRpt>" % report
    if status is OrderStatus.IN_REPAIR:  # the schema has it of single orders alone
        orders = b"<IndvOrdrDtlsRpt><OrdrRef>A-1</OrdrRef>%s</IndvOrdrDtlsRpt>" % report
    raw = (
        b'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:setr.016.001.04"><OrdrInstrStsRpt>'
        b"<MsgId><Id>S-1</Id><CreDtTm>2026-04-01T09:00:00Z</CreDtTm></MsgId>"
        b"<Ref><RltdRef><Ref>OR7-1-S</Ref></RltdRef></Ref><StsRpt>%s</StsRpt></OrdrInstrStsRpt></Document>" % orders
    )
    (said,) = ISO.read_statuses(raw, "s.xml").orders
    assert (said.status, said.code) == (status, code)
    assert (said.of_message, said.reference) == (("", "A-1") if status is OrderStatus.IN_REPAIR else ("OR7-1-S", ""))
    schema_valid(raw)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"setr.016.001.04", b"setr.016.001.09", "unknown-message"),
        (b"<OrdrSts>", b"<OtherSts>", "missing"),
        (b"<OrdrRef>A-1<", b"<OrdrRef><", "missing"),
        (b"<Sts>PACK</Sts>", b"<Nothing/>", "malformed"),
        (b"<OrdrRef>A-1<", b"<OrdrRef>" + b"A" * 36 + b"<", "malformed"),
    ],
)
def test_statuses_that_cannot_be_read_whole_are_refused(old: bytes, new: bytes, reason: str) -> None:
    raw = iso_messages.write_statuses("S-1", DAY, SAID)
    assert old in raw
    changed = raw.replace(old, new).replace(old.replace(b"<", b"</", 1), new.replace(b"<", b"</", 1))
    with pytest.raises(FileRefused) as refused:
        ISO.read_statuses(changed, "s.xml")
    assert refused.value.reason == reason


@pytest.mark.artefact("ISO 20022 funds")
def test_the_simulated_managers_messages_are_valid(schema_valid: Validate) -> None:
    with_fees = [replace(one, fees=1250, is_partial=True) for one in deals()]
    for side in OrderSide:
        schema_valid(
            iso_messages.write_confirmations(side, "OMNIBUS-7", [one for one in with_fees if one.side is side], "C")
        )
    schema_valid(iso_messages.write_prices(list(PRICES.values()), KES, "P", namespace=iso_messages.REDA_SWIFT))
    schema_valid(iso_messages.write_holdings("OMNIBUS-7", DAY, {ISIN: Decimal("1.5"), OWN: Decimal(-2)}))


@pytest.mark.artefact("ISO 20022 funds", breaks=True)
def test_a_schema_fails_when_one_field_is_broken(schema_valid: Validate) -> None:
    messages = {
        iso_messages.write_prices(list(PRICES.values()), KES, "P", namespace=iso_messages.REDA_SWIFT): b"<Tp>NAVL<",
        iso_messages.write_holdings("OMNIBUS-7", DAY, {ISIN: Decimal(1)}): b"<ShrtLngInd>LONG<",
        ISO.write_cancellation(ASKED_BACK).raw: b"<CreDtTm>2026-04-01T09:00:00Z<",
        iso_messages.write_statuses("S-1", DAY, SAID): b"<Sts>PACK<",
        **{file.raw: b"<PhysDlvryInd>false<" for file in ISO.write_orders(FILE)},
    }
    for raw, field in messages.items():
        assert field in raw
        with pytest.raises(etree.DocumentInvalid):
            schema_valid(raw.replace(field, field[:-1] + b"X<", 1))


# ISO 20022


def reda(**changed: object) -> bytes:
    return iso_messages.write_prices([PRICES[ISIN], PRICES[OWN]], KES, "P", **changed)  # type: ignore[arg-type]


def test_a_report_that_replaces_prices_says_so() -> None:
    assert ISO.read(reda(is_correction=True), "p", None).is_correction
    assert not ISO.read(reda(), "p", None).is_correction


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        pytest.param(b"<OffclValtnInd>true<", b"<OffclValtnInd>false<", "not-official", id="an unofficial valuation"),
        pytest.param(b"<EstmtdPricInd>false<", b"<EstmtdPricInd>true<", "not-official", id="an estimate"),
        pytest.param(b"<SspdInd>false<", b"<SspdInd>true<", "suspended", id="a fund in suspension"),
        pytest.param(b"<Tp>NAVL<", b"<Tp>BIDE<", "no-price", id="a bid alone"),
        pytest.param(b">103.4217<", b">103,4217<", "price-malformed", id="a decimal comma"),
    ],
)
def test_a_valuation_that_is_none_to_deal_at_is_a_refused_row(old: bytes, new: bytes, reason: str) -> None:
    raw = reda()
    assert old in raw
    file = ISO.read(raw.replace(old, new, 1), "p", None)

    assert [(one.reason, one.text) for one in file.refused] == [(reason, ISIN)]
    assert [one.fund_code for one in file.prices] == [OWN]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        pytest.param(b"<LastPgInd>true<", b"<LastPgInd>false<", "unknown-message", id="one page of many"),
        pytest.param(b"<ISIN>IE00B4L5Y983</ISIN>", b"<ISIN></ISIN>", "missing", id="no fund"),
        pytest.param(b"<Dt>2026-03-27</Dt>", b"<Dt>2026-13-27</Dt>", "date-malformed", id="no such day"),
        pytest.param(b"<PricRpt>", b"<!DOCTYPE a><PricRpt>", "document-type", id="a document type"),
    ],
)
def test_a_report_that_cannot_be_read_whole_is_refused(old: bytes, new: bytes, reason: str) -> None:
    raw = reda()
    assert old in raw
    with pytest.raises(PriceFileRefused) as raised:
        ISO.read(raw.replace(old, new, 1), "p", None)
    assert raised.value.reason == reason


def test_a_report_of_two_days_is_read_for_one() -> None:
    other = replace(PRICES[OWN], day=DAY + timedelta(1))
    raw = iso_messages.write_prices([PRICES[ISIN], other], KES, "P")

    assert [one.fund_code for one in ISO.read(raw, "p", DAY).prices] == [ISIN]
    with pytest.raises(PriceFileRefused) as raised:
        ISO.read(raw, "p", None)
    assert raised.value.reason == "day-unclear"


def test_fees_are_part_of_what_a_subscription_settles_for() -> None:
    order = ORDERS[0]
    assert order.amount is not None
    [deal] = Books(currency=KES).deal({"x": replace(order, amount=Amount(order.amount.units - 1250, KES))}, PRICES)
    raw = iso_messages.write_confirmations(
        OrderSide.SUBSCRIBE, "A", [replace(deal, fees=1250, amount=order.amount)], "C"
    )
    [found] = ISO.read_confirmations(raw, "c").confirmations

    assert found.fees == 1250
    assert confirmation_break(order, found, dealing_on=DAY, unit_scale=4) is None


# What does not stand


@pytest.mark.parametrize(
    ("order", "changed", "broken"),
    [
        pytest.param(None, {}, "no-such-order", id="of an order never sent"),
        pytest.param(ORDERS[0], {"fund_code": OWN}, "another-fund", id="of another fund"),
        pytest.param(ORDERS[0], {"side": OrderSide.REDEEM}, "another-side", id="the other way round"),
        pytest.param(ORDERS[0], {"amount": Amount(125_000_049, KES)}, "another-amount", id="a cent less"),
        pytest.param(
            ORDERS[0], {"amount": Amount(125_000_050, Asset.currency("UGX"))}, "another-currency", id="another currency"
        ),
        pytest.param(
            ORDERS[0], {"price": Decimal("103.43")}, "units-not-price", id="a price that the units were not bought at"
        ),
        pytest.param(ORDERS[0], {"units": Decimal(12_000)}, "units-not-price", id="fewer units than the price gives"),
        pytest.param(ORDERS[0], {"traded_on": DAY - timedelta(1)}, "before-order", id="dealt before it was ordered"),
        pytest.param(ORDERS[0], {}, None, id="as ordered"),
    ],
)
def test_a_confirmation_stands_only_if_it_is_of_the_order(
    order: PooledOrder | None, changed: dict[str, object], broken: str | None
) -> None:
    [deal, *_] = deals()
    found = confirmation_break(order, replace(deal, **changed), dealing_on=DAY, unit_scale=4)  # type: ignore[arg-type]

    assert found == broken
    assert broken is None or CONFIRMATION_BREAKS[broken]


def test_part_of_an_order_may_be_less_and_never_more() -> None:
    order = ORDERS[2]
    [deal] = Books(currency=KES).deal({"x": replace(order, units=Decimal(50))}, PRICES)

    assert confirmation_break(order, deal, dealing_on=DAY, unit_scale=4) == "another-number-of-units"
    assert confirmation_break(order, replace(deal, is_partial=True), dealing_on=DAY, unit_scale=4) is None


# CSV


def executions(sequence: int = 7) -> str:
    return csv_messages.write_executions(PLAIN, csv_messages.header_of(PLAIN, "MGR", sequence, DAY), deals()).decode()


@pytest.mark.parametrize(
    ("old", "new", "reason", "field"),
    [
        pytest.param("T,3,", "T,4,", "count-differs", "count", id="another count"),
        pytest.param("T,3,", "T,3,9", "total-differs", "total", id="another total"),
        pytest.param("T,3,", "X,3,", "no-trailer", "trailer", id="no trailer"),
        pytest.param("H,", "X,", "missing", "header", id="no header"),
        pytest.param("H,EXECUTIONS", "H,PRICES", "unknown-layout", "kind", id="another kind of file"),
        pytest.param(",MGR,7,", ",MGR,x,", "malformed", "sequence", id="a sequence that is no number"),
        pytest.param(",MGR,7,", ",,7,", "missing", "sender", id="no sender"),
        pytest.param("DEAL-000001", "", "missing", "deal_ref", id="no deal"),
        pytest.param(",S,", ",B,", "not-listed", "side", id="an unknown side"),
        pytest.param(",KES,", ",KEX,", "currency-unknown", "currency", id="an unknown currency"),
        pytest.param(
            "2026-03-27,2026", "27/03/2026,2026", "date-malformed", "traded_on", id="another order of the date"
        ),
        pytest.param(",FULL", ",MOST", "not-listed", "extent", id="an unknown extent"),
    ],
)
def test_a_csv_file_with_one_wrong_value_is_refused(old: str, new: str, reason: str, field: str) -> None:
    raw = executions()
    assert old in raw
    with pytest.raises(FileRefused) as raised:
        CSV.read_confirmations(raw.replace(old, new, 1).encode(), "c")

    assert (raised.value.reason, raised.value.field) == (reason, field)
    assert raised.value.row is not None


def test_a_record_left_out_is_noticed() -> None:
    lines = executions().split("\r\n")
    with pytest.raises(FileRefused) as raised:
        CSV.read_confirmations("\r\n".join([*lines[:2], *lines[3:]]).encode(), "c")
    assert raised.value.reason == "count-differs"


def test_files_bear_the_senders_number() -> None:
    found = [CSV.read_confirmations(executions(number).encode(), "c").sequence for number in (7, 8, 10, 8)]

    assert found == [Sequence("MGR", number) for number in (7, 8, 10, 8)]
    states = [succession(last, number) for last, number in ((None, 7), (7, 8), (8, 10), (8, 8))]
    assert states == [Succession.NEXT, Succession.NEXT, Succession.GAP, Succession.REPEATED]


def prices(**changed: object) -> bytes:
    header = csv_messages.header_of(PLAIN, "MGR", 3, DAY, str(changed.pop("function", "NEW")))
    return csv_messages.write_prices(PLAIN, header, [PRICES[ISIN], PRICES[OWN]], **changed)  # type: ignore[arg-type]


def test_an_estimated_price_is_a_refused_row_and_a_correction_says_so() -> None:
    estimated = CSV.read(prices(is_official=False), "p", None)

    assert [one.reason for one in estimated.refused] == ["not-official"] * 2
    assert CSV.read(prices(function="REPL"), "p", None).is_correction
    assert CSV.read(prices(), "p", None).sequence == Sequence("MGR", 3)


def test_a_row_with_another_status_or_day_is_refused_alone() -> None:
    raw = prices().replace(b"OFFICIAL", b"GUESSED", 1)

    assert [one.reason for one in CSV.read(raw, "p", None).refused] == ["not-listed"]
    raw = prices().replace(b",2026-03-27,103", b",2026-03-26,103", 1)
    assert [one.reason for one in CSV.read(raw, "p", None).refused] == ["another-day"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"header": ["kind", "sender"]}, "sequence"),
        ({"decimal_mark": ","}, "one mark"),
        ({"files": {"holdings": {"word": "H", "columns": ["account", "fund"], "total_of": "fund"}}}, "units"),
        (
            {
                "files": {
                    "holdings": {"word": "H", "columns": ["account", "fund", "units", "colour"], "total_of": "units"}
                }
            },
            "colour",
        ),
        (
            {
                "files": {
                    "holdings": {"word": "H", "columns": ["account", "fund", "units", "fund"], "total_of": "units"}
                }
            },
            "twice",
        ),
        ({"files": {"holdings": {"word": "H", "columns": ["account", "fund", "units"], "total_of": "price"}}}, "total"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_layout_that_cannot_be_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        layout_of({**msgspec.to_builtins(PLAIN), **change})


def test_a_day_of_another_century_is_refused() -> None:
    header = csv_messages.header_of(PLAIN, "MGR", 1, date(1, 1, 1))
    with pytest.raises(FileRefused):
        CSV.read_holdings(csv_messages.write_holdings(PLAIN, header, "A", {ISIN: Decimal(1)}), "h")
