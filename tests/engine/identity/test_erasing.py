"""Erasing a person reaches whatever is sealed of them, in any table, and waits while money is on its way."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from engine.benefits import service as benefits
from engine.contributions.rules import Payment, Receipt
from engine.contributions.service import Intake
from engine.identity import service as identity
from engine.identity.errors import MoneyOnItsWay
from engine.kernel.clock import business_date
from engine.ledger import service as ledger
from engine.runtime.database import Database
from engine.runtime.exchanges.transport import HttpTransport
from engine.runtime.key_file import FileKeyStore
from tests.engine.benefits import test_sending as sending
from tests.factories import payouts
from tests.factories.suspense import give
from tests.factories.wallets import KINDS, Wallets, impatient, open_wallets

OWN_KEY = {("heirs", "document"), ("verifications", "document"), ("sign_ins", "document")}
"""What is sealed under the member's own key, which is gone."""


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def transport() -> AsyncIterator[HttpTransport]:
    async with impatient() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def mtn(
    db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path, transport: HttpTransport
) -> AsyncIterator[Wallets]:
    async with open_wallets(KINDS["mtn-momo"], db, keys, database_urls[0], tmp_path, transport) as opened:
        yield opened


async def left(at: Wallets, member_id: int) -> dict[str, int]:
    """Return how many sealed values of a member are left by table: wherever a row names them, and in what they were part of."""
    columns = await at.select(
        """select b.table_name, b.column_name from information_schema.columns b
             join information_schema.columns m on m.table_schema = b.table_schema and m.table_name = b.table_name
            where b.table_schema = 'public' and b.data_type = 'bytea' and m.column_name = 'member_id'"""
    )
    assert {("collections", "document"), ("payouts", "document"), ("vault", "document")} <= set(columns)
    found = {}
    for table, column in sorted(set(columns) - OWN_KEY):
        rows = await at.select(
            f"select count(*) from {table} where member_id = {member_id} and {column} is not null and {column} <> ''"
        )
        found[table] = rows[0][0]
    for what, sql in {
        "exchanges": "select question from exchanges union all select answer from exchanges",
        "exchange_messages": "select document from exchange_messages",
        "collected": "select document from collected",
        "suspense": "select document from suspense",
    }.items():
        rows = await at.select(
            f"select count(*) from ({sql}) w(document) where document is not null and document <> ''"
        )
        found[what] = rows[0][0]
    return {table: count for table, count in found.items() if count}


async def erase(at: Wallets, member_id: int) -> None:
    async with at.db.unit_of_work(at.tenant.tenant_id) as session:
        today = business_date(await ledger.scheme_now(session), at.tenant.time_zone)
        await identity.erase(session, member_id, actor="staff:3", business_date=today)


async def test_after_erasing_no_table_opens(mtn: Wallets, db: Database, keys: FileKeyStore) -> None:
    member, other = mtn.members[:2]
    asked = await mtn.collect(product=mtn.kind.product)
    with pytest.raises(MoneyOnItsWay):
        await erase(mtn, member.member_id)
    await mtn.settled(asked["reference"])
    stray = Payment(
        member="100000000000", amount="700", currency="RWF", channel=mtn.kind.channel,
        reference=f"S-{secrets.token_hex(6)}", sent_by="partner:1",
    )  # fmt: skip
    (receipt,) = await Intake(db, keys).receive_many(mtn.tenant, [stray])
    assert isinstance(receipt, Receipt)
    await give(db, keys, mtn.tenant, int(receipt.receipt), member=member.number)
    product, pot, origin = await payouts.owe(
        db, keys, mtn.tenant, member.number, member.member_id, 5_000, channel=mtn.kind.channel
    )
    payout = await payouts.instruct(
        db,
        keys,
        mtn.tenant,
        member.member_id,
        product,
        {(pot, origin): 5_000},
        payouts.to(mtn.kind.channel, mtn.kind.payer),
    )
    with pytest.raises(MoneyOnItsWay):
        await erase(mtn, member.member_id)
    async with db.unit_of_work(mtn.tenant.tenant_id) as session:
        await benefits.refuse(session, keys, mtn.tenant, payout.id, actor="staff:2")
    before = await left(mtn, member.member_id)
    await erase(mtn, member.member_id)
    after = await left(mtn, member.member_id)
    offences = await mtn.offences()
    async with db.unit_of_work(mtn.tenant.tenant_id) as session:
        shown = await benefits.find_payout(session, keys, mtn.tenant, payout.id, actor="staff:2")
    answer = await mtn.ask("GET", f"/v1/collections/{asked['reference']}")
    asked_of_another = await mtn.settled((await mtn.collect(member=other.number))["reference"])

    expected = {
        "collections",
        "payouts",
        "vault",
        "member_keys",
        "exchanges",
        "exchange_messages",
        "collected",
        "suspense",
    }
    assert expected <= set(before)
    assert after == {}
    assert (shown.payee, shown.number, shown.amount) == ("", "", "5000")
    assert answer.status_code == 404
    assert asked_of_another["state"] == "succeeded"
    assert offences == []


async def test_what_was_said_is_not_changed_but_emptied(mtn: Wallets) -> None:
    await mtn.settled((await mtn.collect())["reference"])
    for change in ("set kind = 'received'", "set document = 'x'", "set document = '', call_no = 9"):
        with pytest.raises(Exception, match=r"append-only|permission denied"):
            await mtn.select(f"update exchange_messages {change} returning 1")


async def test_the_law_sees_what_was_left(mtn: Wallets) -> None:
    member = mtn.members[0]
    await mtn.settled((await mtn.collect())["reference"])
    await erase(mtn, member.member_id)
    await mtn.select(f"update collections set document = 'x' where member_id = {member.member_id} returning 1")
    assert [one.law for one in await mtn.offences()] == ["of-the-erased-nothing-opens"]


async def test_a_payout_is_settled_and_comes_home_after_its_member_was_erased(mtn: Wallets) -> None:
    payout = await sending.approved(mtn, await sending.made(mtn))
    with pytest.raises(MoneyOnItsWay):
        await erase(mtn, mtn.members[0].member_id)
    await sending.decided(mtn, payout)
    await mtn.rest()
    await erase(mtn, mtn.members[0].member_id)
    [movement] = mtn.simulator.movements
    whole = sending.units(mtn, 500)
    await sending.show(mtn, (-whole, movement.transaction))
    settled, owed = await sending.state(mtn, payout), await sending.owed(mtn)
    await sending.show(mtn, (whole, movement.transaction))

    assert (settled.state, settled.is_settled, settled.number) == ("succeeded", True, "")
    assert owed == (0, 0)
    assert (await sending.state(mtn, payout)).state == "returned"
    assert await sending.owed(mtn) == (whole, 0)
    assert await mtn.offences() == []
