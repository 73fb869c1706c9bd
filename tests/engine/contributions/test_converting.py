"""Payments in another currency count at the approved rate of their day, once, with both amounts and the rate on record."""

import secrets
from datetime import date
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec.structs import replace
from sqlalchemy import text

from engine.app import LAWS
from engine.contributions import errors, service
from engine.contributions.rules import PaidAs, Payment, Receipt
from engine.contributions.service import Answer, Intake
from engine.enrolment.service import Enrolled
from engine.kernel.series import SeriesValueMissing
from engine.ledger import service as ledger
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy import service as tenancy
from engine.tenancy.service import Tenant
from tests.factories.schemes import enrol, serve
from tests.factories.suspense import give

SERIES = """[[series]]
code = "dollar-rate"
name = "Rupees for a dollar"
unit = "rate"
source = "Invented"

[[channels]]
code = "upi"
"""
RULE = """
[[rule]]
kind = "foreign-money"
id = "dollar"
currency = "USD"
series = "dollar-rate"
rate_of = "{rate_of}"
lag_days = 1
rounding = "half-even"
source = "Invented: contributions from abroad"
confidence = "high"
"""
RATES = """effective_from,published_on,value,source,confidence
2023-03-01,2023-03-01,80.5,Invented list,high
2023-04-02,2023-04-02,82.125,Invented list,high
"""


async def scheme(db: Database, folder: Path, *, rate_of: str = "value-date", rates: str = RATES) -> Tenant:
    tenant = await serve(
        db,
        folder,
        changes={'[[channels]]\ncode = "upi"\n': SERIES},
        rules={"nps-lite": RULE.format(rate_of=rate_of)},
        scenarios=False,
    )
    if rates:
        await approve(db, tenant, rates)
    return tenant


async def approve(db: Database, tenant: Tenant, rates: str) -> None:
    async with db.unit_of_work(tenant.tenant_id) as session:
        told = await tenancy.propose_figures(
            session, tenant, "dollar-rate", rates.encode(), name="rates.csv", actor="staff:1"
        )
        for point in told.proposed:
            await tenancy.accept_figure(session, tenant, point, actor="staff:2")


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(db: Database, tmp_path: Path) -> Tenant:
    return await scheme(db, tmp_path)


def pays(member: Enrolled, amount: str = "10.00", **others: object) -> Payment:
    payment = Payment(
        member=member.number,
        amount=amount,
        currency="USD",
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


async def test_it_counts_at_the_rate_of_its_day_and_both_amounts_are_on_record(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    payment = pays(member, "10.01")

    (receipt,) = await send(db, keys, tenant, payment)
    await approve(db, tenant, RATES.splitlines()[0] + "\n2023-04-02,2023-04-03,99,Revised list,high\n")
    (again,) = await send(db, keys, tenant, payment)

    assert isinstance(receipt, Receipt)
    assert (receipt.amount, receipt.currency) == ("822.07", "INR")  # 10.01 x 82.125 is 822.07125
    assert receipt.paid == PaidAs("10.01", "USD", "82.125", date(2023, 4, 2))
    assert again == receipt
    async with db.unit_of_work(tenant.tenant_id) as session:
        row = (
            await session.execute(
                text("""select e.body ->> 'paid' as paid, e.body ->> 'rate' as rate, e.body ->> 'rate_on' as day, e.body ->> 'amount' as amount, d.trace -> 'rules' as rules
                          from events e join decisions d on d.tenant_id = e.tenant_id and d.decision_id = e.decision
                         where e.event_id = :e"""),
                {"e": int(receipt.receipt)},
            )
        ).one()
    assert (row.paid, row.rate, row.day) == ("10.01 USD", "82.125", "2023-04-02")
    assert row.amount == "82207"
    assert "dollar" in [one.partition("@")[0] for one in row.rules]


@pytest.mark.parametrize(("rate_of", "amount"), [("value-date", "805.00"), ("received-date", "821.25")])
async def test_the_rule_says_which_day_has_the_rate(
    db: Database, keys: FileKeyStore, tmp_path: Path, rate_of: str, amount: str
) -> None:
    tenant = await scheme(db, tmp_path, rate_of=rate_of)
    (member,) = await enrol(db, keys, tenant, ["sahyog"])

    (receipt,) = await send(db, keys, tenant, pays(member, paid_on=date(2023, 4, 1), is_held=True))

    assert isinstance(receipt, Receipt)
    assert receipt.amount == amount


async def test_what_is_not_taken_is_refused(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])

    other, cents, little, nothing = await send(
        db,
        keys,
        tenant,
        pays(member, currency="EUR"),
        pays(member, "10.001"),
        pays(member, "1.21"),
        pays(member, "0"),
    )

    assert isinstance(other, errors.WrongCurrency)
    assert isinstance(cents, errors.AmountNotWhole)
    assert isinstance(little, errors.BelowMinimum)  # 99.37 rupees
    assert isinstance(nothing, errors.AmountNotPositive)


async def test_without_an_approved_rate_it_is_not_taken(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    tenant = await scheme(db, tmp_path, rates="")
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    payment = pays(member)

    (refused,) = await send(db, keys, tenant, payment)
    await approve(db, tenant, RATES)
    (taken,) = await send(db, keys, tenant, payment)

    assert isinstance(refused, SeriesValueMissing)
    assert isinstance(taken, Receipt)
    assert taken.amount == "821.25"


async def test_an_unknown_members_money_is_converted_as_it_comes(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    payment = replace(pays(member), member="100000000008")
    (waits,) = await send(db, keys, tenant, payment)
    assert isinstance(waits, Receipt)
    assert (waits.state, waits.amount, waits.paid) == (
        "suspended",
        "821.25",
        PaidAs("10.00", "USD", "82.125", date(2023, 4, 2)),
    )
    assert await send(db, keys, tenant, payment) == [waits]

    given = await give(db, keys, tenant, int(waits.receipt), member=member.number)

    assert (given.amount, given.currency) == ("821.25", "INR")


async def test_rows_of_a_file_may_be_in_another_currency(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    rows = [f"{member.number},10.00,{currency},upi,F{row}" for row, currency in enumerate(("USD", "EUR"))]
    raw = "\n".join(["member,amount,currency,channel,reference", *rows]).encode()

    report = await service.import_file(db, keys, tenant, raw, name="dues.csv", actor="operator:test")

    assert (report.received, [(one.row, one.field) for one in report.refused]) == (1, [(3, "currency")])
