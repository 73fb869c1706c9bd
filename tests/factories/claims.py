"""Members of real packs who hold money or units, and what is done to their claims."""

import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text

from engine.app import KINDS
from engine.benefits import service
from engine.benefits.queries import LAWS
from engine.benefits.queries.claiming import ClaimRow, Request
from engine.benefits.rules import ClaimKind
from engine.enrolment import queries as enrolment_queries
from engine.enrolment.queries import Membership
from engine.funds import service as funds
from engine.identity import service as identity
from engine.identity.rules import MemberRef, MemberStatus, NewMember, NomineePerson, Person, VaultDocument
from engine.kernel.ids import claim_digest, new_member_id, new_member_number
from engine.ledger import queries as ledger_queries
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Offence, Outcome, Transfer
from engine.runtime.database import Database, Role
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant, load_pack
from tests.engine.funds.conftest import Adapter

ROOT = Path(__file__).parents[2]
MAKER, CHECKER = "staff:1", "staff:2"
MANAGERS = {
    "TIER3-FUND": "MANAGER",
    "SM001011": "PFM001",
    "SM002011": "PFM002",
    "SM003011": "PFM003",
    "MICRO-PENSION-FUND": "PFA",
}


@dataclass
class Claims:
    """A scheme on a real pack."""

    db: Database
    tenant: Tenant
    keys: FileKeyStore
    product: str
    channel: str

    async def run(self, sql: str, **given: Any) -> None:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            await session.execute(text(sql), {"t": self.tenant.tenant_id, **given})

    async def rows(self, sql: str, **given: Any) -> list[Any]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return [tuple(row) for row in await session.execute(text(sql), given)]

    async def clock(self, instant: str) -> None:
        when = datetime.fromisoformat(instant).replace(tzinfo=UTC)
        await self.run("update tenants set clock_at = :at where tenant_id = :t", at=when)

    async def member(
        self, joined_on: date, born_on: date, nominees: Sequence[NomineePerson] = (), phones: tuple[str, ...] = ()
    ) -> MemberRef:
        """A member who joined the product on a day."""
        member_id = new_member_id()
        person = Person(full_name="Asha Example", born_on=born_on, sex="female", phones=phones)
        document = VaultDocument(member_number=new_member_number(12), person=person, nominees=tuple(nominees))
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            await identity.admit(session, self.keys, [NewMember(member_id, 0, self.product, joined_on, "", document)])
            await enrolment_queries.add_memberships(
                session, [(Membership(member_id, self.product, joined_on, joined_on, ""), 0)]
            )
        return MemberRef(member_id, self.product, joined_on, "", MemberStatus.ACTIVE)

    async def pay(self, member: MemberRef, minor: int, *, pot: str, on: date, origin: str = "own") -> int:
        """Post a contribution as of a day; return its event."""
        money = self.tenant.asset.symbol
        bank = Account("collections", money, party=self.channel)
        cash = Account("cash", money, self.product, pot, origin)
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            codes = await ledger.account_codes(session, {bank, cash})
            entry = Entry(
                member_id=member.member_id,
                kind=EventKind.CONTRIBUTION_RECEIVED,
                business_date=on,
                actor=await ledger.actor_id(session, "partner:1"),
                body={"amount": str(minor), "channel": self.channel},
                claims=(claim_digest(self.tenant.tenant_id, f"provider:{self.channel}", secrets.token_hex(8)),),
                transfers=[Transfer(minor, codes[bank], codes[cash])],
            )
            (fate,) = await ledger.post(session, [entry])
            assert fate.outcome is Outcome.POSTED
        return fate.event_id

    async def allocate(self, receipts: Sequence[tuple[int, int]]) -> None:
        """Put (member, event) into the open dealing, as reconciliation would."""
        async with self.db.unit_of_work(self.tenant.tenant_id, role=Role.JOBS) as session:
            account = Account("collections", self.tenant.asset.symbol, party=self.channel)
            code = (await ledger.account_codes(session, [account]))[account]
            await funds.allocate(
                session, self.tenant, [funds.ReconciledReceipt(member, event, code) for member, event in receipts]
            )

    async def deal(self, day: str, prices: dict[str, str] | None = None) -> funds.DealingReport:
        """Run the dealing of a day at prices, which are accepted by a second person where they need one."""
        if prices:
            raw = "\n".join([f"#{day}", *(f"{code},{price}" for code, price in prices.items())]).encode()
            await funds.import_prices(
                self.db, self.tenant, Adapter(MANAGERS), raw, f"{day}.csv", date.fromisoformat(day), MAKER
            )
        return await funds.run_dealing(self.db, self.tenant, date.fromisoformat(day), CHECKER)

    async def settle(self, day: str) -> None:
        """Book the managers' money of all orders."""
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            come = [
                funds.Proceeds(one, self.channel, date.fromisoformat(day))
                for one in await funds.unsettled_sales(session)
            ]
            await funds.settle_sales(session, self.tenant, come, actor="system:reconciliation")

    async def claim(
        self, member: MemberRef, kind: ClaimKind, *, minor: int | None = None, key: str = "k", **request: Any
    ) -> ClaimRow:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.open_claim(
                session, self.keys, self.tenant, member,
                kind=kind, request=Request(**request), minor=minor, key=key, actor=MAKER,
            )  # fmt: skip

    async def approve(self, claim: ClaimRow, *, actor: str = CHECKER, digest: str = "") -> ClaimRow:
        return await service.approve_claim(
            self.db, self.tenant, claim.claim_id, digest=digest or claim.digest, actor=actor
        )

    async def find(self, claim: ClaimRow) -> ClaimRow:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.find_claim(session, claim.claim_id)

    async def holds(self, member: MemberRef) -> dict[str, int]:
        """A member's balances by kind of account and origin, without zeros."""
        found = await self.rows(
            """select c.kind || ':' || c.origin, sum(b.credits - b.debits)::bigint from balances b join chart c on c.code = b.code
                where b.member_id = :m group by 1 having sum(b.credits - b.debits) <> 0""",
            m=member.member_id,
        )
        return dict(found)

    async def control(self, kind: str) -> int:
        """What control accounts of a kind hold, credits less debits."""
        ((found,),) = await self.rows(
            """select coalesce(sum(case when t.credit = c.code then t.amount else -t.amount end), 0)::bigint
                 from chart c join transfers t on c.code in (t.debit, t.credit) where c.kind = :kind""",
            kind=kind,
        )
        return int(found)

    async def broken(self) -> list[Offence]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await ledger.check(session, (*LAWS, *ledger_queries.LAWS))


async def open_scheme(
    db: Database, tenant_id: int, folder: Path, pack: str, instant: str, *, rules: str = ""
) -> Claims:
    """Return a scheme on a pack, its clock at an instant in UTC; `rules` are added to the first book of its first product."""
    source = ROOT / "tenants" / pack
    if rules:
        copy = folder / pack
        shutil.copytree(source, copy)
        product = load_pack(source, KINDS).manifest.products[0].code
        book = min((copy / product / "rules").iterdir())
        book.write_text(book.read_text() + rules)
        source = copy
    loaded = load_pack(source, KINDS)
    async with db.unit_of_work(tenant_id) as session:
        code = await session.scalar(text("select code from tenants where tenant_id = :t"), {"t": tenant_id})
        await ledger.open_asset(session, loaded.asset.symbol, loaded.asset.scale, kind="money")
        pack_id = await ledger.pack_id(session, loaded.sha256, {})
    product = loaded.manifest.products[0].code
    scheme = Claims(
        db,
        Tenant(tenant_id, code, loaded, pack_id),
        FileKeyStore(folder / "keys.toml"),
        product,
        loaded.manifest.channels[0].code,
    )
    await scheme.clock(instant)
    return scheme
