"""Premiums: what covers cost is counted for every member at once, approved by a second person, and paid by ranges.

Who does not pay in time is insured no more. What was paid goes to the insurer in files, and what they refuse goes back.
"""

import csv
import io
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.rules import checked_by_other
from engine.benefits.errors import (
    NoPremiumDue,
    NoPremiumPaid,
    PremiumRunChanged,
    PremiumRunDecided,
    PremiumRunOpen,
    PremiumsOfFunds,
    PremiumTooSoon,
    UnknownPremiumFile,
    UnknownPremiumRun,
)
from engine.benefits.queries import premium_files as files
from engine.benefits.queries import premiums as queries
from engine.benefits.queries import rounds
from engine.benefits.queries.premium_files import Answered, PremiumFile
from engine.benefits.queries.premiums import MemberPremium, PremiumPosting, PremiumRun
from engine.benefits.rules.cover import CoverRule
from engine.benefits.rules.insuring import PremiumTerms, premium_terms
from engine.benefits.service.covering import CoverAnswer
from engine.funds.rules import FundsRule
from engine.identity import service as identity
from engine.kernel.amounts import Amount
from engine.kernel.clock import business_date
from engine.kernel.ids import house_member
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind
from engine.runtime.database import Database, retry_transaction
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.rules.decided import RunDecided
from engine.tenancy.service import Tenant, figures_for, record_run

_ACTOR = "system:premiums"
_TASK = "lapse-covers"
Progress = Callable[[int], None]


async def propose_premiums(
    db: Database, tenant: Tenant, product: str, on: date, *, actor: str, progress: Progress = lambda _: None
) -> PremiumRun:
    """Count what the covers of a product cost for the periods that a day lies in, and what is not paid of those before.

    Members are asked once for each cover and period. Who is not insured is asked only where they have enough for it; a day
    before that of an earlier run asks the roles that pay, and no member. A run that stopped goes on. Nothing is booked before
    a second person has approved it; where nothing is due the run is empty.

    Raises:
        UnknownProduct, NoPremiumDue: there is no such product, or no cover of it costs anything.
        PremiumTooSoon: the day has not come.
        PremiumRunOpen: another run of the product waits for a second person, or has not ended.
        PremiumsOfFunds: members would pay out of money that is invested in funds.
        SeriesValueMissing: a figure cannot be known.
    """
    tenant.product(product)
    async with db.unit_of_work(tenant.tenant_id) as session:
        today = business_date(await ledger.scheme_now(session), tenant.time_zone)
        if on > today:
            raise PremiumTooSoon(day=on.isoformat())
        is_open = await queries.open_run(session, product) is not None
        if not is_open:
            await _terms(session, tenant, product, on)
    if not is_open:
        await _lapse(db, tenant, product, on)
    async with db.unit_of_work(tenant.tenant_id) as session:
        await queries.hold_product(session, product)
        run = await queries.open_run(session, product)
        if run is None:
            run = await _begin(session, tenant, product, on, actor)
        elif run.state != "counting" or run.charged_on != on:
            raise PremiumRunOpen(run=run.run_no)
    return await _count(db, tenant, run, actor, progress)


async def _begin(session: AsyncSession, tenant: Tenant, product: str, on: date, actor: str) -> PremiumRun:
    terms = await _terms(session, tenant, product, on)
    maker = await ledger.actor_id(session, actor)
    run = await _found(session, await queries.begin_run(session, product, on, terms, maker=maker))
    decided = RunDecided(
        kind="premium", run_no=run.run_no, product=product, decided_on=on, rules=run.rules, inputs=_facts(run)
    )
    await record_run(session, tenant, decided)
    return run


async def _terms(session: AsyncSession, tenant: Tenant, product: str, on: date) -> tuple[PremiumTerms, ...]:
    figures = await figures_for(session, tenant)
    last = await queries.last_charged(session, product)
    manifest = tenant.product(product)
    dates = Dates(on=on, joined_on=on, scheme_year_from=manifest.scheme_year(on)[0])
    asked = [
        premium_terms(one, on, manifest.scheme_year, figures)
        for one in tenant.book(product).all_in_force(CoverRule, dates)
    ]
    terms = tuple(one for one in asked if one is not None and (one.paid_by or last is None or on >= last))
    if not terms:
        raise NoPremiumDue(product=product, day=on.isoformat())
    if any(not one.paid_by for one in terms) and tenant.book(product).in_force(FundsRule, Dates(on=on)):
        raise PremiumsOfFunds(product=product)
    return terms


