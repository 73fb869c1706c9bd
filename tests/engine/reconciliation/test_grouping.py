"""One line of many receipts and many lines of one, by the rules of a channel, in PostgreSQL; and what a trial says."""

from dataclasses import replace
from datetime import date
from typing import Any

import msgspec
import pytest

from engine.contributions import service as contributions
from engine.contributions.rules import Payment, Receipt, lane_of
from engine.reconciliation import service
from engine.reconciliation.rules.grouping import Differing, Group, by_reference, by_same_reference
from engine.tenancy.rules.manifest import LineCause, MatchingRule, manifest_problems
from tests.engine.funds.conftest import Scheme
from tests.engine.reconciliation.test_proofs import items, line, statement, take, upi
from tests.engine.reconciliation.test_resolving import breaks, confirm, due, history

DAY = date(2023, 4, 3)
CAUSE = LineCause(code="short-paid", name="Short", moves="either", party="operator", most=100)


def rules(scheme: Scheme, *wanted: MatchingRule) -> None:
    pack = scheme.tenant.pack
    channels = tuple(msgspec.structs.replace(one, matching=wanted) for one in pack.channels)
    manifest = msgspec.structs.replace(pack.manifest, channels=channels, line_causes=(CAUSE,))
    scheme.tenant = replace(scheme.tenant, pack=replace(pack, manifest=manifest))


async def snapshot(scheme: Scheme) -> Any:
    return await scheme.rows(
        """select (select count(*) from matches), (select count(*) from unmatched_lines), (select count(*) from events),
                  (select count(*) from break_proposals), (select count(*) from allocations)"""
    )


async def test_a_days_receipts_are_one_line_and_a_trial_says_so_first(scheme: Scheme) -> None:
    first, second = await scheme.members(["first", "second"])
    await take(scheme, "a", statement(line(10500, "BATCH"), line(77, "ELSE", row=3)))
    rules(scheme, MatchingRule(by="day-total", days=1))
    await scheme.receive(
        [(first, {"retirement": 6000}, "A"), (second, {"retirement": 4000}, "B"), (None, {"retirement": 500}, "C")]
    )
    before = await snapshot(scheme)
    trial = await service.try_matching(scheme.db, scheme.tenant)
    assert (trial.matched, [(one.fate, len(one.lines), len(one.receipts)) for one in trial.groups]) == (
        0,
        [("match", 1, 3)],
    )
    assert await snapshot(scheme) == before
    report = await service.match_statements(scheme.db, scheme.tenant)
    assert (report.matched, report.grouped, report.proposed, report.unmatched) == (0, 1, 0, 1)
    assert report.allocated_total == "100.00"
    assert (await service.match_statements(scheme.db, scheme.tenant)).grouped == 0
    proof = await upi(scheme)
    assert (items(proof), proof.unexplained) == ({"in-not-booked": (1, "0.77")}, "0.00")
    assert not await scheme.broken()


async def test_what_bears_a_reference_is_no_part_of_a_day(scheme: Scheme) -> None:
    rules(scheme, MatchingRule(by="day-total", days=0))
    first, second = await scheme.members(["first", "first"])
    await scheme.receive([(first, {"retirement": 6000}, "A"), (second, {"retirement": 4000}, "B")])
    report = await take(scheme, "a", statement(line(6000, "A"), line(4000, "BATCH", row=3)))
    assert (report.matched, report.unmatched) == (2, 0)
    assert await scheme.rows("select count(distinct line_no), count(*) from matches") == [(2, 2)]


@pytest.mark.parametrize("lines", [((10000, "X"), (10000, "Y")), ((9999, "X"),)])
async def test_two_lines_for_a_day_or_another_sum_stay_breaks(
    scheme: Scheme, lines: tuple[tuple[int, str], ...]
) -> None:
    rules(scheme, MatchingRule(by="day-total", days=3))
    (member,) = await scheme.members(["first"])
    await scheme.receive([(member, {"retirement": 10000}, "A")])
    report = await take(scheme, "a", statement(*(line(amount, reference) for amount, reference in lines)))
    assert (report.matched, report.unmatched) == (0, len(lines))


