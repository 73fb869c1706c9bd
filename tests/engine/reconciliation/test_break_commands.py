"""`akiba break` and `akiba reconcile`: what is wrong is listed, staged and tried by the command line."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.reconciliation import service
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from tests.factories.schemes import START, serve

ROOT = Path(__file__).resolve().parents[3]
_AKIBA = [sys.executable, "-c", "from engine.cli import main; main()"]


@pytest.fixture
def keys(tmp_path: Path) -> FileKeyStore:
    return FileKeyStore(tmp_path / "keys.toml")


async def test_a_break_is_listed_and_held_by_commands_and_confirmed_by_another(
    db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path
) -> None:
    tenant = await serve(db, tmp_path / "packs")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AKIBA_", "DATABASE_"))
    } | {
        "AKIBA_DATA_DIR": str(tmp_path),
        "AKIBA_PACKS": str(tmp_path / "packs"),
        "AKIBA_KEYS_FILE": str(keys.path),
        "DATABASE_URL": database_urls[0],
        "PYTHONPATH": str(ROOT),
    }

    async def akiba(*words: object, code: int = 0) -> Any:
        command = [*_AKIBA, "--json", *map(str, words), "--tenant", tenant.code]
        done = await asyncio.to_thread(
            subprocess.run, command, check=False, env=environment, capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if done.stdout else done.stderr

    day = START.date().isoformat()
    file = tmp_path / "s.csv"
    file.write_text(f"date,reference,amount,currency\n{day},NOBODYS,70.00,INR\n")
    await akiba("import", "statement", file, "--account", "upi", code=3)
    assert (await akiba("reconcile", "--dry-run")) == {"matched": 0, "matched_total": "0.00", "groups": []}
    (one,) = (await akiba("break", "list"))["items"]
    assert (one["amount"], one["reason"], one["turn"]) == ("70.00", "no-receipt", "operator")
    line = f"{one['statement']}/{one['line']}"
    assert "unknown-cause" in await akiba("break", "book", line, "--cause", "theft", code=1)
    assert "not-matchable" in await akiba("break", "match", line, "--receipt", "17", code=1)
    held = await akiba("break", "hold", line, "--for", "bank", "--until", day)
    done = await service.confirm_proposal(db, tenant, held["proposal"], digest=held["digest"], actor="staff:2")
    assert done.state == "confirmed"
    assert (await akiba("break", "list"))["items"][0]["turn"] == "bank"
    assert [each["state"] for each in await akiba("break", "history", line)] == ["confirmed"]
    assert (await akiba("reconcile"))["unmatched"] == 1
