"""Savings that go to another scheme: claimed like a benefit, paid by a payout, acknowledged, or brought home.

A claim of kind `transfer` is decided by the `transfer-out` rule and approved by a second person; units are sold for it. As it becomes
payable its money leaves the member for `transfers-in-transit`, and what goes along is kept for the advice. A payout, approved
by two people on the account that the claim named, takes it from there.
"""

from dataclasses import dataclass, replace
from uuid import uuid4

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.errors import (
    NotReconciled,
    PaymentDiffers,
    PayoutUnderWay,
    TransferDecided,
    TransferNotSent,
    UnknownTransfer,
)
from engine.benefits.queries import claiming as claims
from engine.benefits.queries import paying as payouts
from engine.benefits.queries import transferring as queries
from engine.benefits.queries.claiming import ClaimRow, Receiving, Request
from engine.benefits.queries.transferring import OutRow
from engine.benefits.rules.advices import AdvicePerson, TransferAdvice, advice_parts
from engine.benefits.rules.claiming import TRANSFER
from engine.benefits.rules.paying import LEAST_MATCH_BP, TRANSFER_SOURCE, AccountGiven, Part, Payload, Payout
from engine.benefits.service import claiming, transits
from engine.benefits.service.paying import Document, keep, known_account, opened, shown, told_name
from engine.contributions import service as contributions
from engine.funds import service as funds
from engine.funds.errors import NoFundChoice
from engine.funds.rules import FundsRule
from engine.identity import service as identity
from engine.identity.errors import UnknownMember
from engine.identity.rules import MemberRef
from engine.kernel.clock import business_date
from engine.kernel.ids import claim_digest
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Account, EventKind, Transfer
from engine.reconciliation import service as reconciliation
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant


@dataclass(frozen=True, slots=True)
class TransferOut:
    """A claim by which savings go to another scheme, and what left by it; None until it is payable."""

    claim: ClaimRow
    left: OutRow | None

    @property
    def receiving(self) -> Receiving:
        """Return where they go."""
        assert self.claim.request.receiving is not None, self.claim
        return self.claim.request.receiving

    @property
    def state(self) -> str:
        """Return how far it has come: the claim's state, then in-transit, paying, sent, acknowledged or home."""
        if self.left is None:
            return self.claim.state
        if self.left.state != "open":
            return self.left.state
        if self.left.is_settled:
            return "sent"
        return "paying" if self.left.is_paying else "in-transit"


async def ask_transfer(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    member: MemberRef,
    *,
    receiving: Receiving,
    documents: dict[str, str],
    key: str,
    actor: str,
) -> TransferOut:
    """Ask that a member's savings go to another scheme, once for its key; the rule decides at once where no document is missing.

    What the rule refuses, or what must end first, is kept as a refused claim. Another person approves it as any claim.

    Args:
        session: the use case's.
        keys: open the member's birth date.
        tenant: the scheme.
        member: as they stand in the product.
        receiving: the scheme and its account, which the approval is of.
        documents: SHA-256 by kind.
        key: the caller's own name for the request.
        actor: who asks, and so may not approve.

    Raises:
        UnusablePhone: on the rail of a wallet, no telephone number.
        ClaimKeyReused, UnknownMember, NoPriceYet: as `open_claim`.

    """
    account, _ = known_account(keys, tenant, _account(receiving))
    receiving = msgspec.structs.replace(receiving, number=account.number)
    row = await claiming.open_claim(
        session,
        keys,
        tenant,
        member,
        kind=TRANSFER,
        request=Request(documents=documents, receiving=receiving),
        minor=None,
        key=key,
        actor=actor,
    )
    return await find_transfer(session, row.claim_id)


async def find_transfer(session: AsyncSession, claim_id: int) -> TransferOut:
    """Return a transfer to another scheme; UnknownTransfer if there is none of that number."""
    claim = await claims.find_claim(session, claim_id)
    if claim is None or claim.kind != TRANSFER:
        raise UnknownTransfer
    return TransferOut(claim, await queries.find_out(session, claim_id))


async def list_transfers(session: AsyncSession, *, after: int = 0, most: int = 100) -> list[TransferOut]:
    """Return transfers to other schemes after one, the oldest first."""
    numbers = await queries.list_claims_of_transfers(session, after=after, most=most)
    left = await queries.outs_of(session, numbers)
    rows = await claims.find_claims(session, numbers)
    return [TransferOut(row, left.get(row.claim_id)) for row in rows]


