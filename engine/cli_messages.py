"""The commands `akiba messages`: what members were told, sending what waits, and what it came to."""

from datetime import UTC, date, datetime
from typing import Annotated

import typer
from msgspec import Struct

from engine.cli_frame import ACTOR, PARTLY, TenantOption, fail, run, show
from engine.deployment import Deployment, adapter
from engine.kernel.clock import SystemClock
from engine.notices import service as notices
from engine.notices.service import CostRow, MessageRow, MessageState
from engine.outside import calling
from engine.runtime.counterparty_file import CounterpartyFile

messages = typer.Typer(no_args_is_help=True, help="Messages to members.")


class Sent(Struct, frozen=True):
    """How many messages were queued now, how many were given to the provider, and how many still wait."""

    queued: int
    sent: int
    waiting: int


@messages.command("list")
def messages_list(
    context: typer.Context,
    tenant: TenantOption,
    member: Annotated[str, typer.Option("--member", help="A member's number; everybody's if absent.")] = "",
    state: Annotated[MessageState | None, typer.Option("--state", help="As it stands now; all if absent.")] = None,
    most: Annotated[int, typer.Option("--most", min=1, max=1000)] = 100,
) -> None:
    """List messages, the newest first, without their texts and numbers."""

    async def use(deployment: Deployment) -> list[MessageRow]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await notices.list_messages(session, deployment.keys, number=member, state=state, most=most)

    found = run(context, use)

    def lines() -> None:
        for one in found:
            reason = f" ({one.reason})" if one.reason else ""
            cost = f"  {one.currency} {one.cost}" if one.cost is not None else ""
            typer.echo(f"{one.message_id}  {one.queued_at:%Y-%m-%d %H:%M}  {one.occasion}  {one.state}{reason}{cost}")

    show(context, found, lines)


@messages.command("send")
def messages_send(
    context: typer.Context,
    tenant: TenantOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Send nothing: say how many wait.")] = False,
) -> None:
    """Queue what members are to be told and send what is due, as the worker does all the time."""

    async def use(deployment: Deployment) -> Sent:
        served = deployment.tenants.by_code(tenant)
        file = CounterpartyFile(deployment.settings.counterparties_file)
        async with calling(deployment.db, deployment.keys, file, deployment.base_url, adapter) as outside:
            joined = outside.of(served)
            if joined.messenger is None:
                fail(
                    "nobody carries this scheme's messages: its pack names no adapter, or the secrets file has no table"
                )
            queued = sent = 0
            if not dry_run:
                queued = await notices.queue_messages(deployment.db, served, joined.messenger, now=SystemClock().now())
                while count := await joined.exchanges.work_with(notices.MESSAGES, served.tenant_id):
                    sent += count
            async with deployment.db.unit_of_work(served.tenant_id) as session:
                return Sent(queued, sent, await notices.waiting(session))

    found = run(context, use)
    show(context, found, lambda: typer.echo(f"queued {found.queued}  sent {found.sent}  waiting {found.waiting}"))
    if found.waiting:
        raise SystemExit(PARTLY)


@messages.command("report")
def messages_report(
    context: typer.Context,
    tenant: TenantOption,
    start: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day.")],
    end: Annotated[
        datetime | None, typer.Option("--until", formats=["%Y-%m-%d"], help="The last day; today if absent.")
    ] = None,
) -> None:
    """Say what the messages of some days came to, by day, occasion and currency."""
    last: date = (end or datetime.now(UTC)).date()

    async def use(deployment: Deployment) -> list[CostRow]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await notices.costs(session, served, start.date(), last)

    found = run(context, use)

    def lines() -> None:
        for one in found:
            typer.echo(
                f"{one.day}  {one.occasion}  {one.messages} messages  {one.parts} parts  {one.currency} {one.cost}"
            )

    show(context, found, lines)


@messages.command("statements")
def messages_statements(
    context: typer.Context,
    tenant: TenantOption,
    product: Annotated[str, typer.Option("--product", help="Whose members are told.")],
) -> None:
    """Have members told that the statement of the scheme year that ended is ready; once a year."""

    async def use(deployment: Deployment) -> bool:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await notices.tell_of_statements(session, served, product, actor=ACTOR)

    told = run(context, use)
    show(context, {"told": told}, lambda: typer.echo("members are told" if told else "members were told before"))
