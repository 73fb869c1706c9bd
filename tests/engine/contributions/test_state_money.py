"""State money, against PostgreSQL: claimed for all members at once, as the rule of one member says; paid, shared, taken back."""

import csv
import dataclasses
import shutil
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from engine.access.errors import SamePerson
from engine.app import KINDS
from engine.contributions import queries as contribution_queries
from engine.contributions import service
from engine.contributions.errors import (
    AlreadyReceived,
    ClaimChanged,
    ClaimDecided,
    ClaimPrepared,
    MatchNotDue,
    MoreThanClaimed,
    NoMatch,
    NothingToClaim,
    NotOnStatement,
)
from engine.contributions.queries import LAWS
from engine.contributions.queries.matching import MatchClaim
from engine.contributions.rules.matching import MatchClass, MatchFacts, MatchRule, decide_match
from engine.kernel.amounts import Amount
from engine.kernel.ids import new_member_id
from engine.kernel.series import Figures
from engine.ledger import queries as ledger_queries
from engine.ledger import service as ledger
from engine.ledger.rules import Account, Entry, EventKind, Transfer
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant, load_pack

ROOT = Path(__file__).parents[3]
PRODUCT = "ltss"
YEAR = date(2022, 1, 1)
SAVINGS = ("savings",)


@dataclasses.dataclass
class Scheme:
    """EjoHeza's pack, its clock in February of the next year."""

    db: Database
    tenant: Tenant
    keys: FileKeyStore

    async def clock(self, instant: str) -> None:
        await self.run("update tenants set clock_at = cast(:at as text)::timestamptz where tenant_id = :t", at=instant)

    async def run(self, sql: str, **given: Any) -> None:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            await session.execute(text(sql), {"t": self.tenant.tenant_id, **given})

    async def rows(self, sql: str, **given: Any) -> list[Any]:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return [tuple(row) for row in await session.execute(text(sql), given)]

    async def member(self, member_class: str, saved: Sequence[int], joined_on: date = date(2021, 6, 1)) -> int:
        """A member of a class who saved these amounts in 2022, or had them taken back."""
        member = new_member_id()
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            await session.execute(
                text("""with taken as (
                          insert into members (member_id, enrolled_event, tenant_id, joined_on, product, group_code)
                          values (:m, 0, :t, :joined, :p, 'all') returning *)
                        insert into memberships (member_id, since_event, tenant_id, joined_on, from_on, product, group_code, person_class)
                        select member_id, 0, tenant_id, joined_on, joined_on, product, group_code, :class from taken"""),
                {"m": member, "t": self.tenant.tenant_id, "joined": joined_on, "p": PRODUCT, "class": member_class},
            )
        await self.save(member, saved)
        return member

    async def save(self, member: int, amounts: Sequence[int], on: date = date(2022, 6, 1), origin: str = "own") -> None:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            bank = Account("collections", "RWF", party="mtn-momo")
            cash = Account("cash", "RWF", PRODUCT, "savings", origin)
            codes = await ledger.account_codes(session, {bank, cash})
            actor = await ledger.actor_id(session, "partner:1")
            entries = [
                Entry(
                    member_id=member,
                    kind=EventKind.CONTRIBUTION_RECEIVED if amount > 0 else EventKind.CONTRIBUTION_REVERSED,
                    business_date=on,
                    actor=actor,
                    body={"amount": str(abs(amount)), "channel": "mtn-momo"},
                    transfers=[
                        Transfer(
                            abs(amount), *((codes[bank], codes[cash]) if amount > 0 else (codes[cash], codes[bank]))
                        )
                    ],
                )
                for amount in amounts
            ]
            for fate in await ledger.post(session, entries):
                assert fate.outcome == 0

    async def prepare(self, on: date = YEAR, actor: str = "staff:1") -> MatchClaim:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            found = await service.prepare_claim(session, self.tenant, PRODUCT, on, actor=actor)
        if isinstance(found, NothingToClaim):
            raise found
        return found

    async def send(self, claim: MatchClaim, *, actor: str = "staff:2", digest: str = "") -> MatchClaim:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.send_claim(session, self.tenant, claim.claim_no, digest or claim.digest, actor=actor)

    async def receive(self, claim: MatchClaim, amount: int, reference: str = "T-1") -> MatchClaim:
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.receive_match(
                session,
                self.tenant,
                claim.claim_no,
                amount=str(amount),
                channel="mtn-momo",
                reference=reference,
                actor="staff:1",
            )

    async def share(self, claim: MatchClaim, *, matched: bool = True) -> service.ClaimShared:
        if matched:
            await self.run(
                """insert into matches (member_id, event_id, matched_event, tenant_id, statement_id, line_no)
                   select -tenant_id, event_id, event_id, tenant_id, event_id, 1 from match_receipts where shared_event = 0"""
            )
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.share_match(session, self.tenant, claim.claim_no, actor="staff:1")

    async def has(self, member: int) -> int:
        ((found,),) = await self.rows(
            """select coalesce(sum(b.credits - b.debits), 0)::bigint from balances b
                 join chart c on c.code = b.code and c.origin = 'state-match' where b.member_id = :m""",
            m=member,
        )
        return int(found)

    async def by_pot(self, member: int) -> dict[str, int]:
        found = await self.rows(
            """select c.pot, sum(b.credits - b.debits)::bigint from balances b
                 join chart c on c.code = b.code and c.origin = 'state-match' where b.member_id = :m group by 1""",
            m=member,
        )
        return dict(found)

    async def broken(self) -> list[Any]:
        wanted = [law for law in (*LAWS, *ledger_queries.LAWS) if law.name != "contributions-claim-once"]
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await ledger.check(session, wanted)


