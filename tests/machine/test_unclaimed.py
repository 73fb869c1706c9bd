"""Unclaimed money among all else: presumed by the law's time, its owners told, handed over, and reclaimed years later."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from engine.benefits import service as benefits
from engine.benefits.errors import (
    HandOverDecided,
    HandOverDiffers,
    HandOverOpen,
    NothingUnclaimed,
    ReclaimTooLate,
    UnknownHandOver,
)
from engine.benefits.queries.unclaimed import Case, HandOverRun
from engine.kernel.errors import EngineError
from tests.machine.machine import FAMILY, AnyScheme, live, mostly, people, under_hand, which
from tests.machine.saving import RWANDA, SavingScheme
from tests.machine.world import CHECKER, DONE, MAKER

RULES = """
[[rule]]
kind = "unclaimed"
id = "unclaimed"
counted_from = "last-activity"
dormant_years = 1
notice_days = 30
handed_over = "11-01"
handed_to = "state"
least = "100"
reclaim_years = 2
leap_day = "1-march"
source = "Invented"
confidence = "high"
"""


class Unclaimed(AnyScheme, weight=4):
    """Money of people who are not heard of."""

    @rule()
    def a_year_ends(self) -> None:
        self.run(self.world.to(self.world.now.date() + timedelta(days=366)))
        self.run(self.world.to(self.next_day()))
        self.settle()

    @rule(times=st.integers(1, 3))
    def look_for_money(self, times: int) -> None:
        world = self.world
        found = self.at_once(
            times,
            lambda: world.within(
                "find unclaimed",
                lambda session: benefits.find_unclaimed(session, world.tenant, self.country.product, actor=MAKER),
            ),
        )
        assert sum(isinstance(one, tuple) and one != (0, 0) for one in found) <= 1, found

    @rule(index=which, is_all=st.booleans())
    def tell_owners(self, index: int, is_all: bool) -> None:
        world = self.world
        member = 0 if is_all else self.savers[index % len(self.savers)].member_id
        before = {one.member_id for one in self.cases() if one.state == "presumed"}
        answer = self.run(
            world.within(
                "tell owners",
                lambda session: benefits.note_search(
                    session, world.tenant, self.country.product, means="publication", outcome="told", actor=MAKER,
                    member_id=member,
                ),
            )
        )  # fmt: skip
        if member and member not in before:
            assert isinstance(answer, NothingUnclaimed), answer
        elif isinstance(answer, int):
            assert 1 <= answer <= len(before), answer

    @rule()
    def propose_hand_over(self) -> None:
        world, held = self.world, any(one.state in ("proposed", "approved") for one in self.runs())
        answer = self.run(
            world.within(
                "propose hand-over",
                lambda session: benefits.propose_hand_over(session, world.tenant, self.country.product, actor=MAKER),
            )
        )
        if held:
            assert isinstance(answer, HandOverOpen), answer
        else:
            assert isinstance(answer, HandOverRun | NothingUnclaimed), answer

    @precondition(lambda self: self.runs())
    @rule(index=which, by=people, is_exact=mostly, is_approved=mostly, at_once=st.integers(1, 3))
    def decide_hand_over(self, index: int, by: str, is_exact: bool, is_approved: bool, at_once: int) -> None:
        world, runs = self.world, self.runs()
        run = runs[index % len(runs)]
        digest = run.digest if is_exact else "0" * 64
        if is_approved:
            answers = self.at_once(
                at_once,
                lambda: world.attempt(
                    "approve hand-over",
                    benefits.approve_hand_over(world.db, world.tenant, run.run_no, digest, actor=by),
                ),
            )
        else:
            answers = self.at_once(
                at_once,
                lambda: world.within(
                    "reject hand-over",
                    lambda session: benefits.reject_hand_over(session, world.tenant, run.run_no, digest, actor=by),
                ),
            )
        if run.state != "proposed":
            assert all(isinstance(one, HandOverDecided) for one in answers), answers
        elif all(self.second_person(one, by, is_exact=is_exact, differs=HandOverDiffers) for one in answers):
            assert any(isinstance(one, HandOverRun) for one in answers), answers

    @rule(index=which, is_known=mostly, receipt=st.sampled_from(["R-1", "R-2"]))
    def note_receipt(self, index: int, is_known: bool, receipt: str) -> None:
        world, runs = self.world, self.runs()
        run = runs[index % len(runs)] if is_known and runs else None
        answer = self.run(
            world.within(
                "receipt of hand-over",
                lambda session: benefits.receipt_hand_over(
                    session, world.tenant, run.run_no if run else 9_999, receipt=receipt, actor=MAKER
                ),
            )
        )
        if run is None:
            assert isinstance(answer, UnknownHandOver), answer
        elif run.receipt == receipt or (run.state == "done" and not run.receipt):
            assert isinstance(answer, HandOverRun), answer
        else:
            assert isinstance(answer, HandOverDecided), answer

    @precondition(lambda self: self.savers)
    @rule(index=which, by=people, is_exact=mostly)
    def reclaim(self, index: int, by: str, is_exact: bool) -> None:
        """Who comes back has it back, of the accounts that it came from."""
        world, member = self.world, self.savers[index % len(self.savers)].member_id
        product = self.country.product
        is_away = any((one.member_id, one.state) == (member, "handed-over") for one in self.cases())
        asked: Case | EngineError = self.run(
            world.within(
                "propose reclaim",
                lambda session: benefits.propose_reclaim(
                    session, world.tenant, member, product, documents={"identity": "5" * 64}, actor=MAKER
                ),
            )
        )
        if not is_away:
            assert isinstance(asked, NothingUnclaimed), asked
            return
        assert isinstance(asked, Case | ReclaimTooLate), asked
        if isinstance(asked, Case):
            digest = asked.digest if is_exact else "0" * 64
            answer = self.run(
                world.within(
                    "approve reclaim",
                    lambda session: benefits.approve_reclaim(
                        session, world.tenant, member, product, digest=digest, actor=by
                    ),
                )
            )
            if self.second_person(answer, by, is_exact=is_exact, differs=HandOverDiffers):
                assert isinstance(answer, Case), answer
                assert answer.state == "reclaimed", answer

    def cases(self) -> list[Case]:
        product = self.country.product
        return self.run(self.world.read(lambda session: benefits.list_unclaimed(session, product)))

    def runs(self) -> list[HandOverRun]:
        return self.run(self.world.read(benefits.list_hand_overs))

    def must_hold(self) -> None:
        super().must_hold()
        assert not [one for one in self.runs() if one.state == "approved"], "money is handed over for ever"


class SavingUnclaimed(Unclaimed, SavingScheme):
    """Out of the members' own cash."""

    country = replace(RWANDA, rules=RWANDA.rules + RULES)


