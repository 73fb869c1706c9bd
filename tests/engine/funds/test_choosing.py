"""Where new money goes: members' choices, the path of ages, the group; and holdings that follow the path once a scheme year."""

import asyncio
import dataclasses
import random
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from engine.funds import service as funds
from engine.funds.errors import NoChoosing, NotInProduct, SharesNotWhole, UnknownFund
from engine.funds.queries import choosing as queries
from engine.funds.rules import LifePathRule, path_shares
from engine.funds.service.selling import Proceeds
from engine.kernel.ids import new_member_id
from engine.kernel.months import whole_months
from engine.kernel.rules import Dates
from tests.engine.funds.conftest import BOOK, PRODUCT, UNMATCHED, Scheme, book_of
from tests.engine.funds.test_switching import broken_anywhere

FIRST, SECOND, THIRD = "SM001009", "SM002009", "SM003003"
PATH = """
[[rule]]
kind = "life-path"
id = "life-path"
steps = [
  {{ from_age = 18, shares = {{ SM001009 = 10000 }} }},
  {{ from_age = 30, shares = {{ SM001009 = 7000, SM002009 = 3000 }} }},
  {{ from_age = 50, shares = {{ SM002009 = 4000, SM003003 = 6000 }} }},
]
between = "{between}"
age = "{age}"
leap_day = "1-march"
moves = "{moves}"
before_group = {before}
source = "test"
confidence = "high"
"""


def on_path(
    scheme: Scheme,
    *,
    between: str = "step",
    age: str = "last-birthday",
    moves: str = "all",
    before: str = "true",
    flags: str = "",
) -> Scheme:
    """The scheme with a path in its book; `flags` are added to its choice of funds."""
    book = BOOK.replace('id = "fund-choice"\n', f'id = "fund-choice"\n{flags}\n')
    book += PATH.format(between=between, age=age, moves=moves, before=before)
    pack = dataclasses.replace(scheme.tenant.pack, books={PRODUCT: book_of(book)})
    scheme.tenant = dataclasses.replace(scheme.tenant, pack=pack)
    return scheme


async def aged(
    scheme: Scheme, ages: Sequence[int | None], *, group: str = "first", joined_on: date = date(2020, 6, 15)
) -> list[int]:
    """Members who joined at those ages; None where none is kept."""
    ids = [new_member_id() for _ in ages]
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await session.execute(
            text("""with taken as (
                      insert into members (member_id, enrolled_event, tenant_id, joined_on, product, group_code)
                      select m, 0, :t, :joined, :product, :group from unnest(cast(:ids as bigint[])) u(m) returning *)
                    insert into memberships (member_id, since_event, tenant_id, joined_on, from_on, product, group_code, entry_age)
                    select k.member_id, 0, k.tenant_id, k.joined_on, k.joined_on, k.product, k.group_code, u.age
                      from taken k join unnest(cast(:ids as bigint[]), cast(:ages as smallint[])) u(m, age) on u.m = k.member_id"""),
            {
                "t": scheme.tenant.tenant_id, "joined": joined_on, "product": PRODUCT, "group": group, "ids": ids, "ages": list(ages),
            },
        )  # fmt: skip
    return ids


async def pay_in(scheme: Scheme, members: Sequence[int], amount: int, tag: str) -> funds.Allocated:
    events = await scheme.receive([(one, {"retirement": amount}, f"{tag}{i}") for i, one in enumerate(members)])
    return await scheme.allocate(list(zip(members, events, strict=True)))


async def goes_to(scheme: Scheme, member: int) -> dict[str, int]:
    """What of a member's money waits for each fund."""
    return dict(
        await scheme.rows(
            """select f.code, sum(a.amount)::bigint from allocations a join funds f on f.fund_id = a.fund_id
                where a.member_id = :m group by 1""",
            m=member,
        )
    )


async def choose(scheme: Scheme, member: int, shares: dict[str, int]) -> funds.FundChoice:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await funds.choose_funds(
            session, scheme.tenant, member, PRODUCT, shares, day=date(2023, 4, 3), actor="partner:1"
        )


async def test_new_money_goes_by_age(scheme: Scheme) -> None:
    """The age at joining and the completed years since: 2 of them on 3 April 2023, of those who joined in June 2020."""
    on_path(scheme)
    young, middle, old, child, unknown = members = await aged(scheme, [27, 28, 48, 15, None])
    found = await pay_in(scheme, members, 10_000, "a")

    assert await goes_to(scheme, young) == {FIRST: 10_000}
    assert await goes_to(scheme, middle) == {FIRST: 7_000, SECOND: 3_000}
    assert await goes_to(scheme, old) == {SECOND: 4_000, THIRD: 6_000}
    assert await goes_to(scheme, unknown) == {FIRST: 10_000}, "whose age is not known has the choice of the group"
    assert [member for member, _ in found.without_choice] == [child]
    assert any(ref.startswith("life-path@") for ref in found.rules)
    assert not await scheme.broken(but=UNMATCHED)


