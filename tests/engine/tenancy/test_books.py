"""Which version of which rule decides: by date, by joining cohort, through replacement and repeal."""

from datetime import date, timedelta
from typing import ClassVar, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel.rules import BY_EVENT, BY_YEAR, AppliesBy, Dates, Rule
from engine.tenancy.rules.books import RuleBook, Stretch, decode_book

D = date.fromisoformat
Changes = dict[date, dict[str, int | None]]


class Amount(Rule, tag="amount", frozen=True, kw_only=True):
    value: int


class Document(Rule, tag="document", frozen=True, kw_only=True):
    many: ClassVar[bool] = True
    value: int


KINDS = (Amount, Document)


def book(**files: str) -> RuleBook:
    """Make a book from d2020_01_01="..." and its kin; it must be sound."""
    contents = {f"main/rules/{name[1:].replace('_', '-')}.toml": text.encode() for name, text in files.items()}
    made, problems = decode_book("main", contents, KINDS)
    assert problems == []
    return made


def rule(value: int, applies_by: str = "event", kind: str = "amount", id: str = "one") -> str:
    return (
        f'[[rule]]\nkind = "{kind}"\nid = "{id}"\nvalue = {value}\napplies_by = "{applies_by}"\nsource = "p. {value}"\n'
        'confidence = "high"\n'
    )


def repeal(id: str = "one", applies_by: str | None = None) -> str:
    return f'[[repeal]]\nid = "{id}"\nsource = "end"\n' + (f'applies_by = "{applies_by}"\n' if applies_by else "")


def value_of(made: RuleBook, on: str, joined_on: str | None = None) -> int | None:
    found = made.in_force(Amount, Dates(on=D(on), joined_on=D(joined_on) if joined_on else None))
    return found.rule.value if found else None


def test_before_the_first_day_nothing_is_in_force() -> None:
    made = book(d2020_01_01=rule(1))
    assert made.in_force(Amount, Dates(on=D("2019-12-31"))) is None
    assert value_of(made, "2020-01-01") == 1


def test_a_later_file_replaces_from_its_day_on() -> None:
    made = book(d2020_01_01=rule(1), d2022_04_01=rule(2))
    assert value_of(made, "2022-03-31") == 1
    assert value_of(made, "2022-04-01") == 2


def test_a_version_says_since_when_and_how_it_is_called() -> None:
    made = book(d2020_01_01=rule(1) + rule(5, kind="document", id="two"), d2022_04_01=rule(2))
    found = made.in_force(Amount, Dates(on=D("2023-01-01")))
    assert found is not None
    assert (found.effective_from, found.ref) == (D("2022-04-01"), "one@2022-04-01")
    untouched = made.all_in_force(Document, Dates(on=D("2023-01-01")))
    assert [one.ref for one in untouched] == ["two@2020-01-01"]
    first = made.version("one@2020-01-01")
    assert first is not None
    assert first.rule == Amount(id="one", source="p. 1", confidence="high", value=1)
    assert made.version("one@2021-01-01") is None


def test_a_repeal_ends_a_rule() -> None:
    made = book(d2020_01_01=rule(1), d2022_04_01=repeal())
    assert value_of(made, "2022-03-31") == 1
    assert value_of(made, "2022-04-01") is None


def test_a_rule_may_come_back_after_its_repeal() -> None:
    made = book(d2020_01_01=rule(1), d2022_04_01=repeal(), d2023_01_01=rule(3))
    assert value_of(made, "2022-12-31") is None
    assert value_of(made, "2023-01-01") == 3


def test_another_rule_of_the_kind_may_take_over_in_one_file() -> None:
    made = book(d2020_01_01=rule(1), d2022_04_01=repeal() + rule(2, id="two"))
    assert value_of(made, "2022-03-31") == 1
    assert value_of(made, "2022-04-01") == 2


def test_by_joining_the_cohort_keeps_its_version() -> None:
    made = book(d2020_01_01=rule(1, "joining"), d2022_04_01=rule(2, "joining"))
    assert value_of(made, "2025-01-01", "2022-03-31") == 1
    assert value_of(made, "2025-01-01", "2022-04-01") == 2


def test_a_match_for_one_joining_window_lives_on_for_its_cohort() -> None:
    made = book(d2015_06_01=rule(1, "joining"), d2016_04_01=repeal())
    assert value_of(made, "2019-01-01", "2015-05-31") is None
    assert value_of(made, "2019-01-01", "2015-06-01") == 1
    assert value_of(made, "2019-01-01", "2016-03-31") == 1
    assert value_of(made, "2019-01-01", "2016-04-01") is None


def test_a_repeal_by_event_ends_the_cohorts_rule_too() -> None:
    made = book(d2015_06_01=rule(1, "joining"), d2016_04_01=repeal(applies_by="event"))
    assert value_of(made, "2016-03-31", "2015-06-01") == 1
    assert value_of(made, "2016-04-01", "2015-06-01") is None


