"""A life in Ghana's third tier: two accounts in units, withdrawals with their tax, savings at 60, and the heirs of the rest."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from engine.benefits.queries.claiming import Request
from engine.runtime.database import Database
from tests.lives.living import DAY, Step, UnitLife, by_hand, days_of, facts_of, minor, weekday
from tests.machine.unitised import GHANA

FACTS = facts_of("gh-tier3-informal")
COUNTRY = replace(
    GHANA,
    later={
        FACTS["split"]["from"].isoformat(): f"""
[change]
title = "Invented: more for retirement"

[[rule]]
kind = "contribution-split"
id = "contribution-split"
parts = [
  {{ pot = "savings", share_bp = {FACTS["split"]["savings_bp"]} }},
  {{ pot = "retirement", share_bp = {FACTS["split"]["retirement_bp"]} }},
]
redirect_to = ["retirement"]
source = "Invented"
confidence = "high"
""",
        FACTS["tax"]["from"].isoformat(): f"""
[change]
title = "Invented: a tax after ten years"

[[rule]]
kind = "exit-tax"
id = "early-withdrawal"
on_grounds = ["withdrawal"]
method = "proportional"
taxed = "all"
pre_tax_only = true
years_of = "joining"
bands = [{{ from_years = 0, percent = "15" }}, {{ from_years = 10, percent = "{FACTS["tax"]["after_ten_years"]}" }}]
leap_day = "1-march"
rounding = "half-up"
paid_to = "revenue"
source = "Invented"
confidence = "high"
""",
        FACTS["access"]["from"].isoformat(): f"""
[change]
title = "Invented: more may be taken"

[[rule]]
kind = "access"
id = "personal-savings"
order = {{ pots = ["savings"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }}
counted_from = "joining"
leap_day = "1-march"
purposes = [{{ code = "education" }}, {{ code = "business" }}]
only_since_last = false
most_bp = {FACTS["access"]["most_bp"]}
share_of = "balance-and-withdrawn"
source = "Invented"
confidence = "high"
""",
    },
)


class ThirdTier(UnitLife):
    """What happens in this life, each told as a row."""

    async def took(self, one: dict[str, Any], on: date) -> None:
        most = await self.most("personal-savings")
        request = Request(rule="personal-savings", purpose="education", is_pre_tax=one["pre_tax"])
        claim = await self.claim("access", request, minor(one["amount"]))
        await self.deal(on)
        sold, paid = await self.sold(claim)
        await self.tell(on + DAY, "taken", most=most, tax=self.world.major(sold.tax), paid=paid)

    async def retired(self, on: date) -> None:
        claim = await self.claim("retirement", Request(rule="savings-account", ground="retirement"))
        await self.deal(on)
        _, paid = await self.sold(claim)
        await self.tell(on + DAY, "retired", paid=paid)


@pytest.mark.timeout(900)
async def test_a_life_of_forty_years_is_what_it_is_by_hand(db: Database, tmp_path: Path) -> None:
    facts = FACTS
    life = await ThirdTier.open(db, tmp_path, COUNTRY, facts)
    retires, reported = weekday(facts["retires_on"]), weekday(facts["reported_on"])
    special: dict[date, Callable[[date], Awaitable[None]]] = {
        weekday(one["on"]): partial(life.took, one) for one in facts["takes"]
    }
    steps: list[Step] = [
        (on, partial(life.saved, minor(amount))) for on, amount in days_of(facts["saving"]) if on >= facts["joins_on"]
    ]
    special |= {retires: life.retired, reported: life.left}
    steps += [(on, special.get(on, life.deal)) for on in life.deals()]

    assert await life.live(steps) == by_hand("gh_tier3_informal")
