"""What members undertake to pay, on a real database: given, changed, paid, charged for lateness, and still owed."""

import asyncio
import secrets
import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from litestar import Litestar
from litestar.di import Provide
from litestar.testing import AsyncTestClient
from msgspec.structs import replace
from sqlalchemy import text

from engine.access.rules import Caller
from engine.app import KINDS, LAWS, RUNNERS
from engine.contributions import errors, service
from engine.contributions.rules import Payment, Receipt, lane_of
from engine.contributions.service import Answer, Intake
from engine.enrolment import errors as enrolment_errors
from engine.enrolment import service as enrolment
from engine.enrolment.api import EnrolmentTermsController, UndertakingController
from engine.enrolment.rules import (
    Application,
    ConsentGiven,
    DocumentGiven,
    FactDeclared,
    NomineeGiven,
    UndertakingGiven,
)
from engine.enrolment.service import Enrolled, Enrolment, Undertaking
from engine.kernel.errors import EngineError
from engine.kernel.permissions import Permission
from engine.ledger import service as ledger
from engine.reports import service as reports
from engine.runtime.database import Database
from engine.runtime.http import exception_handlers, problem_of
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant, Tenants, advance_clock
from tests.factories.schemes import PACKS, aadhaar, serve
from tests.factories.suspense import give

MONTHLY = UndertakingGiven(slab="1000", frequency="monthly")


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(db: Database, tmp_path: Path) -> Tenant:
    """Atal Pension Yojana on 3 April 2023."""
    return await serve(db, tmp_path, "in-apy")


def applying(tenant: Tenant, undertaking: UndertakingGiven | None = MONTHLY, **others: object) -> Application:
    """An application of somebody of 30, whose instalment for a pension of 1,000 is 116 a month."""
    texts = [tenant.pack.consent(one, "en") for one in ("scheme-rules", "personal-data", "no-income-tax")]
    application = Application(
        product="apy",
        full_name="Asha Example",
        born_on=date(1992, 5, 1),
        documents=(DocumentGiven("aadhaar", aadhaar()),),
        nominees=(NomineeGiven(full_name="Meera Example", relationship="daughter", share_bp=10_000),),
        consents=tuple(
            ConsentGiven(consent=one.id, language="en", version=one.version, channel="agent") for one in texts if one
        ),
        undertaking=undertaking,
    )
    return replace(application, **others)


async def enrol(db: Database, keys: FileKeyStore, tenant: Tenant, *applications: Application) -> list[enrolment.Answer]:
    sent = [Enrolment(secrets.token_hex(8), one) for one in applications]
    return await enrolment.enrol(db, tenant, keys, sent, actor="partner:1")


async def joined(db: Database, keys: FileKeyStore, tenant: Tenant, *applications: Application) -> list[Enrolled]:
    answers = await enrol(db, keys, tenant, *(applications or (applying(tenant),)))
    found = [one for one in answers if isinstance(one, Enrolled)]
    assert len(found) == len(answers), answers
    return found


def pays(member: Enrolled, amount: str = "116.00", **others: object) -> Payment:
    payment = Payment(
        member=member.number,
        amount=amount,
        currency="INR",
        channel="auto-debit",
        reference=f"U{secrets.token_hex(8)}",
        sent_by="partner:1",
    )
    return replace(payment, **others)


async def send(db: Database, keys: FileKeyStore, tenant: Tenant, *payments: Payment) -> list[Answer]:
    answers = await Intake(db, keys).receive_many(tenant, payments)
    async with db.unit_of_work(tenant.tenant_id) as session:
        assert [str(one) for one in await ledger.check(session, LAWS)] == []
    return answers


def told(answers: list[Answer]) -> list[str]:
    return [
        (one.reason or one.state) if isinstance(one, Receipt) else one.code.removeprefix("contributions.")
        for one in answers
    ]


async def until(db: Database, tenant: Tenant, day: date) -> None:
    async with db.unit_of_work(tenant.tenant_id) as session:
        await advance_clock(session, tenant, datetime(day.year, day.month, day.day, 6, tzinfo=UTC), "development")


async def change(
    db: Database, keys: FileKeyStore, tenant: Tenant, member: Enrolled, slab: str, frequency: str = "monthly"
) -> Undertaking | EngineError:
    async with db.unit_of_work(tenant.tenant_id) as session:
        found = await enrolment.find_member(session, keys, member.number)
        given = UndertakingGiven(slab=slab, frequency=frequency)  # type: ignore[arg-type]
        return await enrolment.undertake(session, tenant, found, given, actor="partner:1")


