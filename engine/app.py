"""Composition: the one place, with `worker` and `cli`, that knows every capability. Builds the deployment and its HTTP face."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from babel import negotiate_locale
from litestar import Litestar, Request, Response, Router, get
from litestar.di import NamedDependency, Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityRequirement, SecurityScheme
from sqlalchemy import create_engine, make_url, pool, text

from engine import __version__
from engine.access.api import CSRF_HEADER, StaffController, TokenController, authorize, provide_caller
from engine.access.rules import PARTNER_SCOPES, Caller
from engine.access.service import Gate, Tokens
from engine.audit import queries as audit_queries
from engine.audit.api import LogController
from engine.audit.rules.tables import Column, ExportTable
from engine.benefits import queries as benefit_queries
from engine.benefits import rules as benefit_rules
from engine.benefits.api import (
    AnnuityController,
    AvailableController,
    ClaimController,
    CoverFileController,
    FeeRunController,
    HeirController,
    LoanController,
    MemberFeesController,
    MemberMergeController,
    MemberMoveController,
    MemberPremiumController,
    MemberSplitController,
    MergeController,
    MoveController,
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
from engine.closing import queries as closing_queries
from engine.closing.api import ClosingController
from engine.contributions import queries as contribution_queries
from engine.contributions import rules as contribution_rules
from engine.contributions.api import (
    CollectionController,
    ContributionController,
    Desk,
    ReversalController,
    StateMoneyController,
    SuspenseController,
)
from engine.contributions.service import Collectors, Intake
from engine.debits.api import DebitFileController
from engine.debits.queries import LAWS as DEBIT_LAWS
from engine.enrolment import queries as enrolment_queries
from engine.enrolment import rules as enrolment_rules
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
from engine.funds import rules as fund_rules
from engine.funds.api import (
    CorrectionController,
    DealingController,
    FundActionController,
    FundChoiceController,
    OrderFileController,
    PoolIncomeController,
    PriceController,
    SettingAsideController,
    SwitchController,
)
from engine.funds.queries.laws import LAWS as FUND_LAWS
from engine.funds.service import OrderDesk
from engine.identity import queries as identity_queries
from engine.kernel.permissions import Permission
from engine.kernel.rules import Rule
from engine.ledger import queries as ledger_queries
from engine.ledger.rules import Law
from engine.notices import queries as notice_queries
from engine.notices.api import MessageController
from engine.notices.rules.contents import content_problems
from engine.opening import queries as opening_queries
from engine.opening.api import OpeningController
from engine.outside import NoTransport, Outside
from engine.places.queries import LAWS as PLACE_LAWS
from engine.reconciliation import queries as reconciliation_queries
from engine.reconciliation import service as reconciliation
from engine.reconciliation.api import ReconciliationController
from engine.reports import rules as report_rules
from engine.reports.api import (
    DecisionController,
    EntitlementController,
    ProjectionController,
    StatementController,
    ZeroResultController,
)
from engine.reports.rules import statement_problems
from engine.runtime.counterparty_file import CounterpartyFile
from engine.runtime.database import Database, driver_url
from engine.runtime.embedded_postgres import EmbeddedServer, provision
from engine.runtime.exchanges.engine import Exchanges
from engine.runtime.http import StrictRequest, allow_every_method, document_refusals, exception_handlers
from engine.runtime.key_file import FileKeyStore
from engine.runtime.locale import ENGINE_LOCALES, translator
from engine.runtime.logging import get_logger
from engine.runtime.settings import Settings
from engine.tenancy.api import FigureController, PackVersionController
from engine.tenancy.errors import PackProblem
from engine.tenancy.rules.dimensions import dimension_problems
from engine.tenancy.rules.packs import Pack
from engine.tenancy.rules.proving import Runner
from engine.tenancy.service import PackCheck, Tenant, Tenants
from engine.web.pages import WEB_HANDLERS, html_errors
from engine.webhooks.api import WebhookController
from engine.webhooks.queries import LAWS as WEBHOOK_LAWS

ROOT = Path(__file__).resolve().parent.parent
MOST_BODY_BYTES = 2_000_000

KINDS: Sequence[type[Rule]] = (
    *contribution_rules.RULE_KINDS,
    *enrolment_rules.RULE_KINDS,
    *fund_rules.RULE_KINDS,
    *benefit_rules.RULE_KINDS,
    *report_rules.RULE_KINDS,
)
RUNNERS: Mapping[str, Runner] = {
    **contribution_rules.RUNNERS,
    **enrolment_rules.RUNNERS,
    **fund_rules.RUNNERS,
    **benefit_rules.RUNNERS,
    **report_rules.RUNNERS,
}


def layout_problems(pack: Pack) -> list[PackProblem]:
    """Return what is wrong with a pack's own layouts of statements, read by the adapter of tables."""
    return reconciliation.layout_problems(pack, adapter)


CHECKS: Sequence[PackCheck] = (
    content_problems,
    dimension_problems,
    statement_problems,
    contribution_rules.channel_problems,
    contribution_rules.price_problems,
    fund_rules.dealing_problems,
    layout_problems,
)
"""What capabilities ask of a pack beyond what every pack must hold."""

