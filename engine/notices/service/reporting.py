"""Reports of deliveries: kept raw by the callbacks of exchanges, read by the adapter that checks their signature.

A report that is forged or no report is marked unreadable and changes nothing. Reports name the provider's own id, which
may come before our answer with that id was stored; so they are rows of their own, and what they say is read together.
"""

import hashlib
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.kernel.ids import claim_digest
from engine.kernel.outcomes import Answer, Hint, RequestState
from engine.kernel.transport import Callback, WireRequest
from engine.notices import queries
from engine.notices.errors import ReportForged, ReportUnreadable
from engine.notices.ports import DeliveryHint, Messaging
from engine.notices.service.queueing import Messenger
from engine.notices.service.sending import price
from engine.runtime.exchanges.engine import Operation, Settled
from engine.tenancy.service import Tenant

REPORTS = "messages.reports"
"""The operation of exchanges that takes reports, and the name they come under."""


class _Told(Hint, frozen=True, kw_only=True):
    reports: tuple[DeliveryHint, ...]


async def report_address(session: AsyncSession, messenger: Messenger) -> str:
    """Make and return an address at which a provider reports deliveries."""
    return await messenger.exchanges.standing_address(session, counterparty=REPORTS, operation=REPORTS)


def greeting(messaging: Messaging, callback: Callback) -> bytes | None:
    """Return the body that answers a provider's test of our address; None if it is no test, or does not know the word."""
    answer = messaging.answer_handshake(_wire(callback))
    return None if answer is None else answer.body


def _wire(callback: Callback) -> WireRequest:
    url = f"?{callback.query}" if callback.query else ""
    return WireRequest(method=callback.method, url=url, headers=callback.headers, body=callback.body)


def report_operation(messaging: Messaging, tenant: Tenant) -> Operation:
    """Return how exchanges take a tenant's reports: each is kept once, and nobody is asked anything."""

    def read_callback(callback: Callback) -> Hint | None:
        try:
            reports = messaging.read_report(_wire(callback))
        except (ReportForged, ReportUnreadable):
            return None
        return _Told(claimed=Answer(state=RequestState.SENT), reports=reports) if reports else None

    def claims(hint: Hint) -> tuple[UUID, bytes] | None:
        assert isinstance(hint, _Told)
        question = msgspec.json.encode(hint.reports)
        return claim_digest(tenant.tenant_id, "message-report", hashlib.sha256(question).hexdigest()), question

    async def take(raw: bytes) -> Answer:
        return Answer(state=RequestState.SUCCEEDED, provider_ref=hashlib.sha256(raw).hexdigest())

    async def settle(session: AsyncSession, settled: Settled) -> None:
        reports = msgspec.json.decode(settled.question, type=tuple[DeliveryHint, ...])
        await queries.add_reports(session, reports, [price(one.cost) for one in reports])

    return Operation(
        ask=lambda raw, _url: take(raw),
        enquire=lambda raw, _last, _url: take(raw),
        settle=settle,
        read_callback=read_callback,
        claims=claims,
    )
