"""Direct debits: mandates are kept sealed, files are made by two people, and only a statement makes a receipt or takes one back."""

import asyncio
import csv
import io
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from uuid import UUID, uuid4

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.contributions import service as contributions
from engine.contributions.errors import AlreadyResolved, ReversalDecided
from engine.contributions.rules import Payment, lane_of
from engine.debits import queries
from engine.debits.errors import (
    DebitsChanged,
    DebitsDecided,
    MandateHeld,
    UnknownDebits,
    UnknownMandate,
    UnreadableDebitReport,
)
from engine.debits.queries import DebitFileRow, DebitRow, MandateRow, SeenDebit
from engine.debits.rules import MOST_IN_A_FILE, Collected, MandateGiven, digest_of
from engine.enrolment import service as enrolment
from engine.identity import service as identity
from engine.identity.errors import UnknownMember
from engine.identity.rules import MemberRef, MemberStatus
from engine.kernel.amounts import Amount
from engine.kernel.clock import business_date
from engine.kernel.errors import EngineError, Invalid
from engine.kernel.file_values import sha256_of
from engine.kernel.files import FileRefused, NamedFile
from engine.kernel.ids import claim_digest, house_member
from engine.kernel.outcomes import RequestState
from engine.kernel.payment_files import BankAccount, Debit, DebitFile, DebitSequence, StatusReport
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind, Outcome
from engine.reconciliation import service as reconciliation
from engine.reconciliation.ports import PaymentFiles
from engine.runtime.database import Database, retry_transaction
from engine.runtime.key_file import FileKeyStore
from engine.runtime.sealing import seal, unseal
from engine.tenancy.service import Tenant

CHUNK = 500
MANDATE_COLUMNS = ("member", "product", "reference", "signed_on", "most", "holder", "number", "bank")
MOST_MANDATES = 10_000

_ACTOR = "system:direct-debits"
_UNDER_WAY = frozenset({"asked", "pending"})


@dataclass(frozen=True, slots=True)
class Creditor:
    """A bank that collects for us: its rail, the channel of the account that is credited, that account, and what we are there."""

    rail: str
    channel: str
    account: BankAccount
    sender: str
    creditor_ref: str


@dataclass(frozen=True, slots=True)
class DebitReportRead:
    """What a bank's report said of our debits; `is_known`: its bytes were read before, and nothing was done again."""

    message_ref: str
    taken: int = 0
    refused: int = 0
    is_known: bool = False


@dataclass(frozen=True, slots=True)
class DebitsSeen:
    """What statements showed of debits: how many came, how many went back, and how many the books did not take."""

    paid: int = 0
    returned: int = 0
    refused: int = 0


# -- mandates


