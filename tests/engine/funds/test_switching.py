"""Members who move what they have into other funds: sold first, bought with money that has come; stops and races."""

import asyncio
import dataclasses
from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from math import floor
from typing import Any

import pytest

from engine.benefits.queries import LAWS as BENEFIT_LAWS
from engine.funds import service as funds
from engine.funds.errors import NoSwitching, NotEnoughUnits, SharesNotWhole, UnknownFund
from engine.funds.queries import switching as queries
from engine.funds.service.selling import Proceeds, Sale, Units
from engine.identity.rules import MemberRef, MemberStatus
from engine.ledger import service as ledger
from engine.ledger.rules import Offence
from engine.reports.rules import Statement
from engine.reports.service import statement
from engine.runtime.database import Role
from tests.engine.funds.conftest import BOOK, LAWS, PRODUCT, UNMATCHED, Scheme, book_of
from tests.engine.funds.test_dealing import PRICES, bought, savers

FIRST, SECOND, THIRD = "SM001009", "SM002009", "SM003003"
HALF = {SECOND: 3333, THIRD: 6667}
WITHOUT_STATEMENTS = UNMATCHED | {"proceeds-come-once"}


def free(scheme: Scheme) -> Scheme:
    """The scheme with a rule that lets members move what they have."""
    book = BOOK.replace('id = "fund-choice"\n', 'id = "fund-choice"\nmembers_move = true\n')
    pack = dataclasses.replace(scheme.tenant.pack, books={PRODUCT: book_of(book)})
    scheme.tenant = dataclasses.replace(scheme.tenant, pack=pack)
    return scheme


async def holders(scheme: Scheme, amounts: list[int]) -> list[int]:
    """Members of the first fund since 5 April 2023."""
    members = await savers(free(scheme), ["first"] * len(amounts), amounts)
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.price("2023-04-05", PRICES)
    await scheme.deal("2023-04-05")
    return members


async def switch(scheme: Scheme, member: int, to: Mapping[str, int] = HALF, **changed: Any) -> Sale:
    said: dict[str, Any] = {"wanted": [Units("retirement", "own", FIRST)], "reference": f"s{member}"} | changed
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await funds.switch(
            session, scheme.tenant, member, PRODUCT, said["wanted"], to, day=date(2023, 4, 5), actor="partner:1",
            reference=said["reference"],
        )  # fmt: skip


async def sell_all(scheme: Scheme) -> None:
    """Close the dealing of 5 April and sell at the prices of the 6th."""
    await scheme.deal("2023-04-05")
    await scheme.clock("2023-04-06T04:30:00")
    await scheme.price("2023-04-06", {FIRST: "33.0000", SECOND: "31", THIRD: "9.9"})
    await scheme.deal("2023-04-06")


async def pay(scheme: Scheme) -> None:
    """The managers' money for what was sold comes in."""
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        due = await funds.unsettled_sales(session)
        await funds.settle_sales(
            session, scheme.tenant, [Proceeds(one, "upi", date(2023, 4, 6)) for one in due], actor="staff:1"
        )


async def buy_all(scheme: Scheme) -> None:
    """Close the dealing of 6 April and buy at the prices of the 7th."""
    await scheme.deal("2023-04-06")
    await scheme.clock("2023-04-07T04:30:00")
    await scheme.price("2023-04-07", {FIRST: "33.1", SECOND: "31.1", THIRD: "9.91"})
    await scheme.deal("2023-04-07")


def legs(amount: int) -> dict[str, int]:
    """The units of both funds that a holder of `amount` paise ends with, by fractions."""
    units = bought(amount, FIRST, PRICES[FIRST])
    brought = floor(Fraction(units, 10**4) * 33 * 100)
    third = brought * 6667 // 10_000
    return {SECOND: bought(brought - third, SECOND, "31.1"), THIRD: bought(third, THIRD, "9.91")}


async def broken_anywhere(scheme: Scheme) -> list[Offence]:
    """What breaks any law of the books, but those that tests without statements break."""
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await ledger.check(
            session, [law for law in (*LAWS, *BENEFIT_LAWS) if law.name not in WITHOUT_STATEMENTS]
        )


async def statement_of(scheme: Scheme, member: int, *, as_of: date = date(2023, 4, 7)) -> Statement:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        ref = MemberRef(member, PRODUCT, date(2023, 1, 1), "first", MemberStatus.ACTIVE)
        return await statement(session, scheme.tenant, ref, number="1", as_of=as_of)


