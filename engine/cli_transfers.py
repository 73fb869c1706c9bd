"""The commands `akiba transfers`: savings that go to other schemes, and savings that come from them."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from engine.benefits import service as benefits
from engine.benefits.api.claiming import member_of
from engine.benefits.api.transferring import TransferInItem, TransferOutItem, in_shown, out_shown
from engine.benefits.rules.advices import TransferAdvice
from engine.cli_frame import ACTOR, TenantOption, fail, run, show
from engine.deployment import Deployment
from engine.runtime.private_files import write_private

transfers = typer.Typer(no_args_is_help=True, help="Savings to and from other schemes.")

AfterOption = Annotated[int, typer.Option("--after", min=0, help="The last number of the page before.")]
MostOption = Annotated[int, typer.Option("--most", min=1, max=1000)]


def _out_line(one: TransferOutItem) -> str:
    return (
        f"{one.transfer}  {one.opened_on}  {one.amount:>14} {one.currency}  to {one.scheme}  {one.state}  {one.digest}"
    )


def _in_line(one: TransferInItem) -> str:
    return f"{one.transfer}  {one.advised_on}  {one.amount:>14} {one.currency}  from {one.sender}, {one.reference}  {one.state}  {one.digest}"


def _print(lines: list[str]) -> None:
    for line in lines:
        typer.echo(line)


@transfers.command("out")
def transfers_out(context: typer.Context, tenant: TenantOption, after: AfterOption = 0, most: MostOption = 100) -> None:
    """List savings that go to other schemes, the oldest first."""

    async def use(deployment: Deployment) -> list[TransferOutItem]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            found = await benefits.list_transfers(session, after=after, most=most)
        return [out_shown(one, served) for one in found]

    found = run(context, use)
    show(context, found, lambda: _print([_out_line(one) for one in found]))


@transfers.command("in")
def transfers_in(context: typer.Context, tenant: TenantOption, after: AfterOption = 0, most: MostOption = 100) -> None:
    """List savings that come from other schemes, the oldest first."""

    async def use(deployment: Deployment) -> list[TransferInItem]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            found = await benefits.list_advices(session, after=after, most=most)
        return [in_shown(one, served) for one in found]

    found = run(context, use)
    show(context, found, lambda: _print([_in_line(one) for one in found]))


@transfers.command("advice")
def transfers_advice(
    context: typer.Context,
    transfer: Annotated[int, typer.Argument(help="The transfer's number, which is its claim's.", min=1, max=2**63 - 1)],
    tenant: TenantOption,
    out: Annotated[Path, typer.Option("--out", help="The file to write; it names a person.")],
) -> None:
    """Write what the other scheme is told of savings that go there: JSON, with totals."""

    async def use(deployment: Deployment) -> bytes:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            found = await benefits.advice_of(session, deployment.keys, served, transfer, actor=ACTOR)
        return msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"

    raw = run(context, use)
    write_private(out, raw)
    show(context, {"file": str(out), "bytes": len(raw)}, lambda: typer.echo(f"{out}: {len(raw)} bytes"))


@transfers.command("receive")
def transfers_receive(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The other scheme's advice, JSON.", exists=True, dir_okay=False)],
    tenant: TenantOption,
    member: Annotated[str, typer.Option("--member", help="The number of the member whose savings it brings.")],
    product: Annotated[str, typer.Option("--product", help="The first they joined if absent.")] = "",
) -> None:
    """Check the advice of another scheme and stage it; a second person approves its digest over the API."""
    try:
        advice = msgspec.json.decode(file.read_bytes(), type=TransferAdvice)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        fail(f"{file}: {error}")

    async def use(deployment: Deployment) -> TransferInItem:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            ref = await member_of(session, deployment.keys, member, product)
            row = await benefits.advise_transfer(session, deployment.keys, served, ref, advice, actor=ACTOR)
        return in_shown(row, served)

    found = run(context, use)
    show(context, found, lambda: typer.echo(_in_line(found)))


@transfers.command("take")
def transfers_take(context: typer.Context, tenant: TenantOption) -> None:
    """Post approved savings whose payment has come; the worker does so every minute."""

    async def use(deployment: Deployment) -> int:
        return await benefits.take_transfers_in(deployment.db, deployment.keys, deployment.tenants.by_code(tenant))

    taken = run(context, use)
    show(context, {"taken": taken}, lambda: typer.echo(f"{taken} transfers taken in"))
