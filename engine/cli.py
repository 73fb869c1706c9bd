"""Composition of the command line: `akiba`. Exit codes: 0 ok, 1 failed, 2 usage, 3 partly done.

People's words go to standard error, results to standard output; with `--json` the result is one JSON document.
"""

import asyncio
import sys
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, cast, get_args
from urllib.parse import urlsplit

import msgspec
import psycopg
import typer
import uvicorn
import uvloop
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from engine import __version__
from engine.access import service as access
from engine.access.rules import FIRST_ROLES, PARTNER_SCOPES
from engine.app import (
    EXPORT_TABLES,
    KINDS,
    LAWS,
    DatabaseURLs,
    Deployment,
    adapter,
    create_app,
    is_at_head,
    open_deployment,
    running_database,
    upgrade,
)
from engine.audit import service as audit
from engine.cli_claims import claims
from engine.cli_closing import close_of_business, quarantined
from engine.cli_cover import cover
from engine.cli_debits import debits
from engine.cli_explaining import explain
from engine.cli_fees import fees
from engine.cli_files import files
from engine.cli_frame import ACTOR, FAILED, PARTLY, USAGE, Context, TenantOption, console, fail, progress_bar, run, show
from engine.cli_heirs import heirs
from engine.cli_identity import batches as identity_batches
from engine.cli_identity import identity_offline
from engine.cli_identity import numbers as identity_numbers
from engine.cli_life import demo_life
from engine.cli_loans import loans
from engine.cli_members import members
from engine.cli_menu import menu
from engine.cli_messages import messages
from engine.cli_openings import import_opening, openings
from engine.cli_orders import import_confirmations, orders
from engine.cli_packs import packs
from engine.cli_payouts import payouts
from engine.cli_payroll import payroll, pensions
from engine.cli_prices import prices
from engine.cli_products import products
from engine.cli_recounts import recounts
from engine.cli_suspense import suspense
from engine.cli_texts import texts
from engine.cli_transfers import transfers
from engine.cli_unclaimed import unclaimed
from engine.contributions import service as contributions
from engine.enrolment import service as enrolment
from engine.funds import service as funds
from engine.identity import service as identity
from engine.kernel.clock import business_date
from engine.kernel.errors import EngineError
from engine.kernel.price_files import PriceFileRefused
from engine.kernel.transport import Unanswered, Unreachable
from engine.ledger import service as ledger
from engine.outside import Registered, calling, register
from engine.reconciliation import service as reconciliation
from engine.reports import service as reports
from engine.reports.api import StatementDocument, document_of
from engine.runtime.counterparty_file import CounterpartiesUnavailable, CounterpartyFile
from engine.runtime.embedded_postgres import ServerError
from engine.runtime.key_file import KeysUnavailable
from engine.runtime.logging import configure_logging
from engine.runtime.settings import Settings, SettingsError, load_settings
from engine.sandbox import run_sandbox
from engine.tenancy.errors import PackErrors
from engine.tenancy.service import (
    FiguresProposed,
    Tenant,
    advance_clock,
    load_pack,
    pack_folders,
    propose_figures,
)
from engine.worker import last_checkpoint
from engine.worker import work as run_worker

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Akiba: a white-label micro-pension administration engine.",
)
_groups = {
    name: typer.Typer(no_args_is_help=True, help=text)
    for name, text in {
        "demo": "A deployment with believable data.",
        "admin": "Staff.",
        "partner": "Partners: wallets and aggregators.",
        "db": "The database.",
        "tenant": "Tenants.",
        "clock": "The scheme clock, outside production.",
        "import": "Files in.",
        "dealing": "Dealing days.",
        "interest": "Interest that is declared for a scheme year.",
        "contribution": "Payments that were received.",
        "break": "What does not agree between statements and receipts.",
        "price": "Prices that wait for a second person.",
        "audit": "The tamper-evident log.",
        "counterparty": "Operators of wallets that are joined to a scheme.",
        "identity": "Who members are, where a person must look.",
    }.items()
}
for _name, _group in _groups.items():
    app.add_typer(_group, name=_name)
