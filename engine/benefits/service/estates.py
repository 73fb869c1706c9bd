"""Claims after a death: opened by a confirmed death or a report, decided by the pack's rules once heirs and papers are there."""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import Literal, cast

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.errors import (
    ClaimDecided,
    ClaimDiffers,
    ClaimKeyReused,
    DeathNotConfirmed,
    NoExit,
    NoPriceYet,
    NothingAtOnce,
    PayoutUnderWay,
    TrustNotOffered,
    UnknownClaim,
    UnknownHeir,
)
from engine.benefits.queries import claiming as claims
from engine.benefits.queries import estates as queries
from engine.benefits.queries import paying
from engine.benefits.queries.claiming import ClaimRow, Estate, Request
from engine.benefits.queries.estates import HeirRow
from engine.benefits.queries.schedules import ScheduleRow
from engine.benefits.rules.estates import (
    DEATH,
    Choice,
    DeathCase,
    DeathTerms,
    Entitled,
    Heir,
    as_holdings,
    entitled,
    estate_of,
    majority_of,
    share_parts,
    shared_anew,
    with_corpus,
)
from engine.benefits.rules.paying import Part
from engine.benefits.service import claiming, returning, surviving
from engine.benefits.service.claiming import Standing
from engine.benefits.service.inheriting import (
    HeirPerson,
    as_parts,
    by_place,
    check_approval,
    check_confirmed,
    death_terms,
    hold_payable,
    less,
    opened,
    post,
)
from engine.benefits.service.returning import moved_anew
from engine.enrolment import service as enrolment
from engine.enrolment.errors import SharesDoNotAddUp
from engine.funds.rules import FundsRule
from engine.identity import service as identity
from engine.identity.errors import UnknownMember
from engine.identity.rules import MemberRef
from engine.kernel.clock import business_date
from engine.kernel.errors import EngineError, Invalid
from engine.kernel.ids import body_digest, claim_digest
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Account, EventKind
from engine.runtime.database import Database, retry_transaction
from engine.runtime.key_file import FileKeyStore
from engine.runtime.logging import get_logger
from engine.tenancy import service as tenancy
from engine.tenancy.rules.decided import Determination
from engine.tenancy.service import Tenant

SPOUSES = frozenset({"spouse", "wife", "husband"})
"""Words by which a nominee is taken for the member's spouse; anybody else is said to be, when they are named as an heir."""
DIED_AFTER = "died-after"
WHOLE_BP = 10_000
LENDERS_WORD = "lenders-word"
"""What a claim of a death lacks while savings are pledged: the lender says what is owed, and that is set off."""
MOST = 1_000
"""Claims that one round of following deaths opens and closes, of each sort."""

_ACTOR = "system:deaths"
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeirNamed:
    """An heir by law, or the spouse, as documents say who they are; `documents` are SHA-256 by kind."""

    person: HeirPerson
    share_bp: int
    is_spouse: bool = False
    documents: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownHeir:
    """An heir and who they are, for those who work on the claim."""

    row: HeirRow
    person: HeirPerson
    given: queries.Inheritance | None


