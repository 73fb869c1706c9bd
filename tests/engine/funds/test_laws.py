"""Each law of dealing names the damage it is there for."""

from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest

from engine.funds import service as funds
from engine.funds.queries import LAWS
from tests.engine.funds.conftest import Scheme
from tests.engine.funds.test_acting import earn, split
from tests.engine.funds.test_correcting import correct, ruled
from tests.engine.funds.test_correcting_switches import correct as correct_switch
from tests.engine.funds.test_crediting import credit, with_rule
from tests.engine.funds.test_selling import sell
from tests.engine.funds.test_switching import buy_all, free, pay, switch
from tests.factories.trading import trading_of

UNITS = "(select code from chart where kind = 'units' limit 1)"

DAMAGE = {
    "units-are-confirmed-units": "update orders set units_confirmed = units_confirmed + 1, residue_units = residue_units + 1",
    "confirmed-orders-are-what-managers-said": "update order_sendings set confirmed_event = 1",
    "cancelled-orders-are-released": "update order_sendings set is_released = true",
    "orders-are-their-allocations": "delete from allocations where ctid = (select min(ctid) from allocations where tenant_id = {t})",
    "in-transit-is-unpriced": "update allotments set amount = amount - 1 where range_no = 1",
    "orders-move-their-cash": "update transfers set amount = amount + 1 where event_id = (select max(event_id) from orders where tenant_id = {t})",
    "units-follow-the-formula": f"""update transfers set amount = amount + case when line % 4 = 0 then 1 else -1 end
        where tenant_id = {{t}} and credit = {UNITS} and line in (2, 4)""",
    "residue-is-what-rounding-left": "update orders set units_confirmed = units_confirmed + 1, residue_units = residue_units + 1",
    "allocations-are-whole-receipts": "update allocations set amount = amount + 1 where ctid = (select min(ctid) from allocations where tenant_id = {t})",
    "orders-take-a-published-price": "update prices set digits = digits + 1",
    "sale-orders-are-their-sales": "delete from sales where ctid = (select min(ctid) from sales where tenant_id = {t})",
    "selling-is-unsold": "update sale_ranges set event_id = 0",
    "proceeds-follow-the-formula": "update sales set units = units + 100",
    "proceeds-are-due": "update sale_orders set settled_event = 0",
    "interest-is-what-was-credited": "update interest_credits set minor = minor + 1",
    "interest-runs-are-their-credits": "update interest_ranges set credited = credited + 1",
    "pool-income-waits-to-be-shared-out": """insert into pool_incomes (amount, tenant_id, income_no, maker, checker, year_from, product, held_by, reference, digest, state)
        values (5, {t}, 1, 1, 2, '2023-04-01', 'nps-lite', 'custodian', 'R', '', 'approved')""",
    "interest-is-paid-for": """update interest_runs set is_done = true, is_final = true, terms = terms || '{{"pool": {{"held_by": "custodian"}}}}', distributed = distributed + 7""",
    "what-members-owe-back-is-receivable": "update interest_credits set uncovered = uncovered + 1",
    "corrections-follow-the-formula": "update correction_lines set bought = bought + 1",
    "corrected-switches-buy-at-their-prices": "update correction_switches set units = units + 3",
    "corrections-are-booked": "update correction_results set issued = issued + 1",
    "corrections-are-borne": "update correction_results set borne = borne + 1",
    "fund-actions-follow-the-formula": "update fund_action_lines set got = got + 2 where base > 100",
    "fund-actions-are-booked": "update fund_action_lines set got = got + 1",
    "fund-actions-leave-a-residue": "update fund_actions set residue = residue + 1",
    "income-due-is-unpaid": "update fund_actions set stated = stated + 1 where state = 'approved'",
    "switches-buy-with-what-they-sold": "update switch_legs set minor = minor + 1",
    "proceeds-residue-is-what-rounding-left": "update sale_orders set amount_confirmed = amount_confirmed + 1, residue_amount = residue_amount + 1",
}


@pytest.mark.parametrize("law", [law.name for law in LAWS])
async def test_damage_is_named(
    scheme: Scheme, superuser_url: str, database_urls: tuple[str, str], tmp_path: Path, law: str
) -> None:
    members = await scheme.members(["first"] * 5)
    events = await scheme.receive([(m, {"retirement": 5000 + 7 * i}, f"r{i}") for i, m in enumerate(members)])
    await scheme.allocate(list(zip(members, events, strict=True)))
    await scheme.deal("2023-04-03")
    await scheme.clock("2023-04-05T04:30:00")
    await scheme.price("2023-04-05", {"SM001009": "32.6034"})
    await scheme.deal("2023-04-05")
    for member in members[:3]:
        await sell(scheme, member)
    await switch(free(scheme), members[3])
    await scheme.deal("2023-04-05")
    await scheme.clock("2023-04-06T04:30:00")
    await scheme.price("2023-04-06", {"SM001009": "33.0071"})
    await scheme.deal("2023-04-06")
    await correct(ruled(scheme), "30.5")
    await pay(scheme)
    await funds.carry_on_switches(scheme.db, scheme.tenant)
    await buy_all(scheme)
    await correct_switch(ruled(scheme), "36")
    await trading_of(scheme, tmp_path, "csv-files").send()
    await scheme.clock("2024-04-02T04:30:00")
    await credit(with_rule(scheme))
    await split(scheme, 3, 2, on=date(2024, 4, 1), price="20")
    await earn(scheme)
    tenant_id = scheme.tenant.tenant_id
    (sql,) = [one.sql for one in LAWS if one.name == law]
    app, database = _names(database_urls)
    with psycopg.connect(superuser_url, dbname=database) as connection:
        connection.execute("select set_config('app.tenant', %s, true)", (str(tenant_id),))

        def found() -> list[Any]:
            connection.execute(f"set local role {app}")
            rows = connection.execute(sql).fetchall()
            connection.execute("reset role")
            return rows

        assert found() == []
        connection.execute("set local session_replication_role = replica")
        damage = DAMAGE[law].format(t=tenant_id)
        if "{t}" not in DAMAGE[law]:
            damage += f" {'and' if ' where ' in damage else 'where'} tenant_id = {tenant_id}"
        assert connection.execute(damage).rowcount
        offences = found()
        assert offences
        assert all(len(row) == 3 for row in offences)
        connection.rollback()


def _names(database_urls: tuple[str, str]) -> tuple[str, str]:
    info = psycopg.conninfo.conninfo_to_dict(database_urls[0])
    return str(info["user"]), str(info["dbname"])


def test_every_law_has_its_damage() -> None:
    assert DAMAGE.keys() == {law.name for law in LAWS}
