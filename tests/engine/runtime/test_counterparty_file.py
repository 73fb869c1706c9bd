"""The secrets file of counterparties: read strictly, refused where others may read it, its values never repeated."""

from pathlib import Path

import pytest

from engine.runtime.counterparty_file import CounterpartiesUnavailable, CounterpartyFile
from engine.runtime.exchanges.pacing import Pace
from engine.runtime.private_files import write_private
from integrations.mobile_money.gsma.joining import Credentials

SECRET = "not-to-be-told"
GOOD = f"""
[xx-scheme.wallet]
base_url = "https://operator.example/v1.2/mm"
token_url = "http://127.0.0.1:8100/oauth/token"
client_id = "{SECRET}"
client_secret = "{SECRET}"
api_key = "{SECRET}"
account = "2999"
pace = {{ per_second = 5, answer_seconds = 20.0 }}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "counterparties.toml"


def written(path: Path, text: str) -> CounterpartyFile:
    write_private(path, text.encode())
    return CounterpartyFile(path)


def test_a_table_is_read_in_the_shape_of_its_adapter(path: Path) -> None:
    file = written(path, GOOD)

    assert file.has("xx-scheme", "wallet")
    assert not file.has("xx-scheme", "other")
    assert not file.has("xx-other", "wallet")
    assert file.credentials("xx-scheme", "wallet", Credentials).client_secret == SECRET
    assert file.pace("xx-scheme", "wallet") == Pace(per_second=5, answer_seconds=20)
    assert SECRET not in f"{file!r} {file.credentials('xx-scheme', 'wallet', Credentials)!r}"


def test_without_a_file_nobody_is_joined(path: Path) -> None:
    assert not CounterpartyFile(path).has("xx-scheme", "wallet")


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('account = "2999"', f'acount = "{SECRET}"', "xx-scheme.wallet"),
        ('account = "2999"', "", "account"),
        ('"https://operator', '"http://operator', "base_url"),
        ('"https://operator', f'"https://{SECRET}@operator', "base_url"),
        (f'api_key = "{SECRET}"', "api_key = 7", "api_key"),
    ],
)
def test_what_does_not_fit_is_named_and_no_secret_told(path: Path, old: str, new: str, named: str) -> None:
    file = written(path, GOOD.replace(old, new))

    with pytest.raises(CounterpartiesUnavailable) as refusal:
        file.credentials("xx-scheme", "wallet", Credentials)

    assert named in str(refusal.value)
    assert str(path) in str(refusal.value)
    assert SECRET not in str(refusal.value)


def test_an_unknown_pace_is_refused(path: Path) -> None:
    with pytest.raises(CounterpartiesUnavailable, match="pace"):
        written(path, GOOD.replace("per_second", "per_minute")).pace("xx-scheme", "wallet")


@pytest.mark.parametrize("text", ["[xx-scheme", 'xx-scheme = "x"', '[xx-scheme]\nwallet = "x"'])
def test_a_file_of_another_form_is_refused(path: Path, text: str) -> None:
    with pytest.raises(CounterpartiesUnavailable):
        written(path, text)


def test_a_file_that_others_may_read_is_refused(path: Path) -> None:
    write_private(path, GOOD.encode())
    path.chmod(0o640)

    with pytest.raises(CounterpartiesUnavailable, match="chmod 600"):
        CounterpartyFile(path)
