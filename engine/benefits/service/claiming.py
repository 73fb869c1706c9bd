"""Claims of benefits: opened, decided by the rules, approved by a second person, sold where they are in units, payable.

A claim is complete once its documents are there; then the rules decide it at once, and the legal clock starts. What it is
granted is reserved: nobody can claim it again. It leaves the member's accounts as another person approves it. Where a
product is in funds, units are sold, and what they bring is what the claim pays; only money that has come from the
manager becomes payable by it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TypedDict
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.benefits.errors import (
    AlreadyClaimed,
    ChoiceCoolingOff,
    ClaimDecided,
    ClaimDiffers,
    ClaimKeyReused,
    ClaimMoneyGone,
    NoExit,
    NoPriceYet,
    NothingAtOnce,
    PaymentsSuspended,
    PensionNotOffered,
    UnknownClaim,
)
from engine.benefits.queries import claiming as queries
from engine.benefits.queries import covering as covering_queries
from engine.benefits.queries import lending as lending_queries
from engine.benefits.queries import payroll, schedules
from engine.benefits.queries import premiums as premium_queries
from engine.benefits.queries.claiming import ClaimRow, Estate, LastPrice, Piece, Request, TaxFacts
from engine.benefits.rules import (
    AccessRule,
    Asked,
    Claimant,
    ClaimKind,
    ClaimTerms,
    ExitTaxRule,
    Granted,
    Holding,
    RetirementOptionRule,
    Taxed,
    TransferOutRule,
    claim_due,
    consume,
    decide_claim,
    missing_documents,
    rules_named,
    tax_of,
    tranches_of,
)
from engine.benefits.rules.claiming import COVER, LOAN, TRANSFER, claim_terms, ground_taxed, held_for, pots_of
from engine.benefits.rules.cover import CoverRule
from engine.benefits.rules.schedules import SchedulePlan
from engine.benefits.rules.topping import topped
from engine.benefits.service import annuities, inheriting, lending, promises, surviving, transits
from engine.benefits.service.histories import counts, moves_behind, paid_into, pot_now
from engine.benefits.service.scheduling import begin_schedule
from engine.enrolment import service as enrolment
from engine.enrolment.rules import in_force_on
from engine.funds import service as funds
from engine.funds.errors import NotEnoughUnits
from engine.funds.rules import FundsRule
from engine.funds.service import SaleState, Units
from engine.identity import service as identity
from engine.identity.errors import UnknownMember
from engine.identity.rules import MemberRef
from engine.kernel.clock import business_date
from engine.kernel.errors import EngineError
from engine.kernel.ids import body_digest, claim_digest
from engine.kernel.prices import Price, value_of
from engine.kernel.rules import Dates
from engine.kernel.series import Figures
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Outcome, Transfer
from engine.runtime import quarantine
from engine.runtime.database import Database, retry_transaction
from engine.runtime.key_file import FileKeyStore
from engine.tenancy import service as tenancy
from engine.tenancy.rules.decided import Determination
from engine.tenancy.service import Tenant

_ACTOR = "system:claims"
NO_TAX = Taxed(tax_minor=0, returned_minor=0, rules=())


@dataclass(frozen=True, slots=True)
class Standing:
    """A member as they stand on a day: the terms, the claimant, the units behind holdings, and the figures."""

    terms: ClaimTerms
    claimant: Claimant
    units: Mapping[tuple[str, str, str], int]
    prices: Mapping[str, LastPrice]
    figures: Figures
    is_unitised: bool


async def standing_of(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, member: MemberRef, *, actor: str, without: int = 0
) -> Standing:
    """Return what rules and money a member's claims are decided by, now; nobody can move the money until the session ends.

    Free to be claimed is what the accounts hold, less what claims that wait for approval will take and what is pledged. Of a
    product in funds it is the units, at their last price: cash there is on its way into a dealing. The claim `without`
    counts as not made.

    Raises:
        UnknownMember: they were erased.
        NoPriceYet: units are held of a fund without a price.
    """
    people = await identity.read_people(session, keys, [member.member_id], actor=actor, reason="claim")
    if member.member_id not in people:
        raise UnknownMember
    person = people[member.member_id].person
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    moves = await moves_behind(session, tenant, member.member_id, member.product)
    asked = Dates(on=today, joined_on=member.joined_on)
    is_unitised = tenant.rule(FundsRule, product=member.product, dates=asked) is not None
    chart = await ledger.accounts_by_code(session)
    kind = "units" if is_unitised else "cash"
    codes = [code for code, one in chart.items() if one.kind == kind and one.product == member.product]
    held = await ledger.hold_balances(session, member.member_id, codes)
    # Asked once the money is held: a claim of it that ran beside this one has ended.
    products = [member.product, *(one.source for one in moves)]
    granted = await queries.claims_of(session, member.member_id, products)
    granted = [one for one in granted if one.claim_id != without]
    earlier = [
        one for one in granted if one.kind != LOAN or (one.request.lender and one.state in ("selling", "payable"))
    ]
    reserved = [one for one in granted if one.state in ("decided", "pledged")]
    before = claimed_before([one for one in earlier if counts(moves, member.product, one.product, "last-withdrawal")])
    before["taken"] = (
        *before["taken"],
        *await lending_queries.lent_movements(session, member.member_id, products, today),
    )
    before["returned"] = tuple(
        (frozenset(pot_now(moves, member.product, row.product, piece.pot) for piece in row.parts), row.returned)
        for row in earlier
        if counts(moves, member.product, row.product, "cost-basis")
    )
    left = {
        (one.pot, one.origin, one.fund): left_of(one.pot, one.origin, one.fund, balance, reserved)
        for code, balance in held.items()
        for one in (chart[code],)
    }
    for code in await schedules.reserved_codes(session, member.member_id, member.product):
        one = chart[code]
        left.pop((one.pot, one.origin, ""), None)
    units = {key: amount for key, amount in left.items() if amount > 0} if is_unitised else {}
    prices = await queries.last_prices(session, sorted({fund for _, _, fund in units}), today) if units else {}
    slab = await _slab(session, member, today)
    claimant = Claimant(
        on=today,
        joined_on=member.joined_on,
        born_on=person.born_on,
        sex=person.sex,
        slab=slab,
        holdings=holdings_of(tenant, left, prices),
        paid=await paid_into(session, member.member_id, member.product, moves, today),
        **before,
        loans=await lending.loans_of(session, member.member_id, products, granted),
        keys={"slab": slab} if slab else {},
        holds_units=is_unitised,
        settled=await promises.settled_of(session, member.member_id, member.product),
    )
    return Standing(
        claim_terms(tenant.pack, member.product, claimant),
        claimant,
        units,
        prices,
        await tenancy.figures_for(session, tenant),
        is_unitised,
    )


def left_of(pot: str, origin: str, fund: str, balance: int, reserved: Sequence[ClaimRow]) -> int:
    """Return what claims that wait for approval leave of a balance: units of a fund, or cash where it is none."""
    pieces = [piece for row in reserved for piece in row.parts if (piece.pot, piece.origin) == (pot, origin)]
    return balance - sum(piece.units.get(fund, 0) if fund else piece.minor for piece in pieces)


def holdings_of(
    tenant: Tenant, left: Mapping[tuple[str, str, str], int], prices: Mapping[str, LastPrice]
) -> tuple[Holding, ...]:
    """Return what is left by pot, origin and fund as money by pot and origin: units at their last price, rounded down.

    Raises:
        NoPriceYet: there are units of a fund without a price.
    """
    worth: dict[tuple[str, str], int] = {}
    for (pot, origin, fund), amount in left.items():
        if fund and amount <= 0:
            continue
        if fund and fund not in prices:
            raise NoPriceYet(fund=fund)
        minor = _worth(tenant, amount, prices[fund]) if fund else amount
        worth[pot, origin] = worth.get((pot, origin), 0) + minor
    return tuple(Holding(pot, origin, max(minor, 0)) for (pot, origin), minor in sorted(worth.items()))


class ClaimedBefore(TypedDict):
    """What earlier claims took, as a `Claimant` says it."""

    withdrawn: Mapping[str, tuple[tuple[date, int], ...]]
    taken: tuple[tuple[date, str, str, int], ...]
    returned: tuple[tuple[frozenset[str], int], ...]


def claimed_before(earlier: Sequence[ClaimRow]) -> ClaimedBefore:
    """Return what a member's claims that were granted took.

    What a loan took may come back, and is no benefit; what a lender was given is gone.
    """
    earlier = [
        one for one in earlier if one.kind != LOAN or (one.request.lender and one.state in ("selling", "payable"))
    ]
    withdrawn: dict[str, tuple[tuple[date, int], ...]] = {}
    for row in earlier:
        withdrawn[row.rule] = (*withdrawn.get(row.rule, ()), (row.opened_on, row.amount))
    return {
        "withdrawn": withdrawn,
        "taken": tuple((row.opened_on, piece.pot, piece.origin, piece.minor) for row in earlier for piece in row.parts),
        "returned": tuple((frozenset(piece.pot for piece in row.parts), row.returned) for row in earlier),
    }


async def _slab(session: AsyncSession, member: MemberRef, today: date) -> str:
    """Return the pension that a member pays for by what they undertook; "" where they undertook none."""
    asked = (member.member_id, member.product)
    given = (await enrolment.undertakings_of(session, [asked]))[asked]
    held = in_force_on(given, today) if given else None
    return "" if held is None else held.slab


async def open_claim(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    member: MemberRef,
    *,
    kind: ClaimKind,
    request: Request,
    minor: int | None,
    key: str,
    actor: str,
) -> ClaimRow:
    """Open a claim, once for its key; decide it at once if it is complete.

    A claim that the rules refuse is kept as refused, with the reason and the number of the decision.

    Args:
        session: the use case's.
        keys: open the member's birth date.
        tenant: the scheme.
        member: as they stand in the product.
        kind: which benefit.
        request: by which rule, for what, with which documents.
        minor: smallest units (> 0); None for as much as the rule gives.
        key: the caller's own name for the claim.
        actor: who opens it, and so may not approve it.

    Raises:
        ClaimKeyReused: the key was used for another claim.
        UnknownMember, NoPriceYet: as `standing_of`.
    """
    claim = claim_digest(tenant.tenant_id, f"benefit-claim:{actor}", key)
    said = body_digest(member.member_id, member.product, kind, _said(request), minor)
    stands = await standing_of(session, keys, tenant, member, actor=actor)
    earlier = await queries.claimed_event(session, claim)
    if earlier is not None:
        return await _same(session, earlier, said)
    maker = await ledger.actor_id(session, actor)
    body = {
        "product": member.product,
        "kind": kind,
        "rule": request.rule,
        "ground": request.ground,
        "purpose": request.purpose,
        "amount": "" if minor is None else str(minor),
        "documents": dict(request.documents),
    }
    event_id = await note(
        session, tenant, EventKind.BENEFIT_CLAIMED, member.member_id, actor, body, claims=(claim,), said=said
    )
    if event_id is None:
        found = await queries.claimed_event(session, claim)
        assert found is not None, "a key names one claim"
        return await _same(session, found, said)
    row = ClaimRow(
        member_id=member.member_id,
        claim_id=event_id,
        kind=kind,
        product=member.product,
        rule=request.rule,
        state="open",
        asked=minor or 0,
        opened_on=stands.claimant.on,
        maker=actor,
        request=request,
    )
    await queries.add_claim(session, row, maker)
    return await _complete(session, tenant, row, stands, actor)


def _said(request: Request) -> bytes:
    """Return a request as its key knows it: what only loans, covers and transfers say, only where it is said."""
    said: dict[str, object] = msgspec.to_builtins(request)
    later = ("instalments", "lender", "percent", "happened_on", "receiving")
    return msgspec.json.encode({name: one for name, one in said.items() if one or name not in later}, order="sorted")


async def add_documents(
    session: AsyncSession,
    keys: FileKeyStore,
    tenant: Tenant,
    claim_id: int,
    documents: Mapping[str, str],
    *,
    actor: str,
) -> ClaimRow:
    """Add documents, as SHA-256 by kind, to a claim that is not complete; decide it once it is.

    Raises:
        UnknownClaim, ClaimDecided: there is none, or it lacks nothing.
    """
    row = await hold_claim(session, claim_id, {"open"})
    row = replace(row, request=msgspec.structs.replace(row.request, documents={**row.request.documents, **documents}))
    await note(
        session,
        tenant,
        EventKind.BENEFIT_DOCUMENTED,
        row.member_id,
        actor,
        {"claim": str(row.claim_id), "documents": dict(documents)},
    )
    await queries.save_claim(session, row)
    member = await member_of(session, row)
    stands = await standing_of(session, keys, tenant, member, actor=actor)
    return await _complete(session, tenant, row, stands, actor)


async def approve_claim(db: Database, tenant: Tenant, claim_id: int, *, digest: str, actor: str) -> ClaimRow:
    """Let a claim be paid, as a second person who has read what `digest` is of.

    Cash becomes payable at once, less tax and what is forfeited, in one event. Units are put up for sale.

    Raises:
        UnknownClaim, ClaimDecided: there is none, or it is not waiting for approval.
        ClaimDiffers: `digest` is not that of the decided claim.
        SamePerson: `actor` opened it.
        ClaimMoneyGone: the account no longer holds it, as cash or as units.
        PaymentsSuspended: the member has died since.
        ChoiceCoolingOff: the member may still choose otherwise.
        DeathNotConfirmed: the claim is of their death, and it is taken back.
    """

    async def once() -> ClaimRow:
        async with db.unit_of_work(tenant.tenant_id) as session:
            row = await hold_claim(session, claim_id, {"decided"})
            checked_by_other(maker=row.maker, checker=actor)
            if digest != row.digest:
                raise ClaimDiffers
            await _check_approval(session, row, actor)
            await _check_cooled(session, tenant, row)
            checker = await ledger.actor_id(session, actor)
            if row.kind == LOAN and row.request.lender:
                return await _pledge(session, tenant, row, actor, checker)
            if row.kind == COVER:
                return await _ask_payer(session, tenant, row, actor, checker)
            wanted = _units_of(row)
            if not wanted:
                return await _make_payable(session, tenant, row, actor, EventKind.BENEFIT_APPROVED, checker=checker)
            event_id = await note(session, tenant, EventKind.BENEFIT_APPROVED, row.member_id, actor, _facts(row))
            try:
                sale = await funds.sell(
                    session,
                    tenant,
                    row.member_id,
                    row.product,
                    wanted,
                    day=await _today(session, tenant),
                    actor=actor,
                    reference=f"claim:{row.claim_id}",
                )
            except NotEnoughUnits as taken:
                raise ClaimMoneyGone from taken
            row = replace(row, state="selling", checker=actor, approved_event=event_id or 0, sale_event=sale.event_id)
            await queries.save_claim(session, row, checker=checker)
            return row

    return await retry_transaction(once)


async def _pledge(session: AsyncSession, tenant: Tenant, row: ClaimRow, actor: str, checker: int) -> ClaimRow:
    """Hold what a claim pledges back for the lender: it stays where it is, and nobody can take it."""
    event_id = await note(session, tenant, EventKind.BENEFIT_APPROVED, row.member_id, actor, _facts(row))
    row = replace(row, state="pledged", checker=actor, approved_event=event_id or 0)
    await queries.save_claim(session, row, checker=checker)
    await lending.begin(session, tenant, row, row.approved_event)
    return row


async def _ask_payer(session: AsyncSession, tenant: Tenant, row: ClaimRow, actor: str, checker: int) -> ClaimRow:
    """Let whoever pays the sum of a cover be asked for it; nothing is payable before they say yes."""
    event_id = await note(session, tenant, EventKind.BENEFIT_APPROVED, row.member_id, actor, _facts(row))
    row = replace(row, state="asked", checker=actor, approved_event=event_id or 0)
    assert row.facts is not None, row
    assert row.request.happened_on is not None, row
    await queries.save_claim(session, row, checker=checker)
    await covering_queries.add_cover_claim(
        session,
        row.member_id,
        row.claim_id,
        amount=row.amount,
        happened_on=row.request.happened_on,
        product=row.product,
        payer=row.facts.topped_up_by,
        peril=row.request.ground,
    )
    return row


def told_as_answered(row: ClaimRow, reason: str) -> dict[str, object]:
    """Return what an event says of a claim of a cover that whoever pays agreed to, or refused for a reason."""
    return {**_facts(row), **({"code": reason} if reason else {})}


async def take_pledged(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, row: ClaimRow, minor: int, *, actor: str, leaves: bool
) -> ClaimRow:
    """Let a pledge hold `minor` smallest units back from now on, or, if it `leaves`, give as much to the lender.

    It is taken by the order of the loan's rule out of what is there now; a fall in price may leave less. Units are put up for
    sale, and the lender gets what they bring.
    """
    member = await member_of(session, row)
    stands = await standing_of(session, keys, tenant, member, actor=actor, without=row.claim_id)
    loan = next(one for one in stands.terms.loans if one.rule.id == row.rule)
    parts = consume(minor, stands.claimant.holdings, loan.rule.base).parts
    granted = Granted(rule=row.rule, parts=parts, rules=(loan.ref,))
    row = replace(row, parts=_pieces(tenant, granted, stands), amount=granted.minor)
    if not leaves:
        await queries.save_claim(session, row)
        return row
    wanted = _units_of(row)
    if not wanted:
        return await _make_payable(session, tenant, row, actor, EventKind.BENEFIT_PAYABLE)
    today, reference = await _today(session, tenant), f"claim:{row.claim_id}"
    sale = await funds.sell(
        session, tenant, row.member_id, row.product, wanted, day=today, actor=actor, reference=reference
    )
    row = replace(row, state="selling", sale_event=sale.event_id)
    await queries.save_claim(session, row)
    return row


async def reject_claim(session: AsyncSession, tenant: Tenant, claim_id: int, *, digest: str, actor: str) -> ClaimRow:
    """Refuse a decided claim, as a second person; raises as `approve_claim` does."""
    row = await hold_claim(session, claim_id, {"decided"})
    for maker in (row.maker, *(row.estate.prepared_by if row.estate else ())):
        checked_by_other(maker=maker, checker=actor)
    if digest != row.digest:
        raise ClaimDiffers
    checker = await ledger.actor_id(session, actor)
    await note(session, tenant, EventKind.BENEFIT_REJECTED, row.member_id, actor, _facts(row))
    row = replace(row, state="refused", reason="rejected", checker=actor)
    await queries.save_claim(session, row, checker=checker)
    return row


async def withdraw_claim(session: AsyncSession, tenant: Tenant, claim_id: int, *, actor: str) -> ClaimRow:
    """Give a claim up that is not approved; UnknownClaim or ClaimDecided where there is none such."""
    row = await hold_claim(session, claim_id, {"open", "decided"})
    await note(session, tenant, EventKind.BENEFIT_WITHDRAWN, row.member_id, actor, _facts(row))
    row = replace(row, state="withdrawn")
    await queries.save_claim(session, row)
    return row


async def find_claim(session: AsyncSession, claim_id: int) -> ClaimRow:
    """Return a claim; UnknownClaim if there is none."""
    row = await queries.find_claim(session, claim_id)
    if row is None:
        raise UnknownClaim
    return row


async def list_claims(session: AsyncSession, *, state: str = "", after: int = 0, most: int = 100) -> list[ClaimRow]:
    """Return claims after claim `after`, the oldest first."""
    return await queries.list_claims(session, state=state, after=after, most=most)


async def carry_on_claims(db: Database, tenant: Tenant) -> int:
    """Make payable what claims' units brought, once their money has come; return how many claims were carried on.

    Each in a transaction of its own; may be stopped and run again, and run twice at once. One that fails is put aside.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        waiting = await queries.selling_claims(session)

    async def carry_on(claim_id: int) -> bool:
        async def once() -> bool:
            async with db.unit_of_work(tenant.tenant_id) as session:
                row = await queries.find_claim(session, claim_id, hold=True)
                if row is None or row.state != "selling":
                    return False
                progress = await funds.sale_progress(session, tenant, row.member_id, row.sale_event)
                if progress is None or progress.state is not SaleState.SETTLED:
                    return False
                row = _as_guaranteed(replace(row, parts=_brought(row, progress.proceeds)))
                await _make_payable(session, tenant, row, _ACTOR, EventKind.BENEFIT_PAYABLE)
                return True

        return await retry_transaction(once)

    return await quarantine.each(
        db, tenant.tenant_id, waiting, carry_on, task="benefits.carry_on_claims", owner="claims-officer"
    )


