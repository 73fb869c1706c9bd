"""The recordkeeper's price files are read whatever their layout, and nothing that is unclear is taken for a price."""

import hashlib
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.kernel.price_files import REASONS, ROW_TEXT_MAX, PriceFile, PriceFileRefused
from integrations.fund_managers.cra_files import wire
from integrations.fund_managers.cra_files.adapter import CraFiles
from integrations.fund_managers.cra_files.wire import read_price_file

FILES = Path(__file__).parents[2] / "data" / "cra_daily"
DAY = date(2023, 6, 21)
ROW = "06/21/2023,PFM001,SBI PENSION FUNDS,SM001009,NPS LITE,32.6775"
NPS_LITE = "SM001009"


def read(text: str, *, day: date | None = DAY, name: str = "prices.csv") -> PriceFile:
    return read_price_file(text.encode(), name=name, day=day)


def only_price(text: str, *, day: date = DAY) -> Decimal:
    file = read(text, day=day)
    [price] = file.prices
    assert (price.fund_code, price.manager_code, price.price_on) == (NPS_LITE, "PFM001", day)
    assert not file.refused
    return price.price


def refusal(row: str) -> tuple[str, str]:
    """Return field and reason of the one refused row, read after a good row of another scheme."""
    file = read(f"{ROW.replace(NPS_LITE, 'SM002009')}\n{row}")
    assert [price.fund_code for price in file.prices] == ["SM002009"]
    [refused] = file.refused
    assert refused.row == 2
    assert refused.text == row[:ROW_TEXT_MAX]
    assert refused.sentence == REASONS[refused.reason]
    return refused.field, refused.reason


def refused_whole(raw: bytes, *, name: str = "prices.csv", day: date | None = DAY) -> PriceFileRefused:
    with pytest.raises(PriceFileRefused) as raised:
        read_price_file(raw, name=name, day=day)
    assert raised.value.file == name
    assert raised.value.reason in str(raised.value)
    assert raised.value.sentence in str(raised.value)
    return raised.value


# The real files


@pytest.mark.parametrize(
    ("name", "prices"),
    [
        pytest.param(
            "2014-06-19.csv",
            "SM001003 16.0320 SM001009 14.6260 SM002009 14.5704 SM003003 14.6208 SM005007 12.8454",
            id="rows quoted whole",
        ),
        pytest.param(
            "2014-08-07.csv",
            "SM001001 18.0338 SM001009 14.6137 SM002009 14.595 SM003003 14.6216 SM005007 12.8791",
            id="a seventh column with the date again",
        ),
        pytest.param(
            "2014-08-12.csv",
            "SM001001 18.0775 SM001009 14.652 SM002009 14.629 SM003003 14.6473 SM005007 12.9109",
            id="ten columns and ISO dates",
        ),
        pytest.param(
            "2014-08-13.csv",
            "SM001001 18.1195 SM001009 14.6849 SM002009 14.6571 SM003003 14.6668 SM005007 12.9372",
            id="no leading zeros in dates",
        ),
        pytest.param(
            "2016-11-28.csv",
            "SM001001 24.7224 SM001009 20.0496 SM001011 11.9263 SM002009 19.8021 SM002011 12.2848 SM003003 19.7998 "
            "SM003011 12.2792 SM005007 17.3768",
            id="a hundred blanks before prices",
        ),
        pytest.param(
            "2016-11-29.csv",
            "SM001005 22.3525 SM001009 20.0264 SM001011 11.9112 SM002009 19.7874 SM002011 12.2709 SM003003 19.7739 "
            "SM003011 12.2654 SM005007 17.3510",
            id="blanks before some prices",
        ),
        pytest.param("2017-12-12.csv", "SM001009 21.0414 SM001011 12.4972 SM005007 18.4111", id="two days' rows"),
        pytest.param(
            "2020-02-24.csv",
            "SM001005 28.1781 SM001009 25.4447 SM001011 15.3380 SM002009 25.1698 SM002011 15.5795 SM003003 25.1976 "
            "SM003011 15.5376 SM005007 21.9134",
            id="compact dates, signed and padded prices",
        ),
    ],
)
def test_a_real_file_of_each_layout_gives_its_exact_prices(name: str, prices: str) -> None:
    raw = (FILES / name).read_bytes()

    file = CraFiles().read(raw, name, None)

    words = prices.split()
    expected = dict(zip(words[::2], words[1::2], strict=True))
    assert {price.fund_code: str(price.price) for price in file.prices} == expected
    assert str(file.day) == name.removesuffix(".csv")
    assert all(price.price_on == file.day for price in file.prices)
    assert all(price.manager_code == f"PFM{price.fund_code[2:5]}" for price in file.prices)
    assert file.sha256 == hashlib.sha256(raw).hexdigest()


