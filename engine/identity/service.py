"""Use cases of identity: reserve a person, keep what is personal encrypted, find, read and erase it."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from uuid import UUID

import msgspec
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncSession

from engine.identity import queries
from engine.identity.errors import MoneyOnItsWay, UnknownMember
from engine.identity.queries import SealedMember
from engine.identity.rules import (
    VAULT_VERSION,
    CheckedNumber,
    MemberRef,
    MemberStatus,
    NewMember,
    Purpose,
    VaultDocument,
    compact_reference,
)
from engine.identity.rules.names import sounds
from engine.kernel.ids import new_member_number
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.key_file import FileKeyStore
from engine.runtime.secrets import DataKey, associated_data, blind_index, decrypt, encrypt, new_data_key

LAWS = queries.LAWS
_NUMBER_ATTEMPTS = 8
_LONGEST_REFERENCE = 40
_AT_ONCE = 1000


class NumbersExhausted(RuntimeError):
    """No free member number was found: the pack's numbers are too short for so many members."""


# -- reserving, before a member is written


async def reserve_persons(
    session: AsyncSession, keys: FileKeyStore, persons: Iterable[tuple[int, str, Sequence[CheckedNumber]]]
) -> set[int]:
    """Reserve the persons for their product, each by all their documents; return the members that were free.

    A person who is in the product already, or is being taken in at this moment by a transaction that then commits,
    is not free; neither is the second of two in `persons`. Nothing of who is not free stays reserved.

    Args:
        session: one tenant's transaction.
        keys: where the tenant's blind-index key is.
        persons: (new member_id, product, documents).
    """
    key = keys.tenant(session.info["tenant_id"]).blind_index_key
    purpose = Purpose.NATIONAL_ID.value
    wanted: dict[int, set[object]] = {}
    pairs = []
    for member_id, product, documents in persons:
        wanted[member_id] = set()
        for one in documents:
            digest = _person_digest(key, product, one)
            if digest not in wanted[member_id]:
                wanted[member_id].add(digest)
                pairs.append((digest, member_id))
    if not pairs:
        return set(wanted)
    got: dict[int, set[object]] = {}
    for digest, member_id in await queries.reserve(session, purpose, pairs):
        got.setdefault(member_id, set()).add(digest)
    free = {member_id for member_id, digests in wanted.items() if got.get(member_id, set()) == digests}
    partly = got.keys() - free
    if partly:
        await queries.release(session, sorted(partly))
    return free


async def reserve_numbers(
    session: AsyncSession, keys: FileKeyStore, member_ids: Sequence[int], *, digits: int, prefix: str
) -> dict[int, str]:
    """Reserve a new member number for each member; a number that is taken is drawn again.

    Raises:
        NumbersExhausted: the numbers of that length are nearly all taken.
    """
    key = keys.tenant(session.info["tenant_id"]).blind_index_key
    purpose = Purpose.MEMBER_NUMBER.value
    numbers: dict[int, str] = {}
    for _ in range(_NUMBER_ATTEMPTS):
        missing = [member_id for member_id in member_ids if member_id not in numbers]
        if not missing:
            return numbers
        drawn = {member_id: new_member_number(digits, prefix) for member_id in missing}
        pairs = [(blind_index(key, purpose, number), member_id) for member_id, number in drawn.items()]
        for _digest, member_id in await queries.reserve(session, purpose, pairs):
            numbers[member_id] = drawn[member_id]
    if len(numbers) < len(member_ids):
        raise NumbersExhausted(f"no free member number of {digits} digits with prefix {prefix!r}")
    return numbers


async def reserve_earlier_numbers(
    session: AsyncSession, keys: FileKeyStore, numbers: Mapping[int, str]
) -> dict[int, UUID]:
    """Reserve the number that each member had elsewhere, so that they are found by it too; return the index of those free.

    A number that leads to somebody already, or that stands twice in `numbers`, is not free.
    """
    digests = {member_id: number_index(session, keys, number) for member_id, number in numbers.items()}
    pairs = [(digest, member_id) for member_id, digest in digests.items()]
    return {
        member_id: digest for digest, member_id in await queries.reserve(session, Purpose.MEMBER_NUMBER.value, pairs)
    }


