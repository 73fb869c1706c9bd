"""Deaths told by a simulated register over HTTP: matched, confirmed once, doubted, taken back by two."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import KeySet, RSAKey

from engine.access.errors import SamePerson
from engine.app import LAWS, adapter
from engine.enrolment import service
from engine.enrolment.errors import NothingToDecide, UnknownDeath, UnknownMember
from engine.enrolment.rules import Application, ConsentGiven, DeathState, DocumentGiven
from engine.enrolment.service import Death, Enrolled, Enrolment
from engine.identity import service as identity
from engine.kernel.transport import Callback
from engine.ledger import service as ledger
from engine.outside import Joined, Outside, register
from engine.runtime.counterparty_file import CounterpartyFile
from engine.runtime.database import Database, driver
from engine.runtime.exchanges import callbacks
from engine.runtime.exchanges.transport import open_transport
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant
from integrations.messaging.simulating import Fault, HttpServer
from integrations.registries.dci.simulator import DciSimulator
from integrations.registries.dci.wire import Registry
from tests.factories.schemes import serve
from tests.factories.wallets import PACE, write_counterparties

RULES = """
[[rule]]
kind = "name-match"
id = "names-of-the-dead"
purpose = "claim"
accept_bp = 9400
look_bp = 7000
source = "Invented"
confidence = "high"

