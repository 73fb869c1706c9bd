"""A round of payment requests to members' telephones, through simulated operators that misbehave in every way they can."""

import json
import secrets
import time
import tomllib
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from demo.client import DemoFailed, Partner, expect
from demo.processes import Machine
from demo.scenario import Collecting, Pack

MISBEHAVIOURS = (
    "late", "twice", "reordered", "dropped", "wrong-amount", "forged", "garbled",
    "timeout-after-success", "503", "html-error", "half-a-body",
)  # fmt: skip
_REFUSAL = "503"
_PATIENCE = 90.0
_LOOK_SECONDS = 0.5


@dataclass(slots=True)
class Collected:
    """What became of the requests of one channel, and what its operator's own books hold."""

    asked: int = 0
    received: int = 0
    amount: Decimal = Decimal(0)
    not_paid: int = 0
    unknown: int = 0
    misbehaved: dict[str, int] = field(default_factory=dict)
    movements: list[dict[str, str]] = field(default_factory=list)


class Sandbox:
    """The simulated operators of one tenant, as `akiba sandbox` wrote down where they are."""

    def __init__(self, settings: Path, tenant: str) -> None:
        channels = tomllib.loads(settings.read_text(encoding="utf-8")).get(tenant, {})
        self.urls = {
            channel: "{0.scheme}://{0.netloc}".format(urlsplit(table["base_url"]))
            for channel, table in channels.items()
        }

    def tell(self, channel: str, path: str, body: Mapping[str, object]) -> None:
        """Tell a simulator how to behave."""
        request = urllib.request.Request(  # noqa: S310 - a server of this machine
            f"{self.urls[channel]}/simulator/{path}", data=json.dumps(body).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
            answer.read()

    def look(self, channel: str, path: str) -> Any:
        """Return what a simulator says of itself."""
        with urllib.request.urlopen(f"{self.urls[channel]}/simulator/{path}", timeout=10) as answer:  # noqa: S310 - as above
            return json.loads(answer.read())


class Round:
    """One tenant's round: every channel's members asked, until all that can be known is known."""

    def __init__(self, pack: Pack, wanted: Collecting, sandbox: Sandbox, partner: Partner, machine: Machine) -> None:
        self._pack, self._wanted, self._sandbox = pack, wanted, sandbox
        self._partner, self._machine = partner, machine

    def run(self, members: Mapping[str, Sequence[str]]) -> dict[str, Collected]:
        """Ask the members of each channel; return what became of it, by channel.

        Raises:
            DemoFailed: a request ended otherwise than the operator's own books say, or not at all.
        """
        asked: dict[str, list[str]] = {}
        for channel in sorted(self._sandbox.urls):
            if channel not in members:
                continue
            self._register(channel)
            numbers = members[channel]
            bodies: list[dict[str, str]] = [self._body(channel, number) for number in numbers[: self._wanted.requests]]
            bodies += [
                {**self._body(channel, number), "phone": phone}
                for number, phone in zip(numbers, self._wanted.others.get(channel, ()), strict=False)
            ]
            # The sendings that fail befall the first, one by one, so that every run ends alike.
            times = self._wanted.misbehaving
            asked[channel] = []
            for body in bodies[:times]:
                self._sandbox.tell(channel, "misbehave", {"how": _REFUSAL, "times": 1})
                asked[channel].append(self._ask(body))
                self._await_sent(asked[channel][-1])
            for how in MISBEHAVIOURS:
                if how != _REFUSAL:
                    self._sandbox.tell(channel, "misbehave", {"how": how, "times": times})
            asked[channel] += self._partner.together(self._ask, bodies[times:])
        return {channel: self._await(channel, references) for channel, references in asked.items()}

    def _register(self, channel: str) -> None:
        """Do what an operator's portal is for: some call back at one address, which people enter there."""
        made = self._machine.akiba("counterparty", "register", "--tenant", self._pack.code, "--channel", channel)
        if channel in self._wanted.one_address:
            self._sandbox.tell(channel, "callback-url", {"url": made["address"]})

    def _body(self, channel: str, number: str) -> dict[str, str]:
        return {
            "member": number,
            "amount": self._wanted.amount,
            "currency": self._pack.currency,
            "channel": channel,
        }

    def _ask(self, body: Mapping[str, str]) -> str:
        key = f"ask-{secrets.token_hex(8)}"
        first = expect(self._partner.post("/v1/collections", body, key=key), 202, "a request for a payment").json
        again = expect(self._partner.post("/v1/collections", body, key=key), 202, "the same request again").json
        if first["reference"] != again["reference"]:
            raise DemoFailed(f"a request for a payment was sent twice and made twice: {first}, {again}")
        return str(first["reference"])

    def _await_sent(self, reference: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while self._partner.get(f"/v1/collections/{reference}")["state"] == "created":
            if time.monotonic() > deadline:
                raise DemoFailed(f"{self._pack.code}: the worker sends no request for a payment")
            time.sleep(_LOOK_SECONDS / 5)

    def _await(self, channel: str, references: Sequence[str]) -> Collected:
        unknown = self._wanted.left_unknown.get(channel, 0)
        deadline = time.monotonic() + _PATIENCE
        while True:
            found = self._partner.together(lambda one: self._partner.get(f"/v1/collections/{one}"), references)
            ends = Counter("posted" if one.get("receipt") else one["state"] for one in found)
            if ends["posted"] + ends["failed"] == len(references) - unknown and ends["sent"] == unknown:
                break
            if time.monotonic() > deadline:
                raise DemoFailed(f"{self._pack.code}, {channel}: requests for payments are left open: {dict(ends)}")
            time.sleep(_LOOK_SECONDS)
        posted = [one for one in found if one.get("receipt")]
        movements = self._sandbox.look(channel, "movements")
        ours = sorted(Decimal(one["paid"]) for one in posted)
        theirs = sorted(Decimal(one["amount"]) for one in movements)
        if ours != theirs or any(one["receipt_state"] != "received" for one in posted):
            raise DemoFailed(f"{self._pack.code}, {channel}: the operator's books hold {theirs}, ours {ours}")
        return Collected(
            asked=len(references),
            received=len(posted),
            amount=sum(ours, Decimal(0)),
            not_paid=ends["failed"],
            unknown=ends["sent"],
            misbehaved=self._sandbox.look(channel, "counts"),
            movements=movements,
        )
