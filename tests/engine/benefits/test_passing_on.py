"""Money that payments bring for others is paid to whom it is for: once, by two people, what statements have shown, and no more than lies there."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from engine.benefits import service
from engine.benefits.errors import NotPayable, PayoutUnderWay
from engine.benefits.rules.paying import AccountGiven, Payout
from engine.contributions import service as contributions
from engine.contributions.rules import Receipt
from engine.reconciliation import service as reconciliation
from engine.runtime.database import Database
from engine.runtime.exchanges.transport import HttpTransport
from engine.runtime.key_file import FileKeyStore
from tests.engine.benefits.test_sending import approved, decided, show
from tests.engine.contributions.test_capping import pay
from tests.factories.payouts import CHECKER, MAKER
from tests.factories.wallets import KINDS, Wallets, impatient, open_wallets

PREMIUM = """
[[rule]]
kind = "deduction-before-split"
id = "life-premium"
order = 1
purpose = "premium"
party = "insurer"
amount = "150"
once_per = "payment"
when_short = "leave-out"
source = "Invented: a life premium first"
confidence = "high"
"""


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def transport() -> AsyncIterator[HttpTransport]:
    async with impatient() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def wallets(
    db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path, transport: HttpTransport
) -> AsyncIterator[Wallets]:
    """EjoHeza, whose payments each bring 150 francs for an insurer."""
    added = {"ltss": PREMIUM}
    async with open_wallets(
        KINDS["mtn-momo"], db, keys, database_urls[0], tmp_path, transport, rules=added, scenarios=False
    ) as opened:
        yield opened


async def pay_insurer(wallets: Wallets, reference: str, number: str = "") -> Payout:
    async with wallets.db.unit_of_work(wallets.tenant.tenant_id) as session:
        return await service.pay_passed_on(
            session,
            wallets.keys,
            wallets.tenant,
            product="ltss",
            party="insurer",
            reference=reference,
            account=AccountGiven(rail="mtn-momo", number=number or wallets.kind.payer),
            actor=MAKER,
        )


async def lies_there(wallets: Wallets) -> list[tuple[int, int, int]]:
    async with wallets.db.unit_of_work(wallets.tenant.tenant_id) as session:
        return [(one.amount, one.unshown, one.waiting) for one in await service.held_for_others(session)]


async def received(wallets: Wallets, *references: str) -> list[Receipt]:
    """Payments of 700 that statements show."""
    found = []
    for reference in references:
        receipt = await pay(wallets, "700", reference)
        assert isinstance(receipt, Receipt)
        found.append(receipt)
    await show(wallets, *((700, one) for one in references))
    await reconciliation.match_statements(wallets.db, wallets.tenant)
    return found


async def test_what_statements_have_shown_is_paid_once_for_each_reference(wallets: Wallets) -> None:
    await received(wallets, "R-1", "R-2")
    await pay(wallets, "700", "R-3")
    assert await lies_there(wallets) == [(450, 150, 0)]

    made, again = await asyncio.gather(pay_insurer(wallets, "january"), pay_insurer(wallets, "january"))
    assert (made.amount, made.id) == ("300", again.id)
    assert await lies_there(wallets) == [(450, 150, 300)]
    with pytest.raises(PayoutUnderWay):
        await pay_insurer(wallets, "february")
    with pytest.raises(PayoutUnderWay):
        await pay_insurer(wallets, "january", "250788000009")
    await approved(wallets, made)
    assert await lies_there(wallets) == [(150, 150, 0)]
    assert await wallets.offences() == []
    await decided(wallets, made)
    [movement] = wallets.simulator.movements
    await show(wallets, (-300, movement.transaction))
    with pytest.raises(NotPayable):
        await pay_insurer(wallets, "february")
    await show(wallets, (700, "R-3"))
    await reconciliation.match_statements(wallets.db, wallets.tenant)
    assert (await pay_insurer(wallets, "february")).amount == "150"
    assert await wallets.offences() == []


async def test_what_was_taken_back_meanwhile_is_not_paid(wallets: Wallets) -> None:
    receipt, _ = await received(wallets, "R-1", "R-2")
    made = await pay_insurer(wallets, "january")
    async with wallets.db.unit_of_work(wallets.tenant.tenant_id) as session:
        proposed = await contributions.propose_reversal(
            session, wallets.tenant, int(receipt.receipt), reason="paid-twice", actor=MAKER
        )
    await contributions.confirm_reversal(
        wallets.db, wallets.keys, wallets.tenant, int(receipt.receipt), digest=proposed.digest, actor=CHECKER
    )

    with pytest.raises(NotPayable):
        await approved(wallets, made)
    assert await lies_there(wallets) == [(150, 0, 300)]
    assert await wallets.offences() == []
