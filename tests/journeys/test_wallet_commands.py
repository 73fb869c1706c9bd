"""The commands around wallets: the sandbox that prints how it is joined, and refusals in a sentence."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import httpx

from tests.journeys.conftest import ROOT, Deployment

_AKIBA = [sys.executable, "-c", "from engine.cli import main; main()"]


def environment(folder: Path, **changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AKIBA_", "DATABASE_"))}
    return kept | {"AKIBA_DATA_DIR": str(folder), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | changes


def test_the_sandbox_serves_what_it_prints(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*_AKIBA, "sandbox"], env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as running:
        assert running.stdout is not None
        said = ""
        while "[rw-ejoheza.airtel-money.pace]" not in said:
            line = running.stdout.readline()
            assert line, said
            said += line
        tables = tomllib.loads(said)
        urls = [table["base_url"] for channels in tables.values() for table in channels.values()]
        moved = [httpx.get(f"{url}/simulator/movements").json() for url in urls]
        planned = httpx.post(f"{urls[0]}/simulator/misbehave", json={"how": "twice", "times": 2}).json()
        running.terminate()

    assert {code: set(channels) for code, channels in tables.items()} == {
        "ke-haba-haba": {"mpesa"},
        "rw-ejoheza": {"mtn-momo", "airtel-money"},
    }
    assert moved == [[], [], []]
    assert planned == {"planned": ["twice", "twice"]}


def test_the_sandbox_is_not_for_production(tmp_path: Path) -> None:
    production = environment(tmp_path, AKIBA_PROFILE="production", DATABASE_URL="postgresql://a:b@127.0.0.1:1/c")
    done = subprocess.run([*_AKIBA, "sandbox"], check=False, env=production, capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (1, "")
    assert "sandbox" in done.stderr


def test_a_channel_that_is_joined_to_nobody_cannot_be_registered(deployment: Deployment) -> None:
    done = subprocess.run(
        [*_AKIBA, "counterparty", "register", "--tenant", "rw-ejoheza", "--channel", "mtn-momo"],
        check=False,
        env=deployment.machine._environment,
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert "contributions.cannot-collect" in done.stderr
    assert "Traceback" not in done.stderr


def test_orders_to_managers_are_listed_and_an_unknown_manager_is_refused(
    deployment: Deployment, tmp_path: Path
) -> None:
    def akiba(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*_AKIBA, *words], check=False, env=deployment.machine._environment, capture_output=True, text=True
        )

    file = tmp_path / "executions.csv"
    file.write_text("H,EXECUTIONS")
    listed = [akiba("orders", one, "--tenant", "in-nps-lite") for one in ("list", "confirmations")]
    listed += [akiba("files", one, "--tenant", "in-nps-lite") for one in ("out", "in", "missing")]
    refused = akiba("import", "confirmations", str(file), "--tenant", "in-nps-lite", "--manager", "nobody")

    assert [(one.returncode, one.stdout, one.stderr) for one in listed] == [(0, "", "")] * 5
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "funds.unknown-manager" in refused.stderr
    assert "Traceback" not in refused.stderr
