"""Pages for everyone: a tenant's first page, its stylesheet, its logo."""

from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.enums import MediaType
from litestar.params import FromPath

from engine.kernel.errors import NotFound
from engine.kernel.permissions import Permission
from engine.tenancy.service import Tenant, Tenants
from engine.web.frame import HEADERS, Frame, HTTPRequest, Theme

# The address changes with the contents, so whoever has them need never ask again.
_FOR_EVER = {**HEADERS, "Vary": "Accept-Encoding", "Cache-Control": "public, max-age=31536000, immutable"}


class PublicPages(Controller):
    """What is shown to whoever asks, under the tenant's host name."""

    include_in_schema = False

    @get("/", operation_id="ShowLanding", opt={"permission": Permission.PUBLIC})
    async def landing(self, request: HTTPRequest, tenant: NamedDependency[Tenant]) -> Response[str]:
        """Say what the scheme is."""
        frame = Frame(request, tenant)
        say = frame.words.gettext
        return frame.page(
            "landing.html",
            products=[say(product.name) for product in tenant.pack.manifest.products],
            channels=[say(channel.name) for channel in tenant.pack.manifest.channels],
        )

    @get(
        "/theme/{code:str}/{version:str}/style.css", operation_id="GetStylesheet", opt={"permission": Permission.PUBLIC}
    )
    async def stylesheet(
        self, code: FromPath[str], version: FromPath[str], tenants: NamedDependency[Tenants]
    ) -> Response[str]:
        """Return a tenant's stylesheet, of the version that is served."""
        return Response(_theme(tenants, code, version)[1].css, media_type=MediaType.CSS, headers=_FOR_EVER)

    @get("/theme/{code:str}/{version:str}/logo.svg", operation_id="GetLogo", opt={"permission": Permission.PUBLIC})
    async def logo(
        self, code: FromPath[str], version: FromPath[str], tenants: NamedDependency[Tenants]
    ) -> Response[str]:
        """Return a tenant's logo."""
        return Response(_theme(tenants, code, version)[0].pack.logo, media_type="image/svg+xml", headers=_FOR_EVER)


def _theme(tenants: Tenants, code: str, version: str) -> tuple[Tenant, Theme]:
    tenant = tenants.by_code(code)
    theme = Theme.of(tenant)
    if theme.version != version:
        raise NotFound
    return tenant, theme
