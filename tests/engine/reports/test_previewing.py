"""A preview of fees, interest, exits, tax, benefit ages, pensions and dues; after activation the use cases give the same."""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from engine.app import KINDS, RUNNERS
from engine.benefits import service as benefits
from engine.benefits.queries.claiming import Request
from engine.benefits.rules.claiming import begins_on, ways
from engine.contributions import errors
from engine.contributions import service as contributions
from engine.funds import service as funds
from engine.reports import service as reports
from engine.tenancy import service as tenancy
from engine.tenancy.service import Tenants, advance_clock, load_pack
from tests.engine.contributions.test_undertaken import joined, pays, send
from tests.engine.reports.test_entitlements import Scheme, scheme
from tests.factories.schemes import serve

if TYPE_CHECKING:
    from pathlib import Path

    from engine.runtime.database import Database
    from engine.runtime.key_file import FileKeyStore

__all__ = ["scheme"]
BASE = """
[[rule]]
kind = "fee"
id = "monthly"
charged = "month"
payee = "operator"
percent = "1.2"
percent_of = "assets"
part_period = "whole"
taken_from = "cash"
order = {{ pots = ["savings"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }}
may_empty = true
rank = 1
when_short = "waive"
rounding = "half-up"
vat = "{vat}"
source = "invented law"
confidence = "high"

[[rule]]
kind = "declared-return"
id = "interest"
series = "declared-interest"
until_declared = "last-declared"
leavers_trued_up = true
overpaid = "recovered"
credited = "year-end"
source = "invented law"
confidence = "high"

[rule.interest]
day_count = "{day_count}"
first_day_counts = false
last_day_counts = true
balance = "daily"
interest = "compound"
posted_every_months = 12
rounding = "down"

[[rule]]
kind = "early-exit"
id = "leaving"
ground = "voluntary"
from_years = 0
counted_from = "joining"
leap_day = "1-march"
pays = {pays}
income = "fund"
forfeited_to = "scheme"
source = "invented law"
confidence = "high"

[[rule]]
kind = "exit-tax"
id = "tax"
on_grounds = ["voluntary"]
method = "proportional"
taxed = "all"
pre_tax_only = false
years_of = "joining"
bands = [{{ from_years = 0, percent = "{tax}" }}]
leap_day = "1-march"
rounding = "half-up"
paid_to = "revenue"
source = "invented law"
confidence = "high"

[[rule]]
kind = "benefit-age"
id = "age"
ages = [{{ sex = "any", years = {age} }}]
counted_from = "joining"
begins = "birthday"
leap_day = "1-march"
source = "invented law"
confidence = "high"

[[rule]]
kind = "pension"
id = "basic"
form = "fixed"
amount = "{pension}"
every_months = 1
due = "in-advance"
pay_day = "day-of-start"
rounding = "down"
source = "invented law"
confidence = "high"

[[rule]]
kind = "projection"
id = "projection"
cautious_percent = "0"
expected_percent = "2"
favourable_percent = "4"
returns = "real"
inflation_percent = "4"
charges_bp = 0
contributions_rise_percent = "4"
contributions = "arrears"
lump_bp = 10000
rounding = "down"
pension = "basic"
source = "invented law"
confidence = "low"
assumption = "invented"
"""
MATCH_CLAIM = """
[[rule]]
kind = "match-claim"
id = "claim"
funder = "state"
after_days = 0
short_receipt = "pro-rata"
unpaid_rest = "claim-again"
clawback_from = "state-money"
source = "invented law"
confidence = "high"
"""
OLD = {"vat": "10", "day_count": "actual/365", "pays": '["own"]', "tax": "5", "age": 55, "pension": "4000"}
NEW = {"vat": "18", "day_count": "actual/360", "pays": '["own"]', "tax": "7.5", "age": 50, "pension": "5500"}
ON = date(2023, 12, 31)


async def at(scheme: Scheme, day: date) -> None:
    instant = datetime(day.year, day.month, day.day, 9, tzinfo=UTC)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await advance_clock(session, scheme.tenant, instant, "development")


async def activated(scheme: Scheme, page: str, rules: str, since: date) -> None:
    (scheme.folder / f"ltss/rules/{page}.toml").write_text(rules)
    new = load_pack(scheme.folder, KINDS)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        one = await tenancy.propose_pack(session, scheme.tenant, new, in_force_from=since, actor="staff:1")
        await tenancy.approve_pack(session, scheme.tenant, one.proposal_id, sha256=new.sha256, actor="staff:2")
    await scheme.tenants.activate(scheme.db)