def _as_guaranteed(row: ClaimRow) -> ClaimRow:
    """Return a claim whose units are sold with what is guaranteed: what they brought is raised to it, or is above it."""
    assert row.facts is not None, row
    said = row.facts.guarantee
    if said is None:
        return row
    paid = [one for one in row.parts if not one.is_forfeited]
    raised = topped(
        [Holding(one.pot, one.origin, one.minor) for one in paid], said.least, to_guarantor=said.takes_excess
    )
    units = {(one.pot, one.origin): one.units for one in paid}
    parts = [
        Piece(pot=one.pot, origin=one.origin, minor=one.minor, is_forfeited=lost, units=units[one.pot, one.origin])
        for lost, found in ((False, raised.paid), (True, raised.excess))
        for one in found
    ]
    facts = msgspec.structs.replace(
        row.facts,
        topped_up_by=said.by if raised.top_up_minor else "",
        forfeited_to=said.by if raised.excess else row.facts.forfeited_to,
    )
    parts += [one for one in row.parts if one.is_forfeited]
    return replace(row, parts=tuple(parts), top_up=raised.top_up_minor, facts=facts)


def missing_of(tenant: Tenant, row: ClaimRow) -> tuple[str, ...]:
    """Return the documents that an open claim lacks, by the rules as the member's product has them on the day it was opened."""
    if row.estate is not None:
        return row.estate.missing
    dates = Dates(
        on=row.opened_on,
        joined_on=row.opened_on,
        born_on=row.opened_on,
        tranche_on=row.opened_on,
        scheme_year_from=row.opened_on,
        benefit_from=row.opened_on,
    )
    terms = ClaimTerms(
        access=tenant.rules(AccessRule, product=row.product, dates=dates),
        options=tenant.rules(RetirementOptionRule, product=row.product, dates=dates),
        transfer=tenant.rule(TransferOutRule, product=row.product, dates=dates),
    )
    return missing_documents(terms, _asked(row))


