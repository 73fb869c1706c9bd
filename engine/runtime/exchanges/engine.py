"""Opens exchanges and works them: one call a lease, and what it said stored before anything else is done."""

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import msgspec
import psycopg
from sqlalchemy.ext.asyncio import AsyncSession

from engine.kernel.ids import claim_digest
from engine.kernel.outcomes import Answer, ExchangeState, Hint, Reason, RequestState
from engine.kernel.tokens import TokenRefused
from engine.kernel.transport import Callback, Unanswered, Unreachable
from engine.runtime.database import Database, driver
from engine.runtime.exchanges import queries, rules
from engine.runtime.exchanges.pacing import Gate, Pace, wait_after
from engine.runtime.exchanges.queries import Row
from engine.runtime.exchanges.recording import Call, calling
from engine.runtime.exchanges.rules import Purpose, Standing
from engine.runtime.logging import get_logger
from engine.runtime.sealing import seal, unseal
from engine.runtime.secrets import KeyStore

ADDRESS_BYTES = 32
_ONE_REQUEST_A_TRANSACTION = "one_request_a_transaction"  # the constraint's name

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Settled:
    """A request that the outside has decided, for ever."""

    reference: UUID
    counterparty: str
    operation: str
    question: bytes
    answer: Answer


def _none(_callback: Callback) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that a counterparty is asked, and what is done once it has decided.

    `ask` and `enquire` get the question as it was opened with, and an address for the callback; `enquire` the latest
    answer too. `settle` runs in the transaction that stores the decision: both are there or neither, and so once.
    `claims` reads a callback to a standing address into a new request: its reference and question.
    """

    ask: Callable[[bytes, str], Awaitable[Answer]]
    enquire: Callable[[bytes, Answer, str], Awaitable[Answer]]
    settle: Callable[[AsyncSession, Settled], Awaitable[None]]
    read_callback: Callable[[Callback], Hint | None] = _none
    read_enquiry_callback: Callable[[Callback], Answer | None] = _none
    claims: Callable[[Hint], tuple[UUID, bytes] | None] = lambda _hint: None


@dataclass(frozen=True, slots=True)
class Counterparty:
    """Who is asked, under the name that exchanges are kept by, what, and at what pace.

    A counterparty that moves to another platform is another counterparty: what is open stays with the old one.
    `acknowledgement` is the body that it wants its callbacks answered with; `greet` answers a request by which it tests
    our address before it uses it, None where the request is no such test or does not know the word agreed upon.
    """

    name: str
    operations: Mapping[str, Operation]
    pace: Pace = field(default_factory=Pace)
    acknowledgement: bytes = b""
    greet: Callable[[Callback], bytes | None] = _none


class Exchanges:
    """The exchanges of one deployment with all its counterparties."""

    def __init__(
        self,
        db: Database,
        keys: KeyStore,
        counterparties: Mapping[str, Counterparty],
        address: Callable[[int, str, str], str],
    ) -> None:
        """Work with these counterparties.

        Args:
            db: where exchanges are kept.
            keys: what their documents are sealed by.
            counterparties: by name.
            address: (tenant, counterparty, secret) -> the URL at which a callback reaches `callbacks.take`.
        """
        self.db, self.keys, self.counterparties = db, keys, dict(counterparties)
        self._address = address
        self._gates = {name: Gate(one.pace) for name, one in self.counterparties.items()}

    # -- opening

    async def open(
        self, session: AsyncSession, *, counterparty: str, operation: str, reference: UUID, question: bytes
    ) -> bool:
        """Keep a request in the session's transaction, to be asked after it; False if its reference is known already.

        Args:
            session: of the use case: if that rolls back, nothing is asked.
            counterparty: a name of `counterparties`.
            operation: a name of its operations.
            reference: ours, under which it happens once.
            question: what the operation's `ask` understands.
        """
        assert operation in self.counterparties[counterparty].operations, operation
        tenant_id: int = session.info["tenant_id"]
        sealed = self._seal(tenant_id, reference, "question", question)
        exchange_id = await queries.insert_exchange(session, reference, counterparty, operation, sealed)
        return exchange_id is not None

    async def open_many(
        self,
        session: AsyncSession,
        *,
        counterparty: str,
        operation: str,
        asked: Sequence[tuple[UUID, bytes, datetime]],
    ) -> None:
        """Keep many new requests as (reference, question, not to be asked before), as `open` keeps one.

        Raises:
            psycopg.errors.UniqueViolation: something is asked under one of the references already.
        """
        assert operation in self.counterparties[counterparty].operations, operation
        tenant_id: int = session.info["tenant_id"]
        sealed = [(one, self._seal(tenant_id, one, "question", question), due) for one, question, due in asked]
        await queries.insert_exchanges(session, counterparty, operation, sealed)

    async def unknown_of(self, session: AsyncSession, references: Sequence[UUID]) -> set[UUID]:
        """Return those of the references under which nothing was ever asked."""
        return set(references) - await queries.known_references(session, references)

    async def standing_address(self, session: AsyncSession, *, counterparty: str, operation: str) -> str:
        """Make and return an address for callbacks that nobody was asked for, such as payments in."""
        tenant_id: int = session.info["tenant_id"]
        secret = secrets.token_urlsafe(ADDRESS_BYTES)
        digest = address_digest(tenant_id, secret)
        await queries.insert_address(session, digest, None, Purpose.STANDING, counterparty, operation)
        return self._address(tenant_id, counterparty, secret)

    async def own_address(self, session: AsyncSession, *, counterparty: str, operation: str) -> UUID:
        """Return the digest of the one standing address that no request reaches: for what comes by a connection we hold."""
        digest = UUID(
            bytes=hashlib.sha256(f"{session.info['tenant_id']}\x1fown\x1f{counterparty}".encode()).digest()[:16]
        )
        await queries.insert_address(session, digest, None, Purpose.STANDING, counterparty, operation)
        return digest

    # -- working

    async def work(self, tenant_id: int) -> int:
        """Call for every exchange of the tenant that is due, as far as each counterparty's pace allows; return how many."""
        return sum([await self.work_with(name, tenant_id) for name in self.counterparties])

    async def work_with(self, name: str, tenant_id: int) -> int:
        """Call one counterparty for every exchange of the tenant that is due, as far as its pace allows."""
        count = self._gates[name].admit()
        if not count:
            return 0
        async with self.db.unit_of_work(tenant_id) as session:
            rows = await queries.lease_due(session, name, count, self.counterparties[name].pace.lease)
        self._gates[name].began(len(rows))
        outcomes = await asyncio.gather(*(self._call(tenant_id, row) for row in rows), return_exceptions=True)
        for row, outcome in zip(rows, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                _log.error("an exchange failed", exchange_id=row.exchange_id, adapter=name, exc_info=outcome)
        return len(rows)

    async def _call(self, tenant_id: int, row: Row) -> None:
        """Ask or enquire, and store what was said."""
        purpose = rules.next_purpose(row.outcome, is_sent=row.is_sent)
        call = Call(tenant_id, row.exchange_id, row.lease, purpose)
        secret = secrets.token_urlsafe(ADDRESS_BYTES)
        digest = address_digest(tenant_id, secret)
        async with self.db.unit_of_work(tenant_id) as session:
            await queries.insert_address(session, digest, row.exchange_id, purpose, row.counterparty, row.operation)
        said = await self._said(call, row, self._address(tenant_id, row.counterparty, secret))
        self._gates[row.counterparty].ended(is_down=said.reason in {Reason.PROVIDER_DOWN, Reason.AUTH})
        named = said.handle if purpose is Purpose.ENQUIRY and said.state is RequestState.SENT else ""
        await self._store_said(tenant_id, row, purpose, said, digest, named)

    async def _said(self, call: Call, row: Row, url: str) -> Answer:
        """Return what the counterparty said; that it said nothing is an answer too, and never a failure."""
        operation = self._operation(row)
        question = self.question_of(call.tenant_id, row)
        silence = RequestState.CREATED if call.purpose is Purpose.REQUEST else RequestState.SENT
        try:
            async with calling(call):
                if call.purpose is Purpose.REQUEST:
                    return await operation.ask(question, url)
                return await operation.enquire(question, self.standing_of(call.tenant_id, row).answer, url)
        except TokenRefused as error:
            return Answer(state=silence, reason=Reason.AUTH, code=error.code)
        except Unreachable:
            return Answer(state=silence, reason=Reason.PROVIDER_DOWN, code="unreachable")
        except Unanswered:
            return Answer(state=RequestState.SENT, reason=Reason.PROVIDER_DOWN, code="unanswered")
        except Exception:  # noqa: BLE001 - an adapter that stumbles has not learned what became of it
            _log.exception("an adapter failed", exchange_id=row.exchange_id, adapter=row.counterparty)
            return Answer(state=RequestState.SENT, reason=Reason.OTHER, code="adapter failed")

    async def _store_said(
        self, tenant_id: int, leased: Row, purpose: Purpose, said: Answer, address: UUID, named: str
    ) -> None:
        async with self.db.unit_of_work(tenant_id) as session:
            row = await queries.lock_exchange(session, leased.exchange_id)
            if row.lease != leased.lease:
                return  # it was taken over: whoever has it now stores what is true
            if named:
                await queries.name_question(session, address, named)
            known = self.standing_of(tenant_id, row)
            after = rules.after_request if purpose is Purpose.REQUEST else rules.after_enquiry
            await self.store(session, row, after(known, said))

    async def store(self, session: AsyncSession, row: Row, standing: Standing) -> None:
        """Store what is known of a locked exchange; if that is final, let its operation settle it, once.

        What a counterparty proves by a transaction that is another request's already stays unknown, for people.
        """
        if row.outcome.is_final:
            return
        connection = await driver(session)
        try:
            async with connection.transaction():
                await self._store(session, row, standing)
        except psycopg.errors.UniqueViolation as error:
            if error.diag.constraint_name != _ONE_REQUEST_A_TRANSACTION:
                raise
            _log.error("a transaction was claimed twice", exchange_id=row.exchange_id, adapter=row.counterparty)
            await self._store(session, row, rules.twice_claimed(standing))

    async def _store(self, session: AsyncSession, row: Row, standing: Standing) -> None:
        tenant_id: int = session.info["tenant_id"]
        answer = standing.answer
        digest = None
        if standing.outcome is RequestState.SUCCEEDED:
            digest = claim_digest(tenant_id, f"transaction:{row.counterparty}", answer.provider_ref)
        waits = not standing.is_final and answer.code != rules.TWICE_CLAIMED
        await queries.store_standing(
            session,
            row,
            state=standing.state,
            outcome=standing.outcome,
            reason=answer.reason or "",
            code=answer.code,
            answer=self.sealed_answer(tenant_id, row.reference, answer),
            provider_digest=digest,
            is_sent=standing.outcome is not RequestState.CREATED,
            wait_seconds=wait_after(self.counterparties[row.counterparty].pace, row.calls) if waits else None,
        )
        if standing.is_final:
            question = self.question_of(tenant_id, row)
            settled = Settled(row.reference, row.counterparty, row.operation, question, answer)
            await self._operation(row).settle(session, settled)

    # -- documents

    def question_of(self, tenant_id: int, row: Row) -> bytes:
        """Return what was to be asked."""
        return unseal(self.keys, tenant_id, "exchanges", f"{row.reference}/question", row.question)

    def standing_of(self, tenant_id: int, row: Row) -> Standing:
        """Return what is known."""
        if row.answer is None:
            return (
                rules.OPENED
                if not row.is_sent
                else msgspec.structs.replace(rules.OPENED, state=ExchangeState.UNKNOWN, outcome=RequestState.SENT)
            )
        raw = unseal(self.keys, tenant_id, "exchanges", f"{row.reference}/answer", row.answer)
        outcome = row.outcome
        if outcome is RequestState.CREATED and row.is_sent:
            outcome = RequestState.SENT  # it went out, and whoever sent it died before an answer was stored
        return Standing(state=row.state, outcome=outcome, answer=msgspec.json.decode(raw, type=Answer))

    def sealed_answer(self, tenant_id: int, reference: UUID, answer: Answer) -> bytes:
        """Return an answer as it is stored."""
        return self._seal(tenant_id, reference, "answer", msgspec.json.encode(answer))

    def _seal(self, tenant_id: int, reference: UUID, what: str, document: bytes) -> bytes:
        return seal(self.keys, tenant_id, "exchanges", f"{reference}/{what}", document)

    def _operation(self, row: Row) -> Operation:
        return self.counterparties[row.counterparty].operations[row.operation]


def address_digest(tenant_id: int, secret: str) -> UUID:
    """Return what an address is kept by: who reads the table cannot call it."""
    return UUID(bytes=hashlib.sha256(f"{tenant_id}\x1faddress\x1f{secret}".encode()).digest()[:16])
