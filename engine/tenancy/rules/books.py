"""Rule books: which version of which rule decides, by the date that the rule says it applies by.

A product's book is a row of dated files. The first is whole; each later one adds rules, replaces them by id, or repeals
them; several of one date count in the order of their names. A version whose `applies_by` is "event" decides every event
from its date on. One that applies by "joining" decides only for members who joined on or after its date: the others keep
what they had. Likewise by birth, contribution tranche, scheme year, start of benefit and death.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import combinations, pairwise
from itertools import product as cartesian
from pathlib import PurePosixPath
from typing import Annotated, Generic, TypeVar

from msgspec import Meta, Struct

from engine.kernel.rules import AppliesBy, Dates, Rule, RuleId
from engine.tenancy.errors import PackProblem
from engine.tenancy.rules.decoding import decode, shown, under, unknown
from engine.tenancy.rules.manifest import Source

AnyRule = TypeVar("AnyRule", bound=Rule)


_FIELDS: Mapping[AppliesBy, str] = {
    "joining": "joined_on",
    "birth": "born_on",
    "tranche": "tranche_on",
    "scheme-year": "scheme_year_from",
    "benefit-start": "benefit_from",
    "death": "died_on",
}


class Repeal(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The end of a rule. It reaches whom the rule's own versions reach, unless `applies_by` says otherwise.

    A repeal by "joining" leaves the rule to those who joined before it; one by "event" ends it for all.
    """

    id: RuleId
    source: Source
    applies_by: AppliesBy | None = None


