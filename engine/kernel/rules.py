"""What every rule of a pack has in common. The kinds themselves belong to the capability that decides by them."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

RuleId = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{1,60}$")]


class Rule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """One rule of a rule book: a kind with parameters, effective from the date of the file that holds it.

    A kind subclasses this with `tag="its-name"`. `applies_by` says which date picks the version in force: the event's
    own business date, or the date the member joined the product. `source` names the page of law the figures are from.
    """

    id: RuleId
    source: str
    applies_by: Literal["event", "joining"] = "event"
