"""Composition: the one place, with `worker` and `cli`, that knows every capability. Builds the HTTP face of a deployment."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Request, Response, Router, get
from litestar.di import NamedDependency, Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityRequirement, SecurityScheme
from sqlalchemy import text

from engine import __version__
from engine.access.api import CSRF_HEADER, StaffController, TokenController, authorize, provide_caller
from engine.access.rules import PARTNER_SCOPES, Caller
from engine.access.service import Gate, Tokens
from engine.audit.api import LogController
from engine.benefits.api import (
    AnnuityController,
    AvailableController,
    ClaimController,
    CoverFileController,
    FeeRunController,
    FigureAcceptanceController,
    HeirController,
    LoanController,
    MemberFeesController,
    MemberMergeController,
    MemberMoveController,
    MemberPremiumController,
    MemberSplitController,
    MergeController,
    MoveController,
    PassedOnController,
    PayoutController,
    PayrollController,
    PensionController,
    PremiumFileController,
    PremiumRunController,
    ReclaimController,
    RecountController,
    SplitController,
    StandingController,
    TransferInController,
    TransferOutController,
    UnclaimedController,
)
from engine.benefits.service import Payers
from engine.channels.callbacks import CallbackController
from engine.channels.operations import OperationsController
from engine.channels.ussd.api import MenuRequestController, UssdController
from engine.channels.ussd.service import Line
from engine.closing.api import ClosingController
from engine.contributions.api import (
    CollectionController,
    ContributionController,
    Desk,
    ReversalController,
    StateMoneyController,
    SuspenseController,
)
from engine.contributions.api.declared import DeclaredIncomeController
from engine.contributions.service import Collectors, Intake
from engine.debits.api import DebitFileController
from engine.deployment import (
    CHECKS,
    KINDS,
    RUNNERS,
    DatabaseURLs,
    Deployment,
    adapter,
    is_at_head,
    open_deployment,
    running_database,
    upgrade,
)
from engine.enrolment.api import (
    DeathController,
    EnrolmentTermsController,
    MemberController,
    NumberController,
    ProductsController,
    UndertakingController,
    VerificationController,
)
from engine.enrolment.service import Verifiers
from engine.funds.api import (
    CorrectionController,
    DealingController,
    FundActionController,
    FundChoiceController,
    OrderFileController,
    PoolIncomeController,
    PriceController,
    SentOrderController,
    SettingAsideController,
    SwitchController,
)
from engine.funds.service import OrderDesk
from engine.kernel.permissions import Permission
from engine.laws import LAWS
from engine.mergers.api import MergerController
from engine.notices.api import MessageController
from engine.opening.api import OpeningController
from engine.outside import NoTransport, Outside
from engine.reconciliation.api import ReconciliationController
from engine.reports.api import (
    DecisionController,
    EntitlementController,
    ProjectionController,
    StatementController,
    ZeroResultController,
)
from engine.runtime.counterparty_file import CounterpartyFile
from engine.runtime.database import Database
from engine.runtime.exchanges.engine import Exchanges
from engine.runtime.http import StrictRequest, allow_every_method, document_refusals, exception_handlers
from engine.runtime.locale import engine_languages, translator, wanted_language
from engine.runtime.logging import get_logger
from engine.tenancy.api import FigureController, PackVersionController
from engine.tenancy.service import Tenant
from engine.web.pages import WEB_HANDLERS, html_errors
from engine.webhooks.api import WebhookController

MOST_BODY_BYTES = 2_000_000
__all__ = [
    "CHECKS",
    "KINDS",
    "LAWS",
    "RUNNERS",
    "DatabaseURLs",
    "Deployment",
    "adapter",
    "create_app",
    "follow_tenants",
    "is_at_head",
    "open_deployment",
    "running_database",
    "upgrade",
]

SERVED_SECONDS = 5
"""How soon a serving process serves a tenant that another process created."""

_log = get_logger(__name__)


@get("/livez", opt={"permission": Permission.PUBLIC}, include_in_schema=False)
async def livez() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "ok"}


@get("/readyz", opt={"permission": Permission.PUBLIC}, include_in_schema=False)
async def readyz(db: NamedDependency[Database], app_url: NamedDependency[str]) -> Response[dict[str, str]]:
    """Say whether requests can be served: the database answers and its schema is ours."""
    try:
        async with db.unit_of_work(None) as session:
            await session.execute(text("select 1"))
        ready = await asyncio.to_thread(is_at_head, app_url)
    except Exception as error:  # noqa: BLE001 - whatever is wrong, the answer is: not ready
        _log.warning("not ready", kind=type(error).__name__)
        return Response({"status": "database unavailable"}, status_code=503)
    return Response({"status": "ok" if ready else "schema is not this version's"}, status_code=200 if ready else 503)


async def follow_tenants(deployment: Deployment) -> None:
    """Keep serving the tenants there are, each by the pack version in force, until cancelled."""
    while True:
        await asyncio.sleep(SERVED_SECONDS)
        try:
            await deployment.tenants.activate(deployment.db)
        except Exception as error:  # noqa: BLE001 - tried again; what is served stays served
            _log.warning("tenants could not be read", kind=type(error).__name__)


def translate(request: Request[Any, Any, Any], message: str) -> str:
    """Return an engine text in the language the request asks for, among those with a catalogue; else in English."""
    language = wanted_language(request.headers.get("accept-language", ""), engine_languages()) or "en"
    return str(translator(language).gettext(message))


def create_app(deployment: Deployment, urls: DatabaseURLs, *, intake: type[Intake] = Intake) -> Litestar:
    """Return the HTTP application of a deployment; `intake` gathers contributions into commits."""
    gathering = intake(deployment.db, deployment.keys)
    file = CounterpartyFile(deployment.settings.counterparties_file)
    outside = Outside(deployment.db, deployment.keys, file, deployment.base_url, adapter, NoTransport())
    gate = Gate(
        deployment.db,
        Tokens(deployment.keys.token_signing_key, issuer=deployment.base_url),
        secure=deployment.base_url.startswith("https:"),
        home="/staff",
    )

    async def provide_tenant(request: Request[Any, Any, Any], caller: NamedDependency[Caller]) -> Tenant:
        if caller.kind == "public":
            return deployment.tenants.by_host(request.headers.get("host", ""))
        return deployment.tenants.by_id(caller.tenant_id)

    async def provide_collectors(request: Request[Any, Any, Any]) -> Collectors:
        caller = await provide_caller(request)
        return outside.of(deployment.tenants.by_id(caller.tenant_id)).collectors

    async def provide_payers(request: Request[Any, Any, Any]) -> Payers:
        caller = await provide_caller(request)
        return outside.of(deployment.tenants.by_id(caller.tenant_id)).payers

    async def provide_order_desk(request: Request[Any, Any, Any]) -> OrderDesk:
        caller = await provide_caller(request)
        return outside.of(deployment.tenants.by_id(caller.tenant_id)).desk

    async def provide_verifiers(request: Request[Any, Any, Any]) -> Verifiers:
        caller = await provide_caller(request)
        return outside.of(deployment.tenants.by_id(caller.tenant_id)).verifiers

    def exchanges_of(tenant_id: int) -> Exchanges:
        return outside.of(deployment.tenants.by_id(tenant_id)).exchanges

    def ussd_lines() -> list[Line]:
        """Return the menus that gateways reach, of every tenant."""
        joined = [(tenant, outside.of(tenant)) for tenant in deployment.tenants]
        return [Line(tenant, *one.ussd, one.collectors) for tenant, one in joined if one.ussd is not None]

    async def provide_desk(request: Request[Any, Any, Any]) -> Desk:
        caller = await provide_caller(request)
        return Desk(caller, deployment.tenants.by_id(caller.tenant_id), gathering)

    def given(value: Any) -> Provide:
        return Provide(lambda: value, sync_to_thread=False)

    @asynccontextmanager
    async def serving(_: Litestar) -> AsyncIterator[None]:
        follower = asyncio.create_task(follow_tenants(deployment))
        # What was loaded stays: the collector need not walk through it again and again while requests are served.
        gc.collect()
        gc.freeze()
        try:
            yield
        finally:
            follower.cancel()
            await gathering.drained()

    app = Litestar(
        route_handlers=[
            livez,
            readyz,
            TokenController,
            StaffController,
            MemberController,
            ProductsController,
            UndertakingController,
            DeclaredIncomeController,
            VerificationController,
            NumberController,
            DeathController,
            EnrolmentTermsController,
            ContributionController,
            CollectionController,
            ReversalController,
            SuspenseController,
            StateMoneyController,
            AvailableController,
            ClaimController,
            AnnuityController,
            PassedOnController,
            CoverFileController,
            MemberPremiumController,
            PremiumFileController,
            PremiumRunController,
            DebitFileController,
            HeirController,
            LoanController,
            PayoutController,
            PayrollController,
            SplitController,
            StandingController,
            PensionController,
            ReclaimController,
            UnclaimedController,
            FeeRunController,
            FigureAcceptanceController,
            RecountController,
            MemberFeesController,
            MemberMergeController,
            MemberMoveController,
            MemberSplitController,
            MergeController,
            MoveController,
            TransferOutController,
            TransferInController,
            PriceController,
            CorrectionController,
            FundActionController,
            PoolIncomeController,
            FundChoiceController,
            SwitchController,
            DealingController,
            OrderFileController,
            SentOrderController,
            SettingAsideController,
            OpeningController,
            MergerController,
            ClosingController,
            ReconciliationController,
            StatementController,
            DecisionController,
            ZeroResultController,
            EntitlementController,
            ProjectionController,
            FigureController,
            PackVersionController,
            MessageController,
            LogController,
            OperationsController,
            WebhookController,
            CallbackController,
            UssdController,
            MenuRequestController,
            *WEB_HANDLERS,
        ],
        guards=[authorize],
        dependencies={
            "caller": Provide(provide_caller),
            "tenant": Provide(provide_tenant),
            "desk": Provide(provide_desk),
            "collectors": Provide(provide_collectors),
            "payers": Provide(provide_payers),
            "order_desk": Provide(provide_order_desk),
            "verifiers": Provide(provide_verifiers),
            "exchanges_of": given(exchanges_of),
            "ussd_lines": given(ussd_lines),
            "db": given(deployment.db),
            "keys": given(deployment.keys),
            "tenants": given(deployment.tenants),
            "settings": given(deployment.settings),
            "app_url": given(urls.app),
            "adapters": given(adapter),
        },
        exception_handlers=html_errors(exception_handlers(translate)),
        openapi_config=OpenAPIConfig(
            title="Akiba",
            version=__version__,
            description="Micro-pension administration: enrolment, contributions, prices, statements.",
            render_plugins=[JsonRenderPlugin()],
            openapi_router=Router(
                "/schema", route_handlers=[], opt={"permission": Permission.PUBLIC}, include_in_schema=False
            ),
            components=Components(
                security_schemes={
                    "partner": SecurityScheme(type="http", scheme="bearer", description="A token from /oauth/token."),
                    "staff": SecurityScheme(
                        type="apiKey",
                        security_scheme_in="cookie",
                        name=gate.cookie_name(secure=gate.secure),
                        description="The session that a one-time link begins.",
                    ),
                    "csrf": SecurityScheme(
                        type="apiKey",
                        security_scheme_in="header",
                        name=CSRF_HEADER,
                        description="With a session, whatever is no GET needs its csrf_token (/v1/operations/session).",
                    ),
                }
            ),
        ),
        before_send=[allow_every_method],
        request_class=StrictRequest,
        request_max_body_size=MOST_BODY_BYTES,
        lifespan=[serving],
        logging_config=None,
        debug=False,
    )
    app.state["gate"] = gate
    app.state["tenants"] = deployment.tenants
    app.state["intake"] = gathering
    document_refusals(app, _ways_in)
    return app


def _ways_in(permission: Permission) -> list[SecurityRequirement]:
    """Return how the OpenAPI document says one gets in to what needs `permission`."""
    if permission is Permission.PUBLIC:
        return []
    staff: SecurityRequirement = {"staff": [], "csrf": []}
    return [{"partner": []}, staff] if permission in PARTNER_SCOPES else [staff]
