"""What the formats of statements have of their own, and what a hostile or damaged file does."""

import io
import zipfile
from dataclasses import replace
from datetime import date

import msgspec
import pytest

from engine.kernel.amounts import Asset
from engine.kernel.files import FileRefused, Succession, succession
from engine.kernel.statements import (
    Side,
    Statement,
    StatementFile,
    StatementKind,
    StatementLine,
    correction_of,
    follows,
)
from engine.kernel.table_layouts import layout_of
from integrations.banking.camt.adapter import CamtStatements
from integrations.banking.camt.versions import MESSAGES
from integrations.banking.mt940.adapter import MT940Statements
from integrations.banking.simulation.camt_writing import write_camt
from integrations.banking.simulation.table_writing import write_workbook
from integrations.banking.tabular.adapter import MpesaStatements, TabularStatements
from integrations.banking.tabular.layouts import GENERIC

DAY = date(2026, 3, 27)
KES = Asset.currency("KES")
LINE = StatementLine(
    row=0, side=Side.CREDIT, amount=500, booked_on=DAY, value_on=DAY, end_to_end_id="E1", bank_ref="B1"
)
STATEMENT = Statement(
    kind=StatementKind.STATEMENT,
    account="600123",
    currency=KES,
    lines=(LINE,),
    opening=1000,
    closing=1500,
    opened_on=DAY,
    closed_on=DAY,
    reference="ST-1",
    number=1,
)


def camt(raw: bytes | str) -> StatementFile:
    return CamtStatements().read(raw.encode() if isinstance(raw, str) else raw, "a.xml")


def refusal(reader: object, raw: bytes | str) -> tuple[str, str, int | None]:
    with pytest.raises(FileRefused) as raised:
        reader.read(raw.encode() if isinstance(raw, str) else raw, "a.xml")  # type: ignore[attr-defined]
    return raised.value.reason, raised.value.field, raised.value.row


# XML that means harm

BOMB = '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(BOMB + "]><d>&i;</d>", "document-type", id="an entity bomb"),
        pytest.param(
            '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><d>&x;</d>',
            "document-type",
            id="an external entity",
        ),
        pytest.param(
            '<!DOCTYPE d SYSTEM "http://127.0.0.1:9/d.dtd"><d/>', "document-type", id="a document type elsewhere"
        ),
        pytest.param(
            '<?xml version="1.0" encoding="UTF-7"?>+ADwAIQ-DOCTYPE d+AD4-<d/>',
            "not-text",
            id="a document type in UTF-7",
        ),
        pytest.param("<Document>", "not-xml", id="not closed"),
        pytest.param("<Document>&unknown;</Document>", "not-xml", id="an entity never declared"),
        pytest.param("<!-- nothing -->", "not-xml", id="no element"),
        pytest.param("<html><body>502</body></html>", "unknown-message", id="an HTML error page"),
        pytest.param(
            "<Document xmlns='urn:iso:std:iso:20022:tech:xsd:camt.053.001.99'/>",
            "unknown-message",
            id="a version to come",
        ),
        pytest.param(
            "<Document xmlns='urn:iso:std:iso:20022:tech:xsd:pain.002.001.10'/>",
            "unknown-message",
            id="another message",
        ),
        pytest.param(
            "<Document xmlns='urn:iso:std:iso:20022:tech:xsd:camt.053.001.08'/>", "missing", id="an empty document"
        ),
        pytest.param("<a>" * 5000 + "</a>" * 5000, "not-xml", id="elements nested without end"),
    ],
)
def test_refuses_xml_that_is_no_statement(raw: str, reason: str) -> None:
    assert refusal(CamtStatements(), raw)[0] == reason


def test_refuses_latin_letters_that_are_not_utf_8() -> None:
    raw = write_camt(replace(STATEMENT, lines=(replace(LINE, text="réçu"),))).decode()

    assert camt(raw).statements[0].lines[0].text == "réçu"
    assert refusal(CamtStatements(), raw.encode("latin-1"))[0] == "not-text"


def test_refuses_more_bytes_than_a_statement_has() -> None:
    assert refusal(CamtStatements(), b"<a>" + b" " * 64_000_000 + b"</a>")[0] == "too-large"


# camt.053


