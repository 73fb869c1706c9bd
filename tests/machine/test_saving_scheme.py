"""A scheme of savings with declared interest, Rwanda's EjoHeza: whole francs, the state's match, interest declared and revised."""

import pytest

from tests.machine.machine import live, under_hand
from tests.machine.saving import CLASSES, SavingScheme
from tests.machine.world import CHECKER, DONE, MAKER

MUST_HAPPEN = {
    ("join", DONE),
    ("join", "enrolment.already-member"),
    ("pay", DONE),
    ("pay", "contributions.key-reused"),
    ("tell class", DONE),
    ("prepare match claim", DONE),
    ("prepare match claim", "contributions.match-not-due"),
    ("prepare match claim", "contributions.claim-prepared"),
    ("send match claim", DONE),
    ("send match claim", "access.same-person"),
    ("send match claim", "contributions.claim-changed"),
    ("receive match", DONE),
    ("receive match", "contributions.more-than-claimed"),
    ("share match", DONE),
    ("propose figure", DONE),
    ("accept figure", DONE),
    ("accept figure", "access.same-person"),
    ("credit interest", DONE),
    ("claim access", DONE),
    ("claim access", "benefits.more-than-accessible"),
    ("claim retirement", DONE),
    ("claim retirement", "benefits.before-benefit-age"),
    ("claim retirement", "benefits.payments-suspended"),
    ("approve claim", DONE),
    ("approve claim", "access.same-person"),
    ("confirm reversal", DONE),
    ("instruct payout", DONE),
    ("approve payout", DONE),
    ("report death", DONE),
    ("pay heir", DONE),
}
"""What must have been tried, and what must have come of it: what never happened proves nothing."""


def everything() -> None:
    """Every operation once as it should be, and once as it should not."""
    all_ = SavingScheme()
    all_.begin([20_000, 30_000, 40_000], is_over=False)
    all_.join_again(0)
    all_.pay(0, 7_001, 3)
    all_.pay_with_a_used_key(0)
    all_.pay_for_nobody(777)
    all_.resolve(0, 1, twice=True, is_known=True)
    for index, name in enumerate((CLASSES[0], CLASSES[2], CLASSES[3], CLASSES[4])):
        all_.tell_class(index, name)
    all_.claim_match(CHECKER, is_exact=True)
    all_.reverse(0, CHECKER, is_exact=True)
    all_.the_year_ends()
    all_.claim_match(MAKER, is_exact=True)
    claim = all_.run(all_.world.match_claims())[0]
    all_.run(all_.world.send_match(claim.claim_no, "0" * 64, CHECKER))
    all_.claim_match(CHECKER, is_exact=True)
    all_.run(all_.world.send_match(claim.claim_no, claim.digest, CHECKER))
    all_.the_state_pays(101, is_shown=True)
    all_.the_state_pays(60, is_shown=True)
    all_.claim_match(CHECKER, is_exact=True)
    all_.the_state_pays(100, is_shown=True)
    all_.declare_and_credit("11.5", MAKER)
    all_.a_day_at_the_bank()
    all_.declare_and_credit("12", CHECKER)
    all_.take_savings(1, None)
    all_.take_savings(0, None)
    all_.take_savings_to_the_end(1, 5_000, is_open=True, comes_back=True)
    all_.retire(0)
    all_.retire(2)
    all_.approve(0, MAKER, is_exact=True, at_once=1)
    all_.approve(0, CHECKER, is_exact=True, at_once=3)
    all_.a_day_at_the_bank()
    all_.declare_and_credit("7.25", CHECKER)
    all_.die(1, 2)
    all_.retire(1)
    all_.approve_death_claim(0, CHECKER)
    all_.pay_heir(0, 1, is_known=True)
    all_.close_of_business()
    all_.teardown()


@pytest.mark.timeout(3_600)
def test_any_history_keeps_every_law(database_urls: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with under_hand(SavingScheme, database_urls[0]):
        live(SavingScheme, everything, MUST_HAPPEN, capsys)
