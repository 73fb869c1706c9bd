"""What managers confirm against what was ordered: equal confirms, all else has a name, and nothing changes by a manager's word."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.app import adapter
from engine.funds import service as funds
from engine.funds.rules.confirming import (
    ConfirmationState,
    PricedOrder,
    SentOrder,
    Verdict,
    judge,
    judge_unsent,
    turn_of_confirmation,
)
from engine.kernel.amounts import Amount, Asset
from engine.kernel.fund_orders import CONFIRMATION_BREAKS, OrderConfirmation, OrderSide, PooledOrder
from integrations.fund_managers.csv_files.layouts import PLAIN
from integrations.fund_managers.simulation import csv_messages, iso_messages
from integrations.fund_managers.simulation.books import FundPrice
from tests.conftest import new_tenant
from tests.engine.funds.conftest import UNMATCHED, Scheme, scheme_of
from tests.engine.funds.test_dealing import PRICES, savers
from tests.engine.funds.test_ordering import small, trading
from tests.engine.funds.test_selling import invested, sell
from tests.factories.trading import FUND, Trading

__all__ = ["small", "trading"]
INR = Asset.currency("INR")
PRICE = PRICES[FUND]
DAY = "2023-04-05"


async def ordered(trading: Trading, amount: int = 500_00) -> None:
    """An order of the cut-off of 3 April that was sent; it is the morning of the fifth."""
    await savers(trading.scheme, ["first"], [amount])
    await trading.scheme.deal("2023-04-03")
    await trading.send()
    await trading.scheme.clock("2023-04-05T04:30:00")


async def priced(trading: Trading, price: str = PRICE) -> None:
    await trading.scheme.price(DAY, {FUND: price})
    await trading.scheme.deal(DAY)


async def books(scheme: Scheme) -> list[Any]:
    """All that a confirmation may not change."""
    return [
        await scheme.rows("select * from prices order by fund_id, price_on"),
        await scheme.rows("select units_confirmed, digits, scale, price_on, state from orders order by dealing_id"),
        await scheme.rows("select count(*), sum(amount) from transfers"),
    ]


def confirmation(trading: Trading, **other: Any) -> OrderConfirmation:
    """The true confirmation of the one order that the manager took, or one that is other."""
    trading.manager.take_orders()
    (order,) = [one for one in trading.manager.books.taken.values() if one.amount is not None]
    assert order.amount is not None
    true = OrderConfirmation(
        row=0,
        reference=order.reference,
        deal_ref="DEAL-1",
        side=OrderSide.SUBSCRIBE,
        fund_code=FUND,
        units=(order.amount.decimal() / Decimal(PRICE)).quantize(Decimal("0.0001"), rounding="ROUND_DOWN"),
        price=Decimal(PRICE),
        amount=order.amount,
        traded_on=date.fromisoformat(DAY),
    )
    return replace(true, **other)


def file_of(trading: Trading, *deals: OrderConfirmation, number: int = 1) -> bytes:
    if trading.manager.layout is None:
        return iso_messages.write_confirmations(deals[0].side, "OMNIBUS-7", deals, f"C{number}")
    header = csv_messages.header_of(PLAIN, "MGR", number, date.fromisoformat(DAY))
    return csv_messages.write_executions(PLAIN, header, deals)


async def outcomes(trading: Trading) -> list[tuple[str, str]]:
    return [(one.state, one.reason) for one in await trading.listed()]


# -- through the manager's folder


async def test_a_manager_confirms_what_the_books_have(trading: Trading) -> None:
    """Orders out, prices and confirmations in, by files alone: a subscription, then a redemption."""
    scheme = trading.scheme
    await ordered(trading)
    trading.manager_deals(DAY, PRICE)
    assert await trading.take() == 3  # prices, executions, holdings
    assert await outcomes(trading) == [("waiting", "")]
    assert await scheme.rows("select state, held_for from prices") == [("accepted", "")]
    report = await scheme.deal(DAY)
    assert [(one.price, one.waiting) for one in report.orders] == [(PRICE, "")]
    assert await funds.judge_confirmations(scheme.db, scheme.tenant) == 1

    assert await outcomes(trading) == [("confirmed", "")]
    assert await funds.judge_confirmations(scheme.db, scheme.tenant) == 0
    (told,) = await trading.events(177)
    units = (await scheme.rows("select units_confirmed from orders"))[0][0]
    assert (Decimal(told["units"]), told["amount"], told["price"]) == (Decimal(units) / 10**4, "500.00", PRICE)
    assert [confirmed for *_, confirmed in await trading.files()] == [1]
    assert list(trading.site.for_us.iterdir()) == []
    assert await trading.take() == 0

    ((member,),) = await scheme.rows("select distinct member_id from balances where member_id > 0")
    await sell(scheme, member)
    await scheme.deal(DAY)
    await trading.send()
    await scheme.clock("2023-04-06T04:30:00")
    trading.manager_deals("2023-04-06", "33.0000")  # 15.3358 units are 506.0814
    await trading.take()
    await scheme.deal("2023-04-06")
    await funds.judge_confirmations(scheme.db, scheme.tenant)
    found = {one.side: (one.state, one.amount) for one in await trading.listed()}
    assert found == {"subscribe": ("confirmed", "500.00"), "redeem": ("confirmed", "506.08")}
    assert not await scheme.broken(but=UNMATCHED)


async def test_a_job_judges_what_waited_for_its_price(small: Trading) -> None:
    await ordered(small)
    report = await small.confirm(file_of(small, confirmation(small)))
    assert (report.confirmed, report.waiting, report.broken) == (0, 1, 0)
    await priced(small)

    queued = await small.scheme.rows("select task_name from procrastinate_jobs where status = 'todo'")
    assert ("funds.judge_confirmations",) in queued


async def test_a_manager_late_twice_wrong_corrected_and_of_orders_never_sent(trading: Trading) -> None:
    scheme = trading.scheme
    await ordered(trading)
    await priced(trading)
    for how in ("late", "never-sent", "late"):  # the prices' file, the executions', the holdings'
        trading.manager.sender.misbehave(how)
    trading.manager_deals(DAY, PRICE)
    await trading.take()
    assert await outcomes(trading) == [("break", "another-scheme"), ("confirmed", "")]
    assert not await scheme.broken(but=UNMATCHED)


@pytest.mark.parametrize(
    ("how", "first", "then"),
    [
        ("late", [], [("confirmed", "")]),
        ("twice", [("confirmed", "")], [("confirmed", "")]),
        ("corrected", [("break", "another-amount")], [("superseded", ""), ("confirmed", "")]),
        ("wrong-amount", [("break", "another-amount")], [("break", "another-amount")]),
        ("dropped", [], []),
        ("half-a-file", [], [("confirmed", "")]),
    ],
)
async def test_a_managers_bad_days(
    trading: Trading, how: str, first: list[tuple[str, str]], then: list[tuple[str, str]]
) -> None:
    await ordered(trading)
    await priced(trading)
    trading.manager.sender.misbehave("late")  # its prices, which we have
    trading.manager.sender.misbehave(how)
    trading.manager_deals(DAY, PRICE)
    before = await books(trading.scheme)
    await trading.take()
    assert await outcomes(trading) == first
    trading.manager.sender.day_passes()
    await trading.take()

    assert await outcomes(trading) == then
    assert (await books(trading.scheme))[1:] == before[1:]
    refused = await trading.scheme.rows("select refusal->>'reason' from confirmation_files where state = 'refused'")
    assert bool(refused) is (how == "half-a-file")


@pytest.mark.parametrize("is_first", [True, False], ids=["before-the-price", "after-it"])
async def test_a_manager_rounds_its_way_where_it_speaks_before_the_order_is_priced(
    small: Trading, is_first: bool
) -> None:
    """15.3358 units at 33.0004 are 506.0875: the books round down where the manager has not said what it pays."""
    scheme = small.scheme
    (member,) = await invested(scheme, [50000])
    await small.send()
    await sell(scheme, member)
    await scheme.deal(DAY)
    await small.send()
    await scheme.clock("2023-04-06T04:30:00")
    if not is_first:
        await scheme.price("2023-04-06", {FUND: "33.0004"})
        await scheme.deal("2023-04-06")
    small.manager_deals("2023-04-06", "33.0004")
    await small.take()
    (sale,) = (await scheme.deal("2023-04-06")).sales if is_first else [None]
    await funds.judge_confirmations(scheme.db, scheme.tenant)

    (told,) = [one for one in await small.listed() if one.side == "redeem"]
    assert told.amount == "506.09"
    booked = await scheme.rows("select amount_confirmed, amount_due, residue_amount from sale_orders")
    if is_first:
        assert sale is not None
        assert (sale.amount, sale.confirmed, sale.residue) == ("506.08", "506.09", "0.01")
        assert (told.state, booked) == ("confirmed", [(506_09, 506_08, 1)])
    else:
        assert (told.reason, booked) == ("another-amount", [(506_08, 506_08, 0)])
    assert not await scheme.broken(but=UNMATCHED)


async def test_a_manager_that_rounds_units_up_before_the_price_gives_the_residue(small: Trading) -> None:
    await ordered(small)
    true = confirmation(small)
    more = replace(true, units=true.units + Decimal("0.0001"))
    await small.confirm(file_of(small, more))
    await priced(small)
    await funds.judge_confirmations(small.scheme.db, small.scheme.tenant)

    assert await outcomes(small) == [("confirmed", "")]
    units = int(true.units * 10**4)
    assert await small.scheme.rows("select units_confirmed, units_due, residue_units from orders") == [
        (units + 1, units, 1)
    ]
    assert not await small.scheme.broken(but=UNMATCHED)


async def test_fewer_units_than_members_are_due_are_a_break_and_hold_nobody_up(small: Trading) -> None:
    await ordered(small)
    true = confirmation(small)
    await small.confirm(file_of(small, replace(true, units=true.units - Decimal("0.0001"))))
    await priced(small)
    await funds.judge_confirmations(small.scheme.db, small.scheme.tenant)

    assert await outcomes(small) == [("break", "another-number-of-units")]
    assert await small.scheme.rows("select state from orders") == [("priced",)]
    assert not await small.scheme.broken(but=UNMATCHED)


# -- each difference by its name


@pytest.mark.parametrize(
    ("other", "reason", "turn"),
    [
        ({"units": Decimal("15.3458")}, "units-not-price", "manager"),
        ({"price": Decimal("32.6035"), "units": Decimal("15.3357")}, "another-price", "manager"),
        ({"amount": Amount(500_01, INR)}, "another-amount", "manager"),
        ({"traded_on": date(2023, 4, 4)}, "another-day", "manager"),
        ({"traded_on": date(2023, 4, 2)}, "before-order", "manager"),
        ({"fund_code": "SM002009"}, "another-fund", "manager"),
        ({"amount": Amount(500_00, Asset.currency("USD"))}, "another-currency", "manager"),
        ({"side": OrderSide.REDEEM}, "another-side", "manager"),
        ({"reference": "another-scheme-1-SM001009"}, "another-scheme", "operator"),
    ],
)
async def test_what_differs_is_a_break_by_its_name_and_changes_nothing(
    trading: Trading, other: dict[str, Any], reason: str, turn: str
) -> None:
    await ordered(trading)
    await priced(trading)
    before = await books(trading.scheme)
    report = await trading.confirm(file_of(trading, confirmation(trading, **other)))

    assert (report.confirmed, report.broken) == (0, 1)
    (found,) = report.breaks
    assert (found.reason, found.turn, found.state, found.age_days) == (reason, turn, "break", 0)
    assert found.sentence == CONFIRMATION_BREAKS[reason]
    assert await books(trading.scheme) == before
    (told,) = await trading.events(178)
    assert told["reason"] == reason
    assert [confirmed for *_, confirmed in await trading.files()] == [0]


async def test_one_unit_more_than_the_price_makes_is_a_break(small: Trading) -> None:
    """The manager's rounding may pass the check of units against price, and is another number of units all the same."""
    await ordered(small)
    await priced(small)
    true = confirmation(small)
    report = await small.confirm(file_of(small, replace(true, units=true.units + Decimal("0.0001"))))
    assert [one.reason for one in report.breaks] == ["another-number-of-units"]


