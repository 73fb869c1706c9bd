"""Roles, scopes, sessions' ends and forged requests, as rules."""

from datetime import UTC, datetime, timedelta

import pytest

from engine.access import rules
from engine.access.errors import (
    ConflictingRoles,
    ForgedRequest,
    MissingPermission,
    SamePerson,
    ScopeNotAllowed,
    UnknownRole,
)
from engine.access.rules import CONFLICTS, FIRST_ROLES, PARTNER_SCOPES, ROLES, Caller, Role
from engine.kernel.permissions import Permission

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
STAFF = Caller(1, "staff:1", frozenset(), "staff", csrf=rules.csrf_token("1.cookie"))


def test_every_permission_is_in_some_role() -> None:
    held = frozenset().union(*ROLES.values())

    # Where a partner is told is for the partner alone to say.
    assert held == frozenset(Permission) - {Permission.PUBLIC, Permission.WEBHOOKS_MANAGE}


def test_no_partner_may_decide_what_a_person_must_decide() -> None:
    assert not PARTNER_SCOPES & {
        Permission.PUBLIC,
        Permission.SUSPENSE_RESOLVE,
        Permission.REVERSALS_PROPOSE,
        Permission.REVERSALS_APPROVE,
        Permission.BREAKS_PROPOSE,
        Permission.BREAKS_APPROVE,
        Permission.PRICES_APPROVE,
        Permission.DEALING_RUN,
        Permission.AUDIT_READ,
    }


def test_the_first_member_of_staff_may_hold_all_first_roles() -> None:
    assert rules.check_roles(FIRST_ROLES) == frozenset(FIRST_ROLES)


@pytest.mark.parametrize("pair", [tuple(sorted(pair)) for pair in CONFLICTS], ids="+".join)
def test_conflicting_roles_are_refused(pair: tuple[Role, ...]) -> None:
    with pytest.raises(ConflictingRoles) as refused:
        rules.check_roles(pair)

    assert {refused.value.details["one"], refused.value.details["other"]} == {role.value for role in pair}


@pytest.mark.parametrize("names", [[], ["admin"], ["operator", "root"]])
def test_unknown_roles_are_refused(names: list[str]) -> None:
    with pytest.raises(UnknownRole) as refused:
        rules.check_roles(names)

    assert "price-checker" in str(refused.value)


def test_maker_and_checker_of_prices_share_nothing_but_looking() -> None:
    assert ROLES[Role.PRICE_MAKER] & ROLES[Role.PRICE_CHECKER] == {Permission.OPERATIONS_READ}


@pytest.mark.parametrize("names", [[], ["prices:approve"], ["public"], ["members:read", "everything"]])
def test_scopes_that_are_not_for_partners_are_refused(names: list[str]) -> None:
    with pytest.raises(ScopeNotAllowed):
        rules.check_scopes(names)


@pytest.mark.parametrize(
    ("wanted", "got"),
    [
        ("", {"members:read", "members:enrol"}),
        ("members:read", {"members:read"}),
        ("members:read members:read", {"members:read"}),
        ("members:read audit:read", None),
        ("nonsense", None),
    ],
)
def test_a_token_gets_what_is_asked_for_and_held(wanted: str, got: set[str] | None) -> None:
    held = frozenset({Permission.MEMBERS_READ, Permission.MEMBERS_ENROL})

    assert rules.narrow_scopes(wanted, held) == (None if got is None else got)


@pytest.mark.parametrize(
    ("created", "seen", "live"),
    [
        pytest.param(timedelta(0), timedelta(0), True, id="just begun"),
        pytest.param(timedelta(hours=7), timedelta(minutes=14, seconds=59), True, id="used lately"),
        pytest.param(timedelta(hours=1), timedelta(minutes=15), False, id="idle"),
        pytest.param(timedelta(hours=8), timedelta(seconds=1), False, id="used all day"),
    ],
)
def test_when_a_session_ends(created: timedelta, seen: timedelta, live: bool) -> None:
    assert rules.is_session_live(created_at=NOW - created, last_seen_at=NOW - seen, now=NOW) is live


def test_nobody_checks_their_own_work() -> None:
    rules.checked_by_other(maker="staff:1", checker="staff:2")
    with pytest.raises(SamePerson):
        rules.checked_by_other(maker="staff:1", checker="staff:1")


def test_a_permission_that_is_not_held_is_named() -> None:
    with pytest.raises(MissingPermission, match="prices:approve"):
        STAFF.require(Permission.PRICES_APPROVE)


@pytest.mark.parametrize(
    ("sent", "fetch_site", "origin", "passes"),
    [
        pytest.param(STAFF.csrf, "same-origin", None, True, id="own page"),
        pytest.param(STAFF.csrf, None, "https://akiba.example", True, id="own page, old browser"),
        pytest.param(STAFF.csrf, None, None, True, id="no browser"),
        pytest.param(STAFF.csrf, "cross-site", None, False, id="another site"),
        pytest.param(STAFF.csrf, "same-site", None, False, id="another host of the domain"),
        pytest.param(STAFF.csrf, None, "https://evil.example", False, id="another site, old browser"),
        pytest.param(STAFF.csrf, None, "null", False, id="a sandboxed page"),
        pytest.param("", "same-origin", None, False, id="no token"),
        pytest.param(rules.csrf_token("1.other"), "same-origin", None, False, id="another session's token"),
        pytest.param("é", "same-origin", None, False, id="not a token"),
    ],
)
def test_forged_changes_are_refused(sent: str, fetch_site: str | None, origin: str | None, passes: bool) -> None:
    def check() -> None:
        rules.check_csrf(STAFF, sent=sent, host="akiba.example", fetch_site=fetch_site, origin=origin)

    if passes:
        check()
    else:
        with pytest.raises(ForgedRequest):
            check()


def test_a_caller_without_a_session_passes_no_csrf_check() -> None:
    with pytest.raises(ForgedRequest):
        rules.check_csrf(rules.PUBLIC, sent="", host="akiba.example", fetch_site=None, origin=None)
