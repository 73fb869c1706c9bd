"""The laws of the books: what every capability promises of them, as `akiba check` and the tests ask."""

from collections.abc import Sequence

from engine.audit import queries as audit_queries
from engine.benefits import queries as benefit_queries
from engine.closing import queries as closing_queries
from engine.contributions import queries as contribution_queries
from engine.debits.queries import LAWS as DEBIT_LAWS
from engine.enrolment import queries as enrolment_queries
from engine.funds.queries.laws import LAWS as FUND_LAWS
from engine.identity import queries as identity_queries
from engine.ledger import queries as ledger_queries
from engine.ledger.rules import Law
from engine.mergers import queries as merger_queries
from engine.notices import queries as notice_queries
from engine.opening import queries as opening_queries
from engine.places.queries import LAWS as PLACE_LAWS
from engine.reconciliation import queries as reconciliation_queries
from engine.webhooks.queries import LAWS as WEBHOOK_LAWS

LAWS: Sequence[Law] = (
    *ledger_queries.LAWS,
    *audit_queries.LAWS,
    *identity_queries.LAWS,
    *enrolment_queries.LAWS,
    *contribution_queries.LAWS,
    *FUND_LAWS,
    *PLACE_LAWS,
    *DEBIT_LAWS,
    *WEBHOOK_LAWS,
    *opening_queries.LAWS,
    *merger_queries.LAWS,
    *reconciliation_queries.LAWS,
    *benefit_queries.LAWS,
    *notice_queries.LAWS,
    *closing_queries.LAWS,
)