async def previewed(scheme: Scheme, page: str, rules: str, on: date = ON) -> dict[str, dict[int, str]]:
    """What every figure that changes becomes, by figure and member."""
    file = scheme.folder / f"ltss/rules/{page}.toml"
    file.write_text(rules)
    new = load_pack(scheme.folder, KINDS)
    file.unlink()
    found: dict[str, dict[int, str]] = {}
    events = await counts(scheme)
    async for one in scheme.preview(new, on, reports.Preview()):
        found.setdefault(one.figure, {})[one.member_id] = one.after or ""
    assert await counts(scheme) == events, "a preview posts nothing"
    return found


async def counts(scheme: Scheme) -> list[int]:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return [
            int(await session.scalar(text(f"select count(*) from {table}")) or 0)
            for table in ("events", "transfers", "fee_runs", "fee_lines", "interest_runs", "decisions")
        ]


async def rows(scheme: Scheme, sql: str) -> dict[int, int]:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return {row[0]: row[1] for row in await session.execute(text(sql))}


@pytest.fixture
def changed() -> str:
    return "[change]\nenacted_on = 2023-12-31\n" + BASE.format(**NEW)


async def test_fees_and_interest_after_activation_equal_the_preview(scheme: Scheme, changed: str) -> None:
    await activated(scheme, "2019-06-01", BASE.format(**OLD), date(2023, 4, 3))
    await at(scheme, date(2023, 12, 31))
    found = await previewed(scheme, "2023-01-01-law", changed)
    members = {one.member_id for one in scheme.members}
    assert found["fee.monthly"].keys() == members
    assert found["interest"].keys() == members
    await activated(scheme, "2023-01-01-law", changed, ON)
    await at(scheme, date(2024, 1, 2))

    run = await benefits.propose_fees(scheme.db, scheme.tenant, "ltss", ON, actor="staff:1")
    charged = await rows(scheme, "select member_id, net + vat from fee_lines")
    assert {member: str(minor) for member, minor in charged.items()} == found["fee.monthly"]
    assert run.state == "proposed"
    await funds.credit_interest(scheme.db, scheme.tenant, "ltss", ON, "staff:1")
    credited = await rows(scheme, "select member_id, sum(minor)::bigint from interest_credits group by 1")
    assert {member: str(minor) for member, minor in credited.items()} == found["interest"]


async def test_exits_taxes_ages_and_pensions_after_activation_equal_the_preview(scheme: Scheme, changed: str) -> None:
    await activated(scheme, "2019-06-01", BASE.format(**OLD), date(2023, 4, 3))
    await at(scheme, date(2023, 12, 31))
    found = await previewed(scheme, "2023-01-01-law", changed)
    assert "exit.voluntary" not in found, "what does not change is not told"
    await activated(scheme, "2023-01-01-law", changed, ON)
    for member in scheme.members:
        key = member.member_id
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            ref = await reports.find_member(session, scheme.keys, member.number)
            stands = await benefits.standing_of(session, scheme.keys, scheme.tenant, ref, actor="staff:1")
            told = await reports.expectation_of(session, scheme.keys, scheme.tenant, ref, on=ON, actor="staff:1")
            claim = await benefits.open_claim(
                session, scheme.keys, scheme.tenant, ref, kind="exit", request=Request(ground="voluntary"),
                minor=None, key=secrets.token_hex(8), actor="staff:1",
            )  # fmt: skip
        assert stands.terms.age is not None
        assert begins_on(stands.terms.age, stands.claimant).day.isoformat() == found["benefit-age"][key] == "2038-03-04"
        assert str(claim.tax) == found["tax.exit.voluntary"][key]
        assert told is not None
        assert [str(one.amount) for one in told.promises] == [found["pension.basic"][key]] == ["5500"]


async def test_what_a_leaver_forfeits_after_activation_equals_the_preview(scheme: Scheme) -> None:
    await activated(scheme, "2019-06-01", BASE.format(**OLD), date(2023, 4, 3))
    await at(scheme, date(2023, 12, 31))
    harsh = "[change]\nenacted_on = 2023-12-31\n" + BASE.format(**(OLD | {"pays": '["state-match"]'}))
    milder = harsh.replace('pays = ["state-match"]', 'pays = ["own"]').replace('income = "fund"', 'income = "none"')
    found = await previewed(scheme, "2023-01-01-law", harsh)
    assert set(found["exit.voluntary"].values()) == {"benefits.nothing-at-once"}
    assert await previewed(scheme, "2023-01-01-law", milder) == {}, "contributions alone are all there is"
    await activated(scheme, "2023-01-01-law", harsh, ON)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        ref = await reports.find_member(session, scheme.keys, scheme.members[0].number)
        stands = await benefits.standing_of(session, scheme.keys, scheme.tenant, ref, actor="staff:1")
        claim = await benefits.open_claim(
            session, scheme.keys, scheme.tenant, ref, kind="exit", request=Request(ground="voluntary"),
            minor=None, key="leave", actor="staff:1",
        )  # fmt: skip
    assert (claim.state, claim.reason) == ("refused", "benefits.nothing-at-once")
    assert [way.kind for way, _, _ in ways(stands.terms)] == ["exit"]