LAWS: Sequence[Law] = (
    *ledger_queries.LAWS,
    *audit_queries.LAWS,
    *identity_queries.LAWS,
    *enrolment_queries.LAWS,
    *contribution_queries.LAWS,
    *FUND_LAWS,
    *PLACE_LAWS,
    *DEBIT_LAWS,
    *WEBHOOK_LAWS,
    *opening_queries.LAWS,
    *reconciliation_queries.LAWS,
    *benefit_queries.LAWS,
    *notice_queries.LAWS,
    *closing_queries.LAWS,
)

EXPORT_TABLES: Sequence[ExportTable] = (
    ExportTable(
        name="members",
        title="Members, by pseudonym",
        columns=(
            Column("member", "member", "the pseudonym that stands in events and transfers"),
            Column("product", "string", "the product joined"),
            Column("joined_on", "date", "the business date of joining"),
            Column("group", "string", "the aggregator or group, where the product has such"),
            Column("status", "string", "active or erased"),
        ),
        source="""select member_id, product, joined_on, group_code, status from members
                   where (%(until)s::date is null or joined_on < %(until)s) order by member_id""",
        primary_key=("member",),
    ),
    ExportTable(
        name="prices",
        title="Unit prices accepted, where one was corrected the right one",
        columns=(
            Column("fund", "string", "the fund's code"),
            Column("price_on", "date", "the day the price is of"),
            Column("price", "number", "money per unit, exactly as published"),
        ),
        source="""select distinct on (f.code, p.price_on) f.code, p.price_on, (p.digits::numeric * 10::numeric ^ -p.scale::int)::numeric(30, 8) from prices p
                    join funds f on f.tenant_id = p.tenant_id and f.fund_id = p.fund_id
                   where p.state = 'accepted' and (%(since)s::date is null or p.price_on >= %(since)s)
                     and (%(until)s::date is null or p.price_on < %(until)s) order by f.code, p.price_on, p.file_id desc""",
        primary_key=("fund", "price_on"),
    ),
)
SERVED_SECONDS = 5
"""How soon a serving process serves a tenant that another process created."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Deployment:
    """One process's share of a deployment: its settings, database, keys and tenants."""

    settings: Settings
    db: Database
    keys: FileKeyStore
    tenants: Tenants

    @property
    def base_url(self) -> str:
        """Return how others reach us."""
        return self.settings.base_url or f"http://{self.settings.host}:{self.settings.port}"


@dataclass(frozen=True, slots=True)
class DatabaseURLs:
    """The application's URL and, where this process may migrate, the owner's."""

    app: str
    owner: str | None


@contextmanager
def running_database(settings: Settings) -> Iterator[DatabaseURLs]:
    """Return the URLs of the database; without DATABASE_URL, of the embedded server, which runs as long as it is used."""
    if settings.database_url is not None:
        yield DatabaseURLs(settings.database_url, settings.database_owner_url)
        return
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with EmbeddedServer(settings.data_dir / "postgres", settings.postgres_port) as server:
        urls = provision(server, "akiba")
        yield DatabaseURLs(urls.app, urls.owner)


def upgrade(urls: DatabaseURLs, settings: Settings) -> None:
    """Bring the database to the newest schema, as the owner; nothing happens where it is there."""
    config = _alembic()
    config.attributes["owner_url"] = urls.owner or settings.owner_url()
    config.attributes["app_role"] = make_url(urls.app).username
    command.upgrade(config, "head")


def is_at_head(app_url: str) -> bool:
    """Return whether the database's schema is this version's."""
    engine = create_engine(driver_url(app_url), poolclass=pool.NullPool)
    try:
        with engine.connect() as connection:
            if connection.scalar(text("select to_regclass('alembic_version') is null")):
                return False
            heads = set(MigrationContext.configure(connection).get_current_heads())
    finally:
        engine.dispose()
    return heads == set(ScriptDirectory.from_config(_alembic()).get_heads())


def _alembic() -> Config:
    return Config(str(ROOT / "alembic.ini"))


@asynccontextmanager
async def open_deployment(settings: Settings, urls: DatabaseURLs) -> AsyncIterator[Deployment]:
    """Open the database and the keys, check the packs, and serve the tenants there are."""
    tenants = Tenants.load(settings.packs, KINDS, RUNNERS, checks=CHECKS, profile=settings.profile)
    db = Database(urls.app, pool_size=settings.pool_size)
    try:
        deployment = Deployment(settings, db, FileKeyStore(settings.keys_file, settings.profile), tenants)
        await tenants.activate(db)
        yield deployment
    finally:
        await db.dispose()


def adapter(port: str, name: str) -> Any:
    """Return the adapter that packs call `name`, installed for `port`.

    Raises:
        KeyError: none of that name is installed; the message lists those that are.
    """
    installed = {point.name: point for point in entry_points(group=f"akiba.{port}")}
    if name not in installed:
        raise KeyError(f"no {port} adapter is called {name}; installed: {', '.join(sorted(installed)) or 'none'}")
    return installed[name].load()()


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
    wanted = [part.partition(";")[0].strip() for part in request.headers.get("accept-language", "").split(",")]
    available = ["en", *(path.name for path in ENGINE_LOCALES.iterdir() if path.is_dir())]
    language = negotiate_locale([tag for tag in wanted if tag], available, sep="-") or "en"
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
            SettingAsideController,
            OpeningController,
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
