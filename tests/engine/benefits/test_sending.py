"""Payouts by every operator: whatever it does, what is owed is paid once or comes home, and the statement says which."""

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from engine.benefits import service
from engine.benefits.errors import AccountNotChecked, NameDiffers
from engine.benefits.ports import PayoutRequest
from engine.benefits.rules.paying import Payout
from engine.benefits.service import Payers, payout_operation
from engine.kernel.clock import business_date
from engine.kernel.outcomes import Answer, Hint, Reason, RequestState
from engine.kernel.statements import Side, Statement, StatementFile, StatementKind, StatementLine
from engine.kernel.transport import Callback, Unanswered
from engine.ledger import service as ledger
from engine.outside import Joined
from engine.reconciliation import service as reconciliation
from engine.runtime.database import Database
from engine.runtime.exchanges.engine import Counterparty, Exchanges
from engine.runtime.exchanges.pacing import Pace
from engine.runtime.exchanges.transport import HttpTransport
from engine.runtime.key_file import FileKeyStore
from integrations.mobile_money.simulation import Misbehaviour
from tests.factories import payouts
from tests.factories.payouts import in_transit, owe, payable, to
from tests.factories.wallets import KINDS, Wallets, impatient, open_wallets

_files = itertools.count()


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def transport() -> AsyncIterator[HttpTransport]:
    async with impatient() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session", params=KINDS)
async def wallets(
    request: pytest.FixtureRequest,
    db: Database,
    keys: FileKeyStore,
    database_urls: tuple[str, str],
    tmp_path: Path,
    transport: HttpTransport,
) -> AsyncIterator[Wallets]:
    async with open_wallets(KINDS[request.param], db, keys, database_urls[0], tmp_path, transport) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def mtn(
    db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path, transport: HttpTransport
) -> AsyncIterator[Wallets]:
    async with open_wallets(KINDS["mtn-momo"], db, keys, database_urls[0], tmp_path, transport) as opened:
        yield opened


class Told:
    """A source whose files say what the test says."""

    def __init__(self, statement: Statement) -> None:
        self.statement = statement

    def read(self, raw: bytes, name: str) -> StatementFile:
        return StatementFile(name, hashlib.sha256(raw).hexdigest(), (self.statement,))


async def today(wallets: Wallets) -> date:
    async with wallets.db.unit_of_work(wallets.tenant.tenant_id) as session:
        return business_date(await ledger.scheme_now(session), wallets.tenant.time_zone)


async def show(wallets: Wallets, *movements: tuple[int, str]) -> None:
    """Take in a statement of (signed amount, reference), and let the background look for payouts on it."""
    tenant, day = wallets.tenant, await today(wallets)
    lines = tuple(
        StatementLine(row, Side.CREDIT if amount > 0 else Side.DEBIT, abs(amount), day, day, bank_ref=reference)
        for row, (amount, reference) in enumerate(movements, 2)
    )
    channel = next(one for one in tenant.pack.channels if one.code == wallets.kind.channel)
    statement = Statement(
        kind=StatementKind.STATEMENT, account=channel.account, currency=tenant.asset, lines=lines, opened_on=day,
        closed_on=day,
    )  # fmt: skip
    name = f"statement-{next(_files)}"
    await reconciliation.import_statement(
        wallets.db, tenant, wallets.keys, Told(statement), name.encode(), name, wallets.kind.channel, "staff:3"
    )
    await service.settle_payouts(wallets.db, wallets.keys, tenant)


async def made(wallets: Wallets, amount: int = 500, *, number: str = "", name: str = "") -> Payout:
    """Let the first member be owed `amount` in major units, and make a payout of it."""
    member, tenant = wallets.members[0], wallets.tenant
    units = amount * 10**tenant.asset.scale
    product, *part = await owe(
        wallets.db, wallets.keys, tenant, member.number, member.member_id, units, channel=wallets.kind.channel
    )
    payee = to(wallets.kind.channel, number or wallets.kind.payer, name=name)
    amounts = {(part[0], part[1]): units}
    return await payouts.instruct(wallets.db, wallets.keys, tenant, member.member_id, product, amounts, payee)


