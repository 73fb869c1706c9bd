"""What became of a message after it was accepted, told by reports that come late, twice and in any order."""

from enum import StrEnum


class DeliveryState(StrEnum):
    """How far a message is known to have come. Read and failed are final; delivered becomes read at most."""

    UNDER_WAY = "under-way"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"


_ORDER = (DeliveryState.UNDER_WAY, DeliveryState.FAILED, DeliveryState.DELIVERED, DeliveryState.READ)


def furthest(known: DeliveryState, told: DeliveryState) -> DeliveryState:
    """Return the state after one more report.

    A message that reached its reader cannot have failed: providers try again after a failure they reported, and
    reports overtake each other; so delivered and read win over failed, whichever came first. The order in which
    reports come, and their number, therefore never matter.
    """
    return max(known, told, key=_ORDER.index)
