"""Fees over HTTP: what can be asked, and what they cost a member so far."""

from typing import Any

import pytest

from engine.kernel.permissions import Permission
from tests.api.site import Site

FEES = "/v1/operations/fees"


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({}, 409, "benefits.fee-too-soon"),
        ({"date": "9999-12-31"}, 404, "benefits.no-fee-due"),
        ({"table_keys": {"": "protean"}}, 422, "request.invalid"),
        ({"table_keys": ["protean"]}, 422, "request.invalid"),
        ({"leaving": "100000000000"}, 404, "identity.unknown-member"),
        ({"date": "2026-03-30"}, 404, "benefits.no-fee-due"),
        ({"product": "none"}, 404, "tenancy.unknown-product"),
    ],
)
def test_what_cannot_be_charged_is_refused(site: Site, changed: dict[str, Any], status: int, code: str) -> None:
    body = {"product": "nps-lite", "date": "2026-03-31"} | changed

    answer = site.ask("POST", FEES, Permission.FEES_PROPOSE, json=body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_member_sees_what_fees_cost(site: Site) -> None:
    answer = site.ask("GET", f"/v1/members/{site.members[0].number}/fees", Permission.STATEMENTS_READ)

    assert answer.status_code == 200
    assert (answer.json()["currency"], answer.json()["taken"], answer.json()["fees"]) == ("INR", "0.00", [])
