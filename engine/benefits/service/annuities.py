"""Annuities: what a retirement claim leaves for one goes to the insurer with a document, until a policy's number closes it."""

import csv
import hashlib
import io
from dataclasses import replace
from uuid import uuid4

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.errors import AnnuityAnswered, AnnuityNotPaid, PayoutUnderWay, UnknownAnnuity
from engine.benefits.queries import annuities as queries
from engine.benefits.queries import claiming as claims
from engine.benefits.queries import paying as payouts
from engine.benefits.queries.annuities import Purchase
from engine.benefits.queries.claiming import ClaimRow
from engine.benefits.rules.paying import ANNUITIES, LEAST_MATCH_BP, AccountGiven, Part, Payload, Payout
from engine.benefits.service.paying import Document, keep, known_account, opened, shown, told_name
from engine.identity import service as identity
from engine.identity.errors import UnknownMember
from engine.kernel.amounts import Amount
from engine.kernel.clock import business_date
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Outcome, Transfer
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

_TABLE = "annuity_purchases"


def purchases_of(tenant: Tenant, product: str, insurer: str) -> Account:
    """Return the account of what is held to buy annuities from an insurer."""
    return Account(ANNUITIES, tenant.asset.symbol, product, party=insurer)


async def begin(session: AsyncSession, row: ClaimRow, insurer: str) -> None:
    """Note what a claim that became payable gave to buy an annuity, in its transaction."""
    amount = sum(one.minor for one in row.parts if one.is_pooled)
    if amount:
        await queries.add_purchase(
            session, row.member_id, row.claim_id, amount=amount, product=row.product, insurer=insurer
        )


async def find_annuity(session: AsyncSession, claim_id: int) -> Purchase:
    """Return what a claim buys an annuity for; UnknownAnnuity if it does not."""
    found = await queries.find_purchase(session, claim_id)
    if found is None:
        raise UnknownAnnuity
    return found


