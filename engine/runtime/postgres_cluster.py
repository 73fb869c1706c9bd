"""A data folder of PostgreSQL: how it is made, the server's settings and passwords, and whose process its lock file names."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path

from engine.runtime import processes
from engine.runtime.postgres_binaries import Account, Binaries, ServerError
from engine.runtime.private_files import flush_folder, is_private, write_private

# Durable by default: what is committed survives a power cut.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "off",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_line_prefix": "%m [%p] ",
    "lc_messages": "C",
    # Statements and error details can carry a person's data; the log must not.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
# No process can have this id, so PostgreSQL takes its own lock file for a leftover.
_NOBODYS_PID = 2**31 - 1
_BUILTIN_LOCALES_SINCE = 17


class Credentials:
    """The passwords of a server's roles, random, in one file of mode 0600."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def password(self, role: str) -> str:
        """Return the password of a role, made at random and kept when it has none yet.

        Raises:
            ServerError: others than the owner may read the file, or it is not valid TOML.

        """
        known: dict[str, str] = {}
        if self.path.exists():
            if not is_private(self.path):
                raise ServerError(f"{self.path} holds passwords and others may read it; run chmod 600 on it")
            try:
                known = tomllib.loads(self.path.read_text(encoding="utf-8"))
            except tomllib.TOMLDecodeError as error:
                raise ServerError(f"{self.path} is not valid TOML: {error}") from None
        if role not in known:
            known[role] = secrets.token_urlsafe(32)
            lines = ("# Passwords of the embedded PostgreSQL server.", *(f'{k} = "{v}"' for k, v in known.items()))
            write_private(self.path, ("\n".join(lines) + "\n").encode())
        return known[role]


class LockFile:
    """`postmaster.pid`, in which a running server names its process and its port."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._path = data_dir / "postmaster.pid"

    def owner(self) -> int | None:
        """Return the process id of the live server of this data folder, or None.

        A file left by a crash may name a process that has ended, a zombie nobody has buried yet, or another
        program that was given the number since: none of them is the server.
        """
        pid = self._pid()
        if pid is None or not processes.is_alive(pid):
            return None
        words = processes.command_line(pid)
        is_ours = (
            bool(words) and Path(words[0]).name == "postgres" and f"-D {self._data_dir} " in " ".join([*words, ""])
        )
        return pid if is_ours else None

    def port(self) -> int | None:
        """Return the port that the running server listens on, or None while it has not said."""
        lines = self._lines()
        return int(lines[3]) if len(lines) > 3 and lines[3].isdigit() else None

    def is_ready(self) -> bool:
        """Tell whether the live server says that it answers queries."""
        lines = self._lines()
        return self.owner() is not None and len(lines) > 7 and lines[7].strip() == "ready"

    def signal(self, number: signal.Signals, seconds: float) -> bool:
        """Send the live server a signal; return whether it has ended within `seconds`, or there was none."""
        pid = self.owner()
        if pid is None:
            return True
        os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while processes.is_alive(pid):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def disown_if_stale(self) -> None:
        """Let the next start replace a lock file that names a zombie or another program.

        PostgreSQL refuses to start while any process has the number in the file. The file is kept but for that
        number: its other lines let PostgreSQL check that no orphan of the old server still writes to the data.
        """
        pid = self._pid()
        if pid is None or self.owner() is not None:
            return
        owner = self._path.stat()
        write_private(self._path, "\n".join([str(_NOBODYS_PID), *self._lines()[1:], ""]).encode())
        os.chown(self._path, owner.st_uid, owner.st_gid)

    def _pid(self) -> int | None:
        lines = self._lines()
        return int(lines[0]) if lines and lines[0].isdigit() else None

    def _lines(self) -> list[str]:
        try:
            return self._path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []


def create_cluster(
    binaries: Binaries, data_dir: Path, account: Account, credentials: Credentials, *, flush: bool = True
) -> None:
    """Fill a new data folder: UTF-8, byte-order collation, page checksums, passwords for everybody.

    The folder appears whole or not at all; without `flush` a power cut may still undo that.

    Raises:
        ServerError: something else lies there, or initdb fails.

    """
    if data_dir.exists():
        if any(data_dir.iterdir()):
            raise ServerError(f"{data_dir} is not empty and is not a PostgreSQL data folder; nothing was changed")
        data_dir.rmdir()
    unfinished = data_dir.with_name(f".{data_dir.name}.unfinished")
    descriptor, password_file = tempfile.mkstemp(dir=data_dir.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(credentials.password("postgres"))
        if account.uid is not None and account.gid is not None:
            os.chown(password_file, account.uid, account.gid)
        failure = ""
        for locale in _locales(binaries):
            failure = _initdb(
                binaries, unfinished, account, [f"--pwfile={password_file}", *locale, *([] if flush else ["--no-sync"])]
            )
            if not failure:
                break
        else:
            raise ServerError(f"initdb of PostgreSQL {binaries.version} failed: {failure}")
        unfinished.rename(data_dir)
        flush_folder(data_dir.parent)
    finally:
        Path(password_file).unlink()
        shutil.rmtree(unfinished, ignore_errors=True)


def spawn_server(
    binaries: Binaries, account: Account, data_dir: Path, settings: Mapping[str, str], log_file: Path
) -> int:
    """Start the server's process, in a session of its own so that Ctrl-C does not reach it; return its id."""
    command = [binaries.program("postgres"), "-D", str(data_dir)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    with log_file.open("ab") as log:
        child = subprocess.Popen(
            command, cwd="/", env=binaries.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            user=account.uid, group=account.gid, extra_groups=account.groups, umask=0o077, start_new_session=True,
        )  # fmt: skip
    # The server outlives its starter; `processes` buries it if it ends first.
    processes.adopt(child)
    return child.pid


def _initdb(binaries: Binaries, folder: Path, account: Account, options: list[str]) -> str:
    """Fill `folder` afresh; return what went wrong, or nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    if account.uid is not None and account.gid is not None:
        os.chown(folder, account.uid, account.gid)
    fixed = ["--username=postgres", "--encoding=UTF8", "--auth=scram-sha-256", "--data-checksums"]
    command = [binaries.program("initdb"), "-D", str(folder), *fixed, *options]
    outcome = account.run(command, environment=binaries.environment)
    return "" if outcome.returncode == 0 else outcome.stderr.strip() or f"exit {outcome.returncode}"


def _locales(binaries: Binaries) -> list[list[str]]:
    """Return the locale options to try in turn; before 17 the locale is the operating system's."""
    if binaries.major >= _BUILTIN_LOCALES_SINCE:
        return [["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]]
    return [["--locale=C.UTF-8"], ["--locale=C"]]
