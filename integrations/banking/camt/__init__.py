"""Bank-to-customer statements, reports and notifications of ISO 20022: camt.053, camt.052 and camt.054.

`versions` says which messages and versions are read, `wire` reads one document, `adapter` answers the port.
"""
