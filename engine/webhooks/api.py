"""Routes by which a partner says where it is told."""

from datetime import datetime
from typing import Annotated

from litestar import Controller, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct

from engine.access.rules import Caller
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.runtime.key_file import FileKeyStore
from engine.runtime.settings import Settings
from engine.tenancy.service import Tenant
from engine.webhooks import service
from engine.webhooks.errors import UnknownWebhook, UrlNotAllowed
from engine.webhooks.service import Replayed, Webhook


class WebhookRequested(Struct, frozen=True, forbid_unknown_fields=True):
    """Where to tell you what becomes of what you sent and asked for."""

    url: Annotated[
        str,
        Meta(
            max_length=500,
            description="https, on the internet; messages follow Standard Webhooks 1.0.",
            examples=["https://partner.example/akiba"],
        ),
    ]


class ReplayRequested(Struct, frozen=True, forbid_unknown_fields=True):
    """Since when you want to be told once more, at most 30 days ago; `again`: also what you took."""

    since: Annotated[datetime, Meta(tz=True, examples=["2026-03-27T00:00:00Z"])]
    again: bool = False


class WebhookController(Controller):
    """A partner's webhook."""

    path = "/v1/webhooks"
    tags = ("Webhooks",)

    @put(
        operation_id="SetWebhook",
        opt={"permission": Permission.WEBHOOKS_MANAGE},
        responses=refuses(UrlNotAllowed),
    )
    async def set(
        self,
        data: JSONBody[WebhookRequested],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        settings: NamedDependency[Settings],
    ) -> Webhook:
        """Name the address that you are told at, or another one; a disabled one is told again.

        The secret that messages are signed by is in the answer to the first request, and never again.
        """
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.set_webhook(
                session,
                keys,
                tenant,
                partner_id=_partner(caller),
                actor=caller.actor,
                url=data.url,
                is_local_allowed=not settings.is_production,
            )

    @post(
        "/secret",
        operation_id="ChangeWebhookSecret",
        status_code=200,
        opt={"permission": Permission.WEBHOOKS_MANAGE},
        responses=refuses(UnknownWebhook),
    )
    async def change_secret(
        self,
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> Webhook:
        """Get a new secret, shown once; for a day messages are signed by the old one too."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.change_secret(session, keys, tenant, partner_id=_partner(caller), actor=caller.actor)

    @post(
        "/replay",
        operation_id="ReplayWebhook",
        status_code=200,
        opt={"permission": Permission.WEBHOOKS_MANAGE},
        responses=refuses(UnknownWebhook),
    )
    async def replay(
        self,
        data: JSONBody[ReplayRequested],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> Replayed:
        """Be told once more what you missed: messages that were given up, and what happened while you were told nowhere."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.replay(session, partner_id=_partner(caller), since=data.since, again=data.again)

    @get(operation_id="GetWebhook", opt={"permission": Permission.WEBHOOKS_MANAGE}, responses=refuses(UnknownWebhook))
    async def find(
        self,
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> Webhook:
        """Return where you are told, and how many messages wait or were given up."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.find_webhook(session, keys, tenant, partner_id=_partner(caller))

    @delete(
        operation_id="RemoveWebhook",
        status_code=200,
        opt={"permission": Permission.WEBHOOKS_MANAGE},
        responses=refuses(UnknownWebhook),
    )
    async def remove(
        self, caller: NamedDependency[Caller], tenant: NamedDependency[Tenant], db: NamedDependency[Database]
    ) -> Webhook:
        """Be told nothing more; what waits is dropped."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.remove_webhook(session, tenant, partner_id=_partner(caller), actor=caller.actor)


def _partner(caller: Caller) -> int:
    assert caller.partner_id is not None, "the permission is a partner's alone"
    return caller.partner_id
