"""Breaks put right by two people, in PostgreSQL: matched, booked, held; once, and on the exact digest."""

import asyncio
from dataclasses import replace
from datetime import date

import msgspec
import pytest

from engine.access.errors import SamePerson
from engine.reconciliation import errors, service
from engine.reconciliation.queries import breaks as stored
from engine.reconciliation.service import Action, Booking, Holding, LineName, Matching, Proposal
from engine.tenancy.rules.manifest import LineCause
from tests.engine.funds.conftest import Scheme
from tests.engine.reconciliation.test_proofs import items, line, statement, take, upi

CAUSES = (
    LineCause(code="bank-charge", name="Bank charge", moves="out", party="operator"),
    LineCause(code="short-paid", name="Short by little", moves="either", party="operator", most=100),
    LineCause(code="to-payer", name="Given back", moves="either", party="scheme"),
)


@pytest.fixture(autouse=True)
def causes(scheme: Scheme) -> None:
    pack = scheme.tenant.pack
    manifest = msgspec.structs.replace(pack.manifest, line_causes=CAUSES)
    scheme.tenant = replace(scheme.tenant, pack=replace(pack, manifest=manifest))


async def breaks(scheme: Scheme) -> list[service.Break]:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await service.list_breaks(session, scheme.tenant)


async def propose(scheme: Scheme, one: service.Break, action: Action, actor: str = "staff:1") -> Proposal:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await service.propose_resolution(session, scheme.tenant, one.statement, one.line, action, actor=actor)


async def confirm(scheme: Scheme, one: Proposal, actor: str = "staff:2", digest: str = "") -> Proposal:
    return await service.confirm_proposal(
        scheme.db, scheme.tenant, one.proposal, digest=digest or one.digest, actor=actor
    )


async def history(scheme: Scheme, one: service.Break) -> list[tuple[str, str, str | None]]:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        found = await service.list_proposals(session, scheme.tenant, one.statement, one.line)
    return [(proposal.action, proposal.state, proposal.decided_by) for proposal in found]


async def due(scheme: Scheme) -> dict[str, int]:
    rows = await scheme.rows(
        """select c.party, sum(case when t.credit = c.code then t.amount else -t.amount end)::bigint
             from chart c join transfers t on c.code in (t.debit, t.credit) where c.kind = 'due-to-party' group by 1"""
    )
    return dict(rows)


async def test_one_line_is_several_receipts_and_their_money_is_invested(scheme: Scheme) -> None:
    first, second = await scheme.members(["first", "first"])
    events = await scheme.receive(
        [(first, {"retirement": 6000}, "A"), (second, {"retirement": 4000}, "B"), (None, {"retirement": 500}, "C")]
    )
    await take(scheme, "a", statement(line(10500, "BATCH")))
    (one,) = await breaks(scheme)
    assert (one.reason, one.turn, one.proposals) == ("no-receipt", "operator", 0)
    made = await propose(scheme, one, Matching(receipts=tuple(str(event) for event in events)))
    assert [found.proposals for found in await breaks(scheme)] == [1]
    assert await scheme.rows("select count(*) from matches") == [(0,)]
    done = await confirm(scheme, made)
    assert (done.state, done.difference) == ("confirmed", "0.00")
    assert await breaks(scheme) == []
    assert await scheme.rows("select sum(amount)::bigint from allocations") == [(10000,)]
    assert await scheme.rows("select reason from unallocated") == [("suspended",)]
    proof = await upi(scheme)
    assert (items(proof), proof.unexplained) == ({}, "0.00")
    assert await history(scheme, one) == [("match", "confirmed", "staff:2")]
    assert not await scheme.broken()


async def test_several_lines_are_one_receipt_and_every_day_between_is_explained(scheme: Scheme) -> None:
    (member,) = await scheme.members(["first"])
    (event,) = await scheme.receive([(member, {"retirement": 10000}, "A")])
    await take(scheme, "a", statement(line(7000, "A")))
    await scheme.clock("2023-04-04T04:30:00")
    later = date(2023, 4, 4)
    await take(scheme, "b", statement(line(3000, "REST", day=later), opening=7000, day=later))
    first, second = await breaks(scheme)
    assert (first.reason, first.turn) == ("amount-differs", "bank")
    made = await propose(
        scheme, first, Matching(receipts=(str(event),), lines=(LineName(second.statement, second.line),))
    )
    await confirm(scheme, made)
    assert await breaks(scheme) == []
    proof = await upi(scheme, later)
    assert (items(proof), proof.unexplained) == ({}, "0.00")
    proof = await upi(scheme)
    assert (items(proof), proof.unexplained) == ({"receipt-not-shown": (1, "-30.00")}, "0.00")
    assert not await scheme.broken()


