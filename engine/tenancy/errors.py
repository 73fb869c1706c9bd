"""What tenancy refuses, and what can be wrong with a pack."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from engine.kernel.errors import Invalid, NotFound, Refused, Unavailable
from engine.kernel.text import N_


@dataclass(frozen=True, slots=True)
class PackProblem:
    """One thing wrong with a pack: in which file (relative to the pack), at which key, and why.

    `key` is dotted, rows count from 1: "channels[2].code"; it is "" for a file as a whole.
    """

    file: str
    key: str
    reason: str

    def __str__(self) -> str:
        """Return one line for people: "pack.toml: channels[2].code: ..."."""
        return ": ".join(part for part in (self.file, self.key, self.reason) if part)


def in_reading_order(problems: Iterable[PackProblem]) -> tuple[PackProblem, ...]:
    """Return the problems, each once, by file and key, row 10 after row 9."""

    def order(problem: PackProblem) -> tuple[object, ...]:
        rows = tuple((int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", problem.key))
        return problem.file, rows, problem.reason

    return tuple(sorted(set(problems), key=order))


class PackErrors(Exception):
    """A pack, or several, cannot be used; `problems` says everything that is wrong with each, by the pack's name."""

    def __init__(self, problems: Iterable[tuple[str, PackProblem]]) -> None:
        by_pack: dict[str, list[PackProblem]] = {}
        for pack, problem in problems:
            by_pack.setdefault(pack, []).append(problem)
        self.problems = tuple((pack, one) for pack in sorted(by_pack) for one in in_reading_order(by_pack[pack]))
        super().__init__(self.problems)

    @classmethod
    def of(cls, pack: str, problems: Iterable[PackProblem]) -> Self:
        """Return the errors of one pack."""
        return cls((pack, problem) for problem in problems)

    def __str__(self) -> str:
        """Return a line for each problem."""
        return "\n".join(f"{pack}{'/' if problem.file else ': '}{problem}" for pack, problem in self.problems)


class UnknownTenant(NotFound):
    """No tenant of that code, number or host name is served here."""

    code = "tenancy.unknown-tenant"
    message = N_("No scheme is served under this name.")


class UnknownProduct(NotFound):
    """The tenant has no product of that code."""

    code = "tenancy.unknown-product"
    message = N_("The scheme has no product {product}. It has: {allowed}.")


class UnknownPack(NotFound):
    """No pack of that code was loaded."""

    code = "tenancy.unknown-pack"
    message = N_("There is no pack {pack}. The packs loaded are: {allowed}.")


class TenantExists(Refused):
    """The tenant was created before."""

    code = "tenancy.tenant-exists"
    message = N_("The tenant {tenant} exists already.")


class CurrencyChanged(Refused):
    """The pack counts in another currency than the tenant's books."""

    code = "tenancy.currency-changed"
    message = N_("The books of {tenant} are kept in {booked}; the pack says {currency}.")


class UnknownDecision(NotFound):
    """The tenant has made no decision of that number."""

    code = "tenancy.unknown-decision"
    message = N_("The scheme has made no decision of this number.")


class UnknownSeries(NotFound):
    """The pack names no such reference series."""

    code = "tenancy.unknown-series"
    message = N_("The scheme has no series {series}. It has: {allowed}.")


class FiguresUnreadable(Invalid):
    """A file of figures is refused whole."""

    code = "tenancy.figures-unreadable"
    message = N_("The figures cannot be read: {reason}.")


class FigureStands(Refused):
    """Another value stands for the same days; a revision bears a later day of publication."""

    code = "tenancy.figure-stands"
    message = N_("The series {series} has {value} for {day} already; a revision has a later day of publication.")


class UnknownFigure(NotFound):
    """No figure of that number was proposed."""

    code = "tenancy.unknown-figure"
    message = N_("No figure of this number was proposed.")


class FigureDecided(Refused):
    """The figure was decided before."""

    code = "tenancy.figure-decided"
    message = N_("The figure was decided before: {state}.")


class UnknownProposal(NotFound):
    """No pack version of that number and hash was put forward."""

    code = "tenancy.unknown-proposal"
    message = N_("No such version of the rules was put forward.")


class PackDecided(Refused):
    """The pack version was decided on before."""

    code = "tenancy.pack-decided"
    message = N_("The version was decided on before: {state}.")


class PackOfOther(Refused):
    """The pack is another scheme's."""

    code = "tenancy.pack-of-other"
    message = N_("The pack {pack} is not the pack of {tenant}.")


class PackInForceTooEarly(Refused):
    """A pack version cannot decide days that have passed; rules that reach back say so by their own dates."""

    code = "tenancy.pack-in-force-too-early"
    message = N_(
        "A version cannot be in force from {day}: today is {today}. Rules that reach back bear their own dates."
    )


class PackNotStored(Unavailable):
    """A decision names a pack version that is not stored whole."""

    code = "tenancy.pack-not-stored"
    message = N_("The pack version {pack} is not stored, so the decision cannot be explained.")


class ClockRefused(Refused):
    """A production tenant keeps the time of its database."""

    code = "tenancy.clock-refused"
    message = N_("The clock of a scheme in production cannot be set.")


class ClockBackwards(Refused):
    """The scheme clock only goes forward."""

    code = "tenancy.clock-backwards"
    message = N_("The scheme clock stands at {now} and only goes forward; {to} is not after it.")


class ClockInUse(Refused):
    """The scheme has members whose records bear the database's time, so its clock cannot be taken over."""

    code = "tenancy.clock-in-use"
    message = N_("The scheme already has members' records under real time, so its clock cannot be set.")
