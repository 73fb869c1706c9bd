"""Our envelope of IDA against MOSIP's own SDK: what one seals and signs the other opens and believes."""

import asyncio
import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, pkcs12

from integrations.identity.mosip_ida import sealing
from tests.conformance.places import python_of
from tests.integrations.identity.test_mosip_ida import IDA, OURS

CLIENT = Path(__file__).parent / "clients" / "drive_mosip_auth_sdk.py"


async def asked_of_the_sdk(tmp_path: Path, session_key: str, text: str) -> tuple[int, bytes, str]:
    """Let the SDK seal, sign and open; return how it ended and what it said."""
    python = python_of("identity")
    (tmp_path / "ida.pem").write_bytes(IDA[1].public_bytes(Encoding.PEM))
    sealed_key = BestAvailableEncryption(b"secret")
    (tmp_path / "ours.p12").write_bytes(
        pkcs12.serialize_key_and_certificates(b"ours", OURS[0], OURS[1], None, sealed_key)
    )
    process = await asyncio.create_subprocess_exec(
        python, CLIENT, tmp_path, session_key, text, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out, err.decode()


@pytest.mark.artefact("mosip-auth-sdk")
async def test_the_sdk_and_we_understand_each_other(tmp_path: Path) -> None:
    certificate: x509.Certificate = OURS[1]
    ours = sealing.seal('{"name":"አልማዝ"}'.encode(), certificate)
    code, out, err = await asked_of_the_sdk(tmp_path, ours.session_key, ours.text)
    assert code == 0, err
    said = json.loads(out)

    text, session_key, digest = said["sealed"]
    assert sealing.unseal(text, session_key, IDA[0], digest) == b'{"timestamp":"now"}'
    assert said["opened"] == {"name": "አልማዝ"}
    assert said["thumbprint"].rstrip("=") == sealing.thumbprint(IDA[1])
    assert sealing.is_signed(said["signature"], b'{"id":"1"}', certificate)
    assert not sealing.is_signed(said["signature"], b'{"id":"2"}', certificate)


@pytest.mark.artefact("mosip-auth-sdk", breaks=True)
@pytest.mark.parametrize("field", ["session_key", "text"])
async def test_the_sdk_does_not_open_what_was_changed(tmp_path: Path, field: str) -> None:
    sealed = sealing.seal(b'{"name":"Almaz"}', OURS[1])
    sent = {"session_key": sealed.session_key, "text": sealed.text}
    sent[field] = sent[field][:-8] + ("AAAA" if sent[field][-8:-4] != "AAAA" else "BBBB") + sent[field][-4:]

    code, _, _ = await asked_of_the_sdk(tmp_path, sent["session_key"], sent["text"])

    assert code != 0
