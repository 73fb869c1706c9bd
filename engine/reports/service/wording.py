"""A statement in a reader's language: every figure and label as text, for the page and for the printed sheet alike."""

from collections.abc import Callable, Iterator, Mapping
from datetime import date

from msgspec import Struct

from engine.benefits.rules import Promised
from engine.kernel.text import N_
from engine.reports.rules import LABELS, Line, LineState, NoReturn, Statement
from engine.reports.service.expected_words import Expected, expected_of
from engine.reports.service.expecting import Expectation
from engine.reports.service.sheets import Assumed, Column, Figure, Letterhead, Table
from engine.runtime.locale import format_date, format_money, format_percent, format_price, format_units

STATES: Mapping[LineState, str] = {
    LineState.RECEIVED: N_("received"),
    LineState.RECONCILED: N_("confirmed"),
    LineState.INVESTED: N_("invested"),
    LineState.REVERSED: N_("reversed"),
}
ORIGINS: Mapping[str, str] = {
    "own": N_("own savings"),
    "employer": N_("employer"),
    "state-match": N_("government match"),
    "gift": N_("gift"),
    "insurer": N_("insurer"),
    "operator": N_("scheme operator"),
}
WHY_NO_RETURN: Mapping[NoReturn, str] = {
    NoReturn.NO_PAYMENTS: N_("There is no yearly return to show: nothing has been paid in yet."),
    NoReturn.TOO_SHORT: N_("The yearly return is shown from 30 days after the first payment on."),
    NoReturn.NOTHING_INVESTED: N_("There is no yearly return to show: no money is invested yet."),
    NoReturn.UNDEFINED: N_("No yearly return can be worked out from these payments."),
}
NO_INTEREST = N_("There is no yearly return to show: no interest has been added yet.")
NONE = "–"


class Sheet(Struct, frozen=True, kw_only=True):
    """A statement as it is read: everything is text in one language.

    `year` holds the items of the scheme year, `conditional` what a later choice gives, `expected` what the member may expect, `assumed` what the figures rest on where
    the sources do not settle it; each where there is any.
    """

    language: str
    scheme: str
    title: str
    subtitle: str
    person: tuple[Figure, ...]
    balance: Figure
    figures: tuple[Figure, ...]
    year: Table | None
    holdings: Table | None
    conditional: Table | None
    expected: Expected | None
    payments: Table
    notes: tuple[str, ...]
    assumed: Assumed | None
    page: str


def sheet_of(
    statement: Statement, letterhead: Letterhead, *, person_name: str = "", expectation: Expectation | None = None
) -> Sheet:
    """Return the statement in the letterhead's language. `person_name` stands on it where it is given."""
    return _Writer(statement, letterhead).sheet(person_name, expectation)


