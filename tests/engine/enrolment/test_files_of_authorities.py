"""Members verified by files: those that an authority signed and they hand over, and those of an agency without an API."""

import asyncio
import base64
import csv
import io
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.app import LAWS
from engine.enrolment import service
from engine.enrolment.api.numbers import NumberController
from engine.enrolment.errors import BatchFileRefused, CannotVerify, ProofRefused, ProofUsed, UnknownBatch
from engine.enrolment.rules import Judged, VerificationState, judge_number
from engine.enrolment.service import BatchAnswers, Enrolled, Enrolment, Verification, Verifiers, batches, verifying
from engine.identity import service as identity
from engine.kernel.clock import business_date
from engine.kernel.files import NamedFile
from engine.ledger import service as ledger
from engine.runtime.database import Database, driver
from engine.runtime.exchanges.engine import Exchanges
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant
from integrations.identity.aadhaar_offline.adapter import AadhaarOffline
from integrations.identity.aadhaar_offline.simulator import AadhaarSimulator
from integrations.identity.csv_files.adapter import Agency, CsvVerifier
from tests.factories.routes import routes
from tests.factories.schemes import application, serve

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
id = "agency-knows-aadhaar"
document = "aadhaar"
at_joining = false
source = "Invented"
confidence = "high"
"""
CODE = "4fG7"
NOW = datetime.now(UTC)
"""Certificates are believed while they are valid by this machine's clock."""
HEAD = ["reference", "result", "full_name", "born_on", "sex", "as_of"]


@dataclass
class Place:
    db: Database
    keys: FileKeyStore
    tenant: Tenant
    uidai: AadhaarSimulator
    verifiers: Verifiers

    async def enrol(self, name: str = "Meera Invented") -> tuple[Enrolled, str]:
        asked = application(self.tenant, name=name)
        (answer,) = await service.enrol(
            self.db, self.tenant, self.keys, [Enrolment(secrets.token_hex(8), asked)], actor="partner:1"
        )
        assert isinstance(answer, Enrolled), answer
        return answer, asked.documents[0].number

    def issue(self, number: str, name: str, *, days: int = 1) -> bytes:
        person = {"number": number, "name": name, "dob": "01-05-1990", "gender": "F"}
        return self.uidai.issue(person, CODE, made=NOW - timedelta(days=days))

    async def hand_over(
        self, member: Enrolled, raw: bytes, *, secret: str = CODE, verifiers: Verifiers | None = None
    ) -> Verification:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.verify_by_file(
                session, self.keys, self.tenant, verifiers or self.verifiers, number=member.number, document="aadhaar",
                raw=raw, secret=secret, actor="staff:1",
            )  # fmt: skip

    async def make(self, most: int = 100) -> NamedFile | None:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.make_batch(session, self.keys, self.tenant, self.verifiers, actor="staff:1", most=most)

    async def take(self, file: NamedFile) -> BatchAnswers:
        return await service.take_answers(self.db, self.keys, self.tenant, self.verifiers, file)

    async def select(self, sql: str) -> list[tuple[Any, ...]]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            connection = await driver(session)
            return list(await (await connection.execute(sql.encode())).fetchall())

    async def offences(self) -> list[Any]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return list(await ledger.check(session, LAWS))

    async def erase(self, member: Enrolled) -> None:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            await identity.erase(session, member.member_id, actor="staff:2", business_date=NOW.date())


@pytest.fixture
async def at(db: Database, keys: FileKeyStore, tmp_path: Path) -> Place:
    tenant = await serve(db, tmp_path, start=None, rules={"nps-lite": RULES}, scenarios=False)
    uidai = AadhaarSimulator(NOW)
    verifiers = Verifiers(
        Exchanges(db, keys, {}, lambda *_: ""),
        offline=AadhaarOffline([uidai.signer], age_max=timedelta(days=3)),
        batches=CsvVerifier(Agency(authority="invented-agency")),
    )
    return Place(db, keys, tenant, uidai, verifiers)


def asked(file: NamedFile | None) -> list[dict[str, str]]:
    assert file is not None
    rows = list(csv.DictReader(io.StringIO(file.raw.decode())))
    assert rows[-1]["reference"] == "#count"
    return rows[:-1]


