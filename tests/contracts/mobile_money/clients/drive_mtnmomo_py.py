# mypy: ignore-errors
# ruff: noqa: T201
"""Drive an MTN server by `mtnmomo-py`: provision a user, collect, pay out, look up an account holder, pre-approve."""

import json
import sys
import time
from dataclasses import asdict

from mtnmomo import (
    MoMoAuthenticationError,
    MoMoClient,
    MoMoConfig,
    MoMoConflictError,
    MoMoNotFoundError,
    MoMoValidationError,
    ProductCredentials,
)

base_url, collection_key, disbursement_key, callback_url = sys.argv[1:]


def keys(subscription_key, user="", key=""):
    return ProductCredentials(subscription_key, user, key)


with MoMoClient(MoMoConfig(collection=keys(collection_key), base_url=base_url)) as provisioning:
    user = provisioning.sandbox.create_api_user("127.0.0.1")
    key = provisioning.sandbox.create_api_key(user)
    host = provisioning.sandbox.get_api_user(user).provider_callback_host

client = MoMoClient(MoMoConfig(keys(collection_key, user, key), keys(disbursement_key, user, key), base_url=base_url))


def settled(get, reference):
    for _ in range(100):
        status = get(reference)
        if status.status != "PENDING":
            return asdict(status)
        time.sleep(0.05)
    raise SystemExit("never settled")


def refusal(kind, act):
    try:
        act()
    except kind as error:
        return [error.status_code, error.code]
    raise SystemExit("was not refused")


def payment(role, number, amount="500"):
    party = {"partyIdType": "MSISDN", "partyId": number}
    return {
        "amount": amount,
        "currency": "EUR",
        "externalId": "X-1",
        role: party,
        "payerMessage": "m",
        "payeeNote": "n",
    }


collection, disbursement = client.collection, client.disbursement
reference = collection.request_to_pay(payment("payer", "256772000111"), callback_url=callback_url)
rejected = collection.request_to_pay(payment("payer", "46733123451"))
paid_out = disbursement.transfer(payment("payee", "256772000111", "20"))
consent = collection.create_preapproval(
    {
        "payer": {"partyIdType": "MSISDN", "partyId": "256772000111"},
        "payerCurrency": "EUR",
        "payerMessage": "m",
        "validityTime": 3600,
    }
)
time.sleep(0.3)
print(
    json.dumps(
        {
            "host": host,
            "collected": settled(collection.get_request_to_pay_status, reference),
            "rejected": settled(collection.get_request_to_pay_status, rejected),
            "paid_out": settled(disbursement.get_transfer_status, paid_out),
            "active": collection.validate_account_holder_status("msisdn", "256772000111"),
            "inactive": collection.validate_account_holder_status("msisdn", "46733123462"),
            "name": collection.get_basic_user_info("msisdn", "256772000111"),
            "consent": collection.get_preapproval_status(consent)["status"],
            "again": refusal(
                MoMoConflictError, lambda: disbursement.transfer(payment("payee", "1"), reference_id=paid_out)
            ),
            "unknown": refusal(MoMoNotFoundError, lambda: disbursement.get_transfer_status(reference)),
            "negative": refusal(MoMoValidationError, lambda: collection.request_to_pay(payment("payer", "1", "-5"))),
            "bad_token": refusal(MoMoAuthenticationError, lambda: collection.get_account_balance(access_token="no")),
        }
    )
)
