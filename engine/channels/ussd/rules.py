"""Where a session on a telephone stands, in which language it speaks, and what it may end with. Pure."""

from collections.abc import Mapping, Sequence
from datetime import date

from msgspec import Struct

from engine.notices.rules.gsm7 import Encoding, fits, units
from engine.notices.rules.menus import MEMBER, NEW, SEVERAL, Menu, Position, walk
from engine.notices.rules.placeholders import written

SCREENS_MAX = 60
"""A session has no more screens than this: nobody types so much, and what is kept of it stays small."""
SCREENS_A_MINUTE = 60
"""A telephone that asked for more within a minute begins no further session."""
WRONG_PINS_MAX = 3
"""So many wrong PINs lock it until people have called back."""
LAST_PAYMENTS = 5

Menus = Mapping[str, Menu]
"""A pack's menus by language."""


class Holder(Struct, frozen=True, kw_only=True):
    """A member who has a PIN on this telephone."""

    member_id: int
    number: str


class Shown(Struct, frozen=True, kw_only=True):
    """A screen that was answered."""

    text: str
    ends: bool


class Kept(Struct, frozen=True, kw_only=True):
    """What is kept of a session, sealed: whose telephone it is, where the typing began, and each screen that was shown.

    `base` is where what is typed in this session is walked from: a start, or where a session that was cut off stopped.
    `where` is where it may go on if it is cut off. `shown` is by digest of all that was typed. No secret is in it.
    """

    language: str
    holders: tuple[Holder, ...]
    base: Position
    where: Position
    shown: Mapping[str, Shown] = {}


class Asked(Struct, frozen=True, kw_only=True):
    """What a request for people says, sealed: the telephone, and what was typed; `pin` is its hash."""

    phone: str
    language: str
    id_number: str = ""
    consent: str = ""
    amount: str = ""
    pin: str = ""


class Payment(Struct, frozen=True):
    """A payment in or back, in smallest units of the scheme's money."""

    day: date
    amount: int


def start_of(holders: Sequence[Holder]) -> str:
    """Return who begins: nobody with a PIN on this telephone, one member, or one of several."""
    return NEW if not holders else MEMBER if len(holders) == 1 else SEVERAL


def spoken(menus: Menus, language: str, position: Position) -> str:
    """Return the language of a screen: the one chosen on the way, else the session's."""
    chosen = position.answers.get("language", language)
    return chosen if chosen in menus else language


def follow(menus: Menus, language: str, position: Position, inputs: Sequence[str]) -> Position:
    """Return where a session stands after what was typed, each read by the menu of the language it was asked in."""
    for typed in inputs:
        position = walk(menus[spoken(menus, language, position)], position, [typed])
    return position


def fitting(text: str, encoding: Encoding) -> str:
    """Return a text of ours as a screen shows it; "" where one screen cannot hold it."""
    shown = written(text, encoding)
    if encoding is Encoding.GSM_7 and not fits(shown):
        return ""
    return shown if units(shown, encoding) <= encoding.single else ""


def last_payments(payments: Sequence[Payment], scale: int) -> str:
    """Return the last payments, the newest first, each as its day and amount: "03/11 +500, 01/10 -200.50".

    Whole amounts are written without decimals, so that five of them fit on a screen.
    """
    return ", ".join(f"{one.day:%d/%m} {_signed(one.amount, scale)}" for one in payments)


def _signed(amount: int, scale: int) -> str:
    whole, part = divmod(abs(amount), 10**scale)
    return f"{'-' if amount < 0 else '+'}{whole}" + (f".{part:0{scale}d}" if part else "")
