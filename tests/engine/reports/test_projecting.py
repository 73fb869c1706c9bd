"""What a member may expect: from the books, by the pack's assumptions, as a hand calculation says, and on record."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from engine.app import KINDS
from engine.benefits.errors import NoProjection
from engine.benefits.rules import Prospect
from engine.contributions import service as contributions
from engine.contributions.rules import Payment, Receipt, lane_of
from engine.enrolment import service as enrolment
from engine.enrolment.rules import Application, ConsentGiven, DocumentGiven
from engine.enrolment.service import Enrolled
from engine.kernel.amounts import Asset
from engine.kernel.tables import TableValueMissing
from engine.reports import service
from engine.reports.errors import ChoiceMalformed, ContributionMalformed, UnknownFrequency
from engine.reports.queries import MemberFacts
from engine.reports.service import Projected, Saving
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant, advance_clock, load_pack
from tests.factories import schemes

BY_HAND = Path(__file__).parents[2] / "golden/projections/outlooks_by_hand.py"
ON = date(2023, 9, 20)


@dataclass
class Saver:
    db: Database
    keys: FileKeyStore
    tenant: Tenant
    member: Enrolled

    async def expects(self, saving: Saving | None = None) -> Projected:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            member = await service.find_member(session, self.keys, self.member.number)
            return await service.project_member(
                session, self.keys, self.tenant, member, on=ON, actor="staff:1", saving=saving
            )


@pytest_asyncio.fixture
async def saver(db: Database, keys: FileKeyStore, tmp_path: Path) -> Saver:
    tenant = await schemes.serve(db, tmp_path, "rw-ejoheza")
    consents = tuple(
        ConsentGiven(consent=one, language="en", version=found.version, channel="agent")
        for one in ("scheme-rules", "personal-data")
        if (found := tenant.pack.consent(one, "en")) is not None
    )
    application = Application(
        product="ltss", full_name="Example", born_on=date(1988, 3, 4), sex="female", language="en", consents=consents,
        documents=(DocumentGiven("nid", f"119887{secrets.randbelow(10**7):07d}012"),),
    )  # fmt: skip
    (member,) = await enrolment.enrol(db, tenant, keys, [enrolment.Enrolment("k", application)], actor="partner:1")
    assert isinstance(member, Enrolled), member
    for day, amount in ((datetime(2023, 4, 20, 6, tzinfo=UTC), "9000"), (datetime(2023, 9, 20, 6, tzinfo=UTC), "9001")):
        async with db.unit_of_work(tenant.tenant_id) as session:
            await advance_clock(session, tenant, day, "development")
        payment = Payment(
            member=member.number, amount=amount, currency="RWF", channel=tenant.pack.channels[0].code,
            reference=secrets.token_hex(6), sent_by="partner:1",
        )  # fmt: skip
        (answer,) = await contributions.receive(db, keys, tenant, [payment], lane=lane_of(payment.member))
        assert isinstance(answer, Receipt), answer
    return Saver(db, keys, tenant, member)


def by_hand(tenant: Tenant, folder: Path, given: str) -> dict[str, str]:
    """Return what the hand calculation says of one saver under the tenant's own pages."""
    for path, content in tenant.pack.files.items():
        if not path.startswith("scenarios/"):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
    (folder / "scenarios").mkdir()
    (folder / "scenarios/one.toml").write_text(
        f"""[[scenario]]
name = "x"
kind = "projection"
product = "ltss"
on = {ON}
born_on = 1988-03-04
joined_on = 2023-04-03
given = {given}
expect = {{}}
"""
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(BY_HAND), str(folder)], check=True, capture_output=True, text=True
    )
    lines = [line.partition(" = ") for line in done.stdout.splitlines() if " = " in line]
    return {name: rest.partition(":")[0] for name, _, rest in lines}


async def test_who_goes_on_as_they_do_may_expect_what_the_hand_calculation_says(saver: Saver, tmp_path: Path) -> None:
    found = await saver.expects()
    # 18,001 francs over the six months begun since joining; each year is below what a class needs for a match.
    assert found.saving == Saving(3000, 12)
    assert found.match == ()
    figures = by_hand(
        saver.tenant, tmp_path / "copy", '{ balance = "18001", contribution = "3000", times_a_year = 12 }'
    )
    assert found.illustrated.benefit_on.isoformat() == figures["benefit_on"] == "2043-03-04"
    for one in found.illustrated.projection.illustrations:
        assert {
            name: str(getattr(one, name))
            for name in ("pot", "pot_today", "lump", "lump_today", "income", "income_today")
        } == {name.partition(".")[2]: value for name, value in figures.items() if name.startswith(one.outlook.name)}


async def test_the_state_adds_what_the_rules_say_for_as_long_as_they_say(saver: Saver, tmp_path: Path) -> None:
    words = [enrolment.StatusWord(saver.member.member_id, enrolment.CLASS, "ubudehe-1", "register", date(2023, 4, 3))]
    async with saver.db.unit_of_work(saver.tenant.tenant_id) as session:
        await enrolment.record_statuses(session, saver.tenant, words, actor="operator:test")
    found = await saver.expects(Saving(500, 52))
    assert len(set(found.match)) == 1
    assert found.match[0] == 18_000, "26,000 francs of a poor household's year are matched up to the cap"
    assert 1 <= len(found.match) <= 19
    match = ", ".join('{ amount = "18000" }' for _ in found.match)
    figures = by_hand(
        saver.tenant, tmp_path / "copy",
        f'{{ balance = "18001", contribution = "500", times_a_year = 52, match = [{match}] }}',
    )  # fmt: skip
    assert [str(one.pot) for one in found.illustrated.projection.illustrations] == [
        figures[f"{name}.pot"] for name in ("cautious", "expected", "favourable")
    ]


