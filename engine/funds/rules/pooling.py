"""What a scheme year's interest is paid from: the pool's income, then the reserve, then whoever tops up. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class YearSettled:
    """What a credited year came to, smallest units.

    `reserved` goes into the reserve, or comes out of it below zero; `topped_up` is what the sponsor gives, or gets back
    below zero; `short` is what nobody gives.
    """

    reserved: int
    topped_up: int
    short: int


def settle_year(*, income: int, credited: int, reserve: int, topped_up_before: int, tops_up: bool) -> YearSettled:
    """Return who pays for what a year was credited, net: its income, the reserve as far as it reaches, then the sponsor.

    Args:
        income: what there is to share out; below zero for a loss.
        credited: what members were credited, less what they gave or owe back; below zero where that is more.
        reserve: what was in the reserve before; below zero where a provisional year drew on it.
        topped_up_before: what the sponsor gave for the same year already: a surplus goes back to them first.
        tops_up: whether anybody gives what lacks.
    """
    after = reserve + income - credited
    if after < 0:
        topped_up, short = (-after, 0) if tops_up else (0, -after)
    else:
        topped_up, short = -min(after, max(topped_up_before, 0)), 0
    return YearSettled(reserved=income + topped_up - credited, topped_up=topped_up, short=short)
