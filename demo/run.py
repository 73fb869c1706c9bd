"""The main job: start everything, load believable data through the API and the commands, prove it, and serve."""

import os
import signal
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from datetime import time as time_of_day
from pathlib import Path
from types import FrameType
from typing import TypeVar

import msgspec
import tomli_w
from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from demo import report
from demo.client import Credentials, DemoFailed, Operator, Partner, Site
from demo.plan import Plan, make_plan
from demo.processes import Machine, free_port, is_free
from demo.proof import Proof, prove
from demo.scenario import DemoInvalid, Pack, load_packs
from demo.telephones import TelephoneRound, gateway
from demo.trading import JoinedManager
from demo.year import Tally, Year, published_prices
from engine.runtime.embedded_postgres import EmbeddedServer, ServerError, provision
from engine.runtime.private_files import write_private
from engine.runtime.settings import Settings

OK, FAILED, USAGE = 0, 1, 2
PARTNER = "demo-wallet"
Result = TypeVar("Result")


class Loaded(Struct, kw_only=True):
    """One tenant as it was loaded: how its partner comes in, who is done by hand, what was counted.

    `guest` is the number of a member whom people may try things on; `log_size` is what the log held when all was loaded
    and proved.
    """

    credentials: Credentials
    numbers: dict[str, str]
    guest: str
    tally: Tally
    log_size: int | None = None


class State(Struct, kw_only=True):
    """What the data directory holds. It is written first, and once more when all is loaded."""

    is_complete: bool = False
    tenants: dict[str, Loaded] = {}


def run(settings: Settings, *, once: bool, as_json: bool) -> int:
    """Run the demo; return the exit code.

    Args:
        settings: of this process; `port` is where the demo serves, unless it is taken.
        once: stop after the report; else serve until told to stop.
        as_json: print the report as JSON.
    """
    words = Console(stderr=True)
    if settings.is_production:
        words.print("The demo advances the scheme clock, which a production deployment refuses.", style="red")
        return USAGE
    try:
        packs = load_packs(settings.packs)
    except DemoInvalid as error:
        words.print(str(error), style="red", markup=False, highlight=False)
        return USAGE
    try:
        with _stoppable():
            return _Demo(settings, packs, words, as_json=as_json).run(once=once)
    except (DemoFailed, ServerError) as error:
        words.print(f"The demo failed: {error}", style="red", markup=False, highlight=False)
        return FAILED
    except KeyboardInterrupt:
        words.print("Stopped.", highlight=False)
        return OK if not once else FAILED


