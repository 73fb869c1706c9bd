"""A tenant's days, one after the other, as its operator and its partners live them: everything over HTTP or by command.

The morning: the scheme clock is set, people join, payments come. The evening: the clock again, then each collection
account's statement of the day, the recordkeeper's price file, and the dealing day.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any

from demo.client import DemoFailed, Operator, Partner, chunks, expect
from demo.collecting import Round, Sandbox
from demo.payroll import PayrollPaid, PayrollRound
from demo.people import Person
from demo.plan import Payment, Plan
from demo.processes import Machine
from demo.retiring import Retired, RetiringRound, of_age
from demo.scenario import Pack, Way
from demo.telephones import Telephoned
from demo.telling import Told, listening
from demo.trading import JoinedManager, Traded
from demo.year_end import YearEnded, YearEnding
from engine.kernel.price_files import PublishedPrice
from integrations.fund_managers.cra_files.adapter import CraFiles
from integrations.fund_managers.csv_files.layouts import PLAIN
from integrations.fund_managers.simulation.csv_messages import header_of, write_holdings

MOST_ITEMS = 1000
_COLUMNS = ("member", "amount", "currency", "channel", "reference", "paid_on")


@dataclass(slots=True)
class Tally:
    """What was done, to be told at the end. `seconds` is by phase, of this tenant's own thread."""

    members: int = 0
    payments: dict[Way, int] = field(default_factory=dict)
    received: Decimal = Decimal(0)
    suspended: int = 0
    suspended_amount: Decimal = Decimal(0)
    sent_again: int = 0
    asked: int = 0
    collected: int = 0
    collected_amount: Decimal = Decimal(0)
    not_paid: int = 0
    left_unknown: int = 0
    misbehaved: dict[str, int] = field(default_factory=dict)
    traded: Traded | None = None
    told: Told | None = None
    telephoned: Telephoned | None = None
    files: int = 0
    days: int = 0
    statement_lines: int = 0
    matched: int = 0
    prices: int = 0
    dealing_days: int = 0
    orders: int = 0
    orders_priced: int = 0
    orders_paid: int = 0
    ordered: Decimal = Decimal(0)
    invested: Decimal = Decimal(0)
    units: Decimal = Decimal(0)
    residue_units: Decimal = Decimal(0)
    year_end: YearEnded | None = None
    retired: Retired | None = None
    payroll: PayrollPaid | None = None
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Paid:
    """A payment that was taken, as its channel's bank will report it."""

    payment: Payment
    state: str


@dataclass(slots=True)
class _BankAccount:
    """A collection account as its bank keeps it: what is in it, and the orders it will be told to pay."""

    balance: Decimal = Decimal(0)
    orders: list[tuple[str, Decimal]] = field(default_factory=list)