def number_index(session: AsyncSession, keys: FileKeyStore, number: str) -> UUID:
    """Return the index by which a member number is found; blanks and hyphens do not matter."""
    key = keys.tenant(session.info["tenant_id"]).blind_index_key
    return blind_index(key, Purpose.MEMBER_NUMBER.value, compact_reference(number))


async def release(session: AsyncSession, member_ids: Sequence[int]) -> None:
    """Give back what was reserved for members who were not taken in after all."""
    if member_ids:
        await queries.release(session, member_ids)


# -- the vault


async def admit(session: AsyncSession, keys: FileKeyStore, members: Sequence[NewMember]) -> None:
    """Write members, each with what is personal encrypted under a key of their own. One statement, however many."""
    if not members:
        return
    tenant_id = session.info["tenant_id"]
    sealed = await asyncio.to_thread(lambda: [_sealed(keys, tenant_id, one) for one in members])
    await queries.insert_members(session, sealed)


async def read_people(
    session: AsyncSession, keys: FileKeyStore, member_ids: Sequence[int], *, actor: str, reason: str
) -> dict[int, VaultDocument]:
    """Return what the vault keeps of those members; the erased and the unknown are left out.

    The one way to personal data: every call notes who read whose and what for.

    Args:
        session: one tenant's transaction.
        keys: where the keys are wrapped.
        member_ids: whose.
        actor: who reads ("staff:1").
        reason: what for, as a short constant ("statement").

    Raises:
        runtime.secrets.DecryptionFailed: a row was changed behind the engine's back.
    """
    if not member_ids:
        return {}
    tenant_id = session.info["tenant_id"]
    rows = await queries.sealed_documents(session, member_ids)
    if rows:
        await queries.record_reading(session, actor=actor, reason=reason, member_ids=sorted(row[0] for row in rows))
    return await asyncio.to_thread(lambda: {row[0]: _opened(keys, tenant_id, *row) for row in rows})


async def change_language(session: AsyncSession, keys: FileKeyStore, member_id: int, language: str) -> None:
    """Let a member be written to in another language from now on.

    Raises:
        UnknownMember: there is none, or they were erased.
    """
    await change_person(
        session, keys, member_id, lambda known: replace(known, person=replace(known.person, language=language))
    )


async def change_person(
    session: AsyncSession, keys: FileKeyStore, member_id: int, changed_of: Callable[[VaultDocument], VaultDocument]
) -> None:
    """Put what `changed_of` makes of what the vault keeps of a member in its place.

    Raises:
        UnknownMember: there is none, or they were erased.
    """
    tenant_id = session.info["tenant_id"]
    await queries.hold_members(session, [member_id])
    rows = await queries.sealed_documents(session, [member_id])
    if not rows:
        raise UnknownMember
    known = _opened(keys, tenant_id, *rows[0])
    await _replace_document(session, keys, member_id, changed_of(known))


async def erase(session: AsyncSession, member_id: int, *, actor: str, business_date: date, pack: int = 0) -> None:
    """Erase a person for good: their key, documents and indexes, those of records merged into theirs too; the books keep a member_id that leads to nobody.

    What other tables seal of them under keys of their own goes too; payments that they were part of keep their amounts.

    Raises:
        UnknownMember: there is none, or they were erased before.
        MoneyOnItsWay: a payout to them is not at an end, or a payment that they were asked for.
    """
    merged = await queries.merged_into(session, member_id)
    await queries.hold_members(session, [member_id, *merged])
    for one in (member_id, *merged):
        if await queries.is_awaited(session, one):
            raise MoneyOnItsWay
    if not await queries.erase(session, member_id):
        raise UnknownMember
    for one in merged:
        await queries.erase(session, one)
    entries = [
        Entry(
            member_id=one,
            kind=EventKind.MEMBER_ERASED,
            business_date=business_date,
            actor=await ledger.actor_id(session, actor),
            pack=pack,
        )
        for one in (member_id, *merged)
    ]
    await ledger.post(session, entries)


