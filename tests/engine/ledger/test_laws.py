"""Damage planted behind the application's back: `akiba check` names each kind of it, and finds nothing in sound books."""

import secrets
from datetime import date
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import make_url

from engine.kernel.ids import house_member
from engine.ledger import queries, service
from engine.ledger.rules import Account, Entry, EventKind, Transfer
from engine.runtime.database import Database

DAMAGE = [
    ("balances-equal-transfers", "update balances set credits = credits + 1 where member_id = {member}"),
    ("balances-equal-transfers", "delete from balances where member_id = {member}"),
    ("controls-equal-transfers", "update control_deltas set debits = debits + 1"),
    ("controls-equal-transfers", "delete from control_deltas"),
    ("transfers-are-sound", "update transfers set debit = 4096 + 900 where member_id = {member}"),
    ("transfers-have-events", "delete from events where member_id = {member}"),
    ("batches-count-their-events", "update batches set n = n + 1"),
    ("batches-reach-the-log-once", "delete from unsequenced"),
    ("batches-reach-the-log-once", "insert into unsequenced select * from unsequenced"),
    ("claims-point-at-events", "update claims set event_id = event_id + 77"),
    ("contributions-claim-once", "delete from claims"),
    ("assets-balance", "update transfers set amount = amount - 1; update control_deltas set debits = debits - 1"),
    (
        "log-order-has-no-gap",
        "insert into audit_batches (tenant_id, first_seq, batch_id, n) values ({tenant}, 5, 1, 1)",
    ),
    (
        "members-never-below-zero",
        "alter table balances drop constraint balances_check; update balances set debits = credits + 1",
    ),
]


async def books(db: Database, tenant_id: int) -> int:
    member = secrets.randbits(60) | 1
    async with db.unit_of_work(tenant_id) as session:
        collections = Account("collections", "INR", party="upi")
        cash = Account("cash", "INR", product="nps-lite", pot="retirement", origin="own")
        codes = await service.account_codes(session, [collections, cash])
        await service.post(
            session,
            [
                Entry(
                    member_id=member, kind=EventKind.CONTRIBUTION_RECEIVED, business_date=date(2023, 4, 3), actor=1,
                    claims=(uuid4(),), body={"amount": "100"}, transfers=(Transfer(100, codes[collections], codes[cash]),),
                ),
                Entry(member_id=house_member(tenant_id), kind=EventKind.CLOCK_ADVANCED, business_date=date(2023, 4, 3), actor=1),
            ],
        )  # fmt: skip
    return member


async def test_sound_books_break_no_law(db: Database, tenant_id: int) -> None:
    await books(db, tenant_id)

    async with db.unit_of_work(tenant_id) as session:
        assert await service.check(session, queries.LAWS) == []


@pytest.mark.parametrize(("law", "damage"), DAMAGE, ids=[f"{law}-{number}" for number, (law, _) in enumerate(DAMAGE)])
async def test_names_the_damage(
    db: Database, tenant_id: int, superuser_url: str, database_urls: tuple[str, str], law: str, damage: str
) -> None:
    member = await books(db, tenant_id)
    url = make_url(superuser_url).set(database=make_url(database_urls[0]).database)

    # Only a superuser who switches the triggers off can do this; the laws are read in the same transaction, then undone.
    with psycopg.connect(url.render_as_string(hide_password=False)) as connection:
        connection.execute("set local session_replication_role = replica")
        for statement in damage.format(member=member, tenant=tenant_id).split(";"):
            for part in _own_tenant(statement, tenant_id):
                connection.execute(part)
        connection.execute("select set_config('app.tenant', %s, true)", (str(tenant_id),))
        connection.execute(f"set local role {make_url(database_urls[0]).username}")
        broken = {one.name for one in queries.LAWS if connection.execute(one.sql).fetchall()}
        connection.rollback()

    assert law in broken


def _own_tenant(statement: str, tenant_id: int) -> list[str]:
    """Return the statement confined to this test's tenant: a superuser is not walled off."""
    if statement.strip().startswith(("alter", "insert into audit")):
        return [statement]
    joint = "and" if " where " in statement else "where"
    return [f"{statement} {joint} tenant_id = {tenant_id}"]
