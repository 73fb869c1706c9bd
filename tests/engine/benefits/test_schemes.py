"""What seven schemes say of benefits, in rules as their packs would write them, against the figures they published."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from engine.benefits.errors import (
    AboveLoanCeiling,
    AccessNotYet,
    BeforeBenefitAge,
    HistoryTooShort,
    LumpSumOutOfRange,
    NoMoreWithdrawals,
    OptionNotOpen,
    RestTooSmall,
    WithdrawnTooOften,
)
from engine.benefits.rules import (
    AccessCase,
    AccessRule,
    BenefitAgeRule,
    CorpusRule,
    CoverCase,
    CoverRule,
    EarlyExitRule,
    ExitTaxRule,
    FeeCapRule,
    FeeCase,
    FeeRule,
    LoanCase,
    LoanRule,
    OriginMoney,
    Paid,
    PensionCase,
    PensionRule,
    ProofRule,
    RetirementOptionRule,
    SpouseRule,
    StatusLadderRule,
    TimeLimitRule,
    Tranche,
    accessible,
    benefit_start,
    check_benefit_age,
    check_loan,
    cover_on,
    deadline,
    dispose_corpus,
    exit_rule,
    fee_due,
    leave,
    payment_days,
    pension_payment,
    plan_retirement,
    proof_of,
    spouse_entitlement,
    status_on,
    withdraw,
    withhold,
)
from engine.funds.rules import Movement
from engine.kernel.amounts import Asset
from engine.kernel.rules import Dates
from engine.kernel.series import Series, SeriesPoint
from engine.kernel.tables import LookupTable
from tests.engine.benefits.books import (
    book_of,
    calendar_year,
    figures_in,
    held,
    july_year,
    problems_of,
    rule_of,
    rules_of,
)

RWF, INR, KES, GHS, NGN = (figures_in(one) for one in ("RWF", "INR", "KES", "GHS", "NGN"))
DAY = date(2020, 1, 1)

# -- EjoHeza, Rwanda: no decimals

EJOHEZA = """
[[rule]]
kind = "benefit-age"
id = "age"
ages = [{ sex = "any", years = 55 }]
counted_from = "joining"
begins = "birthday"
leap_day = "1-march"

[[rule]]
kind = "cover"
id = "cover"
sums = { life = "1000000", funeral = "250000" }
least_total_by_class = { category-1 = "15000", category-2 = "15000", category-3 = "18000", category-4 = "72000" }
covers = "next-year"
payer = "state"
net_of_reversals = true

[[rule]]
kind = "retirement-option"
id = "pension"
grounds = ["retirement"]
order = { pots = ["savings"], pots_by = "in-order", origins = ["own", "state-match"], origins_by = "in-order" }
from_balance = "4000000"
least_lump_bp = 2500
most_lump_bp = 2500
lump_rounding = "down"
rest = "instalments"
[rule.instalments]
least_years = 20
most_years = 20
every_months = 1
amount = "fixed"
indexed_by = "inflation"
unpaid_earns = false
first_due = "at-once"
rounding = "down"

[[rule]]
kind = "retirement-option"
id = "full-lump-sum"
grounds = ["retirement"]
order = { pots = ["savings"], pots_by = "in-order", origins = ["own", "state-match"], origins_by = "in-order" }
below_balance = "4000000"
least_lump_bp = 10000
most_lump_bp = 10000
lump_rounding = "down"
rest = "none"

[[rule]]
kind = "retirement-option"
id = "proposal-of-2026"
grounds = ["retirement"]
order = { pots = ["savings"], pots_by = "in-order", origins = ["own", "state-match"], origins_by = "in-order" }
from_balance = "2000000"
least_lump_bp = 2500
most_lump_bp = 10000
lump_rounding = "down"
rest = "instalments"
least_periodic = "5000"
[rule.instalments]
least_years = 20
most_years = 20
every_months = 1
amount = "fixed"
unpaid_earns = true
first_due = "at-once"
rounding = "down"

