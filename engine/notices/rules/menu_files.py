"""A pack's menus: read, and everything that is wrong with one, by screen and reason, before anybody dials it."""

from collections.abc import Iterator, Mapping

from engine.notices.rules.gsm7 import Encoding, units
from engine.notices.rules.menus import BACK, CHOICES_MAX, HOME, InputKind, Menu, Screen, fixed_lines, guarded
from engine.notices.rules.placeholders import named, placeholder_problems, worst_case, written
from engine.tenancy.errors import PackProblem
from engine.tenancy.rules.books import read_toml
from engine.tenancy.rules.decoding import decode, unknown

Actions = Mapping[str, frozenset[str]]
"""What the engine can do at the end of a session, by name, with the answers each needs."""

SAID = ("wrong_pin", "locked", "not_now", "nothing")
"""The lines of a menu that the engine ends a session with."""


def decode_menu(
    file: str,
    content: bytes,
    *,
    actions: Actions | None = None,
    values: frozenset[str] | None = None,
    guards: frozenset[str] = frozenset(),
) -> tuple[Menu | None, list[PackProblem]]:
    """Return the menu of a file, or None and everything that is wrong with it.

    Args:
        file: its name in the pack, `content/<language>/ussd.toml`.
        content: TOML in UTF-8.
        actions: if given, other actions are problems, and those whose answers were not asked for on the way.
        values: if given, placeholders besides these and the answers asked for on the way are problems.
        guards: actions that the PIN is asked for; the menu is returned and checked with the screens that ask.

    """
    problems: list[PackProblem] = []
    table = read_toml(file, content, problems)
    if table is None:
        return None, problems
    menu, problems = decode(table, Menu, file=file)
    if menu is None:
        return None, problems
    menu = guarded(menu, guards)
    problems = [PackProblem(file, key, reason) for key, reason in menu_problems(menu, actions, values)]
    return (None if problems else menu), problems


def menu_problems(
    menu: Menu, actions: Actions | None = None, values: frozenset[str] | None = None
) -> list[tuple[str, str]]:
    """Return what is wrong with a menu, each with its key: "screen main" and the reason."""
    screens: dict[str, Screen] = {}
    found: list[tuple[str, str]] = []
    for one in menu.screen:
        if one.id in screens:
            found.append((_key(one), "stands above already"))
        screens.setdefault(one.id, one)
    for who, start in menu.starts.items():
        if start not in screens:
            found.append((f"starts.{who}", _unknown(start, screens)))
    for one in screens.values():
        found += [(_key(one), reason) for reason in _screen_problems(menu, one, screens)]
    if found:
        return found
    found = [(_key(one), reason) for one in screens.values() for reason in _length_problems(menu, one)]
    found += [(_key(one), reason) for one in screens.values() for reason in _echo_problems(menu, one)]
    found += [(name, reason) for name in SAID for reason in _line_problems(menu, getattr(menu, name))]
    asked = _asked_on_every_way(menu, screens)
    for one in screens.values():
        if one.id not in asked:
            found.append((_key(one), "no way leads to it"))
            continue
        found += [(_key(one), reason) for reason in _answer_problems(one, asked[one.id], actions, values)]
    ending = _leading_to_an_end(screens)
    found += [(_key(one), "no way leads from it to an end") for one in screens.values() if one.id not in ending]
    return found


def _unknown(name: str, screens: Mapping[str, Screen]) -> str:
    """Return that there is no such screen; those that `guarded` put in are nothing a pack can name."""
    return unknown(name, [one for one in screens if ":" not in one], what="a screen")


def _line_problems(menu: Menu, line: str) -> list[str]:
    return placeholder_problems(line.replace("{", "{{").replace("}", "}}"), (), menu.encoding)


def _key(screen: Screen) -> str:
    return f"screen {screen.id}"


