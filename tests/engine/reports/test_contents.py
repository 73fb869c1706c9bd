"""What a statement says by law: a missing item fails the check; the items of a year add up to its change in value."""

from __future__ import annotations

import dataclasses
import io
import shutil
from datetime import date
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from pypdf import PdfReader

from engine.app import CHECKS, KINDS, RUNNERS
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Transfer
from engine.reports import service as reports
from engine.reports.api import document_of
from engine.reports.rules import (
    LABELS,
    Flow,
    Item,
    Statement,
    StatementLawRule,
    StatementRule,
    Wanted,
    items_of,
    statement_problems,
)
from engine.reports.service import render_pdf, sheet_of
from engine.runtime.database import Database
from engine.tenancy.rules.mutations import mutations, rebuilt
from engine.tenancy.rules.proving import ScenarioContext, outcome_reasons
from engine.tenancy.service import check_pack, load_pack
from tests.engine.reports.scheme import Scheme, open_scheme
from tests.engine.reports.test_printing import letterhead, statement
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
    items = items_of(ALL, found, opening=opening, closing=closing, payable=None, unpaid=0)
    year = {item: minor for item, minor in items.items() if minor is not None}
    assert set(ALL) - set(year) == {"contributions-payable"}
    came = year["contributions-paid"] + year["state-match"] + year["transfers-in"] + year["returns"]
    went = year["fees"] + year["surcharge"] + year["benefits-paid"] + year["transfers-out"]
    assert opening + came - went == closing


def test_what_came_is_not_set_off_against_what_went() -> None:
    found = [Flow("transfers-in-transit", "own", 70_000), Flow("transfers-in-transit", "own", -20_000)]
    year = items_of(
        ("transfers-in", "transfers-out", "returns"), found, opening=0, closing=50_000, payable=None, unpaid=0
    )
    assert year == {"transfers-in": 70_000, "transfers-out": 20_000, "returns": 0}


def test_the_law_adds_what_the_scheme_leaves_out() -> None:
    ours = StatementRule(id="ours", source="p", confidence="high", statement="annual", items=("returns", "fees"))
    law = StatementLawRule(id="law", source="p", confidence="high", statement="annual", items=("surcharge", "fees"))
    assert Wanted.of([ours], [law]).shown == ("returns", "fees", "surcharge")
    assert Wanted.of([ours], [law]).missing == ("surcharge",)
    assert Wanted.of([], [law]).shown == ("surcharge", "fees")
    assert Wanted.of([ours, ours], []).shown == ("returns", "fees")


def test_each_item_left_out_is_a_change_that_examples_must_notice() -> None:
    rule = StatementRule(id="ours", source="p", confidence="high", statement="annual", items=("returns", "fees"))
    found = [(one.figure, one.was, one.became, rebuilt(StatementRule, one)) for one in mutations(rule)]
    assert [one[:3] for one in found] == [("items[1]", "returns", "left out"), ("items[2]", "fees", "left out")]
    assert [one[3].items for one in found if one[3]] == [("fees",), ("returns",)]


ENOUGH = '"fees", "contributions-paid", "returns", "transfers-in"'
OURS = """
[[rule]]
kind = "statement-contents"
id = "annual-statement"
statement = "annual"
items = [{items}]
source = "the scheme's statement"
confidence = "high"
applies_by = "{by}"
"""
REPEAL = """
[[repeal]]
id = "annual-statement"
source = "the scheme's statement"
applies_by = "{by}"
"""
STRICTER = """
[[rule]]
kind = "statement-law"
id = "another-law"
statement = "annual"
items = ["surcharge"]
source = "invented law"
confidence = "high"
"""


