"""When and how much a benefit that is paid over time pays: decided once, with the claim. Pure.

The payroll counts all pensioners of a product by SQL; `pension_dues` is the rule of one of them, and they agree.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Literal

import msgspec
from msgspec import Struct

from engine.benefits.errors import PensionNotOffered
from engine.benefits.rules.consuming import ConsumptionOrder, Holding, consume, remaining
from engine.benefits.rules.pensions import PensionCase, PensionRule, exact_payment
from engine.benefits.rules.retirement import (
    InstalmentTerms,
    RetirementOptionRule,
    RetirementPlan,
    index_ratio,
    next_instalment,
)
from engine.benefits.rules.survivors import GuaranteePeriodRule, guaranteed_until
from engine.kernel.months import age_on, month_end, months_after
from engine.kernel.rounding import Rounding, rounded
from engine.kernel.rules import Dates
from engine.kernel.series import Figures, SeriesValueMissing
from engine.kernel.tables import LookupTable
from engine.tenancy.errors import PackProblem
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.packs import Pack

Form = Literal["fixed", "unpaid-over-left", "drawdown", "pension"]
"""An amount fixed at the start; what is unpaid over what is left; a yearly share of the pot; what a pension's rule says."""

_KEYS = frozenset({"age", "sex", "slab"})
_FORMS = {"programmed-withdrawal": ("programmed-withdrawal",), "fixed-pension": ("fixed", "by-table")}
"""The forms of pensions that an option pays whose rest is taken so; an annuity is paid by whoever sold it."""


def pension_problems(pack: Pack) -> list[PackProblem]:
    """Return each pension that a retirement option could pay as well as another of its product: nothing says which it does."""
    found: dict[tuple[str, str], PackProblem] = {}
    for product, book in pack.books.items():
        for on in sorted({one.effective_from for one in book.versions()}):
            dates = Dates(
                on=on, joined_on=on, born_on=on, tranche_on=on, scheme_year_from=on, benefit_from=on, died_on=on
            )
            pensions = book.all_in_force(PensionRule, dates)
            for option in book.all_in_force(RetirementOptionRule, dates):
                fits = [one for one in pensions if one.rule.form in _FORMS.get(option.rule.rest, ())]
                fits.sort(key=lambda one: one.effective_from)
                for other in fits[1:]:
                    page = other.page or other.effective_from.isoformat()
                    reason = (
                        f"{option.rule.id} could pay {other.rule.id} as well as {fits[0].ref} from {on} on; let one end where "
                        "the other begins, repeal one, or put them into products of their own"
                    )
                    found.setdefault(
                        (page, other.rule.id), PackProblem(f"{product}/rules/{page}.toml", other.rule.id, reason)
                    )
    return list(found.values())


class ScheduleTerms(Struct, frozen=True, kw_only=True):
    """The rules that a schedule pays by, as they were in force when it was decided."""

    form: Form
    order: ConsumptionOrder
    instalments: InstalmentTerms | None = None
    pension: PensionRule | None = None

    @property
    def rounding(self) -> Rounding:
        """Return how one payment is rounded."""
        if self.instalments is not None:
            return self.instalments.rounding
        assert self.pension is not None
        return self.pension.rounding

    @property
    def is_indexed(self) -> bool:
        """Return whether payments follow an index."""
        return self.instalments is not None and self.instalments.indexed_by is not None

    @property
    def pay_day(self) -> str:
        """Return on which day of the month payments fall."""
        return self.pension.pay_day if self.pension is not None else "day-of-start"


class Reserve(Struct, frozen=True, kw_only=True):
    """What the pension pool of a `role` gets for a pension at its start: `minor` smallest units.

    At `least` so much is guaranteed; what the member's money lacks of it, the role `tops_up` owes.
    """

    role: str
    minor: int
    least: int = 0
    tops_up: str = ""


