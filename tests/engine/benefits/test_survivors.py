"""What goes on of a pension after a death, against PostgreSQL: the spouse's, what was overpaid, the corpus after both, deaths taken back."""

import asyncio
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from engine.benefits import service
from engine.benefits.queries import paying
from engine.benefits.queries.claiming import ClaimRow
from engine.benefits.rules.paying import AccountGiven, Payee
from engine.benefits.service.homing import bring_home
from engine.identity.rules import MemberRef
from engine.kernel.errors import Invalid
from engine.runtime.database import Database
from tests.engine.benefits.test_pooled_pensions import Pooled
from tests.factories.claims import CHECKER, open_scheme
from tests.factories.heirs import SEEN, Estates, heir, nominee

SPOUSE, ALONE = 2, 1
"""The spouse's number as an heir: after a nominee, and where nobody was named."""


class Families(Pooled):
    """Pensioners with a nominee and a spouse, and what is done as they die."""

    @property
    def estates(self) -> Estates:
        return Estates(self.scheme, self.payers)

    async def widowed(self, member: MemberRef, died_on: date) -> ClaimRow:
        """The claim of a death, with the spouse named by a marriage certificate."""
        await self.estates.dies(member, on=died_on)
        claim = await self.estates.open(member)
        return await self.estates.name(
            claim, [heir("Ravi Example", 10_000, is_spouse=True)], documents=["marriage-certificate"]
        )

    async def bury(
        self, claim: ClaimRow, died_on: date | None, gone: str = "died-after", heir_no: int = SPOUSE
    ) -> ClaimRow:
        """The spouse is gone as well."""
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            return await service.exclude_heir(
                session, self.keys, self.tenant, claim.claim_id, heir_no,
                gone=gone, died_on=died_on, documents={"death-certificate": SEEN}, actor="staff:3",
            )  # fmt: skip

    async def names(self, claim: ClaimRow) -> None:
        """The spouse's account, seen by documents."""
        account = AccountGiven(
            rail="bank", number="002", holder="Ravi Example", is_verified=True, documents=("proof-of-new-account",)
        )
        payee = Payee(accounts=(account,), name="Somebody Else")
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            await service.name_payee(session, self.keys, self.tenant, claim.claim_id, payee, actor="staff:3")

    async def owed_back(self) -> int:
        return -await self.scheme.control("overpayment-receivable")

    async def paid_out(self) -> Mapping[int, int]:
        """What payouts took, by heir; 0 is the member."""
        rows = await self.scheme.rows(
            "select heir_no, sum(amount)::bigint from payouts where state = 'approved' group by 1"
        )
        return dict(rows)

    async def home(self, heir_no: int) -> None:
        """The last payout to an heir comes home."""
        sql = "select payout_id from payouts where state = 'approved' and heir_no = :h order by made_at desc limit 1"
        ((payout_id,),) = await self.scheme.rows(sql, h=heir_no)
        async with self.db.unit_of_work(self.tenant.tenant_id) as session:
            row = await paying.find_payout(session, payout_id, lock=True)
            assert row is not None
            await bring_home(session, self.keys, self.tenant, [row], reason="closed", actor="system:payouts")


@pytest.fixture
async def apy(db: Database, tenant_id: int, tmp_path: Path) -> Families:
    return Families(await open_scheme(db, tenant_id, tmp_path, "in-apy", "2023-04-03T04:30:00"))


HALF = 'kind = "spouse-continuation"\nid = "spouse"\n'


@pytest.fixture
async def maandhan(db: Database, tenant_id: int, tmp_path: Path) -> Families:
    """PM-SYM, 3,000 rupees at each month's end and half of it for the spouse, of which half is kept for what is owed back."""
    scheme = await open_scheme(db, tenant_id, tmp_path, "in-pm-sym", "2036-02-01T08:00:00", rules="\n")
    folder = tmp_path / "in-pm-sym"
    rules = folder / "maan-dhan" / "rules" / "2019-02-15.toml"
    said = rules.read_text()
    assert said.count(HALF) == 1
    rules.write_text(said.replace(HALF, f"{HALF}set_off_bp = 5000\n"))
    families = Families(await open_scheme(db, tenant_id, tmp_path, str(folder), "2036-02-01T08:00:00"))
    assert scheme.product == families.scheme.product
    return families


