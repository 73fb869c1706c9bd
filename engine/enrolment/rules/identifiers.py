"""Numbers of identity documents over time: who held one on a day, and what may change about what somebody holds. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from engine.enrolment.errors import NumberFromUnusable


class NumberAct(StrEnum):
    """What a change does: another kind of document, another number of a kind, or none of that kind any more."""

    ADDED = "added"
    REPLACED = "replaced"
    ENDED = "ended"


class NumberChangeState(StrEnum):
    """Where a change of a number stands.

    PROPOSED: a second person must approve. CONTESTED: another member is known by the number, and a person must find whether
    the two are one. FOUND: they have, and another person must approve. APPLIED: the member holds it. SAME_PERSON: the two
    members are one person, no number moved. REJECTED: nothing changed.
    """

    PROPOSED = "proposed"
    CONTESTED = "contested"
    FOUND = "found"
    APPLIED = "applied"
    SAME_PERSON = "same-person"
    REJECTED = "rejected"


OPEN_CHANGES = (NumberChangeState.PROPOSED, NumberChangeState.CONTESTED, NumberChangeState.FOUND)


@dataclass(frozen=True, slots=True)
class Held:
    """That a member held a number: from a day on, up to and without `to_on` (None: until now)."""

    member_id: int
    from_on: date
    to_on: date | None = None

    def holds(self, on: date) -> bool:
        """Return whether it was held on a day."""
        return self.from_on <= on and (self.to_on is None or on < self.to_on)


def holder_on(periods: Sequence[Held], known: int | None, on: date) -> int | None:
    """Return who held a number on a day; None where nobody did.

    Args:
        periods: when it was held, as far as that ever changed.
        known: who is known by it now. Where no period is theirs they hold it since the last of the others ended, or,
            where there is no other, since ever.
        on: the day.
    """
    for one in periods:
        if one.holds(on):
            return one.member_id
    if known is None or any(one.member_id == known for one in periods):
        return None
    return known if all(one.to_on is not None and one.to_on <= on for one in periods) else None


def check_from(on: date, *, today: date, held_since: date | None) -> None:
    """Refuse a change that is still to come, or that begins before what it ends.

    Args:
        on: the first day of the new number, or the first without the old one.
        today: the scheme's day.
        held_since: since when what the change ends is held; None where it ends nothing.

    Raises:
        NumberFromUnusable: see there.
    """
    if on > today or (held_since is not None and on < held_since):
        raise NumberFromUnusable(
            field="from_on", after=held_since.isoformat() if held_since else "", until=today.isoformat()
        )
