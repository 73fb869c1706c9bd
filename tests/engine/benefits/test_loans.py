"""Loans and pledges against PostgreSQL, by figures worked out here: ceilings, repayments, default, setting off, races."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.errors import SamePerson
from engine.app import LAWS
from engine.benefits import service
from engine.benefits.errors import LoanDecided, LoanDiffers, UnknownLoan
from engine.benefits.queries.claiming import ClaimRow
from engine.benefits.queries.lending import LoanRow
from engine.benefits.rules import Available, available
from engine.contributions import service as contributions
from engine.contributions.errors import AlreadyResolved
from engine.contributions.rules import Payment, Receipt
from engine.identity.rules import MemberRef
from engine.ledger import service as ledger
from engine.runtime.database import Database
from tests.factories.claims import CHECKER, MAKER, Claims, open_scheme
from tests.factories.heirs import UNKEPT, Estates, nominee, open_estates

FORTY = date(1983, 1, 1)
OLD = date(1967, 1, 31)
JOINED = date(2021, 6, 1)
OWN_LOAN = """
[[rule]]
kind = "loan"
id = "own-loan"
form = "loan"
base = { pots = ["savings"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }
ceiling_bp = 5000
least_months_in_scheme = 12
one_at_a_time = true
percent = "12"
schedule = "equal-principal"
interest_on = "reducing"
every_months = 1
most_instalments = 10
repaid_to = "own-pot"
interest_to = "fund"
repays_first = "interest"
default_after_months = 3
on_default = "ACTION"
rounding = "half-up"
source = "invented"
confidence = "high"
"""

PLEDGE_IN_FUNDS = """
[[rule]]
kind = "loan"
id = "called-in"
form = "pledge"
base = { pots = ["savings"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }
ceiling_bp = 5000
least_months_in_scheme = 0
one_at_a_time = true
schedule = "equal-instalments"
interest_on = "reducing"
every_months = 1
most_instalments = 60
repaid_to = "lender"
interest_to = "lender"
repays_first = "interest"
default_after_months = 3
on_default = "set-off"
rounding = "half-up"
source = "invented"
confidence = "high"
"""


@pytest.fixture
async def deaths(db: Database, tenant_id: int, tmp_path: Path) -> Estates:
    """EjoHeza on 1 February 2023, which also lends half of the own savings at 12 %, and freezes what is overdue."""
    rules = OWN_LOAN.replace("ACTION", "freeze")
    return await open_estates(db, tenant_id, tmp_path, "rw-ejoheza", "2023-02-01T08:00:00", rules=rules)


@pytest.fixture
def scheme(deaths: Estates) -> Claims:
    return deaths.scheme


@asynccontextmanager
async def _session(scheme: Claims) -> AsyncIterator[AsyncSession]:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        yield session


async def _lend(scheme: Claims, member: MemberRef, minor: int, *, instalments: int = 10) -> ClaimRow:
    claim = await scheme.claim(member, "loan", minor=minor, key="loan", rule="own-loan", instalments=instalments)
    assert claim.state == "decided", claim
    return await scheme.approve(claim)


async def _pay(scheme: Claims, loan: int, amount: str, *, reference: str, on: date) -> int:
    payment = Payment(
        member=f"L{loan}", amount=amount, currency="RWF", channel=scheme.channel, reference=reference,
        sent_by="partner:1", paid_on=on,
    )  # fmt: skip
    (answer,) = await contributions.receive(scheme.db, scheme.keys, scheme.tenant, [payment], lane=0)
    assert isinstance(answer, Receipt), answer
    assert (answer.state, answer.reason) == ("suspended", "loan-repayment")
    return int(answer.receipt)


async def _taken(scheme: Claims) -> int:
    return await service.take_repayments(scheme.db, scheme.keys, scheme.tenant)


async def _loan(scheme: Claims, loan: int) -> LoanRow:
    async with _session(scheme) as session:
        return (await service.find_loan(session, scheme.tenant, loan)).row


async def _ways(scheme: Claims, member: MemberRef) -> dict[str, Available]:
    async with _session(scheme) as session:
        stands = await service.standing_of(session, scheme.keys, scheme.tenant, member, actor=MAKER)
    year_of = scheme.tenant.product(member.product).scheme_year
    ways = available(stands.terms, stands.claimant, stands.figures, year_of, scheme.tenant.asset)
    return {one.rule.id: one for one in ways}


async def _sound(scheme: Claims) -> None:
    async with _session(scheme) as session:
        assert [one for one in await ledger.check(session, LAWS) if one.law not in UNKEPT] == []


async def _pledge(scheme: Claims, member: MemberRef, minor: int, **said: Any) -> ClaimRow:
    claim = await scheme.claim(
        member, "loan", minor=minor, key="pledge", rule="collateral", lender="equity-bank", percent="18", **said
    )
    assert claim.state == "decided", claim
    return await scheme.approve(claim)


async def _say(scheme: Claims, loan: int, owed: int, since: date | None = None) -> LoanRow:
    async with _session(scheme) as session:
        said = await service.report_lender(session, scheme.tenant, loan, owed=owed, unpaid_since=since, actor=MAKER)
    return await service.confirm_report(scheme.db, scheme.keys, scheme.tenant, loan, digest=said.digest, actor=CHECKER)


async def test_a_loan_is_paid_out_and_back_by_reference(scheme: Claims) -> None:
    """Half of 100,000 is lent over 10 months at 1 % a month: 5,000 and 500 fall due on 1 March."""
    member = await scheme.member(JOINED, FORTY)
    await scheme.pay(member, 100_000, pot="savings", on=date(2022, 1, 5))
    assert (await _ways(scheme, member))["own-loan"].minor == 50_000
    refused = await scheme.claim(member, "loan", minor=50_001, key="k0", rule="own-loan")
    assert (refused.state, refused.reason) == ("refused", "benefits.above-loan-ceiling")
    claim = await _lend(scheme, member, 50_000)
    assert (claim.state, claim.amount, claim.tax) == ("payable", 50_000, 0)
    assert await scheme.holds(member) == {"cash:own": 50_000, "payable:own": 50_000, "lent:own": 50_000}
    assert await scheme.control("member-loans") == -50_000
    assert (await _ways(scheme, member))["own-loan"].reason == "benefits.loan-running"
    again = await scheme.claim(member, "loan", minor=1_000, key="k1", rule="own-loan")
    assert (again.state, again.reason) == ("refused", "benefits.loan-running")

    await scheme.clock("2023-03-02T08:00:00")
    await _pay(scheme, claim.claim_id, "5500", reference="one", on=date(2023, 3, 1))
    assert await _taken(scheme) == 1
    assert await _taken(scheme) == 0
    assert await scheme.holds(member) == {"cash:own": 55_000, "payable:own": 50_000, "lent:own": 45_000}
    assert await scheme.control("interest-reserve") == 500
    assert (await _loan(scheme, claim.claim_id)).owed == 45_000

    # Paid back early: no instalment's interest is due before 1 April; what is above is the payer's.
    await scheme.clock("2023-03-20T08:00:00")
    await _pay(scheme, claim.claim_id, "45100", reference="two", on=date(2023, 3, 20))
    assert await _taken(scheme) == 1
    row = await _loan(scheme, claim.claim_id)
    assert (row.state, row.owed) == ("repaid", 0)
    assert await scheme.holds(member) == {"cash:own": 100_000, "payable:own": 50_100}
    assert await scheme.control("member-loans") == 0
    assert (await _ways(scheme, member))["own-loan"].minor == 50_000
    await _pay(scheme, claim.claim_id, "100", reference="three", on=date(2023, 3, 20))
    assert await _taken(scheme) == 0, "the loan has ended: the payment stays in suspense"
    await _sound(scheme)


async def test_a_repayment_pays_once_and_is_not_taken_back(scheme: Claims) -> None:
    member = await scheme.member(JOINED, FORTY)
    await scheme.pay(member, 100_000, pot="savings", on=date(2022, 1, 5))
    claim = await _lend(scheme, member, 40_000)
    receipt = await _pay(scheme, claim.claim_id, "4000", reference="one", on=date(2023, 2, 1))

    async def give() -> object:
        try:
            async with _session(scheme) as session:
                return (await service.repay(session, scheme.tenant, claim.claim_id, receipt, actor=MAKER)).owed
        except AlreadyResolved as error:
            return error.code

    found = await asyncio.gather(give(), give(), _taken(scheme), _taken(scheme))
    assert (await _loan(scheme, claim.claim_id)).owed == 36_000
    assert await scheme.holds(member) == {"cash:own": 64_000, "payable:own": 40_000, "lent:own": 36_000}
    assert len([one for one in found[:2] if one == 36_000]) + sum(int(str(one)) for one in found[2:]) == 1
    async with _session(scheme) as session:
        with pytest.raises(AlreadyResolved):
            await contributions.propose_reversal(session, scheme.tenant, receipt, reason="charged-back", actor=MAKER)
        with pytest.raises(UnknownLoan):
            await service.find_loan(session, scheme.tenant, 17)
    await _sound(scheme)


async def test_an_overdue_loan_freezes_the_savings_until_it_is_paid(scheme: Claims) -> None:
    """1 March is unpaid: three months later nothing may be taken; 5,500, 5,500 (of the same principal) and June's set it right."""
    member = await scheme.member(JOINED, FORTY)
    await scheme.pay(member, 100_000, pot="savings", on=date(2022, 1, 5))
    claim = await _lend(scheme, member, 50_000)
    await scheme.clock("2023-05-31T08:00:00")
    assert await service.follow_loans(scheme.db, scheme.tenant) == 0
    await scheme.clock("2023-06-01T08:00:00")
    done = await asyncio.gather(*(service.follow_loans(scheme.db, scheme.tenant) for _ in range(3)))
    assert sum(done) == 1
    assert (await _loan(scheme, claim.claim_id)).state == "frozen"
    assert (await _ways(scheme, member))["early-access"].reason == "benefits.savings-frozen"
    refused = await scheme.claim(member, "access", key="k2", rule="early-access", purpose="education")
    assert refused.reason == "benefits.savings-frozen"
    # Four instalments of 5,000; interest of 500 each month, as nothing was paid back.
    await _pay(scheme, claim.claim_id, "21999", reference="one", on=date(2023, 6, 1))
    assert await _taken(scheme) == 1
    assert (await _loan(scheme, claim.claim_id)).state == "frozen"
    await _pay(scheme, claim.claim_id, "1", reference="two", on=date(2023, 6, 1))
    assert await _taken(scheme) == 1
    row = await _loan(scheme, claim.claim_id)
    assert (row.state, row.owed) == ("running", 30_000)
    assert await scheme.control("interest-reserve") == 2_000
    await _sound(scheme)


async def test_an_overdue_loan_is_set_off(db: Database, tenant_id: int, tmp_path: Path) -> None:
    rules = OWN_LOAN.replace("ACTION", "set-off")
    scheme = await open_scheme(db, tenant_id, tmp_path, "rw-ejoheza", "2023-02-01T08:00:00", rules=rules)
    member = await scheme.member(JOINED, FORTY)
    await scheme.pay(member, 100_000, pot="savings", on=date(2022, 1, 5))
    claim = await _lend(scheme, member, 50_000)
    await scheme.clock("2023-06-01T08:00:00")
    assert await service.follow_loans(scheme.db, scheme.tenant) == 1
    row = await _loan(scheme, claim.claim_id)
    assert (row.state, row.owed) == ("set-off", 50_000)
    assert await scheme.holds(member) == {"cash:own": 50_000, "payable:own": 50_000}
    assert await scheme.control("member-loans") == 0
    assert (await _ways(scheme, member))["own-loan"].minor == 25_000
    await _sound(scheme)


async def test_who_retires_has_the_loan_set_off(scheme: Claims) -> None:
    member = await scheme.member(JOINED, OLD)
    await scheme.pay(member, 100_000, pot="savings", on=date(2022, 1, 5))
    loan = await _lend(scheme, member, 50_000)
    retired = await scheme.claim(member, "retirement", key="k2", rule="all-at-once")
    assert (retired.state, retired.amount) == ("decided", 50_000)
    await scheme.approve(retired)
    assert await scheme.holds(member) == {"payable:own": 100_000}
    assert (await _loan(scheme, loan.claim_id)).state == "set-off"
    await _sound(scheme)


async def test_what_is_pledged_cannot_be_taken(scheme: Claims) -> None:
    """40 % of 100,000 are pledged: 60,000 are free, 40 % of what was paid in may still be withdrawn, nobody leaves."""
    member = await scheme.member(JOINED, OLD)
    await scheme.pay(member, 100_000, pot="savings", on=date(2022, 1, 5))
    unnamed = await scheme.claim(member, "loan", minor=40_000, key="k0", rule="collateral")
    assert unnamed.reason == "benefits.lender-needed"
    pledge = await _pledge(scheme, member, 40_000)
    assert (pledge.state, await scheme.holds(member)) == ("pledged", {"cash:own": 100_000})
    async with _session(scheme) as session:
        stands = await service.standing_of(session, scheme.keys, scheme.tenant, member, actor=MAKER)
    assert sum(one.minor for one in stands.claimant.holdings) == 60_000
    assert (await scheme.claim(member, "retirement", key="k1", rule="all-at-once")).reason == "benefits.savings-pledged"
    assert (await _ways(scheme, member))["all-at-once"].reason == "benefits.savings-pledged"
    taken = await scheme.claim(member, "access", key="k2", rule="early-access", purpose="education")
    assert (taken.state, taken.amount) == ("decided", 40_000)

    async with _session(scheme) as session:
        said = await service.report_lender(
            session, scheme.tenant, pledge.claim_id, owed=10_000, unpaid_since=None, actor=MAKER
        )
    for digest, actor, error in (("0" * 64, CHECKER, LoanDiffers), (said.digest, MAKER, SamePerson)):
        with pytest.raises(error):
            await service.confirm_report(
                scheme.db, scheme.keys, scheme.tenant, pledge.claim_id, digest=digest, actor=actor
            )
    await service.confirm_report(
        scheme.db, scheme.keys, scheme.tenant, pledge.claim_id, digest=said.digest, actor=CHECKER
    )
    assert (await scheme.find(pledge)).amount == 10_000
    await _sound(scheme)
    assert (await _say(scheme, pledge.claim_id, 10_000, date(2022, 11, 1))).state == "in-default", "it is reported"
    released = await _say(scheme, pledge.claim_id, 0)
    assert (released.state, released.owed) == ("released", 0)
    async with _session(scheme) as session:
        with pytest.raises(LoanDecided):
            await service.report_lender(session, scheme.tenant, pledge.claim_id, owed=1, unpaid_since=None, actor=MAKER)
    await scheme.approve(taken)
    retired = await scheme.claim(member, "retirement", key="k3", rule="all-at-once")
    assert (retired.state, retired.amount) == ("decided", 60_000)
    await _sound(scheme)


async def test_two_pledges_at_one_moment_are_one(scheme: Claims) -> None:
    member = await scheme.member(JOINED, FORTY)
    await scheme.pay(member, 100_000, pot="savings", on=date(2022, 1, 5))
    said: dict[str, Any] = {"rule": "collateral", "lender": "equity-bank", "percent": "18"}
    found = await asyncio.gather(
        *(scheme.claim(member, "loan", minor=40_000, key=f"k{n}", **said) for n in range(4)),
        scheme.claim(member, "access", key="a", rule="early-access", purpose="education"),
    )
    assert sorted(one.state for one in found[:4]) == ["decided", "refused", "refused", "refused"]
    taken = found[4]
    assert taken.state == "decided"
    pledged = next(one for one in found[:4] if one.state == "decided")
    assert pledged.amount + taken.amount <= 100_000


async def test_a_death_waits_for_the_lender_and_pays_it_first(deaths: Estates) -> None:
    """15,000 of a pledge of 40,000 are still owed: the lender gets them, whatever the rule says of the living; heirs 85,000."""
    scheme = deaths.scheme
    member = await scheme.member(JOINED, FORTY, [nominee("Ineza Example", 10_000)])
    await scheme.pay(member, 100_000, pot="savings", on=date(2022, 1, 5))
    pledge = await _pledge(scheme, member, 40_000)
    await deaths.dies(member, on=date(2023, 1, 20))
    assert await deaths.follow() == 1
    [claim] = await deaths.claims()
    assert (claim.state, claim.estate.missing if claim.estate else ()) == ("open", ("lenders-word",))
    assert await deaths.follow() == 0
    row = await _say(scheme, pledge.claim_id, 15_000)
    assert (row.state, row.owed) == ("set-off", 15_000)
    assert await scheme.control("due-to-party") == 15_000
    claim = await scheme.find(claim)
    assert (claim.state, claim.amount) == ("decided", 85_000)
    await scheme.approve(claim)
    assert await scheme.holds(member) == {"heirs:own": 85_000}
    await _sound(scheme)


async def test_pledged_units_are_sold_for_the_lender(db: Database, tenant_id: int, tmp_path: Path) -> None:
    """480 units at 1.50 are 720.00: 300.00 are pledged. Of 150.00 in default 100 units are sold at 1.52: 2.00 are the member's."""
    scheme = await open_scheme(
        db, tenant_id, tmp_path, "gh-tier3-informal", "2018-01-08T09:00:00", rules=PLEDGE_IN_FUNDS
    )
    member = await scheme.member(date(2017, 6, 1), FORTY)
    event = await scheme.pay(member, 600_00, pot="savings", on=date(2018, 1, 8))
    await scheme.allocate([(member.member_id, event)])
    await scheme.deal("2018-01-08")
    await scheme.clock("2018-01-09T09:00:00")
    await scheme.deal("2018-01-09", {"TIER3-FUND": "1.25"})
    await scheme.clock("2018-01-10T09:00:00")
    await scheme.deal("2018-01-10", {"TIER3-FUND": "1.50"})
    claim = await scheme.claim(
        member, "loan", minor=300_00, key="p", rule="called-in", lender="equity-bank", percent="18"
    )
    assert (claim.state, dict(claim.parts[0].units)) == ("decided", {"TIER3-FUND": 200_0000})
    await scheme.approve(claim)
    async with _session(scheme) as session:
        stands = await service.standing_of(session, scheme.keys, scheme.tenant, member, actor=MAKER)
    assert sum(one.minor for one in stands.claimant.holdings) == 420_00
    row = await _say(scheme, claim.claim_id, 150_00, date(2017, 10, 10))
    assert (row.state, row.owed) == ("set-off", 150_00)
    assert await scheme.holds(member) == {"units:own": 380_0000, "selling:own": 100_0000}
    await scheme.deal("2018-01-10")
    await scheme.clock("2018-01-11T09:00:00")
    await scheme.deal("2018-01-11", {"TIER3-FUND": "1.52"})
    await scheme.settle("2018-01-11")
    done = await asyncio.gather(*(service.carry_on_claims(scheme.db, scheme.tenant) for _ in range(3)))
    assert sum(done) == 1
    assert await scheme.control("due-to-party") == 150_00
    assert await scheme.holds(member) == {"units:own": 380_0000, "payable:own": 2_00}
    assert await scheme.broken() == []


async def test_a_death_taken_back_lets_the_loan_go_on(deaths: Estates) -> None:
    scheme = deaths.scheme
    member = await scheme.member(JOINED, FORTY, [nominee("Ineza Example", 10_000)])
    await scheme.pay(member, 100_000, pot="savings", on=date(2022, 1, 5))
    loan = await _lend(scheme, member, 50_000)
    notice = await deaths.dies(member, on=date(2023, 1, 20))
    await deaths.follow()
    [claim] = await deaths.claims()
    await scheme.approve(claim)
    assert (await _loan(scheme, loan.claim_id)).state == "set-off"
    assert await scheme.control("member-loans") == 0
    await _sound(scheme)
    await deaths.lives(notice)
    assert sum(await asyncio.gather(*(deaths.follow() for _ in range(3)))) == 1
    row = await _loan(scheme, loan.claim_id)
    assert (row.state, row.owed) == ("running", 50_000)
    assert (await scheme.holds(member))["lent:own"] == 50_000
    await _sound(scheme)
