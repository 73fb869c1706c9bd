"""How a pack's worked examples ask for decisions about joining: the very functions that decide real ones."""

from collections.abc import Mapping
from datetime import date

import msgspec

from engine.enrolment.errors import NoSuchRule
from engine.enrolment.rules.ages import EntryAgeRule, MinorRule, entry_age, growing, needs_guardian
from engine.enrolment.rules.applications import Application
from engine.enrolment.rules.deciding import Accepted, decide, monthly_income
from engine.enrolment.rules.documents import valid_until
from engine.enrolment.rules.joining import EnrolmentTerms, read_terms
from engine.enrolment.rules.later import (
    DecisionLimitRule,
    EligibilityAtContributionRule,
    MemberStanding,
    age_at,
    answer_due,
    first_unmet,
)
from engine.enrolment.rules.levels import KycTiersRule, check_level, limits_of
from engine.enrolment.rules.persons import (
    ExternalStatusRule,
    RegisterWord,
    external_status,
    free_on,
    monthly_ceiling,
    resident_on,
)
from engine.enrolment.rules.verifying import IdentityCheckRule, NameMatchRule, name_verdict
from engine.identity.rules.names import score
from engine.kernel.amounts import Amount
from engine.kernel.months import age_on
from engine.tenancy.rules import MissingInput, ScenarioContext
from engine.tenancy.rules.books import AnyRule, InForce
from engine.tenancy.rules.proving import Runner

Outcome = Mapping[str, str]


def run_enrolment(context: ScenarioContext) -> Outcome:
    """Decide a pack's example of kind `enrolment`: whether this person may join on this day.

    `given` holds what an application holds (`born_on`, `sex`, `phone`, `group`, `language`, `documents`, `nominees`,
    `guardian`, `person_class`, `monthly_income`, `declared`, and so on), and `consents` as a list of ids, each taken as
    given to the words in use. Names need not be given.

    Returns:
        age (of entry), joined_on, and where there is one: group, person_class, level, guardian (the relationship),
        earlier (how many numbers stand for the same person beside those shown) and completes_on.

    Raises:
        EngineError: the refusal.
        MissingInput: `born_on` is missing, or something given is no part of an application.
    """
    application = _application(context)
    terms = read_terms(context.product.code, context)
    _compare_joining(context, application, terms)
    checked = decide(context.pack, application, terms, context.on)
    outcome = {"age": str(checked.age), "joined_on": context.on.isoformat(), **_more(checked)}
    return {key: value for key, value in outcome.items() if value}


def _application(context: ScenarioContext) -> Application:
    given = dict(context.given)
    if "born_on" not in given:
        raise MissingInput("born_on")
    agreed = given.pop("consents", [])
    language = context.pack.languages[0]
    texts = [context.pack.consent(str(one), language) for one in (agreed if isinstance(agreed, list) else [])]
    nominees = given.pop("nominees", [])
    guardian = given.pop("guardian", None)
    table = {
        "product": context.product.code,
        "full_name": "Example",
        **given,
        "guardian": {"full_name": "Example", **guardian} if isinstance(guardian, Mapping) else None,
        "nominees": [
            {"full_name": "Example", "relationship": "relative", **one}
            for one in (nominees if isinstance(nominees, list) else [])
        ],
        "consents": [
            {"consent": one.id, "language": one.language, "version": one.version, "channel": "example"}
            for one in texts
            if one is not None
        ],
    }
    try:
        return msgspec.convert(table, Application)
    except msgspec.ValidationError as error:
        raise MissingInput(str(error)) from None


def _more(checked: Accepted) -> dict[str, str]:
    return {
        "group": checked.group_code,
        "person_class": checked.person_class,
        "level": checked.level,
        "guardian": checked.guardian.relationship if checked.guardian else "",
        "earlier": str(len(checked.earlier) or ""),
        "completes_on": checked.completes_on.isoformat() if checked.completes_on else "",
    }