async def advice_of(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, claim_id: int, *, actor: str
) -> TransferAdvice:
    """Return what the other scheme is told, the same however often it is asked for; that the person was read is noted.

    Raises:
        UnknownTransfer: nothing left by a claim of that number.
        UnknownMember: the person was erased.
    """
    found = await find_transfer(session, claim_id)
    left = found.left
    if left is None:
        raise UnknownTransfer
    people = await identity.read_people(session, keys, [left.member_id], actor=actor, reason="transfer-advice")
    if left.member_id not in people:
        raise UnknownMember
    person = people[left.member_id]
    parts, payments, totals = advice_parts(left.parts, left.payments, tenant.asset)
    return TransferAdvice(
        version=1,
        reference=transits.reference_of(claim_id),
        sender=tenant.pack.manifest.name,
        receiver=found.receiving.scheme,
        receiver_reference=found.receiving.reference,
        dated_on=left.dated_on,
        currency=tenant.asset.symbol,
        member=AdvicePerson(
            number=person.member_number, full_name=person.person.full_name, born_on=person.person.born_on
        ),
        product=left.product,
        joined_on=left.joined_on,
        parts=parts,
        payments=payments,
        totals=totals,
    )


async def pay_transfer(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, claim_id: int, *, actor: str
) -> Payout:
    """Make the payout of what is in transit, whole, to the account that the claim named; it waits for another person.

    Asked again while it is under way, it answers with it. One that failed or came back may be made again.

    Raises:
        UnknownTransfer, TransferDecided: there is nothing in transit by that claim, or it is over.
    """
    left = await transits.hold_open(session, claim_id)
    source = f"{TRANSFER_SOURCE}{claim_id}"
    await payouts.lock_source(session, source)
    live = await payouts.find_live(session, source)
    if live is not None:
        return shown(tenant, live, opened(keys, tenant, live))
    found = await find_transfer(session, claim_id)
    account, digest = known_account(keys, tenant, _account(found.receiving))
    payload = Payload(
        payout_id=uuid4(),
        member_id=left.member_id,
        member="",
        product=left.product,
        source=source,
        currency=tenant.asset.symbol,
        amount=left.amount,
        parts=tuple(Part(one.pot, one.origin, one.amount) for one in left.parts),
        payee_name=found.receiving.scheme,
        account=account,
        transfer=claim_id,
    )
    return await keep(
        session,
        keys,
        tenant,
        # Who has died since goes nowhere: `is_members` lets the approval ask.
        Document(payload=payload, asked="", stays=0, is_members=True),
        account_digest=digest,
        least_match_bp=LEAST_MATCH_BP,
        name=told_name(tenant, payload, LEAST_MATCH_BP),
        not_before=None,
        rules=(),
        today=business_date(await ledger.scheme_now(session), tenant.time_zone),
        actor=actor,
    )


async def acknowledge_transfer(
    session: AsyncSession, tenant: Tenant, claim_id: int, *, reference: str, actor: str
) -> TransferOut:
    """Note that the other scheme has taken the savings in, by its own reference; the transfer is over.

    Raises:
        UnknownTransfer, TransferDecided: there is none, or it is over.
        TransferNotSent: no statement shows that the money went.
    """
    left = await transits.hold_open(session, claim_id)
    if not left.is_settled:
        raise TransferNotSent
    event = await claiming.note(
        session,
        tenant,
        EventKind.TRANSFER_ACKNOWLEDGED,
        left.member_id,
        actor,
        {"claim": str(claim_id), "product": left.product, "amount": str(left.amount), "reference": reference},
        claims=(claim_digest(tenant.tenant_id, "transfer-over", str(claim_id)),),
    )
    assert event is not None, "a transfer is acknowledged once"
    await queries.end_out(session, claim_id, state="acknowledged", event_id=event, acknowledgement=reference)
    return await find_transfer(session, claim_id)


