"""The commands `akiba dealing` and `akiba interest`: what savings earn."""

from datetime import datetime
from typing import Annotated

import typer

from engine.cli_frame import ACTOR, TenantOption, run, show
from engine.deployment import Deployment
from engine.funds import service as funds

dealing = typer.Typer(no_args_is_help=True, help="Dealing days.")
interest = typer.Typer(no_args_is_help=True, help="Interest that is declared for a scheme year.")


@dealing.command("run")
def dealing_run(
    context: typer.Context,
    tenant: TenantOption,
    day: Annotated[datetime, typer.Option("--date", help="The dealing day.", formats=["%Y-%m-%d"])],
) -> None:
    """Close the day's dealing, place its orders, and allot units for every order whose price has come."""

    async def use(deployment: Deployment) -> funds.DealingReport:
        served = deployment.tenants.by_code(tenant)
        return await funds.run_dealing(deployment.db, served, day.date(), actor=ACTOR)

    report = run(context, use)

    def lines() -> None:
        for line in report.lines():
            typer.echo(line)

    show(context, report, lines)


@interest.command("credit")
def interest_credit(
    context: typer.Context,
    tenant: TenantOption,
    product: Annotated[str, typer.Option(help="The product.")],
    day: Annotated[datetime, typer.Option("--date", help="A day in the scheme year.", formats=["%Y-%m-%d"])],
) -> None:
    """Credit what a scheme year's money earned, at the rate that was declared; run again, the differences."""

    async def use(deployment: Deployment) -> funds.InterestReport:
        served = deployment.tenants.by_code(tenant)
        return await funds.credit_interest(deployment.db, served, product, day.date(), ACTOR)

    report = run(context, use)

    def lines() -> None:
        for line in report.lines():
            typer.echo(line)

    show(context, report, lines)