[[rule]]
kind = "loan"
id = "collateral"
form = "pledge"
base = { pots = ["savings"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }
ceiling_bp = 4000
least_months_in_scheme = 0
one_at_a_time = true
schedule = "at-end"
interest_on = "flat"
every_months = 1
most_instalments = 60
repaid_to = "lender"
interest_to = "lender"
repays_first = "interest"
default_after_months = 3
on_default = "report"
rounding = "half-up"
"""
OPTIONS = rules_of(RetirementOptionRule, EJOHEZA)


@pytest.mark.parametrize(
    ("category", "saved", "is_covered"),
    [
        ("category-1", 14_999, False),
        ("category-1", 15_000, True),
        ("category-2", 20_000, True),
        ("category-3", 17_999, False),
        ("category-3", 18_000, True),
        ("category-4", 71_999, False),
        ("category-4", 72_000, True),
    ],
)
def test_ejoheza_covers_the_year_after_the_minimum_was_saved(category: str, saved: int, is_covered: bool) -> None:
    rule = rule_of(CoverRule, EJOHEZA)
    paid = (Paid(date(2019, 8, 1), saved // 2), Paid(date(2020, 5, 1), saved - saved // 2))
    for day, covered in ((date(2020, 6, 30), False), (date(2020, 7, 1), is_covered), (date(2021, 6, 30), is_covered)):
        cover = cover_on(rule, CoverCase(day, paid, july_year, category), RWF)
        assert cover.is_covered is covered
        assert cover.sums_minor == ({"life": 1_000_000, "funeral": 250_000} if covered else {})


def test_ejoheza_pays_a_quarter_and_240_instalments_from_four_million_on() -> None:
    plan = plan_retirement(OPTIONS["pension"], 4_000_000, RWF, on=DAY, ground="retirement", lump_bp=2500, years=20)
    assert (plan.lump_minor, plan.rest_minor, plan.instalments, plan.instalment_minor) == (
        1_000_000,
        3_000_000,
        240,
        12_500,
    )
    with pytest.raises(OptionNotOpen):
        plan_retirement(OPTIONS["pension"], 3_999_999, RWF, on=DAY, ground="retirement", lump_bp=2500, years=20)
    with pytest.raises(LumpSumOutOfRange):
        plan_retirement(OPTIONS["pension"], 4_000_000, RWF, on=DAY, ground="retirement", lump_bp=2600, years=20)
    all_of_it = plan_retirement(OPTIONS["full-lump-sum"], 3_999_999, RWF, on=DAY, ground="retirement", lump_bp=10_000)
    assert (all_of_it.lump_minor, all_of_it.rest_minor) == (3_999_999, 0)


def test_ejohezas_proposal_of_2026_allows_more_at_once_if_the_rest_supports_a_pension() -> None:
    option = OPTIONS["proposal-of-2026"]
    plan = plan_retirement(option, 2_000_000, RWF, on=DAY, ground="retirement", lump_bp=4000, years=20)
    assert (plan.lump_minor, plan.instalment_minor) == (800_000, 5_000)
    with pytest.raises(RestTooSmall):
        plan_retirement(option, 2_000_000, RWF, on=DAY, ground="retirement", lump_bp=4001, years=20)


def test_ejoheza_opens_at_55() -> None:
    found = rule_of(BenefitAgeRule, EJOHEZA)
    start = benefit_start(found, born_on=date(1965, 2, 28), sex="male", counted_from=DAY, on=date(2020, 2, 27))
    assert start.day == date(2020, 2, 28)
    with pytest.raises(BeforeBenefitAge):
        check_benefit_age(start, date(2020, 2, 27))


def test_ejohezas_collateral_is_two_fifths_of_own_money() -> None:
    found = rule_of(LoanRule, EJOHEZA)
    case = LoanCase(
        on=DAY,
        joined_on=DAY,
        holdings=held(("savings", "own", 100_001), ("savings", "state-match", 18_000)),
        lender_percent="16",
    )
    check_loan(found, 40_000, 12, case, RWF)
    with pytest.raises(AboveLoanCeiling):
        check_loan(found, 40_001, 12, case, RWF)


# -- Atal Pension Yojana and PM-SYM, India

APY = """
[[rule]]
kind = "pension"
id = "pension"
form = "by-table"
table = "apy"
column = "pension"
corpus_column = "corpus"
every_months = 1
due = "in-advance"
pay_day = "day-of-start"
rounding = "half-up"

[[rule]]
kind = "spouse-continuation"
id = "spouse"
pension_bp = 10000
rounding = "half-up"
before_benefit = ["contribute-on", "exit"]
contributes_until_age = 60
leap_day = "1-march"

[[rule]]
kind = "corpus"
id = "corpus"
after = "member-and-spouse"
to = "nominees"
without_nominee = "heirs"
table = "apy"
column = "corpus"
above_table = "same"
tops_up = "state"

[[rule]]
kind = "early-exit"
id = "exit"
ground = "voluntary"
from_years = 0
counted_from = "joining"
leap_day = "1-march"
pays = ["own"]
income = "fund"
forfeited_to = "state"

[[rule]]
kind = "status-ladder"
id = "old-ladder"
counted_from = "first-missed-due"
first_status = "active"
steps = [
  { status = "frozen", after_months = 6 },
  { status = "deactivated", after_months = 12 },
  { status = "closed", after_months = 24 },
]

[[rule]]
kind = "fee"
id = "opening"
charged = "opening"
payee = "recordkeeper"
amount = "15.00"
part_period = "whole"
taken_from = "contribution"
rank = 1
when_short = "refuse"
rounding = "half-up"

[[rule]]
kind = "fee"
id = "annual"
charged = "year"
payee = "recordkeeper"
amount = "15.00"
waived_up_to = "0"
part_period = "whole"
taken_from = "units"
order = { pots = ["pension"], pots_by = "in-order", origins = ["own", "state-match"], origins_by = "in-order" }
rank = 2
when_short = "take-what-is-there"
rounding = "half-up"

[[rule]]
kind = "fee-cap"
id = "cap"
fees = ["annual"]
per = "scheme-year"
table = "cra"
column = "annual"
"""
AMENDED = """
[[rule]]
kind = "status-ladder"
id = "amended-ladder"
counted_from = "first-missed-due"
first_status = "active"
steps = [
  { status = "deactivated", after_months = 12, net_balance_up_to = "0" },
  { status = "closed", after_months = 24, net_balance_up_to = "0" },
]
net_of = ["state-match"]
"""
APY_TABLE = LookupTable(
    "apy",
    ("slab",),
    {
        (f"{slab}",): {"pension": f"{slab}.00", "corpus": f"{lakh}0000.00"}
        for slab, lakh in ((1000, 17), (2000, 34), (3000, 51), (4000, 68), (5000, 85))
    },
)


@pytest.mark.parametrize(("slab", "corpus"), [(1000, 170_000), (2000, 340_000), (3000, 510_000), (5000, 850_000)])
def test_apy_pays_the_slab_to_member_and_spouse_and_the_corpus_to_nominees(slab: int, corpus: int) -> None:
    case = PensionCase(on=DAY, started_on=DAY, keys={"slab": str(slab)})
    pension = pension_payment(rule_of(PensionRule, APY), case, INR, {"apy": APY_TABLE})
    assert pension.paid_minor == slab * 100
    spouse = spouse_entitlement(
        rule_of(SpouseRule, APY), born_on=date(1950, 1, 1), died_on=DAY, pension_minor=pension.paid_minor
    )
    assert spouse.pension_minor == slab * 100
    left = dispose_corpus(
        rule_of(CorpusRule, APY),
        corpus * 100 - 1,
        [("nominee", 10_000)],
        keys={"slab": str(slab)},
        tables={"apy": APY_TABLE},
        asset=INR.asset,
    )
    assert left.parts == (("nominee", corpus * 100),)
    assert (left.top_up_minor, left.topped_up_by) == (1, "state")


def test_apy_raises_the_pension_where_the_fund_returned_more() -> None:
    case = PensionCase(on=DAY, started_on=DAY, keys={"slab": "1000"}, balance_minor=187_000_00)
    assert pension_payment(rule_of(PensionRule, APY), case, INR, {"apy": APY_TABLE}).paid_minor == 1_100_00


def test_apys_spouse_may_contribute_until_the_member_would_have_been_60() -> None:
    found = rule_of(SpouseRule, APY)
    early = spouse_entitlement(found, born_on=date(1980, 2, 29), died_on=DAY, pension_minor=None)
    assert (early.choices, early.contributes_until) == (("contribute-on", "exit"), date(2040, 2, 29))


def test_apy_gives_a_leaver_own_money_with_its_income_and_forfeits_the_states() -> None:
    money = [
        OriginMoney("own", (Movement(date(2016, 1, 1), 50_400),), 61_234),
        OriginMoney("state-match", (Movement(date(2016, 6, 1), 25_200),), 30_001),
    ]
    found = exit_rule([rule_of(EarlyExitRule, APY)], ground="voluntary", joined_on=DAY, first_paid_on=DAY, on=DAY)
    left = leave(found, money, DAY, INR)
    assert (left.contributions_minor, left.income_minor, left.forfeited_minor) == (50_400, 10_834, 30_001)


@pytest.mark.parametrize(
    ("day", "status"),
    [
        (date(2020, 6, 30), "active"),
        (date(2020, 7, 1), "frozen"),
        (date(2021, 1, 1), "deactivated"),
        (date(2022, 1, 1), "closed"),
    ],
)
def test_apys_old_ladder(day: date, status: str) -> None:
    found = rule_of(StatusLadderRule, APY)
    assert status_on(found, counted_from=DAY, holdings=(), on=day, figures=INR).status == status


def test_apy_as_amended_closes_nobody_whose_own_money_is_not_used_up() -> None:
    found, late = rule_of(StatusLadderRule, AMENDED), date(2022, 1, 1)
    with_money = held(("pension", "own", 1), ("pension", "state-match", 100_000))
    without = held(("pension", "own", 0), ("pension", "state-match", 100_000))
    assert status_on(found, counted_from=DAY, holdings=with_money, on=late, figures=INR).status == "active"
    assert status_on(found, counted_from=DAY, holdings=without, on=late, figures=INR).status == "closed"


@pytest.mark.parametrize(
    ("agency", "cap"), [("protean", 15_00), ("kfintech", 14_40), ("cams", 15_00)], ids=["20", "14.40", "16.25"]
)
def test_the_recordkeepers_fee_is_capped_by_agency(agency: str, cap: int) -> None:
    caps = LookupTable(
        "cra", ("agency",), {("protean",): {"annual": "20"}, ("kfintech",): {"annual": "14.40"}, ("cams",): {"annual": "16.25"}}
    )  # fmt: skip
    book = book_of(APY)
    fees = {one.rule.id: one for one in book.all_in_force(FeeRule, Dates(on=DAY))}
    case = FeeCase(on=DAY, joined_on=DAY, assets_minor=1, keys={"agency": agency})
    due = fee_due(fees["annual"], case, INR, caps=book.all_in_force(FeeCapRule, Dates(on=DAY)), tables={"cra": caps})
    assert due.minor == cap
    empty = FeeCase(on=DAY, joined_on=DAY, assets_minor=0)
    assert fee_due(fees["annual"], empty, INR).reason == "small-balance"


SYM = """
[[rule]]
kind = "early-exit"
id = "a-before-ten"
ground = "voluntary"
from_years = 0
until_years = 10
counted_from = "joining"
leap_day = "1-march"
pays = ["own"]
income = "benchmark"
forfeited_to = "fund"
tops_up = "fund"
[rule.benchmark]
series = "bank"
[rule.benchmark.interest]
day_count = "actual/365"
first_day_counts = true
last_day_counts = false
balance = "daily"
interest = "compound"
posted_every_months = 12
rounding = "half-up"

[[rule]]
kind = "early-exit"
id = "b-from-ten"
ground = "voluntary"
from_years = 10
counted_from = "joining"
leap_day = "1-march"
pays = ["own"]
income = "higher"
forfeited_to = "fund"
tops_up = "fund"
[rule.benchmark]
series = "bank"
[rule.benchmark.interest]
day_count = "actual/365"
first_day_counts = true
last_day_counts = false
balance = "daily"
interest = "compound"
posted_every_months = 12
rounding = "half-up"

[[rule]]
kind = "pension"
id = "pension"
form = "fixed"
amount = "3000"
every_months = 1
due = "in-advance"
pay_day = "day-of-start"
rounding = "half-up"

[[rule]]
kind = "spouse-continuation"
id = "spouse"
pension_bp = 5000
rounding = "half-up"
before_benefit = ["contribute-on", "exit"]
contributes_until_age = 60
leap_day = "1-march"

[[rule]]
kind = "corpus"
id = "corpus"
after = "member-and-spouse"
to = "fund"
without_nominee = "fund"
"""
BANK = Series("bank", "percent-a-year", (SeriesPoint(date(2010, 1, 1), date(2010, 1, 1), Decimal(4), "test"),))


@pytest.mark.parametrize(
    ("on", "fund", "paid", "basis", "forfeited"),
    [
        pytest.param(date(2020, 2, 14), 150_00, 103_99, "benchmark", 246_01, id="under ten years: bank interest alone"),
        pytest.param(date(2029, 2, 15), 150_00, 150_00, "fund", 200_00, id="ten years: the fund's, if it is higher"),
        pytest.param(
            date(2029, 2, 15), 100_00, 148_07, "benchmark", 200_00, id="ten years: the bank's, if that is higher"
        ),
    ],
)
def test_pm_sym_pays_leavers_by_duration(on: date, fund: int, paid: int, basis: str, forfeited: int) -> None:
    figures = figures_in("INR", bank=BANK)
    joined = date(2019, 2, 15)
    rules = list(rules_of(EarlyExitRule, SYM).values())
    found = exit_rule(rules, ground="voluntary", joined_on=joined, first_paid_on=joined, on=on)
    money = [OriginMoney("own", (Movement(joined, 100_00),), fund), OriginMoney("state-match", (), 200_00)]
    left = leave(found, money, on, figures)
    assert (left.paid_minor, left.basis, left.forfeited_minor) == (paid, basis, forfeited)
    assert left.paid_minor - left.top_up_minor + left.forfeited_minor == fund + 200_00


@pytest.mark.parametrize(
    ("old", "new", "is_overlapping"),
    [
        ("until_years = 10", "until_years = 10", False),
        ("until_years = 10", "until_years = 11", True),
        ("until_years = 10\n", "", True),
        ("until_years = 10", "until_years = 9", False),
        ('counted_from = "joining"', 'counted_from = "first-contribution"', True),
        ('leap_day = "1-march"', 'leap_day = "28-february"', True),
        ('ground = "voluntary"', 'ground = "housing"', False),
    ],
)
def test_two_exits_that_one_leaver_could_go_by_are_refused(old: str, new: str, *, is_overlapping: bool) -> None:
    problems = problems_of(SYM.replace(old, new, 1))
    assert ["could decide the same case" in one for one in problems] == [True] * is_overlapping


def test_pm_sym_pays_3000_half_to_the_spouse_and_keeps_the_corpus() -> None:
    pension = pension_payment(rule_of(PensionRule, SYM), PensionCase(on=DAY, started_on=DAY, keys={}), INR, {})
    assert pension.paid_minor == 3_000_00
    spouse = spouse_entitlement(rule_of(SpouseRule, SYM), born_on=DAY, died_on=DAY, pension_minor=3_000_00)
    assert spouse.pension_minor == 1_500_00
    left = dispose_corpus(
        rule_of(CorpusRule, SYM), 123, [("nominee", 10_000)], keys={}, tables={}, asset=Asset.currency("INR")
    )
    assert left.parts == (("fund", 123),)


# -- NPS-Lite, India

NPS = """
[[rule]]
kind = "retirement-option"
id = "lump-and-annuity"
grounds = ["retirement"]
order = { pots = ["retirement"], pots_by = "in-order", origins = ["own", "state-match"], origins_by = "in-order" }
least_lump_bp = 0
most_lump_bp = 6000
lump_rounding = "down"
rest = "annuity"

[[rule]]
kind = "early-exit"
id = "exit"
ground = "voluntary"
from_years = 0
counted_from = "joining"
leap_day = "1-march"
pays = ["own", "state-match"]
income = "fund"
forfeited_to = "scheme"
annuity_bp = 8000

[[rule]]
kind = "corpus"
id = "death"
after = "member-before-benefit"
to = "nominees"
without_nominee = "heirs"

[[rule]]
kind = "time-limit"
id = "details"
act = "change-details"
starts = "request"
count = 5
unit = "working-days"
start_day_counts = false
rest_days = ["saturday", "sunday"]
closed_last_day = "stays"
consequence = "reported"
"""


def test_nps_lite_gives_at_most_60_percent_at_once_and_the_rest_as_an_annuity() -> None:
    option = rule_of(RetirementOptionRule, NPS)
    plan = plan_retirement(option, 1_000_01, INR, on=DAY, ground="retirement", lump_bp=6000)
    assert (plan.lump_minor, plan.rest_minor, plan.rest) == (600_00, 400_01, "annuity")
    with pytest.raises(LumpSumOutOfRange):
        plan_retirement(option, 1_000_01, INR, on=DAY, ground="retirement", lump_bp=6001)


def test_nps_lite_sends_at_least_80_percent_of_an_early_exit_to_an_annuity() -> None:
    found = exit_rule([rule_of(EarlyExitRule, NPS)], ground="voluntary", joined_on=DAY, first_paid_on=DAY, on=DAY)
    left = leave(found, [OriginMoney("own", (Movement(DAY, 900_00),), 1_000_01)], DAY, INR)
    assert (left.paid_minor, left.annuity_minor) == (1_000_01, 800_01)


def test_nps_lite_pays_all_to_the_nominees_on_death() -> None:
    left = dispose_corpus(
        rule_of(CorpusRule, NPS), 100_01, [("a", 5000), ("b", 5000)], keys={}, tables={}, asset=INR.asset
    )
    assert left.parts == (("a", 50_01), ("b", 50_00))


def test_nps_lites_aggregator_changes_details_within_five_working_days() -> None:
    started = datetime(2023, 8, 10, 9, 0, tzinfo=UTC)  # a Thursday; 15 August is a holiday
    due = deadline(rule_of(TimeLimitRule, NPS), started, zone="Asia/Kolkata", holidays=[date(2023, 8, 15)])
    assert due.last_day == date(2023, 8, 18)


# -- Haba Haba and Mbao, Kenya

HABA = """
[[rule]]
kind = "access"
id = "half"
order = { pots = ["savings"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }
counted_from = "joining"
leap_day = "1-march"
paid_years = { years = 5, least = "4800", in_a_row = true, net_of_reversals = true }
often = { times = 1, within = "lifetime" }
only_since_last = false
most_bp = 5000
share_of = "balance"

[[rule]]
kind = "proof"
id = "invalidity"
fact = "invalidity"
alternatives = [{ documents = ["medical-certificate"] }]

[[rule]]
kind = "retirement-option"
id = "half-now"
grounds = ["retirement"]
order = { pots = ["savings"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }
least_lump_bp = 5000
most_lump_bp = 5000
lump_rounding = "up"
rest = "instalments"
[rule.instalments]
least_years = 1
most_years = 20
every_months = 1
amount = "unpaid-over-left"
unpaid_earns = true
first_due = "after-one-period"
rounding = "down"

[[rule]]
kind = "loan"
id = "mortgage"
form = "pledge"
base = { pots = ["savings"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }
ceiling_bp = 6000
least_months_in_scheme = 0
one_at_a_time = true
schedule = "at-end"
interest_on = "flat"
every_months = 12
most_instalments = 25
repaid_to = "lender"
interest_to = "lender"
repays_first = "interest"
default_after_months = 3
on_default = "set-off"
rounding = "half-up"
"""


def saved(*years: int) -> tuple[Paid, ...]:
    return tuple(Paid(date(2018 + number, 3, 1), minor) for number, minor in enumerate(years))


@pytest.mark.parametrize(
    ("years", "opens"),
    [
        pytest.param((4_800_00,) * 5, True, id="five years of exactly 4,800"),
        pytest.param((4_800_00,) * 4, False, id="four years are too few"),
        pytest.param((4_800_00, 4_800_00, 4_799_99, 4_800_00, 4_800_00), False, id="a year a cent short"),
        pytest.param((9_600_00, 0, 4_800_00, 4_800_00, 4_800_00), False, id="much in one year makes up for no other"),
        pytest.param((0, *(4_800_00,) * 5), True, id="a bad year before five good ones"),
    ],
)
def test_haba_haba_opens_half_after_five_good_years(years: tuple[int, ...], opens: bool) -> None:
    case = AccessCase(
        on=date(2024, 6, 1),
        joined_on=date(2018, 1, 1),
        holdings=held(("savings", "own", 25_000_01)),
        paid=saved(*years),
    )
    found = rule_of(AccessRule, HABA)
    if opens:
        assert accessible(found, case, KES, calendar_year).minor == 12_500_00
    else:
        with pytest.raises(HistoryTooShort):
            accessible(found, case, KES, calendar_year)


def test_haba_haba_pays_the_rest_at_50_only() -> None:
    case = AccessCase(
        on=date(2024, 6, 1),
        joined_on=date(2018, 1, 1),
        holdings=held(("savings", "own", 1_000_00)),
        paid=saved(*(4_800_00,) * 5),
        withdrawn=((date(2023, 6, 1), 1_000_00),),
    )
    with pytest.raises(NoMoreWithdrawals):
        accessible(rule_of(AccessRule, HABA), case, KES, calendar_year)


def test_haba_haba_takes_a_medical_certificate_for_invalidity() -> None:
    proof = proof_of(rule_of(ProofRule, HABA), [("medical-certificate", DAY)], 0, KES, DAY)
    assert proof.documents == ("medical-certificate",)


def test_mbao_pays_half_now_and_the_rest_monthly_and_pledges_three_fifths() -> None:
    plan = plan_retirement(
        rule_of(RetirementOptionRule, HABA), 1_000_01, KES, on=DAY, ground="retirement", lump_bp=5000, years=1
    )
    assert (plan.lump_minor, plan.rest_minor, plan.instalments) == (500_01, 500_00, 12)
    case = LoanCase(on=DAY, joined_on=DAY, holdings=held(("savings", "own", 1_000_00)), lender_percent="13")
    check_loan(rule_of(LoanRule, HABA), 600_00, 1, case, KES)
    with pytest.raises(AboveLoanCeiling):
        check_loan(rule_of(LoanRule, HABA), 600_01, 1, case, KES)


# -- Nigeria

NIGERIA = """
[[rule]]
kind = "access"
id = "contingent"
order = { pots = ["contingent"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }
counted_from = "first-contribution"
least_months = 3
leap_day = "1-march"
often = { times = 1, within = "days", count = 7 }
only_since_last = false
most_bp = 10000
share_of = "balance"

[[rule]]
kind = "access"
id = "voluntary"
order = { pots = ["contingent"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }
counted_from = "joining"
leap_day = "1-march"
often = { times = 1, within = "months", count = 24 }
only_since_last = true
most_bp = 5000
share_of = "contributions"

[[rule]]
kind = "exit-tax"
id = "tax"
on_grounds = ["voluntary"]
method = "proportional"
taxed = "income"
pre_tax_only = false
years_of = "tranche"
bands = [{ from_years = 0, percent = "7" }]
leap_day = "1-march"
rounding = "down"
paid_to = "revenue"

[[rule]]
kind = "retirement-option"
id = "full-lump-sum"
grounds = ["retirement", "ill-health"]
order = { pots = ["retirement"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }
below_balance = "500000"
least_lump_bp = 10000
most_lump_bp = 10000
lump_rounding = "down"
rest = "none"

[[rule]]
kind = "retirement-option"
id = "programmed-withdrawal"
grounds = ["retirement", "ill-health"]
order = { pots = ["retirement"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }
from_balance = "500000"
least_lump_bp = 0
most_lump_bp = 5000
lump_rounding = "down"
rest = "programmed-withdrawal"

[[rule]]
kind = "time-limit"
id = "notice"
act = "notify-receipt"
starts = "receipt"
count = 24
unit = "hours"
start_day_counts = false
rest_days = []
closed_last_day = "stays"
consequence = "reported"
"""


def test_nigerias_contingent_part_opens_after_three_months_then_once_a_week() -> None:
    found = rules_of(AccessRule, NIGERIA)["contingent"]
    first = date(2020, 1, 31)
    case = AccessCase(
        on=date(2020, 4, 30),
        joined_on=date(2020, 1, 1),
        holdings=held(("contingent", "own", 4_012_34), ("retirement", "own", 6_000_00)),
        paid=(Paid(first, 10_000_00),),
    )
    taken = withdraw(found, 4_012_34, case, NGN, calendar_year)
    assert [(one.pot, one.minor) for one in taken.parts] == [("contingent", 4_012_34)]
    early = AccessCase(on=date(2020, 4, 29), joined_on=case.joined_on, holdings=case.holdings, paid=case.paid)
    with pytest.raises(AccessNotYet):
        accessible(found, early, NGN, calendar_year)
    again = AccessCase(
        on=date(2020, 5, 6), joined_on=case.joined_on, holdings=case.holdings, paid=case.paid,
        withdrawn=((date(2020, 4, 30), 1),),
    )  # fmt: skip
    with pytest.raises(WithdrawnTooOften):
        accessible(found, again, NGN, calendar_year)


def test_nigerias_voluntary_contributions_open_half_of_what_is_new_and_tax_its_income() -> None:
    found = rules_of(AccessRule, NIGERIA)["voluntary"]
    case = AccessCase(
        on=date(2022, 3, 1),
        joined_on=date(2018, 1, 1),
        holdings=held(("contingent", "own", 900_00)),
        paid=(Paid(date(2019, 1, 1), 500_00), Paid(date(2021, 1, 1), 300_00)),
        withdrawn=((date(2020, 3, 1), 250_00),),
    )
    assert accessible(found, case, NGN, calendar_year).minor == 150_00
    tax = withhold(
        rule_of(ExitTaxRule, NIGERIA),
        150_00,
        [Tranche(date(2021, 1, 1), 240_00, 60_00)],
        NGN,
        on=case.on,
        joined_on=DAY,
    )
    assert (tax.taxed_minor, tax.tax_minor, tax.net_minor) == (30_00, 2_10, 147_90)


def test_nigeria_pays_small_balances_at_once_and_larger_ones_as_a_pension() -> None:
    options = rules_of(RetirementOptionRule, NIGERIA)
    small = plan_retirement(options["full-lump-sum"], 499_999_99, NGN, on=DAY, ground="ill-health", lump_bp=10_000)
    assert small.lump_minor == 499_999_99
    with pytest.raises(OptionNotOpen):
        plan_retirement(options["full-lump-sum"], 500_000_00, NGN, on=DAY, ground="retirement", lump_bp=10_000)
    large = plan_retirement(
        options["programmed-withdrawal"], 500_000_00, NGN, on=DAY, ground="retirement", lump_bp=2500
    )
    assert (large.lump_minor, large.rest) == (125_000_00, "programmed-withdrawal")


def test_nigerias_custodian_tells_of_money_within_24_hours() -> None:
    due = deadline(rule_of(TimeLimitRule, NIGERIA), datetime(2023, 6, 2, 16, 30, tzinfo=UTC), zone="Africa/Lagos")
    assert not due.is_missed(datetime(2023, 6, 3, 16, 30, tzinfo=UTC))
    assert due.is_missed(datetime(2023, 6, 3, 16, 30, 1, tzinfo=UTC))


# -- Ghana's third tier

GHANA = """
[[rule]]
kind = "access"
id = "personal-savings"
order = { pots = ["personal"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }
counted_from = "joining"
leap_day = "1-march"
purposes = [{ code = "education", documents = ["fee-note"] }, { code = "business" }]
only_since_last = false
most_bp = 10000
share_of = "balance"

[[rule]]
kind = "retirement-option"
id = "pension-only"
grounds = ["retirement"]
order = { pots = ["retirement"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }
least_lump_bp = 0
most_lump_bp = 0
lump_rounding = "down"
rest = "fixed-pension"

[[rule]]
kind = "pension"
id = "quarterly"
form = "annuity"
every_months = 3
due = "in-arrears"
pay_day = "last-of-month"
rounding = "down"

[[rule]]
kind = "loan"
id = "pledge"
form = "pledge"
base = { pots = ["personal", "retirement"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }
covers_interest_months = 3
least_months_in_scheme = 0
one_at_a_time = true
schedule = "at-end"
interest_on = "flat"
every_months = 3
most_instalments = 8
repaid_to = "lender"
interest_to = "lender"
repays_first = "interest"
default_after_months = 3
on_default = "set-off"
rounding = "half-up"

[[rule]]
kind = "exit-tax"
id = "tax"
on_grounds = ["withdrawal"]
method = "first-in"
taxed = "all"
pre_tax_only = true
years_of = "joining"
bands = [{ from_years = 0, percent = "15" }, { from_years = 10, percent = "0" }]
leap_day = "1-march"
rounding = "half-up"
paid_to = "revenue"
"""


def test_ghanas_retirement_account_is_a_pension_and_nothing_at_once() -> None:
    option = rule_of(RetirementOptionRule, GHANA)
    plan = plan_retirement(option, 5_000_00, GHS, on=DAY, ground="retirement", lump_bp=0)
    assert (plan.lump_minor, plan.rest_minor) == (0, 5_000_00)
    with pytest.raises(LumpSumOutOfRange):
        plan_retirement(option, 5_000_00, GHS, on=DAY, ground="retirement", lump_bp=1)
    assert payment_days(rule_of(PensionRule, GHANA).rule, date(2020, 1, 31), 3) == (
        date(2020, 4, 30),
        date(2020, 7, 31),
        date(2020, 10, 31),
    )


def test_ghanas_pledge_covers_principal_and_three_months_of_interest() -> None:
    # 1,200 × (1 + 0.36 × 3/12) = 1,308
    case = LoanCase(on=DAY, joined_on=DAY, holdings=held(("personal", "own", 1_308_00)), lender_percent="36")
    check_loan(rule_of(LoanRule, GHANA), 1_200_00, 1, case, GHS)
    with pytest.raises(AboveLoanCeiling):
        check_loan(rule_of(LoanRule, GHANA), 1_200_01, 1, case, GHS)


@pytest.mark.parametrize(
    ("on", "tax"),
    [(date(2029, 12, 31), 15_00), (date(2030, 1, 1), 0)],
    ids=["under ten years 15 percent of pre-tax money", "from ten years on nothing"],
)
def test_ghanas_tax_on_early_money(on: date, tax: int) -> None:
    tranches = [Tranche(date(2021, 1, 1), 80_00, 20_00, is_pre_tax=True), Tranche(date(2022, 1, 1), 100_00, 0)]
    found = withhold(rule_of(ExitTaxRule, GHANA), 200_00, tranches, GHS, on=on, joined_on=DAY)
    assert (found.tax_minor, found.net_minor) == (tax, 200_00 - tax)
