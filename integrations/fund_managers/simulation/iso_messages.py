"""The other side's messages: orders read, confirmations, prices and holdings written. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal

from lxml import etree
from stdnum import isin

from engine.kernel.amounts import Amount, Asset
from engine.kernel.file_values import currency_of, decimal_of, minor_units
from engine.kernel.files import Wrong
from engine.kernel.fund_orders import OrderConfirmation, OrderSide, OrderStatus, PooledOrder
from engine.kernel.xml_documents import Builder, Node, document_bytes, namespace_of, read_document
from integrations.fund_managers.simulation.books import FundPrice

_PREFIX = "urn:iso:std:iso:20022:tech:xsd:"
REDA_ISO = f"{_PREFIX}reda.001.001.04"
REDA_SWIFT = "urn:swift:xsd:reda.001.001.04"
_ORDERS = {
    f"{_PREFIX}setr.010.001.04": ("SbcptOrdr", OrderSide.SUBSCRIBE, "AmtOrUnits"),
    f"{_PREFIX}setr.004.001.04": ("RedOrdr", OrderSide.REDEEM, "AmtOrUnitsOrPctg"),
}
_CONFIRMATIONS = {
    OrderSide.SUBSCRIBE: (f"{_PREFIX}setr.012.001.05", "SbcptOrdrConf"),
    OrderSide.REDEEM: (f"{_PREFIX}setr.006.001.05", "RedOrdrConf"),
}
_CANCELLATIONS = {f"{_PREFIX}setr.011.001.04": "SbcptOrdrCxlReq", f"{_PREFIX}setr.005.001.04": "RedOrdrCxlReq"}
_STATUSES = {
    OrderStatus.ACCEPTED: "PACK",
    OrderStatus.RECEIVED: "RECE",
    OrderStatus.DONE: "DONE",
    OrderStatus.SETTLED: "SETT",
}
Element = etree._Element  # noqa: SLF001 - the only name that lxml gives the type


def read_orders(raw: bytes) -> tuple[str, list[PooledOrder]]:
    """Return the account and the orders of a setr.010 or setr.004; Wrong if it is neither."""
    document = read_document(raw)
    found = _ORDERS.get(namespace_of(document))
    if found is None:
        raise Wrong("Document", "unknown-message")
    root, side, quantity = found
    details = Node(document).need(root).need("MltplOrdrDtls")
    orders = []
    for node in details.all("IndvOrdrDtls"):
        money = node.find(f"{quantity}/GrssAmt")
        units = node.text(f"{quantity}/UnitsNb")
        orders.append(
            PooledOrder(
                reference=node.need_text("OrdrRef"),
                side=side,
                fund_code=node.need_text("FinInstrmDtls/Id/ISIN", "FinInstrmDtls/Id/OthrPrtryId/Id"),
                amount=None if money is None else _amount(money),
                units=decimal_of(units, "UnitsNb") if units else None,
            )
        )
    return details.need_text("InvstmtAcctDtls/AcctId"), orders


def read_cancellations(raw: bytes) -> list[str]:
    """Return the references of the orders that a setr.011 or setr.005 asks to cancel; Wrong if it is neither."""
    document = read_document(raw)
    root = _CANCELLATIONS.get(namespace_of(document))
    if root is None:
        raise Wrong("Document", "unknown-message")
    return [one.need_text("OrdrRef") for one in Node(document).need(root).all("OrdrRefs")]


def write_statuses(message_ref: str, day: date, said: Mapping[str, tuple[OrderStatus, str]]) -> bytes:
    """Return a setr.016 that says of each order, by reference, what it is and, of one refused or cancelled, the reason's code."""
    make = Builder(f"{_PREFIX}setr.016.001.04")

    def status(what: OrderStatus, reason: str) -> Element:
        if what in _STATUSES:
            return make.path("OrdrSts/Sts", _STATUSES[what])
        return make.path(
            "OrdrSts/" + {OrderStatus.CANCELLED: "Canc", OrderStatus.REJECTED: "Rjctd"}[what],
            make.path("Rsn/Cd", reason),
        )

    orders = [make("IndvOrdrDtlsRpt", make("OrdrRef", one), status(*what)) for one, what in said.items()]
    report = make("OrdrInstrStsRpt", _header(make, message_ref, day), make("StsRpt", *orders))
    return document_bytes(make("Document", report))


def _amount(node: Node) -> Amount:
    asset = currency_of(node.attribute("Ccy"), "GrssAmt")
    return Amount(minor_units(node.value, asset, "GrssAmt"), asset)


