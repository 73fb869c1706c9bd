"""A life from 60 on: the pension out of a pool, paid month by month; the death, the spouse's pension, and the corpus after both."""

import hashlib
import time as clock
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

from demo.client import DemoFailed, Operator
from demo.life_facts import Facts, payroll_days

RAIL = "bank"
_PATIENCE, _LOOK_SECONDS = 90.0, 0.25
_NONE = Decimal(0)


class Scheme(Protocol):
    """What the later life needs of the scheme's days."""

    def staff(self, role: str) -> Operator:
        """Return somebody of a role."""

    def on(self, day: date) -> None:
        """Set the clock to an hour of a day before dealing closes."""

    def sell(self, day: date) -> Sequence[Mapping[str, Any]]:
        """Close the day's dealing, sell by the next day's prices, and have the managers' money come; return each sale."""

    def pay_out(self, day: date, payouts: Sequence[tuple[str, Decimal]]) -> None:
        """Have the bank's statement of a day show payouts gone: (the bank's reference, amount)."""

    def rules_of(self, decision: str) -> list[dict[str, Any]]:
        """Return the rules by which something was decided."""

    def in_force(self, day: date, kind: str) -> list[dict[str, Any]]:
        """Return the rules of a kind in force on a day."""

    def tell(self, on: date, what: str, amount: Decimal, rules: list[dict[str, Any]], figures: dict[str, str]) -> None:
        """Write an event down."""


