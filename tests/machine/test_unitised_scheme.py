"""A unitised scheme, Ghana's third tier: bank, fund manager, prices that are looked at, savings taken out, deaths."""

import pytest

from tests.machine.machine import live, under_hand
from tests.machine.unitised import UnitisedScheme
from tests.machine.world import CHECKER, DONE, MAKER

MUST_HAPPEN = {
    ("join", DONE),
    ("join", "enrolment.too-young"),
    ("join", "enrolment.already-member"),
    ("pay", DONE),
    ("pay", "contributions.below-minimum"),
    ("pay", "contributions.key-reused"),
    ("resolve suspense", DONE),
    ("resolve suspense", "contributions.already-resolved"),
    ("resolve suspense", "request.not-found"),
    ("refund suspense", DONE),
    ("propose reversal", DONE),
    ("propose reversal", "contributions.reversal-decided"),
    ("confirm reversal", DONE),
    ("confirm reversal", "access.same-person"),
    ("confirm reversal", "contributions.reversal-differs"),
    ("import statement", DONE),
    ("import prices", DONE),
    ("approve price", DONE),
    ("approve price", "access.same-person"),
    ("deal", DONE),
    ("close of business", DONE),
    ("claim access", DONE),
    ("claim access", "benefits.more-than-accessible"),
    ("claim access", "benefits.payments-suspended"),
    ("claim retirement", DONE),
    ("claim retirement", "benefits.before-benefit-age"),
    ("claim retirement", "benefits.payments-suspended"),
    ("approve claim", DONE),
    ("approve claim", "access.same-person"),
    ("approve claim", "benefits.claim-differs"),
    ("approve claim", "benefits.claim-decided"),
    ("reject claim", DONE),
    ("reject claim", "access.same-person"),
    ("instruct payout", DONE),
    ("approve payout", DONE),
    ("approve payout", "access.same-person"),
    ("approve payout", "benefits.payout-changed"),
    ("approve payout", "benefits.payout-decided"),
    ("refuse payout", DONE),
    ("refuse payout", "access.same-person"),
    ("file payouts", DONE),
    ("read report", DONE),
    ("report death", DONE),
    ("pay heir", DONE),
    ("pay heir", "benefits.documents-needed"),
    ("pay heir", "benefits.unknown-heir"),
}
"""What must have been tried, and what must have come of it: what never happened proves nothing."""


def everything() -> None:
    """Every operation once as it should be, and once as it should not."""
    all_ = UnitisedScheme()
    all_.begin([60_000, 50_000, 40_000])
    all_.join(14)
    all_.join_again(0)
    all_.pay(0, 99, 2)
    all_.pay(0, 7_001, 3)
    all_.pay_with_a_used_key(0)
    for _ in range(2):
        all_.pay_for_nobody(777)
    all_.resolve(0, 0, twice=False, is_known=False)
    all_.resolve(0, 0, twice=True, is_known=True)
    all_.send_suspense_back(0)
    all_.a_dealing(-1_400)
    all_.send_suspense_back(0)
    all_.reverse(0, MAKER, is_exact=True)
    all_.reverse(0, CHECKER, is_exact=False)
    all_.reverse(0, CHECKER, is_exact=True)
    all_.a_dealing(1_400)
    all_.pay(2, 5_000, 1)
    last = sum(1 for one in all_.paid if one.saver and not one.is_reversed) - 1
    all_.reverse(last, CHECKER, is_exact=True)
    all_.run(all_.world.reverse(all_.paid[-1].receipt))
    all_.take_savings(1, None)
    all_.take_savings(1, 1_000)
    all_.retire(0)
    all_.approve(0, MAKER, is_exact=True, at_once=1)
    all_.approve(0, CHECKER, is_exact=False, at_once=1)
    all_.reject(0, MAKER)
    all_.reject(0, CHECKER)
    all_.take_savings_to_the_end(1, 1_500, is_open=True, comes_back=True)
    all_.take_savings_to_the_end(1, 1_600, is_open=False, comes_back=False)
    all_.retire(2)
    all_.approve(0, CHECKER, is_exact=True, at_once=3)
    all_.a_dealing(0)
    all_.payable, all_.payouts = all_.payable[-1:], []
    all_.instruct(0, is_open=True)
    all_.refuse_payout(0, MAKER)
    all_.refuse_payout(0, CHECKER)
    all_.instruct(0, is_open=True)
    all_.approve_payout(0, MAKER, is_exact=True, at_once=1)
    all_.approve_payout(0, CHECKER, is_exact=False, at_once=1)
    all_.approve_payout(0, CHECKER, is_exact=True, at_once=3)
    all_.send_payouts()
    all_.close_of_business()
    all_.die(1, 2)
    all_.take_savings(1, 200)
    all_.retire(1)
    all_.approve_death_claim(0, CHECKER)
    all_.a_dealing(0)
    all_.pay_heir(0, 1, is_known=False)
    all_.pay_heir(0, 1, is_known=True)
    all_.pay_heir(0, 3, is_known=True)
    all_.teardown()


@pytest.mark.timeout(3_600)
def test_any_history_keeps_every_law(database_urls: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with under_hand(UnitisedScheme, database_urls[0]):
        live(UnitisedScheme, everything, MUST_HAPPEN, capsys)
