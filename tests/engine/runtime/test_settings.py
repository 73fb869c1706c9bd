"""Where settings come from, which one wins, and what an error says."""

import os
from pathlib import Path

import pytest

from engine.runtime.settings import Settings, SettingsError, load_settings

URL = "postgresql://akiba_app:s3cret@db.example/akiba"


def load(folder: Path, toml: str = "", arguments: dict[str, object] | None = None, **environment: str) -> Settings:
    if toml:
        (folder / "akiba.toml").write_text(toml)
    return load_settings(arguments, environment=environment, working_dir=folder)


def test_defaults_are_for_a_laptop(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert (settings.host, settings.port, settings.postgres_port) == ("127.0.0.1", 8420, 0)
    assert settings.is_embedded
    assert not settings.is_production
    assert settings.data_dir == tmp_path / ".akiba"
    assert settings.keys_file == tmp_path / ".akiba" / "keys.toml"
    assert settings.base_url == "http://127.0.0.1:8420"
    assert [folder.name for folder in settings.packs] == ["tenants"]


def test_arguments_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    toml = "port = 1\npool_size = 2\nhost = '0.0.0.0'\n"
    settings = load(tmp_path, toml, {"port": 3, "pool_size": None}, AKIBA_PORT="2", AKIBA_POOL_SIZE="4")
    assert (settings.port, settings.pool_size, settings.host) == (3, 4, "0.0.0.0")


def test_paths_count_from_where_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "site.toml").write_text("data_dir = 'data'\npacks = ['one', '/two']\n")
    settings = load(tmp_path, AKIBA_CONFIG="etc/site.toml", AKIBA_KEYS_FILE="keys.toml")
    assert settings.data_dir == tmp_path / "etc" / "data"
    assert settings.packs == (tmp_path / "etc" / "one", Path("/two"))
    assert settings.keys_file == tmp_path / "keys.toml"
    assert load(tmp_path, AKIBA_PACKS=os.pathsep.join(["a", "b"])).packs == (tmp_path / "a", tmp_path / "b")


def test_a_secret_can_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"{URL}\n")
    assert load(tmp_path, DATABASE_URL_FILE="url").database_url == URL
    with pytest.raises(SettingsError, match="both DATABASE_URL and DATABASE_URL_FILE"):
        load(tmp_path, DATABASE_URL_FILE="url", DATABASE_URL=URL)
    with pytest.raises(SettingsError, match=r"DATABASE_URL_FILE: .*No such file"):
        load(tmp_path, DATABASE_URL_FILE="gone")


@pytest.mark.parametrize(
    ("toml", "environment", "message"),
    [
        pytest.param(
            "prot = 1", {}, r"akiba.toml: prot is not a setting \(did you mean port\?\); allowed are", id="key"
        ),
        pytest.param("port = 'x'", {}, "akiba.toml: port: .*allowed: 0 to 65535", id="type"),
        pytest.param("port = 70000", {}, "akiba.toml: port: .*allowed: 0 to 65535", id="range"),
        pytest.param("port = ", {}, "akiba.toml: Invalid value", id="not TOML"),
        pytest.param("", {"AKIBA_PROFILE": "prod"}, "AKIBA_PROFILE.*allowed: development, production", id="choice"),
        pytest.param("", {"AKIBA_PROFIL": "x"}, "AKIBA_PROFIL is not a setting; did you mean AKIBA_PROFILE", id="slip"),
        pytest.param("", {"AKIBA_CONFIG": "gone.toml"}, "AKIBA_CONFIG names .*does not exist", id="no file"),
        pytest.param("", {"AKIBA_PROFILE": "production"}, "production needs DATABASE_URL", id="embedded"),
        pytest.param("", {"DATABASE_URL": "mysql://u:s3cret@h/d"}, "DATABASE_URL.*must look like", id="scheme"),
    ],
)
def test_refuses(tmp_path: Path, toml: str, environment: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        load(tmp_path, toml, None, **environment)
    assert "s3cret" not in str(caught.value)


def test_names_a_wrong_argument(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"arguments: pool is not a setting"):
        load(tmp_path, arguments={"pool": 1})


def test_serving_needs_no_owner_but_migrating_does(tmp_path: Path) -> None:
    settings = load(tmp_path, DATABASE_URL=URL, AKIBA_PROFILE="production")
    with pytest.raises(SettingsError, match="DATABASE_OWNER_URL"):
        settings.owner_url()
    assert load(tmp_path, DATABASE_OWNER_URL=URL).owner_url() == URL


def test_a_drivers_name_in_the_url_falls_away(tmp_path: Path) -> None:
    assert load(tmp_path, DATABASE_URL="postgres://u@h/d").database_url == "postgresql://u@h/d"
    assert load(tmp_path, DATABASE_URL="postgresql+psycopg://u@h/d").database_url == "postgresql://u@h/d"


@pytest.mark.parametrize("url", [URL, "postgresql://h/d?user=u&password=s3cret", "postgresql://u:a@s3cret@h/d"])
def test_prints_no_password(tmp_path: Path, url: str) -> None:
    settings = load(tmp_path, DATABASE_URL=url)
    assert "s3cret" in (settings.database_url or "")
    for text in (repr(settings), str(settings.redacted()), str(settings.__rich_repr__())):
        assert "s3cret" not in text
        assert "***" in text
