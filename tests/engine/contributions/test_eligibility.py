"""Eligibility and levels are asked again at each contribution, and the money goes where the rules say."""

import secrets
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec.structs import replace
from sqlalchemy import text

from engine.app import LAWS
from engine.contributions import errors, service
from engine.contributions.rules import Ask, Payment, Receipt
from engine.contributions.service import Answer, Intake
from engine.enrolment import service as enrolment
from engine.enrolment.rules import COMPLETE, JOINING, LEVEL, Application
from engine.enrolment.service import CLASS, Enrolled, StatusWord
from engine.ledger import service as ledger
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant, advance_clock
from tests.factories import joining


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(db: Database, tmp_path: Path) -> Tenant:
    return await joining.serve(db, tmp_path)


async def join(db: Database, keys: FileKeyStore, tenant: Tenant, application: Application | None = None) -> Enrolled:
    (member,) = await joining.enrol(db, keys, tenant, application or joining.worker(tenant))
    assert isinstance(member, Enrolled), member
    return member


async def recorded(db: Database, tenant: Tenant, member: Enrolled, **words: str) -> None:
    async with db.unit_of_work(tenant.tenant_id) as session:
        today = (await ledger.scheme_now(session)).date()
        said = [
            StatusWord(member.member_id, name.replace("_", "-"), one, "register", today) for name, one in words.items()
        ]
        assert await enrolment.record_statuses(session, tenant, said, actor="operator:test") == len(words)


async def until(db: Database, tenant: Tenant, day: date) -> None:
    async with db.unit_of_work(tenant.tenant_id) as session:
        await advance_clock(session, tenant, datetime(day.year, day.month, day.day, 9, tzinfo=UTC), "development")


def pays(member: Enrolled, amount: str = "500.00", **others: object) -> Payment:
    payment = Payment(
        member=member.number,
        amount=amount,
        currency="KES",
        channel="till",
        reference=f"T{secrets.token_hex(8)}",
        sent_by="partner:1",
    )
    return replace(payment, **others)


async def send(db: Database, keys: FileKeyStore, tenant: Tenant, *payments: Payment) -> list[Answer]:
    answers = await Intake(db, keys).receive_many(tenant, payments)
    async with db.unit_of_work(tenant.tenant_id) as session:
        assert await ledger.check(session, LAWS) == []
    return answers


def told(answers: list[Answer]) -> list[str]:
    return [
        (one.reason or one.state) if isinstance(one, Receipt) else one.code.removeprefix("contributions.")
        for one in answers
    ]


