"""`akiba loans`, `akiba cover` and `akiba unclaimed`: by the command line alone."""

import csv
from datetime import UTC, date, datetime
from pathlib import Path

from engine.benefits import service
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Transfer
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from tests.engine.benefits.test_claim_commands import commands
from tests.factories.claims import CHECKER, Claims
from tests.factories.schemes import serve


async def test_loans_and_covers_are_read_and_asked_for_by_commands(
    db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path
) -> None:
    tenant = await serve(db, tmp_path / "packs", "rw-ejoheza", start=datetime(2023, 2, 1, 8, tzinfo=UTC))
    scheme = Claims(db, tenant, keys, "ltss", "mtn-momo")
    member = await scheme.member(date(2021, 6, 1), date(1983, 1, 1))
    await scheme.pay(member, 20_000, pot="savings", on=date(2022, 1, 5))
    asked = await scheme.claim(
        member, "loan", minor=8_000, rule="collateral", lender="equity-bank", percent="12", instalments=2
    )
    pledge = await scheme.approve(asked)
    akiba = commands(keys, database_urls[0], tmp_path, tenant.code, group="loans")
    [listed] = await akiba("list")
    assert (listed["loan"], listed["owed"], listed["lender"]) == (str(pledge.claim_id), "8000", "equity-bank")
    shown = await akiba("show", pledge.claim_id)
    assert [one["due_on"] for one in shown["instalments"]] == ["2023-03-01", "2023-04-01"]
    assert sum(int(one["principal"]) for one in shown["instalments"]) == 8_000
    assert await akiba("follow") == {"repayments": 0, "overdue": 0}

    await scheme.run(
        """insert into member_attributes (tenant_id, member_id, event_id, attribute, value, as_of, source)
           values (:t, :m, 1, 'class', 'ubudehe-3', date '2021-06-01', 'test')""",
        m=member.member_id,
    )
    claim = await scheme.claim(
        member, "cover", key="c", rule="life-and-funeral", ground="funeral", happened_on=date(2023, 1, 9)
    )
    await scheme.approve(claim)
    cover = commands(keys, database_urls[0], tmp_path, tenant.code, group="cover")
    made = await cover("file", "--product", "ltss", "--payer", "state", "--out", tmp_path / "out.csv")
    assert (made["file"], made["claims"], made["total"]) == (1, 1, "250000")
    assert (await cover("file", "--again", 1, "--out", tmp_path / "again.csv"))["file"] == 1
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "again.csv").read_bytes()
    answers = tmp_path / "answers.csv"
    answers.write_text(f"claim,answer,reason\n{claim.claim_id},accepted,\n")
    assert (await cover("answers", answers, "--file", 1))["accepted"] == 1
    assert (await scheme.find(claim)).state == "payable"


async def test_unclaimed_money_is_found_and_handed_over_by_commands(
    db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path
) -> None:
    tenant = await serve(db, tmp_path / "packs", "ke-haba-haba", start=datetime(2020, 6, 1, 8, tzinfo=UTC))
    scheme = Claims(db, tenant, keys, "haba-haba", tenant.pack.channels[0].code)
    pot = tenant.product("haba-haba").pots[0].code
    member = await scheme.member(date(2019, 12, 1), date(1983, 1, 1))
    await scheme.pay(member, 900_00, pot=pot, on=date(2020, 6, 1))
    async with db.unit_of_work(tenant.tenant_id) as session:
        cash, payable = (Account(kind, "KES", "haba-haba", pot, "own") for kind in ("cash", "payable"))
        codes = await ledger.account_codes(session, {cash, payable})
        entry = Entry(
            member_id=member.member_id,
            kind=EventKind.INHERITANCE_SHARED,
            business_date=date(2020, 6, 1),
            actor=await ledger.actor_id(session, CHECKER),
            transfers=[Transfer(400_00, codes[cash], codes[payable])],
        )
        await ledger.post(session, [entry])
    akiba = commands(keys, database_urls[0], tmp_path, tenant.code, group="unclaimed")
    await scheme.clock("2022-06-02T08:00:00")
    assert await akiba("find", "--product", "haba-haba") == {"opened": 1, "ended": 0}
    assert await akiba("told", "--product", "haba-haba", "--means", "publication") == {"owners": 1}
    await scheme.clock("2022-11-01T08:00:00")
    run = await akiba("propose", "--product", "haba-haba")
    assert (run["owners"], run["total"], run["state"]) == (1, "400.00", "proposed")
    done = await service.approve_hand_over(db, tenant, run["run"], run["digest"], actor=CHECKER)
    assert done.state == "done"
    await akiba("file", run["run"], "--out", tmp_path / "handed-over.csv")
    lines = list(csv.reader((tmp_path / "handed-over.csv").read_text().splitlines()))
    assert lines[-1][:2] == ["total", "1"]
    assert (await akiba("receipt", run["run"], "--receipt", "UFAA-17"))["receipt"] == "UFAA-17"
    assert [one["receipt"] for one in await akiba("list")] == ["UFAA-17"]
