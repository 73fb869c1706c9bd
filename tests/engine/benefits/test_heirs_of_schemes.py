"""Claims after a death where the product is in funds, where a spouse comes first, and where a trust has a rule."""

from datetime import date
from pathlib import Path

import pytest

from engine.benefits import errors, service
from engine.benefits.queries.claiming import ClaimRow
from engine.runtime.database import Database
from tests.factories.heirs import Estates, heir, nominee, open_estates

BORN = date(1983, 1, 1)
TRUST = """
[[rule]]
kind = "minor-trust"
id = "orphans"
trustee = "scheme"
releases = [{ at_age = 16, share_bp = 5000 }, { at_age = 21, share_bp = 10000 }]
purposes = ["school-fees"]
purposes_bp = 1000
leap_day = "1-march"
rounding = "down"
earns = "nothing"
source = "Invented: half at 16, the whole at 21, a tenth a year for school"
confidence = "high"
"""


async def of_ghana(db: Database, tenant_id: int, folder: Path) -> tuple[Estates, ClaimRow, int]:
    """GHS 600.00 of a member buy 480 units at 1.25; the member dies, and leaves halves to two."""
    estates = await open_estates(db, tenant_id, folder, "gh-tier3-informal", "2018-01-08T09:00:00")
    scheme = estates.scheme
    member = await scheme.member(
        date(2017, 6, 1), BORN, [nominee("Ama Invented", 5_000), nominee("Kofi Invented", 5_000)]
    )
    event = await scheme.pay(member, 600_00, pot="savings", on=date(2018, 1, 8))
    await scheme.allocate([(member.member_id, event)])
    await scheme.deal("2018-01-08")
    await scheme.clock("2018-01-09T09:00:00")
    await scheme.deal("2018-01-09", {"TIER3-FUND": "1.25"})
    await scheme.clock("2018-01-10T09:00:00")
    await scheme.deal("2018-01-10", {"TIER3-FUND": "1.50"})
    notice = await estates.dies(member, on=date(2018, 1, 9))
    assert await estates.follow() == 1
    [claim] = await estates.claims()
    assert (claim.state, claim.amount) == ("decided", 720_00)
    sold = await scheme.approve(claim)
    assert sold.state == "selling"
    await scheme.deal("2018-01-10")
    await scheme.clock("2018-01-11T09:00:00")
    await scheme.deal("2018-01-11", {"TIER3-FUND": "1.5203"})
    assert await estates.follow() == 0, "what is on its way from the manager is no money that comes later"
    await scheme.settle("2018-01-11")
    assert await service.carry_on_claims(scheme.db, scheme.tenant) == 1
    return estates, await scheme.find(claim), notice


async def test_heirs_share_what_the_units_brought_once_it_has_come(
    db: Database, tenant_id: int, tmp_path: Path
) -> None:
    """480 units at 1.5203 bring 729.74, rounded down from 729.744: halves of 364.87."""
    estates, claim, _ = await of_ghana(db, tenant_id, tmp_path)
    assert (claim.state, claim.amount) == ("payable", 729_74)
    assert [one.amount for one in (await estates.given(claim)).values()] == [364_87, 364_87]
    assert not await estates.scheme.broken()


async def test_a_death_taken_back_after_units_were_sold_puts_the_money_into_the_next_dealing(
    db: Database, tenant_id: int, tmp_path: Path
) -> None:
    estates, claim, notice = await of_ghana(db, tenant_id, tmp_path)
    await estates.lives(notice)
    assert await estates.follow() == 1
    ((allocated,),) = await estates.scheme.rows(
        "select sum(amount)::bigint from allocations where member_id = :m and event_id = (select closed_event from benefit_claims where claim_id = :c)",
        m=claim.member_id, c=claim.claim_id,
    )  # fmt: skip
    assert allocated == 729_74
    assert not await estates.scheme.broken()


async def test_the_spouse_leaves_pm_sym_with_the_own_share_and_the_government_s_returns(
    db: Database, tenant_id: int, tmp_path: Path
) -> None:
    """The rule of early exit on a death pays the own money with the higher interest; the state's part is forfeited."""
    estates = await open_estates(db, tenant_id, tmp_path, "in-pm-sym", "2023-02-01T08:00:00")
    scheme = estates.scheme
    pot = scheme.tenant.product(scheme.product).pot_codes[0]
    member = await scheme.member(date(2021, 6, 1), BORN, [nominee("Meera Invented", 10_000, relationship="Wife")])
    await scheme.pay(member, 100_00, pot=pot, on=date(2023, 1, 5))
    await scheme.pay(member, 100_00, pot=pot, on=date(2023, 1, 5), origin="state-match")
    await estates.dies(member, on=date(2023, 1, 20))
    await estates.follow()
    [claim] = await estates.claims()
    assert claim.estate is not None
    assert (claim.state, claim.estate.basis, claim.estate.missing) == ("open", "spouse", ("spouse-choice",))
    claim = await estates.name(claim, choice="exit")
    assert (claim.state, claim.rule, claim.forfeited) == ("decided", "spouse-leaves", 100_00)
    await scheme.approve(claim)
    [mine] = (await estates.given(claim)).values()
    assert mine.amount == claim.amount
    assert claim.amount >= 100_00
    assert await scheme.control("forfeitures") == 100_00
    assert not await estates.broken()


async def test_the_spouse_pays_in_on_and_nothing_leaves_the_account(
    db: Database, tenant_id: int, tmp_path: Path
) -> None:
    estates = await open_estates(db, tenant_id, tmp_path, "in-pm-sym", "2023-02-01T08:00:00")
    scheme = estates.scheme
    pot = scheme.tenant.product(scheme.product).pot_codes[0]
    member = await scheme.member(date(2021, 6, 1), BORN, [nominee("Meera Invented", 10_000, relationship="wife")])
    await scheme.pay(member, 100_00, pot=pot, on=date(2023, 1, 5))
    await estates.dies(member, on=date(2023, 1, 20))
    await estates.follow()
    [claim] = await estates.claims()
    claim = await estates.name(claim, choice="contribute-on")
    assert claim.estate is not None
    assert (claim.state, claim.estate.until) == ("continued", date(2043, 1, 1))
    ((rules,),) = await scheme.rows(
        "select x.trace -> 'rules' from determinations d join decisions x on x.decision_id = d.decision where d.decision_id = :d",
        d=claim.decision,
    )
    assert [one.partition("@")[0] for one in rules] == ["spouse"]
    assert await estates.follow() == 0
    assert await scheme.holds(member) == {"cash:own": 100_00}
    with pytest.raises(errors.ClaimDecided):
        await scheme.approve(claim)
    leaves = await estates.name(claim, choice="exit")
    assert (leaves.claim_id, leaves.state, leaves.rule) == (claim.claim_id, "decided", "spouse-leaves")
    assert not await estates.broken()


async def test_haba_haba_pays_survivors_by_the_county_s_letter_whoever_was_named(
    db: Database, tenant_id: int, tmp_path: Path
) -> None:
    """1,000.01 shillings: a widow's half is 500.005 and has the cent, two children's quarters are 250.00."""
    estates = await open_estates(db, tenant_id, tmp_path, "ke-haba-haba", "2023-02-01T08:00:00")
    scheme = estates.scheme
    pot = scheme.tenant.product(scheme.product).pot_codes[0]
    member = await scheme.member(date(2021, 6, 1), BORN, [nominee("A Friend", 10_000)])
    await scheme.pay(member, 1_000_01, pot=pot, on=date(2022, 1, 5))
    claim = await estates.open(member, died_on=date(2023, 1, 20), death_certificate="1" * 64)
    assert claim.estate is not None
    assert (claim.state, claim.estate.basis) == ("open", "heirs")
    family = [heir("Wanjiru Invented", 5_000), heir("Juma Invented", 2_500), heir("Neema Invented", 2_500)]
    claim = await estates.name(claim, family, documents=["county-administration-letter"])
    assert (claim.state, claim.rule, claim.amount) == ("decided", "survivors", 1_000_01)
    await scheme.approve(claim)
    given = await estates.given(claim)
    assert {one: given[one].amount for one in given} == {2: 500_01, 3: 250_00, 4: 250_00}
    assert not await estates.broken()


