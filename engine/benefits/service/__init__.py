"""Use cases of benefits: pay out what is payable."""

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
from engine.benefits.service.sending import check_names, check_operation, payout_operation
from engine.benefits.service.settling import Settlement, settle_payouts

__all__ = [
    "BANK",
    "PAYEE_CHECKS",
    "PAYOUTS",
    "BankRail",
    "Payers",
    "Settlement",
    "approve",
    "check_names",
    "check_operation",
    "find_payout",
    "instruct",
    "list_payouts",
    "payout_operation",
    "refuse",
    "settle_payouts",
]