async def test_of_an_order_never_placed_or_placed_and_not_sent(small: Trading) -> None:
    scheme = small.scheme
    await ordered(small)
    await priced(small)
    unknown = replace(confirmation(small), reference=f"{scheme.tenant.code}-99-SM001009")
    report = await small.confirm(file_of(small, unknown))
    assert [(one.reason, one.turn) for one in report.breaks] == [("no-such-order", "manager")]

    await savers(scheme, ["second"], [10000], "b")  # a fund of another manager, whose orders are sent by nobody
    await scheme.deal(DAY)
    ((reference,),) = await scheme.rows("select reference from orders where amount = 10000")
    report = await small.confirm(file_of(small, replace(unknown, reference=reference, deal_ref="D2"), number=2))
    assert [(one.reason, one.turn) for one in report.breaks] == [("never-sent", "operator")]


async def test_another_managers_confirmation_of_our_order_is_a_break(small: Trading) -> None:
    await ordered(small)
    await priced(small)
    small.joined = replace(small.joined, name="pfm-two")
    report = await small.confirm(file_of(small, confirmation(small)))
    assert [one.reason for one in report.breaks] == ["never-sent"]


async def test_another_tenants_confirmation_confirms_nothing_there_or_here(
    small: Trading, database_urls: tuple[str, str], tmp_path: Path
) -> None:
    """The file of one scheme is uploaded for another: a break there, and the order's own scheme sees nothing of it."""
    await ordered(small)
    await priced(small)
    other = await scheme_of(small.scheme.db, new_tenant(database_urls[0]), tmp_path)
    theirs = replace(small, scheme=other)
    report = await theirs.confirm(file_of(small, confirmation(small)))

    assert [(one.reason, one.turn) for one in report.breaks] == [("another-scheme", "operator")]
    assert await small.listed() == []
    assert [confirmed for *_, confirmed in await small.files()] == [0]
    assert (await small.confirm(file_of(small, confirmation(small)))).confirmed == 1