@pytest.mark.parametrize(
    ("name", "prices"),
    [
        ("2023-06-21.csv", {"SM001009": "32.6775", "SM002009": "32.4426", "SM003003": "32.7240"}),
        ("2023-06-26.csv", {"SM001009": "32.6341", "SM002009": "32.3961", "SM003003": "32.6822"}),
    ],
)
def test_every_row_of_a_whole_file_of_today_is_accepted(name: str, prices: dict[str, str]) -> None:
    file = read_price_file((FILES / name).read_bytes(), name=name, day=None)

    by_code = {price.fund_code: price for price in file.prices}
    assert len(by_code) == 108
    assert (file.refused, file.skipped) == ((), ())
    assert {code: str(by_code[code].price) for code in prices} == prices
    assert by_code["SM003003"].manager_name == "LIC PENSION FUND LIMITED"
    assert by_code["SM003003"].name == "NPS TRUST A/C-LIC PENSION FUND LIMITED- NPS LITE SCHEME - GOVT. PATTERN"


def test_rows_of_another_day_are_refused_one_by_one() -> None:
    raw = (FILES / "2017-12-12.csv").read_bytes()

    file = read_price_file(raw, name="2017-12-12.csv", day=None)

    assert [price.row for price in file.prices] == [3, 4, 10]
    assert [refused.row for refused in file.refused] == [1, 2, 5, 6, 7, 8, 9]
    assert {(refused.field, refused.reason) for refused in file.refused} == {("date", "another-day")}
    assert all(refused.text.startswith("12/11/2017,") for refused in file.refused)


def test_a_file_of_two_days_gives_the_other_day_when_asked() -> None:
    raw = (FILES / "2017-12-12.csv").read_bytes()

    file = read_price_file(raw, name="2017-12-12.csv", day=date(2017, 12, 11))

    assert {price.fund_code: str(price.price) for price in file.prices} == {
        "SM001009": "21.0669",
        "SM001011": "12.5210",
        "SM002009": "20.9488",
        "SM002011": "12.8720",
        "SM003003": "20.8294",
        "SM003011": "12.8199",
        "SM005007": "18.4141",
    }


def test_a_file_of_another_day_is_refused_whole() -> None:
    refused = refused_whole((FILES / "2023-06-21.csv").read_bytes(), name="2023-06-22.csv", day=None)

    assert (refused.row, refused.field, refused.reason) == (None, "date", "no-row-of-the-day")
    assert refused.detail == "Its day is 2023-06-22; its rows: 108 of 2023-06-21."


# Layouts that may occur


@pytest.mark.parametrize(
    "written",
    [
        *(
            "6/21/2023",
            "06/21/2023",
            "21/6/2023",
            "21/06/2023",
            "2023-06-21",
            "2023/06/21",
            "20230621",
            "21062023",
        ),
        *("06212023", "21-06-2023", "06-21-2023", "21.06.2023", "21-Jun-2023", "21 June 2023", "21JUN2023"),
        *(
            "21-JUN-23",
            "Jun 21 2023",
            "21/06/23",
            "06/21/23",
            "23/06/21",
            "06/21/2023 00:00",
            "2023-06-21T18:30:00Z",
        ),
        *("06/21/2023 12:00:00 AM", " 06/21/2023 "),
    ],
)
def test_reads_dates_of_any_order_and_shape(written: str) -> None:
    assert only_price(ROW.replace("06/21/2023", written)) == Decimal("32.6775")


