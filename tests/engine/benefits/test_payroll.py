"""Pensions paid over time, against PostgreSQL: schedules, payrolls, who pays, what is carried over; races and stops."""

import asyncio
import importlib
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from engine.access.errors import SamePerson
from engine.benefits import errors, service
from engine.benefits.queries import paying
from engine.benefits.queries import payroll as payroll_queries
from engine.benefits.queries.claiming import ClaimRow
from engine.benefits.queries.payroll_laws import PAYROLL_LAWS
from engine.benefits.rules.paying import AccountGiven, Payee
from engine.benefits.service import BankRail, Payers, Payroll
from engine.benefits.service.homing import bring_home
from engine.identity.rules import MemberRef
from engine.kernel.series import Series, SeriesPoint, SeriesValueMissing
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Transfer
from engine.runtime.database import Database
from engine.runtime.exchanges.engine import Exchanges
from tests.factories.claims import CHECKER, MAKER, ROOT, Claims, open_scheme

BORN = date(1966, 3, 10)
JOINED = date(2019, 6, 1)
LIFE = """
[[rule]]
kind = "proof-of-life"
id = "life"
every_months = 3
grace_days = 15
sources = ["agent", "register"]
after_death = "month-of-death"
source = "Invented: seen four times a year"
confidence = "high"

[[rule]]
kind = "payout-route"
id = "banks"
rail = "bank"
rank = 1
least_payable = "15000"
step = "1000"
name_check = "before-first-payment"
least_match_bp = 9000
account = "verified"
source = "Invented: whole thousands from 15,000 on"
confidence = "high"
"""
FEBRUARY, MARCH, APRIL = date(2023, 2, 1), date(2023, 3, 1), date(2023, 4, 1)


class Pensions:
    """A scheme with pensioners, and its bank."""

    def __init__(self, scheme: Claims) -> None:
        self.scheme, self.db, self.tenant, self.keys = scheme, scheme.db, scheme.tenant, scheme.keys
        bank = BankRail(pays_from=scheme.channel, holder="A Scheme", number="RW0001", bank="BKRW", sender="SCHEME")
        self.payers = Payers(Exchanges(self.db, self.keys, {}, lambda *_: ""), banks={"bank": bank})

    async def retire(
        self,
        minor: int,
        *,
        pot: str = "savings",
        state: int = 0,
        account: str = "001",
        born: date = BORN,
        **request: Any,
    ) -> tuple[MemberRef, ClaimRow]:
        """A member who has saved, retires by an option and names a bank account of their own name."""
        member = await self.scheme.member(JOINED, born)
        await self.scheme.pay(member, minor, pot=pot, on=date(2022, 1, 5))
        if state:
            await self.scheme.pay(member, state, pot=pot, on=date(2022, 1, 6), origin="state-match")
        claim = await self.scheme.claim(member, "retirement", key=f"r{member.member_id}", **request)
        assert claim.state == "decided", claim
        claim = await self.scheme.approve(claim)
        if account:
            await self.name(claim, account)
        return member, claim

    async def name(self, claim: ClaimRow, *numbers: str, holder: str = "Asha Example") -> None:
        accounts = tuple(AccountGiven(rail="bank", number=one, holder=holder, is_verified=True) for one in numbers)
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            await service.name_payee(
                session, self.keys, self.tenant, claim.claim_id, Payee(accounts=accounts), actor=MAKER
            )

    async def propose(self, month: date, actor: str = MAKER) -> Payroll:
        return await service.propose_payroll(self.db, self.tenant, self.scheme.product, month, actor=actor)

    async def approve(self, payroll: Payroll, actor: str = CHECKER) -> Payroll:
        return await service.approve_payroll(
            self.db, self.tenant, payroll.row.run_no, digest=payroll.row.digest, actor=actor
        )

    async def carry_on(self) -> int:
        return await service.carry_on_payrolls(self.db, self.keys, self.tenant, self.payers)

    async def pay(self, month: date) -> Payroll:
        """Propose, approve and carry out a payroll."""
        payroll = await self.approve(await self.propose(month))
        await self.carry_on()
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.find_payroll(session, payroll.row.run_no)

    async def end(self, *, failed: Sequence[str] = ()) -> None:
        """Let the bank say no to payouts of some claims; the rest are paid."""
        rows = await self.scheme.rows("select payout_id, source from payouts where state = 'approved'")
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            for payout_id, source in rows:
                if source.split(":")[1] in failed:
                    row = await paying.find_payout(session, payout_id, lock=True)
                    assert row is not None
                    await bring_home(session, self.keys, self.tenant, [row], reason="closed", actor="system:payouts")

    async def die(self, member: MemberRef, died_on: date) -> None:
        """A register's notice of a death is confirmed."""
        await self.scheme.run(
            """insert into death_notices (tenant_id, registry, record, member_id, died_on, state, document)
               values (:t, 'crvs', :record, :m, :died_on, 'confirmed', '')""",
            record=str(member.member_id), m=member.member_id, died_on=died_on,
        )  # fmt: skip

    async def revive(self, member: MemberRef) -> None:
        """The death was another's."""
        await self.scheme.run(
            "update death_notices set state = 'reversed' where tenant_id = :t and member_id = :m", m=member.member_id
        )

    async def prove(self, claim: ClaimRow, seen_on: date, source: str = "agent") -> None:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            await service.prove_life(session, self.tenant, claim.claim_id, seen_on=seen_on, source=source, actor=MAKER)

    async def dues(self, claim: ClaimRow) -> list[tuple[Any, ...]]:
        return await self.scheme.rows(
            """select number, due_on::text, due, amount_total(taken), amount_total(pooled), lacking, state from pension_instalments
                where claim_id = :c and state = 'posted' order by number""",
            c=claim.claim_id,
        )

    async def earn(self, member: MemberRef, minor: int) -> None:
        """Credit interest, as a run does."""
        money, product = self.tenant.asset.symbol, self.scheme.product
        reserve, cash = Account("interest-reserve", money, product), Account("cash", money, product, "savings", "own")
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            codes = await ledger.account_codes(session, {reserve, cash})
            entry = Entry(
                member_id=member.member_id,
                kind=EventKind.INTEREST_CREDITED,
                business_date=date(2023, 1, 1),
                actor=await ledger.actor_id(session, "system:interest"),
                transfers=[Transfer(minor, codes[reserve], codes[cash])],
            )
            await ledger.post(session, [entry])

    async def fund(self, role: str, minor: int) -> None:
        """Put money into a pool, or take it out."""
        money, product = self.tenant.asset.symbol, self.scheme.product
        pool, bank = (
            Account("pension-pool", money, product, party=role),
            Account("collections", money, party=self.scheme.channel),
        )
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            codes = await ledger.account_codes(session, {pool, bank})
            entry = Entry(
                member_id=-self.tenant.tenant_id,
                kind=EventKind.STATEMENT_MATCHED,
                business_date=date(2023, 1, 1),
                actor=await ledger.actor_id(session, "staff:9"),
                transfers=[
                    Transfer(abs(minor), *(codes[one] for one in ((bank, pool) if minor > 0 else (pool, bank))))
                ],
            )
            await ledger.post(session, [entry])


