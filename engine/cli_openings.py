"""The commands that take over a scheme kept elsewhere: `akiba import opening` and `akiba opening`."""

from pathlib import Path
from typing import Annotated

import typer

from engine.cli_frame import ACTOR, FAILED, TenantOption, progress_bar, run, show
from engine.deployment import Deployment
from engine.opening import service as opening
from engine.opening.api import OpeningItem, shown

openings = typer.Typer(no_args_is_help=True, help="Opening balances: schemes that were kept elsewhere.")


def import_opening(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Holds manifest.toml and the files it names.")],
    tenant: TenantOption,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only report; keep nothing.")] = False,
) -> None:
    """Check the files of a scheme that was kept elsewhere and stage them; a second person approves over the API."""

    async def use(deployment: Deployment) -> opening.OpeningReport:
        with progress_bar() as progress:
            task = progress.add_task("rows", total=None)
            return await opening.stage_opening(
                deployment.db,
                deployment.keys,
                deployment.tenants.by_code(tenant),
                folder,
                actor=ACTOR,
                dry_run=dry_run,
                progress=lambda rows: progress.advance(task, rows),
            )

    found = run(context, use)

    def lines() -> None:
        for line in found.lines():
            typer.echo(line)

    show(context, found, lines)
    if found.is_refused:
        raise typer.Exit(FAILED)


def _show(context: typer.Context, found: list[OpeningItem], nothing: str) -> None:
    def lines() -> None:
        for one in found:
            typer.echo(
                f"{one.opening}  {one.state:<9} {one.source}, as of {one.as_of}: {one.members} members, "
                f"{one.posted} of {one.ranges} ranges posted  digest {one.digest}"
            )
        if not found:
            typer.echo(nothing)

    show(context, found, lines)


@openings.command("list")
def opening_list(context: typer.Context, tenant: TenantOption) -> None:
    """List what was staged, the newest first."""

    async def use(deployment: Deployment) -> list[OpeningItem]:
        async with deployment.db.unit_of_work(deployment.tenants.by_code(tenant).tenant_id) as session:
            return [shown(row) for row in await opening.list_openings(session)]

    _show(context, run(context, use), "nothing was staged")


@openings.command("post")
def opening_post(context: typer.Context, tenant: TenantOption) -> None:
    """Post what was approved, as the background does; may be stopped and started again."""

    async def use(deployment: Deployment) -> list[OpeningItem]:
        served = deployment.tenants.by_code(tenant)
        found = await opening.post_openings(deployment.db, deployment.keys, served, actor=ACTOR)
        return [shown(row) for row in found]

    _show(context, run(context, use), "nothing waits to be posted")
