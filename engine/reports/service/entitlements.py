"""What the rules give a member on a day: for one of them, or for all, under the rules in force or under others.

One function decides, from facts that one statement reads; a preview and a member's own entitlements cannot differ.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits import service as benefits
from engine.benefits.rules import (
    AccessCase,
    AccessRule,
    Claimant,
    ConditionalEntitlementRule,
    CoverCase,
    CoverRule,
    Holding,
    Paid,
    RetirementOptionRule,
    accessible,
    cover_on,
    plan_retirement,
    promised,
    reachable,
)
from engine.contributions.rules import (
    AmountRule,
    MatchFacts,
    MatchRule,
    SplitRule,
    Undertook,
    VestingRule,
    decide_match,
    vested,
)
from engine.identity.rules import MemberRef
from engine.kernel.amounts import Amount
from engine.kernel.errors import EngineError
from engine.kernel.months import whole_months
from engine.kernel.rules import Dates, Rule
from engine.kernel.series import Figures
from engine.reports import queries
from engine.reports.errors import UnknownMember
from engine.reports.queries import MemberFacts
from engine.tenancy.rules.decided import Determination
from engine.tenancy.rules.packs import Pack
from engine.tenancy.service import Tenant, figures_for, record

GROUND = "retirement"
_SHARES = "terms.split."
BENEFIT_AGE = "benefit-age"


@dataclass(frozen=True, slots=True)
class Entitlements:
    """What a member has on a day, by name: money in smallest units, or the code of what stands against it."""

    figures: Mapping[str, str]
    rules: tuple[str, ...]


def is_money(figure: str) -> bool:
    """Return whether an entitlement of that name is an amount; the others are shares in basis points, or a day."""
    return not figure.startswith(_SHARES) and figure != BENEFIT_AGE


def entitlements(
    pack: Pack,
    facts: MemberFacts,
    figures: Figures,
    on: date,
    parts: "Sequence[Part] | None" = None,
    *,
    claimant: Claimant | EngineError | None = None,
    undertook: Undertook | None = None,
) -> Entitlements:
    """Return what a pack's rules give a member on a day.

    Args:
        pack: whose rules.
        facts: what the books say of the member.
        figures: what the pack's figures are worth.
        on: the day: of the decision, the event and the start of any benefit.
        parts: which are asked for; those that the member's facts alone decide if absent.
        claimant: the member as their claims would be decided, or why they cannot be, where a part asks for it.
        undertook: what they undertook to pay, likewise.

    Returns:
        By name: "terms.minimum" and "terms.split.<pot>" of the next contribution; "match" of the scheme year so far;
        "vested.<origin>"; "access.<rule>" now; "retirement.<rule>.lump" and ".instalment" at the option's most;
        "cover.<rule>.<peril>"; "promised.<rule>", which waits for a choice. Where the rules say no, the refusal's code or the reason stands instead of money.

    """
    year_from, _ = pack.product(facts.product).scheme_year(on)
    dates = Dates(on=on, joined_on=facts.joined_on, tranche_on=on, scheme_year_from=year_from, benefit_from=on)
    found: dict[str, str] = {}
    rules: list[str] = []
    for part in PARTS if parts is None else parts:
        part.decide(Question(pack, facts, figures, dates, year_from, claimant, undertook), found, rules)
    return Entitlements(found, tuple(dict.fromkeys(rules)))


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a member's entitlements: by which rules, of whom, on which day."""

    pack: Pack
    facts: MemberFacts
    figures: Figures
    dates: Dates
    year_from: date
    claimant: Claimant | EngineError | None = None
    undertook: Undertook | None = None

    @property
    def paid(self) -> tuple[Paid, ...]:
        paid = sorted((*self.facts.paid, *self.facts.came))
        return tuple(Paid(day, minor, is_reversed=False) for day, minor in paid)

    @property
    def holdings(self) -> tuple[Holding, ...]:
        return tuple(Holding(pot, origin, minor) for pot, origin, minor in self.facts.holdings)


def _terms(asked: Question, found: dict[str, str], rules: list[str]) -> None:
    book = asked.pack.books[asked.facts.product]
    amount, split = book.in_force(AmountRule, asked.dates), book.in_force(SplitRule, asked.dates)
    if amount is not None:
        found["terms.minimum"] = str(asked.figures.amount(amount.rule.minimum, asked.dates.on).units)
        rules.append(amount.ref)
    if split is not None:
        found |= {f"{_SHARES}{part.pot}": str(part.share_bp) for part in split.rule.parts}
        rules.append(split.ref)


def _match(asked: Question, found: dict[str, str], rules: list[str]) -> None:
    year = asked.pack.product(asked.facts.product).scheme_year(asked.dates.on)
    rules_of_year = asked.pack.books[asked.facts.product].in_force_by_joining(MatchRule, year)
    rule = next((one for stretch, one in rules_of_year if stretch.holds(asked.facts.joined_on)), None)
    if rule is None:
        return
    at_once = rule.rule.timing == "each-contribution"
    saved = sum(minor for day, minor in asked.facts.paid if asked.year_from <= day <= asked.dates.on)
    amount = Amount(saved, asked.pack.asset)
    facts = MatchFacts(
        member_class=asked.facts.member_class or "any",
        joined_on=asked.facts.joined_on,
        saved_gross=amount,
        saved_net=amount,
        matched_years=asked.facts.matched_years,
    )
    counted_on = asked.dates.on if at_once else year[1] - timedelta(days=1)
    match = decide_match(rule.rule, facts, asked.figures, counted_on)
    found["match"] = str(match.amount.units) if match.amount.units else match.reason
    rules.append(rule.ref)


