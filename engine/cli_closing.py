"""The commands `akiba close-of-business` and `akiba quarantine`."""

import asyncio
from datetime import UTC, date, datetime
from typing import Annotated

import typer

from engine.cli_frame import ACTOR, PARTLY, TenantOption, console, fail, run, show
from engine.closing import service as closing
from engine.closing.errors import NotInQuarantine
from engine.closing.rules import Step
from engine.deployment import DatabaseURLs, Deployment, is_at_head, open_deployment, running_database
from engine.runtime import quarantine
from engine.runtime.database import connect_owner
from engine.runtime.quarantine import Quarantined

quarantined = typer.Typer(no_args_is_help=True, help="What background work has put aside for a person.")
_MONTHS_AHEAD = 12


def close_of_business(context: typer.Context, tenant: TenantOption) -> None:
    """Close every day that is over: dealing cut-offs, statements, jobs, the proof of the day, balances; go on where it stopped.

    The first time it begins with the first day of the books; from then on the background closes each day.
    """

    def told(day: date, step: Step) -> None:
        console.print(f"{day} {step.value}", highlight=False, style="dim")

    async def inside(urls: DatabaseURLs) -> closing.ClosingReport:
        async with open_deployment(context.obj.settings, urls) as deployment:
            served = deployment.tenants.by_code(tenant)
            return await closing.close_business(deployment.db, deployment.keys, served, actor=ACTOR, progress=told)

    with running_database(context.obj.settings) as urls:
        if not is_at_head(urls.app):
            fail("the database's schema is not this version's: run `akiba db upgrade` first")
        make_partitions_ahead(urls.owner)
        found = asyncio.run(inside(urls))

    def lines() -> None:
        for line in found.lines():
            typer.echo(line)

    show(context, found, lines)
    if not found.is_clean:
        raise typer.Exit(PARTLY)


def make_partitions_ahead(owner_url: str | None) -> None:
    """Make the books' partitions a year ahead, where this process may act as the owner and the last of them is missing."""
    if owner_url is None:
        return
    month = datetime.now(UTC).date().replace(day=1)
    last = date(month.year + (month.month + _MONTHS_AHEAD - 2) // 12, (month.month + _MONTHS_AHEAD - 2) % 12 + 1, 1)
    with connect_owner(owner_url) as connection:
        row = connection.execute("select to_regclass(%s) is null", (f"transfers_{last:%Y%m}",)).fetchone()
        if row is not None and row[0]:
            connection.execute("set local lock_timeout = '5s'")
            connection.execute("select make_partitions(%s, %s)", (month, _MONTHS_AHEAD))


@quarantined.command("list")
def quarantine_list(context: typer.Context, tenant: TenantOption) -> None:
    """List what is put aside, the oldest first."""

    async def use(deployment: Deployment) -> list[Quarantined]:
        async with deployment.db.unit_of_work(deployment.tenants.by_code(tenant).tenant_id) as session:
            return await quarantine.waiting(session)

    found = run(context, use)

    def lines() -> None:
        for one in found:
            typer.echo(
                f"{one.number}  {one.task} {one.subject}: {one.reason}, since {one.since:%Y-%m-%d}, for {one.owner}"
            )
        if not found:
            typer.echo("nothing is put aside")

    show(context, found, lines)


@quarantined.command("release")
def quarantine_release(
    context: typer.Context, number: Annotated[int, typer.Argument(min=1, max=2**31 - 1)], tenant: TenantOption
) -> None:
    """Let the work try a piece again, once its cause is gone."""

    async def use(deployment: Deployment) -> None:
        async with deployment.db.unit_of_work(deployment.tenants.by_code(tenant).tenant_id) as session:
            if not await quarantine.release(session, number, ACTOR):
                raise NotInQuarantine

    run(context, use)
    show(context, {"released": number}, lambda: typer.echo(f"{number} is tried again."))
