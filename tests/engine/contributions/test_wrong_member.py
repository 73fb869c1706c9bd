"""Money posted to the wrong member, moved to the right one at every stage, against the table of `docs/corrections.md`."""

import asyncio
import dataclasses
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import psycopg
import pytest
import pytest_asyncio

from engine.access.errors import SamePerson
from engine.contributions import queries, service
from engine.contributions.errors import NothingToMove, ReversalDecided, ReversalDiffers
from engine.contributions.rules import RULE_KINDS as CONTRIBUTION_KINDS
from engine.contributions.service import Reversal
from engine.funds.rules import RULE_KINDS as FUND_KINDS
from engine.identity import service as identity
from engine.kernel.ids import house_member
from engine.reconciliation import service as reconciliation
from engine.runtime.database import Role, driver
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.rules.books import decode_book
from tests.engine.contributions.test_reversing import (
    INVESTING,
    PRICES,
    Case,
    at_stage,
    cases,
    confirm,
    found,
    price,
    withdraws,
)
from tests.engine.funds.conftest import BOOK, PRODUCT, UNMATCHED, Scheme
from tests.engine.funds.conftest import scheme as _scheme

SPLIT = """
[[rule]]
kind = "contribution-amount"
id = "contribution-amount"
minimum = "1.00"
maximum = "12000.00"
source = "test"
confidence = "high"

[[rule]]
kind = "contribution-split"
id = "contribution-split"
parts = [{ pot = "retirement", share_bp = 10000 }]
source = "test"
confidence = "high"
"""
CAP = """
[[rule]]
kind = "annual-cap"
id = "cap"
most = "120.00"
excess = "refuse"
counted_by = "value"
source = "test"
confidence = "high"
"""
CASES = cases("Posted to the wrong member")
scheme_without_rule = _scheme


def book_with(rules: str) -> Any:
    """The rule book that a text says, of funds and of contributions."""
    files = {f"{PRODUCT}/rules/2010-04-01.toml": rules.encode()}
    book, problems = decode_book(PRODUCT, files, (*FUND_KINDS, *CONTRIBUTION_KINDS))
    assert not problems, problems
    return book


def with_rules(scheme: Scheme, rules: str) -> None:
    book = book_with(BOOK.replace("move_bp = 500", "move_bp = 9999") + INVESTING + rules)
    pack = dataclasses.replace(scheme.tenant.pack, books={PRODUCT: book}, sha256=f"{hash(rules):x}")
    scheme.tenant = dataclasses.replace(scheme.tenant, pack=pack)


@pytest_asyncio.fixture
async def scheme(scheme_without_rule: Scheme, keys: FileKeyStore) -> Scheme:
    """The scheme of the funds' tests, with what decides contributions."""
    scheme_without_rule.keys = keys
    with_rules(scheme_without_rule, SPLIT)
    return scheme_without_rule


def test_the_table_has_every_stage_and_both_directions() -> None:
    assert {case.stage for case in CASES} == {"received", "resolved", "matched", "ordered", "priced"}
    assert {(case.price, case.member) for case in CASES if case.stage == "priced"} == {
        (price, member) for price in PRICES for member in ("holding", "partly", "gone")
    }


async def propose(scheme: Scheme, receipt: int, right: int, actor: str = "staff:1") -> Reversal:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        (to,) = (await identity.members_by_id(session, [right])).values()
        return await service.propose_reversal(session, scheme.tenant, receipt, to=to, actor=actor)


async def entries(scheme: Scheme, after: int) -> list[tuple[str, str, int]]:
    """The entries of the events by which a payment was moved, in their order."""
    rows = await scheme.rows(
        """select d.kind, c.kind, t.amount from events e
             join transfers t on t.member_id = e.member_id and t.event_id = e.event_id
             join chart d on d.code = t.debit join chart c on c.code = t.credit
            where e.kind in (12, 13, 17) and e.event_id > :after order by e.event_id, t.line""",
        after=after,
    )
    return [(row[0], row[1], row[2]) for row in rows]


