"""Use cases of webhooks: where a partner is told, and telling it.

A message is stored before it is sent for the first time, by a cursor over the log's gap-free sequence: whatever dies, each
endpoint has one delivery for an event. It may be sent more than once, always by the same id.
"""

import asyncio
import base64
import hashlib
import secrets
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.kernel.clock import SystemClock, business_date
from engine.kernel.errors import Invalid
from engine.kernel.ids import house_member
from engine.kernel.transport import Unanswered, Unreachable
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.runtime.logging import get_logger
from engine.runtime.sealing import seal, unseal
from engine.tenancy.service import Tenant
from engine.webhooks import queries
from engine.webhooks.errors import UnknownWebhook, UrlNotAllowed
from engine.webhooks.ports import Webhooks
from engine.webhooks.queries import Ended, Picked
from engine.webhooks.rules import WebhookMessage, WebhookState, next_wait, url_problem

ANSWER_SECONDS = 20.0
"""How long an endpoint may take to answer. Source: Standard Webhooks 1.0: 15 to 30 seconds."""

OLD_SECRET_LIFE = timedelta(days=1)
"""How long messages are signed by the secret before the newest one, too."""

REPLAY_LIFE = timedelta(days=30)
"""How long ago what is told once more may be."""

_LEASE_SECONDS = 90.0
_SECRET_BYTES = 32
_TABLE = "webhook_endpoints"
_log = get_logger(__name__)


class Webhook(Struct, frozen=True, omit_defaults=True):
    """Where a partner is told, and how far that has come.

    `secret` is shown once: when an endpoint is named for the first time, and when its secret is changed. `state` is
    `active`, `disabled` once the endpoint has answered 410, or `removed`. `last_code` is the status of the last attempt, or
    `unreachable` or `unanswered`.
    """

    url: str
    state: str
    waiting: int
    failed: int
    last_code: str = ""
    last_at: datetime | None = None
    secret: str = ""


class Replayed(Struct, frozen=True):
    """What is told once more: since when, and how many messages wait anew; what the log brings anew is not counted yet."""

    since: datetime
    waiting: int


class _Endpoint(Struct, frozen=True):
    """What is sealed of an endpoint."""

    url: str
    secret: str
    old_secret: str = ""
    old_until: datetime | None = None

    def secrets(self, now: datetime) -> list[str]:
        """Return the secrets to sign by, newest first."""
        is_old_good = self.old_until is not None and now < self.old_until
        return [self.secret, self.old_secret] if is_old_good else [self.secret]


# -- where partners are told


async def set_webhook(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    *,
    partner_id: int,
    actor: str,
    url: str,
    is_local_allowed: bool = False,
) -> Webhook:
    """Tell a partner at `url` from now on; the secret is new, and shown, where it was told nowhere before.

    Raises:
        UrlNotAllowed: it is not https, or leads to this machine or a private network.
    """
    problem = url_problem(url, is_local_allowed=is_local_allowed)
    if problem:
        raise UrlNotAllowed(field="url", reason=problem)
    row = await queries.lock_endpoint(session, partner_id)
    is_new = row is None or row.state == "removed"
    if row is None or row.state == "removed":
        endpoint = _Endpoint(url, _new_secret())
    else:
        endpoint = msgspec.structs.replace(_opened(keys, tenant.tenant_id, partner_id, row.document), url=url)
    await _keep(session, keys, tenant, partner_id, endpoint)
    await _record(session, tenant, EventKind.WEBHOOK_SET, partner_id, actor, url)
    return await _shown(session, keys, tenant, partner_id, secret=endpoint.secret if is_new else "")


async def change_secret(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, *, partner_id: int, actor: str
) -> Webhook:
    """Sign by a new secret, which is shown, and for OLD_SECRET_LIFE by the one before it as well.

    Raises:
        UnknownWebhook: the partner is told nowhere.
    """
    row = await queries.lock_endpoint(session, partner_id)
    if row is None or row.state != "active":
        raise UnknownWebhook
    old = _opened(keys, tenant.tenant_id, partner_id, row.document)
    until = SystemClock().now() + OLD_SECRET_LIFE
    new = _Endpoint(old.url, _new_secret(), old.secret, until)
    await _keep(session, keys, tenant, partner_id, new)
    await _record(session, tenant, EventKind.WEBHOOK_SECRET_CHANGED, partner_id, actor, old.url)
    return await _shown(session, keys, tenant, partner_id, secret=new.secret)


async def find_webhook(session: AsyncSession, keys: FileKeyStore, tenant: Tenant, *, partner_id: int) -> Webhook:
    """Return where a partner is told.

    Raises:
        UnknownWebhook: nowhere.
    """
    return await _shown(session, keys, tenant, partner_id)


async def replay(session: AsyncSession, *, partner_id: int, since: datetime, again: bool = False) -> Replayed:
    """Tell a partner once more what it missed since a time: what was given up, dropped, or happened while it was told nowhere.

    Messages keep their ids, so that a partner knows one that it has; each event has one message, however often this is asked for.

    Args:
        session: the tenant's.
        partner_id: the partner's.
        since: at most REPLAY_LIFE ago.
        again: also what the endpoint took.

    Raises:
        UnknownWebhook: the partner is told nowhere now.
        Invalid: it is too long ago.
    """
    if since < SystemClock().now() - REPLAY_LIFE:
        raise Invalid(field="since", reason=f"at most {REPLAY_LIFE.days} days ago")
    row = await queries.lock_endpoint(session, partner_id)
    if row is None or row.state != "active":
        raise UnknownWebhook
    return Replayed(since=since, waiting=await queries.replay(session, partner_id, since, again=again))


