"""Safaricom M-Pesa Daraja 3.0: STK push, pay-bill payments (C2B), payouts (B2C), status, pull, reversal.

`wire` translates, `results` reads the operator's codes and callbacks, `adapter` answers the ports, `simulator` is the
other side. Source: the developer portal's pages as captured in github.com/JacksCodeVault/mpesa-daraja-mcp (December
2025). The keys are spelt as the portal spells them, wrong ones included.
"""