@pytest.fixture
async def ejoheza(db: Database, tenant_id: int, tmp_path: Path) -> Pensions:
    """EjoHeza on 1 February 2023: from 55 on a quarter and indexed instalments over 20 years, or instalments of one's choice."""
    return Pensions(await open_scheme(db, tenant_id, tmp_path, "rw-ejoheza", "2023-02-01T08:00:00"))


@pytest.fixture
async def lively(db: Database, tenant_id: int, tmp_path: Path) -> Pensions:
    """EjoHeza whose pensioners are seen every three months, and whose bank pays whole thousands from 15,000 on."""
    pack = tmp_path / "rw-ejoheza"
    shutil.copytree(ROOT / "tenants" / "rw-ejoheza", pack)
    rules = pack / "ltss" / "rules" / "2018-12-14.toml"
    rules.write_text(rules.read_text() + LIFE)
    return Pensions(await open_scheme(db, tenant_id, tmp_path, str(pack), "2023-02-01T08:00:00"))


CHOICE = """
[[rule]]
kind = "guarantee-period"
id = "ten-years"
years = 10
leap_day = "1-march"
payee = "nominees"
share_bp = 10000
rounding = "down"
source = "Invented: ten years are certain"
confidence = "high"

[[rule]]
kind = "exit-tax"
id = "pensions-tax"
on_grounds = ["retirement"]
method = "proportional"
taxed = "income"
pre_tax_only = false
years_of = "joining"
bands = [{ from_years = 0, percent = "10" }]
leap_day = "1-march"
rounding = "down"
paid_to = "state"
source = "Invented: a tenth of income"
confidence = "high"
"""


@pytest.fixture
async def maandhan(db: Database, tenant_id: int, tmp_path: Path) -> Pensions:
    """PM-SYM on 1 February 2036: 3,000 rupees a month from 60, from the own pot, then the fund, then the state."""
    return Pensions(await open_scheme(db, tenant_id, tmp_path, "in-pm-sym", "2036-02-01T08:00:00"))


