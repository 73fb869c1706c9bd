"""Interest of a scheme year credited to all members at once, against PostgreSQL; the rule of one account is the oracle."""

import asyncio
import dataclasses
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import ProgrammingError

from engine.funds.errors import LaterYearCredited, NoDeclaredReturn
from engine.funds.rules import DeclaredReturnRule, YearAccount, credit_year
from engine.funds.rules.interest import InterestTerms, Movement
from engine.funds.service import InterestReport, credit_interest
from engine.kernel.ids import new_member_id
from engine.kernel.series import Figures, Series, SeriesPoint
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Transfer
from engine.tenancy.rules.books import InForce, decode_book
from engine.tenancy.service import zero_results
from tests.engine.funds.conftest import PRODUCT, UNMATCHED, Scheme, book_of

BOOK = """
[[rule]]
kind = "declared-return"
id = "declared"
series = "declared-rate"
until_declared = "nothing"
leavers_trued_up = true
overpaid = "recovered"
credited = "year-end"
source = "test"
confidence = "high"

[rule.interest]
day_count = "actual/365"
first_day_counts = false
last_day_counts = true
balance = "daily"
interest = "compound"
posted_every_months = 12
rounding = "down"
"""
BARE = UNMATCHED | {"collections-hold-what-is-not-ordered"}
"""Laws of receipts: money here comes and goes by itself."""
YEAR = (date(2023, 4, 1), date(2024, 4, 1))


def series(*points: tuple[str, str, str], code: str = "declared-rate") -> Series:
    return Series(
        code,
        "percent-a-year",
        tuple(
            SeriesPoint(date.fromisoformat(on), date.fromisoformat(said), Decimal(value), "test")
            for on, said, value in points
        ),
    )


def with_rule(scheme: Scheme, *figures: Series, **changes: Any) -> Scheme:
    """The scheme with a rule of declared returns, changed, and figures."""
    book = book_of(BOOK)
    (found,) = book.versions()
    rule = msgspec.structs.replace(found.rule, **changes)
    pack = dataclasses.replace(
        scheme.tenant.pack,
        books={PRODUCT: book.with_rule(found.ref, rule)},
        series={one.code: one for one in figures or (series(("2023-04-01", "2024-03-20", "12")),)},
    )
    return dataclasses.replace(scheme, tenant=dataclasses.replace(scheme.tenant, pack=pack))


async def move(scheme: Scheme, member: int, moves: Sequence[Movement], *, pot: str = "retirement") -> None:
    """Book payments in and money out, each for its day."""
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        bank, cash = Account("collections", "INR", party="upi"), Account("cash", "INR", PRODUCT, pot, "own")
        codes = await ledger.account_codes(session, {bank, cash})
        actor = await ledger.actor_id(session, "partner:1")
        for one in moves:
            sides = (codes[bank], codes[cash]) if one.minor > 0 else (codes[cash], codes[bank])
            (posted,) = await ledger.post(
                session,
                [
                    Entry(
                        member_id=member, kind=EventKind.STATUS_RECORDED, business_date=one.on, actor=actor,
                        transfers=[Transfer(abs(one.minor), *sides)],
                    )
                ],
            )  # fmt: skip
            assert posted.outcome == 0, one


async def credited(scheme: Scheme, member: int) -> int:
    """What a member was credited, net, by the books."""
    ((found,),) = await scheme.rows(
        """select coalesce(sum(case when t.debit = c.code then t.amount else -t.amount end), 0)::bigint
             from transfers t join chart c on c.code in (t.debit, t.credit) and c.kind = 'interest-reserve' where t.member_id = :m""",
        m=member,
    )
    return int(found)


async def credit(scheme: Scheme, on: str = "2023-06-01") -> InterestReport:
    return await credit_interest(scheme.db, scheme.tenant, PRODUCT, date.fromisoformat(on), "staff:2")


def by_rule(scheme: Scheme, moves: Sequence[Movement], on: str = "2023-06-01", opening: int = 0) -> int:
    """What one account earns, by the rule of one account."""
    year = scheme.tenant.pack.product(PRODUCT).scheme_year(date.fromisoformat(on))
    (found,) = scheme.tenant.pack.books[PRODUCT].versions()
    assert isinstance(found.rule, DeclaredReturnRule)
    before = opening + sum(one.minor for one in moves if one.on < year[0])
    account = YearAccount(
        opening_minor=before,
        movements=tuple(one for one in moves if year[0] <= one.on < year[1]),
        year_from=year[0],
        year_until=year[1],
    )
    return credit_year(
        InForce(found.rule, found.effective_from), account, Figures(scheme.tenant.asset, scheme.tenant.pack.series)
    ).interest_minor


