"""`akiba funds` over a database: splits and income are proposed, listed, rejected, and approved by another."""

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from typer.testing import CliRunner

from engine import cli_funds
from engine.access.errors import SamePerson
from engine.deployment import Deployment
from engine.funds import service as funds
from engine.runtime.settings import load_settings
from tests.api.site import one_process
from tests.engine.funds.conftest import PRODUCT, UNMATCHED, Scheme
from tests.engine.funds.test_acting import DAY, FUND, cash, paying
from tests.engine.funds.test_correcting import holders


class Commands:
    """The group of commands, run against the scheme of a test instead of a deployment of its own."""

    def __init__(self, scheme: Scheme, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = load_settings({"data_dir": folder}, environment={}, working_dir=folder)
        deployment = Deployment(settings, scheme.db, scheme.keys, one_process([scheme.tenant]))
        loop = asyncio.get_running_loop()
        self._tenant = scheme.tenant.pack.code

        def run(_context: object, use: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(use(deployment), loop).result(60)

        monkeypatch.setattr(cli_funds, "run", run)

    async def __call__(self, *words: object, is_json: bool = True) -> Any:
        arguments = [*map(str, words), "--tenant", self._tenant]
        done = await asyncio.to_thread(
            CliRunner().invoke, cli_funds.funds, arguments, obj=SimpleNamespace(json=is_json)
        )
        if done.exception is not None:
            raise done.exception
        return json.loads(done.stdout) if is_json else done.stdout


@pytest_asyncio.fixture
async def akiba(scheme: Scheme, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    return Commands(paying(scheme, "cash"), tmp_path, monkeypatch)


async def test_a_split_is_proposed_listed_and_approved_by_another(scheme: Scheme, akiba: Commands) -> None:
    (member,) = await holders(scheme, [50000])
    before = (await scheme.units(member))[FUND]
    await scheme.clock("2023-04-06T04:30:00")
    made = await akiba("split", FUND, "2023-04-06", "--new", 3, "--old", 1)
    assert (made["kind"], made["state"], made["on"]) == ("split", "proposed", "2023-04-06")
    assert await akiba("actions") == [made]
    told = await akiba("actions", is_json=False)
    assert made["digest"] in told
    assert FUND in told
    with pytest.raises(SamePerson):
        await akiba("approve", made["action"], "--digest", made["digest"], "--price", "1")
    assert (await scheme.units(member))[FUND] == before
    await scheme.price("2023-04-06", {FUND: "1"})
    await funds.approve_action(
        scheme.db, scheme.tenant, int(made["action"]), made["digest"], price="1", actor="staff:2"
    )
    assert (await scheme.units(member))[FUND] == 3 * before
    assert [one["state"] for one in await akiba("actions")] == ["done"]
    assert not await scheme.broken(but=UNMATCHED)


async def test_what_another_proposed_is_approved_or_rejected_by_commands(scheme: Scheme, akiba: Commands) -> None:
    (member,) = await holders(scheme, [50000])
    await scheme.clock("2023-04-06T04:30:00")
    one = await funds.propose_split(scheme.db, scheme.tenant, FUND, DAY, new=2, old=1, actor="staff:1")
    left = await akiba("reject", one.number, "--digest", one.digest)
    assert left["state"] == "rejected"
    two = await funds.propose_split(scheme.db, scheme.tenant, FUND, DAY, new=2, old=1, actor="staff:1")
    await scheme.price("2023-04-06", {FUND: "1"})
    before = (await scheme.units(member))[FUND]
    done = await akiba("approve", two.number, "--digest", two.digest, "--price", "1")
    assert (done["state"], done["members"], (await scheme.units(member))[FUND]) == ("done", 1, 2 * before)
    assert not await scheme.broken(but=UNMATCHED)


async def test_income_is_proposed_by_a_command_and_pays_nobody_before_its_approval(
    scheme: Scheme, akiba: Commands
) -> None:
    (member,) = await holders(scheme, [50000])
    await scheme.clock("2023-04-06T04:30:00")
    made = await akiba(
        "income",
        FUND,
        "2023-04-05",
        "--product",
        PRODUCT,
        "--per-unit",
        "0.10",
        "--stated",
        "5.00",
        "--reference",
        "DIV-1",
    )
    assert (made["kind"], made["state"], made["stated"], made["members"]) == ("income-in-cash", "proposed", "5.00", 1)
    assert await cash(scheme, member) == 0
    assert not await scheme.broken(but=UNMATCHED)
