"""State money that vests, is forfeited on leaving and at death, and pays part of the next claim; against PostgreSQL."""

import asyncio
import dataclasses
from datetime import date
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.benefits.errors import NoExit
from engine.benefits.rules.consuming import Holding
from engine.benefits.rules.vesting import Leaving, as_vested
from engine.contributions.errors import ClaimChanged, ClaimDecided
from engine.contributions.queries import LAWS as CONTRIBUTION_LAWS
from engine.contributions.queries.matching import MatchClaim
from engine.contributions.rules import VestingRule
from engine.contributions.rules.matching import MatchClaimRule, VestingStep, forfeited_in_claim
from engine.contributions.service import state_money
from engine.ledger import service as ledger
from engine.runtime.database import Database
from engine.tenancy.rules.books import InForce
from tests.factories.claims import Claims, open_scheme

JOINED, FORTY = date(2021, 6, 1), date(1983, 1, 1)
RULES = """
[[rule]]
kind = "early-exit"
id = "leaving"
ground = "voluntary"
pays = ["own", "state-match"]
from_years = 0
counted_from = "joining"
leap_day = "1-march"
income = "fund"
forfeited_to = "state"
source = "test"
confidence = "high"

[[rule]]
kind = "early-exit"
id = "falling-ill"
ground = "illness"
pays = ["own", "state-match"]
from_years = 0
counted_from = "joining"
leap_day = "1-march"
income = "fund"
forfeited_to = "state"
source = "test"
confidence = "high"

[[rule]]
kind = "vesting"
id = "state-money"
origin = "state-match"
steps = [{ after_months = 0, share_bp = 0 }, { after_months = 12, share_bp = 2500 }, { after_months = 60, share_bp = 10000 }]
on_early_exit = "by-steps"
forfeited_to = "state"
income_goes_along = true
counts_in_closure_test = false
grounds = ["voluntary", "death"]
vests_at_age = 50
source = "test"
confidence = "high"
"""


def rule(*, along: bool = True, ground: str = "voluntary") -> InForce[VestingRule]:
    made = VestingRule(
        id="v", source="test", confidence="high", origin="state-match",
        steps=(VestingStep(after_months=0, share_bp=0), VestingStep(after_months=12, share_bp=2_500)),
        on_early_exit="by-steps", forfeited_to="state", income_goes_along=along, counts_in_closure_test=False, grounds=(ground,),
    )  # fmt: skip
    return InForce(made, date(2000, 1, 1))


def case(months: int = 12, **changes: object) -> Leaving:
    base = Leaving(ground="voluntary", months=months, age=40, contributed={"state-match": 100}, holds_units=False)
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


@given(held=st.lists(st.integers(0, 10**9), min_size=1, max_size=4), months=st.integers(0, 30), along=st.booleans())
def test_every_unit_is_paid_or_forfeited_and_own_money_is_never_lost(
    held: list[int], months: int, *, along: bool
) -> None:
    parts = [Holding(f"p{number}", "state-match", minor) for number, minor in enumerate(held) if minor]
    own = Holding("p0", "own", 7)
    found = as_vested([rule(along=along)], [own, *parts], [], "", case(months))
    assert own in found.parts
    assert sum(one.minor for one in (*found.parts, *found.forfeited)) == sum(held) + 7
    base = sum(held) if along else min(sum(held), 100)
    share = 2_500 if months >= 12 else 0
    assert sum(one.minor for one in found.forfeited) == base - base * share // 10_000


def test_income_stays_with_the_member_where_the_rule_leaves_it() -> None:
    found = as_vested([rule(along=False)], [Holding("p", "state-match", 180)], [], "", case())
    assert ([one.minor for one in found.parts], [one.minor for one in found.forfeited]) == ([105], [75])


