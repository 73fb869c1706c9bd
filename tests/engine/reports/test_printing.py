"""Statements on paper: every figure is there in each language, and the same bytes come each time."""

import io
import re
import shutil
import subprocess
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pypdf import PdfReader

from engine.kernel.prices import Price, units_for, value_of
from engine.reports.rules import Holding, Line, LineState, NoReturn, Statement, totals_of
from engine.reports.service import Letterhead, render_pdf, sheet_of
from engine.runtime.locale import translator

LOGO = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><circle cx="4" cy="4" r="4" fill="#0b5d3b"/></svg>'
LETTERHEADS = {
    "en": ("en_IN", "NPS-Lite"),
    "hi": ("hi_IN", "एनपीएस-लाइट"),
    "rw": ("rw_RW", "EjoHeza"),
    "fr": ("fr_RW", "EjoHeza"),
    "sw": ("sw_KE", "EjoHeza"),
    "ar": ("ar_EG", "إيجو"),
}


def letterhead(language: str) -> Letterhead:
    locale, scheme = LETTERHEADS[language]
    return Letterhead(
        scheme=scheme,
        language=language,
        locale=locale,
        words=translator(locale),
        product_names={"lite": scheme},
        pot_names={("lite", "retirement"): "Retirement", ("lite", "access"): "Access"},
        fund_names={"SM001009": "SBI Pension Funds"},
        brand="#0b5d3b",
        muted="#55606a",
        line="#c8ced3",
        surface="#f4f7f5",
        logo=LOGO,
    )


def statement(count: int, *, currency: str = "INR", scale: int = 2, pots: int = 1) -> Statement:
    is_unitised = currency == "INR"
    lines = []
    held = 0
    for number in range(count):
        amount, price = 10_000 + 100 * number, Price(326034 + 371 * number, 4)
        day = date(2023, 4, 3) + timedelta(days=7 * number)
        is_invested = is_unitised and number < count - 2
        units = units_for(amount, amount_scale=scale, price=price, unit_scale=4) if is_invested else None
        held += units or 0
        lines.append(
            Line(
                receipt=number,
                paid_on=day,
                amount_minor=amount,
                pot=("retirement", "access")[number % pots],
                origin="own",
                state=LineState.INVESTED if is_invested else LineState.RECEIVED,
                fund="SM001009" if is_invested else "",
                price_on=day + timedelta(days=1) if is_invested else None,
                price=price if is_invested else None,
                units=units,
                unit_scale=4 if is_invested else 0,
            )
        )
    price = Price(361234, 4)
    value = value_of(held, amount_scale=scale, price=price, unit_scale=4)
    day = date(2024, 3, 28)
    holding = Holding(fund="SM001009", units=held, unit_scale=4, price=price, price_on=day, value_minor=value)
    holdings = (holding,) if held else ()
    cash = sum(line.amount_minor for line in lines if line.state is not LineState.INVESTED)
    return Statement(
        member="501234567897",
        product="lite",
        joined_on=date(2023, 4, 1),
        as_of=date(2024, 3, 31),
        log_size=None,
        currency=currency,
        scale=scale,
        is_unitised=is_unitised,
        lines=tuple(lines),
        holdings=holdings,
        uninvested_minor=cash,
        totals=totals_of(
            lines,
            holdings,
            cash_minor=cash,
            payable_minor=0,
            paid_out_minor=0,
            return_bp=1034 if held else None,
            no_return=NoReturn.NOTHING_INVESTED,
        ),
    )


def text_of(pdf: bytes) -> str:
    pages = PdfReader(io.BytesIO(pdf)).pages
    return squeezed("\n".join(page.extract_text() for page in pages))


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize(
    ("language", "made", "name"),
    [
        ("en", statement(30), "Asha Kumari"),
        ("hi", statement(30), "आशा कुमारी"),
        ("rw", statement(30, currency="RWF", scale=0), "Keza Uwase"),
        ("fr", statement(30, currency="RWF", scale=0), "Keza Uwase"),
        ("sw", statement(30), "Amina Wanjiru"),
    ],
)
def test_every_figure_is_on_the_paper(language: str, made: Statement, name: str) -> None:
    head = letterhead(language)
    sheet = sheet_of(made, head, person_name=name)

    pdf = render_pdf(made, head, person_name=name)

    found = text_of(pdf)
    figures = [sheet.balance.value, *(figure.value for figure in sheet.figures), made.member]
    figures += [
        cell
        for row in sheet.payments.rows
        for cell, column in zip(row, sheet.payments.columns, strict=True)
        if column.is_figure
    ]
    figures += [cell for row in (sheet.holdings.rows if sheet.holdings else ()) for cell in row[1:]]
    if language == "hi":  # a PDF holds Devanagari in its order on paper: words are looked for in the test below
        figures = [figure for figure in figures if not any("\u0900" <= char <= "\u097f" for char in figure)]
        assert len(figures) > 60
    assert [figure for figure in figures if squeezed(figure) not in found] == []
    if language != "hi":
        words = [
            sheet.title,
            name,
            sheet.payments.caption,
            *sheet.notes,
            *(one.title for one in sheet.payments.columns),
        ]
        assert [word for word in words if squeezed(word) not in found] == []


