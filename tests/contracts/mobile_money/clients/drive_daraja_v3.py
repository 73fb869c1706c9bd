# mypy: ignore-errors
# ruff: noqa: T201
"""Drive a Daraja server by `daraja-v3`: prompt, query, pay out, register; its own reading of what comes back."""

import base64
import json
import sys
import time
from pathlib import Path

from Crypto.Cipher import PKCS1_v1_5
from Crypto.PublicKey import RSA
from mpesa import MpesaClient, MpesaError

base_url, key, secret, shortcode, passkey, initiator, password, certificate, callback_url = sys.argv[1:]


def client(**changes):
    values = {"consumer_key": key, "consumer_secret": secret, "shortcode": shortcode, "passkey": passkey}
    return MpesaClient(**{**values, "base_url": base_url, **changes})


def refusal(act):
    try:
        act()
    except MpesaError as error:
        return [type(error).__name__, error.code]
    raise SystemExit("was not refused")


def settled(mpesa, checkout):
    for _ in range(100):
        try:
            code = mpesa.stk_query(checkout).result_code
        except MpesaError as error:
            if error.code != "500.001.1001":
                raise
            time.sleep(0.03)
        else:
            if code == "-1":
                raise SystemExit("Traceback: the query's answer has no result code")
            return code
    raise SystemExit("never settled")


cipher = PKCS1_v1_5.new(RSA.import_key(Path(certificate).read_text()))
credential = base64.b64encode(cipher.encrypt(password.encode())).decode()
mpesa = client()
paid = mpesa.stk_push("0712345678", 150, "Order-1", callback_url=callback_url)
rejected = mpesa.stk_push("0712345032", 150, "Order-2", callback_url=callback_url)
codes = [settled(mpesa, paid.checkout_request_id), settled(mpesa, rejected.checkout_request_id)]
out = mpesa.b2c("0712345678", 20, callback_url=callback_url, initiator_name=initiator, security_credential=credential)
balance = mpesa.account_balance(callback_url, initiator_name=initiator, security_credential=credential)
registered = mpesa.c2b_register_urls(callback_url, callback_url)
other = client()
other.stk_push("0712345678", 1, "Order-3", callback_url=callback_url)
print(
    json.dumps(
        {
            "checkout": paid.checkout_request_id,
            "codes": codes,
            "conversation": out.conversation_id,
            "balance": balance["ResponseCode"],
            "registered": registered["ResponseCode"],
            "ended_token": refusal(lambda: mpesa.stk_push("0712345678", 1, "Order-4", callback_url=callback_url)),
            "wrong_secret": refusal(
                lambda: client(consumer_secret="no").stk_push("0712345678", 1, "x", callback_url=callback_url)
            ),
            "wrong_passkey": refusal(
                lambda: client(passkey="no").stk_push("0712345678", 1, "x", callback_url=callback_url)
            ),
            "no_url": refusal(lambda: client().stk_push("0712345678", 1, "x")),
            "wrong_initiator": refusal(
                lambda: client().b2c(
                    "0712345678", 1, initiator_name=initiator, security_credential="AAAA", callback_url=callback_url
                )
            ),
        }
    )
)
