"""A fund manager to test against: its books, the messages and files it writes, and how it misbehaves.

What it writes is checked against the standard's own schemas before any adapter reads it.
"""
