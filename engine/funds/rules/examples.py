"""How a pack's worked examples say what is given, read by type. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeVar

from engine.kernel.amounts import Amount, Asset
from engine.tenancy.rules.proving import MissingInput, ScenarioContext
from engine.tenancy.rules.scenarios import flat_text

Default = TypeVar("Default")


@dataclass(frozen=True, slots=True)
class Given:
    """The inputs of an example, or one table of them; `where` is its dotted place, which MissingInput names."""

    values: Mapping[str, object]
    asset: Asset
    where: str = ""

    @classmethod
    def of(cls, context: ScenarioContext) -> "Given":
        """Return the inputs of an example."""
        return cls(context.given, context.asset)

    def has(self, name: str) -> bool:
        """Return whether something is given under this name."""
        return name in self.values

    def text(self, name: str, default: str | None = None) -> str:
        """Return what is given as text; MissingInput where it is not and there is no default."""
        return flat_text(self.values[name]) if name in self.values else self._absent(name, default)

    def minor(self, name: str, default: int | None = None) -> int:
        """Return an amount given in major units, in smallest units of the scheme's money."""
        if name not in self.values:
            return self._absent(name, default)
        return Amount.parse(self.text(name), self.asset).units

    def whole(self, name: str, default: int | None = None) -> int:
        """Return a whole number."""
        return int(self.text(name)) if name in self.values else self._absent(name, default)

    def flag(self, name: str, default: bool = False) -> bool:
        """Return whether true is given."""
        return bool(self.values.get(name, default))

    def day(self, name: str, default: date | None = None) -> date:
        """Return a date, not an instant."""
        value = self.values.get(name)
        if isinstance(value, date) and not isinstance(value, datetime):
            return value
        return self._absent(name, default)

    def maybe_day(self, name: str) -> date | None:
        """Return a date, or None where none is given."""
        return self.day(name) if name in self.values else None

    def instant(self, name: str) -> datetime:
        """Return an instant, as TOML writes one."""
        value = self.values.get(name)
        return value if isinstance(value, datetime) else self._absent(name, None)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts; none where it is not given."""
        value = self.values.get(name, ())
        return tuple(flat_text(one) for one in value) if isinstance(value, list | tuple) else self._absent(name, None)

    def days(self, name: str) -> tuple[date, ...]:
        """Return a list of dates; none where it is not given."""
        return tuple(date.fromisoformat(one) for one in self.texts(name))

    def table(self, name: str) -> Mapping[str, str]:
        """Return a table of texts; an empty one where it is not given."""
        value = self.values.get(name, {})
        if not isinstance(value, Mapping):
            return self._absent(name, None)
        return {str(key): flat_text(one) for key, one in value.items()}

    def inner(self, name: str) -> "Given":
        """Return a table of inputs; an empty one where it is not given."""
        value = self.values.get(name, {})
        return Given(value if isinstance(value, Mapping) else {}, self.asset, f"{self.where}{name}.")

    def amounts(self, name: str) -> Mapping[str, int]:
        """Return a table of amounts in smallest units; an empty one where it is not given."""
        return {key: Amount.parse(one, self.asset).units for key, one in self.table(name).items()}

    def rows(self, name: str) -> "tuple[Given, ...]":
        """Return a list of tables; none where it is not given."""
        value = self.values.get(name, ())
        if not isinstance(value, list | tuple):
            return self._absent(name, None)
        return tuple(
            Given(one if isinstance(one, Mapping) else {}, self.asset, f"{self.where}{name}[{row}].")
            for row, one in enumerate(value, 1)
        )

    def _absent(self, name: str, default: Default | None) -> Default:
        if default is None:
            raise MissingInput(f"{self.where}{name}")
        return default


def in_major(minor: int, asset: Asset) -> str:
    """Return an amount of smallest units as examples write it: in major units, with all its decimals."""
    return f"{Amount(minor, asset).decimal():.{asset.scale}f}"
