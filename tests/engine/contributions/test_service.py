"""Receiving payments on a real database: credited once, suspended when unknown, refused alone, answered alike for ever."""

import asyncio
import dataclasses
import re
import secrets
import shutil
from datetime import date
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec.structs import replace
from sqlalchemy import text

from engine.app import KINDS
from engine.contributions import errors, queries, service
from engine.contributions.rules import Payment, Receipt, lane_of
from engine.contributions.service import Intake
from engine.kernel.errors import EngineError
from engine.ledger import queries as ledger_queries
from engine.ledger import service as ledger
from engine.ledger.rules import Account
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant, load_pack
from tests.factories.schemes import PACKS, enrol, serve
from tests.factories.suspense import give

LAWS = (*ledger_queries.LAWS, *queries.LAWS)


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(db: Database, tmp_path: Path) -> Tenant:
    return await serve(db, tmp_path)


def pays(member: str, amount: str = "500.00", **others: object) -> Payment:
    payment = Payment(
        member=member,
        amount=amount,
        currency="INR",
        channel="upi",
        reference=f"U{secrets.token_hex(8)}",
        sent_by="partner:1",
    )
    return replace(payment, **others)


async def send(db: Database, keys: FileKeyStore, tenant: Tenant, *payments: Payment) -> list[Receipt | EngineError]:
    return await Intake(db, keys).receive_many(tenant, payments)


async def cash_of(db: Database, tenant: Tenant, member_id: int) -> int:
    async with db.unit_of_work(tenant.tenant_id) as session:
        codes = await ledger.account_codes(
            session, [Account("cash", "INR", product="nps-lite", pot="retirement", origin="own")]
        )
        return (await ledger_queries.stored_balances(session, member_id)).get(next(iter(codes.values())), 0)


async def lawful(db: Database, tenant: Tenant) -> bool:
    async with db.unit_of_work(tenant.tenant_id) as session:
        return await ledger.check(session, LAWS) == []


async def test_credits_the_member_and_answers_with_a_receipt(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])

    (receipt,) = await send(db, keys, tenant, pays(member.number, "512.5"))

    assert isinstance(receipt, Receipt)
    assert (receipt.state, receipt.amount, receipt.business_date) == ("received", "512.50", date(2023, 4, 3))
    assert [(part.pot, part.origin, part.amount) for part in receipt.parts] == [("retirement", "own", "512.50")]
    assert await cash_of(db, tenant, member.member_id) == 51250
    assert await lawful(db, tenant)


