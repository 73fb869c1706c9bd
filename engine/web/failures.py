"""Refusals as pages, for whoever reads with a browser; programs get the same refusal as a problem document."""

from collections.abc import Callable, Mapping
from typing import Any

from litestar import Request, Response

from engine.access.rules import Caller
from engine.kernel.errors import EngineError, Forbidden, Malformed, NotFound, Unauthenticated
from engine.runtime.http import Problem, problem_of
from engine.tenancy.service import Tenant, Tenants
from engine.web.frame import Frame

Handler = Callable[[Request[Any, Any, Any], Any], Response[Problem]]
_BY_STATUS = {kind.status: kind for kind in (Malformed, Unauthenticated, Forbidden, NotFound)}


def html_errors(handlers: Mapping[Any, Handler]) -> dict[Any, Callable[[Request[Any, Any, Any], Any], Response[Any]]]:
    """Return the application's exception handlers with pages for browsers around them.

    The page has the status and the headers of the problem document it replaces.
    """
    return {raised: _paged(handler) for raised, handler in handlers.items()}


def wants_page(request: Request[Any, Any, Any]) -> bool:
    """Return whether the reader is a browser at a page: it asks for HTML, and not at an address of the API."""
    path = request.url.path
    accepted = request.headers.get("accept", "")
    return "text/html" in accepted and not path.startswith(("/v1/", "/oauth/", "/schema"))


def _paged(handler: Handler) -> Callable[[Request[Any, Any, Any], Any], Response[Any]]:
    def answer(request: Request[Any, Any, Any], error: Any) -> Response[Any]:
        problem = handler(request, error)
        if not wants_page(request):
            return problem
        user = request.scope.get("user")
        caller = user if isinstance(user, Caller) and user.kind == "staff" else None
        frame = Frame(request, _tenant_of(request, caller))
        page = frame.page(
            "error.html",
            status=problem.status_code or 500,
            problem=_said(error, problem, frame),
            home="/staff" if request.url.path.startswith("/staff") and caller else "/",
        )
        page.headers["Cache-Control"] = "no-store"
        for name, value in problem.headers.items():
            page.headers.setdefault(name, value)
        return page

    return answer


def _said(error: Any, problem: Response[Problem], frame: Frame) -> Problem:
    """Return the refusal in the language of the page, which need not be the one the browser asked for first."""
    said = problem.content
    if isinstance(error, EngineError):
        return problem_of(error, frame.words.gettext)
    kind = _BY_STATUS.get(said.status)
    if kind is not None and not said.detail:
        return Problem(said.type, problem_of(kind(), frame.words.gettext).title, said.status, said.code)
    return said


def _tenant_of(request: Request[Any, Any, Any], caller: Caller | None) -> Tenant | None:
    """Return whose page it would have been, None where nobody can tell."""
    tenants = request.app.state.get("tenants")
    if not isinstance(tenants, Tenants):
        return None
    try:
        if caller is not None:
            return tenants.by_id(caller.tenant_id)
        return tenants.by_host(request.headers.get("host", ""))
    except NotFound:
        return None