@pytest.mark.parametrize(
    ("items", "later", "missing"),
    [
        pytest.param(ENOUGH, "", [], id="nothing"),
        pytest.param(
            '"fees", "contributions-paid", "returns"', "",
            [("2012-01-01", "2012-01-01", "year-end-statement", "transfers-in")], id="at once",
        ),
        pytest.param(
            ENOUGH, OURS.format(items='"fees", "contributions-paid", "transfers-in"', by="event"),
            [("2014-03-01", "2014-03-01", "year-end-statement", "returns")], id="dropped later",
        ),
        pytest.param(
            ENOUGH, OURS.format(items='"fees", "contributions-paid", "transfers-in"', by="joining"),
            [("2014-03-01", "2014-03-01", "year-end-statement", "returns")], id="dropped for who joins later",
        ),
        pytest.param(
            ENOUGH, OURS.format(items='"fees", "contributions-paid", "transfers-in"', by="scheme-year"),
            [("2014-03-01", "2014-04-01", "year-end-statement", "returns")], id="dropped from the next year on",
        ),
        pytest.param(
            ENOUGH, REPEAL.format(by="event"),
            [
                ("2014-03-01", "2014-03-01", "year-end-statement", item)
                for item in ("fees", "contributions-paid", "returns", "transfers-in")
            ],
            id="repealed",
        ),
        pytest.param(
            ENOUGH, STRICTER, [("2014-03-01", "2014-03-01", "another-law", "surcharge")], id="a law that came later"
        ),
    ],
)  # fmt: skip
def test_an_item_of_law_that_the_statement_lacks_on_any_day_fails_the_check(
    tmp_path: Path, items: str, later: str, missing: list[tuple[str, str, str, str]]
) -> None:
    copy = _copy(tmp_path)
    (copy / "nps-lite/rules/2012-01-01.toml").write_text(LAW.format(items=items))
    if later:
        (copy / "nps-lite/rules/2014-03-01.toml").write_text(later)
    assert {str(problem) for problem in statement_problems(load_pack(copy, KINDS))} == {
        (
            f"nps-lite/rules/{page}.toml: statement-contents.items: on {day} the law {law} wants {item}, and no "
            f"statement-contents in force has it; list {item} in one"
        )
        for page, day, law, item in missing
    }


@pytest.mark.parametrize("change", [OURS.format(items=ENOUGH, by="death"), REPEAL.format(by="death")])
def test_a_rule_by_a_date_that_statements_lack_fails_the_check(tmp_path: Path, change: str) -> None:
    copy = _copy(tmp_path)
    (copy / "nps-lite/rules/2012-01-01.toml").write_text(change)
    assert [str(problem) for problem in statement_problems(load_pack(copy, KINDS))] == [
        (
            "nps-lite/rules/2012-01-01.toml: applies_by: the rule annual-statement applies by death: that date is not "
            "known to a statement; its rules apply by event, joining or scheme-year"
        )
    ]


def test_a_pack_that_leaves_out_what_the_law_wants_fails_its_check(tmp_path: Path) -> None:
    copy = tmp_path / "gh-tier3-informal"
    shutil.copytree(schemes.PACKS / "gh-tier3-informal", copy, ignore=shutil.ignore_patterns("demo*"))
    page = copy / "tier3/rules/2017-01-01.toml"
    was = page.read_text(encoding="utf-8")
    kept = was.replace('items = ["opening-balance", "contributions-paid", ', 'items = ["opening-balance", ')
    assert kept != was
    page.write_text(kept, encoding="utf-8")
    report = check_pack(copy, KINDS, RUNNERS, checks=CHECKS)
    assert not report.ok
    assert (
        "tier3/rules/2017-01-01.toml: statement-contents.items: on 2017-01-01 the law regulation-61 wants "
        "contributions-paid, and no statement-contents in force has it; list contributions-paid in one"
    ) in [str(problem) for problem in report.problems]


@pytest.mark.parametrize("kind", [StatementLawRule, StatementRule])
def test_each_item_of_a_pack_is_proven(kind: type[StatementLawRule | StatementRule]) -> None:
    pack = load_pack(schemes.PACKS / "gh-tier3-informal", KINDS)
    (told,) = [one for one in pack.scenarios if one.kind == "statement"]
    (version,) = [one for one in pack.books["tier3"].versions() if isinstance(one.rule, kind)]
    assert outcome_reasons(told.expect, RUNNERS["statement"](ScenarioContext(pack, told))) == []
    for one in mutations(version.rule):
        mutant = rebuilt(kind, one)
        assert mutant is not None
        mutated = pack.with_rule("tier3", version.ref, mutant)
        assert outcome_reasons(told.expect, RUNNERS["statement"](ScenarioContext(mutated, told))), one.was


def _copy(tmp_path: Path) -> Path:
    copy = tmp_path / "in-nps-lite"
    shutil.copytree(schemes.PACKS / "in-nps-lite", copy, ignore=shutil.ignore_patterns("demo*"))
    return copy


async def test_the_statement_says_what_the_pack_lists(db: Database, tmp_path: Path) -> None:
    scheme = await _with_rules(
        db, tmp_path, LAW.format(items='"opening-balance", "contributions-paid", "fees", "returns", "transfers-in"')
    )
    number = await scheme.enrol(group="sahyog")
    await scheme.pay(number, "500.00")
    told = await _told(scheme, number)
    assert told.year_from == date(2023, 4, 1)
    assert told.items == {
        "opening-balance": 0,
        "contributions-paid": 50_000,
        "fees": 0,
        "returns": 0,
        "transfers-in": 0,
    }
    sheet = reports.sheet_of(told, reports.Letterhead.of(scheme.tenant, "en"))
    assert sheet.year is not None
    assert sheet.year.caption == "Since 1 Apr 2023"
    assert ("Contributions paid", "₹500.00") in sheet.year.rows


