"""Law that reaches back: what it changes moves by new events, once; what it would have refused is put on record."""

from __future__ import annotations

import re
import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from engine.app import KINDS, LAWS, RUNNERS
from engine.contributions import service
from engine.contributions.jobs import recompute_changes
from engine.contributions.rules import Payment, Receipt, lane_of
from engine.enrolment import service as enrolment
from engine.enrolment.rules import Application, ConsentGiven, DocumentGiven
from engine.enrolment.service import Enrolled
from engine.kernel.errors import EngineError
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Outcome, Transfer
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy import service as tenancy
from engine.tenancy.service import Tenant, Tenants, advance_clock, load_pack
from tests.factories import schemes

SPLIT = """
[[rule]]
kind = "contribution-split"
id = "contribution-split"
parts = [{{ pot = "savings", share_bp = {savings} }}, {{ pot = "locked", share_bp = {locked} }}]
source = "invented law"
confidence = "high"
"""

pots = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 10_000), min_size=1)


@given(before=pots, weights=st.dictionaries(st.sampled_from("abcd"), st.integers(0, 100), min_size=1))
def test_a_resplit_moves_exactly_what_differs(before: dict[str, int], weights: dict[str, int]) -> None:
    total, whole = sum(before.values()), sum(weights.values()) or 1
    after = {pot: total * weight // whole for pot, weight in weights.items()}
    after[min(after)] += total - sum(after.values())
    moved = dict(before)
    for source, target, amount in service.resplit(before, after):
        assert amount > 0
        assert source != target
        moved[source] -= amount
        moved[target] = moved.get(target, 0) + amount
        assert moved[source] >= 0
    assert {pot: one for pot, one in moved.items() if one} == {pot: one for pot, one in after.items() if one}


@dataclass
class Scheme:
    db: Database
    keys: FileKeyStore
    tenants: Tenants
    folder: Path
    member: Enrolled

    @property
    def tenant(self) -> Tenant:
        return self.tenants.by_code(self.folder.name)

    async def pay(self, amount: str) -> Receipt:
        answer = await self.answer(amount)
        assert isinstance(answer, Receipt), answer
        return answer

    async def answer(self, amount: str) -> Receipt | EngineError:
        payment = Payment(
            member=self.member.number, amount=amount, currency="RWF", channel=self.tenant.pack.channels[0].code,
            reference=secrets.token_hex(6), sent_by="partner:1",
        )  # fmt: skip
        (answer,) = await service.receive(self.db, self.keys, self.tenant, [payment], lane=lane_of(payment.member))
        return answer

    async def draw(self, pot: str, amount: int) -> None:
        """Pay the member out of a pot's cash."""
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            cash = Account("cash", "RWF", "ltss", pot, "own")
            sent = Account("tax-withheld", "RWF", "ltss")
            codes = await ledger.account_codes(session, [cash, sent])
            entry = Entry(
                member_id=self.member.member_id,
                kind=EventKind.UNITS_SOLD,
                business_date=date(2023, 4, 3),
                actor=await ledger.actor_id(session, "staff:2"),
                transfers=[Transfer(amount, codes[cash], codes[sent])],
            )
            (posted,) = await ledger.post(session, [entry])
            assert posted.outcome == Outcome.POSTED

    async def balances(self) -> dict[str, int]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            rows = await session.execute(
                text("""select c.pot, (b.credits - b.debits)::int from balances b join chart c using (tenant_id, code)
                         where b.member_id = :m"""),
                {"m": self.member.member_id},
            )
            return {row[0]: row[1] for row in rows}

    async def advance(self, to: datetime) -> None:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            await advance_clock(session, self.tenant, to, "development")

    async def activate(self, since: date) -> None:
        pack = load_pack(self.folder, KINDS)
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            one = await tenancy.propose_pack(session, self.tenant, pack, in_force_from=since, actor="staff:1")
            await tenancy.approve_pack(session, self.tenant, one.proposal_id, sha256=pack.sha256, actor="staff:2")
        await self.tenants.activate(self.db)
        assert self.tenant.pack.sha256 == pack.sha256

    async def events(self, kind: int) -> list[dict[str, object]]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            rows = await session.execute(
                text("select body from events where kind = :k and tenant_id = :t order by event_id"),
                {"k": kind, "t": self.tenant.tenant_id},
            )
            return [row[0] for row in rows]

    async def broken(self) -> list[str]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return [str(one) for one in await ledger.check(session, LAWS)]


@pytest_asyncio.fixture
async def scheme(db: Database, keys: FileKeyStore, tmp_path: Path) -> Scheme:
    code = f"rw-t{secrets.token_hex(5)}"
    folder = tmp_path / code
    shutil.copytree(schemes.PACKS / "rw-ejoheza", folder, ignore=shutil.ignore_patterns("demo*", "scenarios"))
    manifest = folder / "pack.toml"
    text_ = re.sub(r"rw-ejoheza\.localhost", f"{code}.localhost", manifest.read_text())
    savings = re.search(r"pots = \[.*?\]", text_)
    assert savings is not None
    manifest.write_text(
        text_.replace(
            savings[0], 'pots = [{ code = "savings", name = "Savings" }, { code = "locked", name = "Locked" }]'
        )
    )
    (folder / "ltss/rules/2019-01-01.toml").write_text(SPLIT.format(savings=10_000 - 1, locked=1))
    tenants = Tenants.load([folder], KINDS, RUNNERS)
    tenant = await tenants.create_tenant(db, code)
    async with db.unit_of_work(tenant.tenant_id) as session:
        await advance_clock(session, tenant, schemes.START, "development")
    consents = tuple(
        ConsentGiven(consent=one, language="en", version=found.version, channel="agent")
        for one in ("scheme-rules", "personal-data")
        if (found := tenant.pack.consent(one, "en")) is not None
    )
    application = Application(
        product="ltss", full_name="Example", born_on=date(1988, 3, 4), sex="female", language="en", consents=consents,
        documents=(DocumentGiven("nid", f"119887{secrets.randbelow(10**7):07d}012"),),
    )  # fmt: skip
    (member,) = await enrolment.enrol(db, tenant, keys, [enrolment.Enrolment("k", application)], actor="partner:1")
    assert isinstance(member, Enrolled), member
    return Scheme(db, keys, tenants, folder, member)


async def test_what_the_new_law_gives_another_pot_moves_there_once(scheme: Scheme) -> None:
    await scheme.pay("10000")
    assert await scheme.balances() == {"savings": 9999, "locked": 1}
    await scheme.advance(datetime(2023, 5, 10, 6, tzinfo=UTC))
    await scheme.pay("5000")
    (scheme.folder / "ltss/rules/2023-04-01.toml").write_text(
        '[change]\ntitle = "A law of May for April"\nenacted_on = 2023-05-10\n'
        + SPLIT.format(savings=6000, locked=4000)
    )
    await scheme.activate(date(2023, 5, 10))
    for _ in range(2):
        await recompute_changes(scheme.db, scheme.keys, scheme.tenants, tenant_id=scheme.tenant.tenant_id)
        assert await scheme.balances() == {"savings": 9000, "locked": 6000}
    assert len(await scheme.events(14)) == 2
    assert [one["moved"] for one in await scheme.events(57)] == [2]
    assert await scheme.broken() == []


async def test_law_that_begins_today_moves_nothing(scheme: Scheme) -> None:
    await scheme.pay("10000")
    await scheme.advance(datetime(2023, 5, 10, 6, tzinfo=UTC))
    (scheme.folder / "ltss/rules/2023-05-10.toml").write_text(SPLIT.format(savings=6000, locked=4000))
    await scheme.activate(date(2023, 5, 10))
    await recompute_changes(scheme.db, scheme.keys, scheme.tenants, tenant_id=scheme.tenant.tenant_id)
    assert await scheme.balances() == {"savings": 9999, "locked": 1}
    assert await scheme.events(14) == []


async def test_what_the_new_law_would_have_refused_stays_and_is_on_record(scheme: Scheme) -> None:
    await scheme.pay("50")
    await scheme.advance(datetime(2023, 5, 10, 6, tzinfo=UTC))
    (scheme.folder / "ltss/rules/2023-04-01.toml").write_text(
        '[[rule]]\nkind = "contribution-amount"\nid = "contribution-amount"\nminimum = "100"\nsource = "law"\nconfidence = "high"\n'
    )
    await scheme.activate(date(2023, 5, 10))
    await recompute_changes(scheme.db, scheme.keys, scheme.tenants, tenant_id=scheme.tenant.tenant_id)
    assert await scheme.balances() == {"savings": 50}
    assert [one["refusal"] for one in await scheme.events(14)] == ["contributions.below-minimum"]
    assert await scheme.broken() == []


async def test_a_second_law_starts_from_what_the_first_left(scheme: Scheme) -> None:
    await scheme.pay("10000")
    await scheme.advance(datetime(2023, 5, 10, 6, tzinfo=UTC))
    page = scheme.folder / "ltss/rules/2023-04-01.toml"
    page.write_text(SPLIT.format(savings=6000, locked=4000))
    await scheme.activate(date(2023, 5, 10))
    await recompute_changes(scheme.db, scheme.keys, scheme.tenants, tenant_id=scheme.tenant.tenant_id)
    await scheme.advance(datetime(2023, 6, 10, 6, tzinfo=UTC))
    page.write_text(SPLIT.format(savings=2500, locked=7500))
    await scheme.activate(date(2023, 6, 10))
    await recompute_changes(scheme.db, scheme.keys, scheme.tenants, tenant_id=scheme.tenant.tenant_id)
    assert await scheme.balances() == {"savings": 2500, "locked": 7500}
    assert await scheme.broken() == []


async def test_what_was_drawn_in_between_stays_and_is_on_record(scheme: Scheme) -> None:
    await scheme.pay("10000")
    await scheme.draw("savings", 9_000)
    await scheme.advance(datetime(2023, 5, 10, 6, tzinfo=UTC))
    (scheme.folder / "ltss/rules/2023-04-01.toml").write_text(SPLIT.format(savings=6000, locked=4000))
    await scheme.activate(date(2023, 5, 10))
    for _ in range(2):
        await recompute_changes(scheme.db, scheme.keys, scheme.tenants, tenant_id=scheme.tenant.tenant_id)
        assert await scheme.balances() == {"savings": 999, "locked": 1}
    assert [one["refusal"] for one in await scheme.events(14)] == ["not-held"]
    assert await scheme.broken() == []


async def test_a_payment_that_was_decided_again_is_taken_back_from_where_it_lies(scheme: Scheme) -> None:
    receipt = await scheme.pay("10000")
    await scheme.advance(datetime(2023, 5, 10, 6, tzinfo=UTC))
    (scheme.folder / "ltss/rules/2023-04-01.toml").write_text(SPLIT.format(savings=6000, locked=4000))
    await scheme.activate(date(2023, 5, 10))
    await recompute_changes(scheme.db, scheme.keys, scheme.tenants, tenant_id=scheme.tenant.tenant_id)
    await scheme.pay("500")
    await scheme.draw("locked", 4_000)
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        proposed = await service.propose_reversal(
            session, scheme.tenant, int(receipt.receipt), reason="paid-twice", actor="staff:1"
        )
    done = await service.confirm_reversal(
        scheme.db, scheme.keys, scheme.tenant, int(receipt.receipt), digest=proposed.digest, actor="staff:2"
    )
    assert (done.state, done.amount, done.owed) == ("reversed", "10000", "3800")
    assert await scheme.balances() == {"savings": 300, "locked": 0}
    assert await scheme.broken() == []


async def test_a_point_accepted_later_changes_a_least_payment_that_is_a_multiple_of_it(scheme: Scheme) -> None:
    await scheme.advance(datetime(2023, 5, 10, 6, tzinfo=UTC))
    (scheme.folder / "ltss/rules/2023-05-10.toml").write_text(
        """
[[rule]]
kind = "contribution-amount"
id = "contribution-amount"
minimum = { series = "consumer-prices", times = "2", rounding = "half-up" }
source = "invented law"
confidence = "high"
"""
    )
    await scheme.activate(date(2023, 5, 10))
    header = b"effective_from,published_on,value,source,confidence\n"
    for value, published in ((b"100", b"2023-01-10"), (b"101", b"2023-02-10")):
        raw = header + b"2023-01-01," + published + b"," + value + b",Index,high\n"
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            (point,) = (
                await tenancy.propose_figures(
                    session, scheme.tenant, "consumer-prices", raw, name="index.csv", actor="staff:1"
                )
            ).proposed
            await tenancy.accept_figure(session, scheme.tenant, point, actor="staff:2")
        least = 2 * int(value)
        refused = await scheme.answer(str(least - 1))
        assert isinstance(refused, EngineError)
        assert refused.code == "contributions.below-minimum"
        await scheme.pay(str(least))
    assert await scheme.broken() == []
