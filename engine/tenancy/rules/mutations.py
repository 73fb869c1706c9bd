"""Changing one figure of one rule by one unit, or leaving out one word of a list: what worked examples must notice. Pure.

Mutation testing (DeMillo, Lipton, Sayward, 1978) of data: an example that fails under the changed figure proves the
figure; a figure that no example misses is a survivor, and says that the pack's examples do not settle it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from engine.kernel.rules import Rule
from engine.tenancy.rules.books import AnyRule

_WORDS = frozenset({"id", "kind", "source", "confidence", "assumption", "applies_by"})
_PLACES = frozenset({"rank", "order"})
"""Where a rule stands among others of its kind: a place in a row, no figure."""
LEFT_OUT = "left out"
_DECIMAL = re.compile(r"^[0-9]{1,15}(\.[0-9]{1,12})?$")


@dataclass(frozen=True, slots=True)
class Mutation:
    """One figure changed: where it stands in the rule ("parts[1].share_bp"), from what, to what."""

    figure: str
    was: str
    became: str
    table: Mapping[str, Any]


def mutations(rule: Rule) -> Iterator[Mutation]:
    """Yield `rule` as tables with each of its figures, in turn, one unit larger and one unit smaller.

    Of the lists that its kind names in `listed: ClassVar[tuple[str, ...]]`, each word in turn is left out as well.

    A figure is a whole number or a number in quotes; its unit is 1, or one of its last decimal. None goes below zero.
    What a kind takes for granted where a pack says nothing is no figure of the pack.
    """
    table = {"kind": rule.__struct_config__.tag, **_written(rule)}
    for path, value in _figures(table, ()):
        for step in (1, -1):
            became = _moved(value, step)
            if became is not None:
                yield Mutation(_spelt(path), str(value), str(became), _with(table, path, became))
    for name in getattr(rule, "listed", ()):
        words = table[name]
        for row, word in enumerate(words):
            rest = [*words[:row], *words[row + 1 :]]
            yield Mutation(_spelt((name, row)), str(word), LEFT_OUT, _with(table, (name,), rest))


def rebuilt(kind: type[AnyRule], mutation: Mutation) -> AnyRule | None:
    """Return the mutated rule, or None where the kind itself refuses it: such a figure is proven by what must hold."""
    try:
        return msgspec.convert(mutation.table, kind)
    except (msgspec.ValidationError, ValueError):
        return None


def _written(value: Any) -> Any:
    """Return a value as tables, without fields that hold what they hold anyway."""
    if isinstance(value, msgspec.Struct):
        return {
            field.name: _written(getattr(value, field.name))
            for field in msgspec.structs.fields(value)
            if getattr(value, field.name) != field.default
        }
    if isinstance(value, Mapping):
        return {name: _written(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_written(one) for one in value]
    return msgspec.to_builtins(value)


_Path = tuple[str | int, ...]


def _figures(value: object, path: _Path) -> Iterator[tuple[_Path, int | str]]:
    if isinstance(value, bool):
        return
    if isinstance(value, int):
        yield path, value
    elif isinstance(value, str):
        if _DECIMAL.match(value) and path and isinstance(path[-1], str | int):
            yield path, value
    elif isinstance(value, Mapping):
        for name, one in value.items():
            if (path or name not in _WORDS) and name not in _PLACES:
                yield from _figures(one, (*path, name))
    elif isinstance(value, list | tuple):
        for row, one in enumerate(value):
            yield from _figures(one, (*path, row))


def _moved(value: int | str, step: int) -> int | str | None:
    if isinstance(value, int):
        return value + step if value + step >= 0 else None
    decimals = len(value.partition(".")[2])
    moved = Decimal(value) + step * Decimal(1).scaleb(-decimals)
    return f"{moved:.{decimals}f}" if moved >= 0 else None


def _with(table: Any, path: _Path, value: object) -> Any:
    if not path:
        return value
    first, rest = path[0], path[1:]
    if isinstance(table, Mapping):
        return {name: _with(one, rest, value) if name == first else one for name, one in table.items()}
    return [_with(one, rest, value) if row == first else one for row, one in enumerate(table)]


def _spelt(path: _Path) -> str:
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
