"""The worked pack of benefits: every kind of rule of benefits, proven by its own examples."""

from pathlib import Path

from engine.benefits.rules import RULE_KINDS, RUNNERS
from engine.tenancy.service import check_pack

PACK = Path(__file__).parents[2] / "packs/xx-benefits"


def test_the_worked_pack_is_proven_whole() -> None:
    report = check_pack(PACK, RULE_KINDS, RUNNERS, prove=True)

    assert [str(one) for one in report.problems] == []
    assert report.is_proven, (report.unproven, report.untried, report.survivors)
    assert {one.kind for one in report.scenarios} == set(RUNNERS)
