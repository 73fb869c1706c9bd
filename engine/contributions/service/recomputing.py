"""Law that reaches back: what was decided under rules since replaced in arrears is decided again, by new events.

Nothing is edited and no money comes or goes: what the new rules give another pot moves there, as cash or as the units
it bought. A receipt whose money is still on its way into a fund waits; what the new rules would not have taken at all,
or the member does not hold any more, stays where it is, and is put on record for people to look at.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncSession

from engine.contributions import queries
from engine.contributions.queries import DecidedReceipt
from engine.contributions.rules import LANES, ContributionTerms, split_over_pots
from engine.contributions.service.terms import figures_now, terms_for
from engine.kernel.amounts import Amount
from engine.kernel.clock import business_date
from engine.kernel.errors import EngineError
from engine.kernel.ids import claim_digest
from engine.kernel.series import Figures
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Outcome, Transfer
from engine.runtime.database import Database, retry_transaction
from engine.tenancy import service as tenancy
from engine.tenancy.service import Reach, Tenant

NOT_HELD = "not-held"
PAGE = 2_000
"""Receipts read and written by one transaction."""


@dataclass(slots=True)
class Recomputed:
    """What became of the receipts of a time: how many were looked at, moved, noted or left waiting."""

    receipts: int = 0
    moved: int = 0
    refused: int = 0
    waiting: int = 0


async def recompute(db: Database, tenant: Tenant, reach: Reach, *, actor: str) -> Recomputed:
    """Decide again every receipt since a day that other rules decided, or pages since rewritten; once a pack version.

    May be stopped and run again: what is done stays done. Receipts of cohorts whose rules have not changed are not read.
    """
    report = Recomputed()
    async with db.unit_of_work(tenant.tenant_id) as session:
        figures = await figures_now(session, tenant)
        cohorts = [
            one for one in await queries.decided_cohorts(session, reach.since) if _differs(tenant, figures, one, reach)
        ]
    for cohort in cohorts:
        after = (0, 0)
        while True:

            async def run(
                after: tuple[int, int] = after, cohort: queries.DecidedCohort = cohort
            ) -> tuple[int, int] | None:
                async with ledger.in_every_lane(db, tenant.tenant_id, LANES) as session:
                    return await _page(session, tenant, cohort, after, actor, report)

            last = await retry_transaction(run)
            if last is None:
                break
            after = last
    return report


def _differs(tenant: Tenant, figures: Figures, cohort: queries.DecidedCohort, reach: Reach) -> bool:
    terms = _terms(tenant, figures, cohort)
    # Rules by which instalments were held against what was due stand behind them; they move no money.
    if isinstance(terms, EngineError) or terms.rules != cohort.rules[: len(terms.rules)]:
        return True
    return any(f"{cohort.product}/{rule.partition('@')[2]}" in reach.pages for rule in cohort.rules)


def _terms(tenant: Tenant, figures: Figures, cohort: queries.DecidedCohort) -> ContributionTerms | EngineError:
    try:
        return terms_for(tenant, figures, cohort.product, cohort.business_date, cohort.joined_on)
    except EngineError as refusal:
        return refusal


async def _page(
    session: AsyncSession,
    tenant: Tenant,
    cohort: queries.DecidedCohort,
    after: tuple[int, int],
    actor: str,
    report: Recomputed,
) -> tuple[int, int] | None:
    receipts = await queries.decided_receipts(session, cohort, after=after, most=PAGE, pack=tenant.pack_id)
    if not receipts:
        return None
    done = [one for one in receipts if not one.is_waiting]
    entries = [entry async for entry in _entries(session, tenant, cohort, done, actor)]
    fates = await ledger.post(session, entries)
    # What a member has sold or drawn since cannot move: it stays, and that is on record.
    gone = [place for place, fate in enumerate(fates) if fate.outcome is Outcome.OVERDRAWN]
    for place in gone:
        body = {key: entries[place].body[key] for key in ("receipt", "amount")}
        entries[place] = replace(entries[place], body={**body, "refusal": NOT_HELD}, transfers=())
    for place, fate in zip(gone, await ledger.post(session, [entries[place] for place in gone]), strict=True):
        fates[place] = fate
    await queries.add_recomputations(
        session,
        [(one.member_id, one.event_id, fate.event_id) for one, fate in zip(done, fates, strict=True)],
        pack=tenant.pack_id,
    )
    report.receipts += len(receipts)
    report.waiting += len(receipts) - len(done)
    report.refused += sum("refusal" in entry.body for entry in entries)
    report.moved += sum(bool(entry.transfers) for entry in entries)
    return receipts[-1].member_id, receipts[-1].event_id


async def _entries(
    session: AsyncSession,
    tenant: Tenant,
    cohort: queries.DecidedCohort,
    receipts: Sequence[DecidedReceipt],
    actor: str,
) -> AsyncIterator[Entry]:
    now = await ledger.scheme_now(session)
    actor_id = await ledger.actor_id(session, actor)
    terms = _terms(tenant, await figures_now(session, tenant), cohort)
    rules = terms.rules if isinstance(terms, ContributionTerms) else ()
    decision = await ledger.decision_id(session, tenancy.trace(cohort.product, rules))
    codes = await _codes(session, tenant, cohort.product, receipts)
    for one in receipts:
        body: dict[str, object] = {"receipt": str(one.event_id), "amount": str(one.amount)}
        transfers: tuple[Transfer, ...] = ()
        try:
            if isinstance(terms, EngineError):
                raise terms
            terms.limits.check(Amount(one.amount, tenant.asset))
            # What was taken before the split, or goes back, is not decided again.
            kept = Amount(sum(one.pots.values()), tenant.asset)
            parts = split_over_pots(kept, terms) if kept.units else ()
            moves = resplit(one.pots, {pot: part.units for pot, part in parts})
            body["pots"] = {pot: str(part.units) for pot, part in parts}
            transfers = tuple(_transfers(one, moves, codes))
            body["units"] = _units_after(one, moves)
        except EngineError as refusal:
            body["refusal"] = refusal.code
        yield Entry(
            member_id=one.member_id,
            kind=EventKind.CONTRIBUTION_RECOMPUTED,
            business_date=business_date(now, tenant.time_zone),
            actor=actor_id,
            pack=tenant.pack_id,
            decision=decision,
            body=body,
            claims=(claim_digest(tenant.tenant_id, f"recompute:{tenant.pack_id}", str(one.event_id)),),
            transfers=transfers,
        )


def _units_moved(receipt: DecidedReceipt, source: str, amount: int) -> dict[str, int]:
    """Return by fund the units that go with an amount out of a pot: its part of what the pot bought, rounded down."""
    return {fund: held * amount // receipt.pots[source] for fund, held in receipt.units.get(source, {}).items()}


def _units_after(receipt: DecidedReceipt, moves: Sequence[tuple[str, str, int]]) -> dict[str, dict[str, str]]:
    """Return the units each pot's part stands in afterwards, by fund, as `_transfers` moves them."""
    units = {pot: dict(bought) for pot, bought in receipt.units.items()}
    for source, target, amount in moves:
        for fund, moved in _units_moved(receipt, source, amount).items():
            units[source][fund] -= moved
            into = units.setdefault(target, {})
            into[fund] = into.get(fund, 0) + moved
    return {pot: {fund: str(one) for fund, one in bought.items()} for pot, bought in units.items()}


