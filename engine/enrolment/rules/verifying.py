"""Whether what an authority states is of the person who joined: names by a pack's thresholds, birth dates. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from engine.enrolment.rules.parameters import Code
from engine.identity.rules.names import WHOLE_BP, NameThresholds, NameVerdict, best_score
from engine.kernel.rules import Dates, Rule
from engine.tenancy.rules.books import InForce, RuleBook

MatchPurpose = Literal["enrolment", "payout", "claim"]
BasisPoints = Annotated[int, Meta(ge=0, le=WHOLE_BP, description="basis points, 0 to 10000")]


class NameMatchRule(Rule, tag="name-match", frozen=True, kw_only=True):
    """How alike two names must be to be the same person's, in basis points: taken, looked at by people, or refused.

    Every scheme that asks an authority needs it: a bride's new name, a spelling in another script. From `accept_bp` on, it
    included, names are the same person's; below `look_bp` they are not; in between a person decides.
    """

    many: ClassVar[bool] = True
    one_for: ClassVar[tuple[str, ...]] = ("purpose",)
    purpose: MatchPurpose
    accept_bp: BasisPoints
    look_bp: BasisPoints

    def __post_init__(self) -> None:
        """Check the order of the thresholds."""
        NameThresholds(accept_bp=self.accept_bp, look_bp=self.look_bp)

    @property
    def thresholds(self) -> NameThresholds:
        """Return the thresholds."""
        return NameThresholds(accept_bp=self.accept_bp, look_bp=self.look_bp)


class IdentityCheckRule(Rule, tag="identity-check", frozen=True, kw_only=True):
    """A kind of document that the scheme's identity agency is asked about: of everybody who joins, or when somebody asks.

    `register_kind` is what registers of deaths call this kind of number; "" where they do not know it.
    """

    many: ClassVar[bool] = True
    one_for: ClassVar[tuple[str, ...]] = ("document",)
    document: Code
    at_joining: bool
    register_kind: Annotated[str, Meta(max_length=40)] = ""


class VerificationState(StrEnum):
    """Where one question to an authority about a member stands.

    ASKED: no answer yet. VERIFIED: it is the member. DOUBTFUL: a person must look. MISMATCH: it is somebody else.
    UNKNOWN_NUMBER, BLOCKED: the authority has no such number, or has it and it is not in force. REFUSED: the authority, or
    the member, declined. NOT_PROVEN: what came back was not the authority's word.
    """

    ASKED = "asked"
    VERIFIED = "verified"
    DOUBTFUL = "doubtful"
    MISMATCH = "mismatch"
    UNKNOWN_NUMBER = "unknown-number"
    BLOCKED = "blocked"
    REFUSED = "refused"
    NOT_PROVEN = "not-proven"


@dataclass(frozen=True, slots=True)
class Judged:
    """What follows from comparing: the state, the score in basis points (None: no name was stated), and why not verified."""

    state: VerificationState
    score_bp: int | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class CheckTerms:
    """What a product asks of authorities, and the thresholds of names for one purpose."""

    product: str
    names: InForce[NameMatchRule] | None
    checks: tuple[InForce[IdentityCheckRule], ...]

    def trace(self) -> dict[str, object]:
        """Return which versions of which rules decide."""
        found = [one.ref for one in self.checks] + ([self.names.ref] if self.names else [])
        return {"product": self.product, "rules": found}


def check_terms(book: RuleBook, product: str, dates: Dates, purpose: MatchPurpose = "enrolment") -> CheckTerms:
    """Return what a product asks of authorities."""
    names = (one for one in book.all_in_force(NameMatchRule, dates) if one.rule.purpose == purpose)
    return CheckTerms(product, next(names, None), book.all_in_force(IdentityCheckRule, dates))


def name_verdict(rule: NameMatchRule | None, score_bp: int) -> NameVerdict:
    """Return what follows from a score; a scheme without thresholds takes the same words alone, and looks at all others."""
    if rule is None:
        return NameVerdict.ACCEPT if score_bp == WHOLE_BP else NameVerdict.LOOK
    return rule.thresholds.verdict(score_bp)


def judge(
    ours: Sequence[str],
    born_on: date | None,
    stated: Sequence[str],
    stated_born_on: date | None,
    rule: NameMatchRule | None,
) -> Judged:
    """Return whether what an authority states is of the person.

    Args:
        ours: the person's names, one or several over time.
        born_on: the person's birth date; None compares with nothing.
        stated: the authority's names of its holder; none where it compared by itself and said yes.
        stated_born_on: the same of the birth date.
        rule: the thresholds.
    """
    other_birth = born_on is not None and stated_born_on is not None and born_on != stated_born_on
    if not stated:
        state = VerificationState.DOUBTFUL if other_birth else VerificationState.VERIFIED
        return Judged(state, None, "birth-date" if other_birth else "")
    score = best_score(ours, stated)
    verdict = name_verdict(rule, score)
    if verdict is NameVerdict.REFUSE:
        return Judged(VerificationState.MISMATCH, score, "name")
    if verdict is NameVerdict.LOOK:
        return Judged(VerificationState.DOUBTFUL, score, "name")
    if other_birth:
        return Judged(VerificationState.DOUBTFUL, score, "birth-date")
    return Judged(VerificationState.VERIFIED, score)


def judge_number(judged: Judged, number: str, ending: str) -> Judged:
    """Return a judgement once the authority's last signs of the number are compared; where they differ a person looks.

    Args:
        judged: what follows from names and birth dates.
        number: the number that the authority was asked about; "" where it was asked about none.
        ending: its last signs as the authority states them; "" where it states none.
    """
    if judged.state is VerificationState.VERIFIED and number and not number.endswith(ending):
        return Judged(VerificationState.DOUBTFUL, judged.score_bp, "number")
    return judged


class DeathState(StrEnum):
    """Where a notice of a death stands.

    UNMATCHED: of nobody known. DOUBTFUL: a person must look. CONFIRMED: the member has died. NOT_OURS: it is of nobody of ours.
    VOID: the register took it back before it was confirmed. REVERSAL_PROPOSED: it was confirmed, and may be wrong. REVERSED: it was.
    """

    UNMATCHED = "unmatched"
    DOUBTFUL = "doubtful"
    CONFIRMED = "confirmed"
    NOT_OURS = "not-ours"
    VOID = "void"
    REVERSAL_PROPOSED = "reversal-proposed"
    REVERSED = "reversed"


def judge_death(
    ours: Sequence[str],
    born_on: date,
    stated: Sequence[str],
    stated_born_on: date | None,
    rule: NameMatchRule | None,
    *,
    died_on: date | None,
    today: date,
) -> Judged:
    """Return whether a death that a register has under the member's number is the member's: VERIFIED, else DOUBTFUL.

    A number alone is not enough, nor is a death without a day, or one that is still to come: a person looks. So does one
    where the names are somebody else's: it may be the number that is wrong, and money waits for the living too.
    """
    judged = judge(ours, born_on, stated, stated_born_on, rule)
    if judged.state is not VerificationState.VERIFIED:
        return Judged(VerificationState.DOUBTFUL, judged.score_bp, judged.why)
    if not stated and stated_born_on is None:
        return Judged(VerificationState.DOUBTFUL, None, "number-alone")
    if died_on is None or died_on > today:
        return Judged(VerificationState.DOUBTFUL, judged.score_bp, "day-of-death")
    return judged
