"""The poster: whole or not at all, once for each claim, never below zero, and never one neighbour's fault."""

import asyncio
import json
import secrets
from datetime import date
from uuid import UUID, uuid4

import psycopg
import pytest

from engine.kernel.ids import house_member
from engine.ledger import queries, service
from engine.ledger.rules import MEMBERS_BIT, Account, Entry, EventKind, Outcome, Transfer
from engine.runtime.database import Database, Role, driver, retry_transaction

DAY = date(2023, 4, 3)
COLLECTIONS = Account("collections", "INR", party="upi")
CASH = Account("cash", "INR", product="nps-lite", pot="retirement", origin="own")


async def codes(db: Database, tenant_id: int) -> tuple[int, int]:
    async with db.unit_of_work(tenant_id) as session:
        found = await service.account_codes(session, [COLLECTIONS, CASH])
    return found[COLLECTIONS], found[CASH]


def paid(member: int, amount: int, collections: int, cash: int, *claims: UUID, digest: int = 1) -> Entry:
    return Entry(
        member_id=member, kind=EventKind.CONTRIBUTION_RECEIVED, business_date=DAY, actor=1, claims=claims,
        body={"amount": str(amount)}, body_digest=digest, transfers=(Transfer(amount, collections, cash),),
    )  # fmt: skip


def taken(member: int, amount: int, collections: int, cash: int) -> Entry:
    return Entry(
        member_id=member, kind=EventKind.CONTRIBUTION_REVERSED, business_date=DAY, actor=1,
        transfers=(Transfer(amount, cash, collections),),
    )  # fmt: skip


def someone() -> int:
    return secrets.randbits(60) | 1


async def test_tells_members_accounts_by_their_place(db: Database, tenant_id: int) -> None:
    collections, cash = await codes(db, tenant_id)

    assert not collections & MEMBERS_BIT
    assert cash & MEMBERS_BIT
    assert collections >> 12 == cash >> 12


async def test_posts_and_keeps_balances(db: Database, tenant_id: int) -> None:
    collections, cash = await codes(db, tenant_id)
    a, b = someone(), someone()

    async with db.unit_of_work(tenant_id) as session:
        fates = await service.post(
            session,
            [
                paid(a, 100, collections, cash, uuid4()),
                paid(b, 250, collections, cash, uuid4()),
                paid(a, 7, collections, cash, uuid4()),
            ],
        )

    assert [fate.outcome for fate in fates] == [Outcome.POSTED] * 3
    assert len({fate.event_id for fate in fates}) == 3
    async with db.unit_of_work(tenant_id) as session:
        assert await queries.stored_balances(session, a) == {cash: 107}
        assert await queries.member_balances(session, b) == {cash: 250}
        assert await queries.control_balances(session) == {collections: 357}


async def test_a_claim_is_taken_once_for_ever(db: Database, tenant_id: int) -> None:
    collections, cash = await codes(db, tenant_id)
    member, claim = someone(), uuid4()

    async with db.unit_of_work(tenant_id) as session:
        (first,) = await service.post(session, [paid(member, 100, collections, cash, claim)])
    async with db.unit_of_work(tenant_id) as session:
        again, fresh = await service.post(
            session, [paid(member, 100, collections, cash, claim), paid(member, 5, collections, cash, uuid4())]
        )

    assert again.outcome is Outcome.CLAIMED
    assert again.event_id == first.event_id
    assert fresh.outcome is Outcome.POSTED
    async with db.unit_of_work(tenant_id) as session:
        assert await queries.stored_balances(session, member) == {cash: 105}


