"""What people are asked for by telephone and do: calls, complaints, withdrawals, joining, PINs that were locked."""

from collections.abc import Mapping
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.channels.ussd import queries
from engine.channels.ussd.errors import UnknownMenuRequest
from engine.channels.ussd.rules import Asked
from engine.enrolment import service as enrolment
from engine.enrolment.rules import Application
from engine.enrolment.service import Answer, Enrolled, Enrolment
from engine.identity import service as identity
from engine.kernel.clock import business_date
from engine.kernel.ids import house_member
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.key_file import FileKeyStore
from engine.runtime.sealing import seal, unseal
from engine.tenancy.service import Tenant

_TABLE = "ussd_requests"


class MenuRequest(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What somebody asked for by telephone.

    `kind` is join, call, complaint, withdrawal or locked. `member` is the member's number, left out where nobody is
    known; `amount` is in major units as it was typed; `id_number` what somebody who wants to join says is theirs.
    """

    request: UUID
    kind: str
    asked_at: str
    phone: str
    language: str
    member: str = ""
    amount: str = ""
    id_number: str = ""


async def ask_people(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, phone: UUID, member_id: int, kind: str, asked: Asked
) -> None:
    """Keep what somebody asks for, once as long as it is open, and put on record that it was asked."""
    sealed = seal(keys, tenant.tenant_id, _TABLE, _place(phone, member_id, kind), msgspec.json.encode(asked))
    request_id = await queries.add_request(session, phone, member_id, kind, sealed)
    if request_id is not None:
        await record(
            session, tenant, member_id, EventKind.MENU_REQUEST_MADE, {"kind": kind, "request": str(request_id)}
        )


async def open_requests(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, *, actor: str, most: int = 100
) -> list[MenuRequest]:
    """Return what is left to do, the oldest first."""
    rows = await queries.open_requests(session, most=most)
    members = sorted({row.member_id for row in rows if row.member_id})
    people = await identity.read_people(session, keys, members, actor=actor, reason="menu-requests")
    found = []
    for row in rows:
        asked = _asked(keys, tenant, row)
        known = people.get(row.member_id)
        found.append(
            MenuRequest(
                request=row.request_id,
                kind=row.kind,
                asked_at=row.asked_at.isoformat(),
                phone=asked.phone,
                language=asked.language,
                member=known.member_number if known else "",
                amount=asked.amount,
                id_number=asked.id_number,
            )
        )
    return found


async def close_request(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, request_id: UUID, *, member: str, actor: str
) -> None:
    """Note that a request was done, and forget what it said.

    Who asked to join and was enrolled since, as `member`, gets the PIN chosen then, if the telephone is on the member's
    record. A member whose PIN was locked chooses another one by their identity number.

    Raises:
        UnknownMenuRequest: there is none open of that id, or it does not fit that member.
    """
    row = await queries.lock_request(session, request_id)
    if row is None:
        raise UnknownMenuRequest
    asked = _asked(keys, tenant, row)
    if member:
        found = (await identity.members_by_number(session, keys, [member])).get(member)
        if row.kind != "join" or found is None:
            raise UnknownMenuRequest
        people = await identity.read_people(session, keys, [found.member_id], actor=actor, reason="menu-requests")
        if asked.phone not in people[found.member_id].person.phones:
            raise UnknownMenuRequest
        await set_pin(session, tenant, row.phone, found.member_id, asked.pin)
    if row.kind == "locked":
        await queries.remove_pin(session, row.phone, row.member_id)
    await queries.close_request(session, request_id, actor)
    body = {"kind": row.kind, "request": str(request_id)}
    await record(session, tenant, row.member_id, EventKind.MENU_REQUEST_CLOSED, body, actor=actor)


async def enrol_asker(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    request_id: UUID,
    application: Application,
    *,
    actor: str,
) -> Answer:
    """Take somebody in who asked to join by telephone, and close the request: they use the menu by the PIN they chose then.

    Their telephone, language and identity number are the request's where the application has none; the rest is what they
    told whoever takes them in. Returns the member, or what the product's rules refuse: that is on record once the
    transaction is committed, and the request stays open.

    Raises:
        UnknownMenuRequest: there is no request to join open of that id.
        UnknownProduct: the scheme has no such product.
    """
    tenant.product(application.product)
    row = await queries.lock_request(session, request_id)
    if row is None or row.kind != "join":
        raise UnknownMenuRequest
    asked = _asked(keys, tenant, row)
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    filled = msgspec.structs.replace(
        application,
        phone=application.phone or asked.phone,
        language=application.language or asked.language,
        documents=application.documents
        or enrolment.documents_of_number(tenant, application.product, asked.id_number, today),
    )
    (answer,) = await enrolment.enrol_chunk(session, tenant, keys, [Enrolment(str(request_id), filled)], actor=actor)
    if isinstance(answer, Enrolled):
        await close_request(session, keys, tenant, request_id, member=answer.number, actor=actor)
    return answer


async def set_pin(session: AsyncSession, tenant: Tenant, phone: UUID, member_id: int, pin_hash: str) -> bool:
    """Let a member use the menu on a telephone by a PIN, and put that on record; False if they have one there."""
    if not await queries.add_pin(session, phone, member_id, pin_hash):
        return False
    await record(session, tenant, member_id, EventKind.MENU_PIN_SET, {})
    return True


async def record(
    session: AsyncSession,
    tenant: Tenant,
    member_id: int,
    kind: EventKind,
    body: Mapping[str, object],
    *,
    actor: str = "system:ussd",
) -> None:
    """Post an event without money; of the house where no member is known."""
    now = await ledger.scheme_now(session)
    entry = Entry(
        member_id=member_id or house_member(tenant.tenant_id),
        kind=kind,
        business_date=business_date(now, tenant.time_zone),
        actor=await ledger.actor_id(session, actor),
        pack=tenant.pack_id,
        body=body,
    )
    await ledger.post(session, [entry])


def _asked(keys: FileKeyStore, tenant: Tenant, row: queries.RequestRow) -> Asked:
    place = _place(row.phone, row.member_id, row.kind)
    return msgspec.json.decode(unseal(keys, tenant.tenant_id, _TABLE, place, row.document), type=Asked)


def _place(phone: UUID, member_id: int, kind: str) -> str:
    return f"{phone}/{member_id}/{kind}"
