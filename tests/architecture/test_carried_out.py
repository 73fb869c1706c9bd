"""Kinds of rules that nothing acts by say so, and those that something acts by do not."""

import re
from pathlib import Path

import pytest

from engine.app import CHECKS, KINDS, RUNNERS
from engine.kernel.rules import Rule
from engine.tenancy.service import check_pack

ROOT = Path(__file__).parents[2]
ACTING = ("service", "service.py", "api", "api.py", "jobs.py", "queries", "queries.py", "web", "channels")
SILENT = [kind for kind in KINDS if not kind.is_carried_out]


@pytest.mark.parametrize("kind", SILENT, ids=lambda kind: kind.__name__)
def test_nothing_acts_by_a_kind_that_is_not_carried_out(kind: type[Rule]) -> None:
    acting = [path for path in (ROOT / "engine").rglob("*.py") if {*path.relative_to(ROOT).parts} & {*ACTING}]

    assert len(acting) > 100
    assert [path for path in acting if re.search(rf"\b{kind.__name__}\b", path.read_text(encoding="utf-8"))] == []


def test_the_check_names_the_rules_that_nothing_acts_by() -> None:
    report = check_pack(ROOT / "tests/packs/xx-enrolment", KINDS, RUNNERS, checks=CHECKS)

    assert report.not_carried_out
    tags = {kind.__struct_config__.tag for kind in SILENT}
    assert len(tags) == len(SILENT)