@pytest.mark.parametrize(("shown", "owed"), [(9950, -50), (10050, 50)])
async def test_a_small_difference_is_a_partys(scheme: Scheme, shown: int, owed: int) -> None:
    (member,) = await scheme.members(["first"])
    (event,) = await scheme.receive([(member, {"retirement": 10000}, "A")])
    await take(scheme, "a", statement(line(shown, "A")))
    (one,) = await breaks(scheme)
    with pytest.raises(errors.CauseNeeded):
        await propose(scheme, one, Matching(receipts=(str(event),)))
    await confirm(scheme, await propose(scheme, one, Matching(receipts=(str(event),), cause="short-paid")))
    assert await due(scheme) == {"operator": owed}
    assert await scheme.rows("select sum(amount)::bigint from allocations") == [(10000,)]
    proof = await upi(scheme)
    assert (items(proof), proof.unexplained) == ({}, "0.00")
    assert not await scheme.broken()


async def test_a_charge_is_booked_and_strange_money_given_back(scheme: Scheme) -> None:
    await take(scheme, "a", statement(line(900, "STRANGE"), line(-25, "FEE", row=3), line(-900, "BACK", row=4)))
    strange, fee, back = await breaks(scheme)
    for one, cause in ((strange, "to-payer"), (fee, "bank-charge"), (back, "to-payer")):
        await confirm(scheme, await propose(scheme, one, Booking(cause=cause)))
    assert await due(scheme) == {"operator": -25, "scheme": 0}
    proof = await upi(scheme)
    assert (items(proof), proof.unexplained, proof.books) == ({}, "0.00", "-0.25")
    assert await breaks(scheme) == []
    assert not await scheme.broken()


async def test_a_break_is_held_for_somebody_until_a_day(scheme: Scheme) -> None:
    await take(scheme, "a", statement(line(900, "STRANGE")))
    (one,) = await breaks(scheme)
    with pytest.raises(errors.HoldUntil):
        await propose(scheme, one, Holding("manager", date(2023, 4, 2)))
    await confirm(scheme, await propose(scheme, one, Holding("manager", date(2023, 4, 5))))
    (held,) = await breaks(scheme)
    assert (held.turn, held.held_until, held.proposals) == ("manager", date(2023, 4, 5), 0)
    await scheme.clock("2023-04-06T04:30:00")
    (late,) = await breaks(scheme)
    assert (late.turn, late.held_until, late.age_days) == ("operator", None, 3)
    assert not await scheme.broken()


async def test_what_cannot_be_carried_out_is_not_proposed(scheme: Scheme) -> None:
    (member,) = await scheme.members(["first"])
    events = await scheme.receive([(member, {"retirement": 100}, "A"), (member, {"retirement": 300}, "B")])
    (elsewhere,) = await scheme.receive([(member, {"retirement": 200}, "C")], channel="aggregator")
    await take(
        scheme, "a", statement(line(100, "A"), line(350, "X", row=3), line(-5, "FEE", row=4), line(1, "Y", row=5))
    )
    one, fee, other = await breaks(scheme)
    wrong: list[tuple[service.Break, Action, type[Exception]]] = [
        (one, Matching(receipts=(str(events[0]),)), errors.NotMatchable),
        (one, Matching(receipts=(str(elsewhere),)), errors.NotMatchable),
        (one, Matching(receipts=("1",)), errors.NotMatchable),
        (fee, Matching(receipts=(str(events[1]),)), errors.NotMatchable),
        (one, Booking("short-paid"), errors.AboveLimit),
        (one, Booking("bank-charge"), errors.CauseDiffers),
        (one, Booking("theft"), errors.UnknownCause),
        (
            one,
            Matching(receipts=tuple(map(str, events)), lines=(LineName(other.statement, other.line),)),
            errors.ManyToMany,
        ),
        (one, Matching(receipts=(str(events[1]),), lines=(LineName(one.statement, 99),)), errors.UnknownBreak),
        (replace(one, line=99), Booking("to-payer"), errors.UnknownBreak),
        (replace(one, line=99), Holding("bank", date(2023, 4, 5)), errors.UnknownBreak),
    ]
    for found, action, error in wrong:
        with pytest.raises(error):
            await propose(scheme, found, action)
    assert await scheme.rows("select count(*) from break_proposals") == [(0,)]


