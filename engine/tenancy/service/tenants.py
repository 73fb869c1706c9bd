"""The tenants that one process serves: each a row of the database, a pack, and the rules in force."""

import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from babel.support import Translations
from sqlalchemy.ext.asyncio import AsyncSession

from engine.kernel.amounts import Asset
from engine.kernel.clock import business_date
from engine.kernel.ids import claim_digest, house_member
from engine.kernel.rules import Dates, Rule
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.database import Database, retry_transaction
from engine.runtime.locale import translator
from engine.runtime.logging import get_logger
from engine.tenancy import queries
from engine.tenancy.errors import (
    ClockBackwards,
    ClockInUse,
    ClockRefused,
    CurrencyChanged,
    PackErrors,
    PackNotStored,
    PackProblem,
    TenantExists,
    UnknownPack,
    UnknownProduct,
    UnknownTenant,
)
from engine.tenancy.rules.assuming import Assumption, assumptions_behind
from engine.tenancy.rules.books import AnyRule, InForce, RuleBook
from engine.tenancy.rules.manifest import Product
from engine.tenancy.rules.packs import MANIFEST, Pack
from engine.tenancy.rules.proving import Runner
from engine.tenancy.service.checking import PackCheck, checked_pack
from engine.tenancy.service.folders import decode_stored, pack_folders

PRODUCTION = "production"
OPERATOR = "operator"
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant as it is served: its number, its pack and the number of the pack's version in the books."""

    tenant_id: int
    code: str
    pack: Pack
    pack_id: int
    locales: Path | None = field(default=None, compare=False)

    @property
    def asset(self) -> Asset:
        """Return the scheme's money, with ISO 4217's scale."""
        return self.pack.asset

    @property
    def time_zone(self) -> str:
        """Return the IANA name of the zone by which the scheme counts its days."""
        return self.pack.time_zone

    def product(self, code: str) -> Product:
        """Return the product.

        Raises:
            UnknownProduct: the scheme has none of that code.

        """
        return self.pack.product(code)

    def book(self, product: str) -> RuleBook:
        """Return the rule book of a product.

        Raises:
            UnknownProduct: the scheme has none of that code.

        """
        if product not in self.pack.books:
            raise UnknownProduct(field="product", product=product, allowed=", ".join(self.pack.books))
        return self.pack.books[product]

    def rule(self, kind: type[AnyRule], *, product: str, dates: Dates) -> InForce[AnyRule] | None:
        """Return the one rule of `kind` that decides by `dates`, or None.

        Raises:
            UnknownProduct: the scheme has no such product.
            ValueError: a version applies by a date that is None.

        """
        return self.book(product).in_force(kind, dates)

    def rules(self, kind: type[AnyRule], *, product: str, dates: Dates) -> tuple[InForce[AnyRule], ...]:
        """Return every rule of a kind of many that decides by `dates`, by id; else as `rule`."""
        return self.book(product).all_in_force(kind, dates)

    def assumptions(self, product: str, refs: Iterable[str]) -> tuple[Assumption, ...]:
        """Return what the rules behind a figure of a product assume, to be shown with it."""
        return assumptions_behind(self.pack.books.get(product), refs)

    def translator(self, language: str | None) -> Translations:
        """Return the words to speak to someone who wants `language`: the scheme's own where it has any."""
        return translator(self.pack.locale(language), self.locales)