async def test_it_is_on_record_and_says_what_it_assumes(saver: Saver) -> None:
    found = await saver.expects()
    assert [one.kind for one in found.assumptions] == ["projection", "benefit-age"]
    assert found.assumptions[0].confidence == "low"
    assert "above prices" in found.assumptions[0].assumption
    async with saver.db.unit_of_work(saver.tenant.tenant_id) as session:
        why = await service.tell_decision(
            session, saver.keys, saver.tenant, found.decision, actor="staff:1", language="rw"
        )
    assert why.decision.kind == "projection"
    assert why.decision.outcome["benefit_on"] == "2043-03-04"
    assert "Example" not in json.dumps(dict(why.decision.inputs) | dict(why.decision.outcome))
    assert (await saver.expects()).decision == found.decision, "the same question on the same day is the same decision"


def test_a_product_that_says_nothing_of_what_to_expect_says_so() -> None:
    pack = load_pack(schemes.PACKS / "in-nps-lite", KINDS)
    before_its_rules = date(2009, 1, 1)
    facts = MemberFacts(1, "nps-lite", before_its_rules, "", "", (), ())
    prospect = Prospect(
        on=before_its_rules, born_on=date(1990, 5, 1), sex="female", counted_from=before_its_rules, balance=0, contribution=0,
        times_a_year=12, keys={},
    )  # fmt: skip
    with pytest.raises(NoProjection):
        service.project(pack, facts, prospect, pack.figures())


@pytest.mark.parametrize(
    ("joined_on", "paid", "monthly"),
    [
        (date(2020, 1, 1), ((date(2022, 9, 19), 999), (date(2022, 9, 20), 1200), (date(2023, 9, 20), 11)), 100),
        (date(2023, 9, 20), ((date(2023, 9, 20), 500),), 500),
        (date(2023, 8, 21), ((date(2023, 9, 1), 500),), 500),
        (date(2023, 8, 20), ((date(2023, 9, 1), 500),), 250),
        (date(2023, 4, 1), (), 0),
        (date(2023, 4, 1), ((date(2023, 9, 1), -5),), 0),
    ],
)
def test_what_a_member_usually_pays(joined_on: date, paid: tuple[tuple[date, int], ...], monthly: int) -> None:
    facts = MemberFacts(1, "p", joined_on, "", "", paid, ())
    assert service.usual_saving(facts, ON) == Saving(monthly, 12)


def test_what_a_member_says_they_will_pay() -> None:
    francs = Asset.currency("RWF")
    assert service.saving_of(None, None, francs) is None
    assert service.saving_of("500", None, francs) == Saving(500, 12)
    assert service.saving_of("0", 365, francs) == Saving(0, 365)
    for amount in ("", "x", "-1", "1.5", "1000000000000001"):
        with pytest.raises(ContributionMalformed):
            service.saving_of(amount, 12, francs)
    often: list[tuple[int, str | None]] = [(3, "5"), (0, "5"), (12, None)]
    for times, said in often:
        with pytest.raises(UnknownFrequency):
            service.saving_of(said, times, francs)
    assert service.choices_of(["slab:3000", "with:a:colon"]) == {"slab": "3000", "with": "a:colon"}
    for one in ("slab", ":3000", "slab:"):
        with pytest.raises(ChoiceMalformed):
            service.choices_of([one])


@pytest.mark.parametrize(
    ("scheme", "product", "choices", "promised"),
    [
        ("in-apy", "apy", {"slab": "3000"}, 300_000),
        ("in-pm-sym", "maan-dhan", {}, 300_000),
        ("rw-ejoheza", "ltss", {}, None),
        ("in-apy", "apy", {}, ChoiceMalformed),
        ("in-apy", "apy", {"slab": "3000", "other": "1"}, ChoiceMalformed),
        ("in-apy", "apy", {"slab": "3001"}, TableValueMissing),
        ("rw-ejoheza", "ltss", {"slab": "3000"}, ChoiceMalformed),
    ],
)
def test_a_promised_pension_is_told_for_the_choices_that_its_table_asks_for(
    scheme: str, product: str, choices: dict[str, str], promised: int | type[Exception] | None
) -> None:
    pack = load_pack(schemes.PACKS / scheme, KINDS)
    facts = MemberFacts(1, product, date(2020, 1, 1), "", "", (), ())
    prospect = Prospect(
        on=ON, born_on=date(1990, 5, 1), sex="female", counted_from=date(2020, 1, 1), balance=0, contribution=10_000,
        times_a_year=12, keys=choices,
    )  # fmt: skip
    if isinstance(promised, type):
        with pytest.raises(promised):
            service.project(pack, facts, prospect, pack.figures())
    else:
        found = service.project(pack, facts, prospect, pack.figures())[0].promised
        assert (found and found.amount) == promised
