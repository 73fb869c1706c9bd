"""setr.012.001.05 and setr.006.001.05, read. Pure: bytes in, values out."""

from decimal import Decimal
from types import MappingProxyType

from engine.kernel.amounts import Amount
from engine.kernel.file_values import currency_of, decimal_of, iso_day, minor_units, sha256_of
from engine.kernel.files import Wrong
from engine.kernel.fund_orders import ConfirmationFile, OrderConfirmation, OrderSide
from engine.kernel.xml_documents import Node, namespace_of, read_document
from integrations.fund_managers.iso_20022.instruments import PREFIX, fund_code_of

MESSAGES = MappingProxyType(
    {
        f"{PREFIX}setr.012.001.05": ("SbcptOrdrConf", OrderSide.SUBSCRIBE),
        f"{PREFIX}setr.006.001.05": ("RedOrdrConf", OrderSide.REDEEM),
    }
)
"""The messages and versions that are read, by namespace: each one's root and the side it confirms."""


def read_confirmations(raw: bytes, name: str) -> ConfirmationFile:
    """Return what the message confirms; FileRefused if it cannot be read whole."""
    try:
        return _read(raw, name)
    except Wrong as wrong:
        raise wrong.refused(name) from wrong


def _read(raw: bytes, name: str) -> ConfirmationFile:
    document = read_document(raw)
    found = MESSAGES.get(namespace_of(document))
    if found is None:
        raise Wrong("Document", "unknown-message", f"Its namespace is {namespace_of(document)[:80]!r}.")
    root, side = found
    message = Node(document).need(root)
    executions = message.all("MltplExctnDtls/IndvExctnDtls")
    if not executions:
        raise Wrong("IndvExctnDtls", "no-content", row=message.row)
    confirmations = tuple(_confirmation(one, side) for one in executions)
    seen: set[str] = set()
    for one in confirmations:
        if one.deal_ref in seen:
            raise Wrong("DealRef", "repeated", row=one.row)
        seen.add(one.deal_ref)
    return ConfirmationFile(
        name=name, sha256=sha256_of(raw), message_ref=message.need_text("MsgId/Id"), confirmations=confirmations
    )


def _confirmation(node: Node, side: OrderSide) -> OrderConfirmation:
    settled = node.need("SttlmAmt")
    price = node.need("DealgPricDtls/Val/Amt")
    currency = currency_of(settled.attribute("Ccy"), "SttlmAmt", row=settled.row)
    if price.attribute("Ccy") != currency.symbol:
        raise Wrong("DealgPricDtls", "currency-differs", row=price.row)
    settles = node.text("CshSttlmDt")
    return OrderConfirmation(
        row=node.row,
        reference=node.need_text("OrdrRef"),
        deal_ref=node.need_text("DealRef"),
        side=side,
        fund_code=fund_code_of(node),
        units=_positive(node.need("UnitsNb"), "UnitsNb"),
        price=_positive(price, "DealgPricDtls"),
        amount=Amount(minor_units(settled.value, currency, "SttlmAmt", row=settled.row), currency),
        traded_on=iso_day(node.need_text("TradDtTm/Dt", "TradDtTm/DtTm"), "TradDtTm", row=node.row),
        settles_on=iso_day(settles, "CshSttlmDt", row=node.row) if settles else None,
        fees=_fees(node, currency.symbol),
        is_partial=node.text("PrtlyExctdInd") in ("true", "1"),
    )


def _fees(node: Node, currency: str) -> int:
    """Return the fees and taxes that the settled amount holds, in smallest units."""
    asset = currency_of(currency, "SttlmAmt")
    total = 0
    for path in ("TxOvrhd/TtlFees", "TxOvrhd/TtlTaxs"):
        found = node.find(path)
        if found is not None:
            if found.attribute("Ccy") != currency:
                raise Wrong(path, "currency-differs", row=found.row)
            total += minor_units(found.value, asset, path, row=found.row)
    return total


def _positive(node: Node, field: str) -> Decimal:
    value = decimal_of(node.value, field, row=node.row)
    if value <= 0:
        raise Wrong(field, "malformed", "It is not more than zero.", row=node.row)
    return value