def _asked(row: ClaimRow) -> Asked:
    request = row.request
    kinds: Mapping[str, ClaimKind] = {
        "access": "access",
        "retirement": "retirement",
        "exit": "exit",
        "loan": "loan",
        "cover": "cover",
        "transfer": "transfer",
    }
    return Asked(
        kind=kinds[row.kind],
        rule=request.rule,
        ground=request.ground,
        purpose=request.purpose,
        documents=frozenset(request.documents),
        minor=row.asked or None,
        lump_bp=request.lump_bp,
        years=request.years,
        is_pre_tax=request.is_pre_tax,
        instalments=request.instalments,
        lender=request.lender,
        lender_percent=request.percent,
        happened_on=request.happened_on,
        by_scheme=request.receiving is not None and request.receiving.by_scheme,
    )


async def _complete(session: AsyncSession, tenant: Tenant, row: ClaimRow, stands: Standing, actor: str) -> ClaimRow:
    """Decide a claim that lacks nothing."""
    asked = _asked(row)
    if missing_documents(stands.terms, asked):
        return row
    now = await ledger.scheme_now(session)
    row = replace(row, completed_at=now)
    year_of = tenant.product(row.product).scheme_year
    try:
        if row.kind == COVER:
            stands = await _as_covered(session, tenant, row, stands)
        else:
            await _check_living(session, row)
        if row.kind in ("exit", "retirement", TRANSFER):
            stands = await with_interest(session, tenant, row, stands, actor)
        if row.kind == TRANSFER:
            await transits.check_free(session, row, is_unitised=stands.is_unitised)
        granted = decide_claim(stands.terms, asked, stands.claimant, stands.figures, year_of, tenant.asset)
        if row.kind not in ("access", LOAN, TRANSFER):
            for one in await queries.claims_of(session, row.member_id, [row.product]):
                is_other = row.kind == COVER and (one.request.ground, one.request.happened_on) != (
                    row.request.ground,
                    row.request.happened_on,
                )
                if one.rule == granted.rule and one.kind == row.kind and not is_other:
                    raise AlreadyClaimed
        if stands.is_unitised and granted.pooled and granted.parts:
            raise PensionNotOffered(option=granted.rule)
        if stands.is_unitised and granted.schedule is not None and granted.schedule.reserve is None:
            if not granted.minor:
                raise NothingAtOnce(option=granted.rule)
            granted = replace(granted, schedule=None)
        if stands.is_unitised and row.kind == "exit":
            _check_sold_whole(row, granted, stands)
    except EngineError as error:
        return await refuse(session, tenant, row, error, rules_named(stands.terms, asked), actor)
    return await grant(session, tenant, row, granted, stands, actor, now)


