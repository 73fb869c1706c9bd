"""A fund manager joined by a table of the secrets file: the worker sends orders and takes what comes, by folders alone."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from engine.app import Deployment, adapter
from engine.funds import service as funds
from engine.funds.errors import UnknownManager
from engine.outside import Joined, calling
from engine.runtime.counterparty_file import CounterpartiesUnavailable, CounterpartyFile
from engine.runtime.private_files import write_private
from engine.runtime.settings import load_settings
from engine.worker import turn_outside
from integrations.banking.file_drops.simulator import DropSite
from integrations.fund_managers.simulation.manager import SimulatedManager
from tests.api.site import one_process
from tests.engine.funds.conftest import UNMATCHED, Scheme
from tests.engine.funds.test_dealing import PRICES, savers
from tests.factories.trading import FUND


def table(scheme: Scheme, site: DropSite, **other: str) -> str:
    values = {
        "deals_for": '"PFM001"', "speaks": '"iso-20022"', "account": '"OMNIBUS-7"', "sender": '"AKIBA"', "since": "2023-04-01",
        "place": f'{{ inbox = "{site.for_us}", outbox = "{site.from_us}", archive = "{site.taken}" }}',
        "pace": "{ first_wait = 0.01 }",
    } | other  # fmt: skip
    return f"[{scheme.tenant.pack.code}.pfm-one]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())


class Running:
    """A worker's turns over one secrets file."""

    def __init__(self, scheme: Scheme, folder: Path, text: str) -> None:
        self.scheme = scheme
        write_private(folder / "counterparties.toml", text.encode())
        settings = load_settings({"data_dir": folder}, environment={}, working_dir=folder)
        self.deployment = Deployment(settings, scheme.db, scheme.keys, one_process([scheme.tenant]))
        self.file = CounterpartyFile(settings.counterparties_file)

    async def turn(self) -> Joined:
        async with calling(self.scheme.db, self.scheme.keys, self.file, "https://x.example", adapter) as outside:
            await turn_outside(self.deployment, outside)
            return outside.of(self.scheme.tenant)


async def test_a_worker_sends_orders_and_takes_prices_confirmations_and_holdings(
    scheme: Scheme, tmp_path: Path
) -> None:
    site = DropSite(tmp_path / "manager")
    manager = SimulatedManager(site=site, currency=scheme.tenant.asset)
    running = Running(scheme, tmp_path, table(scheme, site))
    await savers(scheme, ["first"], [50000])
    await scheme.deal("2023-04-03")
    await running.turn()
    assert manager.take_orders() == 1

    await scheme.clock("2023-04-05T04:30:00")
    manager.deal(date(2023, 4, 5), {FUND: Decimal(PRICES[FUND])})
    await running.turn()
    assert list(site.for_us.iterdir()) == []
    await scheme.deal("2023-04-05")
    await funds.judge_confirmations(scheme.db, scheme.tenant)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        files = await funds.list_order_files(session)
        told = await funds.list_confirmations(session, scheme.tenant)
    assert [(one.state, one.confirmed) for one in files] == [("accepted", 1)]
    assert [one.state for one in told] == ["confirmed"]
    ((units,),) = await scheme.rows("select units_confirmed from orders")
    assert await scheme.rows("select units from holdings_told") == [(units,)]
    assert not await scheme.broken(but=UNMATCHED)


async def test_a_place_that_is_gone_stops_nothing_else(scheme: Scheme, tmp_path: Path) -> None:
    site = DropSite(tmp_path / "manager")
    running = Running(scheme, tmp_path, table(scheme, site))
    for folder in (site.for_us, site.from_us):
        folder.rmdir()
    await savers(scheme, ["first"], [50000])
    await scheme.deal("2023-04-03")
    joined = await running.turn()

    assert await scheme.rows("select state from order_files") == [("requested",)]
    assert joined.desk.manager("pfm-one").table.deals_for == "PFM001"
    with pytest.raises(UnknownManager):
        joined.desk.manager("pfm-two")


@pytest.mark.parametrize(
    "other", [{"since": '"some day"'}, {"place": "{ inbox = 1 }"}, {"deals_fore": '"x"'}, {"speaks": '""'}]
)
async def test_a_table_that_is_wrong_joins_nobody(scheme: Scheme, tmp_path: Path, other: dict[str, str]) -> None:
    site = DropSite(tmp_path / "manager")
    running = Running(scheme, tmp_path, table(scheme, site, **other))
    assert (await running.turn()).places.managers == {}
    code = scheme.tenant.pack.code

    def read() -> object:
        if "place" in other:
            return running.file.nested(code, "pfm-one", "place", adapter("FileDrop", "folder").credentials)
        return running.file.credentials(code, "pfm-one", funds.ManagerTable)

    with pytest.raises(CounterpartiesUnavailable):
        read()