# -- said more than once


async def test_the_same_bytes_twice_change_nothing(trading: Trading) -> None:
    await ordered(trading)
    await priced(trading)
    raw = file_of(trading, confirmation(trading))
    first = await trading.confirm(raw)
    again = await trading.confirm(raw, "renamed.xml")

    assert (first.state, first.confirmed, again.state) == ("imported", 1, "known")
    assert again.first_imported_at is not None
    assert await outcomes(trading) == [("confirmed", "")]
    assert len(await trading.events(176)) == 1


async def test_ten_at_once_are_one(small: Trading) -> None:
    await ordered(small)
    await priced(small)
    raw = file_of(small, confirmation(small))
    found = await asyncio.gather(*(small.confirm(raw) for _ in range(10)))
    assert sorted(one.state for one in found) == ["imported", *["known"] * 9]
    assert len(await small.events(177)) == 1


async def test_the_same_deal_in_another_file_is_repeated_and_another_deal_of_the_order_a_break(
    trading: Trading,
) -> None:
    await ordered(trading)
    await priced(trading)
    true = confirmation(trading)
    for number, deal in enumerate((true, true, replace(true, deal_ref="DEAL-2")), 1):
        await trading.confirm(file_of(trading, deal, number=number), f"{number}.xml")
    assert await outcomes(trading) == [("confirmed", ""), ("repeated", ""), ("break", "already-confirmed")]
    assert len(await trading.events(177)) == 1


