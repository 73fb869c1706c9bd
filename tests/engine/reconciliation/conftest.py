"""The scheme of the funds' tests."""

from tests.engine.funds.conftest import scheme

__all__ = ["scheme"]
