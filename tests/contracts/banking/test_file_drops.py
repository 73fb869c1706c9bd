"""What every place where files change hands keeps: one suite over a folder, a real SFTP server and a real HTTP server."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import asyncssh
import httpx
import msgspec
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from engine.kernel.file_drops import Conventions, NameTaken, StagedDrop, TakenIn, Untrusted, is_plain_name, take_in
from engine.kernel.files import FileRefused, NamedFile
from engine.kernel.transport import TooLong, Unanswered, Unreachable, WireRequest, WireResponse
from engine.runtime.exchanges.transport import open_transport
from integrations.banking.file_drops.folder import FolderDrop, leave
from integrations.banking.file_drops.http import HttpDrop
from integrations.banking.file_drops.joining import JoinsHttp, JoinsSftp
from integrations.banking.file_drops.sftp import SftpDrop, SftpPlace
from integrations.banking.file_drops.simulator import DropSite, Mischief, http_app, serving_http, serving_sftp

STATEMENT = NamedFile("statement-2026-03-27.xml", b"<Document/>" * 2000)
TOKEN = "a-token-of-this-test"


class HttpxTransport:
    """Sends by httpx, as the engine's own transport does."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def send(self, request: WireRequest) -> WireResponse:
        try:
            answer = await self._client.request(
                request.method, request.url, headers=dict(request.headers), content=request.body
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unreachable from error
        except httpx.TransportError as error:
            raise Unanswered from error
        if len(answer.content) > request.answer_bytes_max:
            raise TooLong
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return WireResponse(status=answer.status_code, headers=headers, body=answer.content)


@dataclass(frozen=True)
class Keys:
    """Keys of the server, of ours, and of somebody else."""

    server: asyncssh.SSHKey
    ours: asyncssh.SSHKey
    other: asyncssh.SSHKey


@pytest.fixture(scope="session")
def ssh_keys() -> Keys:
    return Keys(*(asyncssh.generate_private_key("ssh-ed25519") for _ in range(3)))


def text_of(key: asyncssh.SSHKey, *, private: bool = False) -> str:
    return (key.export_private_key() if private else key.export_public_key()).decode()


def place(port: int, keys: Keys) -> SftpPlace:
    return SftpPlace(
        host="127.0.0.1",
        port=port,
        user="akiba",
        host_key=text_of(keys.server),
        private_key=text_of(keys.ours, private=True),
        inbox="for-us",
        outbox="from-us",
        archive="taken",
    )


@asynccontextmanager
async def by_folder(site: DropSite, keys: Keys, conventions: Conventions) -> AsyncIterator[StagedDrop]:
    del keys
    yield FolderDrop(site.for_us, site.from_us, site.taken, conventions)


@asynccontextmanager
async def by_sftp(site: DropSite, keys: Keys, conventions: Conventions) -> AsyncIterator[StagedDrop]:
    async with serving_sftp(site, keys.server, text_of(keys.ours)) as port:
        yield SftpDrop(place(port, keys), conventions)


@asynccontextmanager
async def by_http(site: DropSite, keys: Keys, conventions: Conventions) -> AsyncIterator[StagedDrop]:
    del keys, conventions
    async with serving_http(http_app(site, TOKEN)) as url, httpx.AsyncClient(timeout=5) as client:
        yield HttpDrop(HttpxTransport(client), url, {"Authorization": f"Bearer {TOKEN}"})


Way = Callable[[DropSite, Keys, Conventions], object]
WAYS = {"folder": by_folder, "SFTP": by_sftp, "HTTP": by_http}
WITH_COMPANIONS = [by_folder, by_sftp]


@pytest.fixture
def site(tmp_path: Path) -> DropSite:
    return DropSite(tmp_path / "site")


@pytest_asyncio.fixture(params=WAYS.values(), ids=WAYS)
async def drop(request: pytest.FixtureRequest, site: DropSite, ssh_keys: Keys) -> AsyncIterator[StagedDrop]:
    async with request.param(site, ssh_keys, Conventions()) as made:
        yield made


async def test_a_file_that_waits_is_fetched_whole_and_put_away(drop: StagedDrop, site: DropSite) -> None:
    site.put(STATEMENT.name, STATEMENT.raw)

    assert await drop.waiting() == [STATEMENT.name]
    assert await drop.fetch(STATEMENT.name) == STATEMENT
    assert await drop.waiting() == [STATEMENT.name], "fetching leaves it"
    assert await drop.put_away(STATEMENT)
    assert await drop.waiting() == []
    assert [path.read_bytes() for path in site.taken.iterdir()] == [STATEMENT.raw]
    assert not await drop.put_away(STATEMENT)


async def test_what_is_gone_is_said_to_be_gone(drop: StagedDrop) -> None:
    with pytest.raises(KeyError):
        await drop.fetch(STATEMENT.name)


@pytest.mark.parametrize(
    "name", ["../site/secret", "/etc/passwd", ".hidden", "a/b", "a\\b", "a\nb", "", "x" * 300, ".."]
)
async def test_no_name_leads_elsewhere(drop: StagedDrop, name: str) -> None:
    assert not is_plain_name(name)
    with pytest.raises(KeyError):
        await drop.fetch(name)
    with pytest.raises(ValueError, match="no name for a file"):
        await drop.deliver(NamedFile(name, b"x"))


async def test_what_is_still_being_written_is_not_seen(drop: StagedDrop, site: DropSite) -> None:
    for name in (".a.xml.1234.part", "b.xml.part", "c.tmp", "d.filepart"):
        (site.for_us / name).write_bytes(b"half")
    (site.for_us / "folder").mkdir()
    if isinstance(drop, HttpDrop):  # a service lists what is whole; the names are its own to keep
        return
    assert await drop.waiting() == []


async def test_links_are_not_followed(drop: StagedDrop, site: DropSite, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (site.for_us / "link.xml").symlink_to(tmp_path / "secret")
    if isinstance(drop, FolderDrop):
        assert await drop.waiting() == []
        with pytest.raises(Unreachable):
            await drop.fetch("link.xml")


async def test_a_corrected_file_that_came_since_stays(drop: StagedDrop, site: DropSite) -> None:
    site.put(STATEMENT.name, STATEMENT.raw)
    first = await drop.fetch(STATEMENT.name)
    (site.for_us / STATEMENT.name).write_bytes(b"corrected")

    assert not await drop.put_away(first)
    assert await drop.waiting() == [STATEMENT.name]
    assert (await drop.fetch(STATEMENT.name)).raw == b"corrected"


async def test_a_file_is_left_whole_and_once(drop: StagedDrop, site: DropSite) -> None:
    file = NamedFile("payouts-1.xml", b"x" * 300_000)

    assert await drop.deliver(file)
    assert not await drop.deliver(file), "the same bytes are there"
    assert site.got() == [file]
    assert [path.name for path in site.from_us.iterdir()] == [file.name], "nothing else is left behind"


async def test_nothing_is_ever_written_over(drop: StagedDrop, site: DropSite) -> None:
    await drop.deliver(NamedFile("a.xml", b"first"))
    with pytest.raises(NameTaken):
        await drop.deliver(NamedFile("a.xml", b"second"))

    assert site.got() == [NamedFile("a.xml", b"first")]


async def test_of_many_who_deliver_one_file_one_leaves_it(drop: StagedDrop, site: DropSite) -> None:
    file = NamedFile("a.xml", b"y" * 50_000)
    left = await asyncio.gather(*(drop.deliver(file) for _ in range(6)))

    assert sorted(left) == [False] * 5 + [True]
    assert site.got() == [file]
    assert [path.name for path in site.from_us.iterdir()] == [file.name]


async def test_a_staged_file_is_not_seen_and_is_handed_over_once(drop: StagedDrop, site: DropSite) -> None:
    """Also where the other side takes it at once: what is not staged any more was handed over."""
    file = NamedFile("orders 1.xml", b"z" * 200_000)
    await drop.stage(file)
    await drop.stage(file)
    assert site.got() == []
    assert Conventions().whole([path.name for path in site.from_us.iterdir()]) == []

    assert await drop.hand_over(file)
    assert site.got() == [file]
    (site.from_us / file.name).unlink()
    assert not await drop.hand_over(file)
    assert list(site.from_us.iterdir()) == []
    assert list(site.staged.iterdir()) == []


async def test_a_staged_file_is_written_over_no_other(drop: StagedDrop, site: DropSite) -> None:
    leave(site.from_us, NamedFile("a.xml", b"first"))
    await drop.stage(NamedFile("a.xml", b"second"))
    with pytest.raises(NameTaken):
        await drop.hand_over(NamedFile("a.xml", b"second"))
    assert site.got() == [NamedFile("a.xml", b"first")]

    await drop.stage(NamedFile("a.xml", b"first"))
    assert not await drop.hand_over(NamedFile("a.xml", b"first")), "the same bytes are there"
    with pytest.raises(ValueError, match="no name for a file"):
        await drop.stage(NamedFile("../a.xml", b"x"))


async def test_of_many_who_hand_one_file_over_one_does(drop: StagedDrop, site: DropSite) -> None:
    file = NamedFile("a.xml", b"y" * 50_000)
    await drop.stage(file)
    handed = await asyncio.gather(*(drop.hand_over(file) for _ in range(6)))

    assert sorted(handed) == [False] * 5 + [True]
    assert site.got() == [file]


async def test_files_are_taken_in_once_by_their_bytes_also_after_a_crash(drop: StagedDrop, site: DropSite) -> None:
    kept: dict[str, str] = {}

    async def is_known(sha256: str) -> bool:
        return sha256 in kept

    async def keep(file: NamedFile) -> None:
        kept[file.sha256] = file.name

    async def keep_and_die(file: NamedFile) -> None:
        await keep(file)
        raise InterruptedError

    site.put("a.xml", b"one")
    site.put("b.xml", b"two")
    with pytest.raises(InterruptedError):
        await take_in(drop, is_known=is_known, keep=keep_and_die)
    assert await drop.waiting() == ["a.xml", "b.xml"], "the crash came before the file was put away"
    assert await take_in(drop, is_known=is_known, keep=keep) == TakenIn(("b.xml",))
    site.put("again.xml", b"one")
    assert await take_in(drop, is_known=is_known, keep=keep) == TakenIn(()), "the same bytes under another name"
    assert (await drop.waiting(), len(kept)) == ([], 2)


async def nothing_is_known(_sha256: str) -> bool:
    return False


def into(kept: list[NamedFile]) -> Callable[[NamedFile], Awaitable[None]]:
    async def keep(file: NamedFile) -> None:
        kept.append(file)

    return keep


@pytest.mark.parametrize("way", WITH_COMPANIONS)
async def test_a_file_waits_for_its_marker(way: Callable[..., object], site: DropSite, ssh_keys: Keys) -> None:
    async with way(site, ssh_keys, Conventions(whole_when="marker", suffix=".done")) as drop:  # type: ignore[attr-defined]
        site.put("a.csv", b"1")
        assert await drop.waiting() == []
        site.put("a.csv.done", b"")
        assert await drop.waiting() == ["a.csv"]
        assert await drop.put_away(await drop.fetch("a.csv"))
        assert list(site.for_us.iterdir()) == []
        await drop.deliver(NamedFile("b.csv", b"2"))
        assert [file.name for file in site.got()] == ["b.csv", "b.csv.done"]


@pytest.mark.parametrize("way", WITH_COMPANIONS)
async def test_a_file_that_is_not_its_checksums_is_refused(
    way: Callable[..., object], site: DropSite, ssh_keys: Keys
) -> None:
    async with way(site, ssh_keys, Conventions(whole_when="checksum")) as drop:  # type: ignore[attr-defined]
        file = NamedFile("a.csv", b"whole")
        site.put(file.name, file.raw[:3])
        site.put("a.csv.sha256", f"{file.sha256}  a.csv\n".encode())
        with pytest.raises(FileRefused) as raised:
            await drop.fetch("a.csv")
        assert raised.value.reason == "checksum-differs"
        kept: list[NamedFile] = []
        site.put("b.csv", b"b")
        site.put("b.csv.sha256", NamedFile("b.csv", b"b").sha256.encode())
        taken = await take_in(drop, is_known=nothing_is_known, keep=into(kept))
        assert (taken.new, [one.file for one in taken.refused], len(kept)) == (("b.csv",), ["a.csv"], 1)
        (site.for_us / "a.csv").write_bytes(file.raw)
        assert await drop.fetch("a.csv") == file
        await drop.deliver(file)
        assert {one.name: one.raw for one in site.got()}["a.csv.sha256"].split()[0].decode() == file.sha256


async def test_a_file_too_large_is_refused(drop: StagedDrop, site: DropSite, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("folder", "sftp", "http"):
        monkeypatch.setattr(f"integrations.banking.file_drops.{module}.BYTES_MAX", 1000)
    site.put(STATEMENT.name, STATEMENT.raw)
    with pytest.raises(FileRefused) as raised:
        await drop.fetch(STATEMENT.name)
    assert raised.value.reason == "too-large"


# SFTP


async def test_a_server_with_another_key_is_sent_nothing(site: DropSite, ssh_keys: Keys) -> None:
    async with serving_sftp(site, ssh_keys.server, text_of(ssh_keys.ours)) as port:
        pinned = msgspec.structs.replace(place(port, ssh_keys), host_key=text_of(ssh_keys.other))
        with pytest.raises(Untrusted, match="another key"):
            await SftpDrop(pinned).deliver(STATEMENT)
    assert site.got() == []


async def test_a_server_that_does_not_know_our_key_is_not_spoken_to(site: DropSite, ssh_keys: Keys) -> None:
    async with serving_sftp(site, ssh_keys.server, text_of(ssh_keys.other)) as port:
        with pytest.raises(Untrusted, match="our key"):
            await SftpDrop(place(port, ssh_keys)).waiting()


async def test_a_server_that_is_not_there_is_unreachable(site: DropSite, ssh_keys: Keys) -> None:
    async with serving_sftp(site, ssh_keys.server, text_of(ssh_keys.ours)) as port:
        gone = SftpDrop(place(port, ssh_keys))
    with pytest.raises(Unreachable):
        await gone.deliver(STATEMENT)


async def test_a_connection_that_breaks_at_the_rename_leaves_it_open(site: DropSite, ssh_keys: Keys) -> None:
    async with by_sftp(site, ssh_keys, Conventions()) as drop:
        site.will(Mischief.TIMEOUT_AFTER_SUCCESS)
        with pytest.raises(Unanswered):
            await drop.deliver(STATEMENT)
        assert not await drop.deliver(STATEMENT), "it is there: delivering it again does nothing"
    assert site.got() == [STATEMENT]


async def test_a_server_that_does_not_rename_has_nothing(site: DropSite, ssh_keys: Keys) -> None:
    async with by_sftp(site, ssh_keys, Conventions()) as drop:
        site.will(Mischief.UNAVAILABLE)
        with pytest.raises(Unreachable):
            await drop.deliver(STATEMENT)
        assert list(site.from_us.iterdir()) == []
        assert await drop.deliver(STATEMENT)


async def test_a_connection_that_breaks_as_a_file_is_handed_over_leaves_it_open(site: DropSite, ssh_keys: Keys) -> None:
    async with by_sftp(site, ssh_keys, Conventions()) as drop:
        await drop.stage(STATEMENT)
        site.will(Mischief.UNAVAILABLE, Mischief.TIMEOUT_AFTER_SUCCESS)
        with pytest.raises(Unreachable):
            await drop.hand_over(STATEMENT)
        assert site.got() == []
        with pytest.raises(Unanswered):
            await drop.hand_over(STATEMENT)
        assert not await drop.hand_over(STATEMENT)
    assert site.got() == [STATEMENT]


@pytest.mark.parametrize("way", WITH_COMPANIONS)
async def test_the_companion_follows_what_is_handed_over(
    way: Callable[..., object], site: DropSite, ssh_keys: Keys
) -> None:
    async with way(site, ssh_keys, Conventions(whole_when="checksum")) as drop:  # type: ignore[attr-defined]
        file = NamedFile("a.csv", b"whole")
        await drop.stage(file)
        await drop.hand_over(file)
        (site.from_us / "a.csv.sha256").unlink()  # the process ended between the two
        assert not await drop.hand_over(file)
        assert {one.name: one.raw for one in site.got()}["a.csv.sha256"].split()[0].decode() == file.sha256


@pytest.mark.parametrize("joins", [JoinsSftp, JoinsHttp])
def test_a_table_of_the_secrets_file_does_not_show_its_secrets(joins: Any, ssh_keys: Keys) -> None:
    place_table = msgspec.to_builtins(place(22, ssh_keys))
    table = place_table if joins is JoinsSftp else {"base_url": "https://files.example", "token": "PRIVATE word"}
    credentials = msgspec.convert(table, joins.credentials)
    assert "PRIVATE" not in repr(credentials)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(table | {"passwd": "x"}, joins.credentials)


def test_a_place_does_not_show_its_key(ssh_keys: Keys) -> None:
    assert "PRIVATE" not in repr(place(22, ssh_keys))


# HTTP


@pytest.mark.parametrize("mischief", [Mischief.UNAVAILABLE, Mischief.HTML_ERROR, Mischief.HALF_A_BODY])
async def test_an_answer_that_is_none_leaves_it_open(site: DropSite, ssh_keys: Keys, mischief: Mischief) -> None:
    site.put(STATEMENT.name, STATEMENT.raw)
    async with by_http(site, ssh_keys, Conventions()) as drop:
        site.will(mischief)
        with pytest.raises(Unanswered):
            await drop.waiting()
        assert await drop.waiting() == [STATEMENT.name]
    assert site.counts == {mischief: 1}


async def test_a_time_out_after_success_is_mended_by_asking_again(site: DropSite, ssh_keys: Keys) -> None:
    async with by_http(site, ssh_keys, Conventions()) as drop:
        site.will(Mischief.TIMEOUT_AFTER_SUCCESS)
        with pytest.raises(Unanswered):
            await drop.deliver(STATEMENT)
        assert not await drop.deliver(STATEMENT)
    assert site.got() == [STATEMENT]


@pytest.mark.parametrize("mischief", [Mischief.UNAVAILABLE, Mischief.HALF_A_BODY])
async def test_a_staging_that_is_not_answered_is_done_again(site: DropSite, ssh_keys: Keys, mischief: Mischief) -> None:
    async with by_http(site, ssh_keys, Conventions()) as drop:
        site.will(mischief)
        with pytest.raises(Unreachable):
            await drop.stage(STATEMENT)
        assert site.got() == []
        await drop.stage(STATEMENT)
        site.will(Mischief.TIMEOUT_AFTER_SUCCESS)
        with pytest.raises(Unanswered):
            await drop.hand_over(STATEMENT)
        assert not await drop.hand_over(STATEMENT)
    assert site.got() == [STATEMENT]


async def test_a_service_with_a_certificate_that_nobody_vouches_for_is_sent_nothing(
    site: DropSite, tmp_path: Path
) -> None:
    async with (
        serving_http(http_app(site, TOKEN), certificate=self_signed(tmp_path)) as url,
        open_transport() as opened,
    ):
        assert url.startswith("https://")
        drop = HttpDrop(opened, url, {"Authorization": f"Bearer {TOKEN}"})
        with pytest.raises(Unreachable):
            await drop.stage(STATEMENT)
        with pytest.raises(Unreachable):
            await drop.waiting()
    assert list(site.staged.iterdir()) == []


async def test_bytes_that_changed_on_the_way_are_refused(site: DropSite, ssh_keys: Keys) -> None:
    site.put("a.csv", b"12")
    async with by_http(site, ssh_keys, Conventions()) as drop:
        site.will(Mischief.OTHER_BYTES)
        with pytest.raises(FileRefused) as raised:
            await drop.fetch("a.csv")
    assert raised.value.reason == "checksum-differs"


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that no authority signed, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "certificate.pem", folder / "key.pem"


async def test_a_service_that_does_not_know_us_is_told_apart(site: DropSite) -> None:
    async with serving_http(http_app(site, "another")) as url, httpx.AsyncClient() as client:
        with pytest.raises(Untrusted):
            await HttpDrop(HttpxTransport(client), url, {"Authorization": f"Bearer {TOKEN}"}).waiting()


# Folder


async def test_a_file_that_is_not_the_one_to_put_away_waits_again(
    site: DropSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop = FolderDrop(site.for_us, site.from_us, site.taken)
    site.put("a.xml", b"second")
    link = os.link

    def third_comes(source: Path, target: Path) -> None:
        if not target.exists():
            monkeypatch.setattr("os.link", link)
            target.write_bytes(b"third")
        link(source, target)

    monkeypatch.setattr("os.link", third_comes)
    assert not await drop.put_away(NamedFile("a.xml", b"first"))
    waiting = [await drop.fetch(name) for name in await drop.waiting()]
    assert sorted(file.raw for file in waiting) == [b"second", b"third"]
    assert list(site.taken.iterdir()) == []


async def test_a_disk_that_is_full_leaves_no_half_file(site: DropSite, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    drop = FolderDrop(site.for_us, site.from_us, site.taken)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(Unreachable):
        await drop.deliver(STATEMENT)
    assert list(site.from_us.iterdir()) == []


async def test_a_folder_that_is_gone_is_unreachable(tmp_path: Path) -> None:
    drop = FolderDrop(tmp_path / "none", tmp_path / "none", tmp_path / "taken")
    for ask in (drop.waiting, partial(drop.deliver, STATEMENT)):
        with pytest.raises(Unreachable):
            await ask()