async def last_event(scheme: Scheme) -> int:
    ((event,),) = await scheme.rows("select max(event_id) from events")
    return int(event)


async def cash(scheme: Scheme, member: int) -> int:
    rows = await scheme.rows(
        """select coalesce(sum(b.credits - b.debits), 0)::bigint from balances b join chart c on c.code = b.code
            where b.member_id = :m and c.kind = 'cash'""",
        m=member,
    )
    return int(rows[0][0])


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_a_payment_is_moved_as_the_document_says(scheme: Scheme, case: Case) -> None:
    (right,) = await scheme.members(["first"])
    wrong, receipt = await at_stage(scheme, case.stage)
    assert wrong is not None
    if case.member in {"partly", "gone"}:
        await withdraws(scheme, wrong, case.stage, case.member)
    proposed = await propose(scheme, receipt, right)
    assert (proposed.state, proposed.amount, proposed.given_to) == ("proposed", "100.00", f"{right:x}")
    begun = await last_event(scheme)

    confirmed = await confirm(scheme, proposed)
    if case.stage == "ordered":
        assert confirmed.state == "waiting"
        await price(scheme, 5, "10")
        assert await service.carry_on_reversals(scheme.db, scheme.keys, scheme.tenant) == 0
        confirmed = await found(scheme, receipt)
    if confirmed.state == "selling":
        assert await cash(scheme, right) == 0
        await scheme.deal("2023-04-06" if case.member == "partly" else "2023-04-05")
        await price(scheme, 7, PRICES[case.price])
        assert await service.carry_on_reversals(scheme.db, scheme.keys, scheme.tenant) == 1
    assert await service.carry_on_reversals(scheme.db, scheme.keys, scheme.tenant) == 0

    done = await found(scheme, receipt)
    assert (done.state, done.owed, done.difference, done.refused) == ("reversed", case.owed, case.difference, "")
    assert await entries(scheme, begun) == case.entries
    assert await cash(scheme, right) == 10_000
    assert not await scheme.broken(but=UNMATCHED)
    assert await scheme.rows(
        "select distinct business_date from events where kind in (12, 13) and event_id > :after", after=begun
    ) == [(date(2023, 4, 3),)]
    if Decimal(done.difference):
        assert await scheme.rows("select party from chart where kind = 'reversal-difference'") == [("pool",)]
    with pytest.raises(ReversalDecided):
        await propose(scheme, receipt, right)


