"""Funds that members choose for new money; and what is invested brought onto the path of ages, once a scheme year."""

from collections.abc import Mapping
from datetime import date
from functools import partial

from sqlalchemy.ext.asyncio import AsyncSession

from engine.funds.errors import NoChoosing, NoFundChoice, NotInProduct, SharesNotWhole, UnknownFund
from engine.funds.queries import choosing as queries
from engine.funds.queries import prices as price_queries
from engine.funds.queries import switching as switch_queries
from engine.funds.queries.choosing import Aims, FundChoice, Placed
from engine.funds.rules import WHOLE_BP, FundChoiceRule, FundsRule, LifePathRule, path_shares, years_count_until
from engine.funds.service.selling import SWITCH, open_for_sale, put_up_gathered
from engine.kernel.clock import business_date
from engine.kernel.ids import house_member
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind
from engine.runtime.database import Database, retry_transaction
from engine.tenancy.rules.books import InForce
from engine.tenancy.service import Tenant, trace

_ACTOR = "system:life-path"
_OLDEST = 120


async def choose_funds(
    session: AsyncSession,
    tenant: Tenant,
    member_id: int,
    product: str,
    shares: Mapping[str, int],
    *,
    day: date,
    actor: str,
) -> FundChoice:
    """Keep the funds that a member wants new money of a product to go to from now on; what is invested stays where it is.

    Money that lies in a dealing already goes where it was to go.

    Args:
        session: of the application's role.
        tenant: whose scheme.
        member_id: whose money.
        product: of which product.
        shares: basis points by fund, which sum to 10,000; none to go back to what the rules say.
        day: the business day.
        actor: who asks.

    Raises:
        UnknownProduct: the scheme has no such product.
        NoChoosing: the rules do not let members choose.
        NotInProduct: the member is not in it.
        SharesNotWhole: the shares do not sum to 10,000.
        UnknownFund: the product does not deal in a fund.
    """
    dates = Dates(on=day, joined_on=day)
    choice = tenant.rule(FundChoiceRule, product=product, dates=dates)
    dealt = tenant.rule(FundsRule, product=product, dates=dates)
    if choice is None or dealt is None or not choice.rule.members_choose:
        raise NoChoosing(product=product)
    if not await queries.is_in_product(session, member_id, product):
        raise NotInProduct(product=product)
    if shares and (sum(shares.values()) != WHOLE_BP or min(shares.values()) < 1):
        raise SharesNotWhole(field="to", whole=WHOLE_BP)
    for fund in shares:
        if fund not in {one.code for one in dealt.rule.funds}:
            raise UnknownFund(fund=fund)
    (posted,) = await ledger.post(
        session,
        [
            Entry(
                member_id=member_id,
                kind=EventKind.FUNDS_CHOSEN,
                business_date=day,
                actor=await ledger.actor_id(session, actor),
                pack=tenant.pack_id,
                decision=await ledger.decision_id(session, trace(product, [choice.ref])),
                body={"product": product, "shares": dict(sorted(shares.items()))},
            )
        ],
    )
    kept = dict(shares) or None
    await queries.keep_choice(session, member_id, product, kept, on=day, event_id=posted.event_id)
    return FundChoice(product, kept, day)


async def choices_of(session: AsyncSession, member_id: int) -> list[FundChoice]:
    """Return the funds that a member has chosen for new money, by product."""
    return await queries.choices_of(session, member_id)


async def rebalance(db: Database, tenant: Tenant) -> int:
    """Bring what is invested onto the path, in products whose path says so, once a scheme year; return how many members switch.

    Where a member's units of a fund are worth more than the path's share of all they have, what is over is put up for sale, and
    what it brings goes to the funds that have less, each in proportion to what it lacks. All at the last accepted prices, each
    rounded down. Members who chose their funds, whose group's choice decides, whose age is not known or who have a switch
    under way are left as they are. It begins once the scheme year has, and every fund has a price. May be stopped, and run
    twice at once.
    """
    total = 0
    for product in (one.code for one in tenant.pack.products):
        await retry_transaction(partial(_begin, db, tenant, product))
        async with db.unit_of_work(tenant.tenant_id) as session:
            left = await queries.ranges_left(session, product)
        for year_from, range_no in left:
            total += await retry_transaction(partial(_switch_range, db, tenant, product, year_from, range_no))
    return total


