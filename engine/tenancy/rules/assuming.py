"""What figures rest on that the sources of their rules do not settle: shown wherever the figures are."""

from collections.abc import Container, Iterable

from msgspec import Struct

from engine.kernel.rules import Dates, Rule
from engine.tenancy.rules.books import InForce, RuleBook


class Assumption(Struct, frozen=True):
    """What was assumed, in the words of the rule book, where the source does not settle it; `rule` is the version."""

    rule: str
    assumed: str
    source: str


def assumptions_of(rules: Iterable[InForce[Rule]]) -> tuple[Assumption, ...]:
    """Return what rules assume, each once, in their order; nothing of those that their sources settle."""
    found = (Assumption(one.ref, one.rule.assumption, one.rule.source) for one in rules if one.rule.assumption)
    return tuple(dict.fromkeys(found))


def assumptions_on(book: RuleBook, kinds: Container[str], dates: Dates) -> tuple[Assumption, ...]:
    """Return what the rules of some kinds assume that decide by `dates`.

    Of a kind whose rules apply by a date that is not known here, the newest rules say it.
    """
    latest = [one for one in book.latest() if type(one.rule).__struct_config__.tag in kinds]
    found: list[InForce[Rule]] = []
    for kind in dict.fromkeys(type(one.rule) for one in latest):
        try:
            found += book.all_in_force(kind, dates)
        except ValueError:
            found += [one for one in latest if type(one.rule) is kind]
    return assumptions_of(found)


def assumptions_behind(book: RuleBook | None, refs: Iterable[str]) -> tuple[Assumption, ...]:
    """Return what the versions that a decision names assume; those that the book does not hold say nothing here."""
    versions = {} if book is None else {one.ref: one for one in book.versions()}
    return assumptions_of(versions[ref] for ref in refs if ref in versions)
