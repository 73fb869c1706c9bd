"""The commands `akiba orders` and `akiba import confirmations`: what left for fund managers, and what they say they did."""

from pathlib import Path
from typing import Annotated

import typer

from engine.cli_frame import ACTOR, FAILED, PARTLY, TenantOption, run, show
from engine.deployment import Deployment, adapter
from engine.funds import service as funds
from engine.funds.queries.ordering import OrderFileRow
from engine.funds.rules.confirming import ConfirmationState
from engine.funds.service import Confirmation, ConfirmationImport, OrderDesk, SentOrderItem
from engine.outside import NoTransport, Outside
from engine.runtime.counterparty_file import CounterpartyFile
from engine.tenancy.service import Tenant

orders = typer.Typer(no_args_is_help=True, help="Orders to fund managers.")


def _desk(deployment: Deployment, tenant: Tenant) -> OrderDesk:
    """Return the fund managers that are joined; the worker sends, this process does not."""
    file = CounterpartyFile(deployment.settings.counterparties_file)
    outside = Outside(deployment.db, deployment.keys, file, deployment.base_url, adapter, NoTransport())
    return outside.of(tenant).desk


@orders.command("list")
def orders_list(
    context: typer.Context,
    tenant: TenantOption,
    most: Annotated[int, typer.Option("--most", min=1, max=1000)] = 100,
) -> None:
    """List files of orders, the newest first, and how many of their orders are confirmed."""

    async def use(deployment: Deployment) -> list[OrderFileRow]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await funds.list_order_files(session, most=most)

    found = run(context, use)

    def lines() -> None:
        for one in found:
            typer.echo(
                f"{one.cut_off_on}  {one.counterparty}  {one.name}  {one.side}  {one.orders} orders, "
                f"{one.confirmed} confirmed  {one.state}"
            )

    show(context, found, lines)


@orders.command("sent")
def orders_sent(
    context: typer.Context,
    tenant: TenantOption,
    most: Annotated[int, typer.Option("--most", min=1, max=1000)] = 100,
) -> None:
    """List orders at fund managers, the newest file first, and how far their managers say they are."""

    async def use(deployment: Deployment) -> list[SentOrderItem]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await funds.list_sent_orders(session, served, most=most)

    found = run(context, use)

    def lines() -> None:
        for one in found:
            how_much = one.amount or f"{one.units} units"
            code = f" ({one.code})" if one.code else ""
            typer.echo(f"{one.cut_off_on}  {one.manager}  {one.reference}  {one.fund}  {how_much}  {one.state}{code}")

    show(context, found, lines)


@orders.command("confirmations")
def orders_confirmations(
    context: typer.Context,
    tenant: TenantOption,
    state: Annotated[ConfirmationState | None, typer.Option("--state", help="All if absent.")] = None,
    most: Annotated[int, typer.Option("--most", min=1, max=1000)] = 100,
) -> None:
    """List what fund managers said they did; breaks with why, whose turn it is and their age."""

    async def use(deployment: Deployment) -> list[Confirmation]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await funds.list_confirmations(session, served, state=state, most=most)

    found = run(context, use)

    def lines() -> None:
        for one in found:
            why = f": {one.sentence} ({one.turn}, {one.age_days} days)" if one.reason else ""
            typer.echo(
                f"{one.manager}  {one.file_name}, row {one.row}  {one.reference}  {one.units} units at {one.price} "
                f"for {one.amount} {one.currency}  {one.state}{why}"
            )

    show(context, found, lines)


def import_confirmations(
    context: typer.Context,
    files: list[Path],
    tenant: TenantOption,
    manager: Annotated[str, typer.Option("--manager", help="The fund manager, as the secrets file names it.")],
) -> None:
    """Import what a fund manager says it did with orders."""

    async def use(deployment: Deployment) -> list[ConfirmationImport]:
        served = deployment.tenants.by_code(tenant)
        sender = _desk(deployment, served).manager(manager)
        return [
            await funds.import_confirmations(deployment.db, served, sender, path.read_bytes(), path.name, ACTOR)
            for path in files
        ]

    found = run(context, use)

    def lines() -> None:
        for report in found:
            for line in report.lines():
                typer.echo(line)

    show(context, found, lines)
    if any(report.is_refused for report in found):
        raise typer.Exit(PARTLY if any(not report.is_refused for report in found) else FAILED)
