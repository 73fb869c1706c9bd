"""Whole lives of 100,000 members, year after year by a simulated clock, against a bare INSERT … SELECT of as many ledger rows.

The scheme is EjoHeza's own pack and a yearly fee that its law does not know. Members join by files, and from then on each year
has: a file of payments and the statement that shows them, matched; interest of a declared rate; state money claimed, paid and
shared; a fee; a payroll each month; deaths, whose claims are opened, decided and approved; and whoever is 55 retires, by a claim
that two people stand for. All of it by the services that the API and the worker call, in the worker's own round of jobs too.
At the end every law of the books is checked. What is payable is not sent out: how that leaves is a matter of protocols.

The world outside is drawn from a member's place in the order of joining, so that nothing of it is kept in memory; member numbers
wait in files, as a partner would keep them.
"""

import asyncio
import csv
import io
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import text

from benchmarks.schemes import PACKS, keys_in_a_folder
from benchmarks.stage import Stage, stage
from engine.app import KINDS, LAWS, RUNNERS, adapter
from engine.audit import service as audit
from engine.benefits import service as benefits
from engine.benefits.queries.claiming import ClaimRow, Request
from engine.benefits.service import Payers
from engine.contributions import service as contributions
from engine.contributions.errors import NothingToClaim
from engine.enrolment import service as enrolment
from engine.enrolment.service import CLASS, StatusWord
from engine.funds import service as funds
from engine.identity import service as identity
from engine.ledger import service as ledger
from engine.reconciliation import service as reconciliation
from engine.runtime.database import Database, Role
from engine.runtime.exchanges.engine import Exchanges
from engine.runtime.ranges import beside_each_other
from engine.runtime.settings import Settings
from engine.tenancy import service as tenancy
from engine.tenancy.service import Tenant, Tenants
from engine.worker import JOBS, SCHEDULED

PACK, PRODUCT, CHANNEL = "rw-ejoheza", "ltss", "mtn-momo"
FIRST_YEAR, AGE = 2019, 55
YEARS = 40
JOINED_ON = date(2018, 12, 20)
FILE_ROWS = 5_000

_OFFICER, _CHECKER = "staff:1", "staff:2"
_CLASSES = ("ubudehe-1", "ubudehe-2", "ubudehe-3", "ubudehe-4")
_FEE = """
[[rule]]
kind = "fee"
id = "yearly"
charged = "year"
payee = "operator"
percent = "0.3"
percent_of = "assets"
part_period = "days"
taken_from = "cash"
order = { pots = ["savings"], pots_by = "in-order", origins = ["own", "state-match"], origins_by = "in-order" }
rank = 1
when_short = "take-what-is-there"
rounding = "down"
source = "invented"
confidence = "high"
"""


@dataclass(frozen=True, slots=True)
class Life:
    """What becomes of the n-th member, by itself."""

    index: int

    @property
    def born_on(self) -> date:
        """Return the day of birth: 18 to 54 years old in the first year."""
        return date(FIRST_YEAR - 18 - self.index * 7 % 37, 1 + self.index % 12, 1 + self.index % 28)

    @property
    def retires_in(self) -> int:
        """Return the year that begins with the member old enough."""
        return self.born_on.year + AGE + 1

    @property
    def dies_in(self) -> int:
        """Return the year of death; 4 of 1,000 die in each."""
        return FIRST_YEAR + 1 + self.index * 2_654_435_761 % (1 << 32) * 250 // (1 << 32)

    def pays(self, year: int) -> int:
        """Return the francs paid in a year; 0 where they do not pay: every eleventh year is a bad one."""
        is_saving = year < min(self.retires_in, self.dies_in + 1) and (self.index + year) % 11
        return 15_000 + self.index % 8 * 1_500 if is_saving else 0

    def row(self) -> Mapping[str, str]:
        """Return the member's row of a file of people to enrol."""
        sex = "78"[self.index % 2]
        number = f"1{self.born_on.year}{sex}{self.index:07d}001"
        return {
            "product": PRODUCT, "full_name": "Bench Example", "born_on": self.born_on.isoformat(),
            "sex": {"8": "male", "7": "female"}[sex], "document": "nid", "document_number": number, "language": "en",
            "nominee_1_name": "Second Example", "nominee_1_relationship": "daughter", "nominee_1_share_bp": "10000",
        }  # fmt: skip


