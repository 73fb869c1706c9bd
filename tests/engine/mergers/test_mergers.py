"""A scheme goes into another: opening equals closing, what runs finishes first, crash and race, and what comes late."""

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import text

from engine.access.errors import SamePerson
from engine.benefits.queries import claiming
from engine.contributions import service as contributions
from engine.contributions.rules import Payment, Receipt
from engine.enrolment import service as enrolment
from engine.enrolment.rules import DocumentGiven
from engine.enrolment.service import Enrolled, Enrolment
from engine.identity import service as identity
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Transfer
from engine.mergers import queries, service
from engine.mergers.errors import (
    MergerChanged,
    MergerDecided,
    MergerOpen,
    NothingLate,
    NotTakenIn,
    ReceiptDiffers,
    RoundOpen,
    UnreadableHandOver,
    UnusableTerms,
)
from engine.mergers.rules import FundPlace, ProductPlace
from engine.opening.errors import UnreadableOpening
from engine.reports import service as reports
from engine.tenancy.service import Tenant
from tests.engine.mergers.conftest import Merging
from tests.factories import schemes

NEXT_DAY = datetime(2023, 4, 6, 4, 0, tzinfo=UTC)
NUMBERS = [f"OB-000{n}" for n in range(1, 6)]


async def _pay(merging: Merging, tenant: Tenant, number: str, amount: str, reference: str) -> str:
    payment = Payment(
        member=number,
        amount=amount,
        currency="INR",
        channel="upi",
        reference=reference,
        paid_on=None,
        sent_by="partner:1",
    )
    (answer,) = await contributions.Intake(merging.db, merging.keys).receive_many(tenant, [payment])
    assert isinstance(answer, Receipt), answer
    return answer.state


async def _enrol_same(merging: Merging, number: str, born_on: date) -> str:
    """Enrol in the new scheme whoever has that number in the old one; return their number there."""
    member = await merging.member(merging.old, number)
    async with merging.db.unit_of_work(merging.old.tenant_id) as session:
        known = (await identity.read_people(session, merging.keys, [member], actor="test", reason="test"))[member]
    (document,) = known.person.documents
    application = replace(
        schemes.application(merging.new),
        born_on=born_on,
        documents=(DocumentGiven(document.document, document.number),),
    )
    (answer,) = await enrolment.enrol(
        merging.db, merging.new, merging.keys, [Enrolment("same", application)], actor="partner:1"
    )
    assert isinstance(answer, Enrolled)
    return answer.number


async def test_opening_equals_closing_to_the_last_unit(settled: Merging) -> None:
    before = {number: await settled.held(settled.old, number) for number in NUMBERS}
    assert before["OB-0001"]["units", "own", "SM001009"] == "417.3051"
    await settled.approved()

    assert await settled.carry_on() == 5
    assert await settled.broken() == []
    folder = await settled.export()
    await settled.later(NEXT_DAY)
    dry = await settled.stage(folder, dry_run=True)
    assert (dry.state, dry.refused, [one for one in dry.compared if not one.agrees]) == ("agrees", [], [])
    opening_no = await settled.take_in(folder)
    receipt = await settled.receipt(opening_no)

    assert await settled.acknowledge(receipt) == "taken-in"
    assert await settled.acknowledge(receipt) == "taken-in", "the same receipt twice"
    assert await settled.broken() == []
    after = {number: await settled.held(settled.new, number) for number in NUMBERS}
    assert after["OB-0001"] == before["OB-0001"]
    assert after["OB-0004"] == before["OB-0004"]
    # 230.7777 units and 75.50 / 31 bought, at 0.75 of the other fund, rounded down to 0.0001.
    assert before["OB-0003"] == {("units", "own", "SM002009"): "233.2131"}
    assert after["OB-0003"] == {("units", "own", "SM001009"): "174.9098"}
    assert [await settled.held(settled.old, number) for number in NUMBERS] == [{}] * 5
    # 0.0009 units of the old book's residue stay there; of 174.909825 units rounding leaves nothing that is a whole 0.0001.
    assert await settled.control(settled.old, "residue") == {"SM001009": -9}
    assert await settled.control(settled.new, "residue") == {}
    assert await settled.control(settled.old, "handed-over") == {}


