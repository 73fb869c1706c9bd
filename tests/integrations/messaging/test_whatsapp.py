"""WhatsApp Cloud API: errors, signed batches, the handshake, and another library on both sides."""

import json
from collections.abc import AsyncIterator, Mapping

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel.outcomes import ExchangeState, Reason
from engine.kernel.transport import WireRequest, WireResponse
from engine.notices.ports import ApprovedTemplate, DeliveryState, OutgoingMessage, ReportForged, ReportUnreadable
from integrations.messaging.simulating import HttpServer
from integrations.messaging.whatsapp import wire
from integrations.messaging.whatsapp.adapter import WhatsAppCloud
from integrations.messaging.whatsapp.simulator import WhatsAppSimulator
from tests.integrations.messaging.oracle import run_oracle
from tests.integrations.messaging.wire_transport import LoopbackTransport

NUMBER, TOKEN, SECRET, AGREED = "106540352242922", "EAAtoken", "5ec4e7", "agreed-word"
MESSAGE = OutgoingMessage(reference="m-1", to="+254711000111", text="Umehifadhi KES 500.00 ✓")
TEMPLATED = OutgoingMessage(
    reference="m-2", to="+254711000111", text="unused",
    template=ApprovedTemplate(name="contribution_received", language="sw", values=("Amina", "KES 500.00")),
)  # fmt: skip


def answered(status: int, value: object) -> WireResponse:
    return WireResponse(status=status, body=value if isinstance(value, bytes) else json.dumps(value).encode())


def failed(status: int, code: object) -> WireResponse:
    return answered(status, {"error": {"message": "(#1)", "type": "OAuthException", "code": code}})


def webhook(value: object, *, secret: str = SECRET, header: str = "X-Hub-Signature-256") -> WireRequest:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return WireRequest(method="POST", url="/wa", headers={header: f"sha256={wire.sign(body, secret)}"}, body=body)


def changed(*statuses: Mapping[str, object], number: str = NUMBER) -> dict[str, object]:
    return {"field": "messages", "value": {"metadata": {"phone_number_id": number}, "statuses": statuses}}


def entries(*changes: Mapping[str, object]) -> dict[str, object]:
    return {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [one]} for one in changes]}


def read(request: WireRequest) -> list[tuple[str, DeliveryState, Reason | None]]:
    hints = wire.read_report(request, app_secret=SECRET, phone_number_id=NUMBER)
    return [(hint.provider_ref, hint.state, hint.reason) for hint in hints]


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        pytest.param(answered(200, {"messages": [{"id": "wamid.1"}]}), ExchangeState.ACCEPTED, None, id="taken"),
        pytest.param(failed(400, 131026), ExchangeState.REJECTED, Reason.NOT_REGISTERED, id="not on WhatsApp"),
        pytest.param(failed(400, 131047), ExchangeState.REJECTED, Reason.EXPIRED, id="needs a template after a day"),
        pytest.param(failed(401, 190), ExchangeState.REJECTED, Reason.AUTH, id="token expired"),
        pytest.param(failed(400, 132001), ExchangeState.REJECTED, Reason.INVALID_REQUEST, id="no such template"),
        pytest.param(failed(429, 130429), ExchangeState.REJECTED, Reason.LIMIT, id="too fast"),
        pytest.param(failed(500, 131000), ExchangeState.UNKNOWN, Reason.PROVIDER_DOWN, id="something went wrong"),
        pytest.param(failed(400, 1), ExchangeState.UNKNOWN, Reason.PROVIDER_DOWN, id="API unknown error"),
        pytest.param(failed(500, 999999), ExchangeState.UNKNOWN, Reason.PROVIDER_DOWN, id="500 with a new code"),
        pytest.param(failed(400, 999999), ExchangeState.REJECTED, Reason.OTHER, id="400 with a new code"),
        pytest.param(failed(400, "x"), ExchangeState.UNKNOWN, Reason.PROVIDER_DOWN, id="a code that is none"),
        pytest.param(answered(200, b"<html>"), ExchangeState.UNKNOWN, Reason.AMBIGUOUS, id="a page"),
        pytest.param(answered(503, b"<html>"), ExchangeState.UNKNOWN, Reason.PROVIDER_DOWN, id="503"),
        pytest.param(answered(200, b'{"messages": [{"id": "wam'), ExchangeState.UNKNOWN, Reason.AMBIGUOUS, id="half a body"),
        pytest.param(answered(200, {"messages": []}), ExchangeState.UNKNOWN, Reason.AMBIGUOUS, id="no message"),
        pytest.param(answered(200, {"messages": [{"id": 7}]}), ExchangeState.UNKNOWN, Reason.AMBIGUOUS, id="no id"),
        pytest.param(answered(200, []), ExchangeState.UNKNOWN, Reason.AMBIGUOUS, id="another shape"),
    ],
)  # fmt: skip
def test_answers(answer: WireResponse, state: ExchangeState, reason: Reason | None) -> None:
    found = wire.read_answer(answer)

    assert (found.state, found.reason) == (state, reason)


