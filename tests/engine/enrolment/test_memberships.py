"""A member in two products: joining another, moving from one to another with all that belongs to it, merging."""

from __future__ import annotations

import re
import secrets
import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import text

from engine.app import KINDS, LAWS, RUNNERS
from engine.contributions import service as contributions
from engine.contributions.errors import KeyReused
from engine.contributions.rules import Payment, Receipt, lane_of
from engine.enrolment import service as enrolment
from engine.enrolment.errors import AlreadyMember, NotInProduct, ProductsDoNotFit, TooYoung
from engine.enrolment.queries import Membership
from engine.enrolment.rules import Application, ConsentGiven, DocumentGiven
from engine.enrolment.service import Enrolled, MoveTerms
from engine.identity.rules import MemberRef
from engine.ledger import service as ledger
from engine.reports import service as reports
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy import service as tenancy
from engine.tenancy.errors import UnknownProduct
from engine.tenancy.service import Tenant, Tenants, advance_clock
from tests.factories import schemes
from tests.factories.suspense import give

SECOND = """
[[products]]
code = "plus"
name = "Plus"
pots = [{ code = "savings", name = "Savings" }]
origins = ["own"]
scheme_year_start = "07-01"
opened_on = 2020-01-01
source = "invented"
"""


@dataclass
class Scheme:
    db: Database
    keys: FileKeyStore
    tenant: Tenant
    people: list[Enrolled]

    async def pay(self, who: Enrolled, amount: str) -> Receipt:
        payment = Payment(
            member=who.number, amount=amount, currency="RWF", channel=self.tenant.pack.channels[0].code,
            reference=secrets.token_hex(6), sent_by="partner:1",
        )  # fmt: skip
        (answer,) = await contributions.receive(self.db, self.keys, self.tenant, [payment], lane=lane_of(who.number))
        assert isinstance(answer, Receipt), answer
        return answer

    async def pay_unmatched(self, amount: str) -> Receipt:
        number = "500000000009"
        payment = Payment(
            member=number, amount=amount, currency="RWF", channel=self.tenant.pack.channels[0].code,
            reference=secrets.token_hex(6), sent_by="partner:1",
        )  # fmt: skip
        (answer,) = await contributions.receive(self.db, self.keys, self.tenant, [payment], lane=lane_of(number))
        assert isinstance(answer, Receipt), answer
        return answer

    async def ref(self, who: Enrolled) -> MemberRef:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await enrolment.find_member(session, self.keys, who.number)

    async def balances(self, who: Enrolled) -> dict[str, int]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            rows = await session.execute(
                text("""select c.product, b.credits - b.debits from balances b join chart c using (tenant_id, code)
                         where b.member_id = :m order by 1"""),
                {"m": who.member_id},
            )
            return {row[0]: row[1] for row in rows}

    async def broken(self) -> list[str]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return [str(one) for one in await ledger.check(session, LAWS)]


@pytest_asyncio.fixture
async def scheme(db: Database, keys: FileKeyStore, tmp_path: Path) -> Scheme:
    code = f"rw-t{secrets.token_hex(5)}"
    copy = tmp_path / code
    shutil.copytree(schemes.PACKS / "rw-ejoheza", copy, ignore=shutil.ignore_patterns("demo*"))
    manifest = copy / "pack.toml"
    manifest.write_text(re.sub(r"rw-ejoheza\.localhost", f"{code}.localhost", manifest.read_text()) + SECOND)
    book = (copy / "ltss/rules/2018-12-14.toml").read_text()
    (copy / "plus/rules").mkdir(parents=True)
    (copy / "plus/rules/2020-01-01.toml").write_text(book.replace("minimum = 16", "minimum = 30"))
    tenants = Tenants.load([copy], KINDS, RUNNERS)
    tenant = await tenants.create_tenant(db, code)
    async with db.unit_of_work(tenant.tenant_id) as session:
        await advance_clock(session, tenant, schemes.START, "development")
    people = await _enrol(db, keys, tenant)
    return Scheme(db, keys, tenant, people)


