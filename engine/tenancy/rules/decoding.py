"""Strict decoding of a pack's TOML: every problem of a file in one run, each with its key and what is allowed.

msgspec stops at the first error and names types, not what a person may write; so the tree is walked beside its type
first, and converted only when nothing was found.
"""

import difflib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import FieldInfo

from engine.tenancy.errors import PackProblem

Kind = TypeVar("Kind", bound=Struct)
CHECK = "check"
"""In `Meta(extra={CHECK: f})`, `f(value)` returns why a value of the right shape is not allowed, or None."""

_LONGEST_SHOWN = 60
_WORDS = {str: "text in quotes", int: "a whole number", bool: "true or false", date: "a date such as 2024-04-01"}


def decode(value: object, kind: type[Kind], *, file: str, key: str = "") -> tuple[Kind | None, list[PackProblem]]:
    """Return `value` as a `kind`, or None and everything that is wrong with it."""
    problems: list[PackProblem] = []
    _walk(value, kind, file, key, problems)
    if problems:
        return None, problems
    try:
        return msgspec.convert(value, kind), []
    except msgspec.ValidationError as error:
        return None, [PackProblem(file, key, _plain(error))]


def unknown(name: object, allowed: Iterable[str], *, what: str) -> str:
    """Return why `name` is refused: the nearest of what is allowed, and all of it."""
    names = sorted(allowed)
    meant = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    hint = f"; did you mean {meant[0]}?" if meant else ";"
    return f"{shown(name)} is not {what}{hint} allowed: {', '.join(names) or 'none'}"


def shown(value: object) -> str:
    """Return a value as it may stand in a message: short, on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    text = value if isinstance(value, str) else value.isoformat() if isinstance(value, date) else repr(value)
    text = " ".join(text.split()) if isinstance(value, str) else text
    text = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
    return f'"{text}"' if isinstance(value, str) else text


def under(key: str, name: str) -> str:
    """Return the dotted key of `name` below `key`."""
    return f"{key}.{name}" if key else name


def _walk(value: object, kind: Any, file: str, key: str, problems: list[PackProblem]) -> None:
    """Add what is wrong with `value` to `problems`."""
    plain = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    plain = _without_none(plain)
    origin = get_origin(plain) or plain
    before = len(problems)
    if isinstance(origin, type) and issubclass(origin, Struct):
        _walk_table(value, origin, file, key, problems)
    elif origin in (tuple, list, Sequence, types.GenericAlias) or origin is frozenset:
        _walk_rows(value, plain, file, key, problems)
    elif origin in (dict, Mapping):
        _walk_names(value, plain, file, key, problems)
    if len(problems) > before:
        return
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        wanted = _wanted(kind)
        problems.append(PackProblem(file, key, f"{shown(value)} is not {wanted}" if wanted else _plain(error)))
        return
    for meta in _metas(kind):
        reason = (meta.extra or {}).get(CHECK, lambda _value: None)(value)
        if reason is not None:
            problems.append(PackProblem(file, key, reason))


def _walk_table(value: object, kind: type[Struct], file: str, key: str, problems: list[PackProblem]) -> None:
    if not isinstance(value, Mapping):
        problems.append(PackProblem(file, key, f"{shown(value)} is not a table"))
        return
    fields = _fields(kind)
    tag_field = kind.__struct_config__.tag_field
    allowed = [*([tag_field] if tag_field else []), *fields]
    for name in value:
        if name not in allowed:
            problems.append(PackProblem(file, under(key, name), unknown(name, allowed, what="a known key")))
    for name, field in fields.items():
        if name in value:
            _walk(value[name], field.type, file, under(key, name), problems)
        elif field.required:
            wanted = _wanted(field.type)
            problems.append(PackProblem(file, under(key, name), f"is missing{f': {wanted}' if wanted else ''}"))


@lru_cache(maxsize=1024)
def _fields(kind: type[Struct]) -> Mapping[str, FieldInfo]:
    """Return the fields of a kind by the names that files give them."""
    return {field.encode_name: field for field in msgspec.structs.fields(kind)}


def _walk_rows(value: object, kind: Any, file: str, key: str, problems: list[PackProblem]) -> None:
    if not isinstance(value, list | tuple):
        problems.append(PackProblem(file, key, f"{shown(value)} is not a list"))
        return
    (item, *_rest) = get_args(kind) or (Any,)
    for row, one in enumerate(value, 1):
        _walk(one, item, file, f"{key}[{row}]", problems)


def _walk_names(value: object, kind: Any, file: str, key: str, problems: list[PackProblem]) -> None:
    if not isinstance(value, Mapping):
        problems.append(PackProblem(file, key, f"{shown(value)} is not a table"))
        return
    name_kind, item = get_args(kind) or (Any, Any)
    for name, one in value.items():
        before = len(problems)
        _walk(name, name_kind, file, under(key, name), problems)
        if len(problems) == before:
            _walk(one, item, file, under(key, name), problems)


def _without_none(kind: Any) -> Any:
    if get_origin(kind) not in (types.UnionType, typing.Union):
        return kind
    others = [one for one in get_args(kind) if one is not types.NoneType]
    if len(others) != 1:
        return kind
    return get_args(others[0])[0] if get_origin(others[0]) is Annotated else others[0]


def _metas(kind: Any) -> list[Meta]:
    """Return what Annotated says of a type, also inside `... | None`."""
    if get_origin(kind) is Annotated:
        inner, *metas = get_args(kind)
        return [meta for meta in metas if isinstance(meta, Meta)] + _metas(inner)
    if get_origin(kind) in (types.UnionType, typing.Union):
        return [meta for one in get_args(kind) for meta in _metas(one)]
    return []


def _wanted(kind: Any) -> str:
    """Return in words what may stand at a place of this type; "" where msgspec's own words must do."""
    metas = _metas(kind)
    described = next((meta.description for meta in metas if meta.description), None)
    if described:
        return described
    plain = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    plain = _without_none(plain)
    if get_origin(plain) is Literal:
        return f"one of {', '.join(str(one) for one in get_args(plain))}"
    base = _WORDS.get(plain, "") if isinstance(plain, type) else ""
    if not base:
        return ""
    limits = [
        words.format(limit)
        for meta in metas
        for words, limit in (
            ("at least {}", meta.ge),
            ("more than {}", meta.gt),
            ("at most {}", meta.le),
            ("less than {}", meta.lt),
            ("of the form {}", meta.pattern),
            ("of {} characters or more", meta.min_length),
            ("of {} characters at most", meta.max_length),
        )
        if limit is not None
    ]
    return f"{base} {', '.join(limits)}".strip()


def _plain(error: msgspec.ValidationError) -> str:
    return str(error).replace("`", "").partition(" - at ")[0]
