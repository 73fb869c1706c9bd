"""Every adapter of identity and registers is named in the package, is joined by what is entered, and answers its port."""

import tomllib
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import RSAKey

from engine.kernel.clock import SystemClock
from engine.kernel.joining import Means
from engine.runtime.exchanges.tokens import ProcessTokens
from engine.runtime.exchanges.transport import open_transport
from integrations.identity.aadhaar_offline.simulator import AadhaarSimulator

ROOT = Path(__file__).parents[3]
OPERATIONS = {
    "SignIn": ("start", "finish"),
    "IdentityAgency": ("verify",),
    "OfflineProof": ("read",),
    "BatchVerifier": ("write", "read"),
    "CivilRegistry": ("deaths_of", "read_notice", "acknowledge"),
    "SocialRegistry": ("classes_of",),
}
POINTS = [
    (port, name, target)
    for port in OPERATIONS
    for name, target in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][
        f"akiba.{port}"
    ].items()
]


def entered() -> dict[str, dict[str, Any]]:
    uidai = AadhaarSimulator(datetime.now(UTC))
    key = uidai._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = RSAKey.import_key(key).as_pem(private=False).decode()
    url = "https://agency.example"
    ends = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "redirect_uri")
    return {
        "openid-connect": {
            "authority": "agency",
            "issuer": url,
            "client_id": "akiba",
            "signing_key": key,
            "signing_key_id": "ours",
            "sealing_key": key,
            **{name: f"{url}/{name}" for name in ends},
        },
        "mosip-ida": {
            **dict.fromkeys(("license_key", "partner_id", "api_key", "domain_uri", "environment", "language"), "x"),
            "base_url": url,
            "ida_certificate": uidai.certificate,
            "certificate": uidai.certificate,
            "private_key": key,
        },
        "aadhaar-offline": {"signers": [msgspec.to_builtins(uidai.signer)], "age_max_hours": 72},
        "csv-files": {"authority": "agency"},
        "dci": {
            "base_url": url,
            "sender_id": "akiba",
            "receiver_id": "crvs",
            "reg_type": "ns:org:RegistryType:Civil",
            "signing_key": key,
            "signing_key_id": "ours",
            "its_key": public,
            "its_key_id": "its",
        },
    }


@pytest.mark.parametrize(("port", "name", "target"), POINTS)
async def test_an_adapter_is_joined_and_answers_its_port(port: str, name: str, target: str) -> None:
    module, _, attribute = target.partition(":")
    joins = getattr(import_module(module), attribute)()
    wanted = entered()[name]
    async with open_transport(seconds=1) as transport:
        means = Means(transport, ProcessTokens(), SystemClock())
        credentials = msgspec.convert(wanted, joins.credentials)
        adapter = joins.join(credentials, means)

        assert all(callable(getattr(adapter, operation)) for operation in OPERATIONS[port])
        assert "PRIVATE KEY" not in repr(credentials)
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({**wanted, "surplus": 1}, joins.credentials)
        keys = [field for field in wanted if field in {"signing_key", "private_key", "ida_certificate"}]
        for field in keys:
            with pytest.raises(ValueError, match=r".+"):
                joins.join(msgspec.convert({**wanted, field: "no key"}, joins.credentials), means)
