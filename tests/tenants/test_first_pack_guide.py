"""The guide to a first pack, as a newcomer follows it: every command in order, from an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

from engine.app import CHECKS, KINDS, RUNNERS
from engine.tenancy.service import Tenants

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "first-pack.md"


def test_the_guide_works_as_it_stands(tmp_path: Path) -> None:
    blocks = re.findall(r"^```(sh|text)\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    script = "set -euo pipefail\n" + "".join(text for kind, text in blocks if kind == "sh")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        ["bash"], input=script, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    place, said = 0, done.stdout + done.stderr
    for line in (line for kind, text in blocks if kind == "text" for line in text.splitlines()):
        found = said.find(line, place)
        assert found >= 0, f"{line!r} is not said after what the guide shows before it"
        place = found + 1 if line in done.stdout else place
    assert (tmp_path / "rule-book.pdf").read_bytes().startswith(b"%PDF")
    assert [pack.code for pack in Tenants.load([tmp_path], KINDS, RUNNERS, checks=CHECKS).packs] == ["ug-smartlife"]
