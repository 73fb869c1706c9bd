"""Switches: a member moves what they have into other funds. Units are sold first; what they brought buys once it has come."""

from collections.abc import Mapping, Sequence
from datetime import date

from sqlalchemy.ext.asyncio import AsyncSession

from engine.funds.errors import NoDealingRule, NoSwitching, SharesNotWhole, UnknownFund
from engine.funds.queries import dealings as dealing_queries
from engine.funds.queries import prices as price_queries
from engine.funds.queries import sales as sale_queries
from engine.funds.queries import switching as queries
from engine.funds.queries.switching import PlaceCodes, SwitchRow
from engine.funds.rules import WHOLE_BP, DealingRule, FundChoiceRule, FundsRule, dealing_day
from engine.funds.service.selling import SWITCH, Sale, Units, sell
from engine.kernel.clock import business_date
from engine.kernel.ids import house_member
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind
from engine.runtime.database import Database, retry_transaction
from engine.tenancy.service import Tenant

_ACTOR = "system:switches"


async def switch(
    session: AsyncSession,
    tenant: Tenant,
    member_id: int,
    product: str,
    wanted: Sequence[Units],
    shares: Mapping[str, int],
    *,
    day: date,
    actor: str,
    reference: str,
) -> Sale:
    """Put units of a member up for sale, and note into which funds what they bring is to go.

    The sale goes as any other. Once the fund manager's money for it has come, and not before, it is put into the open dealing
    of that day (`carry_on_switches`): each share rounded down, what is left to the first fund by code.

    Args:
        session: of the application's role.
        tenant: whose scheme.
        member_id: whose units.
        product: of which product.
        wanted: what is sold, each account once.
        shares: basis points by fund, which sum to 10,000.
        day: the business day.
        actor: who asks.
        reference: the caller's own name for this switch. A second call with it moves nothing and returns the first's sale.

    Raises:
        NoSwitching: the rules do not let members choose.
        SharesNotWhole: the shares do not sum to 10,000.
        UnknownFund, NotEnoughUnits, NoDealingRule: as `sell`; or the product does not deal in a fund.
    """
    dates = Dates(on=day, joined_on=day)
    choice = tenant.rule(FundChoiceRule, product=product, dates=dates)
    dealt = tenant.rule(FundsRule, product=product, dates=dates)
    if choice is None or dealt is None or not choice.rule.members_move:
        raise NoSwitching(product=product)
    if sum(shares.values()) != WHOLE_BP or min(shares.values()) < 1:
        raise SharesNotWhole(field="to", whole=WHOLE_BP)
    for fund in shares:
        if fund not in {one.code for one in dealt.rule.funds}:
            raise UnknownFund(fund=fund)
    await price_queries.intern_funds(session, [dealt.rule.fund(fund) for fund in shares])
    sold = await sell(
        session, tenant, member_id, product, wanted, day=day, actor=actor, reference=f"switch:{reference}", party=SWITCH
    )
    await queries.add_switch(session, member_id, sold.event_id, product=product, shares=shares, asked_on=day)
    return sold


async def switches_of(session: AsyncSession, member_id: int, *, most: int = 100) -> list[SwitchRow]:
    """Return a member's newest switches, the newest first."""
    return await queries.switches_of(session, member_id, most=most)


async def carry_on_switches(db: Database, tenant: Tenant) -> int:
    """Put what switches' sales brought, where the money has come, into the open dealings; return how many members' that was.

    Legs are held while it is done, so it may be stopped, and run twice at once.
    """
    total = 0
    while True:
        members, has_more = await retry_transaction(lambda: _fund(db, tenant))
        total += members
        if not has_more:
            return total


async def _fund(db: Database, tenant: Tenant) -> tuple[int, bool]:
    async with db.unit_of_work(tenant.tenant_id) as session:
        places, collected, funds = await queries.legs_to_fund(session)
        if not places:
            return 0, False
        now = await ledger.scheme_now(session)
        today = business_date(now, tenant.pack.time_zone)
        money = tenant.asset.symbol
        pairs = [
            (
                own,
                Account("payable", money, own.product, own.pot, own.origin, party=SWITCH),
                Account("cash", money, own.product, own.pot, own.origin),
            )
            for own in places
        ]
        codes = await ledger.account_codes(session, {account for _, *both in pairs for account in both})
        place_codes = [PlaceCodes(own, codes[payable], codes[cash]) for own, payable, cash in pairs]
        numbers = await sale_queries.fund_numbers(session, funds)
        dealings: dict[str, tuple[int, date]] = {}
        rules: set[str] = set()
        for product in sorted({own.product for own in places}):
            rule = tenant.rule(DealingRule, product=product, dates=Dates(on=today))
            if rule is None:
                raise NoDealingRule(product=product, day=today.isoformat())
            day = dealing_day(now, tenant.pack.time_zone, rule.rule.cut_off)
            dealings[product] = (await dealing_queries.open_dealing(session, product, day), day)
            rules.add(f"{product}/{rule.ref}")
        actor = await ledger.actor_id(session, _ACTOR)
        decision = await ledger.decision_id(session, {"rules": sorted(rules)})
        moved = 0
        for account in collected:
            event = await queries.next_event(session)
            members, minor = await queries.fund_legs(session, account, event, place_codes, numbers, dealings)
            moved += members
            entry = Entry(
                member_id=house_member(tenant.tenant_id),
                kind=EventKind.SWITCH_FUNDED,
                business_date=today,
                actor=actor,
                pack=tenant.pack_id,
                decision=decision,
                body={"members": members, "amount": str(minor)},
            )
            await ledger.write_gathered_event(session, event, entry)
        await queries.finish_empty(session)
        return moved, True
