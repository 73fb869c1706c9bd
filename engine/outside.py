"""Composition of the outside: each tenant's counterparties, as its pack names the adapters and the secrets file the rest."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from engine.benefits import service as benefits
from engine.benefits.service import BankRail, Payers
from engine.contributions import service as contributions
from engine.contributions.errors import CannotCollect
from engine.contributions.service import Collectors
from engine.enrolment import service as enrolment
from engine.enrolment.service import Verifiers
from engine.file_places import FilePlaces, PlaceJoiner, turn_places
from engine.funds.service import OrderDesk
from engine.identity.ports import BatchVerifier, OfflineProof, SignIn
from engine.kernel.clock import SystemClock
from engine.kernel.joining import Means
from engine.kernel.transport import Callback, Transport, Unanswered, Unreachable, WireRequest, WireResponse
from engine.notices import service as notices
from engine.notices.ports import Ussd, UssdLine
from engine.notices.service import Messenger
from engine.runtime.counterparty_file import CounterpartiesUnavailable, CounterpartyFile
from engine.runtime.database import Database
from engine.runtime.exchanges import callbacks
from engine.runtime.exchanges.engine import Counterparty, Exchanges, Operation
from engine.runtime.exchanges.recording import RecordedTransport
from engine.runtime.exchanges.tokens import SharedTokens
from engine.runtime.exchanges.transport import HttpTransport, open_transport
from engine.runtime.key_file import FileKeyStore
from engine.runtime.logging import get_logger
from engine.tenancy.service import Tenant
from engine.webhooks import service as webhooks
from engine.webhooks.ports import Webhooks

IDLE_SECONDS = 0.5
"""How long a worker waits where nothing was to do."""

UNJOINED_SECONDS = 60.0
"""The same, for a tenant that is joined to nobody."""

JOINERS_SECONDS = 60.0
"""How often the identity agency is asked about whoever joined since."""

SWEEP_SECONDS = 600.0
"""How often it is looked whether the register was asked about the day's living members."""

UNTOLD_SECONDS = 600.0
"""How often an operator is asked for payments in that nobody told us of."""

USSD = "ussd"
"""The table of the secrets file that says how a gateway reaches the menu."""

PLACES_SECONDS = 5.0
"""How often it is looked whether files are to leave, and whether counterparties left some."""

_TRIED_AGAIN_SECONDS = 5.0
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Asking:
    """One thing that a channel's operator is asked: by which port, as which operation of its exchanges."""

    port: str
    operation: str
    make: Callable[[Any, Tenant, FileKeyStore], Operation]


ASKINGS: Sequence[Asking] = (
    Asking("Collections", contributions.COLLECTIONS, contributions.collection_operation),
    Asking("Payouts", benefits.PAYOUTS, benefits.payout_operation),
    Asking("AccountCheck", benefits.PAYEE_CHECKS, benefits.check_operation),
)
"""All that operators of channels are asked; each use case that asks adds its own."""


class NoTransport:
    """The way out of a process that calls nobody: it opens exchanges and takes callbacks, the worker calls."""

    def answered_within(self, seconds: float) -> Transport:  # noqa: ARG002
        """Return itself."""
        return self

    async def send(self, request: WireRequest) -> WireResponse:
        """Refuse.

        Raises:
            Unreachable: always.
        """
        raise Unreachable(f"this process calls nobody: {request.method}")


@dataclass(frozen=True, slots=True)
class Joined:
    """A tenant's counterparties: the exchanges with them, and the adapters that use cases ask, by channel."""

    exchanges: Exchanges
    collectors: Collectors
    payers: Payers
    payments_in: Mapping[str, Any] = field(default_factory=dict)
    messenger: Messenger | None = None
    ussd: tuple[Ussd, UssdLine] | None = None
    sign_in: SignIn | None = None
    offline: OfflineProof | None = None
    batches: BatchVerifier | None = None
    places: FilePlaces = field(default_factory=FilePlaces)

    @property
    def desk(self) -> OrderDesk:
        """Return the fund managers that orders are sent to."""
        return OrderDesk(self.exchanges, self.places.managers)

    @property
    def verifiers(self) -> Verifiers:
        """Return how authorities are asked about members."""
        return Verifiers(self.exchanges, self.sign_in, self.offline, self.batches)


class Registered(Struct, frozen=True, kw_only=True):
    """An address for what nobody was asked for; `is_told`: the operator has taken it, else people enter it there."""

    channel: str
    address: str
    is_told: bool


