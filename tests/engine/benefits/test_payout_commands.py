"""`akiba payouts`: listed, approved by digest, filed once, refused in part by the bank, all by the command line."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import tomli_w

from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.runtime.private_files import write_private
from integrations.banking.simulation.payment_messages import Verdict, write_report
from tests.engine.benefits.test_paying import owing_of
from tests.factories.payouts import in_transit
from tests.factories.schemes import START, serve

ROOT = Path(__file__).resolve().parents[3]
_AKIBA = [sys.executable, "-c", "from engine.cli import main; main()"]


async def test_a_payout_goes_its_way_by_commands_alone(
    db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path
) -> None:
    tenant = await serve(db, tmp_path / "packs")
    owing = await owing_of(db, keys, tenant)
    bank = {"pays_from": "upi", "holder": "A Scheme", "number": "IN0001", "bank": "HDFCINBB", "sender": "SCHEME"}
    write_private(tmp_path / "counterparties.toml", tomli_w.dumps({tenant.code: {"bank": bank}}).encode())
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AKIBA_", "DATABASE_"))}
    environment = kept | {
        "AKIBA_DATA_DIR": str(tmp_path),
        "AKIBA_PACKS": str(tmp_path / "packs"),
        "AKIBA_KEYS_FILE": str(keys.path),
        "DATABASE_URL": database_urls[0],
        "PYTHONPATH": str(ROOT),
    }

    async def akiba(*words: object, code: int = 0) -> Any:
        command = [*_AKIBA, "--json", "payouts", *map(str, words), "--tenant", tenant.code]
        done = await asyncio.to_thread(
            subprocess.run, command, check=False, env=environment, capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if code == 0 else done.stderr

    await owing.owe(500_00)
    made = await owing.make(200_00, "bank:Asha Example")
    out = tmp_path / "out"
    out.mkdir()

    (listed,) = await akiba("list", "--state", "created")
    assert (listed["id"], listed["amount"], listed["number"]) == (str(made.id), "200.00", "")
    assert "payout-changed" in await akiba("approve", made.id, "--digest", "0" * 64, code=1)
    assert (await akiba("approve", made.id, "--digest", made.digest))["state"] == "approved"
    assert "rail-not-joined" in await akiba("file", "--rail", "none", "--out", out, code=1)
    filed = await akiba("file", "--rail", "bank", "--out", out)
    assert await akiba("file", "--rail", "bank", "--out", out) == {"file": ""}
    path = out / f"{filed['message_ref']}.xml"
    assert filed["file"] == str(path)
    raw = path.read_bytes()
    assert made.id.hex.encode() in raw
    assert path.stat().st_mode & 0o077 == 0
    path.unlink()  # the process died before it was written
    assert await akiba("file", "--rail", "bank", "--out", out, "--again", filed["message_ref"]) == filed
    assert path.read_bytes() == raw
    path.write_bytes(b"something else")
    assert "something else" in await akiba(
        "file", "--rail", "bank", "--out", out, "--again", filed["message_ref"], code=1
    )
    assert path.read_bytes() == b"something else"

    assert await in_transit(db, tenant) == 200_00
    report = tmp_path / "report.xml"
    report.write_bytes(
        write_report(
            "R1",
            START.date(),
            message_ref=filed["message_ref"],
            message="pain.001.001.09",
            whole=Verdict("RJCT", "AM04"),
        )
    )
    assert (await akiba("report", report, "--rail", "bank"))["refused"] == 1
    assert await in_transit(db, tenant) == 0
    assert await akiba("settle") == {"settled": 0, "returned": 0}
    assert (await akiba("list"))[0]["state"] == "failed"
    assert await owing.offences() == []
