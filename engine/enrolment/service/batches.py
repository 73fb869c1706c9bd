"""Members verified by files, at an agency without an API: who is not verified is asked about, each answer counts once.

No file is kept. Its questions are verifications, from which it is made again as it was; what the agency states of a member
is sealed under that member's key.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from uuid import UUID, uuid4

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.enrolment.errors import BatchFileRefused, CannotVerify, UnknownBatch
from engine.enrolment.queries import batches as queries
from engine.enrolment.queries import verifications
from engine.enrolment.queries.batches import BatchRow
from engine.enrolment.queries.verifications import VerificationRow
from engine.enrolment.rules import Judged, VerificationState, check_terms
from engine.enrolment.service.deaths import dates_of
from engine.enrolment.service.verifying import (
    AGENCY,
    FINAL,
    VERIFIED,
    Outcome,
    Verifiers,
    judged_outcome,
    record_outcomes,
)
from engine.identity import service as identity
from engine.identity.ports import AssertedPerson, BatchAnswer, BatchVerifier
from engine.identity.rules import MemberRef, VaultDocument
from engine.kernel.clock import business_date
from engine.kernel.files import FileRefused, NamedFile
from engine.ledger import service as ledger
from engine.runtime.database import Database, retry_transaction
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

BATCHES = "identity-files"
"""The table of the secrets file that says how the agency writes its files."""

MOST_QUESTIONS = 50_000
_AT_ONCE = 500
_ACTOR = "system:verifications"


class BatchAnswers(Struct, frozen=True, kw_only=True):
    """What became of a file of answers, row by row: taken now, taken before, and of nobody whom the batch asked about."""

    batch: str
    taken: int
    before: int
    unknown: int
    states: dict[str, int]


async def make_batch(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    verifiers: Verifiers,
    *,
    actor: str,
    most: int = MOST_QUESTIONS,
) -> NamedFile | None:
    """Return a file that asks an agency about members of whom it has said nothing yet; None where there is nobody.

    Whoever is asked about by one file is in no other until that is answered.

    Args:
        session: one tenant's transaction.
        keys: where the tenant's keys are.
        tenant: the scheme.
        verifiers: the authorities that are joined.
        actor: on whose behalf.
        most: questions in one file, at most.

    Raises:
        CannotVerify: the scheme is joined to no agency that takes files, or asks it about no document.
    """
    verifier = _verifier(verifiers)
    batch_no = await queries.hold_batches(session)
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    asked: list[AssertedPerson] = []
    is_asked_about = False
    for product in tenant.pack.manifest.products:
        checks = check_terms(
            tenant.pack.books[product.code], product.code, dates_of(tenant, product.code, today)
        ).checks
        kinds = {one.rule.document for one in checks}
        is_asked_about = is_asked_about or bool(kinds)
        after = -(2**63)
        while kinds and len(asked) < most:
            ids = await queries.unverified(session, product.code, AGENCY, after, min(_AT_ONCE, most - len(asked)))
            asked += await _ask(session, keys, ids, kinds, batch_no, actor)
            if len(ids) < _AT_ONCE:
                break
            after = ids[-1]
    if not is_asked_about:
        raise CannotVerify(field="document", allowed="none")
    if not asked:
        return None
    file = verifier.write(_name(tenant, batch_no), sorted(asked, key=lambda one: one.reference))
    await queries.add_batch(session, batch_no, name=file.name, sha256=file.sha256, made_by=actor, questions=len(asked))
    return file


async def batch_again(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, verifiers: Verifiers, batch_no: int, *, actor: str
) -> NamedFile:
    """Return a file of questions once more: the same bytes, unless somebody of it was erased or changed since.

    Raises:
        CannotVerify, UnknownBatch: see there.
    """
    verifier = _verifier(verifiers)
    questions = await queries.questions_of(session, batch_no)
    if not questions:
        raise UnknownBatch
    asked: list[AssertedPerson] = []
    for start in range(0, len(questions), _AT_ONCE):
        asked += await _asserted(session, keys, questions[start : start + _AT_ONCE], actor)
    return verifier.write(_name(tenant, batch_no), asked)


async def take_answers(
    db: Database, keys: FileKeyStore, tenant: Tenant, verifiers: Verifiers, file: NamedFile
) -> BatchAnswers:
    """Take an agency's file of answers, each row on its own and once; a file that was cut off half way is taken again.

    Raises:
        CannotVerify: the scheme is joined to no agency that takes files.
        BatchFileRefused: nothing of it may be used.
        UnknownBatch: we asked nothing by it.
    """
    verifier = _verifier(verifiers)
    try:
        batch, answers = verifier.read(file)
    except FileRefused as refused:
        raise BatchFileRefused(field=refused.field, reason=refused.reason) from refused
    async with db.unit_of_work(tenant.tenant_id) as session:
        known = {_name(tenant, row.batch_no): row.batch_no for row in await queries.list_batches(session)}
    if batch not in known:
        raise UnknownBatch
    taken, before, unknown = 0, 0, 0
    states: dict[str, int] = {}
    for start in range(0, len(answers), _AT_ONCE):
        chunk = {
            reference: one for one in answers[start : start + _AT_ONCE] if (reference := _reference(one)) is not None
        }

        async def run(chunk: dict[UUID, BatchAnswer] = chunk) -> tuple[int, list[VerificationState]]:
            async with db.unit_of_work(tenant.tenant_id) as session:
                return await _take(session, keys, tenant, known[batch], chunk)

        known_rows, decided = await retry_transaction(run)
        taken += len(decided)
        before += known_rows - len(decided)
        unknown += len(answers[start : start + _AT_ONCE]) - known_rows
        for state in decided:
            states[state.value] = states.get(state.value, 0) + 1
    return BatchAnswers(batch=batch, taken=taken, before=before, unknown=unknown, states=states)


async def list_batches(session: AsyncSession) -> list[BatchRow]:
    """Return the files of questions that were made, the last first."""
    return await queries.list_batches(session)


# -- inside


def _verifier(verifiers: Verifiers) -> BatchVerifier:
    if verifiers.batches is None:
        raise CannotVerify(field="document", allowed="none")
    return verifiers.batches


def _name(tenant: Tenant, batch_no: int) -> str:
    return f"{tenant.code}-{batch_no}"


def _reference(answer: BatchAnswer) -> UUID | None:
    try:
        return UUID(answer.reference)
    except ValueError:
        return None


async def _ask(
    session: AsyncSession, keys: FileKeyStore, ids: Sequence[int], kinds: set[str], batch_no: int, actor: str
) -> list[AssertedPerson]:
    """Write the questions about members' documents of those kinds, and return them as the agency is asked."""
    people = await identity.read_people(session, keys, ids, actor=actor, reason="verification-asked")
    wanted = [
        (uuid4(), member_id, shown.document)
        for member_id, one in people.items()
        for shown in one.person.documents
        if shown.document in kinds
    ]
    written = await queries.open_questions(session, wanted, AGENCY, actor, batch_no)
    return await _asserted(session, keys, [one for one in wanted if one[0] in written], actor)


