"""Webhooks on the wire: signatures as others make and read them, and what answers mean."""

import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel.transport import Unanswered, Unreachable, WireRequest, WireResponse
from engine.webhooks.ports import WebhookMessage, Webhooks, WebhookState
from integrations.messaging.simulating import Fault, HttpServer
from integrations.messaging.standard_webhooks import wire
from integrations.messaging.standard_webhooks.adapter import StandardWebhooks
from integrations.messaging.standard_webhooks.simulator import PartnerSimulator
from tests.integrations.messaging.oracle import run_oracle
from tests.integrations.messaging.wire_transport import LoopbackTransport

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()
BODY = '{"type":"contribution.received","timestamp":"2026-01-01T00:00:00Z","data":{"note":"é"}}'.encode()

THEIR_VERIFYING = """
import json, sys
from standardwebhooks import Webhook, WebhookVerificationError
secret, headers, body = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
try:
    print(json.dumps({"taken": Webhook(secret).verify(body, headers)}))
except WebhookVerificationError as error:
    print(json.dumps({"refused": str(error)}))
"""

THEIR_SIGNING = """
import sys
from datetime import datetime, timezone
from standardwebhooks import Webhook
secret, message_id, timestamp, body = sys.argv[1:]
print(Webhook(secret).sign(message_id, datetime.fromtimestamp(int(timestamp), timezone.utc), body), end="")
"""


def message(url: str = "http://127.0.0.1:1", **changed: object) -> WebhookMessage:
    given: dict[str, object] = {"message_id": "msg_1", "url": url, "body": BODY, "sent_at": int(time.time())}
    return WebhookMessage(**{**given, **changed})  # type: ignore[arg-type]


def test_the_specification_s_own_example() -> None:
    signature = wire.sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
        body=b'{"test": 2432232314}',
    )

    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.binary(min_size=24, max_size=64), st.binary(max_size=400), st.integers(0, 2**33))
def test_what_was_signed_is_verified_by_its_secret_alone(key: bytes, body: bytes, now: int) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    request = wire.write_request(message(body=body, sent_at=now), [OTHER, secret])

    assert wire.verify(request.headers, body, secret, now=now) == "msg_1"
    with pytest.raises(wire.SignatureFalse):
        wire.verify(request.headers, body + b" ", secret, now=now)


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param("", id="none"),
        pytest.param(SECRET.removeprefix("whsec_"), id="no prefix"),
        pytest.param("whsec_!!!", id="no base64"),
        pytest.param("whsec_" + base64.b64encode(bytes(23)).decode(), id="too short"),
        pytest.param("whsec_" + base64.b64encode(bytes(65)).decode(), id="too long"),
    ],
)
def test_other_secrets_sign_nothing(secret: str) -> None:
    with pytest.raises(ValueError, match="secret"):
        wire.write_request(message(), [secret])


def test_a_message_needs_a_secret_and_an_id_that_reads_one_way() -> None:
    with pytest.raises(ValueError, match="secret"):
        wire.write_request(message(), [])
    with pytest.raises(ValueError, match="full stop"):
        wire.write_request(message(message_id="a.b"), [SECRET])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("webhook-id", "", id="no id"),
        pytest.param("webhook-id", "msg_2", id="another id"),
        pytest.param("webhook-timestamp", "x", id="no time"),
        pytest.param("webhook-timestamp", "1000", id="another time"),
        pytest.param("webhook-timestamp", "601", id="too old"),
        pytest.param("webhook-timestamp", "1301", id="too new"),
        pytest.param("webhook-signature", "", id="no signature"),
        pytest.param("webhook-signature", "v1,é", id="no ASCII"),
        pytest.param("webhook-signature", "v1a,AAAA v1,AAAA", id="other signatures"),
    ],
)
def test_one_header_changed_is_refused(name: str, value: str) -> None:
    request = wire.write_request(message(sent_at=950), [SECRET])
    assert wire.verify(request.headers, BODY, SECRET, now=1000) == "msg_1"

    with pytest.raises(wire.SignatureFalse):
        wire.verify({**request.headers, name: value}, BODY, SECRET, now=1001)


@pytest.mark.parametrize(
    ("answer", "state", "wait"),
    [
        pytest.param(WireResponse(status=200, body=b"no"), WebhookState.TAKEN, 0, id="200, whatever it says"),
        pytest.param(WireResponse(status=204), WebhookState.TAKEN, 0, id="204"),
        pytest.param(WireResponse(status=301, headers={"location": "https://a"}), WebhookState.FAILED, 0, id="redirect"),
        pytest.param(WireResponse(status=400), WebhookState.FAILED, 0, id="400"),
        pytest.param(WireResponse(status=410), WebhookState.GONE, 0, id="410"),
        pytest.param(WireResponse(status=429, headers={"retry-after": "90"}), WebhookState.FAILED, 90, id="429"),
        pytest.param(WireResponse(status=503, headers={"retry-after": "Fri, 1 Jan"}), WebhookState.FAILED, 0, id="a date"),
        pytest.param(WireResponse(status=503, headers={"retry-after": "9" * 5000}), WebhookState.FAILED, 0, id="for ever"),
    ],
)  # fmt: skip
def test_answers(answer: WireResponse, state: WebhookState, wait: int) -> None:
    found = wire.read_answer(answer)

    assert (found.state, found.code, found.wait_seconds) == (state, str(answer.status), wait)