@pytest_asyncio.fixture
async def scheme(db: Database, tenant_id: int, tmp_path: Path) -> Scheme:
    return await scheme_of(db, tenant_id, tmp_path)


async def scheme_of(db: Database, tenant_id: int, folder: Path, source: Path = ROOT / "tenants/rw-ejoheza") -> Scheme:
    pack = load_pack(source, KINDS)
    async with db.unit_of_work(tenant_id) as session:
        code = await session.scalar(text("select code from tenants where tenant_id = :t"), {"t": tenant_id})
        await ledger.open_asset(session, "RWF", 0, kind="money")
        pack_id = await ledger.pack_id(session, pack.sha256, {})
    scheme = Scheme(db, Tenant(tenant_id, code, pack, pack_id), FileKeyStore(folder / "keys.toml"))
    await scheme.clock("2023-02-01T08:00:00Z")
    return scheme


async def test_a_year_is_claimed_by_class_sent_by_two_paid_and_shared(scheme: Scheme) -> None:
    """EjoHeza's published incentives: the same again in categories 1 and 2, half in 3, none in 4, 18,000 francs at most."""
    poorest = await scheme.member("ubudehe-1", [10_000, 5_000])
    short = await scheme.member("ubudehe-2", [14_999])
    rich = await scheme.member("ubudehe-2", [90_000])
    half = await scheme.member("ubudehe-3", [25_001])
    none = await scheme.member("ubudehe-4", [90_000])
    back = await scheme.member("ubudehe-1", [20_000, -6_000])

    claim = await scheme.prepare()
    assert (claim.lines, claim.total, claim.state, claim.funder) == (3, 15_000 + 18_000 + 12_500, "prepared", "state")
    with pytest.raises(ClaimPrepared):
        await scheme.prepare()
    with pytest.raises(SamePerson):
        await scheme.send(claim, actor="staff:1")
    with pytest.raises(ClaimChanged):
        await scheme.send(claim, digest="0" * 64)
    sent = await scheme.send(claim)
    with pytest.raises(ClaimDecided):
        await scheme.send(claim)
    with pytest.raises(MoreThanClaimed):
        await scheme.receive(sent, claim.total + 1)
    await scheme.receive(sent, claim.total)
    with pytest.raises(NotOnStatement):
        await scheme.share(sent, matched=False)
    shared = await scheme.share(sent)

    assert (shared.members, int(shared.given)) == (3, claim.total)
    assert [await scheme.has(one) for one in (poorest, short, rich, half, none, back)] == [
        15_000,
        0,
        18_000,
        12_500,
        0,
        0,
    ]
    with pytest.raises(ClaimDecided):
        await scheme.share(sent, matched=False)
    with pytest.raises(NothingToClaim):
        await scheme.prepare()
    assert not await scheme.broken()


