"""An SFTP server of the counterparty's, answering the engine's port for file drops.

The server's key is pinned: any other key, and nothing is sent. We sign in with a key of ours, never with a password. A file
is uploaded under another name and then renamed, so that the other side sees it whole or not at all.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import asyncssh
from msgspec import Struct

from engine.kernel.file_drops import BYTES_MAX, Conventions, NameTaken, Untrusted, is_plain_name
from engine.kernel.files import FileRefused, NamedFile
from engine.kernel.transport import Unanswered, Unreachable

CONNECT_SECONDS = 15
ANSWER_SECONDS = 60
KEEPALIVE_SECONDS = 15
"""How often a server is asked for a sign of life; three times none, and the connection is given up."""
_Client = asyncssh.SFTPClient


class SftpPlace(Struct, frozen=True, kw_only=True):
    """Where the server is and who we are there.

    `host_key` is the server's public key and `private_key` ours, both as OpenSSH writes them; the second is a secret. Without
    an `archive` what was taken is deleted.
    """

    host: str
    port: int = 22
    user: str
    host_key: str
    private_key: str
    inbox: str
    outbox: str
    archive: str = ""

    def __repr__(self) -> str:
        return f"SftpPlace({self.user}@{self.host}:{self.port})"


class SftpDrop:
    """Takes files from and leaves them in folders of an SFTP server; connects for each call, and holds nothing open."""

    def __init__(self, place: SftpPlace, conventions: Conventions = Conventions()) -> None:  # noqa: B008 - a frozen value
        self._place = place
        self._conventions = conventions

    async def waiting(self) -> Sequence[str]:
        """Return the names of whole files in the server's folder for us."""
        async with self._connected() as client:
            entries = await client.readdir(self._place.inbox)
        names = [str(entry.filename) for entry in entries if entry.attrs.type == asyncssh.FILEXFER_TYPE_REGULAR]
        return self._conventions.whole(names)

    async def fetch(self, name: str) -> NamedFile:
        """Return a file; KeyError if it is gone, FileRefused if it is none to take."""
        if not is_plain_name(name):
            raise KeyError(name)
        async with self._connected() as client:
            file = NamedFile(name, await _read(client, f"{self._place.inbox}/{name}", name))
            if self._conventions.companion:
                path = f"{self._place.inbox}/{name}{self._conventions.companion}"
                self._conventions.check(file, await _read(client, path, name))
        return file

    async def put_away(self, file: NamedFile) -> bool:
        """Move a file to the archive, or delete it where there is none, unless other bytes have its name by now."""
        path = f"{self._place.inbox}/{file.name}"
        async with self._connected() as client:
            try:
                if await _read(client, path, file.name) != file.raw:
                    return False
            except KeyError:
                return False
            if not await self._move_away(client, file, path):
                return False
            if self._conventions.companion:
                with suppress(asyncssh.SFTPNoSuchFile):
                    await client.remove(f"{path}{self._conventions.companion}")
        return True

    async def _move_away(self, client: _Client, file: NamedFile, path: str) -> bool:
        """Move a file to the archive, or delete it; False if another process of ours did."""
        away = f"{self._place.archive}/{file.sha256[:16]}-{file.name}"
        try:
            if self._place.archive and not await client.lexists(away):
                await client.rename(path, away)
            else:
                await client.remove(path)  # the archive has these bytes, or there is none
        except asyncssh.SFTPNoSuchFile:
            return False
        except asyncssh.SFTPFailure:
            if await client.lexists(path):
                raise
            return False
        return True

    async def deliver(self, file: NamedFile) -> bool:
        """Leave a file, whole at once; NameTaken if other bytes have its name."""
        if not is_plain_name(file.name):
            raise ValueError(f"{file.name!r} is no name for a file")
        async with self._connected() as client:
            is_new = await self._leave(client, file)
            companion = self._conventions.companion_of(file)
            if companion is not None:
                is_new = await self._leave(client, companion) or is_new
        return is_new

    async def stage(self, file: NamedFile) -> None:
        """Write a file, whole, under a hidden name of the server's folder that follows from its bytes."""
        if not is_plain_name(file.name):
            raise ValueError(f"{file.name!r} is no name for a file")
        async with self._connected() as client, client.open(self._staged(file), "wb") as out:
            await out.write(file.raw)
            with suppress(asyncssh.SFTPOpUnsupported):
                await out.fsync()

    async def hand_over(self, file: NamedFile) -> bool:
        """Give a staged file its own name; return False if it was given that before; NameTaken if other bytes have it."""
        staged, own = self._staged(file), self._own(file)
        async with self._connected() as client:
            is_new = False
            if await client.lexists(staged):
                if await client.lexists(own):
                    with suppress(asyncssh.SFTPNoSuchFile):  # somebody else was as quick
                        await client.remove(staged)
                    await _is_there(client, own, file)
                else:
                    is_new = await self._hand_over(client, staged, own)
            companion = self._conventions.companion_of(file)
            # After a crash the file may lie there without it; a file that is gone was taken with it.
            if companion is not None and await client.lexists(own):
                await self._leave(client, companion)
        return is_new

    async def _hand_over(self, client: _Client, staged: str, own: str) -> bool:
        try:
            return await _rename(client, staged, own)
        except Unreachable:
            if await client.lexists(staged):
                raise
            return False  # another process of ours handed it over in the same moment

    def _own(self, file: NamedFile) -> str:
        return f"{self._place.outbox}/{file.name}"

    def _staged(self, file: NamedFile) -> str:
        return f"{self._place.outbox}/.{file.name}.{file.sha256[:16]}.part"

    async def _leave(self, client: _Client, file: NamedFile) -> bool:
        path = self._own(file)
        if await _is_there(client, path, file):
            return False
        part = f"{self._place.outbox}/.{file.name}.{secrets.token_hex(4)}.part"
        async with client.open(part, "xb") as out:
            await out.write(file.raw)
        try:
            return await _rename(client, part, path)
        except Unreachable:
            with suppress(asyncssh.SFTPError):
                await client.remove(part)
            if await _is_there(client, path, file):
                return False
            raise

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[_Client]:
        """Open a connection to the pinned server; what fails on it, and is not told apart inside, is Unreachable."""
        place = self._place
        try:
            key = asyncssh.import_private_key(place.private_key)
            host_key = asyncssh.import_public_key(place.host_key)
        except asyncssh.KeyImportError as error:
            raise Untrusted(f"{place.host}: a key of its table cannot be read") from error
        try:
            async with (
                asyncssh.connect(
                    place.host,
                    place.port,
                    username=place.user,
                    client_keys=[key],
                    known_hosts=([host_key], [], []),
                    agent_path=None,
                    config=None,
                    preferred_auth="publickey",
                    connect_timeout=CONNECT_SECONDS,
                    login_timeout=ANSWER_SECONDS,
                    keepalive_interval=KEEPALIVE_SECONDS,
                ) as connection,
                connection.start_sftp_client() as client,
            ):
                yield client
        except asyncssh.HostKeyNotVerifiable as error:
            raise Untrusted(f"{place.host} has another key than the one agreed") from error
        except asyncssh.PermissionDenied as error:
            raise Untrusted(f"{place.host} does not know our key") from error
        except (OSError, asyncssh.Error) as error:
            raise Unreachable(f"{place.host}: {type(error).__name__}") from error


