"""The command line loads a command's module when the command is called; its list says what each command says of itself."""

import json
import subprocess
import sys

import pytest

from engine.cli import COMMANDS, loaded

HEAVY = {
    "alembic", "babel", "cryptography", "engine.app", "engine.deployment", "holidays", "httpx", "jinja2", "litestar", "lxml", "phonenumbers",
    "psycopg", "pyarrow", "sqlalchemy", "typst", "uvicorn",
}  # fmt: skip
"""What serves, prints, reads files of others or speaks to a database."""


def _modules_after(*words: str) -> set[str]:
    """Return the modules that a process holds once a command has ended."""
    program = (
        "import json, sys; from engine.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: print(json.dumps([end.code, sorted(sys.modules)]), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], check=False, capture_output=True, text=True)
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 0, done.stderr
    return set(modules)


@pytest.mark.parametrize("words", [("--help",), ("--version",)])
def test_help_loads_nothing_that_a_command_works_with(words: tuple[str, ...]) -> None:
    assert _modules_after(*words) & HEAVY == set()


def test_the_list_of_heavy_modules_names_modules_that_commands_load() -> None:
    program = "import sys; from engine.cli import COMMANDS, loaded\nfor one in COMMANDS: loaded(one.split()[0])\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert HEAVY - set(done.stdout.split()) == {"lxml"}, (
        "only adapters read XML, and these are loaded by the packs' choice"
    )


@pytest.mark.parametrize("name", [one for one in COMMANDS if " " not in one])
def test_what_is_listed_of_a_command_is_what_it_says_of_itself(name: str) -> None:
    command = loaded(name)
    assert (command.help or "").partition("\n")[0].strip() == COMMANDS[name][1]


def test_commands_of_a_group_are_put_there() -> None:
    for name in (one for one in COMMANDS if " " in one):
        group, _, child = name.rpartition(" ")
        assert child in loaded(group).commands
