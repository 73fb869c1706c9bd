"""Other people's clients, each run in an environment of its own: `AKIBA_CONFORMANCE_MESSAGING` names the one that
requirements/conformance-messaging.txt was installed into."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

ENVIRONMENT = Path(
    os.environ.get("AKIBA_CONFORMANCE_MESSAGING", Path(__file__).parents[3] / ".akiba" / "conformance" / "messaging")
)


async def run_oracle(package: str, program: str, *arguments: str) -> str:
    """Return what `program` prints when it runs where `package` is installed; skip, with its name, where it is not."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{package} is not installed: {ENVIRONMENT} has no environment")
    absent, _, _ = await _run(
        python, f"import importlib.util, sys; sys.exit(importlib.util.find_spec('{package}') is None)"
    )
    if absent:
        pytest.skip(f"{package} is not installed in {ENVIRONMENT}")
    code, out, errors = await _run(python, program, *arguments)
    assert code == 0, errors
    return out


async def _run(python: Path, program: str, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        str(python), "-W", "ignore", "-c", program, *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ.get("PATH", ""), "NO_PROXY": "*"},
    )  # fmt: skip
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode(), errors.decode(sys.getdefaultencoding(), "replace")
