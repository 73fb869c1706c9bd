"""The operator's day over HTTP: the scheme clock, price files, statements, dealing days. Each route calls one use case."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, Any

from litestar import Controller, Request, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter
from msgspec import Meta, Struct

from engine.access.rules import Caller
from engine.funds import service as funds
from engine.funds.errors import (
    LaterYearCredited,
    NoDeclaredReturn,
    PoolIncomeMissing,
    PoolIncomeShort,
    ReturnNotDeclared,
    UnknownManager,
)
from engine.funds.service import OrderDesk
from engine.kernel.errors import Invalid, Malformed
from engine.kernel.permissions import Permission
from engine.kernel.series import SeriesValueMissing
from engine.reconciliation import service as reconciliation
from engine.runtime.database import Database
from engine.runtime.http import FileOperation, refuses
from engine.runtime.key_file import FileKeyStore
from engine.runtime.settings import Settings
from engine.tenancy.errors import ClockBackwards, ClockInUse, ClockRefused, UnknownProduct
from engine.tenancy.service import Tenant, advance_clock

MOST_FILE_BYTES = 6_000_000
Adapters = Callable[[str, str], Any]
FileName = Annotated[str, QueryParameter(min_length=1, max_length=200, description="The file's name.")]


class ClockRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Where to set the scheme clock."""

    to: Annotated[datetime, Meta(tz=True, examples=["2023-04-03T09:00:00+05:30"])]


class DealingDayRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The dealing day to run."""

    date: Annotated[date, Meta(examples=["2023-04-03"])]


class InterestRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The product, and a day in the scheme year that is credited."""

    product: Annotated[str, Meta(min_length=1, max_length=40, examples=["ltss"])]
    date: Annotated[date, Meta(examples=["2023-06-30"])]


class SessionAnswer(Struct, frozen=True):
    """Who is signed in, and the token that changes in their name must carry (X-CSRF-Token)."""

    actor: str
    csrf_token: str
    permissions: list[str]


async def _file(request: Request[Any, Any, Any]) -> bytes:
    raw = await request.body()
    if not raw:
        raise Malformed(reason="the body is empty")
    return raw