async def test_lines_of_one_reference_are_its_receipt(scheme: Scheme) -> None:
    rules(scheme, MatchingRule(by="same-reference", days=2))
    (member,) = await scheme.members(["first"])
    await scheme.receive([(member, {"retirement": 10000}, "A")])
    report = await take(scheme, "a", statement(line(2500, "A"), line(7000, "A", row=3)))
    assert report.matched == 0
    later = date(2023, 4, 4)
    await scheme.clock("2023-04-04T04:30:00")
    await take(scheme, "b", statement(line(500, "A", day=later), opening=9500, day=later))
    assert await breaks(scheme) == []
    assert await scheme.rows("select sum(amount)::bigint from allocations") == [(10000,)]
    proof = await upi(scheme, later)
    assert (items(proof), proof.unexplained) == ({}, "0.00")
    assert not await scheme.broken()


async def test_a_difference_is_proposed_once_and_a_person_confirms_it(scheme: Scheme) -> None:
    rules(scheme, MatchingRule(by="reference", days=1, within=50, cause="short-paid"))
    (member,) = await scheme.members(["first"])
    await scheme.receive([(member, {"retirement": 10000}, "A"), (member, {"retirement": 200}, "B")])
    await take(scheme, "a", statement(line(9960, "A"), line(100, "B", row=3)))
    await service.match_statements(scheme.db, scheme.tenant)
    near, far = await breaks(scheme)
    assert (near.proposals, far.proposals) == (1, 0)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        (made,) = await service.list_proposals(session, scheme.tenant, near.statement, near.line)
    assert (made.proposed_by, made.difference) == ("system:matching", "-0.40")
    await confirm(scheme, made)
    assert await due(scheme) == {"operator": -40}
    assert await history(scheme, near) == [("match", "confirmed", "staff:2")]
    assert not await scheme.broken()


async def send_batch(scheme: Scheme, *payments: tuple[str, str], batch: str = "PAYROLL-7") -> None:
    sent = [
        Payment(
            member="999", amount=amount, currency="INR", channel="upi", reference=one, sent_by="partner:1", batch=batch
        )
        for amount, one in payments
    ]
    answers = await contributions.receive(scheme.db, scheme.keys, scheme.tenant, sent, lane=lane_of("999"))
    assert all(isinstance(one, Receipt) for one in answers), answers


async def test_a_line_that_pays_a_batch_is_all_its_receipts(scheme: Scheme) -> None:
    rules(scheme, MatchingRule(by="batch-reference", days=2))
    await send_batch(scheme, ("60.00", "A"), ("40.00", "B"), ("60.00", "A"))
    await send_batch(scheme, ("5.00", "C"), batch="PAYROLL-8")
    await send_batch(scheme, ("7.00", "D"), batch="")
    await take(scheme, "a", statement(line(10000, "PAYROLL-7"), line(700, "PAYROLL-9", row=3)))
    assert [(one.amount, one.reason) for one in await breaks(scheme)] == [("7.00", "no-receipt")]
    assert await scheme.rows("select line_no, count(*) from matches group by 1") == [(2, 2)]
    assert (await service.match_statements(scheme.db, scheme.tenant)).grouped == 0
    assert not await scheme.broken()


async def test_lines_that_pay_parts_of_a_batch_wait_until_all_of_it_is_there(scheme: Scheme) -> None:
    rules(scheme, MatchingRule(by="batch-reference", days=2))
    await send_batch(scheme, ("60.00", "A"), ("40.00", "B"), ("10.00", "C"))
    await take(scheme, "a", statement(line(1000, "C"), line(7000, "PAYROLL-7", row=3)))
    assert [(one.amount, one.reason, one.turn) for one in await breaks(scheme)] == [("70.00", "batch-differs", "bank")]
    before = await snapshot(scheme)
    await service.match_statements(scheme.db, scheme.tenant)
    assert await snapshot(scheme) == before

    later = date(2023, 4, 4)
    await scheme.clock("2023-04-04T04:30:00")
    await take(scheme, "b", statement(line(3000, "PAYROLL-7", day=later), opening=8000, day=later))
    assert await breaks(scheme) == []
    proof = await upi(scheme, later)
    assert (items(proof), proof.unexplained) == ({}, "0.00")
    assert not await scheme.broken()


