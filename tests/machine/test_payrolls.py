"""Pensions paid over time, among all else: payrolls, proofs of life, suspension and arrears, payments that come back, deaths."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from engine.access.errors import SamePerson
from engine.benefits import service as benefits
from engine.benefits.errors import (
    LifeProofNotTaken,
    PayrollDecided,
    PayrollDiffers,
    PayrollOpen,
    PayrollTooEarly,
    UnknownPension,
)
from engine.benefits.queries.claiming import ClaimRow, Request
from engine.benefits.queries.schedules import ScheduleRow
from engine.benefits.rules.paying import AccountGiven, Payee
from engine.benefits.service import Payroll
from engine.kernel.errors import EngineError
from tests.machine.machine import CLOSED_ACCOUNT, FAMILY, Months, Saver, live, mostly, people, under_hand, which
from tests.machine.saving import RWANDA, SavingScheme
from tests.machine.world import CHECKER, DONE, MAKER

RULES = """
[[rule]]
kind = "proof-of-life"
id = "life"
every_months = 3
grace_days = 15
sources = ["agent"]
after_death = "month-of-death"
source = "Invented"
confidence = "high"

[[rule]]
kind = "payout-route"
id = "banks"
rail = "bank"
rank = 1
least_payable = "1000"
step = "100"
name_check = "none"
account = "verified"
source = "Invented"
confidence = "high"
"""


class Payrolls(Months, weight=4):
    """Pensions."""

    def __init__(self) -> None:
        super().__init__()
        self.pensions: list[tuple[Saver, int]] = []

    @precondition(lambda self: self.savers)
    @rule(index=which, years=st.integers(1, 2), is_open=mostly)
    def retire_over_time(self, index: int, years: int, is_open: bool) -> None:
        """Asked for, approved, and an account named."""
        saver, (_, key) = self.savers[index % len(self.savers)], self.references()
        member = self.run(self.world.member(saver.number))
        request = Request(rule="own-instalments", ground="retirement", years=years)
        claim = self.run(self.world.claim(member, "retirement", minor=None, key=key, request=request))
        if not isinstance(claim, ClaimRow) or claim.state != "decided":
            return
        assert not saver.is_dead, claim
        answer = self.run(self.world.approve_claim(claim.claim_id, claim.digest, CHECKER))
        if isinstance(answer, ClaimRow):
            self.pensions.append((saver, claim.claim_id))
            assert isinstance(self.name(claim.claim_id, is_open=is_open), ScheduleRow)

    @precondition(lambda self: self.pensions)
    @rule(index=which, is_open=st.booleans())
    def name_another_account(self, index: int, is_open: bool) -> None:
        _, claim = self.pensions[index % len(self.pensions)]
        answer = self.name(claim, is_open=is_open)
        assert isinstance(answer, ScheduleRow), answer

    @rule()
    def name_for_nobody(self) -> None:
        assert isinstance(self.name(1, is_open=True), UnknownPension)

    @rule(has_begun=mostly)
    def propose_payroll(self, has_begun: bool) -> None:
        world, held = self.world, any(one.row.state in ("counting", "proposed", "approved") for one in self.payrolls())
        month = world.now.date() + timedelta(days=0 if has_begun else 40)
        answer = self.run(
            world.attempt(
                "propose payroll",
                benefits.propose_payroll(world.db, world.tenant, self.country.product, month, actor=MAKER),
            )
        )
        if held:
            assert isinstance(answer, PayrollOpen), answer
        else:
            assert isinstance(answer, Payroll if has_begun else PayrollTooEarly), answer

    @precondition(lambda self: self.payrolls())
    @rule(index=which, by=people, is_exact=mostly, is_approved=mostly, at_once=st.integers(1, 3))
    def decide_payroll(self, index: int, by: str, is_exact: bool, is_approved: bool, at_once: int) -> None:
        world, payrolls = self.world, self.payrolls()
        row = payrolls[index % len(payrolls)].row
        digest = row.digest if is_exact else "0" * 64
        deciding = benefits.approve_payroll if is_approved else benefits.reject_payroll
        answers = self.at_once(
            at_once,
            lambda: world.attempt(
                f"{'approve' if is_approved else 'reject'} payroll",
                deciding(world.db, world.tenant, row.run_no, digest=digest, actor=by),
            ),
        )
        if row.state != "proposed":
            assert all(isinstance(one, PayrollDecided) for one in answers), answers
        elif by == MAKER:
            assert all(isinstance(one, SamePerson) for one in answers), answers
        elif not is_exact:
            assert all(isinstance(one, PayrollDiffers) for one in answers), answers
        else:
            assert sum(isinstance(one, Payroll) for one in answers) == 1, answers
            for _ in range(2):
                self.run(world.carry_on())

    @precondition(lambda self: self.pensions)
    @rule(by=st.sampled_from([CHECKER]), comes_back=st.booleans())
    def a_month_is_paid(self, by: str, comes_back: bool) -> None:
        """Proposed, approved, left with the bank, and paid or come back."""
        world = self.world
        self.propose_payroll(has_begun=True)
        self.decide_payroll(0, by, is_exact=True, is_approved=True, at_once=2)
        payouts = [
            one
            for one in self.run(world.read(lambda session: benefits.list_payouts(session, world.tenant)))
            if one.state == "approved"
        ]
        self.send_payouts()
        self.a_day_at_the_bank()
        self.a_day_at_the_bank()
        for payout in payouts:
            if comes_back and self.run(world.find_payout(payout)).state == "succeeded":
                minor = int(payout.amount.replace(".", ""))
                world.bank.credit(minor, end_to_end_id=payout.id.hex, text="RETURNED")
        self.a_day_at_the_bank()

    @precondition(lambda self: self.pensions)
    @rule(index=which, days_ago=st.integers(-3, 20), source=st.sampled_from(["agent", "agent", "hearsay"]))
    def prove_life(self, index: int, days_ago: int, source: str) -> None:
        _, claim = self.pensions[index % len(self.pensions)]
        answer = self.prove(claim, days_ago, source)
        is_taken = days_ago >= 0 and source == "agent"
        assert isinstance(answer, ScheduleRow if is_taken else LifeProofNotTaken), answer

    @rule()
    def prove_the_life_of_nobody(self) -> None:
        assert isinstance(self.prove(1, 0, "agent"), UnknownPension)

    def name(self, claim: int, *, is_open: bool) -> ScheduleRow | EngineError:
        world, number = self.world, "0012345" if is_open else CLOSED_ACCOUNT
        account = AccountGiven(rail="bank", number=number, holder="Ama Invented", is_verified=True)
        return self.run(
            world.within(
                "name payee",
                lambda session: benefits.name_payee(
                    session, world.keys, world.tenant, claim, Payee(accounts=(account,)), actor=MAKER
                ),
            )
        )

    def prove(self, claim: int, days_ago: int, source: str) -> ScheduleRow | EngineError:
        world = self.world
        day = world.now.date() - timedelta(days=days_ago)
        return self.run(
            world.within(
                "prove life",
                lambda session: benefits.prove_life(
                    session, world.tenant, claim, seen_on=day, source=source, actor=MAKER
                ),
            )
        )

    def payrolls(self) -> list[Payroll]:
        """Return payrolls, the newest first."""
        return self.run(self.world.read(benefits.list_payrolls))[::-1]

    def must_hold(self) -> None:
        super().must_hold()
        assert not [one for one in self.payrolls() if one.row.state == "approved"], "payrolls wait for ever"
        for _, claim in self.pensions:
            row = self.pension(claim)
            assert row.paid <= row.posted + row.overpaid, row

    def pension(self, claim: int) -> ScheduleRow:
        return self.run(self.world.read(lambda session: benefits.find_pension(session, claim)))


class SavingPayrolls(Payrolls, SavingScheme):
    """Out of the members' own cash."""

    country = replace(RWANDA, rules=RWANDA.rules + RULES)