class OperationsController(Controller):
    """What an operator does in a day."""

    path = "/v1/operations"
    tags = ("Operations",)

    @get("/session", operation_id="ReadSession", opt={"permission": Permission.OPERATIONS_READ})
    async def session(self, caller: NamedDependency[Caller]) -> SessionAnswer:
        """Say who is signed in."""
        return SessionAnswer(caller.actor, caller.csrf, sorted(caller.permissions))

    @post(
        "/clock",
        operation_id="AdvanceClock",
        status_code=200,
        opt={"permission": Permission.DEALING_RUN},
        responses=refuses(ClockRefused, ClockBackwards, ClockInUse),
    )
    async def clock(
        self,
        data: JSONBody[ClockRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
    ) -> dict[str, str]:
        """Set the scheme clock forward, within the years 2000 to 2099; refused in production."""
        if not 2000 <= data.to.year < 2100:
            raise Invalid(field="to", reason="a year from 2000 to 2099 is needed")
        async with db.unit_of_work(tenant.tenant_id) as session:
            now = await advance_clock(session, tenant, data.to, settings.profile, actor=caller.actor)
        return {"now": now.isoformat()}

    @post(
        "/prices",
        operation_id="ImportPrices",
        status_code=200,
        opt={"permission": Permission.PRICES_IMPORT},
        request_max_body_size=MOST_FILE_BYTES,
        operation_class=FileOperation,
    )
    async def prices(
        self,
        request: Request[Any, Any, Any],
        name: FileName,
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        adapters: NamedDependency[Adapters],
        day: Annotated[
            date | None, QueryParameter(name="date", required=False, description="Else the date in the name.")
        ] = None,
    ) -> funds.PriceImport:
        """Import a fund manager's price file; the body is the file as it is."""
        configured = tenant.pack.adapters
        if "FundManager" not in configured:
            raise Invalid(field="tenant", reason="the scheme has no fund manager")
        reader = adapters("FundManager", configured["FundManager"])
        return await funds.import_prices(
            db, tenant, reader, await _file(request), name=name, day=day, actor=caller.actor
        )

    @post(
        "/statements",
        operation_id="ImportStatement",
        status_code=200,
        opt={"permission": Permission.STATEMENTS_IMPORT},
        request_max_body_size=MOST_FILE_BYTES,
        operation_class=FileOperation,
    )
    async def statements(
        self,
        request: Request[Any, Any, Any],
        account: Annotated[str, QueryParameter(min_length=1, max_length=64, description="The collection channel.")],
        name: FileName,
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        adapters: NamedDependency[Adapters],
    ) -> reconciliation.StatementReport:
        """Import a file of statements of a collection account and match their lines; the body is the file as it is."""
        source = reconciliation.source_of(tenant, account, adapters)
        return await reconciliation.import_statement(
            db, tenant, keys, source, await _file(request), name=name, account=account, actor=caller.actor
        )

    @post(
        "/holdings",
        operation_id="ImportHoldings",
        status_code=200,
        opt={"permission": Permission.STATEMENTS_IMPORT},
        request_max_body_size=MOST_FILE_BYTES,
        operation_class=FileOperation,
    )
    async def holdings(
        self,
        request: Request[Any, Any, Any],
        name: FileName,
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        adapters: NamedDependency[Adapters],
    ) -> reconciliation.HoldingsReport:
        """Import what a fund manager or custodian says it holds; the body is the file as it is."""
        configured = tenant.pack.adapters
        if "HoldingsSource" not in configured:
            raise Invalid(field="tenant", reason="nobody tells the scheme what is held for it")
        source = adapters("HoldingsSource", configured["HoldingsSource"])
        return await reconciliation.import_holdings(
            db, tenant, source, await _file(request), name=name, actor=caller.actor
        )

    @post(
        "/confirmations",
        operation_id="ImportConfirmations",
        status_code=200,
        opt={"permission": Permission.STATEMENTS_IMPORT},
        request_max_body_size=MOST_FILE_BYTES,
        operation_class=FileOperation,
        responses=refuses(UnknownManager),
    )
    async def confirmations(
        self,
        request: Request[Any, Any, Any],
        name: FileName,
        manager: Annotated[
            str,
            QueryParameter(min_length=1, max_length=64, description="The fund manager, as the secrets file names it."),
        ],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        order_desk: NamedDependency[OrderDesk],
    ) -> funds.ConfirmationImport:
        """Import what a fund manager says it did with orders; the body is the file as it is."""
        sender = order_desk.manager(manager)
        return await funds.import_confirmations(db, tenant, sender, await _file(request), name=name, actor=caller.actor)

    @post(
        "/interest",
        operation_id="CreditInterest",
        status_code=200,
        opt={"permission": Permission.DEALING_RUN},
        responses=refuses(
            UnknownProduct,
            NoDeclaredReturn,
            LaterYearCredited,
            ReturnNotDeclared,
            SeriesValueMissing,
            PoolIncomeMissing,
            PoolIncomeShort,
        ),
    )
    async def interest(
        self,
        data: JSONBody[InterestRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> funds.InterestReport:
        """Credit what a scheme year's money earned, at the rate that was declared. Running it again credits differences."""
        return await funds.credit_interest(db, tenant, data.product, data.date, caller.actor)

    @post("/dealing-days", operation_id="RunDealingDay", status_code=200, opt={"permission": Permission.DEALING_RUN})
    async def dealing_days(
        self,
        data: JSONBody[DealingDayRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> funds.DealingReport:
        """Run a dealing day: close, order, price, allot. Running it again does nothing new."""
        return await funds.run_dealing(db, tenant, data.date, actor=caller.actor)
