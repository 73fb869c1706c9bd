"""Safaricom's side of paying out: payouts, status, reversal, balance, all answered later."""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from integrations.mobile_money.mpesa_daraja.shapes import (
    Transaction,
    is_amount,
    is_kenyan,
    missing_field,
    new_conversation,
    new_receipt,
    outgoing,
    refusal,
    result_of,
)
from integrations.mobile_money.mpesa_daraja.till import ENDINGS, TAKEN, Till
from integrations.mobile_money.mpesa_daraja.wire import ZONE
from integrations.mobile_money.simulation import Movement, Reply

_B2C_FIELDS = {"OriginatorConversationID", "InitiatorName", "SecurityCredential", "CommandID", "Amount", "PartyA", "PartyB",
               "Remarks", "QueueTimeOutURL", "ResultURL"}  # fmt: skip


class PayingOut(Till):
    """Payouts and what is asked about them."""

    def add_payouts(self) -> None:
        """Answer the calls."""
        self.post("/mpesa/b2c/v3/paymentrequest", self._b2c, moves_money=True)
        self.post("/mpesa/transactionstatus/v1/query", self._status)
        self.post("/mpesa/reversal/v1/request", self._reversal, moves_money=True)
        self.post("/mpesa/accountbalance/v1/query", self._balance)

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
        return Reply.of({"ConversationID": conversation, "OriginatorConversationID": original, **TAKEN})

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
        return Reply.of({"ConversationID": conversation, "OriginatorConversationID": original, **TAKEN})

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
        return Reply.of({"ConversationID": conversation, "OriginatorConversationID": original, **TAKEN})

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
        return Reply.of({"ConversationID": conversation, "OriginatorConversationID": original, **TAKEN})
