"""A scheme whose channel is joined to a simulated operator over HTTP: the real application, and a worker's turns on call."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import httpx
import tomli_w

from engine.access import service as access
from engine.access.rules import PARTNER_SCOPES
from engine.access.service import Partner, Tokens
from engine.app import LAWS, adapter
from engine.enrolment import service as enrolment
from engine.enrolment.rules import Application, ConsentGiven, DocumentGiven
from engine.enrolment.service import Enrolled
from engine.ledger import service as ledger
from engine.outside import Joined, Outside, read_and_post
from engine.runtime.counterparty_file import CounterpartyFile
from engine.runtime.database import Database, driver
from engine.runtime.exchanges.transport import HttpTransport, open_transport
from engine.runtime.key_file import FileKeyStore
from engine.runtime.private_files import write_private
from engine.tenancy.service import Tenant
from integrations.mobile_money.simulation import Simulator, serving
from tests.api.site import listening
from tests.factories.schemes import serve

PACE = {
    "first_wait": 0.02, "longest_wait": 0.1, "lease": 3.0, "per_second": 1000.0, "breaks_after": 1000,
    "answer_seconds": 1.0,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One operator, and a scheme that collects by it. The numbers are of people with a fate."""

    adapter: str
    pack: str
    channel: str
    product: str
    currency: str
    country: str
    payer: str
    poor: str
    unwilling: str
    document: str
    changes: Mapping[str, str] = field(default_factory=dict)
    deduplicates: bool = True  # whether the operator knows a collection by our reference


_RWANDA: dict[str, Any] = {
    "pack": "rw-ejoheza",
    "product": "ltss",
    "currency": "RWF",
    "country": "RW",
    "document": "nid",
}
KINDS = {
    one.adapter: one
    for one in (
        Kind(
            adapter="mtn-momo", channel="mtn-momo", payer="+250788123456", poor="+46733123460",
            unwilling="+46733123451", **_RWANDA,
        ),
        Kind(
            adapter="airtel-money", channel="airtel-money", payer="+250738123456", poor="+250738123001",
            unwilling="+250738123032", deduplicates=False, **_RWANDA,
        ),
        Kind(
            adapter="gsma", channel="mtn-momo", payer="+250788123456", poor="+250788123001", unwilling="+250788123032",
            changes={'adapter = "mtn-momo"': 'adapter = "gsma"'}, **_RWANDA,
        ),
        Kind(
            adapter="mpesa-daraja", pack="ke-haba-haba", channel="mpesa", product="haba-haba", currency="KES",
            country="KE", payer="+254712345678", poor="+254712345001", unwilling="+254712345032",
            document="national-id", deduplicates=False,
        ),
    )
}  # fmt: skip


