"""Where a contribution goes: what is taken first, how the rest is split over pots, or one payment over several payees."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from engine.contributions.errors import PaymentTooShort, RedirectNotAllowed
from engine.contributions.rules.amounts import AmountLimits, AmountRule
from engine.kernel.amounts import Amount
from engine.kernel.rounding import Rounding, rounded
from engine.kernel.rules import Rule
from engine.kernel.series import Figure, Figures
from engine.tenancy.errors import PackProblem
from engine.tenancy.rules.packs import Pack

WHOLE_BP = 10_000
Bp = Annotated[int, Meta(ge=1, le=WHOLE_BP)]
Code = Annotated[
    str, Meta(pattern=r"^[a-z][a-z0-9-]{0,39}$", description="a short name of lower-case letters, digits and -")
]


class SplitPart(Struct, frozen=True, forbid_unknown_fields=True):
    """A pot and its share in basis points."""

    pot: str
    share_bp: Bp


class SplitRule(Rule, tag="contribution-split", frozen=True, kw_only=True):
    """How each contribution is split over pots (C5): shares of 10,000 basis points in all.

    `odd_unit_to` is the pot that takes what rounding leaves; "" gives one unit each to the largest remainders, the
    earlier pot first on a tie. `redirect_to` names the pots that a member may turn their whole contribution to.
    Nigeria 40 / 60, Ghana's third tier by the scheme's governing rules.
    """

    parts: Annotated[tuple[SplitPart, ...], Meta(min_length=1)]
    odd_unit_to: str = ""
    redirect_to: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that the shares are one whole, each pot once, and the pots named are among them."""
        pots = [part.pot for part in self.parts]
        total = sum(part.share_bp for part in self.parts)
        if total != WHOLE_BP:
            raise ValueError(f"the shares of the parts sum to {total}, and must sum to 10000 basis points: 100 is 1 %")
        if len(set(pots)) != len(pots):
            raise ValueError("each pot may stand once")
        others = {*self.redirect_to, *([self.odd_unit_to] if self.odd_unit_to else [])} - set(pots)
        if others:
            raise ValueError(f"{', '.join(sorted(others))} is no pot of the split")


class DeductionRule(Rule, tag="deduction-before-split", frozen=True, kw_only=True):
    """What is taken from a contribution before it is split (C6): a premium or a fee, in the order of `order`.

    Either an amount or a share; `once_per` says how often it is due: on every payment, or on the first of a month or
    scheme year; those of its value date. Where the payment does not hold it, `when_short` takes what is there, leaves it out,
    or refuses the payment. It is held for `party`. Ghana's informal sector fund took a life premium first and halved the rest.
    """

    many: ClassVar[bool] = True
    one_for: ClassVar[tuple[str, ...]] = ("order",)
    order: Annotated[int, Meta(ge=1, le=100)]
    purpose: Literal["premium", "fee"]
    party: Code
    amount: Figure | None = None
    share_bp: Bp | None = None
    once_per: Literal["payment", "month", "scheme-year"]
    when_short: Literal["take-what-is-there", "leave-out", "refuse"]
    rounding: Rounding = "down"

    def __post_init__(self) -> None:
        """Check that it is either an amount or a share."""
        if (self.amount is None) == (self.share_bp is None):
            raise ValueError("say either amount or share_bp")


