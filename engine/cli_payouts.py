"""The commands `akiba payouts`: what is to be paid, its approval, the files that ask banks for it and their reports."""

from datetime import datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from engine.benefits import service as benefits
from engine.benefits.errors import RailNotJoined
from engine.benefits.rules.paying import Payout, PayoutState
from engine.benefits.service import Payers, PayoutFile
from engine.cli_frame import ACTOR, TenantOption, fail, run, show
from engine.deployment import Deployment, adapter
from engine.outside import NoTransport, Outside
from engine.reconciliation.ports import PaymentFiles
from engine.runtime.counterparty_file import CounterpartyFile
from engine.runtime.private_files import write_private
from engine.tenancy.service import Tenant

payouts = typer.Typer(no_args_is_help=True, help="Money to members and payees.")

RailOption = Annotated[str, typer.Option("--rail", help="The bank's rail, as the secrets file names it.")]


def payers_of(deployment: Deployment, tenant: Tenant) -> Payers:
    """Return how the tenant's payees are paid; this process opens exchanges, the worker calls."""
    file = CounterpartyFile(deployment.settings.counterparties_file)
    outside = Outside(deployment.db, deployment.keys, file, deployment.base_url, adapter, NoTransport())
    return outside.of(tenant).payers


def _files(payers: Payers, rail: str) -> PaymentFiles:
    if rail not in payers.banks:
        raise RailNotJoined(rail=rail)
    found: PaymentFiles = adapter("PaymentFiles", payers.banks[rail].files)
    return found


def _line(one: Payout) -> str:
    reason = f" ({one.reason})" if one.reason else ""
    return f"{one.id}  {one.made_on}  {one.amount:>14} {one.currency}  {one.rail}  {one.state}{reason}  {one.source}"


@payouts.command("list")
def payouts_list(
    context: typer.Context,
    tenant: TenantOption,
    state: Annotated[PayoutState | None, typer.Option("--state", help="As it is stored; all if absent.")] = None,
    most: Annotated[int, typer.Option("--most", min=1, max=1000)] = 100,
) -> None:
    """List payouts, oldest first, without whom they pay."""

    async def use(deployment: Deployment) -> list[Payout]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await benefits.list_payouts(session, served, state=state, most=most)

    found = run(context, use)

    def lines() -> None:
        for one in found:
            typer.echo(_line(one))

    show(context, found, lines)


@payouts.command("approve")
def payouts_approve(
    context: typer.Context,
    payout: UUID,
    tenant: TenantOption,
    digest: Annotated[str, typer.Option("--digest", help="Of the payout that you saw.")],
    name_seen: Annotated[
        bool, typer.Option("--name-seen", help="Accept a name on the account that does not agree.")
    ] = False,
) -> None:
    """Approve a payout that another person made: exactly what its digest is of is paid."""

    async def use(deployment: Deployment) -> Payout:
        served = deployment.tenants.by_code(tenant)
        payers = payers_of(deployment, served)
        kept = benefits.approving(deployment.db, served, payout)
        async with kept, deployment.db.unit_of_work(served.tenant_id) as session:
            return await benefits.approve(
                session, deployment.keys, served, payers, payout, digest=digest, actor=ACTOR, name_seen=name_seen
            )

    found = run(context, use)
    show(context, found, lambda: typer.echo(_line(found)))


@payouts.command("file")
def payouts_file(
    context: typer.Context,
    tenant: TenantOption,
    rail: RailOption,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The folder the file is left in; the worker leaves it where the bank's table says."),
    ] = None,
    day: Annotated[
        datetime | None, typer.Option("--date", help="When the bank is to pay; today if absent.", formats=["%Y-%m-%d"])
    ] = None,
    again: Annotated[str, typer.Option("--again", help="Leave this file once more, instead of a new one.")] = "",
) -> None:
    """Put approved payouts of a bank into one new file, each once for ever; the same file can be left again."""

    async def use(deployment: Deployment) -> PayoutFile | None:
        served = deployment.tenants.by_code(tenant)
        if again:
            async with deployment.db.unit_of_work(served.tenant_id) as session:
                return await benefits.find_file(session, deployment.keys, served, again)
        payers = payers_of(deployment, served)
        writes = _files(payers, rail)
        if out is None and not payers.banks[rail].by:
            fail(f"the files of {rail} are carried by people: say --out")
        return await benefits.file_payouts(
            deployment.db,
            deployment.keys,
            served,
            payers,
            writes,
            rail=rail,
            actor=ACTOR,
            execute_on=day.date() if day else None,
        )

    made = run(context, use)
    if made is None:
        show(context, {"file": ""}, lambda: typer.echo("No approved payout waits."))
        return
    path = Path(made.name) if out is None else out / made.name
    if out is not None:
        if path.exists() and path.read_bytes() != made.raw:
            fail(f"{path} is there and holds something else; leave the file elsewhere with --again {made.message_ref}")
        write_private(path, made.raw)
    told = {
        "file": str(path),
        "message_ref": made.message_ref,
        "payouts": made.payouts,
        "total": made.total,
        "sha256": made.sha256,
    }
    show(context, told, lambda: typer.echo(f"{path}: {made.payouts} payouts, {made.total}, SHA-256 {made.sha256}"))


@payouts.command("report")
def payouts_report(context: typer.Context, file: Path, tenant: TenantOption, rail: RailOption) -> None:
    """Take in a bank's report on a file of payouts: what it refused comes home."""
    raw = file.read_bytes()

    async def use(deployment: Deployment) -> benefits.ReportRead:
        served = deployment.tenants.by_code(tenant)
        files = _files(payers_of(deployment, served), rail)
        return await benefits.read_report(deployment.db, deployment.keys, served, files, raw, file.name, actor=ACTOR)

    read = run(context, use)
    known = "read before; " if read.is_known else ""
    told = f"{read.message_ref}: {known}{read.taken} taken, {read.refused} refused, {read.unclear} to be looked at"
    show(context, read, lambda: typer.echo(told))


@payouts.command("settle")
def payouts_settle(context: typer.Context, tenant: TenantOption) -> None:
    """Book what statements show of payouts now; the worker does so every minute."""

    async def use(deployment: Deployment) -> benefits.Settlement:
        return await benefits.settle_payouts(deployment.db, deployment.keys, deployment.tenants.by_code(tenant))

    done = run(context, use)
    show(context, done, lambda: typer.echo(f"{done.settled} gone, {done.returned} came back"))
