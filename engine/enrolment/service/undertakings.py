"""What members undertake to pay: given as they join or later, changed as the rules let them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType

from sqlalchemy.ext.asyncio import AsyncSession

from engine.enrolment.errors import NoUndertaking
from engine.enrolment.queries import memberships
from engine.enrolment.queries import undertakings as queries
from engine.enrolment.rules import (
    FirstUndertaking,
    Frequency,
    Undertaken,
    UndertakingGiven,
    UndertakingTerms,
    changes_of,
    check_change,
    check_undertaking,
    in_force_on,
    next_period,
    undertaking_terms_of,
)
from engine.identity.rules import MemberRef
from engine.kernel.amounts import Amount
from engine.kernel.clock import business_date
from engine.kernel.errors import EngineError
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind, Outcome
from engine.tenancy import service as tenancy
from engine.tenancy.rules.decided import Determination
from engine.tenancy.service import Tenant


@dataclass(frozen=True, slots=True)
class Undertaking:
    """What a member undertakes to pay from a day on, and the instalment that it makes due by the rules of today."""

    product: str
    slab: str
    frequency: Frequency
    from_on: date
    instalment: Amount


async def undertakings_of(
    session: AsyncSession, asked: Sequence[tuple[int, str]]
) -> dict[tuple[int, str], tuple[Undertaken, ...]]:
    """Return what members undertook in products, as they gave it; one statement, however many."""
    return dict(zip(asked, await queries.undertakings(session, asked), strict=True)) if asked else {}


async def undertake(
    session: AsyncSession, tenant: Tenant, member: MemberRef, given: UndertakingGiven, *, actor: str
) -> Undertaking | EngineError:
    """Let a member undertake to pay, or change what they undertook; the same again changes nothing.

    A first one counts from today on, a change from the first period that has not begun.

    Args:
        session: the tenant's.
        tenant: the scheme.
        member: as they stand in the product.
        given: the slab and the frequency.
        actor: on whose behalf; nothing personal.

    Returns:
        What counts now, or why it was refused, which is on record: see `rules.check_undertaking`, `rules.check_change`.

    """
    product, today = member.product, business_date(await ledger.scheme_now(session), tenant.time_zone)
    await queries.hold_membership(session, member.member_id, product)
    (before,) = await queries.undertakings(session, [(member.member_id, product)])
    last = before[-1] if before else None
    entry_age, figures = await _entry_age(session, member), await tenancy.figures_for(session, tenant)
    found = undertaking_terms_of(tenant.pack, product, today, member.joined_on)
    try:
        terms, instalment = check_undertaking(
            found, given, tenant.pack.tables, product=product, entry_age=entry_age, figures=figures, on=today
        )
        if last is not None:
            slab_changes, frequency_changes = changes_of(before, tenant.product(product).scheme_year(today)[0])
            check_change(terms, last, given, slab_changes=slab_changes, frequency_changes=frequency_changes)
    except EngineError as refusal:
        return await _keep_refusal(session, tenant, member, found, given, refusal, today)
    if last is not None and (last.slab, last.frequency) == (given.slab, given.frequency):
        return Undertaking(product, last.slab, last.frequency, last.from_on, instalment)
    kind, from_on = EventKind.UNDERTAKING_GIVEN, today
    if last is not None:
        kind, from_on = EventKind.UNDERTAKING_CHANGED, next_period(in_force_on(before, today) or last, today)
    new = Undertaken(given.slab, given.frequency, from_on, today)
    entry = Entry(
        member_id=member.member_id,
        kind=kind,
        business_date=today,
        actor=await ledger.actor_id(session, actor),
        pack=tenant.pack_id,
        decision=await ledger.decision_id(session, tenancy.trace(product, terms.refs)),
        body=_body(product, new, instalment),
    )
    (fate,) = await ledger.post(session, [entry])
    assert fate.outcome is Outcome.POSTED, fate
    await queries.add_undertakings(session, [(member.member_id, fate.event_id, product, new)])
    return Undertaking(product, new.slab, new.frequency, new.from_on, instalment)


async def show_undertaking(session: AsyncSession, tenant: Tenant, member: MemberRef) -> Undertaking:
    """Return what a member undertook last, and its instalment by the rules of today.

    Raises:
        NoUndertaking: nothing was undertaken in the product, or its rules have no instalment any more.
    """
    product, today = member.product, business_date(await ledger.scheme_now(session), tenant.time_zone)
    (given,) = await queries.undertakings(session, [(member.member_id, product)])
    terms = undertaking_terms_of(tenant.pack, product, today, member.joined_on)
    entry_age = await _entry_age(session, member)
    if not given or terms is None or entry_age is None:
        raise NoUndertaking(product=product)
    last = given[-1]
    figures = await tenancy.figures_for(session, tenant)
    instalment = terms.instalment(
        tenant.pack.tables, last.slab, last.frequency, entry_age=entry_age, figures=figures, on=today
    )
    return Undertaking(product, last.slab, last.frequency, last.from_on, instalment)


async def undertake_at_joining(
    session: AsyncSession,
    tenant: Tenant,
    joined: Mapping[int, FirstUndertaking],
    *,
    today: date,
    actor: str,
    begins: Mapping[int, date] = MappingProxyType({}),
) -> None:
    """Record what people undertake as they join, by member: at most MAX_BATCH of them, by the same statements for one as for all.

    It counts from today on, or from the day on which it `begins` for a member.
    """
    if not joined:
        return
    actor_id = await ledger.actor_id(session, actor)
    traces = {(one.terms.product, one.terms.refs) for one in joined.values()}
    decisions = {key: await ledger.decision_id(session, tenancy.trace(*key)) for key in sorted(traces)}
    new = {
        member: Undertaken(one.given.slab, one.given.frequency, begins.get(member, today), today)
        for member, one in joined.items()
    }
    entries = [
        Entry(
            member_id=member,
            kind=EventKind.UNDERTAKING_GIVEN,
            business_date=today,
            actor=actor_id,
            pack=tenant.pack_id,
            decision=decisions[one.terms.product, one.terms.refs],
            body=_body(one.terms.product, new[member], one.instalment),
        )
        for member, one in joined.items()
    ]
    fates = await ledger.post(session, entries)
    await queries.add_undertakings(
        session,
        [
            (member, fate.event_id, joined[member].terms.product, new[member])
            for member, fate in zip(joined, fates, strict=True)
        ],
    )


async def carry_undertakings(
    session: AsyncSession, tenant: Tenant, member_ids: Sequence[int], *, source: str, target: str, actor: str
) -> None:
    """Carry what members undertook into the product they moved into, from the first period on that has not begun.

    Who undertook something there keeps that. What the product's rules do not take ends, which is on record with why.
    By the same statements for one as for all.

    Args:
        session: the tenant's.
        tenant: the scheme.
        member_ids: at most MAX_BATCH members, who moved in this transaction.
        source: the product they left.
        target: the product they are in.
        actor: on whose behalf; nothing personal.

    """
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    before = await queries.undertakings(session, [(one, source) for one in member_ids])
    there = await queries.undertakings(session, [(one, target) for one in member_ids])
    held = await memberships(session, member_ids)
    figures = await tenancy.figures_for(session, tenant)
    carried: dict[int, FirstUndertaking] = {}
    begins: dict[int, date] = {}
    refused: list[Determination] = []
    for member_id, own, has in zip(member_ids, before, there, strict=True):
        if not own or has:
            continue
        last = own[-1]
        place = next(one for one in held[member_id] if one.product == target)
        given = UndertakingGiven(slab=last.slab, frequency=last.frequency)
        found = undertaking_terms_of(tenant.pack, target, today, place.joined_on)
        try:
            terms, instalment = check_undertaking(
                found, given, tenant.pack.tables, product=target, entry_age=place.entry_age, figures=figures, on=today
            )
        except EngineError as refusal:
            refused.append(
                Determination(
                    kind="undertaking",
                    product=target,
                    decided_on=today,
                    rules=found.refs if found else (),
                    member_id=member_id,
                    code=refusal.code,
                    inputs={"slab": given.slab, "frequency": given.frequency},
                    outcome=refusal.details,
                )
            )
            continue
        carried[member_id] = FirstUndertaking(terms=terms, given=given, instalment=instalment)
        begins[member_id] = next_period(in_force_on(own, today) or last, today)
    if refused:
        await tenancy.record(session, tenant, refused)
    await undertake_at_joining(session, tenant, carried, today=today, actor=actor, begins=begins)


async def _keep_refusal(
    session: AsyncSession,
    tenant: Tenant,
    member: MemberRef,
    terms: UndertakingTerms | None,
    given: UndertakingGiven,
    refusal: EngineError,
    today: date,
) -> EngineError:
    """Put on record what was refused and why; return the refusal with its number."""
    determination = Determination(
        kind="undertaking",
        product=member.product,
        decided_on=today,
        rules=terms.refs if terms else (),
        member_id=member.member_id,
        code=refusal.code,
        inputs={"slab": given.slab, "frequency": given.frequency},
        outcome=refusal.details,
    )
    (number,) = await tenancy.record(session, tenant, [determination])
    tenancy.tell_refusal(refusal, tenant, number, determination)
    return refusal


def _body(product: str, new: Undertaken, instalment: Amount) -> dict[str, object]:
    slab = {"slab": new.slab} if new.slab else {}
    return {
        "product": product,
        **slab,
        "frequency": new.frequency,
        "from": new.from_on.isoformat(),
        "instalment": str(instalment.units),
    }


async def _entry_age(session: AsyncSession, member: MemberRef) -> int | None:
    held = (await memberships(session, [member.member_id])).get(member.member_id, ())
    return next((one.entry_age for one in held if one.product == member.product), None)
