"""Processes that die, among all else: two at one moment, each killed between statements or in a commit; others go on where they stopped."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.machine.machine import FAMILY, live, under_hand, which
from tests.machine.test_fees import RULES, Fees
from tests.machine.test_switches import BONDS, IN_TWO_FUNDS, Switches
from tests.machine.unitised import FUND, UnitisedScheme
from tests.machine.world import CHECKER

COUNTRY = replace(IN_TWO_FUNDS, rules=IN_TWO_FUNDS.rules + RULES)
ROOT = Path(__file__).parents[2]
PLACES = ("workers", "order", "allot", "workers-after")
DIED = "died"
_SECONDS = 120
deaths = st.tuples(st.integers(1, 300), st.integers(1, 300))


class Crashes(Switches, Fees, UnitisedScheme):
    """In two funds, with fees; a dealing day, the workers and approvals are done by processes that die."""

    country = COUNTRY
    app_url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.place, self.at, self.steps = "", (0, 0), iter(PLACES)

    @rule(move_bp=st.integers(-1_500, 1_500), place=st.sampled_from(PLACES), at=deaths)
    def a_dealing_that_dies(self, move_bp: int, place: str, at: tuple[int, int]) -> None:
        """A dealing day in which two processes die at once: as they place orders, allot or carry on what waits."""
        self.place, self.at = place, at
        self.a_dealing(move_bp)

    @precondition(lambda self: any(one.claims and not one.is_dead for one in self.savers))
    @rule(index=which, at=deaths)
    def approve_a_claim_and_die(self, index: int, at: tuple[int, int]) -> None:
        having = [one for one in self.savers if one.claims and not one.is_dead]
        saver = having[index % len(having)]
        claim = self.run(self.world.find_claim(saver.claims[0]))
        self.two_die(f"claim:{claim.claim_id}:{claim.digest}", at)
        if self.run(self.world.find_claim(claim.claim_id)).state == "decided":
            self.approve(self.savers.index(saver), CHECKER, is_exact=True, at_once=1)
        else:
            saver.claims.remove(claim.claim_id)
            self.payable.append(claim)

    @precondition(lambda self: any(one.state == "proposed" for one in self.fee_runs()))
    @rule(at=deaths)
    def approve_fees_and_die(self, at: tuple[int, int]) -> None:
        run = next(one for one in self.fee_runs() if one.state == "proposed")
        self.two_die(f"fees:{run.run_no}:{run.digest}", at)
        place = next(place for place, one in enumerate(self.fee_runs()) if one.run_no == run.run_no)
        self.approve_fees(place, CHECKER, is_exact=True, at_once=1)

    @rule(move_bp=st.integers(-1_500, 1_500))
    def a_dealing(self, move_bp: int) -> None:
        self.steps = iter(PLACES)
        super().a_dealing(move_bp)
        self.place = ""

    def deal(self) -> None:
        self.maybe_die("deal")
        super().deal()

    def settle(self) -> None:
        self.maybe_die("workers")
        super().settle()

    def maybe_die(self, work: str) -> None:
        if self.place and next(self.steps, "") == self.place:
            self.two_die(work, self.at)

    def two_die(self, work: str, at: tuple[int, int]) -> None:
        """Let two processes do the same at one moment, each until a statement of its own."""
        tenant = self.world.tenant
        folder = Path(self.home.name)
        running = [
            subprocess.Popen(
                [
                    sys.executable, "-m", "tests.machine.mortal", self.app_url, str(folder),
                    str(tenant.tenant_id), tenant.code, str(tenant.pack_id), str(number), work,
                ],
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=(folder / f"mortal-{number}.log").open("wb"),
            )
            for number in at
        ]  # fmt: skip
        for number, one in zip(at, running, strict=True):
            code = one.wait(_SECONDS)
            assert code in (0, -signal.SIGKILL), (folder / f"mortal-{number}.log").read_text()
            self.counts[f"die in {work.split(':', maxsplit=1)[0]}", DIED if code else "finished"] += 1

    def must_hold(self) -> None:
        self.place = ""
        super().must_hold()


MUST_HAPPEN = {("die in deal", DIED), ("die in workers", DIED), ("die in claim", DIED), ("die in fees", DIED)}


def everything() -> None:
    """Every operation once as it should be, and once as it should not."""
    all_ = Crashes()
    all_.begin([60_000, 50_000, 40_000])
    all_.pay(0, 7_000, 1)
    all_.take_savings(1, 2_000)
    all_.approve_a_claim_and_die(0, (14, 25))
    all_.switch(2, "savings", FUND, {BONDS: 10_000}, 100, is_right=True, times=1)
    all_.a_dealing_that_dies(100, "order", (12, 30))
    all_.pay(0, 8_000, 1)
    all_.a_dealing_that_dies(-100, "allot", (20, 45))
    all_.a_month_ends()
    all_.propose_fees(is_over=True, is_due=True)
    all_.approve_fees_and_die((9, 28))
    all_.a_dealing_that_dies(200, "workers-after", (30, 60))
    all_.teardown()


@pytest.mark.timeout(3_600)
def test_any_history_keeps_every_law(database_urls: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    Crashes.app_url = database_urls[0]
    with under_hand(Crashes, database_urls[0]):
        live(Crashes, everything, MUST_HAPPEN, capsys, histories=FAMILY)
