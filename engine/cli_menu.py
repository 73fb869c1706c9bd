"""The commands `akiba menu`: what people asked for by telephone, and taking in those who asked to join."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

import typer

from engine.channels.ussd import desk
from engine.channels.ussd.desk import MenuRequest
from engine.cli_frame import ACTOR, TenantOption, run, show
from engine.deployment import Deployment
from engine.enrolment.rules import Application, ConsentGiven, terms_of
from engine.enrolment.service import Enrolled
from engine.kernel.clock import business_date
from engine.ledger import service as ledger
from engine.tenancy.service import Tenant

menu = typer.Typer(no_args_is_help=True, help="What people asked for by the menu on telephones.")

_READ_OUT = "telephone"
"""The channel of consents that staff read out to whoever asked to join."""


@menu.command("requests")
def menu_requests(context: typer.Context, tenant: TenantOption) -> None:
    """List what is left to do, the oldest first."""

    async def use(deployment: Deployment) -> list[MenuRequest]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await desk.open_requests(session, deployment.keys, served, actor=ACTOR)

    found = run(context, use)

    def lines() -> None:
        for one in found:
            typer.echo(f"{one.request}  {one.asked_at[:10]}  {one.kind}  {one.phone}  {one.member}")
        if not found:
            typer.echo("nothing waits for a person")

    show(context, found, lines)


@menu.command("enrol")
def menu_enrol(
    context: typer.Context,
    request: Annotated[UUID, typer.Argument(help="The request to join, as `menu requests` shows it.")],
    tenant: TenantOption,
    product: Annotated[str, typer.Option("--product", help="What the person joins.")],
    name: Annotated[str, typer.Option("--name", prompt=True, help="As the person writes it.")],
    born: Annotated[datetime, typer.Option("--born", formats=["%Y-%m-%d"], prompt=True, help="The birth date.")],
    sex: Annotated[Literal["female", "male", "other", "unstated"], typer.Option("--sex")] = "unstated",
    group: Annotated[str, typer.Option("--group", help="The group that the person joins through.")] = "",
    person_class: Annotated[str, typer.Option("--class", help="The class that the person declares.")] = "",
    agreed: Annotated[
        bool, typer.Option("--agreed", help="The texts were read out to the person, who agreed to each.")
    ] = False,
) -> None:
    """Take in whoever asked to join by telephone, and close the request; they use the PIN they chose then."""

    async def use(deployment: Deployment) -> Enrolled:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            today = business_date(await ledger.scheme_now(session), served.time_zone)
            served.product(product)
            application = Application(
                product=product,
                full_name=name,
                born_on=born.date(),
                sex=sex,
                group=group,
                person_class=person_class,
                consents=_consents(served, product, today) if agreed else (),
            )
            answer = await desk.enrol_asker(session, deployment.keys, served, request, application, actor=ACTOR)
        if isinstance(answer, Enrolled):
            return answer
        raise answer  # once it is on record

    found = run(context, use)
    show(context, {"member": found.number, "product": found.product}, lambda: typer.echo(f"member {found.number}"))


def _consents(tenant: Tenant, product: str, today: date) -> tuple[ConsentGiven, ...]:
    """Return agreement to every text that joining needs, as the scheme words it now."""
    rule = terms_of(tenant.pack, product, today, None).consents
    texts = [tenant.pack.consent(purpose, None) for purpose in (rule.rule.purposes if rule else ())]
    return tuple(
        ConsentGiven(consent=text.id, language=text.language, version=text.version, channel=_READ_OUT)
        for text in texts
        if text is not None
    )