def test_a_batch_is_read_whole_each_once_in_its_order() -> None:
    delivered = {"id": "wamid.1", "status": "delivered", "timestamp": "2"}
    request = webhook(
        entries(
            changed({"id": "wamid.1", "status": "read"}, delivered, delivered),
            {"field": "account_update", "value": {"event": "VERIFIED_ACCOUNT"}},
            {"field": "messages", "value": {"metadata": {"phone_number_id": NUMBER}, "messages": [{"id": "in"}]}},
            changed({"id": "wamid.2", "status": "failed", "errors": [{"code": 131026, "title": "x"}]}),
            changed({"id": "wamid.3", "status": "delivered"}, number="another"),
            changed({"id": "wamid.4", "status": "failed"}, {"id": "wamid.5", "status": "new-word"}),
        )
    )

    assert read(request) == [
        ("wamid.1", DeliveryState.READ, None),
        ("wamid.1", DeliveryState.DELIVERED, None),
        ("wamid.2", DeliveryState.FAILED, Reason.NOT_REGISTERED),
        ("wamid.4", DeliveryState.FAILED, Reason.OTHER),
        ("wamid.5", DeliveryState.UNDER_WAY, None),
    ]


def test_header_names_are_compared_without_case() -> None:
    assert read(webhook(entries(), header="x-hub-signature-256")) == []


GOOD = webhook(entries(changed({"id": "wamid.1", "status": "delivered"})))


@given(st.integers(0, len(GOOD.body) * 8 - 1))
def test_a_changed_bit_is_a_forgery(bit: int) -> None:
    body = bytearray(GOOD.body)
    body[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ReportForged):
        read(WireRequest(method="POST", url="/wa", headers=GOOD.headers, body=bytes(body)))


@pytest.mark.parametrize(
    "headers",
    [{}, {"x-hub-signature-256": ""}, {"x-hub-signature-256": "sha256="}, {"x-hub-signature": GOOD.headers["X-Hub-Signature-256"]},
     {"x-hub-signature-256": "sha256=é"}],
)  # fmt: skip
def test_no_signature_is_a_forgery(headers: dict[str, str]) -> None:
    with pytest.raises(ReportForged):
        read(WireRequest(method="POST", url="/wa", headers=headers, body=GOOD.body))


def test_another_apps_signature_is_a_forgery() -> None:
    with pytest.raises(ReportForged):
        read(webhook(entries(), secret="another"))


@pytest.mark.parametrize(
    "value",
    [b"", b"{", b"\xff", [], {"object": "page", "entry": []}, {"object": "whatsapp_business_account"},
     entries(changed({"status": "delivered"})), entries(changed({"id": 5, "status": "read"})), entries({"field": "messages"})],
)  # fmt: skip
def test_what_is_signed_but_no_webhook_is_unreadable(value: object) -> None:
    with pytest.raises(ReportUnreadable):
        read(webhook(value))


def handshake(query: str, method: str = "GET") -> WireResponse | None:
    return wire.answer_handshake(WireRequest(method=method, url=f"/wa?{query}"), verify_token=AGREED)


def test_the_handshake_gives_the_challenge_to_who_knows_the_word() -> None:
    answer = handshake(f"hub.mode=subscribe&hub.verify_token={AGREED}&hub.challenge=1158201444")

    assert answer == WireResponse(status=200, headers={"content-type": "text/plain"}, body=b"1158201444")
    assert handshake("hub.mode=subscribe&hub.verify_token=wrong&hub.challenge=1") is None
    assert handshake(f"hub.mode=subscribe&hub.verify_token={AGREED}&hub.challenge=<script>") is None
    assert handshake(f"hub.mode=x&hub.verify_token={AGREED}&hub.challenge=1") is None
    assert handshake(f"hub.mode=subscribe&hub.verify_token={AGREED}&hub.challenge=1", "POST") is None
    assert handshake("") is None


# --- our adapter and our simulator ---


@pytest_asyncio.fixture
async def there(transport: LoopbackTransport) -> AsyncIterator[WhatsAppSimulator]:
    found = WhatsAppSimulator(transport, phone_number_id=NUMBER, token=TOKEN, app_secret=SECRET)
    async with found.server:
        yield found


