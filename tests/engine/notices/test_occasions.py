"""What members are told of beside joining and paying: each occasion once, to whom it concerns, in the words of the pack."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest_asyncio

from engine.benefits.queries import paying as payout_queries
from engine.benefits.rules.paying import Payout
from engine.benefits.service import paying
from engine.funds.service import credit_interest
from engine.identity import service as identity
from engine.kernel.series import Series, SeriesPoint
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.notices.rules.contents import lessons_of
from engine.notices.service import tell_of_statements
from engine.runtime.database import Database
from engine.runtime.exchanges.transport import HttpTransport
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import advance_clock
from tests.engine.notices.test_messages import NOON, Desk, open_desk, transport
from tests.factories import payouts
from tests.factories.wallets import KINDS

__all__ = ["transport"]
OLD, NEW = "+250788200001", "+250788200002"


@pytest_asyncio.fixture(loop_scope="session")
async def desk(db: Database, keys: FileKeyStore, tmp_path: Path, transport: HttpTransport) -> AsyncIterator[Desk]:
    async with open_desk("africas-talking", db, keys, tmp_path, transport) as opened:
        await sent(opened)
        yield opened


async def happened(desk: Desk, kind: EventKind, body: dict[str, object], *, member: int = 0) -> None:
    """Post an event without money."""
    async with desk.db.unit_of_work(desk.tenant.tenant_id) as session:
        entry = Entry(
            member_id=desk.members[member].member_id,
            kind=kind,
            business_date=date(2026, 3, 4),
            actor=await ledger.actor_id(session, "staff:1"),
            body=body,
        )
        await ledger.post(session, [entry])
    await desk.sequence()


async def sent(desk: Desk) -> list[Any]:
    """Let everything go out; return what did since this was called last."""
    before = len(desk.simulator.sent)
    await desk.sequence()
    await desk.rest()
    found: list[Any] = desk.simulator.sent[before:]
    return found


async def told(desk: Desk) -> list[str]:
    """The same as texts."""
    return [one.text for one in await sent(desk)]


async def pay_out(desk: Desk, number: str, *, amount: int = 5_000) -> Payout:
    member = desk.members[0]
    product, pot, origin = await payouts.owe(
        desk.db, desk.keys, desk.tenant, member.number, member.member_id, amount, channel="mtn-momo"
    )
    await told(desk)
    return await payouts.instruct(
        desk.db,
        desk.keys,
        desk.tenant,
        member.member_id,
        product,
        {(pot, origin): amount},
        payouts.to("mtn-momo", number, name="Example"),
    )


async def stepped(desk: Desk, payout: Payout, kind: EventKind) -> None:
    """Post the event of a payout's step."""
    async with desk.db.unit_of_work(desk.tenant.tenant_id) as session:
        row = await payout_queries.find_payout(session, payout.id)
        assert row is not None
        payload = paying.opened(desk.keys, desk.tenant, row).payload
        entry = await paying.entry_of(session, desk.tenant, kind, payload, actor="system:t", rules=(), claim=kind.name)
        await ledger.post(session, [entry])


async def test_a_statement_and_a_lesson_come_by_message_when_they_are_asked_for(desk: Desk) -> None:
    await desk.pay("500")
    await told(desk)
    lesson = lessons_of(desk.tenant.pack, "en")[1]
    await happened(desk, EventKind.MESSAGE_WANTED, {"occasion": "statement-ready"})
    await happened(desk, EventKind.MESSAGE_WANTED, {"occasion": "lesson", "lesson": lesson.id})

    statement, taught = sorted(await told(desk), key=len)

    assert "04/03/2026" in statement
    assert "RWF 500" in statement
    assert taught == f"{lesson.title}. {lesson.text}"
    assert await desk.offences() == []


async def test_everybody_who_was_in_at_the_end_of_the_year_is_told_of_its_statement_once(desk: Desk) -> None:
    async def tell() -> bool:
        async with desk.db.unit_of_work(desk.tenant.tenant_id) as session:
            return await tell_of_statements(session, desk.tenant, "ltss", actor="staff:1")

    await desk.pay("500")
    await told(desk)
    assert await tell()
    early = await told(desk)  # they joined in this year: nobody was in at the end of the last one
    async with desk.db.unit_of_work(desk.tenant.tenant_id) as session:
        await advance_clock(session, desk.tenant, datetime(2027, 1, 4, 10, tzinfo=UTC), "development")
        await identity.erase(session, desk.members[1].member_id, actor="staff:1", business_date=date(2027, 1, 4))
    answers = await asyncio.gather(tell(), tell(), tell())
    texts = await told(desk)
    heard = await desk.select("select count(*) from events where kind = 183 and member_id > 0")

    assert early == []
    assert sorted(answers) == [False, False, True]
    assert len(texts) == len(desk.members) - 1
    assert all("31/12/2026" in text for text in texts)
    assert sum("RWF 500" in text for text in texts) == 1
    assert heard == [(0,)]
    assert await desk.offences() == []


