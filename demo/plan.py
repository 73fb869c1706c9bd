"""Who pays what, when, by which way: drawn from the seed before anything is sent, so that every run pays the same."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from stdnum import luhn

from demo.people import Person, population, working_days
from demo.scenario import Pack, Sending, Way

_INTERVAL = {"weekly": 7, "fortnightly": 14}


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment. `person` is the index of who pays; `number` makes the member reference of it.

    `paid_on` is when the payer paid, `sent_on` when the partner sends it: later only where payments come by file.
    """

    reference: str
    person: int
    amount: str
    channel: str
    way: Way
    paid_on: date
    sent_on: date
    mishap: str = ""  # "", "unknown-member" or "bad-check-digit"
    sent_again: bool = False

    def member(self, numbers: Mapping[int, str], pack: Pack) -> str:
        """Return the member reference the payer gave, right or not."""
        if self.mishap == "unknown-member":
            return _nobodys_number(pack, self.reference, frozenset(numbers.values()))
        number = numbers[self.person]
        if self.mishap == "bad-check-digit":
            return number[:-1] + str((int(number[-1]) + 1) % 10)
        return number


@dataclass(frozen=True, slots=True)
class Plan:
    """A pack's demo: its people, by the day they join, and their payments, by the day they are sent."""

    pack: Pack
    people: tuple[Person, ...]
    joining: Mapping[date, Sequence[Person]]
    sending: Mapping[date, Sequence[Payment]]
    days: tuple[date, ...]

    @property
    def payments(self) -> list[Payment]:
        """Return all payments in the order they are sent."""
        return [payment for day in self.days for payment in self.sending.get(day, ())]

    def of_saver(self, code: str) -> list[Payment]:
        """Return the payments of a person whose account is calculated by hand."""
        index = next(one.index for one in self.people if one.saver and one.saver.code == code)
        return [payment for payment in self.payments if payment.person == index and not payment.mishap]


def make_plan(pack: Pack, extra_days: Sequence[date] = ()) -> Plan:
    """Return a pack's plan. Its days are the working days, and `extra_days` on which something else happens."""
    scenario = pack.scenario
    people = population(pack)
    days = sorted({*working_days(scenario.first_day, scenario.last_day), *extra_days})
    sendable = [day for day in days if day.weekday() < 5 and day <= scenario.last_payment]
    file_days = [day for day in sendable if _is_file_day(day, scenario.sending)]
    joining: dict[date, list[Person]] = defaultdict(list)
    payments: list[Payment] = []
    for person in people:
        joining[person.joins_on].append(person)
        payments += _payments_of(pack, person, file_days)
    payments = _with_mishaps(pack, payments)
    sending: dict[date, list[Payment]] = defaultdict(list)
    for payment in sorted(payments, key=lambda one: (one.sent_on, one.paid_on, one.reference)):
        sending[payment.sent_on].append(payment)
    return Plan(pack, tuple(people), joining, sending, tuple(days))


def _is_file_day(day: date, sending: Sending) -> bool:
    """Return whether files are sent on `day`: a day of the list, or the first working day after one."""
    before = day - timedelta(days=1)
    while before.weekday() >= 5:
        before -= timedelta(days=1)
    passed = [before + timedelta(days=i) for i in range(1, (day - before).days + 1)]
    return any(one.day in sending.files_on and one.month in sending.file_months for one in passed)


def _payments_of(pack: Pack, person: Person, file_days: Sequence[date]) -> Iterator[Payment]:
    rng = Random(f"{pack.scenario.seed}:{pack.code}:payments:{person.index}")
    due = _saver_days(pack, person) if person.saver else _days(pack, person, rng)
    amount = _amounts(pack, person, rng)
    for count, paid_on in enumerate(due):
        sent_on = paid_on
        if person.way == "file":
            later = [day for day in file_days if day >= paid_on]
            if not later:
                return
            sent_on = later[0]
        yield Payment(
            reference=f"{person.channel.upper()}-{paid_on:%Y%m%d}-{person.index:05d}",
            person=person.index,
            amount=amount(count),
            channel=person.channel,
            way=person.way,
            paid_on=paid_on,
            sent_on=sent_on,
            sent_again=rng.random() < pack.scenario.mishaps.sent_again,
        )


