"""Rule books: which version of which rule decides, on which date and for which joining cohort.

A product's book is a row of dated files. The first is whole; each later one adds rules, replaces them by id, or repeals
them. A version whose `applies_by` is "event" decides every event from its date on. One whose `applies_by` is "joining"
decides only for members who joined on or after its date: the others keep what they had.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath
from typing import Generic, Literal, TypeVar

from msgspec import Struct

from engine.kernel.rules import Rule, RuleId
from engine.tenancy.errors import PackProblem
from engine.tenancy.rules.decoding import decode, shown, under, unknown
from engine.tenancy.rules.manifest import Source

AnyRule = TypeVar("AnyRule", bound=Rule)
AppliesBy = Literal["event", "joining"]


class Repeal(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The end of a rule. It reaches whom the rule's own versions reach, unless `applies_by` says otherwise.

    A repeal by "joining" leaves the rule to those who joined before it; one by "event" ends it for all.
    """

    id: RuleId
    source: Source
    applies_by: AppliesBy | None = None


@dataclass(frozen=True, slots=True)
class InForce(Generic[AnyRule]):
    """A version of a rule, and the date of the file that made it."""

    rule: AnyRule
    effective_from: date

    @property
    def ref(self) -> str:
        """Return the version's name in decision traces: "contribution-amount@2010-04-01"."""
        return f"{self.rule.id}@{self.effective_from.isoformat()}"


@dataclass(frozen=True, slots=True)
class _Turn:
    """A change of one rule at one date: to `rule`, or to nothing."""

    effective_from: date
    rule_id: str
    kind: type[Rule]
    applies_by: AppliesBy
    rule: Rule | None

    def reaches(self, on: date, joined_on: date | None) -> bool:
        """Return whether this turn decides an event of `on` for a member who joined on `joined_on`."""
        if self.effective_from > on:
            return False
        if self.applies_by == "event":
            return True
        if joined_on is None:
            raise ValueError(f"the rule {self.rule_id} applies by joining: say when the member joined")
        return joined_on >= self.effective_from


def holds_many(kind: type[Rule]) -> bool:
    """Return whether a product may have several rules of this kind at a time (`many: ClassVar[bool] = True`)."""
    return bool(getattr(kind, "many", False))


class RuleBook:
    """All versions of all rules of one product."""

    def __init__(self, product: str, turns: Iterable[_Turn] = ()) -> None:
        """Keep the turns by kind, the newest first; of one date, what begins before what ends."""
        self.product = product
        ordered = sorted(turns, key=lambda turn: (turn.effective_from, turn.rule is not None), reverse=True)
        self._by_kind: dict[type[Rule], list[_Turn]] = {}
        for turn in ordered:
            self._by_kind.setdefault(turn.kind, []).append(turn)

    def in_force(self, kind: type[AnyRule], *, on: date, joined_on: date | None = None) -> InForce[AnyRule] | None:
        """Return the one rule of `kind` that decides an event of business date `on`, or None.

        Args:
            kind: a kind of which a product has one rule at a time.
            on: the event's business date.
            joined_on: when the member joined the product; may be None where no version applies by joining.

        Raises:
            ValueError: a version applies by joining and `joined_on` is None.

        """
        assert not holds_many(kind), f"{kind.__name__} is a kind of many rules: ask all_in_force"
        for turn in self._by_kind.get(kind, ()):
            if turn.reaches(on, joined_on):
                return _in_force(turn, kind)
        return None

    def all_in_force(
        self, kind: type[AnyRule], *, on: date, joined_on: date | None = None
    ) -> tuple[InForce[AnyRule], ...]:
        """Return every rule of `kind` that decides an event of business date `on`, by id; arguments as `in_force`."""
        decided: dict[str, InForce[AnyRule] | None] = {}
        for turn in self._by_kind.get(kind, ()):
            if turn.rule_id not in decided and turn.reaches(on, joined_on):
                decided[turn.rule_id] = _in_force(turn, kind)
        return tuple(found for _, found in sorted(decided.items()) if found is not None)

    def versions(self) -> tuple[InForce[Rule], ...]:
        """Return every version of every rule, by date and id."""
        turns = (turn for turns in self._by_kind.values() for turn in turns)
        found = [InForce(turn.rule, turn.effective_from) for turn in turns if turn.rule is not None]
        return tuple(sorted(found, key=lambda one: (one.effective_from, one.rule.id)))

    def version(self, ref: str) -> InForce[Rule] | None:
        """Return the version that decision traces call `ref`, or None."""
        return next((one for one in self.versions() if one.ref == ref), None)


