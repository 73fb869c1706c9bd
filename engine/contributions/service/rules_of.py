"""Which rules of a product decide a member's contribution of a day: looked up in the rule book once, then known."""

from collections.abc import Hashable
from datetime import date
from typing import Any

from engine.kernel.rules import Dates, Rule
from engine.tenancy.rules.books import AnyRule, InForce
from engine.tenancy.service import Tenant

_MOST = 20_000
_products: dict[tuple[str, type[Rule]], dict[str, bool]] = {}
_found: dict[Hashable, tuple[InForce[Any], ...]] = {}


def products_with(tenant: Tenant, kind: type[Rule]) -> frozenset[str]:
    """Return the products whose books ever have a rule of a kind."""
    return frozenset(_by_product(tenant, kind))


def rule_of(tenant: Tenant, kind: type[AnyRule], *, product: str, on: date, joined_on: date) -> InForce[AnyRule] | None:
    """Return the one rule of a kind in force on a day for who joined the product on `joined_on`; None where there is none."""
    found = _looked_up(tenant, kind, product, on, joined_on, is_many=False)
    return found[0] if found else None


def rules_of(
    tenant: Tenant, kind: type[AnyRule], *, product: str, on: date, joined_on: date
) -> tuple[InForce[AnyRule], ...]:
    """Return every rule of a kind of many in force on a day for who joined the product on `joined_on`, by id."""
    return _looked_up(tenant, kind, product, on, joined_on, is_many=True)


def _looked_up(
    tenant: Tenant, kind: type[AnyRule], product: str, on: date, joined_on: date, *, is_many: bool
) -> tuple[InForce[AnyRule], ...]:
    asks_joining = _by_product(tenant, kind).get(product)
    if asks_joining is None:
        return ()
    key = (tenant.pack.sha256, kind, product, on, joined_on if asks_joining else None)
    known = _found.get(key)
    if known is None:
        if len(_found) >= _MOST:
            _found.clear()
        year_from = tenant.product(product).scheme_year(on)[0]
        dates = Dates(on=on, joined_on=joined_on, tranche_on=on, scheme_year_from=year_from)
        if is_many:
            known = tenant.rules(kind, product=product, dates=dates)
        else:
            one = tenant.rule(kind, product=product, dates=dates)
            known = () if one is None else (one,)
        _found[key] = known
    return known


def _by_product(tenant: Tenant, kind: type[Rule]) -> dict[str, bool]:
    """Return of each product that ever has a rule of a kind whether any of them goes by the day of joining."""
    key = (tenant.pack.sha256, kind)
    if key not in _products:
        found: dict[str, bool] = {}
        for code, book in tenant.pack.books.items():
            turns = [turn for many in book.turns(kind).values() for turn in many]
            if turns:
                found[code] = any(turn.applies_by == "joining" for turn in turns)
        _products[key] = found
    return _products[key]
