"""What the rules give: for one member, and previewed for all; after activation every figure equals the preview."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import text

from engine.app import KINDS, RUNNERS
from engine.contributions import service as contributions
from engine.contributions.rules import AmountRule, Payment, Receipt, SplitRule, lane_of
from engine.enrolment import service as enrolment
from engine.enrolment.rules import Application, ConsentGiven, DocumentGiven
from engine.enrolment.service import Enrolled
from engine.reports import service as reports
from engine.reports.queries import MemberFacts
from engine.reports.service.entitlements import entitlements
from engine.reports.service.previewing import ALL_PARTS, parts_that_differ
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy import service as tenancy
from engine.tenancy.rules.packs import Pack
from engine.tenancy.service import Tenant, Tenants, advance_clock, load_pack
from tests.factories import schemes

RULES = """
[[rule]]
kind = "state-match"
id = "match"
matches = [{{ classes = ["1"], threshold = "{threshold}", share_bp = 10000, most = "18000" }}]
base = "net-of-reversals"
cap_tested = "before-rounding"
rounding = "down"
timing = "after-year-end"
destination = "pension-account"
reversal_after_year_end = "leave"
source = "invented law"
confidence = "high"

[[rule]]
kind = "cover"
id = "life"
sums = {{ death = "1000000" }}
least_total = "{threshold}"
covers = "rest-of-year"
payer = "state"
net_of_reversals = true
source = "invented law"
confidence = "high"
"""


@dataclass
class Scheme:
    db: Database
    keys: FileKeyStore
    tenants: Tenants
    folder: Path
    members: list[Enrolled]

    @property
    def tenant(self) -> Tenant:
        return self.tenants.by_code(self.folder.name)

    async def pay(self, member: Enrolled, amount: str) -> None:
        payment = Payment(
            member=member.number, amount=amount, currency="RWF", channel=self.tenant.pack.channels[0].code,
            reference=secrets.token_hex(6), sent_by="partner:1",
        )  # fmt: skip
        (answer,) = await contributions.receive(
            self.db, self.keys, self.tenant, [payment], lane=lane_of(payment.member)
        )
        assert isinstance(answer, Receipt), answer

    def preview(self, new: Pack, on: date, totals: reports.Preview) -> AsyncIterator[reports.Affected]:
        return reports.preview(self.db, self.tenant, new, on=on, totals=totals, keys=self.keys, actor="staff:1")

    async def figures(self, member: Enrolled, on: date) -> dict[str, str]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            found = await reports.entitlements_of(session, self.tenant, member.member_id, "ltss", on=on)
            assert found is not None
            return dict(found.figures)


@pytest_asyncio.fixture
async def scheme(db: Database, keys: FileKeyStore, tmp_path: Path) -> Scheme:
    code = f"rw-t{secrets.token_hex(5)}"
    folder = tmp_path / code
    shutil.copytree(
        schemes.PACKS / "rw-ejoheza", folder, ignore=shutil.ignore_patterns("demo*", "scenarios", "dimensions.toml")
    )
    for page in (folder / "ltss/rules").glob("*.toml"):
        kept = [
            block
            for block in re.split(r"(?m)^(?=\[\[rule\]\])", page.read_text())
            if re.search(
                r'kind = "(eligibility-age|identity-document|groups|nominees|consents|contribution-amount|contribution-split)"',
                block,
            )
        ]
        page.write_text("".join(kept)) if kept else page.unlink()
    manifest = folder / "pack.toml"
    manifest.write_text(re.sub(r"rw-ejoheza\.localhost", f"{code}.localhost", manifest.read_text()))
    (folder / "ltss/rules/2019-01-01.toml").write_text(RULES.format(threshold="15000"))
    tenants = Tenants.load([folder], KINDS, RUNNERS)
    tenant = await tenants.create_tenant(db, code)
    async with db.unit_of_work(tenant.tenant_id) as session:
        await advance_clock(session, tenant, schemes.START, "development")
    consents = tuple(
        ConsentGiven(consent=one, language="en", version=found.version, channel="agent")
        for one in ("scheme-rules", "personal-data")
        if (found := tenant.pack.consent(one, "en")) is not None
    )
    people = [
        enrolment.Enrolment(
            str(n),
            Application(
                product="ltss",
                full_name=f"Example {n}",
                born_on=date(1988, 3, 4),
                sex="female",
                language="en",
                consents=consents,
                documents=(DocumentGiven("nid", f"119887{secrets.randbelow(10**7):07d}012"),),
            ),
        )
        for n in range(4)
    ]
    answers = await enrolment.enrol(db, tenant, keys, people, actor="partner:1")
    members = [one for one in answers if isinstance(one, Enrolled)]
    assert len(members) == 4, answers
    made = Scheme(db, keys, tenants, folder, members)
    for member, amount in zip(members, ("12000", "15000", "25000", "9000"), strict=True):
        await made.pay(member, amount)
    words = [
        enrolment.StatusWord(member.member_id, enrolment.CLASS, "1", "register", date(2023, 1, 1))
        for member in members[:3]
    ]
    async with db.unit_of_work(tenant.tenant_id) as session:
        assert await enrolment.record_statuses(session, tenant, words, actor="operator:test") == 3
        assert await enrolment.record_statuses(session, tenant, words, actor="operator:test") == 0
    return made


async def test_what_a_member_has_is_told_by_name_and_on_record(scheme: Scheme) -> None:
    on = date(2023, 4, 3)
    assert [(await scheme.figures(one, on))["match"] for one in scheme.members] == [
        "below-threshold",
        "15000",
        "18000",
        "no-class",
    ]
    assert (await scheme.figures(scheme.members[1], on))["cover.life.death"] == "1000000"
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        member = await reports.find_member(session, scheme.keys, scheme.members[1].number)
        told, decision = await reports.tell_entitlements(session, scheme.tenant, member, on=on)
        why = await reports.tell_decision(session, scheme.keys, scheme.tenant, decision, actor="staff:1", language="en")
    assert why.decision.outcome == told.figures
    assert {rule.ref for rule in why.decision.rules} >= {"match@2019-01-01", "life@2019-01-01"}


async def test_after_activation_every_figure_equals_the_preview(scheme: Scheme) -> None:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await advance_clock(session, scheme.tenant, datetime(2023, 5, 2, 6, tzinfo=UTC), "development")
    law = "[change]\nenacted_on = 2023-05-02\n" + RULES.format(threshold="12000")
    (scheme.folder / "ltss/rules/2023-01-01-law.toml").write_text(law)
    new = load_pack(scheme.folder, KINDS)
    on, totals = date(2023, 5, 2), reports.Preview()
    before = {one.member_id: await scheme.figures(one, on) for one in scheme.members}
    events = await _events(scheme)
    changes = [one async for one in scheme.preview(new, on, totals)]
    assert await _events(scheme) == events, "a preview posts nothing"
    assert (totals.members, totals.affected) == (4, 1)
    assert totals.figures == {"cover.life.death": (1, 1_000_000), "match": (1, 12_000)}
    assert totals.rules["ltss"] >= {"match@2023-01-01-law"}
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        one = await tenancy.propose_pack(session, scheme.tenant, new, in_force_from=on, actor="staff:1")
        await tenancy.approve_pack(session, scheme.tenant, one.proposal_id, sha256=new.sha256, actor="staff:2")
    await scheme.tenants.activate(scheme.db)
    after = {one.member_id: await scheme.figures(one, on) for one in scheme.members}
    expected = {member_id: dict(figures) for member_id, figures in before.items()}
    for change in changes:
        assert before[change.member_id].get(change.figure) == change.before
        assert change.after is not None
        expected[change.member_id][change.figure] = change.after
    assert after == expected


async def test_a_preview_reads_in_ranges(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.reports.service.previewing.RANGE", 1)
    totals = reports.Preview()
    found = [one async for one in scheme.preview(scheme.tenant.pack, date(2023, 4, 3), totals)]
    assert (found, totals.members, totals.affected) == ([], 4, 0)


async def _events(scheme: Scheme) -> int:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return int(
            await session.scalar(
                text("select count(*) from events where tenant_id = :t"), {"t": scheme.tenant.tenant_id}
            )
            or 0
        )


def test_an_option_pays_from_its_own_pots() -> None:
    """Ghana's retirement account buys a pension, and the savings account is paid at once: neither reaches the other."""
    pack = load_pack(schemes.PACKS / "gh-tier3-informal", KINDS)
    facts = MemberFacts(
        1, "tier3", date(2018, 3, 1), "", "", (), (("retirement", "own", 60_000), ("savings", "own", 41_000))
    )
    found = entitlements(pack, facts, pack.figures(), date(2026, 1, 15)).figures
    assert found["retirement.savings-account.lump"] == "41000"
    assert found["retirement.retirement-account.lump"] == "0"