def _screen_problems(menu: Menu, one: Screen, screens: Mapping[str, Screen]) -> Iterator[str]:
    """Yield what can be said of one screen by itself."""
    if [bool(one.choices), one.input is not None, one.ends].count(True) != 1:
        yield "must have exactly one of: choices, an input, ends = true"
    if len(one.choices) > CHOICES_MAX:
        yield f"has {len(one.choices)} choices; a screen has {CHOICES_MAX} at most"
    if one.action is not None and not one.ends:
        yield "has an action but does not end the session"
    if one.name is not None and not one.choices:
        yield "has a name for its choice but no choices"
    for to in one.ways:
        if to not in screens:
            yield _unknown(to, screens)
    if one.input is not None:
        if one.input.shortest > one.input.longest:
            yield "its input is shortest longer than it is longest"
        if one.input.kind is InputKind.DIGITS and one.input.shortest <= len(HOME):
            yield f"its input must be of {len(HOME) + 1} digits or more: {BACK} and {HOME} lead back and home"
    yield from placeholder_problems(one.text, one.placeholders, menu.encoding)
    for line in fixed_lines(menu, one, first=False):
        yield from _line_problems(menu, line)
    for name in one.placeholders:
        if f"{{{name}}}" not in one.text:
            yield f"declares {name}, which stands nowhere in its text"


def _length_problems(menu: Menu, one: Screen) -> Iterator[str]:
    first = one.id in menu.starts.values() and one.id not in {to for other in menu.screen for to in other.ways}
    lines = fixed_lines(menu, one, first=first)
    longest = worst_case(one.text.strip(), one.placeholders, menu.encoding)
    longest += sum(units(f"\n{written(line, menu.encoding)}", menu.encoding) for line in lines)
    if longest > menu.encoding.single:
        words = "septets" if menu.encoding is Encoding.GSM_7 else "16-bit units"
        yield f"takes up to {longest} {words}; a screen has {menu.encoding.single}"


def _echo_problems(menu: Menu, one: Screen) -> Iterator[str]:
    """Yield what is wrong with how a screen shows what was typed before."""
    for asked in (other.input for other in menu.screen if other.input is not None):
        declared = one.placeholders.get(asked.name)
        if declared is None:
            continue
        if asked.secret:
            yield f"shows {asked.name}, which is secret"
        elif declared.longest < asked.longest and not declared.cut:
            yield f"shows {asked.name} in {declared.longest}, but {asked.longest} may be typed"


def _answer_problems(
    one: Screen, asked: frozenset[str], actions: Actions | None, values: frozenset[str] | None
) -> Iterator[str]:
    """Yield what is wrong with what a screen shows and needs; `asked` are the answers that are surely there."""
    for name in named(one.text):
        if values is not None and name not in values and name not in asked:
            yield f"shows {name}, which is neither a value of the engine nor asked for on every way here"
    if one.input is not None and one.input.same_as is not None and one.input.same_as not in asked:
        yield f"must repeat {one.input.same_as}, which is not asked for on every way here"
    if one.action is None or actions is None:
        return
    if one.action not in actions:
        yield unknown(one.action, actions, what="an action")
        return
    for name in sorted(actions[one.action] - asked):
        yield f"its action {one.action} needs {name}, which is not asked for on every way here"


def _asked_on_every_way(menu: Menu, screens: Mapping[str, Screen]) -> dict[str, frozenset[str]]:
    """Return, for each screen that can be reached, the answers that every way to it asks for."""
    asked = {start: frozenset[str]() for start in menu.starts.values()}
    waiting = list(asked)
    while waiting:
        one = screens[waiting.pop()]
        kept_here = (one.name, one.input.name if one.input else None)
        after = asked[one.id] | {name for name in kept_here if name is not None}
        for to in one.ways:
            both = asked[to] & after if to in asked else after
            if both != asked.get(to):
                asked[to] = both
                waiting.append(to)
    return asked


def _leading_to_an_end(screens: Mapping[str, Screen]) -> set[str]:
    ending = {one.id for one in screens.values() if one.ends}
    while more := {one.id for one in screens.values() if one.id not in ending and not ending.isdisjoint(one.ways)}:
        ending |= more
    return ending
