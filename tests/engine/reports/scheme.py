"""A scheme in a database, brought to life by the engine's own use cases: enrol, pay, reconcile, price, deal."""

import itertools
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

from sqlalchemy import text

from engine.app import KINDS
from engine.contributions import rules as contribution_rules
from engine.contributions import service as contributions
from engine.contributions.rules import Payment, Receipt
from engine.enrolment import queries as enrolment_queries
from engine.funds import rules as fund_rules
from engine.funds import service as funds
from engine.funds.service import ReconciledReceipt
from engine.identity import service as identity
from engine.identity.rules import MemberRef, NewMember, Person, VaultDocument
from engine.kernel.amounts import Asset
from engine.kernel.clock import business_date
from engine.kernel.ids import house_member, new_member_id
from engine.kernel.price_files import PriceFile, PublishedPrice
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind
from engine.runtime.database import Database, Role
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant, Tenants, advance_clock, load_pack
from tests.factories.suspense import give

TENANTS = Path(__file__).resolve().parents[3] / "tenants"
_numbers = itertools.count(1)


@dataclass
class Written:
    """A price file that is given as its prices."""

    prices: Mapping[str, str]
    managers: Mapping[str, str]
    day: date

    def read(self, raw: bytes, name: str, day: date | None) -> PriceFile:  # noqa: ARG002 - the port's own shape
        rows = tuple(
            PublishedPrice(fund, self.managers[fund], "", self.day, Decimal(price), row)
            for row, (fund, price) in enumerate(self.prices.items(), 1)
        )
        return PriceFile(name=name, sha256="0" * 64, day=self.day, prices=rows, refused=(), skipped=())


