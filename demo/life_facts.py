"""What a member does in a life, by a pack's `life.toml`: strictly decoded, with the days it comes to."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_DOWN, Decimal
from itertools import takewhile

import msgspec
from msgspec import Struct

from demo.scenario import DemoInvalid, Pack, load_packs
from engine.runtime.settings import Settings

FILE = "demo/life.toml"
_PRICE = Decimal("0.0001")


class Change(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The member chooses another pension."""

    on: date
    slab: str


class Missed(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Months, by their first day, whose instalments were paid on one day of the last of them, with what lateness costs."""

    months: tuple[date, ...]
    caught_up_on: date


class Fund(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A fund's price every half-year: the first, then each the one before and `half_year_bp`, to four decimals, down."""

    code: str
    name: str
    manager: str
    manager_name: str
    first_price: str
    half_year_bp: int

    def price(self, number: int) -> Decimal:
        """Return price number `number`, from 0."""
        found = Decimal(self.first_price)
        for _ in range(number):
            found = (found * (10_000 + self.half_year_bp) / 10_000).quantize(_PRICE, ROUND_DOWN)
        return found


class Facts(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a pack's `life.toml` says: who the member is, what they do, and when."""

    full_name: str
    sex: str
    born_on: date
    language: str
    nominee: str
    channel: str
    frequency: str
    slab: str
    joins_on: date
    pay_day: int
    first_pay_day: int
    years: int
    retires_on: date
    payroll_day: int
    died_on: date
    reported_on: date
    spouse: str
    spouse_died_on: date
    spouse_reported_on: date
    seen_on: tuple[date, ...] = ()
    change: tuple[Change, ...] = ()
    missed: tuple[Missed, ...] = ()
    fund: tuple[Fund, ...]


@dataclass(frozen=True, slots=True)
class Payment:
    """What the member pays on a day: the instalments of so many months."""

    paid_on: date
    months: int


def payments_of(facts: Facts) -> list[Payment]:
    """Return the payments of a life, the oldest first."""
    ends = months_later(facts.joins_on, 12 * facts.years).replace(day=1)
    late = [one for one in facts.missed if one.caught_up_on < ends]
    missed = {month for one in late for month in one.months}
    found = [Payment(one.caught_up_on, len(one.months)) for one in late]
    month = first = facts.joins_on.replace(day=1)
    while month < ends:
        if month not in missed:
            found.append(Payment(month.replace(day=facts.first_pay_day if month == first else facts.pay_day), 1))
        month = months_later(month, 1)
    return sorted(found, key=lambda one: one.paid_on)


def dealing_days(facts: Facts, ends: date) -> list[date]:
    """Return the days on which the life's money is dealt: a Monday to Thursday of late March and late September.

    The last one is the first after the day on which instalments end.
    """
    days = (date(year, month, 25) for year in range(facts.joins_on.year, ends.year + 2) for month in (3, 9))
    found = [day - timedelta(days=max(0, day.weekday() - 3)) for day in days]
    last = next(day for day in found if day > ends)
    return [day for day in found if facts.joins_on < day <= last]


def payroll_days(facts: Facts) -> list[date]:
    """Return the days on which pensions are paid: of each month from retirement until the spouse's death is reported."""
    first = facts.retires_on.replace(day=1)
    days = (months_later(first, months).replace(day=facts.payroll_day) for months in range(1_000))
    return [day for day in takewhile(lambda one: one < facts.spouse_reported_on, days) if day >= facts.retires_on]


def read_life(settings: Settings, code: str) -> tuple[Pack, Facts]:
    """Return a pack and the facts of its life.

    Raises:
        DemoInvalid: there is no such pack, or it has no life, or one that cannot be read.
    """
    found = next((one for one in load_packs(settings.packs) if one.code == code), None)
    if found is None or not (found.folder / FILE).is_file():
        raise DemoInvalid(f"no pack {code} with a {FILE}")
    try:
        return found, msgspec.toml.decode((found.folder / FILE).read_bytes(), type=Facts)
    except msgspec.DecodeError as error:
        raise DemoInvalid(f"{found.folder / FILE}: {error}") from None


def months_later(day: date, months: int) -> date:
    """Return the same day of a later month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return day.replace(year=year, month=month + 1)