class Outside:
    """The counterparties of every tenant, joined when they are first needed and anew for another pack version."""

    def __init__(
        self,
        db: Database,
        keys: FileKeyStore,
        file: CounterpartyFile,
        base_url: str,
        installed: Callable[[str, str], Any],
        transport: HttpTransport | NoTransport,
        leaving: AsyncExitStack | None = None,
    ) -> None:
        """Join by `transport`.

        Args:
            db: where exchanges are kept.
            keys: what their documents are sealed by.
            file: what counterparties are entered with.
            base_url: how they reach us.
            installed: (port, name) -> what joins the adapter of that name, KeyError without one.
            transport: what calls go out by.
            leaving: what closes the connections of adapters that hold one; without it nobody does.
        """
        self._leaving = leaving or AsyncExitStack()
        self._db, self._keys, self._file, self._base_url = db, keys, file, base_url
        self._installed, self._transport = installed, transport
        self._joined: dict[int, tuple[int, Joined]] = {}

    def of(self, tenant: Tenant) -> Joined:
        """Return a tenant's counterparties; none where they cannot be joined, and then the log says why.

        Callbacks are kept all the same, and read once the counterparties are joined.
        """
        known = self._joined.get(tenant.tenant_id)
        if known is None or known[0] != tenant.pack_id:
            try:
                joined = self._join(tenant)
            except (CounterpartiesUnavailable, KeyError) as error:
                _log.error("a tenant's counterparties cannot be joined", tenant=tenant.code, problem=str(error))
                exchanges = Exchanges(self._db, self._keys, {}, self._address(tenant))
                joined = Joined(exchanges, Collectors(exchanges, {}), Payers(exchanges))
            known = self._joined[tenant.tenant_id] = (tenant.pack_id, joined)
        return known[1]

    def _join(self, tenant: Tenant) -> Joined:
        counterparties: dict[str, Counterparty] = {}
        adapters: dict[tuple[str, str], Any] = {}
        for channel in tenant.pack.channels:
            if not channel.adapter or not self._file.has(tenant.code, channel.code):
                continue
            pace = self._file.pace(tenant.code, channel.code)
            operations: dict[str, Operation] = {}
            for asking in ASKINGS:
                adapter = self._adapter(asking.port, tenant, channel.code, channel.adapter)
                if adapter is not None:
                    adapters[asking.port, channel.code] = adapter
                    operations[asking.operation] = asking.make(adapter, tenant, self._keys)
            counterparties[channel.code] = Counterparty(channel.code, operations, pace)
            adapter = self._adapter("PaymentsIn", tenant, channel.code, channel.adapter)
            if adapter is not None:
                name = payments_in_name(channel.code)
                operation = contributions.payments_in_operation(adapter, channel.code, tenant, self._keys)
                counterparties[name] = Counterparty(
                    name, {contributions.PAYMENTS_IN: operation}, pace, acknowledgement=adapter.reply(None)
                )
                adapters["PaymentsIn", channel.code] = adapter
        self._join_agency(tenant, counterparties)
        messaging = self._messaging(tenant)
        if messaging is not None:
            pace = self._file.pace(tenant.code, notices.MESSAGES)
            sending = {notices.MESSAGES: notices.message_operation(messaging, self._db, self._keys, tenant)}
            telling = {notices.REPORTS: notices.report_operation(messaging, tenant)}
            counterparties[notices.MESSAGES] = Counterparty(notices.MESSAGES, sending, pace)
            counterparties[notices.REPORTS] = Counterparty(
                notices.REPORTS, telling, greet=lambda callback: notices.greeting(messaging, callback)
            )
        self._join_registers(tenant, counterparties)
        sign_in = self._authority("SignIn", tenant, enrolment.SIGN_IN)
        if sign_in is not None:
            operation = enrolment.sign_in_operation(sign_in, tenant, self._db, self._keys)
            pace = self._file.pace(tenant.code, enrolment.SIGN_IN)
            counterparties[enrolment.SIGN_IN] = Counterparty(enrolment.SIGN_IN, {enrolment.SIGN_INS: operation}, pace)
        rails = self._banks(tenant)
        joiner = PlaceJoiner(self._db, self._keys, self._file, self._installed, self._transport)
        places, leaving = joiner.join(tenant, rails)
        for name in counterparties.keys() & leaving.keys():
            raise KeyError(f"{name} is two counterparties at once")
        counterparties |= leaving
        exchanges = Exchanges(self._db, self._keys, counterparties, self._address(tenant))

        def of(port: str) -> dict[str, Any]:
            return {channel: adapter for (answered, channel), adapter in adapters.items() if answered == port}

        payers = Payers(exchanges, frozenset(of("Payouts")), of("AccountCheck"), rails)
        messenger = None if messaging is None else Messenger(exchanges)
        collectors = Collectors(exchanges, of("Collections"))
        return Joined(
            exchanges,
            collectors,
            payers,
            of("PaymentsIn"),
            messenger,
            self._ussd(tenant),
            sign_in,
            self._authority("OfflineProof", tenant, enrolment.OFFLINE),
            self._authority("BatchVerifier", tenant, enrolment.BATCHES),
            places,
        )

    def _messaging(self, tenant: Tenant) -> Any | None:
        """Return who carries the tenant's messages: the pack names the adapter, the file's table `messages` the rest."""
        name = tenant.pack.adapters.get("Messaging")
        if name is None or not self._file.has(tenant.code, notices.MESSAGES):
            return None
        return self._adapter("Messaging", tenant, notices.MESSAGES, name)

    def _ussd(self, tenant: Tenant) -> tuple[Ussd, UssdLine] | None:
        """Return the tenant's gateway for menus on telephones and its table `ussd`, where the pack names an adapter."""
        gateway = self._authority("Ussd", tenant, USSD)
        if gateway is None:
            return None
        joins = self._installed("Ussd", tenant.pack.adapters["Ussd"])
        return gateway, self._file.credentials(tenant.code, USSD, joins.credentials)

    def _banks(self, tenant: Tenant) -> dict[str, BankRail]:
        """Return the banks that pay by files: the tables of the secrets file that name the channel they pay from."""
        return {
            rail: self._file.credentials(tenant.code, rail, BankRail)
            for rail in self._file.names(tenant.code, having="pays_from")
        }

    def _join_agency(self, tenant: Tenant, counterparties: dict[str, Counterparty]) -> None:
        """Add the scheme's identity agency, where its pack names an adapter and the secrets file has its table."""
        agency = self._authority("IdentityAgency", tenant, enrolment.AGENCY)
        if agency is None:
            return
        operation = enrolment.agency_operation(agency, tenant, self._db, self._keys)
        pace = self._file.pace(tenant.code, enrolment.AGENCY)
        counterparties[enrolment.AGENCY] = Counterparty(enrolment.AGENCY, {enrolment.VERIFICATIONS: operation}, pace)

    def _join_registers(self, tenant: Tenant, counterparties: dict[str, Counterparty]) -> None:
        """Add the scheme's social register and its register of deaths, likewise."""
        social = self._authority("SocialRegistry", tenant, enrolment.SOCIAL)
        if social is not None:
            operation = enrolment.class_operation(social, tenant, self._db, self._keys)
            pace = self._file.pace(tenant.code, enrolment.SOCIAL)
            counterparties[enrolment.SOCIAL] = Counterparty(enrolment.SOCIAL, {enrolment.CLASSES: operation}, pace)
        register = self._authority("CivilRegistry", tenant, enrolment.REGISTER)
        if register is None:
            return
        operations = {
            enrolment.NOTICES: enrolment.notice_operation(register, tenant, self._keys, SystemClock()),
            enrolment.SWEEPS: enrolment.sweep_operation(register, tenant, self._db, self._keys),
        }
        counterparties[enrolment.REGISTER] = Counterparty(
            enrolment.REGISTER,
            operations,
            self._file.pace(tenant.code, enrolment.REGISTER),
            acknowledgement=register.acknowledge(Callback(method="POST"), SystemClock().now()),
        )

    def _authority(self, port: str, tenant: Tenant, name: str) -> Any | None:
        """Return the adapter that the pack names for a port, None where it names none or the secrets file has no table of it."""
        adapter = tenant.pack.adapters.get(port)
        if adapter is None or not self._file.has(tenant.code, name):
            return None
        joined = self._adapter(port, tenant, name, adapter)
        if joined is None:
            raise KeyError(f"no {port} adapter is called {adapter}")
        return joined

    def _adapter(self, port: str, tenant: Tenant, channel: str, name: str) -> Any | None:
        """Return a channel's adapter for a port, None where that adapter does not answer it."""
        try:
            joins = self._installed(port, name)
        except KeyError:
            if port in {"Collections", "Messaging"}:
                raise
            return None
        pace = self._file.pace(tenant.code, channel)
        transport = RecordedTransport(self._transport.answered_within(pace.answer_seconds), self._db, self._keys)
        means = Means(
            transport,
            SharedTokens(self._db, self._keys, tenant.tenant_id),
            SystemClock(),
            recorded=lambda own: RecordedTransport(own, self._db, self._keys),
            received=self._receiving(tenant),
            leaving=self._leaving,
        )
        return joins.join(self._file.credentials(tenant.code, channel, joins.credentials), means)

    def _receiving(self, tenant: Tenant) -> Callable[[Callback], Awaitable[None]]:
        """Return how delivery reports are kept that come by the connection by which messages go."""

        async def receive(callback: Callback) -> None:
            exchanges = self.of(tenant).exchanges
            await callbacks.take_ours(exchanges, tenant.tenant_id, notices.REPORTS, notices.REPORTS, callback)

        return receive

    def _address(self, tenant: Tenant) -> Callable[[int, str, str], str]:
        return lambda _tenant_id, counterparty, secret: (
            f"{self._base_url}/callbacks/{tenant.code}/{counterparty}/{secret}"
        )


