"""Safaricom's side of Daraja: tokens, prompts, payments in, payouts, status, pull and reversal over HTTP.

A new token ends the one before. What happens afterwards is told by callbacks, unsigned. Payers and payees whose
number ends in one of the endings below have that fate.
"""

import base64
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from engine.kernel.transport import Transport, Unanswered, Unreachable
from integrations.mobile_money.mpesa_daraja.shapes import (
    Transaction,
    certificate,
    is_amount,
    is_kenyan,
    metadata,
    missing_field,
    new_conversation,
    new_receipt,
    outgoing,
    refusal,
    result_of,
)
from integrations.mobile_money.mpesa_daraja.wire import ZONE
from integrations.mobile_money.simulation import Call, Movement, Reply, Simulator

TOKEN_SECONDS = 3599
VALIDATION_SECONDS = 8
PAGE = 50
ENDINGS = {"001": "1", "032": "1032", "037": "1037", "019": "1019", "040": "2040", "201": "2001"}
"""What a number ends in -> its result code: too little, cancelled, unreachable, expired, no wallet, wrong PIN."""

_TAKEN = {"ResponseCode": "0", "ResponseDescription": "Accept the service request successfully."}
_STK_FIELDS = {"BusinessShortCode", "Password", "Timestamp", "TransactionType", "Amount", "PartyA", "PartyB",
               "PhoneNumber", "CallBackURL", "AccountReference", "TransactionDesc"}  # fmt: skip
_B2C_FIELDS = {"OriginatorConversationID", "InitiatorName", "SecurityCredential", "CommandID", "Amount", "PartyA", "PartyB",
               "Remarks", "QueueTimeOutURL", "ResultURL"}  # fmt: skip


