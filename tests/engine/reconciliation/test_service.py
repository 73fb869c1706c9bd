"""Statements against receipts, in PostgreSQL."""

import asyncio
import dataclasses
from datetime import date
from typing import Any, cast

import psycopg
import pytest

from engine.contributions import queries as contribution_queries
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Transfer
from engine.reconciliation import service
from engine.reconciliation.errors import UnknownAccount, UnknownReceipt, UnreadableStatement
from engine.reconciliation.queries import LAWS
from engine.runtime.sealing import unseal
from integrations.banking.tabular.adapter import TabularStatements
from tests.engine.funds.conftest import BOOK, PRODUCT, Scheme, book_of

HEADER = "date,reference,amount,currency"


async def send(scheme: Scheme, *rows: tuple[str, str], account: str = "upi", note: str = "") -> service.StatementReport:
    """Import a statement of (reference, amount)."""
    raw = "\n".join([HEADER, *(f"2023-04-03,{reference},{amount},INR" for reference, amount in rows), note])
    return await service.import_statement(
        scheme.db,
        scheme.tenant,
        scheme.keys,
        TabularStatements(),
        raw.strip().encode() + b"\n",
        "upi.csv",
        account,
        "staff:3",
    )


async def state(scheme: Scheme, member: int, event: int) -> str:
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        return await service.receipt_state(session, member, event)


async def resolve(scheme: Scheme, receipt: int, member: int, amount: int) -> int:
    """Give a suspended payment to a member, as contributions does."""
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        cash = Account("cash", "INR", PRODUCT, "retirement", "own")
        suspense = Account("suspense", "INR", party="upi")
        codes = await ledger.account_codes(session, {cash, suspense})
        (fate,) = await ledger.post(
            session,
            [
                Entry(
                    member_id=member,
                    kind=EventKind.SUSPENSE_RESOLVED,
                    business_date=date(2023, 4, 3),
                    actor=1,
                    body={"resolves": str(receipt)},
                    transfers=[Transfer(amount, codes[suspense], codes[cash])],
                )
            ],
        )
        await contribution_queries.add_resolution(session, receipt, resolved_event=fate.event_id, member_id=member)
    return fate.event_id


async def test_lines_become_matches_and_matches_allocations(scheme: Scheme) -> None:
    first, second = await scheme.members(["first", "mixed"])
    events = await scheme.receive(
        [(first, {"retirement": 50000, "access": 100}, "UPI-1"), (second, {"retirement": 10000}, "UPI-2")]
    )
    assert await state(scheme, first, events[0]) == "received"
    report = await send(scheme, ("UPI-1", "501.00"), ("UPI-2", "100"))
    assert (report.line_count, report.total, report.matched, report.unmatched, report.breaks) == (2, "601.00", 2, 0, ())
    assert await state(scheme, first, events[0]) == "allocated"
    rows = await scheme.rows(
        "select member_id = :first, f.code, amount from allocations join funds f using (tenant_id, fund_id) order by 1 desc, 2, 3",
        first=first,
    )
    assert rows == [
        (True, "SM001009", 100),
        (True, "SM001009", 50000),
        (False, "SM001009", 3333),
        (False, "SM002009", 3333),
        (False, "SM003003", 3334),
    ]
    body = await scheme.rows(
        "select body ->> 'account', body ->> 'lines', body ->> 'amount', body ->> 'sha256' from events where kind = 20"
    )
    assert body == [("upi", "2", "60100", report.sha256)]
    assert not await scheme.broken()


async def test_the_whole_way_to_units_keeps_every_law(scheme: Scheme) -> None:
    members = await scheme.members(["first", "second", "mixed"])
    events = await scheme.receive([(m, {"retirement": 12345 + i}, f"UPI-{i}") for i, m in enumerate(members)])
    await scheme.receive([(members[0], {"retirement": 999}, "AGG-1")], channel="aggregator")
    await send(scheme, *((f"UPI-{i}", f"{(12345 + i) / 100:.2f}") for i in range(3)))
    await send(scheme, ("AGG-1", "9.99"), account="aggregator")
    await scheme.deal("2023-04-03")
    assert await state(scheme, members[0], events[0]) == "ordered"
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.price("2023-04-05", {"SM001009": "32.6034", "SM002009": "31.0274", "SM003003": "9.87"})
    await scheme.deal("2023-04-05")
    assert await state(scheme, members[0], events[0]) == "priced"
    assert not await scheme.broken()
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        controls = await ledger.accounts_by_code(session)
        rows = await scheme.rows("select code, sum(debits - credits)::bigint from control_deltas group by 1")
    left = {controls[code].name: amount for code, amount in rows if controls[code].asset == "INR"}
    assert set(left.values()) == {0}, left


