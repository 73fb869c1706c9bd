"""How the premiums of many members are counted at once: each cover as whole numbers that a run notes when it begins. Pure."""

from collections.abc import Mapping
from datetime import date, timedelta

from msgspec import Struct

from engine.benefits.rules.charging import period_of
from engine.benefits.rules.cover import CoverRule, premium_minor
from engine.benefits.rules.history import SchemeYear
from engine.benefits.rules.premiums import grace_until
from engine.kernel.series import Figures
from engine.tenancy.rules.books import InForce


class PremiumTerms(Struct, frozen=True, kw_only=True):
    """What a cover costs each member, `minor` smallest units, for the days from `since` up to and without `until`.

    `paid_by` is a role, or "" where members pay out of `pots` and `origins`. Of a cover that is earned, whoever paid from
    `earned_since` up to and without `earned_until` at least what `least_by_class` says of their class (all are in "" where
    classes do not matter), or `least_payments` of `least_payment` or more, is insured.
    """

    cover: str
    rules: tuple[str, ...]
    insurer: str
    paid_by: str
    minor: int
    since: date
    until: date
    pots: tuple[str, ...]
    origins: tuple[str, ...]
    grace_until: date
    begins_after_days: int
    reinstated_within_days: int
    earned_since: date
    earned_until: date
    least_by_class: Mapping[str, int]
    by_class: bool
    least_payments: int
    least_payment: int
    net_of_reversals: bool


def premium_terms(found: InForce[CoverRule], on: date, year_of: SchemeYear, figures: Figures) -> PremiumTerms | None:
    """Return what a cover costs for the period that a day lies in; None if it costs nothing.

    Raises:
        SeriesValueMissing: a figure of it is not known for the period's first day.
    """
    rule = found.rule
    if rule.premium is None:
        return None
    premium = rule.premium
    since, until = period_of(premium.every, year_of(on), on)
    earned_until = year_of(since)[0]
    earned_since = year_of(earned_until - timedelta(days=1))[0]
    counted_on = earned_until - timedelta(days=1)
    if rule.least_total is not None:
        least = {"": figures.amount(rule.least_total, counted_on).units}
    else:
        least = {code: figures.amount(one, counted_on).units for code, one in rule.least_total_by_class.items()}
    one_payment = 0 if rule.least_payment is None else figures.amount(rule.least_payment, counted_on).units
    return PremiumTerms(
        cover=rule.id,
        rules=(found.ref,),
        insurer=premium.insurer,
        paid_by=premium.paid_by or "",
        minor=premium_minor(rule, figures, since),
        since=since,
        until=until,
        pots=premium.pots,
        origins=premium.origins,
        grace_until=grace_until(premium, since, on),
        begins_after_days=premium.begins_after_days,
        reinstated_within_days=premium.reinstated_within_days,
        earned_since=earned_since,
        earned_until=earned_until,
        least_by_class=least,
        by_class=bool(rule.least_total_by_class),
        least_payments=rule.least_payments or 0,
        least_payment=one_payment,
        net_of_reversals=rule.net_of_reversals,
    )
