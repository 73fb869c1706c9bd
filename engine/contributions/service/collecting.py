"""Asking members for money, and posting what their wallets' operators confirm: asked for, or sent of a payer's own accord.

The operator's confirmation, an answer to our own enquiry, is stored with what is to be posted in one transaction. The
posting follows by `receive`, the one path of every payment, and is claimed by the operator's transaction: a process
that dies in between posts it again, and it stays posted once.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID, uuid4

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.contributions import queries
from engine.contributions.errors import CannotCollect, KeyReused, MemberNotActive, NoPhone, UnknownCollection
from engine.contributions.ports import CollectionRequest, Collections, PaymentsIn
from engine.contributions.queries import CollectionRow
from engine.contributions.rules import (
    Ask,
    Collection,
    Payment,
    Scheme,
    Unsettled,
    check_payment,
    lane_of,
    split_contribution,
)
from engine.contributions.service.capping import Counting, cap_contributions, whole_counts
from engine.contributions.service.declared import decide_by_income
from engine.contributions.service.eligibility import Asked, refusal_of, unmet_of
from engine.contributions.service.passing import Deducting, deduct_from, share_payment
from engine.contributions.service.receiving import CHUNK, Answer, receive
from engine.contributions.service.terms import figures_now, terms_for, tests_for
from engine.contributions.service.undertaken import decide_contribution
from engine.enrolment import service as enrolment
from engine.identity import service as identity
from engine.identity.errors import UnknownMember
from engine.identity.rules import MemberRef, check_phone
from engine.kernel.amounts import Amount
from engine.kernel.clock import business_date
from engine.kernel.errors import EngineError
from engine.kernel.ids import claim_digest, house_member
from engine.kernel.outcomes import Answer as Said
from engine.kernel.outcomes import Hint, RequestState
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.database import Database
from engine.runtime.exchanges.engine import Exchanges, Operation, Settled
from engine.runtime.key_file import FileKeyStore
from engine.runtime.sealing import seal, unseal
from engine.tenancy.service import Tenant

COLLECTIONS, PAYMENTS_IN = "collections", "payments-in"
UNKNOWN_MINUTES = 15
"""How long nothing certain may be known of a request before people are told."""

_ACTOR = "system:payments-in"


@dataclass(frozen=True, slots=True)
class Collectors:
    """How payers of one tenant are asked: the exchanges, and the adapter of each channel that can ask."""

    exchanges: Exchanges
    by_channel: Mapping[str, Collections]


class _Question(Struct, frozen=True, kw_only=True):
    """What an exchange of a collection keeps: what is asked of whom, and for which member it will be posted."""

    wanted: CollectionRequest
    member: str
    channel: str
    sent_by: str
    product: str = ""


# -- asking


async def ask_for_payment(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, collectors: Collectors | None, ask: Ask
) -> Collection:
    """Ask a member for money on their telephone, after the session's transaction; once for each key of the sender.

    What the member's terms would refuse or keep in suspense is not asked for.

    Raises:
        WrongCurrency, AmountNotWhole, AmountNotPositive, UnknownChannel, UnknownProduct, UnusablePhone, UnknownMember (also
        where they are not in the product), MemberNotActive, NoPhone, CannotCollect, KeyReused (for another request), and
        whatever the member's terms refuse.
    """
    claim = ask.claim(tenant.tenant_id)
    await queries.lock_key(session, claim)
    row = await queries.find_collection(session, key_digest=claim)
    if row is not None:
        if row.body_digest != ask.digest():
            raise KeyReused(field="Idempotency-Key")
        if not row.document:
            raise UnknownMember  # erased since
        return _shown(keys, tenant, row)
    collector = collectors.by_channel.get(ask.channel) if collectors else None
    member, amount = await _checked(session, keys, tenant, ask)
    if collectors is None or collector is None:
        raise CannotCollect(channel=ask.channel)
    reference = uuid4()
    wanted = CollectionRequest(
        reference=reference,
        msisdn=await _phone(session, keys, tenant, ask, member),
        amount=amount,
        account=ask.member,
        note=tenant.pack.manifest.short_name,
    )
    question = _Question(
        wanted=wanted, member=ask.member, channel=ask.channel, sent_by=ask.sent_by, product=ask.product
    )
    is_new = await collectors.exchanges.open(
        session,
        counterparty=ask.channel,
        operation=COLLECTIONS,
        reference=reference,
        question=msgspec.json.encode(question),
    )
    assert is_new, reference
    await queries.add_collection(
        session,
        reference=reference,
        key_digest=claim,
        body_digest=ask.digest(),
        member_id=member.member_id,
        amount=amount.units,
        channel=ask.channel,
        account=collector.account_of(reference).upper(),
        document=seal(keys, tenant.tenant_id, "collections", reference, msgspec.json.encode(ask)),
    )
    return await find_collection(session, keys, tenant, reference)


async def find_collection(session: AsyncSession, keys: FileKeyStore, tenant: Tenant, reference: UUID) -> Collection:
    """Return what has become of a request for a payment.

    Raises:
        UnknownCollection: there is none of that reference, or whoever was asked was erased.
    """
    row = await queries.find_collection(session, reference=reference)
    if row is None or not row.document:
        raise UnknownCollection
    return _shown(keys, tenant, row)


async def list_unsettled(session: AsyncSession, *, most: int = 100) -> list[Unsettled]:
    """Return what people must look at, oldest first: requests unknown for long, and confirmed money not in the books."""
    rows = await queries.unsettled(session, (COLLECTIONS, PAYMENTS_IN), minutes=UNKNOWN_MINUTES, most=most)
    return [
        Unsettled(reference=reference, channel=channel, why=why, reason=reason, since=since)
        for reference, channel, why, reason, since in rows
    ]


async def _checked(session: AsyncSession, keys: FileKeyStore, tenant: Tenant, ask: Ask) -> tuple[MemberRef, Amount]:
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    scheme = Scheme.of(tenant.pack)
    payment = Payment(
        member=ask.member,
        amount=ask.amount,
        currency=ask.currency,
        channel=ask.channel,
        reference=ask.key,
        sent_by=ask.sent_by,
        product=ask.product,
    )
    amount, _ = check_payment(payment, scheme, today=today)
    numbers = await identity.members_by_number(session, keys, [ask.member])
    found = await enrolment.in_their_products(session, numbers, product=ask.product)
    member = found.get(ask.member)
    if member is None:
        raise UnknownMember
    if member.status != "active":
        raise MemberNotActive
    figures = await figures_now(session, tenant)
    contribution = share_payment(tenant, figures, member, ask.channel, today, amount).contribution
    split_contribution(contribution, terms_for(tenant, figures, member.product, today, member.joined_on))
    await decide_contribution(session, tenant, figures, member, today, contribution)
    await decide_by_income(session, tenant, figures, member, today, contribution)
    counting = Counting(member, today, today, contribution)
    (cap,) = await cap_contributions(session, tenant, figures, [counting], today=today)
    whole_counts(cap)
    (taken,) = await deduct_from(session, tenant, figures, [Deducting(member, today, contribution)])
    if taken is not None and isinstance(taken.answer, EngineError):
        raise taken.answer
    tests = tests_for(tenant, member.product, today, member.joined_on)
    asked = [Asked(member, today, contribution.units, tests)] if tests else []
    for unmet in await unmet_of(session, tenant, figures, asked):
        if unmet is not None:
            raise refusal_of(unmet, member.product)
    return member, amount


async def _phone(session: AsyncSession, keys: FileKeyStore, tenant: Tenant, ask: Ask, member: MemberRef) -> str:
    if ask.phone:
        return check_phone(ask.phone, tenant.pack.phone_country)
    people = await identity.read_people(session, keys, [member.member_id], actor=ask.sent_by, reason="payment-request")
    person = people.get(member.member_id)
    if person is None or not person.person.phones:
        raise NoPhone
    return person.person.phones[0]


def _ask_of(keys: FileKeyStore, tenant: Tenant, reference: UUID, document: bytes) -> Ask:
    return msgspec.json.decode(unseal(keys, tenant.tenant_id, "collections", reference, document), type=Ask)


def _shown(keys: FileKeyStore, tenant: Tenant, row: CollectionRow) -> Collection:
    ask = _ask_of(keys, tenant, row.reference, row.document)

    def fixed(amount: Amount) -> str:
        return f"{amount.decimal():.{amount.asset.scale}f}"

    return Collection(
        reference=row.reference,
        member=ask.member,
        channel=ask.channel,
        amount=fixed(Amount.parse(ask.amount, tenant.asset)),
        currency=ask.currency,
        asked_at=row.asked_at,
        product=ask.product,
        state=row.outcome,
        reason=row.reason,
        paid=fixed(Amount(row.paid, tenant.asset)) if row.event_id else "",
        receipt=str(row.event_id) if row.event_id else "",
        receipt_state=row.posted if row.event_id else "",
        refusal=row.refusal if row.posted == "refused" else "",
    )


# -- what exchanges do


def collection_operation(collections: Collections, tenant: Tenant, keys: FileKeyStore) -> Operation:
    """Return how exchanges ask a tenant's payers by an adapter; what is paid waits to be posted."""

    def question_of(raw: bytes) -> _Question:
        return msgspec.json.decode(raw, type=_Question)

    async def settle(session: AsyncSession, settled: Settled) -> None:
        if settled.answer.state is RequestState.SUCCEEDED:
            question = question_of(settled.question)
            said, wanted = settled.answer, question.wanted
            payment = Payment(
                member=question.member,
                # What was truly paid, where the operator says it; some confirm without naming the amount.
                amount=said.amount or str(wanted.amount.decimal()),
                currency=said.currency or wanted.amount.asset.symbol,
                channel=question.channel,
                reference=said.provider_ref,
                sent_by=question.sent_by,
                is_held=True,
                product=question.product,
                collection=str(wanted.reference),
                paid_from=wanted.msisdn,
            )
            await _keep(session, keys, tenant, settled.reference, payment)
        else:
            await _record_failure(session, tenant, question_of(settled.question), settled.answer)

    return Operation(
        ask=lambda raw, url: collections.request(question_of(raw).wanted, callback_url=url),
        enquire=lambda raw, last, url: collections.enquire(question_of(raw).wanted, last, callback_url=url),
        settle=settle,
        read_callback=collections.read_callback,
    )


