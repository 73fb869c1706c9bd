"""The commands `akiba debits`: mandates, the files that ask banks to collect, and their reports."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from engine.benefits.errors import RailNotJoined
from engine.cli_frame import ACTOR, TenantOption, run, show
from engine.debits import service as direct
from engine.debits.api import DebitFileItem, debit_file_shown
from engine.debits.service import Creditor, DebitReportRead
from engine.deployment import Deployment, adapter
from engine.kernel.files import NamedFile
from engine.outside import NoTransport, Outside
from engine.reconciliation.ports import PaymentFiles
from engine.runtime.counterparty_file import CounterpartyFile
from engine.runtime.private_files import write_private
from engine.tenancy.service import Tenant

debits = typer.Typer(no_args_is_help=True, help="Direct debits: what members owe, collected from their banks.")

RailOption = Annotated[str, typer.Option("--rail", help="The bank's rail, as the secrets file names it.")]
ProductOption = Annotated[str, typer.Option("--product", help="Whose members.")]


def _creditor(deployment: Deployment, tenant: Tenant, rail: str) -> tuple[Creditor, PaymentFiles]:
    file = CounterpartyFile(deployment.settings.counterparties_file)
    outside = Outside(deployment.db, deployment.keys, file, deployment.base_url, adapter, NoTransport())
    found = outside.of(tenant).places.creditors.get(rail)
    if found is None:
        raise RailNotJoined(rail=rail)
    return found


def _line(one: DebitFileItem) -> str:
    return f"{one.file}  {one.message_ref}  {one.collect_on}  {one.sequence}  {one.debits} debits, {one.total}  {one.state}  {one.digest}"


@debits.command("mandates")
def debits_mandates(context: typer.Context, file: Path, tenant: TenantOption, rail: RailOption) -> None:
    """Keep mandates that members signed, all of a CSV file or none: member, product, reference, signed_on, most, holder, number, bank."""
    raw = file.read_bytes()

    async def use(deployment: Deployment) -> int:
        served = deployment.tenants.by_code(tenant)
        given = direct.read_mandates(raw)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            for one in given:
                await direct.give_mandate(session, deployment.keys, served, rail, one, actor=ACTOR)
        return len(given)

    kept = run(context, use)
    show(context, {"kept": kept}, lambda: typer.echo(f"{kept} mandates kept"))


@debits.command("end")
def debits_end(
    context: typer.Context,
    member: Annotated[str, typer.Argument(help="The member's number.")],
    tenant: TenantOption,
    product: ProductOption,
) -> None:
    """End a member's mandate: nothing more is asked for under it."""

    async def use(deployment: Deployment) -> None:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            await direct.end_mandate(session, deployment.keys, served, member, product, actor=ACTOR)

    run(context, use)
    show(context, {"ended": True}, lambda: typer.echo("The mandate is ended."))


@debits.command("prepare")
def debits_prepare(
    context: typer.Context,
    tenant: TenantOption,
    rail: RailOption,
    product: ProductOption,
    day: Annotated[datetime, typer.Option("--date", help="When the bank is to collect.", formats=["%Y-%m-%d"])],
) -> None:
    """Prepare what members owe on a day; another person approves it."""

    async def use(deployment: Deployment) -> list[DebitFileItem]:
        served = deployment.tenants.by_code(tenant)
        _creditor(deployment, served, rail)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            made = await direct.prepare_debits(
                session, served, rail=rail, product=product, collect_on=day.date(), actor=ACTOR
            )
        return [debit_file_shown(one, served.asset) for one in made]

    _listed(context, run(context, use))


@debits.command("list")
def debits_list(context: typer.Context, tenant: TenantOption) -> None:
    """List files of debits, the newest first."""

    async def use(deployment: Deployment) -> list[DebitFileItem]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return [debit_file_shown(one, served.asset) for one in await direct.list_debits(session)]

    _listed(context, run(context, use))


def _listed(context: typer.Context, found: list[DebitFileItem]) -> None:
    def lines() -> None:
        for one in found:
            typer.echo(_line(one))

    show(context, found, lines)


@debits.command("approve")
def debits_approve(
    context: typer.Context,
    file: Annotated[int, typer.Argument(min=1)],
    tenant: TenantOption,
    digest: Annotated[str, typer.Option("--digest", help="Of the debits that you saw.")],
) -> None:
    """Let a file go that another person prepared."""

    async def use(deployment: Deployment) -> DebitFileItem:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            done = await direct.approve_debits(session, file, digest=digest, actor=ACTOR)
        return debit_file_shown(done, served.asset)

    found = run(context, use)
    show(context, found, lambda: typer.echo(_line(found)))


@debits.command("file")
def debits_file(
    context: typer.Context,
    file: Annotated[int, typer.Argument(min=1)],
    tenant: TenantOption,
    rail: RailOption,
    out: Annotated[Path, typer.Option("--out", help="The folder the file is left in; it names people.")],
) -> None:
    """Write an approved file, and leave it in a folder; it is the same however often."""

    async def use(deployment: Deployment) -> NamedFile:
        served = deployment.tenants.by_code(tenant)
        creditor, files = _creditor(deployment, served, rail)
        await direct.write_debits(deployment.db, deployment.keys, served, creditor, files)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await direct.debit_file(session, deployment.keys, served, file)

    made = run(context, use)
    path = out / made.name
    write_private(path, made.raw)
    show(context, {"file": str(path), "sha256": made.sha256}, lambda: typer.echo(f"{path}: SHA-256 {made.sha256}"))


@debits.command("report")
def debits_report(context: typer.Context, file: Path, tenant: TenantOption, rail: RailOption) -> None:
    """Take in a bank's report on a file of debits."""
    raw = file.read_bytes()

    async def use(deployment: Deployment) -> DebitReportRead:
        served = deployment.tenants.by_code(tenant)
        _, files = _creditor(deployment, served, rail)
        return await direct.read_report(deployment.db, deployment.keys, served, files, raw, file.name, actor=ACTOR)

    read = run(context, use)
    known = "read before; " if read.is_known else ""
    show(context, read, lambda: typer.echo(f"{read.message_ref}: {known}{read.taken} taken, {read.refused} refused"))
