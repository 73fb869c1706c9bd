"""Prices that were wrong: whom they touched, what is put right, who bears the rest; stops, races and second persons."""

import asyncio
import dataclasses
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from engine.access.errors import SamePerson
from engine.funds import service as funds
from engine.funds.errors import (
    CorrectionChanged,
    CorrectionDecided,
    CorrectionOpen,
    NoCorrectionRule,
    OrdersInProgress,
    PriceNotUsable,
    SamePrice,
    UnknownCorrection,
    UnknownParty,
    UnknownPrice,
)
from engine.funds.queries import correcting as queries
from engine.funds.queries import dealings as dealing_queries
from engine.funds.rules import CorrectionTerms, Touched, error_bp, is_material, put_right
from engine.funds.service import correcting as correcting_service
from engine.funds.service.selling import Units
from engine.kernel.prices import Price
from engine.ledger import service as ledger
from tests.engine.funds.conftest import BOOK, PRODUCT, UNMATCHED, Scheme, book_of
from tests.engine.funds.test_dealing import bought, savers

FUND = "SM001009"
DAY = date(2023, 4, 5)
RULE = """
[[rule]]
kind = "wrong-price"
id = "wrong-price"
material_bp = 50
made_whole_by = "{by}"
{limit}
source = "test"
confidence = "high"
"""


def ruled(scheme: Scheme, by: str = "fund", limit: str = "100.00") -> Scheme:
    """The scheme with a rule of wrong prices in its book."""
    rule = RULE.format(by=by, limit=f'pursued_from = "{limit}"' if limit else "")
    pack = dataclasses.replace(scheme.tenant.pack, books={PRODUCT: book_of(BOOK + rule)})
    scheme.tenant = dataclasses.replace(scheme.tenant, pack=pack)
    return scheme


async def bought_at(scheme: Scheme, price: str, amounts: Sequence[int], *, fund: str = FUND) -> list[int]:
    """Savers whose money bought at a price of 5 April 2023."""
    members = await savers(scheme, ["first"] * len(amounts), list(amounts))
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.price("2023-04-05", {fund: price})
    await scheme.deal("2023-04-05")
    return members


async def sold_at(scheme: Scheme, price: str, sales: dict[int, int]) -> None:
    """Put units of members up on 4 April, so that they are sold at a price of the 5th; bought at 10 on the 4th."""
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        for member, units in sales.items():
            await funds.sell(
                session,
                scheme.tenant,
                member,
                PRODUCT,
                [Units("retirement", "own", FUND, units)],
                day=date(2023, 4, 4),
                actor="staff:1",
                reference=f"sale-{member}",
            )
    await scheme.deal("2023-04-04")
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.price("2023-04-05", {FUND: price})
    await let_count(scheme)
    await scheme.deal("2023-04-05")


async def let_count(scheme: Scheme) -> None:
    """A second person lets prices count that moved far."""
    for (day,) in await scheme.rows("select price_on from prices where state = 'held'"):
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            await funds.approve_price(session, scheme.tenant, FUND, day, "staff:9")


async def holders(scheme: Scheme, amounts: Sequence[int]) -> list[int]:
    """Savers who bought at 10.00 on 4 April 2023."""
    members = await savers(scheme, ["first"] * len(amounts), list(amounts))
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-04T04:30:00")
    await scheme.price("2023-04-04", {FUND: "10"})
    await scheme.deal("2023-04-04")
    return members


async def propose(scheme: Scheme, price: str, **changed: Any) -> queries.Correction:
    said = {"price": price, "party": "operator", "reason": "typed-wrong", "actor": "staff:1"} | changed
    return await funds.propose_correction(scheme.db, scheme.tenant, FUND, DAY, **said)


async def correct(scheme: Scheme, price: str) -> queries.Correction:
    one = await propose(scheme, price)
    return await funds.approve_correction(scheme.db, scheme.tenant, one.number, one.digest, actor="staff:2")


