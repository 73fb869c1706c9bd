"""What holds for every amount: nothing is lost, no pot goes below zero, no limit is passed, more money never gives less."""

from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.benefits.rules import (
    AccessCase,
    AccessRule,
    ConsumptionOrder,
    CorpusRule,
    EarlyExitRule,
    FeeCase,
    FeeRule,
    Holding,
    LoanCase,
    LoanMovement,
    LoanRule,
    OriginMoney,
    PayeeAccount,
    PayersRule,
    PayoutRouteRule,
    ProductMoveRule,
    RetirementOptionRule,
    Standing,
    Tranche,
    accessible,
    attribute,
    consume,
    dispose_corpus,
    fee_due,
    leave,
    loan_ceiling,
    loan_schedule,
    loan_standing,
    move_member,
    next_instalment,
    plan_retirement,
    remaining,
    route_payout,
    share_among_payers,
    share_repayment,
    take_fees,
)
from engine.funds.rules import Movement
from engine.kernel.amounts import Asset
from tests.engine.benefits.books import calendar_year, figures_in, held, rule_of, rules_of

DAY = date(2020, 1, 1)
POTS, ORIGINS = ("open", "locked"), ("own", "employer", "state-match")
minors = st.integers(0, 10**12)
currencies = st.sampled_from(["RWF", "KES", "TND"])  # 0, 2 and 3 decimals
holdings = st.tuples(*([st.integers(0, 10**9)] * 6)).map(
    lambda amounts: tuple(
        Holding(pot, origin, minor)
        for (pot, origin), minor in zip(((p, o) for p in POTS for o in ORIGINS), amounts, strict=True)
    )
)
orders = st.builds(
    ConsumptionOrder,
    pots=st.permutations(POTS).map(tuple),
    pots_by=st.sampled_from(["in-order", "pro-rata"]),
    origins=st.permutations(ORIGINS).map(tuple),
    origins_by=st.sampled_from(["in-order", "pro-rata"]),
)
ORDER = 'order = { pots = ["open", "locked"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }'


def total(parts: tuple[Holding, ...]) -> int:
    return sum(one.minor for one in parts)


@given(minor=minors, there=holdings, order=orders)
def test_consuming_loses_nothing_and_overdraws_nothing(
    minor: int, there: tuple[Holding, ...], order: ConsumptionOrder
) -> None:
    taken = consume(minor, there, order)
    left = remaining(there, taken)
    assert taken.minor + taken.short_minor == minor
    assert total(left) + taken.minor == total(there)
    assert min(one.minor for one in left) >= 0
    assert taken.short_minor == 0 or total(left) == 0


FEES = f"""
[[rule]]
kind = "fee"
id = "assets"
charged = "year"
payee = "operator"
percent = "1.25"
percent_of = "assets"
least = "2"
most = "500"
part_period = "days"
taken_from = "units"
{ORDER}
rank = 2
when_short = "take-what-is-there"
rounding = "half-up"

[[rule]]
kind = "fee"
id = "collection"
charged = "contribution"
payee = "operator"
amount = "3"
part_period = "whole"
taken_from = "contribution"
rank = 1
when_short = "owe"
rounding = "half-up"
"""


@given(assets=minors, paid=st.integers(0, 10**6), there=holdings, currency=currencies, joined=st.integers(0, 800))
def test_fees_keep_their_limits_and_take_no_more_than_there_is(
    assets: int, paid: int, there: tuple[Holding, ...], currency: str, joined: int
) -> None:
    figures = figures_in(currency)
    unit = 10**figures.asset.scale
    case = FeeCase(
        on=date(2021, 1, 1),
        joined_on=date(2019, 1, 1) + timedelta(days=joined),
        assets_minor=assets,
        period_from=DAY,
        period_until=date(2021, 1, 1),
    )
    dues = [fee_due(one, case, figures) for one in rules_of(FeeRule, FEES).values() if case.joined_on <= case.on]
    for due in dues:
        assert 0 <= due.minor <= 500 * unit
    taken, left = take_fees(dues, there, contribution_minor=paid)
    from_contribution = sum(one.minor for one in taken if one.due.found.rule.order is None)
    assert left == paid - from_contribution >= 0
    assert all(total(one.parts) == one.minor for one in taken if one.due.found.rule.order is not None)
    assert all(one.minor + one.owed_minor <= one.due.minor for one in taken)