def payments_in_operation(payments: PaymentsIn, channel: str, tenant: Tenant, keys: FileKeyStore) -> Operation:
    """Return how exchanges confirm what payers of a channel pay of their own accord; it waits to be posted."""

    def claimed_of(raw: bytes) -> Said:
        return msgspec.json.decode(raw, type=Said)

    def claims(hint: Hint) -> tuple[UUID, bytes] | None:
        if not hint.claimed.provider_ref:
            return None
        return _payment_in(tenant, channel, hint.claimed), msgspec.json.encode(hint.claimed)

    async def settle(session: AsyncSession, settled: Settled) -> None:
        said = settled.answer
        if said.state is RequestState.SUCCEEDED:
            # One that a member was asked for is told of by the request too, or by this alone where that had failed. Both
            # make the same payment of it, and the operator's transaction is posted once.
            found = await _asked_for(session, keys, tenant, channel, said.account)
            reference, asked = found or (None, None)
            payment = Payment(
                member=asked.member if asked else said.account.strip(),
                amount=said.amount,
                currency=said.currency,
                channel=channel,
                reference=said.provider_ref,
                sent_by=asked.sent_by if asked else _ACTOR,
                is_held=True,
                product=asked.product if asked else "",
                collection=str(reference or ""),
            )
            await _keep(session, keys, tenant, settled.reference, payment)

    return Operation(
        ask=lambda raw, _url: payments.confirm(claimed_of(raw)),
        enquire=lambda raw, _last, _url: payments.confirm(claimed_of(raw)),
        settle=settle,
        read_callback=payments.read_callback,
        claims=claims,
    )


