"""Guarantees against PostgreSQL: what a claim is raised to, who is owed the top-up, and what of an excess is the guarantor's."""

import asyncio
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.app import LAWS
from engine.benefits import service
from engine.benefits.rules import Holding
from engine.benefits.rules.topping import topped
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Transfer
from engine.runtime.database import Database
from tests.factories.claims import MAKER, Claims, open_scheme
from tests.factories.heirs import UNKEPT, nominee, open_estates

FORTY = date(1983, 1, 1)
OLD = date(1957, 1, 31)
JOINED = date(2012, 6, 1)


def _rule(occasion: str, at_least: str, *, excess: str = "member") -> str:
    return f"""
[[rule]]
kind = "guarantee"
id = "floor"
occasions = ["{occasion}"]
{at_least}
tops_up = "state"
excess = "{excess}"
source = "invented"
confidence = "high"
"""


async def _sound(scheme: Claims) -> None:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        assert [one for one in await ledger.check(session, LAWS) if one.law not in UNKEPT] == []


@given(held=st.lists(st.integers(0, 10**9), max_size=6), least=st.integers(0, 10**9), to_guarantor=st.booleans())
def test_nothing_is_lost_and_the_least_is_paid(held: list[int], least: int, *, to_guarantor: bool) -> None:
    parts = [Holding(f"pot-{number}", "own", minor) for number, minor in enumerate(held)]
    found = topped(parts, least, to_guarantor=to_guarantor)
    paid, excess = (sum(one.minor for one in some) for some in (found.paid, found.excess))
    assert paid + excess == sum(held)
    assert paid + found.top_up_minor == (least if to_guarantor else max(least, sum(held)))
    assert not (excess and found.top_up_minor)


async def test_who_retires_with_less_is_topped_up(db: Database, tenant_id: int, tmp_path: Path) -> None:
    """100,000 are raised to 150,000: the state owes 50,000, and the member sees it beforehand."""
    rules = _rule("retirement", 'at_least = "amount"\namount = "150000"')
    scheme = await open_scheme(db, tenant_id, tmp_path, "rw-ejoheza", "2023-02-01T08:00:00", rules=rules)
    member = await scheme.member(JOINED, OLD)
    await scheme.pay(member, 100_000, pot="savings", on=date(2022, 1, 5))
    claim = await scheme.claim(member, "retirement", rule="all-at-once")
    assert (claim.state, claim.amount, claim.top_up) == ("decided", 150_000, 50_000)
    await scheme.approve(claim)
    assert await scheme.holds(member) == {"payable:own": 150_000}
    assert await scheme.control("guarantee-receivable") == -50_000
    ((rules_told,),) = await scheme.rows(
        """select x.trace -> 'rules' from determinations d join decisions x on x.decision_id = d.decision
            where d.decision_id = :d""",
        d=claim.decision,
    )
    assert "floor" in [one.partition("@")[0] for one in rules_told]
    await _sound(scheme)


async def test_what_is_above_is_the_guarantor_s_where_the_rule_says(
    db: Database, tenant_id: int, tmp_path: Path
) -> None:
    rules = _rule("retirement", 'at_least = "amount"\namount = "60000"', excess="guarantor")
    scheme = await open_scheme(db, tenant_id, tmp_path, "rw-ejoheza", "2023-02-01T08:00:00", rules=rules)
    member = await scheme.member(JOINED, OLD)
    await scheme.pay(member, 70_000, pot="savings", on=date(2022, 1, 5))
    await scheme.pay(member, 30_000, pot="savings", on=date(2022, 1, 6), origin="state-match")
    claim = await scheme.claim(member, "retirement", rule="all-at-once")
    assert (claim.state, claim.amount, claim.forfeited) == ("decided", 60_000, 40_000)
    await scheme.approve(claim)
    assert sum((await scheme.holds(member)).values()) == 60_000
    assert await scheme.control("forfeitures") == 40_000
    await _sound(scheme)


async def test_heirs_get_the_contributions_at_least(db: Database, tenant_id: int, tmp_path: Path) -> None:
    """Of 100,000 a fee took 10,000: on death 100,000 are paid. 20,000 that were withdrawn before are not made up for."""
    rules = _rule("death", 'at_least = "contributions"')
    deaths = await open_estates(db, tenant_id, tmp_path, "rw-ejoheza", "2023-02-01T08:00:00", rules=rules)
    scheme = deaths.scheme
    member = await scheme.member(JOINED, FORTY, [nominee("Ineza Example", 10_000)])
    await scheme.pay(member, 120_000, pot="savings", on=date(2022, 1, 5))
    taken = await scheme.claim(member, "access", minor=20_000, rule="early-access", purpose="education")
    await scheme.approve(taken)
    money = scheme.tenant.asset.symbol
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        cash = Account("cash", money, scheme.product, "savings", "own")
        lost = Account("due-to-party", money, party="fund")
        codes = await ledger.account_codes(session, {cash, lost})
        entry = Entry(
            member_id=member.member_id,
            kind=EventKind.BREAK_RESOLVED,
            business_date=date(2023, 2, 1),
            actor=await ledger.actor_id(session, MAKER),
            transfers=[Transfer(10_000, codes[cash], codes[lost])],
        )
        await ledger.post(session, [entry])
    await deaths.dies(member, on=date(2023, 1, 20))
    await deaths.follow()
    [claim] = await deaths.claims()
    assert (claim.state, claim.amount, claim.top_up) == ("decided", 100_000, 10_000)
    await scheme.approve(claim)
    assert (await scheme.holds(member))["heirs:own"] == 120_000, "with what was payable to the member"
    assert await scheme.control("guarantee-receivable") == -10_000


@pytest.mark.parametrize(("price", "top_up"), [("1.00", 120_00), ("1.30", 0)])
async def test_what_units_bring_is_raised_once_they_are_sold(
    db: Database, tenant_id: int, tmp_path: Path, price: str, top_up: int
) -> None:
    """480 units of 600.00 paid in are sold at 1.00: 480.00, and 120.00 of the state; at 1.30 they are 624.00."""
    rules = _rule("retirement", 'at_least = "contributions"')
    scheme = await open_scheme(db, tenant_id, tmp_path, "gh-tier3-informal", "2018-01-08T09:00:00", rules=rules)
    member = await scheme.member(date(2017, 6, 1), date(1950, 1, 1))
    event = await scheme.pay(member, 600_00, pot="savings", on=date(2018, 1, 8))
    await scheme.allocate([(member.member_id, event)])
    await scheme.deal("2018-01-08")
    await scheme.clock("2018-01-09T09:00:00")
    await scheme.deal("2018-01-09", {"TIER3-FUND": "1.25"})
    claim = await scheme.claim(member, "retirement", rule="savings-account")
    assert (claim.state, claim.amount, claim.top_up) == ("decided", 600_00, 0), claim
    await scheme.approve(claim)
    await scheme.deal("2018-01-09")
    await scheme.clock("2018-01-10T09:00:00")
    await scheme.deal("2018-01-10", {"TIER3-FUND": price})
    await scheme.settle("2018-01-10")
    done = await asyncio.gather(*(service.carry_on_claims(scheme.db, scheme.tenant) for _ in range(3)))
    assert sum(done) == 1
    paid = await scheme.find(claim)
    assert (paid.state, paid.top_up, paid.amount) == ("payable", top_up, max(600_00, 624_00 if not top_up else 0))
    assert await scheme.control("guarantee-receivable") == -top_up
    assert await scheme.broken() == []