async def merge_people(
    session: AsyncSession,
    keys: FileKeyStore,
    *,
    goes: int,
    stays: int,
    merge_no: int,
    event_id: int,
    into_event: int,
    on: date,
    actor: str,
) -> None:
    """Let two records of one person be found as the one that stays; what is personal of the other is kept under its own key.

    The numbers of the record that goes are earlier numbers of the one that stays; its nominees and guardian are taken over
    where the one that stays names none.

    Args:
        session: the transaction that moves what the record holds.
        keys: where the keys are wrapped.
        goes: the record that is merged.
        stays: into which one.
        merge_no: the merging that two people stand for.
        event_id: by which event it went.
        into_event: by which event it was taken in.
        on: the day.
        actor: on whose behalf.

    Raises:
        UnknownMember: one of them was erased.
    """
    people = await read_people(session, keys, [goes, stays], actor=actor, reason="records-merged")
    if len(people) < len({goes, stays}):
        raise UnknownMember
    old, new = people[goes], people[stays]
    numbers = (*new.earlier_numbers, old.member_number, *old.earlier_numbers)
    whole = replace(
        new,
        earlier_numbers=numbers,
        nominees=new.nominees or old.nominees,
        guardian=new.guardian or old.guardian,
    )
    await _replace_document(session, keys, stays, whole)
    await queries.merge(
        session, goes=goes, stays=stays, merge_no=merge_no, event_id=event_id, into_event=into_event, on=on
    )


async def note_handed_over(session: AsyncSession, member_ids: Sequence[int]) -> None:
    """Note that active members went to another scheme: they can be found and read of, and take no part any more."""
    await queries.hand_over(session, member_ids)


async def is_merged(session: AsyncSession, member_id: int) -> bool:
    """Return whether a record was merged into another one."""
    known = (await members_by_id(session, [member_id])).get(member_id)
    return known is not None and known.status == MemberStatus.MERGED


async def number_merged_into(
    session: AsyncSession, keys: FileKeyStore, number: str, member_id: int, *, actor: str
) -> str:
    """Return the number of a member's record where `number`, which leads to it, is of a record that was merged into it; else ""."""
    if not await queries.came_with(session, number_index(session, keys, number)):
        return ""
    people = await read_people(session, keys, [member_id], actor=actor, reason="records-merged")
    return people[member_id].member_number if member_id in people else ""


async def _replace_document(session: AsyncSession, keys: FileKeyStore, member_id: int, document: VaultDocument) -> None:
    tenant_id = session.info["tenant_id"]
    ((_, wrapped, _, _),) = await queries.sealed_documents(session, [member_id])
    key = keys.unwrap(tenant_id, wrapped, aad=_key_place(tenant_id, member_id))
    sealed = encrypt(key, msgspec.json.encode(document), aad=_place(tenant_id, member_id, VAULT_VERSION))
    await queries.replace_document(session, member_id, VAULT_VERSION, sealed)


async def seal_for(
    session: AsyncSession, keys: FileKeyStore, member_id: int, table: str, row_id: object, plaintext: bytes
) -> bytes | None:
    """Encrypt what is personal of a member under their own key, for one row of one table; None if they were erased."""
    key = await _key_of(session, keys, member_id)
    return None if key is None else encrypt(key, plaintext, aad=_row_place(session, table, row_id))


async def seal_for_many(
    session: AsyncSession, keys: FileKeyStore, table: str, rows: Sequence[tuple[int, UUID, bytes]]
) -> dict[UUID, bytes]:
    """Do as `seal_for` for rows of (member_id, row_id, plaintext), by one statement; those of the erased are left out."""
    tenant_id = session.info["tenant_id"]
    found = await queries.sealed_documents(session, sorted({member_id for member_id, _, _ in rows}))
    wrapped = {member_id: key for member_id, key, _, _ in found}

    def sealed() -> dict[UUID, bytes]:
        return {
            row_id: encrypt(
                keys.unwrap(tenant_id, wrapped[member_id], aad=_key_place(tenant_id, member_id)),
                plaintext,
                aad=_row_place(session, table, row_id),
            )
            for member_id, row_id, plaintext in rows
            if member_id in wrapped
        }

    return await asyncio.to_thread(sealed)


