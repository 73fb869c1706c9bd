"""A pack's own layout of statements: proven by the table beside it, and read by whoever imports that channel's statements."""

import secrets
import shutil
import tomllib
from pathlib import Path

import jsonschema_rs
import pytest

from engine.app import CHECKS, KINDS, RUNNERS, adapter
from engine.reconciliation import service
from engine.reconciliation.errors import UnreadableStatement
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.rules.schemas import schemas
from engine.tenancy.service import PackReport, Tenants, advance_clock, check_pack
from tests.factories.schemes import PACKS, START

LAYOUT = """source = "Invented: the export of a bank"
signs = "two-columns"
day_formats = ["%d.%m.%Y"]
delimiter = ";"
encoding = "windows-1252"
decimal_mark = ","
thousands_mark = "."
currency = "INR"
trailer = "Total"
trailer_count = "Référence"

[columns]
booked_on = "Date"
credit = "Crédit"
debit = "Débit"
balance = "Solde"
bank_ref = "Référence"

[labels]
opening = "Solde initial"
count = "Lignes"
credits = "Total des crédits"

[sample]
lines = 3
movement = "1030.00"
opening = "10.00"
closing = "1040.00"
"""
SAMPLE = """Solde initial;10,00
Lignes;3
Total des crédits;1.050,00
Date;Référence;Débit;Crédit;Solde
03.04.2023;R1;;1.000,00;1.010,00
03.04.2023;R2;;50,00;1.060,00
03.04.2023;R3;20,00;;1.040,00
Total;3;20,00;1.050,00;
"""
CHANNEL = '[[channels]]\ncode = "upi"\n'


def folder(tmp_path: Path, layout: str = LAYOUT, sample: str = SAMPLE, channel: str = 'layout = "ma-banque"\n') -> Path:
    """A copy of a real pack whose channel's statements come as tables of the pack's own layout."""
    copy = tmp_path / "in-nps-lite"
    shutil.copytree(PACKS / "in-nps-lite", copy, ignore=shutil.ignore_patterns("demo*", "scenarios"))
    (copy / "layouts").mkdir()
    (copy / "layouts/ma-banque.toml").write_text(layout)
    if sample:
        (copy / "layouts/ma-banque.csv").write_text(sample)
    manifest = copy / "pack.toml"
    manifest.write_text(manifest.read_text().replace(CHANNEL, CHANNEL + channel))
    return copy


def checked(path: Path) -> PackReport:
    return check_pack(path, KINDS, RUNNERS, checks=CHECKS)


def test_a_layout_that_reads_its_table_passes(tmp_path: Path) -> None:
    assert checked(folder(tmp_path)).problems == ()


def test_the_schema_takes_what_the_check_takes() -> None:
    validator = jsonschema_rs.validator_for(schemas(KINDS, sorted(RUNNERS))["layouts"])
    assert validator.is_valid(tomllib.loads(LAYOUT))
    assert not validator.is_valid(tomllib.loads(LAYOUT.replace('signs = "two-columns"', 'signs = "both"')))


# (in the layout or its table, what stands there, what is put there, the problem's beginning)
SPOILT = [
    ("layout", 'signs = "two-columns"', 'signs = "both"', 'layouts/ma-banque.toml: signs: "both" is not '),
    ("layout", "booked_on", "booked", 'layouts/ma-banque.toml: columns.booked: "booked" is not a known key; did you mean booked_on? allowed: '),
    ("layout", 'credit = "Crédit"\n', "", "layouts/ma-banque.toml: two-columns needs the columns credit and debit"),
    ("layout", "lines = 3", "lines = 4", "layouts/ma-banque.toml: sample.lines: is 4, the table has 3"),
    ("layout", '"1030.00"', '"1030.01"', "layouts/ma-banque.toml: sample.movement: is 1030.01, the table has 1030.00"),
    ("layout", 'opening = "10.00"', 'opening = "11.00"', "layouts/ma-banque.toml: sample.opening: is 11.00, the table has 10.00"),
    ("layout", "source = ", 'name = "other"\nsource = ', "layouts/ma-banque.toml: name: is the file's, ma-banque"),
    ("layout", 'currency = "INR"', 'currency = "EUR"', "layouts/ma-banque.csv: channel upi, currency: currency-differs"),
    ("sample", "Lignes;3", "Lignes;4", "layouts/ma-banque.csv: layouts/ma-banque.csv, Lignes: count-differs"),
    ("sample", "Lignes;3", "Lignes;drei", "layouts/ma-banque.csv: layouts/ma-banque.csv, Lignes: malformed"),
    ("sample", "Lignes;3\n", "", "layouts/ma-banque.csv: layouts/ma-banque.csv, Lignes: missing"),
    ("sample", "crédits;1.050,00", "crédits;1.050,01", "layouts/ma-banque.csv: layouts/ma-banque.csv, Total des crédits: total-differs"),
    ("sample", "Total;3;", "Total;2;", "layouts/ma-banque.csv: layouts/ma-banque.csv, row 8, Référence: count-differs"),
    ("sample", ";1.050,00;\n", ";1.050,01;\n", "layouts/ma-banque.csv: layouts/ma-banque.csv, row 8, Crédit: total-differs"),
    ("sample", ";1.060,00\n", ";1.061,00\n", "layouts/ma-banque.csv: layouts/ma-banque.csv, row 6, balance: chain-broken"),
    ("sample", "R3", "नि", "layouts/ma-banque.csv: has a character that windows-1252 lacks"),
]  # fmt: skip


