"""Which terms a payment is decided by, and what became of it, as the answer says."""

from datetime import date

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from engine.contributions.errors import NoTerms
from engine.contributions.rules import (
    AgentCollected,
    AgentCollectionRule,
    AmountRule,
    AnnualCapRule,
    CollectionCounted,
    ContributionTerms,
    ContributorsRule,
    DeclaredIncomeRule,
    DeductionRule,
    ForeignMoneyRule,
    PayeesRule,
    SplitRule,
    count_collection,
    origin_of,
)
from engine.contributions.service.rules_of import rule_of, rules_of
from engine.enrolment.rules import RULE_KINDS, ContributionTests, asks_again, contribution_tests
from engine.identity.rules import MemberRef
from engine.kernel.amounts import Amount
from engine.kernel.rules import Dates, Rule
from engine.kernel.series import Figures
from engine.tenancy import service as tenancy
from engine.tenancy.rules.books import InForce
from engine.tenancy.service import Tenant

_follows: dict[str, bool] = {}
_terms: dict[tuple[str, int, str, date, date], ContributionTerms] = {}
_MOST_TERMS = 10_000
_DECIDE: tuple[type[Rule], ...] = (
    AmountRule,
    AnnualCapRule,
    DeclaredIncomeRule,
    DeductionRule,
    ForeignMoneyRule,
    PayeesRule,
    *RULE_KINDS,
)
"""The kinds that a contribution is decided by whose figures may follow a series, and what the product asks of members."""


async def figures_now(session: AsyncSession, tenant: Tenant) -> Figures:
    """Return what a contribution's figures are worth now; nothing is read where none of them is a multiple of a series."""
    pack = tenant.pack
    if pack.sha256 not in _follows:
        versions = (version for book in pack.books.values() for version in book.versions())
        _follows[pack.sha256] = any(
            (isinstance(version.rule, _DECIDE) and b'"series":' in msgspec.json.encode(version.rule))
            or (isinstance(version.rule, AgentCollectionRule) and version.rule.price_series is not None)
            for version in versions
        )
    return await tenancy.figures_for(session, tenant) if _follows[pack.sha256] else pack.figures()


def terms_for(tenant: Tenant, figures: Figures, product: str, on: date, joined_on: date) -> ContributionTerms:
    """Return the terms of a member who joined on `joined_on`, for a payment of `on`; `figures` are the tenant's of now.

    Raises:
        NoTerms: no rule is in force then.
    """
    key = (tenant.pack.sha256, figures.accepted, product, on, joined_on)
    if key not in _terms:
        dates = Dates(on=on, joined_on=joined_on, tranche_on=on)
        amount = tenant.rule(AmountRule, product=product, dates=dates)
        split = tenant.rule(SplitRule, product=product, dates=dates)
        if amount is None or split is None:
            raise NoTerms(day=on.isoformat())
        if len(_terms) >= _MOST_TERMS:
            _terms.clear()
        _terms[key] = ContributionTerms.of(amount.rule, split.rule, figures, on, (amount.ref, split.ref))
    return _terms[key]


MEMBER = "member"


def origin_for(tenant: Tenant, product: str, on: date, joined_on: date, payer: str) -> str:
    """Return the origin that money of a kind of payer ("" is the member) keeps, for a member who joined on `joined_on`.

    Raises:
        PayerNotTaken: the product takes nothing from such payers.
    """
    rule = rule_of(tenant, ContributorsRule, product=product, on=on, joined_on=joined_on)
    return origin_of(rule.rule if rule else None, payer or MEMBER)


def counted_collection(
    tenant: Tenant, figures: Figures, member: MemberRef, collected: AgentCollected, amount: Amount, deposited_on: date
) -> tuple[CollectionCounted, str]:
    """Return how a deposit of what an agent took for a member counts, and the rule that says so; raises as `count_collection`."""
    found = collection_rule(tenant, member, collected)
    counted = count_collection(found.rule if found else None, collected, amount, deposited_on, figures)
    assert found is not None, "without a rule nothing is taken"
    return counted, found.ref


def collection_rule(
    tenant: Tenant, member: MemberRef, collected: AgentCollected
) -> InForce[AgentCollectionRule] | None:
    """Return the rule by which agents take cash or goods for a member, on the day it was taken; None: there is none."""
    found = rules_of(
        tenant, AgentCollectionRule, product=member.product, on=collected.collected_on, joined_on=member.joined_on
    )
    return next((one for one in found if one.rule.takes == collected.takes), None)


def payer_rules(tenant: Tenant, member: MemberRef, on: date) -> tuple[str, ...]:
    """Return the rule that says who may pay for a member on a day, if there is one."""
    rule = rule_of(tenant, ContributorsRule, product=member.product, on=on, joined_on=member.joined_on)
    return (rule.ref,) if rule else ()


_asks: dict[str, bool] = {}
_tests: dict[tuple[str, str, date, date], ContributionTests | None] = {}


def tests_for(tenant: Tenant, product: str, on: date, joined_on: date) -> ContributionTests | None:
    """Return what is asked again at a payment of `on` by a member who joined on `joined_on`; None where nothing is."""
    pack = tenant.pack
    if pack.sha256 not in _asks:
        _asks[pack.sha256] = any(asks_again(book) for book in pack.books.values())
    if not _asks[pack.sha256]:
        return None
    key = (pack.sha256, product, on, joined_on)
    if key not in _tests:
        if len(_tests) >= _MOST_TERMS:
            _tests.clear()
        year_from = pack.product(product).scheme_year(on)[0]
        dates = Dates(on=on, joined_on=joined_on, tranche_on=on, scheme_year_from=year_from)
        _tests[key] = contribution_tests(tenant.book(product), dates)
    return _tests[key]


def rules_for(tenant: Tenant, figures: Figures, member: MemberRef, on: date) -> tuple[str, ...]:
    """Return the rules by which a member's payment of `on` is decided, as far as there are any."""
    try:
        return terms_for(tenant, figures, member.product, on, member.joined_on).rules
    except NoTerms:
        return ()
