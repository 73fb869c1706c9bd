"""Gateways described by data: what their descriptions can say, and what must not come out of them."""

import hashlib
import hmac
import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import integrations.messaging.http_gateway
from engine.kernel.outcomes import ExchangeState, Reason
from engine.kernel.transport import WireRequest, WireResponse
from engine.notices.ports import DeliveryState, OutgoingMessage, ReportForged, ReportUnreadable
from integrations.messaging.answers import word
from integrations.messaging.http_gateway import wire
from integrations.messaging.http_gateway.adapter import HttpGateway
from integrations.messaging.http_gateway.description import decode_gateway, description_problems
from tests.integrations.messaging.wire_transport import LoopbackTransport

FOLDER = Path(integrations.messaging.http_gateway.__file__).parent
KANNEL = decode_gateway((FOLDER / "kannel.toml").read_bytes())
JSON_API = decode_gateway((FOLDER / "json_api.toml").read_bytes())
KANNEL_SECRETS = {"username": "umoja", "password": "k4nnel&=", "report_token": "t0ken"}
JSON_SECRETS = {"api_key": "k3y", "report_key": "s1gn"}
MESSAGE = OutgoingMessage(reference="m-1", to="+254711000111", text="KES 500.00 & {password} = €", sender="UMOJA")
BASE = "http://127.0.0.1:1"


def text(status: int, body: str) -> WireResponse:
    return WireResponse(status=status, body=body.encode())


def in_json(value: object, status: int = 201) -> WireResponse:
    return WireResponse(status=status, body=json.dumps(value).encode())


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        pytest.param(text(202, "0: Accepted for delivery"), ExchangeState.ACCEPTED, None, id="taken"),
        pytest.param(text(202, "3: Queued for later delivery\n"), ExchangeState.ACCEPTED, None, id="queued"),
        pytest.param(text(503, "Temporal failure, try again later."), ExchangeState.REJECTED, Reason.PROVIDER_DOWN, id="later"),
        pytest.param(text(403, "Authorization failed for sendsms"), ExchangeState.REJECTED, Reason.AUTH, id="password"),
        pytest.param(text(404, "Not routable. Do not try again."), ExchangeState.REJECTED, Reason.PAYER_UNREACHABLE, id="no route"),
        pytest.param(text(503, "<html>"), ExchangeState.UNKNOWN, Reason.AMBIGUOUS, id="a page with 503"),
        pytest.param(text(502, "0: Accepted for delivery"), ExchangeState.UNKNOWN, Reason.PROVIDER_DOWN, id="502, whatever it says"),
        pytest.param(text(202, "0: Accepted for delivery" * 900), ExchangeState.ACCEPTED, None, id="a long line is cut"),
        pytest.param(text(202, "Sent."), ExchangeState.UNKNOWN, Reason.AMBIGUOUS, id="another word"),
        pytest.param(WireResponse(status=202, body=b"\xff"), ExchangeState.UNKNOWN, Reason.AMBIGUOUS, id="no text"),
    ],
)  # fmt: skip
def test_answers_in_text(answer: WireResponse, state: ExchangeState, reason: Reason | None) -> None:
    found = wire.read_answer(answer, MESSAGE, KANNEL.answers)

    assert (found.state, found.reason) == (state, reason)


@pytest.mark.parametrize(
    ("told", "found"),
    [
        pytest.param({"id": "a", "status": "queued", "price": {"amount": "0.0105", "currency": "USD"}, "segments": 2},
                     (ExchangeState.ACCEPTED, "a", "0.0105", "USD", 2), id="all"),
        pytest.param({"id": 77, "status": "sent"}, (ExchangeState.ACCEPTED, "77", "", "", 1), id="a number for an id, no price"),
        pytest.param({"id": "a", "status": "queued", "price": {"amount": 0.0105, "currency": "USD"}},
                     (ExchangeState.ACCEPTED, "a", "", "", 1), id="a float is no exact price"),
        pytest.param({"id": "a", "status": "queued", "price": {"amount": "1e3", "currency": "usd"}, "segments": -1},
                     (ExchangeState.ACCEPTED, "a", "", "", 1), id="no price that could be read otherwise"),
        pytest.param({"status": "opted_out"}, (ExchangeState.REJECTED, "", "", "", 0), id="refused"),
        pytest.param({"status": "new"}, (ExchangeState.UNKNOWN, "", "", "", 0), id="a new word"),
        pytest.param({"status": True}, (ExchangeState.UNKNOWN, "", "", "", 0), id="no word"),
        pytest.param([1], (ExchangeState.UNKNOWN, "", "", "", 0), id="another shape"),
    ],
)  # fmt: skip
def test_answers_in_json(told: object, found: tuple[object, ...]) -> None:
    answer = wire.read_answer(in_json(told), MESSAGE, JSON_API.answers)

    assert (answer.state, answer.provider_ref, answer.cost, answer.currency, answer.parts) == found


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Invalid number +254711000111!", "Invalid number #!"),
        ("no 254 711 000 111 here", "no # here"),
        ("to <amina@mail.example>", "to #"),
        ("error 131026\n\tsee log", "error 131026 see log"),
        ("x" * 500, "x" * 80),
    ],
)
def test_words_of_a_provider_name_no_reader(said: str, kept: str) -> None:
    assert word(said) == kept
    assert wire.read_answer(in_json({"status": said}), MESSAGE, JSON_API.answers).code == kept


