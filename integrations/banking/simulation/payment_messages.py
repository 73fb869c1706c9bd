"""The bank's side of payment files: pain.001 and pain.008 read, pain.002 written. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal

from lxml import etree

from engine.kernel.amounts import Asset
from engine.kernel.file_values import currency_of, decimal_of, iso_day, minor_units
from engine.kernel.files import Wrong
from engine.kernel.xml_documents import Builder, Node, document_bytes, namespace_of, read_document

_PREFIX = "urn:iso:std:iso:20022:tech:xsd:"
TRANSFERS, DEBITS = f"{_PREFIX}pain.001.001.09", f"{_PREFIX}pain.008.001.08"
REPORT = f"{_PREFIX}pain.002.001.12"


@dataclass(frozen=True, slots=True)
class AskedPayment:
    """One payment that we ask for: money to (or, of a collection, from) an account."""

    reference: str
    amount: int
    currency: Asset
    account: str
    party: str
    note: str


@dataclass(frozen=True, slots=True)
class AskedFile:
    """A file of payments, as its bank reads it."""

    message_ref: str
    message: str
    is_collection: bool
    our_account: str
    on: date
    payments: tuple[AskedPayment, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the bank says of a payment: a status, and a reason where it is a rejection."""

    status: str
    reason: str = ""


def read_payments(raw: bytes) -> AskedFile:
    """Return what a pain.001 or pain.008 asks for; Wrong, with the bank's own reason as detail, if it cannot be done."""
    document = read_document(raw)
    namespace = namespace_of(document)
    if namespace not in (TRANSFERS, DEBITS):
        raise Wrong("Document", "unknown-message", "FF01")
    is_collection = namespace == DEBITS
    root = Node(document).need("CstmrDrctDbtInitn" if is_collection else "CstmrCdtTrfInitn")
    batch = root.need("PmtInf")
    nodes = batch.all("DrctDbtTxInf" if is_collection else "CdtTrfTxInf")
    payments = tuple(_payment(node, "Dbtr" if is_collection else "Cdtr") for node in nodes)
    header = root.need("GrpHdr")
    if header.need_text("NbOfTxs") != str(len(payments)):
        raise Wrong("NbOfTxs", "count-differs", "AM18")
    total = sum((Decimal(one.amount).scaleb(-one.currency.scale) for one in payments), Decimal(0))
    if header.text("CtrlSum") and decimal_of(header.text("CtrlSum"), "CtrlSum") != total:
        raise Wrong("CtrlSum", "total-differs", "AM10")
    ours = "Cdtr" if is_collection else "Dbtr"
    return AskedFile(
        message_ref=header.need_text("MsgId"),
        message=namespace.rsplit(":", 1)[-1],
        is_collection=is_collection,
        our_account=batch.need_text(f"{ours}Acct/Id/IBAN", f"{ours}Acct/Id/Othr/Id"),
        on=iso_day(batch.need_text("ReqdColltnDt", "ReqdExctnDt/Dt"), "ReqdExctnDt"),
        payments=payments,
    )


def _payment(node: Node, other: str) -> AskedPayment:
    money = node.find("Amt/InstdAmt") or node.need("InstdAmt")
    currency = currency_of(money.attribute("Ccy"), "InstdAmt")
    return AskedPayment(
        reference=node.need_text("PmtId/EndToEndId"),
        amount=minor_units(money.value, currency, "InstdAmt"),
        currency=currency,
        account=node.need_text(f"{other}Acct/Id/IBAN", f"{other}Acct/Id/Othr/Id"),
        party=node.text(f"{other}/Nm"),
        note=node.text("RmtInf/Ustrd"),
    )


def write_report(
    report_ref: str,
    on: date,
    *,
    message_ref: str,
    message: str,
    whole: Verdict | None = None,
    verdicts: Mapping[str, Verdict] | None = None,
) -> bytes:
    """Return a pain.002.001.12 on a file: of the whole, of single payments, or both."""
    make = Builder(REPORT)
    group = make(
        "OrgnlGrpInfAndSts",
        make("OrgnlMsgId", message_ref),
        make("OrgnlMsgNmId", message),
        *([] if whole is None else [make("GrpSts", whole.status), _reason(make, whole)]),
    )
    payments = [
        make("TxInfAndSts", make("OrgnlEndToEndId", reference), make("TxSts", one.status), _reason(make, one))
        for reference, one in (verdicts or {}).items()
    ]
    batch = make("OrgnlPmtInfAndSts", make("OrgnlPmtInfId", message_ref), *payments) if payments else None
    created = datetime.combine(on, time(11), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    header = make("GrpHdr", make("MsgId", report_ref), make("CreDtTm", created))
    return document_bytes(make("Document", make("CstmrPmtStsRpt", header, group, batch)))


def _reason(make: Builder, verdict: Verdict) -> etree._Element | None:
    return make.path("StsRsnInf/Rsn/Cd", verdict.reason) if verdict.reason else None