async def open_death_claim(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    member: MemberRef,
    *,
    died_on: date | None,
    documents: Mapping[str, str],
    choice: str = "",
    key: str,
    actor: str,
) -> ClaimRow:
    """Open the claim of a member's death in one product, once for its key; decide it at once if nothing lacks.

    A death that no register has told of is reported by this, with its day: from then on nothing is paid to the member. What
    they claimed themselves and nobody approved is given up. Nominees are those that the member named. Of one death one claim
    at a time is under way; money that comes later is another's.

    Args:
        session: the use case's.
        keys: open who was named, seal the report.
        tenant: the scheme.
        member: as they stood in the product.
        died_on: the day of death; may be None where it is confirmed.
        documents: SHA-256 by kind.
        choice: what the spouse chose, where the rules let them choose.
        key: the caller's own name for the claim.
        actor: who opens it, and so may not approve it.

    Raises:
        ClaimKeyReused: the key was used for another claim.
        ClaimDecided: a claim of this death is under way.
        DeathNotConfirmed: no register has told of it, and no day is given with documents.
        Invalid: the day is none that a death of this member could have.
        UnknownMember: they were erased.
    """
    claim = claim_digest(tenant.tenant_id, f"benefit-claim:{actor}", key)
    said = body_digest(
        member.member_id, member.product, DEATH, "" if died_on is None else died_on.isoformat(),
        msgspec.json.encode([sorted(documents.items()), choice]), None,
    )  # fmt: skip
    await paying.lock_source(session, f"death:{member.member_id}:{member.product}")
    earlier = await claims.claimed_event(session, claim)
    if earlier is not None:
        if earlier[1] != said:
            raise ClaimKeyReused
        return await claiming.find_claim(session, earlier[0])
    people = await identity.read_people(session, keys, [member.member_id], actor=actor, reason="death-claim")
    if member.member_id not in people:
        raise UnknownMember
    document = people[member.member_id]
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    died_on = await _confirmed(
        session, keys, tenant, member.member_id, document.person.born_on, died_on, today, documents, actor
    )
    if await queries.death_claim_under_way(session, member.member_id, member.product) is not None:
        raise ClaimDecided(state="open")
    for own in await queries.own_claims(session, member.member_id, member.product, ("open", "decided")):
        await claiming.withdraw_claim(session, tenant, own, actor=actor)
    maker = await ledger.actor_id(session, actor)
    last, _ = await queries.last_death_claim(session, member.member_id, member.product)
    if last is not None:  # of money that came later: what proved the death, and who inherits, is there already
        before = await claiming.find_claim(session, last)
        documents = {**before.request.documents, **documents}
        choice = choice or (before.estate.choice if before.estate else "")
    request = Request(ground=DEATH, documents=documents)
    body = {"product": member.product, "kind": DEATH, "died_on": died_on.isoformat(), "documents": dict(documents)}
    event_id = await claiming.note(
        session, tenant, EventKind.BENEFIT_CLAIMED, member.member_id, actor, body, claims=(claim,), said=said
    )
    if event_id is None:
        raise ClaimKeyReused
    row = ClaimRow(
        member_id=member.member_id,
        claim_id=event_id,
        kind=DEATH,
        product=member.product,
        rule="",
        state="open",
        asked=0,
        opened_on=today,
        maker=actor,
        request=request,
        estate=Estate(died_on=died_on, choice=choice, prepared_by=(actor,)),
    )
    await claims.add_claim(session, row, maker)
    if not await queries.heirs_of(session, member.member_id, member.product):
        named = [
            HeirNamed(
                person=HeirPerson(
                    full_name=one.full_name, relationship=one.relationship, born_on=one.born_on, phone=one.phone
                ),
                share_bp=one.share_bp,
                is_spouse=one.relationship.strip().casefold() in SPOUSES,
            )
            for one in document.nominees
        ]
        await _name(session, keys, tenant, row, named, "nominee", actor)
    return await consider(session, keys, tenant, row, actor)


async def _confirmed(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    member_id: int,
    born_on: date | None,
    died_on: date | None,
    today: date,
    documents: Mapping[str, str],
    actor: str,
) -> date:
    """Return the day of a death, reported now if nobody has told of it before."""
    death = await enrolment.known_death(session, member_id)
    if death is not None:
        if death.is_doubted:
            raise DeathNotConfirmed
        return death.died_on or died_on or today
    if died_on is None or not documents:
        raise DeathNotConfirmed
    if died_on > today or (born_on is not None and died_on < born_on):
        raise Invalid(field="died_on", reason="a day of the member's life")
    record = (
        f"{member_id}:{body_digest(member_id, died_on.isoformat(), msgspec.json.encode(sorted(documents.items())))}"
    )
    await enrolment.report_death(session, keys, tenant, member_id, died_on=died_on, record=record, actor=actor)
    await check_confirmed(session, member_id)
    return died_on


