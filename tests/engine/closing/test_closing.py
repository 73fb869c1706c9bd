"""Close of business: the day's steps in order, missed days, what the database keeps closed, reopening, crash, race, quarantine."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from sqlalchemy import text

from engine.access.errors import SamePerson
from engine.app import KINDS, LAWS, RUNNERS
from engine.cli_closing import make_partitions_ahead
from engine.closing import jobs, queries, service
from engine.closing.errors import DayNotClosed, ReopeningDecided, UnknownReopening
from engine.closing.rules import Step
from engine.closing.service import ClosingReport
from engine.closing.service import closing as closing_module
from engine.contributions import service as contributions
from engine.contributions.rules import Payment, Receipt
from engine.contributions.service import reversing
from engine.kernel.ids import house_member
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime import quarantine
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant, Tenants, advance_clock
from tests.factories import schemes

FIRST = date(2023, 4, 3)
ROOT = Path(__file__).parents[3]


@dataclass
class Night:
    """A scheme on the real pack, its days and nights."""

    db: Database
    keys: FileKeyStore
    tenant: Tenant
    folder: Path
    number: str

    async def clock(self, day: date, hour: int = 4) -> None:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            await advance_clock(
                session, self.tenant, datetime(day.year, day.month, day.day, hour, tzinfo=UTC), "development"
            )

    async def pay(self, reference: str, amount: str = "500.00", paid_on: date | None = None) -> Receipt:
        payment = Payment(
            member=self.number, amount=amount, currency="INR", channel="upi", reference=reference, paid_on=paid_on,
            sent_by="partner:1",
        )  # fmt: skip
        (answer,) = await contributions.Intake(self.db, self.keys).receive_many(self.tenant, [payment])
        assert isinstance(answer, Receipt), answer
        return answer

    async def close(self, **options: Any) -> ClosingReport:
        return await service.close_business(self.db, self.keys, self.tenant, actor="staff:1", **options)

    async def post_at(self, instant: datetime) -> None:
        entry = Entry(
            member_id=house_member(self.tenant.tenant_id), kind=EventKind.CLOCK_ADVANCED, business_date=FIRST, actor=1
        )
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            await ledger.post(session, [entry], recorded_at=instant)

    async def rows(self, sql: str, **parameters: Any) -> list[Any]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return [tuple(row) for row in await session.execute(text(sql), parameters)]

    async def broken(self) -> list[Any]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await ledger.check(session, LAWS)


@pytest_asyncio.fixture
async def night(db: Database, keys: FileKeyStore, tmp_path: Path) -> Night:
    """The scheme on Monday 3 April 2023, with one member."""
    tenant = await schemes.serve(db, tmp_path)
    (member,) = await schemes.enrol(db, keys, tenant, ["sahyog"])
    return Night(db, keys, tenant, tmp_path, member.number)


async def test_a_day_is_closed_in_its_steps_and_what_it_ended_with_adds_up(night: Night) -> None:
    assert (await night.close()).days == [], "the day is not over"
    await night.pay("one")
    await night.pay("two", "700.00")
    await night.clock(FIRST + timedelta(days=1))
    await night.pay("three")
    told: list[tuple[date, Step]] = []

    report = await night.close(progress=lambda day, step: told.append((day, step)))

    assert told == [(FIRST, step) for step in Step]
    (day,) = report.days
    assert (day.day, day.version, day.is_balanced) == (FIRST, 1, True)
    assert not day.is_proven, "no statement came"
    assert {(row.kind, row.opening, row.debits, row.credits, row.closing) for row in day.balances} == {
        ("collections", "0.00", "1200.00", "0.00", "1200.00"),
        ("cash", "0.00", "0.00", "1200.00", "1200.00"),
    }
    assert await night.rows("select count(*) from events where kind = 196") == [(1,)]
    assert await night.broken() == []


async def test_missed_days_are_caught_up_each_beginning_where_the_one_before_ended(night: Night) -> None:
    await night.pay("one")
    await night.clock(FIRST + timedelta(days=2))
    await night.pay("two")
    await night.clock(FIRST + timedelta(days=6))

    report = await night.close()

    assert [day.day for day in report.days] == [FIRST + timedelta(days=n) for n in range(6)]
    cash = [row for day in report.days for row in day.balances if row.kind == "cash"]
    assert [(row.opening, row.credits, row.closing) for row in cash] == [
        ("0.00", "500.00", "500.00"),
        ("500.00", "0.00", "500.00"),
        ("500.00", "500.00", "1000.00"),
        *[("1000.00", "0.00", "1000.00")] * 3,
    ]
    assert report.days[4].steps["cut-off"].lines == ["no business day: nothing is dealt"], "7 April is Good Friday"
    assert (await night.close()).days == []
    assert await night.broken() == []


async def test_a_closed_day_takes_nothing_and_what_is_of_it_comes_in_the_open_one(night: Night) -> None:
    await night.pay("one")
    await night.clock(FIRST + timedelta(days=1))
    noon = datetime(2023, 4, 3, 6, tzinfo=UTC)
    await night.post_at(noon)
    await night.close()

    with pytest.raises(psycopg.errors.SerializationFailure, match="closed"):
        await night.post_at(noon)
    late = await night.pay("late", paid_on=FIRST)

    assert late.business_date == FIRST, "its true date"
    async with night.db.unit_of_work(night.tenant.tenant_id) as session:
        before = await service.day_report(session, FIRST)
    await night.clock(FIRST + timedelta(days=2))
    (day,) = (await night.close()).days
    cash = next(row for row in day.balances if row.kind == "cash")
    assert next(row for row in before.balances if row.kind == "cash").closing == "500.00"
    assert (day.day, cash.opening, cash.credits) == (FIRST + timedelta(days=1), "500.00", "500.00")
    assert await night.broken() == []


async def test_a_row_put_into_a_closed_day_behind_the_engine_is_seen(night: Night) -> None:
    await night.pay("one")
    await night.clock(FIRST + timedelta(days=1))
    await night.close()
    async with night.db.unit_of_work(night.tenant.tenant_id) as session:
        await session.execute(
            text("""insert into transfers (member_id, event_id, amount, tenant_id, debit, credit, line)
                    select member_id, event_id, 1, tenant_id, debit, credit, 99 from transfers""")
        )

    assert "closed-days-stay-closed" in {one.law for one in await night.broken()}


async def test_days_are_opened_again_by_two_people_and_closed_anew(night: Night) -> None:
    await night.pay("one")
    await night.clock(FIRST + timedelta(days=2))
    await night.close()
    db, tenant = night.db, night.tenant
    async with db.unit_of_work(tenant.tenant_id) as session:
        asked = await service.propose_reopening(session, tenant, FIRST, "late-correction", actor="staff:1")
    noon = datetime(2023, 4, 3, 6, tzinfo=UTC)

    with pytest.raises(SamePerson):
        await service.approve_reopening(db, tenant, asked.number, digest=asked.digest, actor="staff:1")
    with pytest.raises(UnknownReopening):
        await service.approve_reopening(db, tenant, asked.number, digest="0" * 64, actor="staff:2")
    with pytest.raises(DayNotClosed):
        async with db.unit_of_work(tenant.tenant_id) as session:
            await service.propose_reopening(session, tenant, FIRST, "once-more", actor="staff:1")
    with pytest.raises(psycopg.errors.SerializationFailure):
        await night.post_at(noon)

    done = await service.approve_reopening(db, tenant, asked.number, digest=asked.digest, actor="staff:2")
    assert (done.state, done.decided_by) == ("approved", "staff:2")
    with pytest.raises(ReopeningDecided):
        await service.reject_reopening(db, tenant, asked.number, digest=asked.digest, actor="staff:2")
    await night.post_at(noon)
    assert await night.broken() == []

    again = await night.close()
    assert [(day.day, day.version) for day in again.days] == [(FIRST, 2), (FIRST + timedelta(days=1), 2)]
    with pytest.raises(psycopg.errors.SerializationFailure):
        await night.post_at(noon)
    assert await night.rows("select kind, count(*) from events where kind between 197 and 199 group by 1 order by 1") == [
        (197, 1),
        (198, 1),
    ]  # fmt: skip
    assert await night.broken() == []


async def test_a_reopening_that_is_rejected_leaves_the_day_closed(night: Night) -> None:
    await night.clock(FIRST + timedelta(days=1))
    await night.close()
    async with night.db.unit_of_work(night.tenant.tenant_id) as session:
        asked = await service.propose_reopening(session, night.tenant, FIRST, "a-mistake", actor="staff:1")

    await service.reject_reopening(night.db, night.tenant, asked.number, digest=asked.digest, actor="staff:2")

    assert (await night.close()).days == []
    async with night.db.unit_of_work(night.tenant.tenant_id) as session:
        assert [one.state for one in await service.list_reopenings(session)] == ["rejected"]
        with pytest.raises(DayNotClosed):
            await service.propose_reopening(session, night.tenant, date(2023, 4, 4), "not-closed", actor="staff:1")


_STEPS = ["_cut_off", "_reconcile", "_jobs", "_prove", "_close", "_balance"]


@pytest.mark.parametrize("step", _STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_it_goes_on_at_the_step_where_it_was_stopped(
    night: Night, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    await night.pay("one")
    await night.clock(FIRST + timedelta(days=2))
    real: Callable[..., Any] = getattr(closing_module._Closing, step)

    async def dies(self: Any) -> Any:
        if when == "after":
            await real(self)
        raise RuntimeError("the process was killed")

    with monkeypatch.context() as patch:
        patch.setattr(closing_module._Closing, step, dies)
        with pytest.raises(RuntimeError, match="killed"):
            await night.close()
    assert await night.broken() == []
    await night.pay("two")

    told: list[tuple[date, str]] = []
    report = await night.close(progress=lambda day, at: told.append((day, at.value)))

    names = [one.value for one in Step]
    # What died in the middle of writing balances had closed the day: only its step was not noted.
    resumed = [(FIRST, name) for name in names[_STEPS.index(step) :]]
    if step == "_balance" and when == "after":
        resumed = []
    assert told == [*resumed, *((FIRST + timedelta(days=1), name) for name in names)]
    assert await night.rows("select count(*) from events where kind = 196") == [(2,)]
    assert all(day.is_balanced for day in report.days)
    assert await night.broken() == []


async def test_two_at_once_close_a_day_once(night: Night) -> None:
    for n in range(5):
        await night.pay(f"paid {n}")
    await night.clock(FIRST + timedelta(days=3))

    reports = await asyncio.gather(*(night.close() for _ in range(3)))

    assert {day.day for report in reports for day in report.days} <= {FIRST + timedelta(days=n) for n in range(3)}
    assert await night.rows("select day, count(*) from closings group by 1 order by 1") == [
        (FIRST + timedelta(days=n), 1) for n in range(3)
    ]
    assert await night.rows("select count(*) from events where kind = 196") == [(3,)]
    assert await night.broken() == []


async def test_closing_waits_for_a_posting_on_its_way_and_one_that_comes_too_late_is_of_the_next_day(
    night: Night,
) -> None:
    """The clock shows the next day while a posting of the old one has not committed."""
    late = datetime(2023, 4, 3, 18, 29, tzinfo=UTC)
    await night.clock(FIRST + timedelta(days=1))
    entry = Entry(
        member_id=house_member(night.tenant.tenant_id), kind=EventKind.CLOCK_ADVANCED, business_date=FIRST, actor=1
    )
    async with night.db.unit_of_work(night.tenant.tenant_id) as session:
        await ledger.post(session, [entry], recorded_at=late)
        closing = asyncio.create_task(night.close())
        await asyncio.sleep(1)
        assert await night.rows("select 1 from closings") == []
    await closing

    assert await night.rows("select count(*) from batches where recorded_at < '2023-04-03 18:30+00'") != [(0,)]
    with pytest.raises(psycopg.errors.SerializationFailure):
        await night.post_at(late)
    assert await night.broken() == []


async def test_one_account_that_fails_is_put_aside_and_the_night_goes_on(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    await night.clock(FIRST + timedelta(days=1))
    tried: list[int] = []

    async def waiting(_session: Any) -> list[tuple[int, int]]:
        return [(7, 101), (8, 102), (9, 103)]

    async def each(_session: Any, receipt: int) -> Any:
        tried.append(receipt)
        if receipt == 102:
            raise DayNotClosed(day="none")
        return receipt

    async def row(_session: Any, _came: Any) -> Any:
        return type("Row", (), {"state": "reversed"})()

    monkeypatch.setattr("engine.contributions.queries.open_reversals", waiting)
    monkeypatch.setattr(reversing, "_came", each)
    monkeypatch.setattr(reversing, "_row", row)

    report = await night.close()

    assert tried == [101, 102, 103]
    assert [day.day for day in report.days] == [FIRST]
    (aside,) = report.quarantined
    assert (aside.task, aside.subject, aside.reason) == (
        "contributions.carry_on_reversals",
        "102",
        "closing.not-closed",
    )
    assert aside.owner == "contributions-officer"
    assert not report.is_clean

    tried.clear()
    await night.clock(FIRST + timedelta(days=4))
    later = await night.close()
    assert tried == [101, 103] * 3, "what is put aside is left alone"
    assert later.quarantined[0].age_days == 3
    async with night.db.unit_of_work(night.tenant.tenant_id) as session:
        assert await quarantine.release(session, aside.number, "staff:1")
        assert not await quarantine.release(session, aside.number, "staff:1")
    tried.clear()
    await night.clock(FIRST + timedelta(days=5))
    last = await night.close()
    assert tried == [101, 102, 103]
    assert last.quarantined[0].tries == 2


async def test_a_lost_connection_puts_nobody_aside(night: Night) -> None:
    async def lost(_subject: int) -> bool:
        raise psycopg.OperationalError("the connection is lost")

    with pytest.raises(psycopg.OperationalError):
        await quarantine.each(night.db, night.tenant.tenant_id, [(7, 1)], lost, task="some.work", owner="operator")

    assert await night.rows("select 1 from quarantine") == []


async def test_the_background_closes_days_only_once_a_person_has_begun(night: Night) -> None:
    tenants = Tenants.load([night.folder / night.tenant.code], KINDS, RUNNERS)
    await tenants.activate(night.db)
    await night.clock(FIRST + timedelta(days=1))
    await jobs.close_business(night.db, night.keys, tenants, tenant_id=night.tenant.tenant_id)
    assert await night.rows("select 1 from closings") == []

    await night.close()
    await night.clock(FIRST + timedelta(days=3))
    await jobs.close_business(night.db, night.keys, tenants, tenant_id=night.tenant.tenant_id)

    async with night.db.unit_of_work(night.tenant.tenant_id) as session:
        assert await queries.last_closed(session) == FIRST + timedelta(days=2)


async def test_it_is_run_by_command(night: Night, database_urls: tuple[str, str]) -> None:
    await night.pay("one")
    await night.clock(FIRST + timedelta(days=1))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AKIBA_", "DATABASE_"))}
    environment = kept | {
        "AKIBA_DATA_DIR": str(night.folder),
        "AKIBA_PACKS": str(night.folder / night.tenant.code),
        "AKIBA_KEYS_FILE": str(night.keys.path),
        "DATABASE_URL": database_urls[0],
        "PYTHONPATH": str(ROOT),
    }

    async def akiba(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from engine.cli import main; main()", *words, "--tenant", night.tenant.code]
        return await asyncio.to_thread(
            subprocess.run, command, check=False, env=environment, capture_output=True, text=True
        )

    done = await akiba("--json", "close-of-business")
    assert done.returncode == 3, done.stderr  # the day is not proven: no statement came
    day = json.loads(done.stdout)["days"][0]
    assert (day["day"], day["is_balanced"], day["is_proven"]) == ("2023-04-03", True, False)
    assert "2023-04-03 balance" in done.stderr
    again = await akiba("close-of-business")
    assert (again.returncode, again.stdout.strip()) == (0, "every day that is over was closed before")
    assert (await akiba("quarantine", "list")).stdout.strip() == "nothing is put aside"
    assert (await akiba("quarantine", "release", "9")).returncode == 1


def test_partitions_are_made_a_year_ahead_by_the_owner(database_urls: tuple[str, str]) -> None:
    make_partitions_ahead(database_urls[1])
    make_partitions_ahead(None)

    month = datetime.now(UTC).date().replace(day=1)
    for _ in range(11):
        month = (month + timedelta(days=32)).replace(day=1)
    with psycopg.connect(database_urls[1]) as connection:
        row = connection.execute("select to_regclass(%s)::text", (f"events_{month:%Y%m}",)).fetchone()
    assert row == (f"events_{month:%Y%m}",)
