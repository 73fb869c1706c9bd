"""Promises that wait for a later choice: what becomes of them as a claim that is such a choice becomes payable."""

from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.errors import ClaimMoneyGone
from engine.benefits.queries import promises as queries
from engine.benefits.queries.claiming import ClaimRow
from engine.benefits.rules import Claimant, ConditionalEntitlementRule, Promised, promised
from engine.benefits.rules.claiming import TRANSFER
from engine.benefits.service.histories import moves_behind, paid_into
from engine.kernel.clock import business_date
from engine.kernel.ids import claim_digest
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Outcome, Transfer
from engine.tenancy import service as tenancy
from engine.tenancy.service import Tenant

CHOICES = ("retirement", "exit", TRANSFER, "death")
"""The kinds of claims after which no promise waits any more; a withdrawal, a loan and a cover leave it as it is."""


async def settled_of(session: AsyncSession, member_id: int, product: str) -> frozenset[str]:
    """Return the rules whose promises to a member became money or lapsed, by their ids."""
    return (await queries.settled(session, [(member_id, product)])).get((member_id, product), frozenset())


async def settle(session: AsyncSession, tenant: Tenant, row: ClaimRow, *, actor: str) -> None:
    """Let what was promised for the choice that a claim is become the member's, and the other promises lapse.

    In the transaction that makes the claim payable, before it: Dr promises-receivable / Cr member cash, an event a promise. One that
    lapses is an event without transfers. Both name their rule.

    Raises:
        ClaimMoneyGone: what the claim was decided with was settled by another claim since.
    """
    assert row.facts is not None, row
    if row.kind not in CHOICES:
        return
    dates = Dates(on=row.facts.on, joined_on=row.facts.joined_on)
    rules = tenant.rules(ConditionalEntitlementRule, product=row.product, dates=dates)
    if not rules and not row.facts.promised:
        return
    before = await settled_of(session, row.member_id, row.product)
    if any(one.rule in before for one in row.facts.promised):
        raise ClaimMoneyGone
    moves = await moves_behind(session, tenant, row.member_id, row.product)
    member = Claimant(
        on=row.facts.on,
        joined_on=row.facts.joined_on,
        paid=await paid_into(session, row.member_id, row.product, moves, row.facts.on),
    )
    figures = await tenancy.figures_for(session, tenant)
    waiting = promised(rules, member.contributed, figures, on=row.facts.on, settled=before)
    kept = {one.rule for one in row.facts.promised}
    times = await queries.times_settled(session, row.member_id, row.product)
    for one in (*row.facts.promised, *(one for one in waiting if one.rule not in kept)):
        await _settle_one(session, tenant, row, one, times.get(one.rule, 0), is_kept=one.rule in kept, actor=actor)


async def _settle_one(
    session: AsyncSession, tenant: Tenant, row: ClaimRow, one: Promised, times: int, *, is_kept: bool, actor: str
) -> None:
    owed = Account("promises-receivable", tenant.asset.symbol, row.product, party=one.payer)
    cash = Account("cash", tenant.asset.symbol, row.product, one.pot, one.origin)
    codes = await ledger.account_codes(session, {owed, cash})
    (fate,) = await ledger.post(
        session,
        [
            Entry(
                member_id=row.member_id,
                kind=EventKind.PROMISE_KEPT if is_kept else EventKind.PROMISE_LAPSED,
                business_date=business_date(await ledger.scheme_now(session), tenant.time_zone),
                actor=await ledger.actor_id(session, actor),
                pack=tenant.pack_id,
                decision=await ledger.decision_id(session, tenancy.trace(row.product, [one.ref])),
                body={
                    "claim": str(row.claim_id),
                    "product": row.product,
                    "amount": str(one.minor),
                    "choice": one.choice,
                    "payer": one.payer,
                },
                claims=(
                    claim_digest(tenant.tenant_id, "promise", f"{row.member_id}/{row.product}/{one.rule}/{times}"),
                ),
                transfers=[Transfer(one.minor, codes[owed], codes[cash])] if is_kept else [],
            )
        ],
    )
    if fate.outcome is not Outcome.POSTED:
        raise ClaimMoneyGone
    await queries.add_settled(
        session,
        member_id=row.member_id,
        claim_id=row.claim_id,
        event_id=fate.event_id,
        minor=one.minor,
        product=row.product,
        rule=one.rule,
        outcome="kept" if is_kept else "lapsed",
    )
