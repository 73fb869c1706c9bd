"""A rule book for people: every rule, figure, source and assumption of a pack is on the page and in the PDF."""

from datetime import date
from io import BytesIO
from pathlib import Path

import pytest
from pypdf import PdfReader

from engine.app import KINDS
from engine.reports.service import rule_book_of, rule_book_page, rule_book_pdf
from engine.tenancy.rules import Pack
from engine.tenancy.service import load_pack

TENANTS = Path(__file__).resolve().parents[3] / "tenants"
FOLDERS = sorted(path.parent for path in TENANTS.glob("*/pack.toml"))


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def pack(request: pytest.FixtureRequest) -> Pack:
    return load_pack(request.param, KINDS)


def test_the_page_says_all_of_it_and_needs_nothing_else(pack: Pack) -> None:
    page = rule_book_page(rule_book_of(pack))
    for outside in ("<script", "src=", "<link", "@import"):
        assert outside not in page
    for book in pack.books.values():
        for version in book.versions():
            assert f"{version.rule.id}, from {version.effective_from}" in page
            if version.rule.assumption:
                assert "Assumed: " in page
    assert page.count("<article>") == sum(len(book.versions()) for book in pack.books.values())
    for example in pack.scenarios:
        assert example.source.partition("'")[0].partition("&")[0] in page


def test_the_pdf_says_the_same_and_is_the_same_bytes_again(pack: Pack) -> None:
    shown = rule_book_of(pack)
    made = rule_book_pdf(shown, dated=date(2024, 3, 31))
    assert made == rule_book_pdf(shown, dated=date(2024, 3, 31))
    said = " ".join(" ".join(page.extract_text() for page in PdfReader(BytesIO(made)).pages).split())
    for product in shown.products:
        for rule in product.rules:
            assert f"{rule.rule}, from {rule.since}" in said
            assert f"Confidence: {rule.confidence}" in said
