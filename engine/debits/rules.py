"""What direct debits are: what stands in a mandate, and what two people stand for. Pure."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from engine.kernel.payment_files import REFERENCE_MAX

MOST_IN_A_FILE = 4_000
_Words = Annotated[str, Meta(min_length=1, max_length=70, pattern=r"^\S(.*\S)?$")]


class MandateGiven(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A mandate as a member signed it: whose, for which product, and the account that may be debited: personal data.

    `reference` is what the bank knows it by; `most` is the most of one debit, in major units.
    """

    member: Annotated[str, Meta(min_length=1, max_length=40)]
    product: Annotated[str, Meta(min_length=1, max_length=40)]
    reference: Annotated[str, Meta(max_length=REFERENCE_MAX, pattern=r"^[A-Za-z0-9/?:().,'+-]+$")]
    signed_on: date
    most: Annotated[str, Meta(pattern=r"^[0-9]{1,15}(\.[0-9]{1,4})?$")]
    holder: _Words
    number: Annotated[str, Meta(max_length=34, pattern=r"^[A-Za-z0-9]+$")]
    bank: Annotated[str, Meta(max_length=35, pattern=r"^[A-Za-z0-9]*$")] = ""

    def __repr__(self) -> str:
        return "MandateGiven(...)"


@dataclass(frozen=True, slots=True)
class Collected:
    """One debit of a file: by which mandate, in smallest units. `debit_id` is the reference that statements show."""

    debit_id: UUID
    mandate_id: UUID
    member_id: int
    amount: int


def digest_of(rail: str, collect_on: date, sequence: str, debits: Sequence[Collected]) -> str:
    """Return what stands for exactly what is collected: by which bank, when, from whom and how much, whatever the order."""
    lines = sorted([str(one.debit_id), str(one.mandate_id), one.member_id, one.amount] for one in debits)
    return hashlib.sha256(msgspec.json.encode([rail, collect_on.isoformat(), sequence, lines])).hexdigest()