class SchedulePlan(Struct, frozen=True, kw_only=True):
    """A schedule as it is decided. Money in smallest units.

    `instalments` is 0 for life. `rest` is what the pot has for it; `amount` the first instalment where that is fixed for
    good, else 0. Payment number n falls `lead_months` + (n - 1) × `every_months` after the start. `keys` find the row of the
    pension's table; its age is that on the first day of payment. Of each payment `tax` / `taxed` is tax. One that has a
    `reserve` is paid by pools alone.
    """

    terms: ScheduleTerms
    rules: tuple[str, ...]
    started_on: date
    lead_months: int
    every_months: int
    instalments: int
    amount: int
    rest: int
    keys: dict[str, str] = {}
    guaranteed_until: date | None = None
    tax: int = 0
    taxed: int = 0
    reserve: Reserve | None = None

    def due_on(self, number: int) -> date:
        """Return the day on which payment `number` (from 1) falls."""
        day = months_after(self.started_on, self.lead_months + (number - 1) * self.every_months)
        if self.terms.pay_day == "first-of-month":
            return day.replace(day=1)
        return month_end(day) if self.terms.pay_day == "last-of-month" else day

    def factor(self, number: int, figures: Figures, tables: Mapping[str, LookupTable]) -> Fraction:
        """Return what the base of payment `number` is multiplied by, exactly.

        Raises:
            SeriesValueMissing, TableValueMissing: the index or the table says nothing for it yet.
        """
        return factor(
            self.terms, self.started_on, self.due_on(1), self.due_on(number), self._keys(number), figures, tables
        )

    def amount_of(self, number: int, figures: Figures, tables: Mapping[str, LookupTable]) -> int | None:
        """Return a payment whose base is not the pot; None where it is, or an index says nothing for its day yet."""
        if self.terms.form not in ("pension", "fixed"):
            return None
        try:
            base = self.amount if self.terms.form == "fixed" else 1
            return rounded(base * self.factor(number, figures, tables), self.terms.rounding)
        except SeriesValueMissing:
            return None

    def begins_year(self, number: int) -> bool:
        """Return whether payment `number` is the first of a year of the benefit, in which a drawdown is reckoned anew."""
        return (number - 1) * self.every_months % 12 == 0

    def reserved(self, brought: int, figures: Figures, tables: Mapping[str, LookupTable]) -> "SchedulePlan":
        """Return it with the reserve that smallest units of the member's money and the guarantor make, and the amount it pays.

        Raises:
            TableValueMissing: the pension's table says nothing for its keys.
        """
        assert self.reserve is not None, self
        reserve = msgspec.structs.replace(self.reserve, minor=max(brought, self.reserve.least))
        rule, amount = self.terms.pension, 0
        if self.terms.form == "fixed" and rule is not None:
            case = PensionCase(
                on=self.due_on(1), started_on=self.started_on, keys=self.keys, balance_minor=reserve.minor
            )
            amount = rounded(exact_payment(rule, case, figures, tables), rule.rounding)
        return msgspec.structs.replace(self, reserve=reserve, amount=amount)

    def _keys(self, number: int) -> dict[str, str]:
        return keys_at(self.terms, self.keys, (number - 1) * self.every_months // 12)


def plan_schedule(
    option: InForce[RetirementOptionRule],
    plan: RetirementPlan,
    pensions: Sequence[InForce[PensionRule]],
    guarantee: InForce[GuaranteePeriodRule] | None,
    tables: Mapping[str, LookupTable],
    *,
    on: date,
    born_on: date,
    sex: str,
    slab: str = "",
) -> SchedulePlan | None:
    """Return the schedule of what an option pays later; None where it pays nothing later, or an insurer does.

    `slab` is the pension that the member undertook to pay for, where they did. A pension that its corpus raises is an amount
    fixed for good, once `reserved` is told what the pool got.

    Raises:
        PensionNotOffered: the pension's rule has limits or tables that the payroll cannot pay by.
    """
    terms = option.rule.instalments
    if terms is not None:
        return SchedulePlan(
            terms=ScheduleTerms(form=terms.amount, order=option.rule.order, instalments=terms),
            rules=(option.ref,),
            started_on=on,
            lead_months=0 if terms.first_due == "at-once" else terms.every_months,
            every_months=terms.every_months,
            instalments=plan.instalments,
            amount=plan.instalment_minor if terms.amount == "fixed" else 0,
            rest=plan.rest_minor,
        )
    found = next((one for one in pensions if one.rule.form in _FORMS.get(option.rule.rest, ())), None)
    if found is None:
        return None
    rule = found.rule
    needed = tables[rule.table].keys if rule.table is not None else ()
    role = option.rule.pooled_with
    is_raised = rule.corpus_column is not None
    if (
        rule.least is not None
        or rule.most is not None
        or (is_raised and (role is None or rule.indexed_by is not None))
        or not _KEYS.issuperset(needed)
    ):
        raise PensionNotOffered(option=option.rule.id)
    form: Form = "fixed" if is_raised else "pension"
    is_drawdown = rule.form == "programmed-withdrawal"
    draft = SchedulePlan(
        terms=ScheduleTerms(form="drawdown" if is_drawdown else form, order=option.rule.order, pension=rule),
        rules=(option.ref, found.ref, *(() if guarantee is None else (guarantee.ref,))),
        started_on=on,
        lead_months=0 if rule.due == "in-advance" else rule.every_months,
        every_months=rule.every_months,
        instalments=0,
        amount=0,
        rest=plan.rest_minor if is_drawdown else 0,
        guaranteed_until=None
        if guarantee is None
        else guaranteed_until(guarantee.rule, born_on=born_on, started_on=on),
        reserve=None if role is None else Reserve(role=role, minor=plan.rest_minor),
    )
    said = {"age": str(age_on(born_on, draft.due_on(1))), "sex": sex, "slab": slab}
    return msgspec.structs.replace(draft, keys={name: said[name] for name in needed})


def keys_at(terms: ScheduleTerms, keys: Mapping[str, str], years: int) -> dict[str, str]:
    """Return the keys of a payment so many years after the first: a drawdown is reckoned by the age of its year."""
    if terms.form != "drawdown" or "age" not in keys:
        return dict(keys)
    return {**keys, "age": str(int(keys["age"]) + years)}


def factor(
    terms: ScheduleTerms,
    started_on: date,
    first_due_on: date,
    due_on: date,
    keys: Mapping[str, str],
    figures: Figures,
    tables: Mapping[str, LookupTable],
) -> Fraction:
    """Return what the base of the payment of a day is multiplied by: the index, the pension, or a share of the pot."""
    if terms.instalments is not None:
        return index_ratio(terms.instalments, figures, first_on=first_due_on, on=due_on)
    assert terms.pension is not None
    if terms.form == "fixed":
        return Fraction(1)
    case = PensionCase(on=due_on, started_on=started_on, keys=keys, balance_minor=1)
    return exact_payment(terms.pension, case, figures, tables)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a schedule has come: the last payment (0: none), the base of its drawdown's year, and what is owed of earlier ones."""

    number: int = 0
    reckoned: int = 0
    owed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PensionDue:
    """One payment, smallest units: `due` for its period, `arrears` of earlier ones; what the own pot gives; what it lacks."""

    number: int
    due_on: date
    due: int
    arrears: int
    reckoned: int
    taken: tuple[Holding, ...]
    short: int


def pension_dues(
    plan: SchedulePlan,
    standing: Standing,
    holdings: Sequence[Holding],
    factor_of: Callable[[int], Fraction],
    *,
    until: date,
    stops_on: date | None = None,
) -> tuple[PensionDue, ...]:
    """Return the payments of one pensioner that fall before `until` and were not made yet, in their order.

    Args:
        plan: the schedule.
        standing: how far it has come.
        holdings: the member's pots.
        factor_of: what the base of a payment is multiplied by, by its number.
        until: the first day that is not counted.
        stops_on: the first day on which nothing is due any more, if there is one.

    """
    found: list[PensionDue] = []
    held, number, reckoned, owed = tuple(holdings), standing.number + 1, standing.reckoned, standing.owed
    last = until if stops_on is None else min(until, stops_on)
    while plan.due_on(number) < last and (not plan.instalments or number <= plan.instalments):
        if plan.reserve is not None:
            held = ()
        pot = sum(
            one.minor for one in held if one.pot in plan.terms.order.pots and one.origin in plan.terms.order.origins
        )
        if plan.begins_year(number):
            reckoned = pot
        due = _due(plan, number, pot, reckoned, factor_of(number))
        taken = consume(due + owed, held, plan.terms.order)
        found.append(
            PensionDue(
                number=number, due_on=plan.due_on(number), due=due, arrears=owed, reckoned=reckoned,
                taken=taken.parts, short=taken.short_minor,
            )
        )  # fmt: skip
        held, number, owed = remaining(held, taken), number + 1, 0
    return tuple(found)


def _due(plan: SchedulePlan, number: int, pot: int, reckoned: int, times: Fraction) -> int:
    terms = plan.terms
    if terms.instalments is None:
        base = {"drawdown": reckoned, "fixed": plan.amount}.get(terms.form, 1)
        return rounded(base * times, terms.rounding)
    choice = RetirementPlan(
        lump_minor=0, rest_minor=plan.rest, rest="instalments", instalments=plan.instalments,
        instalment_minor=plan.amount, first_due_on=plan.due_on(1), rules=plan.rules,
    )  # fmt: skip
    return next_instalment(terms.instalments, choice, number=number, unpaid_minor=pot, index=times).due_minor
