"""Members who stop paying: once a day they are tried on their product's ladder, and whoever has paid since as coming back.

Both by ranges of members, each a transaction; may be stopped and run again, and run twice at once.
"""

from collections.abc import Sequence
from datetime import date

from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.queries import ladders as queries
from engine.benefits.queries import rounds
from engine.benefits.queries.ladders import Changed, LadderSteps, MemberStanding, Payer, StepDue
from engine.benefits.rules.dormancy import ReactivationCase, ReactivationRule, StatusLadderRule, reactivate
from engine.contributions import service as contributions
from engine.enrolment import service as enrolment
from engine.identity.rules import MemberRef, MemberStatus
from engine.kernel.clock import business_date
from engine.kernel.errors import EngineError
from engine.kernel.ids import claim_digest
from engine.kernel.rules import Dates
from engine.kernel.series import Figures
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind, Outcome
from engine.runtime.database import Database, retry_transaction
from engine.tenancy import service as tenancy
from engine.tenancy.rules.books import AnyRule, InForce
from engine.tenancy.rules.decided import Determination
from engine.tenancy.service import Tenant

_ACTOR = "system:standings"
MEMBERS_AT_ONCE = 4_000


async def follow_standings(db: Database, tenant: Tenant) -> int:
    """Let whoever has paid come back, and once a day move members along the ladders; return how many took a step."""
    done = 0
    for product in tenant.pack.products:
        async with db.unit_of_work(tenant.tenant_id) as session:
            today = business_date(await ledger.scheme_now(session), tenant.time_zone)
        ladder = _rule(tenant, StatusLadderRule, product.code, today)
        if ladder is not None:
            done += await _come_back(db, tenant, product.code, ladder, today)
            done += await _step(db, tenant, product.code, ladder, today)
    return done


async def standings_of(session: AsyncSession, member_id: int) -> list[MemberStanding]:
    """Return how a member stands in the products they are in, where they ever took a step, by product."""
    return await queries.standings_of(session, member_id)


async def _step(db: Database, tenant: Tenant, product: str, ladder: InForce[StatusLadderRule], today: date) -> int:
    """Try all members of a product on its ladder, unless this day was; return how many took a step."""
    done, after = 0, 0
    while True:

        async def range_of(after: int = after) -> tuple[int, int] | None:
            async with db.unit_of_work(tenant.tenant_id) as session:
                stepped_on = await rounds.hold_round(session, f"ladder:{product}")
                if stepped_on is not None and stepped_on >= today:
                    return None
                members = await queries.next_members(session, product, after=after, most=MEMBERS_AT_ONCE)
                if not members:
                    await rounds.note_round(session, f"ladder:{product}", today)
                    return None
                return await _step_range(session, tenant, product, ladder, members, today), members[-1][0]

        found = await retry_transaction(range_of)
        if found is None:
            return done
        done, after = done + found[0], found[1]


async def _step_range(
    session: AsyncSession,
    tenant: Tenant,
    product: str,
    ladder: InForce[StatusLadderRule],
    members: Sequence[tuple[int, date]],
    today: date,
) -> int:
    back = _rule(tenant, ReactivationRule, product, today)
    figures = await tenancy.figures_for(session, tenant)
    missed = None
    if ladder.rule.counted_from == "first-missed-due":
        known = [_member(member_id, product, joined_on) for member_id, joined_on in members]
        found = await contributions.first_missed(session, tenant, known, today)
        missed = {member_id: day for (member_id, _), day in found.items()}
    due = await queries.steps_due(
        session,
        product,
        _steps(ladder.rule, figures, today),
        [member_id for member_id, _ in members],
        today,
        missed=missed,
        goes_back=back is None and missed is None,
    )
    gone = await enrolment.suspended(session, [one.member_id for one in due])
    due = [one for one in due if one.member_id not in gone]
    return await _post_steps(session, tenant, product, ladder, due, today)


def _steps(rule: StatusLadderRule, figures: Figures, today: date) -> LadderSteps:
    limits = [one.net_balance_up_to for one in rule.steps]
    return LadderSteps(
        first_status=rule.first_status,
        statuses=[one.status for one in rule.steps],
        months=[one.after_months for one in rule.steps],
        limits=[-1 if one is None else figures.amount(one, today).units for one in limits],
        net_of=rule.net_of,
    )