def test_what_another_role_gets_too_or_part_of_units_is_refused() -> None:
    parts = [Holding("p", "state-match", 180)]
    with pytest.raises(NoExit):
        as_vested([rule()], parts, [Holding("p", "gift", 1)], "scheme", case())
    with pytest.raises(NoExit):
        as_vested([rule()], parts, [], "", case(holds_units=True))
    assert not as_vested([rule()], parts, [], "", case(months=3, holds_units=True)).parts


@given(there=st.integers(0, 1000), asked=st.integers(0, 1000), back=st.integers(0, 1000))
def test_a_claim_is_never_paid_by_forfeitures_alone(there: int, asked: int, back: int) -> None:
    found = forfeited_in_claim(there=there, asked=asked, given_back=back)
    assert 0 <= found <= there
    assert found == 0 or asked - back - found >= 1


@pytest.fixture
async def ejoheza(db: Database, tenant_id: int, tmp_path: Path) -> Claims:
    """EjoHeza on 1 February 2023, where a quarter of the state's money has vested after a year, all after five or at 50."""
    scheme = await open_scheme(db, tenant_id, tmp_path, "rw-ejoheza", "2023-02-01T08:00:00", rules=RULES)
    book = scheme.tenant.pack.books[scheme.product]
    for version in book.versions():
        if isinstance(version.rule, MatchClaimRule):
            changed = msgspec.structs.replace(version.rule, forfeitures_of="state")
            book = book.with_rule(version.ref, changed)
    pack = dataclasses.replace(scheme.tenant.pack, books={**scheme.tenant.pack.books, scheme.product: book})
    return dataclasses.replace(scheme, tenant=dataclasses.replace(scheme.tenant, pack=pack))


async def laws_hold(scheme: Claims) -> None:
    assert not await scheme.broken()
    names = {"forfeitures-pay-part-of-claims", "claims-are-their-lines", "state-money-is-what-was-shared"}
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        assert not await ledger.check(session, [law for law in CONTRIBUTION_LAWS if law.name in names])


async def prepare(scheme: Claims) -> MatchClaim:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        found = await state_money.prepare_claim(
            session, scheme.tenant, scheme.product, date(2022, 6, 1), actor="staff:1"
        )
    assert isinstance(found, MatchClaim)
    return found


async def send(scheme: Claims, claim: MatchClaim) -> MatchClaim:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await state_money.send_claim(session, scheme.tenant, claim.claim_no, claim.digest, actor="staff:2")


