"""Finds members by what they say is the number of their identity document."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date

from sqlalchemy.ext.asyncio import AsyncSession

from engine.enrolment.rules import DocumentRule, person_number
from engine.enrolment.service.deaths import dates_of
from engine.identity import service as identity
from engine.identity.rules import CheckedNumber
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant


async def members_by_document(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, text: str, today: date
) -> set[int]:
    """Return who is known by a number, whatever document of whichever product it is of; nobody where it is no such number."""
    return set((await members_by_documents(session, keys, tenant, [text], today)).get(text, frozenset()))


async def members_by_documents(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, texts: Iterable[str], today: date
) -> Mapping[str, frozenset[int]]:
    """Return who is known by each number, as `members_by_document`; texts that no document's number can be are left out.

    Any of the equivalent formats of a number finds its person. One statement, by blind indexes, however many texts.
    """
    rules = [
        (product.code, one.rule)
        for product in tenant.pack.manifest.products
        for one in tenant.pack.books[product.code].all_in_force(DocumentRule, dates_of(tenant, product.code, today))
    ]
    wanted: dict[str, list[tuple[str, CheckedNumber]]] = defaultdict(list)
    for text in set(texts):
        for product, rule in rules:
            number = person_number(text, rule)
            if number is not None:
                wanted[text].append((product, number))
    found = await identity.members_by_person(session, keys, [one for many in wanted.values() for one in many])
    return {text: frozenset(found[one] for one in many if one in found) for text, many in wanted.items()}