def _in_force(turn: _Turn, kind: type[AnyRule]) -> InForce[AnyRule] | None:
    if turn.rule is None:
        return None
    assert isinstance(turn.rule, kind), turn
    return InForce(turn.rule, turn.effective_from)


def decode_book(
    product: str, files: Mapping[str, bytes], kinds: Sequence[type[Rule]]
) -> tuple[RuleBook, list[PackProblem]]:
    """Return the book that dated files say, as far as they can be read, and everything that is wrong with them.

    Args:
        product: the product's code.
        files: contents by path in the pack, `<product>/rules/<date>.toml`.
        kinds: the kinds of rules that the engine knows.

    """
    problems: list[PackProblem] = []
    by_tag = {str(kind.__struct_config__.tag): kind for kind in kinds}
    dated = _by_date(files, problems)
    state: dict[str, _Turn] = {}
    turns: list[_Turn] = []
    for day, file in sorted(dated.items()):
        page = _Page(file, day, by_tag, problems)
        if page.read(files[file]):
            page.turn(state, turns)
    return RuleBook(product, turns), problems


class _Page:
    """One dated file of a book, being read."""

    def __init__(self, file: str, day: date, by_tag: Mapping[str, type[Rule]], problems: list[PackProblem]) -> None:
        self.file = file
        self.day = day
        self.by_tag = by_tag
        self.problems = problems
        self.rules: list[tuple[int, Rule]] = []
        self.repeals: list[tuple[int, Repeal]] = []

    def read(self, content: bytes) -> bool:
        """Decode the rows; return whether the file could be read at all."""
        table = read_toml(self.file, content, self.problems)
        if table is None:
            return False
        for name in table:
            if name not in ("rule", "repeal"):
                self._add(name, unknown(name, ("rule", "repeal"), what="a known key"))
        rules = self._rows(table, "rule")
        repeals = self._rows(table, "repeal")
        if not rules and not repeals:
            self._add("", "has neither a [[rule]] nor a [[repeal]]")
        for row, value in rules:
            rule = self._rule(row, value)
            if rule is not None:
                self.rules.append((row, rule))
        for row, value in repeals:
            repeal, found = decode(value, Repeal, file=self.file, key=f"repeal[{row}]")
            self.problems.extend(found)
            if repeal is not None:
                self.repeals.append((row, repeal))
        return True

    def turn(self, state: dict[str, _Turn], turns: list[_Turn]) -> None:
        """Apply the rows to the rules in force so far, and add what changed to `turns`."""
        is_first = not turns
        named: dict[str, str] = {}
        for row, rule in self.rules:
            key = f"rule[{row}]"
            if self._is_named(rule.id, key, named):
                continue
            earlier = state.get(rule.id)
            if earlier is not None and earlier.kind is not type(rule):
                self._add(under(key, "kind"), f"the rule {rule.id} is of another kind; repeal it and choose a new id")
                continue
            state[rule.id] = _Turn(self.day, rule.id, type(rule), rule.applies_by, rule)
            turns.append(state[rule.id])
        for row, repeal in self.repeals:
            key = f"repeal[{row}]"
            if self._is_named(repeal.id, key, named):
                continue
            ended = state.pop(repeal.id, None)
            if ended is None:
                reason = "the first rule book has nothing to repeal" if is_first else ""
                self._add(under(key, "id"), reason or unknown(repeal.id, state, what="a rule in force"))
                continue
            turns.append(_Turn(self.day, repeal.id, ended.kind, repeal.applies_by or ended.applies_by, None))
        self._one_of_a_kind(state)

    def _one_of_a_kind(self, state: Mapping[str, _Turn]) -> None:
        rows = {rule.id: row for row, rule in self.rules}
        by_kind: dict[type[Rule], list[str]] = {}
        for rule_id, turn in state.items():
            by_kind.setdefault(turn.kind, []).append(rule_id)
        for kind, ids in by_kind.items():
            new = [rule_id for rule_id in ids if rule_id in rows]
            if len(ids) > 1 and new and not holds_many(kind):
                others = ", ".join(rule_id for rule_id in ids if rule_id != new[-1])
                tag = kind.__struct_config__.tag
                self._add(f"rule[{rows[new[-1]]}].kind", f"a product has one {tag} at a time, and {others} is in force")

    def _rule(self, row: int, value: object) -> Rule | None:
        key = f"rule[{row}]"
        tag = value.get("kind") if isinstance(value, Mapping) else None
        if not isinstance(value, Mapping):
            self._add(key, f"{shown(value)} is not a table")
        elif not isinstance(tag, str) or tag not in self.by_tag:
            reason = "is missing; allowed: " + ", ".join(sorted(self.by_tag))
            self._add(under(key, "kind"), reason if tag is None else unknown(tag, self.by_tag, what="a kind of rule"))
        else:
            rule, found = decode(value, self.by_tag[tag], file=self.file, key=key)
            self.problems.extend(found)
            return rule
        return None

    def _rows(self, table: Mapping[str, object], name: str) -> list[tuple[int, object]]:
        rows = table.get(name, [])
        if not isinstance(rows, list):
            self._add(name, f"is not a list of tables; write [[{name}]]")
            return []
        return list(enumerate(rows, 1))

    def _is_named(self, rule_id: str, key: str, named: dict[str, str]) -> bool:
        if rule_id in named:
            self._add(under(key, "id"), f"{shown(rule_id)} stands in {named[rule_id]} already")
            return True
        named[rule_id] = key
        return False

    def _add(self, key: str, reason: str) -> None:
        self.problems.append(PackProblem(self.file, key, reason))


