"""The provider's side: signs people in at once, holds its clients to the protocol, and can be told to lie."""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwe, jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet, RSAKey

from engine.kernel.transport import WireRequest, WireResponse
from integrations.identity.openid_connect.wire import Provider

CODE_SECONDS = 60
TOKEN_SECONDS = 300


class Lie(StrEnum):
    """What the provider, or somebody in its place, does wrong with the tokens it gives out."""

    OTHER_AUDIENCE = "other-audience"
    OTHER_ISSUER = "other-issuer"
    OTHER_KEY = "other-key"
    UNKNOWN_KEY = "unknown-key"
    EXPIRED = "expired"
    OTHER_NONCE = "other-nonce"
    OTHER_PERSON = "other-person"
    UNSIGNED = "unsigned"


class OpenIdSimulator:
    """One provider with one client. Answers requests; to be served by `integrations.messaging.simulating.HttpServer`."""

    def __init__(self, provider: Provider, client_key: Key, *, seals_for: Key | None = None) -> None:
        """Know the client of `provider` by the public `client_key`, and seal userinfo for `seals_for`."""
        self.provider = provider
        self.person: Mapping[str, Any] = {}
        self.declines = False
        self.lie: Lie | None = None
        self._client_key, self._seals_for = client_key, seals_for
        self._key = RSAKey.generate_key(2048, {"kid": "of-the-provider", "use": "sig"})
        self._other = RSAKey.generate_key(2048, {"kid": "of-the-provider"})
        self._codes: dict[str, tuple[dict[str, str], float]] = {}
        self._tokens: set[str] = set()
        self._seen: set[str] = set()

    async def __call__(self, request: WireRequest) -> WireResponse:
        """Answer one request."""
        path = urlsplit(request.url).path
        if path == urlsplit(self.provider.jwks_uri).path:
            return _json(200, KeySet([self._key]).as_dict(private=False))
        if path == urlsplit(self.provider.authorization_endpoint).path:
            return self._authorise(dict(_query(urlsplit(request.url).query)))
        if path == urlsplit(self.provider.token_endpoint).path and request.method == "POST":
            return self._give_tokens(dict(_query(request.body.decode())))
        if path == urlsplit(self.provider.userinfo_endpoint).path:
            return self._tell(request.headers.get("authorization", "").removeprefix("Bearer "))
        return WireResponse(status=404)

    def _authorise(self, asked: dict[str, str]) -> WireResponse:
        expected = {"client_id": self.provider.client_id, "redirect_uri": self.provider.redirect_uri}
        if any(asked.get(name) != value for name, value in expected.items()):
            return _json(400, {"error": "invalid_request"})
        back = {"state": asked["state"], "iss": self.provider.issuer}
        if self.declines:
            back["error"] = "access_denied"
        else:
            back["code"] = secrets.token_urlsafe(16)
            self._codes[back["code"]] = (asked, time.monotonic() + CODE_SECONDS)
        return WireResponse(status=303, headers={"location": f"{self.provider.redirect_uri}?{urlencode(back)}"})

    def _give_tokens(self, form: dict[str, str]) -> WireResponse:
        if not self._is_client(form.get("client_assertion", "")):
            return _json(401, {"error": "invalid_client"})
        asked, until = self._codes.pop(form.get("code", ""), ({}, 0.0))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if until < time.monotonic() or challenge.decode().rstrip("=") != asked.get("code_challenge"):
            return _json(400, {"error": "invalid_grant"})
        access = secrets.token_urlsafe(24)
        self._tokens.add(access)
        at = int(time.time())
        claims = {
            "sub": "pairwise-1",
            "nonce": asked["nonce"],
            "iat": at,
            "exp": at + TOKEN_SECONDS,
            "acr": "mosip:idp:acr:id-token",
        }
        if self.lie is Lie.OTHER_NONCE:
            claims["nonce"] = "another"
        if self.lie is Lie.EXPIRED:
            claims |= {"iat": at - 900, "exp": at - 600}
        said = {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": TOKEN_SECONDS,
            "id_token": self._sign(claims),
        }
        return _json(200, said)

    def _is_client(self, assertion: str) -> bool:
        """Return whether the assertion is the client's, for this place, of now, and new."""
        try:
            claims = jwt.decode(assertion, self._client_key, algorithms=["RS256", "PS256", "ES256"]).claims
        except (JoseError, ValueError):
            return False
        named = {"iss": self.provider.client_id, "sub": self.provider.client_id, "aud": self.provider.token_endpoint}
        fits = all(claims.get(name) == value for name, value in named.items()) and claims.get("exp", 0) > time.time()
        is_new = claims.get("jti") not in self._seen
        self._seen.add(claims.get("jti", ""))
        return fits and is_new

    def _tell(self, access: str) -> WireResponse:
        if access not in self._tokens:
            return _json(401, {"error": "invalid_token"})
        claims = {"sub": "pairwise-2" if self.lie is Lie.OTHER_PERSON else "pairwise-1", "iat": int(time.time())}
        token = self._sign({**self.person, **claims})
        if self._seals_for is not None:
            header = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "cty": "JWT"}
            token = jwe.encrypt_compact(header, token, self._seals_for, algorithms=["RSA-OAEP-256", "A256GCM"])
        return WireResponse(status=200, headers={"content-type": "application/jwt"}, body=token.encode())

    def _sign(self, claims: dict[str, Any]) -> str:
        issuer = "https://elsewhere.example" if self.lie is Lie.OTHER_ISSUER else self.provider.issuer
        audience = "another" if self.lie is Lie.OTHER_AUDIENCE else self.provider.client_id
        whole = {"iss": issuer, "aud": audience, **claims}
        if self.lie is Lie.UNSIGNED:
            parts = ({"alg": "none"}, whole)
            return (
                ".".join(base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts) + "."
            )
        key = self._other if self.lie in (Lie.OTHER_KEY, Lie.UNKNOWN_KEY) else self._key
        kid = "nobody's" if self.lie is Lie.UNKNOWN_KEY else "of-the-provider"
        return jwt.encode({"alg": "RS256", "kid": kid}, whole, key)


def _query(text: str) -> Mapping[str, str]:
    return {name: values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}


def _json(status: int, value: object) -> WireResponse:
    return WireResponse(status=status, headers={"content-type": "application/json"}, body=json.dumps(value).encode())
