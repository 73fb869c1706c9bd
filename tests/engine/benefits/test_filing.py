"""Payouts by a bank: each in one file ever, what it refuses comes home, what it pays is seen on its statement."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from engine.benefits import errors, service
from engine.benefits.rules.paying import CONTRADICTED, AfterReport, Payout, PayoutState, after_report
from engine.benefits.service import BankRail
from engine.kernel.outcomes import Answer, Reason, RequestState
from engine.reconciliation import service as reconciliation
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from integrations.banking.camt.adapter import CamtStatements
from integrations.banking.file_drops.simulator import DropSite
from integrations.banking.pain.adapter import PainFiles
from integrations.banking.simulation.bank import SimulatedBank
from integrations.banking.simulation.payment_messages import Verdict, write_report
from tests.engine.benefits.test_paying import Owing, owing_of
from tests.factories.payouts import in_transit, payable
from tests.factories.schemes import START, serve

FILES = PainFiles()
OURS = "NPSTRUSTCOLLECTIONUPI"


class Banking:
    """A scheme and its bank."""

    def __init__(self, owing: Owing, bank: SimulatedBank) -> None:
        self.owing, self.bank, self.reads = owing, bank, 0
        rail = BankRail(pays_from="upi", holder="A Scheme", number=OURS, bank="HDFCINBB", sender="SCHEME")
        owing.payers = service.Payers(owing.payers.exchanges, banks={"bank": rail})
        self.db, self.keys, self.tenant = owing.db, owing.keys, owing.tenant

    async def approved(self, *amounts: int, numbers: tuple[str, ...] = ()) -> list[Payout]:
        await self.owing.owe(sum(amounts) + 1_00)
        found = []
        for at, amount in enumerate(amounts):
            number = numbers[at] if at < len(numbers) else f"00{at}"
            made = await self.owing.make(amount, "bank:Asha Example", number=number)
            found.append(await self.owing.approve(made))
        return found

    async def file(self) -> service.PayoutFile | None:
        return await service.file_payouts(
            self.db, self.keys, self.tenant, self.owing.payers, FILES, rail="bank", actor="staff:1"
        )

    async def report(self, raw: bytes, name: str = "report.xml") -> service.ReportRead:
        return await service.read_report(self.db, self.keys, self.tenant, FILES, raw, name, actor="staff:1")

    def send(self, file: service.PayoutFile | None) -> None:
        assert file is not None
        (self.bank.site.from_us / file.name).write_bytes(file.raw)
        self.bank.take_files()

    async def collect(self) -> list[service.ReportRead]:
        """Take in everything that the bank has for us: reports, and statements, whose payouts are then looked for."""
        found = []
        for path in sorted(self.bank.site.for_us.iterdir()):
            raw = path.read_bytes()
            if path.name.startswith("report"):
                found.append(await self.report(raw, path.name))
            else:
                await reconciliation.import_statement(
                    self.db, self.tenant, self.keys, CamtStatements(), raw, path.name, "upi", "staff:3"
                )
            path.unlink()
        await service.settle_payouts(self.db, self.keys, self.tenant)
        return found

    async def states(self, ones: list[Payout]) -> list[tuple[str, str, bool]]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            found = [
                await service.find_payout(session, self.keys, self.tenant, one.id, actor="staff:2") for one in ones
            ]
        return [(one.state, one.reason, one.is_settled) for one in found]

    async def owed(self) -> tuple[int, int]:
        return (
            await payable(self.db, self.tenant, self.owing.members[0][1]),
            await in_transit(self.db, self.tenant),
        )


@pytest_asyncio.fixture(loop_scope="session")
async def banking(db: Database, keys: FileKeyStore, tmp_path: Path) -> AsyncIterator[Banking]:
    tenant = await serve(db, tmp_path / "packs")
    bank = SimulatedBank(
        site=DropSite(tmp_path / "bank"),
        account=OURS,
        currency=tenant.asset,
        today=START.date(),
        balance=1_000_000,
    )
    yield Banking(await owing_of(db, keys, tenant), bank)


async def test_a_file_is_paid_refused_in_part_seen_and_returned(banking: Banking) -> None:
    banking.bank.closed.add("001")
    ones = await banking.approved(100_00, 200_00, 300_00)
    file = await banking.file()
    assert file is not None
    assert (file.payouts, file.total, file.name) == (3, "600.00", f"PO{banking.tenant.tenant_id}-1.xml")
    assert await banking.states(ones) == [("sent", "", False)] * 3
    assert await banking.owed() == (1_00, 600_00)

    banking.send(file)
    (report,) = await banking.collect()
    assert (report.taken, report.refused, report.unclear) == (2, 1, 0)
    assert await banking.states(ones) == [
        ("pending", "", False), ("failed", "not-registered", False), ("pending", "", False),
    ]  # fmt: skip
    assert await banking.owed() == (201_00, 400_00)
    assert await banking.owing.offences() == []

    banking.bank.end_day()
    await banking.collect()
    assert await banking.states(ones) == [
        ("succeeded", "", True), ("failed", "not-registered", False), ("succeeded", "", True),
    ]  # fmt: skip
    assert await banking.owed() == (201_00, 0)

    banking.bank.today = START.date()  # the scheme's clock stands
    banking.bank.credit(300_00, end_to_end_id=ones[2].id.hex, text="RETURNED")
    banking.bank.end_day()
    await banking.collect()

    assert (await banking.states(ones))[2] == ("returned", "returned", True)
    assert await banking.owed() == (501_00, 0)
    assert await banking.owing.offences() == []


async def test_each_payout_is_in_one_file_and_a_file_sent_again_pays_nothing(banking: Banking) -> None:
    ones = await banking.approved(100_00, 200_00)
    made = await asyncio.gather(*(banking.file() for _ in range(4)))
    (file,) = [one for one in made if one is not None]
    later = await banking.approved(300_00)
    second = await banking.file()
    assert second is not None
    assert (second.payouts, second.total, await banking.file()) == (1, "300.00", None)
    async with banking.db.unit_of_work(banking.tenant.tenant_id) as session:
        again = await service.find_file(session, banking.keys, banking.tenant, file.message_ref)
        with pytest.raises(errors.UnknownPayout):
            await service.find_file(session, banking.keys, banking.tenant, "PO0-1")
    assert (again.raw, again.sha256) == (file.raw, file.sha256)

    banking.send(file)
    (banking.bank.site.from_us / "once-more.xml").write_bytes(file.raw)
    banking.bank.take_files()
    reports = await banking.collect()
    banking.bank.end_day()
    await banking.collect()

    assert [(one.taken, one.refused) for one in reports] == [(2, 0), (2, 0)]
    assert await banking.states([*ones, *later]) == [("succeeded", "", True)] * 2 + [("sent", "", False)]
    assert banking.bank.balance == 1_000_000 - 300_00
    assert await banking.owing.offences() == []


async def test_a_report_counts_once_and_one_of_no_file_of_ours_not_at_all(banking: Banking) -> None:
    (one,) = await banking.approved(100_00)
    file = await banking.file()
    assert file is not None

    def report(message_ref: str, whole: Verdict, ref: str = "R1", single: Verdict | None = None) -> bytes:
        return write_report(
            ref, START.date(), message_ref=message_ref, message="pain.001.001.09", whole=whole,
            verdicts={one.id.hex: single} if single else None,
        )  # fmt: skip

    with pytest.raises(errors.UnreadableReport):
        await banking.report(report("PO0-77", Verdict("RJCT", "NARR")))
    with pytest.raises(errors.UnreadableReport):
        await banking.report(b"<html>502</html>")
    refused = report(file.message_ref, Verdict("RJCT", "AM04"))
    read = [await banking.report(refused) for _ in range(3)]

    assert [(each.refused, each.is_known) for each in read] == [(1, False), (0, True), (0, True)]
    assert await banking.states([one]) == [("failed", "insufficient-funds", False)]
    # The same refusal in other bytes, and a payment after all: the money is home, once, and people look.
    assert (await banking.report(report(file.message_ref, Verdict("RJCT", "AM04"), "R2"))).refused == 0
    paid = report(file.message_ref, Verdict("PART"), "R3", Verdict("ACSC"))
    assert (await banking.report(paid)).unclear == 1
    assert await banking.states([one]) == [("failed", CONTRADICTED, False)]
    assert await banking.owed() == (101_00, 0)
    assert await banking.owing.offences() == []


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ("<OrgnlNbOfTxs>3</OrgnlNbOfTxs><OrgnlCtrlSum>300.00</OrgnlCtrlSum>", True),
        ("<OrgnlNbOfTxs>2</OrgnlNbOfTxs><OrgnlCtrlSum>300.01</OrgnlCtrlSum>", True),
        ("<OrgnlNbOfTxs>2</OrgnlNbOfTxs><OrgnlCtrlSum>300</OrgnlCtrlSum>", False),
    ],
)
async def test_a_report_of_another_count_or_total_than_our_file_is_refused_whole(
    banking: Banking, said: str, refused: bool
) -> None:
    ones = await banking.approved(100_00, 200_00)
    file = await banking.file()
    assert file is not None
    mark = b"</OrgnlMsgNmId>"
    raw = write_report(
        "R1", START.date(), message_ref=file.message_ref, message="pain.001.001.09", whole=Verdict("RJCT", "AM04")
    )
    assert raw.count(mark) == 1
    raw = raw.replace(mark, mark + said.encode())

    if refused:
        with pytest.raises(errors.UnreadableReport, match=r"the file it is of holds (2|300\.00)"):
            await banking.report(raw)
    else:
        await banking.report(raw)

    assert {state for state, _, _ in await banking.states(ones)} == {"sent" if refused else "failed"}


async def test_a_bank_that_says_both_is_believed_in_neither(banking: Banking) -> None:
    (one,) = await banking.approved(100_00)
    file = await banking.file()
    assert file is not None

    async def say(ref: str, status: str, reason: str = "") -> tuple[str, str, bool]:
        verdicts = {one.id.hex: Verdict(status, reason)}
        raw = write_report(
            ref, START.date(), message_ref=file.message_ref, message="pain.001.001.09", whole=Verdict("PART"),
            verdicts=verdicts,
        )  # fmt: skip
        await banking.report(raw)
        return (await banking.states([one]))[0]

    assert await say("A", "ACSC") == ("succeeded", "", False)
    assert await say("B", "RJCT", "AC04") == ("pending", CONTRADICTED, False)
    assert await say("C", "RJCT", "AC04") == ("pending", CONTRADICTED, False)
    assert await banking.owed() == (1_00, 100_00)
    banking.send(file)
    banking.bank.end_day()
    await banking.collect()
    assert await banking.states([one]) == [("succeeded", "", True)]
    assert await banking.owing.offences() == []


async def test_nothing_is_filed_for_a_bank_that_takes_no_files(banking: Banking) -> None:
    with pytest.raises(errors.RailNotJoined):
        await service.file_payouts(
            banking.db, banking.keys, banking.tenant, banking.owing.payers, FILES, rail="elsewhere", actor="staff:1"
        )
    assert await banking.file() is None


S, R = PayoutState, RequestState


@pytest.mark.parametrize(
    ("state", "reason", "said", "is_settled", "after"),
    [
        (S.SENT, "", R.PENDING, False, (S.PENDING, "")),
        (S.SENT, "", R.SUCCEEDED, False, (S.SUCCEEDED, "")),
        (S.PENDING, "", R.SUCCEEDED, False, (S.SUCCEEDED, "")),
        (S.PENDING, "", R.PENDING, False, None),
        (S.SENT, "", R.SENT, False, None),
        (S.SENT, "", R.FAILED, False, (S.FAILED, "")),
        (S.PENDING, "", R.FAILED, False, (S.FAILED, "")),
        (S.SUCCEEDED, "", R.FAILED, False, (S.PENDING, CONTRADICTED)),
        (S.SUCCEEDED, "", R.FAILED, True, (S.SUCCEEDED, CONTRADICTED)),
        (S.RETURNED, "returned", R.FAILED, True, (S.RETURNED, CONTRADICTED)),
        (S.SUCCEEDED, "", R.PENDING, False, None),
        (S.FAILED, "limit", R.FAILED, False, None),
        (S.FAILED, "limit", R.PENDING, False, None),
        (S.FAILED, "limit", R.SUCCEEDED, False, (S.FAILED, CONTRADICTED)),
        (S.PENDING, CONTRADICTED, R.FAILED, False, None),
    ],
)
def test_what_a_report_changes(
    state: PayoutState, reason: str, said: RequestState, is_settled: bool, after: tuple[PayoutState, str] | None
) -> None:
    found = after_report(state, reason, Answer(state=said, reason=Reason.OTHER), is_settled=is_settled)
    assert found == (None if after is None else AfterReport(state=after[0], reason=after[1]))
