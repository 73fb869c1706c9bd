"""SMPP 3.4: short messages by a session that stays open, and the receipts that come by it.

`link` says what the adapter needs of a session, `session` is one over TCP or TLS, `wire` translates, `adapter` answers the
port, `simulator` is a message centre.
"""
