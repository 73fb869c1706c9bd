"""How registers are heard and asked: of deaths by notices and every night, of the classes of households every month.

What a register signed is proof by itself, so a notice is taken as soon as it was read; both ways end in `receive_deaths`.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.enrolment.queries import deaths
from engine.enrolment.rules import ExternalStatusRule, check_terms
from engine.enrolment.service.deaths import dates_of, numbers_of, receive_deaths
from engine.enrolment.service.statuses import CLASS, StatusWord, record_statuses
from engine.identity import service as identity
from engine.identity.ports import CivilRegistry, DeathNotice, NotProven, RegistryAnswer, SocialClass, SocialRegistry
from engine.kernel.clock import Clock, business_date
from engine.kernel.ids import claim_digest
from engine.kernel.outcomes import Answer, Hint, Reason, RequestState
from engine.kernel.transport import Callback
from engine.ledger import service as ledger
from engine.runtime.database import Database
from engine.runtime.exchanges.engine import Exchanges, Operation, Settled
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

REGISTER = "civil-registry"
"""The name of a scheme's register of deaths as a counterparty."""

SOCIAL = "social-registry"
"""The same of its register of households."""

NOTICES, SWEEPS, CLASSES = "death-notices", "death-sweeps", "class-sweeps"
NUMBERS_AT_ONCE = 500
"""Members whom a register is asked about by one call."""

_ACTOR = "system:registers"
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
        return await _asked(raw, tenant, db, keys, register.deaths_of, lambda said: said.deaths)

    return Operation(
        ask=lambda raw, _url: ask(raw),
        enquire=lambda raw, _last, _url: ask(raw),
        settle=_settling(tenant, keys),
    )


def class_operation(register: SocialRegistry, tenant: Tenant, db: Database, keys: FileKeyStore) -> Operation:
    """Return how exchanges ask a register in which class our members' households are; asking again harms nobody."""

    async def ask(raw: bytes) -> Answer:
        return await _asked(raw, tenant, db, keys, register.classes_of, lambda said: said.classes)

    async def settle(session: AsyncSession, settled: Settled) -> None:
        if settled.answer.state is RequestState.SUCCEEDED:
            classes = msgspec.json.decode(settled.answer.document, type=tuple[SocialClass, ...])
            await receive_classes(session, keys, tenant, classes)

    return Operation(ask=lambda raw, _url: ask(raw), enquire=lambda raw, _last, _url: ask(raw), settle=settle)


async def receive_classes(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, classes: Sequence[SocialClass]
) -> int:
    """Record the classes of those whom a number in them names, as of the register's day; return how many are new.

    A class that no `external-status` rule of the member's product lists is no word of the scheme's, and is left out.
    """
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    wanted = [(one, numbers_of(tenant, one.identifiers, today)) for one in classes]
    found = await identity.members_by_person(session, keys, [number for _, many in wanted for number in many])
    words = {}
    for one, many in wanted:
        for product, number in many:
            value = _listed(tenant, product, one.name, today)
            if value and (product, number) in found:
                member_id = found[product, number]
                words[member_id, one.as_of] = StatusWord(member_id, CLASS, value, one.registry, one.as_of)
    return await record_statuses(session, tenant, list(words.values()), actor=_ACTOR) if words else 0


def _listed(tenant: Tenant, product: str, name: str, today: date) -> str:
    """Return the scheme's word for a register's class; "" where it has none."""
    rules = tenant.pack.books[product].all_in_force(ExternalStatusRule, dates_of(tenant, product, today))
    values = {value: value for one in rules if one.rule.attribute == CLASS for value in one.rule.values}
    return values.get("-".join(name.casefold().split()), "")


async def _asked(
    raw: bytes,
    tenant: Tenant,
    db: Database,
    keys: FileKeyStore,
    search: Callable[[str, Sequence[str]], Awaitable[RegistryAnswer]],
    found: Callable[[RegistryAnswer], Sequence[Struct]],
) -> Answer:
    """Read the numbers of the members that a question is about, search by them, and return what was found."""
    question = msgspec.json.decode(raw, type=_Sweep)
    async with db.unit_of_work(tenant.tenant_id) as session:
        people = await identity.read_people(session, keys, question.member_ids, actor=_ACTOR, reason="register-search")
    numbers = [
        shown.number for one in people.values() for shown in one.person.documents if shown.document == question.document
    ]
    records: Sequence[Struct] = ()
    if numbers:
        try:
            said = await search(question.register_kind, numbers)
        except NotProven as error:
            return Answer(state=RequestState.FAILED, reason=Reason.OTHER, code=error.code)
        if not said.was_searched:
            # Refused for good is what we asked; all else passes.
            final = said.reason is Reason.INVALID_REQUEST
            state = RequestState.FAILED if final else RequestState.CREATED
            return Answer(state=state, reason=said.reason, code=said.code)
        records = found(said)
    document = msgspec.json.encode(records).decode()
    return Answer(state=RequestState.SUCCEEDED, provider_ref=str(question.reference), document=document)


def _settling(tenant: Tenant, keys: FileKeyStore) -> Callable[[AsyncSession, Settled], Awaitable[None]]:
    async def settle(session: AsyncSession, settled: Settled) -> None:
        if settled.answer.state is RequestState.SUCCEEDED:
            notices = msgspec.json.decode(settled.answer.document, type=_Notices)
            await receive_deaths(session, keys, tenant, notices)

    return settle


async def open_sweep(db: Database, exchanges: Exchanges, tenant: Tenant) -> int:
    """Have the registers asked about every member who lives: of deaths once a business day, of classes once a month.

    Returns:
        How many members questions were opened about now.
    """
    count = 0
    for product in tenant.pack.manifest.products:
        async with db.unit_of_work(tenant.tenant_id) as session:
            today = business_date(await ledger.scheme_now(session), tenant.time_zone)
            terms = check_terms(tenant.pack.books[product.code], product.code, dates_of(tenant, product.code, today))
            for check in terms.checks:
                for register, operation, since in ((REGISTER, SWEEPS, f"{today}"), (SOCIAL, CLASSES, f"{today:%Y-%m}")):
                    if check.rule.register_kind and register in exchanges.counterparties:
                        asked = _Asked(
                            register, operation, product.code, check.rule.register_kind, check.rule.document, since
                        )
                        count += await _open_all(session, exchanges, asked)
    return count


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a register is asked about a product's members, once for each `since`."""

    register: str
    operation: str
    product: str
    register_kind: str
    document: str
    since: str


async def _open_all(session: AsyncSession, exchanges: Exchanges, asked: _Asked) -> int:
    """Open questions about a product in the session's transaction, all or none, unless they are open already."""
    tenant_id: int = session.info["tenant_id"]
    count, after, batch = 0, -(2**63), 0
    while True:
        ids = await deaths.living(session, asked.product, after, NUMBERS_AT_ONCE)
        key = f"{asked.since}:{asked.product}:{asked.document}:{batch}"
        reference = claim_digest(tenant_id, asked.operation, key)
        question = _Sweep(
            reference=reference,
            register_kind=asked.register_kind,
            document=asked.document,
            member_ids=tuple(ids),
        )
        if not ids or not await exchanges.open(
            session,
            counterparty=asked.register,
            operation=asked.operation,
            reference=reference,
            question=msgspec.json.encode(question),
        ):
            return count
        count, after, batch = count + len(ids), ids[-1], batch + 1
        if len(ids) < NUMBERS_AT_ONCE:
            return count
