"""A life in Ghana's third tier: two accounts in units, withdrawals with their tax, savings at 60, and the heirs of the rest."""

from dataclasses import replace
from datetime import date, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from engine.benefits.queries.claiming import ClaimRow, Request
from engine.runtime.database import Database
from tests.lives.living import Life, Step, by_hand, days_of, done, facts_of
from tests.machine.test_unitised_scheme import FUND, GHANA

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
EVENING = time(16, 30)
DAY = timedelta(days=1)


class ThirdTier(Life):
    """What happens in this life, each told as a row; `dealt` counts the prices that were published."""

    dealt = 0

    async def deal(self, on: date) -> None:
        """Close the day's dealing, and price it by the next day's price; managers and the bank pay."""
        world = self.world
        await world.to(on, at=EVENING)
        done(await world.deal())
        await world.to(on + DAY)
        if FUND in world.prices:
            moves = self.facts["moves_bp"]
            world.prices[FUND] = world.prices[FUND] * (10_000 + moves[self.dealt % len(moves)]) // 10_000
            self.dealt += 1
        else:
            world.prices[FUND], self.dealt = int(self.facts["first_price"].replace(".", "")), 0
        done(await world.price())
        done(await world.deal())
        await world.managers_pay()
        await world.take_from_bank()
        await world.carry_on()
        price = world.prices[FUND]
        await self.tell(on + DAY, "dealt", price=f"{price // 10_000}.{price % 10_000:04d}")

    async def took(self, one: dict[str, Any], on: date) -> None:
        most = await self.most("personal-savings")
        request = Request(rule="personal-savings", purpose="education", is_pre_tax=one["pre_tax"])
        claim = await self.claim("access", request, int(one["amount"].replace(".", "")))
        await self.deal(on)
        sold, paid = await self.sold(claim)
        await self.tell(on + DAY, "taken", most=most, tax=self.world.major(sold.tax), paid=paid)

    async def retired(self, on: date) -> None:
        claim = await self.claim("retirement", Request(rule="savings-account", ground="retirement"))
        await self.deal(on)
        _, paid = await self.sold(claim)
        await self.tell(on + DAY, "retired", paid=paid)

    async def sold(self, claim: ClaimRow) -> tuple[ClaimRow, str]:
        """Pay out what a claim's units brought."""
        found = await self.world.find_claim(claim.claim_id)
        assert found.state == "payable", found
        return found, await self.pay_out(found)

    async def left(self, on: date) -> None:
        """The death is known; all units are sold, and the heirs paid."""
        await self.die(self.facts["died_on"])
        claim = await self.approve_death()
        await self.deal(on)
        first, second = await self.pay_heirs(claim)
        await self.tell(on + DAY, "inherited", first=first, second=second)


def weekday(day: date) -> date:
    """Return the day, or the Monday after a weekend."""
    return day + timedelta(days=7 - day.weekday()) if day.weekday() > 4 else day


@pytest.mark.timeout(900)
async def test_a_life_of_forty_years_is_what_it_is_by_hand(db: Database, tmp_path: Path) -> None:
    facts = FACTS
    life = await ThirdTier.open(db, tmp_path, COUNTRY, facts)
    retires, reported = weekday(facts["retires_on"]), weekday(facts["reported_on"])
    special = {weekday(one["on"]): partial(life.took, one) for one in facts["takes"]}
    dealt = [weekday(date(year, *map(int, day.split("-")))) for year in range(2017, 2060) for day in facts["deals"]]
    steps: list[Step] = [
        (on, partial(life.saved, int(amount.replace(".", ""))))
        for on, amount in days_of(facts["saving"])
        if on >= facts["joins_on"]
    ]
    steps += [
        (on, special.get(on, {retires: life.retired, reported: life.left}.get(on, life.deal)))
        for on in dealt
        if facts["joins_on"] < on <= reported
    ]

    assert await life.live(steps) == by_hand("gh_tier3_informal")
