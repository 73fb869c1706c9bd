"""Taking a payment back at every stage, against the table of `docs/corrections.md`, with two people, races and stops."""

import asyncio
import dataclasses
import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar
from litestar.di import Provide
from litestar.testing import AsyncTestClient

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.contributions import queries, service
from engine.contributions.api import ReversalController
from engine.contributions.errors import ReversalDecided, ReversalDiffers, UnknownContribution
from engine.contributions.rules import Owed, parts_left
from engine.contributions.service import Reversal
from engine.funds import service as funds
from engine.funds.errors import NoDealingRule
from engine.funds.service import Units
from engine.kernel.ids import house_member
from engine.kernel.permissions import Permission
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Outcome, Transfer
from engine.runtime.database import Database
from engine.runtime.http import exception_handlers
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant
from tests.engine.funds.conftest import BOOK, PRODUCT, ROOT, UNMATCHED, Scheme, book_of
from tests.engine.funds.conftest import scheme as _scheme
from tests.engine.funds.test_acting import split

FUND = "SM001009"
INVESTING = """
[[rule]]
kind = "investing"
id = "investing"
invested_from = "reconciled"
reversal_difference_to = "pool"
source = "test"
confidence = "high"
"""
PRICES = {"rising": "12", "falling": "8"}
scheme_without_rule = _scheme


@pytest_asyncio.fixture
async def scheme(scheme_without_rule: Scheme) -> Scheme:
    """The scheme of the funds' tests, whose pool bears the difference in price; prices may move as they like."""
    book = book_of(BOOK.replace("move_bp = 500", "move_bp = 9999") + INVESTING)
    scheme = scheme_without_rule
    scheme.tenant = dataclasses.replace(
        scheme.tenant, pack=dataclasses.replace(scheme.tenant.pack, books={PRODUCT: book})
    )
    return scheme


@dataclass(frozen=True)
class Case:
    """A row of the document's table."""

    stage: str
    price: str
    member: str
    entries: list[tuple[str, str, int]]
    owed: str
    difference: str

    @property
    def name(self) -> str:
        return f"{self.stage}-{self.price}-{self.member}"


