"""Receiving contributions. One path: the API's group commit, the batch route and the file all call `receive`."""

import asyncio
import csv
import hashlib
import io
from base64 import b64encode
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from uuid import UUID

import msgspec
import psycopg
from sqlalchemy.ext.asyncio import AsyncSession

from engine.contributions import queries
from engine.contributions.errors import AlreadyResolved, KeyReused, NoTerms, UnknownSuspense, UnreadableFile
from engine.contributions.rules import (
    COLUMNS,
    OWN,
    AmountRule,
    BadRow,
    ContributionTerms,
    FileRow,
    Payment,
    Receipt,
    ReceiptPart,
    Scheme,
    SplitRule,
    Suspended,
    check_payment,
    lane_of,
    split_contribution,
)
from engine.enrolment import service as enrolment
from engine.identity import service as identity
from engine.identity.rules import MemberRef, compact_reference
from engine.kernel.amounts import Amount
from engine.kernel.clock import business_date
from engine.kernel.errors import EngineError, NotFound
from engine.kernel.ids import claim_digest, house_member, is_member_number
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.queries import StoredEvent
from engine.ledger.rules import Account, Entry, EventKind, Outcome, Posted, Transfer
from engine.runtime.database import Database, retry_transaction
from engine.runtime.group_commit import GroupCommit, GroupSizes
from engine.runtime.jobs import promise
from engine.runtime.key_file import FileKeyStore
from engine.runtime.sealing import seal, unseal
from engine.runtime.secrets import keyed_digest
from engine.tenancy import service as tenancy
from engine.tenancy.rules.decided import Determination
from engine.tenancy.service import Tenant

CHUNK = 1000
Answer = Receipt | EngineError


async def receive(
    db: Database, keys: FileKeyStore, tenant: Tenant, payments: Sequence[Payment], *, lane: int
) -> list[Answer]:
    """Credit each payment to its member, or hold it in suspense; once for each provider's transaction and each key.

    All payments must be of the one posting lane. They are written in one transaction; one that is refused changes
    nothing and fails no other.

    Returns:
        For each payment, in order, its receipt (the first one's, for a retry) or why it was refused.
    """
    careful = False

    async def once() -> list[Answer]:
        nonlocal careful
        try:
            async with ledger.in_lane(db, tenant.tenant_id, lane) as (session, now):
                batch = _Batch(session, keys, tenant, payments, now)
                return await batch.post(careful=careful)
        except psycopg.errors.SerializationFailure:
            careful = True
            raise

    return await retry_transaction(once)


@dataclass(slots=True)
class _Decided:
    """A payment on its way to the books: where it goes and what it claims."""

    index: int
    amount: Amount
    digest: int
    claims: tuple[UUID, ...]
    business_date: date
    member: MemberRef | None
    parts: tuple[tuple[str, Amount], ...] = ()
    terms: ContributionTerms | None = None
    reason: str | None = None


