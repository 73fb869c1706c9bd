"""Covers among all else: premiums of members and of the state, lapses, claims by the day of the event, files to and from insurers."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from engine.benefits import service as benefits
from engine.benefits.errors import (
    NoCoverAsked,
    NoPremiumPaid,
    PremiumRunChanged,
    PremiumRunDecided,
    PremiumRunOpen,
    PremiumTooSoon,
    UnknownCoverFile,
    UnknownPremiumFile,
)
from engine.benefits.queries.claiming import ClaimRow, Request
from engine.benefits.queries.covering import CoverFile
from engine.benefits.service import PremiumFile, PremiumRun
from engine.benefits.service.covering import CoverAnswer, CoverAnswered
from tests.machine.machine import FAMILY, Months, live, mostly, people, under_hand, which
from tests.machine.saving import RWANDA, SavingScheme
from tests.machine.world import CHECKER, DONE, MAKER

RULES = """
[[rule]]
kind = "cover"
id = "own-paid"
sums = { death = "10000", funeral = "2000" }
covers = "while-paid"
payer = "operator"
premium = { insurer = "operator", amount = "500", rounding = "half-up", every = "month", pots = ["savings"], origins = ["own"], grace_days = 30, begins_after_days = 0, reinstated_within_days = 90 }
net_of_reversals = true
source = "Invented"
confidence = "high"

