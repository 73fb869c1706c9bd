"""Two records of one person made one: what moves, what keeps them apart, what counts together; once, whatever happens."""

import asyncio
import dataclasses
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from engine.access.errors import SamePerson
from engine.app import LAWS
from engine.benefits import service
from engine.benefits.errors import CannotMerge, MergeDecided, MergeDiffers, UnknownMerge
from engine.benefits.queries import LAWS as BENEFIT_LAWS
from engine.benefits.queries.merging import Merge
from engine.contributions import service as contributions
from engine.contributions.rules import Payment, Receipt
from engine.enrolment import service as enrolment
from engine.enrolment.errors import AlreadyMember
from engine.enrolment.service import Enrolled, Enrolment
from engine.funds import service as funds
from engine.funds.service import Units
from engine.identity import queries as identity_queries
from engine.identity import service as identity
from engine.identity.rules import MemberRef, NewMember, Person, VaultDocument
from engine.kernel.ids import new_member_id, new_member_number
from engine.ledger import queries as ledger_queries
from engine.ledger import service as ledger
from engine.reports import service as reports
from engine.reports.rules import Statement
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant
from tests.engine.contributions.test_reversing import Case, at_stage, cases, confirm, found, pay_out, price
from tests.engine.contributions.test_reversing import propose as propose_reversal
from tests.engine.contributions.test_wrong_member import SPLIT, book_with, with_rules
from tests.engine.funds.conftest import PRODUCT, UNMATCHED, Scheme
from tests.engine.funds.conftest import scheme as _scheme
from tests.factories import schemes
from tests.factories.claims import open_scheme

MAKER, CHECKER = "staff:1", "staff:2"
FUND = "SM001009"
CASES = cases("Two records of one person")
PRICES = {"rising": "12", "falling": "8"}
CAP = """
[[rule]]
kind = "annual-cap"
id = "cap"
most = "1000"
counted_by = "received"
excess = "refuse"
source = "Invented: the most of a year"
confidence = "high"
"""
bare_scheme = _scheme


@dataclasses.dataclass
class Known(Scheme):
    """The scheme of the funds' tests; its members are people with a number."""

    async def members(self, groups: Any, joined_on: date = date(2023, 1, 1)) -> list[int]:
        people = [(new_member_id(), group) for group in groups]
        admitted = [
            NewMember(
                one, 0, PRODUCT, joined_on, group,
                VaultDocument(
                    member_number=new_member_number(12),
                    person=Person(full_name="Asha Example", born_on=date(1990, 1, 1), sex="female"),
                ),
            )
            for one, group in people
        ]  # fmt: skip
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            await identity.admit(session, self.keys, admitted)
            await session.execute(
                text("""insert into memberships (member_id, since_event, tenant_id, joined_on, from_on, product, group_code)
                        select member_id, 0, tenant_id, joined_on, joined_on, product, group_code from members where member_id = any(:ids)"""),
                {"ids": [one for one, _ in people]},
            )
        return [one for one, _ in people]


@pytest.fixture
def known(bare_scheme: Scheme, keys: FileKeyStore) -> Known:
    scheme = Known(bare_scheme.db, bare_scheme.tenant, keys)
    with_rules(scheme, SPLIT)
    return scheme


async def ref(scheme: Any, member: int) -> MemberRef:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return (await identity.members_by_id(session, [member]))[member]


async def propose(scheme: Any, goes: int, stays: int, actor: str = MAKER) -> Merge:
    old, new = await ref(scheme, goes), await ref(scheme, stays)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await service.propose_merge(session, scheme.tenant, goes=old, stays=new, actor=actor)


async def approve(scheme: Any, merge: Merge, *, actor: str = CHECKER, digest: str = "") -> Merge:
    return await service.approve_merge(
        scheme.db, scheme.keys, scheme.tenant, merge.merge_no, digest=digest or merge.digest, actor=actor
    )


async def merged(scheme: Any, goes: int, stays: int) -> Merge:
    return await approve(scheme, await propose(scheme, goes, stays))


async def holds(scheme: Any, member: int) -> dict[tuple[str, str], int]:
    rows = await scheme.rows(
        """select c.kind, c.origin, sum(b.credits - b.debits)::bigint from balances b join chart c on c.code = b.code
            where b.member_id = :m group by 1, 2 having sum(b.credits - b.debits) <> 0""",
        m=member,
    )
    return {(row[0], row[1]): int(row[2]) for row in rows}