async def remove_webhook(session: AsyncSession, tenant: Tenant, *, partner_id: int, actor: str) -> Webhook:
    """Tell a partner nothing more; what waits is dropped, address and secrets are forgotten. Return what is left.

    Raises:
        UnknownWebhook: it is told nowhere.
    """
    row = await queries.lock_endpoint(session, partner_id)
    if row is None or row.state == "removed":
        raise UnknownWebhook
    await queries.remove_endpoint(session, partner_id)
    await _record(session, tenant, EventKind.WEBHOOK_REMOVED, partner_id, actor, "")
    left = await queries.figures_of(session, partner_id)
    return Webhook(url="", state="removed", waiting=left.waiting, failed=left.failed)


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def _opened(keys: FileKeyStore, tenant_id: int, partner_id: int, document: bytes) -> _Endpoint:
    return msgspec.json.decode(unseal(keys, tenant_id, _TABLE, partner_id, document), type=_Endpoint)


async def _keep(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, partner_id: int, endpoint: _Endpoint
) -> None:
    document = seal(keys, tenant.tenant_id, _TABLE, partner_id, msgspec.json.encode(endpoint))
    await queries.write_endpoint(session, partner_id, document)


async def _record(
    session: AsyncSession, tenant: Tenant, kind: EventKind, partner_id: int, actor: str, url: str
) -> None:
    now = await ledger.scheme_now(session)
    body = {"partner": str(partner_id)} | ({"url_digest": hashlib.sha256(url.encode()).hexdigest()} if url else {})
    entry = Entry(
        member_id=house_member(tenant.tenant_id),
        kind=kind,
        business_date=business_date(now, tenant.time_zone),
        actor=await ledger.actor_id(session, actor),
        pack=tenant.pack_id,
        body=body,
    )
    await ledger.post(session, [entry])


async def _shown(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, partner_id: int, *, secret: str = ""
) -> Webhook:
    row = await queries.find_endpoint(session, partner_id)
    if row is None or row.state == "removed":
        raise UnknownWebhook
    figures = await queries.figures_of(session, partner_id)
    return Webhook(
        url=_opened(keys, tenant.tenant_id, partner_id, row.document).url,
        state=row.state,
        waiting=figures.waiting,
        failed=figures.failed,
        last_code=figures.last_code,
        last_at=figures.last_at,
        secret=secret,
    )


# -- telling


async def tell(db: Database, keys: FileKeyStore, tenant_id: int, webhooks: Webhooks) -> int:
    """Do what is due for a tenant's partners now; return how many events of the log and attempts that were."""
    return await follow_log(db, tenant_id) + await send_due(db, keys, tenant_id, webhooks)


async def follow_log(db: Database, tenant_id: int) -> int:
    """Store what the next part of the log gives partners to be told; return how many events that part has."""
    async with db.unit_of_work(tenant_id) as session:
        return await queries.follow_log(session)


async def send_due(db: Database, keys: FileKeyStore, tenant_id: int, webhooks: Webhooks) -> int:
    """Send what is due, a few messages of each endpoint at once; return how many attempts there were."""
    async with db.unit_of_work(tenant_id) as session:
        picked = await queries.pick_due(session, _LEASE_SECONDS)
    if not picked:
        return 0
    attempts = [_attempt(one, _opened(keys, tenant_id, one.partner_id, one.document), webhooks) for one in picked]
    ended = await asyncio.gather(*attempts)
    gone = {
        (one.partner_id, one.version) for one, end in zip(picked, ended, strict=True) if end.state == WebhookState.GONE
    }
    async with db.unit_of_work(tenant_id) as session:
        await queries.end_attempts(
            session,
            [
                Ended(end.delivery_id, end.lease, "dropped", end.code) if end.state == WebhookState.GONE else end
                for end in ended
            ],
        )
        if gone:
            await queries.disable_endpoints(session, sorted(gone))
    return len(picked)


async def _attempt(one: Picked, endpoint: _Endpoint, webhooks: Webhooks) -> Ended:
    now = SystemClock().now()
    message = WebhookMessage(
        message_id=f"msg_{one.delivery_id.hex}", url=endpoint.url, body=one.body.encode(), sent_at=int(now.timestamp())
    )
    asked = 0
    try:
        answer = await webhooks.deliver(message, endpoint.secrets(now))
    except Unreachable:
        code = "unreachable"
    except Unanswered:
        code = "unanswered"
    except Exception as error:  # noqa: BLE001 - one partner's trouble must not keep the others waiting
        _log.warning("a webhook could not be sent", delivery=str(one.delivery_id), kind=type(error).__name__)
        code = "not-sent"
    else:
        code, asked = answer.code, answer.wait_seconds
        if answer.state is WebhookState.TAKEN:
            return Ended(one.delivery_id, one.lease, "delivered", code)
        if answer.state is WebhookState.GONE:
            return Ended(one.delivery_id, one.lease, WebhookState.GONE, code)
    wait = next_wait(one.attempts, secrets.randbelow(1000) / 1000, asked)
    if wait is None:
        return Ended(one.delivery_id, one.lease, "failed", code)
    return Ended(one.delivery_id, one.lease, "waiting", code, wait.total_seconds())