async def test_the_spouse_has_the_same_pension_and_the_nominee_the_corpus_after_both(apy: Families) -> None:
    """1,000 a month on the 5th; died on 10 May, told on 6 July: June's and July's went out, and are set off against the spouse's.

    August's is the first the spouse is paid. They die on 20 August; the nominee has 170,000: the pool's 165,000 and 5,000 of the state.
    """
    scheme = apy.scheme
    member, _ = await apy.retired(1000_00, "1000", [nominee("Meera Example", 10_000)])
    await scheme.clock("2023-07-06T04:30:00")
    assert (await apy.pay(date(2023, 7, 1))).totals.paying == 4000_00
    widowed = await apy.widowed(member, date(2023, 5, 10))
    assert (widowed.state, widowed.rule) == ("continued", "spouse")
    assert await apy.owed_back() == 2000_00
    await apy.names(widowed)
    due = await apy.pay(date(2023, 7, 1))
    assert (due.totals.pensions, due.totals.due, due.totals.paying) == (2, 2000_00, 0)
    assert await apy.owed_back() == 0
    await scheme.clock("2023-08-06T04:30:00")
    assert (await apy.pay(date(2023, 8, 1))).fates == {"approved": (1, 1000_00)}
    assert await apy.paid_out() == {0: 4000_00, SPOUSE: 1000_00}
    assert not await scheme.broken()
    await scheme.clock("2023-09-10T04:30:00")
    for died_on in (None, date(2023, 5, 9), date(2023, 9, 11)):
        with pytest.raises(Invalid):
            await apy.bury(widowed, died_on)
    decided = await apy.bury(widowed, date(2023, 8, 20))
    assert (decided.state, decided.amount, decided.top_up) == ("decided", 170_000_00, 170_000_00)
    assert await scheme.control("pension-pool") == 165_000_00
    owed = await scheme.control("guarantee-receivable")
    paid = await scheme.approve(decided, actor="staff:4")
    assert paid.state == "payable"
    assert await scheme.control("pension-pool") == 0
    assert await scheme.control("guarantee-receivable") == owed - 5_000_00
    assert [one.amount for one in (await apy.estates.given(paid)).values()] == [170_000_00]
    assert (await apy.pay(date(2023, 9, 1))).totals.pensions == 0
    assert not await scheme.broken()
    await scheme.pay(member, 50_00, pot="pension", on=date(2023, 9, 1))
    late = await apy.estates.open(member, key="late")
    assert (late.state, late.reason) == ("refused", "benefits.nothing-at-once"), "the corpus is given once"


async def test_without_a_spouse_the_nominee_has_the_corpus_at_once(apy: Families) -> None:
    member, _ = await apy.retired(1000_00, "2000", [nominee("Meera Example", 10_000)])
    await apy.estates.dies(member, on=date(2023, 4, 6))
    assert await apy.estates.follow() == 1, "the account is empty, and the corpus is due"
    (claim,) = await apy.estates.claims()
    assert claim.state == "open"
    claim = await apy.estates.name(claim, documents=["no-spouse-declaration"])
    assert (claim.state, claim.amount) == ("decided", 340_000_00)
    ends = await asyncio.gather(*(scheme_approve(apy, claim) for _ in range(3)), return_exceptions=True)
    assert len([one for one in ends if isinstance(one, ClaimRow)]) == 1
    assert sum(one.amount for one in (await apy.estates.given(claim)).values()) == 340_000_00
    assert not await apy.scheme.broken()


async def scheme_approve(apy: Families, claim: ClaimRow) -> ClaimRow:
    return await apy.scheme.approve(claim, actor=CHECKER)


async def retired(families: Families) -> tuple[MemberRef, ClaimRow]:
    member, claim = await families.retire(
        20_000_00, pot="pension", born=date(1976, 1, 20), account="", rule="pension-for-life"
    )
    await families.name(claim, "001")
    return member, claim


async def test_what_arrears_do_not_settle_is_kept_in_parts(maandhan: Families) -> None:
    """3,000 on the 1st from March; died on 10 March, told on 2 June: 6,000 went out for April on. The spouse's half is 1,500.

    April's, May's and June's were due before that was known, and 3 × 1,500 = 4,500 is set off; of July's 1,500 half, 750, and so
    with August's; then nothing is owed.
    """
    member, _ = await retired(maandhan)
    await maandhan.scheme.clock("2036-05-02T08:00:00")
    assert (await maandhan.pay(date(2036, 5, 1))).totals.paying == 9_000_00
    await maandhan.scheme.clock("2036-06-02T08:00:00")
    widowed = await maandhan.widowed(member, date(2036, 3, 10))
    assert await maandhan.owed_back() == 6_000_00
    await maandhan.names(widowed)
    paid = []
    for month in (6, 7, 8, 9):
        await maandhan.scheme.clock(f"2036-{month:02d}-02T08:00:00")
        paid.append(((await maandhan.pay(date(2036, month, 1))).totals.paying, await maandhan.owed_back()))
        assert not await maandhan.scheme.broken()
    assert paid == [(0, 1_500_00), (750_00, 750_00), (750_00, 0), (1_500_00, 0)]
    assert await maandhan.paid_out() == {0: 9_000_00, ALONE: 3_000_00}


