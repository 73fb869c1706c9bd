"""Claims of cover in files: whoever pays is asked once for each, and their answers make it payable, or refuse it."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Literal

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.errors import NoCoverAsked, UnknownCoverFile
from engine.benefits.queries import claiming as claims
from engine.benefits.queries import covering as queries
from engine.benefits.queries.claiming import ClaimRow
from engine.benefits.queries.covering import CoverFile
from engine.benefits.service import claiming, lending
from engine.identity import service as identity
from engine.kernel.amounts import Amount
from engine.kernel.clock import business_date
from engine.kernel.errors import Invalid
from engine.kernel.ids import claim_digest
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind, Outcome, Transfer
from engine.runtime.database import Database, retry_transaction
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

ANSWER_COLUMNS = ("answer", "reason")
MOST_ANSWERS = 10_000
MOST_AT_ONCE = 1000
"""How many claims one transaction answers."""


class CoverAnswer(Struct, frozen=True):
    """What was answered of a claim, or of a line of premiums; a refusal has a reason."""

    claim: int
    answer: Literal["accepted", "refused"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CoverAnswered:
    """What answers did: how many claims became payable, and were refused; which were answered alike before, and which do not fit.

    Of `unfit` claims nothing is known in this file, or they were answered otherwise: somebody has to ask.
    """

    accepted: int
    refused: int
    known: int
    unfit: tuple[int, ...]


async def make_cover_file(session: AsyncSession, tenant: Tenant, product: str, payer: str, *, actor: str) -> CoverFile:
    """Put all approved claims of a product that a payer was not asked for into a new file, each once for ever.

    Raises:
        UnknownProduct, NoCoverAsked: there is no such product, or no claim waits.
    """
    tenant.product(product)
    on = business_date(await ledger.scheme_now(session), tenant.time_zone)
    number = await queries.make_file(session, product, payer, maker=await ledger.actor_id(session, actor), on=on)
    if not number:
        raise NoCoverAsked(payer=payer)
    return await find_cover_file(session, number)


async def find_cover_file(session: AsyncSession, file_no: int) -> CoverFile:
    """Return a file; UnknownCoverFile if there is none."""
    found = await queries.find_file(session, file_no)
    if found is None:
        raise UnknownCoverFile
    return found


async def unsent_cover_files(session: AsyncSession, payer: str, since: date) -> list[int]:
    """Return the numbers of a payer's files made on or after a day that are not staged to leave, the oldest first."""
    return await queries.unsent_files(session, payer, since)


async def list_cover_files(session: AsyncSession, *, most: int = 100) -> list[CoverFile]:
    """Return the newest files, newest first."""
    return await queries.list_files(session, most=most)


async def cover_file(session: AsyncSession, keys: FileKeyStore, tenant: Tenant, file_no: int, *, actor: str) -> bytes:
    """Return a file as whoever pays gets it: a line a claim, and a last line with count and total; the reading is noted.

    Amounts in major units. Of who is erased nothing but the claim is known.

    Raises:
        UnknownCoverFile: there is none of that number.
    """
    made = await find_cover_file(session, file_no)
    claims = await queries.claims_in(session, file_no)
    ids = sorted({one.member_id for one in claims})
    people = await identity.read_people(session, keys, ids, actor=actor, reason="claims of cover")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(["claim", "member", "full_name", "born_on", "peril", "happened_on", "amount"])
    for one in claims:
        known = people.get(one.member_id)
        who = (
            ["", "", ""]
            if known is None
            else [known.member_number, known.person.full_name, known.person.born_on.isoformat()]
        )
        writer.writerow([one.claim_id, *who, one.peril, one.happened_on.isoformat(), _major(tenant, one.amount)])
    writer.writerow(["total", made.claims, made.payer, made.made_on.isoformat(), "", "", _major(tenant, made.total)])
    return out.getvalue().encode()


