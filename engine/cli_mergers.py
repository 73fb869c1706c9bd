"""The commands `akiba mergers`: a scheme that goes into another, and taking one in that comes."""

import os
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from engine.cli_frame import ACTOR, FAILED, TenantOption, fail, progress_bar, run, show
from engine.deployment import Deployment
from engine.mergers import service as mergers
from engine.mergers.api import MergerItem, RoundItem, round_shown, shown
from engine.mergers.rules import MergerReceipt, MergerTerms
from engine.mergers.service import MergerReport
from engine.opening.service import OpeningReport
from engine.runtime.private_files import write_private

group = typer.Typer(no_args_is_help=True, help="Mergers: a scheme goes into another.")

MergerArgument = Annotated[int, typer.Argument(help="The merger's number.", min=1, max=2**31 - 1)]
RoundOption = Annotated[int, typer.Option("--round", help="The round; the first hands everybody over.", min=1)]


def _lines(found: list[str]) -> None:
    for line in found:
        typer.echo(line)


def _merger_lines(one: MergerItem) -> list[str]:
    head = f"{one.merger}  {one.state}  into {one.terms.into_scheme} from {one.terms.effective_on}  digest {one.digest}"
    return [head, *(f"   round {each.round}  {_round_line(each)}" for each in one.rounds)]


def _round_line(one: RoundItem) -> str:
    closed = f"closed on {one.closed_on}, " if one.closed_on else ""
    return f"{one.state}  {closed}{one.members} members  {one.digest}".rstrip()


def _report_lines(report: MergerReport) -> list[str]:
    found = [f"{report.members} members"]
    found += [
        f"{one.amount:>20}  {one.account}  of {one.members}  →  {one.new_amount}  {one.into}" for one in report.accounts
    ]
    found += [f"waits: {reason}, {count} members" for reason, count in report.waiting.items()]
    found += [f"NO PLACE: {account}, {count} members" for account, count in report.no_place.items()]
    return found


def _terms(path: Path) -> MergerTerms:
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), MergerTerms)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        fail(f"{path.name}: {error}")


@group.command("propose")
def propose(
    context: typer.Context,
    terms: Annotated[Path, typer.Argument(help="The terms, as TOML.", exists=True, dir_okay=False)],
    tenant: TenantOption,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only report what they come to; keep nothing.")] = False,
) -> None:
    """Propose that the scheme goes into another by terms; a second person approves their digest over the API."""
    read = _terms(terms)

    async def report(deployment: Deployment) -> MergerReport:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await mergers.report_terms(session, served, read)

    async def use(deployment: Deployment) -> MergerItem:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            one = await mergers.propose_merger(session, served, read, actor=ACTOR)
            return shown(await mergers.find_merger(session, one.merger_no))

    found = run(context, report)
    if dry_run:
        show(context, found, lambda: _lines(_report_lines(found)))
        if found.no_place:
            raise typer.Exit(FAILED)
        return
    proposed = run(context, use)
    show(context, proposed, lambda: _lines([*_report_lines(found), *_merger_lines(proposed)]))


@group.command("list")
def list_all(context: typer.Context, tenant: TenantOption) -> None:
    """List mergers and their rounds, the newest first."""

    async def use(deployment: Deployment) -> list[MergerItem]:
        async with deployment.db.unit_of_work(deployment.tenants.by_code(tenant).tenant_id) as session:
            return [shown(one) for one in await mergers.list_mergers(session)]

    found = run(context, use)
    show(context, found, lambda: _lines([line for one in found for line in _merger_lines(one)]))


@group.command("report")
def report(context: typer.Context, merger: MergerArgument, tenant: TenantOption) -> None:
    """Say what a merger's terms come to as the books stand: each account and where it goes, and who waits for what."""

    async def use(deployment: Deployment) -> MergerReport:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            view = await mergers.find_merger(session, merger)
            return await mergers.report_terms(session, served, view.merger.terms)

    found = run(context, use)
    show(context, found, lambda: _lines(_report_lines(found)))


@group.command("carry-on")
def carry_on(context: typer.Context, tenant: TenantOption) -> None:
    """Hand over whoever is ready and make the files, as the background does; may be stopped and started again."""

    async def use(deployment: Deployment) -> list[MergerItem]:
        served = deployment.tenants.by_code(tenant)
        await mergers.carry_on(deployment.db, deployment.keys, deployment.tenants, served, actor=ACTOR)
        await mergers.forward_payments(deployment.db, deployment.keys, served, actor=ACTOR)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return [shown(one) for one in await mergers.list_mergers(session)]

    found = run(context, use)
    show(context, found, lambda: _lines([line for one in found for line in _merger_lines(one)]))