[[rule]]
kind = "identity-check"
id = "register-knows-nid"
document = "nid"
at_joining = false
register_kind = "NID"
source = "Invented"
confidence = "high"
"""
OURS = RSAKey.generate_key(2048, {"kid": "ours"})
ITS = RSAKey.generate_key(2048, {"kid": "of-the-register"})
OTHER = RSAKey.generate_key(2048, {"kid": "of-the-register"})


@dataclass
class Place:
    db: Database
    keys: FileKeyStore
    tenant: Tenant
    simulator: DciSimulator
    server: HttpServer
    joined: Joined
    secret: str

    async def enrol(self, name: str = "Jean Bosco Invented") -> tuple[Enrolled, str]:
        """Enrol a person; return them and their number."""
        number = f"119808{secrets.randbelow(10**7):07d}012"
        consents = tuple(
            ConsentGiven(consent=one, language="en", version=found.version, channel="agent")
            for one in ("scheme-rules", "personal-data")
            if (found := self.tenant.pack.consent(one, "en")) is not None
        )
        application = Application(
            product="ltss",
            full_name=name,
            born_on=date(1980, 5, 1),
            sex="male",
            phone="+250788123456",
            language="en",
            consents=consents,
            documents=(DocumentGiven("nid", number),),
        )
        (answer,) = await service.enrol(
            self.db, self.tenant, self.keys, [Enrolment(secrets.token_hex(8), application)], actor="partner:1"
        )
        assert isinstance(answer, Enrolled), answer
        return answer, number

    def record(self, number: str, *, drn: str = "2023-17", **changes: Any) -> dict[str, Any]:
        return {
            "identifier": [
                {"identifier_type": "DRN", "identifier_value": drn},
                {"identifier_type": "NID", "identifier_value": number},
            ],
            "name": {"surname": "Invented", "given_name": "Jean", "second_name": "Bosco"},
            "birth_date": "1980-05-01",
            "death_date": "2023-03-30",
            **changes,
        }

    async def tell(self, body: bytes) -> None:
        """Let a notice arrive, and a worker look."""
        callback = Callback(method="POST", body=body)
        await callbacks.take(self.joined.exchanges, self.tenant.tenant_id, service.REGISTER, self.secret, callback)
        await self.work()

    async def work(self) -> None:
        await callbacks.read_all(self.joined.exchanges, self.tenant.tenant_id)
        await self.joined.exchanges.work(self.tenant.tenant_id)

    async def waiting(self) -> list[Death]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.list_deaths(session, self.keys, self.tenant, most=10, actor="staff:2")

    async def suspended(self, *members: Enrolled) -> list[bool]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            found = await service.suspended(session, [one.member_id for one in members])
        return [one.member_id in found for one in members]

    async def decide(self, notice: int, **said: Any) -> DeathState:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.decide_death(
                session, self.keys, self.tenant, notice, reason="certificate-seen", actor="staff:2", **said
            )

    async def propose(self, notice: int, actor: str) -> DeathState:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.propose_reversal(session, self.tenant, notice, reason="member-appeared", actor=actor)

    async def approve(self, notice: int, actor: str) -> DeathState:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.approve_reversal(session, self.tenant, notice, actor=actor)

    async def select(self, sql: str) -> list[tuple[Any, ...]]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            connection = await driver(session)
            return list(await (await connection.execute(sql.encode())).fetchall())

    async def notices(self) -> list[tuple[Any, ...]]:
        return await self.select("select state, why from death_notices order by notice_id")

    async def offences(self) -> list[Any]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return list(await ledger.check(session, LAWS))


@asynccontextmanager
async def place(db: Database, keys: FileKeyStore, folder: Path, port: str = "CivilRegistry") -> AsyncIterator[Place]:
    changes = {"[adapters]\n": f'[adapters]\n{port} = "dci"\n'}
    tenant = await serve(db, folder / "packs", "rw-ejoheza", changes=changes, rules={"ltss": RULES}, scenarios=False)
    registry = Registry(base_url="", sender_id="akiba", receiver_id="crvs", reg_type="ns:org:RegistryType:Civil")
    simulator = DciSimulator(registry, ITS, KeySet([OURS]), [])
    async with open_transport(seconds=2) as transport, HttpServer(simulator) as server:
        table = {
            "base_url": server.url,
            "sender_id": "akiba",
            "receiver_id": "crvs",
            "reg_type": "ns:org:RegistryType:Civil",
            "signing_key": OURS.as_pem(private=True).decode(),
            "signing_key_id": "ours",
            "its_key": ITS.as_pem(private=False).decode(),
            "its_key_id": "of-the-register",
            "pace": PACE,
        }
        joined_to = {service.REGISTER: table} if port == "CivilRegistry" else {service.SOCIAL: table}
        write_counterparties(folder, {tenant.code: joined_to})
        file = CounterpartyFile(folder / "counterparties.toml")
        joined = Outside(db, keys, file, "http://127.0.0.1:1", adapter, transport).of(tenant)
        address = (await register(joined, db, tenant, service.REGISTER)).address if port == "CivilRegistry" else ""
        yield Place(db, keys, tenant, simulator, server, joined, address.rpartition("/")[2])


async def test_a_death_is_confirmed_once_however_often_it_is_told(
    db: Database, keys: FileKeyStore, tmp_path: Path
) -> None:
    async with place(db, keys, tmp_path) as at:
        (dead, number), (living, _) = await at.enrol(), await at.enrol("Somebody Else")
        for _ in range(2):
            await at.tell(at.simulator.notice(at.record(number)))
        notices, suspended = await at.notices(), await at.suspended(dead, living)
        events = await at.select(
            "select kind::int, member_id, body::text from events where kind in (7, 113) order by event_id"
        )
        rows = await at.select("select document from death_notices")
        words = await at.select("select attribute, value, as_of from member_attributes")
        offences = await at.offences()

    assert notices == [("confirmed", "")]
    assert suspended == [True, False]
    assert [(kind, member) for kind, member, _ in events] == [(113, dead.member_id), (7, dead.member_id)]
    assert not any("Invented" in body or number in body or "2023-17" in body for _, _, body in events)
    assert b"Invented" not in rows[0][0]
    assert words == [("life", "deceased", date(2023, 3, 30))]
    assert offences == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"name": {"surname": "Inventede", "given_name": "Jean", "second_name": "Bosco"}}, "name"),
        ({"name": {"surname": "Karangwa", "given_name": "Mugisha"}}, "name"),
        ({"birth_date": "1980-05-02"}, "birth-date"),
        ({"name": None, "birth_date": None}, "number-alone"),
        ({"death_date": None}, "day-of-death"),
        ({"death_date": "2093-01-01"}, "day-of-death"),
    ],
)
async def test_a_doubt_suspends_nobody_until_a_person_decides(
    db: Database, keys: FileKeyStore, tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    async with place(db, keys, tmp_path) as at:
        member, number = await at.enrol()
        await at.tell(at.simulator.notice(at.record(number, **changes)))
        [death] = await at.waiting()
        before = await at.suspended(member)
        state = await at.decide(death.notice, is_member=True)
        after = await at.suspended(member)
        with pytest.raises(NothingToDecide):
            await at.decide(death.notice, is_member=False)
        offences = await at.offences()

    assert (death.state, death.why, death.member, death.member_name) == (
        DeathState.DOUBTFUL,
        why,
        member.number,
        "Jean Bosco Invented",
    )
    assert state is DeathState.CONFIRMED
    assert (before, after) == ([False], [True])
    assert offences == []


async def test_a_death_of_nobody_known_is_given_to_a_member_by_a_person_or_to_nobody(
    db: Database, keys: FileKeyStore, tmp_path: Path
) -> None:
    async with place(db, keys, tmp_path) as at:
        member, _ = await at.enrol()
        for drn in ("2023-18", "2023-19"):
            await at.tell(at.simulator.notice(at.record("1198080000000012", drn=drn)))
        first, second = await at.waiting()
        with pytest.raises(UnknownMember):
            await at.decide(first.notice, is_member=True)
        given = await at.decide(first.notice, is_member=True, number=member.number)
        left = await at.decide(second.notice, is_member=False)
        suspended = await at.suspended(member)
        with pytest.raises(UnknownDeath):
            await at.decide(10**9, is_member=False)
        offences = await at.offences()

    assert (first.state, first.member) == (DeathState.UNMATCHED, "")
    assert (given, left, suspended) == (DeathState.CONFIRMED, DeathState.NOT_OURS, [True])
    assert offences == []


async def test_whom_a_notice_without_our_number_may_be_of_is_proposed_and_never_acted_on(
    db: Database, keys: FileKeyStore, tmp_path: Path
) -> None:
    async with place(db, keys, tmp_path) as at:
        (dead, _), (namesake, _), (other, _) = (
            await at.enrol("Bosko Jean Inventede"), await at.enrol("Jean Invented"), await at.enrol("Somebody Else"),
        )  # fmt: skip
        counts = [await service.index_names(db, keys, at.tenant) for _ in range(2)]
        stranger = "119808999999901299"
        await at.tell(at.simulator.notice(at.record(stranger)))
        await at.tell(at.simulator.notice(at.record(stranger, drn="2023-18", birth_date="1981-01-05")))
        await at.tell(at.simulator.notice(at.record(stranger, drn="2023-19", birth_date="1980-01-05")))
        shown = {one.notice: [each.member for each in one.candidates] for one in await at.waiting()}
        suspended = await at.suspended(dead, namesake, other)
        raw = await at.select("select w::text from name_tokens w")
        async with db.unit_of_work(at.tenant.tenant_id) as session:
            await identity.erase(session, namesake.member_id, actor="staff:2", business_date=date(2023, 4, 3))
        left = await at.select("select count(*) from name_tokens where member_id = " + str(namesake.member_id))
        ((notice, candidates), *_) = [(one.notice, one.candidates) for one in await at.waiting()]
        state = await at.decide(notice, is_member=True, number=dead.number)
        offences = await at.offences()

    assert counts == [3, 0]
    same_birth, other_year, day_and_month_changed_places = shown.values()
    assert set(same_birth) == set(day_and_month_changed_places) == {dead.number, namesake.number}
    assert other_year == []
    assert suspended == [False, False, False]
    assert not any("Invented" in row for (row,) in raw)
    assert left == [(0,)]
    assert [one.member for one in candidates] == [dead.number]
    assert state is DeathState.CONFIRMED
    assert offences == []


async def test_a_wrong_death_is_taken_back_by_two(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    async with place(db, keys, tmp_path) as at:
        member, number = await at.enrol()
        await at.tell(at.simulator.notice(at.record(number)))
        [(notice,)] = await at.select("select notice_id from death_notices")
        proposed = await at.propose(notice, "staff:1")
        meanwhile = await at.suspended(member)
        with pytest.raises(SamePerson):
            await at.approve(notice, "staff:1")
        races = await asyncio.gather(*(at.approve(notice, f"staff:{n}") for n in (2, 3)), return_exceptions=True)
        after = await at.suspended(member)
        await at.tell(at.simulator.notice(at.record(number)))  # the same record does not kill twice
        again = await at.suspended(member)
        words = await at.select("select value from member_attributes order by event_id")
        reversed_offences = await at.offences()
        await at.tell(at.simulator.notice(at.record(number, drn="2023-99")))  # another record does
        later = await at.suspended(member)
        offences = await at.offences()

    assert proposed is DeathState.REVERSAL_PROPOSED
    assert (meanwhile, after, again, later) == ([True], [False], [False], [True])
    assert sorted(type(one).__name__ for one in races) == ["DeathState", "NothingToDecide"]
    assert words == [("deceased",), ("alive",)]
    assert reversed_offences == offences == []


async def test_a_record_that_its_register_takes_back(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    async with place(db, keys, tmp_path) as at:
        member, number = await at.enrol()
        await at.tell(at.simulator.notice(at.record(number)))
        await at.tell(at.simulator.notice(at.record(number, registration_status="VOID")))
        [death] = await at.waiting()
        before = await at.suspended(member)
        await at.approve(death.notice, "staff:1")
        after = await at.suspended(member)
        await at.tell(at.simulator.notice(at.record(number, drn="2023-20", registration_status="VOID")))
        notices, offences = await at.notices(), await at.offences()

    assert (death.state, before, after) == (DeathState.REVERSAL_PROPOSED, [True], [False])
    assert [state for state, _ in notices] == ["reversed", "void"]
    assert offences == []


async def test_one_of_two_records_that_is_wrong_leaves_the_other(
    db: Database, keys: FileKeyStore, tmp_path: Path
) -> None:
    async with place(db, keys, tmp_path) as at:
        member, number = await at.enrol()
        for drn in ("2023-30", "2023-31"):
            await at.tell(at.simulator.notice(at.record(number, drn=drn)))
        [(notice,)] = await at.select("select min(notice_id) from death_notices")
        await at.propose(notice, "staff:1")
        await at.approve(notice, "staff:2")
        suspended, offences = await at.suspended(member), await at.offences()

    assert suspended == [True]
    assert offences == []


async def test_what_the_register_did_not_sign_changes_nothing(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    async with place(db, keys, tmp_path) as at:
        member, number = await at.enrol()
        whole = at.simulator.notice(at.record(number))
        forger = DciSimulator(at.simulator._own, OTHER, KeySet([OURS]), [])
        forger._own = at.simulator._own
        for body in (
            whole[: len(whole) // 2],
            forger.notice(at.record(number)),
            b"<html>",
            whole.replace(b"Bosco", b"Basco"),
        ):
            await at.tell(body)
        notices, suspended = await at.notices(), await at.suspended(member)

    assert notices == []
    assert suspended == [False]


@pytest.mark.parametrize("fault", [None, Fault.DROPPED, Fault.UNAVAILABLE, Fault.HTML_PAGE, Fault.HALF_A_BODY])
async def test_the_register_is_asked_every_day_about_everybody_who_lives(
    db: Database, keys: FileKeyStore, tmp_path: Path, fault: Fault | None
) -> None:
    async with place(db, keys, tmp_path) as at:
        (dead, number), (living, _) = await at.enrol(), await at.enrol("Somebody Else")
        at.simulator.records.append(at.record(number))
        if fault:
            at.server.faults.plan(fault)
        opened = [await service.open_sweep(db, at.joined.exchanges, at.tenant) for _ in range(2)]
        async with asyncio.timeout(10):
            while not await at.notices():
                await at.work()
                await asyncio.sleep(0.02)
        notices, suspended = await at.notices(), await at.suspended(dead, living)
        offences = await at.offences()

    assert opened == [2, 0]
    assert notices == [("confirmed", "")]
    assert suspended == [True, False]
    assert offences == []


async def test_a_row_that_was_changed_is_seen_by_the_law(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    async with place(db, keys, tmp_path) as at:
        _, number = await at.enrol()
        await at.tell(at.simulator.notice(at.record(number)))
        await at.select("update death_notices set state = 'reversed' returning 1")
        offences = await at.offences()

    assert [one.law for one in offences] == ["deaths-are-in-the-books"]


@pytest.mark.parametrize(("name", "words"), [("Ubudehe 2", [("ubudehe-2", date(2023, 1, 1))]), ("Unheard-of", [])])
async def test_a_register_of_households_gives_members_their_class_once(
    db: Database, keys: FileKeyStore, tmp_path: Path, name: str, words: list[tuple[str, date]]
) -> None:
    async with place(db, keys, tmp_path, "SocialRegistry") as at:
        _, number = await at.enrol()
        await at.enrol("Somebody Else")
        at.simulator.records.append(
            {
                "identifier": [{"identifier_type": "NID", "identifier_value": number}],
                "class": name,
                "registration_date": "2023-01-01",
            }
        )
        opened = [await service.open_sweep(db, at.joined.exchanges, at.tenant) for _ in range(2)]
        for _ in range(2):
            await at.work()
        asked = await at.select("select outcome from exchanges")
        found = await at.select("select value, as_of from member_attributes where attribute = 'class'")
        offences = await at.offences()

    assert opened == [2, 0]
    assert asked == [("succeeded",)]
    assert found == words
    assert offences == []