LOAN = """
[[rule]]
kind = "loan"
id = "loan"
form = "loan"
base = { pots = ["open"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }
ceiling_bp = 5000
covers_interest_months = 6
least_months_in_scheme = 0
one_at_a_time = true
percent = "18"
schedule = "SCHEDULE"
interest_on = "reducing"
every_months = 1
most_instalments = 60
repaid_to = "own-pot"
interest_to = "member"
repays_first = "interest"
default_after_months = 3
on_default = "freeze"
rounding = "half-up"
"""


@pytest.mark.parametrize("schedule", ["equal-instalments", "equal-principal", "at-end"])
@given(principal=st.integers(1, 10**9), count=st.integers(1, 60))
def test_a_schedule_repays_the_principal_exactly(schedule: str, principal: int, count: int) -> None:
    found = rule_of(LoanRule, LOAN.replace("SCHEDULE", schedule))
    made = loan_schedule(found, principal, count, LoanCase(on=DAY, joined_on=DAY, holdings=()))
    assert sum(one.principal_minor for one in made) == principal
    assert all(one.principal_minor >= 0 and one.interest_minor >= 0 for one in made)
    assert len(made) == count


def test_equal_instalments_are_equal_but_for_the_last() -> None:
    # 100,000.00 at 1.5 % a month over 12: 9,168.00 (annuity factor 10.9075052)
    found = rule_of(LoanRule, LOAN.replace("SCHEDULE", "equal-instalments"))
    made = loan_schedule(found, 10_000_000, 12, LoanCase(on=DAY, joined_on=DAY, holdings=()))
    assert {one.principal_minor + one.interest_minor for one in made[:-1]} == {916_800}
    assert abs(made[-1].principal_minor + made[-1].interest_minor - 916_800) <= 6


@pytest.mark.parametrize("schedule", ["equal-instalments", "equal-principal", "at-end"])
@given(principal=st.integers(1, 10**9), count=st.integers(1, 24), missed=st.integers(0, 23))
def test_who_pays_as_agreed_owes_what_was_agreed(schedule: str, principal: int, count: int, missed: int) -> None:
    """Paid on each due day nothing is overdue; of the first instalment that is missed, its own interest is owed."""
    found = rule_of(LoanRule, LOAN.replace("SCHEDULE", schedule))
    made = loan_schedule(found, principal, count, LoanCase(on=DAY, joined_on=DAY, holdings=()))
    kept = made[: min(missed, count)]
    paid = [LoanMovement(one.due_on, one.principal_minor, one.interest_minor) for one in kept]
    for number, one in enumerate(kept, 1):
        stands = loan_standing(found, made, paid[:number], one.due_on)
        assert (stands.interest_minor, stands.unpaid_since) == (0, None)
        assert stands.principal_minor == principal - sum(each.principal_minor for each in kept[:number])
    if len(kept) < count:
        lacking = made[len(kept)]
        stands = loan_standing(found, made, paid, lacking.due_on)
        assert stands.interest_minor == lacking.interest_minor
        due = lacking.principal_minor + lacking.interest_minor
        assert stands.unpaid_since == (lacking.due_on if due else None)


def test_interest_is_on_what_is_still_owed_after_the_due_day_before() -> None:
    """1,000.00 at 1.5 % a month: 15.00 on the first day; 400.00 paid between bear interest until the second, then no more."""
    found = rule_of(LoanRule, LOAN.replace("SCHEDULE", "at-end"))
    made = loan_schedule(found, 1_000_00, 3, LoanCase(on=date(2021, 1, 1), joined_on=DAY, holdings=()))
    paid = [LoanMovement(date(2021, 2, 1), 0, 15_00), LoanMovement(date(2021, 2, 2), 400_00, 0)]
    assert loan_standing(found, made, paid, date(2021, 3, 1)).interest_minor == 15_00
    assert loan_standing(found, made, paid, date(2021, 4, 1)).interest_minor == 15_00 + 9_00
    assert loan_standing(found, made, paid, date(2021, 4, 1)).principal_minor == 600_00


@given(base=st.integers(0, 10**12))
def test_a_ceiling_leaves_the_interest_covered(base: int) -> None:
    found = rule_of(LoanRule, LOAN.replace("SCHEDULE", "at-end"))
    case = LoanCase(on=DAY, joined_on=DAY, holdings=held(("open", "own", base)))
    ceiling = loan_ceiling(found, case, figures_in("KES"))
    assert ceiling * 2 <= base
    assert ceiling * Fraction(109, 100) <= base


