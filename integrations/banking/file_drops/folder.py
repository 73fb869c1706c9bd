"""A pair of folders on a disk that both sides see, answering the engine's port for file drops.

A file is written under another name, made durable, and then linked to its own, which fails where the name is taken: at no
instant is there half a file, and none is ever written over.
"""

import asyncio
import contextlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from engine.kernel.file_drops import BYTES_MAX, Conventions, NameTaken, is_plain_name
from engine.kernel.files import FileRefused, NamedFile
from engine.kernel.transport import Unreachable

READABLE_BY_GROUP = 0o640


class FolderDrop:
    """Takes files from `inbox` and leaves them in `outbox`; what was taken is kept in `archive`, on the inbox's disk."""

    def __init__(self, inbox: Path, outbox: Path, archive: Path, conventions: Conventions = Conventions()) -> None:  # noqa: B008 - a frozen value
        self._inbox, self._outbox, self._archive = inbox, outbox, archive
        self._conventions = conventions

    async def waiting(self) -> Sequence[str]:
        """Return the names of whole files in the inbox."""
        return await asyncio.to_thread(self._waiting)

    async def fetch(self, name: str) -> NamedFile:
        """Return a file of the inbox; KeyError if it is gone, FileRefused if it is none to take."""
        return await asyncio.to_thread(self._fetch, name)

    async def put_away(self, file: NamedFile) -> bool:
        """Move a file from the inbox to the archive, unless other bytes have its name by now."""
        return await asyncio.to_thread(self._put_away, file)

    async def deliver(self, file: NamedFile) -> bool:
        """Leave a file in the outbox, whole at once; NameTaken if other bytes have its name."""
        if not is_plain_name(file.name):
            raise ValueError(f"{file.name!r} is no name for a file")
        return await asyncio.to_thread(self._deliver, file)

    async def stage(self, file: NamedFile) -> None:
        """Write a file, whole and durable, under a hidden name of the outbox that follows from its bytes."""
        if not is_plain_name(file.name):
            raise ValueError(f"{file.name!r} is no name for a file")
        await asyncio.to_thread(self._stage, file)

    async def hand_over(self, file: NamedFile) -> bool:
        """Give a staged file its own name; return False if it was given that before; NameTaken if other bytes have it."""
        return await asyncio.to_thread(self._hand_over, file)

    def _staged(self, file: NamedFile) -> Path:
        return self._outbox / f".{file.name}.{file.sha256[:16]}.part"

    def _stage(self, file: NamedFile) -> None:
        try:
            _write(self._staged(file), file.raw, os.O_TRUNC)
            _make_durable(self._outbox)
        except OSError as error:
            raise Unreachable(str(error.strerror)) from error

    def _hand_over(self, file: NamedFile) -> bool:
        staged, own = self._staged(file), self._outbox / file.name
        try:
            is_new = staged.exists() and not own.exists()
            if is_new:
                staged.rename(own)
                _make_durable(self._outbox)
            elif staged.exists():
                staged.unlink()
                if _read(own, file.name) != file.raw:
                    raise NameTaken(file.name)
            companion = self._conventions.companion_of(file)
            # After a crash the file may lie there without it; a file that is gone was taken with it.
            if companion is not None and own.exists():
                leave(self._outbox, companion)
        except (FileNotFoundError, KeyError):
            return False  # another process of ours handed it over in the same moment
        except OSError as error:
            raise Unreachable(str(error.strerror)) from error
        return is_new

    def _waiting(self) -> list[str]:
        try:
            with os.scandir(self._inbox) as entries:
                names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
        except OSError as error:
            raise Unreachable(str(error.strerror)) from error
        return self._conventions.whole(names)

    def _fetch(self, name: str) -> NamedFile:
        if not is_plain_name(name):
            raise KeyError(name)
        file = NamedFile(name, _read(self._inbox / name, name))
        if self._conventions.companion:
            companion = f"{name}{self._conventions.companion}"
            self._conventions.check(file, _read(self._inbox / companion, name))
        return file

    def _put_away(self, file: NamedFile) -> bool:
        away = self._archive / f"{file.sha256[:16]}-{file.name}"
        try:
            self._archive.mkdir(parents=True, exist_ok=True)
            (self._inbox / file.name).replace(away)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise Unreachable(str(error.strerror)) from error
        if away.read_bytes() != file.raw:
            self._give_back(away, file.name)
            return False
        if self._conventions.companion:
            with contextlib.suppress(FileNotFoundError):
                (self._inbox / f"{file.name}{self._conventions.companion}").unlink()
        return True

    def _give_back(self, away: Path, name: str) -> None:
        """Let a file wait again that was not the one to put away; under another name if its own is taken once more."""
        try:
            os.link(away, self._inbox / name)
        except FileExistsError:
            os.link(away, self._inbox / f"{secrets.token_hex(4)}-{name}")
        away.unlink()

    def _deliver(self, file: NamedFile) -> bool:
        try:
            is_new = leave(self._outbox, file)
            companion = self._conventions.companion_of(file)
            if companion is not None:
                is_new = leave(self._outbox, companion) or is_new
        except OSError as error:
            raise Unreachable(str(error.strerror)) from error
        return is_new


def leave(folder: Path, file: NamedFile) -> bool:
    """Put a file into a folder, whole and durable at once; return False if the same bytes are there already.

    Raises:
        NameTaken: other bytes are there under that name.
        OSError: it could not be written; nothing is there under its name.

    """
    part = folder / f".{file.name}.{secrets.token_hex(4)}.part"
    try:
        _write(part, file.raw, os.O_EXCL)
        os.link(part, folder / file.name)
    except FileExistsError:
        if _read(folder / file.name, file.name) != file.raw:
            raise NameTaken(file.name) from None
        return False
    finally:
        part.unlink(missing_ok=True)
    _make_durable(folder)
    return True


def _write(path: Path, raw: bytes, how: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | how, READABLE_BY_GROUP), "wb") as out:
        out.write(raw)
        out.flush()
        os.fsync(out.fileno())


def _make_durable(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path, name: str) -> bytes:
    """Return a file's bytes; links are not followed; KeyError if it is gone, FileRefused if it is too large."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as source:
            raw = source.read(BYTES_MAX + 1)
    except FileNotFoundError as error:
        raise KeyError(name) from error
    except OSError as error:
        raise Unreachable(str(error.strerror)) from error
    if len(raw) > BYTES_MAX:
        raise FileRefused(
            file=name, row=None, field="file", reason="too-large", detail=f"The most is {BYTES_MAX} bytes."
        )
    return raw
