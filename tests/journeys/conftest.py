"""A deployment as people meet it: both schemes, the real server and worker as processes, everything over HTTP."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from demo.client import Answer, Credentials, Operator, Partner, Site, expect
from demo.people import Person, population
from demo.plan import make_plan
from demo.processes import Machine, free_port
from demo.scenario import Pack, load_packs
from engine.kernel.price_files import PublishedPrice
from engine.runtime.settings import load_settings
from integrations.fund_managers.cra_files.adapter import CraFiles
from tests.conftest import create_database
from tests.factories.presence import present

ROOT = Path(__file__).resolve().parents[2]
FIRST_DAY = date(2023, 4, 3)


@dataclass(slots=True)
class Scheme:
    """One tenant of the deployment, with a partner and an operator who are signed in."""

    pack: Pack
    site: Site
    partner: Partner
    operator: Operator
    people: list[Person]
    now: datetime
    enrolled: int = 0

    @property
    def today(self) -> date:
        return self.now.date()

    def advance(self, days: int = 0, hour: int = 0) -> date:
        """Set the scheme clock to an hour of a later day, or to a little later; return the day."""
        later = (
            (self.now + timedelta(days=days)).replace(hour=hour) if days or hour else self.now + timedelta(minutes=1)
        )
        self.operator.post("/v1/operations/clock", {"to": later.isoformat()})
        self.now = later
        return later.date()

    def application(self) -> dict[str, Any]:
        """Return the body of an enrolment of somebody who was not there before."""
        person = self.people[self.enrolled]
        self.enrolled += 1
        path = f"/v1/enrolment-terms/{self.pack.scenario.product}"
        shown = self.partner.get(path, language=person.language)["consents"]
        consents = [
            {name: one[name] for name in ("consent", "language", "version")} | {"channel": "agent"} for one in shown
        ]
        return person.application(self.pack.scenario.product, {person.language: consents})

    def enrol(self) -> str:
        """Take somebody in; return the member number."""
        body = self.application()
        answer = self.partner.post("/v1/members", body, key=f"journey-{self.enrolled}")
        return str(expect(answer, 201, "enrolment").json["number"])

    def payment(self, member: str, amount: str, reference: str, **others: str) -> dict[str, str]:
        """Return the body of a contribution by the scheme's first channel."""
        body = {"member": member, "amount": amount, "currency": self.pack.currency, "reference": reference}
        return body | {"channel": self.pack.scenario.sending.channels["single"][0]} | others

    def pay(self, member: str, amount: str, reference: str, *, key: str = "", **others: str) -> Answer:
        return self.partner.post(
            "/v1/contributions", self.payment(member, amount, reference, **others), key=key or reference
        )

    def import_statement(self, *lines: tuple[str, str]) -> dict[str, Any]:
        """Import a statement of today of the first channel's account: (reference, amount) a line."""
        account = self.pack.scenario.sending.channels["single"][0]
        rows = "".join(f"{self.today},{reference},{amount},{self.pack.currency}\n" for reference, amount in lines)
        raw = f"date,reference,amount,currency\n{rows}".encode()
        name = f"{account}-{self.now:%Y%m%d%H%M}.csv"
        report: dict[str, Any] = self.operator.upload("/v1/operations/statements", raw, account=account, name=name)
        return report

    def price_file(self, day: date, prices: dict[str, str]) -> bytes:
        """Return a price file of the recordkeeper's for a day."""
        managers = {"SM001009": "PFM001", "SM002009": "PFM002", "SM003003": "PFM003"}
        rows = [
            PublishedPrice(fund, managers[fund], "A scheme", day, Decimal(price), row, "A manager")
            for row, (fund, price) in enumerate(prices.items(), 1)
        ]
        return CraFiles().write(rows, day)

    def import_prices(self, prices: dict[str, str]) -> dict[str, Any]:
        """Import today's price file."""
        raw = self.price_file(self.today, prices)
        name = f"NAV_File_{self.today:%d%m%Y}.out"
        report: dict[str, Any] = self.operator.upload("/v1/operations/prices", raw, name=name)
        return report

    def deal(self) -> dict[str, Any]:
        """Run today's dealing day."""
        report: dict[str, Any] = self.operator.post("/v1/operations/dealing-days", {"date": self.today.isoformat()})
        return report

    def statement(self, member: str, as_of: date | None = None) -> dict[str, Any]:
        query = {} if as_of is None else {"as_of": as_of.isoformat()}
        found: dict[str, Any] = self.partner.get(f"/v1/members/{member}/statement", **query)
        return found