def cloud(transport: LoopbackTransport, url: str, token: str = TOKEN) -> WhatsAppCloud:
    return WhatsAppCloud(
        transport, phone_number_id=NUMBER, token=token, app_secret=SECRET, verify_token=AGREED, base_url=url
    )


async def test_a_template_is_sent_with_its_values(transport: LoopbackTransport, there: WhatsAppSimulator) -> None:
    answer = await cloud(transport, there.server.url).send(TEMPLATED)

    assert (answer.state, answer.parts) == (ExchangeState.ACCEPTED, 1)
    template = json.loads(there.sent[0].text)
    assert (template["name"], template["language"]) == ("contribution_received", {"code": "sw"})
    assert [one["text"] for one in template["components"][0]["parameters"]] == ["Amina", "KES 500.00"]


async def test_the_platform_tests_our_address(transport: LoopbackTransport) -> None:
    adapter = cloud(transport, "http://127.0.0.1:1")

    async def route(request: WireRequest) -> WireResponse:
        return adapter.answer_handshake(request) or WireResponse(status=403)

    async with HttpServer(route) as ours:
        there = WhatsAppSimulator(
            transport, phone_number_id=NUMBER, token=TOKEN, app_secret=SECRET, reports_to=f"{ours.url}/wa"
        )
        assert (await there.test_our_address(AGREED, "c-1")).body == b"c-1"
        assert (await there.test_our_address("guess", "c-1")).status == 403


# --- another library on both sides ---

SENDS = """
import sys, json, httpx
from pywa import WhatsApp
url, number, token = sys.argv[1:4]
session = httpx.Client(trust_env=False)
wa = WhatsApp(phone_id=number, token=token, session=session)
session.base_url = url + "/v23.0"
sent = wa.send_message(to="254711000111", text="Habari", tracker="m-1")
try:
    wa.send_message(to="254711000026", text="Habari")
    error = None
except Exception as problem:
    error = [type(problem).__name__, problem.code]
print(json.dumps([sent.id, error]))
"""

CHECKS = """
import sys, json
from pywa.utils import webhook_updates_validator
secret, header, body = sys.argv[1], sys.argv[2], sys.argv[3].encode()
print(json.dumps([webhook_updates_validator(secret, body, header), webhook_updates_validator(secret, body + b" ", header)]))
"""


@pytest.mark.artefact("pywa")
async def test_another_client_sends_by_our_simulator(there: WhatsAppSimulator) -> None:
    sent, error = json.loads(await run_oracle(SENDS, there.server.url, NUMBER, TOKEN))

    assert [(one.message_id, one.to, one.text) for one in there.sent] == [(sent, "254711000111", "Habari")]
    assert error == ["MessageUndeliverable", 131026]


@pytest.mark.artefact("pywa", breaks=True)
@pytest.mark.parametrize("missing", ["messages", "contacts"])
async def test_another_client_sees_when_one_field_is_broken(missing: str) -> None:
    sound = {
        "messaging_product": "whatsapp",
        "contacts": [{"input": "1", "wa_id": "1"}],
        "messages": [{"id": "wamid.1"}],
    }

    async def broken(_request: WireRequest) -> WireResponse:
        return answered(200, {name: value for name, value in sound.items() if name != missing})

    async with HttpServer(broken) as server:
        with pytest.raises(AssertionError, match="Error"):
            await run_oracle(SENDS, server.url, NUMBER, TOKEN)


@pytest.mark.artefact("pywa")
async def test_our_text_request_is_that_of_another_client(transport: LoopbackTransport) -> None:
    seen: list[WireRequest] = []

    async def keep(request: WireRequest) -> WireResponse:
        seen.append(request)
        return answered(
            200,
            {
                "messaging_product": "whatsapp",
                "contacts": [{"input": "254711000111", "wa_id": "254711000111"}],
                "messages": [{"id": "wamid.1"}],
            },
        )

    async with HttpServer(keep) as server:
        await run_oracle(SENDS.replace("254711000026", "254711000111"), server.url, NUMBER, TOKEN)
        message = OutgoingMessage(reference="m-1", to="+254711000111", text="Habari")
        await cloud(transport, server.url).send(message)
    theirs, ours = json.loads(seen[0].body), json.loads(seen[-1].body)
    theirs["text"].setdefault("preview_url", False)
    assert ours == theirs
    assert (seen[-1].url, seen[-1].headers["authorization"]) == (seen[0].url, seen[0].headers["authorization"])


@pytest.mark.artefact("pywa")
async def test_another_library_checks_our_signature_alike() -> None:
    answer = await run_oracle(CHECKS, SECRET, GOOD.headers["X-Hub-Signature-256"], GOOD.body.decode())

    assert json.loads(answer) == [True, False]
