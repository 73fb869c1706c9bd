"""The simulated bank over HTTP: its file service, and the routes by which it is steered.

POST /simulator/misbehave  {"how": "late", "times": 2}
POST /simulator/credit     {"amount": 50000, "end_to_end_id": "...", "text": "...", "payer": "...", "account": "..."}
POST /simulator/take-files  our payment files are read and answered
POST /simulator/end-day     what is due is booked, and the day's statement is written
GET  /simulator/counts      how often it has misbehaved, by how
GET  /simulator/books       its own books: what truly happened, in smallest units
"""

from collections.abc import Mapping
from typing import Any

from integrations.banking.file_drops.simulator import App, http_app, with_control
from integrations.banking.simulation.bank import SimulatedBank


def bank_app(bank: SimulatedBank, token: str) -> App:
    """Return an ASGI application that is the bank: it serves files to whoever bears `token`."""

    def credit(asked: Mapping[str, Any]) -> object:
        return {
            "bank_ref": bank.credit(int(asked["amount"]), **{key: str(asked[key]) for key in asked if key != "amount"})
        }

    def misbehave(asked: Mapping[str, Any]) -> object:
        bank.sender.misbehave(str(asked["how"]), int(asked.get("times", 1)))
        return {}

    return with_control(
        http_app(bank.site, token),
        {
            ("POST", "/simulator/misbehave"): misbehave,
            ("POST", "/simulator/credit"): credit,
            ("POST", "/simulator/take-files"): lambda _: {"files": bank.take_files()},
            ("POST", "/simulator/end-day"): lambda _: {"closing": bank.end_day().closing, "today": bank.today},
            ("GET", "/simulator/counts"): lambda _: bank.sender.counts,
            ("GET", "/simulator/books"): lambda _: {
                "balance": bank.balance,
                "lines": [
                    {"bank_ref": line.bank_ref, "end_to_end_id": line.end_to_end_id, "movement": line.movement}
                    for statement in bank.statements
                    for line in statement.lines
                ],
            },
        },
    )