def resplit(before: Mapping[str, int], after: Mapping[str, int]) -> list[tuple[str, str, int]]:
    """Return (from pot, to pot, amount) of what must move so that `before` becomes `after`; both have one sum.

    What is too much in one pot goes to those that lack it, both in the order of the pots' codes.
    """
    assert sum(before.values()) == sum(after.values()), (before, after)
    surplus = {pot: before[pot] - after.get(pot, 0) for pot in sorted(before) if before[pot] > after.get(pot, 0)}
    moves: list[tuple[str, str, int]] = []
    for pot in sorted(after):
        lacking = after[pot] - before.get(pot, 0)
        for source, spare in list(surplus.items()):
            moved = min(lacking, spare)
            if moved > 0:
                moves.append((source, pot, moved))
                surplus[source] = spare - moved
                lacking -= moved
    return moves


def _transfers(
    receipt: DecidedReceipt, moves: Sequence[tuple[str, str, int]], codes: Mapping[tuple[str, str, str], int]
) -> Iterator[Transfer]:
    """Yield what moves: cash where the receipt bought nothing, else of each fund the units that the moved part bought."""
    for source, target, amount in moves:
        if not receipt.units.get(source):
            yield Transfer(amount, codes[receipt.origin, source, ""], codes[receipt.origin, target, ""])
        for fund, moved in _units_moved(receipt, source, amount).items():
            if moved:
                yield Transfer(moved, codes[receipt.origin, source, fund], codes[receipt.origin, target, fund])


async def _codes(
    session: AsyncSession, tenant: Tenant, product: str, receipts: Sequence[DecidedReceipt]
) -> dict[tuple[str, str, str], int]:
    """Return the codes of cash by (origin, pot, "") and of units by (origin, pot, fund), for every pot of the product."""
    funds = {fund for one in receipts for bought in one.units.values() for fund in bought}
    accounts: dict[tuple[str, str, str], Account] = {}
    for origin in {one.origin for one in receipts}:
        for pot in tenant.product(product).pot_codes:
            accounts[origin, pot, ""] = Account("cash", tenant.asset.symbol, product, pot, origin)
            accounts |= {(origin, pot, fund): Account("units", fund, product, pot, origin, fund) for fund in funds}
    found = await ledger.account_codes(session, accounts.values())
    return {key: found[account] for key, account in accounts.items()}