class Year:
    """One tenant's demo, from its first day to its last."""

    def __init__(
        self,
        plan: Plan,
        prices: Mapping[date, Sequence[PublishedPrice]],
        *,
        machine: Machine,
        partner: Partner,
        operator: Operator,
        staff: Callable[[str], Operator],
        files: Path,
        counterparties: Path,
        manager: JoinedManager | None,
        progress: Callable[[int], None],
        is_stopped: Callable[[], bool],
    ) -> None:
        self.plan, self.prices = plan, prices
        self.tally = Tally()
        self.numbers: dict[int, str] = {}
        self._pack: Pack = plan.pack
        self._machine, self.partner, self._operator = machine, partner, operator
        self._files, self._progress, self._is_stopped = files, progress, is_stopped
        self._counterparties, self._staff, self._manager = counterparties, staff, manager
        self._consents: dict[str, list[dict[str, str]]] = {}
        self._sent_files: list[Path] = []
        self._lock = Lock()
        self._bank: dict[str, _BankAccount] = defaultdict(_BankAccount)
        self._held: dict[str, Decimal] = defaultdict(Decimal)
        self._ordered: dict[str, tuple[str, Decimal]] = {}

    def run(self) -> None:
        """Live through all days.

        Raises:
            DemoFailed: something went otherwise than planned.
        """
        self._files.mkdir(parents=True, exist_ok=True)
        for day in self.plan.days:
            if self._is_stopped():
                return
            payments = self.plan.sending.get(day, ())
            self._advance(day, self._pack.scenario.morning)
            self._enrol(self.plan.joining.get(day, ()))
            taken = self._send(day, payments)
            if taken or day in self.prices:
                self._advance(day, self._pack.scenario.evening)
            self._reconcile(day, taken)
            if day == self._collecting_on:
                self._collect(day)
            if day == self._year_ends_on:
                self._end_year(day)
            self._deal(day)
            self.tally.days += 1
            self._progress(1 + len(payments))
        self._reconcile(self.plan.days[-1], (), last=True)
        self._retire(self.plan.days[-1])
        self._tell_holdings(self.plan.days[-1])
        if self._manager is not None:
            self._manager.count_confirmed(self._machine)
            self.tally.traded = self._manager.traded

    def _advance(self, day: date, at: str) -> None:
        with self._timed("clock"):
            instant = datetime.combine(day, time.fromisoformat(at), self._pack.zone)
            self._operator.post("/v1/operations/clock", {"to": instant.isoformat()})

    # -- people

    def _enrol(self, people: Sequence[Person]) -> None:
        with self._timed("enrolment"):
            for chunk in chunks(people, MOST_ITEMS):
                items = [
                    {
                        "key": f"join-{person.index}",
                        **person.application(self._pack.scenario.product, self._terms(person)),
                    }
                    for person in chunk
                ]
                answer = expect(self.partner.post("/v1/members/batch", {"items": items}), 200, "enrolment").json
                for person, item in zip(chunk, answer["items"], strict=True):
                    if item["status"] != 201:
                        raise DemoFailed(f"person {person.index} was not enrolled: {item}")
                    self.numbers[person.index] = item["member"]["number"]
                    self.tally.members += 1

    def _terms(self, person: Person) -> dict[str, list[dict[str, str]]]:
        """Return the consents that joining needs, in the person's language, as the partner's page showed them."""
        if person.language not in self._consents:
            path = f"/v1/enrolment-terms/{self._pack.scenario.product}"
            shown = self.partner.get(path, language=person.language)["consents"]
            self._consents[person.language] = [
                {name: one[name] for name in ("consent", "language", "version")} | {"channel": "partner"}
                for one in shown
            ]
        return self._consents

    # -- payments

    def _send(self, day: date, payments: Sequence[Payment]) -> list[_Paid]:
        taken: list[_Paid] = []
        with self._timed("payments one by one"):
            singles = [one for one in payments if one.way == "single"]
            taken += self.partner.together(self._send_one, singles)
        with self._timed("payments in batches"):
            batch = [one for one in payments if one.way == "batch"]
            for chunk in chunks(batch, MOST_ITEMS):
                taken += self._send_batch(chunk)
        with self._timed("payments by file"):
            by_file = [one for one in payments if one.way == "file"]
            if by_file:
                taken += self._send_file(day, by_file)
        for paid in taken:
            self._count(paid)
        return taken

    def _count(self, paid: _Paid) -> None:
        expected = "suspended" if paid.payment.mishap else "received"
        if paid.state != expected:
            raise DemoFailed(f"payment {paid.payment.reference} should be {expected} and is {paid.state}")
        self.tally.payments[paid.payment.way] = self.tally.payments.get(paid.payment.way, 0) + 1
        amount = Decimal(paid.payment.amount)
        if paid.payment.mishap:
            self.tally.suspended += 1
            self.tally.suspended_amount += amount
        else:
            self.tally.received += amount

    def _body(self, payment: Payment) -> dict[str, str]:
        return {
            "member": payment.member(self.numbers, self._pack),
            "amount": payment.amount,
            "currency": self._pack.currency,
            "channel": payment.channel,
            "reference": payment.reference,
            "paid_on": payment.paid_on.isoformat(),
        }

    def _send_one(self, payment: Payment) -> _Paid:
        body, key = self._body(payment), f"key-{payment.reference}"
        answer = self.partner.post("/v1/contributions", body, key=key)
        status = 202 if payment.mishap else 201
        receipt = expect(answer, status, f"payment {payment.reference}").json
        if payment.sent_again:
            again = expect(self.partner.post("/v1/contributions", body, key=key), status, "the same payment again").json
            self._same(payment, receipt, again)
        return _Paid(payment, receipt["state"])

    def _send_batch(self, payments: Sequence[Payment]) -> list[_Paid]:
        again = [one for one in payments if one.sent_again]
        items = [self._body(one) | {"key": f"key-{one.reference}"} for one in payments]
        answers = self._batch(items)
        if again:
            later = self._batch([item for item, one in zip(items, payments, strict=True) if one.sent_again])
            first = {item["receipt"]["receipt"]: item["receipt"] for item in answers}
            for one, item in zip(again, later, strict=True):
                self._same(one, first.get(item["receipt"]["receipt"]), item["receipt"])
        return [_Paid(one, item["receipt"]["state"]) for one, item in zip(payments, answers, strict=True)]

    def _batch(self, items: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
        answer = expect(self.partner.post("/v1/contributions/batch", {"items": items}), 200, "a batch of payments")
        found: list[dict[str, Any]] = answer.json["items"]
        for item, sent in zip(found, items, strict=True):
            if "receipt" not in item:
                raise DemoFailed(f"payment {sent['reference']} was refused: {item.get('problem')}")
        return found

    def _same(self, payment: Payment, first: object, again: object) -> None:
        if first != again:
            raise DemoFailed(f"payment {payment.reference} was sent twice and answered otherwise: {first}, {again}")
        with self._lock:
            self.tally.sent_again += 1

    def _send_file(self, day: date, payments: Sequence[Payment]) -> list[_Paid]:
        """Import the day's files by the command, one a group; the last one sent may come along once more."""
        by_group: dict[str, list[Payment]] = defaultdict(list)
        for payment in payments:
            by_group[self.plan.people[payment.person].group or "all"].append(payment)
        paths = []
        for group, own in sorted(by_group.items()):
            path = self._files / f"{group}-{day:%Y%m%d}.csv"
            path.write_bytes(_csv(_COLUMNS, ([self._body(one)[name] for name in _COLUMNS] for one in own)))
            paths.append(path)
        twice = (
            self._sent_files[-1:] if self._pack.scenario.mishaps.file_sent_twice and len(self._sent_files) < 6 else []
        )
        reports = self._machine.akiba(
            "import", "contributions", "--tenant", self._pack.code, *map(str, [*paths, *twice])
        )
        for path, own, report in zip(paths, (own for _, own in sorted(by_group.items())), reports, strict=False):
            expected = (len(own), sum(not one.mishap for one in own), sum(bool(one.mishap) for one in own))
            if (report["rows"], report["received"], report["suspended"]) != expected or report["refused"]:
                raise DemoFailed(f"{path.name}: expected {expected}, got {report}")
        for path, report in zip(twice, reports[len(paths) :], strict=True):
            if not report.get("first_imported_at") or report["refused"]:
                raise DemoFailed(f"{path.name} came twice, and that was not noticed: {report}")
            self.tally.sent_again += report["rows"]
        self._sent_files += paths
        self.tally.files += len(paths) + len(twice)
        return [_Paid(one, "suspended" if one.mishap else "received") for one in payments]

    @property
    def _collecting_on(self) -> date | None:
        """Return the day on which members are asked for payments, if they are."""
        scenario = self._pack.scenario
        return max(day for day in self.plan.days if day <= scenario.last_payment) if scenario.collecting else None

    def _collect(self, day: date) -> None:
        """Ask members for payments; afterwards hold the books against each operator's own, by its statement."""
        wanted = self._pack.scenario.collecting
        assert wanted is not None
        members: dict[str, list[str]] = defaultdict(list)
        for person in self.plan.people:
            if person.index in self.numbers and not person.saver:
                members[person.channel].append(self.numbers[person.index])
        tally = self.tally
        with self._timed("payment requests"), listening(self.partner, turning_down=wanted.misbehaving) as endpoint:
            sandbox = Sandbox(self._counterparties, self._pack.code)
            ends = Round(self._pack, wanted, sandbox, self.partner, self._machine).run(members)
            failed, received = (sum(getattr(one, name) for one in ends.values()) for name in ("not_paid", "received"))
            tally.told = endpoint.await_told({"contribution.received": received, "collection.failed": failed})
        for channel, end in ends.items():
            tally.asked += end.asked
            tally.collected += end.received
            tally.collected_amount += end.amount
            tally.received += end.amount
            tally.not_paid += end.not_paid
            tally.left_unknown += end.unknown
            for how, times in end.misbehaved.items():
                tally.misbehaved[how] = tally.misbehaved.get(how, 0) + times
            lines = [(one["transaction"], one["amount"]) for one in end.movements]
            self._import_statement(channel, day, lines, name=f"{channel}-requests-{day.isoformat()}.csv")

    @property
    def _year_ends_on(self) -> date | None:
        """Return the day on which the scheme year's end is worked, if it is."""
        wanted = self._pack.scenario.year_end
        return None if wanted is None else next((day for day in self.plan.days if day >= wanted.on), None)

    def _end_year(self, day: date) -> None:
        """Credit the year's interest; claim its state money, which the next statement shows, and share it."""
        wanted = self._pack.scenario.year_end
        assert wanted is not None
        with self._timed("year end"):
            ending = YearEnding(self._pack, wanted, self._operator, self._staff)
            ending.tell_classes([self.numbers[index] for index in sorted(self.numbers)])
            self.tally.year_end = ended = ending.credit()
            number, line = ending.claim(ended)
        self._import_statement(wanted.paid_by, day, [line], name=f"{wanted.paid_by}-state-{day.isoformat()}.csv")
        with self._timed("year end"):
            ending.share(number, ended)

    def _retire(self, day: date) -> None:
        """Let those who are old enough take what they saved, and find each payout on the operators' statements."""
        wanted, pensions = self._pack.scenario.retiring, self._pack.scenario.pensions
        if wanted is None:
            return
        sandbox = Sandbox(self._counterparties, self._pack.code)
        old = of_age(self.plan.people, self.numbers, wanted.from_age, day)
        retiring = RetiringRound(self._pack, wanted, sandbox, self.partner, self._staff)
        with self._timed("retirement"):
            self.tally.retired = ended = retiring.run(old[:: pensions.every] if pensions else old)
            self._show_payouts("payouts", day, ended.movements, ended.misbehaved)
            retiring.await_settled()
        if pensions is not None:
            with self._timed("payroll"):
                payroll = PayrollRound(self._pack, pensions, sandbox, self.partner, self._staff)
                pensioners = [one for place, one in enumerate(old) if place % pensions.every]
                self.tally.payroll = paid = payroll.run(pensioners, day)
                self._show_payouts("pensions", day, paid.movements, paid.misbehaved)
                retiring.await_settled()

    def _show_payouts(
        self, what: str, day: date, moved: Mapping[str, Sequence[tuple[str, str]]], misbehaved: Mapping[str, int]
    ) -> None:
        """Import the operators' statements of what they paid out, and count how they misbehaved."""
        for how, times in misbehaved.items():
            self.tally.misbehaved[how] = self.tally.misbehaved.get(how, 0) + times
        for channel, movements in ((channel, own) for channel, own in moved.items() if own):
            lines = self._bank_lines(channel, movements, day)
            raw = _csv(("date", "reference", "amount", "currency", "balance"), lines)
            name = f"{channel}-{what}-{day.isoformat()}.csv"
            self._operator.upload("/v1/operations/statements", raw, account=channel, name=name)

    # -- the evening

    def _reconcile(self, day: date, taken: Sequence[_Paid], *, last: bool = False) -> None:
        """Import what each collection account's bank reports: orders it paid, and every payment that came, known or not."""
        with self._timed("statements"):
            by_channel: dict[str, list[tuple[str, str]]] = defaultdict(list)
            for paid in taken:
                by_channel[paid.payment.channel].append((paid.payment.reference, paid.payment.amount))
            waiting = {channel for channel, account in self._bank.items() if account.orders}
            for channel in sorted(by_channel.keys() | (waiting if last else set())):
                name = f"{channel}-{day.isoformat()}{'-close' if last else ''}.csv"
                self._import_statement(channel, day, by_channel[channel], name=name)

    def _import_statement(self, channel: str, day: date, payments: Sequence[tuple[str, str]], *, name: str) -> None:
        """Import a bank's statement: the orders that it paid, then the payments that came, (reference, amount)."""
        lines = self._bank_lines(channel, payments, day)
        raw = _csv(("date", "reference", "amount", "currency", "balance"), lines)
        report = self._operator.upload("/v1/operations/statements", raw, account=channel, name=name)
        self._read_statement(channel, len(payments), len(lines), report)

    def _bank_lines(self, channel: str, payments: Sequence[tuple[str, str]], day: date) -> list[tuple[str, ...]]:
        account = self._bank[channel]
        rows: list[tuple[str, ...]] = []
        moved = [(reference, -amount) for reference, amount in account.orders]
        moved += [(reference, Decimal(amount)) for reference, amount in payments]
        account.orders = []
        for reference, amount in moved:
            account.balance += amount
            rows.append((day.isoformat(), reference, str(amount), self._pack.currency, str(account.balance)))
        return rows

    def _tell_holdings(self, day: date) -> None:
        """Import what the custodian says it holds at the end."""
        if self._held:
            with self._timed("holdings"):
                header = header_of(PLAIN, "CUSTODIAN", 1, day)
                raw = write_holdings(PLAIN, header, self._pack.code, self._held)
                report = self._operator.upload("/v1/operations/holdings", raw, name=f"holdings-{day.isoformat()}.csv")
                if report["funds"] != len(self._held) or report["not_ours"]:
                    raise DemoFailed(f"the holdings of {day} were not all taken: {report}")

    def _read_statement(self, channel: str, payments: int, lines: int, report: Mapping[str, Any]) -> None:
        if report["matched"] != lines or report["gap"]:
            raise DemoFailed(f"the statement of {channel} holds {lines} lines, and follows the last: {report}")
        self.tally.statement_lines += payments
        self.tally.matched += report["matched"] - (lines - payments)
        self.tally.orders_paid += lines - payments

    def _deal(self, day: date) -> None:
        """Import the day's price file in the recordkeeper's own layout, and run the dealing day."""
        published = self.prices.get(day)
        if not published:
            return
        joined = self._manager if self._manager is not None and self._manager.trades(day) else None
        if joined is not None:
            with self._timed("manager"):
                own = {one.fund_code: one.price for one in published if one.manager_code == self._wanted_manager}
                joined.deal(day, own, self._held, self._ordered.values(), lambda fund: self._is_priced(fund, day))
                published = [one for one in published if one.fund_code not in own]
                self.tally.prices += len(own)
        with self._timed("prices"):
            raw = CraFiles().write(published, day)
            report = self._operator.upload("/v1/operations/prices", raw, name=f"NAV_File_{day:%d%m%Y}.out")
            if len(report["accepted"]) != len(published) or report["refused"] or report["held"]:
                raise DemoFailed(f"the prices of {day} were not all accepted: {report}")
            self.tally.prices += len(published)
        with self._timed("dealing"):
            report = self._operator.post("/v1/operations/dealing-days", {"date": day.isoformat()})
            self._read_dealing(day, report)
        if joined is not None:
            with self._timed("manager"):
                ours = {one.fund_code for one in self.prices[day] if one.manager_code == self._wanted_manager}
                closed = [one for one in report["orders"] if one["cut_off_on"] == day.isoformat()]
                joined.take_orders(sum(one["fund"] in ours for one in closed))

    def _is_priced(self, fund: str, day: date) -> bool:
        found = self._operator.get(f"/v1/prices?fund={fund}&from={day}&until={day}")
        return any(one["state"] == "accepted" for one in found["items"])

    def _read_dealing(self, day: date, report: Mapping[str, Any]) -> None:
        tally = self.tally
        tally.dealing_days += bool(report["closed"])
        for order in report["orders"]:
            if order["cut_off_on"] == day.isoformat():
                tally.orders += 1
                tally.ordered += Decimal(order["amount"])
                self._ordered[order["reference"]] = order["fund"], Decimal(order["amount"])
                for channel, part in order["taken_from"].items():
                    self._bank[channel].orders.append((order["reference"], Decimal(part)))
            elif order["waiting"]:
                raise DemoFailed(f"an order waits, and its price came: {order}")
            else:
                tally.orders_priced += 1
                del self._ordered[order["reference"]]
                tally.invested += Decimal(order["amount"])
                tally.units += Decimal(order["units"])
                self._held[order["fund"]] += Decimal(order["units"]) + Decimal(order["residue"])
                tally.residue_units += Decimal(order["residue"])

    @property
    def _wanted_manager(self) -> str:
        """Return the manager whose funds the simulated one deals in."""
        trading = self._pack.scenario.trading
        return trading.deals_for if trading else ""

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        began = perf_counter()
        try:
            yield
        finally:
            self.tally.seconds[phase] = self.tally.seconds.get(phase, 0.0) + perf_counter() - began


def _csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue().encode()


def published_prices(pack: Pack) -> dict[date, list[PublishedPrice]]:
    """Return the published prices of the pack's demo by day, from its first day to its last; none where it has none."""
    scenario = pack.scenario
    if scenario.prices is None or scenario.schemes is None:
        return {}
    schemes = {row["scheme_code"]: row for row in _rows(pack.folder / "demo" / scenario.schemes)}
    found: dict[date, list[PublishedPrice]] = defaultdict(list)
    for row in _rows(pack.folder / "demo" / scenario.prices):
        day, scheme = date.fromisoformat(row["date"]), schemes[row["scheme_code"]]
        if scenario.first_day <= day <= scenario.last_day:
            found[day].append(
                PublishedPrice(
                    fund_code=row["scheme_code"],
                    manager_code=scheme["pfm_code"],
                    manager_name=scheme["pfm_name"],
                    name=scheme["scheme_name"],
                    price_on=day,
                    price=Decimal(row["price"]),
                    row=len(found[day]) + 1,
                )
            )
    return dict(found)


def _rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
