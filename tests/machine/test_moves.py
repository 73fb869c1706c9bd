"""Moves between products, among all else: of everybody by law, of one who asks, as units or sold and bought anew."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from engine.benefits import service as benefits
from engine.benefits.errors import ConsentNeeded, MoveChanged, MoveDecided, MoveNotServed, MoveOpen
from engine.benefits.queries.claiming import Request
from engine.benefits.queries.moving import MoveRun
from engine.enrolment import service as enrolment
from engine.kernel.errors import EngineError
from tests.machine.machine import FAMILY, Saver, live, mostly, people, under_hand, which
from tests.machine.unitised import UnitisedScheme
from tests.machine.world import CHECKER, DONE, MAKER, Country

OLD, NEW = "mpp", "ppp"
ACCESS = """
[[rule]]
kind = "access"
id = "any-time"
order = { pots = ["contingent", "retirement"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }
counted_from = "joining"
leap_day = "1-march"
only_since_last = false
most_bp = 5000
share_of = "balance"
source = "Invented"
confidence = "high"
"""
BACK = """
[[rule]]
kind = "product-move"
id = "back"
from_product = "ppp"
act = "switch"
keeps = ["joining-date", "first-contribution", "last-withdrawal", "cost-basis", "nominees", "consents"]
pots = { contingent = "contingent", retirement = "retirement" }
moves_as = "money"
both_dates = "earlier"
both_choices = "moved"
needs_consent = true
source = "Invented"
confidence = "high"
"""
NIGERIA = Country(
    pack="ng-ppp",
    product=OLD,
    channel="bank-transfer",
    account="PERSONALPENSIONCOLLECTIONS",
    document="nin",
    number="{serial:011d}",
    consents=("scheme-rules", "personal-data"),
    funds=(("MICRO-PENSION-FUND", "PFA"),),
    applied={"group_proof": "union-card"},
    rules=ACCESS,
    later={f"{NEW}/2025-09-01": ACCESS, f"{OLD}/2025-09-01": BACK},
    opens=datetime(2025, 8, 25, 8, 0, tzinfo=UTC),
)


class Moves(UnitisedScheme, weight=3):
    """A plan that the law makes another; who wants may move back, where nothing can be paid in any more."""

    country = NIGERIA
    youngest = 18
    access = Request(rule="any-time")
    retirement = Request(rule="all-at-once", ground="retirement")

    @property
    def living(self) -> list[Saver]:
        """Return who may still pay in."""
        if not self.has_changed:
            return super().living
        found = self.run(
            self.world.read(lambda session: enrolment.memberships_of(session, [one.member_id for one in self.savers]))
        )
        here = {member for member, held in found.items() if {one.product for one in held} == {NEW}}
        return [one for one in super().living if one.member_id in here]

    @property
    def has_changed(self) -> bool:
        return self.world.now.date() >= date(2025, 9, 1)

    @precondition(lambda self: not self.has_changed)
    @rule()
    def the_law_changes(self) -> None:
        self.a_dealing(0)
        self.run(self.world.to(date(2025, 9, 1)))
        self.settle()

    @rule()
    def move_everybody(self) -> None:
        runs = [one for one in self.moves() if one.source == OLD and one.state in ("proposed", "approved")]
        answer = self.propose_move(OLD, NEW, None, has_consent=False)
        if any(one.state == "approved" for one in runs):
            assert isinstance(answer, MoveOpen), answer
        elif self.has_changed:
            assert isinstance(answer, MoveRun), answer
        else:
            assert isinstance(answer, EngineError), answer

    @precondition(lambda self: self.has_changed and self.savers)
    @rule(index=which, has_consent=mostly)
    def ask_to_move_back(self, index: int, has_consent: bool) -> None:
        saver = self.savers[index % len(self.savers)]
        answer = self.propose_move(NEW, OLD, saver, has_consent=has_consent)
        if not has_consent and saver in self.living and not isinstance(answer, MoveOpen):
            assert isinstance(answer, ConsentNeeded), answer

    @precondition(lambda self: self.has_changed)
    @rule()
    def move_everybody_back(self) -> None:
        """The law does not say so."""
        answer = self.propose_move(NEW, OLD, None, has_consent=True)
        assert isinstance(answer, MoveNotServed | MoveOpen), answer

    @precondition(lambda self: self.moves())
    @rule(index=which, by=people, is_exact=mostly, is_approved=mostly, at_once=st.integers(1, 3))
    def decide_move(self, index: int, by: str, is_exact: bool, is_approved: bool, at_once: int) -> None:
        world, runs = self.world, self.moves()
        run = runs[index % len(runs)]
        digest = run.digest if is_exact else "0" * 64
        if is_approved:
            answers = self.at_once(
                at_once,
                lambda: world.attempt(
                    "approve move",
                    benefits.approve_move(world.db, world.tenant, run.run_no, digest=digest, actor=by),
                ),
            )
        else:
            answers = self.at_once(
                at_once,
                lambda: world.within(
                    "reject move",
                    lambda session: benefits.reject_move(session, world.tenant, run.run_no, digest=digest, actor=by),
                ),
            )
        if run.state not in ("proposed", "approved") or (run.state == "approved" and not is_approved):
            assert all(isinstance(one, MoveDecided) for one in answers), answers
        elif all(self.second_person(one, by, is_exact=is_exact, differs=MoveChanged) for one in answers):
            assert any(isinstance(one, MoveRun) for one in answers), answers

    def propose_move(self, source: str, target: str, saver: Saver | None, *, has_consent: bool) -> object:
        world = self.world
        member = None if saver is None else replace(self.run(world.member(saver.number)), product=source)
        return self.run(
            world.within(
                "propose move",
                lambda session: benefits.propose_move(
                    session, world.tenant, source=source, target=target, actor=MAKER,
                    member=member, has_consent=has_consent,
                ),
            )
        )  # fmt: skip

    def moves(self) -> list[MoveRun]:
        """Return moves, the newest first."""
        return self.run(self.world.read(benefits.list_moves))

    def settle(self) -> None:
        if self.has_changed and self.world.country.product == OLD:
            self.world.country = replace(NIGERIA, product=NEW)
        super().settle()


MUST_HAPPEN = {
    ("propose move", DONE),
    ("propose move", "benefits.move-open"),
    ("propose move", "benefits.move-not-served"),
    ("propose move", "benefits.consent-needed"),
    ("approve move", DONE),
    ("approve move", "access.same-person"),
    ("approve move", "benefits.move-changed"),
    ("approve move", "benefits.move-decided"),
    ("reject move", DONE),
    ("reject move", "benefits.move-decided"),
    ("claim access", DONE),
    ("report death", DONE),
}


def everything() -> None:
    """Every operation once as it should be, and once as it should not."""
    all_ = Moves()
    all_.begin([60_000, 50_000, 40_000])
    all_.move_everybody()
    all_.pay(0, 7_000, 1)
    all_.take_savings(1, 5_000)
    all_.the_law_changes()
    all_.move_everybody()
    all_.move_everybody()
    all_.decide_move(0, MAKER, is_exact=True, is_approved=True, at_once=1)
    all_.decide_move(0, CHECKER, is_exact=False, is_approved=True, at_once=1)
    all_.decide_move(0, CHECKER, is_exact=True, is_approved=False, at_once=2)
    all_.move_everybody()
    all_.decide_move(0, CHECKER, is_exact=True, is_approved=True, at_once=3)
    all_.move_everybody()
    all_.reject(0, CHECKER)
    all_.a_dealing(200)
    assert len(all_.living) == 3, all_.living
    all_.decide_move(0, CHECKER, is_exact=True, is_approved=True, at_once=1)
    all_.join(30)
    all_.pay(3, 30_000, 1)
    all_.pay(0, 9_000, 1)
    all_.a_dealing(-200)
    all_.move_everybody_back()
    all_.ask_to_move_back(0, has_consent=False)
    all_.ask_to_move_back(0, has_consent=True)
    all_.decide_move(0, CHECKER, is_exact=True, is_approved=True, at_once=2)
    all_.ask_to_move_back(2, has_consent=True)
    all_.take_savings(2, 2_000)
    all_.decide_move(0, CHECKER, is_exact=True, is_approved=True, at_once=2)
    all_.take_savings_to_the_end(3, 2_000, is_open=True, comes_back=True)
    all_.reverse(1, CHECKER, is_exact=True)
    all_.die(1, 0)
    all_.a_dealing(0)
    all_.teardown()


@pytest.mark.timeout(3_600)
def test_any_history_keeps_every_law(database_urls: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with under_hand(Moves, database_urls[0]):
        live(Moves, everything, MUST_HAPPEN, capsys, histories=FAMILY)
