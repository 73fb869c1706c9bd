"""The command `akiba statement`."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from engine.cli_frame import ACTOR, TenantOption, console, run, show
from engine.deployment import Deployment
from engine.identity import service as identity
from engine.kernel.clock import business_date
from engine.ledger import service as ledger
from engine.reports import service as reports
from engine.reports.api import StatementDocument, document_of


def statement(
    context: typer.Context,
    member: str,
    tenant: TenantOption,
    as_of: Annotated[datetime | None, typer.Option("--as-of", formats=["%Y-%m-%d"])] = None,
    pdf: Annotated[Path | None, typer.Option("--pdf", help="Write the statement as a PDF.")] = None,
    language: Annotated[str | None, typer.Option("--language")] = None,
) -> None:
    """Print a member's statement at a date."""

    async def use(deployment: Deployment) -> tuple[StatementDocument, reports.Sheet, bytes | None]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            who = await reports.find_member(session, deployment.keys, member)
            day = as_of.date() if as_of else business_date(await ledger.scheme_now(session), served.time_zone)
            into = await identity.number_merged_into(session, deployment.keys, member, who.member_id, actor=ACTOR)
            found = await reports.statement(session, served, who, number=member, as_of=day, merged_into=into)
            told = await reports.expectation_of(session, deployment.keys, served, who, on=day, actor=ACTOR)
            printed = None
            if pdf is not None:
                printed = await reports.print_statement(
                    session, deployment.keys, served, who, found, actor=ACTOR, language=language
                )
        letterhead = reports.Letterhead.of(served, language or served.pack.languages[0])
        return document_of(found), reports.sheet_of(found, letterhead, expectation=told), printed

    document, sheet, printed = run(context, use)
    if pdf is not None and printed is not None:
        pdf.write_bytes(printed)
        console.print(f"{pdf}: {len(printed)} bytes", highlight=False)
    show(context, document, lambda: _print_sheet(sheet))


def _print_sheet(sheet: reports.Sheet) -> None:
    out = Console()
    out.print(f"{sheet.scheme} · {sheet.title}", style="bold")
    out.print(sheet.subtitle)
    summary = Table(show_header=False, box=None)
    for figure in (*sheet.person, sheet.balance, *sheet.figures):
        summary.add_row(figure.label, figure.value, figure.note)
    out.print(summary)
    expected = () if sheet.expected is None else (sheet.expected.outlooks, sheet.expected.promised)
    for one in (sheet.year, sheet.holdings, *expected, sheet.payments):
        if one is not None:
            table = Table(title=one.caption)
            for column in one.columns:
                table.add_column(column.title, justify="right" if column.is_figure else "left")
            for row in one.rows:
                table.add_row(*row)
            out.print(table)