async def test_the_statement_says_what_its_items_rest_on(db: Database, tmp_path: Path) -> None:
    """Who joined in 2023 has no match by the rule of those days: only how it is claimed says what it assumes."""
    scheme = await _with_rules(db, tmp_path, LAW.format(items='"fees", "contributions-paid", "returns", "state-match"'))
    number = await scheme.enrol(group="sahyog")
    told = await _told(scheme, number)
    assert [one.rule for one in told.assumptions] == ["match-claim@2010-04-01"]
    sheet = reports.sheet_of(told, reports.Letterhead.of(scheme.tenant, "en"))
    assert sheet.assumed is not None
    assert any(told.assumptions[0].assumed in one for one in sheet.assumed.items)


async def test_the_statement_says_what_the_law_wants_beside(db: Database, tmp_path: Path) -> None:
    wanted = LAW.replace('"returns", "transfers-in"]', '"contributions-payable", "closing-balance"]')
    scheme = await _with_rules(db, tmp_path, wanted.format(items='"opening-balance", "fees"'))
    number = await scheme.enrol(group="sahyog")
    await scheme.pay(number, "500.00")
    told = await _told(scheme, number)
    assert list(told.items.items()) == [
        ("opening-balance", 0),
        ("fees", 0),
        ("contributions-paid", 50_000),
        ("contributions-payable", None),
        ("closing-balance", 50_000),
    ]
    said = msgspec.json.decode(msgspec.json.encode(document_of(told)))
    assert said["items"]["contributions-payable"] is None
    assert said["items"]["closing-balance"] == "500.00"


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "Not counted yet"),
        ("fr", "Pas encore calculé"),
        ("hi", "अभी गिना नहीं गया"),
        ("rw", "Ntibirabarwa"),
        ("sw", "Bado haijahesabiwa"),
        ("ar", "لم يُحسب بعد"),
    ],
)
def test_what_is_not_counted_is_said_in_words(language: str, words: str) -> None:
    told = replace(
        statement(1), year_from=date(2023, 4, 1), items={"contributions-payable": None, "contributions-paid": 0}
    )
    sheet = sheet_of(told, letterhead(language))
    assert sheet.year is not None
    unknown, nothing = (value for _label, value in sheet.year.rows)
    assert unknown == words
    assert nothing != words


def test_all_items_fit_on_the_page() -> None:
    told = replace(statement(8), year_from=date(2023, 4, 1), items=dict.fromkeys(ALL, 123_456_700))
    (page,) = PdfReader(io.BytesIO(render_pdf(told, letterhead("en"), person_name="Ama Mensah"))).pages
    lines = [" ".join(line.split()) for line in page.extract_text(extraction_mode="layout").splitlines()]
    for item in ALL:
        assert f"{LABELS[item]} ₹12,34,567.00" in lines


async def test_transfers_in_and_out_are_each_told(db: Database, tmp_path: Path) -> None:
    scheme = await _with_rules(db, tmp_path, LAW.format(items='"transfers-in", "transfers-out", "returns"'))
    number = await scheme.enrol(group="sahyog")
    member = scheme.numbers[number].member_id
    async with db.unit_of_work(scheme.tenant.tenant_id) as session:
        cash = Account("cash", "INR", product="nps-lite", pot="retirement", origin="own")
        road = Account("transfers-in-transit", "INR")
        codes = await ledger.account_codes(session, [cash, road])
        actor = await ledger.actor_id(session, "staff:1")
        for amount, debit, credit in ((70_000, road, cash), (20_000, cash, road)):
            entry = Entry(
                member_id=member,
                kind=EventKind.PRODUCT_MOVED,
                business_date=date(2023, 6, 1),
                actor=actor,
                transfers=[Transfer(amount, codes[debit], codes[credit])],
            )
            await ledger.post(session, [entry])
    told = await _told(scheme, number)
    assert {item: told.items[item] for item in ("transfers-in", "transfers-out", "returns")} == {
        "transfers-in": 70_000,
        "transfers-out": 20_000,
        "returns": 0,
    }


async def _with_rules(db: Database, tmp_path: Path, rules: str) -> Scheme:
    copy = _copy(tmp_path / "packs")
    (copy / "nps-lite/rules/2012-01-01.toml").write_text(rules)
    scheme = await open_scheme(db, tmp_path, "in-nps-lite")
    scheme.tenant = dataclasses.replace(scheme.tenant, pack=load_pack(copy, KINDS))
    await scheme.advance(date(2023, 6, 1))
    return scheme


async def _told(scheme: Scheme, number: str) -> Statement:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        member = await reports.find_member(session, scheme.keys, number)
        return await reports.statement(session, scheme.tenant, member, number=number, as_of=date(2023, 6, 1))