def payments_in_name(channel: str) -> str:
    """Return the name of the counterparty that tells of a channel's payments in.

    It is not the one that is asked for collections: a payment that was asked for is told of by both.
    """
    return f"{channel}.in"


@asynccontextmanager
async def calling(
    db: Database, keys: FileKeyStore, file: CounterpartyFile, base_url: str, installed: Callable[[str, str], Any]
) -> AsyncIterator[Outside]:
    """Open the outside of a process that calls."""
    async with open_transport() as transport, AsyncExitStack() as leaving:
        yield Outside(db, keys, file, base_url, installed, transport, leaving)


async def register(joined: Joined, db: Database, tenant: Tenant, channel: str) -> Registered:
    """Make an address that a channel's operator, or the register of deaths, calls, and tell the operator where it takes that from us.

    Raises:
        CannotCollect: the channel is not joined.
        Unreachable, Unanswered: it could not be told.
    """
    if channel == notices.MESSAGES and joined.messenger is not None:
        async with db.unit_of_work(tenant.tenant_id) as session:
            address = await notices.report_address(session, joined.messenger)
        return Registered(channel=channel, address=address, is_told=False)
    payments = joined.payments_in.get(channel)
    name, operation = (
        (payments_in_name(channel), contributions.PAYMENTS_IN) if payments else (channel, contributions.COLLECTIONS)
    )
    if channel == enrolment.REGISTER:
        operation = enrolment.NOTICES
    if name not in joined.exchanges.counterparties:
        raise CannotCollect(channel=channel)
    async with db.unit_of_work(tenant.tenant_id) as session:
        address = await joined.exchanges.standing_address(session, counterparty=name, operation=operation)
    told = payments is not None and await payments.register(validation_url=address, confirmation_url=address)
    return Registered(channel=channel, address=address, is_told=told)