async def test_what_has_not_vested_is_forfeited_with_its_income_and_pays_part_of_the_next_claim(
    ejoheza: Claims,
) -> None:
    leaver = await ejoheza.member(JOINED, FORTY)
    await ejoheza.pay(leaver, 50_000, pot="savings", on=date(2021, 7, 1))
    await ejoheza.pay(leaver, 18_001, pot="savings", on=date(2022, 2, 1), origin="state-match")
    claim = await ejoheza.claim(leaver, "exit", ground="voluntary")
    assert (claim.amount, claim.forfeited) == (50_000 + 4_500, 13_501), "a quarter of 18,001, rounded down"
    await ejoheza.approve(claim)
    assert await ejoheza.holds(leaver) == {"payable:own": 50_000, "payable:state-match": 4_500}
    assert await ejoheza.control("forfeitures") == 13_501

    saver = await ejoheza.member(JOINED, FORTY)
    await ejoheza.run("update memberships set person_class = 'ubudehe-1' where member_id = :m", m=saver.member_id)
    await ejoheza.pay(saver, 20_000, pot="savings", on=date(2022, 6, 1))
    asked = await prepare(ejoheza)
    assert (asked.asked, asked.forfeited, asked.total) == (18_000, 13_501, 4_499)
    assert await ejoheza.control("forfeitures") == 13_501, "nothing is booked before a second person sends it"
    ways = await asyncio.gather(*(send(ejoheza, asked) for _ in range(3)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in ways) == ["ClaimDecided", "ClaimDecided", "MatchClaim"]
    assert await ejoheza.control("forfeitures") == 0
    assert await ejoheza.control("state-match-receivable") == 13_501
    async with ejoheza.db.unit_of_work(ejoheza.tenant.tenant_id) as session:
        raw = await state_money.claim_file(session, ejoheza.keys, ejoheza.tenant, asked.claim_no, actor="staff:2")
        assert raw.decode().splitlines()[-2] == "forfeited,,,,,-13501"
        assert raw.decode().splitlines()[-1].endswith(",4499")
        await state_money.receive_match(
            session,
            ejoheza.tenant,
            asked.claim_no,
            amount="4499",
            channel=ejoheza.channel,
            reference="T-1",
            actor="staff:1",
        )
    await ejoheza.run(
        """insert into matches (member_id, event_id, matched_event, tenant_id, statement_id, line_no)
           select -tenant_id, event_id, event_id, tenant_id, event_id, 1 from match_receipts where tenant_id = :t"""
    )
    async with ejoheza.db.unit_of_work(ejoheza.tenant.tenant_id) as session:
        shared = await state_money.share_match(session, ejoheza.tenant, asked.claim_no, actor="staff:1")
    assert int(shared.given) == 18_000
    assert (await ejoheza.holds(saver))["cash:state-match"] == 18_000
    assert await ejoheza.control("state-match-receivable") == 0
    await laws_hold(ejoheza)


async def test_money_that_was_forfeited_by_mistake_stops_the_claim_that_counts_on_it(ejoheza: Claims) -> None:
    leaver = await ejoheza.member(JOINED, FORTY)
    await ejoheza.pay(leaver, 10_000, pot="savings", on=date(2022, 2, 1), origin="state-match")
    await ejoheza.pay(leaver, 1_000, pot="savings", on=date(2021, 7, 1))
    await ejoheza.approve(await ejoheza.claim(leaver, "exit", ground="voluntary"))
    saver = await ejoheza.member(JOINED, FORTY)
    await ejoheza.run("update memberships set person_class = 'ubudehe-1' where member_id = :m", m=saver.member_id)
    await ejoheza.pay(saver, 20_000, pot="savings", on=date(2022, 6, 1))
    asked = await prepare(ejoheza)
    await ejoheza.run(
        """insert into control_deltas (tenant_id, batch_id, code, debits, credits)
           select :t, -1, code, 1, 0 from chart where tenant_id = :t and kind = 'forfeitures'"""
    )
    with pytest.raises(ClaimChanged):
        await send(ejoheza, asked)
    async with ejoheza.db.unit_of_work(ejoheza.tenant.tenant_id) as session:
        gone = await state_money.reject_claim(session, ejoheza.tenant, asked.claim_no, asked.digest, actor="staff:2")
    assert gone.state == "rejected"
    with pytest.raises(ClaimDecided):
        await send(ejoheza, asked)


async def test_years_age_and_other_grounds_make_it_the_members_own(ejoheza: Claims) -> None:
    for joined, born, ground, forfeited in [
        (date(2018, 2, 1), FORTY, "voluntary", 0),  # five years
        (JOINED, date(1973, 2, 1), "voluntary", 0),  # fifty today
        (JOINED, date(1973, 2, 2), "voluntary", 7_500),
        (date(2022, 3, 1), FORTY, "voluntary", 10_000),  # not a year yet: only the own money
        (JOINED, FORTY, "illness", 0),
    ]:
        member = await ejoheza.member(joined, born)
        await ejoheza.pay(member, 5_000, pot="savings", on=date(2022, 4, 1))
        await ejoheza.pay(member, 10_000, pot="savings", on=date(2022, 4, 2), origin="state-match")
        claim = await ejoheza.claim(member, "exit", ground=ground, key=str(member.member_id))
        assert (claim.state, claim.amount, claim.forfeited) == ("decided", 15_000 - forfeited, forfeited), ground
    assert not await ejoheza.broken()
