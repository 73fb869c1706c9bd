"""Use cases of benefits: grant what members claim, pay out what is payable."""

from engine.benefits.service.claiming import (
    Standing,
    add_documents,
    approve_claim,
    carry_on_claims,
    find_claim,
    list_claims,
    missing_of,
    open_claim,
    reject_claim,
    standing_of,
    withdraw_claim,
)
from engine.benefits.service.disbursing import carry_on_payrolls
from engine.benefits.service.filing import PayoutFile, ReportRead, file_payouts, find_file, read_report
from engine.benefits.service.living import Guaranteed, prove_life, remaining_guaranteed, stop_pensions
from engine.benefits.service.paying import (
    BANK,
    PAYEE_CHECKS,
    PAYOUTS,
    BankRail,
    Payers,
    account_before,
    approve,
    find_payout,
    instruct,
    list_payouts,
    refuse,
)
from engine.benefits.service.paying import (
    find as payout_of,
)
from engine.benefits.service.payroll import (
    Payroll,
    approve_payroll,
    find_payroll,
    list_payrolls,
    post_payroll,
    propose_payroll,
    reject_payroll,
)
from engine.benefits.service.refunding import refund
from engine.benefits.service.scheduling import find_pension, list_pensions, name_payee
from engine.benefits.service.sending import check_names, check_operation, payout_operation
from engine.benefits.service.settling import Settlement, settle_payouts

__all__ = [
    "BANK",
    "PAYEE_CHECKS",
    "PAYOUTS",
    "BankRail",
    "Guaranteed",
    "Payers",
    "PayoutFile",
    "Payroll",
    "ReportRead",
    "Settlement",
    "Standing",
    "account_before",
    "add_documents",
    "approve",
    "approve_claim",
    "approve_payroll",
    "carry_on_claims",
    "carry_on_payrolls",
    "check_names",
    "check_operation",
    "file_payouts",
    "find_claim",
    "find_file",
    "find_payout",
    "find_payroll",
    "find_pension",
    "instruct",
    "list_claims",
    "list_payouts",
    "list_payrolls",
    "list_pensions",
    "missing_of",
    "name_payee",
    "open_claim",
    "payout_of",
    "payout_operation",
    "post_payroll",
    "propose_payroll",
    "prove_life",
    "read_report",
    "refund",
    "refuse",
    "reject_claim",
    "reject_payroll",
    "remaining_guaranteed",
    "settle_payouts",
    "standing_of",
    "stop_pensions",
    "withdraw_claim",
]