async def test_a_claim_without_a_line_says_why_each_has_nothing(scheme: Scheme) -> None:
    poor = await scheme.member("ubudehe-1", [14_999])
    rich = await scheme.member("ubudehe-4", [90_000])

    with pytest.raises(NothingToClaim) as refused:
        await scheme.prepare()

    kept = await scheme.rows(
        "select member_id, reason, basis from zero_results where decision_id = :d order by basis",
        d=int(str(refused.value.details["decision"])),
    )
    assert kept == [(poor, "below-threshold", 14_999), (rich, "no-class", 90_000)]
    assert await scheme.rows("select state, lines from match_claims") == [("empty", 0)]
    await scheme.save(poor, [1])
    claim = await scheme.prepare()
    assert (claim.claim_no, claim.lines) == (2, 1)
    assert not await scheme.broken()


async def test_each_member_gets_their_part_by_the_split_of_the_day_they_joined(
    db: Database, tenant_id: int, tmp_path: Path
) -> None:
    folder = tmp_path / "rw-ejoheza"
    shutil.copytree(ROOT / "tenants/rw-ejoheza", folder)
    manifest = folder / "pack.toml"
    one = '{ code = "savings", name = "Long-term savings" }'
    manifest.write_text(manifest.read_text().replace(one, one + ', { code = "insurance", name = "Insurance" }'))
    book = min((folder / PRODUCT / "rules").iterdir())
    at = book.read_text().index('kind = "contribution-split"')
    book.write_text(book.read_text()[:at] + 'applies_by = "joining"\n' + book.read_text()[at:])
    (folder / PRODUCT / "rules" / "2022-02-01.toml").write_text(
        """[[rule]]
kind = "contribution-split"
id = "contribution-split"
applies_by = "joining"
parts = [{ pot = "savings", share_bp = 5000 }, { pot = "insurance", share_bp = 5000 }]
odd_unit_to = "savings"
source = "test"
confidence = "high"
"""
    )
    scheme = await scheme_of(db, tenant_id, tmp_path, folder)
    old, new = await scheme.member("ubudehe-1", [15_000]), await scheme.member("ubudehe-1", [15_001], date(2022, 3, 1))
    claim = await scheme.send(await scheme.prepare())
    await scheme.receive(claim, claim.total)
    await scheme.share(claim)

    assert await scheme.by_pot(old) == {"savings": 15_000}
    assert await scheme.by_pot(new) == {"savings": 7_501, "insurance": 7_500}
    assert not await scheme.broken()


async def test_the_file_says_what_two_people_stood_for(scheme: Scheme) -> None:
    await scheme.member("ubudehe-1", [15_000])
    await scheme.member("ubudehe-3", [30_000])
    claim = await scheme.prepare()
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        raw = await service.claim_file(session, scheme.keys, scheme.tenant, claim.claim_no, actor="staff:2")

    header, *lines, total = csv.reader(raw.decode().splitlines())
    assert header == ["line", "member", "year_from", "class", "saved", "amount"]
    assert sorted(line[3:] for line in lines) == [["ubudehe-1", "15000", "15000"], ["ubudehe-3", "30000", "15000"]]
    assert total == ["total", "2", "2022-01-01", claim.digest, "", "30000"]


async def test_short_money_is_shared_in_proportion_and_the_rest_is_claimed_again(scheme: Scheme) -> None:
    members = [await scheme.member("ubudehe-1", [amount]) for amount in (15_000, 15_001, 15_002)]
    claim = await scheme.send(await scheme.prepare())
    await scheme.receive(claim, 10_000)
    await scheme.share(claim)

    parts = [await scheme.has(one) for one in members]
    asked = [Amount(amount, scheme.tenant.asset).units for amount in (15_000, 15_001, 15_002)]
    assert parts == [one.units for one in _shared_out(10_000, asked, scheme)]
    assert sum(parts) == 10_000
    again = await scheme.prepare()
    assert again.total == sum(asked) - 10_000
    sent = await scheme.send(again)
    await scheme.receive(sent, again.total, "T-2")
    await scheme.share(sent)
    assert [await scheme.has(one) for one in members] == asked
    assert not await scheme.broken()


