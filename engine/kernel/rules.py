"""What every rule of a pack has in common. The kinds themselves belong to the capability that decides by them."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated, ClassVar, Literal, Self, get_args

from msgspec import Meta, Struct

RuleId = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{1,60}$")]
Confidence = Literal["high", "medium", "low"]
AppliesBy = Literal["event", "joining", "birth", "tranche", "scheme-year", "benefit-start", "death"]
BY_EVENT: tuple[AppliesBy, ...] = ("event",)
BY_YEAR: tuple[AppliesBy, ...] = ("event", "scheme-year")
BY_COHORT: tuple[AppliesBy, ...] = ("event", "joining", "scheme-year")
"""What rules may apply by that decide for a day, for a scheme year, and for all members at once by stretches of joining days."""


class Rule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """One rule of a rule book: a kind with parameters, effective from the date of the file that holds it.

    A kind subclasses this with `tag="its-name"`. `applies_by` says which date picks the version in force: the event's
    own business date, the day the member joined the product or was born, the day a contribution tranche was paid, the
    first day of the scheme year, the start of the benefit, or the day of death. `source` names the page of law the
    figures are from; `confidence` how far it settles them. Where that is low, `assumption` says in words what was
    assumed, and is shown wherever the figures are. `is_carried_out` is False of a kind that is kept, proven and explained,
    and that no use case obeys yet: the check of a pack says so. `may_apply_by` are the dates that its use cases know of every
    case: a version or a repeal by another date is refused. A kind of many rules of which a case asks one names in `one_for` the
    figures by which it is found: two rules that share a value in each of them overlap, and are refused.
    """

    is_carried_out: ClassVar[bool] = True
    may_apply_by: ClassVar[tuple[AppliesBy, ...]] = get_args(AppliesBy)
    one_for: ClassVar[tuple[str, ...]] = ()

    id: RuleId
    source: str
    confidence: Confidence
    assumption: str = ""
    applies_by: AppliesBy = "event"

    def overlaps(self, other: Self) -> bool:
        """Return whether this rule and another of its kind, both in force, could decide the same case: by `one_for`."""
        return bool(self.one_for) and all(_values(self, name) & _values(other, name) for name in self.one_for)


def _values(rule: Rule, name: str) -> set[object]:
    value = getattr(rule, name)
    return set(value) if isinstance(value, tuple) else {value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dates:
    """The dates of one decision, by which versions of rules are picked. Those that no rule asks for may be None."""

    on: date
    joined_on: date | None = None
    born_on: date | None = None
    tranche_on: date | None = None
    scheme_year_from: date | None = None
    benefit_from: date | None = None
    died_on: date | None = None

    def by(self, applies_by: AppliesBy) -> date | None:
        """Return the date that rules which apply by `applies_by` are picked by, or None where it was not given."""
        return {
            "event": self.on,
            "joining": self.joined_on,
            "birth": self.born_on,
            "tranche": self.tranche_on,
            "scheme-year": self.scheme_year_from,
            "benefit-start": self.benefit_from,
            "death": self.died_on,
        }[applies_by]
