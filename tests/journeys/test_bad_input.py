"""What must be refused at the door, each by its own problem, and change nothing."""

import json
from typing import Any

import pytest

from demo.client import Answer, DemoFailed
from tests.journeys.conftest import Deployment, Scheme

PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def member(deployment: Deployment) -> str:
    return deployment.india.enrol()


@pytest.fixture(scope="module")
def franc_member(deployment: Deployment) -> str:
    return deployment.rwanda.enrol()


def is_problem(answer: Answer, status: int, code: str) -> bool:
    """Tell whether an answer is the refusal it should be, in the form of RFC 9457."""
    assert answer.headers["content-type"].partition(";")[0] == PROBLEM, answer
    problem = answer.json
    return (answer.status, problem["status"], problem["code"]) == (status, status, code) and bool(problem["title"])


def send(scheme: Scheme, body: bytes, *, path: str = "/v1/contributions", **headers: str) -> Answer:
    """Send bytes as they are, as the partner."""
    named = {"Content_Type": "application/json", "Idempotency_Key": "bad-bytes"} | headers
    return scheme.site.ask("POST", path, body, Authorization=f"Bearer {scheme.partner._current_token()}", **named)


@pytest.mark.parametrize(
    ("amount", "status", "code"),
    [
        ("0", 422, "contributions.amount-not-positive"),
        ("0.00", 422, "contributions.amount-not-positive"),
        ("-500", 422, "contributions.amount-not-positive"),
        ("500.005", 422, "contributions.amount-not-whole"),
        ("1e3x", 422, "contributions.amount-not-whole"),
        ("NaN", 422, "contributions.amount-not-whole"),
        ("Infinity", 422, "contributions.amount-not-whole"),
        ("", 422, "contributions.amount-not-whole"),
        ("12000.01", 409, "contributions.above-maximum"),
        ("99.99", 409, "contributions.below-minimum"),
        ("99999999999999999999", 422, "contributions.amount-not-positive"),
    ],
)
def test_an_amount_that_cannot_be_is_refused(
    deployment: Deployment, member: str, amount: str, status: int, code: str
) -> None:
    answer = deployment.india.pay(member, amount, f"BAD-{amount}-".replace("-", "m"))

    assert is_problem(answer, status, code)


def test_nothing_that_was_refused_is_in_the_books(deployment: Deployment) -> None:
    """And a refusal binds no key: the same key serves the payment put right."""
    india = deployment.india
    member = india.enrol()
    refused = india.pay(member, "-1", "FIXED-1", key="fixed")
    taken = india.pay(member, "100", "FIXED-1", key="fixed")

    assert refused.status == 422
    assert taken.status == 201
    assert india.statement(member)["totals"]["contributed"] == "100.00"


def test_a_fraction_of_a_franc_is_refused(deployment: Deployment, franc_member: str) -> None:
    assert is_problem(deployment.rwanda.pay(franc_member, "100.5", "RW-BAD"), 422, "contributions.amount-not-whole")


def test_another_currency_is_refused(deployment: Deployment, member: str) -> None:
    answer = deployment.india.pay(member, "500", "BAD-CURRENCY", currency="USD")

    assert is_problem(answer, 422, "contributions.wrong-currency")


def test_an_unknown_channel_and_a_date_to_come_are_refused(deployment: Deployment, member: str) -> None:
    india = deployment.india

    assert is_problem(india.pay(member, "500", "BAD-CH", channel="cash"), 422, "contributions.unknown-channel")
    assert is_problem(india.pay(member, "500", "BAD-DAY", paid_on="2031-01-01"), 422, "contributions.paid-in-future")


def test_a_key_used_for_another_payment_is_refused(deployment: Deployment, member: str) -> None:
    india = deployment.india
    first = india.pay(member, "200", "KEY-1", key="one-key")
    other_amount = india.pay(member, "300", "KEY-2", key="one-key")
    other_body_same_reference = india.pay(member, "201", "KEY-1", key="second-key")

    assert first.status == 201
    assert is_problem(other_amount, 422, "contributions.key-reused")
    assert is_problem(other_body_same_reference, 422, "contributions.key-reused")


def test_a_payment_without_a_key_is_refused(deployment: Deployment, member: str) -> None:
    india = deployment.india
    answer = india.partner.post("/v1/contributions", india.payment(member, "200", "NO-KEY"))

    assert is_problem(answer, 400, "contributions.key-missing")


@pytest.mark.parametrize("body", [b"", b"{", b'{"member": ', b"\xff\xfe\x00", b"[1, 2", b"nonsense"])
def test_what_is_not_json_is_400(deployment: Deployment, body: bytes) -> None:
    answer = send(deployment.india, body)

    assert answer.status == 400
    assert answer.headers["content-type"].partition(";")[0] == PROBLEM


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 500},
        {"amount": None},
        {"currency": "inr"},
        {"surprise": "1"},
        {"reference": ""},
        {"paid_on": "yesterday"},
    ],
)
def test_what_is_no_contribution_is_refused(deployment: Deployment, member: str, change: dict[str, Any]) -> None:
    india = deployment.india
    body: dict[str, Any] = india.payment(member, "500", "SHAPE-1") | change
    answer = send(india, json.dumps(body).encode())

    assert answer.status in {400, 422}
    assert answer.headers["content-type"].partition(";")[0] == PROBLEM