async def test_an_endpoint_takes_what_it_verifies_and_each_id_once(transport: LoopbackTransport) -> None:
    webhooks = StandardWebhooks(transport)
    assert isinstance(webhooks, Webhooks)
    partner = PartnerSimulator(SECRET)
    async with partner.server:
        first = await webhooks.deliver(message(partner.url), [SECRET])
        again = await webhooks.deliver(message(partner.url), [OTHER, SECRET])
        forged = await webhooks.deliver(message(partner.url, message_id="msg_2"), [OTHER])

    assert (first.state, again.state, forged.state) == (WebhookState.TAKEN, WebhookState.TAKEN, WebhookState.FAILED)
    assert partner.taken == {"msg_1": json.loads(BODY)}
    assert partner.attempts == ["msg_1", "msg_1"]


async def test_no_answer_may_have_been_taken(transport: LoopbackTransport) -> None:
    partner = PartnerSimulator(SECRET)
    async with partner.server:
        partner.faults.plan(Fault.DROPPED)
        with pytest.raises(Unanswered):
            await StandardWebhooks(transport).deliver(message(partner.url), [SECRET])
        url = partner.url
    assert list(partner.taken) == ["msg_1"]
    with pytest.raises(Unreachable):
        await StandardWebhooks(transport).deliver(message(url), [SECRET])


async def sent_by(transport: LoopbackTransport, secrets: list[str]) -> WireRequest:
    """Return a message as an endpoint received it."""
    seen: list[WireRequest] = []

    async def keep(request: WireRequest) -> WireResponse:
        seen.append(request)
        return WireResponse(status=204)

    async with HttpServer(keep) as server:
        await StandardWebhooks(transport).deliver(message(server.url), secrets)
    return seen[0]


@pytest.mark.artefact("standardwebhooks")
@pytest.mark.parametrize(
    "secrets", [pytest.param([SECRET], id="one secret"), pytest.param([OTHER, SECRET], id="rotation")]
)
async def test_their_library_verifies_what_we_sign(transport: LoopbackTransport, secrets: list[str]) -> None:
    sent = await sent_by(transport, secrets)

    said = json.loads(await run_oracle(THEIR_VERIFYING, SECRET, json.dumps(sent.headers), sent.body.decode()))
    assert said == {"taken": json.loads(BODY)}


@pytest.mark.artefact("standardwebhooks")
async def test_we_verify_what_their_library_signs() -> None:
    now = int(time.time())
    signature = await run_oracle(THEIR_SIGNING, SECRET, "msg_7", str(now), BODY.decode())

    headers = {"webhook-id": "msg_7", "webhook-timestamp": str(now), "webhook-signature": signature}
    assert wire.verify(headers, BODY, SECRET, now=now) == "msg_7"


@pytest.mark.artefact("standardwebhooks", breaks=True)
@pytest.mark.parametrize("what", ["webhook-id", "webhook-timestamp", "webhook-signature", "body", "secret"])
async def test_their_library_refuses_one_thing_changed(transport: LoopbackTransport, what: str) -> None:
    sent = await sent_by(transport, [SECRET])
    headers, body = dict(sent.headers), sent.body.decode()
    if what == "body":
        body = body.replace("received", "reversed")
    elif what == "webhook-timestamp":
        headers[what] = str(int(headers[what]) - 1)
    elif what == "webhook-id":
        headers[what] = "msg_2"
    elif what == "webhook-signature":
        headers[what] = headers[what].replace("v1,", "v1a,")
    secret = OTHER if what == "secret" else SECRET

    said = json.loads(await run_oracle(THEIR_VERIFYING, secret, json.dumps(headers), body))
    assert said == {"refused": "No matching signature found"}


@pytest.mark.artefact("standardwebhooks", breaks=True)
async def test_we_refuse_what_their_library_signed_of_another_body() -> None:
    now = int(time.time())
    signature = await run_oracle(THEIR_SIGNING, SECRET, "msg_7", str(now), BODY.decode() + " ")

    headers = {"webhook-id": "msg_7", "webhook-timestamp": str(now), "webhook-signature": signature}
    with pytest.raises(wire.SignatureFalse):
        wire.verify(headers, BODY, SECRET, now=now)
