"""The commands `akiba claims heirs`: claims after deaths, who inherits by them, and shares that a second person approves."""

from typing import Annotated

import typer

from engine.benefits import service as benefits
from engine.benefits.api.claiming import BenefitClaim, told_one
from engine.benefits.api.heirs import HeirsShown, heirs_shown
from engine.cli_claims import ClaimNumber
from engine.cli_frame import ACTOR, TenantOption, run, show
from engine.deployment import Deployment

heirs = typer.Typer(no_args_is_help=True, help="Claims after a death, and who inherits by them.")


@heirs.command("follow")
def heirs_follow(context: typer.Context, tenant: TenantOption) -> None:
    """Open the claims of deaths that were confirmed, and close those of deaths that were taken back."""

    async def use(deployment: Deployment) -> int:
        served = deployment.tenants.by_code(tenant)
        return await benefits.follow_deaths(deployment.db, deployment.keys, served)

    done = run(context, use)
    show(context, {"done": done}, lambda: typer.echo(f"claims opened or closed: {done}"))


@heirs.command("list")
def heirs_list(context: typer.Context, claim: ClaimNumber, tenant: TenantOption) -> None:
    """List who may inherit by a claim: their shares, what they were given and paid, what is missing."""

    async def use(deployment: Deployment) -> HeirsShown:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            row, found = await benefits.list_heirs(session, deployment.keys, claim, actor=ACTOR)
        return heirs_shown(row, found, served)

    found = run(context, use)

    def lines() -> None:
        missing = f"  missing {', '.join(found.missing)}" if found.missing else ""
        typer.echo(f"{found.claim}  {found.state}  died {found.died_on}  {found.basis}{missing}")
        for one in found.heirs:
            fate = f"  {one.excluded}" if one.excluded else ""
            typer.echo(
                f"  {one.heir}  {one.named_as}  {one.share_bp}  {one.amount:>14}  in trust {one.in_trust}"
                f"  paid {one.paid}  {one.name}{fate}"
            )
        if found.anew:
            typer.echo(f"  new shares wait: digest {found.anew}")

    show(context, found, lines)


@heirs.command("approve")
def heirs_approve(
    context: typer.Context,
    claim: ClaimNumber,
    tenant: TenantOption,
    digest: Annotated[str, typer.Option("--digest", help="Of the new shares that you saw.")],
) -> None:
    """Approve new shares of what is not paid yet, once a late heir is known."""

    async def use(deployment: Deployment) -> BenefitClaim:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            row = await benefits.share_anew(session, served, claim, digest=digest, actor=ACTOR)
            return await told_one(session, served, row)

    found = run(context, use)
    show(context, found, lambda: typer.echo(f"{found.claim}  {found.state}"))
