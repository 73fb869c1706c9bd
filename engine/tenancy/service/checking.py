"""Checking a pack: decode all of it, run its worked examples through the engine's own decisions, and prove its figures."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engine.kernel.errors import EngineError
from engine.kernel.rules import Rule
from engine.tenancy.errors import PackProblem, in_reading_order
from engine.tenancy.rules.mutations import Mutation, mutations, rebuilt
from engine.tenancy.rules.packs import Pack
from engine.tenancy.rules.proving import MissingInput, Runner, ScenarioContext, outcome_reasons, unknown_kinds
from engine.tenancy.rules.scenarios import REFUSED, Scenario
from engine.tenancy.service.folders import read_pack

SIDES = {-1: "just below", 0: "at", 1: "just above"}


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """What became of a worked example."""

    file: str
    name: str
    kind: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Untried:
    """A threshold that no example tries on one side: "just below", "at" or "just above"."""

    rule: str
    figure: str
    side: str


@dataclass(frozen=True, slots=True)
class Surviving:
    """A figure that may change by one unit without an example failing; `why` is the pack's explanation, if any."""

    rule: str
    figure: str
    was: str
    became: str
    why: str


@dataclass(frozen=True, slots=True)
class PackReport:
    """What `akiba pack check` says. Rule versions are named "product/id@page".

    `not_carried_out` are those of kinds that no use case obeys yet, `unproven` those that no example consulted, `untried` the thresholds not tried on each side, `survivors` the
    figures that no example settles. They are gaps in a pack's proof; a pack with `problems` is not served.
    """

    code: str
    sha256: str | None
    problems: tuple[PackProblem, ...]
    scenarios: tuple[ScenarioResult, ...] = ()
    not_carried_out: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()
    untried: tuple[Untried, ...] = ()
    survivors: tuple[Surviving, ...] = ()
    mutants: int = 0

    @property
    def ok(self) -> bool:
        """Return whether the pack may be served."""
        return not self.problems

    @property
    def is_proven(self) -> bool:
        """Return whether every figure is settled by an example, or its survival is explained."""
        return self.ok and not self.unproven and not self.untried and all(one.why for one in self.survivors)


PackCheck = Callable[[Pack], list[PackProblem]]
"""What another capability finds wrong with a pack that decodes."""


def check_pack(
    path: Path,
    kinds: Sequence[type[Rule]],
    runners: Mapping[str, Runner],
    *,
    checks: Sequence[PackCheck] = (),
    prove: bool = False,
) -> PackReport:
    """Decode the pack in a folder and run its examples. Everything wrong is reported; nothing is raised.

    Args:
        path: the pack's folder.
        kinds: the kinds of rules that the engine knows.
        runners: who makes each kind of decision that examples may ask for.
        checks: what other capabilities ask of a pack.
        prove: also change every figure by one unit, either way, and list those that no example misses.

    """
    pack, report, consulting = _checked(path, kinds, runners, checks)
    return report if pack is None or not prove else _with_survivors(pack, runners, report, consulting)


def checked_pack(
    path: Path, kinds: Sequence[type[Rule]], runners: Mapping[str, Runner], checks: Sequence[PackCheck] = ()
) -> tuple[Pack | None, PackReport]:
    """Return the pack in a folder, or None if it may not be served, and the report."""
    pack, report, _ = _checked(path, kinds, runners, checks)
    return pack, report


def _checked(
    path: Path, kinds: Sequence[type[Rule]], runners: Mapping[str, Runner], checks: Sequence[PackCheck]
) -> tuple[Pack | None, PackReport, Mapping[str, Sequence[Scenario]]]:
    """Return what `checked_pack` does, and the examples that consulted each rule version."""
    code = path.resolve().name
    pack, problems = read_pack(path, kinds)
    if pack is None:
        return None, PackReport(code, None, in_reading_order(problems)), {}
    problems = unknown_kinds(pack.scenarios, runners)
    for check in checks:
        problems.extend(check(pack))
    results: list[ScenarioResult] = []
    consulting: dict[str, list[Scenario]] = {}
    tried: dict[tuple[str, str], set[int]] = {}
    for scenario in pack.scenarios:
        if scenario.kind in runners:
            context = ScenarioContext(pack, scenario, tried=tried)
            found = _run(context, runners[scenario.kind])
            problems.extend(found)
            results.append(ScenarioResult(scenario.file, scenario.name, scenario.kind, not found))
            for ref in context.proven:
                consulting.setdefault(ref, []).append(scenario)
    report = PackReport(
        code,
        pack.sha256,
        in_reading_order(problems),
        tuple(results),
        not_carried_out=_not_carried_out(pack),
        unproven=_unproven(pack, consulting),
        untried=_untried(pack, tried),
    )
    return (pack if report.ok else None), report, consulting


def _with_survivors(
    pack: Pack, runners: Mapping[str, Runner], report: PackReport, consulting: Mapping[str, Sequence[Scenario]]
) -> PackReport:
    """Return the report with the figures that survive a change by one unit, explained or not."""
    survivors: list[Surviving] = []
    mutants = 0
    for product, book in pack.books.items():
        for version in book.versions():
            ref = f"{product}/{version.ref}"
            for mutation in mutations(version.rule):
                mutants += 1
                mutant = rebuilt(type(version.rule), mutation)
                if mutant is None:
                    continue
                mutated = pack.with_rule(product, version.ref, mutant)
                if not any(_run(ScenarioContext(mutated, one), runners[one.kind]) for one in consulting.get(ref, ())):
                    survivors.append(_surviving(pack, ref, mutation))
    return replace(report, survivors=tuple(survivors), mutants=mutants)


def _surviving(pack: Pack, ref: str, mutation: Mutation) -> Surviving:
    why = next((one.why for one in pack.survivors if one.covers(ref, mutation.figure)), "")
    return Surviving(ref, mutation.figure, mutation.was, mutation.became, why)


def _not_carried_out(pack: Pack) -> tuple[str, ...]:
    """Return the versions that the engine keeps and explains, and does nothing by."""
    return tuple(
        f"{product}/{version.ref}"
        for product, book in pack.books.items()
        for version in book.versions()
        if not version.rule.is_carried_out
    )


def _unproven(pack: Pack, proven: Iterable[str]) -> tuple[str, ...]:
    versions = (f"{product}/{one.ref}" for product, book in pack.books.items() for one in book.versions())
    return tuple(
        sorted(
            ref for ref in set(versions).difference(proven) if not any(one.covers(ref, "*") for one in pack.survivors)
        )
    )


def _untried(pack: Pack, tried: Mapping[tuple[str, str], set[int]]) -> tuple[Untried, ...]:
    return tuple(
        Untried(ref, figure, words)
        for (ref, figure), sides in sorted(tried.items())
        for side, words in SIDES.items()
        if side not in sides and not any(one.covers(ref, figure) for one in pack.survivors)
    )


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
