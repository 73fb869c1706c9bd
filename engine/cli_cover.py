"""The commands `akiba cover`: claims of cover and premiums, in files to whoever pays or insures, and their answers."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from engine.benefits import service as benefits
from engine.benefits.api.covering import CoverFileItem, cover_file_shown
from engine.benefits.api.insuring import PremiumFileItem, PremiumRunItem, premium_file_shown, premiums_shown
from engine.benefits.service import Answered
from engine.benefits.service.covering import CoverAnswered
from engine.cli_frame import ACTOR, TenantOption, run, show
from engine.deployment import Deployment
from engine.runtime.private_files import write_private

cover = typer.Typer(no_args_is_help=True, help="Insurance cover: claims and premiums.")

RunNumber = Annotated[int, typer.Argument(help="The run's number.", min=1, max=2**31 - 1)]
DigestOption = Annotated[str, typer.Option("--digest", help="Of the run that you saw.")]


@cover.command("file")
def cover_file(
    context: typer.Context,
    tenant: TenantOption,
    out: Annotated[Path, typer.Option("--out", help="The file to write; it names people.")],
    product: Annotated[str, typer.Option("--product", help="Whose claims.")] = "",
    payer: Annotated[str, typer.Option("--payer", help="Who pays, as the rule names them.")] = "",
    again: Annotated[int, typer.Option("--again", min=0, help="Write this file once more, instead of a new one.")] = 0,
) -> None:
    """Put approved claims into one new file for whoever pays, each once for ever; the same file can be written again."""

    async def use(deployment: Deployment) -> tuple[CoverFileItem, bytes]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            if again:
                made = await benefits.find_cover_file(session, again)
            else:
                made = await benefits.make_cover_file(session, served, product, payer, actor=ACTOR)
            raw = await benefits.cover_file(session, deployment.keys, served, made.file_no, actor=ACTOR)
        return cover_file_shown(made, served.asset), raw

    made, raw = run(context, use)
    write_private(out, raw)
    show(
        context,
        made,
        lambda: typer.echo(f"{out}: file {made.file}, {made.claims} claims, {made.total}, to {made.payer}"),
    )


@cover.command("answers")
def cover_answers(
    context: typer.Context,
    file: Path,
    tenant: TenantOption,
    of: Annotated[int, typer.Option("--file", min=1, help="The number of the file that is answered.")],
) -> None:
    """Take in what whoever pays answered: CSV with the columns claim, answer (accepted, refused) and reason."""
    raw = file.read_bytes()

    async def use(deployment: Deployment) -> CoverAnswered:
        served = deployment.tenants.by_code(tenant)
        given = benefits.read_answers(raw)
        return await benefits.take_cover_answers(deployment.db, served, of, given, actor=ACTOR)

    done = run(context, use)
    unfit = f"; do not fit: {', '.join(map(str, done.unfit))}" if done.unfit else ""
    told = f"{done.accepted} payable, {done.refused} refused, {done.known} known{unfit}"
    show(context, done, lambda: typer.echo(told))


def _print(one: PremiumRunItem) -> None:
    typer.echo(f"{one.run}  {one.date}  {one.product}  {one.premiums} premiums  due {one.due}  {one.state}")
    if one.state in ("approved", "done"):
        typer.echo(f"  paid {one.premiums_paid}: {one.paid}")
    if one.state == "proposed":
        typer.echo(f"  digest {one.digest}")


@cover.command("premiums")
def cover_premiums(
    context: typer.Context,
    tenant: TenantOption,
    product: Annotated[str, typer.Option(help="The product.")],
    day: Annotated[datetime, typer.Option("--date", help="A day of the periods that are paid.", formats=["%Y-%m-%d"])],
) -> None:
    """Propose the premiums of a day's periods: what they come to, and the digest that another person approves."""

    async def use(deployment: Deployment) -> PremiumRunItem:
        served = deployment.tenants.by_code(tenant)
        found = await benefits.propose_premiums(deployment.db, served, product, day.date(), actor=ACTOR)
        return premiums_shown(found, served)

    found = run(context, use)
    show(context, found, lambda: _print(found))


