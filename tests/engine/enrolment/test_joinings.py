"""What joining decides is kept, goes along into other products, and goes with the person."""

import shutil
from datetime import date
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import text

from engine.app import LAWS
from engine.enrolment import errors
from engine.enrolment import service as enrolment
from engine.enrolment.queries import Membership
from engine.enrolment.rules import RULE_KINDS, DocumentGiven, FactDeclared, terms_of
from engine.enrolment.service import Enrolled
from engine.identity import service as identity
from engine.ledger import service as ledger
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant, load_pack
from tests.factories.joining import PACK, child, enrol, serve, worker


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(db: Database, tmp_path: Path) -> Tenant:
    return await serve(db, tmp_path)


async def membership(db: Database, tenant: Tenant, member_id: int, product: str = "workers") -> Membership:
    async with db.unit_of_work(tenant.tenant_id) as session:
        held = (await enrolment.memberships_of(session, [member_id]))[member_id]
        assert await ledger.check(session, LAWS) == []
    return next(one for one in held if one.product == product)


async def test_age_class_level_and_what_is_outstanding_are_kept(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    whole, unproven = await enrol(db, keys, tenant, worker(tenant), worker(tenant, group_proof=""))
    assert isinstance(whole, Enrolled)
    assert isinstance(unproven, Enrolled)

    kept = await membership(db, tenant, whole.member_id)

    assert (kept.entry_age, kept.person_class, kept.level, kept.completes_on) == (33, "citizen", "basic", None)
    assert (await membership(db, tenant, unproven.member_id)).completes_on == date(2023, 5, 18)


async def test_what_was_declared_is_on_record_for_good(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    (joined,) = await enrol(db, keys, tenant, worker(tenant, group_proof=""))
    assert isinstance(joined, Enrolled)

    async with db.unit_of_work(tenant.tenant_id) as session:
        body = await session.scalar(
            text("select body from events where member_id = :m and kind = 1"), {"m": joined.member_id}
        )

    assert body == {
        "product": "workers",
        "documents": ["nid"],
        "level": "basic",
        "declared": {"income-tax-payer": False},
        "proven": False,
    }


async def test_a_guardian_is_kept_in_the_vault_and_nowhere_else(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    joined, alone = await enrol(db, keys, tenant, child(), child(guardian=None))
    assert isinstance(joined, Enrolled)
    assert isinstance(alone, errors.GuardianMissing)

    async with db.unit_of_work(tenant.tenant_id) as session:
        people = await identity.read_people(session, keys, [joined.member_id], actor="staff:1", reason="test")
        told = await session.scalar(
            text("select string_agg(body::text, '') from events where member_id = :m"), {"m": joined.member_id}
        )

    guardian = people[joined.member_id].guardian
    assert guardian is not None
    assert (guardian.full_name, guardian.relationship) == ("Amina Example", "mother")
    assert (guardian.document.document, guardian.document.number) == ("card", "123456")
    assert "mother" not in told
    assert "123456" not in told
    assert (await membership(db, tenant, joined.member_id, "families")).completes_on == date(2031, 6, 2)


async def test_nobody_joins_twice_by_an_equivalent_number_or_one_issued_anew(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    passport = DocumentGiven("passport", "C7654321", date(2030, 1, 1))
    anew = DocumentGiven("passport", "C1234567", date(2033, 1, 1), "C7654321")
    emigrant = worker(tenant, person_class="emigrant")
    answers = await enrol(
        db,
        keys,
        tenant,
        worker(tenant, documents=(DocumentGiven("nid", "199012305678"),)),
        worker(tenant, documents=(DocumentGiven("nid", "90123 5678 V"),)),
        worker(tenant, documents=(passport,), person_class="emigrant"),
        worker(tenant, documents=(anew,), person_class=emigrant.person_class),
    )

    assert [type(one) for one in answers] == [Enrolled, errors.AlreadyMember, Enrolled, errors.AlreadyMember]


async def test_another_product_asks_its_own_questions(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    (joined,) = await enrol(db, keys, tenant, worker(tenant))
    assert isinstance(joined, Enrolled)
    async with db.unit_of_work(tenant.tenant_id) as session:
        member = await enrolment.find_member(session, keys, joined.number)
        silent = await enrolment.join_product(session, tenant, keys, member, "families", actor="partner:1")
        rich = await enrolment.join_product(
            session, tenant, keys, member, "families", actor="partner:1", answers=child(monthly_income="9000.01")
        )
        assert [type(one) for one in (silent, rich)] == [errors.IncomeMissing, errors.IncomeTooHigh]
        await enrolment.join_product(session, tenant, keys, member, "families", actor="partner:1", answers=child())

    kept = await membership(db, tenant, joined.member_id, "families")
    assert (kept.entry_age, kept.completes_on) == (32, None)  # 33 on 3 April; the scheme year began two days before


async def test_a_child_does_not_join_what_takes_adults_alone(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    (joined,) = await enrol(db, keys, tenant, child())
    assert isinstance(joined, Enrolled)
    async with db.unit_of_work(tenant.tenant_id) as session:
        member = await enrolment.find_member(session, keys, joined.number)
        refused = await enrolment.join_product(
            session, tenant, keys, member, "workers", actor="partner:1", answers=worker(tenant)
        )
    assert isinstance(refused, errors.TooYoung)


async def test_what_joining_decided_goes_along_into_another_product(
    db: Database, keys: FileKeyStore, tenant: Tenant
) -> None:
    (joined,) = await enrol(db, keys, tenant, worker(tenant, group_proof=""))
    assert isinstance(joined, Enrolled)
    async with db.unit_of_work(tenant.tenant_id) as session:
        await enrolment.move_members(
            session, tenant, [joined.member_id], source="workers", target="families", actor="operator:test"
        )

    kept = await membership(db, tenant, joined.member_id, "families")

    assert (kept.entry_age, kept.person_class, kept.level) == (33, "citizen", "basic")
    assert kept.completes_on == date(2023, 5, 18)


async def test_with_the_person_goes_what_leads_to_their_birth(db: Database, keys: FileKeyStore, tenant: Tenant) -> None:
    (joined,) = await enrol(db, keys, tenant, child())
    assert isinstance(joined, Enrolled)
    async with db.unit_of_work(tenant.tenant_id) as session:
        await identity.erase(session, joined.member_id, actor="staff:1", business_date=joined.joined_on)

    kept = await membership(db, tenant, joined.member_id, "families")

    assert (kept.entry_age, kept.completes_on, kept.person_class, kept.level) == (None, None, "", "")


@pytest.mark.parametrize(
    ("declared", "code"),
    [
        ((), "enrolment.declaration-missing"),
        ((FactDeclared(fact="income-tax-payer", holds=True),), "enrolment.excluded"),
    ],
)
async def test_a_refusal_is_on_record_with_its_rules_and_without_the_person(
    db: Database, keys: FileKeyStore, tenant: Tenant, declared: tuple[FactDeclared, ...], code: str
) -> None:
    (refused,) = await enrol(db, keys, tenant, worker(tenant, declared=declared))
    assert isinstance(refused, errors.DeclarationMissing | errors.Excluded)

    async with db.unit_of_work(tenant.tenant_id) as session:
        row = (
            await session.execute(
                text("select code, inputs from determinations where decision_id = :n"),
                {"n": int(str(refused.details["decision"]))},
            )
        ).one()

    assert row[0] == code
    assert row[1] == {"age": 33}


def test_rules_that_apply_by_birth_are_read_by_it(tmp_path: Path) -> None:
    copy = tmp_path / "xx-enrolment"
    shutil.copytree(PACK, copy, ignore=shutil.ignore_patterns("scenarios"))
    book = copy / "workers/rules/2020-04-01.toml"
    book.rename(book.with_name("1990-01-01.toml"))
    book.with_name("2004-01-01.toml").write_text(
        '[[rule]]\nkind = "eligibility-age"\nid = "joining-age"\napplies_by = "birth"\nminimum = 25\n'
        'source = "Invented: the rules of joining"\nconfidence = "high"\n'
    )
    pack = load_pack(copy, RULE_KINDS)

    ages = [terms_of(pack, "workers", date(2024, 4, 1), born).age for born in (date(2003, 12, 31), date(2004, 1, 1))]

    assert [one.rule.minimum for one in ages if one is not None] == [18, 25]
