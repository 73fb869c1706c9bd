"""How a folder is joined as the place where files change hands with a counterparty: its table in the secrets file."""

from pathlib import Path

from msgspec import Struct

from engine.kernel.file_drops import Conventions
from engine.kernel.joining import Given, Means
from integrations.banking.file_drops.folder import FolderDrop


class Folders(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Three folders: what comes for us, what we leave, and what we took; inbox and archive on one disk."""

    inbox: Given
    outbox: Given
    archive: Given
    conventions: Conventions = Conventions()


class JoinsFolder:
    """Answers `Joins` for file drops."""

    credentials = Folders

    def join(self, credentials: Folders, means: Means) -> FolderDrop:  # noqa: ARG002 - a folder is spoken to by nothing
        """Return the adapter."""
        return FolderDrop(
            Path(credentials.inbox), Path(credentials.outbox), Path(credentials.archive), credentials.conventions
        )
