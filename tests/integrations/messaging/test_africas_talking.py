"""Africa's Talking: recorded shapes, our adapter with our simulator, a handset on a real menu, and their own client."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel.outcomes import ExchangeState, Reason
from engine.kernel.transport import WireRequest, WireResponse
from engine.notices.ports import DeliveryState, OutgoingMessage, ReportUnreadable, UssdEnd, UssdScreen
from engine.notices.rules.menu_files import decode_menu
from engine.notices.rules.menus import begin, show, walk
from integrations.messaging.africas_talking import wire
from integrations.messaging.africas_talking.adapter import AfricasTalkingSms, AfricasTalkingUssd
from integrations.messaging.africas_talking.simulator import AfricasTalkingSimulator, Handset
from integrations.messaging.simulating import CONTROL_PATH, Fault, HttpServer
from tests.integrations.messaging.oracle import run_oracle
from tests.integrations.messaging.wire_transport import LoopbackTransport

MESSAGE = OutgoingMessage(reference="m-1", to="+254711000111", text="KES 500.00 received", sender="UMOJA")
MENU_TOML = Path(__file__).parents[2] / "engine" / "notices" / "data" / "ussd.toml"
RECIPIENT = {
    "statusCode": 101, "number": "+254711000111", "status": "Success", "cost": "KES 0.8000", "messageId": "ATXid_1",
}  # fmt: skip


def answered(status: int, body: bytes) -> WireResponse:
    return WireResponse(status=status, headers={"content-type": "application/json"}, body=body)


def told(recipients: object, message: str = "Sent to 1/1 Total Cost: KES 0.8000") -> WireResponse:
    return answered(201, json.dumps({"SMSMessageData": {"Message": message, "Recipients": recipients}}).encode())


def form(**fields: str) -> WireRequest:
    return WireRequest(method="POST", url="/at", headers={"Content-Type": wire.FORM}, body=urlencode(fields).encode())


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        pytest.param(told([RECIPIENT]), ExchangeState.ACCEPTED, None, id="sent"),
        pytest.param(told([RECIPIENT | {"statusCode": 102}]), ExchangeState.ACCEPTED, None, id="queued"),
        pytest.param(told([RECIPIENT | {"statusCode": 405}]), ExchangeState.REJECTED, Reason.INSUFFICIENT_FUNDS, id="405"),
        pytest.param(told([RECIPIENT | {"statusCode": 409}]), ExchangeState.REJECTED, Reason.BLOCKED, id="409"),
        pytest.param(told([RECIPIENT | {"statusCode": 500}]), ExchangeState.UNKNOWN, Reason.AMBIGUOUS, id="500 of one recipient"),
        pytest.param(told([RECIPIENT | {"statusCode": 777}]), ExchangeState.UNKNOWN, Reason.AMBIGUOUS, id="a code nobody knows"),
        pytest.param(told([RECIPIENT | {"number": "+254711000112"}]), ExchangeState.UNKNOWN, Reason.AMBIGUOUS, id="another number"),
        pytest.param(told([RECIPIENT, RECIPIENT]), ExchangeState.UNKNOWN, Reason.AMBIGUOUS, id="two recipients"),
        pytest.param(told([], "InvalidSenderId"), ExchangeState.REJECTED, Reason.INVALID_REQUEST, id="sender refused"),
        pytest.param(told([], "Sent to 0/1"), ExchangeState.UNKNOWN, Reason.AMBIGUOUS, id="no recipient"),
        pytest.param(answered(401, b"invalid"), ExchangeState.REJECTED, Reason.AUTH, id="401"),
        pytest.param(answered(429, b""), ExchangeState.REJECTED, Reason.LIMIT, id="429"),
        pytest.param(answered(503, b""), ExchangeState.UNKNOWN, Reason.PROVIDER_DOWN, id="503"),
        pytest.param(answered(302, b""), ExchangeState.UNKNOWN, Reason.PROVIDER_DOWN, id="a redirect"),
        pytest.param(answered(200, b"<html>"), ExchangeState.UNKNOWN, Reason.AMBIGUOUS, id="a page"),
        pytest.param(answered(201, b'{"SMSMessageData": nul'), ExchangeState.UNKNOWN, Reason.AMBIGUOUS, id="half a body"),
        pytest.param(answered(201, b"[]"), ExchangeState.UNKNOWN, Reason.AMBIGUOUS, id="another shape"),
        pytest.param(answered(201, b"\xff"), ExchangeState.UNKNOWN, Reason.AMBIGUOUS, id="no text"),
    ],
)  # fmt: skip
def test_answers(answer: WireResponse, state: ExchangeState, reason: Reason | None) -> None:
    found = wire.read_answer(answer, MESSAGE)

    assert (found.state, found.reason) == (state, reason)


def test_cost_and_parts_are_values_of_the_answer() -> None:
    found = wire.read_answer(told([RECIPIENT]), MESSAGE)

    assert (found.provider_ref, found.cost, found.currency, found.parts) == ("ATXid_1", "0.8000", "KES", 1)
    three = wire.read_answer(told([RECIPIENT | {"messageParts": 3, "cost": "0"}]), MESSAGE)
    assert (three.parts, three.cost, three.currency) == (3, "", "")


@pytest.mark.parametrize(
    ("status", "failure", "state", "reason"),
    [
        ("Sent", "", DeliveryState.UNDER_WAY, None),
        ("Buffered", "", DeliveryState.UNDER_WAY, None),
        ("Success", "", DeliveryState.DELIVERED, None),
        ("Failed", "AbsentSubscriber", DeliveryState.FAILED, Reason.PAYER_UNREACHABLE),
        ("Rejected", "UserInBlackList", DeliveryState.FAILED, Reason.BLOCKED),
        ("Failed", "SomethingNew", DeliveryState.FAILED, Reason.OTHER),
        ("SomethingNew", "", DeliveryState.UNDER_WAY, None),
    ],
)
def test_reports(status: str, failure: str, state: DeliveryState, reason: Reason | None) -> None:
    (hint,) = wire.read_report(form(id="ATXid_1", status=status, phoneNumber="+254711000111", failureReason=failure))

    assert (hint.provider_ref, hint.state, hint.reason) == ("ATXid_1", state, reason)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(form(status="Success"), id="no id"),
        pytest.param(form(id="x"), id="no status"),
        pytest.param(WireRequest(method="POST", url="/", headers={"content-type": "application/json"}, body=b"{}"), id="JSON"),
        pytest.param(WireRequest(method="POST", url="/", headers={"content-type": wire.FORM}, body=b"id=a&id=b&status=Sent"), id="a field twice"),
        pytest.param(WireRequest(method="POST", url="/", headers={"content-type": wire.FORM}, body=b"id=%ff&status=Sent"), id="no UTF-8"),
        pytest.param(WireRequest(method="POST", url="/", headers={"content-type": wire.FORM}, body=b"&".join(b"f%d=1" % n for n in range(50))), id="too many fields"),
        pytest.param(WireRequest(method="POST", url="/", headers={"content-type": wire.FORM}, body=b"id=" + b"a" * 70_000), id="too large"),
    ],
)  # fmt: skip
def test_what_is_no_report_is_refused(request_: WireRequest) -> None:
    with pytest.raises(ReportUnreadable):
        wire.read_report(request_)


@given(st.lists(st.text(st.characters(exclude_characters="*", exclude_categories=["Cs"]), min_size=1), max_size=6))
def test_all_that_was_typed_is_read(inputs: list[str]) -> None:
    step = wire.read_step(form(sessionId="s", serviceCode="*384#", phoneNumber="+254711000111", text="*".join(inputs)))

    assert step.inputs == tuple(inputs)


@pytest.mark.parametrize("missing", ["sessionId", "serviceCode", "phoneNumber", "text"])
def test_a_step_lacks_nothing(missing: str) -> None:
    fields = {"sessionId": "s", "serviceCode": "*384#", "phoneNumber": "+254711000111", "text": ""}
    with pytest.raises(ReportUnreadable):
        wire.read_step(form(**{name: value for name, value in fields.items() if name != missing}))


def test_screens() -> None:
    assert wire.write_screen(UssdScreen(text="Hi\n1 Save", ends=False)).body == b"CON Hi\n1 Save"
    assert wire.write_screen(UssdScreen(text="Bye", ends=True)).body == b"END Bye"


# --- our adapter and our simulator ---


@pytest_asyncio.fixture
async def there(transport: LoopbackTransport) -> AsyncIterator[AfricasTalkingSimulator]:
    found = AfricasTalkingSimulator(transport, username="umoja", api_key="at-key")
    async with found.server:
        yield found


async def test_an_unknown_key_is_refused_and_nothing_is_sent(
    transport: LoopbackTransport, there: AfricasTalkingSimulator
) -> None:
    adapter = AfricasTalkingSms(transport, username="umoja", api_key="other", base_url=there.server.url)

    assert (await adapter.send(MESSAGE)).reason is Reason.AUTH
    assert there.sent == []


async def test_a_fault_is_planned_over_http(transport: LoopbackTransport, there: AfricasTalkingSimulator) -> None:
    control = f"{there.server.url}{CONTROL_PATH}"
    planned = await transport.send(WireRequest(method="POST", url=control, body=b'{"fault": "503", "times": 2}'))
    wrong = await transport.send(WireRequest(method="POST", url=control, body=b'{"fault": "fire"}'))
    adapter = AfricasTalkingSms(transport, username="umoja", api_key="at-key", base_url=there.server.url)
    states = [(await adapter.send(MESSAGE)).state for _ in range(3)]

    assert (planned.status, wrong.status) == (204, 422)
    assert states == [ExchangeState.UNKNOWN, ExchangeState.UNKNOWN, ExchangeState.ACCEPTED]
    assert there.faults.happened == {Fault.UNAVAILABLE: 2}


# --- a telephone on a real menu ---


class Line:
    """What stands behind our address: the adapter, and the menu after all that was typed."""

    def __init__(self) -> None:
        menu, problems = decode_menu("ussd.toml", MENU_TOML.read_bytes())
        assert menu is not None, problems
        self.menu = menu
        self.ussd = AfricasTalkingUssd()
        self.asked: list[object] = []
        self.ends: list[object] = []

    async def answer(self, request: WireRequest) -> WireResponse:
        if request.url == "/end":
            self.ends.append(self.ussd.read_end(request))
            return WireResponse(status=200)
        step = self.ussd.read(request)
        self.asked.append(step)
        position = walk(self.menu, begin(self.menu, "member"), step.inputs)
        values = {"scheme": "Umoja Pension", "balance": "KES 1,250.00", "name": "Amina Wanjiru"}
        return self.ussd.write(show(self.menu, position, values))


@pytest_asyncio.fixture
async def line() -> AsyncIterator[tuple[Line, HttpServer]]:
    found = Line()
    async with HttpServer(found.answer) as server:
        yield found, server


async def test_a_session_from_first_screen_to_end(transport: LoopbackTransport, line: tuple[Line, HttpServer]) -> None:
    here, server = line
    handset = Handset(transport, f"{server.url}/ussd", phone="+254711000111", ends_to=f"{server.url}/end")

    assert await handset.dial() == "Umoja Pension\n1 Save\n2 Balance"
    assert (await handset.type("1")).startswith("How much?")
    assert await handset.type("500") == "Save 500 to Umoja Pension for Amina Wanjiru?\n1 Yes\n2 No\n0 Back 00 Home"
    again = await handset.ask_again()
    assert again == handset.screens[-2]
    assert await handset.type("1") == "Approve on your phone."
    assert not handset.open
    (end,) = here.ends
    assert end == UssdEnd(
        session=handset.session,
        succeeded=True,
        cost="2.5000",
        currency="KES",
        hops=5,
        milliseconds=7500,
        code="Success",
    )


async def test_a_session_whose_answer_is_an_error_page_ends_and_a_new_one_begins(
    transport: LoopbackTransport, line: tuple[Line, HttpServer]
) -> None:
    here, server = line
    handset = Handset(transport, f"{server.url}/ussd", phone="+254711000111", ends_to=f"{server.url}/end")
    await handset.dial()
    server.faults.plan(Fault.HTML_PAGE)
    assert await handset.type("2") == ""
    first = handset.session
    assert not handset.open
    assert await handset.dial() == "Umoja Pension\n1 Save\n2 Balance"
    await handset.hang_up()

    assert handset.session != first
    assert [(end.session, end.succeeded) for end in here.ends] == [(first, False), (handset.session, False)]  # type: ignore[attr-defined]


# --- the provider's own client drives our simulator ---

CLIENT = """
import json, sys, africastalking
url, key = sys.argv[1:3]
africastalking.initialize("umoja", key)
africastalking.SMS._baseUrl = url + "/version1"
try:
    answer = africastalking.SMS.send("Habari", ["+254711000111", "+254711000406"], sender_id="UMOJA")
