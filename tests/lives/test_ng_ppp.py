"""A life in Nigeria's micro-pensions: two pots in units, a plan that becomes another, all at once at 56, and the heirs of the rest."""

from collections.abc import Awaitable, Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from engine.benefits import service as benefits
from engine.benefits.queries.claiming import Request
from engine.benefits.queries.moving import MoveRun
from engine.runtime.database import Database
from tests.lives.living import DAY, Step, UnitLife, by_hand, days_of, facts_of, minor, weekday
from tests.machine.world import CHECKER, MAKER, Country

FACTS = facts_of("ng-ppp")
COUNTRY = Country(
    pack="ng-ppp",
    product="mpp",
    channel="bank-transfer",
    account="PERSONALPENSIONCOLLECTIONS",
    document="nin",
    number="{serial:011d}",
    consents=("scheme-rules", "personal-data"),
    funds=(("MICRO-PENSION-FUND", "PFA"),),
    applied={"group_proof": "union-card"},
    later={
        f"ppp/{FACTS['split']['from']}": f"""
[change]
title = "Invented: more for retirement"

[[rule]]
kind = "contribution-split"
id = "contribution-split"
parts = [
  {{ pot = "contingent", share_bp = {FACTS["split"]["contingent_bp"]} }},
  {{ pot = "retirement", share_bp = {FACTS["split"]["retirement_bp"]} }},
]
redirect_to = ["retirement"]
source = "Invented"
confidence = "high"
""",
        f"ppp/{FACTS['access']['from']}": f"""
[change]
title = "Invented: half of it alone"

[[rule]]
kind = "access"
id = "contingent"
order = {{ pots = ["contingent"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }}
counted_from = "first-contribution"
least_months = 3
leap_day = "1-march"
often = {{ times = 1, within = "days", count = 7 }}
only_since_last = false
most_bp = {FACTS["access"]["most_bp"]}
share_of = "balance"
source = "Invented"
confidence = "high"
""",
    },
)


class PersonalPension(UnitLife):
    """What happens in this life, each told as a row."""

    async def moved(self, on: date) -> None:
        """The plan becomes another: two people move everybody."""
        world = self.world
        async with world.unit() as session:
            run = await benefits.propose_move(session, world.tenant, source="mpp", target="ppp", actor=MAKER)
        assert isinstance(run, MoveRun), run
        await benefits.approve_move(world.db, world.tenant, run.run_no, digest=run.digest, actor=CHECKER)
        await benefits.carry_on_moves(world.db, world.tenant)
        assert (await self.member()).product == "ppp"
        await self.tell(on, "moved")

    async def took(self, one: dict[str, Any], on: date) -> None:
        most = await self.most("contingent")
        claim = await self.claim("access", Request(rule="contingent"), minor(one["amount"]))
        await self.deal(on)
        _, paid = await self.sold(claim)
        await self.tell(on + DAY, "taken", most=most, paid=paid)

    async def retired(self, on: date) -> None:
        claim = await self.claim("retirement", Request(rule="all-at-once", ground="retirement"))
        await self.deal(on)
        _, paid = await self.sold(claim)
        await self.tell(on + DAY, "retired", paid=paid)


@pytest.mark.timeout(900)
async def test_a_life_of_forty_years_is_what_it_is_by_hand(db: Database, tmp_path: Path) -> None:
    facts = FACTS
    life = await PersonalPension.open(db, tmp_path, COUNTRY, facts)
    special: dict[date, Callable[[date], Awaitable[None]]] = {
        weekday(one["on"]): partial(life.took, one) for one in facts["takes"]
    }
    special |= {weekday(facts["retires_on"]): life.retired, weekday(facts["reported_on"]): life.left}
    steps: list[Step] = [(on, partial(life.saved, minor(amount))) for on, amount in days_of(facts["saving"])]
    steps += [(on, special.get(on, life.deal)) for on in life.deals()]
    steps.append((facts["moved_on"], life.moved))

    assert await life.live(steps) == by_hand("ng_ppp")
