"""The demo's last words: what is in the books, and how to reach them."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

from demo.client import Credentials, Site
from demo.payroll import PayrollPaid
from demo.plan import Plan
from demo.proof import Proof
from demo.retiring import Retired
from demo.telephones import Telephoned
from demo.telling import Told
from demo.trading import Traded
from demo.year import Tally
from demo.year_end import YearEnded


def as_document(
    tallies: Mapping[str, Tally], proofs: Mapping[str, Proof], seconds: Mapping[str, float]
) -> dict[str, Any]:
    """Return the report as JSON has it: amounts and units as decimal strings."""
    return {
        "ok": True,
        "tenants": {
            code: _plain(asdict(tally)) | {"proof": _plain(asdict(proofs[code]))} for code, tally in tallies.items()
        },
        "seconds": {phase: round(spent, 1) for phase, spent in seconds.items()},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return round(value, 2)
    return value if isinstance(value, int | str | bool) or value is None else str(value)


def show(
    console: Console,
    plans: Sequence[Plan],
    tallies: Mapping[str, Tally],
    proofs: Mapping[str, Proof],
    seconds: Mapping[str, float],
) -> None:
    """Print the report."""
    table = Table(title="Akiba demo", title_justify="left", show_edge=False, pad_edge=False)
    table.add_column("")
    for plan in plans:
        table.add_column(plan.pack.code, justify="right")
    for label, values in _rows(plans, tallies, proofs):
        table.add_row(label, *values)
    console.print(table)
    console.print("seconds: " + ", ".join(f"{phase} {spent:.1f}" for phase, spent in seconds.items()))
    for plan in plans:
        spent = tallies[plan.pack.code].seconds
        inside = ", ".join(f"{phase} {part:.1f}" for phase, part in sorted(spent.items(), key=lambda one: -one[1]))
        console.print(f"  {plan.pack.code}: {inside}")
    for plan in plans:
        misbehaved = tallies[plan.pack.code].misbehaved
        if misbehaved:
            counts = ", ".join(f"{how} {times}" for how, times in misbehaved.items())
            console.print(f"operators of {plan.pack.code} misbehaved: {counts}")
    for plan in plans:
        console.print(f"export of {plan.pack.code}: {proofs[plan.pack.code].folder}", soft_wrap=True, highlight=False)


def _rows(
    plans: Sequence[Plan], tallies: Mapping[str, Tally], proofs: Mapping[str, Proof]
) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []

    def row(label: str, tell: Any) -> None:
        found.append(
            (label, [tell(tallies[plan.pack.code], proofs[plan.pack.code], plan.pack.currency) for plan in plans])
        )

    row("members", lambda t, *_: f"{t.members:,}")
    for way, label in (("single", "one by one"), ("batch", "in batches"), ("file", "by file")):
        row(f"payments {label}", lambda t, *_, way=way: f"{t.payments.get(way, 0):,}")
    row("credited", lambda t, _, currency: _money(t.received, currency))
    row("sent again, posted once", lambda t, *_: f"{t.sent_again:,}")
    row(
        "payment requests paid",
        lambda t, _, currency: (
            f"{t.collected:,} of {t.asked:,}: {_money(t.collected_amount, currency)}" if t.asked else ""
        ),
    )
    row("not paid, left unknown", lambda t, *_: f"{t.not_paid:,}, {t.left_unknown:,}" if t.asked else "")
    row("operators misbehaved", lambda t, *_: _misbehaved(t.misbehaved) if t.asked else "")
    row("in suspense", lambda t, _, currency: f"{t.suspended:,}: {_money(t.suspended_amount, currency)}")
    row("statement lines matched", lambda t, *_: f"{t.matched:,} of {t.statement_lines:,}")
    row("prices imported", lambda t, *_: f"{t.prices:,}" if t.prices else "none")
    row("dealing days", lambda t, *_: f"{t.dealing_days:,}")
    row("orders priced", lambda t, *_: f"{t.orders_priced:,} of {t.orders:,}")
    row("orders on statements", lambda t, *_: f"{t.orders_paid:,} lines" if t.orders else "")
    row("invested", lambda t, _, currency: _money(t.invested, currency) if t.orders else "")
    row("units allotted", lambda t, *_: f"{t.units:,.4f}" if t.orders else "")
    row("units of residue", lambda t, *_: f"{t.residue_units:,.4f}" if t.orders else "")
    row("orders to the manager, confirmed, its files", lambda t, *_: _traded(t.traded))
    row("told to the partner, attempts in vain", lambda t, *_: _told(t.told))
    row("screens of the menu, messages", lambda t, *_: _telephoned(t.telephoned))
    row("interest credited", lambda t, _, currency: _interest(t.year_end, currency))
    row("state money shared", lambda t, _, currency: _state_money(t.year_end, currency))
    row("retired and paid out", lambda t, _, currency: _retired(t.retired, currency))
    row("payouts failed, refused, paid again", lambda t, *_: _not_at_once(t.retired))
    row("pensions of a month", lambda t, _, currency: _payroll(t.payroll, currency))
    row("of them failed, paid by the next payroll", lambda t, _, currency: _failed(t.payroll, currency))
    row("events, transfers", lambda _, p, __: f"{p.events:,}, {p.transfers:,}")
    row("last checkpoint", lambda _, p, __: f"{p.log_size:,} entries")
    row("akiba check", lambda _, p, __: "no law broken" if not p.laws_broken else f"{p.laws_broken} broken")
    row("bank = books = units", lambda _, p, __: p.day)
    row("export", lambda _, p, __: f"verified by {len(p.verified)} programs")
    row("by hand", lambda _, p, __: p.by_hand)
    return found


def _misbehaved(counts: Mapping[str, int]) -> str:
    return f"{sum(counts.values()):,} times in {len(counts)} ways"


def _traded(traded: Traded | None) -> str:
    return f"{traded.orders:,}, {traded.confirmed:,}, {traded.files:,}" if traded else ""


def _told(told: Told | None) -> str:
    return f"{sum(told.taken.values()):,}, {told.turned_down:,}" if told else ""


def _telephoned(found: Telephoned | None) -> str:
    if found is None:
        return ""
    return f"{found.screens:,}, {', '.join(f'{times:,} {state}' for state, times in found.messages.items())}"


def _interest(ended: YearEnded | None, currency: str) -> str:
    return f"{ended.interest_members:,}: {_money(ended.interest, currency)}" if ended else ""


def _state_money(ended: YearEnded | None, currency: str) -> str:
    return f"{ended.claim_lines:,}: {_money(ended.shared, currency)}" if ended else ""


def _retired(ended: Retired | None, currency: str) -> str:
    return f"{ended.members:,}: {_money(ended.amount, currency)}" if ended else ""


def _not_at_once(ended: Retired | None) -> str:
    return f"{ended.failed}, {ended.refused}, {ended.failed + ended.refused}" if ended else ""


def _payroll(paid: PayrollPaid | None, currency: str) -> str:
    return f"{paid.pensioners:,}: {_money(paid.due, currency)}" if paid else ""


def _failed(paid: PayrollPaid | None, currency: str) -> str:
    return f"{paid.failed}, {paid.paid_later}: {_money(paid.failed_amount, currency)}" if paid else ""


def _money(amount: Decimal, currency: str) -> str:
    return f"{currency} {amount:,}"


def show_ways_in(
    console: Console,
    plans: Sequence[Plan],
    sites: Mapping[str, Site],
    links: Mapping[str, str],
    credentials: Mapping[str, Credentials],
    guests: Mapping[str, str],
) -> None:
    """Print how people and partners come in: links, secrets, ready lines for the shell."""

    def line(text: str = "") -> None:
        console.print(text, soft_wrap=True, highlight=False, markup=False)

    for plan in plans:
        pack, site, partner = plan.pack, sites[plan.pack.code], credentials[plan.pack.code]
        number = guests[pack.code]
        form = "Content-Type: application/json"
        payment = (
            f'{{"member":"{number}","amount":"500","currency":"{pack.currency}",'
            f'"channel":"{pack.scenario.sending.channels["single"][0]}","reference":"TRY-'
        )
        line()
        line(f"{pack.name} ({pack.code})")
        line(f"  pages        {site.url}/")
        line(f"  staff        {links[pack.code]}   (once, within 15 minutes)")
        line(f"  statement    {site.url}/staff/members/{number}/statement   (once signed in)")
        line(f"  partner      client_id {partner.client_id}")
        line(f"               client_secret {partner.client_secret}")
        line("  try it:")
        line(
            f"    TOKEN=$(curl -s {site.url}/oauth/token -d grant_type=client_credentials "
            f"-d client_id={shlex.quote(partner.client_id)} -d client_secret={shlex.quote(partner.client_secret)} "
            '| sed -E \'s/.*"access_token":"([^"]+)".*/\\1/\')'
        )
        line(
            f'    curl -s {site.url}/v1/contributions -H "Authorization: Bearer $TOKEN" -H "{form}" '
            f"-H \"Idempotency-Key: try-$(date +%s)\" -d '{payment}'$(date +%s)'\"}}'"
        )
        if pack.scenario.collecting is not None:
            channel = pack.scenario.sending.channels["single"][0]
            asked = f'{{"member":"{number}","amount":"500","currency":"{pack.currency}","channel":"{channel}"}}'
            line(
                f'    curl -s {site.url}/v1/collections -H "Authorization: Bearer $TOKEN" -H "{form}" '
                f"-H \"Idempotency-Key: ask-$(date +%s)\" -d '{asked}'"
            )
        line(f'    curl -s {site.url}/v1/members/{number}/statement -H "Authorization: Bearer $TOKEN"')
    line()