async def test_two_people_move_exactly_what_was_proposed(scheme: Scheme) -> None:
    (right,) = await scheme.members(["first"])
    wrong, receipt = await at_stage(scheme, "received")
    assert wrong is not None
    with pytest.raises(NothingToMove):
        await propose(scheme, receipt, wrong)
    (suspended,) = await scheme.receive([(None, {"retirement": 500}, "R9")])
    with pytest.raises(NothingToMove):
        await propose(scheme, suspended, right)
    proposed = await propose(scheme, receipt, right)
    with pytest.raises(SamePerson):
        await confirm(scheme, proposed, "staff:1")
    with pytest.raises(ReversalDiffers):
        await confirm(scheme, msgspec.structs.replace(proposed, digest="0" * 64))
    assert await cash(scheme, wrong) == 10_000
    answers = await asyncio.gather(*(confirm(scheme, proposed) for _ in range(3)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in answers) == ["Reversal", "ReversalDecided", "ReversalDecided"]
    assert (await cash(scheme, wrong), await cash(scheme, right)) == (0, 10_000)
    assert not await scheme.broken(but=UNMATCHED)


async def test_a_full_year_leaves_it_in_suspense_and_counts_the_true_year(scheme: Scheme) -> None:
    """What the right member's year of the true date does not take waits for people; the next year's room does not count."""
    with_rules(scheme, SPLIT + CAP)
    (right,) = await scheme.members(["first"])
    await scheme.receive([(right, {"retirement": 3_000}, "R0")])
    _, receipt = await at_stage(scheme, "received")
    await scheme.clock("2024-04-03T04:30:00")
    done = await confirm(scheme, await propose(scheme, receipt, right))
    assert (done.state, done.refused) == ("reversed", "contributions.cap-reached")
    assert await cash(scheme, right) == 3_000
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        (held,) = await service.list_suspense(session, scheme.tenant)
    assert (held.receipt, held.reason, held.received_on) == (done.held, "wrong-member", date(2023, 4, 3))
    ((code,),) = await scheme.rows("select code from determinations where member_id = :m", m=right)
    assert code == done.refused
    assert not await scheme.broken(but=UNMATCHED)


async def test_a_moved_payment_is_moved_again_and_taken_back(scheme: Scheme) -> None:
    right, other = await scheme.members(["first", "second"])
    wrong, receipt = await at_stage(scheme, "received")
    assert wrong is not None
    first = await confirm(scheme, await propose(scheme, receipt, other))
    second = await confirm(scheme, await propose(scheme, int(first.held), right))
    assert [await cash(scheme, one) for one in (wrong, other, right)] == [0, 0, 10_000]
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        back = await service.propose_reversal(
            session, scheme.tenant, int(second.held), reason="charged-back", actor="staff:1"
        )
    begun = await last_event(scheme)
    assert (await confirm(scheme, back)).state == "reversed"
    assert await entries(scheme, begun) == [("cash", "collections", 10_000)]
    assert await cash(scheme, right) == 0
    assert not await scheme.broken(but=UNMATCHED)


@pytest.mark.parametrize("is_shown_first", [True, False])
async def test_its_cash_is_dealt_once_the_first_receipt_is_shown(scheme: Scheme, *, is_shown_first: bool) -> None:
    (right,) = await scheme.members(["second"])
    wrong, receipt = await at_stage(scheme, "received")
    assert wrong is not None
    if is_shown_first:
        await shows(scheme, wrong, receipt)
    moved = await confirm(scheme, await propose(scheme, receipt, right))
    await reconciliation.match_statements(scheme.db, scheme.tenant, actor="staff:3")
    if not is_shown_first:
        assert await scheme.rows("select 1 from allocations") == []
        await shows(scheme, wrong, receipt)
        await reconciliation.match_statements(scheme.db, scheme.tenant, actor="staff:3")
    assert await scheme.rows("select member_id, amount from allocations") == [(right, 10_000)]
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        house = house_member(scheme.tenant.tenant_id)
        assert await reconciliation.is_matched(session, house, int(moved.held))
        assert await reconciliation.receipt_state(session, house, int(moved.held)) == "allocated"
    assert not await scheme.broken(but=frozenset({"lines-match-once", "matches-agree"}))


async def shows(scheme: Scheme, member: int, receipt: int) -> None:
    """Let a line of a statement show a receipt, as matching leaves it."""
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id, role=Role.JOBS) as session:
        connection = await driver(session)
        await connection.execute(
            """insert into matches (tenant_id, member_id, event_id, statement_id, line_no, matched_event)
               values (%s, %s, %s, 1, 1, %s)""",
            (scheme.tenant.tenant_id, member, receipt, receipt),
        )


async def test_a_step_that_dies_leaves_nothing(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    (right,) = await scheme.members(["first"])
    wrong, receipt = await at_stage(scheme, "received")
    assert wrong is not None
    proposed = await propose(scheme, receipt, right)
    add, dies = queries.add_resolution, True

    async def once_dies(*args: Any, **named: Any) -> None:
        if dies:
            raise psycopg.OperationalError("the connection is lost")
        await add(*args, **named)

    monkeypatch.setattr(queries, "add_resolution", once_dies)
    with pytest.raises(psycopg.OperationalError):
        await confirm(scheme, proposed)
    assert (await cash(scheme, wrong), await cash(scheme, right)) == (10_000, 0)
    assert (await found(scheme, receipt)).state == "proposed"
    dies = False
    assert (await confirm(scheme, proposed)).state == "reversed"
    assert (await cash(scheme, wrong), await cash(scheme, right)) == (0, 10_000)
    assert not await scheme.broken(but=UNMATCHED)