async def money(scheme: Scheme) -> dict[str, int]:
    """What stands on the accounts of corrections and of members' cash, by kind; credit less debit, paise."""
    rows = await scheme.rows(
        """select c.kind, sum(case when t.credit = c.code then t.amount else -t.amount end)::bigint from transfers t
             join chart c on c.code in (t.debit, t.credit)
            where c.kind in ('price-correction', 'compensation-due', 'correction-receivable') group by 1"""
    )
    return {kind: minor for kind, minor in rows if minor}


async def cash(scheme: Scheme, member: int) -> int:
    ((minor,),) = await scheme.rows(
        """select coalesce(sum(b.credits - b.debits), 0)::bigint from balances b join chart c on c.code = b.code
            where b.member_id = :m and c.kind = 'cash'""",
        m=member,
    )
    return int(minor)


async def test_who_bought_too_few_units_gets_the_rest(scheme: Scheme) -> None:
    """Published 12, right 10: the same money buys more."""
    ruled(scheme)
    members = await bought_at(scheme, "12", [50000, 33333])
    one = await propose(scheme, "10")
    assert (one.state, one.members, one.is_material) == ("proposed", 2, True)
    assert await scheme.units(members[0]) == {FUND: bought(50000, FUND, "12")}
    done = await funds.approve_correction(scheme.db, scheme.tenant, one.number, one.digest, actor="staff:2")

    assert done.state == "done"
    assert await scheme.units(members[0]) == {FUND: bought(50000, FUND, "10")}
    assert await scheme.units(members[1]) == {FUND: bought(33333, FUND, "10")}
    assert await money(scheme) == {}
    assert not await scheme.broken(but=UNMATCHED)


async def test_where_the_rule_says_so_the_party_pays_for_who_lost(scheme: Scheme) -> None:
    ruled(scheme, by="party")
    (member,) = await bought_at(scheme, "12", [50000])
    await correct(scheme, "10")

    extra = bought(50000, FUND, "10") - bought(50000, FUND, "12")
    pays = ceil(Fraction(extra, 10**4) * 10 * 100)
    assert await scheme.units(member) == {FUND: bought(50000, FUND, "10")}
    assert await money(scheme) == {"compensation-due": -pays, "price-correction": pays}
    assert not await scheme.broken(but=UNMATCHED)


async def test_who_bought_too_many_units_gives_them_back(scheme: Scheme) -> None:
    ruled(scheme)
    (member,) = await bought_at(scheme, "8", [50000])
    await correct(scheme, "10")

    assert await scheme.units(member) == {FUND: bought(50000, FUND, "10")}
    assert await money(scheme) == {}
    assert not await scheme.broken(but=UNMATCHED)


@pytest.mark.parametrize(
    ("limit", "kind"), [("125.01", "compensation-due"), ("125.00", "correction-receivable"), ("", "compensation-due")]
)
async def test_who_left_is_asked_from_the_limit_on(scheme: Scheme, limit: str, kind: str) -> None:
    """500.00 bought 62.5 units at 8, and would have bought 50 at 10: 12.5 too many, worth 125.00."""
    ruled(scheme, limit=limit)
    (member,) = await bought_at(scheme, "8", [50000])
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await funds.sell(
            session, scheme.tenant, member, PRODUCT, [Units("retirement", "own", FUND)], day=DAY, actor="staff:1", reference="all"
        )  # fmt: skip
    await correct(scheme, "10")

    assert await scheme.units(member) == {FUND: 0}
    assert await money(scheme) == {kind: -12500, "price-correction": 12500}
    assert not await scheme.broken(but=UNMATCHED)


async def test_who_sold_for_too_little_gets_the_rest_in_money(scheme: Scheme) -> None:
    ruled(scheme)
    (member,) = await holders(scheme, [50000])
    await sold_at(scheme, "8", {member: 300_000})
    await correct(scheme, "9.5")

    assert await cash(scheme, member) == 30 * 150
    assert await scheme.units(member) == {FUND: 200_000}
    assert await money(scheme) == {"price-correction": -30 * 150}
    assert not await scheme.broken(but=UNMATCHED)