async def follow_deaths(db: Database, keys: FileKeyStore, tenant: Tenant) -> int:
    """Open the claim of every confirmed death whose account holds something; close those of deaths that are taken back.

    Each in a transaction of its own; may be stopped and run again, and run twice at once. An account that cannot be claimed now
    (no price yet) does not stop the others. Returns how many claims were opened, closed, or made up for.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        today = business_date(await ledger.scheme_now(session), tenant.time_zone)
        dates = Dates(on=today, joined_on=today)
        products = [one.code for one in tenant.pack.manifest.products]
        in_funds = [one for one in products if tenant.rule(FundsRule, product=one, dates=dates) is not None]
        living = await queries.claims_of_the_living(session, most=MOST)
        home = await queries.closed_with_home_money(session, most=MOST)
        unclaimed = await queries.unclaimed_deaths(session, in_funds=in_funds, most=MOST)
    steps: list[Callable[[AsyncSession], Awaitable[bool]]] = [
        *(partial(returning.close_claim, tenant=tenant, claim_id=claim_id, actor=_ACTOR) for _, claim_id in living),
        *(partial(returning.take_home, tenant=tenant, claim_id=claim_id, actor=_ACTOR) for claim_id in home),
        *(
            partial(_open_one, keys=keys, tenant=tenant, member_id=one, product=product, in_funds=in_funds)
            for one, product in unclaimed
        ),
    ]
    done = 0
    for step in steps:

        async def once(step: Callable[[AsyncSession], Awaitable[bool]] = step) -> bool:
            async with db.unit_of_work(tenant.tenant_id) as session:
                return await step(session)

        try:
            done += await retry_transaction(once)
        except EngineError as error:
            _log.warning("a claim of a death waits", tenant=tenant.code, code=error.code)
    return done


async def _open_one(
    session: AsyncSession, *, keys: FileKeyStore, tenant: Tenant, member_id: int, product: str, in_funds: Sequence[str]
) -> bool:
    await paying.lock_source(session, f"death:{member_id}:{product}")
    still = await queries.unclaimed_deaths(session, in_funds=in_funds, most=MOST, member_id=member_id)
    if (member_id, product) not in still:  # somebody else opened it meanwhile
        return False
    members = await identity.members_by_id(session, [member_id])
    if member_id not in members:
        return False
    found = await enrolment.in_their_products(session, {"": members[member_id]}, product=product)
    if "" not in found:
        return False
    _, number = await queries.last_death_claim(session, member_id, product)
    row = await open_death_claim(
        session,
        keys,
        tenant,
        found[""],
        died_on=None,
        documents={},
        key=f"{member_id}:{product}:{number}",
        actor=_ACTOR,
    )
    if row.reason == NothingAtOnce.code:  # all that is there waits for a payout: nothing was written
        raise NothingAtOnce(option=row.rule)
    return True


async def name_heirs(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    claim_id: int,
    heirs: Sequence[HeirNamed],
    *,
    known: Mapping[int, int],
    documents: Mapping[str, str],
    choice: str = "",
    actor: str,
) -> ClaimRow:
    """Say who the spouse and the heirs by law are, with their shares; the nominees stay. Then decide.

    Heirs by law who were said before and are not among the `known`, with their new shares, are replaced. After the money was
    shared among heirs by law these are late heirs: what is not paid yet is shared anew once another person has approved it
    (`share_anew`), and all who were known keep a share.

    Raises:
        UnknownClaim, ClaimDecided: there is none of a death, or it is sold, closed, or paid to nominees.
        UnknownHeir: one of the known is not an heir by law.
        SharesDoNotAddUp: the shares are not one whole.
    """
    shares = [*(one.share_bp for one in heirs), *known.values()]
    if shares and (sum(shares) != WHOLE_BP or min(shares) <= 0):
        raise SharesDoNotAddUp(field="heirs", total=sum(shares))
    row = await _held(session, claim_id, {"open", "decided", "continued", "payable"})
    before = await queries.heirs_of(session, row.member_id, row.product)
    by_law = {one.heir_no for one in before if one.named_as == "heir" and not one.gone}
    if not set(known) <= by_law:
        raise UnknownHeir
    row = await _prepared(session, row, actor, documents=documents, choice=choice)
    if row.state == "payable":
        return await _propose_anew(session, keys, tenant, row, heirs, known, by_law, actor)
    if shares:
        maker = await ledger.actor_id(session, actor)
        replaced = sorted(by_law - set(known))
        await queries.exclude_heirs(session, row.member_id, row.product, replaced, gone="replaced", maker=maker)
        await queries.set_shares(session, row.member_id, row.product, known)
        await _name(session, keys, tenant, row, heirs, "heir", actor)
    return await consider(session, keys, tenant, row, actor)


async def share_anew(session: AsyncSession, tenant: Tenant, claim_id: int, *, digest: str, actor: str) -> ClaimRow:
    """Share what is not paid of a claim by new shares, as a second person who has read what `digest` is of.

    What was paid stays paid and counts towards the share of whoever got it.

    Raises:
        UnknownClaim, ClaimDecided: there is none of a death, or no new shares wait.
        ClaimDiffers: other shares wait.
        SamePerson: `actor` had a part in it.
        DeathNotConfirmed: the member may live.
        PayoutUnderWay: a payout to one of the heirs waits for approval, or a payroll that pays them guaranteed instalments.
    """
    row = await hold_payable(session, claim_id)
    assert row.estate is not None, row
    if not row.estate.anew:
        raise ClaimDecided(state=row.state)
    if digest != anew_digest(row):
        raise ClaimDiffers
    await check_approval(session, row, actor)
    given = await queries.inheritances_of(session, row.member_id, row.claim_id)
    if any(one.asked for one in given.values()):
        raise PayoutUnderWay
    weights = {int(heir): weight for heir, weight in row.estate.anew.items()}
    paid = {heir: one.paid for heir, one in given.items()}
    due = shared_anew(sum(one.amount for one in given.values()), paid, weights)
    pool = by_place([part for one in given.values() for part in as_parts(less(one.parts, one.paid_parts))])
    split = share_parts(pool, due) if due else {}
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    late = [
        queries.Inheritance(
            heir_no=heir, amount=0, released=0, earned=0, overpaid=0, shared_on=today,
            is_trust=heir in row.estate.children, parts=(), released_parts=(),
        )
        for heir in sorted(weights)
        if heir not in given
    ]  # fmt: skip
    after = {one.heir_no: moved_anew(one, split.get(one.heir_no, {})) for one in (*given.values(), *late)}
    kinds = ("minors-trust", "heirs")
    was, will = (by_place(_in_trust(rows)) for rows in (given.values(), after.values()))
    moves = []
    for place in sorted({*was, *will}):
        trust, heirs = (Account(kind, tenant.asset.symbol, row.product, *place) for kind in kinds)
        less_trust = was.get(place, 0) - will.get(place, 0)
        moves.append((less_trust, trust, heirs) if less_trust > 0 else (-less_trust, heirs, trust))
    body = {"heirs": str(len(after)), "amount": str(sum(due.values())), "shares": dict(row.estate.anew)}
    await post(
        session,
        tenant,
        row,
        EventKind.INHERITANCE_SHARED_ANEW,
        moves,
        actor=actor,
        body=body,
        once=("anew", f"/{digest}"),
    )
    await queries.add_inheritances(
        session, row.member_id, row.claim_id, late, maker=await ledger.actor_id(session, actor)
    )
    for one in after.values():
        await queries.save_inheritance(session, row.member_id, row.claim_id, one)
    await queries.set_shares(session, row.member_id, row.product, weights)
    estate = msgspec.structs.replace(row.estate, shares=row.estate.anew, anew={}, rounds=row.estate.rounds + 1)
    row = replace(row, estate=estate)
    await claims.save_claim(session, row)
    await surviving.share_guaranteed_anew(session, tenant, row, actor=actor)
    return row


def anew_digest(row: ClaimRow) -> str:
    """Return the SHA-256, in hexadecimal, of the new shares of a claim; "" where none wait."""
    if row.estate is None or not row.estate.anew:
        return ""
    said = [row.claim_id, row.estate.rounds, dict(row.estate.anew)]
    return hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()


def _in_trust(rows: Iterable[queries.Inheritance]) -> list[Part]:
    return [part for one in rows if one.is_trust for part in as_parts(less(one.parts, one.released_parts))]


async def exclude_heir(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    claim_id: int,
    heir_no: int,
    *,
    gone: str,
    died_on: date | None = None,
    documents: Mapping[str, str],
    actor: str,
) -> ClaimRow:
    """Note that somebody died, before the member or after them on a day, or renounces, with the documents that say so; decide again.

    The pension of a spouse who died after the member, or renounces it, ends with that.

    Raises:
        UnknownClaim, UnknownHeir, ClaimDecided: see there.
        Invalid: a spouse who died after the member did so on a day since, and nobody else has one.
    """
    row = await _held(session, claim_id, {"open", "decided", "continued"})
    heir = await _heir(session, row, heir_no)
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    assert row.estate is not None, row
    if (gone == DIED_AFTER) != (died_on is not None) or (died_on and not row.estate.died_on <= died_on <= today):
        raise Invalid(field="died_on", reason="a day after the member's death, of who died then")
    maker = await ledger.actor_id(session, actor)
    await queries.document_heir(session, row.member_id, row.product, heir.heir_no, documents, maker=maker)
    await queries.exclude_heirs(
        session, row.member_id, row.product, [heir.heir_no], gone=gone, maker=maker, died_on=died_on
    )
    await surviving.end_survivors(session, tenant, row, heir.heir_no, died_on or today)
    body = {"claim": str(row.claim_id), "heir": str(heir.heir_no), "why": gone, "documents": dict(documents)}
    await claiming.note(session, tenant, EventKind.HEIR_EXCLUDED, row.member_id, actor, body)
    return await consider(session, keys, tenant, await _prepared(session, row, actor), actor)


async def document_heir(
    session: AsyncSession,
    tenant: Tenant,
    claim_id: int,
    heir_no: int,
    documents: Mapping[str, str],
    *,
    actor: str,
) -> ClaimRow:
    """Add documents of an heir, as SHA-256 by kind: what is to be there before they are paid.

    Raises:
        UnknownClaim, UnknownHeir, ClaimDecided: see there.
    """
    row = await _held(session, claim_id, {"open", "decided", "selling", "payable"})
    heir = await _heir(session, row, heir_no)
    maker = await ledger.actor_id(session, actor)
    await queries.document_heir(session, row.member_id, row.product, heir.heir_no, documents, maker=maker)
    body = {"claim": str(row.claim_id), "heir": str(heir.heir_no), "documents": dict(documents)}
    await claiming.note(session, tenant, EventKind.HEIR_DOCUMENTED, row.member_id, actor, body)
    return row


async def add_documents(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    claim_id: int,
    documents: Mapping[str, str],
    *,
    actor: str,
) -> ClaimRow:
    """Add documents, as SHA-256 by kind, to a claim that is not complete, of a death or any other; decide it once it is.

    Raises:
        UnknownClaim, ClaimDecided: there is none, or it lacks nothing.
    """
    if (await claiming.find_claim(session, claim_id)).kind != DEATH:
        return await claiming.add_documents(session, keys, tenant, claim_id, documents, actor=actor)
    row = await _prepared(session, await _held(session, claim_id, {"open"}), actor, documents=documents)
    body = {"claim": str(row.claim_id), "documents": dict(documents)}
    await claiming.note(session, tenant, EventKind.BENEFIT_DOCUMENTED, row.member_id, actor, body)
    return await consider(session, keys, tenant, row, actor)


async def list_heirs(
    session: AsyncSession, keys: FileKeyStore, claim_id: int, *, actor: str
) -> tuple[ClaimRow, list[KnownHeir]]:
    """Return a death's claim with everybody who may inherit; the reading is noted.

    Raises:
        UnknownClaim: there is none of a death.
    """
    row = await _held(session, claim_id, None)
    await identity.read_people(session, keys, [row.member_id], actor=actor, reason="death-claim")
    given = await queries.inheritances_of(session, row.member_id, row.claim_id)
    found = await queries.heirs_of(session, row.member_id, row.product)
    return row, [
        KnownHeir(row=one, person=await opened(session, keys, row, one), given=given.get(one.heir_no)) for one in found
    ]


async def consider(session: AsyncSession, keys: FileKeyStore, tenant: Tenant, row: ClaimRow, actor: str) -> ClaimRow:
    """Decide a claim as it stands now: who inherits, how much leaves the account; or note what still lacks."""
    assert row.estate is not None, row
    estate = row.estate
    row = replace(
        row, state="open", amount=0, tax=0, forfeited=0, top_up=0, returned=0, parts=(), facts=None, digest=""
    )
    await claims.save_claim(session, row)
    member = await claiming.member_of(session, row)
    death = await check_confirmed(session, row.member_id)
    pension = await surviving.end_at_death(session, tenant, row.member_id, row.product, estate.died_on)
    stands = await claiming.standing_of(session, keys, tenant, member, actor=actor)
    stands = await claiming.with_interest(session, tenant, row, stands, actor)
    on = stands.claimant.on
    terms = death_terms(
        tenant, row.product, on=on, joined_on=member.joined_on, born_on=stands.claimant.born_on, died_on=estate.died_on
    )
    heirs = await queries.heirs_of(session, row.member_id, row.product)
    waiting = await _waiting(session, row)
    held = sum(one.minor for one in stands.claimant.holdings) + sum(waiting.values())
    case = DeathCase(
        on=on,
        died_on=estate.died_on,
        born_on=stands.claimant.born_on,
        is_registered=not death.is_reported,
        has_begun=await _has_retired(session, row),
        corpus=await _corpus_of(session, row, pension),
        minor=held + (pension.plan.reserve.minor if pension and pension.plan.reserve else 0),
        choice=cast("Choice", estate.choice),
        documents=frozenset(row.request.documents),
        heirs=tuple(
            Heir(
                heir_no=one.heir_no,
                named_as="nominee" if one.named_as == "nominee" else "heir",
                share_bp=one.share_bp,
                is_spouse=one.is_spouse,
                is_out=bool(one.gone),
            )
            for one in heirs
            if one.gone != "replaced"
        ),
    )
    rules: Sequence[str] = tuple(one.ref for one in terms.corpora)
    try:
        found = entitled(terms, case, stands.figures)
        rules = found.rules
        estate = msgspec.structs.replace(
            estate,
            basis=found.basis,
            shares={str(heir): weight for heir, weight in found.weights.items()},
            waiting=as_holdings(waiting) if found.weights else (),
            missing=found.missing,
            rules=found.rules,
            until=found.until,
            keeps_bp=0 if found.corpus is None else found.corpus.rule.set_off_bp,
            children=await _children(session, keys, row, terms, heirs, found.weights, on),
        )
        if any(one.pledged for one in stands.claimant.loans):
            estate = msgspec.structs.replace(estate, missing=(*found.missing, LENDERS_WORD))
        row = replace(row, estate=estate)
        if estate.missing:
            await claims.save_claim(session, row)
            return row
        if found.goes_on:
            return await _continue(session, tenant, row, found, terms, actor)
        owed = pension if case.corpus == "due" and _is_by_table(found) else None
        if not held and owed is None:
            raise NothingAtOnce(option=found.rules[0].partition("@")[0])
        return await _decide(session, tenant, row, found, stands, owed, actor)
    except NoPriceYet:
        raise
    except EngineError as error:
        row = replace(row, completed_at=await ledger.scheme_now(session))
        return await claiming.refuse(session, tenant, row, error, rules, actor)


async def _corpus_of(
    session: AsyncSession, row: ClaimRow, pension: ScheduleRow | None
) -> Literal["unknown", "due", "given"]:
    if pension is None:
        return "unknown"
    return "given" if await queries.was_corpus_given(session, row.member_id, row.product) else "due"


def _is_by_table(found: Entitled) -> bool:
    return found.corpus is not None and found.corpus.rule.table is not None


async def _decide(
    session: AsyncSession,
    tenant: Tenant,
    row: ClaimRow,
    found: Entitled,
    stands: Standing,
    pension: ScheduleRow | None,
    actor: str,
) -> ClaimRow:
    """Grant the account to who inherits; after a pension whose corpus a table says, up to that."""
    year_of = tenant.product(row.product).scheme_year
    granted = estate_of(found, stands.terms, stands.claimant, stands.figures, year_of, tenant.asset)
    role = ""
    if pension is not None:
        ended = surviving.pensioned(pension)
        granted, role = with_corpus(found, granted, ended, tenant.pack.tables, tenant.asset), ended.role
        assert row.estate is not None, row
        row = replace(row, estate=msgspec.structs.replace(row.estate, corpus=True))
    if stands.is_unitised and granted.rule not in {one.rule.id for one in stands.terms.exits}:
        whole = {(one.pot, one.origin): one.minor for one in stands.claimant.holdings}
        given = (*granted.parts, *granted.forfeited)
        assert all(whole.get((one.pot, one.origin), 0) == one.minor for one in given), granted
    elif stands.is_unitised and (granted.top_up_minor or granted.forfeited):
        raise NoExit(ground=DEATH)
    granted = replace(granted, rules=(*found.rules, *granted.rules))
    now = await ledger.scheme_now(session)
    row = replace(row, completed_at=now)
    return await claiming.grant(session, tenant, row, granted, stands, actor, now, pool_role=role)


async def _continue(
    session: AsyncSession, tenant: Tenant, row: ClaimRow, found: Entitled, terms: DeathTerms, actor: str
) -> ClaimRow:
    """Let the account go on for the spouse, who pays in or has a pension, which begins: nothing else leaves it until they leave, or die."""
    plan = None
    if found.pension_bp and terms.spouse is not None:
        plan = await surviving.begin_survivors(session, tenant, row, found, terms.spouse, actor=actor)
    now = await ledger.scheme_now(session)
    until = "" if found.until is None else found.until.isoformat()
    told = Determination(
        kind="benefit-claim",
        product=row.product,
        decided_on=business_date(now, tenant.time_zone),
        rules=found.rules,
        member_id=row.member_id,
        inputs={"claim": str(row.claim_id), "kind": DEATH, "choice": row.estate.choice if row.estate else ""},
        outcome={
            "contributes_until": until,
            "pension_bp": str(found.pension_bp),
            **({} if plan is None else {"pension": str(plan.amount), "first_due_on": plan.due_on(1).isoformat()}),
        },
    )
    (decision,) = await tenancy.record(session, tenant, [told])
    row = replace(row, state="continued", rule=found.rules[0].partition("@")[0], decision=decision, completed_at=now)
    body = {"claim": str(row.claim_id), "product": row.product, "until": until}
    await claiming.note(session, tenant, EventKind.DEATH_CLAIM_CONTINUED, row.member_id, actor, body, rules=found.rules)
    await claims.save_claim(session, row)
    return row


async def _children(
    session: AsyncSession,
    keys: FileKeyStore,
    row: ClaimRow,
    terms: DeathTerms,
    heirs: Sequence[HeirRow],
    weights: Mapping[int, int],
    on: date,
) -> tuple[int, ...]:
    """Return the heirs under age, whose money is held in trust; an age that nobody told is taken for a grown-up's."""
    children = []
    for one in heirs:
        if one.heir_no in weights:
            person = await opened(session, keys, row, one)
            if person.born_on is not None and on < majority_of(terms.trust, person.born_on):
                children.append(one.heir_no)
    if children and terms.trust is not None and terms.trust.rule.earns == "fund":
        raise TrustNotOffered(earns=terms.trust.rule.earns)
    return tuple(children)


