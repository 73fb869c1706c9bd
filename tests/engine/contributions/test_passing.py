"""One payment for several payees, and what is taken before the split: held for whom it is, once, and taken back with the payment."""

import asyncio
import secrets
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import text

from engine.app import LAWS
from engine.contributions import errors, service
from engine.contributions.rules import Payment, Receipt, channel_problems
from engine.contributions.service import Answer, Intake
from engine.enrolment.service import Enrolled
from engine.ledger import service as ledger
from engine.reports import service as reports
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant, advance_clock
from tests.factories.schemes import enrol, serve
from tests.factories.suspense import give

PREMIUM = """
[[rule]]
kind = "deduction-before-split"
id = "life-premium"
order = 1
purpose = "premium"
party = "insurer"
amount = "150.00"
once_per = "{once_per}"
when_short = "{when_short}"
source = "Invented: a life premium first"
confidence = "high"
"""
FEE = """
[[rule]]
kind = "deduction-before-split"
id = "fee"
order = 2
purpose = "fee"
party = "operator"
share_bp = 100
once_per = "payment"
when_short = "leave-out"
rounding = "up"
source = "Invented: one percent of what was paid"
confidence = "high"
"""
PAYEES = """
[[rule]]
kind = "payees"
id = "package"
payees = [
  {{ code = "pension", amount = "250.00", product = "nps-lite" }},
  {{ code = "health", amount = "180.00" }},
  {{ code = "welfare", amount = "170.00" }},
]
splitter = "splitter"
splitter_fee = "20.00"
fee_first = false
when_short = "in-order"
excess_to = "pension"
channels = {channels}
source = "Invented: a package of three"
confidence = "high"
"""


def premium(once_per: str = "month", when_short: str = "take-what-is-there") -> str:
    return PREMIUM.format(once_per=once_per, when_short=when_short)


async def scheme(db: Database, folder: Path, *rules: str) -> Tenant:
    return await serve(db, folder, rules={"nps-lite": "".join(rules)}, scenarios=False)


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


def got(answer: Answer) -> dict[str, str]:
    assert isinstance(answer, Receipt), answer
    return {**{part.pot: part.amount for part in answer.parts}, **{one.party: one.amount for one in answer.others}}


async def held(db: Database, tenant: Tenant) -> dict[str, int]:
    async with db.unit_of_work(tenant.tenant_id) as session:
        rows = await session.execute(
            text("""select c.party, sum(case when t.credit = c.code then t.amount else -t.amount end)::bigint as minor
                      from chart c join transfers t on c.code in (t.debit, t.credit)
                     where c.kind = 'passed-on' and c.product = 'nps-lite' group by 1"""),
        )
        return {row.party: row.minor for row in rows}


async def test_premium_and_fee_are_taken_first_the_premium_once_a_month(
    db: Database, keys: FileKeyStore, tmp_path: Path
) -> None:
    tenant = await scheme(db, tmp_path, premium(), FEE)
    member, other = await enrol(db, keys, tenant, ["sahyog", "sahyog"])
    first = pays(member, "500.01")

    answers = await send(db, keys, tenant, first, pays(member), pays(other))
    (again,) = await send(db, keys, tenant, first)
    async with db.unit_of_work(tenant.tenant_id) as session:
        await advance_clock(session, tenant, datetime(2023, 5, 1, 9, tzinfo=UTC), "development")
    late, next_month = await send(db, keys, tenant, pays(member, paid_on=date(2023, 4, 30)), pays(member))

    assert [got(one) for one in answers] == [
        {"retirement": "345.00", "insurer": "150.00", "operator": "5.01"},
        {"retirement": "495.00", "operator": "5.00"},
        {"retirement": "345.00", "insurer": "150.00", "operator": "5.00"},
    ]
    assert again == answers[0]
    assert got(late) == {"retirement": "495.00", "operator": "5.00"}
    assert got(next_month) == {"retirement": "345.00", "insurer": "150.00", "operator": "5.00"}
    assert await held(db, tenant) == {"insurer": 45000, "operator": 2501}


