"""What every adapter of a USSD gateway must hold, whatever its form: the gateway's side is its simulator's handset."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from engine.kernel.transport import Transport, WireRequest, WireResponse
from engine.notices.ports import ReportUnreadable, Ussd, UssdEnd, UssdRequest, UssdScreen
from integrations.messaging.africas_talking.adapter import AfricasTalkingUssd
from integrations.messaging.africas_talking.simulator import Handset
from integrations.messaging.simulating import Fault, HttpServer
from tests.integrations.messaging.wire_transport import LoopbackTransport

ADAPTERS: dict[str, tuple[Callable[[], Ussd], Callable[..., Handset]]] = {
    "africas_talking": (AfricasTalkingUssd, Handset),
}
PHONE = "+254711000111"


@dataclass
class Line:
    """Our side: repeats what was typed, ends at "9", and keeps all that came."""

    ussd: Ussd
    raw: list[WireRequest] = field(default_factory=list)
    steps: list[UssdRequest] = field(default_factory=list)
    ends: list[UssdEnd] = field(default_factory=list)

    async def answer(self, request: WireRequest) -> WireResponse:
        if request.url == "/end":
            self.ends.append(self.ussd.read_end(request))
            return WireResponse(status=200)
        self.raw.append(request)
        step = self.ussd.read(request)
        self.steps.append(step)
        text = f"[{'|'.join(step.inputs)}]\n1 Ñandú é €"
        return self.ussd.write(UssdScreen(text=text, ends=step.inputs[-1:] == ("9",)))


@dataclass
class Case:
    line: Line
    server: HttpServer
    handset: Handset


@pytest_asyncio.fixture(params=ADAPTERS)
async def case(request: pytest.FixtureRequest) -> AsyncIterator[Case]:
    adapter, handset = ADAPTERS[request.param]
    line = Line(adapter())
    async with LoopbackTransport(seconds=2) as transport, HttpServer(line.answer) as server:
        there: Transport = transport
        yield Case(line, server, handset(there, f"{server.url}/ussd", phone=PHONE, ends_to=f"{server.url}/end"))


async def test_all_that_was_typed_comes_and_the_screen_goes_back_whole(case: Case) -> None:
    assert isinstance(case.line.ussd, Ussd)
    assert await case.handset.dial() == "[]\n1 Ñandú é €"
    assert await case.handset.type("1") == "[1]\n1 Ñandú é €"
    assert await case.handset.type("a b+c&d=e%") == "[1|a b+c&d=e%]\n1 Ñandú é €"
    assert [(step.session, step.phone, step.service_code) for step in case.line.steps] == [
        (case.handset.session, PHONE, "*384#")
    ] * 3


async def test_a_request_that_comes_again_is_the_same_step(case: Case) -> None:
    await case.handset.dial()
    await case.handset.type("1")
    await case.handset.ask_again()

    assert case.line.steps[1] == case.line.steps[2]
    assert [case.line.ussd.read(raw) for raw in case.line.raw] == case.line.steps


async def test_an_end_closes_the_session_and_is_told_with_its_cost(case: Case) -> None:
    await case.handset.dial()
    await case.handset.type("9")
    (end,) = case.line.ends

    assert not case.handset.open
    assert (end.session, end.succeeded, end.hops) == (case.handset.session, True, 2)
    assert (end.cost, end.currency) == ("1.0000", "KES")
    assert end.milliseconds > 0


@pytest.mark.parametrize("fault", [Fault.HTML_PAGE, Fault.UNAVAILABLE])
async def test_a_broken_answer_ends_the_session_as_failed(case: Case, fault: Fault) -> None:
    await case.handset.dial()
    case.server.faults.plan(fault)
    await case.handset.type("1")

    assert not case.handset.open
    assert [end.succeeded for end in case.line.ends] == [False]


async def test_what_is_no_request_of_the_gateway_is_refused(case: Case) -> None:
    for body in (b"", b"{}", b"sessionId=", b"text=1", b"\xff\xfe", b"a=1&" * 9000):
        for content_type in ("application/x-www-form-urlencoded", "application/json"):
            request = WireRequest(method="POST", url="/ussd", headers={"content-type": content_type}, body=body)
            for read in (case.line.ussd.read, case.line.ussd.read_end):
                with pytest.raises(ReportUnreadable):
                    read(request)


async def test_no_pin_stands_in_what_may_be_logged(case: Case) -> None:
    await case.handset.dial()
    await case.handset.type("4711")

    assert case.line.steps[-1].inputs == ("4711",)
    assert "4711" not in f"{case.line.steps!r} {case.line.ends!r}"
    assert PHONE not in repr(case.line.steps)
