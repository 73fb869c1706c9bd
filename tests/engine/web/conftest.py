"""Two schemes under one roof."""

from pathlib import Path

import pytest_asyncio

from engine.runtime.database import Database
from tests.engine.reports.scheme import Scheme, open_scheme


@pytest_asyncio.fixture
async def india(db: Database, tmp_path: Path) -> Scheme:
    return await open_scheme(db, tmp_path, "in-nps-lite")


@pytest_asyncio.fixture
async def rwanda(db: Database, tmp_path: Path, india: Scheme) -> Scheme:
    scheme = await open_scheme(db, tmp_path, "rw-ejoheza")
    scheme.keys = india.keys
    return scheme
