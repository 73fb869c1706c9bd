"""Contributions of members who undertook to pay instalments: what is due, what a payment pays of it, what is owed. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from engine.contributions.errors import NothingDue, NotWhatIsDue
from engine.contributions.rules.schedules import ArrearsRule, LateChargeRule, late_charge
from engine.enrolment.rules import (
    Book,
    DueDays,
    Undertaken,
    UndertakingTerms,
    in_force_on,
    spans,
    undertaking_terms,
)
from engine.kernel.amounts import Amount
from engine.kernel.months import month_end
from engine.kernel.series import Figures
from engine.kernel.tables import LookupTable
from engine.tenancy.rules.books import InForce

MOST_TOLD = 6
"""How many of the amounts that would be taken a refusal names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalmentTerms:
    """The rules by which instalments are paid, for members of one joining date on one day."""

    undertaking: UndertakingTerms
    arrears: InForce[ArrearsRule]
    late: InForce[LateChargeRule] | None

    @property
    def refs(self) -> tuple[str, ...]:
        """Return the versions of the rules."""
        return (*self.undertaking.refs, self.arrears.ref, *((self.late.ref,) if self.late else ()))

    @property
    def charges(self) -> LateChargeRule | None:
        """Return what lateness costs, where it is paid with instalments that are paid whole and stays the member's own."""
        takes_parts = self.undertaking.chart.rule.takes == "any-part"
        late = self.late.rule if self.late else None
        return late if late and late.credited_to == "member" and not takes_parts else None


def instalment_terms(product: str, book: Book) -> InstalmentTerms | None:
    """Return the rules of a book by which instalments are paid; None where a product lacks a chart, a schedule or arrears."""
    undertaking, arrears = undertaking_terms(product, book), book.rule(ArrearsRule)
    if undertaking is None or arrears is None:
        return None
    return InstalmentTerms(undertaking=undertaking, arrears=arrears, late=book.rule(LateChargeRule))


@dataclass(frozen=True, slots=True)
class Undertook:
    """What the books say of a member who undertook to pay: what, from which age and day, and what they paid of it.

    `given` in the order it was given. `paid` is what came since the first day of it, net of what was taken back and of
    charges for lateness, in smallest units.
    """

    given: tuple[Undertaken, ...]
    entry_age: int
    joined_on: date
    paid: int


@dataclass(frozen=True, slots=True)
class Due:
    """An instalment that falls due on a day, and what of it is not paid yet."""

    on: date
    instalment: Amount
    lacking: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Towards:
    """What a payment pays: how many instalments whole, and which charge for lateness goes with them.

    `instalment`, `slab` and `frequency` are those of the oldest it pays; `kept` is beyond all that may be paid now, and so is
    what is `returned` to the payer.
    """

    instalment: Amount
    slab: str
    frequency: str
    instalments: int
    charge: Amount
    kept: Amount
    returned: Amount