class _Demo:
    """One run of the demo."""

    def __init__(self, settings: Settings, packs: Sequence[Pack], words: Console, *, as_json: bool) -> None:
        self._settings, self._words, self._as_json = settings, words, as_json
        self._folder = settings.data_dir / "demo"
        self._plans = [make_plan(pack, sorted(published_prices(pack))) for pack in packs]
        self._managers = {
            pack.code: JoinedManager(pack, pack.scenario.trading, self._folder / "manager" / pack.code)
            for pack in packs
            if pack.scenario.trading is not None
        }
        self._seconds: dict[str, float] = {}
        self._stop = threading.Event()

    def run(self, *, once: bool) -> int:
        """Load what is not loaded, prove, report; serve until stopped."""
        self._folder.mkdir(parents=True, exist_ok=True)
        state = self._state()
        if state is not None and not state.is_complete:
            raise DemoFailed(
                f"{self._settings.data_dir} holds a demo that was not loaded to its end; start afresh with an empty "
                "data directory: `make clean`, or set AKIBA_DATA_DIR to another one"
            )
        with self._phase("PostgreSQL"), _database(self._settings) as (app_url, owner_url):
            machine = Machine(
                self._settings,
                port=self._port(once=once),
                app_url=app_url,
                owner_url=owner_url,
                logs=self._folder / "logs",
                counterparties=self._counterparties,
            )
            self._seconds["PostgreSQL"] = time.perf_counter() - self._began
            try:
                return self._inside(machine, state, once=once)
            finally:
                self._stop.set()
                machine.stop()

    def _inside(self, machine: Machine, state: State | None, *, once: bool) -> int:
        codes = [plan.pack.code for plan in self._plans]
        sites = {plan.pack.code: Site(machine.host, machine.port, plan.pack.host) for plan in self._plans}
        if state is None:
            state = self._load(machine, sites)
        else:
            self._say(f"{self._settings.data_dir} holds a loaded demo: serving what is there.")
            missing = [code for code in codes if code not in state.tenants]
            if missing:
                raise DemoFailed(f"{self._settings.data_dir} holds no demo of {', '.join(missing)}; start afresh")
            with self._phase("start"):
                self._start_sandbox(machine)
                machine.akiba("db", "upgrade")
                self._start(machine)
                machine.await_ready()
        partners = {code: Partner(sites[code], state.tenants[code].credentials, 4) for code in codes}
        tallies = {code: state.tenants[code].tally for code in codes}
        numbers = {code: state.tenants[code].numbers for code in codes}
        with self._phase("check, export, verify"):
            proofs = prove(
                self._plans,
                tallies,
                numbers,
                partners,
                log_sizes={code: one.log_size for code, one in state.tenants.items() if one.log_size is not None},
                machine=machine,
                folder=self._folder,
            )
        for partner in partners.values():
            partner.close()
        for code, proof in proofs.items():
            state.tenants[code].log_size = state.tenants[code].log_size or proof.log_size
        self._keep(state)
        self._report(tallies, proofs)
        if once:
            return OK
        links = dict(zip(codes, self._each(lambda plan: _link(machine, plan, sites[plan.pack.code])), strict=True))
        credentials = {code: state.tenants[code].credentials for code in codes}
        guests = {code: state.tenants[code].guest for code in codes}
        report.show_ways_in(Console(), self._plans, sites, links, credentials, guests)
        self._say("Serving; Ctrl-C stops.")
        while True:
            machine.check()
            time.sleep(0.5)

    # -- loading

    def _load(self, machine: Machine, sites: dict[str, Site]) -> State:
        with self._phase("set-up"):
            self._keep(State())
            self._start_sandbox(machine)
            machine.akiba("db", "upgrade")
            self._each(lambda plan: _create(machine, plan))
            self._start(machine)
            ways_in = self._each(lambda plan: _ways_in(machine, plan, sites[plan.pack.code]))
            machine.await_ready()
        with self._phase("load"), self._progress() as progress:
            tasks = [
                progress.add_task(plan.pack.code, total=len(plan.days) + len(plan.payments)) for plan in self._plans
            ]
            years = [
                self._year(machine, plan, sites[plan.pack.code], way_in, progress, task)
                for plan, way_in, task in zip(self._plans, ways_in, tasks, strict=True)
            ]
            self._all(years, lambda one: one[0].run())
        with self._phase("telephones"):
            for year, _ in years:
                self._telephone(machine, year, sites[year.plan.pack.code])
        for _, partner in years:
            partner.close()
        machine.check()
        state = State(is_complete=True)
        for (year, _), way_in in zip(years, ways_in, strict=True):
            by_hand = {one.saver.code: year.numbers[one.index] for one in year.plan.people if one.saver}
            guest = next(year.numbers[one.index] for one in year.plan.people if not one.saver)
            state.tenants[year.plan.pack.code] = Loaded(
                credentials=way_in[0], numbers=by_hand, guest=guest, tally=year.tally
            )
        self._keep(state)
        return state

    def _telephone(self, machine: Machine, year: Year, site: Site) -> None:
        """Let members use the menu and be written to, where the scheme's demo says so."""
        pack, wanted = year.plan.pack, year.plan.pack.scenario.telephones
        if wanted is None:
            return

        def restart() -> None:
            machine.stop("worker", "server")
            self._start(machine)
            machine.await_ready()

        with gateway(machine, pack.code, wanted, self._counterparties, restart) as there:
            operator = Operator(site, _link(machine, year.plan, site))
            members = [(one, year.numbers[one.index]) for one in year.plan.people if one.index in year.numbers]
            year.tally.telephoned = TelephoneRound(pack, wanted, there, year.partner, operator).run(
                members[: wanted.members]
            )

    def _year(
        self,
        machine: Machine,
        plan: Plan,
        site: Site,
        way_in: tuple[Credentials, str],
        progress: Progress,
        task: TaskID,
    ) -> tuple[Year, Partner]:
        partner = Partner(site, way_in[0], plan.pack.scenario.sending.connections)
        year = Year(
            plan,
            published_prices(plan.pack),
            machine=machine,
            partner=partner,
            operator=Operator(site, way_in[1]),
            staff=lambda role: Operator(site, _link(machine, plan, site, role)),
            files=self._folder / "files" / plan.pack.code,
            counterparties=self._counterparties,
            manager=self._managers.get(plan.pack.code),
            progress=lambda done: progress.advance(task, done),
            is_stopped=self._stop.is_set,
        )
        return year, partner

    @property
    def _counterparties(self) -> Path:
        """Return the file by which the simulated operators of wallets are joined."""
        return self._folder / "counterparties.toml"

    def _start_sandbox(self, machine: Machine) -> None:
        self._counterparties.unlink(missing_ok=True)
        machine.start("sandbox", "sandbox", "--write", str(self._counterparties), "--settle-seconds", "0.3")

    def _start(self, machine: Machine) -> None:
        machine.await_file("sandbox", self._counterparties)
        self._join_managers()
        machine.start("server", "serve")
        machine.start("worker", "work")

    def _join_managers(self) -> None:
        """Add the fund managers' tables to the secrets file, which processes read when they start."""
        tables = tomllib.loads(self._counterparties.read_text(encoding="utf-8"))
        for code, manager in self._managers.items():
            tables.setdefault(code, {})["manager"] = manager.table()
        write_private(self._counterparties, tomli_w.dumps(tables).encode())

    def _each(self, do: Callable[[Plan], Result]) -> list[Result]:
        """Do something for every tenant, all at once."""
        return self._all(self._plans, do)

    def _all(self, items: Sequence[object], do: Callable[..., Result]) -> list[Result]:
        with ThreadPoolExecutor(max(1, len(items))) as pool:
            futures = [pool.submit(do, item) for item in items]
            try:
                return [future.result() for future in futures]
            except BaseException:
                self._stop.set()  # the others end at their next day
                raise

    # -- what is kept, what is said

    def _state(self) -> State | None:
        path = self._folder / "state.json"
        if not path.exists():
            return None
        try:
            return msgspec.json.decode(path.read_bytes(), type=State)
        except msgspec.DecodeError as error:
            raise DemoFailed(f"{path} cannot be read ({error}); start afresh with an empty data directory") from error

    def _keep(self, state: State) -> None:
        """Write the state for the owner's eyes alone: it holds the demo partners' secrets."""
        path = self._folder / "state.json"
        raw = msgspec.json.format(msgspec.json.encode(state), indent=1)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(raw)

    def _port(self, *, once: bool) -> int:
        if once or self._settings.port == 0:
            return free_port()
        if is_free(self._settings.host, self._settings.port):
            return self._settings.port
        port = free_port()
        self._say(f"Port {self._settings.port} is taken; this demo serves on {port}.")
        return port

    def _report(self, tallies: dict[str, Tally], proofs: dict[str, Proof]) -> None:
        if self._as_json:
            document = report.as_document(tallies, proofs, self._seconds)
            sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n")
            sys.stdout.flush()
        else:
            report.show(Console(), self._plans, tallies, proofs, self._seconds)

    def _say(self, text: str) -> None:
        self._words.print(text, highlight=False, markup=False, soft_wrap=True)

    def _progress(self) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._words,
            disable=not self._words.is_terminal,
        )

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self._began = began = time.perf_counter()
        if not self._words.is_terminal:
            self._say(f"{name} …")
        yield
        self._seconds[name] = time.perf_counter() - began