async def test_money_waits_until_a_register_says_the_class(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    member = await join(db, keys, tenant)
    before = await send(db, keys, tenant, pays(member))
    await recorded(db, tenant, member, **{CLASS: "poor"})
    after = await send(db, keys, tenant, pays(member))

    assert told([*before, *after]) == ["not-eligible", "received"]
    async with db.unit_of_work(tenant.tenant_id) as session:
        (held,) = await service.list_suspense(session, tenant)
        trace = await session.scalar(
            text("""select d.trace from events e join decisions d on d.tenant_id = e.tenant_id and d.decision_id = e.decision
                     where e.event_id = :e"""),
            {"e": int(held.receipt)},
        )
    assert held.reason == "not-eligible"
    assert trace == {"product": "workers", "rules": ["known-class@2020-04-01"]}


async def test_a_class_ends_as_its_register_rule_says(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    member = await join(db, keys, tenant)
    await recorded(db, tenant, member, **{CLASS: "poor"})
    await until(db, tenant, date(2024, 4, 2))
    last = await send(db, keys, tenant, pays(member))
    await until(db, tenant, date(2024, 4, 3))

    assert told([*last, *await send(db, keys, tenant, pays(member))]) == ["received", "not-eligible"]


async def test_who_pays_income_tax_by_now_is_refused_and_told_why(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    member = await join(db, keys, tenant)
    await recorded(db, tenant, member, **{CLASS: "poor"})
    first = pays(member)
    (receipt,) = await send(db, keys, tenant, first)
    await recorded(db, tenant, member, income_tax_payer="yes")
    refused, again = await send(db, keys, tenant, pays(member), first)

    assert isinstance(refused, errors.NotEligible)
    assert again == receipt  # what was posted once is answered alike for ever
    async with db.unit_of_work(tenant.tenant_id) as session:
        rules = await session.scalar(
            text("""select d.trace -> 'rules' from determinations t
                      join decisions d on d.tenant_id = t.tenant_id and d.decision_id = t.decision
                     where t.decision_id = :n"""),
            {"n": int(str(refused.details["decision"]))},
        )
    assert rules == ["no-tax-payers@2020-04-01"]


async def test_contributions_end_at_an_age_counted_from_the_entry_age(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    member = await join(db, keys, tenant, joining.worker(tenant, born_on=date(1964, 4, 3), years_paid=3))
    await recorded(db, tenant, member, **{CLASS: "poor"})
    await until(db, tenant, date(2024, 4, 2))
    last = await send(db, keys, tenant, pays(member))
    await until(db, tenant, date(2024, 4, 3))

    assert told([*last, *await send(db, keys, tenant, pays(member))]) == ["received", "not-eligible"]


async def test_money_waits_while_a_proof_is_overdue(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    member = await join(db, keys, tenant, joining.worker(tenant, group_proof=""))
    await recorded(db, tenant, member, **{CLASS: "poor"})
    await until(db, tenant, date(2023, 5, 18))
    in_time = await send(db, keys, tenant, pays(member))
    await until(db, tenant, date(2023, 5, 19))
    overdue = await send(db, keys, tenant, pays(member))
    await recorded(db, tenant, member, **{JOINING: COMPLETE})
    shown = await send(db, keys, tenant, pays(member))

    assert told([*in_time, *overdue, *shown]) == ["received", "not-eligible", "received"]


async def test_a_level_limits_a_payment_a_year_and_a_balance(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    member, other = await join(db, keys, tenant), await join(db, keys, tenant)
    for one in (member, other):
        await recorded(db, tenant, one, **{CLASS: "poor"})
    too_much = await send(db, keys, tenant, pays(member, "5000.01"))
    year = [pays(member, "5000.00") for _ in range(12)]

    filled = await send(db, keys, tenant, *year)
    beyond = await send(db, keys, tenant, pays(member, "0.01", reference="a cent"), pays(other, "5000.00"), year[11])

    assert told(too_much) == ["above-level"]
    assert told(filled) == ["received"] * 12
    assert told(beyond)[:2] == ["below-minimum", "received"]
    assert beyond[2] == filled[11]
    assert told(await send(db, keys, tenant, pays(member, "1.00"))) == ["above-level"]


async def test_one_batch_counts_its_own_payments(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    member = await join(db, keys, tenant)
    await recorded(db, tenant, member, **{CLASS: "poor"})

    answers = await send(db, keys, tenant, *(pays(member, "5000.00") for _ in range(13)))

    assert sorted(told(answers)) == ["above-level", *["received"] * 12]


async def test_in_a_new_year_the_balance_still_counts(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    member = await join(db, keys, tenant)
    await recorded(db, tenant, member, **{CLASS: "poor"})
    await send(db, keys, tenant, *(pays(member, "5000.00") for _ in range(12)))
    await until(db, tenant, date(2024, 4, 1))
    await recorded(db, tenant, member, **{CLASS: "other"})

    answers = await send(db, keys, tenant, *(pays(member, "5000.00") for _ in range(9)))

    assert sorted(told(answers)) == ["above-level", *["received"] * 8]


async def test_money_that_is_here_already_is_kept_apart_and_not_refused(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    member = await join(db, keys, tenant)
    await recorded(db, tenant, member, **{CLASS: "poor", "income-tax-payer": "yes"})

    answers = await send(db, keys, tenant, pays(member, is_held=True), pays(member))

    assert told(answers) == ["not-eligible", "not-eligible"]
    assert [type(one) for one in answers] == [Receipt, errors.NotEligible]


async def test_a_level_that_rose_counts_from_then_on(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    member = await join(db, keys, tenant)
    await recorded(db, tenant, member, **{CLASS: "poor"})
    before = await send(db, keys, tenant, pays(member, "5000.01"))
    await recorded(db, tenant, member, **{LEVEL: "full"})

    assert told([*before, *await send(db, keys, tenant, pays(member, "5000.01"))]) == ["above-level", "received"]


@pytest.mark.parametrize(
    ("amount", "words", "refusal"),
    [
        ("500.00", {}, errors.NotEligible),
        ("5000.01", {CLASS: "poor"}, errors.AboveLevel),
        ("5000.00", {CLASS: "poor"}, errors.CannotCollect),
    ],
)
async def test_nobody_is_asked_for_money_that_would_not_be_taken(
    db: Database,
    keys: FileKeyStore,
    tenant: Tenant,
    amount: str,
    words: dict[str, str],
    refusal: type[Exception],
) -> None:
    member = await join(db, keys, tenant)
    await recorded(db, tenant, member, **words)
    ask = Ask(
        member=member.number,
        amount=amount,
        currency="KES",
        channel="till",
        key=secrets.token_hex(8),
        sent_by="partner:1",
    )

    async with db.unit_of_work(tenant.tenant_id) as session:
        with pytest.raises(refusal):
            await service.ask_for_payment(session, keys, tenant, None, ask)
