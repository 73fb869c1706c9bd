"""`akiba products`: a member joins a further product and moves to another by the command line; a refusal is said with its number."""

import asyncio
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from engine.app import KINDS, RUNNERS
from engine.benefits import service as benefits
from engine.enrolment import service as enrolment
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenants, advance_clock
from tests.factories import schemes

ROOT = Path(__file__).resolve().parents[3]
_AKIBA = [sys.executable, "-c", "from engine.cli import main; main()"]
_SECOND = """
[[products]]
code = "plus"
name = "Plus"
pots = [{ code = "savings", name = "Savings" }]
origins = ["own"]
scheme_year_start = "04-01"
opened_on = 2020-01-01
source = "invented"
"""
_MOVE = """
[[rule]]
kind = "product-move"
id = "from-plus"
from_product = "plus"
act = "switch"
keeps = ["joining-date", "first-contribution", "last-withdrawal", "cost-basis", "nominees", "consents"]
pots = { savings = "savings" }
moves_as = "money"
both_dates = "earlier"
both_choices = "this-products"
needs_consent = true
source = "invented"
confidence = "high"
"""
_RULES = """
[[rule]]
kind = "eligibility-age"
id = "joining-age"
minimum = {minimum}
source = "invented"
confidence = "high"
"""


async def test_a_member_joins_by_commands(
    db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path
) -> None:
    code = f"in-t{secrets.token_hex(5)}"
    copy = tmp_path / "packs" / code
    shutil.copytree(schemes.PACKS / "in-nps-lite", copy, ignore=shutil.ignore_patterns("demo*"))
    manifest = copy / "pack.toml"
    written = re.sub(r"in-nps-lite\.localhost", f"{code}.localhost", manifest.read_text())
    manifest.write_text(written + _SECOND + re.sub('"plus"', '"later"', _SECOND))
    dimensions = copy / "dimensions.toml"
    dimensions.write_text(re.sub(r"(?m)^T3 = .*\n", "", dimensions.read_text()))
    for product, minimum, more in (("plus", 18, ""), ("later", 59, _MOVE)):
        (copy / product / "rules").mkdir(parents=True)
        (copy / product / "rules/2020-01-01.toml").write_text(_RULES.format(minimum=minimum) + more)
    tenant = await Tenants.load([copy], KINDS, RUNNERS).create_tenant(db, code)
    async with db.unit_of_work(tenant.tenant_id) as session:
        await advance_clock(session, tenant, schemes.START, "development")
    (member,) = await schemes.enrol(db, keys, tenant, ["sahyog"])
    async with db.unit_of_work(tenant.tenant_id) as session:
        await advance_clock(session, tenant, schemes.START.replace(month=6), "development")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AKIBA_", "DATABASE_"))}
    environment = kept | {
        "AKIBA_DATA_DIR": str(tmp_path),
        "AKIBA_PACKS": str(copy.parent),
        "AKIBA_KEYS_FILE": str(keys.path),
        "DATABASE_URL": database_urls[0],
        "PYTHONPATH": str(ROOT),
    }

    async def akiba(*words: str, exit_code: int = 0) -> Any:
        command = [*_AKIBA, "--json", *words, "--tenant", tenant.code]
        done = await asyncio.to_thread(
            subprocess.run, command, check=False, env=environment, capture_output=True, text=True
        )
        assert done.returncode == exit_code, done.stderr
        return json.loads(done.stdout) if exit_code == 0 else done.stderr

    joined = await akiba("products", "join", member.number, "--product", "plus")
    assert (joined["product"], joined["joined_on"]) == ("plus", "2023-06-03")
    refused = await akiba("products", "join", member.number, "--product", "later", exit_code=1)
    number = re.search(r"enrolment\.too-young: .* \(decision ([0-9]+)\)\s*", refused)
    assert number, refused
    told = await akiba("explain", number[1])
    assert (told["kind"], told["refusal"]) == ("joining", "enrolment.too-young")
    held = await akiba("products", "list", member.number)
    assert [(one["product"], one["joined_on"]) for one in held] == [("nps-lite", "2023-04-03"), ("plus", "2023-06-03")]

    way = ("products", "move", "--from", "plus", "--to", "later", "--member", member.number)
    unasked = await akiba(*way, exit_code=1)
    why = re.search(r"benefits\.consent-needed: .* \(decision ([0-9]+)\)\s*", unasked)
    assert why, unasked
    told = await akiba("explain", why[1])
    assert (told["kind"], told["refusal"]) == ("product-move", "benefits.consent-needed")
    assert [one["kind"] for one in told["rules"]] == ["product-move"]
    async with db.unit_of_work(tenant.tenant_id) as session:
        found = await enrolment.find_in_product(session, keys, member.number, "plus")
        run = await benefits.propose_move(
            session, tenant, source="plus", target="later", member=found, has_consent=True, actor="partner:1"
        )
    (listed,) = await akiba("products", "moves")
    assert isinstance(run, benefits.MoveRun)
    assert (listed["move"], listed["state"], listed["digest"]) == (str(run.run_no), "proposed", run.digest)
    done = await akiba("products", "approve", listed["move"], "--digest", listed["digest"])
    assert (done["state"], done["moved"]) == ("done", 1)
    held = await akiba("products", "list", member.number)
    assert [(one["product"], one["joined_on"]) for one in held] == [
        ("nps-lite", "2023-04-03"),
        ("later", "2023-06-03"),
    ]
