"""A small scheme whose events are posted through the ledger, and what tests of the log share."""

import secrets
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import text

from engine.audit.rules.tables import Column, ExportTable
from engine.kernel.ids import house_member, new_member_id
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Transfer
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore

VERIFY = Path(__file__).parents[3] / "engine/audit/package/verify.py"
COLLECTIONS = Account("collections", "INR", party="upi")
TRANSIT = Account("orders-in-transit", "INR", product="nps-lite", fund="SM001009")
CASH = Account("cash", "INR", product="nps-lite", pot="retirement", origin="own")
UNITS = Account("units", "SM001009", product="nps-lite", pot="retirement", origin="own", fund="SM001009")
ISSUED = Account("units-issued", "SM001009", fund="SM001009")
RESIDUE = Account("residue", "SM001009", fund="SM001009", party="scheme")

# Stands in for the tables that other capabilities hand to the export.
PRICES = ExportTable(
    "prices",
    "Published prices",
    (
        Column("fund", "string", "The fund's code"),
        Column("price_on", "date", "The day of the price"),
        Column("price", "number", "Major units of money for one unit"),
        Column("note", "string", "A remark"),
    ),
    """select * from (values ('SM001009', date '2023-04-03', 32.6034, '=1+1'), ('SM001009', '2023-04-04', 32.7, null),
         ('SM002009', '2023-04-03', 30, '''quoted''')) p(fund, price_on, price, note) where price_on < %(until)s order by 1, 2""",
    ("fund", "price_on"),
)
MEMBERS = ExportTable(
    "members",
    "Members",
    (Column("member", "member", "The pseudonym"), Column("is_active", "boolean", "Whether they save")),
    """select distinct member_id, true from transfers where tenant_id = %(tenant_id)s and member_id > 0 order by 1""",
    ("member",),
)
TABLES = (MEMBERS, PRICES)


@pytest.fixture
def keys(tmp_path: Path) -> FileKeyStore:
    return FileKeyStore(tmp_path / "keys.toml")


@dataclass
class Scheme:
    """Posts events of one tenant."""

    db: Database
    tenant_id: int
    codes: dict[Account, int]
    actor: int
    pack: int
    decision: int

    @property
    def origin(self) -> str:
        return f"xx-{self.tenant_id}.example/audit"

    @property
    def house(self) -> int:
        return house_member(self.tenant_id)

    def paid(self, member: int, amount: int, *, day: date = date(2023, 4, 3), body: object = None) -> Entry:
        return Entry(
            member_id=member,
            kind=EventKind.CONTRIBUTION_RECEIVED,
            business_date=day,
            actor=self.actor,
            pack=self.pack,
            decision=self.decision,
            body=body if isinstance(body, dict) else {"amount": str(amount), "channel": "upi", "tries": 1},
            transfers=(Transfer(amount, self.codes[COLLECTIONS], self.codes[CASH]),),
        )

    def enrolled(self, member: int, *, day: date = date(2023, 4, 1)) -> Entry:
        return Entry(member_id=member, kind=EventKind.MEMBER_ENROLLED, business_date=day, actor=self.actor)

    async def post(self, entries: Sequence[Entry]) -> list[int]:
        async with self.db.unit_of_work(self.tenant_id) as session:
            return [posted.event_id for posted in await ledger.post(session, entries)]

    async def allot(self, members: Sequence[int], amount: int, units: int, *, day: date = date(2023, 4, 5)) -> int:
        """One event of the house whose transfers belong to many members, as the allotment writes it by SQL."""
        async with self.db.unit_of_work(self.tenant_id) as session:
            event_id = await session.scalar(text("select next_batch_id()"))
            await session.execute(
                text("""insert into events (member_id, event_id, body_digest, tenant_id, business_date, actor, pack, decision, kind, body)
                        values (:house, :e, 0, :t, :day, :actor, :pack, 0, :kind, '{"price": 32.6034, "scale": 4}')"""),
                {"house": self.house, "e": event_id, "t": self.tenant_id, "day": day, "actor": self.actor, "pack": self.pack, "kind": int(EventKind.UNITS_ALLOTTED)},
            )  # fmt: skip
            await session.execute(
                text("""insert into transfers (member_id, event_id, amount, tenant_id, debit, credit, line)
                        select m, :e, a, :t, d, c, l from unnest(cast(:members as bigint[])) m
                          cross join (values (cast(:amount as bigint), :cash, :transit, 1), (:units, :issued, :held, 2)) x(a, d, c, l)
                        union all select :house, :e, 7, :t, :issued, :residue, 1"""),
                {"e": event_id, "t": self.tenant_id, "members": list(members), "amount": amount, "units": units, "house": self.house,
                 "cash": self.codes[CASH], "transit": self.codes[TRANSIT], "issued": self.codes[ISSUED], "held": self.codes[UNITS], "residue": self.codes[RESIDUE]},
            )  # fmt: skip
            await session.execute(
                text("insert into batches (tenant_id, batch_id, n, recorded_at) values (:t, :e, 1, clock_timestamp())"),
                {"t": self.tenant_id, "e": event_id},
            )
            await session.execute(
                text("insert into unsequenced (tenant_id, batch_id, n) values (:t, :e, 1)"),
                {"t": self.tenant_id, "e": event_id},
            )
        return int(event_id)

    async def year(self, members: int = 5) -> list[int]:
        """Post what a package of every kind of row needs; return the members."""
        people = sorted(new_member_id() for _ in range(members))
        await self.post([self.enrolled(person) for person in people])
        await self.post([self.paid(person, 10_000 + i) for i, person in enumerate(people)])
        await self.post(
            [self.paid(people[0], 1_05, day=date(2023, 5, 2), body={"words": 'बचत "ok" \u2028 \n', "n": 1.50})]
        )
        order = Entry(
            member_id=self.house,
            kind=EventKind.ORDER_PLACED,
            business_date=date(2023, 4, 4),
            actor=self.actor,
            pack=self.pack,
            transfers=(Transfer(9_000 * members, self.codes[TRANSIT], self.codes[COLLECTIONS]),),
        )
        await self.post([order])
        await self.allot(people, 9_000, 27_604)
        return people


@pytest.fixture
async def scheme(db: Database, tenant_id: int) -> Scheme:
    async with db.unit_of_work(tenant_id) as session:
        await ledger.open_asset(session, "SM001009", 4, kind="units")
        return Scheme(
            db,
            tenant_id,
            await ledger.account_codes(session, [COLLECTIONS, TRANSIT, CASH, UNITS, ISSUED, RESIDUE]),
            await ledger.actor_id(session, "partner:7"),
            await ledger.pack_id(session, secrets.token_hex(32), {"name": "test"}),
            await ledger.decision_id(session, {"rules": ["contribution-amount@2010-04-01"], "limit": 1000}),
        )


def run(*command: str, cwd: Path | None = None) -> tuple[int, str, str]:
    """Run a program; return (status, output, errors)."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def files_of(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def stand_alone(folder: Path, *more: str) -> tuple[int, list[str]]:
    """Run the verifier that is bundled into exports, our own copy of it, without our packages; return (status, lines)."""
    status, output, errors = run(sys.executable, "-I", str(VERIFY), str(folder), *more)
    assert not errors, errors
    return status, output.splitlines()


@pytest.fixture
def hledger() -> str:
    program = shutil.which("hledger")
    if program is None:
        pytest.skip("hledger")
    return program
