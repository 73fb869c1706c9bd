"""Places where files change hands: a counterparty's folders, reached as its table in the secrets file says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import tomli_w

from engine.app import Deployment, adapter
from engine.outside import Joined, calling
from engine.runtime.counterparty_file import CounterpartyFile
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.runtime.private_files import write_private
from engine.runtime.settings import load_settings
from engine.tenancy.service import Tenant
from engine.worker import turn_outside
from integrations.banking.file_drops.simulator import DropSite, http_app, serving_http, serving_sftp
from tests.api.site import one_process

WAYS = ("folder", "sftp", "http")
TOKEN = "a-token-of-this-test"
BRISK = {"first_wait": 0.01, "longest_wait": 0.05, "lease": 0.3, "breaks_after": 1000}


@dataclass(frozen=True)
class Keys:
    """Keys of an SFTP server and of ours, as OpenSSH writes them."""

    server: str
    server_private: str
    ours: str
    ours_private: str


def new_keys() -> Keys:
    server, ours = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    return Keys(
        server.export_public_key().decode(),
        server.export_private_key().decode(),
        ours.export_public_key().decode(),
        ours.export_private_key().decode(),
    )


@asynccontextmanager
async def served(way: str, site: DropSite, keys: Keys) -> AsyncIterator[dict[str, object]]:
    """Serve a counterparty's folders; yield what its table in the secrets file says of how files travel."""
    if way == "folder":
        place: dict[str, object] = {"inbox": str(site.for_us), "outbox": str(site.from_us), "archive": str(site.taken)}
        yield {"by": way, "place": place}
    elif way == "sftp":
        async with serving_sftp(site, asyncssh.import_private_key(keys.server_private), keys.ours) as port:
            place = {
                "host": "127.0.0.1", "port": port, "user": "akiba", "host_key": keys.server, "private_key": keys.ours_private,
                "inbox": "for-us", "outbox": "from-us", "archive": "taken",
            }  # fmt: skip
            yield {"by": way, "place": place}
    else:
        async with serving_http(http_app(site, TOKEN)) as url:
            yield {"by": way, "place": {"base_url": url, "token": TOKEN}}


class Worker:
    """A worker's turns over one secrets file with one tenant in it."""

    def __init__(
        self, db: Database, keys: FileKeyStore, tenant: Tenant, folder: Path, tables: dict[str, dict[str, object]]
    ) -> None:
        self.db, self.keys, self.tenant = db, keys, tenant
        paced = {name: {"pace": BRISK} | table for name, table in tables.items()}
        write_private(folder / "counterparties.toml", tomli_w.dumps({tenant.pack.code: paced}).encode())
        settings = load_settings({"data_dir": folder}, environment={}, working_dir=folder)
        self.deployment = Deployment(settings, db, keys, one_process([tenant]))
        self.file = CounterpartyFile(settings.counterparties_file)

    async def turn(self) -> Joined:
        async with calling(self.db, self.keys, self.file, "https://x.example", adapter) as outside:
            await turn_outside(self.deployment, outside)
            return outside.of(self.tenant)