def test_what_one_repeal_left_to_a_cohort_another_by_event_ends() -> None:
    ended = {"d2015_06_01": rule(1, "joining"), "d2016_04_01": repeal(), "d2020_04_01": repeal(applies_by="event")}
    made = book(**ended)
    assert value_of(made, "2020-03-31", "2016-03-31") == 1
    assert value_of(made, "2020-03-31", "2016-04-01") is None
    assert value_of(made, "2020-04-01", "2016-03-31") is None


@pytest.mark.parametrize(("first", "second"), [(None, None), (None, "joining"), ("event", "event")])
def test_what_is_ended_for_all_it_reached_is_not_ended_again(first: str | None, second: str | None) -> None:
    files = {
        "2015-06-01": rule(1, "joining"),
        "2016-04-01": repeal(applies_by=first),
        "2020-04-01": repeal(applies_by=second),
    }
    _, problems = decode_book("main", {f"main/rules/{day}.toml": text.encode() for day, text in files.items()}, KINDS)
    assert [str(one) for one in problems] == [
        'main/rules/2020-04-01.toml: repeal[1].id: "one" is not a rule in force; allowed: none'
    ]


def test_a_new_version_for_newcomers_leaves_others_what_they_had() -> None:
    made = book(d2010_01_01=rule(1), d2015_01_01=rule(2, "joining"))
    assert value_of(made, "2016-01-01", "2012-01-01") == 1
    assert value_of(made, "2016-01-01", "2015-01-01") == 2


def test_a_version_for_everyone_ends_the_cohorts() -> None:
    made = book(d2010_01_01=rule(1, "joining"), d2015_01_01=rule(2), d2018_01_01=rule(3, "joining"))
    assert value_of(made, "2014-12-31", "2010-01-01") == 1
    assert value_of(made, "2015-01-01", "2010-01-01") == 2
    assert value_of(made, "2019-01-01", "2010-01-01") == 2
    assert value_of(made, "2019-01-01", "2018-01-01") == 3


def test_by_joining_without_the_day_of_joining_is_an_error() -> None:
    made = book(d2020_01_01=rule(1), d2022_01_01=rule(2, "joining"))
    assert value_of(made, "2021-12-31") == 1
    with pytest.raises(ValueError, match="applies by joining"):
        value_of(made, "2022-01-01")


def test_a_kind_of_many_gives_all_by_id_and_a_kind_of_one_refuses_to_choose() -> None:
    made = book(
        d2020_01_01=rule(1, kind="document", id="passport") + rule(2, kind="document", id="card"),
        d2021_01_01=rule(3, kind="document", id="card") + repeal("passport"),
    )
    assert [one.ref for one in made.all_in_force(Document, Dates(on=D("2020-06-01")))] == [
        "card@2020-01-01",
        "passport@2020-01-01",
    ]
    assert [one.ref for one in made.all_in_force(Document, Dates(on=D("2021-06-01")))] == ["card@2021-01-01"]
    with pytest.raises(AssertionError, match="kind of many"):
        made.in_force(Document, Dates(on=D("2020-06-01")))


START = D("2020-01-01")
DAYS = st.integers(-20, 400).map(lambda n: START + timedelta(days=n))
CHANGES = st.dictionaries(
    st.integers(0, 300).map(lambda n: START + timedelta(days=n)),
    st.dictionaries(st.sampled_from(["aa", "bb", "cc"]), st.one_of(st.none(), st.integers(0, 9)), min_size=1),
    min_size=1,
    max_size=6,
)


def pages(changes: Changes, applies_by: str) -> dict[str, bytes]:
    """Write changes as files, leaving out repeals of what is not in force."""
    standing: set[str] = set()
    files = {}
    for day, change in sorted(changes.items()):
        text = ""
        for name, value in change.items():
            if value is not None:
                text += rule(value, applies_by, "document", name)
                standing.add(name)
            elif name in standing:
                text += repeal(name)
                standing.discard(name)
        if text:
            files[f"main/rules/{day}.toml"] = text.encode()
    return files


def folded(changes: Changes, until: date) -> dict[str, int]:
    """Fold the changes up to and including a day, the plain way."""
    standing: dict[str, int | None] = {}
    for _, change in sorted((day, change) for day, change in changes.items() if day <= until):
        standing.update(change)
    return {name: value for name, value in standing.items() if value is not None}


def in_force(made: RuleBook, on: date, joined_on: date | None) -> dict[str, int]:
    return {one.rule.id: one.rule.value for one in made.all_in_force(Document, Dates(on=on, joined_on=joined_on))}


