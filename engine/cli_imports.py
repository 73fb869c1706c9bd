"""The commands `akiba import`: files in."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from engine.cli_frame import ACTOR, FAILED, PARTLY, TenantOption, progress_bar, run, show
from engine.contributions import service as contributions
from engine.deployment import Deployment, adapter
from engine.enrolment import service as enrolment
from engine.funds import service as funds
from engine.reconciliation import service as reconciliation
from engine.tenancy.service import FiguresProposed, propose_figures

imports = typer.Typer(no_args_is_help=True, help="Files in.")


@imports.command("contributions")
def import_contributions(context: typer.Context, files: list[Path], tenant: TenantOption) -> None:
    """Receive the payments of CSV files; rows that cannot be taken are listed."""

    async def use(deployment: Deployment) -> list[contributions.ImportReport]:
        reports_: list[contributions.ImportReport] = []
        with progress_bar() as progress:
            for path in files:
                raw = path.read_bytes()
                task = progress.add_task(path.name, total=max(0, raw.count(b"\n") - 1))
                report = await contributions.import_file(
                    deployment.db,
                    deployment.keys,
                    deployment.tenants.by_code(tenant),
                    raw,
                    name=path.name,
                    actor=ACTOR,
                    progress=lambda done, task=task: progress.advance(task, done),  # type: ignore[misc]
                )
                reports_.append(report)
        return reports_

    found = run(context, use)

    def lines() -> None:
        for report in found:
            if report.first_imported_at:
                typer.echo(f"{report.file}: the same bytes first came at {report.first_imported_at.isoformat()}")
            typer.echo(
                f"{report.file}: {report.rows} rows, {report.received} received, {report.suspended} in suspense, "
                f"{len(report.refused)} refused"
            )
            for bad in report.refused:
                typer.echo(f"{report.file}, row {bad.row}, {bad.field}: {bad.reason}")

    show(context, found, lines)
    if any(report.refused for report in found):
        raise typer.Exit(PARTLY if any(report.received or report.suspended for report in found) else FAILED)


@imports.command("members")
def import_members(context: typer.Context, files: list[Path], tenant: TenantOption) -> None:
    """Enrol the people of CSV files."""

    async def use(deployment: Deployment) -> list[enrolment.ImportReport]:
        return [
            await enrolment.import_members(
                deployment.db,
                deployment.keys,
                deployment.tenants.by_code(tenant),
                path.read_bytes(),
                name=path.name,
                actor=ACTOR,
            )
            for path in files
        ]

    found = run(context, use)

    def lines() -> None:
        for report in found:
            typer.echo(f"{report.file}: {report.enrolled} enrolled, {len(report.refused)} refused")
            for bad in report.refused:
                typer.echo(str(bad))

    show(context, found, lines)
    if any(report.refused for report in found):
        raise typer.Exit(PARTLY if any(report.enrolled for report in found) else FAILED)


@imports.command("prices")
def import_prices(
    context: typer.Context,
    files: list[Path],
    tenant: TenantOption,
    day: Annotated[
        datetime | None,
        typer.Option("--date", help="The files' day; else the date in their names.", formats=["%Y-%m-%d"]),
    ] = None,
) -> None:
    """Import the fund managers' daily price files."""

    async def use(deployment: Deployment) -> list[funds.PriceImport]:
        served = deployment.tenants.by_code(tenant)
        reader = adapter("FundManager", served.pack.adapters["FundManager"])
        found = []
        with progress_bar() as progress:
            for path in progress.track(files, description="prices"):
                found.append(
                    await funds.import_prices(
                        deployment.db,
                        served,
                        reader,
                        path.read_bytes(),
                        name=path.name,
                        day=day.date() if day else None,
                        actor=ACTOR,
                    )
                )
        return found

    found = run(context, use)

    def lines() -> None:
        for report in found:
            for line in report.lines():
                typer.echo(line)

    show(context, found, lines)
    if any(report.is_refused for report in found):
        raise typer.Exit(PARTLY if any(not report.is_refused for report in found) else FAILED)


@imports.command("statement")
def import_statement(
    context: typer.Context,
    files: list[Path],
    tenant: TenantOption,
    account: Annotated[str, typer.Option("--account", help="The collection channel whose account it is.")],
) -> None:
    """Import statements of a collection account and match their lines to receipts."""

    async def use(deployment: Deployment) -> list[reconciliation.StatementReport]:
        served = deployment.tenants.by_code(tenant)
        source = reconciliation.source_of(served, account, adapter)
        return [
            await reconciliation.import_statement(
                deployment.db,
                served,
                deployment.keys,
                source,
                path.read_bytes(),
                name=path.name,
                account=account,
                actor=ACTOR,
            )
            for path in files
        ]

    found = run(context, use)

    def lines() -> None:
        for report in found:
            for line in report.lines():
                typer.echo(line)

    show(context, found, lines)
    if any(report.unmatched or report.breaks for report in found):
        raise typer.Exit(PARTLY)


@imports.command("figures")
def import_figures(
    context: typer.Context,
    file: Path,
    tenant: TenantOption,
    series: Annotated[str, typer.Option("--series", help="The reference series they are of.")],
) -> None:
    """Put points of a reference series forward; they count once another person accepts them."""
    raw = file.read_bytes()

    async def use(deployment: Deployment) -> FiguresProposed:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await propose_figures(session, served, series, raw, name=file.name, actor=ACTOR)

    found = run(context, use)
    numbers = ", ".join(str(one) for one in found.proposed) or "none"
    show(context, found, lambda: typer.echo(f"{file.name}: figures proposed: {numbers}; {found.known} stood already"))


@imports.command("holdings")
def import_holdings(context: typer.Context, files: list[Path], tenant: TenantOption) -> None:
    """Import what a fund manager or custodian says it holds for the scheme."""

    async def use(deployment: Deployment) -> list[reconciliation.HoldingsReport]:
        served = deployment.tenants.by_code(tenant)
        source = adapter("HoldingsSource", served.pack.adapters["HoldingsSource"])
        return [
            await reconciliation.import_holdings(
                deployment.db, served, source, path.read_bytes(), name=path.name, actor=ACTOR
            )
            for path in files
        ]

    found = run(context, use)

    def lines() -> None:
        for report in found:
            for line in report.lines():
                typer.echo(line)

    show(context, found, lines)
