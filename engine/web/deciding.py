"""What a second person's word does, by kind: each approves or rejects through the use case that the API has for it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits import service as benefits
from engine.benefits.service import Payers
from engine.contributions import service as contributions
from engine.funds import service as funds
from engine.funds.service import OrderDesk
from engine.kernel.errors import NotFound
from engine.reconciliation import service as reconciliation
from engine.reports.api import LAST_DECISION
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy import service as tenancy
from engine.tenancy.service import Tenant
from engine.web.in_full import Verdict
from engine.web.in_full_scheme import figure_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Deciding:
    """What a decision needs: on which item, what was said of it, and by whom."""

    db: Database
    keys: FileKeyStore
    tenant: Tenant
    payers: Payers
    desk: OrderDesk
    item: str
    said: Verdict
    actor: str

    @property
    def number(self) -> int:
        """Return the item's number; NotFound where it is none."""
        if not (self.item.isascii() and self.item.isdigit() and len(self.item) < len(str(LAST_DECISION))):
            raise NotFound
        return int(self.item)

    @property
    def uuid(self) -> UUID:
        """Return the item as a UUID; NotFound where it is none."""
        try:
            return UUID(self.item)
        except ValueError as error:
            raise NotFound from error


Step = Callable[[Deciding], Awaitable[object]]


class _Whole(Protocol):
    def __call__(
        self, db: Database, tenant: Tenant, number: int, /, *, digest: str, actor: str
    ) -> Awaitable[object]: ...


class _WithKeys(Protocol):
    def __call__(
        self, db: Database, keys: FileKeyStore, tenant: Tenant, number: int, /, *, digest: str, actor: str
    ) -> Awaitable[object]: ...


class _Within(Protocol):
    def __call__(
        self, session: AsyncSession, tenant: Tenant, number: int, /, *, digest: str, actor: str
    ) -> Awaitable[object]: ...


def whole(act: _Whole) -> Step:
    """Return the step of a use case that opens its transactions itself."""
    return lambda one: act(one.db, one.tenant, one.number, digest=one.said.digest, actor=one.actor)


def with_keys(act: _WithKeys) -> Step:
    """Return the step of a use case that opens its transactions itself and reads what is encrypted."""
    return lambda one: act(one.db, one.keys, one.tenant, one.number, digest=one.said.digest, actor=one.actor)


def within(act: _Within) -> Step:
    """Return the step of a use case of one transaction."""

    async def step(one: Deciding) -> None:
        async with one.db.unit_of_work(one.tenant.tenant_id) as session:
            await act(session, one.tenant, one.number, digest=one.said.digest, actor=one.actor)

    return step


async def leave_payment(one: Deciding) -> None:
    """Leave a payment that was to be taken back."""
    async with one.db.unit_of_work(one.tenant.tenant_id) as session:
        await contributions.reject_reversal(session, one.tenant, one.number, actor=one.actor)


async def leave_line(one: Deciding) -> None:
    """Leave a line of a statement as it is."""
    async with one.db.unit_of_work(one.tenant.tenant_id) as session:
        await reconciliation.reject_proposal(session, one.tenant, one.number, actor=one.actor)


async def leave_in_suspense(one: Deciding) -> None:
    """Leave a payment in suspense."""
    async with one.db.unit_of_work(one.tenant.tenant_id) as session:
        await contributions.reject_owner(session, one.keys, one.tenant, one.number, actor=one.actor)


async def pay(one: Deciding) -> None:
    """Pay exactly what was read."""
    payout = one.uuid
    async with benefits.approving(one.db, one.tenant, payout), one.db.unit_of_work(one.tenant.tenant_id) as session:
        await benefits.approve(
            session,
            one.keys,
            one.tenant,
            one.payers,
            payout,
            digest=one.said.digest,
            actor=one.actor,
            name_seen=bool(one.said.name_seen),
        )


async def refuse_to_pay(one: Deciding) -> None:
    """Refuse a payout."""
    payout = one.uuid
    async with benefits.approving(one.db, one.tenant, payout), one.db.unit_of_work(one.tenant.tenant_id) as session:
        await benefits.refuse(session, one.keys, one.tenant, payout, actor=one.actor)


async def book_action(one: Deciding) -> None:
    """Let a split or income of a fund be booked; a split at the price that was typed."""
    await funds.approve_action(one.db, one.tenant, one.number, one.said.digest, price=one.said.price, actor=one.actor)


def on_figure(act: Callable[..., Awaitable[object]]) -> Step:
    """Return the step of a decision on a point of a series: NotFound where it is not the one that was read."""

    async def step(one: Deciding) -> None:
        async with one.db.unit_of_work(one.tenant.tenant_id) as session:
            points = await tenancy.list_figures(session)
            if one.said.digest not in [figure_digest(point) for point in points if point.point_id == one.number]:
                raise NotFound
            await act(session, one.tenant, one.number, actor=one.actor)

    return step


def on_version(act: Callable[..., Awaitable[object]]) -> Step:
    """Return the step of a decision on a version of the rules, whose hash is what stands for it."""

    async def step(one: Deciding) -> None:
        async with one.db.unit_of_work(one.tenant.tenant_id) as session:
            await act(session, one.tenant, one.number, sha256=one.said.digest, actor=one.actor)

    return step


async def ask_back(one: Deciding) -> None:
    """Ask an order back from its manager."""
    async with one.db.unit_of_work(one.tenant.tenant_id) as session:
        await funds.approve_cancellation(
            session, one.tenant, one.desk, one.number, digest=one.said.digest, actor=one.actor
        )


async def leave_order(one: Deciding) -> None:
    """Leave an order with its manager."""
    async with one.db.unit_of_work(one.tenant.tenant_id) as session:
        await funds.reject_cancellation(session, one.number, digest=one.said.digest, actor=one.actor)