async def with_interest(session: AsyncSession, tenant: Tenant, row: ClaimRow, stands: Standing, actor: str) -> Standing:
    """Return a member who leaves with what years that are not declared are credited now, where a rule says so."""
    claimant = stands.claimant
    credited = await funds.credit_at_exit(
        session, tenant, row.member_id, row.product, claimant.joined_on, claimant.on, actor=actor
    )
    worth = {(one.pot, one.origin): one.minor for one in claimant.holdings}
    for account, minor in credited.items():
        place = (account.pot, account.origin)
        worth[place] = worth.get(place, 0) + minor
    holdings = tuple(Holding(*place, minor) for place, minor in sorted(worth.items()))
    return replace(stands, claimant=replace(claimant, holdings=holdings))


async def _as_covered(session: AsyncSession, tenant: Tenant, row: ClaimRow, stands: Standing) -> Standing:
    """Return a member as they stood on the day of the event that a cover is claimed of: by the rules and in the class of that day."""
    on = row.request.happened_on or stands.claimant.on
    product = tenant.product(row.product)
    dates = Dates(on=on, joined_on=stands.claimant.joined_on, scheme_year_from=product.scheme_year(on)[0])
    covers = tenant.book(row.product).all_in_force(CoverRule, dates)
    class_code = await covering_queries.class_on(session, row.member_id, on)
    insurance = await premium_queries.insurance_of(session, row.member_id, row.product)
    return replace(
        stands,
        terms=replace(stands.terms, covers=covers),
        claimant=replace(stands.claimant, class_code=class_code, insurance=insurance),
    )