async def _enrol(db: Database, keys: FileKeyStore, tenant: Tenant) -> list[Enrolled]:
    texts = {consent: tenant.pack.consent(consent, "en") for consent in ("scheme-rules", "personal-data")}
    applications = [
        enrolment.Enrolment(
            secrets.token_hex(6),
            Application(
                product="ltss",
                full_name=f"Example {n}",
                born_on=date(1988 + 10 * n, 3, 4),
                sex="female",
                documents=(DocumentGiven("nid", f"1{1988 + 10 * n}7{secrets.randbelow(10**7):07d}012"),),
                language="en",
                consents=tuple(
                    ConsentGiven(consent=one, language="en", version=text.version, channel="agent")
                    for one, text in texts.items()
                    if text is not None
                ),
            ),
        )
        for n in range(2)
    ]
    answers = await enrolment.enrol(db, tenant, keys, applications, actor="partner:1")
    found = [one for one in answers if isinstance(one, Enrolled)]
    assert len(found) == 2, answers
    return found


async def test_a_member_joins_another_product_by_its_own_ages(scheme: Scheme) -> None:
    older, younger = scheme.people
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        ref = await enrolment.find_member(session, scheme.keys, older.number)
        joined = await enrolment.join_product(session, scheme.tenant, scheme.keys, ref, "plus", actor="partner:1")
        assert isinstance(joined, Membership)
        assert (joined.product, joined.joined_on) == ("plus", date(2023, 4, 3))
        held = await enrolment.memberships_of(session, [older.member_id])
        assert [one.product for one in held[older.member_id]] == ["ltss", "plus"]
        with pytest.raises(AlreadyMember):
            await enrolment.join_product(session, scheme.tenant, scheme.keys, ref, "plus", actor="partner:1")
        with pytest.raises(UnknownProduct):
            await enrolment.join_product(session, scheme.tenant, scheme.keys, ref, "minus", actor="partner:1")
        too_young = await enrolment.find_member(session, scheme.keys, younger.number)
        refused = await enrolment.join_product(
            session, scheme.tenant, scheme.keys, too_young, "plus", actor="partner:1"
        )
        again = await enrolment.join_product(session, scheme.tenant, scheme.keys, too_young, "plus", actor="partner:1")
    assert isinstance(refused, TooYoung)
    assert isinstance(again, TooYoung)
    assert refused.details["decision"] == again.details["decision"]
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        told = await tenancy.explain_decision(session, int(str(refused.details["decision"])))
        assert younger.member_id not in await enrolment.memberships_of(session, [older.member_id])
    assert (told.kind, told.product, told.code) == ("joining", "plus", "enrolment.too-young")
    assert any("joining-age" in one.ref for one in told.rules), told.rules
    assert "age" not in told.inputs
    assert await scheme.broken() == []


async def test_nobody_joins_again_what_they_moved_out_of(scheme: Scheme) -> None:
    older, _ = scheme.people
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await enrolment.move_members(
            session, scheme.tenant, [older.member_id], source="ltss", target="plus", actor="operator:test"
        )
        ref = await enrolment.find_member(session, scheme.keys, older.number)
        with pytest.raises(AlreadyMember):
            await enrolment.join_product(session, scheme.tenant, scheme.keys, ref, "ltss", actor="partner:1")


async def test_a_move_takes_every_franc_and_keeps_the_joining_date(scheme: Scheme) -> None:
    older, _ = scheme.people
    await scheme.pay(older, "1500")
    await scheme.pay(older, "700")
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await advance_clock(session, scheme.tenant, schemes.START.replace(month=9), "development")
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        moved = await enrolment.move_members(
            session, scheme.tenant, [older.member_id], source="ltss", target="plus", actor="operator:test"
        )
        assert set(moved.events) == {older.member_id}
        (held,) = (await enrolment.memberships_of(session, [older.member_id]))[older.member_id]
        assert (held.product, held.joined_on, held.from_on) == ("plus", date(2023, 4, 3), date(2023, 9, 3))
        with pytest.raises(NotInProduct):
            await enrolment.move_members(
                session, scheme.tenant, [older.member_id], source="ltss", target="plus", actor="operator:test"
            )
    assert await scheme.balances(older) == {"ltss": 0, "plus": 2200}
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        ref = await reports.find_member(session, scheme.keys, older.number)
        told = await reports.statement(session, scheme.tenant, ref, number=older.number, as_of=date(2023, 9, 3))
        assert (told.product, told.joined_on) == ("plus", date(2023, 4, 3))
        assert (told.totals.contributed_minor, told.totals.value_minor, told.totals.charges_minor) == (2200, 2200, 0)
    receipt = await scheme.pay(older, "300")
    assert [part.pot for part in receipt.parts] == ["savings"]
    assert await scheme.balances(older) == {"ltss": 0, "plus": 2500}
    assert await scheme.broken() == []


