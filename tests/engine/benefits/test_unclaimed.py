"""Unclaimed money against PostgreSQL: the legal clock, searches, handing over, races, stops and reclaims."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access.errors import SamePerson
from engine.app import LAWS
from engine.benefits import service
from engine.benefits.errors import (
    HandOverDecided,
    HandOverDiffers,
    HandOverOpen,
    NothingUnclaimed,
    NoUnclaimedRule,
    ReclaimTooLate,
)
from engine.benefits.queries import unclaimed as queries
from engine.benefits.queries.unclaimed import Case, HandOverRun
from engine.benefits.rules.unclaimed import UnclaimedRule, hand_over_by, presumed_by, unclaimed_on
from engine.identity.rules import MemberRef
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Transfer
from engine.runtime.database import Database
from tests.engine.benefits.books import figures_in, rule_of
from tests.factories.claims import CHECKER, MAKER, Claims, open_scheme
from tests.factories.heirs import UNKEPT

BORN = date(1983, 1, 1)
JOINED = date(2012, 1, 1)
RULE = """
[[rule]]
kind = "unclaimed"
id = "unclaimed"
counted_from = "last-activity"
dormant_years = 2
notice_days = 30
handed_over = "11-01"
handed_to = "unclaimed-assets"
least = "100"
reclaim_years = 20
leap_day = "LEAP"
"""
IN_PACK = RULE.replace("LEAP", "1-march") + 'source = "invented"\nconfidence = "high"\n'
DAYS = st.dates(date(2000, 1, 1), date(2040, 12, 31))


@given(on=DAYS, counted=DAYS, told=st.integers(0, 900), leap=st.sampled_from(["1-march", "28-february"]))
def test_what_is_taken_at_once_is_what_the_rule_takes_of_one(
    on: date, counted: date, told: int, leap: Literal["1-march", "28-february"]
) -> None:
    found = rule_of(UnclaimedRule, RULE.replace("LEAP", leap))
    noticed = counted + timedelta(days=told)
    one = unclaimed_on(
        found, counted_from=counted, balance_minor=100, noticed_on=noticed, on=on, figures=figures_in("RWF")
    )
    due = hand_over_by(found.rule, on)
    assert (one.presumed_on <= on) == (counted <= presumed_by(found.rule, on))
    assert (one.state == "to-be-handed-over") == (counted <= due.counted_by and noticed <= due.told_by)


@asynccontextmanager
async def _session(scheme: Claims) -> AsyncIterator[AsyncSession]:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        yield session


@pytest.fixture
async def scheme(db: Database, tenant_id: int, tmp_path: Path) -> Claims:
    """EjoHeza, which also hands over on 1 November what nobody was heard of for two years: 100 francs or more."""
    return await open_scheme(db, tenant_id, tmp_path, "rw-ejoheza", "2020-06-01T08:00:00", rules=IN_PACK)


async def _find(scheme: Claims) -> tuple[int, int]:
    async with _session(scheme) as session:
        return await service.find_unclaimed(session, scheme.tenant, scheme.product, actor=MAKER)


async def _tell(scheme: Claims, member: MemberRef | None = None) -> int:
    async with _session(scheme) as session:
        return await service.note_search(
            session, scheme.tenant, scheme.product, means="publication", outcome="told", actor=MAKER,
            member_id=member.member_id if member else 0,
        )  # fmt: skip


async def _propose(scheme: Claims) -> HandOverRun:
    async with _session(scheme) as session:
        return await service.propose_hand_over(session, scheme.tenant, scheme.product, actor=MAKER)


async def _approve(scheme: Claims, run: HandOverRun) -> HandOverRun:
    return await service.approve_hand_over(scheme.db, scheme.tenant, run.run_no, run.digest, actor=CHECKER)


async def _cases(scheme: Claims, state: str = "") -> list[Case]:
    async with _session(scheme) as session:
        return await service.list_unclaimed(session, scheme.product, state=state)


async def _sound(scheme: Claims) -> None:
    async with _session(scheme) as session:
        assert [one for one in await ledger.check(session, LAWS) if one.law not in UNKEPT] == []


async def _quiet(scheme: Claims, minor: int, on: date) -> MemberRef:
    member = await scheme.member(JOINED, BORN)
    await scheme.pay(member, minor, pot="savings", on=on)
    return member


async def _told(scheme: Claims) -> list[MemberRef]:
    """Three owners of 1,000, 250 and 99 francs, and one who was heard of; the first two are told in time."""
    members = [await _quiet(scheme, minor, date(2020, 6, 1)) for minor in (1_000, 250, 99)]
    members.append(await _quiet(scheme, 5_000, date(2021, 7, 1)))
    await scheme.clock("2022-06-01T08:00:00")
    assert await _find(scheme) == (2, 0)
    await scheme.clock("2022-10-02T08:00:00")
    assert await _tell(scheme) == 2
    return members


async def test_nobody_is_presumed_gone_before_the_law_s_time(scheme: Claims) -> None:
    """Two years are over on 1 June 2022; who was told on 3 October waits for the next year's 1 November."""
    member = await _quiet(scheme, 1_000, date(2020, 6, 1))
    await scheme.clock("2022-05-31T08:00:00")
    assert await _find(scheme) == (0, 0)
    await scheme.clock("2022-06-01T08:00:00")
    assert sorted(await asyncio.gather(*(_find(scheme) for _ in range(3)))) == [(0, 0), (0, 0), (1, 0)]
    with pytest.raises(NothingUnclaimed):
        await _propose(scheme)
    await scheme.clock("2022-10-03T08:00:00")
    assert await _tell(scheme, member) == 1
    with pytest.raises(NothingUnclaimed):
        await _tell(scheme)
    await scheme.clock("2022-11-01T08:00:00")
    with pytest.raises(NothingUnclaimed):
        await _propose(scheme)
    await scheme.clock("2023-11-01T08:00:00")
    assert (await _propose(scheme)).total == 1_000
    assert await scheme.rows("select means, outcome, searched_on from unclaimed_searches") == [
        ("publication", "told", date(2022, 10, 3))
    ]
    await _sound(scheme)


