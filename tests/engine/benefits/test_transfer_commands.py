"""`akiba transfers`: savings that go and come, by the command line alone."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

from engine.benefits import service
from engine.benefits.service import Payers
from engine.identity import service as identity
from engine.runtime.database import Database
from engine.runtime.exchanges.engine import Exchanges
from engine.runtime.key_file import FileKeyStore
from tests.engine.benefits.test_claim_commands import commands
from tests.factories.claims import Claims
from tests.factories.heirs import Estates
from tests.factories.schemes import serve
from tests.factories.transfers import RULES, Transfers


async def test_an_advice_goes_out_and_comes_in_by_commands(
    db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path
) -> None:
    tenant = await serve(
        db,
        tmp_path / "packs",
        "rw-ejoheza",
        start=datetime(2023, 2, 1, 8, tzinfo=UTC),
        rules={"ltss": RULES.replace("CHARGE", "")},
    )
    scheme = Claims(db, tenant, keys, "ltss", "mtn-momo")
    going = Transfers(Estates(scheme, Payers(Exchanges(db, keys, {}, lambda *_: ""))))
    member = await scheme.member(date(2021, 6, 1), date(1983, 1, 1))
    await scheme.pay(member, 20_000, pot="savings", on=date(2022, 1, 5))
    left = await going.sent_off(member)
    akiba = commands(keys, database_urls[0], tmp_path, tenant.code, group="transfers")

    [listed] = await akiba("out")
    assert (listed["transfer"], listed["state"], listed["sent"]) == (str(left.claim.claim_id), "in-transit", "20000")
    file = tmp_path / "advice.json"
    await akiba("advice", left.claim.claim_id, "--out", file)
    written = json.loads(file.read_bytes())
    assert written["totals"] == {"amount": "20000", "contributions": "20000", "income": "0", "parts": 1, "payments": 1}
    assert "unknown-transfer" in await akiba("advice", 1, "--out", tmp_path / "none.json", code=1)

    comer = await scheme.member(date(2023, 1, 10), date(1983, 1, 1))
    async with db.unit_of_work(tenant.tenant_id) as session:
        numbers = await identity.reserve_numbers(session, keys, [comer.member_id], digits=12, prefix="9")
    number = numbers[comer.member_id]
    staged = await akiba("receive", file, "--member", number)
    assert (staged["state"], staged["amount"], staged["joined_on"]) == ("staged", "20000", "2021-06-01")
    assert [one["transfer"] for one in await akiba("in")] == [staged["transfer"]]
    written["totals"]["amount"] = "20001"
    file.write_text(json.dumps(written | {"reference": "T2"}))
    assert "totals.amount" in await akiba("receive", file, "--member", number, code=1)
    file.write_text("{}")
    assert "advice.json" in await akiba("receive", file, "--member", number, code=1)

    async with db.unit_of_work(tenant.tenant_id) as session:
        [row] = await service.list_advices(session)
    await going.approve_advice(row)
    await going.receive(20_000, named=row.reference, reference="IN-1")
    assert await akiba("take") == {"taken": 1}
    assert await scheme.holds(comer) == {"cash:own": 20_000}
    assert [one["state"] for one in await akiba("in")] == ["posted"]
