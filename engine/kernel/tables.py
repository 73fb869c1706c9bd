"""Look-up tables that schemes publish: contribution charts, annuity factors. Stored as published, never recomputed."""

from collections.abc import Mapping
from dataclasses import dataclass

from engine.kernel.errors import Refused
from engine.kernel.text import N_


class TableValueMissing(Refused):
    """A table of the scheme has no value for what was asked."""

    code = "engine.table-value-missing"
    message = N_("The table {table} has nothing for {keys}.")


@dataclass(frozen=True, slots=True)
class LookupTable:
    """A table as published: `rows` by the texts of the key columns, each a text by column."""

    code: str
    keys: tuple[str, ...]
    rows: Mapping[tuple[str, ...], Mapping[str, str]]

    def text(self, column: str, **keys: object) -> str:
        """Return what stands in `column` of the row whose key columns hold these values, compared as text.

        Raises:
            TableValueMissing: no such row, or nothing stands there.
        """
        assert keys.keys() == set(self.keys), (keys, self.keys)
        found = self.rows.get(tuple(str(keys[name]) for name in self.keys), {}).get(column, "")
        if not found:
            asked = ", ".join(f"{name} {value}" for name, value in keys.items())
            raise TableValueMissing(table=self.code, keys=f"{asked}: {column}")
        return found