MUST_HAPPEN = {
    ("name payee", DONE),
    ("name payee", "benefits.unknown-pension"),
    ("propose payroll", DONE),
    ("propose payroll", "benefits.payroll-too-early"),
    ("propose payroll", "benefits.payroll-open"),
    ("approve payroll", DONE),
    ("approve payroll", "access.same-person"),
    ("approve payroll", "benefits.payroll-differs"),
    ("approve payroll", "benefits.payroll-decided"),
    ("reject payroll", DONE),
    ("prove life", DONE),
    ("prove life", "benefits.life-proof-not-taken"),
    ("prove life", "benefits.unknown-pension"),
}


def everything() -> None:
    """Every operation once as it should be, and once as it should not."""
    all_ = SavingPayrolls()
    all_.begin([50_000, 60_000, 70_000], is_over=True)
    all_.pay(1, 90_000, 1)
    all_.pay(2, 90_000, 1)
    all_.a_day_at_the_bank()
    all_.name_for_nobody()
    all_.prove_the_life_of_nobody()
    all_.retire_over_time(1, 1, is_open=True)
    all_.retire_over_time(2, 1, is_open=False)
    all_.retire_over_time(0, 1, is_open=True)
    assert len(all_.pensions) == 2, all_.pensions
    all_.propose_payroll(has_begun=False)
    all_.propose_payroll(has_begun=True)
    all_.propose_payroll(has_begun=True)
    all_.decide_payroll(0, MAKER, is_exact=True, is_approved=True, at_once=1)
    all_.decide_payroll(0, CHECKER, is_exact=False, is_approved=True, at_once=1)
    all_.decide_payroll(0, CHECKER, is_exact=True, is_approved=False, at_once=1)
    all_.a_month_is_paid(CHECKER, comes_back=True)
    all_.name_another_account(1, is_open=True)
    for _ in range(5):
        all_.a_month_ends()
        all_.a_month_is_paid(CHECKER, comes_back=False)
    all_.prove_life(0, -1, "agent")
    all_.prove_life(0, 0, "hearsay")
    all_.prove_life(0, 0, "agent")
    all_.a_month_is_paid(CHECKER, comes_back=False)
    all_.die(1, 20)
    all_.a_month_ends()
    all_.a_month_is_paid(CHECKER, comes_back=False)
    all_.approve_death_claim(0, CHECKER)
    all_.teardown()


@pytest.mark.timeout(3_600)
def test_any_history_keeps_every_law(database_urls: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with under_hand(SavingPayrolls, database_urls[0]):
        live(SavingPayrolls, everything, MUST_HAPPEN, capsys, histories=FAMILY)
