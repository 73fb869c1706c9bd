"""What every command of the command line shares: the options said before it, how it prints, and how it opens the database."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from engine.runtime.settings import Settings

if TYPE_CHECKING:
    from engine.deployment import DatabaseURLs, Deployment

OK, FAILED, USAGE, PARTLY = 0, 1, 2, 3
ACTOR = "operator:command-line"

TenantOption = Annotated[str, typer.Option("--tenant", help="The tenant's code, such as in-nps-lite.")]
Result = TypeVar("Result")
console = Console(stderr=True)


@dataclass(slots=True)
class Context:
    """What the options before the command said."""

    json: bool
    settings: Settings


def fail(message: str, code: int = FAILED) -> NoReturn:
    """Say what was refused, on standard error, and end with an exit code."""
    console.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(code)


def show(context: typer.Context, result: object, lines: Callable[[], None] | None = None) -> None:
    """Print the result: as JSON where asked, else in words."""
    if context.obj.json or lines is None:
        typer.echo(msgspec.json.format(msgspec.json.encode(result, enc_hook=str), indent=2).decode())
    else:
        lines()


def run(context: typer.Context, use: Callable[["Deployment"], Awaitable[Result]]) -> Result:
    """Open the deployment and run `use` in it."""
    from engine.deployment import is_at_head, open_deployment, running_database  # noqa: PLC0415 - help needs none of it

    async def inside(urls: "DatabaseURLs") -> Result:
        async with open_deployment(context.obj.settings, urls) as deployment:
            return await use(deployment)

    with running_database(context.obj.settings) as urls:
        if not is_at_head(urls.app):
            fail("the database's schema is not this version's: run `akiba db upgrade` first")
        return asyncio.run(inside(urls))


def progress_bar() -> Progress:
    """Return a progress bar on standard error; it shows nothing where that is no terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )
