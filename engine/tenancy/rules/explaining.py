"""Why a decision came out as it did: its trace, and the pack version that made it, as sentences.

Read from the pack's files as they were stored, not from the kinds of rules that today's engine knows: a decision made by
an earlier engine is explained as it was then. What stands in a rule is shown under the names the pack gave it.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.kernel.text import N_

BY_RULE = N_("{rule} ({kind}), in force from {effective_from}, decided: {parameters}. Source: {source}")
BY_JOINING = N_(
    "{rule} ({kind}), in force for those who joined from {effective_from}, decided: {parameters}. Source: {source}"
)
BY_ASSUMPTION = N_("The sources do not settle {rule}. Assumed: {assumption}")
BY_FACT = N_("It was given that {name} is {value}.")
BY_UNKNOWN = N_("The rule {rule} decided; this pack version does not hold it.")
_COMMON = frozenset({"id", "kind", "source", "applies_by", "confidence", "assumption"})


@dataclass(frozen=True, slots=True)
class Explanation:
    """One sentence of an explanation: `message` is translated and filled with `details` where it is shown."""

    message: str
    details: Mapping[str, str]

    def __str__(self) -> str:
        """Return the English sentence."""
        return self.message.format(**self.details)


@dataclass(frozen=True, slots=True)
class RuleUsed:
    """A rule version that decided, as it stands in the pack: its parameters as words, by name."""

    ref: str
    kind: str
    effective_from: str
    applies_by: str
    parameters: Mapping[str, str]
    source: str
    confidence: str
    assumption: str


def rules_used(trace: Mapping[str, object], files: Mapping[str, bytes]) -> tuple[RuleUsed | None, ...]:
    """Return the rules that a trace names, in its order; None where the pack version does not hold one.

    Args:
        trace: the decision as stored: `rules` lists the versions that decided ("contribution-amount@2010-04-01"), and
            `product` whose book they are of (without it every book is searched).
        files: the files of the pack version that made the decision, by path.

    """
    product = trace.get("product")
    refs = trace.get("rules", ())
    return tuple(_found(str(ref), product, files) for ref in (refs if isinstance(refs, list | tuple) else ()))


def explain(trace: Mapping[str, object], files: Mapping[str, bytes]) -> tuple[Explanation, ...]:
    """Return why a decision came out as it did; of a trace, all but `rules` and `product` are facts that were given."""
    refs = trace.get("rules", ())
    sentences: list[Explanation] = []
    for ref, rule in zip(refs if isinstance(refs, list | tuple) else (), rules_used(trace, files), strict=True):
        sentences.extend(_sentences(rule) if rule else (Explanation(BY_UNKNOWN, {"rule": str(ref)}),))
    sentences.extend(given(trace))
    return tuple(sentences)


def given(facts: Mapping[str, object]) -> tuple[Explanation, ...]:
    """Return what was given to a decision, a sentence a fact."""
    return tuple(
        Explanation(BY_FACT, {"name": name, "value": words(value)})
        for name, value in facts.items()
        if name not in ("rules", "product")
    )


def words(value: object) -> str:
    """Return a parameter for people: lists and tables written out, without quotes or brackets."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {words(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return " / ".join(words(one) for one in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _sentences(rule: RuleUsed) -> Sequence[Explanation]:
    said = Explanation(
        BY_JOINING if rule.applies_by == "joining" else BY_RULE,
        {
            "rule": rule.ref.partition("@")[0],
            "kind": rule.kind,
            "effective_from": rule.effective_from,
            "parameters": "; ".join(f"{name} {value}" for name, value in rule.parameters.items()) or "—",
            "source": rule.source,
        },
    )
    if not rule.assumption:
        return (said,)
    assumed = {"rule": rule.ref.partition("@")[0], "assumption": rule.assumption}
    return said, Explanation(BY_ASSUMPTION, assumed)


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
    return RuleUsed(
        ref=ref,
        kind=str(row.get("kind", "")),
        effective_from=page[:10],
        applies_by=str(row.get("applies_by", "event")),
        parameters={name: words(value) for name, value in row.items() if name not in _COMMON},
        source=str(row.get("source", "")),
        confidence=str(row.get("confidence", "")),
        assumption=str(row.get("assumption", "")),
    )