async def _post_steps(
    session: AsyncSession,
    tenant: Tenant,
    product: str,
    ladder: InForce[StatusLadderRule],
    due: Sequence[StepDue],
    today: date,
) -> int:
    if not due:
        return 0
    names = [ladder.rule.first_status, *(one.status for one in ladder.rule.steps)]
    actions: list[tuple[str, ...]] = [(), *(one.actions for one in ladder.rule.steps)]
    actor = await ledger.actor_id(session, _ACTOR)
    decision = await ledger.decision_id(session, tenancy.trace(product, [ladder.ref]))
    fates = await ledger.post(
        session,
        [
            Entry(
                member_id=one.member_id,
                kind=EventKind.STANDING_CHANGED if one.step > one.was else EventKind.MEMBER_REACTIVATED,
                business_date=today,
                actor=actor,
                pack=tenant.pack_id,
                decision=decision,
                body={
                    "product": product,
                    "was": names[one.was],
                    "status": names[one.step],
                    "since": one.since.isoformat(),
                    "counted_from": one.counted_from.isoformat(),
                    **({"actions": list(actions[one.step])} if actions[one.step] else {}),
                },
                claims=(
                    claim_digest(
                        tenant.tenant_id,
                        f"standing:{one.member_id}:{product}",
                        f"{names[one.was]}:{names[one.step]}:{one.counted_from}:{today}",
                    ),
                ),
            )
            for one in due
        ],
    )
    changed = [
        Changed(one.member_id, fate.event_id, names[one.step], one.since, one.counted_from)
        for one, fate in zip(due, fates, strict=True)
        if fate.outcome is Outcome.POSTED
    ]
    await queries.save_standings(session, product, changed)
    return len(changed)


async def _come_back(db: Database, tenant: Tenant, product: str, ladder: InForce[StatusLadderRule], today: date) -> int:
    """Try whoever has paid since their last step as coming back; return how many did."""
    found = _rule(tenant, ReactivationRule, product, today)
    if found is None:
        return 0
    done = 0
    while True:

        async def batch() -> tuple[int, int]:
            async with db.unit_of_work(tenant.tenant_id) as session:
                tried = await queries.payers(session, product, ladder.rule.first_status, most=MEMBERS_AT_ONCE)
                if not tried:
                    return 0, 0
                return len(tried), await _try(session, tenant, product, found, tried, today)

        tried, back = await retry_transaction(batch)
        done += back
        if tried < MEMBERS_AT_ONCE:
            return done


async def _try(
    session: AsyncSession,
    tenant: Tenant,
    product: str,
    found: InForce[ReactivationRule],
    tried: Sequence[Payer],
    today: date,
) -> int:
    """Decide on members who have paid: they come back, or why not is put on record; return how many came back."""
    known = [_member(one.member_id, product, one.joined_on) for one in tried]
    missed = await contributions.first_missed(session, tenant, known, today)
    owed = await contributions.contributions_payable(session, tenant, known, today)
    figures = await tenancy.figures_for(session, tenant)
    came: list[tuple[Payer, str]] = []
    refused: list[Determination] = []
    for one in tried:
        key = (one.member_id, product)
        # What is still late beside what was paid; charges are part of the payments that are for late instalments.
        late = one.paid + owed[key].units if key in missed and key in owed else 0
        case = ReactivationCase(
            on=today,
            status=one.status,
            status_since=one.since,
            paid_minor=one.paid,
            arrears_minor=late,
            documents=one.documents,
        )
        try:
            came.append((one, reactivate(found, case, figures).status))
        except EngineError as refusal:
            refused.append(
                Determination(
                    kind="reactivation",
                    product=product,
                    decided_on=today,
                    rules=(found.ref,),
                    member_id=one.member_id,
                    code=refusal.code,
                    inputs={"status": one.status, "since": one.since.isoformat(), "paid": str(one.paid)},
                )
            )
    await tenancy.record(session, tenant, refused)
    await queries.note_looked(session, product, tried)
    return await _post_returns(session, tenant, product, found, came, today)


async def _post_returns(
    session: AsyncSession,
    tenant: Tenant,
    product: str,
    found: InForce[ReactivationRule],
    came: Sequence[tuple[Payer, str]],
    today: date,
) -> int:
    if not came:
        return 0
    actor = await ledger.actor_id(session, _ACTOR)
    decision = await ledger.decision_id(session, tenancy.trace(product, [found.ref]))
    fates = await ledger.post(
        session,
        [
            Entry(
                member_id=one.member_id,
                kind=EventKind.MEMBER_REACTIVATED,
                business_date=today,
                actor=actor,
                pack=tenant.pack_id,
                decision=decision,
                body={
                    "product": product,
                    "was": one.status,
                    "status": status,
                    "since": today.isoformat(),
                    "paid": str(one.paid),
                },
                claims=(claim_digest(tenant.tenant_id, f"standing:{one.member_id}:{product}", f"back:{one.newest}"),),
            )
            for one, status in came
        ],
    )
    changed = [
        Changed(one.member_id, fate.event_id, status, today, today)
        for (one, status), fate in zip(came, fates, strict=True)
        if fate.outcome is Outcome.POSTED
    ]
    await queries.save_standings(session, product, changed)
    return len(changed)


def _member(member_id: int, product: str, joined_on: date) -> MemberRef:
    return MemberRef(member_id, product, joined_on, "", MemberStatus.ACTIVE)


def _rule(tenant: Tenant, kind: type[AnyRule], product: str, today: date) -> InForce[AnyRule] | None:
    year_from, _ = tenant.product(product).scheme_year(today)
    return tenant.rule(
        kind, product=product, dates=Dates(on=today, joined_on=today, tranche_on=today, scheme_year_from=year_from)
    )