def test_versions_1_to_14_of_three_messages_are_read() -> None:
    assert len(MESSAGES) == 42


def test_a_notification_needs_no_balances() -> None:
    raw = write_camt(replace(STATEMENT, kind=StatementKind.NOTIFICATION, opening=None, closing=None))
    [found] = camt(raw).statements

    assert found.kind is StatementKind.NOTIFICATION
    assert [line.amount for line in found.lines] == [500]


@pytest.mark.parametrize(
    ("old", "new", "reason", "field"),
    [
        pytest.param(b"<Cd>OPBD</Cd>", b"<Cd>XPCD</Cd>", "missing", "Bal OPBD", id="no opening balance"),
        pytest.param(b"<Cd>CLBD</Cd>", b"<Cd>CLAV</Cd>", "missing", "Bal CLBD", id="no closing balance"),
        pytest.param(b"<Cd>CLBD</Cd>", b"<Cd>OPBD</Cd>", "repeated", "Bal OPBD", id="two opening balances"),
        pytest.param(b'Ccy="KES">5', b'Ccy="USD">5', "currency-differs", "Amt", id="an entry in another currency"),
        pytest.param(b">5.00<", b">5.001<", "too-many-decimals", "Amt", id="a thousandth of a shilling"),
        pytest.param(b">5.00<", b">-5.00<", "malformed", "Amt", id="a negative amount"),
        pytest.param(b">5.00<", b">5,00<", "malformed", "Amt", id="a decimal comma"),
        pytest.param(b">5.00<", b">1e3<", "malformed", "Amt", id="an exponent"),
        pytest.param(b">5.00<", b">6.00<", "chain-broken", "closing balance", id="a changed amount"),
        pytest.param(b">CRDT<", b">CRED<", "not-listed", "CdtDbtInd", id="an unknown side"),
        pytest.param(b"<Dt>2026-03-27</Dt>", b"<Dt>2026-02-30</Dt>", "date-malformed", "BookgDt", id="no such day"),
        pytest.param(b"<Ccy>KES</Ccy>", b"<Ccy>KEX</Ccy>", "currency-unknown", "Acct/Ccy", id="no such currency"),
        pytest.param(b"<Id>600123</Id>", b"<Id></Id>", "missing", "Id/IBAN", id="no account"),
    ],
)
def test_refuses_a_statement_with_one_wrong_value(old: bytes, new: bytes, reason: str, field: str) -> None:
    raw = write_camt(STATEMENT)
    assert old in raw
    found = refusal(CamtStatements(), raw.replace(old, new))

    assert found[:2] == (reason, field)
    assert found[2] is not None


def with_summary(summary: str) -> bytes:
    entry = b"      <Ntry>"
    return write_camt(STATEMENT).replace(entry, f"      <TxsSummry>{summary}</TxsSummry>\n".encode() + entry, 1)


@pytest.mark.parametrize(
    ("summary", "reason"),
    [
        ("<TtlNtries><NbOfNtries>2</NbOfNtries></TtlNtries>", "count-differs"),
        ("<TtlCdtNtries><NbOfNtries>1</NbOfNtries><Sum>5.01</Sum></TtlCdtNtries>", "total-differs"),
        ("<TtlDbtNtries><NbOfNtries>1</NbOfNtries></TtlDbtNtries>", "count-differs"),
    ],
)
def test_refuses_a_statement_that_disagrees_with_its_own_totals(summary: str, reason: str) -> None:
    assert refusal(CamtStatements(), with_summary(summary))[0] == reason


def test_takes_a_statement_that_agrees_with_its_own_totals() -> None:
    summary = "<TtlNtries><NbOfNtries>1</NbOfNtries></TtlNtries><TtlCdtNtries><NbOfNtries>1</NbOfNtries><Sum>5</Sum></TtlCdtNtries>"

    assert camt(with_summary(summary)).statements[0].lines


def test_entries_that_are_not_booked_are_counted_and_move_nothing() -> None:
    raw = write_camt(replace(STATEMENT, closing=1000)).replace(b"<Cd>BOOK</Cd>", b"<Cd>PDNG</Cd>")
    [found] = camt(raw).statements

    assert (found.lines, found.not_booked) == ((), 1)


