"""Dealing in funds by ISO 20022.

Orders are setr.010 and setr.004, confirmations setr.012 and setr.006, prices reda.001, holdings semt.002. `orders` writes,
`confirmations`, `prices` and `holdings` read, `instruments` names funds, `adapter` answers the port.
"""