async def test_a_correction_supersedes_a_break_and_never_a_confirmation(trading: Trading) -> None:
    await ordered(trading)
    await priced(trading)
    true = confirmation(trading)
    for number, deal in enumerate(
        (replace(true, amount=Amount(1, INR)), true, replace(true, amount=Amount(2, INR))), 1
    ):
        await trading.confirm(file_of(trading, deal, number=number), f"{number}.xml")
    assert await outcomes(trading) == [("superseded", ""), ("confirmed", ""), ("break", "confirmed-otherwise")]
    assert [one["reason"] for one in await trading.events(178)] == ["another-amount", "confirmed-otherwise"]
    assert await trading.scheme.rows("select count(*)::int from confirmations where event_id = 0") == [(0,)]


async def test_parts_confirm_once_they_are_the_whole(trading: Trading) -> None:
    await ordered(trading)
    await priced(trading)
    true = confirmation(trading)
    units = Decimal("6.1343")
    parts = [
        replace(true, units=units, amount=Amount(200_00, INR), is_partial=True),
        replace(true, units=true.units - units, amount=Amount(300_00, INR), is_partial=True, deal_ref="DEAL-2"),
    ]
    await trading.confirm(file_of(trading, parts[0]))
    assert await outcomes(trading) == [("part", "")]
    assert [confirmed for *_, confirmed in await trading.files()] == [0]
    await trading.confirm(file_of(trading, parts[1], number=2))
    assert await outcomes(trading) == [("confirmed", "")] * 2
    (told,) = await trading.events(177)
    assert (Decimal(told["units"]), told["amount"], told["deals"]) == (true.units, "500.00", 2)


