"""What every page has: the tenant's name, colours and logo, the reader's language, the headers that keep a page safe."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

from babel.support import Translations
from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import Request, Response
from litestar.datastructures import Cookie
from litestar.enums import MediaType

from engine.access.rules import Caller, Role
from engine.kernel.amounts import Asset
from engine.kernel.permissions import Permission
from engine.kernel.prices import Price
from engine.kernel.text import N_
from engine.runtime.locale import (
    engine_languages,
    find_locale,
    format_date,
    format_money,
    format_price,
    format_units,
    translator,
    wanted_language,
)
from engine.runtime.settings import Settings
from engine.tenancy.service import Tenant

HTTPRequest = Request[Any, Any, Any]

NONE = "–"
LANGUAGE_COOKIE = "akiba_language"
_COOKIE_SECONDS = 365 * 24 * 3600
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Accept-Language, Cookie, Host",
}
ROLES: Mapping[Role, str] = {
    Role.OPERATOR: N_("operator"),
    Role.CONTRIBUTIONS_OFFICER: N_("contributions officer"),
    Role.RECONCILIATION_OFFICER: N_("reconciliation officer"),
    Role.PRICE_MAKER: N_("price maker"),
    Role.PRICE_CHECKER: N_("price checker"),
    Role.DEALING_OFFICER: N_("dealing officer"),
    Role.PAYOUT_MAKER: N_("payout maker"),
    Role.PAYOUT_CHECKER: N_("payout checker"),
    Role.CLAIMS_OFFICER: N_("claims officer"),
    Role.CLAIMS_CHECKER: N_("claims checker"),
    Role.RULES_MAKER: N_("rules maker"),
    Role.RULES_CHECKER: N_("rules checker"),
    Role.AUDITOR: N_("auditor"),
}
ENVIRONMENTS: Mapping[str, str] = {
    "development": N_("trial – not real money"),
    "production": N_("live"),
}
_PAGES: tuple[tuple[str, Permission, str], ...] = (
    ("/staff", Permission.OPERATIONS_READ, N_("Today")),
    ("/staff/waiting", Permission.OPERATIONS_READ, N_("Waiting for a second person")),
    ("/staff/members", Permission.MEMBERS_READ, N_("Members")),
    ("/staff/contributions", Permission.CONTRIBUTIONS_READ, N_("Contributions")),
    ("/staff/suspense", Permission.CONTRIBUTIONS_READ, N_("Money without an owner")),
    ("/staff/dealing", Permission.OPERATIONS_READ, N_("Dealing days")),
    ("/staff/jobs", Permission.OPERATIONS_READ, N_("Background jobs")),
)


@dataclass(frozen=True, slots=True)
class Link:
    """A link of a row of links; `is_here` marks the one the reader is at."""

    href: str
    label: str
    is_here: bool = False


@dataclass(frozen=True, slots=True)
class LanguageLink:
    """A language the page can be read in, by its own name."""

    tag: str
    name: str
    href: str
    is_here: bool


@dataclass(frozen=True, slots=True)
class Theme:
    """A tenant's stylesheet: its colours before the rules that use them; the name changes with the contents."""

    css: str
    version: str

    @classmethod
    def of(cls, tenant: Tenant) -> "Theme":
        """Return the tenant's stylesheet."""
        variables = "".join(f"{name}:{value};" for name, value in tenant.pack.theme.css_variables().items())
        css = f":root{{{variables}}}\n{_rules()}"
        digest = hashlib.sha256(f"{css}\0{tenant.pack.logo}".encode()).hexdigest()
        return cls(css, digest[:16])


@cache
def _rules() -> str:
    return files("engine.web").joinpath("style.css").read_text(encoding="utf-8")


