"""The menu on a telephone: what it shows after what was typed, and what a pack is told is wrong with its own."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.notices.errors import ValueTooLong
from engine.notices.rules import gsm7
from engine.notices.rules.gsm7 import Encoding
from engine.notices.rules.menu_files import decode_menu
from engine.notices.rules.menus import Menu, Position, begin, keepable, show, walk

TOML = (Path(__file__).parent / "data" / "ussd.toml").read_text()
ACTIONS = {
    "join": frozenset({"language", "consent", "pin"}),
    "ask-for-call": frozenset({"language"}),
    "save": frozenset({"amount"}),
    "show-balance": frozenset[str](),
}
VALUES = {"scheme": "Umoja Pension", "balance": "KES 12,345,678.90", "name": "Amina Wanjiru"}
OFFERED = frozenset(VALUES)
INPUTS = st.lists(
    st.sampled_from(["1", "2", "3", "7", "0", "00", "500", "4711", "0815", "", " 1 ", "abc", "ቁጥር", "*"]), max_size=12
)


def read(toml: str) -> Menu:
    menu, problems = decode_menu("content/en/ussd.toml", toml.encode(), actions=ACTIONS, values=OFFERED)
    assert problems == []
    assert menu is not None
    return menu


MENU = read(TOML)


def after(*inputs: str, start: str = "member") -> Position:
    return walk(MENU, begin(MENU, start), inputs)


def shown(position: Position, **values: str) -> str:
    return show(MENU, position, {**VALUES, **values}).text


def test_a_member_saves() -> None:
    assert shown(after()) == "Umoja Pension\n1 Save\n2 Balance"
    assert shown(after("1")) == "How much?\n0 Back 00 Home"
    assert (
        shown(after("1", "500"), amount="KES 500.00")
        == "Save KES 500.00 to Umoja Pension for Amina Wanjiru?\n1 Yes\n2 No\n0 Back 00 Home"
    )
    done = after("1", "500", "1")
    assert show(MENU, done, VALUES).ends
    assert (MENU.at(done.screen).action, done.answers) == ("save", {"amount": "500"})


def test_somebody_new_joins_in_her_language_with_a_pin_typed_twice() -> None:
    done = after("2", "1", "4711", "4712", "4711", start="new")

    assert MENU.at(done.screen).action == "join"
    assert done.answers == {"language": "sw", "consent": "yes", "pin": "4711", "pin_again": "4711"}
    assert "4711" not in repr(done)


@pytest.mark.parametrize(
    ("inputs", "screen"),
    [
        pytest.param(["1", "0"], "main", id="0 leads back"),
        pytest.param(["1", "500", "0"], "amount", id="0 leads back one screen"),
        pytest.param(["1", "500", "00"], "main", id="00 leads home"),
        pytest.param(["0"], "main", id="0 at home stays"),
        pytest.param(["1", "500", "0", "300", "1"], "approve", id="an amount can be typed again"),
        pytest.param(["1", "-5"], "amount", id="no negative amount"),
        pytest.param(["1", "1e9"], "amount", id="no other way of writing a number"),
        pytest.param(["1", "12345678"], "amount", id="no amount of eight digits"),
        pytest.param(["1", "05"], "amount", id="no amount with a leading zero"),
        pytest.param(["1", "€€€€"], "amount", id="no letters for an amount"),
        pytest.param(["8"], "main", id="no choice that is not there"),
        pytest.param(["1*2"], "main", id="no two at once"),
        pytest.param(["2", "1", "00"], "balance", id="nothing after an end"),
    ],
)
def test_ways(inputs: list[str], screen: str) -> None:
    assert after(*inputs).screen == screen


@pytest.mark.parametrize(("pin", "screen"), [("471", "pin"), ("4711", "pin-again"), ("47110", "pin"), ("47a1", "pin")])
def test_a_pin_has_its_length(pin: str, screen: str) -> None:
    assert after("1", "1", pin, start="new").screen == screen


def test_going_back_forgets_the_answer() -> None:
    assert after("1", "500", "0").answers == {}
    assert after("1", "500", "0", "300").answers == {"amount": "300"}


def test_what_was_not_understood_is_said_and_the_same_is_asked() -> None:
    assert shown(after("1", "x")) == "Not understood.\nHow much?\n0 Back 00 Home"
    assert shown(after("1", "x", "y", "500"), amount="KES 500.00").startswith("Save")


@given(INPUTS, st.sampled_from(sorted(MENU.starts)))
def test_the_same_inputs_show_the_same_screen_and_each_fits(inputs: list[str], start: str) -> None:
    whole = walk(MENU, begin(MENU, start), inputs)
    by_one = begin(MENU, start)
    for typed in inputs:
        by_one = walk(MENU, by_one, [typed])
    values = {"scheme": "€" * 90, "balance": "B" * 18, "name": "Ọlá " * 30, "amount": "€" * 8}

    assert whole == by_one
    screen = show(MENU, whole, values)
    assert screen == show(MENU, by_one, values)
    assert gsm7.units(screen.text, Encoding.GSM_7) <= 160
    assert len(screen.text) <= 160


@given(INPUTS, INPUTS)
def test_a_session_cut_off_goes_on_where_it_stopped(before: list[str], later: list[str]) -> None:
    assert walk(MENU, after(*before), later) == after(*before, *later)


@pytest.mark.parametrize(
    ("start", "inputs", "screen", "answers"),
    [
        pytest.param("member", ["1", "500"], "confirm", {"amount": "500"}, id="where it stopped"),
        pytest.param("member", ["1", "x"], "amount", {}, id="without the complaint"),
        pytest.param("new", ["2", "1", "4711"], "pin", {"language": "sw", "consent": "yes"}, id="before the PIN"),
        pytest.param("new", ["2", "1", "4711", "4711"], "language", {}, id="from the beginning after an end"),
    ],
)
def test_what_is_kept_of_a_session_that_was_cut_off(
    start: str, inputs: list[str], screen: str, answers: dict[str, str]
) -> None:
    kept = keepable(MENU, after(*inputs, start=start))

    assert (kept.screen, kept.answers, kept.refused) == (screen, answers, False)
    assert b"4711" not in msgspec.json.encode(kept)
    assert msgspec.json.decode(msgspec.json.encode(kept), type=Position) == kept


def test_a_value_that_must_not_be_cut_is_refused() -> None:
    with pytest.raises(ValueTooLong) as refusal:
        show(MENU, after("2"), {"balance": "KES 123,456,789,012.00"})
    assert "123" not in str(refusal.value)
    assert "balance takes more than 18" in str(refusal.value)


SCREENS = "balance, call, confirm, consent, joined, language, main, pin, pin-again"
# (what stands there, what is put in its place, the problems)
SPOILT = [
    ('{ label = "Balance", to = "balance" }', '{ label = "Balance", to = "balanse" }',
     [f'screen main: "balanse" is not a screen; did you mean balance? allowed: amount, approve, {SCREENS}']),
    ('"Type it once more"', '"Type {pin} once more"\nplaceholders = { pin = { longest = 4 } }',
     ["screen pin-again: shows pin, which is secret"]),
    ('text = "How much?"', 'text = "How much? ' + "x" * 120 + '"',
     ["screen amount: takes up to 161 septets; a screen has 160"]),
    ('text = "How much?"', 'text = "How much, {nam}?"',
     ['screen amount: "nam" is not a declared placeholder; allowed: none']),
    ('text = "How much?"', 'text = "How much, {name}?"\nplaceholders = { nam = { longest = 20 } }',
     ['screen amount: "name" is not a declared placeholder; did you mean nam? allowed: nam',
      "screen amount: declares nam, which stands nowhere in its text"]),
    ('text = "How much?"', 'text = "How much, {phone}?"\nplaceholders = { phone = { longest = 13 } }',
     ["screen amount: shows phone, which is neither a value of the engine nor asked for on every way here"]),
    ('text = "How much?"', 'text = "ስንት?"',
     ['screen amount: GSM 7-bit has no "ስንት"; write it otherwise or declare encoding = "ucs-2"']),
    ("amount = { longest = 16 }", "amount = { longest = 6 }",
     ["screen confirm: shows amount in 6, but 7 may be typed"]),
    ('action = "save"', 'action = "safe"',
     ['screen approve: "safe" is not an action; did you mean save? allowed: ask-for-call, join, save, show-balance']),
    ('starts = { member = "main", new = "language" }', 'starts = { member = "main", new = "consent" }',
     ["screen language: no way leads to it",
      "screen call: its action ask-for-call needs language, which is not asked for on every way here",
      "screen joined: its action join needs language, which is not asked for on every way here"]),
    ('action = "show-balance"', 'action = "show-balance"\nchoices = [{ label = "x", to = "main" }]',
     ["screen balance: must have exactly one of: choices, an input, ends = true"]),
    ('choices = [{ label = "Yes", to = "approve" }, { label = "No", to = "main" }]',
     "choices = [" + ", ".join(['{ label = "Yes", to = "approve" }'] * 8) + "]",
     ["screen confirm: has 8 choices; a screen has 7 at most"]),
    ('same_as = "pin"', 'same_as = "amount"',
     ["screen pin-again: must repeat amount, which is not asked for on every way here"]),
    ('text = "You have {balance}"', 'text = "You have {balance.__class__}"',
     ['screen balance: "balance.__class__" is not a declared placeholder; allowed: balance',
      "screen balance: declares balance, which stands nowhere in its text"]),
    ('text = "You have {balance}"', 'text = "You have {balance!r:>999}"',
     ["screen balance: {balance} has more than a name between its braces",
      "screen balance: declares balance, which stands nowhere in its text"]),
    ('text = "You have {balance}"', 'text = "You have {balance"',
     ["screen balance: its braces do not pair: expected '}' before end of string",
      "screen balance: declares balance, which stands nowhere in its text"]),
    ('kind = "amount", longest = 7', 'kind = "digits", longest = 7',
     ["screen amount: its input must be of 3 digits or more: 0 and 00 lead back and home"]),
    ('id = "approve"', 'id = "amount"',
     ["screen amount: stands above already",
      f'screen confirm: "approve" is not a screen; allowed: amount, {SCREENS}']),
    ('invalid = "Not understood."', "",
     ["invalid: is missing: text of 1 to 60 characters"]),
    ('action = "save"', 'action = "save"\npay = true',
     ['screen[10].pay: "pay" is not a known key; allowed: action, choices, ends, id, input, name, placeholders, text']),
]  # fmt: skip


@pytest.mark.parametrize(("what", "instead", "wrong"), SPOILT)
def test_what_is_wrong_is_said_with_screen_and_reason(what: str, instead: str, wrong: list[str]) -> None:
    assert what in TOML
    menu, problems = decode_menu("ussd.toml", TOML.replace(what, instead, 1).encode(), actions=ACTIONS, values=OFFERED)

    assert menu is None
    assert [str(one) for one in problems] == [f"ussd.toml: {reason}" for reason in wrong]


def test_the_pin_comes_before_what_is_guarded_and_is_kept_by_nobody() -> None:
    menu, problems = decode_menu("u", TOML.encode(), actions=ACTIONS, values=OFFERED, guards=frozenset({"save"}))
    assert menu is not None, problems

    asked = walk(menu, begin(menu, "member"), ["1", "500", "1"])
    assert show(menu, asked, VALUES).text == "Your PIN:\n0 Back 00 Home"
    done = walk(menu, asked, ["471", "4711"])
    assert (menu.at(done.screen).action, done.answers) == ("save", {"amount": "500", "pin": "4711"})
    assert keepable(menu, walk(menu, asked, ["x"])) == asked
    balance = walk(menu, begin(menu, "member"), ["2"])
    assert menu.at(balance.screen).action == "show-balance"  # not guarded here


def test_who_shares_a_telephone_says_first_who_is_there() -> None:
    assert shown(after(start="several")) == "Your member number:"
    named = after("3000000017", start="several")
    assert (named.screen, named.answers) == ("main", {"member_number": "3000000017"})


def test_a_screen_may_be_full_to_the_last_septet() -> None:
    read(TOML.replace('text = "How much?"', 'text = "How much? ' + "x" * 118 + '"'))


def test_an_answer_must_be_asked_for_on_every_way_and_not_on_one_alone() -> None:
    toml = TOML.replace('new = "language" }', 'new = "language", again = "consent" }')
    _, problems = decode_menu("ussd.toml", toml.encode(), actions=ACTIONS, values=OFFERED)

    assert [str(one) for one in problems] == [
        "ussd.toml: screen call: its action ask-for-call needs language, which is not asked for on every way here",
        "ussd.toml: screen joined: its action join needs language, which is not asked for on every way here",
    ]


def test_a_trap_is_found() -> None:
    toml = TOML.replace('"Yes", to = "approve"', '"Yes", to = "main"').replace(
        '"Balance", to = "balance"', '"B", to = "main"'
    )
    _, problems = decode_menu("ussd.toml", toml.encode())

    assert "ussd.toml: screen main: no way leads from it to an end" in map(str, problems)


def test_a_screen_in_ucs2_has_70_letters() -> None:
    toml = TOML.replace('invalid = "Not', 'encoding = "ucs-2"\ninvalid = "Not')
    _, problems = decode_menu("ussd.toml", toml.encode())

    assert "ussd.toml: screen confirm: takes up to 113 16-bit units; a screen has 70" in map(str, problems)
