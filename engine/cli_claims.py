"""The commands `akiba claims`: what members claim, and its approval by another person."""

from typing import Annotated

import typer

from engine.benefits import service as benefits
from engine.benefits.api.claiming import BenefitClaim, told, told_one
from engine.benefits.rules import ClaimState
from engine.cli_frame import ACTOR, TenantOption, run, show
from engine.deployment import Deployment

claims = typer.Typer(no_args_is_help=True, help="Benefits that members claim.")

ClaimNumber = Annotated[int, typer.Argument(help="The claim's number.", min=1, max=2**63 - 1)]


def _line(one: BenefitClaim) -> str:
    due = f"  due {one.due_on}" if one.due_on else ""
    reason = f" ({one.reason})" if one.reason else ""
    return f"{one.claim}  {one.opened_on}  {one.kind}:{one.rule}  {one.payable:>14}  {one.state}{reason}{due}"


@claims.command("list")
def claims_list(
    context: typer.Context,
    tenant: TenantOption,
    state: Annotated[ClaimState | None, typer.Option("--state", help="As it is stored; all if absent.")] = None,
    after: Annotated[int, typer.Option("--after", min=0, help="The last claim of the page before.")] = 0,
    most: Annotated[int, typer.Option("--most", min=1, max=1000)] = 100,
) -> None:
    """List claims, oldest first, with their state, the law's last day and the reason."""

    async def use(deployment: Deployment) -> list[BenefitClaim]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            rows = await benefits.list_claims(session, state=state or "", after=after, most=most)
            return await told(session, served, rows)

    found = run(context, use)

    def lines() -> None:
        for one in found:
            typer.echo(_line(one))

    show(context, found, lines)


@claims.command("show")
def claims_show(context: typer.Context, claim: ClaimNumber, tenant: TenantOption) -> None:
    """Show a claim: what it takes by pot and origin, tax, and the digest that its approval names."""

    async def use(deployment: Deployment) -> BenefitClaim:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await told_one(session, served, await benefits.find_claim(session, claim))

    found = run(context, use)

    def lines() -> None:
        typer.echo(_line(found))
        for part in found.parts:
            fate = "forfeited" if part.forfeited else "paid"
            typer.echo(f"  {part.pot}  {part.origin}  {part.amount:>14}  {fate}")
        typer.echo(f"  tax {found.tax}  paid out {found.paid}  digest {found.digest or '-'}")

    show(context, found, lines)


@claims.command("approve")
def claims_approve(
    context: typer.Context,
    claim: ClaimNumber,
    tenant: TenantOption,
    digest: Annotated[str, typer.Option("--digest", help="Of the claim that you saw.")],
) -> None:
    """Approve a claim that another person opened: exactly what its digest is of."""

    async def use(deployment: Deployment) -> BenefitClaim:
        served = deployment.tenants.by_code(tenant)
        row = await benefits.approve_claim(deployment.db, served, claim, digest=digest, actor=ACTOR)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await told_one(session, served, row)

    found = run(context, use)
    show(context, found, lambda: typer.echo(_line(found)))
