"""Fees of money in funds: units are put up for what is due, sold by the dealing day, and the fees taken from what they bring."""

import asyncio
import dataclasses
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from engine.app import KINDS
from engine.benefits import service
from engine.benefits.errors import NoPriceYet
from engine.benefits.queries import LAWS
from engine.benefits.queries.charging import FeeRun
from engine.benefits.queries.paying import payable_left
from engine.funds import service as funds
from engine.funds.queries import LAWS as FUND_LAWS
from engine.funds.service.selling import Units, sell
from engine.identity.rules import MemberRef, MemberStatus
from engine.ledger import queries as ledger_queries
from engine.ledger import service as ledger
from engine.reports.service import statement
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.rules.books import decode_book
from engine.tenancy.service import Tenant, load_pack
from tests.engine.benefits.test_charging import fee
from tests.engine.funds.conftest import BOOK, PRODUCT, UNMATCHED, Scheme
from tests.engine.funds.test_correcting import RULE

ROOT = Path(__file__).parents[3]
FUND = "SM001009"
DAY = date(2023, 4, 30)
CHECKED = (*ledger_queries.LAWS, *FUND_LAWS, *LAWS)
OWN = '{ pots = ["retirement"], pots_by = "in-order", origins = ["own"], origins_by = "in-order" }'


def monthly(**over: str) -> str:
    known = {"charged": '"month"', "taken_from": '"units"', "may_empty": "false"} | over
    return fee("monthly", 'amount = "20.00"', 'vat = "18"', order=OWN, **known)


def with_rules(scheme: Scheme, *rules: str) -> Scheme:
    """The scheme's funds and dealing, and these rules."""
    text = "\n".join([BOOK, *rules]).encode()
    book, problems = decode_book(PRODUCT, {f"{PRODUCT}/rules/2010-04-01.toml": text}, KINDS)
    assert not problems, problems
    pack = dataclasses.replace(scheme.tenant.pack, books={PRODUCT: book})
    return dataclasses.replace(scheme, tenant=dataclasses.replace(scheme.tenant, pack=pack))


@pytest_asyncio.fixture
async def scheme(db: Database, tenant_id: int, tmp_path: Path) -> Scheme:
    """A scheme on 3 April 2023, ten in the morning in India."""
    pack = load_pack(ROOT / "tenants/in-nps-lite", KINDS)
    async with db.unit_of_work(tenant_id) as session:
        pack_id = await ledger.pack_id(session, pack.sha256, {})
    made = Scheme(db, Tenant(tenant_id, pack.code, pack, pack_id), FileKeyStore(tmp_path / "keys.toml"))
    await made.clock("2023-04-03T04:30:00")
    return made


async def invested(scheme: Scheme, own: Sequence[int], *, matched: int = 0) -> list[int]:
    """Members of the first fund, at 25.0000 a unit since 5 April, now on 2 May; state money too where asked for."""
    members = await scheme.members(["first"] * len(own))
    receipts = []
    for number, (member, minor) in enumerate(zip(members, own, strict=True)):
        (event,) = await scheme.receive([(member, {"retirement": minor}, f"r{number}")])
        receipts.append((member, event))
        if matched:
            (event,) = await scheme.receive([(member, {"retirement": matched}, f"m{number}")], origin="state-match")
            receipts.append((member, event))
    await scheme.allocate(receipts)
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.price("2023-04-05", {FUND: "25.0000"})
    await scheme.deal("2023-04-05")
    await scheme.clock("2023-05-02T04:30:00")
    return members


async def approved(scheme: Scheme, day: date = DAY) -> FeeRun:
    run = await service.propose_fees(scheme.db, scheme.tenant, PRODUCT, day, actor="staff:1")
    return await service.approve_fees(scheme.db, scheme.tenant, run.run_no, run.digest, actor="staff:2")


async def sold(scheme: Scheme, day: str, price: str) -> None:
    """Close the dealing of the day before, and price it."""
    before = date.fromisoformat(day).replace(day=date.fromisoformat(day).day - 1)
    await scheme.deal(before.isoformat())
    await scheme.clock(f"{day}T04:30:00")
    await scheme.price(day, {FUND: price})
    await scheme.deal(day)


async def holds(scheme: Scheme, member: int) -> dict[tuple[str, str, str], int]:
    found = await scheme.rows(
        """select c.kind, c.origin, c.party, b.credits - b.debits from balances b join chart c on c.code = b.code
            where b.member_id = :m and b.credits > b.debits""",
        m=member,
    )
    return {(kind, origin, party): units for kind, origin, party, units in found}


async def broken(scheme: Scheme) -> list[Any]:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await ledger.check(session, [law for law in CHECKED if law.name not in UNMATCHED])