async def test_a_line_without_receipt_waits_for_it(scheme: Scheme) -> None:
    (member,) = await scheme.members(["first"])
    report = await send(scheme, ("UPI-1", "500"), ("UPI-9", "7"))
    assert (report.matched, report.unmatched) == (0, 2)
    assert [(one.row, one.amount, one.reason) for one in report.breaks] == [
        (2, "500.00", "no-receipt"),
        (3, "7.00", "no-receipt"),
    ]
    (event,) = await scheme.receive([(member, {"retirement": 50000}, "UPI-1")])
    done = await service.match_statements(scheme.db, scheme.tenant)
    assert done == service.MatchReport(
        matched=1, matched_total="500.00", allocated_total="500.00", waiting=0, unmatched=1
    )
    assert await state(scheme, member, event) == "allocated"
    assert (await service.match_statements(scheme.db, scheme.tenant)).matched == 0
    assert not await scheme.broken()


async def test_another_amount_is_a_break_and_matches_nothing(scheme: Scheme) -> None:
    (member,) = await scheme.members(["first"])
    await scheme.receive([(member, {"retirement": 50000}, "UPI-1")])
    report = await send(scheme, ("UPI-1", "499.99"))
    assert [(one.reason, one.amount, one.received) for one in report.breaks] == [("amount-differs", "499.99", "500.00")]
    assert not await scheme.rows("select 1 from allocations")
    assert any("the receipt says 500.00" in line for line in report.lines())


async def test_a_receipt_matches_one_line_only(scheme: Scheme) -> None:
    (member,) = await scheme.members(["first"])
    await scheme.receive([(member, {"retirement": 50000}, "UPI-1")])
    report = await send(scheme, ("UPI-1", "500.00"), ("UPI-1", "500.00"))
    assert [(one.row, one.reason) for one in report.breaks] == [(3, "already-matched")]
    again = await send(scheme, ("UPI-1", "500.00"))
    assert [one.reason for one in again.breaks] == ["already-matched"]
    assert await scheme.rows("select count(*), sum(amount)::bigint from allocations") == [(1, 50000)]
    assert not await scheme.broken()


async def test_a_reference_of_another_channel_is_not_ours(scheme: Scheme) -> None:
    (member,) = await scheme.members(["first"])
    await scheme.receive([(member, {"retirement": 50000}, "X-1")], channel="aggregator")
    assert [one.reason for one in (await send(scheme, ("X-1", "500.00"))).breaks] == ["no-receipt"]


async def test_suspended_money_matches_and_is_invested_once_resolved(scheme: Scheme) -> None:
    (member,) = await scheme.members(["first"])
    (receipt,) = await scheme.receive([(None, {"retirement": 50000}, "UPI-1")])
    report = await send(scheme, ("UPI-1", "500.00"))
    house = -scheme.tenant.tenant_id
    assert (report.matched, report.unmatched) == (1, 0)
    assert await state(scheme, house, receipt) == "suspended"
    assert not await scheme.rows("select 1 from allocations")
    assert (await service.match_statements(scheme.db, scheme.tenant)).allocated_total == "0.00"
    resolved = await resolve(scheme, receipt, member, 50000)
    assert await state(scheme, member, resolved) == "matched"
    assert (await service.match_statements(scheme.db, scheme.tenant)).allocated_total == "500.00"
    assert await state(scheme, house, receipt) == "allocated"
    assert await scheme.rows("select member_id, event_id from allocations") == [(member, resolved)]
    assert not await scheme.rows("select 1 from unallocated")
    assert not await scheme.broken()


async def test_money_resolved_before_its_statement_is_invested_with_it(scheme: Scheme) -> None:
    (member,) = await scheme.members(["first"])
    (receipt,) = await scheme.receive([(None, {"retirement": 50000}, "UPI-1")])
    resolved = await resolve(scheme, receipt, member, 50000)
    assert (await send(scheme, ("UPI-1", "500.00"))).matched == 1
    assert await scheme.rows("select member_id, event_id from allocations") == [(member, resolved)]
    assert not await scheme.broken()


async def test_a_member_without_a_fund_waits_until_rules_name_one(scheme: Scheme) -> None:
    (member,) = await scheme.members(["nobody"])
    (event,) = await scheme.receive([(member, {"retirement": 50000}, "UPI-1")])
    await send(scheme, ("UPI-1", "500.00"))
    assert await state(scheme, member, event) == "matched"
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        waiting = await service.list_waiting(session)
    assert [(one.event_id, one.account, one.amount, one.reason) for one in waiting] == [
        (event, "upi", 50000, "no-fund-choice")
    ]
    book = book_of(BOOK.replace("by_group = {", "default = { SM002009 = 10000 }\nby_group = {"))
    scheme.tenant = dataclasses.replace(
        scheme.tenant, pack=dataclasses.replace(scheme.tenant.pack, books={PRODUCT: book})
    )
    assert (await service.match_statements(scheme.db, scheme.tenant)).allocated_total == "500.00"
    assert await state(scheme, member, event) == "allocated"