@pytest.mark.apt("poppler-utils")
def test_hindi_is_shaped() -> None:
    """Conjuncts and vowel signs come out as one who reads Hindi writes them, from glyphs that are not .notdef."""
    if shutil.which("pdftotext") is None:
        pytest.skip("needs poppler-utils")
    pdf = render_pdf(statement(3), letterhead("hi"), person_name="क्षितिज श्रीवास्तव")

    found = subprocess.run(
        ["pdftotext", "-layout", "-", "-"], input=pdf, capture_output=True, check=True
    ).stdout.decode()

    for word in ("क्षितिज", "श्रीवास्तव", "आपकी बचत", "विवरण", "सदस्य संख्या", "वार्षिक प्रतिफल"):
        assert squeezed(word) in squeezed(found), word
    assert "\ufffd" not in found


@pytest.mark.apt("poppler-utils")
def test_arabic_runs_from_right_to_left(tmp_path: Path) -> None:
    """The first column is the rightmost, a name in Latin letters keeps its order, and every glyph is there."""
    if shutil.which("pdftotext") is None:
        pytest.skip("needs poppler-utils")
    made = tmp_path / "made.pdf"
    made.write_bytes(render_pdf(statement(3), letterhead("ar"), person_name="مريم (Maryam Aly)"))

    found = subprocess.run(["pdftotext", "-bbox", made, "-"], capture_output=True, check=True).stdout.decode()
    words = {word: float(left) for left, word in re.findall(r'xMin="([\d.]+)"[^>]*>([^<]*)</word>', found)}
    text = text_of(made.read_bytes())

    assert words["SBI"] < words["Pension"] < words["Funds"]
    assert words["SBI"] > 297 > min(left for word, left in words.items() if "₹" in word)
    assert "\ufffd" not in text
    assert set("٢٠٢٤/٠٣/٣١") <= set(text)


@pytest.mark.parametrize("language", LETTERHEADS)
def test_the_same_statement_is_the_same_bytes(language: str) -> None:
    head = letterhead(language)

    assert render_pdf(statement(5), head, person_name="A") == render_pdf(statement(5), head, person_name="A")


@pytest.mark.parametrize(
    ("count", "pages"),
    [(0, 1), (1, 1), (12, 1), (53, 1), (160, 3)],
)
def test_a_normal_year_is_one_page(count: int, pages: int) -> None:
    for language in ("en", "hi"):
        pdf = render_pdf(statement(count), letterhead(language), person_name="Asha Kumari")
        reader = PdfReader(io.BytesIO(pdf))
        assert len(reader.pages) == pages, language
        assert [round(float(side)) for side in reader.pages[0].mediabox[2:]] == [595, 842]
        assert squeezed(f"{pages}") in text_of(pdf)


def test_the_document_says_what_it_is() -> None:
    reader = PdfReader(io.BytesIO(render_pdf(statement(3), letterhead("fr"), person_name="K")))

    assert reader.metadata is not None
    assert reader.metadata.title == "Relevé de votre épargne – EjoHeza"
    assert reader.metadata.author == "EjoHeza"
    assert str(reader.metadata.get("/CreationDate", "")).startswith("D:20240331")
    root: Any = reader.trailer["/Root"]
    assert root["/Lang"] == "fr"
    assert root["/MarkInfo"]["/Marked"]
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]


def test_only_the_products_own_fonts_are_used() -> None:
    names: set[str] = set()
    for language in LETTERHEADS:
        reader = PdfReader(io.BytesIO(render_pdf(statement(3), letterhead(language), person_name="Aé क")))
        for page in reader.pages:
            resources: Any = page["/Resources"]
            names |= {str(font.get_object()["/BaseFont"]).split("+")[1] for font in resources["/Font"].values()}

    assert {name.split("-")[0] for name in names} <= {"NotoSans", "NotoSansArabic", "NotoSansDevanagari"}


def test_what_is_the_same_in_every_row_is_said_once() -> None:
    one, two = (sheet_of(statement(6, pots=pots), letterhead("en")) for pots in (1, 2))

    assert "Pot" not in [column.title for column in one.payments.columns]
    assert one.payments.note == "All of it went into: Retirement. It came from: own savings."
    assert [row[1] for row in two.payments.rows[:2]] == ["Retirement", "Access"]
    assert two.payments.note == ""


@pytest.mark.parametrize("reason", NoReturn)
@pytest.mark.parametrize("language", LETTERHEADS)
def test_why_there_is_no_return_is_said(language: str, reason: NoReturn) -> None:
    made = statement(3)
    totals = msgspec.structs.replace(made.totals, return_bp=None, no_return=reason)

    sheet = sheet_of(msgspec.structs.replace(made, totals=totals), letterhead(language))

    assert sheet.figures[-1].value == "–"
    assert len(sheet.figures[-1].note) > 20


def test_a_hostile_name_is_only_text() -> None:
    name = '#panic("x") $1+1$ *a* \\ "quoted" ]#[ `raw` //c'

    found = text_of(render_pdf(statement(1), letterhead("en"), person_name=name))

    assert squeezed(name) in found
