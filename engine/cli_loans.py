"""The commands `akiba loans`: loans from savings and pledges, how they stand, and what is done with overdue ones."""

from typing import Annotated

import typer

from engine.benefits import service as benefits
from engine.benefits.api.lending import LoanDetail, LoanItem, LoanState, detail_shown, loan_shown
from engine.cli_frame import TenantOption, run, show
from engine.deployment import Deployment

loans = typer.Typer(no_args_is_help=True, help="Loans from savings, and savings pledged to lenders.")

LoanNumber = Annotated[int, typer.Argument(help="The loan's number, which is its claim's.", min=1, max=2**63 - 1)]


def _line(one: LoanItem) -> str:
    lender = f"  to {one.lender}" if one.lender else ""
    return f"{one.loan}  {one.began_on}  {one.rule}  {one.owed:>14} of {one.principal}  {one.state}{lender}"


@loans.command("list")
def loans_list(
    context: typer.Context,
    tenant: TenantOption,
    state: Annotated[LoanState | None, typer.Option("--state", help="All if absent.")] = None,
    after: Annotated[int, typer.Option("--after", min=0, help="The last loan of the page before.")] = 0,
    most: Annotated[int, typer.Option("--most", min=1, max=1000)] = 100,
) -> None:
    """List loans and pledges, oldest first, with what is owed."""

    async def use(deployment: Deployment) -> list[LoanItem]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            rows = await benefits.list_loans(session, state=state or "", after=after, most=most)
        return [loan_shown(row, served.asset) for row in rows]

    found = run(context, use)

    def lines() -> None:
        for one in found:
            typer.echo(_line(one))

    show(context, found, lines)


@loans.command("show")
def loans_show(context: typer.Context, loan: LoanNumber, tenant: TenantOption) -> None:
    """Show a loan: what was agreed to fall due, and how it stands today."""

    async def use(deployment: Deployment) -> LoanDetail:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return detail_shown(await benefits.find_loan(session, served, loan), served.asset)

    found = run(context, use)

    def lines() -> None:
        typer.echo(_line(found.loan))
        for one in found.instalments:
            typer.echo(f"  {one.due_on}  {one.principal:>14}  interest {one.interest}")
        if found.interest is not None:
            typer.echo(f"  interest unpaid {found.interest}  unpaid since {found.unpaid_since or '-'}")

    show(context, found, lines)


@loans.command("follow")
def loans_follow(context: typer.Context, tenant: TenantOption) -> None:
    """Give payments to the loans they name, and do with overdue loans what their rules say; the worker does so every minute."""

    async def use(deployment: Deployment) -> tuple[int, int]:
        served = deployment.tenants.by_code(tenant)
        taken = await benefits.take_repayments(deployment.db, deployment.keys, served)
        return taken, await benefits.follow_loans(deployment.db, served)

    taken, overdue = run(context, use)
    told = {"repayments": taken, "overdue": overdue}
    show(context, told, lambda: typer.echo(f"{taken} payments given to loans, {overdue} loans overdue"))
