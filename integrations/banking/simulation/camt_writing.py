"""Statements as a bank writes them: camt.053, and camt.054 for single movements, in every version that is read. Pure."""

from datetime import UTC, datetime, time

from lxml import etree

from engine.kernel.amounts import Amount, Asset
from engine.kernel.statements import Side, Statement, StatementKind, StatementLine
from engine.kernel.xml_documents import Builder, document_bytes

_NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:camt.{number}.001.{version:02}"
_NAMES = {
    StatementKind.INTRADAY: ("052", "BkToCstmrAcctRpt", "Rpt"),
    StatementKind.STATEMENT: ("053", "BkToCstmrStmt", "Stmt"),
    StatementKind.NOTIFICATION: ("054", "BkToCstmrDbtCdtNtfctn", "Ntfctn"),
}
Element = etree._Element  # noqa: SLF001 - the only name that lxml gives the type


def write_camt(*statements: Statement, version: int = 8, message_ref: str = "MSG-1") -> bytes:
    """Return the statements, all of one kind, as a camt message of `version`.

    Each line becomes an entry of its own, with its transaction. `opened_on` and `closed_on` date the balances.
    """
    kind = statements[0].kind
    number, root, part = _NAMES[kind]
    make = Builder(_NAMESPACE.format(number=number, version=version))
    written_at = datetime.combine(statements[0].closed_on or statements[0].lines[0].booked_on, time(20), UTC)
    header = make("GrpHdr", make("MsgId", message_ref), make("CreDtTm", _instant(written_at)))
    parts = [_part(make, part, statement, version, written_at) for statement in statements]
    name = f"{root}V01" if version == 1 else root
    return document_bytes(make("Document", make(name, header, *parts)))


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _part(make: Builder, name: str, statement: Statement, version: int, written_at: datetime) -> Element:
    currency = statement.currency
    balances = [
        _balance(make, code, units, currency, on.isoformat(), version)
        for code, units, on in (
            ("OPBD", statement.opening, statement.opened_on),
            ("CLBD", statement.closing, statement.closed_on),
        )
        if units is not None and on is not None
    ]
    return make(
        name,
        make("Id", statement.reference or "STMT"),
        None if statement.number is None else make("ElctrncSeqNb", str(statement.number)),
        make("CreDtTm", _instant(written_at)),
        make("CpyDplctInd", "CODU") if statement.is_copy else None,
        make("Acct", _account(make, statement.account, version), make("Ccy", currency.symbol)),
        *balances,
        *(_entry(make, line, currency, version) for line in statement.lines),
    )


def _account(make: Builder, account: str, version: int) -> Element:
    if account[:2].isalpha() and account[2:4].isdigit():
        return make.path("Id/IBAN", account)
    return make.path("Id/PrtryAcct/Id" if version == 1 else "Id/Othr/Id", account)


def _money(make: Builder, units: int, currency: Asset, name: str = "Amt") -> Element:
    return make(name, f"{Amount(abs(units), currency).decimal():f}", Ccy=currency.symbol)


def _mark(make: Builder, *, is_credit: bool) -> Element:
    return make("CdtDbtInd", "CRDT" if is_credit else "DBIT")


def _balance(make: Builder, code: str, units: int, currency: Asset, on: str, version: int) -> Element:
    return make(
        "Bal",
        make.path("Tp/Cd" if version == 1 else "Tp/CdOrPrtry/Cd", code),
        _money(make, units, currency),
        _mark(make, is_credit=units >= 0),
        make.path("Dt/Dt", on),
    )


def _entry(make: Builder, line: StatementLine, currency: Asset, version: int) -> Element:
    details = _details(make, line, currency, version)
    return make(
        "Ntry",
        _money(make, line.amount, currency),
        _mark(make, is_credit=line.side is Side.CREDIT),
        make("RvslInd", "true") if line.is_reversal else None,
        make.path("Sts" if version <= 6 else "Sts/Cd", "BOOK"),
        make.path("BookgDt/Dt", line.booked_on.isoformat()),
        make.path("ValDt/Dt", line.value_on.isoformat()),
        make.optional("AcctSvcrRef", line.bank_ref),
        _code(make, line.code),
        details if version == 1 else make("NtryDtls", details),
    )


def _code(make: Builder, code: str) -> Element:
    domain, family, detail = (code or "PMNT/RCDT/OTHR").split("/")
    return make.path("BkTxCd/Domn", make("Cd", domain), make("Fmly", make("Cd", family), make("SubFmlyCd", detail)))


def _details(make: Builder, line: StatementLine, currency: Asset, version: int) -> Element:
    refs = [
        make.optional("AcctSvcrRef", line.bank_ref),
        make("EndToEndId", line.end_to_end_id or "NOTPROVIDED"),
    ]
    amount = (
        [make.path("AmtDtls/TxAmt", _money(make, line.amount, currency))]
        if version <= 2
        else [_money(make, line.amount, currency), _mark(make, is_credit=line.side is Side.CREDIT)]
    )
    return make(
        "TxDtls",
        make("Refs", *refs),
        *amount,
        _parties(make, line, version),
        make.path("RmtInf/Ustrd", line.text) if line.text else None,
        _returned(make, line, version),
    )


def _parties(make: Builder, line: StatementLine, version: int) -> Element | None:
    name = "Dbtr" if line.side is Side.CREDIT else "Cdtr"
    found = [
        make.path(f"{name}/Pty/Nm" if version >= 7 else f"{name}/Nm", line.other_party) if line.other_party else None,
        make(f"{name}Acct", _account(make, line.other_account, version)) if line.other_account else None,
    ]
    return make("RltdPties", *found) if any(one is not None for one in found) else None


def _returned(make: Builder, line: StatementLine, version: int) -> Element | None:
    if not line.returned_for:
        return None
    return make.path("RtrInf/RtrRsn/Cd" if version == 1 else "RtrInf/Rsn/Cd", line.returned_for)
