"""Benefits that are paid over time: begun with the claim that decided them, to the account of a payee who is alive."""

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.errors import ClaimMoneyGone, MoreThanReleased, UnknownPension
from engine.benefits.queries import claiming as claims
from engine.benefits.queries import estates
from engine.benefits.queries import schedules as queries
from engine.benefits.queries.claiming import ClaimRow
from engine.benefits.queries.schedules import KnownAccount, ScheduleRow
from engine.benefits.rules import ProofOfLifeRule, life_proven
from engine.benefits.rules.estates import MAJORITY, majority_of
from engine.benefits.rules.paying import Payee
from engine.benefits.rules.schedules import SchedulePlan
from engine.benefits.service.inheriting import opened, terms_of
from engine.benefits.service.paying import known_account
from engine.kernel.clock import business_date
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Outcome, Transfer
from engine.runtime.key_file import FileKeyStore
from engine.runtime.sealing import seal
from engine.tenancy import service as tenancy
from engine.tenancy.service import Tenant


async def begin_schedule(
    session: AsyncSession, tenant: Tenant, row: ClaimRow, plan: SchedulePlan, *, actor: str
) -> None:
    """Begin what an approved claim pays later, in the transaction of its approval.

    Raises:
        ClaimMoneyGone: the pot no longer holds what it is to pay.
    """
    order, money = plan.terms.order, tenant.asset.symbol
    places = [(pot, origin) for pot in order.pots for origin in order.origins]
    kinds = {kind: [Account(kind, money, row.product, *place) for place in places] for kind in ("cash", "payable")}
    codes = await ledger.account_codes(session, {one for accounts in kinds.values() for one in accounts})
    cash, payable = ([codes[one] for one in kinds[kind]] for kind in ("cash", "payable"))
    held = await ledger.hold_balances(session, row.member_id, cash)
    if plan.reserve is None and sum(held.values()) < plan.rest:
        raise ClaimMoneyGone
    trace = {**tenancy.trace(row.product, plan.rules), "terms": queries.stored(plan.terms)}
    decision = await ledger.decision_id(session, trace)
    (fate,) = await ledger.post(
        session,
        [
            Entry(
                member_id=row.member_id,
                kind=EventKind.PENSION_SCHEDULED,
                business_date=business_date(await ledger.scheme_now(session), tenant.time_zone),
                actor=await ledger.actor_id(session, actor),
                pack=tenant.pack_id,
                decision=decision,
                body={
                    "claim": str(row.claim_id), "product": row.product, "form": plan.terms.form, "amount": str(plan.amount),
                    "instalments": plan.instalments, "first_due_on": plan.due_on(1).isoformat(),
                },
            )
        ],
    )  # fmt: skip
    assert fate.outcome is Outcome.POSTED, fate
    dates = Dates(
        on=plan.started_on, joined_on=plan.started_on, born_on=plan.started_on, tranche_on=plan.started_on,
        scheme_year_from=plan.started_on, benefit_from=plan.started_on,
    )  # fmt: skip
    life = tenant.rule(ProofOfLifeRule, product=row.product, dates=dates)
    await queries.add_schedule(
        session,
        member_id=row.member_id,
        claim_id=row.claim_id,
        product=row.product,
        plan=plan,
        decision=decision,
        event_id=fate.event_id,
        cash=cash,
        payable=payable,
        life_until=life_proven(life.rule, plan.started_on).until if life else None,
    )


async def name_payee(
    session: AsyncSession, keys: FileKeyStore, tenant: Tenant, claim_id: int, payee: Payee, *, actor: str
) -> ScheduleRow:
    """Name whom a pension pays from the next payroll on; the payroll's second person approves each account it pays.

    A survivor is paid under the name by which they are known as an heir.

    Raises:
        UnknownPension: the claim pays nothing over time.
        UnusablePhone: on the rail of a wallet, no telephone number.
        UnknownMember: of a survivor, the member was erased.
        MoreThanReleased: of an heir who is a child, to whom it is paid as they come of age.
    """
    row = await queries.find_schedule(session, claim_id, hold=True)
    if row is None:
        raise UnknownPension
    if row.heir_no:
        payee = msgspec.structs.replace(payee, name=await _survivors_name(session, keys, tenant, row))
    known = [(one, known_account(keys, tenant, one)[1]) for one in payee.accounts]
    accounts = [
        KnownAccount(
            rail=one.rail, account=str(digest), verified=one.is_verified, paid_in=one.paid_in, documents=one.documents
        )
        for one, digest in known
    ]
    sealed = seal(keys, tenant.tenant_id, "pension_schedules", claim_id, msgspec.json.encode(payee))
    await queries.name_payee(session, claim_id, sealed, accounts)
    await note(
        session, tenant, EventKind.PENSION_PAYEE_NAMED, row, actor,
        {"accounts": [{"rail": one.rail, "account": one.account} for one in accounts]},
    )  # fmt: skip
    return await find_pension(session, claim_id)


async def _survivors_name(session: AsyncSession, keys: FileKeyStore, tenant: Tenant, row: ScheduleRow) -> str:
    claim = await claims.find_claim(session, row.death_claim or row.claim_id)
    assert claim is not None, row
    heirs = await estates.heirs_of(session, row.member_id, row.product)
    heir = next(one for one in heirs if one.heir_no == row.heir_no)
    person = await opened(session, keys, claim, heir)
    if row.death_claim and person.born_on is not None:
        today = business_date(await ledger.scheme_now(session), tenant.time_zone)
        trust = (await terms_of(session, tenant, claim, today)).trust
        if today < majority_of(trust, person.born_on):
            raise MoreThanReleased(age=MAJORITY if trust is None else trust.rule.releases[-1].at_age)
    return person.full_name


async def find_pension(session: AsyncSession, claim_id: int) -> ScheduleRow:
    """Return what a claim pays over time; UnknownPension if it does not."""
    row = await queries.find_schedule(session, claim_id)
    if row is None:
        raise UnknownPension
    return row


async def list_pensions(
    session: AsyncSession, *, product: str = "", after: int = 0, most: int = 100
) -> list[ScheduleRow]:
    """Return pensions after that of claim `after`, the oldest first."""
    return await queries.list_schedules(session, product=product, after=after, most=most)


async def note(
    session: AsyncSession,
    tenant: Tenant,
    kind: EventKind,
    row: ScheduleRow,
    actor: str,
    body: Mapping[str, object],
    transfers: Sequence[Transfer] = (),
) -> int:
    """Post one event of a pension; return its number."""
    (fate,) = await ledger.post(
        session,
        [
            Entry(
                member_id=row.member_id,
                kind=kind,
                business_date=business_date(await ledger.scheme_now(session), tenant.time_zone),
                actor=await ledger.actor_id(session, actor),
                pack=tenant.pack_id,
                decision=await ledger.decision_id(session, tenancy.trace(row.product, row.plan.rules)),
                body={"claim": str(row.claim_id), "product": row.product, **body},
                transfers=transfers,
            )
        ],
    )
    assert fate.outcome is Outcome.POSTED, fate
    return fate.event_id