def read_mandates(raw: bytes) -> list[MandateGiven]:
    """Return the mandates of a CSV file with the columns MANDATE_COLUMNS.

    Raises:
        Invalid: it is no such file, has too many lines, or one of them cannot be a mandate.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(raw.decode()), strict=True))
    except (UnicodeDecodeError, csv.Error):
        raise Invalid(field="file", reason="CSV in UTF-8") from None
    if len(rows) > MOST_MANDATES:
        raise Invalid(field="file", reason=f"at most {MOST_MANDATES} lines")
    found = []
    for number, row in enumerate(rows, 2):
        try:
            found.append(
                msgspec.convert({name: (row.get(name) or "").strip() for name in MANDATE_COLUMNS}, MandateGiven)
            )
        except msgspec.ValidationError as error:
            raise Invalid(field=f"line {number}", reason=str(error)) from None
    return found


async def give_mandate(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, rail: str, given: MandateGiven, *, actor: str
) -> UUID:
    """Keep a mandate, sealed under its member's key; return its number.

    Raises:
        UnknownMember: there is no such member, or not in the product.
        AmountNotWhole, AmountNotPositive: the most of a debit is no amount.
        MandateHeld: the membership, or the reference, has a mandate.
        Invalid: it was signed on a day to come.
    """
    member = await _member(session, keys, given.member, given.product)
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    if given.signed_on > today:
        raise Invalid(field="signed_on", reason="a day that has come")
    most = Amount.parse(given.most, tenant.asset)
    if most.units <= 0:
        raise Invalid(field="most", reason="more than zero")
    mandate_id = claim_digest(tenant.tenant_id, f"mandate:{rail}", given.reference)
    await queries.hold_debits(session)
    if await queries.is_held(session, mandate_id, member.member_id, given.product):
        raise MandateHeld
    sealed = await identity.seal_for(
        session, keys, member.member_id, "mandates", mandate_id, msgspec.json.encode(given)
    )
    if sealed is None:
        raise UnknownMember
    facts = {"mandate": str(mandate_id), "product": given.product, "rail": rail, "most": str(most.units)}
    event_id = await _record(session, tenant, EventKind.MANDATE_GIVEN, facts, actor=actor, member_id=member.member_id)
    added = await queries.add_mandate(
        session,
        mandate_id,
        member_id=member.member_id,
        product=given.product,
        rail=rail,
        most=most.units,
        signed_on=given.signed_on,
        event_id=event_id,
        document=sealed,
    )
    assert added, mandate_id
    return mandate_id


async def end_mandate(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, member: str, product: str, *, actor: str
) -> None:
    """End a membership's mandate: nothing more is asked for under it; what is asked for already may still come.

    Raises:
        UnknownMember, UnknownMandate: there is none.
    """
    found = await _member(session, keys, member, product)
    await queries.hold_debits(session)
    mandate_id = await queries.held_mandate(session, found.member_id, product)
    if mandate_id is None:
        raise UnknownMandate
    facts = {"mandate": str(mandate_id), "product": product}
    event_id = await _record(session, tenant, EventKind.MANDATE_ENDED, facts, actor=actor, member_id=found.member_id)
    await queries.end_mandate(session, mandate_id, event_id)


async def _member(session: AsyncSession, keys: FileKeyStore, number: str, product: str) -> MemberRef:
    known = await identity.members_by_number(session, keys, [number])
    found = (await enrolment.in_their_products(session, known, product=product)).get(number)
    if found is None:
        raise UnknownMember
    return found


# -- files, made by two people


async def prepare_debits(
    session: AsyncSession, tenant: Tenant, *, rail: str, product: str, collect_on: date, actor: str
) -> list[DebitFileRow]:
    """Prepare what members owe on a day, of what they undertook, to be collected under their mandates; return the files.

    One file of first debits and one of following ones, as banks want them apart, each of at most MOST_IN_A_FILE. Who has a debit
    under way, owes nothing, or died is left out; nobody is asked for more than their mandate's most.

    Raises:
        UnknownProduct: there is no such product.
        Invalid: the day is past.
    """
    tenant.product(product)
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    if collect_on < today:
        raise Invalid(field="collect_on", reason="a day that is not past")
    await queries.hold_debits(session)
    wanted: dict[str, list[Collected]] = {"FRST": [], "RCUR": []}
    last: UUID | None = None
    while page := await queries.drawable(session, rail, product, on=today, after=last, most=MOST_IN_A_FILE):
        last = page[-1].mandate_id
        for row, amount in await _owed(session, tenant, product, page, collect_on):
            to = wanted["RCUR" if row.is_followed else "FRST"]
            if len(to) < MOST_IN_A_FILE:
                to.append(Collected(uuid4(), row.mandate_id, row.member_id, amount))
        if min(map(len, wanted.values())) >= MOST_IN_A_FILE:
            break
    maker = await ledger.actor_id(session, actor)
    made = []
    for sequence, ones in wanted.items():
        if not ones:
            continue
        number = await queries.next_number(session)
        await queries.add_file(
            session,
            ones,
            file_id=number,
            message_ref=f"DD{tenant.tenant_id}-{number}",
            rail=rail,
            product=product,
            sequence=sequence,
            collect_on=collect_on,
            maker=maker,
            digest=digest_of(rail, collect_on, sequence, ones),
        )
        made.append(await find_debits(session, number))
    return made


async def _owed(
    session: AsyncSession, tenant: Tenant, product: str, page: Sequence[MandateRow], on: date
) -> list[tuple[MandateRow, int]]:
    dead = await enrolment.suspended(session, [one.member_id for one in page])
    living = [one for one in page if one.member_id not in dead]
    limits = [
        (MemberRef(one.member_id, product, one.joined_on, one.group_code, MemberStatus.ACTIVE), one.most)
        for one in living
    ]
    amounts = await contributions.collectable(session, tenant, limits, on)
    return [(one, amount) for one, amount in zip(living, amounts, strict=True) if amount]


async def find_debits(session: AsyncSession, file_id: int) -> DebitFileRow:
    """Return a file of debits; UnknownDebits if there is none of that number."""
    found = await queries.find_file(session, file_id=file_id)
    if found is None:
        raise UnknownDebits
    return found


async def list_debits(session: AsyncSession, *, most: int = 100) -> list[DebitFileRow]:
    """Return files of debits, the newest first."""
    return await queries.list_files(session, most=most)


async def approve_debits(session: AsyncSession, file_id: int, *, digest: str, actor: str) -> DebitFileRow:
    """Let a prepared file be written and leave, as a second person who saw the debits that `digest` is of.

    Raises:
        UnknownDebits, DebitsDecided, DebitsChanged, SamePerson: there is none; it is decided; it is another; it is the maker's.
    """
    return await _decide(session, file_id, digest, actor, state="approved")


async def reject_debits(session: AsyncSession, file_id: int, *, digest: str, actor: str) -> DebitFileRow:
    """Drop a prepared file, as a second person: nothing of it is asked for, and it may be prepared anew. Raises as `approve_debits`."""
    return await _decide(session, file_id, digest, actor, state="rejected")


async def _decide(session: AsyncSession, file_id: int, digest: str, actor: str, *, state: str) -> DebitFileRow:
    await queries.hold_debits(session)
    file = await find_debits(session, file_id)
    if file.state != "prepared":
        raise DebitsDecided(state=file.state)
    checked_by_other(maker=file.maker, checker=actor)
    rows = await queries.debits_of(session, file_id)
    now = digest_of(file.rail, file.collect_on, file.sequence, [one.collected for one in rows])
    if not digest == file.digest == now or (state == "approved" and any(one.is_ended for one in rows)):
        raise DebitsChanged
    await queries.decide_file(session, file_id, state=state, checker=await ledger.actor_id(session, actor))
    return await find_debits(session, file_id)


async def write_debits(
    db: Database, keys: FileKeyStore, tenant: Tenant, creditor: Creditor, files: PaymentFiles
) -> int:
    """Write every approved file of a rail, once for ever; return how many.

    A file whose mandate ended, or whose member was erased, since its approval is not written any more, but left to people.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        waiting = await queries.files_in(session, creditor.rail, "approved")
    return sum([await retry_transaction(_writing(db, keys, tenant, creditor, files, one)) for one in waiting])