app.add_typer(packs, name="pack")
app.add_typer(openings, name="opening")
_groups["import"].command("opening")(import_opening)
app.command("close-of-business")(close_of_business)
app.add_typer(quarantined, name="quarantine")
claims.add_typer(heirs, name="heirs")
app.add_typer(claims, name="claims")
app.add_typer(messages, name="messages")
app.add_typer(menu, name="menu")
app.add_typer(orders, name="orders")
app.add_typer(files, name="files")
app.add_typer(debits, name="debits")
_groups["import"].command("confirmations")(import_confirmations)
_groups["demo"].command("life")(demo_life)
_groups["identity"].add_typer(identity_numbers, name="numbers")
_groups["identity"].add_typer(identity_batches, name="batch")
_groups["identity"].command("offline")(identity_offline)
app.add_typer(fees, name="fees")
app.add_typer(recounts, name="recounts")
app.add_typer(suspense, name="suspense")
app.add_typer(prices, name="prices")
app.add_typer(loans, name="loans")
app.add_typer(transfers, name="transfers")
app.add_typer(cover, name="cover")
app.add_typer(payouts, name="payouts")
app.add_typer(payroll, name="payroll")
app.add_typer(unclaimed, name="unclaimed")
app.add_typer(pensions, name="pensions")
app.add_typer(products, name="products")
app.add_typer(members, name="members")
app.add_typer(texts, name="texts")
app.command()(explain)


def main() -> None:
    """Run the command line; every refusal ends in a sentence and an exit code, never in a traceback."""
    try:
        app(standalone_mode=True)
    except EngineError as refusal:
        number = refusal.details.get("decision")
        fail(f"{refusal} (decision {number})" if number else str(refusal))
    except PriceFileRefused as refusal:
        fail(str(refusal))
    except PackErrors as errors:
        fail(str(errors))
    except (SettingsError, ServerError, KeysUnavailable, CounterpartiesUnavailable) as error:
        fail(str(error))
    except psycopg.OperationalError as error:
        fail(f"the database cannot be reached: {str(error).splitlines()[0]}")
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        fail(f"{error.filename}: {error.strerror}", USAGE)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    packs: Annotated[list[Path] | None, typer.Option("--packs", help="A folder of packs; may be given again.")] = None,
    version: Annotated[  # noqa: ARG001 - answered by its callback
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Read the options that stand before the command."""
    settings = load_settings({"packs": tuple(packs) if packs else None})
    configure_logging(settings.log_level, stream=sys.stderr)
    context.obj = Context(as_json, settings)


# -- database, tenants, clock


@_groups["db"].command("upgrade")
def db_upgrade(context: typer.Context) -> None:
    """Bring the database to the newest schema."""
    with running_database(context.obj.settings) as urls:
        upgrade(urls, context.obj.settings)
    show(context, {"schema": "newest"}, lambda: typer.echo("The schema is the newest."))


@_groups["tenant"].command("create")
def tenant_create(context: typer.Context, code: str) -> None:
    """Create the tenant of a pack."""

    async def use(deployment: Deployment) -> Tenant:
        return await deployment.tenants.create_tenant(deployment.db, code, actor=ACTOR)

    tenant = run(context, use)
    result = {"tenant": tenant.code, "tenant_id": tenant.tenant_id, "pack": tenant.pack.sha256}
    show(context, result, lambda: typer.echo(f"{tenant.code} is tenant {tenant.tenant_id}."))


@_groups["clock"].command("advance")
def clock_advance(
    context: typer.Context,
    to: Annotated[
        datetime,
        typer.Option(
            "--to",
            help="An instant with its offset, such as 2023-04-03T18:00:00+05:30.",
            formats=["%Y-%m-%dT%H:%M:%S%z"],
        ),
    ],
    tenant: TenantOption,
) -> None:
    """Set a scheme's clock forward; refused in production."""

    async def use(deployment: Deployment) -> datetime:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await advance_clock(session, served, to, deployment.settings.profile, actor=ACTOR)

    now = run(context, use)
    show(context, {"now": now.isoformat()}, lambda: typer.echo(f"The scheme clock shows {now.isoformat()}."))


# -- people and partners


@_groups["admin"].command("bootstrap")
def admin_bootstrap(
    context: typer.Context,
    tenant: TenantOption,
    name: Annotated[str, typer.Option("--name", help="A label for the person, not their name.")] = "first",
    role: Annotated[list[str] | None, typer.Option("--role", help="May be given again.")] = None,
) -> None:
    """Print a one-time link by which a member of staff signs in; it lasts 15 minutes."""
    roles = role or [one.value for one in FIRST_ROLES]

    async def use(deployment: Deployment) -> str:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            token = await access.bootstrap(session, name, roles=roles)
        own = urlsplit(deployment.base_url)
        port = f":{own.port}" if own.port else ""
        return f"{own.scheme}://{served.pack.hosts[0]}{port}/staff/enter/{token}"

    link = run(context, use)
    show(context, {"link": link}, lambda: typer.echo(link))


@_groups["partner"].command("create")
def partner_create(
    context: typer.Context,
    code: str,
    tenant: TenantOption,
    name: Annotated[str, typer.Option("--name")] = "",
    scope: Annotated[list[str] | None, typer.Option("--scope", help="May be given again; all if absent.")] = None,
) -> None:
    """Let a partner in; print its client id and secret, which is shown this once."""

    async def use(deployment: Deployment) -> access.NewPartner:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await access.create_partner(
                session, code=code, name=name or code, scopes=scope or sorted(PARTNER_SCOPES), actor=ACTOR
            )

    partner = run(context, use)
    result = {"client_id": partner.client_id, "client_secret": partner.client_secret}
    show(
        context, result, lambda: typer.echo(f"client_id     {partner.client_id}\nclient_secret {partner.client_secret}")
    )


# -- running


@app.command()
def serve(context: typer.Context) -> None:
    """Serve the API and the pages."""
    settings: Settings = context.obj.settings
    with running_database(settings) as urls:
        if not is_at_head(urls.app):
            fail("the database's schema is not this version's: run `akiba db upgrade` first")
        uvloop.run(_serve(settings, urls))


async def _serve(settings: Settings, urls: DatabaseURLs) -> None:
    async with open_deployment(settings, urls) as deployment:
        config = uvicorn.Config(
            create_app(deployment, urls),
            host=settings.host,
            port=settings.port,
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=20,
        )
        console.print(f"Serving on {deployment.base_url}", highlight=False)
        await uvicorn.Server(config).serve()


@app.command()
def work(
    context: typer.Context,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="Stop when nothing waits.")] = False,
) -> None:
    """Run the background: the log's appender and the jobs."""
    settings: Settings = context.obj.settings

    async def inside(urls: DatabaseURLs) -> None:
        async with open_deployment(settings, urls) as deployment:
            await run_worker(deployment, urls, until_idle=until_idle)

    with running_database(settings) as urls:
        if not is_at_head(urls.app):
            fail("the database's schema is not this version's: run `akiba db upgrade` first")
        asyncio.run(inside(urls))


