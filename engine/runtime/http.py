"""How requests are read and refusals reach a caller: RFC 9457 problems, in the caller's language, from one place."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import msgspec.inspect
from litestar import Litestar, Request, Response
from litestar.datastructures import MutableScopeHeaders
from litestar.exceptions import HTTPException, SerializationException, ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import (
    Components,
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    Reference,
    RequestBody,
    Schema,
    SecurityRequirement,
)
from litestar.params import ParameterKwarg
from litestar.routes import HTTPRoute
from litestar.types import Message, Scope
from msgspec import Struct
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from engine.kernel.errors import EngineError, Malformed, Unavailable
from engine.kernel.permissions import Permission
from engine.kernel.text import N_
from engine.runtime.logging import get_logger

PROBLEM = "application/problem+json"
JSON = "application/json"
RETRY_AFTER_SECONDS = 1
IDEMPOTENCY_KEY = "Idempotency-Key"
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
    """A refusal (RFC 9457). `code` is stable; `title` and `detail` are for people; `decision` can be asked to be explained.

    `assumptions` are what its rules assume, in the words of the rule book, where their sources do not settle it.
    `allowed` are the amounts that would be taken instead, in major units.
    """

    type: str
    title: str
    status: int
    code: str
    detail: str = ""
    errors: tuple[FieldProblem, ...] = ()
    decision: str = ""
    assumptions: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()


_NO_BODY = FieldProblem("data", "'data'")
"""How the framework says that a body it needs is not there."""


class StrictRequest(Request[Any, Any, Any]):
    """A request whose JSON is read strictly: what is not JSON is refused as such, wherever the decoder stumbles."""

    __slots__ = ()

    async def json(self) -> Any:
        """Return the body's JSON. Of a name given twice the last value counts, there and for an idempotency digest.

        Raises:
            HTTPException: 415, the Content-Type says that it is something else.
            Malformed: it is not JSON in UTF-8, or is nested so deeply that nobody means it.
        """
        kind, _ = self.content_type
        if kind and kind != JSON and not (kind.startswith("application/") and kind.endswith("+json")):
            raise HTTPException(status_code=415, headers={"Accept": JSON})
        try:
            return await super().json()
        except SerializationException as error:
            cause = error.__cause__
            place = f": {cause}" if isinstance(cause, msgspec.DecodeError) else ""
            raise Malformed(reason=f"the body is not JSON{place}") from error
        except UnicodeDecodeError as error:
            raise Malformed(reason="the body is not UTF-8 text") from error
        except RecursionError as error:
            raise Malformed(reason="the body is nested too deeply") from error


@dataclass
class FileOperation(Operation):
    """A route whose body is a file as it is (`operation_class` of a handler that reads the raw body)."""

    def __post_init__(self) -> None:
        """Describe the body."""
        file = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY, min_length=1))
        self.request_body = RequestBody(content={"application/octet-stream": file}, required=True)


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
    assumed = error.details.get("assumptions")
    amounts = error.details.get("amounts")
    field = error.details.get("field")
    return Problem(
        type=f"urn:akiba:problem:{error.code}",
        title=translate(_TITLES.get(error.status, _TITLES[500])),
        status=error.status,
        code=error.code,
        detail=detail,
        errors=(FieldProblem(str(field), detail),) if field else (),
        decision=str(error.details.get("decision", "")),
        assumptions=tuple(translate(str(one)) for one in assumed) if isinstance(assumed, list) else (),
        allowed=tuple(str(one) for one in amounts) if isinstance(amounts, list) else (),
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
            FieldProblem(str(item.get("key", "data")), str(item.get("message", "")))
            for item in extra
            if isinstance(item, dict)
        )
        if fields == (_NO_BODY,):
            return engine_error(request, Malformed(reason="the body is empty"))
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

    def data(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
        if not _holds_nul(error):
            return unexpected(request, error)
        return engine_error(request, Malformed(reason="a text in it holds the character NUL"))

    def database(request: Request[Any, Any, Any], error: DBAPIError) -> Response[Problem]:
        if isinstance(error.orig, psycopg.DataError):
            return data(request, error.orig)
        lost = isinstance(error, InterfaceError) or error.connection_invalidated or "OperationalError" in repr(error)
        return lost_database(request, error) if lost else unexpected(request, error)

    import psycopg  # noqa: PLC0415 - kept out of the module's import cost for tools that only read problems

    return {
        EngineError: engine_error,
        ValidationException: validation,
        HTTPException: http,
        PoolTimeout: lost_database,
        psycopg.OperationalError: lost_database,
        psycopg.DataError: data,
        DBAPIError: database,
        Exception: unexpected,
    }


def _holds_nul(error: Exception) -> bool:
    """Return whether PostgreSQL, or its driver, refused a text for the one character that it cannot keep."""
    sqlstate = getattr(error, "sqlstate", None)
    return sqlstate in {"22021", "22P05"} or (sqlstate is None and "NUL" in str(error))


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


# -- the OpenAPI document


async def allow_every_method(message: Message, scope: Scope) -> None:
    """Tell in `Allow` every method of a route: where it has several, the framework's own answer knows the first alone."""
    if message["type"] != "http.response.start" or scope.get("method") != "OPTIONS":
        return
    template = scope.get("path_template")
    methods = {
        method
        for route in scope["litestar_app"].routes
        if isinstance(route, HTTPRoute) and route.path_format == template
        for method in route.methods
    }
    if methods:
        MutableScopeHeaders.from_message(message)["Allow"] = ", ".join(sorted(methods))


