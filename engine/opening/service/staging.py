"""Staging the files of another scheme: every row checked as an enrolment is, every total as the manifest says.

All is taken or nothing. Persons and old numbers are kept from that moment, so that nothing comes between staging and posting.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.enrolment import service as enrolment
from engine.enrolment.errors import UnreadableFile
from engine.enrolment.rules import Accepted, MembersRow, RowProblem, read_members_csv
from engine.enrolment.service import CHUNK, Legacy
from engine.funds import service as funds
from engine.identity import service as identity
from engine.kernel.amounts import Asset
from engine.kernel.clock import business_date
from engine.kernel.errors import EngineError
from engine.kernel.ids import new_member_id
from engine.kernel.series import Figures
from engine.ledger import service as ledger
from engine.ledger.rules import Account, EventKind
from engine.opening import queries
from engine.opening.errors import UnreadableOpening
from engine.opening.queries import StagedHolding, StagedMember, StagedPaid
from engine.opening.rules import (
    HISTORY_COLUMNS,
    HOLDING_COLUMNS,
    LEGACY_COLUMNS,
    LINES,
    MANIFEST,
    Manifest,
    Row,
    Wrong,
    day_by,
    day_until,
    old_number,
    one_of,
    opening_digest,
    opens_on,
    positive,
    read_manifest,
    read_member_lines,
    read_rows,
    whole,
)
from engine.opening.service.comparing import Compared, compare, dealt_in
from engine.opening.service.posting import SEALED, Personal, find_opening, note
from engine.runtime.database import Database, retry_transaction
from engine.runtime.key_file import FileKeyStore
from engine.runtime.sealing import seal
from engine.tenancy import service as tenancy
from engine.tenancy.service import Tenant

MOST_LISTED = 1_000
"""How many refused rows a report lists; it counts them all."""

_ROWS_AT_ONCE = 5_000
_Item = TypeVar("_Item")
Files = Callable[[str], bytes]
"""Returns the bytes of a file by its name; raises FileNotFoundError."""


class Refusal(Struct, frozen=True):
    """A row that cannot be taken: file, row (the header is row 1), field, and what is allowed there."""

    file: str
    row: int
    field: str
    reason: str


class OpeningReport(Struct, kw_only=True):
    """What became of the files of another scheme.

    `state`: "refused" (nothing was kept), "agrees" (a dry run: they could be staged), "staged", or what became of the same
    files before, since `staged_at`. Of the `members`, `known` are members here already. `refused_rows` counts what `refused` lists the first of.
    """

    source: str
    as_of: date
    digest: str
    state: str
    opening: int | None = None
    staged_at: datetime | None = None
    members: int = 0
    known: int = 0
    refused_rows: int = 0
    refused: list[Refusal] = []
    compared: list[Compared] = []

    @property
    def is_refused(self) -> bool:
        """Return whether the files cannot be taken."""
        return self.state == "refused"

    def lines(self) -> list[str]:
        """Return the report in sentences, for the command line."""
        head = f"{self.source}, as of {self.as_of}: {self.state}"
        if self.staged_at is not None and self.state != "staged":
            head = f"{self.source}: the same files came at {self.staged_at.isoformat()}; opening {self.opening} is {self.state}"
        found = [head, f"digest {self.digest}"]
        if self.known:
            found.append(f"{self.known} of {self.members} members are members here already, and are credited as such")
        found += [f"{one.file}, row {one.row}, {one.field}: {one.reason}" for one in self.refused]
        if self.refused_rows > len(self.refused):
            found.append(f"and {self.refused_rows - len(self.refused)} rows more")
        found += [
            f"{'agrees' if one.agrees else 'DIFFERS'}  {one.what}: manifest {one.manifest}, files {one.files}"
            for one in self.compared
        ]
        if self.opening is not None and self.state == "staged":
            found.append(f"opening {self.opening} waits for a second person, who names the digest")
        return found


class _NotKept(Exception):
    """The transaction ends without a trace: a dry run, or files that do not agree."""


async def stage_opening(
    db: Database,
    keys: FileKeyStore,
    tenant: Tenant,
    files: Path | Files,
    *,
    actor: str,
    dry_run: bool = False,
    progress: Callable[[int], None] = lambda _: None,
    digest: str = "",
) -> OpeningReport:
    """Check files and, where every row can be taken and every total agrees, keep them for a second person.

    Args:
        db: the application's database; all happens in one transaction.
        keys: where the scheme's keys are.
        tenant: the scheme that takes over.
        files: the folder that holds the manifest and the files that it names, or what returns one by its name.
        actor: who stages.
        dry_run: only report; nothing is kept.
        progress: told how many more rows were read.
        digest: what the files must be of, if the one who sent them said so.

    Raises:
        UnreadableOpening, UnreadableFile: a file is no such file at all.
        FileNotFoundError: a file is missing.
    """
    read = (lambda name: (files / name).read_bytes()) if isinstance(files, Path) else files
    raw = await asyncio.to_thread(read, MANIFEST)
    manifest = read_manifest(raw)
    if manifest.scheme != tenant.code:
        raise UnreadableOpening(file=MANIFEST, reason=f"it is of the scheme {manifest.scheme}, not {tenant.code}")
    digests = {MANIFEST: hashlib.sha256(raw).hexdigest()}
    for name in manifest.files:
        digests[name] = hashlib.sha256(await asyncio.to_thread(read, name)).hexdigest()
    report = OpeningReport(
        source=manifest.source, as_of=manifest.as_of, digest=opening_digest(digests), state="refused"
    )

    if digest and digest != report.digest:
        raise UnreadableOpening(file=MANIFEST, reason="the files are not those that their digest is of")

    async def run() -> OpeningReport:
        report.refused.clear()
        report.compared.clear()
        report.refused_rows = report.members = report.known = 0
        try:
            async with db.unit_of_work(tenant.tenant_id) as session:
                staging = _Staging(session, keys, tenant, manifest, read, digests, report, progress)
                return await staging.run(actor, dry_run=dry_run)
        except _NotKept:
            return report

    return await retry_transaction(run)


# -- inside


@dataclass(slots=True)
class _Staging:
    """One transaction that reads the files, checks each row and compares what they come to with the manifest."""

    session: AsyncSession
    keys: FileKeyStore
    tenant: Tenant
    manifest: Manifest
    read: Files
    digests: Mapping[str, str]
    report: OpeningReport
    progress: Callable[[int], None]
    codes: dict[tuple[str, str, str, str], int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    seen: set[int | UUID] = field(default_factory=set)

    async def run(self, actor: str, *, dry_run: bool) -> OpeningReport:
        """Stage the files; raises _NotKept, with the report told why, where they are not kept."""
        await queries.hold_staging(self.session)
        earlier = await queries.opening_of(self.session, self.report.digest)
        if earlier is not None:
            self.report.state, self.report.opening = earlier.state, earlier.opening_no
            self.report.staged_at, self.report.members = earlier.staged_at, earlier.members
            raise _NotKept
        now = await ledger.scheme_now(self.session)
        if opens_on(self.manifest.as_of) > business_date(now, self.tenant.time_zone):
            raise UnreadableOpening(file=MANIFEST, reason="its day, as_of, is not over yet")
        number = await queries.add_opening(
            self.session,
            digest=self.report.digest,
            source=self.manifest.source,
            as_of=self.manifest.as_of,
            members=self.manifest.counts.members,
            at=now,
            actor=await ledger.actor_id(self.session, actor),
            pack=self.tenant.pack_id,
            manifest=self.manifest,
        )
        await self._open_accounts()
        await self._members(number, actor)
        await self._holdings(number)
        await self._history(number)
        self.report.compared[:] = await compare(
            self.session, self.tenant, self.manifest, number, self.codes, self.counts
        )
        self.report.refused.sort(key=lambda one: (self.manifest.files.index(one.file), one.row))
        if self.report.refused_rows or not all(one.agrees for one in self.report.compared):
            raise _NotKept
        if dry_run:
            self.report.state = "agrees"
            raise _NotKept
        await queries.add_ranges(self.session, number)
        found = await find_opening(self.session, number)
        await note(self.session, self.tenant, EventKind.OPENING_STAGED, found, actor)
        self.report.state, self.report.opening, self.report.staged_at = "staged", number, found.staged_at
        return self.report

    async def _bytes(self, name: str) -> bytes:
        raw = await asyncio.to_thread(self.read, name)
        if hashlib.sha256(raw).hexdigest() != self.digests[name]:
            raise UnreadableOpening(file=name, reason="it was changed while it was read")
        return raw

    def _refuse(self, file: str, row: int, place: str, reason: str) -> None:
        self.report.refused_rows += 1
        if len(self.report.refused) < MOST_LISTED:
            self.report.refused.append(Refusal(file, row, place, reason))

    async def _open_accounts(self) -> None:
        """Open every account that members may hold by the pack, and the opening account of each asset."""
        money = self.tenant.asset
        wanted: dict[tuple[str, str, str, str], Account] = {}
        for product in self.tenant.pack.products:
            dealt = dealt_in(self.tenant, product.code, self.manifest.as_of)
            await funds.open_funds(self.session, dealt)
            for pot in product.pot_codes:
                for origin in product.origins:
                    place = (product.code, pot, origin)
                    wanted[*place, ""] = Account("cash", money.symbol, *place)
                    for fund in dealt:
                        wanted[*place, fund.code] = Account("units", fund.code, *place, fund.code)
        codes = await ledger.account_codes(self.session, wanted.values())
        self.codes = {place: codes[account] for place, account in wanted.items()}

    def _asset(self, product: str, fund: str) -> Asset:
        scales = {one.code: one.unit_scale for one in dealt_in(self.tenant, product, self.manifest.as_of)}
        return Asset(fund, scales[fund]) if fund else self.tenant.asset

    # members

    async def _members(self, number: int, actor: str) -> None:
        figures = await tenancy.figures_for(self.session, self.tenant)
        place = 0
        for name in self.manifest.members:
            rows, problems = _members_of(await self._bytes(name), name)
            for problem in problems:
                self._refuse(name, problem.row, problem.field, problem.reason)
            self._count("members", len(rows) + len(problems))
            for chunk in _chunks(rows, CHUNK):
                place += 1
                await self._member_chunk(number, place, name, chunk, figures, actor)
                self.progress(len(chunk))

    async def _member_chunk(
        self, number: int, place: int, name: str, rows: Sequence[MembersRow], figures: Figures, actor: str
    ) -> None:
        read: list[tuple[MembersRow, Legacy, date | None, date | None]] = []
        for row in rows:
            try:
                joined = day_by(row.beside, "joined_on", self.manifest.as_of)
                further = tuple(old_number(one) for one in row.earlier_numbers)
                one = Legacy(new_member_id(), old_number(row.beside["old_number"]), joined, row.application, further)
                first = day_until(row.beside, "first_contribution_on", self.manifest.as_of)
                last = day_until(row.beside, "last_withdrawal_on", self.manifest.as_of)
            except Wrong as wrong:
                self._refuse(name, row.row, wrong.field, wrong.reason)
            else:
                read.append((row, one, first, last))
        checked = await enrolment.check_legacy(
            self.tenant, figures, [one for _, one, _, _ in read], texts=self.manifest.agreed
        )
        accepted = []
        for (row, one, _, _), found in zip(read, checked, strict=True):
            if isinstance(found, EngineError):
                self._refuse(name, row.row, str(found.details.get("field", "row")), str(found))
            else:
                accepted.append((one, found))
        known = await self._known(accepted, actor)
        indexes, taken = await enrolment.reserve_legacy(
            self.session, self.keys, [pair for pair in accepted if pair[0].member_id not in known]
        )
        staged = []
        for row, one, first, last in read:
            if one.member_id in known and not known[one.member_id][1]:
                indexes[one.member_id] = identity.number_index(self.session, self.keys, one.old_number)
                staged.append((row, one, first, last))
            elif one.member_id in known:
                self._refuse(name, row.row, known[one.member_id][1], "somebody else is known by the document, or left")
            elif one.member_id in taken:
                reason = "somebody is known by it already, here or in another row"
                self._refuse(name, row.row, taken[one.member_id], reason)
            elif one.member_id in indexes:
                staged.append((row, one, first, last))
        self.report.members += len(staged)
        self.report.known += sum(1 for _, one, _, _ in staged if one.member_id in known)
        documents = await asyncio.to_thread(lambda: [self._sealed(one) for _, one, _, _ in staged])
        await queries.add_members(
            self.session,
            number,
            [
                StagedMember(
                    one.member_id, place, row.row, one.joined_on, first, last, indexes[one.member_id], name,
                    one.application.product, document, known.get(one.member_id, (0, ""))[0],
                )
                for (row, one, first, last), document in zip(staged, documents, strict=True)
            ],
        )  # fmt: skip

    async def _known(self, accepted: Sequence[tuple[Legacy, Accepted]], actor: str) -> dict[int, tuple[int, str]]:
        """Return who is a member here already, and so is credited; a second row of one person, or of a number, is refused."""
        if not self.manifest.joins_known:
            return {}
        found = await enrolment.known_legacy(self.session, self.keys, accepted, actor=actor)
        for one, _ in accepted:
            if one.member_id not in found:
                continue
            member, field = found[one.member_id]
            marks: set[int | UUID] = {member, identity.number_index(self.session, self.keys, one.old_number)}
            if marks & self.seen:
                found[one.member_id] = (member, field or "old_number")
            self.seen |= marks
        return found

    def _sealed(self, one: Legacy) -> bytes:
        raw = msgspec.json.encode(Personal(one.old_number, one.application, one.further_numbers))
        return seal(self.keys, self.tenant.tenant_id, SEALED, one.member_id, raw)

    # holdings and history

    async def _holdings(self, number: int) -> None:
        def read(row: Row) -> StagedHolding:
            index, product, pot, origin = self._place(row.cells)
            fund = one_of(
                row.cells, "fund", ("", *(one.code for one in dealt_in(self.tenant, product, self.manifest.as_of)))
            )
            amount = positive(row.cells, "amount", self._asset(product, fund))
            if fund:
                cost = positive(row.cells, "cost", self.tenant.asset, least=0)
            elif row.cells["cost"]:
                raise Wrong("cost", "allowed: blank for money")
            else:
                cost = 0
            return StagedHolding(row.row, index, product, self.codes[product, pot, origin, fund], amount, cost)

        for name in self.manifest.holdings:
            for chunk in self._rows("holdings", name, await self._bytes(name), HOLDING_COLUMNS, read):
                self._not_staged(name, await queries.add_holdings(self.session, number, chunk))
                self.progress(len(chunk))

    async def _history(self, number: int) -> None:
        def read(row: Row) -> StagedPaid:
            index, product, pot, origin = self._place(row.cells)
            day = day_by(row.cells, "paid_on", self.manifest.as_of)
            minor = positive(row.cells, "amount", self.tenant.asset)
            return StagedPaid(row.row, index, product, pot, origin, day, minor, whole(row.cells, "payments"))

        for name in self.manifest.history:
            for chunk in self._rows("history", name, await self._bytes(name), HISTORY_COLUMNS, read):
                self._not_staged(name, await queries.add_history(self.session, number, chunk))
                self.progress(len(chunk))

    def _place(self, cells: Mapping[str, str]) -> tuple[UUID, str, str, str]:
        product = self.tenant.product(one_of(cells, "product", [one.code for one in self.tenant.pack.products]))
        return (
            identity.number_index(self.session, self.keys, cells["old_number"]),
            product.code,
            one_of(cells, "pot", product.pot_codes),
            one_of(cells, "origin", product.origins),
        )

    def _rows(
        self, kind: str, name: str, raw: bytes, columns: Sequence[str], read: Callable[[Row], _Item]
    ) -> Iterator[list[_Item]]:
        """Yield what can be read of a file, in chunks; rows that cannot are refused."""
        chunk: list[_Item] = []
        for row in read_rows(raw, name, columns):
            self._count(kind, 1)
            if isinstance(row, RowProblem):
                self._refuse(name, row.row, row.field, row.reason)
                continue
            try:
                chunk.append(read(row))
            except Wrong as wrong:
                self._refuse(name, row.row, wrong.field, wrong.reason)
            if len(chunk) == _ROWS_AT_ONCE:
                yield chunk
                chunk = []
        if chunk:
            yield chunk

    def _not_staged(self, name: str, rows: Sequence[tuple[int, str, str]]) -> None:
        for row, why, product in rows:
            if why == "repeated":
                self._refuse(name, row, "row", "another row of the member says the same pot, origin and fund or day")
            elif why == "product":
                self._refuse(name, row, "product", f"allowed: {product}, the member's own")
            else:
                self._refuse(name, row, "old_number", "allowed: the number of a member whose own row can be taken")

    def _count(self, kind: str, rows: int) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + rows


def _members_of(raw: bytes, name: str) -> tuple[Sequence[MembersRow], Sequence[RowProblem]]:
    """Return the members of a file that can be read, and the rows that cannot."""
    if name.endswith(LINES):
        return read_member_lines(raw, name)
    try:
        read = read_members_csv(raw, name, beside=LEGACY_COLUMNS)
    except UnreadableFile as error:
        raise UnreadableOpening(file=name, reason=str(error.details["reason"])) from None
    return read.rows, read.problems


def _chunks(rows: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