def day(number: int) -> date:
    return YEAR[0] + timedelta(days=number)


async def test_a_run_says_what_its_rule_assumes(scheme: Scheme) -> None:
    settled, assumed = with_rule(scheme), with_rule(scheme, confidence="low", assumption="as in the year before")
    await scheme.clock("2024-04-02T12:00:00")

    assert (await credit(settled)).assumptions == ()
    report = await credit(assumed)
    assert [one.assumed for one in report.assumptions] == ["as in the year before"]
    assert report.lines()[1:] == ["assumed: as in the year before"]


async def why_nothing(scheme: Scheme, member: int) -> list[tuple[int, str, int]]:
    """Run, reason and basis of what a member got nothing by, the oldest first."""
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        found = await zero_results(session, member)
    return [(one.run_no, one.reason, one.basis) for one in reversed(found)]


async def test_who_earns_nothing_is_on_record_with_the_reason(scheme: Scheme) -> None:
    scheme = with_rule(scheme)
    await scheme.clock("2024-04-02T12:00:00")
    earner, spent, little = await scheme.members(["first"] * 3)
    await move(scheme, earner, [Movement(day(0), 100_000)])
    await move(scheme, spent, [Movement(day(0), 5_000), Movement(day(0), -5_000)])
    await move(scheme, little, [Movement(day(300), 3)])
    (outsider,) = await scheme.members(["first"])
    await credit(scheme)
    await credit(scheme)

    assert await why_nothing(scheme, earner) == [(2, "credited-before", 100_000)]
    assert await why_nothing(scheme, spent) == [(1, "below-one-unit", 0), (2, "below-one-unit", 0)]
    assert await why_nothing(scheme, little) == [(1, "below-one-unit", 3), (2, "below-one-unit", 3)]
    assert await why_nothing(scheme, outsider) == []


async def test_a_year_is_credited_for_its_end_and_only_once(scheme: Scheme) -> None:
    scheme = with_rule(scheme)
    (member, other) = await scheme.members(["first", "first"])
    moves = [Movement(day(0), 100_000), Movement(day(100), 50_000), Movement(day(200), -30_000)]
    await move(scheme, member, moves)

    await scheme.clock("2024-03-31T12:00:00")
    assert (await credit(scheme)).waiting
    await scheme.clock("2024-04-02T12:00:00")
    report = await credit(scheme)

    # 100,000 from 2 April on, 50,000 from 11 July on, 30,000 less from 18 October on: 12 % over 365 days each.
    by_hand = int((100_000 * 365 + 50_000 * 265 - 30_000 * 165) * Decimal(12) / 100 / 365)
    assert by_rule(scheme, moves) == by_hand
    assert (report.credited, report.members, report.is_final) == (f"{by_hand / 100:.2f}", 1, True)
    assert report.bases == ("declared 12 %",)
    assert report.credited_on == date(2024, 4, 1)
    assert (await credited(scheme, member), await credited(scheme, other)) == (by_hand, 0)
    again = await credit(scheme)
    assert (again.credited, again.members) == ("0.00", 0)
    assert await credited(scheme, member) == by_hand
    ((when, kinds),) = await scheme.rows(
        "select max(business_date), array_agg(kind order by event_id) from events where kind in (130, 131)"
    )
    assert (when, kinds) == (date(2024, 4, 1), [131, 130, 130])
    assert not await scheme.broken(but=BARE)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_all_accounts_at_once_earn_what_each_earns_by_the_rule(scheme: Scheme, data: st.DataObject) -> None:
    """Every convention, several rates of which the best counts, posting periods that compound; to the smallest unit."""
    day_count = data.draw(st.sampled_from(["actual/365", "actual/360", "actual/actual", "30/360", "months/12"]))
    balances = ["monthly-minimum", "opening-plus-part-year"] + ([] if day_count == "months/12" else ["daily"])
    balance = data.draw(st.sampled_from(balances))
    convention: dict[str, Any] = {"day_count": day_count, "balance": balance}
    terms = InterestTerms(
        **convention,
        first_day_counts=data.draw(st.booleans()),
        last_day_counts=data.draw(st.booleans()),
        minimum_from_day=data.draw(st.integers(1, 28)) if balance == "monthly-minimum" else 1,
        part_year_bp=data.draw(st.none() | st.integers(0, 10_000)) if balance == "opening-plus-part-year" else None,
        interest=data.draw(st.sampled_from(["simple", "compound"])),
        posted_every_months=data.draw(st.sampled_from([1, 3, 6, 12])),
        rounding=data.draw(st.sampled_from(["down", "up", "half-up", "half-even", "nearest-down"])),
    )
    percents = st.decimals("0.01", "15", places=2).map(str)
    floor = data.draw(st.lists(st.integers(1, 364), max_size=2, unique=True))
    floors = series(
        ("2023-04-01", "2023-04-01", data.draw(percents)),
        *((day(number).isoformat(), "2023-04-01", data.draw(percents)) for number in floor),
        code="savings-rate",
    )
    declared = series(("2023-04-01", "2024-03-20", data.draw(percents)))
    changed = with_rule(
        scheme,
        declared,
        floors,
        interest=terms,
        floors=("savings-rate",),
        least_percent=data.draw(st.none() | percents),
    )
    lives: dict[int, list[Movement]] = {}
    for _ in range(data.draw(st.integers(1, 3))):
        member, held, moves = new_member_id(), 0, []
        for number in sorted(data.draw(st.lists(st.integers(-90, 365), min_size=1, max_size=6))):
            minor = data.draw(st.integers(1, 10**7) if held == 0 else st.integers(-held, 10**7).filter(bool))
            held += minor
            moves.append(Movement(day(number), minor))
        lives[member] = moves
        await move(changed, member, moves)
    await scheme.clock("2024-04-02T12:00:00")

    before = {member: await credited(changed, member) for member in lives}
    await credit(changed)

    assert before == dict.fromkeys(lives, 0)
    # What is paid on the day after the year is none of its business.
    expected = {member: by_rule(changed, [one for one in moves if one.on < YEAR[1]]) for member, moves in lives.items()}
    assert {member: await credited(changed, member) for member in lives} == expected