# -- files in


@_groups["import"].command("contributions")
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


@_groups["import"].command("members")
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


@_groups["import"].command("prices")
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


@_groups["import"].command("statement")
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


@_groups["import"].command("figures")
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


# -- contributions


@_groups["contribution"].command("reverse")
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


@_groups["contribution"].command("reversal")
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


# -- what does not agree

LineArgument = Annotated[str, typer.Argument(help="The break: STATEMENT/LINE, as `break list` names it.")]


def _line(text: str) -> reconciliation.LineName:
    statement, _, number = text.partition("/")
    if not (statement.isdecimal() and number.isdecimal()):
        raise typer.BadParameter(f"{text} is not STATEMENT/LINE")
    return reconciliation.LineName(int(statement), int(number))


def _propose(context: typer.Context, tenant: str, line: str, action: reconciliation.Action) -> None:
    name = _line(line)

    async def use(deployment: Deployment) -> reconciliation.Proposal:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await reconciliation.propose_resolution(
                session, served, name.statement, name.line, action, actor=ACTOR
            )

    found = run(context, use)
    show(
        context,
        found,
        lambda: typer.echo(f"proposal {found.proposal}: {found.action}, to be confirmed with {found.digest}"),
    )


@_groups["break"].command("list")
def break_list(context: typer.Context, tenant: TenantOption) -> None:
    """List the first 500 lines that are no receipt's, and the oldest 500 receipts that no line shows."""

    async def use(
        deployment: Deployment,
    ) -> tuple[list[reconciliation.Break], list[reconciliation.UnshownReceipt]]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            breaks = await reconciliation.list_breaks(session, served, most=500)
            return breaks, await reconciliation.list_unshown(session, served, most=500)

    breaks, unshown = run(context, use)

    def lines() -> None:
        for one in breaks:
            staged = f", {one.proposals} proposed" if one.proposals else ""
            typer.echo(
                f"{one.statement}/{one.line}: {one.account} {one.amount}, {one.reason}, "
                f"{one.age_days} days, turn of the {one.turn}{staged}"
            )
        for receipt in unshown:
            typer.echo(
                f"receipt {receipt.receipt}: {receipt.account} {receipt.amount}, {receipt.reason}, "
                f"{receipt.age_days} days, turn of the {receipt.turn}"
            )

    show(context, {"items": breaks, "unshown": unshown}, lines)


