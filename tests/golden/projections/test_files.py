"""The hand calculation and its files belong together."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("figures.json", []), ("standard_ultimate_q.csv", ["--mortality"])],
    ids=["figures", "mortality"],
)
def test_a_file_is_what_the_script_says(name: str, arguments: list[str]) -> None:
    """The script runs as it stands, with none of our folders in reach."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(HERE / "by_hand.py"), *arguments], check=True, capture_output=True, text=True
    )
    assert done.stdout == (HERE / name).read_text(encoding="utf-8")
