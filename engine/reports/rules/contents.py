"""What a statement must say by law, and what of it a member's books say. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath
from typing import Annotated, ClassVar, Literal, get_args

from msgspec import Meta

from engine.kernel.rules import Dates, Rule
from engine.kernel.text import N_
from engine.tenancy.errors import PackProblem
from engine.tenancy.rules.books import InForce, RuleBook
from engine.tenancy.rules.manifest import Product
from engine.tenancy.rules.packs import Pack
from engine.tenancy.rules.proving import Runner, ScenarioContext

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
_BENEFITS = ("access", "early-exit", "retirement-option", "pension", "exit-tax")
COUNTED_BY: Mapping[str, tuple[str, ...]] = {
    "contributions-paid": ("contribution-split",),
    "contributions-payable": (
        "undertaking",
        "contribution-chart",
        "instalment-formula",
        "contribution-schedule",
        "arrears",
    ),
    "surcharge": ("late-charge",),
    "state-match": ("state-match", "match-claim", "vesting"),
    "returns": ("declared-return",),
    "fees": ("fee", "fee-cap"),
    "benefits-paid": _BENEFITS,
    "benefits-unpaid": _BENEFITS,
}
"""The kinds of rules that items are counted by: what these assume is shown with them."""
FEES = ("fees-payable", "vat-payable", "fees-receivable")
"""The kinds of account that a fee goes to, the tax on it, and a fee that was owed before."""
PAID_OUT = ("payouts-in-transit", "tax-withheld", "heirs", "minors-trust", "due-to-party")
"""The kinds of account that what is payable to a member goes to when it is paid, to them, their heirs or a lender."""
Statements = Annotated[tuple[Item, ...], Meta(min_length=1)]


class StatementLawRule(Rule, tag="statement-law", frozen=True, kw_only=True):
    """What the law wants a statement to say. A day on which the scheme's statement leaves one out fails the pack's check.

    Ghana's LI 1990, regulation 61: fees, contributions and surcharge paid and payable, returns, benefits paid and
    payable but unpaid, transfers in and out.
    """

    many: ClassVar[bool] = True
    listed: ClassVar[tuple[str, ...]] = ("items",)
    statement: Literal["annual"]
    items: Statements


class StatementRule(Rule, tag="statement-contents", frozen=True, kw_only=True):
    """What the scheme's statement says beside payments, holdings, value and return: its items, for the scheme year."""

    many: ClassVar[bool] = True
    listed: ClassVar[tuple[str, ...]] = ("items",)
    statement: Literal["annual"]
    items: Statements


RULE_KINDS: tuple[type[Rule], ...] = (StatementLawRule, StatementRule)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The items of a statement: what the scheme's rules list, what the law wants, each once and in their order."""

    contents: tuple[Item, ...]
    law: tuple[Item, ...]

    @classmethod
    def of(cls, contents: Iterable[StatementRule], laws: Iterable[StatementLawRule]) -> "Wanted":
        """Return what the rules in force ask for."""
        return cls(_each_once(contents), _each_once(laws))

    @property
    def shown(self) -> tuple[Item, ...]:
        """Return what stands on the statement: the scheme's items, then those of the law that it leaves out."""
        return (*self.contents, *self.missing)

    @property
    def missing(self) -> tuple[Item, ...]:
        """Return what the law wants and the scheme's rules do not list."""
        return tuple(item for item in self.law if item not in self.contents)


def _each_once(rules: Iterable[StatementRule | StatementLawRule]) -> tuple[Item, ...]:
    return tuple(dict.fromkeys(item for rule in rules for item in rule.items))


def run_statement(context: ScenarioContext) -> Mapping[str, str]:
    """Return which items a member's statement of the example's day `shows`, the `law` wants, and are `missing`.

    Each is a list with ", " between items, in the order in which they stand; `missing` are those of the law that the
    scheme's own rules do not list (they are shown all the same, at the end).
    """
    wanted = Wanted.of(
        (one.rule for one in context.rules(StatementRule)), (one.rule for one in context.rules(StatementLawRule))
    )
    return {"shows": ", ".join(wanted.shown), "law": ", ".join(wanted.law), "missing": ", ".join(wanted.missing)}


RUNNERS: Mapping[str, Runner] = {"statement": run_statement}