async def read_and_post(db: Database, keys: FileKeyStore, tenant: Tenant, joined: Joined) -> int:
    """Read callbacks, post what was confirmed, begin checks of payees, pay payrolls, queue messages; return how many of all."""
    read = await callbacks.read_all(joined.exchanges, tenant.tenant_id)
    posted = await contributions.post_collected(db, keys, tenant)
    checked = await benefits.check_names(db, keys, tenant, joined.payers)
    paid = await benefits.carry_on_payrolls(db, keys, tenant, joined.payers)
    told = 0
    if joined.messenger is not None:
        told = await notices.queue_messages(db, tenant, joined.messenger, now=SystemClock().now())
    return read + posted + checked + paid + told


async def open_untold(db: Database, tenant: Tenant, joined: Joined, channel: str) -> int:
    """Have every payment in of a channel confirmed that its operator shows and nobody told us of; return how many."""
    return await contributions.open_untold(
        db,
        joined.exchanges,
        tenant,
        joined.payments_in[channel],
        channel=channel,
        counterparty=payments_in_name(channel),
    )


class OutsideWork:
    """A worker's work with the outside: for every tenant one task that reads and posts, and one a counterparty."""

    def __init__(self, db: Database, keys: FileKeyStore, outside: Outside, *, teller: Webhooks | None = None) -> None:
        """Work for the tenants that are told to `follow`; with a `teller` partners are told too."""
        self._db, self._keys, self._outside, self._teller = db, keys, outside, teller
        self._tasks: dict[int, tuple[int, asyncio.Task[None]]] = {}

    def follow(self, tenant: Tenant) -> None:
        """Begin the work of a tenant, or begin it anew by another pack version."""
        pack_id, task = self._tasks.get(tenant.tenant_id, (0, None))
        if task is not None and pack_id == tenant.pack_id and not task.done():
            return
        if task is not None:
            task.cancel()
        self._tasks[tenant.tenant_id] = (tenant.pack_id, asyncio.create_task(self._work(tenant)))

    async def stop(self) -> None:
        """Stop all work; a call that is cut short is asked after by the next worker."""
        tasks = [task for _, task in self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, tenant: Tenant) -> None:
        joined = self._outside.of(tenant)
        # What an operator that is joined no more has confirmed is posted all the same.
        is_joined = joined.exchanges.counterparties or joined.payers.banks
        idle = IDLE_SECONDS if is_joined else UNJOINED_SECONDS
        turns = [_forever(lambda: read_and_post(self._db, self._keys, tenant, joined), tenant, idle)]
        if self._teller is not None:
            turns.append(_forever(_tells(self._db, self._keys, self._teller, tenant), tenant, IDLE_SECONDS))
        for name in joined.exchanges.counterparties:
            turns.append(_forever(_calls(joined, name, tenant), tenant, IDLE_SECONDS))
        if joined.verifiers.has_agency:
            turns.append(_forever(_joiners(self._db, self._keys, joined, tenant), tenant, JOINERS_SECONDS))
        if {enrolment.REGISTER, enrolment.SOCIAL} & joined.exchanges.counterparties.keys():
            turns.append(_forever(_sweeps(self._db, self._keys, joined, tenant), tenant, SWEEP_SECONDS))
        if joined.places:
            turns.append(_forever(_places(self._db, self._keys, joined, tenant), tenant, PLACES_SECONDS))
        for channel in joined.payments_in:
            turns.append(_forever(_looks(self._db, joined, channel, tenant), tenant, UNTOLD_SECONDS))
        await asyncio.gather(*turns)


