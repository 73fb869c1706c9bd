"""What was told to members and what it cost, for whoever runs the scheme."""

from datetime import date
from decimal import Decimal
from typing import Annotated

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import Struct

from engine.kernel.permissions import Permission
from engine.notices import service
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

Member = Annotated[str, QueryParameter(name="member", min_length=1, max_length=40, description="A member number.")]
Start = Annotated[date, QueryParameter(name="from", description="The first day, in the scheme's time zone.")]
End = Annotated[date, QueryParameter(name="until", description="The last day.")]


class MessageShown(Struct, frozen=True, omit_defaults=True):
    """A message without its text and number.

    `state`: "queued", "unknown" (it may have gone out), "sent", "refused" (it never went), and by reports "delivered",
    "read" or "failed". `parts` are the short messages paid for; `cost` is decimal text, left out where nobody told it.
    """

    message: str
    occasion: str
    event: str
    queued_at: str
    state: str
    parts: int
    cost: str = ""
    currency: str = ""
    reason: str = ""


class MessageList(Struct, frozen=True):
    """A member's messages, the newest first, at most 200."""

    items: list[MessageShown]


class MessageCost(Struct, frozen=True):
    """What a day's messages of one occasion came to; `currency` is empty where no cost was told."""

    day: date
    occasion: str
    currency: str
    messages: int
    parts: int
    cost: str


class MessageCosts(Struct, frozen=True):
    """Costs by day, occasion and currency."""

    items: list[MessageCost]


class MessageController(Controller):
    """Messages."""

    path = "/v1/messages"
    tags = ("Messages",)

    @get("/", operation_id="ListMessages", opt={"permission": Permission.OPERATIONS_READ})
    async def list_messages(
        self,
        member: Member,
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> MessageList:
        """Return what a member was told."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            rows = await service.messages_of(session, keys, member)
        return MessageList(
            [
                MessageShown(
                    message=str(row.message_id),
                    occasion=row.occasion,
                    event=str(row.event_id),
                    queued_at=row.queued_at.isoformat(),
                    state=row.state,
                    parts=row.parts,
                    cost=_text(row.cost),
                    currency=row.currency,
                    reason=row.reason,
                )
                for row in rows
            ]
        )

    @get("/costs", operation_id="ListMessageCosts", opt={"permission": Permission.OPERATIONS_READ})
    async def list_costs(
        self, start: Start, end: End, tenant: NamedDependency[Tenant], db: NamedDependency[Database]
    ) -> MessageCosts:
        """Return what the messages of some days came to."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            rows = await service.costs(session, tenant, start, end)
        return MessageCosts(
            [
                MessageCost(row.day, row.occasion, row.currency, row.messages, row.parts, format(row.cost, "f"))
                for row in rows
            ]
        )


def _text(cost: Decimal | None) -> str:
    return "" if cost is None else format(cost, "f")
