"""Use cases of reconciliation: take in a statement, match its lines to receipts, tell what does not agree, prove the day."""

from engine.reconciliation.service.matching import MatchReport, hold_lines, match_statements, settle_payout_lines
from engine.reconciliation.service.proving import (
    AccountProof,
    DayProof,
    FundProof,
    HoldingsReport,
    ProofItem,
    import_holdings,
    prove_day,
)
from engine.reconciliation.service.taking import StatementReport, channel_of, import_statement
from engine.reconciliation.service.telling import Break, is_matched, list_breaks, list_waiting, receipt_state

__all__ = [
    "AccountProof",
    "Break",
    "DayProof",
    "FundProof",
    "HoldingsReport",
    "MatchReport",
    "ProofItem",
    "StatementReport",
    "channel_of",
    "hold_lines",
    "import_holdings",
    "import_statement",
    "is_matched",
    "list_breaks",
    "list_waiting",
    "match_statements",
    "prove_day",
    "receipt_state",
    "settle_payout_lines",
]
