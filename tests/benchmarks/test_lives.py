"""A few hundred whole lives: what the benchmark of them does is done, the books hold, and Python's memory does not grow."""

import secrets

from benchmarks.lives import Life, live
from benchmarks.stage import Stage
from tests.conftest import create_database, migrate


async def test_few_live_a_few_years_and_every_law_of_the_books_holds(superuser_url: str) -> None:
    """People join, pay, are credited and charged, retire, are paid and die; `live` itself holds the laws against the books."""
    app_url, owner_url = create_database(superuser_url, f"lives{secrets.token_hex(4)}")
    migrate(owner_url, app_url)
    *head, _ = superuser_url.rpartition("/")
    own = "".join(head) + app_url.rpartition("/")[2]
    found = await live(Stage(app_url, owner_url, own, 0, 0, 0), members=300, years=3)
    lives = [Life(index) for index in range(300)]
    retiring = [one for one in lives if one.retires_in == 2021 and one.dies_in >= 2021]
    assert found["retired"] == len(retiring) > 0
    assert found["deaths"] == sum(one.dies_in <= 2021 for one in lives) > 0
    assert found["instalments"] > 0
    assert found["laws_broken"] == 0
    payments = sum(bool(one.pays(year)) for one in lives for year in (2019, 2020, 2021))
    assert found["ledger_rows"] > 3 * payments, "interest, fees and state money beside payments"
    assert found["python_kib_at_most"] < 1.2 * found["python_kib_after_joining"]
