"""The command `akiba explain`: why a decision came out as it did, and what came to nothing for a member."""

from typing import Annotated

import typer

from engine.cli_frame import ACTOR, USAGE, TenantOption, fail, run, show
from engine.deployment import Deployment
from engine.reports import service as reports
from engine.reports.api import ZeroResultDocument, decision_document


def explain(
    context: typer.Context,
    tenant: TenantOption,
    decision: Annotated[
        int | None, typer.Argument(help="A receipt, or the number that a refusal or a run bore.")
    ] = None,
    member: Annotated[
        str | None, typer.Option("--member", help="Whom a run gave nothing; alone: all that came to nothing for them.")
    ] = None,
    language: Annotated[str | None, typer.Option("--language", help="The member's own if absent.")] = None,
) -> None:
    """Explain any decision ever made: how it came out, by which rules, where they are from, and what was given."""
    if decision is not None:
        _explain(context, tenant, decision, member, language)
    elif member is not None:
        _list(context, tenant, member)
    else:
        fail("Say which decision, or which --member.", USAGE)


def _explain(context: typer.Context, tenant: str, decision: int, member: str | None, language: str | None) -> None:
    async def use(deployment: Deployment) -> reports.Told:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return await reports.tell_decision(
                session, deployment.keys, served, decision, actor=ACTOR, language=language, member=member
            )

    told = run(context, use)

    def lines() -> None:
        for sentence in told.sentences:
            typer.echo(sentence)

    show(context, decision_document(told), lines)


def _list(context: typer.Context, tenant: str, member: str) -> None:
    async def use(deployment: Deployment) -> list[ZeroResultDocument]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            found = await reports.nothing_given(session, deployment.keys, member)
        return [ZeroResultDocument.of(one) for one in found]

    found = run(context, use)

    def lines() -> None:
        for one in found:
            subject = f" {one.subject}" if one.subject else ""
            typer.echo(f"{one.decision}  {one.decided_on}  {one.kind}{subject} of run {one.run}: nothing, {one.reason}")

    show(context, found, lines)
