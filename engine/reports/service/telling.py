"""Decisions in sentences: what was decided and how it came out, by which rules, from what, in one language of a scheme.

Texts of a rule book, its sources and assumptions, are shown in the pack's own words unless its catalogues translate them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Literal

from engine.kernel.amounts import Amount, Asset, NotWholeUnits
from engine.kernel.errors import EngineError
from engine.kernel.text import N_
from engine.reports.rules.subjects import KINDS, WHAT
from engine.reports.rules.vocabulary import FACTS, PARAMETERS, VALUES, Term
from engine.reports.service.sheets import Letterhead
from engine.reports.service.wording import ORIGINS
from engine.runtime.locale import format_date, format_money, format_percent, format_whole
from engine.tenancy.rules.decided import DecisionExplained
from engine.tenancy.rules.explaining import RuleUsed, names_of
from engine.tenancy.service import Tenant

DONE = N_("{what}: decided on {day}.")
REFUSED = N_("{what}: refused on {day}. {refusal}")
CAME_OUT = N_("Result – {name}: {value}.")
GIVEN = N_("Given – {name}: {value}.")
BY_RULE = N_("Decided by “{rule}” ({kind}), in force from {day} – {parameters}.")
BY_JOINING = N_("Decided by “{rule}” ({kind}), in force for those who joined from {day} – {parameters}.")
BY_BIRTH = N_("Decided by “{rule}” ({kind}), in force for those born from {day} – {parameters}.")
PARAMETER = N_("{name}: {value}")
BY_UNKNOWN = N_("The rule {rule} decided; this pack version does not hold it.")
SOURCE = N_("Source: {source}")
SOURCE_QUOTED = N_("Source, in the words of the rule book: “{source}”")
_BY = {"joining": BY_JOINING, "birth": BY_BIRTH}
_IN_MAJOR = frozenset({"contribution", "state-match"})
"""Determinations whose inputs are amounts as they were sent; those of all others are in smallest units, as in events."""
_MISSING = "…"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
Money = Literal["minor", "major", "detail"]
"""How money is written where a value stands: in smallest units, in major units, or in major units among other numbers."""


@dataclass(frozen=True, slots=True)
class Teller:
    """Puts decisions and rules of one scheme into words of one language."""

    asset: Asset
    head: Letterhead
    names: Mapping[str, str]

    @classmethod
    def of(
        cls, tenant: Tenant, language: str | None, product: str = "", names: Mapping[str, str] | None = None
    ) -> "Teller":
        """Return who speaks for a scheme.

        Args:
            tenant: the scheme.
            language: one of its languages.
            product: whose pots are spoken of.
            names: what another version of the pack called its things, by code; where it names none, today's does.

        """
        head = Letterhead.of(tenant, language)
        own = {**names_of(tenant.pack.files, product), **(names or {})}
        return cls(
            tenant.asset, head, {**head.fund_names, **{code: head.words.gettext(name) for code, name in own.items()}}
        )

    def decision(self, found: DecisionExplained) -> tuple[str, ...]:
        """Return a decision in sentences: how it came out, then the rules with their sources, then what was given."""
        return (*self._outcome(found), *self._rules(found), *self._given(found))

    def refusal(self, code: str, details: Mapping[str, object]) -> str:
        """Return the sentence of a refusal, filled from `details`; the code itself where no refusal is called so now."""
        message = message_of(code)
        if not message:
            return code
        shown = {name: self._value(value, self._term(name), "detail") for name, value in details.items()}
        return self.say(message).format_map(_Filled(shown))

    def say(self, text: str) -> str:
        """Return a text of the engine in the language."""
        return str(self.head.words.gettext(text))

    def day(self, day: date) -> str:
        """Return a day as the locale writes it."""
        return format_date(day, self.head.locale)

    def fact(self, name: str, value: object, money: Money = "minor") -> tuple[str, str]:
        """Return what a fact is called, and its value in words; a name of several parts ("parts.savings.own") is called by each."""
        head, *rest = name.split(".")
        known = [term for part in (head, *rest) if (term := self._term(part)) and term.unit]
        term = known[-1] if known else self._term(head)
        label = " – ".join((self._label(head), *(self._word(part) for part in rest)))
        return label, self._value(value, term, money)

    def _outcome(self, found: DecisionExplained) -> Iterator[str]:
        what, day = self.say(WHAT.get(found.kind, _spelled(found.kind))), self.day(found.decided_on)
        if found.code:
            of_rules = {name: value for rule in found.rules for name, value in rule.values.items()}
            refusal = self.refusal(found.code, {**of_rules, **found.inputs, **found.outcome})
            yield self.say(REFUSED).format(what=what, day=day, refusal=refusal)
            return
        yield self.say(DONE).format(what=what, day=day)
        for name, value in found.outcome.items():
            if value not in ("", None):
                label, told = self.fact(name, value)
                yield self.say(CAME_OUT).format(name=label, value=told)

    def _given(self, found: DecisionExplained) -> Iterator[str]:
        money: Money = "major" if not found.is_event and found.kind in _IN_MAJOR else "minor"
        for name, value in found.inputs.items():
            if name != "product":
                label, told = self.fact(name, value, money)
                yield self.say(GIVEN).format(name=label, value=told)

    def _rules(self, found: DecisionExplained) -> Iterator[str]:
        for ref, rule in zip(found.refs, found.used, strict=True):
            if rule is None:
                yield self.say(BY_UNKNOWN).format(rule=ref)
                continue
            yield self._rule(rule)
            yield self.head.quoted(SOURCE, SOURCE_QUOTED, source=rule.source)
            if rule.assumption:
                yield self.head.assumed(rule.assumption)

    def _rule(self, rule: RuleUsed) -> str:
        parameters = "; ".join(self._parameter(name, value) for name, value in rule.values.items())
        return self.say(_BY.get(rule.applies_by, BY_RULE)).format(
            rule=rule.ref.partition("@")[0],
            kind=self.say(KINDS.get(rule.kind, _spelled(rule.kind))),
            day=self._text(rule.effective_from),
            parameters=parameters or "—",
        )

    def _parameter(self, name: str, value: object, above: Term | None = None) -> str:
        known = PARAMETERS.get(name)
        label = self.say(known.label) if known else self._word(name)
        told = self._value(value, known if known and known.unit else above or known, "major")
        return self.say(PARAMETER).format(name=label, value=told)

    def _value(self, value: object, term: Term | None, money: Money) -> str:
        if isinstance(value, Mapping):
            return ", ".join(self._parameter(name, one, term) for name, one in value.items())
        if isinstance(value, Sequence) and not isinstance(value, str):
            return " / ".join(self._value(one, term, money) for one in value)
        if isinstance(value, bool):
            return self.say(VALUES[str(value).lower()])
        if isinstance(value, int):
            is_share = term is not None and term.unit == "share"
            return format_percent(value, self.head.locale) if is_share else format_whole(value, self.head.locale)
        if isinstance(value, date):
            return self.day(value)
        text = str(value)
        return (self._number(text, term, money) if term else None) or self._text(text)

    def _number(self, text: str, term: Term, money: Money) -> str | None:
        try:
            number = Decimal(text)
        except InvalidOperation:
            return None
        if not term.unit or not number.is_finite():
            return None
        if term.unit == "money":
            return self._money(text, money)
        in_hundredths = {"share": -2, "percent": 0, "rate": 2}[term.unit]
        percent = number.scaleb(in_hundredths)
        decimals = max(0, -int(percent.as_tuple().exponent))
        return format_percent(int(percent.scaleb(decimals)), self.head.locale, decimals=decimals)

    def _money(self, text: str, money: Money) -> str | None:
        is_major = money == "major" or "." in text
        if money == "detail" and not is_major and self.asset.scale:
            return None
        try:
            minor = Amount.parse(text, self.asset).units if is_major or money == "detail" else int(text)
        except (NotWholeUnits, ValueError):
            return None
        return format_money(minor, self.asset.symbol, self.asset.scale, self.head.locale)

    def _text(self, text: str) -> str:
        if _DATE.fullmatch(text):
            return self.day(date.fromisoformat(text))
        if text.isascii() and text.isdigit():
            return format_whole(int(text), self.head.locale) if str(int(text)) == text else text
        if text in self.names:
            return self.names[text]
        if message_of(text):
            return self.refusal(text, {})
        known = ORIGINS.get(text) or VALUES.get(text)
        return self.say(known) if known else text

    def _term(self, name: str) -> Term | None:
        return FACTS.get(name) or PARAMETERS.get(name)

    def _label(self, name: str) -> str:
        term = self._term(name)
        return self.say(term.label) if term else self._word(name)

    def _word(self, name: str) -> str:
        """Return a part of a name: what the scheme calls it, an origin, a fact, or the name itself, such as a rule's id."""
        if name in self.names or name in ORIGINS:
            return self._text(name)
        term = self._term(name)
        if term:
            return self.say(term.label)
        return self.say(VALUES[name]) if name in VALUES else name.replace("_", " ")


class _Filled(dict[str, object]):
    """Details of a refusal: what an earlier release did not keep shows as left out."""

    def __missing__(self, key: str) -> str:
        return _MISSING


def message_of(code: str) -> str:
    """Return the text of the refusal that bears a code, in English; "" if none does."""
    if "." not in code:
        return ""
    return next((kind.message for kind in _refusals(EngineError) if kind.code == code), "")


def _refusals(kind: type[EngineError]) -> Iterator[type[EngineError]]:
    for one in kind.__subclasses__():
        yield one
        yield from _refusals(one)


def _spelled(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")