@pytest.mark.parametrize(
    ("written", "price"),
    [
        *(
            ("+0032.6775", "32.6775"),
            ("0032.6775", "32.6775"),
            ("  32.6775 ", "32.6775"),
            ("\u00a032.6775", "32.6775"),
        ),
        *((".9876", "0.9876"), ("10", "10"), ("14.595", "14.595"), ("99999.12345678", "99999.12345678")),
        *(
            ('"1,032.6034"', "1032.6034"),
            ('"12,34,5.6"', None),
            ('"12,345.6"', "12345.6"),
            ('"32.6775"', "32.6775"),
        ),
    ],
)
def test_reads_prices_exactly(written: str, price: str | None) -> None:
    row = ROW.replace("32.6775", written)
    if price is None:
        assert refusal(row) == ("price", "price-malformed")
    else:
        assert str(only_price(row)) == price


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_any_line_end_counts_one_row(end: str) -> None:
    file = read(end.join([ROW, ROW.replace(NPS_LITE, "SM002009"), ""]))

    assert [price.row for price in file.prices] == [1, 2]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(ROW.replace(",", "\t"), id="tabs"),
        pytest.param(ROW.replace(",", ";"), id="semicolons"),
        pytest.param(ROW.replace(",", "|"), id="pipes"),
        pytest.param(ROW.replace(",", " , "), id="blanks around fields"),
        pytest.param(",".join(f'"{field}"' for field in ROW.split(",")), id="every field quoted"),
        pytest.param(f'"{ROW}"', id="row quoted whole"),
        pytest.param(f' "{ROW}"  ', id="row quoted whole with blanks around it"),
        pytest.param(" , ".join(f'"{field} "' for field in ROW.split(",")), id="blanks around and inside quotes"),
        pytest.param(
            '"' + ",".join(f'""{field}""' for field in ROW.split(",")) + '"', id="quoted fields, quoted whole"
        ),
        pytest.param(f"{ROW},06/21/2023", id="seventh column"),
        pytest.param(f"{ROW},", id="blank seventh column"),
        pytest.param(f"DEFAULT,{ROW},2023-06-21,admin,N", id="ten columns"),
        pytest.param(f"\ufeff{ROW}", id="byte order mark"),
        pytest.param(f"\n  \n,,,,,\n{ROW}\n\n\x1a", id="blank lines and an end-of-file mark"),
        pytest.param(ROW.lower(), id="small letters"),
        pytest.param("PFM001,SBI,SM001009,NPS LITE,32.6775,06/21/2023", id="date behind the price"),
        pytest.param("06/21/2023,SM001009,PFM001,32.6775", id="codes swapped and no names"),
    ],
)
def test_recognises_rows_by_content(text: str) -> None:
    assert only_price(text) == Decimal("32.6775")


def test_reads_windows_1252() -> None:
    raw = ROW.replace("NPS LITE", "NPS – LITÉ").encode("cp1252")

    [price] = read_price_file(raw, name="prices.csv", day=DAY).prices

    assert price.name == "NPS – LITÉ"


def test_an_unquoted_comma_in_a_name_does_not_hide_the_price() -> None:
    [price] = read("06/21/2023,PFM001,SBI FUNDS, LIMITED,SM001009,NPS TRUST A/C, LITE, GOVT,32.6775").prices

    assert price.price == Decimal("32.6775")
    assert (price.manager_name, price.name) == ("SBI FUNDS, LIMITED", "NPS TRUST A/C, LITE, GOVT")


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("DATE,PFM CODE,PFM NAME,SCHEME CODE,SCHEME NAME,NAV", "header"),
        ("Date of NAV\tScheme\tPrice", "header"),
        ("HDR,20230621,108", "header"),
        ("TRAILER,108", "trailer"),
        ("T|108", "trailer"),
        ("Total records: 108", "trailer"),
        ("*** END OF FILE ***", "trailer"),
        ("No. of records,108", "trailer"),
    ],
)
def test_headers_and_trailers_are_reported_and_not_refused(row: str, kind: str) -> None:
    file = read(f"{row}\n{ROW}")

    assert [(skipped.row, skipped.kind, skipped.text) for skipped in file.skipped] == [(1, kind, row)]
    assert (len(file.prices), file.refused) == (1, ())


# Which order a date is in


def dated(*dates: str) -> str:
    return "\n".join(f"{text},PFM001,SBI,SM00100{number},NAME,1{number}.5" for number, text in enumerate(dates, 1))