def statement_problems(pack: Pack) -> list[PackProblem]:
    """Return each item that a version of a law wants of a statement and that it lacks on some day, by the first such day.

    Tried are each day on which rules change and the first day of the scheme year after it, for members who joined when
    the product opened or on a day of change: between those days no answer differs.
    """
    found: dict[tuple[str, str, str], PackProblem] = {}
    for code, book in pack.books.items():
        for dates in _tried(pack.product(code), book):
            try:
                lacking = _lacking(book, dates)
            except ValueError as error:
                reason = f"{error} to a statement; its rules apply by event, joining or scheme-year"
                found[code, "", ""] = PackProblem(
                    f"{code}/rules/{_last_change(book, dates)[1]}.toml", "applies_by", reason
                )
                break
            for law, item in lacking:
                reason = (
                    f"on {dates.on.isoformat()} the law {law.rule.id} wants {item}, and no statement-contents in force "
                    f"has it; list {item} in one"
                )
                file = f"{code}/rules/{_page_at_fault(book, law, dates)}.toml"
                found.setdefault((code, law.ref, item), PackProblem(file, "statement-contents.items", reason))
    return list(found.values())


def _tried(product: Product, book: RuleBook) -> list[Dates]:
    turns = {max(change.effective_from, product.opened_on) for change in book.changes}
    days = sorted(turns | {product.scheme_year(day)[1] for day in turns})
    joined = sorted(turns | {product.opened_on})
    return [
        Dates(on=day, joined_on=since, scheme_year_from=product.scheme_year(day)[0])
        for day in days
        for since in joined
        if since <= day
    ]


def _lacking(book: RuleBook, dates: Dates) -> list[tuple[InForce[StatementLawRule], Item]]:
    contents = _each_once(one.rule for one in book.all_in_force(StatementRule, dates))
    laws = book.all_in_force(StatementLawRule, dates)
    return [(law, item) for law in laws for item in law.rule.items if item not in contents]


def _page_at_fault(book: RuleBook, law: InForce[StatementLawRule], dates: Dates) -> str:
    """Return the newest page of those that made the gap: the law's, the contents', or the one that repealed them."""
    contents = book.all_in_force(StatementRule, dates)
    day, page = max([(law.effective_from, law.page), *((one.effective_from, one.page) for one in contents)])
    kept = {one.rule.id for one in contents}
    was_ended = any(
        isinstance(one.rule, StatementRule) and one.effective_from <= dates.on and one.rule.id not in kept
        for one in book.versions()
    )
    return max((day, page), _last_change(book, dates))[1] if was_ended else page


def _last_change(book: RuleBook, dates: Dates) -> tuple[date, str]:
    change = [one for one in book.changes if one.effective_from <= dates.on][-1]
    return change.effective_from, PurePosixPath(change.file).stem


@dataclass(frozen=True, slots=True)
class Flow:
    """What moved one way on a member's accounts against one kind of account: `minor` > 0 came in, < 0 went out."""

    kind: str
    origin: str
    minor: int


TRANSIT = "transfers-in-transit"
PROMISED = "promises-receivable"
"""The kind of account against which a promise becomes the member's money."""
HANDED_OVER = "handed-over"
"""The kind of account against which everything goes to the scheme that this one went into."""
_TRANSFERS = (TRANSIT, "opening", HANDED_OVER)
"""Kinds of accounts against which savings come from other schemes, and go there."""


def items_of(
    wanted: Sequence[Item],
    flows: Sequence[Flow],
    *,
    opening: int,
    closing: int,
    payable: int | None,
    unpaid: int,
    charges: int = 0,
) -> dict[str, int | None]:
    """Return the amounts of a statement's items over a scheme year, in smallest units.

    Args:
        wanted: the items, in their order.
        flows: what moved in the year, by the kind of account on the other side.
        opening: what the account was worth before the year.
        closing: what it is worth at the end.
        payable: what is due and not paid; None where nobody counts it.
        unpaid: what of `closing` is payable to the member and not paid yet.
        charges: what of the payments was for lateness, and stayed the member's own.

    Returns:
        By item, None where it is not known; returns are what is left of the change in value once all that came and
        went is taken off.

    """
    paid = _sum(flows, ("collections", "suspense", PROMISED), but="state-match")
    match = _sum(flows, ("state-match-receivable", "collections", "suspense", PROMISED), only="state-match")
    fees, surcharge = -_sum(flows, FEES), -_sum(flows, ("late-charges",))
    benefits = -_sum(flows, PAID_OUT)
    moved = _sum(flows, _TRANSFERS)
    came_in = sum(flow.minor for flow in flows if flow.kind in _TRANSFERS and flow.minor > 0)
    known: dict[Item, int | None] = {
        "opening-balance": opening,
        "contributions-paid": paid - charges,
        "contributions-payable": payable,
        "surcharge": surcharge + charges,
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