async def open_for(
    session: AsyncSession, keys: FileKeyStore, member_id: int, table: str, row_id: object, sealed: bytes
) -> bytes | None:
    """Return what `seal_for` was given; None if the member was erased.

    Raises:
        runtime.secrets.DecryptionFailed: another row's, or changed since.
    """
    key = await _key_of(session, keys, member_id)
    return None if key is None else decrypt(key, sealed, aad=_row_place(session, table, row_id))


# -- finding


async def members_by_number(session: AsyncSession, keys: FileKeyStore, numbers: Iterable[str]) -> dict[str, MemberRef]:
    """Return the members of those numbers, as the numbers were written; unknown numbers are left out.

    One statement, however many numbers. Blanks and hyphens in a number do not matter.
    """
    key = keys.tenant(session.info["tenant_id"]).blind_index_key
    purpose = Purpose.MEMBER_NUMBER.value
    digests = {
        number: blind_index(key, purpose, compact)
        for number in set(numbers)
        if 0 < len(number) <= _LONGEST_REFERENCE and (compact := compact_reference(number)).isascii()
    }
    if not digests:
        return {}
    found = await queries.members_by_digest(session, list(set(digests.values())))
    return {number: found[digest] for number, digest in digests.items() if digest in found}


async def hold_members(session: AsyncSession, member_ids: Sequence[int]) -> None:
    """Wait until no other transaction holds any of the members, and hold them until this one ends.

    For decisions in which what the member did before counts, whatever way it comes: their receipts of another lane too.
    """
    if member_ids:
        await queries.hold_members(session, member_ids)


async def members_by_person(
    session: AsyncSession, keys: FileKeyStore, wanted: Iterable[tuple[str, CheckedNumber]]
) -> dict[tuple[str, CheckedNumber], int]:
    """Return who is known in a product by a document, of (product, document); one statement, however many."""
    digests = document_indexes(session, keys, wanted)
    found = await members_by_index(session, set(digests.values()))
    return {one: found[digest] for one, digest in digests.items() if digest in found}


def document_indexes(
    session: AsyncSession, keys: FileKeyStore, wanted: Iterable[tuple[str, CheckedNumber]]
) -> dict[tuple[str, CheckedNumber], UUID]:
    """Return the index of each (product, document) by which a person is known."""
    key = keys.tenant(session.info["tenant_id"]).blind_index_key
    return {(product, one): _person_digest(key, product, one) for product, one in wanted}


async def members_by_index(session: AsyncSession, indexes: Iterable[UUID]) -> dict[UUID, int]:
    """Return who is known by each index of a document, whether or not they hold it still; one statement."""
    digests = list(indexes)
    return await queries.members_by_person(session, digests) if digests else {}


async def take_index(session: AsyncSession, member_id: int, digest: UUID) -> bool:
    """Let a member be known by a document's index; return whether they are now, False where somebody else is."""
    await queries.reserve(session, Purpose.NATIONAL_ID.value, [(digest, member_id)])
    return (await queries.members_by_person(session, [digest])).get(digest) == member_id


async def give_up_indexes(session: AsyncSession, digests: Sequence[UUID]) -> None:
    """Let nobody be known by documents of those indexes any more."""
    if digests:
        await queries.give_up(session, digests)


async def index_names(session: AsyncSession, keys: FileKeyStore, *, most: int, actor: str) -> int:
    """Put members who are not yet in the index of names into it, so many at most; return how many there were."""
    member_ids = await queries.unnamed(session, most)
    people = await read_people(session, keys, member_ids, actor=actor, reason="name-index")
    key = keys.tenant(session.info["tenant_id"]).blind_index_key
    tokens = [
        (token, member_id)
        for member_id, one in people.items()
        for token in _name_tokens(key, (one.person.full_name,), one.person.born_on)
    ]
    if people:
        await queries.add_names(session, sorted(people), tokens)
    return len(people)


async def members_sounding(
    session: AsyncSession, keys: FileKeyStore, names: Sequence[str], born_on: date, *, most: int
) -> list[int]:
    """Return members whose names may be one of those and whose birth date may be that, the likeliest first.

    By the index of names alone: who they are is for people to say.
    """
    key = keys.tenant(session.info["tenant_id"]).blind_index_key
    tokens = _name_tokens(key, names, born_on)
    return await queries.members_by_token(session, tokens, most) if tokens else []


