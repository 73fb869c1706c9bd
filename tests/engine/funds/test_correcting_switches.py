"""Switches whose sale took a wrong price: the fund that they went on into is put right, and the two funds owe each other the money."""

import dataclasses
from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from math import ceil, floor
from typing import Any

import pytest

from engine.funds import service as funds
from engine.funds.queries import correcting as queries
from engine.funds.queries.correcting import Correction
from engine.funds.service.selling import Units
from tests.engine.funds.conftest import BOOK, PRODUCT, Scheme, book_of
from tests.engine.funds.test_correcting import RULE, cash
from tests.engine.funds.test_dealing import PRICES, bought
from tests.engine.funds.test_switching import (
    FIRST,
    HALF,
    SECOND,
    THIRD,
    broken_anywhere,
    buy_all,
    holders,
    pay,
    sell_all,
    switch,
)

SOLD_ON = date(2023, 4, 6)
AT = {SECOND: "31.1", THIRD: "9.91"}


def ruled(scheme: Scheme, by: str = "fund", limit: str = "") -> Scheme:
    """The scheme with a rule of wrong prices in its book."""
    rule = RULE.format(by=by, limit=f'pursued_from = "{limit}"' if limit else "")
    pack = dataclasses.replace(scheme.tenant.pack, books={PRODUCT: book_of(BOOK + rule)})
    scheme.tenant = dataclasses.replace(scheme.tenant, pack=pack)
    return scheme


async def switched(scheme: Scheme, amounts: list[int], to: Mapping[str, int] = HALF) -> list[int]:
    """Members whose units of the first fund sold at 33.0000 on 6 April, and what that brought has bought on the 7th."""
    members = await holders(scheme, amounts)
    for member in members:
        await switch(scheme, member, to)
    await sell_all(scheme)
    await pay(scheme)
    await funds.carry_on_switches(scheme.db, scheme.tenant)
    await buy_all(scheme)
    return members


async def proposed(scheme: Scheme, price: str) -> Correction:
    return await funds.propose_correction(
        scheme.db, scheme.tenant, FIRST, SOLD_ON, price=price, party="operator", reason="typed-wrong", actor="staff:1"
    )


async def correct(scheme: Scheme, price: str) -> Correction:
    one = await proposed(scheme, price)
    return await funds.approve_correction(scheme.db, scheme.tenant, one.number, one.digest, actor="staff:2")


def brought(amount: int, price: int) -> int:
    """What the units of a holder of `amount` paise bring at a price, in paise."""
    return floor(Fraction(bought(amount, FIRST, PRICES[FIRST]), 10**4) * price * 100)


def legs_at(amount: int, price: int) -> dict[str, int]:
    """The units of both funds that a holder of `amount` paise ends with where the first fund sells at a price, by fractions."""
    third = brought(amount, price) * HALF[THIRD] // 10_000
    return {
        SECOND: bought(brought(amount, price) - third, SECOND, AT[SECOND]),
        THIRD: bought(third, THIRD, AT[THIRD]),
    }


async def owed_between(scheme: Scheme) -> dict[tuple[str, str], int]:
    """What funds and parties are owed (credit) or owe for corrected prices, in paise."""
    rows = await scheme.rows(
        """select c.kind, coalesce(nullif(c.fund, ''), c.party), sum(case when t.credit = c.code then t.amount else -t.amount end)::bigint
             from transfers t join chart c on c.code in (t.debit, t.credit)
            where c.kind in ('price-correction', 'compensation-due', 'correction-receivable') group by 1, 2"""
    )
    return {(kind, whose): minor for kind, whose, minor in rows if minor}


@pytest.mark.parametrize("price", [36, 30])
async def test_a_switch_ends_where_the_right_price_would_have_put_it(scheme: Scheme, price: int) -> None:
    amounts = [50000, 33333]
    members = await switched(scheme, amounts)
    ruled(scheme)
    one = await proposed(scheme, str(price))
    assert one.members == 2
    done = await funds.approve_correction(scheme.db, scheme.tenant, one.number, one.digest, actor="staff:2")

    for member, amount in zip(members, amounts, strict=True):
        assert await scheme.units(member) == {FIRST: 0} | legs_at(amount, price)
        assert await cash(scheme, member) == 0
    difference = sum(brought(amount, price) - brought(amount, 33) for amount in amounts)
    found = await owed_between(scheme)
    assert (done.figures.owed, done.figures.borne) == (0, 0)
    assert found["price-correction", FIRST] == -difference
    assert sum(found.values()) == 0
    assert set(found) == {("price-correction", fund) for fund in (FIRST, SECOND, THIRD)}
    assert not await broken_anywhere(scheme)