except Exception as error:
    answer = type(error).__name__ + ": " + str(error)
print(json.dumps(answer))
"""


@pytest.mark.artefact("africastalking")
async def test_their_own_client_sends_by_our_simulator(there: AfricasTalkingSimulator) -> None:
    answer = json.loads(await run_oracle(CLIENT, there.server.url, "at-key"))

    data = answer["SMSMessageData"]
    assert data["Message"] == "Sent to 1/2 Total Cost: KES 0.8000"
    assert [(one["statusCode"], one["status"], one["cost"]) for one in data["Recipients"]] == [
        (101, "Success", "KES 0.8000"), (406, "UserInBlacklist", "0"),
    ]  # fmt: skip
    assert [(one.to, one.text, one.sender) for one in there.sent] == [("+254711000111", "Habari", "UMOJA")]


@pytest.mark.artefact("africastalking")
async def test_their_own_client_understands_our_refusal(there: AfricasTalkingSimulator) -> None:
    answer = json.loads(await run_oracle(CLIENT, there.server.url, "wrong"))

    assert answer == "AfricasTalkingException: The supplied authentication is invalid"


@pytest.mark.artefact("africastalking", breaks=True)
@pytest.mark.parametrize(
    ("what", "instead"),
    [
        pytest.param(b'"SMSMessageData"', b'"SMSMessageData', id="a quote is missing"),
        pytest.param(b"application/json", b"text/json", id="another content type"),
    ],
)
async def test_their_own_client_sees_when_one_thing_is_broken(what: bytes, instead: bytes) -> None:
    async def broken(_request: WireRequest) -> WireResponse:
        right = told([RECIPIENT])
        headers = {name: value.replace(what.decode(), instead.decode()) for name, value in right.headers.items()}
        return WireResponse(status=201, headers=headers, body=right.body.replace(what, instead))

    async with HttpServer(broken) as server:
        answer = json.loads(await run_oracle(CLIENT, server.url, "at-key"))
    assert isinstance(answer, str)  # a dictionary is what the client makes of a sound answer


@pytest.mark.artefact("africastalking")
async def test_our_request_is_theirs(transport: LoopbackTransport) -> None:
    """Both clients' requests, field by field, as the simulator received them."""
    seen: list[WireRequest] = []

    async def keep(request: WireRequest) -> WireResponse:
        seen.append(request)
        return told([RECIPIENT])

    async with HttpServer(keep) as server:
        await run_oracle(CLIENT.replace(', "+254711000406"', ""), server.url, "at-key")
        message = OutgoingMessage(reference="m", to="+254711000111", text="Habari", sender="UMOJA")
        await AfricasTalkingSms(transport, username="umoja", api_key="at-key", base_url=server.url).send(message)
    theirs, ours = seen
    assert wire.read_form(ours) == wire.read_form(theirs)
    for name in ("apikey", "accept", "content-type"):
        assert ours.headers[name] == theirs.headers[name]
    assert ours.url == theirs.url