@given(paid=minors, interest=minors, principal=minors)
def test_a_repayment_is_shared_whole(paid: int, interest: int, principal: int) -> None:
    found = rule_of(LoanRule, LOAN.replace("SCHEDULE", "at-end"))
    shared = share_repayment(found, paid, interest_minor=interest, principal_minor=principal)
    assert shared.interest_minor + shared.principal_minor + shared.left_minor == paid
    assert shared.interest_minor == min(paid, interest)
    assert shared.principal_minor <= principal


ACCESS = f"""
[[rule]]
kind = "access"
id = "part"
{ORDER}
counted_from = "joining"
leap_day = "1-march"
only_since_last = false
most_bp = 3333
share_of = "balance-and-withdrawn"
"""


@given(there=st.integers(0, 10**12), steps=st.lists(st.integers(1, 10_000), max_size=6))
def test_repeated_withdrawals_never_pass_the_share_of_all_that_was_saved(there: int, steps: list[int]) -> None:
    found, figures = rule_of(AccessRule, ACCESS), figures_in("KES")
    balance = there
    withdrawn: tuple[tuple[date, int], ...] = ()
    for number, share in enumerate(steps):
        case = AccessCase(on=DAY, joined_on=DAY, holdings=held(("open", "own", balance)), withdrawn=withdrawn)
        most = accessible(found, case, figures, calendar_year).minor
        taken = most * share // 10_000
        balance -= taken
        withdrawn = (*withdrawn, (DAY + timedelta(days=number), taken))
    assert sum(minor for _, minor in withdrawn) * 10_000 <= there * 3333


EXIT = """
[[rule]]
kind = "early-exit"
id = "exit"
ground = "voluntary"
from_years = 0
counted_from = "joining"
leap_day = "1-march"
pays = ["own", "gift"]
income = "INCOME"
forfeited_to = "scheme"
"""


@given(amounts=st.lists(st.tuples(st.sampled_from(["own", "gift", "state-match"]), minors, minors), max_size=5))
@pytest.mark.parametrize("income", ["fund", "none"])
def test_what_a_leaver_is_not_paid_is_forfeited(income: str, amounts: list[tuple[str, int, int]]) -> None:
    found = rule_of(EarlyExitRule, EXIT.replace("INCOME", income))
    money = [OriginMoney(origin, (Movement(DAY, paid),), fund) for origin, paid, fund in amounts]
    left = leave(found, money, DAY, figures_in("KES"))
    assert left.paid_minor - left.top_up_minor + left.forfeited_minor == sum(fund for _, _, fund in amounts)
    assert left.top_up_minor == 0 <= min(left.contributions_minor, left.income_minor, left.forfeited_minor)


OPTION = """
[[rule]]
kind = "retirement-option"
id = "option"
grounds = ["retirement"]
order = { pots = ["open"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }
least_lump_bp = 0
most_lump_bp = 10000
lump_rounding = "half-up"
rest = "instalments"
[rule.instalments]
least_years = 1
most_years = 30
every_months = 3
amount = "AMOUNT"
unpaid_earns = false
first_due = "at-once"
rounding = "down"
"""


@pytest.mark.parametrize("amount", ["fixed", "unpaid-over-left"])
@given(balance=minors, lump_bp=st.integers(0, 10_000), years=st.integers(1, 30), currency=currencies)
def test_instalments_pay_the_whole_rest(amount: str, balance: int, lump_bp: int, years: int, currency: str) -> None:
    found = rule_of(RetirementOptionRule, OPTION.replace("AMOUNT", amount))
    plan = plan_retirement(
        found, balance, figures_in(currency), on=DAY, ground="retirement", lump_bp=lump_bp, years=years
    )
    assert plan.lump_minor + plan.rest_minor == balance
    assert found.rule.instalments is not None
    unpaid = plan.rest_minor
    for number in range(1, plan.instalments + 1):
        paid = next_instalment(found.rule.instalments, plan, number=number, unpaid_minor=unpaid)
        assert paid.lacking_minor == 0
        unpaid -= paid.paid_minor
    assert unpaid == 0


CORPUS = """
[[rule]]
kind = "corpus"
id = "corpus"
after = "member"
to = "nominees"
without_nominee = "heirs"
"""


@given(balance=minors, cuts=st.sets(st.integers(1, 9_999), max_size=4), currency=currencies)
def test_nominees_get_all_of_it(balance: int, cuts: set[int], currency: str) -> None:
    marks = [0, *sorted(cuts), 10_000]
    nominees = [(str(number), b - a) for number, (a, b) in enumerate(pairwise(marks))]
    paid = dispose_corpus(
        rule_of(CorpusRule, CORPUS), balance, nominees, keys={}, tables={}, asset=Asset.currency(currency)
    )
    assert sum(minor for _, minor in paid.parts) == balance
    for name, minor in paid.parts:
        assert abs(minor - Fraction(balance * dict(nominees)[name], 10_000)) < 1


