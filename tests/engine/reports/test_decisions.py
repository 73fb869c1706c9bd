"""Any decision ever made is explained: by the rules, figures and sources of the pack version that made it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import text

from engine.app import KINDS
from engine.contributions import service as contributions
from engine.contributions.rules import Payment, Receipt, lane_of
from engine.kernel.errors import EngineError
from engine.ledger import service as ledger
from engine.reports import service as reports
from engine.reports.errors import UnknownMember
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy import service as tenancy
from engine.tenancy.errors import UnknownDecision
from engine.tenancy.rules.decided import Determination, RunDecided
from engine.tenancy.service import Tenant
from tests.factories import schemes


async def paid(db: Database, keys: FileKeyStore, tenant: Tenant, number: str, amount: str) -> Receipt | EngineError:
    payment = Payment(
        member=number, amount=amount, currency="INR", channel="upi", reference=f"R-{amount}", sent_by="partner:1"
    )
    (answer,) = await contributions.receive(db, keys, tenant, [payment], lane=lane_of(number))
    return answer


@pytest.fixture
async def tenant(db: Database, tmp_path: Path) -> Tenant:
    return await schemes.serve(db, tmp_path)


@pytest.fixture
async def number(db: Database, keys: FileKeyStore, tenant: Tenant) -> str:
    (member,) = await schemes.enrol(db, keys, tenant, ["sahyog"])
    return member.number


async def test_a_receipt_is_explained_by_its_rules_and_their_sources(
    db: Database, keys: FileKeyStore, tenant: Tenant, number: str
) -> None:
    receipt = await paid(db, keys, tenant, number, "500.00")
    assert isinstance(receipt, Receipt)
    async with db.unit_of_work(tenant.tenant_id) as session:
        told = await reports.tell_decision(session, keys, tenant, int(receipt.receipt), actor="staff:1", language="en")
    assert told.decision.kind == "contribution-received"
    assert [one.ref for one in told.decision.rules] == [
        "contribution-amount@2010-04-01",
        "contribution-split@2010-04-01",
    ]
    assert told.decision.rules[0].parameters == {"minimum": "100.00", "maximum": "12000.00"}
    assert told.sentences[0] == "Contribution received: decided on 3 Apr 2023."
    assert told.sentences[1] == "Result – Booked to – money – Retirement savings – own savings: ₹500.00."
    assert "PFRDA" in told.sentences[3]
    assert told.decision.outcome == {"booked.cash.retirement.own": "50000"}
    assert told.decision.inputs["amount"] == "50000"
    assert "ref" not in told.decision.inputs


async def test_it_is_told_in_the_members_own_language(
    db: Database, keys: FileKeyStore, tenant: Tenant, number: str
) -> None:
    receipt = await paid(db, keys, tenant, number, "500.00")
    assert isinstance(receipt, Receipt)
    async with db.unit_of_work(tenant.tenant_id) as session:
        told = await reports.tell_decision(session, keys, tenant, int(receipt.receipt), actor="staff:1")
    assert told.language == "hi"


async def test_a_refusal_bears_a_number_and_is_explained(
    db: Database, keys: FileKeyStore, tenant: Tenant, number: str
) -> None:
    refusal = await paid(db, keys, tenant, number, "99.99")
    assert isinstance(refusal, EngineError)
    decision = int(str(refusal.details["decision"]))
    async with db.unit_of_work(tenant.tenant_id) as session:
        told = await reports.tell_decision(session, keys, tenant, decision, actor="staff:1", language="en")
    assert (told.decision.code, told.decision.kind) == ("contributions.below-minimum", "contribution")
    assert told.decision.decided_on == date(2023, 4, 3)
    assert told.decision.inputs == {"amount": "99.99", "channel": "upi"}
    assert told.decision.outcome == {"minimum": "100.00"}
    assert told.sentences[0] == "Contribution: refused on 3 Apr 2023. The smallest contribution is ₹100.00."


async def test_another_tenants_decision_is_not_there(
    db: Database, keys: FileKeyStore, tenant: Tenant, number: str, tmp_path: Path
) -> None:
    receipt = await paid(db, keys, tenant, number, "500.00")
    refusal = await paid(db, keys, tenant, number, "99.99")
    assert isinstance(receipt, Receipt)
    assert isinstance(refusal, EngineError)
    other = await schemes.serve(db, tmp_path)
    for decision in (int(receipt.receipt), int(str(refusal.details["decision"])), 1):
        async with db.unit_of_work(other.tenant_id) as session:
            with pytest.raises(UnknownDecision):
                await reports.tell_decision(session, keys, other, decision, actor="staff:1")


async def test_it_is_told_by_the_names_of_the_version_that_decided(
    db: Database, keys: FileKeyStore, tenant: Tenant, number: str, tmp_path: Path
) -> None:
    receipt = await paid(db, keys, tenant, number, "500.00")
    assert isinstance(receipt, Receipt)
    manifest = tmp_path / tenant.code / "pack.toml"
    written = manifest.read_text(encoding="utf-8")
    manifest.write_text(written.replace("Retirement savings", "Old-age savings"), encoding="utf-8")
    async with db.unit_of_work(tenant.tenant_id) as session:
        pack = tenancy.load_pack(tmp_path / tenant.code, KINDS)
        today = replace(tenant, pack=pack, pack_id=await tenancy.activate_pack(session, pack))
    async with db.unit_of_work(tenant.tenant_id) as session:
        before, after = [
            await reports.tell_decision(session, keys, version, int(receipt.receipt), actor="staff:1", language="en")
            for version in (tenant, today)
        ]
    assert "Old-age savings" in {pot.name for product in pack.products for pot in product.pots}
    assert "Retirement savings" in before.sentences[1]
    assert after.sentences == before.sentences


async def test_a_run_tells_a_member_why_they_got_nothing(
    db: Database, keys: FileKeyStore, tenant: Tenant, number: str
) -> None:
    async with db.unit_of_work(tenant.tenant_id) as session:
        run = RunDecided(
            kind="match", run_no=3, product="nps-lite", decided_on=date(2023, 4, 3),
            rules=["swavalamban@2010-04-01"], inputs={"claim": 3, "year_from": "2022-04-01"},
        )  # fmt: skip
        decision = await tenancy.record_run(session, tenant, run)
        member = await reports.find_member(session, keys, number)
        await session.execute(
            text("insert into zero_results values (:m, :d, 99900, :t, 'any', 'below-threshold')"),
            {"m": member.member_id, "d": decision, "t": tenant.tenant_id},
        )
    async with db.unit_of_work(tenant.tenant_id) as session:
        (zero,) = await reports.nothing_given(session, keys, number)
        told, hindi = [
            await reports.tell_decision(
                session, keys, tenant, zero.decision_id, actor="staff:1", language=language, member=number
            )
            for language in ("en", None)
        ]
        with pytest.raises(UnknownMember):
            await reports.tell_decision(session, keys, tenant, decision, actor="staff:1", member="500000000009")

    assert told.sentences[:3] == (
        "State contribution: decided on 3 Apr 2023.",
        "Result – Amount: ₹0.00.",
        "Result – Reason – any: less was saved than the threshold.",
    )
    assert "Given – Counted on – any: ₹999.00." in told.sentences
    assert hindi.language == "hi"
    assert "Swavalamban" in "".join(hindi.sentences)


GOLDEN = Path(__file__).parents[2] / "golden/decisions/earlier-release.json"
"""Decisions and the pack they were made by, and how the release before explained them, in its own words."""


async def test_decisions_of_an_earlier_release_and_three_versions_ago_are_explained_as_they_were(
    db: Database, keys: FileKeyStore, tenant: Tenant, tmp_path: Path
) -> None:
    """The old pack holds a kind of rule that this engine has never known, and lacks a rule that decided."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert "stamp-duty" not in {kind.__struct_config__.tag for kind in KINDS}
    async with db.unit_of_work(tenant.tenant_id) as session:
        stored = {"code": tenant.code, "files": golden["files"]}
        old = await ledger.pack_id(session, hashlib.sha256(GOLDEN.read_bytes()).hexdigest(), stored)
        made = [
            Determination(
                kind=one["kind"],
                product=one["product"],
                decided_on=date.fromisoformat(one["decided_on"]),
                rules=one["rules"],
                code=one["code"],
                inputs=one["inputs"],
                outcome=one["outcome"],
            )
            for one in golden["decisions"]
        ]
        numbers = await tenancy.record(session, replace(tenant, pack_id=old), made)
    for turn in range(3):
        page = tmp_path / tenant.code / "nps-lite/rules/2025-10-01.toml"
        page.write_text(f"{page.read_text(encoding='utf-8')}\n# Version {turn}.\n", encoding="utf-8")
        async with db.unit_of_work(tenant.tenant_id) as session:
            await tenancy.activate_pack(session, tenancy.load_pack(tmp_path / tenant.code, KINDS))
    async with db.unit_of_work(tenant.tenant_id) as session:
        versions = await session.scalar(
            text("select count(*) from packs where tenant_id = :t"), {"t": tenant.tenant_id}
        )
        told = [
            await reports.tell_decision(session, keys, tenant, number, actor="staff:1", language="en")
            for number in numbers
        ]
        hindi = await reports.tell_decision(session, keys, tenant, numbers[0], actor="staff:1", language="hi")

    assert versions == 5  # the scheme's own, the old one, three since
    assert [list(one.sentences) for one in told] == [one["told"] for one in golden["decisions"]]
    assert [one.decision.code for one in told] == ["contributions.below-minimum", ""]
    assert told[1].decision.outcome == {"amount": "0"}
    for one, kept in zip(told, golden["decisions"], strict=True):
        stated = [None if rule is None else asdict(rule) for rule in one.decision.used]
        facts = [rule and {"version": rule.pop("ref"), **rule} for rule in stated]
        assert [rule and {name: rule[name] for name in rule if name != "values"} for rule in facts] == kept["used"]
        assert (one.decision.inputs, one.decision.outcome) == (kept["inputs"], kept["outcome"])
    assert not set(hindi.sentences) & set(told[0].sentences)
    assert all("100.00" in one for one in (hindi.sentences[0], told[0].sentences[0]))
