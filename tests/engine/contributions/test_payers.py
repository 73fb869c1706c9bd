"""Who may pay for a member, and the origin that their money keeps: however it comes, out of suspense, and until it is taken back."""

import secrets
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec.structs import replace
from sqlalchemy import text

from engine.app import LAWS
from engine.contributions import errors, service
from engine.contributions.rules import Payment, Receipt
from engine.contributions.service import Answer, Intake
from engine.enrolment.service import Enrolled
from engine.ledger import service as ledger
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant
from tests.factories.schemes import enrol, serve
from tests.factories.suspense import give


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(db: Database, tmp_path: Path) -> Tenant:
    """A scheme whose rule takes money from the member, and the state's as state-match."""
    return await serve(db, tmp_path)


def pays(member: Enrolled, amount: str = "500.00", **others: object) -> Payment:
    payment = Payment(
        member=member.number,
        amount=amount,
        currency="INR",
        channel="upi",
        reference=f"U{secrets.token_hex(8)}",
        sent_by="partner:1",
    )
    return replace(payment, **others)


async def send(db: Database, keys: FileKeyStore, tenant: Tenant, *payments: Payment) -> list[Answer]:
    answers = await Intake(db, keys).receive_many(tenant, payments)
    async with db.unit_of_work(tenant.tenant_id) as session:
        assert await ledger.check(session, LAWS) == []
    return answers


async def cash(db: Database, tenant: Tenant, member: Enrolled) -> dict[str, int]:
    async with db.unit_of_work(tenant.tenant_id) as session:
        rows = await session.execute(
            text("""select c.origin, (b.credits - b.debits)::bigint as minor from balances b
                      join chart c on c.tenant_id = b.tenant_id and c.code = b.code and c.kind = 'cash'
                     where b.member_id = :m and b.credits <> b.debits order by 1"""),
            {"m": member.member_id},
        )
        return {row.origin: row.minor for row in rows}


async def rules_of(db: Database, tenant: Tenant, number: object) -> list[str]:
    async with db.unit_of_work(tenant.tenant_id) as session:
        rules = await session.scalar(
            text("""select d.trace -> 'rules' from determinations t
                      join decisions d on d.tenant_id = t.tenant_id and d.decision_id = t.decision
                     where t.decision_id = :n"""),
            {"n": int(str(number))},
        )
    return [one.partition("@")[0] for one in rules]


async def test_money_keeps_the_origin_of_its_payer(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    states = pays(member, "300.00", payer="state")

    own, said, given = await send(db, keys, tenant, pays(member), pays(member, payer="member"), states)
    (again,) = await send(db, keys, tenant, states)

    assert [
        [(part.origin, part.amount) for part in one.parts] for one in (own, said, given) if isinstance(one, Receipt)
    ] == [[("own", "500.00")], [("own", "500.00")], [("state-match", "300.00")]]
    assert again == given
    assert await cash(db, tenant, member) == {"own": 100000, "state-match": 30000}


async def test_another_payer_is_another_payment(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    payment = pays(member)

    first, other = await send(db, keys, tenant, payment, replace(payment, payer="state"))

    assert isinstance(first, Receipt)
    assert isinstance(other, errors.KeyReused)


async def test_a_payer_who_is_not_listed_is_refused_or_waits(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])

    refused, held = await send(
        db, keys, tenant, pays(member, payer="employer"), pays(member, payer="employer", is_held=True)
    )

    assert isinstance(refused, errors.PayerNotTaken)
    assert refused.details["allowed"] == "member, state"
    assert await rules_of(db, tenant, refused.details["decision"]) == [
        "contribution-amount",
        "contribution-split",
        "contributors",
    ]
    assert isinstance(held, Receipt)
    assert held.reason == "not-taken"
    with pytest.raises(errors.PayerNotTaken):
        await give(db, keys, tenant, int(held.receipt), member=member.number)


async def test_money_out_of_suspense_keeps_its_payers_origin(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    (held,) = await send(db, keys, tenant, replace(pays(member, payer="state"), member="100000000008"))
    assert isinstance(held, Receipt)

    given = await give(db, keys, tenant, int(held.receipt), member=member.number)

    assert [part.origin for part in given.parts] == ["state-match"]
    assert await cash(db, tenant, member) == {"state-match": 50000}


async def test_what_is_taken_back_leaves_the_account_of_its_origin(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    own, given = await send(db, keys, tenant, pays(member), pays(member, "300.00", payer="state"))
    assert isinstance(own, Receipt)
    assert isinstance(given, Receipt)

    async with db.unit_of_work(tenant.tenant_id) as session:
        proposed = await service.propose_reversal(
            session, tenant, int(given.receipt), reason="paid-by-mistake", actor="staff:1"
        )
    done = await service.confirm_reversal(db, keys, tenant, int(given.receipt), digest=proposed.digest, actor="staff:2")

    assert (done.state, done.owed) == ("reversed", "0.00")
    assert await cash(db, tenant, member) == {"own": 50000}


async def test_a_file_may_say_who_pays(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    rows = [
        f"{member.number},500.00,INR,upi,F{row},{payer}" for row, payer in enumerate(("", "state", "employer", "aunt"))
    ]
    raw = "\n".join(["member,amount,currency,channel,reference,payer", *rows]).encode()

    report = await service.import_file(db, keys, tenant, raw, name="dues.csv", actor="operator:test")

    assert (report.received, [(one.row, one.field) for one in report.refused]) == (2, [(4, "payer"), (5, "payer")])
    assert await cash(db, tenant, member) == {"own": 50000, "state-match": 50000}