APRIL_3, MARCH_4 = date(2023, 4, 3), date(2023, 3, 4)


@pytest.mark.parametrize(
    ("dates", "day", "accepted"),
    [
        pytest.param(["03/04/2023"] * 3, MARCH_4, [1, 2, 3], id="month first"),
        pytest.param(["03/04/2023"] * 3, APRIL_3, [1, 2, 3], id="day first"),
        pytest.param(["03/04/2023", "03/04/2023", "04/03/2023"], APRIL_3, [1, 2], id="the order of most rows"),
        pytest.param(["04/03/2023", "03/04/2023"], APRIL_3, [1], id="on a tie the recordkeeper's own order"),
        pytest.param(["04/03/2023", "03/04/2023", "03/31/2023"], APRIL_3, [1], id="an impossible order is out"),
        pytest.param(["04/03/2023", "03/04/2023", "31/03/2023"], APRIL_3, [2], id="the other order is out"),
        pytest.param(["2023-04-03", "03-Apr-2023", "20230403"], APRIL_3, [1, 2, 3], id="shapes may mix"),
        pytest.param(["2023-03-04", "2023-04-03"], APRIL_3, [2], id="year first is never read day second"),
        pytest.param(["04/04/2023", "04/04/2023"], date(2023, 4, 4), [1, 2], id="both orders mean the same"),
        pytest.param(["03/04/23", "03/04/23"], APRIL_3, [1, 2], id="short years, day first"),
    ],
)
def test_the_file_decides_the_order_of_its_dates(dates: list[str], day: date, accepted: list[int]) -> None:
    file = read(dated(*dates), day=day)

    assert [price.row for price in file.prices] == accepted
    assert {refused.reason for refused in file.refused} <= {"another-day"}
    assert len(file.prices) + len(file.refused) == len(dates)


# The day in the name


@pytest.mark.parametrize(
    "name",
    [
        *(
            "2023-06-21.csv",
            "NAV_File_21062023.out",
            "20230621.csv",
            "20230621-1.csv",
            "21-06-2023.csv",
            "a/21_06_2023",
        ),
        *(
            "nav 2023.06.21.txt",
            "NAV_21-Jun-2023.csv",
            "C:\\2020-01-01\\2023-06-21.csv",
            "2023-06-21_20230621.csv",
        ),
    ],
)
def test_the_day_is_read_from_the_name(name: str) -> None:
    assert read(ROW, day=None, name=name).day == DAY


def test_the_day_given_goes_before_the_name() -> None:
    assert read(ROW, name="2023-06-22.csv").day == DAY


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("prices.csv", "no-day-in-name"),
        ("2023-02-30.csv", "no-day-in-name"),
        ("06-21-2023.csv", "no-day-in-name"),
        ("", "no-day-in-name"),
        ("2023-06-21_2023-06-22.csv", "day-unclear"),
    ],
)
def test_a_name_without_one_day_asks_for_the_date(name: str, reason: str) -> None:
    refused = refused_whole(ROW.encode(), name=name, day=None)

    assert (refused.field, refused.reason) == ("name", reason)
    assert "--date" in str(refused)


def test_name_and_rows_that_can_both_be_read_two_ways_ask_for_the_date() -> None:
    text = dated("03/04/2023", "03/04/2023")

    refused = refused_whole(text.encode(), name="03-04-2023.csv", day=None)

    assert (refused.reason, refused.detail) == (
        "day-unclear",
        "Name and rows can mean 2023-04-03 and 2023-03-04.",
    )
    assert len(read(text, name="03-04-2023.csv", day=MARCH_4).prices) == 2
    assert len(read(dated("04/03/2023"), name="NAV_File_03042023.out", day=None).prices) == 1


# Refused rows


