"""A wrong price from the command line to the page: proposed, approved by another, told as a story, and the books are sound."""

import asyncio
import csv
import json
import os
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from engine.access.rules import Role
from engine.funds import service as funds
from tests.engine.reports.scheme import Scheme
from tests.engine.web.markup import every, rows_of, tree, words
from tests.engine.web.site import make_app, signed_in

ROOT = Path(__file__).resolve().parents[3]
_AKIBA = [sys.executable, "-c", "from engine.cli import main; main()"]
FUND = "SM001009"
DAY = date(2023, 6, 16)


async def dealt_in(india: Scheme) -> str:
    """A saver whose 500.00 bought at 40."""
    await india.advance(date(2023, 6, 15))
    member = await india.enrol(group="sahyog")
    await india.reconcile([await india.pay(member, "500")])
    await india.deal(date(2023, 6, 15))
    await india.advance(DAY)
    await india.prices(DAY, {FUND: "40"})
    await india.deal(DAY)
    return member


async def wrong_price(india: Scheme) -> tuple[str, funds.Correction]:
    """A saver whose 500.00 bought at 40 in place of 32, and who says so."""
    member = await dealt_in(india)
    said = {"price": "32", "party": "operator", "reason": "typed-wrong", "actor": "staff:1"}
    return member, await funds.propose_correction(india.db, india.tenant, FUND, DAY, **said)


async def test_a_wrong_price_is_put_right_by_commands(
    india: Scheme, database_urls: tuple[str, str], tmp_path: Path
) -> None:
    member, one = await wrong_price(india)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AKIBA_", "DATABASE_"))}
    environment = kept | {
        "AKIBA_DATA_DIR": str(tmp_path),
        "AKIBA_PACKS": str(tmp_path),
        "AKIBA_KEYS_FILE": str(india.keys.path),
        "DATABASE_URL": database_urls[0],
        "PYTHONPATH": str(ROOT),
    }

    async def akiba(*words_: object, code: int = 0, plain: bool = False) -> Any:
        command = [*_AKIBA, *([] if plain else ["--json"]), *map(str, words_), "--tenant", india.tenant.code]
        done = await asyncio.to_thread(
            subprocess.run, command, check=False, env=environment, capture_output=True, text=True
        )
        assert done.returncode == code, done.stdout + done.stderr
        return (done.stdout if plain else json.loads(done.stdout)) if code == 0 else done.stderr

    again = await akiba("prices", "correct", FUND, DAY, "33", "--party", "operator", "--reason", "x", code=1)
    assert "not finished" in again
    proposed = await akiba("prices", "correction", one.number, plain=True)
    assert "published 40, right 32" in proposed
    assert f"digest {one.digest}" in proposed
    done = await akiba("prices", "approve", one.number, "--digest", one.digest)
    assert (done["state"], done["members"], Decimal(done["issued"])) == ("done", 1, Decimal("3.125"))
    story = await akiba("prices", "correction", one.number, "--csv", tmp_path / "list.csv", plain=True)
    assert f"{member}, nps-lite retirement own SM001009: lacked 3.1250 units; was given 3.1250 units" in story
    (row,) = csv.DictReader((tmp_path / "list.csv").read_text(encoding="utf-8").splitlines())
    assert (row["member"], row["issued"], row["borne"]) == (member, "3.1250", "0.00")
    assert (await akiba("prices", "corrections"))[0]["correction"] == str(one.number)
    assert await akiba("prices", "reject", one.number, "--digest", one.digest, code=1)


async def test_staff_read_a_correction_member_by_member(india: Scheme) -> None:
    member, one = await wrong_price(india)
    app = make_app(india)
    reader = await signed_in(app, india, Role.CONTRIBUTIONS_OFFICER)
    listed = await reader.get("/staff/corrections/")
    (link,) = [a for a in every(tree(listed.text), "a") if a.attrib["href"] == f"/staff/corrections/{one.number}"]
    assert "waits for a second person" in words(link)
    await funds.approve_correction(india.db, india.tenant, one.number, one.digest, actor="staff:2")
    shown = await reader.get(f"/staff/corrections/{one.number}")

    assert shown.status_code == 200
    assert "NPS-Lite operations office" in shown.text
    (row,) = rows_of(tree(shown.text), "correction-lines")
    assert row[0] == member
    assert row[4] == "3.1250"
    assert (await reader.get("/staff/corrections/99")).status_code == 404
    outsider = await signed_in(app, india, Role.PRICE_MAKER, label="another")
    assert (await outsider.get(f"/staff/corrections/{one.number}")).status_code == 403
