"""Where a gateway asks for screens, and where staff see what was asked for by telephone."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any
from uuid import UUID

from litestar import Controller, MediaType, Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse
from msgspec import Meta, Struct

from engine.access.rules import Caller
from engine.channels.ussd import desk, service
from engine.channels.ussd.desk import MenuRequest
from engine.channels.ussd.errors import UnknownMenuRequest
from engine.channels.ussd.service import Line
from engine.enrolment.api.joining import JOINING_REFUSALS, MemberAnswer
from engine.enrolment.rules import Application
from engine.kernel.errors import EngineError
from engine.kernel.permissions import Permission
from engine.kernel.transport import WireRequest, WireResponse
from engine.notices.errors import ReportUnreadable
from engine.runtime.database import Database
from engine.runtime.http import refuses
from engine.runtime.key_file import FileKeyStore
from engine.runtime.logging import get_logger
from engine.tenancy.service import Tenant

BODY_BYTES_MAX = 64 * 1024
Lines = Callable[[], Sequence[Line]]
_log = get_logger(__name__)


class UssdController(Controller):
    """The addresses that gateways are given. Nobody can guess one, and whoever does from elsewhere finds nothing there."""

    path = "/ussd/{secret:str}"
    include_in_schema = False
    request_max_body_size = BODY_BYTES_MAX

    @post("/", status_code=200, opt={"permission": Permission.PUBLIC})
    async def step(
        self,
        request: Request[Any, Any, Any],
        secret: FromPath[str],
        ussd_lines: NamedDependency[Lines],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> ASGIResponse:
        """Answer with a screen; the scheme is the one of the service code that was dialled."""
        wire = await _wire(request)
        for line in _admitted(request, secret, ussd_lines()):
            try:
                step = line.gateway.read(wire)
            except ReportUnreadable:
                continue
            if step.service_code not in line.config.service_codes:
                continue
            try:
                screen = await service.answer(db, keys, line, step)
            except Exception:  # noqa: BLE001 - people on a telephone get a sentence; nothing has happened
                _log.exception("a screen could not be answered", tenant=line.tenant.code)
                screen = service.not_now(line)
            return _answered(line.gateway.write(screen))
        return _nothing()

    @post("/end", status_code=200, opt={"permission": Permission.PUBLIC})
    async def end(
        self,
        request: Request[Any, Any, Any],
        secret: FromPath[str],
        ussd_lines: NamedDependency[Lines],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> ASGIResponse:
        """Keep what a session cost, wherever it was held."""
        wire = await _wire(request)
        lines = _admitted(request, secret, ussd_lines())
        for line in lines:
            try:
                told = line.gateway.read_end(wire)
            except ReportUnreadable:
                continue
            await service.note_end(db, keys, line, told)
        return _answered(WireResponse(status=200)) if lines else _nothing()


class MenuRequests(Struct, frozen=True):
    """What is left to do, the oldest first, at most 100."""

    items: list[MenuRequest]


class MenuRequestDone(Struct, frozen=True, forbid_unknown_fields=True):
    """That a request was done."""

    member: Annotated[
        str,
        Meta(
            max_length=40,
            description="For a request to join: the number of the member who was enrolled since, who then uses the PIN chosen.",
        ),
    ] = ""


class MenuRequestClosed(Struct, frozen=True):
    """The request that was done."""

    request: UUID


class MenuRequestController(Controller):
    """What people asked for by telephone."""

    path = "/v1/menu-requests"
    tags = ("Messages",)

    @get("/", operation_id="ListMenuRequests", opt={"permission": Permission.MEMBERS_ASSIST})
    async def list_requests(
        self,
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> MenuRequests:
        """Return calls, complaints, withdrawals, people who want to join and PINs that were locked."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return MenuRequests(await desk.open_requests(session, keys, tenant, actor=caller.actor))

    @post(
        "/{request_id:uuid}/close",
        operation_id="CloseMenuRequest",
        status_code=200,
        opt={"permission": Permission.MEMBERS_ASSIST},
        responses=refuses(UnknownMenuRequest),
    )
    async def close(
        self,
        request_id: FromPath[UUID],
        data: JSONBody[MenuRequestDone],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> MenuRequestClosed:
        """Say that a request was done; what it said is forgotten."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            await desk.close_request(session, keys, tenant, request_id, member=data.member, actor=caller.actor)
        return MenuRequestClosed(request_id)

    @post(
        "/{request_id:uuid}/enrolment",
        operation_id="EnrolByMenuRequest",
        status_code=201,
        opt={"permission": Permission.MEMBERS_ASSIST},
        responses=refuses(UnknownMenuRequest, *JOINING_REFUSALS),
    )
    async def enrol(
        self,
        request_id: FromPath[UUID],
        data: JSONBody[Application],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> MemberAnswer:
        """Take in whoever asked to join by telephone, and close the request; they use the PIN they chose then.

        Telephone, language and identity number are the request's where the application has none.
        """
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await desk.enrol_asker(session, keys, tenant, request_id, data, actor=caller.actor)
        if isinstance(found, EngineError):
            raise found  # once it is on record
        return MemberAnswer(found.number, found.product, found.joined_on, "active", found.group_code)


def _admitted(request: Request[Any, Any, Any], secret: str, lines: Sequence[Line]) -> list[Line]:
    address = request.client.host if request.client else ""
    return [line for line in lines if line.config.admits(secret, address)]


async def _wire(request: Request[Any, Any, Any]) -> WireRequest:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return WireRequest(method=request.method, url=request.url.path, headers=headers, body=await request.body())


def _answered(answer: WireResponse) -> ASGIResponse:
    return ASGIResponse(body=answer.body, status_code=answer.status, media_type=MediaType.TEXT, encoding="utf-8")


def _nothing() -> ASGIResponse:
    return ASGIResponse(body=b"", status_code=404, media_type=MediaType.TEXT)
