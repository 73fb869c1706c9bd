"""What goes along with savings: nothing is lost, contributions keep their days, and an advice agrees with itself or is refused."""

from datetime import date, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.benefits.errors import (
    AdviceDiffers,
    NothingToTransfer,
    OriginNotTaken,
    PotNotTaken,
    TransferTooSoon,
)
from engine.benefits.rules.advices import AdvicePerson, TransferAdvice, advice_parts, carried, check_advice
from engine.benefits.rules.claiming import PaidIn
from engine.benefits.rules.transfers import (
    Brought,
    Carried,
    CarriedPayment,
    TransferInRule,
    TransferOutRule,
    joined_after,
    less_charge,
    taken_in,
    transfer_of,
)
from engine.kernel.amounts import Asset
from tests.engine.benefits.books import figures_in, held, problems_of, rule_of

KES = Asset("KES", 2)
TODAY = date(2024, 6, 30)
OUT = """
[[rule]]
kind = "transfer-out"
id = "out"
pots = ["open", "locked"]
origins = ["own"]
least_months_in_scheme = 12
months_between = 6
documents = []
scheme_documents = []
charge = "1.00"
payee = "operator"
"""
IN = """
[[rule]]
kind = "transfer-in"
id = "in"
pots = { account = "open", flexible = "open" }
origins = ["own", "state-match"]
both_dates = "BOTH"
"""
DAYS = st.dates(date(2015, 1, 1), TODAY)
POTS, ORIGINS = st.sampled_from(["open", "locked"]), st.sampled_from(["own", "state-match"])
PAID = st.lists(st.builds(PaidIn, DAYS, POTS, ORIGINS, st.integers(-100, 10_000), st.booleans()), max_size=12)
NETS = st.dictionaries(st.tuples(POTS, ORIGINS), st.integers(1, 30_000), min_size=1)


def advice(brought: Brought, **other: Any) -> TransferAdvice:
    parts, payments, totals = advice_parts(brought.parts, brought.payments, KES)
    said: dict[str, Any] = {
        "version": 1, "reference": "T1", "sender": "There", "receiver": "Here", "dated_on": TODAY, "currency": "KES",
        "member": AdvicePerson(number="1", full_name="Asha Example"), "product": "p", "joined_on": date(2015, 1, 1),
        "parts": parts, "payments": payments, "totals": totals,
    }  # fmt: skip
    return TransferAdvice(**{**said, **other})


@given(nets=NETS, paid=PAID, returned=st.integers(0, 20_000))
def test_contributions_are_at_most_what_was_paid_and_what_goes_and_stand_by_day(
    nets: dict[tuple[str, str], int], paid: list[PaidIn], returned: int
) -> None:
    parts, payments = carried(nets, paid, returned)

    assert {(one.pot, one.origin): one.amount for one in parts} == nets
    by_day: dict[tuple[date, str, str], int] = {}
    for one in paid:
        if one.minor > 0 and not one.is_reversed:
            by_day[one.on, one.pot, one.origin] = by_day.get((one.on, one.pot, one.origin), 0) + one.minor
    for part in parts:
        mine = [one for one in payments if (one.pot, one.origin) == (part.pot, part.origin)]
        assert sum(one.amount for one in mine) == part.contributions <= part.amount
    assert all(0 < one.amount <= by_day[one.paid_on, one.pot, one.origin] for one in payments)
    pots = {pot for pot, _ in nets}
    of_pots = sum(minor for (_, pot, _), minor in by_day.items() if pot in pots)
    assert sum(one.contributions for one in parts) <= max(of_pots - returned, 0)
    if not returned:  # what is held beyond contributions is income, and only that
        for part in parts:
            whole = sum(minor for (_, pot, origin), minor in by_day.items() if (pot, origin) == (part.pot, part.origin))
            assert part.contributions == min(whole, part.amount)


def test_what_earlier_claims_returned_is_no_contribution_any_more_in_proportion() -> None:
    """100 and 300 were paid, 200 of it returned: 50 and 150 are left, of 260 that go the rest is income."""
    paid = [PaidIn(date(2020, 1, 1), "open", "own", 100), PaidIn(date(2021, 1, 1), "open", "own", 300)]

    parts, payments = carried({("open", "own"): 260}, paid, 200)

    assert parts == (Carried("open", "own", 260, 200),)
    assert payments == (
        CarriedPayment(date(2020, 1, 1), "open", "own", 50),
        CarriedPayment(date(2021, 1, 1), "open", "own", 150),
    )


@given(nets=NETS, paid=PAID, returned=st.integers(0, 20_000))
def test_an_advice_brings_what_was_carried_through_its_file(
    nets: dict[tuple[str, str], int], paid: list[PaidIn], returned: int
) -> None:
    brought = Brought(*carried(nets, paid, returned))
    raw = msgspec.json.encode(advice(brought))

    assert check_advice(msgspec.json.decode(raw, type=TransferAdvice), KES, TODAY) == brought


SOUND = Brought((Carried("open", "own", 500, 300),), (CarriedPayment(date(2020, 1, 1), "open", "own", 300),))


def _part(**other: Any) -> dict[str, Any]:
    (part,) = advice(SOUND).parts
    return {"parts": (msgspec.structs.replace(part, **other),)}


def _totals(**other: Any) -> dict[str, Any]:
    return {"totals": msgspec.structs.replace(advice(SOUND).totals, **other)}


