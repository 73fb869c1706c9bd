"""Why a decision came out as it did: its trace, and the pack version that made it, as sentences."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from engine.kernel.rules import Rule
from engine.kernel.text import N_
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.packs import Pack

BY_RULE = N_("{rule} ({kind}), in force from {effective_from}, decided: {parameters}. Source: {source}")
BY_JOINING = N_(
    "{rule} ({kind}), in force for those who joined from {effective_from}, decided: {parameters}. Source: {source}"
)
BY_ASSUMPTION = N_("The sources do not settle {rule}. Assumed: {assumption}")
BY_FACT = N_("It was given that {name} is {value}.")
BY_UNKNOWN = N_("The rule {rule} decided; this pack version does not hold it.")


@dataclass(frozen=True, slots=True)
class Explanation:
    """One sentence of an explanation: `message` is translated and filled with `details` where it is shown."""

    message: str
    details: Mapping[str, str]

    def __str__(self) -> str:
        """Return the English sentence."""
        return self.message.format(**self.details)


def explain(trace: Mapping[str, object], pack: Pack) -> tuple[Explanation, ...]:
    """Return why a decision came out as it did.

    Args:
        trace: the decision as stored: `rules` lists the versions that decided ("contribution-amount@2010-04-01"),
            `product` whose book they are of (without it every book is searched), and all else is a fact that was given.
        pack: the pack version that the event names.

    """
    product = trace.get("product")
    rules = trace.get("rules", ())
    books = [pack.books[product]] if isinstance(product, str) and product in pack.books else list(pack.books.values())
    sentences = []
    for ref in rules if isinstance(rules, list | tuple) else ():
        version = next((found for book in books if (found := book.version(str(ref))) is not None), None)
        sentences.append(_of_rule(version) if version else Explanation(BY_UNKNOWN, {"rule": str(ref)}))
        if version is not None and version.rule.assumption:
            details = {"rule": version.rule.id, "assumption": version.rule.assumption}
            sentences.append(Explanation(BY_ASSUMPTION, details))
    for name, value in trace.items():
        if name not in ("rules", "product"):
            sentences.append(Explanation(BY_FACT, {"name": name, "value": _words(value)}))
    return tuple(sentences)


def _of_rule(version: InForce[Rule]) -> Explanation:
    rule = version.rule
    common = {"id", "source", "applies_by", "confidence", "assumption"}
    parameters = {
        name: value
        for name in rule.__struct_fields__
        if name not in common and (value := getattr(rule, name)) not in (None, (), {})
    }
    return Explanation(
        BY_RULE if rule.applies_by == "event" else BY_JOINING,
        {
            "rule": rule.id,
            "kind": str(type(rule).__struct_config__.tag),
            "effective_from": version.effective_from.isoformat(),
            "parameters": "; ".join(f"{name} {_words(value)}" for name, value in parameters.items()) or "—",
            "source": rule.source,
        },
    )


def _words(value: object) -> str:
    """Return a parameter for people: lists and tables written out, without quotes or brackets."""
    plain = msgspec.to_builtins(value)
    if isinstance(plain, Mapping):
        return ", ".join(f"{name} {_words(one)}" for name, one in plain.items())
    if isinstance(plain, list | tuple):
        return " / ".join(_words(one) for one in plain)
    return str(plain).lower() if isinstance(plain, bool) else str(plain)
