"""Cash and goods that agents take for members: the deposit counts from its day, once for each receipt, and lateness is told."""

import asyncio
import secrets
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec.structs import replace
from sqlalchemy import text

from engine.contributions import errors
from engine.contributions.rules import AgentCollected, Payment, Receipt
from engine.contributions.service import Answer, Intake
from engine.identity.errors import UnknownMember
from engine.kernel.errors import EngineError
from engine.ledger import service as ledger
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant, explain_decision
from tests.engine.contributions.test_payers import pays, rules_of, send
from tests.factories.schemes import enrol, serve

RULES = """
[[rule]]
kind = "agent-collection"
id = "cash"
takes = "cash"
receipt = "required"
counts_from = "receipt"
deposit_within_days = 3
source = "Invented"
confidence = "high"

[[rule]]
kind = "agent-collection"
id = "maize"
takes = "goods"
receipt = "none"
counts_from = "deposit"
deposit_within_days = 7
price_series = "maize-price"
source = "Invented"
confidence = "high"
"""
SERIES = """
[[series]]
code = "maize-price"
name = "Price of a sack of maize"
unit = "money"
source = "Invented"

[[products]]"""


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(db: Database, tmp_path: Path) -> Tenant:
    """NPS-Lite on 28 April 2023 with agents: cash counts from its receipt, maize from its deposit at 333.33 a sack."""
    return await serve(
        db,
        tmp_path,
        start=datetime(2023, 4, 28, 6, tzinfo=UTC),
        changes={"\n[[products]]": SERIES},
        rules={"nps-lite": RULES},
        files={
            "series/maize-price.csv": "effective_from,published_on,value,source,confidence\n2023-04-01,2023-04-01,333.33,Invented,high\n"
        },
    )


def cash(on: date, receipt: str = "") -> AgentCollected:
    return AgentCollected(takes="cash", collected_on=on, receipt=receipt or f"A{secrets.token_hex(6)}")


def maize(on: date, quantity: str) -> AgentCollected:
    return AgentCollected(takes="goods", collected_on=on, quantity=quantity)


async def told(db: Database, tenant: Tenant, answer: Answer) -> Mapping[str, object]:
    """Return what the event of a receipt says of the collection, its day and its rules."""
    assert isinstance(answer, Receipt), answer
    async with db.unit_of_work(tenant.tenant_id) as session:
        row = (
            await session.execute(
                text("""select e.body, e.business_date, d.trace from events e
                          join decisions d on d.tenant_id = e.tenant_id and d.decision_id = e.decision where e.event_id = :e"""),
                {"e": int(answer.receipt)},
            )
        ).one()
    named = ("takes", "collected_on", "quantity", "deposit_due", "days_late")
    return {
        "on": row.business_date.isoformat(),
        "rule": row.trace["rules"][-1].partition("@")[0],
        **{name: row.body[name] for name in named if name in row.body},
    }


