"""Which funds there are, who saves in which, when a price is doubtful, and the arithmetic of a dealing. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Annotated, ClassVar
from zoneinfo import ZoneInfo

from msgspec import Meta, Struct

from engine.funds.errors import NoFundChoice, PriceNotUsable, UnknownFund
from engine.kernel.amounts import Amount
from engine.kernel.prices import MAX_PRICE_SCALE, Price, units_for
from engine.kernel.rules import BY_EVENT, AppliesBy, Rule
from engine.tenancy.rules.proving import MissingInput, ScenarioContext

WHOLE_BP = 10_000
MOST_MEMBERS_IN_RANGE = 10_000
LARGEST_BIGINT = 2**63 - 1

FundCode = Annotated[
    str,
    Meta(
        pattern=r"^[A-Z0-9][A-Z0-9-]{3,23}$",
        description="a fund's code of 4 to 24 capitals, digits and -, as its manager writes it",
    ),
]
Shares = Annotated[Mapping[FundCode, Annotated[int, Meta(ge=1, le=WHOLE_BP)]], Meta(min_length=1)]


class Fund(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A fund: its code and its manager's as price files write them; units are counted in 10^-`unit_scale`."""

    code: FundCode
    name: Annotated[str, Meta(min_length=1, max_length=120)]
    manager: Annotated[str, Meta(min_length=1, max_length=24)]
    unit_scale: Annotated[int, Meta(ge=0, le=8)]


class FundsRule(Rule, tag="funds", frozen=True, kw_only=True):
    """The funds a product deals in. A product without this rule deals in none."""

    may_apply_by: ClassVar[tuple[AppliesBy, ...]] = BY_EVENT
    funds: Annotated[tuple[Fund, ...], Meta(min_length=1)]

    def __post_init__(self) -> None:
        if len({fund.code for fund in self.funds}) != len(self.funds):
            raise ValueError("each fund may stand once")

    def fund(self, code: str) -> Fund:
        """Return the fund; UnknownFund if the product does not deal in it."""
        for fund in self.funds:
            if fund.code == code:
                return fund
        raise UnknownFund(fund=code)


class FundChoiceRule(Rule, tag="fund-choice", frozen=True, kw_only=True):
    """Which funds a member's savings go to, in basis points: by the member's group, else the default.

    Where `members_move`, members may move what they have into other funds of the product: a switch. Where `members_choose`,
    a member's own choice decides for new money before all else.
    """

    by_group: Mapping[str, Shares] = {}
    default: Shares | None = None
    members_move: bool = False
    members_choose: bool = False

    def __post_init__(self) -> None:
        if not self.by_group and self.default is None:
            raise ValueError("say by_group or default: with neither, nothing is ever invested")
        for group, shares in (*self.by_group.items(), ("default", self.default)):
            if shares is not None and sum(shares.values()) != WHOLE_BP:
                raise ValueError(f"the shares of {group} must sum to {WHOLE_BP} basis points")

    def shares_for(self, group: str) -> Mapping[str, int] | None:
        """Return the shares by fund for members of `group` ("" for none), or None if no fund is chosen for them."""
        return self.by_group.get(group, self.default)


class PriceToleranceRule(Rule, tag="price-tolerance", frozen=True, kw_only=True):
    """How far a price may move from the last accepted one before a second person must look, in basis points of that one."""

    may_apply_by: ClassVar[tuple[AppliesBy, ...]] = BY_EVENT
    move_bp: Annotated[int, Meta(ge=1, le=WHOLE_BP)]


class DealingRule(Rule, tag="dealing", frozen=True, kw_only=True):
    """When a day's dealing closes, in the scheme's own time, and the role that owns what rounding leaves over."""

    may_apply_by: ClassVar[tuple[AppliesBy, ...]] = BY_EVENT
    cut_off: Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="a time of day as HH:MM")] = "23:59"
    residue_to: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,39}$")]


@dataclass(frozen=True, slots=True)
class ReconciledReceipt:
    """A receipt whose money is reconciled: `collected` is the code of the collection account that holds it."""

    member_id: int
    event_id: int
    collected: int


def dealing_day(now: datetime, zone: str, cut_off: str) -> date:
    """Return the day whose cut-off is the next to come: today up to and in the minute `cut_off`, after it tomorrow.

    Args:
        now: an aware instant.
        zone: the scheme's IANA time zone.
        cut_off: "HH:MM" in that zone.

    """
    local = now.astimezone(ZoneInfo(zone))
    closes = time.fromisoformat(cut_off)
    is_past = (local.hour, local.minute) > (closes.hour, closes.minute)
    return local.date() + timedelta(days=int(is_past))


