"""Sends messages: each rendered when it is sent, in the member's language, and carried by an exchange.

Exchanges keep our reference before the first byte and never send blindly again what may have gone out: a message whose
answer was lost stays unknown until a report names it. A welcome or a receipt twice would be harmless, but costs, and
a second receipt looks like a second payment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits import service as benefits
from engine.identity import service as identity
from engine.identity.rules import VaultDocument
from engine.kernel.amounts import Amount
from engine.kernel.outcomes import Answer, ExchangeState, Reason, RequestState
from engine.notices import queries
from engine.notices.errors import ValueTooLong
from engine.notices.ports import Messaging, OutgoingMessage
from engine.notices.queries import Said
from engine.notices.rules.contents import lessons_of, templates_of
from engine.notices.rules.gsm7 import money
from engine.notices.rules.templates import Templates, render
from engine.runtime.database import Database
from engine.runtime.exchanges.engine import Operation, Settled
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

_ACTOR = "system:messages"
_SENT_LATER = frozenset({Reason.PROVIDER_DOWN, Reason.LIMIT})


class _Carried(Answer, frozen=True, kw_only=True):
    """An answer with the short messages that are paid for; `amount` and `currency` are the provider's price."""

    parts: int = 0


@dataclass(frozen=True, slots=True)
class _Paid:
    """Where a payout goes, masked, from when on, and the telephones that its account and the one before it are."""

    account: str = ""
    until: date | None = None
    numbers: Mapping[str, str] = field(default_factory=dict)


def message_operation(messaging: Messaging, db: Database, keys: FileKeyStore, tenant: Tenant) -> Operation:
    """Return how exchanges carry a tenant's messages by an adapter."""
    templates = templates_of(tenant.pack)

    async def ask(raw: bytes, _url: str) -> Answer:
        reference = msgspec.json.decode(raw, type=UUID)
        async with db.unit_of_work(tenant.tenant_id) as session:
            said = await queries.said_of(session, reference)
            people = await identity.read_people(session, keys, [said.member_id], actor=_ACTOR, reason="message")
            paid = await _paid(session, keys, tenant, said)
        written = _written(tenant, templates, reference, said, people.get(said.member_id), paid)
        if isinstance(written, Answer):
            return written
        answer = await messaging.send(written)
        is_taken = answer.state is ExchangeState.ACCEPTED
        return _Carried(
            state=_state(answer.state, answer.reason),
            reason=answer.reason,
            # Some name messages by our reference alone.
            provider_ref=answer.provider_ref or (str(reference) if is_taken else ""),
            amount=answer.cost,
            currency=answer.currency,
            code=answer.code,
            parts=answer.parts or len(written.pieces),
        )

    async def enquire(raw: bytes, _last: Answer, _url: str) -> Answer:
        reference = msgspec.json.decode(raw, type=UUID)
        async with db.unit_of_work(tenant.tenant_id) as session:
            reported = await queries.reported_ref(session, reference)
        if reported is None:
            return Answer(state=RequestState.SENT)
        return Answer(state=RequestState.SUCCEEDED, provider_ref=reported or str(reference))

    return Operation(ask=ask, enquire=enquire, settle=_settle)


async def _paid(session: AsyncSession, keys: FileKeyStore, tenant: Tenant, said: Said) -> _Paid:
    """Return where the payout goes that a message is of, if it is of one."""
    if "payout" not in said.body:
        return _Paid()
    payout_id = UUID(str(said.body["payout"]))
    payout = await benefits.payout_of(session, keys, tenant, payout_id)
    before = await benefits.account_before(session, keys, tenant, payout_id)
    numbers = {"new": payout.number, "old": before.number if before else ""}
    channel = next((one.name for one in tenant.pack.channels if one.code == payout.rail), payout.rail)
    return _Paid(
        account=f"{channel} ..{payout.number[-3:]}",
        until=payout.not_before or payout.made_on,
        numbers={whom: number for whom, number in numbers.items() if number.startswith("+")},
    )


async def _settle(session: AsyncSession, settled: Settled) -> None:
    said = settled.answer
    cost = price(said.amount)
    await queries.settle_message(
        session,
        settled.reference,
        state="sent" if said.state is RequestState.SUCCEEDED else "refused",
        reason=said.reason or "",
        provider_ref=said.provider_ref,
        parts=said.parts if isinstance(said, _Carried) and said.state is RequestState.SUCCEEDED else 0,
        cost=cost,
        currency=said.currency if cost is not None else "",
    )


def price(text: str) -> Decimal | None:
    """Return what a provider asks for, None where it does not say it as a number."""
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() and found >= 0 else None


def _state(state: ExchangeState, reason: Reason | None) -> RequestState:
    if state is ExchangeState.ACCEPTED:
        return RequestState.SUCCEEDED
    if state is not ExchangeState.REJECTED:
        return RequestState.SENT
    return RequestState.CREATED if reason in _SENT_LATER else RequestState.FAILED


def _written(
    tenant: Tenant,
    templates: Mapping[str, Templates],
    reference: UUID,
    said: Said,
    document: VaultDocument | None,
    paid: _Paid,
) -> OutgoingMessage | Answer:
    """Return the message, or the refusal of what cannot be written or is too late."""

    def refused(reason: Reason, code: str) -> Answer:
        return Answer(state=RequestState.FAILED, reason=reason, code=code)

    if document is None or not document.person.phones:
        return refused(Reason.NOT_REGISTERED, "no-phone")
    if said.has_lapsed:
        return refused(Reason.EXPIRED, "lapsed")
    occasion, _, whom = said.occasion.partition(":")
    to = paid.numbers.get(whom, "") if whom else document.person.phones[0]
    if not to or (whom and to == document.person.phones[0]):
        return refused(Reason.NOT_REGISTERED, "told-otherwise")  # no telephone's account, or the one told anyway
    language = document.person.language
    language = language if language in templates else tenant.pack.languages[0]
    known = templates.get(language, {})
    if occasion not in known:
        return refused(Reason.INVALID_REQUEST, "no-template")
    moved_to = next((one for one in tenant.pack.products if one.code == said.body.get("to")), None)
    lesson = next((one for one in lessons_of(tenant.pack, language) if one.id == said.body.get("lesson")), None)
    values = {
        "scheme": tenant.pack.manifest.short_name,
        "name": document.person.full_name,
        "member": document.member_number,
        "amount": money(Amount(said.amount, tenant.asset)),
        "total": money(Amount(said.total, tenant.asset)),
        "receipt": str(said.event_id),
        "account": paid.account,
        "product": tenant.translator(language).gettext(moved_to.name) if moved_to else "",
        "until": f"{paid.until:%d/%m/%Y}" if paid.until else "",
        "day": f"{said.day:%d/%m/%Y}",
        "title": lesson.title if lesson else "",
        "text": lesson.text if lesson else "",
    }
    try:
        return render(known[occasion], values, reference=str(reference), to=to)
    except ValueTooLong as error:
        return refused(Reason.INVALID_REQUEST, error.code)
