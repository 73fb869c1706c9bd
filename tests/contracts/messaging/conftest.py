"""Every adapter that answers the port for messages, each with its simulator and what is special about its readers."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

import integrations.messaging.http_gateway
from engine.kernel.clock import FixedClock
from engine.kernel.transport import WireRequest, WireResponse
from engine.notices.ports import Messaging
from integrations.messaging.africas_talking.adapter import AfricasTalkingSms
from integrations.messaging.africas_talking.simulator import AfricasTalkingSimulator
from integrations.messaging.http_gateway.adapter import HttpGateway
from integrations.messaging.http_gateway.description import decode_gateway
from integrations.messaging.http_gateway.simulator import JsonGatewaySimulator, KannelSimulator
from integrations.messaging.simulating import Faults, HttpServer
from integrations.messaging.smpp.adapter import SmppSms
from integrations.messaging.smpp.session import SmppSession
from integrations.messaging.smpp.simulator import SmppSimulator
from integrations.messaging.smtp.adapter import Email
from integrations.messaging.smtp.simulator import SmtpSimulator
from integrations.messaging.smtp.submission import Login, SmtpSubmission
from integrations.messaging.whatsapp.adapter import WhatsAppCloud
from integrations.messaging.whatsapp.simulator import WhatsAppSimulator
from tests.integrations.messaging.certificates import Tls, make_tls
from tests.integrations.messaging.wire_transport import LoopbackTransport

SECRET = "s3cret-w0rd"
PATIENCE = 0.6
DESCRIPTIONS = Path(integrations.messaging.http_gateway.__file__).parent


@dataclass(frozen=True, slots=True)
class Case:
    """One adapter at work. `reports` lets the other side report and returns all that came so far, as it came."""

    adapter: Messaging
    faults: Faults
    sent: Callable[[], Sequence[str]]
    reports: Callable[[], Awaitable[list[WireRequest]]]
    reader: str
    refused: str
    absent: str
    sender: str
    proves_reports: bool = False
    says_cost: bool = False


@dataclass(frozen=True, slots=True)
class Here:
    """What every case is built with: things to leave at the end, a transport, our address, and what came to it."""

    stack: AsyncExitStack
    transport: LoopbackTransport
    url: str
    came: list[WireRequest]
    tls: Tls
    faults: Faults

    async def receive(self, request: WireRequest) -> None:
        self.came.append(request)


async def africas_talking(here: Here) -> Case:
    there = AfricasTalkingSimulator(
        here.transport, username="umoja", api_key=SECRET, reports_to=here.url, faults=here.faults
    )
    await here.stack.enter_async_context(there.server)
    adapter = AfricasTalkingSms(here.transport, username="umoja", api_key=SECRET, base_url=there.server.url)
    return Case(
        adapter, here.faults, lambda: [one.text for one in there.sent], _over_http(here, there.reporting.send),
        reader="+254711000111", refused="+254711000403", absent="+254711000999", sender="UMOJA", says_cost=True,
    )  # fmt: skip


async def kannel(here: Here) -> Case:
    there = KannelSimulator(here.transport, username="umoja", password=SECRET, faults=here.faults)
    await here.stack.enter_async_context(there.server)
    adapter = HttpGateway(
        here.transport,
        decode_gateway((DESCRIPTIONS / "kannel.toml").read_bytes()),
        {"username": "umoja", "password": SECRET, "report_token": "t0ken"},
        base_url=there.server.url,
        report_url=here.url,
    )
    return Case(
        adapter, here.faults, lambda: [one.text for one in there.sent], _over_http(here, there.reporting.send),
        reader="+254711000111", refused="+254711000403", absent="+254711000999", sender="UMOJA", proves_reports=True,
    )  # fmt: skip


async def json_gateway(here: Here) -> Case:
    there = JsonGatewaySimulator(here.transport, api_key=SECRET, report_key="s1gn", faults=here.faults)
    await here.stack.enter_async_context(there.server)
    adapter = HttpGateway(
        here.transport,
        decode_gateway((DESCRIPTIONS / "json_api.toml").read_bytes()),
        {"api_key": SECRET, "report_key": "s1gn"},
        base_url=there.server.url,
        report_url=here.url,
    )
    return Case(
        adapter, here.faults, lambda: [one.text for one in there.sent], _over_http(here, there.reporting.send),
        reader="+254711000111", refused="+254711000406", absent="+254711000999", sender="UMOJA",
        proves_reports=True, says_cost=True,
    )  # fmt: skip


async def whatsapp(here: Here) -> Case:
    there = WhatsAppSimulator(
        here.transport, phone_number_id="106", token=SECRET, app_secret="app", reports_to=here.url, faults=here.faults
    )
    await here.stack.enter_async_context(there.server)
    adapter = WhatsAppCloud(
        here.transport, phone_number_id="106", token=SECRET, app_secret="app", verify_token="agreed",
        base_url=there.server.url,
    )  # fmt: skip
    return Case(
        adapter, here.faults, lambda: [one.text for one in there.sent], _over_http(here, there.reporting.send),
        reader="+254711000111", refused="+254711000026", absent="+254711000999", sender="", proves_reports=True,
    )  # fmt: skip


async def smpp(here: Here) -> Case:
    there = await here.stack.enter_async_context(
        SmppSimulator(system_id="umoja", password=SECRET[:8], faults=here.faults)
    )
    session = await here.stack.enter_async_context(
        SmppSession(
            "127.0.0.1", there.port, system_id="umoja", password=SECRET[:8], receive=here.receive, seconds=PATIENCE
        )
    )

    async def reports() -> list[WireRequest]:
        await there.report()
        return here.came

    return Case(
        SmppSms(session), here.faults, lambda: [one.text for one in there.sent], reports,
        reader="+254711000111", refused="+254711000011", absent="+254711000999", sender="UMOJA",
    )  # fmt: skip


async def smtp(here: Here) -> Case:
    there = await here.stack.enter_async_context(
        SmtpSimulator(tls=here.tls.server, name="umoja", password=SECRET, receive=here.receive, faults=here.faults)
    )
    link = SmtpSubmission("127.0.0.1", there.port, tls=here.tls.client, login=Login("umoja", SECRET), seconds=PATIENCE)
    adapter = Email(link, sender="no-reply@umoja.example", clock=FixedClock(datetime(2026, 11, 27, tzinfo=UTC)))

    async def reports() -> list[WireRequest]:
        await there.report()
        return here.came

    return Case(
        adapter, here.faults, lambda: [one.text for one in there.sent], reports,
        reader="amina@mail.example", refused="unknown@mail.example", absent="absent@mail.example", sender="",
    )  # fmt: skip


def _over_http(here: Here, send: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[list[WireRequest]]]:
    async def reports() -> list[WireRequest]:
        await send()
        return here.came

    return reports


ADAPTERS: dict[str, Callable[[Here], Awaitable[Case]]] = {
    "africas_talking": africas_talking,
    "kannel": kannel,
    "json_gateway": json_gateway,
    "whatsapp": whatsapp,
    "smpp": smpp,
    "smtp": smtp,
}


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest_asyncio.fixture(params=ADAPTERS)
async def case(request: pytest.FixtureRequest, tls: Tls) -> AsyncIterator[Case]:
    came: list[WireRequest] = []

    async def keep(report: WireRequest) -> WireResponse:
        came.append(report)
        return WireResponse(status=200)

    async with AsyncExitStack() as stack:
        transport = await stack.enter_async_context(LoopbackTransport(seconds=PATIENCE))
        ours = await stack.enter_async_context(HttpServer(keep))
        faults = Faults(seconds_late=PATIENCE * 1.6)
        here = Here(stack, transport, f"{ours.url}/reports", came, tls, faults)
        yield await ADAPTERS[request.param](here)