async def test_instalments_of_ones_choice_are_what_is_unpaid_over_what_is_left(ejoheza: Pensions) -> None:
    """100,007 francs over one year, monthly from 1 February: 8,333, then 91,674 / 11 is 8,334; both are taken own money first."""
    member, claim = await ejoheza.retire(90_000, state=10_007, rule="own-instalments", years=1)
    assert (claim.state, claim.amount) == ("payable", 0)
    counted = await ejoheza.propose(FEBRUARY)
    assert (counted.totals.pensions, counted.totals.due, counted.totals.paying) == (1, 8_333, 8_333)
    assert await ejoheza.scheme.holds(member) == {"cash:own": 90_000, "cash:state-match": 10_007}, "nothing has moved"
    with pytest.raises(SamePerson):
        await ejoheza.approve(counted, actor=MAKER)
    with pytest.raises(errors.PayrollDiffers):
        await service.approve_payroll(ejoheza.db, ejoheza.tenant, counted.row.run_no, digest="0" * 64, actor=CHECKER)
    with pytest.raises(errors.PayrollOpen):
        await ejoheza.propose(FEBRUARY)
    await ejoheza.approve(counted)
    with pytest.raises(errors.PayrollDecided):
        await ejoheza.approve(counted)
    await ejoheza.carry_on()
    assert await ejoheza.carry_on() == 0
    assert await ejoheza.scheme.holds(member) == {"cash:own": 81_667, "cash:state-match": 10_007}
    assert await ejoheza.scheme.control("payouts-in-transit") == 8_333
    again = await ejoheza.pay(FEBRUARY)
    assert (again.totals.pensions, again.totals.paying) == (0, 0)
    with pytest.raises(errors.PayrollTooEarly):
        await ejoheza.propose(MARCH)
    await ejoheza.scheme.clock("2024-03-05T08:00:00")
    rest = await ejoheza.pay(date(2024, 3, 1))
    assert (rest.totals.pensions, rest.totals.due) == (11, 91_674)
    assert [row[2] for row in await ejoheza.dues(claim)] == [8_333] + [8_334] * 11
    assert await ejoheza.scheme.holds(member) == {}
    assert (await ejoheza.pay(date(2024, 3, 1))).totals.pensions == 0
    assert not await ejoheza.scheme.broken()


async def test_a_fixed_pension_is_paid_by_the_pot_then_the_pools(maandhan: Pensions) -> None:
    """7,000 rupees: two pensions of 3,000 and a third of which the fund has 1,500 and the state nothing; then it is owed."""
    member, claim = await maandhan.retire(7_000_00, pot="pension", born=date(1976, 1, 20), rule="pension-for-life")
    await maandhan.fund("scheme", 1_500_00)
    assert (await maandhan.pay(date(2036, 2, 1))).totals.pensions == 0, "paid at the end of each month"
    await maandhan.scheme.clock("2036-05-02T08:00:00")
    paid = await maandhan.pay(date(2036, 5, 1))
    assert [row[2:6] for row in await maandhan.dues(claim)] == [
        (3_000_00, 3_000_00, 0, 0),
        (3_000_00, 3_000_00, 0, 0),
        (3_000_00, 1_000_00, 1_500_00, 500_00),
    ]
    assert (paid.totals.due, paid.totals.taken, paid.totals.pooled, paid.totals.lacking) == (
        9_000_00,
        7_000_00,
        1_500_00,
        500_00,
    )
    await maandhan.fund("state", 100_000_00)
    await maandhan.scheme.clock("2036-06-02T08:00:00")
    owed = await maandhan.pay(date(2036, 6, 1))
    assert (owed.totals.pensions, owed.totals.due, owed.totals.pooled, owed.totals.lacking) == (
        1,
        3_500_00,
        3_500_00,
        0,
    )
    assert await maandhan.scheme.control("pension-pool") == 96_500_00
    assert await maandhan.scheme.control("payouts-in-transit") == 12_000_00 + 1_000_00 - 1_000_00
    assert await maandhan.scheme.holds(member) == {}
    assert not await maandhan.scheme.broken()