async def test_a_match_after_activation_equals_the_preview(scheme: Scheme) -> None:
    """A match of a year goes by the rule of its first day: what begins in the year changes it only as law that reaches back."""
    rule = (
        (scheme.folder / "ltss/rules/2019-01-01.toml").read_text().replace('threshold = "15000"', 'threshold = "9000"')
    )
    await activated(scheme, "2019-06-01", MATCH_CLAIM, date(2023, 4, 3))
    await at(scheme, date(2023, 12, 31))
    assert "match" not in await previewed(scheme, "2023-02-01", rule)
    found = await previewed(scheme, "2023-01-01-law", "[change]\nenacted_on = 2023-12-31\n" + rule)
    assert found["match"] == {scheme.members[0].member_id: "12000"}
    await activated(scheme, "2023-01-01-law", "[change]\nenacted_on = 2023-12-31\n" + rule, ON)
    await at(scheme, date(2024, 1, 2))
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await contributions.prepare_claim(session, scheme.tenant, "ltss", ON, actor="staff:1")
    claimed = await rows(scheme, "select member_id, entitled from match_claim_lines")
    assert claimed[scheme.members[0].member_id] == 12_000


async def test_dues_after_activation_equal_the_preview(db: Database, keys: FileKeyStore, tmp_path: Path) -> None:
    tenant = await serve(db, tmp_path, "in-apy")
    (member,) = await joined(db, keys, tenant)
    folder = tmp_path / tenant.code
    chart = (folder / "apy/rules/2015-06-01.toml").read_text()
    block = next(one for one in chart.split("[[rule]]") if 'kind = "contribution-chart"' in one)
    (folder / "apy/rules/2023-04-03-law.toml").write_text(
        "[[rule]]" + block.replace('table = "chart"', 'table = "dearer"')
    )
    table = (folder / "tables/chart.csv").read_text()
    (folder / "tables/dearer.csv").write_text(table.replace("\n30,1000,116,", "\n30,1000,131,"))
    manifest = (folder / "pack.toml").read_text()
    entry = next(one for one in manifest.split("[[tables]]")[1:] if 'code = "chart"' in one).partition("\n[")[0]
    digest = hashlib.sha256((folder / "tables/dearer.csv").read_bytes()).hexdigest()
    entry = re.sub(r'sha256 = "\w+"', f'sha256 = "{digest}"', entry.replace('code = "chart"', 'code = "dearer"'))
    (folder / "pack.toml").write_text(manifest + "\n[[tables]]" + entry + "\n")
    shutil.rmtree(folder / "scenarios")
    new = load_pack(folder, KINDS)
    on, later = date(2023, 4, 3), date(2023, 6, 10)
    found, then = [
        {
            one.figure: (one.before, one.after)
            async for one in reports.preview(
                db, tenant, new, on=day, totals=reports.Preview(), keys=keys, actor="staff:1"
            )
        }
        for day in (on, later)
    ]
    assert found["dues.instalment"] == ("11600", "13100")
    async with db.unit_of_work(tenant.tenant_id) as session:
        one = await tenancy.propose_pack(session, tenant, new, in_force_from=on, actor="staff:1")
        await tenancy.approve_pack(session, tenant, one.proposal_id, sha256=new.sha256, actor="staff:2")
    tenants = Tenants.load([folder], KINDS, RUNNERS)
    await tenants.activate(db)
    served = tenants.by_code(tenant.code)
    (refused,) = await send(db, keys, served, pays(member))
    assert isinstance(refused, errors.NotWhatIsDue)
    assert refused.details["instalment"] == "131.00"
    async with db.unit_of_work(tenant.tenant_id) as session:
        ref = await reports.find_member(session, keys, member.number)
        owed = await contributions.contributions_payable(session, served, [ref], later)
    assert str(owed[ref.member_id, "apy"].units) == then["dues.owed"][1] != "0"
