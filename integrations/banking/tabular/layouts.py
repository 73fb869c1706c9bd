"""Akiba's own layout of a statement's table, in the terms of `engine.kernel.table_layouts`."""

from engine.kernel.table_layouts import Columns, Layout

GENERIC = Layout(
    name="generic",
    source="Akiba's own: the layout that `akiba import statement` has always read",
    columns=Columns(booked_on="date", bank_ref="reference", amount="amount", currency="currency", balance="balance"),
    signs="signed",
    day_formats=("%Y-%m-%d",),
    optional=("balance",),
)
"""A plain table for those who can choose: date, reference, amount with its sign, currency, and perhaps the balance."""
