"""The log of an embedded server: kept short, read back when a start fails."""

from pathlib import Path

from engine.runtime.private_files import write_private

_KEPT_BYTES = 16 * 2**20
_TAIL_BYTES = 4_000


class ServerLog:
    """One file of mode 0600, and the one before it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def end(self) -> int:
        """Return where the next start's part of the log begins, in bytes; a long log is set aside first."""
        if not self.path.exists():
            write_private(self.path, b"")
        if self.path.stat().st_size > _KEPT_BYTES:
            self.path.rename(self.path.with_name(f"{self.path.name}.1"))
            write_private(self.path, b"")
        return self.path.stat().st_size

    def tail(self, start: int = 0) -> str:
        """Return the last lines written since byte `start`, some 4 kB at most."""
        said = self.path.read_bytes()[start:] if self.path.exists() else b""
        return said[-_TAIL_BYTES:].decode(errors="replace").strip()
