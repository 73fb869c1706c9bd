"""Taking in a statement: read by its adapter, checked, kept sealed, its lines laid beside those of earlier versions."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from engine.kernel.clock import business_date
from engine.kernel.files import FileRefused, Wrong
from engine.kernel.ids import claim_digest
from engine.kernel.statements import Statement, StatementFile
from engine.ledger import service as ledger
from engine.reconciliation.errors import UnknownAccount, UnreadableStatement
from engine.reconciliation.ports import StatementSource, TableSource
from engine.reconciliation.queries import matching
from engine.reconciliation.queries import statements as queries
from engine.reconciliation.queries.statements import KeptStatement, NewLine
from engine.reconciliation.rules import check_statements, references_of
from engine.reconciliation.service.booking import chunks
from engine.reconciliation.service.matching import match_statements
from engine.reconciliation.service.telling import Break, break_of, fixed
from engine.runtime.database import Database, Role, retry_transaction
from engine.runtime.jobs import promise
from engine.runtime.sealing import seal
from engine.runtime.secrets import KeyStore
from engine.tenancy.rules.manifest import Channel
from engine.tenancy.service import Tenant

CHUNK = 20_000
MOST_NAMED = 50


@dataclass(frozen=True, slots=True)
class StatementReport:
    """What became of a file of statements. `first_imported_at` is there if the same bytes came before.

    `line_count`, `total` and `matched` are of what came now; money that went out counts against the total. `withdrawn`
    lines stood in an earlier version. `unmatched` counts all lines that are no receipt's after matching; `breaks` names
    the first of them. `gap` says that no statement taken in before ends where this one begins.
    """

    file: str
    sha256: str
    account: str
    line_count: int
    total: str
    matched: int
    unmatched: int
    breaks: tuple[Break, ...]
    first_imported_at: datetime | None = None
    corrects: int = 0
    withdrawn: int = 0
    gap: bool = False

    def lines(self) -> list[str]:
        """Return the report in sentences, for the command line."""
        if self.first_imported_at is not None:
            head = (
                f"{self.file}: the same bytes first came at {self.first_imported_at:%Y-%m-%d %H:%M} UTC; "
                f"{self.unmatched} lines wait"
            )
        else:
            head = f"{self.file}: {self.line_count} lines, {self.total}: {self.matched} matched, {self.unmatched} wait"
        if self.corrects:
            head += f"; a later version: {self.withdrawn} lines withdrawn"
        if self.gap:
            head += "; no statement taken in ends where it begins"
        return [
            head,
            *(
                f"  row {one.row}, {one.value_date}, {one.amount}: {one.reason}"
                + (f" (the receipt says {one.received})" if one.received is not None else "")
                for one in self.breaks
            ),
        ]


def channel_of(tenant: Tenant, account: str) -> Channel:
    """Return the collection channel of a code.

    Raises:
        UnknownAccount: the scheme has no such channel.
    """
    channels = {channel.code: channel for channel in tenant.pack.channels}
    if account not in channels:
        raise UnknownAccount(field="account", account=account, allowed=", ".join(sorted(channels)))
    return channels[account]


def source_of(tenant: Tenant, account: str, adapters: Callable[[str, str], Any]) -> StatementSource:
    """Return what reads the statements of a collection account: the adapter that its channel names, by the pack's layout if it has one.

    Args:
        tenant: whose account it is.
        account: the collection channel.
        adapters: returns the adapter of a port and a name.

    Raises:
        UnknownAccount: the scheme has no such channel.
    """
    channel = channel_of(tenant, account)
    source: StatementSource = adapters("StatementSource", channel.statements)
    if not channel.layout:
        return source
    return cast("TableSource", source).by(tenant.pack.layouts[channel.layout])


async def import_statement(
    db: Database,
    tenant: Tenant,
    keys: KeyStore,
    source: StatementSource,
    raw: bytes,
    name: str,
    account: str,
    actor: str,
) -> StatementReport:
    """Take in a file of statements of a collection account whole, sealed, and match its lines to receipts.

    The same bytes twice change nothing and say when they first came; lines still open are tried again. A later version
    of a statement withdraws the open lines of the earlier one and brings its own, but for those matched already.

    Args:
        db: the database; the file is one transaction, matching follows in others.
        tenant: whose account it is.
        keys: seal the file.
        source: reads the file.
        raw: the file's bytes.
        name: the file's name.
        account: the collection channel whose account it is.
        actor: who imports.

    Raises:
        UnknownAccount: the scheme has no such channel.
        UnreadableStatement: the file cannot be taken; nothing of it is kept. Names the first, and up to 50 in details.
    """
    channel = channel_of(tenant, account)
    taken = await retry_transaction(lambda: _Taking(db, tenant, keys, source, raw, name, channel, actor).take())
    await match_statements(db, tenant, actor=actor)
    async with db.unit_of_work(tenant.tenant_id) as session:
        unmatched = await matching.count_open_lines(session, taken.statements)
        breaks = await matching.open_lines(session, most=MOST_NAMED, statement_ids=taken.statements)
        gap = await queries.follows_nothing(session, taken.statements)
        today = business_date(await ledger.scheme_now(session), tenant.time_zone)
        if unmatched:
            await promise(session, "benefits.settle_payouts", tenant_id=tenant.tenant_id)
    return StatementReport(
        file=name,
        sha256=taken.sha256,
        account=account,
        line_count=taken.lines,
        total=fixed(taken.total, tenant.asset),
        matched=max(taken.lines - unmatched, 0),
        unmatched=unmatched,
        breaks=tuple(break_of(line, tenant, today) for line in breaks),
        first_imported_at=taken.first_imported_at,
        corrects=taken.corrects,
        withdrawn=taken.withdrawn,
        gap=gap,
    )


@dataclass(slots=True)
class _Taken:
    """What a transaction took in: the numbers of the file's statements, and of what is new."""

    sha256: str
    statements: tuple[int, ...] = ()
    first_imported_at: datetime | None = None
    lines: int = 0
    total: int = 0
    corrects: int = 0
    withdrawn: int = 0


