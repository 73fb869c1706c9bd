"""A fund manager that trades by ISO 20022 messages: the worker leaves orders in its folder and takes prices, confirmations and holdings."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_DOWN, Decimal
from pathlib import Path

from demo.client import DemoFailed
from demo.processes import Machine
from demo.scenario import Pack, Trading
from engine.kernel.amounts import Asset
from integrations.banking.file_drops.simulator import DropSite
from integrations.fund_managers.simulation.manager import SimulatedManager

_UNIT = Decimal("0.0001")
_PATIENCE = 120.0
_LOOK_SECONDS = 0.2
_PACE = {"first_wait": 0.2, "longest_wait": 2.0}


@dataclass(slots=True)
class Traded:
    """What went between the manager and us: order files' orders, what it confirmed, and the files that it left."""

    orders: int = 0
    confirmed: int = 0
    files: int = 0


class JoinedManager:
    """The simulated manager of one tenant, on a folder that both sides reach."""

    def __init__(self, pack: Pack, wanted: Trading, folder: Path) -> None:
        self._code, self._wanted = pack.code, wanted
        self._site = DropSite(folder)
        self._manager = SimulatedManager(site=self._site, currency=Asset.currency(pack.currency))
        self._is_open = False
        self.traded = Traded()

    def table(self) -> dict[str, object]:
        """Return how it is joined: its table in the secrets file."""
        return {
            "deals_for": self._wanted.deals_for,
            "speaks": "iso-20022",
            "account": self._wanted.account,
            "sender": "AKIBA",
            "since": self._wanted.since,
            "place": {
                "inbox": str(self._site.for_us),
                "outbox": str(self._site.from_us),
                "archive": str(self._site.taken),
            },
            "pace": _PACE,
        }

    def trades(self, day: date) -> bool:
        """Return whether it is joined on a day."""
        return day >= self._wanted.since

    def deal(
        self,
        day: date,
        prices: Mapping[str, Decimal],
        held: Mapping[str, Decimal],
        ordered: Iterable[tuple[str, Decimal]],
        is_priced: Callable[[str], bool],
    ) -> None:
        """Let it publish a day's prices and carry out what waits, and the worker take in all that it says.

        Args:
            day: the dealing day.
            prices: by fund.
            held: units by fund that it holds for us; looked at the first time.
            ordered: (fund, money) of orders that it had otherwise and prices now; looked at the first time.
            is_priced: whether we have the price of a fund of that day: files are put away before they are read.

        Raises:
            DemoFailed: its files are not taken.
        """
        if not self._is_open:
            self._is_open = True
            books = self._manager.books.holdings
            books |= {code: held.get(code, Decimal(0)) for code in prices}
            for code, money in ordered:
                if code in prices:
                    books[code] += (money / prices[code]).quantize(_UNIT, ROUND_DOWN)
        self._manager.deal(day, prices)
        self._await(lambda: all(map(is_priced, prices)), "the worker takes no prices of the manager's")

    def take_orders(self, expected: int) -> None:
        """Wait until as many new orders as expected came.

        Raises:
            DemoFailed: they did not, or a file of orders cannot be read.
        """
        self.traded.orders += expected
        came = 0

        def all_came() -> bool:
            nonlocal came
            came += self._manager.take_orders()
            return came >= expected

        self._await(all_came, f"{expected} orders do not come to the manager")
        if came > expected or self._manager.refused_files:
            raise DemoFailed(f"{self._code}: the manager got {came} orders for {expected}")

    def count_confirmed(self, machine: Machine) -> None:
        """Hold what it confirmed against its own books: every order that it dealt, each once.

        Raises:
            DemoFailed: a confirmation is missing, or is a break.
        """
        deadline = time.monotonic() + _PATIENCE
        while True:
            found = machine.akiba("orders", "confirmations", "--tenant", self._code, "--most", "1000")
            states = [one["state"] for one in found]
            if states == ["confirmed"] * self._manager.books.deals:
                break
            if time.monotonic() > deadline:
                raise DemoFailed(
                    f"{self._code}: the manager dealt {self._manager.books.deals} orders, we have {states}"
                )
        self.traded.confirmed, self.traded.files = len(states), len(list(self._site.taken.iterdir()))

    def _await(self, is_so: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not is_so():
            if time.monotonic() > deadline:
                raise DemoFailed(f"{self._code}: {otherwise}")
            time.sleep(_LOOK_SECONDS)