async def approved(wallets: Wallets, payout: Payout, payers: Payers | None = None) -> Payout:
    payers = payers or wallets.joined.payers
    return await payouts.approve(wallets.db, wallets.keys, wallets.tenant, payers, payout)


async def state(wallets: Wallets, payout: Payout) -> Payout:
    async with wallets.db.unit_of_work(wallets.tenant.tenant_id) as session:
        return await service.find_payout(session, wallets.keys, wallets.tenant, payout.id, actor="staff:2")


async def decided(wallets: Wallets, payout: Payout, *, seconds: float = 15) -> Payout:
    """Work until the operator has decided."""
    async with asyncio.timeout(seconds):
        while (found := await state(wallets, payout)).state not in {"succeeded", "failed"}:
            await wallets.turn()
            await asyncio.sleep(0.02)
    return found


async def owed(wallets: Wallets) -> tuple[int, int]:
    """Return what is payable to the first member, and what is in transit."""
    return (
        await payable(wallets.db, wallets.tenant, wallets.members[0].member_id),
        await in_transit(wallets.db, wallets.tenant),
    )


def units(wallets: Wallets, major: int) -> int:
    return int(major * 10**wallets.tenant.asset.scale)


@pytest.mark.parametrize("how", [None, *Misbehaviour])
async def test_whatever_the_operator_does_what_is_owed_is_paid_once(wallets: Wallets, how: Misbehaviour | None) -> None:
    payout = await approved(wallets, await made(wallets))
    if how is not None:
        wallets.simulator.misbehave(how)
    whole = units(wallets, 500)

    ended = await decided(wallets, payout)
    await wallets.rest()

    [movement] = wallets.simulator.movements
    assert dict(wallets.simulator.counts) == ({how: 1} if how else {})
    assert (ended.state, ended.reason, ended.is_settled) == ("succeeded", "", False)
    assert await owed(wallets) == (0, whole)
    assert await wallets.offences() == []
    await show(wallets, (-whole, movement.transaction))
    assert (await state(wallets, payout)).is_settled
    assert await owed(wallets) == (0, 0)
    assert await wallets.offences() == []


async def test_what_the_operator_refuses_comes_home_once_and_may_be_paid_again(wallets: Wallets) -> None:
    unwilling = await made(wallets, number=wallets.kind.unwilling)
    await approved(wallets, unwilling)
    whole = units(wallets, 500)
    assert await owed(wallets) == (0, whole)

    ended = await decided(wallets, unwilling)
    await wallets.rest()

    assert (ended.state, ended.is_settled) == ("failed", False)
    assert ended.reason
    assert await owed(wallets) == (whole, 0)
    assert wallets.simulator.movements == []
    assert await wallets.offences() == []
    member = wallets.members[0]
    async with wallets.db.unit_of_work(wallets.tenant.tenant_id) as session:
        row = (await service.list_payouts(session, wallets.tenant))[0]
    ((pot, origin, amount),) = await wallets.select(
        "select p.parts -> 0 ->> 0, p.parts -> 0 ->> 1, p.amount from payouts p"
    )
    again = await payouts.instruct(
        wallets.db, wallets.keys, wallets.tenant, member.member_id, row.product, {(pot, origin): amount},
        to(wallets.kind.channel, wallets.kind.payer), source=row.source,
    )  # fmt: skip
    await approved(wallets, again)
    assert (await decided(wallets, again)).state == "succeeded"
    assert await owed(wallets) == (0, whole)
    assert await wallets.offences() == []