class _Batch:
    """One transaction's payments, from what came to what is answered."""

    def __init__(
        self,
        session: AsyncSession,
        keys: FileKeyStore,
        tenant: Tenant,
        payments: Sequence[Payment],
        now: datetime,
    ) -> None:
        self._session, self._keys, self._tenant = session, keys, tenant
        self._payments, self._now = payments, now
        self._asset = tenant.asset
        self._answers: list[Answer | None] = [None] * len(payments)
        self._refused: list[tuple[int, MemberRef, EngineError]] = []

    async def post(self, *, careful: bool) -> list[Answer]:
        """Decide, write, answer."""
        decided, copies = self._fold(await self._decide())
        entries = await self._entries(decided)
        fates = await ledger.post(self._session, entries, careful=careful, recorded_at=self._now)
        await self._keep_suspense(decided, fates)
        await self._answer_retries(decided, fates)
        for item, fate in zip(decided, fates, strict=True):
            if fate.outcome is Outcome.POSTED:
                self._answers[item.index] = self._receipt(item, fate.event_id)
        for copy, original in copies:
            self._answers[copy] = self._answers[original]
        assert all(answer is not None for answer in self._answers)
        return [answer for answer in self._answers if answer is not None]

    async def _decide(self) -> list[_Decided]:
        today = business_date(self._now, self._tenant.time_zone)
        scheme = Scheme(self._asset, frozenset(channel.code for channel in self._tenant.pack.channels))
        members = await identity.members_by_number(
            self._session,
            self._keys,
            [payment.member for payment in self._payments if _is_number(payment.member)],
        )
        if len(self._tenant.pack.products) > 1:
            members = await _in_their_products(self._session, members)
        decided = []
        for index, payment in enumerate(self._payments):
            member = members.get(payment.member)
            try:
                decided.append(self._decide_one(index, payment, member, scheme, today))
            except EngineError as refusal:
                self._answers[index] = refusal
                if member is not None:
                    self._refused.append((index, member, refusal))
        await self._keep_refusals(today)
        return decided

    async def _keep_refusals(self, today: date) -> None:
        """Put what was refused to members on record: each can be explained, though nothing of it was posted."""
        found = [
            Determination(
                kind="contribution",
                product=member.product,
                decided_on=today,
                rules=_rules_for(self._tenant, member, self._payments[index].paid_on or today),
                member_id=member.member_id,
                code=refusal.code,
                inputs={"amount": self._payments[index].amount, "channel": self._payments[index].channel},
            )
            for index, member, refusal in self._refused
        ]
        numbers = await tenancy.record(self._session, self._tenant, found)
        for (_, _, refusal), number in zip(self._refused, numbers, strict=True):
            refusal.details = {**refusal.details, "decision": str(number)}

    def _decide_one(
        self, index: int, payment: Payment, member: MemberRef | None, scheme: Scheme, today: date
    ) -> _Decided:
        amount, day = check_payment(payment, scheme, today=today)
        item = _Decided(index, amount, payment.digest(), payment.claims(self._tenant.tenant_id), day, member)
        if member is None:
            item.reason = "unknown-member" if _is_number(payment.member) else "bad-check-digit"
        elif member.status != "active":
            item.member, item.reason = None, "member-not-active"
        else:
            item.terms = terms_for(self._tenant, member.product, day, member.joined_on)
            item.parts = split_contribution(amount, item.terms)
        return item

    def _fold(self, decided: list[_Decided]) -> tuple[list[_Decided], list[tuple[int, int]]]:
        """Take copies of one payment out of the batch: same claim and same digest, same answer; other digest, refused."""
        first: dict[UUID, _Decided] = {}
        kept, copies = [], []
        for item in decided:
            original = next((first[claim] for claim in item.claims if claim in first), None)
            if original is None:
                kept.append(item)
                first.update(dict.fromkeys(item.claims, item))
            elif original.digest == item.digest:
                copies.append((item.index, original.index))
            else:
                self._answers[item.index] = KeyReused(field="Idempotency-Key")
        return kept, copies

    async def _entries(self, decided: Sequence[_Decided]) -> list[Entry]:
        payments, tenant_id = self._payments, self._tenant.tenant_id
        codes = await self._codes(decided)
        actors = {
            name: await ledger.actor_id(self._session, name)
            for name in {payments[item.index].sent_by for item in decided}
        }
        decisions = {
            key: await ledger.decision_id(self._session, tenancy.trace(*key))
            for key in sorted(
                {(item.member.product, item.terms.rules) for item in decided if item.terms and item.member}
            )
        }
        digest_key = self._keys.tenant(tenant_id).digest_key
        entries = []
        for item in decided:
            payment = payments[item.index]
            collections = codes[payment.channel, ""]
            reference = keyed_digest(digest_key, f"provider:{payment.channel}", payment.reference)
            body = {
                "amount": str(item.amount.units),
                "channel": payment.channel,
                "ref": b64encode(reference).decode().rstrip("="),
            }
            if item.member is None:
                assert item.reason is not None
                owner, kind, body["reason"] = house_member(tenant_id), EventKind.CONTRIBUTION_SUSPENDED, item.reason
                transfers = [Transfer(item.amount.units, collections, codes[payment.channel, "suspense"])]
            else:
                owner, kind = item.member.member_id, EventKind.CONTRIBUTION_RECEIVED
                product = item.member.product
                transfers = [Transfer(part.units, collections, codes[product, pot]) for pot, part in item.parts]
            entries.append(
                Entry(
                    member_id=owner,
                    kind=kind,
                    business_date=item.business_date,
                    actor=actors[payment.sent_by],
                    pack=self._tenant.pack_id,
                    decision=decisions[item.member.product, item.terms.rules] if item.terms and item.member else 0,
                    body=body,
                    body_digest=item.digest,
                    claims=item.claims,
                    transfers=transfers,
                )
            )
        return entries

    async def _codes(self, decided: Sequence[_Decided]) -> dict[tuple[str, str], int]:
        """Return the codes of collections by (channel, ""), of suspense by (channel, "suspense"), of cash by (product, pot)."""
        asset = self._asset.symbol
        accounts: dict[tuple[str, str], Account] = {}
        for item in decided:
            channel = self._payments[item.index].channel
            if (channel, "") not in accounts:
                accounts[channel, ""] = Account("collections", asset, party=channel)
            if item.member is None:
                accounts[channel, "suspense"] = Account("suspense", asset, party=channel)
                continue
            product = item.member.product
            for pot, _ in item.parts:
                if (product, pot) not in accounts:
                    accounts[product, pot] = Account("cash", asset, product=product, pot=pot, origin=OWN)
        found = await ledger.account_codes(self._session, accounts.values())
        return {key: found[account] for key, account in accounts.items()}

    async def _keep_suspense(self, decided: Sequence[_Decided], fates: Sequence[Posted]) -> None:
        rows = []
        for item, fate in zip(decided, fates, strict=True):
            if item.reason and fate.outcome is Outcome.POSTED:
                payment = self._payments[item.index]
                document = seal(
                    self._keys, self._tenant.tenant_id, "suspense", fate.event_id, msgspec.json.encode(payment)
                )
                rows.append(
                    (fate.event_id, item.amount.units, item.business_date, item.reason, payment.channel, document)
                )
        if rows:
            await queries.add_suspense(self._session, rows)

    async def _answer_retries(self, decided: Sequence[_Decided], fates: Sequence[Posted]) -> None:
        house = house_member(self._tenant.tenant_id)
        retried = {
            item.index: (item, fate, (item.member.member_id if item.member else house, fate.event_id))
            for item, fate in zip(decided, fates, strict=True)
            if fate.outcome is Outcome.CLAIMED
        }
        if not retried:
            return
        events = await ledger.stored_events(self._session, [key for _, _, key in retried.values()])
        transfers = await ledger.transfers_of(
            self._session, [(event.member_id, event.event_id) for event in events.values()]
        )
        chart = await ledger.accounts_by_code(self._session)
        for index, (item, fate, (_, event_id)) in retried.items():
            event = events[event_id]
            # Two events: the key is one payment's and the provider's reference another's.
            if event.body_digest != item.digest or fate.code > 1:
                self._answers[index] = KeyReused(field="Idempotency-Key")
            else:
                self._answers[index] = self._first_receipt(self._payments[index], event, transfers[event_id], chart)

    def _first_receipt(
        self,
        payment: Payment,
        event: StoredEvent,
        transfers: Sequence[tuple[int, int, int]],
        chart: Mapping[int, Account],
    ) -> Receipt:
        suspended = event.kind == EventKind.CONTRIBUTION_SUSPENDED
        parts = (
            ()
            if suspended
            else tuple((chart[credit].pot, Amount(amount, self._asset)) for amount, _, credit in transfers)
        )
        return _receipt(
            event.event_id,
            payment,
            Amount(int(str(event.body["amount"])), self._asset),
            event.business_date,
            parts,
            str(event.body["reason"]) if suspended else None,
        )

    def _receipt(self, item: _Decided, event_id: int) -> Receipt:
        return _receipt(event_id, self._payments[item.index], item.amount, item.business_date, item.parts, item.reason)


