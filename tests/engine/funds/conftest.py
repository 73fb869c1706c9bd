"""A scheme of two products with funds, members in groups, and receipts posted through the ledger."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from sqlalchemy import text

from engine.app import KINDS
from engine.contributions import queries as contribution_queries
from engine.contributions.rules import Payment
from engine.funds import queries as fund_queries
from engine.funds import service as funds
from engine.funds.rules import RULE_KINDS
from engine.kernel.ids import claim_digest, house_member, new_member_id
from engine.kernel.price_files import PriceFile, PriceFileRefused, PublishedPrice
from engine.ledger import queries as ledger_queries
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Offence, Transfer
from engine.reconciliation import queries as reconciliation_queries
from engine.runtime.database import Database, Role
from engine.runtime.key_file import FileKeyStore
from engine.runtime.sealing import seal
from engine.tenancy.rules.books import decode_book
from engine.tenancy.service import Tenant, load_pack

ROOT = Path(__file__).parents[3]
PRODUCT = "nps-lite"
FUNDS = ("SM001009", "SM002009", "SM003003")
BOOK = """
[[rule]]
kind = "funds"
id = "funds"
funds = [
  { code = "SM001009", name = "First", manager = "PFM001", unit_scale = 4 },
  { code = "SM002009", name = "Second", manager = "PFM002", unit_scale = 4 },
  { code = "SM003003", name = "Third", manager = "PFM003", unit_scale = 3 },
]
source = "test"
confidence = "high"

[[rule]]
kind = "fund-choice"
id = "fund-choice"
by_group = { first = { SM001009 = 10000 }, second = { SM002009 = 10000 }, mixed = { SM001009 = 3333, SM002009 = 3333, SM003003 = 3334 } }
source = "test"
confidence = "high"

[[rule]]
kind = "price-tolerance"
id = "price-tolerance"
move_bp = 500
source = "test"
confidence = "high"

