"""Whose payments are: the members that their references name, looked up as the rules of the members' products accept them."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from engine.contributions.rules import Payment, ReferenceKind, ReferenceRule
from engine.contributions.service.rules_of import rule_of
from engine.enrolment import service as enrolment
from engine.identity import service as identity
from engine.identity.rules import MemberRef, compact_reference
from engine.kernel.ids import is_member_number
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

_NUMBER: ReferenceKind = "member-number"
_DOCUMENT: ReferenceKind = "national-id"
_WITHOUT_RULE: tuple[ReferenceKind, ...] = (_NUMBER,)
Reference = TypeVar("Reference", bound=Hashable)
_numbers_alone: dict[str, bool] = {}
_documents: dict[str, bool] = {}

_InProducts = Mapping[str, Mapping[Reference, MemberRef]]
"""Members by the product that payments name ("" for the first they joined), then by the reference."""


@dataclass(frozen=True, slots=True)
class Referred:
    """The member whom a payment names, as they stand in the product that it is for; or why it names none."""

    member: MemberRef | None
    reason: str = ""


async def members_referred(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, payments: Sequence[Payment], today: date
) -> list[Referred]:
    """Return whom each payment names, in their order.

    A member is found by the kinds of reference that their product accepts on the day of the payment, in its order: by
    their number, or by that of an identity document in any of its formats, if they held it on that day. A number of several
    people names nobody. A
    payment that answers a request of ours names whom we asked. A few statements by blind indexes, however many payments.

    Args:
        session: one tenant's transaction.
        keys: where the tenant's blind-index key is.
        tenant: the scheme.
        payments: as they came.
        today: the scheme's day.

    """
    numbered = await identity.members_by_number(session, keys, [payment.member for payment in payments])
    people: Mapping[tuple[str, date], frozenset[int]] = {}
    documented: dict[tuple[str, date], MemberRef] = {}
    if _takes_documents(tenant):
        asked = {(payment.member, payment.paid_on or today) for payment in payments if not payment.collection}
        people = await enrolment.members_by_documents(session, keys, tenant, asked, today)
        alone = {one: next(iter(found)) for one, found in people.items() if len(found) == 1}
        known = await identity.members_by_id(session, sorted(set(alone.values())))
        documented = {one: known[member_id] for one, member_id in alone.items() if member_id in known}
    products = {payment.product for payment in payments}
    by_number = await _in_products(session, tenant, numbered, products)
    by_document = await _in_products(session, tenant, documented, products)
    found = []
    for payment in payments:
        text, day = payment.member, payment.paid_on or today
        held = (text, day)
        member = by_number.get(payment.product, numbered).get(text)  # an unknown product is refused elsewhere
        if not (payment.collection or _takes_numbers_alone(tenant)):
            member = _first_accepted(tenant, day, member, by_document.get(payment.product, documented).get(held))
        if member is not None:
            found.append(Referred(member))
        elif payment.product and (text in numbered or held in documented):
            found.append(Referred(None, "not-in-product"))
        elif len(people.get(held, ())) > 1:
            found.append(Referred(None, "several-members"))
        else:
            found.append(Referred(None, _unknown(tenant, text, has_form_of_document=held in people)))
    return found


async def _in_products(
    session: AsyncSession, tenant: Tenant, members: Mapping[Reference, MemberRef], products: set[str]
) -> _InProducts[Reference]:
    known = [one.code for one in tenant.pack.products]
    if len(known) == 1 or not members:
        return dict.fromkeys(products & {"", *known}, members)
    return {one: await enrolment.in_their_products(session, members, product=one) for one in products & {"", *known}}


def _first_accepted(
    tenant: Tenant, day: date, by_number: MemberRef | None, by_document: MemberRef | None
) -> MemberRef | None:
    """Return the member whose product looks such a reference up first; None where none accepts it."""
    found = []
    for kind, member in ((_NUMBER, by_number), (_DOCUMENT, by_document)):
        if member is not None:
            rule = rule_of(tenant, ReferenceRule, product=member.product, on=day, joined_on=member.joined_on)
            order = rule.rule.accepts if rule else _WITHOUT_RULE
            if kind in order:
                found.append((order.index(kind), member))
    return min(found, key=lambda one: one[0])[1] if found else None


def _rules(tenant: Tenant) -> list[ReferenceRule]:
    versions = (version.rule for book in tenant.pack.books.values() for version in book.versions())
    return [rule for rule in versions if isinstance(rule, ReferenceRule)]


def _takes_documents(tenant: Tenant) -> bool:
    """Return whether any rule of the pack ever accepts numbers of identity documents."""
    if tenant.pack.sha256 not in _documents:
        _documents[tenant.pack.sha256] = any(_DOCUMENT in rule.accepts for rule in _rules(tenant))
    return _documents[tenant.pack.sha256]


def _takes_numbers_alone(tenant: Tenant) -> bool:
    """Return whether members are found by their number alone, and always by it."""
    if tenant.pack.sha256 not in _numbers_alone:
        _numbers_alone[tenant.pack.sha256] = not _takes_documents(tenant) and all(
            _NUMBER in rule.accepts for rule in _rules(tenant)
        )
    return _numbers_alone[tenant.pack.sha256]


def _unknown(tenant: Tenant, text: str, *, has_form_of_document: bool) -> str:
    """Return why a reference leads to nobody: it was mistyped, or is nobody's."""
    number = compact_reference(text)
    if is_member_number(number):
        return "unknown-member"
    ours = number.isdigit() and len(number) == tenant.pack.manifest.member_number.digits
    return "unknown-member" if has_form_of_document and not ours else "bad-check-digit"