async def owed(db: Database, keys: FileKeyStore, tenant: Tenant, member: Enrolled, on: date) -> int | None:
    async with db.unit_of_work(tenant.tenant_id) as session:
        found = await enrolment.find_member(session, keys, member.number)
        payable = await service.contributions_payable(session, tenant, [found], on)
    return next((one.units for one in payable.values()), None)


async def explained(db: Database, keys: FileKeyStore, tenant: Tenant, decision: str) -> str:
    async with db.unit_of_work(tenant.tenant_id) as session:
        found = await reports.tell_decision(session, keys, tenant, int(decision), actor="staff:1", language="en")
    return "\n".join(found.sentences)


async def test_what_is_undertaken_at_joining_is_kept_and_decided_by_the_chart(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    one, other = await joined(
        db, keys, tenant, applying(tenant), applying(tenant, UndertakingGiven(slab="5000", frequency="quarterly"))
    )
    free, unknown, seldom = await enrol(
        db,
        keys,
        tenant,
        applying(tenant, None),
        applying(tenant, UndertakingGiven(slab="6000", frequency="monthly")),
        applying(tenant, UndertakingGiven(slab="1000", frequency="yearly")),
    )

    async with db.unit_of_work(tenant.tenant_id) as session:
        found = [await enrolment.find_member(session, keys, member.number) for member in (one, other)]
        shown = [await enrolment.show_undertaking(session, tenant, member) for member in found]
        event = await session.scalar(
            text("select event_id from undertakings where member_id = :m"), {"m": one.member_id}
        )
    assert [(each.slab, each.frequency, str(each.instalment.decimal())) for each in shown] == [
        ("1000", "monthly", "116.00"),
        ("5000", "quarterly", "1720.00"),
    ]
    assert isinstance(free, Enrolled)
    assert isinstance(unknown, enrolment_errors.UnknownSlab)
    assert unknown.details["allowed"] == "1000, 2000, 3000, 4000, 5000"
    assert isinstance(seldom, enrolment_errors.UnknownFrequency)
    assert seldom.details["allowed"] == "monthly, quarterly, half-yearly"
    why = await explained(db, keys, tenant, str(event))
    assert "“chart” (Chart of instalments)" in why
    assert "NDTV, 2016181" in why


async def test_the_instalment_is_taken_once_a_period_and_nothing_else(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    (member,) = await joined(db, keys, tenant)
    wrong = await send(db, keys, tenant, pays(member, "115.00"), pays(member, "100.00"))
    first = pays(member)
    (receipt,) = await send(db, keys, tenant, first)
    (again, second) = await send(db, keys, tenant, first, pays(member))

    assert told(wrong) == ["not-what-is-due", "not-what-is-due"]
    assert isinstance(wrong[0], errors.NotWhatIsDue)
    assert (wrong[0].details["instalment"], wrong[0].details["allowed"]) == ("116.00", "116.00")
    assert problem_of(wrong[0]).allowed == ("116.00",)
    assert isinstance(receipt, Receipt)
    assert again == receipt
    assert isinstance(second, errors.NothingDue)
    assert second.details["next"] == "2023-05-31"
    why = await explained(db, keys, tenant, receipt.receipt)
    for said in ("Instalment: ₹116.00", "Slab: 1000", "How often: monthly", "Age at joining: 30", "NDTV, 2016181"):
        assert said in why, why
    assumed = second.details["assumptions"]
    assert isinstance(assumed, list)
    assert assumed
    assert problem_of(second).assumptions == tuple(assumed)
    refused = await explained(db, keys, tenant, str(second.details["decision"]))
    assert "“chart” (Chart of instalments)" in refused


async def test_what_is_beyond_all_that_is_due_goes_back_to_the_payer(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    (member,) = await joined(db, keys, tenant)
    paid = pays(member, "232.00")

    (receipt,) = await send(db, keys, tenant, paid)
    (again, nothing) = await send(db, keys, tenant, paid, pays(member, "116.00"))

    assert isinstance(receipt, Receipt)
    assert (receipt.over, [one.amount for one in receipt.parts]) == ("116.00", ["116.00"])
    assert again == receipt
    assert isinstance(nothing, errors.NothingDue)
    async with db.unit_of_work(tenant.tenant_id) as session:
        (part,) = await service.list_suspense(session, tenant)
        figures = await service.suspense_figures(session, tenant)
    assert (part.reason, str(part.amount)) == ("above-due", "116.00")
    assert figures.owed_back.amount == "116.00"
    assert await owed(db, keys, tenant, member, date(2023, 4, 30)) == 0


async def test_in_one_batch_a_payment_counts_for_those_after_it(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    (member,) = await joined(db, keys, tenant)

    answers = await send(db, keys, tenant, pays(member), pays(member), pays(member, is_held=True))

    assert told(answers) == ["received", "nothing-due", "not-taken"]
    assert isinstance(answers[2], Receipt)
    with pytest.raises(errors.NothingDue):
        await give(db, keys, tenant, int(answers[2].receipt), member=member.number)
    await until(db, tenant, date(2023, 5, 1))
    with pytest.raises(errors.NothingDue):  # it was received in April
        await give(db, keys, tenant, int(answers[2].receipt), member=member.number)


async def test_what_was_missed_is_paid_with_its_charge_and_owed_until_then(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    (member,) = await joined(db, keys, tenant)
    assert await owed(db, keys, tenant, member, date(2023, 4, 3)) == 0
    await until(db, tenant, date(2023, 6, 10))  # April's is two months late: 2 × 2 rupees; May's one: 2
    before = await owed(db, keys, tenant, member, date(2023, 6, 10))
    without, (one, two) = (
        await send(db, keys, tenant, pays(member)),
        await send(db, keys, tenant, pays(member, "120.00"), pays(member, "234.00")),
    )
    after = await owed(db, keys, tenant, member, date(2023, 6, 10))

    assert (before, after) == (23_200, 0)
    assert told(without) == ["not-what-is-due"]
    assert isinstance(without[0], errors.NotWhatIsDue)
    assert without[0].details["allowed"] == "120.00, 238.00, 354.00"
    assert problem_of(without[0]).allowed == ("120.00", "238.00", "354.00")
    assert told([one, two]) == ["received", "received"]  # April's; May's and June's
    assert await owed(db, keys, tenant, member, date(2023, 5, 31)) == 23_200
    assert await owed(db, keys, tenant, member, date(2023, 4, 30)) == 11_600
    async with db.unit_of_work(tenant.tenant_id) as session:
        found = await enrolment.find_member(session, keys, member.number)
        statement = await reports.statement(session, tenant, found, number=member.number, as_of=date(2023, 6, 10))
        await until(db, tenant, date(2023, 7, 31))
    assert statement.items["contributions-payable"] == 0
    assert statement.items["surcharge"] == 600
    assert statement.items["contributions-paid"] == 34_800
    assert statement.items["returns"] == 0
    assert await owed(db, keys, tenant, member, date(2023, 7, 31)) == 11_600


async def test_who_undertook_nothing_pays_what_they_like_and_nobody_counts_what_they_owe(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    (member,) = await joined(db, keys, tenant, applying(tenant, None))

    assert told(await send(db, keys, tenant, pays(member, "117.00"), pays(member, "43.00"))) == ["received"] * 2
    assert await owed(db, keys, tenant, member, date(2023, 4, 3)) is None


async def test_a_change_counts_from_the_next_period_and_is_made_once_a_year(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    (member,) = await joined(db, keys, tenant)
    same = await change(db, keys, tenant, member, "1000")
    higher = await change(db, keys, tenant, member, "2000")
    again = await change(db, keys, tenant, member, "3000")
    payments = await send(db, keys, tenant, pays(member, "115.00"), pays(member))
    await until(db, tenant, date(2023, 5, 2))
    later = await send(db, keys, tenant, pays(member), pays(member, "231.00"))
    await until(db, tenant, date(2024, 4, 1))
    in_next_year = await change(db, keys, tenant, member, "1000", "quarterly")

    assert isinstance(same, Undertaking)
    assert same.from_on == date(2023, 4, 3)
    assert isinstance(higher, Undertaking)
    assert (higher.from_on, str(higher.instalment.decimal())) == (date(2023, 5, 1), "231.00")
    assert isinstance(again, enrolment_errors.ChangedTooOften)
    assert "Changes of slab a year: 1" in await explained(db, keys, tenant, str(again.details["decision"]))
    assert told(payments) == ["not-what-is-due", "received"]
    assert told(later) == ["not-what-is-due", "received"]
    assert isinstance(in_next_year, Undertaking)
    assert in_next_year.from_on == date(2024, 5, 1)
    async with db.unit_of_work(tenant.tenant_id) as session:
        rows = await session.execute(
            text("""select u.slab, u.frequency, u.from_on, e.kind, e.pack > 0 and e.decision > 0 from undertakings u
                      join events e on e.member_id = u.member_id and e.event_id = u.event_id
                     where u.member_id = :m order by u.event_id"""),
            {"m": member.member_id},
        )
        assert [tuple(row) for row in rows] == [
            ("1000", "monthly", date(2023, 4, 3), 160, True),
            ("2000", "monthly", date(2023, 5, 1), 161, True),
            ("1000", "quarterly", date(2024, 5, 1), 161, True),
        ]


async def test_the_routes_show_it_change_it_and_list_what_is_allowed(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    (member,) = await joined(db, keys, tenant, applying(tenant, None))
    caller = Caller(tenant.tenant_id, "partner:1", frozenset(Permission), "partner")
    app = Litestar(
        [UndertakingController, EnrolmentTermsController],
        dependencies={
            "caller": Provide(lambda: caller, sync_to_thread=False),
            "tenant": Provide(lambda: tenant, sync_to_thread=False),
            "db": Provide(lambda: db, sync_to_thread=False),
            "keys": Provide(lambda: keys, sync_to_thread=False),
        },
        exception_handlers=exception_handlers(lambda _request, message: message),
    )
    path = f"/v1/members/{member.number}/undertaking"
    async with AsyncTestClient(app) as client:
        none = await client.get(path)
        wrong = await client.post(path, json={"slab": "1500", "frequency": "monthly"})
        given = await client.post(path, json={"slab": "1000", "frequency": "monthly"})
        shown = await client.get(path, params={"product": "apy"})
        elsewhere = await client.get(path, params={"product": "other"})
        terms = await client.get("/v1/enrolment-terms/apy")

    assert (none.status_code, none.json()["code"]) == (409, "enrolment.no-undertaking")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "enrolment.unknown-slab")
    assert "1000, 2000, 3000, 4000, 5000" in wrong.json()["detail"]
    assert (given.status_code, shown.json()) == (200, given.json())
    assert given.json() == {
        "product": "apy",
        "slab": "1000",
        "frequency": "monthly",
        "from_on": "2023-04-03",
        "instalment": "116.00",
        "currency": "INR",
    }
    assert elsewhere.status_code == 404
    assert terms.json()["frequencies"] == ["monthly", "quarterly", "half-yearly"]
    assert terms.json()["slabs"] == ["1000", "2000", "3000", "4000", "5000"]
    assert "1000" in await explained(db, keys, tenant, wrong.json()["decision"])


async def test_of_two_changes_at_once_one_is_made(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    (member,) = await joined(db, keys, tenant)

    answers = await asyncio.gather(*(change(db, keys, tenant, member, slab) for slab in ("2000", "3000", "4000")))

    assert sorted(type(one).__name__ for one in answers) == ["ChangedTooOften", "ChangedTooOften", "Undertaking"]


async def test_who_joined_without_undertakes_later_from_that_day_on(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    (member,) = await joined(db, keys, tenant, applying(tenant, None))
    await send(db, keys, tenant, pays(member, "500.00"))
    await until(db, tenant, date(2023, 5, 20))
    first = await change(db, keys, tenant, member, "1000")

    assert isinstance(first, Undertaking)
    assert first.from_on == date(2023, 5, 20)
    assert await owed(db, keys, tenant, member, date(2023, 5, 20)) == 0
    assert told(await send(db, keys, tenant, pays(member), pays(member))) == ["received", "nothing-due"]


async def test_a_payment_taken_back_is_owed_again(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    (member,) = await joined(db, keys, tenant)
    (receipt,) = await send(db, keys, tenant, pays(member))
    assert isinstance(receipt, Receipt)
    async with db.unit_of_work(tenant.tenant_id) as session:
        await service.propose_reversal(session, tenant, int(receipt.receipt), reason="charged-back", actor="staff:1")
    async with db.unit_of_work(tenant.tenant_id) as session:
        waiting = await service.find_reversal(session, tenant, int(receipt.receipt))
    await service.confirm_reversal(db, keys, tenant, int(receipt.receipt), digest=waiting.digest, actor="staff:2")

    await until(db, tenant, date(2023, 4, 30))
    assert await owed(db, keys, tenant, member, date(2023, 4, 30)) == 11_600
    assert told(await send(db, keys, tenant, pays(member))) == ["received"]


async def test_a_batch_takes_no_more_statements_than_one_payment(
    db: Database, keys: FileKeyStore, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = await joined(db, keys, tenant, *(applying(tenant) for _ in range(40)))
    of_lane = [one for one in members if lane_of(one.number) == lane_of(members[0].number)]
    statements: list[str] = []
    execute = psycopg.AsyncCursor.execute

    async def counted(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        statements.append(str(query))
        return await execute(self, query, *args, **kwargs)

    monkeypatch.setattr(psycopg.AsyncCursor, "execute", counted)
    counts = []
    for batch in (of_lane[:1], of_lane[1:2], of_lane[2:]):  # the first interns accounts and rules
        statements.clear()
        payments = [pays(one) for one in batch]
        assert set(told(await service.receive(db, keys, tenant, payments, lane=lane_of(payments[0].member)))) == {
            "received"
        }
        counts.append(len(statements))
    monkeypatch.undo()

    assert len(of_lane) > 10
    assert counts[2] <= counts[1], counts


async def test_a_further_product_has_an_undertaking_of_its_own(
    db: Database, keys: FileKeyStore, tmp_path: Path
) -> None:
    code = f"in-t{secrets.token_hex(5)}"
    copy = tmp_path / code
    shutil.copytree(PACKS / "in-apy", copy, ignore=shutil.ignore_patterns("demo*", "scenarios"))
    manifest = copy / "pack.toml"
    written = manifest.read_text().replace("in-apy.localhost", f"{code}.localhost")
    first = written[written.index("[[products]]") :]
    manifest.write_text(written + "\n" + first.replace('code = "apy"', 'code = "plus"'))
    shutil.copytree(copy / "apy", copy / "plus")
    tenant = await Tenants.load([copy], KINDS, RUNNERS).create_tenant(db, code, actor="operator:test")
    await until(db, tenant, date(2023, 4, 3))
    (member,) = await joined(db, keys, tenant)
    quarterly = applying(tenant, UndertakingGiven(slab="2000", frequency="quarterly"), product="plus")

    async with db.unit_of_work(tenant.tenant_id) as session:
        found = await enrolment.find_member(session, keys, member.number)
        refused = await enrolment.join_product(
            session,
            tenant,
            keys,
            found,
            "plus",
            actor="partner:1",
            answers=replace(quarterly, undertaking=UndertakingGiven(slab="1", frequency="monthly")),
        )
        assert isinstance(refused, enrolment_errors.UnknownSlab)
        await enrolment.join_product(session, tenant, keys, found, "plus", actor="partner:1", answers=quarterly)

    answers = await send(
        db,
        keys,
        tenant,
        pays(member, "688.00", product="plus"),
        pays(member, "116.00"),
        pays(member, "116.00", product="plus"),
    )
    assert told(answers) == ["received", "received", "nothing-due"]


async def test_pm_sym_takes_its_instalment_on_the_day_it_is_due(
    db: Database, keys: FileKeyStore, tmp_path: Path
) -> None:
    tenant = await serve(db, tmp_path, "in-pm-sym")
    facts = ("income-tax-payer", "nps-member", "esic-member", "epfo-member")

    application = replace(
        applying(tenant, UndertakingGiven(frequency="monthly")),
        product="maan-dhan",
        monthly_income="9000.00",
        declared=tuple(FactDeclared(fact=one, holds=False) for one in facts),
    )
    (member,) = await joined(db, keys, tenant, application)
    channel = tenant.pack.channels[0].code
    early = [pays(member, "105.00", channel=channel), pays(member, "105.00", channel=channel)]

    assert told(await send(db, keys, tenant, *early)) == ["received", "nothing-due"]
    await until(db, tenant, date(2023, 5, 3))
    assert told(await send(db, keys, tenant, pays(member, "105.00", channel=channel))) == ["received"]
    assert await owed(db, keys, tenant, member, date(2023, 6, 3)) == 10_500
