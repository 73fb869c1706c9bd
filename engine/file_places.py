"""Composition of the places where files change hands: a tenant's fund managers, banks, funders and insurers.

Which way files travel is one word of the counterparty's table in the secrets file, `by`: folder, sftp or http.

    [xx-scheme.bank]
    pays_from = "upi"
    ...
    by = "sftp"
    since = 2026-04-01
    place = { host = "...", user = "...", host_key = "...", private_key = "...", inbox = "out", outbox = "in" }

    [xx-scheme.treasury]
    files_for = "government"      # a party of the scheme's rules: whose claims of state money, or of cover, leave here
    since = 2026-04-01
    by = "http"
    place = { base_url = "https://...", token = "..." }
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any, Protocol

from msgspec import Struct

from engine.benefits import service as benefits
from engine.benefits.service import BankRail
from engine.contributions import service as contributions
from engine.debits import service as debits
from engine.debits.service import Creditor
from engine.funds import service as funds
from engine.funds.service import JoinedManager, ManagerTable, OrderDesk
from engine.kernel.clock import SystemClock
from engine.kernel.errors import EngineError
from engine.kernel.file_drops import StagedDrop
from engine.kernel.files import FileRefused, NamedFile
from engine.kernel.joining import Given, Means
from engine.kernel.transport import Transport, Unanswered, Unreachable
from engine.manager_files import take_manager_files
from engine.places import service as places
from engine.places.service import Leaving, Place, Taken
from engine.reconciliation import service as reconciliation
from engine.reconciliation.ports import PaymentFiles, StatementSource
from engine.runtime.counterparty_file import CounterpartiesUnavailable, CounterpartyFile
from engine.runtime.database import Database
from engine.runtime.exchanges.engine import Counterparty, Exchanges
from engine.runtime.exchanges.recording import RecordedDelivery
from engine.runtime.exchanges.tokens import SharedTokens
from engine.runtime.key_file import FileKeyStore
from engine.runtime.logging import get_logger
from engine.tenancy.service import Tenant

_ACTOR = "system:files"
_OF_ANOTHER_KIND = frozenset({"unknown-message", "not-xml", "empty-file"})
"""Why a file that is no report of a bank's is none; it may be a statement."""

_log = get_logger(__name__)