def _shared_out(amount: int, asked: Sequence[int], scheme: Scheme) -> Sequence[Amount]:
    return Amount(amount, scheme.tenant.asset).share_out(asked)


def changed(scheme: Scheme, **changes: Any) -> Scheme:
    """The scheme with its match changed."""
    book = scheme.tenant.pack.books[PRODUCT]
    found = next(one for one in book.versions() if isinstance(one.rule, MatchRule))
    pack = scheme.tenant.pack.with_rule(PRODUCT, found.ref, msgspec.structs.replace(found.rule, **changes))
    return dataclasses.replace(scheme, tenant=dataclasses.replace(scheme.tenant, pack=pack))


async def test_what_was_claimed_too_much_is_given_back_by_the_next_claim(scheme: Scheme) -> None:
    strict = changed(scheme, reversal_after_year_end="claw-back")
    spent = await strict.member("ubudehe-1", [20_000])
    keeps = await strict.member("ubudehe-1", [20_000])
    claim = await strict.send(await strict.prepare())
    await strict.receive(claim, claim.total)
    await strict.share(claim)
    assert [await strict.has(one) for one in (spent, keeps)] == [18_000, 18_000]
    # One has spent most of the state's money; then both payments turn out to be another's.
    await strict.save(spent, [-17_000], origin="state-match", on=date(2023, 1, 15))
    await strict.save(spent, [-20_000])
    await strict.save(keeps, [-20_000])
    other = await strict.member("ubudehe-2", [90_000])
    third = await strict.member("ubudehe-2", [90_000])
    fourth = await strict.member("ubudehe-2", [90_000])

    second = await strict.prepare()
    assert (second.asked, second.given_back, second.total) == (54_000, 36_000, 18_000)
    sent = await strict.send(second)
    await strict.receive(sent, second.total, "T-2")
    shared = await strict.share(sent)

    assert [int(one) for one in (shared.given, shared.taken_back, shared.owed_back)] == [54_000, 19_000, 17_000]
    assert [await strict.has(one) for one in (spent, keeps, other, third, fourth)] == [0, 0, 18_000, 18_000, 18_000]
    assert not await strict.broken()


async def test_what_is_left_with_members_is_never_given_back(scheme: Scheme) -> None:
    member = await scheme.member("ubudehe-1", [20_000])
    claim = await scheme.send(await scheme.prepare())
    await scheme.receive(claim, claim.total)
    await scheme.share(claim)
    await scheme.save(member, [-20_000])

    with pytest.raises(NothingToClaim):
        await scheme.prepare()


async def test_a_payment_that_came_late_is_a_line_of_the_next_claim(scheme: Scheme) -> None:
    member = await scheme.member("ubudehe-3", [30_000])
    first = await scheme.send(await scheme.prepare())
    await scheme.save(member, [2_000], on=date(2022, 12, 31))
    second = await scheme.prepare()

    assert (first.total, second.total) == (15_000, 1_000)


async def test_it_is_not_claimed_before_its_day_nor_where_no_rule_is(scheme: Scheme) -> None:
    await scheme.member("ubudehe-1", [20_000])
    await scheme.clock("2023-01-31T08:00:00Z")
    with pytest.raises(MatchNotDue):
        await scheme.prepare()
    with pytest.raises(NoMatch):
        await changed(scheme, destination="bank-account").prepare()


async def test_a_reference_is_booked_once(scheme: Scheme) -> None:
    await scheme.member("ubudehe-1", [15_000])
    claim = await scheme.send(await scheme.prepare())
    await scheme.receive(claim, 5_000)
    with pytest.raises(ClaimDecided):
        await scheme.receive(claim, 5_000)
    await scheme.share(claim)
    second = await scheme.send(await scheme.prepare())
    with pytest.raises(AlreadyReceived):
        await scheme.receive(second, 5_000)