def _writing(
    db: Database, keys: FileKeyStore, tenant: Tenant, creditor: Creditor, files: PaymentFiles, file_id: int
) -> Callable[[], Awaitable[bool]]:
    async def once() -> bool:
        async with db.unit_of_work(tenant.tenant_id) as session:
            await queries.hold_debits(session)
            file = await find_debits(session, file_id)
            rows = await queries.debits_of(session, file_id)
            opened = [await _opened(session, keys, one) for one in rows]
            if file.state != "approved" or not all(opened) or any(one.is_ended for one in rows):
                return False
            asked = DebitFile(
                message_ref=file.message_ref,
                created_at=await ledger.scheme_now(session),
                sender=creditor.sender,
                payee=creditor.account,
                creditor_ref=creditor.creditor_ref,
                collect_on=file.collect_on,
                sequence=DebitSequence(file.sequence),
                debits=tuple(
                    _debit(tenant, row, given) for row, given in zip(rows, opened, strict=True) if given is not None
                ),
            )
            raw = await asyncio.to_thread(files.write_debits, asked)
            facts = {
                "file": file.message_ref, "rail": file.rail, "sha256": sha256_of(raw), "debits": file.debits,
                "amount": str(file.total), "maker": file.maker, "checker": file.checker,
            }  # fmt: skip
            claim = claim_digest(tenant.tenant_id, "debit-file", file.message_ref)
            event_id = await _record(session, tenant, EventKind.DEBITS_FILED, facts, actor=_ACTOR, claim=claim)
            scope = f"provider:{creditor.channel}"
            await queries.write_file(
                session,
                file_id,
                [(one.debit_id, claim_digest(tenant.tenant_id, scope, one.debit_id.hex)) for one in rows],
                sha256=sha256_of(raw),
                document=seal(keys, tenant.tenant_id, "debit_files", file.message_ref, raw),
                event_id=event_id,
            )
            return True

    return once


async def _opened(session: AsyncSession, keys: FileKeyStore, row: DebitRow) -> MandateGiven | None:
    raw = await identity.open_for(session, keys, row.member_id, "mandates", row.mandate_id, row.mandate)
    return None if raw is None else msgspec.json.decode(raw, type=MandateGiven)