def _path(tenant: Tenant, product: str, day: date) -> InForce[LifePathRule] | None:
    found = tenant.rule(LifePathRule, product=product, dates=Dates(on=day))
    return found if found is not None and found.rule.moves == "all" else None


async def _begin(db: Database, tenant: Tenant, product: str) -> None:
    async with db.unit_of_work(tenant.tenant_id) as session:
        today = business_date(await ledger.scheme_now(session), tenant.time_zone)
        path, year_from = _path(tenant, product, today), tenant.product(product).scheme_year(today)[0]
        if path is None or await queries.has_begun(session, product, year_from):
            return
        await queries.hold_rebalancing(session)
        if await queries.has_begun(session, product, year_from) or await queries.unpriced_funds(session, product):
            return
        entry = await _entry(session, tenant, product, path, EventKind.REBALANCING_BEGUN, today, {})
        (posted,) = await ledger.post(session, [entry])
        await queries.begin(session, product, year_from, rule=path.ref, event_id=posted.event_id)


async def _switch_range(db: Database, tenant: Tenant, product: str, year_from: date, range_no: int) -> int:
    async with db.unit_of_work(tenant.tenant_id) as session:
        members = await queries.hold_range(session, product, year_from, range_no)
        if members is None:
            return 0
        today = business_date(await ledger.scheme_now(session), tenant.time_zone)
        path = _path(tenant, product, today)
        if path is None:  # the path was given up while the ranges were done: what is left stays as it is
            await queries.finish_range(session, product, year_from, range_no, 0)
            return 0
        choice = tenant.rule(FundChoiceRule, product=product, dates=Dates(on=today, joined_on=today))
        dealt = tenant.rule(FundsRule, product=product, dates=Dates(on=today, joined_on=today))
        assert dealt is not None, product
        await price_queries.intern_funds(session, dealt.rule.funds)
        aims = Aims(
            product=product,
            until=years_count_until(path.rule, today, year_from),
            shares=_aims(path, today),
            groups=() if choice is None or path.rule.before_group else tuple(choice.rule.by_group),
            members_choose=choice is not None and choice.rule.members_choose,
        )
        places = await _places(session, product)
        count = await queries.lay_out_switches(session, aims, members, places, money_scale=tenant.asset.scale)
        event = 0
        if count:
            into = await open_for_sale(session, tenant, product, today)
            event = await switch_queries.next_event(session)
            await put_up_gathered(session, into, event)
            await queries.add_switches(session, product, event_id=event, on=today)
            facts = {"members": count, "year_from": year_from.isoformat()}
            entry = await _entry(session, tenant, product, path, EventKind.FUNDS_REBALANCED, today, facts)
            await ledger.write_gathered_event(session, event, entry)
        await queries.finish_range(session, product, year_from, range_no, event)
        return count


def _aims(path: InForce[LifePathRule], today: date) -> list[tuple[int, str, int]]:
    """Return the path's shares by age and fund, of every age that it has."""
    found: list[tuple[int, str, int]] = []
    for age in range(_OLDEST + 1):
        try:
            found.extend((age, fund, share) for fund, share in path_shares(path, age, today).shares.items())
        except NoFundChoice:
            continue
    return found


async def _places(session: AsyncSession, product: str) -> list[Placed]:
    chart = await ledger.accounts_by_code(session)
    held = {code: one for code, one in chart.items() if one.kind == "units" and one.product == product}
    selling = {
        code: Account("selling", one.fund, product, one.pot, one.origin, one.fund, SWITCH) for code, one in held.items()
    }
    codes = await ledger.account_codes(session, set(selling.values()))
    return [Placed(code, codes[account]) for code, account in sorted(selling.items())]


async def _entry(
    session: AsyncSession,
    tenant: Tenant,
    product: str,
    path: InForce[LifePathRule],
    kind: EventKind,
    today: date,
    facts: Mapping[str, object],
) -> Entry:
    return Entry(
        member_id=house_member(tenant.tenant_id),
        kind=kind,
        business_date=today,
        actor=await ledger.actor_id(session, _ACTOR),
        pack=tenant.pack_id,
        decision=await ledger.decision_id(session, trace(product, [path.ref])),
        body={"product": product, **facts},
    )