@given(CHANGES, DAYS, st.one_of(st.none(), DAYS))
def test_by_event_the_files_up_to_the_day_decide_whenever_the_member_joined(
    changes: Changes, on: date, joined_on: date | None
) -> None:
    made, problems = decode_book("main", pages(changes, "event"), KINDS)
    assert problems == []
    assert in_force(made, on, joined_on) == folded(changes, on)


@given(CHANGES, DAYS, st.integers(0, 400))
def test_by_joining_the_files_up_to_joining_decide_for_ever(changes: Changes, joined_on: date, days_later: int) -> None:
    made, problems = decode_book("main", pages(changes, "joining"), KINDS)
    assert problems == []
    assert in_force(made, joined_on + timedelta(days=days_later), joined_on) == folded(changes, joined_on)


@given(CHANGES, DAYS, DAYS)
def test_what_is_in_force_depends_on_no_later_file(changes: Changes, on: date, joined_on: date | None) -> None:
    """A file of tomorrow changes no decision of today: history can be replayed."""
    for applies_by in ("event", "joining"):
        known = {day: change for day, change in changes.items() if day <= on}
        whole, _ = decode_book("main", pages(changes, applies_by), KINDS)
        part, _ = decode_book("main", pages(known, applies_by), KINDS)
        assert in_force(whole, on, joined_on) == in_force(part, on, joined_on)


class Span(Rule, tag="span", frozen=True, kw_only=True):
    """Holds from `first` up to and without `end`."""

    many: ClassVar[bool] = True
    first: int
    end: int

    def overlaps(self, other: Self) -> bool:
        return self.first < other.end and other.first < self.end


def span(id: str, first: int, end: int, applies_by: str = "event") -> str:
    return (
        f'[[rule]]\nkind = "span"\nid = "{id}"\nfirst = {first}\nend = {end}\napplies_by = "{applies_by}"\n'
        'source = "p. 1"\nconfidence = "high"\n'
    )


def overlaps(**files: str) -> list[tuple[str, str, str]]:
    contents = {f"main/rules/{name[1:].replace('_', '-')}.toml": text.encode() for name, text in files.items()}
    _, problems = decode_book("main", contents, (Span,))
    return [(one.file, one.key, one.reason.partition(" on;")[0]) for one in problems]


def test_rules_that_share_cases_out_may_meet_and_not_overlap() -> None:
    assert overlaps(d2020_01_01=span("one", 0, 10) + span("two", 10, 20)) == []
    assert overlaps(d2020_01_01=span("one", 0, 10) + span("two", 9, 20)) == [
        ("main/rules/2020-01-01.toml", "rule[2]", "two could decide the same case as one@2020-01-01 from 2020-01-01")
    ]


def test_a_later_page_overlaps_what_is_still_in_force() -> None:
    first = span("one", 0, 10)
    told = [
        ("main/rules/2022-01-01.toml", "rule[1]", "two could decide the same case as one@2020-01-01 from 2022-01-01")
    ]
    assert overlaps(d2020_01_01=first, d2022_01_01=span("two", 5, 20)) == told
    assert overlaps(d2020_01_01=first, d2022_01_01=span("two", 5, 20) + repeal()) == []
    assert overlaps(d2020_01_01=first, d2022_01_01=span("two", 5, 20) + span("one", 0, 5)) == []


def test_a_rule_that_some_keep_overlaps_one_that_reaches_them_too() -> None:
    first, told = span("one", 0, 10), "two could decide the same case as one@2020-01-01 from 2022-01-01"
    for end in (repeal(applies_by="joining"), span("one", 0, 5, "joining")):
        found = overlaps(d2020_01_01=first, d2022_01_01=span("two", 5, 20) + end)
        assert found == [("main/rules/2022-01-01.toml", "rule[1]", told)], end
        assert overlaps(d2020_01_01=first, d2022_01_01=span("two", 10, 20) + end) == [], end


YEAR = (D("2021-01-01"), D("2022-01-01"))


def cohorts(made: RuleBook) -> list[tuple[str, str, int]]:
    return [
        (
            str(stretch.joined_from or ""),
            str(stretch.joined_until or ""),
            found.rule.value,
        )
        for stretch, found in made.in_force_by_joining(Amount, YEAR)
    ]


def test_a_year_is_decided_for_all_alike_where_nothing_goes_by_joining() -> None:
    made = book(d2020_01_01=rule(1), d2021_07_01=rule(2), d2022_01_01=rule(3))
    assert cohorts(made) == [("", "", 1)]


def test_a_year_is_decided_by_stretches_of_joining_days() -> None:
    made = book(d2020_01_01=rule(1), d2020_07_01=rule(2, "joining"), d2021_03_01=rule(3, "joining"))
    assert cohorts(made) == [
        ("", "2020-06-30", 1),
        ("2020-07-01", "2021-02-28", 2),
        ("2021-03-01", "", 3),
    ]
    assert cohorts(book(d2020_01_01=rule(1), d2020_07_01=repeal(applies_by="joining"))) == [("", "2020-06-30", 1)]
    assert Stretch().joined_by(D("2020-01-01")) == D("2020-01-01")
    assert cohorts(book(d2020_01_01=rule(1), d2022_01_01=rule(2, "joining"))) == [("", "2021-12-31", 1)]