def cases(section: str) -> list[Case]:
    """The rows of the table in a section of `docs/corrections.md`, "" for what stands before the first."""
    found = []
    sections = re.split(
        r"^## (.*)$", "## \n" + (ROOT / "docs" / "corrections.md").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    said_there = dict(zip(sections[1::2], sections[2::2], strict=True))
    for line in said_there[section].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and cells[0] != "stage":
            entries = []
            for one in cells[3].split("; ") if cells[3] != "–" else ():
                said = re.fullmatch(r"([a-z-]+) > ([a-z-]+) ([0-9]+\.[0-9]{2})", one)
                assert said, one
                entries.append((said[1], said[2], int(Decimal(said[3]) * 100)))
            found.append(Case(cells[0], cells[1], cells[2], entries, cells[4], cells[5]))
    return found


CASES = cases("")


def test_the_table_has_every_stage_and_both_directions() -> None:
    assert {case.stage for case in CASES} == {"suspense", "received", "resolved", "matched", "ordered", "priced"}
    assert {(case.price, case.member) for case in CASES if case.stage == "priced"} == {
        (price, member) for price in PRICES for member in ("holding", "partly", "gone")
    }


async def at_stage(scheme: Scheme, stage: str) -> tuple[int | None, int]:
    """A payment of 100.00 at a stage: whose it is, and its receipt."""
    (member,) = await scheme.members(["first"])
    (receipt,) = await scheme.receive(
        [(None if stage in {"suspense", "resolved"} else member, {"retirement": 10_000}, "R1")]
    )
    if stage == "suspense":
        return None, receipt
    if stage == "resolved":
        await resolve(scheme, receipt, member)
    if stage in {"matched", "ordered", "priced"}:
        await scheme.allocate([(member, receipt)])
    if stage in {"ordered", "priced"}:
        await scheme.deal("2023-04-03")
    if stage == "priced":
        await price(scheme, 5, "10")
    return member, receipt


async def price(scheme: Scheme, day: int, at: str) -> None:
    await scheme.clock(f"2023-04-{day:02}T04:30:00")
    await scheme.price(f"2023-04-{day:02}", {FUND: at})
    await scheme.deal(f"2023-04-{day:02}")


async def resolve(scheme: Scheme, receipt: int, member: int) -> None:
    """Give a suspended payment to a member, as `confirm_owner` does once it has found them."""
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        cash = Account("cash", "INR", PRODUCT, "retirement", "own")
        suspense = Account("suspense", "INR", party="upi")
        codes = await ledger.account_codes(session, [cash, suspense])
        entry = Entry(
            member_id=member,
            kind=EventKind.SUSPENSE_RESOLVED,
            business_date=date(2023, 4, 3),
            actor=await ledger.actor_id(session, "staff:1"),
            body={"amount": "10000", "channel": "upi", "resolves": str(receipt)},
            transfers=[Transfer(10_000, codes[suspense], codes[cash])],
        )
        (posted,) = await ledger.post(session, [entry])
        await queries.add_resolution(session, receipt, resolved_event=posted.event_id, member_id=member)


async def withdraws(scheme: Scheme, member: int, stage: str, share: str) -> None:
    """Let the member have taken out half of what they hold, or all: as a benefit, paid."""
    if stage == "received":
        amount = {"partly": 5_000, "gone": 10_000}[share]
        await pay_out(scheme, member, "cash", amount)
        return
    units = {"partly": 50_000, "gone": 100_000}[share]
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await funds.sell(
            session,
            scheme.tenant,
            member,
            PRODUCT,
            [Units("retirement", "own", FUND, units)],
            day=date(2023, 4, 5),
            actor="staff:2",
            reference="benefit",
        )
    await scheme.deal("2023-04-05")
    await price(scheme, 6, "10")
    await pay_out(scheme, member, "payable", units // 10)


async def pay_out(scheme: Scheme, member: int, kind: str, amount: int) -> None:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        source = Account(kind, "INR", PRODUCT, "retirement", "own")
        sent = Account("payouts-in-transit", "INR", party="bank")
        codes = await ledger.account_codes(session, [source, sent])
        entry = Entry(
            member_id=member,
            kind=EventKind.UNITS_SOLD,
            business_date=date(2023, 4, 3),
            actor=await ledger.actor_id(session, "staff:2"),
            transfers=[Transfer(amount, codes[source], codes[sent])],
        )
        (posted,) = await ledger.post(session, [entry])
        assert posted.outcome == Outcome.POSTED


async def propose(scheme: Scheme, receipt: int, actor: str = "staff:1") -> Reversal:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await service.propose_reversal(session, scheme.tenant, receipt, reason="charged-back", actor=actor)


async def confirm(scheme: Scheme, proposed: Reversal, actor: str = "staff:2") -> Reversal:
    return await service.confirm_reversal(
        scheme.db, scheme.keys, scheme.tenant, int(proposed.receipt), digest=proposed.digest, actor=actor
    )


async def found(scheme: Scheme, receipt: int) -> Reversal:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await service.find_reversal(session, scheme.tenant, receipt)


async def entries(scheme: Scheme) -> list[tuple[str, str, int]]:
    """The entries of the events by which payments were taken back, in their order."""
    rows = await scheme.rows(
        """select d.kind, c.kind, t.amount from events e
             join transfers t on t.member_id = e.member_id and t.event_id = e.event_id
             join chart d on d.code = t.debit join chart c on c.code = t.credit
            where e.kind in (13, 17) order by e.event_id, t.line"""
    )
    return [(row[0], row[1], row[2]) for row in rows]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_a_payment_is_taken_back_as_the_document_says(scheme: Scheme, case: Case) -> None:
    member, receipt = await at_stage(scheme, case.stage)
    if case.member in {"partly", "gone"}:
        assert member is not None
        await withdraws(scheme, member, case.stage, case.member)
    proposed = await propose(scheme, receipt)
    assert (proposed.state, proposed.amount) == ("proposed", "100.00")
    assert await entries(scheme) == []

    confirmed = await confirm(scheme, proposed)
    day = 6
    if case.stage == "ordered":
        assert confirmed.state == "waiting"
        assert await service.carry_on_reversals(scheme.db, scheme.keys, scheme.tenant) == 0
        await price(scheme, 5, "10")
        assert await service.carry_on_reversals(scheme.db, scheme.keys, scheme.tenant) == 0
        confirmed = await found(scheme, receipt)
    if confirmed.state == "selling":
        assert await entries(scheme) == []
        await scheme.deal(f"2023-04-{day:02}" if case.member == "partly" else "2023-04-05")
        await price(scheme, day + 1, PRICES[case.price])
        assert await service.carry_on_reversals(scheme.db, scheme.keys, scheme.tenant) == 1
    assert await service.carry_on_reversals(scheme.db, scheme.keys, scheme.tenant) == 0

    done = await found(scheme, receipt)
    assert (done.state, done.owed, done.difference) == ("reversed", case.owed, case.difference)
    assert await entries(scheme) == case.entries
    assert not await scheme.broken(but=UNMATCHED)
    if Decimal(done.difference):
        assert await scheme.rows("select party from chart where kind = 'reversal-difference'") == [("pool",)]
    with pytest.raises(ReversalDecided):
        await propose(scheme, receipt)


async def test_two_people_take_back_exactly_what_was_proposed(scheme: Scheme) -> None:
    _, receipt = await at_stage(scheme, "received")
    proposed = await propose(scheme, receipt)
    with pytest.raises(ReversalDecided):
        await propose(scheme, receipt, "staff:9")
    with pytest.raises(SamePerson):
        await confirm(scheme, proposed, "staff:1")
    with pytest.raises(ReversalDiffers):
        await service.confirm_reversal(scheme.db, scheme.keys, scheme.tenant, receipt, digest="0" * 64, actor="staff:2")
    with pytest.raises(UnknownContribution):
        await propose(scheme, 7)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        rejected = await service.reject_reversal(session, scheme.tenant, receipt, actor="staff:2")
    assert rejected.state == "rejected"
    with pytest.raises(ReversalDecided):
        await confirm(scheme, proposed)
    assert await entries(scheme) == []
    again = await propose(scheme, receipt)
    assert again.digest != proposed.digest
    assert (await confirm(scheme, again)).state == "reversed"
    assert not await scheme.broken(but=UNMATCHED)


async def test_a_suspended_payment_is_given_away_or_taken_back(scheme: Scheme) -> None:
    _, receipt = await at_stage(scheme, "suspense")
    await confirm(scheme, await propose(scheme, receipt))
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        assert await service.list_suspense(session, scheme.tenant) == []
        row = await queries.find_suspense(session, receipt)
        assert row is not None
        assert row.resolved
        assert await ledger.is_corrected(session, house_member(scheme.tenant.tenant_id), receipt)


async def test_a_resolved_payment_is_known_by_either_receipt(scheme: Scheme) -> None:
    _, receipt = await at_stage(scheme, "resolved")
    ((resolved,),) = await scheme.rows("select resolved_event from suspense_resolutions")
    proposed = await propose(scheme, resolved)
    assert proposed.receipt == str(receipt)
    with pytest.raises(ReversalDecided):
        await propose(scheme, receipt)


async def test_what_bought_units_that_were_split_since_is_sold_as_what_they_have_become(scheme: Scheme) -> None:
    """100.00 bought 10 units at 10, which are 30 after the split; at 4 they bring 120.00, of which 20.00 is the pool's."""
    _, receipt = await at_stage(scheme, "priced")
    await scheme.clock("2023-04-06T04:30:00")
    await split(scheme, 3, 1, price="4")
    await confirm(scheme, await propose(scheme, receipt))
    await scheme.deal("2023-04-06")
    await scheme.clock("2023-04-07T04:30:00")
    await scheme.price("2023-04-07", {FUND: "4"})
    sold = (await scheme.deal("2023-04-07")).sales

    assert [(one.units, one.amount) for one in sold] == [("30.0000", "120.00")]
    assert not await scheme.broken(but=UNMATCHED)


async def test_no_rule_no_reversal_of_what_was_invested(scheme: Scheme) -> None:
    _, receipt = await at_stage(scheme, "priced")
    scheme.tenant = dataclasses.replace(
        scheme.tenant, pack=dataclasses.replace(scheme.tenant.pack, books={PRODUCT: book_of(BOOK)})
    )
    proposed = await propose(scheme, receipt)
    with pytest.raises(NoDealingRule):
        await confirm(scheme, proposed)
    assert (await found(scheme, receipt)).state == "proposed"


async def test_proceeds_that_were_paid_out_in_between_are_owed(scheme: Scheme) -> None:
    member, receipt = await at_stage(scheme, "priced")
    assert member is not None
    await confirm(scheme, await propose(scheme, receipt))
    await scheme.deal("2023-04-05")
    await price(scheme, 6, "8")
    await pay_out(scheme, member, "payable", 3_000)
    assert await service.carry_on_reversals(scheme.db, scheme.keys, scheme.tenant) == 1
    done = await found(scheme, receipt)
    assert (done.owed, done.difference) == ("30.00", "20.00")
    assert not await scheme.broken(but=UNMATCHED)


async def test_a_reversal_is_carried_on_once_however_many_run(scheme: Scheme) -> None:
    _, receipt = await at_stage(scheme, "priced")
    proposed = await propose(scheme, receipt)
    answers = await asyncio.gather(*(confirm(scheme, proposed) for _ in range(3)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in answers) == ["Reversal", "ReversalDecided", "ReversalDecided"]
    await scheme.deal("2023-04-05")
    await price(scheme, 6, "8")
    done = await asyncio.gather(*(service.carry_on_reversals(scheme.db, scheme.keys, scheme.tenant) for _ in range(3)))
    assert sorted(done) == [0, 0, 1]
    assert len(await entries(scheme)) == 3
    assert not await scheme.broken(but=UNMATCHED)


async def test_a_step_that_dies_leaves_nothing_and_is_done_again(
    scheme: Scheme, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, receipt = await at_stage(scheme, "priced")
    proposed = await propose(scheme, receipt)
    save, calls = queries.save_reversal, 0

    async def dies(*args: Any, **named: Any) -> None:
        nonlocal calls
        calls += 1
        if calls in {2, 5}:
            raise psycopg.OperationalError("the connection is lost")
        await save(*args, **named)

    monkeypatch.setattr(queries, "save_reversal", dies)
    with pytest.raises(psycopg.OperationalError):
        await confirm(scheme, proposed)
    assert await scheme.rows("select 1 from sales") == []
    await confirm(scheme, proposed)
    await scheme.deal("2023-04-05")
    await price(scheme, 6, "8")
    with pytest.raises(psycopg.OperationalError):
        await service.carry_on_reversals(scheme.db, scheme.keys, scheme.tenant)
    assert await entries(scheme) == []
    assert await service.carry_on_reversals(scheme.db, scheme.keys, scheme.tenant) == 1
    assert not await scheme.broken(but=UNMATCHED)


async def test_a_reversal_that_races_with_the_cut_off_is_of_one_stage(scheme: Scheme) -> None:
    members = await scheme.members(["first"] * 6)
    receipts = await scheme.receive([(m, {"retirement": 10_000}, f"R{i}") for i, m in enumerate(members)])
    await scheme.allocate(list(zip(members, receipts, strict=True)))
    proposals = [await propose(scheme, receipt) for receipt in receipts]
    await asyncio.gather(scheme.deal("2023-04-03"), *(confirm(scheme, one) for one in proposals))
    states = {(await found(scheme, receipt)).state for receipt in receipts}
    assert states <= {"reversed", "waiting"}
    await price(scheme, 5, "10")
    await service.carry_on_reversals(scheme.db, scheme.keys, scheme.tenant)
    await scheme.deal("2023-04-05")
    await price(scheme, 6, "12")
    await service.carry_on_reversals(scheme.db, scheme.keys, scheme.tenant)
    assert {(await found(scheme, receipt)).state for receipt in receipts} == {"reversed"}
    assert not await scheme.broken(but=UNMATCHED)


@given(
    amount=st.integers(1, 10**9),
    shares=st.lists(st.integers(1, 10**6), min_size=1, max_size=3),
    left=st.lists(st.fractions(0, 1), min_size=3, max_size=3),
)
def test_never_more_is_owed_than_was_paid(amount: int, shares: list[int], left: list[Any]) -> None:
    by_fund = {f"F{i}": share for i, share in enumerate(shares)}
    units = [Owed("p", fund, 1000, int(1000 * part)) for fund, part in zip(by_fund, left, strict=False)]
    owed = parts_left({"p": amount}, by_fund, units)
    assert 0 <= owed["p"] <= amount
    none = parts_left({"p": amount}, by_fund, [dataclasses.replace(one, left=0) for one in units])
    assert none == {"p": amount}
    whole = parts_left({"p": amount}, by_fund, [dataclasses.replace(one, left=1000) for one in units])
    assert whole == {"p": 0}


DAMAGE = {
    "difference": "update reversals set difference = difference + 1",
    "owed": "update reversals set owed = '{\"retirement\": 1}'",
    "amount": "update reversals set amount = amount + 1",
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_damage_is_named(scheme: Scheme, superuser_url: str, database_urls: tuple[str, str], damage: str) -> None:
    _, receipt = await at_stage(scheme, "priced")
    await confirm(scheme, await propose(scheme, receipt))
    await scheme.deal("2023-04-05")
    await price(scheme, 6, "8")
    await service.carry_on_reversals(scheme.db, scheme.keys, scheme.tenant)
    (sql,) = [law.sql for law in queries.LAWS if law.name == "reversals-give-back-the-whole"]
    info = psycopg.conninfo.conninfo_to_dict(database_urls[0])
    with psycopg.connect(superuser_url, dbname=str(info["dbname"])) as connection:
        connection.execute("select set_config('app.tenant', %s, true)", (str(scheme.tenant.tenant_id),))
        connection.execute(f"{DAMAGE[damage]} where tenant_id = {scheme.tenant.tenant_id}")
        connection.execute(f"set local role {info['user']}")
        assert connection.execute(sql).fetchall()
        connection.rollback()


async def test_the_routes_ask_for_two_people(scheme: Scheme) -> None:
    actor = "staff:1"

    async def caller() -> Caller:
        return Caller(scheme.tenant.tenant_id, actor, frozenset(Permission), "staff", staff_id=1)

    async def tenant() -> Tenant:
        return scheme.tenant

    async def db() -> Database:
        return scheme.db

    async def keys() -> FileKeyStore:
        return scheme.keys

    app = Litestar(
        [ReversalController],
        dependencies={"caller": Provide(caller), "tenant": Provide(tenant), "db": Provide(db), "keys": Provide(keys)},
        exception_handlers=exception_handlers(lambda _request, message: message),
    )
    _, receipt = await at_stage(scheme, "received")
    path = f"/v1/contributions/{receipt}/reversal"
    async with AsyncTestClient(app) as client:
        assert (await client.get(path)).status_code == 404
        assert (await client.post(path, json={"reason": "I like it"})).status_code == 422
        proposed = await client.post(path, json={"reason": "paid-twice"})
        assert (proposed.status_code, proposed.json()["state"]) == (201, "proposed")
        seen = {"digest": proposed.json()["digest"]}
        own = await client.post(f"{path}/confirmation", json=seen)
        assert (own.status_code, own.json()["code"]) == (403, "access.same-person")
        actor = "staff:2"
        other = await client.post(f"{path}/confirmation", json={"digest": "0" * 64})
        assert (other.status_code, other.json()["code"]) == (409, "contributions.reversal-differs")
        done = await client.post(f"{path}/confirmation", json=seen)
        assert (done.status_code, done.json()["state"]) == (200, "reversed")
        again = await client.post(f"{path}/rejection")
        assert (again.status_code, again.json()["code"]) == (409, "contributions.reversal-decided")
        assert (await client.get(path)).json() == done.json()
