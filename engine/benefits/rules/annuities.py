"""What a series of payments is worth, and which payment a balance buys: certain, for a life, for two lives.

Arithmetic is exact (`fractions.Fraction`) and figures are rounded once, last, by a named `Rounding`. The one exception is
the root that spreads a yearly rate over parts of a year: where it is irrational, it is cut after `ROOT_DECIMALS` decimals.

Sources, cited below by their short names:
    Donald: D. W. A. Donald, Compound Interest and Annuities-Certain (Institute and Faculty of Actuaries, 1956; 2nd ed. 1970).
    Bowers: N. L. Bowers and others, Actuarial Mathematics (Society of Actuaries, 2nd ed. 1997), ch. 5 and 9.
    Dickson: D. C. M. Dickson, M. R. Hardy, H. R. Waters, Actuarial Mathematics for Life Contingent Risks (2nd ed. 2013), ch. 5.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import zip_longest
from math import ceil, floor
from typing import Literal, Self, assert_never

ROOT_DECIMALS = 40
WHOLE_BP = 10_000

Timing = Literal["advance", "arrears"]
"""Whether a payment is made at the start of its period or at its end."""


@dataclass(frozen=True, slots=True)
class Rounding:
    """How an exact figure becomes one that is shown or paid: to a multiple of `step`, in the direction `mode`.

    "down" is towards less and "up" towards more, of losses too; "half-up" takes a tie to more, "half-even" to the even one.
    """

    mode: Literal["down", "up", "half-up", "half-even"]
    step: Fraction = Fraction(1)

    def __post_init__(self) -> None:
        if self.step <= 0:
            raise ValueError(f"a rounding step is more than zero, not {self.step}")

    def apply(self, figure: Fraction) -> Fraction:
        """Return `figure` as a multiple of `step`."""
        return self._steps(figure / self.step) * self.step

    def money(self, figure: Fraction) -> int:
        """Return `figure`, in smallest units of money, as whole smallest units; the step must be a whole number."""
        assert self.step.denominator == 1, self.step
        return int(self.apply(figure))

    def _steps(self, steps: Fraction) -> int:
        match self.mode:
            case "down":
                return floor(steps)
            case "up":
                return ceil(steps)
            case "half-up":
                return floor(steps + Fraction(1, 2))
            case "half-even":
                return round(steps)
            case unknown:
                assert_never(unknown)


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate of return `per_year` (8/100 = 8 %), added to the balance `compounding` times a year.

    Compounded once it is an effective rate; more often, a nominal one: `per_year` ÷ `compounding` each time.
    """

    per_year: Fraction
    compounding: int = 1

    def __post_init__(self) -> None:
        if self.compounding < 1:
            raise ValueError(f"a rate is compounded at least once a year, not {self.compounding} times")
        if self.per_year <= -self.compounding:
            raise ValueError(f"a rate of {self.per_year} loses more than there is")

    @classmethod
    def effective(cls, per_year: str) -> Self:
        """Return the effective yearly rate written in decimals: "0.08" is 8 % a year."""
        return cls(Fraction(per_year))

    @classmethod
    def nominal(cls, per_year: str, compounding: int) -> Self:
        """Return the nominal yearly rate written in decimals, compounded `compounding` times a year."""
        return cls(Fraction(per_year), compounding)

    def growth(self, years: Fraction = Fraction(1)) -> Fraction:
        """Return what 1 becomes in `years` >= 0: (1 + i⁽ᵐ⁾ ÷ m)^(m × years) (Donald, ch. 1; Bowers, 5.4).

        Exact where m × years is whole or the root is rational; else the root is rounded down to `ROOT_DECIMALS` decimals.
        """
        return _power(1 + self.per_year / self.compounding, self.compounding * years)

    def above(self, inflation: "Rate") -> "Rate":
        """Return the effective nominal rate of which this is the real one: (1 + r)(1 + π) - 1 (Fisher's equation)."""
        return Rate(self.growth() * inflation.growth() - 1)


@lru_cache(maxsize=4096)
def _power(base: Fraction, exponent: Fraction) -> Fraction:
    whole, part = divmod(exponent, 1)
    return base**whole * _root(base**part.numerator, part.denominator)


