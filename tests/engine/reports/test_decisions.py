"""Any decision ever made is explained: by the rules, figures and sources of the pack version that made it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from engine.contributions import service as contributions
from engine.contributions.rules import Payment, Receipt, lane_of
from engine.kernel.errors import EngineError
from engine.reports import service as reports
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.errors import UnknownDecision
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
    assert "PFRDA" in told.sentences[0]
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
    assert any("minimum 100.00" in sentence for sentence in told.sentences)


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
