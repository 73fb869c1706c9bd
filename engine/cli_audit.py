"""The commands `akiba audit` and `akiba check`: the log, and the laws of the books."""

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.audit import service as audit
from engine.audit.rules.tables import Column, ExportTable
from engine.cli_frame import FAILED, TenantOption, progress_bar, run, show
from engine.deployment import Deployment
from engine.laws import LAWS
from engine.ledger import service as ledger
from engine.worker import last_checkpoint

EXPORT_TABLES: Sequence[ExportTable] = (
    ExportTable(
        name="members",
        title="Members, by pseudonym",
        columns=(
            Column("member", "member", "the pseudonym that stands in events and transfers"),
            Column("product", "string", "the product joined"),
            Column("joined_on", "date", "the business date of joining"),
            Column("group", "string", "the aggregator or group, where the product has such"),
            Column("status", "string", "active or erased"),
        ),
        source="""select member_id, product, joined_on, group_code, status from members
                   where (%(until)s::date is null or joined_on < %(until)s) order by member_id""",
        primary_key=("member",),
    ),
    ExportTable(
        name="prices",
        title="Unit prices accepted, where one was corrected the right one",
        columns=(
            Column("fund", "string", "the fund's code"),
            Column("price_on", "date", "the day the price is of"),
            Column("price", "number", "money per unit, exactly as published"),
        ),
        source="""select distinct on (f.code, p.price_on) f.code, p.price_on, (p.digits::numeric * 10::numeric ^ -p.scale::int)::numeric(30, 8) from prices p
                    join funds f on f.tenant_id = p.tenant_id and f.fund_id = p.fund_id
                   where p.state = 'accepted' and (%(since)s::date is null or p.price_on >= %(since)s)
                     and (%(until)s::date is null or p.price_on < %(until)s) order by f.code, p.price_on, p.file_id desc""",
        primary_key=("fund", "price_on"),
    ),
)

audit_log = typer.Typer(no_args_is_help=True, help="The tamper-evident log.")


@audit_log.command("export")
def audit_export(
    context: typer.Context,
    tenant: TenantOption,
    out: Annotated[Path, typer.Option("--out", help="A folder that is new or empty.")],
    since: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"])] = None,
    until: Annotated[datetime | None, typer.Option("--until", formats=["%Y-%m-%d"])] = None,
) -> None:
    """Write the regulator's package: data, books, log, proofs and a verifier."""

    def day(value: datetime | None) -> date | None:
        return value.date() if value else None

    async def use(deployment: Deployment) -> audit.Exported:
        served = deployment.tenants.by_code(tenant)
        await audit.append(
            deployment.db,
            deployment.keys,
            served.tenant_id,
            served.pack.log_origin,
            published=last_checkpoint(deployment, served.code),
        )
        with progress_bar() as progress:
            task = progress.add_task("entries", total=None)
            return await audit.export(
                deployment.db,
                deployment.keys,
                served.tenant_id,
                out,
                since=day(since),
                until=day(until),
                tables=EXPORT_TABLES,
                progress=lambda done, total: progress.update(task, completed=done, total=total),
            )

    result = run(context, use)
    summary = {
        "folder": str(out),
        "size": result.size,
        "root": result.root.hex(),
        "rows": result.rows,
        "files": result.files,
    }
    show(context, summary, lambda: typer.echo(f"{out}: {result.files} files, a log of {result.size} entries"))


@audit_log.command("verify")
def audit_verify(
    context: typer.Context,
    folder: Path,
    vkey: Annotated[
        str | None, typer.Option("--vkey", help="The log's key as you got it apart from the package.")
    ] = None,
    since: Annotated[
        Path | None, typer.Option("--since", help="A checkpoint you kept; the log must continue it.")
    ] = None,
) -> None:
    """Verify a package without the database."""
    report = audit.verify_package(folder, vkey=vkey, previous=since.read_text() if since else None)

    def lines() -> None:
        for problem in report.problems:
            typer.echo(str(problem))
        if report.is_ok:
            typer.echo(f"{folder} proves itself: {report.origin}, {report.size} entries")

    show(
        context, {"ok": report.is_ok, "origin": report.origin, "size": report.size, "problems": report.problems}, lines
    )
    if not report.is_ok:
        raise typer.Exit(FAILED)


def check(
    context: typer.Context,
    tenant: Annotated[str | None, typer.Option("--tenant", help="One tenant; all if absent.")] = None,
) -> None:
    """Re-derive every balance and total, and test every law of the books."""

    async def use(deployment: Deployment) -> dict[str, list[Any]]:
        served = [deployment.tenants.by_code(tenant)] if tenant else list(deployment.tenants)
        found: dict[str, list[Any]] = {}
        with progress_bar() as progress:
            task = progress.add_task("laws", total=len(served) * len(LAWS))
            for one in served:
                found[one.code] = []
                for law in LAWS:
                    async with deployment.db.unit_of_work(one.tenant_id) as session:
                        found[one.code] += await ledger.check(session, [law])
                    progress.advance(task)
        return found

    found = run(context, use)

    def lines() -> None:
        for code, offences in found.items():
            for offence in offences:
                typer.echo(f"{code}: {offence.law}: {offence.item}: expected {offence.expected}, found {offence.found}")
            typer.echo(
                f"{code}: {len(LAWS)} laws, {len(offences)} broken" if offences else f"{code}: {len(LAWS)} laws hold"
            )

    show(context, found, lines)
    if any(found.values()):
        raise typer.Exit(FAILED)
