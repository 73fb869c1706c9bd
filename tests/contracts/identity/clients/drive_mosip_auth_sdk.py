# mypy: ignore-errors
# ruff: noqa: T201
"""MOSIP's own SDK for partners seals, signs and opens; run in an environment of its own. Prints one JSON object."""

import json
import sys
from types import SimpleNamespace

from mosip_auth_sdk._authenticator.utils.cryptoutil import CryptoUtility

folder, session_key, identity = sys.argv[1:]
utility = CryptoUtility(
    SimpleNamespace(
        encrypt_cert_path=f"{folder}/ida.pem",
        decrypt_p12_file_path=f"{folder}/ours.p12",
        decrypt_p12_file_password="secret",
        symmetric_key_size=256,
        symmetric_nonce_size=128,
        symmetric_gcm_tag_size=128,
    ),
    SimpleNamespace(sign_p12_file_path=f"{folder}/ours.p12", sign_p12_file_password="secret", algorithm="RS256"),
    None,
)
sealed = utility.encrypt_auth_data('{"timestamp":"now"}')
print(
    json.dumps(
        {
            "sealed": sealed,
            "signature": utility.sign_auth_request_data('{"id":"1"}'),
            "thumbprint": utility.enc_cert_thumbprint.decode(),
            "opened": utility.decrypt_auth_data(session_key, identity),
        }
    )
)
