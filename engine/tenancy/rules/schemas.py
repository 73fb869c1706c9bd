"""JSON Schemas of a pack's files, so that editors complete TOML and name what is allowed while it is written."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from engine.kernel.rules import Rule
from engine.kernel.table_layouts import Layout
from engine.tenancy.rules.books import Change, Repeal, holds_many
from engine.tenancy.rules.branding import Theme
from engine.tenancy.rules.manifest import Manifest
from engine.tenancy.rules.scenarios import Survivor, scenario_type

DIALECT = "https://json-schema.org/draft/2020-12/schema"
PATTERNS: Mapping[str, str] = {
    "pack": "**/pack.toml",
    "rules": "**/rules/*.toml",
    "scenarios": "**/scenarios/*.toml",
    "layouts": "**/layouts/*.toml",
    "theme": "**/branding/theme.toml",
}
"""Which files of a pack each schema is of, as editors match paths."""


def schemas(kinds: Sequence[type[Rule]], decisions: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the schema of each kind of file by its name in PATTERNS.

    Args:
        kinds: the kinds of rules that the engine knows.
        decisions: the kinds of decision that examples may ask for.

    """
    return {
        "pack": _of(Manifest, "pack.toml: who a scheme is"),
        "rules": _rules(kinds),
        "scenarios": _scenarios(decisions),
        "layouts": _of(Layout, "layouts/<code>.toml: how a channel's statements come as tables"),
        "theme": _of(Theme, "branding/theme.toml: a scheme's colours"),
    }


def _rules(kinds: Sequence[type[Rule]]) -> dict[str, Any]:
    (change, repeal, *rules), definitions = msgspec.json.schema_components(
        [Change, Repeal, *kinds], ref_template="#/$defs/{name}"
    )
    for kind in kinds:
        note = " A product may have several." if holds_many(kind) else ""
        definitions[kind.__name__]["description"] = " ".join((kind.__doc__ or "").split()) + note
    return _file(
        "rules/<date>.toml: rules in force from a date",
        {
            "change": change,
            "rule": {"type": "array", "items": {"oneOf": rules, "discriminator": {"propertyName": "kind"}}},
            "repeal": {"type": "array", "items": repeal},
        },
        definitions,
    )


def _scenarios(decisions: Sequence[str]) -> dict[str, Any]:
    found = scenario_type()
    # What is given and expected is whatever the decision asks for.
    (scenario, survivor), definitions = msgspec.json.schema_components(
        [found, Survivor], ref_template="#/$defs/{name}", schema_hook=lambda _: {"description": "any value"}
    )
    definitions[found.__name__]["properties"]["kind"] = {"enum": sorted(decisions)}
    return _file(
        "scenarios/*.toml: worked examples",
        {"scenario": {"type": "array", "items": scenario}, "survivor": {"type": "array", "items": survivor}},
        definitions,
    )


def _of(kind: type[msgspec.Struct], title: str) -> dict[str, Any]:
    ((reference,), definitions) = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    return {"$schema": DIALECT, "title": title, **reference, "$defs": definitions}


def _file(title: str, properties: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "$schema": DIALECT,
        "title": title,
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "$defs": definitions,
    }
