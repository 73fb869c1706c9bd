"""What a statement must say by law, and what of it a member's books say. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, get_args

from msgspec import Meta

from engine.kernel.rules import Rule
from engine.kernel.text import N_
from engine.tenancy.errors import PackProblem
from engine.tenancy.rules.packs import Pack

Item = Literal[
    "opening-balance",
    "contributions-paid",
    "contributions-payable",
    "surcharge",
    "state-match",
    "returns",
    "fees",
    "benefits-paid",
    "benefits-unpaid",
    "transfers-in",
    "transfers-out",
    "closing-balance",
]
LABELS: Mapping[str, str] = {
    "opening-balance": N_("Balance at the start of the scheme year"),
    "contributions-paid": N_("Contributions paid"),
    "contributions-payable": N_("Contributions due and not paid"),
    "surcharge": N_("Charges for lateness"),
    "state-match": N_("State contribution"),
    "returns": N_("Returns"),
    "fees": N_("Fees taken"),
    "benefits-paid": N_("Benefits paid"),
    "benefits-unpaid": N_("Benefits due and not paid"),
    "transfers-in": N_("Transferred in"),
    "transfers-out": N_("Transferred out"),
    "closing-balance": N_("Balance at the end"),
}
assert set(LABELS) == set(get_args(Item))
PAID_OUT = ("payouts-in-transit", "tax-withheld")
"""The kinds of account that what is payable to a member goes to when it is paid."""
Statements = Annotated[tuple[Item, ...], Meta(min_length=1)]


class StatementLawRule(Rule, tag="statement-law", frozen=True, kw_only=True):
    """What the law wants a statement to say. A statement of the scheme that leaves one out fails the pack's check.

    Ghana's LI 1990, regulation 61: fees, contributions and surcharge paid and payable, returns, benefits paid and
    payable but unpaid, transfers in and out.
    """

    many: ClassVar[bool] = True
    statement: Literal["annual"]
    items: Statements


class StatementRule(Rule, tag="statement-contents", frozen=True, kw_only=True):
    """What the scheme's statement says beside payments, holdings, value and return: its items, for the scheme year."""

    many: ClassVar[bool] = True
    statement: Literal["annual"]
    items: Statements


RULE_KINDS: tuple[type[Rule], ...] = (StatementLawRule, StatementRule)


def statement_problems(pack: Pack) -> list[PackProblem]:
    """Return what the law wants a statement to say and no statement of the pack says, by the file of the law."""
    found = []
    for product, book in pack.books.items():
        laws = [one for one in book.versions() if isinstance(one.rule, StatementLawRule)]
        for law in laws:
            assert isinstance(law.rule, StatementLawRule)
            shown = _shown(one.rule for one in book.versions())
            for item in law.rule.items:
                if item not in shown:
                    reason = f"the law {law.rule.id} wants {item}, and no statement-contents of the product has it"
                    found.append(PackProblem(f"{product}/rules/{law.page}.toml", "statement-contents.items", reason))
    return found


def _shown(rules: Iterable[Rule]) -> frozenset[str]:
    return frozenset(item for rule in rules if isinstance(rule, StatementRule) for item in rule.items)


@dataclass(frozen=True, slots=True)
class Flow:
    """What moved on a member's accounts against one kind of account: `minor` > 0 came in, < 0 went out."""

    kind: str
    origin: str
    minor: int


def items_of(
    wanted: Sequence[Item], flows: Sequence[Flow], *, opening: int, closing: int, payable: int = 0, unpaid: int = 0
) -> dict[str, int]:
    """Return the amounts of a statement's items over a scheme year, in smallest units.

    Args:
        wanted: the items, in their order.
        flows: what moved in the year, by the kind of account on the other side.
        opening: what the account was worth before the year.
        closing: what it is worth at the end.
        payable: what is due and not paid.
        unpaid: what of `closing` is payable to the member and not paid yet.

    Returns:
        By item; returns are what is left of the change in value once all that came and went is taken off.

    """
    paid = _sum(flows, ("collections", "suspense"), but="state-match")
    match = _sum(flows, ("state-match-receivable", "collections", "suspense"), only="state-match")
    fees, surcharge = -_sum(flows, ("fees-payable",)), -_sum(flows, ("late-charges",))
    benefits = -_sum(flows, PAID_OUT)
    moved = _sum(flows, ("transfers-in-transit",))
    came_in = sum(flow.minor for flow in flows if flow.kind == "transfers-in-transit" and flow.minor > 0)
    known = {
        "opening-balance": opening,
        "contributions-paid": paid,
        "contributions-payable": payable,
        "surcharge": surcharge,
        "state-match": match,
        "returns": closing - opening - paid - match + fees + surcharge + benefits - moved,
        "fees": fees,
        "benefits-paid": benefits,
        "benefits-unpaid": unpaid,
        "transfers-in": came_in,
        "transfers-out": came_in - moved,
        "closing-balance": closing,
    }
    return {item: known[item] for item in wanted}


def _sum(flows: Sequence[Flow], kinds: Sequence[str], *, only: str = "", but: str = "") -> int:
    return sum(
        flow.minor
        for flow in flows
        if flow.kind in kinds and (not only or flow.origin == only) and (not but or flow.origin != but)
    )
