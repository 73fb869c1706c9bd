"""Use cases of the audit log: append and sign, read and prove, export, verify."""

from engine.audit.service.appender import Appended, append, sequence_forever
from engine.audit.service.exporter import Exported, export
from engine.audit.service.log import checkpoint_note, index_of, log_size_at, proof_of, read_bundle, read_tile
from engine.audit.service.verifier import Problem, Report, verify_package

__all__ = [
    "Appended",
    "Exported",
    "Problem",
    "Report",
    "append",
    "checkpoint_note",
    "export",
    "index_of",
    "log_size_at",
    "proof_of",
    "read_bundle",
    "read_tile",
    "sequence_forever",
    "verify_package",
]