@dataclass(frozen=True, slots=True)
class _Taking:
    db: Database
    tenant: Tenant
    keys: KeyStore
    source: StatementSource
    raw: bytes
    name: str
    channel: Channel
    actor: str

    async def take(self) -> _Taken:
        tenant_id, sha256 = self.tenant.tenant_id, hashlib.sha256(self.raw).hexdigest()
        async with self.db.unit_of_work(tenant_id) as session:
            earlier = await queries.find_statement(session, sha256)
            if earlier is not None:
                return _Taken(sha256, *earlier)
            now = await ledger.scheme_now(session)
            today = business_date(now, self.tenant.time_zone)
        file = await asyncio.to_thread(self._read, today)
        document = await asyncio.to_thread(seal, self.keys, tenant_id, "statements", sha256, self.raw)
        async with self.db.unit_of_work(tenant_id, role=Role.JOBS) as session:
            await queries.hold_account(session, self.channel.code)
            earlier = await queries.find_statement(session, sha256)
            if earlier is not None:
                return _Taken(sha256, *earlier)
            taken = _Taken(sha256)
            actor = await ledger.actor_id(session, self.actor)
            for place, statement in enumerate(file.statements, 1):
                kept = _kept(statement, self.channel.code, self.name, sha256, place)
                await self._keep(session, statement, kept, document if place == 1 else b"", now, actor, taken)
            return taken

    def _read(self, today: date) -> StatementFile:
        try:
            file = self.source.read(self.raw, self.name)
            check_statements(file.statements, self.tenant.asset, self.channel.account, today=today)
        except Wrong as wrong:
            raise _unreadable(wrong.refused(self.name)) from wrong
        except FileRefused as refused:
            raise _unreadable(refused) from refused
        return file

    async def _keep(
        self,
        session: AsyncSession,
        statement: Statement,
        kept: KeptStatement,
        document: bytes,
        now: datetime,
        actor: int,
        taken: _Taken,
    ) -> None:
        lines = list(self._lines(statement, kept))
        versions = await queries.versions_of(session, kept)
        if versions:
            lines = _less(lines, await queries.matched_lines(session, versions))
        number = await queries.add_statement(
            session,
            kept,
            document=document,
            imported_at=now,
            actor=actor,
            lines=len(lines),
            total=sum(line.amount for line in lines),
            corrects=versions[-1] if versions else None,
        )
        if versions:
            taken.corrects = versions[-1]
            everything = [one.facts for one in self._lines(statement, kept)]
            taken.withdrawn += await queries.withdraw_lines(session, versions, number, everything)
        for chunk in chunks(iter(lines), CHUNK):
            await queries.add_lines(session, number, chunk)
        taken.statements = (*taken.statements, number)
        taken.lines += len(lines)
        taken.total += sum(line.amount for line in lines)

    def _lines(self, statement: Statement, kept: KeptStatement) -> Iterator[NewLine]:
        tenant_id, scope = self.tenant.tenant_id, f"provider:{self.channel.code}"
        for number, line in enumerate(statement.lines, 1):
            digests = [claim_digest(tenant_id, scope, reference) for reference in references_of(line)]
            if not digests:
                # Known by nothing: such a line can be no receipt's until people say what it is.
                digests = [claim_digest(tenant_id, "line", f"{kept.sha256}:{kept.place}:{number}")]
            yield NewLine(
                line_no=line.row if len(statement.lines) == len({one.row for one in statement.lines}) else number,
                row=line.row,
                amount=line.movement,
                digest=digests[0],
                other_digest=digests[1] if len(digests) > 1 else None,
                value_date=line.value_on,
                code=line.code[:35],
            )


def _kept(statement: Statement, account: str, name: str, sha256: str, place: int) -> KeptStatement:
    days = [line.booked_on for line in statement.lines]
    return KeptStatement(
        account=account,
        name=name,
        sha256=sha256,
        place=place,
        number=statement.number,
        reference=statement.reference[:35],
        opening=statement.opening,
        closing=statement.closing,
        first_on=statement.opened_on or min(days, default=None),
        last_on=statement.closed_on or max(days, default=None),
    )


def _less(lines: Sequence[NewLine], matched: Sequence[tuple[int, UUID, date]]) -> list[NewLine]:
    """Return the lines without those that an earlier version had as well and that are matched, each once."""
    left = Counter(matched)
    kept = []
    for line in lines:
        if left[line.facts]:
            left[line.facts] -= 1
        else:
            kept.append(line)
    return kept


def _unreadable(refused: FileRefused) -> UnreadableStatement:
    every = (refused, *refused.others)
    return UnreadableStatement(
        file=refused.file,
        row=refused.row or "–",
        field=refused.field,
        reason=f"{refused.sentence} {refused.detail}".strip(" ."),
        problems=[
            {"row": one.row, "field": one.field, "reason": f"{one.sentence} {one.detail}".strip()}
            for one in every[:MOST_NAMED]
        ],
    )
