"""A decision that anyone may ask about later: who decided what, from what, by which rules. Nothing personal in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from engine.tenancy.rules.explaining import RuleUsed


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
class RunDecided:
    """A run over members as a decision: `inputs` are what it was run by. Whom it gives nothing has a `ZeroResult`."""

    kind: Literal["match", "fee", "interest", "premium"]
    run_no: int
    product: str
    decided_on: date
    rules: Sequence[str]
    inputs: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ZeroResult:
    """What a run gave a member nothing by: a fee, a class of matches, or all of it; `basis` in smallest units, and why."""

    decision_id: int
    kind: str
    run_no: int
    product: str
    decided_on: date
    subject: str
    reason: str
    basis: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionExplained:
    """A decision with all that explains it, as it is stored; it is put into words where it is shown.

    `kind` is the event's label or the determination's kind; `code` the refusal's, "" where nothing was refused. `refs` are
    the rules that decided, `used` what the pack version says of each, None of one that it does not hold;
    `names` are what it calls its own things, by code.
    """

    decision_id: int
    member_id: int
    kind: str
    product: str
    decided_on: date
    code: str
    inputs: Mapping[str, object]
    outcome: Mapping[str, object]
    refs: tuple[str, ...]
    used: tuple[RuleUsed | None, ...]
    names: Mapping[str, str]
    is_event: bool
    pack: str

    @property
    def rules(self) -> tuple[RuleUsed, ...]:
        """Return the rules that decided, as far as the pack version holds them."""
        return tuple(one for one in self.used if one is not None)
