"""Checking a pack: decode all of it, then run its worked examples through the engine's own decisions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.kernel.errors import EngineError
from engine.kernel.rules import Rule
from engine.tenancy.errors import PackProblem, in_reading_order
from engine.tenancy.rules.packs import Pack
from engine.tenancy.rules.proving import MissingInput, Runner, ScenarioContext, outcome_reasons, unknown_kinds
from engine.tenancy.rules.scenarios import REFUSED, Scenario
from engine.tenancy.service.folders import read_pack


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """What became of a worked example."""

    file: str
    name: str
    kind: str
    ok: bool


@dataclass(frozen=True, slots=True)
class PackReport:
    """What `akiba pack check` says. `unproven` are the rule versions that no example consulted: "product/id@date"."""

    code: str
    sha256: str | None
    problems: tuple[PackProblem, ...]
    scenarios: tuple[ScenarioResult, ...] = ()
    unproven: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Return whether the pack may be served."""
        return not self.problems


def check_pack(path: Path, kinds: Sequence[type[Rule]], runners: Mapping[str, Runner]) -> PackReport:
    """Decode the pack in a folder and run its examples. Everything wrong is reported; nothing is raised.

    Args:
        path: the pack's folder.
        kinds: the kinds of rules that the engine knows.
        runners: who makes each kind of decision that examples may ask for.

    """
    return checked_pack(path, kinds, runners)[1]


def checked_pack(
    path: Path, kinds: Sequence[type[Rule]], runners: Mapping[str, Runner]
) -> tuple[Pack | None, PackReport]:
    """Return the pack in a folder, or None if it may not be served, and the report."""
    code = path.resolve().name
    pack, problems = read_pack(path, kinds)
    if pack is None:
        return None, PackReport(code, None, in_reading_order(problems))
    problems = unknown_kinds(pack.scenarios, runners)
    results: list[ScenarioResult] = []
    proven: set[str] = set()
    for scenario in pack.scenarios:
        if scenario.kind in runners:
            context = ScenarioContext(pack, scenario, proven)
            found = _run(context, runners[scenario.kind])
            problems.extend(found)
            results.append(ScenarioResult(scenario.file, scenario.name, scenario.kind, not found))
    versions = (f"{product}/{one.ref}" for product, book in pack.books.items() for one in book.versions())
    unproven = tuple(sorted(set(versions) - proven))
    report = PackReport(code, pack.sha256, in_reading_order(problems), tuple(results), unproven)
    return (pack if report.ok else None), report


def _run(context: ScenarioContext, runner: Runner) -> list[PackProblem]:
    scenario = context.scenario
    try:
        outcome: Mapping[str, str] = runner(context)
    except EngineError as refusal:
        outcome = {REFUSED: refusal.code}
    except MissingInput as missing:
        return [_problem(scenario, f"given.{missing}", "is needed for this kind of decision")]
    except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError) as error:
        # An example's inputs come from people, so a runner that trips over them reports the example, not a crash.
        return [_problem(scenario, "given", f"could not be decided: {type(error).__name__}: {error}")]
    return [_problem(scenario, f"expect.{key}", reason) for key, reason in outcome_reasons(scenario.expect, outcome)]


def _problem(scenario: Scenario, key: str, reason: str) -> PackProblem:
    return PackProblem(scenario.file, f"scenario[{scenario.row}].{key}", f"{scenario.name}: {reason}")