@dataclass(frozen=True, slots=True)
class Instalments:
    """A member's instalments by the rules of the day `on`; `tables` are the pack's, `figures` what amounts are worth."""

    terms: InstalmentTerms
    member: Undertook
    tables: Mapping[str, LookupTable]
    figures: Figures
    on: date

    def owed(self) -> Amount:
        """Return what is due up to and with the day and not paid: contributions payable."""
        owed = sum(instalment.units * days.count(last) for days, instalment, last in self._runs(self.on))
        return Amount(max(owed - self.member.paid, 0), self.figures.asset)

    def first_late(self) -> date | None:
        """Return the due day of the oldest instalment that is not paid whole and whose days of grace are over; None: none is."""
        due = next(self._unpaid(), None)
        grace = timedelta(days=self.terms.arrears.rule.grace_days)
        return None if due is None or due.on + grace >= self.on else due.on

    def collectable(self, most: Amount) -> Amount:
        """Return what may be collected of a payer who is not asked: what is due up to and with the day, no more than `most`.

        Late instalments each with their charge. Whole instalments, or one, where the chart takes no parts; 0 where none fits.
        """
        costs = [0]
        for due in self._payable():
            if due.on > self.on or (self._takes == "one" and len(costs) > 1):
                break
            costs.append(costs[-1] + due.lacking + self._charge(due))
        if self._takes == "any-part":
            return min(most, Amount(costs[-1], most.asset))
        return Amount(max(one for one in costs if one <= most.units), most.asset)

    def towards(self, amount: Amount) -> Towards | None:
        """Return what a payment pays; the oldest instalment comes first. None on a day before anything was undertaken.

        Taken is one instalment, several whole ones, or any part, as the chart's rule says, each late one with its charge.
        Payable are those due up to the day of the payment, or to the end of its month where the schedule says so, and as
        many ahead as the arrears' rule lets one pay. What is beyond them all is kept, goes back to the payer, or refuses the
        payment whole, as the rule says; a payment that pays nothing is refused whole.

        Raises:
            NotWhatIsDue: the payment is none of the amounts that are taken; the refusal names them.
            NothingDue: nothing may be paid yet, or any more.
            TableValueMissing: the chart has nothing for what was undertaken.
        """
        held = in_force_on(self.member.given, self.on)
        if held is None:
            return None
        keeps = self.terms.arrears.rule.beyond == "keep"
        payable = list(self._payable())
        if not payable and not keeps:
            following = next(self._unpaid(), None)
            raise NothingDue(field="amount", next=following.on.isoformat() if following else "–")
        costs, charges = [0], [0]
        for due in payable[:1] if self._takes == "one" else payable:
            charge = self._charge(due)
            costs.append(costs[-1] + due.lacking + charge)
            charges.append(charges[-1] + charge)
        whole = sum(one <= amount.units for one in costs) - 1
        rest = amount.units - costs[whole]
        is_beyond = amount.units > costs[-1]
        returns = self.terms.arrears.rule.beyond == "refund" and whole > 0 and whole == len(payable)
        if rest and not (keeps or returns if is_beyond else self._takes == "any-part"):
            told = [str(Amount(one, amount.asset).decimal()) for one in costs[1 : MOST_TOLD + 1]]
            raise NotWhatIsDue(
                field="amount", instalment=str(payable[0].instalment.decimal()), allowed=", ".join(told), amounts=told
            )
        return Towards(
            instalment=payable[0].instalment if payable else self._instalment(held),
            slab=held.slab,
            frequency=held.frequency,
            instalments=whole,
            charge=Amount(charges[whole], amount.asset),
            kept=Amount(rest if is_beyond and keeps else 0, amount.asset),
            returned=Amount(rest if is_beyond and returns else 0, amount.asset),
        )

    @property
    def _takes(self) -> str:
        return self.terms.undertaking.chart.rule.takes

    def _instalment(self, one: Undertaken) -> Amount:
        return self.terms.undertaking.instalment(
            self.tables, one.slab, one.frequency, entry_age=self.member.entry_age, figures=self.figures, on=self.on
        )

    def _runs(self, until: date) -> Iterator[tuple[DueDays, Amount, date]]:
        """Yield the due days of each thing that was undertaken, its instalment, and the last day on which one falls due."""
        schedule, ends = self.terms.undertaking.schedule.rule, self.terms.undertaking.ends_on
        end = ends(self.member.joined_on, self.member.entry_age)
        for one, stops in spans(self.member.given):
            last = min([until, *(day - timedelta(days=1) for day in (end, stops) if day is not None)])
            days = DueDays(schedule, one.frequency, self.member.joined_on, one.from_on)
            yield days, self._instalment(one), last

    def _unpaid(self) -> Iterator[Due]:
        """Yield the instalments that are not paid whole, from the oldest on, for as long as any fall due."""
        left = self.member.paid
        for days, instalment, last in self._runs(date.max):
            number, part = divmod(left, instalment.units)
            if last < date.max and number >= (count := days.count(last)):
                left -= count * instalment.units
                continue
            left = 0
            while (day := days.at(number)) <= last:
                yield Due(day, instalment, instalment.units - part)
                number, part = number + 1, 0

    def _payable(self) -> Iterator[Due]:
        by_month = self.terms.undertaking.schedule.rule.payable_from == "month-start"
        until, ahead = month_end(self.on) if by_month else self.on, 0
        for due in self._unpaid():
            ahead += due.on > until
            if ahead > self.terms.arrears.rule.ahead_dues:
                return
            yield due

    def _charge(self, due: Due) -> int:
        rule = self.terms.charges
        if rule is None or (self.on - due.on).days <= self.terms.arrears.rule.grace_days:
            return 0
        return late_charge(rule, due.instalment, due.on, self.on, self.figures).units