@pytest.mark.parametrize(("where", "old", "new", "said"), SPOILT)
def test_what_is_wrong_with_a_layout_is_said(tmp_path: Path, where: str, old: str, new: str, said: str) -> None:
    text = {"layout": LAYOUT, "sample": SAMPLE}
    assert old in text[where]
    text[where] = text[where].replace(old, new, 1)
    problems = [str(one) for one in checked(folder(tmp_path, **text)).problems]
    assert problems
    assert any(one.startswith(said) for one in problems), problems


@pytest.mark.parametrize(
    ("channel", "sample", "said"),
    [
        ('layout = "ma-bank"\n', SAMPLE, 'pack.toml: channels[1].layout: "ma-bank" is not a layout of the pack; did you mean ma-banque?'),
        ('layout = "ma-banque"\nstatements = "camt"\n', SAMPLE, 'pack.toml: channels[1].layout: is of tables: set statements = "table"'),
        ("", SAMPLE, "layouts/ma-banque.toml: is the layout of no channel"),
        ('layout = "ma-banque"\n', "", "layouts/ma-banque.csv: is missing: a table of this layout, that proves it"),
    ],
)  # fmt: skip
def test_layouts_and_channels_belong_together(tmp_path: Path, channel: str, sample: str, said: str) -> None:
    problems = [str(one) for one in checked(folder(tmp_path, sample=sample, channel=channel)).problems]
    assert any(one.startswith(said) for one in problems), problems


async def test_statements_of_the_channel_are_read_by_it(db: Database, tmp_path: Path) -> None:
    keys = FileKeyStore(tmp_path / "keys.toml")
    copied = folder(tmp_path)
    code = f"in-{secrets.token_hex(6)}"
    path = copied.rename(tmp_path / code)
    manifest = path / "pack.toml"
    manifest.write_text(manifest.read_text().replace("in-nps-lite.localhost", f"{code}.localhost"))
    tenant = await Tenants.load([path], KINDS, RUNNERS, checks=CHECKS).create_tenant(db, code, actor="operator:test")
    async with db.unit_of_work(tenant.tenant_id) as session:
        await advance_clock(session, tenant, START, "development")
    source = service.source_of(tenant, "upi", adapter)
    raw = SAMPLE.encode("windows-1252")

    report = await service.import_statement(db, tenant, keys, source, raw, "avril.csv", "upi", "staff:1")
    assert (report.line_count, report.total) == (3, "1030.00")
    short = SAMPLE.replace("03.04.2023;R2;;50,00;1.060,00\n", "").replace("R3;20,00;;1.040,00", "R3;20,00;;990,00")
    with pytest.raises(UnreadableStatement, match="another number of records"):
        await service.import_statement(
            db, tenant, keys, source, short.encode("windows-1252"), "mai.csv", "upi", "staff:1"
        )
    other = service.source_of(tenant, "aggregator", adapter)
    with pytest.raises(UnreadableStatement):
        await service.import_statement(
            db, tenant, keys, other, raw.replace(b"R1", b"R9"), "juin.csv", "aggregator", "staff:1"
        )