async def _check_approval(session: AsyncSession, row: ClaimRow, actor: str) -> None:
    if row.estate is not None:
        await inheriting.check_approval(session, row, actor)
    elif row.kind != COVER:
        await _check_living(session, row)


async def _check_living(session: AsyncSession, row: ClaimRow) -> None:
    if await enrolment.suspended(session, [row.member_id]):
        raise PaymentsSuspended


async def _check_cooled(session: AsyncSession, tenant: Tenant, row: ClaimRow) -> None:
    not_before = row.facts.not_before if row.facts else None
    if not_before is not None and await _today(session, tenant) < not_before:
        raise ChoiceCoolingOff(day=not_before.isoformat())


def _check_sold_whole(row: ClaimRow, granted: Granted, stands: Standing) -> None:
    """Refuse an exit out of units whose payment is not what the units bring: its price is not known yet."""
    whole = {(one.pot, one.origin): one.minor for one in stands.claimant.holdings}
    if granted.top_up_minor or any(whole[one.pot, one.origin] != one.minor for one in granted.parts):
        raise NoExit(ground=row.request.ground)


async def grant(
    session: AsyncSession,
    tenant: Tenant,
    row: ClaimRow,
    granted: Granted,
    stands: Standing,
    actor: str,
    now: datetime,
    *,
    pool_role: str = "",
) -> ClaimRow:
    """Write what the rules grant, with its tax, its legal clock and the digest that an approval names.

    What somebody adds is first taken from the pension pool of `pool_role`, where one is said.
    """
    claimant = stands.claimant
    pots = pots_of(granted)
    facts = TaxFacts(
        ground=ground_taxed(row.kind, row.request.ground),
        held=held_for(granted, claimant),
        on=claimant.on,
        joined_on=claimant.joined_on,
        is_pre_tax=row.request.is_pre_tax,
        returned=claimant.returned_from(pots),
        forfeited_to=granted.forfeited_to,
        topped_up_by=granted.topped_up_by,
        not_before=granted.not_before,
        pool_role=pool_role,
        guarantee=granted.guarantee,
        insurer=granted.insurer,
        charge=granted.charge_minor,
        charge_to=granted.charge_to,
        promised=granted.promised,
    )
    tranches = tranches_of(claimant, pots, facts.held, is_pre_tax=facts.is_pre_tax)

    def taxed_of(minor: int) -> Taxed:
        return tax_of(
            stands.terms,
            facts.ground,
            minor,
            tranches,
            stands.figures,
            on=claimant.on,
            joined_on=claimant.joined_on,
        )

    # What is lent comes back, or is taxed as it leaves for good: nothing is withheld of it.
    taxed = taxed_of(granted.minor) if granted.minor and row.kind not in (LOAN, COVER) else NO_TAX
    if granted.schedule is not None:
        rest = max(facts.held - granted.minor, 0)
        later = taxed_of(granted.minor + rest).tax_minor - taxed.tax_minor
        schedule = msgspec.structs.replace(granted.schedule, tax=max(later, 0), taxed=rest)
        facts = msgspec.structs.replace(facts, schedule=schedule)
    clock = claim_due(
        stands.terms.limits,
        opened_on=row.opened_on,
        completed_at=now,
        zone=tenant.time_zone,
        calendar=tenant.pack.business_calendar,
    )
    rules = (*granted.rules, *taxed.rules, *(() if clock is None else (clock[1].ref,)))
    due_on = None if clock is None else clock[0].last_day
    row = replace(
        row,
        state="decided",
        rule=granted.rule,
        amount=granted.minor,
        tax=taxed.tax_minor,
        returned=taxed.returned_minor,
        forfeited=sum(one.minor for one in granted.forfeited),
        top_up=granted.top_up_minor,
        due_on=due_on,
        parts=_pieces(tenant, granted, stands),
        facts=facts,
    )
    told = Determination(
        kind="benefit-claim",
        product=row.product,
        decided_on=claimant.on,
        rules=rules,
        member_id=row.member_id,
        inputs=_inputs(row),
        outcome={
            "amount": str(row.amount),
            "tax": str(row.tax),
            "forfeited": str(row.forfeited),
            "due_on": "" if due_on is None else due_on.isoformat(),
            **({} if row.estate is None else told_of(row.estate)),
            **{f"parts.{one.pot}.{one.origin}": str(one.minor) for one in granted.parts},
            **{f"promised.{one.rule}": str(one.minor) for one in granted.promised},
            **_told_later(facts),
        },
    )
    (decision,) = await tenancy.record(session, tenant, [told])
    row = replace(row, decision=decision)
    row = replace(row, digest=_digest(row))
    await note(session, tenant, EventKind.BENEFIT_DECIDED, row.member_id, actor, _facts(row), rules=rules)
    await queries.save_claim(session, row)
    return row