@pytest.mark.parametrize(
    ("old", "new", "field", "reason"),
    [
        ("32.6775", "", "price", "blank-price"),
        ("32.6775", "   ", "price", "blank-price"),
        ("32.6775", ",06/21/2023", "price", "blank-price"),
        (",32.6775", "", "price", "no-price"),
        ("32.6775", "N.A.", "price", "no-price"),
        ("32.6775", "-32.6775", "price", "price-not-positive"),
        ("32.6775", "0.0000", "price", "price-not-positive"),
        ("32.6775", "-0", "price", "price-not-positive"),
        ("32.6775", "3.26775E1", "price", "exponent-price"),
        ("32.6775", "32.123456789", "price", "too-many-decimals"),
        ("32.6775", "326775", "price", "price-too-large"),
        ("32.6775", "100000", "price", "price-too-large"),
        ("32.6775", "9" * 400, "price", "price-too-large"),
        ("32.6775", '"32,6775"', "price", "price-malformed"),
        ("32.6775", '"32,677"', "price", "price-unclear"),
        ("32.6775", "1,032.6775", "price", "price-unclear"),
        ("32.6775", "32.6775,108", "price", "price-unclear"),
        ("32.6775", ",108", "price", "price-unclear"),
        ("32.6775", "32.", "price", "price-malformed"),
        ("32.6775", "32..6", "price", "price-malformed"),
        ("32.6775", "3 2.6775", "price", "price-malformed"),
        ("32.6775", "+-32.6775", "price", "price-malformed"),
        ("32.6775", "३२.६७७५", "price", "not-ascii-digits"),
        ("32.6775", "32½", "price", "not-ascii-digits"),
        ("32.6775", "INF", "price", "no-price"),
        ("32.6775", "32_000.5", "price", "no-price"),
        ("06/21/2023", "06/20/2023", "date", "another-day"),
        ("06/21/2023", "", "date", "no-date"),
        ("06/21/2023", "०६/२१/२०२३", "date", "no-date"),
        ("06/21/2023", "45098", "date", "no-date"),
        ("06/21/2023", "06/31/2023", "date", "date-malformed"),
        ("06/21/2023", "06/21/1023", "date", "date-malformed"),
        ("32.6775", "32.6775,06/22/2023", "date", "dates-differ"),
        ("32.6775", "32.6775,06/31/2023", "date", "date-malformed"),
        ("PFM001", "", "manager_code", "no-manager-code"),
        ("PFM001", "PFM01", "manager_code", "no-manager-code"),
        ("PFM001", "PFM001,PFM002", "manager_code", "manager-code-unclear"),
        ("SM001009", "", "scheme_code", "no-scheme-code"),
        ("SM001009", "SM01009", "scheme_code", "no-scheme-code"),
        ("SM001009", "SM001009,SM001010", "scheme_code", "scheme-code-unclear"),
        ("NPS LITE", "N" * 2000, "row", "row-too-long"),
        (ROW, "something else, 12", "scheme_code", "no-scheme-code"),
        (ROW, f'"{ROW}', "row", "quotes-unclear"),
        (ROW, f'"{ROW[:-2]}"75"', "row", "quotes-unclear"),
        ("32.6775", '"32.67"75', "row", "quotes-unclear"),
        ("32.6775", '32.67"75', "price", "no-price"),
    ],
)
def test_a_row_is_refused_with_field_and_reason(old: str, new: str, field: str, reason: str) -> None:
    assert refusal(ROW.replace(old, new)) == (field, reason)


def test_a_price_repeated_is_accepted_once() -> None:
    file = read(f"{ROW}\n{ROW}0")

    assert [(price.row, str(price.price)) for price in file.prices] == [(1, "32.6775")]
    assert [(refused.row, refused.field, refused.reason) for refused in file.refused] == [
        (2, "scheme_code", "repeated-row")
    ]


def test_a_file_may_have_rows_of_its_day_and_no_price() -> None:
    file = read(ROW.replace("32.6775", ""))

    assert file.prices == ()
    assert [refused.reason for refused in file.refused] == ["blank-price"]


# Files refused whole


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(ROW.replace("32.6775", "32.6776"), id="another price"),
        pytest.param(ROW.replace("32.6775", "32.6776").replace("PFM001", ""), id="another price, no manager"),
    ],
)
def test_two_prices_for_one_scheme_refuse_the_file(second: str) -> None:
    refused = refused_whole(f"{ROW}\n{second}\n".encode())

    assert (refused.row, refused.field, refused.reason) == (2, "price", "two-prices")
    assert refused.detail == "SM001009 has 32.6775 and 32.6776 on 2023-06-21."


