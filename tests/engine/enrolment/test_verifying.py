"""Members' identities checked by a simulated agency over HTTP: what it says, what it fails to say, and what people decide."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from engine.access.errors import SamePerson
from engine.app import LAWS, adapter
from engine.enrolment import service
from engine.enrolment.errors import CannotVerify, NothingToDecide, UnknownVerification
from engine.enrolment.rules import Application, ConsentGiven, DocumentGiven, VerificationState, judge
from engine.enrolment.service import Enrolled, Enrolment, Verification
from engine.identity import service as identity
from engine.ledger import service as ledger
from engine.outside import Joined, NoTransport, Outside
from engine.runtime.counterparty_file import CounterpartyFile
from engine.runtime.database import Database, driver
from engine.runtime.exchanges.transport import HttpTransport, open_transport
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant
from integrations.identity.mosip_ida.simulator import IdaSimulator, Resident
from integrations.messaging.simulating import Fault, HttpServer
from tests.factories.schemes import serve
from tests.factories.wallets import PACE, write_counterparties
from tests.integrations.identity.test_mosip_ida import IDA, OTHER, OURS

RULES = """
[[rule]]
kind = "name-match"
id = "names-on-joining"
purpose = "enrolment"
accept_bp = 9400
look_bp = 7000
source = "Invented"
confidence = "high"

[[rule]]
kind = "identity-check"
id = "agency-knows-nid"
document = "nid"
at_joining = {at_joining}
source = "Invented"
confidence = "high"