async def test_cash_counts_from_its_receipt_and_a_late_deposit_is_taken_and_told(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    paid_on = date(2023, 4, 27)
    in_time, late = await send(
        db,
        keys,
        tenant,
        pays(member, collected=cash(date(2023, 4, 24)), paid_on=paid_on),
        pays(member, collected=cash(date(2023, 4, 22)), paid_on=paid_on),
    )
    assert await told(db, tenant, in_time) == {
        "on": "2023-04-24", "rule": "cash", "takes": "cash", "collected_on": "2023-04-24", "deposit_due": "2023-04-27",
    }  # fmt: skip
    assert await told(db, tenant, late) == {
        "on": "2023-04-22", "rule": "cash", "takes": "cash", "collected_on": "2023-04-22", "deposit_due": "2023-04-25",
        "days_late": "2",
    }  # fmt: skip
    async with db.unit_of_work(tenant.tenant_id) as session:
        assert isinstance(late, Receipt)
        explained = await explain_decision(session, int(late.receipt))
    assert [one.kind for one in explained.rules if one.kind == "agent-collection"]


async def test_goods_count_at_their_price_from_the_day_of_the_deposit(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    """12.5 sacks at 333.33 are 4,166.625: 4,166.62 rupees are to be deposited for them."""
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    right, wrong = await send(
        db,
        keys,
        tenant,
        pays(member, "4166.62", collected=maize(date(2023, 4, 20), "12.5"), paid_on=date(2023, 4, 27)),
        pays(member, "4166.63", collected=maize(date(2023, 4, 20), "12.5"), paid_on=date(2023, 4, 27)),
    )
    assert await told(db, tenant, right) == {
        "on": "2023-04-27", "rule": "maize", "takes": "goods", "collected_on": "2023-04-20", "quantity": "12.5",
        "deposit_due": "2023-04-27",
    }  # fmt: skip
    assert isinstance(wrong, errors.GoodsWorthOtherwise)
    assert wrong.details["amount"] == "4166.62"
    assert "maize" in await rules_of(db, tenant, wrong.details["decision"])


async def test_a_receipt_is_posted_once_whatever_the_deposit(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    first = pays(member, collected=cash(date(2023, 4, 27), "R-1"))
    again = replace(first, reference="another-deposit")
    answers = await send(db, keys, tenant, first)
    retried, other = (await send(db, keys, tenant, first))[0], (await send(db, keys, tenant, again))[0]
    elsewhere = (await send(db, keys, tenant, replace(again, sent_by="partner:2")))[0]
    assert retried == answers[0]
    assert isinstance(other, errors.KeyReused)
    assert isinstance(elsewhere, Receipt), "another agent's receipts have numbers of their own"


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"collected": AgentCollected(takes="cash", collected_on=date(2023, 4, 27))}, errors.CollectionReceiptNeeded),
        ({"collected": cash(date(2023, 4, 28)), "paid_on": date(2023, 4, 27)}, errors.CollectedLater),
        ({"collected": maize(date(2023, 4, 27), "")}, errors.QuantityWanted),
        ({"collected": maize(date(2023, 4, 27), "0.0")}, errors.QuantityWanted),
        ({"collected": replace(cash(date(2023, 4, 27)), quantity="1")}, errors.QuantityWanted),
        ({"collected": cash(date(2023, 4, 27)), "member": "100000000008"}, UnknownMember),
        ({"collected": cash(date(2010, 3, 31))}, errors.CollectionNotTaken),
    ],
)
async def test_what_an_agent_may_not_collect_is_refused_and_moves_nothing(
    db: Database, keys: FileKeyStore, tenant: Tenant, change: Mapping[str, object], refusal: type[EngineError]
) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    (answer,) = await send(db, keys, tenant, replace(pays(member), **change))
    assert isinstance(answer, refusal), answer
    async with db.unit_of_work(tenant.tenant_id) as session:
        assert not await session.scalar(
            text("select count(*) from transfers where member_id = :m"), {"m": member.member_id}
        )


async def test_collections_sent_many_times_at_once_post_once(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:

    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    payment = pays(member, collected=cash(date(2023, 4, 27), "R-2"))
    others: list[Payment] = [replace(payment, reference=f"D{n}") for n in range(5)]
    answers = await asyncio.gather(*(Intake(db, keys).receive(tenant, one) for one in (payment, payment, *others)))
    receipts = {one.receipt for one in answers if isinstance(one, Receipt)}
    assert len(receipts) == 1
    async with db.unit_of_work(tenant.tenant_id) as session:
        assert (
            await session.scalar(
                text("select sum(amount) from transfers where member_id = :m"), {"m": member.member_id}
            )
            == 50_000
        )
        assert await ledger.check(session, ()) == []


def test_another_receipt_is_another_payment() -> None:
    payment = Payment(
        member="7",
        amount="5",
        currency="INR",
        channel="upi",
        reference="r",
        sent_by="p",
        collected=cash(date(2023, 4, 1), "A"),
    )
    assert payment.collected is not None
    for other in (
        replace(payment.collected, receipt="B"),
        replace(payment.collected, collected_on=date(2023, 4, 2)),
        None,
    ):
        assert replace(payment, collected=other).digest() != payment.digest()
    assert replace(payment, collected=replace(payment.collected)).digest() == payment.digest()
