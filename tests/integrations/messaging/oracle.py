"""Other people's clients, each run in an environment of its own."""

import asyncio
import os
import sys
from pathlib import Path

from tests.conformance.places import python_of


async def run_oracle(program: str, *arguments: str) -> str:
    """Return what `program` prints in the environment of other people's clients for messages; skip where it is not."""
    code, out, errors = await _run(python_of("messaging"), program, *arguments)
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
