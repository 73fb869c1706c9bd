"""Where each account of the scheme that goes has its place in the one it goes into."""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncSession

from engine.funds.rules import FundsRule
from engine.kernel.clock import business_date
from engine.kernel.rules import Dates
from engine.ledger import service as ledger
from engine.ledger.rules import Account
from engine.mergers import queries
from engine.mergers.errors import UnusableTerms
from engine.mergers.rules import MergerTerms, Place, check_terms
from engine.tenancy.service import Tenant


@dataclass(frozen=True, slots=True)
class Ways(queries.Ways):
    """`queries.Ways`, and to how many decimals the units of each old fund are counted."""

    decimals: dict[str, int]


async def opened_ways(session: AsyncSession, tenant: Tenant, terms: MergerTerms) -> Ways:
    """Return where accounts go by the terms; the account between is opened for each asset.

    Raises:
        UnusableTerms: the terms name what the scheme has not, or leave out a product or a pot of it.
    """
    check_terms(terms)
    _check_products(tenant, terms)
    if terms.owed_to not in tenant.pack.roles:
        raise UnusableTerms(reason=f"owed_to: allowed: {', '.join(sorted(tenant.pack.roles))}")
    chart = await ledger.accounts_by_code(session)
    on = business_date(await ledger.scheme_now(session), tenant.time_zone)
    decimals = await queries.fund_decimals(session)
    unknown = sorted({one.fund for one in terms.funds} - decimals.keys())
    if unknown:
        raise UnusableTerms(reason=f"there is no fund {unknown[0]}")
    products = {one.product: one for one in terms.products}
    funds = {one.fund: one for one in terms.funds}
    codes: dict[int, tuple[Place, int, int]] = {}
    for code, account in chart.items():
        if account.kind not in ("cash", "units") or account.party or account.product not in products:
            continue
        into = products[account.product]
        if account.pot not in into.pots:
            continue
        place = Place(into.into, into.pots[account.pot], account.origin, "")
        if account.kind == "cash":
            codes[code] = (place, 1, 1)
        elif account.fund in funds:
            fund = funds[account.fund]
            codes[code] = (
                Place(place.product, place.pot, place.origin, fund.into),
                *fund.factor(decimals[account.fund]),
            )
    await ledger.account_codes(session, {Account("handed-over", chart[code].asset) for code in codes})
    return Ways(
        codes=codes,
        products={one.product: one.into for one in terms.products},
        pots={(one.product, pot): into for one in terms.products for pot, into in one.pots.items()},
        groups={(one.product, group): into for one in terms.products for group, into in one.groups.items()},
        in_funds=tuple(
            one.code
            for one in tenant.pack.products
            if tenant.rule(FundsRule, product=one.code, dates=Dates(on=on, joined_on=on)) is not None
        ),
        decimals=decimals,
    )


def fixed(smallest: int, scale: int) -> str:
    """Return smallest units as a decimal string of so many places."""
    return f"{Decimal(smallest).scaleb(-scale):.{scale}f}"


def _check_products(tenant: Tenant, terms: MergerTerms) -> None:
    own = {one.code: one for one in tenant.pack.products}
    named = {one.product: one for one in terms.products}
    for code in own.keys() ^ named.keys():
        told = "has no place" if code in own else "is none of the scheme"
        raise UnusableTerms(reason=f"the product {code} {told}")
    for code, product in own.items():
        pots = set(product.pot_codes)
        for pot in sorted(pots ^ named[code].pots.keys()):
            told = "has no place" if pot in pots else "is none of it"
            raise UnusableTerms(reason=f"the pot {pot} of {code} {told}")
