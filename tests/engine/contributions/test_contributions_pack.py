"""The worked pack of contributions: every kind of rule of contributions, proven by its own examples."""

from pathlib import Path

from engine.contributions.rules import RULE_KINDS, RUNNERS
from engine.tenancy.service import check_pack, load_pack

PACK = Path(__file__).parents[2] / "packs/xx-contributions"


def test_the_worked_pack_is_proven_whole() -> None:
    report = check_pack(PACK, RULE_KINDS, RUNNERS, prove=True)

    assert [str(one) for one in report.problems] == []
    assert report.is_proven, (report.unproven, report.untried, report.survivors)
    assert report.survivors == ()
    assert {one.kind for one in report.scenarios} == set(RUNNERS)


def test_it_has_every_kind_of_rule() -> None:
    books = load_pack(PACK, RULE_KINDS).books.values()
    assert {type(version.rule) for book in books for version in book.versions()} == set(RULE_KINDS)
