"""The commands `akiba payroll` and `akiba pensions`: a month's pensions counted, approved as one, and paid; proofs of life."""

from datetime import datetime
from typing import Annotated

import typer

from engine.benefits import service as benefits
from engine.benefits.api.payroll import LAST_PAYROLL, PayrollTold, told
from engine.benefits.api.pensions import Pension, shown
from engine.cli_frame import ACTOR, TenantOption, run, show
from engine.cli_payouts import payers_of
from engine.deployment import Deployment

payroll = typer.Typer(no_args_is_help=True, help="The payroll of pensions.")
pensions = typer.Typer(no_args_is_help=True, help="Benefits that are paid over time.")

PayrollNumber = Annotated[int, typer.Argument(help="The payroll's number.", min=1, max=LAST_PAYROLL)]
PensionNumber = Annotated[int, typer.Argument(help="The claim's number.", min=1, max=2**63 - 1)]
DigestOption = Annotated[str, typer.Option("--digest", help="Of the payroll that you saw.")]


def _lines(one: PayrollTold) -> None:
    typer.echo(f"{one.payroll}  {one.product}  {one.month:%Y-%m}  {one.state}  digest {one.digest or '-'}")
    typer.echo(
        f"  {one.instalments} instalments due {one.due} {one.currency}: {one.taken} of pots, {one.pooled} of pools, "
        f"{one.lacking} lacking, tax {one.tax}, set off {one.set_off}; {one.suspended} suspended"
    )
    typer.echo(f"  {one.payments} payments of {one.paying}, owed in all {one.owed}")
    for held in one.waiting:
        typer.echo(f"  {held.pensions} of {held.rule} wait: {held.code} {held.missing}")
    for fate in one.fates:
        typer.echo(f"  {fate.payments:>8}  {fate.amount:>14}  {fate.fate}")


def _pension_line(one: Pension) -> str:
    ends = f"  stops {one.stops_on}" if one.stops_on else f"  paid until {one.paid_until}" if one.paid_until else ""
    of = f"/{one.instalments}" if one.instalments else ""
    return f"{one.claim}  {one.product}  {one.form}  {one.last_number}{of}  posted {one.posted}  paid {one.paid}{ends}"


@payroll.command("propose")
def payroll_propose(
    context: typer.Context,
    tenant: TenantOption,
    product: Annotated[str, typer.Option("--product", help="Whose pensioners.")],
    month: Annotated[datetime, typer.Option("--month", help="The month.", formats=["%Y-%m"])],
) -> None:
    """Count what falls due by the end of a month, with what is left of earlier ones; another person approves it."""

    async def use(deployment: Deployment) -> PayrollTold:
        served = deployment.tenants.by_code(tenant)
        return told(await benefits.propose_payroll(deployment.db, served, product, month.date(), actor=ACTOR), served)

    found = run(context, use)
    show(context, found, lambda: _lines(found))


@payroll.command("show")
def payroll_show(context: typer.Context, number: PayrollNumber, tenant: TenantOption) -> None:
    """Show a payroll: what it comes to, and what became of its payments."""

    async def use(deployment: Deployment) -> PayrollTold:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return told(await benefits.find_payroll(session, number), served)

    found = run(context, use)
    show(context, found, lambda: _lines(found))


@payroll.command("list")
def payroll_list(
    context: typer.Context,
    tenant: TenantOption,
    after: Annotated[int, typer.Option("--after", min=0, help="The last payroll of the page before.")] = 0,
) -> None:
    """List up to 100 payrolls, oldest first."""

    async def use(deployment: Deployment) -> list[PayrollTold]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return [told(one, served) for one in await benefits.list_payrolls(session, after=after)]

    found = run(context, use)

    def lines() -> None:
        for one in found:
            _lines(one)

    show(context, found, lines)


@payroll.command("approve")
def payroll_approve(context: typer.Context, number: PayrollNumber, tenant: TenantOption, digest: DigestOption) -> None:
    """Approve all of a payroll that another person proposed, and begin to pay it; the worker goes on."""

    async def use(deployment: Deployment) -> PayrollTold:
        served = deployment.tenants.by_code(tenant)
        await benefits.approve_payroll(deployment.db, served, number, digest=digest, actor=ACTOR)
        await benefits.carry_on_payrolls(deployment.db, deployment.keys, served, payers_of(deployment, served))
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return told(await benefits.find_payroll(session, number), served)

    found = run(context, use)
    show(context, found, lambda: _lines(found))


@payroll.command("reject")
def payroll_reject(context: typer.Context, number: PayrollNumber, tenant: TenantOption, digest: DigestOption) -> None:
    """Refuse a payroll that another person proposed: the next one counts everything anew."""

    async def use(deployment: Deployment) -> PayrollTold:
        served = deployment.tenants.by_code(tenant)
        return told(await benefits.reject_payroll(deployment.db, served, number, digest=digest, actor=ACTOR), served)

    found = run(context, use)
    show(context, found, lambda: _lines(found))


@pensions.command("list")
def pensions_list(
    context: typer.Context,
    tenant: TenantOption,
    after: Annotated[int, typer.Option("--after", min=0, help="The last claim of the page before.")] = 0,
) -> None:
    """List up to 100 pensions, oldest first, and how far each has come."""

    async def use(deployment: Deployment) -> list[Pension]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return [shown(row, served) for row in await benefits.list_pensions(session, after=after)]

    found = run(context, use)

    def lines() -> None:
        for one in found:
            typer.echo(_pension_line(one))

    show(context, found, lines)


@pensions.command("prove")
def pensions_prove(
    context: typer.Context,
    claim: PensionNumber,
    tenant: TenantOption,
    seen_on: Annotated[datetime, typer.Option("--seen-on", help="The day.", formats=["%Y-%m-%d"])],
    source: Annotated[str, typer.Option("--source", help="By whose word: one of the rule's sources.")],
) -> None:
    """Record that a pensioner was seen alive; what was held back is paid by the next payroll."""

    async def use(deployment: Deployment) -> Pension:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            row = await benefits.prove_life(session, served, claim, seen_on=seen_on.date(), source=source, actor=ACTOR)
        return shown(row, served)

    found = run(context, use)
    show(context, found, lambda: typer.echo(_pension_line(found)))
