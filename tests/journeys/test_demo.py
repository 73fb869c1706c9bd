"""The demo, reduced to some dozens of people and six weeks, run as people run it. The whole one is `make demo ONCE=1`."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from demo.client import Credentials, Partner, Site
from demo.collecting import MISBEHAVIOURS
from tests.conftest import create_database
from tests.journeys.conftest import ROOT, planned

pytestmark = pytest.mark.timeout(900)
_AKIBA = [sys.executable, "-c", "from engine.cli import main; main()"]


@pytest.fixture(scope="module")
def environment(
    tmp_path_factory: pytest.TempPathFactory, small_packs: Path, request: pytest.FixtureRequest
) -> dict[str, str]:
    """What the demo is told: its own data directory, the reduced packs, and another server where one is given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AKIBA_", "DATABASE_"))}
    kept |= {
        "AKIBA_DATA_DIR": str(tmp_path_factory.mktemp("demo")),
        "AKIBA_PACKS": str(small_packs),
        "PYTHONPATH": str(ROOT),
    }
    if os.environ.get("TEST_POSTGRES_URL"):
        urls = create_database(request.getfixturevalue("superuser_url"), f"d{os.getpid()}")
        kept |= dict(zip(("DATABASE_URL", "DATABASE_OWNER_URL"), urls, strict=True))
    return kept


def run(environment: dict[str, str], *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_AKIBA, *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=environment | changes,
        timeout=840,
    )


@pytest.fixture(scope="module")
def loaded(environment: dict[str, str]) -> dict[str, Any]:
    """The report of the first run."""
    done = run(environment, "--json", "demo", "run", "--once")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("code", ["in-apy", "in-nps-lite", "rw-ejoheza"])
def test_the_report_holds_what_was_planned(loaded: dict[str, Any], small_packs: Path, code: str) -> None:
    payments = planned(small_packs, code)
    found = loaded["tenants"][code]

    assert loaded["ok"]
    assert found["members"] == 34
    assert sum(found["payments"].values()) == len(payments)
    assert found["suspended"] == 3
    assert found["sent_again"] > 0
    assert found["matched"] == found["statement_lines"] == len(payments) + found["collected"]
    assert found["proof"]["laws_broken"] == 0
    assert found["proof"]["log_size"] == found["proof"]["events"]
    assert len(found["proof"]["verified"]) == 2


def test_payments_were_asked_for_through_operators_that_misbehave(loaded: dict[str, Any]) -> None:
    india, rwanda = loaded["tenants"]["in-nps-lite"], loaded["tenants"]["rw-ejoheza"]

    assert india["asked"] == 0
    assert rwanda["asked"] >= 30
    assert rwanda["collected"] + rwanda["not_paid"] + rwanda["left_unknown"] == rwanda["asked"]
    assert (rwanda["left_unknown"], rwanda["not_paid"] >= 4) == (1, True)
    assert float(rwanda["collected_amount"]) == 500 * rwanda["collected"]
    assert set(rwanda["misbehaved"]) == {*MISBEHAVIOURS}


def test_who_retires_is_paid_also_where_a_wallet_fails_or_is_a_strangers(loaded: dict[str, Any]) -> None:
    retired = loaded["tenants"]["rw-ejoheza"]["retired"]

    assert loaded["tenants"]["in-apy"]["retired"] is None
    assert retired["members"] >= 3
    assert (retired["failed"] in (1, 2), retired["refused"] >= 1) == (True, True)
    movements = [amount for moved in retired["movements"].values() for _, amount in moved]
    assert len(movements) == retired["members"]
    assert -sum(map(int, movements)) == int(retired["amount"]) > 0
    assert retired["misbehaved"]


def test_a_months_payroll_is_paid_and_what_failed_is_paid_by_the_next(loaded: dict[str, Any]) -> None:
    payroll = loaded["tenants"]["rw-ejoheza"]["payroll"]

    assert loaded["tenants"]["in-nps-lite"]["payroll"] is None
    assert payroll["pensioners"] > 2 * loaded["tenants"]["rw-ejoheza"]["retired"]["members"]
    assert (payroll["failed"], payroll["paid_later"]) == (1, 1)
    assert 0 < int(payroll["failed_amount"]) < int(payroll["due"])
    movements = [amount for moved in payroll["movements"].values() for _, amount in moved]
    assert len(movements) == payroll["pensioners"]
    assert -sum(map(int, movements)) == int(payroll["due"])


def test_a_fund_manager_dealt_by_messages(loaded: dict[str, Any]) -> None:
    traded = loaded["tenants"]["in-nps-lite"]["traded"]

    assert loaded["tenants"]["rw-ejoheza"]["traded"] is None
    assert 0 < traded["confirmed"] <= traded["orders"] <= traded["confirmed"] + 1, (
        "the last may still wait for its price"
    )
    assert traded["files"] >= 3 * traded["confirmed"], "prices, confirmations and holdings of each day"


