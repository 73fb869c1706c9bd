"""Use cases of access: partners and their tokens, staff and their sessions, who is behind a request.

Tokens, links and sessions last by the wall clock, never by a scheme's. Events bear the scheme's date in UTC.
"""

import asyncio
import re
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from sqlalchemy.ext.asyncio import AsyncSession

from engine.access import queries
from engine.access.errors import (
    CodeTaken,
    LinkUnusable,
    NotSignedIn,
    TokenRefused,
    TooManyAttempts,
    UnknownPartner,
    UnknownStaff,
    WrongCredentials,
)
from engine.access.rules import (
    FIRST_ROLES,
    LINK_LIFE,
    SEEN_AFTER,
    TOKEN_LIFE,
    Caller,
    Role,
    check_roles,
    check_scopes,
    csrf_token,
    digest_of,
    is_session_live,
    permissions_of,
)
from engine.kernel.clock import Clock, SystemClock
from engine.kernel.ids import house_member
from engine.kernel.permissions import Permission
from engine.ledger import service as ledger
from engine.ledger.rules import Entry, EventKind
from engine.runtime.database import Database

AUDIENCE = "akiba"
_ALGORITHM = "Ed25519"  # RFC 9864's name of what used to be one kind of EdDSA
_TYPE = "at+jwt"  # RFC 9068
_REMEMBERED_TOKENS = 10_000
_CLIENT_ID = re.compile(r"akiba-([1-9][0-9]{0,8})-[A-Za-z0-9_-]{22}")
_ENTRY_SECRET = re.compile(r"([1-9][0-9]{0,8})\.[A-Za-z0-9_-]{43}")

# Argon2id with the least parameters OWASP accepts: the secrets are random, so guessing is hopeless at any cost.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_NOBODYS_HASH = _hasher.hash(secrets.token_urlsafe(32))