async def _waiting(session: AsyncSession, row: ClaimRow) -> dict[tuple[str, str], int]:
    """Return what is payable to the member already and no payout takes; nothing while units that they sold are not paid for."""
    if await queries.own_claims(session, row.member_id, row.product, ("selling",)):
        return {}
    left = await paying.payable_left(session, row.member_id, row.product)
    return {place: minor for place, minor in left.items() if minor > 0}


async def _has_retired(session: AsyncSession, row: ClaimRow) -> bool:
    products = await enrolment.products_behind(session, row.member_id, row.product)
    granted = await claims.claims_of(session, row.member_id, products)
    # Who took everything at once has no benefit that goes on: what comes later is left as before one.
    return any(one.kind == "retirement" and one.facts and one.facts.schedule for one in granted)


async def _name(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    row: ClaimRow,
    heirs: Sequence[HeirNamed],
    named_as: str,
    actor: str,
) -> list[int]:
    """Write heirs, sealed; return their numbers."""
    known = await queries.heirs_of(session, row.member_id, row.product)
    first = max((one.heir_no for one in known), default=0) + 1
    rows = []
    for heir_no, one in enumerate(heirs, first):
        sealed = await identity.seal_for(
            session, keys, row.member_id, "heirs", f"{row.product}:{heir_no}", msgspec.json.encode(one.person)
        )
        if sealed is None:
            raise UnknownMember
        rows.append(
            HeirRow(
                heir_no=heir_no, named_as=named_as, share_bp=one.share_bp, is_spouse=one.is_spouse, gone="",
                documents=one.documents, document=sealed, maker=actor,
            )
        )  # fmt: skip
    if rows:
        maker = await ledger.actor_id(session, actor)
        await queries.add_heirs(session, row.member_id, row.product, rows, maker=maker)
        body = {
            "claim": str(row.claim_id),
            "as": named_as,
            "heirs": [one.heir_no for one in rows],
            "shares_bp": [one.share_bp for one in rows],
        }
        await claiming.note(session, tenant, EventKind.HEIRS_NAMED, row.member_id, actor, body)
    return [one.heir_no for one in rows]


