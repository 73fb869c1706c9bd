"""The end of a life: the death is reported, the account's units are sold, and the nominee inherits what they bring."""

import hashlib
import time as clock
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Protocol

from demo.client import DemoFailed, Operator

_PATIENCE, _LOOK_SECONDS = 60.0, 0.5


class Scheme(Protocol):
    """What the end of a life needs of the scheme's days."""

    def staff(self, role: str) -> Operator:
        """Return somebody of a role."""

    def on(self, day: date) -> None:
        """Set the clock to an hour of a day before dealing closes."""

    def sell(self, day: date) -> Sequence[Mapping[str, Any]]:
        """Close the day's dealing, sell by the next day's prices, and have the managers' money come; return each sale."""

    def rules_of(self, decision: str) -> list[dict[str, Any]]:
        """Return the rules by which something was decided."""

    def in_force(self, day: date, kind: str) -> list[dict[str, Any]]:
        """Return the rules of a kind in force on a day."""

    def tell(self, on: date, what: str, amount: Decimal, rules: list[dict[str, Any]], figures: dict[str, str]) -> None:
        """Write an event down."""


def die(scheme: Scheme, member: str, product: str, *, died_on: date, reported_on: date) -> None:
    """Report a death, have a second person approve the claim that it opens, and tell what the nominee gets.

    Raises:
        DemoFailed: the claim does not come to its end, or does not give what the units brought.
    """
    scheme.on(reported_on)
    officer, checker = scheme.staff("claims-officer"), scheme.staff("claims-checker")
    papers = {one: hashlib.sha256(one.encode()).hexdigest() for one in ("death-certificate", "no-spouse-declaration")}
    certificate = {"death-certificate": papers.pop("death-certificate")}
    asked = {"member": member, "kind": "death", "product": product, "died_on": died_on.isoformat()}
    claim = officer.post("/v1/claims", {**asked, "documents": certificate}, status=201, key="death")
    if claim["state"] == "open":
        claim = officer.post(f"/v1/claims/{claim['claim']}/heirs", {"documents": papers})
    if claim["state"] != "decided":
        raise DemoFailed(f"the claim of a death is {claim['state']}: {claim}")
    rules = scheme.rules_of(claim["decision"])
    scheme.tell(
        reported_on, "death-claimed", Decimal(0), rules, {"died_on": died_on.isoformat(), "worth": claim["amount"]}
    )
    path = f"/v1/claims/{claim['claim']}"
    approved = checker.post(f"{path}/approval", {"digest": claim["digest"]})
    if approved["state"] != "selling":
        raise DemoFailed(f"an approved claim of a death is {approved['state']}: {approved}")
    worth, sales = Decimal(claim["amount"]), scheme.sell(reported_on)
    brought = sum((Decimal(one["amount"]) for one in sales), Decimal(0))
    deadline = clock.monotonic() + _PATIENCE
    while (claim := officer.get(path))["state"] != "payable":
        if clock.monotonic() > deadline:
            raise DemoFailed(f"the claim of a death is not paid: {claim}")
        clock.sleep(_LOOK_SECONDS)
    heirs = officer.get(f"{path}/heirs")["heirs"]
    if [Decimal(one["due"]) for one in heirs] != [brought] or Decimal(claim["payable"]) != brought:
        raise DemoFailed(f"{brought} was brought by the units; the heirs have {heirs}")
    sold_on = reported_on + timedelta(days=1)
    figures = {f"{one['fund']}.{name}": str(one[name]) for one in sales for name in ("price", "amount")}
    scheme.tell(sold_on, "sold", brought - worth, scheme.in_force(reported_on, "unit-pricing"), figures)
    scheme.tell(sold_on, "inherited", -brought, rules, {"nominee": heirs[0]["due"]})