async def test_the_same_payment_again_gets_the_first_answer(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    payment = pays(member.number, key="k1")
    (first,) = await send(db, keys, tenant, payment)

    again, other_key, no_key = await send(
        db, keys, tenant, payment, replace(payment, key="k2"), replace(payment, key=None, amount="500")
    )

    assert again == other_key == first
    assert isinstance(no_key, Receipt)
    assert no_key == first
    assert await cash_of(db, tenant, member.member_id) == 50000


@pytest.mark.parametrize(
    "change", [{"amount": "501.00"}, {"reference": "another"}, {"member": "x"}, {"paid_on": date(2023, 4, 1)}]
)
async def test_a_key_for_another_payment_is_refused(
    db: Database, keys: FileKeyStore, tenant: Tenant, change: dict[str, object]
) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    payment = pays(member.number, key="k1")
    await send(db, keys, tenant, payment)

    (refused,) = await send(db, keys, tenant, replace(payment, **change))

    assert isinstance(refused, errors.KeyReused)
    assert await cash_of(db, tenant, member.member_id) == 50000
    assert await lawful(db, tenant)


async def test_one_payments_key_with_anothers_reference_is_refused(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    first, second = pays(member.number, key="k1"), pays(member.number, key="k2")
    await send(db, keys, tenant, first, second)

    answers = await send(db, keys, tenant, replace(first, key="k2"), replace(second, key="k1"))

    assert [type(answer) for answer in answers] == [errors.KeyReused] * 2
    assert await cash_of(db, tenant, member.member_id) == 100000


async def test_a_refusal_binds_no_key(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    payment = pays(member.number, "99.99", key="k1")

    refused, taken = await send(db, keys, tenant, payment, replace(payment, amount="100.00"))

    assert isinstance(refused, errors.BelowMinimum)
    assert isinstance(taken, Receipt)
    assert await cash_of(db, tenant, member.member_id) == 10000


def stricter(tenant: Tenant, folder: Path) -> Tenant:
    """The tenant under rules that take nothing below 600.00."""
    shutil.copytree(PACKS / "in-nps-lite", folder / "in-stricter", ignore=shutil.ignore_patterns("demo*"))
    for page in (folder / "in-stricter/nps-lite/rules").iterdir():
        page.write_text(page.read_text().replace('minimum = "100.00"', 'minimum = "600.00"'))
    return dataclasses.replace(tenant, pack=load_pack(folder / "in-stricter", KINDS))


async def test_a_posted_payment_keeps_its_first_answer_under_stricter_rules(
    db: Database, keys: FileKeyStore, tenant: Tenant, tmp_path: Path
) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    payment, nobodys, held = pays(member.number, key="k1"), pays("100000000008", key="k2"), pays(member.number)
    first, suspended, taken = await send(db, keys, tenant, payment, nobodys, held)
    later = stricter(tenant, tmp_path)

    answers = await send(db, keys, later, payment, replace(payment, amount="500"), nobodys, replace(held, is_held=True))
    other, new, foreign = await send(
        db, keys, later, replace(payment, amount="500.01"), pays(member.number), replace(payment, sent_by="partner:2")
    )

    assert answers == [first, first, suspended, taken]
    assert isinstance(other, errors.BelowMinimum)
    assert isinstance(new, errors.BelowMinimum)
    assert foreign == first, "the provider's transaction was posted, whoever tells of it"
    assert await cash_of(db, tenant, member.member_id) == 100000
    async with db.unit_of_work(tenant.tenant_id) as session:
        refused = await session.scalar(text("select count(*) from determinations where kind = 'contribution'"))
    assert refused == 2, "only what was truly refused is on record"
    assert await lawful(db, tenant)


async def test_a_refusal_bears_one_number_however_often_it_is_sent(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    payment, other = pays(member.number, "99.99"), pays(member.number, "99.98")

    answers = await send(db, keys, tenant, payment, other, replace(payment, reference="again"))
    answers += await send(db, keys, tenant, payment)

    numbers = [answer.details["decision"] for answer in answers if isinstance(answer, EngineError)]
    assert numbers[0] == numbers[2] == numbers[3] != numbers[1]


async def test_one_bad_payment_fails_no_neighbour(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    number = member.number

    answers = await service.receive(
        db,
        keys,
        tenant,
        [
            pays(number),
            pays(number, "0"),
            pays(number, "-5"),
            pays(number, "10.001"),
            pays(number, "12000.01"),
            pays(number, "99.99"),
            pays(number, "1e3"),
            pays(number, "ten"),
            pays(number, "9" * 20),
            pays(number, currency="RWF"),
            pays(number, channel="cash"),
            pays(number, paid_on=date(2023, 4, 4)),
            pays(number),
        ],
        lane=lane_of(number),
    )

    assert [getattr(answer, "code", "received") for answer in answers] == [
        "received",
        "contributions.amount-not-positive",
        "contributions.amount-not-positive",
        "contributions.amount-not-whole",
        "contributions.above-maximum",
        "contributions.below-minimum",
        "received",
        "contributions.amount-not-whole",
        "contributions.amount-not-positive",
        "contributions.wrong-currency",
        "contributions.unknown-channel",
        "contributions.paid-in-future",
        "received",
    ]
    assert await cash_of(db, tenant, member.member_id) == 50000 + 100000 + 50000
    assert await lawful(db, tenant)


async def test_the_same_key_twice_in_one_batch_posts_once_and_answers_both(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    payment = pays(member.number, key="k1")

    answers = await service.receive(
        db, keys, tenant, [payment, replace(payment, amount="7000.00"), payment], lane=lane_of(member.number)
    )

    assert answers[0] == answers[2]
    assert isinstance(answers[0], Receipt)
    assert isinstance(answers[1], errors.KeyReused)
    assert await cash_of(db, tenant, member.member_id) == 50000


async def test_batches_at_once_in_opposite_orders_post_each_payment_once(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    members = await enrol(db, keys, tenant, ["sahyog"] * 6)
    payments = [pays(members[i % 6].number, key=f"k{i}") for i in range(60)]

    # Two processes have an intake each: nothing but the database keeps them apart.
    answers = await asyncio.gather(
        send(db, keys, tenant, *payments),
        send(db, keys, tenant, *reversed(payments)),
        send(db, keys, tenant, *payments),
    )

    assert answers[0] == list(reversed(answers[1])) == answers[2]
    assert all(isinstance(answer, Receipt) for answer in answers[0])
    assert sum([await cash_of(db, tenant, member.member_id) for member in members]) == 60 * 50000
    assert await lawful(db, tenant)


async def test_an_unknown_reference_goes_to_suspense_and_is_given_to_its_owner_once(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    (member,) = await enrol(db, keys, tenant, ["gramin"])
    payment = pays("500000000009")

    (receipt,) = await send(db, keys, tenant, payment)
    (typo,) = await send(db, keys, tenant, pays(member.number[:-1] + str((int(member.number[-1]) + 1) % 10)))

    assert isinstance(receipt, Receipt)
    assert isinstance(typo, Receipt)
    assert (receipt.state, typo.state, typo.reason) == ("suspended", "suspended", "bad-check-digit")
    assert (await send(db, keys, tenant, payment)) == [receipt]
    async with db.unit_of_work(tenant.tenant_id) as session:
        waiting = await service.list_suspense(session, tenant)
    assert [(item.receipt, item.age_days) for item in waiting] == [(receipt.receipt, 0), (typo.receipt, 0)]
    assert await lawful(db, tenant)

    resolved = await give(db, keys, tenant, int(receipt.receipt), member=member.number)
    assert resolved.state == "received"
    assert await cash_of(db, tenant, member.member_id) == 50000
    with pytest.raises(errors.AlreadyResolved):
        await give(db, keys, tenant, int(receipt.receipt), member=member.number)
    async with db.unit_of_work(tenant.tenant_id) as session:
        assert [item.receipt for item in await service.list_suspense(session, tenant)] == [typo.receipt]
    assert await lawful(db, tenant)


async def test_no_personal_data_reaches_events_or_suspense_in_the_clear(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    await send(db, keys, tenant, pays("PHONE0788123456", reference="MPESA-NAME-AMINA"))

    async with db.unit_of_work(tenant.tenant_id) as session:
        connection = await (await session.connection()).get_raw_connection()
        cursor = await connection.driver_connection.execute(  # type: ignore[union-attr]
            "select coalesce(string_agg(body::text, ' '), '') || (select string_agg(encode(document, 'escape'), ' ') from suspense) from events"
        )
        (stored,) = await cursor.fetchone()
    assert "0788123456" not in stored
    assert "AMINA" not in stored


async def test_a_file_takes_the_same_path(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    members = await enrol(db, keys, tenant, ["sahyog"] * 3)
    rows = ["member,amount,currency,channel,reference,paid_on"]
    rows += [f"{members[i % 3].number},{100 + i}.00,INR,aggregator,F{i},2023-04-0{1 + i % 3}" for i in range(30)]
    rows += [
        "500000000009,250.00,INR,aggregator,F30,",
        f"{members[0].number},5.00,INR,aggregator,F31,",
        f"{members[0].number},,INR,aggregator,F32,",
    ]
    raw = ("\n".join(rows) + "\n").encode()

    report = await service.import_file(db, keys, tenant, raw, name="april.csv", actor="operator:test")
    again = await service.import_file(db, keys, tenant, raw, name="april-2.csv", actor="operator:test")

    assert (report.rows, report.received, report.suspended) == (33, 30, 1)
    assert [(bad.row, bad.field) for bad in report.refused] == [(33, "amount"), (34, "amount")]
    assert report.first_imported_at is None
    assert again.first_imported_at is not None
    assert (again.received, again.suspended) == (30, 1)
    assert (
        sum([await cash_of(db, tenant, member.member_id) for member in members])
        == sum(100 + i for i in range(30)) * 100
    )
    assert await lawful(db, tenant)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"member,amount\n1,2\n", "lacks currency, channel, reference"),
        (b"member,amount,currency,channel,reference,color\n", "has color"),
        (b"\xff\xfe", "not UTF-8"),
        (b"", "lacks member"),
    ],
)
async def test_a_file_that_cannot_be_read_is_refused_whole(
    db: Database, keys: FileKeyStore, tenant: Tenant, raw: bytes, says: str
) -> None:
    with pytest.raises(errors.UnreadableFile, match=says):
        await service.import_file(db, keys, tenant, raw, name="bad.csv", actor="operator:test")


ENVELOPED = "member,amount,currency,channel,reference\n1,100.00,INR,upi,E1\n2,,INR,upi,E2\n3,50.5,INR,upi,E3\n"


@pytest.mark.parametrize(
    ("trailer", "says"),
    [
        ("#count,2,150.50\n", "declared 2 / 150.50, found 3 / 150.50"),
        ("#count,3,150.51\n", "declared 3 / 150.51, found 3 / 150.50"),
        ("#count,3\n", "row 5, #count: it is followed by"),
        ("#count,3,150.50,INR\n", "row 5, #count: it is followed by"),
        ("#count,3,1e2\n", "row 5, #count: it is followed by"),
        ("#count,3,150.50\n4,1.00,INR,upi,E4\n", "row 6, #count: rows follow it"),
    ],
)
async def test_a_file_of_another_count_or_total_than_it_says_is_refused_whole(
    db: Database, keys: FileKeyStore, tenant: Tenant, trailer: str, says: str
) -> None:
    with pytest.raises((errors.EnvelopeDiffers, errors.UnreadableFile), match=re.escape(says)):
        await service.import_file(
            db, keys, tenant, (ENVELOPED + trailer).encode(), name="envelope.csv", actor="operator:test"
        )
    async with db.unit_of_work(tenant.tenant_id) as session:
        connection = await session.connection()
        kept = await connection.exec_driver_sql("select count(*) from contribution_files")
        posted = await connection.exec_driver_sql("select count(*) from suspense")
    assert (kept.scalar(), posted.scalar()) == (0, 0)


async def test_a_file_that_holds_what_it_says_is_taken_row_by_row(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    raw = f"{ENVELOPED}#count,3,150.50,,\n".encode()
    report = await service.import_file(db, keys, tenant, raw, name="envelope.csv", actor="operator:test")

    assert (report.rows, report.suspended, [(bad.row, bad.field) for bad in report.refused]) == (3, 2, [(3, "amount")])


def test_a_file_of_a_channel_that_declares_totals_must_end_with_them() -> None:
    with pytest.raises(errors.UnreadableFile, match="it does not end with the number of its rows"):
        service.read_rows(ENVELOPED.encode(), name="cut.csv", sent_by="test", totals_declared={"upi"})
    good, bad = service.read_rows(ENVELOPED.encode(), name="cut.csv", sent_by="test", totals_declared={"aggregator"})
    assert (len(good), len(bad)) == (2, 1)


async def test_concurrent_requests_share_commits(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    members = await enrol(db, keys, tenant, ["sahyog"] * 10)
    intake = Intake(db, keys)

    async def client(number: str) -> None:
        for _ in range(10):
            assert isinstance(await intake.receive(tenant, pays(number)), Receipt)

    await asyncio.gather(*(client(members[i % 10].number) for i in range(40)))

    assert intake.sizes.items == 400
    assert intake.sizes.mean > 5
    assert await lawful(db, tenant)


async def test_what_fails_a_commit_fails_that_batch_alone(
    db: Database, keys: FileKeyStore, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    intake = Intake(db, keys)

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "post", _disk_full)
        with pytest.raises(OSError, match="no space"):
            await intake.receive(tenant, pays(member.number))

    assert isinstance(await intake.receive(tenant, pays(member.number)), Receipt)
    assert await cash_of(db, tenant, member.member_id) == 50000


async def _disk_full(*_arguments: object, **_options: object) -> None:
    raise OSError(28, "no space left on device")