async def test_the_pension_of_the_month_of_death_goes_to_the_spouse(maandhan: Families) -> None:
    """Died on 30 March before March's payroll: what is due on the 1st of March is counted afterwards and paid to the spouse with April's."""
    member, claim = await retired(maandhan)
    await maandhan.scheme.clock("2036-03-31T08:00:00")
    widowed = await maandhan.widowed(member, date(2036, 3, 30))
    await maandhan.names(widowed)
    assert (await maandhan.pay(date(2036, 3, 1))).fates == {"deceased": (1, 3_000_00)}
    assert [row[2] for row in await maandhan.dues(claim)] == [3_000_00]
    await maandhan.scheme.clock("2036-04-02T08:00:00")
    assert (await maandhan.pay(date(2036, 4, 1))).fates == {"approved": (1, 4_500_00)}
    assert await maandhan.scheme.holds(member) == {"cash:own": 20_000_00 - 4_500_00}
    assert not await maandhan.scheme.broken()


async def test_a_death_that_was_anothers_ends_the_spouses_pension_and_they_owe_it_back(maandhan: Families) -> None:
    """The spouse got 1,500 and May's 3,000; set off were 1,500: all of it is owed back, and what comes home pays it down."""
    member, claim = await retired(maandhan)
    await maandhan.scheme.clock("2036-04-02T08:00:00")
    await maandhan.pay(date(2036, 4, 1))
    widowed = await maandhan.widowed(member, date(2036, 3, 10))
    await maandhan.names(widowed)
    for month in (4, 5, 6):
        await maandhan.scheme.clock(f"2036-{month:02d}-03T08:00:00")
        await maandhan.pay(date(2036, month, 1))
    before = await maandhan.paid_out()
    assert before[ALONE] > 0
    await maandhan.scheme.run("update death_notices set state = 'reversed' where tenant_id = :t")
    await maandhan.scheme.clock("2036-06-04T08:00:00")
    again = await maandhan.pay(date(2036, 6, 1))
    assert not await maandhan.scheme.broken()
    assert [row[2] for row in await maandhan.dues(claim)] == [3_000_00] * 4
    assert again.totals.pensions == 3
    await service.stop_pensions(maandhan.db, maandhan.tenant, maandhan.scheme.product)
    assert await maandhan.owed_back() == before[ALONE]
    await maandhan.home(ALONE)
    await service.stop_pensions(maandhan.db, maandhan.tenant, maandhan.scheme.product)
    assert await maandhan.owed_back() < before[ALONE]
    assert not await maandhan.scheme.broken()


async def test_a_survivors_pension_begins_once_and_whoever_renounces_ends_it(maandhan: Families) -> None:
    member, _ = await retired(maandhan)
    await maandhan.scheme.clock("2036-04-02T08:00:00")
    widowed = await maandhan.widowed(member, date(2036, 3, 10))
    again = await maandhan.estates.name(widowed, known={ALONE: 10_000})
    assert again.state == "continued"
    ((begun_once,),) = await maandhan.scheme.rows("select count(*) from pension_schedules where heir_no <> 0")
    assert begun_once == 1
    async with maandhan.db.unit_of_work(maandhan.tenant.tenant_id) as session:
        begun = await service.find_pension(session, widowed.claim_id)
    assert (begun.plan.amount, begun.plan.due_on(1), begun.heir_no) == (1_500_00, date(2036, 4, 1), ALONE)
    gone = await maandhan.bury(widowed, None, "renounced", ALONE)
    assert gone.state == "decided", gone
    async with maandhan.db.unit_of_work(maandhan.tenant.tenant_id) as session:
        ended = await service.find_pension(session, widowed.claim_id)
    assert (ended.stops_on, ended.accounts) == (date(2036, 5, 1), ())
    assert not await maandhan.scheme.broken()