async def test_a_batch_of_which_a_receipt_lacks_is_proposed_within_the_rule_and_no_more(scheme: Scheme) -> None:
    rules(scheme, MatchingRule(by="batch-reference", days=2, within=50, cause="short-paid"))
    await send_batch(scheme, ("60.00", "A"), ("40.00", "B"))
    await send_batch(scheme, ("60.00", "E"), ("40.00", "F"), batch="PAYROLL-8")
    await take(scheme, "a", statement(line(9960, "PAYROLL-7"), line(9949, "PAYROLL-8", row=3)))
    near, far = await breaks(scheme)
    assert (near.proposals, far.proposals, far.reason) == (1, 0, "batch-differs")
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        (made,) = await service.list_proposals(session, scheme.tenant, near.statement, near.line)
    assert (made.proposed_by, made.difference, len(made.receipts)) == ("system:matching", "-0.40", 2)
    await confirm(scheme, made)
    assert await due(scheme) == {"operator": -40}
    assert [one.reason for one in await breaks(scheme)] == ["batch-differs"]
    assert not await scheme.broken()


@pytest.mark.parametrize(("days", "late", "matched"), [(1, 1, True), (0, 1, False)])
async def test_a_batchs_line_of_another_day_is_another_matter(
    scheme: Scheme, days: int, late: int, *, matched: bool
) -> None:
    rules(scheme, MatchingRule(by="batch-reference", days=days))
    await send_batch(scheme, ("60.00", "A"))
    day = date(2023, 4, 3 + late)
    await scheme.clock(f"{day}T04:30:00")
    await take(scheme, "a", statement(line(6000, "PAYROLL-7", day=day), day=day))
    assert (await breaks(scheme) == []) is matched


async def test_a_line_with_the_references_of_two_batches_is_left_alone(scheme: Scheme) -> None:
    rules(scheme, MatchingRule(by="batch-reference", days=2))
    await send_batch(scheme, ("60.00", "A"))
    await send_batch(scheme, ("60.00", "B"), batch="PAYROLL-8")
    both = replace(line(6000, "PAYROLL-7"), end_to_end_id="PAYROLL-8")
    await take(scheme, "a", statement(both))
    assert [one.reason for one in await breaks(scheme)] == ["batch-differs"]


def test_a_receipt_with_two_lines_is_left_alone_by_reference() -> None:
    lines = [
        Differing((1, 2), DAY, 99, 7, 100),
        Differing((1, 3), DAY, 99, 7, 100),
        Differing((1, 4), DAY, 101, 8, 100),
    ]
    days = {7: DAY, 8: DAY}
    assert by_reference(lines, days, most_days=0, within=1) == [Group(((1, 4),), (8,), 1)]


@pytest.mark.parametrize(("day", "found"), [(2, 0), (3, 1), (5, 1), (6, 0)])
def test_lines_of_other_days_are_another_matter(day: int, found: int) -> None:
    lines = [Differing((1, 2), date(2023, 4, day), 60, 7, 100), Differing((1, 3), DAY, 40, 7, 100)]
    assert len(by_same_reference(lines, {7: DAY}, most_days=2, within=0)) == found


@pytest.mark.parametrize(("by", "within", "cause"), [("reference", 0, ""), ("day-total", 5, ""), ("day-total", 0, "x")])
def test_a_rule_that_contradicts_itself_is_refused(by: Any, within: int, cause: str) -> None:
    with pytest.raises(ValueError, match="within"):
        MatchingRule(by=by, days=1, within=within, cause=cause)


async def test_a_pack_names_the_causes_and_parties_it_uses(scheme: Scheme) -> None:
    rules(scheme, MatchingRule(by="day-total", days=1, within=5, cause="nothing-known"))
    stranger = msgspec.structs.replace(CAUSE, party="nobody")
    manifest = msgspec.structs.replace(scheme.tenant.pack.manifest, line_causes=(stranger, stranger))
    found = {one.key for one in manifest_problems(manifest, "in-x", "pack.toml")}
    assert {"line_causes[2]", "line_causes[1].party", "channels[1].matching[1].cause"} <= found
