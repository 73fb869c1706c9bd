"""State money: how much a member's own savings earn, when, for whom, what vests, and how it is claimed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from engine.kernel.amounts import Amount
from engine.kernel.rounding import Rounding, rounded
from engine.kernel.rules import BY_COHORT, BY_YEAR, AppliesBy, Rule
from engine.kernel.series import Figure, Figures

WHOLE_BP = 10_000
Code = Annotated[
    str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$", description="a short name of lower-case letters, digits and -")
]


class MatchClass(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one class of members gets: nothing below the threshold; from it on a share of the base, or a flat amount.

    `classes` are codes of an external attribute; "any" stands for every member. `most` caps a year. Whoever saved more
    than `saved_up_to` gets nothing (Swavalamban: from 1,000 to 12,000 rupees a year).
    """

    classes: Annotated[tuple[Code, ...], Meta(min_length=1)]
    threshold: Figure
    saved_up_to: Figure | None = None
    share_bp: Annotated[int, Meta(ge=0, le=100_000)] | None = None
    flat: Figure | None = None
    most: Figure | None = None

    def __post_init__(self) -> None:
        """Check that it is a share or a flat amount."""
        if (self.share_bp is None) == (self.flat is None):
            raise ValueError("say either share_bp or flat")


class MatchRule(Rule, tag="state-match", frozen=True, kw_only=True):
    """What the state adds to a member's own savings of a scheme year (M1, M2, M3, M5).

    The threshold is a cliff: one unit less earns nothing. `base` says whether reversed payments count; the cap is
    tested before or after rounding; after `years` matched years there is no more (0: no end). `timing`: at each
    contribution, after the year's end, or when the pension begins. `needs_all_dues`: only for a year without arrears
    (APY). `destination` is the pension account or the member's bank account (APY). `conditional_on` names a later choice
    without which it is never paid; such an entitlement is shown apart from the balance. A reversal after the year's end
    claws a match back or leaves it. EjoHeza by class, APY 50 % up to 1,000, PM-SYM one to one, NPS-Lite flat 1,000.
    """

    may_apply_by: ClassVar[tuple[AppliesBy, ...]] = BY_COHORT
    matches: Annotated[tuple[MatchClass, ...], Meta(min_length=1)]
    base: Literal["net-of-reversals", "gross"]
    cap_tested: Literal["before-rounding", "after-rounding"]
    rounding: Rounding
    timing: Literal["each-contribution", "after-year-end", "at-retirement"]
    years: Annotated[int, Meta(ge=0, le=60)] = 0
    joined_from: date | None = None
    joined_until: date | None = None
    needs_all_dues: bool = False
    destination: Literal["pension-account", "bank-account"]
    conditional_on: Code | None = None
    reversal_after_year_end: Literal["claw-back", "leave"]

    def __post_init__(self) -> None:
        """Check that each class stands once."""
        codes = [code for one in self.matches for code in one.classes]
        if len(set(codes)) != len(codes):
            raise ValueError("each class may stand once")


