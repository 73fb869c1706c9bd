"""Members who are old enough take what they saved: claimed, approved, paid to their wallets, and found on the operators' statements."""

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

from demo.client import DemoFailed, Operator, Partner
from demo.collecting import MISBEHAVIOURS, Sandbox
from demo.people import Person
from demo.scenario import Pack, Retiring

_PATIENCE = 120.0
_LOOK_SECONDS = 0.5
_OPEN = {"created", "approved", "sent", "pending"}


@dataclass(slots=True)
class Retired:
    """What became of those who retired: claims, what was paid, what failed or was refused first and went out again.

    `movements` are, by channel, (the operator's transaction, signed amount) as its statement has them.
    """

    members: int = 0
    amount: Decimal = Decimal(0)
    failed: int = 0
    refused: int = 0
    misbehaved: dict[str, int] = field(default_factory=dict)
    movements: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Due:
    """A member who retires, and the claim once it is approved."""

    person: Person
    number: str
    claim: Mapping[str, Any] = field(default_factory=dict)


class RetiringRound:
    """One tenant's round, by staff of whom each has one part of it."""

    def __init__(
        self, pack: Pack, wanted: Retiring, sandbox: Sandbox, partner: Partner, staff: Callable[[str], Operator]
    ) -> None:
        self._pack, self._wanted, self._sandbox, self._partner = pack, wanted, sandbox, partner
        self._staff = cache(staff)

    def run(self, people: Sequence[Due]) -> Retired:
        """Let everybody claim all at once, and pay them; return what became of it.

        Args:
            people: who retires, each with no claim yet.

        Raises:
            DemoFailed: a claim was refused, or a payout ended otherwise than the operator's own books say, or not at all.
        """
        # Each signs in once, before many work at once.
        for role in ("claims-officer", "claims-checker", "payout-maker", "payout-checker"):
            self._staff(role)
        asked = {"rule": self._wanted.rule}
        due = self._partner.together(lambda one: claim_retirement(self._pack, self._staff, one, asked), people)
        before = {channel: len(self._sandbox.look(channel, "movements")) for channel in self._sandbox.urls}
        counted = {channel: dict(self._sandbox.look(channel, "counts")) for channel in self._sandbox.urls}
        ended = Retired(members=len(due))
        self._misbehave()
        self._pay(due, ended)
        self._hold_against_operators(due, before, counted, ended)
        return ended

    def await_settled(self) -> None:
        """Wait until each payout was found on a statement.

        Raises:
            DemoFailed: one was not.
        """
        deadline = time.monotonic() + _PATIENCE
        maker = self._staff("payout-maker")
        while any(not one["is_settled"] for one in maker.get("/v1/payouts?state=succeeded&limit=1000")):
            if time.monotonic() > deadline:
                raise DemoFailed(f"{self._pack.code}: payouts are not found on the statements that show them")
            time.sleep(_LOOK_SECONDS)

    def _misbehave(self) -> None:
        for channel in self._sandbox.urls:
            for how in MISBEHAVIOURS:
                self._sandbox.tell(channel, "misbehave", {"how": how, "times": self._wanted.misbehaving})

    def _pay(self, due: Sequence[Due], ended: Retired) -> None:
        """Pay everybody; to some a wallet is written down that cannot be paid, or that is somebody else's."""
        by_channel: dict[str, list[Due]] = defaultdict(list)
        for one in due:
            by_channel[one.person.channel].append(one)
        wrong: dict[str, str] = {}
        for channel, unpayable in self._wanted.unpayable.items():
            wrong |= {one.number: wallet for one, wallet in zip(by_channel[channel], unpayable, strict=False)}
        strangers = {one.number for own in by_channel.values() for one in own[-1:]} - wrong.keys()
        for channel, own in by_channel.items():
            holders = {one.person.phone: as_written(one.person) for one in own}
            holders |= {one.person.phone: "Somebody Quite Other" for one in own if one.number in strangers}
            holders |= {wrong[one.number]: one.person.full_name for one in own if one.number in wrong}
            self._sandbox.tell(channel, "holders", holders)
        first = self._partner.together(lambda one: self._instruct(one, wrong.get(one.number, one.person.phone)), due)
        checked = self._await(first, lambda one: one["name_check"] != "waiting")
        doubtful = [one for one in checked if one["name_check"] == "differs"]
        sure = [one for one in checked if one["name_check"] != "differs"]
        checker = self._staff("payout-checker")
        self._partner.together(lambda one: checker.post(f"/v1/payouts/{one['id']}/refusal", {}), doubtful)
        self._approve(sure)
        done = self._await(sure, lambda one: one["state"] not in _OPEN)
        failed = [one for one in done if one["state"] == "failed"]
        ended.failed, ended.refused = len(failed), len(doubtful)
        if {one["member"] for one in doubtful} != strangers or {one["member"] for one in failed} != wrong.keys():
            raise DemoFailed(f"{self._pack.code}: {len(failed)} payouts failed, {len(doubtful)} names differed")
        # A wallet put right, and the stranger's turned out to be the member's own, under a new name.
        again = {one["member"] for one in (*failed, *doubtful)}
        for channel, own in by_channel.items():
            put_right = {one.person.phone: one.person.full_name for one in own if one.number in again}
            self._sandbox.tell(channel, "holders", put_right)
        second = self._partner.together(
            lambda one: self._instruct(one, one.person.phone), [one for one in due if one.number in again]
        )
        second = self._await(second, lambda one: one["name_check"] != "waiting")
        self._approve(second)
        second = self._await(second, lambda one: one["state"] not in _OPEN)
        paid = [one for one in (*done, *second) if one["state"] == "succeeded"]
        if len(paid) != len(due):
            raise DemoFailed(f"{self._pack.code}: {len(paid)} of {len(due)} are paid")
        ended.amount = sum((Decimal(one["amount"]) for one in paid), Decimal(0))

    def _instruct(self, one: Due, wallet: str) -> Mapping[str, Any]:
        asked = {
            "member": one.number,
            "product": self._pack.scenario.product,
            "parts": [{name: part[name] for name in ("pot", "origin", "amount")} for part in one.claim["parts"]],
            "accounts": [{"rail": one.person.channel, "number": wallet}],
            "source": f"claim:{one.claim['claim']}",
        }
        made: Mapping[str, Any] = self._staff("payout-maker").post("/v1/payouts", asked, status=201)
        return made

    def _approve(self, payouts: Sequence[Mapping[str, Any]]) -> None:
        checker = self._staff("payout-checker")
        self._partner.together(
            lambda one: checker.post(f"/v1/payouts/{one['id']}/approval", {"digest": one["digest"]}), payouts
        )

    def _await(
        self, payouts: Sequence[Mapping[str, Any]], is_there: Callable[[Mapping[str, Any]], bool]
    ) -> list[Mapping[str, Any]]:
        """Return the payouts as those who approve see them, once each is so far."""
        maker = self._staff("payout-maker")
        deadline = time.monotonic() + _PATIENCE
        found: dict[str, Mapping[str, Any]] = {}
        while len(found) < len(payouts):
            left = [one["id"] for one in payouts if one["id"] not in found]
            seen = self._partner.together(lambda one: maker.get(f"/v1/payouts/{one}"), left)
            found |= {one["id"]: one for one in seen if is_there(one)}
            if time.monotonic() > deadline:
                raise DemoFailed(f"{self._pack.code}: {len(payouts) - len(found)} payouts are left open: {seen[0]}")
            time.sleep(_LOOK_SECONDS)
        return [found[one["id"]] for one in payouts]

    def _hold_against_operators(
        self,
        due: Sequence[Due],
        before: Mapping[str, int],
        counted: Mapping[str, Mapping[str, int]],
        ended: Retired,
    ) -> None:
        """Hold what each operator's own books say against what was due."""
        for channel in self._sandbox.urls:
            moved = self._sandbox.look(channel, "movements")[before[channel] :]
            theirs = sorted(Decimal(one["amount"]) for one in moved)
            ours = sorted(Decimal(one.claim["payable"]) for one in due if one.person.channel == channel)
            if ours != theirs:
                raise DemoFailed(f"{self._pack.code}, {channel}: the operator paid {theirs}, due was {ours}")
            ended.movements[channel] = [(one["transaction"], f"-{one['amount']}") for one in moved]
            for how, times in self._sandbox.look(channel, "counts").items():
                ended.misbehaved[how] = ended.misbehaved.get(how, 0) + times - counted[channel].get(how, 0)


