"""The commands `akiba funds`: splits of funds and the income that they pay, which one person proposes and another approves."""

from datetime import datetime
from typing import Annotated

import typer

from engine.cli_frame import ACTOR, TenantOption, run, show
from engine.deployment import Deployment
from engine.funds import service
from engine.funds.api.acting import FundActionItem, shown

funds = typer.Typer(no_args_is_help=True, help="Splits of funds and the income that they pay.")

FundArgument = Annotated[str, typer.Argument(help="The fund's code.")]
NumberArgument = Annotated[int, typer.Argument(help="Of the split or the income.", min=1, max=2**31 - 1)]
DigestOption = Annotated[str, typer.Option("--digest", help="Of what you saw.")]


def _print(one: FundActionItem) -> None:
    said = ", ".join(f"{name} {value}" for name, value in sorted(one.said.items()))
    typer.echo(f"{one.action}  {one.fund}  {one.kind} {one.product} on {one.on}: {said}; {one.state}")
    if one.had != "0":
        typer.echo(f"  {one.members} members, {one.had} units had, {one.got} got, residue {one.residue}")
    if one.state == "proposed":
        typer.echo(f"  digest {one.digest}")


def _told(context: typer.Context, found: FundActionItem) -> None:
    show(context, found, lambda: _print(found))


@funds.command("actions")
def funds_actions(context: typer.Context, tenant: TenantOption) -> None:
    """List splits and income of funds, the newest first."""

    async def use(deployment: Deployment) -> list[FundActionItem]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return [shown(one, served) for one in await service.list_actions(session)]

    found = run(context, use)

    def lines() -> None:
        for one in found:
            _print(one)

    show(context, found, lines)


@funds.command("split")
def funds_split(
    context: typer.Context,
    fund: FundArgument,
    day: Annotated[datetime, typer.Argument(help="The first day of the new units.", formats=["%Y-%m-%d"])],
    new: Annotated[int, typer.Option("--new", help="How many units there are.", min=1, max=1_000_000)],
    old: Annotated[int, typer.Option("--old", help="For how many old ones.", min=1, max=1_000_000)],
    tenant: TenantOption,
) -> None:
    """Propose a split of a fund's units; another person approves it together with the first price of the new ones."""

    async def use(deployment: Deployment) -> FundActionItem:
        served = deployment.tenants.by_code(tenant)
        made = await service.propose_split(deployment.db, served, fund, day.date(), new=new, old=old, actor=ACTOR)
        return shown(made, served)

    _told(context, run(context, use))


@funds.command("income")
def funds_income(
    context: typer.Context,
    fund: FundArgument,
    day: Annotated[datetime, typer.Argument(help="At whose end members had the units.", formats=["%Y-%m-%d"])],
    tenant: TenantOption,
    product: Annotated[str, typer.Option("--product", help="Whose members are paid.")],
    per_unit: Annotated[str, typer.Option("--per-unit", help="What each unit is paid.")],
    stated: Annotated[str, typer.Option("--stated", help="What the manager states in all: money, or units.")],
    reference: Annotated[str, typer.Option("--reference", help="What its payment bears.")],
    price: Annotated[str, typer.Option("--price", help="At which it is paid in units.")] = "",
) -> None:
    """Propose income of a fund, paid as the product's rule says; another person approves it."""

    async def use(deployment: Deployment) -> FundActionItem:
        served = deployment.tenants.by_code(tenant)
        made = await service.propose_distribution(
            deployment.db,
            served,
            fund,
            product,
            day.date(),
            per_unit=per_unit,
            price=price,
            stated=stated,
            reference=reference,
            actor=ACTOR,
        )
        return shown(made, served)

    _told(context, run(context, use))


@funds.command("approve")
def funds_approve(
    context: typer.Context,
    number: NumberArgument,
    tenant: TenantOption,
    digest: DigestOption,
    price: Annotated[str, typer.Option("--price", help="Of a split: the first price of the new units.")] = "",
) -> None:
    """Approve what another person proposed, and book it; run again, one that was stopped goes on."""

    async def use(deployment: Deployment) -> FundActionItem:
        served = deployment.tenants.by_code(tenant)
        done = await service.approve_action(deployment.db, served, number, digest, price=price, actor=ACTOR)
        return shown(done, served)

    _told(context, run(context, use))


@funds.command("reject")
def funds_reject(context: typer.Context, number: NumberArgument, tenant: TenantOption, digest: DigestOption) -> None:
    """Leave a fund as it is."""

    async def use(deployment: Deployment) -> FundActionItem:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return shown(await service.reject_action(session, served, number, digest, actor=ACTOR), served)

    _told(context, run(context, use))