async def open_untold(
    db: Database, exchanges: Exchanges, tenant: Tenant, payments: PaymentsIn, *, channel: str, counterparty: str
) -> int:
    """Have every payment in confirmed that the operator shows and nobody told us of; return how many there were.

    Raises:
        Unreachable, Unanswered: the operator does not show its payments now.
    """
    shown = {_payment_in(tenant, channel, payment): payment for payment in await payments.recent()}
    async with db.unit_of_work(tenant.tenant_id) as session:
        untold = await exchanges.unknown_of(session, list(shown)) if shown else set()
    for reference in untold:
        async with db.unit_of_work(tenant.tenant_id) as session:
            await exchanges.open(
                session,
                counterparty=counterparty,
                operation=PAYMENTS_IN,
                reference=reference,
                question=msgspec.json.encode(shown[reference]),
            )
    return len(untold)


def _payment_in(tenant: Tenant, channel: str, payment: Said) -> UUID:
    """Return our reference of a payment in: the same, whoever tells of it and however often."""
    return claim_digest(tenant.tenant_id, f"payment-in:{channel}", payment.provider_ref)


async def _keep(session: AsyncSession, keys: FileKeyStore, tenant: Tenant, reference: UUID, payment: Payment) -> None:
    sealed = seal(keys, tenant.tenant_id, "collected", reference, msgspec.json.encode(payment))
    await queries.add_collected(session, reference, payment.channel, sealed)