def _receipt(
    event_id: int,
    payment: Payment,
    amount: Amount,
    day: date,
    parts: Sequence[tuple[str, Amount]],
    reason: str | None,
) -> Receipt:
    return Receipt(
        receipt=str(event_id),
        state="suspended" if reason else "received",
        member=payment.member,
        amount=_fixed(amount),
        currency=amount.asset.symbol,
        business_date=day,
        parts=tuple(ReceiptPart(pot, OWN, _fixed(part)) for pot, part in parts),
        reason=reason,
    )


def _is_number(text: str) -> bool:
    return is_member_number(compact_reference(text))


def _fixed(amount: Amount) -> str:
    return f"{amount.decimal():.{amount.asset.scale}f}"


class Intake:
    """Gathers the payments of concurrent requests into shared commits, a posting lane at a time."""

    def __init__(self, db: Database, keys: FileKeyStore, *, most: int = CHUNK) -> None:
        """Write at most `most` payments in one transaction."""
        self._db, self._keys = db, keys
        self._group: GroupCommit[tuple[Tenant, Payment], Answer] = GroupCommit(self._write, most=most)

    @property
    def sizes(self) -> GroupSizes:
        """Return how many payments shared a commit."""
        return self._group.sizes

    async def receive(self, tenant: Tenant, payment: Payment) -> Answer:
        """Return what became of one payment, once it is committed."""
        return await self._group.submit((tenant.tenant_id, lane_of(payment.member)), (tenant, payment))

    async def receive_many(self, tenant: Tenant, payments: Sequence[Payment]) -> list[Answer]:
        """Return what became of each payment, in order."""
        return list(await asyncio.gather(*(self.receive(tenant, payment) for payment in payments)))

    async def drained(self) -> None:
        """Wait until every payment taken is answered; for an orderly stop."""
        await self._group.drained()

    async def _write(self, lane: tuple[int, int], items: Sequence[tuple[Tenant, Payment]]) -> Sequence[Answer]:
        tenant = items[-1][0]
        return await receive(self._db, self._keys, tenant, [payment for _, payment in items], lane=lane[1])


