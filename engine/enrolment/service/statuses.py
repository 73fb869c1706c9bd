"""What registers outside say of members, as of a day: recorded as it comes, the latest counts until it expires."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy.ext.asyncio import AsyncSession

from engine.enrolment import queries
from engine.enrolment.rules import KnownAgain
from engine.kernel.clock import business_date
from engine.kernel.ids import body_digest, claim_digest
from engine.ledger import service as ledger
from engine.ledger.rules import MAX_BATCH, Entry, EventKind, Outcome
from engine.tenancy.service import Tenant

CLASS = "class"
"""The attribute that state money goes by."""


@dataclass(frozen=True, slots=True)
class StatusWord:
    """What a register says of a member: `value` of `attribute` as of a day, until it expires (None: until another comes)."""

    member_id: int
    attribute: str
    value: str
    source: str
    as_of: date
    expires_on: date | None = None


async def known_again(
    session: AsyncSession, asked: Sequence[tuple[int, str, date]]
) -> dict[tuple[int, str, date], KnownAgain]:
    """Return what contributions ask again of each (member_id, product, day); one statement, however many."""
    return dict(zip(asked, await queries.known_again(session, asked), strict=True)) if asked else {}


async def record_statuses(session: AsyncSession, tenant: Tenant, words: Sequence[StatusWord], *, actor: str) -> int:
    """Record what a register says, each word once; return how many were new.

    Args:
        session: the tenant's.
        tenant: the scheme.
        words: at most some thousands; codes alone, nothing that tells a person.
        actor: on whose behalf; nothing personal.

    """
    now = await ledger.scheme_now(session)
    today = business_date(now, tenant.time_zone)
    actor_id = await ledger.actor_id(session, actor)
    new = 0
    for start in range(0, len(words), MAX_BATCH):
        batch = words[start : start + MAX_BATCH]
        entries = [
            Entry(
                member_id=one.member_id,
                kind=EventKind.STATUS_RECORDED,
                business_date=today,
                actor=actor_id,
                pack=tenant.pack_id,
                body={
                    "attribute": one.attribute,
                    "value": one.value,
                    "as_of": one.as_of.isoformat(),
                    "source": one.source,
                },
                body_digest=body_digest(one.value, one.expires_on or ""),
                claims=(
                    claim_digest(
                        tenant.tenant_id,
                        f"status:{one.member_id}:{one.attribute}",
                        f"{one.as_of}:{one.source}:{one.value}",
                    ),
                ),
            )
            for one in batch
        ]
        fates = await ledger.post(session, entries)
        posted = [
            (one, fate.event_id) for one, fate in zip(batch, fates, strict=True) if fate.outcome is Outcome.POSTED
        ]
        await queries.add_attributes(
            session,
            [
                (one.member_id, event, one.as_of, one.expires_on, one.attribute, one.value, one.source)
                for one, event in posted
            ],
        )
        new += len(posted)
    return new
