"""Enrolment of one and of thousands against a real database."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace
from sqlalchemy import text

from engine.enrolment import errors, service
from engine.enrolment.rules import Application, DocumentGiven
from engine.enrolment.service import Answer, Enrolled, Enrolment
from engine.identity import service as identity
from engine.kernel.errors import EngineError
from engine.kernel.ids import is_member_number
from engine.ledger import service as ledger
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

from .conftest import aadhaar

Make = Callable[..., Application]
PERSONAL = ("Lakshmi", "Meera", "Ravi", "9876543", "1987-04-15", "2010-01-02", "Rampur", "daughter")


async def enrol(
    db: Database, tenant: Tenant, keys: FileKeyStore, *enrolments: Enrolment, actor: str = "partner:1"
) -> list[Answer]:
    return await service.enrol(db, tenant, keys, enrolments, actor=actor)


async def rows(db: Database, tenant: Tenant, sql: str) -> list[tuple[Any, ...]]:
    async with db.unit_of_work(tenant.tenant_id) as session:
        return [tuple(row) for row in (await session.execute(text(sql))).all()]


def codes(answers: Sequence[Answer]) -> list[str]:
    return [answer.code if isinstance(answer, EngineError) else "enrolled" for answer in answers]


async def test_a_person_is_taken_in(db: Database, grouped: Tenant, keys: FileKeyStore, applying: Make) -> None:
    (answer,) = await enrol(db, grouped, keys, Enrolment("k1", applying()))

    assert isinstance(answer, Enrolled)
    assert is_member_number(answer.number)
    assert (len(answer.number), answer.number[:2]) == (12, "50")
    assert (answer.product, answer.joined_on.isoformat(), answer.group_code) == ("main", "2023-04-03", "north")
    async with db.unit_of_work(grouped.tenant_id) as session:
        found = await service.find_member(session, keys, answer.number)
        people = await identity.read_people(session, keys, [found.member_id], actor="staff:1", reason="test")
    person = people[found.member_id]
    assert person.member_number == answer.number
    assert person.person.full_name == "Lakshmi Devi 1"
    assert person.person.documents[0].number == aadhaar(1)
    assert [one.full_name for one in person.nominees] == ["Meera Devi", "Ravi Devi"]


async def test_events_say_what_happened_and_nothing_of_whom(
    db: Database, grouped: Tenant, keys: FileKeyStore, applying: Make
) -> None:
    (answer,) = await enrol(db, grouped, keys, Enrolment("k1", applying()))
    assert isinstance(answer, Enrolled)

    events = await rows(db, grouped, "select kind, body, member_id, business_date::text from events order by event_id")

    assert [event[0] for event in events] == [1, 2, 3]
    assert {event[2] for event in events} == {answer.member_id}
    assert {event[3] for event in events} == {"2023-04-03"}
    assert events[0][1] == {"product": "main", "documents": ["aadhaar"], "group": "north"}
    assert [one["consent"] for one in events[1][1]["consents"]] == ["personal-data", "scheme-rules"]
    assert {one["channel"] for one in events[1][1]["consents"]} == {"agent"}
    assert all(len(one["version"]) == 16 for one in events[1][1]["consents"])
    assert events[2][1] == {"count": 2, "shares_bp": [6_000, 4_000]}
    trace = await rows(
        db, grouped, "select d.trace from decisions d join events e on e.decision = d.decision_id limit 1"
    )
    assert trace[0][0]["rules"][0] == "joining-age@2020-04-01"


async def test_nothing_personal_is_outside_the_vault(
    db: Database,
    grouped: Tenant,
    keys: FileKeyStore,
    applying: Make,
    superuser_url: str,
    database_urls: tuple[str, str],
) -> None:
    (answer,) = await enrol(db, grouped, keys, Enrolment("kk-unlikely-key", applying(seed=77)))
    assert isinstance(answer, Enrolled)
    database = psycopg.conninfo.conninfo_to_dict(database_urls[0])["dbname"]
    with psycopg.connect(superuser_url, dbname=database) as everyone:
        tables = everyone.execute(
            "select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' "
            "where c.relkind in ('r', 'p') and not c.relispartition"
        ).fetchall()
        assert len(tables) > 15
        for (table,) in tables:
            stored = str(
                everyone.execute(f'select t::text from "{table}" t where tenant_id = {grouped.tenant_id}').fetchall()
            )
            for word in (*PERSONAL, aadhaar(77), answer.number, "kk-unlikely-key"):
                assert word not in stored, (table, word)


async def test_the_same_key_and_application_are_answered_alike(
    db: Database, grouped: Tenant, keys: FileKeyStore, applying: Make
) -> None:
    first = await enrol(db, grouped, keys, Enrolment("k1", applying()))
    again = await enrol(db, grouped, keys, Enrolment("k1", applying()))
    other_body = await enrol(db, grouped, keys, Enrolment("k1", applying(address="elsewhere")))
    other_person = await enrol(db, grouped, keys, Enrolment("k1", applying(seed=2)))
    other_key = await enrol(db, grouped, keys, Enrolment("k2", applying()))
    other_sender = await enrol(db, grouped, keys, Enrolment("k1", applying(seed=3)), actor="partner:2")

    assert isinstance(first[0], Enrolled)
    assert again == first
    assert codes([*other_body, *other_person]) == ["enrolment.key-reused"] * 2
    assert codes(other_key) == ["enrolment.already-member"]
    assert codes(other_sender) == ["enrolled"]
    assert await rows(db, grouped, "select count(*) from members") == [(2,)]


async def test_a_refusal_binds_no_key(db: Database, grouped: Tenant, keys: FileKeyStore, applying: Make) -> None:
    assert codes(await enrol(db, grouped, keys, Enrolment("k1", applying(group="")))) == ["enrolment.group-missing"]
    assert codes(await enrol(db, grouped, keys, Enrolment("k1", applying()))) == ["enrolled"]


async def test_one_bad_item_fails_no_neighbour(
    db: Database, grouped: Tenant, keys: FileKeyStore, applying: Make
) -> None:
    answers = await enrol(
        db,
        grouped,
        keys,
        Enrolment("a", applying(1)),
        Enrolment("b", applying(2, full_name=" ")),
        Enrolment("c", applying(3)),
        Enrolment("d", applying(1)),  # the first one's person again
        Enrolment("a", applying(1)),  # the first one again
        Enrolment("a", applying(4)),  # its key for another person
        Enrolment("e", applying(5, product="none")),
        Enrolment("b", applying(2, full_name=" ")),
    )

    assert codes(answers) == [
        "enrolled",
        "identity.unusable-name",
        "enrolled",
        "enrolment.already-member",
        "enrolled",
        "enrolment.key-reused",
        "tenancy.unknown-product",
        "identity.unusable-name",
    ]
    assert answers[4] == answers[0]
    assert await rows(db, grouped, "select count(*) from members") == [(2,)]


async def test_who_is_already_a_member_is_not_told_who(
    db: Database, grouped: Tenant, keys: FileKeyStore, applying: Make
) -> None:
    first = await enrol(db, grouped, keys, Enrolment("k1", applying()))
    (refused,) = await enrol(db, grouped, keys, Enrolment("k2", applying(full_name="Somebody Else")))

    assert isinstance(first[0], Enrolled)
    assert isinstance(refused, errors.AlreadyMember)
    assert refused.details == {"product": "main"}
    assert await rows(db, grouped, "select count(*) from person_indexes where purpose = 2") == [(1,)]


async def test_a_reissued_card_is_the_same_person(
    db: Database, opened: Tenant, keys: FileKeyStore, applying_openly: Make
) -> None:
    def card(number: str) -> Application:
        return applying_openly(documents=(DocumentGiven("nid", number),))

    answers = await enrol(
        db, opened, keys, Enrolment("a", card("1199070012345012")), Enrolment("b", card("1 1990 7 0012345 1 34"))
    )

    assert codes(answers) == ["enrolled", "enrolment.already-member"]


async def test_two_enrolments_of_one_person_at_once_take_in_one(
    db: Database, grouped: Tenant, keys: FileKeyStore, applying: Make
) -> None:
    keys.tenant(grouped.tenant_id)

    answers = await asyncio.gather(
        *(enrol(db, grouped, keys, Enrolment(f"k{n}", applying(full_name=f"Name {n}"))) for n in range(6))
    )

    assert Counter(codes([one for (one,) in answers])) == {"enrolled": 1, "enrolment.already-member": 5}
    assert await rows(db, grouped, "select count(*) from members") == [(1,)]


async def test_one_request_sent_many_times_at_once_has_one_answer(
    db: Database, grouped: Tenant, keys: FileKeyStore, applying: Make
) -> None:
    keys.tenant(grouped.tenant_id)

    answers = await asyncio.gather(*(enrol(db, grouped, keys, Enrolment("k1", applying())) for _ in range(6)))

    assert all(answer == answers[0] for answer in answers)
    assert codes(answers[0]) == ["enrolled"]
    assert await rows(db, grouped, "select count(*) from members") == [(1,)]


async def test_one_key_for_two_people_at_once_takes_in_one(
    db: Database, grouped: Tenant, keys: FileKeyStore, applying: Make
) -> None:
    keys.tenant(grouped.tenant_id)

    answers = await asyncio.gather(*(enrol(db, grouped, keys, Enrolment("k1", applying(n))) for n in range(1, 7)))

    assert Counter(codes([one for (one,) in answers])) == {"enrolled": 1, "enrolment.key-reused": 5}
    assert await rows(db, grouped, "select count(*) from members") == [(1,)]
    assert await rows(db, grouped, "select count(*), count(distinct member_id) from person_indexes") == [(2, 1)], (
        "whoever lost left nothing reserved"
    )
    lost = next(n for n, (one,) in enumerate(answers, 1) if isinstance(one, EngineError))
    assert codes(await enrol(db, grouped, keys, Enrolment("k9", applying(lost)))) == ["enrolled"]


async def test_overlapping_batches_in_opposite_orders_lose_nobody(
    db: Database, grouped: Tenant, keys: FileKeyStore, applying: Make
) -> None:
    keys.tenant(grouped.tenant_id)
    people = [Enrolment(f"k{n}", applying(n)) for n in range(1, 61)]

    one, other, third = await asyncio.gather(
        enrol(db, grouped, keys, *people),
        enrol(db, grouped, keys, *people[::-1]),
        enrol(db, grouped, keys, *people[30:], *people[:30]),
    )

    assert codes(one) == ["enrolled"] * 60
    assert one == other[::-1]
    assert one == [*third[30:], *third[:30]]
    assert await rows(db, grouped, "select count(*) from members") == [(60,)]


async def test_the_books_agree_with_the_members(
    db: Database, grouped: Tenant, keys: FileKeyStore, applying: Make
) -> None:
    await enrol(db, grouped, keys, *(Enrolment(f"k{n}", applying(n)) for n in range(1, 11)))

    async with db.unit_of_work(grouped.tenant_id) as session:
        assert await ledger.check(session, identity.LAWS) == []


async def test_another_schemes_member_is_unknown(
    db: Database, grouped: Tenant, opened: Tenant, keys: FileKeyStore, applying: Make
) -> None:
    (answer,) = await enrol(db, grouped, keys, Enrolment("k1", applying()))
    assert isinstance(answer, Enrolled)

    async with db.unit_of_work(opened.tenant_id) as session:
        with pytest.raises(errors.UnknownMember):
            await service.find_member(session, keys, answer.number)
    assert await rows(db, opened, "select count(*) from members") == [(0,)]


async def test_a_retry_after_erasure_raises_nobody_from_the_dead(
    db: Database, grouped: Tenant, keys: FileKeyStore, applying: Make
) -> None:
    (answer,) = await enrol(db, grouped, keys, Enrolment("k1", applying()))
    assert isinstance(answer, Enrolled)
    async with db.unit_of_work(grouped.tenant_id) as session:
        await identity.erase(session, answer.member_id, actor="staff:1", business_date=answer.joined_on)

    assert codes(await enrol(db, grouped, keys, Enrolment("k1", applying()))) == ["enrolment.unknown-member"]
    assert codes(await enrol(db, grouped, keys, Enrolment("k2", applying()))) == ["enrolled"], "may join again"


async def test_two_thousand_are_taken_in_by_a_few_statements(
    db: Database, grouped: Tenant, keys: FileKeyStore, applying: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = applying()
    people = [
        Enrolment(f"k{n}", replace(template, documents=(DocumentGiven("aadhaar", aadhaar(n)),))) for n in range(2_000)
    ]
    statements: list[str] = []
    execute = psycopg.AsyncCursor.execute

    async def counted(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        statements.append(str(query)[:80])
        return await execute(self, query, *args, **kwargs)

    monkeypatch.setattr(psycopg.AsyncCursor, "execute", counted)
    answers = await enrol(db, grouped, keys, *people)
    monkeypatch.undo()

    assert codes(answers) == ["enrolled"] * 2_000
    assert len({one.number for one in answers if isinstance(one, Enrolled)}) == 2_000
    assert len(statements) <= 2 * 20, statements
    assert await rows(db, grouped, "select count(*) from members") == [(2_000,)]
    assert await rows(db, grouped, "select kind, count(*) from events group by kind order by kind") == [
        (1, 2_000),
        (2, 2_000),
        (3, 2_000),
    ]


CSV = """\
key,product,full_name,born_on,phone,document,document_number
k1,main,Uwimana,1990-06-01,0788 123 456,nid,1 1990 7 0012345 0 12
k2,main,Mukamana,1990-06-01,0788 123 457,nid,1 1991 7 0012345 0 12
k3,main,Habimana,1990-06-01,0788 123 458,nid,1 1990 8 0012346 0 12
k4,main,Uwera,soon,,nid,1 1990 8 0012347 0 12
"""


async def test_a_file_is_imported_as_the_api_would(db: Database, opened: Tenant, keys: FileKeyStore) -> None:
    progress: list[int] = []

    async def run() -> service.ImportReport:
        return await service.import_members(
            db, keys, opened, CSV.encode(), name="people.csv", actor="operator", progress=progress.append
        )

    report, again = await run(), await run()

    assert (report.rows, report.enrolled, sorted(report.numbers)) == (4, 2, [2, 4])
    assert [(one.row, one.field) for one in report.refused] == [(3, "documents[0]"), (5, "born_on")]
    assert "enrolment.document-contradicts" in str(report.refused[0])
    assert again.numbers == report.numbers
    assert progress == [3, 3]
    assert await rows(db, opened, "select count(*) from members") == [(2,)]


async def test_an_unreadable_file_enrols_nobody(db: Database, opened: Tenant, keys: FileKeyStore) -> None:
    with pytest.raises(errors.UnreadableFile):
        await service.import_members(db, keys, opened, b"\xff", name="people.csv", actor="operator")