async def test_a_refused_file_is_kept_and_its_bytes_may_come_again(small: Trading) -> None:
    report = await small.confirm(b"H,EXECUTIONS,MGR,1,2023-04-05,C1,NEW\n", "half.csv")
    assert (report.state, report.is_refused) == ("refused", True)
    assert "no-trailer" in report.refusal
    again = await small.confirm(b"H,EXECUTIONS,MGR,1,2023-04-05,C1,NEW\n", "half.csv")
    assert again.state == "refused"
    rows = await small.scheme.rows("select state, name, raw from confirmation_files")
    assert rows == [("refused", "half.csv", b"H,EXECUTIONS,MGR,1,2023-04-05,C1,NEW\n")]


# -- prices by the manager's own files


async def test_a_price_that_moved_too_far_waits_for_a_second_person_whatever_confirms_it(trading: Trading) -> None:
    """The same tolerance as for any price file; the confirmation waits with it, and is then judged by what was approved."""
    scheme = trading.scheme
    await invested(scheme, [50000], "x")
    await savers(scheme, ["first"], [60000], "y")
    await scheme.deal(DAY)
    await trading.send()
    await scheme.clock("2023-04-06T04:30:00")
    trading.manager_deals("2023-04-06", "40.0000")
    await trading.take()
    held = await scheme.rows("select state, held_for from prices where digits = 400000 or digits = 40")
    assert held == [("held", "moved")]
    assert {one.state for one in await trading.listed() if "60000" in one.amount.replace(".", "")} == {"waiting"}

    async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
        await funds.reject_price(session, scheme.tenant, FUND, date(2023, 4, 6), "staff:2")
    await scheme.price("2023-04-06", {FUND: "33.0000"})
    await scheme.deal("2023-04-06")
    await funds.judge_confirmations(scheme.db, scheme.tenant)
    assert {one.reason for one in await trading.listed() if one.amount == "600.00"} == {"another-price"}
    assert not await scheme.broken(but=UNMATCHED)


async def test_a_price_file_of_a_manager_prices_no_fund_of_another(small: Trading) -> None:
    scheme = small.scheme
    await scheme.clock("2023-04-05T04:30:00")
    small.manager.deal(date(2023, 4, 5), {"SM002009": Decimal("31.0274")})
    await small.take()
    ((state, refused),) = await scheme.rows("select state, refused from price_files")
    assert (state, [one["reason"] for one in refused]) == ("imported", ["another-manager"])
    assert await scheme.rows("select count(*)::int from prices") == [(0,)]