def _payment(**other: Any) -> dict[str, Any]:
    (payment,) = advice(SOUND).payments
    return {"payments": (msgspec.structs.replace(payment, **other),)}


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("currency", {"currency": "UGX"}),
        ("amount", _part(amount="5.001")),
        ("parts", {"parts": advice(SOUND).parts * 2}),
        ("parts", _part(amount="0.00", contributions="0.00", income="0.00")),
        ("parts.income", _part(income="2.01")),
        ("parts.contributions", _part(contributions="2.99", income="2.01")),
        ("parts.vests_from", _part(vests_from=date(2019, 1, 1))),
        ("payments", _payment(pot="locked")),
        ("payments", _payment(amount="0.00")),
        (
            "payments.paid_on",
            {**_payment(paid_on=TODAY + timedelta(days=1)), **_part(vests_from=TODAY + timedelta(days=1))},
        ),
        ("joined_on", {"joined_on": TODAY + timedelta(days=1)}),
        ("dated_on", {"dated_on": TODAY + timedelta(days=1)}),
        ("totals.amount", _totals(amount="5.01")),
        ("totals.contributions", _totals(contributions="3.01")),
        ("totals.income", _totals(income="2.01")),
        ("totals.parts", _totals(parts=2)),
        ("totals.payments", _totals(payments=2)),
    ],
)
def test_an_advice_that_does_not_agree_is_refused_by_its_field(field: str, other: dict[str, Any]) -> None:
    assert check_advice(advice(SOUND), KES, TODAY) == SOUND

    with pytest.raises(AdviceDiffers) as refused:
        check_advice(advice(SOUND, **other), KES, TODAY)

    assert refused.value.details["field"] == field


def test_all_named_money_goes_less_the_charge() -> None:
    found, figures = rule_of(TransferOutRule, OUT), figures_in("KES")
    holdings = held(("open", "own", 500), ("locked", "own", 250), ("locked", "state-match", 75), ("open", "gift", 9))

    goes, charge = transfer_of(
        found, holdings, figures, on=TODAY, joined_on=date(2020, 1, 1), last_on=date(2023, 12, 30)
    )

    assert goes == held(("open", "own", 500), ("locked", "own", 250))
    assert charge == 100
    assert less_charge({("open", "own"): 60, ("locked", "own"): 250}, charge) == {("locked", "own"): 100}
    assert less_charge({("open", "own"): 60, ("locked", "own"): 30}, charge) == {
        ("locked", "own"): 30,
        ("open", "own"): 59,
    }


@pytest.mark.parametrize(
    ("joined_on", "last_on", "first"),
    [(date(2023, 7, 1), None, "2024-07-01"), (date(2020, 1, 1), date(2024, 1, 1), "2024-07-01")],
)
def test_who_came_or_went_not_long_ago_waits(joined_on: date, last_on: date | None, first: str) -> None:
    with pytest.raises(TransferTooSoon) as refused:
        transfer_of(
            rule_of(TransferOutRule, OUT), held(("open", "own", 500)), figures_in("KES"),
            on=TODAY, joined_on=joined_on, last_on=last_on,
        )  # fmt: skip

    assert refused.value.details["day"] == first


def test_what_only_pays_the_charge_stays() -> None:
    with pytest.raises(NothingToTransfer):
        transfer_of(
            rule_of(TransferOutRule, OUT), held(("open", "own", 100)), figures_in("KES"),
            on=TODAY, joined_on=date(2020, 1, 1), last_on=None,
        )  # fmt: skip


def test_pots_that_become_one_fall_together() -> None:
    brought = Brought(
        (Carried("account", "own", 500, 300), Carried("flexible", "own", 50, 50)),
        (
            CarriedPayment(date(2020, 1, 1), "account", "own", 300),
            CarriedPayment(date(2020, 1, 1), "flexible", "own", 50),
        ),
    )

    found = taken_in(rule_of(TransferInRule, IN.replace("BOTH", "earlier")), brought)

    assert found == Brought(
        (Carried("open", "own", 550, 350),), (CarriedPayment(date(2020, 1, 1), "open", "own", 350),)
    )


def test_what_has_no_place_keeps_all_out() -> None:
    rule = rule_of(TransferInRule, IN.replace("BOTH", "earlier"))
    with pytest.raises(PotNotTaken):
        taken_in(rule, Brought((Carried("account", "own", 1, 1), Carried("other", "own", 1, 1)), ()))
    with pytest.raises(OriginNotTaken):
        taken_in(rule, Brought((Carried("account", "employer", 1, 1),), ()))


def test_the_earlier_day_of_joining_counts_where_the_rule_says_so() -> None:
    here, there = date(2020, 1, 1), date(2012, 5, 1)

    assert joined_after(rule_of(TransferInRule, IN.replace("BOTH", "earlier")), here, there) == there
    assert joined_after(rule_of(TransferInRule, IN.replace("BOTH", "earlier")), there, here) == there
    assert joined_after(rule_of(TransferInRule, IN.replace("BOTH", "this-products")), here, there) == here


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (OUT.replace('payee = "operator"', ""), "charge and payee are said together"),
        (OUT.replace('["own"]', '["own", "own"]'), "each pot and each origin may stand once"),
        (
            IN.replace("BOTH", "earlier").replace('pots = { account = "open", flexible = "open" }', "pots = {}"),
            "say pots, or other_pots, or both",
        ),
    ],
)
def test_a_rule_that_contradicts_itself_is_refused(rule: str, problem: str) -> None:
    assert any(problem in one for one in problems_of(rule)), problems_of(rule)
