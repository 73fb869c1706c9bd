"""What went out of a pension after a death, kept of what heirs get: after the survivor's arrears and payments, by the corpus' rule."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.queries import claiming as claims
from engine.benefits.queries import keeping as queries
from engine.benefits.queries.claiming import ClaimRow
from engine.benefits.rules.consuming import Holding
from engine.benefits.rules.estates import Split, kept_of
from engine.benefits.rules.paying import cut
from engine.kernel.clock import business_date
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Transfer
from engine.tenancy.service import Tenant


async def keep_overpaid(
    session: AsyncSession, tenant: Tenant, row: ClaimRow, parts: Split, actor: str
) -> tuple[ClaimRow, Split]:
    """Keep what is still owed back of the member's pension, as far as the rule says, and return what heirs share: Dr payable / Cr overpayment-receivable.

    In the transaction that makes the claim payable; nobody else can change the pension until that ends.
    """
    assert row.estate is not None, row
    owing = await queries.owing(session, row.member_id, row.product) if row.estate.keeps_bp else None
    minor = 0 if owing is None else kept_of(owing.minor, sum(parts.values()), row.estate.keeps_bp)
    if owing is None or not minor:
        return row, parts
    taken = cut(parts, minor)
    held = tuple(Holding(one.pot, one.origin, one.amount) for one in taken)
    await _post(session, tenant, row, EventKind.OVERPAYMENT_KEPT, "payable", held, actor)
    await queries.keep(session, row.member_id, owing.claim_id, minor)
    estate = msgspec.structs.replace(row.estate, kept=held, kept_for=str(owing.claim_id))
    row = replace(row, estate=estate)
    await claims.save_claim(session, row)
    left = dict(parts)
    for one in held:
        left[one.pot, one.origin] -= one.minor
    return row, left


async def give_kept_back(session: AsyncSession, tenant: Tenant, row: ClaimRow, actor: str) -> int:
    """Undo what was kept, as the death is taken back: it is owed again, Dr overpayment-receivable / Cr member cash. Return the event, 0 if none."""
    assert row.estate is not None, row
    if not row.estate.kept:
        return 0
    event = await _post(session, tenant, row, EventKind.OVERPAYMENT_OWED_AGAIN, "cash", row.estate.kept, actor)
    minor = sum(one.minor for one in row.estate.kept)
    await queries.keep(session, row.member_id, int(row.estate.kept_for), -minor)
    return event


async def _post(
    session: AsyncSession,
    tenant: Tenant,
    row: ClaimRow,
    kind: EventKind,
    account: str,
    held: Sequence[Holding],
    actor: str,
) -> int:
    symbol = tenant.asset.symbol
    owed = Account("overpayment-receivable", symbol, row.product)
    own = {one: Account(account, symbol, row.product, one.pot, one.origin) for one in held}
    codes = await ledger.account_codes(session, {owed, *own.values()})
    gives = kind == EventKind.OVERPAYMENT_KEPT
    transfers = [
        Transfer(one.minor, *((codes[own[one]], codes[owed]) if gives else (codes[owed], codes[own[one]])))
        for one in held
    ]
    (posted,) = await ledger.post(
        session,
        [
            Entry(
                member_id=row.member_id,
                kind=kind,
                business_date=business_date(await ledger.scheme_now(session), tenant.time_zone),
                actor=await ledger.actor_id(session, actor),
                pack=tenant.pack_id,
                body={
                    "claim": str(row.claim_id),
                    "product": row.product,
                    "amount": str(sum(one.minor for one in held)),
                },
                transfers=transfers,
            )
        ],
    )
    return posted.event_id
