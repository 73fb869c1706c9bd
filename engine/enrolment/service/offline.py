"""Signed files that members obtain from an authority and hand over: read, kept sealed, and compared as any authority's word."""

import asyncio
import hashlib
from uuid import uuid4

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.enrolment.errors import CannotVerify, DocumentMissing, ProofRefused, ProofUsed, UnknownMember
from engine.enrolment.queries import batches as queries
from engine.enrolment.queries import verifications
from engine.enrolment.service.joining import find_member
from engine.enrolment.service.verifying import (
    VERIFIED,
    Verification,
    Verifiers,
    find_verification,
    judged_outcome,
    record_outcomes,
)
from engine.identity import service as identity
from engine.identity.ports import NotProven
from engine.kernel.clock import business_date
from engine.kernel.ids import claim_digest
from engine.ledger import service as ledger
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

OFFLINE = "offline-document"
"""The source of what such a file states, and the table of the secrets file that says whose signatures count."""

_TABLE = "offline_documents"


async def verify_by_file(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    verifiers: Verifiers,
    *,
    number: str,
    document: str,
    raw: bytes,
    secret: str,
    actor: str,
) -> Verification:
    """Verify a member by a signed file of theirs, once a file; the file is kept sealed, what it is opened by is not.

    Args:
        session: one tenant's transaction.
        keys: where the tenant's keys are.
        tenant: the scheme.
        verifiers: the authorities that are joined.
        number: the member's.
        document: the kind of the member's document that the file is about.
        raw: the file as it was handed over.
        secret: what the member sealed it with.
        actor: who hands it over.

    Returns:
        What came of it; while a file of the document waits for a person, that one's.

    Raises:
        UnknownMember: the tenant has none of that number, or they were erased.
        CannotVerify: the scheme takes no such files.
        DocumentMissing: the member has shown no such document.
        ProofRefused: the file proves nothing, is too old, or the secret is wrong; nothing of it is kept.
        ProofUsed: it was handed over for another member.
    """
    if verifiers.offline is None:
        raise CannotVerify(field="document", allowed="none")
    member = await find_member(session, keys, number)
    await identity.hold_members(session, [member.member_id])
    people = await identity.read_people(session, keys, [member.member_id], actor=actor, reason="verification-asked")
    if member.member_id not in people:
        raise UnknownMember
    person = people[member.member_id].person
    shown = {one.document: one.number for one in person.documents}
    if document not in shown:
        raise DocumentMissing(field="document", allowed=", ".join(sorted(shown)))
    now = await ledger.scheme_now(session)
    try:
        stated = await asyncio.to_thread(verifiers.offline.read, raw, secret, now)
    except NotProven as error:
        raise ProofRefused(field="file", reason=error.code) from None
    digest = claim_digest(tenant.tenant_id, OFFLINE, hashlib.sha256(raw).hexdigest())
    made = await queries.find_offline(session, digest)
    if made is not None:
        if made[0] != member.member_id:
            raise ProofUsed(field="file")
        return await find_verification(session, keys, made[1], actor=actor)
    reference = uuid4()
    if not await verifications.open_verification(session, reference, member.member_id, document, OFFLINE, actor):
        row = await verifications.open_question(session, member.member_id, document, OFFLINE)
        return await find_verification(session, keys, row.reference, actor=actor)
    kept = await identity.seal_for(session, keys, member.member_id, _TABLE, digest, raw)
    sealed = await identity.seal_for(session, keys, member.member_id, VERIFIED, reference, msgspec.json.encode(stated))
    assert kept is not None
    assert sealed is not None
    if not await queries.keep_offline(session, digest, member.member_id, reference, kept):
        raise ProofUsed(field="file")  # for somebody else, this moment: the member is held
    row = await verifications.open_question(session, member.member_id, document, OFFLINE)
    today = business_date(now, tenant.time_zone)
    outcome = judged_outcome(tenant, row, member, person, shown[document], stated, sealed, "", today)
    await record_outcomes(session, keys, tenant, [outcome], actor=actor)
    return await find_verification(session, keys, reference, actor=actor)