async def approve_premiums(
    db: Database, tenant: Tenant, run_no: int, digest: str, *, actor: str, progress: Progress = lambda _: None
) -> PremiumRun:
    """Let a run be paid, as a second person who has seen what `digest` is of; a run that stopped while it was paid goes on.

    Dr member cash, or due-to-party of the role that pays / Cr due-to-party of the insurer. A member who has less than a premium
    pays none of it; it stays due until its grace is over.

    Raises:
        UnknownPremiumRun, PremiumRunDecided, PremiumRunChanged: there is none, it is done or rejected, or its lines are others.
        SamePerson: `actor` proposed it.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        run = await _found(session, run_no, hold=True)
        if run.state not in ("proposed", "approved"):
            raise PremiumRunDecided(state=run.state)
        if run.digest != digest:
            raise PremiumRunChanged
        checked_by_other(maker=run.maker, checker=actor)
        if run.state == "proposed":
            event = await _note(session, tenant, EventKind.PREMIUMS_APPROVED, run, actor)
            checker = await ledger.actor_id(session, actor)
            await queries.decide_run(session, run_no, state="approved", checker=checker, event_id=event)
        ranges = await queries.ranges_in(session, run_no, "counted")
    for number in ranges:
        progress(await retry_transaction(partial(_pay, db, tenant, run, number, actor)))
    async with db.unit_of_work(tenant.tenant_id) as session:
        await queries.finish_run(session, run_no)
        return await _found(session, run_no)


async def reject_premiums(session: AsyncSession, tenant: Tenant, run_no: int, digest: str, *, actor: str) -> PremiumRun:
    """Give a proposed run up, as a second person. Raises as `approve_premiums` does."""
    run = await _found(session, run_no, hold=True)
    if run.state != "proposed":
        raise PremiumRunDecided(state=run.state)
    if run.digest != digest:
        raise PremiumRunChanged
    checked_by_other(maker=run.maker, checker=actor)
    event = await _note(session, tenant, EventKind.PREMIUMS_REJECTED, run, actor)
    checker = await ledger.actor_id(session, actor)
    await queries.decide_run(session, run_no, state="rejected", checker=checker, event_id=event)
    return await _found(session, run_no)


async def find_premium_run(session: AsyncSession, run_no: int) -> PremiumRun:
    """Return a run; UnknownPremiumRun if there is none of that number."""
    return await _found(session, run_no)


async def list_premium_runs(session: AsyncSession, *, most: int = 100) -> list[PremiumRun]:
    """Return the newest runs, newest first."""
    return await queries.list_runs(session, most=most)


async def premiums_of(session: AsyncSession, member_id: int) -> list[MemberPremium]:
    """Return what covers cost a member, and what became of it, newest first."""
    return await queries.premiums_of(session, member_id)


async def lapse_covers(db: Database, tenant: Tenant) -> int:
    """End the covers whose premium was not paid in time, once a day; return how many members they were of.

    By ranges of members, one event each; may be stopped and run again. A product with a run that is under way waits for it.
    Whether a lapse is noted by then makes no difference to who is insured on which day.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        today = business_date(await ledger.scheme_now(session), tenant.time_zone)
        done = await rounds.hold_round(session, _TASK)
    if done is not None and done >= today:
        return 0
    members = 0
    waits = False
    for product in tenant.pack.books:
        async with db.unit_of_work(tenant.tenant_id) as session:
            waits = waits or await queries.open_run(session, product) is not None
        members += await _lapse(db, tenant, product, today)
    if not waits:
        async with db.unit_of_work(tenant.tenant_id) as session:
            await rounds.note_round(session, _TASK, today)
    return members


