"""Payments of many requests at once, gathered into shared commits."""

import asyncio
from collections.abc import Sequence

from engine.contributions.rules import Payment, lane_of
from engine.contributions.service.receiving import CHUNK, Answer, receive
from engine.runtime.database import Database
from engine.runtime.group_commit import GroupCommit, GroupSizes
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant


class Intake:
    """Gathers the payments of concurrent requests into shared commits, a posting lane at a time."""

    def __init__(self, db: Database, keys: FileKeyStore, *, most: int = CHUNK) -> None:
        """Write at most `most` payments in one transaction."""
        self._db, self._keys = db, keys
        self._group: GroupCommit[tuple[Tenant, Payment], Answer] = GroupCommit(self._write, most=most)

    @property
    def sizes(self) -> GroupSizes:
        """Return how many payments shared a commit."""
        return self._group.sizes

    async def receive(self, tenant: Tenant, payment: Payment) -> Answer:
        """Return what became of one payment, once it is committed."""
        return await self._group.submit((tenant.tenant_id, lane_of(payment.member)), (tenant, payment))

    async def receive_many(self, tenant: Tenant, payments: Sequence[Payment]) -> list[Answer]:
        """Return what became of each payment, in order."""
        return list(await asyncio.gather(*(self.receive(tenant, payment) for payment in payments)))

    async def drained(self) -> None:
        """Wait until every payment taken is answered; for an orderly stop."""
        await self._group.drained()

    async def _write(self, lane: tuple[int, int], items: Sequence[tuple[Tenant, Payment]]) -> Sequence[Answer]:
        tenant = items[-1][0]
        return await receive(self._db, self._keys, tenant, [payment for _, payment in items], lane=lane[1])
