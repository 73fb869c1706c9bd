"""What goes to and comes from an OpenID provider; pure but for random numbers that are handed in."""

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from joserfc import jwe, jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet
from msgspec import Struct

from engine.identity.ports import NotProven, VerifiedPerson
from engine.kernel.transport import WireRequest
from integrations.identity.reading import child, children, day_of, instant_of, sex_of, text_of

SIGNED_BY = ("RS256", "PS256", "ES256")
SEALED_BY = ("RSA-OAEP-256", "ECDH-ES+A256KW", "A256GCM", "A128CBC-HS256", "A256CBC-HS512", "A128GCM")
ASSERTION_SECONDS = 60
LEEWAY = timedelta(seconds=60)
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASKED = ("name", "birthdate", "gender", "phone_number", "email", "address")


class _Signed(jws.JWSRegistry):
    """Takes headers that hold a certificate, and claims that hold a photograph."""

    max_header_length = 8_192
    max_payload_length = 2_000_000

    def __init__(self) -> None:
        super().__init__(algorithms=SIGNED_BY)


class _Sealed(jwe.JWERegistry):
    """Takes what holds a photograph, and headers that repeat claims (RFC 7519, 5.3)."""

    max_ciphertext_length = 3_000_000

    def __init__(self) -> None:
        super().__init__(algorithms=SEALED_BY, strict_check_header=False)


