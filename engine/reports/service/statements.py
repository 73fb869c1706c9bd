"""A member's statement at any date, derived from the books in a small fixed number of queries."""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

import pyxirr
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits.rules import ConditionalEntitlementRule, Promised, promised
from engine.contributions import service as contributions
from engine.enrolment import service as enrolment
from engine.funds.rules import FundsRule
from engine.identity import service as identity
from engine.identity.rules import MemberRef
from engine.kernel.amounts import Asset
from engine.kernel.clock import business_date
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.reports import queries
from engine.reports.errors import DateInFuture, NoPrice, UnknownMember
from engine.reports.rules import (
    HELD,
    Account,
    Holding,
    MovedHere,
    NoReturn,
    Statement,
    StatementLawRule,
    StatementRule,
    Unpriced,
    Wanted,
    basis_points,
    cash_of,
    charges_of,
    contributed_by_origin,
    flows_of,
    holdings_of,
    items_of,
    lines_of,
    paid_out_of,
    payable_of,
    totals_of,
    why_no_return,
)
from engine.reports.rules.contents import COUNTED_BY
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.rules.assuming import Assumption, assumptions_on
from engine.tenancy.service import Tenant, figures_for


async def find_member(session: AsyncSession, keys: FileKeyStore, number: str, *, product: str = "") -> MemberRef:
    """Return the tenant's member of that number, as they stand in one product: "" is the first they joined.

    Raises:
        UnknownMember: there is none, or none in the product, whatever the reason: the answer is the same for another
            tenant's member.
    """
    members = await identity.members_by_number(session, keys, [number])
    found = await enrolment.in_their_products(session, members, product=product)
    if number not in found:
        raise UnknownMember
    return found[number]


async def statement(
    session: AsyncSession,
    tenant: Tenant,
    member: MemberRef,
    *,
    number: str,
    as_of: date,
    known_size: int | None = None,
    merged_into: str = "",
) -> Statement:
    """Return the member's account at the end of business day `as_of`, as known in the log of `known_size` entries.

    The same day and size give the same statement for ever; without a size it holds all entries there are now.

    Args:
        session: the tenant's.
        tenant: the scheme.
        member: whose; `find_member` gives it.
        number: the member's number, to stand on the statement.
        as_of: today by the scheme's clock, or a day before.
        known_size: a size that the audit log has, or had.
        merged_into: the number of the member's record, where `number` is of one that was merged into it.

    Raises:
        DateInFuture: the day has not come.
        NoPrice: units are held of a fund that had no accepted price by that day.
    """
    money = Asset.currency(tenant.pack.manifest.currency)
    today = business_date(await ledger.scheme_now(session), tenant.time_zone)
    if as_of > today:
        raise DateInFuture(field="as_of", day=as_of.isoformat(), today=today.isoformat())
    products = await enrolment.products_behind(session, member.member_id, member.product)
    movements = await queries.movements(session, member.member_id, products=products, as_of=as_of, log_size=known_size)
    held = sorted({move.fund for move in movements if move.account in HELD})
    account = Account(
        movements=movements,
        allocations=await queries.allocations(session, member.member_id, products=products),
        reconciled=await queries.reconciled(
            session,
            member.member_id,
            resolved=[move.resolves for move in movements if move.resolves],
            as_of=as_of,
            log_size=known_size,
        ),
        prices=await queries.last_prices(session, held, as_of=as_of, log_size=known_size) if held else {},
    )
    try:
        holdings = holdings_of(account, money_scale=money.scale)
    except Unpriced as error:
        raise NoPrice(fund=error.args[0], day=as_of.isoformat()) from error
    year_from, _ = tenant.product(member.product).scheme_year(as_of)
    items = await _items(session, tenant, member, products, year_from, as_of, known_size, account, holdings, money)
    moves: list[MovedHere] = []
    if len(products) > 1:
        moves = await queries.moves_into(session, member.member_id, products=products, as_of=as_of, log_size=known_size)
    lines = lines_of(account)
    cash = cash_of(account)
    flows = flows_of(account)
    payable = payable_of(account)
    value = cash + payable + sum(holding.value_minor for holding in holdings)
    no_return = why_no_return(flows, as_of=as_of, has_holdings=bool(holdings))
    rate = None if no_return else money_weighted_return(flows, value=value, as_of=as_of)
    return Statement(
        member=number,
        merged_into=merged_into,
        product=member.product,
        joined_on=member.joined_on,
        as_of=as_of,
        log_size=known_size,
        currency=money.symbol,
        scale=money.scale,
        is_unitised=tenant.rule(FundsRule, product=member.product, dates=Dates(on=as_of, joined_on=member.joined_on))
        is not None,
        lines=lines,
        holdings=holdings,
        uninvested_minor=cash,
        totals=totals_of(
            lines,
            holdings,
            cash_minor=cash,
            payable_minor=payable,
            paid_out_minor=paid_out_of(account),
            charges_minor=charges_of(account),
            return_bp=rate,
            no_return=no_return or NoReturn.UNDEFINED,
        ),
        year_from=year_from if items else None,
        items=items,
        assumptions=_assumed(tenant, member, items, year_from, as_of),
        moves=tuple(moves),
        conditional=await _conditional(session, tenant, member, account, as_of, known_size),
    )


