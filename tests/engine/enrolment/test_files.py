"""Files of people to enrol."""

from datetime import date

import pytest

from engine.enrolment.errors import UnreadableFile
from engine.enrolment.rules import (
    ConsentGiven,
    DocumentGiven,
    FactDeclared,
    GuardianGiven,
    NomineeGiven,
    UndertakingGiven,
    read_members_csv,
)
from engine.enrolment.rules.files import COLUMNS

HEADER = (
    "key,product,full_name,born_on,sex,phone,document,document_number,group,language,consents,consent_channel,"
    "nominee_1_name,nominee_1_relationship,nominee_1_share_bp,nominee_1_born_on"
)
ROW = (
    'k1,main,"Devi, Lakshmi",1987-04-15,female,098765 43210,aadhaar,2341 2341 2346,north,fr,'
    "scheme-rules=0123456789abcdef personal-data=fedcba9876543210,agent,Meera,daughter,10000,"
)


def test_a_row_is_an_application() -> None:
    read = read_members_csv(f"\ufeff{HEADER}\r\n{ROW}\r\n\r\n,,,,,,,,,,,,,,,\r\n".encode())

    assert read.problems == ()
    (row,) = read.rows
    application = row.application
    assert (row.row, row.key, application.full_name) == (2, "k1", "Devi, Lakshmi")
    assert application.born_on == date(1987, 4, 15)
    assert application.documents == (DocumentGiven("aadhaar", "2341 2341 2346"),)
    assert application.nominees == (NomineeGiven(full_name="Meera", relationship="daughter", share_bp=10_000),)
    assert application.consents[1] == ConsentGiven(
        consent="personal-data", language="fr", version="fedcba9876543210", channel="agent"
    )


def test_semicolons_and_few_columns_will_do_and_rows_get_keys_of_their_own() -> None:
    raw = b"product;full_name;born_on\nmain;A, B;1990-01-01\nmain;C;1990-01-02\n"

    one, again = read_members_csv(raw), read_members_csv(raw)

    assert [row.application.full_name for row in one.rows] == ["A, B", "C"]
    assert len({row.key for row in one.rows}) == 2
    assert [row.key for row in one.rows] == [row.key for row in again.rows]
    assert all(len(row.key) <= 64 for row in one.rows)


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        ("main,A,1990-13-01,female,10", "born_on", "allowed: a date as YYYY-MM-DD"),
        ("main,A,01/02/1990,female,10", "born_on", "allowed: a date as YYYY-MM-DD"),
        ("main,,1990-01-01,female,10", "full_name", "it is blank"),
        ("main,A,1990-01-01,woman,10", "sex", "allowed: female, male, other, unstated"),
        ("main,A,1990-01-01,female,all", "nominee_1_share_bp", "allowed: a whole number from 1 to 10000"),
        ("main,A,1990-01-01,female,10001", "nominee_1_share_bp", "allowed: a whole number from 1 to 10000"),
        ("main,A,1990-01-01,female", "row", "it has 4 cells, and the header 7"),
        (f"main,{'A' * 201},1990-01-01,female,10", "full_name", "Expected str of length <= 200"),
    ],
)
def test_a_bad_row_is_told_with_its_place_and_its_neighbours_stand(row: str, field: str, reason: str) -> None:
    good = "main,B,1990-01-01,,,,"
    row = f"{row},Meera,daughter" if row.count(",") == 4 else row
    header = "product,full_name,born_on,sex,nominee_1_share_bp,nominee_1_name,nominee_1_relationship"
    raw = f"{header}\n{good}\n{row}\n{good}\n".encode()

    read = read_members_csv(raw, "people.csv")

    assert [row.row for row in read.rows] == [2, 4]
    (problem,) = read.problems
    assert (problem.file, problem.row, problem.field, problem.reason) == ("people.csv", 3, field, reason)
    assert str(problem).startswith("people.csv, row 3, ")
    assert "AAAA" not in str(problem)
    assert "woman" not in str(problem)


