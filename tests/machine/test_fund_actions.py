"""Splits of funds and the income that they pay, among all else: said by one person, decided by another, booked for every account."""

from dataclasses import replace
from datetime import date, time, timedelta
from decimal import Decimal

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from engine.funds import service as funds
from engine.funds.errors import (
    ActionChanged,
    ActionDecided,
    ActionOpen,
    DayNotReached,
    NotAsStated,
    NoUnits,
    OrdersInProgress,
    PricedSince,
    SplitSince,
    StatedTooFine,
    UnknownAction,
    UnknownFund,
)
from engine.funds.service import FundAction, PriceImport
from engine.kernel.errors import EngineError
from tests.machine.machine import FAMILY, live, mostly, people, under_hand, which
from tests.machine.unitised import FUND, GHANA, UnitisedScheme
from tests.machine.world import CHECKER, DONE, MAKER

CLERK = "staff:4"
INCOME = """
[[rule]]
kind = "income-distribution"
id = "income"
paid_as = "cash"
source = "Invented"
confidence = "high"
"""


class FundActions(UnitisedScheme, weight=3):
    """What funds do to all their units."""

    @rule(
        new=st.sampled_from([1, 2, 3, 10]),
        old=st.sampled_from([1, 2, 7]),
        days=st.sampled_from([0, 1, 1, 1, 2]),
        is_known=mostly,
    )
    def propose_split(self, new: int, old: int, days: int, is_known: bool) -> None:
        day, is_open = self.world.now.date(), self.open_action() is not None
        while days or day.weekday() > 4:
            day, days = day + timedelta(days=1), days - (days > 0)
        answer = self.split_of(FUND if is_known else "NO-SUCH-FUND", day, new, old)
        if not is_known:
            assert isinstance(answer, UnknownFund), answer
        elif is_open:
            assert isinstance(answer, ActionOpen), answer
        else:
            assert isinstance(answer, PricedSince if (FUND, day) in self.priced else FundAction), answer

    @precondition(lambda self: self.open_action())
    @rule()
    def the_day_of_a_split(self) -> None:
        """Dealings go on until the day; then the first price of the new units waits, and is approved with the split."""
        world, action = self.world, self.open_action()
        if action is None or action.kind != "split" or action.state != "proposed":
            return
        while self.next_day() < action.on:
            self.a_day_at_the_bank()
        if world.now.date() < action.on:
            self.run(world.to(world.now.date(), at=time(16, 30)))
            self.run(world.deal())
            self.run(world.to(action.on))  # the bank's day has not ended: that is what settles
        if world.now.date() != action.on:
            return
        before = world.prices[FUND]
        world.prices[FUND] = max(before * action.ratio.divisor // action.ratio.multiplier, 1)
        report = self.run(world.price())
        assert isinstance(report, PriceImport), report
        answer = self.decide(
            action, CLERK, f"{Decimal(world.prices[FUND]) / 10_000:.4f}", is_exact=True, is_approved=True
        )
        if not isinstance(answer, FundAction):
            self.decide(action, CHECKER, "", is_exact=True, is_approved=False)
            self.run(world.reject_price(FUND, CHECKER))
            world.prices[FUND] = before
            return
        self.priced[FUND, action.on] = Decimal(world.prices[FUND]) / 10_000
        self.run(world.deal())
        self.run(world.managers_pay())
        self.settle()

    @rule(
        per_unit=st.sampled_from(["0.05", "0.003"]),
        days_ago=st.integers(0, 6),
        is_stated=mostly,
        is_fine=mostly,
        fund=st.sampled_from([FUND, FUND, FUND, "NO-SUCH-FUND"]),
    )
    def propose_income(self, per_unit: str, days_ago: int, is_stated: bool, is_fine: bool, fund: str) -> None:
        """What a manager says that it pays has to be what it comes to on the units of the books."""
        day, reference = self.world.now.date() - timedelta(days=days_ago), self.references()[0]
        is_open = self.open_action() is not None
        answer = self.income_of(fund, day, per_unit, "0.00" if is_fine else "0.001", reference)
        if isinstance(answer, NotAsStated) and is_stated:
            answer = self.income_of(fund, day, per_unit, str(answer.details["least"]), reference)
            assert isinstance(answer, FundAction), answer
        if fund != FUND:
            assert isinstance(answer, UnknownFund), answer
        elif is_open:
            assert isinstance(answer, ActionOpen), answer
        elif not days_ago:
            assert isinstance(answer, DayNotReached), answer
        elif not is_fine:
            assert isinstance(answer, StatedTooFine | SplitSince | OrdersInProgress), answer
        else:
            known = (FundAction, NotAsStated, NoUnits, SplitSince, OrdersInProgress)
            assert isinstance(answer, known), answer

    @precondition(lambda self: self.actions())
    @rule(index=which, by=people, is_exact=mostly, is_approved=mostly)
    def decide_action(self, index: int, by: str, is_exact: bool, is_approved: bool) -> None:
        actions = self.actions()
        one = actions[index % len(actions)]
        answer = self.decide(one, by, "1.2345", is_exact=is_exact, is_approved=is_approved)
        if one.state == "approved" and is_approved:
            return
        if one.state != "proposed":
            assert isinstance(answer, ActionDecided), answer
        elif self.second_person(answer, by, is_exact=is_exact, differs=ActionChanged):
            if is_approved and one.kind == "split" and one.on > self.world.now.date():
                assert isinstance(answer, DayNotReached), answer
            elif not is_approved or one.kind != "split":
                assert isinstance(answer, FundAction), answer

    @rule()
    def decide_on_nothing(self) -> None:
        world = self.world
        answer = self.run(
            world.attempt(
                "approve action", funds.approve_action(world.db, world.tenant, 9_999, "0" * 64, actor=CHECKER)
            )
        )
        assert isinstance(answer, UnknownAction), answer

    @rule(move_bp=st.integers(-1_500, 1_500))
    def a_dealing(self, move_bp: int) -> None:
        """What waits for a second person is decided on first: no order takes a price meanwhile."""
        one = self.open_action()
        if one is not None and one.state == "proposed":
            self.decide(one, CHECKER, "", is_exact=True, is_approved=one.kind != "split")
            self.run(self.world.managers_pay())
        super().a_dealing(move_bp)

    def decide(
        self, one: FundAction, by: str, price: str, *, is_exact: bool, is_approved: bool
    ) -> FundAction | EngineError:
        world, digest = self.world, one.digest if is_exact else "0" * 64
        if not is_approved:
            return self.run(
                world.within(
                    "reject action",
                    lambda session: funds.reject_action(session, world.tenant, one.number, digest, actor=by),
                )
            )
        given = price if one.kind == "split" else ""
        answers = self.at_once(
            2,
            lambda: world.attempt(
                "approve action",
                funds.approve_action(world.db, world.tenant, one.number, digest, price=given, actor=by),
            ),
        )
        return next((found for found in answers if isinstance(found, FundAction)), answers[0])

    def split_of(self, fund: str, day: date, new: int, old: int) -> FundAction | EngineError:
        world = self.world
        return self.run(
            world.attempt(
                "propose split of a fund",
                funds.propose_split(world.db, world.tenant, fund, day, new=new, old=old, actor=MAKER),
            )
        )

    def income_of(self, fund: str, day: date, per_unit: str, stated: str, reference: str) -> FundAction | EngineError:
        world = self.world
        return self.run(
            world.attempt(
                "propose income of a fund",
                funds.propose_distribution(
                    world.db, world.tenant, fund, self.country.product, day,
                    per_unit=per_unit, price="", stated=stated, reference=reference, actor=MAKER,
                ),
            )
        )  # fmt: skip

    def actions(self) -> list[FundAction]:
        return self.run(self.world.read(funds.list_actions))

    def open_action(self) -> FundAction | None:
        return next((one for one in self.actions() if one.state in ("proposed", "approved")), None)

    def must_hold(self) -> None:
        super().must_hold()
        assert {one.state for one in self.actions()} <= {"done", "rejected"}


class FundIncome(FundActions):
    """A fund that pays its income in cash."""

    country = replace(GHANA, rules=GHANA.rules + INCOME)


MUST_HAPPEN = {
    ("propose split of a fund", DONE),
    ("propose split of a fund", "funds.unknown-fund"),
    ("propose split of a fund", "funds.action-open"),
    ("propose split of a fund", "funds.priced-since"),
    ("propose income of a fund", DONE),
    ("propose income of a fund", "funds.unknown-fund"),
    ("propose income of a fund", "funds.action-open"),
    ("propose income of a fund", "funds.day-not-reached"),
    ("propose income of a fund", "funds.not-as-stated"),
    ("propose income of a fund", "funds.stated-too-fine"),
    ("propose income of a fund", "funds.split-since"),
    ("propose income of a fund", "funds.no-units"),
    ("approve action", DONE),
    ("approve action", "access.same-person"),
    ("approve action", "funds.action-changed"),
    ("approve action", "funds.action-decided"),
    ("approve action", "funds.unknown-action"),
    ("approve action", "funds.day-not-reached"),
    ("approve action", "funds.first-price-missing"),
    ("reject action", DONE),
    ("reject action", "access.same-person"),
    ("reject action", "funds.action-changed"),
    ("reject action", "funds.action-decided"),
}


def everything() -> None:
    """Every operation once as it should be, and once as it should not."""
    all_ = FundIncome()
    all_.begin([60_000, 50_000, 40_000])
    all_.decide_on_nothing()
    all_.propose_income("0.05", 2, is_stated=True, is_fine=True, fund=FUND)
    all_.propose_split(2, 1, 0, is_known=True)
    all_.propose_split(2, 1, 1, is_known=False)
    all_.propose_split(2, 1, 1, is_known=True)
    all_.propose_split(3, 1, 2, is_known=True)
    all_.propose_income("0.05", 1, is_stated=True, is_fine=True, fund=FUND)
    all_.decide_action(0, MAKER, is_exact=True, is_approved=True)
    all_.decide_action(0, CHECKER, is_exact=False, is_approved=True)
    all_.decide_action(0, CHECKER, is_exact=True, is_approved=True)
    all_.decide_action(0, MAKER, is_exact=True, is_approved=False)
    all_.decide_action(0, CHECKER, is_exact=False, is_approved=False)
    all_.decide_action(0, CHECKER, is_exact=True, is_approved=False)
    all_.decide_action(0, CHECKER, is_exact=True, is_approved=False)
    all_.pay(0, 7_000, 1)
    all_.take_savings(1, 2_000)
    all_.approve(0, CHECKER, is_exact=True, at_once=1)
    all_.propose_split(3, 2, 1, is_known=True)
    all_.the_day_of_a_split()
    assert all_.actions()[0].state == "done", all_.actions()
    all_.decide_action(0, CHECKER, is_exact=True, is_approved=True)
    all_.propose_income("0.05", 0, is_stated=True, is_fine=True, fund="NO-SUCH-FUND")
    all_.propose_income("0.05", 0, is_stated=True, is_fine=True, fund=FUND)
    all_.propose_income("0.05", 5, is_stated=True, is_fine=True, fund=FUND)
    all_.a_dealing(100)
    all_.propose_income("0.05", 1, is_stated=True, is_fine=False, fund=FUND)
    all_.propose_income("0.05", 1, is_stated=True, is_fine=True, fund=FUND)
    all_.decide_action(0, MAKER, is_exact=True, is_approved=True)
    all_.decide_action(0, CHECKER, is_exact=True, is_approved=True)
    all_.run(all_.world.managers_pay())
    all_.a_day_at_the_bank()
    all_.a_day_at_the_bank()
    assert all_.actions()[0].state == "done", all_.actions()
    all_.propose_split(10, 1, 0, is_known=True)
    all_.decide_action(0, CHECKER, is_exact=True, is_approved=True)
    all_.a_dealing(-100)
    all_.die(1, 0)
    all_.teardown()


@pytest.mark.timeout(3_600)
def test_any_history_keeps_every_law(database_urls: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with under_hand(FundIncome, database_urls[0]):
        live(FundIncome, everything, MUST_HAPPEN, capsys, histories=FAMILY)