async def entries(scheme: Scheme) -> list[tuple[str, str, int]]:
    """What was booked by merging and taking back, money in hundredths and units in hundredths of one."""
    rows = await scheme.rows(
        """select d.kind, c.kind, t.amount, a.kind from events e
             join transfers t on t.member_id = e.member_id and t.event_id = e.event_id
             join chart d on d.code = t.debit join chart c on c.code = t.credit join assets a on a.asset_id = t.debit >> 12
            where e.kind in (13, 17, 269, 270) order by e.event_id, t.line"""
    )
    return [(row[0], row[1], row[2] // (100 if row[3] == "units" else 1)) for row in rows]


async def not_whole(scheme: Any, *, but: frozenset[str] = frozenset()) -> Sequence[object]:
    laws = (*LAWS,) if isinstance(scheme, Tenanted) else (*BENEFIT_LAWS, *ledger_queries.LAWS)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await ledger.check(session, [one for one in laws if one.name not in but])


@dataclasses.dataclass
class Tenanted:
    """A tenant whose members were enrolled, and pay, by the front door."""

    db: Database
    tenant: Tenant
    keys: FileKeyStore

    async def rows(self, sql: str, **given: Any) -> list[Any]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return [tuple(row) for row in await session.execute(text(sql), given)]

    async def pay(self, number: str, amount: str, reference: str) -> contributions.Answer:
        payment = Payment(
            member=number, amount=amount, currency="INR", channel="upi", reference=reference, sent_by="partner:1"
        )
        (answer,) = await contributions.Intake(self.db, self.keys).receive_many(self.tenant, [payment])
        return answer

    async def found(self, number: str) -> MemberRef:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await enrolment.find_member(session, self.keys, number)


def test_the_table_has_every_stage() -> None:
    assert {case.stage for case in CASES} == {
        "cash", "received", "matched", "ordered", "priced", "selling", "payable",
    }  # fmt: skip


async def at(scheme: Known, stage: str) -> tuple[int, int]:
    if stage == "cash":
        without_funds(scheme)
        stage = "received"
    if stage in {"selling", "payable"}:
        member, receipt = await at_stage(scheme, "priced")
        assert member is not None
        await _sell(scheme, member)
        await scheme.deal("2023-04-05")
        if stage == "payable":
            await price(scheme, 6, "10")
        return member, receipt
    member, receipt = await at_stage(scheme, stage)
    assert member is not None
    return member, receipt


def without_funds(scheme: Any, rules: str = SPLIT) -> None:
    """Let the scheme's product be in no fund."""
    pack = dataclasses.replace(
        scheme.tenant.pack, books={PRODUCT: book_with(rules)}, sha256=f"without-funds-{len(rules)}"
    )
    scheme.tenant = dataclasses.replace(scheme.tenant, pack=pack)


async def _sell(scheme: Known, member: int) -> None:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await funds.sell(
            session, scheme.tenant, member, PRODUCT, [Units("retirement", "own", FUND, 100_000)],
            day=date(2023, 4, 5), actor="staff:2", reference="benefit",
        )  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_records_are_merged_as_the_document_says(known: Known, case: Case) -> None:
    (stays,) = await known.members(["first"])
    goes, receipt = await at(known, case.stage)
    if case.member == "money-on-its-way":
        before = await holds(known, goes)
        with pytest.raises(CannotMerge, match=case.member):
            await propose(known, goes, stays)
        assert await holds(known, goes) == before
        return
    before = await holds(known, goes)
    assert (await merged(known, goes, stays)).state == "approved"
    assert (await holds(known, goes), await holds(known, stays)) == ({}, before)
    if case.member in {"taken-back", "gone"}:
        if case.member == "gone":
            await pay_out(known, stays, "cash", 10_000)
        await confirm(known, await propose_reversal(known, receipt))
        if case.price in PRICES:
            await known.deal("2023-04-05")
            await price(known, 6, PRICES[case.price])
            assert await contributions.carry_on_reversals(known.db, known.keys, known.tenant) == 1
        done = await found(known, receipt)
        assert (done.state, done.owed, done.difference) == ("reversed", case.owed, case.difference)
        assert Decimal(done.owed) == 0 or await known.rows("select member_id from reversals") == [(stays,)]
    assert await entries(known) == case.entries
    assert not await known.broken(but=UNMATCHED)
    assert not await not_whole(known, but=frozenset({"payouts-in-transit-are-unsettled"}))


@pytest.fixture
async def india(db: Database, keys: FileKeyStore, tmp_path: Path) -> Tenanted:
    rules = {"nps-lite": CAP}
    return Tenanted(db, await schemes.serve(db, tmp_path, rules=rules, scenarios=False), keys)


async def test_the_old_number_answers_for_the_record_that_stays(india: Tenanted) -> None:
    old = schemes.application(india.tenant)
    (went,) = await enrolment.enrol(india.db, india.tenant, india.keys, [Enrolment("k-old", old)], actor="partner:1")
    (new,) = await schemes.enrol(india.db, india.keys, india.tenant, ["sahyog"])
    assert isinstance(went, Enrolled)
    goes, stays = await india.found(went.number), await india.found(new.number)
    async with india.db.unit_of_work(india.tenant.tenant_id) as session:
        await session.execute(
            text("""insert into held_numbers (member_id, event_id, digest, tenant_id, from_on, document_kind, verified_by)
                    select member_id, 1, digest, tenant_id, date '2023-01-01', 'aadhaar', 'seen' from person_indexes
                     where member_id = :m and purpose = 2"""),
            {"m": goes.member_id},
        )
    await merged(india, goes.member_id, stays.member_id)
    assert await india.rows("select member_id from held_numbers") == [(stays.member_id,)]

    assert (await india.found(went.number)).member_id == stays.member_id
    assert isinstance(paid := await india.pay(went.number, "500.00", "R1"), Receipt)
    assert paid.state == "received"
    assert await holds(india, stays.member_id) == {("cash", "own"): 50_000}
    async with india.db.unit_of_work(india.tenant.tenant_id) as session:
        into = [
            await identity.number_merged_into(session, india.keys, one, stays.member_id, actor=MAKER)
            for one in (went.number, new.number, "123")
        ]
        people = await identity.read_people(
            session, india.keys, [goes.member_id, stays.member_id], actor=MAKER, reason="test"
        )
    assert into == [new.number, "", ""]
    assert people[goes.member_id].member_number == went.number
    assert people[stays.member_id].earlier_numbers == (went.number,)

    (again,) = await enrolment.enrol(india.db, india.tenant, india.keys, [Enrolment("k-again", old)], actor="partner:1")
    assert isinstance(again, AlreadyMember)
    assert not await not_whole(india)

    async with india.db.unit_of_work(india.tenant.tenant_id) as session:
        await identity.erase(session, stays.member_id, actor=MAKER, business_date=date(2023, 4, 3))
    assert not await not_whole(india)
    assert await india.rows("select count(*) from member_keys") == [(0,)]
    assert await india.rows("select count(*) from person_indexes") == [(0,)]


async def test_payments_of_both_records_count_in_one_year(india: Tenanted) -> None:
    """1,000 rupees are the most of a year: 600 and 300 paid by two records leave room for 100."""
    first, second = await schemes.enrol(india.db, india.keys, india.tenant, ["sahyog", "sahyog"])
    before = await india.pay(first.number, "600.00", "R-1")
    assert isinstance(before, Receipt)
    assert isinstance(await india.pay(second.number, "300.00", "R-2"), Receipt)
    goes, stays = await india.found(first.number), await india.found(second.number)
    with pytest.raises(CannotMerge, match="money-on-its-way"):
        await propose(india, goes.member_id, stays.member_id)
    without_funds(india, SPLIT + CAP)
    await merged(india, goes.member_id, stays.member_id)
    refused = await india.pay(first.number, "100.01", "R-3")
    assert getattr(refused, "code", "") == "contributions.cap-reached"
    assert isinstance(await india.pay(second.number, "100.00", "R-4"), Receipt)
    assert await holds(india, stays.member_id) == {("cash", "own"): 100_000}
    assert not await not_whole(india)
    async with india.db.unit_of_work(india.tenant.tenant_id) as session:
        told = await reports.tell_decision(
            session, india.keys, india.tenant, int(before.receipt), actor=MAKER, language="en"
        )
        one = await reports.statement(
            session, india.tenant, stays, number=first.number, as_of=date(2023, 4, 3), merged_into=second.number
        )
    assert told.sentences[-1] == "The record that this was about was merged into another one."
    sheet = reports.sheet_of(one, reports.Letterhead.of(india.tenant, "en"))
    assert ("Merged into", second.number) in [(figure.label, figure.value) for figure in sheet.person]
    assert sum(line.amount_minor for line in one.lines) == 100_000


async def test_two_people_stand_for_it_and_it_is_done_once(known: Known) -> None:
    with_rules(known, SPLIT)
    goes, stays, other = await known.members(["first", "first", "first"])
    with pytest.raises(CannotMerge, match="one record"):
        await propose(known, goes, goes)
    merge = await propose(known, goes, stays)
    assert await propose(known, goes, stays) == merge
    with pytest.raises(CannotMerge, match="waits"):
        await propose(known, stays, other, actor="staff:9")
    with pytest.raises(SamePerson):
        await approve(known, merge, actor=MAKER)
    with pytest.raises(MergeDiffers):
        await approve(known, merge, digest="0" * 64)
    with pytest.raises(UnknownMerge):
        await approve(known, dataclasses.replace(merge, merge_no=7))
    async with known.db.unit_of_work(known.tenant.tenant_id) as session:
        rejected = await service.reject_merge(session, known.tenant, merge.merge_no, digest=merge.digest, actor=CHECKER)
    assert rejected.state == "rejected"
    with pytest.raises(MergeDecided):
        await approve(known, merge)

    again = await propose(known, goes, stays)
    done = await asyncio.gather(*(approve(known, again) for _ in range(3)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in done) == ["Merge", "MergeDecided", "MergeDecided"]
    with pytest.raises(CannotMerge, match="closed"):
        await propose(known, goes, other)
    await merged(known, stays, other)
    assert await known.rows("select into_id from merged_records") == [(other,), (other,)]
    assert not await not_whole(known)


async def test_a_merging_that_dies_leaves_nothing(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    (stays,) = await known.members(["first"])
    goes, _ = await at(known, "priced")
    merge = await propose(known, goes, stays)
    before, write, dies = await holds(known, goes), identity_queries.merge, True

    async def once_dies(*args: Any, **named: Any) -> None:
        if dies:
            raise psycopg.OperationalError("the connection is lost")
        await write(*args, **named)

    monkeypatch.setattr(identity_queries, "merge", once_dies)
    with pytest.raises(psycopg.OperationalError):
        await approve(known, merge)
    assert (await holds(known, goes), await holds(known, stays)) == (before, {})
    dies = False
    await approve(known, merge)
    assert (await holds(known, goes), await holds(known, stays)) == ({}, before)
    assert not await known.broken(but=UNMATCHED)


async def test_what_comes_late_follows_once(known: Known) -> None:
    goes, stays = await known.members(["first", "first"])
    without_funds(known)
    await merged(known, goes, stays)
    await known.receive([(goes, {"retirement": 700}, "late")])
    done = await asyncio.gather(*(service.follow_merged(known.db, known.tenant) for _ in range(3)))
    assert sorted(done) == [0, 0, 1]
    assert (await holds(known, goes), await holds(known, stays)) == ({}, {("cash", "own"): 700})
    assert not await known.broken(but=UNMATCHED)
    assert not await not_whole(known)


RUNNING = {
    "insurance": """insert into insured (member_id, tenant_id, since, begun_run, product, cover)
                    values (:m, :t, '2023-01-01', 1, 'ltss', 'life')""",
    "annuity-purchase": """insert into annuity_purchases (member_id, claim_id, amount, tenant_id, product, insurer)
                           values (:m, 1, 100, :t, 'ltss', 'insurer')""",
    "transfer": """insert into transfers_out (member_id, claim_id, amount, tenant_id, dated_on, joined_on, product, parts, payments)
                   values (:m, 1, 100, :t, '2023-01-01', '2020-03-01', 'ltss', '[]', '[]')""",
    "mandate": """insert into mandates (member_id, event_id, most, mandate_id, tenant_id, signed_on, product, rail, document)
                  values (:m, 1, 100, gen_random_uuid(), :t, '2023-01-01', 'ltss', 'bank', '\\x00')""",
}


@pytest.mark.parametrize("what", RUNNING)
async def test_what_runs_of_the_record_that_goes_must_end_first(
    db: Database, tenant_id: int, tmp_path: Path, what: str
) -> None:
    scheme = await open_scheme(db, tenant_id, tmp_path, "rw-ejoheza", "2023-02-01T08:00:00")
    born = date(1983, 1, 1)
    goes, stays = await scheme.member(date(2020, 3, 1), born), await scheme.member(date(2022, 6, 1), born)
    await scheme.run(RUNNING[what], m=goes.member_id)
    with pytest.raises(CannotMerge, match=f": {what}"):
        await propose(scheme, goes.member_id, stays.member_id)


async def test_claims_count_what_both_paid_from_the_earlier_joining(
    db: Database, tenant_id: int, tmp_path: Path
) -> None:
    """EjoHeza: 40 % of a member's own contributions may be taken for school, once; both records' count, and what either took."""
    scheme = await open_scheme(db, tenant_id, tmp_path, "rw-ejoheza", "2023-02-01T08:00:00")
    school = {"rule": "early-access", "purpose": "education"}
    born = date(1983, 1, 1)
    goes, stays = await scheme.member(date(2020, 3, 1), born), await scheme.member(date(2022, 6, 1), born)
    await scheme.pay(goes, 10_000, pot="savings", on=date(2021, 1, 5))
    await scheme.pay(goes, 3_000, pot="savings", on=date(2021, 1, 5), origin="state-match")
    await scheme.pay(stays, 5_000, pot="savings", on=date(2022, 7, 5))
    claim = await scheme.claim(stays, "access", minor=1_000, **school)
    with pytest.raises(CannotMerge, match="claim"):
        await propose(scheme, goes.member_id, stays.member_id)
    async with db.unit_of_work(tenant_id) as session:
        await service.withdraw_claim(session, scheme.tenant, claim.claim_id, actor=MAKER)
    await merged(scheme, goes.member_id, stays.member_id)

    assert await holds(scheme, stays.member_id) == {("cash", "own"): 15_000, ("cash", "state-match"): 3_000}
    async with db.unit_of_work(tenant_id) as session:
        (place,) = (await enrolment.memberships_of(session, [stays.member_id]))[stays.member_id]
        gone = await enrolment.memberships_of(session, [goes.member_id])
    assert (place.joined_on, gone) == (date(2020, 3, 1), {})
    more = await scheme.claim(stays, "access", minor=6_001, key="k2", **school)
    assert (more.state, more.reason) == ("refused", "benefits.more-than-accessible")
    assert (await scheme.claim(stays, "access", minor=6_000, key="k3", **school)).state == "decided"
    assert not await scheme.broken()


async def test_a_statement_is_of_both_as_if_there_had_been_one(db: Database, tenant_id: int, tmp_path: Path) -> None:
    scheme = await open_scheme(db, tenant_id, tmp_path, "rw-ejoheza", "2023-02-01T08:00:00")
    goes, stays, alone = [await scheme.member(date(2021, 6, 1), date(1983, 1, 1)) for _ in range(3)]
    for member in (goes, alone):
        await scheme.pay(member, 10_000, pot="savings", on=date(2021, 7, 5))
    for member in (stays, alone):
        await scheme.pay(member, 5_000, pot="savings", on=date(2022, 7, 5))
    await merged(scheme, goes.member_id, stays.member_id)

    async def told(member: MemberRef) -> Statement:
        async with db.unit_of_work(tenant_id) as session:
            return await reports.statement(session, scheme.tenant, member, number="1", as_of=date(2023, 2, 1))

    one, other = await told(stays), await told(alone)
    assert (one.totals, one.uninvested_minor) == (other.totals, other.uninvested_minor)
    assert [(line.paid_on, line.amount_minor) for line in one.lines] == [
        (line.paid_on, line.amount_minor) for line in other.lines
    ]


@given(paid=st.lists(st.tuples(st.booleans(), st.integers(1, 10**6)), max_size=6), late=st.integers(0, 1000))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_unit_of_money_is_lost_or_made(known: Known, paid: list[tuple[bool, int]], late: int) -> None:
    goes, stays = await known.members(["first", "first"])
    without_funds(known)
    for number, (is_old, amount) in enumerate(paid):
        await known.receive([(goes if is_old else stays, {"retirement": amount}, f"{goes}-{number}")])
    await merged(known, goes, stays)
    if late:
        await known.receive([(goes, {"retirement": late}, f"{goes}-late")])
        assert await service.follow_merged(known.db, known.tenant) == 1
    total = sum(amount for _, amount in paid) + late
    assert sum((await holds(known, stays)).values()) == total
    assert await holds(known, goes) == {}
    assert not await not_whole(known)
