"""What a statement says by law: a missing item fails the check; the items of a year add up to its change in value."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.app import CHECKS, KINDS, RUNNERS
from engine.reports import service as reports
from engine.reports.rules import Flow, Item, items_of
from engine.runtime.database import Database
from engine.tenancy.service import check_pack, load_pack
from tests.engine.reports.scheme import open_scheme
from tests.factories import schemes

ALL: tuple[Item, ...] = get_args(Item)
LAW = """
[[rule]]
kind = "statement-law"
id = "year-end-statement"
statement = "annual"
items = ["fees", "contributions-paid", "returns", "transfers-in"]
source = "invented law"
confidence = "high"

[[rule]]
kind = "statement-contents"
id = "annual-statement"
statement = "annual"
items = [{items}]
source = "the scheme's statement"
confidence = "high"
"""

kinds = st.sampled_from(["collections", "fees-payable", "late-charges", "benefits-payable", "transfers-in-transit"])
flows = st.lists(
    st.builds(Flow, kind=kinds, origin=st.sampled_from(["own", "state-match"]), minor=st.integers(-(10**9), 10**9)),
    max_size=8,
)


@given(found=flows, opening=st.integers(0, 10**12), closing=st.integers(0, 10**12))
def test_a_year_adds_up(found: list[Flow], opening: int, closing: int) -> None:
    year = items_of(ALL, found, opening=opening, closing=closing)
    came = year["contributions-paid"] + year["state-match"] + year["transfers-in"] + year["returns"]
    went = year["fees"] + year["surcharge"] + year["benefits-paid"] + year["transfers-out"]
    assert opening + came - went == closing


@pytest.mark.parametrize(
    ("items", "missing"),
    [
        ('"fees", "contributions-paid", "returns", "transfers-in"', []),
        ('"fees", "contributions-paid"', ["transfers-in"]),
    ],
)
def test_an_item_of_law_that_the_statement_lacks_fails_the_check(
    tmp_path: Path, items: str, missing: list[str]
) -> None:
    copy = tmp_path / "in-nps-lite"
    shutil.copytree(schemes.PACKS / "in-nps-lite", copy, ignore=shutil.ignore_patterns("demo*", "dimensions.toml"))
    (copy / "nps-lite/rules/2012-01-01.toml").write_text(LAW.format(items=items))
    report = check_pack(copy, KINDS, RUNNERS, checks=CHECKS)
    assert [str(problem) for problem in report.problems] == [
        (
            f"nps-lite/rules/2012-01-01.toml: statement-contents.items: the law year-end-statement wants {item}, "
            "and no statement-contents of the product has it"
        )
        for item in missing
    ]


async def test_the_statement_says_what_the_pack_lists(db: Database, tmp_path: Path) -> None:
    copy = tmp_path / "packs" / "in-nps-lite"
    shutil.copytree(schemes.PACKS / "in-nps-lite", copy, ignore=shutil.ignore_patterns("demo*"))
    (copy / "nps-lite/rules/2012-01-01.toml").write_text(
        LAW.format(
            items='"opening-balance", "contributions-paid", "fees", "returns", "transfers-in", "closing-balance"'
        )
    )
    scheme = await open_scheme(db, tmp_path, "in-nps-lite")
    scheme.tenant = replace(scheme.tenant, pack=load_pack(copy, KINDS))
    await scheme.advance(date(2023, 6, 1))
    number = await scheme.enrol(group="sahyog")
    await scheme.pay(number, "500.00")
    async with db.unit_of_work(scheme.tenant.tenant_id) as session:
        member = await reports.find_member(session, scheme.keys, number)
        told = await reports.statement(session, scheme.tenant, member, number=number, as_of=date(2023, 6, 1))
    assert told.year_from == date(2023, 4, 1)
    assert told.items == {
        "opening-balance": 0,
        "contributions-paid": 50_000,
        "fees": 0,
        "returns": 0,
        "transfers-in": 0,
        "closing-balance": 50_000,
    }
    sheet = reports.sheet_of(told, reports.Letterhead.of(scheme.tenant, "en"))
    assert [(one.label, one.value) for one in sheet.figures if one.label == "Contributions paid"] == [
        ("Contributions paid", "₹500.00")
    ]
