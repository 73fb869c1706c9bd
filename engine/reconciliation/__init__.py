"""Statements of collection accounts, matched to receipts one to one. It knows references' digests, never who paid."""
