"""A scheme of five members that was taken over itself, and another one of the same pack that it goes into."""

import shutil
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest_asyncio
from sqlalchemy import text

from engine.app import KINDS, LAWS, RUNNERS
from engine.enrolment import service as enrolment
from engine.funds import service as funds
from engine.ledger import service as ledger
from engine.mergers import service
from engine.mergers.queries import Merger
from engine.mergers.rules import FundPlace, MergerReceipt, MergerTerms, ProductPlace
from engine.opening import service as opening
from engine.opening.service import OpeningReport
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.runtime.private_files import write_private
from engine.tenancy.service import Tenant, Tenants, advance_clock
from tests.engine.funds.conftest import ADAPTER
from tests.factories import schemes

EXAMPLE = Path(__file__).parents[3] / "docs/opening-example"
PRICES = {"SM001009": "30", "SM002009": "31", "SM003003": "32"}


class Merging:
    """Two schemes, `old` that goes into `new`, and what tests do with them."""

    def __init__(
        self, db: Database, keys: FileKeyStore, tenants: Tenants, old: Tenant, new: Tenant, folder: Path
    ) -> None:
        self.db, self.keys, self.tenants, self.old, self.new, self.folder = db, keys, tenants, old, new, folder

    def terms(self, **changes: Any) -> MergerTerms:
        given: dict[str, Any] = {
            "into_scheme": self.new.code,
            "source": "Small Savings Scheme",
            "effective_on": date(2023, 4, 5),
            "products": (
                ProductPlace(
                    product="nps-lite", into="nps-lite", pots={"retirement": "retirement"}, groups={"shramik": "gramin"}
                ),
            ),
            "funds": (
                FundPlace(fund="SM001009", into="SM001009", decimals=4),
                FundPlace(fund="SM002009", into="SM001009", ratio="0.75", decimals=4),
                FundPlace(fund="SM003003", into="SM003003", decimals=4),
            ),
            "channel": "upi",
            "owed_to": "recordkeeper",
        }
        return MergerTerms(**{**given, **changes})

    async def approved(self, **changes: Any) -> Merger:
        async with self.db.unit_of_work(self.old.tenant_id) as session:
            one = await service.propose_merger(session, self.old, self.terms(**changes), actor="staff:1")
        async with self.db.unit_of_work(self.old.tenant_id) as session:
            return await service.approve_merger(session, self.old, one.merger_no, digest=one.digest, actor="staff:2")

    async def carry_on(self) -> int:
        return await service.carry_on(self.db, self.keys, self.tenants, self.old, actor="system:mergers")

    async def export(self, round_no: int = 1) -> Path:
        out = self.folder / f"round-{round_no}"
        out.mkdir()
        async with self.db.unit_of_work(self.old.tenant_id) as session:
            found = await service.sealed_files(session, self.old, 1, round_no)
        for name, raw in found.items():
            write_private(out / name, raw)
        return out

    async def stage(self, folder: Path, *, dry_run: bool = False) -> OpeningReport:
        return await service.take_in(self.db, self.keys, self.new, folder, actor="staff:1", dry_run=dry_run)

    async def take_in(self, folder: Path) -> int:
        """Stage, approve and post what is in a folder; return the opening's number."""
        report = await self.stage(folder)
        assert report.opening is not None, report.lines()
        await opening.approve_opening(self.db, self.new, report.opening, digest=report.digest, actor="staff:2")
        await opening.post_openings(self.db, self.keys, self.new, actor="system:opening")
        return report.opening

    async def receipt(self, opening_no: int) -> MergerReceipt:
        async with self.db.unit_of_work(self.new.tenant_id) as session:
            return await service.receipt_of(session, self.new, opening_no)

    async def acknowledge(self, receipt: MergerReceipt, round_no: int = 1) -> str:
        async with self.db.unit_of_work(self.old.tenant_id) as session:
            one = await service.acknowledge(session, self.old, 1, round_no, receipt, actor="staff:2")
            return one.state

    async def later(self, day: datetime) -> None:
        for tenant in (self.old, self.new):
            async with self.db.unit_of_work(tenant.tenant_id) as session:
                await advance_clock(session, tenant, day, "development")

    async def rows(self, tenant: Tenant, sql: str, **parameters: Any) -> list[Any]:
        async with self.db.unit_of_work(tenant.tenant_id) as session:
            return [tuple(row) for row in await session.execute(text(sql), parameters)]

    async def member(self, tenant: Tenant, number: str) -> int:
        async with self.db.unit_of_work(tenant.tenant_id) as session:
            return (await enrolment.find_member(session, self.keys, number)).member_id

    async def held(self, tenant: Tenant, number: str) -> Mapping[tuple[str, str, str], str]:
        """What a member holds now, in major units, by kind, origin and fund; accounts that are empty left out."""
        found = await self.rows(
            tenant,
            """select c.kind, c.origin, c.fund, b.credits - b.debits, a.scale from balances b join chart c on c.code = b.code
                 join assets a on a.asset_id = c.code / 4096 where b.member_id = :m and b.credits > b.debits""",
            m=await self.member(tenant, number),
        )
        return {row[:3]: f"{Decimal(row[3]).scaleb(-row[4])}" for row in found}

    async def control(self, tenant: Tenant, kind: str) -> dict[str, int]:
        """What control accounts of a kind hold, debits above credits, by fund or party; empty ones left out."""
        found = await self.rows(
            tenant,
            """select coalesce(nullif(c.fund, ''), c.party), sum(s.debits - s.credits)::bigint from chart c join (
                 select code, debits, credits from control_totals union all select code, debits, credits from control_deltas) s using (code)
                where c.kind = :kind group by 1""",
            kind=kind,
        )
        return {name: amount for name, amount in found if amount}

    async def broken(self) -> list[Any]:
        found = []
        for tenant in (self.old, self.new):
            async with self.db.unit_of_work(tenant.tenant_id) as session:
                found += await ledger.check(session, LAWS)
        return found


