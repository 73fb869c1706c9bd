"""The worked pack of joining: every kind of rule of enrolment, proven by its own examples."""

from pathlib import Path

from engine.enrolment.rules import RULE_KINDS, RUNNERS
from engine.tenancy.service import check_pack, load_pack

PACK = Path(__file__).parents[2] / "packs/xx-enrolment"


def test_the_worked_pack_is_proven_whole() -> None:
    report = check_pack(PACK, RULE_KINDS, RUNNERS, prove=True)

    assert [str(one) for one in report.problems] == []
    assert report.is_proven, (report.unproven, report.untried, report.survivors)
    assert {one.kind for one in report.scenarios} == set(RUNNERS)


def test_every_kind_of_rule_is_in_it() -> None:
    versions = [one.rule for book in load_pack(PACK, RULE_KINDS).books.values() for one in book.versions()]

    assert {type(rule) for rule in versions} == set(RULE_KINDS)
