"""Opening balances: the example of the documentation taken over, what is refused and why, two people, once for ever, crash and race."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace
from sqlalchemy import text

from engine.access.errors import SamePerson
from engine.app import LAWS
from engine.benefits.queries import claiming
from engine.contributions import service as contributions
from engine.contributions.rules import Payment, Receipt
from engine.enrolment import service as enrolment
from engine.enrolment.errors import AlreadyMember
from engine.enrolment.rules import DocumentGiven
from engine.enrolment.service import Enrolment
from engine.funds import service as funds
from engine.identity import service as identity
from engine.ledger import service as ledger
from engine.opening import queries, service
from engine.opening.errors import OpeningChanged, OpeningDecided, UnreadableOpening
from engine.opening.queries import OpeningRow
from engine.opening.service import OpeningReport
from engine.reports import queries as report_queries
from engine.reports import service as reports
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant, advance_clock
from tests.engine.funds.conftest import ADAPTER
from tests.factories import schemes

EXAMPLE = Path(__file__).parents[3] / "docs/opening-example"


class Taking:
    """A scheme that takes over the example's old book, and what tests do with it."""

    def __init__(self, db: Database, keys: FileKeyStore, tenant: Tenant, folder: Path) -> None:
        self.db, self.keys, self.tenant, self.folder = db, keys, tenant, folder

    def change(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        written = path.read_text()
        assert old in written, old
        path.write_text(written.replace(old, new, 1))

    async def stage(self, *, dry_run: bool = False) -> OpeningReport:
        return await service.stage_opening(
            self.db, self.keys, self.tenant, self.folder, actor="staff:1", dry_run=dry_run
        )

    async def approve(self, report: OpeningReport, *, actor: str = "staff:2") -> OpeningRow:
        assert report.opening is not None, report.lines()
        return await service.approve_opening(self.db, self.tenant, report.opening, digest=report.digest, actor=actor)

    async def post(self) -> list[OpeningRow]:
        return await service.post_openings(self.db, self.keys, self.tenant, actor="system:opening")

    async def rows(self, sql: str, **parameters: Any) -> list[Any]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return [tuple(row) for row in await session.execute(text(sql), parameters)]

    async def member(self, number: str) -> int:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return (await enrolment.find_member(session, self.keys, number)).member_id

    async def held(self, number: str) -> dict[tuple[str, str, str], str]:
        """What a member holds now, in major units, by kind, origin and fund."""
        found = await self.rows(
            """select c.kind, c.origin, c.fund, b.credits - b.debits, a.scale from balances b
                 join chart c on c.code = b.code join assets a on a.asset_id = c.code / 4096 where b.member_id = :m""",
            m=await self.member(number),
        )
        return {row[:3]: f"{Decimal(row[3]).scaleb(-row[4])}" for row in found}

    async def broken(self) -> list[Any]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await ledger.check(session, LAWS)


@pytest_asyncio.fixture
async def taking(db: Database, keys: FileKeyStore, tmp_path: Path) -> Taking:
    """The example's files for a scheme on the real pack, on 3 April 2023."""
    tenant = await schemes.serve(db, tmp_path, start=datetime(2023, 4, 3, 4, 0, tzinfo=UTC))
    folder = tmp_path / "old"
    shutil.copytree(EXAMPLE, folder)
    found = Taking(db, keys, tenant, folder)
    found.change("manifest.toml", '"in-nps-lite"', f'"{tenant.code}"')
    return found


async def test_the_example_opens_with_exactly_what_the_old_book_said(taking: Taking) -> None:
    dry = await taking.stage(dry_run=True)
    assert dry.state == "agrees", dry.lines()
    assert (dry.state, dry.refused, [one for one in dry.compared if not one.agrees]) == ("agrees", [], [])
    assert await taking.rows("select 1 from openings union all select 1 from person_indexes") == []

    staged = await taking.stage()
    await taking.approve(staged)
    (done,) = await taking.post()

    assert (done.state, done.done, done.ranges) == ("finished", 1, 1)
    assert await taking.held("OB-0001") == {
        ("units", "own", "SM001009"): "412.3051",
        ("units", "state-match", "SM001009"): "121.0040",
        ("cash", "own", ""): "150.00",
    }
    assert await taking.held("OB-0004") == {("units", "own", "SM003003"): "310.0001"}
    assert await taking.held("OB-0005") == {}
    opening = await taking.rows(
        """select c.kind, c.fund, sum(s.debits - s.credits)::text from chart c join (
             select code, debits, credits from control_totals union all select code, debits, credits from control_deltas) s using (code)
            where c.kind in ('opening', 'collections', 'residue') group by c.code, 1, 2 order by 1, 2"""
    )
    assert opening == [
        ("collections", "", "22550"),
        ("opening", "", "0"),
        ("opening", "", "0"),
        ("opening", "", "0"),
        ("opening", "", "0"),
        ("residue", "SM001009", "-9"),
    ]
    assert await taking.broken() == []


async def test_members_are_enrolled_as_they_were_there(taking: Taking) -> None:
    await taking.approve(await taking.stage())
    await taking.post()

    async with taking.db.unit_of_work(taking.tenant.tenant_id) as session:
        known = await enrolment.find_member(session, taking.keys, "OB 0002")
        people = await identity.read_people(session, taking.keys, [known.member_id], actor="staff:1", reason="test")
        paid = await claiming.paid_in(session, known.member_id, ["nps-lite"], date(2023, 4, 3))
        later = await enrolment.find_member(session, taking.keys, people[known.member_id].member_number)
    assert known.joined_on == date(2013, 1, 7)
    assert later.member_id == known.member_id
    assert people[known.member_id].person.full_name == "Ravi Sample"
    assert people[known.member_id].earlier_numbers == ("OB-0002",)
    assert [(one.on, one.origin, one.minor) for one in paid] == [(date(2014, 3, 31), "own", 440000)]
    kept = await taking.rows(
        "select first_contribution_on, last_withdrawal_on, document, number_index from opening_members where member_id = :m",
        m=known.member_id,
    )
    assert kept == [(date(2013, 2, 1), date(2019, 8, 12), None, None)]


async def test_opening_money_is_dealt_like_any_other(taking: Taking) -> None:
    await taking.approve(await taking.stage())
    await taking.post()

    report = await funds.run_dealing(taking.db, taking.tenant, date(2023, 4, 3), "staff:3")

    assert {(order.fund, order.amount) for order in report.orders} == {("SM001009", "150.00"), ("SM002009", "75.50")}
    assert await taking.broken() == []


async def test_a_statement_counts_what_units_were_bought_for_as_paid_in(taking: Taking) -> None:
    await taking.approve(await taking.stage())
    await taking.post()
    db, tenant = taking.db, taking.tenant
    await funds.run_dealing(db, tenant, date(2023, 4, 3), "staff:3")
    async with db.unit_of_work(tenant.tenant_id) as session:
        await advance_clock(session, tenant, datetime(2023, 4, 5, 4, 0, tzinfo=UTC), "development")
    prices = {"SM001009": "30", "SM002009": "31", "SM003003": "32"}
    raw = "\n".join(f"{code},{price}" for code, price in prices.items()).encode()
    await funds.import_prices(db, tenant, ADAPTER, raw, "2023-04-04.csv", date(2023, 4, 4), "staff:1")
    await funds.price_orders(db, tenant, date(2023, 4, 4), "staff:3")

    async with db.unit_of_work(tenant.tenant_id) as session:
        member = await reports.find_member(session, taking.keys, "OB-0001")
        told = await reports.statement(session, tenant, member, number="OB-0001", as_of=date(2023, 4, 4))
        flows = await report_queries.flows(
            session,
            member.member_id,
            products=["nps-lite"],
            since=date(2023, 4, 1),
            as_of=date(2023, 4, 4),
            log_size=None,
        )
    assert {(one.kind, one.origin, one.minor) for one in flows} == {
        ("opening", "own", 15_000),
        ("opening", "own", 980_000),
        ("opening", "state-match", 300_000),
    }

    # 412.3051 and 121.0040 units came, 150.00 bought 5 more at 30; 9,800.00 and 3,000.00 were paid for the former.
    assert [(one.units, one.value_minor) for one in told.holdings] == [(5_383_091, 1_614_927)]
    assert told.totals.contributed_minor == 980_000 + 300_000 + 15_000
    assert told.totals.gain_minor == 1_614_927 - 1_295_000
    assert {(line.state, line.amount_minor, line.units) for line in told.lines} == {
        ("invested", 980_000, 4_123_051),
        ("invested", 300_000, 1_210_040),
        ("invested", 15_000, 50_000),
    }
    assert await taking.broken() == []


async def test_a_payment_finds_its_member_by_the_old_number(taking: Taking) -> None:
    await taking.approve(await taking.stage())
    await taking.post()

    payments = [
        Payment(
            member=number,
            amount="500.00",
            currency="INR",
            channel="upi",
            reference=number,
            paid_on=date(2023, 4, 3),
            sent_by="partner:1",
        )
        for number in ("OB-0003", "OB-9999")
    ]
    answers = await contributions.Intake(taking.db, taking.keys).receive_many(taking.tenant, payments)

    assert [answer.state for answer in answers if isinstance(answer, Receipt)] == ["received", "suspended"]
    assert (await taking.held("OB-0003"))["cash", "own", ""] == "575.50"


async def test_it_is_taken_over_by_commands(taking: Taking, database_urls: tuple[str, str], tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AKIBA_", "DATABASE_"))}
    environment = kept | {
        "AKIBA_DATA_DIR": str(tmp_path),
        "AKIBA_PACKS": str(tmp_path / taking.tenant.code),
        "AKIBA_KEYS_FILE": str(taking.keys.path),
        "DATABASE_URL": database_urls[0],
        "PYTHONPATH": str(EXAMPLE.parents[1]),
    }

    async def akiba(*words: str, code: int = 0) -> str:
        command = [sys.executable, "-c", "from engine.cli import main; main()", *words, "--tenant", taking.tenant.code]
        done = await asyncio.to_thread(
            subprocess.run, command, check=False, env=environment, capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
        return done.stdout

    assert "agrees" in (await akiba("import", "opening", str(taking.folder), "--dry-run")).splitlines()[0]
    staged = json.loads(await akiba("--json", "import", "opening", str(taking.folder)))
    assert (staged["state"], staged["members"]) == ("staged", 5)
    await service.approve_opening(taking.db, taking.tenant, staged["opening"], digest=staged["digest"], actor="staff:2")
    assert "finished" in await akiba("opening", "post")
    assert staged["digest"] in await akiba("opening", "list")
    taking.change("holdings.csv", "OB-0001", "OB-7777")
    assert "holdings.csv, row 2, old_number" in await akiba("import", "opening", str(taking.folder), code=1)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("members.csv", "2012-04-16,2012-04-16", "2009-04-16,2012-04-16", ("members.csv", 2, "row")),
        ("members.csv", "OB-0002,2013-01-07", "OB-0002,2023-04-02", ("members.csv", 3, "joined_on")),
        ("members.csv", "OB-0003,", "OB-0002,", ("members.csv", 4, "old_number")),
        ("members.csv", "1975-11-20", "1875-11-20", ("members.csv", 3, "born_on")),
        ("members.csv", "OB-0004,", "OB*0004,", ("members.csv", 5, "old_number")),
        ("holdings.csv", "OB-0002,", "OB-0009,", ("holdings.csv", 5, "old_number")),
        ("holdings.csv", "own,SM002009", "own,SM009999", ("holdings.csv", 6, "fund")),
        ("holdings.csv", "230.7777", "230.77777", ("holdings.csv", 6, "amount")),
        ("holdings.csv", "75.50,", "75.50,10.00", ("holdings.csv", 7, "cost")),
        ("holdings.csv", "own,,75.50", "gift,,75.50", ("holdings.csv", 7, "origin")),
        ("holdings.csv", "OB-0001,nps-lite,retirement,state-match", "OB-0001,nps-lite,retirement,own", ("holdings.csv", 3, "row")),
        ("history.csv", "2012-03-31", "2023-04-01", ("history.csv", 7, "paid_on")),
        ("history.csv", "4400.00,11", "4400.00,0", ("history.csv", 5, "payments")),
    ],
)  # fmt: skip
async def test_a_row_that_cannot_be_taken_is_named_and_nothing_is_kept(
    taking: Taking, file: str, old: str, new: str, said: tuple[str, int, str]
) -> None:
    taking.change(file, old, new)

    report = await taking.stage()

    assert report.state == "refused"
    assert said in [(one.file, one.row, one.field) for one in report.refused]
    assert all(one.reason and "Sample" not in one.reason for one in report.refused)
    assert await taking.rows("select 1 from openings union all select 1 from person_indexes") == []


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("members = 5", "members = 6", "rows of members"),
        ('amount = "500.4251"', 'amount = "500.4252"', "nps-lite retirement own SM001009"),
        ('cost = "3000.00"', 'cost = "3000.01"', "nps-lite retirement state-match SM001009 cost"),
        ('amount = "29525.50"', 'amount = "29525.51"', "paid nps-lite retirement own"),
        ('channel = "upi"\namount = "225.50"', 'channel = "upi"\namount = "225.49"', "the scheme's cash"),
        ('residue = "0.0009"', 'residue = "0.0008"', "units of SM001009 less residue"),
        ('units = "310.0001"', 'units = "310.0002"', "units of SM003003 less residue"),
    ],
)
async def test_a_total_that_differs_from_the_manifest_stops_it(taking: Taking, old: str, new: str, what: str) -> None:
    taking.change("manifest.toml", old, new)

    report = await taking.stage()

    assert (report.state, [one.what for one in report.compared if not one.agrees]) == ("refused", [what])
    assert await taking.rows("select 1 from openings") == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("as_of = 2023-03-31", "as_of = 2023-04-03"),
        ('channel = "upi"', 'channel = "post"'),
        ('code = "SM003003"\nunits', 'code = "SM009999"\nunits'),
        ("[counts]", "[count]"),
        ('history = ["history.csv"]', 'history = ["holdings.csv"]'),
        ('history = ["history.csv"]', 'history = ["../history.csv"]'),
    ],
)
async def test_a_manifest_that_cannot_be_is_refused(taking: Taking, old: str, new: str) -> None:
    taking.change("manifest.toml", old, new)

    with pytest.raises(UnreadableOpening):
        await taking.stage()

    assert await taking.rows("select 1 from openings") == []


