"""The commands `akiba prices`: a price that was wrong, its correction by two people, and the list of whom it touched."""

import csv
import io
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from engine.benefits import service as benefits
from engine.cli_frame import ACTOR, TenantOption, run, show
from engine.deployment import Deployment
from engine.funds import service as funds
from engine.funds.api.correcting import CorrectionItem, shown

prices = typer.Typer(no_args_is_help=True, help="Prices that were wrong.")

Number = Annotated[int, typer.Argument(help="The correction's number.", min=1, max=2**31 - 1)]
DigestOption = Annotated[str, typer.Option("--digest", help="Of the correction that you saw.")]
_MOST_PRINTED = 50


def _print(one: CorrectionItem) -> None:
    typer.echo(
        f"{one.correction}  {one.fund} of {one.price_on}: published {one.wrong}, right {one.right}; "
        f"{one.party} is at fault ({one.reason}); {one.state}"
    )
    if not one.is_material:
        typer.echo("  not material: it is recorded and reported, and nothing is booked")
    else:
        typer.echo(f"  {one.members} members touched")
    if one.state in ("approved", "done"):
        typer.echo(f"  units given {one.issued}, taken back {one.taken}; money given {one.paid}")
        typer.echo(f"  owed by members {one.owed}, borne by {one.party} {one.borne}")
    if one.state == "proposed":
        typer.echo(f"  digest {one.digest}")


def _story(raw: bytes) -> list[str]:
    """Return what a correction did to each account of its list, in sentences."""
    told = []
    for row in csv.DictReader(io.StringIO(raw.decode())):
        parts = []
        for figure, few, many in (("bought", "lacked {} units", "had {} units too many"),
                                  ("sold", "sold for {} too little", "sold for {} too much")):  # fmt: skip
            if Decimal(row[figure]):
                parts.append((few if Decimal(row[figure]) > 0 else many).format(row[figure].lstrip("-")))
        for figure, words in (("issued", "was given {} units"), ("taken", "gave {} units back"), ("paid", "was given {}"),
                              ("owed", "owes {}"), ("borne", "{} is borne by the party at fault")):  # fmt: skip
            if row[figure] and Decimal(row[figure]):
                parts.append(words.format(row[figure]))
        told.append(
            f"  {row['member'] or '(erased)'}, {row['product']} {row['pot']} {row['origin']} {row['fund']}: {'; '.join(parts)}"
        )
    return told


@prices.command("correct")
def correct(
    context: typer.Context,
    fund: Annotated[str, typer.Argument(help="The fund's code.")],
    day: Annotated[datetime, typer.Argument(help="The day of the price.", formats=["%Y-%m-%d"])],
    price: Annotated[str, typer.Argument(help="The right price.")],
    tenant: TenantOption,
    party: Annotated[str, typer.Option("--party", help="The role of the pack that is at fault.")],
    reason: Annotated[str, typer.Option("--reason", help="Why it was wrong, in a word.")],
) -> None:
    """Propose the right price: whom the wrong one touched, and the digest that another person approves."""

    async def use(deployment: Deployment) -> CorrectionItem:
        served = deployment.tenants.by_code(tenant)
        found = await funds.propose_correction(
            deployment.db, served, fund, day.date(), price=price, party=party, reason=reason, actor=ACTOR
        )
        return shown(found, served)

    found = run(context, use)
    show(context, found, lambda: _print(found))


@prices.command("corrections")
def corrections(context: typer.Context, tenant: TenantOption) -> None:
    """List the newest corrections, newest first."""

    async def use(deployment: Deployment) -> list[CorrectionItem]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return [shown(one, served) for one in await funds.list_corrections(session)]

    found = run(context, use)

    def lines() -> None:
        for one in found:
            _print(one)

    show(context, found, lines)


@prices.command("correction")
def correction(
    context: typer.Context,
    number: Number,
    tenant: TenantOption,
    out: Annotated[Path | None, typer.Option("--csv", help="Write the whole list there.")] = None,
) -> None:
    """Tell the story of a correction: what the wrong price did to each member, and what was done about it."""

    async def use(deployment: Deployment) -> tuple[CorrectionItem, bytes, list[int]]:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            one = await funds.find_correction(session, number)
            raw = await funds.correction_file(session, deployment.keys, served, number, actor=ACTOR)
            charged = await benefits.fees_at_price(session, one.fund, one.price_on) if one.is_material else []
            return shown(one, served), raw, charged

    found, raw, charged = run(context, use)
    if out is not None:
        out.write_bytes(raw)

    def lines() -> None:
        _print(found)
        told = _story(raw)
        for line in told[:_MOST_PRINTED]:
            typer.echo(line)
        if len(told) > _MOST_PRINTED:
            typer.echo(f"  and {len(told) - _MOST_PRINTED} more: see --csv")
        for fee_run in charged:
            typer.echo(f"  fee run {fee_run} was counted at this price: a recount gives it back and charges it again")

    show(context, found, lines)


@prices.command("approve")
def approve(context: typer.Context, number: Number, tenant: TenantOption, digest: DigestOption) -> None:
    """Approve a correction that another person proposed, and book it; run again, one that was stopped goes on."""

    async def use(deployment: Deployment) -> CorrectionItem:
        served = deployment.tenants.by_code(tenant)
        return shown(await funds.approve_correction(deployment.db, served, number, digest, actor=ACTOR), served)

    found = run(context, use)
    show(context, found, lambda: _print(found))


@prices.command("reject")
def reject(context: typer.Context, number: Number, tenant: TenantOption, digest: DigestOption) -> None:
    """Let the price stand that another person says was wrong."""

    async def use(deployment: Deployment) -> CorrectionItem:
        served = deployment.tenants.by_code(tenant)
        async with deployment.db.unit_of_work(served.tenant_id) as session:
            return shown(await funds.reject_correction(session, served, number, digest, actor=ACTOR), served)

    found = run(context, use)
    show(context, found, lambda: _print(found))
