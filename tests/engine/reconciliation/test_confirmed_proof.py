"""The three-way proof: statement = books = the manager's confirmed units × price, all by files."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from engine.reconciliation.service import FundProof
from tests.engine.funds.conftest import Scheme
from tests.engine.reconciliation.test_proofs import line, prove, statement, take
from tests.factories.trading import FUND, SPEAKING, trading_of

DEALT = date(2023, 4, 4)


@pytest.mark.parametrize("speaks", list(SPEAKING))
async def test_a_day_is_clean_once_the_manager_confirmed_what_was_paid(
    scheme: Scheme, tmp_path: Path, speaks: str
) -> None:
    trading = trading_of(scheme, tmp_path, speaks)
    (member,) = await scheme.members(["first"])
    await scheme.receive([(member, {"retirement": 10_000}, "R1")])
    await take(scheme, "in", statement(line(10_000, "R1")))
    (order,) = (await scheme.deal("2023-04-03")).orders
    await trading.send()
    await scheme.clock("2023-04-04T10:00:00")
    out = line(-10_000, e2e=order.reference, day=DEALT)
    await take(scheme, "out", statement(out, opening=10_000, day=DEALT))

    async def found() -> FundProof:
        return next(one for one in (await prove(scheme, DEALT)).funds if one.fund == FUND)

    assert (await found()).confirmed is None  # sent, and nothing is priced yet
    trading.manager.sender.misbehave("late")  # the prices, which we have by another file
    trading.manager.sender.misbehave("late")  # the confirmation
    trading.manager_deals("2023-04-04", "30.0000")
    await scheme.price("2023-04-04", {FUND: "30.0000"})
    await scheme.deal("2023-04-04")
    await trading.take()
    waits = await found()
    assert (waits.books, waits.difference, waits.confirmed, waits.unconfirmed) == (
        "3.3333",
        "0.0000",
        "0.0000",
        "3.3333",
    )
    assert not (await prove(scheme, DEALT)).is_clean
    assert "not confirmed 3.3333" in "\n".join((await prove(scheme, DEALT)).lines())

    trading.manager.sender.day_passes()
    await trading.take()
    proof = await prove(scheme, DEALT)
    done = await found()
    assert (done.confirmed, done.confirmed_value, done.unconfirmed) == ("3.3333", "99.99", "0.0000")
    assert Decimal(done.value or 0) == Decimal("99.99")
    assert proof.is_clean
    assert [(one.account, one.closing, one.unexplained) for one in proof.accounts] == [("upi", "0.00", "0.00")]
    assert not await scheme.broken()


async def test_a_confirmation_that_differs_leaves_the_day_unclean(scheme: Scheme, tmp_path: Path) -> None:
    trading = trading_of(scheme, tmp_path, "csv-files")
    (member,) = await scheme.members(["first"])
    await scheme.receive([(member, {"retirement": 10_000}, "R1")])
    await take(scheme, "in", statement(line(10_000, "R1")))
    await scheme.deal("2023-04-03")
    await trading.send()
    await scheme.clock("2023-04-04T10:00:00")
    await scheme.price("2023-04-04", {FUND: "30.0000"})
    await scheme.deal("2023-04-04")
    trading.manager_deals("2023-04-04", "31.0000")
    await trading.take()

    assert {one.reason for one in await trading.listed()} == {"another-price"}
    (proof,) = [one for one in (await prove(scheme, DEALT)).funds if one.fund == FUND]
    assert (proof.price, proof.confirmed, proof.unconfirmed) == ("30.0000", "0.0000", "3.3333")
    assert not (await prove(scheme, DEALT)).is_clean
