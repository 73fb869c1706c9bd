"""semt.002.001.11, read: what a custodian holds for us. Pure: bytes in, values out."""

from decimal import Decimal

from engine.kernel.file_values import decimal_of, iso_day, sha256_of
from engine.kernel.files import Wrong
from engine.kernel.fund_orders import Holding, HoldingsFile
from engine.kernel.xml_documents import Node, namespace_of, read_document
from integrations.fund_managers.iso_20022.instruments import PREFIX

NAMESPACE = f"{PREFIX}semt.002.001.11"
COMPLETE = "COMP"


def read_holdings(raw: bytes, name: str) -> HoldingsFile:
    """Return the holdings of the one account that the report is about; FileRefused if it cannot be read whole."""
    try:
        return _read(raw, name)
    except Wrong as wrong:
        raise wrong.refused(name) from wrong


def _read(raw: bytes, name: str) -> HoldingsFile:
    document = read_document(raw)
    if namespace_of(document) != NAMESPACE:
        raise Wrong("Document", "unknown-message", f"Its namespace is {namespace_of(document)[:80]!r}.")
    report = Node(document).need("SctiesBalCtdyRpt")
    if report.text("Pgntn/LastPgInd") not in ("true", "1") or report.text("Pgntn/PgNb").lstrip("0") != "1":
        raise Wrong("Pgntn", "unknown-message", "Reports of several pages are not read.", row=report.row)
    if report.text("StmtGnlDtls/UpdTp/Cd") != COMPLETE:
        raise Wrong("StmtGnlDtls/UpdTp", "unknown-message", "Reports of changes alone are not read.", row=report.row)
    day = iso_day(report.need_text("StmtGnlDtls/StmtDtTm/Dt", "StmtGnlDtls/StmtDtTm/DtTm"), "StmtDtTm", row=report.row)
    holdings = tuple(_holding(one) for one in report.all("BalForAcct"))
    seen: set[str] = set()
    for one in holdings:
        if one.fund_code in seen:
            raise Wrong("FinInstrmId", "repeated", row=one.row)
        seen.add(one.fund_code)
    return HoldingsFile(
        name=name, sha256=sha256_of(raw), account=report.need_text("SfkpgAcct/Id"), day=day, holdings=holdings
    )


def _holding(node: Node) -> Holding:
    units = decimal_of(node.need_text("AggtBal/Qty/Qty/Qty/Unit"), "AggtBal", row=node.row)
    if units < 0:
        raise Wrong("AggtBal", "malformed", "It is negative.", row=node.row)
    is_short = node.text("AggtBal/ShrtLngInd") == "SHOR"
    code = node.need_text("FinInstrmId/ISIN", "FinInstrmId/OthrId/Id")
    return Holding(row=node.row, fund_code=code, units=-units if is_short and units else Decimal(units))