async def test_a_pension_whose_pot_is_empty_is_paid_by_the_fund_and_then_claimed_by_nobody_twice(
    maandhan: Pensions,
) -> None:
    """Of the first pension of 3,000 rupees the pot pays 2,000; from April on the pot is empty and the fund pays whole pensions.

    Three who carry the payroll on at once pay each pension once; what the fund lacks the state pays.
    """
    member, claim = await maandhan.retire(2_000_00, pot="pension", born=date(1976, 1, 20), rule="pension-for-life")
    await maandhan.fund("scheme", 6_000_00)
    await maandhan.fund("state", 2_000_00)
    await maandhan.scheme.clock("2036-03-02T08:00:00")
    first = await maandhan.pay(date(2036, 3, 1))
    assert (first.totals.taken, first.totals.pooled, first.totals.lacking) == (2_000_00, 1_000_00, 0)
    assert await maandhan.scheme.holds(member) == {}
    await maandhan.scheme.clock("2036-05-02T08:00:00")
    payroll = await maandhan.approve(await maandhan.propose(date(2036, 5, 1)))
    await asyncio.gather(*(maandhan.carry_on() for _ in range(3)))
    assert (payroll.totals.pensions, payroll.totals.taken, payroll.totals.pooled) == (2, 0, 6_000_00)
    assert [row[2:6] for row in await maandhan.dues(claim)][1:] == [(3_000_00, 0, 3_000_00, 0)] * 2
    assert await maandhan.scheme.control("pension-pool") == 1_000_00, (
        "the state's: the fund had 5,000 left and gave them"
    )
    assert await maandhan.scheme.control("payouts-in-transit") == 9_000_00
    assert not await maandhan.scheme.broken()


async def test_what_failed_is_paid_by_the_next_payroll(ejoheza: Pensions) -> None:
    _, claim = await ejoheza.retire(120_000, rule="own-instalments", years=1)
    await ejoheza.pay(FEBRUARY)
    await ejoheza.end(failed=[str(claim.claim_id)])
    assert await ejoheza.scheme.control("payouts-in-transit") == 0
    await ejoheza.scheme.clock("2023-03-01T08:00:00")
    paid = await ejoheza.pay(MARCH)
    assert (paid.totals.due, paid.totals.payments, paid.totals.paying) == (10_000, 1, 20_000)
    assert await ejoheza.scheme.control("payouts-in-transit") == 20_000
    assert not await ejoheza.scheme.broken()


async def test_who_has_named_no_account_is_carried_over_and_paid_later(ejoheza: Pensions) -> None:
    _, claim = await ejoheza.retire(120_000, account="", rule="own-instalments", years=1)
    paid = await ejoheza.pay(FEBRUARY)
    assert (paid.totals.payments, paid.totals.owed, paid.fates) == (0, 10_000, {"no-account": (1, 10_000)})
    await ejoheza.name(claim, "002")
    paid = await ejoheza.pay(FEBRUARY)
    assert (paid.totals.pensions, paid.fates) == (0, {"approved": (1, 10_000)})
    assert not await ejoheza.scheme.broken()


async def test_a_rejected_payroll_is_counted_anew(ejoheza: Pensions) -> None:
    await ejoheza.retire(120_000, rule="own-instalments", years=1)
    first = await ejoheza.propose(FEBRUARY)
    await service.reject_payroll(ejoheza.db, ejoheza.tenant, first.row.run_no, digest=first.row.digest, actor=CHECKER)
    assert await ejoheza.carry_on() == 0
    second = await ejoheza.pay(FEBRUARY)
    assert second.totals.paying == 10_000
    assert not await ejoheza.scheme.broken()


async def test_of_payrolls_at_once_one_is_made_and_each_instalment_posted_once(ejoheza: Pensions) -> None:
    for _ in range(5):
        await ejoheza.retire(120_000, rule="own-instalments", years=1)
    ends = await asyncio.gather(*(ejoheza.propose(FEBRUARY) for _ in range(4)), return_exceptions=True)
    made = [one for one in ends if isinstance(one, Payroll)]
    assert {one.row.run_no for one in made} == {1}
    await ejoheza.approve(made[0])
    await asyncio.gather(*(ejoheza.carry_on() for _ in range(4)))
    await ejoheza.carry_on()
    assert await ejoheza.scheme.control("payouts-in-transit") == 50_000
    ((payouts,),) = await ejoheza.scheme.rows("select count(*) from payouts")
    assert payouts == 5
    assert not await ejoheza.scheme.broken()


async def test_money_in_a_running_pension_is_claimed_by_nothing_else(ejoheza: Pensions) -> None:
    member, _ = await ejoheza.retire(120_000, rule="own-instalments", years=1)
    other = await ejoheza.scheme.claim(member, "access", key="k2", rule="early-access", purpose="education")
    assert other.state == "refused"