@dataclass
class Wallets:
    """The scheme as its partner sees it, the operator behind it, and the worker."""

    kind: Kind
    db: Database
    keys: FileKeyStore
    tenant: Tenant
    members: list[Enrolled]
    simulator: Simulator
    address: str
    folder: Path
    transport: HttpTransport
    joined: Joined
    token: str

    def another_worker(self) -> Joined:
        """Return the counterparties as another process joins them."""
        file = CounterpartyFile(self.folder / "counterparties.toml")
        return Outside(self.db, self.keys, file, self.address, adapter, self.transport).of(self.tenant)

    async def ask(self, method: str, path: str, body: object = None, *, key: str = "") -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"} | ({"Idempotency-Key": key} if key else {})
        async with httpx.AsyncClient() as client:
            return await client.request(method, self.address + path, json=body, headers=headers, timeout=60)

    def body(self, amount: str = "500", **others: str) -> dict[str, str]:
        member = {"member": self.members[0].number, "amount": amount, "currency": self.kind.currency}
        return {**member, "channel": self.kind.channel, **others}

    async def collect(self, amount: str = "500", *, key: str = "", **others: str) -> dict[str, Any]:
        """Ask for a payment; return what was answered."""
        answer = await self.ask("POST", "/v1/collections", self.body(amount, **others), key=key or secrets.token_hex(8))
        assert answer.status_code == 202, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def status(self, reference: str) -> dict[str, Any]:
        answer = await self.ask("GET", f"/v1/collections/{reference}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def turn(self, joined: Joined | None = None) -> None:
        """Do what a worker does when it looks."""
        joined = joined or self.joined
        await read_and_post(self.db, self.keys, self.tenant, joined)
        await joined.exchanges.work(self.tenant.tenant_id)
        await read_and_post(self.db, self.keys, self.tenant, joined)

    async def settled(self, reference: str, *, seconds: float = 15) -> dict[str, Any]:
        """Work until it is decided and posted; return its status."""
        async with asyncio.timeout(seconds):
            while True:
                await self.turn()
                status = await self.status(reference)
                if status["state"] == "failed" or "receipt" in status or "refusal" in status:
                    return status
                await asyncio.sleep(0.02)

    async def rest(self, turns: int = 4) -> None:
        """Let everything under way arrive, and work on."""
        await self.simulator.settle()
        for _ in range(turns):
            await self.turn()
            await asyncio.sleep(0.05)

    async def select(self, sql: str) -> list[tuple[Any, ...]]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            connection = await driver(session)
            return list(await (await connection.execute(sql.encode())).fetchall())

    async def payments(self) -> list[tuple[str, int]]:
        """Return (kind, amount) of what the books hold of payments: 10 received, 11 suspended."""
        return await self.select(
            "select kind::text, (body ->> 'amount')::bigint from events where kind in (10, 11) order by event_id"
        )

    async def offences(self) -> list[Any]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return list(await ledger.check(session, LAWS))


@asynccontextmanager
async def open_wallets(
    kind: Kind,
    db: Database,
    keys: FileKeyStore,
    app_url: str,
    folder: Path,
    transport: HttpTransport,
    *,
    members: int = 2,
    others: Mapping[str, Mapping[str, object]] | None = None,
    rules: Mapping[str, str] | None = None,
    scenarios: bool = True,
) -> AsyncIterator[Wallets]:
    """Serve a scheme, with `rules` added to its products' books and with its own `scenarios` or without, join it to its operator and to `others` by table of the secrets file, and enrol members."""
    tenant = await serve(db, folder / "packs", kind.pack, changes=kind.changes, rules=rules, scenarios=scenarios)
    sandbox = adapter_class(kind.adapter)(transport, country=kind.country, currency=kind.currency, settle_seconds=0.05)
    async with serving(sandbox.simulator) as url:
        table = {**sandbox.credentials(url), "pace": PACE}
        write_counterparties(folder, {tenant.code: {kind.channel: table, **(others or {})}})
        with listening(app_url, keys, [tenant], folder) as address:
            file = CounterpartyFile(folder / "counterparties.toml")
            joined = Outside(db, keys, file, address, adapter, transport).of(tenant)
            async with db.unit_of_work(tenant.tenant_id) as session:
                partner = await access.create_partner(session, code="wallet", name="A wallet", scopes=PARTNER_SCOPES)
                if isinstance(getattr(sandbox.simulator, "callback_url", None), str):
                    sandbox.simulator.callback_url = await joined.exchanges.standing_address(
                        session, counterparty=kind.channel, operation="collections"
                    )
            token = Tokens(keys.token_signing_key, issuer=address).issue(
                Partner(tenant.tenant_id, partner.partner_id, partner.client_id, PARTNER_SCOPES), PARTNER_SCOPES
            )
            yield Wallets(
                kind=kind,
                db=db,
                keys=keys,
                tenant=tenant,
                members=await enrol(db, keys, tenant, kind, members),
                simulator=sandbox.simulator,
                address=address,
                folder=folder,
                transport=transport,
                joined=joined,
                token=token.token,
            )


def adapter_class(name: str) -> Any:
    """Return the sandbox of an adapter."""
    (point,) = entry_points(group="akiba.Sandbox", name=name)
    return point.load()


def write_counterparties(folder: Path, table: Mapping[str, Mapping[str, Mapping[str, object]]]) -> None:
    """Write the secrets file, for its owner's eyes alone."""
    write_private(folder / "counterparties.toml", tomli_w.dumps(table).encode())


async def enrol(db: Database, keys: FileKeyStore, tenant: Tenant, kind: Kind, count: int) -> list[Enrolled]:
    """Enrol people who have the payer's number."""
    consents = tuple(
        ConsentGiven(consent=one, language="en", version=found.version, channel="agent")
        for one in ("scheme-rules", "personal-data")
        if (found := tenant.pack.consent(one, "en")) is not None
    )
    numbers = {
        "nid": lambda: f"119887{secrets.randbelow(10**7):07d}012",
        "national-id": lambda: f"{secrets.randbelow(10**8 - 10**7) + 10**7}",
    }
    answers = await enrolment.enrol(
        db,
        tenant,
        keys,
        [
            enrolment.Enrolment(
                f"k{index}",
                Application(
                    product=kind.product,
                    full_name="Example",
                    born_on=date(1988, 3, 4),
                    sex="female",
                    phone=kind.payer,
                    language="en",
                    consents=consents,
                    documents=(DocumentGiven(kind.document, numbers[kind.document]()),),
                ),
            )
            for index in range(count)
        ],
        actor="partner:1",
    )
    for answer in answers:
        assert isinstance(answer, Enrolled), answer
    return [answer for answer in answers if isinstance(answer, Enrolled)]


@asynccontextmanager
async def impatient() -> AsyncIterator[HttpTransport]:
    """Open the product's own way out."""
    async with open_transport(seconds=5) as transport:
        yield transport