def _root(base: Fraction, degree: int) -> Fraction:
    exact = Fraction(_whole_root(base.numerator, degree), _whole_root(base.denominator, degree))
    if exact**degree == base:
        return exact
    scale = 10**ROOT_DECIMALS
    return Fraction(_whole_root(base.numerator * scale**degree // base.denominator, degree), scale)


def _whole_root(number: int, degree: int) -> int:
    """Return floor(number^(1 ÷ degree)) by Newton's method, from above."""
    guess = 1 << -(-number.bit_length() // degree)
    while (better := ((degree - 1) * guess + number // guess ** (degree - 1)) // degree) < guess:
        guess = better
    return guess


def geometric_sum(ratio: Fraction, count: int) -> Fraction:
    """Return 1 + ratio + … + ratio^(count - 1)."""
    return Fraction(count) if ratio == 1 else (ratio**count - 1) / (ratio - 1)


def accumulated(count: int, growth: Fraction, timing: Timing) -> Fraction:
    """Return what `count` payments of 1, one a period, come to at the end of the last period; `growth` is a period's.

    s = ((1 + i)^n - 1) ÷ i in arrears, (1 + i) × s in advance (Donald, ch. 3; Bowers, 5.2).
    """
    return geometric_sum(growth, count) * (growth if timing == "advance" else 1)


def discounted(count: int, growth: Fraction, timing: Timing) -> Fraction:
    """Return what `count` payments of 1, one a period, are worth at the start of the first period.

    a = (1 - v^n) ÷ i in arrears, (1 + i) × a in advance (Donald, ch. 3; Bowers, 5.2).
    """
    return geometric_sum(1 / growth, count) / (growth if timing == "arrears" else 1)


@dataclass(frozen=True, slots=True)
class MortalityTable:
    """Probabilities `q` of dying within a year, from `first_age` by ages of whole years; the last one is 1."""

    name: str
    source: str
    first_age: int
    q: tuple[Fraction, ...]

    def __post_init__(self) -> None:
        if not self.q or self.q[-1] != 1:
            raise ValueError(f"{self.name}: at the last age death must be certain (q = 1)")
        if any(not 0 <= one <= 1 for one in self.q):
            raise ValueError(f"{self.name}: every q is between 0 and 1")

    @classmethod
    def of_lives(cls, name: str, source: str, first_age: int, lives: Sequence[int]) -> Self:
        """Return the table of which `lives` survive to each age from `first_age`: q = 1 - l(x + 1) ÷ l(x)."""
        pairs = zip(lives, [*lives[1:], 0], strict=True)
        return cls(name, source, first_age, tuple(1 - Fraction(later, now) for now, later in pairs))

    def survival(self, age: int) -> list[Fraction]:
        """Return the chances of who is `age` to live 0, 1, 2, … years more, down to 0; ValueError beyond the table."""
        if not 0 <= age - self.first_age < len(self.q):
            last = self.first_age + len(self.q) - 1
            raise ValueError(f"{self.name} knows ages {self.first_age} to {last}, not {age}")
        chances = [Fraction(1)]
        for q in self.q[age - self.first_age :]:
            chances.append(chances[-1] * (1 - q))
        return chances


@dataclass(frozen=True, slots=True)
class Certain:
    """Paid for `years`, whoever lives."""

    years: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """Paid while one person lives, at least for `guaranteed_years`, and if `years` is given for no more than that."""

    table: MortalityTable
    age: int
    guaranteed_years: int = 0
    years: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """Paid in full while two independent lives last, then in part to who is left; whole for `guaranteed_years`.

    `to_second_bp` goes on when the first has died, `to_first_bp` when the second has. 0 and 0 end at the first death
    (the joint-life annuity), 10,000 and 10,000 at the last; 5,000 and 10,000 pay a member, then half to the spouse.
    """

    first: Life
    second: Life
    to_first_bp: int = WHOLE_BP
    to_second_bp: int = WHOLE_BP
    guaranteed_years: int = 0

    def __post_init__(self) -> None:
        if self.first.guaranteed_years or self.second.guaranteed_years:
            raise ValueError("a guarantee belongs to the joint annuity, not to one of its lives")


Basis = Certain | Life | Joint


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentTerms:
    """How often and when a pension is paid, what it is discounted at, and by how much it rises each anniversary.

    `within_year` says how deaths are spread over a year where it is paid more than once a year: "udd" evenly (uniform
    distribution of deaths), "woolhouse" by the first two terms of Woolhouse's formula. Payments certain need neither.
    """

    rate: Rate
    per_year: int = 12
    timing: Timing = "arrears"
    indexation: Fraction = Fraction(0)
    within_year: Literal["udd", "woolhouse"] = "udd"

    def __post_init__(self) -> None:
        if self.per_year < 1 or self.indexation <= -1:
            raise ValueError("a pension is paid at least once a year, and loses less than all of its value each year")


@lru_cache(maxsize=1024)
def present_value(basis: Basis, terms: PaymentTerms) -> Fraction:
    """Return the value, as payment begins, of 1 a year in `per_year` equal payments, rising yearly by `indexation`.

    Year t adds ((1 + e) ÷ (1 + i))^t times its own value. With A = Σ v^(k÷m) ÷ m over the year's payments k (0 to m - 1 in
    advance, 1 to m in arrears) and S(t) the share expected to be paid at t, that value is

    - A in a year that is certain (Donald, ch. 4);
    - A S(t) + B (S(t + 1) - S(t)) with B = Σ (k÷m) v^(k÷m) ÷ m by uniform distribution of deaths, which for a whole life is
      α(m) ä - β(m) (Bowers, 5.4.6; Dickson, 5.11.1). For two lives it is the status, not each life, that fails evenly;
    - (1 - κ) S(t) + κ v S(t + 1) with κ the mean of k÷m by Woolhouse, which for a whole life is ä - (m - 1) ÷ 2m in
      advance (Dickson, 5.11.2).
    """
    sure, shares = _expected(basis)
    ratio = (1 + terms.indexation) / terms.rate.growth()
    steps = range(terms.per_year) if terms.timing == "advance" else range(1, terms.per_year + 1)
    v = 1 / terms.rate.growth(Fraction(1, terms.per_year))
    paid = [v**step / terms.per_year for step in steps]
    in_year = sum(paid, Fraction(0))
    if terms.within_year == "udd":
        later = sum((part * step for part, step in zip(paid, steps, strict=True)), Fraction(0)) / terms.per_year
        first = in_year - later
    else:
        mean = Fraction(sum(steps), terms.per_year**2)
        first, later = 1 - mean, mean / terms.rate.growth()
    years = range(sure, len(shares) - 1)
    living = (ratio**year * (first * shares[year] + later * shares[year + 1]) for year in years)
    return in_year * geometric_sum(ratio, sure) + sum(living, Fraction(0))


def _expected(basis: Basis) -> tuple[int, list[Fraction]]:
    """Return how many years are certain, and the share expected to be paid at 0, 1, 2, … years."""
    match basis:
        case Certain(years):
            return years, []
        case Life():
            return basis.guaranteed_years, _alive(basis)
        case Joint():
            pairs = zip_longest(_alive(basis.first), _alive(basis.second), fillvalue=Fraction(0))
            to_first, to_second = Fraction(basis.to_first_bp, WHOLE_BP), Fraction(basis.to_second_bp, WHOLE_BP)
            shares = [a * b + to_first * a * (1 - b) + to_second * b * (1 - a) for a, b in pairs]
            return basis.guaranteed_years, shares
        case unknown:
            assert_never(unknown)


def _alive(life: Life) -> list[Fraction]:
    chances = life.table.survival(life.age)
    return chances if life.years is None else chances[: life.years + 1]


def payment(balance: Fraction | int, basis: Basis, terms: PaymentTerms) -> Fraction:
    """Return each payment of the first year that `balance` (>= 0) buys, exactly: balance ÷ (per_year × present value).

    Raises:
        ValueError: on this basis no payment is ever made.
    """
    worth = present_value(basis, terms)
    if not worth:
        raise ValueError("on this basis no payment is ever made, so no balance buys any")
    return balance / (terms.per_year * worth)


def instalments(balance: int, years: int, terms: PaymentTerms, rounding: Rounding) -> tuple[int, ...]:
    """Return the payments by which `balance` (>= 0 smallest units), earning `terms.rate`, is paid out over `years`.

    Each is the exact payment, rounded, and never more than is left; the last one pays out what is left, rounded down.
    Without return the payments add up to the balance.
    """
    level, growth = payment(balance, Certain(years), terms), terms.rate.growth(Fraction(1, terms.per_year))
    count, left, paid = years * terms.per_year, Fraction(balance), list[int]()
    for index in range(count):
        left *= growth if terms.timing == "arrears" else 1
        due = rounding.money(level * (1 + terms.indexation) ** (index // terms.per_year))
        paid.append(floor(left) if index == count - 1 else min(due, floor(left)))
        left = (left - paid[-1]) * (growth if terms.timing == "advance" else 1)
    return tuple(paid)
