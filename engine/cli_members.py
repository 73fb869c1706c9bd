"""The commands `akiba members`: payments posted to a wrong member, two records of one person, one record of two."""

from typing import Annotated

import typer

from engine.benefits import service as benefits
from engine.benefits.api.merging import MergeItem, shown
from engine.benefits.api.splitting import RecordSplitItem
from engine.benefits.api.splitting import shown as split_shown
from engine.cli_frame import ACTOR, TenantOption, run, show
from engine.contributions import service as contributions
from engine.deployment import Deployment
from engine.enrolment import service as enrolment

members = typer.Typer(
    no_args_is_help=True, help="Payments to a wrong member, two records of one person, one record of two."
)

MemberNumber = Annotated[str, typer.Argument(help="The member's number.")]
SplitNumber = Annotated[int, typer.Argument(help="The split's number.", min=1, max=2**31 - 1)]
MergeNumber = Annotated[int, typer.Argument(help="The merging's number.", min=1, max=2**31 - 1)]
Digest = Annotated[str, typer.Option("--digest", help="Of what you saw.")]


def _line(one: MergeItem) -> str:
    return f"{one.merge}  {one.asked_on}  {one.goes} into {one.stays}  {one.state}  {one.digest}"


@members.command("move-payment")
def members_move_payment(
    context: typer.Context,
    receipt: Annotated[int, typer.Argument(help="The payment's receipt.")],
    tenant: TenantOption,
    to: Annotated[str, typer.Option("--to", help="The number of the member whose it is.")],
) -> None:
    """Propose to move a payment from the wrong member to the right one; another person confirms it over the API."""

    async def use(deployment: Deployment) -> contributions.Reversal:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            right = await enrolment.find_member(session, deployment.keys, to)
            return await contributions.propose_reversal(session, served, receipt, to=right, actor=ACTOR)

    found = run(context, use)
    show(
        context,
        found,
        lambda: typer.echo(
            f"receipt {found.receipt}, {found.amount}: {found.state}, to be confirmed with {found.digest}"
        ),
    )


@members.command("merge")
def members_merge(
    context: typer.Context,
    number: MemberNumber,
    tenant: TenantOption,
    into: Annotated[str, typer.Option("--into", help="The number of the record that stays.")],
) -> None:
    """Propose that a record is merged into another one of the same person; another person approves it."""

    async def use(deployment: Deployment) -> MergeItem:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            goes = await enrolment.find_member(session, deployment.keys, number)
            stays = await enrolment.find_member(session, deployment.keys, into)
            return shown(await benefits.propose_merge(session, served, goes=goes, stays=stays, actor=ACTOR))

    found = run(context, use)
    show(context, found, lambda: typer.echo(_line(found)))


@members.command("merges")
def members_merges(context: typer.Context, tenant: TenantOption) -> None:
    """List mergings, newest first, with the digest that approval names."""

    async def use(deployment: Deployment) -> list[MergeItem]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return [shown(one) for one in await benefits.list_merges(session)]

    found = run(context, use)

    def lines() -> None:
        for one in found:
            typer.echo(_line(one))

    show(context, found, lines)


@members.command("approve-merge")
def members_approve_merge(context: typer.Context, merge: MergeNumber, tenant: TenantOption, digest: Digest) -> None:
    """Merge two records that another person proposed to merge: exactly what the digest is of."""

    async def use(deployment: Deployment) -> MergeItem:
        served = deployment.tenants.by_code(tenant)
        return shown(
            await benefits.approve_merge(deployment.db, deployment.keys, served, merge, digest=digest, actor=ACTOR)
        )

    found = run(context, use)
    show(context, found, lambda: typer.echo(_line(found)))


def _split_line(one: RecordSplitItem) -> str:
    done = f"  {one.moved} of {len(one.receipts)} moved, {one.refused} in suspense" if one.state == "approved" else ""
    return f"{one.split}  {one.asked_on}  {one.amount:>14} of {one.member} to {one.to}  {one.state}{done}  {one.digest}"


@members.command("split")
def members_split(
    context: typer.Context,
    number: MemberNumber,
    tenant: TenantOption,
    to: Annotated[str, typer.Option("--to", help="The number of the other person, who is a member.")],
    receipt: Annotated[list[int], typer.Option("--receipt", help="A payment that is theirs; once for each.")],
) -> None:
    """Propose that payments of a record are another person's; a second person approves it."""

    async def use(deployment: Deployment) -> RecordSplitItem:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            member = await enrolment.find_member(session, deployment.keys, number)
            other = await enrolment.find_member(session, deployment.keys, to)
            split = await benefits.propose_split(
                session, served, member=member, to=other, receipts=receipt, actor=ACTOR
            )
        return split_shown(split, served)

    found = run(context, use)
    show(context, found, lambda: typer.echo(_split_line(found)))


@members.command("splits")
def members_splits(context: typer.Context, tenant: TenantOption) -> None:
    """List splits, newest first, with the digest that approval names."""

    async def use(deployment: Deployment) -> list[RecordSplitItem]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return [split_shown(one, served) for one in await benefits.list_splits(session)]

    found = run(context, use)

    def lines() -> None:
        for one in found:
            typer.echo(_split_line(one))

    show(context, found, lines)


@members.command("approve-split")
def members_approve_split(context: typer.Context, split: SplitNumber, tenant: TenantOption, digest: Digest) -> None:
    """Split a record as another person proposed: exactly what the digest is of."""

    async def use(deployment: Deployment) -> RecordSplitItem:
        served = deployment.tenants.by_code(tenant)
        found = await benefits.approve_split(deployment.db, deployment.keys, served, split, digest=digest, actor=ACTOR)
        return split_shown(found, served)

    found = run(context, use)
    show(context, found, lambda: typer.echo(_split_line(found)))
