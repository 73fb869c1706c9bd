"""`akiba claims`: listed, shown and approved by digest, by the command line alone."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from engine.benefits.service import Payers
from engine.runtime.database import Database
from engine.runtime.exchanges.engine import Exchanges
from engine.runtime.key_file import FileKeyStore
from tests.factories.claims import Claims
from tests.factories.heirs import Estates, nominee
from tests.factories.schemes import serve

ROOT = Path(__file__).resolve().parents[3]
_AKIBA = [sys.executable, "-c", "from engine.cli import main; main()"]


def commands(
    keys: FileKeyStore, url: str, folder: Path, tenant: str, *, group: str = "claims"
) -> Callable[..., Awaitable[Any]]:
    """Return what runs `akiba claims …`, or another group, for a tenant: what it prints, or the error that it ends with."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AKIBA_", "DATABASE_"))}
    environment = kept | {
        "AKIBA_DATA_DIR": str(folder),
        "AKIBA_PACKS": str(folder / "packs"),
        "AKIBA_KEYS_FILE": str(keys.path),
        "DATABASE_URL": url,
        "PYTHONPATH": str(ROOT),
    }

    async def akiba(*words: object, code: int = 0) -> Any:
        command = [*_AKIBA, "--json", group, *map(str, words), "--tenant", tenant]
        done = await asyncio.to_thread(
            subprocess.run, command, check=False, env=environment, capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if code == 0 else done.stderr

    return akiba


async def test_a_claim_is_read_and_approved_by_commands(
    db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path
) -> None:
    tenant = await serve(db, tmp_path / "packs", "rw-ejoheza", start=datetime(2023, 2, 1, 8, tzinfo=UTC))
    scheme = Claims(db, tenant, keys, "ltss", "mtn-momo")
    member = await scheme.member(date(2021, 6, 1), date(1983, 1, 1))
    await scheme.pay(member, 10_000, pot="savings", on=date(2022, 1, 5))
    made = await scheme.claim(member, "access", rule="early-access", purpose="housing")
    refused = await scheme.claim(member, "access", key="k2", rule="early-access", purpose="boat")
    akiba = commands(keys, database_urls[0], tmp_path, tenant.code)

    listed = await akiba("list")
    for each in listed:
        assert [one["rule"].partition("@")[0] for one in each["assumptions"]] == ["early-access"]
        assert each["assumptions"][0]["assumed"]
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


async def test_claims_of_deaths_are_opened_and_heirs_listed_by_commands(
    db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path
) -> None:
    tenant = await serve(db, tmp_path / "packs", "rw-ejoheza", start=datetime(2023, 2, 1, 8, tzinfo=UTC))
    scheme = Claims(db, tenant, keys, "ltss", "mtn-momo")
    estates = Estates(scheme, Payers(Exchanges(db, keys, {}, lambda *_: "")))
    member = await scheme.member(date(2021, 6, 1), date(1983, 1, 1), [nominee("Aline Invented", 10_000)])
    await scheme.pay(member, 10_000, pot="savings", on=date(2022, 1, 5))
    await estates.dies(member, on=date(2023, 1, 20))
    akiba = commands(keys, database_urls[0], tmp_path, tenant.code)

    assert await akiba("heirs", "follow") == {"done": 1}
    [claim] = await akiba("list")
    assert (claim["kind"], claim["state"]) == ("death", "decided")
    assert (await akiba("approve", claim["claim"], "--digest", claim["digest"]))["state"] == "payable"
    told = await akiba("heirs", "list", claim["claim"])
    assert [(one["name"], one["amount"], one["paid"]) for one in told["heirs"]] == [("Aline Invented", "10000", "0")]
    assert "claim-decided" in await akiba("heirs", "approve", claim["claim"], "--digest", "0" * 64, code=1)
    assert "unknown-claim" in await akiba("heirs", "list", 1, code=1)
