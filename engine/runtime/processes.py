"""What other processes on this machine are, read from /proc on Linux and from `ps` elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

_adopted: set[int] = set()


def is_alive(pid: int) -> bool:
    """Tell whether `pid` is a process that still runs. A zombie has ended: it only waits to be buried."""
    if pid <= 0:
        return False
    _bury(pid)
    return _state(pid) not in {"", "Z", "X", "x"}


def command_line(pid: int) -> list[str]:
    """Return the program and arguments of a live process, or an empty list when they cannot be read.

    Outside Linux the arguments come split at spaces, as `ps` prints them.
    """
    if sys.platform == "linux":
        try:
            raw = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return []
        return [os.fsdecode(part) for part in raw.split(b"\0") if part]
    return _ps(pid, "command=").split()


def adopt(child: "subprocess.Popen[bytes]") -> None:
    """Take over the burial of a child that is meant to outlive its `Popen` object, perhaps this process."""
    # Without a return code the object would warn, when forgotten, that its process still runs.
    child.returncode = 0
    _adopted.add(child.pid)


def _bury(pid: int) -> None:
    """Collect the exit status of an adopted child that has ended; leave other code's children to it."""
    if pid in _adopted:
        try:
            is_ended = os.waitpid(pid, os.WNOHANG)[0] == pid
        except ChildProcessError:
            is_ended = True
        if is_ended:
            _adopted.discard(pid)


def _state(pid: int) -> str:
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        # The command name comes before the state, in brackets, and may itself hold brackets and spaces.
        return stat.rpartition(")")[2].split()[0]
    return _ps(pid, "state=")[:1]


def _ps(pid: int, column: str) -> str:
    result = subprocess.run(["ps", "-o", column, "-p", str(pid)], check=False, capture_output=True, text=True)
    return result.stdout.strip()
