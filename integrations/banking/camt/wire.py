"""One camt document, read. Pure: bytes in, values out.

Source: the message definition reports of ISO 20022 camt.052, .053 and .054. An entry's indicator says which way the money
went also where the entry is a reversal.
"""

from collections.abc import Sequence

from engine.kernel.amounts import Asset
from engine.kernel.file_values import currency_of, iso_day, minor_units, sha256_of
from engine.kernel.files import Wrong
from engine.kernel.statements import (
    Side,
    Statement,
    StatementFile,
    StatementKind,
    StatementLine,
    check_chain,
    check_succession,
)
from engine.kernel.xml_documents import Node, namespace_of, read_document
from integrations.banking.camt.versions import MESSAGES, Message

BOOKED = "BOOK"
NOT_PROVIDED = "NOTPROVIDED"
_OPENING = ("OPBD", "PRCD")
_CLOSING = ("CLBD",)
_SIDES = {"CRDT": Side.CREDIT, "DBIT": Side.DEBIT}
_ACCOUNT = ("Id/IBAN", "Id/Othr/Id", "Id/BBAN", "Id/UPIC", "Id/PrtryAcct/Id", "Prxy/Id")
"""Where an account's identification stands: version 01 had names of its own for those that are no IBAN."""


def read_statements(raw: bytes, name: str) -> StatementFile:
    """Return every account's part of the document.

    Raises:
        FileRefused: it is no camt message of a version that is read, a value is wrong, or balances or totals disagree.

    """
    try:
        statements = _read(raw)
    except Wrong as wrong:
        raise wrong.refused(name) from wrong
    return StatementFile(name, sha256_of(raw), statements)


def _read(raw: bytes) -> tuple[Statement, ...]:
    document = read_document(raw)
    message = MESSAGES.get(namespace_of(document))
    if message is None:
        raise Wrong("Document", "unknown-message", f"Its namespace is {namespace_of(document)[:80]!r}.")
    parts = Node(document).need(message.root).all(message.part)
    if not parts:
        raise Wrong(message.part, "no-content")
    statements = tuple(_statement(part, message) for part in parts)
    check_succession(statements, [part.row for part in parts])
    return statements


def _statement(part: Node, message: Message) -> Statement:
    account = part.need("Acct")
    balances = part.all("Bal")
    currency = _currency(account, balances, part)
    entries = part.all("Ntry")
    booked = [entry for entry in entries if entry.need_text(message.status) == BOOKED]
    opening, closing = _balance(balances, _OPENING), _balance(balances, _CLOSING)
    if message.kind is StatementKind.STATEMENT:
        for found, field in ((opening, "Bal OPBD"), (closing, "Bal CLBD")):
            if found is None:
                raise Wrong(field, "missing", row=part.row)
    _check_totals(part, entries, currency)
    number = part.text("ElctrncSeqNb", "LglSeqNb")
    if number and not number.isdecimal():
        raise Wrong("ElctrncSeqNb", "malformed", row=part.row)
    statement = Statement(
        kind=message.kind,
        account=account.need_text(*_ACCOUNT),
        currency=currency,
        lines=tuple(line for entry in booked for line in _lines(entry, message, currency)),
        opening=None if opening is None else _signed(opening, currency),
        closing=None if closing is None else _signed(closing, currency),
        opened_on=None
        if opening is None
        else iso_day(opening.need_text("Dt/Dt", "Dt/DtTm"), "Bal/Dt", row=opening.row),
        closed_on=None
        if closing is None
        else iso_day(closing.need_text("Dt/Dt", "Dt/DtTm"), "Bal/Dt", row=closing.row),
        reference=part.text("Id"),
        number=int(number) if number else None,
        is_copy=bool(part.text("CpyDplctInd")),
        not_booked=len(entries) - len(booked),
    )
    if message.kind is StatementKind.STATEMENT:
        check_chain(statement, row=None if closing is None else closing.row)
    return statement


def _currency(account: Node, balances: Sequence[Node], part: Node) -> Asset:
    """Return the account's currency: its own word for it, else that of its balances, else that of its entries."""
    code = account.text("Ccy") or next(
        (found for node in (*balances, *part.all("Ntry")) if (found := node.need("Amt").attribute("Ccy"))), ""
    )
    if not code:
        raise Wrong("Acct/Ccy", "missing", row=account.row)
    return currency_of(code, "Acct/Ccy", row=account.row)


def _balance(balances: Sequence[Node], codes: Sequence[str]) -> Node | None:
    """Return the balance with the first of `codes` that any has; Wrong if two have it."""
    for code in codes:
        found = [one for one in balances if one.text("Tp/CdOrPrtry/Cd", "Tp/Cd") == code]
        if len(found) > 1:
            raise Wrong(f"Bal {code}", "repeated", row=found[1].row)
        if found:
            return found[0]
    return None


def _side(node: Node) -> Side:
    code = node.need_text("CdtDbtInd")
    if code not in _SIDES:
        raise Wrong("CdtDbtInd", "not-listed", row=node.row)
    return _SIDES[code]


