"""Every screen of every menu of every pack, in every language, on every way: it fits, whatever the values."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.app import KINDS, RUNNERS
from engine.notices.ports import UssdScreen
from engine.notices.rules.contents import ACTIONS, GUARDED, VALUES, lessons_of, menus_of
from engine.notices.rules.gsm7 import Encoding, units
from engine.notices.rules.menu_files import SAID
from engine.notices.rules.menus import MEMBER, NEW, SEVERAL, InputKind, Menu, Position, begin, show, walk
from engine.notices.rules.placeholders import written
from engine.tenancy.rules.packs import Pack
from engine.tenancy.service import Tenants
from integrations.messaging.africas_talking.adapter import AfricasTalkingUssd

PACKS = Path(__file__).parents[3] / "tenants"
LOADED: dict[str, Pack] = {one.code: one for one in Tenants.load([PACKS], KINDS, RUNNERS).packs}
MENUS = [(code, language, menu) for code, pack in sorted(LOADED.items()) for language, menu in menus_of(pack).items()]
SCREEN_LETTERS_MAX = 182
"""What the gateway shows of one answer."""


def ways(menu: Menu, position: Position) -> Iterator[str]:
    """Yield all that can be typed on a screen and makes a difference, the longest that is taken, and nonsense."""
    screen = menu.at(position.screen)
    yield from (str(number) for number in range(1, len(screen.choices) + 1))
    yield from ("0", "00", "?", "12345678901234567890123")
    if screen.input is not None:
        same = position.answers.get(screen.input.same_as or "", "")
        longest = "9" * screen.input.longest if screen.input.kind is not InputKind.TEXT else "W" * screen.input.longest
        yield same or longest


def positions(menu: Menu, start: str) -> Iterator[Position]:
    """Yield every place of a menu, each screen with and without a complaint, by one way at least."""
    seen: set[tuple[str, bool]] = set()
    waiting = [begin(menu, start)]
    while waiting:
        position = waiting.pop()
        key = (position.screen, position.refused)
        if key in seen:
            continue
        seen.add(key)
        yield position
        waiting.extend(walk(menu, position, [typed]) for typed in ways(menu, position))


def fits(screen: UssdScreen, menu: Menu) -> bool:
    answer = AfricasTalkingUssd().write(screen).body.decode()
    assert answer.startswith("END " if screen.ends else "CON ")
    return 0 < units(screen.text, menu.encoding) <= menu.encoding.single and len(answer) <= SCREEN_LETTERS_MAX


@pytest.mark.parametrize(("code", "language", "menu"), MENUS, ids=[f"{code}-{language}" for code, language, _ in MENUS])
def test_every_screen_fits_on_every_way_with_the_longest_values(code: str, language: str, menu: Menu) -> None:
    shown: set[str] = set()
    ends: set[str | None] = set()
    for start in (MEMBER, NEW, SEVERAL):
        for position in positions(menu, start):
            screen = menu.at(position.screen)
            longest = {name: "W" * one.longest for name, one in screen.placeholders.items()}
            assert fits(show(menu, position, longest), menu), (code, language, screen.id)
            shown.add(screen.id)
            ends |= {screen.action} if screen.ends else set()
            if screen.action in GUARDED:
                assert "pin" in position.answers, screen.id

    assert shown == {one.id for one in menu.screen}
    assert ends - {None} <= ACTIONS.keys()
    assert {"join", "save", "show-balance", "show-last-payments", "send-statement"} <= ends
    for name in SAID:
        assert fits(UssdScreen(text=written(getattr(menu, name), menu.encoding), ends=True), menu)


def test_there_is_a_menu_in_every_language_of_every_pack() -> None:
    assert {(code, language) for code, language, _ in MENUS} == {
        (code, language) for code, pack in LOADED.items() for language in pack.languages
    }
    assert {menu.encoding for _, _, menu in MENUS} == set(Encoding)
    assert {name for _, _, menu in MENUS for one in menu.screen for name in one.placeholders} <= VALUES
    assert all(lessons_of(LOADED[code], language) for code, language, _ in MENUS)
