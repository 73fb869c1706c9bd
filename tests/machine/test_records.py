"""Records among all else: two of one person merged, one of two people split, and payments posted to a wrong member."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from engine.access.errors import SamePerson
from engine.benefits import service as benefits
from engine.benefits.errors import CannotMerge, MergeDecided, MergeDiffers
from engine.benefits.service import Merge, Split
from engine.contributions import service as contributions
from engine.contributions.errors import NothingToMove, ReversalDiffers
from engine.contributions.rules import Receipt
from engine.contributions.service import Reversal
from engine.identity import service as identity
from engine.identity.rules import MemberRef
from engine.kernel.errors import EngineError
from tests.machine.machine import FAMILY, AnyScheme, Paid, Saver, live, mostly, people, under_hand, which
from tests.machine.unitised import UnitisedScheme
from tests.machine.world import CHECKER, DONE, MAKER


@dataclass
class Gone:
    """A record that was merged into another."""

    saver: Saver
    into: Saver


class Records(AnyScheme, weight=3):
    """Records that are put right."""

    def __init__(self) -> None:
        super().__init__()
        self.gone: list[Gone] = []
        self.moving: list[tuple[Paid, Saver]] = []

    # -- two records of one person

    @precondition(lambda self: self.savers)
    @rule(index=which, other=which)
    def propose_merge(self, index: int, other: int) -> None:
        goes, stays = self.savers[index % len(self.savers)], self.savers[other % len(self.savers)]
        answer = self.merge(goes, stays)
        if goes is stays:
            assert isinstance(answer, CannotMerge), answer
        else:
            assert isinstance(answer, Merge | CannotMerge), answer

    @precondition(lambda self: self.gone and self.savers)
    @rule(index=which, other=which)
    def merge_what_is_gone(self, index: int, other: int) -> None:
        gone, saver = self.gone[index % len(self.gone)], self.savers[other % len(self.savers)]
        assert isinstance(self.merge(gone.saver, saver), CannotMerge)

    @precondition(lambda self: self.merges())
    @rule(index=which, by=people, is_exact=mostly, is_approved=mostly, at_once=st.integers(1, 3))
    def decide_merge(self, index: int, by: str, is_exact: bool, is_approved: bool, at_once: int) -> None:
        world, merges = self.world, self.merges()
        merge = merges[index % len(merges)]
        digest = merge.digest if is_exact else "0" * 64
        if is_approved:
            answers = self.at_once(
                at_once,
                lambda: world.attempt(
                    "approve merge",
                    benefits.approve_merge(world.db, world.keys, world.tenant, merge.merge_no, digest=digest, actor=by),
                ),
            )
        else:
            answers = self.at_once(
                at_once,
                lambda: world.within(
                    "reject merge",
                    lambda session: benefits.reject_merge(
                        session, world.tenant, merge.merge_no, digest=digest, actor=by
                    ),
                ),
            )
        done = [one for one in answers if isinstance(one, Merge)]
        if merge.state != "proposed":
            assert all(isinstance(one, MergeDecided) for one in answers), answers
        elif all(self.second_person(one, by, is_exact=is_exact, differs=MergeDiffers) for one in answers):
            assert len(done) <= 1, answers
            assert done or all(isinstance(one, CannotMerge) for one in answers), answers
        if done and is_approved:
            goes, stays = self.saver_of(merge.goes), self.saver_of(merge.stays)
            stays.paid_minor, goes.paid_minor = stays.paid_minor + goes.paid_minor, 0
            self.savers.remove(goes)
            self.gone.append(Gone(goes, stays))
            for one in self.gone:
                one.into = stays if one.into is goes else one.into
            for paid in self.paid:
                paid.saver = stays if paid.saver is goes else paid.saver

    @precondition(lambda self: any(not one.into.is_dead for one in self.gone))
    @rule(index=which, minor=st.integers(100, 9_000))
    def pay_by_an_old_number(self, index: int, minor: int) -> None:
        """The number of a record that was merged answers for the one that stays."""
        gone = [one for one in self.gone if not one.into.is_dead]
        one = gone[index % len(gone)]
        reference, key = self.references()
        (answer,) = self.run(self.world.pay(self.world.payment(one.saver.number, minor, reference, key)))
        assert isinstance(answer, Receipt), answer
        assert answer.state != "suspended", answer
        self.came(Paid(reference, key, minor, int(answer.receipt), one.into))
        one.into.paid_minor += minor

    # -- a record of two people

    @precondition(lambda self: self.standing())
    @rule(index=which, whose=which, count=st.integers(1, 2), is_theirs=mostly)
    def propose_split(self, index: int, whose: int, count: int, is_theirs: bool) -> None:
        standing = self.standing()
        first = standing[index % len(standing)]
        assert first.saver
        receipts = [one.receipt for one in standing if one.saver is first.saver][:count]
        to = self.savers[whose % len(self.savers)]
        answer = self.split(first.saver, to, receipts if is_theirs else [1])
        if not is_theirs:
            assert isinstance(answer, EngineError), answer
        elif to is first.saver:
            assert isinstance(answer, NothingToMove), answer

    @precondition(lambda self: self.splits())
    @rule(index=which, by=people, is_exact=mostly, is_approved=mostly)
    def decide_split(self, index: int, by: str, is_exact: bool, is_approved: bool) -> None:
        world, splits = self.world, self.splits()
        split = splits[index % len(splits)]
        digest = split.digest if is_exact else "0" * 64
        if is_approved:
            answer = self.run(
                world.attempt(
                    "approve split",
                    benefits.approve_split(world.db, world.keys, world.tenant, split.split_no, digest=digest, actor=by),
                )
            )
        else:
            answer = self.run(
                world.within(
                    "reject split",
                    lambda session: benefits.reject_split(
                        session, world.tenant, split.split_no, digest=digest, actor=by
                    ),
                )
            )
        if split.state != "proposed":
            assert isinstance(answer, MergeDecided), answer
        else:
            self.second_person(answer, by, is_exact=is_exact, differs=MergeDiffers)
        if isinstance(answer, Split) and is_approved:
            for paid in [one for one in self.paid if one.receipt in split.receipts]:
                self.moves(paid, self.saver_of(split.to_id))

    # -- a wrong member

    @precondition(lambda self: self.standing())
    @rule(index=which, whose=which, by=people, is_exact=mostly)
    def move_to_the_right_member(self, index: int, whose: int, by: str, is_exact: bool) -> None:
        world, standing, to = self.world, self.standing(), self.savers[whose % len(self.savers)]
        paid = standing[index % len(standing)]
        right = self.ref(to)
        proposed = self.run(
            world.within(
                "propose move to right member",
                lambda session: contributions.propose_reversal(
                    session, world.tenant, paid.receipt, to=right, actor=MAKER
                ),
            )
        )
        if to is paid.saver:
            assert isinstance(proposed, NothingToMove), proposed
        if not isinstance(proposed, Reversal):
            return
        digest = proposed.digest if is_exact else "0" * 64
        answer = self.run(world.confirm_reversal(paid.receipt, digest, by))
        if by == MAKER:
            assert isinstance(answer, SamePerson), answer
        elif not is_exact:
            assert isinstance(answer, ReversalDiffers), answer
        else:
            assert isinstance(answer, Reversal), answer
            self.taken_back(paid, answer)

    # -- what helps

    def taken_back(self, paid: Paid, answer: Reversal) -> None:
        if answer.given_to:
            self.moves(paid, self.saver_of(int(answer.given_to, 16)))
        else:
            super().taken_back(paid, answer)

    def moves(self, paid: Paid, to: Saver) -> None:
        """Know that a payment is on its way to another member; no bank sends it back."""
        paid.is_reversed = paid.is_sent_back = True
        assert paid.saver
        paid.saver.paid_minor -= paid.minor
        self.moving.append((paid, to))

    def settle(self) -> None:
        super().settle()
        for paid, to in list(self.moving):
            found = self.run(self.world.find_reversal(paid.receipt))
            if found.state != "reversed":
                continue
            self.moving.remove((paid, to))
            owner = next((one.into for one in self.gone if one.saver is to), to)
            moved = Paid(paid.reference, paid.key, paid.minor, int(found.held), None if found.refused else owner)
            self.paid.append(moved)
            if found.refused:
                self.suspended.append(moved)
            else:
                owner.paid_minor += paid.minor

    def standing(self) -> list[Paid]:
        return [one for one in self.paid if one.saver and not one.is_reversed]

    def saver_of(self, member: int) -> Saver:
        return next(one for one in (*self.savers, *(gone.saver for gone in self.gone)) if one.member_id == member)

    def ref(self, saver: Saver) -> MemberRef:
        known = self.run(self.world.read(lambda session: identity.members_by_id(session, [saver.member_id])))
        return known[saver.member_id]

    def merge(self, goes: Saver, stays: Saver) -> Merge | EngineError:
        world, old, new = self.world, self.ref(goes), self.ref(stays)
        return self.run(
            world.within(
                "propose merge",
                lambda session: benefits.propose_merge(session, world.tenant, goes=old, stays=new, actor=MAKER),
            )
        )

    def split(self, member: Saver, to: Saver, receipts: Sequence[int]) -> Split | EngineError:
        world, theirs, other = self.world, self.ref(member), self.ref(to)
        return self.run(
            world.within(
                "propose split",
                lambda session: benefits.propose_split(
                    session, world.tenant, member=theirs, to=other, receipts=receipts, actor=MAKER
                ),
            )
        )

    def merges(self) -> list[Merge]:
        return self.run(self.world.read(benefits.list_merges))

    def splits(self) -> list[Split]:
        return self.run(self.world.read(benefits.list_splits))

    def must_hold(self) -> None:
        super().must_hold()
        assert not self.moving, "payments are on their way for ever"
        for one in self.gone:
            member = self.run(self.world.member(one.saver.number))
            assert member.member_id == one.into.member_id, "an old number still answers"


class UnitisedRecords(Records, UnitisedScheme):
    """In funds, at prices that move."""


MUST_HAPPEN = {
    ("propose merge", DONE),
    ("propose merge", "benefits.cannot-merge"),
    ("approve merge", DONE),
    ("approve merge", "access.same-person"),
    ("approve merge", "benefits.merge-differs"),
    ("approve merge", "benefits.merge-decided"),
    ("approve merge", "benefits.cannot-merge"),
    ("reject merge", DONE),
    ("propose split", DONE),
    ("propose split", "contributions.nothing-to-move"),
    ("propose split", "contributions.unknown-contribution"),
    ("propose split", "benefits.cannot-split"),
    ("approve split", DONE),
    ("approve split", "access.same-person"),
    ("approve split", "benefits.merge-differs"),
    ("approve split", "benefits.merge-decided"),
    ("approve split", "contributions.reversal-decided"),
    ("reject split", DONE),
    ("propose move to right member", DONE),
    ("propose move to right member", "contributions.nothing-to-move"),
    ("propose move to right member", "contributions.reversal-decided"),
}


def everything() -> None:
    """Every operation once as it should be, and once as it should not."""
    all_ = UnitisedRecords()
    all_.begin([60_000, 50_000, 40_000])
    all_.join(30)
    all_.join(45)
    all_.pay(3, 7_000, 1)
    all_.pay(0, 9_000, 1)
    all_.propose_merge(0, 0)
    all_.propose_split(0, 0, 1, is_theirs=True)
    all_.propose_split(0, 1, 1, is_theirs=False)
    all_.propose_split(0, 4, 1, is_theirs=True)
    all_.propose_split(0, 3, 1, is_theirs=True)
    all_.decide_split(0, MAKER, is_exact=True, is_approved=True)
    all_.decide_split(0, CHECKER, is_exact=False, is_approved=True)
    all_.decide_split(0, CHECKER, is_exact=True, is_approved=False)
    all_.decide_split(0, CHECKER, is_exact=True, is_approved=True)
    all_.a_dealing(1_000)
    all_.move_to_the_right_member(1, 1, CHECKER, is_exact=True)
    all_.move_to_the_right_member(1, 2, MAKER, is_exact=True)
    all_.move_to_the_right_member(1, 2, CHECKER, is_exact=True)
    all_.reverse(1, CHECKER, is_exact=True)
    all_.propose_split(0, 4, 2, is_theirs=True)
    all_.reverse(3, CHECKER, is_exact=True)
    all_.decide_split(0, CHECKER, is_exact=True, is_approved=True)
    all_.decide_split(0, CHECKER, is_exact=True, is_approved=False)
    all_.propose_split(0, 4, 1, is_theirs=True)
    all_.decide_split(0, CHECKER, is_exact=True, is_approved=True)
    all_.a_dealing(-1_000)
    all_.a_dealing(0)
    all_.propose_merge(3, 2)
    all_.decide_merge(0, MAKER, is_exact=True, is_approved=True, at_once=1)
    all_.decide_merge(0, CHECKER, is_exact=False, is_approved=True, at_once=1)
    all_.decide_merge(0, CHECKER, is_exact=True, is_approved=False, at_once=2)
    all_.propose_merge(2, 4)
    all_.take_savings(2, 1_000)
    all_.decide_merge(0, CHECKER, is_exact=True, is_approved=True, at_once=1)
    all_.reject(0, CHECKER)
    all_.decide_merge(0, CHECKER, is_exact=True, is_approved=True, at_once=3)
    all_.merge_what_is_gone(0, 0)
    all_.pay_by_an_old_number(0, 3_000)
    all_.a_dealing(300)
    last = len(all_.standing()) - 1
    all_.reverse(last, CHECKER, is_exact=True)
    all_.take_savings_to_the_end(3, 1_000, is_open=True, comes_back=True)
    all_.die(3, 0)
    all_.teardown()


@pytest.mark.timeout(3_600)
def test_any_history_keeps_every_law(database_urls: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with under_hand(UnitisedRecords, database_urls[0]):
        live(UnitisedRecords, everything, MUST_HAPPEN, capsys, histories=FAMILY)