async def _lapse(db: Database, tenant: Tenant, product: str, on: date) -> int:
    async def once() -> int:
        async with db.unit_of_work(tenant.tenant_id) as session:
            await queries.hold_product(session, product)
            if await queries.open_run(session, product) is not None:
                return 0
            posting = PremiumPosting(
                actor=await ledger.actor_id(session, _ACTOR),
                pack=tenant.pack_id,
                decision=0,
                insurers={},
                payers={},
                facts={"product": product},
            )
            return await queries.lapse(session, product, on, posting)

    members = 0
    while count := await retry_transaction(once):
        members += count
    return members


# -- files


async def make_premium_file(
    session: AsyncSession, tenant: Tenant, product: str, insurer: str, *, actor: str
) -> PremiumFile:
    """Put paid premiums of a product that an insurer was not told of into a new file, each once for ever; at most 10,000.

    What the insurer is owed stands in their account due-to-party, and is paid by a statement's line that is booked to them.

    Raises:
        UnknownProduct, NoPremiumPaid: there is no such product, or no premium waits.
    """
    tenant.product(product)
    on = business_date(await ledger.scheme_now(session), tenant.time_zone)
    number = await files.make_file(session, product, insurer, maker=await ledger.actor_id(session, actor), on=on)
    if not number:
        raise NoPremiumPaid(insurer=insurer)
    return await find_premium_file(session, number)


async def find_premium_file(session: AsyncSession, file_no: int) -> PremiumFile:
    """Return a file; UnknownPremiumFile if there is none."""
    found = await files.find_file(session, file_no)
    if found is None:
        raise UnknownPremiumFile
    return found


async def list_premium_files(session: AsyncSession, *, most: int = 100) -> list[PremiumFile]:
    """Return the newest files, newest first."""
    return await files.list_files(session, most=most)


async def premium_file(session: AsyncSession, keys: FileKeyStore, tenant: Tenant, file_no: int, *, actor: str) -> bytes:
    """Return a file as the insurer gets it: a line a premium, and a last line with count and total; the reading is noted.

    Amounts in major units. Of who is erased nothing but the premium is known.

    Raises:
        UnknownPremiumFile: there is none of that number.
    """
    made = await find_premium_file(session, file_no)
    lines = await files.lines_of(session, file_no)
    people = await identity.read_people(
        session, keys, sorted({one.member_id for one in lines}), actor=actor, reason="premiums"
    )
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(["line", "member", "full_name", "born_on", "cover", "from", "until", "amount"])
    for one in lines:
        known = people.get(one.member_id)
        who = (
            ["", "", ""]
            if known is None
            else [known.member_number, known.person.full_name, known.person.born_on.isoformat()]
        )
        period = [one.period_from.isoformat(), one.period_until.isoformat()]
        writer.writerow([one.line_no, *who, one.cover, *period, _major(tenant, one.minor)])
    writer.writerow(
        ["total", made.premiums, made.insurer, made.made_on.isoformat(), "", "", "", _major(tenant, made.total)]
    )
    return out.getvalue().encode()


async def take_premium_answers(
    db: Database, tenant: Tenant, file_no: int, answers: Sequence[CoverAnswer], *, actor: str
) -> Answered:
    """Note what an insurer answered to lines of a file; what they refuse goes back to whoever paid it, and insures no more.

    All at once; the same answers again change nothing.

    Raises:
        UnknownPremiumFile: there is none of that number.
    """
    # The first answer of a line counts.
    by_line = {one.claim: (one.claim, one.answer, one.reason) for one in reversed(answers)}
    given = [by_line[line] for line in sorted(by_line)]

    async def once() -> Answered:
        async with db.unit_of_work(tenant.tenant_id) as session:
            made = await find_premium_file(session, file_no)
            insurer = _due_to(tenant, made.insurer)
            roles = {role: _due_to(tenant, role) for role in tenant.pack.roles}
            codes = await ledger.account_codes(session, {insurer, *roles.values()})
            entry = Entry(
                member_id=house_member(tenant.tenant_id),
                kind=EventKind.PREMIUMS_RETURNED,
                business_date=business_date(await ledger.scheme_now(session), tenant.time_zone),
                actor=await ledger.actor_id(session, actor),
                pack=tenant.pack_id,
                body={"product": made.product, "file": made.file_no, "insurer": made.insurer},
            )
            return await files.take_answers(
                session,
                made,
                [one for one in given if one[0] < 2**31],
                insurer=codes[insurer],
                roles={role: codes[account] for role, account in roles.items()},
                entry=entry,
            )

    done = await retry_transaction(once)
    beyond = tuple(one[0] for one in given if one[0] >= 2**31)
    return Answered(done.accepted, done.refused, done.known, (*done.unfit, *beyond))


