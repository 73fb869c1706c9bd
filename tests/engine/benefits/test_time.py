"""Clocks, ages, waiting periods, statuses and reminders: every first and last day."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.benefits.errors import NoBenefitAge, StillWaiting
from engine.benefits.rules import (
    AccessCase,
    AccessRule,
    BenefitAgeRule,
    CoverCase,
    CoverRule,
    GuaranteePeriodRule,
    Paid,
    Pause,
    PensionRule,
    ReminderCase,
    ReminderRule,
    TimeLimitRule,
    UnclaimedRule,
    WaitingPeriodRule,
    benefit_start,
    check_waited,
    cover_on,
    deadline,
    enough_years,
    guaranteed_until,
    is_working,
    months_waited,
    next_reminder,
    opens_on,
    out_of_quiet_hours,
    payment_days,
    unclaimed_on,
)
from tests.engine.benefits.books import calendar_year, figures_in, july_year, rule_of

NAIROBI = ZoneInfo("Africa/Nairobi")
KES = figures_in("KES")
DAY = date(2020, 1, 1)
LIMIT = """
[[rule]]
kind = "time-limit"
id = "limit"
act = "pay"
starts = "claim"
count = COUNT
unit = "UNIT"
start_day_counts = START
rest_days = ["saturday", "sunday"]
closed_last_day = "CLOSED"
pauses = ["asked"]
consequence = "reported"
"""


def limit(count: int, unit: str, *, start: str = "false", closed: str = "stays") -> str:
    text = LIMIT.replace("COUNT", str(count)).replace("UNIT", unit).replace("START", start).replace("CLOSED", closed)
    return text.replace('pauses = ["asked"]\n', "") if unit == "hours" else text


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        pytest.param(limit(14, "calendar-days"), date(2020, 1, 16), id="fourteen days after the day of the claim"),
        pytest.param(limit(14, "calendar-days", start="true"), date(2020, 1, 15), id="that day counted"),
        pytest.param(limit(2, "working-days"), date(2020, 1, 6), id="two working days over a weekend"),
        pytest.param(limit(2, "working-days", start="true"), date(2020, 1, 3), id="that day counted as a working day"),
        pytest.param(limit(3, "calendar-days"), date(2020, 1, 5), id="a last day on a Sunday stays"),
        pytest.param(limit(3, "calendar-days", closed="moves-on"), date(2020, 1, 6), id="or moves on to Monday"),
        pytest.param(limit(1, "months"), date(2020, 2, 2), id="a month later"),
        pytest.param(limit(1, "months", start="true"), date(2020, 2, 1), id="a month with its first day"),
    ],
)
def test_the_last_day_from_a_thursday(rule: str, expected: date) -> None:
    started = datetime(2020, 1, 2, 23, 30, tzinfo=NAIROBI)
    assert deadline(rule_of(TimeLimitRule, rule), started, zone="Africa/Nairobi").last_day == expected


def test_days_are_counted_in_the_schemes_own_zone() -> None:
    late = datetime(2020, 1, 1, 22, 0, tzinfo=ZoneInfo("UTC"))  # 1 a.m. on the 2nd in Nairobi
    found = deadline(rule_of(TimeLimitRule, limit(1, "calendar-days")), late, zone="Africa/Nairobi")
    assert found.last_day == date(2020, 1, 3)


@pytest.mark.parametrize(
    ("pauses", "expected"),
    [
        pytest.param([], date(2020, 1, 12), id="without a pause"),
        pytest.param([Pause("asked", date(2020, 1, 5), date(2020, 1, 8))], date(2020, 1, 15), id="three days paused"),
        pytest.param([Pause("other", date(2020, 1, 5), date(2020, 1, 8))], date(2020, 1, 12), id="a reason that stops nothing"),
        pytest.param([Pause("asked", date(2020, 1, 13), date(2020, 1, 20))], date(2020, 1, 12), id="a pause after the end"),
        pytest.param([Pause("asked", date(2020, 1, 12), None)], None, id="a pause that lasts"),
    ],
)  # fmt: skip
def test_pauses_stop_the_clock(pauses: list[Pause], expected: date | None) -> None:
    started = datetime(2020, 1, 2, tzinfo=NAIROBI)
    found = deadline(rule_of(TimeLimitRule, limit(10, "calendar-days")), started, zone="Africa/Nairobi", pauses=pauses)
    assert found.last_day == expected
    assert not found.is_missed(datetime(2020, 1, 12, 23, 59, tzinfo=NAIROBI))


def test_a_term_of_months_is_moved_on_by_paused_days() -> None:
    found = deadline(
        rule_of(TimeLimitRule, limit(1, "months")),
        datetime(2020, 1, 2, tzinfo=NAIROBI),
        zone="Africa/Nairobi",
        pauses=[Pause("asked", date(2020, 1, 10), date(2020, 1, 20))],
    )
    assert found.last_day == date(2020, 2, 12)


@given(
    day=st.dates(DAY, date(2024, 12, 31)),
    count=st.integers(1, 60),
    closed=st.sets(st.dates(DAY, date(2025, 6, 1)), max_size=40),
)
def test_working_days_end_on_a_working_day_and_count_each_once(day: date, count: int, closed: set[date]) -> None:
    found = rule_of(TimeLimitRule, limit(count, "working-days"))
    started = datetime.combine(day, datetime.min.time(), NAIROBI)
    last = deadline(found, started, zone="Africa/Nairobi", holidays=closed).last_day
    assert last is not None
    between = [day + timedelta(days=number) for number in range(1, (last - day).days + 1)]
    assert sum(is_working(found.rule, one, closed) for one in between) == count
    assert is_working(found.rule, last, closed)


AGE = """
[[rule]]
kind = "benefit-age"
id = "age"
ages = [
  { sex = "male", years = 60 },
  { sex = "female", years = 55 },
  { sex = "female", born_from = 1975-01-01, years = 57 },
  { sex = "any", born_from = 1980-01-01, years = 60, months = 6 },
]
least_years = 10
counted_from = "first-contribution"
begins = "BEGINS"
leap_day = "28-february"
waived_on = ["ill-health"]
"""


@pytest.mark.parametrize(
    ("born", "sex", "begins", "expected"),
    [
        (date(1970, 5, 20), "male", "birthday", date(2030, 5, 20)),
        (date(1970, 5, 20), "female", "birthday", date(2025, 5, 20)),
        (date(1974, 12, 31), "female", "birthday", date(2029, 12, 31)),
        (date(1975, 1, 1), "female", "birthday", date(2032, 1, 1)),
        (date(1980, 1, 1), "female", "birthday", date(2040, 7, 1)),
        (date(1980, 1, 1), "other", "birthday", date(2040, 7, 1)),
        (date(1970, 5, 20), "male", "following-month", date(2030, 6, 1)),
        (date(1970, 5, 20), "male", "month-end", date(2030, 5, 31)),
        (date(1968, 2, 29), "male", "birthday", date(2028, 2, 29)),
        (date(1972, 2, 29), "female", "birthday", date(2027, 2, 28)),
    ],
)
def test_the_benefit_age_by_sex_and_cohort(born: date, sex: str, begins: str, expected: date) -> None:
    found = rule_of(BenefitAgeRule, AGE.replace("BEGINS", begins))
    assert benefit_start(found, born_on=born, sex=sex, counted_from=date(2000, 1, 1), on=DAY).day == expected


def test_the_later_of_the_age_and_ten_years() -> None:
    found = rule_of(BenefitAgeRule, AGE.replace("BEGINS", "birthday"))
    late = benefit_start(found, born_on=date(1960, 1, 1), sex="male", counted_from=date(2015, 3, 1), on=DAY)
    assert (late.day, late.reason) == (date(2025, 3, 1), "years-in-scheme")
    ill = benefit_start(
        found, born_on=date(1990, 1, 1), sex="male", counted_from=date(2019, 3, 1), on=DAY, ground="ill-health"
    )
    assert (ill.day, ill.reason) == (DAY, "ground")
    with pytest.raises(NoBenefitAge):
        benefit_start(found, born_on=date(1970, 1, 1), sex="other", counted_from=DAY, on=DAY)


WAIT = """
[[rule]]
kind = "waiting-period"
id = "wait"
benefits = ["health"]
months = 3
counts = "COUNTS"
REACHES
least_in_month = "100"
net_of_reversals = NET
"""
MONTHS = (
    Paid(date(2020, 1, 31), 100_00),
    Paid(date(2020, 2, 1), 60_00),
    Paid(date(2020, 2, 29), 40_00),
    Paid(date(2020, 3, 15), 100_00, is_reversed=True),
    Paid(date(2020, 4, 1), 100_00),
    Paid(date(2020, 5, 1), 100_00),
)


@pytest.mark.parametrize(
    ("counts", "reaches", "net", "on", "months"),
    [
        pytest.param("consecutive-months", "", "false", date(2020, 5, 2), 5, id="a row of five, reversals counted"),
        pytest.param("consecutive-months", "", "true", date(2020, 5, 2), 2, id="the longest row without the reversed month"),
        pytest.param("consecutive-months", "run_reaches_claim = true", "true", date(2020, 7, 1), 0, id="a row that ended"),
        pytest.param("consecutive-months", "run_reaches_claim = true", "true", date(2020, 6, 30), 2, id="a row to last month"),
        pytest.param("months-paid", "", "true", date(2020, 5, 2), 4, id="all paid months"),
        pytest.param("months-paid", "", "true", date(2020, 2, 28), 1, id="what is not paid yet does not count"),
    ],
)  # fmt: skip
def test_the_months_that_count(counts: str, reaches: str, net: str, on: date, months: int) -> None:
    text = WAIT.replace("COUNTS", counts).replace("REACHES", reaches).replace("NET", net)
    found = rule_of(WaitingPeriodRule, text)
    assert months_waited(found, MONTHS, joined_on=DAY, on=on, figures=KES) == months


def test_months_since_joining_need_no_payment() -> None:
    text = WAIT.replace("COUNTS", "months-since-joining").replace("REACHES", "").replace("NET", "false")
    found = rule_of(WaitingPeriodRule, text.replace('least_in_month = "100"\n', ""))
    months = months_waited(found, (), joined_on=date(2020, 1, 31), on=date(2020, 4, 30), figures=KES)
    check_waited(found, months)
    with pytest.raises(StillWaiting):
        check_waited(found, months - 1)


COVER = """
[[rule]]
kind = "cover"
id = "cover"
sums = { death = "1000" }
least_total = "100"
covers = "COVERS"
MONTHS
payer = "state"
net_of_reversals = true
"""


@pytest.mark.parametrize(
    ("covers", "months", "span"),
    [
        ("rest-of-year", "", (date(2020, 3, 1), date(2020, 7, 1))),
        ("next-year", "", (date(2020, 7, 1), date(2021, 7, 1))),
        ("months", "months = 3", (date(2020, 3, 1), date(2020, 6, 1))),
    ],
)
def test_the_span_of_a_cover_that_a_payment_reaches(covers: str, months: str, span: tuple[date, date]) -> None:
    found = rule_of(CoverRule, COVER.replace("COVERS", covers).replace("MONTHS", months))
    paid = (Paid(date(2019, 8, 1), 60_00), Paid(date(2020, 3, 1), 40_00), Paid(date(2020, 4, 1), 999_00))
    for day in (span[0] - timedelta(days=1), span[0], span[1] - timedelta(days=1), span[1]):
        cover = cover_on(found, CoverCase(day, paid, july_year), KES)
        assert cover.is_covered is (span[0] <= day < span[1])


def test_a_cover_for_months_begins_anew_in_the_next_year() -> None:
    found = rule_of(CoverRule, COVER.replace("COVERS", "months").replace("MONTHS", "months = 3"))
    paid = (Paid(date(2020, 3, 1), 100_00), Paid(date(2020, 8, 1), 100_00))
    cover = cover_on(found, CoverCase(date(2020, 9, 1), paid, july_year), KES)
    assert (cover.covered_from, cover.covered_until) == (date(2020, 8, 1), date(2020, 11, 1))


YEARS = """
[[rule]]
kind = "access"
id = "years"
order = { pots = ["open"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }
counted_from = "joining"
least_months = 6
least_years = 1
leap_day = "28-february"
paid_years = { years = 3, least = "100", in_a_row = ROW, net_of_reversals = true }
only_since_last = false
most_bp = 10000
share_of = "balance"
"""


@pytest.mark.parametrize(("row", "years"), [("true", 2), ("false", 3)])
def test_years_in_a_row_or_in_all(row: str, years: int) -> None:
    found = rule_of(AccessRule, YEARS.replace("ROW", row))
    paid = tuple(Paid(date(year, 6, 1), 100_00) for year in (2015, 2016, 2018))
    case = AccessCase(on=DAY, joined_on=date(2015, 1, 1), paid=paid)
    assert found.rule.paid_years is not None
    assert enough_years(found.rule.paid_years, case, KES, calendar_year) == years


def test_months_and_years_open_at_the_later_and_the_29th_of_february_has_its_anniversary() -> None:
    found = rule_of(AccessRule, YEARS.replace("ROW", "true"))
    assert opens_on(found.rule, AccessCase(on=DAY, joined_on=date(2016, 2, 29))) == date(2017, 2, 28)


PERIOD = """
[[rule]]
kind = "guarantee-period"
id = "period"
until_age = 75
years = 5
leap_day = "28-february"
payee = "nominees"
share_bp = 10000
rounding = "down"
"""


@pytest.mark.parametrize(
    ("started", "until"),
    [(date(2005, 1, 1), date(2025, 2, 28)), (date(2022, 1, 1), date(2027, 1, 1))],
    ids=["the birthday of 75", "five years, where that is later"],
)
def test_the_end_of_a_guarantee_period(started: date, until: date) -> None:
    assert (
        guaranteed_until(rule_of(GuaranteePeriodRule, PERIOD).rule, born_on=date(1950, 2, 28), started_on=started)
        == until
    )


CALENDAR = """
[[rule]]
kind = "pension"
id = "pension"
form = "fixed"
amount = "100"
every_months = EVERY
due = "DUE"
pay_day = "PAY"
rounding = "down"
"""


@pytest.mark.parametrize(
    ("every", "due", "pay", "days"),
    [
        ("1", "in-advance", "day-of-start", ["2020-01-31", "2020-02-29", "2020-03-31"]),
        ("2", "in-advance", "first-of-month", ["2020-01-01", "2020-03-01", "2020-05-01"]),
        ("3", "in-arrears", "last-of-month", ["2020-04-30", "2020-07-31", "2020-10-31"]),
        ("12", "in-arrears", "day-of-start", ["2021-01-31", "2022-01-31", "2023-01-31"]),
    ],
    ids=["monthly", "every second month", "quarterly in arrears", "yearly"],
)
def test_the_days_of_payment(every: str, due: str, pay: str, days: list[str]) -> None:
    text = CALENDAR.replace("EVERY", every).replace("DUE", due).replace("PAY", pay)
    found = payment_days(rule_of(PensionRule, text).rule, date(2020, 1, 31), 3)
    assert [day.isoformat() for day in found] == days


UNCLAIMED = """
[[rule]]
kind = "unclaimed"
id = "unclaimed"
counted_from = "last-activity"
dormant_years = 5
notice_days = 30
handed_over = "11-01"
handed_to = "authority"
leap_day = "28-february"
"""


@pytest.mark.parametrize(
    ("noticed", "handed"),
    [
        pytest.param(date(2025, 10, 2), date(2025, 11, 1), id="thirty days before"),
        pytest.param(date(2025, 10, 3), date(2026, 11, 1), id="twenty-nine days before is too late for this year"),
        pytest.param(date(2020, 1, 1), date(2025, 11, 1), id="an early notice hands nothing over before its time"),
    ],
)
def test_money_is_handed_over_after_its_notice(noticed: date, handed: date) -> None:
    found = rule_of(UnclaimedRule, UNCLAIMED)
    where = unclaimed_on(
        found, counted_from=date(2020, 2, 29), balance_minor=1, noticed_on=noticed, on=date(2025, 11, 1), figures=KES
    )
    assert where.presumed_on == date(2025, 2, 28)
    assert where.handed_over_on == handed
    assert (where.state == "to-be-handed-over") is (handed == date(2025, 11, 1))


REMINDER = """
[[rule]]
kind = "reminder"
id = "reminder"
trigger = "payment-due"
days_before = 3
send_at = "09:00"
quiet_from = "FROM"
quiet_until = "UNTIL"
channels = ["sms"]
language = "member"
template = "due"
most_times = 1
most_in_30_days = 2
"""


@pytest.mark.parametrize(
    ("quiet", "at", "expected"),
    [
        (("21:00", "07:00"), "20:59", "2020-01-01 20:59"),
        (("21:00", "07:00"), "21:00", "2020-01-02 07:00"),
        (("21:00", "07:00"), "06:59", "2020-01-01 07:00"),
        (("21:00", "07:00"), "07:00", "2020-01-01 07:00"),
        (("12:00", "14:00"), "12:00", "2020-01-01 14:00"),
        (("12:00", "14:00"), "14:00", "2020-01-01 14:00"),
        (("12:00", "14:00"), "11:59", "2020-01-01 11:59"),
    ],
)
def test_quiet_hours(quiet: tuple[str, str], at: str, expected: str) -> None:
    found = rule_of(ReminderRule, REMINDER.replace("FROM", quiet[0]).replace("UNTIL", quiet[1]))
    moved = out_of_quiet_hours(found.rule, datetime.fromisoformat(f"2020-01-01T{at}:00+03:00"))
    assert moved.strftime("%Y-%m-%d %H:%M") == expected


@given(minute=st.integers(0, 60 * 24 * 30))
def test_no_reminder_ever_goes_out_in_quiet_hours(minute: int) -> None:
    found = rule_of(ReminderRule, REMINDER.replace("FROM", "21:00").replace("UNTIL", "07:00"))
    case = ReminderCase(
        event_on=date(2020, 1, 15),
        is_settled=False,
        sent=(),
        sent_any=(),
        reachable_by=frozenset({"sms"}),
        language="sw",
        scheme_language="en",
    )
    now = datetime(2020, 1, 1, tzinfo=NAIROBI) + timedelta(minutes=minute)
    reminder = next_reminder(found, case, now)
    assert reminder.send_at is not None and now <= reminder.send_at
    assert 7 <= reminder.send_at.hour < 21
    assert reminder.language == "sw"
