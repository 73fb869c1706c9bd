"""One record of two persons: the payments that are the other's go to them at whatever stage they are; two people, once."""

import asyncio
import dataclasses
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.access.errors import SamePerson
from engine.benefits import service
from engine.benefits.errors import CannotSplit, MergeDecided, MergeDiffers, UnknownSplit
from engine.benefits.queries.splitting import Split
from engine.contributions import service as contributions
from engine.contributions.errors import NothingToMove, ReversalDecided, UnknownContribution
from engine.runtime.key_file import FileKeyStore
from tests.engine.benefits.test_merging import CHECKER, MAKER, holds, not_whole, ref, without_funds
from tests.engine.contributions.test_reversing import confirm, price
from tests.engine.contributions.test_reversing import propose as propose_reversal
from tests.engine.contributions.test_wrong_member import SPLIT, with_rules
from tests.engine.funds.conftest import UNMATCHED, Scheme
from tests.engine.funds.conftest import scheme as _scheme

bare_scheme = _scheme


@pytest.fixture
def known(bare_scheme: Scheme, keys: FileKeyStore) -> Scheme:
    scheme = Scheme(bare_scheme.db, bare_scheme.tenant, keys)
    with_rules(scheme, SPLIT)
    return scheme


async def propose(scheme: Scheme, member: int, to: int, receipts: list[int], actor: str = MAKER) -> Split:
    one, other = await ref(scheme, member), await ref(scheme, to)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await service.propose_split(session, scheme.tenant, member=one, to=other, receipts=receipts, actor=actor)


async def approve(scheme: Scheme, split: Split, *, actor: str = CHECKER, digest: str = "") -> Split:
    return await service.approve_split(
        scheme.db, scheme.keys, scheme.tenant, split.split_no, digest=digest or split.digest, actor=actor
    )


async def find(scheme: Scheme, split: Split) -> Split:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await service.find_split(session, split.split_no)


async def pays(scheme: Scheme, member: int, amount: int, reference: str) -> int:
    (receipt,) = await scheme.receive([(member, {"retirement": amount}, reference)])
    return receipt


async def test_the_payments_that_are_named_go_at_their_stages_and_the_others_stay(known: Scheme) -> None:
    member, other = await known.members(["first", "first"])
    bought = await pays(known, member, 10_000, "R1")
    await known.allocate([(member, bought)])
    await known.deal("2023-04-03")
    await price(known, 5, "10")
    theirs, own = await pays(known, member, 700, "R2"), await pays(known, member, 5_000, "R3")

    split = await approve(known, await propose(known, member, other, [theirs, bought]))
    assert (split.state, split.total, split.moved, split.refused) == ("approved", 10_700, 1, 0)
    assert await holds(known, other) == {("cash", "own"): 700}
    await known.deal("2023-04-05")
    await price(known, 6, "12")
    assert await contributions.carry_on_reversals(known.db, known.keys, known.tenant) == 1

    assert (await find(known, split)).moved == 2
    assert await holds(known, other) == {("cash", "own"): 10_700}
    assert await holds(known, member) == {("cash", "own"): 5_000}
    days = await known.rows("select distinct business_date from events where kind = 12 order by 1")
    assert days == [(date(2023, 4, 3),), (date(2023, 4, 5),)]
    assert not await known.broken(but=UNMATCHED)
    assert not await not_whole(known)
    with pytest.raises(ReversalDecided):
        await propose(known, member, other, [own, bought])