@group.command("late")
def late(context: typer.Context, merger: MergerArgument, tenant: TenantOption) -> None:
    """Begin another round, for what came to members since they were handed over."""

    async def use(deployment: Deployment) -> RoundItem:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return round_shown(await mergers.begin_late_round(session, served, merger, actor=ACTOR))

    found = run(context, use)
    show(context, found, lambda: typer.echo(f"round {found.round}  {_round_line(found)}"))


@group.command("export")
def export(
    context: typer.Context,
    merger: MergerArgument,
    tenant: TenantOption,
    out: Annotated[Path, typer.Option("--out", help="The folder to write; it is made.")],
    round_no: RoundOption = 1,
) -> None:
    """Write the files of a round, each sealed for the other scheme alone."""

    async def use(deployment: Deployment) -> dict[str, bytes]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await mergers.sealed_files(session, served, merger, round_no)

    found = run(context, use)
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, raw in found.items():
        write_private(out / name, raw)
    names = sorted(found)
    show(context, names, lambda: _lines([os.fspath(out / name) for name in names]))


@group.command("take")
def take(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Holds the sealed files of a round.", exists=True, file_okay=False)],
    tenant: TenantOption,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only report; keep nothing.")] = False,
) -> None:
    """Take in a scheme that comes: check its files and stage them as opening balances; a second person approves over the API."""

    async def use(deployment: Deployment) -> OpeningReport:
        with progress_bar() as progress:
            task = progress.add_task("rows", total=None)
            return await mergers.take_in(
                deployment.db,
                deployment.keys,
                deployment.tenants.by_code(tenant),
                folder,
                actor=ACTOR,
                dry_run=dry_run,
                progress=lambda rows: progress.advance(task, rows),
            )

    found = run(context, use)
    show(context, found, lambda: _lines(found.lines()))
    if found.is_refused:
        raise typer.Exit(FAILED)


@group.command("receipt")
def receipt(
    context: typer.Context,
    opening: Annotated[int, typer.Argument(help="The opening by which the scheme was taken in.", min=1, max=2**31 - 1)],
    tenant: TenantOption,
    out: Annotated[Path, typer.Option("--out", help="The file to write, for the scheme that came.")],
) -> None:
    """Write what was taken in of another scheme, as the books have it."""

    async def use(deployment: Deployment) -> MergerReceipt:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await mergers.receipt_of(session, served, opening)

    found = run(context, use)
    write_private(out, msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    show(
        context,
        found,
        lambda: typer.echo(f"{out}  {found.members} members, {len(found.lines)} accounts  {found.digest}"),
    )


@group.command("acknowledge")
def acknowledge(
    context: typer.Context,
    merger: MergerArgument,
    receipt_file: Annotated[Path, typer.Argument(help="The other scheme's receipt.", exists=True, dir_okay=False)],
    tenant: TenantOption,
    round_no: RoundOption = 1,
) -> None:
    """Take the other scheme's receipt: it must be of all that was handed over, to the last unit."""
    try:
        given = msgspec.json.decode(receipt_file.read_bytes(), type=MergerReceipt)
    except msgspec.DecodeError as error:
        fail(f"{receipt_file.name}: {error}")

    async def use(deployment: Deployment) -> RoundItem:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return round_shown(await mergers.acknowledge(session, served, merger, round_no, given, actor=ACTOR))

    found = run(context, use)
    show(context, found, lambda: typer.echo(f"round {found.round}  {_round_line(found)}"))


@group.command("payments")
def payments(
    context: typer.Context,
    merger: MergerArgument,
    tenant: TenantOption,
    out: Annotated[
        Path, typer.Option("--out", help="The file to write; the other scheme imports it as contributions.")
    ],
) -> None:
    """Write the payments that came late and were passed on; the file may be imported again, each counts once."""

    async def use(deployment: Deployment) -> bytes:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await mergers.forwarded_file(session, deployment.keys, served, merger, actor=ACTOR)

    found = run(context, use)
    write_private(out, found)
    rows = found.count(b"\n") - 1
    show(context, {"file": os.fspath(out), "payments": rows}, lambda: typer.echo(f"{out}  {rows} payments"))
