"""Kinds of rules about contributions: by schemes' own figures, and by what always holds of money."""

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.contributions import errors
from engine.contributions.rules import (
    AgentCollectionRule,
    AmountLimits,
    AmountRule,
    AnnualCapRule,
    ArrearsRule,
    ChartRule,
    ContributionTerms,
    ContributorsRule,
    DeclaredIncomeRule,
    DeductionRule,
    ForeignMoneyRule,
    InstalmentFormulaRule,
    LateChargeRule,
    MatchClaimRule,
    MatchFacts,
    MatchRule,
    PayeesRule,
    PoolRule,
    ReferenceRule,
    ScheduleRule,
    SplitRule,
    VestingRule,
    apply_cap,
    apportion,
    charted_instalment,
    check_instalment,
    converted,
    counts_on,
    credit_matched,
    decide_match,
    declared_contribution,
    deduct,
    deposit_due,
    due_dates,
    formula_instalment,
    goes_back,
    goods_value,
    late_charge,
    looked_up,
    origin_of,
    share_among_payees,
    split_contribution,
    split_over_pots,
    standing,
    vested,
)
from engine.kernel.amounts import Amount, Asset
from engine.kernel.errors import EngineError
from engine.kernel.rules import Rule
from engine.kernel.series import Figures, Series, SeriesPoint
from engine.kernel.tables import LookupTable, TableValueMissing

D = date.fromisoformat
CURRENCIES = {0: Asset.currency("RWF"), 2: Asset.currency("INR"), 3: Asset.currency("TND")}
RWF, INR, KES = Asset.currency("RWF"), Asset.currency("INR"), Asset.currency("KES")
DAY = D("2024-06-01")
assets = st.sampled_from(list(CURRENCIES.values()))
units = st.integers(1, 10**12)


def made(kind: type[Any], **parameters: object) -> Any:
    """Return a rule as a pack would write it."""
    table = {"kind": kind.__struct_config__.tag, "id": "one", "source": "test", "confidence": "high", **parameters}
    return msgspec.convert(table, kind)


def money(text: str, asset: Asset = INR) -> Amount:
    return Amount.parse(text, asset)


def terms(
    asset: Asset, parts: list[tuple[str, int]], *, odd: str = "", redirect: tuple[str, ...] = ()
) -> ContributionTerms:
    split = made(
        SplitRule,
        parts=[{"pot": pot, "share_bp": share} for pot, share in parts],
        odd_unit_to=odd,
        redirect_to=list(redirect),
    )
    return ContributionTerms.of(made(AmountRule, minimum="0"), split, Figures(asset), DAY, ("a", "b"))


shares = st.lists(st.integers(1, 100), min_size=1, max_size=5)