async def test_members_are_there_as_they_were_here(settled: Merging) -> None:
    await settled.approved()
    await settled.carry_on()
    folder = await settled.export()
    await settled.later(NEXT_DAY)
    await settled.take_in(folder)

    member = await settled.member(settled.new, "OB-0002")
    old = await settled.member(settled.old, "OB-0002")
    async with settled.db.unit_of_work(settled.new.tenant_id) as session:
        found = await enrolment.find_member(session, settled.keys, "OB 0002")
        (known,) = (
            await identity.read_people(session, settled.keys, [member], actor="staff:1", reason="test")
        ).values()
        paid = await claiming.paid_in(session, member, ["nps-lite"], date(2023, 4, 6))
        told = await reports.statement(
            session,
            settled.new,
            await reports.find_member(session, settled.keys, "OB-0001"),
            number="OB-0001",
            as_of=date(2023, 4, 6),
        )
    async with settled.db.unit_of_work(settled.old.tenant_id) as session:
        (before,) = (await identity.read_people(session, settled.keys, [old], actor="staff:1", reason="test")).values()
        behind = await reports.statement(
            session,
            settled.old,
            await reports.find_member(session, settled.keys, "OB-0001"),
            number="OB-0001",
            as_of=date(2023, 4, 4),
        )
        ended = await reports.statement(
            session,
            settled.old,
            await reports.find_member(session, settled.keys, "OB-0001"),
            number="OB-0001",
            as_of=date(2023, 4, 6),
        )
    assert (found.joined_on, found.group_code) == (date(2013, 1, 7), "sahyog")
    assert (known.person, known.nominees) == (before.person, before.nominees)
    assert known.earlier_numbers == (before.member_number, "OB-0002")
    assert [(one.on, one.origin, one.minor) for one in paid] == [(date(2014, 3, 31), "own", 440_000)]
    days = await settled.rows(
        settled.new,
        "select first_contribution_on, last_withdrawal_on from opening_members where member_id = :m",
        m=member,
    )
    assert days == [(date(2013, 2, 1), date(2019, 8, 12))]
    groups = "select group_code, count(*) from memberships group by 1 order by 1"
    assert dict(await settled.rows(settled.old, groups))["shramik"] > 0
    assert dict(await settled.rows(settled.new, groups)) == {"gramin": 3, "sahyog": 2}, "shramik went into gramin"
    texts = """select g ->> 'consent', g ->> 'version', g ->> 'language', g ->> 'channel' from events
      cross join jsonb_array_elements(body -> 'consents') g where kind = 2 and member_id = :m order by 1"""
    assert await settled.rows(settled.new, texts, m=member) == await settled.rows(settled.old, texts, m=old)
    # 9,800.00 and 150.00 were paid for the own units, 3,000.00 for the state's: what was paid in stays so, and gains stay gains.
    assert told.totals.contributed_minor == 980_000 + 15_000 + 300_000
    assert behind.totals.contributed_minor == told.totals.contributed_minor, "the old scheme's books are read as before"
    assert (ended.totals.value_minor, ended.totals.paid_out_minor) == (0, behind.totals.value_minor)
    assert ended.totals.gain_minor == behind.totals.gain_minor == told.totals.gain_minor


async def test_what_is_on_its_way_finishes_under_the_old_book(merging: Merging) -> None:
    await merging.approved(effective_on=date(2023, 4, 3))

    assert await merging.carry_on() == 3, "two have money in an open dealing"
    async with merging.db.unit_of_work(merging.old.tenant_id) as session:
        report = await service.report_terms(session, merging.old, merging.terms())
        view = await service.find_merger(session, 1)
    assert report.waiting == {"order": 2}
    assert [(one.state, one.members) for one in view.rounds] == [("open", 0)]
    assert await merging.broken() == []
    with pytest.raises(RoundOpen):
        await merging.export()
    assert await merging.carry_on() == 0
    assert await _pay(merging, merging.old, "OB-0001", "500.00", "p1") == "received"
    assert await _pay(merging, merging.old, "OB-0002", "500.00", "p2") == "suspended"


async def test_nobody_goes_before_the_day(settled: Merging) -> None:
    await settled.approved(effective_on=date(2023, 4, 6))

    assert await settled.carry_on() == 0
    await settled.later(NEXT_DAY)
    assert await settled.carry_on() == 5