async def test_without_a_proof_of_life_nothing_is_paid_and_nothing_lost(lively: Pensions) -> None:
    """20,000 a month from 1 February; seen on that day, and so paid until 16 May; seen again in July, five months are due."""
    _, claim = await lively.retire(240_000, rule="own-instalments", years=1)
    assert (await lively.pay(FEBRUARY)).totals.paying == 20_000
    await lively.scheme.clock("2023-05-16T08:00:00")
    assert (await lively.pay(date(2023, 5, 1))).totals.due == 60_000
    await lively.scheme.clock("2023-07-03T08:00:00")
    held = await lively.pay(date(2023, 7, 1))
    assert (held.totals.pensions, held.totals.suspended, held.totals.paying) == (0, 1, 0)
    with pytest.raises(errors.LifeProofNotTaken):
        await lively.prove(claim, date(2023, 7, 2), "neighbour")
    with pytest.raises(errors.UnknownPension):
        async with lively.db.unit_of_work(lively.tenant.tenant_id) as session:
            await service.prove_life(session, lively.tenant, 1, seen_on=APRIL, source="agent", actor=MAKER)
    await lively.prove(claim, date(2023, 7, 2))
    await lively.prove(claim, date(2023, 3, 2), "register")
    async with lively.db.unit_of_work(lively.tenant.tenant_id) as session:
        found = await service.find_pension(session, claim.claim_id)
    assert found.life_until == date(2023, 10, 17), "an older proof takes nothing back"
    paid = await lively.pay(date(2023, 7, 1))
    assert (paid.totals.pensions, paid.totals.paying) == (2, 40_000)
    assert not await lively.scheme.broken()


async def test_what_a_rail_cannot_pay_is_carried_over(lively: Pensions) -> None:
    """10,004 a month: less than the bank pays in February; in March 20,000 of the 20,008, and 8 stay."""
    await lively.retire(120_048, rule="own-instalments", years=1)
    first = await lively.pay(FEBRUARY)
    assert (first.totals.due, first.fates) == (10_004, {"below-least-payable": (1, 10_004)})
    await lively.scheme.clock("2023-03-01T08:00:00")
    second = await lively.pay(MARCH)
    assert (second.totals.owed, second.totals.paying, second.fates) == (20_008, 20_000, {"approved": (1, 20_000)})
    assert not await lively.scheme.broken()


async def test_a_name_that_differs_waits_for_a_person_and_nobody_is_paid_twice(lively: Pensions) -> None:
    _, claim = await lively.retire(240_000, account="", rule="own-instalments", years=1)
    await lively.name(claim, "001", holder="Meera Other")
    assert (await lively.pay(FEBRUARY)).fates == {"created": (1, 20_000)}
    await lively.scheme.clock("2023-03-01T08:00:00")
    second = await lively.pay(MARCH)
    assert (second.totals.paying, second.fates) == (20_000, {"created": (1, 20_000)}), "the first waits still"
    assert await lively.scheme.control("payouts-in-transit") == 0
    assert not await lively.scheme.broken()


async def test_a_death_ends_a_pension_and_what_went_out_for_later_is_owed_back(lively: Pensions) -> None:
    """Paid until May, died on 5 March: April and May, 40,000, went out and are owed; one comes home, and is taken back."""
    member, claim = await lively.retire(240_000, rule="own-instalments", years=1)
    for month in range(2, 6):
        await lively.scheme.clock(f"2023-{month:02d}-02T08:00:00")
        await lively.pay(date(2023, month, 1))
    assert await lively.scheme.holds(member) == {"cash:own": 160_000}
    await lively.die(member, date(2023, 3, 5))
    again = await lively.pay(date(2023, 5, 1))
    assert (again.totals.pensions, again.totals.paying) == (0, 0)
    assert await lively.scheme.holds(member) == {"cash:own": 200_000}
    assert await lively.scheme.control("overpayment-receivable") == -40_000
    assert [row[0] for row in await lively.dues(claim)] == [1, 2]
    assert not await lively.scheme.broken()
    rows = await lively.scheme.rows(
        "select payout_id from payouts where state = 'approved' order by made_at desc limit 1"
    )
    async with lively.db.unit_of_work(lively.tenant.tenant_id) as session:
        row = await paying.find_payout(session, rows[0][0], lock=True)
        assert row is not None
        await bring_home(session, lively.keys, lively.tenant, [row], reason="closed", actor="system:payouts")
    again = await lively.pay(date(2023, 5, 1))
    assert again.totals.paying == 0
    assert await lively.scheme.control("overpayment-receivable") == -20_000
    assert await lively.scheme.holds(member) == {"cash:own": 200_000}
    assert not await lively.scheme.broken()


async def test_a_death_that_was_anothers_is_undone_and_the_receivable_settled(lively: Pensions) -> None:
    """The two months that were reversed fall due anew and settle what they owed; the next is paid as ever."""
    member, claim = await lively.retire(240_000, rule="own-instalments", years=1)
    for month in range(2, 5):
        await lively.scheme.clock(f"2023-{month:02d}-02T08:00:00")
        await lively.pay(date(2023, month, 1))
    await lively.die(member, date(2023, 2, 5))
    await lively.pay(APRIL)
    assert await lively.scheme.control("overpayment-receivable") == -40_000
    await lively.revive(member)
    await lively.scheme.clock("2023-05-02T08:00:00")
    back = await lively.pay(date(2023, 5, 1))
    assert (back.totals.pensions, back.totals.due, back.totals.paying) == (3, 60_000, 20_000)
    await service.stop_pensions(lively.db, lively.tenant, lively.scheme.product)
    assert await lively.scheme.control("overpayment-receivable") == 0
    assert await lively.scheme.holds(member) == {"cash:own": 160_000}
    assert [row[0] for row in await lively.dues(claim)] == [1, 2, 3, 4]
    assert not await lively.scheme.broken()