async def test_an_item_claimed_in_part_is_not_posted_and_its_other_claim_stays_free(
    db: Database, tenant_id: int
) -> None:
    collections, cash = await codes(db, tenant_id)
    member, provider, key = someone(), uuid4(), uuid4()
    async with db.unit_of_work(tenant_id) as session:
        (first,) = await service.post(session, [paid(member, 100, collections, cash, provider)])

    async def again(careful: bool) -> list[Outcome]:
        async with db.unit_of_work(tenant_id) as session:
            fates = await service.post(
                session,
                [paid(member, 100, collections, cash, provider, key), paid(member, 1, collections, cash, uuid4())],
                careful=careful,
            )
        return [fate.outcome for fate in fates]

    with pytest.raises(psycopg.errors.SerializationFailure):
        await again(careful=False)
    assert await again(careful=True) == [Outcome.CLAIMED, Outcome.POSTED]
    async with db.unit_of_work(tenant_id) as session:
        assert await queries.claimed(session, key) is None
        assert await queries.claimed(session, provider) == first.event_id
        assert await queries.stored_balances(session, member) == {cash: 101}


async def test_refuses_the_item_that_would_overdraw_and_no_other(db: Database, tenant_id: int) -> None:
    collections, cash = await codes(db, tenant_id)
    member, other = someone(), someone()

    async with db.unit_of_work(tenant_id) as session:
        fates = await service.post(
            session,
            [
                paid(member, 100, collections, cash, uuid4()),
                taken(member, 60, collections, cash),
                taken(member, 60, collections, cash),  # 40 are left
                paid(other, 10, collections, cash, uuid4()),
                taken(member, 40, collections, cash),
                taken(other, 11, collections, cash),
                paid(member, 1, collections, cash, uuid4()),
            ],
        )

    refused = Outcome.OVERDRAWN
    posted = Outcome.POSTED
    assert [fate.outcome for fate in fates] == [posted, posted, refused, posted, posted, refused, posted]
    assert fates[2].code == cash
    async with db.unit_of_work(tenant_id) as session:
        assert await queries.stored_balances(session, member) == {cash: 1}
        assert await queries.stored_balances(session, other) == {cash: 10}
        assert await service.check(session, queries.LAWS) == []


async def test_the_database_itself_lets_no_balance_below_zero(db: Database, tenant_id: int) -> None:
    collections, cash = await codes(db, tenant_id)
    member = someone()
    async with db.unit_of_work(tenant_id) as session:
        await service.post(session, [paid(member, 100, collections, cash, uuid4())])

    with pytest.raises(psycopg.errors.CheckViolation):
        async with db.unit_of_work(tenant_id) as session:
            await (await driver(session)).execute("update balances set debits = 101 where member_id = %s", (member,))


@pytest.mark.parametrize("table", ["events", "transfers", "claims", "chart", "batches"])
@pytest.mark.parametrize("act", ["update {} set tenant_id = tenant_id", "delete from {}", "truncate {}"])
@pytest.mark.parametrize("who", [0, 1], ids=["application", "owner"])
async def test_the_books_refuse_change_to_everyone(
    db: Database, tenant_id: int, database_urls: tuple[str, str], table: str, act: str, who: int
) -> None:
    collections, cash = await codes(db, tenant_id)
    async with db.unit_of_work(tenant_id) as session:
        await service.post(session, [paid(someone(), 100, collections, cash, uuid4())])

    with psycopg.connect(database_urls[who]) as connection:
        connection.execute("select set_config('app.tenant', %s, true)", (str(tenant_id),))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(act.format(table))


async def test_one_tenant_never_sees_or_writes_anothers_rows(
    db: Database, tenant_id: int, database_urls: tuple[str, str]
) -> None:
    collections, cash = await codes(db, tenant_id)
    async with db.unit_of_work(tenant_id) as session:
        await service.post(session, [paid(someone(), 100, collections, cash, uuid4())])

    for other in ("", str(tenant_id + 1_000_000)):
        with psycopg.connect(database_urls[0]) as connection:
            connection.execute("select set_config('app.tenant', %s, true)", (other,))
            for table in ("events", "transfers", "claims", "balances", "chart", "control_deltas", "batches"):
                row = connection.execute(f"select count(*) from {table}").fetchone()
                assert row == (0,), table
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("insert into claims values (%s, 1, %s)", (uuid4(), tenant_id))