@_groups["break"].command("match")
def break_match(
    context: typer.Context,
    line: LineArgument,
    tenant: TenantOption,
    receipt: Annotated[list[str], typer.Option("--receipt", help="A receipt that the line shows; may be repeated.")],
    other: Annotated[
        list[str] | None, typer.Option("--line", help="Another line of the one receipt; may be repeated.")
    ] = None,
    cause: Annotated[str, typer.Option("--cause", help="The pack's cause for which a difference is booked.")] = "",
) -> None:
    """Propose that a line shows receipts; another person confirms it, with the digest, over the API."""
    if not all(one.isdecimal() for one in receipt):
        raise typer.BadParameter("a receipt is a number", param_hint="--receipt")
    others = tuple(_line(one) for one in other or ())
    _propose(context, tenant, line, reconciliation.Matching(receipts=tuple(receipt), lines=others, cause=cause))


@_groups["break"].command("book")
def break_book(
    context: typer.Context,
    line: LineArgument,
    tenant: TenantOption,
    cause: Annotated[str, typer.Option("--cause", help="The pack's cause.")],
) -> None:
    """Propose to book a whole line for a cause of the pack; another person confirms it over the API."""
    _propose(context, tenant, line, reconciliation.Booking(cause))


@_groups["break"].command("hold")
def break_hold(
    context: typer.Context,
    line: LineArgument,
    tenant: TenantOption,
    waits_for: Annotated[str, typer.Option("--for", help="bank, wallet, manager or member.")],
    until: Annotated[datetime, typer.Option("--until", formats=["%Y-%m-%d"], help="The last day of it.")],
) -> None:
    """Propose to hold a break for somebody until a day; another person confirms it over the API."""
    if waits_for not in get_args(reconciliation.Counterpart):
        raise typer.BadParameter(", ".join(get_args(reconciliation.Counterpart)), param_hint="--for")
    held = reconciliation.Holding(cast("reconciliation.Counterpart", waits_for), until.date())
    _propose(context, tenant, line, held)


@_groups["break"].command("history")
def break_history(context: typer.Context, line: LineArgument, tenant: TenantOption) -> None:
    """Tell everything that was proposed for a break, and what became of it."""
    name = _line(line)

    async def use(deployment: Deployment) -> list[reconciliation.Proposal]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await reconciliation.list_proposals(session, served, name.statement, name.line)

    found = run(context, use)

    def lines() -> None:
        for one in found:
            decided = f" by {one.decided_by}" if one.decided_by else ""
            typer.echo(f"proposal {one.proposal} by {one.proposed_by}: {one.action}, {one.state}{decided}")

    show(context, found, lines)


# -- dealing


@_groups["dealing"].command("run")
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


@_groups["interest"].command("credit")
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


# -- reading


@app.command()
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


@app.command()
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


@app.command()
def prove(
    context: typer.Context,
    tenant: TenantOption,
    on: Annotated[
        datetime | None, typer.Option("--on", formats=["%Y-%m-%d"], help="The business day; today if absent.")
    ] = None,
) -> None:
    """Prove a day: statements against the books, fund managers against the books, every gap by name."""

    async def use(deployment: Deployment) -> reconciliation.DayProof:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            today = business_date(await ledger.scheme_now(session), served.time_zone)
            return await reconciliation.prove_day(session, served, on.date() if on else today)

    proof = run(context, use)

    def lines() -> None:
        for line in proof.lines():
            typer.echo(line)

    show(context, proof, lines)
    if not proof.is_clean:
        raise typer.Exit(PARTLY)


@app.command()
def reconcile(
    context: typer.Context,
    tenant: TenantOption,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would match.")] = False,
) -> None:
    """Match the lines that wait to receipts, one to one and by the rules of the pack."""

    async def use(deployment: Deployment) -> reconciliation.TrialReport | reconciliation.MatchReport:
        served = deployment.tenants.by_code(tenant)
        if dry_run:
            return await reconciliation.try_matching(deployment.db, served)
        return await reconciliation.match_statements(deployment.db, served, actor=ACTOR)

    found = run(context, use)

    def lines() -> None:
        for line in found.lines():
            typer.echo(line)

    show(context, found, lines)


@_groups["import"].command("holdings")
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


@_groups["audit"].command("export")
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


@_groups["audit"].command("verify")
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