@pytest.mark.parametrize(
    ("age", "expected"), [("last-birthday", {FIRST: 7_000, SECOND: 3_000}), ("scheme-year-start", {FIRST: 10_000})]
)
async def test_the_years_are_counted_until_the_day_that_the_rule_says(
    scheme: Scheme, age: str, expected: dict[str, int]
) -> None:
    """Joined at 29 on 2 April 2022: a year is over on the 3rd, and was not on the scheme year's first day."""
    on_path(scheme, age=age)
    (member,) = await aged(scheme, [29], joined_on=date(2022, 4, 2))
    await pay_in(scheme, [member], 10_000, "a")

    assert await goes_to(scheme, member) == expected


async def test_between_steps_the_path_may_bend(scheme: Scheme) -> None:
    on_path(scheme, between="linear")
    (member,) = await aged(scheme, [38])
    await pay_in(scheme, [member], 10_000, "a")

    assert await goes_to(scheme, member) == {FIRST: 3_500, SECOND: 3_500, THIRD: 3_000}


async def test_a_groups_choice_comes_first_where_the_rule_says_so(scheme: Scheme) -> None:
    on_path(scheme, before="false")
    (member,) = await aged(scheme, [48], group="second")
    await pay_in(scheme, [member], 10_000, "a")

    assert await goes_to(scheme, member) == {SECOND: 10_000}


async def test_a_members_choice_comes_before_all_and_can_be_given_up(scheme: Scheme) -> None:
    on_path(scheme, flags="members_choose = true")
    chooses, other = members = await aged(scheme, [48, 48])
    await pay_in(scheme, members, 10_000, "before")
    chosen = await choose(scheme, chooses, {FIRST: 1, THIRD: 9_999})
    await pay_in(scheme, members, 10_001, "after")
    both = [await goes_to(scheme, one) for one in members]
    await choose(scheme, chooses, {})
    await pay_in(scheme, [chooses], 10_000, "back")

    assert chosen.shares == {FIRST: 1, THIRD: 9_999}
    assert both == [
        {SECOND: 4_000, THIRD: 6_000 + 9_999, FIRST: 2},
        {SECOND: 4_000 + 4_001, THIRD: 6_000 + 6_000},
    ]
    assert await goes_to(scheme, chooses) == {SECOND: 8_000, THIRD: 6_000 + 9_999 + 6_000, FIRST: 2}
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        (kept,) = await funds.choices_of(session, chooses)
        assert await funds.choices_of(session, other) == []
    assert kept.shares is None
    assert await scheme.rows("select count(*) from events where kind = 288") == [(2,)]
    assert not await scheme.broken(but=UNMATCHED)


async def test_a_fund_that_is_not_dealt_in_any_more_is_nobodys_choice(scheme: Scheme) -> None:
    on_path(scheme, flags="members_choose = true")
    (member,) = await aged(scheme, [28])
    await choose(scheme, member, {THIRD: 10_000})
    book = BOOK.replace('{ code = "SM003003", name = "Third", manager = "PFM003", unit_scale = 3 },', "")
    book = book.replace('id = "fund-choice"\n', 'id = "fund-choice"\nmembers_choose = true\n')
    pack = dataclasses.replace(scheme.tenant.pack, books={PRODUCT: book_of(book)})
    scheme.tenant = dataclasses.replace(scheme.tenant, pack=pack)
    await pay_in(scheme, [member], 10_000, "a")

    assert await goes_to(scheme, member) == {FIRST: 10_000}


async def test_what_is_refused_of_a_choice_is_not_kept(scheme: Scheme) -> None:
    (member,) = await aged(scheme, [28])
    with pytest.raises(NoChoosing):
        await choose(scheme, member, {FIRST: 10_000})
    on_path(scheme, flags="members_choose = true")
    refused: Sequence[tuple[dict[str, int], type[Exception]]] = (
        ({FIRST: 9_999}, SharesNotWhole),
        ({FIRST: 10_001, SECOND: -1}, SharesNotWhole),
        ({"NOFUND": 10_000}, UnknownFund),
    )
    for shares, error in refused:
        with pytest.raises(error):
            await choose(scheme, member, shares)
    with pytest.raises(NotInProduct):
        await choose(scheme, new_member_id(), {FIRST: 10_000})

    assert await scheme.rows("select count(*) from fund_choices") == [(0,)]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    since=st.dates(date(1990, 1, 1), date(2030, 12, 31)) | st.just(date(2020, 2, 29)),
    until=st.dates(date(1990, 1, 1), date(2080, 12, 31)) | st.integers(0, 40).map(lambda n: date(2020 + n, 2, 28)),
)
async def test_the_books_count_years_as_the_rules_do(scheme: Scheme, since: date, until: date) -> None:
    if until < since:
        since, until = until, since
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        years = await session.scalar(text("select completed_years(:a, :b)"), {"a": since, "b": until})

    assert years == whole_months(since, until) // 12


