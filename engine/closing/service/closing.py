"""Close of business: each day that is over, step by step in its order; may be stopped anywhere and run twice at once.

A step that was done is not done again. A step that fails stops its day, and the next run goes on there; what fails on one
account alone is put aside by the step itself (`runtime.quarantine`), and the others go on.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from decimal import Decimal

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from engine.benefits import service as benefits
from engine.closing import queries
from engine.closing.errors import DayNotClosed
from engine.closing.rules import KindBalance, Step, by_kind, days_to_close, end_of, is_balanced
from engine.contributions import service as contributions
from engine.funds import service as funds
from engine.kernel.clock import business_date
from engine.kernel.ids import house_member
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.reconciliation import service as reconciliation
from engine.runtime import quarantine
from engine.runtime.database import Database, retry_transaction
from engine.runtime.key_file import FileKeyStore
from engine.tenancy.service import Tenant


class KindRow(Struct, frozen=True):
    """What all accounts of a kind began the day with, moved and ended with, in one asset; decimal strings, the normal side positive."""

    kind: str
    asset: str
    opening: str
    debits: str
    credits: str
    closing: str


class StepDone(Struct, frozen=True):
    """What a step said; `is_clean` is whether nobody need look."""

    lines: list[str]
    is_clean: bool = True


class DayReport(Struct, frozen=True):
    """A closed day: whether it is proven, what each step said, and what accounts began, moved and ended with.

    `is_balanced`: in every asset what accounts began with sums to nothing, and debits are credits.
    """

    day: date
    version: int
    is_proven: bool
    is_balanced: bool
    steps: dict[str, StepDone]
    balances: list[KindRow]

    def lines(self) -> list[str]:
        """Return the report in sentences, for the command line."""
        again = f", closed for the {self.version}. time" if self.version > 1 else ""
        proven, balanced = ("" if holds else "NOT " for holds in (self.is_proven, self.is_balanced))
        found = [f"{self.day}: closed{again}, {proven}proven, {balanced}balanced"]
        for step, done in self.steps.items():
            found += [f"  {step}: {line}" for line in done.lines]
        found += [
            f"  {row.asset} {row.kind}: {row.opening} + debits {row.debits}, credits {row.credits} = {row.closing}"
            for row in self.balances
        ]
        return found


class Aside(Struct, frozen=True):
    """What was put aside: the work, which piece of it, why, whose it is to look at, and for how many days."""

    number: int
    task: str
    subject: str
    reason: str
    owner: str
    age_days: int
    tries: int


class ClosingReport(Struct, frozen=True):
    """What a run closed, and all that is put aside."""

    today: date
    days: list[DayReport]
    quarantined: list[Aside]

    @property
    def is_clean(self) -> bool:
        """Return whether nobody need look."""
        return all(day.is_proven and day.is_balanced for day in self.days) and not self.quarantined

    def lines(self) -> list[str]:
        """Return the report in sentences, for the command line."""
        found = [line for day in self.days for line in day.lines()] or ["every day that is over was closed before"]
        found += [
            f"put aside: {one.task} {one.subject}: {one.reason}, {one.age_days} days, for {one.owner} ({one.tries} tries)"
            for one in self.quarantined
        ]
        return found


async def close_business(
    db: Database,
    keys: FileKeyStore,
    tenant: Tenant,
    *,
    actor: str,
    progress: Callable[[date, Step], None] = lambda _day, _step: None,
) -> ClosingReport:
    """Close every day that is over and not closed, the earliest first; the first time, from the first day of the books.

    Args:
        db: the application's database.
        keys: where the scheme's keys are.
        tenant: whose business it is.
        actor: who closes.
        progress: told each step before it is done.

    Raises:
        Exception: whatever stopped a step; what was done stays, and the next run goes on there.
    """
    async with db.unit_of_work(tenant.tenant_id) as session:
        today = business_date(await ledger.scheme_now(session), tenant.time_zone)
        first = await queries.first_recorded(session)
        days = days_to_close(
            await queries.last_closed(session),
            None if first is None else business_date(first, tenant.time_zone),
            today,
        )
    found = []
    for day in days:
        await _Closing(db, keys, tenant, actor, day).run(progress)
        async with db.unit_of_work(tenant.tenant_id) as session:
            found.append(await day_report(session, day))
    async with db.unit_of_work(tenant.tenant_id) as session:
        now = await ledger.scheme_now(session)
        aside = [
            Aside(one.number, one.task, one.subject, one.reason, one.owner, max(0, (now - one.since).days), one.tries)
            for one in await quarantine.waiting(session)
        ]
    return ClosingReport(today, found, aside)


async def is_begun(session: AsyncSession) -> bool:
    """Return whether a day of the scheme was closed: from then on the background closes each."""
    return await queries.last_closed(session) is not None


async def day_report(session: AsyncSession, day: date) -> DayReport:
    """Return what a closed day ended with.

    Raises:
        DayNotClosed: it is not closed, or its balances are not written yet.
    """
    if not await queries.is_closed(session, day):
        raise DayNotClosed(day=day.isoformat())
    version = await queries.version_of(session, day)
    steps = msgspec.convert(await queries.steps_done(session, day, version), dict[str, StepDone])
    codes = await queries.balances_of(session, day, version)
    ordered: dict[str, StepDone] = {step.value: steps[step.value] for step in Step if step.value in steps}
    return DayReport(
        day=day,
        version=version,
        is_proven=Step.PROOF in steps and steps[Step.PROOF].is_clean,
        is_balanced=is_balanced(codes),
        steps=ordered,
        balances=[_row(one) for one in by_kind(codes)],
    )


# -- inside


class _Closing:
    """The closing of one day."""

    def __init__(self, db: Database, keys: FileKeyStore, tenant: Tenant, actor: str, day: date) -> None:
        self._db, self._keys, self._tenant, self._actor, self._day = db, keys, tenant, actor, day

    async def run(self, progress: Callable[[date, Step], None]) -> None:
        """Do the steps that are not done, in their order."""
        steps: Mapping[Step, Callable[[], Awaitable[StepDone]]] = {
            Step.CUT_OFF: self._cut_off,
            Step.RECONCILE: self._reconcile,
            Step.JOBS: self._jobs,
            Step.PROOF: self._prove,
            Step.CLOSE: self._close,
            Step.BALANCE: self._balance,
        }
        async with self._db.unit_of_work(self._tenant.tenant_id) as session:
            version = await queries.version_of(session, self._day)
            done = await queries.steps_done(session, self._day, version)
        self._version = version
        for step, work in steps.items():
            if step.value not in done:
                progress(self._day, step)
                said = await work()
                async with self._db.unit_of_work(self._tenant.tenant_id) as session:
                    await queries.add_step(session, self._day, version, step.value, said)

    async def _cut_off(self) -> StepDone:
        if not self._tenant.pack.business_calendar.is_open(self._day):
            return StepDone(["no business day: nothing is dealt"])
        return StepDone((await funds.run_dealing(self._db, self._tenant, self._day, self._actor)).lines())

    async def _reconcile(self) -> StepDone:
        return StepDone((await reconciliation.match_statements(self._db, self._tenant, actor=self._actor)).lines())

    async def _jobs(self) -> StepDone:
        db, tenant = self._db, self._tenant
        await funds.price_orders(db, tenant, self._day, self._actor)
        reversed_ = await contributions.carry_on_reversals(db, self._keys, tenant)
        claims = await benefits.carry_on_claims(db, tenant)
        payouts = await benefits.settle_payouts(db, self._keys, tenant)
        done = f"{reversed_} payments taken back, {claims} claims made payable"
        return StepDone([f"{done}, {payouts.settled} payouts gone, {payouts.returned} come back"])

    async def _prove(self) -> StepDone:
        async with self._db.unit_of_work(self._tenant.tenant_id) as session:
            proof = await reconciliation.prove_day(session, self._tenant, self._day)
        return StepDone(proof.lines() or ["nothing to prove"], proof.is_clean)

    async def _close(self) -> StepDone:
        until = end_of(self._day, self._tenant.time_zone)

        async def once() -> StepDone:
            async with self._db.unit_of_work(self._tenant.tenant_id) as session:
                await queries.hold_postings(session)
                now = await ledger.scheme_now(session)
                assert until <= now, (self._day, now)
                await queries.add_closing(session, self._day, self._version, until)
                return StepDone([f"nothing more is posted before {until.isoformat()}"])

        return await retry_transaction(once)

    async def _balance(self) -> StepDone:
        async def once() -> None:
            async with self._db.unit_of_work(self._tenant.tenant_id) as session:
                if not await queries.hold_unbalanced(session, self._day, self._version):
                    return
                since = await queries.until_of(session, date.fromordinal(self._day.toordinal() - 1))
                until = end_of(self._day, self._tenant.time_zone)
                await queries.write_balances(session, self._day, self._version, since, until)
                codes = await queries.balances_of(session, self._day, self._version)
                steps = await queries.steps_done(session, self._day, self._version)
                proof = msgspec.convert(steps[Step.PROOF], StepDone)
                (posted,) = await ledger.post(
                    session,
                    [
                        Entry(
                            member_id=house_member(self._tenant.tenant_id),
                            kind=EventKind.DAY_CLOSED,
                            business_date=self._day,
                            actor=await ledger.actor_id(session, self._actor),
                            pack=self._tenant.pack_id,
                            body={
                                "version": self._version,
                                "proven": str(proof.is_clean).lower(),
                                "balanced": str(is_balanced(codes)).lower(),
                                "balances": hashlib.sha256(msgspec.json.encode(codes)).hexdigest(),
                            },
                        )
                    ],
                )
                await queries.set_closed_event(session, self._day, self._version, posted.event_id)

        await retry_transaction(once)
        async with self._db.unit_of_work(self._tenant.tenant_id) as session:
            codes = await queries.balances_of(session, self._day, self._version)
        moved = sum(one.debits != 0 or one.credits != 0 for one in codes)
        return StepDone([f"{len(codes)} accounts, {moved} moved"], is_balanced(codes))


def _row(one: KindBalance) -> KindRow:
    return KindRow(
        one.kind,
        one.asset,
        *(f"{Decimal(units).scaleb(-one.scale):.{one.scale}f}" for units in (one.opening, one.debits, one.credits, one.closing)),
    )  # fmt: skip
