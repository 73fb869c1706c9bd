"""A life in India's NPS-Lite: units, the old co-contribution kept for life, charges out of units, and the heirs."""

from collections.abc import Awaitable, Callable
from datetime import date
from functools import partial
from pathlib import Path

import pytest
from stdnum import verhoeff

from engine.benefits import service as benefits
from engine.runtime.database import Database
from tests.lives.living import DAY, Step, UnitLife, by_hand, days_of, facts_of, minor, weekday
from tests.machine.world import CHECKER, MAKER, Country

FACTS = facts_of("in-nps-lite")
_BODY = "99000000071"
COUNTRY = Country(
    pack="in-nps-lite",
    product="nps-lite",
    channel="aggregator",
    account="NPSTRUSTCOLLECTIONNODALOFFICE",
    document="aadhaar",
    number=_BODY + str(verhoeff.calc_check_digit(_BODY)),
    consents=("scheme-rules", "personal-data"),
    group="sahyog",
    funds=(("SM001009", "PFM001"),),
    later={
        FACTS["change"]["from"].isoformat(): f"""
[change]
title = "Invented: charges rise"

[[rule]]
kind = "fee"
id = "yearly"
charged = "year"
payee = "recordkeeper"
amount = "{FACTS["change"]["charge"]}"
waived_up_to = "0.00"
part_period = "whole"
taken_from = "units"
order = {{ pots = ["retirement"], pots_by = "in-order", origins = ["own", "state-match"], origins_by = "pro-rata" }}
may_empty = true
rank = 2
when_short = "take-what-is-there"
rounding = "half-up"
source = "Invented"
confidence = "high"
""",
    },
)


class NpsLite(UnitLife):
    """What happens in this life, each told as a row."""

    year_begins = 4

    async def matched(self, year: int, on: date) -> None:
        if came := await self.match(year):
            await self.tell(on, "co-contribution", claimed=self.world.major(came))

    async def charged(self, on: date) -> None:
        """The yearly charge: counted by one person, approved by another, taken from what units bring."""
        world = self.world
        year_ends = date(on.year, 3, 31)
        run = await benefits.propose_fees(world.db, world.tenant, "nps-lite", year_ends, actor=MAKER)
        await benefits.approve_fees(world.db, world.tenant, run.run_no, run.digest, actor=CHECKER)
        await self.deal(on)
        await benefits.carry_on_fees(world.db, world.tenant)
        await self.tell(on + DAY, "charged")


@pytest.mark.filterwarnings("ignore:Requested Holidays")  # India's are known until 2035
@pytest.mark.timeout(900)
async def test_a_life_of_forty_years_is_what_it_is_by_hand(db: Database, tmp_path: Path) -> None:
    facts = FACTS
    life = await NpsLite.open(db, tmp_path, COUNTRY, facts)
    steps: list[Step] = [
        (on, partial(life.saved, minor(amount))) for on, amount in days_of(facts["saving"]) if on > facts["joins_on"]
    ]
    steps += [(date(year + 1, 5, 2), partial(life.matched, year)) for year in range(2010, 2051)]
    special: dict[date, Callable[[date], Awaitable[None]]] = {
        weekday(facts["reported_on"]): life.left,
        weekday(facts["late_money_on"]): life.left_more,
    }
    steps += [(on, special.get(on, life.deal)) for on in life.deals()]
    month, day = map(int, facts["charge_deal"].split("-"))
    steps += [(weekday(date(year, month, day)), life.charged) for year in range(facts["charge_from"], 2052)]

    assert await life.live(steps) == by_hand("in_nps_lite")