class Change(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a file of a book is: a law's or a rule book's title, and when it was enacted where that was not before its date."""

    title: Annotated[str, Meta(min_length=3, max_length=200)] = ""
    enacted_on: date | None = None


@dataclass(frozen=True, slots=True)
class DatedChange:
    """A file of a book: since when it is in force, and since when it could be known."""

    file: str
    effective_from: date
    title: str
    enacted_on: date

    @property
    def is_retroactive(self) -> bool:
        """Return whether decisions may have been made under the rules that this change replaced in arrears."""
        return self.enacted_on > self.effective_from


@dataclass(frozen=True, slots=True)
class InForce(Generic[AnyRule]):
    """A version of a rule, the date it is in force from, and the name of the file that made it, without ending."""

    rule: AnyRule
    effective_from: date
    page: str = ""

    @property
    def ref(self) -> str:
        """Return the version's name in decision traces: "contribution-amount@2010-04-01"."""
        return f"{self.rule.id}@{self.page or self.effective_from.isoformat()}"


@dataclass(frozen=True, slots=True)
class Stretch:
    """The days on which some members joined, both included; None is no bound."""

    joined_from: date | None = None
    joined_until: date | None = None

    def joined_by(self, day: date) -> date:
        """Return a day of the stretch that stands for all of it: its first, or its last up to `day`."""
        return self.joined_from or min(self.joined_until or day, day)

    def holds(self, day: date) -> bool:
        """Return whether a day is in the stretch."""
        return (self.joined_from or day) <= day <= (self.joined_until or day)

    def meets(self, later: "Stretch") -> bool:
        """Return whether another stretch begins on the day after this one."""
        return self.joined_until is not None and later.joined_from == self.joined_until + timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Turn:
    """A change of one rule by one page: to `rule`, or to nothing. `order` is the page's place among all."""

    effective_from: date
    order: int
    page: str
    rule_id: str
    kind: type[Rule]
    applies_by: AppliesBy
    rule: Rule | None
    row: int = 0

    def reaches(self, dates: Dates) -> bool:
        """Return whether this turn decides what is decided by `dates`."""
        if self.effective_from > dates.on:
            return False
        asked = dates.by(self.applies_by)
        if asked is None:
            raise ValueError(f"the rule {self.rule_id} applies by {self.applies_by}: that date is not known")
        return asked >= self.effective_from


def _left_to_some(turns: Sequence[_Turn], repeal: Repeal) -> _Turn | None:
    """Return the repeal that left a rule to those it had reached, where `repeal` ends it by event, for them too."""
    last = next((turn for turn in reversed(turns) if turn.rule_id == repeal.id), None)
    is_partial = last is not None and last.rule is None and last.applies_by != "event"
    return last if is_partial and repeal.applies_by == "event" else None


def holds_many(kind: type[Rule]) -> bool:
    """Return whether a product may have several rules of this kind at a time (`many: ClassVar[bool] = True`)."""
    return bool(getattr(kind, "many", False))


class RuleBook:
    """All versions of all rules of one product."""

    def __init__(self, product: str, turns: Iterable[_Turn] = (), changes: Iterable[DatedChange] = ()) -> None:
        """Keep the turns by kind and rule, the newest first."""
        self.product = product
        self.changes = tuple(sorted(changes, key=lambda one: (one.effective_from, one.file)))
        self._by_kind: dict[type[Rule], dict[str, list[_Turn]]] = {}
        for turn in sorted(turns, key=lambda turn: turn.order, reverse=True):
            self._by_kind.setdefault(turn.kind, {}).setdefault(turn.rule_id, []).append(turn)

    def in_force(self, kind: type[AnyRule], dates: Dates) -> InForce[AnyRule] | None:
        """Return the one rule of `kind` that decides by `dates`, or None.

        Args:
            kind: a kind of which a product has one rule at a time.
            dates: the dates of the decision; one that a version applies by must be known.

        Raises:
            ValueError: a version applies by a date that is None.

        """
        assert not holds_many(kind), f"{kind.__name__} is a kind of many rules: ask all_in_force"
        found = self._decided(kind, dates)
        newest = max(found, key=lambda turn: turn.order, default=None)
        return None if newest is None else _in_force(newest, kind)

    def all_in_force(self, kind: type[AnyRule], dates: Dates) -> tuple[InForce[AnyRule], ...]:
        """Return every rule of `kind` that decides by `dates`, by id; else as `in_force`."""
        return tuple(_in_force(turn, kind) for turn in sorted(self._decided(kind, dates), key=lambda one: one.rule_id))

    def _decided(self, kind: type[Rule], dates: Dates) -> list[_Turn]:
        deciding = (
            next((turn for turn in turns if turn.reaches(dates)), None)
            for turns in self._by_kind.get(kind, {}).values()
        )
        return [turn for turn in deciding if turn is not None and turn.rule is not None]

    def decides_as(self, other: "RuleBook", kinds: Iterable[type[Rule]]) -> bool:
        """Return whether the rules of `kinds` decide every case as those of another book do, and by the same names."""
        return all(self.turns(kind) == other.turns(kind) for kind in kinds)

    def turns(self, kind: type[Rule]) -> dict[str, list[_Turn]]:
        """Return the turns by rule, the newest first, wherever they stand in the book."""
        found = self._by_kind.get(kind, {})
        return {rule_id: [replace(turn, order=0, row=0) for turn in turns] for rule_id, turns in found.items()}

    def joining_stretches(self, kinds: Iterable[type[Rule]]) -> tuple["Stretch", ...]:
        """Return the stretches of joining days whose members the rules of `kinds` decide alike, on whatever day.

        One, of all days, where none of the rules goes by joining.
        """
        turns = [turn for kind in kinds for turns in self._by_kind.get(kind, {}).values() for turn in turns]
        if all(turn.applies_by != "joining" for turn in turns):
            return (Stretch(),)
        days = sorted({turn.effective_from for turn in turns})
        return tuple(
            Stretch(since, None if until is None else until - timedelta(days=1))
            for since, until in pairwise((None, *days, None))
        )

    def in_force_by_joining(
        self, kind: type[AnyRule], year: tuple[date, date]
    ) -> tuple[tuple["Stretch", InForce[AnyRule]], ...]:
        """Return the rules of a kind of one that decide a scheme year, each with the joining days of those it decides for.

        What was in force on the first day of the year decides it, or on the day of joining where that was later.
        """
        found: list[tuple[Stretch, InForce[AnyRule]]] = []
        for stretch in self.joining_stretches((kind,)):
            joined = stretch.joined_by(year[0])
            if joined >= year[1]:
                continue
            rule = self.in_force(kind, Dates(on=max(year[0], joined), joined_on=joined, scheme_year_from=year[0]))
            if rule is not None and found and found[-1][1].ref == rule.ref and found[-1][0].meets(stretch):
                found[-1] = (Stretch(found[-1][0].joined_from, stretch.joined_until), rule)
            elif rule is not None:
                found.append((stretch, rule))
        return tuple(found)

    def overlapping(self) -> tuple[tuple[str, int, str, str, str, date], ...]:
        """Return which versions could decide a case that another rule of their kind decides too.

        A version is picked by comparing dates with the days on which versions take effect, so that those days, and one
        before them all, stand for every date: each is tried as the event's day and as each date that versions apply by.

        Returns:
            The page, row and id of the later version, the other's name in traces, by which figures cases are told apart
            ("" where they are not), and the first day they are both in force.

        """
        found: dict[tuple[str, int, str, str, str], date] = {}
        for kind, by_id in self._by_kind.items():
            shares = kind.overlaps is not Rule.overlaps or kind.one_for
            if len(by_id) == 1 or (holds_many(kind) and not shares):
                continue
            turns = [turn for turns in by_id.values() for turn in turns]
            days = sorted({turn.effective_from for turn in turns})
            fields = sorted({_FIELDS[turn.applies_by] for turn in turns if turn.applies_by != "event"})
            for on, *others in cartesian(days, *((date.min, *days) for _ in fields)):
                decided = self._decided(kind, Dates(on=on, **dict(zip(fields, others, strict=True))))
                for one, other in combinations(sorted(decided, key=lambda turn: (turn.order, turn.row)), 2):
                    if one.rule is None or other.rule is None:
                        continue
                    if not holds_many(kind) or one.rule.overlaps(other.rule):
                        told_by = " or ".join(kind.one_for)
                        found.setdefault(
                            (other.page, other.row, other.rule_id, f"{one.rule_id}@{one.page}", told_by), on
                        )
        return tuple((*key, on) for key, on in found.items())

    def versions(self) -> tuple[InForce[Rule], ...]:
        """Return every version of every rule, by date and id."""
        turns = (turn for kind in self._by_kind.values() for turns in kind.values() for turn in turns)
        found = [InForce(turn.rule, turn.effective_from, turn.page) for turn in turns if turn.rule is not None]
        return tuple(sorted(found, key=lambda one: (one.effective_from, one.page, one.rule.id)))

    def ending(self, version: InForce[Rule]) -> tuple[date, AppliesBy, bool] | None:
        """Return since when a version decides no new case, by which date that is counted, and whether another replaced it."""
        turns = self._by_kind[type(version.rule)][version.rule.id]
        at = next(n for n, one in enumerate(turns) if (one.rule, one.page) == (version.rule, version.page))
        return (turns[at - 1].effective_from, turns[at - 1].applies_by, turns[at - 1].rule is not None) if at else None

    def version(self, ref: str) -> InForce[Rule] | None:
        """Return the version that decision traces call `ref`, or None."""
        return next((one for one in self.versions() if one.ref == ref), None)

    def with_rule(self, ref: str, rule: Rule) -> "RuleBook":
        """Return the book with another rule in the place of the version that traces call `ref`."""
        turns = [turn for kind in self._by_kind.values() for turns in kind.values() for turn in turns]
        return RuleBook(
            self.product,
            (replace(one, rule=rule) if one.rule and f"{one.rule_id}@{one.page}" == ref else one for one in turns),
            self.changes,
        )

    def latest(self) -> tuple[InForce[Rule], ...]:
        """Return the last version of every rule that is not repealed, by id: the book as new members will find it."""
        last = [turns[0] for kind in self._by_kind.values() for turns in kind.values()]
        found = [InForce(turn.rule, turn.effective_from, turn.page) for turn in last if turn.rule is not None]
        return tuple(sorted(found, key=lambda one: one.rule.id))


@dataclass(frozen=True, slots=True)
class OnDates:
    """A rule book on the dates of one decision."""

    book: RuleBook
    dates: Dates

    def rule(self, kind: type[AnyRule]) -> InForce[AnyRule] | None:
        """Return the rule of a kind of one."""
        return self.book.in_force(kind, self.dates)

    def rules(self, kind: type[AnyRule]) -> tuple[InForce[AnyRule], ...]:
        """Return the rules of a kind of many."""
        return self.book.all_in_force(kind, self.dates)


def _in_force(turn: _Turn, kind: type[AnyRule]) -> InForce[AnyRule]:
    assert isinstance(turn.rule, kind), turn
    return InForce(turn.rule, turn.effective_from, turn.page)


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
    state: dict[str, _Turn] = {}
    turns: list[_Turn] = []
    changes: list[DatedChange] = []
    for order, (day, file) in enumerate(_by_date(files, problems)):
        page = _Page(file, day, order, by_tag, problems)
        if page.read(files[file]):
            page.turn(state, turns)
            changes.append(DatedChange(file, day, page.change.title, page.change.enacted_on or day))
    book = RuleBook(product, turns, changes)
    told = {(one.file, one.key) for one in problems}
    for name, row, own, other, told_by, on in book.overlapping():
        if (f"{product}/rules/{name}.toml", f"rule[{row}].kind") in told:
            continue
        ways = f"give one another {told_by}, let one end" if told_by else "let one end"
        reason = (
            f"{own} could decide the same case as {other} from {on} on; {ways} where the other begins, or repeal one"
        )
        problems.append(PackProblem(f"{product}/rules/{name}.toml", f"rule[{row}]", reason))
    return book, problems


class _Page:
    """One dated file of a book, being read."""

    def __init__(
        self, file: str, day: date, order: int, by_tag: Mapping[str, type[Rule]], problems: list[PackProblem]
    ) -> None:
        self.file = file
        self.name = PurePosixPath(file).stem
        self.day = day
        self.order = order
        self.change = Change()
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
            if name not in ("change", "rule", "repeal"):
                self._add(name, unknown(name, ("change", "rule", "repeal"), what="a known key"))
        if "change" in table:
            change, found = decode(table["change"], Change, file=self.file, key="change")
            self.problems.extend(found)
            self.change = change or self.change
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
            self._may_apply(type(rule), rule.applies_by, under(key, "applies_by"))
            state[rule.id] = replace(self._made(rule.id, type(rule), rule.applies_by, rule), row=row)
            turns.append(state[rule.id])
        for row, repeal in self.repeals:
            key = f"repeal[{row}]"
            if self._is_named(repeal.id, key, named):
                continue
            ended = state.pop(repeal.id, None) or _left_to_some(turns, repeal)
            if ended is None:
                reason = "the first rule book has nothing to repeal" if is_first else ""
                self._add(under(key, "id"), reason or unknown(repeal.id, state, what="a rule in force"))
                continue
            by = repeal.applies_by or ended.applies_by
            self._may_apply(ended.kind, by, under(key, "applies_by"))
            turns.append(self._made(repeal.id, ended.kind, by, None))
        self._one_of_a_kind(state)

    def _may_apply(self, kind: type[Rule], by: AppliesBy, key: str) -> None:
        if by not in kind.may_apply_by:
            allowed = ", ".join(kind.may_apply_by)
            tag = kind.__struct_config__.tag
            self._add(key, f"{tag} decides for members of whom no {by} date is asked; allowed: {allowed}")

    def _made(self, rule_id: str, kind: type[Rule], applies_by: AppliesBy, rule: Rule | None) -> _Turn:
        return _Turn(self.day, self.order, self.name, rule_id, kind, applies_by, rule)

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
                mend = "give this row that id to replace it, or repeal it"
                reason = f"a product has one {tag} at a time, and {others} is in force; {mend}"
                self._add(f"rule[{rows[new[-1]]}].kind", reason)

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
            if rule is not None and rule.confidence == "low" and not rule.assumption:
                self._add(under(key, "assumption"), "is missing: a figure of low confidence says what was assumed")
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


def page_day(path: str) -> date | None:
    """Return the day that a page of a rule book takes effect; None for any other file of a pack."""
    return _day(path) if re.fullmatch(r"[a-z][a-z0-9-]*/rules/[^/]+\.toml", path) else None


def _day(file: str) -> date | None:
    """Return the day in the name of a page: 2024-04-01.toml, or 2024-04-01-a-second-law.toml."""
    named = re.fullmatch(r"(\d{4}-\d\d-\d\d)(-[a-z0-9-]+)?", PurePosixPath(file).stem)
    if named is None:
        return None
    try:
        return date.fromisoformat(named[1])
    except ValueError:
        return None


def _by_date(files: Iterable[str], problems: list[PackProblem]) -> list[tuple[date, str]]:
    dated: list[tuple[date, str]] = []
    for file in files:
        day = _day(file)
        if day is None or not file.endswith(".toml"):
            reason = "a rule book is named by the day it takes effect: 2024-04-01.toml, or 2024-04-01-second-law.toml"
            problems.append(PackProblem(file, "", reason))
        else:
            dated.append((day, file.removesuffix(".toml")))
    return [(day, f"{stem}.toml") for day, stem in sorted(dated)]
