"""Our envelope of IDA against MOSIP's own SDK: what one seals and signs the other opens and believes."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, pkcs12

from integrations.identity.mosip_ida import sealing
from tests.integrations.identity.test_mosip_ida import IDA, OURS

CLIENT = Path(__file__).parent / "clients" / "drive_mosip_auth_sdk.py"


async def test_the_sdk_and_we_understand_each_other(tmp_path: Path) -> None:
    folder = os.environ.get("AKIBA_CONFORMANCE_ENVS")
    python = Path(folder or ".") / "identity" / "bin" / "python"
    if not folder or not python.exists():
        pytest.skip("needs requirements/conformance-identity.txt in $AKIBA_CONFORMANCE_ENVS/identity")
    (tmp_path / "ida.pem").write_bytes(IDA[1].public_bytes(Encoding.PEM))
    certificate: x509.Certificate = OURS[1]
    sealed_key = BestAvailableEncryption(b"secret")
    (tmp_path / "ours.p12").write_bytes(
        pkcs12.serialize_key_and_certificates(b"ours", OURS[0], certificate, None, sealed_key)
    )
    ours = sealing.seal('{"name":"አልማዝ"}'.encode(), certificate)

    process = await asyncio.create_subprocess_exec(
        python,
        CLIENT,
        tmp_path,
        ours.session_key,
        ours.text,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    said = json.loads(out)

    text, session_key, digest = said["sealed"]
    assert sealing.unseal(text, session_key, IDA[0], digest) == b'{"timestamp":"now"}'
    assert said["opened"] == {"name": "አልማዝ"}
    assert said["thumbprint"].rstrip("=") == sealing.thumbprint(IDA[1])
    assert sealing.is_signed(said["signature"], b'{"id":"1"}', certificate)
    assert not sealing.is_signed(said["signature"], b'{"id":"2"}', certificate)