# -- counting and paying


async def _found(session: AsyncSession, run_no: int, *, hold: bool = False) -> PremiumRun:
    run = await queries.find_run(session, run_no, hold=hold)
    if run is None:
        raise UnknownPremiumRun
    return run


async def _count(db: Database, tenant: Tenant, run: PremiumRun, actor: str, progress: Progress) -> PremiumRun:
    async def once(number: int) -> int:
        async with db.unit_of_work(tenant.tenant_id) as session:
            members = await queries.hold_range(session, run.run_no, number, "planned")
            return 0 if members is None else await queries.count_range(session, run, number, members)

    async with db.unit_of_work(tenant.tenant_id) as session:
        ranges = await queries.ranges_in(session, run.run_no, "planned")
    for number in ranges:
        progress(await retry_transaction(partial(once, number)))
    async with db.unit_of_work(tenant.tenant_id) as session:
        found = await _found(session, run.run_no, hold=True)
        if found.state != "counting":
            return found
        facts = [*_facts(found).items(), ("terms", msgspec.to_builtins(found.terms))]
        await queries.finish_counting(session, run.run_no, msgspec.json.encode(facts).decode() + "\n")
        found = await _found(session, run.run_no)
        event = await _note(session, tenant, EventKind.PREMIUMS_PROPOSED, found, actor) if found.premiums else 0
        await queries.propose_run(session, run.run_no, event)
        return await _found(session, run.run_no)


async def _pay(db: Database, tenant: Tenant, run: PremiumRun, number: int, actor: str) -> int:
    async with db.unit_of_work(tenant.tenant_id) as session:
        members = await queries.hold_range(session, run.run_no, number, "counted")
        if members is None:
            return 0
        roles = {role for one in run.terms for role in (one.insurer, one.paid_by) if role}
        codes = await ledger.account_codes(session, {_due_to(tenant, role) for role in roles})
        by_role = {role: codes[_due_to(tenant, role)] for role in roles}
        posting = PremiumPosting(
            actor=await ledger.actor_id(session, actor),
            pack=tenant.pack_id,
            decision=await ledger.decision_id(session, {"rules": run.rules}),
            insurers={one.cover: by_role[one.insurer] for one in run.terms},
            payers={one.cover: by_role.get(one.paid_by, 0) for one in run.terms},
            facts=_facts(run),
        )
        return await queries.pay_range(session, run, number, members, posting)


def _due_to(tenant: Tenant, role: str) -> Account:
    return Account("due-to-party", tenant.asset.symbol, party=role)


def _facts(run: PremiumRun) -> dict[str, object]:
    return {"run": run.run_no, "product": run.product, "on": run.charged_on.isoformat()}


def _major(tenant: Tenant, minor: int) -> str:
    return f"{Amount(minor, tenant.asset).decimal():.{tenant.asset.scale}f}"


async def _note(session: AsyncSession, tenant: Tenant, kind: EventKind, run: PremiumRun, actor: str) -> int:
    (posted,) = await ledger.post(
        session,
        [
            Entry(
                member_id=house_member(tenant.tenant_id),
                kind=kind,
                business_date=business_date(await ledger.scheme_now(session), tenant.time_zone),
                actor=await ledger.actor_id(session, actor),
                pack=tenant.pack_id,
                decision=await ledger.decision_id(session, {"rules": run.rules}),
                body={**_facts(run), "digest": run.digest, "premiums": run.premiums, "amount": str(run.due)},
            )
        ],
    )
    return posted.event_id
