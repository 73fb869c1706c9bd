"""A member's statement: what came in, what it bought, what it is worth. Pure: no clock, no database.

Money is in smallest units of the scheme's currency, fund units in smallest units of the fund. Two roundings, both
named: a fund's value is floored to the smallest money unit once a fund (`kernel.prices.value_of`) and the value of the
whole is the sum of those floors; the yearly return is rounded half to even to a whole basis point.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum

from msgspec import Struct

from engine.benefits.rules import Promised
from engine.kernel.prices import Price, value_of
from engine.reports.rules.contents import FEES, HANDED_OVER, PAID_OUT, PROMISED, TRANSIT
from engine.tenancy.rules.assuming import Assumption

SHORTEST_RETURN_DAYS = 30
"""A yearly rate is told from this many days after the first payment on: before, a year's rate says nothing."""
HELD = ("units", "selling")
OPENING = "opening"
LARGEST_RETURN_BP = 10_000_000
"""A yearly rate beyond a thousandfold is not told: it is a sign of a tiny first payment, not of growth."""


class LineState(StrEnum):
    """How far a payment has come."""

    RECEIVED = "received"
    RECONCILED = "reconciled"
    INVESTED = "invested"
    REVERSED = "reversed"


class NoReturn(StrEnum):
    """Why a statement tells no yearly return."""

    NO_PAYMENTS = "no-payments"
    TOO_SHORT = "too-short"
    NOTHING_INVESTED = "nothing-invested"
    UNDEFINED = "undefined"


class Line(Struct, frozen=True, kw_only=True):
    """What one payment put into one pot, and what it bought of one fund; a reversal has a negative amount.

    A payment that is split over pots or funds has a line for each. `price` and `units` are there once it is invested.
    """

    receipt: int
    paid_on: date
    amount_minor: int
    pot: str
    origin: str
    state: LineState
    fund: str = ""
    price_on: date | None = None
    price: Price | None = None
    units: int | None = None
    unit_scale: int = 0


class Holding(Struct, frozen=True, kw_only=True):
    """The units held of one fund, at its last accepted price on or before the statement's day.

    `selling` of the `units` are being sold: they are the member's, at the fund's price, until they take their own.
    """

    fund: str
    units: int
    unit_scale: int
    price: Price
    price_on: date
    value_minor: int
    selling: int = 0


class Totals(Struct, frozen=True, kw_only=True):
    """The sums of a statement. gain = value + paid out - contributed; charges are what was taken for costs, already out of value.

    What is payable is in the value until it is paid out; taxes withheld from it count as paid out.
    """

    contributed_minor: int
    paid_out_minor: int
    payable_minor: int
    charges_minor: int
    value_minor: int
    gain_minor: int
    return_bp: int | None
    no_return: NoReturn | None


class MovedHere(Struct, frozen=True):
    """A move of the member, with all that was theirs, out of another product into the one of the statement or one before it."""

    moved_on: date
    source: str


class Statement(Struct, frozen=True, kw_only=True):
    """A member's account at the end of the business day `as_of`.

    `log_size` says what was known: the entries that stood in the audit log of that size; None, all there are now.
    `items` are what the scheme's statement says of the scheme year that began on `year_from`, in smallest units;
    None is what is not counted yet. `assumptions` are what the rules behind the items assume.
    `uninvested_minor` is cash that has bought no units yet; of a product without units, the whole balance.
    `merged_into` is the number of the record that the one of the number `member` was merged into, and that this is of.
    `conditional` is what becomes the member's by a later choice alone, and is in no other figure.
    """

    member: str
    product: str
    joined_on: date
    as_of: date
    log_size: int | None
    currency: str
    scale: int
    is_unitised: bool
    lines: tuple[Line, ...]
    holdings: tuple[Holding, ...]
    uninvested_minor: int
    totals: Totals
    year_from: date | None = None
    items: Mapping[str, int | None] = {}
    assumptions: tuple[Assumption, ...] = ()
    moves: tuple[MovedHere, ...] = ()
    merged_into: str = ""
    conditional: tuple[Promised, ...] = ()


@dataclass(frozen=True, slots=True)
class Movement:
    """One transfer's effect on one account of the member: `amount` > 0 put in, < 0 taken out.

    `is_payment` tells a payment (or its reversal) from a change of cash into units. `dealing`, `price`
    and `price_on` are set where cash bought units; `resolves` names the suspended payment that this one is. `against`
    is the kind of the account on the other side. `cost` is what units were bought for in a scheme that was taken over.
    `record` is whose account it is: the member's own, or a record that was merged into it.
    """

    event_id: int
    line: int
    amount: int
    code: int
    business_date: date
    is_payment: bool
    account: str
    pot: str
    origin: str
    fund: str
    scale: int
    dealing: int = 0
    price: Price | None = None
    price_on: date | None = None
    resolves: int = 0
    against: str = ""
    cost: int = 0
    record: int = 0


