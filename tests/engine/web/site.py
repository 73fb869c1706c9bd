"""The pages as an application of their own, behind the real guard, with tenants that the tests brought to life."""

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from litestar import Litestar, Request, Router
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.testing import AsyncTestClient

from engine.access import service as access
from engine.access.api import StaffController, authorize, provide_caller
from engine.access.rules import Caller, Role
from engine.access.service import Gate, Tokens
from engine.benefits.service import BankRail, Payers
from engine.funds.service import OrderDesk
from engine.kernel.clock import SystemClock
from engine.reports.api import StatementController
from engine.runtime.exchanges.engine import Exchanges
from engine.runtime.http import exception_handlers
from engine.runtime.settings import Settings
from engine.tenancy.service import Tenant, Tenants
from engine.web.pages import WEB_HANDLERS, html_errors
from tests.engine.reports.scheme import Scheme

Client = AsyncTestClient[Litestar]
BANK = "bank"
ALL_ROLES = (Role.OPERATOR, Role.CONTRIBUTIONS_OFFICER, Role.DEALING_OFFICER)


def served(*schemes: Scheme) -> Tenants:
    """Return all the schemes' tenants as one process serves them."""
    tenants = Tenants({}, ())
    for scheme in schemes:
        for field in ("_packs", "_by_id", "_by_code", "_by_host"):
            setattr(tenants, field, {**getattr(tenants, field), **getattr(scheme.tenants, field)})
    return tenants


def make_app(*schemes: Scheme, desk: OrderDesk | None = None) -> Litestar:
    """Return an application that serves the schemes' pages and statements; orders go through `desk`."""
    tenants = served(*schemes)
    db, keys = schemes[0].db, schemes[0].keys
    gate = Gate(db, Tokens(Ed25519PrivateKey.generate(), issuer="http://akiba.example"), SystemClock(), home="/staff")

    async def provide_tenant(request: Request[Any, Any, Any], caller: NamedDependency[Caller]) -> Tenant:
        if caller.kind == "public":
            return tenants.by_host(request.headers.get("host", ""))
        return tenants.by_id(caller.tenant_id)

    def given(value: Any) -> Provide:
        return Provide(lambda: value, sync_to_thread=False)

    return Litestar(
        route_handlers=[Router("/", route_handlers=[*WEB_HANDLERS, StatementController, StaffController])],
        guards=[authorize],
        dependencies={
            "caller": Provide(provide_caller),
            "tenant": Provide(provide_tenant),
            "db": given(db),
            "keys": given(keys),
            "tenants": given(tenants),
            "settings": given(Settings()),
            "order_desk": given(desk or OrderDesk(Exchanges(db, keys, {}, lambda *_: ""))),
            "payers": given(Payers(Exchanges(db, keys, {}, lambda *_: ""), banks={BANK: _bank()})),
        },
        state=State({"gate": gate, "tenants": tenants}),
        exception_handlers=html_errors(exception_handlers(lambda _request, message: message)),
        openapi_config=None,
        logging_config=None,
    )


def _bank() -> BankRail:
    return BankRail(pays_from="mtn-momo", holder="A Scheme", number="RW0001", bank="BKIGRWRW", sender="SCHEME")


def host_of(scheme: Scheme) -> str:
    """Return the host name of a scheme's pages."""
    return scheme.tenant.pack.manifest.hosts[0]


async def sign_in_token(scheme: Scheme, *roles: str, label: str = "first operator") -> str:
    """Return the token of a one-time link for someone with these roles."""
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await access.bootstrap(session, label, roles=roles or ALL_ROLES)


async def signed_in(app: Litestar, scheme: Scheme, *roles: str, label: str = "first operator") -> Client:
    """Return a client whose cookie is that of a member of staff."""
    client = AsyncTestClient(app, base_url=f"http://{host_of(scheme)}")
    client.headers["accept"] = "text/html"
    client.headers["accept-language"] = "en"
    token = await sign_in_token(scheme, *roles, label=label)
    entered = await client.post(f"/staff/enter/{token}", follow_redirects=False)
    assert entered.status_code == 303, entered.text
    return client
