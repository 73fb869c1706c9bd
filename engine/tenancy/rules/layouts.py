"""A pack's own layouts of statements that come as tables: `layouts/<code>.toml`, each proven by the table beside it."""

from collections.abc import Mapping

from msgspec import structs

from engine.kernel.table_layouts import Layout
from engine.tenancy.errors import PackProblem
from engine.tenancy.rules.books import read_toml
from engine.tenancy.rules.decoding import decode, unknown
from engine.tenancy.rules.manifest import Manifest

TABLE = "table"
"""The word for statements that come as tables, of which a layout may be said."""


def sample_of(code: str) -> str:
    """Return the path of the table that a layout of the pack is proven by."""
    return f"layouts/{code}.csv"


def decode_layouts(
    files: Mapping[str, bytes], manifest: Manifest | None
) -> tuple[dict[str, Layout], list[PackProblem]]:
    """Return the layouts by their codes, and everything that is wrong with them and with the channels that name them.

    Args:
        files: the pack's files under `layouts/`, by path.
        manifest: the pack's; None where it is broken, and then nothing is said of channels.

    """
    found: dict[str, Layout] = {}
    problems: list[PackProblem] = []
    pages = sorted(path for path in files if path.endswith(".toml"))
    for path in pages:
        code = path.removeprefix("layouts/").removesuffix(".toml")
        table = read_toml(path, files[path], problems)
        if table is None:
            continue
        layout, wrong = decode(table, Layout, file=path)
        problems.extend(wrong)
        if layout is None:
            continue
        if layout.name not in ("", code):
            problems.append(PackProblem(path, "name", f"is the file's, {code}; leave it out"))
        if layout.sample is None:
            problems.append(PackProblem(path, "sample", f"is missing: what the table in {sample_of(code)} says"))
        if sample_of(code) not in files:
            problems.append(PackProblem(sample_of(code), "", "is missing: a table of this layout, that proves it"))
        found[code] = structs.replace(layout, name=code)
    for path in sorted(set(files) - set(pages)):
        if f"{path.removesuffix('.csv')}.toml" not in files:
            problems.append(PackProblem(path, "", "is a table of no layout"))
    if manifest is not None:
        codes = [path.removeprefix("layouts/").removesuffix(".toml") for path in pages]
        problems.extend(_channel_problems(manifest, codes))
    return found, problems


def _channel_problems(manifest: Manifest, codes: list[str]) -> list[PackProblem]:
    found = []
    for row, channel in enumerate(manifest.channels, 1):
        key = f"channels[{row}].layout"
        if channel.layout and channel.layout not in codes:
            found.append(PackProblem("pack.toml", key, unknown(channel.layout, codes, what="a layout of the pack")))
        elif channel.layout and channel.statements != TABLE:
            found.append(PackProblem("pack.toml", key, f'is of tables: set statements = "{TABLE}"'))
    named = {channel.layout for channel in manifest.channels}
    found.extend(
        PackProblem(f"layouts/{code}.toml", "", "is the layout of no channel") for code in codes if code not in named
    )
    return found
