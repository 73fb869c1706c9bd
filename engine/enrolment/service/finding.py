"""Finds members by what they say is the number of their identity document."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date

from sqlalchemy.ext.asyncio import AsyncSession

from engine.enrolment.queries import identifiers as queries
from engine.enrolment.rules import DocumentGiven, DocumentRule, known_as, person_number
from engine.enrolment.rules.identifiers import holder_on
from engine.enrolment.service.deaths import dates_of
from engine.identity import service as identity
from engine.identity.rules import CheckedNumber
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant


async def members_by_document(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, text: str, today: date
) -> set[int]:
    """Return who holds a number, whatever document of whichever product it is of; nobody where it is no such number."""
    found = await members_by_documents(session, keys, tenant, [(text, today)], today)
    return set(found.get((text, today), frozenset()))


async def members_by_documents(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, wanted: Iterable[tuple[str, date]], today: date
) -> Mapping[tuple[str, date], frozenset[int]]:
    """Return who held each number on a day, of (text, day); texts that no document's number can be are left out.

    Any of the equivalent formats of a number finds its person. Two statements, by blind indexes, however many texts.
    """
    rules = [
        (product.code, one.rule)
        for product in tenant.pack.manifest.products
        for one in tenant.pack.books[product.code].all_in_force(DocumentRule, dates_of(tenant, product.code, today))
    ]
    asked = set(wanted)
    numbers: dict[str, list[tuple[str, CheckedNumber]]] = defaultdict(list)
    for text in {text for text, _ in asked}:
        for product, rule in rules:
            number = person_number(text, rule)
            if number is not None:
                numbers[text].append((product, number))
    indexes = identity.document_indexes(session, keys, [one for many in numbers.values() for one in many])
    known_by = await identity.members_by_index(session, set(indexes.values()))
    periods = await queries.periods(session, sorted(set(indexes.values()))) if indexes else {}
    return {
        (text, day): frozenset(
            holder
            for one in numbers[text]
            if (holder := holder_on(periods.get(indexes[one], ()), known_by.get(indexes[one]), day)) is not None
        )
        for text, day in asked
        if text in numbers
    }


def documents_of_number(tenant: Tenant, product: str, text: str, today: date) -> tuple[DocumentGiven, ...]:
    """Return the document that a number is of, by its form, where it is of one kind alone that a product takes."""
    dates = dates_of(tenant, product, today)
    rules = tenant.pack.books[product].all_in_force(DocumentRule, dates)
    kinds = [one.rule.document for one in rules if known_as(text, one.rule) is not None]
    return (DocumentGiven(kinds[0], text),) if len(kinds) == 1 else ()