def cut_off_instant(day: date, zone: str, cut_off: str) -> datetime:
    """Return the first instant at which the dealing of `day` takes nothing more: the end of the minute `cut_off` of that day.

    Args:
        day: the dealing day.
        zone: the scheme's IANA time zone.
        cut_off: "HH:MM" in that zone.

    """
    return datetime.combine(day, time.fromisoformat(cut_off), ZoneInfo(zone)).astimezone(UTC) + timedelta(minutes=1)


def split_by_choice(amount: int, shares: Mapping[str, int]) -> dict[str, int]:
    """Split `amount` smallest money units (>= 0) over funds by shares in basis points that sum to 10,000.

    Each share is rounded down; what is left goes to the first fund by code. Funds that get nothing are left out.
    """
    assert sum(shares.values()) == WHOLE_BP, shares
    parts = {fund: amount * share // WHOLE_BP for fund, share in sorted(shares.items())}
    parts[min(parts)] += amount - sum(parts.values())
    return {fund: part for fund, part in parts.items() if part}


def is_doubtful(price: Price, last: Price, move_bp: int, split: Fraction = Fraction(1)) -> bool:
    """Return whether `price` moved from `last` by more than `move_bp` basis points of `last`; exactly that much is fine.

    `split` is how many units there are now for each that `last` is of.
    """
    new, old = Fraction(price.decimal()) * split, Fraction(last.decimal())
    return abs(new - old) * WHOLE_BP > old * move_bp


@dataclass(frozen=True, slots=True)
class Conversion:
    """units = floor(amount × `multiplier` ÷ `divisor`), from smallest units of money to those of a fund, or back."""

    multiplier: int
    divisor: int

    @classmethod
    def at(cls, price: Price, *, amount_scale: int, unit_scale: int) -> "Conversion":
        """Return the conversion at `price`: both numbers positive and below 2^63."""
        power = unit_scale + price.scale - amount_scale
        conversion = cls(10 ** max(power, 0), price.digits * 10 ** max(-power, 0))
        assert max(conversion.multiplier, conversion.divisor) <= LARGEST_BIGINT, (price, amount_scale, unit_scale)
        return conversion

    @classmethod
    def selling_at(cls, price: Price, *, amount_scale: int, unit_scale: int) -> "Conversion":
        """Return the conversion the other way round: money = floor(units × `multiplier` ÷ `divisor`) at `price`."""
        buying = cls.at(price, amount_scale=amount_scale, unit_scale=unit_scale)
        return cls(buying.divisor, buying.multiplier)


def business_days_between(after: date, until: date, holidays: Iterable[date]) -> list[date]:
    """Return the days after `after` up to and with `until` that are neither Saturday, Sunday nor in `holidays`."""
    closed = set(holidays)
    days = (after + timedelta(days=i) for i in range(1, (until - after).days + 1))
    return [day for day in days if day.weekday() < 5 and day not in closed]


def run_scenario(context: ScenarioContext) -> Mapping[str, str]:
    """Decide a pack's worked example of an allotment.

    Given `amount` in major units, the member's `group` (if any) and a price by fund in `prices`, returns what goes into
    each fund as "amounts.<fund>" and the units it buys, rounded down, as "units.<fund>".

    Raises:
        NoFundChoice: the product deals in no fund, or no fund is chosen for the group.
        UnknownFund: a fund was chosen that the product does not deal in.
        PriceNotUsable: a price is no positive decimal number of at most eight decimals.
    """
    funds, choice = context.rule(FundsRule), context.rule(FundChoiceRule)
    shares = None if funds is None or choice is None else choice.rule.shares_for(context.text("group"))
    if funds is None or shares is None:
        raise NoFundChoice(day=context.on.isoformat())
    asset = context.asset
    given = context.given.get("prices", {})
    if not isinstance(given, Mapping):
        raise MissingInput("prices")
    found: dict[str, str] = {}
    for code, part in split_by_choice(Amount.parse(context.text("amount"), asset).units, shares).items():
        fund = funds.rule.fund(code)
        if code not in given:
            raise MissingInput(f"prices.{code}")
        price = price_of(str(given[code]))
        units = units_for(part, amount_scale=asset.scale, price=price, unit_scale=fund.unit_scale)
        found[f"amounts.{code}"] = in_units(part, asset.scale)
        found[f"units.{code}"] = in_units(units, fund.unit_scale)
    return found


def price_of(text: str) -> Price:
    """Return a price given as text; PriceNotUsable if it is no positive number of at most eight decimals."""
    try:
        return Price.of(Decimal(text))
    except (InvalidOperation, ValueError) as error:
        raise PriceNotUsable(field="prices", most=MAX_PRICE_SCALE) from error


def in_units(smallest: int, scale: int) -> str:
    """Return smallest units as examples write them: with all `scale` decimals."""
    return f"{Decimal(smallest).scaleb(-scale):.{scale}f}"
