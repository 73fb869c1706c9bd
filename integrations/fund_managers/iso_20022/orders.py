"""setr.010.001.04, setr.004.001.04 and the requests to cancel them, setr.011.001.04 and setr.005.001.04, built. Pure: values in, bytes out, the same values always the same bytes.

Source: the message schemas of the ISO 20022 catalogue; only what they ask for, and the day of the dealing.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from engine.kernel.files import NamedFile
from engine.kernel.fund_orders import CancellationFile, OrderFile, OrderSide, PooledOrder
from engine.kernel.xml_documents import Builder, document_bytes
from integrations.fund_managers.iso_20022.instruments import PREFIX, Element, identification

# side: message, its root, and the element that says how much
_MESSAGES = {
    OrderSide.SUBSCRIBE: ("setr.010.001.04", "SbcptOrdr", "AmtOrUnits"),
    OrderSide.REDEEM: ("setr.004.001.04", "RedOrdr", "AmtOrUnitsOrPctg"),
}
_CANCELLATIONS = {
    OrderSide.SUBSCRIBE: ("setr.011.001.04", "SbcptOrdrCxlReq"),
    OrderSide.REDEEM: ("setr.005.001.04", "RedOrdrCxlReq"),
}


def write_orders(file: OrderFile) -> Sequence[NamedFile]:
    """Return a message of subscriptions and one of redemptions, or the one of them that there are orders for.

    Each has a reference of its own: ours, with S or R behind it.
    """
    if not file.orders:
        raise ValueError("a file places one order at least")
    if len({order.reference for order in file.orders}) != len(file.orders):
        raise ValueError("two orders have one reference")
    made = []
    for side in OrderSide:
        orders = [order for order in file.orders if order.side is side]
        if orders:
            message_ref = f"{file.message_ref[:33]}-{side[0].upper()}"
            name = f"{_MESSAGES[side][0]}-{message_ref}.xml"
            made.append(NamedFile(name, _message(file, side, orders, message_ref)))
    return made


def _message(file: OrderFile, side: OrderSide, orders: Sequence[PooledOrder], message_ref: str) -> bytes:
    message, root, quantity = _MESSAGES[side]
    make = Builder(PREFIX + message)
    return document_bytes(
        make(
            "Document",
            make(
                root,
                _header(make, message_ref, file.created_at),
                make(
                    "MltplOrdrDtls",
                    make("ReqdFutrTradDt", file.dealing_on.isoformat()),
                    make.path("InvstmtAcctDtls/AcctId", file.account),
                    *(_order(make, order, quantity) for order in orders),
                ),
            ),
        )
    )


def write_cancellation(file: CancellationFile) -> NamedFile:
    """Return the message that asks for one order to be cancelled; its own reference is the cancellation's."""
    message, root = _CANCELLATIONS[file.side]
    make = Builder(PREFIX + message)
    asked = make("OrdrRefs", make("OrdrRef", file.reference), make("CxlRef", file.message_ref))
    document = make("Document", make(root, _header(make, file.message_ref, file.created_at), asked))
    return NamedFile(f"{message}-{file.message_ref}.xml", document_bytes(document))


def _header(make: Builder, message_ref: str, at: datetime) -> Element:
    created = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return make("MsgId", make("Id", message_ref), make("CreDtTm", created))


def _order(make: Builder, order: PooledOrder, quantity: str) -> Element:
    return make(
        "IndvOrdrDtls",
        make("OrdrRef", order.reference),
        identification(make, order.fund_code),
        make(quantity, _how_much(make, order)),
        make("PhysDlvryInd", "false"),
    )


def _how_much(make: Builder, order: PooledOrder) -> Element:
    if order.amount is not None:
        return make("GrssAmt", f"{order.amount.decimal():f}", Ccy=order.amount.asset.symbol)
    return make("UnitsNb", f"{order.units:f}")