PAGE = """
[[rule]]
kind = "contribution-amount"
id = "contribution-amount"
minimum = "123.00"
source = "invented law"
confidence = "high"
"""


def test_a_preview_decides_again_only_what_a_changed_rule_decides(tmp_path: Path) -> None:
    folder = tmp_path / "in-nps-lite"
    shutil.copytree(schemes.PACKS / "in-nps-lite", folder, ignore=shutil.ignore_patterns("demo*", "scenarios"))
    old = load_pack(folder, KINDS)
    (folder / "nps-lite/rules/2023-04-04.toml").write_text(PAGE, encoding="utf-8")
    raised = load_pack(folder, KINDS)
    manifest = folder / "pack.toml"
    manifest.write_text(manifest.read_text().replace("opened_on = 2010-04-01", "opened_on = 2010-04-02"))
    moved = load_pack(folder, KINDS)
    assert moved.sha256 != raised.sha256

    assert parts_that_differ(old, old, "nps-lite") == ()
    assert [part.kinds for part in parts_that_differ(old, raised, "nps-lite")] == [(AmountRule, SplitRule)]
    assert parts_that_differ(old, moved, "nps-lite") == ALL_PARTS
    facts = MemberFacts(1, "nps-lite", date(2020, 1, 1), "", "", ((date(2023, 4, 3), 50_000),), ())
    for on in (date(2023, 4, 3), date(2023, 4, 4)):
        before, after = (entitlements(pack, facts, pack.figures(), on).figures for pack in (old, raised))
        changed = {name for name in before if before[name] != after[name]}
        assert changed == (set() if on < date(2023, 4, 4) else {"terms.minimum"})
