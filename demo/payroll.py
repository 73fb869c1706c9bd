"""A month's payroll: members who retired on instalments are paid to their wallets, and what a wallet refuses is paid by the next one."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

from demo.client import DemoFailed, Operator, Partner
from demo.collecting import MISBEHAVIOURS, Sandbox
from demo.retiring import Due, as_written, claim_retirement
from demo.scenario import Pack, Pensions

_PATIENCE = 120.0
_LOOK_SECONDS = 0.5


@dataclass(slots=True)
class PayrollPaid:
    """What became of a month's payroll: what was due, what failed at first, and what the next one paid of it.

    `movements` are, by channel, (the operator's transaction, signed amount) as its statement has them.
    """

    pensioners: int = 0
    due: Decimal = Decimal(0)
    failed: int = 0
    failed_amount: Decimal = Decimal(0)
    paid_later: int = 0
    misbehaved: dict[str, int] = field(default_factory=dict)
    movements: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


class PayrollRound:
    """One tenant's payroll of a month, made by one person, approved by another and paid by the worker."""

    def __init__(
        self, pack: Pack, wanted: Pensions, sandbox: Sandbox, partner: Partner, staff: Callable[[str], Operator]
    ) -> None:
        self._pack, self._wanted, self._sandbox, self._partner = pack, wanted, sandbox, partner
        self._staff = cache(staff)

    def run(self, people: Sequence[Due], day: date) -> PayrollPaid:
        """Let everybody retire on instalments, and pay the month's; return what became of it.

        Args:
            people: who retires, each with no claim yet.
            day: of the month that is paid.

        Raises:
            DemoFailed: a payment ended otherwise than the operator's own books say, or not at all.
        """
        for role in ("claims-officer", "claims-checker", "payout-maker", "payout-checker"):
            self._staff(role)
        asked = {"rule": self._wanted.rule, "years": self._wanted.years}
        due = self._partner.together(lambda one: claim_retirement(self._pack, self._staff, one, asked), people)
        wrong = self._unpayable(due)
        for one in due:
            self._name(one, wrong.get(one.number, one.person.phone))
        before = {channel: len(self._sandbox.look(channel, "movements")) for channel in self._sandbox.urls}
        counted = {channel: self._sandbox.look(channel, "counts") for channel in self._sandbox.urls}
        for channel in self._sandbox.urls:
            for how in MISBEHAVIOURS:
                self._sandbox.tell(channel, "misbehave", {"how": how, "times": self._wanted.misbehaving})
        first = self._pay(day, {"succeeded": len(due) - len(wrong), "failed": len(wrong)})
        fates = {one["fate"]: one for one in first["fates"]}
        ended = PayrollPaid(pensioners=len(due), due=Decimal(first["due"]), failed=len(wrong))
        if wrong:
            ended.failed_amount = Decimal(fates["failed"]["amount"])
            for one in due:
                if one.number in wrong:
                    self._name(one, one.person.phone)
            later = self._pay(day, {"succeeded": len(wrong)})
            ended.paid_later = len(wrong)
            if Decimal(later["paying"]) != ended.failed_amount or later["instalments"]:
                raise DemoFailed(f"{self._pack.code}: {ended.failed_amount} failed, and the next payroll is {later}")
        self._hold_against_operators(before, counted, ended)
        return ended

    def _unpayable(self, due: Sequence[Due]) -> dict[str, str]:
        """Return, by member, the wallets that are written down for some and cannot be paid."""
        wrong: dict[str, str] = {}
        for channel, wallets in self._wanted.unpayable.items():
            own = [one.number for one in due if one.person.channel == channel]
            wrong |= dict(zip(own, wallets, strict=False))
        return wrong

    def _name(self, one: Due, wallet: str) -> None:
        """Name the wallet that a pension is paid to; its operator knows it by the pensioner's name."""
        self._sandbox.tell(one.person.channel, "holders", {wallet: as_written(one.person)})
        account = {"rail": one.person.channel, "number": wallet}
        self._staff("payout-maker").post(f"/v1/pensions/{one.claim['claim']}/payee", {"accounts": [account]})

    def _pay(self, day: date, expected: Mapping[str, int]) -> Mapping[str, Any]:
        """Propose and approve a payroll, and wait until every payment of it came to its end."""
        maker, checker = self._staff("payout-maker"), self._staff("payout-checker")
        asked = {"product": self._pack.scenario.product, "month": day.isoformat()}
        proposed = maker.post("/v1/payrolls", asked, status=201)
        path = f"/v1/payrolls/{proposed['payroll']}"
        checker.post(f"{path}/approval", {"digest": proposed["digest"]})
        deadline = time.monotonic() + _PATIENCE
        while True:
            found: Mapping[str, Any] = maker.get(path)
            fates = {one["fate"]: one["payments"] for one in found["fates"]}
            if found["state"] == "done" and fates == {fate: n for fate, n in expected.items() if n}:
                return found
            if time.monotonic() > deadline:
                raise DemoFailed(f"{self._pack.code}: a payroll that should end with {expected} ends with {found}")
            time.sleep(_LOOK_SECONDS)

    def _hold_against_operators(
        self, before: Mapping[str, int], counted: Mapping[str, Mapping[str, int]], ended: PayrollPaid
    ) -> None:
        """Hold what the operators' own books say against what was due: every franc went out once."""
        for channel in self._sandbox.urls:
            moved = self._sandbox.look(channel, "movements")[before[channel] :]
            ended.movements[channel] = [(one["transaction"], f"-{one['amount']}") for one in moved]
            for how, times in self._sandbox.look(channel, "counts").items():
                ended.misbehaved[how] = ended.misbehaved.get(how, 0) + times - counted[channel].get(how, 0)
        paid = [-Decimal(amount) for moved in ended.movements.values() for _, amount in moved]
        if len(paid) != ended.pensioners or sum(paid) != ended.due:
            raise DemoFailed(f"{self._pack.code}: {ended.due} was due to {ended.pensioners}, the operators paid {paid}")