async def test_the_decision_names_the_rules_that_took(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    tenant = await scheme(db, tmp_path, premium(), FEE)
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    (receipt,) = await send(db, keys, tenant, pays(member))
    assert isinstance(receipt, Receipt)

    async with db.unit_of_work(tenant.tenant_id) as session:
        told = await reports.tell_decision(session, keys, tenant, int(receipt.receipt), actor="staff:1", language="en")
    assert [one.partition("@")[0] for one in told.decision.refs] == [
        "contribution-amount",
        "contribution-split",
        "fee",
        "life-premium",
    ]
    said = " ".join(told.sentences)
    assert all(one in said for one in ("Taken first", "₹150.00", "₹5.00")), told.sentences


@pytest.mark.parametrize(
    ("when_short", "expected"),
    [("take-what-is-there", {"insurer": "100.00"}), ("leave-out", {"retirement": "99.00", "operator": "1.00"})],
)
async def test_a_short_payment_is_treated_as_the_rule_says(
    db: Database, keys: FileKeyStore, tmp_path: Path, when_short: str, expected: dict[str, str]
) -> None:
    tenant = await scheme(db, tmp_path, premium(when_short=when_short), FEE)
    (member,) = await enrol(db, keys, tenant, ["sahyog"])

    (receipt,) = await send(db, keys, tenant, pays(member, "100.00"))

    assert got(receipt) == expected


async def test_a_payment_too_short_is_refused_or_waits(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    tenant = await scheme(db, tmp_path, premium("payment", "refuse"))
    (member,) = await enrol(db, keys, tenant, ["sahyog"])

    refused, waits, taken = await send(
        db, keys, tenant, pays(member, "149.99"), pays(member, "149.99", is_held=True), pays(member, "150.01")
    )

    assert isinstance(refused, errors.PaymentTooShort)
    assert "decision" in refused.details
    assert isinstance(waits, Receipt)
    assert waits.reason == "not-taken"
    assert got(taken) == {"retirement": "0.01", "insurer": "150.00"}


async def test_what_is_due_once_a_year_is_taken_once_in_both_lanes(
    db: Database, keys: FileKeyStore, tmp_path: Path
) -> None:
    tenant = await scheme(db, tmp_path, premium("scheme-year"))
    (member,) = await enrol(db, keys, tenant, ["sahyog"])

    answers = await asyncio.gather(*(service.receive(db, keys, tenant, [pays(member)], lane=lane) for lane in range(2)))

    assert sorted(got(one)["retirement"] for many in answers for one in many) == ["350.00", "500.00"]
    assert await held(db, tenant) == {"insurer": 15000}


async def test_what_is_taken_back_takes_back_the_premium(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    tenant = await scheme(db, tmp_path, premium(), FEE)
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    whole, eaten = await send(db, keys, tenant, pays(member), pays(member, "100.00"))
    for receipt in (whole, eaten):
        assert isinstance(receipt, Receipt)
        async with db.unit_of_work(tenant.tenant_id) as session:
            proposed = await service.propose_reversal(
                session, tenant, int(receipt.receipt), reason="charged-back", actor="staff:1"
            )
        done = await service.confirm_reversal(
            db, keys, tenant, int(receipt.receipt), digest=proposed.digest, actor="staff:2"
        )
        assert (done.state, done.amount, done.owed) == ("reversed", receipt.amount, "0.00")

    assert set((await held(db, tenant)).values()) == {0}
    (anew,) = await send(db, keys, tenant, pays(member))
    assert got(anew)["insurer"] == "150.00"


async def test_money_out_of_suspense_pays_the_premium(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    tenant = await scheme(db, tmp_path, premium(), FEE)
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    (waits,) = await send(db, keys, tenant, replace(pays(member), member="100000000008"))
    assert isinstance(waits, Receipt)

    given = await give(db, keys, tenant, int(waits.receipt), member=member.number)
    (after,) = await send(db, keys, tenant, pays(member))

    assert got(given) == {"retirement": "345.00", "insurer": "150.00", "operator": "5.00"}
    assert got(after) == {"retirement": "495.00", "operator": "5.00"}


# -- payees


async def test_one_payment_is_shared_among_its_payees(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    tenant = await scheme(db, tmp_path, PAYEES.format(channels="[]"))
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    whole = pays(member, "620.00")

    answers = await send(db, keys, tenant, whole, pays(member, "1000.00"), pays(member, "400.00"))
    (again,) = await send(db, keys, tenant, whole)

    assert [got(one) for one in answers] == [
        {"retirement": "250.00", "health": "180.00", "welfare": "170.00", "splitter": "20.00"},
        {"retirement": "630.00", "health": "180.00", "welfare": "170.00", "splitter": "20.00"},
        {"retirement": "250.00", "health": "150.00"},
    ]
    assert again == answers[0]
    assert await held(db, tenant) == {"health": 51000, "welfare": 34000, "splitter": 4000}


async def test_payments_by_other_channels_are_the_contribution_whole(
    db: Database, keys: FileKeyStore, tmp_path: Path
) -> None:
    tenant = await scheme(db, tmp_path, PAYEES.format(channels='["aggregator"]'))
    (member,) = await enrol(db, keys, tenant, ["sahyog"])

    (receipt,) = await send(db, keys, tenant, pays(member, "620.00"))

    assert got(receipt) == {"retirement": "620.00"}


async def test_a_channel_that_the_pack_has_not_is_a_problem(db: Database, tmp_path: Path) -> None:
    tenant = await scheme(db, tmp_path, PAYEES.format(channels='["upi", "pigeon"]'))

    (problem,) = channel_problems(tenant.pack)

    assert (problem.file, problem.key) == ("nps-lite/rules/2010-04-01.toml", "package.channels")
    assert "pigeon is no channel" in problem.reason


async def test_the_payees_own_part_alone_counts_for_the_year_and_the_limits(
    db: Database, keys: FileKeyStore, tmp_path: Path
) -> None:
    cap = """
[[rule]]
kind = "annual-cap"
id = "annual-cap"
most = "500"
counted_by = "received"
excess = "refund"
source = "Invented: the most of a year"
confidence = "high"
"""
    tenant = await scheme(db, tmp_path, PAYEES.format(channels="[]"), cap)
    (member,) = await enrol(db, keys, tenant, ["sahyog"])

    below, first, second = await send(
        db, keys, tenant, pays(member, "99.00"), pays(member, "620.00"), pays(member, "720.00")
    )

    assert isinstance(below, errors.BelowMinimum)
    assert got(first)["retirement"] == "250.00"
    assert isinstance(second, Receipt)
    assert (second.over, got(second)["retirement"], got(second)["health"]) == ("100.00", "250.00", "180.00")