class DarajaSimulator(Simulator):
    """Daraja as one application at one shortcode sees it."""

    def __init__(
        self,
        callbacks: Transport,
        *,
        key: str,
        secret: str,
        shortcode: str,
        passkey: str,
        initiator: str,
        password: str,
        validates: bool = False,
        settle_seconds: float = 0.05,
    ) -> None:
        """Begin with nothing moved.

        Args:
            callbacks: what callbacks are sent by.
            key: the application's consumer key; `secret` its secret.
            secret: see `key`.
            shortcode: the pay-bill number; `passkey` signs prompts for it.
            passkey: see `shortcode`.
            initiator: who may pay out; `password` must come encrypted for `certificate`.
            password: see `initiator`.
            validates: whether Safaricom has switched on validation of payments in.
            settle_seconds: how long a payer or the operator takes.
        """
        super().__init__(callbacks, settle_seconds=settle_seconds)
        self._callbacks_by = callbacks
        self._basic = base64.b64encode(f"{key}:{secret}".encode()).decode()
        self._shortcode, self._passkey, self._initiator, self._password = shortcode, passkey, initiator, password
        self._validates = validates
        self._token, self._token_until = "", 0.0
        self._urls: dict[str, str] = {}
        self._prompts: dict[str, dict[str, Any]] = {}
        self._transactions: dict[str, Transaction] = {}
        self._originals: dict[str, str] = {}
        self._private, self.certificate = certificate()
        self.route("GET", "/oauth/v1/generate", self._give_token)
        for path, act, moves in (
            ("stkpush/v1/processrequest", self._stk_push, True),
            ("stkpushquery/v1/query", self._stk_query, False),
            ("c2b/v1/registerurl", self._register, False),
            ("c2b/v2/registerurl", self._register, False),
            ("c2b/v2/simulate", self._c2b, True),
            ("b2c/v3/paymentrequest", self._b2c, True),
            ("transactionstatus/v1/query", self._status, False),
            ("reversal/v1/request", self._reversal, True),
            ("accountbalance/v1/query", self._balance, False),
        ):
            self.route("POST", f"/mpesa/{path}", partial(self._enter, act), moves_money=moves)
        self.route("POST", "/pulltransactions/v1/register", partial(self._enter, self._pull_register))
        self.route("POST", "/pulltransactions/v1/query", partial(self._enter, self._pull))

    def unknown_path(self) -> Reply:
        """Return the gateway's words for a path that it does not have."""
        return refusal(404, "404.001.01", "Resource not found")

    # -- entering

    def _give_token(self, call: Call) -> Reply:
        if "grant_type=client_credentials" not in call.query:
            return refusal(400, "400.008.02", "Invalid grant type passed")
        if call.headers.get("authorization") != f"Basic {self._basic}":
            return refusal(400, "400.008.01", "Invalid Authentication passed")
        self._token, self._token_until = secrets.token_urlsafe(21), time.monotonic() + TOKEN_SECONDS
        return Reply.of({"access_token": self._token, "expires_in": str(TOKEN_SECONDS)})

    def forget_tokens(self) -> None:
        """Let the token given out last be refused."""
        self._token = ""

    def _enter(self, act: Any, call: Call) -> Reply:
        token = call.headers.get("authorization", "").removeprefix("Bearer ")
        if not self._token or token != self._token or self._token_until < time.monotonic():
            return refusal(404, "404.001.03", "Invalid Access Token")
        said = call.json()
        if not isinstance(said, dict):
            return refusal(400, "400.002.05", "Invalid Request Payload")
        reply: Reply = act(said)
        return reply

    def _initiates(self, said: Mapping[str, Any], name: str) -> bool:
        try:
            credential = base64.b64decode(str(said.get("SecurityCredential")), validate=True)
            return (
                said.get(name) == self._initiator
                and self._private.decrypt(credential, PKCS1v15()) == self._password.encode()
            )
        except ValueError:
            return False

    # -- prompts

    def _stk_push(self, said: dict[str, Any]) -> Reply:
        if refused := missing_field(said, _STK_FIELDS) or self._wrong_prompt(said):
            return refused
        checkout = f"ws_CO_{datetime.now(ZONE):%d%m%Y%H%M%S}{secrets.randbelow(10**9):09}"
        prompt = self._prompts[checkout] = {**said, "merchant": f"{secrets.randbelow(10**5)}-1", "code": None}
        self.later(self.settle_seconds, partial(self._settle_prompt, checkout))
        ack = {"MerchantRequestID": prompt["merchant"], "CheckoutRequestID": checkout, "ResponseCode": "0"}
        return Reply.of(
            ack | {"ResponseDescription": "Success. Request accepted for processing", "CustomerMessage": "ok"}
        )

    def _wrong_prompt(self, said: Mapping[str, Any]) -> Reply | None:
        if not self._is_signed(said):
            return refusal(500, "500.001.1001", "Wrong credentials")
        if not is_amount(said["Amount"]):
            return refusal(400, "400.002.02", "Bad Request - Invalid Amount")
        if not is_kenyan(said["PhoneNumber"]) or said["PartyA"] != said["PhoneNumber"]:
            return refusal(400, "400.002.02", "Bad Request - Invalid PhoneNumber")
        if len(str(said["AccountReference"])) > 12 or len(str(said["TransactionDesc"])) > 13:
            return refusal(400, "400.002.02", "Bad Request - Invalid AccountReference")
        if not str(said["CallBackURL"]).startswith("http"):
            return refusal(400, "400.002.02", "Bad Request - Invalid CallBackURL")
        return None

    def _is_signed(self, said: Mapping[str, Any]) -> bool:
        expected = base64.b64encode(f"{self._shortcode}{self._passkey}{said.get('Timestamp')}".encode()).decode()
        return said.get("Password") == expected and str(said.get("BusinessShortCode")) == self._shortcode

    async def _settle_prompt(self, checkout: str) -> None:
        prompt = self._prompts[checkout]
        code = ENDINGS.get(str(prompt["PhoneNumber"])[-3:], "0")
        prompt["code"] = code
        said: dict[str, Any] = {
            "MerchantRequestID": prompt["merchant"],
            "CheckoutRequestID": checkout,
            "ResultCode": int(code),
            "ResultDesc": "done" if code == "0" else "It could not be done.",
        }
        if code == "0":
            made = self._move(
                "stkpush", checkout, str(prompt["Amount"]), str(prompt["PhoneNumber"]), str(prompt["AccountReference"])
            )
            said["CallbackMetadata"] = {"Item": metadata(made)}
        wrong = {
            **said,
            "CallbackMetadata": {
                "Item": [{"Name": "Amount", "Value": 9999999}, {"Name": "MpesaReceiptNumber", "Value": "WRONG00001"}]
            },
        }
        forged = {**wrong, "ResultCode": 0}
        await self.call_back(
            outgoing(str(prompt["CallBackURL"]), *({"Body": {"stkCallback": one}} for one in (said, wrong, forged)))
        )

    def _stk_query(self, said: dict[str, Any]) -> Reply:
        prompt = self._prompts.get(str(said.get("CheckoutRequestID")))
        if not self._is_signed(said):
            return refusal(500, "500.001.1001", "Wrong credentials")
        if prompt is None:
            return refusal(400, "400.002.02", "Bad Request - Invalid CheckoutRequestID")
        if prompt["code"] is None:
            return refusal(500, "500.001.1001", "The transaction is being processed")
        answer = {"ResponseCode": "0", "ResponseDescription": "ok", "MerchantRequestID": prompt["merchant"]}
        named = {"CheckoutRequestID": said["CheckoutRequestID"], "ResultCode": prompt["code"], "ResultDesc": "ok"}
        return Reply.of(answer | named)

    # -- payments in

    def _register(self, said: dict[str, Any]) -> Reply:
        if said.get("ResponseType") not in {"Completed", "Cancelled"} or str(said.get("ShortCode")) != self._shortcode:
            return refusal(400, "400.002.02", "Bad Request - Invalid ResponseType or ShortCode")
        self._urls = {"validation": str(said["ValidationURL"]), "confirmation": str(said["ConfirmationURL"])}
        return Reply.of(
            {"OriginatorCoversationID": secrets.token_hex(8), "ResponseCode": "0", "ResponseDescription": "success"}
        )

    def _c2b(self, said: dict[str, Any]) -> Reply:
        if not is_amount(said.get("Amount")) or not is_kenyan(said.get("Msisdn")):
            return refusal(400, "400.002.02", "Bad Request - Invalid Amount or Msisdn")
        payment = (str(said["Amount"]), str(said["Msisdn"]), str(said.get("BillRefNumber", "")))
        self.later(self.settle_seconds, partial(self._pay_in_later, *payment))
        return Reply.of({"OriginatorCoversationID": secrets.token_hex(8), **_TAKEN})

    async def _pay_in_later(self, amount: str, number: str, account: str) -> None:
        await self.pay_in(amount, number, account)

    async def pay_in(self, amount: str, number: str, account: str) -> str:
        """Let somebody pay of their own accord; returns the receipt, empty where the payment was turned down."""
        receipt, at = new_receipt(), datetime.now(UTC)
        said = {
            "TransactionType": "Pay Bill",
            "TransID": receipt,
            "TransTime": f"{at.astimezone(ZONE):%Y%m%d%H%M%S}",
            "TransAmount": f"{int(amount)}.00",
            "BusinessShortCode": self._shortcode,
            "BillRefNumber": account,
            "InvoiceNumber": "",
            "OrgAccountBalance": "",
            "ThirdPartyTransID": "",
            "MSISDN": f"{number[:5]}****{number[-3:]}",
            "FirstName": "JOHN",
            "MiddleName": "",
            "LastName": "",
        }
        if self._validates and not await self._is_taken(said):
            return ""
        self._move("c2b", "", amount, number, account, receipt)
        wrong, forged = (
            {**said, "TransAmount": "9999999.00"},
            {**said, "TransID": new_receipt(), "TransAmount": "9999999.00"},
        )
        await self.call_back(outgoing(self._urls.get("confirmation", ""), said, wrong, forged))
        return receipt

    async def _is_taken(self, said: Mapping[str, Any]) -> bool:
        """Ask whether the payment would be taken; who does not answer in time takes it (ResponseType Completed)."""
        request = outgoing(self._urls["validation"], said, said, said).request
        try:
            response = await self._callbacks_by.send(request)
            return str(msgspec.json.decode(response.body)["ResultCode"]) == "0"
        except (Unreachable, Unanswered, msgspec.DecodeError, KeyError, TypeError):
            return True

    def _pull_register(self, said: dict[str, Any]) -> Reply:
        return Reply.of(
            {"ResponseRefID": secrets.token_hex(8), "Response Status": "1001", "ShortCode": said.get("ShortCode")}
        )

    def _pull(self, said: dict[str, Any]) -> Reply:
        try:
            since, until = (
                datetime.strptime(str(said[name]), "%Y-%m-%d %H:%M:%S").replace(tzinfo=ZONE)
                for name in ("StartDate", "EndDate")
            )
            offset = int(said["OffSetValue"])
        except (KeyError, ValueError):
            return refusal(400, "400.002.02", "Bad Request - Invalid Date")
        if str(said.get("ShortCode")) != self._shortcode or until - since > timedelta(hours=48):
            return refusal(400, "400.002.02", "Bad Request - Invalid ShortCode or window")
        rows = [
            {
                "transactionId": one.receipt,
                "trxDate": one.at.astimezone(ZONE).isoformat(),
                "msisdn": int(one.number[-9:]),
                "sender": "MPESA",
                "transactiontype": "c2b-pay-bill-debit",
                "billreference": one.account,
                "amount": one.amount,
                "organizationname": "Invented",
            }
            for one in self._transactions.values()
            if one.kind in {"stkpush", "c2b"}
            and one.status == "Completed"
            and since <= one.at <= until + timedelta(seconds=1)
        ][offset : offset + PAGE]
        if not rows:
            return Reply.of(
                {
                    "ResponseRefID": secrets.token_hex(8),
                    "ResponseCode": "1001",
                    "ResponseMessage": "No transactions",
                    "Response": [],
                }
            )
        return Reply.of(
            {
                "ResponseRefID": secrets.token_hex(8),
                "ResponseCode": "1000",
                "ResponseMessage": "Success",
                "Response": [rows],
            }
        )

    # -- payouts

    def _b2c(self, said: dict[str, Any]) -> Reply:
        if refused := missing_field(said, _B2C_FIELDS):
            return refused
        original = str(said["OriginatorConversationID"])
        if not self._initiates(said, "InitiatorName"):
            return refusal(500, "500.001.1001", "Wrong initiator credentials")
        if original in self._originals:
            return refusal(500, "500.002.1001", "Duplicate OriginatorConversationID.")
        if not is_amount(said["Amount"]) or not is_kenyan(said["PartyB"]) or not 2 <= len(str(said["Remarks"])) <= 100:
            return refusal(400, "400.002.02", "Bad Request - Invalid Amount, PartyB or Remarks")
        conversation = self._originals[original] = new_conversation()
        self.later(self.settle_seconds, partial(self._settle_payout, said, conversation))
        return Reply.of({"ConversationID": conversation, "OriginatorConversationID": original, **_TAKEN})

    async def _settle_payout(self, said: Mapping[str, Any], conversation: str) -> None:
        original, number = str(said["OriginatorConversationID"]), str(said["PartyB"])
        code = ENDINGS.get(number[-3:], "0")
        receipt = new_receipt()
        amount = str(int(str(said["Amount"])))
        if code == "0":
            self._move("b2c", original, amount, number, "", receipt)
        else:
            self._transactions[receipt] = Transaction(
                receipt, original, "b2c", "Failed", amount, number, "", datetime.now(UTC), code
            )
        parameters: list[Mapping[str, Any]] = [
            {"Key": "TransactionAmount", "Value": int(amount)},
            {"Key": "TransactionReceipt", "Value": receipt},
            {"Key": "ReceiverPartyPublicName", "Value": f"{number} - JOHN D."},
            {"Key": "TransactionCompletedDateTime", "Value": f"{datetime.now(ZONE):%d.%m.%Y %H:%M:%S}"},
            {"Key": "B2CUtilityAccountAvailableFunds"},
        ]
        result = result_of(conversation, original, receipt, code, parameters if code == "0" else [])
        wrong = result_of(
            conversation, original, receipt, code, [{"Key": "TransactionAmount", "Value": 9999999}, *parameters[1:]]
        )
        forged = result_of(new_conversation(), original, new_receipt(), "0" if code != "0" else "2001", parameters)
        await self.call_back(outgoing(str(said["ResultURL"]), result, wrong, forged))

    def _status(self, said: dict[str, Any]) -> Reply:
        if not self._initiates(said, "Initiator"):
            return refusal(500, "500.001.1001", "Wrong initiator credentials")
        if said.get("IdentifierType") not in {"4", 4} or not said.get("ResultURL"):
            return refusal(400, "400.002.02", "Bad Request - Invalid IdentifierType")
        conversation, original = new_conversation(), secrets.token_hex(8)
        self.later(self.settle_seconds / 2, partial(self._tell_status, said, conversation, original))
        return Reply.of({"ConversationID": conversation, "OriginatorConversationID": original, **_TAKEN})

    async def _tell_status(self, said: Mapping[str, Any], conversation: str, original: str) -> None:
        wanted, receipt = str(said.get("OriginalConversationID", "")), str(said.get("TransactionID", ""))
        known = [
            one for one in self._transactions.values() if (wanted and one.original == wanted) or one.receipt == receipt
        ]
        if not known:
            is_open = wanted in self._originals
            result = (
                result_of(conversation, original, "", "R000002", [])
                if not is_open
                else result_of(conversation, original, "", "0", [{"Key": "TransactionStatus", "Value": "Pending"}])
            )
        else:
            one = known[0]
            parameters: list[Mapping[str, Any]] = [
                {"Key": "DebitPartyName", "Value": "600000 - Invented"},
                {"Key": "CreditPartyName", "Value": f"{one.number} - JOHN DOE"},
                {"Key": "TransactionStatus", "Value": one.status},
                {"Key": "ReasonCode", **({"Value": one.code} if one.code != "0" else {})},
                {"Key": "ReceiptNo", "Value": one.receipt},
                {"Key": "Amount", "Value": float(one.amount)},
                {"Key": "FinalisedTime", "Value": int(f"{one.at.astimezone(ZONE):%Y%m%d%H%M%S}")},
            ]
            result = result_of(conversation, original, one.receipt, "0", parameters)
        await self._deliver(outgoing(str(said["ResultURL"]), result, result, result).request)

    def _reversal(self, said: dict[str, Any]) -> Reply:
        if not self._initiates(said, "Initiator"):
            return refusal(500, "500.001.1001", "Wrong initiator credentials")
        if str(said.get("RecieverIdentifierType")) != "11" or not is_amount(said.get("Amount")):
            return refusal(400, "400.002.02", "Bad Request - Invalid RecieverIdentifierType")
        conversation, original = new_conversation(), secrets.token_hex(8)
        self.later(self.settle_seconds, partial(self._settle_reversal, said, conversation, original))
        return Reply.of({"ConversationID": conversation, "OriginatorConversationID": original, **_TAKEN})

    async def _settle_reversal(self, said: Mapping[str, Any], conversation: str, original: str) -> None:
        one = self._transactions.get(str(said.get("TransactionID")))
        code = "R000002" if one is None or one.kind == "b2c" else "R000001" if one.status == "Reversed" else "0"
        receipt = new_receipt()
        if one is not None and code == "0":
            one.status = "Reversed"
            self.movements.append(
                Movement(
                    kind="reversal",
                    transaction=receipt,
                    reference=one.receipt,
                    msisdn=one.number,
                    amount=one.amount,
                    currency="KES",
                )
            )
        parameters: list[Mapping[str, Any]] = [
            {"Key": "Amount", "Value": one.amount if one else ""},
            {"Key": "OriginalTransactionID", "Value": said.get("TransactionID")},
        ]
        result = result_of(conversation, original, receipt, code, parameters if code == "0" else [])
        await self.call_back(outgoing(str(said["ResultURL"]), result, result, result))

    def _balance(self, said: dict[str, Any]) -> Reply:
        if not self._initiates(said, "Initiator"):
            return refusal(500, "500.001.1001", "Wrong initiator credentials")
        signs = {"stkpush": 1, "c2b": 1, "b2c": -1, "reversal": -1}
        total = sum(int(one.amount) * signs[one.kind] for one in self.movements)
        conversation, original = new_conversation(), secrets.token_hex(8)
        text = f"Working Account|KES|{total}.00|{total}.00|0.00|0.00&Utility Account|KES|0.00|0.00|0.00|0.00"
        result = result_of(conversation, original, "", "0", [{"Key": "AccountBalance", "Value": text}])
        callback = outgoing(str(said.get("ResultURL")), result, result, result)
        self.later(self.settle_seconds, partial(self._deliver, callback.request))
        return Reply.of({"ConversationID": conversation, "OriginatorConversationID": original, **_TAKEN})

    def _move(self, kind: str, original: str, amount: str, number: str, account: str, receipt: str = "") -> Transaction:
        made = Transaction(
            receipt or new_receipt(), original, kind, "Completed", amount, number, account, datetime.now(UTC)
        )
        self._transactions[made.receipt] = made
        self.movements.append(
            Movement(
                kind=kind,
                transaction=made.receipt,
                reference=original,
                msisdn=number,
                amount=amount,
                currency="KES",
                account=account,
            )
        )
        return made
