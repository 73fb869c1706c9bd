"""An OpenID provider, answering the port for signing in."""

import hmac
import secrets
from collections.abc import Mapping

from joserfc.jwk import Key, KeySet

from engine.identity.ports import IdentityAnswer, IdentityState, NotProven, SignInStarted
from engine.kernel.clock import Clock
from engine.kernel.outcomes import Reason
from engine.kernel.transport import Transport, WireRequest
from integrations.identity.openid_connect import wire
from integrations.identity.openid_connect.wire import Provider
from integrations.identity.reading import judge_status, read_object, text_of

_REFUSALS = {"access_denied": Reason.PAYER_REJECTED, "temporarily_unavailable": Reason.PROVIDER_DOWN}


class OpenIdSignIn:
    """One provider; see `engine.identity.ports.SignIn`."""

    def __init__(
        self, transport: Transport, provider: Provider, signing_key: Key, clock: Clock, sealing_key: Key | None = None
    ) -> None:
        """Ask `provider` by `transport`, proving who we are by `signing_key`; userinfo may be sealed for `sealing_key`."""
        self._transport, self._provider, self._clock = transport, provider, clock
        self._signing_key, self._sealing_key = signing_key, sealing_key

    async def start(self, *, locale: str = "") -> SignInStarted:
        """Return where to send the person; asks nobody."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        url = wire.authorization_url(self._provider, state=state, nonce=nonce, verifier=verifier, locale=locale)
        return SignInStarted(url=url, state=state, nonce=nonce, code_verifier=verifier)

    async def finish(self, started: SignInStarted, returned: Mapping[str, str]) -> IdentityAnswer:
        """Change the code for tokens, and read what the provider signed of the person."""
        if not hmac.compare_digest(returned.get("state", "").encode(), started.state.encode()):
            raise NotProven("replayed")
        if returned.get("iss", self._provider.issuer) != self._provider.issuer:
            raise NotProven("from-another")
        if "code" not in returned:
            code = returned.get("error", "")
            return IdentityAnswer(state=IdentityState.REFUSED, reason=_REFUSALS.get(code, Reason.OTHER), code=code[:80])
        asked = wire.token_request(
            self._provider,
            self._signing_key,
            code=returned["code"],
            verifier=started.code_verifier,
            now=self._clock.now(),
            jti=secrets.token_urlsafe(24),
        )
        response = await self._transport.send(asked)
        failed = judge_status(response)
        if failed is not None:
            return failed
        said = read_object(response.body)
        if response.status != 200:
            if said.get("error") == "invalid_grant":
                raise NotProven("expired")
            return IdentityAnswer(state=IdentityState.REFUSED, reason=Reason.AUTH, code=text_of(said.get("error"))[:80])
        access, identity = text_of_token(said.get("access_token")), text_of_token(said.get("id_token"))
        if not access or not identity:
            raise NotProven("incomplete")
        return await self._read(started, access, identity)

    async def _read(self, started: SignInStarted, access: str, identity: str) -> IdentityAnswer:
        keys = await self._keys()
        if isinstance(keys, IdentityAnswer):
            return keys
        now = self._clock.now()
        claims = wire.read_signed(wire.open_sealed(identity, self._sealing_key), keys)
        wire.check_claims(claims, self._provider, now, is_dated=True)
        if claims.get("nonce") != started.nonce:
            raise NotProven("replayed")
        response = await self._transport.send(
            WireRequest(
                method="GET",
                url=self._provider.userinfo_endpoint,
                headers={"authorization": f"Bearer {access}", "accept": "application/jwt"},
                is_secret=True,
            )
        )
        if response.status != 200:
            return IdentityAnswer(
                state=IdentityState.UNKNOWN, reason=Reason.PROVIDER_DOWN, code=f"HTTP {response.status}"
            )
        sealed = response.body.decode("ascii", "replace").strip()
        stated = wire.read_signed(wire.open_sealed(sealed, self._sealing_key), keys)
        wire.check_claims(stated, self._provider, now, is_dated=False)
        if stated["sub"] != claims["sub"]:
            raise NotProven("from-another")
        person = wire.read_person({"acr": claims.get("acr"), **stated}, self._provider, now)
        return IdentityAnswer(state=IdentityState.VERIFIED, person=person)

    async def _keys(self) -> KeySet | IdentityAnswer:
        response = await self._transport.send(WireRequest(method="GET", url=self._provider.jwks_uri))
        return judge_status(response) or wire.read_keys(response.body)


def text_of_token(value: object) -> str:
    """Return a token as it came, "" if it is no text."""
    return value if isinstance(value, str) else ""
