"""The ledger's words: kinds of events, accounts, entries to post and what became of them, and laws of the books."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from uuid import UUID

from msgspec import Struct

MEMBERS_KINDS = frozenset({"cash", "units", "selling", "payable", "heirs", "minors-trust", "lent"})
CREDIT_KINDS = (
    frozenset(
        {
            "suspense",
            "residue",
            "payouts-in-transit",
            "tax-withheld",
            "interest-reserve",
            "reversal-difference",
            "due-to-party",
            "forfeitures",
            "pool-income",
            "pension-pool",
            "fees-payable",
            "vat-payable",
            "opening",
            "passed-on",
            "price-correction",
            "income-due",
            "merging",
            "handed-over",
            "annuity-purchases",
            "transfers-in-transit",
        }
    )
    | MEMBERS_KINDS
)
MEMBERS_BIT = 2048
BATCH_MASK = ~4095
MAX_BATCH = 4096
LONGEST_BODY = 32_768  # bytes of JSON


class EventKind(IntEnum):
    """Every sort of business fact. The number is stored and, like the name, never changes its meaning."""

    MEMBER_ENROLLED = 1
    CONSENT_GIVEN = 2
    NOMINEES_NAMED = 3
    MEMBER_ERASED = 4
    PRODUCT_JOINED = 5
    PRODUCT_MOVED = 6
    STATUS_RECORDED = 7
    CONTRIBUTION_RECEIVED = 10
    CONTRIBUTION_SUSPENDED = 11
    SUSPENSE_RESOLVED = 12
    CONTRIBUTION_REVERSED = 13
    CONTRIBUTION_RECOMPUTED = 14
    REVERSAL_PROPOSED = 15
    REVERSAL_CONFIRMED = 16
    REVERSAL_FUNDED = 17
    REVERSAL_REJECTED = 18
    PROCEEDS_RECEIVED = 19
    STATEMENT_MATCHED = 20
    BREAK_PROPOSED = 21
    BREAK_REJECTED = 22
    BREAK_RESOLVED = 23
    PRICE_FILE_IMPORTED = 30
    PRICE_ACCEPTED = 31
    PRICE_HELD = 32
    PRICE_APPROVED = 33
    PRICE_REJECTED = 34
    DEALING_CLOSED = 40
    ORDER_PLACED = 41
    UNITS_ALLOTTED = 42
    UNITS_PUT_UP = 43
    SALE_WITHDRAWN = 44
    SALE_ORDERED = 45
    UNITS_SOLD = 46
    PACK_ACTIVATED = 50
    CLOCK_ADVANCED = 51
    PACK_PROPOSED = 52
    PACK_REJECTED = 53
    FIGURE_PROPOSED = 54
    FIGURE_ACCEPTED = 55
    FIGURE_REJECTED = 56
    RULES_RECOMPUTED = 57
    EXPORT_MADE = 60
    PARTNER_CREATED = 70
    STAFF_CREATED = 71
    STAFF_SIGNED_IN = 72
    BENEFIT_CLAIMED = 80
    BENEFIT_DOCUMENTED = 81
    BENEFIT_DECIDED = 82
    BENEFIT_REFUSED = 83
    BENEFIT_APPROVED = 84
    BENEFIT_PAYABLE = 85
    BENEFIT_REJECTED = 86
    BENEFIT_WITHDRAWN = 87
    PAYOUT_INSTRUCTED = 95
    PAYOUT_APPROVED = 96
    PAYOUT_REFUSED = 97
    PAYOUT_FAILED = 98
    PAYOUT_SETTLED = 99
    PAYOUT_RETURNED = 100
    PAYOUTS_FILED = 101
    IDENTITY_VERIFIED = 110
    IDENTITY_NOT_VERIFIED = 111
    IDENTITY_DOUBTED = 112
    DEATH_CONFIRMED = 113
    DEATH_REVERSAL_PROPOSED = 114
    DEATH_REVERSED = 115
    INTEREST_DECLARED = 130
    INTEREST_CREDITED = 131
    COLLECTION_FAILED = 140
    WEBHOOK_SET = 141
    WEBHOOK_SECRET_CHANGED = 142
    WEBHOOK_REMOVED = 143
    MATCH_PREPARED = 150
    MATCH_SENT = 151
    MATCH_REJECTED = 152
    MATCH_RECEIVED = 153
    MATCH_SHARED = 154
    UNDERTAKING_GIVEN = 160
    UNDERTAKING_CHANGED = 161
    HEIRS_NAMED = 165
    HEIR_EXCLUDED = 166
    HEIR_DOCUMENTED = 167
    INHERITANCE_SHARED = 168
    TRUST_RELEASED = 169
    DEATH_CLAIM_CLOSED = 170
    DEATH_CLAIM_CONTINUED = 171
    INHERITANCE_SHARED_ANEW = 172
    ORDERS_FILED = 173
    ORDERS_DELIVERED = 174
    ORDERS_UNDELIVERED = 175
    CONFIRMATIONS_IMPORTED = 176
    ORDER_CONFIRMED = 177
    CONFIRMATION_BROKEN = 178
    MENU_PIN_SET = 180
    MENU_REQUEST_MADE = 181
    MENU_REQUEST_CLOSED = 182
    MESSAGE_WANTED = 183
    LANGUAGE_CHOSEN = 184
    FEES_PROPOSED = 185
    FEES_APPROVED = 186
    FEES_REJECTED = 187
    FEES_TAKEN = 188
    FEES_REFUNDED = 189
    OPENING_STAGED = 190
    OPENING_APPROVED = 191
    OPENING_REJECTED = 192
    OPENING_POSTED = 193
    OPENING_FINISHED = 194
    DAY_CLOSED = 196
    REOPENING_PROPOSED = 197
    DAYS_REOPENED = 198
    REOPENING_REJECTED = 199
    PENSION_SCHEDULED = 200
    PENSION_PAYEE_NAMED = 201
    PAYROLL_PROPOSED = 202
    PAYROLL_APPROVED = 203
    PAYROLL_REJECTED = 204
    PENSIONS_DUE = 205
    LIFE_PROVEN = 206
    PENSION_STOPPED = 207
    PENSION_RESUMED = 208
    OVERPAYMENT_RECOVERED = 209
    EXCESS_HELD = 210
    MOVE_PROPOSED = 215
    MOVE_APPROVED = 216
    MOVE_REJECTED = 217
    MONEY_FOLLOWED = 218
    STANDING_CHANGED = 219
    MEMBER_REACTIVATED = 220
    RECOUNT_PROPOSED = 230
    RECOUNT_APPROVED = 231
    RECOUNT_REJECTED = 232
    RECOUNT_DONE = 233
    SURVIVOR_PENSION_BEGUN = 235
    PENSION_PASSED_ON = 236
    PRICE_CORRECTION_PROPOSED = 245
    PRICE_CORRECTION_APPROVED = 246
    PRICE_CORRECTION_REJECTED = 247
    PRICE_CORRECTION_NOTED = 248
    PRICE_CORRECTION_POSTED = 249
    PRICE_CORRECTION_FINISHED = 250
    SWITCH_FUNDED = 251
    LOAN_REPAID = 255
    LOAN_SET_OFF = 256
    LOAN_DEFAULTED = 257
    LENDER_REPORTED = 258
    LENDER_CONFIRMED = 259
    LENDER_REJECTED = 260
    LOAN_REINSTATED = 261
    UNCLAIMED_NOTED = 262
    UNCLAIMED_HANDED_OVER = 263
    UNCLAIMED_RECLAIMED = 264
    CONTRIBUTION_MISDIRECTED = 265
    MERGE_PROPOSED = 266
    MERGE_APPROVED = 267
    MERGE_REJECTED = 268
    RECORD_LEFT = 269
    RECORD_TAKEN_IN = 270
    SPLIT_PROPOSED = 271
    SPLIT_DECIDED = 272
    TRANSFER_ACKNOWLEDGED = 273
    TRANSFER_CAME_HOME = 274
    TRANSFER_ADVISED = 275
    TRANSFER_APPROVED = 276
    TRANSFER_REJECTED = 277
    TRANSFER_WITHDRAWN = 278
    TRANSFER_TAKEN_IN = 279
    FUND_ACTION_PROPOSED = 283
    FUND_ACTION_APPROVED = 284
    FUND_ACTION_REJECTED = 285
    FUND_ACTION_POSTED = 286
    FUND_ACTION_FINISHED = 287
    FUNDS_CHOSEN = 288
    REBALANCING_BEGUN = 289
    FUNDS_REBALANCED = 290
    PREMIUMS_PROPOSED = 293
    PREMIUMS_APPROVED = 294
    PREMIUMS_REJECTED = 295
    PREMIUMS_PAID = 296
    PREMIUMS_RETURNED = 297
    COVERS_LAPSED = 298
    GUARANTEED_BEGUN = 299
    ANNUITY_CONFIRMED = 300
    ANNUITY_REFUSED = 301
    SUSPENSE_PROPOSED = 303
    SUSPENSE_REJECTED = 304
    SUSPENSE_EARNED = 305
    FILE_LEFT = 311
    FILE_NOT_LEFT = 312
    FILE_TAKEN = 313
    FILE_NOT_TAKEN = 314
    MANDATE_GIVEN = 315
    MANDATE_ENDED = 316
    DEBITS_FILED = 317
    CONFIRMATION_SET_ASIDE = 318
    NUMBER_CHANGE_PROPOSED = 319
    NUMBER_CHANGE_FOUND = 320
    NUMBER_CHANGED = 321
    NUMBER_ENDED = 322
    SAME_PERSON_FOUND = 323
    NUMBER_CHANGE_REJECTED = 324
    PROMISE_KEPT = 325
    PROMISE_LAPSED = 326
    INCOME_DECLARED = 327
    MERGER_PROPOSED = 337
    MERGER_APPROVED = 338
    MERGER_REJECTED = 339
    MEMBERS_HANDED_OVER = 340
    HAND_OVER_CLOSED = 341
    HAND_OVER_FILED = 342
    HAND_OVER_TAKEN_IN = 343
    PAYMENT_FORWARDED = 344
    LATE_ROUND_BEGUN = 345
    INTEREST_AT_EXIT = 346
    POOL_INCOME_PROPOSED = 347
    POOL_INCOME_APPROVED = 348
    POOL_INCOME_REJECTED = 349
    OVERPAYMENT_KEPT = 350
    OVERPAYMENT_OWED_AGAIN = 351
    ORDER_STATUSES_TAKEN = 359
    CANCELLATION_APPROVED = 360
    ORDER_CANCELLED = 361
    ORDER_NOT_CANCELLED = 362

    @property
    def label(self) -> str:
        """Return the name as it stands in leaves and exports: "contribution-received"."""
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True, slots=True)
class Account:
    """A named place in a tenant's chart: what it is, in which asset, and what tells it from its neighbours."""

    kind: str
    asset: str
    product: str = ""
    pot: str = ""
    origin: str = ""
    fund: str = ""
    party: str = ""

    @property
    def is_members(self) -> bool:
        """Return whether each member has one of their own."""
        return self.kind in MEMBERS_KINDS

    @property
    def name(self) -> str:
        """Return the readable name, unique in the chart for one asset: "cash:nps-lite:retirement:own"."""
        return ":".join(
            part for part in (self.kind, self.product, self.pot, self.origin, self.fund, self.party) if part
        )