def _debit(tenant: Tenant, row: DebitRow, given: MandateGiven) -> Debit:
    return Debit(
        reference=row.debit_id.hex,
        payer=BankAccount(holder=given.holder, number=given.number, bank=given.bank),
        amount=Amount(row.amount, tenant.asset),
        mandate_ref=given.reference,
        mandate_signed_on=given.signed_on,
        note=tenant.pack.manifest.short_name,
    )


async def debit_file(session: AsyncSession, keys: FileKeyStore, tenant: Tenant, file_id: int) -> NamedFile:
    """Return a file that was written, byte for byte.

    Raises:
        UnknownDebits: there is none of that number, or it is not written.
    """
    file = await find_debits(session, file_id)
    if file.document is None:
        raise UnknownDebits
    raw = unseal(keys, tenant.tenant_id, "debit_files", file.message_ref, file.document)
    return NamedFile(f"{file.message_ref}.xml", raw)


async def unsent_debits(session: AsyncSession, rail: str, since: date) -> list[int]:
    """Return the numbers of a rail's files, written on or after a day, that are not staged to leave."""
    return await queries.unsent_files(session, rail, since)


# -- what the bank says, and what its statements show


async def is_of_debits(session: AsyncSession, message_ref: str) -> bool:
    """Return whether a report is of a file of debits of ours."""
    return await queries.find_file(session, message_ref=message_ref) is not None


async def read_report(
    db: Database, keys: FileKeyStore, tenant: Tenant, files: PaymentFiles, raw: bytes, name: str, *, actor: str
) -> DebitReportRead:
    """Take in what a bank says of a file of debits, once: what it refused is asked for again by the next file.

    Its word for a success moves nothing: a receipt is made by the statement alone, also of what it refused.

    Raises:
        UnreadableDebitReport: it cannot be read whole, is of no file of ours, or says that our file held another count or total.
    """
    try:
        report = await asyncio.to_thread(files.read_report, raw, name)
    except FileRefused as refused:
        reason = f"{refused.sentence} {refused.detail}".strip(" .")
        raise UnreadableDebitReport(file=name, row=refused.row or "–", field=refused.field, reason=reason) from refused

    async def once() -> DebitReportRead:
        async with db.unit_of_work(tenant.tenant_id) as session:
            await queries.hold_debits(session)
            file = await queries.find_file(session, message_ref=report.message_ref)
            if file is None or file.state != "filed":
                reason = f"{report.message_ref} is no file of ours"
                raise UnreadableDebitReport(file=name, row="–", field="OrgnlMsgId", reason=reason)
            _check_envelope(report, file, tenant)
            sealed = seal(keys, tenant.tenant_id, "debit_reports", report.sha256, raw)
            if not await queries.add_report(session, file.file_id, sha256=report.sha256, name=name, document=sealed):
                return DebitReportRead(report.message_ref, is_known=True)
            return await _apply(session, tenant, report, file, actor)

    return await retry_transaction(once)


def _check_envelope(report: StatusReport, file: DebitFileRow, tenant: Tenant) -> None:
    total = Amount(file.total, tenant.asset).decimal()
    for field, said, held in (("OrgnlNbOfTxs", report.count, file.debits), ("OrgnlCtrlSum", report.total, total)):
        if said is not None and said != held:
            reason = f"it says {said}, and the file it is of holds {held}"
            raise UnreadableDebitReport(file=report.name, row="–", field=field, reason=reason)


async def _apply(
    session: AsyncSession, tenant: Tenant, report: StatusReport, file: DebitFileRow, actor: str
) -> DebitReportRead:
    taken = refused = 0
    noted: list[tuple[UUID, str, str, int]] = []
    for row in await queries.debits_of(session, file.file_id):
        answer = report.answer_to(row.debit_id.hex)
        if answer is None or row.state not in _UNDER_WAY:
            continue
        if answer.state is RequestState.FAILED:
            refused += 1
            reason = answer.reason or "other"
            noted.append((row.debit_id, "refused", reason, 0))
            facts = {"amount": str(row.amount), "channel": file.rail, "collection": str(row.debit_id), "reason": reason}
            await _record(session, tenant, EventKind.COLLECTION_FAILED, facts, actor=actor)
        else:
            taken += 1
            noted.append((row.debit_id, "pending", "", 0))
    if noted:
        await queries.note(session, noted)
    return DebitReportRead(report.message_ref, taken, refused)