MUST_HAPPEN = {
    ("find unclaimed", DONE),
    ("tell owners", DONE),
    ("tell owners", "benefits.nothing-unclaimed"),
    ("propose hand-over", DONE),
    ("propose hand-over", "benefits.hand-over-open"),
    ("propose hand-over", "benefits.nothing-unclaimed"),
    ("approve hand-over", DONE),
    ("approve hand-over", "access.same-person"),
    ("approve hand-over", "benefits.hand-over-differs"),
    ("approve hand-over", "benefits.hand-over-decided"),
    ("reject hand-over", DONE),
    ("receipt of hand-over", DONE),
    ("receipt of hand-over", "benefits.hand-over-decided"),
    ("receipt of hand-over", "benefits.unknown-hand-over"),
    ("propose reclaim", DONE),
    ("propose reclaim", "benefits.nothing-unclaimed"),
    ("propose reclaim", "benefits.reclaim-too-late"),
    ("approve reclaim", DONE),
    ("approve reclaim", "access.same-person"),
    ("approve reclaim", "benefits.hand-over-differs"),
}


def everything() -> None:
    """Every operation once as it should be, and once as it should not."""
    all_ = SavingUnclaimed()
    all_.begin([20_000, 30_000, 40_000], is_over=True)
    all_.look_for_money(2)
    all_.tell_owners(0, is_all=True)
    all_.propose_hand_over()
    all_.note_receipt(0, is_known=False, receipt="R-1")
    all_.a_year_ends()
    all_.look_for_money(3)
    all_.tell_owners(0, is_all=False)
    all_.tell_owners(0, is_all=True)
    all_.a_year_ends()
    all_.pay(2, 500, 1)
    all_.propose_hand_over()
    all_.propose_hand_over()
    all_.note_receipt(0, is_known=True, receipt="R-1")
    all_.decide_hand_over(0, MAKER, is_exact=True, is_approved=True, at_once=1)
    all_.decide_hand_over(0, CHECKER, is_exact=False, is_approved=True, at_once=1)
    all_.decide_hand_over(0, CHECKER, is_exact=True, is_approved=False, at_once=2)
    all_.propose_hand_over()
    all_.pay(1, 700, 1)
    all_.decide_hand_over(0, CHECKER, is_exact=True, is_approved=True, at_once=2)
    all_.decide_hand_over(0, CHECKER, is_exact=True, is_approved=True, at_once=1)
    for receipt in ("R-1", "R-1", "R-2"):
        all_.note_receipt(0, is_known=True, receipt=receipt)
    all_.take_savings(0, 100)
    all_.reclaim(1, CHECKER, is_exact=True)
    all_.reclaim(0, MAKER, is_exact=True)
    all_.reclaim(0, CHECKER, is_exact=False)
    all_.reclaim(0, CHECKER, is_exact=True)
    all_.take_savings_to_the_end(0, 100, is_open=True, comes_back=False)
    all_.declare_and_credit("7.25", CHECKER)
    for _ in range(2):
        all_.a_year_ends()
        all_.look_for_money(1)
        all_.tell_owners(0, is_all=True)
    all_.propose_hand_over()
    all_.decide_hand_over(0, CHECKER, is_exact=True, is_approved=True, at_once=1)
    for _ in range(3):
        all_.a_year_ends()
    for index in range(3):
        all_.reclaim(index, CHECKER, is_exact=True)
    all_.teardown()


@pytest.mark.timeout(3_600)
def test_any_history_keeps_every_law(database_urls: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with under_hand(SavingUnclaimed, database_urls[0]):
        live(SavingUnclaimed, everything, MUST_HAPPEN, capsys, histories=FAMILY)