def document_refusals(app: Litestar, security: Callable[[Permission], list[SecurityRequirement]]) -> None:
    """Complete the application's OpenAPI document with what holds for every route.

    Each route gets the refusals that any route of its shape can give, beside those it declares; who may call it;
    and parameters without the null that a header or a query cannot carry.

    Args:
        app: the application, with all its routes.
        security: the ways to be let in to what needs a permission; none for what is open to everyone.
    """
    document = app.openapi_schema
    for path, method, handler in _documented(app):
        item = (document.paths or {})[path]
        operation: Operation = getattr(item, method.lower())
        permission = Permission(handler.opt["permission"])
        operation.security = security(permission)
        operation.parameters = [_sendable(one, handler) for one in operation.parameters or ()] or None
        responses = operation.responses = dict(operation.responses or {})
        declared = {str(status) for status in handler.responses or ()}
        for status in _statuses(operation, permission):
            if str(status) not in declared:
                responses[str(status)] = _refusal(status)
        if permission is not Permission.PUBLIC:
            forbidden = responses["403"]
            assert isinstance(forbidden, OpenAPIResponse), forbidden
            forbidden.description = f"Needs the permission {permission}. {forbidden.description}"
        operation.responses = dict(sorted(responses.items()))
        _close(document.components, handler)
    for schema in (document.components.schemas or {}).values():
        for member in (schema.properties or {}).values():
            _name_items(member)


def _documented(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, _) in route.route_handler_map.items():
                if handler.resolve_include_in_schema():
                    yield route.path_format or "/", method, handler


def _least(name: str, handler: HTTPRouteHandler) -> float | None:
    """Return the least value of a parameter; the framework leaves out of the document a least value of 0."""
    for field in handler.parsed_fn_signature.parameters.values():
        declared = field.kwarg_definition
        if isinstance(declared, ParameterKwarg) and name in {declared.query, declared.header, field.name}:
            return None if declared.ge is None else float(declared.ge)
    return None


def _whole(bound: float | None) -> int | None:
    return None if bound is None else int(bound)


def _name_items(member: Schema | Reference) -> None:
    """Say of a list of one type that it holds that type; the framework adds "or anything" for a tuple of any length."""
    if not isinstance(member, Schema):
        return
    if isinstance(member.items, Schema) and member.items.one_of:
        kinds = [kind for kind in member.items.one_of if kind != Schema()]
        if len(kinds) == 1:
            member.items = kinds[0]
    for kind in member.one_of or ():
        _name_items(kind)