def batch(*amounts: str) -> bytes:
    details = "".join(
        f'<TxDtls><Refs><EndToEndId>E{number}</EndToEndId></Refs><Amt Ccy="KES">{amount}</Amt>'
        "<CdtDbtInd>CRDT</CdtDbtInd></TxDtls>"
        for number, amount in enumerate(amounts, 1)
    ).encode()
    raw = write_camt(STATEMENT)
    start, end = raw.index(b"<TxDtls>"), raw.index(b"</TxDtls>") + len(b"</TxDtls>")
    return raw[:start] + details + raw[end:]


def test_an_entry_for_many_payments_becomes_a_line_each() -> None:
    lines = camt(batch("2.00", "3.00")).statements[0].lines

    assert [(line.end_to_end_id, line.amount) for line in lines] == [("E1", 200), ("E2", 300)]


def test_an_entry_whose_payments_do_not_make_its_amount_stays_one_line() -> None:
    [line] = camt(batch("2.00", "2.50")).statements[0].lines

    assert (line.amount, line.end_to_end_id, line.bank_ref) == (500, "", "B1")


def test_statements_of_one_account_must_follow_in_a_file() -> None:
    later = replace(STATEMENT, opening=1500, closing=2000, number=2)

    assert len(camt(write_camt(STATEMENT, later)).statements) == 2
    assert (
        refusal(CamtStatements(), write_camt(STATEMENT, replace(later, opening=1400, closing=1900)))[0]
        == "chain-broken"
    )


def test_a_corrected_statement_is_told_from_the_first_by_its_lines() -> None:
    other = replace(LINE, amount=700, bank_ref="B2")
    first = replace(STATEMENT, lines=(LINE, LINE, other), closing=2700)
    corrected = replace(first, lines=(replace(other, amount=800), LINE), closing=2300)
    change = correction_of(camt(write_camt(first)).statements[0], camt(write_camt(corrected)).statements[0])

    assert [(line.bank_ref, line.amount) for line in change.withdrawn] == [("B1", 500), ("B2", 700)]
    assert [(line.bank_ref, line.amount) for line in change.added] == [("B2", 800)]
    assert correction_of(first, replace(first, lines=first.lines[::-1])) == correction_of(first, first)


def test_the_next_statement_opens_where_the_last_closed() -> None:
    assert follows(STATEMENT, replace(STATEMENT, opening=1500))
    assert not follows(STATEMENT, replace(STATEMENT, opening=1501))
    assert not follows(STATEMENT, replace(STATEMENT, opening=1500, account="600124"))
    assert not follows(STATEMENT, replace(STATEMENT, opening=1500, currency=Asset.currency("UGX")))


@pytest.mark.parametrize(
    ("last", "number", "found"),
    [
        (None, 7, Succession.NEXT),
        (7, 8, Succession.NEXT),
        (7, 9, Succession.GAP),
        (7, 7, Succession.REPEATED),
        (7, 3, Succession.REPEATED),
    ],
)
def test_a_sequence_number_tells_what_is_missing_or_came_before(
    last: int | None, number: int, found: Succession
) -> None:
    assert succession(last, number) is found


# MT940

MT = (
    "{1:F01BANKKENAXXXX}{2:I940}{4:\r\n:20:STMT1\r\n:25:KE600123\r\n:28C:00005/001\r\n:60F:C260326KES1000,00\r\n"
    ":61:2603270327C50,00NTRFNONREF//BANK0001\r\n:86:/EREF/2026-03-PAYOUT-000000001/REMI/free text with\r\nsecond line\r\n"
    ":61:260327RD1,5NTRF12345678901234567//B3\r\n:62F:C260327KES1051,50\r\n:86:about the account\r\n-}"
)


def mt940(text: str) -> StatementFile:
    return MT940Statements().read(text.encode(), "a.sta")


def test_reads_mt940_inside_its_envelope() -> None:
    [found] = mt940(MT).statements
    first, second = found.lines

    assert (found.account, found.number, found.opening, found.closing) == ("KE600123", 5, 100_000, 105_150)
    assert (first.end_to_end_id, first.bank_ref, first.row) == ("2026-03-PAYOUT-000000001", "BANK0001", 6)
    assert first.text.endswith("second line")
    assert (second.side, second.amount, second.is_reversal) == (Side.CREDIT, 150, True)
    assert second.end_to_end_id == "12345678901234567", "a reference longer than the standard's is not cut"
    assert second.text == "", "what is said of the account is not said of its last line"


