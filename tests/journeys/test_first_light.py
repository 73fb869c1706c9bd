"""One saver's life over HTTP, from enrolment to an export that proves itself; two schemes side by side."""

import json
from datetime import timedelta
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path

import pytest

from demo.client import DemoFailed
from tests.journeys.conftest import Deployment

PRICES = {"SM001009": "31.7277", "SM002009": "31.4860", "SM003003": "31.7722"}
LATER = {"SM001009": "31.8003", "SM002009": "31.5621", "SM003003": "31.8417"}
FUNDS = {"sahyog": "SM001009", "gramin": "SM002009", "shramik": "SM003003"}


def test_a_contribution_becomes_units_at_the_first_price_after_its_cut_off(deployment: Deployment) -> None:
    india = deployment.india
    group = india.people[india.enrolled].group
    member = india.enrol()
    paid = india.pay(member, "500.00", "LIFE-1")
    before = india.statement(member)
    india.advance(hour=21)
    reported = india.import_statement(("LIFE-1", "500.00"))
    india.import_prices(PRICES)
    ordered = india.deal()
    india.advance(days=1, hour=21)
    india.import_prices(LATER)
    priced = india.deal()
    after = india.statement(member)

    assert paid.status == 201
    assert paid.json["parts"] == [{"pot": "retirement", "origin": "own", "amount": "500.00"}]
    assert (before["totals"]["value"], before["totals"]["uninvested"]) == ("500.00", "500.00")
    assert [line["state"] for line in before["lines"]] == ["received"]
    assert (reported["matched"], reported["unmatched"]) == (1, 0)
    assert [(one["fund"], one["waiting"]) for one in ordered["orders"]] == [(FUNDS[group], "no-price")]
    price = Decimal(LATER[FUNDS[group]])
    units = (Decimal(500) / price).quantize(Decimal("0.0001"), ROUND_FLOOR)
    assert [(one["units"], one["waiting"]) for one in priced["orders"]] == [(str(units), "")]
    assert after["lines"][0]["price"] == str(price.normalize())
    assert after["holdings"][0]["units"] == str(units)
    assert after["totals"]["value"] == str((units * price).quantize(Decimal("0.01"), ROUND_FLOOR))
    assert after["totals"]["contributed"] == "500.00"


def test_a_retry_gets_the_first_answer_and_posts_once(deployment: Deployment) -> None:
    india = deployment.india
    member = india.enrol()
    first = india.pay(member, "250", "RETRY-1", key="retry-key")
    again = india.pay(member, "250", "RETRY-1", key="retry-key")
    without_its_key = india.pay(member, "250.00", "RETRY-1", key="another-key")

    assert first.json == again.json == without_its_key.json
    assert india.statement(member)["totals"]["contributed"] == "250.00"


def test_a_batch_answers_each_payment_on_its_own(deployment: Deployment) -> None:
    india = deployment.india
    member = india.enrol()
    items = [
        india.payment(member, "100", "BATCH-1") | {"key": "b1"},
        india.payment(member, "99.99", "BATCH-2") | {"key": "b2"},
        india.payment(member, "100", "BATCH-1") | {"key": "b1"},
        india.payment("500000000000", "100", "BATCH-3") | {"key": "b3"},
    ]
    answer = india.partner.post("/v1/contributions/batch", {"items": items})

    assert answer.status == 200
    assert [one["status"] for one in answer.json["items"]] == [201, 409, 201, 202]
    assert answer.json["items"][0]["receipt"] == answer.json["items"][2]["receipt"]
    assert answer.json["items"][1]["problem"]["code"] == "contributions.below-minimum"
    assert india.statement(member)["totals"]["contributed"] == "100.00"


def test_money_for_nobody_waits_in_suspense_until_it_is_known_whose_it_is(deployment: Deployment) -> None:
    """The officer who says whose it is gives it to nobody: the one who imports statements confirms it."""
    india = deployment.india
    member = india.enrol()
    mistyped = member[:-1] + str((int(member[-1]) + 1) % 10)
    paid = india.pay(mistyped, "300", "SUSPENSE-1")
    listed = [one for one in india.partner.get("/v1/suspense") if one["receipt"] == paid.json["receipt"]]
    path = f"/v1/suspense/{paid.json['receipt']}/proposals"
    by_partner = india.partner.post(path, {"member": member})
    link = deployment.machine.akiba(
        "admin", "bootstrap", "--tenant", india.pack.code, "--name", "officer", "--role", "contributions-officer"
    )["link"]
    officer = type(india.operator)(india.site, link)
    (sought,) = [one for one in officer.get("/v1/suspense/owners") if one["payment"]["receipt"] == paid.json["receipt"]]
    proposed = officer.post(path, {"member": sought["owners"][0]["member"]}, status=201)
    confirmation = f"/v1/suspense/proposals/{proposed['proposal']}/confirmation"
    with pytest.raises(DemoFailed, match="403"):
        officer.post(confirmation, {"digest": proposed["digest"]}, status=200)
    resolved = india.operator.post(confirmation, {"digest": proposed["digest"]}, status=200)
    with pytest.raises(DemoFailed, match="409"):
        officer.post(path, {"member": member}, status=201)

    assert (paid.status, paid.json["state"]) == (202, "suspended")
    assert [(one["reason"], Decimal(str(one["amount"]))) for one in listed] == [("bad-check-digit", Decimal(300))]
    assert by_partner.status == 403
    assert sought["owners"][0]["member"] == member
    assert resolved["amount"] == "300.00"
    assert india.statement(member)["totals"]["contributed"] == "300.00"
    assert all(one["receipt"] != paid.json["receipt"] for one in india.partner.get("/v1/suspense"))