[[rule]]
kind = "cover"
id = "state-paid"
sums = { funeral = "3000" }
least_total = "10000"
covers = "next-year"
payer = "operator"
premium = { insurer = "operator", percent = "1.25", rounding = "half-up", every = "year", paid_by = "state" }
net_of_reversals = true
source = "Invented"
confidence = "high"
"""
COVERS = st.sampled_from(["own-paid", "state-paid"])


class Covers(Months, weight=3):
    """What insures members, and costs them."""

    def __init__(self) -> None:
        super().__init__()
        self.cover_claims: list[int] = []
        self.cover_files: list[int] = []
        self.premium_files: list[int] = []

    # -- premiums

    @rule(has_come=mostly)
    def propose_premiums(self, has_come: bool) -> None:
        world, held = self.world, any(one.state in ("counting", "proposed", "approved") for one in self.premium_runs())
        on = world.now.date() + timedelta(days=0 if has_come else 1)
        answer = self.run(
            world.attempt(
                "propose premiums",
                benefits.propose_premiums(world.db, world.tenant, self.country.product, on, actor=MAKER),
            )
        )
        if not has_come:
            assert isinstance(answer, PremiumTooSoon), answer
        elif held:
            assert isinstance(answer, PremiumRunOpen), answer
        else:
            assert isinstance(answer, PremiumRun), answer

    @precondition(lambda self: self.premium_runs())
    @rule(index=which, by=people, is_exact=mostly, is_approved=mostly, at_once=st.integers(1, 3))
    def decide_premiums(self, index: int, by: str, is_exact: bool, is_approved: bool, at_once: int) -> None:
        world, runs = self.world, self.premium_runs()
        run = runs[index % len(runs)]
        digest = run.digest if is_exact else "0" * 64
        if is_approved:
            answers = self.at_once(
                at_once,
                lambda: world.attempt(
                    "approve premiums",
                    benefits.approve_premiums(world.db, world.tenant, run.run_no, digest, actor=by),
                ),
            )
        else:
            answers = self.at_once(
                at_once,
                lambda: world.within(
                    "reject premiums",
                    lambda session: benefits.reject_premiums(session, world.tenant, run.run_no, digest, actor=by),
                ),
            )
        if run.state != "proposed":
            assert all(isinstance(one, PremiumRunDecided) for one in answers), answers
        elif all(self.second_person(one, by, is_exact=is_exact, differs=PremiumRunChanged) for one in answers):
            assert any(isinstance(one, PremiumRun) for one in answers), answers

    @rule()
    def tell_insurer(self) -> None:
        world = self.world
        answer = self.run(
            world.within(
                "make premium file",
                lambda session: benefits.make_premium_file(
                    session, world.tenant, self.country.product, "operator", actor=MAKER
                ),
            )
        )
        assert isinstance(answer, PremiumFile | NoPremiumPaid), answer
        if isinstance(answer, PremiumFile):
            self.premium_files.append(answer.file_no)

    @precondition(lambda self: self.premium_files)
    @rule(
        index=which,
        lines=st.lists(st.integers(1, 4), min_size=1, max_size=3),
        is_refused=st.booleans(),
        is_known=mostly,
    )
    def insurer_answers(self, index: int, lines: list[int], is_refused: bool, is_known: bool) -> None:
        """The insurer accepts premiums, or gives them back; the same answers may come again."""
        world = self.world
        number = self.premium_files[index % len(self.premium_files)] if is_known else 9_999
        answers = [
            CoverAnswer(line, "refused", "too-old") if is_refused else CoverAnswer(line, "accepted") for line in lines
        ]
        for _ in range(2):
            answer = self.run(
                world.attempt(
                    "answer premiums",
                    benefits.take_premium_answers(world.db, world.tenant, number, answers, actor=MAKER),
                )
            )
            assert isinstance(answer, UnknownPremiumFile) is not is_known, answer

    # -- claims

    @precondition(lambda self: self.savers)
    @rule(
        index=which, cover=COVERS, peril=st.sampled_from(["funeral", "funeral", "flood"]), days_ago=st.integers(-1, 40)
    )
    def claim_cover(self, index: int, cover: str, peril: str, days_ago: int) -> None:
        saver, (_, key) = self.savers[index % len(self.savers)], self.references()
        day = self.world.now.date() - timedelta(days=days_ago)
        request = Request(rule=cover, ground=peril, happened_on=day)
        member = self.run(self.world.member(saver.number))
        answer = self.run(self.world.claim(member, "cover", minor=None, key=key, request=request))
        assert isinstance(answer, ClaimRow), answer
        assert answer.state == "refused" or (answer.state == "decided" and peril != "flood" and days_ago >= 0), answer
        if answer.state == "decided":
            self.cover_claims.append(answer.claim_id)

    @precondition(lambda self: self.cover_claims)
    @rule(index=which, by=people, is_exact=mostly, at_once=st.integers(1, 2))
    def approve_cover(self, index: int, by: str, is_exact: bool, at_once: int) -> None:
        """In life or after a death, which a cover may be of."""
        claim = self.run(self.world.find_claim(self.cover_claims[index % len(self.cover_claims)]))
        digest = claim.digest if is_exact else "0" * 64
        answers = self.at_once(at_once, lambda: self.world.approve_claim(claim.claim_id, digest, by))
        done = [one for one in answers if isinstance(one, ClaimRow)]
        assert len(done) <= (is_exact and by != MAKER and claim.state == "decided"), answers
        if done:
            assert done[0].state == "asked", done
            self.payable.append(claim)

    @rule()
    def ask_insurer(self) -> None:
        world = self.world
        answer = self.run(
            world.within(
                "make cover file",
                lambda session: benefits.make_cover_file(
                    session, world.tenant, self.country.product, "operator", actor=MAKER
                ),
            )
        )
        assert isinstance(answer, CoverFile | NoCoverAsked), answer
        if isinstance(answer, CoverFile):
            self.cover_files.append(answer.file_no)

    @precondition(lambda self: self.cover_files)
    @rule(index=which, claim=which, is_refused=st.booleans(), is_known=mostly, at_once=st.integers(1, 2))
    def insurer_agrees(self, index: int, claim: int, is_refused: bool, is_known: bool, at_once: int) -> None:
        world = self.world
        number = self.cover_files[index % len(self.cover_files)] if is_known else 9_999
        asked = [one for one in self.run(world.read(benefits.list_claims)) if one.kind == "cover"]
        named = asked[claim % len(asked)].claim_id
        answers = [CoverAnswer(named, "refused", "not-insured") if is_refused else CoverAnswer(named, "accepted")]
        for answer in self.at_once(
            at_once,
            lambda: world.attempt(
                "answer claims", benefits.take_cover_answers(world.db, world.tenant, number, answers, actor=MAKER)
            ),
        ):
            assert isinstance(answer, CoverAnswered if is_known else UnknownCoverFile), answer

    def premium_runs(self) -> list[PremiumRun]:
        return self.run(self.world.read(benefits.list_premium_runs))

    def must_hold(self) -> None:
        super().must_hold()
        assert not [one for one in self.premium_runs() if one.state == "approved"], "premiums wait for ever"


class SavingCovers(Covers, SavingScheme):
    """Out of cash, with interest that is declared on it."""

    country = replace(RWANDA, rules=RWANDA.rules + RULES)


MUST_HAPPEN = {
    ("propose premiums", DONE),
    ("propose premiums", "benefits.premium-too-soon"),
    ("propose premiums", "benefits.premium-run-open"),
    ("approve premiums", DONE),
    ("approve premiums", "access.same-person"),
    ("approve premiums", "benefits.premium-run-changed"),
    ("approve premiums", "benefits.premium-run-decided"),
    ("reject premiums", DONE),
    ("make premium file", DONE),
    ("make premium file", "benefits.no-premium-paid"),
    ("answer premiums", DONE),
    ("answer premiums", "benefits.unknown-premium-file"),
    ("claim cover", DONE),
    ("claim cover", "benefits.not-covered"),
    ("claim cover", "benefits.already-claimed"),
    ("make cover file", DONE),
    ("make cover file", "benefits.no-cover-asked"),
    ("answer claims", DONE),
    ("answer claims", "benefits.unknown-cover-file"),
}


def everything() -> None:
    """Every operation once as it should be, and once as it should not."""
    all_ = SavingCovers()
    all_.begin([20_000, 30_000, 40_000], is_over=True)
    all_.tell_insurer()
    all_.ask_insurer()
    all_.propose_premiums(has_come=False)
    all_.propose_premiums(has_come=True)
    all_.propose_premiums(has_come=True)
    all_.decide_premiums(0, MAKER, is_exact=True, is_approved=True, at_once=1)
    all_.decide_premiums(0, CHECKER, is_exact=False, is_approved=True, at_once=1)
    all_.decide_premiums(0, CHECKER, is_exact=True, is_approved=False, at_once=2)
    all_.decide_premiums(0, CHECKER, is_exact=True, is_approved=True, at_once=1)
    all_.propose_premiums(has_come=True)
    all_.decide_premiums(0, CHECKER, is_exact=True, is_approved=True, at_once=3)
    all_.tell_insurer()
    for index in range(3):
        all_.claim_cover(index, "own-paid", "funeral", 0)
    all_.claim_cover(0, "own-paid", "funeral", 0)
    all_.claim_cover(1, "own-paid", "flood", 0)
    all_.claim_cover(1, "state-paid", "funeral", 0)
    for index in range(3):
        all_.approve_cover(index, CHECKER, is_exact=True, at_once=2)
    all_.ask_insurer()
    all_.insurer_agrees(0, 0, is_refused=False, is_known=True, at_once=2)
    all_.insurer_agrees(0, 1, is_refused=True, is_known=True, at_once=1)
    all_.insurer_agrees(0, 1, is_refused=False, is_known=False, at_once=1)
    for index in range(3):
        all_.instruct(index, is_open=True)
    all_.insurer_answers(0, [1, 1], is_refused=True, is_known=True)
    all_.insurer_answers(0, [2, 3], is_refused=False, is_known=True)
    all_.insurer_answers(0, [2], is_refused=False, is_known=False)
    all_.reverse(0, CHECKER, is_exact=True)
    all_.a_month_ends()
    all_.propose_premiums(has_come=True)
    all_.decide_premiums(0, CHECKER, is_exact=True, is_approved=True, at_once=1)
    all_.die(1, 2)
    all_.claim_cover(1, "own-paid", "death", 2)
    all_.approve_cover(3, CHECKER, is_exact=True, at_once=2)
    all_.ask_insurer()
    all_.insurer_agrees(1, 3, is_refused=False, is_known=True, at_once=1)
    all_.retire(2)
    all_.a_month_ends()
    all_.a_month_ends()
    all_.propose_premiums(has_come=True)
    all_.teardown()


@pytest.mark.timeout(3_600)
def test_any_history_keeps_every_law(database_urls: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with under_hand(SavingCovers, database_urls[0]):
        live(SavingCovers, everything, MUST_HAPPEN, capsys, histories=FAMILY)
