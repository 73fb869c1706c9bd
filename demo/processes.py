"""The processes of a deployment as an operator runs them: the command line, the server, the worker."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from demo.client import DemoFailed
from engine.runtime.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
_START_SECONDS = 60.0
_STOP_SECONDS = 25.0


def free_port() -> int:
    """Return a TCP port of the loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def is_free(host: str, port: int) -> bool:
    """Return whether nobody listens on a port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            return False
    return True


class Machine:
    """What is run, with which settings, and where its logs go."""

    def __init__(
        self,
        settings: Settings,
        *,
        port: int,
        app_url: str,
        owner_url: str | None,
        logs: Path,
        counterparties: Path | None = None,
    ) -> None:
        self.host, self.port = settings.host, port
        self._logs = logs
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        given = {
            "DATABASE_URL": app_url,
            "DATABASE_OWNER_URL": owner_url,
            "AKIBA_DATA_DIR": str(settings.data_dir),
            "AKIBA_KEYS_FILE": str(settings.keys_file),
            "AKIBA_COUNTERPARTIES_FILE": str(counterparties or settings.counterparties_file),
            "AKIBA_HOST": settings.host,
            "AKIBA_PORT": str(port),
            "AKIBA_PACKS": os.pathsep.join(str(folder) for folder in settings.packs),
            "AKIBA_PROFILE": settings.profile,
            "AKIBA_LOG_LEVEL": "warning",
            "AKIBA_POOL_SIZE": str(settings.pool_size),
        }
        kept = {name: value for name, value in os.environ.items() if name not in _REPLACED}
        # Where Python may not keep compiled modules beside their sources, each command would compile them all anew.
        if kept.pop("PYTHONDONTWRITEBYTECODE", ""):
            kept.setdefault("PYTHONPYCACHEPREFIX", str(logs.parent / "compiled"))
        path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH", "")) if part)
        self._environment = (
            kept | {name: value for name, value in given.items() if value is not None} | {"PYTHONPATH": path}
        )

    def akiba(self, *arguments: str, allow: frozenset[int] = frozenset({0})) -> Any:
        """Run one command and return its result.

        Raises:
            DemoFailed: it ended with an exit code that is not allowed.
        """
        done = subprocess.run(
            [*_AKIBA, "--json", *arguments], check=False, capture_output=True, env=self._environment, timeout=600
        )
        if done.returncode not in allow:
            said = (done.stderr or done.stdout).decode(errors="replace").strip()
            raise DemoFailed(f"akiba {' '.join(arguments[:6])} ended with {done.returncode}:\n{said[-2000:]}")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def python(self, *arguments: str, cwd: Path | None = None) -> str:
        """Run a stand-alone program and return what it printed.

        Raises:
            DemoFailed: it failed.
        """
        done = subprocess.run(
            [sys.executable, "-I", *arguments], check=False, capture_output=True, cwd=cwd, timeout=600
        )
        if done.returncode:
            said = (done.stdout + done.stderr).decode(errors="replace").strip()
            raise DemoFailed(f"{' '.join(arguments[:4])} ended with {done.returncode}:\n{said[-2000:]}")
        return done.stdout.decode()

    def start(self, name: str, *arguments: str) -> None:
        """Start a command that stays; its log goes to `name`.log."""
        self._logs.mkdir(parents=True, exist_ok=True)
        with (self._logs / f"{name}.log").open("ab") as log:
            self._children[name] = subprocess.Popen(
                [*_AKIBA, *arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo, which then stops them in order
            )

    def await_ready(self) -> None:
        """Wait until the server says it is ready.

        Raises:
            DemoFailed: it does not in time, or it ended.
        """
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            self.check()
            connection = HTTPConnection(self.host, self.port, timeout=5)
            with contextlib.suppress(OSError, HTTPException):
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    return
            connection.close()
            time.sleep(0.1)
        raise DemoFailed(f"the server is not ready after {_START_SECONDS:g} s{self._tail('server')}")

    def await_file(self, name: str, path: Path) -> None:
        """Wait until the command `name` has written a file.

        Raises:
            DemoFailed: it does not in time, or it ended.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not path.exists():
            self.check()
            if time.monotonic() > deadline:
                raise DemoFailed(f"the {name} is not ready after {_START_SECONDS:g} s{self._tail(name)}")
            time.sleep(0.1)

    def check(self) -> None:
        """Say if a process that should stay has ended.

        Raises:
            DemoFailed: one has.
        """
        for name, child in self._children.items():
            if child.poll() is not None:
                raise DemoFailed(f"the {name} ended with {child.returncode}{self._tail(name)}")

    def stop(self, *names: str) -> None:
        """Stop what was started, all if none is named, the last first: ask, wait, insist."""
        for name in [one for one in reversed(self._children) if not names or one in names]:
            child = self._children.pop(name)
            for way, patience in ((signal.SIGINT, _STOP_SECONDS), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
                if child.poll() is None:
                    child.send_signal(way)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        child.wait(patience)

    def _tail(self, name: str) -> str:
        try:
            lines = (self._logs / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()[-12:]
        except OSError:
            return ""
        return f"; the end of {self._logs / name}.log:\n" + "\n".join(lines)


# A shell that runs us in the background makes its children deaf to SIGINT, by which they stop in order.
_MAIN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from engine.cli import main; main()"
_AKIBA = [sys.executable, "-c", _MAIN]
_REPLACED: Mapping[str, None] = dict.fromkeys(
    (
        "DATABASE_URL",
        "DATABASE_URL_FILE",
        "DATABASE_OWNER_URL",
        "DATABASE_OWNER_URL_FILE",
        "AKIBA_BASE_URL",
        "AKIBA_POSTGRES_PORT",
    )
)