@dataclass(frozen=True, slots=True)
class Allocation:
    """The part of a payment that went into a dealing, to buy one fund."""

    event_id: int
    code: int
    amount: int
    dealing: int
    fund: str
    record: int = 0


@dataclass(frozen=True, slots=True)
class Account:
    """A member's books as they stood: movements in the order of the books, what was matched, at which prices."""

    movements: Sequence[Movement]
    allocations: Sequence[Allocation]
    reconciled: frozenset[int]
    prices: Mapping[str, tuple[date, Price]]


class Unpriced(LookupError):
    """Units are held of a fund without a price; the argument is its code."""


def lines_of(account: Account) -> tuple[Line, ...]:
    """Return the statement's lines, by day and then in the order of the books.

    An allotment takes a member's allocations of one dealing and fund in the order of (receipt, account), each by one
    transfer of cash, so the books themselves say which units each payment bought. Raises ValueError where they differ.
    """
    spent = _spent(account)
    lines: list[Line] = []
    for move in _payments(account):
        bought = spent.get((move.event_id, move.code), [])
        left = move.amount - sum(line.amount_minor for line in bought)
        lines.extend(bought)
        if left:
            lines.append(
                Line(
                    receipt=move.event_id,
                    paid_on=move.business_date,
                    amount_minor=left,
                    pot=move.pot,
                    origin=move.origin,
                    state=_state(move, account.reconciled),
                )
            )
    lines += [
        Line(
            receipt=move.event_id,
            paid_on=move.business_date,
            amount_minor=move.cost,
            pot=move.pot,
            origin=move.origin,
            state=LineState.INVESTED,
            fund=move.fund,
            units=move.amount,
            unit_scale=move.scale,
        )
        for move in _opened(account)
    ]
    # A stable sort: within a day the order of the books stays.
    return tuple(sorted(lines, key=lambda line: line.paid_on))


def _state(move: Movement, reconciled: frozenset[int]) -> LineState:
    if move.amount < 0:
        return LineState.REVERSED
    is_shown = move.against == OPENING or bool(reconciled & {move.event_id, move.resolves})
    return LineState.RECONCILED if is_shown else LineState.RECEIVED


def _payments(account: Account) -> list[Movement]:
    return [move for move in account.movements if move.is_payment and move.account == "cash"]


def _opened(account: Account) -> list[Movement]:
    """Return the units that came from a scheme that was taken over; what they were bought for there counts as paid in."""
    return [move for move in account.movements if move.account == "units" and move.against == OPENING]


def _spent(account: Account) -> dict[tuple[int, int], list[Line]]:
    """Return the invested lines of each (receipt, cash account)."""
    paid = {(receipt, m.code): m for m in _payments(account) for receipt in (m.event_id, m.resolves) if receipt}
    # Money that came from another product was paid in there: it has its line already.
    carried = {
        (m.event_id, m.code) for m in account.movements if m.account == "cash" and not m.is_payment and m.amount > 0
    }
    units = {(m.event_id, m.line): m for m in account.movements if m.account == "units"}
    orders: dict[tuple[int, int, str, int], list[Movement]] = {}
    for move in account.movements:
        if move.account == "cash" and not move.is_payment and move.dealing and move.amount < 0:
            orders.setdefault((move.event_id, move.dealing, move.fund, move.record), []).append(move)
    waiting: dict[tuple[int, str, int], list[Allocation]] = {}
    for allocation in sorted(account.allocations, key=lambda a: (a.event_id, a.code)):
        waiting.setdefault((allocation.dealing, allocation.fund, allocation.record), []).append(allocation)
    found: dict[tuple[int, int], list[Line]] = {}
    for (_, dealing, fund, record), moves in orders.items():
        allocations = waiting.get((dealing, fund, record), [])
        if [(-m.amount, m.code) for m in moves] != [(a.amount, a.code) for a in allocations]:
            raise ValueError(f"the allotment of dealing {dealing}, fund {fund} is not what was allocated to it")
        for move, allocation in zip(moves, allocations, strict=True):
            if (allocation.event_id, allocation.code) in carried:
                continue
            receipt = paid.get((allocation.event_id, allocation.code))
            if receipt is None:  # a switch: what it buys was paid in before
                continue
            got = units.get((move.event_id, move.line + 1))
            found.setdefault((receipt.event_id, receipt.code), []).append(
                Line(
                    receipt=receipt.event_id,
                    paid_on=receipt.business_date,
                    amount_minor=allocation.amount,
                    pot=receipt.pot,
                    origin=receipt.origin,
                    state=LineState.INVESTED,
                    fund=fund,
                    price_on=move.price_on,
                    price=move.price,
                    units=0 if got is None else got.amount,
                    unit_scale=0 if got is None else got.scale,
                )
            )
    return found


