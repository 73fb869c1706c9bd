"""Every pack in the project is sound by the engine's own kinds and decisions, and fits together beyond what it must."""

from __future__ import annotations

import csv
import re
import unicodedata
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from engine.app import KINDS, RUNNERS
from engine.contributions import rules as contributions
from engine.enrolment import rules as enrolment
from engine.funds import rules as funds
from engine.kernel.prices import Price
from engine.kernel.rules import Dates
from engine.tenancy.rules import Pack
from engine.tenancy.service import Tenants, check_pack, load_pack

TENANTS = Path(__file__).resolve().parents[2] / "tenants"
FOLDERS = sorted(path.parent for path in TENANTS.glob("*/pack.toml"))
TODAY = date(2024, 3, 27)
# Decided where prices and the clock are, so no example reaches them; tested below by the functions that decide.
WITHOUT_EXAMPLE = {"price-tolerance", "dealing"}


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> Path:
    assert isinstance(request.param, Path)
    return request.param


@pytest.fixture
def pack(folder: Path) -> Pack:
    return load_pack(folder, KINDS)


def test_both_packs_are_there() -> None:
    assert {folder.name for folder in FOLDERS} >= {"in-nps-lite", "rw-ejoheza"}


def test_the_pack_and_its_examples_are_sound(folder: Path) -> None:
    report = check_pack(folder, KINDS, RUNNERS)
    assert [str(problem) for problem in report.problems] == []
    assert {kind.kind for kind in report.scenarios} >= {"contribution", "enrolment"}
    assert {ref.partition("/")[2].partition("@")[0] for ref in report.unproven} <= WITHOUT_EXAMPLE


def test_all_packs_can_be_served_together() -> None:
    assert [pack.code for pack in Tenants.load([TENANTS], KINDS, RUNNERS).packs] == [one.name for one in FOLDERS]


def test_every_figure_says_where_it_is_from(pack: Pack) -> None:
    for book in pack.books.values():
        for version in book.versions():
            assert len(version.rule.source) >= 15, version.ref


def test_money_is_split_over_pots_the_product_has(pack: Pack) -> None:
    for product in pack.products:
        rule = pack.books[product.code].in_force(contributions.SplitRule, Dates(on=max(TODAY, product.opened_on)))
        assert rule is not None
        assert {part.pot for part in rule.rule.parts} <= set(product.pot_codes)


def test_funds_groups_and_residue_fit_together(pack: Pack) -> None:
    for product in pack.products:
        book = pack.books[product.code]
        dealt, choice = (
            book.in_force(funds.FundsRule, Dates(on=TODAY)),
            book.in_force(funds.FundChoiceRule, Dates(on=TODAY)),
        )
        dealing, groups = (
            book.in_force(funds.DealingRule, Dates(on=TODAY)),
            book.in_force(enrolment.GroupsRule, Dates(on=TODAY)),
        )
        assert (dealt is None) == (choice is None) == (dealing is None)
        if dealt and choice and dealing and groups:
            assert dealing.rule.residue_to in pack.roles
            assert set(choice.rule.by_group) == {group.code for group in groups.rule.groups}
            chosen = {fund for shares in (*choice.rule.by_group.values(), choice.rule.default or {}) for fund in shares}
            assert chosen == {fund.code for fund in dealt.rule.funds}


def test_every_consent_that_is_asked_for_has_words_in_every_language(pack: Pack) -> None:
    for product in pack.products:
        rule = pack.books[product.code].in_force(enrolment.ConsentsRule, Dates(on=max(TODAY, product.opened_on)))
        assert rule is not None
        assert {consent for consent, _ in pack.consents} == set(rule.rule.purposes)
        for purpose in rule.rule.purposes:
            texts = [pack.consent(purpose, language) for language in pack.languages]
            assert len({text.text for text in texts if text}) == len(pack.languages)
            assert len({text.version for text in texts if text}) == len(pack.languages)


def test_texts_are_in_their_script(pack: Pack) -> None:
    scripts = {"ar": "ARABIC", "hi": "DEVANAGARI", "en": "LATIN", "fr": "LATIN", "rw": "LATIN", "sw": "LATIN"}
    for (_, language), text in pack.consents.items():
        letters = [letter for letter in text.title + text.text if letter.isalpha()]
        own = [letter for letter in letters if unicodedata.name(letter).startswith(scripts[language])]
        assert len(own) == len(letters), (language, set(letters) - set(own))
        assert text.text == unicodedata.normalize("NFC", text.text)


