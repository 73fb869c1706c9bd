"""Composition of the background: the log's appender, the jobs that were promised, and those that come round."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import procrastinate
from procrastinate import PsycopgConnector

from engine.app import DatabaseURLs, Deployment, adapter, follow_tenants
from engine.audit import service as audit
from engine.benefits.jobs import JOBS as BENEFIT_JOBS
from engine.closing.jobs import JOBS as CLOSING_JOBS
from engine.contributions.jobs import JOBS as CONTRIBUTION_JOBS
from engine.file_places import turn_places
from engine.funds.jobs import JOBS as FUND_JOBS
from engine.identity.jobs import JOBS as IDENTITY_JOBS
from engine.ledger import service as ledger
from engine.mergers.jobs import JOBS as MERGER_JOBS
from engine.opening.jobs import JOBS as OPENING_JOBS
from engine.outside import Outside, OutsideWork, calling, read_and_post
from engine.reconciliation.jobs import JOBS as RECONCILIATION_JOBS
from engine.runtime.counterparty_file import CounterpartyFile
from engine.runtime.database import Role
from engine.runtime.jobs import Jobs, promise
from engine.runtime.logging import get_logger
from engine.runtime.public_transport import open_public_transport
from engine.webhooks import service as webhooks
from integrations.messaging.standard_webhooks.adapter import StandardWebhooks

JOBS: Jobs = {
    **IDENTITY_JOBS,
    **RECONCILIATION_JOBS,
    **FUND_JOBS,
    **CONTRIBUTION_JOBS,
    **BENEFIT_JOBS,
    **OPENING_JOBS,
    **MERGER_JOBS,
    **CLOSING_JOBS,
}
"""Every job by name; each is called as `job(db, keys, tenants, **arguments)`."""

SCHEDULED = (
    "identity.index_telephones",
    "reconciliation.match_statements",
    "contributions.recompute_changes",
    "funds.rebalance",
    "benefits.carry_on_claims",
    "benefits.carry_on_fees",
    "benefits.carry_on_moves",
    "benefits.follow_merged",
    "benefits.follow_deaths",
    "benefits.recount",
    "benefits.follow_standings",
    "benefits.follow_loans",
    "benefits.lapse_covers",
    "benefits.take_transfers_in",
    "benefits.settle_payouts",
    "mergers.carry_on",
    "closing.close_business",
)
"""Jobs that come round for every tenant; a waiting one is not queued again."""

ROUND_SECONDS = 60
FOLLOWED_SECONDS = 2
"""How soon the work with a new tenant's counterparties begins, or is done by a new pack version."""

_log = get_logger(__name__)


def job_app(deployment: Deployment, urls: DatabaseURLs) -> procrastinate.App:
    """Return procrastinate's application with every job registered under its name."""
    app = procrastinate.App(connector=PsycopgConnector(conninfo=urls.app, min_size=1, max_size=4))
    for name, job in JOBS.items():
        app.task(name=name, retry=procrastinate.RetryStrategy(max_attempts=8, exponential_wait=2))(
            _bound(deployment, job)
        )
    return app


def _bound(deployment: Deployment, job: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[None]]:
    async def run(**arguments: Any) -> None:
        await job(deployment.db, deployment.keys, deployment.tenants, **arguments)

    return run


async def work(deployment: Deployment, urls: DatabaseURLs, *, until_idle: bool = False) -> None:
    """Run the background until cancelled; with `until_idle`, until nothing waits."""
    app = job_app(deployment, urls)
    file = CounterpartyFile(deployment.settings.counterparties_file)
    async with (
        app.open_async(),
        calling(deployment.db, deployment.keys, file, deployment.base_url, adapter) as outside,
        open_public_transport(
            seconds=webhooks.ANSWER_SECONDS, is_local_allowed=not deployment.settings.is_production
        ) as public,
    ):
        teller = StandardWebhooks(public)
        if until_idle:
            await turn_outside(deployment, outside)
            await app.run_worker_async(wait=False, install_signal_handlers=False, listen_notify=False)
            await append_all(deployment)
            for tenant in deployment.tenants:
                while await webhooks.tell(deployment.db, deployment.keys, tenant.tenant_id, teller):
                    pass
            return
        stop = asyncio.Event()
        appender = asyncio.create_task(_append_forever(deployment, stop))
        folder = asyncio.create_task(_round_forever(deployment))
        follower = asyncio.create_task(follow_tenants(deployment))
        exchanger = asyncio.create_task(_exchange_forever(deployment, outside, teller))
        try:
            await app.run_worker_async(concurrency=4, shutdown_graceful_timeout=20)
        finally:
            stop.set()
            folder.cancel()
            follower.cancel()
            exchanger.cancel()
            await asyncio.gather(appender, folder, follower, exchanger, return_exceptions=True)


async def turn_outside(deployment: Deployment, outside: Outside) -> None:
    """Do for every tenant what is due with its counterparties now: read, call, post."""
    for tenant in deployment.tenants:
        joined = outside.of(tenant)
        await read_and_post(deployment.db, deployment.keys, tenant, joined)
        await turn_places(deployment.db, deployment.keys, tenant, joined.exchanges, joined.places)
        await joined.exchanges.work(tenant.tenant_id)
        await read_and_post(deployment.db, deployment.keys, tenant, joined)


async def _exchange_forever(deployment: Deployment, outside: Outside, teller: StandardWebhooks) -> None:
    work = OutsideWork(deployment.db, deployment.keys, outside, teller=teller)
    try:
        while True:
            for tenant in deployment.tenants:
                work.follow(tenant)
            await asyncio.sleep(FOLLOWED_SECONDS)
    finally:
        await work.stop()


async def append_all(deployment: Deployment) -> None:
    """Give every committed batch of every tenant its place in the log, and sign."""
    for tenant in deployment.tenants:
        await audit.append(
            deployment.db,
            deployment.keys,
            tenant.tenant_id,
            tenant.pack.log_origin,
            published=last_checkpoint(deployment, tenant.code),
        )


def last_checkpoint(deployment: Deployment, code: str) -> Path:
    """Return the file, outside of the database, that keeps a tenant's last checkpoint: it shows a rolled-back database."""
    return deployment.settings.data_dir / "checkpoints" / code


async def _append_forever(deployment: Deployment, stop: asyncio.Event) -> None:
    async def origins() -> Mapping[int, str]:
        return {
            tenant.tenant_id: tenant.pack.log_origin for tenant in await deployment.tenants.activate_new(deployment.db)
        }

    await audit.sequence_forever(
        deployment.db,
        deployment.keys,
        origins,
        stop=stop,
        published=lambda tenant_id: last_checkpoint(deployment, deployment.tenants.by_id(tenant_id).code),
    )


async def _round_forever(deployment: Deployment) -> None:
    while True:
        try:
            for tenant in deployment.tenants:
                async with deployment.db.unit_of_work(tenant.tenant_id, role=Role.JOBS) as session:
                    await ledger.roll_up(session)
                async with deployment.db.unit_of_work(tenant.tenant_id) as session:
                    for name in SCHEDULED:
                        await promise(session, name, tenant_id=tenant.tenant_id)
        except Exception:  # noqa: BLE001 - whatever it was, the next round tries again
            _log.exception("the round of scheduled work failed and tries again")
        await asyncio.sleep(ROUND_SECONDS)