@given(st.lists(st.tuples(st.integers(0, 900), st.sampled_from(["event", "joining"])), min_size=1, max_size=5), DAYS)
def test_a_member_is_in_the_cohort_of_the_rule_that_decides_for_them(
    changes: list[tuple[int, str]], joined_on: date
) -> None:
    files = {f"main/rules/{START + timedelta(days=n)}.toml": rule(n, by).encode() for n, by in dict(changes).items()}
    made, problems = decode_book("main", files, KINDS)
    assert problems == []
    dates = Dates(on=max(YEAR[0], joined_on), joined_on=joined_on, scheme_year_from=YEAR[0])
    wanted = made.in_force(Amount, dates)
    if all(version.rule.applies_by == "event" for version in made.versions()):
        wanted = made.in_force(Amount, Dates(on=YEAR[0]))
    found = [one.ref for stretch, one in made.in_force_by_joining(Amount, YEAR) if stretch.holds(joined_on)]
    assert found == ([wanted.ref] if wanted else [])


class Daily(Rule, tag="daily", frozen=True, kw_only=True):
    may_apply_by: ClassVar[tuple[AppliesBy, ...]] = BY_EVENT
    value: int


class Yearly(Rule, tag="yearly", frozen=True, kw_only=True):
    may_apply_by: ClassVar[tuple[AppliesBy, ...]] = BY_YEAR
    value: int


def test_a_rule_by_a_date_that_nobody_asks_for_is_refused_in_words() -> None:
    def told(text: str) -> list[tuple[str, str]]:
        files = {
            "main/rules/2020-01-01.toml": rule(1, kind="daily").encode(),
            "main/rules/2021-01-01.toml": text.encode(),
        }
        _, problems = decode_book("main", files, (Daily, Yearly))
        return [(one.key, one.reason) for one in problems]

    reason = "daily decides for members of whom no joining date is asked; allowed: event"
    assert told(rule(2, "event", "daily")) == []
    assert told(rule(2, "joining", "daily")) == [("rule[1].applies_by", reason)]
    assert told(repeal(applies_by="joining")) == [("repeal[1].applies_by", reason)]
    assert told(rule(2, "scheme-year", "yearly", "two")) == []
    assert told(rule(2, "birth", "yearly", "two")) == [
        ("rule[1].applies_by", "yearly decides for members of whom no birth date is asked; allowed: event, scheme-year")
    ]


class Named(Rule, tag="named", frozen=True, kw_only=True):
    many: ClassVar[bool] = True
    one_for: ClassVar[tuple[str, ...]] = ("for_", "pots")
    for_: str
    pots: tuple[str, ...] = ()


def named(id: str, for_: str, *pots: str) -> str:
    return f'[[rule]]\nkind = "named"\nid = "{id}"\nfor_ = "{for_}"\npots = {list(pots)}\nsource = "p. 1"\nconfidence = "high"\n'


@pytest.mark.parametrize(
    ("second", "meets"),
    [
        (named("two", "leaving", "a"), True),
        (named("two", "leaving", "b", "a"), True),
        (named("two", "leaving", "b"), False),
        (named("two", "dying", "a"), False),
    ],
)
def test_two_rules_for_one_case_are_refused(second: str, meets: bool) -> None:
    files = {
        "main/rules/2020-01-01.toml": named("one", "leaving", "a").encode(),
        "main/rules/2021-01-01.toml": second.encode(),
    }
    _, problems = decode_book("main", files, (Named,))
    wanted = (
        "main/rules/2021-01-01.toml: rule[1]: two could decide the same case as one@2020-01-01 from 2021-01-01 on; "
        "give one another for_ or pots, let one end where the other begins, or repeal one"
    )
    assert [str(one) for one in problems] == [wanted] * meets


def test_of_a_kind_of_one_a_rule_that_some_keep_overlaps_its_successor_by_another_name() -> None:
    first, end = rule(1), repeal(applies_by="joining")
    files = {"main/rules/2020-01-01.toml": first, "main/rules/2022-01-01.toml": end + rule(2, id="two")}
    _, problems = decode_book("main", {name: text.encode() for name, text in files.items()}, KINDS)
    assert [one.reason.partition(" on;")[0] for one in problems] == [
        "two could decide the same case as one@2020-01-01 from 2022-01-01"
    ]
    by_joining = {**files, "main/rules/2022-01-01.toml": rule(2, "joining")}
    assert decode_book("main", {name: text.encode() for name, text in by_joining.items()}, KINDS)[1] == []