async def test_who_dies_between_proposal_and_payment_is_not_paid(lively: Pensions) -> None:
    member, _ = await lively.retire(240_000, rule="own-instalments", years=1)
    payroll = await lively.approve(await lively.propose(FEBRUARY))
    await lively.die(member, date(2023, 2, 1))
    await lively.carry_on()
    async with lively.db.unit_of_work(lively.tenant.tenant_id) as session:
        found = await service.find_payroll(session, payroll.row.run_no)
    assert (found.row.state, found.fates) == ("done", {"dropped": (1, 20_000)})
    assert await lively.scheme.holds(member) == {"cash:own": 240_000}
    assert not await lively.scheme.broken()


class Stopped(Exception):
    """The process stops here."""


@pytest.mark.parametrize("after", ["post_range", "finish_run", "note_made", "decide_payouts", "take_waiting"])
async def test_a_payroll_that_stops_anywhere_goes_on_and_pays_each_once(
    ejoheza: Pensions, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    """Two members a range and a chunk: the first step of each sort is done, the second stops before it is committed."""
    monkeypatch.setattr("engine.benefits.queries.payroll.MOST_MEMBERS", 2)
    monkeypatch.setattr("engine.benefits.service.disbursing.CHUNK", 2)
    for _ in range(5):
        await ejoheza.retire(120_000, rule="own-instalments", years=1)
    counted = await ejoheza.propose(FEBRUARY)
    await ejoheza.approve(counted)
    module = "disbursing" if after == "decide_payouts" else "payroll"
    place = f"engine.benefits.queries.{module}.{after}"
    real, calls = getattr(importlib.import_module(f"engine.benefits.queries.{module}"), after), []

    async def stops(*args: Any, **others: Any) -> Any:
        found = await real(*args, **others)
        calls.append(after)
        if len(calls) == (1 if after == "finish_run" else 2):
            raise Stopped
        return found

    with monkeypatch.context() as patch:
        patch.setattr(place, stops)
        with pytest.raises(Stopped):
            await ejoheza.carry_on()
    assert not await ejoheza.scheme.broken()
    await ejoheza.carry_on()
    assert await ejoheza.scheme.control("payouts-in-transit") == 50_000
    ((payouts, posted),) = await ejoheza.scheme.rows(
        "select (select count(*) from payouts where state = 'approved'), (select count(*) from pension_instalments where state = 'posted')"
    )
    assert (payouts, posted) == (5, 5)
    assert not await ejoheza.scheme.broken()


async def test_a_payout_that_is_not_what_was_approved_is_put_aside_and_the_others_leave(
    ejoheza: Pensions, monkeypatch: pytest.MonkeyPatch, superuser_url: str, database_urls: tuple[str, str]
) -> None:
    for _ in range(3):
        await ejoheza.retire(120_000, rule="own-instalments", years=1)
    await ejoheza.approve(await ejoheza.propose(FEBRUARY))

    async def nothing(*_: Any) -> int:
        return 0

    with monkeypatch.context() as patch:
        patch.setattr("engine.benefits.service.disbursing._release_chunk", nothing)
        await ejoheza.carry_on()
    info = psycopg.conninfo.conninfo_to_dict(database_urls[0])
    with psycopg.connect(superuser_url, dbname=str(info["dbname"])) as connection:
        sql = "update payouts set digest = %s where payout_id = (select min(payout_id::text)::uuid from payouts where tenant_id = %s)"
        assert connection.execute(sql, ("0" * 64, ejoheza.tenant.tenant_id)).rowcount == 1
    await ejoheza.carry_on()
    assert await ejoheza.carry_on() == 0
    assert await ejoheza.scheme.control("payouts-in-transit") == 20_000
    rows = await ejoheza.scheme.rows("select task, reason, owner, tries from quarantine")
    assert rows == [("benefits.release_payouts", "payout-differs", "payout-checker", 1)]


async def test_a_count_that_stops_goes_on_where_it_stood(ejoheza: Pensions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.benefits.queries.payroll.MOST_MEMBERS", 2)
    for _ in range(5):
        await ejoheza.retire(120_000, rule="own-instalments", years=1)
    real, calls = payroll_queries.count_payments, []

    async def stops(*args: Any, **others: Any) -> None:
        await real(*args, **others)
        calls.append(1)
        if len(calls) == 2:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr("engine.benefits.queries.payroll.count_payments", stops)
        with pytest.raises(Stopped):
            await ejoheza.propose(FEBRUARY)
    with pytest.raises(errors.PayrollOpen):
        await ejoheza.propose(FEBRUARY, actor="staff:7")
    counted = await ejoheza.propose(FEBRUARY)
    assert (counted.row.run_no, counted.totals.pensions, counted.totals.paying) == (1, 5, 50_000)


async def test_indexed_instalments_follow_the_index(ejoheza: Pensions) -> None:
    """4,000,000 francs: a quarter at once, 12,500 a month for 20 years; prices of 100, from March 104.5: 13,062.5, rounded down."""
    member, claim = await ejoheza.retire(4_000_000, rule="quarter-and-instalments")
    assert (claim.amount, (await ejoheza.scheme.holds(member))["payable:own"]) == (1_000_000, 1_000_000)
    _, other = await ejoheza.retire(120_000, rule="own-instalments", years=1)
    held = await ejoheza.pay(FEBRUARY)
    assert (held.totals.pensions, held.totals.paying) == (1, 10_000), "the others do not wait for the index"
    assert held.totals.waits == (
        ("quarter-and-instalments@2018-12-14", SeriesValueMissing.code, "consumer-prices 2023-02-01", 1),
    )
    points = tuple(
        SeriesPoint(on, date(2022, 1, 1), Decimal(value), "test")
        for on, value in ((date(2022, 1, 1), "100"), (MARCH, "104.5"))
    )
    prices = Series("consumer-prices", "index", points)
    pack = replace(ejoheza.tenant.pack, series={**ejoheza.tenant.pack.series, prices.code: prices})
    ejoheza.tenant = replace(ejoheza.tenant, pack=pack)
    late = await ejoheza.pay(FEBRUARY)
    assert (late.totals.paying, late.totals.waits) == (12_500, ())
    await ejoheza.scheme.clock("2023-04-02T08:00:00")
    await ejoheza.pay(APRIL)
    assert [row[2] for row in await ejoheza.dues(other)] == [10_000] * 3
    assert [row[2] for row in await ejoheza.dues(claim)] == [12_500, 13_062, 13_062]
    assert not await ejoheza.scheme.broken()


async def test_a_choice_needs_the_spouses_consent_and_cools_off(db: Database, tenant_id: int, tmp_path: Path) -> None:
    """The consent completes the claim on 1 February; until the 15th the member may change their mind."""
    pack = tmp_path / "rw-ejoheza"
    shutil.copytree(ROOT / "tenants" / "rw-ejoheza", pack)
    rules = pack / "ltss" / "rules" / "2018-12-14.toml"
    option = 'id = "own-instalments"\n'
    changed = rules.read_text().replace(option, f'{option}documents = ["spouse-consent"]\ncooling_off_days = 14\n')
    rules.write_text(changed)
    pensions = Pensions(await open_scheme(db, tenant_id, tmp_path, str(pack), "2023-02-01T08:00:00"))
    scheme = pensions.scheme
    member = await scheme.member(JOINED, BORN)
    await scheme.pay(member, 120_000, pot="savings", on=date(2022, 1, 5))
    claim = await scheme.claim(member, "retirement", rule="own-instalments", years=1)
    assert (claim.state, service.missing_of(scheme.tenant, claim)) == ("open", ("spouse-consent",))
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        claim = await service.add_documents(
            session, scheme.keys, scheme.tenant, claim.claim_id, {"spouse-consent": "0" * 64}, actor=MAKER
        )
    assert claim.state == "decided"
    with pytest.raises(errors.ChoiceCoolingOff) as refused:
        await scheme.approve(claim)
    assert refused.value.details == {"day": "2023-02-15"}
    await scheme.clock("2023-02-15T08:00:00")
    assert (await scheme.approve(claim)).state == "payable"
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        found = await service.find_pension(session, claim.claim_id)
    assert (found.plan.due_on(1), found.plan.instalments) == (date(2023, 2, 1), 12)


async def test_what_is_left_of_a_guarantee_period_is_told(db: Database, tenant_id: int, tmp_path: Path) -> None:
    """3,000 rupees a month at its end, ten years certain from 1 February 2036: 119 are, of which three were posted."""
    pack = tmp_path / "in-pm-sym"
    shutil.copytree(ROOT / "tenants" / "in-pm-sym", pack)
    rules = pack / "maan-dhan" / "rules" / "2019-02-15.toml"
    rules.write_text(rules.read_text() + CHOICE.partition('[[rule]]\nkind = "exit-tax"')[0])
    pensions = Pensions(await open_scheme(db, tenant_id, tmp_path, str(pack), "2036-02-01T08:00:00"))
    _, claim = await pensions.retire(20_000_00, pot="pension", born=date(1976, 1, 20), rule="pension-for-life")
    await pensions.scheme.clock("2036-05-02T08:00:00")
    await pensions.pay(date(2036, 5, 1))
    async with pensions.db.unit_of_work(pensions.tenant.tenant_id) as session:
        left = await service.remaining_guaranteed(session, pensions.tenant, claim.claim_id)
    assert (len(left), left[0].number, left[0].due_on, left[0].minor) == (116, 4, date(2036, 6, 1), 3_000_00)
    assert left[-1].due_on == date(2046, 1, 1)


async def test_tax_of_later_payments_is_withheld_from_each(db: Database, tenant_id: int, tmp_path: Path) -> None:
    """120,000 francs of which 20,000 are income: a tenth of it, 2,000, is tax; of each 10,000 a sixtieth, 166."""
    pack = tmp_path / "rw-ejoheza"
    shutil.copytree(ROOT / "tenants" / "rw-ejoheza", pack)
    rules = pack / "ltss" / "rules" / "2018-12-14.toml"
    rules.write_text(rules.read_text() + "[[rule]]" + CHOICE.rpartition("[[rule]]")[2])
    pensions = Pensions(await open_scheme(db, tenant_id, tmp_path, str(pack), "2023-02-01T08:00:00"))
    scheme = pensions.scheme
    member = await scheme.member(JOINED, BORN)
    await scheme.pay(member, 100_000, pot="savings", on=date(2022, 1, 5))
    await pensions.earn(member, 20_000)
    claim = await scheme.approve(await scheme.claim(member, "retirement", rule="own-instalments", years=1))
    await pensions.name(claim, "001")
    paid = await pensions.pay(FEBRUARY)
    assert (paid.totals.due, paid.totals.taxed, paid.totals.paying) == (10_000, 166, 9_834)
    assert await scheme.control("tax-withheld") == 166
    await pensions.scheme.clock("2023-03-02T08:00:00")
    await pensions.die(member, date(2023, 1, 31))
    await pensions.pay(MARCH)
    assert await scheme.control("tax-withheld") == 0
    assert await scheme.control("overpayment-receivable") == -9_834
    assert await scheme.holds(member) == {"cash:own": 120_000}
    assert not await scheme.broken()


DAMAGE = {
    "pensions-add-up": "update pension_instalments set due = due + 1",
    "pensions-are-due-once": "update pension_instalments set number = number + 1 where number = 2",
    "pensions-are-posted-as-due": "update transfers set amount = amount + 1 where event_id = (select max(event_id) from pension_instalments where tenant_id = {t})",
    "payrolls-pay-what-they-say": "update payouts set amount = amount + 1",
    "pensions-are-paid-once": "update pension_instalments set net = array_fill(0::bigint, array[cardinality(net)])",
    "overpaid-pensions-are-receivables": "update pension_schedules set overpaid[1] = 5",
    "pensions-have-their-reserves": "update pension_schedules set reserve = 5",
}


@pytest.mark.parametrize("law", [law.name for law in PAYROLL_LAWS])
async def test_damage_is_named(ejoheza: Pensions, superuser_url: str, database_urls: tuple[str, str], law: str) -> None:
    await ejoheza.retire(120_000, rule="own-instalments", years=1)
    await ejoheza.scheme.clock("2023-03-02T08:00:00")
    await ejoheza.pay(MARCH)
    tenant_id = ejoheza.tenant.tenant_id
    (sql,) = [one.sql for one in PAYROLL_LAWS if one.name == law]
    info = psycopg.conninfo.conninfo_to_dict(database_urls[0])
    with psycopg.connect(superuser_url, dbname=str(info["dbname"])) as connection:
        connection.execute("select set_config('app.tenant', %s, true)", (str(tenant_id),))

        def found() -> list[Any]:
            connection.execute(f"set local role {info['user']}")
            rows = connection.execute(sql).fetchall()
            connection.execute("reset role")
            return rows

        assert found() == []
        connection.execute("set local session_replication_role = replica")
        damage = DAMAGE[law].format(t=tenant_id)
        if "{t}" not in DAMAGE[law]:
            damage += f" {'and' if ' where ' in damage else 'where'} tenant_id = {tenant_id}"
        assert connection.execute(damage).rowcount
        offences = found()
        assert offences
        assert all(len(row) == 3 for row in offences)
        connection.rollback()


def test_every_law_has_its_damage() -> None:
    assert DAMAGE.keys() == {law.name for law in PAYROLL_LAWS}