def holdings_of(account: Account, *, money_scale: int) -> tuple[Holding, ...]:
    """Return what is held of each fund, by code, valued at its last price; each value floored once.

    Raises:
        Unpriced: a fund has no price.
    """
    units: dict[str, int] = {}
    selling: dict[str, int] = {}
    scales: dict[str, int] = {}
    for move in account.movements:
        if move.account in HELD:
            units[move.fund] = units.get(move.fund, 0) + move.amount
            scales[move.fund] = move.scale
        if move.account == "selling":
            selling[move.fund] = selling.get(move.fund, 0) + move.amount
    held = []
    for fund, count in sorted(units.items()):
        if not count:
            continue
        if fund not in account.prices:
            raise Unpriced(fund)
        price_on, price = account.prices[fund]
        value = value_of(count, amount_scale=money_scale, price=price, unit_scale=scales[fund])
        held.append(
            Holding(
                fund=fund,
                units=count,
                unit_scale=scales[fund],
                price=price,
                price_on=price_on,
                value_minor=value,
                selling=selling.get(fund, 0),
            )
        )
    return tuple(held)


def cash_of(account: Account) -> int:
    """Return the member's cash that bought nothing yet."""
    return sum(move.amount for move in account.movements if move.account == "cash")


def payable_of(account: Account) -> int:
    """Return what is payable to the member and not on its way: what sold units and benefits out of cash brought."""
    return sum(move.amount for move in account.movements if move.account == "payable")


def contributed_by_origin(account: Account) -> dict[str, int]:
    """Return what was paid in by origin, less what was taken back; a promise that was kept is no contribution."""
    found: dict[str, int] = {}
    for move in _payments(account):
        if move.against != PROMISED:
            found[move.origin] = found.get(move.origin, 0) + move.amount
    return found


def paid_out_of(account: Account) -> int:
    """Return what was paid out, and to other schemes, net of what came back, with the taxes withheld."""
    return -sum(move.amount for move in _payouts(account)) - sum(_worth(move) for move in _handed(account))


def _handed(account: Account) -> list[Movement]:
    """Return the money and units that went to the scheme that this one went into."""
    return [move for move in account.movements if move.against == HANDED_OVER]


def _worth(move: Movement) -> int:
    """Return what went to another scheme, below zero; units at their last price by the day."""
    return move.amount if move.account == "cash" else -move.cost


def _payouts(account: Account) -> list[Movement]:
    gone = (*PAID_OUT, TRANSIT)
    return [move for move in account.movements if move.account == "payable" and move.against in gone]


def charges_of(account: Account) -> int:
    """Return what fees ever took, with the tax on them, less what was given back."""
    return -sum(move.amount for move in account.movements if move.against in FEES)


def flows_of(account: Account) -> tuple[tuple[date, int], ...]:
    """Return (day, net amount paid in, less what was paid out) of each day, by day; days that net to nothing are left out."""
    by_day: dict[date, int] = {}
    for move in (*_payments(account), *_payouts(account)):
        by_day[move.business_date] = by_day.get(move.business_date, 0) + move.amount
    for move in _opened(account):
        by_day[move.business_date] = by_day.get(move.business_date, 0) + move.cost
    for move in _handed(account):
        by_day[move.business_date] = by_day.get(move.business_date, 0) + _worth(move)
    return tuple(sorted((day, amount) for day, amount in by_day.items() if amount))


def why_no_return(flows: Sequence[tuple[date, int]], *, as_of: date, has_holdings: bool) -> NoReturn | None:
    """Return why no yearly return can be told, or None where it can."""
    if not flows:
        return NoReturn.NO_PAYMENTS
    if not has_holdings:
        return NoReturn.NOTHING_INVESTED
    if (as_of - flows[0][0]).days < SHORTEST_RETURN_DAYS:
        return NoReturn.TOO_SHORT
    return None


def basis_points(rate: float | None) -> int | None:
    """Return a yearly rate (0.1 is ten per cent) in whole basis points, rounded half to even; None if there is none."""
    if rate is None or rate != rate or abs(rate) * 10_000 > LARGEST_RETURN_BP:  # noqa: PLR0124 - NaN alone differs from itself
        return None
    return int((Decimal(repr(rate)) * 10_000).to_integral_value(ROUND_HALF_EVEN))


def totals_of(
    lines: Iterable[Line],
    holdings: Iterable[Holding],
    *,
    cash_minor: int,
    payable_minor: int,
    paid_out_minor: int,
    charges_minor: int = 0,
    return_bp: int | None,
    no_return: NoReturn | None,
) -> Totals:
    """Return the sums."""
    contributed = sum(line.amount_minor for line in lines)
    value = cash_minor + payable_minor + sum(holding.value_minor for holding in holdings)
    return Totals(
        contributed_minor=contributed,
        paid_out_minor=paid_out_minor,
        payable_minor=payable_minor,
        charges_minor=charges_minor,
        value_minor=value,
        gain_minor=value + paid_out_minor - contributed,
        return_bp=return_bp,
        no_return=no_return if return_bp is None else None,
    )