async def test_two_people_decide_on_exactly_those_files(taking: Taking) -> None:
    staged = await taking.stage()
    assert staged.opening is not None

    with pytest.raises(SamePerson):
        await taking.approve(staged, actor="staff:1")
    with pytest.raises(OpeningChanged):
        await service.approve_opening(taking.db, taking.tenant, staged.opening, digest="0" * 64, actor="staff:2")
    assert await taking.post() == []

    await taking.approve(staged)
    with pytest.raises(OpeningDecided):
        await taking.approve(staged, actor="staff:3")


async def test_the_same_files_are_posted_once_for_ever(taking: Taking) -> None:
    staged = await taking.stage()
    again = await taking.stage()
    assert (again.state, again.opening) == ("staged", staged.opening)
    await taking.approve(staged)
    await taking.post()

    later = await taking.stage()
    taking.change("manifest.toml", "Old Savings Book", "Old Savings Ledger")
    others = await taking.stage()

    assert (later.state, later.opening) == ("finished", staged.opening)
    assert "the same files came at" in later.lines()[0]
    assert others.state == "refused"
    assert {one.field for one in others.refused if one.file == "members.csv"} == {"document_number"}
    assert len(await taking.rows("select 1 from members")) == 5


async def test_a_rejected_opening_frees_everybody_and_may_be_staged_again(taking: Taking) -> None:
    staged = await taking.stage()
    assert staged.opening is not None
    person = schemes.application(taking.tenant)
    await service.reject_opening(taking.db, taking.tenant, staged.opening, digest=staged.digest, actor="staff:2")

    assert await taking.rows("select 1 from person_indexes") == []
    assert await taking.rows("select 1 from opening_members where document is not null") == []
    answers = await enrolment.enrol(taking.db, taking.tenant, taking.keys, [Enrolment("k", person)], actor="partner:1")
    assert not isinstance(answers[0], Exception)
    again = await taking.stage()
    assert (again.state, again.opening) == ("staged", 2)
    assert await taking.broken() == []


