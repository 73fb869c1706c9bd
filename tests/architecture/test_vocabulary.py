"""Explanations have a word for everything they may have to name: rules, parameters, what is decided, and in which unit."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.inspect import DictType, Metadata, StructType, Type, UnionType

import engine
from engine.app import KINDS
from engine.ledger.rules import EventKind
from engine.reports.rules import subjects
from engine.reports.rules.vocabulary import FACTS, PARAMETERS

COMMON = {"id", "kind", "source", "applies_by", "confidence", "assumption"}
UNITS = {"an amount": "money", "a share in basis points": "share", "a number of percent": "percent"}
"""Beginnings of what the types of rules say of a value, and the unit it is then explained in."""


def parameters(type_: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Return each name that stands in a rule of a type, however deep, and what is said of its values."""
    if isinstance(type_, StructType):
        for field in type_.fields:
            yield field.encode_name, ""
            yield from parameters(field.type, field.encode_name)
    elif isinstance(type_, Metadata):
        yield name, str((type_.extra_json_schema or {}).get("description", ""))
        yield from parameters(type_.type, name)
    elif isinstance(type_, UnionType):
        for one in type_.types:
            yield from parameters(one, name)
    elif isinstance(type_, DictType):
        yield from parameters(type_.value_type, name)
    else:
        inner = [getattr(type_, "item_type", None), *getattr(type_, "item_types", ())]
        for one in inner:
            if isinstance(one, Type):
                yield from parameters(one, name)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__struct_config__.tag)
def test_a_rule_is_explained_in_words(kind: type) -> None:
    named = {(name, said) for name, said in parameters(msgspec.inspect.type_info(kind)) if name not in COMMON}

    assert kind.__struct_config__.tag in subjects.KINDS  # type: ignore[attr-defined]
    assert {name for name, _ in named} - PARAMETERS.keys() == set()
    wrong = {
        (name, unit)
        for name, said in named
        for begins, unit in UNITS.items()
        if said.startswith(begins) and PARAMETERS[name].unit != unit
    }
    assert wrong == set()


def test_whatever_is_decided_has_a_name() -> None:
    told = {
        word.value.value
        for path in Path(engine.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Determination", "RunDecided")
        for word in node.keywords
        if word.arg == "kind" and isinstance(word.value, ast.Constant)
    }

    assert {"contribution", "match", "fee", "interest"} <= told
    assert told - subjects.WHAT.keys() == set()
    assert {kind.label for kind in EventKind} - subjects.WHAT.keys() == set()


def test_a_fact_has_a_word_of_its_own_only_where_a_parameter_has_none_or_another() -> None:
    assert {name for name in FACTS.keys() & PARAMETERS.keys() if FACTS[name] == PARAMETERS[name]} == set()
