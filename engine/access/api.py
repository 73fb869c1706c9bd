"""The edge of access: the one guard, the token endpoint, the pages by which staff come and go.

Composition puts a `Gate` into the application's state as `gate`, `authorize` among its guards, `provide_caller` among
its dependencies as `caller`, and registers the two controllers.
"""

import base64
import binascii
import html
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import unquote_plus

from litestar import Controller, Request, Response, get, post
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie, ResponseHeader
from litestar.enums import MediaType
from litestar.exceptions import ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.handlers.base import BaseRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Redirect
from litestar.routes import HTTPRoute
from msgspec import Struct

from engine.access import rules, service
from engine.access.errors import (
    ForgedRequest,
    LinkUnusable,
    MissingPermission,
    RouteClosed,
    TooManyAttempts,
    WrongCredentials,
)
from engine.access.rules import PUBLIC, SAFE_METHODS, Caller
from engine.access.service import Gate
from engine.kernel.permissions import Permission
from engine.kernel.text import N_
from engine.runtime.http import refuses
from engine.runtime.locale import engine_languages, find_locale, translator, wanted_language

_Connection = ASGIConnection[Any, Any, Any, Any]
_Request = Request[Any, Any, Any]

CSRF_FIELD = "csrf_token"
CSRF_HEADER = "x-csrf-token"
_LONGEST_CREDENTIAL = 256


def gate_of(connection: _Connection) -> Gate:
    """Return the application's gate."""
    gate = connection.app.state["gate"]
    assert isinstance(gate, Gate), gate
    return gate


async def authorize(connection: _Connection, handler: BaseRouteHandler) -> None:
    """Let a request reach its handler only if the caller holds the handler's permission.

    The one guard of the application: a handler that declares no permission is refused, so a forgotten declaration
    closes a route and never opens one. A change asked for by a signed-in person must come from a page of theirs.
    """
    needed = handler.opt.get("permission")
    if needed is Permission.PUBLIC or _only_asks_methods(handler):
        connection.scope["user"] = PUBLIC
        return
    if not isinstance(needed, Permission):
        raise RouteClosed
    caller = service.require_caller(await _caller_of(connection))
    if needed not in caller.permissions:
        raise MissingPermission(permission=needed.value)
    if caller.kind == "staff" and connection.scope.get("method") not in SAFE_METHODS:
        await protect_from_forgery(connection, caller)
    connection.scope["user"] = caller


def _only_asks_methods(handler: BaseRouteHandler) -> bool:
    """Return whether it is the framework's own answer to OPTIONS: the methods of an address, as a 405 tells them too."""
    return isinstance(handler, HTTPRouteHandler) and handler.fn.__module__ == HTTPRoute.__module__


async def provide_caller(request: _Request) -> Caller:
    """Return who was let in; on a route open to everyone, nobody in particular."""
    caller = request.scope.get("user")
    assert isinstance(caller, Caller), "the guard has not run"
    return caller


async def protect_from_forgery(connection: _Connection, caller: Caller) -> None:
    """Refuse a change in a signed-in person's name that does not come from a page of theirs.

    Raises:
        ForgedRequest: the form field `csrf_token` or the header X-CSRF-Token is not the session's, or the browser
            says that another site sends it.
    """
    sent = connection.headers.get(CSRF_HEADER, "")
    if not sent and isinstance(connection, Request):
        field = (await connection.form()).get(CSRF_FIELD, "")
        sent = field if isinstance(field, str) else ""
    headers = connection.headers
    rules.check_csrf(
        caller,
        sent=sent,
        host=headers.get("host", ""),
        fetch_site=headers.get("sec-fetch-site"),
        origin=headers.get("origin"),
    )


async def _caller_of(connection: _Connection) -> Caller | None:
    return await gate_of(connection).caller_of(
        authorization=_authorization(connection),
        cookies=lambda: connection.cookies,
        secure=_is_secure(connection),
    )


def _authorization(connection: _Connection) -> str | None:
    """Return the header as sent. Every request asks for it before anything else, so no table of headers is built for it."""
    for name, value in connection.scope["headers"]:
        if name == b"authorization":
            return value.decode("latin-1")
    return None


def _is_secure(connection: _Connection) -> bool:
    return connection.scope["scheme"] == "https"


def _address(connection: _Connection) -> str:
    return connection.client.host if connection.client else ""


# -- tokens


