"""The export: what it holds, that it repeats byte for byte, and that programs which are not ours agree with it."""

import csv
import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import metamorphic_log
import pyarrow.parquet as pq
import pytest
from frictionless import Package, system

from engine.audit import service
from engine.audit.errors import EmptyPeriod, EntryDiffers, FolderInUse, NothingLogged
from engine.audit.rules.leaves import member_name
from engine.audit.rules.merkle import leaf_hash
from engine.audit.rules.notes import parse_consistency_file, parse_proof_file
from engine.audit.rules.tiles import bundles_of, unbundle
from engine.kernel.ids import new_member_id
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Transfer
from engine.runtime.key_file import FileKeyStore
from tests.engine.audit.conftest import COLLECTIONS, ISSUED, TABLES, Scheme, files_of, run, stand_alone
from tests.engine.audit.test_service import append, as_superuser


async def export(scheme: Scheme, keys: FileKeyStore, out: Path, **more: object) -> service.Exported:
    return await service.export(scheme.db, keys, scheme.tenant_id, out, tables=TABLES, **more)  # type: ignore[arg-type]


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def rows_of(folder: Path, table: str) -> list[dict[str, str]]:
    with (folder / f"data/{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def is_verified(folder: Path, **more: str) -> bool:
    report = service.verify_package(folder, **more)
    status, lines = stand_alone(folder, *(part for k, v in more.items() for part in ({"vkey": "--vkey"}[k], v)))
    assert report.is_ok == (status == 0), (report.problems, lines)
    return report.is_ok


async def test_writes_the_layout_that_is_promised(scheme: Scheme, keys: FileKeyStore, tmp_path: Path) -> None:
    people = await scheme.year()
    await append(scheme, keys)

    done = await export(scheme, keys, tmp_path / "out")

    folder = tmp_path / "out"
    tables = ("balances", "control_totals", "events", "members", "prices", "transfers")
    assert set(bytes_of(folder)) == {
        "datapackage.json", "books.journal", "SHA256SUMS", "verify.py", "keys/log.vkey", "log/checkpoint",
        "log/tile/0/000.p/13", "log/tile/entries/000.p/13", "proofs/package.note",
        *(f"proofs/{i}.tlog-proof" for i in range(13)),
        *(f"data/{table}.{suffix}" for table in tables for suffix in ("csv", "parquet")),
    }  # fmt: skip
    assert done.rows == {"events": 13, "transfers": 18, "balances": 14, "control_totals": 5, "members": 5, "prices": 3}
    assert done.files == len(bytes_of(folder))
    assert [row["member"] for row in rows_of(folder, "members")] == [member_name(person) for person in people]
    assert [row["note"] for row in rows_of(folder, "prices")] == ["'=1+1", "", "''quoted'"]
    assert [row["price"] for row in rows_of(folder, "prices")] == ["32.6034", "32.7", "30"]
    assert rows_of(folder, "control_totals") == [
        {"kind": "contribution-received", "asset": "INR", "events": "6", "transfers": "6", "amount": "501.15"},
        {"kind": "member-enrolled", "asset": "none", "events": "5", "transfers": "0", "amount": "0"},
        {"kind": "order-placed", "asset": "INR", "events": "1", "transfers": "1", "amount": "450.00"},
        {"kind": "units-allotted", "asset": "INR", "events": "1", "transfers": "5", "amount": "450.00"},
        {"kind": "units-allotted", "asset": "SM001009", "events": "1", "transfers": "6", "amount": "13.8027"},
    ]
    assert run("sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS", cwd=folder)[0] == 0
    assert is_verified(folder)


async def test_the_same_call_twice_writes_the_same_bytes(scheme: Scheme, keys: FileKeyStore, tmp_path: Path) -> None:
    await scheme.year()
    await append(scheme, keys)
    await export(scheme, keys, tmp_path / "a")
    before = bytes_of(tmp_path / "a")

    await export(scheme, keys, tmp_path / "b" / "deep")
    await export(scheme, keys, tmp_path / "a")

    assert bytes_of(tmp_path / "a") == before == bytes_of(tmp_path / "b" / "deep")
    assert {name.split("/")[0] for name in files_of(tmp_path) if "keys.toml" not in name} == {"a", "b"}


async def test_holds_only_what_its_checkpoint_covers(scheme: Scheme, keys: FileKeyStore, tmp_path: Path) -> None:
    await scheme.year()
    await append(scheme, keys)
    await export(scheme, keys, tmp_path / "a")
    await scheme.post([scheme.paid(new_member_id(), 700)])

    await export(scheme, keys, tmp_path / "b")

    held = {name: raw for name, raw in bytes_of(tmp_path / "b").items() if name.startswith(("log", "data/t", "data/b"))}
    assert held == {name: bytes_of(tmp_path / "a")[name] for name in held}
    assert is_verified(tmp_path / "b")


async def test_a_larger_log_has_full_tiles_and_a_sample_of_proofs(
    scheme: Scheme, keys: FileKeyStore, tmp_path: Path
) -> None:
    for _ in range(3):
        await scheme.post([scheme.paid(new_member_id(), 100) for _ in range(200)])
    await append(scheme, keys)

    await export(scheme, keys, tmp_path / "out")

    folder, names = tmp_path / "out", bytes_of(tmp_path / "out")
    assert {"log/tile/0/001", "log/tile/0/002.p/88", "log/tile/1/000.p/2", "log/tile/entries/001"} <= names.keys()
    entries = [e for tile in bundles_of(600) for e in unbundle((folder / f"log/tile/{tile.path}").read_bytes())]
    key = (folder / "keys/log.vkey").read_text().strip()
    proofs = [name for name in names if name.endswith(".tlog-proof")]
    assert 60 <= len(proofs) <= 65
    for name in proofs:
        index, proof, note = parse_proof_file(names[name].decode())
        metamorphic_log.checkpoint_verify_inclusion(note, [key], index, leaf_hash(entries[index]), proof)
    assert is_verified(folder)


async def test_frictionless_accepts_it(scheme: Scheme, keys: FileKeyStore, tmp_path: Path) -> None:
    await scheme.year()
    await append(scheme, keys)
    await export(scheme, keys, tmp_path / "out")

    assert frictionless_errors(tmp_path / "out") == []
    described = json.loads((tmp_path / "out/datapackage.json").read_text())
    assert described["$schema"] == "https://datapackage.org/profiles/2.0/datapackage.json"

    changed = tmp_path / "out/data/transfers.csv"
    changed.write_bytes(changed.read_bytes().replace(b"100.00", b"100.01", 1))
    assert frictionless_errors(tmp_path / "out") == ["hash-count"]


def frictionless_errors(folder: Path) -> list[str]:
    with system.use_context(trusted=True):
        report = Package(str(folder / "datapackage.json")).validate()
    return [error[0] for error in report.flatten(["type"])]


def parquet_texts(file: Path) -> Iterator[list[object]]:
    for row in pq.read_table(file).to_pylist():
        yield list(row.values())


async def test_parquet_holds_what_the_csv_holds(scheme: Scheme, keys: FileKeyStore, tmp_path: Path) -> None:
    await scheme.year()
    await append(scheme, keys)
    await export(scheme, keys, tmp_path / "out")

    for table, number in (("transfers", "amount"), ("balances", "balance"), ("prices", "price")):
        amounts = pq.read_table(tmp_path / f"out/data/{table}.parquet").column(number).to_pylist()
        assert amounts == [Decimal(row[number]) for row in rows_of(tmp_path / "out", table)]
    events = pq.read_table(tmp_path / "out/data/events.parquet").to_pylist()
    assert [event["body"] for event in events] == [row["body"] for row in rows_of(tmp_path / "out", "events")]
    assert events[0]["business_date"] == date(2023, 4, 1)
    assert events[0]["recorded_at"].tzinfo is not None
    remarks = pq.read_table(tmp_path / "out/data/prices.parquet").column("note").to_pylist()
    assert remarks == ["=1+1", None, "'quoted'"]
    assert pq.read_table(tmp_path / "out/data/members.parquet").column("is_active").to_pylist() == [True] * 5


def ledger_of(hledger: str, folder: Path) -> dict[tuple[str, str], Decimal]:
    """Return hledger's own balance of every account and commodity."""
    status, output, errors = run(
        hledger, "-f", str(folder / "books.journal"),
        "balance", "--flat", "--empty", "--no-total", "-O", "csv", "--layout", "bare",
    )  # fmt: skip
    assert status == 0, errors
    rows = list(csv.reader(output.splitlines()))
    return {(account, asset): Decimal(amount) for account, asset, amount in rows[1:] if asset}


@pytest.mark.apt("hledger")
@pytest.mark.parametrize("period", [{}, {"since": date(2023, 4, 4), "until": date(2023, 5, 1)}], ids=["all", "april"])
async def test_hledger_reads_the_journal_and_balances_as_the_table_does(
    scheme: Scheme, keys: FileKeyStore, tmp_path: Path, hledger: str, period: dict[str, date]
) -> None:
    await scheme.year()
    await append(scheme, keys)
    await export(scheme, keys, tmp_path / "out", **period)

    journal = str(tmp_path / "out/books.journal")
    assert run(hledger, "-f", journal, "check", "--strict") == (0, "", "")

    expected = {(r["account"], r["asset"]): Decimal(r["balance"]) for r in rows_of(tmp_path / "out", "balances")}
    found = ledger_of(hledger, tmp_path / "out")
    assert {key: value for key, value in found.items() if value} == {k: v for k, v in expected.items() if v}
    assert {account for account, _ in found} <= {account for account, _ in expected}


async def test_units_on_their_way_to_money_are_in_the_package(
    scheme: Scheme, keys: FileKeyStore, tmp_path: Path
) -> None:
    person, *_ = await scheme.year()
    place = {"product": "nps-lite", "pot": "retirement", "origin": "own"}
    names = {
        "issued": ISSUED,
        "selling": Account("selling", "SM001009", **place, fund="SM001009"),
        "due": Account("proceeds-due", "INR", product="nps-lite", fund="SM001009"),
        "payable": Account("payable", "INR", **place),
        "difference": Account("reversal-difference", "INR", party="scheme"),
        "recoverable": Account("recoverable", "INR", product="nps-lite"),
        "collections": COLLECTIONS,
    }
    async with scheme.db.unit_of_work(scheme.tenant_id) as session:
        codes = await ledger.account_codes(session, names.values())
    moves = [
        (7, "issued", "selling"), (5, "selling", "issued"), (300, "due", "payable"), (40, "payable", "difference"),
        (30, "recoverable", "collections"), (300, "collections", "due"),
    ]  # fmt: skip
    entry = Entry(
        member_id=person,
        kind=EventKind.UNITS_SOLD,
        business_date=date(2023, 4, 20),
        actor=scheme.actor,
        transfers=[Transfer(amount, codes[names[debit]], codes[names[credit]]) for amount, debit, credit in moves],
    )
    await scheme.post([entry])
    await append(scheme, keys)

    await export(scheme, keys, tmp_path / "out")

    assert is_verified(tmp_path / "out")
    balances = {row["account"]: row["balance"] for row in rows_of(tmp_path / "out", "balances")}
    own = f"nps-lite:retirement:own{{}}:{member_name(person)}"
    assert balances[f"liabilities:selling:{own.format(':SM001009')}"] == "-0.0002"
    assert balances[f"liabilities:payable:{own.format('')}"] == "-2.60"
    assert balances["liabilities:reversal-difference:scheme"] == "-0.40"
    assert balances["assets:recoverable:nps-lite"] == "0.30"
    assert balances["assets:proceeds-due:nps-lite:SM001009"] == "0.00"
    assert "assets:proceeds-due:nps-lite:SM001009" in (tmp_path / "out/books.journal").read_text()


async def test_a_period_opens_with_what_came_before_and_ends_before_its_end(
    scheme: Scheme, keys: FileKeyStore, tmp_path: Path
) -> None:
    people = await scheme.year()
    await append(scheme, keys)

    await export(scheme, keys, tmp_path / "out", since=date(2023, 4, 4), until=date(2023, 5, 1))

    folder = tmp_path / "out"
    assert {row["kind"] for row in rows_of(folder, "events")} == {"order-placed", "units-allotted"}
    assert [row["index"] for row in rows_of(folder, "events")] == ["11", "12"]
    cash = f"liabilities:cash:nps-lite:retirement:own:{member_name(people[0])}"
    found = {row["account"]: row for row in rows_of(folder, "balances")}[cash]
    assert found == {"account": cash, "asset": "INR", "opening": "-100.00", "debits": "90.00", "credits": "0.00", "balance": "-10.00"}  # fmt: skip
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows_of(folder, "balances"):
        totals[row["asset"]] += Decimal(row["balance"])
    assert set(totals.values()) == {Decimal(0)}
    assert "2023-04-04 opening balances" in (folder / "books.journal").read_text()
    assert is_verified(folder)
    assert frictionless_errors(folder) == []


async def test_a_later_export_proves_that_it_extends_the_earlier_one(
    scheme: Scheme, keys: FileKeyStore, tmp_path: Path
) -> None:
    await scheme.year()
    await append(scheme, keys)
    await export(scheme, keys, tmp_path / "first")
    await scheme.post([scheme.paid(new_member_id(), 700) for _ in range(300)])
    await append(scheme, keys)

    await export(scheme, keys, tmp_path / "second", previous_size=13)

    folder = tmp_path / "second"
    kept = (tmp_path / "first/log/checkpoint").read_text()
    assert (folder / "proofs/13.checkpoint").read_text() == kept
    old, proof, note = parse_consistency_file((folder / "proofs/13.consistency").read_text())
    assert old == 13
    key = (folder / "keys/log.vkey").read_text().strip()
    metamorphic_log.checkpoint_verify_consistency(kept, note, [key], proof)
    assert is_verified(folder)
    assert service.verify_package(folder, previous=kept).is_ok
    assert stand_alone(folder, "--since", str(tmp_path / "first/log/checkpoint"))[0] == 0
    # The other way round: the first is behind the second.
    assert not service.verify_package(tmp_path / "first", previous=note).is_ok
    assert stand_alone(tmp_path / "first", "--since", str(folder / "log/checkpoint"))[0] == 1


async def test_an_empty_period_of_a_log_is_a_package_too(scheme: Scheme, keys: FileKeyStore, tmp_path: Path) -> None:
    await scheme.post([scheme.enrolled(new_member_id())])
    await append(scheme, keys)

    await export(scheme, keys, tmp_path / "out", until=date(2000, 1, 1))

    assert rows_of(tmp_path / "out", "events") == rows_of(tmp_path / "out", "balances") == []
    assert is_verified(tmp_path / "out")
    assert frictionless_errors(tmp_path / "out") == []


async def test_refuses_what_cannot_be_exported(scheme: Scheme, keys: FileKeyStore, tmp_path: Path) -> None:
    with pytest.raises(NothingLogged):
        await export(scheme, keys, tmp_path / "out")
    with pytest.raises(EmptyPeriod):
        await export(scheme, keys, tmp_path / "out", since=date(2024, 1, 1), until=date(2024, 1, 1))
    await scheme.year()
    await append(scheme, keys)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("keep me")
    with pytest.raises(FolderInUse):
        await export(scheme, keys, tmp_path / "mine")
    with pytest.raises(FolderInUse):
        await export(scheme, keys, tmp_path / "mine/notes.txt")
    assert (tmp_path / "mine/notes.txt").read_text() == "keep me"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("damage", "index"),
    [
        ('update events set body = \'{{"amount": "99"}}\' where event_id = {e}', 7),
        ("update transfers set amount = amount + 1 where event_id = {e}", 7),
        ("delete from transfers where event_id = {e}", 7),
        ("delete from events where event_id = {e}", 10),
        ("update events set member_id = member_id + 1 where event_id = {e}", 7),
        ("update batches set recorded_at = recorded_at + interval '1 s' where batch_id = {e} & ~4095", 5),
    ],
    ids=["body", "amount", "transfer deleted", "event deleted", "member", "recorded_at"],
)
async def test_refuses_rows_that_no_longer_give_their_entries(
    scheme: Scheme,
    keys: FileKeyStore,
    tmp_path: Path,
    superuser_url: str,
    database_urls: tuple[str, str],
    damage: str,
    index: int,
) -> None:
    people = sorted(new_member_id() for _ in range(5))
    await scheme.post([scheme.enrolled(person) for person in people])
    events = await scheme.post([scheme.paid(person, 100) for person in people])
    await append(scheme, keys)
    await as_superuser(superuser_url, database_urls[1], damage.format(e=events[2]))

    with pytest.raises(EntryDiffers) as refused:
        await export(scheme, keys, tmp_path / "out")

    assert refused.value.details["index"] in (index, 9)
    assert not (tmp_path / "out").exists()
    assert not [name for name in files_of(tmp_path) if name.startswith(".out")]


async def test_tells_how_far_it_is(scheme: Scheme, keys: FileKeyStore, tmp_path: Path) -> None:
    await scheme.post([scheme.paid(new_member_id(), 100) for _ in range(300)])
    await append(scheme, keys)
    told: list[tuple[int, int]] = []

    await export(scheme, keys, tmp_path / "out", progress=lambda done, size: told.append((done, size)))

    assert told == [(256, 300), (300, 300)]