def opening_problems(product: str, opened_on: date, files: Iterable[str]) -> list[PackProblem]:
    """Return whether a product has days before its first rule book, or no rule book at all."""
    days = sorted(day for day in (_day(file) for file in files) if day is not None)
    folder = f"{product}/rules"
    if not days:
        return [PackProblem(folder, "", f"the product {product} has no rule book; write {folder}/{opened_on}.toml")]
    if days[0] > opened_on:
        reason = f"the first rule book is of {days[0]}, but the product opened on {opened_on}: no rules in between"
        return [PackProblem(f"{folder}/{days[0]}.toml", "", reason)]
    return []


def read_toml(file: str, content: bytes, problems: list[PackProblem]) -> dict[str, object] | None:
    """Return the tables of a TOML file, or None and one more problem."""
    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError:
        problems.append(PackProblem(file, "", "is not text in UTF-8"))
    except tomllib.TOMLDecodeError as error:
        problems.append(PackProblem(file, "", f"is not TOML: {error}"))
    return None


def _day(file: str) -> date | None:
    stem = PurePosixPath(file).stem
    try:
        day = date.fromisoformat(stem)
    except ValueError:
        return None
    return day if day.isoformat() == stem else None


def _by_date(files: Iterable[str], problems: list[PackProblem]) -> dict[date, str]:
    dated: dict[date, str] = {}
    for file in files:
        day = _day(file)
        if day is None or not file.endswith(".toml"):
            problems.append(PackProblem(file, "", "a rule book is named by the day it takes effect: 2024-04-01.toml"))
        else:
            dated[day] = file
    return dated
