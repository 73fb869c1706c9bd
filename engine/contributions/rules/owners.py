"""Whose a payment without an owner may be: what speaks for a member, and how much. Pure.

Nothing here gives money to anybody: it says whom a person might look at first, and why.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from engine.kernel.ids import is_member_number
from engine.kernel.text import N_


class Sign(StrEnum):
    """What speaks for a member as the owner of a payment."""

    THEIR_NUMBER = "their-number"
    THEIR_DOCUMENT = "their-document"
    SWAPPED = "two-digits-swapped"
    MISTYPED = "one-digit-mistyped"
    LEFT_OUT = "one-digit-left-out"
    TOO_MANY = "one-digit-too-many"
    SAME_REFERENCE = "same-reference-before"
    SAME_PAYER = "same-payer-before"
    THEIR_TELEPHONE = "their-telephone"
    AMOUNT_DUE = "amount-is-due"
    USUAL_AMOUNT = "usual-amount"


WEIGHTS: Mapping[Sign, int] = {
    Sign.THEIR_NUMBER: 95,
    Sign.THEIR_DOCUMENT: 90,
    Sign.SAME_REFERENCE: 80,
    Sign.SWAPPED: 70,
    Sign.MISTYPED: 60,
    Sign.SAME_PAYER: 60,
    Sign.LEFT_OUT: 55,
    Sign.TOO_MANY: 55,
    Sign.THEIR_TELEPHONE: 50,
    Sign.AMOUNT_DUE: 30,
    Sign.USUAL_AMOUNT: 20,
}
"""How much each sign speaks for a member if nothing else is known, in percent; swapping two digits is the commonest slip of
those that a check digit shows as one. An order to look in, not a measured likelihood."""

WORDS: Mapping[Sign, str] = {
    Sign.THEIR_NUMBER: N_("The payment names their number."),
    Sign.THEIR_DOCUMENT: N_("The payment names their identity document."),
    Sign.SWAPPED: N_("Their number with two digits swapped"),
    Sign.MISTYPED: N_("Their number with one digit mistyped"),
    Sign.LEFT_OUT: N_("Their number with one digit left out"),
    Sign.TOO_MANY: N_("Their number with one digit too many"),
    Sign.SAME_REFERENCE: N_("A payment with the same reference was theirs."),
    Sign.SAME_PAYER: N_("A payment from the same payer was theirs."),
    Sign.THEIR_TELEPHONE: N_("The payment names their telephone number."),
    Sign.AMOUNT_DUE: N_("They owe exactly this amount."),
    Sign.USUAL_AMOUNT: N_("They paid this amount before."),
}

_ALONE = frozenset({Sign.AMOUNT_DUE, Sign.USUAL_AMOUNT})
"""Signs that find nobody by themselves: too many pay the same."""

MOST_OWNERS = 5


@dataclass(frozen=True, slots=True)
class Likely:
    """Somebody whose a payment may be: a score of 1 to 99, and the signs, the strongest first."""

    member_id: int
    score: int
    signs: tuple[Sign, ...]


def slips(reference: str, *, digits: int, prefix: str = "") -> dict[str, Sign]:
    """Return the member numbers that differ from a reference by one slip of whoever wrote it, each with the slip.

    Two neighbours or next but one swapped, one digit or a pair of the same digit mistyped, one digit left out, one too
    many. Only numbers of `digits` digits that begin with `prefix` and whose check digit is right: of a mistyped number some
    one for each place.

    Args:
        reference: as it is indexed, without blanks.
        digits: how long the scheme's numbers are.
        prefix: what they begin with.

    """
    if not (reference.isascii() and reference.isdigit() and digits - 1 <= len(reference) <= digits + 1):
        return {}
    found: dict[str, Sign] = {}
    for slip, candidates in _slips(reference, digits):
        for number in candidates:
            if number != reference and number.startswith(prefix) and is_member_number(number):
                found.setdefault(number, slip)
    return found


def _slips(text: str, digits: int) -> Iterable[tuple[Sign, Iterable[str]]]:
    places = range(len(text))
    if len(text) == digits:
        swapped = [_swap(text, i, i + 1) for i in places[:-1]] + [_swap(text, i, i + 2) for i in places[:-2]]
        yield Sign.SWAPPED, swapped
        twins = [i for i, (one, other) in enumerate(pairwise(text)) if one == other]
        yield Sign.MISTYPED, [_put(text, i, digit) for i in places for digit in "0123456789"]
        yield Sign.MISTYPED, [_put(_put(text, i, digit), i + 1, digit) for i in twins for digit in "0123456789"]
    elif len(text) == digits - 1:
        yield Sign.LEFT_OUT, [text[:i] + digit + text[i:] for i in range(len(text) + 1) for digit in "0123456789"]
    else:
        yield Sign.TOO_MANY, [text[:i] + text[i + 1 :] for i in places]


def _put(text: str, place: int, digit: str) -> str:
    return text[:place] + digit + text[place + 1 :]


def _swap(text: str, one: int, other: int) -> str:
    return _put(_put(text, one, text[other]), other, text[one])


def likely_owners(signs: Mapping[int, Iterable[Sign]], *, most: int = MOST_OWNERS) -> tuple[Likely, ...]:
    """Return whose a payment may be, the likeliest first.

    Signs add up as if each were wrong by itself: 100 less the product of what each leaves open, rounded down, and never
    more than 99. Who shares a sign with others has it divided among them. Who has only signs of the amount is left out.

    Args:
        signs: what speaks for each member, by member_id.
        most: how many at most.

    """
    shared: dict[Sign, int] = {}
    for found in signs.values():
        for sign in set(found):
            shared[sign] = shared.get(sign, 0) + 1
    owners = []
    for member_id, found in signs.items():
        own = sorted(set(found), key=lambda sign: -WEIGHTS[sign])
        if not set(own) - _ALONE:
            continue
        # Exact: 100^n less the product, in whole numbers.
        left, whole = 1, 1
        for sign in own:
            among = 1 if sign in _ALONE else shared[sign]
            left, whole = left * (100 * among - WEIGHTS[sign]), whole * 100 * among
        score = min((whole - left) * 100 // whole, 99)
        owners.append(Likely(member_id, max(score, 1), tuple(own)))
    return tuple(sorted(owners, key=lambda one: (-one.score, one.member_id))[:most])
