"""A life in India's Shram Yogi Maan-dhan: instalments by a table, the state's as much, a pension, the spouse's after it, the corpus."""

from datetime import date
from functools import partial
from pathlib import Path

import pytest
from stdnum import verhoeff

from engine.benefits import service as benefits
from engine.benefits.queries.claiming import Request
from engine.benefits.rules.paying import AccountGiven, Payee
from engine.enrolment.rules import FactDeclared, NomineeGiven, UndertakingGiven
from engine.runtime.database import Database
from tests.factories.heirs import heir
from tests.lives.living import Life, Step, by_hand, facts_of, minor, rate_of
from tests.machine.world import MAKER, Country

FACTS = facts_of("in-pm-sym")
_BODY = "99000000083"
COUNTRY = Country(
    pack="in-pm-sym",
    product="maan-dhan",
    channel="csc",
    account="PM-SYMCSCCOLLECTION",
    document="aadhaar",
    number=_BODY + str(verhoeff.calc_check_digit(_BODY)),
    consents=("scheme-rules", "personal-data"),
    applied={
        "nominees": (NomineeGiven(full_name="Ravi Invented", relationship="brother", share_bp=10_000),),
        "monthly_income": "9000.00",
        "declared": tuple(
            FactDeclared(fact=one, holds=False)
            for one in ("income-tax-payer", "nps-member", "esic-member", "epfo-member")
        ),
        "undertaking": UndertakingGiven(frequency="monthly"),
    },
    later={
        FACTS["match"]["from"].isoformat(): f"""
[change]
title = "Invented: the state gives less"

[[rule]]
kind = "state-match"
id = "state-match"
matches = [{{ classes = ["any"], threshold = "0.01", share_bp = {FACTS["match"]["share_bp"]} }}]
base = "net-of-reversals"
cap_tested = "after-rounding"
rounding = "down"
timing = "each-contribution"
destination = "pension-account"
reversal_after_year_end = "claw-back"
source = "Invented"
confidence = "high"
""",
        FACTS["pension"]["from"].isoformat(): f"""
[change]
title = "Invented: pensions that begin now are higher"

[[rule]]
kind = "pension"
id = "pension"
applies_by = "benefit-start"
form = "fixed"
amount = "{FACTS["pension"]["amount"]}"
every_months = 1
due = "in-arrears"
pay_day = "day-of-start"
rounding = "down"
source = "Invented"
confidence = "high"
""",
        FACTS["spouse"]["from"].isoformat(): f"""
[change]
title = "Invented: spouses have more"

[[rule]]
kind = "spouse-continuation"
id = "spouse"
pension_bp = {FACTS["spouse"]["pension_bp"]}
rounding = "down"
before_benefit = ["contribute-on", "exit"]
contributes_until_age = 60
leap_day = "1-march"
source = "Invented"
confidence = "high"
""",
    },
)
SEEN = "5" * 64


class MaanDhan(Life):
    """What happens in this life, each told as a row."""

    series = "fund-interest"
    year_begins = 4
    pension = 0

    async def matched(self, year: int, on: date) -> None:
        if came := await self.match(year):
            await self.tell(on, "state-match", claimed=self.world.major(came))

    async def retired(self, on: date) -> None:
        claim = await self.claim("retirement", Request(rule="pension-for-life", ground="retirement"))
        self.pension = claim.claim_id
        await self.name_account(self.pension)
        await self.tell(on, "retired")

    async def seen(self, on: date) -> None:
        async with self.world.unit() as session:
            await benefits.prove_life(
                session, self.world.tenant, self.pension, seen_on=on, source="in-person", actor=MAKER
            )

    async def paid_months(self, on: date) -> None:
        await self.tell(on, "pension", paid=await self.pay_month(on))

    async def died(self, on: date) -> None:
        """The spouse comes with a marriage certificate: their pension begins."""
        world = self.world
        await self.die(self.facts["died_on"])
        (claim,) = await world.death_claims()
        async with world.unit() as session:
            claim = await benefits.name_heirs(
                session, world.keys, world.tenant, claim.claim_id, [heir("Asha Invented", 10_000, is_spouse=True)],
                known={}, documents={"marriage-certificate": SEEN}, actor=MAKER,
            )  # fmt: skip
        assert claim.state == "continued", claim
        self.pension = claim.claim_id
        account = AccountGiven(
            rail="bank", number="0054321", holder="Asha Invented", is_verified=True, documents=("proof-of-new-account",)
        )
        async with world.unit() as session:
            await benefits.name_payee(
                session, world.keys, world.tenant, self.pension, Payee(accounts=(account,)), actor=MAKER
            )
            begun = await benefits.find_pension(session, self.pension)
        await self.tell(on, "died", pension=world.major(begun.plan.amount))

    async def ended(self, on: date) -> None:
        """The spouse is gone as well: what is left returns to the fund."""
        world = self.world
        async with world.unit() as session:
            await benefits.exclude_heir(
                session, world.keys, world.tenant, self.pension, 2,
                gone="died-after", died_on=self.facts["spouse_died_on"], documents={"death-certificate": SEEN}, actor=MAKER,
            )  # fmt: skip
        claim = await self.approve_death()
        await self.tell(on, "ended", to_the_fund=world.major(claim.amount + claim.forfeited))


@pytest.mark.filterwarnings("ignore:Requested Holidays")  # India's are known until 2035
@pytest.mark.timeout(900)
async def test_a_life_of_forty_years_is_what_it_is_by_hand(db: Database, tmp_path: Path) -> None:
    facts = FACTS
    life = await MaanDhan.open(db, tmp_path, COUNTRY, facts)
    await life.strangers_pay(600_000_00)
    hand = by_hand("in_pm_sym")
    steps: list[Step] = [
        (date.fromisoformat(one.on), partial(life.saved, minor(one.amount))) for one in hand if one.what == "paid"
    ]
    ends = facts["spouse_reported_on"]
    for year in range(2019, ends.year):
        percent = rate_of(facts["interest"], year)
        steps.append((date(year + 1, 4, 20), partial(life.year_ended, year, percent)))
        steps.append((date(year + 1, 5, 2), partial(life.matched, year)))
    steps += [(facts["retires_on"], life.retired), (facts["reported_on"], life.died), (ends, life.ended)]
    for year in range(facts["retires_on"].year, ends.year + 1):
        days = [date(year, *map(int, day.split("-"))) for day in facts["payrolls"]]
        steps += [(on, life.paid_months) for on in days if facts["retires_on"] < on < ends]
        seen = date(year, *map(int, facts["seen_on"].split("-")))
        if facts["retires_on"] < seen < facts["died_on"] or facts["reported_on"] < seen < facts["spouse_died_on"]:
            steps.append((seen, life.seen))

    assert await life.live(steps) == hand