@dataclass(frozen=True, slots=True)
class NewPartner:
    """A partner just created, with the secret that is shown this once."""

    partner_id: int
    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token and what it is good for."""

    token: str = field(repr=False)
    expires_in: int  # seconds
    scopes: frozenset[Permission]


@dataclass(frozen=True, slots=True)
class Partner:
    """A partner whose secret was right."""

    tenant_id: int
    partner_id: int
    client_id: str
    scopes: frozenset[Permission]


class Attempts:
    """Counts attempts a key in this process: at most `most` within `within`. A success gives its attempt back.

    Each process counts for itself, so several processes together allow that many times more.
    """

    _MOST_KEYS = 50_000

    def __init__(self, most: int, within: timedelta) -> None:
        self._most = most
        self._within = within.total_seconds()
        self._made: OrderedDict[str, deque[float]] = OrderedDict()

    def take(self, key: str) -> None:
        """Count one attempt of `key`.

        Raises:
            TooManyAttempts: there were too many of late; this one is not counted.
        """
        now = time.monotonic()
        made = self._made.setdefault(key, deque())
        self._made.move_to_end(key)
        while made and made[0] <= now - self._within:
            made.popleft()
        if len(made) >= self._most:
            raise TooManyAttempts(seconds=max(1, round(made[0] + self._within - now)))
        made.append(now)
        while len(self._made) > self._MOST_KEYS:
            self._made.popitem(last=False)

    def give_back(self, key: str) -> None:
        """Forget the last attempt of `key`: it was right."""
        made = self._made.get(key)
        if made:
            made.pop()


class Tokens:
    """Makes access tokens and tells who is behind one. A token once checked is remembered until it expires."""

    def __init__(self, key: Ed25519PrivateKey, *, issuer: str, clock: Clock | None = None) -> None:
        """Take the platform's signing key, and the name of this service as partners know it (its base URL)."""
        self._key = OKPKey.import_key(key)
        self._issuer = issuer
        self._clock = clock or SystemClock()
        self._known: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()

    def issue(self, partner: Partner, scopes: Collection[Permission]) -> AccessToken:
        """Return a token that lets its bearer do what `scopes` say, for TOKEN_LIFE."""
        now = int(self._clock.now().timestamp())
        life = int(TOKEN_LIFE.total_seconds())
        claims = {
            "iss": self._issuer,
            "sub": partner.client_id,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + life,
            "jti": str(uuid4()),
            "client_id": partner.client_id,
            "tenant": partner.tenant_id,
            "partner": partner.partner_id,
            "scope": " ".join(sorted(scopes)),
        }
        token = jwt.encode({"alg": _ALGORITHM, "typ": _TYPE}, claims, self._key, algorithms=[_ALGORITHM])
        return AccessToken(token, life, frozenset(scopes))

    def caller_of(self, token: str) -> Caller:
        """Return who bears the token.

        A partner that is suspended keeps what it holds until its token expires: TOKEN_LIFE at most.

        Raises:
            TokenRefused: it is malformed, forged, expired, or for another service.
        """
        now = self._clock.now().timestamp()
        digest = digest_of(token)
        known = self._known.get(digest)
        if known is None:
            known = self._checked(token, now)
            self._known[digest] = known
            while len(self._known) > _REMEMBERED_TOKENS:
                self._known.popitem(last=False)
        if known[1] <= now:
            self._known.pop(digest, None)
            raise TokenRefused
        return known[0]

    def _checked(self, token: str, now: float) -> tuple[Caller, float]:
        try:
            decoded = jwt.decode(token, self._key, algorithms=[_ALGORITHM])
            claims = decoded.claims
            jwt.JWTClaimsRegistry(
                now=int(now),
                iss={"essential": True, "value": self._issuer},
                aud={"essential": True, "value": AUDIENCE},
                exp={"essential": True},
            ).validate(claims)
            if decoded.header.get("typ") != _TYPE:
                raise TokenRefused
            partner_id = int(claims["partner"])
            caller = Caller(
                tenant_id=int(claims["tenant"]),
                actor=f"partner:{partner_id}",
                permissions=frozenset(Permission(name) for name in str(claims["scope"]).split()),
                kind="partner",
                partner_id=partner_id,
            )
            return caller, float(claims["exp"])
        except (JoseError, ValueError, KeyError, TypeError):
            raise TokenRefused from None


@dataclass(frozen=True, slots=True)
class Gate:
    """What stands at the edge: tells who is behind a request, and counts attempts to get in.

    `secure` says that people reach us by https, whatever a proxy in between speaks to us. `home` is the page that
    staff see first.
    """

    db: Database
    tokens: Tokens
    clock: Clock = field(default_factory=SystemClock)
    secure: bool = False
    home: str = "/"
    by_account: Attempts = field(default_factory=lambda: Attempts(5, timedelta(minutes=1)))
    by_address: Attempts = field(default_factory=lambda: Attempts(20, timedelta(minutes=1)))

    def cookie_name(self, *, secure: bool) -> str:
        """Return the name of the session's cookie. `__Host-` lets no other host or path of the domain plant one."""
        return "__Host-akiba" if secure or self.secure else "akiba_session"

    async def caller_of(
        self, *, authorization: str | None, cookies: Callable[[], Mapping[str, str]], secure: bool = False
    ) -> Caller | None:
        """Return who is behind a request: by its access token, else by its session; None if it brings neither.

        Raises:
            TokenRefused: it brings a token that is not good; a session beside it does not help.
        """
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() == "bearer":
                return self.tokens.caller_of(token.strip())
        cookie = cookies().get(self.cookie_name(secure=secure))
        return None if cookie is None else await session_caller(self.db, cookie, now=self.clock.now())


# -- partners


