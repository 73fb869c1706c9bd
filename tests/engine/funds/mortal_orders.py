"""A process that leaves orders and kills itself, without a word, where it is told to: run as a program by `test_ordering`."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from engine.funds import service as funds
from engine.kernel.files import NamedFile
from engine.runtime.database import Database
from integrations.banking.file_drops.folder import FolderDrop
from tests.engine.funds.conftest import scheme_of
from tests.factories.trading import trading_of


def die() -> NoReturn:
    """End as by a power cut."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


class Mortal(FolderDrop):
    """A folder that is left for ever at a point."""

    point = ""

    async def stage(self, file: NamedFile) -> None:
        if self.point == "before-staging":
            die()
        await super().stage(file)
        if self.point == "staged":
            die()

    async def hand_over(self, file: NamedFile) -> bool:
        if self.point == "sent":
            die()
        found = await super().hand_over(file)
        if self.point == "handed-over":
            die()
        return found


async def main(app_url: str, tenant_id: int, folder: Path, point: str) -> None:
    """Do what the worker does with orders, until the point."""
    scheme = await scheme_of(Database(app_url), tenant_id, folder)
    trading = trading_of(scheme, folder, "csv-files")
    mortal = Mortal(trading.site.for_us, trading.site.from_us, trading.site.taken)
    mortal.point = point
    desk = trading.desk(mortal)
    await funds.file_orders(scheme.db, scheme.tenant, desk)
    if point == "filed":
        die()
    await desk.exchanges.work(tenant_id)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]))
