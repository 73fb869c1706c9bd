"""Members asked for money through every operator: whatever it does, what was truly paid is posted, once, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
import pytest_asyncio

from engine.app import Deployment, adapter
from engine.benefits.service import Payers
from engine.contributions.ports import CollectionRequest
from engine.contributions.service import Collectors, collecting, collection_operation
from engine.kernel.outcomes import Answer, Hint, RequestState
from engine.kernel.transport import Callback
from engine.outside import Joined, OutsideWork, calling, open_untold, register
from engine.runtime.counterparty_file import CounterpartyFile
from engine.runtime.database import Database
from engine.runtime.exchanges import callbacks
from engine.runtime.exchanges.engine import Counterparty, Exchanges
from engine.runtime.exchanges.pacing import Pace
from engine.runtime.exchanges.transport import HttpTransport
from engine.runtime.key_file import FileKeyStore
from engine.runtime.private_files import write_private
from engine.runtime.settings import load_settings
from engine.worker import turn_outside
from integrations.mobile_money.mpesa_daraja.simulator import DarajaSimulator
from integrations.mobile_money.mpesa_daraja.wire import short_reference
from integrations.mobile_money.simulation import Misbehaviour
from tests.api.site import one_process
from tests.factories.suspense import give
from tests.factories.wallets import KINDS, Wallets, impatient, open_wallets


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


@pytest.mark.parametrize("how", [None, *Misbehaviour])
async def test_whatever_the_operator_does_what_was_paid_is_posted_once(
    wallets: Wallets, how: Misbehaviour | None
) -> None:
    if how is not None:
        wallets.simulator.misbehave(how)
    asked = await wallets.collect(product=wallets.kind.product)
    if how is Misbehaviour.UNAVAILABLE and not wallets.kind.deduplicates:
        await wallets.rest()
        assert (await wallets.status(asked["reference"]))["state"] == "sent"  # never asked twice, never given up
        assert await wallets.payments() == []
        return

    status = await wallets.settled(asked["reference"])
    await wallets.rest()

    [movement] = wallets.simulator.movements
    assert dict(wallets.simulator.counts) == ({how: 1} if how else {})
    assert (asked["state"], status["state"], status["receipt_state"]) == ("created", "succeeded", "received")
    assert status["product"] == wallets.kind.product
    assert await wallets.payments() == [("10", 500 * 10**wallets.tenant.asset.scale)]
    answer = await wallets.ask("GET", f"/v1/members/{wallets.members[0].number}/statement")
    assert answer.status_code == 200
    # The operator's own number is the payment's, for ever: who reports it once more changes nothing.
    again = await wallets.ask(
        "POST",
        "/v1/contributions",
        wallets.body("500", product=wallets.kind.product, reference=movement.transaction),
        key="reported-as-well",
    )
    assert (again.status_code, again.json()["receipt"]) == (201, status["receipt"])
    assert await wallets.offences() == []


async def test_who_cannot_or_will_not_pay_is_told_apart(wallets: Wallets) -> None:
    poor = await wallets.collect(phone=wallets.kind.poor)
    unwilling = await wallets.collect(phone=wallets.kind.unwilling)

    ends = [await wallets.settled(one["reference"]) for one in (poor, unwilling)]

    assert [(one["state"], one["reason"]) for one in ends] == [
        ("failed", "insufficient-funds"),
        ("failed", "payer-rejected"),
    ]
    assert await wallets.payments() == []
    assert await wallets.offences() == []


async def test_two_workers_and_every_callback_at_once_post_once(wallets: Wallets) -> None:
    other = wallets.another_worker()
    wallets.simulator.misbehave(Misbehaviour.TWICE, 6)
    asked = [await wallets.collect(str(100 + at)) for at in range(6)]

    async def work() -> None:
        for _ in range(15):
            await asyncio.gather(wallets.turn(), wallets.turn(other))
            await asyncio.sleep(0.05)

    await work()
    await wallets.simulator.settle()
    await work()

    scale = 10**wallets.tenant.asset.scale
    assert [(await wallets.status(one["reference"]))["state"] for one in asked] == ["succeeded"] * 6
    assert sorted(await wallets.payments()) == [("10", (100 + at) * scale) for at in range(6)]
    assert len(wallets.simulator.movements) == 6
    assert await wallets.offences() == []


async def test_a_strangers_callback_leaves_nothing(wallets: Wallets) -> None:
    async with httpx.AsyncClient() as client:
        for tenant in (wallets.tenant.code, "xx-nobody"):
            url = f"{wallets.address}/callbacks/{tenant}/{wallets.kind.channel}/guessed"
            answers = [await client.put(url, json={"status": "SUCCESSFUL"}), await client.post(url, content=b"\xff")]
            assert [one.status_code for one in answers] == [200, 200]
        url = f"{wallets.address}/callbacks/{wallets.tenant.code}/{wallets.kind.channel}/guessed"
        too_long = await client.post(url, content=b"x" * (256 * 1024 + 1))

    assert too_long.status_code == 413
    assert await wallets.select("select count(*) from callbacks") == [(0,)]


@pytest_asyncio.fixture(loop_scope="session")
async def pay_bill(
    db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path, transport: HttpTransport
) -> AsyncIterator[Wallets]:
    """A pay-bill number whose operator tells of every payment in."""
    async with open_wallets(KINDS["mpesa-daraja"], db, keys, database_urls[0], tmp_path, transport) as opened:
        told = await register(opened.joined, db, opened.tenant, "mpesa")
        assert told.is_told
        assert told.address.startswith(f"{opened.address}/callbacks/{opened.tenant.code}/mpesa.in/")
        yield opened


def till(wallets: Wallets) -> DarajaSimulator:
    assert isinstance(wallets.simulator, DarajaSimulator)
    return wallets.simulator


@pytest.mark.parametrize("how", [None, Misbehaviour.TWICE, Misbehaviour.LATE, Misbehaviour.WRONG_AMOUNT])
async def test_what_a_member_pays_unasked_is_a_contribution(pay_bill: Wallets, how: Misbehaviour | None) -> None:
    if how:
        pay_bill.simulator.misbehave(how)
    await till(pay_bill).pay_in("250", "254712345678", pay_bill.members[0].number)

    await pay_bill.rest(8)

    assert await pay_bill.payments() == [("10", 250_00)]
    assert await pay_bill.offences() == []


async def test_what_nobody_knows_lies_in_suspense_and_what_is_forged_nowhere(pay_bill: Wallets) -> None:
    await till(pay_bill).pay_in("250", "254712345678", "SHOP 17")
    pay_bill.simulator.misbehave(Misbehaviour.FORGED)
    await till(pay_bill).pay_in("300", "254712345678", pay_bill.members[0].number)

    await pay_bill.rest(8)

    assert await pay_bill.payments() == [("11", 250_00)]
    [held] = (await pay_bill.ask("GET", "/v1/suspense")).json()
    assert (held["reason"], held["channel"]) == ("bad-check-digit", "mpesa")
    number = pay_bill.members[0].number
    resolved = await give(pay_bill.db, pay_bill.keys, pay_bill.tenant, int(held["receipt"]), member=number)
    assert resolved.amount == "250.00"
    assert await pay_bill.offences() == []


async def test_a_collection_that_is_told_of_as_a_payment_in_too_is_posted_once(pay_bill: Wallets) -> None:
    asked = await pay_bill.collect("400")

    status = await pay_bill.settled(asked["reference"])
    await pay_bill.rest(8)

    assert (status["state"], status["paid"], status["receipt_state"]) == ("succeeded", "400.00", "received")
    assert await pay_bill.payments() == [("10", 400_00)]
    assert await pay_bill.select("select count(*), count(distinct event_id) from collected") == [(2, 1)]
    assert await pay_bill.offences() == []


async def test_who_pays_by_hand_after_a_prompt_that_failed_is_credited_and_who_pays_twice_twice(
    pay_bill: Wallets,
) -> None:
    failed = await pay_bill.collect("400", phone=pay_bill.kind.unwilling)
    assert (await pay_bill.settled(failed["reference"]))["state"] == "failed"
    account = short_reference(UUID(failed["reference"]))

    await till(pay_bill).pay_in("400", "254712345678", account)
    await till(pay_bill).pay_in("150", "254712345678", account.lower())
    await pay_bill.rest(8)

    assert sorted(await pay_bill.payments()) == [("10", 150_00), ("10", 400_00)]
    assert (await pay_bill.status(failed["reference"]))["state"] == "failed"
    assert await pay_bill.offences() == []


async def test_a_confirmation_replayed_for_another_member_moves_nothing(pay_bill: Wallets) -> None:
    first, second = pay_bill.members
    receipt = await till(pay_bill).pay_in("250", "254712345678", first.number)
    await pay_bill.rest(8)
    standing = till(pay_bill)._urls["confirmation"]
    forged = {
        "TransID": receipt,
        "TransAmount": "250.00",
        "BillRefNumber": second.number,
        "TransactionType": "Pay Bill",
    }
    async with httpx.AsyncClient() as client:
        answer = await client.post(standing, json=forged)
    await pay_bill.rest(8)

    assert (answer.status_code, answer.json()["ResultCode"]) == (200, "0")
    assert await pay_bill.payments() == [("10", 250_00)]
    assert await pay_bill.select("select verdict from callbacks order by callback_id") == [("opened",), ("late",)]
    assert await pay_bill.offences() == []


async def test_what_nobody_told_of_is_found_and_posted_once(pay_bill: Wallets) -> None:
    first, second = pay_bill.members
    await till(pay_bill).pay_in("100", "254712345678", first.number)
    pay_bill.simulator.misbehave(Misbehaviour.DROPPED, 2)
    await till(pay_bill).pay_in("250", "254712345678", first.number)
    await till(pay_bill).pay_in("300", "254712345678", second.number)
    await pay_bill.rest(8)
    assert await pay_bill.payments() == [("10", 100_00)]

    looks = [
        await open_untold(pay_bill.db, pay_bill.tenant, one, "mpesa")
        for one in (pay_bill.joined, pay_bill.another_worker())
    ]
    await pay_bill.rest(8)

    assert looks == [2, 0]
    assert sorted(await pay_bill.payments()) == [("10", 100_00), ("10", 250_00), ("10", 300_00)]
    assert await pay_bill.offences() == []


async def test_one_confirmation_a_hundred_times_at_once_is_one_payment(pay_bill: Wallets) -> None:
    """Some of them byte for byte the same, some not, while two workers read."""
    receipt = await till(pay_bill).pay_in("250", "254712345678", pay_bill.members[0].number)
    said = {"TransID": receipt, "TransAmount": "250.00", "BillRefNumber": pay_bill.members[0].number}
    other, url = pay_bill.another_worker(), till(pay_bill)._urls["confirmation"]

    async def work() -> None:
        for _ in range(10):
            await asyncio.gather(pay_bill.turn(), pay_bill.turn(other))

    async with httpx.AsyncClient(timeout=60) as client:
        posts = [client.post(url, json=said | {"TransTime": str(at % 10)}) for at in range(100)]
        answers, _ = await asyncio.gather(asyncio.gather(*posts), work())
    await work()

    assert {one.status_code for one in answers} == {200}
    assert await pay_bill.select("select count(*) from callbacks") == [(11,)]
    assert await pay_bill.payments() == [("10", 250_00)]
    assert await pay_bill.offences() == []


async def test_a_worker_until_idle_does_what_is_due(mtn: Wallets) -> None:
    asked = await mtn.collect("500")
    settings = load_settings({"data_dir": mtn.folder}, environment={}, working_dir=mtn.folder)
    deployment = Deployment(settings, mtn.db, mtn.keys, one_process([mtn.tenant]))
    file = CounterpartyFile(settings.counterparties_file)
    async with calling(mtn.db, mtn.keys, file, mtn.address, adapter) as outside:
        async with asyncio.timeout(15):
            while "receipt" not in await mtn.status(asked["reference"]):
                await turn_outside(deployment, outside)

    assert await mtn.payments() == [("10", 500)]


async def test_the_workers_tasks_collect_by_themselves(mtn: Wallets) -> None:
    file = CounterpartyFile(mtn.folder / "counterparties.toml")
    async with calling(mtn.db, mtn.keys, file, mtn.address, adapter) as outside:
        work = OutsideWork(mtn.db, mtn.keys, outside)
        for _ in range(2):  # told twice, working once
            work.follow(mtn.tenant)
        asked = await mtn.collect("500")
        async with asyncio.timeout(15):
            while "receipt" not in await mtn.status(asked["reference"]):  # noqa: ASYNC110 - seen from outside alone
                await asyncio.sleep(0.1)
        await work.stop()

    assert await mtn.payments() == [("10", 500)]


async def test_a_tenant_whose_file_is_wrong_is_joined_to_nobody_and_keeps_callbacks(pay_bill: Wallets) -> None:
    url = till(pay_bill)._urls["confirmation"]
    receipt = await till(pay_bill).pay_in("250", "254712345678", pay_bill.members[0].number)
    file = pay_bill.folder / "counterparties.toml"
    right = file.read_bytes()
    write_private(file, right.replace(b"shortcode", b"shortcod"))
    broken = pay_bill.another_worker()
    write_private(file, right)
    callback = Callback(method="POST", body=b'{"TransID":"%s","TransAmount":"250.00"}' % receipt.encode())
    await callbacks.take(broken.exchanges, pay_bill.tenant.tenant_id, "mpesa.in", url.rsplit("/", 1)[1], callback)

    assert (broken.exchanges.counterparties, broken.collectors.by_channel) == ({}, {})
    assert (await pay_bill.select("select count(*) from callbacks"))[0][0] == 2
    await pay_bill.rest(8)
    assert await pay_bill.payments() == [("10", 250_00)]


class Stating:
    """An operator that confirms every collection at once, by what it is told to state."""

    def __init__(self, **stated: str) -> None:
        self.stated = stated

    async def request(self, wanted: CollectionRequest, *, callback_url: str = "") -> Answer:  # noqa: ARG002
        stated = {"provider_ref": f"T{wanted.reference.hex[:12]}"} | self.stated
        return Answer(state=RequestState.SUCCEEDED, **stated)  # type: ignore[arg-type]

    async def enquire(self, wanted: CollectionRequest, last: Answer, *, callback_url: str = "") -> Answer:  # noqa: ARG002
        return await self.request(wanted)

    def read_callback(self, callback: Callback) -> Hint | None:  # noqa: ARG002
        return None

    def account_of(self, reference: UUID) -> str:  # noqa: ARG002
        return ""


@pytest_asyncio.fixture(loop_scope="session")
async def mtn(
    db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path, transport: HttpTransport
) -> AsyncIterator[Wallets]:
    async with open_wallets(KINDS["mtn-momo"], db, keys, database_urls[0], tmp_path, transport) as opened:
        yield opened


def stating(wallets: Wallets, **stated: str) -> Joined:
    """Return the counterparties of a worker whose operator states that."""
    collections, channel = Stating(**stated), wallets.kind.channel
    operation = collection_operation(collections, wallets.tenant, wallets.keys)
    pace = Pace(first_wait=0, longest_wait=0, per_second=1000)
    exchanges = Exchanges(
        wallets.db, wallets.keys, {channel: Counterparty(channel, {"collections": operation}, pace)}, lambda *_: ""
    )
    return Joined(exchanges, Collectors(exchanges, {channel: collections}), Payers(exchanges))


@pytest.mark.parametrize(
    ("stated", "paid", "posted"),
    [
        ({"amount": "400", "currency": "RWF"}, "400", [("10", 400)]),
        ({"amount": "650.00", "currency": "RWF"}, "650", [("10", 650)]),
        ({}, "500", [("10", 500)]),  # an operator that confirms without naming the amount confirms what was asked
    ],
)
async def test_what_was_truly_paid_is_posted(
    mtn: Wallets, stated: dict[str, str], paid: str, posted: list[tuple[str, int]]
) -> None:
    asked = await mtn.collect("500")
    await mtn.turn(stating(mtn, **stated))

    status = await mtn.status(asked["reference"])
    assert (status["state"], status["amount"], status["paid"]) == ("succeeded", "500", paid)
    assert await mtn.payments() == posted
    assert await mtn.offences() == []


@pytest.mark.parametrize(
    ("stated", "refusal"),
    [
        ({"amount": "400", "currency": "USD"}, "contributions.wrong-currency"),
        ({"amount": "400.50", "currency": "RWF"}, "contributions.amount-not-whole"),
        ({"amount": "0", "currency": "RWF"}, "contributions.amount-not-positive"),
        ({"amount": "four hundred"}, "contributions.amount-not-whole"),
    ],
)
async def test_money_that_the_books_cannot_hold_waits_for_people(
    mtn: Wallets, stated: dict[str, str], refusal: str
) -> None:
    asked = await mtn.collect("500")
    await mtn.turn(stating(mtn, **stated))

    status = await mtn.status(asked["reference"])
    unsettled = (await mtn.ask("GET", "/v1/collections/unsettled")).json()
    assert (status["state"], status["refusal"], "receipt" in status) == ("succeeded", refusal, False)
    assert [(one["reference"], one["why"], one["reason"]) for one in unsettled] == [
        (asked["reference"], "refused", refusal)
    ]
    assert await mtn.payments() == []
    assert await mtn.offences() == []


async def test_a_payment_that_the_terms_refuse_is_held_since_it_has_come(pay_bill: Wallets) -> None:
    asked = await pay_bill.collect("500")
    await pay_bill.turn(stating(pay_bill, amount="0.50", currency="KES"))

    status = await pay_bill.status(asked["reference"])
    [held] = (await pay_bill.ask("GET", "/v1/suspense")).json()
    assert (status["state"], status["receipt_state"], status["paid"]) == ("succeeded", "suspended", "0.50")
    assert (held["reason"], held["receipt"]) == ("not-taken", status["receipt"])
    assert await pay_bill.payments() == [("11", 50)]
    assert await pay_bill.offences() == []


async def test_a_transaction_that_proves_two_requests_proves_one(mtn: Wallets) -> None:
    asked = [await mtn.collect("500"), await mtn.collect("500")]
    await mtn.turn(stating(mtn, provider_ref="T1", amount="500", currency="RWF"))

    states = sorted([(await mtn.status(one["reference"]))["state"] for one in asked])
    unsettled = (await mtn.ask("GET", "/v1/collections/unsettled")).json()
    assert states == ["sent", "succeeded"]
    assert [one["why"] for one in unsettled] == ["twice-claimed"]
    assert await mtn.payments() == [("10", 500)]
    assert await mtn.offences() == []


async def test_a_transaction_that_was_reported_otherwise_before_is_not_posted_again(mtn: Wallets) -> None:
    before = await mtn.ask(
        "POST", "/v1/contributions", mtn.body("500", member=mtn.members[1].number, reference="T2"), key="k"
    )
    assert before.status_code == 201
    asked = await mtn.collect("500")
    await mtn.turn(stating(mtn, provider_ref="T2", amount="500", currency="RWF"))

    assert (await mtn.status(asked["reference"]))["refusal"] == "contributions.key-reused"
    assert await mtn.payments() == [("10", 500)]
    assert await mtn.offences() == []


async def test_the_same_key_asks_once(mtn: Wallets) -> None:
    first = await mtn.collect("500", key='"k1"')
    again = await asyncio.gather(*(mtn.collect("500", key="k1") for _ in range(6)))
    other = await mtn.ask("POST", "/v1/collections", mtn.body("600"), key="k1")

    assert {one["reference"] for one in again} == {first["reference"]}
    assert (other.status_code, other.json()["code"]) == (422, "contributions.key-reused")
    await mtn.settled(first["reference"])
    assert (await mtn.collect("500", key="k1"))["state"] == "succeeded"
    assert len(mtn.simulator.movements) == 1


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"member": "2000000006"}, 404, "identity.unknown-member"),
        ({"amount": "0.5"}, 422, "contributions.amount-not-whole"),
        ({"amount": "0"}, 422, "contributions.amount-not-positive"),
        ({"currency": "USD"}, 422, "contributions.wrong-currency"),
        ({"channel": "cash"}, 422, "contributions.unknown-channel"),
        ({"channel": "airtel-money"}, 409, "contributions.cannot-collect"),
        ({"phone": "12"}, 422, "identity.unusable-phone"),
    ],
)
async def test_what_cannot_be_asked_is_refused_and_nobody_is_asked(
    mtn: Wallets, change: dict[str, str], status: int, code: str
) -> None:
    answer = await mtn.ask("POST", "/v1/collections", mtn.body() | change, key="k")

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await mtn.select("select count(*) from exchanges") == [(0,)]
    assert (await mtn.ask("POST", "/v1/collections", mtn.body())).status_code == 400


async def test_what_stays_unknown_is_shown_to_people(pay_bill: Wallets, monkeypatch: pytest.MonkeyPatch) -> None:
    pay_bill.simulator.misbehave(Misbehaviour.UNAVAILABLE)
    asked = await pay_bill.collect("400")
    await pay_bill.rest(8)
    early = (await pay_bill.ask("GET", "/v1/collections/unsettled")).json()
    monkeypatch.setattr(collecting, "UNKNOWN_MINUTES", 0)

    [shown] = (await pay_bill.ask("GET", "/v1/collections/unsettled")).json()

    assert early == []
    assert (shown["reference"], shown["channel"], shown["why"]) == (asked["reference"], "mpesa", "unknown")