# -- counterparties


@_groups["counterparty"].command("register")
def counterparty_register(
    context: typer.Context,
    tenant: TenantOption,
    channel: Annotated[str, typer.Option("--channel", help="The collection channel, as the scheme names it.")],
) -> None:
    """Make the address that an operator calls of its own accord, and register it there where that can be done."""

    async def use(deployment: Deployment) -> Registered:
        found = deployment.tenants.by_code(tenant)
        file = CounterpartyFile(deployment.settings.counterparties_file)
        async with calling(deployment.db, deployment.keys, file, deployment.base_url, adapter) as outside:
            try:
                return await register(outside.of(found), deployment.db, found, channel)
            except (Unreachable, Unanswered) as error:
                fail(f"the operator of {channel} did not answer: {error}")

    made = run(context, use)
    told = "The operator has taken it." if made.is_told else "Enter it in the operator's portal."
    show(context, made, lambda: typer.echo(f"{made.address}\n{told}"))


class Doubts(Struct, frozen=True, kw_only=True):
    """What people must look at: checks of identities, and notices of deaths."""

    identities: list[enrolment.Doubt]
    deaths: list[enrolment.Death]


@_groups["identity"].command("doubts")
def identity_doubts(context: typer.Context, tenant: TenantOption) -> None:
    """List the checks of identities and the notices of deaths that a person must decide, the oldest first."""

    async def use(deployment: Deployment) -> Doubts:
        served, keys = deployment.tenants.by_code(tenant), deployment.keys
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return Doubts(
                identities=await enrolment.list_doubts(session, keys, most=100, actor=ACTOR),
                deaths=await enrolment.list_deaths(session, keys, served, most=100, actor=ACTOR),
            )

    found = run(context, use)

    def lines() -> None:
        for one in found.identities:
            score = "" if one.score_bp is None else f", alike by {one.score_bp}"
            typer.echo(
                f"{one.reference} member {one.member}, {one.document}: {one.why}{score}, since {one.since:%Y-%m-%d}"
            )
        for death in found.deaths:
            whose = f"member {death.member}" if death.member else "nobody known"
            typer.echo(f"{death.notice} death, {whose}: {death.state} {death.why}, since {death.since:%Y-%m-%d}")
            for candidate in death.candidates:
                typer.echo(f"  perhaps member {candidate.member}, alike by {candidate.score_bp}")
        if not found.identities and not found.deaths:
            typer.echo("nothing waits for a person")

    show(context, found, lines)


@app.command()
def sandbox(
    context: typer.Context,
    write: Annotated[
        Path | None, typer.Option("--write", help="Write the settings to this file instead of printing them.")
    ] = None,
    port: Annotated[int, typer.Option("--port", help="The first simulator's port; 0 for free ones.")] = 0,
    settle_seconds: Annotated[float, typer.Option("--settle-seconds", help="How long a payer takes.")] = 1.0,
) -> None:
    """Serve the simulators of every wallet that the packs join, and say by which settings they are joined."""
    if context.obj.settings.is_production:
        fail("a production deployment is joined to real operators: the sandbox is for development and trials")
    packs = [load_pack(folder, KINDS) for folder in pack_folders(context.obj.settings.packs)]
    with suppress(KeyboardInterrupt):
        asyncio.run(run_sandbox(packs, port=port, settle_seconds=settle_seconds, write=write, tell=typer.echo))


# -- the main job and its speed


@_groups["demo"].command("run")
def demo_run(
    context: typer.Context, once: Annotated[bool, typer.Option("--once", help="Do the work, report, stop.")] = False
) -> None:
    """Start everything, load believable data through the API and the jobs, check it, and serve."""
    from demo.run import run  # noqa: PLC0415 - the demo is no part of the engine

    raise typer.Exit(run(context.obj.settings, once=once, as_json=context.obj.json))


@app.command()
def bench(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="One benchmark; all but lives if absent.")] = None,
    scale: Annotated[float, typer.Option("--scale", help="1 is the full size.")] = 1.0,
    years: Annotated[int, typer.Option("--years", help="Of lives.", min=1, max=60)] = 40,
) -> None:
    """Measure speed as ratios in one run; prints JSON."""
    from benchmarks.run import run  # noqa: PLC0415 - the benchmarks are no part of the engine

    typer.echo(
        msgspec.json.format(
            msgspec.json.encode(run(context.obj.settings, name=name, scale=scale, years=years)), indent=2
        ).decode()
    )
