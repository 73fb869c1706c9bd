"""Money in suspense goes back to whoever paid it, once, by two people; or it is a member's, or taken back: never two of them."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from engine.benefits import service
from engine.benefits.errors import NotReconciled, PayoutUnderWay
from engine.benefits.rules.paying import AccountGiven, Payout
from engine.contributions import service as contributions
from engine.contributions.errors import AlreadyResolved, UnknownSuspense
from engine.contributions.rules import Payment, Receipt
from engine.contributions.service import Intake
from engine.kernel.ids import house_member
from engine.reconciliation import service as reconciliation
from engine.runtime.database import Database
from engine.runtime.exchanges.transport import HttpTransport
from engine.runtime.key_file import FileKeyStore
from tests.engine.benefits.test_sending import approved, decided, show, state
from tests.factories.payouts import MAKER, in_transit
from tests.factories.suspense import give
from tests.factories.wallets import KINDS, Wallets, impatient, open_wallets


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


async def suspended(wallets: Wallets, *, is_shown: bool = True) -> int:
    """Let somebody nobody knows pay 500; return the receipt."""
    reference = f"S-{secrets.token_hex(8)}"
    paid = Payment(
        member="2000000000", amount="500", currency="RWF", channel="mtn-momo", reference=reference, sent_by="partner:1",
    )  # fmt: skip
    (receipt,) = await Intake(wallets.db, wallets.keys).receive_many(wallets.tenant, [paid])
    assert isinstance(receipt, Receipt), receipt
    assert receipt.state == "suspended"
    if is_shown:
        await show(wallets, (500, reference))
    return int(receipt.receipt)


async def refund(wallets: Wallets, receipt: int, *, number: str = "", name: str = "") -> Payout:
    account = AccountGiven(rail="mtn-momo", number=number or wallets.kind.payer)
    async with wallets.db.unit_of_work(wallets.tenant.tenant_id) as session:
        return await service.refund(
            session, wallets.keys, wallets.tenant, receipt=receipt, account=account, name=name, actor=MAKER
        )


async def resolve(wallets: Wallets, receipt: int) -> Receipt:
    return await give(wallets.db, wallets.keys, wallets.tenant, receipt, member=wallets.members[0].number)


async def held(wallets: Wallets) -> list[str]:
    async with wallets.db.unit_of_work(wallets.tenant.tenant_id) as session:
        return [one.receipt for one in await contributions.list_suspense(session, wallets.tenant)]


async def receipt_state(wallets: Wallets, receipt: int) -> str:
    async with wallets.db.unit_of_work(wallets.tenant.tenant_id) as session:
        return await reconciliation.receipt_state(session, house_member(wallets.tenant.tenant_id), receipt)


async def test_money_in_suspense_goes_back_once_a_second_person_approves(mtn: Wallets) -> None:
    receipt = await suspended(mtn)
    made = await refund(mtn, receipt)
    assert (made.state, made.amount, made.source, made.product) == ("created", "500", f"suspense:{receipt}", "")
    assert (await refund(mtn, receipt)).id == made.id
    with pytest.raises(PayoutUnderWay):
        await refund(mtn, receipt, name="Another")
    assert await held(mtn) == [str(receipt)]

    await approved(mtn, made)
    assert (await held(mtn), await in_transit(mtn.db, mtn.tenant)) == ([], 500)
    assert await receipt_state(mtn, receipt) == "refunded"
    with pytest.raises(AlreadyResolved):
        await resolve(mtn, receipt)
    assert (await refund(mtn, receipt)).id == made.id
    await decided(mtn, made)
    [movement] = mtn.simulator.movements
    await show(mtn, (-500, movement.transaction))

    assert (await state(mtn, made)).is_settled
    assert await in_transit(mtn.db, mtn.tenant) == 0
    assert await mtn.offences() == []


async def test_what_is_refused_or_comes_back_lies_in_suspense_again(mtn: Wallets) -> None:
    receipt = await suspended(mtn)
    unwilling = await refund(mtn, receipt, number=mtn.kind.unwilling)
    await approved(mtn, unwilling)
    assert (await decided(mtn, unwilling)).state == "failed"
    assert (await held(mtn), await receipt_state(mtn, receipt)) == ([str(receipt)], "suspended")
    assert await mtn.offences() == []

    second = await refund(mtn, receipt)
    assert second.id != unwilling.id
    await approved(mtn, second)
    await decided(mtn, second)
    [movement] = mtn.simulator.movements
    await show(mtn, (-500, movement.transaction), (500, movement.transaction))
    assert (await state(mtn, second)).state == "returned"
    assert (await held(mtn), await in_transit(mtn.db, mtn.tenant)) == ([str(receipt)], 0)
    assert await mtn.offences() == []

    given = await resolve(mtn, receipt)
    await reconciliation.match_statements(mtn.db, mtn.tenant)
    assert given.amount == "500"
    assert await held(mtn) == []
    with pytest.raises(AlreadyResolved):
        await refund(mtn, receipt)
    assert await mtn.offences() == []


async def test_only_what_a_statement_shows_goes_back(mtn: Wallets) -> None:
    receipt = await suspended(mtn, is_shown=False)
    with pytest.raises(NotReconciled):
        await refund(mtn, receipt)
    with pytest.raises(UnknownSuspense):
        await refund(mtn, receipt + 1)
    assert await held(mtn) == [str(receipt)]


async def test_what_a_member_got_in_between_does_not_go_back(mtn: Wallets) -> None:
    receipt = await suspended(mtn)
    made = await refund(mtn, receipt)
    await resolve(mtn, receipt)
    with pytest.raises(AlreadyResolved):
        await approved(mtn, made)
    assert await in_transit(mtn.db, mtn.tenant) == 0
    assert await mtn.offences() == []


async def test_of_a_refund_a_resolution_and_a_reversal_at_once_one_happens(mtn: Wallets) -> None:
    ends = []
    for _ in range(3):
        receipt = await suspended(mtn)
        made = await refund(mtn, receipt)
        tenant = mtn.tenant
        async with mtn.db.unit_of_work(tenant.tenant_id) as session:
            proposed = await contributions.propose_reversal(
                session, tenant, receipt, reason="paid-by-mistake", actor="staff:8"
            )
        found = await asyncio.gather(
            approved(mtn, made),
            resolve(mtn, receipt),
            contributions.confirm_reversal(mtn.db, mtn.keys, tenant, receipt, digest=proposed.digest, actor="staff:9"),
            return_exceptions=True,
        )
        done = [one for one in found if not isinstance(one, BaseException)]
        ends.append(len(done))
        assert {type(one) for one in found if isinstance(one, BaseException)} == {AlreadyResolved}
        assert await mtn.offences() == []

    assert ends == [1, 1, 1]
