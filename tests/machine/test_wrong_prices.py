"""Prices that were wrong, among all else: noted or put right, member by member, with fees and switches at them recounted."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from engine.funds import service as funds
from engine.funds.errors import (
    CorrectionChanged,
    CorrectionDecided,
    CorrectionOpen,
    PriceNotUsable,
    SamePrice,
    UnknownCorrection,
    UnknownParty,
    UnknownPrice,
)
from engine.funds.service import Correction
from tests.machine.machine import FAMILY, live, mostly, people, under_hand, which
from tests.machine.test_switches import BONDS, IN_TWO_FUNDS, Switches
from tests.machine.unitised import FUND, UnitisedScheme
from tests.machine.world import CHECKER, DONE, MAKER

PARTY = "operator"
BEFORE_ALL = date(2020, 1, 1)


class WrongPrices(UnitisedScheme, weight=3):
    """Prices that people say were wrong."""

    @precondition(lambda self: self.priced)
    @rule(
        index=which,
        by_bp=st.sampled_from([-2_000, -300, -20, 0, 10, 49, 51, 700, 2_500]),
        is_known=mostly,
        party=st.sampled_from([PARTY, PARTY, PARTY, "nobody"]),
    )
    def say_a_price_was_wrong(self, index: int, by_bp: int, is_known: bool, party: str) -> None:
        fund, day = sorted(self.priced)[index % len(self.priced)]
        stands = self.priced[fund, day]
        right = (stands * (10_000 + by_bp) / 10_000).quantize(Decimal("0.000001"))
        is_open = any(
            (one.fund, one.price_on) == (fund, day) and one.state in ("proposed", "approved")
            for one in self.corrections()
        )
        answer = self.propose_correction(fund, day if is_known else BEFORE_ALL, str(right), party)
        if party != PARTY:
            assert isinstance(answer, UnknownParty), answer
        elif not is_known:
            assert isinstance(answer, UnknownPrice), answer
        elif right == stands:
            assert isinstance(answer, SamePrice), answer
        elif is_open:
            assert isinstance(answer, CorrectionOpen), answer
        else:
            assert isinstance(answer, Correction), answer
            assert answer.is_material is (abs(right - stands) * 10_000 >= 50 * right)

    @rule()
    def say_a_price_was_nothing(self) -> None:
        assert isinstance(self.propose_correction(FUND, BEFORE_ALL, "0", PARTY), PriceNotUsable)

    @precondition(lambda self: self.corrections())
    @rule(index=which, by=people, is_exact=mostly, at_once=st.integers(1, 3))
    def correct(self, index: int, by: str, is_exact: bool, at_once: int) -> None:
        world, all_ = self.world, self.corrections()
        one = all_[index % len(all_)]
        digest = one.digest if is_exact else "0" * 64
        answers = self.at_once(
            at_once,
            lambda: world.attempt(
                "approve correction", funds.approve_correction(world.db, world.tenant, one.number, digest, actor=by)
            ),
        )
        for answer in answers:
            if one.state != "proposed":
                assert isinstance(answer, CorrectionDecided), answer
            elif self.second_person(answer, by, is_exact=is_exact, differs=CorrectionChanged):
                assert isinstance(answer, Correction | CorrectionDecided), answer
        if any(isinstance(one, Correction) for one in answers):
            if one.is_material:
                self.priced[one.fund, one.price_on] = one.right.decimal()
            found = self.run(world.read(lambda session: funds.find_correction(session, one.number)))
            assert found.state == ("done" if one.is_material else "noted"), found

    @precondition(lambda self: self.corrections())
    @rule(index=which, by=people, is_exact=mostly)
    def let_price_stand(self, index: int, by: str, is_exact: bool) -> None:
        world, all_ = self.world, self.corrections()
        one = all_[index % len(all_)]
        digest = one.digest if is_exact else "0" * 64
        answer = self.run(
            world.within(
                "reject correction",
                lambda session: funds.reject_correction(session, world.tenant, one.number, digest, actor=by),
            )
        )
        if one.state != "proposed":
            assert isinstance(answer, CorrectionDecided), answer
        elif self.second_person(answer, by, is_exact=is_exact, differs=CorrectionChanged):
            assert isinstance(answer, Correction), answer

    @rule()
    def correct_what_nobody_proposed(self) -> None:
        world = self.world
        answer = self.run(
            world.attempt(
                "approve correction", funds.approve_correction(world.db, world.tenant, 10_000, "0" * 64, actor=CHECKER)
            )
        )
        assert isinstance(answer, UnknownCorrection), answer

    def propose_correction(self, fund: str, day: date, price: str, party: str) -> object:
        world = self.world
        return self.run(
            world.attempt(
                "propose correction",
                funds.propose_correction(
                    world.db, world.tenant, fund, day, price=price, party=party, reason="typed-wrong", actor=MAKER
                ),
            )
        )

    def corrections(self) -> list[Correction]:
        return self.run(self.world.read(funds.list_corrections))

    def must_hold(self) -> None:
        for place, one in enumerate(self.corrections()):  # orders wait for who has to decide
            if one.state == "proposed":
                self.let_price_stand(place, CHECKER, is_exact=True)
        super().must_hold()
        assert {one.state for one in self.corrections()} <= {"done", "noted", "rejected"}


class UnitisedWrongPrices(WrongPrices, Switches):
    """In two funds, between which members switch at prices that are wrong."""

    country = IN_TWO_FUNDS


MUST_HAPPEN = {
    ("propose correction", DONE),
    ("propose correction", "funds.unknown-price"),
    ("propose correction", "funds.price-not-usable"),
    ("propose correction", "funds.same-price"),
    ("propose correction", "funds.unknown-party"),
    ("propose correction", "funds.correction-open"),
    ("approve correction", DONE),
    ("approve correction", "access.same-person"),
    ("approve correction", "funds.correction-changed"),
    ("approve correction", "funds.correction-decided"),
    ("approve correction", "funds.unknown-correction"),
    ("reject correction", DONE),
    ("reject correction", "access.same-person"),
    ("reject correction", "funds.correction-changed"),
    ("reject correction", "funds.correction-decided"),
    ("switch", DONE),
}


def everything() -> None:
    """Every operation once as it should be, and once as it should not."""
    all_ = UnitisedWrongPrices()
    all_.begin([60_000, 50_000, 40_000])
    all_.say_a_price_was_nothing()
    all_.correct_what_nobody_proposed()
    all_.say_a_price_was_wrong(0, 0, is_known=True, party=PARTY)
    all_.say_a_price_was_wrong(0, 10, is_known=False, party=PARTY)
    all_.say_a_price_was_wrong(0, 10, is_known=True, party="nobody")
    all_.take_savings_to_the_end(1, 1_500, is_open=True, comes_back=False)
    all_.switch(2, "savings", FUND, {BONDS: 10_000}, 100, is_right=True, times=1)
    all_.a_dealing(200)
    all_.say_a_price_was_wrong(0, 700, is_known=True, party=PARTY)
    all_.say_a_price_was_wrong(0, 700, is_known=True, party=PARTY)
    all_.correct(0, MAKER, is_exact=True, at_once=1)
    all_.correct(0, CHECKER, is_exact=False, at_once=1)
    all_.let_price_stand(0, MAKER, is_exact=True)
    all_.let_price_stand(0, CHECKER, is_exact=False)
    all_.let_price_stand(0, CHECKER, is_exact=True)
    all_.let_price_stand(0, CHECKER, is_exact=True)
    for place in range(len(all_.priced)):
        all_.say_a_price_was_wrong(place, (-2_000, 700, 49)[place % 3], is_known=True, party=PARTY)
        all_.correct(0, CHECKER, is_exact=True, at_once=3)
    all_.correct(0, CHECKER, is_exact=True, at_once=1)
    all_.die(1, 0)
    all_.a_dealing(-200)
    all_.say_a_price_was_wrong(len(all_.priced) - 1, 2_500, is_known=True, party=PARTY)
    all_.correct(0, CHECKER, is_exact=True, at_once=1)
    all_.teardown()


@pytest.mark.timeout(3_600)
def test_any_history_keeps_every_law(database_urls: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with under_hand(UnitisedWrongPrices, database_urls[0]):
        live(UnitisedWrongPrices, everything, MUST_HAPPEN, capsys, histories=FAMILY)
