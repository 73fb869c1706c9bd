"""How a folder, an SFTP server or an HTTP service is joined as the place where files change hands: its table in the secrets file."""

from pathlib import Path

from msgspec import Struct

from engine.kernel.file_drops import Conventions
from engine.kernel.joining import BaseUrl, Given, Means
from integrations.banking.file_drops.folder import FolderDrop
from integrations.banking.file_drops.http import HttpDrop
from integrations.banking.file_drops.sftp import SftpDrop, SftpPlace


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


class SftpServer(SftpPlace, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A server, its folders, the keys of both sides, and how files are known to be whole."""

    conventions: Conventions = Conventions()

    def __repr__(self) -> str:
        return super().__repr__()


class JoinsSftp:
    """Answers `Joins` for file drops."""

    credentials = SftpServer

    def join(self, credentials: SftpServer, means: Means) -> SftpDrop:  # noqa: ARG002 - it speaks SSH by itself
        """Return the adapter."""
        return SftpDrop(credentials, credentials.conventions)


class HttpService(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A service, and the word that says who we are there, a secret."""

    base_url: BaseUrl
    token: Given

    def __repr__(self) -> str:
        return f"HttpService({self.base_url})"


class JoinsHttp:
    """Answers `Joins` for file drops."""

    credentials = HttpService

    def join(self, credentials: HttpService, means: Means) -> HttpDrop:
        """Return the adapter."""
        return HttpDrop(means.transport, credentials.base_url, {"Authorization": f"Bearer {credentials.token}"})
