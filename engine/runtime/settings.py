"""What a process is told from outside: a TOML file, then the environment, then arguments; the later one wins."""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

_TENANTS = Path(__file__).resolve().parents[2] / "tenants"
_ENVIRONMENT = {
    "DATABASE_URL": "database_url",
    "DATABASE_OWNER_URL": "database_owner_url",
    "AKIBA_DATA_DIR": "data_dir",
    "AKIBA_HOST": "host",
    "AKIBA_PORT": "port",
    "AKIBA_POSTGRES_PORT": "postgres_port",
    "AKIBA_PACKS": "packs",
    "AKIBA_PROFILE": "profile",
    "AKIBA_LOG_LEVEL": "log_level",
    "AKIBA_POOL_SIZE": "pool_size",
    "AKIBA_KEYS_FILE": "keys_file",
    "AKIBA_COUNTERPARTIES_FILE": "counterparties_file",
    "AKIBA_BASE_URL": "base_url",
}
_OF_TESTS = ("AKIBA_SPECS", "AKIBA_CONFORMANCE_ENVS", "AKIBA_CONFORMANCE_BANKING", "AKIBA_CONFORMANCE_MESSAGING")
"""Names that tests against third parties read; no settings of ours."""
_CONFIG = "AKIBA_CONFIG"
_SECRETS = ("DATABASE_URL", "DATABASE_OWNER_URL")
_FOLDERS = ("data_dir", "keys_file", "counterparties_file")
_SCHEMES = {"postgresql", "postgres"}


