"""Why a decision came out as it did: the rules that its trace names, as they stand in the pack version that made it.

Read from the pack's files as they were stored, not from the kinds of rules that today's engine knows: a decision made by
an earlier engine is explained as it was then.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

_COMMON = frozenset({"id", "kind", "source", "applies_by", "confidence", "assumption"})


@dataclass(frozen=True, slots=True)
class RuleUsed:
    """A rule version that decided, as it stands in the pack: its parameters by name, as words and as `values`."""

    ref: str
    kind: str
    effective_from: str
    applies_by: str
    parameters: Mapping[str, str]
    source: str
    confidence: str
    assumption: str
    values: Mapping[str, object]


def rules_used(trace: Mapping[str, object], files: Mapping[str, bytes]) -> tuple[RuleUsed | None, ...]:
    """Return the rules that a trace names, in its order; None where the pack version does not hold one.

    Args:
        trace: the decision as stored: `rules` lists the versions that decided ("contribution-amount@2010-04-01"), and
            `product` whose book they are of (without it every book is searched).
        files: the files of the pack version that made the decision, by path.

    """
    return tuple(_found(ref, trace.get("product"), files) for ref in refs_of(trace))


def names_of(files: Mapping[str, bytes], product: str) -> dict[str, str]:
    """Return what a pack version calls its roles, channels, products and the pots of `product`, by code."""
    manifest = tomllib.loads(files.get("pack.toml", b"").decode())
    products = manifest.get("products", [])
    pots = [pot for one in products if one.get("code") == product for pot in one.get("pots", [])]
    named = [*manifest.get("channels", []), *products, *pots]
    return {**manifest.get("roles", {}), **{str(one["code"]): str(one["name"]) for one in named if "name" in one}}


def refs_of(trace: Mapping[str, object]) -> tuple[str, ...]:
    """Return the versions of rules that a trace names, in its order."""
    refs = trace.get("rules", ())
    return tuple(map(str, refs)) if isinstance(refs, list | tuple) else ()


def words(value: object) -> str:
    """Return a parameter for people: lists and tables written out, without quotes or brackets."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {words(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return " / ".join(words(one) for one in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _found(ref: str, product: object, files: Mapping[str, bytes]) -> RuleUsed | None:
    rule_id, _, page = ref.partition("@")
    for path, content in sorted(files.items()):
        folder, _, rest = path.partition("/")
        if rest != f"rules/{page}.toml" or (isinstance(product, str) and product and folder != product):
            continue
        rows = tomllib.loads(content.decode()).get("rule", [])
        row = next((one for one in rows if one.get("id") == rule_id), None)
        if row is not None:
            return _used(ref, page, row)
    return None


def _used(ref: str, page: str, row: Mapping[str, object]) -> RuleUsed:
    values = {name: value for name, value in row.items() if name not in _COMMON}
    return RuleUsed(
        ref=ref,
        kind=str(row.get("kind", "")),
        effective_from=page[:10],
        applies_by=str(row.get("applies_by", "event")),
        parameters={name: words(value) for name, value in values.items()},
        source=str(row.get("source", "")),
        confidence=str(row.get("confidence", "")),
        assumption=str(row.get("assumption", "")),
        values=values,
    )