async def test_two_people_split_exactly_what_was_proposed(known: Scheme) -> None:
    member, other, third = await known.members(["first", "first", "first"])
    first, second = await pays(known, member, 100, "R1"), await pays(known, member, 200, "R2")
    (suspended,) = await known.receive([(None, {"retirement": 500}, "R3")])
    for receipts, refusal in (
        ([first, first], CannotSplit),
        ([], CannotSplit),
        ([first, 7], UnknownContribution),
        ([suspended], UnknownContribution),
    ):
        with pytest.raises(refusal):
            await propose(known, member, other, receipts)
    with pytest.raises(NothingToMove):
        await propose(known, member, member, [first])
    with pytest.raises(UnknownContribution):
        await propose(known, other, member, [first])
    split = await propose(known, member, other, [first, second])
    assert await propose(known, member, other, [second, first]) == split
    with pytest.raises(CannotSplit, match="waits"):
        await propose(known, member, third, [first])
    with pytest.raises(SamePerson):
        await approve(known, split, actor=MAKER)
    with pytest.raises(MergeDiffers):
        await approve(known, split, digest="0" * 64)
    with pytest.raises(UnknownSplit):
        await approve(known, dataclasses.replace(split, split_no=9))
    assert await holds(known, other) == {}
    async with known.db.unit_of_work(known.tenant.tenant_id) as session:
        rejected = await service.reject_split(session, known.tenant, split.split_no, digest=split.digest, actor=CHECKER)
    assert rejected.state == "rejected"
    with pytest.raises(MergeDecided):
        await approve(known, split)

    again = await propose(known, member, other, [first, second])
    done = await asyncio.gather(*(approve(known, again) for _ in range(3)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in done) == ["MergeDecided", "MergeDecided", "Split"]
    assert (await holds(known, member), await holds(known, other)) == ({}, {("cash", "own"): 300})
    assert not await known.broken(but=UNMATCHED)


async def test_a_payment_that_was_taken_back_meanwhile_splits_nothing(known: Scheme) -> None:
    member, other = await known.members(["first", "first"])
    first, second = await pays(known, member, 100, "R1"), await pays(known, member, 200, "R2")
    split = await propose(known, member, other, [first, second])
    await confirm(known, await propose_reversal(known, second))
    with pytest.raises(ReversalDecided):
        await approve(known, split)
    assert (await find(known, split)).state == "proposed"
    assert (await holds(known, member), await holds(known, other)) == ({("cash", "own"): 100}, {})
    assert not await not_whole(known)


async def test_a_split_that_stops_half_way_goes_on(known: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    member, other = await known.members(["first", "first"])
    receipts = [await pays(known, member, 100 * n, f"R{n}") for n in (1, 2, 3)]
    split = await propose(known, member, other, receipts)
    move, calls = contributions.carry_on_reversals, 0

    async def stops(*_args: Any) -> int:
        nonlocal calls
        calls += 1
        raise ConnectionError("the server is stopped")

    monkeypatch.setattr(contributions, "carry_on_reversals", stops)
    with pytest.raises(ConnectionError):
        await approve(known, split)
    assert calls == 1
    assert await holds(known, other) == {}
    done = await asyncio.gather(*(move(known.db, known.keys, known.tenant) for _ in range(3)))
    assert sum(done) == 3
    assert (await find(known, split)).moved == 3
    assert (await holds(known, member), await holds(known, other)) == ({}, {("cash", "own"): 600})
    assert not await known.broken(but=UNMATCHED)
    assert not await not_whole(known)


@given(paid=st.lists(st.tuples(st.booleans(), st.integers(100, 10**6)), min_size=1, max_size=5))
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
async def test_each_ends_with_what_was_paid_for_them(known: Scheme, paid: list[tuple[bool, int]]) -> None:
    without_funds(known)
    member, other = await known.members(["first", "first"])
    receipts = [
        (is_theirs, await pays(known, member, minor, f"{member}-{n}")) for n, (is_theirs, minor) in enumerate(paid)
    ]
    named = [receipt for is_theirs, receipt in receipts if is_theirs]
    if named:
        assert (await approve(known, await propose(known, member, other, named))).moved == len(named)
    for who, is_other in ((member, False), (other, True)):
        assert sum((await holds(known, who)).values()) == sum(minor for one, minor in paid if one is is_other)
    assert not await known.broken(but=UNMATCHED)
    assert not await not_whole(known)
