"""setr.016.001.04, read: how far a manager says orders are. Pure: bytes in, values out.

Source: the message's schema in the ISO 20022 catalogue. Codes whose meaning the schema does not tell are kept and not acted on.
"""

from types import MappingProxyType

from engine.kernel.file_values import sha256_of
from engine.kernel.files import Wrong
from engine.kernel.fund_orders import REFERENCE_MAX, OrderSaid, OrderStatus, StatusFile
from engine.kernel.xml_documents import Node, namespace_of, read_document
from integrations.fund_managers.iso_20022.instruments import PREFIX

_MESSAGE = f"{PREFIX}setr.016.001.04"
_BY_CODE = MappingProxyType(
    {
        "PACK": OrderStatus.ACCEPTED,
        "RECE": OrderStatus.RECEIVED,
        "STNP": OrderStatus.PASSED_ON,
        "DONE": OrderStatus.DONE,
        "DONF": OrderStatus.DONE,
        "SETT": OrderStatus.SETTLED,
    }
)
_BY_ELEMENT = MappingProxyType(
    {
        "Canc": OrderStatus.CANCELLED,
        "Rjctd": OrderStatus.REJECTED,
        "CondlyAccptd": OrderStatus.CONDITIONAL,
        "Sspd": OrderStatus.SUSPENDED,
        "InRpr": OrderStatus.IN_REPAIR,
        "PrtlySttld": OrderStatus.OTHER,
    }
)
_REASONS = ("Rsn/Cd", "Rsn/Prtry/Id", "Rsn/NoSpcfdRsn", "NoSpcfdRsn", "RsnDtls/Rsn/Cd", "RsnDtls/Rsn/Prtry/Id")


def read_statuses(raw: bytes, name: str) -> StatusFile:
    """Return what the report says of orders; FileRefused if it cannot be read whole."""
    try:
        return _read(raw, name)
    except Wrong as wrong:
        raise wrong.refused(name) from wrong


def _read(raw: bytes, name: str) -> StatusFile:
    document = read_document(raw)
    if namespace_of(document) != _MESSAGE:
        raise Wrong("Document", "unknown-message", f"Its namespace is {namespace_of(document)[:80]!r}.")
    message = Node(document).need("OrdrInstrStsRpt")
    report = message.need("StsRpt")
    whole = report.find("OrdrDtlsRpt")
    if whole is not None:
        status, code = _status(whole)
        of_message = message.need_text("Ref/RltdRef/Ref", "Ref/OthrRef/Ref")
        orders = [OrderSaid(row=whole.row, status=status, code=code, of_message=_reference(of_message, whole))]
    else:
        orders = [_one(node) for node in report.all("IndvOrdrDtlsRpt")]
    if not orders:
        raise Wrong("StsRpt", "no-content", row=report.row)
    return StatusFile(name=name, sha256=sha256_of(raw), message_ref=message.need_text("MsgId/Id"), orders=tuple(orders))


def _one(node: Node) -> OrderSaid:
    status, code = _status(node)
    return OrderSaid(row=node.row, status=status, code=code, reference=_reference(node.need_text("OrdrRef"), node))


def _reference(text: str, node: Node) -> str:
    if len(text) > REFERENCE_MAX:
        raise Wrong("OrdrRef", "malformed", "It is longer than 35 characters.", row=node.row)
    return text


def _status(node: Node) -> tuple[OrderStatus, str]:
    said = node.need("OrdrSts")
    code = said.text("Sts")
    if code:
        return _BY_CODE.get(code, OrderStatus.OTHER), code[:35]
    for element, status in _BY_ELEMENT.items():
        found = said.find(element)
        if found is not None:
            reason = next((text for path in _REASONS if (text := found.text(path))), "")
            return status, reason[:35]
    raise Wrong("OrdrSts", "malformed", "It is no status of an order.", row=said.row)