async def test_who_sold_for_too_much_gives_units_for_it(scheme: Scheme) -> None:
    """30 units sold at 12 in place of 9: 90.00 too much, which is 10 units at the right price."""
    ruled(scheme)
    holding, left = await holders(scheme, [50000, 30000])
    await sold_at(scheme, "12", {holding: 300_000, left: 300_000})
    done = await correct(scheme, "9")

    assert await scheme.units(holding) == {FUND: 100_000}
    assert await scheme.units(left) == {FUND: 0}
    assert (done.figures.taken, done.figures.borne, done.figures.owed) == (100_000, 9000, 0)
    assert await money(scheme) == {"compensation-due": -9000, "price-correction": 9000}
    assert not await scheme.broken(but=UNMATCHED)


async def test_an_error_that_is_not_material_is_noted_and_nothing_moves(scheme: Scheme) -> None:
    ruled(scheme)
    (member,) = await bought_at(scheme, "10.0499", [50000])
    before = await scheme.units(member)
    one = await propose(scheme, "10")
    assert (one.is_material, one.members) == (False, 0)
    noted = await funds.approve_correction(scheme.db, scheme.tenant, one.number, one.digest, actor="staff:2")

    assert noted.state == "noted"
    assert await scheme.units(member) == before
    (price,) = await scheme.rows("select digits, scale from prices where state = 'accepted' and price_on = :d", d=DAY)
    assert price == (100499, 4)
    kinds = await scheme.rows("select kind from events where kind between 245 and 250 order by event_id")
    assert kinds == [(245,), (248,)]


@pytest.mark.parametrize(
    ("wrong", "is_one"), [("10.0499", False), ("10.05", True), ("10.0501", True), ("9.9501", False), ("9.95", True)]
)
def test_materiality_is_tried_at_its_edges(wrong: str, is_one: bool) -> None:
    assert is_material(Price.of(Decimal(wrong)), Price(10, 0), 50) is is_one
    assert error_bp(Price.of(Decimal(wrong)), Price(10, 0)) == (50 if is_one else 49)


async def test_a_price_said_to_be_wrong_is_taken_by_nobody_until_it_is_decided(scheme: Scheme) -> None:
    ruled(scheme)
    await savers(scheme, ["first"], [50000])
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-04T04:30:00")
    (late,) = await savers(scheme, ["first"], [40000], tag="b")
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.price("2023-04-05", {FUND: "12"})
    await funds.price_orders(scheme.db, scheme.tenant, DAY, "staff:2")
    one = await propose(scheme, "10")
    (waits,) = (await scheme.deal("2023-04-04")).orders
    assert waits.waiting == "no-price"
    (waits,) = (await scheme.deal("2023-04-05")).orders
    assert waits.waiting == "price-held"
    await funds.approve_correction(scheme.db, scheme.tenant, one.number, one.digest, actor="staff:2")
    (taken,) = (await scheme.deal("2023-04-05")).orders

    assert (taken.price_on, taken.price) == (DAY, "10")
    assert await scheme.units(late) == {FUND: bought(40000, FUND, "10")}
    assert not await scheme.broken(but=UNMATCHED)


async def test_a_rejected_correction_changes_nothing(scheme: Scheme) -> None:
    ruled(scheme)
    (member,) = await bought_at(scheme, "12", [50000])
    one = await propose(scheme, "10")
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        rejected = await funds.reject_correction(session, scheme.tenant, one.number, one.digest, actor="staff:2")

    assert rejected.state == "rejected"
    assert await scheme.units(member) == {FUND: bought(50000, FUND, "12")}
    with pytest.raises(CorrectionDecided):
        await funds.approve_correction(scheme.db, scheme.tenant, one.number, one.digest, actor="staff:2")
    assert (await propose(scheme, "10")).number == one.number + 1