class Frame:
    """What one answer is written in and around: for whom, on whose behalf, in which language."""

    def __init__(
        self,
        request: HTTPRequest,
        tenant: Tenant | None,
        *,
        caller: Caller | None = None,
        settings: Settings | None = None,
        business_date: date | None = None,
    ) -> None:
        """Describe a page of `tenant`; without one, of nobody in particular. With `caller`, a page of its staff."""
        self._request = request
        self.tenant = tenant
        self.caller = caller
        offered = tenant.pack.languages if tenant else engine_languages()
        self.language, self._is_chosen = choose_language(request, offered)
        self.locale = tenant.pack.locale(self.language) if tenant else self.language
        self.words: Translations = tenant.translator(self.language) if tenant else translator(self.language)
        self.direction = find_locale(self.language).text_direction
        self.scheme = self.words.gettext(tenant.pack.manifest.name) if tenant else "Akiba"
        self.regulator = self.words.gettext(tenant.pack.manifest.regulator.name) if tenant else ""
        self.environment = self.words.gettext(ENVIRONMENTS[settings.profile]) if settings else ""
        self.business_date = business_date
        self.money_asset = Asset.currency(tenant.pack.manifest.currency) if tenant else None
        self.stylesheet = self.logo = ""
        if tenant:
            version = Theme.of(tenant).version
            self.stylesheet = f"/theme/{tenant.code}/{version}/style.css"
            self.logo = f"/theme/{tenant.code}/{version}/logo.svg"
        self.languages = [self._language_link(tag) for tag in offered] if tenant else []
        self.roles = ", ".join(self.words.gettext(ROLES[role]) for role in sorted(caller.roles)) if caller else ""
        self.navigation = self._navigation()

    def money(self, minor: int) -> str:
        """Write an amount of the scheme's money."""
        assert self.money_asset is not None
        return format_money(minor, self.money_asset.symbol, self.money_asset.scale, self.locale)

    def price(self, price: Price) -> str:
        """Write a price of a unit in the scheme's money."""
        assert self.money_asset is not None
        return format_price(price.decimal(), self.money_asset.symbol, self.locale)

    def units(self, units: int, scale: int) -> str:
        """Write a number of fund units."""
        return format_units(units, scale, self.locale)

    def number(self, count: int) -> str:
        """Write a whole number."""
        return format_units(count, 0, self.locale)

    def day(self, day: date) -> str:
        """Write a date."""
        return format_date(day, self.locale)

    def may(self, permission: Permission) -> bool:
        """Return whether the reader may do that."""
        return self.caller is not None and self.caller.may(permission)

    def page(self, template: str, *, status: int = 200, **values: object) -> Response[str]:
        """Return the answer: the template filled in, with the headers of its kind of page."""
        html = (
            _environment()
            .get_template(template)
            .render(frame=self, _=self.words.gettext, ngettext=self.words.ngettext, **values)
        )
        cookies = []
        if self._is_chosen:
            cookies.append(
                Cookie(
                    key=LANGUAGE_COOKIE,
                    value=self.language,
                    path="/",
                    max_age=_COOKIE_SECONDS,
                    httponly=True,
                    secure=self._request.scope["scheme"] == "https",
                    samesite="lax",
                )
            )
        private = "no-store" if self.caller else "no-cache"
        return Response(
            html,
            status_code=status,
            media_type=MediaType.HTML,
            headers={**HEADERS, "Content-Language": self.language, "Cache-Control": private},
            cookies=cookies,
        )

    def _navigation(self) -> list[Link]:
        if self.caller is None:
            return []
        here = self._request.url.path
        return [
            Link(href, self.words.gettext(label), is_here=href == here)
            for href, permission, label in _PAGES
            if self.may(permission)
        ]

    def _language_link(self, tag: str) -> LanguageLink:
        asked = {key: value for key, value in self._request.query_params.items() if key != "lang"}
        name = find_locale(tag).get_display_name(tag) or tag
        return LanguageLink(tag, name, f"?{urlencode({**asked, 'lang': tag})}", tag == self.language)


def choose_language(request: HTTPRequest, offered: Iterable[str]) -> tuple[str, bool]:
    """Return the language of an answer, and whether the address itself chose it.

    In this order: `?lang=`, the cookie of an earlier choice, the browser's languages, the first that is offered.
    """
    languages = list(offered)
    asked = request.query_params.get("lang")
    if asked in languages:
        return str(asked), True
    remembered = request.cookies.get(LANGUAGE_COOKIE)
    if remembered in languages:
        return str(remembered), False
    found = wanted_language(request.headers.get("accept-language", ""), languages)
    return (found or languages[0]), False


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("engine.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
