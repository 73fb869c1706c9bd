"""The files of a round: what the other scheme takes in, each sealed for it alone, made once and kept until it is taken in.

They are the files of a scheme that is taken over (`engine.opening`): members, holdings, history, and last the manifest that says what
they come to. Each is one transaction; whoever was stopped goes on with the file after.
"""

import asyncio
import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from datetime import date

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.enrolment.rules import Application, ConsentGiven, DocumentGiven, GuardianGiven, NomineeGiven
from engine.identity import service as identity
from engine.identity.rules import VaultDocument
from engine.ledger.rules import EventKind
from engine.mergers import queries
from engine.mergers.errors import RoundOpen, UnknownMerger
from engine.mergers.queries import Going, Merger, Round
from engine.mergers.rules import Head, MergerTerms, seal_place
from engine.mergers.service.proposing import note
from engine.mergers.service.ways import fixed
from engine.opening.rules import (
    HISTORY_COLUMNS,
    HOLDING_COLUMNS,
    LINES,
    MANIFEST,
    AgreedText,
    Cash,
    Counts,
    FundHolding,
    Manifest,
    MemberLine,
    PaidTotal,
    Total,
    opening_digest,
)
from engine.runtime.database import Database, retry_transaction
from engine.runtime.key_file import FileKeyStore
from engine.runtime.sealing import seal
from engine.tenancy.service import Tenant

PART = 10_000
"""Members whom one part of the files tells of: a file of members, of their holdings, and of their history."""

SEALED = "hand_over_files"
"""The table whose documents are sealed, each for the scheme that takes over."""

_READ_AT_ONCE = 1_000


async def write_files(
    db: Database, keys: FileKeyStore, tenant: Tenant, into: Tenant, merger: Merger, round_no: int, *, actor: str
) -> bool:
    """Make the files of a closed round that are not made yet; return whether all are made now."""
    part, after = 0, 0
    while True:
        part += 1

        async def once(part: int = part, after: int = after) -> int | None:
            async with db.unit_of_work(tenant.tenant_id) as session:
                one = await queries.find_round(session, merger.merger_no, round_no, hold=True)
                if one is None or one.state != "closed":
                    return None
                return await _write_part(session, keys, tenant, into, merger, one, part, after, actor)

        last = await retry_transaction(once)
        if last is None:
            break
        after = last
    async with db.unit_of_work(tenant.tenant_id) as session:
        found = await queries.find_round(session, merger.merger_no, round_no)
    return found is not None and found.digest != ""


async def sealed_files(session: AsyncSession, tenant: Tenant, merger_no: int, round_no: int) -> dict[str, bytes]:
    """Return the sealed files of a round by name, and open beside them what says for whom they are.

    Raises:
        UnknownMerger, RoundOpen: there is no such round, or its files are not made yet.
    """
    head = await head_of(session, tenant, merger_no, round_no)
    found = {HEAD: msgspec.json.format(msgspec.json.encode(head)) + b"\n"}
    for name, _ in await queries.files_of(session, merger_no, round_no):
        document = await queries.file_of(session, merger_no, round_no, name)
        assert document is not None, name
        found[name + SEALED_SUFFIX] = document
    return found


HEAD = "hand-over.json"
SEALED_SUFFIX = ".sealed"


async def head_of(session: AsyncSession, tenant: Tenant, merger_no: int, round_no: int) -> Head:
    """Return what stands open beside the sealed files of a round; raises as `sealed_files`."""
    merger = await queries.find_merger(session, merger_no)
    one = await queries.find_round(session, merger_no, round_no)
    if merger is None or one is None:
        raise UnknownMerger
    if not one.digest:
        raise RoundOpen(round=round_no, state=one.state)
    return Head(
        version=1,
        from_scheme=tenant.code,
        into_scheme=merger.terms.into_scheme,
        merger=merger_no,
        round=round_no,
        digest=one.digest,
    )


# -- inside