async def test_what_is_handed_over_is_what_a_second_person_read(scheme: Claims) -> None:
    first, second, *_ = await _told(scheme)
    await scheme.clock("2022-11-01T08:00:00")
    run = await _propose(scheme)
    assert (run.members, run.total, run.handed_to) == (2, 1_250, "unclaimed-assets")
    with pytest.raises(HandOverOpen):
        await _propose(scheme)
    with pytest.raises(SamePerson):
        await service.approve_hand_over(scheme.db, scheme.tenant, run.run_no, run.digest, actor=MAKER)
    with pytest.raises(HandOverDiffers):
        await service.approve_hand_over(scheme.db, scheme.tenant, run.run_no, "0" * 64, actor=CHECKER)
    async with _session(scheme) as session:
        raw = await service.hand_over_file(session, scheme.keys, scheme.tenant, run.run_no, actor=CHECKER)
        with pytest.raises(HandOverDecided):
            await service.receipt_hand_over(session, scheme.tenant, run.run_no, receipt="R1", actor=MAKER)
    *lines, last = list(csv.reader(io.StringIO(raw.decode())))
    assert sorted(line[6] for line in lines[1:]) == ["1000", "250"]
    assert {line[2] for line in lines[1:]} == {"Asha Example"}
    assert last == ["total", "2", "unclaimed-assets", "2022-11-01", run.digest, "", "1250"]

    done = await asyncio.gather(*(_approve(scheme, run) for _ in range(3)), return_exceptions=True)
    assert {one.code for one in done if isinstance(one, HandOverDecided)} <= {"benefits.hand-over-decided"}
    assert [one.state for one in done if isinstance(one, HandOverRun)] != []
    assert await scheme.holds(first) == await scheme.holds(second) == {}
    assert await scheme.control("due-to-party") == 1_250
    async with _session(scheme) as session:
        given = {"receipt": "UFAA/2022/17", "actor": MAKER}
        done_run = await service.receipt_hand_over(session, scheme.tenant, run.run_no, **given)
        assert await service.receipt_hand_over(session, scheme.tenant, run.run_no, **given) == done_run
        with pytest.raises(HandOverDecided):
            await service.receipt_hand_over(session, scheme.tenant, run.run_no, receipt="R2", actor=MAKER)
    assert (done_run.state, done_run.handed_over, done_run.receipt) == ("done", 1_250, "UFAA/2022/17")
    assert await _find(scheme) == (0, 0)
    await _sound(scheme)


async def test_who_is_heard_of_in_between_keeps_everything(scheme: Claims) -> None:
    first, second, *_ = await _told(scheme)
    await scheme.clock("2022-11-01T08:00:00")
    run = await _propose(scheme)
    await scheme.pay(first, 10, pot="savings", on=date(2022, 11, 1))
    claim = await scheme.claim(second, "access", rule="early-access", purpose="education")
    assert claim.state == "decided"
    done = await _approve(scheme, run)
    assert (done.state, done.handed_over, done.left) == ("done", 0, 2)
    assert await scheme.holds(first) == {"cash:own": 1_010}
    assert await _find(scheme) == (0, 2)
    assert {one.state for one in await _cases(scheme)} == {"ended"}
    await _sound(scheme)


