"""Where an embedded server keeps its data, and the small files beside it."""

import hashlib
import logging
import socket
from pathlib import Path

from engine.runtime.postgres_binaries import Account, ServerError, shared_folder
from engine.runtime.private_files import write_private

_logger = logging.getLogger(__name__)


class Place:
    """The data folder that was asked for, its stand-in if there is one, and the files named after it."""

    def __init__(self, wanted_dir: Path) -> None:
        self.wanted_dir = wanted_dir.absolute()

    def beside(self, suffix: str) -> Path:
        """Return the file `NAME.suffix` beside the data folder `NAME` that was asked for."""
        return self.wanted_dir.with_name(f"{self.wanted_dir.name}.{suffix}")

    @property
    def data_dir(self) -> Path:
        """The data folder in use."""
        stand_in = self.beside("location")
        return Path(stand_in.read_text(encoding="utf-8")) if stand_in.exists() else self.wanted_dir

    def settle(self, account: Account) -> None:
        """Decide where the data lies, once: where asked, or below /var/tmp if the server's user cannot get there.

        Raises:
            ServerError: there is data already and the server's user cannot get to it any more.

        """
        if self.data_dir != self.wanted_dir or account.can_enter(self.wanted_dir.parent):
            return
        if self.wanted_dir.exists():
            raise ServerError(
                f"user {account.uid}, who runs PostgreSQL because root may not, can no longer enter "
                f"{self.wanted_dir.parent}; let others pass through it and its parents (chmod o+x)"
            )
        name = f"akiba-{hashlib.sha256(bytes(self.wanted_dir)).hexdigest()[:16]}"
        _logger.warning("embedded PostgreSQL keeps its data in a stand-in folder that its user can enter")
        write_private(self.beside("location"), bytes(shared_folder(name) / "data"))

    def choose_port(self, wanted: int, avoid: int = 0) -> int:
        """Return the port asked for; if that is 0, last time's if it is free and not to be avoided, or any free one.

        Raises:
            ServerError: no port is free at all.

        """
        if wanted:
            return wanted
        remembered = int(self.beside("port").read_text(encoding="ascii")) if self.beside("port").exists() else 0
        candidates = [remembered, 0] if remembered not in {0, avoid} else [0]
        for port in candidates:
            with socket.socket() as probe:
                # As PostgreSQL does, so that connections still closing from last time do not matter.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                return int(probe.getsockname()[1])
        raise ServerError("no TCP port is free on 127.0.0.1")

    def remember_port(self, port: int) -> None:
        """Keep the port for the next start."""
        write_private(self.beside("port"), str(port).encode())