def test_a_partner_was_told_and_members_were_written_to(loaded: dict[str, Any]) -> None:
    rwanda = loaded["tenants"]["rw-ejoheza"]
    told, telephoned = rwanda["told"], rwanda["telephoned"]

    assert told["taken"]["contribution.received"] >= rwanda["collected"]
    assert told["taken"]["collection.failed"] == rwanda["not_paid"]
    assert told["turned_down"] >= 1
    assert telephoned["members"] == 20
    assert telephoned["messages"] == {"delivered": 18, "unknown": 2}, "what may have gone out is not sent again"
    assert set(telephoned["misbehaved"]) >= {"503", "late", "report-twice"}


def test_units_were_bought_where_there_are_funds(loaded: dict[str, Any]) -> None:
    india, rwanda = loaded["tenants"]["in-nps-lite"], loaded["tenants"]["rw-ejoheza"]

    assert india["dealing_days"] > 15
    assert 0 < india["orders_priced"] == india["orders"]
    assert float(india["units"]) > 0
    assert float(india["residue_units"]) < 0.0001 * sum(india["payments"].values())
    assert india["payments"]["file"] > 0
    assert (rwanda["orders"], rwanda["prices"]) == (0, 0)


def test_three_statements_equal_the_hand_calculation(loaded: dict[str, Any], environment: dict[str, str]) -> None:
    """Once more, by the script alone, over what the API answered."""
    folder = Path(environment["AKIBA_DATA_DIR"]) / "demo" / "statements" / "in-nps-lite"
    script = ROOT / "tests" / "golden" / "statement_by_hand.py"
    done = subprocess.run(
        [sys.executable, "-I", str(script), "--compare", str(folder)], check=False, capture_output=True, text=True
    )
    statements = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*-2023-05-12.json")]

    assert loaded["tenants"]["in-nps-lite"]["proof"]["by_hand"] == "9 statements compared, 0 differences"
    assert (done.returncode, done.stdout) == (0, "9 statements compared, 0 differences\n")
    assert sorted(len(one["holdings"]) for one in statements) == [1, 1, 1]
    assert sum(one["totals"]["return_a_year"] is not None for one in statements) >= 2
    assert all(path.read_bytes().startswith(b"%PDF-") for path in folder.glob("*.pdf"))


def try_it(environment: dict[str, str]) -> int:
    """Pay as the printed lines say, at the port the running demo wrote down; return the status."""
    folder = Path(environment["AKIBA_DATA_DIR"]) / "demo"
    tenant = json.loads((folder / "state.json").read_text(encoding="utf-8"))["tenants"]["in-nps-lite"]
    said = (folder / "logs" / "server.log").read_text(encoding="utf-8")
    port = int(re.findall(r"127\.0\.0\.1:(\d+)", said)[-1])
    partner = Partner(Site("127.0.0.1", port, "in-nps-lite.localhost"), Credentials(**tenant["credentials"]), 1)
    body = {"member": tenant["guest"], "amount": "500", "currency": "INR", "channel": "upi", "reference": "TRY-1"}
    answer = partner.post("/v1/contributions", body, key="try-1")
    partner.close()
    return answer.status


def test_a_second_run_serves_what_is_there_until_it_is_told_to_stop(
    loaded: dict[str, Any], environment: dict[str, str]
) -> None:
    """It proves the books anew, prints links, secrets and ready lines, and ends in order on SIGINT."""
    with subprocess.Popen(
        [*_AKIBA, "demo", "run"],
        env=environment | {"AKIBA_PORT": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        said = ""
        deadline = time.monotonic() + 120
        while "Ctrl-C" not in said and time.monotonic() < deadline and process.poll() is None:
            said += process.stderr.readline()
        tried = try_it(environment)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)

    assert "Ctrl-C" in said, said + err
    assert "serving what is there" in said
    assert all(code in out for code in loaded["tenants"])
    assert out.count("no law broken") == len(loaded["tenants"])
    assert process.returncode == 0, err
    assert out.count("/staff/enter/") == len(loaded["tenants"])
    assert out.count("client_secret") >= len(loaded["tenants"])
    assert "curl -s http://in-nps-lite.localhost:" in out
    assert tried == 201

    again = run(environment, "demo", "run", "--once")

    assert again.returncode == 0, again.stderr  # what people did since is theirs, and does not disturb the proof


def test_a_demo_that_was_not_loaded_to_its_end_says_how_to_start_afresh(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "state.json").write_text('{"is_complete": false, "tenants": {}}', encoding="utf-8")
    done = run(environment, "demo", "run", "--once", AKIBA_DATA_DIR=str(tmp_path))

    assert done.returncode == 1
    assert "start afresh" in " ".join(done.stderr.split())


def test_a_demo_in_production_is_refused(environment: dict[str, str]) -> None:
    urls = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x",
        "DATABASE_OWNER_URL": "postgresql://nobody@127.0.0.1:1/x",
    }
    done = run(environment, "demo", "run", "--once", AKIBA_PROFILE="production", **urls)

    assert done.returncode == 2
    assert "production" in done.stderr
