# mypy: ignore-errors
# ruff: noqa: T201
"""Drive an MTN server by `mtn-momo-client`, in a market that writes a reason as text."""

import json
import sys
import time

from momo_api import MomoApi
from momo_api.exceptions import MomoException
from momo_api.models.config import Config
from momo_api.models.payment_request import PaymentRequest
from momo_api.models.transfer_request import TransferRequest

base_url, user, key, collection_key, disbursement_key, callback_url = sys.argv[1:]
MomoApi.SANDBOX_URL = base_url
collection = MomoApi.collection(Config.collection(collection_key, user, key, callback_url))
disbursement = MomoApi.disbursement(Config.disbursement(disbursement_key, user, key, callback_url))


def settled(get, reference):
    for _ in range(100):
        transaction = get(reference)
        if transaction.status != "PENDING":
            assert transaction.status, "Traceback: no status"
            reason = transaction.reason.code if getattr(transaction, "reason", None) else None
            return [transaction.status, transaction.financial_transaction_id, transaction.amount, reason]
        time.sleep(0.05)
    raise SystemExit("never settled")


def refusal(act):
    try:
        act()
    except MomoException as error:
        return [error.status_code, error.code]
    raise SystemExit("was not refused")


paid = collection.request_to_pay(PaymentRequest.make("500", "256772000111", "C-1", "EUR"))
rejected = collection.request_to_pay(PaymentRequest.make("500", "46733123451", "C-2", "EUR"))
out = disbursement.transfer(TransferRequest.make("20", "256772000111", "P-1", "EUR"))
print(
    json.dumps(
        {
            "paid": settled(collection.get_payment_status, paid),
            "rejected": settled(collection.get_payment_status, rejected),
            "out": settled(disbursement.get_transfer_status, out),
            "active": [collection.check_account_holder(number) for number in ("256772000111", "46733123462")],
            "balance": collection.get_balance().available_balance,
            "again": refusal(
                lambda: collection.request_to_pay(PaymentRequest.make("1", "256772000111", "C", "EUR"), paid)
            ),
            "unknown": refusal(lambda: disbursement.get_transfer_status(paid)),
        }
    )
)
