"""The commands that set a deployment up: `akiba db`, `tenant`, `clock`, `admin` and `partner`."""

from datetime import datetime
from typing import Annotated
from urllib.parse import urlsplit

import typer

from engine.access import service as access
from engine.access.rules import FIRST_ROLES, PARTNER_SCOPES
from engine.cli_frame import ACTOR, TenantOption, run, show
from engine.deployment import Deployment, running_database, upgrade
from engine.tenancy.service import Tenant, advance_clock

db = typer.Typer(no_args_is_help=True, help="The database.")
tenant = typer.Typer(no_args_is_help=True, help="Tenants.")
clock = typer.Typer(no_args_is_help=True, help="The scheme clock, outside production.")
admin = typer.Typer(no_args_is_help=True, help="Staff.")
partner = typer.Typer(no_args_is_help=True, help="Partners: wallets and aggregators.")


@db.command("upgrade")
def db_upgrade(context: typer.Context) -> None:
    """Bring the database to the newest schema."""
    with running_database(context.obj.settings) as urls:
        upgrade(urls, context.obj.settings)
    show(context, {"schema": "newest"}, lambda: typer.echo("The schema is the newest."))


@tenant.command("create")
def tenant_create(context: typer.Context, code: str) -> None:
    """Create the tenant of a pack."""

    async def use(deployment: Deployment) -> Tenant:
        return await deployment.tenants.create_tenant(deployment.db, code, actor=ACTOR)

    tenant = run(context, use)
    result = {"tenant": tenant.code, "tenant_id": tenant.tenant_id, "pack": tenant.pack.sha256}
    show(context, result, lambda: typer.echo(f"{tenant.code} is tenant {tenant.tenant_id}."))


@clock.command("advance")
def clock_advance(
    context: typer.Context,
    to: Annotated[
        datetime,
        typer.Option(
            "--to",
            help="An instant with its offset, such as 2023-04-03T18:00:00+05:30.",
            formats=["%Y-%m-%dT%H:%M:%S%z"],
        ),
    ],
    tenant: TenantOption,
) -> None:
    """Set a scheme's clock forward; refused in production."""

    async def use(deployment: Deployment) -> datetime:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await advance_clock(session, served, to, deployment.settings.profile, actor=ACTOR)

    now = run(context, use)
    show(context, {"now": now.isoformat()}, lambda: typer.echo(f"The scheme clock shows {now.isoformat()}."))


@admin.command("bootstrap")
def admin_bootstrap(
    context: typer.Context,
    tenant: TenantOption,
    name: Annotated[str, typer.Option("--name", help="A label for the person, not their name.")] = "first",
    role: Annotated[list[str] | None, typer.Option("--role", help="May be given again.")] = None,
) -> None:
    """Print a one-time link by which a member of staff signs in; it lasts 15 minutes."""
    roles = role or [one.value for one in FIRST_ROLES]

    async def use(deployment: Deployment) -> str:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            token = await access.bootstrap(session, name, roles=roles)
        own = urlsplit(deployment.base_url)
        port = f":{own.port}" if own.port else ""
        return f"{own.scheme}://{served.pack.hosts[0]}{port}/staff/enter/{token}"

    link = run(context, use)
    show(context, {"link": link}, lambda: typer.echo(link))


@partner.command("create")
def partner_create(
    context: typer.Context,
    code: str,
    tenant: TenantOption,
    name: Annotated[str, typer.Option("--name")] = "",
    scope: Annotated[list[str] | None, typer.Option("--scope", help="May be given again; all if absent.")] = None,
) -> None:
    """Let a partner in; print its client id and secret, which is shown this once."""

    async def use(deployment: Deployment) -> access.NewPartner:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await access.create_partner(
                session, code=code, name=name or code, scopes=scope or sorted(PARTNER_SCOPES), actor=ACTOR
            )

    partner = run(context, use)
    result = {"client_id": partner.client_id, "client_secret": partner.client_secret}
    show(
        context, result, lambda: typer.echo(f"client_id     {partner.client_id}\nclient_secret {partner.client_secret}")
    )