[[rule]]
kind = "kyc-tiers"
id = "levels"
levels = [{{ level = "basic", documents = ["nid"] }}, {{ level = "known", documents = ["nid"], channels = ["identity-agency"] }}]
over = "suspense"
source = "Invented"
confidence = "high"
"""
BORN = date(1988, 3, 4)
CODE = "111222"


@dataclass
class Place:
    db: Database
    keys: FileKeyStore
    tenant: Tenant
    residents: dict[str, Resident]
    simulator: IdaSimulator
    server: HttpServer
    folder: Path
    transport: HttpTransport
    joined: Joined

    def another_worker(self, transport: HttpTransport | NoTransport | None = None) -> Joined:
        file = CounterpartyFile(self.folder / "counterparties.toml")
        return Outside(self.db, self.keys, file, "http://127.0.0.1:1", adapter, transport or self.transport).of(
            self.tenant
        )

    async def enrol(self, name: str = "Uwase Invented", *, resident: str | None = None, **known: Any) -> Enrolled:
        """Enrol a person whom the agency knows by `resident`, or by the same name."""
        number = f"119887{secrets.randbelow(10**7):07d}012"
        self.residents[number] = Resident(
            **{"name": resident or name, "born_on": "1988/03/04", "one_time_code": CODE, **known}
        )
        consents = tuple(
            ConsentGiven(consent=one, language="en", version=found.version, channel="agent")
            for one in ("scheme-rules", "personal-data")
            if (found := self.tenant.pack.consent(one, "en")) is not None
        )
        (answer,) = await service.enrol(
            self.db,
            self.tenant,
            self.keys,
            [
                Enrolment(
                    secrets.token_hex(8),
                    Application(
                        product="ltss",
                        full_name=name,
                        born_on=BORN,
                        sex="female",
                        phone="+250788123456",
                        language="en",
                        consents=consents,
                        documents=(DocumentGiven("nid", number),),
                    ),
                )
            ],
            actor="partner:1",
        )
        assert isinstance(answer, Enrolled), answer
        return answer

    async def ask(self, member: Enrolled, *, actor: str = "staff:1", code: str = CODE) -> Verification:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.ask_agency(
                session,
                self.keys,
                self.tenant,
                self.joined.verifiers,
                number=member.number,
                document="nid",
                one_time_code=code,
                actor=actor,
            )

    async def found(self, reference: UUID) -> Verification:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.find_verification(session, self.keys, reference, actor="staff:1")

    async def decided(self, reference: UUID, *, seconds: float = 15) -> Verification:
        async with asyncio.timeout(seconds):
            while True:
                await self.joined.exchanges.work(self.tenant.tenant_id)
                found = await self.found(reference)
                if found.state is not VerificationState.ASKED:
                    return found
                await asyncio.sleep(0.02)

    async def select(self, sql: str) -> list[tuple[Any, ...]]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            connection = await driver(session)
            return list(await (await connection.execute(sql.encode())).fetchall())

    async def offences(self) -> list[Any]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return list(await ledger.check(session, LAWS))


@asynccontextmanager
async def place(db: Database, keys: FileKeyStore, folder: Path, *, at_joining: bool = False) -> AsyncIterator[Place]:
    rules = RULES.format(at_joining=str(at_joining).lower())
    changes = {"[adapters]\n": '[adapters]\nIdentityAgency = "mosip-ida"\n'}
    tenant = await serve(db, folder / "packs", "rw-ejoheza", changes=changes, rules={"ltss": rules}, scenarios=False)
    residents: dict[str, Resident] = {}
    simulator = IdaSimulator(IDA[0], IDA[1], OURS[1], residents)
    async with open_transport(seconds=2) as transport, HttpServer(simulator) as server:
        server.faults.seconds_late = 1.5
        pem = OURS[0].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        table = {
            **dict.fromkeys(("license_key", "partner_id", "api_key", "environment", "language"), "x"),
            "base_url": server.url,
            "domain_uri": "https://ida.example",
            "language": "eng",
            "ida_certificate": IDA[1].public_bytes(Encoding.PEM).decode(),
            "certificate": OURS[1].public_bytes(Encoding.PEM).decode(),
            "private_key": pem,
            "pace": PACE,
        }
        write_counterparties(folder, {tenant.code: {service.AGENCY: table}})
        file = CounterpartyFile(folder / "counterparties.toml")
        joined = Outside(db, keys, file, "http://127.0.0.1:1", adapter, transport).of(tenant)
        yield Place(db, keys, tenant, residents, simulator, server, folder, transport, joined)


async def test_a_member_is_verified_and_nothing_personal_leaves_the_vault(
    db: Database, keys: FileKeyStore, tmp_path: Path
) -> None:
    async with place(db, keys, tmp_path) as at:
        member = await at.enrol(resident="Invented Uwase")
        asked = await at.ask(member)
        again = await at.ask(member)
        done = await at.decided(asked.reference)
        rows = await at.select("select kinds, score_bp, document from verifications")
        events = await at.select("select kind::int, body::text from events where kind between 110 and 119")
        levels = await at.select("select level from memberships")
        offences = await at.offences()
        async with db.unit_of_work(at.tenant.tenant_id) as session:
            await identity.erase(session, member.member_id, actor="staff:2", business_date=BORN)
        erased = await at.select("select document from verifications")
        with pytest.raises(UnknownVerification):
            await at.found(asked.reference)

    assert asked.state is VerificationState.ASKED
    assert again.reference == asked.reference
    assert (done.state, done.score_bp) == (VerificationState.VERIFIED, 10_000)
    assert {"names", "born_on", "sex"} <= set(done.attributes)
    assert done.as_of is not None
    assert rows[0][2] is not None
    assert b"Uwase" not in rows[0][2]
    assert [kind for kind, _ in events] == [110]
    assert "Uwase" not in events[0][1]
    assert levels == [("known",)]
    assert offences == []
    assert erased == [(None,)]


@pytest.mark.parametrize(
    ("known", "code", "state", "why"),
    [
        ({"resident": "Uwase Inventede"}, CODE, VerificationState.DOUBTFUL, "name"),
        ({"resident": "Mugisha Karangwa"}, CODE, VerificationState.MISMATCH, "name"),
        ({"is_deactivated": True}, CODE, VerificationState.BLOCKED, ""),
        ({}, "000000", VerificationState.MISMATCH, ""),
    ],
)
async def test_each_answer_ends_in_its_own_state(
    db: Database,
    keys: FileKeyStore,
    tmp_path: Path,
    known: dict[str, Any],
    code: str,
    state: VerificationState,
    why: str,
) -> None:
    async with place(db, keys, tmp_path) as at:
        member = await at.enrol(**known)
        done = await at.decided((await at.ask(member, code=code)).reference)
        levels = await at.select("select level from memberships")
        offences = await at.offences()

    assert (done.state, done.why) == (state, why)
    assert levels == [("basic",)]
    assert offences == []


async def test_a_number_that_the_agency_does_not_know(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    async with place(db, keys, tmp_path) as at:
        member = await at.enrol()
        at.residents.clear()
        done = await at.decided((await at.ask(member)).reference)

    assert done.state is VerificationState.UNKNOWN_NUMBER


@pytest.mark.parametrize("fault", [Fault.LATE, Fault.DROPPED, Fault.UNAVAILABLE, Fault.HTML_PAGE, Fault.HALF_A_BODY])
async def test_an_agency_that_fails_to_answer_is_asked_again_and_decides_once(
    db: Database, keys: FileKeyStore, tmp_path: Path, fault: Fault
) -> None:
    async with place(db, keys, tmp_path) as at:
        at.server.faults.plan(fault)
        member = await at.enrol()
        done = await at.decided((await at.ask(member)).reference)
        events = await at.select("select kind::int from events where kind between 110 and 119")
        happened = at.server.faults.happened[fault]
        offences = await at.offences()

    assert happened == 1
    assert done.state is VerificationState.VERIFIED
    assert events == [(110,)]
    assert offences == []


async def test_an_answer_to_another_question_proves_nothing(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    async with place(db, keys, tmp_path) as at:
        member = await at.enrol()
        at.simulator.repeats = b'{"transactionID": "0000000000", "response": {"kycStatus": true}, "errors": null}'
        done = await at.decided((await at.ask(member)).reference)
        levels = await at.select("select level from memberships")

    assert done.state is VerificationState.NOT_PROVEN
    assert levels == [("basic",)]


async def test_a_certificate_that_does_not_match_leaves_the_question_open(
    db: Database, keys: FileKeyStore, tmp_path: Path
) -> None:
    async with place(db, keys, tmp_path) as at:
        member = await at.enrol()
        at.simulator._partner = OTHER[1]
        asked = await at.ask(member)
        for _ in range(4):
            await at.joined.exchanges.work(at.tenant.tenant_id)
            await asyncio.sleep(0.12)
        open_still = await at.found(asked.reference)
        at.simulator._partner = OURS[1]
        done = await at.decided(asked.reference)

    assert open_still.state is VerificationState.ASKED
    assert done.state is VerificationState.VERIFIED


async def test_a_worker_that_dies_before_or_after_the_call_leaves_one_decision(
    db: Database, keys: FileKeyStore, tmp_path: Path
) -> None:
    async with place(db, keys, tmp_path) as at:
        before, after = await at.enrol("Before Invented"), await at.enrol("After Invented")
        first = await at.ask(before)
        dying = at.another_worker(NoTransport())  # nothing leaves this process
        await dying.exchanges.work(at.tenant.tenant_id)
        done = await at.decided(first.reference)

        second = await at.ask(after)
        dying = at.another_worker()

        async def killed(*_: object) -> None:
            raise asyncio.CancelledError

        dying.exchanges._store_said = killed  # type: ignore[method-assign, assignment]
        await dying.exchanges.work(at.tenant.tenant_id)
        lost = await at.found(second.reference)
        done_after = await at.decided(second.reference)
        events = await at.select("select kind::int from events where kind between 110 and 119")

    assert lost.state is VerificationState.ASKED
    assert (done.state, done_after.state) == (VerificationState.VERIFIED, VerificationState.VERIFIED)
    assert events == [(110,), (110,)]


async def test_a_doubt_waits_for_a_second_person(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    async with place(db, keys, tmp_path) as at:
        same, other = await at.enrol(resident="Uwase Inventede"), await at.enrol(resident="Uwase Inventedo")
        references = [(await at.ask(one, actor="staff:1")).reference for one in (same, other)]
        for reference in references:
            assert (await at.decided(reference)).state is VerificationState.DOUBTFUL

        async def decide(reference: UUID, *, is_same_person: bool, actor: str) -> Verification:
            async with db.unit_of_work(at.tenant.tenant_id) as session:
                return await service.decide_doubt(
                    session,
                    keys,
                    at.tenant,
                    reference,
                    is_same_person=is_same_person,
                    reason="documents-seen",
                    actor=actor,
                )

        async with db.unit_of_work(at.tenant.tenant_id) as session:
            doubts = await service.list_doubts(session, keys, most=10, actor="staff:2")
        reads = await at.select("select actor from vault_reads where reason = 'identity-doubt'")
        with pytest.raises(SamePerson):
            await decide(references[0], is_same_person=True, actor="staff:1")
        taken = await decide(references[0], is_same_person=True, actor="staff:2")
        refused = await decide(references[1], is_same_person=False, actor="staff:2")
        with pytest.raises(NothingToDecide):
            await decide(references[0], is_same_person=False, actor="staff:3")
        levels = await at.select("select member_id, level from memberships")
        bodies = await at.select("select body->>'reason' from events where kind in (110, 111) order by event_id")
        offences = await at.offences()

    assert [(one.name, one.stated_names, one.why) for one in doubts] == [
        ("Uwase Invented", ("Uwase Inventede",), "name"),
        ("Uwase Invented", ("Uwase Inventedo",), "name"),
    ]
    assert reads == [("staff:2",)]
    assert (taken.state, refused.state) == (VerificationState.VERIFIED, VerificationState.MISMATCH)
    assert dict(levels) == {same.member_id: "known", other.member_id: "basic"}
    assert bodies == [("documents-seen",), ("documents-seen",)]
    assert offences == []


async def test_everybody_who_joins_is_asked_about_once(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    async with place(db, keys, tmp_path, at_joining=True) as at:
        for _ in range(3):
            await at.enrol(secrets.choice(("One", "Two")) + " Invented")
        counts = [await service.ask_about_joiners(db, keys, at.tenant, at.joined.verifiers) for _ in range(2)]
        asked = await at.select("select count(*)::int from verifications")

    assert counts == [3, 0]
    assert asked == [(3,)]


async def test_what_the_pack_does_not_check_is_not_asked(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    async with place(db, keys, tmp_path) as at:
        member = await at.enrol()
        unjoined = Outside(
            db, keys, CounterpartyFile(tmp_path / "none.toml"), "http://127.0.0.1:1", adapter, NoTransport()
        )
        with pytest.raises(CannotVerify):
            async with db.unit_of_work(at.tenant.tenant_id) as session:
                await service.ask_agency(
                    session,
                    keys,
                    at.tenant,
                    unjoined.of(at.tenant).verifiers,
                    number=member.number,
                    document="nid",
                    actor="x",
                )
        with pytest.raises(CannotVerify):
            async with db.unit_of_work(at.tenant.tenant_id) as session:
                await service.ask_agency(
                    session, keys, at.tenant, at.joined.verifiers, number=member.number, document="passport", actor="x"
                )


async def test_a_broken_row_is_seen_by_the_law(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    async with place(db, keys, tmp_path) as at:
        member = await at.enrol()
        await at.decided((await at.ask(member)).reference)
        await at.select("update verifications set state = 'mismatch' returning 1")
        offences = await at.offences()

    assert [one.law for one in offences] == ["answers-are-in-the-books"]


@pytest.mark.parametrize(
    ("stated", "stated_born_on", "state", "why"),
    [
        ((), None, VerificationState.VERIFIED, ""),
        ((), date(1988, 3, 5), VerificationState.DOUBTFUL, "birth-date"),
        (("Uwase Invented",), date(1988, 3, 5), VerificationState.DOUBTFUL, "birth-date"),
        (("Invented Uwase",), BORN, VerificationState.VERIFIED, ""),
        (("Uwase Inventid",), BORN, VerificationState.DOUBTFUL, "name"),
    ],
)
def test_a_scheme_without_thresholds_takes_the_same_words_alone(
    stated: tuple[str, ...], stated_born_on: date | None, state: VerificationState, why: str
) -> None:
    judged = judge(("Uwase Invented",), BORN, stated, stated_born_on, None)

    assert (judged.state, judged.why) == (state, why)