def _looks(db: Database, joined: Joined, channel: str, tenant: Tenant) -> Callable[[], Any]:
    async def look() -> int:
        found = await open_untold(db, tenant, joined, channel)
        if found:
            _log.warning("payments in were found that nobody told of", tenant=tenant.code, count=found)
        return 0  # whatever was found, the next look is later

    return look


def _joiners(db: Database, keys: FileKeyStore, joined: Joined, tenant: Tenant) -> Callable[[], Any]:
    return lambda: enrolment.ask_about_joiners(db, keys, tenant, joined.verifiers)


def _sweeps(db: Database, keys: FileKeyStore, joined: Joined, tenant: Tenant) -> Callable[[], Any]:
    async def sweep() -> int:
        if enrolment.REGISTER in joined.exchanges.counterparties:
            await enrolment.index_names(db, keys, tenant)
        return await enrolment.open_sweep(db, joined.exchanges, tenant)

    return sweep


def _places(db: Database, keys: FileKeyStore, joined: Joined, tenant: Tenant) -> Callable[[], Any]:
    return lambda: turn_places(db, keys, tenant, joined.exchanges, joined.places)


def _tells(db: Database, keys: FileKeyStore, teller: Webhooks, tenant: Tenant) -> Callable[[], Any]:
    return lambda: webhooks.tell(db, keys, tenant.tenant_id, teller)


def _calls(joined: Joined, name: str, tenant: Tenant) -> Callable[[], Any]:
    return lambda: joined.exchanges.work_with(name, tenant.tenant_id)


async def _forever(turn: Callable[[], Any], tenant: Tenant, idle: float) -> None:
    """Take turns until cancelled; wait where there was nothing to do, or where it failed."""
    while True:
        try:
            if not await turn():
                await asyncio.sleep(idle)
        except (Unreachable, Unanswered) as error:
            _log.warning("an operator does not answer", tenant=tenant.code, kind=type(error).__name__)
            await asyncio.sleep(_TRIED_AGAIN_SECONDS)
        except Exception:  # noqa: BLE001 - whatever it was, the next turn tries again
            _log.exception("work with the outside failed and tries again", tenant=tenant.code)
            await asyncio.sleep(_TRIED_AGAIN_SECONDS)
