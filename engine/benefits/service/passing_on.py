"""Money that payments bring for others than their members, paid to whom it is for: made by one person and approved by another."""

import hashlib
from uuid import uuid4

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.errors import NotPayable, PayoutUnderWay
from engine.benefits.queries import passed_on as queries
from engine.benefits.queries import paying as payouts
from engine.benefits.queries.passed_on import HeldFor
from engine.benefits.rules.paying import LEAST_MATCH_BP, PASSED_ON, AccountGiven, Part, Payload, Payout
from engine.benefits.service.paying import Document, keep, known_account, opened, shown, told_name
from engine.kernel.clock import business_date
from engine.kernel.ids import house_member
from engine.ledger import service as ledger
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant


async def held_for_others(session: AsyncSession) -> list[HeldFor]:
    """Return what lies for others than members, by product and party."""
    return await queries.held_for_others(session)


async def pay_passed_on(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    *,
    product: str,
    party: str,
    reference: str,
    account: AccountGiven,
    actor: str,
) -> Payout:
    """Make a payout of all that lies for a party and that statements have shown; it waits for another person.

    Once for each reference: asked again, the same is returned. Dr passed-on / Cr payouts-in-transit as it is approved.

    Args:
        session: the use case's.
        keys: seal the account.
        tenant: the scheme.
        product: whose payments brought it.
        party: whom it is for, as the rule names them.
        reference: the scheme's own for this payout, such as a month.
        account: where the party is paid.
        actor: who makes it.

    Raises:
        NotPayable: nothing lies there for them.
        PayoutUnderWay: of that reference another was made, or another of theirs waits for its approval.
        UnusablePhone: on the rail of a wallet, no telephone number.

    """
    source = f"{PASSED_ON}:{product}:{party}:{reference}"
    asked = hashlib.sha256(msgspec.json.encode([source, account])).hexdigest()
    await payouts.lock_source(session, f"{PASSED_ON}:{product}:{party}")
    live = await payouts.find_live(session, source)
    if live is not None:
        if opened(keys, tenant, live).asked != asked:
            raise PayoutUnderWay
        return shown(tenant, live)
    held = await _held(session, product, party)
    if held is not None and held.waiting:
        raise PayoutUnderWay
    if held is None or not held.payable:
        raise NotPayable
    checked, digest = known_account(keys, tenant, account)
    payload = Payload(
        payout_id=uuid4(),
        member_id=house_member(tenant.tenant_id),
        member="",
        product=product,
        source=source,
        currency=tenant.asset.symbol,
        amount=held.payable,
        parts=(Part(party, PASSED_ON, held.payable),),
        payee_name=tenant.pack.roles.get(party, party),
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


async def _held(session: AsyncSession, product: str, party: str) -> HeldFor | None:
    found = await queries.held_for_others(session)
    return next((one for one in found if (one.product, one.party) == (product, party)), None)