# -- holdings

PRICES = {FIRST: "32.6034", SECOND: "30.0071", THIRD: "9.87"}
MINOR = {fund: Fraction(Decimal(price)) * 100 for fund, price in PRICES.items()}
SCALES = {FIRST: 4, SECOND: 4, THIRD: 3}


def wanted(held: dict[str, int], aims: dict[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """What of a member's units is sold, and into which funds it goes, by fractions and loops."""
    worth = {fund: floor(Fraction(units, 10 ** SCALES[fund]) * MINOR[fund]) for fund, units in held.items()}
    whole = sum(worth.values())
    aim = {fund: whole * share // 10_000 for fund, share in aims.items()}
    sold = {}
    for fund, units in held.items():
        over = worth[fund] - aim.get(fund, 0)
        if over > 0 and floor(Fraction(units * over, worth[fund])):
            sold[fund] = floor(Fraction(units * over, worth[fund]))
    lacks = {fund: minor - worth.get(fund, 0) for fund, minor in sorted(aim.items()) if minor > worth.get(fund, 0)}
    if not sold or not lacks:
        return {}, {}
    shares = {fund: minor * 10_000 // sum(lacks.values()) for fund, minor in lacks.items()}
    shares[min(lacks)] += 10_000 - sum(shares.values())
    return sold, {fund: share for fund, share in shares.items() if share}


async def invested(scheme: Scheme, ages: Sequence[int | None], *, group: str = "mixed", seed: int = 7) -> list[int]:
    """Members of all ages with units by the choice of their group, at the prices of 5 April 2023."""
    members = await aged(scheme, ages, group=group)
    dice = random.Random(seed)
    receipts = await scheme.receive([(one, {"retirement": dice.randrange(1, 200_000)}, f"m{one}") for one in members])
    await scheme.allocate(list(zip(members, receipts, strict=True)))
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.price("2023-04-05", PRICES)
    await scheme.deal("2023-04-05")
    return members


async def switched(scheme: Scheme) -> dict[int, tuple[dict[str, int], dict[str, int]]]:
    """By member what was put up for switches, and where it is to go."""
    rows = await scheme.rows(
        """select w.member_id, f.code, s.units, w.shares from switches w join sales s using (member_id, event_id)
             join funds f on f.fund_id = s.fund_id"""
    )
    found: dict[int, tuple[dict[str, int], dict[str, int]]] = {}
    for member, fund, units, shares in rows:
        found.setdefault(member, ({}, shares))[0][fund] = units
    return found


async def test_holdings_follow_the_path_once_a_scheme_year(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges of three members; one is lost on its way; then two run at once. All is as fractions say, and balances."""
    monkeypatch.setattr(queries, "MOST_MEMBERS_IN_RANGE", 3)
    ages = [16, 20, 28, 33, 45, 47, 48, 60, None, 15, 10]
    members = await invested(scheme, ages)
    on_path(scheme, between="linear")
    held = {one: await scheme.units(one) for one in members}
    found = scheme.tenant.rule(LifePathRule, product=PRODUCT, dates=Dates(on=date(2023, 4, 5)))
    assert found is not None
    expected = {}
    for member, age in zip(members, ages, strict=True):
        if age is not None and age + 2 >= 18:
            sold, shares = wanted(held[member], dict(path_shares(found, age + 2, date(2023, 4, 5)).shares))
            if sold:
                expected[member] = (sold, shares)
    finish, done = queries.finish_range, 0

    async def stops(*args: Any) -> None:
        nonlocal done
        done += 1
        await finish(*args)
        if done == 2:
            raise RuntimeError("power cut")

    with monkeypatch.context() as patched:
        patched.setattr(queries, "finish_range", stops)
        with pytest.raises(RuntimeError):
            await funds.rebalance(scheme.db, scheme.tenant)
    counts = await asyncio.gather(*(funds.rebalance(scheme.db, scheme.tenant) for _ in range(2)))

    assert await switched(scheme) == expected
    assert len(expected) > 5
    assert 0 < sum(counts) < len(expected)
    assert await funds.rebalance(scheme.db, scheme.tenant) == 0
    assert not await broken_anywhere(scheme)


async def test_what_was_over_has_bought_what_was_under(scheme: Scheme) -> None:
    members = await invested(scheme, [28, 48])
    on_path(scheme)
    assert await funds.rebalance(scheme.db, scheme.tenant) == 2
    await scheme.deal("2023-04-05")
    await scheme.clock("2023-04-06T04:30:00")
    await scheme.price("2023-04-06", PRICES)
    await scheme.deal("2023-04-06")
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        come = [Proceeds(one, "upi", date(2023, 4, 6)) for one in await funds.unsettled_sales(session)]
        await funds.settle_sales(session, scheme.tenant, come, actor="system:1")
    await funds.carry_on_switches(scheme.db, scheme.tenant)
    await scheme.deal("2023-04-06")
    await scheme.clock("2023-04-07T04:30:00")
    await scheme.price("2023-04-07", PRICES)
    await scheme.deal("2023-04-07")

    for member, aims in zip(members, ({FIRST: 7_000, SECOND: 3_000}, {SECOND: 4_000, THIRD: 6_000}), strict=True):
        units = await scheme.units(member)
        worth = {fund: Fraction(count, 10 ** SCALES[fund]) * MINOR[fund] for fund, count in units.items()}
        for fund, minor in worth.items():
            assert abs(minor / sum(worth.values()) - Fraction(aims.get(fund, 0), 10_000)) < Fraction(2, 1000)
    assert not await broken_anywhere(scheme)


async def test_the_next_scheme_year_holdings_follow_again(scheme: Scheme) -> None:
    members = await invested(scheme, [27])
    on_path(scheme)
    first = await funds.rebalance(scheme.db, scheme.tenant)
    await scheme.clock("2024-03-31T04:30:00")
    same_year = await funds.rebalance(scheme.db, scheme.tenant)
    await scheme.clock("2024-04-01T04:30:00")
    under_way = await funds.rebalance(scheme.db, scheme.tenant)

    assert (first, same_year, under_way) == (1, 0, 0), "a member whose switch is under way is left as they are"
    assert await scheme.rows("select year_from from rebalancings order by 1") == [
        (date(2023, 4, 1),),
        (date(2024, 4, 1),),
    ]
    assert (await switched(scheme)).keys() == set(members)


async def test_who_is_left_as_they_are(scheme: Scheme) -> None:
    """Those who chose, those whose group comes first, those with a switch under way; and all where only new money moves."""
    on_path(scheme, moves="new-money", before="false", flags="members_choose = true\nmembers_move = true")
    chose, switches, follows = await invested(scheme, [48, 48, 48], group="nobody")
    (grouped,) = await aged(scheme, [48], group="first")
    await pay_in(scheme, [grouped], 10_000, "g")
    assert await funds.rebalance(scheme.db, scheme.tenant) == 0
    await scheme.deal("2023-04-05")
    await scheme.clock("2023-04-06T04:30:00")
    await scheme.price("2023-04-06", PRICES)
    await scheme.deal("2023-04-06")
    await choose(scheme, chose, {FIRST: 10_000})
    held = {one: await scheme.units(one) for one in (chose, follows, grouped)}
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await funds.switch(
            session, scheme.tenant, switches, PRODUCT, [funds.Units("retirement", "own", SECOND)], {FIRST: 10_000},
            day=date(2023, 4, 6), actor="partner:1", reference="s",
        )  # fmt: skip
    on_path(scheme, before="false", flags="members_choose = true\nmembers_move = true")
    path = PATH.replace("SM002009 = 4000, SM003003 = 6000", "SM002009 = 1000, SM001009 = 9000")
    book = BOOK.replace('id = "fund-choice"\n', 'id = "fund-choice"\nmembers_choose = true\n')
    book += path.format(between="step", age="last-birthday", moves="all", before="false")
    scheme.tenant = dataclasses.replace(
        scheme.tenant, pack=dataclasses.replace(scheme.tenant.pack, books={PRODUCT: book_of(book)})
    )

    assert await funds.rebalance(scheme.db, scheme.tenant) == 1
    assert await scheme.units(follows) != held[follows]
    assert [await scheme.units(one) for one in (chose, grouped)] == [held[chose], held[grouped]]
    assert not await broken_anywhere(scheme)


async def test_without_a_price_of_every_fund_nothing_begins(scheme: Scheme) -> None:
    await invested(scheme, [28])
    on_path(scheme)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await session.execute(
            text("update prices p set state = 'rejected' from funds f where f.fund_id = p.fund_id and f.code = :f"),
            {"f": THIRD},
        )

    assert await funds.rebalance(scheme.db, scheme.tenant) == 0
    assert await scheme.rows("select count(*) from rebalancings") == [(0,)]
