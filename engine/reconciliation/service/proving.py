"""The proof of a day: bank or wallet = books, fund manager = books, and every gap between them by name.

For an account the newest statement's closing balance, less the books' balance, is the sum of what stands between: lines
that are in no book, receipts and orders that no statement shows. What is left over is explained by nothing: a statement
is missing, or somebody changed something. For a fund, the units its holder tells less the units of the books.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncSession

from engine.kernel.clock import business_date
from engine.kernel.files import FileRefused
from engine.kernel.fund_orders import HoldingsFile
from engine.ledger import service as ledger
from engine.reconciliation.errors import UnreadableHoldings
from engine.reconciliation.ports import HoldingsSource
from engine.reconciliation.queries import proofs as queries
from engine.reconciliation.queries.proofs import AccountStanding, Between, FundStanding
from engine.reconciliation.service.telling import fixed
from engine.runtime.database import Database, retry_transaction
from engine.tenancy.service import Tenant


@dataclass(frozen=True, slots=True)
class ProofItem:
    """What stands between a statement and the books: how many of a kind, their sum, the oldest's age in days.

    "in-not-booked" and "out-not-booked" are lines of statements that no book has; "receipt-not-shown", "order-not-shown"
    and "out-not-shown" are in the books and on no statement; "withdrawn-receipt" was on an earlier version of one;
    "before-statements" is what the account held before its first statement, "opened-with" what the books took over with.
    """

    kind: str
    count: int
    amount: str
    oldest_days: int


@dataclass(frozen=True, slots=True)
class AccountProof:
    """An account: the statement's closing balance, the books', the items between, and what none of them explains.

    Without a statement that has balances `statement`, `closed_on` and `closing` are None, and nothing can be proven.
    """

    account: str
    statement: int | None
    closed_on: date | None
    closing: str | None
    books: str
    items: tuple[ProofItem, ...]
    unexplained: str | None


@dataclass(frozen=True, slots=True)
class FundProof:
    """A fund: units of the books and as its holder told them, and what the books' units are worth at the last price.

    Of orders that were sent to its manager and are priced: `confirmed` units by the manager's word, bought less sold, what they
    cost at the prices it says, and the units that it has not confirmed. None where nothing was sent.
    """

    fund: str
    books: str
    told: str | None
    told_on: date | None
    difference: str | None
    price: str | None
    price_on: date | None
    value: str | None
    confirmed: str | None = None
    confirmed_value: str | None = None
    unconfirmed: str | None = None


@dataclass(frozen=True, slots=True)
class DayProof:
    """The proof of a business day. It is clean if everything was told and confirmed, and nothing is left unexplained."""

    on: date
    currency: str
    is_clean: bool
    accounts: tuple[AccountProof, ...]
    funds: tuple[FundProof, ...]

    def lines(self) -> list[str]:
        """Return the proof in sentences, for the command line."""
        found = []
        for one in self.accounts:
            if one.closing is None:
                found.append(f"{one.account}: the books hold {one.books}; no statement with balances was taken in")
                continue
            found.append(
                f"{one.account}: statement of {one.closed_on} {one.closing}, books {one.books}, unexplained {one.unexplained}"
            )
            found += [
                f"  {item.kind}: {item.count}, {item.amount}, the oldest {item.oldest_days} days" for item in one.items
            ]
        for fund in self.funds:
            told = (
                "nobody told"
                if fund.told is None
                else f"told on {fund.told_on} {fund.told}, differs by {fund.difference}"
            )
            found.append(f"{fund.fund}: books {fund.books}, {told}, worth {fund.value or 'unknown'}")
            if fund.confirmed is not None:
                found.append(
                    f"  by the manager's confirmations {fund.confirmed}, for {fund.confirmed_value}; not confirmed {fund.unconfirmed}"
                )
        return found


async def prove_day(session: AsyncSession, tenant: Tenant, on: date) -> DayProof:
    """Return the proof of a business day, as far as it is known now."""
    items = await queries.between(session, on)
    accounts = [_account(one, items.get(one.account, []), tenant, on) for one in await queries.standings(session, on)]
    funds = [_fund(one, tenant.asset.scale) for one in await queries.fund_standings(session, on)]
    left = [one.unexplained for one in accounts] + [one.difference for one in funds]
    left += [one.unconfirmed for one in funds if one.confirmed is not None]
    return DayProof(
        on=on,
        currency=tenant.asset.symbol,
        is_clean=all(one is not None and not Decimal(one) for one in left),
        accounts=tuple(accounts),
        funds=tuple(funds),
    )


def _account(one: AccountStanding, items: list[Between], tenant: Tenant, on: date) -> AccountProof:
    left = None if one.closing is None else one.closing - one.books - sum(item.amount for item in items)
    return AccountProof(
        account=one.account,
        statement=one.statement_id,
        closed_on=one.closed_on,
        closing=None if one.closing is None else fixed(one.closing, tenant.asset),
        books=fixed(one.books, tenant.asset),
        items=tuple(
            ProofItem(
                item.kind,
                item.count,
                fixed(item.amount, tenant.asset),
                0 if item.oldest is None else (on - item.oldest).days,
            )
            for item in items
        ),
        unexplained=None if left is None else fixed(left, tenant.asset),
    )


def _fund(one: FundStanding, scale: int) -> FundProof:
    price = None if one.digits is None or one.scale is None else Decimal(one.digits).scaleb(-one.scale)
    units = Decimal(one.books).scaleb(-one.unit_scale)
    worth = None if price is None else int((units * price).scaleb(scale))
    said = None if one.confirmed is None else int(one.confirmed.scaleb(one.unit_scale))
    cost = None if one.confirmed_value is None else int(one.confirmed_value.scaleb(scale))
    return FundProof(
        fund=one.fund,
        books=_units(one.books, one.unit_scale),
        told=None if one.told is None else _units(one.told, one.unit_scale),
        told_on=one.told_on,
        difference=None if one.told is None else _units(one.told - one.books, one.unit_scale),
        price=None if price is None else f"{price:f}",
        price_on=one.price_on,
        value=None if worth is None else f"{Decimal(worth).scaleb(-scale):.{scale}f}",
        confirmed=None if said is None else _units(said, one.unit_scale),
        confirmed_value=None if cost is None else f"{Decimal(cost).scaleb(-scale):.{scale}f}",
        unconfirmed=None if said is None or one.sent is None else _units(one.sent - said, one.unit_scale),
    )


def _units(smallest: int, scale: int) -> str:
    return f"{Decimal(smallest).scaleb(-scale):.{scale}f}"


@dataclass(frozen=True, slots=True)
class HoldingsReport:
    """What became of a file of holdings: our funds it tells of, and how many others. `first_imported_at` as for statements."""

    file: str
    sha256: str
    day: date
    funds: int
    not_ours: int
    first_imported_at: datetime | None = None

    def lines(self) -> list[str]:
        """Return the report in sentences, for the command line."""
        if self.first_imported_at is not None:
            return [f"{self.file}: the same bytes first came at {self.first_imported_at:%Y-%m-%d %H:%M} UTC"]
        return [f"{self.file}: {self.day}: {self.funds} funds told, {self.not_ours} of others"]


async def import_holdings(
    db: Database, tenant: Tenant, source: HoldingsSource, raw: bytes, name: str, actor: str
) -> HoldingsReport:
    """Take in what a fund manager or custodian says it holds at the end of a day; the file is kept as it came.

    The same bytes twice change nothing and say when they first came; of several files of a day the last counts.

    Raises:
        UnreadableHoldings: the file cannot be taken, or tells units that the fund does not count; nothing of it is kept.
    """
    try:
        file = await asyncio.to_thread(source.read_holdings, raw, name)
    except FileRefused as refused:
        raise UnreadableHoldings(
            file=name,
            row=refused.row or "–",
            field=refused.field,
            reason=f"{refused.sentence} {refused.detail}".strip(" ."),
        ) from refused
    return await retry_transaction(lambda: _keep(db, tenant, file, raw, name, actor))


async def _keep(db: Database, tenant: Tenant, file: HoldingsFile, raw: bytes, name: str, actor: str) -> HoldingsReport:
    sha256 = hashlib.sha256(raw).hexdigest()
    async with db.unit_of_work(tenant.tenant_id) as session:
        now = await ledger.scheme_now(session)
        if file.day > business_date(now, tenant.time_zone):
            raise UnreadableHoldings(file=name, row="–", field="day", reason=f"{file.day} has not come yet")
        known = await queries.fund_numbers(session)
        units = {}
        for holding in file.holdings:
            if holding.fund_code in known:
                number, scale = known[holding.fund_code]
                smallest = holding.units.scaleb(scale)
                if smallest != int(smallest):
                    raise UnreadableHoldings(
                        file=name, row=holding.row, field="units", reason=f"the fund is counted to {scale} decimals"
                    )
                units[number] = int(smallest)
        others = len(file.holdings) - len(units)
        earlier = await queries.find_holdings(session, sha256)
        if earlier is None:
            actor_id = await ledger.actor_id(session, actor)
            added = await queries.add_holdings(
                session, day=file.day, name=name, sha256=sha256, raw=raw, imported_at=now, actor=actor_id, units=units
            )
            earlier = await queries.find_holdings(session, sha256) if added is None else None
        return HoldingsReport(name, sha256, file.day, len(units), others, earlier and earlier[1])
