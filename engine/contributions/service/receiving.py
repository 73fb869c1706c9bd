"""Receiving contributions. One path: the API's group commit, the batch route and the file all call `receive`."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from uuid import UUID

import msgspec
import psycopg
from msgspec.structs import replace as struct_replace
from sqlalchemy.ext.asyncio import AsyncSession

from engine.contributions import queries
from engine.contributions.errors import KeyReused, MemberNotActive, PayerNotTaken
from engine.contributions.queries import ToSuspend
from engine.contributions.queries.suspense import Mark, add_batched, add_marks
from engine.contributions.rules import (
    ABOVE_CAP,
    ABOVE_DUE,
    LOAN_REPAYMENT,
    OWN,
    Payment,
    Receipt,
    Scheme,
    Towards,
    check_payment,
    loan_number,
    split_contribution,
    split_over_pots,
)
from engine.contributions.service.capping import Counting, cap_contributions, capped_products
from engine.contributions.service.converting import convert_payment, paid_as
from engine.contributions.service.declared import decide_declared, declared_by, declared_products
from engine.contributions.service.eligibility import LEVEL_TEST, Asked, refusal_of, unmet_of
from engine.contributions.service.incoming import Incoming, receipt_of
from engine.contributions.service.marks import marks_of
from engine.contributions.service.passing import (
    Deducting,
    Shared,
    deduct_from,
    deducting_products,
    passed_account,
    share_payment,
)
from engine.contributions.service.references import Referred, members_referred
from engine.contributions.service.terms import (
    collection_rule,
    counted_collection,
    figures_now,
    origin_for,
    payer_rules,
    rules_for,
    terms_for,
    tests_for,
)
from engine.contributions.service.undertaken import Paying, charted_products, decide_instalments, undertook_by
from engine.identity import service as identity
from engine.identity.errors import UnknownMember
from engine.identity.rules import MemberRef
from engine.kernel.amounts import Amount
from engine.kernel.clock import business_date
from engine.kernel.errors import EngineError
from engine.kernel.ids import house_member
from engine.kernel.series import Figures
from engine.ledger import service as ledger
from engine.ledger.queries import StoredEvent
from engine.ledger.rules import Account, Entry, EventKind, Outcome, Posted, Transfer
from engine.runtime.database import Database, retry_transaction
from engine.runtime.key_file import FileKeyStore
from engine.runtime.sealing import seal
from engine.runtime.secrets import keyed_digest
from engine.tenancy import service as tenancy
from engine.tenancy.rules.decided import Determination
from engine.tenancy.service import Tenant

CHUNK = 1000
RECEIPTS = (EventKind.CONTRIBUTION_RECEIVED, EventKind.CONTRIBUTION_SUSPENDED)
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
        self._refused: list[tuple[int, MemberRef, EngineError, tuple[str, ...]]] = []
        self._asked: set[UUID] = set()  # claims of which it is known whether they were taken before
        self._taken: dict[UUID, int] = {}  # by which event

    async def post(self, *, careful: bool) -> list[Answer]:
        """Decide, write, answer."""
        today = business_date(self._now, self._tenant.time_zone)
        figures = await figures_now(self._session, self._tenant)
        decided, copies = self._fold(await self._decide(figures, today))
        await self._hold(decided)
        decided = await self._still_eligible(decided, figures)
        decided = await self._as_undertaken(decided, figures)
        decided = await self._as_declared(decided, figures)
        decided = await self._as_capped(decided, figures, today)
        decided = await self._as_deducted(decided, figures)
        await self._answer_refused_retries()
        await self._keep_refusals(today)
        entries = await self._entries(decided)
        fates = await ledger.post(self._session, entries, careful=careful, recorded_at=self._now)
        await self._keep_suspense(decided, fates)
        await self._keep_over(decided, fates, today)
        await self._keep_marks(decided, fates)
        await self._keep_batches(decided, fates)
        await self._answer_retries(decided, fates)
        for item, fate in zip(decided, fates, strict=True):
            if fate.outcome is Outcome.POSTED:
                self._answers[item.index] = self._receipt(item, fate.event_id)
        for copy, original in copies:
            self._answers[copy] = self._answers[original]
        assert all(answer is not None for answer in self._answers)
        return [answer for answer in self._answers if answer is not None]

    async def _decide(self, figures: Figures, today: date) -> list[Incoming]:
        scheme = Scheme.of(self._tenant.pack)
        referred = await members_referred(self._session, self._keys, self._tenant, self._payments, today)
        decided = []
        for index, (payment, found) in enumerate(zip(self._payments, referred, strict=True)):
            member = found.member
            try:
                decided.append(self._decide_one(index, payment, found, scheme, figures, today))
            except EngineError as refusal:
                self._answers[index] = refusal
                if member is not None:
                    rules = self._refused_by(refusal, figures, member, payment.paid_on or today, payment)
                    self._refused.append((index, member, refusal, rules))
        return decided

    async def _hold(self, decided: Sequence[Incoming]) -> None:
        """Let nobody else decide by what the members paid before: they may be paid in another lane, by another reference.

        Whether what is to be decided so was posted before is asked then, for all that follows.
        """
        counting = capped_products(self._tenant) | charted_products(self._tenant) | deducting_products(self._tenant)
        counting |= declared_products(self._tenant)
        await identity.hold_members(
            self._session,
            [
                item.member.member_id
                for item in decided
                if item.member and (item.member.product in counting or (item.tests and item.tests.counts_money))
            ],
        )
        await self._claimed(
            claim
            for item in decided
            if item.member and (item.member.product in counting or item.tests)
            for claim in item.claims
        )

    async def _claimed(self, claims: Iterable[UUID]) -> None:
        """Learn which claims were taken before, each once."""
        asked = set(claims) - self._asked
        if asked:
            self._taken |= await queries.claimed(self._session, list(asked))
            self._asked |= asked

    def _is_new(self, item: Incoming) -> bool:
        """Return whether a payment was not posted before."""
        assert self._asked.issuperset(item.claims), item
        return self._taken.keys().isdisjoint(item.claims)

    def _turn_away(
        self, item: Incoming, member: MemberRef, refusal: EngineError, rules: tuple[str, ...], reason: str = "not-taken"
    ) -> None:
        """Refuse a payment to a member; where its money is here already, it waits in suspense."""
        self._refused.append((item.index, member, refusal, rules))
        if self._payments[item.index].is_held:
            item.suspend(reason, rules)
        else:
            self._answers[item.index] = refusal

    def _not_answered(self, decided: Sequence[Incoming]) -> list[Incoming]:
        return [item for item in decided if self._answers[item.index] is None]

    async def _still_eligible(self, decided: list[Incoming], figures: Figures) -> list[Incoming]:
        """Ask again what the products ask at each contribution; return what is still to be posted.

        A payment that was posted before is not asked again: its retry gets the first answer.
        """
        asked = [
            (item, item.member, item.tests) for item in decided if item.member and item.tests and self._is_new(item)
        ]
        if not asked:
            return decided
        found = await unmet_of(
            self._session,
            self._tenant,
            figures,
            [Asked(member, item.business_date, item.shared.contribution.units, tests) for item, member, tests in asked],
        )
        for (item, member, _), unmet in zip(asked, found, strict=True):
            if unmet is None:
                continue
            reason = "above-level" if unmet.test == LEVEL_TEST else "not-eligible"
            if unmet.outcome == "refuse":
                self._turn_away(item, member, refusal_of(unmet, member.product), unmet.rules, reason)
            else:
                item.suspend(reason, unmet.rules)
        return self._not_answered(decided)

    async def _as_undertaken(self, decided: list[Incoming], figures: Figures) -> list[Incoming]:
        """Hold the payments of members who undertook instalments against what is due; return what is still to be posted.

        A payment that was posted before pays nothing again: its retry gets the first answer.
        """
        known = await undertook_by(self._session, self._tenant, [item.member for item in decided if item.member])
        bound = [
            (item, item.member)
            for item in decided
            if item.member and (item.member.member_id, item.member.product) in known and self._is_new(item)
        ]
        found = decide_instalments(
            self._tenant,
            figures,
            known,
            [Paying(member, item.business_date, item.shared.contribution) for item, member in bound],
        )
        for (item, member), one in zip(bound, found, strict=True):
            item.undertaken = one
            answer = None if one is None else one.answer
            if one is not None and isinstance(answer, EngineError):
                self._turn_away(item, member, answer, (*(item.terms.rules if item.terms else ()), *one.rules))
            elif isinstance(answer, Towards) and answer.returned.units:
                assert item.terms is not None
                item.over, item.over_for = answer.returned, ABOVE_DUE
                item.parts = split_over_pots(item.counted, item.terms)
        return self._not_answered(decided)

    async def _as_declared(self, decided: list[Incoming], figures: Figures) -> list[Incoming]:
        """Hold what members who declared an income pay against the share of it; return what is still to be posted."""
        bound = [
            (item, member)
            for item, member in self._bound(decided, declared_products(self._tenant))
            if item.origin == OWN
        ]
        if not bound:
            return decided
        known = await declared_by(self._session, self._tenant, [member for _, member in bound])
        paying = [Paying(member, item.business_date, item.counted) for item, member in bound]
        found = decide_declared(self._tenant, figures, known, paying)
        for (item, member), one in zip(bound, found, strict=True):
            item.declared = one
            if one is not None and isinstance(one.answer, EngineError):
                self._turn_away(item, member, one.answer, (*(item.terms.rules if item.terms else ()), *one.rules))
        return self._not_answered(decided)

    async def _as_capped(self, decided: list[Incoming], figures: Figures, today: date) -> list[Incoming]:
        """Hold payments against the most of their scheme year; return what is still to be posted.

        What is over goes into suspense, on its way back to the payer; of instalments, which are not divided, all of it.
        """
        bound = self._bound(decided, capped_products(self._tenant))
        if not bound:
            return decided
        found = await cap_contributions(
            self._session,
            self._tenant,
            figures,
            [Counting(member, item.business_date, today, item.counted) for item, member in bound],
            today=today,
        )
        for (item, member), one in zip(bound, found, strict=True):
            item.cap = one
            if one is None:
                continue
            rules = (*(item.terms.rules if item.terms else ()), *one.rules)
            if isinstance(one.answer, EngineError):
                self._turn_away(item, member, one.answer, rules)
            elif one.answer.refunded.units and (
                item.undertaken is not None or item.declared is not None or not one.answer.counted.units
            ):
                item.suspend(ABOVE_CAP, rules)
            elif one.answer.refunded.units:
                assert item.terms is not None
                item.over = one.answer.refunded
                item.parts = split_over_pots(one.answer.counted, item.terms)
        return self._not_answered(decided)

    def _bound(self, decided: Sequence[Incoming], products: frozenset[str]) -> list[tuple[Incoming, MemberRef]]:
        """Return the payments to members of some products that were not posted before."""
        return [
            (item, item.member)
            for item in decided
            if item.member and item.member.product in products and self._is_new(item)
        ]

    async def _as_deducted(self, decided: list[Incoming], figures: Figures) -> list[Incoming]:
        """Take from contributions what comes before the split; return what is still to be posted."""
        bound = self._bound(decided, deducting_products(self._tenant))
        if not bound:
            return decided
        found = await deduct_from(
            self._session,
            self._tenant,
            figures,
            [Deducting(member, item.business_date, item.counted) for item, member in bound],
        )
        for (item, member), one in zip(bound, found, strict=True):
            if one is None:
                continue
            assert item.terms is not None
            if isinstance(one.answer, EngineError):
                self._turn_away(item, member, one.answer, (*item.terms.rules, *one.rules))
            else:
                item.taken, item.parts = one, split_over_pots(one.answer[1], item.terms) if one.answer[1].units else ()
        return self._not_answered(decided)

    async def _answer_refused_retries(self) -> None:
        """Give a payment that was posted before its first answer, though the rules of today would refuse it.

        Its refusal is of no payment, and goes on no record.
        """
        refused = {index for index, answer in enumerate(self._answers) if isinstance(answer, EngineError)}
        refused |= {index for index, *_ in self._refused}
        claims = {index: self._payments[index].claims(self._tenant.tenant_id) for index in refused}
        if not claims:
            return
        await self._claimed(claim for of_one in claims.values() for claim in of_one)
        house = house_member(self._tenant.tenant_id)
        keys = {
            index: (house, min(by))
            for index, of_one in claims.items()
            if len(by := {self._taken[claim] for claim in of_one if claim in self._taken}) == 1
        }
        if not keys:
            return
        events, transfers, chart = await self._posted_before(list(keys.values()))
        again = set()
        for index, (_, event_id) in keys.items():
            event = events[event_id]
            if event.body_digest == self._payments[index].digest() and event.kind in RECEIPTS:
                again.add(index)
                if isinstance(self._answers[index], EngineError):
                    self._answers[index] = self._first_receipt(
                        self._payments[index], event, transfers.get(event_id, ()), chart
                    )
        self._refused = [one for one in self._refused if one[0] not in again]

    async def _posted_before(
        self, keys: Sequence[tuple[int, int]]
    ) -> tuple[dict[int, StoredEvent], dict[int, list[tuple[int, int, int]]], dict[int, Account]]:
        """Return the events under (member_id, event_id), the transfers of each, and the chart."""
        events = await ledger.stored_events(self._session, keys)
        transfers = await ledger.transfers_of(
            self._session, [(event.member_id, event.event_id) for event in events.values()]
        )
        return events, transfers, await ledger.accounts_by_code(self._session)

    async def _keep_refusals(self, today: date) -> None:
        """Put what was refused to members on record: each can be explained, though nothing of it was posted."""
        found = [
            Determination(
                kind="contribution",
                product=member.product,
                decided_on=today,
                rules=rules,
                member_id=member.member_id,
                code=refusal.code,
                inputs={"amount": self._payments[index].amount, "channel": self._payments[index].channel},
                outcome=refusal.details,
            )
            for index, member, refusal, rules in self._refused
        ]
        numbers = await tenancy.record(self._session, self._tenant, found)
        for (_, _, refusal, _), number, told in zip(self._refused, numbers, found, strict=True):
            tenancy.tell_refusal(refusal, self._tenant, number, told)

    def _decide_one(
        self,
        index: int,
        payment: Payment,
        found: Referred,
        scheme: Scheme,
        figures: Figures,
        today: date,
    ) -> Incoming:
        member = found.member
        foreign = convert_payment(self._tenant, figures, payment, member, today)
        if foreign is None:
            amount, day = check_payment(payment, scheme, today=today)
        else:
            counts = struct_replace(payment, amount=f"{foreign.amount.decimal():f}", currency=self._asset.symbol)
            amount, day = check_payment(counts, scheme, today=today)
        item = Incoming(
            index, amount, payment.digest(), payment.claims(self._tenant.tenant_id), day, member, Shared(amount)
        )
        item.foreign = foreign
        if payment.collected is not None:
            # The agent has the money still, and asks whose it is: nothing of it is held for somebody unknown.
            if member is None:
                raise UnknownMember(field="member")
            if member.status != "active":
                raise MemberNotActive(field="member")
            item.collected = counted_collection(self._tenant, figures, member, payment.collected, amount, day)
            day = item.business_date = item.collected[0].counts_on
        if member is None and loan_number(payment.member) is not None:
            item.reason = LOAN_REPAYMENT
        elif member is None:
            item.reason = found.reason
        elif member.status != "active":
            item.member, item.reason = None, "member-not-active"
        else:
            try:
                item.terms = terms_for(self._tenant, figures, member.product, day, member.joined_on)
                item.origin = origin_for(self._tenant, member.product, day, member.joined_on, payment.payer)
                item.payers = payer_rules(self._tenant, member, day) if payment.payer else ()
                item.shared = share_payment(self._tenant, figures, member, payment.channel, day, amount)
                item.parts = split_contribution(item.shared.contribution, item.terms)
                item.tests = tests_for(self._tenant, member.product, day, member.joined_on)
            except EngineError as refusal:
                if not payment.is_held:
                    raise
                # The money is here, and cannot be turned away any more.
                self._refused.append((index, member, refusal, self._refused_by(refusal, figures, member, day, payment)))
                item.member, item.terms, item.reason = None, None, "not-taken"
                item.shared = Shared(amount)
        return item

    def _refused_by(
        self, refusal: EngineError, figures: Figures, member: MemberRef, on: date, payment: Payment
    ) -> tuple[str, ...]:
        """Return the rules by which a payment of a member is refused before what they did so far is asked."""
        further = payer_rules(self._tenant, member, on) if isinstance(refusal, PayerNotTaken) else ()
        collecting = collection_rule(self._tenant, member, payment.collected) if payment.collected else None
        return (*rules_for(self._tenant, figures, member, on), *further, *([collecting.ref] if collecting else ()))

    def _fold(self, decided: list[Incoming]) -> tuple[list[Incoming], list[tuple[int, int]]]:
        """Take copies of one payment out of the batch: same claim and same digest, same answer; other digest, refused."""
        first: dict[UUID, Incoming] = {}
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

    async def _entries(self, decided: Sequence[Incoming]) -> list[Entry]:
        payments, tenant_id = self._payments, self._tenant.tenant_id
        codes = await self._codes(decided)
        actors = {
            name: await ledger.actor_id(self._session, name)
            for name in {payments[item.index].sent_by for item in decided}
        }
        decisions = {
            key: await ledger.decision_id(self._session, tenancy.trace(*key))
            for key in sorted({item.decided_by for item in decided if item.decided_by})
        }
        digest_key = self._keys.tenant(tenant_id).digest_key
        entries = []
        for item in decided:
            payment = payments[item.index]
            collections = codes[payment.channel, ""]
            reference = keyed_digest(digest_key, f"provider:{payment.channel}", payment.reference)
            body: dict[str, object] = {
                "amount": str(item.amount.units),
                "channel": payment.channel,
                "ref": b64encode(reference).decode().rstrip("="),
            }
            if payment.collection:
                body["collection"] = payment.collection
            if payment.payer:
                body["payer"] = payment.payer
            if payment.collected is not None:
                body["takes"] = payment.collected.takes
                body["collected_on"] = payment.collected.collected_on.isoformat()
                body |= {"quantity": payment.collected.quantity} if payment.collected.quantity else {}
            if item.foreign is not None:
                body |= item.foreign.facts
            if item.member is None:
                assert item.reason is not None
                owner, kind, body["reason"] = house_member(tenant_id), EventKind.CONTRIBUTION_SUSPENDED, item.reason
                transfers = [Transfer(item.amount.units, collections, codes[payment.channel, "suspense"])]
            else:
                owner, kind = item.member.member_id, EventKind.CONTRIBUTION_RECEIVED
                product = item.member.product
                body |= item.facts
                transfers = [
                    Transfer(part.units, collections, codes[product, f"{pot} {item.origin}"])
                    for pot, part in item.parts
                ]
                transfers += [
                    Transfer(part.units, collections, codes[product, f"for {party}"]) for party, part in item.others
                ]
                if item.over is not None:
                    transfers.append(Transfer(item.over.units, collections, codes[payment.channel, "suspense"]))
            entries.append(
                Entry(
                    member_id=owner,
                    kind=kind,
                    business_date=item.business_date,
                    actor=actors[payment.sent_by],
                    pack=self._tenant.pack_id,
                    decision=decisions[item.decided_by] if item.decided_by else 0,
                    body=body,
                    body_digest=item.digest,
                    claims=item.claims,
                    transfers=transfers,
                )
            )
        return entries

    async def _codes(self, decided: Sequence[Incoming]) -> dict[tuple[str, str], int]:
        """Return the codes of collections by (channel, ""), of suspense by (channel, "suspense"), of cash by (product, "pot origin"), of what is passed on by (product, "for party")."""
        asset = self._asset.symbol
        accounts: dict[tuple[str, str], Account] = {}
        for item in decided:
            channel = self._payments[item.index].channel
            if (channel, "") not in accounts:
                accounts[channel, ""] = Account("collections", asset, party=channel)
            if item.member is None or item.over is not None:
                accounts[channel, "suspense"] = Account("suspense", asset, party=channel)
            if item.member is None:
                continue
            product = item.member.product
            for pot, _ in item.parts:
                key = (product, f"{pot} {item.origin}")
                if key not in accounts:
                    accounts[key] = Account("cash", asset, product=product, pot=pot, origin=item.origin)
            for party, _ in item.others:
                accounts[product, f"for {party}"] = passed_account(asset, product, party)
        found = await ledger.account_codes(self._session, accounts.values())
        return {key: found[account] for key, account in accounts.items()}

    async def _keep_suspense(self, decided: Sequence[Incoming], fates: Sequence[Posted]) -> None:
        rows = []
        for item, fate in zip(decided, fates, strict=True):
            if item.reason and fate.outcome is Outcome.POSTED:
                rows.append(self._to_suspend(item, fate.event_id, item.amount, item.reason))
        if rows:
            await queries.add_suspense(self._session, rows)

    async def _keep_over(self, decided: Sequence[Incoming], fates: Sequence[Posted], today: date) -> None:
        """Put what payments bring beyond the most of their year, or all that is due, into suspense, each by an event that names its receipt."""
        posted = [
            (item, fate, item.member, item.over)
            for item, fate in zip(decided, fates, strict=True)
            if item.member and item.over and fate.outcome is Outcome.POSTED
        ]
        if not posted:
            return
        house = house_member(self._tenant.tenant_id)
        entries = [
            Entry(
                member_id=house,
                kind=EventKind.EXCESS_HELD,
                business_date=today,
                actor=await ledger.actor_id(self._session, self._payments[item.index].sent_by),
                pack=self._tenant.pack_id,
                decision=await ledger.decision_id(self._session, tenancy.trace(*item.decided_by))
                if item.decided_by
                else 0,
                body={
                    "receipt": str(fate.event_id),
                    "amount": str(over.units),
                    "channel": self._payments[item.index].channel,
                    "reason": item.over_for,
                },
            )
            for item, fate, _, over in posted
        ]
        held = await ledger.post(self._session, entries, recorded_at=self._now)
        await queries.add_suspense(
            self._session,
            [
                replace(self._to_suspend(item, own.event_id, over, item.over_for), of=(member.member_id, fate.event_id))
                for (item, fate, member, over), own in zip(posted, held, strict=True)
            ],
        )

    async def _keep_marks(self, decided: Sequence[Incoming], fates: Sequence[Posted]) -> None:
        """Keep what later payments of the same payer can be recognised by, where the channel says who pays."""
        house = house_member(self._tenant.tenant_id)
        marks = [
            Mark(digest, fate.event_id, item.member.member_id if item.member else house)
            for item, fate in zip(decided, fates, strict=True)
            if fate.outcome is Outcome.POSTED and (self._payments[item.index].paid_from or item.member is None)
            for digest in marks_of(self._keys, self._tenant, self._payments[item.index], is_named=item.member is None)
        ]
        if marks:
            await add_marks(self._session, marks)

    async def _keep_batches(self, decided: Sequence[Incoming], fates: Sequence[Posted]) -> None:
        """Keep by which reference the bank pays payments together, where their sender says it."""
        house, tenant_id = house_member(self._tenant.tenant_id), self._tenant.tenant_id
        batched = [
            Mark(
                self._payments[item.index].batch_digest(tenant_id),
                fate.event_id,
                item.member.member_id if item.member else house,
            )
            for item, fate in zip(decided, fates, strict=True)
            if fate.outcome is Outcome.POSTED and self._payments[item.index].batch
        ]
        if batched:
            await add_batched(self._session, batched)

    def _to_suspend(self, item: Incoming, event_id: int, amount: Amount, reason: str) -> ToSuspend:
        payment = self._payments[item.index]
        document = seal(self._keys, self._tenant.tenant_id, "suspense", event_id, msgspec.json.encode(payment))
        return ToSuspend(event_id, amount.units, item.business_date, reason, payment.channel, document)

    async def _answer_retries(self, decided: Sequence[Incoming], fates: Sequence[Posted]) -> None:
        house = house_member(self._tenant.tenant_id)
        retried = {
            item.index: (item, fate, (item.member.member_id if item.member else house, fate.event_id))
            for item, fate in zip(decided, fates, strict=True)
            if fate.outcome is Outcome.CLAIMED
        }
        if not retried:
            return
        events, transfers, chart = await self._posted_before([key for _, _, key in retried.values()])
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
            else tuple(
                (chart[credit].pot, Amount(amount, self._asset))
                for amount, _, credit in transfers
                if chart[credit].kind == "cash"
            )
        )
        return receipt_of(
            event.event_id,
            payment,
            Amount(int(str(event.body["amount"])), self._asset),
            event.business_date,
            parts,
            str(event.body["reason"]) if suspended else None,
            origin=next((chart[credit].origin for _, _, credit in transfers if chart[credit].kind == "cash"), OWN),
            over=Amount(int(str(event.body.get("over", "0"))), self._asset),
            others=[
                (chart[credit].party, Amount(amount, self._asset))
                for amount, _, credit in transfers
                if chart[credit].kind == "passed-on"
            ],
            paid=paid_as(event.body),
        )

    def _receipt(self, item: Incoming, event_id: int) -> Receipt:
        return receipt_of(
            event_id,
            self._payments[item.index],
            item.amount,
            item.business_date,
            item.parts,
            item.reason,
            origin=item.origin,
            over=item.over,
            others=item.others if item.member else (),
            paid=paid_as(item.foreign.facts) if item.foreign is not None else None,
        )
