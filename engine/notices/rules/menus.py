"""The menu on a telephone, as data of a pack, and what it shows after what was typed.

    invalid = "Not understood."
    back = "0 Back 00 Home"
    pin = "Your PIN:"
    wrong_pin = "Wrong PIN. Dial again."
    locked = "PIN locked. We will call you."
    not_now = "Not possible now. Try later."
    nothing = "Nothing to show yet."
    whose = "Your member number:"
    starts = { member = "main", new = "welcome" }

    [[screen]]
    id = "main"
    text = "{scheme}"
    placeholders = { scheme = { longest = 20 } }
    choices = [{ label = "Save", to = "amount" }, { label = "Balance", to = "balance" }]

    [[screen]]
    id = "amount"
    text = "How much?"
    input = { name = "amount", kind = "amount", to = "confirm" }

    [[screen]]
    id = "balance"
    text = "You have {balance}"
    placeholders = { balance = { longest = 18 } }
    ends = true
    action = "show-balance"

A gateway sends all that was typed since the session began; `walk` folds it from the start each time. So the same inputs
always lead to the same screen, a request sent twice changes nothing, and a session that was cut off goes on where it
stopped by `walk` from the position it had.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from engine.notices.rules.gsm7 import Encoding, fits, units
from engine.notices.rules.messages import UssdScreen
from engine.notices.rules.placeholders import PlaceholderName, Placeholders, fill, written
from engine.tenancy.rules.manifest import Code

BACK, HOME = "0", "00"
MEMBER, NEW, SEVERAL = "member", "new", "several"
"""Who begins a session: a member, somebody unknown, one of several members who share the telephone."""
PIN, MEMBER_NUMBER = "pin", "member_number"
"""Under which names the PIN, and the number of one of several members, are kept."""
CHOICES_MAX = 7

_Line = Annotated[str, Meta(min_length=1, max_length=60, description="text of 1 to 60 characters")]


class InputKind(StrEnum):
    """What may be typed: a whole positive amount of money, digits (a PIN, a number), or any text."""

    AMOUNT = "amount"
    DIGITS = "digits"
    TEXT = "text"


class Choice(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One numbered line; `value` is kept as the answer where the screen has a name, else the line's number."""

    label: _Line
    to: Code
    value: Annotated[str, Meta(min_length=1, max_length=40)] | None = None