def test_two_schemes_side_by_side_know_nothing_of_each_other(deployment: Deployment) -> None:
    """Another tenant's member looks like a number that nobody has, in every route that takes one."""
    india, rwanda = deployment.india, deployment.rwanda
    member = rwanda.enrol()
    paid = rwanda.pay(member, "1500", "RW-1")
    india_asks = india.site.ask
    token = india.partner._current_token()  # a partner of one scheme, at the other's door
    answers = [
        india_asks("GET", f"/v1/members/{member}{rest}", Authorization=f"Bearer {token}")
        for rest in ("", "/statement", "/statement.pdf")
    ]
    nobody = india_asks("GET", "/v1/members/2000000000/statement", Authorization=f"Bearer {token}")
    sent = india.pay(member, "500", "CROSS-1")

    assert paid.status == 201
    assert rwanda.statement(member)["totals"]["value"] == "1500"
    assert rwanda.statement(member)["currency"] == "RWF"
    assert [answer.status for answer in answers] == [404, 404, 404]
    assert answers[1].json == nobody.json
    assert all(member.encode() not in answer.body for answer in answers)
    assert sent.json["state"] == "suspended"
    assert rwanda.statement(member)["totals"]["contributed"] == "1500"


def test_whole_francs_are_reconciled_and_buy_no_units(deployment: Deployment) -> None:
    rwanda = deployment.rwanda
    member = rwanda.enrol()
    rwanda.pay(member, "2000", "RW-2")
    fraction = rwanda.pay(member, "2000.50", "RW-3")
    rwanda.advance(hour=20)
    report = rwanda.import_statement(("RW-2", "2000"))
    statement = rwanda.statement(member)

    assert (report["matched"], report["unmatched"]) == (1, 0)
    assert fraction.json["code"] == "contributions.amount-not-whole"
    assert [line["state"] for line in statement["lines"]] == ["reconciled"]
    assert statement["holdings"] == []
    assert statement["totals"]["uninvested"] == statement["totals"]["value"] == "2000"


def test_a_statement_of_a_past_day_holds_what_was_true_then(deployment: Deployment) -> None:
    india = deployment.india
    member = india.enrol()
    first_day = india.today
    india.pay(member, "400", "PAST-1")
    second_day = india.advance(days=2, hour=9)
    india.pay(member, "600", "PAST-2")
    tomorrow = india.site.ask(
        "GET",
        f"/v1/members/{member}/statement?as_of={second_day + timedelta(days=1)}",
        Authorization=f"Bearer {india.partner._current_token()}",
    )

    assert india.statement(member, first_day)["totals"]["contributed"] == "400.00"
    assert india.statement(member, second_day)["totals"]["contributed"] == "1000.00"
    assert tomorrow.status == 422


@pytest.mark.parametrize("code", ["in-nps-lite", "rw-ejoheza"])
def test_the_books_check_and_the_export_proves_itself(deployment: Deployment, tmp_path: Path, code: str) -> None:
    machine = deployment.machine
    scheme = {one.pack.code: one for one in (deployment.india, deployment.rwanda)}[code]
    scheme.pay(scheme.enrol(), "700", "EXPORTED")
    out = tmp_path / "export"
    broken = machine.akiba("check", "--tenant", code)
    exported = machine.akiba("audit", "export", "--tenant", code, "--out", str(out))
    machine.akiba("audit", "verify", str(out))
    machine.python(str(out / "verify.py"), str(out))
    package = json.loads((out / "datapackage.json").read_text(encoding="utf-8"))
    table = out / "data" / "transfers.csv"
    whole = table.read_bytes()
    table.write_bytes(whole.replace(b"700", b"701"))

    assert broken == {code: []}
    assert exported["size"] > 0
    assert package["resources"]
    assert b"700" in whole
    with pytest.raises(DemoFailed, match=r"transfers\.csv"):
        machine.akiba("audit", "verify", str(out))
    with pytest.raises(DemoFailed, match=r"transfers\.csv"):
        machine.python(str(out / "verify.py"), str(out))
