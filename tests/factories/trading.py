"""A scheme of the funds' tests beside a small simulated fund manager, joined by folders."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from engine.funds import service as funds
from engine.funds.ports import DealingManager
from engine.funds.service import JoinedManager, ManagerTable, OrderDesk
from engine.kernel.file_drops import StagedDrop
from engine.manager_files import take_manager_files
from engine.places import service as places
from engine.runtime.exchanges.engine import Counterparty, Exchanges
from engine.runtime.exchanges.pacing import Pace
from engine.runtime.exchanges.recording import RecordedDelivery
from integrations.banking.file_drops.folder import FolderDrop
from integrations.banking.file_drops.simulator import DropSite
from integrations.fund_managers.csv_files.adapter import CsvManager
from integrations.fund_managers.csv_files.layouts import PLAIN
from integrations.fund_managers.iso_20022.adapter import Iso20022Manager
from integrations.fund_managers.simulation.manager import SimulatedManager

FUND, MANAGER = "SM001009", "PFM001"
BRISK = Pace(first_wait=0.01, longest_wait=0.05, lease=0.3, per_second=1000, breaks_after=1000)
SPEAKING: dict[str, DealingManager] = {"iso-20022": Iso20022Manager(MANAGER), "csv-files": CsvManager(MANAGER)}


@dataclass
class Trading:
    """Our side and the manager's."""

    scheme: Any
    manager: SimulatedManager
    joined: JoinedManager
    drop: StagedDrop

    @property
    def site(self) -> DropSite:
        return self.manager.site

    def desk(self, drop: StagedDrop | None = None) -> OrderDesk:
        """The exchanges of one process; `drop` may be one that dies."""
        scheme = self.scheme
        delivery = RecordedDelivery(drop or self.drop, scheme.db, scheme.keys)
        operations = {
            funds.FUND_ORDERS: funds.order_operation(delivery, scheme.tenant),
            places.FILES: places.file_operation(delivery, scheme.tenant),
        }
        counterparties = {self.joined.name: Counterparty(self.joined.name, operations, BRISK)}
        exchanges = Exchanges(scheme.db, scheme.keys, counterparties, lambda *_: "https://scheme.example/callback")
        return OrderDesk(exchanges, {self.joined.name: self.joined})

    async def send(self) -> int:
        """Put orders into files and leave them; return how many files were made."""
        desk = self.desk()
        made = await funds.file_orders(self.scheme.db, self.scheme.tenant, desk)
        made += await funds.stage_cancellations(self.scheme.db, self.scheme.tenant, desk.exchanges, desk.managers)
        await desk.exchanges.work(self.scheme.tenant.tenant_id)
        return made

    async def take(self) -> int:
        return await take_manager_files(self.scheme.db, self.scheme.keys, self.scheme.tenant, self.joined)

    def manager_deals(self, day: str, price: str) -> None:
        """The manager takes our orders and carries them out at a price."""
        self.manager.take_orders()
        self.manager.deal(date.fromisoformat(day), {FUND: Decimal(price)})

    async def confirm(self, raw: bytes, name: str = "executions.xml") -> funds.ConfirmationImport:
        scheme = self.scheme
        return await funds.import_confirmations(scheme.db, scheme.tenant, self.joined, raw, name, "staff:3")

    async def listed(self, state: str | None = None) -> list[funds.Confirmation]:
        async with self.scheme.db.unit_of_work(self.scheme.tenant.tenant_id) as session:
            return await funds.list_confirmations(session, self.scheme.tenant, state=state)

    async def files(self) -> list[tuple[str, str, int, int]]:
        """(name, state, orders, confirmed) of our files, the newest first."""
        async with self.scheme.db.unit_of_work(self.scheme.tenant.tenant_id) as session:
            return [(one.name, one.state, one.orders, one.confirmed) for one in await funds.list_order_files(session)]

    async def events(self, kind: int) -> list[dict[str, Any]]:
        rows = await self.scheme.rows("select body from events where kind = :k order by event_id", k=kind)
        return [row[0] for row in rows]


def trading_of(scheme: Any, folder: Path, speaks: str) -> Trading:
    """Join a scheme to a simulated manager that speaks by files of one kind."""
    site = DropSite(folder / "manager")
    layout = PLAIN if speaks == "csv-files" else None
    manager = SimulatedManager(site=site, currency=scheme.tenant.asset, layout=layout)
    drop = FolderDrop(site.for_us, site.from_us, site.taken)
    table = ManagerTable(
        deals_for=MANAGER,
        speaks=speaks,
        account="OMNIBUS-7",
        sender="AKIBA",
        since=date(2023, 4, 1),
        cancels_until="20:00",
        place={},
    )
    return Trading(scheme, manager, JoinedManager("pfm-one", table, SPEAKING[speaks], drop), drop)
