"""Every permission there is, named `thing:act`. Who holds them is the business of `access`."""

from enum import StrEnum


class Permission(StrEnum):
    """What a route may require. A route that declares none is closed."""

    PUBLIC = "public"
    MEMBERS_ENROL = "members:enrol"
    MEMBERS_READ = "members:read"
    MEMBERS_STATUS = "members:status"
    MEMBERS_VERIFY = "members:verify"
    IDENTITY_DECIDE = "identity:decide"
    CONTRIBUTIONS_RECEIVE = "contributions:receive"
    CONTRIBUTIONS_READ = "contributions:read"
    COLLECTIONS_REQUEST = "collections:request"
    SUSPENSE_RESOLVE = "suspense:resolve"
    STATEMENTS_READ = "statements:read"
    STATEMENTS_IMPORT = "statements:import"
    PRICES_IMPORT = "prices:import"
    PRICES_APPROVE = "prices:approve"
    DEALING_RUN = "dealing:run"
    DECISIONS_READ = "decisions:read"
    FIGURES_PROPOSE = "figures:propose"
    FIGURES_APPROVE = "figures:approve"
    PACKS_PROPOSE = "packs:propose"
    PACKS_APPROVE = "packs:approve"
    OPERATIONS_READ = "operations:read"
    AUDIT_READ = "audit:read"
