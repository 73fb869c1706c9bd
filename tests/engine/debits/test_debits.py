"""Direct debits: what members owe is collected from a simulated bank under mandates, refused, received, and taken back."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from engine.access.errors import SamePerson
from engine.app import LAWS
from engine.contributions import service as contributions
from engine.debits import errors, queries, service
from engine.debits.queries import DebitFileRow
from engine.debits.rules import MandateGiven
from engine.debits.service import Creditor
from engine.enrolment.service import Enrolled
from engine.identity.errors import UnknownMember
from engine.kernel.errors import Invalid
from engine.kernel.payment_files import BankAccount
from engine.ledger import service as ledger
from engine.reconciliation import service as reconciliation
from engine.runtime.database import Database, driver
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant
from integrations.banking.camt.adapter import CamtStatements
from integrations.banking.file_drops.simulator import DropSite
from integrations.banking.pain.adapter import PainFiles
from integrations.banking.simulation.bank import SimulatedBank
from integrations.banking.simulation.payment_messages import Verdict, write_report
from tests.engine.contributions.test_undertaken import applying, joined, owed, until
from tests.factories.carrying import Worker, new_keys, served
from tests.factories.schemes import serve

FILES = PainFiles()
OURS = "APYCOLLECTIONS"
DUE = date(2023, 4, 30)
"""When the instalment of April falls due: 116 rupees."""


class Stopped(BaseException):
    """The process ends here."""


@dataclass
class Debiting:
    """A scheme whose members undertook to pay, and the bank that collects for it."""

    db: Database
    keys: FileKeyStore
    tenant: Tenant
    bank: SimulatedBank
    members: list[Enrolled]

    @property
    def creditor(self) -> Creditor:
        account = BankAccount(holder="A Scheme", number=OURS, bank="HDFCINBB")
        return Creditor("bank", "auto-debit", account, "SCHEME", "NACH00000000012345")

    async def give(self, index: int = 0, **other: Any) -> None:
        given: dict[str, Any] = {
            "member": self.members[index].number, "product": "apy", "reference": f"UMRN{index}", "signed_on": date(2023, 4, 1),
            "most": "500.00", "holder": "Asha Example", "number": f"000{index}", "bank": "HDFCINBB",
        } | other  # fmt: skip
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            await service.give_mandate(session, self.keys, self.tenant, "bank", MandateGiven(**given), actor="staff:1")

    async def end(self, index: int = 0) -> None:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            number = self.members[index].number
            await service.end_mandate(session, self.keys, self.tenant, number, "apy", actor="staff:1")

    async def prepare(self, on: date = DUE) -> list[DebitFileRow]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.prepare_debits(
                session, self.tenant, rail="bank", product="apy", collect_on=on, actor="staff:1"
            )

    async def approve(self, file: DebitFileRow, *, actor: str = "staff:2", digest: str = "") -> DebitFileRow:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.approve_debits(session, file.file_id, digest=digest or file.digest, actor=actor)

    async def write(self) -> int:
        return await service.write_debits(self.db, self.keys, self.tenant, self.creditor, FILES)

    async def filed(self, on: date = DUE) -> DebitFileRow:
        """Prepare, approve and write a file, and leave it at the bank, which answers at once."""
        (file,) = await self.prepare(on)
        await self.approve(file)
        assert await self.write() == 1
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            made = await service.debit_file(session, self.keys, self.tenant, file.file_id)
        (self.bank.site.from_us / made.name).write_bytes(made.raw)
        self.bank.today = on
        self.bank.take_files()
        return file

    async def report(self, raw: bytes, name: str = "report.xml") -> service.DebitReportRead:
        return await service.read_report(self.db, self.keys, self.tenant, FILES, raw, name, actor="staff:1")

    async def collect(self) -> list[service.DebitReportRead]:
        """Take in everything that the bank has for us."""
        found = []
        for path in sorted(self.bank.site.for_us.iterdir()):
            raw = path.read_bytes()
            if path.name.startswith("report"):
                found.append(await self.report(raw, path.name))
            else:
                await reconciliation.import_statement(
                    self.db, self.tenant, self.keys, CamtStatements(), raw, path.name, "auto-debit", "staff:3"
                )
            path.unlink()
        return found

    async def settle(self) -> service.DebitsSeen:
        return await service.settle_debits(self.db, self.keys, self.tenant, self.creditor)

    async def rows(self, sql: str) -> Sequence[Any]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await (await (await driver(session)).execute(sql)).fetchall()

    async def states(self) -> list[tuple[str, str]]:
        found = await self.rows("select state, reason from debits order by file_id, amount, member_id, debit_id")
        return [(one[0], one[1]) for one in found]

    async def offences(self) -> list[str]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return [str(one) for one in await ledger.check(session, LAWS)]


@pytest_asyncio.fixture(loop_scope="session")
async def debiting(db: Database, keys: FileKeyStore, tmp_path: Path) -> Debiting:
    """Two members of Atal Pension Yojana on 3 April 2023."""
    speaks = {'code = "auto-debit"\n': 'code = "auto-debit"\nstatements = "camt"\n', "APY COLLECTION AUTO-DEBIT": OURS}
    tenant = await serve(db, tmp_path / "packs", "in-apy", changes=speaks)
    members = await joined(db, keys, tenant, applying(tenant), applying(tenant))
    bank = SimulatedBank(
        site=DropSite(tmp_path / "bank"), account=OURS, currency=tenant.asset, today=DUE, balance=1_000_000
    )
    return Debiting(db, keys, tenant, bank, members)


async def test_what_is_due_is_collected_refused_in_part_received_and_taken_back(debiting: Debiting) -> None:
    for index in range(2):
        await debiting.give(index)
    debiting.bank.unwilling.add("0001")
    await until(debiting.db, debiting.tenant, DUE)
    file = await debiting.filed()
    assert (file.sequence, file.debits, file.total, file.state) == ("FRST", 2, 232_00, "prepared")
    (report, *_) = await debiting.collect()
    assert report.taken + report.refused == 2
    debiting.bank.end_day()
    await debiting.collect()
    assert sorted(await debiting.states()) == [("pending", ""), ("refused", "payer-rejected")]
    assert await debiting.rows("select count(*)::int from events where kind = 140") == [(1,)]

    assert await debiting.settle() == service.DebitsSeen(paid=1)
    assert await debiting.settle() == service.DebitsSeen()
    assert sorted(await debiting.states()) == [("paid", ""), ("refused", "payer-rejected")]
    assert [await owed(debiting.db, debiting.keys, debiting.tenant, one, DUE) for one in debiting.members] == [
        0,
        116_00,
    ]
    assert await debiting.rows("select count(*)::int from matches") == [(1,)]
    assert await debiting.offences() == []

    # The bank gives it back to the payer: the money is gone at once, the contribution once a person has confirmed that.
    ((debit_id, receipt),) = await debiting.rows("select debit_id, receipt from debits where state = 'paid'")
    debiting.bank.today = DUE
    debiting.bank.debit(116_00, end_to_end_id=debit_id.hex, text="RETURNED")
    debiting.bank.end_day()
    await debiting.collect()
    assert await debiting.settle() == service.DebitsSeen(returned=1)
    assert await debiting.settle() == service.DebitsSeen()
    assert ("returned", "charged-back") in await debiting.states()
    async with debiting.db.unit_of_work(debiting.tenant.tenant_id) as session:
        proposed = await contributions.find_reversal(session, debiting.tenant, receipt)
    assert (proposed.state, proposed.reason) == ("proposed", "charged-back")
    await contributions.confirm_reversal(
        debiting.db, debiting.keys, debiting.tenant, receipt, digest=proposed.digest, actor="staff:2"
    )
    assert await owed(debiting.db, debiting.keys, debiting.tenant, debiting.members[0], DUE) == 116_00
    await reconciliation.match_statements(debiting.db, debiting.tenant, actor="staff:3")
    assert await debiting.rows("select count(*)::int from unmatched_lines") == [(0,)]
    assert await debiting.offences() == []


async def test_a_mandate_is_kept_sealed_and_one_a_membership(debiting: Debiting) -> None:
    await debiting.give()
    with pytest.raises(errors.MandateHeld):
        await debiting.give(reference="UMRN9")
    with pytest.raises(errors.MandateHeld):
        await debiting.give(1, reference="UMRN0")
    with pytest.raises(UnknownMember):
        await debiting.give(member="000000000000")
    for wrong in ({"signed_on": date(2999, 1, 1)}, {"most": "0"}):
        with pytest.raises(Invalid):
            await debiting.give(1, **wrong)
    ((document,),) = await debiting.rows("select document from mandates")
    assert b"UMRN0" not in document
    assert b"Asha" not in document
    await debiting.end()
    with pytest.raises(errors.UnknownMandate):
        await debiting.end()
    await debiting.give(reference="UMRN9")
    assert await debiting.rows(
        "select count(*)::int, array_agg(distinct kind order by kind) from events where kind in (315, 316)"
    ) == [(3, [315, 316])]


def test_a_file_of_mandates_is_refused_whole() -> None:
    head = "member,product,reference,signed_on,most,holder,number,bank\n"
    (one,) = service.read_mandates(f"{head}1,apy,UMRN1,2023-04-01,500.00,Asha Example,0001,\n".encode())
    assert (one.reference, one.bank, "Asha" in repr(one)) == ("UMRN1", "", False)
    for wrong in ("1,apy,UMRN 1,2023-04-01,5,A,1,", "1,apy,U,2023-02-30,5,A,1,", "1,apy,U,2023-04-01,-5,A,1,", "1,apy"):
        with pytest.raises(Invalid):
            service.read_mandates(f"{head}{wrong}\n".encode())
    with pytest.raises(Invalid):
        service.read_mandates(b"\xff")


async def test_two_people_stand_for_exactly_what_is_collected(debiting: Debiting) -> None:
    await debiting.give()
    with pytest.raises(Invalid):
        await debiting.prepare(date(2023, 4, 2))
    assert await debiting.prepare(date(2023, 4, 29)) == []
    made = await asyncio.gather(*(debiting.prepare() for _ in range(3)))
    (file,) = [one for files in made for one in files]
    with pytest.raises(SamePerson):
        await debiting.approve(file, actor="staff:1")
    with pytest.raises(errors.DebitsChanged):
        await debiting.approve(file, digest="0" * 64)
    with pytest.raises(errors.UnknownDebits):
        async with debiting.db.unit_of_work(debiting.tenant.tenant_id) as session:
            await service.approve_debits(session, 99, digest=file.digest, actor="staff:2")
    assert await debiting.write() == 0
    async with debiting.db.unit_of_work(debiting.tenant.tenant_id) as session:
        await service.reject_debits(session, file.file_id, digest=file.digest, actor="staff:2")
    with pytest.raises(errors.DebitsDecided):
        await debiting.approve(file)
    assert await debiting.states() == [("dropped", "")]

    (again,) = await debiting.prepare()
    await debiting.end()
    with pytest.raises(errors.DebitsChanged):
        await debiting.approve(again)
    assert await debiting.offences() == []


async def test_a_file_is_written_once_and_not_under_a_mandate_that_ended(debiting: Debiting) -> None:
    await debiting.give()
    (file,) = await debiting.prepare()
    await debiting.approve(file)
    await debiting.end()
    assert await debiting.write() == 0
    await debiting.give(1)
    (other,) = await debiting.prepare()
    await debiting.approve(other)
    assert sum(await asyncio.gather(*(debiting.write() for _ in range(3)))) == 1
    async with debiting.db.unit_of_work(debiting.tenant.tenant_id) as session:
        first, second = [
            await service.debit_file(session, debiting.keys, debiting.tenant, other.file_id) for _ in range(2)
        ]
        with pytest.raises(errors.UnknownDebits):
            await service.debit_file(session, debiting.keys, debiting.tenant, file.file_id)
    assert first == second
    assert b"<MndtId>UMRN1</MndtId>" in first.raw
    assert b"<CtrlSum>116.00</CtrlSum>" in first.raw
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await debiting.rows("update debits set amount = 1")


async def test_nobody_is_asked_for_more_than_their_mandate_and_late_instalments_come_with_their_charge(
    debiting: Debiting,
) -> None:
    await debiting.give(0, most="115.99")
    await debiting.give(1, most="240.00")
    await until(debiting.db, debiting.tenant, date(2023, 6, 30))
    (file,) = await debiting.prepare(date(2023, 6, 30))
    assert file.debits == 1
    assert 232_00 <= file.total <= 240_00, "two of three instalments, and what their lateness costs"
    assert [row[0] for row in await debiting.rows("select member_id from debits")] == [debiting.members[1].member_id]


async def test_a_report_counts_once_and_one_that_disagrees_not_at_all(debiting: Debiting) -> None:
    await debiting.give()
    await until(debiting.db, debiting.tenant, DUE)
    file = await debiting.filed()
    for path in debiting.bank.site.for_us.iterdir():
        path.unlink()

    def report(ref: str, verdict: str, message_ref: str = "") -> bytes:
        return write_report(
            ref, DUE, message_ref=message_ref or file.message_ref, message="pain.008.001.08", whole=Verdict(verdict, "AM04" if verdict == "RJCT" else "")
        )  # fmt: skip

    for wrong in (report("R0", "RJCT", "DD0-77"), b"<html>502</html>"):
        with pytest.raises(errors.UnreadableDebitReport):
            await debiting.report(wrong)
    assert (await debiting.report(report("R1", "ACSC"))).taken == 1
    assert await debiting.states() == [("pending", "")], "the bank's word moves nothing"
    assert await debiting.settle() == service.DebitsSeen()
    read = [await debiting.report(report("R2", "RJCT")) for _ in range(2)]
    assert [(one.refused, one.is_known) for one in read] == [(1, False), (0, True)]
    assert await debiting.states() == [("refused", "insufficient-funds")]
    (later,) = await debiting.prepare()
    assert (later.sequence, later.total) == ("FRST", 116_00)


async def test_a_statement_shows_what_was_refused_and_it_is_received(debiting: Debiting) -> None:
    """A bank that says no and pays all the same: the money is there, so it is the member's."""
    await debiting.give()
    await until(debiting.db, debiting.tenant, DUE)
    file = await debiting.filed()
    refused = Verdict("RJCT", "AM04")
    await debiting.report(
        write_report("R9", DUE, message_ref=file.message_ref, message="pain.008.001.08", whole=refused)
    )
    debiting.bank.end_day()
    await debiting.collect()
    assert await debiting.settle() == service.DebitsSeen(paid=1)
    assert await debiting.states() == [("paid", "")]
    await until(debiting.db, debiting.tenant, date(2023, 5, 31))
    (following,) = await debiting.prepare(date(2023, 5, 31))
    assert following.sequence == "RCUR"
    assert await debiting.offences() == []


