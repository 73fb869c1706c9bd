"""Packed columns arrive as PostgreSQL reads them, element for element."""

import datetime as dt

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.runtime.arrays import BigInts, Column, Dates, Ints, JSONs, SmallInts, UUIDs

COLUMNS = st.one_of(
    st.builds(SmallInts, st.lists(st.integers(-(2**15), 2**15 - 1))),
    st.builds(Ints, st.lists(st.integers(-(2**31), 2**31 - 1))),
    st.builds(BigInts, st.lists(st.integers(-(2**63), 2**63 - 1))),
    st.builds(Dates, st.lists(st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 31)))),
    st.builds(UUIDs, st.lists(st.uuids())),
)


@pytest.fixture(scope="module")
def connection(superuser_url: str) -> psycopg.Connection:
    return psycopg.connect(superuser_url, autocommit=True)


@settings(max_examples=200, deadline=None)
@given(column=COLUMNS)
def test_a_column_arrives_as_it_was(connection: psycopg.Connection, column: Column) -> None:
    row = connection.execute("select %b", (column,)).fetchone()

    assert row == (list(column.values),)


def test_json_arrives_as_jsonb(connection: psycopg.Connection) -> None:
    column = JSONs([b'{"a": "\\u0928 \\"x\\""}', b"[1, 2]"])

    row = connection.execute("select (%b)[1] ->> 'a', (%b)[2] ->> 1", (column, column)).fetchone()

    assert row == ('न "x"', "2")
    assert connection.execute("select cardinality(%b)", (JSONs([]),)).fetchone() == (0,)
