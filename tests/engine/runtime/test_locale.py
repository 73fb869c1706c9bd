"""Golden values of what people read, and the tenant's words over the engine's."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.runtime import locale
from engine.runtime.locale import (
    find_locale,
    format_date,
    format_money,
    format_percent,
    format_price,
    format_units,
    numbering,
    translator,
)


@pytest.mark.parametrize(
    ("minor", "currency", "scale", "tag", "written"),
    [
        (1234568, "RWF", 0, "rw_RW", "RF\xa01.234.568"),
        (123456750, "INR", 2, "hi_IN", "₹12,34,567.50"),
        (1234568, "RWF", 0, "fr_RW", "1\u202f234\u202f568\xa0RF"),
        (123456750, "KES", 2, "en-KE", "Ksh\xa01,234,567.50"),
        (1, "UGX", 0, "en_UG", "USh\xa01"),
        (1234, "KWD", 3, "en_KW", "KWD\xa01.234"),
        (-5, "INR", 2, "en_IN", "-₹0.05"),
        (0, "RWF", 0, "rw_RW", "RF\xa00"),
        (123456750, "EGP", 2, "ar_EG", "\u200f١٬٢٣٤٬٥٦٧٫٥٠\xa0ج.م.\u200f"),
        (123456750, "EGP", 2, "ar-EG-u-nu-latn", "\u200f1,234,567.50\xa0ج.م.\u200f"),
        (123456750, "MAD", 2, "ar_MA", "\u200f1.234.567,50\xa0د.م.\u200f"),
        (123456750, "INR", 2, "hi_IN-u-nu-deva", "₹१२,३४,५६७.५०"),
        (123456750, "KES", 2, "sw_KE", "Ksh\xa01,234,567.50"),
    ],
)
def test_money(minor: int, currency: str, scale: int, tag: str, written: str) -> None:
    assert format_money(minor, currency, scale, tag) == written


@pytest.mark.parametrize("amount", [1.5, True, Decimal(1)])
def test_money_is_whole_minor_units(amount: object) -> None:
    with pytest.raises(AssertionError):
        format_money(amount, "INR", 2, "en_IN")  # type: ignore[arg-type]


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 8))
def test_no_digit_of_money_is_lost(minor: int, scale: int) -> None:
    written = format_money(minor, "INR", scale, "en_IN")
    assert int("".join(c for c in written if c.isdigit())) == abs(minor)
    assert written.startswith("-") == (minor < 0)


def test_units_prices_rates_and_dates() -> None:
    assert format_units(123456789, 4, "en_IN") == "12,345.6789"
    assert format_units(5000, 4, "de") == "0,5000"
    assert format_price(Decimal("10.12345"), "INR", "en_IN") == "₹10.12345"
    assert format_price(Decimal(100), "RWF", "rw_RW") == "RF\xa0100,00"
    assert format_price(Decimal("1E+2"), "INR", "en_IN") == "₹100.00"
    assert format_percent(1250, "en") == "12.5%"
    assert format_percent(25, "en") == "0.25%"
    assert format_percent(1200, "fr") == "12\xa0%"
    assert format_date(date(2026, 1, 2), "fr_RW", "long") == "2 janvier 2026"


def test_digits_are_the_locales_or_those_the_tag_names() -> None:
    assert [numbering(tag) for tag in ("ar_EG", "ar_MA", "hi_IN", "sw")] == ["arab", "latn", "latn", "latn"]
    assert [numbering(f"ar_EG-u-nu-{system}") for system in ("latn", "arabext")] == ["latn", "arabext"]
    assert format_date(date(2026, 1, 2), "ar_EG", "long") == "٢ يناير ٢٠٢٦"
    assert format_date(date(2026, 1, 2), "ar_EG-u-nu-latn", "long") == "2 يناير 2026"
    assert format_percent(1250, "ar_EG") == "١٢٫٥%"
    assert format_units(123456789, 4, "ar_EG") == "١٢٬٣٤٥٫٦٧٨٩"
    with pytest.raises(ValueError, match="roman is not a numbering system"):
        format_units(1, 0, "ar_EG-u-nu-roman")


def test_what_is_put_into_a_text_from_right_to_left_stands_by_itself(tmp_path: Path) -> None:
    write_catalogue(tmp_path, "ar", **{"{name} pays {amount}.": "يدفع {name} {amount}."})
    write_catalogue(tmp_path, "sw", **{"{name} pays {amount}.": "{name} analipa {amount}."})
    said = [translator(tag, tmp_path).gettext("{name} pays {amount}.") for tag in ("ar-EG", "ar_EG-u-nu-latn", "sw")]
    assert said == ["يدفع \u2068{name}\u2069 \u2068{amount}\u2069."] * 2 + ["{name} analipa {amount}."]


def test_a_country_unknown_to_a_language_falls_back_to_the_language() -> None:
    assert str(find_locale("fr-XX")) == "fr"
    with pytest.raises(ValueError, match="not a language"):
        find_locale("xx")


def write_catalogue(folder: Path, language: str, **texts: str) -> None:
    path = folder / language / "LC_MESSAGES" / "engine.po"
    path.parent.mkdir(parents=True)
    entries = "".join(f'\nmsgid "{text}"\nmsgstr "{said}"\n' for text, said in texts.items())
    head = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"\n'
    path.write_text(head + entries, encoding="utf-8")


def test_the_tenants_words_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_catalogue(tmp_path / "engine", "sw", member="mwanachama", fund="mfuko", empty="")
    write_catalogue(tmp_path / "pack", "sw", member="mshiriki")
    write_catalogue(tmp_path / "pack", "sw_KE", fund="hazina")
    monkeypatch.setattr(locale, "ENGINE_LOCALES", tmp_path / "engine")
    said = translator("sw-KE", tmp_path / "pack")
    assert [said.gettext(word) for word in ("member", "fund", "empty", "new")] == ["mshiriki", "hazina", "empty", "new"]
    assert translator("sw").gettext("member") == "mwanachama"
    assert translator("rw").gettext("member") == "member"


def test_a_changed_catalogue_is_read_again(tmp_path: Path) -> None:
    write_catalogue(tmp_path, "sw", member="a")
    assert translator("sw", tmp_path).gettext("member") == "a"
    path = tmp_path / "sw" / "LC_MESSAGES" / "engine.po"
    path.write_text(path.read_text().replace('"a"', '"b"'))
    assert translator("sw", tmp_path).gettext("member") == "b"
