"""Everything that can be wrong with a pack is said with its file, its key and what is allowed; all of it at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.engine.tenancy.conftest import ToyPack

RULES = "main/rules/2020-01-01.toml"
LATER = "main/rules/2022-01-01.toml"


def test_the_toy_pack_is_sound(toy: ToyPack) -> None:
    report = toy.check()
    assert report.problems == ()
    assert report.ok
    assert [(one.name, one.ok) for one in report.scenarios] == [
        ("The least payment is taken", True),
        ("Less is refused", True),
        ("The least payment of 2022 is taken", True),
    ]
    assert report.unproven == ()


@pytest.mark.parametrize("locale", ["sw_KE-u-nu-latn", "sw_KE-u-nu-arab"])
def test_a_locale_may_name_its_digits(toy: ToyPack, locale: str) -> None:
    toy.replace("pack.toml", '"sw_KE"', f'"{locale}"')
    assert toy.check().problems == ()


# (file, what stands there, what is put in its place, the one problem)
SPOILT = [
    ("pack.toml", 'short_name = "Toy"', 'short_nam = "Toy"',
     [('pack.toml: short_nam: "short_nam" is not a known key; did you mean short_name? allowed: adapters, calendar, '
      "channels, country, currency, hosts, languages, line_causes, locales, log_origin, member_number, name, own_days, phone_country, "
      "products, regulator, roles, series, short_name, tables, time_zone, weekend"),
      "pack.toml: short_name: is missing: text of 1 to 120 characters"]),
    ("pack.toml", 'account = "TILL 1"', 'account = "TILL 1"\nacount = "x"',
     ['pack.toml: channels[1].acount: "acount" is not a known key; did you mean account? allowed: account, adapter, code, layout, matching, name, statements, totals_declared']),
    ("pack.toml", "digits = 10", 'digits = "ten"',
     ['pack.toml: member_number.digits: "ten" is not a whole number at least 8, at most 20']),
    ("pack.toml", "digits = 10", "digits = 3",
     ["pack.toml: member_number.digits: 3 is not a whole number at least 8, at most 20"]),
    ("pack.toml", 'prefix = "7"', 'prefix = "77777"',
     ["pack.toml: member_number.prefix: leaves fewer than 6 digits besides the check digit"]),
    ("pack.toml", '"KES"', '"KSH"', ['pack.toml: currency: "KSH" is not a currency of ISO 4217, such as KES']),
    ("pack.toml", '"KES"', '"kes"', ['pack.toml: currency: "kes" is not a currency of ISO 4217, such as KES']),
    ("pack.toml", "Africa/Nairobi", "Africa/Nairobbery",
     ['pack.toml: time_zone: "Africa/Nairobbery" is not a time zone of the IANA database, such as Africa/Nairobi']),
    ("pack.toml", 'calendar = "KE"', 'calendar = "QQ"',
     ['pack.toml: calendar: "QQ" is not a country whose public holidays are known']),
    ("pack.toml", 'phone_country = "KE"', 'phone_country = "QQ"',
     ['pack.toml: phone_country: "QQ" is not a country whose telephone numbers are known']),
    ("pack.toml", 'country = "KE"', 'country = "UG"',
     ['pack.toml: country: "UG" is not the country in the folder\'s name ke-toy']),
    ("pack.toml", 'sw = "sw_KE"\n', "",
     ["pack.toml: locales.sw: is missing: the locale by which the language writes money and dates"]),
    ("pack.toml", '"sw_KE"', '"en_KE"', ['pack.toml: locales.sw: "en_KE" is a locale of another language']),
    ("pack.toml", '"sw_KE"', '"sw_QQ"', ['pack.toml: locales.sw: "sw_QQ" is not a locale that CLDR knows']),
    ("pack.toml", '"sw_KE"', '"sw_KE-u-nu-roman"',
     ['pack.toml: locales.sw: "sw_KE-u-nu-roman" is not a locale such as en_KE, or ar_EG-u-nu-latn, which names its digits']),
    ("pack.toml", '["toy.localhost"]', '["Toy.localhost:80"]',
     ['pack.toml: hosts[1]: "Toy.localhost:80" is not a host name in lower case without port, such as pension.example']),
    ("pack.toml", '["toy.localhost"]', '["toy.localhost", "toy.localhost"]',
     ['pack.toml: hosts[2]: "toy.localhost" stands in row 1 already']),
    ("pack.toml", '"07-01"', '"02-29"',
     ['pack.toml: products[1].scheme_year_start: "02-29" is not a day that every year has, as MM-DD']),
    ("pack.toml", '["own"]', '["own", "theft"]',
     ['pack.toml: products[1].origins[2]: "theft" is not one of own, employer, state-match, gift, insurer, operator']),
    ("pack.toml", "opened_on = 2020-01-01", "opened_on = 2019-12-31",
     [f"{RULES}: the first rule book is of 2020-01-01, but the product opened on 2019-12-31: no rules in between"]),
    ("pack.toml", 'code = "main"', 'code = "mains"',
     ["main/rules: is of no product; products: mains",
      "mains/rules: the product mains has no rule book; write mains/rules/2020-01-01.toml",
      *(f'scenarios/payments.toml: scenario[{row}].product: "main" is not a product; allowed: mains' for row in (1, 2, 3))]),
    ("pack.toml", "[locales]", "[locales", ["pack.toml: is not TOML: Expected ']' at the end of a table declaration (at line 12, column 9)"]),
    (RULES, 'kind = "least"', 'kind = "leest"',
     [f'{RULES}: rule[1].kind: "leest" is not a kind of rule; did you mean least? allowed: least, other, paper']),
    (RULES, 'kind = "least"\n', "", [f"{RULES}: rule[1].kind: is missing; allowed: least, other, paper"]),
    (RULES, "amount = 10", "ammount = 10",
     [f'{RULES}: rule[1].ammount: "ammount" is not a known key; did you mean amount? allowed: amount, applies_by, assumption, confidence, id, kind, parts, source',
      f"{RULES}: rule[1].amount: is missing: a whole number at least 0"]),
    (RULES, "amount = 10", 'amount = 10\nparts = [{ pot = "a", share = 200 }]',
     [f"{RULES}: rule[1].parts[1].share: 200 is not a whole number at least 1, at most 100"]),
    (RULES, "amount = 10", 'amount = 10\nparts = [{ pot = "a", share = 99 }]',
     [f"{RULES}: rule[1]: the shares must sum to 100"]),
    (RULES, "amount = 10", 'amount = 10\napplies_by = "birthday"',
     [f'{RULES}: rule[1].applies_by: "birthday" is not one of event, joining, birth, tranche, scheme-year, benefit-start, death']),
    (RULES, 'source = "page 1"\n', "", [f"{RULES}: rule[1].source: is missing: text in quotes"]),
    (RULES, 'id = "passport"', 'id = "least-payment"',
     [f'{RULES}: rule[2].id: "least-payment" stands in rule[1] already',
      f'{LATER}: repeal[1].id: "passport" is not a rule in force; allowed: least-payment, licence']),
    (RULES, 'kind = "paper"\nid = "passport"\nname = "passport"', 'kind = "least"\nid = "passport"\namount = 1',
     [f"{RULES}: rule[2].kind: a product has one least at a time, and least-payment is in force; give this row that id to replace it, or repeal it"]),
    (RULES, "[[rule]]", '[[repeal]]\nid = "nothing"\nsource = "page 0"\n\n[[rule]]',
     [f"{RULES}: repeal[1].id: the first rule book has nothing to repeal"]),
    (RULES, "[[rule]]", "rules = 1\n\n[[rule]]", [f'{RULES}: rules: "rules" is not a known key; did you mean rule? allowed: change, repeal, rule']),
    (LATER, 'id = "passport"', 'id = "pasport"',
     [f'{LATER}: repeal[1].id: "pasport" is not a rule in force; did you mean passport? allowed: least-payment, licence, passport']),
    (LATER, 'kind = "paper"\nid = "licence"\nname = "licence"', 'kind = "other"\nid = "passport"',
     [f'{LATER}: repeal[1].id: "passport" stands in rule[2] already',
      f"{LATER}: rule[2].kind: the rule passport is of another kind; repeal it and choose a new id"]),
    ("branding/theme.toml", "#111111", "#8a8a8a",
     ["branding/theme.toml: colours.text: has a contrast of 3.45 to 1 on background; at least 4.5 is needed",
      "branding/theme.toml: colours.text: has a contrast of 3.13 to 1 on surface; at least 4.5 is needed"]),
    ("branding/theme.toml", 'button_text = "#ffffff"', 'button_text = "#004489"',
     ["branding/theme.toml: colours.button_text: has a contrast of 1.00 to 1 on button; at least 4.5 is needed"]),
    ("branding/theme.toml", '"#cccccc"', '"silver"',
     ['branding/theme.toml: colours.line: "silver" is not a colour such as #1a2b3c, in lower case']),
    ("content/sw/consents.toml", 'id = "rules"', 'id = "other"',
     ["content/en: has no text for the consent other", "content/sw: has no text for the consent rules"]),
    ("content/en/consents.toml", 'text = "I agree to the rules of the scheme."', 'text = "Yes"',
     ["content/en: has no text for the consent rules",
      'content/en/consents.toml: consent[1].text: "Yes" is not the words agreed to, 20 to 20000 characters']),
    ("locales/sw/LC_MESSAGES/engine.po", "ni {minimum}", "ni {kima}",
     [("locales/sw/LC_MESSAGES/engine.po: The smallest contribution is {minimum}.: has the placeholders {kima} in "
      "translation, {minimum} in the original")]),
    ("locales/sw/LC_MESSAGES/engine.po", "ni {minimum}", "ni {minimum",
     [("locales/sw/LC_MESSAGES/engine.po: The smallest contribution is {minimum}.: has a placeholder that cannot be "
      "read: expected '}' before end of string")]),
    ("scenarios/payments.toml", 'kind = "pay"', 'kind = "play"',
     ['scenarios/payments.toml: scenario[1].kind: "play" is not a decision; allowed: pay']),
    ("scenarios/payments.toml", 'taken = "10"', 'taken = "11"',
     ['scenarios/payments.toml: scenario[1].expect.taken: The least payment is taken: expected "11", came out as "10"']),
    ("scenarios/payments.toml", "amount = 10", "amount = 9",
     ['scenarios/payments.toml: scenario[1].expect.refused: The least payment is taken: expected taken = "10", papers = "passport", but was refused: "toy.too-little"']),
    ("scenarios/payments.toml", 'refused = "toy.too-little"', 'refused = "toy.too-much"',
     ['scenarios/payments.toml: scenario[2].expect.refused: Less is refused: expected "toy.too-much", came out as "toy.too-little"']),
    ("scenarios/payments.toml", "given = { amount = 10 }", "given = {}",
     ["scenarios/payments.toml: scenario[1].given.amount: The least payment is taken: is needed for this kind of decision"]),
    ("scenarios/payments.toml", "amount = 10", 'amount = "ten"',
     ["scenarios/payments.toml: scenario[1].given: The least payment is taken: could not be decided: ValueError: invalid literal for int() with base 10: 'ten'"]),
    ("scenarios/payments.toml", 'expect = { taken = "10", papers = "passport" }', "expect = {}",
     ["scenarios/payments.toml: scenario[1].expect: {} is not a table with at least one outcome"]),
    ("scenarios/payments.toml", 'expect = { refused = "toy.too-little" }', 'expect = { refused = "x", taken = "1" }',
     ["scenarios/payments.toml: scenario[2].expect: what is refused has no other outcome"]),
    ("scenarios/payments.toml", 'name = "Less is refused"', 'name = "The least payment is taken"',
     ['scenarios/payments.toml: scenario[2].name: "The least payment is taken" stands in scenarios/payments.toml already']),
]  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "expected"), SPOILT)
def test_a_spoilt_pack_says_what_is_wrong(toy: ToyPack, file: str, old: str, new: str, expected: list[str]) -> None:
    report = toy.replace(file, old, new).check()
    assert sorted(str(problem) for problem in report.problems) == sorted(expected)
    assert not report.ok


def test_a_rule_book_must_be_named_by_its_day(toy: ToyPack) -> None:
    toy.write("main/rules/2024-1-1.toml", '[[repeal]]\nid = "licence"\nsource = "page 6"\n')
    assert toy.problems() == [
        "main/rules/2024-1-1.toml: a rule book is named by the day it takes effect: 2024-04-01.toml, or 2024-04-01-second-law.toml"
    ]


def test_a_rule_book_must_say_something(toy: ToyPack) -> None:
    toy.write("main/rules/2024-01-01.toml", "# later\n")
    assert toy.problems() == ["main/rules/2024-01-01.toml: has neither a [[rule]] nor a [[repeal]]"]


def test_a_product_without_rules_is_refused(toy: ToyPack) -> None:
    toy.remove(RULES).remove(LATER)
    assert "main/rules: the product main has no rule book; write main/rules/2020-01-01.toml" in toy.problems()


@pytest.mark.parametrize("file", ["helper.py", "main/rules/rules.py", "demo/load.py"])
def test_code_in_a_pack_is_refused(toy: ToyPack, file: str) -> None:
    toy.write(file, "print('hello')\n")
    assert f"{file}: is code; a pack is data only" in toy.problems()


def test_a_file_without_a_place_is_refused(toy: ToyPack) -> None:
    toy.write("secrets.txt", "x")
    (problem,) = toy.problems()
    assert problem.startswith(
        "secrets.txt: is no file of a pack; allowed: pack.toml, dimensions.toml, README.md, branding/theme.toml"
    )


def test_a_link_is_refused(toy: ToyPack) -> None:
    (toy.path / "README.md").symlink_to("/etc/hostname")
    assert toy.problems() == ["README.md: is a link; a pack holds its own files"]


def test_bytes_that_are_no_text_are_refused(toy: ToyPack) -> None:
    toy.write("README.md", b"\xff\xfe")
    assert toy.problems() == ["README.md: is not text in UTF-8"]


def test_a_language_the_pack_does_not_speak_is_refused(toy: ToyPack) -> None:
    toy.write("content/fr/consents.toml", '[[consent]]\nid = "rules"\ntitle = "x"\ntext = "x x x x x x x x x x x x"\n')
    assert toy.problems() == ["content/fr: is of no language of the pack; languages: en, sw"]


@pytest.mark.parametrize("file", ["pack.toml", "branding/theme.toml", "branding/logo.svg"])
def test_what_is_missing_is_named(toy: ToyPack, file: str) -> None:
    toy.remove(file)
    assert f"{file}: is missing" in toy.problems()


def test_an_empty_folder_and_no_folder_are_told_apart(toy: ToyPack, tmp_path: Path) -> None:
    (tmp_path / "ke-none").mkdir()
    toy.path = tmp_path / "ke-none"
    assert "pack.toml: is missing" in toy.problems()
    toy.path = tmp_path / "ke-nowhere"
    assert toy.problems()[0].endswith("ke-nowhere is no folder")


def test_all_problems_come_in_one_run(toy: ToyPack) -> None:
    toy.replace("pack.toml", '"KES"', '"XXX"').replace("pack.toml", "digits = 10", "digits = 99")
    toy.replace(RULES, "amount = 10", "amount = -1").replace(LATER, 'id = "passport"', 'id = "visa"')
    toy.replace("branding/theme.toml", "#111111", "#eeeeee").replace("scenarios/payments.toml", "on = ", "in = ")
    toy.write("branding/logo.svg", "<svg>")
    keys = [(problem.file, problem.key) for problem in toy.check().problems]
    assert keys == [
        ("branding/logo.svg", ""),
        ("branding/logo.svg", ""),
        ("branding/theme.toml", "colours.text"),
        ("branding/theme.toml", "colours.text"),
        (RULES, "rule[1].amount"),
        (LATER, "repeal[1].id"),
        ("pack.toml", "currency"),
        ("pack.toml", "member_number.digits"),
        ("scenarios/payments.toml", "scenario[1].in"),
        ("scenarios/payments.toml", "scenario[1].on"),
    ]


def test_rows_are_told_in_reading_order(toy: ToyPack) -> None:
    rows = "".join(f'\n[[rule]]\nkind = "nothing"\nid = "r{row}"\n' for row in range(3, 13))
    toy.append(RULES, rows)
    assert [problem.key for problem in toy.check().problems] == [f"rule[{row}].kind" for row in range(3, 13)]


def test_a_runner_that_asks_nothing_proves_nothing(toy: ToyPack) -> None:
    toy.append(LATER, '\n[[rule]]\nkind = "other"\nid = "other"\nsource = "page 9"\nconfidence = "high"\n')
    assert toy.check().unproven == ("main/other@2022-01-01",)
    assert toy.check().ok