@pytest.mark.parametrize("namespace", [iso_messages.REDA_ISO, iso_messages.REDA_SWIFT])
async def test_a_price_report_is_imported_as_any_price_file(scheme: Scheme, namespace: str) -> None:
    """reda.001 by hand, as the pack may name it: it names no manager, so each price is of its fund's own."""
    await scheme.clock("2023-04-05T04:30:00")
    priced = [FundPrice(fund_code=FUND, name="One", day=date(2023, 4, 5), price=Decimal(PRICE))]
    raw = iso_messages.write_prices(priced, INR, "P1", namespace=namespace)
    reader = adapter("FundManager", "iso-20022")
    report = await funds.import_prices(scheme.db, scheme.tenant, reader, raw, "prices.xml", None, "staff:1")
    again = await funds.import_prices(scheme.db, scheme.tenant, reader, raw, "prices.xml", None, "staff:1")

    assert (report.accepted, report.held, again.state) == ({FUND: PRICE}, (), "known")


# -- the rule alone


def sent(**other: Any) -> SentOrder:
    order = SentOrder(
        order=PooledOrder(reference="X-1-F", side=OrderSide.SUBSCRIBE, fund_code="F", amount=Amount(100_00, INR)),
        manager="one",
        dealing_on=date(2023, 4, 3),
        unit_scale=4,
        priced=PricedOrder(price_on=date(2023, 4, 4), price=Decimal(10), units=Decimal("10.0000"), amount=100_00),
    )
    return replace(order, **other)


def deal(units: str = "10", amount: int = 100_00, **other: Any) -> OrderConfirmation:
    return replace(
        OrderConfirmation(
            row=1,
            reference="X-1-F",
            deal_ref="D",
            side=OrderSide.SUBSCRIBE,
            fund_code="F",
            units=Decimal(units),
            price=Decimal(10),
            amount=Amount(amount, INR),
            traded_on=date(2023, 4, 4),
        ),
        **other,
    )


CONFIRMED, PART, WAITING = (
    Verdict(one) for one in (ConfirmationState.CONFIRMED, ConfirmationState.PART, ConfirmationState.WAITING)
)


def broken(reason: str) -> Verdict:
    return Verdict(ConfirmationState.BREAK, reason)


@pytest.mark.parametrize(
    ("order", "deals", "expected"),
    [
        (sent(), [deal()], [CONFIRMED]),
        (sent(priced=None), [deal()], [WAITING]),
        (sent(priced=None), [deal(amount=99_00)], [broken("another-amount")]),
        (sent(is_confirmed=True), [deal()], [broken("already-confirmed")]),
        (sent(manager="two"), [deal()], [broken("never-sent")]),
        (sent(), [deal("4", 40_00, is_partial=True)], [PART]),
        (sent(), [deal("4", 40_00, is_partial=True), deal("6", 60_00, is_partial=True)], [CONFIRMED] * 2),
        (sent(), [deal("4", 40_00, is_partial=True), deal("7", 70_00, is_partial=True)], [broken("another-amount")] * 2),
        (sent(), [deal("4", 40_00, is_partial=True), deal("6.0001", 60_00, is_partial=True)], [broken("another-number-of-units")] * 2),
        (sent(), [deal("4", 40_00, is_partial=True), deal()], [broken("another-amount")] * 2),
        (sent(), [deal(price=Decimal("10.00000000000000001"))], [broken("another-price")]),
    ],
)  # fmt: skip
def test_deals_are_judged_by_themselves_and_together(
    order: SentOrder, deals: Sequence[OrderConfirmation], expected: list[Verdict]
) -> None:
    assert judge(order, deals, manager="one") == expected


def test_what_was_not_sent_is_told_apart() -> None:
    assert judge_unsent("xx-1-F", is_placed=False, scheme="xx") == broken("no-such-order")
    assert judge_unsent("xx-1-F", is_placed=True, scheme="xx") == broken("never-sent")
    assert judge_unsent("xxy-1-F", is_placed=False, scheme="xx") == broken("another-scheme")


def test_every_reason_has_its_turn() -> None:
    turns = {reason: turn_of_confirmation(reason) for reason in CONFIRMATION_BREAKS}
    assert {reason for reason, turn in turns.items() if turn == "operator"} == {"never-sent", "another-scheme"}