def _vesting(asked: Question, found: dict[str, str], rules: list[str]) -> None:
    months = whole_months(asked.facts.joined_on, asked.dates.on)
    for rule in asked.pack.books[asked.facts.product].all_in_force(VestingRule, asked.dates):
        held = sum(minor for _, origin, minor in asked.facts.holdings if origin == rule.rule.origin)
        kept = vested(rule.rule, Amount(held, asked.pack.asset), months, early_exit=False)
        found[f"vested.{rule.rule.origin}"] = str(kept.units)
        rules.append(rule.ref)


def _access(asked: Question, found: dict[str, str], rules: list[str]) -> None:
    product = asked.pack.product(asked.facts.product)
    for rule in asked.pack.books[asked.facts.product].all_in_force(AccessRule, asked.dates):
        case = AccessCase(
            on=asked.dates.on,
            joined_on=asked.facts.joined_on,
            holdings=asked.holdings,
            paid=asked.paid,
            purpose=rule.rule.purposes[0].code if rule.rule.purposes else "",
            documents=frozenset(rule.rule.purposes[0].documents) if rule.rule.purposes else frozenset(),
        )
        try:
            most = accessible(rule, case, asked.figures, product.scheme_year)
            found[f"access.{rule.rule.id}"] = str(most.minor) if most.minor else most.reason
        except EngineError as refusal:
            found[f"access.{rule.rule.id}"] = refusal.code
        rules.append(rule.ref)


def _retirement(asked: Question, found: dict[str, str], rules: list[str]) -> None:
    for rule in asked.pack.books[asked.facts.product].all_in_force(RetirementOptionRule, asked.dates):
        terms = rule.rule.instalments
        try:
            plan = plan_retirement(
                rule,
                reachable(asked.holdings, rule.rule.order),
                asked.figures,
                on=asked.dates.on,
                ground=GROUND,
                lump_bp=rule.rule.most_lump_bp,
                years=terms.most_years if terms else 0,
            )
            found[f"retirement.{rule.rule.id}.lump"] = str(plan.lump_minor)
            if terms:
                found[f"retirement.{rule.rule.id}.instalment"] = str(plan.instalment_minor)
        except EngineError as refusal:
            found[f"retirement.{rule.rule.id}.lump"] = refusal.code
        rules.append(rule.ref)


def _cover(asked: Question, found: dict[str, str], rules: list[str]) -> None:
    product = asked.pack.product(asked.facts.product)
    for rule in asked.pack.books[asked.facts.product].all_in_force(CoverRule, asked.dates):
        if rule.rule.covers == "while-paid":  # whom premiums insure is no matter of what was saved
            continue
        case = CoverCase(asked.dates.on, asked.paid, product.scheme_year, asked.facts.member_class)
        cover = cover_on(rule, case, asked.figures)
        for peril in rule.rule.sums:
            found[f"cover.{rule.rule.id}.{peril}"] = str(cover.sums_minor[peril]) if cover.is_covered else cover.reason
        rules.append(rule.ref)


def _promises(asked: Question, found: dict[str, str], rules: list[str]) -> None:
    if not isinstance(asked.claimant, Claimant):
        return
    promising = asked.pack.books[asked.facts.product].all_in_force(ConditionalEntitlementRule, asked.dates)
    on, settled = asked.dates.on, asked.claimant.settled
    for one in promised(promising, asked.claimant.contributed, asked.figures, on=on, settled=settled):
        found[f"promised.{one.rule}"] = str(one.minor)
        rules.append(one.ref)


@dataclass(frozen=True, slots=True)
class Part:
    """Some of a member's entitlements, and the kinds of the rules that decide them: besides the product, nothing else does."""

    decide: Callable[[Question, dict[str, str], list[str]], None]
    kinds: tuple[type[Rule], ...]
    asks_claimant: bool = False
    asks_undertaking: bool = False


PARTS = (
    Part(_terms, (AmountRule, SplitRule)),
    Part(_match, (MatchRule,)),
    Part(_vesting, (VestingRule,)),
    Part(_access, (AccessRule,)),
    Part(_retirement, (RetirementOptionRule,)),
    Part(_cover, (CoverRule,)),
    Part(_promises, (ConditionalEntitlementRule,), asks_claimant=True),
)


async def entitlements_of(
    session: AsyncSession, tenant: Tenant, member_id: int, product: str, *, on: date
) -> Entitlements | None:
    """Return what the rules in force give one member on a day; None where they are not in the product."""
    figures = await figures_for(session, tenant)
    facts = await queries.member_facts(session, on=on, members=[member_id], product=product)
    if not facts:
        return None
    claimant = None
    if tenant.rules(ConditionalEntitlementRule, product=product, dates=Dates(on=on, joined_on=facts[0].joined_on)):
        key = (member_id, product)
        claimant = (await benefits.claimants(session, tenant, {key: facts[0].joined_on}, on=on))[key]
    return entitlements(tenant.pack, facts[0], figures, on, claimant=claimant)


async def tell_entitlements(
    session: AsyncSession, tenant: Tenant, member: MemberRef, *, on: date
) -> tuple[Entitlements, int]:
    """Return what the rules in force give a member on a day, and the number under which that is on record.

    Raises:
        UnknownMember: they had not joined by that day.
    """
    found = await entitlements_of(session, tenant, member.member_id, member.product, on=on)
    if found is None:
        raise UnknownMember
    told = Determination(
        kind="entitlements",
        product=member.product,
        decided_on=on,
        rules=found.rules,
        member_id=member.member_id,
        outcome=found.figures,
    )
    (decision,) = await record(session, tenant, [told])
    return found, decision
