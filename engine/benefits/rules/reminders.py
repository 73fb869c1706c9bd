"""When a member is reminded, by which channel, in which language, and never at night. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated, ClassVar, Literal
from zoneinfo import ZoneInfo

from msgspec import Meta

from engine.benefits.errors import NoSuchRule
from engine.benefits.rules.parameters import ClockTime, Count, Days
from engine.funds.rules import Given
from engine.kernel.rules import BY_EVENT, AppliesBy, Rule
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.manifest import Code
from engine.tenancy.rules.proving import ScenarioContext


class ReminderRule(Rule, tag="reminder", frozen=True, kw_only=True):
    """A message that a trigger sends (D4): every scheme needs some.

    It is sent `days_before` a coming event (a due date, a birthday, the end of the scheme year) or `days_after` a past one (a
    missed payment, the last contribution, a change of status), at `send_at` in the scheme's time; never between
    `quiet_from` and `quiet_until`, but at the end of these hours. The first of `channels` that the member has is used, in
    the member's language or the scheme's first. It is repeated every `repeat_days`, `most_times` in all, unless what it
    waits for has happened; and a member gets no more than `most_in_30_days` of all reminders.
    """

    many: ClassVar[bool] = True
    may_apply_by: ClassVar[tuple[AppliesBy, ...]] = BY_EVENT
    trigger: Literal[
        "payment-due", "payment-missed", "no-contribution", "target-near", "year-end", "birthday", "status-changed",
        "benefit-age-near", "document-expires",
    ]  # fmt: skip
    days_before: Days | None = None
    days_after: Days | None = None
    send_at: ClockTime
    quiet_from: ClockTime
    quiet_until: ClockTime
    channels: Annotated[tuple[Code, ...], Meta(min_length=1)]
    language: Literal["member", "scheme"]
    template: Code
    repeat_days: Count | None = None
    most_times: Count
    most_in_30_days: Count

    def __post_init__(self) -> None:
        """Check that the day is said once, and what is repeated has its rhythm."""
        if (self.days_before is None) == (self.days_after is None):
            raise ValueError("say days_before or days_after")
        if (self.most_times > 1) != (self.repeat_days is not None):
            raise ValueError("most_times above 1 needs repeat_days, and that needs it")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReminderCase:
    """Whom to remind: the day of the event, what they were sent before, and how they may be reached.

    `sent` are days of this reminder for this event; `sent_any` those of all reminders to the member.
    """

    event_on: date
    is_settled: bool
    sent: tuple[date, ...]
    sent_any: tuple[date, ...]
    reachable_by: frozenset[str]
    language: str
    scheme_language: str


@dataclass(frozen=True, slots=True)
class Reminder:
    """When a reminder goes out next, how, and in which language; without an instant where none does, and why."""

    send_at: datetime | None
    channel: str
    language: str
    template: str
    reason: Literal["", "settled", "sent-often-enough", "no-channel", "enough-this-month"]
    rules: tuple[str, ...]


def next_reminder(found: InForce[ReminderRule], case: ReminderCase, now: datetime) -> Reminder:
    """Return the next reminder at or after `now`, an aware instant in the scheme's time zone."""
    rule = found.rule

    def none(reason: Literal["settled", "sent-often-enough", "no-channel", "enough-this-month"]) -> Reminder:
        return Reminder(None, "", "", rule.template, reason, (found.ref,))

    if case.is_settled:
        return none("settled")
    if len(case.sent) >= rule.most_times:
        return none("sent-often-enough")
    channel = next((one for one in rule.channels if one in case.reachable_by), None)
    if channel is None:
        return none("no-channel")
    at = out_of_quiet_hours(rule, max(_at(rule, _due_day(rule, case), now), now))
    recent = [day for day in case.sent_any if at.date() - timedelta(days=30) < day <= at.date()]
    if len(recent) >= rule.most_in_30_days:
        return none("enough-this-month")
    language = case.language if rule.language == "member" and case.language else case.scheme_language
    return Reminder(at, channel, language, rule.template, "", (found.ref,))


def out_of_quiet_hours(rule: ReminderRule, at: datetime) -> datetime:
    """Return the instant itself, or the end of the quiet hours that it lies in; these may pass midnight."""
    start, end = time.fromisoformat(rule.quiet_from), time.fromisoformat(rule.quiet_until)
    clock = at.time().replace(tzinfo=None)
    if start <= end:
        return datetime.combine(at.date(), end, at.tzinfo) if start <= clock < end else at
    if clock >= start:
        return datetime.combine(at.date() + timedelta(days=1), end, at.tzinfo)
    return datetime.combine(at.date(), end, at.tzinfo) if clock < end else at


def _due_day(rule: ReminderRule, case: ReminderCase) -> date:
    if case.sent and rule.repeat_days is not None:
        return max(case.sent) + timedelta(days=rule.repeat_days)
    if rule.days_before is not None:
        return case.event_on - timedelta(days=rule.days_before)
    return case.event_on + timedelta(days=rule.days_after or 0)


def _at(rule: ReminderRule, day: date, now: datetime) -> datetime:
    return datetime.combine(day, time.fromisoformat(rule.send_at), now.tzinfo)


def run_reminder(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of a `reminder`.

    Given `now`, `event_on`, `settled`, the days it was `sent` and any was (`sent_any`), the `channels` the member has and
    their `language`, returns `send_at`, `channel`, `language`, `template` and `reason`.

    Raises:
        NoSuchRule: there is no such reminder.
    """
    given = Given.of(context)
    found = next((one for one in context.rules(ReminderRule) if one.rule.id == given.text("reminder")), None)
    if found is None:
        raise NoSuchRule(rule=given.text("reminder"))
    sent = given.days("sent")
    case = ReminderCase(
        event_on=given.day("event_on"),
        is_settled=given.flag("settled"),
        sent=sent,
        sent_any=_all(given.days("sent_any"), sent),
        reachable_by=frozenset(given.texts("channels")),
        language=given.text("language", ""),
        scheme_language=context.pack.languages[0],
    )
    now = given.instant("now").astimezone(ZoneInfo(context.pack.time_zone))
    context.compare(found, "most_times", len(sent), found.rule.most_times)
    for name in ("quiet_from", "quiet_until"):
        at = time.fromisoformat(getattr(found.rule, name))
        context.compare(found, name, now.hour * 60 + now.minute, at.hour * 60 + at.minute)
    reminder = next_reminder(found, case, now)
    return {
        "send_at": "" if reminder.send_at is None else reminder.send_at.isoformat(),
        "channel": reminder.channel,
        "language": reminder.language,
        "template": reminder.template,
        "reason": reminder.reason,
    }


def _all(*days: Sequence[date]) -> tuple[date, ...]:
    return tuple(day for some in days for day in some)
