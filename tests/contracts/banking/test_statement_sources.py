"""What every reader of statements keeps, whatever the format: one suite over all adapters."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from functools import cache, partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.kernel.amounts import Asset
from engine.kernel.files import REASONS, FileRefused
from engine.kernel.statements import Side, Statement, StatementKind, StatementLine
from engine.reconciliation.ports import StatementSource
from integrations.banking.camt.adapter import CamtStatements
from integrations.banking.mt940.adapter import MT940Statements
from integrations.banking.simulation.camt_writing import write_camt
from integrations.banking.simulation.table_writing import (
    momo_rows,
    mpesa_rows,
    write_csv,
    write_generic_csv,
    write_mt940,
    write_workbook,
)
from integrations.banking.tabular.adapter import MpesaStatements, MtnMomoStatements, TabularStatements

DAY = date(2026, 3, 27)
LINES = (
    StatementLine(
        row=0,
        side=Side.CREDIT,
        amount=50_000,
        booked_on=DAY,
        value_on=DAY,
        end_to_end_id="MEMBER-77",
        bank_ref="BK0000000001",
        text="Pension March",
        other_party="Amina Otieno",
        other_account="254700000001",
    ),
    StatementLine(
        row=0,
        side=Side.CREDIT,
        amount=1_234_500,
        booked_on=DAY,
        value_on=DAY,
        end_to_end_id="MEMBER-78",
        bank_ref="BK0000000002",
        text="March",
        other_party="Joseph Were",
        other_account="254700000002",
    ),
    StatementLine(
        row=0,
        side=Side.DEBIT,
        amount=7_500,
        booked_on=DAY,
        value_on=DAY,
        end_to_end_id="PAYOUT-1",
        bank_ref="BK0000000003",
        text="Benefit",
        other_party="Grace Njeri",
        other_account="254700000003",
    ),
)
STATEMENT = Statement(
    kind=StatementKind.STATEMENT,
    account="600123",
    currency=Asset.currency("KES"),
    lines=LINES,
    opening=1_000_000,
    closing=2_277_000,
    opened_on=DAY,
    closed_on=DAY,
    reference="ST-86",
    number=86,
)


@dataclass(frozen=True)
class Format:
    """A format: its reader, how the other side writes it, and what it cannot say."""

    source: StatementSource
    write: Callable[[Statement], bytes]
    untold: frozenset[str] = frozenset()
    is_enclosed: bool = True
    names_account: bool = True


FORMATS = {
    **{
        f"camt.053 version {version}": Format(CamtStatements(), partial(write_camt, version=version))
        for version in (1, 2, 3, 6, 7, 8, 14)
    },
    "MT940": Format(MT940Statements(), write_mt940, frozenset({"other_party", "other_account"})),
    "plain CSV": Format(
        TabularStatements(),
        write_generic_csv,
        frozenset({"end_to_end_id", "text", "other_party", "other_account"}),
        is_enclosed=False,
        names_account=False,
    ),
    "M-Pesa CSV": Format(MpesaStatements(), lambda one: write_csv(mpesa_rows(one)), frozenset({"other_account"})),
    "M-Pesa Excel": Format(
        MpesaStatements(), lambda one: write_workbook(mpesa_rows(one)), frozenset({"other_account"})
    ),
    "MoMo CSV": Format(
        MtnMomoStatements(), lambda one: write_csv(momo_rows(one)), is_enclosed=False, names_account=False
    ),
    "MoMo Excel": Format(MtnMomoStatements(), lambda one: write_workbook(momo_rows(one)), names_account=False),
}
any_format = pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)


@cache
def written_once(form: Format) -> bytes:
    """Return the statement as the form writes it, the same bytes every time: a workbook holds the time of day."""
    return form.write(STATEMENT)


def told(lines: tuple[StatementLine, ...], untold: frozenset[str]) -> list[StatementLine]:
    return [replace(line, row=0, code="", **dict.fromkeys(untold, "")) for line in lines]  # type: ignore[arg-type]


def refusal(form: Format, raw: bytes) -> FileRefused:
    with pytest.raises(FileRefused) as raised:
        form.source.read(raw, "statement.bin")
    assert raised.value.file == "statement.bin"
    assert raised.value.reason in REASONS
    assert raised.value.sentence in str(raised.value)
    return raised.value


@any_format
def test_reads_what_the_other_side_wrote(form: Format) -> None:
    raw = form.write(STATEMENT)
    [found] = form.source.read(raw, "statement.bin").statements

    assert found.kind is StatementKind.STATEMENT
    assert found.currency == STATEMENT.currency
    assert (found.opening, found.closing) == (STATEMENT.opening, STATEMENT.closing)
    assert found.account == (STATEMENT.account if form.names_account else "")
    assert told(found.lines, form.untold) == told(STATEMENT.lines, form.untold)
    assert found.movement == 1_277_000


@any_format
def test_lines_say_where_in_the_file_they_stand(form: Format) -> None:
    [found] = form.source.read(form.write(STATEMENT), "s").statements
    rows = [line.row for line in found.lines]

    assert len(set(rows)) == len(rows)
    assert min(rows) > 1


@any_format
def test_the_same_bytes_say_the_same(form: Format) -> None:
    raw = form.write(STATEMENT)

    assert form.source.read(raw, "s") == form.source.read(raw, "s")
    assert len(form.source.read(raw, "s").sha256) == 64


@any_format
def test_a_broken_chain_is_refused_with_its_place(form: Format) -> None:
    first = replace(LINES[0], amount=LINES[0].amount + 100)
    bad = form.write(replace(STATEMENT, lines=(first, *LINES[1:]), closing=STATEMENT.closing))
    if not form.names_account:  # such tables tell balances by their rows alone
        bad = broken_table(form)
    found = refusal(form, bad)

    assert found.reason == "chain-broken"
    assert found.row is not None
    assert found.row > 1
    assert "balance" in found.field


def broken_table(form: Format) -> bytes:
    """Write rows of which one is left out: the balance after it does not follow."""
    if form is FORMATS["plain CSV"]:
        text = form.write(STATEMENT).split(b"\r\n")
        return b"\r\n".join([*text[:2], *text[3:]])
    rows = momo_rows(STATEMENT)
    left = [*rows[:2], *rows[3:]]
    return write_csv(left) if form is FORMATS["MoMo CSV"] else write_workbook(left)


@any_format
def test_an_empty_file_is_refused(form: Format) -> None:
    assert refusal(form, b"").reason == "empty-file"
    assert refusal(form, b" \r\n ").reason == "empty-file"


@any_format
def test_half_a_file_is_refused(form: Format) -> None:
    raw = form.write(STATEMENT)
    if form.is_enclosed:
        for cut in (len(raw) // 2, len(raw) * 3 // 4, len(raw) - 40):
            refusal(form, raw[:cut])
    else:  # a table without a trailer can only be seen to end within a row
        refusal(form, raw[: raw.rindex(b"KES") - 1])


@any_format
def test_another_encoding_is_refused(form: Format) -> None:
    raw = form.write(STATEMENT)
    if not raw.startswith(b"PK"):
        text = (
            raw.decode()
            .replace('encoding="UTF-8"', 'encoding="UTF-16"')
            .replace("encoding='UTF-8'", "encoding='UTF-16'")
        )
        assert refusal(form, text.encode("utf-16")).reason == "not-text"


@any_format
def test_an_unknown_currency_is_refused(form: Format) -> None:
    raw = form.write(STATEMENT)
    if b"KES" in raw:
        assert refusal(form, raw.replace(b"KES", b"QQQ")).reason == "currency-unknown"


@any_format
def test_an_overdrawn_account_reads_negative(form: Format) -> None:
    overdrawn = replace(STATEMENT, opening=-1_285_000, closing=-8_000)
    [found] = form.source.read(form.write(overdrawn), "s").statements

    assert (found.opening, found.closing) == (-1_285_000, -8_000)


@any_format
def test_nothing_personal_is_shown(form: Format) -> None:
    shown = repr(form.source.read(form.write(STATEMENT), "s"))

    assert not any(word in shown for word in ("Amina", "Otieno", "254700000001", "Pension March"))


@any_format
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_and_never_fails_otherwise(form: Format, data: st.DataObject) -> None:
    raw = bytearray(written_once(form))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with suppress(FileRefused):
        form.source.read(bytes(raw), "s")


DAYS = st.dates(date(2020, 1, 1), date(2029, 12, 31))
WORDS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=3, max_size=12)


@st.composite
def statements(draw: st.DrawFn) -> Statement:
    day = draw(DAYS)
    lines = tuple(
        StatementLine(
            row=0,
            side=draw(st.sampled_from(Side)),
            amount=draw(st.integers(1, 10**12)),
            booked_on=day,
            value_on=day,
            end_to_end_id=draw(WORDS.map(lambda word: f"E{word}")),
            bank_ref=draw(WORDS.map(lambda word: f"B{word}")),
            text=draw(WORDS),
        )
        for _ in range(draw(st.integers(1, 8)))
    )
    opening = draw(st.integers(-(10**12), 10**12))
    return replace(
        STATEMENT,
        lines=lines,
        opening=opening,
        closing=opening + sum(line.movement for line in lines),
        opened_on=day,
        closed_on=day,
    )


@any_format
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(statement=statements())
def test_what_is_written_reads_back(form: Format, statement: Statement) -> None:
    [found] = form.source.read(form.write(statement), "s").statements

    assert told(found.lines, form.untold) == told(statement.lines, form.untold)
    assert (found.opening, found.closing) == (statement.opening, statement.closing)
