"""A pack proves its figures: each changed by one unit fails an example, each threshold is tried on every side."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest

from engine.tenancy.rules import ScenarioContext
from engine.tenancy.rules.mutations import mutations, rebuilt
from engine.tenancy.service import PackReport, check_pack
from tests.engine.tenancy.conftest import KINDS, Least, Part, pay

if TYPE_CHECKING:
    from tests.engine.tenancy.conftest import ToyPack


def proved(toy: ToyPack, runner: object = pay) -> PackReport:
    return check_pack(toy.path, KINDS, {"pay": runner}, prove=True)  # type: ignore[dict-item]


def test_every_figure_is_moved_by_one_unit_either_way() -> None:
    rule = Least(id="one", source="p", confidence="high", amount=10, parts=(Part("a", 60), Part("b", 40)))
    found = [(one.figure, one.was, one.became, rebuilt(Least, one) is not None) for one in mutations(rule)]
    assert found == [
        ("amount", "10", "11", True),
        ("amount", "10", "9", True),
        ("parts[1].share", "60", "61", False),
        ("parts[1].share", "60", "59", False),
        ("parts[2].share", "40", "41", False),
        ("parts[2].share", "40", "39", False),
    ]


def test_a_figure_no_example_settles_survives(toy: ToyPack) -> None:
    report = proved(toy)
    assert [(one.rule, one.figure, one.became, one.why) for one in report.survivors] == [
        ("main/least-payment@2022-01-01", "amount", "19", "")
    ]
    assert report.mutants == 4
    assert not report.is_proven
    toy.append(
        "scenarios/payments.toml",
        '\n[[scenario]]\nname = "Less than the least of 2022"\nkind = "pay"\nproduct = "main"\non = 2022-01-01\n'
        'given = { amount = 19 }\nexpect = { refused = "toy.too-little" }\nsource = "page 3"\n',
    )
    assert proved(toy).is_proven


def test_a_survivor_may_be_explained(toy: ToyPack) -> None:
    toy.append(
        "scenarios/payments.toml",
        '\n[[survivor]]\nproduct = "main"\nrule = "least-payment"\nfigure = "amount"\n'
        'why = "the till that took less than twenty is gone"\n',
    )
    report = proved(toy)
    assert [one.why for one in report.survivors] == ["the till that took less than twenty is gone"]
    assert report.is_proven


def test_a_threshold_is_tried_below_at_and_above(toy: ToyPack) -> None:
    def comparing(context: ScenarioContext) -> Mapping[str, str]:
        found = context.rule(Least)
        if found is not None and "amount" in context.given:
            context.compare(found, "amount", int(context.text("amount")), found.rule.amount)
        return pay(context)

    report = proved(toy, comparing)
    assert [(one.rule, one.side) for one in report.untried] == [
        ("main/least-payment@2020-01-01", "just above"),
        ("main/least-payment@2022-01-01", "just below"),
        ("main/least-payment@2022-01-01", "just above"),
    ]


def test_low_confidence_says_what_was_assumed(toy: ToyPack) -> None:
    toy.replace("main/rules/2020-01-01.toml", 'confidence = "high"', 'confidence = "low"')
    assert toy.problems() == [
        "main/rules/2020-01-01.toml: rule[1].assumption: is missing: a figure of low confidence says what was assumed"
    ]
    toy.replace("main/rules/2020-01-01.toml", 'confidence = "low"', 'confidence = "low"\nassumption = "as before"')
    assert toy.problems() == []


def test_an_example_runs_once_before_figures_are_changed(toy: ToyPack) -> None:
    runs: list[tuple[str, int]] = []

    def counting(context: ScenarioContext) -> Mapping[str, str]:
        least = context.pack.books["main"].versions()[0].rule
        assert isinstance(least, Least)
        runs.append((context.scenario.name, least.amount))
        return pay(context)

    report = proved(toy, counting)
    assert report.scenarios
    unchanged = [name for name, amount in runs if amount == 10]
    assert unchanged[: len(report.scenarios)] == [one.name for one in report.scenarios]
    assert runs[len(report.scenarios)] == (report.scenarios[0].name, 11)


TABLE = "age,slab,monthly\n18,1000,42\n18,2000,84\n"


def with_table(toy: ToyPack, sha256: str) -> ToyPack:
    toy.write("tables/chart.csv", TABLE)
    return toy.append(
        "pack.toml",
        f'\n[[tables]]\ncode = "chart"\nname = "Chart"\nkeys = ["age", "slab"]\nsha256 = "{sha256}"\n'
        'source = "page 12"\nconfidence = "high"\n',
    )


def test_a_table_is_guarded_by_its_checksum(toy: ToyPack) -> None:
    with_table(toy, hashlib.sha256(TABLE.encode()).hexdigest())
    assert toy.problems() == []
    toy.write("tables/chart.csv", TABLE.replace("84", "85"))
    (problem,) = toy.problems()
    assert problem.startswith("tables/chart.csv: has the checksum ")
    assert "restore the table, or state its new source and checksum" in problem


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param("age,monthly\n", "row 1: the columns are", id="a key column missing"),
        pytest.param(TABLE + "18,1000,43\n", "row 4: repeats 18, 1000", id="a key twice"),
        pytest.param(TABLE + "18,3000\n", "row 4: has another number of fields", id="a short row"),
    ],
)
def test_a_table_that_cannot_be_read_says_where(toy: ToyPack, content: str, reason: str) -> None:
    with_table(toy, hashlib.sha256(content.encode()).hexdigest()).write("tables/chart.csv", content)
    assert any(reason in problem for problem in toy.problems())


def test_a_file_that_pack_toml_does_not_name_is_refused(toy: ToyPack) -> None:
    toy.write("series/rate.csv", "effective_from,published_on,value,source,confidence\n")
    assert toy.problems() == ["series/rate.csv: is named nowhere in pack.toml; series named there: none"]


def test_two_changes_of_one_date_count_in_the_order_of_their_names(toy: ToyPack) -> None:
    rule = '[[rule]]\nkind = "least"\nid = "least-payment"\namount = {}\nsource = "law"\nconfidence = "high"\n'
    toy.write("main/rules/2023-01-01.toml", rule.format(30))
    toy.write(
        "main/rules/2023-01-01-second-law.toml",
        '[change]\ntitle = "The second law"\nenacted_on = 2023-03-01\n' + rule.format(40),
    )
    toy.append(
        "scenarios/payments.toml",
        '\n[[scenario]]\nname = "The later law of one day holds"\nkind = "pay"\nproduct = "main"\non = 2023-01-01\n'
        'given = { amount = 39 }\nexpect = { refused = "toy.too-little" }\nsource = "law"\n',
    )
    assert toy.problems() == []
