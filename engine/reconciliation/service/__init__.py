"""Use cases of reconciliation: take in a statement, match its lines to receipts, tell what does not agree, prove the day."""

from engine.reconciliation.rules import Counterpart
from engine.reconciliation.service.grouping import GroupMatched
from engine.reconciliation.service.layouts import layout_problems
from engine.reconciliation.service.matching import (
    MatchReport,
    TrialReport,
    hold_lines,
    match_statements,
    settle_payout_lines,
    try_matching,
)
from engine.reconciliation.service.proving import (
    AccountProof,
    DayProof,
    FundProof,
    HoldingsReport,
    ProofItem,
    import_holdings,
    prove_day,
)
from engine.reconciliation.service.resolving import (
    Action,
    Booking,
    Holding,
    LineName,
    Matching,
    Proposal,
    confirm_proposal,
    list_proposals,
    propose_resolution,
    reject_proposal,
)
from engine.reconciliation.service.taking import StatementReport, import_statement, source_of
from engine.reconciliation.service.telling import (
    Break,
    UnshownReceipt,
    is_matched,
    list_breaks,
    list_unshown,
    list_waiting,
    receipt_state,
)

__all__ = [
    "AccountProof",
    "Action",
    "Booking",
    "Break",
    "Counterpart",
    "DayProof",
    "FundProof",
    "GroupMatched",
    "Holding",
    "HoldingsReport",
    "LineName",
    "MatchReport",
    "Matching",
    "ProofItem",
    "Proposal",
    "StatementReport",
    "TrialReport",
    "UnshownReceipt",
    "confirm_proposal",
    "hold_lines",
    "import_holdings",
    "import_statement",
    "is_matched",
    "layout_problems",
    "list_breaks",
    "list_proposals",
    "list_unshown",
    "list_waiting",
    "match_statements",
    "propose_resolution",
    "prove_day",
    "receipt_state",
    "reject_proposal",
    "settle_payout_lines",
    "source_of",
    "try_matching",
]