def _told_later(facts: TaxFacts) -> dict[str, str]:
    """Return what a determination says of later payments."""
    later = facts.schedule
    if later is None:
        return {}
    return {
        "later.form": later.terms.form,
        "later.first_due_on": later.due_on(1).isoformat(),
        "later.instalments": str(later.instalments) if later.instalments else "for-life",
        "later.amount": str(later.amount),
        "later.rest": str(later.rest),
        **({} if later.reserve is None else {"later.reserve": str(later.reserve.minor)}),
    }


async def refuse(
    session: AsyncSession, tenant: Tenant, row: ClaimRow, error: EngineError, rules: Sequence[str], actor: str
) -> ClaimRow:
    """Write that the rules refuse a claim, and why."""
    told = Determination(
        kind="benefit-claim",
        product=row.product,
        decided_on=await _today(session, tenant),
        rules=rules,
        member_id=row.member_id,
        code=error.code,
        inputs=_inputs(row),
        outcome=error.details,
    )
    (decision,) = await tenancy.record(session, tenant, [told])
    row = replace(row, state="refused", reason=error.code, decision=decision)
    await note(session, tenant, EventKind.BENEFIT_REFUSED, row.member_id, actor, {**_facts(row), "code": error.code})
    await queries.save_claim(session, row)
    return row


async def _make_payable(
    session: AsyncSession, tenant: Tenant, row: ClaimRow, actor: str, kind: EventKind, *, checker: int = 0
) -> ClaimRow:
    """Book what a claim pays: cash into payable (units' money is there already), and out of it what is forfeited and taxed."""
    assert row.facts is not None, row
    facts, money, product = row.facts, tenant.asset.symbol, row.product
    taxed = await _taxed_again(session, tenant, row, facts)
    row = replace(
        row,
        amount=taxed[0],
        tax=taxed[1],
        returned=taxed[2],
        forfeited=sum(one.minor for one in row.parts if one.is_forfeited),
    )
    await promises.settle(session, tenant, row, actor=actor)
    schedule = facts.schedule
    moves: list[tuple[int, Account, Account]] = []
    nets: dict[tuple[str, str], int] = {}
    left_of_tax = row.tax
    top_up = row.top_up
    for one in row.parts:
        payable = Account("payable", money, product, one.pot, one.origin)
        if not one.units:
            moves.append((one.minor, Account("cash", money, product, one.pot, one.origin), payable))
        if one.is_forfeited:
            moves.append((one.minor, payable, Account("forfeitures", money, product, party=facts.forfeited_to)))
            continue
        if one.is_pooled and facts.insurer:
            moves.append((one.minor, payable, annuities.purchases_of(tenant, product, facts.insurer)))
            continue
        if one.is_pooled:
            assert schedule is not None, row
            assert schedule.reserve is not None, row
            moves.append((one.minor, payable, _pool(tenant, product, schedule.reserve.role)))
            continue
        if top_up:
            facts = await _of_pool(session, tenant, product, facts, top_up)
            row = replace(row, facts=facts)
            moves.append((facts.from_pool, _pool(tenant, product, facts.pool_role), payable))
            lacking = Account("guarantee-receivable", money, product, party=facts.topped_up_by)
            moves.append((top_up - facts.from_pool, lacking, payable))
        here = min(left_of_tax, one.minor + top_up)
        moves.append((here, payable, Account("tax-withheld", money, product)))
        nets[one.pot, one.origin] = nets.get((one.pot, one.origin), 0) + one.minor + top_up - here
        left_of_tax, top_up = left_of_tax - here, 0
    if schedule is not None and schedule.reserve is not None:
        schedule, more = await _reserve(session, tenant, row, schedule)
        row = replace(row, facts=msgspec.structs.replace(facts, schedule=schedule))
        moves.extend(more)
    gone = transits.moves_of(tenant, row, nets) if row.kind == TRANSFER else []
    moves = [move for move in (*moves, *gone, *await lending.moves_of(session, tenant, row)) if move[0]]
    codes = await ledger.account_codes(session, {one for _, *pair in moves for one in pair})
    event_id = await note(
        session,
        tenant,
        kind,
        row.member_id,
        actor,
        _facts(row),
        claims=(claim_digest(tenant.tenant_id, "claim-payable", str(row.claim_id)),),
        transfers=[Transfer(minor, codes[debit], codes[credit]) for minor, debit, credit in moves],
    )
    assert event_id is not None, "a claim becomes payable once"
    row = replace(
        row,
        state="payable",
        payable_event=event_id,
        approved_event=row.approved_event or event_id,
        checker=row.checker or actor,
    )
    await queries.save_claim(session, row, checker=checker)
    await lending.booked(session, tenant, row, event_id)
    if facts.insurer:
        await annuities.begin(session, row, facts.insurer)
    if row.kind == TRANSFER:
        await transits.booked(session, tenant, row, nets)
    if row.estate is not None:
        row = await inheriting.share(session, tenant, row, nets, actor)
        await surviving.begin_guaranteed(session, tenant, row, actor=actor)
    if schedule is not None:
        await begin_schedule(session, tenant, row, schedule, actor=actor)
    return row


