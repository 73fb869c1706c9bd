"""Composition of the sandbox: every adapter's simulator as a server of this machine, and the settings that join them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import tomli_w

from engine.runtime.exchanges.transport import open_transport
from engine.runtime.private_files import write_private
from engine.tenancy.rules import Pack

BRISK = {
    "first_wait": 0.5, "longest_wait": 5.0, "lease": 30.0, "answer_seconds": 3.0, "breaks_for": 2.0,
}  # fmt: skip
"""The pace of simulators, which take no time and no offence."""

Settings = dict[str, dict[str, dict[str, object]]]


@asynccontextmanager
async def open_sandbox(packs: Sequence[Pack], *, port: int, settle_seconds: float) -> AsyncIterator[Settings]:
    """Serve the simulator of every channel that a pack joins; yield the tables of the secrets file.

    Args:
        packs: the schemes.
        port: of the first simulator, the others follow; 0 for free ones.
        settle_seconds: how long a payer takes to decide.
    """
    installed = {point.name: point for point in entry_points(group="akiba.Sandbox")}
    settings: Settings = {}
    async with AsyncExitStack() as stack:
        transport = await stack.enter_async_context(open_transport(seconds=10))
        for pack in packs:
            for channel in pack.channels:
                if channel.adapter not in installed:
                    continue
                made: Any = installed[channel.adapter].load()(
                    transport, country=pack.manifest.country, currency=pack.currency, settle_seconds=settle_seconds
                )
                url = await stack.enter_async_context(made.serve(port))
                port += 1 if port else 0
                settings.setdefault(pack.code, {})[channel.code] = {**made.credentials(url), "pace": BRISK}
        yield settings


async def run_sandbox(
    packs: Sequence[Pack], *, port: int, settle_seconds: float, write: Path | None, tell: Any
) -> None:
    """Serve until cancelled; `tell` is given the settings as TOML, or `write` gets them for its owner's eyes alone."""
    async with open_sandbox(packs, port=port, settle_seconds=settle_seconds) as settings:
        text = tomli_w.dumps(settings)
        if write is None:
            tell(text)
        else:
            await asyncio.to_thread(write_private, write, text.encode())
        await asyncio.Event().wait()