@cover.command("premiums-list")
def cover_premiums_list(context: typer.Context, tenant: TenantOption) -> None:
    """List the newest runs over premiums, newest first."""

    async def use(deployment: Deployment) -> list[PremiumRunItem]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return [premiums_shown(one, served) for one in await benefits.list_premium_runs(session)]

    found = run(context, use)

    def lines() -> None:
        for one in found:
            _print(one)

    show(context, found, lines)


@cover.command("premiums-approve")
def cover_premiums_approve(
    context: typer.Context, number: RunNumber, tenant: TenantOption, digest: DigestOption
) -> None:
    """Approve a run over premiums that another person proposed, and pay it; run again, one that was stopped goes on."""

    async def use(deployment: Deployment) -> PremiumRunItem:
        served = deployment.tenants.by_code(tenant)
        found = await benefits.approve_premiums(deployment.db, served, number, digest, actor=ACTOR)
        return premiums_shown(found, served)

    found = run(context, use)
    show(context, found, lambda: _print(found))


@cover.command("premiums-reject")
def cover_premiums_reject(
    context: typer.Context, number: RunNumber, tenant: TenantOption, digest: DigestOption
) -> None:
    """Give a run over premiums up that another person proposed."""

    async def use(deployment: Deployment) -> PremiumRunItem:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            found = await benefits.reject_premiums(session, served, number, digest, actor=ACTOR)
        return premiums_shown(found, served)

    found = run(context, use)
    show(context, found, lambda: _print(found))


@cover.command("premiums-file")
def cover_premiums_file(
    context: typer.Context,
    tenant: TenantOption,
    out: Annotated[Path, typer.Option("--out", help="The file to write; it names people.")],
    product: Annotated[str, typer.Option("--product", help="Whose premiums.")] = "",
    insurer: Annotated[str, typer.Option("--insurer", help="Who insures, as the rule names them.")] = "",
    again: Annotated[int, typer.Option("--again", min=0, help="Write this file once more, instead of a new one.")] = 0,
) -> None:
    """Put paid premiums into one new file for the insurer, each once for ever; the same file can be written again."""

    async def use(deployment: Deployment) -> tuple[PremiumFileItem, bytes]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            if again:
                made = await benefits.find_premium_file(session, again)
            else:
                made = await benefits.make_premium_file(session, served, product, insurer, actor=ACTOR)
            raw = await benefits.premium_file(session, deployment.keys, served, made.file_no, actor=ACTOR)
        return premium_file_shown(made, served.asset), raw

    made, raw = run(context, use)
    write_private(out, raw)
    show(
        context,
        made,
        lambda: typer.echo(f"{out}: file {made.file}, {made.premiums} premiums, {made.total}, to {made.insurer}"),
    )


@cover.command("premiums-answers")
def cover_premiums_answers(
    context: typer.Context,
    file: Path,
    tenant: TenantOption,
    of: Annotated[int, typer.Option("--file", min=1, help="The number of the file that is answered.")],
) -> None:
    """Take in what an insurer answered: CSV with the columns line, answer (accepted, refused) and reason."""
    raw = file.read_bytes()

    async def use(deployment: Deployment) -> Answered:
        served = deployment.tenants.by_code(tenant)
        given = benefits.read_answers(raw, of="line")
        return await benefits.take_premium_answers(deployment.db, served, of, given, actor=ACTOR)

    done = run(context, use)
    unfit = f"; do not fit: {', '.join(map(str, done.unfit))}" if done.unfit else ""
    told = f"{done.accepted} accepted, {done.refused} given back, {done.known} known{unfit}"
    show(context, done, lambda: typer.echo(told))