class Provider(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One provider and what it knows us by; data of a pack.

    `trust_framework` empty: the provider's own claims are taken, as eSignet gives them. Named: only `verified_claims`
    under that framework are, and no other claim is mixed in.
    """

    authority: str
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    userinfo_endpoint: str
    jwks_uri: str
    client_id: str
    redirect_uri: str
    scope: str = "openid profile"
    acr_values: str = ""
    trust_framework: str = ""


def authorization_url(provider: Provider, *, state: str, nonce: str, verifier: str, locale: str) -> str:
    """Return where to send the person; PKCE by S256 (RFC 7636)."""
    asked: dict[str, Any] = dict.fromkeys(_ASKED)
    if provider.trust_framework:
        verification = {"trust_framework": {"value": provider.trust_framework}, "time": None, "assurance_level": None}
        asked = {"verified_claims": {"verification": verification, "claims": asked}}
    query = {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": provider.redirect_uri,
        "scope": provider.scope,
        "state": state,
        "nonce": nonce,
        "code_challenge": _unpadded(hashlib.sha256(verifier.encode()).digest()),
        "code_challenge_method": "S256",
        "claims": json.dumps({"userinfo": asked}, separators=(",", ":")),
        "acr_values": provider.acr_values,
        "ui_locales": locale,
    }
    return f"{provider.authorization_endpoint}?{urlencode({name: value for name, value in query.items() if value})}"


def token_request(
    provider: Provider, signing_key: Key, *, code: str, verifier: str, now: datetime, jti: str
) -> WireRequest:
    """Return the request that changes the code for tokens, by an assertion that we signed (RFC 7523)."""
    at = int(now.timestamp())
    claims = {
        "iss": provider.client_id,
        "sub": provider.client_id,
        "aud": provider.token_endpoint,
        "iat": at,
        "exp": at + ASSERTION_SECONDS,
        "jti": jti,
    }
    header = {"alg": str(signing_key.alg or "RS256"), "kid": signing_key.kid}
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": provider.redirect_uri,
        "client_id": provider.client_id,
        "code_verifier": verifier,
        "client_assertion_type": _ASSERTION,
        "client_assertion": jwt.encode(header, claims, signing_key, algorithms=SIGNED_BY),
    }
    return WireRequest(
        method="POST",
        url=provider.token_endpoint,
        headers={"content-type": "application/x-www-form-urlencoded", "accept": "application/json"},
        body=urlencode(form).encode(),
        is_secret=True,
    )


def read_keys(body: bytes) -> KeySet:
    """Return the provider's keys. Raises NotProven("signer-unknown"): there are none to be read."""
    try:
        return KeySet.import_key_set(json.loads(body))
    except (ValueError, TypeError, KeyError, AttributeError, JoseError) as error:
        raise NotProven("signer-unknown") from error


def read_signed(token: str, keys: KeySet) -> dict[str, Any]:
    """Return the claims of a signed token.

    Raises:
        NotProven: "not-signed", "signer-unknown", "signature-wrong", "unreadable".
    """
    if token.count(".") != 2:
        raise NotProven("not-signed")
    try:
        header = jws.extract_compact(token.encode(), registry=_Signed()).protected
        if header.get("alg") not in SIGNED_BY:
            raise NotProven("not-signed")
        if "kid" in header and all(key.kid != header["kid"] for key in keys.keys):
            raise NotProven("signer-unknown")
        return jwt.decode(token, keys, registry=_Signed()).claims
    except JoseError as error:
        raise NotProven("signature-wrong") from error
    except (ValueError, TypeError) as error:
        raise NotProven("unreadable") from error


def open_sealed(token: str, key: Key | None) -> str:
    """Return the signed token within a sealed one; a token that is not sealed as it is.

    Raises:
        NotProven: "unreadable", it is sealed for another key or damaged.
    """
    if token.count(".") != 4:
        return token
    if key is None:
        raise NotProven("unreadable")
    try:
        opened = jwe.decrypt_compact(token, key, registry=_Sealed())
        return (opened.plaintext or b"").decode("ascii")
    except (JoseError, ValueError, TypeError) as error:
        raise NotProven("unreadable") from error


def check_claims(claims: Mapping[str, Any], provider: Provider, now: datetime, *, is_dated: bool) -> None:
    """Refuse claims that another made, that are for another, or of another time.

    Args:
        claims: of a signed token.
        provider: who must have made them, for its client.
        now: the instant.
        is_dated: whether they must say when they end.

    Raises:
        NotProven: "from-another", "not-for-us", "expired", "not-yet-valid", "unreadable".
    """
    if claims.get("iss") != provider.issuer:
        raise NotProven("from-another")
    said = claims.get("aud")
    audience = said if isinstance(said, list) else [said]
    if provider.client_id not in audience or claims.get("azp", provider.client_id) != provider.client_id:
        raise NotProven("not-for-us")
    ends, begins = claims.get("exp"), claims.get("nbf", claims.get("iat"))
    if (is_dated and not isinstance(ends, int)) or not text_of(claims.get("sub")):
        raise NotProven("unreadable")
    if isinstance(ends, int) and now.timestamp() >= ends + LEEWAY.total_seconds():
        raise NotProven("expired")
    if isinstance(begins, int) and begins > (now + LEEWAY).timestamp():
        raise NotProven("not-yet-valid")


def read_person(claims: Mapping[str, Any], provider: Provider, now: datetime) -> VerifiedPerson:
    """Return what the provider states.

    Raises:
        NotProven: "incomplete", a trust framework is asked for and nothing is verified under it.
    """
    stated: Mapping[str, Any] = claims
    verification: Mapping[str, Any] = {}
    if provider.trust_framework:
        many = claims.get("verified_claims")
        all_verified = (
            children(claims, "verified_claims") if isinstance(many, list) else [child(claims, "verified_claims")]
        )
        fitting = [
            one for one in all_verified if child(one, "verification").get("trust_framework") == provider.trust_framework
        ]
        if not fitting:
            raise NotProven("incomplete")
        stated, verification = child(fitting[0], "claims"), child(fitting[0], "verification")
    names = [text_of(value) for name, value in stated.items() if name == "name" or name.startswith("name#")]
    if not any(names):
        names = [" ".join(filter(None, (text_of(stated.get("given_name")), text_of(stated.get("family_name")))))]
    issued = claims.get("iat")
    return VerifiedPerson(
        authority=provider.authority,
        as_of=instant_of(verification.get("time"))
        or (datetime.fromtimestamp(issued, UTC) if isinstance(issued, int) else now),
        subject=text_of(claims.get("sub")),
        names=tuple(dict.fromkeys(filter(None, names))),
        born_on=day_of(stated.get("birthdate")),
        sex=sex_of(stated.get("gender")),
        phone=text_of(stated.get("phone_number")),
        email=text_of(stated.get("email")),
        address=text_of(child(stated, "address").get("formatted")),
        framework=provider.trust_framework,
        assurance=text_of(verification.get("assurance_level")) or text_of(claims.get("acr")),
    )


def _unpadded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