class Transfer(Struct, frozen=True):
    """`amount` smallest units (> 0) moved: code `debit` is debited, code `credit` credited; both of one asset."""

    amount: int
    debit: int
    credit: int


class Entry(Struct, frozen=True, kw_only=True):
    """One event to post, with its claims and transfers: written whole or not at all.

    `member_id` is the member whose accounts the transfers touch, or the house. `body` holds strings, numbers below
    2^53 and lists and mappings of them; amounts are decimal strings; nothing personal. `body_digest` tells a retry
    (same claims, same digest) from another request under the same key.
    """

    member_id: int
    kind: EventKind
    business_date: date
    actor: int
    pack: int = 0
    decision: int = 0
    body: Mapping[str, object] = {}
    body_digest: int = 0
    claims: Sequence[UUID] = ()
    transfers: Sequence[Transfer] = ()


class Outcome(IntEnum):
    """What became of an entry."""

    POSTED = 0
    CLAIMED = 1
    OVERDRAWN = 2


class Posted(Struct, frozen=True):
    """An entry's fate: the event written now, or the one that claimed its key before; or the account it would overdraw.

    `code` is that account's; for an entry claimed before, it is how many events hold its claims.
    """

    event_id: int
    outcome: Outcome
    code: int = 0


@dataclass(frozen=True, slots=True)
class Law:
    """A statement about the books that is always true. `sql` selects what breaks it as (item, expected, found), as text.

    It runs with `app.tenant` set and may use no function of the code it checks.
    """

    name: str
    says: str
    sql: str


@dataclass(frozen=True, slots=True)
class Offence:
    """One thing that breaks a law."""

    law: str
    item: str
    expected: str
    found: str