async def create_partner(
    session: AsyncSession, *, code: str, name: str, scopes: Collection[str], actor: str = "operator"
) -> NewPartner:
    """Let a partner in: a client id and a random secret, which is stored only as its argon2id hash.

    Raises:
        ScopeNotAllowed: a scope is unknown or only for staff.
        CodeTaken: there is a partner of that code.
    """
    granted = sorted(check_scopes(scopes))
    client_id = f"akiba-{session.info['tenant_id']}-{secrets.token_urlsafe(16)}"
    secret = secrets.token_urlsafe(32)
    secret_hash = await asyncio.to_thread(_hasher.hash, secret)
    partner_id = await queries.insert_partner(
        session, code=code, name=name, client_id=client_id, secret_hash=secret_hash, scopes=list(granted)
    )
    if partner_id is None:
        raise CodeTaken(partner=code)
    await _record(session, EventKind.PARTNER_CREATED, {"partner": code, "scopes": granted}, actor=actor)
    return NewPartner(partner_id, client_id, secret)


async def renew_secret(session: AsyncSession, code: str) -> str:
    """Give a partner a new secret and return it; the old one is no good from the commit on.

    Raises:
        UnknownPartner: there is none of that code.
    """
    secret = secrets.token_urlsafe(32)
    secret_hash = await asyncio.to_thread(_hasher.hash, secret)
    if not await queries.change_partner(session, code, secret_hash=secret_hash):
        raise UnknownPartner(partner=code)
    return secret


async def suspend_partner(session: AsyncSession, code: str) -> None:
    """Give the partner no more tokens; one it holds is good for TOKEN_LIFE at most.

    Raises:
        UnknownPartner: there is none of that code.
    """
    if not await queries.change_partner(session, code, status="suspended"):
        raise UnknownPartner(partner=code)


async def resume_partner(session: AsyncSession, code: str) -> None:
    """Let a suspended partner in again.

    Raises:
        UnknownPartner: there is none of that code.
    """
    if not await queries.change_partner(session, code, status="active"):
        raise UnknownPartner(partner=code)


async def authenticate_partner(db: Database, *, client_id: str, client_secret: str) -> Partner:
    """Return the partner whose id and secret these are. An unknown id takes as long as a wrong secret.

    Raises:
        WrongCredentials: they are not those of an active partner.
    """
    named = _CLIENT_ID.fullmatch(client_id)
    stored = None
    if named is not None:
        async with db.unit_of_work(int(named[1])) as session:
            stored = await queries.partner_by_client_id(session, client_id)
    secret_hash = _NOBODYS_HASH if stored is None else stored.secret_hash
    is_right = await asyncio.to_thread(_is_right, secret_hash, client_secret)
    if named is None or stored is None or not is_right or stored.status != "active":
        raise WrongCredentials
    return Partner(int(named[1]), stored.partner_id, client_id, frozenset(Permission(name) for name in stored.scopes))


def _is_right(secret_hash: str, secret: str) -> bool:
    try:
        return _hasher.verify(secret_hash, secret)
    except (Argon2Error, InvalidHashError, UnicodeEncodeError):
        return False


# -- staff


async def bootstrap(
    session: AsyncSession,
    label: str,
    *,
    roles: Sequence[str] = FIRST_ROLES,
    clock: Clock | None = None,
    actor: str = "operator",
) -> str:
    """Return the token of a one-time link for the member of staff with that label, added if new.

    For whoever holds the machine: the first way in, and the way back in after a session ended. The link is good once,
    for LINK_LIFE; a newer one ends it. Someone who exists keeps the roles they have.

    Args:
        session: the tenant's.
        label: a name for the post ("first operator"), never a person's; it stands outside the vault.
        roles: what a new member of staff holds.
        clock: the wall clock.
        actor: who asks.

    Raises:
        UnknownRole, ConflictingRoles: one person may not hold these roles.
    """
    held = sorted(check_roles(roles))
    staff_id, is_new = await queries.find_or_add_staff(session, label=label, roles=list(held))
    token = f"{session.info['tenant_id']}.{secrets.token_urlsafe(32)}"
    now = (clock or SystemClock()).now()
    await queries.insert_link(session, staff_id=staff_id, digest=digest_of(token), expires_at=now + LINK_LIFE)
    if is_new:
        await _record(session, EventKind.STAFF_CREATED, {"staff": f"staff:{staff_id}", "roles": held}, actor=actor)
    return token


