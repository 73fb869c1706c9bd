"""What the sources do not settle is shown with the figures that rest on it: on statements, with runs, with refusals."""

from datetime import date
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from engine.app import KINDS
from engine.kernel.rules import Dates
from engine.reports.api import document_of
from engine.reports.rules.contents import COUNTED_BY
from engine.reports.service import sheet_of
from engine.runtime.http import problem_of
from engine.tenancy.errors import UnknownDecision
from engine.tenancy.rules.assuming import Assumption, assumptions_behind, assumptions_on
from engine.tenancy.service import load_pack
from tests.engine.reports.test_printing import letterhead, statement

PACKS = Path(__file__).parents[3] / "tenants"
ASSUMED = Assumption("match@2010-04-01", "both limits are included", "the law, page 3")


def test_items_of_statements_are_counted_by_kinds_that_there_are() -> None:
    known = {kind.__struct_config__.tag for kind in KINDS if kind.is_carried_out}

    assert {kind for kinds in COUNTED_BY.values() for kind in kinds} - known == set()


def test_a_decision_s_rules_say_what_they_assume_and_others_nothing() -> None:
    book = load_pack(PACKS / "in-nps-lite", KINDS).books["nps-lite"]
    refs = ("contribution-amount@2010-04-01", "match-claim@2010-04-01", "gone@2010-04-01", "match-claim@2010-04-01")
    (found,) = assumptions_behind(book, refs)

    version = book.version("match-claim@2010-04-01")
    assert version is not None
    assert version.rule.confidence == "low"
    assert found == Assumption("match-claim@2010-04-01", version.rule.assumption, version.rule.source)
    assert assumptions_behind(None, refs) == ()


def test_the_rules_in_force_say_it_and_by_a_day_nobody_knows_the_newest() -> None:
    book = load_pack(PACKS / "rw-ejoheza", KINDS).books["ltss"]

    def on(day: date, *kinds: str) -> list[str]:
        dates = Dates(on=day, joined_on=day, tranche_on=day, scheme_year_from=day, benefit_from=day)
        return [one.rule for one in assumptions_on(book, kinds, dates)]

    assert on(date(2020, 1, 1), "state-match") == ["state-match@2018-12-14"]
    assert on(date(2024, 6, 1), "state-match", "match-claim") == ["match-claim@2018-12-14", "state-match@2024-01-01"]
    assert on(date(2024, 6, 1), "fee") == []
    undated = Dates(on=date(2024, 6, 1))
    assert [one.rule for one in assumptions_on(book, {"state-match"}, undated)] == ["state-match@2024-01-01"]


@pytest.mark.parametrize(
    ("language", "begins"),
    [
        ("en", "The sources do not settle this. Assumed, in the words of the rule book:"),
        ("fr", "Les sources ne règlent pas ce point."),
        ("hi", "स्रोत इसे तय नहीं करते।"),
        ("rw", "Inkomoko ntizibisobanura."),
        ("sw", "Vyanzo havisemi hili."),
        ("ar", "المصادر لا تحسم هذا الأمر."),
    ],
)
def test_a_statement_says_what_its_items_rest_on(language: str, begins: str) -> None:
    told = replace(statement(1), assumptions=(ASSUMED,))
    sheet = sheet_of(told, letterhead(language))

    assert sheet.assumed is not None
    assert sheet.assumed.lead.startswith(begins)
    assert sheet.assumed.items == ("“both limits are included”",)
    twice = sheet_of(replace(told, assumptions=(ASSUMED, ASSUMED)), letterhead(language))
    assert twice.assumed is not None
    assert (twice.assumed.lead, len(twice.assumed.items)) == (sheet.assumed.lead, 2)
    assert sheet_of(statement(1), letterhead(language)).assumed is None
    said = msgspec.json.decode(msgspec.json.encode(document_of(told)))
    assert said["assumptions"] == [
        {"rule": "match@2010-04-01", "assumed": "both limits are included", "source": "the law, page 3"}
    ]
    assert "assumptions" not in msgspec.json.decode(msgspec.json.encode(document_of(statement(1))))


def test_a_refusal_says_what_its_rules_assume() -> None:
    assert problem_of(UnknownDecision(assumptions=["both limits are included"])).assumptions == (
        "both limits are included",
    )
    assert problem_of(UnknownDecision()).assumptions == ()