async def test_two_people_stand_for_exactly_the_terms(settled: Merging) -> None:
    async with settled.db.unit_of_work(settled.old.tenant_id) as session:
        one = await service.propose_merger(session, settled.old, settled.terms(), actor="staff:1")
        again = await service.propose_merger(session, settled.old, settled.terms(), actor="staff:1")
    assert again.merger_no == one.merger_no
    for digest, actor, refusal in (
        (one.digest, "staff:1", SamePerson),
        ("0" * 64, "staff:2", MergerChanged),
    ):
        with pytest.raises(refusal):
            async with settled.db.unit_of_work(settled.old.tenant_id) as session:
                await service.approve_merger(session, settled.old, 1, digest=digest, actor=actor)
    with pytest.raises(MergerOpen):
        async with settled.db.unit_of_work(settled.old.tenant_id) as session:
            await service.propose_merger(session, settled.old, settled.terms(source="Other"), actor="staff:3")
    async with settled.db.unit_of_work(settled.old.tenant_id) as session:
        await service.reject_merger(session, settled.old, 1, digest=one.digest, actor="staff:2")
    assert await settled.carry_on() == 0
    assert await _propose(settled) == 2
    with pytest.raises(MergerDecided):
        async with settled.db.unit_of_work(settled.old.tenant_id) as session:
            await service.approve_merger(session, settled.old, 1, digest=one.digest, actor="staff:2")
    assert await settled.broken() == []


async def _propose(merging: Merging) -> int:
    """Propose anew; return the number."""
    async with merging.db.unit_of_work(merging.old.tenant_id) as session:
        return (await service.propose_merger(session, merging.old, merging.terms(), actor="staff:1")).merger_no


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"funds": (FundPlace(fund="SM001009", into="SM001009", decimals=4),)}, "has no place"),
        ({"owed_to": "nobody"}, "owed_to"),
        ({"products": (ProductPlace(product="other", into="nps-lite", pots={"a": "b"}),)}, "product"),
        ({"products": (ProductPlace(product="nps-lite", into="nps-lite", pots={"a": "b"}),)}, "pot"),
        ({"funds": (FundPlace(fund="SM009999", into="SM001009", decimals=4),)}, "no fund"),
        ({"funds": (FundPlace(fund="SM001009", into="SM001009", ratio="0.00", decimals=4),)}, "become none"),
    ],
)
async def test_terms_that_leave_something_without_a_place_are_refused(
    settled: Merging, changes: dict[str, Any], said: str
) -> None:
    async with settled.db.unit_of_work(settled.old.tenant_id) as session:
        with pytest.raises(UnusableTerms) as refused:
            await service.propose_merger(session, settled.old, settled.terms(**changes), actor="staff:1")

    assert said in str(refused.value)
    assert await settled.rows(settled.old, "select 1 from mergers") == []


