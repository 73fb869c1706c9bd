"""Claims against PostgreSQL: access, retirement and exits of real packs, by figures worked out here; races and stops."""

import asyncio
from datetime import date
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from engine.access.errors import SamePerson
from engine.benefits import service
from engine.benefits.errors import (
    ClaimDecided,
    ClaimDiffers,
    ClaimKeyReused,
    ClaimMoneyGone,
    PaymentsSuspended,
    UnknownClaim,
)
from engine.benefits.queries.claiming import ClaimRow
from engine.benefits.rules import Claimant, PaidIn, available, tranches_of
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Transfer
from engine.runtime.database import Database
from tests.factories.claims import MAKER, Claims, open_scheme
from tests.factories.payouts import instruct, to

FORTY = date(1983, 1, 1)
OLD = date(1967, 1, 31)
JOINED = date(2021, 6, 1)
SCHOOL: dict[str, Any] = {"rule": "early-access", "purpose": "education"}


@pytest.fixture
async def ejoheza(db: Database, tenant_id: int, tmp_path: Path) -> Claims:
    """EjoHeza on 1 February 2023: 40 % of a member's own contributions for school or house, all from 55 on."""
    return await open_scheme(db, tenant_id, tmp_path, "rw-ejoheza", "2023-02-01T08:00:00")


async def test_a_part_is_taken_before_retirement_once_and_the_rest_at_55(ejoheza: Claims) -> None:
    """Contributions of 125,001 francs: 40 % are 50,000.4, so 50,000; at 55 the 75,001 left and the state's 18,000."""
    member = await ejoheza.member(JOINED, OLD)
    await ejoheza.pay(member, 100_001, pot="savings", on=date(2022, 1, 5))
    await ejoheza.pay(member, 25_000, pot="savings", on=date(2022, 3, 5))
    await ejoheza.pay(member, 18_000, pot="savings", on=date(2022, 4, 5), origin="state-match")
    claim = await ejoheza.claim(member, "access", **SCHOOL)
    assert (claim.state, claim.amount, claim.tax, claim.due_on) == ("decided", 50_000, 0, None)
    assert await ejoheza.holds(member) == {"cash:own": 125_001, "cash:state-match": 18_000}, "nothing has moved"
    with pytest.raises(SamePerson):
        await ejoheza.approve(claim, actor=MAKER)
    with pytest.raises(ClaimDiffers):
        await ejoheza.approve(claim, digest="0" * 64)
    paid = await ejoheza.approve(claim)
    assert (paid.state, paid.amount, paid.checker) == ("payable", 50_000, "staff:2")
    assert await ejoheza.holds(member) == {"cash:own": 75_001, "cash:state-match": 18_000, "payable:own": 50_000}
    with pytest.raises(ClaimDecided):
        await ejoheza.approve(claim)

    second = await ejoheza.claim(member, "access", key="k2", **SCHOOL)
    assert (second.state, second.reason) == ("refused", "benefits.more-than-accessible")
    retired = await ejoheza.claim(member, "retirement", key="k3", rule="all-at-once")
    assert (retired.state, retired.amount) == ("decided", 93_001)
    again = await ejoheza.claim(member, "retirement", key="k4", rule="all-at-once")
    assert again.state == "refused"
    await ejoheza.approve(retired)
    assert await ejoheza.holds(member) == {"payable:own": 125_001, "payable:state-match": 18_000}
    assert not await ejoheza.broken()


async def test_what_is_open_and_why_not_is_told_with_its_source(ejoheza: Claims) -> None:
    """A member of 40 has 40 % for school; retirement opens on the birthday at 55."""
    member = await ejoheza.member(JOINED, FORTY)
    await ejoheza.pay(member, 10_000, pot="savings", on=date(2022, 1, 5))
    async with ejoheza.db.unit_of_work(ejoheza.tenant.tenant_id) as session:
        stands = await service.standing_of(session, ejoheza.keys, ejoheza.tenant, member, actor=MAKER)
    year_of = ejoheza.tenant.product(member.product).scheme_year
    ways = available(stands.terms, stands.claimant, stands.figures, year_of, ejoheza.tenant.asset)
    found = {(one.rule.id, one.ground): one for one in ways}
    assert found["early-access", ""].minor == 4_000
    assert found["early-access", ""].purposes == {"education": [], "housing": []}
    later = found["all-at-once", "retirement"]
    assert (later.minor, later.reason, later.details) == (None, "benefits.before-benefit-age", {"day": "2038-01-01"})
    assert "Ministerial Order" in later.rule.source
    assert found["disability", "disability"].minor == 10_000


