"""`akiba payroll` and `akiba pensions`: proposed, shown, approved by another and paid, all by the command line."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import tomli_w

from engine.benefits import service
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.runtime.private_files import write_private
from tests.engine.benefits.test_payroll import LIFE, Pensions
from tests.factories.claims import CHECKER, MAKER, Claims
from tests.factories.schemes import serve

ROOT = Path(__file__).resolve().parents[3]
_AKIBA = [sys.executable, "-c", "from engine.cli import main; main()"]


async def test_a_payroll_goes_its_way_by_commands(
    db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path
) -> None:
    tenant = await serve(
        db,
        tmp_path / "packs",
        "rw-ejoheza",
        start=datetime(2023, 2, 1, 8, tzinfo=UTC),
        rules={"ltss": LIFE.partition('[[rule]]\nkind = "payout-route"')[0]},
    )
    scheme = Claims(db, tenant, keys, "ltss", "mtn-momo")
    pensions = Pensions(scheme)
    bank = {"pays_from": "mtn-momo", "holder": "A Scheme", "number": "RW1", "bank": "BKRW", "sender": "SCHEME"}
    write_private(tmp_path / "counterparties.toml", tomli_w.dumps({tenant.code: {"bank": bank}}).encode())
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AKIBA_", "DATABASE_"))}
    environment = kept | {
        "AKIBA_DATA_DIR": str(tmp_path),
        "AKIBA_PACKS": str(tmp_path / "packs"),
        "AKIBA_KEYS_FILE": str(keys.path),
        "DATABASE_URL": database_urls[0],
        "PYTHONPATH": str(ROOT),
    }

    async def akiba(*words: object, code: int = 0, plain: bool = False) -> Any:
        command = [*_AKIBA, *([] if plain else ["--json"]), *map(str, words), "--tenant", tenant.code]
        done = await asyncio.to_thread(
            subprocess.run, command, check=False, env=environment, capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
        return (done.stdout if plain else json.loads(done.stdout)) if code == 0 else done.stderr

    _, claim = await pensions.retire(240_000, rule="own-instalments", years=1)
    month = ("--product", "ltss", "--month", "2023-02")
    proposed = await akiba("payroll", "propose", *month)
    assert (proposed["state"], proposed["instalments"], proposed["paying"]) == ("proposed", 1, "20000")
    same = await akiba("payroll", "approve", 1, "--digest", proposed["digest"], code=1)
    assert "same-person" in same
    await pensions.approve(await _reject(pensions, proposed["digest"]))
    lines = await akiba("payroll", "show", 2, plain=True)
    assert "1 payments of 20000, owed in all 20000" in lines
    assert await pensions.carry_on() > 0
    assert [one["state"] for one in await akiba("payroll", "list")] == ["rejected", "done"]

    await scheme.clock("2023-03-02T08:00:00")
    counted = await pensions.propose(date(2023, 3, 1))
    paid = await akiba("payroll", "approve", 3, "--digest", counted.row.digest)
    assert (paid["state"], paid["fates"]) == ("done", [{"fate": "approved", "payments": 1, "amount": "20000"}])
    await scheme.clock("2023-04-02T08:00:00")
    counted = await pensions.propose(date(2023, 4, 1))
    assert (await akiba("payroll", "reject", 4, "--digest", counted.row.digest))["state"] == "rejected"

    proven = await akiba("pensions", "prove", claim.claim_id, "--seen-on", "2023-04-01", "--source", "agent")
    assert proven["paid_until"] == "2023-07-16"
    (listed,) = await akiba("pensions", "list")
    assert (listed["claim"], listed["last_number"], listed["posted"]) == (str(claim.claim_id), 2, "40000")
    assert f"{claim.claim_id}  ltss  unpaid-over-left  2/12" in await akiba("pensions", "list", plain=True)


async def _reject(pensions: Pensions, digest: str) -> Any:
    """Refuse the first payroll as another person; return the second, counted anew."""
    await service.reject_payroll(pensions.db, pensions.tenant, 1, digest=digest, actor=CHECKER)
    return await pensions.propose(date(2023, 2, 1), MAKER)
