"""A pack's own layouts of statements, proven: each reads the table that the pack keeps of it, and finds what that says."""

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

from engine.kernel.amounts import Amount, NotWholeUnits
from engine.kernel.files import FileRefused, Wrong
from engine.kernel.statements import Statement
from engine.kernel.table_layouts import Layout, Sample
from engine.reconciliation.ports import StatementSource
from engine.reconciliation.rules import check_statements
from engine.tenancy.errors import PackProblem
from engine.tenancy.rules.layouts import TABLE, sample_of
from engine.tenancy.rules.packs import Pack


def layout_problems(pack: Pack, adapters: Callable[[str, str], Any]) -> list[PackProblem]:
    """Return each layout that does not read its table, or finds something else in it than the layout's `sample` says.

    Args:
        pack: with its layouts and their tables, which are text in UTF-8 and are read in the layout's encoding.
        adapters: returns the adapter of a port and a name.

    """
    found: list[PackProblem] = []
    for code, layout in pack.layouts.items():
        assert layout.sample is not None, code
        path = sample_of(code)
        source: StatementSource = adapters("StatementSource", TABLE).by(layout)
        try:
            raw = pack.files[path].decode().encode(layout.encoding)
        except UnicodeEncodeError as error:
            found.append(
                PackProblem(path, "", f"has a character that {layout.encoding} lacks: {error.object[error.start]}")
            )
            continue
        try:
            (statement,) = source.read(raw, path).statements
        except FileRefused as refused:
            found.extend(PackProblem(path, "", str(one)) for one in (refused, *refused.others))
            continue
        found.extend(_accounts(pack, layout, statement))
        found.extend(
            PackProblem(f"layouts/{code}.toml", f"sample.{name}", f"is {said}, the table has {has}")
            for name, said, has in _differences(layout.sample, statement)
        )
    return found


def _accounts(pack: Pack, layout: Layout, statement: Statement) -> Iterator[PackProblem]:
    """Yield why the table could not be a statement of a channel that names the layout."""
    for channel in pack.channels:
        if channel.layout == layout.name:
            try:
                check_statements((statement,), pack.asset, channel.account, today=date.max)
            except Wrong as wrong:
                yield PackProblem(sample_of(layout.name), "", str(wrong.refused(f"channel {channel.code}")))


def _differences(sample: Sample, statement: Statement) -> Iterator[tuple[str, str, str]]:
    """Yield what the sample says otherwise than the table: the name, what is said, what there is."""
    asset = statement.currency

    def written(minor: int | None) -> str:
        return "nothing" if minor is None else f"{Amount(minor, asset).decimal():f}"

    if sample.lines != len(statement.lines):
        yield "lines", str(sample.lines), str(len(statement.lines))
    for name, said, has in (
        ("movement", sample.movement, statement.movement),
        ("opening", sample.opening, statement.opening),
        ("closing", sample.closing, statement.closing),
    ):
        if said is None:
            continue
        try:
            minor = Amount.parse(said, asset).units
        except NotWholeUnits:
            yield name, said, written(has)
            continue
        if minor != has:
            yield name, said, written(has)
