"""Payouts by banks: approved ones go into one file each, ever; the bank's reports say what it took and what it refused."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.errors import PayoutChanged, RailNotJoined, UnknownPayout, UnreadableReport
from engine.benefits.queries import filing as queries
from engine.benefits.queries import paying as payouts
from engine.benefits.queries.paying import PayoutRow
from engine.benefits.rules.paying import PayoutState, after_report
from engine.benefits.service.homing import bring_home
from engine.benefits.service.paying import Payers, note_of, opened
from engine.kernel.amounts import Amount
from engine.kernel.clock import business_date
from engine.kernel.file_values import sha256_of
from engine.kernel.files import FileRefused
from engine.kernel.ids import claim_digest, house_member
from engine.kernel.outcomes import RequestState
from engine.kernel.payment_files import BankAccount, StatusReport, Transfer, TransferFile
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind, Outcome
from engine.reconciliation.ports import PaymentFiles
from engine.runtime.database import Database, retry_transaction
from engine.runtime.key_file import FileKeyStore
from engine.runtime.sealing import seal, unseal
from engine.tenancy.service import Tenant

MOST_IN_A_FILE = 4_000


@dataclass(frozen=True, slots=True)
class PayoutFile:
    """A file that asks a bank to pay: how many payouts, their sum in major units, and its bytes."""

    message_ref: str
    rail: str
    execute_on: date
    payouts: int
    total: str
    sha256: str
    raw: bytes

    @property
    def name(self) -> str:
        """Return the file's name, which no other has."""
        return f"{self.message_ref}.xml"

    def __repr__(self) -> str:
        return f"PayoutFile({self.message_ref})"


@dataclass(frozen=True, slots=True)
class ReportRead:
    """What a bank's report said of our payouts; `is_known`: its bytes were read before, and nothing was done again."""

    message_ref: str
    taken: int = 0
    refused: int = 0
    unclear: int = 0
    is_known: bool = False


async def file_payouts(
    db: Database,
    keys: FileKeyStore,
    tenant: Tenant,
    payers: Payers,
    files: PaymentFiles,
    *,
    rail: str,
    actor: str,
    execute_on: date | None = None,
) -> PayoutFile | None:
    """Put approved payouts of a bank, at most 4,000, into a new file, each once for ever; None where none waits.

    The file is kept with them, and is the same however often it is handed out: `find_file` gives it again.

    Args:
        db: the database; one transaction.
        keys: open what is paid, and seal the file.
        tenant: whose payouts they are.
        payers: how its rails are joined.
        files: writes the bank's files.
        rail: the bank's.
        actor: who asks for it.
        execute_on: the day the bank is to pay; the scheme's today if absent.

    Raises:
        RailNotJoined: no bank takes files for that rail.
        PayoutChanged: what would be paid is not what was approved; no file is made.
    """
    bank = payers.banks.get(rail)
    if bank is None:
        raise RailNotJoined(rail=rail)

    async def once() -> PayoutFile | None:
        async with db.unit_of_work(tenant.tenant_id) as session:
            await queries.hold_files(session)
            rows = await queries.unfiled(session, rail, most=MOST_IN_A_FILE)
            if not rows:
                return None
            now = await ledger.scheme_now(session)
            today = business_date(now, tenant.time_zone)
            number = await queries.next_number(session)
            message_ref = f"PO{tenant.tenant_id}-{number}"
            file = TransferFile(
                message_ref=message_ref,
                created_at=now,
                sender=bank.sender,
                payer=bank.account,
                execute_on=execute_on or today,
                transfers=tuple(_transfer(keys, tenant, row) for row in rows),
            )
            raw = await asyncio.to_thread(files.write_transfers, file)
            total = sum(row.amount for row in rows)
            await _record(session, tenant, message_ref, rail, rows, sha256_of(raw), today, actor)
            await queries.add_file(
                session,
                number,
                total=total,
                payouts=[row.payout_id for row in rows],
                execute_on=file.execute_on,
                rail=rail,
                message_ref=message_ref,
                sha256=sha256_of(raw),
                maker=actor,
                document=seal(keys, tenant.tenant_id, "payout_files", message_ref, raw),
            )
            return await find_file(session, keys, tenant, message_ref)

    return await retry_transaction(once)


async def find_file(session: AsyncSession, keys: FileKeyStore, tenant: Tenant, message_ref: str) -> PayoutFile:
    """Return a file that was made, byte for byte.

    Raises:
        UnknownPayout: there is none of that reference.
    """
    row = await queries.find_file(session, message_ref)
    if row is None:
        raise UnknownPayout
    return PayoutFile(
        message_ref=row.message_ref,
        rail=row.rail,
        execute_on=row.execute_on,
        payouts=row.payouts,
        total=f"{Amount(row.total, tenant.asset).decimal():.{tenant.asset.scale}f}",
        sha256=row.sha256,
        raw=unseal(keys, tenant.tenant_id, "payout_files", row.message_ref, row.document),
    )