async def test_a_second_person_confirms_exactly_what_was_proposed_once(scheme: Scheme) -> None:
    await take(scheme, "a", statement(line(-25, "FEE")))
    (one,) = await breaks(scheme)
    made = await propose(scheme, one, Booking("bank-charge"))
    with pytest.raises(SamePerson):
        await confirm(scheme, made, actor="staff:1")
    with pytest.raises(errors.ProposalDiffers):
        await confirm(scheme, made, digest="0" * 64)
    with pytest.raises(errors.UnknownProposal):
        await confirm(scheme, msgspec.structs.replace(made, proposal=made.proposal + 10**6))
    await confirm(scheme, made)
    with pytest.raises(errors.ProposalDecided):
        await confirm(scheme, made)
    assert await due(scheme) == {"operator": -25}


async def test_a_rejected_proposal_stays_in_the_history(scheme: Scheme) -> None:
    await take(scheme, "a", statement(line(-25, "FEE")))
    (one,) = await breaks(scheme)
    made = await propose(scheme, one, Booking("bank-charge"))
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await service.reject_proposal(session, scheme.tenant, made.proposal, actor="staff:2")
    await confirm(scheme, await propose(scheme, one, Booking("to-payer")))
    assert await history(scheme, one) == [("book", "rejected", "staff:2"), ("book", "confirmed", "staff:2")]
    kinds = await scheme.rows("select kind from events where kind between 21 and 29 order by event_id")
    assert [kind for (kind,) in kinds] == [21, 22, 21, 23]


async def test_two_people_confirm_different_proposals_at_once_and_one_counts(scheme: Scheme) -> None:
    (member,) = await scheme.members(["first"])
    (event,) = await scheme.receive([(member, {"retirement": 900}, "OTHER")])
    await take(scheme, "a", statement(line(900, "STRANGE")))
    (one,) = await breaks(scheme)
    made = [
        await propose(scheme, one, Booking("to-payer")),
        await propose(scheme, one, Matching(receipts=(str(event),))),
        await propose(scheme, one, Booking("to-payer"), actor="staff:3"),
    ]
    fates = await asyncio.gather(*(confirm(scheme, each, actor="staff:9") for each in made), return_exceptions=True)
    assert sorted(type(fate).__name__ for fate in fates) == ["BreakResolved", "BreakResolved", "Proposal"]
    assert await scheme.rows("select count(*) from events where kind = 23") == [(1,)]
    proof = await upi(scheme)
    assert proof.unexplained == "0.00"
    assert not await scheme.broken()


async def test_matching_and_a_person_take_the_same_line_once(scheme: Scheme) -> None:
    (member,) = await scheme.members(["first"])
    await take(scheme, "a", statement(line(900, "LATE")))
    (one,) = await breaks(scheme)
    made = await propose(scheme, one, Booking("to-payer"))
    await scheme.receive([(member, {"retirement": 900}, "LATE")])
    fates = await asyncio.gather(
        service.match_statements(scheme.db, scheme.tenant), confirm(scheme, made), return_exceptions=True
    )
    matched = await scheme.rows("select count(*) from matches")
    settled = await scheme.rows("select count(*) from settled_lines")
    assert matched[0][0] + settled[0][0] == 1, fates
    assert not await scheme.broken()


async def test_a_failure_on_the_way_leaves_nothing_and_it_can_be_confirmed_again(
    scheme: Scheme, monkeypatch: pytest.MonkeyPatch
) -> None:
    (member,) = await scheme.members(["first"])
    (event,) = await scheme.receive([(member, {"retirement": 10000}, "A")])
    await take(scheme, "a", statement(line(9950, "A")))
    (one,) = await breaks(scheme)
    made = await propose(scheme, one, Matching(receipts=(str(event),), cause="short-paid"))

    async def die(*_: object, **__: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as broken:
        broken.setattr(stored, "decide", die)
        with pytest.raises(ConnectionError):
            await confirm(scheme, made)
    assert (await due(scheme), await scheme.rows("select count(*) from matches")) == ({}, [(0,)])
    await confirm(scheme, made)
    assert not await scheme.broken()


async def test_receipts_that_no_line_shows_are_named_with_their_age(scheme: Scheme) -> None:
    (member,) = await scheme.members(["first"])
    (event,) = await scheme.receive([(member, {"retirement": 10000}, "A")])
    await scheme.clock("2023-04-05T04:30:00")
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        (one,) = await service.list_unshown(session, scheme.tenant)
    assert (one.receipt, one.amount, one.turn, one.age_days) == (str(event), "100.00", "bank", 2)
    await take(scheme, "a", statement(line(10000, "A")))
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        assert await service.list_unshown(session, scheme.tenant) == []
