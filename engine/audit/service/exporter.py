"""The export: a data package of the books as far as the newest checkpoint, with the log that proves it."""

import base64
import csv
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TextIO

from sqlalchemy.ext.asyncio import AsyncSession

from engine.audit import queries
from engine.audit.errors import EmptyPeriod, EntryDiffers, LogForked
from engine.audit.queries import StoredCheckpoint
from engine.audit.rules import journal
from engine.audit.rules.leaves import NamedAccount, decimal_text, member_name
from engine.audit.rules.notes import (
    BadNote,
    VerifierKey,
    consistency_file,
    open_checkpoint,
    proof_file,
    sign_note,
    verifier_key,
)
from engine.audit.rules.tables import (
    BALANCES,
    CONTROL_TOTALS,
    EVENTS,
    NO_ASSET,
    TRANSFERS,
    ExportTable,
    describe_package,
    describe_table,
    plain,
    unguarded,
)
from engine.audit.rules.tiles import tiles_of
from engine.audit.service.log import Logged, LogReader, prove_consistency, prove_inclusion, published
from engine.audit.service.package_folder import SUMS, PackageFolder, TableFile, TreeFiles, sums
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore

MOST_PROOFS = 64
PACKAGE_NOTE = "proofs/package.note"
_VERIFIER = Path(__file__).parent.parent / "package" / "verify.py"
_FIRST_DAY = date.min
_LAST_DAY = date.max
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Exported:
    """An export that was written: how much of the log it covers, and its rows by table."""

    folder: Path
    size: int
    root: bytes
    rows: dict[str, int]
    files: int


