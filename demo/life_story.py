"""A life as it is told: a table and a chart for the terminal, and the same as JSON, CSV and SVG."""

import csv
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from html import escape
from itertools import groupby
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table
from rich.text import Text

_HEIGHT, _EIGHTHS = 12, " ▁▂▃▄▅▆▇█"
_WIDE, _HIGH, _MARGIN = 900, 400, 60


class Event(Struct, frozen=True, kw_only=True):
    """One event of a life. `amount` is by how much it changed the balance, `balance` what the account is worth after it.

    Both are in major units, as is `paid_in`, all that was paid so far. `rule` is the version of the rule that decided, and
    `source` where that is from; `figures` are what else the event is about.
    """

    on: date
    what: str
    amount: str
    balance: str
    paid_in: str
    rule: str
    source: str
    figures: dict[str, str] = {}


class Life(Struct, frozen=True, kw_only=True):
    """A life in a scheme, with so many `years` of instalments; living it took so many `seconds`."""

    pack: str
    currency: str
    years: int
    seconds: float
    events: list[Event]


def show(console: Console, life: Life) -> None:
    """Print a life: each event a row, instalments between two other events one row together; then the balance by year."""
    console.print(_table(life))
    console.print(Text(f"Balance in {life.currency} at the end of each year\n"))
    for line in _columns(life.events):
        console.print(Text(line), soft_wrap=True)
    console.print(
        f"\n{len(life.events)} events, lived in {life.seconds:g} s; akiba check finds nothing.", highlight=False
    )


def write(life: Life, folder: Path) -> None:
    """Write life.json, life.csv and life.svg into a folder, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "life.json").write_bytes(msgspec.json.format(msgspec.json.encode(life), indent=1) + b"\n")
    with (folder / "life.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Event.__struct_fields__)
        for one in life.events:
            told = msgspec.structs.asdict(one) | {"figures": _figures(one)}
            writer.writerow(told.values())
    (folder / "life.svg").write_text(_svg(life), encoding="utf-8")


def _figures(event: Event) -> str:
    return ", ".join(f"{name} {value}" for name, value in event.figures.items())


def _told(event: Event) -> str:
    """Return what the table has room for: not each fund, nor what an ordinary instalment says anyway."""
    if event.what == "instalment":
        return event.what
    own = [f"{name} {value}" for name, value in event.figures.items() if "." not in name]
    return f"{event.what}: {', '.join(own)}" if own else event.what


def _table(life: Life) -> Table:
    table = Table(title=f"A life in {life.pack}, {life.currency}")
    table.add_column("date", no_wrap=True)
    table.add_column("what happened", overflow="fold")
    table.add_column("amount", justify="right", no_wrap=True)
    table.add_column("balance", justify="right", no_wrap=True)
    table.add_column("rule and source", overflow="fold")
    seen: set[str] = set()
    for (what, _), found in groupby(life.events, key=lambda one: (one.what, one.rule)):
        together = list(found)
        for group in [together] if what == "instalment" else [[one] for one in together]:
            event = group[-1]
            amount = sum((Decimal(one.amount) for one in group), Decimal(0))
            many = f"{len(group)} × " if len(group) > 1 else ""
            rule = event.rule if event.rule in seen else f"{event.rule}: {event.source}"
            seen.add(event.rule)
            table.add_row(
                str(event.on),
                f"{many}{_told(event)}",
                f"{amount:,.2f}",
                f"{Decimal(event.balance):,.2f}",
                rule,
            )
    return table


def _columns(events: Sequence[Event]) -> Iterator[str]:
    told = {one.on.year: Decimal(one.balance) for one in events}
    by_year = {year: told[max(one for one in told if one <= year)] for year in range(min(told), max(told) + 1)}
    most = max(by_year.values()) or Decimal(1)
    for row in range(_HEIGHT, 0, -1):
        heights = (int(balance / most * _HEIGHT * 8) - (row - 1) * 8 for balance in by_year.values())
        line = "".join(_EIGHTHS[min(max(height, 0), 8)] * 2 for height in heights)
        yield f"{most * row / _HEIGHT:>14,.0f} │{line}"
    yield f"{'':>14} └{'──' * len(by_year)}"
    yield f"{'':>16}{min(by_year)}{'':>{max(len(by_year) * 2 - 8, 1)}}{max(by_year)}"


def _svg(life: Life) -> str:
    """Draw the balance and what was paid in over time, each point an event; a circle where something else than paying or dealing is told."""
    events = life.events
    first, last = events[0].on, events[-1].on
    most = max(max(Decimal(one.balance), Decimal(one.paid_in)) for one in events) or Decimal(1)

    def across(day: date) -> str:
        return f"{_MARGIN + (day - first).days / max((last - first).days, 1) * (_WIDE - 2 * _MARGIN):.1f}"

    def up(amount: str) -> str:
        return f"{_HIGH - _MARGIN - float(Decimal(amount) / most) * (_HIGH - 2 * _MARGIN):.1f}"

    balance = " ".join(f"{across(one.on)},{up(one.balance)}" for one in events)
    paid = " ".join(f"{across(one.on)},{up(one.paid_in)}" for one in events)
    marks = "".join(
        f'<circle cx="{across(one.on)}" cy="{up(one.balance)}" r="4"><title>{escape(f"{one.on} {one.what}; {_figures(one)}")}</title></circle>\n'
        for one in events
        if one.what not in ("instalment", "dealt")
    )
    scale = "".join(
        f'<text x="{_MARGIN - 6}" y="{up(str(most * part / 4))}" text-anchor="end">{most * part / 4:,.0f}</text>\n'
        for part in range(5)
    )
    title = escape(f"A life in {life.pack}: balance and what was paid in, {life.currency}")
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE} {_HIGH}" role="img" font-family="sans-serif" font-size="11">
<title>{title}</title>
<rect width="{_WIDE}" height="{_HIGH}" fill="#fff"/>
<text x="{_MARGIN}" y="24" font-size="14">{title}</text>
{scale}<text x="{_MARGIN}" y="{_HIGH - _MARGIN + 20}">{first}</text>
<text x="{_WIDE - _MARGIN}" y="{_HIGH - _MARGIN + 20}" text-anchor="end">{last}</text>
<polyline points="{paid}" fill="none" stroke="#888" stroke-dasharray="4 3"/>
<polyline points="{balance}" fill="none" stroke="#06c" stroke-width="2"/>
<g fill="#c30">
{marks}</g>
</svg>
"""
