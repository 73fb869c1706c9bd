"""The engine's refusals: each has a stable code, a translatable sentence, a status and details.

EngineError
├── Malformed       400  the request cannot be read
├── Unauthenticated 401  nobody is known
├── Forbidden       403  the caller may not
├── NotFound        404  there is no such thing for this caller
├── Refused         409  a rule of the scheme, or the state of things, says no
├── Invalid         422  the request can be read, but a value in it cannot be accepted
└── Unavailable     503  try again later
"""

from collections.abc import Mapping
from typing import ClassVar

from engine.kernel.text import N_


class EngineError(Exception):
    """Base of all refusals.

    `code` is stable (`capability.kebab-case`); `message` is a template with named placeholders, filled from
    `details` at the edge in the reader's language. Details must hold no personal data: they are logged.
    """

    code: ClassVar[str] = "engine.error"
    message: ClassVar[str] = N_("Something went wrong on our side.")
    status: ClassVar[int] = 500

    def __init__(self, **details: object) -> None:
        super().__init__(self.code)
        self.details: Mapping[str, object] = details

    def __str__(self) -> str:
        """Return the code and the English sentence, for logs and the command line."""
        try:
            return f"{self.code}: {self.message.format(**self.details)}"
        except (KeyError, IndexError):
            return f"{self.code}: {self.message}"


class Malformed(EngineError):
    """The request cannot be read at all."""

    code = "request.malformed"
    message = N_("The request could not be read: {reason}.")
    status = 400


class Unauthenticated(EngineError):
    """Nobody is known behind the request."""

    code = "access.unauthenticated"
    message = N_("Please sign in or send an access token.")
    status = 401


class Forbidden(EngineError):
    """The caller is known and may not do this."""

    code = "access.forbidden"
    message = N_("You may not do this: it needs the permission {permission}.")
    status = 403


class NotFound(EngineError):
    """There is no such thing for this caller; another tenant's thing is not found either."""

    code = "request.not-found"
    message = N_("There is nothing here.")
    status = 404


class Refused(EngineError):
    """A rule of the scheme, or the state of things, says no."""

    code = "request.refused"
    message = N_("This is not possible now.")
    status = 409


class Invalid(EngineError):
    """A value in the request cannot be accepted. Details name `field` and `reason`."""

    code = "request.invalid"
    message = N_("{field}: {reason}.")
    status = 422


class Unavailable(EngineError):
    """The engine cannot answer now; nothing is known to have happened; the same request may be sent again."""

    code = "request.unavailable"
    message = N_("The service cannot answer now. Send the same request again in a moment.")
    status = 503