async def test_a_refusal_is_on_record_and_explained(ejoheza: Claims) -> None:
    member = await ejoheza.member(JOINED, FORTY)
    await ejoheza.pay(member, 10_000, pot="savings", on=date(2022, 1, 5))
    claim = await ejoheza.claim(member, "access", rule="early-access", purpose="wedding")
    assert (claim.state, claim.reason) == ("refused", "benefits.purpose-needed")
    async with ejoheza.db.unit_of_work(ejoheza.tenant.tenant_id) as session:
        told = await session.scalar(
            text("select outcome ->> 'allowed' from determinations where decision_id = :d"), {"d": claim.decision}
        )
        event = await session.scalar(
            text("select count(*) from events where member_id = :m and kind = 83"), {"m": member.member_id}
        )
    assert (told, event) == ("education, housing", 1)
    ((rules,),) = await ejoheza.rows(
        """select x.trace -> 'rules' from determinations d join decisions x on x.decision_id = d.decision
            where d.decision_id = :d""",
        d=claim.decision,
    )
    assert [one.partition("@")[0] for one in rules] == ["early-access"]
    with pytest.raises(ClaimDecided):
        await ejoheza.approve(claim)
    early = await ejoheza.claim(member, "retirement", key="k2", rule="all-at-once")
    assert (early.state, early.reason) == ("refused", "benefits.before-benefit-age")
    unknown = await ejoheza.claim(member, "access", key="k3", rule="no-such")
    assert (unknown.state, unknown.reason) == ("refused", "benefits.no-such-rule")
    more = await ejoheza.claim(member, "access", minor=4_001, key="k4", **SCHOOL)
    assert (more.state, more.reason) == ("refused", "benefits.more-than-accessible")
    assert not await ejoheza.broken()


async def test_a_key_names_one_claim(ejoheza: Claims) -> None:
    member = await ejoheza.member(JOINED, FORTY)
    await ejoheza.pay(member, 10_000, pot="savings", on=date(2022, 1, 5))
    first = await ejoheza.claim(member, "access", minor=1_000, **SCHOOL)
    assert await ejoheza.claim(member, "access", minor=1_000, **SCHOOL) == first
    with pytest.raises(ClaimKeyReused):
        await ejoheza.claim(member, "access", minor=1_001, **SCHOOL)
    both = await asyncio.gather(*(ejoheza.claim(member, "access", minor=500, key="k2", **SCHOOL) for _ in range(4)))
    assert len({one.claim_id for one in both}) == 1


async def test_the_same_money_is_claimed_once_by_claims_at_once(ejoheza: Claims) -> None:
    """40 % of 10,000 are 4,000: of eight claims of 1,500 at once two fit, and 1,000 is left."""
    member = await ejoheza.member(JOINED, FORTY)
    await ejoheza.pay(member, 10_000, pot="savings", on=date(2022, 1, 5))
    claims = await asyncio.gather(
        *(ejoheza.claim(member, "access", minor=1_500, key=f"k{n}", **SCHOOL) for n in range(8))
    )
    states = sorted(one.state for one in claims)
    assert states == ["decided"] * 2 + ["refused"] * 6
    granted = [one for one in claims if one.state == "decided"]

    async def approve(one: ClaimRow) -> str:
        try:
            return (await ejoheza.approve(one)).state
        except ClaimDecided as refused:
            return refused.code

    ends = await asyncio.gather(*(approve(one) for one in granted for _ in range(4)))
    assert sorted(ends) == ["benefits.claim-decided"] * 6 + ["payable"] * 2
    assert await ejoheza.holds(member) == {"cash:own": 7_000, "payable:own": 3_000}
    assert not await ejoheza.broken()