@pytest.mark.parametrize(("limit", "kind"), [("0.01", "correction-receivable"), ("", "compensation-due")])
async def test_what_a_switch_bought_too_much_and_is_gone_is_owed_or_borne(
    scheme: Scheme, limit: str, kind: str
) -> None:
    (member,) = await switched(scheme, [50000], {SECOND: 10_000})
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await funds.sell(
            session, scheme.tenant, member, PRODUCT, [Units("retirement", "own", SECOND)], day=date(2023, 4, 7),
            actor="staff:1", reference="all",
        )  # fmt: skip
    ruled(scheme, limit=limit)
    done = await correct(scheme, "30")

    over = brought(50000, 33) - brought(50000, 30)
    whose = "operator" if kind == "compensation-due" else ""
    assert await scheme.units(member) == {FIRST: 0, SECOND: 0}
    assert await owed_between(scheme) == {(kind, whose): -over, ("price-correction", FIRST): over}
    assert done.figures.owed + done.figures.borne == over
    assert not await broken_anywhere(scheme)


async def test_of_what_is_partly_held_the_rest_is_borne_in_proportion(scheme: Scheme) -> None:
    """All but one unit is sold again: that unit is taken, and the money of the others is borne."""
    (member,) = await switched(scheme, [50000], {SECOND: 10_000})
    had = (await scheme.units(member))[SECOND]
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await funds.sell(
            session, scheme.tenant, member, PRODUCT, [Units("retirement", "own", SECOND, had - 10_000)], day=date(2023, 4, 7),
            actor="staff:1", reference="most",
        )  # fmt: skip
    done = await correct(ruled(scheme), "30")

    over = brought(50000, 33) - brought(50000, 30)
    too_many = had - bought(brought(50000, 30), SECOND, AT[SECOND])
    borne = ceil(Fraction(over * (too_many - 10_000), too_many))
    assert too_many > 10_000
    assert await scheme.units(member) == {FIRST: 0, SECOND: 0}
    assert done.figures.borne == borne
    assert await owed_between(scheme) == {
        ("price-correction", FIRST): over, ("price-correction", SECOND): borne - over, ("compensation-due", "operator"): -borne,
    }  # fmt: skip
    assert not await broken_anywhere(scheme)


async def test_where_the_rule_says_so_the_party_pays_what_the_fund_kept_too_much(scheme: Scheme) -> None:
    await switched(scheme, [50000], {SECOND: 10_000})
    await correct(ruled(scheme, by="party"), "36")

    under = brought(50000, 36) - brought(50000, 33)
    assert await owed_between(scheme) == {
        ("price-correction", SECOND): under, ("compensation-due", "operator"): -under,
    }  # fmt: skip
    assert not await broken_anywhere(scheme)


async def test_a_switch_on_its_way_and_one_back_into_the_fund_are_put_right_in_the_fund_of_the_price(
    scheme: Scheme,
) -> None:
    amounts = [50000, 50000]
    back, under_way = await holders(scheme, amounts)
    await switch(scheme, back, {FIRST: 5_000, SECOND: 5_000})
    await sell_all(scheme)
    await pay(scheme)
    await funds.carry_on_switches(scheme.db, scheme.tenant)
    await buy_all(scheme)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await funds.switch(
            session, scheme.tenant, under_way, PRODUCT, [Units("retirement", "own", FIRST)], HALF, day=date(2023, 4, 7),
            actor="partner:1", reference="later",
        )  # fmt: skip
    before = await scheme.units(back)
    await correct(ruled(scheme), "36")

    assert await cash(scheme, back) == brought(50000, 36) - brought(50000, 33)
    assert await scheme.units(back) == before
    assert await scheme.rows("select count(*) from correction_switches") == [(0,)]
    assert not await broken_anywhere(scheme)


async def test_the_list_names_the_fund_that_a_switch_went_on_into(scheme: Scheme) -> None:
    await switched(scheme, [50000], {THIRD: 10_000})
    one = await correct(ruled(scheme), "36")
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        (line,) = await funds.correction_lines(session, one.number, most=9)

    more = bought(brought(50000, 36), THIRD, AT[THIRD]) - bought(brought(50000, 33), THIRD, AT[THIRD])
    assert (line.fund, line.unit_scale, line.bought) == (THIRD, 3, more)
    assert line.sold == brought(50000, 36) - brought(50000, 33)
    assert line.done is not None
    assert (line.done.issued, line.done.paid) == (more, 0)


async def test_switches_are_put_right_once_where_it_stopped(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "MOST_MEMBERS_IN_RANGE", 1)
    amounts = [50000, 40000, 30000]
    members = await switched(scheme, amounts)
    book, done = queries.book_range, 0

    async def stops(*args: Any) -> Any:
        nonlocal done
        done += 1
        found = await book(*args)
        if done == 2:
            raise RuntimeError("power cut")
        return found

    with monkeypatch.context() as patched:
        patched.setattr(queries, "book_range", stops)
        with pytest.raises(RuntimeError):
            await correct(ruled(scheme), "36")
    assert not await broken_anywhere(scheme)
    assert await funds.carry_on_corrections(scheme.db, scheme.tenant) == 1

    for member, amount in zip(members, amounts, strict=True):
        assert await scheme.units(member) == {FIRST: 0} | legs_at(amount, 36)
    assert not await broken_anywhere(scheme)
