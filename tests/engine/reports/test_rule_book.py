"""A rule book for people: every rule, figure, source and assumption of a pack is on the page and in the PDF."""

import html
import re
from datetime import date
from io import BytesIO
from pathlib import Path

import pytest
from pypdf import PdfReader

from engine.app import KINDS
from engine.reports.service import RuleBookShown, RuleShown, rule_book_of, rule_book_page, rule_book_pdf
from engine.tenancy.rules import Pack
from engine.tenancy.service import load_pack

TENANTS = Path(__file__).resolve().parents[3] / "tenants"
FOLDERS = sorted(path.parent for path in TENANTS.glob("*/pack.toml"))


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def pack(request: pytest.FixtureRequest) -> Pack:
    return load_pack(request.param, KINDS)


@pytest.fixture(scope="module")
def apy() -> RuleBookShown:
    return rule_book_of(load_pack(TENANTS / "in-apy", KINDS))


def rules_of(shown: RuleBookShown) -> dict[str, RuleShown]:
    return {rule.ref: rule for product in shown.products for subject in product.subjects for rule in subject.rules}


def test_the_page_says_all_of_it_and_needs_nothing_else(pack: Pack) -> None:
    shown = rule_book_of(pack)
    page = rule_book_page(shown)
    for outside in ("<script", "src=", "<link", "@import"):
        assert outside not in page
    said = html.unescape(page)
    for rule in rules_of(shown).values():
        assert f", from {rule.since}" in said
        assert f"Decisions call it {rule.ref}." in said
        for name, lines in rule.figures:
            assert f'<th scope="row">{name}{" †" if rule.assumption else ""}</th>' in said
            assert all(line in said for line in lines)
        if rule.assumption:
            assert f"† Assumed: {rule.assumption}" in said
    assert page.count("<article>") == sum(len(book.versions()) for book in pack.books.values())
    for example in pack.scenarios:
        assert example.source in said
    targets = set(re.findall(r'href="#([^"]+)"', page))
    assert targets
    assert targets <= set(re.findall(r'id="([^"]+)"', page))


def test_no_code_of_ours_stands_where_a_regulator_reads(pack: Pack) -> None:
    shown = rule_book_of(pack)
    for name, meaning in shown.kinds:
        assert "_" not in name
        assert not re.search(r"\([A-Z]\d", meaning), meaning
    for rule in rules_of(shown).values():
        for name, lines in rule.figures:
            assert "_" not in name
            for line in lines:
                assert "None" not in line
                assert not re.search(r"\d{4}-\d\d-\d\d", line), line


def test_figures_are_in_words(apy: RuleBookShown) -> None:
    rules = rules_of(apy)
    assert dict(rules["contribution-amount@2015-06-01"].figures)["minimum"] == ("₹42.00",)
    assert dict(rules["contribution-split@2015-06-01"].figures)["parts"] == ("pot: pension; share: 100%",)
    assert dict(rules["projection@2015-06-01"].figures)["favourable"] == ("9%",)
    assert dict(rules["late-charge@2015-06-01"].figures)["bands"][0] == "charge: ₹1.00; up to: ₹100.00"
    assert rules["annual@2015-06-01"].ended == "Replaced on 1 October 2025"
    assert rules["co-contribution@2015-06-01"].ended == "Repealed on 1 April 2016 for those who joined from then on"
    assert rules["annual@2025-10-01"].ended == ""


def test_rules_stand_in_the_order_of_a_members_life(apy: RuleBookShown) -> None:
    (product,) = apy.products
    titles = [subject.title for subject in product.subjects]
    assert titles[:4] == ["Who may join, and how", "Contributions", "State money", "Investment and returns"]
    assert titles[-1] == "What members are told"
    by_kind = {rule.kind: subject.title for subject in product.subjects for rule in subject.rules}
    assert by_kind["fee"] == "Fees and taxes"
    assert by_kind["spouse continuation"] == "After a death"
    assert by_kind["projection"] == "What members are told"


def test_the_pdf_says_the_same_and_is_the_same_bytes_again(pack: Pack) -> None:
    shown = rule_book_of(pack)
    made = rule_book_pdf(shown, dated=date(2024, 3, 31))
    assert made == rule_book_pdf(shown, dated=date(2024, 3, 31))
    pages = [page.extract_text() for page in PdfReader(BytesIO(made)).pages]
    said = squeezed("".join(pages))
    for rule in rules_of(shown).values():
        assert squeezed(f", from {rule.since}") in said
        assert squeezed(rule.assumption) in said
    assert "Contents" in pages[0]
    assert all(squeezed(f"{number} / {len(pages)}") in squeezed(page) for number, page in enumerate(pages, 1))


def squeezed(text: str) -> str:
    """Return a text without blanks, hyphens and footers, which fall where lines and pages break."""
    return re.sub(r"[\s\u00ad-]+", "", text)
