"""The commands `akiba files`: what left for counterparties by itself, and what came from them."""

from typing import Annotated

import typer

from engine.cli_frame import TenantOption, run, show
from engine.deployment import Deployment
from engine.places import service as places
from engine.places.service import IncomingFile, MissingFile, OutgoingFile

files = typer.Typer(no_args_is_help=True, help="Files that the worker leaves for counterparties and takes from them.")

MostOption = Annotated[int, typer.Option("--most", min=1, max=1000)]


@files.command("out")
def files_out(context: typer.Context, tenant: TenantOption, most: MostOption = 100) -> None:
    """List files of ours, the newest first: requested, accepted once they lie there, rejected where their name was taken."""

    async def use(deployment: Deployment) -> list[OutgoingFile]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await places.list_outgoing(session, most=most)

    found = run(context, use)

    def lines() -> None:
        for one in found:
            typer.echo(
                f"{one.staged_at:%Y-%m-%d %H:%M}  {one.place}  {one.name}  {one.kind}  {one.size} bytes  {one.state}"
            )

    show(context, found, lines)


@files.command("in")
def files_in(context: typer.Context, tenant: TenantOption, most: MostOption = 100) -> None:
    """List files that came, the newest first: kept, taken once they are read, refused or put aside and why."""

    async def use(deployment: Deployment) -> list[IncomingFile]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await places.list_incoming(session, most=most)

    found = run(context, use)

    def lines() -> None:
        for one in found:
            why = f": {one.reason}" if one.reason else ""
            typer.echo(
                f"{one.fetched_at:%Y-%m-%d %H:%M}  {one.place}  {one.name}  {one.kind}  {one.size} bytes  {one.state}{why}"
            )

    show(context, found, lines)


@files.command("missing")
def files_missing(context: typer.Context, tenant: TenantOption, most: MostOption = 100) -> None:
    """List files that did not come though later ones of their sender did, by the numbers that senders give their files."""

    async def use(deployment: Deployment) -> list[MissingFile]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await places.list_missing(session, most=most)

    found = run(context, use)

    def lines() -> None:
        for one in found:
            typer.echo(f"{one.place}  {one.sender}  file {one.number}")

    show(context, found, lines)