async def _reserve(
    session: AsyncSession, tenant: Tenant, row: ClaimRow, schedule: SchedulePlan
) -> tuple[SchedulePlan, list[tuple[int, Account, Account]]]:
    """Return a pension with the reserve that it really got, and what the guarantor owes of that: Dr guarantee-receivable / Cr pool."""
    assert schedule.reserve is not None, row
    brought = sum(one.minor for one in row.parts if one.is_pooled)
    schedule = schedule.reserved(brought, await tenancy.figures_for(session, tenant), tenant.pack.tables)
    reserve = schedule.reserve
    assert reserve is not None, row
    if reserve.minor == brought:
        return schedule, []
    owed = Account("guarantee-receivable", tenant.asset.symbol, row.product, party=reserve.tops_up)
    return schedule, [(reserve.minor - brought, owed, _pool(tenant, row.product, reserve.role))]


async def _of_pool(session: AsyncSession, tenant: Tenant, product: str, facts: TaxFacts, minor: int) -> TaxFacts:
    """Return how much of what is added to a claim its pension pool gives: all that no payroll waits to pay from it."""
    if not facts.pool_role:
        return facts
    pool = _pool(tenant, product, facts.pool_role)
    code = (await ledger.account_codes(session, {pool}))[pool]
    return msgspec.structs.replace(facts, from_pool=min(minor, await payroll.free_of_pool(session, code)))


def _pool(tenant: Tenant, product: str, role: str) -> Account:
    return Account("pension-pool", tenant.asset.symbol, product, party=role)


async def _taxed_again(session: AsyncSession, tenant: Tenant, row: ClaimRow, facts: TaxFacts) -> tuple[int, int, int]:
    """Return (amount, tax, contributions returned); of units, by what they brought, for by what they were thought worth."""
    brought = sum(one.minor for one in row.parts if not (one.is_forfeited or one.is_pooled)) + row.top_up
    if brought == row.amount or not brought or row.kind in (LOAN, COVER):
        return brought, row.tax if brought else 0, row.returned if brought else 0
    moves = await moves_behind(session, tenant, row.member_id, row.product)
    pots = sorted({one.pot for one in row.parts if not (one.is_forfeited or one.is_pooled)})
    claimant = Claimant(
        on=facts.on,
        joined_on=facts.joined_on,
        paid=await paid_into(session, row.member_id, row.product, moves, facts.on),
        returned=((frozenset(pots), facts.returned),),
    )
    dates = Dates(on=facts.on, joined_on=facts.joined_on, tranche_on=facts.on, benefit_from=facts.on)
    year_from, _ = tenant.product(row.product).scheme_year(facts.on)
    terms = ClaimTerms(
        taxes=tenant.rules(ExitTaxRule, product=row.product, dates=replace(dates, scheme_year_from=year_from))
    )
    held = facts.held + brought - row.amount
    taxed = tax_of(
        terms,
        facts.ground,
        brought,
        tranches_of(claimant, pots, held, is_pre_tax=facts.is_pre_tax),
        await tenancy.figures_for(session, tenant),
        on=facts.on,
        joined_on=facts.joined_on,
    )
    return brought, taxed.tax_minor, taxed.returned_minor


def _pieces(tenant: Tenant, granted: Granted, stands: Standing) -> tuple[Piece, ...]:
    """Return what is taken by pot and origin, with the units that are sold for it: all of them where all is taken."""
    found = []
    left = dict(stands.units)
    for becomes, holdings in (("", granted.parts), ("forfeited", granted.forfeited), ("pooled", granted.pooled)):
        for one in holdings:
            units = _units_for(tenant, one, left, stands.prices) if stands.is_unitised else {}
            for fund, sold in units.items():
                left[one.pot, one.origin, fund] -= sold
            found.append(
                Piece(
                    pot=one.pot, origin=one.origin, minor=one.minor, is_forfeited=becomes == "forfeited",
                    is_pooled=becomes == "pooled", units=units,
                )
            )  # fmt: skip
    return tuple(found)