class VestingStep(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The share that is the member's for good once so many months have passed since joining."""

    after_months: Annotated[int, Meta(ge=0, le=1200)]
    share_bp: Annotated[int, Meta(ge=0, le=WHOLE_BP)]


class VestingRule(Rule, tag="vesting", frozen=True, kw_only=True):
    """How state or employer money becomes the member's own, and where it goes when it does not (M4).

    `on_early_exit` overrides the steps: the unvested is forfeited whole, or by the steps. Its income goes with it or
    stays. State money is left out of the test for closing an account, or counts in it. APY, PM-SYM: forfeited on exit.

    An exit or a death on one of the `grounds` pays what has vested of what it would pay else; on any other ground
    all of it has vested, and so it has from the age `vests_at_age` on.
    """

    many: ClassVar[bool] = True
    one_for: ClassVar[tuple[str, ...]] = ("origin",)
    origin: Literal["employer", "state-match", "gift"]
    steps: Annotated[tuple[VestingStep, ...], Meta(min_length=1)]
    on_early_exit: Literal["forfeit-all", "by-steps"]
    forfeited_to: Literal["state", "fund", "employer", "scheme"]
    income_goes_along: bool
    counts_in_closure_test: bool
    grounds: tuple[Code, ...] = ()
    vests_at_age: Annotated[int, Meta(ge=0, le=120)] | None = None
    rounding: Rounding = "down"

    def __post_init__(self) -> None:
        """Check that the steps rise and begin at once."""
        months = [step.after_months for step in self.steps]
        shares = [step.share_bp for step in self.steps]
        if months != sorted(set(months)) or shares != sorted(shares) or months[0] != 0:
            raise ValueError("steps begin at month 0 and rise")


class MatchClaimRule(Rule, tag="match-claim", frozen=True, kw_only=True):
    """How match money is claimed from whoever pays it (M6): when, how a short receipt is shared, what a false claim costs.

    A claim goes out `after_days` after the scheme year's end. Less than claimed is shared in proportion, or goes to the
    oldest claim first; the rest is claimed again or given up. What was paid for a false declaration is clawed back from
    the member's state money, or from the operator. What members forfeited to the role `forfeitures_of` pays part of the
    next claim: its funder pays so much less.
    """

    may_apply_by: ClassVar[tuple[AppliesBy, ...]] = BY_YEAR
    funder: Code
    after_days: Annotated[int, Meta(ge=0, le=730)]
    short_receipt: Literal["pro-rata", "oldest-first"]
    unpaid_rest: Literal["claim-again", "give-up"]
    clawback_from: Literal["state-money", "operator"]
    forfeitures_of: Code | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchFacts:
    """What a match depends on: a member's year. `matched_years` counts earlier years that earned anything."""

    member_class: str
    joined_on: date
    saved_gross: Amount
    saved_net: Amount
    matched_years: int = 0
    has_arrears: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """What a year earned, and why nothing where it did not. A conditional one is no part of the balance."""

    amount: Amount
    reason: str
    is_conditional: bool


def decide_match(rule: MatchRule, facts: MatchFacts, figures: Figures, on: date) -> Match:
    """Return what a member's scheme year earns.

    Args:
        rule: the match in force for the year.
        facts: the member's year.
        figures: what amounts are worth.
        on: the day whose figures count: the year's last.

    Returns:
        The amount, never more than the cap, in whole smallest units rounded as the rule says; a zero says why:
        no-class, other-joiners, years-used, arrears, below-threshold, above-limit, no-match.
    """
    saved = facts.saved_net if rule.base == "net-of-reversals" else facts.saved_gross
    conditional = rule.conditional_on is not None
    found = next((one for one in rule.matches if facts.member_class in one.classes or "any" in one.classes), None)
    reason = _why_nothing(rule, found, facts, saved, figures, on)
    if reason or found is None:
        return Match(Amount(0, saved.asset), reason, conditional)
    amount = figures.amount(found.flat, on) if found.flat is not None else _share(rule, found, saved, figures, on)
    return Match(amount, "matched" if amount.units else "no-match", conditional)


def _why_nothing(
    rule: MatchRule, found: MatchClass | None, facts: MatchFacts, saved: Amount, figures: Figures, on: date
) -> str:
    if found is None:
        return "no-class"
    joined_outside = (rule.joined_from is not None and facts.joined_on < rule.joined_from) or (
        rule.joined_until is not None and facts.joined_on > rule.joined_until
    )
    reasons = {
        "other-joiners": joined_outside,
        "years-used": bool(rule.years) and facts.matched_years >= rule.years,
        "arrears": rule.needs_all_dues and facts.has_arrears,
        "below-threshold": saved < figures.amount(found.threshold, on),
        "above-limit": found.saved_up_to is not None and figures.amount(found.saved_up_to, on) < saved,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _share(rule: MatchRule, found: MatchClass, saved: Amount, figures: Figures, on: date) -> Amount:
    assert found.share_bp is not None
    exact = Fraction(saved.units * found.share_bp, WHOLE_BP)
    most = None if found.most is None else figures.amount(found.most, on).units
    if most is not None and rule.cap_tested == "before-rounding":
        exact = min(exact, Fraction(most))
    units = rounded(exact, rule.rounding)
    return Amount(units if most is None else min(units, most), saved.asset)


def vested(rule: VestingRule, balance: Amount, months: int, *, early_exit: bool) -> Amount:
    """Return what of a balance is the member's for good after so many completed months."""
    if early_exit and rule.on_early_exit == "forfeit-all":
        return Amount(0, balance.asset)
    share = max((step.share_bp for step in rule.steps if step.after_months <= months), default=0)
    return Amount(rounded(Fraction(balance.units * share, WHOLE_BP), rule.rounding), balance.asset)


def vested_on_leaving(rule: VestingRule, balance: Amount, months: int, *, ground: str, age: int | None) -> Amount:
    """Return what of a balance is the member's who leaves on a ground, after so many completed months, at an age if it is known."""
    if ground not in rule.grounds or (rule.vests_at_age is not None and age is not None and age >= rule.vests_at_age):
        return balance
    return vested(rule, balance, months, early_exit=True)


def forfeited_in_claim(*, there: int, asked: int, given_back: int) -> int:
    """Return how much of what members forfeited pays part of a claim, smallest units: never all of it.

    A claim is settled by its funder's payment, so that one unit stays to be paid; the rest pays part of the next.
    """
    return max(min(there, asked - given_back - 1), 0)


def apportion(rule: MatchClaimRule, claimed: Sequence[Amount], received: Amount) -> tuple[Amount, ...]:
    """Share a receipt among claims, the oldest first in `claimed`; nothing is lost, and no claim gets more than it asked.

    In proportion, each part is rounded down and what is left goes to the largest remainders.
    """
    total = sum(one.units for one in claimed)
    if received.units >= total:
        return tuple(claimed)
    if rule.short_receipt == "pro-rata":
        return received.share_out([one.units for one in claimed])
    left, parts = received.units, []
    for one in claimed:
        part = min(left, one.units)
        parts.append(Amount(part, received.asset))
        left -= part
    return tuple(parts)


NO_LIMIT = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchStep:
    """What a class gets, in smallest units: from `threshold` to `saved_up_to` saved, a share or `flat` (-1: no flat amount)."""

    member_class: str
    threshold: int
    saved_up_to: int
    share_bp: int
    flat: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchScale:
    """A match rule's figures for one scheme year, for a statement over all members; the first step that fits a class counts.

    Savings count from `since` up to and without `until`; a member's class is that of `class_on`. A member who joined
    outside `joined_from` to `joined_until`, or has had `years` matched years (0: no end), gets nothing.
    """

    steps: tuple[MatchStep, ...]
    since: date
    until: date
    class_on: date
    is_net: bool
    years: int
    joined_from: date | None
    joined_until: date | None
    caps_before_rounding: bool
    rounding: Rounding
    leaves_reversals: bool


def match_scale(rule: MatchRule, figures: Figures, *, since: date, until: date) -> MatchScale:
    """Return the figures of a match for the part of a scheme year from `since` up to and without `until`.

    What is reversed after the year's end is left where the rule leaves it: then a claim never gives back.
    """
    last = until - timedelta(days=1)

    def units(figure: Figure | None, otherwise: int) -> int:
        return otherwise if figure is None else figures.amount(figure, last).units

    steps = [
        MatchStep(
            member_class=code,
            threshold=units(one.threshold, 0),
            saved_up_to=units(one.saved_up_to, NO_LIMIT),
            share_bp=one.share_bp or 0,
            flat=units(one.flat, -1),
            most=units(one.most, NO_LIMIT),
        )
        for one in rule.matches
        for code in one.classes
    ]
    return MatchScale(
        steps=tuple(steps),
        since=since,
        until=until,
        class_on=last,
        is_net=rule.base == "net-of-reversals",
        years=rule.years,
        joined_from=rule.joined_from,
        joined_until=rule.joined_until,
        caps_before_rounding=rule.cap_tested == "before-rounding",
        rounding=rule.rounding,
        leaves_reversals=rule.reversal_after_year_end == "leave",
    )
