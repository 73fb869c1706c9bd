"""Safaricom's side of Daraja: tokens, prompts, payments in, payouts, status, pull and reversal over HTTP.

A new token ends the one before. What happens afterwards is told by callbacks, unsigned. Payers and payees whose
number ends in one of the endings below have that fate.
"""

import base64
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from engine.kernel.transport import Transport, Unanswered, Unreachable
from integrations.mobile_money.mpesa_daraja.paying_out import PayingOut
from integrations.mobile_money.mpesa_daraja.results import CURRENCY
from integrations.mobile_money.mpesa_daraja.shapes import (
    Transaction,
    is_amount,
    is_kenyan,
    metadata,
    missing_field,
    new_receipt,
    outgoing,
    refusal,
)
from integrations.mobile_money.mpesa_daraja.till import ENDINGS, TAKEN
from integrations.mobile_money.mpesa_daraja.wire import ZONE, security_credential
from integrations.mobile_money.simulation import JoinedSimulator, Reply

PAGE = 50
_STK_FIELDS = {"BusinessShortCode", "Password", "Timestamp", "TransactionType", "Amount", "PartyA", "PartyB",
               "PhoneNumber", "CallBackURL", "AccountReference", "TransactionDesc"}  # fmt: skip


class DarajaSimulator(PayingOut):
    """Daraja as one application at one shortcode sees it; made like a `Till`."""

    def add_payments(self) -> None:
        """Answer the calls that bring money in."""
        self.post("/mpesa/stkpush/v1/processrequest", self._stk_push, moves_money=True)
        self.post("/mpesa/stkpushquery/v1/query", self._stk_query)
        self.post("/mpesa/c2b/v1/registerurl", self._register)
        self.post("/mpesa/c2b/v2/registerurl", self._register)
        self.post("/mpesa/c2b/v2/simulate", self._c2b, moves_money=True)
        self.post("/pulltransactions/v1/register", self._pull_register)
        self.post("/pulltransactions/v1/query", self._pull)

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
        made: Transaction | None = None
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
        if made and self._urls:
            await self._confirm(made.receipt, made.amount, made.number, made.account, made.at)

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
        return Reply.of({"OriginatorCoversationID": secrets.token_hex(8), **TAKEN})

    async def _pay_in_later(self, amount: str, number: str, account: str) -> None:
        await self.pay_in(amount, number, account)

    async def pay_in(self, amount: str, number: str, account: str) -> str:
        """Let somebody pay of their own accord; returns the receipt, empty where the payment was turned down."""
        receipt, at = new_receipt(), datetime.now(UTC)
        said = self._confirmation(receipt, amount, number, account, at)
        if self._validates and not await self._is_taken(said):
            return ""
        self._move("c2b", "", amount, number, account, receipt)
        await self._confirm(receipt, amount, number, account, at)
        return receipt

    async def _confirm(self, receipt: str, amount: str, number: str, account: str, at: datetime) -> None:
        """Tell of a payment in, asked for or not."""
        said = self._confirmation(receipt, amount, number, account, at)
        wrong, forged = (
            {**said, "TransAmount": "9999999.00"},
            {**said, "TransID": new_receipt(), "TransAmount": "9999999.00"},
        )
        await self.call_back(outgoing(self._urls.get("confirmation", ""), said, wrong, forged))

    def _confirmation(self, receipt: str, amount: str, number: str, account: str, at: datetime) -> dict[str, Any]:
        return {
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


class Sandbox(JoinedSimulator):
    """Safaricom for whoever tries the product out: one application, its keys made at random."""

    def __init__(self, callbacks: Transport, *, country: str, currency: str, settle_seconds: float) -> None:
        """Open a sandbox; Daraja knows one country and one currency."""
        assert (country, currency) == ("KE", CURRENCY), (country, currency)
        self._said = {
            "consumer_key": secrets.token_hex(16),
            "consumer_secret": secrets.token_hex(16),
            "shortcode": "600981",
            "passkey": secrets.token_hex(16),
            "initiator": "sandbox",
        }
        password = secrets.token_hex(16)
        self.simulator = DarajaSimulator(
            callbacks,
            key=self._said["consumer_key"],
            secret=self._said["consumer_secret"],
            shortcode=self._said["shortcode"],
            passkey=self._said["passkey"],
            initiator=self._said["initiator"],
            password=password,
            settle_seconds=settle_seconds,
        )
        self._said["credential"] = security_credential(password, self.simulator.certificate)

    def credentials(self, url: str) -> dict[str, object]:
        """Return the table of the secrets file that joins it, served at `url`."""
        return {"base_url": url, **self._said}
