"""The commands `akiba products`: which products a member is in, joining another, moving from one to another."""

from typing import Annotated

import typer

from engine.benefits import service as benefits
from engine.benefits.api.moving import MoveItem
from engine.benefits.api.moving import shown as move_shown
from engine.cli_frame import ACTOR, TenantOption, run, show
from engine.deployment import Deployment
from engine.enrolment import service as enrolment
from engine.enrolment.api.products import JoiningRequest, MembershipItem, answers_of, shown
from engine.enrolment.rules import Frequency, UndertakingGiven
from engine.kernel.errors import EngineError

products = typer.Typer(no_args_is_help=True, help="Products that members are in, join, and move between.")

MemberNumber = Annotated[str, typer.Argument(help="The member's number.")]


def _line(one: MembershipItem) -> str:
    return f"{one.product}  joined {one.joined_on}  here since {one.from_on}  {one.group}".rstrip()


@products.command("list")
def products_list(context: typer.Context, number: MemberNumber, tenant: TenantOption) -> None:
    """List the products that a member is in, the first joined first."""

    async def use(deployment: Deployment) -> list[MembershipItem]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            member = await enrolment.find_member(session, deployment.keys, number)
            held = await enrolment.memberships_of(session, [member.member_id])
        return [shown(one) for one in held.get(member.member_id, ())]

    found = run(context, use)

    def lines() -> None:
        for one in found:
            typer.echo(_line(one))

    show(context, found, lines)


@products.command("join")
def products_join(
    context: typer.Context,
    number: MemberNumber,
    tenant: TenantOption,
    product: Annotated[str, typer.Option(help="The product to join.")],
    slab: Annotated[str, typer.Option(help="Of the chart, where instalments are undertaken.")] = "",
    frequency: Annotated[Frequency | None, typer.Option(help="How often one pays.")] = None,
    person_class: Annotated[str, typer.Option("--class", help="The class of people, where the product asks.")] = "",
    income: Annotated[str, typer.Option(help="Declared income of a month, in major units.")] = "",
) -> None:
    """Let a member join a further product; what its rules refuse is on record and can be explained."""
    asked = JoiningRequest(
        product=product,
        person_class=person_class,
        monthly_income=income,
        undertaking=None if frequency is None else UndertakingGiven(slab=slab, frequency=frequency),
    )

    async def use(deployment: Deployment) -> MembershipItem | EngineError:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            member = await enrolment.find_member(session, deployment.keys, number)
            answer = await enrolment.join_product(
                session, served, deployment.keys, member, product, actor=ACTOR, answers=answers_of(asked)
            )
        return answer if isinstance(answer, EngineError) else shown(answer)

    found = run(context, use)
    if isinstance(found, EngineError):
        raise found
    show(context, found, lambda: typer.echo(_line(found)))


def _move_line(one: MoveItem) -> str:
    who = "everyone" if one.is_of_all else "one member"
    digest = f"  digest {one.digest}" if one.state == "proposed" else ""
    return f"{one.move}  {one.asked_on}  {one.source} to {one.target}  {who}  {one.moved}/{one.members}  {one.state}{digest}"


MoveNumber = Annotated[int, typer.Argument(help="The move's number.", min=1, max=2**31 - 1)]
DigestOption = Annotated[str, typer.Option("--digest", help="Of the move that you saw.")]


@products.command("move")
def products_move(
    context: typer.Context,
    tenant: TenantOption,
    source: Annotated[str, typer.Option("--from", help="The product left.")],
    target: Annotated[str, typer.Option("--to", help="The product moved into.")],
    member: Annotated[
        str | None, typer.Option("--member", help="Who moves; everyone, where the law re-designates, if absent.")
    ] = None,
    consent: Annotated[bool, typer.Option("--consent", help="The member has agreed.")] = False,
) -> None:
    """Propose a move between products: what it says, and the digest that another person approves."""

    async def use(deployment: Deployment) -> MoveItem | EngineError:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            who = await enrolment.find_in_product(session, deployment.keys, member, source) if member else None
            answer = await benefits.propose_move(
                session, served, source=source, target=target, member=who, has_consent=consent, actor=ACTOR
            )
        return answer if isinstance(answer, EngineError) else move_shown(answer)

    found = run(context, use)
    if isinstance(found, EngineError):
        raise found
    show(context, found, lambda: typer.echo(_move_line(found)))


@products.command("moves")
def products_moves(context: typer.Context, tenant: TenantOption) -> None:
    """List moves between products, newest first."""

    async def use(deployment: Deployment) -> list[MoveItem]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return [move_shown(one) for one in await benefits.list_moves(session)]

    found = run(context, use)

    def lines() -> None:
        for one in found:
            typer.echo(_move_line(one))

    show(context, found, lines)


@products.command("approve")
def products_approve(context: typer.Context, move: MoveNumber, tenant: TenantOption, digest: DigestOption) -> None:
    """Approve a move that another person proposed, and move whoever is ready; run again, one that was stopped goes on."""

    async def use(deployment: Deployment) -> MoveItem:
        served = deployment.tenants.by_code(tenant)
        return move_shown(await benefits.approve_move(deployment.db, served, move, digest=digest, actor=ACTOR))

    found = run(context, use)
    show(context, found, lambda: typer.echo(_move_line(found)))


@products.command("reject")
def products_reject(context: typer.Context, move: MoveNumber, tenant: TenantOption, digest: DigestOption) -> None:
    """Give a move up that another person proposed."""

    async def use(deployment: Deployment) -> MoveItem:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return move_shown(await benefits.reject_move(session, served, move, digest=digest, actor=ACTOR))

    found = run(context, use)
    show(context, found, lambda: typer.echo(_move_line(found)))