@dataclass(slots=True)
class Round:
    """A simulated year: seconds by what was done, and what came of it."""

    year: int
    seconds: dict[str, float] = field(default_factory=dict)
    transfers: int = 0
    peak_kib: int = 0

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Count the seconds of what is done inside."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - began


def measure(settings: Settings, scale: float, years: int = YEARS) -> dict[str, Any]:
    """Return the seconds of each simulated year, their ratio to a bare insert of the ledger rows, and Python's memory."""
    with stage(settings) as where:
        return asyncio.run(live(where, int(100_000 * scale), years))


async def live(where: Stage, members: int, years: int) -> dict[str, Any]:
    """Let so many members live so many years in a migrated database, and return what it took.

    Raises:
        AssertionError: something came out otherwise than the world was drawn, or a law of the books is broken.
    """
    db = Database(where.app_url)
    home = Path(tempfile.mkdtemp(prefix="akiba-lives-"))
    try:
        tenants = Tenants.load([_pack(home)], KINDS, RUNNERS)
        tenant = await tenants.create_tenant(db, PACK)
        scheme = _Scheme(where, db, tenants, tenant, home, members)
        rounds = [await scheme.join()]
        for year in range(FIRST_YEAR, FIRST_YEAR + years):
            rounds.append(await scheme.year(year))
            _tell(rounds[-1])
        offences, checked = await scheme.check()
        rows, bare = await asyncio.to_thread(_bare, where, tenant.tenant_id)
    finally:
        await db.dispose()
        shutil.rmtree(home, ignore_errors=True)
    assert not offences, offences
    taken = [sum(one.seconds.values()) for one in rounds]
    steps = sorted({what for one in rounds for what in one.seconds})
    return {
        "members": members,
        "years": years,
        "retired": scheme.retired,
        "deaths": scheme.deaths,
        "instalments": scheme.instalments,
        "ledger_rows": rows,
        "seconds_joining": round(taken[0], 1),
        "seconds_a_year": [round(one, 1) for one in taken[1:]],
        "seconds_by_step": {what: round(sum(one.seconds.get(what, 0.0) for one in rounds), 1) for what in steps},
        "seconds_checking": round(checked, 1),
        "laws_broken": len(offences),
        "ledger_rows_per_second": round(rows / sum(taken)),
        "bare_ledger_rows_per_second": round(rows / bare),
        "ratio_to_bare_insert": round(bare / sum(taken), 4),
        "python_kib_after_joining": rounds[0].peak_kib,
        "python_kib_after_half_the_years": rounds[(years + 1) // 2].peak_kib,
        "python_kib_at_most": rounds[-1].peak_kib,
        "denominator": "insert into bare_transfers select … (as many rows, same keys and indexes)",
    }


def _pack(home: Path) -> Path:
    """Return a copy of the scheme's pack with a fee."""
    folder = home / PACK
    shutil.copytree(PACKS / PACK, folder)
    first = min((folder / PRODUCT / "rules").glob("*.toml"))
    first.write_text(first.read_text(encoding="utf-8") + _FEE, encoding="utf-8")
    return folder


def _tell(one: Round) -> None:
    steps = ", ".join(f"{what} {seconds:.1f}" for what, seconds in sorted(one.seconds.items()))
    sys.stderr.write(f"{one.year}: {sum(one.seconds.values()):.1f} s, {one.transfers} ledger rows in all; {steps}\n")


def _csv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue().encode()


class _Scheme:
    """The scheme, its staff, and the world around it."""

    def __init__(self, where: Stage, db: Database, tenants: Tenants, tenant: Tenant, home: Path, members: int) -> None:
        self._where = where
        self.retired = self.deaths = self.instalments = 0
        self._db, self._tenants, self._tenant = db, tenants, tenant
        self._keys, self._home, self._members = keys_in_a_folder(), home, members
        self._payers = Payers(Exchanges(db, self._keys, {}, lambda *_: ""))
        self._bank = 0
        self._round = Round(0)

    # -- joining

    async def join(self) -> Round:
        """Take everybody in by files, and record what the social register says of them."""
        self._round = Round(JOINED_ON.year)
        await self._at(JOINED_ON)
        for first in range(0, self._members, FILE_ROWS):
            lives = [Life(index) for index in range(first, min(first + FILE_ROWS, self._members))]
            with self._round.timed("joining"):
                raw = self._people(lives)
                report = await enrolment.import_members(
                    self._db, self._keys, self._tenant, raw, name=f"members-{first}.csv", actor="partner:1"
                )
            assert not report.refused, report.refused[:3]
            numbers = [number for _, number in sorted(report.numbers.items())]
            (self._home / f"numbers-{first}").write_text("\n".join(numbers), encoding="ascii")
            with self._round.timed("classes"):
                await self._tell_classes(numbers, first)
        with self._round.timed("log"):
            await self._append()
        with self._round.timed("vacuum"):
            await asyncio.to_thread(_vacuum, self._where)
        return await self._ended()

    def _people(self, lives: Sequence[Life]) -> bytes:
        consents = " ".join(
            f"{consent}={text.version}"
            for consent in ("scheme-rules", "personal-data")
            if (text := self._tenant.pack.consent(consent, "en")) is not None
        )
        told = {"consents": consents, "consent_language": "en", "consent_channel": "partner"}
        rows = [{**life.row(), **told} for life in lives]
        return _csv(list(rows[0]), [list(row.values()) for row in rows])

    async def _tell_classes(self, numbers: Sequence[str], first: int) -> None:
        async with self._db.unit_of_work(self._tenant.tenant_id) as session:
            found = await identity.members_by_number(session, self._keys, numbers)
            words = [
                StatusWord(
                    member_id=found[number].member_id, attribute=CLASS, value=_CLASSES[index % len(_CLASSES)],
                    source="social registry", as_of=JOINED_ON,
                )
                for index, number in enumerate(numbers, first)
            ]  # fmt: skip
            await enrolment.record_statuses(session, self._tenant, words, actor="partner:1")

    # -- a year

    async def year(self, year: int) -> Round:
        """Live through a year: each month its payroll, and each thing in its season."""
        self._round = Round(year)
        for month in range(1, 13):
            await self._at(date(year, month, 2))
            if month == 2 and year > FIRST_YEAR:
                await self._credit(year - 1)
                await self._match(year - 1)
                await self._fees(year - 1)
                await self._retire(year)
            await self._payroll(date(year, month, 1))
            if month == 3:
                await self._pay(year)
            if month == 6:
                await self._bury(year)
            async with self._db.unit_of_work(self._tenant.tenant_id, role=Role.JOBS) as session:
                await ledger.roll_up(session)
            with self._round.timed("log"):
                await self._append()
        with self._round.timed("vacuum"):
            await asyncio.to_thread(_vacuum, self._where)
        for name in SCHEDULED:
            with self._round.timed(name):
                await JOBS[name](self._db, self._keys, self._tenants, tenant_id=self._tenant.tenant_id)
        return await self._ended()

    async def _pay(self, year: int) -> None:
        """Let members' payments come by files, and the bank's statements show them."""
        day = date(year, 3, 2)
        for first, numbers in self._files():
            due = [(index, number, paid) for index, number in numbers if (paid := Life(index).pays(year))]
            if not due:
                continue
            raw = _csv(
                ("member", "amount", "currency", "channel", "reference", "paid_on"),
                [
                    (number, str(paid), "RWF", CHANNEL, f"P{year}-{index}", day.isoformat())
                    for index, number, paid in due
                ],
            )
            with self._round.timed("contributions"):
                report = await contributions.import_file(
                    self._db, self._keys, self._tenant, raw, name=f"payments-{year}-{first}.csv", actor="partner:1"
                )
            assert (report.received, report.refused) == (len(due), []), report
            await self._state(day, f"payments-{year}-{first}", [(f"P{year}-{index}", paid) for index, _, paid in due])

    async def _state(self, day: date, name: str, lines: Sequence[tuple[str, int]]) -> None:
        """Import the bank's statement of payments, (reference, francs)."""
        rows = []
        for reference, paid in lines:
            self._bank += paid
            rows.append((day.isoformat(), reference, str(paid), "RWF", str(self._bank)))
        raw = _csv(("date", "reference", "amount", "currency", "balance"), rows)
        source = reconciliation.source_of(self._tenant, CHANNEL, adapter)
        with self._round.timed("statements"):
            report = await reconciliation.import_statement(
                self._db, self._tenant, self._keys, source, raw, f"{name}.csv", CHANNEL, _OFFICER
            )
        assert (report.matched, report.gap) == (len(lines), 0), report

    async def _credit(self, year: int) -> None:
        """Declare a year's rate and the prices of the months that payrolls need, and credit the interest."""
        months = [(date(year + 1, month, 1), 100 + (year - FIRST_YEAR) * 4) for month in range(1, 13)]
        await self._figures("declared-interest", [(date(year, 1, 1), 4)], date(year + 1, 1, 31))
        await self._figures("consumer-prices", months, date(year + 1, 2, 1))
        with self._round.timed("interest"):
            report = await funds.credit_interest(self._db, self._tenant, PRODUCT, date(year, 12, 31), _OFFICER)
        assert not report.waiting, report

    async def _figures(self, series: str, points: Sequence[tuple[date, int]], published: date) -> None:
        head = "effective_from,published_on,value,source,confidence\n"
        lines = [f"{day.isoformat()},{published.isoformat()},{value},invented,low\n" for day, value in points]
        async with self._db.unit_of_work(self._tenant.tenant_id) as session:
            proposed = await tenancy.propose_figures(
                session, self._tenant, series, (head + "".join(lines)).encode(), name=series, actor=_OFFICER
            )
            for point in proposed.proposed:
                await tenancy.accept_figure(session, self._tenant, point, actor=_CHECKER)

    async def _match(self, year: int) -> None:
        """Claim a year's state money by two people; it is paid, shown by a statement, and shared."""
        tenant, reference = self._tenant, f"STATE-{year}"
        with self._round.timed("state money"):
            async with self._db.unit_of_work(tenant.tenant_id) as session:
                claim = await contributions.prepare_claim(session, tenant, PRODUCT, date(year, 12, 31), actor=_OFFICER)
            if isinstance(claim, NothingToClaim) or not claim.total:
                return
            async with self._db.unit_of_work(tenant.tenant_id) as session:
                await contributions.send_claim(session, tenant, claim.claim_no, claim.digest, actor=_CHECKER)
                await contributions.receive_match(
                    session, tenant, claim.claim_no, amount=str(claim.total), channel=CHANNEL, reference=reference,
                    actor=_OFFICER,
                )  # fmt: skip
        await self._state(date(year + 1, 2, 2), f"state-{year}", [(reference, claim.total)])
        with self._round.timed("state money"):
            async with self._db.unit_of_work(tenant.tenant_id) as session:
                shared = await contributions.share_match(session, tenant, claim.claim_no, actor=_OFFICER)
        assert shared.given == claim.total, shared

    async def _fees(self, year: int) -> None:
        with self._round.timed("fees"):
            run = await benefits.propose_fees(self._db, self._tenant, PRODUCT, date(year, 12, 31), actor=_OFFICER)
            done = await benefits.approve_fees(self._db, self._tenant, run.run_no, run.digest, actor=_CHECKER)
        assert done.state == "done", done

    async def _payroll(self, month: date) -> None:
        with self._round.timed("payroll"):
            counted = await benefits.propose_payroll(self._db, self._tenant, PRODUCT, month, actor=_OFFICER)
            number, digest = counted.row.run_no, counted.row.digest
            await benefits.approve_payroll(self._db, self._tenant, number, digest=digest, actor=_CHECKER)
            await benefits.carry_on_payrolls(self._db, self._keys, self._tenant, self._payers)
        self.instalments += counted.totals.pensions

    async def _retire(self, year: int) -> None:
        """Let whoever is old enough claim: most all at once, every fourth in instalments of five years."""
        for _, numbers in self._files():
            due = [
                (index, number)
                for index, number in numbers
                if Life(index).retires_in == year and Life(index).dies_in >= year
            ]
            with self._round.timed("retirements"):
                await beside_each_other(self._db, due, self._claim)
            self.retired += len(due)

    async def _claim(self, member: tuple[int, str]) -> None:
        index, number = member
        wanted = [("own-instalments", None, 5), ("all-at-once", None, None)]
        for rule, lump_bp, years in (*wanted[index % 4 > 0 :], ("quarter-and-instalments", 2_500, 20)):
            request = Request(rule=rule, ground="retirement", lump_bp=lump_bp, years=years)
            async with self._db.unit_of_work(self._tenant.tenant_id) as session:
                found = await enrolment.find_member(session, self._keys, number)
                claim = await benefits.open_claim(
                    session, self._keys, self._tenant, found,
                    kind="retirement", request=request, minor=None, key=f"{number}-{rule}", actor=_OFFICER,
                )  # fmt: skip
            if claim.state == "decided":
                await self._approve(claim)
                return
        raise AssertionError(number)

    async def _approve(self, claim: ClaimRow) -> None:
        done = await benefits.approve_claim(self._db, self._tenant, claim.claim_id, digest=claim.digest, actor=_CHECKER)
        assert done.state == "payable", done

    async def _bury(self, year: int) -> None:
        """Report the year's deaths, let the worker open their claims, and approve these."""
        for _, numbers in self._files():
            dead = [number for index, number in numbers if Life(index).dies_in == year]
            if not dead:
                continue
            with self._round.timed("deaths"):
                async with self._db.unit_of_work(self._tenant.tenant_id) as session:
                    found = await identity.members_by_number(session, self._keys, dead)
                    for number in dead:
                        await enrolment.report_death(
                            session, self._keys, self._tenant, found[number].member_id,
                            died_on=date(year, 6, 1), record=number, actor=_OFFICER,
                        )  # fmt: skip
            self.deaths += len(dead)
        with self._round.timed("deaths"):
            while await benefits.follow_deaths(self._db, self._keys, self._tenant):
                pass
            while True:
                async with self._db.unit_of_work(self._tenant.tenant_id) as session:
                    claims = await benefits.list_claims(session, state="decided", most=1_000)
                if not claims:
                    break
                await beside_each_other(self._db, claims, self._approve)

    # -- beside

    def _files(self) -> Iterator[tuple[int, Iterator[tuple[int, str]]]]:
        """Return the members as their partner keeps them, file by file: its first place, (place, number)."""
        for first in range(0, self._members, FILE_ROWS):
            numbers = (self._home / f"numbers-{first}").read_text(encoding="ascii").split("\n")
            yield first, iter(enumerate(numbers, first))

    async def _at(self, day: date) -> None:
        async with self._db.unit_of_work(self._tenant.tenant_id) as session:
            at = datetime(day.year, day.month, day.day, 8, tzinfo=UTC)
            await tenancy.advance_clock(session, self._tenant, at, "development")

    async def _append(self) -> None:
        await audit.append(self._db, self._keys, self._tenant.tenant_id, self._tenant.pack.log_origin)

    async def _ended(self) -> Round:
        async with self._db.unit_of_work(self._tenant.tenant_id) as session:
            self._round.transfers = int(await session.scalar(text("select count(*) from transfers")) or 0)
        self._round.peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return self._round

    async def check(self) -> tuple[list[str], float]:
        """Return which laws of the books are broken, and the seconds that it took to look."""
        began = time.perf_counter()
        found = []
        for law in LAWS:
            async with self._db.unit_of_work(self._tenant.tenant_id) as session:
                found += [str(one) for one in await ledger.check(session, [law])]
        return found, time.perf_counter() - began


def _vacuum(where: Stage) -> None:
    """Do what autovacuum has a whole year for, where a year lasts seconds."""
    with psycopg.connect(where.super_url, autocommit=True) as connection:
        connection.execute("vacuum analyze")


def _bare(where: Stage, tenant_id: int) -> tuple[int, float]:
    """Return how many ledger rows the tenant has, and the seconds that they take by themselves."""
    with psycopg.connect(where.super_url, autocommit=True) as connection:
        connection.execute("create table bare_transfers (like transfers including all)")
        connection.execute("vacuum analyze transfers")
        connection.execute("checkpoint")
        start = time.perf_counter()
        done = connection.execute(
            "insert into bare_transfers select * from transfers where tenant_id = %s", (tenant_id,)
        )
        return done.rowcount, time.perf_counter() - start
