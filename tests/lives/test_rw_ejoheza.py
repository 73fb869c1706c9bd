"""A life in Rwanda's EjoHeza: whole francs, the state's match, interest, withdrawals, instalments, death, three changes of the rules."""

from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

import pytest

from engine.benefits.queries.claiming import Request
from engine.kernel.months import months_after
from engine.runtime.database import Database
from tests.lives.living import Life, Step, by_hand, days_of, facts_of, rate_of
from tests.machine.saving import RWANDA

FACTS = facts_of("rw-ejoheza")
COUNTRY = replace(
    RWANDA,
    later={
        FACTS["change"]["from"].isoformat(): f"""
[change]
title = "Invented: the threshold follows prices"

[[rule]]
kind = "retirement-option"
id = "own-instalments"
applies_by = "benefit-start"
grounds = ["retirement"]
order = {{ pots = ["savings"], pots_by = "in-order", origins = ["own", "state-match"], origins_by = "in-order" }}
below_balance = "{FACTS["change"]["below"]}"
least_lump_bp = 0
most_lump_bp = 0
lump_rounding = "down"
rest = "instalments"
source = "Invented: the threshold of 2027 follows prices"
confidence = "high"

[rule.instalments]
least_years = 1
most_years = 20
every_months = 1
amount = "unpaid-over-left"
unpaid_earns = true
first_due = "at-once"
rounding = "down"
"""
    },
)


class Ejoheza(Life):
    """What happens in this life, each told as a row."""

    async def classed(self, name: str, on: date) -> None:  # noqa: ARG002 - a step knows its day
        await self.world.classify(self.document, name)

    async def matched(self, year: int, on: date) -> None:
        if came := await self.match(year):
            await self.tell(on, "state-match", claimed=self.world.major(came))

    async def took(self, minor: int, on: date) -> None:
        claim = await self.claim("access", Request(rule="early-access", purpose="housing"), minor)
        await self.tell(on, "taken", paid=await self.pay_out(claim))

    async def retired(self, on: date) -> None:
        years = self.facts["instalment_years"]
        claim = await self.claim("retirement", Request(rule="own-instalments", ground="retirement", years=years))
        await self.name_account(claim.claim_id)
        await self.tell(on, "retired")

    async def paid_month(self, on: date) -> None:
        await self.tell(on, "instalment", paid=await self.pay_month(on))


@pytest.mark.timeout(900)
async def test_a_life_of_forty_years_is_what_it_is_by_hand(db: Database, tmp_path: Path) -> None:
    facts = FACTS
    life = await Ejoheza.open(db, tmp_path, COUNTRY, facts)
    await life.others_save(9_000_000)
    retires, reported = facts["retires_on"], facts["reported_on"]
    steps: list[Step] = [(one["from"], partial(life.classed, one["value"])) for one in facts["class"]]
    steps += [(on, partial(life.saved, int(francs))) for on, francs in days_of(facts["saving"]) if on < retires]
    for year in range(facts["joins_on"].year, facts["last_shared_on"].year):
        percent = rate_of(facts["interest"], year)
        steps.append((date(year + 1, 1, 15), partial(life.year_ended, year, percent)))
        steps.append((date(year + 1, 2, 2), partial(life.matched, year)))
    steps += [(one["on"], partial(life.took, int(one["amount"]))) for one in facts["takes"]]
    steps.append((retires, life.retired))
    payrolls = (months_after(facts["first_payroll"], month) for month in range(12 * facts["instalment_years"]))
    steps += [(on, life.paid_month) for on in payrolls if on < reported]
    steps.append((reported, life.died))
    steps += [(on, life.inherited) for on in facts["shared_on"]]

    assert await life.live(steps) == by_hand("rw_ejoheza")