def test_pages_of_one_statement_are_joined() -> None:
    first = ":20:A\n:25:KE600123\n:28C:5/1\n:60F:C260326KES10,\n:61:2603270327C5,NTRFA//B1\n:62M:C260327KES15,\n-\n"
    second = ":20:A\n:25:KE600123\n:28C:5/2\n:60M:C260327KES15,\n:61:2603270327D1,NTRFA//B2\n:62F:C260327KES14,\n-\n"
    [found] = mt940(first + second).statements

    assert (found.opening, found.closing, [line.row for line in found.lines]) == (1000, 1400, [5, 12])
    assert refusal(MT940Statements(), first)[:2] == ("missing", ":62F:")
    assert refusal(MT940Statements(), second)[:2] == ("missing", ":60F:")
    assert (
        refusal(MT940Statements(), first + second.replace("KES15,", "KES16,").replace("KES14,", "KES15,"))[0]
        == "chain-broken"
    )


@pytest.mark.parametrize(
    ("old", "new", "reason", "field"),
    [
        pytest.param(":62F:C260327KES1051,50", ":86:x", "missing", ":62F:", id="cut before its closing balance"),
        pytest.param("C50,00", "C50,01", "chain-broken", "closing balance", id="a changed amount"),
        pytest.param("C50,00", "X50,00", "malformed", "page", id="an unknown mark"),
        pytest.param(":61:260327", ":61:260231", "malformed", "page", id="no such day"),
        pytest.param(":62F:C260327KES", ":62F:C260327USD", "currency-differs", ":62F:", id="two currencies"),
        pytest.param(":25:KE600123\r\n", "", "missing", ":25:", id="no account"),
        pytest.param(":20:STMT1\r\n", "", "missing", ":20:", id="no beginning"),
        pytest.param("C50,00", "C50,001", "too-many-decimals", ":61:", id="a thousandth"),
    ],
)
def test_refuses_mt940_with_one_wrong_value(old: str, new: str, reason: str, field: str) -> None:
    assert old in MT
    assert refusal(MT940Statements(), MT.replace(old, new))[:2] == (reason, field)


def test_never_takes_text_for_the_name_of_a_file() -> None:
    assert refusal(MT940Statements(), "/etc/hostname")[0] == "missing"


# Tables

SEMICOLONS = layout_of(
    {
        "name": "small-bank",
        "source": "invented",
        "columns": {
            "booked_on": "Booking date",
            "amount": "Amount",
            "side": "D/C",
            "balance": "Balance",
            "bank_ref": "Ref",
            "account": "Account",
        },
        "signs": "by-side",
        "credit_words": ["C", "CR"],
        "debit_words": ["D"],
        "day_formats": ["%d.%m.%Y"],
        "delimiter": ";",
        "encoding": "windows-1252",
        "decimal_mark": ",",
        "thousands_mark": ".",
        "currency": "XOF",
        "trailer": "Total",
    }
)
TABLE = (
    "Relevé;;;;;\nAccount;Booking date;D/C;Amount;Balance;Ref\nA1;27.03.2026;C;1.250,00;11.250;R1\n"
    "A1;28.03.2026;d;250;11.000;R2\nTotal;;;1.500;;\n"
)


def test_a_layout_says_how_a_table_is_read() -> None:
    [found] = TabularStatements(SEMICOLONS).read(TABLE.encode("cp1252"), "t.csv").statements

    assert (found.account, found.currency.symbol, found.opening, found.closing) == ("A1", "XOF", 10_000, 11_000)
    assert [(line.movement, line.booked_on.day, line.row) for line in found.lines] == [(1250, 27, 3), (-250, 28, 4)]


