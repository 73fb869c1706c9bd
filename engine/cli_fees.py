"""The commands `akiba fees`: what falls due on a day, its approval by another person, and giving back."""

from datetime import datetime
from typing import Annotated

import typer

from engine.benefits import service as benefits
from engine.benefits.api.charging import FeeRunItem, shown
from engine.cli_frame import ACTOR, TenantOption, run, show
from engine.deployment import Deployment
from engine.identity import service as identity
from engine.identity.errors import UnknownMember

fees = typer.Typer(no_args_is_help=True, help="Fees of all members.")

RunNumber = Annotated[int, typer.Argument(help="The run's number.", min=1, max=2**31 - 1)]
DigestOption = Annotated[str, typer.Option("--digest", help="Of the run that you saw.")]


def _print(one: FeeRunItem) -> None:
    kind = f"gives back run {one.corrects} ({one.reason})" if one.corrects else one.product
    typer.echo(f"{one.run}  {one.date}  {kind}  {one.members} members  net {one.net}  vat {one.vat}  {one.state}")
    for part in one.fees:
        typer.echo(f"  {part.fee} to {part.payee}: {part.members} members, {part.net} and tax {part.vat}")
    if one.state in ("approved", "done"):
        typer.echo(f"  taken {one.taken}  owed {one.owed}  waived {one.waived}")
    if one.state == "proposed":
        typer.echo(f"  digest {one.digest}")


async def _member(deployment: Deployment, tenant: str, number: str | None) -> int:
    if number is None:
        return 0
    served = deployment.tenants.by_code(tenant)
    async with deployment.db.unit_of_work(served.tenant_id) as session:
        found = await identity.members_by_number(session, deployment.keys, [number])
    if number not in found:
        raise UnknownMember
    return found[number].member_id


@fees.command("run")
def fees_run(
    context: typer.Context,
    tenant: TenantOption,
    product: Annotated[str, typer.Option(help="The product.")],
    day: Annotated[datetime, typer.Option("--date", help="The last day of what is charged.", formats=["%Y-%m-%d"])],
    leaving: Annotated[str | None, typer.Option("--leaving", help="A member who leaves that day, alone.")] = None,
    key: Annotated[
        list[str] | None, typer.Option("--key", help="Where a cap stands in a table: agency=protean.")
    ] = None,
) -> None:
    """Propose the fees whose period ends on a day: what they come to, and the digest that another person approves."""
    keys = dict(pair.split("=", 1) for pair in key or () if "=" in pair)

    async def use(deployment: Deployment) -> FeeRunItem:
        served = deployment.tenants.by_code(tenant)
        member = await _member(deployment, tenant, leaving)
        found = await benefits.propose_fees(
            deployment.db, served, product, day.date(), actor=ACTOR, leaving=member, keys=keys
        )
        return shown(found, served)

    found = run(context, use)
    show(context, found, lambda: _print(found))


@fees.command("list")
def fees_list(context: typer.Context, tenant: TenantOption) -> None:
    """List the newest runs, newest first."""

    async def use(deployment: Deployment) -> list[FeeRunItem]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return [shown(one, served) for one in await benefits.list_fee_runs(session)]

    found = run(context, use)

    def lines() -> None:
        for one in found:
            _print(one)

    show(context, found, lines)


@fees.command("approve")
def fees_approve(context: typer.Context, number: RunNumber, tenant: TenantOption, digest: DigestOption) -> None:
    """Approve a run that another person proposed, and take it; run again, one that was stopped goes on."""

    async def use(deployment: Deployment) -> FeeRunItem:
        served = deployment.tenants.by_code(tenant)
        return shown(await benefits.approve_fees(deployment.db, served, number, digest, actor=ACTOR), served)

    found = run(context, use)
    show(context, found, lambda: _print(found))


@fees.command("reject")
def fees_reject(context: typer.Context, number: RunNumber, tenant: TenantOption, digest: DigestOption) -> None:
    """Give a run up that another person proposed."""

    async def use(deployment: Deployment) -> FeeRunItem:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return shown(await benefits.reject_fees(session, served, number, digest, actor=ACTOR), served)

    found = run(context, use)
    show(context, found, lambda: _print(found))


@fees.command("refund")
def fees_refund(
    context: typer.Context,
    number: RunNumber,
    tenant: TenantOption,
    reason: Annotated[str, typer.Option("--reason", help="Why, in a word.")],
    member: Annotated[str | None, typer.Option("--member", help="One member; all if absent.")] = None,
) -> None:
    """Propose to give back what a run charged; another person approves it as any run."""

    async def use(deployment: Deployment) -> FeeRunItem:
        served = deployment.tenants.by_code(tenant)
        member_id = await _member(deployment, tenant, member)
        found = await benefits.propose_refund(
            deployment.db, served, number, reason=reason, actor=ACTOR, member_id=member_id
        )
        return shown(found, served)

    found = run(context, use)
    show(context, found, lambda: _print(found))
