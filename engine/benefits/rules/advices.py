"""What a scheme tells another of savings that it sends: how it is written, and what in it must agree. Pure."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Literal

from msgspec import Meta, Struct

from engine.benefits.errors import AdviceDiffers
from engine.benefits.rules.claiming import PaidIn
from engine.benefits.rules.transfers import Brought, Carried, CarriedPayment
from engine.kernel.amounts import Amount, Asset, NotWholeUnits

_UNITS = Asset("", 0)
Money = Annotated[str, Meta(pattern=r"^[0-9]{1,15}(\.[0-9]{1,4})?$")]
Word = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")]
SchemeName = Annotated[str, Meta(min_length=1, max_length=120)]


class AdvicePerson(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whose savings they are, as the sending scheme knows them. Personal data, never logged."""

    number: Word
    full_name: Annotated[str, Meta(min_length=1, max_length=200)]
    born_on: date | None = None

    def __repr__(self) -> str:
        return "AdvicePerson()"


class AdvicePart(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Money of a pot and origin in major units: `contributions` and `income` make the `amount`; `vests_from` is when it was first paid to."""

    pot: Word
    origin: Word
    amount: Money
    contributions: Money
    income: Money
    vests_from: date | None = None


class AdvicePayment(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is left of the contributions of a day to a pot, in major units."""

    paid_on: date
    pot: Word
    origin: Word
    amount: Money


class AdviceTotals(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the parts and payments must add up to, and how many they are."""

    amount: Money
    contributions: Money
    income: Money
    parts: Annotated[int, Meta(ge=0, le=1000)]
    payments: Annotated[int, Meta(ge=0, le=100_000)]


class TransferAdvice(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a scheme tells another of savings that it sends: `reference` stands with the payment too."""

    version: Literal[1]
    reference: Word
    sender: SchemeName
    receiver: SchemeName
    receiver_reference: Annotated[str, Meta(max_length=64, pattern=r"^[\x21-\x7e]*$")] = ""
    dated_on: date
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$")]
    member: AdvicePerson
    product: Word
    joined_on: date
    parts: Annotated[tuple[AdvicePart, ...], Meta(min_length=1, max_length=1000)]
    payments: Annotated[tuple[AdvicePayment, ...], Meta(max_length=100_000)]
    totals: AdviceTotals

    def __repr__(self) -> str:
        return f"TransferAdvice({self.reference})"


def carried(
    nets: Mapping[tuple[str, str], int], paid: Sequence[PaidIn], returned: int
) -> tuple[tuple[Carried, ...], tuple[CarriedPayment, ...]]:
    """Return what goes of each pot and origin, with the contributions in it by the day they were paid.

    Earlier claims `returned` contributions of these pots in proportion. What is held beyond contributions is income; where
    there is less than was paid in, a loss lessens all contributions of that pot and origin in proportion. Nothing is lost.

    Args:
        nets: smallest units that go, by pot and origin.
        paid: all that was paid in.
        returned: how much of it earlier claims gave back.

    """
    pots = {pot for pot, _ in nets}
    counted = [one for one in paid if one.pot in pots and one.minor > 0 and not one.is_reversed]
    left = _shared(max(sum(one.minor for one in counted) - returned, 0), [one.minor for one in counted])
    parts, payments = [], []
    for (pot, origin), net in sorted(nets.items()):
        mine = [
            (one.on, rest) for one, rest in zip(counted, left, strict=True) if (one.pot, one.origin) == (pot, origin)
        ]
        rests = _shared(min(sum(rest for _, rest in mine), net), [rest for _, rest in mine])
        by_day: dict[date, int] = {}
        for (on, _), rest in zip(mine, rests, strict=True):
            by_day[on] = by_day.get(on, 0) + rest
        parts.append(Carried(pot, origin, net, sum(rests)))
        payments += [CarriedPayment(on, pot, origin, rest) for on, rest in sorted(by_day.items()) if rest]
    return tuple(parts), tuple(payments)


def _shared(minor: int, weights: Sequence[int]) -> list[int]:
    """Return `minor` in proportion to weights, at most all of them."""
    total = sum(weights)
    return [one.units for one in Amount(min(minor, total), _UNITS).share_out(weights)] if total else [0] * len(weights)


def advice_parts(
    parts: Sequence[Carried], payments: Sequence[CarriedPayment], asset: Asset
) -> tuple[tuple[AdvicePart, ...], tuple[AdvicePayment, ...], AdviceTotals]:
    """Return what is carried as an advice says it, with its totals."""

    def major(minor: int) -> str:
        return f"{Amount(minor, asset).decimal():.{asset.scale}f}"

    first: dict[tuple[str, str], date] = {}
    for one in payments:
        first[one.pot, one.origin] = min(first.get((one.pot, one.origin), one.paid_on), one.paid_on)
    amount, contributions = sum(one.amount for one in parts), sum(one.contributions for one in parts)
    return (
        tuple(
            AdvicePart(
                pot=one.pot,
                origin=one.origin,
                amount=major(one.amount),
                contributions=major(one.contributions),
                income=major(one.amount - one.contributions),
                vests_from=first.get((one.pot, one.origin)),
            )
            for one in parts
        ),
        tuple(
            AdvicePayment(paid_on=one.paid_on, pot=one.pot, origin=one.origin, amount=major(one.amount))
            for one in payments
        ),
        AdviceTotals(
            amount=major(amount),
            contributions=major(contributions),
            income=major(amount - contributions),
            parts=len(parts),
            payments=len(payments),
        ),
    )


def check_advice(advice: TransferAdvice, asset: Asset, today: date) -> Brought:
    """Return what an advice brings, once all that it says agrees with itself.

    Raises:
        AdviceDiffers: a total, a part or a day does not agree; `field` says which.
    """
    if advice.currency != asset.symbol:
        raise AdviceDiffers(field="currency")
    brought = Brought(
        tuple(
            Carried(one.pot, one.origin, _minor(one.amount, asset), _minor(one.contributions, asset))
            for one in advice.parts
        ),
        tuple(CarriedPayment(one.paid_on, one.pot, one.origin, _minor(one.amount, asset)) for one in advice.payments),
    )
    paid: dict[tuple[str, str], int] = {}
    first: dict[tuple[str, str], date] = {}
    for payment in brought.payments:
        key = (payment.pot, payment.origin)
        paid[key] = paid.get(key, 0) + payment.amount
        first[key] = min(first.get(key, payment.paid_on), payment.paid_on)
    incomes = [_minor(one.income, asset) for one in advice.parts]
    known = {(one.pot, one.origin) for one in brought.parts}
    totals, contributions = advice.totals, sum(one.contributions for one in brought.parts)
    checks = {
        "parts": len(known) == len(brought.parts) and all(one.amount > 0 for one in brought.parts),
        "parts.income": all(
            part.contributions + income == part.amount for part, income in zip(brought.parts, incomes, strict=True)
        ),
        "payments": paid.keys() <= known and all(one.amount > 0 for one in brought.payments),
        "parts.contributions": all(paid.get((one.pot, one.origin), 0) == one.contributions for one in brought.parts),
        "parts.vests_from": all(first.get((one.pot, one.origin)) == one.vests_from for one in advice.parts),
        "payments.paid_on": all(one.paid_on <= advice.dated_on for one in brought.payments),
        "joined_on": advice.joined_on <= advice.dated_on,
        "dated_on": advice.dated_on <= today,
        "totals.amount": _minor(totals.amount, asset) == brought.amount,
        "totals.contributions": _minor(totals.contributions, asset) == contributions,
        "totals.income": _minor(totals.income, asset) == sum(incomes),
        "totals.parts": totals.parts == len(brought.parts),
        "totals.payments": totals.payments == len(brought.payments),
    }
    for field, agrees in checks.items():
        if not agrees:
            raise AdviceDiffers(field=field)
    return brought


def _minor(text: str, asset: Asset) -> int:
    try:
        return Amount.parse(text, asset).units
    except NotWholeUnits as error:
        raise AdviceDiffers(field="amount") from error
