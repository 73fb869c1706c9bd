"""A scheme in funds: days of dealing, with prices that may have to be looked at by a second person."""

from datetime import date, time
from decimal import Decimal

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from engine.access.errors import SamePerson
from engine.benefits.queries.claiming import Request
from engine.funds.service import PriceImport
from tests.machine.machine import AnyScheme
from tests.machine.world import CHECKER, MAKER, Country

FUND = "TIER3-FUND"
GHANA = Country(
    pack="gh-tier3-informal",
    product="tier3",
    channel="bank",
    account="TIER3COLLECTIONS",
    document="ghana-card",
    number="GHA{serial:09d}0",
    consents=("scheme-rules", "personal-data"),
    funds=((FUND, "MANAGER"),),
    rules="""
[[rule]]
kind = "price-tolerance"
id = "price-tolerance"
move_bp = 500
source = "Invented: prices that move by more than a twentieth are looked at"
confidence = "high"
""",
)
_EVENING = time(16, 30)


class UnitisedScheme(AnyScheme):
    """One tenant a history."""

    country = GHANA
    least = 100
    youngest = 15
    access = Request(rule="personal-savings", purpose="education")
    retirement = Request(rule="savings-account", ground="retirement")
    identity = "identity"

    def __init__(self) -> None:
        super().__init__()
        self.world.prices = {fund: 10_000 for fund, _ in self.country.funds}
        self.priced: dict[tuple[str, date], Decimal] = {}

    @initialize(amounts=st.lists(st.integers(5_000, 90_000), min_size=3, max_size=3))
    def begin(self, amounts: list[int]) -> None:
        """Three people hold units: one young, one who may retire, one older than that."""
        for age, minor in zip((30, 60, 72), amounts, strict=True):
            self.join(age)
            self.pay(len(self.savers) - 1, minor, 1)
        self.a_dealing(0)

    @rule(move_bp=st.integers(-1_500, 1_500))
    def a_dealing(self, move_bp: int) -> None:
        """Dealing closes at 16:00; the next day's price may have to be looked at by a second person."""
        world = self.world
        day = self.next_day()
        self.run(world.to(day))
        self.settle()
        self.run(world.to(day, at=_EVENING))
        self.deal()
        self.run(world.to(self.next_day()))
        for place, (fund, before) in enumerate(world.prices.items()):
            world.prices[fund] = max(before * (10_000 + move_bp // (place + 1)) // 10_000, 1_000)
        report = self.run(world.price())
        assert isinstance(report, PriceImport), report
        for one in report.held:
            assert isinstance(self.run(world.approve_price(one.fund, MAKER)), SamePerson)
            self.run(world.approve_price(one.fund, CHECKER))
        self.priced |= {(fund, world.now.date()): Decimal(price) / 10_000 for fund, price in world.prices.items()}
        self.deal()
        self.run(world.managers_pay())
        self.settle()

    def deal(self) -> None:
        self.run(self.world.deal())

    def turn_to_money(self) -> None:
        """Sell at a price that moved by a thousandth."""
        self.a_dealing(10)
