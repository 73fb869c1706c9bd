"""What identity needs from outside: somebody who knows who people are, who has died, and who lives in poverty.

Implementations translate, sign, send and classify. They never retry, never touch a database, never log, and put nothing of
a person into an exception or a repr. What an authority says is kept apart from what the person said: an answer holds the
authority's own words, and the caller compares.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable

from msgspec import Struct

from engine.identity.rules import Sex
from engine.kernel.files import NamedFile
from engine.kernel.outcomes import Reason
from engine.kernel.transport import Callback

__all__ = [
    "AssertedPerson",
    "BatchAnswer",
    "BatchVerifier",
    "CivilRegistry",
    "DeathNotice",
    "IdentityAgency",
    "IdentityAnswer",
    "IdentityState",
    "NotProven",
    "OfflineProof",
    "RegistryAnswer",
    "Sex",
    "SignIn",
    "SignInStarted",
    "SocialClass",
    "SocialRegistry",
    "VerifiedPerson",
]


class IdentityState(StrEnum):
    """What an authority says of a person.

    VERIFIED: these are its attributes of the holder. MISMATCH: it knows the number, of somebody else than was described.
    UNKNOWN_NUMBER: it has no such number. BLOCKED: it has, and it is not in force (lost, deactivated, the holder may have
    died). REFUSED: it did not look, `reason` says why. UNKNOWN: it cannot be told what it says; it may be asked again.
    """

    VERIFIED = "verified"
    MISMATCH = "mismatch"
    UNKNOWN_NUMBER = "unknown-number"
    BLOCKED = "blocked"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class AssertedPerson(Struct, frozen=True, kw_only=True):
    """What a person says of themselves, as far as the authority is asked about it.

    `document` is the pack's name for the kind of number. `one_time_code` is what the authority sent to the holder.
    """

    reference: str
    document: str
    number: str
    full_name: str = ""
    born_on: date | None = None
    sex: Sex = "unstated"
    one_time_code: str = ""

    def __repr__(self) -> str:
        """Return what may be logged."""
        return f"AssertedPerson(reference={self.reference!r}, document={self.document!r})"


class VerifiedPerson(Struct, frozen=True, kw_only=True):
    """What an authority states of a person, and as of when it knows.

    `subject` is the authority's name of the person towards us alone, never a national number and never the same with another
    party. `names` are of one person, one a language or spelling. "" and None are what the authority did not state.
    `framework` and `assurance` are its own words for the rules and the strength of the proof; `evidence` its reference of it.
    """

    authority: str
    as_of: datetime
    subject: str = ""
    names: tuple[str, ...] = ()
    born_on: date | None = None
    sex: Sex = "unstated"
    phone: str = ""
    email: str = ""
    address: str = ""
    number_ending: str = ""
    framework: str = ""
    assurance: str = ""
    evidence: str = ""

    def __repr__(self) -> str:
        """Return what may be logged."""
        return f"VerifiedPerson(authority={self.authority!r}, as_of={self.as_of.isoformat()})"


class IdentityAnswer(Struct, frozen=True, kw_only=True):
    """What came of one question. `person` is there when VERIFIED alone; `code` is the authority's own word."""

    state: IdentityState
    person: VerifiedPerson | None = None
    reason: Reason | None = None
    code: str = ""


class IdentityAgency(Protocol):
    """Verifies one person by a number and what they say of themselves, at one authority."""

    async def verify(self, asked: AssertedPerson) -> IdentityAnswer:
        """Ask once, and return what the authority says.

        Raises:
            Unreachable: nothing was asked.
            Unanswered: no whole answer came; asking again harms nobody, but may count.
        """
        ...


class NotProven(Exception):
    """A token, a file or a message that claims to be an authority's proves nothing. `code` says why, in our words; stable.

    Codes: "unreadable", "not-signed", "signature-wrong", "signer-unknown", "not-for-us", "from-another", "expired",
    "not-yet-valid", "replayed", "too-old", "wrong-share-code", "too-large", "incomplete".
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class SignInStarted(Struct, frozen=True, kw_only=True):
    """A person is on the way to the authority at `url`. The others are kept until they are back, and used once."""

    url: str
    state: str
    nonce: str
    code_verifier: str

    def __repr__(self) -> str:
        """Return what may be logged: the rest would let another finish in this person's place."""
        return "SignInStarted()"


