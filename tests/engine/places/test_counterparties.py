"""Banks, funders and insurers joined by a table of the secrets file: the worker leaves and takes their files."""

from contextlib import AsyncExitStack
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from engine.places import service as places
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from integrations.banking.file_drops.simulator import DropSite
from integrations.banking.simulation.bank import SimulatedBank
from tests.engine.benefits.test_covering import _claim, _file, _saver, _sound
from tests.engine.benefits.test_filing import OURS, Banking
from tests.engine.benefits.test_paying import owing_of
from tests.engine.contributions import test_state_money as state_money
from tests.factories.carrying import WAYS, Worker, new_keys, served
from tests.factories.heirs import open_estates
from tests.factories.schemes import START, serve

SINCE = date(2020, 1, 1)


@pytest_asyncio.fixture(loop_scope="session")
async def banking(db: Database, keys: FileKeyStore, tmp_path: Path) -> Banking:
    speaks = {'code = "upi"\n': 'code = "upi"\nstatements = "camt"\n'}
    tenant = await serve(db, tmp_path / "packs", changes=speaks)
    bank = SimulatedBank(
        site=DropSite(tmp_path / "bank"), account=OURS, currency=tenant.asset, today=START.date(), balance=1_000_000
    )
    return Banking(await owing_of(db, keys, tenant), bank)


def bank_table(travels: dict[str, object], **other: object) -> dict[str, object]:
    table: dict[str, object] = {
        "pays_from": "upi",
        "holder": "A Scheme",
        "number": OURS,
        "bank": "HDFCINBB",
        "sender": "SCHEME",
    }
    return table | {"since": SINCE} | travels | other


async def came(worker: Worker) -> list[tuple[str, str]]:
    async with worker.db.unit_of_work(worker.tenant.tenant_id) as session:
        return [(one.kind, one.state) for one in reversed(await places.list_incoming(session))]


@pytest.mark.parametrize("way", WAYS)
async def test_payouts_leave_and_reports_and_statements_come_home(banking: Banking, tmp_path: Path, way: str) -> None:
    """What people had to carry: the file of payouts, the bank's report on it, and the statement that shows them gone."""
    site = banking.bank.site
    async with served(way, site, new_keys()) as travels:
        worker = Worker(banking.db, banking.keys, banking.tenant, tmp_path, {"bank": bank_table(travels)})
        banking.bank.closed.add("001")
        ones = await banking.approved(100_00, 200_00)
        file = await banking.file()
        assert file is not None
        await worker.turn()
        await worker.turn()
        assert [(one.name, one.raw) for one in site.got()] == [(file.name, file.raw)]

        banking.bank.take_files()
        await worker.turn()
        assert await came(worker) == [("report", "taken")]
        assert await banking.states(ones) == [("pending", "", False), ("failed", "not-registered", False)]
        banking.bank.end_day()
        await worker.turn()
        await banking.collect()
        assert set(await came(worker)) == {("report", "taken"), ("statement", "taken")}
        assert await banking.states(ones) == [("succeeded", "", True), ("failed", "not-registered", False)]
        assert list(site.for_us.iterdir()) == []
        assert len(list(site.taken.iterdir())) == len(await came(worker))
        site.put("nonsense.xml", b"<html>502</html>")
        await worker.turn()
        assert (await came(worker))[-1] == ("statement", "refused")
        assert await banking.owing.offences() == []


async def test_a_file_made_before_the_place_was_joined_stays_with_whoever_carried_it(
    banking: Banking, tmp_path: Path
) -> None:
    async with served("folder", banking.bank.site, new_keys()) as travels:
        later = bank_table(travels, since=date(2999, 1, 1))
        worker = Worker(banking.db, banking.keys, banking.tenant, tmp_path, {"bank": later})
        await banking.approved(100_00)
        assert await banking.file() is not None
        await worker.turn()
        assert banking.bank.site.got() == []


@pytest.mark.parametrize(
    "other", [{"since": None}, {"by": "pigeon"}, {"pays_from": "no-channel"}, {"place": {"inbox": 1}}, {"by": "http"}]
)
async def test_a_table_that_is_wrong_joins_no_place(banking: Banking, tmp_path: Path, other: dict[str, Any]) -> None:
    async with served("folder", banking.bank.site, new_keys()) as travels:
        table = {name: value for name, value in bank_table(travels, **other).items() if value is not None}
        worker = Worker(banking.db, banking.keys, banking.tenant, tmp_path, {"bank": table})
        assert not (await worker.turn()).places


async def test_claims_of_cover_leave_for_whoever_pays_and_answers_come_by_name(
    db: Database, tenant_id: int, tmp_path: Path
) -> None:
    estates = await open_estates(db, tenant_id, tmp_path, "rw-ejoheza", "2023-03-01T08:00:00")
    scheme, site = estates.scheme, DropSite(tmp_path / "insurer")
    member = await _saver(scheme, 18_000, date(2021, 12, 31))
    claim = await _claim(scheme, member, date(2022, 12, 24))
    await scheme.approve(claim)
    made = await _file(scheme)
    async with AsyncExitStack() as serving:
        tables = {}
        for name, party in (("insurer", "state"), ("other", "nobody")):
            at = site if name == "insurer" else DropSite(tmp_path / name)
            travels = await serving.enter_async_context(served("sftp", at, new_keys()))
            tables[name] = {"files_for": party, "since": SINCE} | travels
        worker = Worker(db, scheme.keys, scheme.tenant, tmp_path, tables)
        await worker.turn()
        await worker.turn()
        (sent,) = site.got()
        assert sent.name == f"{scheme.tenant.pack.code}-cover-{made.file_no}.csv"
        assert str(claim.claim_id) in sent.raw.decode()
        assert list((tmp_path / "other" / "from-us").iterdir()) == []

        answers = f"claim,answer,reason\n{claim.claim_id},accepted,\n".encode()
        site.put("somebody-answers.csv", answers)
        site.put(sent.name.replace(".csv", "-answers.csv"), b"claim,answer,reason\nx,accepted,\n")
        await worker.turn()
        assert sorted(await came(worker)) == [("cover-answers", "refused"), ("unknown", "refused")]
        site.put(sent.name.replace(".csv", "-answers.csv"), answers + b"\n")
        await worker.turn()
        assert (await came(worker))[-1] == ("cover-answers", "taken")
        assert (await scheme.find(claim)).state == "payable"
        await _sound(scheme)


async def test_claims_of_state_money_leave_once_two_people_let_them_go(
    db: Database, tenant_id: int, tmp_path: Path
) -> None:
    scheme = await state_money.scheme_of(db, tenant_id, tmp_path)
    site = DropSite(tmp_path / "treasury")
    await scheme.member("ubudehe-1", [15_000])
    claim = await scheme.prepare()
    async with served("http", site, new_keys()) as travels:
        table = {"files_for": claim.funder, "since": SINCE} | travels
        worker = Worker(db, scheme.keys, scheme.tenant, tmp_path, {"treasury": table})
        await worker.turn()
        assert site.got() == []
        await scheme.send(claim)
        await worker.turn()
        await worker.turn()
        (sent,) = site.got()
    assert sent.name == f"{scheme.tenant.pack.code}-state-money-{claim.claim_no}.csv"
    assert claim.digest in sent.raw.decode().splitlines()[-1]