async def test_an_approval_that_stops_half_way_moves_nothing(ejoheza: Claims, monkeypatch: pytest.MonkeyPatch) -> None:
    member = await ejoheza.member(JOINED, FORTY)
    await ejoheza.pay(member, 10_000, pot="savings", on=date(2022, 1, 5))
    claim = await ejoheza.claim(member, "access", **SCHOOL)

    async def stop(*_: Any, **__: Any) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as patch:
        patch.setattr("engine.benefits.queries.claiming.save_claim", stop)
        with pytest.raises(ConnectionResetError):
            await ejoheza.approve(claim)
    assert await ejoheza.holds(member) == {"cash:own": 10_000}
    assert (await ejoheza.approve(claim)).state == "payable"
    assert await ejoheza.holds(member) == {"cash:own": 6_000, "payable:own": 4_000}


async def test_a_claim_is_rejected_or_given_up_and_its_money_is_free_again(ejoheza: Claims) -> None:
    member = await ejoheza.member(JOINED, FORTY)
    await ejoheza.pay(member, 10_000, pot="savings", on=date(2022, 1, 5))
    first = await ejoheza.claim(member, "access", **SCHOOL)
    tenant_id = ejoheza.tenant.tenant_id
    async with ejoheza.db.unit_of_work(tenant_id) as session:
        with pytest.raises(SamePerson):
            await service.reject_claim(session, ejoheza.tenant, first.claim_id, digest=first.digest, actor=MAKER)
        with pytest.raises(ClaimDiffers):
            await service.reject_claim(session, ejoheza.tenant, first.claim_id, digest="0" * 64, actor="staff:2")
        row = await service.reject_claim(session, ejoheza.tenant, first.claim_id, digest=first.digest, actor="staff:2")
    assert (row.state, row.reason) == ("refused", "rejected")
    second = await ejoheza.claim(member, "access", key="k2", **SCHOOL)
    async with ejoheza.db.unit_of_work(tenant_id) as session:
        assert (
            await service.withdraw_claim(session, ejoheza.tenant, second.claim_id, actor=MAKER)
        ).state == "withdrawn"
        with pytest.raises(UnknownClaim):
            await service.withdraw_claim(session, ejoheza.tenant, 1, actor=MAKER)
    third = await ejoheza.claim(member, "access", key="k3", **SCHOOL)
    assert third.amount == 4_000
    assert not await ejoheza.broken()


async def test_money_that_is_gone_is_not_paid(ejoheza: Claims) -> None:
    """What was granted is taken back by a reversal in between: the claim is not approved."""
    member = await ejoheza.member(JOINED, FORTY)
    await ejoheza.pay(member, 10_000, pot="savings", on=date(2022, 1, 5))
    claim = await ejoheza.claim(member, "access", **SCHOOL)
    async with ejoheza.db.unit_of_work(ejoheza.tenant.tenant_id) as session:
        bank = Account("collections", "RWF", party="mtn-momo")
        cash = Account("cash", "RWF", "ltss", "savings", "own")
        codes = await ledger.account_codes(session, {bank, cash})
        entry = Entry(
            member_id=member.member_id,
            kind=EventKind.CONTRIBUTION_REVERSED,
            business_date=date(2023, 2, 1),
            actor=await ledger.actor_id(session, "staff:9"),
            transfers=[Transfer(10_000, codes[cash], codes[bank])],
        )
        await ledger.post(session, [entry])
    with pytest.raises(ClaimMoneyGone):
        await ejoheza.approve(claim)
    assert await ejoheza.holds(member) == {}
    assert (await ejoheza.find(claim)).state == "decided"


