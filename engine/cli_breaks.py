"""The commands `akiba break`, `reconcile` and `prove`: statements against the books."""

from datetime import datetime
from typing import Annotated, cast, get_args

import typer

from engine.cli_frame import ACTOR, PARTLY, TenantOption, run, show
from engine.deployment import Deployment
from engine.kernel.clock import business_date
from engine.ledger import service as ledger
from engine.reconciliation import service as reconciliation

breaks = typer.Typer(no_args_is_help=True, help="What does not agree between statements and receipts.")

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


@breaks.command("list")
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


@breaks.command("match")
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


@breaks.command("book")
def break_book(
    context: typer.Context,
    line: LineArgument,
    tenant: TenantOption,
    cause: Annotated[str, typer.Option("--cause", help="The pack's cause.")],
) -> None:
    """Propose to book a whole line for a cause of the pack; another person confirms it over the API."""
    _propose(context, tenant, line, reconciliation.Booking(cause))


@breaks.command("hold")
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


@breaks.command("history")
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
