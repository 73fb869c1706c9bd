"""Statements as tables: a bank's or wallet operator's own CSV or Excel export.

`layouts` are the terms a layout is described in, as data of a pack; `operators` holds those of MTN Mobile Money and M-Pesa.
`rows` turns a file into rows, `wire` a row into a line, `adapter` answers the port.
"""
