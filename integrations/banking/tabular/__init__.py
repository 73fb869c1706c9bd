"""Statements as tables: a bank's or wallet operator's own CSV or Excel export.

A layout is data, of a pack or ours: its terms are those of `engine.kernel.table_layouts`; `operators` holds those of MTN Mobile Money and M-Pesa.
`rows` turns a file into rows, `wire` a row into a line, `adapter` answers the port.
"""
