"""The demo's people and payments: the same from run to run, right in form, nobody's."""

import re
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import phonenumbers
import pytest
import tomli_w
from stdnum import luhn
from stdnum.in_ import aadhaar

from demo.plan import Plan, make_plan
from demo.scenario import DemoInvalid, load_packs
from demo.year import published_prices
from tests.journeys.conftest import ROOT

PACKS = {pack.code: pack for pack in load_packs((ROOT / "tenants",))}


@pytest.fixture(scope="module", params=sorted(PACKS))
def plan(request: pytest.FixtureRequest) -> Plan:
    pack = PACKS[request.param]
    return make_plan(pack, sorted(published_prices(pack)))


def test_every_run_plans_the_same(plan: Plan) -> None:
    again = make_plan(plan.pack, sorted(published_prices(plan.pack)))

    assert again.people == plan.people
    assert again.payments == plan.payments


def test_the_year_is_as_large_as_it_should_be(plan: Plan) -> None:
    """A thousand members and 20 payments that match no one in one scheme, three hundred members in each other; one lives a quarter."""
    india = plan.pack.code == "in-nps-lite"
    mishaps = Counter(payment.mishap for payment in plan.payments if payment.mishap)

    assert len(plan.people) >= (1000 if india else 300)
    assert 25_000 <= len(plan.payments) <= 40_000 or not india
    assert mishaps.total() == (20 if india else 5)
    assert {payment.way for payment in plan.payments} == {"single", "batch", "file"}
    assert len({payment.reference for payment in plan.payments}) == len(plan.payments)
    ends = {"in-apy": date(2023, 6, 30), "in-nps-lite": date(2024, 3, 31), "rw-ejoheza": date(2024, 3, 29)}
    assert (plan.days[0], plan.days[-1]) == (date(2023, 4, 3), ends[plan.pack.code])


def test_every_payment_is_sent_on_a_day_of_the_plan_after_its_payer_joined(plan: Plan) -> None:
    joined = {person.index: person.joins_on for person in plan.people}
    days = set(plan.days)

    assert all(payment.sent_on in days for payment in plan.payments)
    assert all(joined[payment.person] <= payment.paid_on <= payment.sent_on for payment in plan.payments)
    assert all(payment.paid_on == payment.sent_on for payment in plan.payments if payment.way != "file")
    assert len(plan.payments) == sum(len(payments) for payments in plan.sending.values())


def test_people_have_numbers_that_are_right_in_form_and_their_own(plan: Plan) -> None:
    numbers = [person.document_number for person in plan.people]
    phones = [person.phone for person in plan.people]
    is_aadhaar = plan.pack.scenario.people.document == "aadhaar"
    pattern = re.compile(r"999\d{9}" if is_aadhaar else r"1(19|20)\d\d[78]\d{10}")

    assert len(set(numbers)) == len(set(phones)) == len(plan.people)
    assert all(pattern.fullmatch(number) for number in numbers)
    assert not is_aadhaar or all(aadhaar.is_valid(number) for number in numbers)
    assert all(phonenumbers.is_valid_number(phonenumbers.parse(phone)) for phone in phones)


def test_a_wrong_member_number_is_wrong_in_the_way_it_should_be(plan: Plan) -> None:
    numbers = {person.index: _number(plan, person.index) for person in plan.people}
    for payment in plan.payments:
        if payment.mishap:
            given = payment.member(numbers, plan.pack)
            assert given not in numbers.values()
            assert luhn.is_valid(given) == (payment.mishap == "unknown-member")


def _number(plan: Plan, index: int) -> str:
    body = f"{plan.pack.number_prefix}{index:0{plan.pack.number_digits - len(plan.pack.number_prefix) - 1}d}"
    return body + str(luhn.calc_check_digit(body))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"surprise": 1}, "unknown field `surprise`"),
        ({"first_day": date(2025, 1, 1)}, "must follow each other"),
        ({"schemes": None}, "prices and schemes go together"),
        ({"sending": {"ways": {"single": 1}, "channels": {}}}, "lacks single"),
        ({"sending": {"ways": {"file": 1}, "channels": {"file": ["upi"]}}}, "files_on is empty"),
        ({"sending": {"ways": {"post": 1}, "channels": {}}}, "Invalid enum value 'post'"),
    ],
)
def test_a_demo_file_that_cannot_be_used_is_named(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    import tomllib

    folder = tmp_path / "in-nps-lite"
    folder.mkdir()
    pack = PACKS["in-nps-lite"].folder
    (folder / "pack.toml").write_bytes((pack / "pack.toml").read_bytes())
    table = tomllib.loads((pack / "demo.toml").read_text(encoding="utf-8")) | change
    whole = {name: value for name, value in table.items() if value is not None}
    (folder / "demo.toml").write_text(tomli_w.dumps(whole), encoding="utf-8")

    with pytest.raises(DemoInvalid, match=re.escape(complaint)) as caught:
        load_packs((tmp_path,))
    assert str(folder / "demo.toml") in str(caught.value)


def test_a_folder_without_a_demo_says_so(tmp_path: Path) -> None:
    with pytest.raises(DemoInvalid, match=r"no pack with a demo\.toml"):
        load_packs((tmp_path,))
