# mypy: ignore-errors
# ruff: noqa: T201
"""Drive an Airtel server by `airtelmoney-py`: signed payment, disbursement with a PIN, enquiries, user, balance."""

import json
import sys
import time

from airtelmoney import AirtelMoney
from airtelmoney.exceptions import AirtelAPIError, AirtelAuthError

base_url, client_id, secret, pin = sys.argv[1:]
client = AirtelMoney(client_id, secret, base_url=base_url)


def refusal(act):
    try:
        said = act()
    except AirtelAPIError as error:
        return [error.status_code, error.response_code]
    except AirtelAuthError:
        return ["auth"]
    return [said["status"]["success"], said["status"]["response_code"]]


def settled(enquire, identity):
    for _ in range(100):
        said = enquire(identity)
        if said["data"]["transaction"]["status"] != "TIP":
            return said
        time.sleep(0.03)
    raise SystemExit("never settled")


def failed(enquire, identity):
    for _ in range(100):
        said = refusal(lambda: enquire(identity))
        if said[-1] != "DP00800001006":
            return said
        time.sleep(0.03)
    raise SystemExit("never settled")


paid = client.collection.payment(reference="Contribution1", msisdn="752604392", amount=1000)
poor = client.collection.payment(reference="Contribution2", msisdn="752604001", amount=1000)
out = client.disbursement.payment(
    msisdn="752604392", amount=200, reference="Benefit1", pin=pin, transaction_id="payout-1"
)
print(
    json.dumps(
        {
            "taken": [paid["status"]["success"], paid["status"]["response_code"]],
            "paid": settled(client.collection.enquiry, paid["data"]["transaction"]["id"])["data"]["transaction"],
            "poor": failed(client.collection.enquiry, poor["data"]["transaction"]["id"]),
            "out": settled(client.disbursement.enquiry, "payout-1")["data"]["transaction"],
            "again": refusal(
                lambda: client.disbursement.payment(
                    msisdn="752604392", amount=200, reference="B", pin=pin, transaction_id="payout-1"
                )
            ),
            "wrong_pin": refusal(
                lambda: client.disbursement.payment(msisdn="752604392", amount=200, reference="B", pin="0000")
            ),
            "unsigned": refusal(
                lambda: client.collection.payment(reference="C", msisdn="752604392", amount=1, sign=False)
            ),
            "unknown": refusal(lambda: client.collection.enquiry("never")),
            "user": client.kyc.user_enquiry("256752604392")["data"]["first_name"],
            "balance": client.account.balance()["data"]["balance"],
            "wrong_secret": refusal(AirtelMoney(client_id, "no", base_url=base_url).account.balance),
        }
    )
)