@pytest.mark.parametrize(
    ("old", "new", "reason", "row"),
    [
        pytest.param("Total;;;1.500;;\n", "", "no-trailer", None, id="cut before its trailer"),
        pytest.param("Total;;;1.500", "Total;;;1.501", "total-differs", 5, id="another total"),
        pytest.param(";11.250;", ";11.251;", "chain-broken", 4, id="a balance that does not follow"),
        pytest.param(";1.250,00;", ";1,250.00;", "malformed", 3, id="the other country's marks"),
        pytest.param(";1.250,00;", ";1.25;", "malformed", 3, id="a mark of thousands that parts two digits"),
        pytest.param(";C;", ";K;", "not-listed", 3, id="an unknown side"),
        pytest.param("27.03.2026", "03/27/2026", "date-malformed", 3, id="another order of the date"),
        pytest.param("A1;28", "A2;28", "contradiction", 4, id="two accounts"),
        pytest.param("Ref\n", "Reference\n", "unknown-layout", None, id="another title"),
        pytest.param(";Ref\n", ";Ref;Ref\n", "repeated", 2, id="a title twice"),
        pytest.param("R1\n", '"R1\n', "malformed", 3, id="a quotation that never ends"),
    ],
)
def test_refuses_a_table_with_one_wrong_value(old: str, new: str, reason: str, row: int | None) -> None:
    assert old in TABLE
    found = refusal(TabularStatements(SEMICOLONS), TABLE.replace(old, new).encode("cp1252"))

    assert (found[0], found[2]) == (reason, row)


def test_the_plain_layout_is_read_without_balances_too() -> None:
    raw = b"date,reference,amount,currency\n2026-03-27,T1,12.50,KES\n2026-03-28,T2,-2.50,KES\n"
    [found] = TabularStatements(GENERIC).read(raw, "t.csv").statements

    assert (found.opening, found.closing, found.movement) == (None, None, 1000)
    assert (found.opened_on, found.closed_on) == (date(2026, 3, 27), date(2026, 3, 28))


def test_a_fee_is_a_line_of_its_own_and_the_balance_knows_it() -> None:
    layout = layout_of(
        {
            "name": "with-fees",
            "source": "invented",
            "columns": {"booked_on": "Day", "amount": "Amount", "fee": "Fee", "balance": "Balance", "bank_ref": "Id"},
            "signs": "signed",
            "day_formats": ["%Y-%m-%d"],
            "currency": "KES",
        }
    )
    raw = b"Day,Id,Amount,Fee,Balance\n2026-03-27,T1,-100.00,2.50,897.50\n"
    [found] = TabularStatements(layout).read(raw, "t.csv").statements

    assert [(line.movement, line.code, line.bank_ref) for line in found.lines] == [
        (-10_000, "", "T1"),
        (-250, "fee", "T1"),
    ]
    assert found.opening == 100_000


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"signs": "two-columns"}, "two-columns"),
        ({"decimal_mark": "."}, "one mark"),
        ({"currency": ""}, "currency"),
        ({"colour": "red"}, "colour"),
        ({"debit_words": []}, "debit_words"),
    ],
)
def test_a_layout_that_cannot_be_is_refused(change: dict[str, object], said: str) -> None:
    data = {**msgspec.to_builtins(SEMICOLONS), **change}

    with pytest.raises(msgspec.ValidationError, match=said):
        layout_of(data)


# Workbooks that mean harm


def workbook(**members: bytes) -> bytes:
    source = zipfile.ZipFile(io.BytesIO(write_workbook([["Receipt No."]])))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            archive.writestr(name, members.get(name.rsplit("/", 1)[-1].removesuffix(".xml"), source.read(name)))
    return out.getvalue()


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(workbook(sheet1=b"<a>" + b"0" * 200_000_000 + b"</a>"), "too-large", id="a zip bomb"),
        pytest.param(workbook(sheet1=BOMB.encode() + b"]><d>&i;</d>"), "document-type", id="an entity bomb in a sheet"),
        pytest.param(
            workbook(workbook=b'<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><d>&x;</d>'),
            "document-type",
            id="an external entity in the workbook",
        ),
        pytest.param(workbook(sheet1="<a/>".encode("utf-16")), "not-text", id="a sheet in UTF-16"),
        pytest.param(workbook()[:900], "not-workbook", id="half a workbook"),
        pytest.param(b"PK\x03\x04" + b"\0" * 60, "not-workbook", id="a zip's first bytes"),
        pytest.param(workbook(), "unknown-layout", id="another table"),
    ],
)
def test_refuses_a_workbook_that_is_no_statement(raw: bytes, reason: str) -> None:
    assert refusal(MpesaStatements(), raw)[0] == reason
