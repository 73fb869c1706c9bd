"""What shows that the demo's books are right: the checker, the export and both its verifiers, accounts done by hand."""

import csv
import json
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from demo.client import DemoFailed, Partner
from demo.plan import Plan
from demo.processes import ROOT, Machine
from demo.year import Tally, published_prices

BY_HAND = ROOT / "tests" / "golden" / "statement_by_hand.py"
_CONTRIBUTION, _SUSPENDED = "contribution-received", "contribution-suspended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What was found of one tenant. `by_hand` is what the hand calculation said, "" where it was not run.

    `day` counts the accounts and funds that statements, books and holders agree on at the end.
    """

    laws_broken: int
    log_size: int
    events: int
    transfers: int
    verified: tuple[str, ...]
    by_hand: str
    day: str
    folder: Path


def prove(
    plans: Sequence[Plan],
    tallies: Mapping[str, Tally],
    numbers: Mapping[str, Mapping[str, str]],
    partners: Mapping[str, Partner],
    *,
    log_sizes: Mapping[str, int],
    machine: Machine,
    folder: Path,
) -> dict[str, Proof]:
    """Check, export and verify every tenant; return what was found by tenant.

    Args:
        plans: what was meant to happen.
        tallies: what was counted while it did.
        numbers: by tenant, the member numbers of those whose accounts are done by hand, by their code.
        partners: by tenant, who may read statements and suspense.
        log_sizes: by tenant, how many entries the log held when the demo was loaded: what people did since is theirs,
            and not held against the plan. Empty where nobody could do anything yet.
        machine: runs commands.
        folder: where exports and statements go.

    Raises:
        DemoFailed: something is wrong; the message says what.
    """
    broken = machine.akiba("check", allow=frozenset({0, 1}))
    for code, offences in broken.items():
        if offences:
            raise DemoFailed(f"akiba check finds {len(offences)} offences in {code}; the first: {offences[0]}")

    def one(plan: Plan) -> Proof:
        code = plan.pack.code
        out = folder / "exports" / code
        exported = machine.akiba("audit", "export", "--tenant", code, "--out", str(out))
        machine.akiba("audit", "verify", str(out))
        bundled = machine.python(str(out / "verify.py"), str(out)).strip().splitlines()
        loaded = log_sizes.get(code)
        _compare_counts(plan, tallies[code], _events_by_kind(out / "data" / "events.csv", loaded or exported["size"]))
        if loaded is None:
            _compare_suspense(plan, partners[code])
        # Proven to the last unit, or the command fails.
        proven = machine.akiba("prove", "--tenant", code, allow=frozenset({0} if loaded is None else {0, 3}))
        statements = folder / "statements" / code
        _fetch_statements(plan, numbers[code], partners[code], statements, loaded)
        return Proof(
            laws_broken=0,
            log_size=exported["size"],
            events=_rows(out / "data" / "events.csv"),
            transfers=_rows(out / "data" / "transfers.csv"),
            verified=("akiba audit verify", f"verify.py: {bundled[-1] if bundled else ''}"),
            by_hand=_by_hand(plan, statements, machine),
            day=f"{len(proven['accounts'])} accounts, {len(proven['funds'])} funds agree",
            folder=out,
        )

    with ThreadPoolExecutor(max(1, len(plans))) as pool:
        return dict(zip((plan.pack.code for plan in plans), pool.map(one, plans), strict=True))


def _events_by_kind(path: Path, log_size: int) -> Counter[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return Counter(row["kind"] for row in csv.DictReader(file) if int(row["index"]) < log_size)


def _rows(path: Path) -> int:
    with path.open(encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1


def _compare_counts(plan: Plan, tally: Tally, kinds: Counter[str]) -> None:
    """Hold the books against the plan: each payment is there once, however often it was sent."""
    good = sum(not payment.mishap for payment in plan.payments)
    right, wrong = good + tally.collected, len(plan.payments) - good
    expected = {_CONTRIBUTION: right, _SUSPENDED: wrong, "member-enrolled": len(plan.people)}
    for kind, count in expected.items():
        if kinds[kind] != count:
            raise DemoFailed(f"{plan.pack.code}: the export holds {kinds[kind]} events {kind}; {count} happened")
    if tally.prices and tally.invested != _priced(plan):
        raise DemoFailed(f"{plan.pack.code}: {_priced(plan)} should have found its price; {tally.invested} has")


def _priced(plan: Plan) -> Decimal:
    """Return the sum of the payments whose dealing has a later price."""
    days = sorted(published_prices(plan.pack))
    due = Decimal(0)
    for payment in plan.payments:
        dealt = next((day for day in days if day >= payment.sent_on), None)
        if dealt is not None and dealt < days[-1] and not payment.mishap:
            due += Decimal(payment.amount)
    return due


def _compare_suspense(plan: Plan, partner: Partner) -> None:
    wrong = [payment for payment in plan.payments if payment.mishap]
    found = partner.get("/v1/suspense", limit="1000")
    reasons = Counter(one["reason"] for one in found)
    amount = sum((Decimal(str(one["amount"])) for one in found), Decimal(0))
    if reasons != Counter(payment.mishap for payment in wrong) or amount != sum(Decimal(one.amount) for one in wrong):
        raise DemoFailed(
            f"{plan.pack.code}: suspense holds {dict(reasons)}, {amount} in all; {len(wrong)} payments should"
        )


def statement_days(plan: Plan) -> list[date]:
    """Return the days on which accounts are compared: early, half way, at the end."""
    days = plan.days
    return sorted({days[min(19, len(days) - 1)], days[len(days) // 2], days[-1]})


def _fetch_statements(
    plan: Plan, numbers: Mapping[str, str], partner: Partner, folder: Path, log_size: int | None
) -> None:
    """Keep the statements of those whose accounts are done by hand, and what they paid, beside each other."""
    if not numbers:
        return
    folder.mkdir(parents=True, exist_ok=True)
    if plan.pack.scenario.saver:
        with (folder / "payments.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(payments_of_savers(plan))
    known = {} if log_size is None else {"log_size": str(log_size)}
    for code, number in numbers.items():
        for day in statement_days(plan):
            statement: dict[str, Any] = partner.get(f"/v1/members/{number}/statement", as_of=day.isoformat(), **known)
            (folder / f"{code}-{day}.json").write_text(json.dumps(statement, indent=1), encoding="utf-8")
        pdf = partner.get_bytes(f"/v1/members/{number}/statement.pdf")
        if not pdf.startswith(b"%PDF-"):
            raise DemoFailed(f"the statement of {code} is no PDF")
        (folder / f"{code}.pdf").write_bytes(pdf)


def payments_of_savers(plan: Plan) -> list[tuple[str, ...]]:
    """Return what those whose accounts are done by hand pay, as the calculation reads it: a header and rows."""
    funds = _funds_by_group(plan)
    return [
        ("member", "scheme", "paid_on", "reconciled_on", "amount"),
        *(
            (saver.code, funds[saver.group], str(one.paid_on), str(one.sent_on), one.amount)
            for saver in plan.pack.scenario.saver
            for one in plan.of_saver(saver.code)
        ),
    ]


def _funds_by_group(plan: Plan) -> dict[str, str]:
    """Return the fund that each group's savings go to, as the pack's rules say."""
    pack = plan.pack
    (book,) = sorted((pack.folder / pack.scenario.product / "rules").glob("*.toml"))[:1]
    rules = tomllib.loads(book.read_text(encoding="utf-8"))["rule"]
    choice = next(rule for rule in rules if rule["kind"] == "fund-choice")
    return {group: next(iter(shares)) for group, shares in choice["by_group"].items()}


def _by_hand(plan: Plan, statements: Path, machine: Machine) -> str:
    """Run the calculation that shares nothing with the engine over the statements the engine gave."""
    if not plan.pack.scenario.saver or not BY_HAND.is_file():
        return ""
    prices = plan.pack.folder / "demo" / str(plan.pack.scenario.prices)
    return machine.python(str(BY_HAND), "--compare", str(statements), "--prices", str(prices)).strip()
