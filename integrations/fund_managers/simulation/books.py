"""The simulated manager's own books: orders it took, deals it made, units it holds. Pure but for what it remembers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from engine.kernel.amounts import Amount, Asset
from engine.kernel.fund_orders import OrderConfirmation, OrderSide, PooledOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class FundPrice:
    """A fund's price per unit on a day, in `currency`."""

    fund_code: str
    name: str
    day: date
    price: Decimal


@dataclass(slots=True, kw_only=True)
class Books:
    """A manager that deals at the price of the day, rounds units down, and settles two days later."""

    currency: Asset
    unit_scale: int = 4
    settlement_days: int = 2
    taken: dict[str, PooledOrder] = field(default_factory=dict)
    holdings: dict[str, Decimal] = field(default_factory=dict)
    deals: int = 0

    def take(self, order: PooledOrder) -> bool:
        """Take an order to deal; return whether it is new: one with a reference that came before is the same order."""
        if order.reference in self.taken:
            return False
        self.taken[order.reference] = order
        return True

    def deal(self, orders: Mapping[str, PooledOrder], prices: Mapping[str, FundPrice]) -> list[OrderConfirmation]:
        """Carry out every order whose fund has a price."""
        return [self._deal(order, prices[order.fund_code]) for order in orders.values() if order.fund_code in prices]

    def _deal(self, order: PooledOrder, price: FundPrice) -> OrderConfirmation:
        quantum = Decimal(1).scaleb(-self.unit_scale)
        if order.amount is not None:
            amount = order.amount
            units = (amount.decimal() / price.price).quantize(quantum, ROUND_DOWN)
        else:
            assert order.units is not None
            units = order.units
            money = (units * price.price).scaleb(self.currency.scale).quantize(Decimal(1), ROUND_HALF_UP)
            amount = Amount(int(money), self.currency)
        self.deals += 1
        sign = 1 if order.side is OrderSide.SUBSCRIBE else -1
        self.holdings[order.fund_code] = self.holdings.get(order.fund_code, Decimal(0)) + sign * units
        return OrderConfirmation(
            row=0,
            reference=order.reference,
            deal_ref=f"DEAL-{self.deals:06}",
            side=order.side,
            fund_code=order.fund_code,
            units=units,
            price=price.price,
            amount=amount,
            traded_on=price.day,
            settles_on=price.day + timedelta(days=self.settlement_days),
        )
