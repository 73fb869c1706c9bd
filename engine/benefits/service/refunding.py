"""Payments in suspense that go back to whoever paid them: a payout like any other, made by one person and approved by another."""

import hashlib
from uuid import uuid4

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.errors import NotReconciled, PayoutUnderWay
from engine.benefits.queries import paying as queries
from engine.benefits.rules.paying import LEAST_MATCH_BP, SUSPENSE, AccountGiven, Part, Payload, Payout
from engine.benefits.service.paying import Document, keep, known_account, opened, shown, told_name
from engine.contributions import service as contributions
from engine.kernel.clock import business_date
from engine.kernel.ids import house_member
from engine.ledger import service as ledger
from engine.reconciliation import service as reconciliation
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant


async def refund(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    *,
    receipt: int,
    account: AccountGiven,
    name: str,
    actor: str,
) -> Payout:
    """Make a payout of a suspended payment, whole, to whoever paid it; it waits for another person.

    Until that approval it stays in suspense, and may be given to a member instead. Without a rule that says whose name the
    account must be in, a name that is not told or does not agree waits for the approver.

    Args:
        session: the use case's.
        keys: seal what names the payer.
        tenant: whose suspense it is.
        receipt: of the suspended payment.
        account: where the payer is paid.
        name: the payer's, "" where nobody knows it.
        actor: who makes it.

    Raises:
        UnknownSuspense, AlreadyResolved, NotReconciled, PayoutUnderWay, UnusablePhone.
    """
    source = f"{SUSPENSE}:{receipt}"
    asked = hashlib.sha256(msgspec.json.encode([receipt, account, name])).hexdigest()
    await queries.lock_source(session, source)
    live = await queries.find_live(session, source)
    if live is not None:
        if opened(keys, tenant, live).asked != asked:
            raise PayoutUnderWay
        return shown(tenant, live)
    held = await contributions.hold_in_suspense(session, receipt)
    house = house_member(tenant.tenant_id)
    if not await reconciliation.is_matched(session, *held.receipt):
        raise NotReconciled
    checked, digest = known_account(keys, tenant, account)
    payload = Payload(
        payout_id=uuid4(),
        member_id=house,
        member="",
        product="",
        source=source,
        currency=tenant.asset.symbol,
        amount=held.amount,
        parts=(Part(held.channel, SUSPENSE, held.amount),),
        payee_name=name,
        account=checked,
    )
    return await keep(
        session,
        keys,
        tenant,
        Document(payload=payload, asked=asked, stays=0),
        account_digest=digest,
        least_match_bp=LEAST_MATCH_BP,
        name=told_name(tenant, payload, LEAST_MATCH_BP),
        not_before=None,
        rules=(),
        today=business_date(await ledger.scheme_now(session), tenant.time_zone),
        actor=actor,
    )