async def test_nobody_staged_can_be_enrolled_in_between(taking: Taking) -> None:
    await taking.stage()
    number = (taking.folder / "members.csv").read_text().splitlines()[1].split(",")[10]
    person = schemes.application(taking.tenant)
    same = {"documents": (DocumentGiven("aadhaar", number),)}

    (answer,) = await enrolment.enrol(
        taking.db, taking.tenant, taking.keys, [Enrolment("k", replace(person, **same))], actor="partner:1"
    )

    assert isinstance(answer, AlreadyMember)


@pytest.fixture
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two members a range, so that the example has three."""
    monkeypatch.setattr("engine.opening.service.staging.CHUNK", 2)


@pytest.mark.usefixtures("small_ranges")
@pytest.mark.parametrize("step", ["hold_range", "post_range", "finish_opening"])
async def test_it_goes_on_where_it_was_stopped(taking: Taking, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    await taking.approve(await taking.stage())
    real: Callable[..., Any] = getattr(queries, step)
    calls = 0

    async def dies(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        found = await real(*given)
        if calls == (1 if step == "finish_opening" else 2):
            raise RuntimeError("the process was killed")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(queries, step, dies)
        with pytest.raises(RuntimeError, match="killed"):
            await taking.post()
    assert len(await taking.rows("select 1 from members")) == (5 if step == "finish_opening" else 2)
    assert await taking.broken() == []

    (done,) = await taking.post()

    assert (done.state, done.done) == ("finished", 3)
    assert len(await taking.rows("select 1 from members")) == 5
    assert await taking.broken() == []
    assert await taking.post() == []


@pytest.mark.usefixtures("small_ranges")
async def test_two_at_once_post_everything_once(taking: Taking) -> None:
    await taking.approve(await taking.stage())

    await asyncio.gather(*(taking.post() for _ in range(3)))

    assert len(await taking.rows("select 1 from members")) == 5
    assert len(await taking.rows("select 1 from events where kind = 193")) == 2, "the last range's member holds nothing"
    assert len(await taking.rows("select 1 from events where kind = 194")) == 1
    assert await taking.broken() == []


async def test_the_laws_see_a_figure_that_was_changed(taking: Taking) -> None:
    await taking.approve(await taking.stage())
    await taking.post()
    async with taking.db.unit_of_work(taking.tenant.tenant_id) as session:
        await session.execute(
            text("""insert into opening_holdings (member_id, amount, cost, tenant_id, opening_no, code)
                    select m.member_id, 1, 0, m.tenant_id, m.opening_no, c.code from opening_members m
                      join chart c on c.kind = 'units' and c.fund = 'SM003003' and c.origin = 'state-match'
                     where m.row_no = 6""")
        )

    assert {one.law for one in await taking.broken()} == {"openings-are-the-old-books"}
