# mypy: ignore-errors
# ruff: noqa: T201
"""Drive an MTN server by `momo-openapi`: collect, pay out, repeat, be refused."""

import json
import sys
import time
from uuid import uuid4

from momo_openapi import Collection, Disbursement, MomoAPIError, MomoConfig

base_url, user, key, collection_key, disbursement_key, callback_url = sys.argv[1:]


def config(subscription_key, **changes):
    values = {"subscription_key": subscription_key, "user_id": user, "credential_token": key, "currency": "EUR"}
    return MomoConfig(**{**values, "target_environment": "sandbox", "base_url": base_url, **changes})


def settled(client, reference):
    for _ in range(100):
        status = client.get_transaction_status(reference)
        if status["status"] != "PENDING":
            return status
        time.sleep(0.05)
    raise SystemExit("never settled")


def refusal(act):
    try:
        act()
    except MomoAPIError as error:
        return [type(error).__name__, error.status_code, error.code]
    raise SystemExit("was not refused")


collection, disbursement = Collection(config(collection_key)), Disbursement(config(disbursement_key))
reference = collection.request_to_pay(
    "500", "256772000111", "CONTRIB-1", payer_message="June", callback_url=callback_url
)
paid_out = disbursement.transfer("20", "256772000111", "PAYOUT-1")
rejected = collection.request_to_pay("500", "46733123451", "CONTRIB-2")
print(
    json.dumps(
        {
            "collected": settled(collection, reference),
            "paid_out": settled(disbursement, paid_out),
            "rejected": settled(collection, rejected),
            "balance": collection.get_balance(),
            "again": refusal(lambda: collection.request_to_pay("500", "256772000111", "C", reference_id=reference)),
            "unknown": refusal(lambda: collection.get_transaction_status(str(uuid4()))),
            "not_v4": refusal(
                lambda: collection.request_to_pay(
                    "1", "256772000111", "C", reference_id="6ba7b810-9dad-11d1-80b4-00c04fd430c8"
                )
            ),
            "currency": refusal(lambda: collection.request_to_pay("1", "256772000111", "C", currency="UGX")),
            "special": refusal(lambda: collection.request_to_pay("1", "256772000111", "C", payer_message="a#b")),
            "other_key": refusal(lambda: Collection(config(disbursement_key)).get_access_token()),
            "wrong_secret": refusal(
                lambda: Collection(config(collection_key, credential_token="no")).get_access_token()
            ),
        }
    )
)