async def members_by_telephone(
    session: AsyncSession, keys: FileKeyStore, phones: Iterable[str]
) -> dict[str, tuple[int, ...]]:
    """Return the members who have each telephone number, in E.164; one statement, however many. Nobody's are left out.

    Of a number that more than 20 members share, 20 of them. Members whose telephones `index_telephones` has not come to yet
    are not found.
    """
    digests = {phone: telephone_index(session, keys, phone) for phone in set(phones)}
    found: dict[UUID, list[int]] = {}
    if digests:
        for digest, member_id in await queries.members_by_telephone(session, sorted(set(digests.values()))):
            found.setdefault(digest, []).append(member_id)
    return {phone: tuple(found[digest]) for phone, digest in digests.items() if digest in found}


def telephone_index(session: AsyncSession, keys: FileKeyStore, phone: str) -> UUID:
    """Return the index by which a telephone number, in E.164, is found."""
    return blind_index(keys.tenant(session.info["tenant_id"]).blind_index_key, "msisdn", phone)


async def index_telephones(session: AsyncSession, keys: FileKeyStore) -> int:
    """Index the telephones of up to a thousand members whose documents are new or changed; return how many members."""
    members = await queries.not_dialled(session, most=_AT_ONCE)
    if members:
        # In the order in which whoever erases or changes somebody waits for them.
        await queries.hold_members(session, members)
        await queries.hold_documents(session, members)
        people = await read_people(session, keys, members, actor="system:telephones", reason="telephone-index")
        rows = [
            (telephone_index(session, keys, phone), member_id)
            for member_id, known in people.items()
            for phone in known.person.phones
        ]
        await queries.replace_telephones(session, members, rows)
    return len(members)


async def members_by_id(session: AsyncSession, member_ids: Sequence[int]) -> dict[int, MemberRef]:
    """Return those of the members whom the tenant has."""
    return await queries.members_by_id(session, member_ids) if member_ids else {}


def _person_digest(key: bytes, product: str, number: CheckedNumber) -> UUID:
    return blind_index(key, f"{Purpose.NATIONAL_ID.value}:{product}:{number.document}", number.person_key)


def _name_tokens(key: bytes, names: Sequence[str], born_on: date) -> list[UUID]:
    return [
        blind_index(key, "name", sound) for sound in sorted({one for name in names for one in sounds(name, born_on)})
    ]


def _place(tenant_id: int, member_id: int, version: int) -> bytes:
    return associated_data(tenant_id, "vault", "document", f"{member_id}/{version}")


async def _key_of(session: AsyncSession, keys: FileKeyStore, member_id: int) -> DataKey | None:
    tenant_id = session.info["tenant_id"]
    rows = await queries.sealed_documents(session, [member_id])
    return keys.unwrap(tenant_id, rows[0][1], aad=_key_place(tenant_id, member_id)) if rows else None


def _row_place(session: AsyncSession, table: str, row_id: object) -> bytes:
    return associated_data(session.info["tenant_id"], table, "document", row_id)


def _key_place(tenant_id: int, member_id: int) -> bytes:
    return associated_data(tenant_id, "member_keys", "wrapped_dek", member_id)


def _sealed(keys: FileKeyStore, tenant_id: int, member: NewMember) -> SealedMember:
    data_key = new_data_key()
    return SealedMember(
        member_id=member.member_id,
        enrolled_event=member.enrolled_event,
        product=member.product,
        joined_on=member.joined_on,
        group_code=member.group_code,
        wrapped_dek=keys.wrap(tenant_id, data_key, aad=_key_place(tenant_id, member.member_id)),
        version=VAULT_VERSION,
        document=encrypt(
            data_key,
            msgspec.json.encode(member.document),
            aad=_place(tenant_id, member.member_id, VAULT_VERSION),
        ),
    )


def _opened(
    keys: FileKeyStore, tenant_id: int, member_id: int, wrapped: bytes, version: int, document: bytes
) -> VaultDocument:
    data_key = keys.unwrap(tenant_id, wrapped, aad=_key_place(tenant_id, member_id))
    plaintext = decrypt(data_key, document, aad=_place(tenant_id, member_id, version))
    return msgspec.json.decode(plaintext, type=VaultDocument)
