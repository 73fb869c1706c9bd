"""Identity documents: which are taken, equivalent spellings of one number, tokens, expiry, numbers issued anew. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from engine.enrolment.errors import (
    DocumentContradicts,
    DocumentExpired,
    DocumentMissing,
    DocumentNotAccepted,
    DocumentRepeated,
)
from engine.enrolment.rules.applications import DocumentGiven
from engine.enrolment.rules.parameters import Code, Days, listed
from engine.identity.errors import CheckDigitWrong, DocumentMalformed
from engine.identity.rules import CheckedNumber, Sex, Validator, check_document, compact_number
from engine.kernel.rules import Rule
from engine.tenancy.rules.books import InForce

_PARTS = frozenset({"person", "birth_year", "sex", "class"})
_FIELD = re.compile(r"\{([a-z_]+)\}")


class EquivalentFormat(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Another spelling of the same number: `pattern` reads it, `person` writes the part by which the person is known.

    `person` holds the names of the pattern's groups in braces: an old number of nine digits and a letter, "{year}{day}{serial}V",
    is the new "19{year}{day}0{serial}".
    """

    pattern: str
    person: Annotated[str, Meta(min_length=1, max_length=80)]

    def __post_init__(self) -> None:
        """Check that the person is written with groups that the pattern has."""
        if missing := set(_FIELD.findall(self.person)) - _groups(self.pattern):
            raise ValueError(f"person names {listed(missing)}, which the pattern has not")


class DocumentRule(Rule, tag="identity-document", frozen=True, kw_only=True):
    """A kind of identity document that is accepted, and how its number is checked (E6, E8).

    Every scheme needs it: NIDA numbers that are issued anew, Aadhaar and its virtual tokens, Fayda's two formats, a
    refugee card that expires. `pattern` must match the whole number in its one spelling (capitals, no blanks or hyphens).
    Its groups `birth_year`, `sex` and `class` name what the number says of its holder, `sexes` what the marks of sex mean;
    `person` names the part that stays when the document is issued anew, by which nobody can join twice. `formats` are
    equivalent spellings of the same number. A number that matches `token_pattern` stands for one only for a while: it is
    taken, and the number itself is due within `token_days`. `least_days_valid` is how long a document must still be valid on
    the day of joining; where it is given, its expiry must be. Of a document `reissued` with a new number the earlier one is
    given as well, and stands for the same person.
    """

    many: ClassVar[bool] = True
    one_for: ClassVar[tuple[str, ...]] = ("document",)
    document: Code
    validator: Validator
    pattern: str | None = None
    sexes: Mapping[str, Literal["female", "male"]] = {}
    formats: tuple[EquivalentFormat, ...] = ()
    token_pattern: str | None = None
    token_days: Days | None = None
    least_days_valid: Days | None = None
    reissued: Literal["same-person-part", "new-number"] = "same-person-part"

    def __post_init__(self) -> None:
        """Check that the patterns are such, and name no part that means nothing."""
        if (self.token_pattern is None) != (self.token_days is None):
            raise ValueError("token_pattern needs token_days, and that needs it")
        if self.token_pattern is not None:
            _groups(self.token_pattern)
        if self.pattern is None:
            if self.validator == "pattern":
                raise ValueError('validator "pattern" needs a pattern')
            return
        parts = _groups(self.pattern)
        if parts - _PARTS:
            raise ValueError(f"pattern names {', '.join(sorted(parts - _PARTS))}; allowed: {', '.join(sorted(_PARTS))}")
        if ("sex" in parts) != bool(self.sexes):
            raise ValueError("a pattern with the group sex needs sexes, and sexes need it")

    def class_mark(self, number: str) -> str:
        """Return what a number says of its holder's class; "" where it says nothing."""
        found = re.fullmatch(self.pattern, number, re.ASCII) if self.pattern else None
        return (found.groupdict().get("class") or "") if found else ""


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """A document that was read: its number, the earlier one that it replaced, its class mark, when a token's number is due."""

    number: CheckedNumber
    earlier: CheckedNumber | None
    class_mark: str
    number_due_on: date | None
    rules: tuple[str, ...]


def _groups(pattern: str) -> set[str]:
    try:
        return set(re.compile(pattern, re.ASCII).groupindex)
    except re.error as error:
        raise ValueError(f"pattern is no regular expression: {error}") from None


def document_rule(document: str, rules: Sequence[InForce[DocumentRule]], *, field: str) -> InForce[DocumentRule]:
    """Return the rule for a kind of document.

    Raises:
        DocumentNotAccepted: there is none.
    """
    for found in rules:
        if found.rule.document == document:
            return found
    raise DocumentNotAccepted(field=field, allowed=listed(one.rule.document for one in rules))


