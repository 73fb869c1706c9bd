"""Interest of members who leave before their scheme year is declared: what the rule gives them as they leave."""

from collections.abc import Mapping
from datetime import date

from sqlalchemy.ext.asyncio import AsyncSession

from engine.funds.queries import interest as queries
from engine.funds.queries.interest import Run
from engine.funds.rules import DeclaredReturnRule
from engine.funds.rules.crediting import exit_terms, weighed
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Transfer
from engine.tenancy.service import Tenant, figures_for, trace


async def credit_at_exit(
    session: AsyncSession, tenant: Tenant, member_id: int, product: str, joined_on: date, on: date, *, actor: str
) -> Mapping[Account, int]:
    """Credit what years that are not credited for good earned a member who leaves, up to a day: Dr interest-reserve / Cr cash.

    Only by rules that say so (`exits`), and less what was credited before, so that doing it again on the same day credits nothing. The caller
    holds the member's balances. Returns smallest units by account.

    Raises:
        SeriesValueMissing: a rate that the rule takes has no value on the first day of a year.
    """
    since = await queries.first_day_to_settle(session, member_id, product)
    book, found = tenant.book(product), dict[Account, int]()
    if since is None or not any(
        isinstance(version.rule, DeclaredReturnRule) and version.rule.exits != "when-declared"
        for version in book.versions()
    ):
        return found
    figures, chart = await figures_for(session, tenant), await ledger.accounts_by_code(session)
    codes = [code for code, one in chart.items() if one.kind == "cash" and one.product == product]
    held = await ledger.hold_balances(session, member_id, codes)
    reserve = Account("interest-reserve", tenant.asset.symbol, product)
    source = (await ledger.account_codes(session, {reserve}))[reserve]
    year = tenant.product(product).scheme_year(since)
    while year[0] <= on:
        rules = [
            rule
            for stretch, rule in book.in_force_by_joining(DeclaredReturnRule, year)
            if (stretch.joined_from or joined_on) <= joined_on <= (stretch.joined_until or joined_on)
        ]
        for rule in rules:
            terms = exit_terms(rule.rule, year, figures, left_on=on) if rule.rule.exits != "when-declared" else None
            if terms is None:
                continue
            run = Run(0, product, *year, on, is_final=False, terms=terms)
            earned = await queries.earned_by(session, run, member_id, weighed(terms))
            credited = {code: max(earned.get(code, 0), 0) for code in held}
            entry = Entry(
                member_id=member_id,
                kind=EventKind.INTEREST_AT_EXIT,
                business_date=on,
                actor=await ledger.actor_id(session, actor),
                pack=tenant.pack_id,
                decision=await ledger.decision_id(session, trace(product, [rule.ref])),
                body={
                    "product": product,
                    "year_from": year[0].isoformat(),
                    "credited": str(sum(credited.values())),
                    "bases": [one.told() for one in terms.rates],
                },
                transfers=[Transfer(minor, source, code) for code, minor in sorted(credited.items()) if minor],
            )
            (posted,) = await ledger.post(session, [entry])
            await queries.add_exit(session, member_id, posted.event_id, year[0], on, credited)
            for code, minor in credited.items():
                found[chart[code]] = found.get(chart[code], 0) + minor
        year = tenant.product(product).scheme_year(year[1])
    return {account: minor for account, minor in found.items() if minor}
