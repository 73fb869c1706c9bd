"""The vault, the blind indexes and erasure against a real database."""

import asyncio
import time
from collections.abc import Callable
from datetime import date
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import text

from engine.identity import queries, service
from engine.identity.errors import UnknownMember
from engine.identity.rules import CheckedNumber, MemberStatus, NewMember
from engine.identity.service import NumbersExhausted
from engine.kernel.ids import new_member_id
from engine.ledger import service as ledger
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.runtime.secrets import DecryptionFailed

Make = Callable[..., NewMember]
TABLES = ("members", "member_keys", "vault", "person_indexes", "vault_reads")
PERSONAL = ("Lakshmi", "Meera", "+919876543210", "234123412346", "1987-04-15", "Rampur", "daughter")


def document(number: str) -> list[CheckedNumber]:
    return [CheckedNumber("aadhaar", number, number)]


async def admitted(db: Database, keys: FileKeyStore, tenant_id: int, make: Make, count: int = 1) -> list[NewMember]:
    """Take `count` people in, with numbers of twelve digits."""
    async with db.unit_of_work(tenant_id) as session:
        ids = [new_member_id() for _ in range(count)]
        numbers = await service.reserve_numbers(session, keys, ids, digits=12, prefix="50")
        members = [make(numbers[member_id], member_id) for member_id in ids]
        await service.admit(session, keys, members)
    return members


async def raw(db: Database, tenant_id: int) -> str:
    """Everything that the tenant has in the identity's tables, the bytes of the ciphertexts as text too."""
    async with db.unit_of_work(tenant_id) as session:
        rows = [str((await session.execute(text(f"select t::text from {table} t"))).all()) for table in TABLES]
        vault = (await session.execute(text("select document from vault"))).scalars().all()
        wrapped = (await session.execute(text("select wrapped_dek from member_keys"))).scalars().all()
    return " ".join([*rows, *(str(bytes(one)) for one in [*vault, *wrapped] if one is not None)])


async def test_what_goes_in_comes_out_and_shows_nowhere(
    db: Database, keys: FileKeyStore, tenant_id: int, new_member: Make
) -> None:
    (member,) = await admitted(db, keys, tenant_id, new_member)

    async with db.unit_of_work(tenant_id) as session:
        people = await service.read_people(session, keys, [member.member_id], actor="staff:1", reason="test")

    assert people == {member.member_id: member.document}
    stored = await raw(db, tenant_id)
    assert str(member.member_id) in stored
    for word in (*PERSONAL, member.document.member_number):
        assert word not in stored


async def test_every_reading_is_noted_and_the_note_stands(
    db: Database, keys: FileKeyStore, tenant_id: int, new_member: Make
) -> None:
    members = await admitted(db, keys, tenant_id, new_member, 2)
    ids = sorted(one.member_id for one in members)

    async with db.unit_of_work(tenant_id) as session:
        await service.read_people(session, keys, [*ids, 12345], actor="partner:3", reason="statement")
        assert await service.read_people(session, keys, [], actor="partner:3", reason="nothing") == {}
        assert await service.read_people(session, keys, [12345], actor="partner:3", reason="nobody") == {}

    async with db.unit_of_work(tenant_id) as session:
        notes = (await session.execute(text("select actor, reason, member_ids from vault_reads"))).all()
    assert [tuple(note) for note in notes] == [("partner:3", "statement", ids)]
    with pytest.raises(Exception, match="permission denied"):
        async with db.unit_of_work(tenant_id) as session:
            await session.execute(text("delete from vault_reads"))


@pytest.mark.parametrize("what", ["document", "wrapped_dek", "both"])
async def test_a_value_pasted_into_another_members_row_does_not_open(
    db: Database,
    keys: FileKeyStore,
    tenant_id: int,
    new_member: Make,
    superuser_url: str,
    database_urls: tuple[str, str],
    what: str,
) -> None:
    one, other = await admitted(db, keys, tenant_id, new_member, 2)
    pair = {"from": one.member_id, "to": other.member_id}
    with psycopg.connect(superuser_url, dbname=psycopg.conninfo.conninfo_to_dict(database_urls[0])["dbname"]) as thief:
        if what in ("document", "both"):
            thief.execute(
                "update vault set document = (select document from vault where member_id = %(from)s) "
                "where member_id = %(to)s",
                pair,
            )
        if what in ("wrapped_dek", "both"):
            thief.execute(
                "update member_keys set wrapped_dek = (select wrapped_dek from member_keys where member_id = %(from)s) "
                "where member_id = %(to)s",
                pair,
            )

    async with db.unit_of_work(tenant_id) as session:
        with pytest.raises(DecryptionFailed):
            await service.read_people(session, keys, [other.member_id], actor="staff:1", reason="test")


async def test_another_format_version_does_not_open(
    db: Database, keys: FileKeyStore, tenant_id: int, new_member: Make
) -> None:
    (member,) = await admitted(db, keys, tenant_id, new_member)
    async with db.unit_of_work(tenant_id) as session:
        await session.execute(text("update vault set version = 2"))

    async with db.unit_of_work(tenant_id) as session:
        with pytest.raises(DecryptionFailed):
            await service.read_people(session, keys, [member.member_id], actor="staff:1", reason="test")


