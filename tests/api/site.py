"""The real application on a real port, in a thread of its own, with schemes, partners and staff to call it as."""

import asyncio
import secrets
import socket
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import uvicorn

from engine.access import service as access
from engine.access.rules import PARTNER_SCOPES, ROLES, Role, csrf_token
from engine.access.service import Partner, Tokens
from engine.app import DatabaseURLs, Deployment, create_app
from engine.enrolment.service import Enrolled
from engine.kernel.permissions import Permission
from engine.kernel.price_files import PublishedPrice
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.runtime.settings import Settings, load_settings
from engine.tenancy.service import Tenant, Tenants
from integrations.fund_managers.cra_files.adapter import CraFiles
from tests.factories.schemes import START, enrol

FIRST_DAY = START.date()
FUND = ("SM001009", "PFM001")
"""The fund of the group that the members join by, and its manager."""
STAFF: Sequence[frozenset[Role]] = (
    frozenset(
        {
            Role.OPERATOR,
            Role.CONTRIBUTIONS_OFFICER,
            Role.PRICE_MAKER,
            Role.DEALING_OFFICER,
            Role.RULES_MAKER,
            Role.CLAIMS_OFFICER,
            Role.PAYOUT_MAKER,
        }
    ),
    frozenset(
        {Role.RECONCILIATION_OFFICER, Role.PRICE_CHECKER, Role.RULES_CHECKER, Role.PAYOUT_CHECKER, Role.CLAIMS_CHECKER}
    ),
    frozenset({Role.AUDITOR}),
)
"""Three people who, together, may do everything: no one of them may."""


def one_process(tenants: Sequence[Tenant]) -> Tenants:
    """Return the tenants as one process serves them."""
    served = Tenants({}, ())
    for tenant in tenants:
        served._serve(tenant.tenant_id, tenant.pack, Path(tenant.locales or "none"), tenant.pack_id)
    return served


