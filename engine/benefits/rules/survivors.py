"""After a member's death: how long a pension is guaranteed, and what the spouse may have. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from engine.benefits.errors import NoSuchRule
from engine.benefits.rules.parameters import Bp, Years, share_of
from engine.funds.rules import Given, in_major
from engine.kernel.months import LeapDay, anniversary
from engine.kernel.rounding import Rounding
from engine.kernel.rules import Rule
from engine.tenancy.rules.books import InForce
from engine.tenancy.rules.proving import ScenarioContext


class GuaranteePeriodRule(Rule, tag="guarantee-period", frozen=True, kw_only=True):
    """How long a pension is paid whether the pensioner lives or not (W8).

    Contributory schemes of the region pay a nominee until the day the member would have been 75 (`until_age`); annuities
    are certain for some `years` from their start. Where both are said, the later counts. After a death within it the
    payee gets `share_bp` of each payment that is left.
    """

    until_age: Years | None = None
    years: Years | None = None
    leap_day: LeapDay
    payee: Literal["nominees", "heirs"]
    share_bp: Bp
    rounding: Rounding

    def __post_init__(self) -> None:
        """Check that an end is said."""
        if self.until_age is None and self.years is None:
            raise ValueError("say until_age, or years, or both")


def guaranteed_until(rule: GuaranteePeriodRule, *, born_on: date, started_on: date) -> date:
    """Return the first day on which payments are no longer guaranteed."""
    ends = []
    if rule.until_age is not None:
        ends.append(anniversary(born_on, rule.until_age, rule.leap_day))
    if rule.years is not None:
        ends.append(anniversary(started_on, rule.years, rule.leap_day))
    return max(ends)


class SpouseRule(Rule, tag="spouse-continuation", frozen=True, kw_only=True):
    """What goes on for the spouse of a member who dies (W9).

    APY needs it (the same pension; and before 60 the spouse may contribute on in the account until the member would have
    been 60, then gets the pension) and PM-SYM (half the pension, the spouse alone). `pension_bp` is the spouse's share of
    the pension in payment; before it, the spouse chooses among `before_benefit`. What went out to the member for time after
    their death is set off against all that fell due to the spouse meanwhile, then against `set_off_bp` of each payment.
    """

    pension_bp: Bp
    rounding: Rounding
    before_benefit: tuple[Literal["contribute-on", "exit"], ...]
    contributes_until_age: Years | None = None
    set_off_bp: Bp = 0
    leap_day: LeapDay

    def __post_init__(self) -> None:
        """Check that contributing on has an end."""
        if ("contribute-on" in self.before_benefit) != (self.contributes_until_age is not None):
            raise ValueError('"contribute-on" needs contributes_until_age, and that needs it')


@dataclass(frozen=True, slots=True)
class SpouseEntitlement:
    """The spouse's pension a payment (0 before the benefit), the choices there are, and until when to contribute."""

    pension_minor: int
    choices: tuple[str, ...]
    contributes_until: date | None
    rules: tuple[str, ...]


def spouse_entitlement(
    found: InForce[SpouseRule], *, born_on: date, died_on: date, pension_minor: int | None
) -> SpouseEntitlement:
    """Return what a spouse may have.

    Args:
        found: the rule.
        born_on: the member's birth date.
        died_on: the day of the member's death.
        pension_minor: the member's pension a payment; None where it had not begun.

    A spouse of a member who died at the age at which contributing ends, or later, has no choice to contribute on.

    """
    rule = found.rule
    if pension_minor is not None:
        return SpouseEntitlement(share_of(pension_minor, rule.pension_bp, rule.rounding), (), None, (found.ref,))
    until = None
    if rule.contributes_until_age is not None:
        until = anniversary(born_on, rule.contributes_until_age, rule.leap_day)
    choices = tuple(
        one for one in rule.before_benefit if one != "contribute-on" or (until is not None and died_on < until)
    )
    return SpouseEntitlement(0, choices, until if "contribute-on" in choices else None, (found.ref,))


def set_off(rule: SpouseRule, owing_minor: int, payment_minor: int, *, is_arrears: bool) -> int:
    """Return what of a payment to the spouse is kept for what was overpaid, smallest units: of arrears all, else a share, rounded down."""
    return min(owing_minor, payment_minor if is_arrears else share_of(payment_minor, rule.set_off_bp, "down"))


def run_guarantee_period(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of a guarantee period, for a member of the example's `born_on` and `benefit_from`.

    Given the `pension`, returns `until`, and of a payment on the example's date what the `payee` gets as `paid`.
    """
    given, found = Given.of(context), context.rule(GuaranteePeriodRule)
    if found is None:
        raise NoSuchRule(rule="guarantee-period")
    born_on, started_on = context.dates.born_on or given.day("born_on"), context.dates.benefit_from or context.on
    until = guaranteed_until(found.rule, born_on=born_on, started_on=started_on)
    context.compare(found, "until_age", context.on.toordinal(), until.toordinal())
    paid = share_of(given.minor("pension"), found.rule.share_bp, found.rule.rounding) if context.on < until else 0
    payee = found.rule.payee if paid else ""
    return {"until": until.isoformat(), "payee": payee, "paid": in_major(paid, context.asset)}


def run_spouse(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's example of a spouse's entitlement, for a member of the example's `born_on` and `died_on`.

    Given the `pension` where it had begun, and what was `overpaid` of it, returns `pension`, `choices`, `contributes_until`,
    and what is set off of a payment that fell due before the spouse's pension was decided, and of a later one.
    """
    given, found = Given.of(context), context.rule(SpouseRule)
    if found is None:
        raise NoSuchRule(rule="spouse-continuation")
    born_on, died_on = context.dates.born_on or given.day("born_on"), context.dates.died_on or context.on
    pension = given.minor("pension") if given.has("pension") else None
    entitled = spouse_entitlement(found, born_on=born_on, died_on=died_on, pension_minor=pension)
    if found.rule.contributes_until_age is not None and pension is None:
        until = anniversary(born_on, found.rule.contributes_until_age, found.rule.leap_day)
        context.compare(found, "contributes_until_age", died_on.toordinal(), until.toordinal())
    ends, owing, each = entitled.contributes_until, given.minor("overpaid", 0), entitled.pension_minor
    return {
        "set_off_of_arrears": in_major(set_off(found.rule, owing, each, is_arrears=True), context.asset),
        "set_off_later": in_major(set_off(found.rule, owing, each, is_arrears=False), context.asset),
        "pension": in_major(entitled.pension_minor, context.asset),
        "choices": ", ".join(entitled.choices),
        "contributes_until": "" if ends is None else ends.isoformat(),
    }
