"""A request for a payment may name the product it is for: the member's terms there decide, and the money goes there."""

import secrets
from pathlib import Path
from typing import cast
from uuid import uuid4

import msgspec
import pytest
import pytest_asyncio
from sqlalchemy import text

from engine.contributions import service
from engine.contributions.errors import CannotCollect
from engine.contributions.ports import CollectionRequest, Collections
from engine.contributions.rules import Ask
from engine.enrolment import service as enrolment
from engine.enrolment.service import Enrolled
from engine.identity.errors import UnknownMember
from engine.kernel.amounts import Amount
from engine.kernel.outcomes import Answer, RequestState
from engine.runtime.database import Database
from engine.runtime.exchanges.engine import Settled
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.errors import UnknownProduct
from engine.tenancy.service import Tenant
from tests.factories import joining


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(db: Database, tmp_path: Path) -> Tenant:
    return await joining.serve(db, tmp_path)


@pytest_asyncio.fixture(loop_scope="session")
async def member(db: Database, keys: FileKeyStore, tenant: Tenant) -> Enrolled:
    (found,) = await joining.enrol(db, keys, tenant, joining.worker(tenant))
    assert isinstance(found, Enrolled), found
    return found


async def join_families(db: Database, keys: FileKeyStore, tenant: Tenant, member: Enrolled) -> None:
    async with db.unit_of_work(tenant.tenant_id) as session:
        found = await enrolment.find_member(session, keys, member.number)
        await enrolment.join_product(
            session, tenant, keys, found, "families", actor="partner:1", answers=joining.child()
        )


def asks(member: Enrolled, product: str, key: str = "k1") -> Ask:
    return Ask(
        member=member.number,
        amount="50.00",
        currency="KES",
        channel="till",
        key=key,
        sent_by="partner:1",
        product=product,
    )


def test_the_product_tells_requests_apart_and_none_leaves_them_as_they_were(member: Enrolled) -> None:
    assert len({asks(member, product).digest() for product in ("", "workers", "families")}) == 3
    bare = msgspec.to_builtins(asks(member, ""))
    del bare["product"]
    assert msgspec.convert(bare, Ask).digest() == asks(member, "").digest()


async def test_who_is_not_in_the_product_is_not_asked(
    db: Database, keys: FileKeyStore, tenant: Tenant, member: Enrolled
) -> None:
    for product, refusal in (("families", UnknownMember), ("none", UnknownProduct)):
        async with db.unit_of_work(tenant.tenant_id) as session:
            with pytest.raises(refusal):
                await service.ask_for_payment(session, keys, tenant, None, asks(member, product))
    await join_families(db, keys, tenant, member)
    async with db.unit_of_work(tenant.tenant_id) as session:
        with pytest.raises(CannotCollect):  # all that is left to refuse: nothing asks payers of the channel
            await service.ask_for_payment(session, keys, tenant, None, asks(member, "families"))


async def test_what_was_asked_for_a_product_is_posted_to_it(
    db: Database, keys: FileKeyStore, tenant: Tenant, member: Enrolled
) -> None:
    await join_families(db, keys, tenant, member)
    wanted = CollectionRequest(
        reference=uuid4(), msisdn="+254712345678", amount=Amount(5_000, tenant.asset), account=member.number
    )
    question = {
        "wanted": wanted,
        "member": member.number,
        "channel": "till",
        "sent_by": "partner:1",
        "product": "families",
    }
    # No payer is asked in this test: the operation only settles.
    operation = service.collection_operation(cast("Collections", _NeverAsked()), tenant, keys)
    paid = Answer(state=RequestState.SUCCEEDED, provider_ref=secrets.token_hex(8), amount="50.00", currency="KES")
    async with db.unit_of_work(tenant.tenant_id) as session:
        settled = Settled(wanted.reference, "till", service.COLLECTIONS, msgspec.json.encode(question), paid)
        await operation.settle(session, settled)

    assert await service.post_collected(db, keys, tenant) == 1

    async with db.unit_of_work(tenant.tenant_id) as session:
        rows = await session.execute(
            text("""select c.product, b.credits - b.debits from balances b join chart c using (tenant_id, code)
                     where b.member_id = :m"""),
            {"m": member.member_id},
        )
        assert [tuple(row) for row in rows] == [("families", 5_000)]


class _NeverAsked:
    def read_callback(self, callback: object) -> None:
        raise AssertionError(callback)
