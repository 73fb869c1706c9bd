"""The guide to a first pack, as a newcomer follows it: every command in order, from an empty folder."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

from engine.app import CHECKS, KINDS, RUNNERS
from engine.tenancy.service import Tenants

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "first-pack.md"


def engine_files() -> dict[Path, str]:
    """Return the digest of each of the engine's files."""
    files = (path for path in (ROOT / "engine").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_guide_works_as_it_stands(tmp_path: Path) -> None:
    blocks = re.findall(r"^```(sh|text)\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    script = "set -euo pipefail\n" + "".join(text for kind, text in blocks if kind == "sh")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    before = engine_files()
    done = subprocess.run(
        ["bash"], input=script, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    assert len(before) > 300
    assert engine_files() == before, "a pack is data: the engine stays as it is"

    place, said = 0, done.stdout + done.stderr
    for line in (line for kind, text in blocks if kind == "text" for line in text.splitlines()):
        found = said.find(line, place)
        assert found >= 0, f"{line!r} is not said after what the guide shows before it"
        place = found + 1 if line in done.stdout else place
    assert (tmp_path / "rule-book.pdf").read_bytes().startswith(b"%PDF")
    assert [pack.code for pack in Tenants.load([tmp_path], KINDS, RUNNERS, checks=CHECKS).packs] == ["ug-smartlife"]
