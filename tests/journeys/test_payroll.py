"""A month's payroll paid by a simulated wallet operator, of whose payouts 3 % fail: everything is accounted for."""

import asyncio
from datetime import date
from pathlib import Path

import pytest

from engine.benefits import service
from engine.benefits.rules.paying import AccountGiven, Payee
from engine.benefits.service import Payroll
from engine.enrolment import queries as enrolment_queries
from engine.identity import queries as identity_queries
from engine.runtime.database import Database
from engine.runtime.key_file import FileKeyStore
from tests.engine.benefits.test_sending import show
from tests.factories.claims import CHECKER, MAKER, Claims
from tests.factories.wallets import KINDS, Wallets, impatient, open_wallets

PENSIONERS, FAILING = 100, 3


async def retire(scheme: Claims, wallets: Wallets, number: str) -> int:
    """A member of 57 who takes 240,000 francs in monthly instalments over a year; return the claim."""
    member = await scheme.member(date(2019, 6, 1), date(1966, 3, 10))
    await scheme.pay(member, 240_000, pot="savings", on=date(2022, 1, 5))
    claim = await scheme.claim(member, "retirement", key=f"r{member.member_id}", rule="own-instalments", years=1)
    await scheme.approve(claim)
    await name(scheme, wallets, claim.claim_id, number)
    return claim.claim_id


async def name(scheme: Claims, wallets: Wallets, claim: int, number: str) -> None:
    wallets.simulator.holders[number.lstrip("+")] = "Asha Example"
    payee = Payee(accounts=(AccountGiven(rail=scheme.channel, number=number),))
    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await service.name_payee(session, scheme.keys, scheme.tenant, claim, payee, actor=MAKER)


async def pay(scheme: Claims, wallets: Wallets, month: date) -> Payroll:
    """Propose and approve a payroll; let the worker pay it, and the operator's statement show what went."""
    seen = len(wallets.simulator.movements)
    counted = await service.propose_payroll(scheme.db, scheme.tenant, scheme.product, month, actor=MAKER)
    run_no = counted.row.run_no
    await service.approve_payroll(scheme.db, scheme.tenant, run_no, digest=counted.row.digest, actor=CHECKER)
    async with asyncio.timeout(150):
        while True:
            await wallets.turn()
            async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
                found = await service.find_payroll(session, run_no)
            if found.row.state == "done" and found.fates.keys() <= {"succeeded", "failed"}:
                break
            await asyncio.sleep(0.05)
    await wallets.simulator.settle()
    moved = wallets.simulator.movements[seen:]
    await show(wallets, *((-int(one.amount), one.transaction) for one in moved))
    return found


@pytest.mark.timeout(400)
async def test_a_payroll_of_which_three_percent_fail_is_all_accounted_for(
    db: Database, keys: FileKeyStore, database_urls: tuple[str, str], tmp_path: Path
) -> None:
    async with (
        impatient() as transport,
        open_wallets(KINDS["mtn-momo"], db, keys, database_urls[0], tmp_path, transport) as wallets,
    ):
        scheme = Claims(db, wallets.tenant, keys, "ltss", "mtn-momo")
        numbers = [wallets.kind.unwilling if index < FAILING else f"+2507881{index:05d}" for index in range(PENSIONERS)]
        claims = [await retire(scheme, wallets, number) for number in numbers]

        april = await pay(scheme, wallets, date(2023, 4, 1))
        assert april.fates == {
            "failed": (FAILING, FAILING * 20_000),
            "succeeded": (PENSIONERS - FAILING, (PENSIONERS - FAILING) * 20_000),
        }
        assert await scheme.control("payouts-in-transit") == 0, "all that left is on the statement"
        rows = await scheme.rows(
            "select sum(b.credits - b.debits)::bigint from balances b join chart c on c.tenant_id = b.tenant_id and c.code = b.code where c.kind = 'payable'"
        )
        assert rows == [(FAILING * 20_000,)], "what failed is still the pensioners'"

        for index in range(FAILING):
            await name(scheme, wallets, claims[index], f"+2507889{index:05d}")
        await scheme.clock("2023-05-02T08:00:00")
        may = await pay(scheme, wallets, date(2023, 5, 1))
        assert may.totals.paying == (PENSIONERS + FAILING) * 20_000
        assert may.fates == {"succeeded": (PENSIONERS, (PENSIONERS + FAILING) * 20_000)}
        assert await scheme.control("payouts-in-transit") == 0
        assert len(wallets.simulator.movements) == 2 * PENSIONERS - FAILING, "nobody was paid twice"
        # The factory writes its members straight into the vault; how people come in is not what is tested here.
        joined = {law.name for law in (*identity_queries.LAWS, *enrolment_queries.LAWS)}
        assert not [one for one in await wallets.offences() if one.law not in joined]
