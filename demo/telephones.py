"""Members dial the menu, choose a PIN and look at their savings; a gateway carries the messages they get, and reports on each."""

import re
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_urlsafe

import tomli_w

from demo.client import DemoFailed, Operator, Partner
from demo.neighbours import Neighbours, neighbours
from demo.people import Person
from demo.processes import Machine
from demo.scenario import Pack, Telephones
from engine.kernel.transport import Transport
from engine.runtime.exchanges.transport import open_transport
from engine.runtime.private_files import write_private
from integrations.messaging.africas_talking.simulator import AfricasTalkingSimulator, Handset
from integrations.messaging.simulating import Fault, Faults, Reporting

_PACE = {"first_wait": 0.5, "longest_wait": 5.0, "lease": 30.0, "answer_seconds": 3.0, "breaks_for": 2.0}
_FAULTS = (Fault.UNAVAILABLE, Fault.REPORT_TWICE, Fault.REPORTS_REORDERED, Fault.REPORT_LATE, Fault.LATE)
"""A message that the gateway is unavailable for may have gone out all the same: it is never sent again, and stays unknown."""
_PIN = "2580"
_PATIENCE = 120.0
_LOOK_SECONDS = 0.3


@dataclass(slots=True)
class Telephoned:
    """What became of the round: screens that were shown, messages by their state, and how the gateway misbehaved."""

    members: int = 0
    screens: int = 0
    messages: dict[str, int] = field(default_factory=dict)
    misbehaved: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gateway:
    """The gateway while it is there: what it carries, and the address of our menu."""

    loop: Neighbours
    simulator: AfricasTalkingSimulator
    menu: str


@contextmanager
def gateway(
    machine: Machine, code: str, wanted: Telephones, settings: Path, restart: Callable[[], None]
) -> Iterator[Gateway]:
    """Serve a gateway and join the tenant to it: its tables go into the secrets file, which processes read when they start.

    Args:
        machine: runs commands.
        code: the tenant whose members telephone.
        wanted: what is dialled.
        settings: the secrets file.
        restart: starts the processes anew.
    """
    with neighbours() as loop:
        opened = open_transport(seconds=10)
        transport = loop.do(opened.__aenter__())
        key, secret = token_urlsafe(24), token_urlsafe(32)
        there = AfricasTalkingSimulator(transport, username="demo", api_key=key, faults=Faults(seconds_late=0.5))
        loop.do(there.server.__aenter__())
        try:
            tables = tomllib.loads(settings.read_text(encoding="utf-8"))
            tables.setdefault(code, {}).update(
                messages={"username": "demo", "api_key": key, "base_url": there.server.url, "pace": _PACE},
                ussd={"secret": secret, "service_codes": [wanted.service_code]},
            )
            write_private(settings, tomli_w.dumps(tables).encode())
            made = machine.akiba("counterparty", "register", "--tenant", code, "--channel", "messages")
            there.reporting = Reporting(transport, made["address"], there.faults)
            # From here on members are written to.
            machine.akiba("messages", "send", "--tenant", code)
            restart()
            yield Gateway(loop, there, f"http://{machine.host}:{machine.port}/ussd/{secret}")
        finally:
            loop.do(there.server.__aexit__(None, None, None))
            loop.do(opened.__aexit__(None, None, None))


class TelephoneRound:
    """One tenant's round: some members use the menu for the first time."""

    def __init__(self, pack: Pack, wanted: Telephones, there: Gateway, partner: Partner, operator: Operator) -> None:
        self._pack, self._wanted, self._there = pack, wanted, there
        self._partner, self._operator = partner, operator

    def run(self, members: Sequence[tuple[Person, str]]) -> Telephoned:
        """Let each member choose a PIN and ask for their savings; wait until it is known of all that can be that they got it.

        Raises:
            DemoFailed: a screen shows other savings than the statement, or a message ended otherwise than the gateway says.
        """
        for fault in _FAULTS:
            self._there.simulator.faults.plan(fault, self._wanted.misbehaving)
        screens = self._there.loop.do(self._dial(members))
        for (_, number), shown in zip(members, screens, strict=True):
            saved = self._partner.get(f"/v1/members/{number}/statement")["totals"]["value"]
            if re.sub(r"\D", "", shown[-1]) != re.sub(r"\D", "", saved.partition(".")[0]):
                raise DemoFailed(f"{self._pack.code}: the menu shows {shown[-1]!r}, the statement {saved}")
        messages = self._await_delivered([number for _, number in members])
        happened = {str(fault): times for fault, times in self._there.simulator.faults.happened.items()}
        return Telephoned(len(members), sum(map(len, screens)), messages, happened)

    async def _dial(self, members: Sequence[tuple[Person, str]]) -> list[list[str]]:
        """Return the screens that each member saw."""
        async with open_transport(seconds=10) as transport:
            return [await self._use_menu(transport, person) for person, _ in members]

    async def _use_menu(self, transport: Transport, person: Person) -> list[str]:
        handset = Handset(
            transport,
            self._there.menu,
            phone=person.phone,
            service_code=self._wanted.service_code,
            ends_to=f"{self._there.menu}/end",
        )
        seen: list[str] = []
        for typed in (("2", "1", person.document_number, _PIN, _PIN), ("2", _PIN)):
            await handset.dial()
            for one in typed:
                if not handset.open:
                    raise DemoFailed(f"{self._pack.code}: the menu ended with {handset.screens}")
                await handset.type(one)
            if handset.open:
                await handset.hang_up()
            seen += handset.screens
        return seen

    def _await_delivered(self, numbers: Sequence[str]) -> dict[str, int]:
        deadline = time.monotonic() + _PATIENCE
        while True:
            self._there.loop.do(self._there.simulator.reporting.send())
            states = Counter(
                one["state"]
                for number in numbers
                for one in self._operator.get(f"/v1/messages?member={number}")["items"]
            )
            unknown = self._there.simulator.faults.happened[Fault.UNAVAILABLE]
            if states == Counter(delivered=len(numbers) - unknown, unknown=unknown):
                return dict(states)
            if time.monotonic() > deadline:
                raise DemoFailed(f"{self._pack.code}: messages to {len(numbers)} members are {dict(states)}")
            time.sleep(_LOOK_SECONDS)
