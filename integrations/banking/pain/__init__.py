"""Payments of ISO 20022: pain.001 asks for transfers, pain.008 for collections, pain.002 says what became of them.

`writing` builds the files, `reports` reads the answers, `reasons` translates codes, `adapter` answers the port.
"""