def read_document(
    given: DocumentGiven, rules: Sequence[InForce[DocumentRule]], *, on: date, field: str, joined_on: date | None = None
) -> ReadDocument:
    """Return a document as it is understood.

    Args:
        given: as it was shown.
        rules: the kinds that are accepted.
        on: the day on which it must be valid.
        field: the name of the field in refusals.
        joined_on: the day from which a token's days count; `on` where it is None.

    Raises:
        DocumentNotAccepted, DocumentExpired: see there.
        CheckDigitWrong, DocumentMalformed: the number is wrong.
    """
    found = document_rule(given.document, rules, field=f"{field}.document")
    rule = found.rule
    if rule.least_days_valid is not None and (
        given.expires_on is None or given.expires_on < valid_until(rule.least_days_valid, on)
    ):
        raise DocumentExpired(field=f"{field}.expires_on", document=rule.document, days=rule.least_days_valid)
    number = _number(given.number, rule, f"{field}.number")
    token = number is None
    if number is None:
        number = _as_token(given.number, rule)
    earlier = None
    if given.replaces and rule.reissued == "new-number":
        earlier = _number(given.replaces, rule, f"{field}.replaces")
    elif given.replaces:
        raise DocumentMalformed(field=f"{field}.replaces", document=rule.document)
    due_on = (joined_on or on) + timedelta(days=rule.token_days) if token and rule.token_days is not None else None
    return ReadDocument(number, earlier, rule.class_mark(number.number), due_on, (found.ref,))


def person_number(text: str, rule: DocumentRule) -> CheckedNumber | None:
    """Return a number as others write it in the one spelling of its person; None where it is none of the kind, or a token."""
    try:
        return _number(text, rule, "number")
    except (CheckDigitWrong, DocumentMalformed):
        return None


def known_as(text: str, rule: DocumentRule) -> CheckedNumber | None:
    """Return as what the holder of a number is known, of a token too; None where it is none of the kind."""
    try:
        return _number(text, rule, "number") or _as_token(text, rule)
    except (CheckDigitWrong, DocumentMalformed):
        return None


def valid_until(days: int, on: date) -> date:
    """Return the first day of expiry that leaves a document valid for so many days after `on`."""
    return on + timedelta(days=days)


def _number(text: str, rule: DocumentRule, field: str) -> CheckedNumber | None:
    """Return a number in the rule's spelling or an equivalent one; None where it is a token."""
    compact = compact_number(text)
    if rule.token_pattern is not None and re.fullmatch(rule.token_pattern, compact, re.ASCII):
        return None
    for one in rule.formats:
        found = re.fullmatch(one.pattern, compact, re.ASCII)
        if found is not None:
            parts = {name: part or "" for name, part in found.groupdict().items()}
            person = _FIELD.sub(lambda hit, parts=parts: parts[hit[1]], one.person)  # type: ignore[misc]
            return CheckedNumber(rule.document, compact, person)
    return check_document(text, document=rule.document, validator=rule.validator, pattern=rule.pattern, field=field)


def _as_token(text: str, rule: DocumentRule) -> CheckedNumber:
    token = compact_number(text)
    return CheckedNumber(rule.document, token, token)


def check_documents(
    numbers: Sequence[CheckedNumber], *, rules: Sequence[DocumentRule], born_on: date, sex: Sex
) -> None:
    """Refuse documents that are missing, given twice, or at odds with what else was given.

    Args:
        numbers: the documents whose numbers passed their own check.
        rules: the kinds that are accepted; where there are some, one document is needed.
        born_on: the birth date of the application.
        sex: the sex of the application; "other" and "unstated" contradict nothing.

    Raises:
        DocumentMissing, DocumentRepeated, DocumentContradicts: see there.
    """
    if rules and not numbers:
        raise DocumentMissing(field="documents", allowed=listed(rule.document for rule in rules))
    for index, number in enumerate(_once(numbers)):
        sexes = next((rule.sexes for rule in rules if rule.document == number.document), {})
        says = sexes.get(number.sex_mark)
        if (number.birth_year is not None and number.birth_year != born_on.year) or (
            says is not None and sex in ("female", "male") and says != sex
        ):
            raise DocumentContradicts(field=f"documents[{index}]", document=number.document)


def _once(numbers: Sequence[CheckedNumber]) -> Iterator[CheckedNumber]:
    seen: set[str] = set()
    for index, number in enumerate(numbers):
        if number.document in seen:
            raise DocumentRepeated(field=f"documents[{index}]", document=number.document)
        seen.add(number.document)
        yield number