async def test_what_was_encrypted_before_a_rotation_still_opens(
    db: Database, keys: FileKeyStore, tenant_id: int, new_member: Make
) -> None:
    (before,) = await admitted(db, keys, tenant_id, new_member)
    keys.rotate(tenant_id)
    (after,) = await admitted(db, keys, tenant_id, new_member)

    async with db.unit_of_work(tenant_id) as session:
        people = await service.read_people(
            session, keys, [before.member_id, after.member_id], actor="staff:1", reason="test"
        )

    assert len(people) == 2


async def test_who_is_erased_is_gone_and_the_books_stay(
    db: Database, keys: FileKeyStore, tenant_id: int, new_member: Make
) -> None:
    one, other = await admitted(db, keys, tenant_id, new_member, 2)
    number = one.document.member_number
    async with db.unit_of_work(tenant_id) as session:
        await service.reserve_persons(session, keys, [(one.member_id, "main", document("234123412346"))])

    async with db.unit_of_work(tenant_id) as session:
        await service.erase(session, one.member_id, actor="staff:1", business_date=date(2024, 1, 2))

    async with db.unit_of_work(tenant_id) as session:
        assert await service.read_people(session, keys, [one.member_id], actor="staff:1", reason="test") == {}
        assert await service.members_by_number(session, keys, [number]) == {}
        refs = await service.members_by_id(session, [one.member_id, other.member_id])
        assert {member_id: ref.status for member_id, ref in refs.items()} == {
            one.member_id: MemberStatus.ERASED,
            other.member_id: MemberStatus.ACTIVE,
        }
        left = (
            await session.execute(
                text("""select (select count(*) from member_keys where member_id = :m),
                               (select count(*) from person_indexes where member_id = :m),
                               (select count(*) from vault where member_id = :m and document is not null)"""),
                {"m": one.member_id},
            )
        ).one()
        assert tuple(left) == (0, 0, 0)
        events = (await session.execute(text("select member_id, kind, body from events where kind = 4"))).all()
        assert [tuple(event) for event in events] == [(one.member_id, 4, {})]
        broken = await ledger.check(session, [law for law in service.LAWS if law.name == "the-erased-are-gone"])
        assert broken == []
        people = await service.read_people(session, keys, [other.member_id], actor="staff:1", reason="test")
        assert people[other.member_id] == other.document

    async with db.unit_of_work(tenant_id) as session:
        with pytest.raises(UnknownMember):
            await service.erase(session, one.member_id, actor="staff:1", business_date=date(2024, 1, 2))
        free = await service.reserve_persons(session, keys, [(new_member_id(), "main", document("234123412346"))])
        assert len(free) == 1, "who was erased may join again"


async def test_the_laws_name_what_is_wrong(db: Database, keys: FileKeyStore, tenant_id: int, new_member: Make) -> None:
    one, other = await admitted(db, keys, tenant_id, new_member, 2)
    async with db.unit_of_work(tenant_id) as session:
        await service.erase(session, one.member_id, actor="staff:1", business_date=date(2024, 1, 2))
        await session.execute(text("update vault set document = '\\x00' where member_id = :m"), {"m": one.member_id})
        await session.execute(text("delete from member_keys where member_id = :m"), {"m": other.member_id})

    async with db.unit_of_work(tenant_id) as session:
        offences = await ledger.check(session, service.LAWS)

    by_law = {offence.law: (offence.item, offence.found) for offence in offences}
    assert by_law["the-erased-are-gone"] == (f"member {one.member_id:x}", "erased, document")
    assert by_law["members-can-be-known"] == (f"member {other.member_id:x}", "document, number")
    assert by_law["members-were-enrolled"][1] != "", "these members were written without their events"


@pytest.mark.parametrize("table", TABLES)
async def test_each_tenant_sees_its_own(
    db: Database, keys: FileKeyStore, tenant_id: int, other_tenant: int, new_member: Make, table: str
) -> None:
    (member,) = await admitted(db, keys, tenant_id, new_member)
    async with db.unit_of_work(tenant_id) as session:
        await service.read_people(session, keys, [member.member_id], actor="staff:1", reason="test")

    seen = {}
    for tenant in (tenant_id, other_tenant, None):
        async with db.unit_of_work(tenant) as session:
            seen[tenant] = await session.scalar(text(f"select count(*) from {table}"))
    assert seen == {tenant_id: 1, other_tenant: 0, None: 0}

    async with db.unit_of_work(other_tenant) as session:
        assert await service.read_people(session, keys, [member.member_id], actor="staff:1", reason="test") == {}
        assert await service.members_by_number(session, keys, [member.document.member_number]) == {}
        with pytest.raises(UnknownMember):
            await service.erase(session, member.member_id, actor="staff:1", business_date=date(2024, 1, 2))


