# mypy: ignore-errors
# ruff: noqa: T201
"""Judge by `airtelmoney-py` the hash of a callback, and by PyCryptodome what we signed and encrypted for Airtel."""

import base64
import json
import sys
from pathlib import Path

from airtelmoney.resources.collection import CollectionAPI
from Crypto.Cipher import AES, PKCS1_v1_5
from Crypto.PublicKey import RSA
from Crypto.Util.Padding import unpad

secret, callback, private, signature, key, pin = sys.argv[1:]
cipher = PKCS1_v1_5.new(RSA.import_key(Path(private).read_text()))
aes_key, iv = (base64.b64decode(part) for part in cipher.decrypt(base64.b64decode(key), None).split(b":"))
body = unpad(AES.new(aes_key, AES.MODE_CBC, iv).decrypt(base64.b64decode(signature)), 16)
print(
    json.dumps(
        {
            "is_hash": CollectionAPI.verify_callback_hash(json.loads(callback), secret),
            "is_hash_of_another": CollectionAPI.verify_callback_hash(json.loads(callback), secret + "x"),
            "body": body.decode(),
            "lengths": [len(aes_key), len(iv)],
            "pin": cipher.decrypt(base64.b64decode(pin), None).decode(),
        }
    )
)