async def export(
    db: Database,
    keys: FileKeyStore,
    tenant_id: int,
    out: Path,
    *,
    since: date | None = None,
    until: date | None = None,
    tables: Sequence[ExportTable] = (),
    previous_size: int | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Write the tenant's books, as far as the newest checkpoint, as a package that proves itself.

    The log in it is always whole; `data/` and the journal hold the events of the period. The same books give the same
    bytes. The folder is replaced when the new package is whole, and left as it was where something fails.

    Args:
        db: the database.
        keys: holds the tenant's log signing key.
        tenant_id: whose books.
        out: the folder; new, empty, or an earlier export.
        since: the first business date of the period; the beginning where None.
        until: the first business date after the period; open where None.
        tables: further tables, whose data belong to other capabilities.
        previous_size: an earlier checkpoint, to which a proof of consistency is written; by default the last one signed
            before `since`.
        progress: is told how many entries of how many are written.

    Raises:
        NothingLogged: the log has no checkpoint yet.
        EmptyPeriod: `until` is not after `since`.
        FolderInUse: the folder holds something else.
        EntryDiffers: the rows no longer give the entries that were logged.
        LogForked: the checkpoint was not signed by the key that the key store holds.

    """
    if since is not None and until is not None and until <= since:
        raise EmptyPeriod(since=since.isoformat(), until=until.isoformat())
    private = keys.tenant(tenant_id).log_signing_key
    with PackageFolder(out) as folder:
        async with db.unit_of_work(tenant_id) as session:
            await queries.pin(session)
            checkpoint = await published(session)
            key = verifier_key(checkpoint.note.partition("\n")[0], private)
            try:
                open_checkpoint(checkpoint.note, key)
            except BadNote as error:
                raise LogForked(origin=key.name, size=checkpoint.size, reason=str(error)) from error
            export_ = _Export(session, folder, checkpoint, since, until, progress)
            rows = await export_.write_books()
            for table in tables:
                rows[table.name] = await export_.write_table(table)
            if previous_size is None and since is not None:
                midnight = datetime.combine(since, time(), UTC)
                earlier = await queries.checkpoint_at(session, midnight)
                previous_size = None if earlier is None else earlier.size
            await export_.write_proofs(previous_size)
            code = await queries.tenant_code(session)
        _finish(folder, key, checkpoint, f"{code}-{checkpoint.size}", export_.period, [*_BOOKS, *tables])
        listed = [(path, folder.sha256(path)) for path in folder.files()]
        folder.write(SUMS, sums(listed))
        text = f"{key.name}/export\n{folder.sha256(SUMS)}\n"
        folder.write(PACKAGE_NOTE, sign_note(text, key.name, private))
        return Exported(out, checkpoint.size, checkpoint.root, rows, len(listed) + 2)


_BOOKS = (EVENTS, TRANSFERS, BALANCES, CONTROL_TOTALS)


def _finish(
    folder: PackageFolder,
    key: VerifierKey,
    checkpoint: StoredCheckpoint,
    name: str,
    period: dict[str, str | None],
    tables: Sequence[ExportTable],
) -> None:
    """Write what describes the package."""
    folder.write("log/checkpoint", checkpoint.note)
    folder.write("keys/log.vkey", f"{key}\n")
    folder.write("verify.py", _VERIFIER.read_bytes())
    resources = [
        describe_table(table, size_bytes=folder.size_bytes(path), sha256=folder.sha256(path))
        for table in tables
        for path in (f"data/{table.name}.csv",)
    ]
    described = describe_package(
        name,
        resources,
        created=checkpoint.signed_at,
        log={"origin": key.name, "size": checkpoint.size, "root": base64.b64encode(checkpoint.root).decode()},
        period=period,
    )
    folder.write("datapackage.json", json.dumps(described, indent=2, ensure_ascii=False) + "\n")


class _Export:
    """One export on its way: the session it reads from, the folder it writes to."""

    def __init__(
        self,
        session: AsyncSession,
        folder: PackageFolder,
        checkpoint: StoredCheckpoint,
        since: date | None,
        until: date | None,
        progress: Progress | None,
    ) -> None:
        self._session, self._folder, self._checkpoint = session, folder, checkpoint
        self._since, self._until, self._progress = since or _FIRST_DAY, until or _LAST_DAY, progress
        self.period = {
            "since": None if since is None else since.isoformat(),
            "until": None if until is None else until.isoformat(),
        }
        self._reader = LogReader(session)
        self._parameters = {
            "tenant_id": session.info["tenant_id"],
            "since": self._since,
            "until": self._until,
            "size": checkpoint.size,
        }

    async def write_books(self) -> dict[str, int]:
        """Write tables of the books, journal and log; return the number of rows by table."""
        self._reader.chart = await queries.chart(self._session)
        with TableFile(self._folder, BALANCES) as balances:
            async for row in self._balances():
                balances.add(row)
        with (
            (self._folder.path / "books.journal").open("w", encoding="utf-8", newline="\n") as book,
            TableFile(self._folder, EVENTS) as events,
            TableFile(self._folder, TRANSFERS) as transfers,
        ):
            self._open_journal(book)
            totals = _ControlTotals(self._reader.chart)
            tree = TreeFiles(self._folder)
            async for logged in self._reader.entries(0, self._checkpoint.size):
                tree.add(logged.entry)
                if self._since <= logged.business_date < self._until:
                    self._write_event(logged, events, transfers, book)
                    totals.add(logged)
                if self._progress is not None and (tree.size % 256 == 0 or tree.size == self._checkpoint.size):
                    self._progress(tree.size, self._checkpoint.size)
        if tree.close() != self._checkpoint.root:
            raise EntryDiffers(index=await self._first_difference())
        with TableFile(self._folder, CONTROL_TOTALS) as control:
            for row in totals.rows():
                control.add(row)
        return {file.table.name: file.rows for file in (events, transfers, balances, control)}

    def _write_event(self, logged: Logged, events: TableFile, transfers: TableFile, book: TextIO) -> None:
        row = logged.rendered
        events.add(
            (
                str(logged.index),
                row.event,
                row.kind,
                row.member,
                row.business_date,
                row.recorded_at,
                row.actor,
                row.pack,
                row.decision,
                row.body,
                str(row.count),
                row.root,
            )
        )
        if not logged.transfers:
            return
        chart = self._reader.chart
        lines = [journal.transaction(row.business_date, row.event, row.kind)]
        for transfer in logged.transfers:
            debit, credit = chart[transfer.debit], chart[transfer.credit]
            member = member_name(transfer.member_id)
            debited, credited = debit.name(member), credit.name(member)
            amount = decimal_text(transfer.amount, debit.scale)
            transfers.add((row.event, str(transfer.line), member, debited, credited, debit.asset, amount))
            lines.append(journal.postings(debited, credited, amount, journal.commodity(debit.asset)))
        book.write("".join(lines))

    async def _balances(self) -> AsyncIterator[tuple[str, ...]]:
        """Yield every account that moved before the period's end: control accounts by name, then each member's."""
        control: list[tuple[str, ...]] = []
        async for holder, code, opening, debited, credited in queries.stream_balances(self._session, self._parameters):
            account = self._reader.chart[code]
            row = (
                account.name(member_name(holder)),
                account.asset,
                *(
                    decimal_text(amount, account.scale)
                    for amount in (opening, debited, credited, opening + debited - credited)
                ),
            )
            if account.is_members:
                for held in sorted(control):
                    yield held
                control.clear()
                yield row
            else:
                control.append(row)
        for held in sorted(control):
            yield held

    def _open_journal(self, book: TextIO) -> None:
        assets = sorted({(account.asset, account.scale) for account in self._reader.chart.values()})
        book.writelines(journal.head(f"Checkpoint of {self._checkpoint.size} entries", assets, _names(self._folder)))
        if self.period["since"] is not None:
            opened = ((name, row[2], row[1]) for name, row in _accounts(self._folder) if row[2].strip("-0."))
            book.writelines(journal.opening(self.period["since"], opened))

    async def write_table(self, table: ExportTable) -> int:
        """Write a table of another capability; return its number of rows."""
        types = [column.type for column in table.columns]
        rows = (
            queries.stream_rows(self._session, table.source, self._parameters)
            if isinstance(table.source, str)
            else table.source(self._session)
        )
        with TableFile(self._folder, table) as file:
            async for row in rows:
                file.add([plain(value, type_) for value, type_ in zip(row, types, strict=True)])
        return file.rows

    async def write_proofs(self, previous_size: int | None) -> None:
        """Write inclusion proofs of some entries, evenly spread, and one of consistency with an earlier checkpoint."""
        size, note = self._checkpoint.size, self._checkpoint.note
        step = -(-size // MOST_PROOFS)
        for index in sorted({*range(0, size, step), size - 1}):
            proof = await prove_inclusion(self._session, index, size)
            self._folder.write(f"proofs/{index}.tlog-proof", proof_file(index, proof, note))
        if previous_size is None or not 0 < previous_size < size:
            return
        earlier = await queries.checkpoint_of(self._session, previous_size)
        if earlier is not None:
            consistency = await prove_consistency(self._session, previous_size, size)
            self._folder.write(f"proofs/{previous_size}.checkpoint", earlier.note)
            self._folder.write(
                f"proofs/{previous_size}.consistency", consistency_file(previous_size, consistency, note)
            )

    async def _first_difference(self) -> int:
        """Return the first index at which rendered entries and stored hashes differ."""
        for tile in tiles_of(self._checkpoint.size):
            if tile.level:
                break
            stored = (await queries.tiles(self._session, [(0, tile.index)])).get((0, tile.index), b"")
            written = (self._folder.path / f"log/tile/{tile.path}").read_bytes()
            for at in range(0, tile.width * 32, 32):
                if written[at : at + 32] != stored[at : at + 32]:
                    return tile.index * 256 + at // 32
        return self._checkpoint.size


def _accounts(folder: PackageFolder) -> Iterator[tuple[str, list[str]]]:
    """Yield each account's name and its row, as written."""
    with (folder.path / "data/balances.csv").open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        for row in rows:
            yield unguarded(row[0]), row


def _names(folder: PackageFolder) -> Iterator[str]:
    """Yield the name of each account once: one that counts two assets has two rows, near each other."""
    seen: set[str] = set()
    holder = ""
    for name, _ in _accounts(folder):
        if name.rpartition(":")[2] != holder:
            holder = name.rpartition(":")[2]
            seen.clear()
        if name not in seen:
            seen.add(name)
            yield name


class _ControlTotals:
    """Counts and sums by kind and asset."""

    def __init__(self, chart: dict[int, NamedAccount]) -> None:
        self._chart = chart
        self._sums: dict[tuple[str, str], list[int]] = {}

    def add(self, logged: Logged) -> None:
        """Count an event and its transfers."""
        kind, seen = logged.rendered.kind, set()
        for transfer in logged.transfers:
            account = self._chart[transfer.debit]
            row = self._sums.setdefault((kind, account.asset), [0, 0, 0, account.scale])
            row[0] += account.asset not in seen
            row[1] += 1
            row[2] += transfer.amount
            seen.add(account.asset)
        if not seen:
            self._sums.setdefault((kind, NO_ASSET), [0, 0, 0, 0])[0] += 1

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Yield the table's rows, in order."""
        for (kind, asset), (events, transfers, amount, scale) in sorted(self._sums.items()):
            yield kind, asset, str(events), str(transfers), decimal_text(amount, scale)