def _close(components: Components, handler: HTTPRouteHandler) -> None:
    """Say of each shape of the handler's body that is refused with an unknown field that it has no others."""
    body = handler.parsed_fn_signature.parameters.get("data")
    if body is None or components.schemas is None:
        return
    for struct in _structs(msgspec.inspect.type_info(body.annotation), set()):
        schema = components.schemas.get(struct.__name__)
        if isinstance(schema, Schema) and struct.__struct_config__.forbid_unknown_fields:
            schema.additional_properties = False
        if isinstance(schema, Schema):
            fields = msgspec.inspect.type_info(struct)
            assert isinstance(fields, msgspec.inspect.StructType), struct
            for field in fields.fields:
                _limit(schema.properties.get(field.encode_name) if schema.properties else None, field.type)


def _limit(member: Schema | Reference | None, kind: msgspec.inspect.Type) -> None:
    """Say what the framework leaves out: which texts a list or a mapping holds, and least numbers of 0."""
    if isinstance(kind, msgspec.inspect.Metadata):
        kind = kind.type
    if not isinstance(member, Schema):
        return
    _name_items(member)
    if isinstance(kind, msgspec.inspect.StrType):
        member.pattern, member.min_length, member.max_length = kind.pattern, kind.min_length, kind.max_length
    if isinstance(kind, msgspec.inspect.IntType) and kind.ge is not None:
        member.minimum = kind.ge
    if isinstance(kind, msgspec.inspect.UnionType):
        for one in kind.types:
            for option in member.one_of or ():
                if isinstance(one, msgspec.inspect.IntType) and getattr(option, "type", None) == OpenAPIType.INTEGER:
                    _limit(option, one)
    if isinstance(kind, msgspec.inspect.ListType | msgspec.inspect.VarTupleType):
        _limit(member.items if isinstance(member.items, Schema) else None, kind.item_type)
    if isinstance(kind, msgspec.inspect.DictType):
        values = member.additional_properties
        _limit(values if isinstance(values, Schema) else None, kind.value_type)
        member.min_properties = kind.min_length
        member.property_names = Schema(type=OpenAPIType.STRING)
        _limit(member.property_names, kind.key_type)


def _structs(kind: msgspec.inspect.Type, seen: set[type[Struct]]) -> set[type[Struct]]:
    if isinstance(kind, msgspec.inspect.StructType) and kind.cls not in seen:
        seen.add(kind.cls)
        for one in kind.fields:
            _structs(one.type, seen)
    for name in ("type", "item_type", "value_type"):
        if isinstance(inner := getattr(kind, name, None), msgspec.inspect.Type):
            _structs(inner, seen)
    for name in ("types", "item_types"):
        for one in getattr(kind, name, ()):
            _structs(one, seen)
    return seen


def _statuses(operation: Operation, permission: Permission) -> Sequence[int]:
    body = operation.request_body
    has_body = isinstance(body, RequestBody)
    return (
        *((400, 422) if has_body or operation.parameters else ()),
        *((401, 403) if permission is not Permission.PUBLIC else ()),
        404,
        *((413,) if has_body else ()),
        *((415,) if isinstance(body, RequestBody) and JSON in body.content else ()),
        503,
    )


def _refusal(status: int) -> OpenAPIResponse:
    problem = OpenAPIMediaType(schema=Reference(ref="#/components/schemas/Problem"))
    return OpenAPIResponse(description=f"{_TITLES[status]}.", content={PROBLEM: problem})


def _sendable(parameter: Parameter | Reference, handler: HTTPRouteHandler) -> Parameter | Reference:
    """Return the parameter as it can be sent: a value or none at all, never null; a key where one is needed."""
    if not isinstance(parameter, Parameter) or not isinstance(parameter.schema, Schema):
        return parameter
    schema = parameter.schema
    values = [one for one in schema.one_of or () if not (isinstance(one, Schema) and one.type is OpenAPIType.NULL)]
    if len(values) == 1 and isinstance(values[0], Schema):
        schema = replace(schema, one_of=None, type=values[0].type, format=values[0].format)
    if schema.type is OpenAPIType.INTEGER:
        least = _least(parameter.name, handler) if schema.minimum is None else schema.minimum
        schema = replace(schema, minimum=_whole(least), maximum=_whole(schema.maximum))
    if parameter.name == IDEMPOTENCY_KEY:
        return replace(parameter, required=True, schema=replace(schema, min_length=1))
    return replace(parameter, schema=schema)