async def test_the_same_number_is_indexed_otherwise_for_each_tenant(
    db: Database, keys: FileKeyStore, tenant_id: int, other_tenant: int
) -> None:
    for tenant in (tenant_id, other_tenant):
        async with db.unit_of_work(tenant) as session:
            assert len(await service.reserve_persons(session, keys, [(new_member_id(), "main", document("1"))])) == 1


async def test_a_person_is_reserved_once_for_each_product(db: Database, keys: FileKeyStore, tenant_id: int) -> None:
    one, two, three, four = (new_member_id() for _ in range(4))
    async with db.unit_of_work(tenant_id) as session:
        free = await service.reserve_persons(
            session,
            keys,
            [
                (one, "main", document("1")),
                (two, "main", document("1")),
                (three, "other", document("1")),
                (four, "main", []),
            ],
        )
    assert free == {one, three, four}

    async with db.unit_of_work(tenant_id) as session:
        both = [*document("2"), CheckedNumber("passport", "P1", "P1")]
        assert await service.reserve_persons(session, keys, [(two, "main", [*document("1"), *both])]) == set()
        left = await session.scalar(text("select count(*) from person_indexes where member_id = :m"), {"m": two})
        assert left == 0, "nothing of who is not free stays reserved"
        assert await service.reserve_persons(session, keys, [(two, "main", both)]) == {two}
        await service.release(session, [two])
        assert await service.reserve_persons(session, keys, [(four, "main", both)]) == {four}


async def test_of_two_reserving_one_person_at_once_the_first_wins(
    db: Database, keys: FileKeyStore, tenant_id: int
) -> None:
    keys.tenant(tenant_id)
    entered = asyncio.Event()

    async def first() -> set[int]:
        async with db.unit_of_work(tenant_id) as session:
            free = await service.reserve_persons(session, keys, [(1, "main", document("7"))])
            entered.set()
            await asyncio.sleep(0.2)
            return free

    async def second() -> set[int]:
        await entered.wait()
        async with db.unit_of_work(tenant_id) as session:
            return await service.reserve_persons(session, keys, [(2, "main", document("7"))])

    assert tuple(await asyncio.gather(first(), second())) == ({1}, set())


async def test_batches_in_opposite_orders_do_not_deadlock(db: Database, keys: FileKeyStore, tenant_id: int) -> None:
    keys.tenant(tenant_id)
    people = [(index, "main", document(str(index))) for index in range(1, 201)]

    async def reserve(persons: list[tuple[int, str, list[CheckedNumber]]], offset: int) -> set[int]:
        async with db.unit_of_work(tenant_id) as session:
            return await service.reserve_persons(session, keys, [(one[0] + offset, *one[1:]) for one in persons])

    ways = [reserve(people, 1000), reserve(people[::-1], 2000), reserve(people[100:] + people[:100], 3000)]
    taken = await asyncio.gather(*ways)

    assert sorted(len(one) for one in taken) == [0, 0, 200]


async def test_digests_are_locked_in_their_order(db: Database, tenant_id: int) -> None:
    wanted = [(uuid4(), member_id) for member_id in range(1, 101)]

    async with db.unit_of_work(tenant_id) as session:
        written = await queries.reserve(session, "national-id", wanted)

    assert written == sorted(wanted)


async def test_numbers_that_are_taken_are_drawn_again_until_none_is_left(
    db: Database, keys: FileKeyStore, tenant_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter(["700", "718", "718", "700", "718", "726"])
    monkeypatch.setattr(service, "new_member_number", lambda _digits, _prefix: next(drawn))
    async with db.unit_of_work(tenant_id) as session:
        assert await service.reserve_numbers(session, keys, [1, 2, 3], digits=3, prefix="7") == {
            1: "700",
            2: "718",
            3: "726",
        }
    monkeypatch.undo()

    async with db.unit_of_work(tenant_id) as session:
        with pytest.raises(NumbersExhausted):
            await service.reserve_numbers(session, keys, list(range(4, 30)), digits=3, prefix="7")


async def test_a_thousand_numbers_are_looked_up_by_one_statement(
    db: Database, keys: FileKeyStore, tenant_id: int, new_member: Make
) -> None:
    members = await admitted(db, keys, tenant_id, new_member, 1000)
    numbers = [one.document.member_number for one in members]
    written = [f"{number[:4]} {number[4:]}" for number in numbers[:500]] + numbers[500:]
    async with db.unit_of_work(tenant_id) as session:
        await service.members_by_number(session, keys, written[:1])
        began = time.perf_counter()
        found = await service.members_by_number(session, keys, [*written, "999999999999", "", "x" * 100, "é"])
        took = time.perf_counter() - began

    assert list(map(found.__getitem__, written)) == [
        type(found[written[0]])(one.member_id, one.product, one.joined_on, one.group_code, MemberStatus.ACTIVE)
        for one in members
    ]
    assert len(found) == 1000
    assert took < 1.0, f"a thousand numbers took {took:.3f} s"
