"""The commands `akiba unclaimed`: money that nobody claims is found, its owners told, and it is handed over."""

from pathlib import Path
from typing import Annotated

import typer

from engine.benefits import service as benefits
from engine.benefits.api.unclaimed import HandOver, hand_over_shown
from engine.benefits.service.unclaimed import Means, SearchOutcome
from engine.cli_frame import ACTOR, TenantOption, run, show
from engine.deployment import Deployment
from engine.runtime.private_files import write_private

unclaimed = typer.Typer(no_args_is_help=True, help="Money that nobody claims.")

ProductOption = Annotated[str, typer.Option("--product", help="Whose money.")]
RunNumber = Annotated[int, typer.Argument(help="The number of the handing over.", min=1)]


def _line(one: HandOver) -> str:
    receipt = f"  receipt {one.receipt}" if one.receipt else ""
    return f"{one.run}  {one.product}  {one.day}  {one.owners} owners {one.total:>14}  to {one.handed_to}  {one.state}{receipt}  {one.digest}"


@unclaimed.command("find")
def unclaimed_find(context: typer.Context, tenant: TenantOption, product: ProductOption) -> None:
    """Look for all money that is presumed unclaimed by now, and end the cases of who was heard of."""

    async def use(deployment: Deployment) -> tuple[int, int]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await benefits.find_unclaimed(session, served, product, actor=ACTOR)

    opened, ended = run(context, use)
    show(context, {"opened": opened, "ended": ended}, lambda: typer.echo(f"{opened} cases opened, {ended} ended"))


@unclaimed.command("told")
def unclaimed_told(
    context: typer.Context,
    tenant: TenantOption,
    product: ProductOption,
    means: Annotated[Means, typer.Option("--means", help="By what.")],
    outcome: Annotated[SearchOutcome, typer.Option("--outcome", help="With what success.")] = "told",
) -> None:
    """Note that all owners who were not told yet were looked for, by a publication or messages; their notice runs from today."""

    async def use(deployment: Deployment) -> int:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await benefits.note_search(session, served, product, means=means, outcome=outcome, actor=ACTOR)

    owners = run(context, use)
    show(context, {"owners": owners}, lambda: typer.echo(f"noted of {owners} owners"))


@unclaimed.command("propose")
def unclaimed_propose(context: typer.Context, tenant: TenantOption, product: ProductOption) -> None:
    """Count what is due to be handed over; it waits for another person."""

    async def use(deployment: Deployment) -> HandOver:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            made = await benefits.propose_hand_over(session, served, product, actor=ACTOR)
        return hand_over_shown(made, served.asset)

    found = run(context, use)
    show(context, found, lambda: typer.echo(_line(found)))


@unclaimed.command("list")
def unclaimed_list(context: typer.Context, tenant: TenantOption) -> None:
    """List handings over, the newest first."""

    async def use(deployment: Deployment) -> list[HandOver]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return [hand_over_shown(one, served.asset) for one in await benefits.list_hand_overs(session)]

    found = run(context, use)

    def lines() -> None:
        for one in found:
            typer.echo(_line(one))

    show(context, found, lines)


@unclaimed.command("approve")
def unclaimed_approve(
    context: typer.Context,
    number: RunNumber,
    tenant: TenantOption,
    digest: Annotated[str, typer.Option("--digest", help="Of the handing over that you saw.")],
) -> None:
    """Hand over what another person proposed; one that stopped goes on."""

    async def use(deployment: Deployment) -> HandOver:
        served = deployment.tenants.by_code(tenant)
        done = await benefits.approve_hand_over(deployment.db, served, number, digest, actor=ACTOR)
        return hand_over_shown(done, served.asset)

    found = run(context, use)
    show(context, found, lambda: typer.echo(_line(found)))


@unclaimed.command("file")
def unclaimed_file(
    context: typer.Context,
    number: RunNumber,
    tenant: TenantOption,
    out: Annotated[Path, typer.Option("--out", help="The file to write; it names people.")],
) -> None:
    """Write the file that goes with the money: a line an owner, and a last line with count, digest and total."""

    async def use(deployment: Deployment) -> bytes:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await benefits.hand_over_file(session, deployment.keys, served, number, actor=ACTOR)

    raw = run(context, use)
    write_private(out, raw)
    show(context, {"file": str(out), "bytes": len(raw)}, lambda: typer.echo(f"{out}: {len(raw)} bytes"))


@unclaimed.command("receipt")
def unclaimed_receipt(
    context: typer.Context,
    number: RunNumber,
    tenant: TenantOption,
    receipt: Annotated[str, typer.Option("--receipt", help="The number that was given for the money.")],
) -> None:
    """Note the number that whoever took the money gave for it."""

    async def use(deployment: Deployment) -> HandOver:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            done = await benefits.receipt_hand_over(session, served, number, receipt=receipt, actor=ACTOR)
        return hand_over_shown(done, served.asset)

    found = run(context, use)
    show(context, found, lambda: typer.echo(_line(found)))
