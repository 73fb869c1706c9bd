"""Standard Webhooks 1.0: what partners are told, signed by secrets that they share with us.

`wire` signs, verifies and classifies, `adapter` answers the port, `simulator` is a partner's endpoint.
"""
