"""Use cases of mergers: propose and approve, hand over by rounds, file, take in, acknowledge, and pass on what comes late."""

from engine.mergers.service.filing import head_of, sealed_files, write_files
from engine.mergers.service.handing_over import carry_on
from engine.mergers.service.late import begin_late_round, forward_payments, forwarded_file
from engine.mergers.service.proposing import (
    MergerReport,
    MergerView,
    approve_merger,
    find_merger,
    list_mergers,
    propose_merger,
    reject_merger,
    report_terms,
)
from engine.mergers.service.receiving import acknowledge, receipt_of, take_in

__all__ = [
    "MergerReport",
    "MergerView",
    "acknowledge",
    "approve_merger",
    "begin_late_round",
    "carry_on",
    "find_merger",
    "forward_payments",
    "forwarded_file",
    "head_of",
    "list_mergers",
    "propose_merger",
    "receipt_of",
    "reject_merger",
    "report_terms",
    "sealed_files",
    "take_in",
    "write_files",
]