@contextmanager
def listening(app_url: str, keys: FileKeyStore, tenants: Sequence[Tenant], folder: Path) -> Iterator[str]:
    """Serve the tenants on a free port of this machine by the real application; the value is its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    settings: Settings = load_settings({"data_dir": folder, "port": port}, environment={}, working_dir=folder)
    started = threading.Event()
    servers: list[uvicorn.Server] = []

    async def serving() -> None:
        db = Database(app_url)
        deployment = Deployment(settings, db, keys, one_process(tenants))
        app = create_app(deployment, DatabaseURLs(app_url, None))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, server_header=False))
        servers.append(server)
        serve_it = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started and not serve_it.done():  # noqa: ASYNC110 - uvicorn tells by this flag alone
            await asyncio.sleep(0.01)
        started.set()
        await serve_it
        await db.dispose()

    thread = threading.Thread(target=lambda: asyncio.run(serving()), daemon=True)
    thread.start()
    assert started.wait(30)
    assert servers[0].started, "the server did not start"
    try:
        yield settings.base_url
    finally:
        servers[0].should_exit = True
        thread.join(30)
        listener.close()


@dataclass(frozen=True)
class Served:
    """Where the server is and whom it serves."""

    address: str
    tenants: tuple[Tenant, ...]


@dataclass
class Caller:
    """Who calls: the headers that say so, and what they may do."""

    headers: Mapping[str, str]
    permissions: frozenset[Permission]


@dataclass
class Site:
    """A scheme as those who call it see it: its partner with every scope, its staff, its members."""

    tenant: Tenant
    db: Database
    keys: FileKeyStore
    address: str
    wallet: Partner
    staff: Sequence[Caller]
    members: Sequence[Enrolled]

    @property
    def host(self) -> str:
        return self.tenant.pack.manifest.hosts[0]

    @property
    def today(self) -> date:
        return FIRST_DAY

    @property
    def partner(self) -> Caller:
        """Return the partner with a token of now: a site outlives its tokens."""
        issued = Tokens(self.keys.token_signing_key, issuer=self.address).issue(self.wallet, self.wallet.scopes)
        return Caller({"Authorization": f"Bearer {issued.token}"}, PARTNER_SCOPES)

    def caller(self, permission: Permission, *, prefer_staff: bool = False) -> Caller:
        """Return somebody of this scheme who may do that."""
        everyone = [*self.staff, self.partner] if prefer_staff else [self.partner, *self.staff]
        return next(one for one in everyone if permission is Permission.PUBLIC or permission in one.permissions)

    def look(self) -> None:
        """Let all staff look at a page."""
        for one in self.staff:
            httpx.get(f"{self.address}/v1/operations/session", headers=dict(one.headers), timeout=60)

    def token(self, scopes: Collection[Permission]) -> dict[str, str]:
        """Return the headers of the partner with a token of these scopes."""
        issued = Tokens(self.keys.token_signing_key, issuer=self.address).issue(
            Partner(self.tenant.tenant_id, 1, "akiba-of-tests", frozenset(scopes)), scopes
        )
        return {"Authorization": f"Bearer {issued.token}"}

    def ask(self, method: str, path: str, permission: Permission, *, key: str = "", **request: Any) -> httpx.Response:
        """Send a request as somebody of this scheme who may."""
        headers = {**self.caller(permission).headers, **request.pop("headers", {})}
        if key:
            headers["Idempotency-Key"] = key
        return httpx.request(method, self.address + path, headers=headers, timeout=60, **request)

    def payment(self, member: str, amount: str = "100.00", **others: str) -> dict[str, str]:
        """Return the body of a contribution."""
        return {
            "member": member,
            "amount": amount,
            "currency": self.tenant.pack.currency,
            "channel": self.tenant.pack.manifest.channels[0].code,
            "reference": f"R-{secrets.token_hex(8)}",
        } | others

    def pay(self, body: Mapping[str, object], *, key: str = "") -> httpx.Response:
        return self.ask(
            "POST", "/v1/contributions", Permission.CONTRIBUTIONS_RECEIVE, json=body, key=key or secrets.token_hex(8)
        )

    def advance(self, day: date, hour: int = 9) -> None:
        to = datetime.combine(day, time(hour), ZoneInfo(self.tenant.time_zone)).astimezone(UTC)
        answer = self.ask("POST", "/v1/operations/clock", Permission.DEALING_RUN, json={"to": to.isoformat()})
        assert answer.status_code == 200, answer.text

    def price_file(self, day: date, price: str) -> bytes:
        """Return the recordkeeper's file of a day's price of the members' fund."""
        fund, manager = FUND
        return CraFiles().write([PublishedPrice(fund, manager, "A scheme", day, Decimal(price), 1)], day)

    def import_prices(self, day: date, raw: bytes) -> dict[str, Any]:
        answer = self.ask(
            "POST",
            "/v1/operations/prices",
            Permission.PRICES_IMPORT,
            params={"name": "prices.out", "date": day.isoformat()},
            content=raw,
        )
        assert answer.status_code == 200, answer.text
        report: dict[str, Any] = answer.json()
        return report


async def open_site(db: Database, keys: FileKeyStore, tenant: Tenant, address: str, *, members: int = 2) -> Site:
    """Let a partner and staff into a scheme, and enrol members."""
    async with db.unit_of_work(tenant.tenant_id) as session:
        new = await access.create_partner(session, code="wallet", name="A wallet", scopes=PARTNER_SCOPES)
        links = [await access.bootstrap(session, f"staff {n}", roles=list(roles)) for n, roles in enumerate(STAFF)]
    staff = []
    for roles, link in zip(STAFF, links, strict=True):
        cookie = await access.enter(db, link, now=datetime.now(UTC))
        headers = {"Cookie": f"akiba_session={cookie}", "X-CSRF-Token": csrf_token(cookie)}
        staff.append(Caller(headers, frozenset().union(*(ROLES[role] for role in roles))))
    return Site(
        tenant=tenant,
        db=db,
        keys=keys,
        address=address,
        wallet=Partner(tenant.tenant_id, new.partner_id, new.client_id, PARTNER_SCOPES),
        staff=staff,
        members=await enrol(db, keys, tenant, ["sahyog"] * members),
    )