_terms: dict[tuple[str, str, date, date], ContributionTerms] = {}
_MOST_TERMS = 10_000


def terms_for(tenant: Tenant, product: str, on: date, joined_on: date) -> ContributionTerms:
    """Return the terms of a member who joined on `joined_on`, for a payment of `on`.

    Raises:
        NoTerms: no rule is in force then.
    """
    key = (tenant.pack.sha256, product, on, joined_on)
    if key not in _terms:
        dates = Dates(on=on, joined_on=joined_on, tranche_on=on)
        amount = tenant.rule(AmountRule, product=product, dates=dates)
        split = tenant.rule(SplitRule, product=product, dates=dates)
        if amount is None or split is None:
            raise NoTerms(day=on.isoformat())
        if len(_terms) >= _MOST_TERMS:
            _terms.clear()
        _terms[key] = ContributionTerms.of(amount.rule, split.rule, tenant.asset, (amount.ref, split.ref))
    return _terms[key]


async def _in_their_products(session: AsyncSession, members: Mapping[str, MemberRef]) -> dict[str, MemberRef]:
    """Return the members as they stand in the product that money sent to them goes into: the first they joined."""
    held = await enrolment.memberships_of(session, [one.member_id for one in members.values()])
    return {
        number: replace(one, product=first.product, joined_on=first.joined_on, group_code=first.group_code)
        for number, one in members.items()
        for first in held.get(one.member_id, ())[:1]
    }