async def test_money_found_after_a_move_goes_where_the_member_is_now(scheme: Scheme) -> None:
    older, _ = scheme.people
    suspended = await scheme.pay_unmatched("900")
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await enrolment.move_members(
            session, scheme.tenant, [older.member_id], source="ltss", target="plus", actor="operator:test"
        )
    await give(scheme.db, scheme.keys, scheme.tenant, int(suspended.receipt), member=older.number)
    assert await scheme.balances(older) == {"plus": 900}
    assert await scheme.broken() == []


async def test_a_member_of_both_is_merged(scheme: Scheme) -> None:
    older, younger = scheme.people
    await scheme.pay(older, "1000")
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        ref = await enrolment.find_member(session, scheme.keys, older.number)
        await enrolment.join_product(session, scheme.tenant, scheme.keys, ref, "plus", actor="partner:1")
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        ids = [older.member_id, younger.member_id]
        moved = await enrolment.move_members(
            session, scheme.tenant, ids, source="ltss", target="plus", actor="operator:test"
        )
        assert set(moved.events) == set(ids)
        held = await enrolment.memberships_of(session, ids)
        assert {len(held[one]) for one in ids} == {1}
        kinds = await session.execute(
            text("select member_id, body ->> 'joined_on' as joined from events where kind = 6 and tenant_id = :t"),
            {"t": scheme.tenant.tenant_id},
        )
        assert {row.joined for row in kinds} == {"2023-04-03"}
    assert await scheme.balances(older) == {"ltss": 0, "plus": 1000}
    assert await scheme.balances(younger) == {}
    assert await scheme.broken() == []


async def test_a_payment_goes_to_the_product_that_it_names(scheme: Scheme) -> None:
    first, second = scheme.people
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        ref = await enrolment.find_member(session, scheme.keys, first.number)
        await enrolment.join_product(session, scheme.tenant, scheme.keys, ref, "plus", actor="partner:1")

    async def paid(who: Enrolled, product: str, reference: str = "") -> object:
        payment = Payment(
            member=who.number, amount="500", currency="RWF", channel=scheme.tenant.pack.channels[0].code,
            reference=reference or secrets.token_hex(6), sent_by="partner:1", product=product,
        )  # fmt: skip
        lane = lane_of(who.number)
        (answer,) = await contributions.receive(scheme.db, scheme.keys, scheme.tenant, [payment], lane=lane)
        return answer

    assert isinstance(await paid(first, "plus", "T-1"), Receipt)
    await paid(first, "")
    assert await scheme.balances(first) == {"ltss": 500, "plus": 500}
    again, otherwise = await paid(first, "plus", "T-1"), await paid(first, "ltss", "T-1")
    assert isinstance(again, Receipt)
    assert isinstance(otherwise, KeyReused)
    held = await paid(second, "plus")
    assert isinstance(held, Receipt)
    assert (held.state, held.reason) == ("suspended", "not-in-product")
    assert isinstance(await paid(second, "minus"), UnknownProduct)
    assert await scheme.balances(second) == {}

    await give(scheme.db, scheme.keys, scheme.tenant, int(held.receipt), member=first.number)
    assert await scheme.balances(first) == {"ltss": 500, "plus": 1000}
    assert await scheme.broken() == []


async def test_products_that_do_not_fit_are_refused(scheme: Scheme) -> None:
    older, _ = scheme.people
    await scheme.pay(older, "1000")
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        with pytest.raises(ProductsDoNotFit):
            await enrolment.move_members(
                session, scheme.tenant, [older.member_id], source="ltss", target="plus",
                terms=MoveTerms(pots={"savings": "retirement"}), actor="operator:test",
            )  # fmt: skip
    assert await scheme.balances(older) == {"ltss": 1000}
