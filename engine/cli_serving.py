"""The commands that stay: `akiba serve`, `work` and `sandbox`."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
import uvloop

from engine.app import create_app
from engine.cli_frame import console, fail
from engine.deployment import KINDS, DatabaseURLs, is_at_head, open_deployment, running_database
from engine.runtime.settings import Settings
from engine.sandbox import run_sandbox
from engine.tenancy.service import load_pack, pack_folders
from engine.worker import work as run_worker


def serve(context: typer.Context) -> None:
    """Serve the API and the pages."""
    settings: Settings = context.obj.settings
    with running_database(settings) as urls:
        if not is_at_head(urls.app):
            fail("the database's schema is not this version's: run `akiba db upgrade` first")
        uvloop.run(_serve(settings, urls))


async def _serve(settings: Settings, urls: DatabaseURLs) -> None:
    async with open_deployment(settings, urls) as deployment:
        config = uvicorn.Config(
            create_app(deployment, urls),
            host=settings.host,
            port=settings.port,
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=20,
        )
        console.print(f"Serving on {deployment.base_url}", highlight=False)
        await uvicorn.Server(config).serve()


def work(
    context: typer.Context,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="Stop when nothing waits.")] = False,
) -> None:
    """Run the background: the log's appender and the jobs."""
    settings: Settings = context.obj.settings

    async def inside(urls: DatabaseURLs) -> None:
        async with open_deployment(settings, urls) as deployment:
            await run_worker(deployment, urls, until_idle=until_idle)

    with running_database(settings) as urls:
        if not is_at_head(urls.app):
            fail("the database's schema is not this version's: run `akiba db upgrade` first")
        asyncio.run(inside(urls))


def sandbox(
    context: typer.Context,
    write: Annotated[
        Path | None, typer.Option("--write", help="Write the settings to this file instead of printing them.")
    ] = None,
    port: Annotated[int, typer.Option("--port", help="The first simulator's port; 0 for free ones.")] = 0,
    settle_seconds: Annotated[float, typer.Option("--settle-seconds", help="How long a payer takes.")] = 1.0,
) -> None:
    """Serve the simulators of every wallet that the packs join, and say by which settings they are joined."""
    if context.obj.settings.is_production:
        fail("a production deployment is joined to real operators: the sandbox is for development and trials")
    packs = [load_pack(folder, KINDS) for folder in pack_folders(context.obj.settings.packs)]
    with suppress(KeyboardInterrupt):
        asyncio.run(run_sandbox(packs, port=port, settle_seconds=settle_seconds, write=write, tell=typer.echo))