async def suspend_staff(session: AsyncSession, label: str, *, clock: Clock | None = None) -> None:
    """Shut a member of staff out at once: their sessions and links end.

    Raises:
        UnknownStaff: there is none of that label.
    """
    if not await queries.suspend_staff(session, label, now=(clock or SystemClock()).now()):
        raise UnknownStaff(staff=label)


async def is_link_good(db: Database, token: str, *, now: datetime) -> bool:
    """Return whether a one-time link would still let its holder in. It stays as it is."""
    tenant_id = tenant_of(token)
    if tenant_id is None:
        return False
    async with db.unit_of_work(tenant_id) as session:
        return await queries.is_link_good(session, digest_of(token), now=now)


async def enter(db: Database, token: str, *, now: datetime) -> str:
    """Use a one-time link up and begin a session; return what its cookie holds.

    Raises:
        LinkUnusable: it was used, is too old, or never was one.
    """
    tenant_id = tenant_of(token)
    if tenant_id is None:
        raise LinkUnusable(minutes=_minutes(LINK_LIFE))
    cookie = f"{tenant_id}.{secrets.token_urlsafe(32)}"
    async with db.unit_of_work(tenant_id) as session:
        staff_id = await queries.use_link(session, digest_of(token), now=now)
        if staff_id is None:
            raise LinkUnusable(minutes=_minutes(LINK_LIFE))
        await queries.insert_session(session, staff_id=staff_id, digest=digest_of(cookie), now=now)
        actor = f"staff:{staff_id}"
        await _record(session, EventKind.STAFF_SIGNED_IN, {"staff": actor}, actor=actor)
    return cookie


async def session_caller(db: Database, cookie: str, *, now: datetime) -> Caller | None:
    """Return who is signed in by that cookie; None if the session ended, or was idle or old for too long."""
    tenant_id = tenant_of(cookie)
    if tenant_id is None:
        return None
    digest = digest_of(cookie)
    async with db.unit_of_work(tenant_id) as session:
        stored = await queries.session_by_digest(session, digest)
        if stored is None:
            return None
        if not is_session_live(created_at=stored.created_at, last_seen_at=stored.last_seen_at, now=now):
            return None
        if now - stored.last_seen_at >= SEEN_AFTER:
            await queries.touch_session(session, digest, now=now)
    roles = frozenset(Role(name) for name in stored.roles)
    return Caller(
        tenant_id=tenant_id,
        actor=f"staff:{stored.staff_id}",
        permissions=permissions_of(roles),
        kind="staff",
        staff_id=stored.staff_id,
        roles=roles,
        csrf=csrf_token(cookie),
    )


async def leave(db: Database, cookie: str, *, now: datetime) -> None:
    """End the session of that cookie; one that ended already stays ended."""
    tenant_id = tenant_of(cookie)
    if tenant_id is not None:
        async with db.unit_of_work(tenant_id) as session:
            await queries.end_session(session, digest_of(cookie), now=now)


def tenant_of(secret: str) -> int | None:
    """Return the tenant that a link or a cookie says it belongs to; None if it is neither."""
    named = _ENTRY_SECRET.fullmatch(secret)
    return None if named is None else int(named[1])


def require_caller(caller: Caller | None) -> Caller:
    """Return the caller, if there is one.

    Raises:
        NotSignedIn: there is none.
    """
    if caller is None:
        raise NotSignedIn
    return caller


def _minutes(span: timedelta) -> int:
    return int(span.total_seconds() // 60)


async def _record(session: AsyncSession, kind: EventKind, body: Mapping[str, object], *, actor: str) -> None:
    now = await ledger.scheme_now(session)
    await ledger.post(
        session,
        [
            Entry(
                member_id=house_member(session.info["tenant_id"]),
                kind=kind,
                business_date=now.date(),
                actor=await ledger.actor_id(session, actor),
                body=body,
            )
        ],
    )