async def test_a_handing_over_that_stopped_goes_on(scheme: Claims, monkeypatch: pytest.MonkeyPatch) -> None:
    """One member a transaction, and the power fails before the second is committed: nobody twice, nobody missed."""
    members = await _told(scheme)
    await scheme.clock("2022-11-01T08:00:00")
    run = await _propose(scheme)
    monkeypatch.setattr(queries, "MOST_MEMBERS", 1)
    take, calls = queries.take, 0

    async def failing(*args: object, **named: object) -> int:
        nonlocal calls
        calls += 1
        found: int = await take(*args, **named)  # type: ignore[arg-type]
        if calls == 2:
            raise RuntimeError
        return found

    monkeypatch.setattr(queries, "take", failing)
    with pytest.raises(RuntimeError):
        await _approve(scheme, run)
    assert await scheme.control("due-to-party") in {1_000, 250}
    await _sound(scheme)
    done = await _approve(scheme, run)
    assert (done.state, done.handed_over) == ("done", 1_250)
    assert await scheme.holds(members[2]) == {"cash:own": 99}
    await _sound(scheme)


async def test_an_owner_reclaims_years_later(scheme: Claims) -> None:
    first, *_ = await _told(scheme)
    await scheme.clock("2022-11-01T08:00:00")
    await _approve(scheme, await _propose(scheme))
    await scheme.clock("2042-11-01T08:00:00")
    documents = {"identity-card": "a" * 64}

    async def ask() -> Case:
        async with _session(scheme) as session:
            return await service.propose_reclaim(
                session, scheme.tenant, first.member_id, scheme.product, documents=documents, actor=MAKER
            )

    async def give(digest: str, actor: str = CHECKER) -> Case:
        async with _session(scheme) as session:
            return await service.approve_reclaim(
                session, scheme.tenant, first.member_id, scheme.product, digest=digest, actor=actor
            )

    case = await ask()
    with pytest.raises(SamePerson):
        await give(case.digest, MAKER)
    with pytest.raises(HandOverDiffers):
        await give("")
    done = await asyncio.gather(*(give(case.digest) for _ in range(3)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in done) == ["Case", "NothingUnclaimed", "NothingUnclaimed"]
    assert await scheme.holds(first) == {"cash:own": 1_000}
    assert await scheme.control("due-to-party") == 250
    assert await _find(scheme) == (1, 0), "the fourth, who was not told of in time; the first has been heard of"
    await _sound(scheme)
    await scheme.clock("2042-11-02T08:00:00")
    async with _session(scheme) as session:
        second = next(one for one in await _cases(scheme, "handed-over"))
        with pytest.raises(ReclaimTooLate):
            await service.propose_reclaim(
                session, scheme.tenant, second.member_id, scheme.product, documents=documents, actor=MAKER
            )


async def test_a_benefit_that_nobody_asks_for_is_handed_over_by_itself(
    db: Database, tenant_id: int, tmp_path: Path
) -> None:
    """Haba Haba: two years after it fell due. What is still saved stays."""
    scheme = await open_scheme(db, tenant_id, tmp_path, "ke-haba-haba", "2020-06-01T08:00:00")
    pot = scheme.tenant.product(scheme.product).pots[0].code
    member = await scheme.member(JOINED, BORN)
    await scheme.pay(member, 900_00, pot=pot, on=date(2020, 6, 1))
    money = scheme.tenant.asset.symbol
    async with _session(scheme) as session:
        cash, payable = (Account(kind, money, scheme.product, pot, "own") for kind in ("cash", "payable"))
        codes = await ledger.account_codes(session, {cash, payable})
        entry = Entry(
            member_id=member.member_id,
            kind=EventKind.INHERITANCE_SHARED,
            business_date=date(2020, 6, 1),
            actor=await ledger.actor_id(session, MAKER),
            transfers=[Transfer(400_00, codes[cash], codes[payable])],
        )
        await ledger.post(session, [entry])
    await scheme.clock("2022-05-31T08:00:00")
    assert await _find(scheme) == (0, 0)
    await scheme.clock("2022-06-01T08:00:00")
    assert await _find(scheme) == (1, 0)
    assert await _tell(scheme) == 1
    await scheme.clock("2022-11-01T08:00:00")
    run = await _propose(scheme)
    assert run.total == 400_00
    await _approve(scheme, run)
    assert await scheme.holds(member) == {"cash:own": 500_00}


async def test_a_scheme_without_the_rule_hands_nothing_over(db: Database, tenant_id: int, tmp_path: Path) -> None:
    scheme = await open_scheme(db, tenant_id, tmp_path, "rw-ejoheza", "2020-06-01T08:00:00")
    with pytest.raises(NoUnclaimedRule):
        await _find(scheme)