def _amounts(pack: Pack, person: Person, rng: Random) -> Callable[[int], str]:
    if person.saver:
        turns = person.saver.amounts
        return lambda count: turns[count % len(turns)]
    usual = rng.choice(pack.scenario.saving.amounts[person.cadence])
    return lambda _: usual


def _saver_days(pack: Pack, person: Person) -> Iterator[date]:
    assert person.saver is not None
    day = person.saver.from_day
    while day <= pack.scenario.last_payment:
        yield day
        day += timedelta(weeks=person.saver.every)


def _days(pack: Pack, person: Person, rng: Random) -> list[date]:
    """Return the days a person pays on: regular, but for those skipped, late, or in a pause of weeks."""
    scenario = pack.scenario
    saving, last = scenario.saving, scenario.last_payment
    pause = _pause(pack, rng)
    day = person.joins_on + timedelta(days=rng.randint(1, 27 if person.cadence == "monthly" else 7))
    day_of_month = min(day.day, 28)
    found: list[date] = []
    while day <= last:
        paid_on = day + timedelta(days=rng.randint(1, 4)) if rng.random() < saving.late else day
        paid_on += timedelta(days=max(0, 7 - paid_on.weekday()) if paid_on.weekday() >= 5 else 0)
        is_skipped = rng.random() < saving.skipped or (pause is not None and pause[0] <= paid_on < pause[1])
        if not is_skipped and paid_on <= last and (not found or paid_on > found[-1]):
            found.append(paid_on)
        if person.cadence == "monthly":
            day = (day.replace(day=1) + timedelta(days=32)).replace(day=day_of_month)
        else:
            day += timedelta(days=_INTERVAL[person.cadence])
    return found


def _pause(pack: Pack, rng: Random) -> tuple[date, date] | None:
    scenario = pack.scenario
    if rng.random() >= scenario.saving.dormant:
        return None
    length = timedelta(weeks=rng.randint(*scenario.saving.dormant_weeks))
    begins = scenario.first_day + timedelta(days=rng.randint(30, 300))
    return begins, begins + length


def _with_mishaps(pack: Pack, payments: list[Payment]) -> list[Payment]:
    """Return the payments and those beside them whose member reference is wrong, spread over the year."""
    mishaps = pack.scenario.mishaps
    kinds = ["unknown-member"] * mishaps.unknown_numbers + ["bad-check-digit"] * mishaps.wrong_digits
    ordinary = sorted(
        (one for one in payments if one.person >= len(pack.scenario.saver)), key=lambda one: one.reference
    )
    rng = Random(f"{pack.scenario.seed}:{pack.code}:mishaps")
    wrong = [
        Payment(
            reference=f"{like.channel.upper()}-{like.paid_on:%Y%m%d}-X{count:04d}",
            person=like.person,
            amount=like.amount,
            channel=like.channel,
            way=like.way,
            paid_on=like.paid_on,
            sent_on=like.sent_on,
            mishap=kind,
        )
        for count, (kind, like) in enumerate(zip(kinds, rng.sample(ordinary, len(kinds)), strict=True))
    ]
    return payments + wrong


def _nobodys_number(pack: Pack, seed: str, taken: frozenset[str]) -> str:
    """Return a member number right in form that no member has."""
    rng = Random(seed)
    while True:
        size = pack.number_digits - len(pack.number_prefix) - 1
        body = pack.number_prefix + "".join(rng.choice("0123456789") for _ in range(size))
        number = body + str(luhn.calc_check_digit(body))
        if number not in taken:
            return number