async def _asserted(
    session: AsyncSession, keys: FileKeyStore, questions: Sequence[tuple[UUID, int, str]], actor: str
) -> list[AssertedPerson]:
    ids = sorted({member_id for _, member_id, _ in questions})
    people = await identity.read_people(session, keys, ids, actor=actor, reason="verification-asked")
    asked = []
    for reference, member_id, kind in questions:
        person = people[member_id].person if member_id in people else None
        number = next((one.number for one in person.documents if one.document == kind), "") if person else ""
        if person is not None and number:
            asked.append(
                AssertedPerson(
                    reference=str(reference),
                    document=kind,
                    number=number,
                    full_name=person.full_name,
                    born_on=person.born_on,
                    sex=person.sex,
                )
            )
    return asked


async def _take(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, batch_no: int, answers: dict[UUID, BatchAnswer]
) -> tuple[int, list[VerificationState]]:
    """Decide by answers that were not taken before; return how many rows the batch asked, and what was decided now."""
    rows = await verifications.lock_batch(session, batch_no, list(answers))
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    fresh = [row for row in rows if row.state is VerificationState.ASKED]
    ids = sorted({row.member_id for row in fresh})
    people = await identity.read_people(session, keys, ids, actor=_ACTOR, reason="verification")
    members = await identity.members_by_id(session, ids)
    stated = [
        (row.member_id, row.reference, msgspec.json.encode(person))
        for row in fresh
        if (person := answers[row.reference].answer.person) is not None
    ]
    sealed = await identity.seal_for_many(session, keys, VERIFIED, stated)
    outcomes = [
        _outcome(tenant, row, answers[row.reference], members, people, sealed.get(row.reference), today)
        for row in fresh
    ]
    if outcomes:
        await record_outcomes(session, keys, tenant, outcomes, actor=_ACTOR)
    return len(rows), [one.judged.state for one in outcomes]


def _outcome(
    tenant: Tenant,
    row: VerificationRow,
    answer: BatchAnswer,
    members: Mapping[int, MemberRef],
    people: Mapping[int, VaultDocument],
    sealed: bytes | None,
    today: date,
) -> Outcome:
    said, known = answer.answer, people.get(row.member_id)
    if said.state in FINAL:
        return Outcome(row, Judged(FINAL[said.state], None), said.code)
    if known is None or sealed is None or said.person is None:
        return Outcome(row, Judged(VerificationState.REFUSED, None, "erased"), said.code)
    number = next((one.number for one in known.person.documents if one.document == row.document_kind), "")
    return judged_outcome(
        tenant, row, members[row.member_id], known.person, number, said.person, sealed, said.code, today
    )
