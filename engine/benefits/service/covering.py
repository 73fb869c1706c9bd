"""Claims of cover in files: whoever pays is asked once for each, and their answers make it payable, or refuse it."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Literal

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.errors import NoCoverAsked, UnknownCoverFile
from engine.benefits.queries import covering as queries
from engine.benefits.queries.covering import CoverFile
from engine.benefits.service import claiming
from engine.identity import service as identity
from engine.kernel.amounts import Amount
from engine.kernel.clock import business_date
from engine.kernel.errors import Invalid
from engine.ledger import service as ledger
from engine.runtime.database import Database, retry_transaction
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant

ANSWER_COLUMNS = ("claim", "answer", "reason")
MOST_ANSWERS = 10_000


class CoverAnswer(Struct, frozen=True):
    """What was answered of a claim; a refusal has a reason."""

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


def read_answers(raw: bytes) -> list[CoverAnswer]:
    """Return the answers in a file: a first line claim,answer,reason, and a line a claim.

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
        claim, said, reason = ((row.get(name) or "").strip() for name in ANSWER_COLUMNS)
        if not (claim.isascii() and claim.isdigit() and len(claim) < 19):
            raise Invalid(field=f"line {number}", reason="the number of a claim")
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

    Each claim in a transaction of its own; the same answers again change nothing.

    Raises:
        UnknownCoverFile: there is none of that number.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        await find_cover_file(session, file_no)
    counts = {"accepted": 0, "refused": 0, "known": 0}
    unfit = []
    for one in answers:
        fate = await retry_transaction(partial(_take, db, tenant, file_no, one, actor))
        if fate == "unfit":
            unfit.append(one.claim)
        else:
            counts[fate] += 1
    return CoverAnswered(**counts, unfit=tuple(unfit))


async def _take(
    db: Database, tenant: Tenant, file_no: int, given: CoverAnswer, actor: str
) -> Literal["accepted", "refused", "known", "unfit"]:
    async with db.unit_of_work(tenant.tenant_id) as session:
        asked = await queries.hold_cover_claim(session, given.claim)
        if asked is None or asked.file_no != file_no:
            return "unfit"
        if asked.state != "sent":
            return "known" if (asked.state, asked.reason) == (given.answer, given.reason) else "unfit"
        row = await claiming.hold_claim(session, given.claim, {"asked"})
        reason = "" if given.answer == "accepted" else "payer"
        await claiming.answer_asked(session, tenant, row, reason=reason, actor=actor)
        await queries.answer(session, asked, given.answer, given.reason)
        return given.answer


def _major(tenant: Tenant, minor: int) -> str:
    return f"{Amount(minor, tenant.asset).decimal():.{tenant.asset.scale}f}"