class SettingsError(Exception):
    """A setting is unknown, unreadable or refused; the message names its source, its key and what is allowed."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings of one process. Paths are absolute."""

    database_url: str | None = None  # the application's role; None: the embedded server
    database_owner_url: str | None = None  # the role that migrates
    data_dir: Path = Path(".akiba")
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8420
    postgres_port: Annotated[int, Meta(ge=0, le=65535)] = 0  # 0: a free one, remembered
    packs: tuple[Path, ...] = (_TENANTS,)
    profile: Literal["development", "production"] = "development"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    pool_size: Annotated[int, Meta(ge=1, le=1000)] = 10  # database connections a process
    keys_file: Path = Path("keys.toml")  # in data_dir unless said otherwise
    counterparties_file: Path = Path("counterparties.toml")  # in data_dir unless said otherwise
    base_url: str = ""  # how others reach us; http://host:port unless said otherwise

    @property
    def is_production(self) -> bool:
        """Whether the process serves real people."""
        return self.profile == "production"

    @property
    def is_embedded(self) -> bool:
        """Whether the process runs its own PostgreSQL."""
        return self.database_url is None

    def owner_url(self) -> str:
        """Return the URL to migrate by.

        Raises:
            SettingsError: none was given.

        """
        if self.database_owner_url is None:
            raise SettingsError(
                "migrations need DATABASE_OWNER_URL: the application's role in DATABASE_URL may not change tables"
            )
        return self.database_owner_url

    def redacted(self) -> dict[str, str]:
        """Return the settings as text for people to read, with passwords left out."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: _redact(value) for name, value in values.items()}

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value}' for name, value in self.redacted().items())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return list(self.redacted().items())


def load_settings(
    arguments: Mapping[str, object] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    working_dir: Path | None = None,
) -> Settings:
    """Return the settings of this process.

    Args:
        arguments: settings by field name; None values are passed over.
        environment: `os.environ` by default. DATABASE_URL and DATABASE_OWNER_URL may instead be in files, named
            by DATABASE_URL_FILE and DATABASE_OWNER_URL_FILE.
        working_dir: where `akiba.toml` is looked for and from where relative paths count; those in a file count
            from the file's folder.

    Raises:
        SettingsError: a key or value is not allowed, a named file is missing, or a production process has no
            database of its own.

    """
    environment = os.environ if environment is None else environment
    working_dir = Path.cwd() if working_dir is None else working_dir.absolute()
    merged = {
        **_from_file(environment, working_dir),
        **_from_environment(environment, working_dir),
        **_from_arguments(arguments or {}, working_dir),
    }
    data_dir = merged.setdefault("data_dir", working_dir / ".akiba")
    merged.setdefault("keys_file", data_dir / "keys.toml")
    merged.setdefault("counterparties_file", data_dir / "counterparties.toml")
    settings = Settings(**merged)
    if settings.is_production and settings.is_embedded:
        raise SettingsError(
            "production needs DATABASE_URL: the embedded PostgreSQL server is for development, tests and small sites"
        )
    if not settings.base_url:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        settings = msgspec.structs.replace(settings, base_url=f"http://{host}:{settings.port}")
    return settings


def _from_file(environment: Mapping[str, str], working_dir: Path) -> dict[str, Any]:
    named = environment.get(_CONFIG)
    path = working_dir / (named or "akiba.toml")
    if not path.exists():
        if named:
            raise SettingsError(f"{_CONFIG} names {path}, which does not exist")
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from None
    return {name: _checked(name, value, source=str(path), base=path.parent) for name, value in table.items()}


def _from_environment(environment: Mapping[str, str], working_dir: Path) -> dict[str, Any]:
    known = {*_ENVIRONMENT, _CONFIG, *_OF_TESTS}
    for name in environment:
        # Containers put many names of their own here, so only one that looks like a slip of the pen is refused.
        if name.startswith("AKIBA_") and name not in known:
            meant = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
            if meant:
                raise SettingsError(f"environment: {name} is not a setting; did you mean {meant[0]}?")
    given = {name: environment[name] for name in _ENVIRONMENT if environment.get(name)}
    for name in _SECRETS:
        file = environment.get(f"{name}_FILE")
        if file and name in given:
            raise SettingsError(f"environment: both {name} and {name}_FILE are set; keep one")
        if file:
            try:
                given[name] = (working_dir / file).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError(f"environment: {name}_FILE: {error}") from None
    return {
        _ENVIRONMENT[name]: _checked(_ENVIRONMENT[name], text, source=f"environment {name}", base=working_dir)
        for name, text in given.items()
    }


def _from_arguments(arguments: Mapping[str, object], working_dir: Path) -> dict[str, Any]:
    given = {name: value for name, value in arguments.items() if value is not None}
    return {name: _checked(name, value, source="arguments", base=working_dir) for name, value in given.items()}


def _checked(name: str, value: object, *, source: str, base: Path) -> Any:
    """Return one value in its field's type, or say what is wrong with it without repeating a secret."""
    types = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    if name not in types:
        meant = difflib.get_close_matches(name, types, n=1)
        hint = f" (did you mean {meant[0]}?)" if meant else ""
        raise SettingsError(f"{source}: {name} is not a setting{hint}; allowed are {', '.join(types)}")
    if name == "packs" and isinstance(value, str):
        value = [part for part in value.split(os.pathsep) if part]
    try:
        value = msgspec.convert(value, types[name], strict=not isinstance(value, str), dec_hook=_path)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{source}: {name}: {error}; allowed: {_allowed(name)}") from None
    if name in {"database_url", "database_owner_url"}:
        return _database_url(str(value), name, source)
    if name in _FOLDERS and isinstance(value, Path):
        return base / value.expanduser()
    if isinstance(value, tuple):
        return tuple(base / folder.expanduser() for folder in value)
    return value


def _path(kind: type, value: object) -> Path:
    if kind is not Path or not isinstance(value, str | Path) or not str(value):
        raise msgspec.ValidationError("Expected a path")
    return Path(value)


def _allowed(name: str) -> str:
    return {
        "profile": "development, production",
        "log_level": "debug, info, warning, error",
        "port": "0 to 65535",
        "postgres_port": "0 to 65535, 0 for any free one",
        "pool_size": "1 to 1000",
        "packs": f"folders, in the environment separated by {os.pathsep!r}",
        "data_dir": "a folder",
        "keys_file": "a file",
        "counterparties_file": "a file",
    }.get(name, "text")


def _database_url(url: str, name: str, source: str) -> str:
    """Return the URL in its usual spelling; a driver's name in it is ours to choose and falls away."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.partition("+")[0] not in _SCHEMES or not rest:
        raise SettingsError(f"{source}: {name} must look like postgresql://user:password@host:port/database")
    return f"postgresql://{rest}"


def _redact(value: object) -> str:
    if isinstance(value, tuple):
        return os.pathsep.join(str(item) for item in value)
    text = "" if value is None else str(value)
    if urlsplit(text).scheme in _SCHEMES:
        text = re.sub(r"(://[^:/@]*):.*@", r"\1:***@", text)
        text = re.sub(r"(password=)[^&]*", r"\1***", text)
    return text
