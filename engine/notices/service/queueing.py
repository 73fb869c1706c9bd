"""Queues messages: a consumer of the audit sequence, which moves its cursor in the transaction that queues them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from engine.benefits.rules.reminders import ReminderRule, out_of_quiet_hours
from engine.kernel.ids import claim_digest
from engine.kernel.rules import Dates
from engine.ledger.rules import EventKind
from engine.notices import queries
from engine.notices.queries import ACCOUNT_CHANGED, WANTED
from engine.notices.rules.contents import templates_of
from engine.runtime.database import Database
from engine.runtime.exchanges.engine import Exchanges
from engine.tenancy.service import Tenant

MESSAGES = "messages"
"""The operation of exchanges that carries messages, and the name of who carries them."""

TOLD: Mapping[int, str] = {
    EventKind.MEMBER_ENROLLED: "welcome",
    EventKind.MENU_PIN_SET: "welcome",
    EventKind.PRODUCT_MOVED: "product-moved",
    EventKind.CONTRIBUTION_RECEIVED: "contribution-received",
    EventKind.SUSPENSE_RESOLVED: "contribution-received",
    EventKind.BENEFIT_APPROVED: "claim-approved",
    EventKind.BENEFIT_REFUSED: "claim-refused",
    EventKind.BENEFIT_REJECTED: "claim-refused",
    EventKind.PAYOUT_INSTRUCTED: ACCOUNT_CHANGED,
    EventKind.PAYOUT_SETTLED: "payout-sent",
    EventKind.PAYOUT_FAILED: "payout-failed",
    EventKind.PAYOUT_RETURNED: "payout-failed",
    EventKind.MESSAGE_WANTED: WANTED,
}
"""The events that members are told of, and the template that tells it. A pack without the template tells nobody."""

TOLD_MANY: Mapping[int, str] = {
    EventKind.INTEREST_CREDITED: "interest-credited",
    EventKind.UNITS_ALLOTTED: "units-bought",
}
"""Likewise the events of the house that move many members' money: each of them is told of theirs."""


@dataclass(frozen=True, slots=True)
class Messenger:
    """How members of one tenant are written to."""

    exchanges: Exchanges


async def queue_messages(db: Database, tenant: Tenant, messenger: Messenger, *, now: datetime) -> int:
    """Queue a message for every event that came into the log since, in one transaction a batch; return how many.

    The first call queues nothing: members are told what happens from then on. In the quiet hours of the product's
    reminders a message waits for their end.

    Args:
        db: where the log and the messages are.
        tenant: whose.
        messenger: how they are carried.
        now: the instant, by which quiet hours are told.
    """
    count = 0
    while (queued := await _queue_batch(db, tenant, messenger, now)) is not None:
        count += queued
    return count


async def _queue_batch(db: Database, tenant: Tenant, messenger: Messenger, now: datetime) -> int | None:
    """Queue the messages of the next events; None if there are no further ones."""
    async with db.unit_of_work(tenant.tenant_id) as session:
        start = await queries.lock_cursor(session)
        if start is None:
            return None
        own, many = _told_by(tenant)
        next_seq, events = await queries.next_events(session, start, own, many)
        if next_seq == start:
            return None
        if events:
            due = {product: _due(tenant, product, now) for product in {one.product for one in events}}
            references = [
                claim_digest(tenant.tenant_id, "message", f"{one.event_id}:{one.occasion}")
                if one.is_own
                else claim_digest(tenant.tenant_id, "message", f"{one.event_id}:{one.occasion}:{one.member_id}")
                for one in events
            ]
            await messenger.exchanges.open_many(
                session,
                counterparty=MESSAGES,
                operation=MESSAGES,
                asked=[
                    (reference, msgspec.json.encode(reference), due[one.product])
                    for reference, one in zip(references, events, strict=True)
                ],
            )
            await queries.insert_messages(session, references, events)
        await queries.move_cursor(session, next_seq)
        return len(events)


def _told_by(tenant: Tenant) -> tuple[dict[int, str], dict[int, str]]:
    """Return the events that the pack has words for, members' own and the house's, each with its occasion."""
    templates = templates_of(tenant.pack).values()
    known = {WANTED} | {occasion for one in templates for occasion in one}
    own, many = ({kind: one for kind, one in told.items() if one in known} for told in (TOLD, TOLD_MANY))
    return own, many


def _due(tenant: Tenant, product: str, now: datetime) -> datetime:
    local = now.astimezone(ZoneInfo(tenant.time_zone))
    rules = tenant.rules(ReminderRule, product=product, dates=Dates(on=local.date(), joined_on=local.date()))
    return max((out_of_quiet_hours(found.rule, local) for found in rules), default=local)
