"""`/v1/debit-files` and `akiba debits`: what is collected is prepared by one person, approved by another, and filed once."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.debits import service
from engine.debits.api import DebitFileController
from integrations.banking.simulation.payment_messages import Verdict, write_report
from tests.engine.contributions.test_undertaken import until
from tests.engine.debits.test_debits import DUE, OURS, Debiting, debiting
from tests.factories.routes import routes
from tests.factories.wallets import write_counterparties

__all__ = ["debiting"]
WANTED = {"rail": "bank", "product": "apy", "collect_on": DUE.isoformat()}
SECOND = {"X-Actor": "staff:2"}


async def test_a_file_is_prepared_read_and_approved_by_another(debiting: Debiting) -> None:
    await debiting.give()
    await until(debiting.db, debiting.tenant, DUE)
    async with routes(debiting.tenant, debiting.db, DebitFileController) as client:
        made = (await client.post("/v1/debit-files", json=WANTED)).json()
        assert [(one["debits"], one["total"], one["state"], one["maker"]) for one in made] == [
            (1, "116.00", "prepared", "staff:1")
        ]
        file, seen = made[0]["file"], {"digest": made[0]["digest"]}
        assert (await client.get("/v1/debit-files")).json() == made
        assert (await client.post("/v1/debit-files", json=WANTED)).json() == []

        own = await client.post(f"/v1/debit-files/{file}/approve", json=seen)
        assert (own.status_code, own.json()["code"]) == (403, "access.same-person")
        other = await client.post(f"/v1/debit-files/{file}/approve", json={"digest": "0" * 64}, headers=SECOND)
        assert (other.status_code, other.json()["code"]) == (409, "debits.changed")
        assert (await client.post(f"/v1/debit-files/{file + 1}/approve", json=seen, headers=SECOND)).status_code == 404
        done = await client.post(f"/v1/debit-files/{file}/approve", json=seen, headers=SECOND)
        assert (done.status_code, done.json()["state"], done.json()["checker"]) == (200, "approved", "staff:2")
        again = await client.post(f"/v1/debit-files/{file}/reject", json=seen, headers=SECOND)
        assert (again.status_code, again.json()["code"]) == (409, "debits.decided")
    assert await debiting.offences() == []


async def test_a_file_that_is_rejected_collects_nothing_and_another_may_be_prepared(debiting: Debiting) -> None:
    await debiting.give()
    await until(debiting.db, debiting.tenant, DUE)
    async with routes(debiting.tenant, debiting.db, DebitFileController) as client:
        (one,) = (await client.post("/v1/debit-files", json=WANTED)).json()
        seen = {"digest": one["digest"]}
        done = await client.post(f"/v1/debit-files/{one['file']}/reject", json=seen, headers=SECOND)
        assert (done.status_code, done.json()["state"]) == (200, "rejected")
        assert await debiting.states() == [("dropped", "")]
        (another,) = (await client.post("/v1/debit-files", json=WANTED)).json()
        assert another["file"] == one["file"] + 1
        bad = await client.post("/v1/debit-files", json=WANTED | {"product": "none"})
        assert (bad.status_code, bad.json()["code"]) == (404, "tenancy.unknown-product")


@pytest.mark.parametrize("changed", [{"collect_on": "soon"}, {"rail": "A Bank"}, {"more": 1}])
async def test_what_is_no_request_is_refused(debiting: Debiting, changed: dict[str, Any]) -> None:
    async with routes(debiting.tenant, debiting.db, DebitFileController) as client:
        assert (await client.post("/v1/debit-files", json=WANTED | changed)).status_code in (400, 422)


async def test_debits_by_commands_from_the_mandate_to_the_banks_report(
    debiting: Debiting, database_urls: tuple[str, str], tmp_path: Path
) -> None:
    tenant, (first, second) = debiting.tenant, debiting.members
    await until(debiting.db, tenant, DUE)
    table = {
        "pays_from": "auto-debit", "holder": "A Scheme", "number": OURS, "bank": "HDFCINBB", "sender": "SCHEME",
        "creditor_ref": "NACH00000000012345",
    }  # fmt: skip
    write_counterparties(tmp_path, {tenant.code: {"bank": table}})
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AKIBA_", "DATABASE_"))}
    environment = kept | {
        "AKIBA_DATA_DIR": str(tmp_path),
        "AKIBA_PACKS": str(tmp_path / "packs"),
        "AKIBA_KEYS_FILE": str(debiting.keys.path),
        "AKIBA_COUNTERPARTIES_FILE": str(tmp_path / "counterparties.toml"),
        "DATABASE_URL": database_urls[0],
        "PYTHONPATH": os.pathsep.join(sys.path),
    }

    async def akiba(*words: object, code: int = 0) -> Any:
        command = [sys.executable, "-c", "from engine.cli import main; main()", "--json", "debits", *map(str, words)]
        done = await asyncio.to_thread(
            subprocess.run,
            [*command, "--tenant", tenant.code],
            check=False,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stderr + done.stdout
        return json.loads(done.stdout) if done.stdout else done.stderr

    mandates = tmp_path / "mandates.csv"
    head = "member,product,reference,signed_on,most,holder,number,bank\n"
    rows = [
        f"{one.number},apy,UMRN{at},2023-04-01,500.00,Asha Example,000{at},HDFCINBB\n"
        for at, one in enumerate((first, second))
    ]
    mandates.write_text(head + "".join(rows))
    assert await akiba("mandates", mandates, "--rail", "bank") == {"kept": 2}
    assert await akiba("end", second.number, "--product", "apy") == {"ended": True}
    assert "rail" in await akiba("prepare", "--rail", "no-bank", "--product", "apy", "--date", DUE, code=1)
    (made,) = await akiba("prepare", "--rail", "bank", "--product", "apy", "--date", DUE)
    assert (made["debits"], made["total"], made["state"]) == (1, "116.00", "prepared")
    assert "same-person" in await akiba("approve", made["file"], "--digest", made["digest"], code=1)
    async with debiting.db.unit_of_work(tenant.tenant_id) as session:
        await service.approve_debits(session, made["file"], digest=made["digest"], actor="staff:2")
    out = tmp_path / "out"
    out.mkdir()
    left = await akiba("file", made["file"], "--rail", "bank", "--out", out)
    assert await akiba("file", made["file"], "--rail", "bank", "--out", out) == left
    raw = await asyncio.to_thread(Path(left["file"]).read_bytes)
    assert b"UMRN0" in raw
    assert b"UMRN1" not in raw
    assert [one["state"] for one in await akiba("list")] == ["filed"]
    report = tmp_path / "report.xml"
    report.write_bytes(
        write_report(
            "R1", DUE, message_ref=made["message_ref"], message="pain.008.001.08", whole=Verdict("RJCT", "AM04")
        )
    )
    read = await akiba("report", report, "--rail", "bank")
    assert (read["refused"], read["taken"], read["is_known"]) == (1, 0, False)
    assert (await akiba("report", report, "--rail", "bank"))["is_known"]
    assert await debiting.states() == [("refused", "insufficient-funds")]
    assert await debiting.offences() == []