class PartyTable(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How files reach a party of the scheme's rules that is neither bank nor fund manager: its table in the secrets file."""

    files_for: Given
    since: date
    by: Given = "folder"
    place: dict[str, object]

    def __repr__(self) -> str:
        return f"PartyTable({self.files_for})"


@dataclass(frozen=True, slots=True)
class JoinedBank:
    """A bank whose files travel by themselves: its place, its table, and the adapters of its files and statements."""

    place: Place
    rail: BankRail
    files: PaymentFiles
    statements: StatementSource


@dataclass(frozen=True, slots=True)
class FilePlaces:
    """A tenant's places, by their names in the secrets file; of `parties`, with the party whose files they are.

    `creditors` are banks that collect for us, by place or carried by people.
    """

    managers: Mapping[str, JoinedManager] = field(default_factory=dict)
    banks: Mapping[str, JoinedBank] = field(default_factory=dict)
    parties: Mapping[str, tuple[Place, str]] = field(default_factory=dict)
    creditors: Mapping[str, tuple[Creditor, PaymentFiles]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Return whether there is any."""
        return bool(self.managers or self.banks or self.parties or self.creditors)


class Answering(Protocol):
    """A way out that can be told how long an answer may take."""

    def answered_within(self, seconds: float) -> Transport:
        """Return a transport that waits `seconds` for an answer."""
        ...


@dataclass(frozen=True, slots=True)
class PlaceJoiner:
    """Joins a tenant's places by what the secrets file says of them."""

    db: Database
    keys: FileKeyStore
    file: CounterpartyFile
    installed: Callable[[str, str], Any]
    transport: Answering

    def join(self, tenant: Tenant, rails: Mapping[str, BankRail]) -> tuple[FilePlaces, dict[str, Counterparty]]:
        """Return a tenant's places, and the counterparties that exchanges leave files with.

        Raises:
            CounterpartiesUnavailable: a table is wrong.
            KeyError: no adapter of a name is installed.
        """
        counterparties: dict[str, Counterparty] = {}
        managers: dict[str, JoinedManager] = {}
        for name in self.file.names(tenant.code, having="deals_for"):
            table = self.file.credentials(tenant.code, name, ManagerTable)
            drop = self._drop(tenant, name, table.by)
            managers[name] = JoinedManager(name, table, self.installed("DealingManager", table.speaks), drop)
            operation = funds.order_operation(RecordedDelivery(drop, self.db, self.keys), tenant)
            pace = self.file.pace(tenant.code, name)
            files = places.file_operation(RecordedDelivery(drop, self.db, self.keys), tenant)
            counterparties[name] = Counterparty(name, {funds.FUND_ORDERS: operation, places.FILES: files}, pace)
        banks = {
            name: self._bank(tenant, name, rail, counterparties)
            for name, rail in rails.items()
            if rail.by and name not in managers
        }
        parties: dict[str, tuple[Place, str]] = {}
        for name in self.file.names(tenant.code, having="files_for"):
            party = self.file.credentials(tenant.code, name, PartyTable)
            parties[name] = self._place(tenant, name, party.by, party.since, counterparties), party.files_for
        creditors = {name: self._creditor(name, rail) for name, rail in rails.items() if rail.creditor_ref}
        return FilePlaces(managers, banks, parties, creditors), counterparties

    def _creditor(self, name: str, rail: BankRail) -> tuple[Creditor, PaymentFiles]:
        creditor = Creditor(name, rail.pays_from, rail.account, rail.sender, rail.creditor_ref)
        return creditor, self.installed("PaymentFiles", rail.files)

    def _bank(self, tenant: Tenant, name: str, rail: BankRail, counterparties: dict[str, Counterparty]) -> JoinedBank:
        if rail.since is None:
            raise CounterpartiesUnavailable(f"{self.file.path}: {tenant.code}.{name}: `by` needs `since`")
        channel = next((one for one in tenant.pack.channels if one.code == rail.pays_from), None)
        if channel is None:
            raise CounterpartiesUnavailable(f"{self.file.path}: {tenant.code}.{name}: no channel is {rail.pays_from}")
        return JoinedBank(
            self._place(tenant, name, rail.by, rail.since, counterparties),
            rail,
            self.installed("PaymentFiles", rail.files),
            self.installed("StatementSource", channel.statements),
        )

    def _place(self, tenant: Tenant, name: str, by: str, since: date, counterparties: dict[str, Counterparty]) -> Place:
        if name in counterparties:
            raise CounterpartiesUnavailable(f"{self.file.path}: {tenant.code}.{name}: is two counterparties at once")
        drop = self._drop(tenant, name, by)
        operation = places.file_operation(RecordedDelivery(drop, self.db, self.keys), tenant)
        counterparties[name] = Counterparty(name, {places.FILES: operation}, self.file.pace(tenant.code, name))
        return Place(name, drop, since)

    def _drop(self, tenant: Tenant, name: str, by: str) -> StagedDrop:
        joins = self.installed("FileDrop", by)
        # What leaves is recorded as files, not as the requests they go by.
        transport = self.transport.answered_within(self.file.pace(tenant.code, name).answer_seconds)
        means = Means(transport, SharedTokens(self.db, self.keys, tenant.tenant_id), SystemClock())
        drop: StagedDrop = joins.join(self.file.nested(tenant.code, name, "place", joins.credentials), means)
        return drop


async def turn_places(
    db: Database, keys: FileKeyStore, tenant: Tenant, exchanges: Exchanges, joined: FilePlaces
) -> int:
    """Stage every file that is to leave, and take in every one that came; return how many of both."""
    if not joined:
        return 0
    done = await funds.file_orders(db, tenant, OrderDesk(exchanges, joined.managers))
    done += await funds.stage_cancellations(db, tenant, exchanges, joined.managers)
    takes: dict[str, Callable[[], Awaitable[int]]] = {
        name: partial(take_manager_files, db, keys, tenant, manager) for name, manager in joined.managers.items()
    }
    for creditor, files in joined.creditors.values():
        done += await debits.write_debits(db, keys, tenant, creditor, files)
    for name, bank in joined.banks.items():
        done += await _stage_payouts(db, keys, tenant, exchanges, bank)
        done += await _stage_debits(db, keys, tenant, exchanges, bank)
        read = partial(_read_of_bank, db, keys, tenant, bank)
        takes[name] = partial(places.take_files, db, keys, tenant, name, bank.place.drop, read)
    for name, (place, party) in joined.parties.items():
        done += await _stage_claims(db, keys, tenant, exchanges, place, party)
        read = partial(_read_of_party, db, tenant, place)
        takes[name] = partial(places.take_files, db, keys, tenant, name, place.drop, read)
    for name, take in takes.items():
        try:
            done += await take()
        except (Unreachable, Unanswered) as error:
            _log.warning("a place is not reached", tenant=tenant.code, adapter=name, kind=type(error).__name__)
    for creditor, _ in joined.creditors.values():
        seen = await debits.settle_debits(db, keys, tenant, creditor)
        done += seen.paid + seen.returned
    return done


async def _stage_payouts(
    db: Database, keys: FileKeyStore, tenant: Tenant, exchanges: Exchanges, bank: JoinedBank
) -> int:
    staged = 0
    async with db.unit_of_work(tenant.tenant_id) as session:
        waiting = await benefits.unsent_files(session, bank.place.name, bank.place.since)
    for message_ref in waiting:
        async with db.unit_of_work(tenant.tenant_id) as session:
            made = await benefits.find_file(session, keys, tenant, message_ref)
            leaving = Leaving("payouts", message_ref, NamedFile(made.name, made.raw))
            staged += await places.stage(session, exchanges, bank.place, leaving)
    return staged


async def _stage_debits(
    db: Database, keys: FileKeyStore, tenant: Tenant, exchanges: Exchanges, bank: JoinedBank
) -> int:
    staged = 0
    async with db.unit_of_work(tenant.tenant_id) as session:
        waiting = await debits.unsent_debits(session, bank.place.name, bank.place.since)
    for file_id in waiting:
        async with db.unit_of_work(tenant.tenant_id) as session:
            file = await debits.debit_file(session, keys, tenant, file_id)
            leaving = Leaving("debits", file.name.removesuffix(".xml"), file)
            staged += await places.stage(session, exchanges, bank.place, leaving)
    return staged


async def _stage_claims(
    db: Database, keys: FileKeyStore, tenant: Tenant, exchanges: Exchanges, place: Place, party: str
) -> int:
    """Stage what a party is asked for: claims of state money that were let go, and files of claims of cover."""
    staged = 0
    async with db.unit_of_work(tenant.tenant_id) as session:
        matches = await contributions.unsent_claims(session, party, place.since)
        covers = await benefits.unsent_cover_files(session, party, place.since)
    for kind, name, numbers, write in (
        ("match-claim", "state-money", matches, contributions.claim_file),
        ("cover-claims", "cover", covers, benefits.cover_file),
    ):
        for number in numbers:
            async with db.unit_of_work(tenant.tenant_id) as session:
                raw = await write(session, keys, tenant, number, actor=_ACTOR)
                leaving = Leaving(kind, str(number), NamedFile(f"{tenant.code}-{name}-{number}.csv", raw))
                staged += await places.stage(session, exchanges, place, leaving)
    return staged


async def _read_of_bank(db: Database, keys: FileKeyStore, tenant: Tenant, bank: JoinedBank, file: NamedFile) -> Taken:
    """Give a bank's file to the use case that it is for: a report on a file of ours, else a statement of its account."""
    is_report, is_of_debits = True, False
    try:
        report = bank.files.read_report(file.raw, file.name)
    except FileRefused as refused:
        is_report = refused.reason not in _OF_ANOTHER_KIND
    else:
        async with db.unit_of_work(tenant.tenant_id) as session:
            is_of_debits = await debits.is_of_debits(session, report.message_ref)
    try:
        if is_of_debits:
            await debits.read_report(db, keys, tenant, bank.files, file.raw, file.name, actor=_ACTOR)
        elif is_report:
            await benefits.read_report(db, keys, tenant, bank.files, file.raw, file.name, actor=_ACTOR)
        else:
            await reconciliation.import_statement(
                db, tenant, keys, bank.statements, file.raw, file.name, bank.rail.pays_from, _ACTOR
            )
    except EngineError as refusal:
        return _refused(tenant, bank.place.name, "report" if is_report else "statement", refusal)
    return Taken("report" if is_report else "statement")


async def _read_of_party(db: Database, tenant: Tenant, place: Place, file: NamedFile) -> Taken:
    """Take in answers to claims of cover, by the name of the file that they answer; nothing else is awaited."""
    async with db.unit_of_work(tenant.tenant_id) as session:
        asked = await places.answered(session, place.name, file.name)
    if asked is None or asked.kind != "cover-claims":
        return Taken("unknown", "it answers no file of ours")
    try:
        answers = benefits.read_answers(file.raw)
        done = await benefits.take_cover_answers(db, tenant, int(asked.about), answers, actor=_ACTOR)
    except EngineError as refusal:
        return _refused(tenant, place.name, "cover-answers", refusal)
    if done.unfit:
        _log.warning("answers do not fit", tenant=tenant.code, adapter=place.name, count=len(done.unfit))
    return Taken("cover-answers")


def _refused(tenant: Tenant, place: str, kind: str, refusal: EngineError) -> Taken:
    _log.warning("a file was refused", tenant=tenant.code, adapter=place, kind=kind)
    return Taken(kind, str(refusal))
