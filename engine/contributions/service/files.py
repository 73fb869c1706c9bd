"""Contributions from files: every row takes the path that the API takes."""

import asyncio
import csv
import hashlib
import io
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal, get_args

import msgspec

from engine.contributions import queries
from engine.contributions.errors import UnreadableFile
from engine.contributions.rules import (
    COLUMNS,
    NEEDED,
    TRAILER,
    BadRow,
    Envelope,
    FileRow,
    PayerKind,
    Payment,
    lane_of,
    read_trailer,
)
from engine.contributions.service.receiving import CHUNK, receive
from engine.kernel.errors import EngineError
from engine.ledger import service as ledger
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.runtime.sealing import seal
from engine.tenancy.service import Tenant


@dataclass(slots=True)
class ImportReport:
    """What became of a file of contributions."""

    file: str
    sha256: str
    rows: int = 0
    received: int = 0
    suspended: int = 0
    refused: list[BadRow] = field(default_factory=list)
    first_imported_at: datetime | None = None


async def import_file(
    db: Database,
    keys: FileKeyStore,
    tenant: Tenant,
    raw: bytes,
    *,
    name: str,
    actor: str,
    progress: Callable[[int], None] = lambda _: None,
) -> ImportReport:
    """Receive every row of a CSV file, exactly as the API would; rows that cannot be taken are listed, not lost.

    A file that was cut off half way is simply imported again: what is posted stays posted once.

    Raises:
        UnreadableFile: not UTF-8, the header lacks a column or has one too many, or a channel's files must end with count
            and total and this one does not; nothing is posted.
        EnvelopeDiffers: it holds another count or total than it says; nothing is posted.
    """
    channels = {one.code for one in tenant.pack.manifest.channels if one.totals_declared}
    good, bad = read_rows(raw, name=name, sent_by=actor, totals_declared=channels)
    report = ImportReport(name, hashlib.sha256(raw).hexdigest(), rows=len(good) + len(bad), refused=bad)
    async with db.unit_of_work(tenant.tenant_id) as session:
        report.first_imported_at = await queries.add_file(
            session,
            name=name,
            sha256=report.sha256,
            actor=actor,
            imported_at=await ledger.scheme_now(session),
            document=seal(keys, tenant.tenant_id, "contribution_files", report.sha256, raw),
        )
    by_lane: dict[int, list[FileRow]] = defaultdict(list)
    for row in good:
        by_lane[lane_of(row.payment.member)].append(row)

    async def send(lane: int, rows: Sequence[FileRow]) -> None:
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK]
            answers = await receive(db, keys, tenant, [row.payment for row in chunk], lane=lane)
            for row, answer in zip(chunk, answers, strict=True):
                if isinstance(answer, EngineError):
                    report.refused.append(BadRow(row.row, str(answer.details.get("field", "amount")), str(answer)))
                elif answer.state == "suspended":
                    report.suspended += 1
                else:
                    report.received += 1
            progress(len(chunk))

    await asyncio.gather(*(send(lane, rows) for lane, rows in by_lane.items()))
    report.refused.sort(key=lambda bad_row: bad_row.row)
    return report


def read_rows(
    raw: bytes, *, name: str, sent_by: str, totals_declared: Collection[str] = ()
) -> tuple[list[FileRow], list[BadRow]]:
    """Return the rows that can be read and those that cannot.

    A file may end with the row `#count`, the number of rows before it, and the sum of their amounts; then it is taken only
    if it holds exactly that. Files with a payment by one of the channels `totals_declared` must have it.

    Raises:
        UnreadableFile: not UTF-8, no header, or a header with other columns than `COLUMNS` (those after `NEEDED` may be
            absent); the last row is missing, malformed or not the last.
        EnvelopeDiffers: the rows are others than the last one says.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFile(file=name, row=1, field="file", reason="it is not UTF-8 text") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    header = reader.fieldnames or []
    missing = [column for column in NEEDED if column not in header]
    unknown = [column for column in header if column not in COLUMNS]
    if missing or unknown:
        wrong = f"it lacks {', '.join(missing)}" if missing else f"it has {', '.join(unknown)}"
        raise UnreadableFile(file=name, row=1, field="header", reason=f"{wrong}; the columns are {', '.join(COLUMNS)}")
    good, bad = [], []
    amounts: list[str] = []
    envelope: Envelope | None = None
    enveloped = False
    try:
        for number, row in enumerate(reader, 2):
            if envelope is not None:
                raise UnreadableFile(file=name, row=number, field=TRAILER, reason="rows follow it")
            if (row[header[0]] or "").strip() == TRAILER:
                envelope = read_trailer([row[column] or "" for column in header[1:]])
                if envelope is None:
                    reason = "it is followed by the number of rows and the sum of their amounts"
                    raise UnreadableFile(file=name, row=number, field=TRAILER, reason=reason)
                continue
            amounts.append((row["amount"] or "").strip())
            enveloped = enveloped or (row["channel"] or "").strip() in totals_declared
            try:
                good.append(FileRow(number, _payment_of(row, sent_by)))
            except ValueError as error:
                bad.append(BadRow(number, *error.args))
    except csv.Error as error:
        raise UnreadableFile(file=name, row=reader.line_num, field="file", reason=str(error)) from error
    if envelope is not None:
        envelope.check(name, amounts)
    elif enveloped:
        reason = "it does not end with the number of its rows and the sum of their amounts"
        raise UnreadableFile(file=name, row=len(amounts) + 1, field=TRAILER, reason=reason)
    return good, bad


def _payment_of(row: Mapping[str | None, str | None], sent_by: str) -> Payment:
    if None in row:
        raise ValueError("row", "it has more fields than the header")
    values = {column: (row.get(column) or "").strip() for column in COLUMNS}
    for column in NEEDED:
        if not values[column]:
            raise ValueError(column, "it is empty")
        if len(values[column]) > 64:
            raise ValueError(column, "it is longer than 64 characters")
    for column in ("paid_from", "batch"):
        if len(values[column]) > 64:
            raise ValueError(column, "it is longer than 64 characters")
    try:
        paid_on = date.fromisoformat(values["paid_on"]) if values["paid_on"] else None
    except ValueError as error:
        raise ValueError("paid_on", "it is no date like 2024-03-27") from error
    return Payment(
        member=values["member"],
        amount=values["amount"],
        currency=values["currency"],
        channel=values["channel"],
        reference=values["reference"],
        sent_by=sent_by,
        paid_on=paid_on,
        product=values["product"],
        payer=_payer(values["payer"]),
        paid_from=values["paid_from"],
        batch=values["batch"],
    )


def _payer(text: str) -> PayerKind | Literal[""]:
    try:
        return msgspec.convert(text, PayerKind) if text else ""
    except msgspec.ValidationError as error:
        raise ValueError("payer", f"it is none of {', '.join(get_args(PayerKind))}") from error
