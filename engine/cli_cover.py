"""The commands `akiba cover`: claims of cover in files to whoever pays them, and their answers."""

from pathlib import Path
from typing import Annotated

import typer

from engine.app import Deployment
from engine.benefits import service as benefits
from engine.benefits.api.covering import CoverFileItem, cover_file_shown
from engine.benefits.service.covering import CoverAnswered
from engine.cli_frame import ACTOR, TenantOption, run, show
from engine.runtime.private_files import write_private

cover = typer.Typer(no_args_is_help=True, help="Claims of insurance cover.")


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