def read_answers(raw: bytes, *, of: str = "claim") -> list[CoverAnswer]:
    """Return the answers in a file: a first line claim,answer,reason (or what is answered instead of a claim), and a line each.

    Raises:
        Invalid: it is no such file, or has too many lines.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(raw.decode()), strict=True))
    except (UnicodeDecodeError, csv.Error):
        raise Invalid(field="file", reason="CSV in UTF-8") from None
    if len(rows) > MOST_ANSWERS:
        raise Invalid(field="file", reason=f"at most {MOST_ANSWERS} lines")
    found: list[CoverAnswer] = []
    for number, row in enumerate(rows, 2):
        claim, said, reason = ((row.get(name) or "").strip() for name in (of, *ANSWER_COLUMNS))
        if not (claim.isascii() and claim.isdigit() and len(claim) < 19):
            raise Invalid(field=f"line {number}", reason=f"the number of a {of}")
        if said == "accepted" and not reason:
            found.append(CoverAnswer(int(claim), "accepted"))
        elif said == "refused" and 0 < len(reason) <= 200:
            found.append(CoverAnswer(int(claim), "refused", reason))
        else:
            raise Invalid(field=f"line {number}", reason="accepted, or refused with a reason")
    return found


async def take_cover_answers(
    db: Database, tenant: Tenant, file_no: int, answers: Sequence[CoverAnswer], *, actor: str
) -> CoverAnswered:
    """Do what whoever pays answered to a file: what they accept is payable, by Dr guarantee-receivable / Cr member payable.

    A thousand claims in a transaction; the same answers again change nothing, and of two answers to a claim the first counts.

    Raises:
        UnknownCoverFile: there is none of that number.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        await find_cover_file(session, file_no)
    accepted = refused = known = 0
    unfit: list[int] = []
    for first in range(0, len(answers), MOST_AT_ONCE):
        part = answers[first : first + MOST_AT_ONCE]
        done = await retry_transaction(partial(_take, db, tenant, file_no, part, actor))
        accepted, refused, known = accepted + done.accepted, refused + done.refused, known + done.known
        unfit.extend(done.unfit)
    return CoverAnswered(accepted, refused, known, tuple(unfit))


async def _take(
    db: Database, tenant: Tenant, file_no: int, answers: Sequence[CoverAnswer], actor: str
) -> CoverAnswered:
    new: dict[int, CoverAnswer] = {}
    unfit: list[int] = []
    known = 0
    async with db.unit_of_work(tenant.tenant_id) as session:
        asked = await queries.hold_cover_claims(session, [one.claim for one in answers])
        for one in answers:
            said = asked.get(one.claim)
            earlier = new.get(one.claim)
            if said is None or said.file_no != file_no:
                unfit.append(one.claim)
            elif said.state == "sent" and earlier is None:
                new[one.claim] = one
            elif one == earlier or (said.state, said.reason) == (one.answer, one.reason):
                known += 1
            else:
                unfit.append(one.claim)
        rows = await claims.hold_claims(session, list(new))
        events = await _book(session, tenant, rows, new, actor)
        why = {"accepted": "", "refused": "payer"}
        await queries.note_answers(
            session,
            [
                (asked[claim], one.answer, one.reason, why[one.answer], events[claim])
                for claim, one in sorted(new.items())
            ],
        )
    accepted = sum(one.answer == "accepted" for one in new.values())
    return CoverAnswered(accepted, len(new) - accepted, known, tuple(unfit))


async def _book(
    session: AsyncSession, tenant: Tenant, rows: Sequence[ClaimRow], answers: Mapping[int, CoverAnswer], actor: str
) -> dict[int, int]:
    """Post what was answered of claims, all at once; return each claim's event."""
    moves = {
        row.claim_id: await lending.moves_of(session, tenant, row)
        for row in rows
        if answers[row.claim_id].answer == "accepted"
    }
    codes = await ledger.account_codes(
        session, {account for of in moves.values() for _, *pair in of for account in pair}
    )
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    by = await ledger.actor_id(session, actor)
    entries = [
        Entry(
            member_id=row.member_id,
            kind=EventKind.BENEFIT_PAYABLE if row.claim_id in moves else EventKind.BENEFIT_REFUSED,
            business_date=today,
            actor=by,
            pack=tenant.pack_id,
            body=claiming.told_as_answered(row, "" if row.claim_id in moves else "payer"),
            claims=(claim_digest(tenant.tenant_id, "claim-payable", str(row.claim_id)),)
            if row.claim_id in moves
            else (),
            transfers=[
                Transfer(minor, codes[debit], codes[credit]) for minor, debit, credit in moves.get(row.claim_id, [])
            ],
        )
        for row in rows
    ]
    fates = await ledger.post(session, entries)
    assert all(one.outcome is Outcome.POSTED for one in fates), "a claim is answered once, and adds to an account"
    return {row.claim_id: fate.event_id for row, fate in zip(rows, fates, strict=True)}


def _major(tenant: Tenant, minor: int) -> str:
    return f"{Amount(minor, tenant.asset).decimal():.{tenant.asset.scale}f}"
