"""The log as anyone may read it (C2SP tlog-tiles): checkpoint, tiles, bundles of entries. Read-only."""

import asyncio

from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from engine.audit import queries, service
from engine.audit.rules.tiles import BadTile, Tile
from engine.kernel.errors import NotFound
from engine.kernel.permissions import Permission
from engine.runtime.database import Database
from engine.runtime.http import refuses

CHECKPOINT_TYPE = "text/plain"  # the framework adds "; charset=utf-8"
TILE_TYPE = "application/octet-stream"
_NEWEST = {"Cache-Control": "public, max-age=5"}
_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
_RENDERING = asyncio.Semaphore(2)
"""Bundles are rendered from rows, which costs far more than to ask for them: few at once, the rest wait."""


class LogController(Controller):
    """The audit logs, one a tenant. They hold no personal data: members are pseudonyms."""

    path = "/log/{code:str}"
    tags = ("Audit log",)

    @get(
        "/checkpoint",
        operation_id="ReadCheckpoint",
        opt={"permission": Permission.PUBLIC},
        media_type=CHECKPOINT_TYPE,
        responses=refuses(NotFound),
    )
    async def checkpoint(self, code: FromPath[str], db: NamedDependency[Database]) -> Response[bytes]:
        """Return the newest checkpoint: a signed note with the size of the log and its root."""
        async with db.unit_of_work(await _tenant(db, code)) as session:
            note = await service.checkpoint_note(session)
        return Response(note.encode(), media_type=CHECKPOINT_TYPE, headers=_NEWEST)

    @get(
        "/tile/{tile_path:path}",
        operation_id="ReadTile",
        opt={"permission": Permission.PUBLIC},
        media_type=TILE_TYPE,
        responses=refuses(NotFound),
    )
    async def tile(
        self, code: FromPath[str], tile_path: FromPath[str], db: NamedDependency[Database]
    ) -> Response[bytes]:
        """Return a tile of hashes (`<level>/<index>`) or a bundle of entries (`entries/<index>`); never changes."""
        try:
            tile = Tile.parse(tile_path.removeprefix("/"))
        except BadTile:
            raise NotFound from None
        tenant_id = await _tenant(db, code)
        if tile.level is None:
            async with _RENDERING, db.unit_of_work(tenant_id) as session:
                content = await service.read_bundle(session, tile)
        else:
            async with db.unit_of_work(tenant_id) as session:
                content = await service.read_tile(session, tile)
        return Response(content, media_type=TILE_TYPE, headers=_FOR_EVER)


async def _tenant(db: Database, code: str) -> int:
    async with db.unit_of_work(None) as session:
        tenant_id = await queries.tenant_of(session, code)
    if tenant_id is None:
        raise NotFound
    return tenant_id