@pytest.mark.parametrize(
    ("raw", "field", "reason"),
    [
        pytest.param(b"", "file", "empty-file", id="no bytes"),
        pytest.param(b"\n\n", "date", "no-row-of-the-day", id="blank lines only"),
        pytest.param(b"DATE,SCHEME,NAV\n", "date", "no-row-of-the-day", id="a header only"),
        pytest.param(ROW.encode("utf-16"), "file", "nul-byte", id="UTF-16"),
        pytest.param(ROW.encode() + b"\0", "file", "nul-byte", id="a NUL"),
        pytest.param(ROW.encode() + b"\x81", "file", "not-text", id="neither UTF-8 nor Windows-1252"),
        pytest.param(b"PK\x03\x04 zip", "date", "no-row-of-the-day", id="something else"),
        pytest.param(b" " * (wire.BYTES_MAX + 1), "file", "too-large", id="too large"),
        pytest.param(b"\n" * (wire.ROWS_MAX + 1), "file", "too-many-rows", id="too many rows"),
    ],
)
def test_what_is_no_price_file_is_refused_whole(raw: bytes, field: str, reason: str) -> None:
    refused = refused_whole(raw)

    assert (refused.row, refused.field, refused.reason) == (None, field, reason)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"\r" * (wire.BYTES_MAX - 1) + b"x", id="CR only"),
        pytest.param((b"a" + b" " * 1990 + b"b\n") * 2400, id="blanks"),
        pytest.param((b'" ' * 999 + b"x\n") * 2400, id="quotes"),
        pytest.param((b"T" * 1999 + b"\n") * 2400, id="one letter"),
        pytest.param((b"SM001009," + b"1," * 900 + b"\n") * 2600, id="many fields"),
    ],
)
def test_a_large_file_of_nonsense_is_refused_soon(raw: bytes) -> None:
    assert refused_whole(raw).reason in {"no-row-of-the-day", "too-many-rows"}


def test_as_many_rows_as_allowed_are_read() -> None:
    assert len(read(ROW + "\n" * wire.ROWS_MAX).prices) == 1


# Whatever the bytes are


SAMPLES = [(path.name, path.read_bytes()) for path in sorted(FILES.glob("20[12][0467]-*.csv"))]
PIECES = st.one_of(
    st.binary(min_size=1, max_size=3),
    st.sampled_from([b",", b'"', b"\r", b"\n", b".", b"-", b"+", b"0", b"e1", b" ", b";", b"\t", b"32.5", b"SM001009"]),
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    sample=st.sampled_from(SAMPLES),
    edits=st.lists(
        st.tuples(st.integers(0, 3000), st.integers(0, 4), st.one_of(st.just(b""), PIECES)),
        min_size=1,
        max_size=8,
    ),
)
def test_damaged_bytes_are_read_or_refused_and_no_price_is_made_up(
    sample: tuple[str, bytes], edits: list[tuple[int, int, bytes]]
) -> None:
    name, raw = sample
    for at, removed, put in edits:
        place = at % (len(raw) + 1)
        raw = raw[:place] + put + raw[place + removed :]
    try:
        file = read_price_file(raw, name=name, day=None)
    except PriceFileRefused:
        return
    check_every_price_is_in_its_row(file, raw)


@settings(max_examples=200, deadline=None)
@given(raw=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)), name=st.text(max_size=30))
def test_any_bytes_and_any_name_are_read_or_refused(raw: bytes, name: str) -> None:
    with pytest.raises(PriceFileRefused):
        read_price_file(raw, name=name, day=DAY)
    with pytest.raises(PriceFileRefused):
        read_price_file(raw, name=name, day=None)


def check_every_price_is_in_its_row(file: PriceFile, raw: bytes) -> None:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    numbers = [price.row for price in file.prices]
    numbers += [row.row for row in file.refused] + [row.row for row in file.skipped]
    assert len(numbers) == len(set(numbers))
    assert len({price.fund_code for price in file.prices}) == len(file.prices)
    for price in file.prices:
        assert price.price_on == file.day
        assert price.price > 0
        candidates = [line for line in lines if price.fund_code in line.upper() and price.manager_code in line.upper()]
        assert any(str(price.price).removeprefix("0") in line.replace(",", "") for line in candidates)
