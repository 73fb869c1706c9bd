"""Africa's Talking: short messages with delivery reports, and USSD.

`wire` translates, `adapter` answers the ports, `simulator` is the other side: the messaging interface, and a handset that
dials our USSD address.
"""