async def _propose_anew(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    row: ClaimRow,
    heirs: Sequence[HeirNamed],
    known: Mapping[int, int],
    by_law: set[int],
    actor: str,
) -> ClaimRow:
    """Keep new shares until another person has approved them; late heirs have none before."""
    assert row.estate is not None, row
    if row.estate.basis != "heirs" or not heirs or set(known) != by_law:
        raise ClaimDecided(state=row.state)
    late = await _name(session, keys, tenant, row, [replace(one, share_bp=0) for one in heirs], "heir", actor)
    anew = {**known, **{heir_no: one.share_bp for heir_no, one in zip(late, heirs, strict=True)}}
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    member = await claiming.member_of(session, row)
    terms = death_terms(
        tenant, row.product, on=today, joined_on=member.joined_on, born_on=None, died_on=row.estate.died_on
    )
    people = [one for one in await queries.heirs_of(session, row.member_id, row.product) if one.heir_no in late]
    children = await _children(session, keys, row, terms, people, anew, today)
    estate = msgspec.structs.replace(
        row.estate,
        anew={str(heir): weight for heir, weight in anew.items()},
        children=tuple(sorted({*row.estate.children, *children})),
    )
    row = replace(row, estate=estate)
    await claims.save_claim(session, row)
    return row


async def _prepared(
    session: AsyncSession,
    row: ClaimRow,
    actor: str,
    *,
    documents: Mapping[str, str] | None = None,
    choice: str = "",
) -> ClaimRow:
    """Note who had a part in a claim, and what they brought."""
    assert row.estate is not None, row
    estate = msgspec.structs.replace(
        row.estate,
        prepared_by=tuple(sorted({*row.estate.prepared_by, actor})),
        choice=choice or row.estate.choice,
    )
    request = msgspec.structs.replace(row.request, documents={**row.request.documents, **(documents or {})})
    row = replace(row, estate=estate, request=request)
    await claims.save_claim(session, row)
    return row


async def _heir(session: AsyncSession, row: ClaimRow, heir_no: int) -> HeirRow:
    for one in await queries.heirs_of(session, row.member_id, row.product):
        if one.heir_no == heir_no and one.gone != "replaced":
            return one
    raise UnknownHeir


async def _held(session: AsyncSession, claim_id: int, states: set[str] | None) -> ClaimRow:
    row = await claiming.hold_claim(session, claim_id, states)
    if row.estate is None:
        raise UnknownClaim
    if row.closed_event and states is not None:
        raise ClaimDecided(state="closed")
    return row