async def _write_part(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    into: Tenant,
    merger: Merger,
    one: Round,
    part: int,
    after: int,
    actor: str,
) -> int | None:
    """Make a part's files unless they are made; after the last part the manifest. Return the last member told of, None at the end."""
    members = await queries.members_of_round(session, one.merger_no, one.round_no, after=after, most=PART)
    made = await queries.files_of(session, one.merger_no, one.round_no)
    names = [f"members-{part:04}{LINES}", f"holdings-{part:04}.csv", f"history-{part:04}.csv"]
    if members and not any(name == names[0] for name, _ in made):
        written = await _part(session, keys, tenant, merger, one, members, actor)
        for offset, (name, raw) in enumerate(zip(names, written, strict=True)):
            await _keep(session, keys, tenant, into, one, part * len(names) + offset, name, raw)
    if members:
        return members[-1].member_id
    await _finish(session, keys, tenant, into, merger, one, [name for name, _ in made], actor)
    return None


async def _part(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    merger: Merger,
    one: Round,
    members: Sequence[Going],
    actor: str,
) -> tuple[bytes, bytes, bytes]:
    ids = [member.member_id for member in members]
    people: dict[int, VaultDocument] = {}
    for start in range(0, len(ids), _READ_AT_ONCE):
        some = ids[start : start + _READ_AT_ONCE]
        people |= await identity.read_people(session, keys, some, actor=actor, reason="scheme-merged")
    numbers = {member: known.member_number for member, known in people.items()}
    lines = await queries.lines_of(session, one.merger_no, one.round_no, ids)
    history = await queries.history_of(session, one.merger_no, one.round_no, ids)
    scales = {fund.into: fund.decimals for fund in merger.terms.funds}
    money = tenant.asset.scale
    told = b"".join(
        msgspec.json.encode(_line(member, people[member.member_id], merger.terms)) + b"\n"
        for member in members
        if member.member_id in people
    )
    holdings = _csv(
        HOLDING_COLUMNS,
        [
            (
                numbers[member],
                place.product,
                place.pot,
                place.origin,
                place.fund,
                fixed(amount, scales[place.fund] if place.fund else money),
                fixed(cost, money) if place.fund else "",
            )
            for member, place, amount, cost in lines
        ],
    )
    paid = _csv(
        HISTORY_COLUMNS,
        [
            (numbers[member], product, pot, origin, on.isoformat(), fixed(minor, money), str(payments))
            for member, product, pot, origin, on, minor, payments in history
        ],
    )
    return told, holdings, paid


def _line(member: Going, known: VaultDocument, terms: MergerTerms) -> MemberLine:
    person = known.person
    consents = []
    for said in member.consents:
        name = terms.consents.get(said["consent"], said["consent"])
        if name:
            consents.append(ConsentGiven(**{**said, "consent": name}))
    guardian = known.guardian
    application = Application(
        product=member.product,
        full_name=person.full_name,
        born_on=person.born_on,
        sex=person.sex,
        phone=person.phones[0] if person.phones else "",
        documents=tuple(DocumentGiven(one.document, one.number) for one in person.documents),
        group=member.group_code,
        language=person.language,
        address=person.address,
        nominees=tuple(
            NomineeGiven(
                full_name=one.full_name,
                relationship=one.relationship,
                share_bp=one.share_bp,
                born_on=one.born_on,
                phone=one.phone,
            )
            for one in known.nominees
        ),
        consents=tuple(consents),
        guardian=None
        if guardian is None
        else GuardianGiven(
            full_name=guardian.full_name,
            relationship=guardian.relationship,
            document=guardian.document.document,
            number=guardian.document.number,
            phone=guardian.phone,
        ),
        person_class=member.person_class,
    )
    return MemberLine(
        old_number=known.member_number,
        earlier_numbers=known.earlier_numbers,
        joined_on=member.joined_on,
        first_contribution_on=member.first_contribution_on,
        last_withdrawal_on=member.last_withdrawal_on,
        application=application,
    )


async def _keep(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    into: Tenant,
    one: Round,
    file_no: int,
    name: str,
    raw: bytes,
) -> None:
    place = seal_place(tenant.code, one.merger_no, one.round_no, name)
    document = await asyncio.to_thread(seal, keys, into.tenant_id, SEALED, place, raw)
    await queries.add_file(session, one, file_no, name, sha256=hashlib.sha256(raw).hexdigest(), document=document)


