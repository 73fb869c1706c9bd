"""The commands `akiba pools`: what the pools of declared interest earned, told by one person and approved by another."""

from datetime import datetime
from typing import Annotated

import typer

from engine.cli_frame import ACTOR, TenantOption, run, show
from engine.deployment import Deployment
from engine.funds import service as funds
from engine.funds.api.pooling import PoolIncomeItem, shown
from engine.kernel.amounts import Amount

pools = typer.Typer(no_args_is_help=True, help="What the pools of declared interest earned.")

Number = Annotated[int, typer.Argument(help="The income's number.", min=1, max=2**31 - 1)]
DigestOption = Annotated[str, typer.Option("--digest", help="Of the income that you saw.")]


def _print(one: PoolIncomeItem) -> None:
    typer.echo(
        f"{one.income}  {one.product}, year from {one.year_from}: {one.amount}, held by {one.held_by} ({one.reference}); {one.state}"
    )
    if one.state == "proposed":
        typer.echo(f"  digest {one.digest}")


@pools.command("earned")
def earned(
    context: typer.Context,
    product: Annotated[str, typer.Argument(help="The product.")],
    day: Annotated[datetime, typer.Argument(help="A day in the scheme year.", formats=["%Y-%m-%d"])],
    amount: Annotated[str, typer.Argument(help="In major units, less costs; below zero for a loss.")],
    tenant: TenantOption,
    reference: Annotated[str, typer.Option("--reference", help="What the account of whoever holds the pool bears.")],
) -> None:
    """Tell what a pool earned in a scheme year, and print the digest that another person approves."""

    async def use(deployment: Deployment) -> PoolIncomeItem:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            one = await funds.propose_income(
                session,
                served,
                product,
                day.date(),
                Amount.parse(amount, served.asset),
                reference=reference,
                actor=ACTOR,
            )
        return shown(one, served)

    found = run(context, use)
    show(context, found, lambda: _print(found))


@pools.command("list")
def list_incomes(context: typer.Context, tenant: TenantOption) -> None:
    """List the newest incomes, newest first."""

    async def use(deployment: Deployment) -> list[PoolIncomeItem]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return [shown(one, served) for one in await funds.list_incomes(session)]

    found = run(context, use)

    def lines() -> None:
        for one in found:
            _print(one)

    show(context, found, lines)


@pools.command("approve")
def approve(context: typer.Context, number: Number, tenant: TenantOption, digest: DigestOption) -> None:
    """Approve an income that another person told, and book it."""

    async def use(deployment: Deployment) -> PoolIncomeItem:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return shown(await funds.approve_income(session, served, number, digest, actor=ACTOR), served)

    found = run(context, use)
    show(context, found, lambda: _print(found))


@pools.command("reject")
def reject(context: typer.Context, number: Number, tenant: TenantOption, digest: DigestOption) -> None:
    """Refuse an income that another person told."""

    async def use(deployment: Deployment) -> PoolIncomeItem:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return shown(await funds.reject_income(session, served, number, digest, actor=ACTOR), served)

    found = run(context, use)
    show(context, found, lambda: _print(found))
