"""The commands `akiba contribution`: payments that are taken back."""

from typing import Annotated, cast, get_args

import typer

from engine.cli_frame import ACTOR, TenantOption, run, show
from engine.contributions import service as contributions
from engine.deployment import Deployment

contribution = typer.Typer(no_args_is_help=True, help="Payments that were received.")


@contribution.command("reverse")
def contribution_reverse(
    context: typer.Context,
    receipt: int,
    tenant: TenantOption,
    reason: Annotated[
        str, typer.Option("--reason", help=f"Why: {', '.join(get_args(contributions.Reason))}.")
    ] = "charged-back",
) -> None:
    """Propose to take a payment back; another person confirms it, with the digest, over the API."""
    if reason not in get_args(contributions.Reason):
        raise typer.BadParameter(", ".join(get_args(contributions.Reason)), param_hint="--reason")

    async def use(deployment: Deployment) -> contributions.Reversal:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await contributions.propose_reversal(
                session, served, receipt, reason=cast("contributions.Reason", reason), actor=ACTOR
            )

    found = run(context, use)
    show(
        context,
        found,
        lambda: typer.echo(
            f"receipt {found.receipt}, {found.amount}: {found.state}, to be confirmed with {found.digest}"
        ),
    )


@contribution.command("reversal")
def contribution_reversal(context: typer.Context, receipt: int, tenant: TenantOption) -> None:
    """Tell how far the taking back of a payment has come."""

    async def use(deployment: Deployment) -> contributions.Reversal:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await contributions.find_reversal(session, served, receipt)

    found = run(context, use)
    show(
        context,
        found,
        lambda: typer.echo(
            f"receipt {found.receipt}, {found.amount}: {found.state}, owed {found.owed}, difference {found.difference}"
        ),
    )
