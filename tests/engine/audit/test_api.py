"""The log as anyone reads it over HTTP: a whole log is fetched and verified from outside."""

from collections.abc import AsyncIterator

import metamorphic_log
import pytest
import pytest_asyncio
from litestar import Litestar
from litestar.di import Provide
from litestar.testing import AsyncTestClient
from sqlalchemy import text

from engine.access.api import authorize
from engine.audit.api import LogController
from engine.audit.rules.merkle import leaf_hash, root_of
from engine.audit.rules.notes import verifier_key
from engine.audit.rules.tiles import bundles_of, tiles_of, unbundle
from engine.kernel.ids import new_member_id
from engine.runtime.database import Database
from engine.runtime.http import exception_handlers
from engine.runtime.key_file import FileKeyStore
from tests.engine.audit.conftest import Scheme
from tests.engine.audit.test_service import append


@pytest_asyncio.fixture
async def client(db: Database) -> AsyncIterator[AsyncTestClient[Litestar]]:
    app = Litestar(
        [LogController],
        guards=[authorize],
        dependencies={"db": Provide(lambda: db, sync_to_thread=False)},
        exception_handlers=exception_handlers(lambda _request, message: message),
    )
    async with AsyncTestClient(app) as client:
        yield client


async def code_of(scheme: Scheme) -> str:
    async with scheme.db.unit_of_work(None) as session:
        code = await session.scalar(text("select code from tenants where tenant_id = :t"), {"t": scheme.tenant_id})
    return str(code)


async def test_a_stranger_reads_and_verifies_the_whole_log(
    client: AsyncTestClient[Litestar], scheme: Scheme, keys: FileKeyStore
) -> None:
    await scheme.post([scheme.paid(new_member_id(), 100) for _ in range(300)])
    await scheme.year()
    await append(scheme, keys)
    prefix = f"/log/{await code_of(scheme)}"

    answer = await client.get(f"{prefix}/checkpoint")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=5"
    key = verifier_key(scheme.origin, keys.tenant(scheme.tenant_id).log_signing_key)
    head = metamorphic_log.checkpoint_verify(answer.text, [str(key)])
    assert (head.origin, head.size) == (scheme.origin, 313)

    entries: list[bytes] = []
    for tile in bundles_of(head.size):
        answer = await client.get(f"{prefix}/tile/{tile.path}")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        entries += unbundle(answer.content)
    leaves = [leaf_hash(entry) for entry in entries]
    assert root_of(leaves) == head.root
    hashes = {t.path: (await client.get(f"{prefix}/tile/{t.path}")).content for t in tiles_of(head.size)}
    assert b"".join(hashes[f"0/{n}"] for n in ("000", "001.p/57")) == b"".join(leaves)
    assert hashes["1/000.p/1"] == root_of(leaves[:256])
    # A narrower tile of an earlier checkpoint is still served.
    assert (await client.get(f"{prefix}/tile/0/001.p/5")).content == b"".join(leaves[256:261])
    assert unbundle((await client.get(f"{prefix}/tile/entries/001.p/5")).content) == entries[256:261]


@pytest.mark.parametrize(
    "path",
    ["checkpoint/x", "tile/0/000", "tile/0/000.p/14", "tile/0/001.p/1", "tile/1/000.p/1", "tile/entries/000",
     "tile/entries/000.p/14", "tile/0/0", "tile/x/000", "tile/", "tile/0/x999/x999/x999/x999/999"],
)  # fmt: skip
async def test_what_is_not_published_is_not_found(
    client: AsyncTestClient[Litestar], scheme: Scheme, keys: FileKeyStore, path: str
) -> None:
    await scheme.year()
    await append(scheme, keys)
    answer = await client.get(f"/log/{await code_of(scheme)}/{path}")
    assert answer.status_code == 404


async def test_an_empty_log_and_an_unknown_tenant_look_alike(client: AsyncTestClient[Litestar], scheme: Scheme) -> None:
    answers = [await client.get(f"/log/{code}/checkpoint") for code in (await code_of(scheme), "xx-nobody", "'; --")]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert len({answer.json()["code"] for answer in answers}) == 1


async def test_nothing_can_be_written(client: AsyncTestClient[Litestar], scheme: Scheme) -> None:
    for method in ("post", "put", "patch", "delete"):
        answer = await getattr(client, method)(f"/log/{await code_of(scheme)}/checkpoint")
        assert answer.status_code == 405
