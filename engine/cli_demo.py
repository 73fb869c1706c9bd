"""The commands `akiba demo` and `akiba bench`: the main job and its speed."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

demo = typer.Typer(no_args_is_help=True, help="A deployment with believable data.")


@demo.command("run")
def demo_run(
    context: typer.Context, once: Annotated[bool, typer.Option("--once", help="Do the work, report, stop.")] = False
) -> None:
    """Start everything, load believable data through the API and the jobs, check it, and serve."""
    from demo.run import run  # noqa: PLC0415 - the demo is no part of the engine

    raise typer.Exit(run(context.obj.settings, once=once, as_json=context.obj.json))


@demo.command("life")
def demo_life(
    context: typer.Context,
    pack: Annotated[str, typer.Option("--pack", help="The pack's code, such as in-apy.")],
    out: Annotated[Path | None, typer.Option("--out", help="A folder for life.json, life.csv and life.svg.")] = None,
    years: Annotated[
        int | None, typer.Option("--years", min=1, help="Years of instalments; the whole life if absent.")
    ] = None,
) -> None:
    """Live one member's life through the API under the scheme clock, on a database of its own, and tell every event."""
    from demo.life import run  # noqa: PLC0415 - the demo is no part of the engine

    raise typer.Exit(run(context.obj.settings, pack_code=pack, out=out, years=years, as_json=context.obj.json))


def bench(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="One benchmark; all but lives if absent.")] = None,
    scale: Annotated[float, typer.Option("--scale", help="1 is the full size.")] = 1.0,
    years: Annotated[int, typer.Option("--years", help="Of lives.", min=1, max=60)] = 40,
) -> None:
    """Measure speed as ratios in one run; prints JSON."""
    from benchmarks.run import run  # noqa: PLC0415 - the benchmarks are no part of the engine

    typer.echo(
        msgspec.json.format(
            msgspec.json.encode(run(context.obj.settings, name=name, scale=scale, years=years)), indent=2
        ).decode()
    )