async def _record_failure(session: AsyncSession, tenant: Tenant, question: _Question, said: Said) -> None:
    """Record that a member did not pay what they were asked for: whoever follows the log learns it there."""
    now = await ledger.scheme_now(session)
    entry = Entry(
        member_id=house_member(tenant.tenant_id),
        kind=EventKind.COLLECTION_FAILED,
        business_date=business_date(now, tenant.time_zone),
        actor=await ledger.actor_id(session, question.sent_by),
        pack=tenant.pack_id,
        body={
            "amount": str(question.wanted.amount.units),
            "channel": question.channel,
            "collection": str(question.wanted.reference),
            "reason": said.reason or "",
        },
    )
    await ledger.post(session, [entry])


async def _asked_for(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, channel: str, account: str
) -> tuple[UUID, Ask] | None:
    """Return the request for a payment that gave the payer this account, and its reference; letters count in any case."""
    found = await queries.find_asked(session, channel, account.strip().upper())
    return None if found is None else (found[0], _ask_of(keys, tenant, *found))


# -- posting


async def post_collected(db: Database, keys: FileKeyStore, tenant: Tenant) -> int:
    """Receive every confirmed payment that waits, exactly as the API and files do; return how many.

    What the books do not take (another currency, a transaction that was posted otherwise) is left for people.
    """
    count = 0
    while True:
        async with db.unit_of_work(tenant.tenant_id) as session:
            waiting = await queries.waiting_payments(session, most=CHUNK)
        if not waiting:
            return count
        by_lane: dict[int, list[tuple[int, Payment]]] = defaultdict(list)
        for number, reference, document in waiting:
            raw = unseal(keys, tenant.tenant_id, "collected", reference, document)
            payment = msgspec.json.decode(raw, type=Payment)
            by_lane[lane_of(payment.member)].append((number, payment))
        for lane, items in by_lane.items():
            answers = await receive(db, keys, tenant, [payment for _, payment in items], lane=lane)
            rows = [_posted(tenant, number, answer) for (number, _), answer in zip(items, answers, strict=True)]
            async with db.unit_of_work(tenant.tenant_id) as session:
                await queries.mark_posted(session, rows)
        count += len(waiting)


def _posted(tenant: Tenant, number: int, answer: Answer) -> tuple[int, str, int, int, str]:
    if isinstance(answer, EngineError):
        return number, "refused", 0, 0, answer.code
    amount = Amount.parse(answer.amount, tenant.asset)
    return number, answer.state, int(answer.receipt), amount.units, answer.reason or ""