def _create(machine: Machine, plan: Plan) -> None:
    """Create a tenant and set its clock, before anything of a member happens under real time."""
    scenario = plan.pack.scenario
    machine.akiba("tenant", "create", plan.pack.code)
    first = datetime.combine(scenario.first_day, time_of_day(6), plan.pack.zone)
    machine.akiba("clock", "advance", "--to", first.isoformat(), "--tenant", plan.pack.code)


def _ways_in(machine: Machine, plan: Plan, site: Site) -> tuple[Credentials, str]:
    """Let a partner and a first member of staff in."""
    made = machine.akiba("partner", "create", PARTNER, "--tenant", plan.pack.code, "--name", "Demo wallet")
    return Credentials(made["client_id"], made["client_secret"]), _link(machine, plan, site)


def _link(machine: Machine, plan: Plan, site: Site, role: str = "") -> str:
    """Return a new one-time link for staff, at the address where this demo serves: for one role, or for the day's work."""
    one = ("--role", role, "--name", role) if role else ()
    made = machine.akiba("admin", "bootstrap", "--tenant", plan.pack.code, *one)
    return f"{site.url}/{str(made['link']).split('/', 3)[3]}"


@contextmanager
def _database(settings: Settings) -> Iterator[tuple[str, str | None]]:
    """Return the application's and the owner's URL; without DATABASE_URL, of an embedded server that is ours to hold."""
    if settings.database_url is not None:
        yield settings.database_url, settings.database_owner_url
        return
    with EmbeddedServer(settings.data_dir / "postgres", settings.postgres_port) as server:
        urls = provision(server, "akiba")
        yield urls.app, urls.owner


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let SIGTERM and SIGINT both end the demo in order, also where a shell made us deaf to the latter."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
