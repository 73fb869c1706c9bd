"""`akiba claims`: listed, shown and approved by digest, by the command line alone."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from tests.factories.claims import Claims
from tests.factories.schemes import serve

ROOT = Path(__file__).resolve().parents[3]
_AKIBA = [sys.executable, "-c", "from engine.cli import main; main()"]


async def test_a_claim_is_read_and_approved_by_commands(
    db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path
) -> None:
    tenant = await serve(db, tmp_path / "packs", "rw-ejoheza", start=datetime(2023, 2, 1, 8, tzinfo=UTC))
    scheme = Claims(db, tenant, keys, "ltss", "mtn-momo")
    member = await scheme.member(date(2021, 6, 1), date(1983, 1, 1))
    await scheme.pay(member, 10_000, pot="savings", on=date(2022, 1, 5))
    made = await scheme.claim(member, "access", rule="early-access", purpose="housing")
    refused = await scheme.claim(member, "access", key="k2", rule="early-access", purpose="boat")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AKIBA_", "DATABASE_"))}
    environment = kept | {
        "AKIBA_DATA_DIR": str(tmp_path),
        "AKIBA_PACKS": str(tmp_path / "packs"),
        "AKIBA_KEYS_FILE": str(keys.path),
        "DATABASE_URL": database_urls[0],
        "PYTHONPATH": str(ROOT),
    }

    async def akiba(*words: object, code: int = 0) -> Any:
        command = [*_AKIBA, "--json", "claims", *map(str, words), "--tenant", tenant.code]
        done = await asyncio.to_thread(
            subprocess.run, command, check=False, env=environment, capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if code == 0 else done.stderr

    listed = await akiba("list")
    assert [(one["claim"], one["state"], one["reason"]) for one in listed] == [
        (str(made.claim_id), "decided", ""),
        (str(refused.claim_id), "refused", "benefits.purpose-needed"),
    ]
    shown = await akiba("show", made.claim_id)
    assert (shown["payable"], shown["digest"]) == ("4000", made.digest)
    assert "unknown-claim" in await akiba("show", 1, code=1)
    assert "claim-differs" in await akiba("approve", made.claim_id, "--digest", "0" * 64, code=1)
    assert (await akiba("approve", made.claim_id, "--digest", made.digest))["state"] == "payable"
    assert [one["claim"] for one in await akiba("list", "--state", "payable")] == [str(made.claim_id)]
    assert await scheme.holds(member) == {"cash:own": 6_000, "payable:own": 4_000}
