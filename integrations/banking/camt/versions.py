"""Which camt messages are read, by namespace. The root's name alone says nothing: versions differ under one name.

Source: the message schemas camt.052, .053 and .054, versions 01 to 14, of the ISO 20022 catalogue.
"""

from dataclasses import dataclass
from types import MappingProxyType

from engine.kernel.statements import StatementKind

_PREFIX = "urn:iso:std:iso:20022:tech:xsd:"
OLDEST, NEWEST = 1, 14


@dataclass(frozen=True, slots=True)
class Message:
    """A message and version: its root's name, that of one account's part, and what changed over the versions.

    `details` is the path of an entry's single transactions; `status` that of the entry's status.
    """

    kind: StatementKind
    version: int
    root: str
    part: str
    details: str
    status: str


def _message(kind: StatementKind, root: str, part: str, version: int) -> Message:
    return Message(
        kind=kind,
        version=version,
        root=f"{root}V01" if version == 1 else root,
        part=part,
        details="TxDtls" if version == 1 else "NtryDtls/TxDtls",
        status="Sts" if version <= 6 else "Sts/Cd",
    )


MESSAGES = MappingProxyType(
    {
        f"{_PREFIX}camt.{number}.001.{version:02}": _message(kind, root, part, version)
        for number, kind, root, part in (
            ("052", StatementKind.INTRADAY, "BkToCstmrAcctRpt", "Rpt"),
            ("053", StatementKind.STATEMENT, "BkToCstmrStmt", "Stmt"),
            ("054", StatementKind.NOTIFICATION, "BkToCstmrDbtCdtNtfctn", "Ntfctn"),
        )
        for version in range(OLDEST, NEWEST + 1)
    }
)
"""Every message and version that is read, by its namespace."""