CLASSES = ["ubudehe-1", "ubudehe-2", "ubudehe-3", "ubudehe-4", "other"]
FRANCS = st.integers(0, 100_000).map(str)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_every_member_is_claimed_for_what_the_rule_of_one_member_says(
    scheme: Scheme, data: st.DataObject
) -> None:
    codes = data.draw(st.lists(st.sampled_from([*CLASSES, "any"]), min_size=1, max_size=4, unique=True))
    steps = []
    for code in codes:
        flat = data.draw(st.none() | FRANCS)
        steps.append(
            MatchClass(
                classes=(code,), threshold=data.draw(FRANCS), saved_up_to=data.draw(st.none() | FRANCS),
                share_bp=None if flat is not None else data.draw(st.integers(0, 30_000)),
                flat=flat, most=data.draw(st.none() | FRANCS),
            )
        )  # fmt: skip
    fresh = changed(
        scheme,
        matches=tuple(steps),
        base=data.draw(st.sampled_from(["net-of-reversals", "gross"])),
        cap_tested=data.draw(st.sampled_from(["before-rounding", "after-rounding"])),
        rounding=data.draw(st.sampled_from(["down", "up", "half-up", "half-even", "nearest-down"])),
        joined_from=data.draw(st.none() | st.just(date(2021, 7, 1))),
        joined_until=data.draw(st.none() | st.just(date(2022, 3, 1))),
    )
    rule = next(one.rule for one in fresh.tenant.pack.books[PRODUCT].versions() if isinstance(one.rule, MatchRule))
    expected, nothing = {}, {}
    for _ in range(data.draw(st.integers(1, 6))):
        member_class = data.draw(st.sampled_from(["", *CLASSES]))
        joined = data.draw(st.sampled_from([date(2021, 6, 1), date(2022, 2, 1), date(2022, 5, 1)]))
        came = data.draw(st.lists(st.integers(1, 60_000), max_size=3))
        back = data.draw(st.integers(0, sum(came)))
        member = await fresh.member(member_class, came, joined)
        await fresh.save(member, [-back] if back else [])
        asset = fresh.tenant.asset
        facts = MatchFacts(
            member_class=member_class or "any", joined_on=joined,
            saved_gross=Amount(sum(came), asset), saved_net=Amount(sum(came) - back, asset),
        )  # fmt: skip
        match = decide_match(rule, facts, Figures(asset), date(2022, 12, 31))
        expected[member] = match.amount.units
        # Who joined outside the days of the match is in no claim, whatever else would be a reason.
        is_outside = (rule.joined_from is not None and joined < rule.joined_from) or (
            rule.joined_until is not None and joined > rule.joined_until
        )
        if not match.amount.units and not is_outside:
            nothing[member] = match.reason
    try:
        await fresh.prepare()
    except NothingToClaim:
        assert not any(expected.values())
    lines = dict(
        await fresh.rows(
            "select member_id, minor from match_claim_lines where claim_no = (select max(claim_no) from match_claims) and member_id = any(:m)",
            m=list(expected),
        )
    )
    assert lines == {member: minor for member, minor in expected.items() if minor}
    if lines:
        why = await fresh.rows("select member_id, reason from zero_results where member_id = any(:m)", m=list(expected))
        assert dict(why) == nothing
    await fresh.run("update match_claims set state = 'rejected' where state = 'prepared'")


DAMAGE = {
    "state-money-is-what-was-shared": "update match_shares set minor = minor + 1",
    "claims-are-their-lines": "update match_claims set lines = lines + 1",
    "forfeitures-pay-part-of-claims": "update match_claims set forfeited = 1, total = total - 1",
}


@pytest.mark.parametrize("law", DAMAGE)
async def test_damage_is_named(scheme: Scheme, superuser_url: str, database_urls: tuple[str, str], law: str) -> None:
    await scheme.member("ubudehe-1", [20_000])
    claim = await scheme.send(await scheme.prepare())
    await scheme.receive(claim, claim.total)
    await scheme.share(claim)
    (sql,) = [one.sql for one in contribution_queries.LAWS if one.name == law]
    database = str(psycopg.conninfo.conninfo_to_dict(database_urls[0])["dbname"])
    with psycopg.connect(superuser_url, dbname=database) as connection:
        connection.execute("select set_config('app.tenant', %s, true)", (str(scheme.tenant.tenant_id),))
        connection.execute("set local session_replication_role = replica")
        connection.execute(f"{DAMAGE[law]} where tenant_id = {scheme.tenant.tenant_id}")
        assert [row for row in connection.execute(sql).fetchall() if "claim" in row[0] or "member" in row[0]]
        connection.rollback()