async def bring_transfer_home(
    session: AsyncSession, tenant: Tenant, claim_id: int, *, reason: str, actor: str, receipt: int = 0
) -> TransferOut:
    """Post savings that the other scheme refused back to the pots and origins they came from, with tax and charge: once.

    Money that never went, or that a statement shows come back, is in transit; money that came as a payment of its own is the
    `receipt` in suspense. Of a product in funds it goes into the open dealing.

    Args:
        session: the use case's.
        tenant: the scheme.
        claim_id: the transfer's number.
        reason: why, as a short word of the operator's.
        actor: who brings it home.
        receipt: of the payment in suspense that it came back by, 0 where it is in transit.

    Raises:
        UnknownTransfer, TransferDecided: nothing left by that claim, or it is home.
        PayoutUnderWay: a payout of it is made, or went out, and nothing came back.
        TransferNotSent: there is a receipt, and no statement shows that the money went.
        PaymentDiffers, NotReconciled: the payment is of another amount, or on no statement.
        UnknownSuspense, AlreadyResolved: as `hold_in_suspense`.
        NoFundChoice: the money cannot be invested again.

    """
    held = await contributions.hold_in_suspense(session, receipt) if receipt else None
    left = await queries.find_out(session, claim_id, hold=True)
    if left is None:
        raise UnknownTransfer
    if left.state == "home":
        raise TransferDecided(state=left.state)
    if held is None and left.is_paying:
        raise PayoutUnderWay
    if held is not None:
        if not left.is_settled:
            raise TransferNotSent
        if held.amount != left.amount:
            raise PaymentDiffers(field="amount")
        if not await reconciliation.is_matched(session, *held.receipt):
            raise NotReconciled
    claim = await claiming.hold_claim(session, claim_id, {"payable"})
    back = await _turned(session, claim)
    arrived = [] if held is None else [transits.arrival(tenant, left.product, held)]
    moves = [*arrived, *back, *((minor, payable, replace(payable, kind="cash")) for minor, _, payable in back)]
    codes = await ledger.account_codes(session, {one for _, *pair in moves for one in pair})
    event = await claiming.note(
        session,
        tenant,
        EventKind.TRANSFER_CAME_HOME,
        left.member_id,
        actor,
        {
            "claim": str(claim_id),
            "product": left.product,
            "amount": str(sum(minor for minor, *_ in back)),
            "reason": reason,
            **({"resolves": str(receipt)} if receipt else {}),
        },
        claims=(claim_digest(tenant.tenant_id, "transfer-home", str(claim_id)),),
        transfers=[Transfer(minor, codes[debit], codes[credit]) for minor, debit, credit in moves],
    )
    assert event is not None, "a transfer comes home once"
    await queries.end_out(session, claim_id, state="home", event_id=event, receipt=receipt)
    await claims.save_claim(session, replace(claim, closed_event=event))
    if receipt:
        await contributions.end_in_suspense(session, tenant, receipt, event_id=event, member_id=left.member_id)
    else:
        await _invest_again(session, tenant, claim, event)
    return await find_transfer(session, claim_id)


async def _turned(session: AsyncSession, claim: ClaimRow) -> list[transits.Move]:
    """Return what left, tax and charge with it, as the claim moved it out of payable, the sides exchanged."""
    chart = await ledger.accounts_by_code(session)
    moved = (await ledger.transfers_of(session, [(claim.member_id, claim.payable_event)]))[claim.payable_event]
    return [(minor, chart[credit], chart[debit]) for minor, debit, credit in moved if chart[debit].kind == "payable"]


async def _invest_again(session: AsyncSession, tenant: Tenant, claim: ClaimRow, event: int) -> None:
    """Put what is home into the open dealing of a product in funds; it lies where it came back, or never went from."""
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    if tenant.rule(FundsRule, product=claim.product, dates=Dates(on=today, joined_on=today)) is None:
        return
    channel = await queries.returned_to(session, claim.claim_id)
    if channel:
        account = Account("collections", tenant.asset.symbol, party=channel)
        code = (await ledger.account_codes(session, {account}))[account]
    else:
        sold = await queries.sold_into(session, claim.member_id, claim.sale_event)
        assert sold is not None, "what is in transit was sold and paid"
        code = sold
    allocated = await funds.allocate(session, tenant, [funds.ReconciledReceipt(claim.member_id, event, code)])
    if allocated.without_choice:
        raise NoFundChoice(day=today.isoformat())


def _account(receiving: Receiving) -> AccountGiven:
    return AccountGiven(
        rail=receiving.rail, number=receiving.number, bank=receiving.bank, holder=receiving.holder or receiving.scheme
    )
