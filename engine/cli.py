"""Composition of the command line: `akiba`. Exit codes: 0 ok, 1 failed, 2 usage, 3 partly done.

People's words go to standard error, results to standard output; with `--json` the result is one JSON document.
The module of a command is loaded when the command is called: help and completion load none.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from engine import __version__
from engine.cli_frame import Context, fail
from engine.runtime.logging import configure_logging
from engine.runtime.settings import load_settings

COMMANDS = {
    "serve": ("cli_serving:serve", "Serve the API and the pages."),
    "work": ("cli_serving:work", "Run the background: the log's appender and the jobs."),
    "close-of-business": (
        "cli_closing:close_of_business",
        "Close every day that is over: dealing cut-offs, statements, jobs, the proof of the day, balances; go on where it stopped.",
    ),
    "check": ("cli_audit:check", "Re-derive every balance and total, and test every law of the books."),
    "prove": (
        "cli_breaks:prove",
        "Prove a day: statements against the books, fund managers against the books, every gap by name.",
    ),
    "reconcile": (
        "cli_breaks:reconcile",
        "Match the lines that wait to receipts, one to one and by the rules of the pack.",
    ),
    "statement": ("cli_statement:statement", "Print a member's statement at a date."),
    "explain": (
        "cli_explaining:explain",
        "Explain any decision ever made: how it came out, by which rules, where they are from, and what was given.",
    ),
    "sandbox": (
        "cli_serving:sandbox",
        "Serve the simulators of every wallet that the packs join, and say by which settings they are joined.",
    ),
    "demo": ("cli_demo:demo", "A deployment with believable data."),
    "bench": ("cli_demo:bench", "Measure speed as ratios in one run; prints JSON."),
    "db": ("cli_tenants:db", "The database."),
    "tenant": ("cli_tenants:tenant", "Tenants."),
    "clock": ("cli_tenants:clock", "The scheme clock, outside production."),
    "admin": ("cli_tenants:admin", "Staff."),
    "partner": ("cli_tenants:partner", "Partners: wallets and aggregators."),
    "counterparty": ("cli_counterparties:counterparty", "Operators of wallets that are joined to a scheme."),
    "import": ("cli_imports:imports", "Files in."),
    "import opening": (
        "cli_openings:import_opening",
        "Check the files of a scheme that was kept elsewhere and stage them; a second person approves over the API.",
    ),
    "import confirmations": ("cli_orders:import_confirmations", "Import what a fund manager says it did with orders."),
    "contribution": ("cli_contributions:contribution", "Payments that were received."),
    "suspense": ("cli_suspense:suspense", "Money without an owner."),
    "break": ("cli_breaks:breaks", "What does not agree between statements and receipts."),
    "dealing": ("cli_dealing:dealing", "Dealing days."),
    "interest": ("cli_dealing:interest", "Interest that is declared for a scheme year."),
    "pools": ("cli_pools:pools", "What the pools of declared interest earned."),
    "orders": ("cli_orders:orders", "Orders to fund managers."),
    "prices": ("cli_prices:prices", "Prices that were wrong."),
    "funds": ("cli_funds:funds", "Splits of funds and the income that they pay."),
    "identity": ("cli_identity:identity", "Who members are, where a person must look."),
    "members": ("cli_members:members", "Payments to a wrong member, two records of one person, one record of two."),
    "products": ("cli_products:products", "Products that members are in, join, and move between."),
    "menu": ("cli_menu:menu", "What people asked for by the menu on telephones."),
    "messages": ("cli_messages:messages", "Messages to members."),
    "claims": ("cli_claims:claims", "Benefits that members claim."),
    "claims heirs": ("cli_heirs:heirs", "Claims after a death, and who inherits by them."),
    "payouts": ("cli_payouts:payouts", "Money to members and payees."),
    "payroll": ("cli_payroll:payroll", "The payroll of pensions."),
    "pensions": ("cli_payroll:pensions", "Benefits that are paid over time."),
    "unclaimed": ("cli_unclaimed:unclaimed", "Money that nobody claims."),
    "loans": ("cli_loans:loans", "Loans from savings, and savings pledged to lenders."),
    "cover": ("cli_cover:cover", "Insurance cover: claims and premiums."),
    "transfers": ("cli_transfers:transfers", "Savings to and from other schemes."),
    "fees": ("cli_fees:fees", "Fees of all members."),
    "debits": ("cli_debits:debits", "Direct debits: what members owe, collected from their banks."),
    "recounts": ("cli_recounts:recounts", "What changed rules and figures change of what was posted."),
    "files": ("cli_files:files", "Files that the worker leaves for counterparties and takes from them."),
    "opening": ("cli_openings:openings", "Opening balances: schemes that were kept elsewhere."),
    "mergers": ("cli_mergers:group", "Mergers: a scheme goes into another."),
    "quarantine": ("cli_closing:quarantined", "What background work has put aside for a person."),
    "audit": ("cli_audit:audit_log", "The tamper-evident log."),
    "pack": ("cli_packs:packs", "Packs: schemes as data."),
    "texts": ("cli_texts:texts", "The engine's texts and their translations."),
}
"""Each command or group, where in the engine it is, and what the list of commands says of it; "a b" is b of the group a."""


class Lazy(TyperGroup):
    """The root of the command line: lists commands from the table, and loads the one that is called."""

    def list_commands(self, _context: Any) -> list[str]:
        """Return the names of the commands and groups that stand after `akiba`."""
        return [name for name in COMMANDS if " " not in name]

    def get_command(self, _context: Any, name: str) -> TyperCommand | None:
        """Return a command by what is listed of it; it cannot be run."""
        return TyperCommand(name, help=COMMANDS[name][1]) if name in COMMANDS else None

    def resolve_command(self, context: Any, arguments: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command that is called, loaded."""
        name, listed, rest = super().resolve_command(context, arguments)
        return name, listed and loaded(str(listed.name)), rest


def loaded(name: str) -> Any:
    """Return the command or group of a name in the table, with the commands that the table puts into it."""
    within = typer.Typer()
    _add(within, name, name)
    return typer.main.get_group(within).commands[name]


def _add(group: typer.Typer, path: str, name: str) -> None:
    module, _, attribute = COMMANDS[path][0].partition(":")
    found = getattr(import_module(f"engine.{module}"), attribute)
    if not isinstance(found, typer.Typer):
        group.command(name)(found)
        return
    for one in COMMANDS:
        parent, _, child = one.rpartition(" ")
        if parent == path:
            _add(found, one, child)
    group.add_typer(found, name=name)


app = typer.Typer(
    cls=Lazy,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Akiba: a white-label micro-pension administration engine.",
)


def main() -> None:
    """Run the command line; every refusal ends in a sentence and an exit code, never in a traceback."""
    try:
        app(standalone_mode=True)
    except Exception as error:
        from engine.cli_refusals import told  # noqa: PLC0415 - loaded where something was refused

        refusal = told(error)
        if refusal is None:
            raise
        fail(*refusal)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    packs: Annotated[list[Path] | None, typer.Option("--packs", help="A folder of packs; may be given again.")] = None,
    version: Annotated[  # noqa: ARG001 - answered by its callback
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Read the options that stand before the command."""
    settings = load_settings({"packs": tuple(packs) if packs else None})
    configure_logging(settings.log_level, stream=sys.stderr)
    context.obj = Context(as_json, settings)