async def test_a_trust_releases_by_age_and_for_purposes_and_the_rest_at_last(
    db: Database, tenant_id: int, tmp_path: Path
) -> None:
    """Of 10,000, born 1 March 2008: a tenth a year for school; half at 16, less what school took; the rest at 21."""
    estates = await open_estates(db, tenant_id, tmp_path, "rw-ejoheza", "2023-02-01T08:00:00", rules=TRUST)
    scheme = estates.scheme
    member = await scheme.member(date(2021, 6, 1), BORN, [nominee("Bella Invented", 10_000, born_on=date(2008, 3, 1))])
    await scheme.pay(member, 10_000, pot="savings", on=date(2022, 1, 5))
    await estates.dies(member, on=date(2023, 1, 20))
    await estates.follow()
    [claim] = await estates.claims()
    await scheme.approve(claim)
    await estates.document(claim, 1, "birth-certificate", "guardian-identity", "identity")
    with pytest.raises(errors.MoreThanReleased) as early:
        await estates.pay(claim, 1, "Bella Invented")
    assert early.value.details == {"age": 16}
    with pytest.raises(errors.PurposeNeeded):
        await estates.pay(claim, 1, "A School", purpose="boat", name="A School")
    fees = await estates.pay(claim, 1, "A School", purpose="school-fees", name="A School")
    assert (fees.amount, fees.payee) == ("1000", "A School")
    await estates.approve_payout(fees)
    with pytest.raises(errors.MoreThanReleased):
        await estates.pay(claim, 1, "A School", purpose="school-fees", name="A School")
    await scheme.clock("2024-03-01T08:00:00")
    half = await estates.pay(claim, 1, "Bella Invented")
    assert half.amount == "4000"
    await estates.approve_payout(half)
    assert await scheme.holds(member) == {"minors-trust:own": 5_000}
    await scheme.clock("2029-03-01T08:00:00")
    rest = await estates.pay(claim, 1, "Bella Invented")
    assert rest.amount == "5000"
    assert not await estates.broken()


async def test_a_trust_that_earns_by_a_series_pays_what_it_earned_at_last(
    db: Database, tenant_id: int, tmp_path: Path
) -> None:
    """At 4 %, PM-SYM's savings-bank rate, from 1 February 2023, which earns nothing, to 1 March 2024, which earns.

    To 31 January 2024 are 364 days: 10,000.00 × 4 % × 364 ÷ 365 is 398.90. Then 30 days: 10,398.90 × 4 % × 30 ÷ 365 is 34.18.
    """
    rules = TRUST.replace('earns = "nothing"', 'earns = "series"\nseries = "savings-bank-rate"').replace(
        "releases = [{ at_age = 16, share_bp = 5000 }, { at_age = 21, share_bp = 10000 }]",
        "releases = [{ at_age = 18, share_bp = 10000 }]",
    )
    estates = await open_estates(db, tenant_id, tmp_path, "in-pm-sym", "2023-02-01T08:00:00", rules=rules)
    scheme = estates.scheme
    pot = scheme.tenant.product(scheme.product).pot_codes[0]
    member = await scheme.member(date(2021, 6, 1), BORN, [nominee("Bela Invented", 10_000, born_on=date(2006, 3, 1))])
    await scheme.pay(member, 10_000_00, pot=pot, on=date(2023, 2, 1))
    await estates.dies(member, on=date(2023, 2, 1))
    await estates.follow()
    [claim] = await estates.claims()
    claim = await estates.name(claim, documents=["no-spouse-declaration"])
    assert (claim.state, claim.amount) == ("decided", 10_000_00)
    await scheme.approve(claim)
    await estates.document(claim, 1, "identity")
    await scheme.clock("2024-03-01T08:00:00")
    payout = await estates.pay(claim, 1, "Bela Invented")
    assert payout.amount == "10433.08"
    assert -await scheme.control("interest-reserve") == 433_08
    assert not await estates.broken()