def _amount(node: Node, currency: Asset, path: str = "Amt") -> int:
    """Return an amount of zero or more in the account's currency."""
    found = node.need(path)
    if found.attribute("Ccy") != currency.symbol:
        raise Wrong(path, "currency-differs", f"The account is kept in {currency.symbol}.", row=found.row)
    units = minor_units(found.value, currency, path, row=found.row)
    if units < 0:
        raise Wrong(path, "malformed", "It is negative.", row=found.row)
    return units


def _signed(balance: Node, currency: Asset) -> int:
    amount = _amount(balance, currency)
    return amount if _side(balance) is Side.CREDIT else -amount


def _check_totals(part: Node, entries: Sequence[Node], currency: Asset) -> None:
    """Refuse a part that says another count or sum of its entries than it holds."""
    summary = part.find("TxsSummry")
    if summary is None:
        return
    for path, sides in (
        ("TtlNtries", (Side.CREDIT, Side.DEBIT)),
        ("TtlCdtNtries", (Side.CREDIT,)),
        ("TtlDbtNtries", (Side.DEBIT,)),
    ):
        totals = summary.find(path)
        if totals is None:
            continue
        meant = [entry for entry in entries if _side(entry) in sides]
        count, total = totals.text("NbOfNtries"), totals.text("Sum")
        if count and (not count.isdecimal() or int(count) != len(meant)):
            raise Wrong(f"{path}/NbOfNtries", "count-differs", f"It holds {len(meant)}.", row=totals.row)
        held = sum(_amount(entry, currency) for entry in meant)
        if total and minor_units(total, currency, f"{path}/Sum", row=totals.row) != held:
            raise Wrong(f"{path}/Sum", "total-differs", row=totals.row)


def _lines(entry: Node, message: Message, currency: Asset) -> list[StatementLine]:
    """Return a line a transaction where the entry's transactions have amounts that make the entry's, else one line."""
    amount, side = _amount(entry, currency), _side(entry)
    if amount == 0:
        return []
    details = entry.all(message.details)
    if len(details) > 1:
        parts = [_part(one, currency, side) for one in details]
        if None not in parts and sum(part or 0 for part in parts) == amount:
            return [
                _line(entry, one, abs(part), side if part > 0 else _other(side), bank_ref=one.text("Refs/AcctSvcrRef"))
                for one, part in zip(details, parts, strict=True)
                if part
            ]
        return [_line(entry, entry, amount, side, bank_ref=entry.text("AcctSvcrRef"))]
    one = details[0] if details else entry
    return [_line(entry, one, amount, side, bank_ref=one.text("Refs/AcctSvcrRef") or entry.text("AcctSvcrRef"))]


def _part(details: Node, currency: Asset, side: Side) -> int | None:
    """Return a transaction's part of its entry, negative if it went the other way; None if it does not say."""
    for path in ("Amt", "AmtDtls/TxAmt/Amt"):
        found = details.find(path)
        if found is not None and found.attribute("Ccy") == currency.symbol:
            part = _amount(details, currency, path)
            own = _side(details) if details.find("CdtDbtInd") is not None else side
            return part if own is side else -part
    return None


def _other(side: Side) -> Side:
    return Side.DEBIT if side is Side.CREDIT else Side.CREDIT


def _line(entry: Node, details: Node, amount: int, side: Side, *, bank_ref: str) -> StatementLine:
    booked_on = iso_day(entry.need_text("BookgDt/Dt", "BookgDt/DtTm"), "BookgDt", row=entry.row)
    value = entry.text("ValDt/Dt", "ValDt/DtTm")
    party = "Dbtr" if side is Side.CREDIT else "Cdtr"
    end_to_end_id = details.text("Refs/EndToEndId")
    return StatementLine(
        row=details.row,
        side=side,
        amount=amount,
        booked_on=booked_on,
        value_on=iso_day(value, "ValDt", row=entry.row) if value else booked_on,
        end_to_end_id="" if end_to_end_id == NOT_PROVIDED else end_to_end_id,
        bank_ref=bank_ref,
        text=_remittance(details) or details.text("AddtlTxInf") or entry.text("AddtlNtryInf"),
        other_party=details.text(f"RltdPties/{party}/Pty/Nm", f"RltdPties/{party}/Nm"),
        other_account=details.text(*(f"RltdPties/{party}Acct/{path}" for path in _ACCOUNT)),
        code=_code(details) or _code(entry),
        returned_for=details.text("RtrInf/Rsn/Cd", "RtrInf/RtrRsn/Cd", "RtrInf/Rsn/Prtry", "RtrInf/RtrRsn/Prtry"),
        is_reversal=entry.text("RvslInd") in ("true", "1"),
    )


def _remittance(details: Node) -> str:
    words = [one.value for one in details.all("RmtInf/Ustrd")]
    words += [one.value for one in details.all("RmtInf/Strd/CdtrRefInf/Ref")]
    words += [one.value for one in details.all("RmtInf/Strd/CdtrRefInf/CdtrRef")]
    return " ".join(filter(None, words))


def _code(node: Node) -> str:
    parts = (node.text(f"BkTxCd/Domn/{path}") for path in ("Cd", "Fmly/Cd", "Fmly/SubFmlyCd"))
    return "/".join(filter(None, parts)) or node.text("BkTxCd/Prtry/Cd")