async def settle_debits(db: Database, keys: FileKeyStore, tenant: Tenant, creditor: Creditor) -> DebitsSeen:
    """Receive what statements show of debits, and propose to take back what they show gone again. May be stopped and run again.

    A line is a debit's if it bears our reference, in the account that is credited, and is of exactly its amount; every other
    line stays for people. A payment is received by the one path of all payments, claimed by our reference; one that goes back is
    taken back once a person has confirmed that (`contributions.confirm_reversal`), whatever it became.
    """
    refused = returned = 0
    async with db.unit_of_work(tenant.tenant_id) as session:
        known = await queries.received(session, creditor.rail)
        if known:
            await queries.note(session, [(debit_id, "paid", "", receipt) for debit_id, receipt in known])
    paid = len(known)
    while came := await _seen(db, tenant, creditor, is_return=False):
        done = await _receive(db, keys, tenant, creditor, came)
        paid += done
        refused += len(came) - done
    if paid:
        await reconciliation.match_statements(db, tenant, actor=_ACTOR)
    while gone := await _seen(db, tenant, creditor, is_return=True):
        for one in gone:
            await retry_transaction(_taking_back(db, tenant, one))
            returned += 1
    return DebitsSeen(paid, returned, refused)


async def _seen(db: Database, tenant: Tenant, creditor: Creditor, *, is_return: bool) -> list[SeenDebit]:
    async with db.unit_of_work(tenant.tenant_id) as session:
        return await queries.seen(session, creditor.channel, creditor.rail, is_return=is_return, most=CHUNK)


async def _receive(
    db: Database, keys: FileKeyStore, tenant: Tenant, creditor: Creditor, came: Sequence[SeenDebit]
) -> int:
    """Receive payments; return how many the books took. What they do not take is noted, and its line stays for people."""
    async with db.unit_of_work(tenant.tenant_id) as session:
        ids = [one.member_id for one in came]
        people = await identity.read_people(session, keys, ids, actor=_ACTOR, reason="direct debit")
    by_lane: dict[int, list[tuple[SeenDebit, Payment]]] = {}
    for one in came:
        known = people.get(one.member_id)
        payment = Payment(
            member=known.member_number if known else "",
            amount=str(Amount(one.amount, tenant.asset).decimal()),
            currency=tenant.asset.symbol,
            channel=creditor.channel,
            reference=one.debit_id.hex,
            sent_by=_ACTOR,
            is_held=True,
            product=one.product,
            collection=str(one.debit_id),
        )
        by_lane.setdefault(lane_of(payment.member), []).append((one, payment))
    received = 0
    for lane, items in by_lane.items():
        answers = await contributions.receive(db, keys, tenant, [payment for _, payment in items], lane=lane)
        noted: list[tuple[UUID, str, str, int]] = []
        for (one, _), answer in zip(items, answers, strict=True):
            if isinstance(answer, EngineError):
                noted.append((one.debit_id, "refused", f"receipt:{answer.code}", 0))
            else:
                received += 1
                noted.append((one.debit_id, "paid", "", int(answer.receipt)))
        async with db.unit_of_work(tenant.tenant_id) as session:
            await queries.note(session, noted)
    return received


def _taking_back(db: Database, tenant: Tenant, one: SeenDebit) -> Callable[[], Awaitable[bool]]:
    async def once() -> bool:
        async with db.unit_of_work(tenant.tenant_id) as session:
            await queries.hold_debits(session)
            with suppress(ReversalDecided, AlreadyResolved):  # people were quicker, or must look: it paid a loan back
                await contributions.propose_reversal(session, tenant, one.receipt, reason="charged-back", actor=_ACTOR)
            await queries.note(session, [(one.debit_id, "returned", "charged-back", one.receipt)])
            return True

    return once


async def _record(
    session: AsyncSession,
    tenant: Tenant,
    kind: EventKind,
    facts: Mapping[str, object],
    *,
    actor: str,
    member_id: int = 0,
    claim: UUID | None = None,
) -> int:
    entry = Entry(
        member_id=member_id or house_member(tenant.tenant_id),
        kind=kind,
        business_date=business_date(await ledger.scheme_now(session), tenant.time_zone),
        actor=await ledger.actor_id(session, actor),
        pack=tenant.pack_id,
        body=facts,
        claims=() if claim is None else (claim,),
    )
    (posted,) = await ledger.post(session, [entry])
    assert posted.outcome is Outcome.POSTED, posted
    return posted.event_id