async def test_ghana_withholds_tax_of_what_the_units_brought(db: Database, tenant_id: int, tmp_path: Path) -> None:
    """GHS 600 at 1.25 buy 480 units. Half of what is held, at 1.50, is 360.00: 240 units, which sell at 1.52 for 364.80.

    15 % of it, saved before tax and taken within ten years, are 54.72.
    """
    scheme = await open_scheme(db, tenant_id, tmp_path, "gh-tier3-informal", "2018-01-08T09:00:00")
    member = await scheme.member(date(2017, 6, 1), FORTY)
    event = await scheme.pay(member, 600_00, pot="savings", on=date(2018, 1, 8))
    await scheme.allocate([(member.member_id, event)])
    await scheme.deal("2018-01-08")
    await scheme.clock("2018-01-09T09:00:00")
    await scheme.deal("2018-01-09", {"TIER3-FUND": "1.25"})
    assert (await scheme.holds(member))["units:own"] == 480_0000
    await scheme.clock("2018-01-10T09:00:00")
    await scheme.deal("2018-01-10", {"TIER3-FUND": "1.50"})
    claim = await scheme.claim(member, "access", rule="personal-savings", purpose="business", is_pre_tax=True)
    assert (claim.state, claim.amount, claim.tax) == ("decided", 360_00, 54_00)
    other = await scheme.claim(member, "access", key="k2", rule="personal-savings", purpose="business")
    assert other.state == "refused", "half of what was held is taken"
    await scheme.run(
        "update balances set debits = debits + 2400001 where member_id = :m and code in (select code from chart where kind = 'units')",
        m=member.member_id,
    )
    with pytest.raises(ClaimMoneyGone):
        await scheme.approve(claim)
    await scheme.run(
        "update balances set debits = debits - 2400001 where member_id = :m and code in (select code from chart where kind = 'units')",
        m=member.member_id,
    )
    sold = await scheme.approve(claim)
    assert sold.state == "selling"
    assert await scheme.holds(member) == {"units:own": 240_0000, "selling:own": 240_0000}
    assert await service.carry_on_claims(scheme.db, scheme.tenant) == 0
    await scheme.deal("2018-01-10")
    await scheme.clock("2018-01-11T09:00:00")
    await scheme.deal("2018-01-11", {"TIER3-FUND": "1.52"})
    assert await service.carry_on_claims(scheme.db, scheme.tenant) == 0, "the manager owes the money still"
    await scheme.settle("2018-01-11")
    done = await asyncio.gather(*(service.carry_on_claims(scheme.db, scheme.tenant) for _ in range(3)))
    assert sum(done) == 1
    brought = floor(Fraction(240) * Fraction("1.52") * 100)
    paid = await scheme.find(claim)
    assert (paid.state, paid.amount, paid.tax) == ("payable", brought, 54_72)
    assert brought == 364_80
    assert await scheme.holds(member) == {"units:own": 240_0000, "payable:own": 364_80 - 54_72}
    assert await scheme.control("tax-withheld") == 54_72
    assert not await scheme.broken()


async def test_a_premature_exit_of_atal_pension_yojana_forfeits_the_state_s_part(
    db: Database, tenant_id: int, tmp_path: Path
) -> None:
    """Own 1,000.00 and the state's 500.00 bought units of three funds at 10, and are sold at 10.4, each part rounded down.

    3334, 3333 and 3333 parts of 10,000 go to the funds: 33.34, 33.33 and 33.33 units of own money, which are 346.736,
    346.632 and 346.632 rupees: 1,039.99. The state's 16.67, 16.665 and 16.665 units are 173.368, 173.316 and 173.316: 519.98.
    """
    scheme = await open_scheme(db, tenant_id, tmp_path, "in-apy", "2023-04-03T04:30:00")
    codes = ("SM001011", "SM002011", "SM003011")
    member = await scheme.member(date(2016, 4, 1), FORTY)
    own = await scheme.pay(member, 1000_00, pot="pension", on=date(2023, 4, 3))
    state = await scheme.pay(member, 500_00, pot="pension", on=date(2023, 4, 3), origin="state-match")
    await scheme.allocate([(member.member_id, own), (member.member_id, state)])
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.deal("2023-04-05", dict.fromkeys(codes, "10"))
    claim = await scheme.claim(member, "exit", ground="voluntary")
    assert (claim.state, claim.rule, claim.amount, claim.forfeited) == ("decided", "voluntary", 1000_00, 500_00)
    sold = await scheme.approve(claim)
    assert sold.state == "selling"
    await scheme.deal("2023-04-05")
    await scheme.clock("2023-04-06T04:30:00")
    await scheme.deal("2023-04-06", dict.fromkeys(codes, "10.4"))
    await scheme.settle("2023-04-06")
    assert await service.carry_on_claims(scheme.db, scheme.tenant) == 1
    paid = await scheme.find(claim)
    assert (paid.state, paid.amount, paid.forfeited, paid.tax) == ("payable", 1039_99, 519_98, 0)
    assert await scheme.holds(member) == {"payable:own": 1039_99}
    assert await scheme.control("forfeitures") == 519_98
    assert not await scheme.broken()


