"""Use cases of benefits: pay out what is payable."""

from engine.benefits.service.filing import PayoutFile, ReportRead, file_payouts, find_file, read_report
from engine.benefits.service.paying import (
    BANK,
    PAYEE_CHECKS,
    PAYOUTS,
    BankRail,
    Payers,
    approve,
    find_payout,
    instruct,
    list_payouts,
    refuse,
)
from engine.benefits.service.refunding import refund
from engine.benefits.service.sending import check_names, check_operation, payout_operation
from engine.benefits.service.settling import Settlement, settle_payouts

__all__ = [
    "BANK",
    "PAYEE_CHECKS",
    "PAYOUTS",
    "BankRail",
    "Payers",
    "PayoutFile",
    "ReportRead",
    "Settlement",
    "approve",
    "check_names",
    "check_operation",
    "file_payouts",
    "find_file",
    "find_payout",
    "instruct",
    "list_payouts",
    "payout_operation",
    "read_report",
    "refund",
    "refuse",
    "settle_payouts",
]
