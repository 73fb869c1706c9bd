"""Loans from savings and pledges to lenders, among all else: advanced, paid back, overdue, set off by rule or at death."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from engine.benefits import service as benefits
from engine.benefits.errors import LoanDecided, LoanDiffers, UnknownLoan
from engine.benefits.queries.claiming import Request
from engine.benefits.queries.lending import LoanRow
from engine.contributions.rules import Receipt
from engine.kernel.errors import Invalid
from tests.machine.machine import FAMILY, Months, Paid, live, mostly, people, under_hand, which
from tests.machine.unitised import GHANA, UnitisedScheme
from tests.machine.world import CHECKER, DONE, MAKER

LOAN = """
[[rule]]
kind = "loan"
id = "{id}"
form = "{form}"
base = {{ pots = ["savings"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }}
ceiling_bp = 5000
least_months_in_scheme = 0
one_at_a_time = true
{percent}
schedule = "{schedule}"
interest_on = "reducing"
every_months = 1
most_instalments = 12
repaid_to = "{to}"
interest_to = "{interest}"
repays_first = "interest"
default_after_months = 1
on_default = "set-off"
rounding = "half-up"
source = "Invented"
confidence = "high"
"""
RULES = "".join(
    [
        LOAN.format(
            id="own-loan",
            form="loan",
            percent='percent = "12"',
            schedule="equal-principal",
            to="own-pot",
            interest="fund",
        ),
        LOAN.format(
            id="called-in", form="pledge", percent="", schedule="equal-instalments", to="lender", interest="lender"
        ),
    ]
)
OWN_LOAN = Request(rule="own-loan", instalments=4)
PLEDGE = Request(rule="called-in", instalments=12, lender="a-bank", percent="18")


class Loans(Months, weight=3):
    """What members owe their own savings, and lenders."""

    @precondition(lambda self: self.savers)
    @rule(index=which, minor=st.integers(100, 30_000), is_pledge=st.booleans())
    def borrow(self, index: int, minor: int, is_pledge: bool) -> None:
        self.claim(index, "loan", minor, PLEDGE if is_pledge else OWN_LOAN)

    @precondition(lambda self: self.living)
    @rule(index=which, minor=st.integers(500, 5_000), is_pledge=st.booleans())
    def borrow_to_the_end(self, index: int, minor: int, is_pledge: bool) -> None:
        """Asked for, granted, and sold for what is advanced."""
        saver = self.living[index % len(self.living)]
        before = len(saver.claims)
        self.borrow(self.savers.index(saver), minor, is_pledge)
        if len(saver.claims) == before:
            return
        claim = self.run(self.world.find_claim(saver.claims.pop()))
        self.run(self.world.approve_claim(claim.claim_id, claim.digest, CHECKER))
        if not is_pledge:
            self.turn_to_money()
            self.payable.append(claim)

    @precondition(lambda self: self.loans())
    @rule(index=which, minor=st.integers(100, 4_000), times=st.integers(1, 2))
    def pay_back(self, index: int, minor: int, times: int) -> None:
        """A payment names the loan; what names one that has ended stays in suspense."""
        loans = self.loans()
        loan = loans[index % len(loans)]
        reference, key = self.references()
        payment = self.world.payment(f"L{loan.loan_id}", minor, reference, key)
        (answer, *_) = self.run(self.world.pay(*[payment] * times))
        assert isinstance(answer, Receipt), answer
        paid = self.came(Paid(reference, key, minor, int(answer.receipt), None))
        is_taken = not loan.lender and not loan.ended_event
        before = sum(one.owed for one in loans)
        self.run(self.world.carry_on())
        if is_taken:
            assert sum(one.owed for one in self.loans()) <= before
        else:
            self.suspended.append(paid)

    @precondition(lambda self: self.loans() and self.suspended)
    @rule(index=which, paid=which)
    def pay_back_what_is_no_loan(self, index: int, paid: int) -> None:
        """A pledge, or what has ended, takes nothing."""
        world, loans = self.world, self.loans()
        loan, receipt = loans[index % len(loans)], self.suspended[paid % len(self.suspended)].receipt
        if receipt in self.sent_back or (not loan.lender and not loan.ended_event):
            return
        answer = self.run(
            world.within(
                "repay", lambda session: benefits.repay(session, world.tenant, loan.loan_id, receipt, actor=MAKER)
            )
        )
        assert isinstance(answer, LoanDecided), answer

    @precondition(lambda self: self.suspended)
    @rule(index=which)
    def pay_back_nobody(self, index: int) -> None:
        world, receipt = self.world, self.suspended[index % len(self.suspended)].receipt
        if receipt in self.sent_back:
            return
        answer = self.run(
            world.within("repay", lambda session: benefits.repay(session, world.tenant, 1, receipt, actor=MAKER))
        )
        assert isinstance(answer, UnknownLoan), answer

    @precondition(lambda self: self.loans())
    @rule(index=which, part=st.integers(0, 120), late=st.sampled_from([None, 0, 40, -5]))
    def lender_says(self, index: int, part: int, late: int | None) -> None:
        world, loans = self.world, self.loans()
        loan = loans[index % len(loans)]
        owed = loan.principal * part // 100 + part // 101
        since: date | None = None if late is None else world.now.date() - timedelta(days=late)
        answer = self.run(
            world.within(
                "report lender",
                lambda session: benefits.report_lender(
                    session, world.tenant, loan.loan_id, owed=owed, unpaid_since=since, actor=MAKER
                ),
            )
        )
        if not loan.lender or loan.ended_event:
            assert isinstance(answer, LoanDecided), answer
        elif part > 100 or (late or 0) < 0:
            assert isinstance(answer, Invalid), answer
        else:
            assert isinstance(answer, LoanRow), answer

    @precondition(lambda self: self.loans())
    @rule(index=which, by=people, is_exact=mostly, is_confirmed=mostly, at_once=st.integers(1, 2))
    def decide_word(self, index: int, by: str, is_exact: bool, is_confirmed: bool, at_once: int) -> None:
        world, loans = self.world, self.loans()
        loan = loans[index % len(loans)]
        digest = loan.digest if is_exact else "0" * 64
        if is_confirmed:
            answers = self.at_once(
                at_once,
                lambda: world.attempt(
                    "confirm lender",
                    benefits.confirm_report(world.db, world.keys, world.tenant, loan.loan_id, digest=digest, actor=by),
                ),
            )
        else:
            answers = self.at_once(
                at_once,
                lambda: world.within(
                    "reject lender",
                    lambda session: benefits.reject_report(
                        session, world.tenant, loan.loan_id, digest=digest, actor=by
                    ),
                ),
            )
        if loan.said_owed is None or loan.ended_event:
            assert all(isinstance(one, LoanDecided) for one in answers), answers
        elif all(self.second_person(one, by, is_exact=is_exact, differs=LoanDiffers) for one in answers):
            assert sum(isinstance(one, LoanRow) for one in answers) == 1, answers

    def loans(self) -> list[LoanRow]:
        return self.run(self.world.read(benefits.list_loans))


class UnitisedLoans(Loans, UnitisedScheme):
    """In funds: what is advanced is sold first, what comes back is invested."""

    country = replace(GHANA, rules=GHANA.rules + RULES)


MUST_HAPPEN = {
    ("claim loan", DONE),
    ("claim loan", "benefits.above-loan-ceiling"),
    ("claim loan", "benefits.loan-running"),
    ("claim loan", "benefits.payments-suspended"),
    ("repay", "benefits.loan-decided"),
    ("repay", "benefits.unknown-loan"),
    ("report lender", DONE),
    ("report lender", "benefits.loan-decided"),
    ("report lender", "request.invalid"),
    ("confirm lender", DONE),
    ("confirm lender", "access.same-person"),
    ("confirm lender", "benefits.loan-differs"),
    ("confirm lender", "benefits.loan-decided"),
    ("reject lender", DONE),
}


def everything() -> None:
    """Every operation once as it should be, and once as it should not."""
    all_ = UnitisedLoans()
    all_.begin([60_000, 50_000, 40_000])
    all_.pay_for_nobody(3_000)
    all_.pay_back_nobody(0)
    all_.borrow(0, 30_000, is_pledge=False)
    all_.borrow_to_the_end(0, 10_000, is_pledge=False)
    all_.borrow(0, 1_000, is_pledge=False)
    all_.instruct(0, is_open=True)
    all_.approve_payout(0, CHECKER, is_exact=True, at_once=1)
    all_.send_payouts()
    all_.pay_back(0, 3_000, 2)
    all_.a_day_at_the_bank()
    all_.a_dealing(300)
    all_.lender_says(0, 50, None)
    all_.borrow_to_the_end(1, 8_000, is_pledge=True)
    all_.borrow_to_the_end(2, 5_000, is_pledge=True)
    all_.pay_back(1, 500, 1)
    all_.pay_back_what_is_no_loan(1, 0)
    all_.lender_says(1, 110, None)
    all_.lender_says(1, 50, -5)
    all_.lender_says(1, 50, None)
    all_.decide_word(1, MAKER, is_exact=True, is_confirmed=True, at_once=1)
    all_.decide_word(1, CHECKER, is_exact=False, is_confirmed=True, at_once=1)
    all_.decide_word(1, CHECKER, is_exact=True, is_confirmed=False, at_once=2)
    all_.lender_says(1, 50, 40)
    all_.decide_word(1, CHECKER, is_exact=True, is_confirmed=True, at_once=2)
    all_.a_dealing(-300)
    all_.borrow_to_the_end(1, 4_000, is_pledge=False)
    for _ in range(3):
        all_.a_month_ends()
    all_.borrow_to_the_end(0, 4_000, is_pledge=False)
    all_.die(0, 0)
    all_.borrow(0, 4_000, is_pledge=False)
    all_.lender_says(2, 100, None)
    all_.die(1, 0)
    all_.decide_word(2, CHECKER, is_exact=True, is_confirmed=True, at_once=2)
    all_.approve_death_claim(0, CHECKER)
    all_.retire(2)
    all_.teardown()


@pytest.mark.timeout(3_600)
def test_any_history_keeps_every_law(database_urls: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with under_hand(UnitisedLoans, database_urls[0]):
        live(UnitisedLoans, everything, MUST_HAPPEN, capsys, histories=FAMILY)
