"""Use cases of contributions: receive payments one by one, many at once or from files; suspense."""

from engine.contributions.service.collecting import (
    COLLECTIONS,
    PAYMENTS_IN,
    Collectors,
    ask_for_payment,
    collection_operation,
    find_collection,
    list_unsettled,
    open_untold,
    payments_in_operation,
    post_collected,
)
from engine.contributions.service.files import ImportReport, import_file, read_rows
from engine.contributions.service.intake import Intake
from engine.contributions.service.receiving import CHUNK, Answer, receive
from engine.contributions.service.recomputing import Recomputed, recompute, resplit
from engine.contributions.service.reversing import (
    Reason,
    Reversal,
    carry_on_reversals,
    confirm_reversal,
    find_reversal,
    propose_reversal,
    reject_reversal,
)
from engine.contributions.service.state_money import (
    ClaimShared,
    claim_file,
    find_claim,
    list_claims,
    prepare_claim,
    receive_match,
    reject_claim,
    send_claim,
    share_match,
    years_to_claim_again,
)
from engine.contributions.service.suspense import (
    Held,
    begin_refund,
    end_refund,
    hold_in_suspense,
    list_suspense,
    resolve_suspense,
)
from engine.contributions.service.terms import terms_for
from engine.contributions.service.undertaken import contributions_payable, first_missed, undertakings_of

__all__ = [
    "CHUNK",
    "COLLECTIONS",
    "PAYMENTS_IN",
    "Answer",
    "ClaimShared",
    "Collectors",
    "Held",
    "ImportReport",
    "Intake",
    "Reason",
    "Recomputed",
    "Reversal",
    "ask_for_payment",
    "begin_refund",
    "carry_on_reversals",
    "claim_file",
    "collection_operation",
    "confirm_reversal",
    "contributions_payable",
    "end_refund",
    "find_claim",
    "find_collection",
    "find_reversal",
    "first_missed",
    "hold_in_suspense",
    "import_file",
    "list_claims",
    "list_suspense",
    "list_unsettled",
    "open_untold",
    "payments_in_operation",
    "post_collected",
    "prepare_claim",
    "propose_reversal",
    "read_rows",
    "receive",
    "receive_match",
    "recompute",
    "reject_claim",
    "reject_reversal",
    "resolve_suspense",
    "resplit",
    "send_claim",
    "share_match",
    "terms_for",
    "undertakings_of",
    "years_to_claim_again",
]
