"""Payments find their member by what the product's rule accepts: the member number, or an identity document's in any format."""

import secrets
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import text
from structlog.testing import capture_logs

from engine.contributions import service
from engine.contributions.rules import Payment, Receipt
from engine.contributions.service import Answer, Intake
from engine.enrolment import service as enrolment
from engine.enrolment.rules import DocumentGiven
from engine.enrolment.service import CLASS, Enrolled, StatusWord
from engine.ledger import service as ledger
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant
from tests.factories import joining

NUMBER, OTHER_FORMAT, ANOTHER = "198704401234", "87044 1234-v", "199004405678"


def reference_rule(*accepts: str) -> str:
    listed = ", ".join(f'"{kind}"' for kind in accepts)
    return f"""
[[rule]]
kind = "payment-reference"
id = "payment-reference"
accepts = [{listed}]
source = "Invented: what finds a member"
confidence = "high"
"""


DOCUMENT_OF_FAMILIES = """
[[rule]]
kind = "identity-document"
id = "serial"
document = "serial"
validator = "pattern"
pattern = '[0-9]{12}'
source = "Invented: a register of families with numbers of the same form"
confidence = "high"
"""


async def scheme(db: Database, folder: Path, rules: Mapping[str, str]) -> Tenant:
    return await joining.serve(db, folder, rules=rules)


async def join(db: Database, keys: FileKeyStore, tenant: Tenant, number: str, **others: object) -> Enrolled:
    documents = (DocumentGiven("nid", number),)
    born_on = joining.worker(tenant).born_on.replace(year=int(number[:4]))
    (member,) = await joining.enrol(
        db, keys, tenant, joining.worker(tenant, documents=documents, born_on=born_on, **others)
    )
    assert isinstance(member, Enrolled), member
    async with db.unit_of_work(tenant.tenant_id) as session:
        said = StatusWord(member.member_id, CLASS, "poor", "register", (await ledger.scheme_now(session)).date())
        assert await enrolment.record_statuses(session, tenant, [said], actor="operator:test") == 1
    return member


def pays(reference: str, **others: object) -> Payment:
    payment = Payment(
        member=reference,
        amount="500.00",
        currency="KES",
        channel="till",
        reference=f"T{secrets.token_hex(8)}",
        sent_by="partner:1",
        is_held=True,
    )
    return replace(payment, **others)


async def send(db: Database, keys: FileKeyStore, tenant: Tenant, *payments: Payment) -> list[Answer]:
    return await Intake(db, keys).receive_many(tenant, payments)


def told(answers: list[Answer]) -> list[str]:
    return [(one.reason or one.state) if isinstance(one, Receipt) else one.code for one in answers]


async def holders(db: Database, tenant: Tenant, answers: list[Answer]) -> list[int]:
    async with db.unit_of_work(tenant.tenant_id) as session:
        return [
            await session.scalar(text("select member_id from events where event_id = :e"), {"e": int(one.receipt)})
            for one in answers
            if isinstance(one, Receipt)
        ]


@pytest.mark.parametrize("accepts", [("member-number", "national-id"), ("national-id", "member-number")])
async def test_a_member_is_found_by_their_number_and_by_their_document_in_any_format(
    db: Database, keys: FileKeyStore, tmp_path: Path, accepts: tuple[str, str]
) -> None:
    tenant = await scheme(db, tmp_path, {"workers": reference_rule(*accepts)})
    member, other = await join(db, keys, tenant, NUMBER), await join(db, keys, tenant, ANOTHER)
    payments = [pays(one) for one in (member.number, NUMBER, OTHER_FORMAT, ANOTHER)]

    answers = await send(db, keys, tenant, *payments)
    again = await send(db, keys, tenant, *payments)

    assert told(answers) == ["received"] * 4
    assert await holders(db, tenant, answers) == [*[member.member_id] * 3, other.member_id]
    assert again == answers


async def test_a_document_finds_nobody_where_the_rule_does_not_accept_it(
    db: Database, keys: FileKeyStore, tmp_path: Path
) -> None:
    plain = await scheme(db, tmp_path / "plain", {})
    refusing = await scheme(db, tmp_path / "refusing", {"families": reference_rule("national-id")})
    for tenant in (plain, refusing):
        await join(db, keys, tenant, NUMBER)

    assert told(await send(db, keys, plain, pays(NUMBER))) == ["bad-check-digit"]
    assert told(await send(db, keys, refusing, pays(NUMBER))) == ["unknown-member"]


async def test_a_member_number_finds_nobody_where_documents_alone_are_accepted(
    db: Database, keys: FileKeyStore, tmp_path: Path
) -> None:
    tenant = await scheme(db, tmp_path, {"workers": reference_rule("national-id")})
    member = await join(db, keys, tenant, NUMBER)

    assert told(await send(db, keys, tenant, pays(member.number), pays(NUMBER))) == ["unknown-member", "received"]


async def test_what_is_nobodys_waits_and_says_why(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    rules = reference_rule("member-number", "national-id")
    tenant = await scheme(db, tmp_path, {"workers": rules, "families": DOCUMENT_OF_FAMILIES + rules})
    await join(db, keys, tenant, NUMBER)
    (child,) = await joining.enrol(
        db,
        keys,
        tenant,
        joining.child(documents=(DocumentGiven("birth-certificate", "4711"), DocumentGiven("serial", NUMBER))),
    )
    assert isinstance(child, Enrolled), child

    answers = await send(
        db,
        keys,
        tenant,
        pays(NUMBER),
        pays(ANOTHER),
        pays("Amina Example"),
        pays(child.number, product="workers"),
    )

    assert told(answers) == ["several-members", "unknown-member", "bad-check-digit", "not-in-product"]


async def test_rows_of_a_file_find_their_members_by_document(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    tenant = await scheme(db, tmp_path, {"workers": reference_rule("member-number", "national-id")})
    await join(db, keys, tenant, NUMBER)
    rows = [f"{number},500.00,KES,till,F{row}" for row, number in enumerate((NUMBER, OTHER_FORMAT, ANOTHER))]
    raw = "\n".join(["member,amount,currency,channel,reference", *rows]).encode()

    report = await service.import_file(db, keys, tenant, raw, name="dues.csv", actor="operator:test")

    assert (report.received, report.suspended, report.refused) == (2, 1, [])


async def test_the_number_stands_nowhere_in_clear(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    tenant = await scheme(db, tmp_path, {"workers": reference_rule("member-number", "national-id")})
    await join(db, keys, tenant, NUMBER)

    with capture_logs() as logs:
        answers = await send(db, keys, tenant, pays(NUMBER), pays(ANOTHER))

    assert told(answers) == ["received", "unknown-member"]
    assert not [line for line in logs if NUMBER in str(line) or ANOTHER in str(line)]
    async with db.unit_of_work(tenant.tenant_id) as session:
        written = [
            await session.scalar(text(f"select coalesce(string_agg(w::text, ' '), '') from {table} w"))
            for table in ("events", "suspense", "claims", "decisions", "determinations")
        ]
    assert "bad-check-digit" not in written[0]
    assert not [kept for kept in written if NUMBER in kept or ANOTHER in kept]
    assert ANOTHER.encode().hex() not in written[1]
