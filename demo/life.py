"""One member's life, from joining to the end: lived through the API under the scheme clock, each event told as a row."""

import csv
import io
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
import tomli_w
from rich.console import Console

from demo import life_end, life_story
from demo.client import Credentials, DemoFailed, Operator, Partner, Site, expect
from demo.life_facts import Change, Facts, Payment, dealing_days, months_later, payments_of, read_life
from demo.life_story import Event, Life
from demo.processes import Machine, free_port
from demo.scenario import DemoInvalid, Pack
from engine.kernel.price_files import PublishedPrice
from engine.runtime.embedded_postgres import ServerError, ephemeral_server, provision
from engine.runtime.private_files import write_private
from engine.runtime.settings import Settings
from integrations.fund_managers.cra_files.adapter import CraFiles

OK, FAILED, USAGE = 0, 1, 2
_PARTNER = "life-bank"
_NONE = Decimal(0)
_MORNING, _EVENING = time(10), time(14, 30)  # dealing closes at 15:00
_PHONE = "+919111100001"
_DOCUMENT = "999900000016"  # an identity number that is right in form and nobody's


def run(settings: Settings, *, pack_code: str, out: Path | None, years: int | None, as_json: bool) -> int:
    """Live one life on a database of its own, tell it, and return the exit code.

    Args:
        settings: of this process; only its packs are used.
        pack_code: which pack.
        out: a folder for life.json, life.csv and life.svg; None: none is written.
        years: of instalments; the whole life if absent.
        as_json: print the life as JSON.
    """
    words = Console(stderr=True)
    if settings.is_production:
        words.print("A life advances the scheme clock, which a production deployment refuses.", style="red")
        return USAGE
    try:
        pack, facts = read_life(settings, pack_code)
    except DemoInvalid as error:
        words.print(str(error), style="red", markup=False, highlight=False)
        return USAGE
    is_whole = years is None or years >= facts.years
    if years is not None:
        facts = msgspec.structs.replace(facts, years=min(years, facts.years))
    began = perf_counter()
    try:
        with _machine(settings, pack.code, facts.channel) as machine:
            events = _Life(pack, facts, machine, is_whole=is_whole).live()
    except (DemoFailed, ServerError) as error:
        words.print(f"The life failed: {error}", style="red", markup=False, highlight=False)
        return FAILED
    life = Life(
        pack=pack.code,
        currency=pack.currency,
        years=facts.years,
        seconds=round(perf_counter() - began, 1),
        events=events,
    )
    if out is not None:
        life_story.write(life, out)
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(life), indent=1).decode() + "\n")
    else:
        life_story.show(Console(), life)
    return OK


@contextmanager
def _machine(settings: Settings, code: str, channel: str) -> Iterator[Machine]:
    """Run a server of a database, keys and logs that are gone afterwards; the tenant is there, and nobody in it."""
    with tempfile.TemporaryDirectory(prefix="akiba-life-") as home, ephemeral_server() as server:
        folder = Path(home)
        urls = provision(server, "life")
        own = msgspec.structs.replace(settings, data_dir=folder, keys_file=folder / "keys.toml")
        bank = {"pays_from": channel, "holder": "Trustee bank", "number": "1", "bank": "BANK", "sender": "TRUST"}
        write_private(folder / "counterparties.toml", tomli_w.dumps({code: {life_end.RAIL: bank}}).encode())
        machine = Machine(
            own,
            port=free_port(),
            app_url=urls.app,
            owner_url=urls.owner,
            logs=folder / "logs",
            counterparties=folder / "counterparties.toml",
        )
        try:
            machine.akiba("db", "upgrade")
            machine.akiba("tenant", "create", code)
            yield machine
        finally:
            machine.stop()