def _instant(day: date) -> str:
    return datetime.combine(day, time(18), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _header(make: Builder, message_ref: str, day: date) -> Element:
    return make("MsgId", make("Id", message_ref), make("CreDtTm", _instant(day)))


def _fund(make: Builder, fund_code: str, *, is_price: bool = False, name: str = "") -> Element:
    if isin.is_valid(fund_code):
        identification = make.path("Id/ISIN", fund_code)
    else:
        source = make("PrtryIdSrc", "FUND") if is_price else make.path("IdSrc/Prtry", "FUND")
        identification = make.path("Id/OthrPrtryId", make("Id", fund_code), source)
    return make(
        "FinInstrmDtls",
        identification,
        make.optional("Nm", name),
        make("DualFndInd", "false") if is_price else None,
    )


def write_confirmations(
    side: OrderSide, account: str, confirmations: Sequence[OrderConfirmation], message_ref: str
) -> bytes:
    """Return a setr.012 or setr.006 that confirms these deals, all of one side."""
    namespace, root = _CONFIRMATIONS[side]
    make = Builder(namespace)
    details = make(
        "MltplExctnDtls",
        make.path("InvstmtAcctDtls/AcctId", account),
        *(_execution(make, one) for one in confirmations),
    )
    header = _header(make, message_ref, confirmations[0].traded_on)
    return document_bytes(make("Document", make(root, header, details)))


def _execution(make: Builder, one: OrderConfirmation) -> Element:
    symbol = one.amount.asset.symbol
    price = make("DealgPricDtls", make.path("Tp/Cd", "NAVL"), make.path("Val/Amt", f"{one.price:f}", Ccy=symbol))
    fees = f"{Amount(one.fees, one.amount.asset).decimal():f}"
    return make(
        "IndvExctnDtls",
        make("OrdrRef", one.reference),
        make("DealRef", one.deal_ref),
        _fund(make, one.fund_code),
        make("UnitsNb", f"{one.units:f}"),
        make.path("TradDtTm/Dt", one.traded_on.isoformat()),
        price,
        make("SttlmAmt", f"{one.amount.decimal():f}", Ccy=symbol),
        make("CshSttlmDt", one.settles_on.isoformat()) if one.settles_on else None,
        make("PrtlyExctdInd", "true" if one.is_partial else "false"),
        make("CumDvddInd", "false"),
        make.path("TxOvrhd/TtlFees", fees, Ccy=symbol) if one.fees else None,
        make("PhysDlvryInd", "false"),
    )


def write_prices(
    prices: Sequence[FundPrice],
    currency: Asset,
    message_ref: str,
    *,
    namespace: str = REDA_ISO,
    is_correction: bool = False,
    is_official: bool = True,
) -> bytes:
    """Return a reda.001.001.04 with the prices, in either of its namespaces."""
    make = Builder(namespace)
    report = make(
        "PricRpt",
        _header(make, message_ref, prices[0].day),
        make("MsgPgntn", make("PgNb", "1"), make("LastPgInd", "true")),
        make("PricRptId", message_ref),
        make("Fctn", "REPL" if is_correction else "NEWP"),
        *(_valuation(make, price, currency, is_official=is_official) for price in prices),
    )
    return document_bytes(make("Document", report))


def _valuation(make: Builder, price: FundPrice, currency: Asset, *, is_official: bool) -> Element:
    official, estimated = ("true", "false") if is_official else ("false", "true")
    return make(
        "PricValtnDtls",
        make.path("NAVDtTm/Dt", price.day.isoformat()),
        _fund(make, price.fund_code, is_price=True, name=price.name),
        make("ValtnTp", "USUA"),
        make("OffclValtnInd", official),
        make("SspdInd", "false"),
        make(
            "PricDtls",
            make("Tp", "NAVL"),
            make.path("ValInInvstmtCcy/Amt", f"{price.price:f}", Ccy=currency.symbol),
            make("ForExctnInd", "true"),
            make("CumDvddInd", "false"),
            make("EstmtdPricInd", estimated),
        ),
    )


def write_holdings(account: str, day: date, holdings: Mapping[str, Decimal]) -> bytes:
    """Return a semt.002.001.11 with all that is held on the account."""
    make = Builder(f"{_PREFIX}semt.002.001.11")
    statement = make(
        "StmtGnlDtls",
        make.path("StmtDtTm/Dt", day.isoformat()),
        make.path("Frqcy/Cd", "DAIL"),
        make.path("UpdTp/Cd", "COMP"),
        make.path("StmtBsis/Cd", "SETT"),
        make("ActvtyInd", "true" if holdings else "false"),
        make("SubAcctInd", "false"),
    )
    balances = [
        make("BalForAcct", _held(make, code), _balance(make, units)) for code, units in sorted(holdings.items())
    ]
    report = make(
        "SctiesBalCtdyRpt",
        make("Pgntn", make("PgNb", "1"), make("LastPgInd", "true")),
        statement,
        make.path("SfkpgAcct/Id", account),
        *balances,
    )
    return document_bytes(make("Document", report))


def _held(make: Builder, code: str) -> Element:
    if isin.is_valid(code):
        return make.path("FinInstrmId/ISIN", code)
    return make.path("FinInstrmId/OthrId", make("Id", code), make.path("Tp/Prtry", "FUND"))


def _balance(make: Builder, units: Decimal) -> Element:
    side = make("ShrtLngInd", "LONG" if units >= 0 else "SHOR")
    return make("AggtBal", side, make.path("Qty/Qty/Qty/Unit", f"{abs(units):f}"))