@dataclass(frozen=True, slots=True)
class Deployment:
    """A running deployment."""

    machine: Machine
    india: Scheme
    rwanda: Scheme
    folder: Path


@pytest.fixture(scope="session")
def deployment(superuser_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Both schemes side by side in one deployment, on a database of its own."""
    folder = tmp_path_factory.mktemp("deployment")
    app_url, owner_url = create_database(superuser_url, f"j{os.getpid()}_{folder.name.replace('-', '_')}"[:40])
    settings = load_settings({"data_dir": folder}, environment={}, working_dir=folder)
    machine = Machine(settings, port=free_port(), app_url=app_url, owner_url=owner_url, logs=folder / "logs")
    machine.akiba("db", "upgrade")
    packs = {pack.code: pack for pack in load_packs((ROOT / "tenants",))}
    for pack in packs.values():
        machine.akiba("tenant", "create", pack.code)
        first = datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, 8, tzinfo=pack.zone)
        machine.akiba("clock", "advance", "--to", first.isoformat(), "--tenant", pack.code)
    machine.start("server", "serve")
    machine.start("worker", "work")
    try:
        machine.await_ready()
        india, rwanda = (_scheme(machine, packs[code]) for code in ("in-nps-lite", "rw-ejoheza"))
        with present(lambda: [one.operator.page("/v1/operations/session") for one in (india, rwanda)]):
            yield Deployment(machine, india, rwanda, folder)
        india.partner.close()
        rwanda.partner.close()
        machine.check()
    finally:
        machine.stop()


def _scheme(machine: Machine, pack: Pack) -> Scheme:
    site = Site(machine.host, machine.port, pack.host)
    made = machine.akiba("partner", "create", "wallet", "--tenant", pack.code)
    link = machine.akiba("admin", "bootstrap", "--tenant", pack.code)["link"]
    return Scheme(
        pack=pack,
        site=site,
        partner=Partner(site, Credentials(made["client_id"], made["client_secret"]), 8),
        operator=Operator(site, link),
        people=population(pack)[10:],
        now=datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, 8, tzinfo=pack.zone),
    )


@pytest.fixture(scope="session")
def small_packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packs as they are, with a demo of some dozens of people and six weeks."""
    folder = tmp_path_factory.mktemp("packs")
    for pack in load_packs((ROOT / "tenants",)):
        own = folder / pack.code
        shutil.copytree(pack.folder, own)
        (own / "demo.toml").write_text(tomli_w.dumps(_reduced(pack)), encoding="utf-8")
    return folder


def _reduced(pack: Pack) -> dict[str, Any]:
    import tomllib

    whole = tomllib.loads((pack.folder / "demo.toml").read_text(encoding="utf-8"))
    whole |= {"last_payment": date(2023, 5, 11), "last_day": date(2023, 5, 12)}
    whole["people"] |= {"at_start": 30, "start_days": 2, "later": 4, "later_until": date(2023, 5, 5)}
    whole["sending"] |= {"files_on": [12, 26], "file_months": [4, 5]}
    whole["mishaps"] |= {"sent_again": 0.2, "unknown_numbers": 2, "wrong_digits": 1}
    if "collecting" in whole:
        left = dict.fromkeys(whole["collecting"]["left_unknown"], 1)
        whole["collecting"] |= {"requests": 20, "misbehaving": 1, "left_unknown": left}
    if "trading" in whole:
        whole["trading"] |= {"since": date(2023, 5, 8)}
    if "retiring" in whole:
        whole["retiring"] |= {"misbehaving": 1}
        whole["pensions"] |= {"misbehaving": 1}
        # Enough who are old, and none whose number the simulated operators refuse by what it ends in.
        whole["people"] |= {"ages": [51, 62]}
    return whole


def planned(folder: Path, code: str) -> list[Any]:
    """Return the payments that a reduced demo plans."""
    (pack,) = (one for one in load_packs((folder,)) if one.code == code)
    return make_plan(pack).payments