async def test_two_workers_send_each_payout_once(wallets: Wallets) -> None:
    other = wallets.another_worker()
    wallets.simulator.misbehave(Misbehaviour.TWICE, 4)
    made_ones = [await made(wallets, 100 + at) for at in range(4)]
    for one in made_ones:
        await approved(wallets, one)
    for _ in range(12):
        await asyncio.gather(wallets.turn(), wallets.turn(other))
        await asyncio.sleep(0.05)
    await wallets.rest(8)

    assert len(wallets.simulator.movements) == 4
    assert [(await state(wallets, one)).state for one in made_ones] == ["succeeded"] * 4
    assert await owed(wallets) == (0, units(wallets, 406))
    assert await wallets.offences() == []


async def test_the_name_on_the_wallet_is_asked_for_before_money_moves(mtn: Wallets) -> None:
    right = await made(mtn, name="")
    assert right.name_check == "waiting"
    with pytest.raises(AccountNotChecked):
        await payouts.approve(mtn.db, mtn.keys, mtn.tenant, mtn.joined.payers, right, name_seen=False)
    wrong = await made(mtn, name="Somebody Quite Other")
    async with asyncio.timeout(15):
        while any(one.name_check == "waiting" for one in (await state(mtn, right), await state(mtn, wrong))):
            await mtn.turn()
            await asyncio.sleep(0.02)

    assert (await state(mtn, wrong)).name_check == "differs"
    assert mtn.simulator.movements == []
    with pytest.raises(NameDiffers):
        await payouts.approve(mtn.db, mtn.keys, mtn.tenant, mtn.joined.payers, wrong, name_seen=False)
    assert await mtn.select("select distinct operation from exchanges") == [("payee-checks",)]


async def test_who_is_nobody_on_the_wallet_differs(mtn: Wallets) -> None:
    nobody = await made(mtn, number="+46733123461")
    async with asyncio.timeout(15):
        while (await state(mtn, nobody)).name_check == "waiting":
            await mtn.turn()
            await asyncio.sleep(0.02)
    assert (await state(mtn, nobody)).name_check == "differs"


async def test_what_came_back_goes_home_and_only_after_it_went(mtn: Wallets) -> None:
    payout = await approved(mtn, await made(mtn))
    await decided(mtn, payout)
    [movement] = mtn.simulator.movements

    await show(mtn, (500, movement.transaction))  # the bank's order of lines is its own
    assert await owed(mtn) == (0, 500)
    await show(mtn, (-500, movement.transaction))
    assert await owed(mtn) == (500, 0)
    ended = await state(mtn, payout)
    assert (ended.state, ended.reason, ended.is_settled) == ("returned", "returned", True)
    await show(mtn, (500, movement.transaction), (-500, movement.transaction))

    assert await owed(mtn) == (500, 0)
    assert len(await mtn.select("select from unmatched_lines")) == 2
    assert await mtn.offences() == []


async def test_lines_that_are_not_exactly_a_payout_stay_for_people(mtn: Wallets) -> None:
    payout = await approved(mtn, await made(mtn))
    await decided(mtn, payout)
    [movement] = mtn.simulator.movements

    await show(mtn, (-499, movement.transaction), (-500, "ANOTHER"), (-500, ""))
    assert not (await state(mtn, payout)).is_settled
    await show(mtn, (-500, str(payout.id)), (-500, movement.transaction))

    assert (await state(mtn, payout)).is_settled
    assert len(await mtn.select("select from unmatched_lines")) == 4
    assert await mtn.offences() == []
    async with mtn.db.unit_of_work(mtn.tenant.tenant_id) as session:
        proof = await reconciliation.prove_day(session, mtn.tenant, await today(mtn))
    (account,) = [one for one in proof.accounts if one.account == "mtn-momo"]
    assert {item.kind: item.count for item in account.items} == {"out-not-booked": 4, "receipt-not-shown": 1}


