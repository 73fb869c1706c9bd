"""Finds members by what they say is the number of their identity document."""

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
    wanted: list[tuple[str, CheckedNumber]] = []
    for product in tenant.pack.manifest.products:
        rules = tenant.pack.books[product.code].all_in_force(DocumentRule, dates_of(tenant, product.code, today))
        numbers = (person_number(text, one.rule) for one in rules)
        wanted.extend((product.code, number) for number in numbers if number is not None)
    return set((await identity.members_by_person(session, keys, wanted)).values())
