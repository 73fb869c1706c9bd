"""Composition of the background: the log's appender, the jobs that were promised, and those that come round."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import procrastinate
from procrastinate import PsycopgConnector

from engine.app import Deployment, DatabaseURLs
from engine.audit import service as audit
from engine.ledger import service as ledger
from engine.reconciliation.jobs import JOBS as RECONCILIATION_JOBS
from engine.funds.jobs import JOBS as FUND_JOBS
from engine.runtime.database import Role
from engine.runtime.jobs import Jobs
from engine.runtime.logging import get_logger

JOBS: Jobs = {**RECONCILIATION_JOBS, **FUND_JOBS}
"""Every job by name; each is called as `job(db, keys, tenants, **arguments)`."""

ROLL_UP_SECONDS = 60
_log = get_logger(__name__)


def job_app(deployment: Deployment, urls: DatabaseURLs) -> procrastinate.App:
    """Return procrastinate's application with every job registered under its name."""
    app = procrastinate.App(connector=PsycopgConnector(conninfo=urls.app, min_size=1, max_size=4))
    for name, job in JOBS.items():
        app.task(name=name, retry=procrastinate.RetryStrategy(max_attempts=8, exponential_wait=2))(_bound(deployment, job))
    return app


def _bound(deployment: Deployment, job: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[None]]:
    async def run(**arguments: Any) -> None:
        await job(deployment.db, deployment.keys, deployment.tenants, **arguments)

    return run


async def work(deployment: Deployment, urls: DatabaseURLs, *, until_idle: bool = False) -> None:
    """Run the background until cancelled; with `until_idle`, until nothing waits."""
    app = job_app(deployment, urls)
    async with app.open_async():
        if until_idle:
            await app.run_worker_async(wait=False, install_signal_handlers=False, listen_notify=False)
            await append_all(deployment)
            return
        rounds = [asyncio.create_task(_roll_up_forever(deployment)), asyncio.create_task(_append_forever(deployment))]
        try:
            await app.run_worker_async(concurrency=4, install_signal_handlers=False, shutdown_graceful_timeout=20)
        finally:
            for task in rounds:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*rounds)


async def append_all(deployment: Deployment) -> None:
    """Give every committed batch of every tenant its place in the log, and sign."""
    for tenant in deployment.tenants:
        while await audit.append(
            deployment.db, deployment.keys, tenant.tenant_id, tenant.pack.log_origin
        ):
            pass


async def _append_forever(deployment: Deployment) -> None:
    while True:
        try:
            await append_all(deployment)
        except Exception:
            _log.exception("the appender failed and tries again")
            await asyncio.sleep(5)
        await asyncio.sleep(0.5)


async def _roll_up_forever(deployment: Deployment) -> None:
    while True:
        try:
            for tenant in deployment.tenants:
                async with deployment.db.unit_of_work(tenant.tenant_id, role=Role.JOBS) as session:
                    await ledger.roll_up(session)
        except Exception:
            _log.exception("the roll-up failed and tries again")
        await asyncio.sleep(ROLL_UP_SECONDS)
