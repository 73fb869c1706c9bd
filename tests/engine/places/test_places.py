"""Files leave for counterparties and come from them by folder, SFTP and HTTP: each once, whatever stops where."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from engine.app import adapter
from engine.kernel.file_drops import StagedDrop
from engine.kernel.files import NamedFile, Sequence
from engine.kernel.joining import Means
from engine.ledger import service as ledger
from engine.places import service
from engine.places.queries import LAWS
from engine.places.service import Leaving, Place, Taken
from engine.runtime import quarantine
from engine.runtime.database import Database, driver
from engine.runtime.exchanges import queries as exchange_queries
from engine.runtime.exchanges.engine import Counterparty, Exchanges
from engine.runtime.exchanges.pacing import Pace
from engine.runtime.exchanges.recording import RecordedDelivery
from engine.runtime.exchanges.transport import open_transport
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant
from integrations.banking.file_drops.folder import FolderDrop
from integrations.banking.file_drops.simulator import DropSite, Mischief
from tests.engine.funds.conftest import ROOT, scheme_of
from tests.factories.carrying import BRISK, WAYS, Keys, new_keys, served

FILE = NamedFile("PO1-1.xml", b"<Document/>" * 500)
PAYOUTS = Leaving("payouts", "PO1-1", FILE)


class Stopped(BaseException):
    """The process ends here."""


@dataclass
class Carrier:
    """One tenant and one place that it shares with a counterparty."""

    db: Database
    keys: FileKeyStore
    tenant: Tenant
    site: DropSite
    drop: StagedDrop
    read: list[NamedFile] = field(default_factory=list)

    def exchanges(self, drop: StagedDrop | None = None) -> Exchanges:
        """The exchanges of one process; `drop` may be one that dies."""
        operation = service.file_operation(RecordedDelivery(drop or self.drop, self.db, self.keys), self.tenant)
        bank = Counterparty("bank", {service.FILES: operation}, msgspec.convert(BRISK, Pace))
        return Exchanges(self.db, self.keys, {"bank": bank}, lambda *_: "https://scheme.example/callback")

    async def stage(self, leaving: Leaving = PAYOUTS) -> bool:
        place = Place("bank", self.drop, date(2023, 4, 1))
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.stage(session, self.exchanges(), place, leaving)

    async def work(self, drop: StagedDrop | None = None) -> None:
        await self.exchanges(drop).work(self.tenant.tenant_id)

    async def settle(self) -> None:
        """Work until what died is taken over and done."""
        for _ in range(3):
            await asyncio.sleep(0.12)
            await self.work()

    async def take(self, read: Callable[[NamedFile], Any] | None = None) -> int:
        async def take_in(file: NamedFile) -> Taken:
            self.read.append(file)
            return Taken("statement")

        return await service.take_files(self.db, self.keys, self.tenant, "bank", self.drop, read or take_in)

    async def out(self) -> list[tuple[str, str, int]]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            found = await service.list_outgoing(session)
        return sorted((one.name, one.state, one.attempt) for one in found)

    async def came(self) -> list[tuple[str, str, str]]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            found = await service.list_incoming(session)
        return [(one.name, one.state, one.reason) for one in reversed(found)]

    async def aside(self) -> list[tuple[str, str, str, int]]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return [(one.task, one.reason, one.owner, one.number) for one in await quarantine.waiting(session)]

    async def release(self, number: int) -> None:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            assert await quarantine.release(session, number, "operator:test")

    async def events(self) -> list[int]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            cursor = await (await driver(session)).execute("select kind from events where kind between 311 and 314")
            kinds = sorted(row[0] for row in await cursor.fetchall())
            assert await ledger.check(session, LAWS) == []
        return kinds


@pytest.fixture(scope="session")
def ssh_keys() -> Keys:
    return new_keys()


async def carrier_of(db: Database, tenant_id: int, folder: Path, drop: StagedDrop, site: DropSite) -> Carrier:
    scheme = await scheme_of(db, tenant_id, folder)
    return Carrier(db, scheme.keys, scheme.tenant, site, drop)


@pytest_asyncio.fixture(params=WAYS)
async def carrier(
    request: pytest.FixtureRequest, db: Database, tenant_id: int, tmp_path: Path, ssh_keys: Keys
) -> AsyncIterator[Carrier]:
    site = DropSite(tmp_path / "bank")
    async with served(request.param, site, ssh_keys) as table, open_transport(seconds=5) as transport:
        yield await carrier_of(db, tenant_id, tmp_path, joined(table, transport), site)


@pytest_asyncio.fixture
async def by_folder(db: Database, tenant_id: int, tmp_path: Path) -> Carrier:
    site = DropSite(tmp_path / "bank")
    return await carrier_of(db, tenant_id, tmp_path, FolderDrop(site.for_us, site.from_us, site.taken), site)


def joined(table: dict[str, Any], transport: Any) -> Any:
    joins = adapter("FileDrop", table["by"])
    means = Means(transport, None, None)  # type: ignore[arg-type]
    return joins.join(msgspec.convert(table["place"], joins.credentials), means)


# -- out


async def test_a_file_is_kept_before_its_first_byte_leaves_and_leaves_once(carrier: Carrier) -> None:
    assert await carrier.stage()
    assert not await carrier.stage()
    assert await carrier.out() == [("PO1-1.xml", "requested", 1)]
    assert list(carrier.site.from_us.iterdir()) == []
    async with carrier.db.unit_of_work(carrier.tenant.tenant_id) as session:
        ((sha256, size),) = await (
            await (await driver(session)).execute("select sha256, size from outgoing_files")
        ).fetchall()
    assert (sha256, size) == (FILE.sha256, len(FILE.raw))

    await carrier.work()
    await carrier.settle()
    assert carrier.site.got() == [FILE]
    assert [path.name for path in carrier.site.from_us.iterdir()] == [FILE.name]
    assert await carrier.out() == [("PO1-1.xml", "accepted", 1)]
    assert await carrier.events() == [311]
    assert not await carrier.stage()


@pytest.mark.parametrize("mischief", [Mischief.TIMEOUT_AFTER_SUCCESS, Mischief.UNAVAILABLE, Mischief.HALF_A_BODY])
@pytest.mark.parametrize("taken_at_once", [False, True], ids=["lies-there", "taken-at-once"])
async def test_a_connection_that_is_cut_leaves_each_file_once(
    carrier: Carrier, mischief: Mischief, *, taken_at_once: bool
) -> None:
    """At staging by HTTP, at handing over by both; also where the other side takes the file before we know."""
    if isinstance(carrier.drop, FolderDrop):
        return  # a folder has no connection
    await carrier.stage()
    carrier.site.will(mischief)
    await carrier.work()
    await asyncio.sleep(0.1)
    carrier.site.planned += [Mischief.TIMEOUT_AFTER_SUCCESS]
    await carrier.work()
    seen = carrier.site.got()
    if taken_at_once:
        for file in seen:
            (carrier.site.from_us / file.name).unlink()
    carrier.site.planned.clear()
    await carrier.settle()

    assert bool(carrier.site.got()) is not (taken_at_once and bool(seen))
    assert {one.raw for one in (*seen, *carrier.site.got())} == {FILE.raw}
    assert await carrier.out() == [("PO1-1.xml", "accepted", 1)]
    assert await carrier.events() == [311]


async def test_a_name_that_is_taken_by_other_bytes_is_never_written_over(carrier: Carrier) -> None:
    (carrier.site.from_us / FILE.name).write_bytes(b"somebody's")
    await carrier.stage()
    await carrier.work()
    assert await carrier.out() == [("PO1-1.xml", "rejected", 1)]

    assert await carrier.stage()
    await carrier.work()
    assert await carrier.out() == [("PO1-1-2.xml", "accepted", 2), ("PO1-1.xml", "rejected", 1)]
    assert [one.raw for one in carrier.site.got()] == [FILE.raw, b"somebody's"]
    assert await carrier.events() == [311, 312]


async def test_names_that_are_always_taken_are_left_to_people(by_folder: Carrier) -> None:
    names = ["PO1-1.xml", *(f"PO1-1-{number}.xml" for number in range(2, 9))]
    for name in names:
        (by_folder.site.from_us / name).write_bytes(b"somebody's")
    staged = 0
    for _ in range(8):
        staged += await by_folder.stage()
        await by_folder.work()
    assert staged == service.ATTEMPTS_MAX
    assert {one.raw for one in by_folder.site.got()} == {b"somebody's"}


async def test_two_workers_at_once_leave_one_file(carrier: Carrier) -> None:
    staged = await asyncio.gather(*(carrier.stage() for _ in range(5)))
    assert sum(staged) == 1
    await asyncio.gather(*(carrier.work() for _ in range(5)))
    await carrier.settle()
    assert carrier.site.got() == [FILE]
    assert await carrier.events() == [311]


def dying(drop: Any, point: str, die: Callable[[], Any]) -> Any:
    """Let a drop end its process at a point."""
    stage, hand_over = drop.stage, drop.hand_over

    async def staging(file: NamedFile) -> None:
        if point == "before-staging":
            die()
        await stage(file)
        if point == "staged":
            die()

    async def handing(file: NamedFile) -> bool:
        if point == "sent":
            die()
        found: bool = await hand_over(file)
        if point == "handed-over":
            die()
        return found

    drop.stage, drop.hand_over = staging, handing
    return drop


def stop() -> None:
    raise Stopped


@pytest.mark.parametrize("taken_at_once", [False, True], ids=["lies-there", "taken-at-once"])
@pytest.mark.parametrize("point", ["before-staging", "staged", "sent", "handed-over", "storing"])
async def test_a_crash_anywhere_leaves_a_file_once(
    carrier: Carrier, point: str, monkeypatch: pytest.MonkeyPatch, *, taken_at_once: bool
) -> None:
    await carrier.stage()
    if point == "storing":

        async def stopping(*_: object, **__: object) -> None:
            raise Stopped

        monkeypatch.setattr(exchange_queries, "store_standing", stopping)
    stage, hand_over = carrier.drop.stage, carrier.drop.hand_over
    await carrier.work(dying(carrier.drop, point, stop))
    monkeypatch.undo()
    carrier.drop.stage, carrier.drop.hand_over = stage, hand_over  # type: ignore[method-assign]
    seen = carrier.site.got()
    if taken_at_once:
        for file in seen:
            (carrier.site.from_us / file.name).unlink()
    await asyncio.sleep(0.3)  # until the lease of who died is over
    await carrier.settle()

    assert {one.raw for one in (*seen, *carrier.site.got())} == {FILE.raw}
    assert bool(carrier.site.got()) is not (taken_at_once and bool(seen))
    assert all(not path.name.startswith(".") for path in carrier.site.from_us.iterdir())
    assert await carrier.out() == [("PO1-1.xml", "accepted", 1)]
    assert await carrier.events() == [311]


@pytest.mark.parametrize("point", ["sent", "handed-over"])
@pytest.mark.parametrize("way", ["sftp", "http"])
async def test_a_process_killed_before_and_after_the_rename_leaves_a_file_once(
    db: Database, database_urls: tuple[str, str], tenant_id: int, tmp_path: Path, ssh_keys: Keys, way: str, point: str
) -> None:
    """A real process, a real server, and a counterparty that takes away at once what it sees."""
    site = DropSite(tmp_path / "bank")
    async with served(way, site, ssh_keys) as table, open_transport(seconds=5) as transport:
        carrier = await carrier_of(db, tenant_id, tmp_path, joined(table, transport), site)
        await carrier.stage()
        (tmp_path / "table.json").write_bytes(msgspec.json.encode(table))
        program = [sys.executable, "-m", "tests.engine.places.mortal_carrier"]
        killed = await asyncio.create_subprocess_exec(
            *program, database_urls[0], str(tenant_id), str(tmp_path), point, cwd=ROOT
        )
        assert await killed.wait() == -signal.SIGKILL

        taken = site.got()
        for file in taken:
            (site.from_us / file.name).unlink()
        await asyncio.sleep(0.3)
        await carrier.settle()
        assert [one.raw for one in (*taken, *site.got())] == [FILE.raw]
        assert bool(taken) is (point == "handed-over")
        assert await carrier.out() == [("PO1-1.xml", "accepted", 1)]
        assert await carrier.events() == [311]


async def test_a_server_with_another_key_gets_nothing_and_the_file_waits(
    db: Database, tenant_id: int, tmp_path: Path, ssh_keys: Keys
) -> None:
    site = DropSite(tmp_path / "bank")
    other = new_keys()
    async with served("sftp", site, ssh_keys) as table, open_transport(seconds=5) as transport:
        place: Any = table["place"]
        right = joined(table, transport)
        for wrong in (
            place | {"host_key": other.server},
            place | {"private_key": other.ours_private},
            place | {"private_key": "none"},
        ):
            carrier = await carrier_of(db, tenant_id, tmp_path, joined(table | {"place": wrong}, transport), site)
            await carrier.stage()
            await carrier.work()
            assert await carrier.out() == [("PO1-1.xml", "requested", 1)]
        assert list(site.from_us.iterdir()) == []

        carrier = await carrier_of(db, tenant_id, tmp_path, right, site)
        await carrier.settle()
        assert site.got() == [FILE]


# -- in


async def test_a_file_is_kept_then_put_away_and_taken_once_by_its_bytes(carrier: Carrier) -> None:
    carrier.site.put("a.xml", b"one")
    assert await carrier.take() == 1
    assert await carrier.take() == 0
    assert [path.read_bytes() for path in carrier.site.taken.iterdir()] == [b"one"]

    carrier.site.put("again.xml", b"one")
    carrier.site.put("a.xml", b"corrected")
    assert await carrier.take() == 1
    assert await carrier.came() == [("a.xml", "taken", ""), ("a.xml", "taken", "")]
    assert [one.raw for one in carrier.read] == [b"one", b"corrected"]
    assert list(carrier.site.for_us.iterdir()) == []
    assert await carrier.events() == [313, 313]


async def test_what_is_kept_is_sealed(by_folder: Carrier) -> None:
    by_folder.site.put("a.csv", b"Asha Example")
    await by_folder.take()
    async with by_folder.db.unit_of_work(by_folder.tenant.tenant_id) as session:
        cursor = await (await driver(session)).execute("select document from incoming_files")
        ((document,),) = await cursor.fetchall()
    assert b"Asha" not in document


async def test_a_file_that_cannot_be_read_is_put_aside_once_and_holds_up_no_other(by_folder: Carrier) -> None:
    by_folder.site.put("a.xml", b"one")
    by_folder.site.put("b.xml", b"two")
    tries = 0

    async def stumble(file: NamedFile) -> Taken:
        nonlocal tries
        if file.name == "a.xml":
            tries += 1
            raise RuntimeError
        by_folder.read.append(file)
        return Taken("statement")

    assert await by_folder.take(stumble) == 1
    assert await by_folder.take(stumble) == 0
    assert tries == 1
    assert await by_folder.came() == [("a.xml", "put-aside", "RuntimeError"), ("b.xml", "taken", "")]
    assert list(by_folder.site.for_us.iterdir()) == []
    ((piece, reason, owner, number),) = await by_folder.aside()
    assert (piece, reason, owner) == (service.READING, "RuntimeError", "operator")
    assert await by_folder.take() == 0

    await by_folder.release(number)
    assert await by_folder.take() == 1
    assert await by_folder.aside() == []
    assert [one.name for one in by_folder.read] == ["b.xml", "a.xml"]
    assert await by_folder.events() == [313, 313]


async def test_a_file_that_is_not_as_agreed_stays_and_is_not_fetched_again_until_a_person_lets_it(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("folder", "sftp", "http"):
        monkeypatch.setattr(f"integrations.banking.file_drops.{module}.BYTES_MAX", 1000)
    fetched = []
    fetch = type(carrier.drop).fetch

    async def counted(drop: Any, name: str) -> NamedFile:
        fetched.append(name)
        found: NamedFile = await fetch(drop, name)
        return found

    monkeypatch.setattr(type(carrier.drop), "fetch", counted)
    carrier.site.put("large.xml", b"1" * 1001)
    carrier.site.put("small.xml", b"1")
    assert await carrier.take() == 1
    assert await carrier.take() == 0
    assert fetched == ["large.xml", "small.xml"]
    ((piece, reason, owner, number),) = await carrier.aside()
    assert (piece, reason, owner) == (service.FETCHING, "too-large", "operator")
    assert [path.name for path in carrier.site.for_us.iterdir()] == ["large.xml"]

    (carrier.site.for_us / "large.xml").write_bytes(b"1" * 999)
    await carrier.release(number)
    assert await carrier.take() == 1
    assert await carrier.aside() == []
    assert await carrier.came() == [("small.xml", "taken", ""), ("large.xml", "taken", "")]


async def test_a_refused_file_changes_nothing_and_its_bytes_may_come_again(by_folder: Carrier) -> None:
    async def refuse(_file: NamedFile) -> Taken:
        return Taken("statement", "not yet " * 200)

    by_folder.site.put("a.xml", b"one")
    assert await by_folder.take(refuse) == 1
    ((_, state, reason),) = await by_folder.came()
    assert (state, len(reason)) == ("refused", service.REASON_MAX)
    by_folder.site.put("a.xml", b"one")
    assert await by_folder.take() == 1
    assert await by_folder.came() == [("a.xml", "taken", "")]
    assert await by_folder.events() == [313, 314]


async def test_a_crash_before_a_file_is_put_away_brings_it_again_and_it_is_read_once(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    carrier.site.put("a.xml", b"one")

    async def stopping(_file: NamedFile) -> bool:
        raise Stopped

    put_away = carrier.drop.put_away
    monkeypatch.setattr(type(carrier.drop), "put_away", lambda _self, file: stopping(file))
    with pytest.raises(Stopped):
        await carrier.take()
    monkeypatch.undo()
    assert carrier.drop.put_away == put_away
    assert [path.name for path in carrier.site.for_us.iterdir()] == ["a.xml"]
    await carrier.take()
    assert list(carrier.site.for_us.iterdir()) == []
    assert await carrier.came() == [("a.xml", "taken", "")]
    assert len(carrier.read) == 1


async def test_half_a_body_is_no_file(db: Database, tenant_id: int, tmp_path: Path, ssh_keys: Keys) -> None:
    site = DropSite(tmp_path / "bank")
    async with served("http", site, ssh_keys) as table, open_transport(seconds=5) as transport:
        carrier = await carrier_of(db, tenant_id, tmp_path, joined(table, transport), site)
        site.put("a.xml", b"one" * 1000)
        for mischief in (Mischief.HALF_A_BODY, Mischief.HTML_ERROR, Mischief.UNAVAILABLE):
            site.will(mischief)
            with pytest.raises(Exception, match=r"answer|list|Remote|peer|closed"):
                await carrier.take()
        site.planned.clear()
        assert await carrier.came() == []
        assert await carrier.take() == 1
        assert carrier.read == [NamedFile("a.xml", b"one" * 1000)]


async def test_two_workers_at_once_take_a_file_in_once(carrier: Carrier) -> None:
    for number in range(4):
        carrier.site.put(f"{number}.xml", str(number).encode())
    taken = await asyncio.gather(*(carrier.take() for _ in range(3)))
    assert sum(taken) == 4
    assert [state for _, state, _ in await carrier.came()] == ["taken"] * 4
    assert await carrier.events() == [313] * 4


async def test_a_number_that_did_not_come_is_missing_until_it_does(by_folder: Carrier) -> None:
    async def numbered(file: NamedFile) -> Taken:
        return Taken("prices", "", Sequence("PFM", int(file.raw)))

    async def missing() -> list[tuple[str, int]]:
        async with by_folder.db.unit_of_work(by_folder.tenant.tenant_id) as session:
            return [(one.sender, one.number) for one in await service.list_missing(session)]

    for number in (7, 8, 11):
        by_folder.site.put(f"{number}.csv", str(number).encode())
    await by_folder.take(numbered)
    assert await missing() == [("PFM", 9), ("PFM", 10)]
    by_folder.site.put("late.csv", b"9")
    await by_folder.take(numbered)
    assert await missing() == [("PFM", 10)]