@pytest_asyncio.fixture
async def merging(db: Database, keys: FileKeyStore, tmp_path: Path) -> Merging:
    """The example's members in a scheme of their own, their cash not dealt yet, and an empty scheme; both on 3 April 2023."""
    start = datetime(2023, 4, 3, 4, 0, tzinfo=UTC)
    old, new = [await schemes.serve(db, tmp_path, start=start) for _ in range(2)]
    tenants = Tenants.load([tmp_path / old.code, tmp_path / new.code], KINDS, RUNNERS)
    await tenants.activate(db)
    folder = tmp_path / "old-book"
    shutil.copytree(EXAMPLE, folder)
    manifest = folder / "manifest.toml"
    manifest.write_text(manifest.read_text().replace('"in-nps-lite"', f'"{old.code}"'))
    report = await opening.stage_opening(db, keys, old, folder, actor="staff:1")
    assert report.opening is not None, report.lines()
    await opening.approve_opening(db, old, report.opening, digest=report.digest, actor="staff:2")
    await opening.post_openings(db, keys, old, actor="system:opening")
    return Merging(db, keys, tenants, old, new, tmp_path)


@pytest_asyncio.fixture
async def settled(merging: Merging) -> Merging:
    """The same once the cash has bought units, on 5 April 2023."""
    db, old = merging.db, merging.old
    await funds.run_dealing(db, old, date(2023, 4, 3), "staff:3")
    await merging.later(datetime(2023, 4, 5, 4, 0, tzinfo=UTC))
    raw = "\n".join(f"{code},{price}" for code, price in PRICES.items()).encode()
    for tenant in (old, merging.new):
        await funds.import_prices(db, tenant, ADAPTER, raw, "2023-04-04.csv", date(2023, 4, 4), "staff:1")
    await funds.price_orders(db, old, date(2023, 4, 4), "staff:3")
    return merging