def of_age(people: Sequence[Person], numbers: Mapping[int, str], from_age: int, day: date) -> list[Due]:
    """Return the members who are old enough on a day."""
    return [
        Due(one, numbers[one.index]) for one in people if one.index in numbers and _age(one.born_on, day) >= from_age
    ]


def claim_retirement(pack: Pack, staff: Callable[[str], Operator], one: Due, asked: Mapping[str, object]) -> Due:
    """Let a member claim by what is `asked`, with every document, and another person approve it.

    Raises:
        DemoFailed: the claim was refused.
    """
    body = {"member": one.number, "kind": "retirement", "product": pack.scenario.product, "ground": "retirement"}
    officer = staff("claims-officer")
    claim = officer.post("/v1/claims", {**body, **asked}, status=201, key=f"retire-{one.number}")
    if claim["missing"]:
        documents = {kind: hashlib.sha256(f"{one.number}:{kind}".encode()).hexdigest() for kind in claim["missing"]}
        claim = officer.post(f"/v1/claims/{claim['claim']}/documents", {"documents": documents})
    if claim["state"] != "decided":
        raise DemoFailed(f"{pack.code}: a claim of retirement is {claim['state']}: {claim}")
    approved = staff("claims-checker").post(f"/v1/claims/{claim['claim']}/approval", {"digest": claim["digest"]})
    if approved["state"] not in ("payable", "paid"):
        raise DemoFailed(f"{pack.code}: an approved claim is {approved['state']}: {approved}")
    return Due(one.person, one.number, approved)


def _age(born_on: date, day: date) -> int:
    return day.year - born_on.year - ((day.month, day.day) < (born_on.month, born_on.day))


def as_written(person: Person) -> str:
    """Return the name as the operator wrote it down: of every other person the family name first."""
    given, _, family = person.full_name.partition(" ")
    return f"{family} {given}" if person.index % 2 else person.full_name
