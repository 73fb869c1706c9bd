"""A bank and a wallet operator to test against: their books, the files they write, the servers they answer from.

What they write is checked against the standards' own schemas before any adapter reads it.
"""