async def test_a_corrected_price_may_turn_out_wrong_too(scheme: Scheme) -> None:
    ruled(scheme)
    (member,) = await bought_at(scheme, "12", [50000])
    await correct(scheme, "10")
    await correct(scheme, "11")

    assert await scheme.units(member) == {FUND: bought(50000, FUND, "11")}
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        listed = await funds.list_prices(session, fund=FUND, first=DAY, last=DAY, state=None, most=9)
    assert [(str(one.price.decimal()), one.state) for one in listed] == [
        ("11", "accepted"),
        ("10", "corrected"),
        ("12", "corrected"),
    ]
    assert not await scheme.broken(but=UNMATCHED)


async def test_what_is_refused_changes_nothing(scheme: Scheme) -> None:
    with pytest.raises(UnknownPrice):
        await propose(scheme, "10")
    await bought_at(scheme, "12", [50000])
    with pytest.raises(NoCorrectionRule):
        await propose(scheme, "10")
    ruled(scheme)
    for price, error in (("0", PriceNotUsable), ("x", PriceNotUsable), ("12.00", SamePrice)):
        with pytest.raises(error):
            await propose(scheme, price)
    with pytest.raises(UnknownParty):
        await propose(scheme, "10", party="nobody")
    one = await propose(scheme, "10")
    with pytest.raises(CorrectionOpen):
        await propose(scheme, "11")
    with pytest.raises(SamePerson):
        await funds.approve_correction(scheme.db, scheme.tenant, one.number, one.digest, actor="staff:1")
    with pytest.raises(CorrectionChanged):
        await funds.approve_correction(scheme.db, scheme.tenant, one.number, "0" * 64, actor="staff:2")
    with pytest.raises(UnknownCorrection):
        await funds.approve_correction(scheme.db, scheme.tenant, 99, one.digest, actor="staff:2")
    assert await scheme.rows("select count(*) from correction_results") == [(0,)]
    assert not await scheme.broken(but=UNMATCHED)


async def test_an_order_that_is_being_allotted_is_finished_first(
    scheme: Scheme, monkeypatch: pytest.MonkeyPatch
) -> None:
    ruled(scheme)
    await savers(scheme, ["first"], [50000])
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.price("2023-04-05", {FUND: "12"})

    async def stop(*_: object, **__: object) -> int:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patched:
        patched.setattr(dealing_queries, "allot_range", stop)
        with pytest.raises(RuntimeError):
            await scheme.deal("2023-04-05")
    with pytest.raises(OrdersInProgress):
        await propose(scheme, "10")


