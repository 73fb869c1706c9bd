"""SQL of benefits, and the laws that they keep."""

from engine.benefits.queries.annuities import ANNUITY_LAWS
from engine.benefits.queries.charging_laws import FEE_LAWS
from engine.benefits.queries.laws import LAWS as _LAWS
from engine.benefits.queries.lending_laws import LOAN_LAWS
from engine.benefits.queries.merging import LAWS as MERGE_LAWS
from engine.benefits.queries.payroll_laws import PAYROLL_LAWS
from engine.benefits.queries.premium_laws import PREMIUM_LAWS
from engine.benefits.queries.promises import LAWS as PROMISE_LAWS
from engine.benefits.queries.splitting import LAWS as SPLIT_LAWS
from engine.benefits.queries.standing_laws import STANDING_LAWS
from engine.benefits.queries.transferring_laws import TRANSFER_LAWS
from engine.benefits.queries.unclaimed_laws import UNCLAIMED_LAWS
from engine.ledger.rules import Law

LAWS: tuple[Law, ...] = (
    *_LAWS,
    *FEE_LAWS,
    *PAYROLL_LAWS,
    *STANDING_LAWS,
    *LOAN_LAWS,
    *UNCLAIMED_LAWS,
    *MERGE_LAWS,
    *SPLIT_LAWS,
    *PREMIUM_LAWS,
    *ANNUITY_LAWS,
    *TRANSFER_LAWS,
    *PROMISE_LAWS,
)

__all__ = ["FEE_LAWS", "LAWS"]