class _Life:
    """One member, the partner that collects from them, and the staff who run the scheme's days."""

    def __init__(self, pack: Pack, facts: Facts, machine: Machine, *, is_whole: bool) -> None:
        self._pack, self._facts, self._machine, self._is_whole = pack, facts, machine, is_whole
        self._now = datetime.combine(facts.joins_on, _MORNING, pack.zone)
        machine.akiba("clock", "advance", "--to", self._now.isoformat(), "--tenant", pack.code)
        site = Site(machine.host, machine.port, pack.host)
        made = machine.akiba("partner", "create", _PARTNER, "--tenant", pack.code)
        link = machine.akiba("admin", "bootstrap", "--tenant", pack.code)["link"]
        machine.start("server", "serve")
        machine.await_ready()
        self._partner = Partner(site, Credentials(made["client_id"], made["client_secret"]), 1)
        self._operator = Operator(site, link)
        self.staff = cache(lambda role: Operator(site, self._link(role)))
        self._events: list[Event] = []
        self._bank = self._balance = self._paid_in = Decimal(0)
        self._orders: list[tuple[str, Decimal]] = []
        self._member = ""
        self._priced = 0

    def _link(self, role: str) -> str:
        made = self._machine.akiba("admin", "bootstrap", "--tenant", self._pack.code, "--role", role, "--name", role)
        return str(made["link"])

    def live(self) -> list[Event]:
        """Live the whole life; return its events.

        Raises:
            DemoFailed: the scheme did something else than its rules say, or its books do not agree.
        """
        facts = self._facts
        ends = months_later(facts.joins_on, 12 * facts.years)
        self._join()
        waiting, changes = payments_of(facts), [one for one in facts.change if one.on < ends]
        for day in dealing_days(facts, ends):
            while changes and changes[0].on <= day:
                waiting = self._send([one for one in waiting if one.paid_on <= changes[0].on], waiting)
                self._change(changes.pop(0))
            self._advance(day, _EVENING)
            waiting = self._send([one for one in waiting if one.paid_on <= day], waiting)
            self._deal(day)
        if self._is_whole:
            life_end.LaterLife(self, facts, self._member, self._pack.scenario.product).live()
        broken = self._machine.akiba("check", allow=frozenset({0, 1}))
        if any(broken.values()):
            raise DemoFailed(f"akiba check finds offences: {broken}")
        self._partner.close()
        return self._events

    # -- joining, and what is undertaken

    def _join(self) -> None:
        facts, product = self._facts, self._pack.scenario.product
        shown = self._partner.get(f"/v1/enrolment-terms/{product}", language=facts.language)["consents"]
        consents = [
            {name: one[name] for name in ("consent", "language", "version")} | {"channel": "partner"} for one in shown
        ]
        body = {
            "product": product,
            "full_name": facts.full_name,
            "sex": facts.sex,
            "born_on": facts.born_on.isoformat(),
            "phone": _PHONE,
            "language": facts.language,
            "consents": consents,
            "documents": [{"document": self._pack.scenario.people.document, "number": _DOCUMENT}],
            "nominees": [{"full_name": facts.nominee, "relationship": "sister", "share_bp": 10_000}],
            "undertaking": {"slab": facts.slab, "frequency": facts.frequency},
        }
        self._member = expect(self._partner.post("/v1/members", body, key="join"), 201, "joining").json["number"]
        undertaken = self._partner.get(f"/v1/members/{self._member}/undertaking")
        self._tell(
            facts.joins_on,
            "joined",
            rules=self.in_force(facts.joins_on, "contribution-chart"),
            figures={name: undertaken[name] for name in ("slab", "instalment", "from_on")},
        )

    def _change(self, change: Change) -> None:
        self._advance(change.on, _MORNING)
        asked = {"slab": change.slab, "frequency": self._facts.frequency}
        answer = self._partner.post(f"/v1/members/{self._member}/undertaking", asked)
        told = expect(answer, 200, "another pension").json
        self._tell(
            change.on,
            "pension-changed",
            rules=self.in_force(change.on, "undertaking"),
            figures={name: told[name] for name in ("slab", "instalment", "from_on")},
        )

    # -- paying

    def _send(self, payments: Sequence[Payment], waiting: Sequence[Payment]) -> list[Payment]:
        """Send payments in one batch, have the bank's statement show them, tell each; return those that still wait."""
        if payments:
            day = self._now.date()
            if day < payments[-1].paid_on:
                self._advance(payments[-1].paid_on, _MORNING)
                day = payments[-1].paid_on
            items = [self._payment(one, self._instalment(one.paid_on) * one.months) for one in payments]
            answers = self._batch(items)
            while refused := [index for index, one in enumerate(answers) if "receipt" not in one]:
                # What lateness costs is not the payer's to reckon: the refusal tells which amounts are taken.
                at = refused[0]
                problem = answers[at]["problem"]
                if problem["code"] != "contributions.not-what-is-due":
                    raise DemoFailed(f"the payment of {payments[at].paid_on} was refused: {problem}")
                items[at] = self._payment(payments[at], Decimal(problem["allowed"][payments[at].months - 1]))
                answers[at:] = self._batch(items[at:])
            self._show(day, [(one["reference"], Decimal(one["amount"])) for one in items])
            self._tell_payments(payments, [Decimal(one["amount"]) for one in items], answers)
        return list(waiting[len(payments) :])

    def _payment(self, one: Payment, amount: Decimal) -> dict[str, str]:
        return {
            "member": self._member,
            "amount": f"{amount:.2f}",
            "currency": self._pack.currency,
            "channel": self._facts.channel,
            "reference": f"LIFE-{one.paid_on:%Y%m%d}",
            "paid_on": one.paid_on.isoformat(),
        }

    def _batch(self, items: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
        keyed = [{**one, "key": f"{one['reference']}-{one['amount']}"} for one in items]
        answer = expect(self._partner.post("/v1/contributions/batch", {"items": keyed}), 200, "payments")
        return list(answer.json["items"])

    def _instalment(self, day: date) -> Decimal:
        """Return the instalment of a month, as the scheme said when it was undertaken."""
        said = [one.figures for one in self._events if one.what in ("joined", "pension-changed")]
        return Decimal(next(one for one in reversed(said) if one["from_on"] <= day.isoformat())["instalment"])

    def _show(self, day: date, payments: Sequence[tuple[str, Decimal]], *, matched: bool = True) -> None:
        """Import the bank's statement of a day: orders of the last dealing that it paid, and payments that came.

        Payouts are matched later than the others, by a job.
        """
        lines = [(reference, -amount) for reference, amount in self._orders] + list(payments)
        self._orders = []
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("date", "reference", "amount", "currency", "balance"))
        for reference, amount in lines:
            self._bank += amount
            writer.writerow((day, reference, amount, self._pack.currency, self._bank))
        channel = self._facts.channel
        report = self._operator.upload(
            "/v1/operations/statements", out.getvalue().encode(), account=channel, name=f"{channel}-{day}.csv"
        )
        if (matched and report["matched"] != len(lines)) or report["gap"]:
            raise DemoFailed(f"the bank's statement of {day} does not agree with the books: {report}")

    def _tell_payments(
        self, payments: Sequence[Payment], amounts: Sequence[Decimal], answers: Sequence[Mapping[str, Any]]
    ) -> None:
        """Tell each payment; what the account holds after the last of them must be what the scheme says.

        Raises:
            DemoFailed: it says something else.
        """
        decided: dict[bool, list[dict[str, Any]]] = {}
        for one, amount, answer in zip(payments, amounts, answers, strict=True):
            is_late = one.months > 1
            if is_late or is_late not in decided:
                receipt = answer["receipt"]["receipt"]
                decided[is_late] = self.rules_of(receipt)
            kind = "late-charge" if is_late else "contribution-chart"
            self._balance += amount
            self._paid_in += amount
            self._tell(
                one.paid_on,
                "caught-up" if is_late else "instalment",
                amount=amount,
                rules=[rule for rule in decided[is_late] if rule["kind"] == kind],
                figures={
                    "instalments": str(one.months),
                    "charge": f"{amount - self._instalment(one.paid_on) * one.months:.2f}",
                },
            )
        totals = self._statement(self._now.date())["totals"]
        if (Decimal(totals["value"]), Decimal(totals["contributed"])) != (self._balance, self._paid_in):
            raise DemoFailed(f"the account should hold {self._balance} and {self._paid_in} were paid; it says {totals}")

    # -- dealing

    def _deal(self, day: date) -> None:
        """Close the day's dealing, and price it by the next day's prices; tell what was bought, and what all is worth."""
        closed = self._operator.post("/v1/operations/dealing-days", {"date": day.isoformat()})
        for order in closed["orders"]:
            self._orders += [(order["reference"], Decimal(part)) for part in order["taken_from"].values()]
        priced_on = day + timedelta(days=1)
        dealt = self._price(priced_on)
        if any(one["waiting"] for one in dealt["orders"]):
            raise DemoFailed(f"orders wait, and their price came: {dealt}")
        statement = self._statement(priced_on)
        figures = {"bought_for": f"{sum((Decimal(one['amount']) for one in dealt['orders']), Decimal(0)):.2f}"}
        for one in statement["holdings"]:
            figures |= {f"{one['fund']}.{name}": one[name] for name in ("price", "units", "value")}
        before, self._balance = self._balance, Decimal(statement["totals"]["value"])
        self._tell(
            priced_on,
            "dealt",
            amount=self._balance - before,
            rules=self.in_force(day, "unit-pricing"),
            figures=figures,
        )

    def _price(self, day: date) -> Mapping[str, Any]:
        """Import the next prices, and run the dealing day; return its report."""
        self._advance(day, _MORNING)
        prices = [
            PublishedPrice(
                fund_code=one.code,
                manager_code=one.manager,
                manager_name=one.manager_name,
                name=one.name,
                price_on=day,
                price=one.price(self._priced),
                row=row,
            )
            for row, one in enumerate(self._facts.fund, 1)
        ]
        self._priced += 1
        raw = CraFiles().write(prices, day)
        report = self._operator.upload("/v1/operations/prices", raw, name=f"NAV_File_{day:%d%m%Y}.out")
        if len(report["accepted"]) != len(prices) or report["held"]:
            raise DemoFailed(f"the prices of {day} were not all accepted: {report}")
        found: Mapping[str, Any] = self._operator.post("/v1/operations/dealing-days", {"date": day.isoformat()})
        return found

    # -- what the life from 60 on needs

    def on(self, day: date) -> None:
        """Set the clock to an hour of a day before dealing closes."""
        self._advance(day, _EVENING)

    def pay_out(self, day: date, payouts: Sequence[tuple[str, Decimal]]) -> None:
        """Have the bank's statement of a day show payouts gone: (the bank's reference, amount)."""
        self._show(day, [(reference, -amount) for reference, amount in payouts], matched=False)

    def sell(self, day: date) -> Sequence[Mapping[str, Any]]:
        """Close the day's dealing, sell by the next day's prices, and have the managers' money come; return each sale."""
        self._operator.post("/v1/operations/dealing-days", {"date": day.isoformat()})
        priced_on = day + timedelta(days=1)
        sales: Sequence[Mapping[str, Any]] = self._price(priced_on)["sales"]
        self._show(priced_on, [(one["reference"], Decimal(one["confirmed"])) for one in sales])
        self._machine.start("worker", "work")  # it carries on what waited for the money
        return sales

    def rules_of(self, decision: str) -> list[dict[str, Any]]:
        """Return the rules by which something was decided."""
        return list(self._partner.get(f"/v1/decisions/{decision}", language="en")["rules"])

    def tell(
        self, on: date, what: str, amount: Decimal, rules: Sequence[Mapping[str, Any]], figures: dict[str, str]
    ) -> None:
        """Write an event down."""
        self._balance += amount
        self._tell(on, what, amount=amount, rules=rules, figures=figures)

    # -- what is told

    def _statement(self, day: date) -> dict[str, Any]:
        return dict(self._partner.get(f"/v1/members/{self._member}/statement", as_of=day.isoformat()))

    def _advance(self, day: date, at: time) -> None:
        self._now = datetime.combine(day, at, self._pack.zone)
        self._operator.post("/v1/operations/clock", {"to": self._now.isoformat()})

    def in_force(self, day: date, kind: str) -> list[dict[str, Any]]:
        """Return the rules of a kind that the pack has had since the last book up to a day that has one."""
        for book in sorted((self._pack.folder / self._pack.scenario.product / "rules").glob("*.toml"), reverse=True):
            found = [one for one in _toml(book).get("rule", ()) if one["kind"] == kind]
            if found and book.stem <= day.isoformat():
                return [{"version": f"{one['id']}@{book.stem}", "source": one["source"]} for one in found]
        raise DemoFailed(f"the pack has no rule {kind} on {day}")

    def _tell(
        self,
        on: date,
        what: str,
        *,
        rules: Sequence[Mapping[str, Any]],
        figures: dict[str, str],
        amount: Decimal = _NONE,
    ) -> None:
        self._events.append(
            Event(
                on=on,
                what=what,
                amount=f"{amount:.2f}",
                balance=f"{self._balance:.2f}",
                paid_in=f"{self._paid_in:.2f}",
                rule=", ".join(one["version"] for one in rules),
                source="; ".join(one["source"] for one in rules),
                figures=figures,
            )
        )


@cache
def _toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))