async def test_rules_that_go_by_joining_choose_by_cohort(scheme: Scheme) -> None:
    book = book_of(BOOK.replace("by_group = {", 'applies_by = "joining"\nby_group = {'), "2022-01-01")
    scheme.tenant = dataclasses.replace(
        scheme.tenant, pack=dataclasses.replace(scheme.tenant.pack, books={PRODUCT: book})
    )
    (old,) = await scheme.members(["first"], joined_on=date(2021, 12, 31))
    (new,) = await scheme.members(["first"], joined_on=date(2022, 1, 1))
    await scheme.receive([(old, {"retirement": 100}, "UPI-1"), (new, {"retirement": 200}, "UPI-2")])
    assert (await send(scheme, ("UPI-1", "1"), ("UPI-2", "2"))).matched == 2
    assert await scheme.rows("select member_id from allocations") == [(new,)]
    assert await scheme.rows("select member_id, reason from unallocated") == [(old, "no-fund-choice")]


async def test_a_product_without_funds_reconciles_and_deals_in_nothing(scheme: Scheme) -> None:
    pack = dataclasses.replace(
        scheme.tenant.pack,
        books={
            PRODUCT: book_of(
                '[[rule]]\nkind = "price-tolerance"\nid = "tol"\nmove_bp = 5\nsource = "test"\nconfidence = "high"\n'
            )
        },
    )
    scheme.tenant = dataclasses.replace(scheme.tenant, pack=pack)
    (member,) = await scheme.members(["first"])
    (event,) = await scheme.receive([(member, {"retirement": 50000}, "UPI-1")])
    assert (await send(scheme, ("UPI-1", "500.00"))).matched == 1
    assert await state(scheme, member, event) == "matched"
    assert not await scheme.rows("select 1 from unallocated")
    assert (await scheme.deal("2023-04-03")).closed == ()
    assert not await scheme.broken()


async def test_a_reversed_receipt_matches_and_is_not_invested(scheme: Scheme) -> None:
    (member,) = await scheme.members(["first"])
    (event,) = await scheme.receive([(member, {"retirement": 50000}, "UPI-1")])
    await scheme.rows(
        "insert into corrections (member_id, event_id, corrects_member, corrects_event, tenant_id) values (:m, 1, :m, :e, :t) returning 1",
        m=member,
        e=event,
        t=scheme.tenant.tenant_id,
    )
    assert (await send(scheme, ("UPI-1", "500.00"))).matched == 1
    assert await state(scheme, member, event) == "reversed"
    assert not await scheme.rows("select 1 from allocations")


async def test_the_same_bytes_twice_say_when_they_first_came(scheme: Scheme) -> None:
    await send(scheme, ("UPI-1", "500.00"))
    await scheme.clock("2023-04-04T04:30:00")
    again = await send(scheme, ("UPI-1", "500.00"))
    assert again.first_imported_at is not None
    assert again.first_imported_at.isoformat() == "2023-04-03T04:30:00+00:00"
    assert again.line_count == 0
    assert await scheme.rows("select count(*) from statement_lines") == [(1,)]


async def test_a_bad_row_refuses_the_whole_file_and_all_are_named(scheme: Scheme) -> None:
    with pytest.raises(UnreadableStatement) as refusal:
        await send(scheme, ("UPI-1", "500.00"), ("UPI-2", "1.001"), ("UPI-3", ""))
    assert (refusal.value.details["row"], refusal.value.details["field"]) == (3, "amount")
    assert [
        (one["row"], one["field"]) for one in cast("list[dict[str, object]]", refusal.value.details["problems"])
    ] == [
        (3, "amount"),
        (4, "amount"),
    ]
    assert not await scheme.rows("select 1 from statements")
    with pytest.raises(UnknownAccount):
        await send(scheme, ("UPI-1", "500.00"), account="mpesa")


async def test_the_file_is_kept_sealed(scheme: Scheme) -> None:
    report = await send(scheme, ("UPI-SECRET", "500.00"))
    ((document,),) = await scheme.rows("select document from statements")
    assert b"SECRET" not in document
    raw = unseal(scheme.keys, scheme.tenant.tenant_id, "statements", report.sha256, document)
    assert b"UPI-SECRET,500.00" in raw


