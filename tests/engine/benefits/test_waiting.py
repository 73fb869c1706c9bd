"""Waiting periods of benefits, as claims obey them: paid months are counted from the books, and a refusal names the rule."""

from datetime import date
from pathlib import Path
from typing import Any

from engine.benefits import service
from engine.benefits.rules import available
from engine.runtime.database import Database
from tests.factories.claims import MAKER, open_scheme

WAITS = """
[[rule]]
kind = "waiting-period"
id = "three-months"
benefits = ["early-access"]
months = 3
counts = "consecutive-months"
least_in_month = "1000"
net_of_reversals = true
source = "invented"
confidence = "high"
"""
SCHOOL: dict[str, Any] = {"rule": "early-access", "purpose": "education"}


async def test_a_benefit_opens_after_its_paid_months(db: Database, tenant_id: int, tmp_path: Path) -> None:
    scheme = await open_scheme(db, tenant_id, tmp_path, "rw-ejoheza", "2023-02-01T08:00:00", rules=WAITS)
    member = await scheme.member(date(2021, 6, 1), date(1983, 1, 1))
    for month, minor in ((1, 600), (1, 400), (2, 1_000), (3, 999), (4, 1_000)):
        await scheme.pay(member, minor, pot="savings", on=date(2022, month, 5))
    await scheme.pay(member, 5_000, pot="savings", on=date(2022, 3, 6), origin="state-match")

    refused = await scheme.claim(member, "access", **SCHOOL)

    assert (refused.state, refused.reason) == ("refused", "benefits.still-waiting")
    ((rules,),) = await scheme.rows(
        "select d.trace ->> 'rules' from determinations r join decisions d on d.decision_id = r.decision where r.decision_id = :d or r.code = 'benefits.still-waiting'",
        d=refused.decision,
    )
    assert "three-months" in rules
    async with db.unit_of_work(tenant_id) as session:
        stands = await service.standing_of(session, scheme.keys, scheme.tenant, member, actor=MAKER)
    ways = available(
        stands.terms, stands.claimant, stands.figures, scheme.tenant.product("ltss").scheme_year, scheme.tenant.asset
    )
    (told,) = [one for one in ways if one.rule.id == "early-access"]
    assert (told.minor, told.reason, told.details) == (None, "benefits.still-waiting", {"months": "3", "missing": "1"})

    await scheme.pay(member, 1, pot="savings", on=date(2022, 3, 7))
    granted = await scheme.claim(member, "access", key="k2", **SCHOOL)
    assert (granted.state, granted.amount) == ("decided", 1_600)
    assert not await scheme.broken()
