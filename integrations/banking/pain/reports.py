"""pain.002, read: what a bank says of a file. Pure: bytes in, values out.

Source: the message schemas pain.002, versions 03 to 15, of the ISO 20022 catalogue.
"""

import re
from types import MappingProxyType

from engine.kernel.file_values import decimal_of, sha256_of
from engine.kernel.files import Wrong
from engine.kernel.outcomes import Answer
from engine.kernel.payment_files import StatusReport
from engine.kernel.xml_documents import Node, namespace_of, read_document
from integrations.banking.pain.reasons import SOME, answer_of

VERSIONS = MappingProxyType(
    {f"urn:iso:std:iso:20022:tech:xsd:pain.002.001.{version:02}": version for version in range(3, 16)}
)
"""The versions that are read, by namespace: from 03 on, payments stand in the batch they are of."""


def read_report(raw: bytes, name: str) -> StatusReport:
    """Return what the report says; FileRefused if it is no pain.002 that can be read whole."""
    try:
        return _read(raw, name)
    except Wrong as wrong:
        raise wrong.refused(name) from wrong


def _read(raw: bytes, name: str) -> StatusReport:
    document = read_document(raw)
    if namespace_of(document) not in VERSIONS:
        raise Wrong("Document", "unknown-message", f"Its namespace is {namespace_of(document)[:80]!r}.")
    report = Node(document).need("CstmrPmtStsRpt")
    group = report.need("OrgnlGrpInfAndSts")
    whole = _answer(group, "GrpSts")
    by_reference: dict[str, Answer] = {}
    for batch in report.all("OrgnlPmtInfAndSts"):
        batch_says = _answer(batch, "PmtInfSts")
        whole = batch_says or whole
        for payment in batch.all("TxInfAndSts"):
            reference = payment.text("OrgnlEndToEndId", "OrgnlInstrId")
            answer = _answer(payment, "TxSts") or batch_says
            if answer is None:
                continue
            if not reference:
                raise Wrong("OrgnlEndToEndId", "missing", row=payment.row)
            if by_reference.get(reference, answer) != answer:
                raise Wrong("OrgnlEndToEndId", "contradiction", "The payment has two statuses.", row=payment.row)
            by_reference[reference] = answer
    return StatusReport(
        name=name,
        sha256=sha256_of(raw),
        message_ref=group.need_text("OrgnlMsgId"),
        whole=whole,
        by_reference=by_reference,
        count=_count(group),
        total=decimal_of(total, "OrgnlCtrlSum", row=group.row) if (total := group.text("OrgnlCtrlSum")) else None,
    )


def _count(group: Node) -> int | None:
    count = group.text("OrgnlNbOfTxs")
    if count and not re.fullmatch("[0-9]{1,15}", count):
        raise Wrong("OrgnlNbOfTxs", "malformed", row=group.row)
    return int(count) if count else None


def _answer(node: Node, status: str) -> Answer | None:
    """Return what a whole, a batch or a payment is said to have become; None where it is not said, or only of some."""
    code = node.text(status)
    if not code or code == SOME:
        return None
    reasons = [found for one in node.all("StsRsnInf") if (found := one.text("Rsn/Cd", "Rsn/Prtry"))]
    return answer_of(code, reasons[0] if reasons else "", provider_ref=node.text("AcctSvcrRef"))
