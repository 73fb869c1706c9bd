"""By when a claim must be paid, counted from its request or from its last document, with the days that documents were missing."""

import shutil
from datetime import date
from pathlib import Path

import pytest

from engine.benefits import service
from engine.benefits.rules import clock_problems
from engine.deployment import KINDS
from engine.runtime.database import Database
from engine.tenancy.service import load_pack
from tests.factories.claims import MAKER, open_scheme

RULES = """
[[rule]]
kind = "time-limit"
id = "paid-in-time"
act = "pay-withdrawal"
starts = "{starts}"
count = {count}
unit = "{unit}"
start_day_counts = false
rest_days = ["saturday", "sunday"]
closed_last_day = "stays"
{pauses}
consequence = "reported"
source = "Invented"
confidence = "high"

[[rule]]
kind = "access"
id = "illness"
order = {{ pots = ["savings"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }}
counted_from = "joining"
leap_day = "1-march"
purposes = [{{ code = "illness", documents = ["letter"] }}]
only_since_last = false
most_bp = 4000
share_of = "contributions"
source = "Invented"
confidence = "high"
"""
PAUSED = 'pauses = ["document-asked"]'


@pytest.mark.parametrize(
    ("starts", "unit", "count", "pauses", "due"),
    [
        pytest.param("claim-complete", "working-days", 2, "", date(2023, 2, 14), id="from Friday, when the letter came"),
        pytest.param("request", "working-days", 2, "", date(2023, 2, 8), id="from Monday, when it was asked for"),
        pytest.param("request", "working-days", 2, PAUSED, date(2023, 2, 13), id="the days without the letter left out"),
        pytest.param("request", "calendar-days", 10, "", date(2023, 2, 16), id="ten days from Monday"),
        pytest.param("request", "calendar-days", 10, PAUSED, date(2023, 2, 19), id="and three, Tuesday to Thursday, more"),
        pytest.param("request", "hours", 24, "", date(2023, 2, 7), id="hours from the beginning of Monday"),
    ],
)  # fmt: skip
async def test_a_claim_is_due_by_what_starts_its_clock(
    db: Database, tenant_id: int, tmp_path: Path, starts: str, unit: str, count: int, pauses: str, due: date
) -> None:
    """Asked for on Monday 6 February 2023 without its letter, which comes on Friday the 10th."""
    rules = RULES.format(starts=starts, unit=unit, count=count, pauses=pauses)
    scheme = await open_scheme(db, tenant_id, tmp_path, "rw-ejoheza", "2023-02-06T08:00:00", rules=rules)
    member = await scheme.member(date(2021, 6, 1), date(1983, 1, 1))
    await scheme.pay(member, 10_000, pot="savings", on=date(2022, 1, 5))
    claim = await scheme.claim(member, "access", rule="illness", purpose="illness")
    assert (claim.state, claim.due_on) == ("open", None)
    await scheme.clock("2023-02-10T08:00:00")
    async with db.unit_of_work(tenant_id) as session:
        claim = await service.add_documents(
            session, scheme.keys, scheme.tenant, claim.claim_id, {"letter": "5" * 64}, actor=MAKER
        )
    assert (claim.state, claim.due_on) == ("decided", due), claim.reason


def test_a_clock_of_claims_that_nothing_starts_is_refused(tmp_path: Path) -> None:
    source = Path(__file__).parents[3] / "tenants/rw-ejoheza"
    found = {}
    for starts in ("full-moon", "request"):
        copy = tmp_path / starts / "rw-ejoheza"
        shutil.copytree(source, copy)
        book = min((copy / "ltss/rules").iterdir())
        book.write_text(book.read_text() + RULES.format(starts=starts, unit="hours", count=24, pauses=""))
        found[starts] = [str(one) for one in clock_problems(load_pack(copy, KINDS))]
    assert found["request"] == []
    assert found["full-moon"] == [
        (
            "ltss/rules/2018-12-14.toml: paid-in-time.starts: full-moon starts no clock of pay-withdrawal: "
            'say "request" or "claim-complete"'
        )
    ]
