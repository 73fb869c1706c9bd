"""The servers that the HTTP benchmark loads: ours, ours with a commit for each request, and one that does nothing.

python -m benchmarks.servers ours|single|noop PORT; prints the mean size of commits when it stops.
"""

import gc
import sys
from collections.abc import Sequence
from zlib import crc32

import msgspec
import uvicorn
import uvloop
from litestar import Litestar, post
from litestar.params import JSONBody

from engine.app import DatabaseURLs, create_app, open_deployment
from engine.contributions import service
from engine.contributions.api import ContributionRequest
from engine.contributions.rules import Payment
from engine.contributions.service import Answer, Intake
from engine.runtime.logging import configure_logging
from engine.runtime.settings import load_settings
from engine.tenancy.service import Tenant


class OneCommitEach(Intake):
    """Writes each payment in a transaction of its own, as many at once as there are connections."""

    async def receive(self, tenant: Tenant, payment: Payment) -> Answer:
        (answer,) = await service.receive(
            self._db, self._keys, tenant, [payment], lane=crc32(payment.reference.encode()) % 100_000
        )
        return answer

    async def receive_many(self, tenant: Tenant, payments: Sequence[Payment]) -> list[Answer]:
        return [await self.receive(tenant, payment) for payment in payments]


@post("/v1/contributions")
async def noop(data: JSONBody[ContributionRequest]) -> None:
    """Parse the same body and do nothing."""


async def main(kind: str, port: int) -> None:
    """Serve until interrupted."""
    configure_logging("warning", stream=sys.stderr)
    if kind == "noop":
        gc.collect()
        gc.freeze()
        await _serve(Litestar(route_handlers=[noop], logging_config=None, openapi_config=None), port)
        return
    settings = load_settings({"port": port})
    assert settings.database_url is not None
    urls = DatabaseURLs(settings.database_url, None)
    async with open_deployment(settings, urls) as deployment:
        app = create_app(deployment, urls, intake=OneCommitEach if kind == "single" else Intake)
        await _serve(app, port)
        sizes = app.state["intake"].sizes
        print(msgspec.json.encode({"batches": sizes.batches, "mean": round(sizes.mean, 2)}).decode(), flush=True)


async def _serve(app: Litestar, port: int) -> None:
    await uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=port, access_log=False, log_config=None, lifespan="on")
    ).serve()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
