"""Proving a pack by its own examples: what a runner is given, and how its outcome is compared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date

from engine.kernel.amounts import Asset
from engine.kernel.rules import Dates
from engine.kernel.series import Figures
from engine.tenancy.errors import PackProblem
from engine.tenancy.rules.books import AnyRule, InForce
from engine.tenancy.rules.decoding import shown
from engine.tenancy.rules.manifest import Product
from engine.tenancy.rules.packs import Pack
from engine.tenancy.rules.scenarios import REFUSED, Scenario, flat_text


@dataclass(frozen=True, slots=True)
class ScenarioContext:
    """What a runner is given: the example, and the rules as they are in force for it.

    Rules asked for here are noted as proven by an example.
    """

    pack: Pack
    scenario: Scenario
    proven: set[str] = field(default_factory=set)
    tried: dict[tuple[str, str], set[int]] = field(default_factory=dict)

    @property
    def given(self) -> Mapping[str, object]:
        """Return the example's inputs."""
        return self.scenario.given

    @property
    def on(self) -> date:
        """Return the business date of the example."""
        return self.scenario.on

    @property
    def joined_on(self) -> date | None:
        """Return when the example's member joined."""
        return self.scenario.joined_on

    @property
    def dates(self) -> Dates:
        """Return the dates of the example's decision."""
        return self.scenario.dates

    @property
    def figures(self) -> Figures:
        """Return what the pack's figures are worth, as far as was known when the example was decided."""
        return self.pack.figures(self.scenario.known_on)

    @property
    def product(self) -> Product:
        """Return the product of the example."""
        return self.pack.product(self.scenario.product)

    @property
    def asset(self) -> Asset:
        """Return the money of the scheme."""
        return self.pack.asset

    def text(self, name: str) -> str:
        """Return a given value as text; "" where it is not given."""
        return flat_text(self.scenario.given.get(name, ""))

    def rule(self, kind: type[AnyRule]) -> InForce[AnyRule] | None:
        """Return the rule of `kind` in force for the example, or None."""
        found = self.pack.books[self.scenario.product].in_force(kind, self.dates)
        if found is not None:
            self._prove(found)
        return found

    def rules(self, kind: type[AnyRule]) -> tuple[InForce[AnyRule], ...]:
        """Return every rule of a kind of many in force for the example."""
        found = self.pack.books[self.scenario.product].all_in_force(kind, self.dates)
        for one in found:
            self._prove(one)
        return found

    def compare(self, found: InForce[AnyRule], figure: str, value: int, threshold: int) -> None:
        """Note that `value` was held against a threshold of a rule, both in the least steps that can differ.

        `figure` is the threshold's key in the rule. A pack's examples must try each threshold just below, at and above.
        """
        side = (value > threshold) - (value < threshold)
        near = side * (1 if abs(value - threshold) == 1 else 2)
        self.tried.setdefault((f"{self.scenario.product}/{found.ref}", figure), set()).add(near)

    def _prove(self, found: InForce[AnyRule]) -> None:
        self.proven.add(f"{self.scenario.product}/{found.ref}")


Runner = Callable[[ScenarioContext], Mapping[str, str]]
"""Makes one kind of decision, purely, and returns it as flat text; a refusal is raised as the EngineError it is."""


_MOST_TOLD = 3


class MissingInput(Exception):
    """A runner lacks a value in the example's `given`."""


def unknown_kinds(scenarios: tuple[Scenario, ...], kinds: Mapping[str, object]) -> list[PackProblem]:
    """Return which examples ask for a decision that nobody makes."""
    allowed = ", ".join(sorted(kinds)) or "none"
    return [
        PackProblem(one.file, f"scenario[{one.row}].kind", f"{shown(one.kind)} is not a decision; allowed: {allowed}")
        for one in scenarios
        if one.kind not in kinds
    ]


def outcome_reasons(expected: Mapping[str, str], came: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return (key, reason) of each outcome that differs from what an example expects; other outcomes may be there."""
    if REFUSED in came and REFUSED not in expected:
        wanted = ", ".join(f"{name} = {shown(value)}" for name, value in list(expected.items())[:_MOST_TOLD])
        others = len(expected) - _MOST_TOLD
        more = f" and {others} more" if others > 0 else ""
        return [(REFUSED, f"expected {wanted}{more}, but was refused: {shown(came[REFUSED])}")]
    reasons = []
    for key, value in expected.items():
        if key not in came:
            what = ", ".join(f"{name} = {shown(text)}" for name, text in sorted(came.items())) or "nothing"
            reasons.append((key, f"expected {shown(value)}, but there is no such outcome; there is: {what}"))
        elif came[key] != value:
            reasons.append((key, f"expected {shown(value)}, came out as {shown(came[key])}"))
    return reasons