async def test_runs_at_once_match_each_line_once(scheme: Scheme) -> None:
    members = await scheme.members(["first"] * 30)
    await send(scheme, *((f"UPI-{i}", "1") for i in range(30)))
    await scheme.receive([(m, {"retirement": 100}, f"UPI-{i}") for i, m in enumerate(members)])
    reports = await asyncio.gather(*(service.match_statements(scheme.db, scheme.tenant) for _ in range(4)))
    assert sum(report.matched for report in reports) == 30
    assert not await scheme.broken()


async def test_many_lines_go_in_chunks(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.reconciliation.service.matching.CHUNK", 7)
    monkeypatch.setattr("engine.reconciliation.service.taking.CHUNK", 7)
    members = await scheme.members(["first"] * 20)
    await scheme.receive([(m, {"retirement": 100}, f"UPI-{i}") for i, m in enumerate(members)])
    report = await send(scheme, *((f"UPI-{i}", "1" if i % 3 else "2") for i in range(22)))
    assert (report.matched, report.unmatched) == (13, 9)
    assert await scheme.rows("select sum(amount)::bigint, count(*) from allocations") == [(1300, 13)]
    assert not await scheme.broken()


async def test_an_unknown_receipt_has_no_state(scheme: Scheme) -> None:
    with pytest.raises(UnknownReceipt):
        await state(scheme, 5, 7)


async def test_another_tenant_sees_no_statement(scheme: Scheme, database_urls: tuple[str, str]) -> None:
    await send(scheme, ("UPI-1", "500.00"))
    with psycopg.connect(database_urls[0]) as connection:
        connection.execute("select set_config('app.tenant', %s, true)", (str(scheme.tenant.tenant_id + 10**6),))
        for table in (
            "statements",
            "statement_lines",
            "unmatched_lines",
            "matches",
            "unallocated",
            "settled_lines",
            "break_proposals",
        ):
            assert connection.execute(f"select count(*) from {table}").fetchone() == (0,)


DAMAGE = {
    "lines-match-once": "insert into unmatched_lines (tenant_id, statement_id, line_no) select distinct tenant_id, statement_id, line_no from matches",
    "matches-agree": "update transfers set amount = amount + 1 where event_id in (select event_id from matches)",
    "orders-are-paid-once": "insert into settled_lines (tenant_id, statement_id, line_no, how, event_id) select tenant_id, statement_id, line_no, 'order', 1 from matches where tenant_id = current_setting('app.tenant')::int",
    "reversals-are-shown-once": "insert into settled_lines (tenant_id, statement_id, line_no, how, event_id) select tenant_id, statement_id, line_no, 'reversal', 1 from matches where tenant_id = current_setting('app.tenant')::int",
    "proceeds-come-once": "insert into settled_lines (tenant_id, statement_id, line_no, how, event_id) select tenant_id, statement_id, line_no, 'proceeds', 1 from matches where tenant_id = current_setting('app.tenant')::int",
    "breaks-are-resolved-once": "insert into settled_lines (tenant_id, statement_id, line_no, how, event_id) select tenant_id, statement_id, line_no, 'cause', 1 from matches where tenant_id = current_setting('app.tenant')::int",
    "statements-are-whole": "delete from statement_lines where line_no = 2",
    "only-reconciled-cash-is-dealt": "delete from matches",
    "collections-hold-what-is-not-ordered": "delete from transfers where event_id in (select event_id from matches)",
}


@pytest.mark.parametrize("law", [law.name for law in LAWS])
async def test_damage_is_named(scheme: Scheme, superuser_url: str, database_urls: tuple[str, str], law: str) -> None:
    (member,) = await scheme.members(["first"])
    await scheme.receive([(member, {"retirement": 50000}, "UPI-1")])
    await send(scheme, ("UPI-1", "500.00"))
    info: dict[str, Any] = psycopg.conninfo.conninfo_to_dict(database_urls[0])
    (sql,) = [one.sql for one in LAWS if one.name == law]
    with psycopg.connect(superuser_url, dbname=info["dbname"]) as connection:
        connection.execute("select set_config('app.tenant', %s, true)", (str(scheme.tenant.tenant_id),))

        def found() -> list[Any]:
            connection.execute(f"set local role {info['user']}")
            rows = connection.execute(sql).fetchall()
            connection.execute("reset role")
            return rows

        assert found() == []
        connection.execute("set local session_replication_role = replica")
        connection.execute(DAMAGE[law])
        assert found()
        connection.rollback()


def test_every_law_has_its_damage() -> None:
    assert DAMAGE.keys() == {law.name for law in LAWS}
