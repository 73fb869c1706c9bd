"""One life, shortened to a year past its first change of law, run as people run it and held against the hand calculation."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from demo.life_story import Life
from tests.journeys.conftest import ROOT

_AKIBA = [sys.executable, "-c", "from engine.cli import main; main()"]


@pytest.mark.timeout(600)
def test_six_years_of_a_life_are_what_the_hand_calculation_says(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AKIBA_", "DATABASE_"))}
    done = subprocess.run(
        [*_AKIBA, "demo", "life", "--pack", "in-apy", "--years", "6", "--out", str(tmp_path / "out")],
        check=False,
        capture_output=True,
        text=True,
        env=kept | {"AKIBA_DATA_DIR": str(tmp_path / "data"), "PYTHONPATH": str(ROOT), "COLUMNS": "160"},
        cwd=ROOT,
        timeout=580,
    )
    assert done.returncode == 0, done.stderr
    compared = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            str(ROOT / "tests/golden/life_in_apy.py"),
            "--compare",
            str(tmp_path / "out/life.json"),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    assert compared.returncode == 0, compared.stdout
    assert compared.stdout.endswith(" figures compared, 0 differences\n")

    life = msgspec.json.decode((tmp_path / "out/life.json").read_bytes(), type=Life)
    told = [one.what for one in life.events]
    assert sum(int(one.figures.get("instalments", 0)) for one in life.events) == 72
    assert {"joined", "caught-up", "pension-changed", "dealt"} <= set(told)
    laws = [one.rule for one in life.events if one.what == "caught-up"]
    assert laws == ["late-charge@2015-06-01", "late-charge@2016-04-01"], "the charge changed by law in between"
    with (tmp_path / "out/life.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(told)
    assert (tmp_path / "out/life.svg").read_text(encoding="utf-8").count("<circle") == len(
        [one for one in told if one not in ("instalment", "dealt")]
    )
    assert "2018-09-18" in done.stdout
    assert "akiba check finds nothing" in done.stdout
