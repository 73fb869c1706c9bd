"""Matching the many by the rules of a channel: several lines of one receipt, one line of a day's or a batch's receipts.

What agrees to the cent is matched; what differs by no more than the rule allows is proposed for the rule's cause, once,
and a person confirms it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncSession

from engine.ledger import service as ledger
from engine.reconciliation.queries import breaks, matching
from engine.reconciliation.queries.matching import OpenLine
from engine.reconciliation.rules import BreakReason
from engine.reconciliation.rules.grouping import Differing, Group, LineKey, by_reference, by_same_reference
from engine.reconciliation.service.booking import book_matches
from engine.reconciliation.service.resolving import keep_proposal, new_proposal, receipt_beside
from engine.reconciliation.service.telling import fixed, reason_of
from engine.runtime.database import Database, Role, retry_transaction
from engine.tenancy.rules.manifest import Channel, MatchingRule
from engine.tenancy.service import Tenant

CHUNK = 20_000
PROPOSER = "system:matching"


@dataclass(frozen=True, slots=True)
class GroupMatched:
    """What became of lines, as (statement, line), that show receipts by a rule: "match", or "propose" where they differ.

    `difference` is what the lines have more than the receipts, in major units.
    """

    account: str
    rule: str
    fate: str
    lines: tuple[LineKey, ...]
    receipts: tuple[str, ...]
    difference: str


@dataclass(frozen=True, slots=True)
class Grouped:
    """What rules of channels did: lines matched, what of it was allocated (smallest units), and each group."""

    lines: int = 0
    allocated: int = 0
    groups: tuple[GroupMatched, ...] = ()

    @property
    def proposed(self) -> int:
        """Return how many groups a person has to confirm."""
        return sum(group.fate == "propose" for group in self.groups)


async def match_by_rules(db: Database, tenant: Tenant, *, actor: str) -> Grouped:
    """Match and propose by every rule of every channel, a transaction each; may be stopped and run again."""
    done = Grouped()
    for channel in tenant.pack.channels:
        for rule in channel.matching:

            async def once(channel: Channel = channel, rule: MatchingRule = rule) -> Grouped:
                async with db.unit_of_work(tenant.tenant_id, role=Role.JOBS) as session:
                    return await apply_rule(session, tenant, channel, rule, actor)

            one = await retry_transaction(once)
            done = Grouped(done.lines + one.lines, done.allocated + one.allocated, done.groups + one.groups)
    return done


async def apply_rule(
    session: AsyncSession, tenant: Tenant, channel: Channel, rule: MatchingRule, actor: str
) -> Grouped:
    """Match and propose by one rule of a channel. Needs the jobs role."""
    await matching.hold_matching(session)
    groups = await _groups(session, channel, rule)
    exact = [group for group in groups if not group.difference]
    allocated = await _match(session, tenant, channel.code, exact, actor)
    near = [group for group in groups if group.difference]
    known = await breaks.proposed_before(session, [group.lines[0] for group in near], by=PROPOSER)
    near = [group for group in near if group.lines[0] not in known]
    cause = next((one for one in tenant.pack.line_causes if one.code == rule.cause), None)
    now = await ledger.scheme_now(session)
    maker = await ledger.actor_id(session, PROPOSER)
    for group in near:
        assert cause is not None, rule
        row = replace(
            new_proposal(*group.lines[0], actor=PROPOSER, now=now),
            action="match",
            receipts=group.receipts,
            lines=group.lines[1:],
            cause=cause.code,
            party=cause.party,
            difference=group.difference,
        )
        await keep_proposal(session, tenant, row, maker)
    told = tuple(
        GroupMatched(
            channel.code,
            rule.by,
            "propose" if group.difference else "match",
            group.lines,
            tuple(str(one) for one in group.receipts),
            fixed(group.difference, tenant.asset),
        )
        for group in (*exact, *near)
    )
    return Grouped(sum(len(group.lines) for group in exact), allocated, told)


async def _match(session: AsyncSession, tenant: Tenant, account: str, groups: Sequence[Group], actor: str) -> int:
    if not groups:
        return 0
    waiting = await breaks.waiting_lines(session, [group.lines[0] for group in groups])
    known = await matching.receipts_in(session, account, [one for group in groups for one in group.receipts])
    good: dict[tuple[int, int], OpenLine] = {}
    for group in groups:
        for event in group.receipts:
            good[known[event][0], event] = receipt_beside(waiting[group.lines[0]], event, known[event])
    allocated = await book_matches(session, tenant, good, actor)
    parts = [(*line, group.receipts[0]) for group in groups for line in group.lines[1:]]
    await matching.settle_lines(session, parts, how="part")
    return allocated


async def _groups(session: AsyncSession, channel: Channel, rule: MatchingRule) -> list[Group]:
    if rule.by == "day-total":
        found = await breaks.day_totals(session, channel.code, days=rule.days, within=rule.within)
        return [Group(((one.statement_id, one.line_no),), one.receipts, one.amount - one.total) for one in found]
    if rule.by == "batch-reference":
        batches = await breaks.batch_totals(session, channel.code, days=rule.days, within=rule.within)
        return [Group(one.lines, one.receipts, one.amount - one.total) for one in batches]
    lines = await _differing(session, channel.code)
    members = await matching.receipts_in(session, channel.code, [line.receipt for line in lines])
    days = await breaks.receipt_days(session, [(found[0], event) for event, found in members.items()])
    find = by_reference if rule.by == "reference" else by_same_reference
    return find(lines, days, most_days=rule.days, within=rule.within)


async def _differing(session: AsyncSession, account: str) -> list[Differing]:
    """Return lines of an account that bear a receipt's reference and not its amount."""
    found: list[Differing] = []
    after: tuple[int, int] | None = (0, 0)
    while after is not None:
        lines = await matching.open_lines(session, after=after, most=CHUNK, is_tried=True)
        for line in lines:
            is_near = line.account == account and reason_of(line) is BreakReason.AMOUNT_DIFFERS
            if is_near and line.event_id is not None and line.received:
                key = (line.statement_id, line.line_no)
                found.append(Differing(key, line.value_date, line.amount, line.event_id, line.received))
        after = (lines[-1].statement_id, lines[-1].line_no) if len(lines) == CHUNK else None
    return found
