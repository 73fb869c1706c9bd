"""The most that counts for a scheme year: what passes it is refused, goes back or counts later, however the money comes."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import text

from engine.app import LAWS
from engine.benefits import service as benefits
from engine.benefits.errors import NotReconciled
from engine.benefits.rules.paying import AccountGiven, Payout
from engine.contributions import errors, service
from engine.contributions.rules import AnnualCapRule, Payment, Receipt, carried_into
from engine.contributions.service import Answer, Intake
from engine.enrolment.service import Enrolled
from engine.ledger import service as ledger
from engine.reconciliation import service as reconciliation
from engine.runtime.database import Database
from engine.runtime.exchanges.transport import HttpTransport
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant, advance_clock
from tests.engine.benefits.test_sending import approved, decided, show
from tests.engine.contributions import test_references as references
from tests.factories import joining, schemes
from tests.factories.payouts import MAKER
from tests.factories.schemes import enrol, serve
from tests.factories.suspense import give
from tests.factories.wallets import KINDS, Wallets, impatient, open_wallets

RULE = """
[[rule]]
kind = "annual-cap"
id = "annual-cap"
most = "500"
counted_by = "{counted_by}"
excess = "{excess}"
source = "Invented: the most of a year"
confidence = "high"
"""


def rule(counted_by: str = "received", excess: str = "refuse", carry_years: int = 0) -> str:
    return RULE.format(counted_by=counted_by, excess=excess) + (f"carry_years = {carry_years}\n" if carry_years else "")


async def capped(db: Database, folder: Path, added: str, *, start: datetime = schemes.START) -> Tenant:
    return await serve(db, folder, rules={"nps-lite": added}, start=start)


def pays(member: Enrolled, amount: str, **others: object) -> Payment:
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


async def until(db: Database, tenant: Tenant, moment: datetime) -> None:
    async with db.unit_of_work(tenant.tenant_id) as session:
        await advance_clock(session, tenant, moment, "development")


async def suspended(db: Database, tenant: Tenant) -> list[tuple[str, str]]:
    async with db.unit_of_work(tenant.tenant_id) as session:
        return [(one.reason, str(one.amount)) for one in await service.list_suspense(session, tenant)]


async def traces(db: Database, tenant: Tenant, kind: int) -> list[list[str]]:
    async with db.unit_of_work(tenant.tenant_id) as session:
        rows = await session.execute(
            text("""select d.trace -> 'rules' as rules from events e
                      join decisions d on d.tenant_id = e.tenant_id and d.decision_id = e.decision
                     where e.kind = :kind order by e.event_id"""),
            {"kind": kind},
        )
        return [row.rules for row in rows]


def told(answers: list[Answer]) -> list[str]:
    return [
        (one.reason or (f"over {one.over}" if one.over else one.state))
        if isinstance(one, Receipt)
        else one.code.removeprefix("contributions.")
        for one in answers
    ]


async def test_what_passes_the_most_is_refused_and_on_record(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    tenant = await capped(db, tmp_path, rule())
    member, other = await enrol(db, keys, tenant, ["sahyog", "sahyog"])
    first = pays(member, "300.00")

    answers = await send(
        db,
        keys,
        tenant,
        first,
        pays(member, "200.01"),
        pays(member, "200.00"),
        pays(member, "100.00"),
        pays(other, "500"),
    )
    again = await send(db, keys, tenant, first)

    assert told(answers) == ["received", "cap-reached", "received", "cap-reached", "received"]
    assert again == answers[:1]
    refused = answers[1]
    assert isinstance(refused, errors.CapReached)
    assert refused.details["most"] == "500.00"
    async with db.unit_of_work(tenant.tenant_id) as session:
        rules = await session.scalar(
            text("""select d.trace -> 'rules' from determinations t
                      join decisions d on d.tenant_id = t.tenant_id and d.decision_id = t.decision
                     where t.decision_id = :n"""),
            {"n": int(str(refused.details["decision"]))},
        )
    assert [one.partition("@")[0] for one in rules] == ["contribution-amount", "contribution-split", "annual-cap"]
    assert [one.partition("@")[0] for one in (await traces(db, tenant, 10))[0]] == [
        "contribution-amount",
        "contribution-split",
        "annual-cap",
    ]


async def test_money_that_is_here_already_waits(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    tenant = await capped(db, tmp_path, rule())
    (member,) = await enrol(db, keys, tenant, ["sahyog"])

    answers = await send(db, keys, tenant, pays(member, "500.00"), pays(member, "100.00", is_held=True))

    assert told(answers) == ["received", "not-taken"]
    receipt = answers[1]
    assert isinstance(receipt, Receipt)
    with pytest.raises(errors.CapReached):
        await give(db, keys, tenant, int(receipt.receipt), member=member.number)


async def test_rows_of_a_file_past_the_most_are_listed(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    tenant = await capped(db, tmp_path, rule())
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    rows = [f"{member.number},{amount},INR,upi,F{row}" for row, amount in enumerate(("400.00", "100.01", "100.00"))]
    raw = "\n".join(["member,amount,currency,channel,reference", *rows]).encode()

    report = await service.import_file(db, keys, tenant, raw, name="dues.csv", actor="operator:test")

    assert (report.received, [(one.row, one.field) for one in report.refused]) == (2, [(3, "amount")])
    assert "500.00" in report.refused[0].reason


async def test_what_is_over_goes_back_and_the_rest_is_taken(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    tenant = await capped(db, tmp_path, rule(excess="refund"))
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    divided = pays(member, "300.00")

    answers = await send(db, keys, tenant, pays(member, "300.00"), divided, pays(member, "100.00"))
    again = await send(db, keys, tenant, divided)

    assert told(answers) == ["received", "over 100.00", "above-cap"]
    assert again == [answers[1]]
    receipt = answers[1]
    assert isinstance(receipt, Receipt)
    assert (receipt.amount, [part.amount for part in receipt.parts]) == ("300.00", ["200.00"])
    assert sorted(await suspended(db, tenant)) == [("above-cap", "100.00"), ("above-cap", "100.00")]


async def test_a_part_that_goes_back_is_given_to_nobody_else(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    tenant = await capped(db, tmp_path, rule(excess="refund"))
    member, other = await enrol(db, keys, tenant, ["sahyog", "sahyog"])
    await send(db, keys, tenant, pays(member, "600.00"))

    async with db.unit_of_work(tenant.tenant_id) as session:
        (part,) = await service.list_suspense(session, tenant)
    with pytest.raises(errors.GoesBack):
        await give(db, keys, tenant, int(part.receipt), member=other.number)


async def test_a_payment_taken_back_leaves_its_year_with_what_was_over(
    db: Database, keys: FileKeyStore, tmp_path: Path
) -> None:
    tenant = await capped(db, tmp_path, rule(excess="refund"))
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    (receipt,) = await send(db, keys, tenant, pays(member, "700.00"))
    assert isinstance(receipt, Receipt)

    async with db.unit_of_work(tenant.tenant_id) as session:
        proposed = await service.propose_reversal(
            session, tenant, int(receipt.receipt), reason="charged-back", actor="staff:1"
        )
    done = await service.confirm_reversal(
        db, keys, tenant, int(receipt.receipt), digest=proposed.digest, actor="staff:2"
    )

    assert (done.state, done.amount) == ("reversed", "500.00")
    assert await suspended(db, tenant) == []
    assert told(await send(db, keys, tenant, pays(member, "500.00"))) == ["received"]


@pytest.mark.parametrize(("counted_by", "expected"), [("value", "received"), ("received", "cap-reached")])
async def test_the_day_that_the_rule_names_puts_a_payment_into_its_year(
    db: Database, keys: FileKeyStore, tmp_path: Path, counted_by: str, expected: str
) -> None:
    tenant = await capped(db, tmp_path, rule(counted_by))
    (member,) = await enrol(db, keys, tenant, ["sahyog"])

    answers = await send(
        db,
        keys,
        tenant,
        pays(member, "500.00", paid_on=date(2023, 3, 31), is_held=True),
        pays(member, "500.00", paid_on=date(2023, 4, 1)),
    )

    assert told(answers) == ["received", expected]


async def test_the_year_turns_at_midnight_in_the_schemes_own_zone(
    db: Database, keys: FileKeyStore, tmp_path: Path
) -> None:
    tenant = await capped(db, tmp_path, rule(), start=datetime(2024, 3, 31, 18, 29, tzinfo=UTC))
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    before = await send(db, keys, tenant, pays(member, "500.00"), pays(member, "100.00"))
    await until(db, tenant, datetime(2024, 3, 31, 18, 30, tzinfo=UTC))

    after = await send(db, keys, tenant, pays(member, "500.00"), pays(member, "100.00"))

    assert told([*before, *after]) == ["received", "cap-reached"] * 2


async def test_what_is_carried_counts_in_the_years_after(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    tenant = await capped(db, tmp_path, rule(excess="carry-over", carry_years=1))
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    first = await send(db, keys, tenant, pays(member, "700.00"), pays(member, "300.01"), pays(member, "300.00"))
    await until(db, tenant, datetime(2024, 4, 1, 4, tzinfo=UTC))
    second = await send(db, keys, tenant, pays(member, "500.01"), pays(member, "500.00"))
    await until(db, tenant, datetime(2026, 4, 1, 4, tzinfo=UTC))
    much_later = await send(db, keys, tenant, pays(member, "1000.01"), pays(member, "1000.00"))

    assert told(first) == ["received", "cap-reached", "received"]
    assert told(second) == ["cap-reached", "received"]
    assert told(much_later) == ["cap-reached", "received"]
    async with db.unit_of_work(tenant.tenant_id) as session:
        rows = await session.execute(
            text("select body ->> 'carried' as carried from events where kind = 10 order by event_id")
        )
        assert [row.carried for row in rows] == ["20000", "30000", "50000", "50000"]


async def test_two_references_of_one_member_pass_the_most_once(
    db: Database, keys: FileKeyStore, tmp_path: Path
) -> None:
    rules = references.reference_rule("member-number", "national-id") + rule()
    tenant = await joining.serve(db, tmp_path, rules={"workers": rules})
    member = await references.join(db, keys, tenant, references.NUMBER)
    payments = [references.pays(one, amount="300.00", is_held=False) for one in (member.number, references.NUMBER)]

    answers = await asyncio.gather(
        *(service.receive(db, keys, tenant, [one], lane=lane) for lane, one in enumerate(payments))
    )

    assert sorted(told([one for many in answers for one in many])) == ["cap-reached", "received"]


# -- what statements show


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def transport() -> AsyncIterator[HttpTransport]:
    async with impatient() as opened:
        yield opened


async def pay(wallets: Wallets, amount: str, reference: str) -> Answer:
    payment = Payment(
        member=wallets.members[0].number,
        amount=amount,
        currency="RWF",
        channel="mtn-momo",
        reference=reference,
        sent_by="partner:1",
    )
    (answer,) = await send(wallets.db, wallets.keys, wallets.tenant, payment)
    return answer


async def test_what_a_statement_showed_in_the_old_year_does_not_count_in_the_new(
    db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path, transport: HttpTransport
) -> None:
    added = {"ltss": rule("reconciled")}
    async with open_wallets(KINDS["mtn-momo"], db, keys, database_urls[0], tmp_path, transport, rules=added) as wallets:
        shown, waiting = await pay(wallets, "300", "R-1"), await pay(wallets, "200", "R-2")
        full = await pay(wallets, "1", "R-3")
        await show(wallets, (300, "R-1"))
        today = (await _now(wallets)).date()
        await until(db, wallets.tenant, datetime(today.year + 1, 1, 1, 9, tzinfo=UTC))
        too_much, taken = await pay(wallets, "301", "R-4"), await pay(wallets, "300", "R-5")

    assert told([shown, waiting, full, too_much, taken]) == [
        "received",
        "received",
        "cap-reached",
        "cap-reached",
        "received",
    ]


async def test_what_is_over_is_paid_back_once_a_statement_shows_the_whole_payment(
    db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path, transport: HttpTransport
) -> None:
    added = {"ltss": rule(excess="refund")}
    async with open_wallets(KINDS["mtn-momo"], db, keys, database_urls[0], tmp_path, transport, rules=added) as wallets:
        receipt = await pay(wallets, "700", "R-1")
        assert isinstance(receipt, Receipt)
        assert receipt.over == "200"

        async def refund() -> Payout:
            async with db.unit_of_work(wallets.tenant.tenant_id) as session:
                (part,) = await service.list_suspense(session, wallets.tenant)
                account = AccountGiven(rail="mtn-momo", number=wallets.kind.payer)
                return await benefits.refund(
                    session, keys, wallets.tenant, receipt=int(part.receipt), account=account, name="", actor=MAKER
                )

        with pytest.raises(NotReconciled):
            await refund()
        await show(wallets, (700, "R-1"))
        await reconciliation.match_statements(db, wallets.tenant)
        made = await refund()
        await approved(wallets, made)
        await decided(wallets, made)

        assert (made.amount, await suspended(db, wallets.tenant)) == ("200", [])
        [movement] = wallets.simulator.movements
        await show(wallets, (-200, movement.transaction))
        assert await wallets.offences() == []


async def _now(wallets: Wallets) -> datetime:
    async with wallets.db.unit_of_work(wallets.tenant.tenant_id) as session:
        return await ledger.scheme_now(session)


# -- the rule alone


CARRYING = AnnualCapRule(
    id="cap", source="test", confidence="high", most="5.00", counted_by="value", excess="carry-over", carry_years=2
)


@pytest.mark.parametrize(
    ("paid", "carried"),
    [
        ([], 0),
        ([500], 0),
        ([501], 1),
        ([1500], 1000),
        ([1500, 0], 500),
        ([1500, 0, 0], 0),
        ([1300, 400], 700),
        ([1300, 400, 0], 200),
    ],
)
def test_the_oldest_is_used_first_and_what_is_too_old_lapses(paid: list[int], carried: int) -> None:
    assert carried_into(CARRYING, [(one, 500) for one in paid]) == carried


@given(st.lists(st.integers(0, 3000), max_size=6))
def test_no_more_is_carried_than_was_paid_beyond_the_most(paid: list[int]) -> None:
    years = [(one, 500) for one in paid]
    assert 0 <= carried_into(CARRYING, years) <= sum(one for one, _ in years[-2:])