@dataclass
class Scheme:
    """One tenant and what is done in it."""

    db: Database
    keys: FileKeyStore
    tenants: Tenants
    tenant: Tenant
    numbers: dict[str, MemberRef] = field(default_factory=dict)

    @property
    def money(self) -> Asset:
        return Asset.currency(self.tenant.pack.manifest.currency)

    async def today(self) -> date:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return business_date(await ledger.scheme_now(session), self.tenant.time_zone)

    async def advance(self, day: date, at: time = time(9)) -> None:
        """Set the scheme's clock to a time of day in its own zone."""
        to = datetime.combine(day, at, ZoneInfo(self.tenant.time_zone)).astimezone(UTC)
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            await advance_clock(session, self.tenant, to, "development")

    async def enrol(self, *, group: str = "", name: str = "Asha Kumari", language: str = "") -> str:
        """Take in a member; return their number."""
        product = self.tenant.pack.manifest.products[0].code
        member_id = new_member_id()
        shape = self.tenant.pack.manifest.member_number
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            day = business_date(await ledger.scheme_now(session), self.tenant.time_zone)
            numbers = await identity.reserve_numbers(
                session, self.keys, [member_id], digits=shape.digits, prefix=shape.prefix
            )
            entry = Entry(
                member_id=member_id,
                kind=EventKind.MEMBER_ENROLLED,
                business_date=day,
                actor=await ledger.actor_id(session, "partner:1"),
                pack=self.tenant.pack_id,
                body={"product": product},
            )
            (posted,) = await ledger.post(session, [entry])
            person = Person(full_name=name, born_on=date(1990, 1, 1), language=language)
            document = VaultDocument(member_number=numbers[member_id], person=person)
            await identity.admit(
                session, self.keys, [NewMember(member_id, posted.event_id, product, day, group, document)]
            )
            joined = enrolment_queries.Membership(member_id, product, day, day, group)
            await enrolment_queries.add_memberships(session, [(joined, posted.event_id)])
            found = await identity.members_by_number(session, self.keys, [numbers[member_id]])
        self.numbers |= found
        return numbers[member_id]

    async def pay(
        self, member: str, amount: str, *, paid_on: date | None = None, channel: str | None = None
    ) -> Receipt:
        """Receive a payment as the API would."""
        payment = Payment(
            member=member,
            amount=amount,
            currency=self.money.symbol,
            channel=channel or self.tenant.pack.manifest.channels[0].code,
            reference=f"R{next(_numbers)}-{secrets.token_hex(4)}",
            paid_on=paid_on,
            sent_by="partner:1",
        )
        (answer,) = await contributions.receive(
            self.db, self.keys, self.tenant, [payment], lane=contribution_rules.lane_of(member)
        )
        assert isinstance(answer, Receipt), answer
        return answer

    async def reconcile(self, receipts: Sequence[Receipt]) -> None:
        """Find the receipts on a statement of their account, and put their cash into the open dealing."""
        async with self.db.unit_of_work(self.tenant.tenant_id, role=Role.JOBS) as session:
            t = self.tenant.tenant_id
            now = await ledger.scheme_now(session)
            house = house_member(t)
            actor = await ledger.actor_id(session, "staff:1")
            (posted,) = await ledger.post(
                session,
                [
                    Entry(
                        member_id=house,
                        kind=EventKind.STATEMENT_MATCHED,
                        business_date=business_date(now, self.tenant.time_zone),
                        actor=actor,
                        body={"count": str(len(receipts))},
                    )
                ],
            )
            statement = await session.scalar(
                text("""insert into statements (total, imported_at, tenant_id, lines, actor, account, name, sha256, document)
                        values (1, :now, :t, :n, :actor, 'A', 'a.csv', :sha, '') returning statement_id"""),
                {"now": now, "t": t, "n": len(receipts), "actor": actor, "sha": secrets.token_hex(32)},
            )
            reconciled = []
            for line, receipt in enumerate(receipts, 1):
                member = self.numbers.get(receipt.member)
                owner = house if member is None else member.member_id
                await session.execute(
                    text("""insert into statement_lines (statement_id, amount, reference_digest, tenant_id, line_no, value_date)
                            values (:s, 1, :digest, :t, :line, :day)"""),
                    {"s": statement, "digest": uuid4(), "t": t, "line": line, "day": receipt.business_date},
                )
                await session.execute(
                    text("""insert into matches (member_id, event_id, statement_id, matched_event, tenant_id, line_no)
                            values (:m, :e, :s, :matched, :t, :line)"""),
                    {
                        "m": owner,
                        "e": int(receipt.receipt),
                        "s": statement,
                        "matched": posted.event_id,
                        "t": t,
                        "line": line,
                    },
                )
                if member is not None:
                    channel = self.tenant.pack.manifest.channels[0].code
                    account = Account("collections", self.money.symbol, party=channel)
                    code = (await ledger.account_codes(session, [account]))[account]
                    reconciled.append(ReconciledReceipt(member.member_id, int(receipt.receipt), code))
            await funds.allocate(session, self.tenant, reconciled)

    async def resolve(self, receipt: Receipt, member: str) -> Receipt:
        """Give a suspended payment to its member."""
        return await give(self.db, self.keys, self.tenant, int(receipt.receipt), member=member)

    async def prices(self, day: date, prices: Mapping[str, str], *, actor: str = "staff:1") -> None:
        """Import a day's price file."""
        dealt = [
            version.rule
            for product in self.tenant.pack.manifest.products
            for version in self.tenant.book(product.code).versions()
            if isinstance(version.rule, fund_rules.FundsRule)
        ]
        managers = {fund.code: fund.manager for rule in dealt for fund in rule.funds}
        raw = f"{day} {sorted(prices.items())} {secrets.token_hex(4)}".encode()
        report = await funds.import_prices(
            self.db, self.tenant, Written(prices, managers, day), raw, f"{day}.csv", day, actor
        )
        assert not report.is_refused, report
        assert not report.refused, report

    async def deal(self, day: date) -> None:
        """Run a dealing day."""
        await funds.run_dealing(self.db, self.tenant, day, "staff:2")

    async def sequence(self) -> int:
        """Give what was written its place in the log; return the log's size."""
        async with self.db.unit_of_work(self.tenant.tenant_id, role=Role.SEQUENCER) as session:
            await session.execute(
                text("""with taken as (delete from unsequenced where tenant_id = :t returning batch_id, n)
                        insert into audit_batches (tenant_id, first_seq, batch_id, n)
                        select :t, coalesce((select max(first_seq + n) from audit_batches where tenant_id = :t), 0)
                               + sum(n) over (order by batch_id) - n, batch_id, n from taken"""),
                {"t": self.tenant.tenant_id},
            )
            size = await session.scalar(
                text("select coalesce(max(first_seq + n), 0) from audit_batches where tenant_id = :t"),
                {"t": self.tenant.tenant_id},
            )
        return int(size or 0)


async def open_scheme(
    db: Database, folder: Path, pack: str, *, changes: Mapping[str, tuple[str, str]] | None = None
) -> Scheme:
    """Create a tenant of a copy of one of our packs, changed here and there: file -> (old text, new text)."""
    code = f"{pack[:2]}-{secrets.token_hex(6)}"
    path = folder / code
    shutil.copytree(TENANTS / pack, path)
    for file, (old, new) in (changes or {}).items():
        content = (path / file).read_text(encoding="utf-8")
        assert old in content, (file, old)
        (path / file).write_text(content.replace(old, new), encoding="utf-8")
    manifest = path / "pack.toml"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace(f"{pack}.localhost", f"{code}.localhost"))
    tenants = Tenants({code: (load_pack(path, KINDS), path)}, KINDS)
    tenant = await tenants.create_tenant(db, code)
    return Scheme(db, FileKeyStore(folder / "keys.toml", "development"), tenants, tenant)


def days(first: date, count: int, step: int = 1) -> list[date]:
    """Return `count` days, `step` apart."""
    return [first + timedelta(days=step * index) for index in range(count)]
