"""The command `akiba demo life`: one member's life, from joining to the end, told as a table and a chart."""

from pathlib import Path
from typing import Annotated

import typer


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
