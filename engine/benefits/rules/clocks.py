"""Legal clocks: by when something must be done, what stops the clock, and what follows if it is not. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import ClassVar, Literal
from zoneinfo import ZoneInfo

from engine.benefits.errors import NoSuchRule
from engine.benefits.rules.parameters import Count
from engine.funds.rules import Benchmark, Given, Movement, benchmark_interest, in_major
from engine.kernel.calendars import BusinessCalendar
from engine.kernel.months import months_after
from engine.kernel.rules import Rule
from engine.kernel.series import Figures
from engine.tenancy.errors import PackProblem
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.manifest import Code
from engine.tenancy.rules.packs import Pack
from engine.tenancy.rules.proving import ScenarioContext

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
_WEEKDAYS: tuple[Weekday, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DAY = timedelta(days=1)
CLAIM_ACTS = ("pay-withdrawal", "withdrawal-request")
"""The acts whose clock a claim of a benefit starts."""
REQUEST, COMPLETE = "request", "claim-complete"
"""What starts such a clock: that the claim was opened, or that its last document was there."""
DOCUMENT_ASKED = "document-asked"
"""The pause of such a clock for as long as documents are missing."""
_LONGEST_CLOCK = timedelta(days=800)


class TimeLimitRule(Rule, tag="time-limit", frozen=True, kw_only=True):
    """By when the law wants something done (W12).

    NPS-Lite (change of details within T+5 working days), Nigeria (the custodian's notice within 24 hours; a draft's two
    working days for a withdrawal) and SmartLife (an answer within three days) need it. The clock starts with the event
    `starts`: for the acts of claims, the request or the complete claim. The day of the start counts or not. Whole days during which one of `pauses` lasts do not count; hours do not
    pause. "working-days" leaves out `rest_days` and the scheme's holidays; a last calendar day or month end on one of those
    stays or moves on to the next working day. If the deadline passes, the matter is reported, taken as granted or as
    refused, or `interest` is owed from the day after it.
    """

    many: ClassVar[bool] = True
    one_for: ClassVar[tuple[str, ...]] = ("act",)
    act: Code
    starts: Code
    count: Count
    unit: Literal["hours", "calendar-days", "working-days", "months"]
    start_day_counts: bool
    rest_days: tuple[Weekday, ...]
    closed_last_day: Literal["stays", "moves-on"]
    pauses: tuple[Code, ...] = ()
    consequence: Literal["reported", "granted", "refused", "interest"]
    interest: Benchmark | None = None

    def __post_init__(self) -> None:
        """Check that hours do not pause and interest has a rate."""
        if self.unit == "hours" and (self.pauses or self.start_day_counts):
            raise ValueError("hours run on: no pauses, and no first day that counts")
        if (self.consequence == "interest") != (self.interest is not None):
            raise ValueError('consequence = "interest" needs the table interest, and that needs it')


@dataclass(frozen=True, slots=True)
class Pause:
    """Days on which a reason stopped the clock: from its first day up to and without `until` (None: it still lasts)."""

    reason: str
    since: date
    until: date | None


@dataclass(frozen=True, slots=True)
class Deadline:
    """Until when: the last day on which the act is in time, and for hours the instant; None while the clock stands."""

    last_day: date | None
    instant: datetime | None
    consequence: str
    rules: tuple[str, ...]

    def is_missed(self, now: datetime) -> bool:
        """Return whether the deadline has passed at an instant in the scheme's own time."""
        if self.instant is not None:
            return now > self.instant
        return self.last_day is not None and now.date() > self.last_day


def deadline(
    found: InForce[TimeLimitRule],
    started_at: datetime,
    *,
    zone: str,
    pauses: Sequence[Pause] = (),
    holidays: Collection[date] = (),
) -> Deadline:
    """Return by when an act is due.

    Args:
        found: the rule.
        started_at: the instant at which the clock started, aware.
        zone: the scheme's time zone, by which days are counted.
        pauses: what stopped the clock; reasons that the rule does not name do not stop it.
        holidays: days that are not working days beside the rule's rest days.

    """
    rule = found.rule
    local = started_at.astimezone(ZoneInfo(zone))
    if rule.unit == "hours":
        instant = started_at + timedelta(hours=rule.count)
        return Deadline(instant.astimezone(ZoneInfo(zone)).date(), instant, rule.consequence, (found.ref,))
    stops = [one for one in pauses if one.reason in rule.pauses]
    last = _last_day(rule, local.date(), stops, holidays)
    return Deadline(last, None, rule.consequence, (found.ref,))


def claim_due(
    limits: Sequence[InForce[TimeLimitRule]],
    *,
    opened_on: date,
    completed_at: datetime,
    zone: str,
    calendar: BusinessCalendar,
) -> tuple[Deadline, InForce[TimeLimitRule]] | None:
    """Return by when a complete claim must be paid, and the rule that says so; None where none does.

    A clock that the request starts runs from the beginning of that day, or from the claim's completion on it; where the rule
    pauses for documents, the days on which they were missing do not count.

    Args:
        limits: the time limits in force.
        opened_on: the day on which the claim was opened.
        completed_at: when nothing was missing any more, aware.
        zone: the scheme's time zone.
        calendar: its business days.

    """
    found = next((one for one in limits if one.rule.act in CLAIM_ACTS), None)
    if found is None:
        return None
    completed_on = completed_at.astimezone(ZoneInfo(zone)).date()
    started_at, pauses = completed_at, list[Pause]()
    if found.rule.starts == REQUEST and opened_on < completed_on:
        started_at = datetime.combine(opened_on, time(), ZoneInfo(zone))
        pauses.append(Pause(DOCUMENT_ASKED, opened_on, completed_on))
    first = started_at.astimezone(ZoneInfo(zone)).date()
    days = (first + timedelta(days=n) for n in range(_LONGEST_CLOCK.days))
    holidays = frozenset(day for day in days if not calendar.is_open(day))
    return deadline(found, started_at, zone=zone, pauses=pauses, holidays=holidays), found


