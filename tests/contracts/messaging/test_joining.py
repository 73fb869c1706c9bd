"""Every adapter of messages and menus is named in the package, is joined by what is entered, and answers its port."""

import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import pytest

import integrations.messaging.http_gateway
from engine.kernel.clock import SystemClock
from engine.kernel.joining import Means
from engine.notices.ports import Messaging, Ussd
from engine.runtime.exchanges.tokens import ProcessTokens
from engine.runtime.exchanges.transport import open_transport

ROOT = Path(__file__).parents[3]
PORTS: dict[str, Any] = {"Messaging": Messaging, "Ussd": Ussd}
POINTS = [
    (port, name, target)
    for port in PORTS
    for name, target in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][
        f"akiba.{port}"
    ].items()
]
WORD = "s3cret-w"
KANNEL = Path(integrations.messaging.http_gateway.__file__).parent / "kannel.toml"
ENTERED: dict[tuple[str, str], dict[str, Any]] = {
    ("Messaging", "africas-talking"): {"username": "u", "api_key": WORD},
    ("Messaging", "http-gateway"): {
        "gateway": tomllib.loads(KANNEL.read_text()),
        "secrets": {"username": "u", "password": WORD, "report_token": WORD},
        "base_url": "https://gateway.example",
    },
    ("Messaging", "smpp"): {"host": "smsc.example", "system_id": "u", "password": WORD},
    ("Messaging", "smtp"): {
        "host": "mail.example", "username": "u", "password": WORD, "sender": "a@b.example", "readers": "{digits}@b.example",
    },
    ("Messaging", "whatsapp"): {"phone_number_id": "1", "token": WORD, "app_secret": WORD, "verify_token": WORD},
    ("Ussd", "africas-talking"): {"secret": WORD * 5, "service_codes": ["*1#"]},
}  # fmt: skip


@pytest.mark.parametrize(("port", "name", "target"), POINTS)
async def test_an_adapter_is_joined_and_answers_its_port(port: str, name: str, target: str) -> None:
    module, _, attribute = target.partition(":")
    joins = getattr(import_module(module), attribute)()
    wanted = ENTERED[port, name]
    async with open_transport(seconds=1) as transport:
        credentials = msgspec.convert(wanted, joins.credentials)
        means = Means(transport, ProcessTokens(), SystemClock())

        assert isinstance(joins.join(credentials, means), PORTS[port])
        await means.leaving.aclose()
    assert WORD not in repr(credentials)
    for wrong in [{**wanted, "surplus": 1}, *({k: v for k, v in wanted.items() if k != key} for key in wanted)]:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, joins.credentials)


@pytest.mark.parametrize(
    ("port", "name", "changed"),
    [
        ("Ussd", "africas-talking", {"secret": "short"}),
        ("Ussd", "africas-talking", {"service_codes": []}),
        ("Ussd", "africas-talking", {"networks": ["192.0.2.300/24"]}),
        ("Messaging", "smtp", {"readers": "nobody@b.example"}),
        ("Messaging", "smpp", {"password": "longer than a bind carries"}),
        ("Messaging", "http-gateway", {"secrets": {}}),
    ],
)
def test_what_cannot_be_used_is_refused_when_it_is_entered(port: str, name: str, changed: dict[str, Any]) -> None:
    target = next(target for one, known, target in POINTS if (one, known) == (port, name))
    module, _, attribute = target.partition(":")
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**ENTERED[port, name], **changed}, getattr(import_module(module), attribute).credentials)
