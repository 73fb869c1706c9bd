"""A process that leaves a file and kills itself, without a word, where it is told to: run as a program by `test_places`."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import msgspec

from engine.runtime.database import Database
from engine.runtime.exchanges.transport import open_transport
from integrations.banking.file_drops.simulator import DropSite
from tests.engine.places.test_places import carrier_of, dying, joined


def die() -> None:
    """End as by a power cut."""
    os.kill(os.getpid(), signal.SIGKILL)


async def main(app_url: str, tenant_id: int, folder: Path, point: str) -> None:
    """Do what the worker does with files, until the point."""
    table = msgspec.json.decode((folder / "table.json").read_bytes())
    async with open_transport(seconds=5) as transport:
        drop = joined(table, transport)
        carrier = await carrier_of(Database(app_url), tenant_id, folder, drop, DropSite(folder / "bank"))
        await carrier.work(dying(drop, point, die))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]))