def clock_problems(pack: Pack) -> list[PackProblem]:
    """Return each time limit of claims whose clock nothing starts."""
    return [
        PackProblem(
            f"{product}/rules/{version.page or version.effective_from.isoformat()}.toml",
            f"{rule.id}.starts",
            f'{rule.starts} starts no clock of {rule.act}: say "{REQUEST}" or "{COMPLETE}"',
        )
        for product, book in pack.books.items()
        for version in book.versions()
        if isinstance(rule := version.rule, TimeLimitRule)
        and rule.act in CLAIM_ACTS
        and rule.starts not in (REQUEST, COMPLETE)
    ]


def late_interest(found: InForce[TimeLimitRule], minor: int, due: Deadline, paid_on: date, figures: Figures) -> int:
    """Return the interest owed on money that was paid late, smallest units; 0 in time, or where none is owed.

    Raises:
        SeriesValueMissing: the rate is not known.
    """
    if found.rule.interest is None or due.last_day is None or paid_on <= due.last_day:
        return 0
    return benchmark_interest(found.rule.interest, (Movement(due.last_day + DAY, minor),), paid_on, figures)


def is_working(rule: TimeLimitRule, day: date, holidays: Collection[date]) -> bool:
    """Return whether a day is a working day."""
    return _WEEKDAYS[day.weekday()] not in rule.rest_days and day not in holidays


def _last_day(rule: TimeLimitRule, start: date, stops: Sequence[Pause], holidays: Collection[date]) -> date | None:
    if rule.unit == "months":
        end = _extended(months_after(start, rule.count) - (DAY if rule.start_day_counts else timedelta()), stops)
    else:
        end = _counted(rule, start, stops, holidays)
    while end is not None and rule.closed_last_day == "moves-on" and not is_working(rule, end, holidays):
        end += DAY
    return end


def _counted(rule: TimeLimitRule, start: date, stops: Sequence[Pause], holidays: Collection[date]) -> date | None:
    """Return the day on which the last of `count` days falls, or None where a pause without end comes first."""
    day = start if rule.start_day_counts else start + DAY
    left = rule.count
    while True:
        stop = next((one for one in stops if one.since <= day and (one.until is None or day < one.until)), None)
        if stop is not None:
            if stop.until is None:
                return None
            day = stop.until
            continue
        if rule.unit == "calendar-days" or is_working(rule, day, holidays):
            left -= 1
        if left == 0:
            return day
        day += DAY


def _extended(end: date, stops: Sequence[Pause]) -> date | None:
    """Return the end of a term of months, moved on by every paused day before it."""
    for one in sorted(stops, key=lambda stop: stop.since):
        if one.since <= end:
            if one.until is None:
                return None
            end += one.until - one.since
    return end


def run_time_limit(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of a legal clock for an `act`.

    Given when it `started` (an instant, or a date at midnight), `pauses = [{ reason, since, until }]`, `holidays`, and when it
    was `done`, and the `amount` to be paid, returns `interest`, `last_day`, `instant`, `missed` and `consequence` ("" while in time).

    Raises:
        NoSuchRule: no time limit is set for the act.
    """
    given, zone = Given.of(context), context.pack.time_zone
    found = next((one for one in context.rules(TimeLimitRule) if one.rule.act == given.text("act")), None)
    if found is None:
        raise NoSuchRule(rule=given.text("act"))
    pauses = [Pause(one.text("reason"), one.day("since"), one.maybe_day("until")) for one in given.rows("pauses")]
    due = deadline(found, _instant(given, "started", zone), zone=zone, pauses=pauses, holidays=given.days("holidays"))
    done = _instant(given, "done", zone)
    if due.instant is not None:
        context.compare(found, "count", int(done.timestamp()), int(due.instant.timestamp()))
    elif due.last_day is not None:
        context.compare(found, "count", done.date().toordinal(), due.last_day.toordinal())
    is_missed = due.is_missed(done)
    owed = late_interest(found, given.minor("amount", 0), due, done.date(), context.figures)
    return {
        "interest": in_major(owed, context.asset),
        "last_day": "" if due.last_day is None else due.last_day.isoformat(),
        "instant": "" if due.instant is None else due.instant.isoformat(),
        "missed": str(is_missed).lower(),
        "consequence": due.consequence if is_missed else "",
    }


def _instant(given: Given, name: str, zone: str) -> datetime:
    value = given.values.get(name)
    if isinstance(value, datetime):
        return value.astimezone(ZoneInfo(zone))
    return datetime.combine(given.day(name), time(), ZoneInfo(zone))