@pytest.fixture
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two members a range and a part, so that there are three of each."""
    monkeypatch.setattr("engine.mergers.service.handing_over.MOST", 2)
    monkeypatch.setattr("engine.mergers.service.filing.PART", 2)


@pytest.mark.usefixtures("small_ranges")
@pytest.mark.parametrize(
    "step", ["hand_over_range", "handed_by_asset", "close_round", "add_file", "file_round", "members_of_round"]
)
async def test_it_goes_on_where_it_was_stopped(settled: Merging, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    before = [await settled.held(settled.old, number) for number in NUMBERS]
    await settled.approved()
    real: Callable[..., Any] = getattr(queries, step)
    calls = 0

    async def dies(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        found = await real(*given, **named)
        if calls == (2 if step in ("hand_over_range", "add_file", "members_of_round") else 1):
            raise RuntimeError("the process was killed")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(queries, step, dies)
        with pytest.raises(RuntimeError, match="killed"):
            await settled.carry_on()
    assert await settled.broken() == []

    await settled.carry_on()
    assert await settled.carry_on() == 0
    assert await settled.broken() == []
    folder = await settled.export()
    await settled.later(NEXT_DAY)
    await settled.acknowledge(await settled.receipt(await settled.take_in(folder)))
    after = [await settled.held(settled.new, number) for number in NUMBERS]
    assert [after[0], after[1], after[3], after[4]] == [before[0], before[1], before[3], before[4]]
    assert await settled.broken() == []
    assert await settled.rows(settled.old, "select kind, count(*) from events where kind in (340, 341, 342) group by 1 order by 1") == [
        (340, len(await settled.rows(settled.old, "select distinct event_id from hand_over_lines"))), (341, 1), (342, 1),
    ]  # fmt: skip


@pytest.mark.usefixtures("small_ranges")
async def test_three_at_once_hand_everybody_over_once(settled: Merging) -> None:
    await settled.approved()

    await asyncio.gather(*(settled.carry_on() for _ in range(3)))

    assert len(await settled.rows(settled.old, "select 1 from handed_members")) == 5
    assert await settled.rows(settled.old, "select state, members from hand_overs") == [("filed", 5)]
    assert await settled.broken() == []


async def test_a_member_of_both_is_credited_and_another_of_that_document_refused(settled: Merging) -> None:
    number = await _enrol_same(settled, "OB-0002", date(1975, 11, 20))
    await settled.approved()
    await settled.carry_on()
    folder = await settled.export()
    await settled.later(NEXT_DAY)

    dry = await settled.stage(folder, dry_run=True)
    assert (dry.state, dry.members, dry.known) == ("agrees", 5, 1)
    await settled.acknowledge(await settled.receipt(await settled.take_in(folder)))

    assert await settled.member(settled.new, "OB-0002") == await settled.member(settled.new, number)
    assert await settled.held(settled.new, number) == {("units", "own", "SM001009"): "88.1200"}
    assert len(await settled.rows(settled.new, "select 1 from members")) == 5
    async with settled.db.unit_of_work(settled.new.tenant_id) as session:
        found = await enrolment.find_member(session, settled.keys, number)
        paid = await claiming.paid_in(session, found.member_id, ["nps-lite"], date(2023, 4, 6))
        told = await reports.statement(session, settled.new, found, number=number, as_of=date(2023, 4, 6))
    assert found.joined_on == date(2013, 1, 7), "the earlier joining counts"
    assert [(one.on, one.minor) for one in paid] == [(date(2014, 3, 31), 440_000)]
    assert told.totals.contributed_minor == 240_000, "what the units were bought for"
    assert await settled.broken() == []


async def test_somebody_else_by_a_document_keeps_everything_out(settled: Merging) -> None:
    await _enrol_same(settled, "OB-0002", date(1976, 11, 20))
    await settled.approved()
    await settled.carry_on()
    folder = await settled.export()
    await settled.later(NEXT_DAY)

    report = await settled.stage(folder)

    assert report.state == "refused"
    assert [one.field for one in report.refused if one.file.startswith("members")] == ["born_on"]


async def test_only_the_other_scheme_opens_the_files_and_only_whole(settled: Merging) -> None:
    await settled.approved()
    await settled.carry_on()
    folder = await settled.export()
    await settled.later(NEXT_DAY)

    assert all(b"Sample" not in path.read_bytes() for path in folder.iterdir())
    with pytest.raises(UnreadableHandOver):
        await service.take_in(settled.db, settled.keys, settled.old, folder, actor="staff:1")
    head = folder / "hand-over.json"
    written = head.read_text()
    head.write_text(written.replace('"round": 1', '"round": 2'))
    with pytest.raises(UnreadableHandOver):
        await settled.stage(folder)
    digest = written.split('"digest": "')[1][:64]
    head.write_text(written.replace(digest, "0" * 64))
    with pytest.raises(UnreadableOpening):
        await settled.stage(folder)
    head.write_text(written)
    holdings = folder / "holdings-0001.csv.sealed"
    raw = bytearray(holdings.read_bytes())
    raw[-1] ^= 1
    holdings.write_bytes(raw)
    with pytest.raises(UnreadableHandOver):
        await settled.stage(folder)
    holdings.unlink()
    with pytest.raises(UnreadableHandOver):
        await settled.stage(folder)
    assert await settled.rows(settled.new, "select 1 from openings") == []


async def test_a_receipt_that_differs_is_refused(settled: Merging) -> None:
    await settled.approved()
    await settled.carry_on()
    folder = await settled.export()
    await settled.later(NEXT_DAY)
    opening_no = await settled.take_in(folder)
    receipt = await settled.receipt(opening_no)
    less = replace(receipt.lines[0], amount=receipt.lines[0].amount - 1)

    for wrong in (
        replace(receipt, digest="0" * 64),
        replace(receipt, scheme="another"),
        replace(receipt, members=receipt.members - 1),
        replace(receipt, lines=(less, *receipt.lines[1:])),
        replace(receipt, lines=receipt.lines[1:]),
    ):
        with pytest.raises(ReceiptDiffers):
            await settled.acknowledge(wrong)
    await settled.acknowledge(receipt)
    with pytest.raises(RoundOpen):
        await settled.acknowledge(replace(receipt, opening=7))


async def test_there_is_no_receipt_before_the_end(settled: Merging) -> None:
    await settled.approved()
    await settled.carry_on()
    folder = await settled.export()
    await settled.later(NEXT_DAY)
    report = await settled.stage(folder)
    assert report.opening is not None

    with pytest.raises(NotTakenIn):
        await settled.receipt(report.opening)


async def test_a_payment_that_comes_late_is_passed_on_once(settled: Merging) -> None:
    await settled.approved()
    await settled.carry_on()
    folder = await settled.export()
    await settled.later(NEXT_DAY)
    await settled.take_in(folder)
    assert await _pay(settled, settled.old, "OB-0001", "500.00", "late-1") == "suspended"
    assert await _pay(settled, settled.old, "OB-9999", "70.00", "lost-1") == "suspended"

    async def forward() -> int:
        return await service.forward_payments(settled.db, settled.keys, settled.old, actor="system:mergers")

    assert sum(await asyncio.gather(forward(), forward())) == 1
    assert await forward() == 0

    assert await settled.control(settled.old, "due-to-party") == {"recordkeeper": -50_000}
    assert await settled.control(settled.old, "suspense") == {"upi": -7_000}
    async with settled.db.unit_of_work(settled.old.tenant_id) as session:
        raw = await service.forwarded_file(session, settled.keys, settled.old, 1, actor="staff:1")
    assert raw.splitlines()[0] == b"member,amount,currency,channel,reference,paid_on"
    for _ in range(2):
        await contributions.import_file(settled.db, settled.keys, settled.new, raw, name="late.csv", actor="staff:1")
    assert (await settled.held(settled.new, "OB-0001"))["cash", "own", ""] == "500.00"
    assert await settled.broken() == []


async def test_what_reaches_an_account_late_goes_in_a_round_of_its_own(settled: Merging) -> None:
    await settled.approved()
    await settled.carry_on()
    folder = await settled.export()
    await settled.later(NEXT_DAY)
    await settled.acknowledge(await settled.receipt(await settled.take_in(folder)))
    with pytest.raises(NothingLate):
        await _late(settled)
    units = await settled.rows(
        settled.old, "select code from chart where kind = 'units' and fund = 'SM001009' and origin = 'own'"
    )
    member = await settled.member(settled.old, "OB-0002")
    async with settled.db.unit_of_work(settled.old.tenant_id) as session:
        issued = Account("units-issued", "SM001009", fund="SM001009")
        codes = await ledger.account_codes(session, {issued})
        entry = Entry(
            member_id=member,
            kind=EventKind.PRICE_CORRECTION_POSTED,
            business_date=date(2023, 4, 6),
            actor=await ledger.actor_id(session, "test"),
            transfers=[Transfer(12_345, codes[issued], units[0][0])],
        )
        await ledger.post(session, [entry])

    assert await _late(settled) == 2
    with pytest.raises(RoundOpen):
        await _late(settled)
    assert await settled.carry_on() == 1
    assert await settled.held(settled.old, "OB-0002") == {}
    later = await settled.export(2)
    await settled.later(datetime(2023, 4, 7, 4, 0, tzinfo=UTC))
    opening_no = await settled.take_in(later)
    assert await settled.acknowledge(await settled.receipt(opening_no), 2) == "taken-in"
    assert await settled.held(settled.new, "OB-0002") == {("units", "own", "SM001009"): "89.3545"}
    # The correction has no run of its own here, and the old scheme's law of confirmed units says so, alone.
    assert {one.law for one in await settled.broken()} == {"units-are-confirmed-units"}


async def _late(merging: Merging) -> int:
    async with merging.db.unit_of_work(merging.old.tenant_id) as session:
        return (await service.begin_late_round(session, merging.old, 1, actor="staff:1")).round_no


async def test_the_laws_see_a_line_that_was_changed(settled: Merging) -> None:
    await settled.approved()
    await settled.carry_on()
    async with settled.db.unit_of_work(settled.old.tenant_id) as session:
        await session.execute(
            text("""insert into hand_over_lines (member_id, event_id, amount, cost, new_amount, tenant_id, merger_no, round_no, code, product, pot, origin, fund)
                    select member_id, event_id, 1, 0, 2, tenant_id, merger_no, round_no, code + 1, product, pot, origin, fund from hand_over_lines
                     where fund = 'SM003003'""")
        )

    assert {"handed-over-is-what-was-held", "handed-over-by-the-terms"} <= {one.law for one in await settled.broken()}