async def test_units_worth_the_fee_are_sold_and_the_fee_is_taken_from_what_they_bring(scheme: Scheme) -> None:
    scheme = with_rules(scheme, monthly())
    (member, poor) = await invested(scheme, [100_000, 1_000], matched=50_000)

    run = await approved(scheme)
    # 23.60 at 25 a unit are 0.9440 units; of 0.4000 units the last smallest one stays.
    assert run.state == "approved"
    assert await holds(scheme, member) == {
        ("units", "own", ""): 400_000 - 9_440, ("selling", "own", "fees"): 9_440, ("units", "state-match", ""): 200_000,
    }  # fmt: skip
    assert (await holds(scheme, poor))["selling", "own", "fees"] == 3_996
    assert await service.carry_on_fees(scheme.db, scheme.tenant) == 0
    assert not await broken(scheme)

    await sold(scheme, "2023-05-03", "25.0000")
    done = await asyncio.gather(*(service.carry_on_fees(scheme.db, scheme.tenant) for _ in range(3)))
    assert sum(done) >= 1
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        found = await service.find_fee_run(session, run.run_no)
        assert await payable_left(session, member, PRODUCT) == {}
        assert [one.taken for one in await service.fees_of(session, member)] == [2_360]
    assert (found.state, found.taken, found.waived) == ("done", 2_360 + 999, 2_360 - 999)
    assert await holds(scheme, member) == {("units", "own", ""): 390_560, ("units", "state-match", ""): 200_000}
    assert not await broken(scheme)


async def test_a_day_without_a_price_begins_no_run_that_bars_others(scheme: Scheme) -> None:
    scheme = with_rules(scheme, monthly())
    await invested(scheme, [100_000])
    with pytest.raises(NoPriceYet):
        await service.propose_fees(scheme.db, scheme.tenant, PRODUCT, date(2023, 3, 31), actor="staff:1")
    assert (await approved(scheme)).state == "approved"


async def test_what_a_better_price_brings_pays_the_next_fee_first(scheme: Scheme) -> None:
    scheme = with_rules(scheme, monthly())
    (member,) = await invested(scheme, [100_000])
    await approved(scheme)
    await sold(scheme, "2023-05-03", "26.0000")
    await service.carry_on_fees(scheme.db, scheme.tenant)
    # 0.9440 units at 26 are 24.54: 0.94 more than the fee.
    assert (await holds(scheme, member))["payable", "own", "fees"] == 94
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        assert await payable_left(session, member, PRODUCT) == {}, "it is no benefit"

    await scheme.clock("2023-06-01T04:30:00")
    await approved(scheme, date(2023, 5, 31))
    # 22.66 at 26 a unit are 0.8716 units.
    assert (await holds(scheme, member))["selling", "own", "fees"] == 8_716
    await sold(scheme, "2023-06-02", "26.0000")
    await service.carry_on_fees(scheme.db, scheme.tenant)
    left = await holds(scheme, member)
    assert left.get(("payable", "own", "fees"), 0) == 0
    assert not await broken(scheme)


async def test_a_worse_price_waives_what_is_missing(scheme: Scheme) -> None:
    scheme = with_rules(scheme, monthly())
    await invested(scheme, [100_000])
    run = await approved(scheme)
    await sold(scheme, "2023-05-03", "24.0000")
    await service.carry_on_fees(scheme.db, scheme.tenant)

    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        found = await service.find_fee_run(session, run.run_no)
    # 0.9440 units at 24 are 22.65.
    assert (found.taken, found.waived) == (2_265, 95)
    assert not await broken(scheme)


async def test_a_percentage_is_of_what_units_are_worth_and_units_are_never_sold_twice(scheme: Scheme) -> None:
    scheme = with_rules(
        scheme,
        fee("assets", 'percent = "1.2"', 'percent_of = "assets"', order=OWN, charged='"month"', taken_from='"units"'),
    )
    (member, other) = await invested(scheme, [100_000, 50_000])
    run = await service.propose_fees(scheme.db, scheme.tenant, PRODUCT, DAY, actor="staff:1")
    # A month's part of 1.2 % a year is 0.3 % a quarter, 0.1 % a month.
    assert run.net == 100 * 1 + 50 * 1

    async def withdraw() -> None:
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            await sell(
                session, scheme.tenant, other, PRODUCT, [Units("retirement", "own", FUND)],
                day=date(2023, 5, 2), actor="staff:3", reference="all",
            )  # fmt: skip

    await asyncio.gather(
        withdraw(), service.approve_fees(scheme.db, scheme.tenant, run.run_no, run.digest, actor="staff:2")
    )
    assert (await holds(scheme, member))["units", "own", ""] == 400_000 - 400
    assert ("units", "own", "") not in await holds(scheme, other)
    await sold(scheme, "2023-05-03", "25.0000")
    await service.carry_on_fees(scheme.db, scheme.tenant)
    assert not await broken(scheme)


