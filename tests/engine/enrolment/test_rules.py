"""Who may join, rule by rule; and what a pack may say about it."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.enrolment import errors
from engine.enrolment.rules import (
    RULE_KINDS,
    RUNNERS,
    AgeRule,
    Application,
    ConsentGiven,
    DocumentGiven,
    DocumentRule,
    GroupsRule,
    NomineeGiven,
    NomineesRule,
    check_age,
    check_shares,
    decide,
    terms_of,
)
from engine.identity.errors import CheckDigitWrong, DocumentMalformed, UnusableName, UnusablePhone
from engine.kernel.errors import EngineError
from engine.kernel.months import age_on
from engine.kernel.rules import Dates
from engine.tenancy.errors import UnknownProduct
from engine.tenancy.rules import MissingInput, Pack, Scenario, ScenarioContext, decode_pack

from .conftest import OPEN_RULES, aadhaar, consents, pack_files

Make = Callable[..., Application]
TODAY = date(2023, 4, 3)
AGES = AgeRule(id="joining-age", source="invented", confidence="high", minimum=18, maximum=60)


@pytest.mark.parametrize(
    ("born_on", "age"),
    [
        pytest.param(date(2005, 4, 3), 18, id="on the birthday"),
        pytest.param(date(2005, 4, 4), 17, id="the day before it"),
        pytest.param(date(2004, 2, 29), 19, id="a leap day's child, past 1 March"),
        pytest.param(TODAY, 0, id="born today"),
    ],
)
def test_completed_years(born_on: date, age: int) -> None:
    assert age_on(born_on, TODAY) == age


def test_a_leap_days_child_completes_the_year_on_the_first_of_march() -> None:
    assert age_on(date(2004, 2, 29), date(2022, 2, 28)) == 17
    assert age_on(date(2004, 2, 29), date(2022, 3, 1)) == 18
    assert age_on(date(2004, 2, 29), date(2024, 2, 29)) == 20


@given(born_on=st.dates(date(1910, 1, 1), date(2020, 1, 1)), days=st.integers(0, 36_000))
def test_nobody_grows_younger_and_a_birthday_adds_one(born_on: date, days: int) -> None:
    day = born_on + timedelta(days=days)
    later = age_on(born_on, day + timedelta(days=1))

    assert later - age_on(born_on, day) in (0, 1)
    assert age_on(born_on, day) * 365 <= days


@pytest.mark.parametrize(
    ("born_on", "refusal"),
    [
        pytest.param(date(2005, 4, 3), None, id="eighteen today"),
        pytest.param(date(2005, 4, 4), errors.TooYoung, id="eighteen tomorrow"),
        pytest.param(date(1962, 4, 4), None, id="sixty"),
        pytest.param(date(1962, 4, 3), errors.TooOld, id="sixty-one today"),
        pytest.param(date(2023, 4, 4), errors.BirthDateImplausible, id="not born yet"),
        pytest.param(date(1902, 4, 3), errors.BirthDateImplausible, id="older than anyone"),
    ],
)
def test_both_ends_of_the_ages_are_included(born_on: date, refusal: type[EngineError] | None) -> None:
    if refusal is None:
        assert 18 <= check_age(born_on, on=TODAY, rule=AGES) <= 60
    else:
        with pytest.raises(refusal):
            check_age(born_on, on=TODAY, rule=AGES)


@given(shares=st.lists(st.integers(1, 10_000), min_size=1, max_size=5))
def test_shares_are_one_whole_or_refused(shares: list[int]) -> None:
    rule = NomineesRule(id="nominees", source="invented", confidence="high", required=True, maximum=5)
    if sum(shares) == 10_000:
        check_shares(shares, rule)
    else:
        with pytest.raises(errors.SharesDoNotAddUp) as refused:
            check_shares(shares, rule)
        assert refused.value.details["total"] == sum(shares)


def nominee(share_bp: int) -> NomineeGiven:
    return NomineeGiven(full_name="Meera", relationship="daughter", share_bp=share_bp)


REFUSALS: list[Any] = [
    pytest.param({"product": "none"}, UnknownProduct, id="unknown product"),
    pytest.param({"full_name": "  "}, UnusableName, id="no name"),
    pytest.param({"born_on": date(2010, 1, 1)}, errors.TooYoung, id="too young"),
    pytest.param({"born_on": date(1950, 1, 1)}, errors.TooOld, id="too old"),
    pytest.param({"documents": ()}, errors.DocumentMissing, id="no document"),
    pytest.param({"documents": (DocumentGiven("pan", "X"),)}, errors.DocumentNotAccepted, id="another document"),
    pytest.param({"documents": (DocumentGiven("aadhaar", "1"),)}, DocumentMalformed, id="no such number"),
    pytest.param(
        {"documents": (DocumentGiven("aadhaar", aadhaar(1)[:-1] + str((int(aadhaar(1)[-1]) + 1) % 10)),)},
        CheckDigitWrong,
        id="mistyped number",
    ),
    pytest.param(
        {"documents": (DocumentGiven("aadhaar", aadhaar(1)), DocumentGiven("aadhaar", aadhaar(2)))},
        errors.DocumentRepeated,
        id="two numbers",
    ),
    pytest.param({"group": ""}, errors.GroupMissing, id="no group"),
    pytest.param({"group": "west"}, errors.UnknownGroup, id="another group"),
    pytest.param({"nominees": ()}, errors.NomineesMissing, id="no nominees"),
    pytest.param({"nominees": (nominee(2_500),) * 4}, errors.TooManyNominees, id="four nominees"),
    pytest.param({"nominees": (nominee(5_000), nominee(4_999))}, errors.SharesDoNotAddUp, id="99.99 %"),
    pytest.param({"nominees": (nominee(5_000), nominee(5_001))}, errors.SharesDoNotAddUp, id="100.01 %"),
    pytest.param(
        {"nominees": (NomineeGiven(full_name="", relationship="son", share_bp=10_000),)}, UnusableName, id="unnamed"
    ),
    pytest.param(
        {"nominees": (NomineeGiven(full_name="A", relationship="son", share_bp=10_000, phone="1"),)},
        UnusablePhone,
        id="a nominee's telephone",
    ),
    pytest.param(
        {"nominees": (NomineeGiven(full_name="A", relationship="son", share_bp=10_000, born_on=date(2030, 1, 1)),)},
        errors.BirthDateImplausible,
        id="an unborn nominee",
    ),
    pytest.param({"consents": ()}, errors.ConsentMissing, id="no consent"),
    pytest.param({"phone": "12"}, UnusablePhone, id="no telephone"),
    pytest.param({"language": "de"}, errors.UnknownLanguage, id="another language"),
]


@pytest.mark.parametrize(("changes", "refusal"), REFUSALS)
def test_an_application_is_refused_for_what_is_wrong(
    grouped_pack: Pack, applying: Make, changes: dict[str, Any], refusal: type[EngineError]
) -> None:
    application = applying(**changes)

    def judge() -> None:
        decide(grouped_pack, application, terms_of(grouped_pack, application.product, TODAY), TODAY)

    with pytest.raises(refusal) as refused:
        judge()

    assert refused.type is refusal
    said = str(refused.value)
    for personal in ("Lakshmi", "Meera", "98765", aadhaar(1)[:8], "Rampur"):
        assert personal not in said


def test_what_is_accepted_is_in_its_one_spelling(grouped_pack: Pack, applying: Make) -> None:
    accepted = decide(grouped_pack, applying(full_name=" Lakshmi Devi "), terms_of(grouped_pack, "main", TODAY), TODAY)

    assert accepted.age == 35
    assert accepted.group_code == "north"
    assert accepted.person.full_name == "Lakshmi Devi"
    assert accepted.person.phones == ("+919876543210",)
    assert accepted.person.language == "fr"
    assert [one.share_bp for one in accepted.nominees] == [6_000, 4_000]
    assert accepted.nominees[0].phone == "+919876543211"
    assert accepted.terms.trace() == {
        "product": "main",
        "rules": [f"{one}@2020-04-01" for one in ("joining-age", "aadhaar", "groups", "nominees", "declarations")],
    }


def test_a_product_cannot_be_joined_before_it_opens(grouped_pack: Pack) -> None:
    with pytest.raises(errors.NotOpen):
        terms_of(grouped_pack, "main", date(2020, 3, 31))


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        pytest.param({"version": "0" * 16}, errors.ConsentOutdated, id="other words"),
        pytest.param({"language": "de"}, errors.UnknownLanguage, id="another language"),
        pytest.param({"consent": "marketing"}, errors.UnknownConsent, id="another consent"),
    ],
)
def test_a_consent_is_to_the_words_in_use(
    grouped_pack: Pack, applying: Make, changes: dict[str, str], refusal: type[EngineError]
) -> None:
    first, *others = consents(grouped_pack)
    with pytest.raises(refusal):
        decide(
            grouped_pack,
            applying(consents=(replace(first, **changes), *others)),
            terms_of(grouped_pack, "main", TODAY),
            TODAY,
        )


def test_consents_may_be_in_any_language_of_the_scheme(grouped_pack: Pack, applying: Make) -> None:
    mixed: tuple[ConsentGiven, ...] = (consents(grouped_pack, "fr")[0], consents(grouped_pack, "en")[1])

    assert (
        decide(grouped_pack, applying(consents=mixed), terms_of(grouped_pack, "main", TODAY), TODAY).consents == mixed
    )


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        pytest.param({}, True, id="sex unstated"),
        pytest.param({"sex": "female"}, True, id="as the number says"),
        pytest.param({"sex": "male"}, False, id="another sex"),
        pytest.param({"sex": "other"}, True, id="a sex that numbers do not know"),
        pytest.param({"born_on": date(1991, 6, 1)}, False, id="another year"),
        pytest.param({"documents": (DocumentGiven("passport", "pc 123456"),)}, True, id="another document"),
        pytest.param(
            {"documents": (DocumentGiven("passport", "PC123456"), DocumentGiven("nid", "1990"))}, False, id="one bad"
        ),
    ],
)
def test_a_number_must_fit_what_else_is_given(
    open_pack: Pack, applying_openly: Make, changes: dict[str, Any], passes: bool
) -> None:
    def check() -> None:
        decide(open_pack, applying_openly(**changes), terms_of(open_pack, "main", TODAY), TODAY)

    if passes:
        check()
    else:
        with pytest.raises((errors.DocumentContradicts, DocumentMalformed)):
            check()


@pytest.mark.parametrize(
    ("kind", "parameters", "reason"),
    [
        (AgeRule, {"minimum": 60, "maximum": 18}, "below minimum"),
        (AgeRule, {"minimum": -1}, ">= 0"),
        (DocumentRule, {"document": "x", "validator": "pattern"}, "needs a pattern"),
        (DocumentRule, {"document": "x", "validator": "pattern", "pattern": "("}, "no regular expression"),
        (DocumentRule, {"document": "x", "validator": "os.path"}, "Invalid enum value"),
        (DocumentRule, {"document": "x", "validator": "pattern", "pattern": "(?P<year>.)"}, "names year"),
        (DocumentRule, {"document": "x", "validator": "pattern", "pattern": "(?P<sex>.)"}, "needs sexes"),
        (DocumentRule, {"document": "x", "validator": "pattern", "pattern": ".", "sexes": {"1": "male"}}, "sexes need"),
        (GroupsRule, {"required": True}, "a group is required"),
        (GroupsRule, {"required": False, "groups": [{"code": "a", "name": "A"}] * 2}, "twice"),
        (NomineesRule, {"required": False, "maximum": 21}, "<= 20"),
    ],
)
def test_a_pack_that_says_nonsense_is_refused(kind: type[Any], parameters: dict[str, Any], reason: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=reason):
        msgspec.convert(
            {"id": "one", "source": "invented", "confidence": "high", **parameters, "kind": kind.__struct_config__.tag},
            kind,
        )


def test_a_packs_mistake_is_told_with_its_place() -> None:
    files = pack_files("rw-test", "RW", "RWF", "Africa/Kigali", OPEN_RULES.replace('"[A-Z]{1,2}[0-9]{6,8}"', '"("'))

    _, problems = decode_pack("rw-test", files, RULE_KINDS)

    assert [(one.file, one.key) for one in problems] == [("main/rules/2020-04-01.toml", "rule[3]")]
    assert "no regular expression" in problems[0].reason


def scenario(pack: Pack, on: date = TODAY, **given: Any) -> ScenarioContext:
    return ScenarioContext(
        pack, Scenario("x", 1, "An example", "enrolment", "main", Dates(on=on), None, given, {}, "invented")
    )


def test_a_packs_examples_ask_for_the_whole_decision(grouped_pack: Pack) -> None:
    context = scenario(
        grouped_pack,
        born_on=date(1987, 4, 15),
        documents=[{"document": "aadhaar", "number": aadhaar(1)}],
        group="south",
        nominees=[{"share_bp": 10_000}],
        consents=["scheme-rules", "personal-data"],
    )

    assert RUNNERS["enrolment"](context) == {"age": "35", "joined_on": "2023-04-03", "group": "south"}
    assert len(context.proven) == 5


@pytest.mark.parametrize(
    ("given", "raised"),
    [
        ({"born_on": date(2010, 1, 1)}, errors.TooYoung),
        ({"born_on": date(1987, 4, 15)}, errors.DocumentMissing),
        ({}, MissingInput),
        ({"born_on": date(1987, 4, 15), "shoe_size": 41}, MissingInput),
    ],
)
def test_a_packs_examples_are_refused_as_people_are(
    grouped_pack: Pack, given: dict[str, Any], raised: type[Exception]
) -> None:
    with pytest.raises(raised):
        RUNNERS["enrolment"](scenario(grouped_pack, **given))


def test_an_example_that_misses_a_consent_is_refused(grouped_pack: Pack) -> None:
    with pytest.raises(errors.ConsentMissing, match="personal-data"):
        RUNNERS["enrolment"](
            scenario(
                grouped_pack,
                born_on=date(1987, 4, 15),
                documents=[{"document": "aadhaar", "number": aadhaar(1)}],
                group="south",
                nominees=[{"share_bp": 10_000}],
                consents=["scheme-rules"],
            )
        )
