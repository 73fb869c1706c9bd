"""`akiba suspense`: whose a payment may be is told and proposed by the command line, and confirmed by another person."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.contributions import service
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from tests.engine.contributions.test_owners import suspend, swapped
from tests.factories.schemes import enrol, serve

ROOT = Path(__file__).resolve().parents[3]
_AKIBA = [sys.executable, "-c", "from engine.cli import main; main()"]


@pytest.fixture
def keys(tmp_path: Path) -> FileKeyStore:
    return FileKeyStore(tmp_path / "keys.toml")


async def test_an_owner_is_found_and_proposed_by_commands_and_confirmed_by_another(
    db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path
) -> None:
    tenant = await serve(db, tmp_path / "packs")
    (member,) = await enrol(db, keys, tenant, ["sahyog"])
    receipt = await suspend(db, keys, tenant, swapped(member.number))
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AKIBA_", "DATABASE_"))
    } | {
        "AKIBA_DATA_DIR": str(tmp_path),
        "AKIBA_PACKS": str(tmp_path / "packs"),
        "AKIBA_KEYS_FILE": str(keys.path),
        "DATABASE_URL": database_urls[0],
        "PYTHONPATH": str(ROOT),
    }

    async def akiba(*words: object, code: int = 0, as_json: bool = True) -> Any:
        command = [*_AKIBA, *(["--json"] if as_json else []), *map(str, words), "--tenant", tenant.code]
        done = await asyncio.to_thread(
            subprocess.run, command, check=False, env=environment, capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if as_json and done.stdout else done.stdout or done.stderr

    (one,) = await akiba("suspense", "list")
    assert [(owner["member"], owner["score"]) for owner in one["owners"]] == [(member.number, 70)]
    told = await akiba("suspense", "list", as_json=False)
    assert f"70 {member.number}: Their number with two digits swapped" in told
    assert (await akiba("suspense", "figures"))["count"] == 1
    assert "not-found" in await akiba("suspense", "propose", receipt, "--member", "100000000008", code=1)
    made = await akiba("suspense", "propose", receipt, "--member", member.number)
    assert "owner-proposed" in await akiba("suspense", "propose", receipt, "--member", member.number, code=1)

    await service.confirm_owner(db, keys, tenant, made["proposal"], digest=made["digest"], actor="staff:2")
    (done,) = await akiba("suspense", "history", receipt)
    assert (done["state"], done["proposed_by"], done["decided_by"]) == (
        "confirmed",
        "operator:command-line",
        "staff:2",
    )
    assert await akiba("suspense", "list") == []
