"""Numbers of identity documents over time: two people change them, a number known to another is checked, payments go by the day."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.access.errors import SamePerson
from engine.app import LAWS
from engine.enrolment import service
from engine.enrolment.errors import (
    AlreadyMember,
    NothingToDecide,
    NumberChangeDiffers,
    NumberChangeOpen,
    NumberFromUnusable,
    NumberHeldAlready,
    NumberNotVerified,
    UnknownNumberChange,
)
from engine.enrolment.rules import DocumentGiven, VerificationState
from engine.enrolment.rules.identifiers import Held, NumberAct, NumberChangeState, holder_on
from engine.enrolment.service import Enrolled, NumberChange, NumberChangeSeen, NumberHeld, Verifiers
from engine.identity import service as identity
from engine.identity.errors import DocumentMalformed
from engine.kernel.errors import EngineError
from engine.ledger import service as ledger
from engine.runtime.database import Database, driver
from engine.runtime.exchanges.engine import Exchanges
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant, advance_clock
from integrations.identity.mosip_ida.simulator import Resident
from tests.engine.contributions.test_references import holders, join, pays, reference_rule, send, told
from tests.engine.enrolment.test_verifying import CODE, place
from tests.factories import joining

MAKER, FINDER, CHECKER = "staff:1", "staff:2", "staff:3"
JOINED, TODAY, NOW = date(2023, 4, 3), date(2023, 6, 30), datetime(2023, 6, 30, 8, tzinfo=UTC)
OLD, NEW, THIRD = "199011112222", "199033334444", "199055556666"


@dataclass
class Place:
    db: Database
    keys: FileKeyStore
    tenant: Tenant

    @property
    def nobody(self) -> Verifiers:
        return Verifiers(Exchanges(self.db, self.keys, {}, lambda *_: ""))

    async def enrol(self, number: str, name: str = "Amina Example") -> Enrolled:
        return await join(self.db, self.keys, self.tenant, number, full_name=name)

    async def propose(
        self, member: Enrolled, number: str, from_on: date | None = None, *, document: str = "nid"
    ) -> NumberChange:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.propose_number(
                session, self.keys, self.tenant, self.nobody, number=member.number,
                document=DocumentGiven(document, number), from_on=from_on, reason="card-renewed", actor=MAKER,
            )  # fmt: skip

    async def find(self, change: UUID, *, same: bool, actor: str = FINDER) -> NumberChange:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.find_same_person(
                session, self.keys, self.tenant, change, is_same_person=same, reason="both-seen", actor=actor
            )

    async def approve(self, change: NumberChange, *, actor: str = CHECKER, digest: str = "") -> NumberChange:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.approve_number(
                session, self.keys, self.tenant, change.change, digest=digest or change.digest, actor=actor
            )

    async def reject(self, change: NumberChange) -> NumberChange:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.reject_number(
                session, self.keys, self.tenant, change.change, reason="not-shown", actor=MAKER
            )

    async def waiting(self) -> list[NumberChangeSeen]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.list_number_changes(session, self.keys, most=10, actor=CHECKER)

    async def held(self, member: Enrolled) -> list[NumberHeld]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.numbers_held(session, self.keys, member.number, actor=CHECKER)

    async def paid(self, number: str, on: date) -> int | str:
        """Return whose a payment of a day by a number is, or why it waits."""
        answers = await send(self.db, self.keys, self.tenant, pays(number, paid_on=on))
        return told(answers)[0] if told(answers) != ["received"] else (await holders(self.db, self.tenant, answers))[0]

    async def select(self, sql: str) -> list[tuple[Any, ...]]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            connection = await driver(session)
            return list(await (await connection.execute(sql.encode())).fetchall())

    async def offences(self) -> list[Any]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return list(await ledger.check(session, LAWS))

    async def erase(self, member: Enrolled) -> None:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            await identity.erase(session, member.member_id, actor=CHECKER, business_date=TODAY)


@pytest.fixture
async def at(db: Database, keys: FileKeyStore, tmp_path: Path) -> Place:
    tenant = await joining.serve(db, tmp_path, rules={"workers": reference_rule("member-number", "national-id")})
    return Place(db, keys, tenant)


async def later(at: Place) -> None:
    async with at.db.unit_of_work(at.tenant.tenant_id) as session:
        await advance_clock(session, at.tenant, NOW, "development")


async def test_a_new_number_holds_from_its_day_once_another_person_approves(at: Place) -> None:
    member = await at.enrol(OLD)
    await later(at)
    change = await at.propose(member, NEW, date(2023, 5, 1))
    before = await at.paid(NEW, TODAY)
    with pytest.raises(SamePerson):
        await at.approve(change, actor=MAKER)
    with pytest.raises(NumberChangeDiffers):
        await at.approve(change, digest="0" * 64)
    with pytest.raises(NumberChangeOpen):
        await at.propose(member, THIRD)
    (seen,) = await at.waiting()
    done = await at.approve(change)
    with pytest.raises(NothingToDecide):
        await at.approve(change)

    assert (change.state, change.act) == (NumberChangeState.PROPOSED, NumberAct.REPLACED)
    assert before == "unknown-member"
    assert (seen.number, seen.name, seen.other_name) == (NEW, "Amina Example", "")
    assert done.state is NumberChangeState.APPLIED
    assert await at.paid(OLD, date(2023, 4, 30)) == member.member_id
    assert await at.paid(OLD, date(2023, 5, 1)) == "unknown-member"
    assert await at.paid(NEW, date(2023, 4, 30)) == "unknown-member"
    assert await at.paid(NEW, date(2023, 5, 1)) == member.member_id
    assert [(one.from_on, one.to_on, one.verified_by) for one in await at.held(member)] == [
        (JOINED, date(2023, 5, 1), "joining"),
        (date(2023, 5, 1), None, "people"),
    ]
    assert await at.offences() == []
    # The old number is known still: nobody else joins by it.
    application = joining.worker(at.tenant, documents=(DocumentGiven("nid", OLD),))
    (refused,) = await joining.enrol(at.db, at.keys, at.tenant, application)
    assert isinstance(refused, AlreadyMember)


async def test_a_number_known_to_another_moves_only_after_two_have_found_that_they_are_two(at: Place) -> None:
    old, new = await at.enrol(OLD), await at.enrol(NEW, "Baraka Example")
    await later(at)
    change = await at.propose(new, OLD, date(2023, 6, 1))
    with pytest.raises(NothingToDecide):
        await at.approve(change)
    (seen,) = await at.waiting()
    found = await at.find(change.change, same=False)
    for who in (MAKER, FINDER):
        with pytest.raises(SamePerson):
            await at.approve(found, actor=who)
    with pytest.raises(NumberChangeDiffers):
        await at.approve(found, digest=change.digest)
    done = await at.approve(found)

    assert (change.state, change.other) == (NumberChangeState.CONTESTED, old.number)
    assert (seen.name, seen.other_name) == ("Baraka Example", "Amina Example")
    assert done.state is NumberChangeState.APPLIED
    assert await at.paid(OLD, date(2023, 5, 31)) == old.member_id
    assert await at.paid(OLD, date(2023, 6, 1)) == new.member_id
    assert [(one.from_on, one.to_on) for one in await at.held(old)] == [(JOINED, date(2023, 6, 1))]
    assert await at.offences() == []
    kinds = await at.select("select kind::int from events where kind between 319 and 324 order by event_id")
    assert kinds == [(319,), (320,), (322,), (321,)]
    assert not await at.select(f"select from events where body::text like '%{OLD}%'")


async def test_one_person_twice_is_on_record_and_moves_nothing(at: Place) -> None:
    old, new = await at.enrol(OLD), await at.enrol(NEW)
    await later(at)
    found = await at.find((await at.propose(new, OLD, date(2023, 6, 1))).change, same=True)
    done = await at.approve(found)

    assert done.state is NumberChangeState.SAME_PERSON
    assert await at.select("select member_id, other_member from number_changes where state = 'same-person'") == [
        (new.member_id, old.member_id)
    ]
    assert await at.paid(OLD, TODAY) == old.member_id
    assert await at.paid(NEW, TODAY) == new.member_id
    assert await at.waiting() == []
    assert await at.offences() == []


async def test_a_number_that_ended_is_the_next_ones_who_joins_by_it(at: Place) -> None:
    old = await at.enrol(OLD)
    await later(at)
    await at.approve(await at.propose(old, "", date(2023, 6, 1)))
    new = await at.enrol(OLD, "Baraka Example")

    assert await at.paid(OLD, date(2023, 5, 31)) == old.member_id
    assert await at.paid(OLD, TODAY) == new.member_id
    assert await at.offences() == []


async def test_who_becomes_known_by_the_number_meanwhile_contests_it(at: Place) -> None:
    member = await at.enrol(OLD)
    change = await at.propose(member, NEW)
    await at.enrol(NEW, "Baraka Example")
    answer = await at.approve(change)

    assert answer.state is NumberChangeState.CONTESTED
    assert await at.paid(OLD, JOINED) == member.member_id
    assert await at.offences() == []


async def test_a_rejected_change_changes_nothing(at: Place) -> None:
    member = await at.enrol(OLD)
    done = await at.reject(await at.propose(member, NEW))

    assert done.state is NumberChangeState.REJECTED
    assert await at.paid(OLD, JOINED) == member.member_id
    assert await at.offences() == []
    await at.propose(member, NEW)  # and another may be proposed


@pytest.mark.parametrize(
    ("number", "from_on", "error"),
    [
        (OLD, None, NumberHeldAlready),
        (NEW, date(2023, 7, 1), NumberFromUnusable),
        (NEW, date(2023, 4, 2), NumberFromUnusable),
        ("12", None, DocumentMalformed),
    ],
)
async def test_what_cannot_be_is_refused(
    at: Place, number: str, from_on: date | None, error: type[EngineError]
) -> None:
    member = await at.enrol(OLD)
    await later(at)
    with pytest.raises(error):
        await at.propose(member, number, from_on)
    assert await at.waiting() == []


async def test_the_other_ones_days_are_theirs(at: Place) -> None:
    old, new = await at.enrol(OLD), await at.enrol(NEW)
    await later(at)
    await at.approve(await at.propose(old, THIRD, date(2023, 6, 1)))
    found = await at.find((await at.propose(new, OLD, date(2023, 5, 1))).change, same=False)
    with pytest.raises(NumberFromUnusable):
        await at.approve(found)

    assert await at.paid(OLD, date(2023, 5, 31)) == old.member_id
    assert await at.offences() == []


async def test_of_the_erased_no_number_is_left(at: Place) -> None:
    member = await at.enrol(OLD)
    await later(at)
    await at.approve(await at.propose(member, NEW, date(2023, 6, 1)))
    waits = await at.propose(member, THIRD)
    await at.erase(member)

    assert await at.select("select from held_numbers") == []
    assert await at.select("select document from number_changes") == [(None,), (None,)]
    assert await at.waiting() == []
    assert await at.paid(NEW, TODAY) == "unknown-member"
    with pytest.raises(UnknownNumberChange):
        await at.approve(waits)


async def test_two_who_approve_at_once_move_it_once(at: Place) -> None:
    old, new = await at.enrol(OLD), await at.enrol(NEW)
    await later(at)
    found = await at.find((await at.propose(new, OLD, date(2023, 6, 1))).change, same=False)
    answers = await asyncio.gather(*(at.approve(found, actor=f"staff:{n}") for n in (3, 4, 5)), return_exceptions=True)

    assert sorted(type(one).__name__ for one in answers) == ["NothingToDecide", "NothingToDecide", "NumberChange"]
    assert await at.paid(OLD, TODAY) == new.member_id
    assert await at.paid(OLD, date(2023, 5, 1)) == old.member_id
    assert await at.offences() == []


async def test_two_who_want_one_number_and_one_who_joins_by_it_end_with_one_holder(at: Place) -> None:
    one, two = await at.enrol(OLD), await at.enrol(THIRD)
    wanted = [await at.propose(one, NEW), await at.propose(two, NEW)]
    application = joining.worker(at.tenant, documents=(DocumentGiven("nid", NEW),))
    await asyncio.gather(
        *(at.approve(change) for change in wanted),
        joining.enrol(at.db, at.keys, at.tenant, application),
        return_exceptions=True,
    )

    async with at.db.unit_of_work(at.tenant.tenant_id) as session:
        holders_now = await service.members_by_document(session, at.keys, at.tenant, NEW, JOINED)
    assert len(holders_now) == 1
    assert await at.offences() == []


async def test_the_agency_is_asked_about_the_new_number_and_must_confirm_it(
    db: Database, keys: FileKeyStore, tmp_path: Path
) -> None:
    async with place(db, keys, tmp_path) as asked:
        member = await asked.enrol()
        good, wrong = "1198870000001012", "1198870000002012"
        asked.residents[good] = Resident(name="Uwase Invented", born_on="1988/03/04", one_time_code=CODE)
        asked.residents[wrong] = Resident(name="Mugisha Karangwa", born_on="1988/03/04", one_time_code=CODE)
        done = []
        for number in (wrong, good):
            async with db.unit_of_work(asked.tenant.tenant_id) as session:
                change = await service.propose_number(
                    session, keys, asked.tenant, asked.joined.verifiers, number=member.number,
                    document=DocumentGiven("nid", number), from_on=None, reason="card-renewed", actor=MAKER,
                )  # fmt: skip
            with pytest.raises(NumberNotVerified):
                async with db.unit_of_work(asked.tenant.tenant_id) as session:
                    await service.approve_number(
                        session, keys, asked.tenant, change.change, digest=change.digest, actor=CHECKER
                    )
            done.append((await asked.decided(change.change)).state)
            async with db.unit_of_work(asked.tenant.tenant_id) as session:
                if number == wrong:
                    with pytest.raises(NumberNotVerified):
                        await service.approve_number(
                            session, keys, asked.tenant, change.change, digest=change.digest, actor=CHECKER
                        )
                    await service.reject_number(
                        session, keys, asked.tenant, change.change, reason="not-theirs", actor=MAKER
                    )
                else:
                    await service.approve_number(
                        session, keys, asked.tenant, change.change, digest=change.digest, actor=CHECKER
                    )
        async with db.unit_of_work(asked.tenant.tenant_id) as session:
            held = await service.numbers_held(session, keys, member.number, actor=CHECKER)
        levels = await asked.select("select level from memberships")
        offences = await asked.offences()

    assert done == [VerificationState.MISMATCH, VerificationState.VERIFIED]
    assert [one.verified_by for one in held] == ["joining", service.AGENCY]
    assert held[-1].as_of is not None
    assert levels == [("known",)]
    assert offences == []


DAYS = [date(2023, 1, day) for day in range(1, 11)]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 3)), max_size=6), st.integers(0, 9), st.booleans())
def test_somebody_holds_a_number_as_its_moves_say(moves: list[tuple[int, int]], on: int, ended: bool) -> None:
    """Moves of (day, to whom) in their order make periods; who holds it on a day is told by replaying them."""
    moves = sorted({day: (day, who) for day, who in moves}.values())
    periods, expected = [], None
    for at, (day, who) in enumerate(moves):
        until = moves[at + 1][0] if at + 1 < len(moves) else None
        periods.append(Held(who, DAYS[day], DAYS[until] if until is not None else DAYS[9] if ended else None))
        if day <= on and not (until is None and ended and on >= 9):
            expected = who
    last = moves[-1][1] if moves and not ended else None
    assert holder_on(periods, last, DAYS[on]) == expected
    if not moves:
        assert holder_on([], 7, DAYS[on]) == 7


@given(st.integers(0, 9), st.integers(0, 9))
def test_who_joined_by_a_number_that_ended_holds_it_from_then_on(ended: int, on: int) -> None:
    periods = [Held(1, DAYS[0], DAYS[ended])]
    assert holder_on(periods, 2, DAYS[on]) == (1 if on < ended else 2)
    assert holder_on(periods, 1, DAYS[on]) == (1 if on < ended else None)