async def test_the_proof_is_clean_with_payouts_in_flight_settled_and_returned(mtn: Wallets) -> None:
    ones = [await approved(mtn, await made(mtn, 100 + at)) for at in range(3)]
    for one in ones:
        await decided(mtn, one)
    ways = {int(movement.amount): movement.transaction for movement in mtn.simulator.movements}
    received = await mtn.select(
        "select l.amount, c.party from transfers l join chart c on c.code = l.debit where c.kind = 'collections'"
    )
    assert sorted(amount for amount, _ in received) == [100, 101, 102]
    tenant, day = mtn.tenant, await today(mtn)
    lines = [(-100, ways[100]), (-101, ways[101]), (101, ways[101])]
    statement = Statement(
        kind=StatementKind.STATEMENT, account="EJOHEZA COLLECTION MOMO", currency=tenant.asset,
        lines=tuple(
            StatementLine(row, Side.CREDIT if amount > 0 else Side.DEBIT, abs(amount), day, day, bank_ref=reference)
            for row, (amount, reference) in enumerate(lines, 2)
        ),
        opening=303, closing=203, opened_on=day, closed_on=day,
    )  # fmt: skip
    await reconciliation.import_statement(
        mtn.db, tenant, mtn.keys, Told(statement), b"whole", "whole", "mtn-momo", "staff:3"
    )
    await service.settle_payouts(mtn.db, mtn.keys, tenant)
    async with mtn.db.unit_of_work(tenant.tenant_id) as session:
        proof = await reconciliation.prove_day(session, tenant, day)
    (account,) = [one for one in proof.accounts if one.account == "mtn-momo"]

    assert (account.books, account.closing, account.unexplained) == ("203", "203", "0")
    assert {item.kind: item.amount for item in account.items} == {
        "before-statements": "303",
        "receipt-not-shown": "-303",
    }
    assert await owed(mtn) == (101, 102)
    assert await mtn.offences() == []