class SignIn(Protocol):
    """Lets a person identify themselves at an authority's own page, and reads what it then says of them."""

    async def start(self, *, locale: str = "") -> SignInStarted:
        """Return where to send the person. Raises Unreachable, Unanswered, NotProven: the authority cannot be used now."""
        ...

    async def finish(self, started: SignInStarted, returned: Mapping[str, str]) -> IdentityAnswer:
        """Return what the authority says, from the query that the person came back with.

        REFUSED where the person or the authority declined.

        Raises:
            NotProven: what came back is not the authority's answer to this start.
            Unreachable: the code was not used. Unanswered: it may have been; the person starts again.
        """
        ...


class OfflineProof(Protocol):
    """Reads a signed file that a person obtained from an authority and hands to us. Does no I/O."""

    def read(self, raw: bytes, secret: str, now: datetime) -> VerifiedPerson:
        """Return what the authority signed.

        Args:
            raw: the file as it was handed over.
            secret: what the person sealed it with; it is not kept.
            now: the instant that the age of the file is counted to.

        Raises:
            NotProven: see there; nothing of the file may be used.
        """
        ...


class BatchAnswer(Struct, frozen=True, kw_only=True):
    """What a file says of one person: `reference` is that of the `AssertedPerson`."""

    reference: str
    answer: IdentityAnswer


class BatchVerifier(Protocol):
    """Writes questions to an authority that has no API, and reads its files of answers. Pure; a `FileDrop` carries them."""

    def write(self, batch: str, asked: Sequence[AssertedPerson]) -> NamedFile:
        """Return the file that asks; the same questions under the same batch give the same bytes."""
        ...

    def read(self, file: NamedFile) -> tuple[str, tuple[BatchAnswer, ...]]:
        """Return the batch that a file answers, and its answers.

        Raises:
            FileRefused: nothing of it may be used.
        """
        ...


class DeathNotice(Struct, frozen=True, kw_only=True):
    """A death as a register has it: `registry` and `record` together name it once and for ever.

    `identifiers` are of the dead, by the register's names of kinds. `is_void` says that the register took the record back.
    """

    registry: str
    record: str
    identifiers: Mapping[str, str]
    names: tuple[str, ...] = ()
    born_on: date | None = None
    died_on: date | None = None
    is_void: bool = False

    def __repr__(self) -> str:
        """Return what may be logged."""
        return f"DeathNotice(registry={self.registry!r}, is_void={self.is_void})"


class SocialClass(Struct, frozen=True, kw_only=True):
    """The class a social register puts a person's household in, in its own word, since `as_of`."""

    registry: str
    identifiers: Mapping[str, str]
    name: str
    as_of: date

    def __repr__(self) -> str:
        """Return what may be logged."""
        return f"SocialClass(registry={self.registry!r}, as_of={self.as_of.isoformat()})"


class RegistryAnswer(Struct, frozen=True, kw_only=True):
    """What a register said when it was asked: whether it looked, why not, and how many records it has in all."""

    was_searched: bool
    reason: Reason | None = None
    code: str = ""
    deaths: tuple[DeathNotice, ...] = ()
    classes: tuple[SocialClass, ...] = ()


@runtime_checkable
class CivilRegistry(Protocol):
    """Tells of deaths: when asked, and by itself."""

    async def deaths_of(self, kind: str, numbers: Sequence[str]) -> RegistryAnswer:
        """Return the deaths registered of the holders of those numbers. Raises Unreachable, Unanswered."""
        ...

    def read_notice(self, callback: Callback, now: datetime) -> tuple[DeathNotice, ...]:
        """Return the deaths that a notice tells of; none where it speaks of other events. Raises NotProven."""
        ...

    def acknowledge(self, callback: Callback, now: datetime, *, refusal: str = "") -> bytes:
        """Return the body that tells the register that its notice is kept, or why it is not (a code of NotProven)."""
        ...


@runtime_checkable
class SocialRegistry(Protocol):
    """Tells in which class a household is."""

    async def classes_of(self, kind: str, numbers: Sequence[str]) -> RegistryAnswer:
        """Return the classes of the holders of those numbers. Raises Unreachable, Unanswered."""
        ...