async def _finish(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    into: Tenant,
    merger: Merger,
    one: Round,
    names: Sequence[str],
    actor: str,
) -> None:
    """Make the manifest of all files of a round, and note the digest that stands for them."""
    assert one.closed_on is not None, one
    manifest = await _manifest(session, tenant, into, merger, one, names, one.closed_on)
    raw = _toml(msgspec.to_builtins(manifest)).encode()
    sha256 = dict(await queries.files_of(session, one.merger_no, one.round_no))
    await _keep(session, keys, tenant, into, one, 0, MANIFEST, raw)
    digest = opening_digest(
        {MANIFEST: hashlib.sha256(raw).hexdigest(), **{name: sha256[name] for name in manifest.files}}
    )
    await queries.file_round(session, one.merger_no, one.round_no, digest)
    await note(
        session,
        tenant,
        EventKind.HAND_OVER_FILED,
        {"merger": one.merger_no, "round": one.round_no, "digest": digest, "files": len(names) + 1},
        actor,
    )


async def _manifest(
    session: AsyncSession,
    tenant: Tenant,
    into: Tenant,
    merger: Merger,
    one: Round,
    names: Sequence[str],
    closed_on: date,
) -> Manifest:
    number, round_no = one.merger_no, one.round_no
    money, terms = tenant.asset.scale, merger.terms
    scales = {fund.into: fund.decimals for fund in terms.funds}
    totals = [row for row in await queries.totals(session, number, round_no) if row.amount]
    counts = await queries.count_rows(session, number, round_no)
    texts = await queries.texts_of(session, number, round_no)
    cash = sum(row.amount for row in totals if not row.place.fund)
    units: dict[str, tuple[int, int]] = {}
    ratios = {fund.fund: fund for fund in terms.funds}
    decimals = await queries.fund_decimals(session)
    for fund, (there, here, members) in (await queries.units_by_fund(session, number, round_no)).items():
        issued, of_members = units.get(there, (0, 0))
        numerator, denominator = ratios[fund].factor(decimals[fund])
        units[there] = (issued + here * numerator // denominator, of_members + members)
    return Manifest(
        scheme=into.code,
        source=terms.source if round_no == 1 else f"{terms.source}, round {round_no}",
        as_of=closed_on,
        members=tuple(name for name in names if name.startswith("members-")),
        holdings=tuple(name for name in names if name.startswith("holdings-")),
        history=tuple(name for name in names if name.startswith("history-")),
        counts=Counts(members=counts.members, holdings=counts.holdings, history=counts.history),
        totals=tuple(
            Total(
                product=row.place.product,
                pot=row.place.pot,
                origin=row.place.origin,
                fund=row.place.fund,
                amount=fixed(row.amount, scales[row.place.fund] if row.place.fund else money),
                cost=fixed(row.cost, money) if row.place.fund else "0",
            )
            for row in totals
        ),
        paid=tuple(
            PaidTotal(product=product, pot=pot, origin=origin, amount=fixed(minor, money))
            for product, pot, origin, minor in await queries.totals_paid(session, number, round_no)
        ),
        cash=Cash(terms.channel, fixed(cash, money)) if cash else None,
        funds=tuple(
            FundHolding(there, fixed(issued, scales[there]), fixed(issued - members, scales[there]))
            for there, (issued, members) in sorted(units.items())
            if issued
        ),
        texts=tuple(
            AgreedText(name, version) for consent, version in texts if (name := terms.consents.get(consent, consent))
        ),
        joins_known=True,
    )


def _csv(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue().encode()


def _toml(table: Mapping[str, object]) -> str:
    """Return a manifest as TOML: plain values and lists of them first, then tables, then lists of tables."""
    plain = [f"{name} = {_value(value)}" for name, value in table.items() if not _is_table(value) and value is not None]
    one = [
        f"\n[{name}]\n" + "\n".join(f"{key} = {_value(inner)}" for key, inner in value.items())
        for name, value in table.items()
        if isinstance(value, dict)
    ]
    many = [
        f"\n[[{name}]]\n" + "\n".join(f"{key} = {_value(inner)}" for key, inner in row.items())
        for name, value in table.items()
        if isinstance(value, list | tuple) and _is_table(value)
        for row in value
    ]
    return "\n".join([*plain, *one, *many]) + "\n"


def _is_table(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list | tuple) and bool(value) and isinstance(value[0], dict))


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    if isinstance(value, int | date):
        return str(value)
    return msgspec.json.encode(str(value)).decode()
