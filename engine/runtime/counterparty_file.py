"""Where counterparties are asked and what they are entered with: one file, apart from packs and database.

The file is TOML of mode 0600, a table for each channel of each tenant; the channel's adapter says what is in it:

    [xx-scheme.wallet]
    base_url = "https://..."
    ...
    pace = { per_second = 5, answer_seconds = 20 }    # optional: how it is called, see `engine.runtime.exchanges.pacing`

Without the file nobody is asked: payments are only reported.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from engine.runtime.exchanges.pacing import Pace
from engine.runtime.private_files import is_private

_PACE = "pace"
Shape = TypeVar("Shape", bound=Struct)


class CounterpartiesUnavailable(Exception):
    """The file of counterparties is unsafe or cannot be used; the message names the place and repeats no secret."""


class CounterpartyFile:
    """The tables of the file, each read in the shape of whoever it is for."""

    def __init__(self, path: Path) -> None:
        """Read the file, if there is one.

        Raises:
            CounterpartiesUnavailable: others may read it, or it is no TOML of tables by tenant and channel.
        """
        self.path = path
        self._tables = self._read() if path.exists() else {}

    def __repr__(self) -> str:
        return f"CounterpartyFile({self.path})"

    def has(self, tenant: str, channel: str) -> bool:
        """Return whether there is a table of that channel."""
        return channel in self._tables.get(tenant, {})

    def names(self, tenant: str, *, having: str) -> list[str]:
        """Return the names of the tenant's tables that have a key."""
        return sorted(name for name, table in self._tables.get(tenant, {}).items() if having in table)

    def credentials(self, tenant: str, channel: str, shape: type[Shape]) -> Shape:
        """Return what a channel's counterparty is entered with.

        Raises:
            CounterpartiesUnavailable: a key is missing, unknown or of the wrong form.
        """
        table = {key: value for key, value in self._tables[tenant][channel].items() if key != _PACE}
        return self._converted(table, shape, f"{tenant}.{channel}")

    def nested(self, tenant: str, channel: str, key: str, shape: type[Shape]) -> Shape:
        """Return a table inside a channel's table; raises as `credentials`."""
        return self._converted(self._tables[tenant][channel].get(key, {}), shape, f"{tenant}.{channel}.{key}")

    def pace(self, tenant: str, channel: str) -> Pace:
        """Return how a channel's counterparty is called.

        Raises:
            CounterpartiesUnavailable: a key is unknown or of the wrong form.
        """
        return self._converted(self._tables[tenant][channel].get(_PACE, {}), Pace, f"{tenant}.{channel}.{_PACE}")

    def _converted(self, table: object, shape: type[Shape], where: str) -> Shape:
        try:
            return msgspec.convert(table, shape)
        except msgspec.ValidationError as error:
            raise CounterpartiesUnavailable(f"{self.path}: {where}: {error}") from None

    def _read(self) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
        if not is_private(self.path):
            raise CounterpartiesUnavailable(f"{self.path} holds secrets and others may read it; run chmod 600 on it")
        try:
            table = tomllib.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise CounterpartiesUnavailable(f"{self.path} cannot be read: {type(error).__name__}") from None
        except tomllib.TOMLDecodeError as error:
            raise CounterpartiesUnavailable(f"{self.path}: {error}") from None
        for tenant, channels in table.items():
            if not isinstance(channels, dict) or not all(isinstance(one, dict) for one in channels.values()):
                raise CounterpartiesUnavailable(f"{self.path}: {tenant} must hold a table for each channel")
        return table
