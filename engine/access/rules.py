"""Who may do what, how long a sign-in lasts, and when a request is forged. Pure: no clock, no database."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Literal
from urllib.parse import urlsplit

from engine.access.errors import (
    ConflictingRoles,
    ForgedRequest,
    MissingPermission,
    SamePerson,
    ScopeNotAllowed,
    UnknownRole,
)
from engine.kernel.permissions import Permission

TOKEN_LIFE = timedelta(minutes=10)
LINK_LIFE = timedelta(minutes=15)
SESSION_IDLE = timedelta(minutes=15)
SESSION_LIFE = timedelta(hours=8)
SEEN_AFTER = timedelta(seconds=30)
"""A session's last use is written down at most this often: reading pages should not write a row each time."""

NO_TENANT = 0
"""The tenant of a caller who is nobody: no tenant has this number, so a session opened for it sees nothing."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Role(StrEnum):
    """What a member of staff is there for."""

    OPERATOR = "operator"
    CONTRIBUTIONS_OFFICER = "contributions-officer"
    RECONCILIATION_OFFICER = "reconciliation-officer"
    PRICE_MAKER = "price-maker"
    PRICE_CHECKER = "price-checker"
    DEALING_OFFICER = "dealing-officer"
    PAYOUT_MAKER = "payout-maker"
    PAYOUT_CHECKER = "payout-checker"
    CLAIMS_OFFICER = "claims-officer"
    CLAIMS_CHECKER = "claims-checker"
    RULES_MAKER = "rules-maker"
    RULES_CHECKER = "rules-checker"
    AUDITOR = "auditor"


_READS = frozenset(
    {
        Permission.MEMBERS_READ,
        Permission.CONTRIBUTIONS_READ,
        Permission.STATEMENTS_READ,
        Permission.CLAIMS_READ,
        Permission.DECISIONS_READ,
        Permission.OPERATIONS_READ,
    }
)

ROLES: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {
        Role.OPERATOR: _READS
        | {
            Permission.MEMBERS_ENROL,
            Permission.MEMBERS_STATUS,
            Permission.MEMBERS_VERIFY,
            Permission.MEMBERS_ASSIST,
            Permission.IDENTITY_DECIDE,
            Permission.QUARANTINE_RELEASE,
        },
        Role.CONTRIBUTIONS_OFFICER: _READS
        | {
            Permission.CONTRIBUTIONS_RECEIVE,
            Permission.COLLECTIONS_REQUEST,
            Permission.SUSPENSE_RESOLVE,
            Permission.MATCH_CLAIM,
            Permission.REVERSALS_PROPOSE,
            Permission.BREAKS_PROPOSE,
            Permission.MERGERS_PROPOSE,
        },
        Role.RECONCILIATION_OFFICER: frozenset(
            {
                Permission.CONTRIBUTIONS_READ,
                Permission.STATEMENTS_IMPORT,
                Permission.SUSPENSE_APPROVE,
                Permission.MATCH_APPROVE,
                Permission.REVERSALS_APPROVE,
                Permission.BREAKS_PROPOSE,
                Permission.BREAKS_APPROVE,
                Permission.OPENINGS_APPROVE,
                Permission.MERGERS_APPROVE,
                Permission.DAYS_APPROVE,
                Permission.OPERATIONS_READ,
            }
        ),
        Role.PRICE_MAKER: frozenset({Permission.PRICES_IMPORT, Permission.OPERATIONS_READ}),
        Role.PRICE_CHECKER: frozenset({Permission.PRICES_APPROVE, Permission.OPERATIONS_READ}),
        Role.DEALING_OFFICER: frozenset(
            {Permission.DEALING_RUN, Permission.DAYS_REOPEN, Permission.FEES_PROPOSE, Permission.OPERATIONS_READ}
        ),
        Role.PAYOUT_MAKER: frozenset(
            {
                Permission.PAYOUTS_READ,
                Permission.PAYOUTS_INSTRUCT,
                Permission.PENSIONS_MANAGE,
                Permission.PAYROLL_PROPOSE,
                Permission.OPERATIONS_READ,
            }
        ),
        Role.PAYOUT_CHECKER: frozenset(
            {
                Permission.PAYOUTS_READ,
                Permission.PAYOUTS_APPROVE,
                Permission.PAYROLL_APPROVE,
                Permission.OPERATIONS_READ,
            }
        ),
        Role.CLAIMS_OFFICER: _READS | {Permission.CLAIMS_OPEN},
        Role.CLAIMS_CHECKER: _READS | {Permission.CLAIMS_APPROVE, Permission.FEES_APPROVE},
        Role.RULES_MAKER: frozenset(
            {
                Permission.FIGURES_PROPOSE,
                Permission.PACKS_PROPOSE,
                Permission.DECISIONS_READ,
                Permission.OPERATIONS_READ,
            }
        ),
        Role.RULES_CHECKER: frozenset(
            {
                Permission.FIGURES_APPROVE,
                Permission.PACKS_APPROVE,
                Permission.DECISIONS_READ,
                Permission.OPERATIONS_READ,
            }
        ),
        Role.AUDITOR: _READS | {Permission.AUDIT_READ},
    }
)

CONFLICTS: frozenset[frozenset[Role]] = frozenset(
    {
        frozenset({Role.PRICE_MAKER, Role.PRICE_CHECKER}),
        frozenset({Role.CONTRIBUTIONS_OFFICER, Role.RECONCILIATION_OFFICER}),
        frozenset({Role.PAYOUT_MAKER, Role.PAYOUT_CHECKER}),
        frozenset({Role.CLAIMS_OFFICER, Role.CLAIMS_CHECKER}),
        frozenset({Role.RULES_MAKER, Role.RULES_CHECKER}),
    }
) | frozenset(frozenset({Role.AUDITOR, role}) for role in Role if role is not Role.AUDITOR)
"""Roles of which each checks the other; who audits does nothing else."""

FIRST_ROLES = (Role.OPERATOR, Role.RECONCILIATION_OFFICER, Role.PRICE_MAKER, Role.DEALING_OFFICER)
"""What the first member of staff holds: all that runs the day, and nothing that checks it."""

PARTNER_SCOPES = frozenset(
    {
        Permission.MEMBERS_ENROL,
        Permission.MEMBERS_READ,
        Permission.MEMBERS_VERIFY,
        Permission.CONTRIBUTIONS_RECEIVE,
        Permission.CONTRIBUTIONS_READ,
        Permission.COLLECTIONS_REQUEST,
        Permission.DECISIONS_READ,
        Permission.STATEMENTS_READ,
        Permission.STATEMENTS_IMPORT,
        Permission.PRICES_IMPORT,
        Permission.WEBHOOKS_MANAGE,
    }
)
"""What a machine of a partner may hold: to send and to read, never to decide."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is behind a request, in which tenant, and what they may do.

    `actor` is how they stand in events ("partner:3", "staff:1") and holds nothing personal. `csrf` is the token that
    the forms of this session's pages must send back; `roles` are a member of staff's.
    """

    tenant_id: int
    actor: str
    permissions: frozenset[Permission]
    kind: Literal["partner", "staff", "public"]
    partner_id: int | None = None
    staff_id: int | None = None
    roles: frozenset[Role] = frozenset()
    csrf: str = field(default="", repr=False)

    def may(self, permission: Permission) -> bool:
        """Return whether the caller holds `permission`."""
        return permission in self.permissions

    def require(self, permission: Permission) -> None:
        """Refuse a caller who does not hold `permission`.

        Raises:
            MissingPermission: they do not.
        """
        if permission not in self.permissions:
            raise MissingPermission(permission=permission.value)


PUBLIC = Caller(NO_TENANT, "public", frozenset(), "public")
"""Whoever asks for something open to everyone."""


def check_roles(names: Iterable[str]) -> frozenset[Role]:
    """Return the roles of those names, if one person may hold them all.

    Raises:
        UnknownRole: there is none of a name, or no name was given.
        ConflictingRoles: two of them check each other.
    """
    roles: set[Role] = set()
    for name in names:
        if name not in ROLES:
            raise UnknownRole(role=name[:60], allowed=", ".join(Role))
        roles.add(Role(name))
    if not roles:
        raise UnknownRole(role="", allowed=", ".join(Role))
    for pair in CONFLICTS:
        if pair <= roles:
            one, other = sorted(pair)
            raise ConflictingRoles(one=one.value, other=other.value)
    return frozenset(roles)


def permissions_of(roles: Iterable[Role]) -> frozenset[Permission]:
    """Return what the roles may do together."""
    return frozenset().union(*(ROLES[role] for role in roles))


def check_scopes(names: Iterable[str]) -> frozenset[Permission]:
    """Return the scopes of those names, if a partner may hold them.

    Raises:
        ScopeNotAllowed: one is unknown or only for staff, or none was given.
    """
    allowed = ", ".join(sorted(PARTNER_SCOPES))
    scopes: set[Permission] = set()
    for name in names:
        if name not in PARTNER_SCOPES:
            raise ScopeNotAllowed(scope=name[:60], allowed=allowed)
        scopes.add(Permission(name))
    if not scopes:
        raise ScopeNotAllowed(scope="", allowed=allowed)
    return frozenset(scopes)


def narrow_scopes(wanted: str, held: frozenset[Permission]) -> frozenset[Permission] | None:
    """Return what a token gets: the scopes asked for by name, all that are held if none is named.

    None when something is asked for that is not held (RFC 6749, 3.3 and 5.2: `invalid_scope`).
    """
    names = wanted.split()
    if not names:
        return held
    if any(name not in held for name in names):
        return None
    return frozenset(Permission(name) for name in names)


def checked_by_other(*, maker: str, checker: str) -> None:
    """Let `checker` decide on what `maker` proposed only if they are two.

    Args:
        maker: the actor who proposed ("staff:1").
        checker: the actor who approves or rejects.

    Raises:
        SamePerson: they are one and the same.

    Source:
        OWASP ASVS 5.0.0, 2.3.5 (multi-user approval).
    """
    if maker == checker:
        raise SamePerson


def is_session_live(*, created_at: datetime, last_seen_at: datetime, now: datetime) -> bool:
    """Return whether a session still stands: used within SESSION_IDLE and begun within SESSION_LIFE."""
    return now - last_seen_at < SESSION_IDLE and now - created_at < SESSION_LIFE


def digest_of(secret: str) -> bytes:
    """Return the SHA-256 of a random secret of 256 bits; being random, it needs no salt and no stretching."""
    return hashlib.sha256(secret.encode()).digest()


def csrf_token(cookie: str) -> str:
    """Return the token of the session whose cookie it is: nobody without the cookie can make it."""
    return hmac.new(cookie.encode(), b"akiba csrf v1", hashlib.sha256).hexdigest()


def check_origin(*, host: str, fetch_site: str | None, origin: str | None) -> None:
    """Refuse a change that another site's page sends with the browser's help.

    Args:
        host: the Host header of the request.
        fetch_site: the Sec-Fetch-Site header: browsers send it and no page can forge it.
        origin: the Origin header, for browsers too old for the other.

    Raises:
        ForgedRequest: the browser says the request comes from elsewhere.

    Source:
        W3C Fetch Metadata Request Headers, 2.4.
    """
    if fetch_site is not None:
        if fetch_site != "same-origin":
            raise ForgedRequest
    elif origin is not None and urlsplit(origin).netloc != host:
        raise ForgedRequest


def check_csrf(caller: Caller, *, sent: str, host: str, fetch_site: str | None, origin: str | None) -> None:
    """Let a change by a signed-in person through only if it comes from a page of theirs.

    Args:
        caller: who is signed in.
        sent: the token that came back, in the form field `csrf_token` or the header X-CSRF-Token; "" if none.
        host: the Host header of the request.
        fetch_site: the Sec-Fetch-Site header, if any.
        origin: the Origin header, if any.

    Raises:
        ForgedRequest: the token is not this session's, or the request comes from another site.
    """
    check_origin(host=host, fetch_site=fetch_site, origin=origin)
    if not caller.csrf or not hmac.compare_digest(caller.csrf.encode(), sent.encode()):
        raise ForgedRequest