[[rule]]
kind = "dealing"
id = "dealing"
cut_off = "15:00"
residue_to = "scheme"
source = "test"
confidence = "high"
"""
LAWS = (
    *ledger_queries.LAWS,
    *contribution_queries.LAWS,
    *fund_queries.LAWS,
    *reconciliation_queries.LAWS,
)


def book_of(text_: str, day: str = "2010-04-01") -> Any:
    """The rule book that one dated file says."""
    book, problems = decode_book(PRODUCT, {f"{PRODUCT}/rules/{day}.toml": text_.encode()}, RULE_KINDS)
    assert not problems, problems
    return book


@dataclass
class Adapter:
    """A fund manager whose files say what the test says, one "code,price" a line."""

    managers: dict[str, str]

    def read(self, raw: bytes, name: str, day: date | None) -> PriceFile:
        if day is None:
            raise PriceFileRefused(file=name, row=None, field="date", reason="no-day-in-name")
        rows = [line.split(",") for line in raw.decode().splitlines() if line and not line.startswith("#")]
        if not rows:
            raise PriceFileRefused(file=name, row=None, field="date", reason="no-row-of-the-day")
        prices = tuple(
            PublishedPrice(code, self.managers.get(code, "PFM009"), "A SCHEME", day, Decimal(price), number)
            for number, (code, price) in enumerate(rows, 1)
        )
        return PriceFile(name, "", day, prices, ())


ADAPTER = Adapter({"SM001009": "PFM001", "SM002009": "PFM002", "SM003003": "PFM003"})


@dataclass
class Scheme:
    """A tenant with what tests do to it."""

    db: Database
    tenant: Tenant
    keys: FileKeyStore

    async def clock(self, instant: datetime | str) -> None:
        when = datetime.fromisoformat(instant).replace(tzinfo=UTC) if isinstance(instant, str) else instant
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            await session.execute(
                text("update tenants set clock_at = :at where tenant_id = :t"),
                {"at": when, "t": self.tenant.tenant_id},
            )

    async def members(self, groups: Iterable[str], joined_on: date = date(2023, 1, 1)) -> list[int]:
        ids = [(new_member_id(), group) for group in groups]
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            await session.execute(
                text("""with taken as (
                          insert into members (member_id, enrolled_event, tenant_id, joined_on, product, group_code)
                          select m, 0, :t, :joined, :product, g from unnest(cast(:ids as bigint[]), cast(:groups as text[])) u(m, g)
                          returning *)
                        insert into memberships (member_id, since_event, tenant_id, joined_on, from_on, product, group_code)
                        select member_id, 0, tenant_id, joined_on, joined_on, product, group_code from taken"""),
                {
                    "t": self.tenant.tenant_id,
                    "joined": joined_on,
                    "product": PRODUCT,
                    "ids": [one for one, _ in ids],
                    "groups": [group for _, group in ids],
                },
            )
        return [one for one, _ in ids]

    async def receive(
        self,
        payments: Sequence[tuple[int | None, dict[str, int], str]],
        *,
        channel: str = "upi",
        origin: str = "own",
    ) -> list[int]:
        """Post (member, amount by pot, reference); None is an unknown member, so the payment is suspended."""
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            pots = {pot for _, parts, _ in payments for pot in parts}
            collections, suspense = (Account(kind, "INR", party=channel) for kind in ("collections", "suspense"))
            cash = {pot: Account("cash", "INR", PRODUCT, pot, origin) for pot in pots}
            codes = await ledger.account_codes(session, {collections, suspense, *cash.values()})
            actor = await ledger.actor_id(session, "partner:1")
            now = await ledger.scheme_now(session)
            entries = [
                Entry(
                    member_id=member or house_member(self.tenant.tenant_id),
                    kind=EventKind.CONTRIBUTION_RECEIVED if member else EventKind.CONTRIBUTION_SUSPENDED,
                    business_date=now.date(),
                    actor=actor,
                    body={"amount": str(sum(parts.values())), "channel": channel},
                    claims=(claim_digest(self.tenant.tenant_id, f"provider:{channel}", reference),),
                    transfers=[
                        Transfer(amount, codes[collections], codes[cash[pot] if member else suspense])
                        for pot, amount in parts.items()
                    ],
                )
                for member, parts, reference in payments
            ]
            posted = [
                fate for i in range(0, len(entries), 4096) for fate in await ledger.post(session, entries[i : i + 4096])
            ]
            suspended = [
                contribution_queries.ToSuspend(
                    fate.event_id,
                    sum(parts.values()),
                    now.date(),
                    "unknown-member",
                    channel,
                    self.sealed(fate.event_id, sum(parts.values()), channel, reference),
                )
                for fate, (member, parts, reference) in zip(posted, payments, strict=True)
                if member is None
            ]
            if suspended:
                await contribution_queries.add_suspense(session, suspended)
        return [fate.event_id for fate in posted]

    def sealed(self, event_id: int, minor: int, channel: str, reference: str) -> bytes:
        """The document of a suspended payment."""
        amount = str(Decimal(minor) / 100)
        paid = Payment(
            member="?", amount=amount, currency="INR", channel=channel, reference=reference, sent_by="partner:1"
        )
        return seal(self.keys, self.tenant.tenant_id, "suspense", event_id, msgspec.json.encode(paid))

    async def allocate(self, receipts: Sequence[tuple[int, int]], *, channel: str = "upi") -> funds.Allocated:
        """Allocate (member, event) as reconciliation would, without a statement."""
        async with self.db.unit_of_work(self.tenant.tenant_id, role=Role.JOBS) as session:
            account = Account("collections", "INR", party=channel)
            code = (await ledger.account_codes(session, [account]))[account]
            return await funds.allocate(
                session, self.tenant, [funds.ReconciledReceipt(member, event, code) for member, event in receipts]
            )

    async def price(
        self, day: str, prices: dict[str, str], *, actor: str = "staff:1", note: str = ""
    ) -> funds.PriceImport:
        raw = "\n".join([f"#{day} {note}", *(f"{code},{price}" for code, price in prices.items())]).encode()
        return await funds.import_prices(
            self.db, self.tenant, ADAPTER, raw, f"{day}.csv", date.fromisoformat(day), actor
        )

    async def deal(self, day: str, **options: Any) -> funds.DealingReport:
        return await funds.run_dealing(self.db, self.tenant, date.fromisoformat(day), "staff:2", **options)

    async def broken(self, *, but: frozenset[str] = frozenset()) -> list[Offence]:
        """What breaks the laws of the books."""
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await ledger.check(session, [law for law in LAWS if law.name not in but])

    async def rows(self, sql: str, **parameters: Any) -> list[Any]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return [tuple(row) for row in await session.execute(text(sql), parameters)]

    async def units(self, member: int) -> dict[str, int]:
        """A member's units by fund."""
        found = await self.rows(
            """select c.fund, sum(b.credits - b.debits)::bigint from balances b join chart c on c.code = b.code
                where b.member_id = :m and c.kind = 'units' group by 1""",
            m=member,
        )
        return dict(found)


UNMATCHED = frozenset({"only-reconciled-cash-is-dealt"})


@pytest_asyncio.fixture
async def scheme(db: Database, tenant_id: int, tmp_path: Path) -> Scheme:
    """A scheme on 3 April 2023, ten in the morning in India."""
    return await scheme_of(db, tenant_id, tmp_path)


async def scheme_of(db: Database, tenant_id: int, folder: Path) -> Scheme:
    """Make a tenant a scheme on 3 April 2023, ten in the morning in India."""
    pack = load_pack(ROOT / "tenants/in-nps-lite", KINDS)
    pack = dataclasses.replace(pack, books={PRODUCT: book_of(BOOK)})
    async with db.unit_of_work(tenant_id) as session:
        code = await session.scalar(text("select code from tenants where tenant_id = :t"), {"t": tenant_id})
        pack_id = await ledger.pack_id(session, pack.sha256, {})
    scheme = Scheme(db, Tenant(tenant_id, code, pack, pack_id), FileKeyStore(folder / "keys.toml"))
    await scheme.clock("2023-04-03T04:30:00")
    return scheme


@pytest.fixture
def unmatched() -> frozenset[str]:
    """The law that does not hold where a test allocates without a statement."""
    return UNMATCHED
