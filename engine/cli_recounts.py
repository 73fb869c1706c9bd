"""The commands `akiba recounts`: what changed rules and figures change of what was posted, and its approval."""

from typing import Annotated

import typer

from engine.benefits import service as benefits
from engine.benefits.service import Recount
from engine.cli_frame import ACTOR, TenantOption, run, show
from engine.deployment import Deployment

recounts = typer.Typer(no_args_is_help=True, help="What changed rules and figures change of what was posted.")

Number = Annotated[int, typer.Argument(help="The recount's number.", min=1, max=2**31 - 1)]
DigestOption = Annotated[str, typer.Option("--digest", help="Of the list that you saw.")]


def _print(one: Recount) -> None:
    typer.echo(f"{one.recount_no}  {one.state}")
    for item in one.items:
        run_no = f" (run {item.run})" if item.run else ""
        typer.echo(f"  {item.what} of {item.product}, {item.day}{run_no}")
    if one.state == "proposed":
        typer.echo(f"  digest {one.digest}")


@recounts.command("list")
def recounts_list(context: typer.Context, tenant: TenantOption) -> None:
    """Look for what the rules and figures in force change, and list the newest recounts with all they affect."""

    async def use(deployment: Deployment) -> list[Recount]:
        served = deployment.tenants.by_code(tenant)
        await benefits.find_recount(deployment.db, served)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await benefits.list_recounts(session)

    found = run(context, use)

    def lines() -> None:
        for one in found:
            _print(one)

    show(context, found, lines)


@recounts.command("approve")
def recounts_approve(context: typer.Context, number: Number, tenant: TenantOption, digest: DigestOption) -> None:
    """Let all of a recount be counted again; differences are new events."""

    async def use(deployment: Deployment) -> Recount:
        served = deployment.tenants.by_code(tenant)
        await benefits.approve_recount(deployment.db, served, number, digest, actor=ACTOR)
        await benefits.carry_on_recounts(deployment.db, served)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return next(one for one in await benefits.list_recounts(session) if one.recount_no == number)

    found = run(context, use)
    show(context, found, lambda: _print(found))


@recounts.command("reject")
def recounts_reject(context: typer.Context, number: Number, tenant: TenantOption, digest: DigestOption) -> None:
    """Leave all of a recount as it was posted."""

    async def use(deployment: Deployment) -> Recount:
        served = deployment.tenants.by_code(tenant)
        return await benefits.reject_recount(deployment.db, served, number, digest, actor=ACTOR)

    found = run(context, use)
    show(context, found, lambda: _print(found))