class Tenants:
    """The packs of a process, and the tenants of its database that run on them."""

    def __init__(
        self,
        packs: Mapping[str, tuple[Pack, Path]],
        kinds: Sequence[type[Rule]],
        *,
        refused: Sequence[tuple[str, PackProblem]] = (),
        profile: str = "development",
    ) -> None:
        """Keep packs that were checked; `load` makes them from folders. No tenant is served before `activate`.

        Args:
            packs: the packs and their folders, by code.
            kinds: the kinds of rules that the engine knows.
            refused: what is wrong with packs that are not served, by the pack's code.
            profile: in "production" a folder's new version waits to be proposed and approved.

        """
        self._packs = packs
        self._kinds = tuple(kinds)
        self._profile = profile
        self.refused = tuple(refused)
        self._by_id: dict[int, Tenant] = {}
        self._by_code: dict[str, Tenant] = {}
        self._by_host: dict[str, Tenant] = {}

    @classmethod
    def load(
        cls,
        folders: Sequence[Path],
        kinds: Sequence[type[Rule]],
        runners: Mapping[str, Runner],
        *,
        checks: Sequence[PackCheck] = (),
        profile: str = "development",
    ) -> "Tenants":
        """Load every pack in the folders and run its examples.

        A pack that fails, or that claims what an earlier one has claimed, is not served and stops no other: `refused`
        says why.

        Args:
            folders: each a pack, or a folder of packs.
            kinds: the kinds of rules that the engine knows.
            runners: who makes each kind of decision that examples may ask for.
            checks: what other capabilities ask of a pack.
            profile: how the process runs.

        Raises:
            PackErrors: a folder is not there or holds no pack, or no pack of all can be served.

        """
        packs: dict[str, tuple[Pack, Path]] = {}
        problems: list[tuple[str, PackProblem]] = []
        for path in pack_folders(folders):
            pack, report = checked_pack(path, kinds, runners, checks)
            problems.extend((report.code, problem) for problem in report.problems)
            if pack is None:
                continue
            if pack.code in packs:
                problems.append(
                    (pack.code, PackProblem("", "", f"{packs[pack.code][1]} is a pack of this name already"))
                )
                continue
            packs[pack.code] = (pack, path)
        shared = _shared(pack for pack, _ in packs.values())
        problems.extend(shared)
        for code in {code for code, _ in shared}:
            del packs[code]
        if problems and not packs:
            raise PackErrors(problems)
        for code, problem in problems:
            _log.error("a pack is not served", pack=code, problem=str(problem))
        return cls(packs, kinds, refused=problems, profile=profile)

    @property
    def packs(self) -> tuple[Pack, ...]:
        """Return the packs that were loaded, by code, whether or not a tenant runs on them."""
        return tuple(pack for _, (pack, _) in sorted(self._packs.items()))

    def __iter__(self) -> Iterator[Tenant]:
        """Iterate over the tenants served, by number."""
        return iter([tenant for _, tenant in sorted(self._by_id.items())])

    def by_id(self, tenant_id: int) -> Tenant:
        """Return the tenant; UnknownTenant if none of that number is served."""
        return _found(self._by_id.get(tenant_id))

    def by_code(self, code: str) -> Tenant:
        """Return the tenant; UnknownTenant if none of that code is served."""
        return _found(self._by_code.get(code))

    def by_host(self, host: str) -> Tenant:
        """Return the tenant that a request's Host header names, with or without port; UnknownTenant if none."""
        name = host.strip().lower().partition(":")[0].rstrip(".")
        return _found(self._by_host.get(name))

    async def activate(self, db: Database) -> tuple[Tenant, ...]:
        """Serve every tenant of the database whose pack was loaded; return those served, by number.

        A pack version that is new to a tenant is stored whole and put on record. May be called again, to serve
        tenants that were created since.

        Raises:
            CurrencyChanged: a pack counts in another currency than its tenant's books.

        """
        await self._activate(db, anew=True)
        return tuple(self)

    async def activate_new(self, db: Database) -> tuple[Tenant, ...]:
        """Serve tenants created since, as `activate` does, at the cost of one statement where there are none."""
        await self._activate(db, anew=False)
        return tuple(self)

    async def _activate(self, db: Database, *, anew: bool) -> None:
        async with db.unit_of_work(None) as session:
            rows = await queries.tenants(session)
        for row in rows:
            if anew or row.tenant_id not in self._by_id:
                await self._activate_one(db, row.tenant_id, row.code)

    async def _activate_one(self, db: Database, tenant_id: int, code: str) -> None:
        served = self._by_id.get(tenant_id)
        loaded = self._packs.get(code)
        if loaded is None and all(code != refused for refused, _ in self.refused):
            _log.warning("a tenant has no pack here and is not served", tenant=code)
            return
        async with db.unit_of_work(tenant_id) as session:
            wanted = await self._version_wanted(session, served)
            if wanted is None and served is None and (loaded is None or self._profile == PRODUCTION):
                wanted = await queries.last_activated(session)
            if wanted is not None:
                if served is None or served.pack_id != wanted:
                    pack = await stored_pack(session, wanted, self._kinds)
                    self._serve(tenant_id, pack, self._locales_of(pack), wanted)
                return
        if served is not None or loaded is None:
            return
        pack, path = loaded

        async def run() -> int:
            async with db.unit_of_work(tenant_id) as session:
                return await activate_pack(session, pack)

        self._serve(tenant_id, pack, path / "locales", await retry_transaction(run))

    async def _version_wanted(self, session: AsyncSession, served: Tenant | None) -> int | None:
        """Return the approved version in force on the scheme's present day, or None where none ever was approved."""
        proposed = [one for one in await queries.proposals(session) if one.state == "approved"]
        if not proposed:
            return None
        zone = served.time_zone if served else (await stored_pack(session, proposed[0].pack, self._kinds)).time_zone
        return await queries.approved_version(session, business_date(await ledger.scheme_now(session), zone))

    async def create_tenant(self, db: Database, code: str, *, actor: str = OPERATOR) -> Tenant:
        """Create the tenant of a loaded pack, and serve it.

        Raises:
            UnknownPack: no pack of that code was loaded.
            TenantExists: it was created before.

        """
        if code not in self._packs:
            raise UnknownPack(pack=code, allowed=", ".join(sorted(self._packs)) or "none")
        pack, path = self._packs[code]

        async def run() -> tuple[int, int]:
            async with db.unit_of_work(None) as session:
                return await create_tenant(session, pack, actor=actor)

        tenant_id, pack_id = await retry_transaction(run)
        return self._serve(tenant_id, pack, path / "locales", pack_id)

    def _locales_of(self, pack: Pack) -> Path:
        """Return a folder with the catalogues of a stored pack version; it goes when these tenants do."""
        folder = Path(tempfile.mkdtemp(prefix="akiba-locales-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        for path, content in pack.files.items():
            if path.startswith("locales/"):
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
        return folder / "locales"

    def _serve(self, tenant_id: int, pack: Pack, locales: Path, pack_id: int) -> Tenant:
        before = self._by_id.get(tenant_id)
        for host in before.pack.manifest.hosts if before else ():
            self._by_host.pop(host, None)
        tenant = Tenant(tenant_id, pack.code, pack, pack_id, locales if locales.is_dir() else None)
        self._by_id[tenant_id] = tenant
        self._by_code[tenant.code] = tenant
        for host in pack.manifest.hosts:
            self._by_host[host] = tenant
        _log.info("a tenant is served", tenant=tenant.code, pack_version=pack.sha256)
        return tenant


async def create_tenant(session: AsyncSession, pack: Pack, *, actor: str = OPERATOR) -> tuple[int, int]:
    """Add the tenant of a pack: its number, its money, its first pack version. Returns (tenant_id, pack_id).

    Args:
        session: opened for no tenant; from here on it is the new tenant's.
        pack: a pack that was checked.
        actor: on whose behalf; nothing personal.

    Raises:
        TenantExists: the code is taken.

    """
    tenant_id = await queries.add_tenant(session, pack.code)
    if tenant_id is None:
        raise TenantExists(tenant=pack.code)
    await queries.become_tenant(session, tenant_id)
    await ledger.open_asset(session, pack.asset.symbol, pack.asset.scale, kind="money")
    return tenant_id, await activate_pack(session, pack, actor=actor)


async def activate_pack(session: AsyncSession, pack: Pack, *, actor: str = OPERATOR) -> int:
    """Store a pack version whole and put it on record, if it is new to the tenant. Returns its number.

    Raises:
        CurrencyChanged: the tenant's books are kept in another currency.

    """
    booked = await queries.money_symbol(session)
    if booked != pack.currency:
        raise CurrencyChanged(tenant=pack.code, booked=str(booked), currency=pack.currency)
    tenant_id: int = session.info["tenant_id"]
    pack_id = await store_pack(session, pack)
    await ledger.post(
        session,
        [
            Entry(
                member_id=house_member(tenant_id),
                kind=EventKind.PACK_ACTIVATED,
                business_date=business_date(await ledger.scheme_now(session), pack.time_zone),
                actor=await ledger.actor_id(session, actor),
                pack=pack_id,
                body={"pack": pack.code, "version": pack.sha256},
                # Processes that start together all try; the claim lets one of them record it.
                claims=(claim_digest(tenant_id, "pack", pack.sha256),),
            )
        ],
    )
    return pack_id


async def store_pack(session: AsyncSession, pack: Pack) -> int:
    """Store a pack version whole, if it is new to the tenant; return its number."""
    files = {path: content.decode() for path, content in pack.files.items()}
    return await ledger.pack_id(session, pack.sha256, {"code": pack.code, "files": files})


async def stored_pack(session: AsyncSession, pack_id: int, kinds: Sequence[type[Rule]]) -> Pack:
    """Return a pack version as it was stored when it was activated.

    Raises:
        PackNotStored: there is none of that number, or this engine cannot read it.

    """
    code, files = await _stored(session, pack_id)
    pack, _problems = decode_stored(code, files, kinds)
    if pack is None:
        raise PackNotStored(pack=pack_id)
    return pack


async def advance_clock(
    session: AsyncSession, tenant: Tenant, to: datetime, profile: str, *, actor: str = OPERATOR
) -> datetime:
    """Set the scheme clock forward, and put it on record. Returns the instant it now shows.

    Business dates and recorded times of the tenant follow this clock from its first setting on; before, they follow
    the database's. The first setting may be to any instant, as long as no member has a record under real time.

    Args:
        session: the tenant's.
        tenant: whose clock.
        to: an aware instant, after the present one of the clock.
        profile: how this process runs; "production" keeps real time.
        actor: on whose behalf; nothing personal.

    Raises:
        ClockRefused: the process is in production.
        ClockBackwards: `to` is not after what the clock shows.
        ClockInUse: members have records under real time.

    """
    assert to.tzinfo is not None, to
    if profile == PRODUCTION:
        raise ClockRefused
    to = to.astimezone(UTC)
    before = await queries.lock_clock(session)
    if before is not None and to <= before:
        raise ClockBackwards(now=before.astimezone(UTC).isoformat(), to=to.isoformat())
    if before is None and await queries.has_members_events(session):
        raise ClockInUse
    await queries.set_clock(session, to)
    body = {"to": to.isoformat(), **({"from": before.astimezone(UTC).isoformat()} if before else {})}
    await ledger.post(
        session,
        [
            Entry(
                member_id=house_member(tenant.tenant_id),
                kind=EventKind.CLOCK_ADVANCED,
                business_date=business_date(to, tenant.time_zone),
                actor=await ledger.actor_id(session, actor),
                pack=tenant.pack_id,
                body=body,
            )
        ],
    )
    return to


async def stored_files(session: AsyncSession, pack_id: int) -> Mapping[str, bytes]:
    """Return the files of a pack version by path, whether or not this engine can read them.

    Raises:
        PackNotStored: there is none of that number.

    """
    return (await _stored(session, pack_id))[1]


async def _stored(session: AsyncSession, pack_id: int) -> tuple[str, Mapping[str, bytes]]:
    body = await queries.stored_pack_body(session, pack_id)
    files = body.get("files") if body else None
    if not body or not isinstance(files, dict):
        raise PackNotStored(pack=pack_id)
    return str(body.get("code", "")), {str(path): str(content).encode() for path, content in files.items()}


def _found(tenant: Tenant | None) -> Tenant:
    if tenant is None:
        raise UnknownTenant
    return tenant


def _shared(packs: Iterable[Pack]) -> list[tuple[str, PackProblem]]:
    """Return what two packs both claim though only one can have it."""
    owners: dict[tuple[str, str], str] = {}
    problems = []
    for pack in sorted(packs, key=lambda one: one.code):
        claims = [("hosts", host) for host in pack.manifest.hosts] + [("log_origin", pack.manifest.log_origin)]
        for claim in claims:
            if claim in owners:
                reason = f'"{claim[1]}" belongs to the pack {owners[claim]} already'
                problems.append((pack.code, PackProblem(MANIFEST, claim[0], reason)))
            owners.setdefault(claim, pack.code)
    return problems
