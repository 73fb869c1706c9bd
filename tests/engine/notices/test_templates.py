"""Message templates: what is sent fits what was promised, and what is wrong with a pack's is said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel.amounts import Amount, Asset
from engine.notices.errors import ValueTooLong
from engine.notices.rules import gsm7
from engine.notices.rules.gsm7 import Encoding
from engine.notices.rules.placeholders import fill, worst_case
from engine.notices.rules.templates import MessageTemplate, decode_templates, render, room_in

TOML = """\
[[message]]
id = "contribution-received"
text = "{name}, we received {amount}. You have saved {balance}."
subject = "Your receipt"
parts = 1
placeholders = { name = { longest = 20, cut = true }, amount = { longest = 16 }, balance = { longest = 18 } }
whatsapp = { name = "contribution_received", language = "en", values = ["name", "amount"] }

[[message]]
id = "welcome"
text = "እንኳን ደህና መጡ {name}"
encoding = "ucs-2"
placeholders = { name = { longest = 20, cut = true } }
"""
OCCASIONS = {
    "contribution-received": frozenset({"name", "amount", "balance", "receipt"}),
    "welcome": frozenset({"name"}),
    "payout-sent": frozenset({"amount"}),
}
KES = Asset.currency("KES")
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def read(toml: str) -> dict[str, MessageTemplate]:
    templates, problems = decode_templates("content/en/messages.toml", toml.encode(), occasions=OCCASIONS)
    assert problems == []
    return dict(templates)


RECEIPT, WELCOME = read(TOML).values()
MONEY = {"amount": gsm7.money(Amount(50_000, KES)), "balance": gsm7.money(Amount(1_234_567_890, KES))}


def test_a_receipt() -> None:
    message = render(RECEIPT, {"name": "Ọlá Ṣóyínká", **MONEY}, reference="m-1", to="+254711000111", sender="UMOJA")

    assert message.text == "Ola Soyinka, we received KES 500.00. You have saved KES 12,345,678.90."
    assert (message.reference, message.to, message.sender, message.subject) == (
        "m-1", "+254711000111", "UMOJA", "Your receipt",
    )  # fmt: skip
    assert message.template is not None
    assert message.template.values == ("Ola Soyinka", "KES 500.00")
    assert (message.encoding, len(message.pieces)) == (Encoding.GSM_7, 1)


def test_a_name_is_cut_and_an_amount_never() -> None:
    long_name = {"name": "Wanjiru " * 5, **MONEY}
    assert render(RECEIPT, long_name, reference="m", to="+1").text.startswith("Wanjiru Wanjiru Wanj, we")
    with pytest.raises(ValueTooLong, match="amount takes more than 16"):
        render(RECEIPT, {**long_name, "amount": "KES 123,456,789.00"}, reference="m", to="+1")


def test_a_value_cannot_bring_lines_or_placeholders() -> None:
    message = render(RECEIPT, {"name": "{balance}\r\n{amount}", **MONEY}, reference="m", to="+1")

    assert message.text.startswith("{balance} {amount, we received KES 500.00.")


def test_a_script_outside_the_alphabet_is_refused_unless_declared() -> None:
    with pytest.raises(ValueTooLong, match="name has letters"):
        render(RECEIPT, {"name": "አልማዝ", **MONEY}, reference="m", to="+1")
    message = render(WELCOME, {"name": "አልማዝ"}, reference="m", to="+1")
    assert (message.text, message.encoding) == ("እንኳን ደህና መጡ አልማዝ", Encoding.UCS_2)


def test_a_missing_value_is_no_message() -> None:
    with pytest.raises(KeyError):
        render(RECEIPT, MONEY, reference="m", to="+1")


@given(ANY, ANY, st.sampled_from(Encoding))
def test_whatever_the_values_the_text_is_within_its_worst_case(name: str, amount: str, encoding: Encoding) -> None:
    text = RECEIPT.text
    values = {"name": name, "amount": amount, "balance": "1"}
    try:
        filled = fill(text, RECEIPT.placeholders, values, encoding)
    except ValueTooLong:
        return
    assert gsm7.units(filled, encoding) <= worst_case(text, RECEIPT.placeholders, encoding)


@given(st.integers(1, 6), st.sampled_from(Encoding), st.data())
def test_what_fits_the_room_fits_the_parts(parts: int, encoding: Encoding, data: st.DataObject) -> None:
    letters = "a€" if encoding is Encoding.GSM_7 else "ب🙂"
    text = gsm7.cut(data.draw(st.text(letters, max_size=1000)) + letters[1] * 500, room_in(parts, encoding), encoding)

    assert len(gsm7.pieces(text, encoding)) <= parts


SPOILT = [
    ("{amount}.", "{amout}.",
     ['message[1].text: "amout" is not a declared placeholder; did you mean amount? allowed: amount, balance, name']),
    ("amount = { longest = 16 }", "sum = { longest = 16 }, amount = { longest = 16 }",
     ['message[1].placeholders.sum: "sum" is not a value that this message has; allowed: amount, balance, name, receipt']),
    ("amount = { longest = 16 }", "receipt = { longest = 9 }, amount = { longest = 16 }",
     ["message[1].placeholders.receipt: is declared but stands nowhere in the text"]),
    ("longest = 18", "longest = 148",
     ["message[1].text: takes up to 216 septets; 1 of gsm-7 hold 160"]),
    ("longest = 18", "longest = 0",
     ["message[1].placeholders.balance.longest: 0 is not a whole number from 1 to 600"]),
    ("we received", "tumepokea ṣ ẹ “ስ”",
     ['message[1].text: GSM 7-bit has no "ስ"; write it otherwise or declare encoding = "ucs-2"']),
    ('encoding = "ucs-2"', "",
     ['message[2].text: GSM 7-bit has no "እንኳደህናመጡ"; write it otherwise or declare encoding = "ucs-2"']),
    ('encoding = "ucs-2"', 'encoding = "utf-8"',
     ["message[2].encoding: Invalid enum value 'utf-8'"]),
    ('id = "welcome"', 'id = "welcom"',
     [('message[2].id: "welcom" is not a message that the engine sends; did you mean welcome? allowed: '
       "contribution-received, payout-sent, welcome")]),
    ('values = ["name", "amount"]', 'values = ["name", "amont"]',
     [('message[1].whatsapp.values[2]: "amont" is not a declared placeholder; did you mean amount? allowed: amount, '
       "balance, name")]),
    ("parts = 1", "part = 1",
     [('message[1].part: "part" is not a known key; did you mean parts? allowed: encoding, id, parts, placeholders, '
       "subject, text, whatsapp")]),
    ('id = "welcome"', 'id = "contribution-received"',
     ['message[2].id: "contribution-received" stands above already']),
]  # fmt: skip


@pytest.mark.parametrize(("what", "instead", "wrong"), SPOILT)
def test_what_is_wrong_with_a_pack_is_said(what: str, instead: str, wrong: list[str]) -> None:
    assert what in TOML
    _, problems = decode_templates("messages.toml", TOML.replace(what, instead, 1).encode(), occasions=OCCASIONS)

    assert [str(one) for one in problems] == [f"messages.toml: {reason}" for reason in wrong]


def test_a_message_may_be_full_to_the_last_septet() -> None:
    _, problems = decode_templates("messages.toml", TOML.replace("longest = 18", "longest = 92", 1).encode())
    assert problems == []
    _, problems = decode_templates("messages.toml", TOML.replace("longest = 18", "longest = 93", 1).encode())
    assert [one.reason for one in problems] == ["takes up to 161 septets; 1 of gsm-7 hold 160"]


def test_what_is_no_toml_is_one_problem() -> None:
    for content in (b"[[message", b"\xff\xfe"):
        templates, problems = decode_templates("messages.toml", content)
        assert (templates, len(problems)) == ({}, 1)
