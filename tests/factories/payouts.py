"""Money that is owed to members, and payouts of it: made by one person and approved by another."""

import secrets
from collections.abc import Mapping

from sqlalchemy import text

from engine.benefits import service
from engine.benefits.rules.paying import AccountGiven, Payee, Payout
from engine.benefits.service import Payers
from engine.contributions.rules import OWN, Payment, Receipt
from engine.contributions.service import Intake
from engine.kernel.clock import business_date
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Outcome, Transfer
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

MAKER, CHECKER = "staff:1", "staff:2"


async def owe(
    db: Database, keys: FileKeyStore, tenant: Tenant, member: str, member_id: int, amount: int, *, channel: str
) -> tuple[str, str, str]:
    """Let a member pay `amount` smallest units in and be owed all of it; return the product, pot and origin."""
    async with db.unit_of_work(tenant.tenant_id) as session:
        now = await ledger.scheme_now(session)
    scale = tenant.asset.scale
    major = f"{amount // 10**scale}.{amount % 10**scale:0{scale}d}" if scale else str(amount)
    paid = Payment(
        member=member, amount=major, currency=tenant.asset.symbol, channel=channel,
        reference=f"IN-{secrets.token_hex(8)}", sent_by="partner:1",
    )  # fmt: skip
    (receipt,) = await Intake(db, keys).receive_many(tenant, [paid])
    assert isinstance(receipt, Receipt), receipt
    assert receipt.state == "received", receipt
    async with db.unit_of_work(tenant.tenant_id) as session:
        chart = await ledger.accounts_by_code(session)
        moved = (await ledger.transfers_of(session, [(member_id, int(receipt.receipt))]))[int(receipt.receipt)]
        cash = {chart[credit]: units for units, _, credit in moved}
        payable = {
            one: Account("payable", one.asset, product=one.product, pot=one.pot, origin=one.origin) for one in cash
        }
        codes = await ledger.account_codes(session, [*cash, *payable.values()])
        entry = Entry(
            member_id=member_id,
            kind=EventKind.STATUS_RECORDED,
            business_date=business_date(now, tenant.time_zone),
            actor=await ledger.actor_id(session, "system:claims"),
            transfers=[Transfer(units, codes[one], codes[payable[one]]) for one, units in cash.items()],
        )
        (fate,) = await ledger.post(session, [entry])
        assert fate.outcome is Outcome.POSTED, fate
    (account,) = cash
    assert account.origin == OWN, account
    return account.product, account.pot, account.origin


def to(rail: str, number: str, *, name: str = "", **others: object) -> Payee:
    """Return a payee with one account."""
    return Payee(accounts=(AccountGiven(rail=rail, number=number, **others),), name=name)  # type: ignore[arg-type]


async def instruct(
    db: Database,
    keys: FileKeyStore,
    tenant: Tenant,
    member_id: int,
    product: str,
    amounts: Mapping[tuple[str, str], int],
    payee: Payee,
    *,
    source: str = "",
    actor: str = MAKER,
) -> Payout:
    """Make a payout."""
    async with db.unit_of_work(tenant.tenant_id) as session:
        return await service.instruct(
            session,
            keys,
            tenant,
            member_id=member_id,
            product=product,
            amounts=amounts,
            payee=payee,
            source=source or f"claim:{secrets.token_hex(6)}",
            actor=actor,
        )


async def approve(
    db: Database,
    keys: FileKeyStore,
    tenant: Tenant,
    payers: Payers,
    payout: Payout,
    *,
    name_seen: bool = True,
    actor: str = CHECKER,
    digest: str = "",
) -> Payout:
    """Approve a payout as another person."""
    async with db.unit_of_work(tenant.tenant_id) as session:
        return await service.approve(
            session,
            keys,
            tenant,
            payers,
            payout.id,
            digest=digest or payout.digest,
            actor=actor,
            name_seen=name_seen,
        )


async def payable(db: Database, tenant: Tenant, member_id: int) -> int:
    """Return what is payable to a member, in smallest units."""
    return await _balance(db, tenant, "payable", member_id)


async def in_transit(db: Database, tenant: Tenant) -> int:
    """Return what payouts have in transit by all rails, in smallest units."""
    return await _balance(db, tenant, "payouts-in-transit", None)


async def _balance(db: Database, tenant: Tenant, kind: str, member_id: int | None) -> int:
    async with db.unit_of_work(tenant.tenant_id) as session:
        value = await session.scalar(
            text("""select coalesce(sum(case when t.credit = c.code then t.amount else -t.amount end), 0)::bigint
                      from chart c join transfers t on c.code in (t.debit, t.credit)
                     where c.kind = :kind and (cast(:m as bigint) is null or t.member_id = :m)"""),
            {"kind": kind, "m": member_id},
        )
        return int(value)
