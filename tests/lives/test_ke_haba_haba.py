"""A life in Kenya's Haba Haba: a package split among payees, interest, half after five years, all at 58, survivors by law."""

from datetime import date
from functools import partial
from pathlib import Path

import pytest

from engine.benefits import service as benefits
from engine.benefits.queries.claiming import Request
from engine.runtime.database import Database
from tests.factories.heirs import heir
from tests.lives.living import Life, Step, by_hand, days_of, facts_of, minor, rate_of
from tests.machine.world import MAKER, Country

FACTS = facts_of("ke-haba-haba")
PACKAGE = FACTS["package"]
COUNTRY = Country(
    pack="ke-haba-haba",
    product="haba-haba",
    channel="package",
    account="HABAHABAPACKAGE",
    document="national-id",
    number="{serial:08d}",
    consents=("scheme-rules", "personal-data"),
    later={
        FACTS["access"]["from"].isoformat(): f"""
[change]
title = "Invented: less, and twice"

[[rule]]
kind = "access"
id = "after-five-years"
order = {{ pots = ["savings"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }}
counted_from = "joining"
least_years = 5
leap_day = "1-march"
paid_years = {{ years = 5, least = "4800.00", in_a_row = true, net_of_reversals = true }}
often = {{ times = {FACTS["access"]["times"]}, within = "lifetime" }}
only_since_last = false
most_bp = {FACTS["access"]["most_bp"]}
share_of = "balance"
source = "Invented"
confidence = "high"
""",
        PACKAGE["from"].isoformat(): f"""
[change]
title = "Invented: the package costs more"

[[rule]]
kind = "payees"
id = "package"
payees = [
  {{ code = "pension", amount = "{PACKAGE["pension"]}", product = "haba-haba" }},
  {{ code = "health", amount = "{PACKAGE["health"]}" }},
  {{ code = "welfare", amount = "{PACKAGE["welfare"]}" }},
]
splitter = "splitter"
splitter_fee = "{PACKAGE["fee"]}"
fee_first = false
when_short = "in-order"
excess_to = "pension"
channels = ["package"]
source = "Invented"
confidence = "high"
""",
    },
)


class HabaHaba(Life):
    """What happens in this life, each told as a row; the survivors come after the two who were named."""

    heirs = (3, 4)

    async def took(self, minor: int, on: date) -> None:
        most = await self.most("after-five-years")
        claim = await self.claim("access", Request(rule="after-five-years"), minor)
        await self.tell(on, "taken", most=most, paid=await self.pay_out(claim))

    async def retired(self, on: date) -> None:
        claim = await self.claim("retirement", Request(rule="single-payment", ground="retirement"))
        await self.tell(on, "retired", paid=await self.pay_out(claim))

    async def died(self, on: date) -> None:
        """Named as nominee or not, the survivors are who the county says."""
        await super().died(on)
        (claim,) = await self.world.death_claims()
        family = [heir("Abena Invented", 5_000), heir("Kofi Invented", 5_000)]
        papers = dict.fromkeys(("death-certificate", "county-administration-letter"), "5" * 64)
        async with self.world.unit() as session:
            await benefits.name_heirs(
                session, self.world.keys, self.world.tenant, claim.claim_id, family,
                known={}, documents=papers, actor=MAKER,
            )  # fmt: skip


@pytest.mark.timeout(900)
async def test_a_life_of_forty_years_is_what_it_is_by_hand(db: Database, tmp_path: Path) -> None:
    facts = FACTS
    life = await HabaHaba.open(db, tmp_path, COUNTRY, facts)
    await life.others_save(1_000_000_00)
    steps: list[Step] = []
    for year in range(facts["joins_on"].year, facts["died_on"].year):
        percent = rate_of(facts["interest"], year)
        steps.append((date(year + 1, 1, 15), partial(life.year_ended, year, percent)))
    steps += [(on, partial(life.saved, minor(amount))) for on, amount in days_of(facts["saving"])]
    steps += [(one["on"], partial(life.took, minor(one["amount"]))) for one in facts["takes"]]
    steps += [(facts["retires_on"], life.retired), (facts["reported_on"], life.died)]
    steps += [(on, life.inherited) for on in facts["shared_on"]]

    assert await life.live(steps) == by_hand("ke_haba_haba")
