"""Any gateway that takes one message a request over HTTP, described by data.

`description` says what can be described, `wire` translates by it, `adapter` answers the port, `simulator` is two gateways:
one of the Kannel kind (query in, a line of text out), one that speaks JSON. Their descriptions stand beside it.
"""
