"""What a member may expect, in a reader's language: outlooks, what is promised, and all that is assumed."""

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal

from msgspec import Struct

from engine.benefits.rules import AnnuityAssumed, Illustration
from engine.kernel.text import N_
from engine.reports.service.expecting import Expectation
from engine.reports.service.sheets import Column, Figure, Letterhead, Table
from engine.runtime.locale import format_date, format_money, format_percent, format_units

OUTLOOKS: Mapping[str, str] = {
    "cautious": N_("Cautious"),
    "expected": N_("Expected"),
    "favourable": N_("Favourable"),
}
EVERY_MONTHS: Mapping[int, str] = {
    1: N_("Each month"),
    2: N_("Every two months"),
    3: N_("Each quarter"),
    6: N_("Each half-year"),
    12: N_("Each year"),
}
RETURNS: Mapping[str, str] = {"nominal": N_("Return a year"), "real": N_("Return a year above prices")}
_PERCENT_DECIMALS = 8


class Bar(Struct, frozen=True):
    """A bar of a chart: `text` names it with its figure, `percent` is its length beside the longest."""

    text: str
    percent: int


class Expected(Struct, frozen=True, kw_only=True):
    """The section of a statement: everything is text in one language, but for the lengths of bars."""

    title: str
    lead: str
    bars: tuple[Bar, ...]
    outlooks: Table
    promised: Table | None
    assumed: str
    assumptions: tuple[Figure, ...]
    notes: tuple[str, ...]


def expected_of(expectation: Expectation, letterhead: Letterhead, *, currency: str, scale: int) -> Expected:
    """Return what a member may expect in the letterhead's language; amounts in `currency` of `scale` decimals."""
    return _Writer(expectation, letterhead, currency, scale).expected()


class _Writer:
    def __init__(self, told: Expectation, head: Letterhead, currency: str, scale: int) -> None:
        self._told, self._head, self._currency, self._scale = told, head, currency, scale
        self._say: Callable[[str], str] = head.words.gettext

    def expected(self) -> Expected:
        told, _ = self._told, self._say
        longest = max(one.pot_today for one in told.illustrations) or 1
        return Expected(
            title=_("What you may expect"),
            lead=_(
                "If {amount} is paid each month until {day}. Amounts are in today's money: what they would buy today."
            ).format(amount=self._money(told.saving.amount), day=self._day(told.benefit_on)),
            bars=tuple(
                Bar(
                    f"{_(OUTLOOKS[one.outlook.name])}: {self._money(one.pot_today)}",
                    one.pot_today * 100 // longest,
                )
                for one in told.illustrations
            ),
            outlooks=self._outlooks(),
            promised=self._promised(),
            assumed=_("What is assumed"),
            assumptions=tuple(self._assumptions()),
            notes=tuple(self._notes()),
        )

    def _outlooks(self) -> Table:
        told, _ = self._told, self._say
        rule = told.rule
        shown: list[tuple[Column, Callable[[Illustration], str]]] = [
            (Column(_("Outlook")), lambda one: _(OUTLOOKS[one.outlook.name])),
            (
                Column(_(RETURNS[rule.returns]), is_figure=True),
                lambda one: self._percent(getattr(rule, f"{one.outlook.name}_percent")),
            ),
            (Column(_("Savings"), is_figure=True), lambda one: self._money(one.pot_today)),
        ]
        if rule.annuity is not None:
            if rule.lump_bp:
                shown.append((Column(_("Paid at once"), is_figure=True), lambda one: self._money(one.lump_today)))
            every = EVERY_MONTHS[12 // rule.annuity.payments_a_year]
            shown.append((Column(_(every), is_figure=True), lambda one: self._money(one.income_today)))
        return Table(
            caption=_("What your savings may come to by {day}").format(day=self._day(told.benefit_on)),
            columns=tuple(column for column, _value in shown),
            rows=tuple(tuple(value(one) for _column, value in shown) for one in told.illustrations),
            note=_("An estimate, not a promise: it may turn out better or worse."),
        )

    def _promised(self) -> Table | None:
        told, _ = self._told, self._say
        if not told.promises:
            return None
        has_choice = any(one.choice for one in told.promises)
        return Table(
            caption=_("What the scheme promises from {day}").format(day=self._day(told.benefit_on)),
            columns=(
                *([Column(_("Your choice"))] if has_choice else []),
                Column(_(EVERY_MONTHS[told.every_months]), is_figure=has_choice),
                Column(_("In today's money"), is_figure=True),
            ),
            rows=tuple(
                (
                    *([" · ".join(one.choice)] if has_choice else []),
                    self._money(one.amount),
                    self._money(one.amount_today),
                )
                for one in told.promises
            ),
        )

    def _assumptions(self) -> Iterator[Figure]:
        told, _ = self._told, self._say
        rule = told.rule
        yield Figure(_("Prices rise a year by"), self._percent(rule.inflation_percent))
        yield Figure(_("Charges a year"), format_percent(rule.charges_bp, self._head.locale))
        yield Figure(_("What you pay rises a year by"), self._percent(rule.contributions_rise_percent))
        if told.match:
            yield Figure(_("Added by others until then"), self._money(sum(told.match)))
        if rule.annuity is not None:
            yield Figure(_("Paid out"), self._paid_out(rule.annuity))
            yield Figure(_("Return a year while it is paid out"), self._percent(rule.annuity.percent))
            yield Figure(_("What is paid out rises a year by"), self._percent(rule.annuity.rise_percent))

    def _paid_out(self, annuity: AnnuityAssumed) -> str:
        years = self._head.words.ngettext(
            "for {count} year", "for {count} years", annuity.years or annuity.guaranteed_years
        )
        if annuity.years is not None:
            return years.format(count=self._number(annuity.years))
        parts = [self._say(N_("for life"))]
        if annuity.to_spouse_bp is not None:
            share = format_percent(annuity.to_spouse_bp, self._head.locale)
            parts.append(self._say(N_("then {share} to a spouse")).format(share=share))
        if annuity.guaranteed_years:
            least = years.format(count=self._number(annuity.guaranteed_years))
            parts.append(self._say(N_("at least {years}")).format(years=least))
        return " · ".join(parts)

    def _notes(self) -> Iterator[str]:
        rule, _ = self._told.rule, self._say
        if rule.assumption:
            yield _("Assumed: {assumption}").format(assumption=rule.assumption)
        yield _("Source: {source}").format(source=rule.source)

    def _percent(self, percent: str) -> str:
        scaled = int(Decimal(percent).scaleb(_PERCENT_DECIMALS))
        return format_percent(scaled, self._head.locale, decimals=_PERCENT_DECIMALS)

    def _number(self, count: int) -> str:
        return format_units(count, 0, self._head.locale)

    def _day(self, day: date) -> str:
        return format_date(day, self._head.locale)

    def _money(self, minor: int) -> str:
        return format_money(minor, self._currency, self._scale, self._head.locale)