class LaterLife:
    """One member from the claim of the pension to the corpus for the nominee."""

    def __init__(self, scheme: Scheme, facts: Facts, member: str, product: str) -> None:
        self._scheme, self._facts, self._member, self._product = scheme, facts, member, product
        self._pension = self._spouses = ""

    def live(self) -> None:
        """Live it.

        Raises:
            DemoFailed: the scheme does something else than its rules say.
        """
        facts = self._facts
        self._retire()
        steps: list[tuple[date, Callable[[date], None]]] = [(day, self._pay) for day in payroll_days(facts)]
        steps += [(day, self._seen) for day in facts.seen_on]
        steps += [(facts.reported_on, self._die), (facts.spouse_reported_on, self._end)]
        for day, step in sorted(steps, key=lambda one: one[0]):
            self._scheme.on(day)
            step(day)

    def _retire(self) -> None:
        """Claim the pension; once a second person has approved it, all units are sold and go to the pool."""
        scheme, day = self._scheme, self._facts.retires_on
        scheme.on(day)
        officer = scheme.staff("claims-officer")
        asked = {"member": self._member, "kind": "retirement", "product": self._product, "rule": "pension-at-60"}
        claim = officer.post("/v1/claims", {**asked, "ground": "retirement"}, status=201, key="pension")
        if claim["state"] != "decided":
            raise DemoFailed(f"the claim of the pension is {claim['state']}: {claim}")
        rules, worth = (
            scheme.rules_of(claim["decision"]),
            sum((Decimal(one["amount"]) for one in claim["parts"]), _NONE),
        )
        scheme.tell(day, "pension-claimed", _NONE, rules, {"worth": f"{worth:.2f}"})
        self._approve(claim)
        self._pension, sales = claim["claim"], scheme.sell(day)
        self._await(f"/v1/claims/{self._pension}", lambda one: one["state"] in ("payable", "paid"))
        brought = sum((Decimal(one["amount"]) for one in sales), _NONE)
        sold_on = day + timedelta(days=1)
        figures = {f"{one['fund']}.{name}": str(one[name]) for one in sales for name in ("price", "amount")}
        scheme.tell(sold_on, "sold", brought - worth, scheme.in_force(day, "unit-pricing"), figures)
        begun = officer.get(f"/v1/pensions/{self._pension}")
        told = {name: begun[name] for name in ("reserve", "first_due_on")} | {"pension": begun["amount"]}
        told["guaranteed"] = f"{Decimal(begun['reserve']) - brought:.2f}"
        scheme.tell(sold_on, "pension-begun", -brought, scheme.in_force(day, "guarantee"), told)
        self._name(self._pension, self._facts.full_name)

    def _approve(self, claim: Mapping[str, Any]) -> Mapping[str, Any]:
        approved: Mapping[str, Any] = self._scheme.staff("claims-checker").post(
            f"/v1/claims/{claim['claim']}/approval", {"digest": claim["digest"]}
        )
        return approved

    def _name(self, pension: str, holder: str) -> None:
        """Name the account that the pension goes to; of a spouse with the proof that another than who paid in has it."""
        account = {"rail": RAIL, "number": f"0000{len(holder)}", "holder": holder, "is_verified": True}
        account |= {"documents": ["proof-of-new-account"]} if pension == self._spouses else {"paid_in": True}
        self._scheme.staff("payout-maker").post(f"/v1/pensions/{pension}/payee", {"accounts": [account]})

    def _pay(self, day: date) -> None:
        """Pay the month: counted by one person, approved by another, gone by the bank's statement."""
        maker, checker = self._scheme.staff("payout-maker"), self._scheme.staff("payout-checker")
        asked = {"product": self._product, "month": day.replace(day=1).isoformat()}
        counted = maker.post("/v1/payrolls", asked, status=201)
        path = f"/v1/payrolls/{counted['payroll']}"
        checker.post(f"{path}/approval", {"digest": counted["digest"]})
        done = self._await(path, lambda one: one["state"] == "done" and not _waits(one))
        gone = maker.get("/v1/payouts?state=approved&limit=1000")
        if sum((Decimal(one["amount"]) for one in gone), _NONE) != Decimal(done["paying"]):
            raise DemoFailed(f"the payroll pays {done['paying']}, and {gone} are under way")
        self._scheme.pay_out(day, [(UUID(one["id"]).hex, Decimal(one["amount"])) for one in gone])
        self._await("/v1/payouts?state=approved&limit=1000", lambda one: all(each["is_settled"] for each in one))
        rules = self._scheme.in_force(day, "spouse-continuation" if self._spouses else "pension")
        told = {"months": str(done["instalments"])} | {name: done[name] for name in ("due", "set_off", "paying")}
        self._scheme.tell(day, "spouse-paid" if self._spouses else "pension-paid", _NONE, rules, told)

    def _seen(self, day: date) -> None:
        """Bring a life certificate."""
        pension = self._spouses or self._pension
        proof = {"seen_on": day.isoformat(), "source": "life-certificate"}
        found = self._scheme.staff("payout-maker").post(f"/v1/pensions/{pension}/life-proofs", proof)
        rules = self._scheme.in_force(day, "proof-of-life")
        self._scheme.tell(day, "seen-alive", _NONE, rules, {"paid_until": found["paid_until"]})

    def _die(self, day: date) -> None:
        """Report the death with the spouse's papers: their pension begins, and what went out meanwhile is owed back."""
        scheme, facts = self._scheme, self._facts
        officer, certificate = scheme.staff("claims-officer"), _papers("death-certificate")
        asked = {
            "member": self._member,
            "kind": "death",
            "product": self._product,
            "died_on": facts.died_on.isoformat(),
        }
        claim = officer.post("/v1/claims", {**asked, "documents": certificate}, status=201, key="death")
        spouse = {"name": facts.spouse, "relationship": "husband", "share_bp": 10_000, "spouse": True}
        named = {"heirs": [spouse], "documents": _papers("marriage-certificate")}
        claim = officer.post(f"/v1/claims/{claim['claim']}/heirs", named)
        if claim["state"] != "continued":
            raise DemoFailed(f"the claim of a pensioner's death is {claim['state']}: {claim}")
        ended, self._spouses = officer.get(f"/v1/pensions/{self._pension}"), claim["claim"]
        told = {"died_on": facts.died_on.isoformat(), "stops_on": ended["stops_on"], "owed_back": ended["owed_back"]}
        scheme.tell(day, "death-reported", _NONE, scheme.in_force(day, "proof-of-life"), told)
        begun = officer.get(f"/v1/pensions/{self._spouses}")
        told = {name: begun[name] for name in ("first_due_on", "paid_until")} | {"pension": begun["amount"]}
        scheme.tell(day, "spouse-pension-begun", _NONE, scheme.rules_of(claim["decision"]), told)
        self._name(self._spouses, facts.spouse)

    def _end(self, day: date) -> None:
        """Report the spouse's death; the nominee has the corpus, once a second person has approved it."""
        scheme, facts = self._scheme, self._facts
        officer, path = scheme.staff("claims-officer"), f"/v1/claims/{self._spouses}"
        spouse = next(one for one in officer.get(f"{path}/heirs")["heirs"] if one["spouse"])
        gone = {"why": "died-after", "died_on": facts.spouse_died_on.isoformat(), "documents": _papers("certificate")}
        claim = officer.post(f"{path}/heirs/{spouse['heir']}/exclusion", gone)
        if claim["state"] != "decided":
            raise DemoFailed(f"the claim after both deaths is {claim['state']}: {claim}")
        ended = officer.get(f"/v1/pensions/{self._spouses}")
        told = {"died_on": facts.spouse_died_on.isoformat(), "stops_on": ended["stops_on"], "posted": ended["posted"]}
        scheme.tell(day, "spouse-died", _NONE, scheme.in_force(day, "proof-of-life"), told)
        rules = scheme.rules_of(claim["decision"])
        if self._approve(claim)["state"] != "payable":
            raise DemoFailed(f"the corpus is not payable: {claim}")
        due = [one["due"] for one in officer.get(f"{path}/heirs")["heirs"] if Decimal(one["due"])]
        if due != [claim["payable"]]:
            raise DemoFailed(f"the nominee should have {claim['payable']}, and the heirs have {due}")
        scheme.tell(day, "corpus", _NONE, rules, {"nominee": due[0]})

    def _await(self, path: str, is_there: Callable[[Any], bool]) -> Any:
        """Return what stands at a path once it is so far."""
        reader = self._scheme.staff("payout-maker" if "pay" in path else "claims-officer")
        deadline = clock.monotonic() + _PATIENCE
        while not is_there(found := reader.get(path)):
            if clock.monotonic() > deadline:
                raise DemoFailed(f"{path} does not come so far: {found}")
            clock.sleep(_LOOK_SECONDS)
        return found


def _waits(payroll: Mapping[str, Any]) -> bool:
    return any(one["fate"] in ("created", "waiting") for one in payroll["fates"])


def _papers(kind: str) -> dict[str, str]:
    return {kind: hashlib.sha256(kind.encode()).hexdigest()}
