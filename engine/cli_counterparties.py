"""The command `akiba counterparty register`."""

from typing import Annotated

import typer

from engine.cli_frame import TenantOption, fail, run, show
from engine.deployment import Deployment, adapter
from engine.kernel.transport import Unanswered, Unreachable
from engine.outside import Registered, calling, register
from engine.runtime.counterparty_file import CounterpartyFile

counterparty = typer.Typer(no_args_is_help=True, help="Operators of wallets that are joined to a scheme.")


@counterparty.command("register")
def counterparty_register(
    context: typer.Context,
    tenant: TenantOption,
    channel: Annotated[str, typer.Option("--channel", help="The collection channel, as the scheme names it.")],
) -> None:
    """Make the address that an operator calls of its own accord, and register it there where that can be done."""

    async def use(deployment: Deployment) -> Registered:
        found = deployment.tenants.by_code(tenant)
        file = CounterpartyFile(deployment.settings.counterparties_file)
        async with calling(deployment.db, deployment.keys, file, deployment.base_url, adapter) as outside:
            try:
                return await register(outside.of(found), deployment.db, found, channel)
            except (Unreachable, Unanswered) as error:
                fail(f"the operator of {channel} did not answer: {error}")

    made = run(context, use)
    told = "The operator has taken it." if made.is_told else "Enter it in the operator's portal."
    show(context, made, lambda: typer.echo(f"{made.address}\n{told}"))
