"""Funds that members choose for new money, and switches of what they have, among all else: sold first, bought with what came."""

from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from engine.funds import service as funds
from engine.funds.errors import NotEnoughUnits, NotInProduct, SharesNotWhole, UnknownFund
from engine.funds.queries.switching import SwitchRow
from engine.funds.service import FundChoice, Sale, Units
from tests.machine.machine import FAMILY, AnyScheme, Saver, live, mostly, under_hand, which
from tests.machine.unitised import FUND, GHANA, UnitisedScheme
from tests.machine.world import DONE, MAKER

BONDS = "TIER3-BONDS"
TWO_FUNDS = f"""
[[rule]]
kind = "funds"
id = "funds"
funds = [
  {{ code = "{FUND}", name = "Personal pension fund", manager = "MANAGER", unit_scale = 4 }},
  {{ code = "{BONDS}", name = "Bond fund", manager = "MANAGER", unit_scale = 3 }},
]
source = "Invented"
confidence = "high"

[[rule]]
kind = "fund-choice"
id = "fund-choice"
default = {{ {FUND} = 7000, {BONDS} = 3000 }}
members_move = true
members_choose = true
source = "Invented"
confidence = "high"
"""
IN_TWO_FUNDS = replace(
    GHANA, funds=((FUND, "MANAGER"), (BONDS, "MANAGER")), later={**GHANA.later, "2018-01-01": TWO_FUNDS}
)
shares = st.sampled_from([{FUND: 10_000}, {BONDS: 10_000}, {FUND: 3_333, BONDS: 6_667}])
pots = st.sampled_from(["savings", "retirement"])
codes = st.sampled_from([FUND, BONDS])


class Switches(AnyScheme, weight=4):
    """What members choose and move."""

    @precondition(lambda self: self.living)
    @rule(index=which, to=st.one_of(shares, st.just({})), is_whole=mostly, is_known=mostly)
    def choose_funds(self, index: int, to: dict[str, int], is_whole: bool, is_known: bool) -> None:
        saver = self.living[index % len(self.living)]
        if not is_whole:
            assert isinstance(self.choose(saver.member_id, {FUND: 9_999}), SharesNotWhole)
        elif not is_known:
            assert isinstance(self.choose(saver.member_id, {"NO-SUCH-FUND": 10_000}), UnknownFund)
        else:
            answer = self.choose(saver.member_id, to)
            assert isinstance(answer, FundChoice), answer
            assert answer.shares == (to or None)

    @rule()
    def choose_for_nobody(self) -> None:
        assert isinstance(self.choose(1, {FUND: 10_000}), NotInProduct)

    @precondition(lambda self: self.living)
    @rule(
        index=which, pot=pots, fund=codes, to=shares, part=st.integers(1, 130), is_right=mostly, times=st.integers(1, 2)
    )
    def switch(
        self, index: int, pot: str, fund: str, to: dict[str, int], part: int, is_right: bool, times: int
    ) -> None:
        """All of a pot's units in a fund, a part of them, or more than there is; the same may be asked twice at a moment."""
        saver = self.living[index % len(self.living)]
        held = self.held(saver, pot, fund)
        wanted = Units(pot, "own", fund, held * part // 100 + part // 101 if part != 100 else None)
        if not is_right:
            (answer,) = self.move(saver, wanted, {fund: 1} if part % 2 else {"NO-SUCH-FUND": 10_000}, 1)
            assert isinstance(answer, SharesNotWhole if part % 2 else UnknownFund), answer
            return
        answers = self.move(saver, wanted, to, times)
        if not held or part > 100 or wanted.units == 0:
            assert all(isinstance(one, NotEnoughUnits) for one in answers), answers
        else:
            assert len({one.event_id for one in answers if isinstance(one, Sale)}) == 1, answers
            assert all(isinstance(one, Sale) for one in answers), answers

    def choose(self, member: int, to: dict[str, int]) -> object:
        world = self.world
        return self.run(
            world.within(
                "choose funds",
                lambda session: funds.choose_funds(
                    session, world.tenant, member, self.country.product, to, day=world.now.date(), actor=MAKER
                ),
            )
        )

    def move(self, saver: Saver, wanted: Units, to: dict[str, int], times: int) -> list[object]:
        world, (reference, _) = self.world, self.references()
        return self.at_once(
            times,
            lambda: world.within(
                "switch",
                lambda session: funds.switch(
                    session, world.tenant, saver.member_id, self.country.product, [wanted], to,
                    day=world.now.date(), actor=MAKER, reference=reference,
                ),
            ),
        )  # fmt: skip

    def held(self, saver: Saver, pot: str, fund: str) -> int:
        wanted = [Units(pot, "own", fund)]
        (found,) = self.run(
            self.world.read(lambda session: funds.held_of(session, saver.member_id, self.country.product, wanted))
        )
        return found.units or 0

    def must_hold(self) -> None:
        super().must_hold()
        for saver in self.savers:
            rows = self.switches(saver)
            assert not [one for one in rows if one.funded != one.legs], "switches wait for ever"

    def switches(self, saver: Saver) -> list[SwitchRow]:
        return self.run(self.world.read(lambda session: funds.switches_of(session, saver.member_id)))


class UnitisedSwitches(Switches, UnitisedScheme):
    """In two funds, whose units are counted to different decimals."""

    country = IN_TWO_FUNDS


MUST_HAPPEN = {
    ("choose funds", DONE),
    ("choose funds", "funds.shares-not-whole"),
    ("choose funds", "funds.unknown-fund"),
    ("choose funds", "funds.not-in-product"),
    ("switch", DONE),
    ("switch", "funds.shares-not-whole"),
    ("switch", "funds.unknown-fund"),
    ("switch", "funds.not-enough-units"),
}


def everything() -> None:
    """Every operation once as it should be, and once as it should not."""
    all_ = UnitisedSwitches()
    all_.begin([60_000, 5_000, 40_000])
    all_.choose_funds(0, {BONDS: 10_000}, is_whole=True, is_known=True)
    all_.choose_funds(0, {}, is_whole=False, is_known=True)
    all_.choose_funds(0, {}, is_whole=True, is_known=False)
    all_.choose_for_nobody()
    all_.pay(0, 10_001, 1)
    all_.switch(0, "savings", FUND, {BONDS: 10_000}, 100, is_right=True, times=2)
    all_.switch(0, "savings", FUND, {BONDS: 10_000}, 100, is_right=True, times=1)
    all_.switch(1, "retirement", BONDS, {FUND: 3_333, BONDS: 6_667}, 40, is_right=True, times=1)
    all_.switch(1, "retirement", BONDS, {FUND: 10_000}, 120, is_right=True, times=1)
    all_.switch(1, "retirement", BONDS, {FUND: 10_000}, 1, is_right=False, times=1)
    all_.switch(1, "retirement", BONDS, {FUND: 10_000}, 2, is_right=False, times=1)
    all_.take_savings(0, 5_000)
    all_.a_dealing(400)
    all_.choose_funds(0, {}, is_whole=True, is_known=True)
    all_.take_savings(0, 5_000)
    all_.switch(2, "savings", FUND, {BONDS: 10_000}, 100, is_right=True, times=1)
    all_.retire(2)
    all_.die(1, 0)
    all_.a_dealing(-400)
    all_.teardown()


@pytest.mark.timeout(3_600)
def test_any_history_keeps_every_law(database_urls: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with under_hand(UnitisedSwitches, database_urls[0]):
        live(UnitisedSwitches, everything, MUST_HAPPEN, capsys, histories=FAMILY)