def _compare_joining(context: ScenarioContext, application: Application, terms: EnrolmentTerms) -> None:
    """Note which thresholds of joining the example tries."""
    born_on, on = application.born_on, context.on
    if born_on > on:
        return
    entry = entry_age(
        terms.entry_age,
        born_on,
        on=on,
        scheme_year_from=context.product.scheme_year(on)[0],
        known=application.birth_known,
    )
    lived = age_on(entry.born_on, on, terms.minors.rule.leap_day if terms.minors else "1-march")
    if terms.minors is not None:
        context.compare(terms.minors, "below_age", lived, terms.minors.rule.below_age)
        if terms.minors.rule.least_age:
            context.compare(terms.minors, "least_age", lived, terms.minors.rule.least_age)
    if terms.age is not None and not needs_guardian(terms.minors.rule if terms.minors else None, lived):
        where, minimum, maximum = terms.age.rule.limits(entry.born_on, application.sex)
        context.compare(terms.age, f"{where}minimum", entry.years, minimum)
        if maximum is not None:
            context.compare(terms.age, f"{where}maximum", entry.years, maximum)
        over = terms.age.rule.over_maximum_years
        if over is not None and maximum is not None and entry.years > maximum:
            context.compare(terms.age, "over_maximum_years", application.years_paid, over)
    income = monthly_income(application, context.asset)
    if terms.income is not None and income is not None:
        most = monthly_ceiling(terms.income.rule, context.figures, on)
        context.compare(terms.income, "most", income.units, most.units)
    for of_class in terms.classes:
        if of_class.rule.resident_months and application.resident_since is not None:
            first = resident_on(of_class.rule, application.resident_since)
            context.compare(of_class, "resident_months", on.toordinal(), first.toordinal())
    for exclusion in terms.exclusions:
        for one in application.declared:
            if exclusion.rule.after_months and one.fact == exclusion.rule.fact and one.holds and one.until is not None:
                free = free_on(exclusion.rule, one.until)
                context.compare(exclusion, "after_months", on.toordinal(), free.toordinal())
    for document in terms.documents:
        for shown in application.documents:
            days = document.rule.least_days_valid
            if days is not None and shown.document == document.rule.document and shown.expires_on is not None:
                least = valid_until(days, on)
                context.compare(document, "least_days_valid", shown.expires_on.toordinal(), least.toordinal())


def run_entry_age(context: ScenarioContext) -> Outcome:
    """Return the `entry_age` of one of the example's `born_on` who joins on its day; `birth_known` may be "year"."""
    found = _needed(context, EntryAgeRule)
    age = entry_age(
        found,
        _born_on(context),
        on=context.on,
        scheme_year_from=context.product.scheme_year(context.on)[0],
        known="year" if context.text("birth_known") == "year" else "day",
    )
    return {"entry_age": str(age.years), "born_on": age.born_on.isoformat()}


def run_majority(context: ScenarioContext) -> Outcome:
    """Return where a child's account stands on the example's day, for one of its `born_on`.

    Given may be `shown_on`, when they showed the document of an adult.

    Raises:
        NoSuchRule: the product has no accounts of children.
    """
    found = _needed(context, MinorRule)
    stands = growing(found, _born_on(context), context.on, shown_on=_day(context.given, "shown_on"))
    context.compare(found, "adult_age", context.on.toordinal(), stands.adult_on.toordinal())
    if stands.stage in ("document-due", "overdue"):
        context.compare(found, "own_document_days", context.on.toordinal(), stands.document_due_on.toordinal())
    return {
        "stage": stands.stage,
        "adult_on": stands.adult_on.isoformat(),
        "document_due_on": stands.document_due_on.isoformat(),
    }


def run_eligibility(context: ScenarioContext) -> Outcome:
    """Return the `outcome` of a contribution for a member who joined on `joined_on`: taken, refuse or suspense.

    Given `entry_age`, `completes_on` and `recorded`, a table of what registers said last; the `test` that failed is returned.
    """
    rules = context.rules(EligibilityAtContributionRule)
    recorded = context.given.get("recorded", {})
    standing = MemberStanding(
        joined_on=context.joined_on or context.on,
        entry_age=int(context.text("entry_age")) if "entry_age" in context.given else None,
        completes_on=_day(context.given, "completes_on"),
        recorded={str(key): str(one) for key, one in recorded.items()} if isinstance(recorded, Mapping) else {},
    )
    for one in rules:
        age = age_at(standing, context.on)
        if one.rule.until_age is not None and age is not None:
            context.compare(one, "until_age", age, one.rule.until_age)
    unmet = first_unmet(rules, standing, context.on)
    return {"outcome": unmet.outcome, "test": unmet.test} if unmet else {"outcome": "taken"}


def run_external_status(context: ScenarioContext) -> Outcome:
    """Return the `value` of an `attribute` on the example's day, given `words = [{ value, as_of, recorded_on, expires_on }]`.

    Returns also `as_of`, `until` and `appeal_until`, each "" where there is none.

    Raises:
        NoSuchRule: no register says this of members.
    """
    attribute = context.text("attribute")
    found = next((one for one in context.rules(ExternalStatusRule) if one.rule.attribute == attribute), None)
    if found is None:
        raise NoSuchRule(rule=attribute)
    given = context.given.get("words", [])
    words = [
        RegisterWord(
            str(one.get("value", "")),
            _needed_day(one, "as_of"),
            _day(one, "recorded_on") or _needed_day(one, "as_of"),
            _day(one, "expires_on"),
        )
        for one in (given if isinstance(given, list) else [])
    ]
    said = external_status(found, words, context.on)
    if found.rule.lasts_months and said.until is not None:
        context.compare(found, "lasts_months", context.on.toordinal(), said.until.toordinal())
    return {
        "value": said.value,
        "as_of": said.as_of.isoformat() if said.as_of else "",
        "until": said.until.isoformat() if said.until else "",
        "appeal_until": said.appeal_until.isoformat() if said.appeal_until else "",
    }