@given(asset=assets, paid=units, weights=shares, odd=st.booleans())
def test_a_split_loses_nothing_in_any_currency(asset: Asset, paid: int, weights: list[int], odd: bool) -> None:
    whole = [weight * 10_000 // sum(weights) for weight in weights]
    whole[0] += 10_000 - sum(whole)
    parts = [(f"pot{n}", share) for n, share in enumerate(whole) if share]
    found = split_contribution(Amount(paid, asset), terms(asset, parts, odd=parts[-1][0] if odd else ""))
    assert sum(part.units for _, part in found) == paid
    assert all(part.units > 0 for _, part in found)


def test_the_odd_unit_goes_where_the_pack_says() -> None:
    parts = [("contingent", 4000), ("retirement", 6000)]
    assert split_over_pots(Amount(3, INR), terms(INR, parts, odd="contingent")) == (
        ("contingent", Amount(2, INR)),
        ("retirement", Amount(1, INR)),
    )
    assert split_over_pots(Amount(3, INR), terms(INR, parts)) == (
        ("contingent", Amount(1, INR)),
        ("retirement", Amount(2, INR)),
    )


def test_a_member_may_turn_a_contribution_only_where_the_pack_lets_them() -> None:
    found = terms(INR, [("a", 5000), ("b", 5000)], redirect=("b",))
    assert split_over_pots(money("10"), found, redirect="b") == (("b", money("10")),)
    with pytest.raises(errors.RedirectNotAllowed):
        split_over_pots(money("10"), found, redirect="a")


@pytest.mark.parametrize(
    ("parameters", "paid", "refusal"),
    [
        pytest.param({"minimum": "100"}, "99.99", errors.BelowMinimum, id="a paisa below the least"),
        pytest.param({"minimum": "100"}, "100", None, id="the least"),
        pytest.param({"minimum": "1", "maximum": "100"}, "100.01", errors.AboveMaximum, id="a paisa above the most"),
        pytest.param({"minimum": "1", "multiple_of": "25"}, "30", errors.NotAMultiple, id="no multiple"),
        pytest.param({"minimum": "1", "tiers": ["300", "522"]}, "522", None, id="a tier"),
        pytest.param({"minimum": "1", "tiers": ["300", "522"]}, "523", errors.NotATier, id="between tiers"),
    ],
)
def test_amounts(parameters: dict[str, object], paid: str, refusal: type[EngineError] | None) -> None:
    limits = AmountLimits.of(made(AmountRule, **parameters), Figures(INR), DAY)
    if refusal is None:
        limits.check(money(paid))
    else:
        with pytest.raises(refusal):
            limits.check(money(paid))


APY = LookupTable(
    "chart",
    ("age", "slab"),
    {("18", "1000"): {"monthly": "42", "quarterly": "125"}, ("22", "3000"): {"monthly": "177"}},
)


def test_an_instalment_is_read_from_the_chart() -> None:
    rule = made(
        ChartRule, table="chart", columns={"monthly": "monthly", "quarterly": "quarterly"}, slabs=["1000"], takes="one"
    )
    found = charted_instalment(rule, APY, entry_age=18, slab="1000", frequency="quarterly", asset=INR)
    assert found == money("125")
    with pytest.raises(EngineError):
        charted_instalment(rule, APY, entry_age=19, slab="1000", frequency="monthly", asset=INR)


def test_a_slab_that_the_scheme_does_not_offer_has_no_instalment_though_the_chart_has_one() -> None:
    rule = made(ChartRule, table="chart", columns={"monthly": "monthly"}, slabs=["1000"], takes="one")
    with pytest.raises(TableValueMissing):
        charted_instalment(rule, APY, entry_age=22, slab="3000", frequency="monthly", asset=INR)


@pytest.mark.parametrize(
    ("paid", "takes", "whole"),
    [
        ("42", "one", 1),
        ("84", "one", None),
        ("84", "whole-instalments", 2),
        ("85", "whole-instalments", None),
        ("10", "any-part", 0),
    ],
)
def test_what_may_be_paid_of_an_instalment(paid: str, takes: str, whole: int | None) -> None:
    if whole is None:
        with pytest.raises(errors.NotTheInstalment):
            check_instalment(money(paid), money("42"), takes)
    else:
        assert check_instalment(money(paid), money("42"), takes) == whole


@pytest.mark.parametrize(
    ("monthly", "frequency", "worth"),
    [
        ("42", "quarterly", "125"),
        ("42", "half-yearly", "248"),
        ("291", "quarterly", "867"),
        ("1454", "half-yearly", "8581"),
    ],
)
def test_the_formula_of_advance_instalments(monthly: str, frequency: Any, worth: str) -> None:
    rule = made(
        InstalmentFormulaRule, formula="advance-annuity", yearly_rate="0.08", rounding="half-up", step="1",
        frequencies=["quarterly", "half-yearly"],
    )  # fmt: skip
    assert formula_instalment(rule, money(monthly), frequency, money("1")) == money(worth)


def test_a_declared_income_makes_a_share_due() -> None:
    rule = made(DeclaredIncomeRule, share_bp=1350, changes_a_year=1, minimum="0", rounding="half-up")
    assert declared_contribution(rule, money("1000.00")) == money("135.00")


# -- what is taken first, and several payees

PREMIUM = made(
    DeductionRule, order=1, purpose="premium", party="insurer", amount="5", once_per="month", when_short="leave-out"
)
FEE = made(
    DeductionRule,
    id="two",
    order=2,
    purpose="fee",
    party="operator",
    share_bp=100,
    once_per="payment",
    when_short="refuse",
)


def test_the_premium_comes_first_and_once_a_month() -> None:
    parts, left = deduct(money("100"), [("b", FEE), ("a", PREMIUM)], Figures(INR), DAY)
    assert [(one.party, one.amount) for one in parts] == [("insurer", money("5")), ("operator", money("1"))]
    assert left == money("94")
    parts, left = deduct(money("100"), [("a", PREMIUM)], Figures(INR), DAY, taken={"one": True})
    assert (parts, left) == ((), money("100"))


@pytest.mark.parametrize(("when_short", "taken", "left"), [("take-what-is-there", "3", "0"), ("leave-out", None, "3")])
def test_a_payment_too_small_for_what_comes_first(when_short: str, taken: str | None, left: str) -> None:
    rule = made(DeductionRule, order=1, purpose="fee", party="x", amount="5", once_per="payment", when_short=when_short)
    parts, rest = deduct(money("3"), [("a", rule)], Figures(INR), DAY)
    assert [one.amount for one in parts] == ([money(taken)] if taken else [])
    assert rest == money(left)


def test_it_may_be_refused() -> None:
    rule = made(DeductionRule, order=1, purpose="fee", party="x", amount="5", once_per="payment", when_short="refuse")
    with pytest.raises(errors.PaymentTooShort):
        deduct(money("3"), [("a", rule)], Figures(INR), DAY)


def payees(**others: object) -> Any:
    return made(
        PayeesRule,
        payees=[{"code": "pension", "amount": "25", "product": "haba"}, {"code": "health", "amount": "18"},
                {"code": "welfare", "amount": "17"}],
        **{"splitter": "operator", "splitter_fee": "2", "fee_first": False, "when_short": "in-order",
           "excess_to": "pension", **others},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("others", "paid", "found"),
    [
        pytest.param({}, "62", ("25", "18", "17", "2"), id="the whole"),
        pytest.param({}, "60", ("25", "18", "17", "0"), id="the splitter's fee comes last"),
        pytest.param({"fee_first": True}, "60", ("25", "18", "15", "2"), id="or first"),
        pytest.param({}, "30", ("25", "5", "0", "0"), id="a short payment in order"),
        pytest.param({"when_short": "pro-rata"}, "30", ("12.50", "9", "8.50", "0"), id="or in proportion"),
        pytest.param({}, "100", ("63", "18", "17", "2"), id="what is over goes to one"),
    ],
)
def test_one_payment_for_several(others: dict[str, object], paid: str, found: tuple[str, ...]) -> None:
    parts = share_among_payees(money(paid, KES), payees(**others), Figures(KES), DAY)
    names = ("pension", "health", "welfare", "operator")
    assert tuple(parts[name] for name in names) == tuple(money(one, KES) for one in found)


@given(asset=assets, paid=units, first=st.booleans(), short=st.sampled_from(["in-order", "pro-rata"]))
def test_of_one_payment_for_several_nothing_is_lost(asset: Asset, paid: int, first: bool, short: str) -> None:
    parts = share_among_payees(Amount(paid, asset), payees(fee_first=first, when_short=short), Figures(asset), DAY)
    assert sum(part.units for part in parts.values()) == paid
    assert min(part.units for part in parts.values()) >= 0


# -- schedules


@pytest.mark.parametrize(
    ("parameters", "frequency", "joined", "until", "days"),
    [
        pytest.param({"due_on": 31}, "monthly", "2024-01-15", "2024-03-31", ["2024-01-31", "2024-02-29", "2024-03-31"],
                     id="the 31st of shorter months is their last"),
        pytest.param({"due_on": "joining-day"}, "monthly", "2024-01-31", "2024-03-01", ["2024-01-31", "2024-02-29"],
                     id="the day of joining"),
        pytest.param({"due_on": 5}, "monthly", "2024-01-15", "2024-02-05", ["2024-01-15", "2024-02-05"],
                     id="the first is due at once where its day has passed"),
        pytest.param({"due_on": 1}, "quarterly", "2024-01-01", "2024-08-01", ["2024-01-01", "2024-04-01", "2024-07-01"],
                     id="quarterly"),
        pytest.param({"due_on": 1, "seasons": [4, 10]}, "seasonal", "2024-01-01", "2024-12-31", ["2024-04-01", "2024-10-01"],
                     id="after the harvests"),
        pytest.param({"due_on": 1}, "weekly", "2024-01-01", "2024-01-15", ["2024-01-01", "2024-01-08", "2024-01-15"],
                     id="weekly"),
    ],
)  # fmt: skip
def test_due_days(parameters: dict[str, object], frequency: Any, joined: str, until: str, days: list[str]) -> None:
    rule = made(ScheduleRule, frequencies=[frequency], parts_until="due-day", **parameters)
    assert due_dates(rule, frequency, D(joined), D(until)) == [D(day) for day in days]


ARREARS = made(ArrearsRule, grace_days=10, pays_first="oldest", ahead_dues=2, beyond="refund")
DUES = [D("2024-01-01"), D("2024-02-01"), D("2024-03-01")]


@pytest.mark.parametrize(
    ("paid", "on", "owed", "late", "ahead", "beyond"),
    [
        pytest.param("42", "2024-03-05", "84", "42", "0", "0", id="the last due is within its grace"),
        pytest.param("42", "2024-03-12", "84", "84", "0", "0", id="a day past its grace it is late"),
        pytest.param("126", "2024-03-12", "0", "0", "0", "0", id="all paid"),
        pytest.param("210", "2024-03-12", "0", "0", "84", "0", id="two paid ahead"),
        pytest.param("220", "2024-03-12", "0", "0", "84", "10", id="more than may be paid ahead"),
    ],
)
def test_how_a_member_stands(paid: str, on: str, owed: str, late: str, ahead: str, beyond: str) -> None:
    found = standing(ARREARS, DUES, money("42"), money(paid), on=D(on))
    assert (found.owed, found.late, found.ahead, found.beyond) == tuple(
        money(one) for one in (owed, late, ahead, beyond)
    )


@given(paid=st.integers(0, 10**7), dues=st.integers(0, 24))
def test_what_was_paid_is_somewhere(paid: int, dues: int) -> None:
    days = [D("2020-01-01")] * dues
    found = standing(ARREARS, days, money("42"), Amount(paid, INR), on=D("2024-01-01"))
    assert sum(part.units for part in found.paid_by_due) + found.ahead.units + found.beyond.units == paid
    assert sum(part.units for part in found.paid_by_due) + found.owed.units == 4200 * dues


BANDS = [
    {"charge": "1", "up_to": "100"},
    {"charge": "2", "up_to": "500"},
    {"charge": "5", "up_to": "1000"},
    {"charge": "10"},
]


@pytest.mark.parametrize(
    ("instalment", "paid_on", "charge"),
    [
        pytest.param("100", "2024-01-01", "0", id="on the day"),
        pytest.param("100", "2024-01-02", "1", id="a month begun"),
        pytest.param("100", "2024-02-01", "1", id="a month"),
        pytest.param("100", "2024-02-02", "2", id="a second begun"),
        pytest.param("101", "2024-01-15", "2", id="the second band"),
        pytest.param("500", "2024-01-15", "2", id="its end"),
        pytest.param("1001", "2024-01-15", "10", id="the last"),
    ],
)
def test_a_charge_by_band(instalment: str, paid_on: str, charge: str) -> None:
    """APY's first rule: 1, 2, 5 and 10 rupees a month for instalments to 100, 500, 1,000 and more."""
    rule = made(
        LateChargeRule, method="band", bands=BANDS, credited_to="member", paid_first="charge", rounding="half-up"
    )
    assert late_charge(rule, money(instalment), D("2024-01-01"), D(paid_on), Figures(INR)) == money(charge)


def test_charges_by_the_hundred_and_by_the_day() -> None:
    hundred = made(
        LateChargeRule,
        method="per-hundred",
        per_hundred="1",
        credited_to="member",
        paid_first="charge",
        rounding="half-up",
    )
    assert late_charge(hundred, money("101"), D("2024-01-01"), D("2024-01-15"), Figures(INR)) == money("2")
    daily = made(
        LateChargeRule,
        method="percent-a-day",
        percent_a_day="0.1",
        credited_to="fund",
        paid_first="instalment",
        rounding="half-up",
    )
    assert late_charge(daily, money("100"), D("2024-01-01"), D("2024-01-11"), Figures(INR)) == money("1")


@pytest.mark.parametrize(
    ("excess", "in_year", "found"),
    [
        pytest.param({"excess": "refund"}, "900", ("100", "50", "0"), id="what is over is owed back"),
        pytest.param(
            {"excess": "carry-over", "carry_years": 1}, "900", ("100", "0", "50"), id="or goes to the next year"
        ),
        pytest.param({"excess": "refund"}, "1000", ("0", "150", "0"), id="the year is full"),
        pytest.param({"excess": "refund"}, "850", ("150", "0", "0"), id="to the unit"),
    ],
)
def test_the_cap_of_a_year(excess: dict[str, object], in_year: str, found: tuple[str, str, str]) -> None:
    rule = made(AnnualCapRule, most="1000", counted_by="value", **excess)
    capped = apply_cap(rule, money("150"), money(in_year), Figures(INR), DAY)
    assert (capped.counted, capped.refunded, capped.carried) == tuple(money(one) for one in found)
    with pytest.raises(errors.CapReached):
        apply_cap(
            made(AnnualCapRule, most="1000", counted_by="value", excess="refuse"),
            money("1"),
            money("1000"),
            Figures(INR),
            DAY,
        )


# -- payers, references, money from abroad, agents

RATES = Figures(
    RWF,
    {
        "usd": Series("usd", "rate", (SeriesPoint(D("2024-01-01"), D("2024-01-01"), Decimal("1285.5"), "bank"),
                                      SeriesPoint(D("2024-06-01"), D("2024-06-01"), Decimal("1310.25"), "bank"))),
        "maize": Series("maize", "money", (SeriesPoint(D("2024-01-01"), D("2024-01-01"), Decimal("350.5"), "market"),)),
    },
)  # fmt: skip


def test_money_keeps_the_colour_of_who_paid_it() -> None:
    rule = made(ContributorsRule, origins={"member": "own", "employer": "employer", "relative": "gift"})
    assert [origin_of(rule, one) for one in ("member", "employer", "relative")] == ["own", "employer", "gift"]
    assert origin_of(None, "anyone") == "own"
    with pytest.raises(errors.PayerNotTaken):
        origin_of(rule, "merchant")


def test_a_reference_is_looked_up_in_the_packs_order() -> None:
    rule = made(ReferenceRule, accepts=["national-id", "member-number"])
    assert looked_up(rule, "1", {"member-number": True, "national-id": True}) == "national-id"
    assert looked_up(rule, "1", {"phone": True}) == ""
    assert looked_up(None, "1", {"member-number": True}) == "member-number"


def test_foreign_money_counts_at_the_rate_of_its_day() -> None:
    usd = Asset.currency("USD")
    by_value = made(ForeignMoneyRule, currency="USD", series="usd", rate_of="value-date", rounding="half-up")
    by_receipt = made(ForeignMoneyRule, currency="USD", series="usd", rate_of="received-date", rounding="down")
    days = {"value_on": D("2024-05-31"), "received_on": D("2024-06-03"), "figures": RATES}
    assert converted(by_value, Amount.parse("10.01", usd), RWF, **days) == Amount(12868, RWF)  # type: ignore[arg-type]
    assert converted(by_receipt, Amount.parse("10.01", usd), RWF, **days) == Amount(13115, RWF)  # type: ignore[arg-type]
    with pytest.raises(errors.CurrencyNotTaken):
        converted(by_value, Amount.parse("10", Asset.currency("EUR")), RWF, **days)  # type: ignore[arg-type]


def test_what_an_agent_takes_counts_from_its_day() -> None:
    cash = made(AgentCollectionRule, takes="cash", receipt="required", counts_from="deposit", deposit_within_days=2)
    assert counts_on(cash, D("2024-06-01"), None) is None
    assert counts_on(cash, D("2024-06-01"), D("2024-06-02")) == D("2024-06-02")
    assert deposit_due(cash, D("2024-06-01")) == D("2024-06-03")
    goods = made(
        AgentCollectionRule,
        takes="goods",
        receipt="required",
        counts_from="receipt",
        deposit_within_days=9,
        price_series="maize",
    )
    assert goods_value(goods, "12.5", D("2024-06-01"), RATES) == Amount(4381, RWF)


# -- state money

EJO_HEZA = made(
    MatchRule,
    matches=[{"classes": ["1", "2"], "threshold": "15000", "share_bp": 10_000, "most": "18000"},
             {"classes": ["3"], "threshold": "18000", "share_bp": 5_000, "most": "18000"}],
    base="net-of-reversals", cap_tested="before-rounding", rounding="down", timing="after-year-end", years=3,
    destination="pension-account", reversal_after_year_end="claw-back",
)  # fmt: skip


def facts(member_class: str, saved: str, **others: Any) -> MatchFacts:
    amount = money(saved, RWF)
    return MatchFacts(
        **{
            "member_class": member_class,
            "joined_on": D("2019-01-01"),
            "saved_gross": amount,
            "saved_net": amount,
            **others,
        }
    )


@pytest.mark.parametrize(
    ("member_class", "saved", "match", "reason"),
    [
        ("1", "14999", "0", "below-threshold"),
        ("1", "15000", "15000", "matched"),
        ("2", "20000", "18000", "matched"),
        ("3", "17999", "0", "below-threshold"),
        ("3", "18000", "9000", "matched"),
        ("3", "36000", "18000", "matched"),
        ("3", "50000", "18000", "matched"),
        ("4", "72000", "0", "no-class"),
    ],
)
def test_ejo_hezas_match(member_class: str, saved: str, match: str, reason: str) -> None:
    """The scheme's own figures: all of it to a cap for the poorest, half for the third class, nothing below a threshold."""
    found = decide_match(EJO_HEZA, facts(member_class, saved), Figures(RWF), DAY)
    assert (found.amount, found.reason) == (money(match, RWF), reason)


def test_a_reversal_can_take_a_year_below_its_threshold() -> None:
    year = facts("1", "15000", saved_net=money("14999", RWF))
    assert decide_match(EJO_HEZA, year, Figures(RWF), DAY).reason == "below-threshold"
    gross = msgspec.structs.replace(EJO_HEZA, base="gross")
    assert decide_match(gross, year, Figures(RWF), DAY).amount == money("15000", RWF)


def test_a_match_ends_with_its_years_and_reaches_whom_it_names() -> None:
    assert decide_match(EJO_HEZA, facts("1", "15000", matched_years=3), Figures(RWF), DAY).reason == "years-used"
    apy = msgspec.structs.replace(
        EJO_HEZA, joined_from=D("2015-06-01"), joined_until=D("2016-03-31"), needs_all_dues=True
    )
    assert decide_match(apy, facts("1", "15000"), Figures(RWF), DAY).reason == "other-joiners"
    early = facts("1", "15000", joined_on=D("2016-03-31"))
    assert decide_match(apy, early, Figures(RWF), DAY).reason == "matched"
    late = facts("1", "15000", joined_on=D("2016-03-31"), has_arrears=True)
    assert decide_match(apy, late, Figures(RWF), DAY).reason == "arrears"


@pytest.mark.parametrize(
    ("saved", "match", "reason"),
    [
        ("999.99", "0", "below-threshold"),
        ("1000.00", "1000.00", "matched"),
        ("12000.00", "1000.00", "matched"),
        ("12000.01", "0", "above-limit"),
    ],
)
def test_swavalamban_matches_years_within_two_limits(saved: str, match: str, reason: str) -> None:
    rule = made(
        MatchRule,
        matches=[{"classes": ["any"], "threshold": "1000.00", "saved_up_to": "12000.00", "flat": "1000.00"}],
        base="net-of-reversals", cap_tested="after-rounding", rounding="down", timing="after-year-end",
        destination="pension-account", reversal_after_year_end="leave",
    )  # fmt: skip
    year = facts("1", "0", saved_gross=money(saved, INR), saved_net=money(saved, INR))
    found = decide_match(rule, year, Figures(INR), DAY)
    assert (found.amount, found.reason) == (money(match, INR), reason)


@given(saved=st.integers(0, 10**9), member_class=st.sampled_from(["1", "3", "4"]))
def test_a_match_never_passes_its_cap(saved: int, member_class: str) -> None:
    found = decide_match(EJO_HEZA, facts(member_class, str(saved)), Figures(RWF), DAY)
    assert 0 <= found.amount.units <= min(18_000, saved)


VESTING = made(
    VestingRule, origin="state-match", steps=[{"after_months": 0, "share_bp": 0}, {"after_months": 36, "share_bp": 5000},
    {"after_months": 60, "share_bp": 10_000}], on_early_exit="forfeit-all", forfeited_to="state",
    income_goes_along=True, counts_in_closure_test=False,
)  # fmt: skip


@pytest.mark.parametrize(
    ("months", "early", "kept"), [(35, False, "0"), (36, False, "5"), (60, False, "10"), (600, True, "0")]
)
def test_vesting(months: int, early: bool, kept: str) -> None:
    assert vested(VESTING, money("10"), months, early_exit=early) == money(kept)


@given(
    claimed=st.lists(st.integers(1, 10**9), min_size=1, max_size=8),
    received=st.integers(0, 10**10),
    how=st.sampled_from(["pro-rata", "oldest-first"]),
)
def test_a_short_receipt_is_shared_without_a_unit_lost(claimed: list[int], received: int, how: str) -> None:
    rule = made(
        MatchClaimRule,
        funder="treasury",
        after_days=90,
        short_receipt=how,
        unpaid_rest="claim-again",
        clawback_from="state-money",
    )
    parts = apportion(rule, [Amount(one, INR) for one in claimed], Amount(received, INR))
    assert sum(part.units for part in parts) == min(received, sum(claimed))
    assert all(0 <= part.units <= asked for part, asked in zip(parts, claimed, strict=True))


def test_what_suspense_earned_goes_where_the_pack_says() -> None:
    figures = Figures(
        INR,
        {
            "savings": Series(
                "savings", "percent-a-year", (SeriesPoint(D("2023-01-01"), D("2023-01-01"), Decimal(4), "bank"),)
            )
        },
    )
    rule = made(
        PoolRule,
        pool="suspense",
        earns="simple-interest",
        series="savings",
        price_of="matched",
        return_goes_to="member",
        return_after_days=180,
    )
    found = credit_matched(rule, money("1000"), D("2024-01-01"), D("2024-12-31"), figures)
    assert (found.earned, found.to_member, found.price_on) == (money("40"), money("40"), D("2024-12-31"))
    assert [goes_back(rule, D("2024-01-01"), D(day)) for day in ("2024-06-28", "2024-06-29")] == [False, True]


@pytest.mark.parametrize(
    ("kind", "parameters", "reason"),
    [
        (SplitRule, {"parts": [{"pot": "a", "share_bp": 9999}]}, "10000"),
        (SplitRule, {"parts": [{"pot": "a", "share_bp": 10_000}], "odd_unit_to": "b"}, "no pot"),
        (DeductionRule, {"order": 1, "purpose": "fee", "party": "x", "once_per": "payment", "when_short": "refuse"}, "either"),
        (AnnualCapRule, {"most": "1", "counted_by": "value", "excess": "carry-over"}, "carry_years"),
        (LateChargeRule, {"method": "band", "credited_to": "member", "paid_first": "charge", "rounding": "down"}, "needs its figure"),
        (ScheduleRule, {"frequencies": ["seasonal"], "due_on": 1, "parts_until": "no-parts"}, "seasons"),
        (PoolRule, {"pool": "suspense", "earns": "simple-interest", "price_of": "matched", "return_goes_to": "member", "return_after_days": 0}, "series"),
        (VestingRule, {"origin": "employer", "steps": [{"after_months": 1, "share_bp": 0}], "on_early_exit": "by-steps",
                       "forfeited_to": "fund", "income_goes_along": True, "counts_in_closure_test": True}, "month 0"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_is_refused(kind: type[Rule], parameters: dict[str, object], reason: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=reason):
        made(kind, **parameters)
