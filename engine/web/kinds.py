"""The kinds of what waits for a second person: who may read and decide, how each is told in full, and what a decision does."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from engine.access.rules import Caller
from engine.benefits import service as benefits
from engine.closing import service as closing
from engine.contributions import service as contributions
from engine.funds import service as funds
from engine.kernel.permissions import Permission
from engine.kernel.text import N_
from engine.mergers import service as mergers
from engine.opening import service as opening
from engine.reconciliation import service as reconciliation
from engine.tenancy import service as tenancy
from engine.web import deciding, in_full, in_full_scheme
from engine.web.deciding import Step, whole, with_keys, within
from engine.web.in_full import InFull, Reading


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing that waits: what it is called, who may read it, who may decide on it, and how both are done."""

    label: str
    read: Permission
    decide: Permission
    tell: Callable[[Reading], Awaitable[InFull]]
    approve: Step
    reject: Step


KINDS: Mapping[str, Kind] = {
    "suspense": Kind(
        N_("Owner of a payment"),
        Permission.CONTRIBUTIONS_READ,
        Permission.SUSPENSE_APPROVE,
        in_full.tell_suspense,
        with_keys(contributions.confirm_owner),
        deciding.leave_in_suspense,
    ),
    "reversals": Kind(
        N_("Payment to be taken back"),
        Permission.CONTRIBUTIONS_READ,
        Permission.REVERSALS_APPROVE,
        in_full.tell_reversal,
        with_keys(contributions.confirm_reversal),
        deciding.leave_payment,
    ),
    "claims": Kind(
        N_("Claim of a benefit"),
        Permission.CLAIMS_READ,
        Permission.CLAIMS_APPROVE,
        in_full.tell_claim,
        whole(benefits.approve_claim),
        within(benefits.reject_claim),
    ),
    "payouts": Kind(
        N_("Payout"),
        Permission.PAYOUTS_READ,
        Permission.PAYOUTS_APPROVE,
        in_full.tell_payout,
        deciding.pay,
        deciding.refuse_to_pay,
    ),
    "payrolls": Kind(
        N_("Payroll of pensions"),
        Permission.PAYOUTS_READ,
        Permission.PAYROLL_APPROVE,
        in_full.tell_payroll,
        whole(benefits.approve_payroll),
        whole(benefits.reject_payroll),
    ),
    "breaks": Kind(
        N_("Line of a statement that matches nothing"),
        Permission.OPERATIONS_READ,
        Permission.BREAKS_APPROVE,
        in_full.tell_break,
        whole(reconciliation.confirm_proposal),
        deciding.leave_line,
    ),
    "state-money": Kind(
        N_("Claim of state money"),
        Permission.CONTRIBUTIONS_READ,
        Permission.MATCH_APPROVE,
        in_full.tell_state_money,
        within(contributions.send_claim),
        within(contributions.reject_claim),
    ),
    "merges": Kind(
        N_("Records to be merged"),
        Permission.IDENTITY_DECIDE,
        Permission.IDENTITY_DECIDE,
        in_full.tell_merge,
        with_keys(benefits.approve_merge),
        within(benefits.reject_merge),
    ),
    "fees": Kind(
        N_("Fees of a product"),
        Permission.OPERATIONS_READ,
        Permission.FEES_APPROVE,
        in_full.tell_fees,
        whole(benefits.approve_fees),
        within(benefits.reject_fees),
    ),
    "moves": Kind(
        N_("Move between products"),
        Permission.CLAIMS_READ,
        Permission.CLAIMS_APPROVE,
        in_full.tell_move,
        whole(benefits.approve_move),
        within(benefits.reject_move),
    ),
    "price-corrections": Kind(
        N_("Correction of a price"),
        Permission.OPERATIONS_READ,
        Permission.PRICES_APPROVE,
        in_full.tell_correction,
        whole(funds.approve_correction),
        within(funds.reject_correction),
    ),
    "recounts": Kind(
        N_("What changed rules change of what was posted"),
        Permission.OPERATIONS_READ,
        Permission.PACKS_APPROVE,
        in_full.tell_recount,
        whole(benefits.approve_recount),
        whole(benefits.reject_recount),
    ),
    "fund-actions": Kind(
        N_("Split or income of a fund"),
        Permission.OPERATIONS_READ,
        Permission.PRICES_APPROVE,
        in_full_scheme.tell_action,
        deciding.book_action,
        within(funds.reject_action),
    ),
    "figures": Kind(
        N_("Figure of a series"),
        Permission.OPERATIONS_READ,
        Permission.FIGURES_APPROVE,
        in_full_scheme.tell_figure,
        deciding.on_figure(tenancy.accept_figure),
        deciding.on_figure(tenancy.reject_figure),
    ),
    "pack-versions": Kind(
        N_("New version of the rules"),
        Permission.OPERATIONS_READ,
        Permission.PACKS_APPROVE,
        in_full_scheme.tell_version,
        deciding.on_version(tenancy.approve_pack),
        deciding.on_version(tenancy.reject_pack),
    ),
    "openings": Kind(
        N_("Opening balances"),
        Permission.OPERATIONS_READ,
        Permission.OPENINGS_APPROVE,
        in_full_scheme.tell_opening,
        whole(opening.approve_opening),
        whole(opening.reject_opening),
    ),
    "transfers-in": Kind(
        N_("Savings from another scheme"),
        Permission.CLAIMS_READ,
        Permission.CLAIMS_APPROVE,
        in_full.tell_transfer,
        within(benefits.approve_advice),
        within(benefits.reject_advice),
    ),
    "premiums": Kind(
        N_("Premiums of a product"),
        Permission.OPERATIONS_READ,
        Permission.FEES_APPROVE,
        in_full_scheme.tell_premiums,
        whole(benefits.approve_premiums),
        within(benefits.reject_premiums),
    ),
    "hand-overs": Kind(
        N_("Unclaimed money to be handed over"),
        Permission.CLAIMS_READ,
        Permission.CLAIMS_APPROVE,
        in_full_scheme.tell_hand_over,
        whole(benefits.approve_hand_over),
        within(benefits.reject_hand_over),
    ),
    "record-splits": Kind(
        N_("Payments in the wrong record"),
        Permission.CONTRIBUTIONS_READ,
        Permission.REVERSALS_APPROVE,
        in_full.tell_split,
        with_keys(benefits.approve_split),
        within(benefits.reject_split),
    ),
    "reopenings": Kind(
        N_("Closed days to be opened again"),
        Permission.OPERATIONS_READ,
        Permission.DAYS_APPROVE,
        in_full_scheme.tell_reopening,
        whole(closing.approve_reopening),
        whole(closing.reject_reopening),
    ),
    "pool-incomes": Kind(
        N_("Income of a pool"),
        Permission.OPERATIONS_READ,
        Permission.PRICES_APPROVE,
        in_full_scheme.tell_pool_income,
        within(funds.approve_income),
        within(funds.reject_income),
    ),
    "mergers": Kind(
        N_("Scheme that goes into another"),
        Permission.OPERATIONS_READ,
        Permission.MERGERS_APPROVE,
        in_full_scheme.tell_merger,
        within(mergers.approve_merger),
        within(mergers.reject_merger),
    ),
    "order-cancellations": Kind(
        N_("Order to be asked back"),
        Permission.OPERATIONS_READ,
        Permission.BREAKS_APPROVE,
        in_full_scheme.tell_cancellation,
        deciding.ask_back,
        deciding.leave_order,
    ),
}


def readable(caller: Caller) -> list[str]:
    """Return the kinds that a member of staff may read."""
    return [kind for kind, one in KINDS.items() if caller.may(one.read)]