async def unsent_files(session: AsyncSession, rail: str, since: date) -> list[str]:
    """Return the references of a bank's files made on or after a day that are not staged to leave, the oldest first."""
    return await queries.unsent_files(session, rail, since)


def _transfer(keys: FileKeyStore, tenant: Tenant, row: PayoutRow) -> Transfer:
    payload = opened(keys, tenant, row).payload
    if payload.digest() != row.digest:
        raise PayoutChanged
    account = payload.account
    return Transfer(
        reference=row.payout_id.hex,
        payee=BankAccount(holder=account.holder or payload.payee_name, number=account.number, bank=account.bank),
        amount=Amount(row.amount, tenant.asset),
        note=note_of(tenant, payload),
    )


async def _record(
    session: AsyncSession,
    tenant: Tenant,
    message_ref: str,
    rail: str,
    rows: Sequence[PayoutRow],
    sha256: str,
    today: date,
    actor: str,
) -> None:
    entry = Entry(
        member_id=house_member(tenant.tenant_id),
        kind=EventKind.PAYOUTS_FILED,
        business_date=today,
        actor=await ledger.actor_id(session, actor),
        pack=tenant.pack_id,
        body={
            "file": message_ref,
            "rail": rail,
            "sha256": sha256,
            "payouts": len(rows),
            "amount": str(sum(row.amount for row in rows)),
        },
        claims=(claim_digest(tenant.tenant_id, "payout-file", message_ref),),
    )
    (fate,) = await ledger.post(session, [entry])
    assert fate.outcome is Outcome.POSTED, fate


# -- what the bank says


async def read_report(
    db: Database, keys: FileKeyStore, tenant: Tenant, files: PaymentFiles, raw: bytes, name: str, *, actor: str
) -> ReportRead:
    """Take in what a bank says of a file of ours, once: what it refused comes home, what it took waits for the statement.

    Reports come late, twice and out of order. A bank that contradicts itself is believed in neither: the statement decides.

    Raises:
        UnreadableReport: it cannot be read whole, is of no file of ours, or says that our file held another count or total;
            nothing of it is used.
    """
    try:
        report = await asyncio.to_thread(files.read_report, raw, name)
    except FileRefused as refused:
        reason = f"{refused.sentence} {refused.detail}".strip(" .")
        raise UnreadableReport(file=name, row=refused.row or "–", field=refused.field, reason=reason) from refused

    async def once() -> ReportRead:
        async with db.unit_of_work(tenant.tenant_id) as session:
            await queries.hold_files(session)
            file = await queries.find_file(session, report.message_ref)
            if file is None:
                raise UnreadableReport(
                    file=name, row="–", field="OrgnlMsgId", reason=f"{report.message_ref} is no file of ours"
                )
            rows = await queries.filed(session, file.file_id)
            _check_envelope(report, file, tenant)
            sealed = seal(keys, tenant.tenant_id, "payout_reports", report.sha256, raw)
            if not await queries.add_report(session, file.file_id, sha256=report.sha256, name=name, document=sealed):
                return ReportRead(report.message_ref, is_known=True)
            return await _apply(session, keys, tenant, report, rows, actor)

    return await retry_transaction(once)


def _check_envelope(report: StatusReport, file: queries.FileRow, tenant: Tenant) -> None:
    total = Amount(file.total, tenant.asset).decimal()
    for field, said, held in (("OrgnlNbOfTxs", report.count, file.payouts), ("OrgnlCtrlSum", report.total, total)):
        if said is not None and said != held:
            raise UnreadableReport(
                file=report.name, row="–", field=field, reason=f"it says {said}, and the file it is of holds {held}"
            )


async def _apply(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    report: StatusReport,
    rows: Sequence[PayoutRow],
    actor: str,
) -> ReportRead:
    said = [(row, answer) for row in rows if (answer := report.answer_to(row.payout_id.hex)) is not None]
    refused: dict[str, list[PayoutRow]] = {}
    noted: list[tuple[UUID, PayoutState, str]] = []
    for row, answer in said:
        after = after_report(row.state, row.reason, answer, is_settled=row.settled_event != 0)
        if after is not None and after.state is PayoutState.FAILED and not after.reason:
            refused.setdefault(answer.reason or "other", []).append(row)
        elif after is not None:
            noted.append((row.payout_id, after.state, after.reason))
    for reason, ones in refused.items():
        await bring_home(session, keys, tenant, ones, reason=reason, actor=actor)
    await payouts.note_many(session, noted)
    return ReportRead(
        report.message_ref,
        taken=sum(answer.state in {RequestState.PENDING, RequestState.SUCCEEDED} for _, answer in said),
        refused=sum(map(len, refused.values())),
        unclear=sum(bool(reason) for _, _, reason in noted),
    )
