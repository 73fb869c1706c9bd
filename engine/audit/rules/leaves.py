"""How an event and its transfers are written into the log: RFC 8785 JSON, rendered from rows alone.

A rendering never changes once it has been used: rows and renderer give the entry again, for ever. A kind of event
whose entry must say more becomes a new kind; `RENDERINGS` says which rendering a kind has.

Version 1. An entry is an object of `actor`, `body`, `business_date`, `decision`, `event`, `kind`, `member`, `pack`,
`recorded_at`, `transfers` and `v`. Every number of body and decision is written as its decimal digits in a string,
as is every amount (in major units), because numbers of JSON are exact only up to 2^53. A member is the pseudonym in
16 hexadecimal digits, or "house". `transfers` has their `count`, the RFC 6962 `root` of the canonical rows in order
of member, then line (the house first), and `totals` by asset. A canonical row is an object of `amount`, `asset`,
`credit`, `debit`, `line` and `member`.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from json.encoder import encode_basestring
from types import MappingProxyType
from urllib.parse import quote

import rfc8785

from engine.audit.rules.merkle import Frontier, leaf_hash
from engine.ledger.rules import CREDIT_KINDS, MEMBERS_BIT, Account, EventKind

HOUSE = "house"
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)
_UNSAFE = re.compile(r"[^A-Za-z0-9._~:-]")


def canonical(value: object) -> bytes:
    """Return `value` as RFC 8785 JSON; it holds no floats, and whole numbers within ±2^53 only."""
    # Where all is ASCII and no number is a float, the standard library's sorted form is the same bytes, much faster.
    text = _ENCODER.encode(value)
    return text.encode() if text.isascii() else rfc8785.dumps(value)  # type: ignore[arg-type]


def read_json(text: str) -> object:
    """Return what JSON text says, every number as the string of its digits, as the database wrote them."""
    return json.loads(text, parse_int=str, parse_float=str)


def member_name(member_id: int) -> str:
    """Return how a member stands in leaves and exports: the random id in hexadecimal; the house as "house"."""
    return f"{member_id:016x}" if member_id > 0 else HOUSE


def decimal_text(amount: int, scale: int) -> str:
    """Return `amount` smallest units in major units, with all `scale` decimals: 1250 at 2 is "12.50"."""
    if not scale:
        return str(amount)
    sign = "-" if amount < 0 else ""
    whole, rest = divmod(abs(amount), 10**scale)
    return f"{sign}{whole}.{rest:0{scale}d}"


def instant_text(instant: datetime) -> str:
    """Return an instant in UTC to the microsecond: "2024-03-27T09:15:00.000000Z"."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True, slots=True)
class NamedAccount:
    """A code of the chart, as people read it: its name without the member, its asset and the asset's decimals."""

    code: int
    stem: str
    asset: str
    scale: int

    @property
    def is_members(self) -> bool:
        """Return whether each member has one of their own."""
        return self.code & MEMBERS_BIT != 0

    def name(self, member: str) -> str:
        """Return the account's name: that of a member's own account ends in the member's pseudonym."""
        return f"{self.stem}:{member}" if self.code & MEMBERS_BIT else self.stem

    @classmethod
    def of(cls, code: int, account: Account, scale: int) -> "NamedAccount":
        """Name an account by its normal side and what tells it apart: "liabilities:cash:nps-lite:retirement:own"."""
        side = "liabilities" if account.kind in CREDIT_KINDS else "assets"
        name = _UNSAFE.sub(lambda found: quote(found[0], safe=""), account.name)
        return cls(code, f"{side}:{name}", account.asset, scale)