async def _conditional(
    session: AsyncSession, tenant: Tenant, member: MemberRef, account: Account, as_of: date, known_size: int | None
) -> tuple[Promised, ...]:
    """Return what the member is promised for a choice that they had not made by that day."""
    dates = Dates(on=as_of, joined_on=member.joined_on)
    rules = tenant.rules(ConditionalEntitlementRule, product=member.product, dates=dates)
    if not rules:
        return ()
    settled = await queries.settled_promises(
        session, member.member_id, product=member.product, as_of=as_of, log_size=known_size
    )
    figures = await figures_for(session, tenant)
    return promised(rules, contributed_by_origin(account), figures, on=as_of, settled=settled)


def _assumed(
    tenant: Tenant, member: MemberRef, items: Iterable[str], year_from: date, as_of: date
) -> tuple[Assumption, ...]:
    """Return what the rules behind a statement's items assume; an item that is zero was counted by them, too."""
    dates = Dates(
        on=as_of, joined_on=member.joined_on, tranche_on=as_of, scheme_year_from=year_from, benefit_from=as_of
    )
    kinds = {kind for item in items for kind in COUNTED_BY.get(item, ())}
    return assumptions_on(tenant.book(member.product), kinds, dates)


async def _items(
    session: AsyncSession,
    tenant: Tenant,
    member: MemberRef,
    products: Sequence[str],
    year_from: date,
    as_of: date,
    known_size: int | None,
    account: Account,
    holdings: Sequence[Holding],
    money: Asset,
) -> dict[str, int | None]:
    """Return what the scheme's rules and the law want said of the year, if it is more than every statement says."""
    dates = Dates(on=as_of, joined_on=member.joined_on, scheme_year_from=year_from)
    wanted = Wanted.of(
        (one.rule for one in tenant.rules(StatementRule, product=member.product, dates=dates)),
        (one.rule for one in tenant.rules(StatementLawRule, product=member.product, dates=dates)),
    ).shown
    if not wanted:
        return {}
    eve = year_from - timedelta(days=1)
    funds = sorted({move.fund for move in account.movements if move.account in HELD})
    prices = await queries.last_prices(session, funds, as_of=eve, log_size=known_size)
    earlier = [move for move in account.movements if move.business_date <= eve]
    before = Account(earlier, account.allocations, frozenset(), prices)
    try:
        held = holdings_of(before, money_scale=money.scale)
    except Unpriced as error:
        raise NoPrice(fund=error.args[0], day=eve.isoformat()) from error
    unpaid = payable_of(account)
    opening = cash_of(before) + payable_of(before) + sum(one.value_minor for one in held)
    closing = cash_of(account) + unpaid + sum(one.value_minor for one in holdings)
    flows = await queries.flows(
        session, member.member_id, products=products, since=year_from, as_of=as_of, log_size=known_size
    )
    # Where nothing was undertaken nobody counts what is still to be paid: the statement says that, and not 0.
    owed = await contributions.contributions_payable(session, tenant, [member], as_of, log_size=known_size)
    payable = owed.get((member.member_id, member.product))
    charges = 0
    if payable is not None:
        charges = await queries.charges_kept(
            session, member.member_id, product=member.product, since=year_from, as_of=as_of, log_size=known_size
        )
    return items_of(
        wanted,
        flows,
        opening=opening,
        closing=closing,
        payable=payable.units if payable is not None else None,
        unpaid=unpaid,
        charges=charges,
    )


def money_weighted_return(flows: Sequence[tuple[date, int]], *, value: int, as_of: date) -> int | None:
    """Return the effective yearly rate at which the payments would have grown to `value`, in basis points.

    The rate r that solves sum(amount × (1 + r)^(days to `as_of` / 365)) = value: the internal rate of return of dated
    flows, rounded half to even. None where no rate does.

    Args:
        flows: (business date, net amount paid in, less what was paid out) by date.
        value: what the account is worth at the end of `as_of`.
        as_of: the day of the statement.
    """
    if value <= 0:
        return None
    days = [day for day, _ in flows] + [as_of]
    amounts = [float(-amount) for _, amount in flows] + [float(value)]
    rate = pyxirr.xirr(days, amounts, silent=True)
    if rate is None:
        # Steep losses are out of the library's reach. With time turned round they are steep gains, which are not:
        # a growth of 1 + r forwards is one of 1 / (1 + r) backwards.
        backwards = pyxirr.xirr([as_of + (as_of - day) for day in days], amounts, silent=True)
        rate = None if backwards is None else 1 / (1 + backwards) - 1
    return basis_points(rate)
