"""The other side: taking in what was sealed for this scheme, and saying what came of it; and what the scheme that went makes of that."""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.ledger.rules import EventKind
from engine.mergers import queries
from engine.mergers.errors import NotTakenIn, ReceiptDiffers, RoundOpen, UnknownMerger, UnreadableHandOver
from engine.mergers.queries import Round
from engine.mergers.rules import Head, MergerReceipt, Place, ReceiptLine, first_difference
from engine.mergers.service.filing import HEAD, SEALED, SEALED_SUFFIX
from engine.mergers.service.proposing import note
from engine.opening import service as opening
from engine.opening.service import OpeningReport
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.runtime.sealing import unseal
from engine.runtime.secrets import DecryptionFailed
from engine.tenancy.service import Tenant


async def take_in(
    db: Database,
    keys: FileKeyStore,
    tenant: Tenant,
    folder: Path,
    *,
    actor: str,
    dry_run: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> OpeningReport:
    """Open the files of a hand-over and stage them as the opening balances that they are; a second person approves those.

    Args:
        db: the application's database.
        keys: where the scheme's keys are.
        tenant: the scheme that takes over.
        folder: holds the sealed files and what stands open beside them.
        actor: who stages.
        dry_run: only report; nothing is kept.
        progress: told how many more rows were read.

    Raises:
        UnreadableHandOver: a file is missing, is for another scheme or place, or was changed.
        UnreadableOpening: see `opening.stage_opening`; the whole is not what its digest says.
    """
    head = _head(folder, tenant)

    def read(name: str) -> bytes:
        try:
            sealed = (folder / f"{name}{SEALED_SUFFIX}").read_bytes()
            return unseal(keys, tenant.tenant_id, SEALED, head.seal_place(name), sealed)
        except FileNotFoundError:
            raise UnreadableHandOver(file=name, reason="it is missing") from None
        except DecryptionFailed:
            raise UnreadableHandOver(file=name, reason="it was not sealed for this scheme, or was changed") from None

    return await opening.stage_opening(
        db, keys, tenant, read, actor=actor, dry_run=dry_run, progress=progress, digest=head.digest
    )


async def receipt_of(session: AsyncSession, tenant: Tenant, opening_no: int) -> MergerReceipt:
    """Return what the scheme says it has taken in by an opening: what its books were posted, not what the files said.

    Raises:
        UnknownMerger: there is no opening of that number.
        NotTakenIn: it is not posted to its end.
    """
    found = await queries.taken_in(session, opening_no)
    if found is None:
        raise UnknownMerger
    if found.state != "finished":
        raise NotTakenIn(opening=opening_no, state=found.state)
    return MergerReceipt(
        version=1,
        scheme=tenant.code,
        opening=opening_no,
        digest=found.digest,
        members=found.members,
        lines=tuple(
            ReceiptLine(place.product, place.pot, place.origin, place.fund, amount)
            for place, amount in sorted(found.lines.items())
        ),
    )


async def acknowledge(
    session: AsyncSession, tenant: Tenant, merger_no: int, round_no: int, receipt: MergerReceipt, *, actor: str
) -> Round:
    """Note that the other scheme has taken a round in, by its receipt, which must be of all that was handed over to the last unit.

    Asked again with the same receipt, it answers as before.

    Raises:
        UnknownMerger, RoundOpen: there is no such round, or its files are not made.
        ReceiptDiffers: it is of other files, of another scheme, or of other amounts.
    """
    merger = await queries.find_merger(session, merger_no)
    one = await queries.find_round(session, merger_no, round_no, hold=True)
    if merger is None or one is None:
        raise UnknownMerger
    if one.state == "taken-in" and one.receipt == receipt:
        return one
    if one.state != "filed":
        raise RoundOpen(round=round_no, state=one.state)
    if receipt.scheme != merger.terms.into_scheme:
        raise ReceiptDiffers(what="the scheme")
    if receipt.digest != one.digest:
        raise ReceiptDiffers(what="the digest of the files")
    if receipt.members != one.members:
        raise ReceiptDiffers(what=f"{one.members} and {receipt.members} members")
    handed = {row.place: row.amount for row in await queries.totals(session, merger_no, round_no)}
    difference = first_difference(handed, _by_place(receipt))
    if difference:
        raise ReceiptDiffers(what=difference)
    facts = {
        "merger": merger_no,
        "round": round_no,
        "digest": one.digest,
        "opening": receipt.opening,
    }
    event = await note(session, tenant, EventKind.HAND_OVER_TAKEN_IN, facts, actor)
    await queries.end_round(session, merger_no, round_no, receipt, event_id=event)
    found = await queries.find_round(session, merger_no, round_no)
    assert found is not None
    return found


def _by_place(receipt: MergerReceipt) -> Mapping[Place, int]:
    found: dict[Place, int] = {}
    for line in receipt.lines:
        place = Place(line.product, line.pot, line.origin, line.fund)
        found[place] = found.get(place, 0) + line.amount
    return found


def _head(folder: Path, tenant: Tenant) -> Head:
    try:
        head = msgspec.json.decode((folder / HEAD).read_bytes(), type=Head)
    except FileNotFoundError:
        raise UnreadableHandOver(file=HEAD, reason="it is missing") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UnreadableHandOver(file=HEAD, reason="it is no head of a hand-over") from None
    if head.into_scheme != tenant.code:
        raise UnreadableHandOver(file=HEAD, reason=f"it is for the scheme {head.into_scheme}")
    return head