async def test_a_correction_goes_on_where_it_stopped(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges of one member each; the third is lost on its way, and nobody is put right twice."""
    ruled(scheme)
    monkeypatch.setattr(queries, "MOST_MEMBERS_IN_RANGE", 1)
    amounts = [50000, 40000, 30000, 20000]
    members = await bought_at(scheme, "12", amounts)
    one = await propose(scheme, "10")
    book, done = queries.book_range, 0

    async def stops(*args: Any) -> Any:
        nonlocal done
        done += 1
        found = await book(*args)
        if done == 3:
            raise RuntimeError("power cut")
        return found

    monkeypatch.setattr(queries, "book_range", stops)
    with pytest.raises(RuntimeError):
        await funds.approve_correction(scheme.db, scheme.tenant, one.number, one.digest, actor="staff:2")
    assert await scheme.rows("select count(*) from correction_ranges where is_done") == [(2,)]
    assert not await scheme.broken(but=UNMATCHED)
    assert await funds.carry_on_corrections(scheme.db, scheme.tenant) == 1
    assert await funds.carry_on_corrections(scheme.db, scheme.tenant) == 0

    for member, amount in zip(members, amounts, strict=True):
        assert await scheme.units(member) == {FUND: bought(amount, FUND, "10")}
    assert not await scheme.broken(but=UNMATCHED)


async def test_two_who_approve_at_once_and_a_job_put_right_once(
    scheme: Scheme, monkeypatch: pytest.MonkeyPatch
) -> None:
    ruled(scheme)
    monkeypatch.setattr(queries, "MOST_MEMBERS_IN_RANGE", 2)
    amounts = [50000, 40000, 30000, 20000, 10000]
    members = await bought_at(scheme, "8", amounts)
    one = await propose(scheme, "10")

    async def approve(actor: str) -> None:
        await funds.approve_correction(scheme.db, scheme.tenant, one.number, one.digest, actor=actor)

    answers = await asyncio.gather(approve("staff:2"), approve("staff:3"), return_exceptions=True)
    await funds.carry_on_corrections(scheme.db, scheme.tenant)

    assert all(answer is None or isinstance(answer, CorrectionDecided) for answer in answers), answers
    for member, amount in zip(members, amounts, strict=True):
        assert await scheme.units(member) == {FUND: bought(amount, FUND, "10")}
    assert await scheme.rows("select count(*) from events where kind = 250") == [(1,)]
    assert not await scheme.broken(but=UNMATCHED)


async def test_the_list_names_every_member(scheme: Scheme) -> None:
    ruled(scheme)
    await bought_at(scheme, "8", [50000, 40000])
    one = await correct(scheme, "10")
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        raw = await funds.correction_file(session, scheme.keys, scheme.tenant, one.number, actor="staff:1")
    head, *rows = raw.decode().splitlines()

    assert head == ",".join(correcting_service.COLUMNS)
    assert sorted(row.split(",", 5)[5] for row in rows) == [
        "-10.0000,0.00,0.0000,10.0000,0.00,0.00,0.00",
        "-12.5000,0.00,0.0000,12.5000,0.00,0.00,0.00",
    ]


PRICES = st.integers(1_0000, 99_0000).map(lambda digits: Price(digits, 4))


@given(
    bought_=st.integers(-(10**9), 10**9),
    sold=st.integers(-(10**8), 10**8),
    held=st.integers(0, 10**9),
    right=PRICES,
    limit=st.one_of(st.none(), st.integers(1, 10**7)),
    by=st.sampled_from(["fund", "party"]),
)
@settings(max_examples=300, deadline=None)
def test_no_member_who_holds_enough_ends_further_than_a_unit_from_right(
    bought_: int, sold: int, held: int, right: Price, limit: int | None, by: Any
) -> None:
    terms = CorrectionTerms(material_bp=1, made_whole_by=by, pursued_from=limit, rules=())
    done = put_right(Touched(bought=bought_, sold=sold, held=held), terms, right, money_scale=2, unit_scale=4)
    unit = Fraction(right.decimal()) * 100 / 10**4  # paise a smallest unit
    after = held + done.issued - done.taken

    assert after >= 0
    assert min(done.issued, done.taken, done.paid, done.owed, done.borne, done.made_whole) >= 0
    assert not (done.owed and done.borne)
    # What all is worth at the right price: what the account lacked and had too much is all there, to a unit and a paisa.
    lacked = bought_ * unit + sold
    given_ = (done.issued - done.taken) * unit + done.paid - done.owed - done.borne
    assert abs(lacked - given_) <= unit + 2
    if done.owed or done.borne:
        assert after == 0 or done.owed + done.borne <= unit + 2
    if limit is not None:
        assert done.borne < limit
        assert done.owed == 0 or done.owed >= limit


AMOUNTS = st.lists(st.integers(100, 1_000_000), min_size=1, max_size=5)


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.generate],  # each example takes seconds: none to make it smaller
)
@given(
    amounts=AMOUNTS,
    wrong=st.integers(5_0000, 40_0000),
    right=st.integers(5_0000, 40_0000),
    sold_bp=st.lists(st.integers(0, 10_000), min_size=5, max_size=5),
    by=st.sampled_from(["fund", "party"]),
    limit=st.sampled_from(["", "0.01", "10.00", "100000.00"]),
)
@example(amounts=[50000], wrong=12_0000, right=9_0000, sold_bp=[10_000] * 5, by="party", limit="10.00")
async def test_everybody_ends_where_the_right_price_would_have_put_them(
    scheme: Scheme, amounts: list[int], wrong: int, right: int, sold_bp: list[int], by: str, limit: str
) -> None:
    """Some buy, some of them sell all or part before it comes out; then the books against fractions."""
    if not is_material(Price(wrong, 4), Price(right, 4), 50):
        return
    ruled(scheme, by, limit)
    number = (await scheme.rows("select count(*) from dealings"))[0][0]
    day = date.fromordinal(DAY.toordinal() + 7 * int(number))
    before = await money(scheme)
    await scheme.clock(f"{day.isoformat()}T04:30:00")
    members = await savers(scheme, ["first"] * len(amounts), amounts, tag=f"h{number}-")
    await scheme.deal(day.isoformat())
    on = date.fromordinal(day.toordinal() + 1)
    await scheme.clock(f"{on.isoformat()}T04:30:00")
    await scheme.price(on.isoformat(), {FUND: f"{Decimal(wrong).scaleb(-4)}"})
    await let_count(scheme)
    await scheme.deal(on.isoformat())
    had = {member: (await scheme.units(member)).get(FUND, 0) for member in members}
    gone = {member: had[member] * bp // 10_000 for member, bp in zip(members, sold_bp, strict=False)}
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        for member, units in gone.items():
            if units:
                await funds.sell(
                    session, scheme.tenant, member, PRODUCT, [Units("retirement", "own", FUND, units)], day=on, actor="staff:1",
                    reference=f"s{member}",
                )  # fmt: skip
    await scheme.deal(on.isoformat())
    later = date.fromordinal(on.toordinal() + 2)
    await scheme.clock(f"{later.isoformat()}T04:30:00")
    await scheme.price(later.isoformat(), {FUND: "20"})
    await let_count(scheme)
    await scheme.deal(later.isoformat())
    one = await funds.propose_correction(
        scheme.db,
        scheme.tenant,
        FUND,
        on,
        price=str(Decimal(right).scaleb(-4)),
        party="operator",
        reason="x",
        actor="staff:1",
    )
    done = await funds.approve_correction(scheme.db, scheme.tenant, one.number, one.digest, actor="staff:2")

    price_ = Fraction(right, 10**4)
    short = 0
    for member, amount in zip(members, amounts, strict=True):
        should = floor(Fraction(amount, 100) / price_ * 10**4)
        lacks = max(0, had[member] - gone[member] - (had[member] - should)) if should < had[member] else None
        now = (await scheme.units(member)).get(FUND, 0)
        if lacks is None:
            assert now == should - gone[member]
        else:
            assert now == lacks
            short += ceil(Fraction(now - (should - gone[member]), 10**4) * price_ * 100)
    after = await money(scheme)
    moved = {kind: after.get(kind, 0) - before.get(kind, 0) for kind in {*after, *before}}
    extra = sum(
        max(0, floor(Fraction(a, 100) / price_ * 10**4) - had[m]) for m, a in zip(members, amounts, strict=True)
    )
    assert sum(moved.values()) == 0
    assert moved.get("price-correction", 0) >= short
    assert done.figures.issued == extra
    if by == "fund":
        assert moved.get("price-correction", 0) == short
    assert not await scheme.broken(but=UNMATCHED)


async def test_the_books_and_the_rule_put_right_alike(scheme: Scheme) -> None:
    """Each account's result in the books is what the pure rule says of what it met."""
    ruled(scheme, by="party", limit="50.00")
    members = await holders(scheme, [50000, 30000, 20000])
    await sold_at(scheme, "12.3457", {members[0]: 123_457, members[1]: 300_000, members[2]: 199_999})
    held = {member: (await scheme.units(member)).get(FUND, 0) for member in members}
    one = await correct(scheme, "9.8765")
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        lines = await funds.correction_lines(session, one.number, most=10)
        assert await ledger.accounts_by_code(session)

    assert len(lines) == 3
    for line in lines:
        said = put_right(
            Touched(bought=line.bought, sold=line.sold, held=held[line.member_id]),
            one.terms,
            one.right,
            money_scale=2,
            unit_scale=4,
        )
        assert line.done is not None
        assert (line.done.issued, line.done.taken, line.done.paid, line.done.owed) == (
            said.issued,
            said.taken,
            said.paid,
            said.owed,
        )
        assert line.done.borne == said.borne + said.made_whole
