"""The simulated manager over HTTP: its file service, and the routes by which it is steered.

POST /simulator/misbehave    {"how": "never-sent", "times": 2}
POST /simulator/take-orders   our order files are read
POST /simulator/deal         {"day": "2026-03-27", "prices": {"SM001009": "32.6034"}}
POST /simulator/correct      {"day": "2026-03-27", "prices": {"SM001009": "32.6035"}}
GET  /simulator/counts        how often it has misbehaved, by how
GET  /simulator/books         the units it truly holds, by fund
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from integrations.banking.file_drops.simulator import App, http_app, with_control
from integrations.fund_managers.simulation.manager import SimulatedManager


def manager_app(manager: SimulatedManager, token: str) -> App:
    """Return an ASGI application that is the manager: it serves files to whoever bears `token`."""

    def priced(asked: Mapping[str, Any]) -> tuple[date, dict[str, Decimal]]:
        return date.fromisoformat(asked["day"]), {code: Decimal(price) for code, price in asked["prices"].items()}

    def misbehave(asked: Mapping[str, Any]) -> object:
        manager.sender.misbehave(str(asked["how"]), int(asked.get("times", 1)))
        return {}

    def deal(asked: Mapping[str, Any]) -> object:
        return {"deals": len(manager.deal(*priced(asked)))}

    def correct(asked: Mapping[str, Any]) -> object:
        manager.correct(*priced(asked))
        return {}

    return with_control(
        http_app(manager.site, token),
        {
            ("POST", "/simulator/misbehave"): misbehave,
            ("POST", "/simulator/take-orders"): lambda _: {"orders": manager.take_orders()},
            ("POST", "/simulator/deal"): deal,
            ("POST", "/simulator/correct"): correct,
            ("GET", "/simulator/counts"): lambda _: manager.sender.counts,
            ("GET", "/simulator/books"): lambda _: {
                code: f"{units:f}" for code, units in manager.books.holdings.items()
            },
        },
    )