async def test_laws_see_what_breaks_them(ejoheza: Claims) -> None:
    member = await ejoheza.member(JOINED, FORTY)
    await ejoheza.pay(member, 10_000, pot="savings", on=date(2022, 1, 5))
    claim = await ejoheza.approve(await ejoheza.claim(member, "access", **SCHOOL))
    await ejoheza.run("update benefit_claims set amount = amount - 1 where claim_id = :c", c=claim.claim_id)
    assert {one.law for one in await ejoheza.broken()} == {"claims-are-booked-whole"}
    await ejoheza.run("update benefit_claims set amount = amount + 1 where claim_id = :c", c=claim.claim_id)
    await ejoheza.run(
        "update benefit_claims set payable_event = payable_event + 1 where claim_id = :c", c=claim.claim_id
    )
    assert {one.law for one in await ejoheza.broken()} == {"claims-are-booked-whole", "claims-are-posted-once"}
    await ejoheza.run(
        "update benefit_claims set payable_event = payable_event - 1 where claim_id = :c", c=claim.claim_id
    )
    assert not await ejoheza.broken()
    await instruct(
        ejoheza.db, ejoheza.keys, ejoheza.tenant, member.member_id, "ltss", {("savings", "own"): 4_000},
        to("bank", "1"), source=f"claim:{claim.claim_id}",
    )  # fmt: skip
    await ejoheza.run(
        "update payouts set state = 'approved', approved_event = 1, checker = 'staff:3' where source = :s",
        s=f"claim:{claim.claim_id}",
    )
    assert "claims-are-paid-once" not in {one.law for one in await ejoheza.broken()}
    await ejoheza.run("update benefit_claims set tax = 1 where claim_id = :c", c=claim.claim_id)
    assert "claims-are-paid-once" in {one.law for one in await ejoheza.broken()}


async def test_the_decision_is_explained_by_its_rules(ejoheza: Claims) -> None:
    member = await ejoheza.member(JOINED, FORTY)
    await ejoheza.pay(member, 10_000, pot="savings", on=date(2022, 1, 5))
    claim = await ejoheza.claim(member, "access", **SCHOOL)
    rows = await ejoheza.rows(
        """select d.kind, d.code, d.outcome ->> 'amount', x.trace -> 'rules' from determinations d
             join decisions x on x.decision_id = d.decision where d.decision_id = :d""",
        d=claim.decision,
    )
    ((kind, code, amount, rules),) = rows
    assert (kind, code, amount) == ("benefit-claim", "", "4000")
    assert [one.partition("@")[0] for one in rules] == ["early-access"]


async def test_nothing_is_paid_to_who_has_died(ejoheza: Claims) -> None:
    """A death confirmed between decision and approval stops the approval; a claim after it is refused."""
    member = await ejoheza.member(JOINED, FORTY)
    await ejoheza.pay(member, 10_000, pot="savings", on=date(2022, 1, 5))
    claim = await ejoheza.claim(member, "access", minor=1_000, **SCHOOL)
    await ejoheza.run(
        """insert into death_notices (tenant_id, member_id, state, registry, record, died_on, document)
           values (:t, :m, 'confirmed', 'civil', :record, '2023-01-01', '')""",
        m=member.member_id,
        record=str(member.member_id),
    )
    with pytest.raises(PaymentsSuspended):
        await ejoheza.approve(claim)
    later = await ejoheza.claim(member, "access", minor=1_000, key="k2", **SCHOOL)
    assert (later.state, later.reason) == ("refused", "benefits.payments-suspended")
    assert await ejoheza.holds(member) == {"cash:own": 10_000}


def test_income_and_losses_are_shared_among_tranches_and_what_was_returned_is_of_its_pots() -> None:
    """300 and 100 were paid in; 40 of them came back before, so 360 are left; 480 held are 270 + 90 and an income of 120."""
    paid = tuple(
        PaidIn(date(2020, month, 1), pot, "own", minor)
        for month, pot, minor in ((1, "savings", 300), (2, "savings", 100), (3, "retirement", 999))
    )
    returned = ((frozenset({"savings"}), 40), (frozenset({"retirement"}), 500))
    member = Claimant(on=date(2021, 1, 1), joined_on=date(2020, 1, 1), paid=paid, returned=returned)

    def told(held: int) -> list[tuple[int, int]]:
        found = tranches_of(member, ["savings"], held, is_pre_tax=True)
        return [(one.contribution_minor, one.income_minor) for one in found]

    assert told(480) == [(270, 90), (90, 30)]
    assert told(200) == [(150, 0), (50, 0)], "a loss is no income, and less is left of each tranche"