class TokenRequest(Struct, frozen=True):
    """What RFC 6749, 4.4.2 asks for; the credentials stand here or in HTTP Basic, not in both."""

    grant_type: str = ""
    scope: str = ""
    client_id: str = ""
    client_secret: str = ""


class TokenAnswer(Struct, frozen=True):
    """A token (RFC 6749, 5.1)."""

    access_token: str
    token_type: str
    expires_in: int
    scope: str


class TokenRefusal(Struct, frozen=True):
    """A refusal in the words of RFC 6749, 5.2."""

    error: str
    error_description: str = ""


def _refusal(
    error: str, description: str, *, status: int = 400, headers: dict[str, str] | None = None
) -> Response[TokenRefusal]:
    return Response(
        TokenRefusal(error, description),
        status_code=status,
        media_type=MediaType.JSON,
        headers={"Cache-Control": "no-store", "Pragma": "no-cache", **(headers or {})},
    )


def _unreadable(_request: _Request, _error: ValidationException) -> Response[TokenRefusal]:
    return _refusal("invalid_request", "The form cannot be read, or gives a value twice.")


def _basic(header: str) -> tuple[str, str] | None:
    """Return (client id, secret) of an HTTP Basic header, form-decoded as RFC 6749, 2.3.1 says; None if malformed."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return (unquote_plus(user), unquote_plus(password)) if colon else None


class TokenController(Controller):
    """Where partners exchange their credentials for a short-lived token."""

    path = "/oauth"
    tags = ("Access",)

    @post(
        "/token",
        status_code=200,
        operation_id="GrantToken",
        opt={"permission": Permission.PUBLIC},
        exception_handlers={ValidationException: _unreadable},
        responses={
            200: ResponseSpec(
                data_container=TokenAnswer, generate_examples=False, description="A token (RFC 6749, 5.1)."
            ),
            400: ResponseSpec(
                data_container=TokenRefusal,
                generate_examples=False,
                description="invalid_request, invalid_scope, unsupported_grant_type",
            ),
            401: ResponseSpec(data_container=TokenRefusal, generate_examples=False, description="invalid_client"),
            429: ResponseSpec(
                data_container=TokenRefusal, generate_examples=False, description="temporarily_unavailable"
            ),
        },
    )
    async def grant(self, request: _Request, data: URLEncodedBody[TokenRequest]) -> Response[Any]:
        """Exchange a client id and a secret for an access token (OAuth 2.0, client credentials).

        `scope` may name some of the partner's scopes; without it the token carries them all.
        """
        header = request.headers.get("authorization")
        if data.grant_type != "client_credentials":
            error = "unsupported_grant_type" if data.grant_type else "invalid_request"
            return _refusal(error, "Send grant_type=client_credentials as a form.")
        if header is not None and (data.client_id or data.client_secret):
            return _refusal("invalid_request", "Send the credentials in one place only.")
        given = _basic(header) if header is not None else (data.client_id, data.client_secret)
        if given is None or not all(given) or max(map(len, given)) > _LONGEST_CREDENTIAL:
            return self._invalid_client(is_basic=header is not None)
        return await self._exchange(gate_of(request), request, given, data.scope, is_basic=header is not None)

    async def _exchange(
        self, gate: Gate, request: _Request, given: tuple[str, str], scope: str, *, is_basic: bool
    ) -> Response[Any]:
        address = f"token:{_address(request)}"
        account = f"{address}:{given[0]}"
        try:
            gate.by_address.take(address)
            gate.by_account.take(account)
        except TooManyAttempts as error:
            return _refusal("temporarily_unavailable", str(error), status=error.status, headers=dict(error.headers))
        try:
            partner = await service.authenticate_partner(gate.db, client_id=given[0], client_secret=given[1])
        except WrongCredentials:
            return self._invalid_client(is_basic=is_basic)
        gate.by_address.give_back(address)
        gate.by_account.give_back(account)
        scopes = rules.narrow_scopes(scope, partner.scopes)
        if scopes is None:
            return _refusal("invalid_scope", f"Allowed: {' '.join(sorted(partner.scopes))}.")
        issued = gate.tokens.issue(partner, scopes)
        return Response(
            TokenAnswer(issued.token, "Bearer", issued.expires_in, " ".join(sorted(issued.scopes))),
            headers={"Cache-Control": "no-store", "Pragma": "no-cache"},
        )

    @staticmethod
    def _invalid_client(*, is_basic: bool) -> Response[TokenRefusal]:
        headers = dict(WrongCredentials.headers) if is_basic else None
        return _refusal("invalid_client", "The client id or the secret is wrong.", status=401, headers=headers)


# -- staff

_ENTER = N_("Sign in")
_ENTER_TEXT = N_("This link signs you in on this device, once.")
_SPENT = N_("This link is no longer good")
_PAGE = """<!doctype html>
<html lang="{language}" dir="{direction}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex"><title>{title}</title></head>
<body><main><h1>{title}</h1><p>{text}</p>{form}</main></body></html>
"""
_FORM = '<form method="post"><button type="submit">{button}</button></form>'


def _page(request: _Request, title: str, text: str, *, status: int = 200, button: str = "") -> Response[str]:
    language = wanted_language(request.headers.get("accept-language", ""), engine_languages()) or "en"
    say = translator(language).gettext
    shown = html.escape(say(text).format(minutes=int(rules.LINK_LIFE.total_seconds() // 60)))
    return Response(
        _PAGE.format(
            language=html.escape(language),
            direction=find_locale(language).text_direction,
            title=html.escape(say(title)),
            text=shown,
            form=_FORM.format(button=html.escape(say(button))) if button else "",
        ),
        status_code=status,
        media_type=MediaType.HTML,
    )


class StaffController(Controller):
    """By one-time link in, by one button out. What is in a link's address is kept from other sites and from caches."""

    path = "/staff"
    include_in_schema = False
    opt: ClassVar[Mapping[str, Any]] = {"permission": Permission.PUBLIC}  # type: ignore[misc]
    response_headers = (
        ResponseHeader(name="Cache-Control", value="no-store"),
        ResponseHeader(name="Referrer-Policy", value="no-referrer"),
        ResponseHeader(name="X-Robots-Tag", value="noindex"),
        ResponseHeader(
            name="Content-Security-Policy",
            value="default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
    )

    @get("/enter/{token:str}", operation_id="ShowEntry")
    async def show(self, request: _Request, token: FromPath[str]) -> Response[str]:
        """Show the button that signs in. Looking, as a link preview does, does not use the link up."""
        gate = gate_of(request)
        if not await service.is_link_good(gate.db, token, now=gate.clock.now()):
            return _page(request, _SPENT, LinkUnusable.message, status=LinkUnusable.status)
        return _page(request, _ENTER, _ENTER_TEXT, button=_ENTER)

    @post(
        "/enter/{token:str}", status_code=303, operation_id="Enter", responses=refuses(ForgedRequest, TooManyAttempts)
    )
    async def enter(self, request: _Request, token: FromPath[str]) -> Response[Any]:
        """Use the link up, begin a session, and go to the first page."""
        gate = gate_of(request)
        headers = request.headers
        rules.check_origin(
            host=headers.get("host", ""), fetch_site=headers.get("sec-fetch-site"), origin=headers.get("origin")
        )
        address = f"enter:{_address(request)}"
        gate.by_address.take(address)
        try:
            cookie = await service.enter(gate.db, token, now=gate.clock.now())
        except LinkUnusable:
            return _page(request, _SPENT, LinkUnusable.message, status=LinkUnusable.status)
        gate.by_address.give_back(address)
        secure = _is_secure(request) or gate.secure
        return Redirect(
            gate.home,
            status_code=303,
            cookies=[
                Cookie(
                    key=gate.cookie_name(secure=secure),
                    value=cookie,
                    path="/",
                    secure=secure,
                    httponly=True,
                    samesite="strict",
                )
            ],
        )

    @post("/leave", status_code=303, operation_id="Leave")
    async def leave(self, request: _Request) -> Redirect:
        """End the session of whoever is signed in, and forget its cookie."""
        gate = gate_of(request)
        secure = _is_secure(request) or gate.secure
        name = gate.cookie_name(secure=secure)
        cookie = request.cookies.get(name)
        if cookie is not None:
            caller = await service.session_caller(gate.db, cookie, now=gate.clock.now())
            if caller is not None:
                await protect_from_forgery(request, caller)
                await service.leave(gate.db, cookie, now=gate.clock.now())
        gone = Cookie(key=name, value="", path="/", max_age=0, secure=secure, httponly=True, samesite="strict")
        return Redirect(gate.home, status_code=303, cookies=[gone])