def run_kyc_limit(context: ScenarioContext) -> Outcome:
    """Return the `outcome` of an `amount` at a `level`, after `in_year` was paid and with a `balance`, and the `limit` met.

    Raises:
        NoSuchRule: the product has no levels.
    """
    found, figures, on = _needed(context, KycTiersRule), context.figures, context.on
    paid, in_year, balance = (_units(context, name) for name in ("amount", "in_year", "balance"))
    level = context.text("level")
    limits = limits_of(found.rule, level) or found.rule.levels[0]
    row = found.rule.levels.index(limits) + 1
    for figure, most, units in (
        ("most_payment", limits.most_payment, paid),
        ("most_in_year", limits.most_in_year, paid + in_year),
        ("most_balance", limits.most_balance, paid + balance),
    ):
        if most is not None:
            context.compare(found, f"levels[{row}].{figure}", units, figures.amount(most, on).units)
    verdict = check_level(found, level, paid=paid, in_year=in_year, balance=balance, figures=figures, on=on)
    return {"outcome": verdict.outcome, "limit": verdict.limit}


def run_decision_limit(context: ScenarioContext) -> Outcome:
    """Return by when a `decision` is due that was applied for on the example's day, and whether `answered_on` is late.

    Raises:
        NoSuchRule: no rule sets a limit for the decision.
    """
    decision = context.text("decision")
    found = next((one for one in context.rules(DecisionLimitRule) if one.rule.decision == decision), None)
    if found is None:
        raise NoSuchRule(rule=decision)
    due = answer_due(found, context.on, context.pack.business_calendar)
    outcome = {"due_on": due.isoformat(), "if_missed": found.rule.if_missed}
    answered = _day(context.given, "answered_on")
    if answered is None:
        return outcome
    context.compare(found, "days", answered.toordinal(), due.toordinal())
    return {**outcome, "late": str(answered > due).lower()}


def run_name_match(context: ScenarioContext) -> Outcome:
    """Return the `verdict` (accept, look or refuse) on two names for a `purpose`, and their `score_bp`.

    Given are `ours` and `theirs`, or the `score_bp` itself.

    Raises:
        NoSuchRule: the product compares no names for that purpose.
    """
    purpose = context.text("purpose")
    found = next((one for one in context.rules(NameMatchRule) if one.rule.purpose == purpose), None)
    if found is None:
        raise NoSuchRule(rule=purpose)
    given = context.text("score_bp")
    points = int(given) if given else score(context.text("ours"), context.text("theirs"))
    context.compare(found, "accept_bp", points, found.rule.accept_bp)
    context.compare(found, "look_bp", points, found.rule.look_bp)
    return {"verdict": name_verdict(found.rule, points).value, "score_bp": str(points)}


def run_identity_check(context: ScenarioContext) -> Outcome:
    """Return whether an agency is asked about a `document`: `asked` is "at-joining", "on-request" or "never"."""
    document = context.text("document")
    found = next((one for one in context.rules(IdentityCheckRule) if one.rule.document == document), None)
    if found is None:
        return {"asked": "never"}
    return {"asked": "at-joining" if found.rule.at_joining else "on-request"}


RUNNERS: Mapping[str, Runner] = {
    "enrolment": run_enrolment,
    "entry-age": run_entry_age,
    "majority": run_majority,
    "eligibility-at-contribution": run_eligibility,
    "external-status": run_external_status,
    "kyc-limit": run_kyc_limit,
    "decision-limit": run_decision_limit,
    "name-match": run_name_match,
    "identity-check": run_identity_check,
}


def _needed(context: ScenarioContext, kind: type[AnyRule]) -> InForce[AnyRule]:
    found = context.rule(kind)
    if found is None:
        raise NoSuchRule(rule=str(kind.__struct_config__.tag))
    return found


def _born_on(context: ScenarioContext) -> date:
    return context.dates.born_on or _needed_day(context.given, "born_on")


def _units(context: ScenarioContext, name: str) -> int:
    return Amount.parse(context.text(name) or "0", context.asset).units


def _day(table: Mapping[str, object], name: str) -> date | None:
    found = table.get(name)
    return found if isinstance(found, date) else None


def _needed_day(table: Mapping[str, object], name: str) -> date:
    found = _day(table, name)
    if found is None:
        raise MissingInput(name)
    return found