async def test_who_chose_a_pin_is_told_so_with_the_member_number(desk: Desk) -> None:
    await happened(desk, EventKind.MENU_PIN_SET, {})
    [text] = await told(desk)
    assert desk.members[0].number in text


async def test_what_became_of_a_claim_is_told_to_the_claimant_alone(desk: Desk) -> None:
    for kind in (EventKind.BENEFIT_APPROVED, EventKind.BENEFIT_REFUSED, EventKind.BENEFIT_REJECTED):
        await happened(desk, kind, {"amount": "50000"})
    await happened(desk, EventKind.BENEFIT_CLAIMED, {"amount": "50000"})

    texts = await told(desk)

    assert len(texts) == 3
    assert "EjoHeza: your claim of RWF 50,000 is approved. The payment follows." in texts
    assert len([text for text in texts if "was not approved" in text]) == 2
    assert [one.occasion for one in await desk.messages(1)] == ["welcome"]


async def test_a_payout_that_arrived_or_failed_is_told_without_the_whole_account(desk: Desk) -> None:
    payout = await pay_out(desk, OLD)
    assert await told(desk) == []  # the first account is no change
    await stepped(desk, payout, EventKind.PAYOUT_SETTLED)
    await stepped(desk, payout, EventKind.PAYOUT_FAILED)

    texts = await told(desk)

    assert len(texts) == 2
    assert [text for text in texts if "RWF 5,000 was sent to MTN Mobile Money ..001" in text]
    assert [text for text in texts if "the payment of RWF 5,000 did not arrive" in text]
    assert OLD not in str(texts)


async def test_another_account_is_told_to_the_member_and_to_the_telephones_of_both(desk: Desk) -> None:
    await pay_out(desk, OLD)
    await pay_out(desk, OLD)
    assert await told(desk) == []
    await pay_out(desk, NEW)

    texts = {one.to: one.text for one in await sent(desk)}
    assert set(texts) == {OLD, NEW, KINDS["mtn-momo"].payer}
    assert all("MTN Mobile Money ..002" in text for text in texts.values())
    await pay_out(desk, NEW)
    assert await told(desk) == []  # known by now


async def test_an_account_that_is_the_members_own_telephone_is_told_once(desk: Desk) -> None:
    await pay_out(desk, OLD)
    await pay_out(desk, KINDS["mtn-momo"].payer)

    assert sorted(one.to for one in await sent(desk)) == sorted([OLD, KINDS["mtn-momo"].payer])
    assert await desk.select("select count(*) from messages where reason = 'not-registered'") == [(1,)]


async def test_interest_is_told_to_each_who_got_some(desk: Desk) -> None:
    await desk.pay("10000", member=0)
    await desk.pay("20000", member=1)
    await told(desk)
    declared = Series(
        "declared-interest",
        "percent-a-year",
        (SeriesPoint(date(2023, 1, 1), date(2024, 3, 20), Decimal(12), "these tests"),),
    )
    pack = dataclasses.replace(desk.tenant.pack, series={**desk.tenant.pack.series, declared.code: declared})
    tenant = dataclasses.replace(desk.tenant, pack=pack)
    async with desk.db.unit_of_work(tenant.tenant_id) as session:
        await advance_clock(session, tenant, datetime(2024, 4, 3, 9, tzinfo=UTC), "development")
    report = await credit_interest(desk.db, tenant, "ltss", date(2023, 6, 30), "staff:2")
    assert report.members == 2

    texts = await told(desk)

    assert len(texts) == 2
    assert len(set(texts)) == 2
    assert all(" of interest was added. You have RWF " in text for text in texts)
    assert await desk.queue(NOON) == 0
    assert await desk.offences() == []


async def test_a_pack_without_words_for_it_tells_nobody(desk: Desk) -> None:
    def without(content: bytes) -> bytes:
        begin = content.index(b'[[message]]\nid = "claim-approved"')
        end = content.index(b"[[message]]", begin + 5)
        return content[:begin] + content[end:]

    files = {
        name: without(raw) if name.endswith("/messages.toml") else raw for name, raw in desk.tenant.pack.files.items()
    }
    desk.tenant = dataclasses.replace(desk.tenant, pack=dataclasses.replace(desk.tenant.pack, files=files))
    await happened(desk, EventKind.BENEFIT_APPROVED, {"amount": "50000"})

    assert await told(desk) == []
    assert await desk.select("select count(*) from messages where occasion = 'claim-approved'") == [(0,)]


async def test_what_is_told_holds_no_number_in_the_clear(desk: Desk) -> None:
    await pay_out(desk, OLD)
    await pay_out(desk, NEW)
    await told(desk)
    rows: list[Any] = await desk.select("select m::text from messages m union all select e.body::text from events e")
    assert not [row for row in rows if OLD[1:] in json.dumps(row) or NEW[1:] in json.dumps(row)]
    async with desk.db.unit_of_work(desk.tenant.tenant_id) as session:
        assert await identity.members_by_number(session, desk.keys, [desk.members[0].number])
