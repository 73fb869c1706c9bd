"""A merger by commands and routes, from the terms to the receipt."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from engine.mergers import service
from engine.opening import service as opening
from engine.tenancy.service import Tenant
from tests.engine.mergers.conftest import Merging

_AKIBA = [sys.executable, "-c", "from engine.cli import main; main()"]
TERMS = """
into_scheme = "{into}"
source = "Small Savings Scheme"
effective_on = 2023-04-05
channel = "upi"
owed_to = "recordkeeper"

[[products]]
product = "nps-lite"
into = "nps-lite"
pots = {{ retirement = "retirement" }}

[[funds]]
fund = "SM001009"
into = "SM001009"
decimals = 4

[[funds]]
fund = "SM002009"
into = "SM001009"
ratio = "0.75"
decimals = 4

[[funds]]
fund = "SM003003"
into = "SM003003"
decimals = 4
"""


async def test_a_scheme_goes_by_commands(settled: Merging, database_urls: tuple[str, str], tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AKIBA_", "DATABASE_"))}
    environment = kept | {
        "AKIBA_DATA_DIR": str(tmp_path),
        "AKIBA_PACKS": f"{tmp_path / settled.old.code}{os.pathsep}{tmp_path / settled.new.code}",
        "AKIBA_KEYS_FILE": str(settled.keys.path),
        "DATABASE_URL": database_urls[0],
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }

    async def akiba(tenant: Tenant, *words: str, code: int = 0) -> str:
        given = [*_AKIBA, *words, "--tenant", tenant.code]
        done = await asyncio.to_thread(
            subprocess.run, given, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == code, (done.stdout, done.stderr)
        return done.stdout

    old, new = settled.old, settled.new
    terms, files, receipt = tmp_path / "terms.toml", tmp_path / "sealed", tmp_path / "receipt.json"
    terms.write_text(TERMS.format(into=new.code))
    dry = await akiba(old, "mergers", "propose", str(terms), "--dry-run")
    assert "5 members" in dry
    assert "233.2131" in dry
    assert "174.9098" in dry
    proposed = json.loads(await akiba(old, "--json", "mergers", "propose", str(terms)))
    async with settled.db.unit_of_work(old.tenant_id) as session:
        await service.approve_merger(session, old, proposed["merger"], digest=proposed["digest"], actor="staff:2")
    assert "filed" in await akiba(old, "mergers", "carry-on")
    await akiba(old, "mergers", "export", "1", "--out", str(files))
    await settled.later(datetime(2023, 4, 6, 4, 0, tzinfo=UTC))

    assert "agrees" in (await akiba(new, "mergers", "take", str(files), "--dry-run")).splitlines()[0]
    staged = json.loads(await akiba(new, "--json", "mergers", "take", str(files)))
    await opening.approve_opening(settled.db, new, staged["opening"], digest=staged["digest"], actor="staff:2")
    await akiba(new, "opening", "post")
    await akiba(new, "mergers", "receipt", str(staged["opening"]), "--out", str(receipt))
    assert "taken-in" in await akiba(old, "mergers", "acknowledge", "1", str(receipt))
    assert staged["digest"] in await akiba(old, "mergers", "list")
    assert "0 members" in await akiba(old, "mergers", "report", "1")
    assert "0 payments" in await akiba(old, "mergers", "payments", "1", "--out", str(tmp_path / "late.csv"))
    await akiba(old, "mergers", "late", "1", code=1)
    await akiba(old, "check")
    await akiba(new, "check")
    receipt.write_text(receipt.read_text().replace(staged["digest"], "0" * 64))
    await akiba(old, "mergers", "acknowledge", "1", str(receipt), code=1)
