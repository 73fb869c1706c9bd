"""How a simulated counterparty lays out its files for us, and what goes wrong with them when it is told so."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from integrations.banking.file_drops.simulator import DropSite


class Misbehaviour(StrEnum):
    """What happens to one file. What is owed comes when the day passes, save for what was dropped."""

    LATE = "late"
    TWICE = "twice"
    REORDERED = "reordered"
    DROPPED = "dropped"
    WRONG_AMOUNT = "wrong-amount"
    HALF_A_FILE = "half-a-file"
    CORRECTED = "corrected"
    NEVER_SENT = "never-sent"


@dataclass
class Sender:
    """Lays files out at a site, each with the next misbehaviour that is planned for it and can happen to it.

    A file with a `wrong` version can be sent wrong (WRONG_AMOUNT), or wrong and then corrected (CORRECTED); one with an
    `invented` version, that tells of what never was (NEVER_SENT), before the right one.
    """

    site: DropSite
    planned: list[Misbehaviour] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    _until_next: list[tuple[str, bytes]] = field(default_factory=list)
    _until_tomorrow: list[tuple[str, bytes]] = field(default_factory=list)

    def misbehave(self, how: str, times: int = 1) -> None:
        """Plan a misbehaviour for each of the next `times` files; ValueError if there is none of that name."""
        self.planned += [Misbehaviour(how)] * times

    def send(self, name: str, raw: bytes, *, wrong: bytes | None = None, invented: bytes | None = None) -> None:
        """Lay a file out under `name`, or do with it what is planned."""
        how = self._next(has_wrong=wrong is not None, has_invented=invented is not None)
        earlier, self._until_next = self._until_next, []
        stem, dot, ending = name.rpartition(".")
        again = f"{stem}-2{dot}{ending}"
        if how is Misbehaviour.REORDERED:
            self._until_next = [(name, raw)]
        elif how is Misbehaviour.LATE:
            self._until_tomorrow.append((name, raw))
        elif how is Misbehaviour.HALF_A_FILE:
            self.site.put(name, raw[: len(raw) // 2])
            self._until_tomorrow.append((again, raw))
        elif how in (Misbehaviour.WRONG_AMOUNT, Misbehaviour.CORRECTED):
            assert wrong is not None
            self.site.put(name, wrong)
            if how is Misbehaviour.CORRECTED:
                self._until_tomorrow.append((again, raw))
        elif how is not Misbehaviour.DROPPED:
            if how is Misbehaviour.NEVER_SENT:
                assert invented is not None
                self.site.put(f"{stem}-0{dot}{ending}", invented)
            self.site.put(name, raw)
            if how is Misbehaviour.TWICE:
                self.site.put(again, raw)
        self._lay_out(earlier)

    def day_passes(self) -> None:
        """Lay out what was owed from the day before."""
        owed, self._until_tomorrow = [*self._until_next, *self._until_tomorrow], []
        self._until_next = []
        self._lay_out(owed)

    def _next(self, *, has_wrong: bool, has_invented: bool) -> Misbehaviour | None:
        if not self.planned:
            return None
        how = self.planned[0]
        needs_wrong = how in (Misbehaviour.WRONG_AMOUNT, Misbehaviour.CORRECTED)
        if (needs_wrong and not has_wrong) or (how is Misbehaviour.NEVER_SENT and not has_invented):
            return None
        self.counts[how] += 1
        return self.planned.pop(0)

    def _lay_out(self, files: list[tuple[str, bytes]]) -> None:
        for name, raw in files:
            self.site.put(name, raw)