async def pay_annuity(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, claim_id: int, *, account: AccountGiven, actor: str
) -> Payout:
    """Make the payout of a purchase to the insurer's account, under the insurer's name; it waits for another person.

    Once: while one is under way or went out, the same is returned. Dr annuity-purchases / Cr payouts-in-transit as it is sent.

    Raises:
        UnknownAnnuity: the claim buys none.
        AnnuityAnswered: the insurer has refused it.
        PayoutUnderWay: it is paid to another account already.
        UnknownMember: the member is erased.
        UnusablePhone: on the rail of a wallet, no telephone number.
    """
    source = _source(claim_id)
    await payouts.lock_source(session, source)
    bought = await _held(session, claim_id)
    asked = hashlib.sha256(msgspec.json.encode([claim_id, account])).hexdigest()
    live = await payouts.find_live(session, source)
    if live is not None:
        if opened(keys, tenant, live).asked != asked:
            raise PayoutUnderWay
        return shown(tenant, live)
    if bought.state != "due":
        raise AnnuityAnswered(state=bought.state)
    people = await identity.read_people(session, keys, [bought.member_id], actor=actor, reason="annuity")
    if bought.member_id not in people:
        raise UnknownMember
    checked, digest = known_account(keys, tenant, account)
    payload = Payload(
        payout_id=uuid4(),
        member_id=bought.member_id,
        member=people[bought.member_id].member_number,
        product=bought.product,
        source=source,
        currency=tenant.asset.symbol,
        amount=bought.amount,
        parts=(Part(bought.insurer, ANNUITIES, bought.amount),),
        payee_name=tenant.pack.roles.get(bought.insurer, bought.insurer),
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


async def annuity_document(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, claim_id: int, *, actor: str
) -> bytes:
    """Return what the insurer gets with the money: CSV of whom the annuity is for, and how much buys it; the reading is noted.

    Raises:
        UnknownAnnuity: the claim buys none.
        UnknownMember: the member is erased.
    """
    bought = await find_annuity(session, claim_id)
    claim = await claims.find_claim(session, claim_id)
    assert claim is not None, bought
    people = await identity.read_people(session, keys, [bought.member_id], actor=actor, reason="annuity")
    if bought.member_id not in people:
        raise UnknownMember
    known = people[bought.member_id]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(
        ["claim", "insurer", "option", "chosen_on", "member", "full_name", "born_on", "sex", "amount", "currency"]
    )
    amount = f"{Amount(bought.amount, tenant.asset).decimal():.{tenant.asset.scale}f}"
    person = known.person
    writer.writerow(
        [claim_id, bought.insurer, claim.rule, claim.opened_on.isoformat(), known.member_number, person.full_name,
         person.born_on.isoformat(), person.sex, amount, tenant.asset.symbol]
    )  # fmt: skip
    return out.getvalue().encode()


async def confirm_annuity(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, claim_id: int, *, policy: str, actor: str
) -> Purchase:
    """Note the number of the policy that the insurer issued, which closes the purchase; the same again changes nothing.

    Raises:
        UnknownAnnuity: the claim buys none.
        AnnuityNotPaid: nothing was sent to the insurer.
        AnnuityAnswered: they refused, or said another number.
        UnknownMember: the member is erased.
    """
    bought = await _held(session, claim_id)
    if bought.state == "confirmed" and await policy_of(session, keys, bought) == policy:
        return bought
    if bought.state != "due":
        raise AnnuityAnswered(state=bought.state)
    live = await payouts.find_live(session, _source(claim_id))
    if live is None or not live.approved_event:
        raise AnnuityNotPaid
    sealed = await identity.seal_for(session, keys, bought.member_id, _TABLE, claim_id, policy.encode())
    if sealed is None:
        raise UnknownMember
    event = await _note(session, tenant, EventKind.ANNUITY_CONFIRMED, bought, actor)
    await queries.end_purchase(session, bought, state="confirmed", event_id=event, policy=sealed)
    return await find_annuity(session, claim_id)


async def refuse_annuity(session: AsyncSession, tenant: Tenant, claim_id: int, *, actor: str) -> Purchase:
    """Let what the insurer refuses come home: Dr annuity-purchases / Cr member cash, where it came from; once.

    A claim that paid nothing else is closed by it, so that the member may choose anew; cash of a product in funds is invested
    with the next order.

    Raises:
        UnknownAnnuity: the claim buys none.
        AnnuityAnswered: a policy was issued.
        PayoutUnderWay: the money is with the insurer, or on its way: its coming home is noted first.
    """
    await payouts.lock_source(session, _source(claim_id))
    bought = await _held(session, claim_id)
    if bought.state == "refused":
        return bought
    if bought.state != "due":
        raise AnnuityAnswered(state=bought.state)
    if await payouts.find_live(session, _source(claim_id)) is not None:
        raise PayoutUnderWay
    claim = await claims.find_claim(session, claim_id, hold=True)
    assert claim is not None, bought
    money = tenant.asset.symbol
    held = purchases_of(tenant, bought.product, bought.insurer)
    back = {
        Account("cash", money, bought.product, one.pot, one.origin): one.minor for one in claim.parts if one.is_pooled
    }
    codes = await ledger.account_codes(session, {held, *back})
    transfers = [Transfer(minor, codes[held], codes[account]) for account, minor in back.items() if minor]
    event = await _note(session, tenant, EventKind.ANNUITY_REFUSED, bought, actor, transfers)
    await queries.end_purchase(session, bought, state="refused", event_id=event, policy=None)
    if not claim.amount:
        await claims.save_claim(session, replace(claim, closed_event=event))
    return await find_annuity(session, claim_id)


async def policy_of(session: AsyncSession, keys: FileKeyStore, bought: Purchase) -> str:
    """Return the number of the policy, "" where there is none, or the member is erased."""
    if bought.policy is None:
        return ""
    found = await identity.open_for(session, keys, bought.member_id, _TABLE, bought.claim_id, bought.policy)
    return "" if found is None else found.decode()


def _source(claim_id: int) -> str:
    return f"annuity:{claim_id}"


async def _held(session: AsyncSession, claim_id: int) -> Purchase:
    found = await queries.find_purchase(session, claim_id, hold=True)
    if found is None:
        raise UnknownAnnuity
    return found


async def _note(
    session: AsyncSession,
    tenant: Tenant,
    kind: EventKind,
    bought: Purchase,
    actor: str,
    transfers: list[Transfer] | None = None,
) -> int:
    (fate,) = await ledger.post(
        session,
        [
            Entry(
                member_id=bought.member_id,
                kind=kind,
                business_date=business_date(await ledger.scheme_now(session), tenant.time_zone),
                actor=await ledger.actor_id(session, actor),
                pack=tenant.pack_id,
                body={
                    "claim": str(bought.claim_id), "product": bought.product, "insurer": bought.insurer, "amount": str(bought.amount),
                },
                transfers=transfers or [],
            )
        ],
    )  # fmt: skip
    assert fate.outcome is Outcome.POSTED, fate
    return fate.event_id
