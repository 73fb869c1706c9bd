"""Savings on their way to and from other schemes, on a real pack that gains the rules for it."""

import hashlib
import itertools
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from engine.app import LAWS
from engine.benefits import service
from engine.benefits.queries import paying as payout_queries
from engine.benefits.queries.claiming import Receiving
from engine.benefits.queries.transferring import InRow
from engine.benefits.rules.advices import TransferAdvice
from engine.benefits.rules.paying import Payout
from engine.benefits.service import TransferOut
from engine.benefits.service.homing import bring_home
from engine.contributions import service as contributions
from engine.contributions.rules import Payment, Receipt
from engine.identity.rules import MemberRef
from engine.kernel.clock import business_date
from engine.kernel.statements import Side, Statement, StatementFile, StatementKind, StatementLine
from engine.ledger import service as ledger
from engine.ledger.rules import Offence
from engine.reconciliation import service as reconciliation
from engine.runtime.database import Database
from tests.factories.claims import CHECKER, MAKER, Claims
from tests.factories.heirs import UNKEPT, Estates, open_estates
from tests.factories.payouts import approve

THERE = "The Other Scheme"
RULES = """
[[rule]]
kind = "transfer-out"
id = "transfer-out"
pots = ["savings"]
origins = ["own", "state-match"]
least_months_in_scheme = 12
months_between = 12
documents = []
scheme_documents = ["consent"]
CHARGE
source = "invented"
confidence = "high"

[[rule]]
kind = "transfer-in"
id = "transfer-in"
pots = { savings = "savings" }
origins = ["own", "state-match"]
both_dates = "earlier"
source = "invented"
confidence = "high"
"""
_files = itertools.count(1)


class Told:
    """A source of statements that tells one."""

    def __init__(self, statement: Statement) -> None:
        self.statement = statement

    def read(self, raw: bytes, name: str) -> StatementFile:
        return StatementFile(name, hashlib.sha256(raw).hexdigest(), (self.statement,))