@dataclass(frozen=True, slots=True)
class TransferRow:
    """One transfer as it stands in the books."""

    member_id: int
    line: int
    amount: int  # smallest units, > 0
    debit: int
    credit: int


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event as it stands in the books, with the names its numbers stand for. `body` and `decision` are JSON text."""

    event_id: int
    member_id: int
    kind: int
    business_date: date
    recorded_at: datetime
    actor: str
    pack: str
    decision: str
    body: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """The texts an event's entry is made of, which the tables of an export hold too."""

    event: str
    kind: str
    member: str
    business_date: str
    recorded_at: str
    actor: str
    pack: str
    decision: str  # canonical JSON
    body: str  # canonical JSON
    count: int
    root: str
    totals: tuple[tuple[str, str], ...]  # (asset, amount in major units), by asset

    @property
    def entry(self) -> bytes:
        """Return the entry; its keys stand in RFC 8785's order."""
        sums = ",".join(f'{{"amount":"{amount}","asset":{encode_basestring(asset)}}}' for asset, amount in self.totals)
        return (
            f'{{"actor":{encode_basestring(self.actor)},"body":{self.body},"business_date":"{self.business_date}",'
            f'"decision":{self.decision},"event":"{self.event}","kind":"{self.kind}","member":"{self.member}",'
            f'"pack":{encode_basestring(self.pack)},"recorded_at":"{self.recorded_at}",'
            f'"transfers":{{"count":{self.count},"root":"{self.root}","totals":[{sums}]}},"v":1}}'
        ).encode()


def kind_name(kind: int) -> str:
    """Return a kind's name in leaves; a number without a name, written by a newer engine, as "kind-99"."""
    try:
        return EventKind(kind).label
    except ValueError:
        return f"kind-{kind}"


def transfer_leaf(line: int | str, member: str, debit: str, credit: str, asset: str, amount: str) -> bytes:
    """Return a transfer's canonical row. Names hold no character that JSON would escape; the asset's may."""
    return (
        f'{{"amount":"{amount}","asset":{encode_basestring(asset)},"credit":"{credit}","debit":"{debit}",'
        f'"line":{line},"member":"{member}"}}'
    ).encode()


def render(event: EventRow, transfers: Iterable[TransferRow], chart: Mapping[int, NamedAccount]) -> Rendered:
    """Return an event's entry from its rows.

    Args:
        event: the event.
        transfers: all of its transfers, in order of member id, then line.
        chart: the tenant's accounts by code; KeyError where one is missing.

    """
    return _RENDERERS[RENDERINGS.get(event.kind, 1)](event, transfers, chart)


def _render_1(event: EventRow, transfers: Iterable[TransferRow], chart: Mapping[int, NamedAccount]) -> Rendered:
    frontier = Frontier()
    totals: dict[str, int] = {}
    scales: dict[str, int] = {}
    for row in transfers:
        debit, credit = chart[row.debit], chart[row.credit]
        member = member_name(row.member_id)
        asset, scales[debit.asset] = debit.asset, debit.scale
        amount = decimal_text(row.amount, debit.scale)
        frontier.add(leaf_hash(transfer_leaf(row.line, member, debit.name(member), credit.name(member), asset, amount)))
        totals[asset] = totals.get(asset, 0) + row.amount
    return Rendered(
        event=str(event.event_id),
        kind=kind_name(event.kind),
        member=member_name(event.member_id),
        business_date=event.business_date.isoformat(),
        recorded_at=instant_text(event.recorded_at),
        actor=event.actor,
        pack=event.pack,
        decision=_decision_text(event.decision),
        body=canonical(read_json(event.body)).decode(),
        count=frontier.size,
        root=frontier.root().hex(),
        totals=tuple((asset, decimal_text(total, scales[asset])) for asset, total in sorted(totals.items())),
    )


@lru_cache(maxsize=1024)
def _decision_text(trace: str) -> str:
    """Return a decision's canonical JSON: many events share few decisions."""
    return canonical(read_json(trace)).decode()


RENDERINGS: Mapping[int, int] = MappingProxyType({int(kind): 1 for kind in EventKind})
"""The rendering of each kind of event; a kind that is not here has version 1."""

_RENDERERS: Mapping[int, Callable[[EventRow, Iterable[TransferRow], Mapping[int, NamedAccount]], Rendered]] = (
    MappingProxyType({1: _render_1})
)