class Saying:
    """An operator that answers what it is told to, one answer a call; an exception is raised."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.answers, self.sent = list(answers), 0

    async def send(self, wanted: PayoutRequest, *, callback_url: str = "") -> Answer:
        self.sent += 1
        return await self.enquire(wanted, Answer(state=RequestState.CREATED), callback_url=callback_url)

    async def enquire(self, wanted: PayoutRequest, last: Answer, *, callback_url: str = "") -> Answer:  # noqa: ARG002
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def read_callback(self, callback: Callback) -> Hint | None:  # noqa: ARG002
        return None

    def read_enquiry_callback(self, callback: Callback) -> Answer | None:  # noqa: ARG002
        return None


def saying(wallets: Wallets, *answers: Answer | Exception) -> tuple[Saying, Joined]:
    """Return an operator that says that, and a worker joined to it."""
    operator, channel = Saying(*answers), wallets.kind.channel
    operation = payout_operation(operator, wallets.tenant, wallets.keys)
    exchanges = Exchanges(
        wallets.db,
        wallets.keys,
        {channel: Counterparty(channel, {"payouts": operation}, Pace(first_wait=0, longest_wait=0, per_second=1000))},
        lambda *_: "",
    )
    payers = Payers(exchanges, frozenset({channel}))
    return operator, Joined(exchanges, wallets.joined.collectors, payers)


SUCCEEDED = Answer(state=RequestState.SUCCEEDED, provider_ref="T1", amount="500", currency="RWF")
FAILED = Answer(state=RequestState.FAILED, reason=Reason.LIMIT, code="LIMIT")
PENDING = Answer(state=RequestState.PENDING)


async def test_an_unknown_payout_is_asked_after_and_never_sent_again(mtn: Wallets) -> None:
    operator, joined = saying(mtn, Unanswered("nothing"), Unanswered("nothing"), PENDING, SUCCEEDED)
    payout = await approved(mtn, await made(mtn), joined.payers)
    states = []
    for _ in range(5):
        await joined.exchanges.work(mtn.tenant.tenant_id)
        states.append((await state(mtn, payout)).state)

    assert states == ["sent", "sent", "pending", "succeeded", "succeeded"]
    assert operator.sent == 1
    assert await owed(mtn) == (0, 500)
    assert await mtn.offences() == []


@pytest.mark.parametrize("stated", [{"amount": "450"}, {"currency": "UGX"}])
async def test_another_amount_confirmed_waits_for_the_statement(mtn: Wallets, stated: dict[str, Any]) -> None:
    _, joined = saying(mtn, msgspec.structs.replace(SUCCEEDED, **stated))
    payout = await approved(mtn, await made(mtn), joined.payers)
    await joined.exchanges.work(mtn.tenant.tenant_id)

    found = await state(mtn, payout)
    assert (found.state, found.reason) == ("pending", "amount-differs")
    assert await owed(mtn) == (0, 500)
    await show(mtn, (-450, "T1"))
    assert not (await state(mtn, payout)).is_settled
    await show(mtn, (-500, "T1"))
    found = await state(mtn, payout)
    assert (found.state, found.reason, found.is_settled) == ("succeeded", "", True)
    assert await mtn.offences() == []


async def test_a_refusal_after_the_statement_showed_it_gone_moves_nothing(mtn: Wallets) -> None:
    _, joined = saying(mtn, PENDING, FAILED)
    payout = await approved(mtn, await made(mtn), joined.payers)
    await joined.exchanges.work(mtn.tenant.tenant_id)
    await show(mtn, (-500, str(payout.id)))
    await joined.exchanges.work(mtn.tenant.tenant_id)

    found = await state(mtn, payout)
    assert (found.state, found.reason, found.is_settled) == ("succeeded", "contradicted", True)
    assert await owed(mtn) == (0, 0)
    assert await mtn.offences() == []


async def test_a_line_of_a_payout_that_came_home_is_for_people(mtn: Wallets) -> None:
    _, joined = saying(mtn, FAILED)
    payout = await approved(mtn, await made(mtn), joined.payers)
    await joined.exchanges.work(mtn.tenant.tenant_id)
    await show(mtn, (-500, str(payout.id)))

    found = await state(mtn, payout)
    assert (found.state, found.reason, found.is_settled) == ("failed", "limit", False)
    assert await owed(mtn) == (500, 0)
    assert len(await mtn.select("select from unmatched_lines")) == 1
    assert await mtn.offences() == []


async def test_one_transaction_proves_one_payout(mtn: Wallets) -> None:
    _, joined = saying(mtn, SUCCEEDED)
    ones = [await approved(mtn, await made(mtn), joined.payers) for _ in range(2)]
    for _ in range(3):
        await joined.exchanges.work(mtn.tenant.tenant_id)

    assert sorted([(await state(mtn, one)).state for one in ones]) == ["sent", "succeeded"]
    await show(mtn, (-500, "T1"))
    assert await owed(mtn) == (0, 500)
    assert await mtn.offences() == []


async def test_statements_settled_by_two_at_once_are_booked_once(mtn: Wallets) -> None:
    _, joined = saying(mtn, PENDING)
    ones = [await approved(mtn, await made(mtn, 100 + at), joined.payers) for at in range(5)]
    await show(mtn)
    tenant, day = mtn.tenant, await today(mtn)
    lines = tuple(
        StatementLine(row, Side.DEBIT, 100 + at, day, day, bank_ref=str(one.id))
        for row, (at, one) in enumerate(enumerate(ones), 2)
    )
    statement = Statement(
        kind=StatementKind.STATEMENT, account="EJOHEZA COLLECTION MOMO", currency=tenant.asset, lines=lines,
        opened_on=day, closed_on=day,
    )  # fmt: skip
    await reconciliation.import_statement(
        mtn.db, tenant, mtn.keys, Told(statement), b"five", "five", "mtn-momo", "staff:3"
    )
    found = await asyncio.gather(*(service.settle_payouts(mtn.db, mtn.keys, tenant) for _ in range(4)))

    assert sum(one.settled for one in found) == 5
    assert await owed(mtn) == (0, 0)
    assert await mtn.offences() == []
