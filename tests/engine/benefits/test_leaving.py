"""Claims of members who leave before their year's interest is declared, against PostgreSQL."""

import dataclasses
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.funds.queries import LAWS as FUND_LAWS
from engine.funds.rules import DeclaredReturnRule
from engine.funds.service import credit_interest
from engine.kernel.series import Series, SeriesPoint
from engine.ledger import service as ledger
from engine.runtime.database import Database
from tests.factories.claims import Claims, open_scheme

JOINED, OLD = date(2021, 6, 1), date(1967, 1, 31)


def rates(code: str, *points: tuple[str, str, str]) -> Series:
    return Series(
        code,
        "percent-a-year",
        tuple(
            SeriesPoint(date.fromisoformat(on), date.fromisoformat(said), Decimal(value), "test")
            for on, said, value in points
        ),
    )


def ruled(scheme: Claims, *figures: Series, **changes: Any) -> Claims:
    """The scheme with its rule of declared interest changed, and figures."""
    pack = scheme.tenant.pack
    book = pack.books[scheme.product]
    for version in book.versions():
        if isinstance(version.rule, DeclaredReturnRule):
            book = book.with_rule(version.ref, msgspec.structs.replace(version.rule, **changes))
    series = {**pack.series, **{one.code: one for one in figures}}
    pack = dataclasses.replace(pack, books={**pack.books, scheme.product: book}, series=series)
    return dataclasses.replace(scheme, tenant=dataclasses.replace(scheme.tenant, pack=pack))


@pytest.fixture
async def ejoheza(db: Database, tenant_id: int, tmp_path: Path) -> Claims:
    """EjoHeza on 1 February 2023, before the interest of 2022 is declared; who leaves gets that of 2021, 10 %."""
    scheme = await open_scheme(db, tenant_id, tmp_path, "rw-ejoheza", "2023-02-01T08:00:00")
    known = ("2021-01-01", "2022-03-01", "10")
    return ruled(scheme, rates("declared-interest", known), exits="last-declared", leavers_trued_up=False)


async def laws_hold(scheme: Claims) -> None:
    assert not await scheme.broken()
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        names = {"interest-is-what-was-credited", "interest-is-paid-for", "interest-runs-are-their-credits"}
        assert not await ledger.check(session, [law for law in FUND_LAWS if law.name in names])


async def test_who_retires_before_the_declaration_takes_the_interest_along_for_good(ejoheza: Claims) -> None:
    member = await ejoheza.member(JOINED, OLD)
    await ejoheza.pay(member, 100_000, pot="savings", on=date(2022, 1, 1))

    claim = await ejoheza.claim(member, "retirement", rule="all-at-once")

    # 2022: 364 days of 100,000, rounded down; 2023: 32 days of that with its interest but the last, which is there from tomorrow on.
    last = 100_000 * 364 * 10 // 36_500
    this = 100_000 * 32 * 10 // 36_500
    assert (claim.state, claim.amount) == ("decided", 100_000 + last + this)
    await ejoheza.approve(claim)
    assert await ejoheza.holds(member) == {"payable:own": 100_000 + last + this}
    await laws_hold(ejoheza)

    declared = rates("declared-interest", ("2021-01-01", "2022-03-01", "10"), ("2022-01-01", "2023-03-01", "12"))
    later = ruled(ejoheza, declared)
    await later.clock("2023-03-02T08:00:00")
    report = await credit_interest(later.db, later.tenant, later.product, date(2022, 6, 1), "staff:2")
    assert report.members == 0
    assert await ejoheza.holds(member) == {"payable:own": 100_000 + last + this}
    await laws_hold(ejoheza)


async def test_a_claim_that_is_withdrawn_leaves_no_more_than_was_declared(ejoheza: Claims) -> None:
    member = await ejoheza.member(JOINED, OLD)
    await ejoheza.pay(member, 100_000, pot="savings", on=date(2022, 1, 1))
    claim = await ejoheza.claim(member, "retirement", rule="all-at-once")
    async with ejoheza.db.unit_of_work(ejoheza.tenant.tenant_id) as session:
        from engine.benefits import service

        await service.withdraw_claim(session, ejoheza.tenant, claim.claim_id, actor="staff:1")
    again = await ejoheza.claim(member, "retirement", key="k2", rule="all-at-once")
    assert again.amount == claim.amount, "the same day earns once"

    declared = rates("declared-interest", ("2021-01-01", "2022-03-01", "10"), ("2022-01-01", "2023-03-01", "12"))
    later = ruled(ejoheza, declared)
    await later.clock("2023-03-02T08:00:00")
    await credit_interest(later.db, later.tenant, later.product, date(2022, 6, 1), "staff:2")
    this = 100_000 * 32 * 10 // 36_500
    assert await ejoheza.holds(member) == {"cash:own": 100_000 + 100_000 * 364 * 12 // 36_500 + this}
    await laws_hold(ejoheza)
