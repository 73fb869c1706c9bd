"""The login roles of an embedded server and the databases they share."""

import re
from typing import Any, NamedTuple
from urllib.parse import quote

import psycopg
from psycopg import sql

from engine.runtime.postgres_binaries import ServerError
from engine.runtime.postgres_cluster import Credentials

OWNER = "akiba_owner"
APP = "akiba_app"
# The owner makes the group roles in its migrations, so it may create roles; the application may do nothing by itself.
_ATTRIBUTES = {
    OWNER: "login nosuperuser createrole nocreatedb noreplication nobypassrls",
    APP: "login nosuperuser nocreaterole nocreatedb noreplication nobypassrls",
}
_DATABASE_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


class DatabaseURLs(NamedTuple):
    """Where one database is: for the application, and for its owner, who migrates it."""

    app: str
    owner: str


def provision_database(
    connection: psycopg.Connection[Any], database: str, credentials: Credentials, port: int
) -> DatabaseURLs:
    """Make the roles and the database where missing, over a superuser's autocommit connection.

    Only the two roles may connect to the database. Run it again at will: passwords and data stay.

    Raises:
        ServerError: `database` is not lower-case letters, digits and underscores.

    """
    if not _DATABASE_NAME.fullmatch(database):
        raise ServerError(f"{database!r} is no database name: use lower-case letters, digits and underscores")
    for role, attributes in _ATTRIBUTES.items():
        exists = connection.execute("select 1 from pg_roles where rolname = %s", [role]).fetchone()
        connection.execute(
            sql.SQL("{} role {} {} password {}").format(
                sql.SQL("alter" if exists else "create"),
                sql.Identifier(role),
                sql.SQL(attributes),
                credentials.password(role),
            )
        )
    if not connection.execute("select 1 from pg_database where datname = %s", [database]).fetchone():
        connection.execute(
            sql.SQL("create database {} owner {}").format(sql.Identifier(database), sql.Identifier(OWNER))
        )
    for statement in (
        "revoke all on database {} from public",
        f"grant connect, temporary on database {{}} to {APP}",
    ):
        connection.execute(sql.SQL(statement).format(sql.Identifier(database)))
    app, owner = (
        f"postgresql://{role}:{quote(credentials.password(role), safe='')}@127.0.0.1:{port}/{database}"
        for role in (APP, OWNER)
    )
    return DatabaseURLs(app=app, owner=owner)
