"""The commands `akiba suspense`: money without an owner, whose it may be, and who is proposed."""

from typing import Annotated

import typer

from engine.cli_frame import ACTOR, TenantOption, run, show
from engine.contributions import service as contributions
from engine.contributions.rules import Sought, SuspenseFigures
from engine.contributions.service import OwnerProposal
from engine.deployment import Deployment

suspense = typer.Typer(no_args_is_help=True, help="Money without an owner.")

ReceiptArgument = Annotated[int, typer.Argument(help="The receipt of the payment.", min=1, max=2**63 - 1024)]
AfterOption = Annotated[int, typer.Option("--after", help="The last receipt of the page before.", min=0)]


@suspense.command("list")
def suspense_list(context: typer.Context, tenant: TenantOption, after: AfterOption = 0) -> None:
    """List 100 payments that no member was found for, the oldest first, each with whose it may be and why."""

    async def use(deployment: Deployment) -> list[Sought]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await contributions.seek_owners(session, deployment.keys, served, after=after, actor=ACTOR)

    found = run(context, use)

    def lines() -> None:
        for one in found:
            paid = one.payment
            back = ", owed back to the payer" if paid.is_owed_back else ""
            typer.echo(f"{paid.receipt}: {paid.channel} {paid.amount}, {paid.reason}, {paid.age_days} days{back}")
            for owner in one.owners:
                typer.echo(f"  {owner.score:>2} {owner.member}: {' '.join(reason.says for reason in owner.reasons)}")

    show(context, found, lines)


@suspense.command("figures")
def suspense_figures(context: typer.Context, tenant: TenantOption) -> None:
    """Tell how much waits, for how long and why."""

    async def use(deployment: Deployment) -> SuspenseFigures:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await contributions.suspense_figures(session, served)

    found = run(context, use)

    def lines() -> None:
        oldest = f", the oldest since {found.oldest_on}" if found.oldest_on else ""
        typer.echo(f"{found.as_of}: {found.count} payments, {found.amount} {found.currency}{oldest}")
        for one in (*found.by_reason, *found.by_age, found.owed_back):
            typer.echo(f"  {one.code}: {one.count}, {one.amount}")

    show(context, found, lines)


@suspense.command("propose")
def suspense_propose(
    context: typer.Context,
    receipt: ReceiptArgument,
    tenant: TenantOption,
    member: Annotated[str, typer.Option("--member", help="The member's number.")],
) -> None:
    """Propose whose a payment is; another person confirms it, with the digest, over the API or on the page."""

    async def use(deployment: Deployment) -> OwnerProposal:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await contributions.propose_owner(
                session, deployment.keys, served, receipt, member=member, actor=ACTOR
            )

    found = run(context, use)
    show(
        context,
        found,
        lambda: typer.echo(
            f"proposal {found.proposal}: {found.amount} to {found.member}, earned {found.earned}, "
            f"to be confirmed with {found.digest}"
        ),
    )


@suspense.command("history")
def suspense_history(context: typer.Context, receipt: ReceiptArgument, tenant: TenantOption) -> None:
    """Tell everything that was proposed for a payment, and what became of it."""

    async def use(deployment: Deployment) -> list[OwnerProposal]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await contributions.list_owner_proposals(
                session, deployment.keys, served, receipt=receipt, actor=ACTOR
            )

    found = run(context, use)

    def lines() -> None:
        for one in found:
            decided = f" by {one.decided_by}" if one.decided_by else ""
            typer.echo(f"proposal {one.proposal} by {one.proposed_by}: {one.member}, {one.state}{decided}")

    show(context, found, lines)