async def test_a_switch_sells_and_then_buys_with_what_came(scheme: Scheme) -> None:
    members = await holders(scheme, [50000, 33333])
    for member in members:
        await switch(scheme, member)
    assert await scheme.units(members[0]) == {FIRST: 0}
    await sell_all(scheme)
    assert await funds.carry_on_switches(scheme.db, scheme.tenant) == 0
    await scheme.deal("2023-04-06")
    assert await scheme.rows(
        "select count(*) from allocations where event_id > (select min(event_id) from switches)"
    ) == [(0,)]
    await pay(scheme)
    assert await funds.carry_on_switches(scheme.db, scheme.tenant) == 2
    assert await funds.carry_on_switches(scheme.db, scheme.tenant) == 0
    assert not await scheme.broken(but=WITHOUT_STATEMENTS)
    await buy_all(scheme)

    for member, amount in zip(members, [50000, 33333], strict=True):
        assert await scheme.units(member) == {FIRST: 0} | legs(amount)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        (row,) = await funds.switches_of(session, members[0])
    assert (row.shares, row.legs, row.funded) == (HALF, 1, 1)
    assert not await broken_anywhere(scheme)
    read = await statement_of(scheme, members[0])
    assert {one.fund: one.units for one in read.holdings} == legs(50000)
    assert (read.totals.contributed_minor, read.uninvested_minor) == (50000, 0)


async def test_a_switch_asked_twice_moves_once(scheme: Scheme) -> None:
    (member,) = await holders(scheme, [50000])
    first = await switch(scheme, member)
    again = await switch(scheme, member)
    assert again == first
    await sell_all(scheme)
    await pay(scheme)
    await funds.carry_on_switches(scheme.db, scheme.tenant)
    await buy_all(scheme)

    assert await scheme.units(member) == {FIRST: 0} | legs(50000)
    assert not await scheme.broken(but=WITHOUT_STATEMENTS)


async def test_a_switch_may_be_withdrawn_before_the_cut_off(scheme: Scheme) -> None:
    (member,) = await holders(scheme, [50000])
    before = await scheme.units(member)
    asked = await switch(scheme, member)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id, role=Role.JOBS) as session:
        await funds.withdraw_sale(
            session, scheme.tenant, member, asked.event_id, day=date(2023, 4, 5), actor="partner:1"
        )
    await sell_all(scheme)
    assert await funds.carry_on_switches(scheme.db, scheme.tenant) == 0

    assert await scheme.units(member) == before
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        assert await funds.switches_of(session, member) == []
    assert not await scheme.broken(but=WITHOUT_STATEMENTS)


async def test_what_is_refused_moves_nothing(scheme: Scheme) -> None:
    (member,) = await holders(scheme, [50000])
    before = await scheme.units(member)
    refused: list[tuple[Mapping[str, int], type[Exception], dict[str, Any]]] = [
        ({SECOND: 9999}, SharesNotWhole, {}),
        ({SECOND: 10_001, THIRD: -1}, SharesNotWhole, {}),
        ({"NOFUND": 10_000}, UnknownFund, {}),
        (HALF, NotEnoughUnits, {"wanted": [Units("retirement", "own", SECOND)]}),
    ]
    for to, error, changed in refused:
        with pytest.raises(error):
            await switch(scheme, member, to, **changed)
    pack = dataclasses.replace(scheme.tenant.pack, books={PRODUCT: book_of(BOOK)})
    scheme.tenant = dataclasses.replace(scheme.tenant, pack=pack)
    with pytest.raises(NoSwitching):
        await switch(scheme, member)

    assert await scheme.units(member) == before
    assert await scheme.rows("select count(*) from switches") == [(0,)]


async def test_legs_are_bought_once_however_often_and_by_how_many_it_is_tried(
    scheme: Scheme, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Legs two at a time; the second lot is lost on its way; then two at once."""
    amounts = [50000, 40000, 30000, 20000, 10000]
    members = await holders(scheme, amounts)
    for member in members:
        await switch(scheme, member)
    await sell_all(scheme)
    await pay(scheme)
    monkeypatch.setattr(queries, "MOST_LEGS", 2)
    fund, done = queries.fund_legs, 0

    async def stops(*args: Any) -> Any:
        nonlocal done
        done += 1
        found = await fund(*args)
        if done == 2:
            raise RuntimeError("power cut")
        return found

    with monkeypatch.context() as patched:
        patched.setattr(queries, "fund_legs", stops)
        with pytest.raises(RuntimeError):
            await funds.carry_on_switches(scheme.db, scheme.tenant)
    assert await scheme.rows("select count(*) from switch_legs where is_done") == [(2,)]
    moved = await asyncio.gather(*(funds.carry_on_switches(scheme.db, scheme.tenant) for _ in range(2)))
    assert sum(moved) == 3
    await buy_all(scheme)

    for member, amount in zip(members, amounts, strict=True):
        assert await scheme.units(member) == {FIRST: 0} | legs(amount)
    assert not await scheme.broken(but=WITHOUT_STATEMENTS)
