"""Whose payments in suspense may be: looked for by what they say, for a page of them at once. Nothing is posted by this."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.contributions import queries
from engine.contributions.queries import SuspenseRow
from engine.contributions.queries import suspense as owning
from engine.contributions.rules import (
    SIGN_WORDS,
    Likely,
    LikelyOwner,
    Payment,
    Reason,
    Sign,
    Sought,
    likely_owners,
    slips,
)
from engine.contributions.service.marks import marks_of, phone_of
from engine.contributions.service.suspense import goes_only_back, suspended
from engine.contributions.service.undertaken import contributions_payable
from engine.enrolment import service as enrolment
from engine.identity import service as identity
from engine.identity.rules import MemberRef, MemberStatus, compact_reference
from engine.kernel.clock import business_date
from engine.ledger import service as ledger
from engine.runtime.key_file import FileKeyStore
from engine.runtime.sealing import unseal
from engine.tenancy.service import Tenant


@dataclass(slots=True)
class _Item:
    """A payment and what was found of it: the signs that speak for each member."""

    row: SuspenseRow
    payment: Payment
    numbers: Mapping[str, Sign]
    phones: frozenset[str]
    marks: Mapping[UUID, bool]
    signs: dict[int, set[Sign]] = field(default_factory=lambda: defaultdict(set))

    @property
    def texts(self) -> set[str]:
        """Return what of the payment may be the number of an identity document."""
        return {text for text in (self.payment.member, self.payment.paid_from) if text}


async def seek_owners(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, *, after: int = 0, most: int = 100, actor: str
) -> list[Sought]:
    """Return unresolved payments after receipt `after`, the first first, each with whose it may be; at most five members each.

    A few statements by keyed digests, however many payments. Of money that only goes back nobody is looked for.

    Args:
        session: the tenant's.
        keys: of the payments' documents, of blind indexes, and of the members whose numbers are told.
        tenant: the scheme.
        after: the last receipt of the page before.
        most: how many payments.
        actor: who asks: that they read the numbers of these members is noted.

    """
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    rows = await queries.list_suspense(session, after=after, most=most)
    items = [_item(keys, tenant, row) for row in rows if not goes_only_back(row)]
    await _by_numbers(session, keys, items)
    await _by_documents(session, keys, tenant, items)
    await _by_telephones(session, keys, items)
    await _by_marks(session, items)
    members = await _alive(session, items)
    await _by_amounts(session, tenant, items, members)
    likely = {item.row.event_id: likely_owners(item.signs) for item in items}
    told = sorted({one.member_id for owners in likely.values() for one in owners})
    people = await identity.read_people(session, keys, told, actor=actor, reason="suspense")
    numbers = {member_id: known.member_number for member_id, known in people.items()}
    return [Sought(suspended(tenant, row, today), _told(likely.get(row.event_id, ()), numbers)) for row in rows]


def _item(keys: FileKeyStore, tenant: Tenant, row: SuspenseRow) -> _Item:
    raw = unseal(keys, tenant.tenant_id, "suspense", row.event_id, row.document)
    payment = msgspec.json.decode(raw, type=Payment)
    reference, numbering = compact_reference(payment.member), tenant.pack.manifest.member_number
    phones = (phone_of(text, tenant) for text in (payment.member, payment.paid_from) if text)
    return _Item(
        row=row,
        payment=payment,
        numbers={
            payment.member: Sign.THEIR_NUMBER,
            **slips(reference, digits=numbering.digits, prefix=numbering.prefix),
        },
        phones=frozenset(phone for phone in phones if phone is not None),
        marks=marks_of(keys, tenant, payment, is_named=True),
    )


async def _by_numbers(session: AsyncSession, keys: FileKeyStore, items: Sequence[_Item]) -> None:
    wanted = {number for item in items for number in item.numbers}
    found = await identity.members_by_number(session, keys, wanted)
    for item in items:
        for number, sign in item.numbers.items():
            if number in found:
                item.signs[found[number].member_id].add(sign)


async def _by_documents(session: AsyncSession, keys: FileKeyStore, tenant: Tenant, items: Sequence[_Item]) -> None:
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    wanted = {(text, item.row.received_on) for item in items for text in item.texts}
    found = await enrolment.members_by_documents(session, keys, tenant, wanted, today)
    for item in items:
        for text in item.texts:
            for member_id in found.get((text, item.row.received_on), ()):
                item.signs[member_id].add(Sign.THEIR_DOCUMENT)


async def _by_telephones(session: AsyncSession, keys: FileKeyStore, items: Sequence[_Item]) -> None:
    found = await identity.members_by_telephone(session, keys, {phone for item in items for phone in item.phones})
    for item in items:
        for phone in item.phones:
            for member_id in found.get(phone, ()):
                item.signs[member_id].add(Sign.THEIR_TELEPHONE)


async def _by_marks(session: AsyncSession, items: Sequence[_Item]) -> None:
    owners: dict[UUID, list[int]] = defaultdict(list)
    digests = sorted({digest for item in items for digest in item.marks})
    for digest, member_id in await owning.owners_by_marks(session, digests) if digests else ():
        owners[digest].append(member_id)
    for item in items:
        for digest, is_payers in item.marks.items():
            for member_id in owners.get(digest, ()):
                item.signs[member_id].add(Sign.SAME_PAYER if is_payers else Sign.SAME_REFERENCE)


async def _alive(session: AsyncSession, items: Sequence[_Item]) -> dict[int, MemberRef]:
    """Forget who was erased; return the others."""
    found = await identity.members_by_id(session, sorted({member_id for item in items for member_id in item.signs}))
    known = {member_id: ref for member_id, ref in found.items() if ref.status != MemberStatus.ERASED}
    for item in items:
        for member_id in [one for one in item.signs if one not in known]:
            del item.signs[member_id]
    return known


async def _by_amounts(
    session: AsyncSession, tenant: Tenant, items: Sequence[_Item], members: Mapping[int, MemberRef]
) -> None:
    """Add what the amounts say of those who were found otherwise."""
    if not members:
        return
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    asked = sorted({(member_id, item.row.amount) for item in items for member_id in item.signs})
    usual = await owning.paid_before(session, asked)
    held = await enrolment.in_their_products(session, {str(one.member_id): one for one in members.values()})
    owed = await contributions_payable(session, tenant, list(held.values()), today)
    due = {(member_id, amount.units) for (member_id, _), amount in owed.items()}
    for item in items:
        for member_id, signs in item.signs.items():
            if (member_id, item.row.amount) in usual:
                signs.add(Sign.USUAL_AMOUNT)
            if (member_id, item.row.amount) in due:
                signs.add(Sign.AMOUNT_DUE)


def _told(owners: Sequence[Likely], numbers: Mapping[int, str]) -> tuple[LikelyOwner, ...]:
    return tuple(
        LikelyOwner(
            numbers[one.member_id], one.score, tuple(Reason(sign.value, SIGN_WORDS[sign]) for sign in one.signs)
        )
        for one in owners
        if one.member_id in numbers
    )
