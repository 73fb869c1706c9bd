"""A file is staged, then handed over in one stroke: whoever looks, whenever, sees it whole, and we can tell whether it went."""

from pathlib import Path

import msgspec
import pytest

from engine.kernel.file_drops import Conventions, NameTaken
from engine.kernel.files import NamedFile
from engine.kernel.transport import Unreachable
from integrations.banking.file_drops.folder import FolderDrop
from integrations.banking.file_drops.joining import Folders, JoinsFolder
from integrations.banking.file_drops.simulator import DropSite

FILE = NamedFile("orders-1.csv", b"H,ORDERS\nT,0,0\n")


@pytest.fixture
def site(tmp_path: Path) -> DropSite:
    return DropSite(tmp_path)


def drop_of(site: DropSite, conventions: Conventions = Conventions()) -> FolderDrop:  # noqa: B008 - a frozen value
    return FolderDrop(site.for_us, site.from_us, site.taken, conventions)


def names(site: DropSite) -> list[str]:
    """The names of all that lies in the outbox."""
    return sorted(path.name for path in site.from_us.iterdir())


async def test_nobody_sees_a_staged_file_and_everybody_a_handed_over_one(site: DropSite) -> None:
    drop = drop_of(site)
    await drop.stage(FILE)
    await drop.stage(FILE)
    assert site.got() == []
    assert Conventions().whole(names(site)) == []

    assert await drop.hand_over(FILE) is True
    assert site.got() == [FILE]
    assert len(names(site)) == 1


async def test_what_was_handed_over_and_taken_is_not_handed_over_again(site: DropSite) -> None:
    drop = drop_of(site)
    await drop.stage(FILE)
    await drop.hand_over(FILE)
    (site.from_us / FILE.name).unlink()

    assert await drop.hand_over(FILE) is False
    assert names(site) == []


async def test_half_a_staged_file_is_written_anew(site: DropSite) -> None:
    drop = drop_of(site)
    await drop.stage(FILE)
    (staged,) = site.from_us.iterdir()
    staged.write_bytes(FILE.raw[:3])
    await drop.stage(FILE)
    await drop.hand_over(FILE)
    assert site.got() == [FILE]


async def test_a_taken_name_is_never_written_over(site: DropSite) -> None:
    drop = drop_of(site)
    (site.from_us / FILE.name).write_bytes(b"another's")
    await drop.stage(FILE)
    with pytest.raises(NameTaken):
        await drop.hand_over(FILE)
    assert [one.raw for one in site.got()] == [b"another's"]
    assert len(names(site)) == 1

    (site.from_us / FILE.name).write_bytes(FILE.raw)
    await drop.stage(FILE)
    assert await drop.hand_over(FILE) is False


async def test_the_companion_follows_the_file(site: DropSite) -> None:
    drop = drop_of(site, Conventions(whole_when="checksum"))
    await drop.stage(FILE)
    assert names(site) == [f".{FILE.name}.{FILE.sha256[:16]}.part"]
    await drop.hand_over(FILE)
    companion = site.from_us / f"{FILE.name}.sha256"
    assert companion.read_text().startswith(FILE.sha256)

    companion.unlink()  # the process ended between the two
    assert await drop.hand_over(FILE) is False
    assert companion.exists()


async def test_names_and_folders_that_cannot_be(site: DropSite) -> None:
    with pytest.raises(ValueError, match="no name"):
        await drop_of(site).stage(NamedFile("../orders.csv", b""))
    site.from_us.rmdir()
    with pytest.raises(Unreachable):
        await drop_of(site).stage(FILE)
    assert await drop_of(site).hand_over(FILE) is False


async def test_a_table_joins_a_folder(site: DropSite) -> None:
    table = {"inbox": str(site.for_us), "outbox": str(site.from_us), "archive": str(site.taken)}
    folders = msgspec.convert(table | {"conventions": {"whole_when": "marker"}}, Folders)
    drop = JoinsFolder().join(folders, None)  # type: ignore[arg-type]
    await drop.stage(FILE)
    await drop.hand_over(FILE)
    assert names(site) == [FILE.name, f"{FILE.name}.ok"]