async def test_who_joined_before_a_match_ended_keeps_it_and_who_joined_later_has_none(
    db: Database, tenant_id: int, tmp_path: Path
) -> None:
    """NPS-Lite: Swavalamban goes by joining, and is gone for those who joined from 1 June 2015 on."""
    pack = load_pack(ROOT / "tenants/in-nps-lite", KINDS)
    async with db.unit_of_work(tenant_id) as session:
        code = await session.scalar(text("select code from tenants where tenant_id = :t"), {"t": tenant_id})
        pack_id = await ledger.pack_id(session, pack.sha256, {})
    scheme = Scheme(db, Tenant(tenant_id, code, pack, pack_id), FileKeyStore(tmp_path / "keys.toml"))
    members = {}
    for joined_on in (date(2014, 5, 5), date(2015, 5, 31), date(2015, 6, 1), date(2015, 8, 3)):
        member = members[joined_on] = new_member_id()
        async with db.unit_of_work(tenant_id) as session:
            await session.execute(
                text("""with taken as (
                          insert into members (member_id, enrolled_event, tenant_id, joined_on, product, group_code)
                          values (:m, 0, :t, :joined, 'nps-lite', 'sahyog') returning *)
                        insert into memberships (member_id, since_event, tenant_id, joined_on, from_on, product, group_code, person_class)
                        select member_id, 0, tenant_id, joined_on, joined_on, product, group_code, '' from taken"""),
                {"m": member, "t": tenant_id, "joined": joined_on},
            )
            bank = Account("collections", "INR", party="upi")
            cash = Account("cash", "INR", "nps-lite", "account", "own")
            codes = await ledger.account_codes(session, {bank, cash})
            actor = await ledger.actor_id(session, "partner:1")
            entries = [
                Entry(
                    member_id=member,
                    kind=EventKind.CONTRIBUTION_RECEIVED,
                    business_date=day,
                    actor=actor,
                    body={"amount": "200000", "channel": "upi"},
                    transfers=[Transfer(2000_00, codes[bank], codes[cash])],
                )
                for day in (date(2015, 9, 1), date(2016, 9, 1))
            ]
            await ledger.post(session, entries)
    await scheme.clock("2017-06-01T08:00:00Z")

    for year in (date(2015, 4, 1), date(2016, 4, 1)):
        async with db.unit_of_work(tenant_id) as session:
            claim = await service.prepare_claim(session, scheme.tenant, "nps-lite", year, actor="staff:1")
            assert isinstance(claim, MatchClaim)
            lines = [one async for one in contribution_queries.matching.claim_lines(session, claim.claim_no)]
        assert {one.member_id: one.minor for one in lines} == {
            members[date(2014, 5, 5)]: 1000_00,
            members[date(2015, 5, 31)]: 1000_00,
        }
        assert await scheme.send(claim)
    assert await scheme.broken() == []


async def test_merged_records_are_one_line_of_the_next_claim(scheme: Scheme) -> None:
    """15,000 and 12,000 of the poorest were claimed as 15,000 and nothing; together 27,000 are worth 18,000: 3,000 more."""
    goes, stays = await scheme.member("ubudehe-1", [15_000]), await scheme.member("ubudehe-1", [12_000])
    twice, kept = await scheme.member("ubudehe-1", [16_000]), await scheme.member("ubudehe-1", [17_000])
    strict = changed(scheme, reversal_after_year_end="claw-back")
    claim = await strict.send(await strict.prepare())
    assert claim.total == 15_000 + 16_000 + 17_000
    for old, new in ((goes, stays), (twice, kept)):
        await scheme.run(
            """insert into merged_records (member_id, into_id, event_id, tenant_id, merge_no, into_event, merged_on)
               values (:old, :new, 1, :t, 1, 1, date '2023-02-01')""",
            old=old,
            new=new,
        )

    again = await strict.prepare()
    lines = await strict.rows(
        "select member_id, minor, entitled, saved from match_claim_lines where claim_no = :n order by minor",
        n=again.claim_no,
    )
    assert lines == [(kept, 18_000 - 33_000, 18_000, 33_000), (stays, 18_000 - 15_000, 18_000, 27_000)]
    assert goes not in {line[0] for line in lines}