def test_a_key_counts_once_in_a_file() -> None:
    read = read_members_csv(b"key,product,full_name,born_on\na,main,A,1990-01-01\na,main,B,1990-01-01\n")

    assert [row.row for row in read.rows] == [2]
    assert [(one.row, one.field, one.reason) for one in read.problems] == [
        (3, "key", "the key stands in row 2 already")
    ]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "the column product is missing"),
        (b"product,full_name\n", "the column born_on is missing"),
        (b"product,full_name,born_on,shoe\n", "'shoe' is not known; allowed: key"),
        (b"product,full_name,born_on,born_on\n", "twice"),
        (b"product,full_name,born_on\nmain,\xff,1990-01-01\n", "byte 32 is not UTF-8"),
        (b"product,full_name,born_on\nmain,\0,1990-01-01\n", "NUL"),
        (b'product,full_name,born_on\nmain,"A,1990-01-01\n', "line"),
    ],
)
def test_what_is_no_such_file_is_refused_whole(raw: bytes, reason: str) -> None:
    with pytest.raises(UnreadableFile, match=reason):
        read_members_csv(raw, "people.csv")


def test_a_nominee_without_a_name_is_told_by_its_column() -> None:
    raw = b"product,full_name,born_on,nominee_2_name,nominee_2_share_bp\nmain,A,1990-01-01,B,10\n"

    assert [one.field for one in read_members_csv(raw).problems] == ["nominee_1_name"]


def test_every_column_is_known_by_one_name() -> None:
    assert len(set(COLUMNS)) == len(COLUMNS)


def test_a_row_holds_what_rules_of_joining_ask() -> None:
    raw = (
        b"product,full_name,born_on,birth_known,document,document_number,document_expires_on,document_replaces,group_proof,"
        b"person_class,resident_since,monthly_income,declared,years_paid,channel,"
        b"guardian_name,guardian_relationship,guardian_document,guardian_number\n"
        b"main,A,2013-01-01,year,passport,C1,2030-01-31,C0,union-letter,resident,2020-02-01,9000.50,"
        b"income-tax-payer=no member-elsewhere=2022-12-31 retired=yes,3,agent,Amina,mother,card,123\n"
    )

    (row,) = read_members_csv(raw).rows
    one = row.application

    assert one.documents == (DocumentGiven("passport", "C1", date(2030, 1, 31), "C0"),)
    assert one.guardian == GuardianGiven(full_name="Amina", relationship="mother", document="card", number="123")
    assert (one.birth_known, one.group_proof, one.person_class, one.channel) == (
        "year",
        "union-letter",
        "resident",
        "agent",
    )
    assert (one.resident_since, one.monthly_income, one.years_paid) == (date(2020, 2, 1), "9000.50", 3)
    assert one.declared == (
        FactDeclared(fact="income-tax-payer", holds=False),
        FactDeclared(fact="member-elsewhere", holds=True, until=date(2022, 12, 31)),
        FactDeclared(fact="retired", holds=True),
    )


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("document_expires_on", "soon"),
        ("resident_since", "2020"),
        ("monthly_income", "much"),
        ("birth_known", "month"),
        ("declared", "income-tax-payer=perhaps"),
        ("declared", "Income Tax=yes"),
        ("guardian_relationship", "mother"),
    ],
)
def test_what_cannot_be_read_is_told_by_its_column(column: str, cell: str) -> None:
    raw = f"product,full_name,born_on,{column}\nmain,A,1990-01-01,{cell}\n".encode()

    (problem,) = read_members_csv(raw).problems

    assert problem.field in (column, "guardian_name")


def test_what_is_undertaken_has_columns_of_its_own() -> None:
    header = b"product,full_name,born_on,undertaking_slab,undertaking_frequency\n"
    row = b"main,A,1990-01-01,"
    read = read_members_csv(header + row + b"1000,monthly\n" + row + b",\n" + row + b"1000,\n" + row + b",often\n")

    assert [one.application.undertaking for one in read.rows] == [
        UndertakingGiven(slab="1000", frequency="monthly"),
        None,
    ]
    assert [(one.row, one.field, one.reason) for one in read.problems] == [
        (4, "undertaking_frequency", "is missing"),
        (
            5,
            "undertaking_frequency",
            "allowed: daily, weekly, monthly, quarterly, half-yearly, yearly, seasonal",
        ),
    ]
