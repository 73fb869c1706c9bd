"""Payment files are built as the standard says, and reports on them are read for what they mean."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel.amounts import Amount, Asset
from engine.kernel.files import FileRefused
from engine.kernel.outcomes import Answer, Reason, RequestState
from engine.kernel.payment_files import (
    BankAccount,
    Debit,
    DebitFile,
    DebitSequence,
    StatusReport,
    Transfer,
    TransferFile,
    combine,
)
from integrations.banking.pain.adapter import PainFiles
from integrations.banking.pain.reasons import STATES, reason_of
from integrations.banking.pain.writing import BankProfile

KES = Asset.currency("KES")
OURS = BankAccount(holder="Akiba Members' Trust", number="0100123456", bank="BARCKENX")
PAYEE = BankAccount(holder="Amina Otieno", number="0112345678", bank="01-002")
TRANSFER = Transfer(reference="PAYOUT-1", payee=PAYEE, amount=Amount(125_050, KES), note="Benefit March")
FILE = TransferFile(
    message_ref="BATCH-2026-03-02-1",
    created_at=datetime(2026, 3, 2, 7, 30, tzinfo=UTC),
    sender="Akiba",
    payer=OURS,
    execute_on=date(2026, 3, 3),
    transfers=(TRANSFER, msgspec.structs.replace(TRANSFER, reference="PAYOUT-2", amount=Amount(5, KES))),
)
DEBIT = Debit(
    reference="COLLECT-1",
    payer=PAYEE,
    amount=Amount(50_000, KES),
    mandate_ref="MANDATE-9",
    mandate_signed_on=date(2025, 1, 15),
    note="Contribution March",
)
DEBITS = DebitFile(
    message_ref="COLLECT-2026-03-02-1",
    created_at=datetime(2026, 3, 2, 7, 30, tzinfo=UTC),
    sender="Akiba",
    payee=OURS,
    creditor_ref="KE-AKIBA-1",
    collect_on=date(2026, 3, 5),
    sequence=DebitSequence.RECURRENT,
    debits=(DEBIT,),
)


def test_says_how_many_payments_and_how_much_twice() -> None:
    raw = PainFiles().write_transfers(FILE).decode()

    assert re.findall(r"<NbOfTxs>(.*?)<", raw) == ["2", "2"]
    assert re.findall(r"<CtrlSum>(.*?)<", raw) == ["1250.55", "1250.55"]
    assert re.findall(r'<InstdAmt Ccy="KES">(.*?)<', raw) == ["1250.50", "0.05"]


def test_the_same_values_make_the_same_bytes() -> None:
    files = PainFiles()

    assert files.write_transfers(FILE) == files.write_transfers(FILE)
    assert files.write_debits(DEBITS) == files.write_debits(DEBITS)


@pytest.mark.parametrize(
    ("number", "stands_in"),
    [
        ("GB82 WEST 1234 5698 7654 32", "<IBAN>GB82WEST12345698765432</IBAN>"),
        ("GB00WEST12345698765432", "<Othr>"),
        ("0112345678", "<Othr>"),
    ],
    ids=["an IBAN", "an IBAN with wrong check digits", "a bank's own number"],
)
def test_an_account_number_stands_where_it_belongs(number: str, stands_in: str) -> None:
    payee = msgspec.structs.replace(PAYEE, number=number)
    raw = PainFiles().write_transfers(
        msgspec.structs.replace(FILE, transfers=(msgspec.structs.replace(TRANSFER, payee=payee),))
    )

    creditor = raw.decode().split("<CdtrAcct>")[1]
    assert stands_in in creditor


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"transfers": ()}, "one payment at least"),
        ({"transfers": (TRANSFER, TRANSFER)}, "one reference"),
        ({"transfers": (msgspec.structs.replace(TRANSFER, amount=Amount(0, KES)),)}, "more than zero"),
        (
            {
                "transfers": (
                    TRANSFER,
                    msgspec.structs.replace(TRANSFER, reference="P2", amount=Amount(1, Asset.currency("UGX"))),
                )
            },
            "one currency",
        ),
        ({"message_ref": "x" * 36}, "1 to 35"),
        ({"transfers": (msgspec.structs.replace(TRANSFER, reference="ä"),)}, "1 to 35"),
        ({"transfers": (msgspec.structs.replace(TRANSFER, reference=" P1"),)}, "1 to 35"),
    ],
)
def test_refuses_to_ask_for_what_no_bank_can_do(changed: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        PainFiles().write_transfers(msgspec.structs.replace(FILE, **changed))


@given(name=st.text(min_size=1), note=st.text())
def test_any_name_and_note_can_be_written(name: str, note: str) -> None:
    payee = msgspec.structs.replace(PAYEE, holder=name + "x")
    transfer = msgspec.structs.replace(TRANSFER, payee=payee, note=note)

    assert PainFiles().write_transfers(msgspec.structs.replace(FILE, transfers=(transfer,)))


def test_nothing_personal_is_shown() -> None:
    assert "Amina" not in repr(FILE)
    assert "0112345678" not in repr(DEBITS)


# Reports


def report(group: str = "", batch: str = "", payments: str = "", version: int = 10) -> bytes:
    return (
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.{version:02}"><CstmrPmtStsRpt>'
        "<GrpHdr><MsgId>R1</MsgId><CreDtTm>2026-03-02T10:00:00</CreDtTm></GrpHdr>"
        "<OrgnlGrpInfAndSts><OrgnlMsgId>BATCH-1</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>"
        f"{group}</OrgnlGrpInfAndSts>"
        f"<OrgnlPmtInfAndSts><OrgnlPmtInfId>BATCH-1</OrgnlPmtInfId>{batch}{payments}</OrgnlPmtInfAndSts>"
        "</CstmrPmtStsRpt></Document>"
    ).encode()


def payment(reference: str, status: str, reason: str = "") -> str:
    why = f"<StsRsnInf><Rsn><Cd>{reason}</Cd></Rsn></StsRsnInf>" if reason else ""
    return f"<TxInfAndSts><OrgnlEndToEndId>{reference}</OrgnlEndToEndId><TxSts>{status}</TxSts>{why}</TxInfAndSts>"


def read(raw: bytes) -> StatusReport:
    return PainFiles().read_report(raw, "r.xml")


@dataclass(frozen=True)
class Said:
    raw: bytes
    state: RequestState | None
    reason: Reason | None = None


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(Said(report("<GrpSts>ACCP</GrpSts>"), RequestState.PENDING), id="the whole file was accepted"),
        pytest.param(Said(report("<GrpSts>ACSC</GrpSts>"), RequestState.SUCCEEDED), id="the whole file was settled"),
        pytest.param(
            Said(
                report("<GrpSts>RJCT</GrpSts><StsRsnInf><Rsn><Cd>FF01</Cd></Rsn></StsRsnInf>"),
                RequestState.FAILED,
                Reason.INVALID_REQUEST,
            ),
            id="the whole file was rejected",
        ),
        pytest.param(
            Said(
                report("<GrpSts>RJCT</GrpSts><StsRsnInf><Rsn><Cd>DUPL</Cd></Rsn></StsRsnInf>"),
                RequestState.PENDING,
                Reason.DUPLICATE,
            ),
            id="the bank has the file already, so it has not failed",
        ),
        pytest.param(
            Said(
                report("<GrpSts>PART</GrpSts>", payments=payment("P1", "RJCT", "AC04")),
                RequestState.FAILED,
                Reason.NOT_REGISTERED,
            ),
            id="one payment was rejected",
        ),
        pytest.param(
            Said(report("<GrpSts>PART</GrpSts>", payments=payment("P2", "RJCT", "AC04")), None),
            id="another payment was rejected",
        ),
        pytest.param(
            Said(report("<GrpSts>RJCT</GrpSts>", payments=payment("P1", "ACSP")), RequestState.PENDING),
            id="what is said of a payment is nearer",
        ),
        pytest.param(
            Said(report("", "<PmtInfSts>ACSP</PmtInfSts>"), RequestState.PENDING), id="its batch was accepted"
        ),
        pytest.param(
            Said(report("<GrpSts>XXXX</GrpSts>"), RequestState.PENDING, Reason.AMBIGUOUS),
            id="a status of the bank's own",
        ),
        pytest.param(
            Said(report("", payments=payment("P1", "RJCT", "AM05")), RequestState.PENDING, Reason.DUPLICATE),
            id="a payment twice",
        ),
        pytest.param(
            Said(report("", payments=payment("P1", "RJCT", "AM04")), RequestState.FAILED, Reason.INSUFFICIENT_FUNDS),
            id="no funds",
        ),
        pytest.param(
            Said(report("", payments=payment("P1", "RJCT")), RequestState.FAILED, Reason.OTHER),
            id="rejected without a reason",
        ),
        pytest.param(
            Said(report("", payments=payment("P1", "RJCT", "DS24")), RequestState.FAILED, Reason.AUTH),
            id="not signed by who may",
        ),
    ],
)
def test_a_report_says_what_became_of_a_payment(said: Said) -> None:
    answer = read(said.raw).answer_to("P1")

    assert (answer and answer.state, answer and answer.reason) == (said.state, said.reason)


def test_a_code_is_kept_as_it_came() -> None:
    answer = read(report("", payments=payment("P1", "RJCT", "ZZ99"))).answer_to("P1")

    assert answer == Answer(state=RequestState.FAILED, reason=Reason.OTHER, code="RJCT/ZZ99")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(
            report(payments=payment("P1", "RJCT") + payment("P1", "ACSC")),
            "contradiction",
            id="two statuses of one payment",
        ),
        pytest.param(report(payments=payment("", "RJCT")), "missing", id="a payment without a reference"),
        pytest.param(report(version=2), "unknown-message", id="a version that keeps payments elsewhere"),
        pytest.param(report()[:200], "not-xml", id="half a report"),
        pytest.param(report().replace(b"<OrgnlMsgId>BATCH-1</OrgnlMsgId>", b""), "missing", id="of no file"),
        pytest.param(b"<html>503</html>", "unknown-message", id="an HTML error page"),
        pytest.param(
            report().replace(b"</OrgnlMsgId>", b"</OrgnlMsgId><OrgnlNbOfTxs>two</OrgnlNbOfTxs>"),
            "malformed",
            id="a count that is no number",
        ),
    ],
)
def test_a_report_that_cannot_be_read_whole_is_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(FileRefused) as raised:
        read(raw)
    assert raised.value.reason == reason


def test_every_status_is_one_of_ours_and_duplicates_never_fail() -> None:
    assert set(STATES.values()) == {RequestState.PENDING, RequestState.SUCCEEDED, RequestState.FAILED}
    assert reason_of("DUPL") is reason_of("AM05") is Reason.DUPLICATE


PENDING = Answer(state=RequestState.PENDING, code="ACSP")
DONE = Answer(state=RequestState.SUCCEEDED, code="ACSC")
NOT_DONE = Answer(state=RequestState.FAILED, reason=Reason.OTHER, code="RJCT")


@pytest.mark.parametrize(
    ("earlier", "later", "known"),
    [
        pytest.param(None, PENDING, PENDING, id="the first report"),
        pytest.param(PENDING, DONE, DONE, id="then settled"),
        pytest.param(DONE, PENDING, DONE, id="reordered"),
        pytest.param(NOT_DONE, PENDING, NOT_DONE, id="reordered after a rejection"),
        pytest.param(DONE, DONE, DONE, id="twice"),
    ],
)
def test_reports_may_come_late_twice_and_out_of_order(earlier: Answer | None, later: Answer, known: Answer) -> None:
    assert combine(earlier, later) == known


@pytest.mark.parametrize(("earlier", "later"), [(DONE, NOT_DONE), (NOT_DONE, DONE)])
def test_a_bank_that_contradicts_itself_is_believed_in_neither(earlier: Answer, later: Answer) -> None:
    known = combine(earlier, later)

    assert (known.state, known.reason) == (RequestState.PENDING, Reason.AMBIGUOUS)


def test_a_profile_fills_the_fields_that_the_standard_leaves_open() -> None:
    profile = BankProfile(charges="SHAR", service_level="URGP", local_instrument="CORE", purpose="PENS")
    raw = PainFiles(profile).write_debits(DEBITS).decode()

    assert all(word in raw for word in (">SHAR<", ">URGP<", ">CORE<", ">PENS<", ">RCUR<"))
    assert "PmtTpInf" not in PainFiles().write_transfers(FILE).decode()
