"""A decision that anyone may ask about later: who decided what, from what, by which rules. Nothing personal in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from engine.tenancy.rules.explaining import Explanation, RuleUsed


@dataclass(frozen=True, slots=True, kw_only=True)
class Determination:
    """A decision that is no event: a refusal (`code` says which), or an answer; `rules` are the versions that decided."""

    kind: str
    product: str
    decided_on: date
    rules: Sequence[str]
    member_id: int = 0
    code: str = ""
    inputs: Mapping[str, object] = field(default_factory=dict)
    outcome: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionExplained:
    """A decision with all that explains it, in one language where it is shown.

    `kind` is the event's label or the determination's kind; `code` the refusal's, "" where nothing was refused.
    """

    decision_id: int
    member_id: int
    kind: str
    product: str
    decided_on: date
    code: str
    inputs: Mapping[str, object]
    outcome: Mapping[str, object]
    rules: tuple[RuleUsed, ...]
    sentences: tuple[Explanation, ...]
    pack: str
