"""How a civil register is heard and asked: its notices by its standing address, and every night about everybody who lives.

What a register signed is proof by itself, so a notice is taken as soon as it was read; both ways end in `receive_deaths`.
"""

from collections.abc import Awaitable, Callable
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.enrolment.queries import deaths
from engine.enrolment.rules import check_terms
from engine.enrolment.service.deaths import receive_deaths
from engine.identity import service as identity
from engine.identity.ports import CivilRegistry, DeathNotice, NotProven
from engine.kernel.clock import Clock, business_date
from engine.kernel.ids import claim_digest
from engine.kernel.outcomes import Answer, Hint, Reason, RequestState
from engine.kernel.rules import Dates
from engine.kernel.transport import Callback
from engine.ledger import service as ledger
from engine.runtime.database import Database
from engine.runtime.exchanges.engine import Exchanges, Operation, Settled
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

REGISTER = "civil-registry"
"""The name of a scheme's register of deaths as a counterparty."""

NOTICES, SWEEPS = "death-notices", "death-sweeps"
NUMBERS_AT_ONCE = 500
"""Members whom a register is asked about by one call."""

_ACTOR = "system:deaths"
_Notices = tuple[DeathNotice, ...]


class _Sweep(Struct, frozen=True, kw_only=True):
    """What a nightly question keeps: about whom, and by which kind of number; the numbers are read when it is asked."""

    reference: UUID
    register_kind: str
    document: str
    member_ids: tuple[int, ...]


def notice_operation(register: CivilRegistry, tenant: Tenant, keys: FileKeyStore, clock: Clock) -> Operation:
    """Return how exchanges take what a register tells of by itself; the same notice is taken once."""

    def reference_of(raw: bytes) -> UUID:
        return claim_digest(tenant.tenant_id, NOTICES, raw.decode())

    def read(callback: Callback) -> Hint | None:
        notices = register.read_notice(callback, clock.now())
        if not notices:
            return None
        document = msgspec.json.encode(notices).decode()
        return Hint(claimed=Answer(state=RequestState.PENDING, document=document))

    def claims(hint: Hint) -> tuple[UUID, bytes] | None:
        raw = hint.claimed.document.encode()
        return reference_of(raw), raw

    async def ask(raw: bytes) -> Answer:
        return Answer(state=RequestState.SUCCEEDED, provider_ref=str(reference_of(raw)), document=raw.decode())

    return Operation(
        ask=lambda raw, _url: ask(raw),
        enquire=lambda raw, _last, _url: ask(raw),
        settle=_settling(tenant, keys),
        read_callback=read,
        claims=claims,
    )


def sweep_operation(register: CivilRegistry, tenant: Tenant, db: Database, keys: FileKeyStore) -> Operation:
    """Return how exchanges ask a register which of our members have died; asking again harms nobody."""

    async def ask(raw: bytes) -> Answer:
        question = msgspec.json.decode(raw, type=_Sweep)
        async with db.unit_of_work(tenant.tenant_id) as session:
            people = await identity.read_people(session, keys, question.member_ids, actor=_ACTOR, reason="death-sweep")
        numbers = [
            shown.number
            for one in people.values()
            for shown in one.person.documents
            if shown.document == question.document
        ]
        found: _Notices = ()
        if numbers:
            try:
                said = await register.deaths_of(question.register_kind, numbers)
            except NotProven as error:
                return Answer(state=RequestState.FAILED, reason=Reason.OTHER, code=error.code)
            if not said.was_searched and said.reason is Reason.INVALID_REQUEST:
                return Answer(state=RequestState.FAILED, reason=said.reason, code=said.code)
            if not said.was_searched:
                return Answer(state=RequestState.CREATED, reason=said.reason, code=said.code)
            found = said.deaths
        document = msgspec.json.encode(found).decode()
        return Answer(state=RequestState.SUCCEEDED, provider_ref=str(question.reference), document=document)

    return Operation(
        ask=lambda raw, _url: ask(raw),
        enquire=lambda raw, _last, _url: ask(raw),
        settle=_settling(tenant, keys),
    )


def _settling(tenant: Tenant, keys: FileKeyStore) -> Callable[[AsyncSession, Settled], Awaitable[None]]:
    async def settle(session: AsyncSession, settled: Settled) -> None:
        if settled.answer.state is RequestState.SUCCEEDED:
            notices = msgspec.json.decode(settled.answer.document, type=_Notices)
            await receive_deaths(session, keys, tenant, notices)

    return settle


async def open_sweep(db: Database, exchanges: Exchanges, tenant: Tenant) -> int:
    """Have the register asked, once a business day, about every member who lives; return about how many."""
    count = 0
    for product in tenant.pack.manifest.products:
        async with db.unit_of_work(tenant.tenant_id) as session:
            today = business_date(await ledger.scheme_now(session), tenant.time_zone)
            dates = Dates(on=today, joined_on=today, born_on=today, scheme_year_from=product.scheme_year(today)[0])
            for check in check_terms(tenant.pack.books[product.code], product.code, dates).checks:
                if check.rule.register_kind:
                    day = f"{today}:{product.code}:{check.rule.document}"
                    count += await _open_all(
                        session, exchanges, tenant, product.code, check.rule.register_kind, check.rule.document, day
                    )
    return count


async def _open_all(
    session: AsyncSession,
    exchanges: Exchanges,
    tenant: Tenant,
    product: str,
    register_kind: str,
    document: str,
    day: str,
) -> int:
    """Open a day's questions about a product in the session's transaction, all or none, unless they are open already."""
    count, after, batch = 0, -(2**63), 0
    while True:
        ids = await deaths.living(session, product, after, NUMBERS_AT_ONCE)
        reference = claim_digest(tenant.tenant_id, SWEEPS, f"{day}:{batch}")
        question = _Sweep(reference=reference, register_kind=register_kind, document=document, member_ids=tuple(ids))
        if not ids or not await exchanges.open(
            session,
            counterparty=REGISTER,
            operation=SWEEPS,
            reference=reference,
            question=msgspec.json.encode(question),
        ):
            return count
        count, after, batch = count + len(ids), ids[-1], batch + 1
        if len(ids) < NUMBERS_AT_ONCE:
            return count