class Payee(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who a part of a payment is for: `product` is the scheme's own, "" money held for somebody else."""

    code: Code
    amount: Figure
    product: str = ""


class PayeesRule(Rule, tag="payees", frozen=True, kw_only=True):
    """One payment for several payees (C7): each its own amount, then the splitter's fee, if any.

    A payment that falls short is shared in the order of the payees or in proportion to their amounts; what is over goes
    to `excess_to`. Payments by one of `channels` are shared, by any where none is named; others are the product's whole. What is
    the payee's of the product is the contribution; the rest is held for the others. Kenya: KES 60 = 25 pension + 18 health +
    17 welfare, and KES 2 for the splitter.
    """

    payees: Annotated[tuple[Payee, ...], Meta(min_length=2)]
    splitter: Code
    splitter_fee: Figure
    fee_first: bool
    when_short: Literal["in-order", "pro-rata"]
    excess_to: Code
    channels: tuple[Code, ...] = ()

    def __post_init__(self) -> None:
        """Check that each payee stands once, and that what is over goes to one of them."""
        codes = [payee.code for payee in self.payees]
        if len(set(codes)) != len(codes) or self.splitter in codes:
            raise ValueError("each payee may stand once, and the splitter is none of them")
        if self.excess_to not in codes:
            raise ValueError(f"excess_to {self.excess_to} is none of the payees")


def channel_problems(pack: Pack) -> list[PackProblem]:
    """Return each channel that a rule shares payments by, and that the pack has not."""
    known = {one.code for one in pack.channels}
    return [
        PackProblem(
            f"{code}/rules/{version.page or version.effective_from.isoformat()}.toml",
            f"{version.rule.id}.channels",
            f"{channel} is no channel of the pack; its channels are {', '.join(sorted(known))}",
        )
        for code, book in pack.books.items()
        for version in book.versions()
        if isinstance(version.rule, PayeesRule)
        for channel in version.rule.channels
        if channel not in known
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContributionTerms:
    """A product's contribution terms as in force for one member on one date, and the rules they are from."""

    limits: AmountLimits
    pots: tuple[str, ...]
    shares: tuple[int, ...]
    odd_unit_to: str
    redirect_to: tuple[str, ...]
    rules: tuple[str, ...]

    @classmethod
    def of(
        cls, amount: AmountRule, split: SplitRule, figures: Figures, on: date, rules: tuple[str, ...]
    ) -> "ContributionTerms":
        """Return the terms that two rules say on a day.

        Raises:
            SeriesValueMissing: a limit is a multiple of a series without a value then.
        """
        return cls(
            limits=AmountLimits.of(amount, figures, on),
            pots=tuple(part.pot for part in split.parts),
            shares=tuple(part.share_bp for part in split.parts),
            odd_unit_to=split.odd_unit_to,
            redirect_to=split.redirect_to,
            rules=rules,
        )


def split_contribution(
    amount: Amount, terms: ContributionTerms, *, redirect: str = ""
) -> tuple[tuple[str, Amount], ...]:
    """Check a payment against its terms and split it over their pots.

    Returns:
        (pot, amount) of every pot that gets anything; the amounts add up to `amount` exactly. Each share is rounded
        down; what is left goes to the terms' `odd_unit_to`, else to the largest remainders, the earlier pot first.

    Raises:
        BelowMinimum, AboveMaximum, NotAMultiple, NotATier: the terms do not take this amount.
        RedirectNotAllowed: the member may not turn it to the pot `redirect`.
    """
    terms.limits.check(amount)
    return split_over_pots(amount, terms, redirect=redirect)


def split_over_pots(amount: Amount, terms: ContributionTerms, *, redirect: str = "") -> tuple[tuple[str, Amount], ...]:
    """Split an amount over the pots of its terms, whatever its size; as `split_contribution`."""
    if redirect:
        if redirect not in terms.redirect_to:
            raise RedirectNotAllowed(pot=redirect, allowed=", ".join(terms.redirect_to) or "none")
        return ((redirect, amount),)
    if len(terms.pots) == 1:
        return ((terms.pots[0], amount),)
    if terms.odd_unit_to:
        floors = [amount.units * share // WHOLE_BP for share in terms.shares]
        floors[terms.pots.index(terms.odd_unit_to)] += amount.units - sum(floors)
        parts = tuple(Amount(units, amount.asset) for units in floors)
    else:
        parts = amount.share_out(terms.shares)
    return tuple((pot, part) for pot, part in zip(terms.pots, parts, strict=True) if part.units)


@dataclass(frozen=True, slots=True)
class Deducted:
    """What was taken for one party before the split."""

    rule: str
    party: str
    purpose: str
    amount: Amount


def deduct(
    amount: Amount,
    rules: Sequence[tuple[str, DeductionRule]],
    figures: Figures,
    on: date,
    *,
    taken: Mapping[str, bool] | None = None,
) -> tuple[tuple[Deducted, ...], Amount]:
    """Take what comes before the split; return each part, and what is left to be split.

    Args:
        amount: the payment.
        rules: (ref, rule) of every deduction in force; they are taken by `order`, then by id.
        figures: what amounts are worth.
        on: the payment's day.
        taken: the ids of rules that were taken already in the month or scheme year they are due once in.

    Raises:
        PaymentTooShort: a deduction that refuses short payments finds too little.
    """
    left, parts = amount, []
    for ref, rule in sorted(rules, key=lambda one: (one[1].order, one[1].id)):
        if (taken or {}).get(rule.id, False) and rule.once_per != "payment":
            continue
        if rule.amount is not None:
            due = figures.amount(rule.amount, on)
        else:
            assert rule.share_bp is not None
            due = Amount(rounded(Fraction(amount.units * rule.share_bp, WHOLE_BP), rule.rounding), amount.asset)
        if left < due:
            if rule.when_short == "refuse":
                raise PaymentTooShort(least=str(due.decimal()))
            due = left if rule.when_short == "take-what-is-there" else Amount(0, amount.asset)
        if due.units:
            parts.append(Deducted(ref, rule.party, rule.purpose, due))
            left = left - due
    return tuple(parts), left


def share_among_payees(amount: Amount, rule: PayeesRule, figures: Figures, on: date) -> dict[str, Amount]:
    """Return what each payee gets of one payment, and the splitter; all of it goes somewhere.

    A short payment is shared as the rule says, each part rounded down and what is left given in the payees' order. The
    splitter's fee comes before or after the payees; what is over goes to the payee that the rule names.
    """
    fee = figures.amount(rule.splitter_fee, on)
    wanted = {payee.code: figures.amount(payee.amount, on) for payee in rule.payees}
    found: dict[str, Amount] = {}
    left = amount
    if rule.fee_first:
        found[rule.splitter] = min(fee, left)
        left = left - found[rule.splitter]
    due = Amount(sum(one.units for one in wanted.values()), amount.asset)
    if due <= left:
        found |= wanted
        left = left - due
    elif rule.when_short == "in-order":
        for code, want in wanted.items():
            found[code] = min(want, left)
            left = left - found[code]
    else:
        shared = left.share_out([one.units for one in wanted.values()])
        found |= dict(zip(wanted, shared, strict=True))
        left = Amount(0, amount.asset)
    if not rule.fee_first:
        found[rule.splitter] = min(fee, left)
        left = left - found[rule.splitter]
    found[rule.excess_to] = found[rule.excess_to] + left
    return found