PAYERS = """
[[rule]]
kind = "payers"
id = "payers"
then = ["scheme", "state"]
last = "LAST"
"""


@pytest.mark.parametrize("last", ["owed", "ends"])
@given(due=minors, own=minors, scheme=minors, state=st.one_of(st.none(), minors))
def test_payers_pay_in_order_and_what_is_left_is_told(
    last: str, due: int, own: int, scheme: int, state: int | None
) -> None:
    shared = share_among_payers(
        rule_of(PayersRule, PAYERS.replace("LAST", last)), due, own, {"scheme": scheme, "state": state}
    )
    parts = dict(shared.parts)
    assert sum(parts.values()) + shared.owed_minor + shared.unpaid_minor == due
    assert parts.get("own-pot", 0) == min(due, own)
    assert "state" not in parts or parts.get("scheme", 0) == min(scheme, due - parts.get("own-pot", 0))
    assert state is not None or shared.owed_minor == shared.unpaid_minor == 0


tranches = st.lists(
    st.builds(Tranche, paid_on=st.dates(DAY, date(2029, 1, 1)), contribution_minor=minors, income_minor=minors),
    min_size=1,
    max_size=5,
)


@pytest.mark.parametrize("method", ["proportional", "first-in", "contributions-first", "income-first"])
@given(saved=tranches, share=st.integers(0, 10_000))
def test_a_withdrawal_is_attributed_whole_and_no_tranche_gives_more_than_it_has(
    method: str, saved: list[Tranche], share: int
) -> None:
    everything = sum(one.contribution_minor + one.income_minor for one in saved)
    minor = everything * share // 10_000
    taken = attribute(method, minor, sorted(saved, key=lambda one: one.paid_on))
    assert sum(contribution + income for _, contribution, income in taken) == minor
    for tranche, contribution, income in taken:
        assert 0 <= contribution <= tranche.contribution_minor
        assert 0 <= income <= tranche.income_minor


ROUTES = """
[[rule]]
kind = "payout-route"
id = "wallet"
rail = "wallet"
rank = 1
below_amount = "1000"
least_payable = "10"
step = "5"
name_check = "none"
account = "any"

[[rule]]
kind = "payout-route"
id = "bank"
rail = "bank"
rank = 2
name_check = "none"
account = "any"
"""


@given(minor=st.integers(1, 10**9), currency=currencies)
def test_what_a_rail_cannot_pay_stays_the_members(minor: int, currency: str) -> None:
    figures = figures_in(currency)
    rules = list(rules_of(PayoutRouteRule, ROUTES).values())
    route = route_payout(rules, minor, [PayeeAccount(rail="wallet"), PayeeAccount(rail="bank")], figures, DAY)
    unit = 10**figures.asset.scale
    assert route.paid_minor + route.stays_minor == minor
    assert route.rail == ("wallet" if minor < 1000 * unit else "bank")
    if route.rail == "wallet":
        assert route.paid_minor % (5 * unit) == 0
        assert route.paid_minor == 0 or route.paid_minor >= 10 * unit


MOVE = """
[[rule]]
kind = "product-move"
id = "move"
from_product = "old"
act = "merge"
keeps = ["joining-date", "cost-basis"]
pots = { a = "x", b = "x", c = "y" }
moves_as = "money"
both_dates = "earlier"
both_choices = "this-products"
needs_consent = false
"""


@given(old=st.tuples(minors, minors, minors), new=st.one_of(st.none(), st.tuples(minors, minors)))
def test_a_move_keeps_every_smallest_unit_and_the_earlier_joining_date(
    old: tuple[int, int, int], new: tuple[int, int] | None
) -> None:
    left = dict(zip("abc", old, strict=True))
    there = None if new is None else Standing(joined_on=DAY, money=dict(zip("xy", new, strict=True)), cost={})
    standing = Standing(joined_on=date(2015, 1, 1), money=left, cost=left)
    moved = move_member(rule_of(ProductMoveRule, MOVE), standing, there, on=DAY, has_consent=False)
    assert sum(moved.money.values()) == sum(old) + sum(new or ())
    assert moved.joined_on == date(2015, 1, 1)
    assert sum(moved.cost.values()) == sum(old)
