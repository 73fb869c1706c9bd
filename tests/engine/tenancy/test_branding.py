"""Colours that can be read, and logos that are pictures and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.tenancy.rules.branding import LARGEST_LOGO, Colours, Theme, contrast, logo_problems

HEX = st.integers(0, 0xFFFFFF).map(lambda n: f"#{n:06x}")


# Ratios published with the understanding documents of WCAG and by its contrast checkers, cut to two decimals.
@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("#000000", "#ffffff", 21.0),
        ("#ffffff", "#ffffff", 1.0),
        ("#767676", "#ffffff", 4.54),
        ("#777777", "#ffffff", 4.47),
        ("#ff0000", "#ffffff", 3.99),
        ("#0000ff", "#ffffff", 8.59),
        ("#008000", "#ffffff", 5.13),
    ],
)
def test_contrast_is_that_of_wcag(one: str, other: str, ratio: float) -> None:
    assert int(contrast(one, other) * 100 + 1e-9) / 100 == ratio


@given(HEX, HEX)
def test_contrast_has_no_direction_and_known_bounds(one: str, other: str) -> None:
    assert contrast(one, other) == contrast(other, one)
    assert 1 <= contrast(one, other) <= 21 + 1e-9


def test_a_theme_is_given_to_pages_as_css_variables() -> None:
    colours = Colours(
        background="#ffffff", surface="#eeeeee", text="#000000", muted="#333333", brand="#000033", button="#000033",
        button_text="#fffffe", line="#cccccc",
    )  # fmt: skip
    assert Theme(colours=colours).css_variables()["--colour-button-text"] == "#fffffe"


def svg(inside: str = "", attributes: str = 'viewBox="0 0 1 1"', before: str = "") -> bytes:
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f"{before}<svg {names} {attributes}>{inside}</svg>".encode()


@pytest.mark.parametrize(
    "content",
    [
        svg(),
        svg('<defs><linearGradient id="g"><stop offset="0"/></linearGradient></defs><rect fill="url(#g)"/>'),
        svg('<defs><path id="p" d="M0 0"/></defs><use href="#p"/><use xlink:href="#p"/>'),
        svg("<title>A &amp; B</title><!-- drawn by hand -->"),
    ],
)
def test_a_picture_is_accepted(content: bytes) -> None:
    assert logo_problems(content, "logo.svg") == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (svg("<script>alert(1)</script>"), "has the element <script>"),
        (svg("<foreignObject/>"), "has the element <foreignObject>"),
        (svg("<style>@import url(http://x)</style>"), "has the element <style>"),
        (svg('<image href="#a"/>'), "has the element <image>"),
        (svg('<h:body xmlns:h="http://www.w3.org/1999/xhtml"/>'), "has the element <body>"),
        (svg('<a href="#a"/>'), "has the element <a>"),
        (svg("<animate/>"), "has the element <animate>"),
        (svg('<rect onclick="x()"/>'), "the attribute onclick could run a script"),
        (svg(attributes='viewBox="0 0 1 1" onload="x()"'), "the attribute onload could run a script"),
        (svg('<use href="http://x/y.svg#a"/>'), 'href "http://x/y.svg#a" leads out of the file'),
        (svg('<use xlink:href="data:image/svg+xml,x"/>'), "leads out of the file"),
        (svg('<rect fill="url(http://x/#a)"/>'), "leads out of the file"),
        (svg('<rect fill="u&#114;l( &#x27;//x&#x27; )"/>'), "leads out of the file"),
        (svg('<rect fill="url(#a) url(//x)"/>'), "leads out of the file"),
        (svg('<rect style="fill:red"/>'), "holds CSS"),
        (svg('<rect fill="\\75rl(//x)"/>'), "holds CSS"),
        (svg('<rect fill="java&#10;script:x"/>'), "could run a script"),
        (svg(before='<!DOCTYPE svg [<!ENTITY a "b">]>'), "has a document type declaration"),
        (svg(before='<?xml-stylesheet href="http://x"?>'), "has the processing instruction <?xml-stylesheet?>"),
        (svg(attributes=""), "has no viewBox"),
        (svg("&nbsp;"), "is not well-formed XML"),
        (b"<html/>", "begins with <html>"),
        (b"<svg/>", "begins with <svg>, not with <svg> of the namespace"),
        (b"", "is not well-formed XML"),
        (svg("<g>"), "is not well-formed XML"),
        (svg("x" * LARGEST_LOGO), "is larger than"),
    ],
)  # fmt: skip
def test_what_can_run_or_fetch_is_refused(content: bytes, reason: str) -> None:
    reasons = [problem.reason for problem in logo_problems(content, "logo.svg")]
    assert any(reason in one for one in reasons), reasons