def answers(file: NamedFile, said: Callable[[dict[str, str]], tuple[str, str]]) -> NamedFile:
    """Return the agency's file that answers another: `said` gives (result, name) of a row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEAD)
    rows = asked(file)
    for row in rows:
        result, name = said(row)
        as_of = "2026-04-01T08:00:00+05:30" if result == "match" else ""
        writer.writerow((row["reference"], result, name, row["born_on"] if name else "", "", as_of))
    writer.writerow(("#count", len(rows)))
    return NamedFile(file.name.replace("ask-", "answers-"), text.getvalue().encode())


async def test_a_signed_file_verifies_its_member_once_and_is_kept_sealed(at: Place) -> None:
    member, number = await at.enrol()
    raw = at.issue(number, "Invented Meera")
    done = await at.hand_over(member, raw)
    again = await at.hand_over(member, raw)
    kept = await at.select("select document from offline_documents")
    events = await at.select("select kind::int, body::text from events where kind between 110 and 112")
    offences = await at.offences()
    await at.erase(member)

    assert (done.state, done.score_bp, done.source) == (VerificationState.VERIFIED, 10_000, service.OFFLINE)
    assert {"names", "born_on", "sex", "address"} <= set(done.attributes)
    assert done.as_of == business_date(NOW - timedelta(days=1), at.tenant.time_zone)
    assert again == done
    assert len(kept) == 1
    assert raw not in kept[0][0]
    assert [kind for kind, _ in events] == [110]
    assert number not in events[0][1]
    assert offences == []
    assert await at.select("select document from offline_documents") == [(None,)]


async def test_a_signed_file_is_handed_over_http(at: Place) -> None:
    member, number = await at.enrol()
    raw = at.issue(number, "Invented Meera")
    given = {"document": "aadhaar", "file": base64.b64encode(raw).decode(), "share_code": CODE}
    path = f"/v1/members/{member.number}/offline-documents"
    async with routes(at.tenant, at.db, NumberController, keys=at.keys, verifiers=at.verifiers) as client:
        done = await client.post(path, json=given)
        assert (done.status_code, done.json()["state"], done.json()["score_bp"]) == (200, "verified", 10_000), done.text
        assert number not in done.text
        assert (await client.post(path, json=given)).json() == done.json()
        wrong = await client.post(path, json=given | {"share_code": "0000"})
        assert (wrong.status_code, wrong.json()["code"]) == (422, "enrolment.proof-refused")
        nobody = await client.post("/v1/members/100000000000/offline-documents", json=given)
        assert nobody.status_code == 404
    assert [kind for (kind,) in await at.select("select kind::int from events where kind between 110 and 112")] == [110]
    assert await at.offences() == []


async def test_another_ones_file_proves_nothing_of_a_member(at: Place) -> None:
    member, number = await at.enrol()
    other, others = await at.enrol("Rahul Example")
    mismatch = await at.hand_over(member, at.issue(others, "Rahul Example"))
    spelt = await at.hand_over(member, at.issue(number, "Meera Inventedi"))
    waiting = await at.hand_over(member, at.issue(number, "Meera Invented"))
    raw = at.issue(others, "Rahul Example", days=2)
    assert (await at.hand_over(other, raw)).state is VerificationState.VERIFIED
    with pytest.raises(ProofUsed):
        await at.hand_over(member, raw)

    assert (mismatch.state, mismatch.why) == (VerificationState.MISMATCH, "name")
    assert (spelt.state, spelt.why) == (VerificationState.DOUBTFUL, "name")
    assert waiting == spelt
    assert await at.offences() == []


async def test_a_file_of_another_number_is_looked_at_by_people(at: Place) -> None:
    member, number = await at.enrol()
    other = number[:-4] + ("1111" if number[-4:] != "1111" else "2222")
    done = await at.hand_over(member, at.issue(other, "Meera Invented"))
    assert (done.state, done.why) == (VerificationState.DOUBTFUL, "number")


@pytest.mark.parametrize(
    ("spoil", "secret", "reason"),
    [
        (lambda raw: raw, "aaaa", "wrong-share-code"),
        (lambda raw: raw[:-40], CODE, "unreadable"),
        (lambda _: b"no archive", CODE, "unreadable"),
    ],
)
async def test_a_file_that_proves_nothing_leaves_nothing(
    at: Place, spoil: Callable[[bytes], bytes], secret: str, reason: str
) -> None:
    member, number = await at.enrol()
    with pytest.raises(ProofRefused) as refused:
        await at.hand_over(member, spoil(at.issue(number, "Meera Invented")), secret=secret)
    assert refused.value.details["reason"] == reason
    assert await at.select("select from verifications") == []


async def test_an_old_file_and_a_scheme_without_files_are_refused(at: Place) -> None:
    member, number = await at.enrol()
    with pytest.raises(ProofRefused) as refused:
        await at.hand_over(member, at.issue(number, "Meera Invented", days=4))
    with pytest.raises(CannotVerify):
        await at.hand_over(
            member,
            at.issue(number, "Meera Invented"),
            verifiers=Verifiers(Exchanges(at.db, at.keys, {}, lambda *_: "")),
        )
    assert refused.value.details["reason"] == "too-old"


async def test_one_file_for_two_members_at_once_counts_for_one(at: Place) -> None:
    members = [(await at.enrol())[0] for _ in range(2)]
    raw = at.issue("999941057053", "Meera Invented")
    done = await asyncio.gather(*(at.hand_over(one, raw) for one in members), return_exceptions=True)
    assert sorted(type(one).__name__ for one in done) == ["ProofUsed", "Verification"]
    assert len(await at.select("select from verifications")) == 1
    assert await at.offences() == []


async def test_each_answer_of_a_file_counts_on_its_own_and_once(at: Place) -> None:
    names = {"Meera Invented": ("match", "INVENTED Meera"), "Asha Example": ("match", "Somebody Else"),
             "Rahul Example": ("match", "Rahul Examplo"), "Nobody Known": ("not-found", ""),
             "Lost Card": ("not-in-force", ""), "Not Checked": ("not-checked", "")}  # fmt: skip
    members = {name: (await at.enrol(name))[0] for name in names}
    file = await at.make()
    rows = asked(file)
    assert file is not None
    async with at.db.unit_of_work(at.tenant.tenant_id) as session:
        again = await service.batch_again(session, at.keys, at.tenant, at.verifiers, 1, actor="staff:1")
    nobody = await at.make()
    answer = answers(file, lambda row: names[row["full_name"]])
    done = await at.take(answer)
    twice = await at.take(answer)
    states = dict(await at.select("select member_id, state from verifications"))
    stated = await at.select("select document from verifications where document is not null")
    (listed,) = await at.select("select questions from verification_batches")
    anew = asked(await at.make())

    assert {row["full_name"] for row in rows} == set(names)
    assert again == file
    assert nobody is None
    assert (done.taken, done.before, done.unknown) == (6, 0, 0)
    assert (twice.taken, twice.before, twice.unknown) == (0, 6, 0)
    expected = ["verified", "mismatch", "doubtful", "unknown-number", "blocked", "refused"]
    assert [states[members[name].member_id] for name in names] == expected
    assert listed == (6,)
    assert len(stated) == 3
    assert not any(b"INVENTED" in one for (one,) in stated)
    assert [row["full_name"] for row in anew] == ["Not Checked"]  # the agency did not look: it is asked again
    assert await at.offences() == []


async def test_a_file_cut_off_half_way_is_taken_again(at: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        await at.enrol()
    file = await at.make()
    assert file is not None
    answer = answers(file, lambda row: ("match", row["full_name"]))
    monkeypatch.setattr(batches, "_AT_ONCE", 2)
    once = verifying.record_outcomes
    calls = 0

    async def dying(*args: Any, **kwargs: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise asyncio.CancelledError
        await once(*args, **kwargs)

    monkeypatch.setattr(batches, "record_outcomes", dying)
    with pytest.raises(asyncio.CancelledError):
        await at.take(answer)
    monkeypatch.setattr(batches, "record_outcomes", once)
    done = await at.take(answer)

    assert (done.taken, done.before) == (3, 2)
    assert await at.select("select count(*) from events where kind = 110") == [(5,)]
    assert await at.offences() == []


async def test_one_file_taken_by_two_at_once_counts_once(at: Place) -> None:
    for _ in range(4):
        await at.enrol()
    file = await at.make()
    assert file is not None
    answer = answers(file, lambda row: ("match", row["full_name"]))
    done = await asyncio.gather(at.take(answer), at.take(answer))
    made = await asyncio.gather(at.make(), at.make())

    assert sorted((one.taken, one.before) for one in done) == [(0, 4), (4, 0)]
    assert await at.select("select count(*) from events where kind = 110") == [(4,)]
    assert list(made) == [None, None]
    assert await at.offences() == []


async def test_files_made_at_once_ask_about_nobody_twice(at: Place) -> None:
    for _ in range(6):
        await at.enrol()
    files = await asyncio.gather(at.make(3), at.make(3), at.make(3))
    references = [row["number"] for file in files if file is not None for row in asked(file)]
    assert sorted(len(asked(file)) if file else 0 for file in files) == [0, 3, 3]
    assert len(set(references)) == 6


async def test_what_is_no_answer_is_refused_whole(at: Place) -> None:
    member, _ = await at.enrol()
    file = await at.make()
    assert file is not None
    good = answers(file, lambda row: ("match", row["full_name"]))
    with pytest.raises(BatchFileRefused):
        await at.take(replace_raw(good, good.raw.replace(b"#count,1", b"#count,2")))
    with pytest.raises(UnknownBatch):
        await at.take(NamedFile("answers-another-1.csv", good.raw))
    stranger = await at.take(replace_raw(good, good.raw.replace(asked(file)[0]["reference"].encode(), b"nobody")))
    await at.erase(member)
    erased = await at.take(good)

    assert (stranger.taken, stranger.unknown) == (0, 1)
    assert erased.states == {"refused": 1}
    assert await at.offences() == []


def replace_raw(file: NamedFile, raw: bytes) -> NamedFile:
    return NamedFile(file.name, raw)


def test_a_number_that_ends_otherwise_makes_a_doubt_of_what_was_sure_alone() -> None:
    sure, other = Judged(VerificationState.VERIFIED, 9_800), Judged(VerificationState.MISMATCH, 100, "name")
    assert judge_number(sure, "123456", "3456") == sure
    assert judge_number(sure, "", "3456") == sure
    assert judge_number(sure, "123456", "") == sure
    assert judge_number(sure, "123456", "9999") == Judged(VerificationState.DOUBTFUL, 9_800, "number")
    assert judge_number(other, "123456", "9999") == other
