"""The figures of a rule in words for those who read no code: amounts with their currency, shares in percent, dates in words."""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import msgspec

from engine.kernel.amounts import Amount, Asset
from engine.kernel.rules import Rule
from engine.runtime.locale import format_date, format_money, format_percent

LANGUAGE = "en-GB"
"""A rule book for regulators is in English, as the sources of its rules are named; days are written as 1 October 2025."""
_COMMON = frozenset({"id", "kind", "source", "confidence", "assumption", "applies_by"})


def day_in_words(day: date) -> str:
    """Return a day as 1 October 2025."""
    return format_date(day, LANGUAGE, "long")


def named(code: str) -> str:
    """Return a code as words: "benefit-age" is "benefit age"."""
    return code.replace("_", " ").replace("-", " ")


def figures_of(rule: Rule, asset: Asset) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the figures of a rule by name, each as lines: a table of a rule has a line a row."""
    info = msgspec.inspect.type_info(type(rule))
    assert isinstance(info, msgspec.inspect.StructType)
    table = msgspec.to_builtins(rule)
    return tuple(
        (_label(field.name), tuple(_lines(table[field.encode_name], field.type, field.name, asset)))
        for field in info.fields
        if field.name not in _COMMON and table.get(field.encode_name) not in (None, "", [], (), {})
    )


def facts_in_words(facts: Mapping[str, Any]) -> str:
    """Return what an example is given, or what comes out of it."""
    return "; ".join(f"{_label(name)}: {_plain(value)}" for name, value in facts.items())


def _label(name: str) -> str:
    return named(name.removesuffix("_bp").removesuffix("_percent"))


def _lines(value: Any, type_: msgspec.inspect.Type, name: str, asset: Asset) -> Iterator[str]:
    inner = _chosen(type_, value)
    if isinstance(value, list | tuple) and isinstance(value[0], dict):
        for one in value:
            yield _said(one, _item(inner), name, asset)
    else:
        yield _said(value, type_, name, asset)


def _said(value: Any, type_: msgspec.inspect.Type | None, name: str, asset: Asset) -> str:
    inner = _chosen(type_, value)
    if isinstance(value, Mapping):
        types = {field.encode_name: field.type for field in inner.fields} if _is_struct(inner) else {}
        of_all = inner.value_type if isinstance(inner, msgspec.inspect.DictType) else None
        return "; ".join(
            f"{_label(key)}: {_said(one, types.get(key, of_all), key, asset)}"
            for key, one in value.items()
            if one not in (None, "", [], (), {})
        )
    if isinstance(value, list | tuple):
        return " · ".join(_said(one, _item(inner), name, asset) for one in value)
    return _figure(value, _description(type_), name, asset)


def _figure(value: Any, described: str, name: str, asset: Asset) -> str:
    is_share = "basis points" in described or name.endswith("_bp")
    if isinstance(value, int) and not isinstance(value, bool) and is_share:
        return format_percent(value, LANGUAGE)
    if isinstance(value, str) and described.startswith("an amount"):
        return format_money(Amount.parse(value, asset).units, asset.symbol, asset.scale, LANGUAGE)
    if isinstance(value, str) and (name == "percent" or name.endswith("_percent")):
        return f"{value}%"
    return _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{_label(name)} {_plain(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return " · ".join(_plain(one) for one in value)
    try:
        return day_in_words(value if isinstance(value, date) else date.fromisoformat(str(value)))
    except ValueError:
        return str(value)


def _is_struct(type_: Any) -> bool:
    return isinstance(type_, msgspec.inspect.StructType)


def _item(type_: Any) -> msgspec.inspect.Type | None:
    return getattr(type_, "item_type", None)


def _options(type_: Any) -> tuple[Any, ...]:
    return type_.types if isinstance(type_, msgspec.inspect.UnionType) else (type_,)


def _chosen(type_: Any, value: Any) -> Any:
    """Return the type of a value among those it may have, without what is said about it."""
    bare = [one.type if isinstance(one, msgspec.inspect.Metadata) else one for one in _options(type_)]
    bare = [part for one in bare for part in _options(one)]
    if isinstance(value, Mapping):
        structs = [one for one in bare if isinstance(one, msgspec.inspect.StructType)]
        fitting = (one for one in structs if value.keys() <= {field.encode_name for field in one.fields})
        return next(fitting, bare[0])
    return bare[0]


def _description(type_: Any) -> str:
    """Return what is said of a type, or of the first option of which something is said."""
    described = (one for one in _options(type_) if isinstance(one, msgspec.inspect.Metadata))
    return next((str((one.extra_json_schema or {}).get("description", "")) for one in described), "")
