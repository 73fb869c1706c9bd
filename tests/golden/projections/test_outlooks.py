"""Every pack's examples of what to expect are what the hand calculation says."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PACKS = sorted(
    {
        file.parents[1]
        for folder in (ROOT / "tenants", ROOT / "tests" / "packs")
        for file in folder.glob("*/scenarios/*.toml")
        if 'kind = "projection"' in file.read_text(encoding="utf-8")
    }
)


def test_there_are_packs_that_say_what_to_expect() -> None:
    assert len(PACKS) >= 5


@pytest.mark.parametrize("pack", PACKS, ids=lambda pack: pack.name)
def test_a_packs_examples_are_what_the_hand_calculation_says(pack: Path) -> None:
    """The script runs as it stands, with none of our folders in reach."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(HERE / "outlooks_by_hand.py"), str(pack)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.count("as expected") > 0
    assert "expected, but" not in done.stdout
