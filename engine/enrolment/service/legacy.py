"""Taking in the members of a scheme that was kept elsewhere: by the rules of the day each of them joined there."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from engine.enrolment.errors import AlreadyMember
from engine.enrolment.rules import Accepted, Application
from engine.enrolment.service.joining import CHUNK, Item, decided, take_in
from engine.identity import service as identity
from engine.kernel.clock import business_date
from engine.kernel.errors import EngineError
from engine.kernel.ids import claim_digest
from engine.kernel.series import Figures
from engine.ledger import service as ledger
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant


@dataclass(frozen=True, slots=True)
class Legacy:
    """A member of the old scheme: the pseudonym they get here, their old number, when they joined, and what is known of them."""

    member_id: int
    old_number: str
    joined_on: date
    application: Application


async def check_legacy(tenant: Tenant, figures: Figures, members: Sequence[Legacy]) -> list[Accepted | EngineError]:
    """Return of each whether the rules of the day they joined take them in, in their order."""
    return await asyncio.to_thread(
        lambda: [decided(tenant.pack, one.application, one.joined_on, figures) for one in members]
    )


async def reserve_legacy(
    session: AsyncSession, keys: FileKeyStore, members: Sequence[tuple[Legacy, Accepted]]
) -> tuple[dict[int, UUID], dict[int, str]]:
    """Keep the persons and old numbers for their members, until they are taken in or given back by `identity.release`.

    Returns:
        The index of each old number kept, by member; and of those refused the field that is another's already.
    """
    free = await identity.reserve_persons(
        session,
        keys,
        [(one.member_id, found.terms.product, (*found.numbers, *found.earlier)) for one, found in members],
    )
    indexes = await identity.reserve_earlier_numbers(
        session, keys, {one.member_id: one.old_number for one, _ in members if one.member_id in free}
    )
    taken = {
        one.member_id: "old_number" for one, _ in members if one.member_id in free and one.member_id not in indexes
    }
    await identity.release(session, sorted(taken))
    taken |= {one.member_id: "document_number" for one, _ in members if one.member_id not in free}
    return indexes, taken


async def admit_legacy(
    session: AsyncSession, tenant: Tenant, keys: FileKeyStore, members: Sequence[tuple[Legacy, Accepted]], *, actor: str
) -> None:
    """Enrol members whose persons and numbers `reserve_legacy` kept; at most CHUNK.

    Raises:
        AlreadyMember: one of them was taken in before.
        psycopg.errors.SerializationFailure, DeadlockDetected: the whole transaction must run again.
    """
    assert len(members) <= CHUNK, len(members)
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    items = [
        Item(
            index,
            claim_digest(tenant.tenant_id, "legacy", str(one.member_id)),
            0,
            one.member_id,
            accepted,
            one.joined_on,
            one.old_number,
        )
        for index, (one, accepted) in enumerate(members)
    ]
    taken = await take_in(session, tenant, keys, items, today, actor)
    for item in items:
        if item.index not in taken:
            raise AlreadyMember(product=item.checked.terms.product)
