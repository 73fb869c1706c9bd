"""Three members' statements at published prices, against the calculation that shares no line with the engine."""

import asyncio
import csv
import json
import subprocess
import sys
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from engine.reports import service
from engine.reports.api import document_of
from tests.engine.reports.scheme import TENANTS, Scheme, days

SCRIPT = TENANTS.parent / "tests" / "golden" / "statement_by_hand.py"
PRICES = TENANTS / "in-nps-lite" / "demo" / "prices.csv"
FUNDS = {"sahyog": "SM001009", "gramin": "SM002009", "shramik": "SM003003"}


async def test_three_members_at_published_prices(india: Scheme, tmp_path: Path) -> None:
    published: dict[date, dict[str, str]] = {}
    with PRICES.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            published.setdefault(date.fromisoformat(row["date"]), {})[row["scheme_code"]] = row["price"]
    await india.advance(date(2023, 4, 3))
    numbers = {group: await india.enrol(group=group) for group in FUNDS}
    planned: list[tuple[str, str, date, date, str]] = []
    for index, wanted in enumerate(days(date(2023, 4, 5), 6, step=28)):
        day = min(one for one in published if one >= wanted)
        priced = min(one for one in published if one > day)
        await india.advance(day)
        receipts = []
        for place, (group, number) in enumerate(numbers.items()):
            amount = f"{100 + 1111 * index * (place + 1) // 7}.{(index * 37 + place * 11) % 100:02}"
            receipts.append(await india.pay(number, amount))
            planned.append((number, FUNDS[group], day, day, amount))
        await india.reconcile(receipts)
        await india.advance(priced)
        await india.prices(priced, published[priced])
        await india.deal(day)
        await india.deal(priced)
    as_of = date(2023, 9, 29)
    await india.advance(as_of)
    last = max(one for one in published if one <= as_of)
    await india.prices(last, published[last])
    await india.advance(as_of + timedelta(days=5))
    payments = tmp_path / "payments.csv"
    with payments.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("member", "scheme", "paid_on", "reconciled_on", "amount"), *planned])

    arguments = ["--payments", str(payments), "--prices", str(PRICES), "--as-of", as_of.isoformat(), "--json"]
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-I", "-S", str(SCRIPT), *arguments],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    by_hand = {one["member"]: one for one in json.loads(done.stdout)}

    assert set(by_hand) == set(numbers.values())
    for group, number in numbers.items():
        async with india.db.unit_of_work(india.tenant.tenant_id) as session:
            member = await service.find_member(session, india.keys, number)
            found = document_of(await service.statement(session, india.tenant, member, number=number, as_of=as_of))
        expected = by_hand[number]
        (holding,) = found.holdings
        assert holding.fund == FUNDS[group]
        assert {
            "contributed": found.totals.contributed,
            "units": holding.units,
            "price": holding.price,
            "price_on": holding.price_on.isoformat(),
            "uninvested": found.totals.uninvested,
            "value": found.totals.value,
            "return_a_year": found.totals.return_a_year,
        } == {name: expected[name] for name in expected if name not in ("member", "as_of", "lines")}
        assert [
            {
                "paid_on": line.paid_on.isoformat(),
                "amount": line.amount,
                "price_on": line.price_on.isoformat() if line.price_on else None,
                "price": line.price,
                "units": line.units,
            }
            for line in found.lines
        ] == expected["lines"]
        assert Decimal(found.totals.gain) == Decimal(found.totals.value) - Decimal(found.totals.contributed)
