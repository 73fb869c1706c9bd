"""Fees of money in funds, among all else: counted by one person, approved by another, taken of what units bring, given back."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from engine.benefits import service as benefits
from engine.benefits.errors import (
    FeeRunChanged,
    FeeRunDecided,
    FeeRunOpen,
    FeeTooSoon,
    NoFeeDue,
    NoPriceYet,
    UnknownFeeRun,
)
from engine.benefits.service import FeeRun
from tests.machine.machine import FAMILY, Months, Saver, live, mostly, people, under_hand, which
from tests.machine.unitised import GHANA, UnitisedScheme
from tests.machine.world import CHECKER, DONE, MAKER

FEE = """
[[rule]]
kind = "fee"
id = "{id}"
charged = "month"
payee = "operator"
{lines}
part_period = "{part}"
taken_from = "units"
may_empty = {empty}
order = {{ pots = ["savings", "retirement"], pots_by = "{by}", origins = ["own"], origins_by = "in-order" }}
rank = {rank}
when_short = "{short}"
rounding = "half-up"
source = "Invented"
confidence = "high"
"""
RULES = "".join(
    [
        FEE.format(
            id="account",
            lines='amount = "3.00"\nvat = "18"',
            part="whole",
            empty="false",
            by="in-order",
            rank=1,
            short="owe",
        ),
        FEE.format(
            id="assets",
            lines='percent = "6"\npercent_of = "assets"',
            part="days",
            empty="true",
            by="pro-rata",
            rank=2,
            short="take-what-is-there",
        ),
    ]
)
OPEN = ("counting", "proposed", "approved")


class Fees(Months, weight=3):
    """What members are charged."""

    @rule(is_over=mostly, is_due=mostly)
    def propose_fees(self, is_over: bool, is_due: bool) -> None:
        first = self.world.now.date().replace(day=1)
        month = (first + timedelta(days=31)).replace(day=1) if not is_over else first
        day = month - timedelta(days=1 if is_due else 5)
        held = any(one.state in OPEN for one in self.fee_runs())
        answer = self.charge(day)
        if held:
            assert isinstance(answer, FeeRunOpen), answer
        elif not is_due:
            assert isinstance(answer, NoFeeDue), answer
        elif not is_over:
            assert isinstance(answer, FeeTooSoon), answer
        elif day < self.country.opens.date():
            assert isinstance(answer, NoPriceYet), answer
        else:
            assert isinstance(answer, FeeRun), answer

    @precondition(lambda self: self.fee_runs())
    @rule(index=which, by=people, is_exact=mostly, at_once=st.integers(1, 3))
    def approve_fees(self, index: int, by: str, is_exact: bool, at_once: int) -> None:
        run = self.fee_runs()[index % len(self.fee_runs())]
        digest = run.digest if is_exact else "0" * 64
        world = self.world
        answers = self.at_once(
            at_once,
            lambda: world.attempt(
                "approve fees", benefits.approve_fees(world.db, world.tenant, run.run_no, digest, actor=by)
            ),
        )
        for answer in answers:
            if run.state in ("done", "rejected", "empty"):
                assert isinstance(answer, FeeRunDecided), answer
            elif self.second_person(answer, by, is_exact=is_exact, differs=FeeRunChanged):
                # Of several at once the first may have finished it.
                assert isinstance(answer, FeeRun | FeeRunDecided), answer

    @precondition(lambda self: self.fee_runs())
    @rule(index=which, by=people, is_exact=mostly)
    def reject_fees(self, index: int, by: str, is_exact: bool) -> None:
        run = self.fee_runs()[index % len(self.fee_runs())]
        digest = run.digest if is_exact else "0" * 64
        answer = self.run(
            self.world.within(
                "reject fees",
                lambda session: benefits.reject_fees(session, self.world.tenant, run.run_no, digest, actor=by),
            )
        )
        if run.state != "proposed":
            assert isinstance(answer, FeeRunDecided), answer
        elif self.second_person(answer, by, is_exact=is_exact, differs=FeeRunChanged):
            assert isinstance(answer, FeeRun), answer

    @precondition(lambda self: self.fee_runs())
    @rule(index=which, whose=which, is_of_all=st.booleans())
    def give_fees_back(self, index: int, whose: int, is_of_all: bool) -> None:
        run = self.fee_runs()[index % len(self.fee_runs())]
        member = 0 if is_of_all else self.savers[whose % len(self.savers)].member_id
        held = any(one.state in OPEN for one in self.fee_runs())
        answer = self.refund(run.run_no, member)
        if run.state != "done" or run.corrects:
            assert isinstance(answer, FeeRunDecided), answer
        elif held:
            assert isinstance(answer, FeeRunOpen), answer
        else:
            assert isinstance(answer, FeeRun), answer

    @rule()
    def give_back_what_was_never_charged(self) -> None:
        answer = self.refund(10_000, 0)
        assert isinstance(answer, UnknownFeeRun), answer

    def charge(self, day: date) -> object:
        world = self.world
        return self.run(
            world.attempt(
                "propose fees",
                benefits.propose_fees(world.db, world.tenant, self.country.product, day, actor=MAKER),
            )
        )

    def refund(self, run_no: int, member: int) -> object:
        world = self.world
        return self.run(
            world.attempt(
                "propose refund of fees",
                benefits.propose_refund(
                    world.db, world.tenant, run_no, reason="complaint", actor=MAKER, member_id=member
                ),
            )
        )

    def fee_runs(self) -> list[FeeRun]:
        return self.run(self.world.read(benefits.list_fee_runs))

    def charged(self, saver: Saver) -> int:
        fees = self.run(self.world.read(lambda session: benefits.fees_of(session, saver.member_id)))
        return sum(one.taken for one in fees)

    def must_hold(self) -> None:
        super().must_hold()
        assert not [one for one in self.fee_runs() if one.state == "approved"], "fees wait for ever"
        for saver in self.savers:
            said = self.run(self.world.statement_of(saver.number, self.world.now.date()))
            assert said.totals.charges_minor == self.charged(saver), said


class UnitisedFees(Fees, UnitisedScheme):
    """In funds."""

    country = replace(GHANA, rules=GHANA.rules + RULES)


MUST_HAPPEN = {
    ("propose fees", DONE),
    ("propose fees", "benefits.no-fee-due"),
    ("propose fees", "benefits.fee-too-soon"),
    ("propose fees", "benefits.fee-run-open"),
    ("propose fees", "benefits.no-price-yet"),
    ("approve fees", DONE),
    ("approve fees", "access.same-person"),
    ("approve fees", "benefits.fee-run-changed"),
    ("approve fees", "benefits.fee-run-decided"),
    ("reject fees", DONE),
    ("reject fees", "access.same-person"),
    ("reject fees", "benefits.fee-run-changed"),
    ("reject fees", "benefits.fee-run-decided"),
    ("propose refund of fees", DONE),
    ("propose refund of fees", "benefits.fee-run-open"),
    ("propose refund of fees", "benefits.fee-run-decided"),
    ("propose refund of fees", "benefits.unknown-fee-run"),
}


def everything() -> None:
    """Every operation once as it should be, and once as it should not."""
    all_ = UnitisedFees()
    all_.begin([60_000, 5_000, 300])
    all_.propose_fees(is_over=False, is_due=True)
    all_.propose_fees(is_over=False, is_due=False)
    all_.propose_fees(is_over=True, is_due=True)
    all_.a_month_ends()
    all_.propose_fees(is_over=True, is_due=True)
    all_.propose_fees(is_over=True, is_due=True)
    all_.give_fees_back(0, 0, is_of_all=True)
    all_.reject_fees(0, MAKER, is_exact=True)
    all_.reject_fees(0, CHECKER, is_exact=False)
    all_.reject_fees(0, CHECKER, is_exact=True)
    all_.reject_fees(0, CHECKER, is_exact=True)
    all_.propose_fees(is_over=True, is_due=True)
    all_.approve_fees(0, MAKER, is_exact=True, at_once=1)
    all_.approve_fees(0, CHECKER, is_exact=False, at_once=1)
    all_.approve_fees(0, CHECKER, is_exact=True, at_once=3)
    all_.take_savings(0, 5_000)
    all_.a_dealing(300)
    all_.a_dealing(-300)
    all_.approve_fees(0, CHECKER, is_exact=True, at_once=1)
    assert all_.charged(all_.savers[0]) > 0
    all_.give_back_what_was_never_charged()
    all_.give_fees_back(0, 0, is_of_all=False)
    all_.give_fees_back(1, 0, is_of_all=True)
    all_.approve_fees(0, CHECKER, is_exact=True, at_once=2)
    all_.pay(2, 5_000, 1)
    all_.a_dealing(0)
    all_.a_month_ends()
    all_.die(1, 0)
    all_.propose_fees(is_over=True, is_due=True)
    all_.approve_fees(0, CHECKER, is_exact=True, at_once=1)
    all_.retire(2)
    all_.teardown()


@pytest.mark.timeout(3_600)
def test_any_history_keeps_every_law(database_urls: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with under_hand(UnitisedFees, database_urls[0]):
        live(UnitisedFees, everything, MUST_HAPPEN, capsys, histories=FAMILY)