class Input(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is typed on a screen, under which name it is kept, and where it leads.

    A `secret` is shown nowhere. `same_as` names the answer it must repeat.
    """

    name: PlaceholderName
    kind: InputKind
    to: Code
    shortest: Annotated[int, Meta(ge=1, le=80)] = 1
    longest: Annotated[int, Meta(ge=1, le=80)] = 9
    secret: bool = False
    same_as: PlaceholderName | None = None

    def accepts(self, typed: str, answers: Mapping[str, str], encoding: Encoding) -> bool:
        """Return whether `typed` is such a value, which a screen in `encoding` can show again."""
        shown_again = written(typed, encoding)
        if encoding is Encoding.GSM_7 and not fits(shown_again):
            return False
        if not self.shortest <= units(shown_again, encoding) <= self.longest:
            return False
        if self.same_as is not None and answers.get(self.same_as) != typed:
            return False
        return self.kind is InputKind.TEXT or _SHAPES[self.kind].fullmatch(typed) is not None


class Screen(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One screen: it offers `choices`, or asks for an `input`, or `ends` the session, with an `action` or none.

    `name` keeps the choice made. `placeholders` are values of the engine or answers typed before.
    """

    id: Code
    text: Annotated[str, Meta(min_length=1, max_length=160, description="text of 1 to 160 characters")]
    choices: tuple[Choice, ...] = ()
    input: Input | None = None
    ends: bool = False
    action: Code | None = None
    name: PlaceholderName | None = None
    placeholders: Placeholders = {}

    @property
    def ways(self) -> tuple[str, ...]:
        """Return the screens that come next."""
        return (*(one.to for one in self.choices), *((self.input.to,) if self.input else ()))


class Menu(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The screens of one language. `starts` says where who begins, such as a member or a new number.

    The lines are what the engine says by itself: `pin` and `whose` ask (see `guarded`), the others end a session: a wrong
    PIN, one too many of them, what cannot be done now, and what there is nothing to show of.
    """

    screen: Annotated[tuple[Screen, ...], Meta(min_length=1, description="a list of [[screen]]")]
    starts: Annotated[Mapping[PlaceholderName, Code], Meta(min_length=1, description="a table of screens to begin at")]
    invalid: _Line
    back: _Line
    pin: _Line
    wrong_pin: _Line
    locked: _Line
    not_now: _Line
    nothing: _Line
    whose: _Line
    encoding: Encoding = Encoding.GSM_7

    def at(self, screen_id: str) -> Screen:
        """Return a screen; KeyError if there is none of that name."""
        for one in self.screen:
            if one.id == screen_id:
                return one
        raise KeyError(screen_id)


def guarded(menu: Menu, actions: frozenset[str]) -> Menu:
    """Return the menu with a screen that asks for the PIN before each end with one of `actions`.

    Where it has a start of members, one more start asks first which of the members who share a telephone is there.
    The screens that are put in have names that no pack can give.
    """
    behind = {one.id: f"pin:{one.id}" for one in menu.screen if one.action in actions}
    pins = [Screen(id=behind[to], text=menu.pin, input=replace(_PIN, to=to)) for to in behind]
    screens = [_led(one, behind) for one in menu.screen] + pins
    member = menu.starts.get(MEMBER)
    if member is None:
        return replace(menu, screen=tuple(screens))
    asked = replace(_MEMBER_NUMBER, to=behind.get(member, member))
    whose = Screen(id=f"{SEVERAL}:", text=menu.whose, input=asked)
    return replace(menu, screen=(*screens, whose), starts={**menu.starts, SEVERAL: whose.id})


def _led(screen: Screen, instead: Mapping[str, str]) -> Screen:
    """Return the screen with its ways to others led to those instead."""
    choices = tuple(replace(one, to=instead.get(one.to, one.to)) for one in screen.choices)
    asked = screen.input and replace(screen.input, to=instead.get(screen.input.to, screen.input.to))
    return replace(screen, choices=choices, input=asked)


class Step(Struct, frozen=True, kw_only=True):
    """A screen that was left, and what was answered there, if anything is kept of it. The repr shows no answer."""

    screen: str
    name: str = ""
    value: str = ""

    def __repr__(self) -> str:
        """Return what may be logged."""
        return f"Step(screen={self.screen!r}, name={self.name!r})"


class Position(Struct, frozen=True, kw_only=True):
    """Where a session stands: the screen shown, the way to it, and whether the last input was not understood."""

    start: str
    screen: str
    way: tuple[Step, ...] = ()
    refused: bool = False

    @property
    def answers(self) -> dict[str, str]:
        """Return what was answered on the way, by name; the last of a name."""
        return {step.name: step.value for step in self.way if step.name}


def begin(menu: Menu, start: str) -> Position:
    """Return where a session begins; KeyError if the menu has no such start."""
    return Position(start=menu.starts[start], screen=menu.starts[start])


def walk(menu: Menu, position: Position, inputs: Sequence[str]) -> Position:
    """Return where the session stands after `inputs`, the oldest first. Nothing changes after an end."""
    for typed in inputs:
        position = _step(menu, position, typed.strip())
    return position


def keepable(menu: Menu, position: Position) -> Position:
    """Return where a session may go on after it was cut off: the same place, but before the first secret typed.

    It holds no secret and may be stored. A session that had ended begins again.
    """
    if menu.at(position.screen).ends:
        return Position(start=position.start, screen=position.start)
    for place, step in enumerate(position.way):
        asked = menu.at(step.screen).input
        if asked is not None and asked.secret:
            return Position(start=position.start, screen=step.screen, way=position.way[:place])
    return replace(position, refused=False)


def show(menu: Menu, position: Position, values: Mapping[str, str]) -> UssdScreen:
    """Return the screen to show, which takes one screen at most whatever the values.

    Args:
        menu: a sound menu (`menu_problems`).
        position: where the session stands.
        values: what the engine knows, as people read it; they win over answers of the same name, as KES 500.00 over 500.

    Raises:
        ValueTooLong: a value does not fit where it must not be cut.
        KeyError: a value is missing.

    """
    screen = menu.at(position.screen)
    lines = [menu.invalid] if position.refused else []
    plain = [*lines, *_lines_after(menu, screen, first=position.screen == position.start)]
    text = fill(screen.text.strip(), screen.placeholders, {**position.answers, **values}, menu.encoding)
    written_lines = [written(line, menu.encoding) for line in plain]
    return UssdScreen(
        text="\n".join([*written_lines[: len(lines)], text, *written_lines[len(lines) :]]), ends=screen.ends
    )


def fixed_lines(menu: Menu, screen: Screen, *, first: bool) -> tuple[str, ...]:
    """Return all lines besides the screen's own text, in the longest case: the input before was not understood."""
    refusable = () if screen.ends else (menu.invalid,)
    return (*refusable, *_lines_after(menu, screen, first=first))


def _lines_after(menu: Menu, screen: Screen, *, first: bool) -> tuple[str, ...]:
    numbered = (f"{number} {one.label}" for number, one in enumerate(screen.choices, 1))
    return (*numbered, *(() if screen.ends or first else (menu.back,)))


def _step(menu: Menu, position: Position, typed: str) -> Position:
    screen = menu.at(position.screen)
    if screen.ends:
        return position
    if typed == HOME:
        return Position(start=position.start, screen=position.start)
    if typed == BACK:
        *before, last = position.way or (Step(screen=position.start),)
        return Position(start=position.start, screen=last.screen, way=tuple(before))
    chosen = _chosen(screen, typed) if screen.choices else _typed(screen, typed, position, menu.encoding)
    if chosen is None:
        return replace(position, refused=True)
    to, step = chosen
    return Position(start=position.start, screen=to, way=(*position.way, step))


def _chosen(screen: Screen, typed: str) -> tuple[str, Step] | None:
    if not re.fullmatch(r"[1-9]", typed) or int(typed) > len(screen.choices):
        return None
    choice = screen.choices[int(typed) - 1]
    if screen.name is None:
        return choice.to, Step(screen=screen.id)
    return choice.to, Step(screen=screen.id, name=screen.name, value=choice.value or typed)


def _typed(screen: Screen, typed: str, position: Position, encoding: Encoding) -> tuple[str, Step] | None:
    asked = screen.input
    if asked is None or not asked.accepts(typed, position.answers, encoding):
        return None
    return asked.to, Step(screen=screen.id, name=asked.name, value=typed)


_PIN = Input(name=PIN, kind=InputKind.DIGITS, to="", shortest=4, longest=6, secret=True)
_MEMBER_NUMBER = Input(name=MEMBER_NUMBER, kind=InputKind.TEXT, to="", shortest=4, longest=20)
_SHAPES = {InputKind.AMOUNT: re.compile(r"[1-9][0-9]*"), InputKind.DIGITS: re.compile(r"[0-9]+")}