async def test_every_tenants_table_is_walled_off(database_urls: tuple[str, str]) -> None:
    with psycopg.connect(database_urls[1]) as connection:
        rows = connection.execute("""
          select c.relname, c.relrowsecurity and c.relforcerowsecurity,
                 exists (select from pg_policy p where p.polrelid = c.oid and p.polcmd = '*' and p.polwithcheck is not null)
            from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
           where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace
             and c.relname not in ('tenants', 'client_ids')""").fetchall()
    assert len(rows) > 20
    assert [name for name, forced, policy in rows if not (forced and policy)] == []


async def test_batches_that_share_claims_in_opposite_orders_post_each_once(db: Database, tenant_id: int) -> None:
    collections, cash = await codes(db, tenant_id)
    members = [someone() for _ in range(20)]
    keys = [uuid4() for _ in range(200)]
    entries = [paid(members[i % 20], 10 + i, collections, cash, key) for i, key in enumerate(keys)]

    async def send(batch: list[Entry]) -> list[Outcome]:
        async def once() -> list[Outcome]:
            async with db.unit_of_work(tenant_id) as session:
                return [fate.outcome for fate in await service.post(session, batch)]

        return await retry_transaction(once)

    answers = await asyncio.gather(*(send(entries if i % 2 else entries[::-1]) for i in range(6)))

    outcomes = [outcome for answer in answers for outcome in answer]
    assert outcomes.count(Outcome.POSTED) == 200
    assert outcomes.count(Outcome.CLAIMED) == 1000
    async with db.unit_of_work(tenant_id) as session:
        assert await service.check(session, queries.LAWS) == []
        assert await queries.control_balances(session) == {collections: sum(10 + i for i in range(200))}


async def test_roll_up_under_fire_loses_no_delta(db: Database, tenant_id: int) -> None:
    collections, cash = await codes(db, tenant_id)

    async def write() -> None:
        for _ in range(15):
            async with db.unit_of_work(tenant_id) as session:
                await service.post(session, [paid(someone(), 3, collections, cash, uuid4()) for _ in range(5)])

    async def fold() -> int:
        folded = 0
        for _ in range(15):
            async with db.unit_of_work(tenant_id, role=Role.JOBS) as session:
                folded += await service.roll_up(session)
            await asyncio.sleep(0.005)
        return folded

    results = await asyncio.gather(write(), write(), fold(), fold())

    assert sum(result or 0 for result in results) > 0
    async with db.unit_of_work(tenant_id) as session:
        assert await queries.control_balances(session) == {collections: 450}
        assert await service.check(session, queries.LAWS) == []


async def test_an_event_without_transfers_is_posted(db: Database, tenant_id: int) -> None:
    async with db.unit_of_work(tenant_id) as session:
        entry = Entry(
            member_id=house_member(tenant_id),
            kind=EventKind.CLOCK_ADVANCED,
            business_date=DAY,
            actor=1,
            body={"to": "x"},
        )
        (fate,) = await service.post(session, [entry])
        stored = await service.stored_events(session, [(house_member(tenant_id), fate.event_id)])
    assert stored[fate.event_id].body == {"to": "x"}
    assert json.dumps(stored[fate.event_id].business_date.isoformat()) == '"2023-04-03"'


async def test_balances_at_a_business_date(db: Database, tenant_id: int) -> None:
    collections, cash = await codes(db, tenant_id)
    member = someone()
    later = Entry(
        member_id=member, kind=EventKind.CONTRIBUTION_RECEIVED, business_date=date(2023, 5, 1), actor=1,
        claims=(uuid4(),), transfers=(Transfer(5, collections, cash),),
    )  # fmt: skip
    async with db.unit_of_work(tenant_id) as session:
        await service.post(session, [later, paid(member, 100, collections, cash, uuid4())])
        assert await queries.member_balances(session, member, as_of=date(2023, 4, 30)) == {cash: 100}
        assert await queries.member_balances(session, member, as_of=date(2023, 4, 2)) == {}
        assert await queries.member_balances(session, member) == {cash: 105}
        assert await queries.member_balances(session, member, log_size=0) == {}
