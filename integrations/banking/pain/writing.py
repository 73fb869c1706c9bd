"""pain.001.001.09 and pain.008.001.08, built. Pure: values in, bytes out, the same values always the same bytes.

Source: the message schemas pain.001.001.09 and pain.008.001.08 of the ISO 20022 catalogue; one batch a file.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from lxml import etree
from msgspec import Struct
from stdnum import iban

from engine.kernel.amounts import Amount
from engine.kernel.payment_files import REFERENCE_MAX, BankAccount, Debit, DebitFile, Transfer, TransferFile
from engine.kernel.xml_documents import Builder, document_bytes

TRANSFERS = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
DEBITS = "urn:iso:std:iso:20022:tech:xsd:pain.008.001.08"
NAME_MAX = NOTE_MAX = 140
NOT_PROVIDED = "NOTPROVIDED"

_BIC = re.compile(r"[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}(?:[A-Z0-9]{3})?")
_REFERENCE = re.compile(r"[A-Za-z0-9/?:().,'+ -]{1,35}")
_NOT_IN_XML = re.compile(r"[^\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")
Element = etree._Element  # noqa: SLF001 - the only name that lxml gives the type


class BankProfile(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one bank wants in the fields that the standard leaves open; data of a pack. Empty fields are left out.

    `charges` says who bears them: SLEV, SHAR, DEBT or CRED. `service_level` is a code such as SEPA or URGP,
    `local_instrument` one such as CORE, `purpose` a category such as PENS or SALA.
    """

    charges: str = "SLEV"
    service_level: str = ""
    local_instrument: str = ""
    purpose: str = ""


def write_transfers(file: TransferFile, profile: BankProfile) -> bytes:
    """Return a pain.001; ValueError where `file` cannot be asked for."""
    _check(file.message_ref, file.transfers)
    make = Builder(TRANSFERS)
    batch = make(
        "PmtInf",
        make("PmtInfId", file.message_ref),
        make("PmtMtd", "TRF"),
        *_totals(make, file.transfers),
        _payment_type(make, profile, ""),
        make.path("ReqdExctnDt/Dt", file.execute_on.isoformat()),
        _party(make, "Dbtr", file.payer),
        _account(make, "DbtrAcct", file.payer),
        _bank(make, "DbtrAgt", file.payer, is_needed=True),
        make.optional("ChrgBr", profile.charges),
        *(_transfer(make, transfer) for transfer in file.transfers),
    )
    header = _header(make, file.message_ref, file.created_at, file.sender, file.transfers)
    return document_bytes(make("Document", make("CstmrCdtTrfInitn", header, batch)))


def write_debits(file: DebitFile, profile: BankProfile) -> bytes:
    """Return a pain.008; ValueError where `file` cannot be asked for."""
    _check(file.message_ref, file.debits)
    make = Builder(DEBITS)
    scheme = make("Othr", make("Id", file.creditor_ref), make.path("SchmeNm/Prtry", "SEPA"))
    batch = make(
        "PmtInf",
        make("PmtInfId", file.message_ref),
        make("PmtMtd", "DD"),
        *_totals(make, file.debits),
        _payment_type(make, profile, file.sequence),
        make("ReqdColltnDt", file.collect_on.isoformat()),
        _party(make, "Cdtr", file.payee),
        _account(make, "CdtrAcct", file.payee),
        _bank(make, "CdtrAgt", file.payee, is_needed=True),
        make.optional("ChrgBr", profile.charges),
        make.path("CdtrSchmeId/Id/PrvtId", scheme),
        *(_debit(make, debit) for debit in file.debits),
    )
    header = _header(make, file.message_ref, file.created_at, file.sender, file.debits)
    return document_bytes(make("Document", make("CstmrDrctDbtInitn", header, batch)))