async def test_a_rate_declared_anew_credits_or_takes_back_the_difference(scheme: Scheme) -> None:
    first = with_rule(scheme)
    members = await scheme.members(["first"] * 3)
    moves = [Movement(day(0), 100_000)]
    for member in members:
        await move(first, member, moves)
    await scheme.clock("2024-04-02T12:00:00")
    await credit(first)
    whole = by_rule(first, moves)
    await move(first, members[1], [Movement(date(2024, 4, 2), -(100_000 + whole))])
    await move(first, members[2], [Movement(date(2024, 4, 2), -100_000)])

    lower = with_rule(scheme, series(("2023-04-01", "2024-03-20", "12"), ("2023-04-01", "2024-04-02", "7.5")))
    less = by_rule(lower, moves)
    report = await credit(lower)

    assert report.recovered == f"{(whole - less) * 2 / 100:.2f}"
    assert report.uncovered == f"{(whole - less) / 100:.2f}"
    assert [await credited(lower, member) for member in members] == [less, whole, less]
    assert (await credit(lower)).members == 0
    higher = with_rule(scheme, series(("2023-04-01", "2024-03-20", "12"), ("2023-04-01", "2024-04-03", "15")))
    await credit(higher)
    assert await credited(higher, members[0]) == by_rule(higher, moves)
    assert not await scheme.broken(but=BARE)


async def test_what_was_too_much_stays_where_the_rule_leaves_it(scheme: Scheme) -> None:
    first = with_rule(scheme, overpaid="left")
    (member,) = await scheme.members(["first"])
    await move(first, member, [Movement(day(0), 100_000)])
    await scheme.clock("2024-04-02T12:00:00")
    await credit(first)
    had = await credited(first, member)

    lower = series(("2023-04-01", "2024-03-20", "12"), ("2023-04-01", "2024-04-02", "7.5"))
    report = await credit(with_rule(scheme, lower, overpaid="left"))

    assert (report.members, report.recovered) == (0, "0.00")
    assert await credited(first, member) == had


@pytest.mark.parametrize("trued_up", [True, False])
async def test_members_who_have_left_are_trued_up_where_the_rule_says_so(scheme: Scheme, *, trued_up: bool) -> None:
    first = with_rule(scheme, leavers_trued_up=trued_up)
    (member,) = await scheme.members(["first"])
    moves = [Movement(day(0), 100_000)]
    await move(first, member, moves)
    await scheme.clock("2024-04-02T12:00:00")
    await credit(first)
    had = await credited(first, member)
    await move(first, member, [Movement(date(2024, 4, 2), -(100_000 + had))])

    higher = series(("2023-04-01", "2024-03-20", "12"), ("2023-04-01", "2024-04-02", "15"))
    changed = with_rule(scheme, higher, leavers_trued_up=trued_up)
    await credit(changed)

    assert await credited(changed, member) == (by_rule(changed, moves) if trued_up else had)