async def test_a_run_that_stopped_between_selling_and_taking_goes_on(
    scheme: Scheme, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = with_rules(scheme, monthly())
    members = await invested(scheme, [100_000] * 5)
    monkeypatch.setattr("engine.benefits.queries.charging.MOST_MEMBERS", 2)
    put_up, seen = service.charging.taking_fees.put_up_range, []  # type: ignore[attr-defined]

    async def stop(*given: Any) -> bool:
        seen.append(1)
        if len(seen) == 2:
            raise RuntimeError("stopped")
        return bool(await put_up(*given))

    monkeypatch.setattr("engine.benefits.queries.taking_fees.put_up_range", stop)
    run = await service.propose_fees(scheme.db, scheme.tenant, PRODUCT, DAY, actor="staff:1")
    for _ in range(2):
        try:
            await service.approve_fees(scheme.db, scheme.tenant, run.run_no, run.digest, actor="staff:2")
        except RuntimeError:
            assert len(seen) == 2
    assert [(await holds(scheme, one)).get(("selling", "own", "fees")) for one in members] == [9_440] * 5
    await sold(scheme, "2023-05-03", "25.0000")
    assert await service.carry_on_fees(scheme.db, scheme.tenant) == 1
    assert await service.carry_on_fees(scheme.db, scheme.tenant) == 0
    assert [await holds(scheme, one) for one in members] == [{("units", "own", ""): 390_560}] * 5
    assert not await broken(scheme)


async def test_a_statement_says_what_fees_ever_took_and_what_is_left_of_their_units(scheme: Scheme) -> None:
    scheme = with_rules(scheme, monthly())
    (member,) = await invested(scheme, [100_000])
    await approved(scheme)
    await sold(scheme, "2023-05-03", "26.0000")
    await service.carry_on_fees(scheme.db, scheme.tenant)

    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        found = await statement(
            session,
            scheme.tenant,
            MemberRef(member, PRODUCT, date(2023, 1, 1), "first", MemberStatus.ACTIVE),
            number="1",
            as_of=date(2023, 5, 3),
        )

    # 39,056 tenths of thousandths of a unit at 26, and 0.94 that the sold ones brought more than the fee.
    totals = found.totals
    assert (totals.charges_minor, found.uninvested_minor, totals.payable_minor) == (2_360, 94, 0)
    assert totals.value_minor == 390_560 * 26 // 100 + 94
    assert totals.gain_minor == totals.value_minor - 100_000


async def test_fees_at_a_price_that_was_wrong_are_given_back_and_charged_again(scheme: Scheme) -> None:
    """0.1 % of 1,000.00 at 25 a unit; at the right price of 20 what was held on that day is worth 800.00."""
    scheme = with_rules(
        scheme,
        fee("assets", 'percent = "1.2"', 'percent_of = "assets"', order=OWN, charged='"month"', taken_from='"units"'),
        RULE.format(by="fund", limit=""),
    )
    await invested(scheme, [100_000])
    run = await approved(scheme)
    await sold(scheme, "2023-05-03", "25.0000")
    await service.carry_on_fees(scheme.db, scheme.tenant)
    assert await service.find_recount(scheme.db, scheme.tenant) is None
    one = await funds.propose_correction(
        scheme.db, scheme.tenant, FUND, date(2023, 4, 5), price="20", party="operator", reason="typed-wrong", actor="staff:1"
    )  # fmt: skip
    assert await service.find_recount(scheme.db, scheme.tenant) is None, "nothing is wrong until two people say so"
    await funds.approve_correction(scheme.db, scheme.tenant, one.number, one.digest, actor="staff:2")
    recount = await service.find_recount(scheme.db, scheme.tenant)
    assert recount is not None
    assert [(item.what, item.day, item.run) for item in recount.items] == [("fees", DAY.isoformat(), run.run_no)]
    await service.approve_recount(scheme.db, scheme.tenant, recount.recount_no, recount.digest, actor="staff:9")
    newest = run
    for corrects in (run.run_no, 0):
        await service.carry_on_recounts(scheme.db, scheme.tenant)
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            (newest, *_) = await service.list_fee_runs(session)
        assert (newest.corrects, newest.state) == (corrects, "proposed")
        await service.approve_fees(scheme.db, scheme.tenant, newest.run_no, newest.digest, actor="staff:2")
    await service.carry_on_recounts(scheme.db, scheme.tenant)

    assert (run.net, newest.net) == (100, 80)
    assert await service.find_recount(scheme.db, scheme.tenant) is None
    assert (await scheme.rows("select state from recounts where recount_no = :n", n=recount.recount_no)) == [("done",)]
    assert not await broken(scheme)