async def _rename(client: _Client, old: str, new: str) -> bool:
    """Give a file another name, in one stroke; False if it has its old one no more: another process of ours did it.

    Raises:
        Unreachable: the server did not.
        Unanswered: whether it did is not known.
    """
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await client.rename(old, new)
    except asyncssh.SFTPNoSuchFile:
        return False
    except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection) as error:
        raise Unanswered("the connection broke while the file was renamed") from error
    except asyncssh.SFTPError as error:
        raise Unreachable(f"the server did not rename the file: {error.code}") from error
    except (OSError, asyncssh.Error) as error:
        raise Unanswered("the connection broke while the file was renamed") from error
    return True


async def _is_there(client: _Client, path: str, file: NamedFile) -> bool:
    """Return whether the file is there with the same bytes; NameTaken if others have its name."""
    try:
        there = await _read(client, path, file.name)
    except KeyError:
        return False
    if there != file.raw:
        raise NameTaken(file.name)
    return True


async def _read(client: _Client, path: str, name: str) -> bytes:
    try:
        async with client.open(path, "rb") as source:
            raw = await source.read(BYTES_MAX + 1)
    except asyncssh.SFTPNoSuchFile as error:
        raise KeyError(name) from error
    assert isinstance(raw, bytes)
    if len(raw) > BYTES_MAX:
        raise FileRefused(
            file=name, row=None, field="file", reason="too-large", detail=f"The most is {BYTES_MAX} bytes."
        )
    return raw
