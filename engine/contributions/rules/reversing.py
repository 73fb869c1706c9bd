"""What a member owes of a payment that is taken back after it bought units. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Owed:
    """Units that a payment bought for one pot of one fund, and how many of them the member still holds (0 to `bought`)."""

    pot: str
    fund: str
    bought: int
    left: int


def parts_left(pots: Mapping[str, int], by_fund: Mapping[str, int], units: Sequence[Owed]) -> dict[str, int]:
    """Return by pot what the member owes: what was paid in for the units that they no longer hold.

    A pot's money bought of each fund in the payment's own shares, each part rounded down and the rest to the first fund
    by code; of a part, the share of the units that are gone is owed, rounded down. The price since then does not count:
    a member owes no gain and is forgiven no loss.

    Args:
        pots: what the payment put into each pot, in smallest units of money.
        by_fund: what of the payment went into each fund.
        units: what was bought, and what of it is left; parts that bought nothing are left out, and nothing is owed for them.
    """
    whole = sum(by_fund.values())
    owed = dict.fromkeys(pots, 0)
    for pot, amount in pots.items():
        parts = {fund: amount * part // whole for fund, part in by_fund.items()}
        parts[min(parts)] += amount - sum(parts.values())
        for one in units:
            if one.pot == pot:
                assert 0 <= one.left <= one.bought, one
                owed[pot] += parts[one.fund] * (one.bought - one.left) // one.bought
    return owed
