"""How refusals reach a caller: RFC 9457 problems, in the caller's language, from one place."""

from collections.abc import Callable, Mapping
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Struct
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from engine.kernel.errors import EngineError, Malformed, Unavailable
from engine.kernel.text import N_
from engine.runtime.logging import get_logger

PROBLEM = "application/problem+json"
RETRY_AFTER_SECONDS = 1
Translate = Callable[[Request[Any, Any, Any], str], str]

_log = get_logger(__name__)

_TITLES: Mapping[int, str] = {
    400: N_("The request cannot be read"),
    401: N_("Nobody is signed in"),
    403: N_("Not allowed"),
    404: N_("Not found"),
    405: N_("Not possible here"),
    409: N_("Refused"),
    413: N_("Too large"),
    415: N_("Not a known format"),
    422: N_("A value cannot be accepted"),
    429: N_("Too many requests"),
    500: N_("Something went wrong"),
    503: N_("Not available now"),
}


class FieldProblem(Struct, frozen=True, omit_defaults=True):
    """One field that cannot be accepted, and why."""

    field: str
    reason: str


class Problem(Struct, frozen=True, omit_defaults=True):
    """A refusal (RFC 9457). `code` is stable; `title` and `detail` are for people."""

    type: str
    title: str
    status: int
    code: str
    detail: str = ""
    errors: tuple[FieldProblem, ...] = ()


def refuses(*errors: type[EngineError]) -> dict[int, ResponseSpec]:
    """Return the `responses` of a route that may raise `errors`, for the OpenAPI document."""
    by_status: dict[int, list[str]] = {}
    for error in errors:
        by_status.setdefault(error.status, []).append(error.code)
    return {
        status: ResponseSpec(
            data_container=Problem, generate_examples=False, media_type=PROBLEM, description=", ".join(sorted(codes))
        )
        for status, codes in by_status.items()
    }


def problem_of(error: EngineError, translate: Callable[[str], str] = str) -> Problem:
    """Return the refusal as a problem, its texts through `translate`."""
    detail = translate(error.message).format_map(_Shown(error.details))
    field = error.details.get("field")
    return Problem(
        type=f"urn:akiba:problem:{error.code}",
        title=translate(_TITLES.get(error.status, _TITLES[500])),
        status=error.status,
        code=error.code,
        detail=detail,
        errors=(FieldProblem(str(field), detail),) if field else (),
    )


class _Shown(dict[str, object]):
    """Details for a message: a missing one shows as nothing instead of failing the answer."""

    def __missing__(self, key: str) -> str:
        return ""


def exception_handlers(translate: Translate) -> dict[Any, Any]:
    """Return the application's handlers: every failure leaves as a problem, whoever raised it."""

    def engine_error(request: Request[Any, Any, Any], error: EngineError) -> Response[Problem]:
        return _answer(problem_of(error, lambda message: translate(request, message)), _headers(error))

    def validation(request: Request[Any, Any, Any], error: ValidationException) -> Response[Problem]:
        extra = error.extra if isinstance(error.extra, list) else []
        fields = tuple(
            FieldProblem(str(item.get("key", "body")), str(item.get("message", "")))
            for item in extra
            if isinstance(item, dict)
        )
        if not fields:
            reason = str(error.detail)
            return engine_error(request, Malformed(reason=reason.split("\n", 1)[0]))
        return _answer(
            Problem(
                type="urn:akiba:problem:request.invalid",
                title=translate(request, _TITLES[422]),
                status=422,
                code="request.invalid",
                detail="; ".join(f"{field.field}: {field.reason}" for field in fields),
                errors=fields,
            ),
            {},
        )

    def http(request: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
        title = translate(request, _TITLES.get(error.status_code, _TITLES[500]))
        return _answer(
            Problem(
                type="about:blank", title=title, status=error.status_code, code=f"http.{error.status_code}", detail=""
            ),
            dict(error.headers or {}),
        )

    def lost_database(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
        _log.warning("database unavailable", kind=type(error).__name__)
        return engine_error(request, Unavailable())

    def unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
        _log.exception("unexpected error", kind=type(error).__name__)
        return engine_error(request, EngineError())

    def database(request: Request[Any, Any, Any], error: DBAPIError) -> Response[Problem]:
        lost = isinstance(error, InterfaceError) or error.connection_invalidated or "OperationalError" in repr(error)
        return lost_database(request, error) if lost else unexpected(request, error)

    import psycopg  # noqa: PLC0415 - kept out of the module's import cost for tools that only read problems

    return {
        EngineError: engine_error,
        ValidationException: validation,
        HTTPException: http,
        PoolTimeout: lost_database,
        psycopg.OperationalError: lost_database,
        DBAPIError: database,
        Exception: unexpected,
    }


def _headers(error: EngineError) -> dict[str, str]:
    own = getattr(error, "headers", None)
    if own:
        return dict(own)
    if error.status == Unavailable.status:
        return {"Retry-After": str(RETRY_AFTER_SECONDS)}
    if error.status == 401:
        return {"WWW-Authenticate": 'Bearer realm="akiba"'}
    return {}


def _answer(problem: Problem, headers: dict[str, str]) -> Response[Problem]:
    return Response(problem, status_code=problem.status, media_type=PROBLEM, headers=headers)