def test_a_body_of_ten_megabytes_is_413(deployment: Deployment) -> None:
    answer = send(deployment.india, b'{"member": "' + b"5" * 10_000_000 + b'"}')

    assert is_problem(answer, 413, "http.413")


def test_a_body_that_lies_about_its_length_is_413_too(deployment: Deployment) -> None:
    """Chunked, ten megabytes come without saying so."""
    india = deployment.india
    chunk = b"5" * 100_000
    connection = india.site._connection(is_fresh=True)
    connection.putrequest("POST", "/v1/contributions", skip_host=True)
    for name, value in (
        ("Host", "in-nps-lite.localhost"),
        ("Authorization", f"Bearer {india.partner._current_token()}"),
        ("Content-Type", "application/json"),
        ("Idempotency-Key", "chunked"),
        ("Transfer-Encoding", "chunked"),
    ):
        connection.putheader(name, value)
    connection.endheaders()
    try:
        for _ in range(100):
            connection.send(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        connection.send(b"0\r\n\r\n")
    except (BrokenPipeError, ConnectionResetError):
        pass
    response = connection.getresponse()
    connection.close()

    assert response.status == 413


def test_another_tenants_member_is_404_and_nothing_is_told(
    deployment: Deployment, member: str, franc_member: str
) -> None:
    india, rwanda = deployment.india, deployment.rwanda
    token = f"Bearer {rwanda.partner._current_token()}"
    theirs = rwanda.site.ask("GET", f"/v1/members/{member}", Authorization=token)
    nobodys = rwanda.site.ask("GET", "/v1/members/2999999999", Authorization=token)
    by_host = india.site.ask("GET", f"/v1/members/{member}", Authorization=token)

    assert is_problem(theirs, 404, nobodys.json["code"])
    assert theirs.body == nobodys.body
    assert by_host.status == 404
    assert member.encode() not in theirs.body
    assert rwanda.partner.get(f"/v1/members/{franc_member}")["number"] == franc_member


def test_who_brings_no_token_or_a_wrong_one_is_401(deployment: Deployment, member: str) -> None:
    site = deployment.india.site
    path = f"/v1/members/{member}"

    assert site.ask("GET", path).status == 401
    assert site.ask("GET", path, Authorization="Bearer nonsense").status == 401
    assert site.ask("POST", "/v1/contributions", b"{", Authorization="Bearer nonsense").status == 401


def test_a_partner_may_not_run_the_scheme(deployment: Deployment) -> None:
    partner = deployment.india.partner

    assert partner.post("/v1/operations/dealing-days", {"date": "2023-04-03"}).status == 403
    assert partner.post("/v1/operations/clock", {"to": "2031-01-01T00:00:00Z"}).status == 403


def test_a_price_file_of_another_day_changes_nothing(deployment: Deployment) -> None:
    """Its name, or who imports it, says one day and its rows another: it is refused whole."""
    india = deployment.india
    day = india.advance(days=1, hour=9)
    raw = india.price_file(day, {"SM001009": "32.0000", "SM002009": "32.0000", "SM003003": "32.0000"})
    by_name = india.operator.upload("/v1/operations/prices", raw, name="NAV_File_01012020.out")
    by_date = india.operator.upload("/v1/operations/prices", raw, name="prices.csv", date="2020-01-01")
    right = india.operator.upload("/v1/operations/prices", raw, name=f"NAV_File_{day:%d%m%Y}.out")
    again = india.operator.upload("/v1/operations/prices", raw, name=f"NAV_File_{day:%d%m%Y}.out")

    for report in (by_name, by_date):
        assert report["state"] == "refused"
        assert report["accepted"] == {}
        assert report["refused"]
    assert set(right["accepted"]) == {"SM001009", "SM002009", "SM003003"}
    assert (again["state"], again["accepted"]) == ("known", {})
    assert again["received_at"] == right["received_at"]


def test_a_statement_that_cannot_be_read_changes_nothing(deployment: Deployment) -> None:
    india = deployment.india
    raw = f"date,reference,amount,currency\n{india.today},S-1,100,INR\n{india.today},S-2,five,INR\n".encode()
    with pytest.raises(DemoFailed, match=r"422.*amount"):
        india.operator.upload("/v1/operations/statements", raw, account="upi", name="bad.csv")
    with pytest.raises(DemoFailed, match="422"):
        india.operator.upload("/v1/operations/statements", raw, account="nowhere", name="bad.csv")


def test_the_clock_does_not_go_back(deployment: Deployment) -> None:
    india = deployment.india
    with pytest.raises(DemoFailed, match=r"409|422"):
        india.operator.post("/v1/operations/clock", {"to": "2020-01-01T00:00:00Z"})


def test_the_same_person_joins_once(deployment: Deployment) -> None:
    india = deployment.india
    body = india.application()
    first = india.partner.post("/v1/members", body, key="person-1")
    retried = india.partner.post("/v1/members", body, key="person-1")
    again = india.partner.post("/v1/members", body | {"phone": ""}, key="person-2")
    wrong_digit = body | {"documents": [{"document": "aadhaar", "number": "999900000018"}]}

    assert (first.status, retried.json) == (201, first.json)
    assert again.status == 409
    assert body["documents"][0]["number"].encode() not in again.body
    assert india.partner.post("/v1/members", wrong_digit, key="person-3").status == 422
