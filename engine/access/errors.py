"""What access refuses."""

from collections.abc import Mapping
from typing import ClassVar

from engine.kernel.errors import EngineError, Forbidden, Invalid, Unauthenticated
from engine.kernel.text import N_


class NotSignedIn(Unauthenticated):
    """Nobody is known behind the request: it brings neither a token nor a session."""

    code = "access.not-signed-in"
    message = N_("Please sign in or send an access token.")
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": 'Bearer realm="akiba"'}


class TokenRefused(Unauthenticated):
    """The access token is malformed, forged, expired, or of another service."""

    code = "access.token-refused"
    message = N_("The access token is not valid, or no longer. Ask for a new one.")
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": 'Bearer realm="akiba", error="invalid_token"'}


class WrongCredentials(Unauthenticated):
    """The client id and the secret are not those of an active partner."""

    code = "access.wrong-credentials"
    message = N_("The client id or the secret is wrong.")
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": 'Basic realm="akiba"'}


class RouteClosed(Forbidden):
    """The route says no permission, so it is closed to everyone."""

    code = "access.route-closed"
    message = N_("Nobody may do this.")


class MissingPermission(Forbidden):
    """The caller does not hold what the route needs."""

    code = "access.missing-permission"
    message = N_("You may not do this: it needs the permission {permission}.")


class ForgedRequest(Forbidden):
    """A change was asked for in the name of a signed-in person, and not from one of our own pages."""

    code = "access.forged-request"
    message = N_("This did not come from a page of this site that you opened. Go back, reload the page and try again.")


class LinkUnusable(Forbidden):
    """A one-time link was used before, is too old, or never was one."""

    code = "access.link-unusable"
    message = N_("This link was already used or is older than {minutes} minutes. Ask for a new one.")


class SamePerson(Forbidden):
    """Who proposed something approves it."""

    code = "access.same-person"
    message = N_("This needs a second person: whoever proposed it may not approve it.")


class TooManyAttempts(EngineError):
    """More attempts were made than are allowed in the time."""

    code = "access.too-many-attempts"
    message = N_("Too many attempts. Wait {seconds} seconds and try again.")
    status = 429

    @property
    def headers(self) -> Mapping[str, str]:
        """Return when to try again, as HTTP says it."""
        return {"Retry-After": str(self.details["seconds"])}


class ScopeNotAllowed(Invalid):
    """A scope is unknown, or not one that a partner can hold."""

    code = "access.scope-not-allowed"
    message = N_("{scope} is not a scope that can be given here. Allowed: {allowed}.")


class UnknownRole(Invalid):
    """There is no role of that name."""

    code = "access.unknown-role"
    message = N_("There is no role {role}. The roles are: {allowed}.")


class ConflictingRoles(Invalid):
    """One person would hold two roles of which each must check the other."""

    code = "access.conflicting-roles"
    message = N_("One person may not be both {one} and {other}.")


class CodeTaken(Invalid):
    """The tenant already has a partner of that code."""

    code = "access.code-taken"
    message = N_("There is already a partner {partner}.")


class UnknownPartner(Invalid):
    """The tenant has no partner of that code."""

    code = "access.unknown-partner"
    message = N_("There is no partner {partner}.")


class UnknownStaff(Invalid):
    """The tenant has no member of staff of that label."""

    code = "access.unknown-staff"
    message = N_("There is no member of staff {staff}.")