def _check(message_ref: str, payments: Sequence[Transfer | Debit]) -> None:
    if not payments:
        raise ValueError("a file asks for one payment at least")
    references = [payment.reference for payment in payments]
    for reference in (message_ref, *references):
        if not _REFERENCE.fullmatch(reference) or reference != reference.strip():
            raise ValueError(f"a reference is 1 to {REFERENCE_MAX} letters, digits and /?:().,'+ - , not {reference!r}")
    if len(set(references)) != len(references):
        raise ValueError("two payments have one reference")
    if len({payment.amount.asset for payment in payments}) > 1:
        raise ValueError("the payments of a file are of one currency")
    if min(payment.amount.units for payment in payments) <= 0:
        raise ValueError("an amount is more than zero")


def _header(
    make: Builder, message_ref: str, created_at: datetime, sender: str, payments: Sequence[Transfer | Debit]
) -> Element:
    return make(
        "GrpHdr",
        make("MsgId", message_ref),
        make("CreDtTm", created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")),
        *_totals(make, payments),
        make.path("InitgPty/Nm", _words(sender, NAME_MAX)),
    )


def _totals(make: Builder, payments: Sequence[Transfer | Debit]) -> tuple[Element, Element]:
    total = sum((payment.amount.decimal() for payment in payments), Decimal(0))
    return make("NbOfTxs", str(len(payments))), make("CtrlSum", f"{total:f}")


def _payment_type(make: Builder, profile: BankProfile, sequence: str) -> Element | None:
    parts = [
        make.path("SvcLvl/Cd", profile.service_level) if profile.service_level else None,
        make.path("LclInstrm/Cd", profile.local_instrument) if profile.local_instrument else None,
        make.optional("SeqTp", sequence),
        make.path("CtgyPurp/Cd", profile.purpose) if profile.purpose else None,
    ]
    return make("PmtTpInf", *parts) if any(part is not None for part in parts) else None


def _transfer(make: Builder, transfer: Transfer) -> Element:
    return make(
        "CdtTrfTxInf",
        make.path("PmtId/EndToEndId", transfer.reference),
        make("Amt", _money(make, transfer.amount)),
        _bank(make, "CdtrAgt", transfer.payee),
        _party(make, "Cdtr", transfer.payee),
        _account(make, "CdtrAcct", transfer.payee),
        _note(make, transfer.note),
    )


def _debit(make: Builder, debit: Debit) -> Element:
    mandate = (make("MndtId", debit.mandate_ref), make("DtOfSgntr", debit.mandate_signed_on.isoformat()))
    return make(
        "DrctDbtTxInf",
        make.path("PmtId/EndToEndId", debit.reference),
        _money(make, debit.amount),
        make.path("DrctDbtTx/MndtRltdInf", *mandate),
        _bank(make, "DbtrAgt", debit.payer, is_needed=True),
        _party(make, "Dbtr", debit.payer),
        _account(make, "DbtrAcct", debit.payer),
        _note(make, debit.note),
    )


def _money(make: Builder, amount: Amount) -> Element:
    return make("InstdAmt", f"{amount.decimal():f}", Ccy=amount.asset.symbol)


def _party(make: Builder, name: str, account: BankAccount) -> Element:
    return make.path(f"{name}/Nm", _words(account.holder, NAME_MAX))


def _account(make: Builder, name: str, account: BankAccount) -> Element:
    number = account.number.replace(" ", "")
    return make.path(f"{name}/Id/IBAN" if iban.is_valid(number) else f"{name}/Id/Othr/Id", number)


def _bank(make: Builder, name: str, account: BankAccount, *, is_needed: bool = False) -> Element | None:
    if not account.bank:
        return make.path(f"{name}/FinInstnId/Othr/Id", NOT_PROVIDED) if is_needed else None
    path = "BICFI" if _BIC.fullmatch(account.bank) else "ClrSysMmbId/MmbId"
    return make.path(f"{name}/FinInstnId/{path}", account.bank)


def _note(make: Builder, note: str) -> Element | None:
    words = _words(note, NOTE_MAX)
    return make.path("RmtInf/Ustrd", words) if words else None


def _words(text: str, longest: int) -> str:
    """Return `text` on one line, without what XML cannot hold, cut to `longest` characters."""
    return " ".join(_NOT_IN_XML.sub(" ", text).split())[:longest].strip()
