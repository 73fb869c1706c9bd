"""When a partner is told again, and where partners may be told."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel.addresses import is_address_open
from engine.webhooks.rules import next_wait, url_problem


@given(st.floats(0, 1, exclude_max=True))
def test_waits_are_those_of_the_table_and_a_little_longer(luck: float) -> None:
    table = [0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    waits = [next_wait(attempts, luck) for attempts in range(11)]

    assert waits[10] is None
    for seconds, wait in zip(table, waits[:10], strict=True):
        assert wait is not None
        assert timedelta(seconds=seconds) <= wait <= timedelta(seconds=seconds * 1.2)


def test_an_endpoint_that_asks_for_time_gets_it_up_to_a_day() -> None:
    assert next_wait(1, 0.0, 90) == timedelta(seconds=90)
    assert next_wait(2, 0.0, 90) == timedelta(minutes=5)
    assert next_wait(1, 0.0, 10**8) == timedelta(days=1)
    assert next_wait(10, 0.0, 90) is None


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://partner.example/hooks?a=b", ""),
        ("https://partner.example:8443/", ""),
        ("https://8.8.8.8/hooks", ""),
        ("http://127.0.0.1:9000/hooks", ""),
        ("http://localhost:9000/hooks", ""),
        ("https://[::1]:9000/", ""),
        ("http://partner.example/hooks", "not-https"),
        ("ftp://partner.example/", "not-https"),
        ("http://127.0.0.1.partner.example/", "not-https"),
        ("https://user:secret@partner.example/", "credentials-or-fragment"),
        ("https://partner.example/#a", "credentials-or-fragment"),
        ("https://10.1.2.3/", "private-address"),
        ("https://169.254.169.254/latest/meta-data", "private-address"),
        ("https://[fd00::1]/", "private-address"),
        ("https://[::ffff:10.0.0.1]/", "private-address"),
        ("https://2130706433/", "private-address"),
        ("https://0x7f000001/", "private-address"),
        ("https://127.1/", "private-address"),
        ("https://0x7f.0.0.0x1/", "private-address"),
        ("https:///hooks", "not-a-url"),
        ("https://partner.example:99999/", "not-a-url"),
        ("https://partner.example/\r\nHost: other", "not-a-url"),
        ("https://partner.example\\@10.0.0.1/", "not-a-url"),
        ("https://[::1/", "not-a-url"),
        ("https://partner.example/" + "a" * 500, "not-a-url"),
        ("hooks", "not-a-url"),
    ],
)
def test_addresses_that_partners_may_give(url: str, problem: str) -> None:
    assert url_problem(url, is_local_allowed=True) == problem


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://partner.example/", ""),
        ("https://127.0.0.1/", "private-address"),
        ("https://[::1]/", "private-address"),
        ("https://localhost/", "private-address"),
        ("http://127.0.0.1/", "not-https"),
    ],
)
def test_this_machine_may_be_told_only_where_that_is_allowed(url: str, problem: str) -> None:
    assert url_problem(url) == problem


@pytest.mark.parametrize(
    ("address", "is_open"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("64:ff9b::808:808", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("100.64.0.1", False),
        ("172.16.0.1", False),
        ("192.168.0.1", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fec0::1", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
    ],
)
def test_addresses_of_the_internet(address: str, is_open: bool) -> None:
    assert is_address_open(address) is is_open