async def test_a_crash_between_the_receipt_and_its_note_receives_once(
    debiting: Debiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    await debiting.give()
    await until(debiting.db, debiting.tenant, DUE)
    await debiting.filed()
    debiting.bank.end_day()
    await debiting.collect()

    async def stopping(*_: object) -> None:
        raise Stopped

    monkeypatch.setattr(queries, "note", stopping)
    with pytest.raises(Stopped):
        await debiting.settle()
    monkeypatch.undo()
    assert await debiting.rows("select count(*)::int from events where kind = 10") == [(1,)]
    await reconciliation.match_statements(debiting.db, debiting.tenant, actor="staff:3")
    await debiting.settle()
    assert await debiting.rows("select count(*)::int from events where kind = 10") == [(1,)]
    assert await debiting.states() == [("paid", "")]
    assert await debiting.offences() == []


async def test_the_worker_carries_all_of_it_by_sftp(debiting: Debiting, tmp_path: Path) -> None:
    await debiting.give()
    await until(debiting.db, debiting.tenant, DUE)
    async with served("sftp", debiting.bank.site, new_keys()) as travels:
        table: dict[str, object] = {
            "pays_from": "auto-debit", "holder": "A Scheme", "number": OURS, "bank": "HDFCINBB", "sender": "SCHEME",
            "creditor_ref": "NACH00000000012345", "since": date(2020, 1, 1),
        }  # fmt: skip
        worker = Worker(debiting.db, debiting.keys, debiting.tenant, tmp_path, {"bank": table | travels})
        (file,) = await debiting.prepare()
        await worker.turn()
        assert debiting.bank.site.got() == [], "nobody has approved it"
        await debiting.approve(file)
        await worker.turn()
        await worker.turn()
        assert [one.name for one in debiting.bank.site.got()] == [f"{file.message_ref}.xml"]
        debiting.bank.take_files()
        debiting.bank.end_day()
        await worker.turn()
        await worker.turn()
        assert await debiting.states() == [("paid", "")]
        assert await debiting.offences() == []