async def test_interest_earns_interest_the_year_after_and_years_go_forward(scheme: Scheme) -> None:
    scheme = with_rule(scheme, series(("2023-04-01", "2024-03-20", "12"), ("2024-04-01", "2025-03-20", "10")))
    (member,) = await scheme.members(["first"])
    await move(scheme, member, [Movement(date(2023, 3, 1), 100_000)])
    await scheme.clock("2025-04-02T12:00:00")

    await credit(scheme, "2023-06-01")
    await credit(scheme, "2024-06-01")

    # Twelve per cent of 366 days over 365, rounded down; then ten of all that, over 365 days.
    assert await credited(scheme, member) == 12_032 + 11_203
    with pytest.raises(LaterYearCredited):
        await credit(scheme, "2023-06-01")


async def test_a_run_that_was_stopped_goes_on_and_two_at_once_credit_once(
    scheme: Scheme, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = with_rule(scheme)
    members = sorted(await scheme.members(["first"] * 7))
    for member in members:
        await move(scheme, member, [Movement(day(0), 100_000)])
    await scheme.clock("2024-04-02T12:00:00")
    monkeypatch.setattr("engine.funds.queries.interest.MOST_MEMBERS", 3)
    seen: list[int] = []

    def stop(count: int) -> None:
        seen.append(count)
        if len(seen) == 2:
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        await credit_interest(scheme.db, scheme.tenant, PRODUCT, day(5), "staff:2", progress=stop)
    assert [await credited(scheme, member) for member in members].count(0) == 1

    # A rate that is declared meanwhile is none of the run's business.
    later = with_rule(scheme, series(("2023-04-01", "2024-03-20", "12"), ("2023-04-01", "2024-04-01", "7.5")))
    await asyncio.gather(*(credit(later) for _ in range(3)))

    assert {await credited(scheme, member) for member in members} == {12_000}
    assert not await scheme.broken(but=BARE)


async def test_a_product_without_the_rule_has_no_interest(scheme: Scheme) -> None:
    with pytest.raises(NoDeclaredReturn):
        await credit(scheme)


async def test_credits_are_never_changed(scheme: Scheme) -> None:
    scheme = with_rule(scheme)
    (member,) = await scheme.members(["first"])
    await move(scheme, member, [Movement(day(0), 100_000)])
    await scheme.clock("2024-04-02T12:00:00")
    await credit(scheme)

    with pytest.raises(ProgrammingError):
        await scheme.rows("update interest_credits set minor = 1 returning 1")


async def test_a_year_is_credited_by_the_rule_of_the_day_of_joining(scheme: Scheme) -> None:
    later = BOOK.replace('id = "declared"', 'id = "declared"\napplies_by = "joining"').replace(
        'series = "declared-rate"', 'series = "later-rate"'
    )
    book, problems = decode_book(
        PRODUCT,
        {f"{PRODUCT}/rules/2010-04-01.toml": BOOK.encode(), f"{PRODUCT}/rules/2023-05-01.toml": later.encode()},
        (DeclaredReturnRule,),
    )
    assert not problems
    rates = (
        series(("2023-04-01", "2024-03-20", "12")),
        series(("2023-04-01", "2024-03-20", "6"), code="later-rate"),
    )
    first = with_rule(scheme, *rates)
    scheme = dataclasses.replace(
        first,
        tenant=dataclasses.replace(first.tenant, pack=dataclasses.replace(first.tenant.pack, books={PRODUCT: book})),
    )
    (old,) = await scheme.members(["first"], date(2023, 4, 30))
    (new,) = await scheme.members(["first"], date(2023, 5, 1))
    for member in (old, new):
        await move(scheme, member, [Movement(day(30), 100_000)])
    await scheme.clock("2024-04-02T12:00:00")
    report = await credit(scheme)
    whole = 100_000 * 335 * 12 // 36_500
    half = 100_000 * 335 * 6 // 36_500
    assert (await credited(scheme, old), await credited(scheme, new)) == (whole, half)
    assert (report.members, report.bases) == (2, ("declared 12 %", "declared 6 %"))
    assert report.credited == f"{(whole + half) / 100:.2f}"
    zeros = await scheme.rows("select member_id, reason from zero_results")
    assert zeros == [], "each run tells of its own cohort alone"
    assert (await credit(scheme)).members == 0
    zeros = await scheme.rows("select member_id, reason from zero_results")
    assert sorted(zeros) == sorted((member, "credited-before") for member in (old, new))
    refs = await scheme.rows(
        "select d.trace ->> 'rules' from events e join decisions d on d.decision_id = e.decision and d.tenant_id = e.tenant_id where e.kind = :k order by e.event_id",
        k=int(EventKind.INTEREST_CREDITED),
    )
    assert ["2010-04-01" in one for (one,) in refs] == [True, False]
    assert not await scheme.broken(but=BARE)
