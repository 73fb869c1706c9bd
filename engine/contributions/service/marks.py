"""What payments are recognised by later: keyed digests of whom they came from and what they named."""

from uuid import UUID

from engine.contributions.rules import Payment
from engine.identity.errors import UnusablePhone
from engine.identity.rules import check_phone, compact_number
from engine.runtime.key_file import FileKeyStore
from engine.runtime.secrets import blind_index
from engine.tenancy.service import Tenant


def marks_of(keys: FileKeyStore, tenant: Tenant, payment: Payment, *, is_named: bool) -> dict[UUID, bool]:
    """Return the marks of a payment, each with whether it is of the payer; the reference that it names if `is_named`.

    A telephone number is the same with and without its country's code, another number however it is spaced.
    """
    key = keys.tenant(tenant.tenant_id).blind_index_key
    found = {}
    if payment.paid_from:
        found[blind_index(key, "paid-from", _one_spelling(payment.paid_from, tenant))] = True
    if is_named:
        found[blind_index(key, "named", compact_number(payment.member))] = False
    return found


def phone_of(text: str, tenant: Tenant) -> str | None:
    """Return the telephone number, in E.164, that a text is in the tenant's country; None where it is none."""
    try:
        return check_phone(text, tenant.pack.phone_country)
    except UnusablePhone:
        return None


def _one_spelling(text: str, tenant: Tenant) -> str:
    return phone_of(text, tenant) or compact_number(text)
