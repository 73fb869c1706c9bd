"""The layouts of wallet operators' own exports, in the terms of `engine.kernel.table_layouts`.

Operators change titles between countries and versions of their portals: a pack that meets another layout brings its own.
"""

from engine.kernel.table_layouts import Columns, Labels, Layout

MPESA = Layout(
    name="mpesa-organisation",
    source="The statement of an organisation's account as Safaricom's M-PESA organisation portal exports it",
    columns=Columns(
        booked_on="Completion Time",
        credit="Paid In",
        debit="Withdrawn",
        balance="Balance",
        bank_ref="Receipt No.",
        end_to_end_id="A/C No.",
        text="Details",
        other_party="Other Party Info",
        code="Reason Type",
        status="Transaction Status",
    ),
    labels=Labels(account="Short Code:", opening="Opening Balance:", closing="Closing Balance:"),
    signs="two-columns",
    day_formats=("%d-%m-%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S"),
    thousands_mark=",",
    currency="KES",
    booked=("Completed",),
    not_booked=("Failed", "Cancelled", "Declined", "Expired", "Pending"),
    newest_first=True,
)

MTN_MOMO = Layout(
    name="mtn-momo-partner",
    source="The account statement of a partner's wallet as MTN's Mobile Money partner portal exports it",
    columns=Columns(
        booked_on="Date",
        amount="Amount",
        fee="Fee",
        balance="Balance",
        currency="Currency",
        bank_ref="Id",
        end_to_end_id="External id",
        text="Note/Message",
        other_party="From name",
        other_account="From",
        code="Type",
        status="Status",
    ),
    signs="signed",
    day_formats=("%Y-%m-%d %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M"),
    thousands_mark=",",
    booked=("Successful",),
    not_booked=("Failed", "Pending", "Rejected", "Expired"),
    newest_first=True,
)