def test_the_packs_words_translate_names_that_are_in_it(pack: Pack, folder: Path) -> None:
    texts = {text for path, content in pack.files.items() if path.endswith(".toml") for text in _quoted(content)}
    for path in folder.glob("locales/*/LC_MESSAGES/engine.po"):
        catalogue = read_po(BytesIO(path.read_bytes()))
        for message in catalogue:
            if message.id:
                assert message.id in texts
                assert message.string not in ("", message.id)


def test_names_are_said_in_the_readers_language() -> None:
    india = Tenants.load([TENANTS / "in-nps-lite"], KINDS, RUNNERS).packs[0]
    assert india.short_name == "NPS-Lite"
    folder = TENANTS / "in-nps-lite" / "locales"
    from engine.runtime.locale import translator

    assert translator(india.locale("hi"), folder).gettext("NPS-Lite") == "एनपीएस-लाइट"
    assert translator(india.locale("en"), folder).gettext("NPS-Lite") == "NPS-Lite"


def test_tenants_look_and_count_differently() -> None:
    packs = [load_pack(folder, KINDS) for folder in FOLDERS]
    assert len({pack.theme.colours.brand for pack in packs}) == len(packs)
    assert len({pack.logo for pack in packs}) == len(packs)
    assert {pack.code: (pack.asset.symbol, pack.asset.scale) for pack in packs} == {
        "gh-tier3-informal": ("GHS", 2),
        "in-apy": ("INR", 2),
        "in-nps-lite": ("INR", 2),
        "in-pm-sym": ("INR", 2),
        "ke-haba-haba": ("KES", 2),
        "ng-ppp": ("NGN", 2),
        "rw-ejoheza": ("RWF", 0),
    }


def test_no_pack_holds_code() -> None:
    assert [path for path in TENANTS.rglob("*") if path.suffix in (".py", ".pyc", ".so", ".sh")] == []


def test_indias_funds_are_those_of_the_published_prices() -> None:
    rule = load_pack(TENANTS / "in-nps-lite", KINDS).books["nps-lite"].in_force(funds.FundsRule, Dates(on=TODAY))
    assert rule is not None
    with (TENANTS / "in-nps-lite" / "demo" / "schemes.csv").open(encoding="utf-8", newline="") as file:
        published = {(row["scheme_code"], row["pfm_code"]) for row in csv.DictReader(file)}
    assert {(fund.code, fund.manager) for fund in rule.rule.funds} <= published


def test_apys_chart_is_the_published_one_value_by_value() -> None:
    golden = TENANTS.parent / "tests" / "golden" / "projections" / "apy_chart.csv"
    with golden.open(encoding="utf-8", newline="") as file:
        published: dict[tuple[str, ...], dict[str, str]] = {
            (row.pop("entry_age"), row.pop("slab_inr")): row for row in csv.DictReader(file)
        }
    chart = load_pack(TENANTS / "in-apy", KINDS).tables["chart"]
    assert {keys: {name: row[name] for name in published[keys]} for keys, row in chart.rows.items()} == published


@pytest.mark.parametrize(
    ("price", "is_held"),
    [
        ("30.4000", False), ("30.4001", False), ("33.6000", False), ("33.5999", False),
        ("30.3999", True), ("33.6001", True),
    ],
)  # fmt: skip
def test_indias_price_waits_for_a_second_person_above_five_percent(price: str, is_held: bool) -> None:
    from decimal import Decimal

    rule = (
        load_pack(TENANTS / "in-nps-lite", KINDS).books["nps-lite"].in_force(funds.PriceToleranceRule, Dates(on=TODAY))
    )
    assert rule is not None
    assert funds.is_doubtful(Price.of(Decimal(price)), Price.of(Decimal("32.0000")), rule.rule.move_bp) is is_held


def test_indias_dealing_takes_what_comes_by_the_end_of_the_day() -> None:
    pack = load_pack(TENANTS / "in-nps-lite", KINDS)
    rule = pack.books["nps-lite"].in_force(funds.DealingRule, Dates(on=TODAY))
    assert rule is not None
    midnight = datetime(2024, 3, 27, 18, 30, tzinfo=UTC)  # 00:00 on the 28th in India
    for instant, day in (
        (midnight - timedelta(microseconds=1), 27),
        (midnight, 28),
        (midnight - timedelta(hours=23), 27),
    ):
        assert funds.dealing_day(instant, pack.time_zone, rule.rule.cut_off) == date(2024, 3, day)


def _quoted(content: bytes) -> list[str]:
    return re.findall(r'"([^"\n]+)"', content.decode())