class _Writer:
    def __init__(self, statement: Statement, letterhead: Letterhead) -> None:
        self._statement, self._head = statement, letterhead
        self._say: Callable[[str], str] = letterhead.words.gettext

    def sheet(self, person_name: str, expectation: Expectation | None) -> Sheet:
        statement, _ = self._statement, self._say
        day = self._day(statement.as_of)
        return Sheet(
            language=self._head.language,
            scheme=self._head.scheme,
            title=_("Statement of your savings"),
            subtitle=_("At the end of {day}").format(day=day),
            person=(
                *([Figure(_("Name"), person_name)] if person_name else []),
                Figure(_("Member number"), statement.member),
                *([Figure(_("Merged into"), statement.merged_into)] if statement.merged_into else []),
                Figure(_("Product"), self._head.product_names.get(statement.product, statement.product)),
                Figure(_("Member since"), self._day(statement.joined_on)),
            ),
            balance=Figure(_("Value of your savings"), self._money(statement.totals.value_minor)),
            figures=self._figures(),
            year=self._year(),
            holdings=self._holdings(),
            conditional=self._conditional(),
            expected=None
            if expectation is None
            else expected_of(expectation, self._head, currency=statement.currency, scale=statement.scale),
            payments=self._payments(),
            notes=tuple(self._notes()),
            assumed=self._head.all_assumed([one.assumed for one in statement.assumptions]),
            page=_("Page {page} of {pages}"),
        )

    def _figures(self) -> tuple[Figure, ...]:
        totals, _ = self._statement.totals, self._say
        figures = [Figure(_("Paid in"), self._money(totals.contributed_minor))]
        if totals.paid_out_minor:
            figures.append(Figure(_("Paid out"), self._money(totals.paid_out_minor)))
        if totals.payable_minor:
            figures.append(Figure(_("Payable to you"), self._money(totals.payable_minor)))
        if self._statement.is_unitised:
            figures.append(Figure(_("Gain or loss"), self._money(totals.gain_minor)))
        figures.append(Figure(_("Charges taken"), self._money(totals.charges_minor)))
        if totals.return_bp is not None:
            rate = format_percent(totals.return_bp, self._head.locale)
            figures.append(Figure(_("Return a year"), rate))
        else:
            figures.append(Figure(_("Return a year"), NONE, self._why_no_return()))
        return tuple(figures)

    def _year(self) -> Table | None:
        statement, _ = self._statement, self._say
        if statement.year_from is None:
            return None
        return Table(
            caption=_("Since {day}").format(day=self._day(statement.year_from)),
            columns=(Column(_("Item")), Column(_("Amount"), is_figure=True)),
            rows=tuple(
                (_(LABELS[item]), _("Not counted yet") if minor is None else self._money(minor))
                for item, minor in statement.items.items()
            ),
        )

    def _why_no_return(self) -> str:
        reason = self._statement.totals.no_return
        assert reason is not None
        if not self._statement.is_unitised and reason is NoReturn.NOTHING_INVESTED:
            return self._say(NO_INTEREST)
        return self._say(WHY_NO_RETURN[reason])

    def _holdings(self) -> Table | None:
        statement, _ = self._statement, self._say
        if not statement.is_unitised:
            return None
        rows = [
            (
                self._head.fund_names.get(holding.fund, holding.fund),
                format_units(holding.units, holding.unit_scale, self._head.locale),
                format_price(holding.price.decimal(), statement.currency, self._head.locale),
                self._day(holding.price_on),
                self._money(holding.value_minor),
            )
            for holding in statement.holdings
        ]
        if statement.uninvested_minor or not rows:
            rows.append((_("Not invested yet"), NONE, NONE, NONE, self._money(statement.uninvested_minor)))
        return Table(
            caption=_("What you hold"),
            columns=(
                Column(_("Fund")),
                Column(_("Units"), is_figure=True),
                Column(_("Price of a unit"), is_figure=True),
                Column(_("Price of"), is_figure=True),
                Column(_("Value"), is_figure=True),
            ),
            rows=tuple(rows),
        )

    def _conditional(self) -> Table | None:
        statement, _ = self._statement, self._say
        if not statement.conditional:
            return None
        return Table(
            caption=_("Yours only if you choose so"),
            columns=(Column(_("Choice")), Column(_("Payer")), Column(_("Amount"), is_figure=True)),
            rows=tuple(self._promise(one) for one in statement.conditional),
            note=_(
                "This is no part of your savings. It becomes yours as you retire by this choice, and lapses if you "
                "leave otherwise."
            ),
        )

    def _promise(self, one: Promised) -> tuple[str, ...]:
        return self._say(one.choice), self._head.role_names.get(one.payer, one.payer), self._money(one.minor)

    def _payments(self) -> Table:
        """Columns that would say the same in every row (one pot, one origin) are left to the note above the table."""
        statement, _ = self._statement, self._say
        lines = statement.lines
        pots = {line.pot for line in lines}
        origins = {line.origin for line in lines}
        shown: list[tuple[Column, Callable[[Line], str]]] = [
            (Column(_("Paid on")), lambda line: self._day(line.paid_on))
        ]
        if len(pots) > 1:
            shown.append((Column(_("Pot")), lambda line: self._pot(line.pot)))
        if len(origins) > 1:
            shown.append((Column(_("Source of the money")), lambda line: self._origin(line.origin)))
        shown.append((Column(_("Amount"), is_figure=True), lambda line: self._money(line.amount_minor)))
        shown.append((Column(_("State")), lambda line: _(STATES[line.state])))
        if statement.is_unitised:
            shown += [
                (
                    Column(_("Price of"), is_figure=True),
                    lambda line: NONE if line.price_on is None else self._day(line.price_on),
                ),
                (Column(_("Price of a unit"), is_figure=True), self._price),
                (Column(_("Units"), is_figure=True), self._units),
            ]
        note = ""
        if len(pots) == len(origins) == 1:
            (pot,), (origin,) = pots, origins
            note = _("All of it went into: {pot}. It came from: {origin}.").format(
                pot=self._pot(pot), origin=self._origin(origin)
            )
        payments = len({line.receipt for line in lines if line.state is not LineState.REVERSED})
        return Table(
            caption=self._head.words.ngettext("{count} payment", "{count} payments", payments).format(
                count=format_units(payments, 0, self._head.locale)
            ),
            columns=tuple(column for column, _value in shown),
            rows=tuple(tuple(value(line) for _column, value in shown) for line in lines),
            empty=_("Nothing was paid in by this day."),
            note=note,
        )

    def _notes(self) -> tuple[str, ...]:
        _ = self._say
        states = _(
            "Received: the payment has reached the scheme. Confirmed: it is on the statement of the bank or wallet."
        )
        if not self._statement.is_unitised:
            return (*self._moves(), states)
        return (
            *self._moves(),
            *self._being_sold(),
            " ".join((states, _("Invested: it has bought units."))),
            _(
                "The value of a fund is its units times the last price by this day, rounded down. Prices rise and fall; "
                "the value is not guaranteed."
            ),
            _(
                "The return a year takes into account when each payment came in (money-weighted). The past does not "
                "tell the future."
            ),
        )

    def _moves(self) -> Iterator[str]:
        for move in self._statement.moves:
            yield self._say(
                N_(
                    "On {day} you moved here from {product} with all that was yours; what you paid in there is listed too."
                )
            ).format(day=self._day(move.moved_on), product=self._head.product_names.get(move.source, move.source))

    def _being_sold(self) -> Iterator[str]:
        for holding in self._statement.holdings:
            if holding.selling:
                yield self._say(
                    N_("{units} units of {fund} are being sold. They are worth the price of the day they are sold at.")
                ).format(
                    units=format_units(holding.selling, holding.unit_scale, self._head.locale),
                    fund=self._head.fund_names.get(holding.fund, holding.fund),
                )

    def _day(self, day: date) -> str:
        return format_date(day, self._head.locale)

    def _money(self, minor: int) -> str:
        return format_money(minor, self._statement.currency, self._statement.scale, self._head.locale)

    def _pot(self, pot: str) -> str:
        return self._head.pot_names.get((self._statement.product, pot), pot)

    def _origin(self, origin: str) -> str:
        return self._say(ORIGINS[origin]) if origin in ORIGINS else origin

    def _price(self, line: Line) -> str:
        if line.price is None:
            return NONE
        return format_price(line.price.decimal(), self._statement.currency, self._head.locale)

    def _units(self, line: Line) -> str:
        return NONE if line.units is None else format_units(line.units, line.unit_scale, self._head.locale)
