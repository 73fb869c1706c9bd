"""Places where files change hands: a folder, an SFTP server, an HTTP service. Files arrive and leave whole, each once."""

import re
from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from msgspec import Struct

from engine.kernel.files import FileRefused, NamedFile
from engine.kernel.transport import Unreachable

BYTES_MAX = 64_000_000
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._ ()+@=-]{0,199}")
UNFINISHED = (".part", ".tmp", ".temp", ".filepart", ".writing", ".swp", ".crdownload")
"""How names of files end that are still being written, in the customs of clients and servers."""


class Untrusted(Unreachable):
    """The other side is not the one it was agreed with: its key or certificate is another. Nothing was sent."""


class NameTaken(Exception):
    """A file of that name and with other bytes lies there already. Nothing was changed."""


class Conventions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the two sides know that a file is whole; data of a pack.

    "rename": a file gets its name when it is whole. "marker": an empty file beside it, whose name has `suffix` more, follows.
    "checksum": such a file holds the SHA-256 of its bytes, in hexadecimal.
    """

    whole_when: Literal["rename", "marker", "checksum"] = "rename"
    suffix: str = ""

    @property
    def companion(self) -> str:
        """Return the suffix of the file beside a file, "" where there is none."""
        if self.whole_when == "rename":
            return ""
        return self.suffix or {"marker": ".ok", "checksum": ".sha256"}[self.whole_when]

    def whole(self, names: Sequence[str]) -> list[str]:
        """Return the names, of those in a folder, of files that are whole and are no companions; sorted."""
        known = set(names)
        finished = [name for name in names if is_plain_name(name) and not name.casefold().endswith(UNFINISHED)]
        if not self.companion:
            return sorted(finished)
        return sorted(name for name in finished if not name.endswith(self.companion) and name + self.companion in known)

    def companion_of(self, file: NamedFile) -> NamedFile | None:
        """Return the file that follows `file` to say that it is whole, or None where none does."""
        if not self.companion:
            return None
        raw = f"{file.sha256}  {file.name}\n".encode() if self.whole_when == "checksum" else b""
        return NamedFile(file.name + self.companion, raw)

    def check(self, file: NamedFile, companion: bytes) -> None:
        """Refuse a file that is not the one its checksum was made of.

        Raises:
            FileRefused: the checksum beside it is another's, or none.

        """
        if self.whole_when != "checksum":
            return
        said = companion[:200].decode("ascii", "replace").split()
        if not said or said[0].casefold() != file.sha256:
            raise FileRefused(file=file.name, row=None, field="checksum", reason="checksum-differs")


def is_plain_name(name: str) -> bool:
    """Return whether `name` can be a file's in any of these places: no folder in it, not hidden, nothing strange."""
    return _NAME.fullmatch(name) is not None and not name.endswith((" ", "."))


class FileDrop(Protocol):
    """One place where files change hands with one counterparty.

    Implementations never retry. What is not whole is not seen; what is left is seen whole or not at all. A file that is gone
    from where it was left was taken: the caller keeps the hash of what it delivers, and does not deliver it again.
    """

    async def waiting(self) -> Sequence[str]:
        """Return the names of the files that are there for us and whole.

        Raises:
            Unreachable, Untrusted, Unanswered: it is not known what is there.

        """
        ...

    async def fetch(self, name: str) -> NamedFile:
        """Return a file; it stays where it is.

        Raises:
            FileRefused: it is larger than a file may be, or its checksum is another's.
            KeyError: it is not there any more.
            Unreachable, Untrusted, Unanswered: it could not be read whole.

        """
        ...

    async def put_away(self, file: NamedFile) -> bool:
        """Take a file off those that wait, once what it says is kept; return whether it was there.

        A file of that name with other bytes came since: it stays and waits.

        Raises:
            Unreachable, Untrusted, Unanswered: whether it is away is not known; it may be fetched again.

        """
        ...

    async def deliver(self, file: NamedFile) -> bool:
        """Leave a file for the counterparty; return False if the same bytes lie there under that name already.

        Raises:
            ValueError: the name is none that a file can have there.
            NameTaken: other bytes lie there under that name.
            Unreachable, Untrusted: the file is not there, and nothing of it will be read.
            Unanswered: whether it is there is not known; delivering it again is safe while it lies there.

        """
        ...


class StagedDrop(FileDrop, Protocol):
    """A place where it can be told for sure, after a crash, whether a file was handed over: each is staged first.

    A staged file is whole and durable there under a name that nobody takes. Handing over gives it its own name, in one stroke.
    """

    async def stage(self, file: NamedFile) -> None:
        """Lay a file ready; the same file again is the same.

        Raises:
            ValueError: the name is none that a file can have there.
            Unreachable, Untrusted: it could not be laid ready, or is not known to be.

        """
        ...

    async def hand_over(self, file: NamedFile) -> bool:
        """Hand a staged file over; return False if it is not staged any more, because it was handed over before.

        Raises:
            NameTaken: other bytes lie there under that name.
            Unreachable, Untrusted: it was not handed over.
            Unanswered: whether it was is not known; handing it over again tells.

        """
        ...


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What became of the files that waited: the names of those that were new, and the refusals of those that stay."""

    new: tuple[str, ...]
    refused: tuple[FileRefused, ...] = ()


async def take_in(
    drop: FileDrop,
    *,
    is_known: Callable[[str], Awaitable[bool]],
    keep: Callable[[NamedFile], Awaitable[None]],
    leave: Container[str] = frozenset(),
) -> TakenIn:
    """Take in every file that waits, each once by its bytes.

    A file is put away only after `keep` has come back, so that a crash between the two brings it again, and then it is known.
    A file that cannot be fetched as it should be stays where it is, and keeps none of the others waiting.

    Args:
        drop: where they wait.
        is_known: whether bytes with this SHA-256, in hexadecimal, were kept before.
        keep: keeps a file for good before it returns.
        leave: names of files that are not fetched.

    Raises:
        Unreachable, Untrusted, Unanswered: as of the drop; what was taken in until then is.

    """
    new = []
    refused = []
    for name in await drop.waiting():
        if name in leave:
            continue
        try:
            file = await drop.fetch(name)
        except KeyError:
            continue  # another took it
        except FileRefused as refusal:
            refused.append(refusal)
            continue
        if not await is_known(file.sha256):
            await keep(file)
            new.append(name)
        await drop.put_away(file)
    return TakenIn(tuple(new), tuple(refused))