@dataclass
class Transfers:
    """A scheme whose members come and go with their savings, and the bank that pays for it."""

    estates: Estates

    @property
    def scheme(self) -> Claims:
        return self.estates.scheme

    async def ask(self, member: MemberRef, *, key: str = "t", **other: Any) -> TransferOut:
        scheme, documents = self.scheme, other.pop("documents", {})
        receiving = Receiving(**{"scheme": THERE, "rail": "bank", "number": "0099", "holder": THERE, **other})
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            return await service.ask_transfer(
                session, scheme.keys, scheme.tenant, member,
                receiving=receiving, documents=documents, key=key, actor=MAKER,
            )  # fmt: skip

    async def sent_off(self, member: MemberRef) -> TransferOut:
        """Let a member's savings be approved to go; of a scheme without funds they are in transit."""
        asked = await self.ask(member)
        assert asked.state == "decided", asked.claim.reason
        await self.scheme.approve(asked.claim)
        return await self.find(asked)

    async def find(self, one: TransferOut) -> TransferOut:
        async with self.scheme.db.unit_of_work(self.scheme.tenant.tenant_id) as session:
            return await service.find_transfer(session, one.claim.claim_id)

    async def advice(self, one: TransferOut) -> TransferAdvice:
        scheme = self.scheme
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            return await service.advice_of(session, scheme.keys, scheme.tenant, one.claim.claim_id, actor=MAKER)

    async def pay(self, one: TransferOut) -> Payout:
        scheme = self.scheme
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            return await service.pay_transfer(session, scheme.keys, scheme.tenant, one.claim.claim_id, actor=MAKER)

    async def approve_payout(self, payout: Payout) -> Payout:
        scheme = self.scheme
        return await approve(scheme.db, scheme.keys, scheme.tenant, self.estates.payers, payout, name_seen=False)

    async def paid(self, one: TransferOut) -> Payout:
        """Pay what is in transit, and let a statement show it gone."""
        payout = await self.approve_payout(await self.pay(one))
        assert one.left is not None
        await self.show((-one.left.amount, payout.id.hex))
        return payout

    async def fail(self, payout: Payout) -> None:
        """Let whoever was to pay it refuse."""
        scheme = self.scheme
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            row = await payout_queries.find_payout(session, payout.id, lock=True)
            assert row is not None
            await bring_home(session, scheme.keys, scheme.tenant, [row], reason="refused", actor="system:payouts")

    async def acknowledge(self, one: TransferOut) -> TransferOut:
        scheme = self.scheme
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            return await service.acknowledge_transfer(
                session, scheme.tenant, one.claim.claim_id, reference="THEIRS-1", actor=MAKER
            )

    async def home(self, one: TransferOut, *, receipt: int = 0) -> TransferOut:
        scheme = self.scheme
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            return await service.bring_transfer_home(
                session, scheme.tenant, one.claim.claim_id, reason="refused", receipt=receipt, actor=MAKER
            )

    async def advise(self, member: MemberRef, advice: TransferAdvice) -> InRow:
        scheme = self.scheme
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            return await service.advise_transfer(session, scheme.keys, scheme.tenant, member, advice, actor=MAKER)

    async def approve_advice(self, row: InRow, *, actor: str = CHECKER, digest: str = "") -> InRow:
        scheme = self.scheme
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            return await service.approve_advice(
                session, scheme.tenant, row.advice_id, digest=digest or row.digest, actor=actor
            )

    async def find_advice(self, row: InRow) -> InRow:
        async with self.scheme.db.unit_of_work(self.scheme.tenant.tenant_id) as session:
            return await service.find_advice(session, row.advice_id)

    async def take(self, row: InRow, receipt: int) -> InRow:
        scheme = self.scheme
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            return await service.take_in(
                session, scheme.keys, scheme.tenant, row.advice_id, receipt=receipt, actor=MAKER
            )

    async def take_all(self) -> int:
        return await service.take_transfers_in(self.scheme.db, self.scheme.keys, self.scheme.tenant)

    async def receive(self, minor: int, *, named: str, reference: str) -> int:
        """Let money come whose payer names something; return its receipt, in suspense."""
        scheme = self.scheme
        scale = scheme.tenant.asset.scale
        amount = f"{minor // 10**scale}.{minor % 10**scale:0{scale}d}" if scale else str(minor)
        payment = Payment(
            member=named, amount=amount, currency=scheme.tenant.asset.symbol, channel=scheme.channel,
            reference=reference, sent_by="partner:1",
        )  # fmt: skip
        (answer,) = await contributions.receive(scheme.db, scheme.keys, scheme.tenant, [payment], lane=0)
        assert isinstance(answer, Receipt), answer
        assert answer.state == "suspended", answer
        return int(answer.receipt)

    async def show(self, *movements: tuple[int, str]) -> None:
        """Take in a statement of (signed smallest units, reference), match it, and look for payouts on it."""
        scheme = self.scheme
        tenant = scheme.tenant
        async with scheme.db.unit_of_work(tenant.tenant_id) as session:
            day = business_date(await ledger.scheme_now(session), tenant.time_zone)
        lines = tuple(
            StatementLine(row, Side.CREDIT if minor > 0 else Side.DEBIT, abs(minor), day, day, bank_ref=reference)
            for row, (minor, reference) in enumerate(movements, 2)
        )
        channel = next(one for one in tenant.pack.channels if one.code == scheme.channel)
        statement = Statement(
            kind=StatementKind.STATEMENT, account=channel.account, currency=tenant.asset, lines=lines, opened_on=day,
            closed_on=day,
        )  # fmt: skip
        name = f"transfers-{next(_files)}"
        await reconciliation.import_statement(
            scheme.db, tenant, scheme.keys, Told(statement), name.encode(), name, scheme.channel, "staff:3"
        )
        await reconciliation.match_statements(scheme.db, tenant)
        await service.settle_payouts(scheme.db, scheme.keys, tenant)

    async def joined_on(self, member: MemberRef) -> date:
        ((found,),) = await self.scheme.rows(
            "select joined_on from memberships where member_id = :m and product = :p",
            m=member.member_id, p=member.product,
        )  # fmt: skip
        assert isinstance(found, date)
        return found

    async def broken(self, *kept: str) -> list[Offence]:
        """What breaks any law, but those that the factories' members break, and `kept`."""
        async with self.scheme.db.unit_of_work(self.scheme.tenant.tenant_id) as session:
            return [one for one in await ledger.check(session, LAWS) if one.law not in {*UNKEPT, *kept}]


async def open_transfers(
    db: Database,
    tenant_id: int,
    folder: Path,
    pack: str,
    instant: str,
    *,
    charge: str = "",
    more: str = "",
    has_rules: bool = True,
) -> Transfers:
    """Return a scheme on a pack with rules for transfers; `charge` is what its rule says of one, `more` are others."""
    rules = (RULES.replace("CHARGE", charge) if has_rules else "") + more
    return Transfers(await open_estates(db, tenant_id, folder, pack, instant, rules=rules))