def _units_for(
    tenant: Tenant, wanted: Holding, left: Mapping[tuple[str, str, str], int], prices: Mapping[str, LastPrice]
) -> dict[str, int]:
    """Return the units of each fund that give an amount at the last price, rounded up; fund by fund, in their order."""
    found: dict[str, int] = {}
    minor = wanted.minor
    for (pot, origin, fund), held in sorted(left.items()):
        if (pot, origin) != (wanted.pot, wanted.origin) or not minor:
            continue
        price = prices[fund]
        worth = _worth(tenant, held, price)
        power = price.unit_scale + price.scale - tenant.asset.scale
        over, under = 10 ** max(power, 0), 10 ** max(-power, 0)
        units = held if minor >= worth else min(held, -(-minor * over // (price.digits * under)))
        if units:
            found[fund] = units
        minor -= min(minor, worth)
    return found


def _worth(tenant: Tenant, units: int, price: LastPrice) -> int:
    return value_of(
        units, amount_scale=tenant.asset.scale, price=Price(price.digits, price.scale), unit_scale=price.unit_scale
    )


def _units_of(row: ClaimRow) -> list[Units]:
    wanted: dict[tuple[str, str, str], int] = {}
    for one in row.parts:
        for fund, units in one.units.items():
            wanted[one.pot, one.origin, fund] = wanted.get((one.pot, one.origin, fund), 0) + units
    return [Units(pot, origin, fund, units) for (pot, origin, fund), units in sorted(wanted.items())]


def _brought(row: ClaimRow, proceeds: Mapping[tuple[str, str], int]) -> tuple[Piece, ...]:
    """Return the parts with what their units brought; a pot and origin is paid or forfeited, never both, where units are."""
    return tuple(
        msgspec.structs.replace(one, minor=proceeds.get((one.pot, one.origin), 0)) for one in row.parts if one.units
    )


def _digest(row: ClaimRow) -> str:
    said: dict[str, object] = {
        "claim": row.claim_id,
        "member": row.member_id,
        "product": row.product,
        "kind": row.kind,
        "rule": row.rule,
        "amount": row.amount,
        "tax": row.tax,
        "top_up": row.top_up,
        "parts": msgspec.to_builtins(row.parts),
    }
    if row.facts is not None and row.facts.schedule is not None:
        said["schedule"] = msgspec.to_builtins(row.facts.schedule)
    if row.facts is not None and row.facts.promised:
        said["promised"] = msgspec.to_builtins(row.facts.promised)
    if row.estate is not None:
        said["estate"] = msgspec.to_builtins(row.estate)
    if row.kind == COVER:
        said["cover"] = [row.request.ground, row.request.happened_on]
    if row.kind == TRANSFER and row.facts is not None:
        said["transfer"] = [msgspec.to_builtins(row.request.receiving), row.facts.charge, row.facts.charge_to]
    if row.kind == LOAN:
        said["loan"] = [row.request.instalments, row.request.lender, row.request.percent]
    return hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()


def _inputs(row: ClaimRow) -> dict[str, object]:
    request = row.request
    said = {
        "claim": str(row.claim_id),
        "kind": row.kind,
        "rule": request.rule,
        "ground": request.ground,
        "purpose": request.purpose,
        "documents": ", ".join(sorted(request.documents)),
        "amount": str(row.asked) if row.asked else "",
        "instalments": str(request.instalments) if request.instalments else "",
        "lender": request.lender,
        "percent": request.percent,
        "happened_on": "" if request.happened_on is None else request.happened_on.isoformat(),
        "receiver": "" if request.receiving is None else request.receiving.scheme,
    }
    return {name: value for name, value in said.items() if value}


def _facts(row: ClaimRow) -> dict[str, object]:
    return {
        "claim": str(row.claim_id),
        "product": row.product,
        "kind": row.kind,
        "amount": str(row.amount),
        "tax": str(row.tax),
        "forfeited": str(row.forfeited),
    }


def told_of(estate: Estate) -> dict[str, str]:
    """Return what a decision says of who inherits: heirs by their numbers, never by name."""
    return {
        "died_on": estate.died_on.isoformat(),
        "basis": estate.basis,
        "waiting": str(sum(one.minor for one in estate.waiting)),
        **{f"share.{heir}": str(weight) for heir, weight in estate.shares.items()},
    }


async def _same(session: AsyncSession, earlier: tuple[int, int], said: int) -> ClaimRow:
    if earlier[1] != said:
        raise ClaimKeyReused
    return await find_claim(session, earlier[0])


async def hold_claim(session: AsyncSession, claim_id: int, states: set[str] | None) -> ClaimRow:
    """Return a claim, which nobody else can change until the session ends; it stands in one of `states`, if any are said.

    Raises:
        UnknownClaim, ClaimDecided: there is none, or it stands otherwise.
    """
    row = await queries.find_claim(session, claim_id, hold=True)
    if row is None:
        raise UnknownClaim
    if states is not None and row.state not in states:
        raise ClaimDecided(state=row.state)
    return row


async def member_of(session: AsyncSession, row: ClaimRow) -> MemberRef:
    """Return the member of a claim as they stand in its product; UnknownMember if they were erased, or left it."""
    found = await identity.members_by_id(session, [row.member_id])
    if row.member_id not in found:
        raise UnknownMember
    products = await enrolment.in_their_products(session, {"": found[row.member_id]}, product=row.product)
    if "" not in products:
        raise UnknownMember
    return products[""]


async def _today(session: AsyncSession, tenant: Tenant) -> date:
    return business_date(await ledger.scheme_now(session), tenant.time_zone)


async def note(
    session: AsyncSession,
    tenant: Tenant,
    kind: EventKind,
    member_id: int,
    actor: str,
    body: Mapping[str, object],
    *,
    said: int = 0,
    rules: Sequence[str] = (),
    claims: Sequence[UUID] = (),
    transfers: Sequence[Transfer] = (),
) -> int | None:
    """Post one event; return its number, or None if its key was claimed before.

    Raises:
        ClaimMoneyGone: an account does not hold what is moved.
    """
    product = body.get("product")
    traced = await ledger.decision_id(session, tenancy.trace(str(product), rules)) if rules else 0
    (fate,) = await ledger.post(
        session,
        [
            Entry(
                member_id=member_id,
                kind=kind,
                business_date=await _today(session, tenant),
                actor=await ledger.actor_id(session, actor),
                pack=tenant.pack_id,
                decision=traced,
                body=body,
                body_digest=said,
                claims=claims,
                transfers=transfers,
            )
        ],
    )
    if fate.outcome is Outcome.OVERDRAWN:
        raise ClaimMoneyGone
    return fate.event_id if fate.outcome is Outcome.POSTED else None
