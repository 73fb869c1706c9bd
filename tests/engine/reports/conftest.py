"""Schemes for the reports."""

from pathlib import Path

import pytest_asyncio

from engine.runtime.database import Database
from tests.engine.reports.scheme import Scheme, open_scheme

RULES = "nps-lite/rules/2010-04-01.toml"


@pytest_asyncio.fixture
async def india(db: Database, tmp_path: Path) -> Scheme:
    """NPS-Lite as it is: one pot, one fund a group."""
    return await open_scheme(db, tmp_path, "in-nps-lite")


@pytest_asyncio.fixture
async def mixed(db: Database, tmp_path: Path) -> Scheme:
    """NPS-Lite with two pots, and two funds for a group: every payment has four parts."""
    path = tmp_path / "mixed"
    path.mkdir()
    from tests.engine.reports.scheme import TENANTS

    rules = (TENANTS / "in-nps-lite" / RULES).read_text(encoding="utf-8")
    changed = rules.replace(
        'parts = [{ pot = "retirement", share_bp = 10000 }]',
        'parts = [{ pot = "retirement", share_bp = 6000 }, { pot = "access", share_bp = 4000 }]',
    ).replace("sahyog = { SM001009 = 10000 }", "sahyog = { SM001009 = 3333, SM002009 = 6667 }")
    return await open_scheme(
        db,
        path,
        "in-nps-lite",
        changes={
            RULES: (rules, changed),
            "pack.toml": (
                'pots = [{ code = "retirement", name = "Retirement savings" }]',
                'pots = [{ code = "retirement", name = "Retirement savings" }, { code = "access", name = "Access savings" }]',
            ),
        },
    )


@pytest_asyncio.fixture
async def rwanda(db: Database, tmp_path: Path) -> Scheme:
    """EjoHeza: whole francs, no units."""
    path = tmp_path / "rw"
    path.mkdir()
    return await open_scheme(db, path, "rw-ejoheza")