def _rules_for(tenant: Tenant, member: MemberRef, on: date) -> tuple[str, ...]:
    """Return the rules by which a member's payment of `on` is decided, as far as there are any."""
    try:
        return terms_for(tenant, member.product, on, member.joined_on).rules
    except NoTerms:
        return ()


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
        UnreadableFile: not UTF-8, or the header lacks a column or has one too many; nothing is posted.
    """
    good, bad = read_rows(raw, name=name, sent_by=actor)
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


def read_rows(raw: bytes, *, name: str, sent_by: str) -> tuple[list[FileRow], list[BadRow]]:
    """Return the rows that can be read and those that cannot.

    Raises:
        UnreadableFile: not UTF-8, no header, or a header with other columns than `COLUMNS` (paid_on may be absent).
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFile(file=name, row=1, field="file", reason="it is not UTF-8 text") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    header = reader.fieldnames or []
    missing = [column for column in COLUMNS[:-1] if column not in header]
    unknown = [column for column in header if column not in COLUMNS]
    if missing or unknown:
        wrong = f"it lacks {', '.join(missing)}" if missing else f"it has {', '.join(unknown)}"
        raise UnreadableFile(file=name, row=1, field="header", reason=f"{wrong}; the columns are {', '.join(COLUMNS)}")
    good, bad = [], []
    try:
        for number, row in enumerate(reader, 2):
            try:
                good.append(FileRow(number, _payment_of(row, sent_by)))
            except ValueError as error:
                bad.append(BadRow(number, *error.args))
    except csv.Error as error:
        raise UnreadableFile(file=name, row=reader.line_num, field="file", reason=str(error)) from error
    return good, bad


def _payment_of(row: Mapping[str | None, str | None], sent_by: str) -> Payment:
    if None in row:
        raise ValueError("row", "it has more fields than the header")
    values = {column: (row.get(column) or "").strip() for column in COLUMNS}
    for column in COLUMNS[:-1]:
        if not values[column]:
            raise ValueError(column, "it is empty")
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
    )


async def list_suspense(session: AsyncSession, tenant: Tenant, *, after: int = 0, most: int = 100) -> list[Suspended]:
    """Return the unresolved payments in suspense after receipt `after`, oldest first, with their age in days."""
    asset = tenant.asset
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    return [
        Suspended(
            receipt=str(row.event_id),
            reason=row.reason,
            amount=Amount(row.amount, asset).decimal(),
            channel=row.channel,
            received_on=row.received_on,
            age_days=(today - row.received_on).days,
        )
        for row in await queries.list_suspense(session, after=after, most=most)
    ]


async def resolve_suspense(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, receipt: int, *, member: str, actor: str
) -> Receipt:
    """Give a suspended payment to a member, by a new event that names the one it resolves; once.

    Raises:
        UnknownSuspense, AlreadyResolved, NotFound (no such member), and whatever the member's terms refuse.
    """
    row = await queries.find_suspense(session, receipt)
    if row is None:
        raise UnknownSuspense
    if row.resolved:
        raise AlreadyResolved
    found = await identity.members_by_number(session, keys, [member])
    if member not in found:
        raise NotFound
    ref = found[member]
    payment = msgspec.json.decode(unseal(keys, tenant.tenant_id, "suspense", receipt, row.document), type=Payment)
    asset = tenant.asset
    terms = terms_for(tenant, ref.product, row.received_on, ref.joined_on)
    parts = split_contribution(Amount(row.amount, asset), terms)
    cash = {pot: Account("cash", asset.symbol, product=ref.product, pot=pot, origin=OWN) for pot, _ in parts}
    suspense = Account("suspense", asset.symbol, party=row.channel)
    codes = await ledger.account_codes(session, {suspense, *cash.values()})
    now = await ledger.scheme_now(session)
    entry = Entry(
        member_id=ref.member_id,
        kind=EventKind.SUSPENSE_RESOLVED,
        business_date=business_date(now, tenant.time_zone),
        actor=await ledger.actor_id(session, actor),
        pack=tenant.pack_id,
        decision=await ledger.decision_id(session, tenancy.trace(ref.product, terms.rules)),
        body={"amount": str(row.amount), "channel": row.channel, "resolves": str(receipt)},
        claims=(claim_digest(tenant.tenant_id, "resolve", str(receipt)),),
        transfers=tuple(Transfer(part.units, codes[suspense], codes[cash[pot]]) for pot, part in parts),
    )
    (fate,) = await ledger.post(session, [entry])
    if fate.outcome is not Outcome.POSTED:
        raise AlreadyResolved
    await queries.add_resolution(session, receipt, resolved_event=fate.event_id, member_id=ref.member_id)
    # The payment may be matched already: then its cash goes into the open dealing.
    await promise(session, "reconciliation.match_statements", tenant_id=tenant.tenant_id)
    return _receipt(fate.event_id, payment, Amount(row.amount, asset), entry.business_date, parts, None)