def test_a_request_by_query_carries_each_value_whole() -> None:
    request = wire.send_request(MESSAGE, KANNEL, KANNEL_SECRETS, base_url=BASE, report_url="https://umoja.example/dlr")
    query = {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}

    assert (request.method, request.body) == ("GET", b"")
    assert query["text"] == MESSAGE.text
    assert query["password"] == "k4nnel&="
    assert query["dlr-url"] == "https://umoja.example/dlr?reference=m-1&token=t0ken&type=%d"
    assert query["coding"] == "0"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.sampled_from(["form", "json", "query"]))
def test_no_text_changes_another_field_or_brings_out_a_secret(written: str, form: str) -> None:
    gateway = msgspec.structs.replace(KANNEL, format=form)
    message = OutgoingMessage(reference="m-1", to="+254711000111", text=written)
    request = wire.send_request(message, gateway, KANNEL_SECRETS, base_url=BASE)
    body = request.body.decode() or urlsplit(request.url).query
    fields = (
        json.loads(body) if form == "json" else {n: v[0] for n, v in parse_qs(body, keep_blank_values=True).items()}
    )

    assert fields["text"] == written
    assert (fields["username"], fields["to"]) == ("umoja", "+254711000111")
    assert fields.keys() == {"username", "password", "to", "text", "coding", "charset", "dlr-mask", "dlr-url"}


def report_by_query(query: str) -> WireRequest:
    return WireRequest(method="GET", url=f"/dlr?{query}")


def signed(value: object, key: str = "s1gn") -> WireRequest:
    body = json.dumps(value).encode()
    signature = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
    return WireRequest(method="POST", url="/dlr", headers={"X-Signature": signature}, body=body)


def test_reports_by_query_with_a_token() -> None:
    (hint,) = wire.read_report(report_by_query("reference=m-1&token=t0ken&type=2"), KANNEL, KANNEL_SECRETS)

    assert (hint.reference, hint.provider_ref, hint.state, hint.reason) == (
        "m-1", "", DeliveryState.FAILED, Reason.PAYER_UNREACHABLE,
    )  # fmt: skip


def test_reports_in_json_with_a_signature() -> None:
    event = {"id": "a", "status": "expired", "reference": "m-1", "price": "0.01", "currency": "USD"}
    (hint,) = wire.read_report(signed({"event": event}), JSON_API, JSON_SECRETS)

    assert (hint.provider_ref, hint.reference, hint.state, hint.reason) == (
        "a",
        "m-1",
        DeliveryState.FAILED,
        Reason.EXPIRED,
    )
    assert (hint.cost, hint.currency) == ("0.01", "USD")


@pytest.mark.parametrize(
    "query", ["reference=m-1&type=1", "reference=m-1&type=1&token=", "reference=m-1&type=1&token=guess"]
)
def test_a_report_without_the_token_is_forged(query: str) -> None:
    with pytest.raises(ReportForged):
        wire.read_report(report_by_query(query), KANNEL, KANNEL_SECRETS)


def test_a_report_with_another_key_is_forged() -> None:
    with pytest.raises(ReportForged):
        wire.read_report(signed({"event": {"id": "a", "status": "delivered"}}, key="guess"), JSON_API, JSON_SECRETS)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(report_by_query("token=t0ken&type=1"), id="about nothing"),
        pytest.param(report_by_query("token=t0ken&reference=m-1"), id="no outcome"),
        pytest.param(report_by_query("token=t0ken&token=t0ken&reference=m-1&type=1"), id="a field twice"),
        pytest.param(WireRequest(method="POST", url="/", body=b"x" * 70_000), id="too large"),
    ],
)
def test_what_is_no_report_is_unreadable(request_: WireRequest) -> None:
    with pytest.raises(ReportUnreadable):
        wire.read_report(request_, KANNEL, KANNEL_SECRETS)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"path": "/send/{user}"}, "path has {user}, which is neither a value of a message nor a secret"),
        ({"fields": {"to": "{number}"}}, "to has {number}, which is neither a value of a message nor a secret"),
    ],
)
def test_what_is_wrong_with_a_description(change: dict[str, object], problem: str) -> None:
    changed = msgspec.structs.replace(KANNEL, **change)

    assert problem in description_problems(changed, KANNEL_SECRETS)


async def test_a_description_that_cannot_be_used_makes_no_adapter(transport: LoopbackTransport) -> None:
    with pytest.raises(ValueError, match="the secret report_key is missing"):
        HttpGateway(transport, JSON_API, {"api_key": "k"}, base_url=BASE)
    answers = msgspec.structs.replace(KANNEL.answers, pattern="(?P<outcome>[")
    with pytest.raises(ValueError, match="is not one"):
        HttpGateway(transport, msgspec.structs.replace(KANNEL, answers=answers), KANNEL_SECRETS, base_url=BASE)


def test_a_description_with_an_unknown_key_is_refused() -> None:
    content = (FOLDER / "json_api.toml").read_bytes().replace(b"format = ", b"formt = ", 1)
    with pytest.raises(ValueError, match="formt"):
        decode_gateway(content)
